//! Lock-free admission: permits, and the one atomic word that counts them.
//!
//! State, generation and counts live in a single 64-bit word (`gate/word.rs` has its layout and its rules), and whoever
//! enters changes it by compare-and-swap. So the state that admits and the count that rises are read and changed in one
//! step: nobody is counted and then turned away, and nobody gets in between a look at the count and the closing (G1, G2).
//!
//! Anyone may hold a [`Gate`] and ask it for a [`Permit`]. Only a [`Lifecycle`](crate::Lifecycle) can move its state,
//! because only it owns the gate's `Mover`.
//!
//! Wakers are code of others. They are woken once a move or a release is complete, under no lock of this crate
//! (`sync/event.rs`): one that panics, blocks, or drops its task there and then spoils nothing but its own wait.

mod handles;
mod labels;
mod permit;
mod wait;
mod word;

pub use labels::ActiveWork;
pub use permit::{Interrupted, LabelledPermit, OwnedPermit, Permit};
pub(crate) use wait::poll_event;
pub use wait::{WaitDrained, WaitDrainedUntil, WaitError};
pub(crate) use word::Unmoved;

use crate::state::{DrainState, Event};
use crate::sync::{Arc, AtomicU64, Event as Signal, Ordering, Wakers};
use core::{fmt, mem};
use handles::Handles;
use labels::Labels;
use serde::{Deserialize, Serialize};
use word::{MAX_INTERNAL, MAX_TURNS, Unit, Word};

/// The entry point for work: admits it or refuses it, and counts what it admitted.
///
/// A `Gate` is a handle: clones share one gate. It comes from [`Controller::gate`](crate::Controller::gate) or
/// [`Lifecycle::gate`](crate::Lifecycle::gate).
///
/// What the handles share, some two hundred bytes, is never freed: when the last handle goes it is kept for the next gate
/// that the process makes. So a permit needs no part in owning it ([`OwnedPermit`] says what that saves).
///
/// ```
/// use gateway_drain::{Controller, Refusal};
///
/// let controller = Controller::new();
/// let gate = controller.gate();
///
/// let permit = gate.admit().expect("a new gate admits");
/// assert_eq!(gate.reading().in_flight, 1);
/// drop(permit); // also on panic and on cancellation
/// assert_eq!(gate.reading().in_flight, 0);
/// ```
#[derive(Clone)]
pub struct Gate {
    core: &'static Core,
    /// Counts the handles, and nothing else.
    _handles: Arc<Handles>,
}

/// What the handles and the permits of a gate share.
struct Core {
    word: AtomicU64,
    /// The state moved, or the last permit left a closed gate.
    changed: Signal,
    /// The work in flight is asked to give up. A signal of its own: every permit may listen to it.
    interrupt: Signal,
    labels: Labels,
}

/// Which drain of this process: a count that rises whenever the gate closes.
///
/// A waiter carries the generation of the drain that it waits for, and never completes for another one (G4). 22 bits
/// wide: a waiter would have to sleep through exactly 4,194,304 drains to take one for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub(crate) u32);

impl Generation {
    /// The last one; after it comes 0 again.
    pub const MAX: u32 = word::MAX_GENERATION;
}

impl From<u32> for Generation {
    /// Of the low 22 bits.
    fn from(count: u32) -> Self {
        Self(count & Self::MAX)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Everything a gate knows, read in one step: no field can contradict another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Where the gateway stands.
    pub state: DrainState,
    /// The drain under way or, while running, the last one.
    pub generation: Generation,
    /// Turns in flight. Only falls while draining (G2).
    pub in_flight: u64,
    /// Internal work in flight, counted apart.
    pub internal: u64,
    /// Closed and nothing in flight; stays true until the drain ends (G3).
    pub drained: bool,
    /// Work in flight has been asked to give up.
    pub interrupted: bool,
    /// The gateway was stopped by force with work in flight; what is counted above is abandoned (S5).
    pub abandoned: bool,
}

impl Reading {
    /// Turns and internal work together.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.in_flight + self.internal
    }
}

/// Why a gate refused.
///
/// Nothing has begun when it is returned: the caller may retry elsewhere without fear of doing the work twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// A drain that can be reversed is under way.
    Draining,
    /// The gateway is about to end.
    ShuttingDown,
    /// The gateway has ended.
    Stopped,
    /// As much is in flight as the gate can count: 16,777,215 turns, 16,383 pieces of internal work.
    Saturated,
}

