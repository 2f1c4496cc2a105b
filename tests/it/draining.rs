//! A drain from its beginning to its end, and against a shutdown: through the controller, as its observers hear it.

use gateway_drain::controller::{Change, Observation, Settings, ShutdownReport};
use gateway_drain::gate::Reading;
use gateway_drain::hold::{Denied, Outcome, Source};
use gateway_drain::lifecycle::Abandoned;
use gateway_drain::state::Denial;
use gateway_drain::{Clock, Controller, DrainState, Event, OwnedPermit, Request, RequestId};
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

fn ops() -> RequestId {
    RequestId::new("ops").unwrap()
}

fn enter(controller: &Controller) -> Result<Outcome, Denied> {
    controller.request(&Request::begin(ops(), "ops"))
}

fn exit(controller: &Controller) -> Result<Outcome, Denied> {
    controller.request(&Request::withdraw(ops(), "ops"))
}

/// What an observer has written down.
struct Heard<T> {
    notes: Arc<Mutex<Vec<T>>>,
    observation: Observation,
}

impl<T: Send + Clone + 'static> Heard<T> {
    fn of(controller: &Controller, mut note: impl FnMut(&Change) -> Option<T> + Send + 'static) -> Self {
        let notes = Arc::new(Mutex::new(Vec::new()));
        let written = Arc::clone(&notes);
        let observation = controller.observe(move |change| written.lock().unwrap().extend(note(change)));
        Self { notes, observation }
    }

    /// All of it, up to now.
    fn all(&self) -> Vec<T> {
        assert!(self.observation.flush(Duration::from_secs(30)), "the observer is told in time");
        self.notes.lock().unwrap().clone()
    }
}

/// A controller under a clock of the test's own, and the moves that its observers have heard of.
fn observed() -> (Controller, Clock, Heard<Event>) {
    let clock = Clock::manual();
    let controller = Controller::with(Settings { clock: clock.clone(), ..Settings::default() });
    let moves = Heard::of(&controller, moved);
    (controller, clock, moves)
}

fn moved(change: &Change) -> Option<Event> {
    match change {
        Change::Moved { event, .. } => Some(*event),
        _ => None,
    }
}

#[test]
fn entering_flips_the_state_and_tells_the_live_count() {
    let controller = Controller::new();
    let _turn = controller.gate().admit().unwrap();
    let told = Heard::of(&controller, |change| change.reading().map(|reading| (reading.state, reading.in_flight)));
    assert_eq!(enter(&controller), Ok(Outcome::Held));
    assert_eq!(controller.state(), DrainState::ExternalDraining);
    assert_eq!(told.all(), [(DrainState::ExternalDraining, 1)]);
}

#[test]
fn entering_twice_moves_once() {
    let (controller, _, moves) = observed();
    enter(&controller).unwrap();
    enter(&controller).unwrap();
    assert_eq!(moves.all(), [Event::BeginDrain]);
}

#[test]
fn exiting_runs_again_and_exiting_without_a_drain_does_nothing() {
    let (controller, _, moves) = observed();
    exit(&controller).unwrap();
    assert!(moves.all().is_empty());
    enter(&controller).unwrap();
    exit(&controller).unwrap();
    assert_eq!(controller.state(), DrainState::Running);
    assert_eq!(moves.all(), [Event::BeginDrain, Event::EndDrain]);
}

#[test]
fn exiting_during_a_shutdown_does_not_bring_back_running() {
    let (controller, _, _) = observed();
    let _turn = controller.gate().admit().unwrap();
    enter(&controller).unwrap();
    controller.begin_shutdown(Duration::from_secs(60)).unwrap();
    assert_eq!(exit(&controller), Err(Denied::ShuttingDown));
    assert_eq!(controller.state(), DrainState::ShutdownDraining);
    assert_eq!(enter(&controller), Err(Denied::ShuttingDown));
}

#[test]
fn exiting_after_the_stop_does_not_bring_back_running() {
    let (controller, _, _) = observed();
    enter(&controller).unwrap();
    controller.begin_shutdown(Duration::from_secs(60)).unwrap();
    assert_eq!(exit(&controller), Err(Denied::ShuttingDown));
    controller.settle();
    assert_eq!(controller.state(), DrainState::Stopped);
    assert_eq!(controller.begin_shutdown(Duration::ZERO), Err(Denial::StoppedIsFinal));
}

#[test]
fn a_hold_that_takes_over_from_another_leaves_the_gate_closed_throughout() {
    let (controller, _, moves) = observed();
    enter(&controller).unwrap();
    controller.request(&Request::begin(RequestId::new("next").unwrap(), "next")).unwrap();
    exit(&controller).unwrap();
    assert_eq!(controller.state(), DrainState::ExternalDraining);
    assert_eq!(moves.all(), [Event::BeginDrain]);
}

#[test]
fn a_lease_that_runs_out_reopens_the_gate() {
    let (controller, clock, moves) = observed();
    enter(&controller).unwrap();
    clock.advance(Duration::from_secs(3600));
    controller.settle();
    assert_eq!(controller.state(), DrainState::Running);
    assert_eq!(moves.all(), [Event::BeginDrain, Event::EndDrain]);
}

