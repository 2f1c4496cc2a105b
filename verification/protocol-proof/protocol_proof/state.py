"""The state of a home, its files and its gateway: functions over sorts of unbounded size, and how a step changes them."""

from collections.abc import Callable
from typing import Any

import z3

Name, Owner, Nonce, Incarnation = (z3.DeclareSort(sort) for sort in ("Name", "Owner", "Nonce", "Incarnation"))
Action, ACTIONS = z3.EnumSort("Action", ["absent", "drain", "commit", "cancel", "override", "rubbish"])
ABSENT, DRAIN, COMMIT, CANCEL, OVERRIDE, RUBBISH = ACTIONS
YES = z3.BoolSort()
NOBODY = z3.Const("nobody", Owner)
"""To whom belongs what was found without content: to the first who names himself."""
MARKER = z3.Const("marker", Name)
"""The one name whose file is everybody's: that it is there decides, no matter who wrote it."""

Function = Callable[..., Any]

WRITE = {"act": Action, "owner": Owner, "nonce": Nonce, "token": Nonce, "ours": YES, "bound": YES, "inc": Incarnation}
"""What a file says. `ours`: it bears no other epoch; `bound`: it names an incarnation, which is `inc` then."""
HOLD = {"held": YES, "owner": Owner, "committed": YES, "token": Nonce, "bound": YES}
LEDGER = {"answered": YES, "answer_to": Nonce, "granted": YES}
RECORDED = {"committed": YES, "owner": Owner, "token": Nonce}


def of_names(prefix: str, fields: dict[str, z3.SortRef]) -> dict[str, list[z3.SortRef]]:
    return {f"{prefix}_{field}": [Name, sort] for field, sort in fields.items()}


FIELDS: dict[str, list[z3.SortRef]] = {
    # On the disk: each file, the status, the record of commits.
    **of_names("file", WRITE),
    "status_ok": [YES],
    **of_names("status", HOLD | LEDGER),
    "record_ok": [YES],
    **of_names("record", RECORDED),
    # The process: what it has read of each file, its holds, its ledger, whether the last write that it met in a hold's place
    # was of that hold's owner, and what it is about to publish.
    "alive": [YES],
    "shutting": [YES],
    "open": [YES],
    "busy": [YES],
    "incarnation": [Incarnation],
    "seen": [Name, YES],
    **of_names("seen", WRITE),
    **of_names("now", HOLD | LEDGER),
    "now_own": [Name, YES],
    "taken": [YES],
    "taken_recorded": [YES],
    **of_names("taken", HOLD | LEDGER),
    # History, which nobody can see.
    "used": [Name, Nonce, YES],
    "replayed": [Name, Nonce, YES],
    "wanted": [Name, Nonce, Incarnation, YES],
    "decided": [Name, Nonce, YES],
    "was_granted": [Name, Nonce, YES],
    "granted_by": [Name, Nonce, Incarnation, YES],
    "told": [Name, Nonce, Owner, YES],
    "told_refused": [Name, Nonce, YES],
    "asked": [Name, Nonce, Owner, YES],
    "overruled": [Name, Nonce, YES],
    "superseded": [Name, Nonce, YES],
}


class State:
    """Each field as a function. A step makes another state of it, whose functions are made of these."""

    def __init__(self, fields: dict[str, Function], number: int = 0) -> None:
        self.fields = fields
        self.number = number

    def __getattr__(self, field: str) -> Function:
        return self.fields[field]

    def but(self, **changed: Any) -> "State":
        for field, value in changed.items():
            if field not in self.fields:
                raise KeyError(field)
            if not callable(value):
                changed[field] = constantly(value)
        return State(self.fields | changed, self.number)

    def term(self, name: str, sort: z3.SortRef) -> Any:
        """Something that the next step chooses, whatever it is."""
        return z3.Const(f"step{self.number}_{name}", sort)

    def next(self) -> "State":
        return State(self.fields, self.number + 1)

    def at(self, name: Any, **changed: Any) -> "State":
        """As it is, but for what these fields are of this name."""
        return self.but(**{field: put(self.fields[field], name, value) for field, value in changed.items()})


def constantly(value: Any) -> Function:
    term = z3.BoolVal(value) if isinstance(value, bool) else value
    return lambda *_: term


def put(function: Function, at: Any, value: Any) -> Function:
    return lambda x: z3.If(x == at, value, function(x))


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
    """Nothing has happened: no file, no gateway, no history. What is meaningless then is anything."""
    start = any_state()
    nothing = {field: constantly(False) for field, sorts in FIELDS.items() if sorts[-1] == YES}
    return start.but(**nothing, file_act=ABSENT)


def copied(state: State, origin: str, to: str, fields: dict[str, z3.SortRef]) -> dict[str, Function]:
    """The fields of one part, to be those of another."""
    return {f"{to}_{field}": state.fields[f"{origin}_{field}"] for field in fields}
