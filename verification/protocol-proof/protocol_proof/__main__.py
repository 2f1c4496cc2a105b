"""Proves E1, and with it H2, H4, C6, C7, E3 and S2, for any number of owners, holds, writes, crashes and restarts."""

from collections.abc import Iterator
from typing import Any

import z3

from .invariant import between, clauses
from .proving import Obligation, Proof, prove
from .state import any_state, initial
from .steps import RULES, steps
from .stories import STORIES, told

CLAUSES, STEPS = 46, 36
OBLIGATIONS = {
    "S2": 260,
    "H2": 32,
    "H4": 777,
    "C6": 555,
    "C7": 17,
    "E1": 111,
    "E3": 17,
}
"""For each property: its clauses at the beginning and after each step, and what is said of the step itself.
`docs/verification.md` tells these numbers."""


def obligations(without: str = "") -> Iterator[Obligation]:
    for clause, holds in clauses(initial()).items():
        yield "at the beginning", clause, [z3.Not(holds)]
    state = any_state()
    before = list(clauses(state).values())
    for step in steps(state, without):
        for clause, holds in [*clauses(step.after).items(), *between(state, step)]:
            yield step.name, clause, [*before, step.may, z3.Not(holds)]


def stories() -> Iterator[tuple[str, int, list[Any]]]:
    for story in STORIES:
        yield story.name, len(story.steps), told(story)


PROOF = Proof("the protocol", obligations, RULES, (CLAUSES, STEPS), OBLIGATIONS, stories)

if __name__ == "__main__":
    state = any_state()
    prove(PROOF, len(clauses(state)), len(list(steps(state))))
