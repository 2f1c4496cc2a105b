//! The gate's word: state, generation, marks and both counts packed into 64 bits, and every rule about them.
//!
//! Pure. `gate.rs` makes these rules atomic by compare-and-swap; what admission means is read here.
//!
//! ```text
//!  63 61 60          59 ........ 38 37 ...... 24 23 ..... 0
//! [state][interrupted][ generation ][  internal ][  turns  ]
//!    3         1            22           14          24
//! ```
//!
//! The top bit is set in every state but `Running`. So one comparison admits, and a permit that leaves learns from the sign of
//! the word whether anybody could be waiting for it.

use super::{Generation, Reading, Refusal};
use crate::state::{Denial, DrainState, Event, Step, next};

const TURN_BITS: u32 = 24;
const INTERNAL_BITS: u32 = 14;
const GENERATION_BITS: u32 = 22;

const INTERNAL_SHIFT: u32 = TURN_BITS;
const GENERATION_SHIFT: u32 = INTERNAL_SHIFT + INTERNAL_BITS;
const INTERRUPTED: u64 = 1 << (GENERATION_SHIFT + GENERATION_BITS);
const STATE_SHIFT: u32 = GENERATION_SHIFT + GENERATION_BITS + 1;

const TURNS: u64 = (1 << TURN_BITS) - 1;
const INTERNALS: u64 = ((1 << INTERNAL_BITS) - 1) << INTERNAL_SHIFT;
const COUNTS: u64 = TURNS | INTERNALS;
const GENERATIONS: u64 = ((1 << GENERATION_BITS) - 1) << GENERATION_SHIFT;
const STATES: u64 = 0b111 << STATE_SHIFT;
const CLOSED: u64 = 0b100 << STATE_SHIFT;

const RUNNING: u64 = 0b000;
const EXTERNAL_DRAINING: u64 = 0b100;
const SHUTDOWN_DRAINING: u64 = 0b101;
const STOPPED: u64 = 0b110;
/// Stopped by force with work in flight.
const ABANDONED: u64 = 0b111;

/// The most turns that can be in flight at once.
pub(crate) const MAX_TURNS: u64 = TURNS;
/// The most pieces of internal work that can be in flight at once.
pub(crate) const MAX_INTERNAL: u64 = INTERNALS >> INTERNAL_SHIFT;

/// The last generation before 0 comes again.
pub(crate) const MAX_GENERATION: u32 = (1 << GENERATION_BITS) - 1;

// The drawing above, as the compiler sees it: the fields fill the word without a gap or a bit in common, each where its shift says.
const _: () = {
    assert!(TURNS ^ INTERNALS ^ GENERATIONS ^ INTERRUPTED ^ STATES == u64::MAX, "some bit is in no field, or in two");
    assert!(TURNS.trailing_zeros() == 0 && TURNS.count_ones() == TURN_BITS);
    assert!(INTERNALS.trailing_zeros() == INTERNAL_SHIFT && INTERNALS.count_ones() == INTERNAL_BITS);
    assert!(GENERATIONS.trailing_zeros() == GENERATION_SHIFT && GENERATIONS.count_ones() == GENERATION_BITS);
    assert!(INTERRUPTED.is_power_of_two());
    assert!(STATES.trailing_zeros() == STATE_SHIFT && STATES.count_ones() == 3);
    assert!(CLOSED == STATES & !(STATES >> 1), "the top bit alone");
    assert!(COUNTS.trailing_ones() == GENERATION_SHIFT && COUNTS.count_ones() == GENERATION_SHIFT);
    assert!(MAX_INTERNAL.trailing_ones() == INTERNAL_BITS && MAX_GENERATION.trailing_ones() == GENERATION_BITS);
    assert!(Unit::TURN.0 == 1 && Unit::INTERNAL.0.trailing_zeros() == INTERNAL_SHIFT);
};

/// Why the gate refuses, by the bits of the state: a look-up where a match takes branches.
#[allow(clippy::cast_possible_truncation, reason = "three bits")]
const REFUSALS: [Refusal; 8] = {
    let mut refusals = [Refusal::Saturated; 8];
    refusals[EXTERNAL_DRAINING as usize] = Refusal::Draining;
    refusals[SHUTDOWN_DRAINING as usize] = Refusal::ShuttingDown;
    refusals[STOPPED as usize] = Refusal::Stopped;
    refusals[ABANDONED as usize] = Refusal::Stopped;
    refusals
};

/// What one permit adds to the word, and takes away again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unit(u64);

impl Unit {
    pub(crate) const TURN: Self = Self(1);
    pub(crate) const INTERNAL: Self = Self(1 << INTERNAL_SHIFT);

