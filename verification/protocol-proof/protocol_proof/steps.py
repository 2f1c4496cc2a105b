"""Everything that can happen. More may happen here than in the crate: a lease ends when it likes, a request is refused for
no reason, a file is read long before it is decided on, and anybody writes anything.

`rules` are the rules that the proof rests on; a run with one of them left out has to fail.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import z3

from .state import (
    ABSENT,
    CANCEL,
    COMMIT,
    DRAIN,
    HOLD,
    LEDGER,
    MARKER,
    NOBODY,
    OVERRIDE,
    RUBBISH,
    WRITE,
    YES,
    Action,
    Incarnation,
    Name,
    Nonce,
    Owner,
    State,
    copied,
    put,
)

RULES = {
    "a commit needs a drained gate": "E1",
    "a commit outlasts its lease": "H4",
    "a commit outlasts its file": "H4",
    "only its owner ends a commit": "H4",
    "only its token ends a commit": "H4",
    "a drain over a commit is refused": "H4",
    "a start takes over the status": "H4",
    "a start without a status takes over the record": "H4",
    "the record is written before the status": "H4",
    "a shutdown leaves what lies in files": "H4",
    "status and record are not lost both": "H4",
    "a held gate stays closed": "E1",
    "a closed gate admits nothing": "E1",
    "one withdrawal ends one hold": "H2",
    "the withdrawal of a commit is not refused": "E3",
    "a hold is renewed by its owner alone": "C7",
    "a hold vanishes with its owner's write alone": "C7",
    "another incarnation's request is refused": "C6",
    "the ledger has what was decided alone": "C6",
    "what was answered is not decided again": "S2",
    "a commit names the process that is to grant it": "S2",
}
"""Each rule, and the property whose clauses break without it."""


@dataclass(frozen=True)
class Step:
    name: str
    may: z3.BoolRef
    after: State
    about: Any = None
    """The one hold that the step is about, if it is about one."""
    ends_the_process: bool = False


def dead(s: State) -> State:
    return s.but(alive=False, shutting=False, open=False, busy=False, taken=False, taken_recorded=False, seen=False)


def environment(s: State, without: str) -> Iterator[Step]:
    """Owners, operators, cleaners, the machine."""
    h, n, o, t = s.term("name", Name), s.term("nonce", Nonce), s.term("owner", Owner), s.term("token", Nonce)
    act, i = s.term("act", Action), s.term("incarnation", Incarnation)
    written = s.at(
        h,
        file_act=act,
        file_owner=o,
        file_nonce=n,
        file_token=t,
        file_ours=s.term("ours", YES),
        file_bound=s.term("bound", YES),
        file_inc=i,
    )
    yield Step(
        "somebody writes a file",
        act != ABSENT,
        written.but(
            used=lambda x, m: z3.Or(s.used(x, m), z3.And(x == h, m == n)),
            replayed=lambda x, m: z3.Or(s.replayed(x, m), z3.And(x == h, m == n, s.used(h, n))),
            wanted=lambda x, m, j: z3.Or(s.wanted(x, m, j), z3.And(x == h, m == n, j == i, s.term("bound", YES))),
            # A withdrawal of one's commit withdraws those as well in whose place it was put.
            asked=lambda x, m, p: z3.Or(
                s.asked(x, m, p), z3.And(act == CANCEL, x == h, p == o, z3.Or(m == t, s.superseded(h, m)))
            ),
            overruled=lambda x, m: z3.Or(
                s.overruled(x, m), z3.And(act == OVERRIDE, x == h, z3.Or(s.used(h, m), m == n))
            ),
        ),
    )
    yield Step("somebody removes a file", z3.BoolVal(True), s.at(h, file_act=ABSENT))
    spared = without != "status and record are not lost both"
    yield Step("the status is lost", s.record_ok() if spared else z3.BoolVal(True), s.but(status_ok=False))
    yield Step("the record is lost", s.status_ok() if spared else z3.BoolVal(True), s.but(record_ok=False))
    keeps = z3.Function(f"step{s.number}_keeps", Name, YES)
    yield Step(
        "the machine boots",
        z3.BoolVal(True),
        dead(s).but(status_ok=False, record_ok=False, told=False, file_ours=lambda x: z3.And(s.file_ours(x), keeps(x))),
        ends_the_process=True,
    )


def process(s: State, without: str) -> Iterator[Step]:
    """The gateway's life, its gate and its turns."""
    h, i = s.term("name", Name), s.term("incarnation", Incarnation)
    yield Step("a crash", s.alive(), dead(s), ends_the_process=True)
    yield Step("a stop", z3.And(s.alive(), s.shutting()), dead(s), ends_the_process=True)
    yield start(s, i, without)
    leaves = without != "a shutdown leaves what lies in files"
    yield Step(
        "a shutdown begins",
        s.alive(),
        s.but(shutting=True, open=False, **({} if leaves else {"now_held": False, "now_committed": False})),
    )
    x = z3.Const("x", Name)
    nobody = z3.ForAll([x], z3.Not(s.now_held(x)))
    if without == "a held gate stays closed":
        nobody = z3.BoolVal(True)
    yield Step("the gate opens", z3.And(s.alive(), z3.Not(s.shutting()), nobody), s.but(open=True))
    yield Step("the gate closes", s.alive(), s.but(open=False))
    admits = s.open() if without != "a closed gate admits nothing" else z3.BoolVal(True)
    yield Step("a turn enters", z3.And(s.alive(), admits), s.but(busy=True))
    yield Step("the last turn leaves", s.alive(), s.but(busy=False))
    lease = z3.And(s.alive(), s.now_held(h))
    if without != "a commit outlasts its lease":
        lease = z3.And(lease, z3.Not(s.now_committed(h)))
    yield Step("a lease ends", lease, s.at(h, now_held=False, now_committed=False), about=h)
    yield Step(
        "an operator overrides at the controller",
        s.alive(),
        s.at(h, now_held=False, now_committed=False).but(
            overruled=lambda y, m: z3.Or(s.overruled(y, m), z3.And(y == h, s.used(h, m)))
        ),
        about=h,
    )


