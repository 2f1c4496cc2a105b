"""Everything that can happen in a fleet. More may happen here than in the crate: a transaction arrives at any time after
it was decided on, or never; a roll ends at any time; any hold ends at any time.
"""

from collections.abc import Iterator
from typing import Any

import z3

from ..state import YES, State
from ..steps import Step
from .state import (
    ACTED,
    ASKED,
    COMMITTED,
    GIVE_BACK,
    HAS,
    JOIN,
    KEEPS,
    LEAVE,
    NEVER_CLOSED,
    REWRITE,
    RUNNING,
    TAKE,
    WAITS,
    WITHDRAWN,
    Gateway,
    Message,
    Revision,
    Roll,
    Seat,
    all_of,
    at,
    by,
    compares,
    done,
    kind,
    says_held,
    says_inherits,
    says_kept,
    says_noted,
    says_slots,
    seat_for,
    trouble,
)

HAS_ITS_SLOT = "E4 what closes or may close has its slot"
OWN_SEAT = "E4 no two gateways have one slot"
ANSWERED_FOR = "E4 what closes or may close is answered for"
INHERITS = "E4 an heir inherits"
IN_USE = "E4 who uses a slot is noted, and the slot is there"
TOLD = "E4 who is told of a slot is noted"
ACKNOWLEDGED = "E4 who acts was acknowledged"
NOTICED = "E4 an acknowledgement is of all that was asked before"
SEEN_RUNNING = "E4 who has seen the gateway run answers for nothing that closes it"
DECIDED = "E4 what can still be applied is decided from what is stored"

RULES = {
    "a transaction compares the revision that it was decided from": OWN_SEAT,
    "a revision never comes back": DECIDED,
    "a transaction that was not answered is never sent again": DECIDED,
    "silence is no yes": IN_USE,
    "a slot is taken only if one is free": OWN_SEAT,
    "a slot is taken before the gateway is asked to close": HAS_ITS_SLOT,
    "who shares a slot is noted": TOLD,
    "the last to end gives the slot back": HAS_ITS_SLOT,
    "a slot that is to stay is not given back": HAS_ITS_SLOT,
    "only the own slot is given back": HAS_ITS_SLOT,
    "what closed nothing leaves what it has inherited": ANSWERED_FOR,
    "anything else than running keeps the slot": ANSWERED_FOR,
    "who takes over from another inherits": INHERITS,
    "a slot is given back once the gateway was seen running": SEEN_RUNNING,
    "who acts on a gateway was acknowledged by it": ACKNOWLEDGED,
    "a controller is held to be dead only if it is": IN_USE,
    "one look notices all that is asked": NOTICED,
    "nobody frees by hand what is in use or closed": HAS_ITS_SLOT,
}
"""Each rule, and the clause that breaks without it. The last three are assumptions about what is around the crate."""


