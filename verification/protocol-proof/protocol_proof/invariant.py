"""What is so in every state that can be reached, clause by clause. Together the clauses are inductive."""

from collections.abc import Iterator
from typing import Any

import z3

from .state import ABSENT, CANCEL, COMMIT, MARKER, NOBODY, OVERRIDE, RUBBISH, Incarnation, Name, Nonce, Owner, State
from .steps import Step

HOLDS = z3.Const("h", Name)
NONCE = z3.Const("n", Nonce)
OWNER = z3.Const("o", Owner)
INCARNATION = z3.Const("i", Incarnation)


def implied(given: list[Any], holds: Any) -> Any:
    return z3.Implies(z3.And(given), holds)


def standing(s: State, h: Any, n: Any, o: Any) -> z3.BoolRef:
    """The owner was told that its commit is granted, and neither it nor an override nor a new epoch has ended it."""
    return z3.And(s.told(h, n, o), live(s, h, n, o))


def live(s: State, h: Any, n: Any, o: Any) -> z3.BoolRef:
    return z3.And(z3.Not(s.asked(h, n, o)), z3.Not(s.overruled(h, n)))


def has(s: State, part: str, h: Any, n: Any, o: Any) -> z3.BoolRef:
    """This part knows the commit, or one of the same owner's that has taken its place; no withdrawal of that is written."""
    committed = z3.And(of_its_owner(s, part, h, o), z3.Not(s.asked(h, s.fields[f"{part}_token"](h), o)))
    return z3.And(committed, z3.Or(s.fields[f"{part}_token"](h) == n, s.superseded(h, n)))


def has_exactly(s: State, part: str, h: Any, n: Any, o: Any) -> z3.BoolRef:
    """This part knows the commit, by its own token."""
    return z3.And(of_its_owner(s, part, h, o), s.fields[f"{part}_token"](h) == n)


def of_its_owner(s: State, part: str, h: Any, o: Any) -> z3.BoolRef:
    field = s.fields
    held = [field[f"{part}_held"](h)] if f"{part}_held" in field else []
    return z3.And(*held, field[f"{part}_committed"](h), field[f"{part}_owner"](h) == o)


def of_commits(s: State, h: Any, n: Any, o: Any) -> Iterator[tuple[str, Any]]:
    told = standing(s, h, n, o)
    yield "E1 while a commit stands nothing is in flight", implied([told], z3.Not(z3.Or(s.open(), s.busy())))
    yield "E1 what is closed or dead", z3.Implies(z3.Or(s.open(), s.busy()), s.alive())
    mine = [s.alive(), s.now_held(h), s.now_committed(h)]
    yield "E1 while a commit is in memory nothing is in flight", implied(mine, z3.Not(z3.Or(s.open(), s.busy())))
    yield "H4 what was told was granted", z3.Implies(s.told(h, n, o), s.was_granted(h, n))
    yield "H4 a commit that stands is in memory", implied([told, s.alive()], has(s, "now", h, n, o))
    yield "H4 and in what is about to be published", implied([told, s.taken()], has(s, "taken", h, n, o))
    yield "H4 and in the status", implied([told, s.status_ok()], has(s, "status", h, n, o))
    yield "H4 and in the record", implied([told, s.record_ok()], has(s, "record", h, n, o))
    yield "H4 and in one of both", implied([told], z3.Or(s.status_ok(), s.record_ok()))
    about = [s.taken(), has_exactly(s, "taken", h, n, o), live(s, h, n, o)]
    yield "H4 what is about to be told is so", implied(about, has(s, "now", h, n, o))
    about = [s.taken(), s.taken_recorded(), s.record_ok(), has_exactly(s, "taken", h, n, o), live(s, h, n, o)]
    yield "H4 what is about to be told is recorded", implied(about, has(s, "record", h, n, o))
    yield (
        "H4 only who lives publishes",
        z3.And(z3.Implies(s.taken(), s.alive()), z3.Implies(s.taken_recorded(), s.taken())),
    )
    for part in ("now", "taken", "status"):
        committed, held = s.fields[f"{part}_committed"](h), s.fields[f"{part}_held"](h)
        yield f"H4 what is committed is held: {part}", z3.Implies(committed, held)


