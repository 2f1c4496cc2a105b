//! A shared, idempotent handle on one gateway: holds decide, the lifecycle moves, observers hear.
//!
//! Everything that can move a gateway's state goes through here: the [reconciler](crate::Reconciler) for
//! the files, the application for a shutdown, a test by hand. The state is derived from the set of causes after each of
//! them, never written by the last one (H1).

mod observers;
mod stopped;

pub use observers::Observation;
pub use stopped::{WaitStopped, WaitStoppedUntil};

use crate::clock::Clock;
use crate::gate::{Gate, Reading};
pub use crate::hold::Acknowledgement;
use crate::hold::{
    Denied, Facts, Hold, HoldChange, HoldSet, Incarnation, LeasePolicy, Nonce, Outcome, Request, RequestId, Source,
};
use crate::lifecycle::{Abandoned, AnyLifecycle, Handled, Lifecycle};
use crate::state::{Denial, DrainState, Event};
use crate::sync::{Arc, Mutex};
use core::fmt;
use observers::{Listener, Observers};
use std::collections::BTreeSet;
use std::time::Duration;
use stopped::Publication;

/// How a [`Controller`] behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long holds may last.
    pub leases: LeasePolicy,
    /// How long interrupted work is given to end before a shutdown is forced. Default: 5 seconds.
    pub interrupt_grace: Duration,
    /// How long a drain may go without anything ending before it is shown as stalled. Default: 60 seconds.
    pub stall_after: Duration,
    /// Where time comes from. Default: the time since boot.
    pub clock: Clock,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            leases: LeasePolicy::default(),
            interrupt_grace: Duration::from_secs(5),
            stall_after: Duration::from_secs(60),
            clock: Clock::boot(),
        }
    }
}

/// Something that happened to a gateway, as its observers are told it: each once, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// The state moved.
    Moved {
        /// From here.
        from: DrainState,
        /// By this.
        event: Event,
        /// The gate right after.
        reading: Reading,
    },
    /// A hold came, went or changed.
    Hold(HoldChange),
    /// The shutdown's deadline passed, and the work in flight was asked to give up.
    Interrupted(Reading),
}

impl Change {
    /// The gate right after, if the change says.
    #[must_use]
    pub fn reading(&self) -> Option<Reading> {
        match self {
            Self::Moved { reading, .. } | Self::Interrupted(reading) => Some(*reading),
            Self::Hold(_) => None,
        }
    }
}

/// How a shutdown ended.
#[must_use = "it tells what was interrupted and what was abandoned"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShutdownReport {
    /// How much work was in flight when the deadline passed and it was asked to give up.
    pub interrupted: u64,
    /// What was still in flight at the end (S5).
    pub abandoned: Abandoned,
}

impl ShutdownReport {
    /// Whether all work ended by itself.
    #[must_use]
    pub const fn finished(&self) -> bool {
        self.interrupted == 0 && self.abandoned.in_flight == 0 && self.abandoned.internal == 0
    }
}

/// What a shutdown that isn't drained yet does by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Urgency {
    /// It waits.
    Wait,
    /// Its deadline has passed: the work in flight is asked to give up.
    Interrupt,
    /// The work has had its time to give up: the shutdown is forced (L4).
    Force,
}

impl Urgency {
    /// Of a shutdown with this `deadline` (time since boot) that gives interrupted work this `grace`.
    #[must_use]
    pub fn at(now: Duration, deadline: Duration, grace: Duration) -> Self {
        match (deadline <= now, deadline.saturating_add(grace) <= now) {
            (_, true) => Self::Force,
            (true, false) => Self::Interrupt,
            (false, false) => Self::Wait,
        }
    }
}

/// Of the drain under way: when the gate was closed, when less than ever before was in flight, and how long a shutdown waits.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "metrics"), expect(dead_code, reason = "the metrics show them"))]
pub(crate) struct Times {
    pub(crate) began: Option<Duration>,
    pub(crate) last_progress: Option<Duration>,
    pub(crate) deadline: Option<Duration>,
}

