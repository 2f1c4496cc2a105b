//! Those who work wait as well as ask: to be admitted, for the gate to open, for a drain to begin, to be asked to give up.

use gateway_drain::gate::Interrupted;
use gateway_drain::{Controller, Gate, OwnedPermit, Refusal, Request, RequestId};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

/// What hangs is given up after this.
const LIMIT: Duration = Duration::from_secs(20);
/// A deadline that is meant to pass.
const SOON: Duration = Duration::from_millis(5);

fn begin(controller: &Controller) {
    controller.request(&Request::begin(RequestId::new("ops").unwrap(), "ops")).unwrap();
}

fn end(controller: &Controller) {
    controller.request(&Request::withdraw(RequestId::new("ops").unwrap(), "ops")).unwrap();
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Wakes {
    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// Waits on a thread of its own, since a test that hangs shows nothing.
fn waiting<T: Send + 'static>(wait: impl FnOnce() -> T + Send + 'static) -> Receiver<T> {
    let (told, when) = channel();
    thread::spawn(move || told.send(wait()));
    when
}

fn told<T>(when: &Receiver<T>) -> T {
    when.recv_timeout(LIMIT).expect("G4: a waiter is told")
}

fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(LIMIT, future).await.expect("G4: a waiter is told") })
}

#[test]
fn who_waits_to_be_admitted_waits_through_a_drain_however_often_it_is_renewed() {
    let controller = Controller::new();
    begin(&controller);
    let workers: Vec<_> = (0..8)
        .map(|number| {
            let gate = controller.gate().clone();
            waiting(move || if number % 2 == 0 { gate.admitted().wait() } else { block_on(gate.admitted()) })
        })
        .collect();
    let mut permits = Vec::new();
    for _ in 0..1_000 {
        end(&controller);
        begin(&controller);
        permits.extend(workers.iter().flat_map(Receiver::try_iter));
        let (first, second) = (controller.gate().reading(), controller.gate().reading());
        assert_eq!(first.in_flight, second.in_flight, "G2: none gets in while it drains");
    }
    end(&controller);
    while permits.len() < workers.len() {
        permits.extend(workers.iter().flat_map(Receiver::try_iter));
        thread::yield_now();
    }
    assert_eq!(controller.gate().reading().in_flight, 8, "G6");
    assert!(permits.iter().all(Result::is_ok));
}

#[test]
fn every_wait_for_an_open_gate_ends_as_soon_as_a_shutdown_begins_and_with_it() {
    for drained_before in [false, true] {
        let controller = Controller::new();
        let turn = controller.gate().admit_owned().unwrap();
        begin(&controller);
        let gate = || controller.gate().clone();
        let waits = [
            waiting({
                let gate = gate();
                move || gate.admitted().wait().err()
            }),
            waiting({
                let gate = gate();
                move || block_on(gate.admitted()).err()
            }),
            waiting({
                let gate = gate();
                move || gate.opened().wait().err()
            }),
            waiting({
                let gate = gate();
                move || block_on(gate.opened().until(std::future::pending())).err()
            }),
        ];
        let turn = (!drained_before).then_some(turn);
        controller.begin_shutdown(LIMIT).unwrap();
        for wait in &waits {
            let refusal = told(wait).expect("S3: it never opens again");
            assert!(refusal.is_final() && !refusal.is_retryable(), "{refusal:?}");
        }
        drop(turn);
    }
}

#[test]
fn a_wait_that_runs_out_says_how_the_gate_is_and_nothing_is_lost() {
    let controller = Controller::new();
    let gate = controller.gate();
    assert_eq!(gate.closing().wait_timeout(SOON), None, "it is open");
    assert!(!gate.interrupted().wait_timeout(SOON), "nobody was asked to give up");
    assert!(gate.admitted().wait_timeout(Duration::ZERO).is_ok(), "an open gate needs no time");
    assert_eq!(gate.opened().wait_timeout(Duration::ZERO), Ok(()));
    begin(&controller);
    assert_eq!(gate.admitted().wait_timeout(SOON).err(), Some(Refusal::Draining));
    assert_eq!(gate.opened().wait_timeout(SOON), Err(Refusal::Draining));
    assert_eq!(gate.closing().wait_timeout(Duration::ZERO), Some(Refusal::Draining));
    assert_eq!(gate.reading().total(), 0, "G6: who gave up is not counted");
    let _ = controller.force_stop();
    assert_eq!(gate.admitted().wait_timeout(Duration::MAX).err(), Some(Refusal::Stopped));
    assert_eq!(gate.opened().wait(), Err(Refusal::Stopped));
    assert_eq!(gate.closing().wait(), Refusal::Stopped);
    assert!(gate.interrupted().wait_timeout(Duration::ZERO), "it has stopped");
}

/// tokio's is not `Unpin`.
#[test]
fn any_timer_bounds_a_wait() {
    let controller = Controller::new();
    let turn = controller.gate().admit_owned().unwrap();
    begin(&controller);
    let generation = controller.gate().reading().generation;
    block_on(async {
        let gate = controller.gate();
        assert!(gate.drained(generation).until(tokio::time::sleep(SOON)).await.is_err());
        assert_eq!(gate.admitted().until(tokio::time::sleep(SOON)).await.err(), Some(Refusal::Draining));
        assert_eq!(gate.opened().until(async {}).await, Err(Refusal::Draining));
        assert_eq!(gate.closing().until(tokio::time::sleep(LIMIT)).await, Some(Refusal::Draining));
        assert!(!turn.interrupted().until(tokio::time::sleep(SOON)).await);
    });
}

