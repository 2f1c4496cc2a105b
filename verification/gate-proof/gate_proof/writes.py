"""How production changes the gate's word. The proof is about these ways and no other, so each is named here."""

import re

from .compiled import SOURCE

CALL = re.compile(r"(?<!fn )\b(?:store|swap|fetch_\w+|compare_exchange\w*|enter|apply|rule)\(")

WAYS = {
    "gate.rs": [
        # A move exchanges what it saw for what a rule makes of that; so does an admission.
        "apply(Word::force_stop)",
        "apply(Word::interrupt)",
        "apply(|word| word.on(event))",
        "compare_exchange_weak(seen, entered.bits())",
        "compare_exchange_weak(seen, moved.bits())",
        "enter(Word::admit)",
        "enter(Word::admit_internal)",
        # A release takes its unit away.
        "fetch_sub(unit.bits())",
        "rule(Word::from_bits(seen))",
    ],
}


def calls(source: str) -> list[str]:
    """Each call that `CALL` begins, with its arguments but for the orderings, which are no part of the proof."""
    code = " ".join(line for line in source.splitlines() if not line.lstrip().startswith("//"))
    found = []
    for match in CALL.finditer(code):
        end, depth = match.end(), 1
        while depth:
            depth += {"(": 1, ")": -1}.get(code[end], 0)
            end += 1
        found.append(re.sub(r"(, Ordering::\w+)+\)$", ")", re.sub(r"\s+", " ", code[match.start() : end])))
    return sorted(set(found))


def unknown_ways() -> list[str]:
    """What differs from `WAYS`, either way."""
    differences = []
    for path in [SOURCE / "gate.rs", *sorted((SOURCE / "gate").glob("**/*.rs"))]:
        name, known = str(path.relative_to(SOURCE)), WAYS.get(str(path.relative_to(SOURCE)), [])
        if (found := calls(path.read_text())) != known:
            differences.append(f"src/{name} has {found}, not {known}")
    return differences