/// One moment of a gateway, with nothing in it contradicting anything else.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) now: Duration,
    /// The moment for which the gate was last brought into line with the holds: what was pending then is pending still.
    pub(crate) settled_at: Duration,
    pub(crate) reading: Reading,
    pub(crate) holds: Vec<Hold>,
    pub(crate) acknowledged: Vec<Acknowledgement>,
    pub(crate) pending: bool,
    pub(crate) stalled: bool,
    #[cfg_attr(not(feature = "metrics"), expect(dead_code, reason = "the metrics show them"))]
    pub(crate) times: Times,
    pub(crate) suppress_notification: bool,
}

/// The handle. Clones share one gateway.
///
/// A gateway that is controlled by files gets its controller from the [reconciler](crate::Reconciler); one made by
/// [`new`](Self::new) has no thread behind it, so leases and deadlines take effect only when [`settle`](Self::settle) is
/// called.
///
/// ```
/// use gateway_drain::{Controller, DrainState, Request, RequestId};
/// use gateway_drain::hold::Outcome;
///
/// let controller = Controller::new();
/// let id = RequestId::new("upgrade-42")?;
///
/// assert_eq!(controller.request(&Request::begin(id.clone(), "ops"))?, Outcome::Held);
/// assert_eq!(controller.state(), DrainState::ExternalDraining);
///
/// controller.request(&Request::withdraw(id, "ops"))?;
/// assert_eq!(controller.state(), DrainState::Running);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Controller {
    shared: Arc<Shared>,
}

struct Shared {
    gate: Gate,
    incarnation: Incarnation,
    settings: Settings,
    core: Mutex<Core>,
    observers: Observers,
}

struct Core {
    lifecycle: AnyLifecycle,
    holds: HoldSet,
    /// The moment for which the gate was last brought into line with the holds. A delay that has ended since closes nothing yet.
    settled_at: Duration,
    shutdown_deadline: Option<Duration>,
    interrupted: u64,
    report: Option<ShutdownReport>,
    drain: Drain,
    listeners: Vec<Listener>,
    publication: Publication,
}

/// How far the drain under way has come.
#[derive(Clone, Copy, Default)]
struct Drain {
    /// When the gate was closed.
    began: Duration,
    /// The least that was in flight in it so far, and since when.
    least: u64,
    since: Duration,
}

impl Controller {
    /// A new gateway with the default settings.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "every controller is a gateway of its own")]
    pub fn new() -> Self {
        Self::with(Settings::default())
    }

    /// A new gateway.
    #[must_use]
    pub fn with(settings: Settings) -> Self {
        let holds = HoldSet::new(settings.leases);
        Self::restored(settings, Incarnation::fresh(), holds)
    }

    /// A new gateway under the holds that an earlier process left.
    pub(crate) fn restored(settings: Settings, incarnation: Incarnation, holds: HoldSet) -> Self {
        let lifecycle = AnyLifecycle::from(Lifecycle::new());
        let gate = lifecycle.gate().clone();
        let core = Core {
            lifecycle,
            holds,
            settled_at: Duration::ZERO,
            shutdown_deadline: None,
            interrupted: 0,
            report: None,
            drain: Drain::default(),
            listeners: Vec::new(),
            publication: Publication::default(),
        };
        let controller = Self {
            shared: Arc::new(Shared {
                gate,
                incarnation,
                settings,
                core: Mutex::new(core),
                observers: Observers::default(),
            }),
        };
        controller.settle();
        controller
    }