    #[inline]
    pub(crate) const fn bits(self) -> u64 {
        self.0
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word(u64);

impl Word {
    pub(crate) const NEW: Self = Self(0);

    #[inline]
    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    #[inline]
    pub(crate) const fn bits(self) -> u64 {
        self.0
    }

    #[inline]
    pub(crate) const fn state(self) -> DrainState {
        match self.0 >> STATE_SHIFT {
            RUNNING => DrainState::Running,
            EXTERNAL_DRAINING => DrainState::ExternalDraining,
            SHUTDOWN_DRAINING => DrainState::ShutdownDraining,
            _ => DrainState::Stopped,
        }
    }

    pub(crate) const fn generation(self) -> Generation {
        Generation(((self.0 & GENERATIONS) >> GENERATION_SHIFT) as u32)
    }

    const fn turns(self) -> u64 {
        self.0 & TURNS
    }

    const fn internal(self) -> u64 {
        (self.0 & INTERNALS) >> INTERNAL_SHIFT
    }

    pub(crate) const fn interrupted(self) -> bool {
        self.0 & INTERRUPTED != 0
    }

    const fn abandoned(self) -> bool {
        self.0 >> STATE_SHIFT == ABANDONED
    }

    /// Closed, with nothing in flight and nothing abandoned.
    ///
    /// Nothing can enter a gate in this condition ([`admit`](Self::admit) wants an open gate,
    /// [`admit_internal`](Self::admit_internal) an open gate or work in flight), so it lasts until the drain ends: G3.
    #[inline]
    pub(crate) const fn drained(self) -> bool {
        !self.state().admits() && self.0 & COUNTS == 0 && !self.abandoned()
    }

    pub(crate) const fn reading(self) -> Reading {
        Reading {
            state: self.state(),
            generation: self.generation(),
            in_flight: self.turns(),
            internal: self.internal(),
            drained: self.drained(),
            interrupted: self.interrupted(),
            abandoned: self.abandoned(),
        }
    }

    #[inline]
    const fn refusal(self) -> Refusal {
        REFUSALS[(self.0 >> STATE_SHIFT) as usize]
    }

    /// A turn enters: only through an open gate, so the count of turns never rises while draining (G2).
    #[inline]
    pub(crate) const fn admit(self) -> Result<Self, Refusal> {
        // Open and not full in one comparison: the bit of a closed gate is worth more than any count of turns.
        if self.0 & (CLOSED | TURNS) < MAX_TURNS {
            return Ok(Self(self.0 + Unit::TURN.0));
        }
        Err(self.refusal())
    }

    /// Internal work enters: as a turn does, and while draining as long as something is still in flight.
    pub(crate) const fn admit_internal(self) -> Result<Self, Refusal> {
        if !self.state().admits() && (!self.state().is_draining() || self.drained()) {
            return Err(self.refusal());
        }
        if self.internal() == MAX_INTERNAL {
            return Err(Refusal::Saturated);
        }
        Ok(Self(self.0 + Unit::INTERNAL.0))
    }

    /// Whether a permit that leaves this word leaves a closed gate.
    ///
    /// That is the word's sign. 0 itself can't be met, for the word counts the permit; to ask for `<= 0` and not for
    /// `< 0` lets the flags of the subtraction answer, which spares the hot path an exchange.
    #[inline]
    pub(crate) const fn is_closed_when_left(self) -> bool {
        self.0.cast_signed() <= 0
    }

    /// An event happens. Counts are never touched here: only permits change them.
    ///
    /// `Stop` moves only when drained; [`force_stop`](Self::force_stop) is the other way to `Stopped` (S5).
    pub(crate) const fn on(self, event: Event) -> Result<Self, Unmoved> {
        let to = match next(self.state(), event) {
            Step::Moves(to) => to,
            Step::Stays => return Err(Unmoved::Stays),
            Step::Refused(why) => return Err(Unmoved::Refused(why)),
        };
        if matches!(to, DrainState::Stopped) && !self.drained() {
            return Err(Unmoved::InFlight(self.reading()));
        }
        let moved = self.in_state(to);
        if self.state().admits() { Ok(moved.in_next_generation()) } else { Ok(moved) }
    }

    /// The shutdown's end whatever is in flight: what is left is marked as abandoned and interrupted.
    pub(crate) const fn force_stop(self) -> Result<Self, Unmoved> {
        match self.on(Event::Stop) {
            Err(Unmoved::InFlight(_)) => Ok(Self(self.0 & !STATES | ABANDONED << STATE_SHIFT | INTERRUPTED)),
            stopped => stopped,
        }
    }

    /// Asks the work in flight to give up. Only a shutdown does.
    pub(crate) const fn interrupt(self) -> Result<Self, Unmoved> {
        match self.state() {
            DrainState::ShutdownDraining if !self.interrupted() => Ok(Self(self.0 | INTERRUPTED)),
            DrainState::ShutdownDraining => Err(Unmoved::Stays),
            DrainState::Stopped => Err(Unmoved::Refused(Denial::StoppedIsFinal)),
            DrainState::Running | DrainState::ExternalDraining => Err(Unmoved::Refused(Denial::NotShuttingDown)),
        }
    }

    const fn in_state(self, state: DrainState) -> Self {
        let bits = match state {
            DrainState::Running => RUNNING,
            DrainState::ExternalDraining => EXTERNAL_DRAINING,
            DrainState::ShutdownDraining => SHUTDOWN_DRAINING,
            DrainState::Stopped => STOPPED,
        };
        Self((self.0 & !STATES) | (bits << STATE_SHIFT))
    }

    const fn in_next_generation(self) -> Self {
        Self((self.0 & !GENERATIONS) | (self.0.wrapping_add(1 << GENERATION_SHIFT) & GENERATIONS))
    }
}

/// Why a word did not move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unmoved {
    Stays,
    Refused(Denial),
    /// By this word: what is in flight may have ended by the time that somebody reads the gate again.
    InFlight(Reading),
}

impl core::fmt::Debug for Word {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.reading().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn word(state: DrainState, turns: u64, internal: u64) -> Word {
        Word(turns | internal << INTERNAL_SHIFT).in_state(state)
    }

