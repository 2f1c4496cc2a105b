//! What a waker does is its own affair: it panics, blocks or drops its task, and the gate, the controller and everybody
//! else who waits go on as if it hadn't (G1, G4, H1).

use gateway_drain::{Controller, DrainState, Gate, Request, RequestId, WaitError};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Barrier, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

/// What hangs is given up after this.
const LIMIT: Duration = Duration::from_secs(20);

type Waiting = Pin<Box<dyn Future<Output = Result<(), WaitError>> + Send>>;

/// Wakes by doing something.
struct Doing<F>(F);

impl<F: Fn() + Send + Sync + 'static> Wake for Doing<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

fn waker(wake: impl Fn() + Send + Sync + 'static) -> Waker {
    Waker::from(Arc::new(Doing(wake)))
}

fn begin(controller: &Controller, name: &str) {
    let _ = controller.request(&Request::begin(RequestId::new(name).unwrap(), "ops"));
}

fn end(controller: &Controller, name: &str) {
    let _ = controller.request(&Request::withdraw(RequestId::new(name).unwrap(), "ops"));
}

/// A wait for the drain under way, that has been polled with this waker.
fn polled(gate: &Gate, waker: &Waker) -> Waiting {
    let mut wait: Waiting = Box::pin(gate.drained(gate.reading().generation));
    assert!(wait.as_mut().poll(&mut Context::from_waker(waker)).is_pending(), "a turn is in flight");
    wait
}

/// Does it on a thread of its own, since a test that hangs shows nothing.
fn done<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Receiver<T> {
    let (done, when) = channel();
    thread::spawn(move || done.send(work()));
    when
}

fn in_time<T>(what: &str, when: &Receiver<T>) -> T {
    when.recv_timeout(LIMIT).unwrap_or_else(|_| panic!("it hangs: {what}"))
}

#[test]
fn a_waker_that_panics_leaves_the_controller_and_its_gate_of_one_mind() {
    for shutdown in [false, true] {
        let controller = Controller::new();
        let turn = controller.gate().admit().unwrap().into_owned();
        begin(&controller, "a");
        let _wait = polled(controller.gate(), &waker(|| panic!("a waker's own affair")));
        let moved = catch_unwind(AssertUnwindSafe(|| {
            if shutdown { controller.begin_shutdown(LIMIT).unwrap() } else { end(&controller, "a") }
        }));
        assert!(moved.is_ok(), "the thread that moves the gateway has no part in a waker's panic");
        begin(&controller, "b");
        assert!(controller.gate().admit().is_err(), "H1: held, and so closed");
        drop(turn);
        controller.settle();
        let expected = if shutdown { DrainState::Stopped } else { DrainState::ExternalDraining };
        assert_eq!(controller.state(), expected, "L1");
    }
}

#[test]
fn a_waker_that_panics_keeps_no_other_from_being_woken_by_a_move_or_by_the_last_turn() {
    for by_a_move in [true, false] {
        let controller = Controller::new();
        let turn = controller.gate().admit().unwrap().into_owned();
        begin(&controller, "a");
        let woken = Arc::new(AtomicUsize::new(0));
        let count = waker({
            let woken = Arc::clone(&woken);
            move || _ = woken.fetch_add(1, Ordering::Relaxed)
        });
        let panics = waker(|| panic!("a waker's own affair"));
        let _waits = [&count, &panics, &count, &panics, &count].map(|waker| polled(controller.gate(), waker));
        let blocked = done({
            let gate = controller.gate().clone();
            let generation = gate.reading().generation;
            move || gate.drained(generation).wait()
        });
        if by_a_move {
            end(&controller, "a");
            assert_eq!(in_time("a blocked waiter", &blocked), Err(WaitError::Reopened));
        } else {
            drop(turn);
            assert_eq!(in_time("a blocked waiter", &blocked), Ok(()));
        }
        assert_eq!(woken.load(Ordering::Relaxed), 3, "G4: the others are woken");
    }
}

