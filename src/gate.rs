//! Lock-free admission: permits, and the one atomic word that counts them.
//!
//! State, generation and counts live in a single 64-bit word (`gate/word.rs` has its layout and its rules), and an
//! admission changes it by compare-and-swap. So the state that admits and the count that rises are read and changed in one
//! step: nobody is counted and then turned away, and nobody gets in between a look at the count and the closing (G1, G2).
//!
//! Anyone may hold a [`Gate`] and ask it for a [`Permit`]. Only a [`Lifecycle`](crate::Lifecycle) can move its state,
//! because only it owns the gate's `Mover`.
//!
//! Wakers are code of others. They are woken once a move or a release is complete, under no lock of this crate
//! (`sync/event.rs`): one that panics, blocks, or drops its task there and then spoils nothing but its own wait.

pub mod awaited;
mod labels;
mod permit;
mod reading;
mod refusal;
mod wait;
mod word;

pub use labels::ActiveWork;
pub use permit::{LabelledPermit, OwnedPermit, Permit};
pub use reading::{Generation, Reading};
pub use refusal::Refusal;
#[cfg(any(feature = "axum", feature = "tower"))]
pub(crate) use refusal::{problem, retry_after};
pub(crate) use wait::poll_event;
pub use wait::{Interrupted, Until, Wait, WaitAdmitted, WaitClosing, WaitDrained, WaitError, WaitOpened};
pub(crate) use word::Unmoved;

use crate::state::{DrainState, Event};
use crate::sync::{Arc, AtomicU64, Event as Signal, Ordering, Wakers};
use core::{fmt, mem};
use labels::Labels;
use word::{MAX_INTERNAL, MAX_TURNS, Unit, Word};

/// The entry point for work: admits it or refuses it, and counts what it admitted.
///
/// A `Gate` is a handle: clones share one gate. It comes from [`Controller::gate`](crate::Controller::gate) or
/// [`Lifecycle::gate`](crate::Lifecycle::gate).
///
/// It answers at once or waits, as its caller likes: [`admit`](Self::admit) refuses while the gateway drains,
/// [`admitted`](Self::admitted) waits until it runs again. Those who work without asking for each piece listen to
/// [`closing`](Self::closing) and [`opened`](Self::opened).
///
/// # Compared with
/// - tokio's `Semaphore` counts what is in flight too, and has `acquire` beside `try_acquire`. It can be closed, for good,
///   and can't say that all permits are back but by taking them all.
/// - tokio-util's `TaskTracker` says when all are back, and admits while closed.
/// - tokio-util's `CancellationToken` tells of an end, counts nobody, and can't be taken back.
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
    core: Arc<Core>,
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

impl Gate {
    /// The most turns that one gate counts; the next one is refused as [`Refusal::Saturated`].
    pub const MAX_IN_FLIGHT: u64 = MAX_TURNS;
    /// The most pieces of internal work that one gate counts.
    pub const MAX_INTERNAL: u64 = MAX_INTERNAL;

    /// A new, open gate and the right to move it.
    pub(crate) fn new() -> (Self, Mover) {
        let gate = Self { core: Arc::new(Core::new()) };
        (gate.clone(), Mover { gate, untold: Wakers::default() })
    }

    /// One more handle.
    fn of(core: &Arc<Core>) -> Self {
        Self { core: Arc::clone(core) }
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
    /// let permit = gate.admit()?;          // for this scope
    /// let owned = gate.admit_owned()?;     // for a spawned task
    /// let named = gate.admit_owned()?.labelled("turn", "session 7");
    /// # Ok::<(), gateway_drain::Refusal>(())
    /// ```
    #[inline]
    pub fn admit(&self) -> Result<Permit<'_>, Refusal> {
        self.core.enter(Word::admit)?;
        Ok(Permit::new(&self.core, Unit::TURN))
    }

    /// As [`admit`](Self::admit), with a permit that a spawned task can own: `gate.admit()?.into_owned()` in one word.
    ///
    /// # Errors
    /// As [`admit`](Self::admit).
    #[inline]
    pub fn admit_owned(&self) -> Result<OwnedPermit, Refusal> {
        self.core.enter(Word::admit)?;
        Ok(OwnedPermit::new(Arc::clone(&self.core), Unit::TURN))
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
        Ok(Permit::new(&self.core, Unit::INTERNAL))
    }

    /// As [`admit_internal`](Self::admit_internal), with a permit that a spawned task can own.
    ///
    /// # Errors
    /// As [`admit`](Self::admit).
    #[inline]
    pub fn admit_internal_owned(&self) -> Result<OwnedPermit, Refusal> {
        self.core.enter(Word::admit_internal)?;
        Ok(OwnedPermit::new(Arc::clone(&self.core), Unit::INTERNAL))
    }

