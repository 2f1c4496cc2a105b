//! The typestates: the only code that may move a gate's state.
//!
//! A [`Lifecycle<S>`] owns the right to move its gate and can't be cloned, so a transition that the
//! [table](crate::state::TABLE) doesn't have is a method that doesn't exist, and code that calls it doesn't compile (S1,
//! S3, S4). Each method is checked against the table as the crate is compiled. [`AnyLifecycle`] is for code that decides
//! at run time; it goes through the same methods.

use crate::gate::{Gate, Generation, Mover, Reading, Unmoved};
use crate::state::{Denial, DrainState, Event, Step, next};
use core::fmt;
use core::marker::PhantomData;

mod sealed {
    pub trait Sealed {}
}

/// The marker types of [`Lifecycle`]: one for each [`DrainState`].
pub trait State: sealed::Sealed {
    /// The state that the marker stands for.
    const STATE: DrainState;
}

/// The gateway takes new work. Marker for [`Lifecycle`].
#[derive(Debug)]
pub enum Running {}
/// Held closed, reversibly. Marker for [`Lifecycle`].
#[derive(Debug)]
pub enum ExternalDraining {}
/// About to end. Marker for [`Lifecycle`].
#[derive(Debug)]
pub enum ShutdownDraining {}
/// Has ended. Marker for [`Lifecycle`].
#[derive(Debug)]
pub enum Stopped {}

impl sealed::Sealed for Running {}
impl sealed::Sealed for ExternalDraining {}
impl sealed::Sealed for ShutdownDraining {}
impl sealed::Sealed for Stopped {}
impl State for Running {
    const STATE: DrainState = DrainState::Running;
}
impl State for ExternalDraining {
    const STATE: DrainState = DrainState::ExternalDraining;
}
impl State for ShutdownDraining {
    const STATE: DrainState = DrainState::ShutdownDraining;
}
impl State for Stopped {
    const STATE: DrainState = DrainState::Stopped;
}

/// A gateway in the state `S`, and the right to move it.
///
/// ```
/// use gateway_drain::lifecycle::{Lifecycle, Running};
///
/// let running = Lifecycle::<Running>::new();
/// let gate = running.gate().clone();
/// let turn = gate.admit()?;
///
/// let draining = running.begin_drain();
/// assert!(gate.admit().is_err());
/// assert!(draining.drained().is_none(), "one turn is in flight");
///
/// drop(turn);
/// assert!(draining.drained().is_some());
/// let running = draining.end_drain();
/// assert!(gate.admit().is_ok());
///
/// let stopped = running.begin_shutdown().stop().expect("nothing is in flight");
/// # Ok::<(), gateway_drain::Refusal>(())
/// ```
///
/// A shutdown has no way back:
///
/// ```compile_fail,E0599
/// use gateway_drain::lifecycle::{Lifecycle, Running};
///
/// let shutting_down = Lifecycle::<Running>::new().begin_shutdown();
/// shutting_down.end_drain(); // no method named `end_drain` found for `Lifecycle<ShutdownDraining>`
/// ```
#[must_use]
pub struct Lifecycle<S: State> {
    mover: Mover,
    state: PhantomData<fn() -> S>,
}

/// Proof that a drain is drained. It borrows the lifecycle, so while it lives nobody can end the drain (G3).
///
/// ```compile_fail,E0505
/// use gateway_drain::lifecycle::{Lifecycle, Running};
///
/// let draining = Lifecycle::<Running>::new().begin_drain();
/// let drained = draining.drained().expect("nothing is in flight");
/// draining.end_drain(); // cannot move out of `draining` because it is borrowed
/// println!("safe to act: {drained:?}");
/// ```
#[derive(Debug)]
#[must_use]
pub struct Drained<'l> {
    generation: Generation,
    lifecycle: PhantomData<&'l ()>,
}

impl Drained<'_> {
    /// Which drain is drained.
    #[must_use]
    pub const fn generation(&self) -> Generation {
        self.generation
    }
}

/// What was in flight when a shutdown was forced to its end (S5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Abandoned {
    /// Turns.
    pub in_flight: u64,
    /// Internal work.
    pub internal: u64,
}

/// [`Lifecycle::stop`] found work in flight; the shutdown goes on.
#[derive(Debug)]
pub struct NotDrained {
    /// The lifecycle, to try again with once the work has ended.
    pub lifecycle: Lifecycle<ShutdownDraining>,
    /// Turns in flight.
    pub in_flight: u64,
    /// Internal work in flight.
    pub internal: u64,
}

/// Fails the build if the table doesn't move from `From` to `To` on `event`.
const fn agrees_with_table<From: State, To: State>(event: Event) {
    let Step::Moves(to) = next(From::STATE, event) else { panic!("the table has no such transition") };
    assert!(to as u8 == To::STATE as u8, "the table moves to another state");
}

impl<S: State> Lifecycle<S> {
    fn with(mover: Mover) -> Self {
        Self { mover, state: PhantomData }
    }

