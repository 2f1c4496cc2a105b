"""Where production writes the word. The proof is about these ways and no other, so each is named here by its line."""

import re

from .compiled import SOURCE

WRITE = re.compile(r"\.(?:store|swap|fetch_\w+|compare_exchange\w*|get_mut|into_inner|as_ptr)\(")

WAYS = {
    "gate.rs": [
        "match self.word.compare_exchange_weak(seen, entered.bits(), Ordering::Acquire, Ordering::Relaxed) {",
        "let before = Word::from_bits(self.word.fetch_sub(unit.bits(), Ordering::Release));",
        "match word.compare_exchange_weak(seen, moved.bits(), Ordering::AcqRel, Ordering::Relaxed) {",
    ],
    "gate/handles.rs": [
        # A new gate, which nobody else has; and a subtraction of nothing.
        "core.word.store(Word::NEW.bits(), Ordering::Relaxed);",
        "let word = self.core.word.fetch_sub(0, Ordering::Relaxed);",
    ],
}


def unknown_ways() -> list[str]:
    """What differs from `WAYS`, either way."""
    differences = []
    files = [SOURCE / "gate.rs", *sorted((SOURCE / "gate").glob("**/*.rs"))]
    for path in files:
        name = str(path.relative_to(SOURCE))
        lines = [line.strip() for line in path.read_text().splitlines()]
        found = [line for line in lines if WRITE.search(line) and "word" in line and not line.startswith("//")]
        known = WAYS.get(name, [])
        differences += [f"src/{name} writes the word by «{line}»" for line in found if line not in known]
        differences += [f"src/{name} has no «{line}» any more" for line in known if line not in found]
    return differences
