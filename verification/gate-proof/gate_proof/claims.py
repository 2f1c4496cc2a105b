"""What is claimed of the gate's word: an invariant, what every step does to it, and the properties of the specification.

A word changes in two ways only. By compare-and-swap it becomes what a pure rule makes of the very word that is there; or
the owner of a permit takes that permit's unit away. So one step from any word that meets the invariant, beside any number
of permits, stands for every interleaving of any number of threads.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import z3

from .compiled import Rules

RUNNING, EXTERNAL, SHUTDOWN, STOPPED = range(4)
BEGIN_DRAIN, END_DRAIN, BEGIN_SHUTDOWN, STOP = range(4)
STATES = ("Running", "ExternalDraining", "ShutdownDraining", "Stopped")
EVENTS = ("BeginDrain", "EndDrain", "BeginShutdown", "Stop")
MOVED, STAYS, IN_FLIGHT = 0, 1, 2
NOT_SHUTTING_DOWN, SHUTDOWN_WINS, STOPPED_IS_FINAL = 10, 11, 12
ADMITTED, DRAINING, SHUTTING_DOWN, HAS_STOPPED, SATURATED = range(5)

GOLDEN = {
    RUNNING: [(MOVED, EXTERNAL), (STAYS, RUNNING), (MOVED, SHUTDOWN), (NOT_SHUTTING_DOWN, RUNNING)],
    EXTERNAL: [(STAYS, EXTERNAL), (MOVED, RUNNING), (MOVED, SHUTDOWN), (NOT_SHUTTING_DOWN, EXTERNAL)],
    SHUTDOWN: [(SHUTDOWN_WINS, SHUTDOWN), (SHUTDOWN_WINS, SHUTDOWN), (STAYS, SHUTDOWN), (MOVED, STOPPED)],
    STOPPED: [(STOPPED_IS_FINAL, STOPPED)] * 3 + [(STAYS, STOPPED)],
}
"""The specification's table, written once more by hand: for each state and event the answer, and the state then."""


@dataclass(frozen=True)
class Claim:
    """Wherever `given`, `holds`: of every word and of every number of permits."""

    property: str
    what: str
    given: z3.BoolRef
    holds: z3.BoolRef


@dataclass(frozen=True)
class Moment:
    """A word, and how many permits of each kind there are."""

    rules: Rules
    word: z3.BitVecRef
    turns: z3.BitVecRef
    internal: z3.BitVecRef

    def read(self, field: str) -> z3.BitVecRef:
        return self.rules(field, self.word)

    def yes(self, field: str) -> z3.BoolRef:
        return self.rules(field, self.word) == 1

    def state(self) -> z3.BitVecRef:
        return self.rules("read_state", self.word)

    def running(self) -> z3.BoolRef:
        return self.state() == RUNNING

    def draining(self) -> z3.BoolRef:
        return z3.Or(self.state() == EXTERNAL, self.state() == SHUTDOWN)

    def idle(self) -> z3.BoolRef:
        return z3.And(self.turns == 0, self.internal == 0)

    def invariant(self) -> dict[str, z3.BoolRef]:
        """By the property that each clause is about."""
        rules = self.rules
        state, abandoned, asked = self.state(), self.yes("read_abandoned"), self.yes("read_interrupted")
        return {
            "G6 turns are counted": z3.And(
                self.read("read_turns") == self.turns, z3.ULE(self.turns, rules("most_turns"))
            ),
            "G6 internal work is counted": z3.And(
                self.read("read_internal") == self.internal, z3.ULE(self.internal, rules("most_internal"))
            ),
            "S1 the sign tells a closed gate": (self.word < 0) == (state != RUNNING),
            "S5 stopped is drained or abandoned": z3.Implies(state == STOPPED, z3.Or(self.idle(), abandoned)),
            "S5 only what is stopped is abandoned": z3.Implies(abandoned, z3.And(state == STOPPED, asked)),
            "L4 only a shutdown interrupts": z3.Implies(asked, z3.Or(state == SHUTDOWN, state == STOPPED)),
        }

    def holds(self) -> z3.BoolRef:
        return z3.And(list(self.invariant().values()))


@dataclass(frozen=True)
class Step:
    name: str
    may: z3.BoolRef
    after: Moment