/// What an executor does whose queue is closed: the task goes where it is woken, and all that it has.
#[test]
fn a_waker_may_drop_its_task_with_the_permits_the_waits_and_the_last_handles_in_it() {
    for by_a_move in [true, false] {
        let (controller, turn) = {
            let controller = Controller::new();
            let turn = controller.gate().admit().unwrap().into_owned();
            (controller, turn)
        };
        let others = controller.gate().admit().unwrap().into_owned();
        let internal = controller.gate().admit_internal().unwrap().into_owned().labelled("turn", "of the task");
        begin(&controller, "a");
        let task = Arc::new(Mutex::new(None));
        let waker = waker({
            let task = Arc::clone(&task);
            move || drop(task.lock().unwrap().take())
        });
        let waits = [(); 3].map(|()| polled(controller.gate(), &waker));
        // The permits of the task are no reason to wait here: the last turn but theirs wakes nobody, so a move does it.
        if by_a_move {
            *task.lock().unwrap() = Some(Box::new((waits, others, internal, controller.clone())) as Box<dyn Send>);
            let moved = done({
                let controller = controller.clone();
                move || {
                    end(&controller, "a");
                    begin(&controller, "b");
                    controller.holds().len()
                }
            });
            assert_eq!(in_time("a move that wakes the task", &moved), 1);
            assert!(task.lock().unwrap().is_none(), "its task is gone");
            assert_eq!(controller.gate().reading().total(), 1, "G6: and its permits");
            drop(turn);
            assert!(controller.gate().reading().drained);
        } else {
            drop((others, internal));
            let gate = controller.gate().clone();
            *task.lock().unwrap() = Some(Box::new((waits, controller)) as Box<dyn Send>);
            let left = done(move || drop(turn));
            in_time("the last turn that wakes the task", &left);
            assert!(task.lock().unwrap().is_none(), "its task is gone");
            assert!(gate.reading().drained);
        }
    }
}

#[test]
fn a_waker_that_blocks_holds_up_nobody_but_its_caller() {
    let controller = Controller::new();
    let _turn = controller.gate().admit().unwrap().into_owned();
    begin(&controller, "a");
    let inside = Arc::new(Barrier::new(2));
    let _wait = polled(
        controller.gate(),
        &waker({
            let inside = Arc::clone(&inside);
            move || _ = (inside.wait(), inside.wait())
        }),
    );
    let moved = done({
        let controller = controller.clone();
        move || end(&controller, "a")
    });
    inside.wait();
    // The waker blocks by now.
    let others = done({
        let controller = controller.clone();
        move || {
            drop(controller.gate().admit().unwrap());
            begin(&controller, "b");
            let generation = controller.gate().reading().generation;
            let waited = controller.gate().drained(generation).wait_timeout(Duration::from_millis(1));
            assert!(waited.is_err(), "a turn is in flight");
            controller.begin_shutdown(Duration::ZERO).unwrap();
            controller.force_stop()
        }
    });
    assert_eq!(in_time("somebody else", &others).abandoned.in_flight, 1);
    inside.wait();
    in_time("the move itself", &moved);
}

/// A waker is dropped, and cloned, where it may do as it likes too: nothing of the gate's is locked.
#[test]
fn a_waker_that_is_replaced_may_use_the_gate_as_it_is_dropped() {
    struct Asks(Gate, Arc<AtomicUsize>);
    impl Wake for Asks {
        fn wake(self: Arc<Self>) {}
    }
    impl Drop for Asks {
        fn drop(&mut self) {
            let wait = self.0.drained(self.0.reading().generation).wait_timeout(Duration::ZERO);
            assert!(wait.is_err(), "a turn is in flight");
            self.1.fetch_add(1, Ordering::Relaxed);
        }
    }
    let controller = Controller::new();
    let _turn = controller.gate().admit().unwrap().into_owned();
    begin(&controller, "a");
    let dropped = Arc::new(AtomicUsize::new(0));
    let asked = done({
        let (controller, dropped) = (controller.clone(), Arc::clone(&dropped));
        move || {
            let asks = || Waker::from(Arc::new(Asks(controller.gate().clone(), Arc::clone(&dropped))));
            let mut wait = polled(controller.gate(), &asks());
            let replaced = wait.as_mut().poll(&mut Context::from_waker(&asks()));
            assert!(matches!(replaced, Poll::Pending));
            drop(wait);
        }
    });
    in_time("a waker that asks the gate as it goes", &asked);
    assert_eq!(dropped.load(Ordering::Relaxed), 2);
}
