"""What is so in every state that can be reached, clause by clause. Together the clauses are inductive."""

from collections.abc import Iterator
from typing import Any

import z3

from ..state import State
from .state import (
    ACTED,
    ASKED,
    COMMITTED,
    HAS,
    NEVER_CLOSED,
    RUNNING,
    WAITS,
    WITHDRAWN,
    Gateway,
    Message,
    Roll,
    all_of,
    at,
    compares,
    done,
    trouble,
    uses,
)
from .steps import (
    ACKNOWLEDGED,
    ANSWERED_FOR,
    DECIDED,
    HAS_ITS_SLOT,
    IN_USE,
    INHERITS,
    NOTICED,
    OWN_SEAT,
    SEEN_RUNNING,
    TOLD,
    decided,
)


def of_slots(s: State) -> Iterator[tuple[str, Any]]:
    """These three are E4: each gateway that closes has a slot of its own, and that is one of the budget's."""
    yield HAS_ITS_SLOT, all_of(Roll, lambda x: z3.Implies(trouble(s, x), s.held(at(x))))
    g, h = z3.Const("g", Gateway), z3.Const("h", Gateway)
    two = z3.And(g != h, s.held(g), s.held(h))
    yield OWN_SEAT, z3.ForAll([g, h], z3.Implies(two, s.seat(g) != s.seat(h)))
    yield (
        "E4 a slot is one of the budget's, or older than the budget",
        all_of(Gateway, lambda g: z3.Implies(s.held(g), z3.Or(s.slots(s.seat(g)), s.older(g)))),
    )


def of_notes(s: State) -> Iterator[tuple[str, Any]]:
    def answered_for(x: Any) -> z3.BoolRef:
        heir = s.heir(x)
        return z3.Or(s.kept(at(x)), s.noted(heir))

    def inherited(x: Any) -> z3.BoolRef:
        return z3.And(trouble(s, x), s.heir(x) != x, s.noted(s.heir(x)))

    yield ANSWERED_FOR, all_of(Roll, lambda x: z3.Implies(trouble(s, x), answered_for(x)))
    yield "E4 an heir is of the same gateway", all_of(Roll, lambda x: at(s.heir(x)) == at(x))
    yield INHERITS, all_of(Roll, lambda x: z3.Implies(inherited(x), s.inherits(s.heir(x))))
    yield "E4 who has an heir asks nothing any more", all_of(Roll, lambda x: z3.Implies(s.heir(x) != x, done(s, x)))
    there = all_of(Roll, lambda x: z3.Implies(uses(s, x), z3.And(s.noted(x), s.held(at(x)))))
    yield IN_USE, there
    living = all_of(Roll, lambda x: z3.Implies(z3.And(s.noted(x), z3.Not(s.over(x))), s.held(at(x))))
    yield "E4 where somebody noted lives, the slot is there", living


def of_rolls(s: State) -> Iterator[tuple[str, Any]]:
    def is_told(x: Any) -> z3.BoolRef:
        return z3.And(s.told(x), s.phase(x) == WAITS, z3.Not(s.over(x)))

    def early(x: Any) -> z3.BoolRef:
        return z3.Or(s.phase(x) == WAITS, s.phase(x) == HAS)

    def late(x: Any) -> z3.BoolRef:
        return z3.Or(*[s.phase(x) == phase for phase in (COMMITTED, ACTED, WITHDRAWN)])

    yield (
        TOLD,
        all_of(Roll, lambda x: z3.Implies(is_told(x), z3.And(s.noted(x), s.held(at(x))))),
    )
    yield (
        "E4 nothing closes before it is asked to",
        all_of(Roll, lambda x: z3.Implies(early(x), z3.Not(z3.Or(trouble(s, x), s.noticed(x))))),
    )
    yield ACKNOWLEDGED, all_of(Roll, lambda x: z3.Implies(late(x), s.noticed(x)))
    asked = all_of(Roll, lambda x: z3.Implies(s.phase(x) == ASKED, z3.Not(s.down(x))))
    yield "E4 who has not acted has put nothing down", asked
    never = all_of(Roll, lambda x: z3.Implies(s.phase(x) == NEVER_CLOSED, z3.Not(trouble(s, x))))
    yield "E4 who closed nothing closes nothing", never
    yield "E4 what closes is asked for", all_of(Roll, lambda x: z3.Implies(s.closes(x), s.asked(x)))
    seen = all_of(Roll, lambda x: z3.Implies(z3.And(s.asked(x), s.noticed(s.heir(x))), s.closes(x)))
    yield NOTICED, seen
    settled = all_of(Roll, lambda x: z3.Implies(s.phase(s.heir(x)) == RUNNING, z3.Not(trouble(s, x))))
    yield SEEN_RUNNING, settled


def of_messages(s: State, without: str) -> Iterator[tuple[str, Any]]:
    yield (
        "E4 a revision that is compared was there",
        all_of(Message, lambda m: z3.Implies(s.under_way(m), s.was(compares(m)))),
    )
    yield "E4 the revision is one that was there", s.was(s.revision())
    current = all_of(
        Message, lambda m: z3.Implies(z3.And(s.under_way(m), compares(m) == s.revision()), decided(s, m, without))
    )
    yield DECIDED, current


def clauses(s: State, without: str = "") -> dict[str, Any]:
    """Without a rule of what is decided, nothing of what is under way keeps it either."""
    parts = (of_slots(s), of_notes(s), of_rolls(s), of_messages(s, without))
    return {name: clause for part in parts for name, clause in part}