def any_moment(rules: Rules) -> Moment:
    return Moment(rules, z3.BitVec("word", 64), z3.BitVec("turns", 64), z3.BitVec("internal", 64))


def steps(now: Moment) -> Iterator[Step]:
    """Everything that can happen to a word."""
    rules, word, turns, internal = now.rules, now.word, now.turns, now.internal
    always = z3.BoolVal(True)
    entered = z3.If(rules("admit_answer", word) == ADMITTED, turns + 1, turns)
    yield Step("a turn asks to enter", always, Moment(rules, rules("admit", word), entered, internal))
    entered = z3.If(rules("admit_internal_answer", word) == ADMITTED, internal + 1, internal)
    yield Step("internal work asks to enter", always, Moment(rules, rules("admit_internal", word), turns, entered))
    left = word - rules("turn_unit")
    yield Step("a turn leaves", z3.UGT(turns, 0), Moment(rules, left, turns - 1, internal))
    left = word - rules("internal_unit")
    yield Step("internal work leaves", z3.UGT(internal, 0), Moment(rules, left, turns, internal - 1))
    for event, name in enumerate(EVENTS):
        yield Step(name, always, Moment(rules, rules("on", word, event), turns, internal))
    yield Step("forced stop", always, Moment(rules, rules("force_stop", word), turns, internal))
    yield Step("interrupt", always, Moment(rules, rules("interrupt", word), turns, internal))


def of_the_table(rules: Rules) -> Iterator[Claim]:
    """S1: the table is the golden one, and so is what an event does to each of the 2^64 words."""
    now = any_moment(rules)
    for state, row in GOLDEN.items():
        for event, (answer, to) in enumerate(row):
            pair = f"{EVENTS[event]} in {STATES[state]}"
            yes = z3.BoolVal(True)
            is_golden = z3.And(rules("table_answer", state, event) == answer, rules("table_to", state, event) == to)
            yield Claim("S1", f"the table has the golden answer to {pair}", yes, is_golden)
            after = Moment(rules, rules("on", now.word, event), now.turns, now.internal)
            given = now.state() == state
            if (state, event) == (SHUTDOWN, STOP):
                given = z3.And(given, now.yes("read_drained"))
            moved = z3.And(rules("on_answer", now.word, event) == answer, after.state() == to)
            yield Claim("S1", f"every word has the golden answer to {pair}", given, moved)
            unmoved = z3.Implies(rules("on_answer", now.word, event) != MOVED, after.word == now.word)
            yield Claim("S1", f"what is not moved by {pair} is not changed", now.state() == state, unmoved)


def of_readings(rules: Rules) -> Iterator[Claim]:
    """The short ways to a field say what the whole reading says."""
    now, yes = any_moment(rules), z3.BoolVal(True)
    for field in ("state", "generation", "interrupted", "drained"):
        yield Claim("S1", f"{field} is as it is read", yes, now.read(field) == now.read(f"read_{field}"))
    drained = z3.And(now.state() != RUNNING, now.idle(), z3.Not(now.yes("read_abandoned")))
    yield Claim("G3", "drained is closed, idle and not abandoned", now.holds(), now.yes("drained") == drained)
    start = Moment(rules, rules("new_word"), z3.BitVecVal(0, 64), z3.BitVecVal(0, 64))
    for clause, holds in start.invariant().items():
        yield Claim(clause[:2], f"a new gate: {clause[3:]}", yes, holds)
    yield Claim("S1", "a new gate runs", yes, start.running())


