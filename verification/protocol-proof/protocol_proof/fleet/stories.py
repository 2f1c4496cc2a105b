"""Stories that can happen: the steps by name and of which roll, and what is so at their end. So what is proved is not
true of nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import z3

from ..state import State
from .state import GIVE_BACK, JOIN, TAKE, Gateway, Message, Revision, Roll, Seat, at, by, initial, kind, trouble
from .steps import steps

SENT, APPLIED, DIES = (
    "a transaction is decided and sent",
    "a transaction is applied",
    "a roll ends, or its controller dies",
)
GOES_ON, ASKS, LOOKS = "a roll goes on with its slot", "a gateway is asked to close", "a gateway looks"
A, B = z3.Const("A", Roll), z3.Const("B", Roll)

Told = tuple[str, Any, Any]
"""A step, whose it is, and which kind of transaction, if it is one."""


def stored(who: Any, of: Any) -> list[Told]:
    return [(SENT, who, of), (APPLIED, who, of)]


def closes(who: Any, of: Any) -> list[Told]:
    return [*stored(who, of), (GOES_ON, who, None), (ASKS, who, None), (LOOKS, who, None)]


def acts(who: Any) -> list[Told]:
    names = [
        "a commit is granted",
        "an act puts the gateway down",
        "an act ends well",
        "a hold is withdrawn after the act",
        "a gateway is ready",
        "the gateway is seen running and ready",
    ]
    return [(name, who, None) for name in names]


@dataclass(frozen=True)
class Story:
    name: str
    steps: list[Told]
    same_gateway: bool
    ends: str


STORIES = [
    Story("two gateways are closed at once", [*closes(A, TAKE), *closes(B, TAKE)], False, "both"),
    Story(
        "a slot is given back, and another gateway closes with it",
        [*closes(A, TAKE), *acts(A), *stored(A, GIVE_BACK), *closes(B, TAKE)],
        False,
        "one slot",
    ),
    Story(
        "a controller dies, another inherits, acts and gives the slot back",
        [*closes(A, TAKE), (DIES, A, None), *closes(B, JOIN), ("a hold ends, whatever ends it", A, None)]
        + [*acts(B), *stored(B, GIVE_BACK)],
        True,
        "none",
    ),
    Story(
        "a take is applied after its controller has died",
        [(SENT, A, TAKE), (DIES, A, None), (APPLIED, A, TAKE)],
        False,
        "kept",
    ),
]


def few() -> Iterator[z3.BoolRef]:
    """At most so many of each sort. What happens among a few can happen; nothing is proved with these."""
    for sort in (Gateway, Roll, Message, Revision, Seat):
        of = 5 if sort == Revision else 3
        some = [z3.Const(f"{sort.name()}{n}", sort) for n in range(of)]
        it = z3.Const(f"each_{sort.name()}", sort)
        yield z3.ForAll([it], z3.Or(*[it == one for one in some]))


def told(story: Story) -> list[Any]:
    """That the story happens, as conditions on what each of its steps chooses."""
    state, conditions = initial(), [A != B, (at(A) == at(B)) == z3.BoolVal(story.same_gateway)]
    for name, who, of in story.steps:
        step = next(step for step in steps(state) if step.name == name)
        conditions.append(step.may)
        if of is not None:
            message = state.term("message", Message)
            conditions += [by(message) == who, kind(message) == of]
        conditions += [state.term("roll", Roll) == who, state.term("gateway", Gateway) == at(who)]
        state = step.after.next()
    return [*conditions, *few(), ending(state, story.ends)]


def ending(s: State, ends: str) -> Any:
    t = z3.Const("t", Seat)
    if ends == "both":
        return z3.And(s.closes(A), s.closes(B))
    if ends == "one slot":
        only = z3.ForAll([t], z3.Implies(s.slots(t), t == s.seat(at(B))))
        return z3.And(s.closes(B), z3.Not(trouble(s, A)), z3.Not(s.held(at(A))), only)
    if ends == "none":
        return z3.And(z3.Not(s.held(at(B))), z3.Not(trouble(s, A)), z3.Not(trouble(s, B)))
    return z3.And(s.held(at(A)), s.over(A), s.noted(A))
