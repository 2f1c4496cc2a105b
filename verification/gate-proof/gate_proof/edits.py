"""Bugs planted in copies of the rules. Each has to break the property it names, at a word that is printed."""

from dataclasses import dataclass

from .compiled import SOURCES


@dataclass(frozen=True)
class Edit:
    name: str
    breaks: str
    file: str
    old: str
    new: str

    def applied(self) -> dict[str, str]:
        source = SOURCES[self.file].read_text()
        times = source.count(self.old)
        if times != 1:
            raise SystemExit(f"«{self.name}»: {self.file} has «{self.old}» {times} times, not once")
        return {self.file: source.replace(self.old, self.new)}


WORD, TABLE = "gate/word.rs", "state.rs"

EDITS = [
    Edit(
        "one turn more than there is room for enters",
        "G6",
        WORD,
        "(CLOSED | TURNS) < MAX_TURNS",
        "(CLOSED | TURNS) <= MAX_TURNS",
    ),
    Edit(
        "a full count of internal work runs over",
        "G6",
        WORD,
        "self.internal() == MAX_INTERNAL",
        "self.internal() > MAX_INTERNAL",
    ),
    Edit(
        "a turn enters while a drain is under way",
        "G1",
        WORD,
        "self.0 & (CLOSED | TURNS) <",
        "self.0 & (CLOSED >> 1 | TURNS) <",
    ),
    Edit(
        "a drained gate is not sealed to internal work",
        "G3",
        WORD,
        "self.state().is_draining() || self.drained()",
        "self.state().is_draining()",
    ),
    Edit("drained forgets internal work", "G3", WORD, "self.0 & COUNTS == 0", "self.0 & TURNS == 0"),
    Edit(
        "a generation runs over into the mark beside it",
        "L4",
        WORD,
        "(1 << GENERATION_SHIFT) & GENERATIONS)",
        "(1 << GENERATION_SHIFT))",
    ),
    Edit(
        "a reopening counts as a drain",
        "G4",
        WORD,
        "if self.state().admits() { Ok(moved.in",
        "if !self.state().admits() { Ok(moved.in",
    ),
    Edit(
        "the last to leave looks at an open gate's sign",
        "G4",
        WORD,
        "self.0.cast_signed() <= 0",
        "self.0.cast_signed() >= 0",
    ),
    Edit(
        "a stop does not ask what is in flight",
        "S5",
        WORD,
        "matches!(to, DrainState::Stopped) && !self.drained()",
        "matches!(to, DrainState::Stopped) && self.interrupted()",
    ),
    Edit(
        "a forced stop abandons in silence",
        "S5",
        WORD,
        "ABANDONED << STATE_SHIFT | INTERRUPTED",
        "STOPPED << STATE_SHIFT | INTERRUPTED",
    ),
    Edit(
        "an external drain can interrupt",
        "L4",
        WORD,
        "DrainState::ShutdownDraining if !self.interrupted()",
        "DrainState::ExternalDraining if !self.interrupted()",
    ),
    Edit(
        "why it refuses is looked up beyond the table",
        "meaning",
        WORD,
        "REFUSALS[(self.0 >> STATE_SHIFT) as usize]",
        "REFUSALS[(self.0 >> (STATE_SHIFT - 1)) as usize]",
    ),
    Edit(
        "a drain's end ends a shutdown",
        "S3",
        TABLE,
        "[Refused(ShutdownWins), Refused(ShutdownWins)",
        "[Refused(ShutdownWins), Moves(Running)",
    ),
    Edit(
        "a drain begins after the stop",
        "S4",
        TABLE,
        "[Refused(StoppedIsFinal), Refused(StoppedIsFinal), Refused",
        "[Moves(ExternalDraining), Refused(StoppedIsFinal), Refused",
    ),
    Edit(
        "a second begin of a drain is refused",
        "S2",
        TABLE,
        "[Stays, Moves(Running)",
        "[Refused(ShutdownWins), Moves(Running)",
    ),
    Edit(
        "no shutdown ends",
        "L3",
        TABLE,
        "Refused(ShutdownWins), Stays, Moves(Stopped)",
        "Refused(ShutdownWins), Stays, Refused(NotShuttingDown)",
    ),
]

UNKNOWN = Edit(
    "what the translator has no meaning for", "", WORD, "self.0 & INTERRUPTED != 0", "self.0.reverse_bits() & 8 != 0"
)
"""No bug, and yet it must not pass: the translator knows no `llvm.bitreverse`."""