def start(s: State, incarnation: Any, without: str) -> Step:
    """From the status; where that is lost, the commits from the record; where both are, from nothing."""
    by_status = s.status_ok() if without != "a start takes over the status" else z3.BoolVal(False)
    by_record = z3.And(z3.Not(s.status_ok()), s.record_ok())
    if without == "a start without a status takes over the record":
        by_record = z3.BoolVal(False)

    noted = z3.Function(f"step{s.number}_noted", Name, YES)

    def held(x: Any) -> z3.BoolRef:
        stays = z3.And(s.status_held(x), z3.Or(z3.Not(s.status_bound(x)), s.status_committed(x)))
        return z3.If(by_status, stays, z3.And(by_record, s.record_committed(x)))

    new = s.but(
        alive=True,
        shutting=False,
        open=False,
        busy=False,
        incarnation=incarnation,
        seen=False,
        taken=False,
        taken_recorded=False,
        now_held=held,
        now_owner=lambda x: z3.If(by_status, s.status_owner(x), s.record_owner(x)),
        now_committed=lambda x: z3.And(
            held(x), z3.If(by_status, s.status_committed(x), z3.And(by_record, s.record_committed(x)))
        ),
        now_token=lambda x: z3.If(by_status, s.status_token(x), s.record_token(x)),
        now_bound=lambda x: z3.And(by_status, s.status_bound(x)),
        now_answered=lambda x: z3.If(
            by_status, z3.And(s.status_answered(x), noted(x)), z3.And(by_record, s.record_committed(x), noted(x))
        ),
        now_answer_to=lambda x: z3.If(by_status, s.status_answer_to(x), s.record_token(x)),
        now_granted=lambda x: z3.Or(z3.Not(by_status), s.status_granted(x)),
        now_own=z3.Function(f"step{s.number}_own", Name, YES),
    )
    x, n = z3.Const("x", Name), z3.Const("n", Nonce)
    drawn = z3.ForAll([x, n], z3.Not(s.wanted(x, n, incarnation)))  # At random: nobody has named it yet.
    return Step("a start", z3.And(z3.Not(s.alive()), drawn), new)


def publication(s: State, without: str) -> Iterator[Step]:
    """What is so is taken down, the record is written from it, then the status."""
    whole = HOLD | LEDGER
    yield Step(
        "what is so is taken down",
        s.alive(),
        s.but(taken=True, taken_recorded=False, **copied(s, "now", "taken", whole)),
    )
    yield Step(
        "the record is written",
        z3.And(s.alive(), s.taken()),
        s.but(
            record_ok=True,
            taken_recorded=True,
            record_committed=lambda x: z3.And(s.taken_held(x), s.taken_committed(x)),
            record_owner=s.taken_owner,
            record_token=s.taken_token,
        ),
    )
    first = s.taken_recorded() if without != "the record is written before the status" else z3.BoolVal(True)
    yield Step(
        "the status is written",
        z3.And(s.alive(), s.taken(), first),
        s.but(
            status_ok=True,
            taken=False,
            taken_recorded=False,
            **copied(s, "taken", "status", whole),
            told=lambda x, m, o: z3.Or(
                s.told(x, m, o),
                z3.And(s.taken_held(x), s.taken_committed(x), s.taken_token(x) == m, s.taken_owner(x) == o),
            ),
            told_refused=lambda x, m: z3.Or(
                s.told_refused(x, m),
                z3.And(s.taken_answered(x), s.taken_answer_to(x) == m, z3.Not(s.taken_granted(x))),
            ),
        ),
    )