    /// The gate.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.shared.gate
    }

    /// Which process this is: random, made at every start.
    #[must_use]
    pub fn incarnation(&self) -> &Incarnation {
        &self.shared.incarnation
    }

    /// Where the gateway stands.
    #[must_use]
    pub fn state(&self) -> DrainState {
        self.gate().reading().state
    }

    /// The holds that keep the gate closed, or are about to, by name.
    #[must_use]
    pub fn holds(&self) -> Vec<Hold> {
        self.shared.core.lock().holds.iter().cloned().collect()
    }

    /// Whether a hold is about to close the gate: its unready delay is running, or has ended and the gate is yet to follow.
    #[must_use]
    pub fn is_about_to_close(&self) -> bool {
        let core = self.shared.core.lock();
        core.holds.pending(core.settled_at)
    }

    /// Whether a shutdown now is to notify nobody: a live hold asks for that explicitly. Ask before
    /// [`begin_shutdown`](Self::begin_shutdown), which takes in every hold.
    #[must_use]
    pub fn suppresses_notification(&self) -> bool {
        self.shared.core.lock().holds.suppresses_notification()
    }

    /// Decides a request, and moves the gateway accordingly before it returns (H1 to H4, S2).
    ///
    /// Once a `Begin` has been answered with [`Outcome::Held`], nothing more is admitted (G1).
    ///
    /// # Errors
    /// Why the request was refused; it had no effect then.
    pub fn request(&self, request: &Request) -> Result<Outcome, Denied> {
        // Whatever it says: a call is no file.
        let request = Request { source: Source::Process, ..request.clone() };
        self.change(|core, shared, now, tell| {
            let (outcome, changes) = core.holds.apply(&request, &shared.facts(), now);
            tell.extend(changes.into_iter().map(Change::Hold));
            outcome.granted()
        })
    }

    /// The commits that stand once this look has been decided, if it grants any: they are to be on record before
    /// [`reconcile`](Self::reconcile) may grant them.
    pub(crate) fn grants(&self, seen: &[Request], absent: impl Fn(&RequestId) -> bool) -> Option<Vec<Hold>> {
        let core = self.shared.core.lock();
        core.holds.grants(seen, absent, &self.shared.facts(), self.shared.settings.clock.now())
    }

    /// Decides all that is in the channel, as one step: what is there, and what is definitely not. Of the commits, those
    /// whose tokens are on record.
    ///
    /// The state follows once all is decided: a hold that takes over from another leaves no gap.
    pub(crate) fn reconcile(&self, seen: &[Request], absent: impl Fn(&RequestId) -> bool, recorded: &BTreeSet<Nonce>) {
        self.change(|core, shared, now, tell| {
            let facts = Facts { recorded: Some(recorded), ..shared.facts() };
            let changes = core.holds.reconcile(seen, absent, &facts, now);
            tell.extend(changes.into_iter().map(Change::Hold));
        });
    }

    /// Lets time take effect: leases that have run out, a shutdown that is drained or past its deadline.
    ///
    /// The reconciler does this; without one, call it regularly.
    pub fn settle(&self) {
        self.change(|_, _, _, _| ());
    }

    /// Begins the shutdown: nothing is admitted any more, every hold of the process's own calls is taken in, and there is
    /// no way back (S3).
    ///
    /// A hold that is kept in a file outlives the process: it stays in every status to the last one, and the next process of
    /// this epoch takes it over, a commit included (E1).
    ///
    /// Work in flight has until `deadline` from now to end. Then it is [interrupted](crate::Permit::interrupted), and
    /// [`Settings::interrupt_grace`] later the shutdown is forced (L4). Calling it again can bring the deadline forward,
    /// never put it off.
    ///
    /// # Errors
    /// [`Denial::StoppedIsFinal`] once stopped.
    pub fn begin_shutdown(&self, deadline: Duration) -> Result<(), Denial> {
        self.change(|core, _, now, tell| {
            if let Handled::Refused(why) = core.handle(Event::BeginShutdown, now, tell) {
                return Err(why);
            }
            tell.extend(core.holds.absorb().into_iter().map(Change::Hold));
            let deadline = now.saturating_add(deadline);
            core.shutdown_deadline = Some(core.shutdown_deadline.map_or(deadline, |earlier| earlier.min(deadline)));
            Ok(())
        })
    }

    /// Ends the shutdown at once, whatever is in flight; begins it first if need be. Gives what was abandoned (S5).
    pub fn force_stop(&self) -> ShutdownReport {
        self.change(|core, _, now, tell| {
            core.handle(Event::BeginShutdown, now, tell);
            tell.extend(core.holds.absorb().into_iter().map(Change::Hold));
            core.force_stop(tell)
        })
    }

    /// Stops the gateway here and now, since nobody follows its files from here on: by force if work is in flight. Unlike a
    /// shutdown that somebody asks for it takes no hold in: the next process finds those in the files as they stand.
    pub(crate) fn close_for_good(&self) {
        self.step(|core, _, now, tell| {
            core.handle(Event::BeginShutdown, now, tell);
            core.shutdown_deadline = Some(now);
        });
        if self.report().is_none() {
            let _ = self.step(|core, _, _, tell| core.force_stop(tell));
        }
    }

    /// How the shutdown ended; `None` until it has.
    #[must_use]
    pub fn report(&self) -> Option<ShutdownReport> {
        self.shared.core.lock().report
    }

    /// Looks something up among the holds, under the lock.
    pub(crate) fn among_holds<T>(&self, look: impl FnOnce(&HoldSet) -> T) -> T {
        look(&self.shared.core.lock().holds)
    }

    /// How long it is until time alone changes something: [`Duration::MAX`] if it never does.
    pub(crate) fn until_next_change(&self) -> Duration {
        let Settings { clock, interrupt_grace, .. } = &self.shared.settings;
        let now = clock.now();
        let next = self.shared.core.lock().next_change(now, *interrupt_grace);
        next.map_or(Duration::MAX, |moment| moment.saturating_sub(now))
    }

    pub(crate) fn view(&self) -> View {
        self.view_of(&self.shared.core.lock())
    }

    fn view_of(&self, core: &Core) -> View {
        let now = self.shared.settings.clock.now();
        let reading = self.gate().reading();
        let drain = Some(core.drain).filter(|_| reading.state.is_draining());
        let patience = self.shared.settings.stall_after;
        let stalled = drain.is_some_and(|drain| !reading.drained && now.saturating_sub(drain.since) >= patience);
        View {
            now,
            settled_at: core.settled_at,
            reading,
            pending: core.holds.pending(core.settled_at),
            stalled,
            times: Times {
                began: drain.map(|drain| drain.began),
                last_progress: drain.map(|drain| drain.since),
                deadline: core.shutdown_deadline.filter(|_| drain.is_some()),
            },
            suppress_notification: core.holds.suppresses_notification(),
            acknowledged: core.holds.acknowledged(core.settled_at),
            holds: core.holds.iter().cloned().collect(),
        }
    }

    /// Does something under the lock, derives the state again, then tells the observers what came of it.
    fn change<T>(&self, work: impl FnOnce(&mut Core, &Shared, Duration, &mut Vec<Change>) -> T) -> T {
        self.step(|core, shared, now, tell| {
            tell.extend(core.holds.expire_calls(now).into_iter().map(Change::Hold));
            work(core, shared, now, tell)
        })
    }

    /// As [`change`](Self::change), but that no lease runs out.
    fn step<T>(&self, work: impl FnOnce(&mut Core, &Shared, Duration, &mut Vec<Change>) -> T) -> T {
        let (value, untold) = {
            let mut core = self.shared.core.lock();
            let now = self.shared.settings.clock.now();
            let mut tell = Vec::new();
            let value = work(&mut core, &self.shared, now, &mut tell);
            core.settle(&self.shared, now, &mut tell);
            // Under the lock: the order in which they hear of it is the one in which it happened.
            for change in &tell {
                core.listeners.iter_mut().for_each(|listener| listener(change));
            }
            (value, core.lifecycle.untold())
        };
        // Wakes who waits for the gate: nobody else's code runs under the lock.
        self.shared.observers.wake(untold);
        self.shared.observers.told();
        value
    }
}