def of_steps(rules: Rules) -> Iterator[Claim]:
    """What each step keeps, from every word that meets the invariant."""
    now = any_moment(rules)
    for step in steps(now):
        after, given = step.after, z3.And(now.holds(), step.may)
        for clause, holds in after.invariant().items():
            yield Claim(clause[:2], f"{step.name}: {clause[3:]}", given, holds)
        state, then = now.state(), after.state()
        in_table = [z3.And(state == s, then == t) for s, row in GOLDEN.items() for _, t in row]
        yield Claim("S1", f"{step.name}: leads nowhere that the table does not", given, z3.Or(in_table))
        wins = z3.Implies(state == SHUTDOWN, z3.Or(then == SHUTDOWN, then == STOPPED))
        yield Claim("S3", f"{step.name}: a shutdown wins", given, wins)
        yield Claim("S4", f"{step.name}: stopped is final", given, z3.Implies(state == STOPPED, then == STOPPED))
        falls = z3.Implies(now.state() != RUNNING, z3.ULE(after.turns, now.turns))
        yield Claim("G2", f"{step.name}: no turn enters a closed gate", given, falls)
        sealed = z3.Implies(z3.And(now.state() != RUNNING, now.idle()), after.idle())
        yield Claim("G2", f"{step.name}: nothing at all enters a closed gate that is idle", given, sealed)
        ends = z3.Or(after.yes("drained"), then == RUNNING)
        yield Claim("G3", f"{step.name}: drained stays until it reopens", given, z3.Implies(now.yes("drained"), ends))
        if step.name != "EndDrain":
            shut = z3.Implies(now.state() != RUNNING, then != RUNNING)
            yield Claim("G3", f"{step.name}: reopens nothing", given, shut)
        closes = z3.And(now.running(), then != RUNNING)
        one = z3.If(closes, z3.BitVecVal(1, 32), z3.BitVecVal(0, 32))
        counted = (now.read("read_generation") + one) & rules("last_generation")
        yield Claim("G4", f"{step.name}: a generation is one closing", given, after.read("read_generation") == counted)
        if "enter" in step.name:
            early = z3.Implies(after.yes("drained"), now.yes("drained"))
            yield Claim("G4", f"{step.name}: never makes it drained, so nobody is to be told", given, early)
        stays_asked = z3.Implies(now.yes("interrupted"), after.yes("interrupted"))
        yield Claim("L4", f"{step.name}: takes no interrupt back", given, stays_asked)


def of_admission(rules: Rules) -> Iterator[Claim]:
    now = any_moment(rules)
    given, word = now.holds(), now.word
    reasons = {EXTERNAL: DRAINING, SHUTDOWN: SHUTTING_DOWN, STOPPED: HAS_STOPPED}
    for answer, after, count, most, unit in (
        ("admit_answer", "admit", now.turns, "most_turns", "turn_unit"),
        ("admit_internal_answer", "admit_internal", now.internal, "most_internal", "internal_unit"),
    ):
        room = z3.ULT(count, rules(most))
        said, then = rules(answer, word), rules(after, word)
        yield Claim(
            "G6",
            f"{after}: an open gate with room admits",
            given,
            z3.Implies(z3.And(now.running(), room), said == ADMITTED),
        )
        full = z3.Implies(z3.And(now.running(), z3.Not(room)), said == SATURATED)
        yield Claim("G6", f"{after}: a full count refuses", given, full)
        yield Claim(
            "G6", f"{after}: admits by one unit", given, z3.Implies(said == ADMITTED, then == word + rules(unit))
        )
        yield Claim("G6", f"{after}: a refusal changes nothing", given, z3.Implies(said != ADMITTED, then == word))
        sealed = z3.BoolVal(True) if after == "admit" else z3.Or(now.idle(), now.state() == STOPPED)
        for state, reason in reasons.items():
            closed = z3.And(given, now.state() == state, sealed)
            yield Claim("G1", f"{after}: refused, and why, in {STATES[state]}", closed, said == reason)
    passes = z3.And(given, now.draining(), z3.Not(now.idle()), z3.ULT(now.internal, rules("most_internal")))
    said = rules("admit_internal_answer", word)
    yield Claim("G3", "internal work passes while something is in flight", passes, said == ADMITTED)


def of_leaving(rules: Rules) -> Iterator[Claim]:
    """G4's sequential half: a release that makes a gate drained takes the path that wakes."""
    now = any_moment(rules)
    told = now.yes("closed_when_left")
    for step in steps(now):
        if not step.name.endswith("leaves"):
            continue
        given = z3.And(now.holds(), step.may)
        wakes = z3.Implies(z3.And(step.after.yes("drained"), z3.Not(now.yes("drained"))), told)
        yield Claim("G4", f"{step.name}: the last to leave a closed gate wakes", given, wakes)
        yield Claim("G4", f"{step.name}: an open gate is left without a look", given, told == (now.state() != RUNNING))