def look(s: State, without: str) -> Iterator[Step]:
    h = s.term("name", Name)
    read = {f"seen_{field}": put(s.fields[f"seen_{field}"], h, s.fields[f"file_{field}"](h)) for field in WRITE}
    yield Step("a file is read", s.alive(), s.but(**read).at(h, seen=z3.BoolVal(True)))
    yield from decisions(s, h, without)


def decisions(s: State, h: Any, without: str) -> Iterator[Step]:
    """What was read of one file is decided on."""
    act, o, n = s.seen_act(h), s.seen_owner(h), s.seen_nonce(h)
    read = z3.And(s.alive(), s.seen(h))
    held, committed = s.now_held(h), s.now_committed(h)
    its = s.now_owner(h) == o
    unknown = z3.Not(z3.And(s.now_answered(h), s.now_answer_to(h) == n))
    unknown = z3.And(unknown, z3.Not(z3.And(held, committed, s.now_token(h) == n)))
    if without == "what was answered is not decided again":
        unknown = z3.BoolVal(True)
    bound = z3.And(s.seen_bound(h), s.seen_inc(h) != s.incarnation())
    if without == "another incarnation's request is refused":
        bound = z3.BoolVal(False)
    heard = z3.And(read, act != ABSENT, act != RUBBISH, unknown, s.seen_ours(h), z3.Not(bound))
    known = {"now_answered": z3.BoolVal(True), "now_answer_to": n}
    if without == "the ledger has what was decided alone":
        known["now_answer_to"] = s.term("other", Nonce)

    def decided(state: State) -> State:
        return state.but(decided=lambda x, m: z3.Or(s.decided(x, m), z3.And(x == h, m == n)))

    own = z3.And(its, act != RUBBISH, s.seen_ours(h))

    def answered(name: str, may: z3.BoolRef, granted: bool, **changed: Any) -> Step:
        after = s.at(h, **known, **({"now_own": own} | changed), now_granted=z3.BoolVal(granted))
        return Step(f"decided: {name}", may, decided(after), about=h)

    no, yes = z3.BoolVal(False), z3.BoolVal(True)
    ends = z3.And(read, act == ABSENT, held)
    if without != "a commit outlasts its file":
        ends = z3.And(ends, z3.Not(committed))
    if without != "a hold vanishes with its owner's write alone":
        ends = z3.And(ends, z3.Or(s.now_own(h), committed, h == MARKER))
    gone = {"now_held": no, "now_committed": no}
    yield Step("decided: the file is gone, and its hold with it", ends, s.at(h, **gone, now_answered=no), about=h)
    yield Step("decided: the file is gone", z3.And(read, act == ABSENT), s.at(h, now_answered=no), about=h)
    fresh = {"now_held": yes, "now_owner": o, "now_committed": no, "now_bound": s.seen_bound(h), "now_own": yes}
    nobody = z3.And(read, act != ABSENT, unknown, z3.Not(held))
    withdrawal = z3.And(heard, act == CANCEL, held, committed, its, s.now_token(h) == s.seen_token(h))
    refuses = z3.And(read, act != ABSENT, unknown, z3.Not(withdrawal))
    if without == "the withdrawal of a commit is not refused":
        refuses = z3.And(read, act != ABSENT, unknown)
    yield answered("refused, for whatever reason", refuses, False)
    yield answered("refused, and closed for a lease", z3.And(nobody, z3.Not(s.shutting())), False, **fresh)
    nobody_s = z3.And(held, z3.Not(committed), s.now_owner(h) == NOBODY)
    unread = z3.And(read, act == RUBBISH, unknown, z3.Or(z3.Not(held), nobody_s), z3.Not(s.shutting()))
    yield answered("it can't be read, and closes for a lease", unread, True, **fresh)
    stands = z3.And(read, act == COMMIT, held, committed, s.now_token(h) == n)
    yield answered("a commit that stands is acknowledged again", stands, True)
    yield Step("decided: somebody else's is there", z3.And(read, act != ABSENT), s.at(h, now_own=no), about=h)
    ends_nothing = z3.And(z3.Or(act == CANCEL, act == OVERRIDE), z3.Not(held))
    begins = z3.Or(act == DRAIN, act == COMMIT, act == RUBBISH)
    forgets = z3.And(read, z3.Or(begins, ends_nothing), unknown, s.shutting())
    yield Step("decided: refused by a process that ends", forgets, s.at(h, now_answered=no, now_own=own), about=h)
    may = z3.And(heard, act == DRAIN, z3.Not(s.shutting()))
    yield answered("a hold begins", z3.And(may, z3.Not(held)), True, **fresh)
    renews = z3.And(may, held, its)
    if without == "a drain over a commit is refused":
        yield answered("a drain over a commit begins it again", renews, True, **fresh)
    yield answered("a hold is renewed", z3.And(renews, z3.Not(committed)), True)
    if without == "a hold is renewed by its owner alone":
        yield answered("another's hold is taken over", z3.And(may, held, z3.Not(committed)), True, **fresh)
    drained = z3.And(z3.Not(s.open()), z3.Not(s.busy()))
    if without == "a commit needs a drained gate":
        drained = z3.BoolVal(True)
    grants = z3.And(heard, act == COMMIT, held, its, drained, z3.Not(s.shutting()))
    if without != "a commit names the process that is to grant it":
        grants = z3.And(grants, s.seen_bound(h))
    yield Step("decided: a grant is recorded", grants, granted_in_history(s, recorded(s, h, o, n), h, o, n), about=h)
    granted = answered("a commit is granted", grants, True, now_held=yes, now_committed=yes, now_token=n, now_bound=no)
    yield Step(granted.name, granted.may, granted_in_history(s, granted.after, h, o, n), about=h)
    owns = its if without != "only its owner ends a commit" else yes
    bears = s.now_token(h) == s.seen_token(h) if without != "only its token ends a commit" else yes
    yield answered("a withdrawal of nothing", z3.And(heard, act == CANCEL, z3.Not(held)), True)
    adopts = z3.And(may, held, z3.Not(committed), s.now_owner(h) == NOBODY)
    yield answered("what belongs to nobody is taken", adopts, True, **fresh)
    cancels = z3.And(heard, act == CANCEL, held)
    yield answered("a hold is withdrawn", z3.And(cancels, its, z3.Not(committed)), True, **gone)
    yield answered("a commit is withdrawn", z3.And(cancels, owns, committed, bears), True, **gone)
    if without == "one withdrawal ends one hold":
        all_gone = s.but(now_held=lambda x: z3.And(s.now_held(x), s.now_committed(x)))
        yield Step("decided: all holds are withdrawn", z3.And(cancels, its, z3.Not(committed)), all_gone, about=h)
    yield answered("an override", z3.And(heard, act == OVERRIDE), True, **gone)