impl Refusal {
    /// Its word on the wire and in metrics: `draining`, `shutting_down`, `stopped` or `saturated`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::ShuttingDown => "shutting_down",
            Self::Stopped => "stopped",
            Self::Saturated => "saturated",
        }
    }

    /// Whether this same gateway may admit the work later. If not, only another one (or its successor) will.
    ///
    /// ```
    /// use gateway_drain::Refusal;
    ///
    /// assert!(Refusal::Draining.is_retryable());
    /// assert!(!Refusal::ShuttingDown.is_retryable());
    /// ```
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::Draining | Self::Saturated)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Draining => "the gateway is draining and takes no new work at the moment; try again later",
            Self::ShuttingDown => "the gateway is shutting down and takes no new work",
            Self::Stopped => "the gateway has stopped",
            Self::Saturated => "the gateway has as much work in flight as it can count; try again later",
        })
    }
}

impl std::error::Error for Refusal {}

impl Gate {
    /// The most turns that one gate counts; the next one is refused as [`Refusal::Saturated`].
    pub const MAX_IN_FLIGHT: u64 = MAX_TURNS;
    /// The most pieces of internal work that one gate counts.
    pub const MAX_INTERNAL: u64 = MAX_INTERNAL;

    /// A new, open gate and the right to move it.
    pub(crate) fn new() -> (Self, Mover) {
        let handles = Handles::of_a_new_gate();
        let gate = Self { core: handles.core(), _handles: Arc::new(handles) };
        (gate.clone(), Mover { gate, untold: Wakers::default() })
    }

    /// Admits one turn, or says why not.
    ///
    /// Call it before the turn claims anything (a session slot, a worker), and keep the permit until the turn's last
    /// byte is out. What a turn itself starts shares its permit; the next message of a busy session is a new turn and
    /// asks again, since otherwise a chatting user keeps the gateway from ever draining.
    ///
    /// Lock-free, without a system call. Upholds G1 (nothing is admitted after a closing call has returned), G2 and G6.
    ///
    /// # Memory ordering
    /// A success acquires what was written while the gate was closed (G5). A refusal acquires nothing.
    ///
    /// # Errors
    /// [`Refusal`] says why, and [`Refusal::is_retryable`] whether to come back.
    ///
    /// ```
    /// # use gateway_drain::Controller;
    /// # let gate = Controller::new().gate().clone();
    /// let permit = gate.admit()?;                 // for this scope
    /// let owned = gate.admit()?.into_owned();     // for a spawned task
    /// let named = gate.admit()?.into_owned().labelled("turn", "session 7");
    /// # Ok::<(), gateway_drain::Refusal>(())
    /// ```
    #[inline]
    pub fn admit(&self) -> Result<Permit<'_>, Refusal> {
        self.core.enter(Word::admit)?;
        Ok(Permit::new(self.core, Unit::TURN))
    }

    /// Admits system work that no turn in flight started: a replay after a restart, the completion of a background
    /// process.
    ///
    /// While the gate drains it still passes, in a count of its own, but only as long as something is in flight. Once
    /// drained, the gate is sealed to it too, so that drained stays true (G3), and the caller keeps the work for later.
    ///
    /// # Errors
    /// As [`admit`](Self::admit).
    #[inline]
    pub fn admit_internal(&self) -> Result<Permit<'_>, Refusal> {
        self.core.enter(Word::admit_internal)?;
        Ok(Permit::new(self.core, Unit::INTERNAL))
    }

    /// Everything the gate knows, in one atomic load.
    ///
    /// # Memory ordering
    /// Acquires: whoever reads `drained` sees all that the finished work wrote (G5).
    #[must_use]
    pub fn reading(&self) -> Reading {
        self.core.reading()
    }

    /// Waits until the drain of this `generation` is drained.
    ///
    /// The generation comes from whoever began the drain, or from [`reading`](Self::reading). Await the result, or call
    /// [`wait`](WaitDrained::wait); either can have a deadline.
    #[must_use = "waits only when awaited, or by `wait`"]
    pub fn drained(&self, generation: Generation) -> WaitDrained {
        WaitDrained::new(self.clone(), generation)
    }

    /// The oldest pieces of labelled work in flight, at most `limit`, oldest first.
    #[must_use]
    pub fn active_work(&self, limit: usize) -> Vec<ActiveWork> {
        self.core.labels.oldest(limit)
    }

    /// Wakes everybody who listens for a change of the state or of the last permit.
    pub(crate) fn changed(&self) -> &Signal {
        &self.core.changed
    }
}

impl Core {
    fn new() -> Self {
        Self {
            word: AtomicU64::new(Word::NEW.bits()),
            changed: Signal::new(),
            interrupt: Signal::new(),
            labels: Labels::default(),
        }
    }