    /// Waits until a turn is admitted: through a drain, however long it lasts. It fails at a shutdown.
    ///
    /// For a thread that has work in hand which nobody else can take: a consumer with a job that it has already read, a worker of
    /// a pool, a scheduler. An open gate is entered as by [`admit_owned`](Self::admit_owned), without a lock. Upholds what
    /// [`admit`](Self::admit) does, and G4: no reopening is missed. All who wait are woken at once and enter in no
    /// particular order; a gate that closes again in between keeps the others out. Await it, or block with
    /// [`wait`](Wait::wait); both have a form with a deadline, which gives `Err(Refusal::Draining)`.
    ///
    /// # Errors
    /// [`Refusal::ShuttingDown`] and [`Refusal::Stopped`], as soon as the shutdown begins. [`Refusal::Saturated`] at once:
    /// that is as much as can be counted, and no limit to wait behind.
    ///
    /// ```
    /// use gateway_drain::{Controller, Request, RequestId};
    /// use std::thread;
    ///
    /// let controller = Controller::new();
    /// let upgrade = RequestId::new("upgrade")?;
    /// controller.request(&Request::begin(upgrade.clone(), "ops"))?;
    ///
    /// let worker = thread::spawn({
    ///     let gate = controller.gate().clone();
    ///     move || gate.admitted().wait().map(|permit| drop(permit)) // the work
    /// });
    /// controller.request(&Request::withdraw(upgrade, "ops"))?;
    /// assert_eq!(worker.join().unwrap(), Ok(()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn admitted(&self) -> WaitAdmitted {
        Wait::new(self.clone(), awaited::Admission(()))
    }

    /// Waits until the gate is open, at once if it is. It admits nobody: by the next moment the gate may be closed again.
    ///
    /// For a worker that fetches work and is admitted for each piece, to fetch none meanwhile.
    ///
    /// # Memory ordering
    /// Acquires: the caller sees what was written while the gate was closed (G5).
    ///
    /// # Errors
    /// [`Refusal::ShuttingDown`] and [`Refusal::Stopped`], as soon as the shutdown begins: it never opens again (S3).
    pub fn opened(&self) -> WaitOpened {
        Wait::new(self.clone(), awaited::Open(()))
    }

    /// Waits until the gate is closed, at once if it is, and says what it answers to everybody: [`Refusal::Draining`],
    /// [`Refusal::ShuttingDown`] or [`Refusal::Stopped`].
    ///
    /// For a worker that waits for work elsewhere, a queue or a socket, and is to stop that when a drain begins. A drain that
    /// was begun and ended before anybody looked is not told: there is nothing to stop for any more.
    ///
    /// ```
    /// use gateway_drain::{Gate, OwnedPermit, Refusal};
    ///
    /// /// Takes jobs while the gate is open, and ends with the gateway.
    /// async fn consume(gate: Gate, mut jobs: tokio::sync::mpsc::Receiver<String>) -> Refusal {
    ///     loop {
    ///         if let Err(refusal) = gate.opened().await {
    ///             return refusal;
    ///         }
    ///         tokio::select! {
    ///             _ = gate.closing() => {} // fetches nothing until it is open again
    ///             Some(job) = jobs.recv() => match gate.admitted().await {
    ///                 Ok(permit) => drop(tokio::spawn(work(job, permit))),
    ///                 Err(refusal) => return refusal, // give the job back to the queue first
    ///             },
    ///         }
    ///     }
    /// }
    /// # async fn work(_: String, _: OwnedPermit) {}
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    /// # runtime.block_on(async {
    /// # let controller = gateway_drain::Controller::new();
    /// # let (_jobs, taken) = tokio::sync::mpsc::channel(1);
    /// # let consumer = tokio::spawn(consume(controller.gate().clone(), taken));
    /// # controller.begin_shutdown(std::time::Duration::ZERO).unwrap();
    /// # assert!(consumer.await.unwrap().is_final());
    /// # });
    /// ```
    pub fn closing(&self) -> WaitClosing {
        Wait::new(self.clone(), awaited::Closed(()))
    }

    /// Waits until the work in flight is asked to give up, as [`OwnedPermit::interrupted`], without a permit: for a
    /// supervisor that kills children. It completes as well when the gateway has stopped without asking.
    pub fn interrupted(&self) -> Interrupted {
        Wait::new(self.clone(), awaited::Interruption(()))
    }

    /// Everything the gate knows, in one atomic load.
    ///
    /// # Memory ordering
    /// Acquires: a thread that reads `drained` sees all that the finished work wrote (G5).
    #[must_use]
    pub fn reading(&self) -> Reading {
        self.core.reading()
    }

    /// Waits until the drain of this `generation` is drained.
    ///
    /// The generation comes from the call that began the drain, or from [`reading`](Self::reading). Await the result, or call
    /// [`wait`](WaitDrained::wait); either can have a deadline.
    pub fn drained(&self, generation: Generation) -> WaitDrained {
        Wait::new(self.clone(), awaited::Drained(generation))
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
        // Relaxed fails `visibility::a_reader_of_drained_sees_what_the_last_turn_wrote`.
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
        // Release: what the finished work wrote is published to every thread that reads the word as drained (G5). Relaxed fails
        // `visibility::a_reader_of_drained_sees_what_every_turn_wrote`.
        let before = Word::from_bits(self.word.fetch_sub(unit.bits(), Ordering::Release));
        if before.is_closed_when_left() {
            self.left_closed();
        }
    }

    /// The one slow path, for a permit that leaves a closed gate. The last to leave finds it drained, unless it has been moved
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
/// A move wakes nobody: it notes whom to wake. The thread that moves first brings everything up to date that the woken could look
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
        let core = &*self.gate.core;
        // Relaxed: a guess, as in `enter`.
        let mut seen = core.word.load(Ordering::Relaxed);
        let moved = loop {
            let moved = rule(Word::from_bits(seen))?;
            // Release: what was written while the gate was closed is seen by whom it admits next (G5).
            // Acquire: a gate found drained as it closes or stops has shown its finished work to the mover (G5).
            // Acquire alone fails `visibility::a_turn_sees_what_was_written_while_the_gate_was_drained`, Release alone
            // `visibility::the_stop_sees_what_the_last_turn_wrote`.
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