impl Shared {
    fn facts(&self) -> Facts<'_> {
        Facts::of(&self.incarnation, self.gate.reading())
    }
}

impl Core {
    fn settle(&mut self, shared: &Shared, now: Duration, tell: &mut Vec<Change>) {
        self.settled_at = now;
        if let Some(event) = self.holds.moves(self.lifecycle.state(), now) {
            self.handle(event, now, tell);
        }
        let total = shared.gate.reading().total();
        if total < self.drain.least {
            self.drain = Drain { least: total, since: now, ..self.drain };
        }
        let Some(deadline) = self.shutdown_deadline.filter(|_| self.report.is_none()) else { return };
        let urgency = Urgency::at(now, deadline, shared.settings.interrupt_grace);
        if urgency != Urgency::Wait
            && let Some(reading) = self.lifecycle.interrupt_untold()
            && reading.total() > 0
        {
            self.interrupted = reading.total();
            tell.push(Change::Interrupted(reading));
        }
        if let Handled::Moved(_) = self.handle(Event::Stop, now, tell) {
            self.report = Some(ShutdownReport { interrupted: self.interrupted, abandoned: Abandoned::default() });
        } else if urgency == Urgency::Force {
            let _ = self.force_stop(tell);
        }
    }

    fn handle(&mut self, event: Event, now: Duration, tell: &mut Vec<Change>) -> Handled {
        let from = self.lifecycle.state();
        let handled = self.lifecycle.on_untold(event);
        if let Handled::Moved(reading) = handled {
            if from.admits() {
                self.drain = Drain { began: now, least: reading.total(), since: now };
            }
            tell.push(Change::Moved { from, event, reading });
        }
        handled
    }

