//! Waiting for a gate: event-driven, async or blocking, with or without a deadline.
//!
//! Every wait is a [`Wait`] for something that [`awaited`](super::awaited) names. It listens before it looks, so no
//! wake-up is lost (G4), and it owns its handle on the gate, so it can be stored, sent and polled by hand.

use super::awaited::Awaited;
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

/// A wait for something of a gate: await it, or [`wait`](Self::wait) for it on this thread.
///
/// It is level-triggered: it completes when it looks and finds what it waits for, at once if that is so already. What came
/// and went before it looked is not told, with one exception that matters: [`WaitDrained`] tells of the one drain that it
/// was made for. It owns its handle on the gate: it may be kept in a struct beside a permit, and outlive everything else.
/// Dropping it loses nothing.
///
/// No wake-up is lost: it listens before it looks (G4). There is no order among those who wait; all of them are woken.
///
/// What it waits for, and what it gives:
///
/// | Type | Made by | Gives | With a deadline |
/// |---|---|---|---|
/// | [`WaitDrained`] | [`Gate::drained`] | `Ok(())` or [`WaitError`] | [`WaitError::DeadlinePassed`] |
/// | [`WaitAdmitted`] | [`Gate::admitted`] | a permit, or a final [`Refusal`](super::Refusal) | `Err(Refusal::Draining)` |
/// | [`WaitOpened`] | [`Gate::opened`] | `Ok(())`, or a final `Refusal` | `Err(Refusal::Draining)` |
/// | [`WaitClosing`] | [`Gate::closing`], [`Permit::draining`](super::Permit::draining) | the `Refusal` that others get now | `None` |
/// | [`Interrupted`] | [`Gate::interrupted`], [`Permit::interrupted`](super::Permit::interrupted) | `()` | `false` |
///
/// A struct that owns a permit and polls by hand:
///
/// ```
/// use gateway_drain::OwnedPermit;
/// use gateway_drain::gate::Interrupted;
/// use std::future::Future;
/// use std::pin::Pin;
/// use std::task::{Context, Poll};
///
/// struct Lines {
///     permit: OwnedPermit,
///     interrupted: Interrupted,
/// }
///
/// impl Lines {
///     fn new(permit: OwnedPermit) -> Self {
///         Self { interrupted: permit.interrupted(), permit }
///     }
///
///     /// The end of a stream that is asked to give up.
///     fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<String>> {
///         if Pin::new(&mut self.interrupted).poll(cx).is_ready() {
///             return Poll::Ready(None);
///         }
///         // ... whatever else the stream does; the next interruption wakes `cx`.
///         Poll::Pending
///     }
/// }
/// # let controller = gateway_drain::Controller::new();
/// # let mut lines = Lines::new(controller.gate().admit_owned().unwrap());
/// # assert!(lines.poll_next(&mut Context::from_waker(std::task::Waker::noop())).is_pending());
/// # controller.force_stop();
/// # assert!(lines.poll_next(&mut Context::from_waker(std::task::Waker::noop())).is_ready());
/// # drop(lines.permit);
/// ```
#[must_use = "waits only when awaited, or by `wait`"]
pub struct Wait<F: Awaited> {
    listener: Option<EventListener>,
    gate: Gate,
    what: F,
}

/// The wait of [`Gate::drained`].
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
pub type WaitDrained = Wait<super::awaited::Drained>;
/// The wait of [`Gate::admitted`].
pub type WaitAdmitted = Wait<super::awaited::Admission>;
/// The wait of [`Gate::opened`].
pub type WaitOpened = Wait<super::awaited::Open>;
/// The wait of [`Gate::closing`] and [`Permit::draining`](super::Permit::draining).
pub type WaitClosing = Wait<super::awaited::Closed>;
/// The wait of [`Permit::interrupted`](super::Permit::interrupted) and [`Gate::interrupted`].
pub type Interrupted = Wait<super::awaited::Interruption>;