def recorded(s: State, h: Any, o: Any, n: Any) -> State:
    """The record as it will be once the commit is granted; it is written before."""
    commits = {"record_committed": z3.BoolVal(True), "record_owner": o, "record_token": n}
    now = s.but(
        record_ok=True,
        record_committed=lambda x: z3.And(s.now_held(x), s.now_committed(x)),
        record_owner=s.now_owner,
        record_token=s.now_token,
    )
    return now.at(h, **commits)


def granted_in_history(s: State, after: State, h: Any, o: Any, n: Any) -> State:
    """A second commit takes the place of its owner's first."""
    committed = z3.And(s.now_held(h), s.now_committed(h))

    def superseded(x: Any, m: Any) -> z3.BoolRef:
        return z3.Or(s.superseded(x, m), z3.And(x == h, committed, m == s.now_token(h)))

    return after.but(
        was_granted=lambda x, m: z3.Or(s.was_granted(x, m), z3.And(x == h, m == n)),
        granted_by=lambda x, m, i: z3.Or(s.granted_by(x, m, i), z3.And(x == h, m == n, i == s.incarnation())),
        decided=lambda x, m: z3.Or(s.decided(x, m), z3.And(x == h, m == n)),
        superseded=superseded,
        asked=lambda x, m, p: z3.Or(s.asked(x, m, p), z3.And(x == h, p == o, superseded(h, m), s.asked(h, n, o))),
    )


def steps(s: State, without: str = "") -> Iterator[Step]:
    for part in (environment, process, publication, look):
        yield from part(s, without)
