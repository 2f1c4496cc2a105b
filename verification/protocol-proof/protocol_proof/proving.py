"""What both proofs do: ask both solvers for each obligation, tell the stories, leave each rule out."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from .solvers import by_cvc5, by_z3

Obligation = tuple[str, str, list[Any]]
"""What happens, what has to hold then, and the assertions that nothing may satisfy."""


@dataclass(frozen=True)
class Proof:
    name: str
    obligations: Callable[[str], Iterator[Obligation]]
    """Without this rule, or, if it is empty, with all of them."""
    rules: dict[str, str]
    """Each rule, and how the clauses begin of which one breaks without it."""
    size: tuple[int, int]
    """How many clauses and steps there are."""
    counts: dict[str, int]
    """How many obligations there are for each property."""
    stories: Callable[[], Iterator[tuple[str, int, list[Any]]]]
    """The name of each, how many steps it has, and the conditions under which it happens."""


def refuted(proof: Proof, part: int, parts: int) -> tuple[Counter[str], list[str]]:
    """For how many obligations of one part both solvers were asked, and those that one of them doesn't prove."""
    counts: Counter[str] = Counter()
    found = []
    for number, (happens, clause, assertions) in enumerate(proof.obligations("")):
        if number % parts == part:
            counts[clause[:2]] += 1
            answers = {"z3": by_z3(assertions), "cvc5": by_cvc5(assertions)}
            if set(answers.values()) != {"unsat"}:
                found.append(f"«{clause}» after «{happens}»: {answers}")
    return counts, found


def left_out(proof: Proof, rule: str) -> str:
    """The first clause that the rule is for and that breaks without it."""
    for happens, clause, assertions in proof.obligations(rule):
        if clause.startswith(proof.rules[rule]) and by_z3(assertions) == "sat":
            return f"  without «{rule}»: «{clause}» is broken by «{happens}»"
    sys.exit(f"without «{rule}» no clause of «{proof.rules[rule]}» breaks: the proof doesn't need it, or can't fail")


def prove(proof: Proof, clauses: int, steps: int) -> None:
    """Of so many clauses and steps, which were counted."""
    started = time.monotonic()
    if (clauses, steps) != proof.size:
        sys.exit(f"{(clauses, steps)} clauses and steps, not {proof.size}")
    with ProcessPoolExecutor(2) as workers:
        parts = list(workers.map(partial(refuted, proof, parts=2), range(2)))
        counts = parts[0][0] + parts[1][0]
        if found := [line for part in parts for line in part[1]]:
            sys.exit("\n".join(["not proved:", *found]))
        if counts != proof.counts:
            sys.exit(f"{dict(counts)} obligations, not {proof.counts}")
        told_counts = ", ".join(f"{name} {count}" for name, count in proof.counts.items())
        print(f"proved by z3 and by cvc5: {sum(proof.counts.values())} obligations ({told_counts})")
        print(f"of {clauses} clauses and {steps} steps")
        for name, length, conditions in proof.stories():
            if by_z3(conditions) != "sat":
                sys.exit(f"this can't happen: {name}")
            print(f"shown possible: {name} ({length} steps)")
        print(f"rules left out: {len(proof.rules)}, each missed")
        for line in workers.map(partial(left_out, proof), proof.rules):
            print(line)
    print(f"{proof.name} is proved, in {time.monotonic() - started:.0f} s")
