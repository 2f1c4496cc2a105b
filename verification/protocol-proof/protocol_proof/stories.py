"""Stories that can happen: the steps by name, and what is so at their end. So what is proved is not true of nothing."""

from dataclasses import dataclass
from typing import Any

import z3

from .invariant import standing
from .state import CANCEL, COMMIT, DRAIN, Name, Nonce, Owner, State, initial
from .steps import steps

WRITE, READ = "somebody writes a file", "a file is read"
PUBLISHED = ["what is so is taken down", "the record is written", "the status is written"]
BEGUN = ["a start", "the gate opens", "a turn enters", WRITE, READ, "decided: a hold begins", "the gate closes"]
GRANTED = [*BEGUN, "the last turn leaves", WRITE, READ, "decided: a grant is recorded", "decided: a commit is granted"]
GRANTED += PUBLISHED
AFTER_A_CRASH = [*GRANTED, "the status is lost", "a crash", "a start"]
AFTER_A_RESTART = [*GRANTED, "a shutdown begins", *PUBLISHED, "a stop", "the record is lost", "a start"]
WITHDRAWN = [*AFTER_A_CRASH, WRITE, READ, "decided: a commit is withdrawn", "the gate opens", "a turn enters"]
REFUSED = [*BEGUN, WRITE, READ, "decided: refused, for whatever reason", *PUBLISHED]


@dataclass(frozen=True)
class Story:
    name: str
    steps: list[str]
    ends: str


STORIES = [
    Story("a commit stands after a lost status, a crash and a restart", AFTER_A_CRASH, "stands"),
    Story("a commit stands after a graceful restart and a lost record", AFTER_A_RESTART, "stands"),
    Story("a commit that outlasted a crash is withdrawn, and a turn enters", WITHDRAWN, "busy"),
    Story("a commit is refused, and its owner is told", REFUSED, "told refused"),
]


def told(story: Story) -> list[Any]:
    """That the story happens, as conditions on what each of its steps chooses."""
    state, conditions, writes = initial(), [], 0
    acts = [DRAIN, COMMIT, CANCEL]
    name, owner, nonce = z3.Const("its", Name), z3.Const("who", Owner), z3.Const("which", Nonce)
    for step_name in story.steps:
        step = next(step for step in steps(state) if step.name == step_name)
        conditions.append(step.may)
        if step_name == WRITE:
            conditions.append(state.term("act", acts[0].sort()) == acts[writes])
            writes += 1
        if step_name in (WRITE, READ):
            conditions.append(state.term("name", Name) == name)
        state = step.after.next()
    return [*conditions, ending(state, story.ends, name, nonce, owner)]


def ending(state: State, ends: str, name: Any, nonce: Any, owner: Any) -> Any:
    if ends == "stands":
        return z3.And(state.alive(), standing(state, name, nonce, owner), z3.Not(state.open()))
    if ends == "busy":
        return z3.And(state.told(name, nonce, owner), state.busy())
    return z3.And(state.told_refused(name, nonce), state.used(name, nonce), z3.Not(state.was_granted(name, nonce)))
