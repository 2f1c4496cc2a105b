//! The typestates: the only code that may move a gate's state.
//!
//! A [`Lifecycle<S>`] owns the right to move its gate and can't be cloned, so a transition that the
//! [table](crate::state::TABLE) doesn't have is a method that doesn't exist, and code that calls it doesn't compile (S1,
//! S3, S4). Each method is checked against the table as the crate is compiled. [`AnyLifecycle`] is for code that decides
//! at run time; it asks the same table, of the state that the gate is in.

use crate::gate::{Gate, Generation, Mover, Reading, Unmoved};
use crate::state::{Denial, DrainState, Event, Step, next};
use crate::sync::Wakers;
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

    /// Moves, and wakes who waits for it.
    fn moved<To: State>(mut self, event: Event) -> Lifecycle<To> {
        let moved = self.mover.fire(event);
        debug_assert!(moved.is_ok(), "only this lifecycle moves its gate, and the table has the transition");
        Lifecycle::with(self.mover.told())
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
    pub fn stop(mut self) -> Result<Lifecycle<Stopped>, NotDrained> {
        const { agrees_with_table::<ShutdownDraining, Stopped>(Event::Stop) }
        match self.mover.fire(Event::Stop) {
            Err(Unmoved::InFlight(Reading { in_flight, internal, .. })) => {
                Err(NotDrained { lifecycle: self, in_flight, internal })
            }
            Ok(_) | Err(Unmoved::Stays | Unmoved::Refused(_)) => Ok(Lifecycle::with(self.mover.told())),
        }
    }

    /// Ends the shutdown whatever is in flight, and says what was abandoned: interrupted, and counted no longer as
    /// somebody's to wait for (S5, L4).
    pub fn force_stop(mut self) -> (Lifecycle<Stopped>, Abandoned) {
        const { agrees_with_table::<ShutdownDraining, Stopped>(Event::Stop) }
        let abandoned =
            self.mover.force_stop().map_or_else(|_| Abandoned::default(), |stopped| Abandoned::of(&stopped));
        (Lifecycle::with(self.mover.told()), abandoned)
    }

    /// Asks the work in flight to give up ([`Permit::interrupted`](crate::Permit::interrupted)). Gives what was in flight
    /// the first time, and `None` afterwards.
    pub fn interrupt(&mut self) -> Option<Reading> {
        let interrupted = self.mover.interrupt().ok();
        drop(self.mover.untold());
        interrupted
    }
}

impl Abandoned {
    const fn of(stopped: &Reading) -> Self {
        Self { in_flight: stopped.in_flight, internal: stopped.internal }
    }
}

/// A lifecycle whose state is known only at run time.
///
/// It has no state of its own: the gate's is the only one, and nothing can part the two.
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
#[must_use]
pub struct AnyLifecycle {
    mover: Mover,
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
    /// The state, known to the type system no more but to the gate.
    #[must_use]
    pub fn state(&self) -> DrainState {
        self.gate().reading().state
    }

    /// The gate: to admit work, to look, to wait.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        self.mover.gate()
    }

    /// Handles an event as the table says.
    pub fn on(&mut self, event: Event) -> Handled {
        let handled = self.on_untold(event);
        drop(self.untold());
        handled
    }

    /// Ends a shutdown whatever is in flight. `None` if there is no shutdown to end.
    pub fn force_stop(&mut self) -> Option<Abandoned> {
        let abandoned = self.force_stop_untold();
        drop(self.untold());
        abandoned
    }

    /// Asks the work in flight to give up, once, if a shutdown is under way; gives what was in flight.
    pub fn interrupt(&mut self) -> Option<Reading> {
        let interrupted = self.interrupt_untold();
        drop(self.untold());
        interrupted
    }

    /// As [`on`](Self::on), and wakes nobody: [`untold`](Self::untold) does, once its caller's books are in order.
    pub(crate) fn on_untold(&mut self, event: Event) -> Handled {
        match self.mover.fire(event) {
            Ok(moved) => Handled::Moved(moved),
            Err(Unmoved::Stays) => Handled::Stayed,
            Err(Unmoved::Refused(why)) => Handled::Refused(why),
            Err(Unmoved::InFlight(reading)) => Handled::InFlight(reading),
        }
    }

    /// As [`force_stop`](Self::force_stop), and wakes nobody.
    pub(crate) fn force_stop_untold(&mut self) -> Option<Abandoned> {
        self.mover.force_stop().ok().map(|stopped| Abandoned::of(&stopped))
    }

    /// As [`interrupt`](Self::interrupt), and wakes nobody.
    pub(crate) fn interrupt_untold(&mut self) -> Option<Reading> {
        self.mover.interrupt().ok()
    }

    /// Who is to be woken for what was done so far. Dropping it wakes them: drop it where no lock is held.
    pub(crate) fn untold(&mut self) -> Wakers {
        self.mover.untold()
    }
}

impl<S: State> From<Lifecycle<S>> for AnyLifecycle {
    fn from(lifecycle: Lifecycle<S>) -> Self {
        Self { mover: lifecycle.mover }
    }
}

impl fmt::Debug for AnyLifecycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AnyLifecycle").field(&self.gate().reading()).finish()
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