def decided(s: State, m: Any, without: str = "") -> z3.BoolRef:
    """What `src/fleet/slot.rs` decides from what is stored: that this transaction is one that its roll may send now."""
    p, of = by(m), kind(m)
    g = at(p)

    def rule(name: str, holds: z3.BoolRef) -> z3.BoolRef:
        return z3.BoolVal(True) if without == name else holds

    def holders(says: Any) -> z3.BoolRef:
        return all_of(Gateway, lambda h: says_held(m, h) == says(h))

    def of_its_note(says: Any) -> z3.BoolRef:
        return all_of(Roll, lambda x: z3.Implies(at(x) == g, says(x)))

    same_holders = holders(s.held)
    same_flags = of_its_note(lambda x: says_inherits(m, x) == s.inherits(x))
    phase = s.phase(p)
    asks = z3.And(z3.Or(phase == WAITS, phase == NEVER_CLOSED), z3.Not(s.noticed(p)))
    free = z3.And(s.slots(seat_for(m)), all_of(Gateway, lambda h: z3.Implies(s.held(h), s.seat(h) != seat_for(m))))
    takes = z3.And(
        asks,
        z3.Not(s.held(g)),
        rule("a slot is taken only if one is free", free),
        holders(lambda h: z3.Or(s.held(h), h == g)),
        of_its_note(lambda x: says_noted(m, x) == (x == p)),
        z3.Not(says_kept(m)),
    )
    # A controller that is known to be dead is removed; to inherit without a reason keeps a slot and never frees one.
    removed = of_its_note(lambda x: z3.Implies(z3.And(s.noted(x), z3.Not(says_noted(m, x))), says_inherits(m, p)))
    dead = of_its_note(lambda x: z3.Implies(z3.And(s.noted(x), z3.Not(says_noted(m, x))), s.over(x)))
    inherits = z3.And(z3.Implies(s.kept(g), says_inherits(m, p)), removed)
    joins = z3.And(
        asks,
        s.held(g),
        z3.Not(s.noted(p)),
        same_holders,
        of_its_note(lambda x: z3.Implies(says_noted(m, x), z3.Or(s.noted(x), x == p))),
        says_noted(m, p),
        rule("a controller is held to be dead only if it is", dead),
        rule("who takes over from another inherits", inherits),
        of_its_note(lambda x: z3.Or(x == p, says_inherits(m, x) == s.inherits(x))),
        z3.Not(says_kept(m)),
    )
    ends = z3.And(s.held(g), s.noted(p), z3.Or(phase == RUNNING, phase == NEVER_CLOSED, phase == KEEPS))
    last = rule("the last to end gives the slot back", of_its_note(lambda x: z3.Implies(s.noted(x), x == p)))
    settled = z3.Or(phase == RUNNING, z3.And(phase == NEVER_CLOSED, z3.Not(s.inherits(p))))
    removes_another = z3.And(
        all_of(Gateway, lambda h: z3.Implies(says_held(m, h), s.held(h))),
        z3.BoolVal(without == "only the own slot is given back"),
    )
    gives_back = z3.And(
        ends,
        last,
        rule("a slot that is to stay is not given back", z3.Not(s.kept(g))),
        settled,
        z3.Or(holders(lambda h: z3.And(s.held(h), h != g)), removes_another),
        of_its_note(lambda x: z3.Not(says_noted(m, x))),
        z3.Not(says_kept(m)),
    )
    leaves = z3.And(
        ends,
        same_holders,
        of_its_note(lambda x: says_noted(m, x) == z3.And(s.noted(x), x != p)),
        same_flags,
        z3.Implies(s.kept(g), says_kept(m)),
        rule(
            "what closed nothing leaves what it has inherited",
            z3.Implies(z3.And(phase == NEVER_CLOSED, s.inherits(p)), says_kept(m)),
        ),
        rule("anything else than running keeps the slot", z3.Implies(phase == KEEPS, says_kept(m))),
    )
    rewrites = z3.And(
        same_holders,
        of_its_note(lambda x: says_noted(m, x) == s.noted(x)),
        same_flags,
        says_kept(m) == s.kept(g),
    )
    cases = {TAKE: takes, JOIN: joins, GIVE_BACK: gives_back, LEAVE: leaves, REWRITE: rewrites}
    same_budget = all_of(Seat, lambda t: says_slots(m, t) == s.slots(t))
    return z3.And(same_budget, *[z3.Implies(of == case, holds) for case, holds in cases.items()])


def written(s: State, r: Any) -> State:
    """Whatever is written, the revision is another from then on."""
    return s.but(revision=r, was=lambda q: z3.Or(s.was(q), q == r))


def engine(s: State, without: str) -> Iterator[Step]:
    m, r = s.term("message", Message), s.term("revision", Revision)
    sends = z3.And(z3.Not(s.over(by(m))), compares(m) == s.revision(), decided(s, m, without))
    sent = s.but(under_way=lambda n: z3.Or(s.under_way(n), n == m))
    yield Step("a transaction is decided and sent", sends, sent)
    if without == "a transaction that was not answered is never sent again":
        o = s.term("earlier", Message)
        same = z3.And(
            by(m) == by(o),
            kind(m) == kind(o),
            all_of(Gateway, lambda h: says_held(m, h) == says_held(o, h)),
            all_of(Roll, lambda x: says_noted(m, x) == says_noted(o, x)),
        )
        yield Step("it is sent again", z3.And(s.under_way(o), same, compares(m) == s.revision()), sent)
    fresh = z3.Not(s.was(r)) if without != "a revision never comes back" else z3.BoolVal(True)
    current = compares(m) == s.revision()
    if without == "a transaction compares the revision that it was decided from":
        current = z3.BoolVal(True)
    yield Step("a transaction is applied", z3.And(s.under_way(m), current, fresh), applied(s, m, r))
    g, t = s.term("gateway", Gateway), s.term("seat", Seat)
    free = z3.And(s.slots(t), all_of(Gateway, lambda h: z3.Implies(s.held(h), s.seat(h) != t)))
    taken = s.at(g, held=z3.BoolVal(True), seat=t, older=z3.BoolVal(False))
    yield Step("another program takes a slot", z3.And(z3.Not(s.held(g)), free, fresh), written(taken, r))
    forgets = s.term("forgets", YES)
    freed = s.at(g, held=z3.BoolVal(False)).but(
        noted=lambda x: z3.And(s.noted(x), z3.Not(z3.And(forgets, at(x) == g))),
        kept=lambda h: z3.And(s.kept(h), z3.Not(z3.And(forgets, h == g))),
    )
    idle = all_of(
        Roll, lambda x: z3.Implies(at(x) == g, z3.And(z3.Not(trouble(s, x)), z3.Implies(s.noted(x), s.over(x))))
    )
    if without == "nobody frees by hand what is in use or closed":
        idle = z3.BoolVal(True)
    yield Step("a slot is given back by hand or by another program", z3.And(s.held(g), idle, fresh), written(freed, r))
    slots = z3.Function(f"step{s.number}_slots", Seat, YES)
    older = s.but(slots=slots, older=lambda h: z3.And(s.held(h), z3.Not(slots(s.seat(h)))))
    yield Step("the budget is set", fresh, written(older, r))


