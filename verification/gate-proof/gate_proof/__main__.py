"""Proves the gate's properties for any number of threads, and shows that each planted bug would be found."""

import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import z3

from .claims import Claim, all_claims, witnesses
from .compiled import Rules, compiled, rustc
from .edits import EDITS, UNKNOWN, Edit
from .ir import Unknown
from .writes import unknown_ways

CLAIMS = {
    "S1": 74,
    "S2": 6,
    "S3": 10,
    "S4": 10,
    "S5": 29,
    "G1": 6,
    "G2": 20,
    "G3": 21,
    "G4": 16,
    "G6": 30,
    "L3": 1,
    "L4": 24,
}
"""How many there are for each property. `docs/verification.md` tells these numbers."""
LEAST_DEMANDS = 150
"""How many demands of meaning stand beside them, at the least: their number is the compiler's."""
WITNESSES = 17
SAMPLES = 300


def refuted(claim: Claim) -> z3.ModelRef | None:
    """A counterexample, if there is one."""
    solver = z3.SolverFor("QF_BV")
    solver.set("timeout", 60_000)
    solver.add(claim.given, z3.Not(claim.holds))
    answer = solver.check()
    if answer == z3.unknown:
        raise SystemExit(f"z3 can't decide {claim.property} «{claim.what}»: {solver.reason_unknown()}")
    return solver.model() if answer == z3.sat else None


def told(model: z3.ModelRef) -> str:
    parts = []
    for name in sorted(model.decls(), key=lambda declared: -len(declared.name())):
        value = model[name].as_long()
        parts.append(f"{name.name()} {value:#018x}" if name.name() == "word" else f"{name.name()} {value}")
    return ", ".join(parts) or "always"


def prove(folder: Path) -> Rules:
    rules = Rules(compiled(folder, {}))
    claims = list(all_claims(rules))
    for claim in claims:
        if model := refuted(claim):
            raise SystemExit(f"{claim.property} «{claim.what}» does not hold: {told(model)}")
    counts = Counter(claim.property for claim in claims)
    demands = counts.pop("meaning")
    if counts != CLAIMS or demands < LEAST_DEMANDS:
        raise SystemExit(f"{dict(counts)} and {demands} demands, not {CLAIMS} and {LEAST_DEMANDS} at least")
    told_counts = ", ".join(f"{name} {count}" for name, count in CLAIMS.items())
    print(f"proved: {sum(CLAIMS.values())} claims ({told_counts})")
    print(f"proved: {demands} demands of meaning: no panic, no overflow, no look-up out of bounds, nothing undefined")
    possible = list(witnesses(rules))
    for name, condition in possible:
        solver = z3.SolverFor("QF_BV")
        solver.add(condition)
        if solver.check() != z3.sat:
            raise SystemExit(f"there is no such moment: {name}")
    if len(possible) != WITNESSES:
        raise SystemExit(f"{len(possible)} moments, not {WITNESSES}")
    print(f"shown possible: {WITNESSES} moments, so the invariant is not empty")
    return rules


def compare(rules: Rules, folder: Path) -> None:
    """The translation against the machine code of the same rules, optimised as they are shipped."""
    optimised = ["-Copt-level=3", "-Adead_code", "--cfg=sampled"]
    rustc(
        "--crate-type=rlib", "--crate-name=rules", "--extern=serde=libserde.so", *optimised, "rules.rs", folder=folder
    )
    rustc(*optimised, "-L.", "--extern=rules=librules.rlib", "sample.rs", folder=folder)
    chance = random.Random(1)
    edges = [0, 1, (1 << 24) - 1, 1 << 24, ((1 << 14) - 1) << 24, (1 << 60) - 1, 1 << 60]
    words = [state << 61 | edge for state in range(8) for edge in edges]
    words += [chance.getrandbits(64) & chance.getrandbits(64) for _ in range(SAMPLES - len(words))]
    lines = [f"{word} {chance.randrange(4)} {chance.randrange(4)}" for word in words]
    run = subprocess.run([folder / "sample"], input="\n".join(lines), capture_output=True, text=True, check=True)
    values = 0
    for line in run.stdout.splitlines():
        name, *numbers = line.split(" ")
        word, start, which, value = map(int, numbers)
        given = {"word": word, "from": start, "which": which}
        translated = rules(name, *(given[str(parameter)] for parameter in rules.bodies[name][0]))
        values += 1
        if z3.simplify(translated).as_long() != value:
            raise SystemExit(f"{name} of {given} is {value}, and translated {z3.simplify(translated)}")
    if values != SAMPLES * len(rules.bodies):
        raise SystemExit(f"{values} values were compared, not {SAMPLES} of each of {len(rules.bodies)} rules")
    print(f"compared: {values} values of the translation with those of the optimised machine code")


def plant(edit: Edit, folder: Path) -> None:
    """Finds the first refuted claim of the property that the edit breaks."""
    rules = Rules(compiled(folder, edit.applied()))
    for claim in all_claims(rules):
        if claim.property == edit.breaks and (model := refuted(claim)):
            print(f"  {edit.name}: {claim.property} «{claim.what}» broken by {told(model)}")
            return
    raise SystemExit(f"«{edit.name}» breaks no claim of {edit.breaks}: the proof can't fail there")


def main() -> None:
    started = time.monotonic()
    if differences := unknown_ways():
        sys.exit("the word is changed in another way than the proof knows:\n" + "\n".join(differences))
    with TemporaryDirectory() as place:
        folder = Path(place)
        try:
            compare(prove(folder), folder)
            print(f"planted: {len(EDITS)} bugs, each found")
            for edit in EDITS:
                plant(edit, folder)
        except Unknown as unknown:
            sys.exit(f"the translator does not know {unknown}: nothing is proved")
        try:
            Rules(compiled(folder, UNKNOWN.applied()))
        except Unknown as unknown:
            print(f"stops loudly: {UNKNOWN.name}: {unknown}")
        else:
            sys.exit("the translator gave a meaning to what it doesn't know")
    print(f"the gate is proved, in {time.monotonic() - started:.0f} s")


main()