    fn moved<To: State>(mut self, event: Event) -> Lifecycle<To> {
        let moved = self.mover.fire(event);
        debug_assert!(moved.is_ok(), "only this lifecycle moves its gate, and the table has the transition");
        Lifecycle::with(self.mover)
    }

    /// The gate: to admit work, to look, to wait.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        self.mover.gate()
    }
}

impl Lifecycle<Running> {
    /// A new gateway with an open gate.
    #[expect(clippy::new_without_default, reason = "a lifecycle is begun on purpose, never by default")]
    pub fn new() -> Self {
        let (_, mover) = Gate::new();
        Self::with(mover)
    }

    /// Closes the gate, reversibly, and opens a new generation. Nothing is admitted once this has returned (G1).
    pub fn begin_drain(self) -> Lifecycle<ExternalDraining> {
        const { agrees_with_table::<Running, ExternalDraining>(Event::BeginDrain) }
        self.moved(Event::BeginDrain)
    }

    /// Closes the gate for good, and opens a new generation.
    pub fn begin_shutdown(self) -> Lifecycle<ShutdownDraining> {
        const { agrees_with_table::<Running, ShutdownDraining>(Event::BeginShutdown) }
        self.moved(Event::BeginShutdown)
    }
}

impl Lifecycle<ExternalDraining> {
    /// The proof that nothing is in flight, if so.
    #[must_use]
    pub fn drained(&self) -> Option<Drained<'_>> {
        let reading = self.gate().reading();
        reading.drained.then_some(Drained { generation: reading.generation, lifecycle: PhantomData })
    }

    /// Opens the gate again.
    pub fn end_drain(self) -> Lifecycle<Running> {
        const { agrees_with_table::<ExternalDraining, Running>(Event::EndDrain) }
        self.moved(Event::EndDrain)
    }

    /// Turns the drain into a shutdown: the same generation, but no way back (S3).
    pub fn begin_shutdown(self) -> Lifecycle<ShutdownDraining> {
        const { agrees_with_table::<ExternalDraining, ShutdownDraining>(Event::BeginShutdown) }
        self.moved(Event::BeginShutdown)
    }
}

impl Lifecycle<ShutdownDraining> {
    /// Ends the shutdown, if nothing is in flight (S5).
    ///
    /// # Errors
    /// [`NotDrained`] gives the lifecycle back together with the work in flight that refused it, which is never none.
    pub fn stop(self) -> Result<Lifecycle<Stopped>, NotDrained> {
        self.stop_or_reading().map_err(|(lifecycle, Reading { in_flight, internal, .. })| NotDrained {
            lifecycle,
            in_flight,
            internal,
        })
    }

    /// As [`stop`](Self::stop), with the very reading that refuses it.
    fn stop_or_reading(mut self) -> Result<Lifecycle<Stopped>, (Self, Reading)> {
        const { agrees_with_table::<ShutdownDraining, Stopped>(Event::Stop) }
        match self.mover.fire(Event::Stop) {
            Err(Unmoved::InFlight(reading)) => Err((self, reading)),
            stopped => {
                debug_assert!(stopped.is_ok(), "only work in flight keeps a shutdown from stopping");
                Ok(Lifecycle::with(self.mover))
            }
        }
    }

    /// Ends the shutdown whatever is in flight, and says what was abandoned: interrupted, and counted no longer as
    /// somebody's to wait for (S5, L4).
    pub fn force_stop(mut self) -> (Lifecycle<Stopped>, Abandoned) {
        const { agrees_with_table::<ShutdownDraining, Stopped>(Event::Stop) }
        let stopped = self.mover.force_stop();
        debug_assert!(stopped.is_ok(), "a shutdown can always be forced");
        let abandoned = stopped.map_or_else(
            |_| Abandoned::default(),
            |Reading { in_flight, internal, .. }| Abandoned { in_flight, internal },
        );
        (Lifecycle::with(self.mover), abandoned)
    }

    /// Asks the work in flight to give up ([`Permit::interrupted`](crate::Permit::interrupted)). Gives what was in flight
    /// the first time, and `None` afterwards.
    pub fn interrupt(&mut self) -> Option<Reading> {
        self.mover.interrupt().ok()
    }
}

/// A lifecycle whose state is known only at run time.
///
/// ```
/// use gateway_drain::lifecycle::{AnyLifecycle, Handled, Lifecycle};
/// use gateway_drain::{DrainState, Event};
///
/// let mut lifecycle = AnyLifecycle::from(Lifecycle::new());
/// assert!(matches!(lifecycle.on(Event::BeginDrain), Handled::Moved(_)));
/// assert_eq!(lifecycle.on(Event::BeginDrain), Handled::Stayed);
/// assert_eq!(lifecycle.state(), DrainState::ExternalDraining);
/// ```
#[derive(Debug)]
#[must_use]
pub enum AnyLifecycle {
    /// Takes new work.
    Running(Lifecycle<Running>),
    /// Held closed, reversibly.
    ExternalDraining(Lifecycle<ExternalDraining>),
    /// About to end.
    ShutdownDraining(Lifecycle<ShutdownDraining>),
    /// Has ended.
    Stopped(Lifecycle<Stopped>),
}