#[test]
fn what_comes_true_while_the_timer_runs_out_counts() {
    let controller = Controller::new();
    let mut context = Context::from_waker(Waker::noop());
    let turn = controller.gate().admit_owned().unwrap();
    let mut closing = pin!(controller.gate().closing().until(async { begin(&controller) }));
    assert_eq!(closing.as_mut().poll(&mut context), Poll::Ready(Some(Refusal::Draining)));
    let mut admitted = pin!(controller.gate().admitted().until(async { end(&controller) }));
    assert!(matches!(admitted.as_mut().poll(&mut context), Poll::Ready(Ok(_))));
    let mut interrupted = pin!(turn.interrupted().until(async { controller.begin_shutdown(Duration::ZERO).unwrap() }));
    assert_eq!(interrupted.as_mut().poll(&mut context), Poll::Ready(true));
}

#[test]
fn no_wait_is_woken_but_by_what_happens_to_the_gate() {
    let controller = Controller::new();
    begin(&controller);
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut cx = Context::from_waker(&waker);
    let mut wait = controller.gate().admitted();
    for _ in 0..3 {
        assert!(Pin::new(&mut wait).poll(&mut cx).is_pending(), "it drains");
    }
    controller.settle();
    assert_eq!(wakes.count(), 0, "nothing has happened");
    end(&controller);
    assert_eq!(wakes.count(), 1);
    begin(&controller);
    assert!(Pin::new(&mut wait).poll(&mut cx).is_pending(), "it drains again");
    assert_eq!(wakes.count(), 1);
    drop(wait);
    end(&controller);
    assert_eq!(wakes.count(), 1, "nobody waits any more");
}

/// What a stream or a body is: its own permit, its own notice of the interruption, polled by hand.
struct Stream {
    interrupted: Interrupted,
    permit: OwnedPermit,
}

impl Stream {
    fn new(gate: &Gate) -> Self {
        let permit = gate.admit_owned().unwrap();
        Self { interrupted: permit.interrupted(), permit }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.interrupted).poll(cx)
    }
}

#[test]
fn an_interruption_is_kept_beside_its_permit_and_wakes_a_poll_written_by_hand() {
    let controller = Controller::new();
    let mut streams = [Stream::new(controller.gate()), Stream::new(controller.gate())];
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    for stream in &mut streams {
        assert!(stream.poll(&mut Context::from_waker(&waker)).is_pending());
    }
    begin(&controller);
    assert_eq!(wakes.count(), 0, "an external drain never interrupts");
    controller.begin_shutdown(Duration::ZERO).unwrap();
    assert_eq!(wakes.count(), 2, "L4, G4: each is woken");
    for stream in &mut streams {
        assert!(stream.poll(&mut Context::from_waker(&waker)).is_ready());
        assert!(stream.permit.is_interrupted());
    }
    drop(streams);
    controller.settle();
    assert!(controller.report().is_some_and(|report| report.abandoned.in_flight == 0), "L1");
}

#[test]
fn a_wait_that_outlives_its_permit_and_its_gate_counts_as_no_work() {
    let controller = Controller::new();
    let permit = controller.gate().admit_owned().unwrap();
    let (interrupted, draining) = (permit.interrupted(), permit.draining());
    drop(permit);
    begin(&controller);
    assert!(controller.gate().reading().drained, "G6: who listens is no work");
    assert_eq!(draining.wait(), Refusal::Draining);
    let _ = controller.force_stop();
    drop(controller);
    interrupted.wait();
}

#[test]
fn work_in_flight_is_told_of_a_drain_that_begins_and_of_one_under_way_and_of_none_that_is_over() {
    for shutdown in [false, true] {
        let controller = Controller::new();
        let connection = controller.gate().admit().unwrap();
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        let mut cx = Context::from_waker(&waker);
        let mut draining = connection.draining();
        assert!(Pin::new(&mut draining).poll(&mut cx).is_pending(), "it runs");
        let expected = if shutdown {
            controller.begin_shutdown(LIMIT).unwrap();
            Refusal::ShuttingDown
        } else {
            begin(&controller);
            end(&controller);
            assert!(Pin::new(&mut draining).poll(&mut cx).is_pending(), "that drain is over");
            begin(&controller);
            Refusal::Draining
        };
        assert!(wakes.count() >= 1, "G4");
        assert_eq!(Pin::new(&mut draining).poll(&mut cx), Poll::Ready(expected));
        assert_eq!(connection.draining().wait(), expected, "at once");
        assert!(!connection.is_interrupted(), "it is told, and not made to end");
    }
}

#[test]
fn owned_permits_are_the_same_admissions_in_one_word() {
    let controller = Controller::new();
    let gate = controller.gate();
    let (turn, internal) = (gate.admit_owned().unwrap(), gate.admit_internal_owned().unwrap());
    assert_eq!((gate.reading().in_flight, gate.reading().internal), (1, 1));
    begin(&controller);
    assert_eq!(gate.admit_owned().err(), Some(Refusal::Draining), "G2");
    drop(gate.admit_internal_owned().expect("something is in flight"));
    drop((turn, internal));
    assert_eq!(gate.admit_internal_owned().err(), Some(Refusal::Draining), "G3: drained, and so sealed");
}
