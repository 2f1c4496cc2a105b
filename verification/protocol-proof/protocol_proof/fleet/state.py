"""The state of a fleet: a group's semaphore and notes, the transactions under way, rolls and gateways, over sorts of any size."""

from typing import Any

import z3

from ..state import YES, Function, State, constantly

Gateway, Roll, Message, Revision, Seat = (
    z3.DeclareSort(sort) for sort in ("Gateway", "Roll", "Message", "Revision", "Seat")
)
"""A roll is one controller's attempt at one gateway, with a nonce of its own. A seat is one of the budget's slots."""

Phase, PHASES = z3.EnumSort(
    "Phase",
    [
        "it_waits",
        "it_has",
        "it_asked",
        "it_committed",
        "it_acted",
        "it_withdrew",
        "it_saw",
        "it_closed_nothing",
        "it_keeps",
    ],
)
WAITS, HAS, ASKED, COMMITTED, ACTED, WITHDRAWN, RUNNING, NEVER_CLOSED, KEEPS = PHASES
"""The last three are the ends of `src/fleet/slot.rs`: it has seen the gateway run, it closed nothing, anything else."""

Kind, KINDS = z3.EnumSort("Kind", ["to_take", "to_join", "to_give_back", "to_leave", "to_rewrite"])
TAKE, JOIN, GIVE_BACK, LEAVE, REWRITE = KINDS

# What never changes: which gateway a roll is of, and what a transaction compares and stores.
at = z3.Function("at", Roll, Gateway)
by = z3.Function("by", Message, Roll)
kind = z3.Function("kind", Message, Kind)
compares = z3.Function("compares", Message, Revision)
says_held = z3.Function("says_held", Message, Gateway, YES)
says_slots = z3.Function("says_slots", Message, Seat, YES)
says_noted = z3.Function("says_noted", Message, Roll, YES)
says_inherits = z3.Function("says_inherits", Message, Roll, YES)
says_kept = z3.Function("says_kept", Message, YES)
seat_for = z3.Function("seat_for", Message, Seat)
"""The slot that a take has seen free."""

FIELDS: dict[str, list[z3.SortRef]] = {
    # What the engine keeps: the holders, the budget, each gateway's note, the revision.
    "held": [Gateway, YES],
    "slots": [Seat, YES],
    "noted": [Roll, YES],
    "inherits": [Roll, YES],
    "kept": [Gateway, YES],
    "revision": [Revision],
    # What was sent, and may arrive at any time or never.
    "under_way": [Message, YES],
    # Rolls: where each is, whether it is no more, whether it is told that it has the slot.
    "phase": [Roll, Phase],
    "over": [Roll, YES],
    "told": [Roll, YES],
    # Gateways: whose hold is asked for and may close the gate, whose does, and whose act has put it down.
    "asked": [Roll, YES],
    "closes": [Roll, YES],
    "down": [Roll, YES],
    # History, which nobody can see: revisions that were there, which slot each holder has, whether it has had that since
    # before the budget was set without it, whether the gateway has looked since a roll asked, and which roll answers for what
    # another has left.
    "was": [Revision, YES],
    "seat": [Gateway, Seat],
    "older": [Gateway, YES],
    "noticed": [Roll, YES],
    "heir": [Roll, Roll],
}


def any_state() -> State:
    """A state of which nothing is known."""
    fields: dict[str, Function] = {}
    for field, sorts in FIELDS.items():
        if len(sorts) == 1:
            fields[field] = constantly(z3.Const(field, sorts[0]))
        else:
            fields[field] = z3.Function(field, *sorts)
    return State(fields)


def initial() -> State:
    """Nobody has a slot, and nothing has happened. The budget is any."""
    start = any_state()
    nothing = {field: constantly(False) for field, sorts in FIELDS.items() if sorts[-1] == YES and field != "slots"}
    now = start.revision()
    return start.but(**nothing, phase=WAITS, heir=lambda x: x).but(was=lambda r: r == now)


def all_of(sort: z3.SortRef, holds: Any) -> z3.BoolRef:
    it = z3.Const(f"any_{sort.name()}", sort)
    return z3.ForAll([it], holds(it))


def trouble(s: State, x: Any) -> z3.BoolRef:
    """This roll's doing closes its gateway, or may yet."""
    return z3.Or(s.asked(x), s.closes(x), s.down(x))


def done(s: State, x: Any) -> z3.BoolRef:
    """It asks nothing of its gateway any more."""
    phase = s.phase(x)
    return z3.Or(s.over(x), phase == RUNNING, phase == NEVER_CLOSED, phase == KEEPS)


def uses(s: State, x: Any) -> z3.BoolRef:
    """It takes the slot to be there, and may ask its gateway to close."""
    return z3.And(z3.Not(done(s, x)), s.phase(x) != WAITS)