    fn force_stop(&mut self, tell: &mut Vec<Change>) -> ShutdownReport {
        let from = self.lifecycle.state();
        if let Some(abandoned) = self.lifecycle.force_stop_untold() {
            // What was abandoned then, even if some of it has left since.
            let Abandoned { in_flight, internal } = abandoned;
            let mut reading = self.lifecycle.gate().reading();
            (reading.in_flight, reading.internal) = (in_flight, internal);
            self.report = Some(ShutdownReport { interrupted: self.interrupted, abandoned });
            tell.push(Change::Moved { from, event: Event::Stop, reading });
        }
        let abandoned = Abandoned::default();
        self.report.unwrap_or(ShutdownReport { interrupted: self.interrupted, abandoned })
    }

    /// When time alone changes something next.
    fn next_change(&self, now: Duration, grace: Duration) -> Option<Duration> {
        self.holds.next_change(now).into_iter().chain(self.next_of_the_shutdown(now, grace)).min()
    }

    /// When time alone changes something about the shutdown next.
    fn next_of_the_shutdown(&self, now: Duration, grace: Duration) -> Option<Duration> {
        let deadline = self.shutdown_deadline.filter(|_| self.report.is_none());
        let forced = deadline.map(|deadline| deadline.saturating_add(grace));
        let deadline = deadline.filter(|deadline| *deadline > now);
        deadline.into_iter().chain(forced).min()
    }
}