/// What an event did to an [`AnyLifecycle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handled {
    /// It moved, and this is the gate right after.
    Moved(Reading),
    /// It had had its effect before (S2).
    Stayed,
    /// The table refuses it.
    Refused(Denial),
    /// It was [`Event::Stop`], and this is the work in flight that refused it; the shutdown goes on.
    InFlight(Reading),
}

impl AnyLifecycle {
    /// The state, known to the type system no more but to this value.
    #[must_use]
    pub const fn state(&self) -> DrainState {
        match self {
            Self::Running(_) => Running::STATE,
            Self::ExternalDraining(_) => ExternalDraining::STATE,
            Self::ShutdownDraining(_) => ShutdownDraining::STATE,
            Self::Stopped(_) => Stopped::STATE,
        }
    }

    /// The gate: to admit work, to look, to wait.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        match self {
            Self::Running(lifecycle) => lifecycle.gate(),
            Self::ExternalDraining(lifecycle) => lifecycle.gate(),
            Self::ShutdownDraining(lifecycle) => lifecycle.gate(),
            Self::Stopped(lifecycle) => lifecycle.gate(),
        }
    }

    /// Handles an event as the table says, by the typed method that does it.
    pub fn on(&mut self, event: Event) -> Handled {
        let before = self.state();
        let moved = match (&mut *self, event) {
            (Self::Running(l), Event::BeginDrain) => l.take().begin_drain().into(),
            (Self::Running(l), Event::BeginShutdown) => l.take().begin_shutdown().into(),
            (Self::ExternalDraining(l), Event::EndDrain) => l.take().end_drain().into(),
            (Self::ExternalDraining(l), Event::BeginShutdown) => l.take().begin_shutdown().into(),
            (Self::ShutdownDraining(l), Event::Stop) => match l.take().stop_or_reading() {
                Ok(stopped) => stopped.into(),
                Err((_, reading)) => return Handled::InFlight(reading),
            },
            _ => {
                return match next(before, event) {
                    Step::Refused(why) => Handled::Refused(why),
                    Step::Stays | Step::Moves(_) => Handled::Stayed,
                };
            }
        };
        *self = moved;
        Handled::Moved(self.gate().reading())
    }

    /// Ends a shutdown whatever is in flight. `None` if there is no shutdown to end.
    pub fn force_stop(&mut self) -> Option<Abandoned> {
        let Self::ShutdownDraining(lifecycle) = self else { return None };
        let (stopped, abandoned) = lifecycle.take().force_stop();
        *self = stopped.into();
        Some(abandoned)
    }

    /// Asks the work in flight to give up, once, if a shutdown is under way; gives what was in flight.
    pub fn interrupt(&mut self) -> Option<Reading> {
        match self {
            Self::ShutdownDraining(lifecycle) => lifecycle.interrupt(),
            _ => None,
        }
    }
}

impl<S: State> Lifecycle<S> {
    /// Moves the lifecycle out of a place that its caller then overwrites, or else puts nothing else in.
    fn take(&mut self) -> Self {
        Self::with(self.mover.hand_over())
    }
}

impl From<Lifecycle<Running>> for AnyLifecycle {
    fn from(lifecycle: Lifecycle<Running>) -> Self {
        Self::Running(lifecycle)
    }
}
impl From<Lifecycle<ExternalDraining>> for AnyLifecycle {
    fn from(lifecycle: Lifecycle<ExternalDraining>) -> Self {
        Self::ExternalDraining(lifecycle)
    }
}
impl From<Lifecycle<ShutdownDraining>> for AnyLifecycle {
    fn from(lifecycle: Lifecycle<ShutdownDraining>) -> Self {
        Self::ShutdownDraining(lifecycle)
    }
}
impl From<Lifecycle<Stopped>> for AnyLifecycle {
    fn from(lifecycle: Lifecycle<Stopped>) -> Self {
        Self::Stopped(lifecycle)
    }
}

impl<S: State> fmt::Debug for Lifecycle<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lifecycle").field(&self.gate().reading()).finish()
    }
}

impl fmt::Display for NotDrained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} turn(s) and {} piece(s) of internal work are in flight", self.in_flight, self.internal)
    }
}

impl std::error::Error for NotDrained {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "the table has no such transition")]
    fn a_method_for_a_transition_that_the_table_lacks_fails_the_build() {
        agrees_with_table::<Running, Stopped>(Event::Stop);
    }

    #[test]
    #[should_panic(expected = "the table moves to another state")]
    fn a_method_that_ends_in_another_state_than_the_table_says_fails_the_build() {
        agrees_with_table::<Running, ShutdownDraining>(Event::BeginDrain);
    }
}
