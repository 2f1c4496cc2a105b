"""Proves E1, and with it H2, H4, C6, C7, E3 and S2, for any number of owners, holds, writes, crashes and restarts."""

import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import z3

from .invariant import between, clauses
from .solvers import by_cvc5, by_z3
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


def obligations(without: str = "") -> Iterator[tuple[str, str, list[Any]]]:
    """What happens, what has to hold then, and the assertions that nothing may satisfy."""
    for clause, holds in clauses(initial()).items():
        yield "at the beginning", clause, [z3.Not(holds)]
    state = any_state()
    before = list(clauses(state).values())
    for step in steps(state, without):
        for clause, holds in [*clauses(step.after).items(), *between(state, step)]:
            yield step.name, clause, [*before, step.may, z3.Not(holds)]


def refuted(part: int, parts: int) -> tuple[Counter[str], list[str]]:
    """For how many obligations of one part both solvers were asked, and those that one of them doesn't prove."""
    counts: Counter[str] = Counter()
    found = []
    for number, (happens, clause, assertions) in enumerate(obligations()):
        if number % parts == part:
            counts[clause[:2]] += 1
            answers = {"z3": by_z3(assertions), "cvc5": by_cvc5(assertions)}
            if set(answers.values()) != {"unsat"}:
                found.append(f"«{clause}» after «{happens}»: {answers}")
    return counts, found


def left_out(rule: str) -> str:
    """The first clause of the rule's property that breaks without the rule."""
    for happens, clause, assertions in obligations(rule):
        if clause.startswith(RULES[rule]) and by_z3(assertions) == "sat":
            return f"  without «{rule}»: «{clause}» is broken by «{happens}»"
    sys.exit(f"without «{rule}» no clause of {RULES[rule]} breaks: the proof doesn't need it, or can't fail")


def main() -> None:
    started = time.monotonic()
    state = any_state()
    found_here = (len(clauses(state)), len(list(steps(state))))
    if found_here != (CLAUSES, STEPS):
        sys.exit(f"{found_here} clauses and steps, not {(CLAUSES, STEPS)}")
    with ProcessPoolExecutor(2) as workers:
        parts = list(workers.map(refuted, range(2), [2, 2]))
        counts = parts[0][0] + parts[1][0]
        if found := [line for part in parts for line in part[1]]:
            sys.exit("\n".join(["not proved:", *found]))
        if counts != OBLIGATIONS:
            sys.exit(f"{dict(counts)} obligations, not {OBLIGATIONS}")
        told_counts = ", ".join(f"{name} {count}" for name, count in OBLIGATIONS.items())
        print(f"proved by z3 and by cvc5: {sum(OBLIGATIONS.values())} obligations ({told_counts})")
        print(f"of {CLAUSES} clauses and {STEPS} steps")
        for story in STORIES:
            if by_z3(told(story)) != "sat":
                sys.exit(f"this can't happen: {story.name}")
            print(f"shown possible: {story.name} ({len(story.steps)} steps)")
        print(f"rules left out: {len(RULES)}, each missed")
        for line in workers.map(left_out, RULES):
            print(line)
    print(f"the protocol is proved, in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
