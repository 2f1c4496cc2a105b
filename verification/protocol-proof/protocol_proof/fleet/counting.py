"""The two steps that count, which first-order logic can't do for every number at once: where there are fewer holders than
slots a slot is free, and gateways of which each has a slot of its own are at most as many as there are slots. The solvers are
asked for the smallest budgets.
"""

from collections.abc import Iterator
from typing import Any

import z3

from ..proving import Obligation
from ..state import State
from .invariant import clauses
from .state import Gateway, Roll, Seat, all_of, at, trouble

BUDGETS = (1, 2, 3)


def one_of(it: Any, some: list[Any]) -> z3.BoolRef:
    return z3.Or(z3.BoolVal(False), *[it == one for one in some])


def counted(s: State) -> Iterator[Obligation]:
    before = list(clauses(s).values())
    for budget in BUDGETS:
        seats = [z3.Const(f"seat{n}", Seat) for n in range(budget)]
        exactly = [z3.Distinct(*seats), all_of(Seat, lambda t, seats=seats: s.slots(t) == one_of(t, seats))]
        fewer = [z3.Const(f"holder{n}", Gateway) for n in range(budget - 1)]
        few = all_of(Gateway, lambda h, fewer=fewer: z3.Implies(s.held(h), one_of(h, fewer)))
        taken = [z3.Const(f"taker{n}", Gateway) for n in range(budget)]
        none_free = [z3.And(s.held(h), s.seat(h) == t) for h, t in zip(taken, seats, strict=True)]
        yield f"a budget of {budget}", "E4 with fewer holders than slots a slot is free", [*exactly, few, *none_free]
        closed = [z3.Const(f"closed{n}", Roll) for n in range(budget + 1)]
        apart = z3.Distinct(*[at(x) for x in closed])
        young = all_of(Gateway, lambda h: z3.Implies(s.held(h), z3.Not(s.older(h))))
        too_many = [apart, young, *[trouble(s, x) for x in closed]]
        yield f"a budget of {budget}", "E4 at most as many close as there are slots", [*before, *exactly, *too_many]