def applied(s: State, m: Any, r: Any) -> State:
    p, of = by(m), kind(m)
    g = at(p)
    takes, joins = of == TAKE, of == JOIN

    def noted(x: Any) -> z3.BoolRef:
        return z3.If(at(x) == g, says_noted(m, x), s.noted(x))

    def heir(x: Any) -> Any:
        # Who takes over answers for all that nobody noted answers for.
        left = z3.And(joins, at(x) == g, done(s, x), z3.Not(noted(s.heir(x))))
        return z3.If(left, p, s.heir(x))

    after = s.but(
        held=lambda h: says_held(m, h),
        slots=lambda t: says_slots(m, t),
        noted=noted,
        inherits=lambda x: z3.If(at(x) == g, says_inherits(m, x), s.inherits(x)),
        kept=lambda h: z3.If(h == g, says_kept(m), s.kept(h)),
        told=lambda x: z3.Or(s.told(x), z3.And(x == p, z3.Or(takes, joins))),
        seat=lambda h: z3.If(z3.And(takes, h == g), seat_for(m), s.seat(h)),
        older=lambda h: z3.And(s.older(h), z3.Not(z3.And(takes, h == g))),
        heir=heir,
    )
    return written(after, r)


def rolls(s: State, without: str) -> Iterator[Step]:
    p = s.term("roll", Roll)
    g = at(p)
    lives = z3.Not(s.over(p))
    yes, no = z3.BoolVal(True), z3.BoolVal(False)

    def goes(name: str, origin: Any, to: Any, given: Any = True, **changed: Any) -> Step:
        return Step(name, z3.And(lives, s.phase(p) == origin, given), s.at(p, phase=to, **changed))

    yield Step("a roll ends, or its controller dies", yes, s.at(p, over=yes))
    reads = z3.And(s.held(g), s.noted(p))
    if without == "who shares a slot is noted":
        reads = s.held(g)
    yield Step("a roll reads that it has the slot", z3.And(lives, s.phase(p) == WAITS, reads), s.at(p, told=yes))
    told = yes if without == "silence is no yes" else s.told(p)
    yield goes("a roll goes on with its slot", WAITS, HAS, told)
    yield goes("a roll gives up before it has a slot", WAITS, NEVER_CLOSED)
    yield goes("a roll leaves before it closes anything", HAS, NEVER_CLOSED)
    yield goes("a gateway is asked to close", HAS, ASKED, asked=yes)
    yield goes("a gateway is asked once more", ASKED, ASKED, asked=yes, noticed=no)
    if without == "a slot is taken before the gateway is asked to close":
        yield goes("a gateway is asked to close without a slot", WAITS, ASKED, asked=yes)
    acknowledged = yes if without == "who acts on a gateway was acknowledged by it" else s.noticed(p)
    yield goes("a commit is granted", ASKED, COMMITTED, acknowledged)
    yield goes("a drain came to nothing, and nothing of it is left", ASKED, NEVER_CLOSED, z3.Not(s.asked(p)))
    yield goes("a drain came to nothing", ASKED, KEEPS)
    yield goes("an act puts the gateway down", COMMITTED, COMMITTED, down=yes)
    yield goes("an act ends well", COMMITTED, ACTED)
    yield goes("an act fails", COMMITTED, KEEPS)
    yield goes("a hold is withdrawn after the act", ACTED, WITHDRAWN, asked=no, closes=no)
    yield goes("a withdrawal after the act is not answered", ACTED, WITHDRAWN)
    yield goes("the gateway is not seen running again", WITHDRAWN, KEEPS)
    runs = all_of(Roll, lambda x: z3.Implies(at(x) == g, z3.Not(z3.Or(s.closes(x), s.down(x)))))
    if without == "a slot is given back once the gateway was seen running":
        runs = yes
    yield goes("the gateway is seen running and ready", WITHDRAWN, RUNNING, runs)


def gateways(s: State, without: str) -> Iterator[Step]:
    g, p = s.term("gateway", Gateway), s.term("roll", Roll)

    def seen(x: Any) -> z3.BoolRef:
        there = z3.And(at(x) == g, s.asked(x))
        return there if without != "one look notices all that is asked" else z3.And(there, x == p)

    looked = s.but(
        closes=lambda x: z3.Or(s.closes(x), seen(x)),
        noticed=lambda x: z3.Or(s.noticed(x), seen(x)),
    )
    yield Step("a gateway looks", z3.BoolVal(True), looked)
    ready = s.but(down=lambda x: z3.And(s.down(x), at(x) != g))
    yield Step("a gateway is ready", z3.BoolVal(True), ready)
    gone = {"asked": z3.BoolVal(False), "closes": z3.BoolVal(False)}
    yield Step("a hold ends, whatever ends it", z3.BoolVal(True), s.at(p, **gone))


def steps(s: State, without: str = "") -> Iterator[Step]:
    for part in (engine, rolls, gateways):
        yield from part(s, without)