impl<F: Awaited> Wait<F> {
    pub(super) fn new(gate: Gate, what: F) -> Self {
        Self { listener: None, gate, what }
    }

    /// The same wait with a deadline: `timer` is whatever your runtime sleeps with, `tokio::time::sleep` for one. It is
    /// put into a box, so it needn't be [`Unpin`].
    ///
    /// ```
    /// use gateway_drain::{Controller, Refusal, Request, RequestId};
    /// use std::time::Duration;
    ///
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    /// # runtime.block_on(async {
    /// let controller = Controller::new();
    /// controller.request(&Request::begin(RequestId::new("upgrade")?, "ops"))?;
    ///
    /// let patience = tokio::time::sleep(Duration::from_millis(10));
    /// let permit = controller.gate().admitted().until(patience).await;
    /// assert_eq!(permit.err(), Some(Refusal::Draining), "it drains for longer than that");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn until<T: Future<Output = ()>>(self, timer: T) -> Until<F, T> {
        Until { wait: self, timer: Box::pin(timer) }
    }

    /// Blocks this thread until it is so.
    pub fn wait(self) -> F::Output {
        // An open gate is entered without a listener, and so without a lock.
        let mut found = self.what.look(&self.gate);
        loop {
            if let Some(found) = found {
                return found;
            }
            let listener = signal::<F>(&self.gate).listen();
            found = self.what.look(&self.gate);
            if found.is_none() {
                listener.wait();
            }
        }
    }

    /// Blocks this thread until it is so, or until `timeout` has passed; looks once more before it gives up.
    pub fn wait_timeout(self, timeout: Duration) -> F::InTime {
        let Some(deadline) = Instant::now().checked_add(timeout) else { return F::in_time(self.wait()) };
        loop {
            let listener = signal::<F>(&self.gate).listen();
            if let Some(found) = self.what.look(&self.gate) {
                return F::in_time(found);
            }
            if !listener.wait_deadline(deadline) {
                return self.what.too_late(&self.gate);
            }
        }
    }
}

fn signal<F: Awaited>(gate: &Gate) -> &Signal {
    if F::BY_INTERRUPTION { &gate.core.interrupt } else { &gate.core.changed }
}

impl<F: Awaited> Future for Wait<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { listener, gate, what } = self.get_mut();
        if listener.is_none()
            && let Some(found) = what.look(gate)
        {
            return Poll::Ready(found);
        }
        poll_event(signal::<F>(gate), listener, cx, || what.look(gate))
    }
}

/// Future of [`Wait::until`]: the wait, or the end of the timer.
#[must_use = "futures do nothing unless awaited"]
pub struct Until<F: Awaited, T> {
    wait: Wait<F>,
    timer: Pin<Box<T>>,
}

impl<F: Awaited, T: Future<Output = ()>> Future for Until<F, T> {
    type Output = F::InTime;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { wait, timer } = self.get_mut();
        if let Poll::Ready(found) = Pin::new(&mut *wait).poll(cx) {
            return Poll::Ready(F::in_time(found));
        }
        // The deadline has passed: a last look, so that what came true in that very moment counts.
        timer.as_mut().poll(cx).map(|()| wait.what.too_late(&wait.gate))
    }
}

/// What a waiter for `generation` makes of a reading; `None` is to wait on.
pub(super) fn outcome(reading: &Reading, generation: Generation) -> Option<Result<(), WaitError>> {
    if reading.generation != generation || reading.state.admits() {
        Some(Err(WaitError::Reopened))
    } else if reading.abandoned {
        Some(Err(WaitError::Abandoned))
    } else {
        reading.drained.then_some(Ok(()))
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

impl<F: Awaited> fmt::Debug for Wait<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Wait").field(&self.what).finish()
    }
}

impl<F: Awaited, T> fmt::Debug for Until<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Until").field(&self.wait).finish()
    }
}