def of_ends(rules: Rules) -> Iterator[Claim]:
    """S2, S5, L3 and L4."""
    now = any_moment(rules)
    given, word = now.holds(), now.word
    for event, name in enumerate(EVENTS):
        again = rules("on_answer", rules("on", word, event), event) == STAYS
        moved = rules("on_answer", word, event) == MOVED
        yield Claim("S2", f"{name} twice stays", given, z3.Implies(moved, again))
    stays = rules("interrupt_answer", rules("interrupt", word)) == STAYS
    yield Claim("S2", "an interrupt twice stays", given, z3.Implies(rules("interrupt_answer", word) == MOVED, stays))
    forced = Moment(rules, rules("force_stop", word), now.turns, now.internal)
    stays = rules("force_stop_answer", forced.word) == STAYS
    yield Claim("S2", "a forced stop twice stays", given, z3.Implies(rules("force_stop_answer", word) == MOVED, stays))

    busy = z3.And(given, now.state() == SHUTDOWN, z3.Not(now.idle()))
    yield Claim("S5", "work in flight refuses a stop", busy, rules("on_answer", word, STOP) == IN_FLIGHT)
    left = z3.And(
        rules("on_turns_left", word, STOP) == now.turns, rules("on_internal_left", word, STOP) == now.internal
    )
    yield Claim("S5", "and is told by number", busy, left)
    abandoned = z3.And(forced.yes("read_abandoned"), forced.yes("interrupted"))
    yield Claim("S5", "what a forced stop leaves is abandoned and interrupted", busy, abandoned)
    recorded = z3.And(forced.read("read_turns") == now.turns, forced.read("read_internal") == now.internal)
    yield Claim("S5", "and recorded by number", busy, recorded)
    idle = z3.And(given, now.state() == SHUTDOWN, now.idle())
    yield Claim("S5", "a forced stop of an idle gate abandons nothing", idle, z3.Not(forced.yes("read_abandoned")))
    yield Claim("S5", "a forced stop of an idle gate is a stop", idle, forced.word == rules("on", word, STOP))

    shutting = z3.And(given, now.state() == SHUTDOWN)
    ends = z3.And(rules("force_stop_answer", word) == MOVED, forced.state() == STOPPED)
    yield Claim("L4", "whatever is in flight, a shutdown can be forced to its end", shutting, ends)
    asked = Moment(rules, rules("interrupt", word), now.turns, now.internal)
    yield Claim("L4", "whatever is in flight can be asked to give up", shutting, asked.yes("interrupted"))
    only = z3.Implies(now.state() != SHUTDOWN, asked.word == word)
    yield Claim("L4", "only a shutdown asks", given, only)
    only = z3.Implies(now.state() != SHUTDOWN, forced.word == word)
    yield Claim("S5", "only a shutdown is forced", given, only)
    begun = rules("on", word, BEGIN_SHUTDOWN)
    ended = Moment(rules, rules("force_stop", begun), now.turns, now.internal)
    yield Claim("L3", "from every word a shutdown leads to stopped", given, ended.state() == STOPPED)


def of_meaning(rules: Rules) -> Iterator[Claim]:
    """No panic can be reached, and nothing that has no meaning, whatever the word: also one that breaks the invariant."""
    for name, demand in rules.demands:
        yield Claim("meaning", f"{name}: {demand.what}", demand.path, demand.holds)


def all_claims(rules: Rules) -> Iterator[Claim]:
    for part in (of_table_and_readings, of_steps, of_admission, of_leaving, of_ends, of_meaning):
        yield from part(rules)


def of_table_and_readings(rules: Rules) -> Iterator[Claim]:
    yield from of_the_table(rules)
    yield from of_readings(rules)


def witnesses(rules: Rules) -> Iterator[tuple[str, z3.BoolRef]]:
    """Moments that must be possible: else the invariant would be empty, and everything true of it."""
    now = any_moment(rules)
    many = [now.turns == 3, now.internal == 2]
    for state, name in enumerate(STATES):
        work = [] if state == STOPPED else many
        yield f"a gate that is {name}", z3.And(now.holds(), now.state() == state, *work)
    full = z3.And(now.turns == rules("most_turns"), now.internal == rules("most_internal"))
    yield "a gate that is full", z3.And(now.holds(), now.running(), full)
    yield "a gate with abandoned work", z3.And(now.holds(), now.yes("read_abandoned"), *many)
    yield "a gate that is drained", z3.And(now.holds(), now.yes("drained"), now.state() == EXTERNAL)
    for step in steps(now):
        yield f"a word that moves: {step.name}", z3.And(now.holds(), step.may, step.after.word != now.word)