    #[test]
    fn a_full_count_refuses_and_never_wraps_into_its_neighbour() {
        let full = word(DrainState::Running, MAX_TURNS, 0);
        assert_eq!(full.admit(), Err(Refusal::Saturated));
        let full = word(DrainState::Running, 0, MAX_INTERNAL);
        assert_eq!(full.admit_internal(), Err(Refusal::Saturated));
        let turns = word(DrainState::Running, MAX_TURNS - 1, MAX_INTERNAL).admit().unwrap();
        assert_eq!((turns.turns(), turns.internal(), turns.generation()), (MAX_TURNS, MAX_INTERNAL, Generation(0)));
    }

    #[test]
    fn the_generation_wraps_into_no_other_field() {
        let last = Word(GENERATIONS | COUNTS);
        assert_eq!(last.generation(), Generation(MAX_GENERATION));
        let wrapped = last.on(Event::BeginDrain).unwrap();
        assert_eq!(wrapped.generation(), Generation(0));
        assert_eq!((wrapped.turns(), wrapped.internal()), (MAX_TURNS, MAX_INTERNAL));
        assert_eq!(wrapped.state(), DrainState::ExternalDraining);
        assert!(!wrapped.interrupted() && !wrapped.reading().abandoned);
    }

    #[test]
    fn every_change_preserves_every_other_field() {
        for state in DrainState::ALL {
            for bits in [0, COUNTS, GENERATIONS, COUNTS | GENERATIONS, 0x0155_5555_5555_5555 & !STATES] {
                let before = Word(bits & !INTERRUPTED).in_state(state);
                for after in [before.admit(), before.admit_internal()].into_iter().flatten() {
                    assert_eq!(before.0 & !COUNTS, after.0 & !COUNTS, "an admission changes a count alone");
                }
                for event in Event::ALL {
                    if let Ok(after) = before.on(event) {
                        assert_eq!(before.0 & COUNTS, after.0 & COUNTS, "an event changes no count");
                    }
                }
            }
        }
    }

    #[test]
    fn work_is_asked_to_give_up_once_and_a_forced_stop_takes_that_back_from_nobody() {
        let interrupted = word(DrainState::ShutdownDraining, 1, 0).interrupt().unwrap();
        assert!(interrupted.interrupted());
        assert_eq!(interrupted.interrupt(), Err(Unmoved::Stays), "asked once");
        let stopped = interrupted.force_stop().unwrap().reading();
        assert!(stopped.interrupted && stopped.abandoned, "still asked, and abandoned: {stopped:?}");
    }

    #[test]
    fn only_a_move_out_of_running_opens_a_new_generation() {
        for state in DrainState::ALL {
            for event in Event::ALL {
                let before = word(state, 0, 0);
                if let Ok(after) = before.on(event) {
                    let opened = after.generation() != before.generation();
                    assert_eq!(opened, state == DrainState::Running, "{event:?} in {state}");
                }
            }
        }
    }
}