#[test]
fn a_shutdown_of_an_idle_gateway_has_stopped_when_the_call_returns() {
    let (controller, _, moves) = observed();
    controller.begin_shutdown(Duration::from_secs(60)).unwrap();
    assert_eq!(moves.all(), [Event::BeginShutdown, Event::Stop]);
    assert!(controller.stopped().wait().finished());
}

#[test]
fn a_stuck_turn_is_interrupted_at_the_deadline_and_abandoned_after_the_grace() {
    let (controller, clock, _) = observed();
    let turn = controller.gate().admit().unwrap();
    controller.begin_shutdown(Duration::from_secs(30)).unwrap();
    clock.advance(Duration::from_millis(29_999));
    controller.settle();
    assert!(!turn.is_interrupted());
    clock.advance(Duration::from_millis(1));
    controller.settle();
    assert!(turn.is_interrupted());
    assert_eq!(controller.state(), DrainState::ShutdownDraining, "interrupted work is given a moment to end");
    clock.advance(Duration::from_secs(5));
    controller.settle();
    assert_eq!(controller.state(), DrainState::Stopped);
    let report = controller.report().expect("it has stopped");
    assert_eq!((report.interrupted, report.abandoned.in_flight, report.finished()), (1, 1, false));
}

/// Work that ends as the gate next moves, before the call that moves it has gone on.
struct EndsAsTheGateMoves(Mutex<Option<OwnedPermit>>);

impl Wake for EndsAsTheGateMoves {
    fn wake(self: Arc<Self>) {
        drop(self.0.lock().unwrap().take());
    }
}

/// Ends a shutdown by force, in this way, with three turns and some internal work in flight, of which one turn ends at
/// that very moment.
fn forced_as_a_turn_ends(force: impl FnOnce(&Controller, &Clock)) {
    let (controller, clock, _) = observed();
    let told = Heard::of(&controller, |change| match change {
        Change::Moved { event: Event::Stop, reading, .. } => {
            Some((reading.in_flight, reading.internal, reading.abandoned))
        }
        _ => None,
    });
    let gate = controller.gate();
    let _stuck = [gate.admit().unwrap(), gate.admit().unwrap(), gate.admit_internal().unwrap()];
    let ends = gate.admit().unwrap().into_owned();
    controller.begin_shutdown(Duration::from_secs(30)).unwrap();
    clock.advance(Duration::from_secs(30));
    controller.settle();
    let waker = Arc::new(EndsAsTheGateMoves(Mutex::new(Some(ends)))).into();
    let mut wait = pin!(gate.drained(gate.reading().generation));
    assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());

    force(&controller, &clock);
    let abandoned = controller.report().expect("it has stopped").abandoned;
    assert_eq!((abandoned.in_flight, abandoned.internal), (3, 1), "S5: what the stop itself found is what it reports");
    assert_eq!(gate.reading().in_flight, 2, "one turn has ended since");
    assert_eq!(told.all(), [(3, 1, true)], "S5: the observers are told once, and the number that is reported");
}

#[test]
fn a_forced_stop_tells_its_observers_the_number_that_it_reports_even_if_work_ends_meanwhile() {
    forced_as_a_turn_ends(|controller, _| {
        let _ = controller.force_stop();
    });
}

#[test]
fn a_shutdown_forced_by_its_deadline_tells_its_observers_the_number_that_it_reports_even_if_work_ends_meanwhile() {
    forced_as_a_turn_ends(|controller, clock| {
        clock.advance(Duration::from_secs(5));
        controller.settle();
    });
}

#[test]
fn work_that_ends_when_interrupted_is_reported_as_interrupted_and_not_abandoned() {
    let (controller, clock, _) = observed();
    let turn = controller.gate().admit().unwrap();
    controller.begin_shutdown(Duration::from_secs(30)).unwrap();
    clock.advance(Duration::from_secs(30));
    controller.settle();
    drop(turn);
    controller.settle();
    let report = controller.report().expect("it has stopped");
    assert_eq!((report.interrupted, report.abandoned.in_flight, report.finished()), (1, 0, false));
}

#[test]
fn a_second_shutdown_can_bring_the_deadline_forward_and_not_put_it_off() {
    let (controller, clock, _) = observed();
    let turn = controller.gate().admit().unwrap();
    controller.begin_shutdown(Duration::from_secs(30)).unwrap();
    controller.begin_shutdown(Duration::from_secs(10)).unwrap();
    controller.begin_shutdown(Duration::from_secs(90)).unwrap();
    clock.advance(Duration::from_secs(10));
    controller.settle();
    assert!(turn.is_interrupted());
}

#[test]
fn an_observer_may_call_the_controller_and_everything_is_told_once_and_in_order() {
    let controller = Controller::new();
    let handle = controller.clone();
    let moves = Heard::of(&controller, move |change| {
        let event = moved(change)?;
        if event == Event::BeginDrain {
            exit(&handle).unwrap();
        }
        Some(event)
    });
    enter(&controller).unwrap();
    assert_eq!(moves.all(), [Event::BeginDrain, Event::EndDrain]);
    moves.observation.end();
}