def of_writes(s: State, h: Any, n: Any) -> Iterator[tuple[str, Any]]:
    """An end that is asked for is in history before it is in a file."""
    asked = s.asked(h, s.file_token(h), s.file_owner(h))
    yield "H4 a withdrawal is its owner's: file", implied([s.file_act(h) == CANCEL], asked)
    asked = s.asked(h, s.seen_token(h), s.seen_owner(h))
    yield "H4 a withdrawal is its owner's: read", implied([s.alive(), s.seen(h), s.seen_act(h) == CANCEL], asked)
    yield "H4 an override is somebody's: file", implied([s.file_act(h) == OVERRIDE, s.used(h, n)], s.overruled(h, n))
    overrides = [s.alive(), s.seen(h), s.seen_act(h) == OVERRIDE, s.was_granted(h, n)]
    yield "H4 an override is somebody's: read", implied(overrides, s.overruled(h, n))
    yield "H4 what is granted was written", z3.Implies(s.was_granted(h, n), s.used(h, n))
    for part in ("now", "taken", "status"):
        committed = z3.And(s.fields[f"{part}_held"](h), s.fields[f"{part}_committed"](h))
        was = s.was_granted(h, s.fields[f"{part}_token"](h))
        yield f"H4 what is committed was granted: {part}", z3.Implies(committed, was)
    yield (
        "H4 what is committed was granted: record",
        z3.Implies(s.record_committed(h), s.was_granted(h, s.record_token(h))),
    )
    yield "C6 what lies there was written: file", implied([s.file_act(h) != ABSENT], s.used(h, s.file_nonce(h)))
    seen = [s.alive(), s.seen(h), s.seen_act(h) != ABSENT]
    yield "C6 what lies there was written: read", implied(seen, s.used(h, s.seen_nonce(h)))


def of_answers(s: State, h: Any, n: Any, i: Any) -> Iterator[tuple[str, Any]]:
    """An acknowledgement is the gateway's, for that very write, and by the process that the write names."""
    for part in ("now", "taken", "status"):
        field = s.fields
        decided = s.decided(h, field[f"{part}_answer_to"](h))
        yield f"C6 what is acknowledged was decided: {part}", implied([field[f"{part}_answered"](h)], decided)
    yield "C6 what was decided was written", z3.Implies(s.decided(h, n), s.used(h, n))
    yield "C6 what was granted was decided", z3.Implies(s.was_granted(h, n), s.decided(h, n))
    yield "C6 what was told is refused was decided", z3.Implies(s.told_refused(h, n), s.decided(h, n))
    named = implied([s.file_act(h) != ABSENT, s.file_bound(h)], s.wanted(h, s.file_nonce(h), s.file_inc(h)))
    yield "C6 what names a process is known to: file", named
    seen = [s.alive(), s.seen(h), s.seen_act(h) != ABSENT, s.seen_bound(h)]
    yield "C6 what names a process is known to: read", implied(seen, s.wanted(h, s.seen_nonce(h), s.seen_inc(h)))
    once = z3.Not(s.replayed(h, n))
    by = implied([s.was_granted(h, n), s.wanted(h, n, i), once], s.granted_by(h, n, i))
    yield "C6 a grant is by the incarnation that was named", by
    yield "C6 who is named is named in a write", z3.Implies(s.wanted(h, n, i), s.used(h, n))
    yield "C6 who writes twice has written", z3.Implies(s.replayed(h, n), s.used(h, n))
    there = [s.file_act(h) != ABSENT, s.file_nonce(h) == n, s.wanted(h, n, i), once]
    yield "C6 the file names it still", implied(there, z3.And(s.file_bound(h), s.file_inc(h) == i))
    there = [s.alive(), s.seen(h), s.seen_act(h) != ABSENT, s.seen_nonce(h) == n, s.wanted(h, n, i), once]
    yield "C6 what was read names it still", implied(there, z3.And(s.seen_bound(h), s.seen_inc(h) == i))