    fn word(&self) -> Word {
        // Acquire: pairs with the Release in `leave`, so that the work which a drained word no longer counts is seen
        // whole (G5); the word's releases are read-modify-writes, so the last of them carries all the earlier ones.
        // Relaxed fails `visibility::whoever_reads_drained_sees_what_the_last_turn_wrote`.
        Word::from_bits(self.word.load(Ordering::Acquire))
    }

    fn reading(&self) -> Reading {
        self.word().reading()
    }

    #[inline]
    fn enter(&self, rule: impl Fn(Word) -> Result<Word, Refusal>) -> Result<(), Refusal> {
        // Relaxed: what is read here is only a guess that the exchange below confirms, or the reason for a refusal.
        let mut seen = self.word.load(Ordering::Relaxed);
        loop {
            let entered = rule(Word::from_bits(seen))?;
            // Acquire on success: pairs with the Release in `Mover::apply`, so that a turn sees what was written while
            // the gate was closed (G5). Not Release: an entry publishes nothing. Relaxed on failure: as the load above.
            // Relaxed on success fails `visibility::a_turn_sees_what_was_written_while_the_gate_was_drained`.
            match self.word.compare_exchange_weak(seen, entered.bits(), Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(now) => seen = now,
            }
        }
    }

    #[inline]
    fn leave(&self, unit: Unit) {
        // Release: what the finished work wrote is published to whoever reads the word as drained (G5). Relaxed fails
        // `visibility::whoever_reads_drained_sees_what_every_turn_wrote`.
        let before = Word::from_bits(self.word.fetch_sub(unit.bits(), Ordering::Release));
        if before.is_closed_to_whoever_leaves() {
            self.left_closed();
        }
    }

    /// The one slow path, for whoever leaves a closed gate. The last to leave finds it drained, unless it has been moved
    /// since, and then the mover tells. `notify` takes the listeners under the lock under which a waiter puts itself
    /// among them before it looks at the word, so one of the two sees the other (G4).
    #[cold]
    fn left_closed(&self) {
        // Relaxed: who is woken acquires for itself. The subtraction's own answer would do, but to want it costs every
        // release through an open gate an exchange.
        if Word::from_bits(self.word.load(Ordering::Relaxed)).drained() {
            drop(self.changed.notify());
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gate").field(&self.reading()).finish()
    }
}

/// The right to move a gate's state. There is exactly one for each gate, and it can't be cloned.
///
/// A move wakes nobody: it notes whom to wake. Whoever moves first brings everything up to date that the woken could look
/// at, lets go of its locks, and then drops what [`untold`](Self::untold) gives.
pub(crate) struct Mover {
    gate: Gate,
    untold: Wakers,
}

impl Mover {
    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Who is to be woken for the moves so far. Dropping it wakes them.
    pub(crate) fn untold(&mut self) -> Wakers {
        mem::take(&mut self.untold)
    }

    /// The same right, once everybody has been woken.
    pub(crate) fn told(mut self) -> Self {
        drop(self.untold());
        self
    }

    pub(crate) fn fire(&mut self, event: Event) -> Result<Reading, Unmoved> {
        self.apply(|word| word.on(event))
    }

    pub(crate) fn force_stop(&mut self) -> Result<Reading, Unmoved> {
        self.apply(Word::force_stop)
    }

    pub(crate) fn interrupt(&mut self) -> Result<Reading, Unmoved> {
        self.apply(Word::interrupt)
    }

    fn apply(&mut self, rule: impl Fn(Word) -> Result<Word, Unmoved>) -> Result<Reading, Unmoved> {
        let core = self.gate.core;
        // Relaxed: a guess, as in `enter`.
        let mut seen = core.word.load(Ordering::Relaxed);
        let moved = loop {
            let moved = rule(Word::from_bits(seen))?;
            // Release: what was written while the gate was closed is seen by whom it admits next (G5).
            // Acquire: a gate found drained as it closes or stops has shown its finished work to the mover (G5).
            // Acquire alone fails `visibility::a_turn_sees_what_was_written_while_the_gate_was_drained`, Release alone
            // `visibility::whoever_stops_the_gateway_sees_what_the_last_turn_wrote`.
            match core.word.compare_exchange_weak(seen, moved.bits(), Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => break moved,
                Err(now) => seen = now,
            }
        };
        self.untold.add(core.changed.notify());
        if moved.interrupted() || moved.state() == DrainState::Stopped {
            self.untold.add(core.interrupt.notify());
        }
        Ok(moved.reading())
    }
}