impl fmt::Debug for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Controller")
            .field("incarnation", &self.shared.incarnation.as_str())
            .field("reading", &self.gate().reading())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hold::Source;

    fn controlled() -> (Controller, Clock) {
        let clock = Clock::manual();
        (Controller::with(Settings { clock: clock.clone(), ..Settings::default() }), clock)
    }

    fn begin() -> Request {
        Request::begin(RequestId::marker(), "ops")
    }

    #[test]
    fn a_drain_is_stalled_from_the_minute_on_in_which_nothing_ends_until_something_does_and_never_once_drained() {
        let (controller, clock) = controlled();
        let mut turns = vec![controller.gate().admit().unwrap(), controller.gate().admit().unwrap()];
        controller.request(&begin()).unwrap();
        let stalled_after = |millis| {
            clock.advance(Duration::from_millis(millis));
            // A look in which nothing has ended is no progress.
            controller.settle();
            controller.view().stalled
        };
        assert_eq!([stalled_after(59_999), stalled_after(1)], [false, true]);
        turns.pop();
        assert_eq!([stalled_after(0), stalled_after(59_999), stalled_after(1)], [false, false, true]);
        turns.pop();
        assert_eq!(
            [stalled_after(0), stalled_after(3_000_000)],
            [false, false],
            "it is drained, and nothing is awaited"
        );
    }

    #[test]
    fn what_changes_next_by_time_alone_is_a_shutdown_s_deadline_and_then_its_end() {
        let (controller, clock) = controlled();
        let turn = controller.gate().admit().unwrap();
        assert_eq!(controller.until_next_change(), Duration::MAX, "nothing is under way");
        controller.begin_shutdown(Duration::from_secs(30)).unwrap();
        assert_eq!(controller.until_next_change(), Duration::from_secs(30));
        clock.advance(Duration::from_secs(30));
        assert_eq!(controller.until_next_change(), Duration::from_secs(5), "the deadline is no moment to come");
        drop(turn);
        controller.settle();
        assert_eq!(controller.until_next_change(), Duration::MAX, "it has stopped");
    }

    #[test]
    fn a_hold_whose_delay_has_ended_is_pending_until_the_gate_has_closed() {
        let (controller, clock) = controlled();
        let delay = Duration::from_secs(5);
        let request = Request { source: Source::File, ..begin().unready_delay(delay) };
        controller.reconcile(std::slice::from_ref(&request), |_| true, &BTreeSet::new());
        clock.advance(delay);
        let stands = || {
            let view = controller.view();
            let outcomes = view.acknowledged.iter().map(|answer| answer.outcome).collect::<Vec<_>>();
            (view.reading.state, view.pending, controller.is_about_to_close(), outcomes)
        };
        assert_eq!(stands(), (DrainState::Running, true, true, vec![Outcome::Pending]), "nobody has closed it yet");
        controller.settle();
        assert_eq!(stands(), (DrainState::ExternalDraining, false, false, vec![Outcome::Held]));
    }

    #[test]
    fn who_joins_is_told_how_the_gateway_stands_and_of_every_change_since() {
        let (controller, _) = controlled();
        controller.request(&begin()).unwrap();
        let (told, heard) = std::sync::mpsc::channel();
        let first = told.clone();
        controller.listen(
            move |view| first.send(format!("{} holds, {}", view.holds.len(), view.reading.state)).unwrap(),
            move |change| _ = change.reading().map(|reading| told.send(reading.state.to_string()).unwrap()),
        );
        controller.request(&Request::withdraw(RequestId::marker(), "ops")).unwrap();
        assert_eq!(heard.try_iter().collect::<Vec<_>>(), ["1 holds, external_draining", "running"]);
    }

    #[test]
    fn what_is_in_the_channel_decides_as_one_step_and_is_answered_until_it_is_gone() {
        let (controller, _) = controlled();
        let request = Request { source: Source::File, ..begin() };
        let look = |seen: &[Request]| controller.reconcile(seen, |_| true, &BTreeSet::new());
        look(std::slice::from_ref(&request));
        let answers = |view: View| view.acknowledged.into_iter().map(|answer| (answer.nonce, answer.outcome));
        assert_eq!(controller.state(), DrainState::ExternalDraining);
        assert_eq!(answers(controller.view()).collect::<Vec<_>>(), [(request.nonce, Outcome::Held)]);
        controller.begin_shutdown(Duration::from_secs(30)).unwrap();
        let still = answers(controller.view()).map(|(_, outcome)| outcome).collect::<Vec<_>>();
        assert_eq!(still, [Outcome::Held], "E1: it is left to the next process");
        look(&[]);
        assert!(controller.holds().is_empty(), "its owner has withdrawn it");
        assert!(answers(controller.view()).next().is_none());
    }
}
