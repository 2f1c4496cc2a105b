"""Proves E4 for any number of gateways, controllers, transactions, crashes and slots."""

from collections.abc import Iterator
from typing import Any

import z3

from ..proving import Obligation, Proof, prove
from .counting import counted
from .invariant import clauses
from .state import any_state, initial
from .steps import RULES, steps
from .stories import STORIES, few, told

CLAUSES, STEPS = 20, 25
OBLIGATIONS = {
    "E4": 526,
}
"""The clauses at the beginning and after each step, and what is asked of budgets of one to three.
`docs/verification.md` tells this number."""


def obligations(without: str) -> Iterator[Obligation]:
    for clause, holds in clauses(initial()).items():
        yield "at the beginning", clause, [z3.Not(holds)]
    state = any_state()
    before = list(clauses(state, without).values())
    # What is looked for without a rule is looked for among few.
    among = list(few()) if without else []
    for step in steps(state, without):
        for clause, holds in clauses(step.after, without).items():
            yield step.name, clause, [*among, *before, step.may, z3.Not(holds)]
    yield from counted(state)


def stories() -> Iterator[tuple[str, int, list[Any]]]:
    for story in STORIES:
        yield story.name, len(story.steps), told(story)


PROOF = Proof("the fleet", obligations, RULES, (CLAUSES, STEPS), OBLIGATIONS, stories)

if __name__ == "__main__":
    some = any_state()
    prove(PROOF, len(clauses(some)), len(list(steps(some))))
