//! Waiting for a drain to be drained: event-driven, for one generation, async or blocking.

use super::{Gate, Generation, Reading};
use crate::sync::{Event as Signal, EventListener};
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::time::{Duration, Instant};

/// Why a wait ended without "drained".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitError {
    /// That drain has ended: the gate is open, or closed by a later drain, which is none of this waiter's (G4).
    Reopened,
    /// The gateway was stopped by force while work was in flight (S5).
    Abandoned,
    /// The deadline passed first. The gate was looked at once more before this was said.
    DeadlinePassed {
        /// Turns still in flight.
        in_flight: u64,
        /// Internal work still in flight.
        internal: u64,
    },
}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reopened => f.write_str("the drain has ended, and the gate has reopened since"),
            Self::Abandoned => f.write_str("the gateway was stopped by force with work in flight"),
            Self::DeadlinePassed { in_flight, internal } => write!(
                f,
                "the deadline passed with {in_flight} turn(s) and {internal} piece(s) of internal work in flight"
            ),
        }
    }
}

impl std::error::Error for WaitError {}

/// The wait of [`Gate::drained`]: await it, or [`wait`](Self::wait) for it on this thread.
///
/// No wake-up is lost: it listens before it looks (G4). Dropping it loses nothing.
///
/// # Errors
/// [`WaitError::Reopened`] if the drain it was made for is over, [`WaitError::Abandoned`] after a forced stop,
/// [`WaitError::DeadlinePassed`] in the forms that have a deadline.
///
/// ```
/// use gateway_drain::{Controller, DrainState, Request, RequestId, WaitError};
/// use std::time::Duration;
///
/// let controller = Controller::new();
/// let turn = controller.gate().admit()?;
/// controller.request(&Request::begin(RequestId::new("upgrade")?, "ops"))?;
///
/// let gate = controller.gate();
/// let generation = gate.reading().generation;
/// let left = gate.drained(generation).wait_timeout(Duration::from_millis(1));
/// assert_eq!(left, Err(WaitError::DeadlinePassed { in_flight: 1, internal: 0 }));
///
/// drop(turn);
/// gate.drained(generation).wait()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "waits only when awaited, or by `wait`"]
pub struct WaitDrained {
    // Dropped before the handle: who listens does so to this gate, and to none that is made of it.
    listener: Option<EventListener>,
    gate: Gate,
    generation: Generation,
}

impl WaitDrained {
    pub(super) fn new(gate: Gate, generation: Generation) -> Self {
        Self { listener: None, gate, generation }
    }

    /// The same wait with a deadline: `timer` is whatever your runtime sleeps with.
    pub fn until<T: Future<Output = ()> + Unpin>(self, timer: T) -> WaitDrainedUntil<T> {
        WaitDrainedUntil { wait: self, timer }
    }

    /// Blocks this thread until drained.
    ///
    /// # Errors
    /// As the type says; never [`WaitError::DeadlinePassed`].
    pub fn wait(self) -> Result<(), WaitError> {
        loop {
            let listener = self.gate.core.changed.listen();
            if let Some(outcome) = outcome(&self.gate.reading(), self.generation) {
                return outcome;
            }
            listener.wait();
        }
    }

    /// Blocks this thread until drained, or until `timeout` has passed.
    ///
    /// # Errors
    /// As the type says.
    pub fn wait_timeout(self, timeout: Duration) -> Result<(), WaitError> {
        let Some(deadline) = Instant::now().checked_add(timeout) else { return self.wait() };
        loop {
            let listener = self.gate.core.changed.listen();
            let reading = self.gate.reading();
            if let Some(outcome) = outcome(&reading, self.generation) {
                return outcome;
            }
            if !listener.wait_deadline(deadline) {
                return self.give_up();
            }
        }
    }

    /// The deadline has passed: a last look, so that work which ended in that very moment counts as ended.
    fn give_up(&self) -> Result<(), WaitError> {
        let reading = self.gate.reading();
        outcome(&reading, self.generation)
            .unwrap_or(Err(WaitError::DeadlinePassed { in_flight: reading.in_flight, internal: reading.internal }))
    }
}

/// What a waiter for `generation` makes of a reading; `None` is to wait on.
fn outcome(reading: &Reading, generation: Generation) -> Option<Result<(), WaitError>> {
    if reading.generation != generation || reading.state.admits() {
        Some(Err(WaitError::Reopened))
    } else if reading.abandoned {
        Some(Err(WaitError::Abandoned))
    } else {
        reading.drained.then_some(Ok(()))
    }
}

impl Future for WaitDrained {
    type Output = Result<(), WaitError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { gate, generation, listener } = self.get_mut();
        poll_event(&gate.core.changed, listener, cx, || outcome(&gate.reading(), *generation))
    }
}

/// Future of [`WaitDrained::until`].
#[must_use = "futures do nothing unless awaited"]
pub struct WaitDrainedUntil<T> {
    wait: WaitDrained,
    timer: T,
}

impl<T: Future<Output = ()> + Unpin> Future for WaitDrainedUntil<T> {
    type Output = Result<(), WaitError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { wait, timer } = self.get_mut();
        if let Poll::Ready(outcome) = Pin::new(&mut *wait).poll(cx) {
            return Poll::Ready(outcome);
        }
        Pin::new(timer).poll(cx).map(|()| wait.give_up())
    }
}

/// Polls `check` now and after each notification of `signal`.
///
/// It registers before it checks: a notification between the two finds the listener, and one before it is what the check
/// sees (G4).
pub(crate) fn poll_event<T>(
    signal: &Signal,
    listener: &mut Option<EventListener>,
    cx: &mut Context<'_>,
    check: impl Fn() -> Option<T>,
) -> Poll<T> {
    loop {
        let heard = listener.get_or_insert_with(|| signal.listen());
        if let Some(value) = check() {
            *listener = None;
            return Poll::Ready(value);
        }
        match Pin::new(heard).poll(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(()) => *listener = None,
        }
    }
}

impl fmt::Debug for WaitDrained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitDrained").field("generation", &self.generation).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for WaitDrainedUntil<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitDrainedUntil").field("wait", &self.wait).finish_non_exhaustive()
    }
}