#[test]
fn a_shutdown_takes_in_the_holds_and_owes_them_nothing_any_more() {
    let (controller, _, _) = observed();
    let _turn = controller.gate().admit().unwrap();
    enter(&controller).unwrap();
    controller.begin_shutdown(Duration::from_secs(60)).unwrap();
    assert_eq!(controller.holds(), [], "S3: the shutdown wins over every hold");
}

#[test]
fn the_controller_says_who_holds_the_gate_and_whether_a_shutdown_is_to_notify_nobody() {
    let controller = Controller::new();
    enter(&controller).unwrap();
    let names: Vec<_> = controller.holds().into_iter().map(|hold| hold.id).collect();
    assert_eq!((names, controller.suppresses_notification()), (vec![ops()], false));
    controller.request(&Request::begin(RequestId::new("quiet").unwrap(), "ops").suppress_notification(true)).unwrap();
    assert!(controller.suppresses_notification(), "one of the holds asks for it");
}

#[test]
fn a_hold_of_a_call_is_the_processes_own_whatever_its_request_says() {
    let controller = Controller::new();
    let mut request = Request::begin(ops(), "ops");
    request.source = Source::File;
    controller.request(&request).unwrap();
    assert_eq!(controller.holds().remove(0).source, Source::Process, "no file lies there that could end it");
}

#[test]
fn only_a_shutdown_that_neither_interrupted_nor_abandoned_anything_has_finished_by_itself() {
    let report = |interrupted, in_flight, internal| {
        ShutdownReport { interrupted, abandoned: Abandoned { in_flight, internal } }.finished()
    };
    assert!(report(0, 0, 0));
    for (interrupted, in_flight, internal) in [(1, 0, 0), (0, 1, 0), (0, 0, 1)] {
        assert!(!report(interrupted, in_flight, internal), "{interrupted}, {in_flight} and {internal}");
    }
}

#[test]
fn a_shutdown_whose_deadline_has_passed_interrupts_nobody_if_nothing_is_in_flight() {
    let controller = Controller::new();
    let told = Heard::of(&controller, |change| Some(matches!(change, Change::Interrupted(_))));
    controller.begin_shutdown(Duration::ZERO).unwrap();
    assert_eq!(told.all(), [false, false], "the shutdown began, and it stopped");
}

/// Whether it was woken.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_waiter_for_the_stop_is_woken_and_gets_the_report() {
    let controller = Controller::new();
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut context = Context::from_waker(&waker);
    let mut stopped = pin!(controller.stopped());
    assert_eq!(stopped.as_mut().poll(&mut context), Poll::Pending);
    assert!(!woken.0.load(Ordering::SeqCst), "nothing has happened yet");
    controller.begin_shutdown(Duration::from_secs(60)).unwrap();
    assert!(woken.0.load(Ordering::SeqCst), "L1: it has stopped, and nobody says so");
    let nothing = ShutdownReport { interrupted: 0, abandoned: Abandoned::default() };
    assert_eq!(stopped.as_mut().poll(&mut context), Poll::Ready(nothing));
}

/// Ends work the moment that work is asked to give up, on the very thread that asks.
struct GivesUp(Mutex<Vec<OwnedPermit>>);

impl Wake for GivesUp {
    fn wake(self: Arc<Self>) {
        self.0.lock().unwrap().clear();
    }
}

#[test]
fn a_change_tells_the_gate_right_after_it_even_if_what_it_tells_of_has_left_since() {
    let controller = Controller::new();
    let stuck = controller.gate().admit().unwrap();
    let turn = controller.gate().admit().unwrap().into_owned();
    let internal = controller.gate().admit_internal().unwrap().into_owned();
    let waker = Waker::from(Arc::new(GivesUp(Mutex::new(vec![turn, internal]))));
    let mut asked = pin!(stuck.interrupted());
    assert_eq!(asked.as_mut().poll(&mut Context::from_waker(&waker)), Poll::Pending);
    let readings = Heard::of(&controller, |change| Some(change.reading()));

    enter(&controller).unwrap();
    assert_eq!(controller.force_stop().abandoned, Abandoned { in_flight: 2, internal: 1 });
    assert_eq!(controller.gate().reading().total(), 1, "all but the stuck turn have left since");
    let told: Vec<_> = readings.all().into_iter().map(|reading| reading.map(standing)).collect();
    let gate = |state| Some((state, 2, 1));
    // The hold comes and goes between the moves, and says nothing of the gate.
    let hold = None;
    let moves =
        [hold, gate(DrainState::ExternalDraining), gate(DrainState::ShutdownDraining), hold, gate(DrainState::Stopped)];
    assert_eq!(told, moves, "S5: what was abandoned is told as it was");
}

fn standing(reading: Reading) -> (DrainState, u64, u64) {
    (reading.state, reading.in_flight, reading.internal)
}