def of_refusals(s: State, h: Any, n: Any) -> Iterator[tuple[str, Any]]:
    """S2: what was told to be refused is granted never, unless the same write is made once more."""
    once = z3.Not(s.replayed(h, n))
    in_file = z3.And(s.file_act(h) != ABSENT, s.file_nonce(h) == n)
    read = z3.And(s.alive(), s.seen(h), s.seen_act(h) != ABSENT, s.seen_nonce(h) == n)
    commit_lies = z3.Or(z3.And(in_file, s.file_act(h) == COMMIT), z3.And(read, s.seen_act(h) == COMMIT))

    def refused(part: str) -> Any:
        field = s.fields
        answered = z3.And(field[f"{part}_answered"](h), field[f"{part}_answer_to"](h) == n)
        return z3.And(answered, z3.Not(field[f"{part}_granted"](h)))

    seen = [s.decided(h, n), once, s.alive(), s.seen(h), in_file]
    yield "S2 what is decided and lies there was read from there", implied(seen, read)
    yield "S2 a nonce is one write's", implied([in_file, read, once], s.seen_act(h) == s.file_act(h))
    about_to_be = z3.Or(s.told_refused(h, n), z3.And(s.taken(), refused("taken")))
    known = z3.Or(refused("now"), z3.Not(s.wanted(h, n, s.incarnation())))
    yield "S2 it can't be granted", implied([s.alive(), about_to_be, once, commit_lies], known)
    for part, there in (("now", s.alive()), ("taken", s.taken()), ("status", s.status_ok())):
        stands = z3.And(s.fields[f"{part}_committed"](h), s.fields[f"{part}_token"](h) == n)
        either = z3.Or(about_to_be if part == "now" else s.told_refused(h, n), refused(part))
        yield f"S2 what is refused is not committed: {part}", implied([there, either, once], z3.Not(stands))
    recorded = z3.And(s.record_ok(), s.record_committed(h), s.record_token(h) == n)
    either = z3.Or(s.told_refused(h, n), z3.And(s.taken_recorded(), refused("taken")))
    yield "S2 what is refused is not committed: record", implied([either, once], z3.Not(recorded))


def clauses(s: State) -> dict[str, Any]:
    h, n, o, i = HOLDS, NONCE, OWNER, INCARNATION
    parts = (of_commits(s, h, n, o), of_writes(s, h, n), of_answers(s, h, n, i), of_refusals(s, h, n))
    return {name: z3.ForAll([h, n, o, i], clause) for part in parts for name, clause in part}


def between(before: State, step: Step) -> Iterator[tuple[str, Any]]:
    """What a step may do to holds that it isn't about."""
    if step.ends_the_process or step.name == "a start":
        return
    h = HOLDS
    spared = z3.BoolVal(True) if step.about is None else h != step.about
    same = z3.And(step.after.now_held(h) == before.now_held(h), step.after.now_committed(h) == before.now_committed(h))
    if step.name.startswith("decided"):
        h = step.about
        its = z3.And(before.seen_owner(h) == before.now_owner(h), before.seen_act(h) != RUBBISH)
        unowned = before.now_owner(h) == NOBODY
        vanished = z3.And(before.seen_act(h) == ABSENT, z3.Or(before.now_own(h), h == MARKER))
        live_hold = z3.And(before.now_held(h), z3.Not(before.now_committed(h)))
        stays = z3.And(step.after.now_held(h), step.after.now_owner(h) == before.now_owner(h))
        may_end = z3.Or(its, unowned, vanished, before.seen_act(h) == OVERRIDE)
        yield "C7 nobody else's write ends a hold or takes it over", implied([live_hold, z3.Not(may_end)], stays)
        yield from can_be_withdrawn(before, step)
    if step.name.endswith("a commit is granted"):
        refused = before.told_refused(step.about, before.seen_nonce(step.about))
        once = z3.Not(before.replayed(step.about, before.seen_nonce(step.about)))
        yield "S2 what was told to be refused is not granted", z3.Not(z3.And(refused, once))
    yield "H2 no other hold begins or ends", z3.ForAll([h], z3.Implies(spared, same))


def can_be_withdrawn(before: State, step: Step) -> Iterator[tuple[str, Any]]:
    """E3: the owner of a commit can end it: its withdrawal, once decided on, has ended it, whatever else is so."""
    h, n, o = step.about, NONCE, OWNER
    written = [before.seen_act(h) == CANCEL, before.seen_owner(h) == o, before.seen_token(h) == n]
    valid = [before.seen_ours(h), z3.Not(before.seen_bound(h))]
    new = [before.seen_nonce(h) != n, step.after.now_answered(h), step.after.now_answer_to(h) == before.seen_nonce(h)]
    new.append(z3.Not(z3.And(before.now_answered(h), before.now_answer_to(h) == before.seen_nonce(h))))
    ended = implied([has_exactly(before, "now", h, n, o), *written, *valid, *new], z3.Not(step.after.now_held(h)))
    yield "E3 a withdrawal of a commit is never refused", z3.ForAll([n, o], ended)
