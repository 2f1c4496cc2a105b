//! Waiting for drained: for one generation, without a lost wake-up, with a deadline.

use gateway_drain::{Controller, Refusal, Request, RequestId, WaitError};
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

fn begin(controller: &Controller) -> gateway_drain::gate::Generation {
    controller.request(&Request::begin(RequestId::new("ops").unwrap(), "ops")).unwrap();
    controller.gate().reading().generation
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

#[test]
fn a_waiter_is_woken_by_the_last_release_and_by_no_earlier_one() {
    let controller = Controller::new();
    let (first, second) = (controller.gate().admit().unwrap(), controller.gate().admit().unwrap());
    let generation = begin(&controller);
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    let mut context = Context::from_waker(&waker);
    let mut wait = pin!(controller.gate().drained(generation));
    assert_eq!(wait.as_mut().poll(&mut context), Poll::Pending);
    drop(first);
    assert_eq!(wakes.0.load(Ordering::SeqCst), 0, "one turn is still in flight");
    drop(second);
    assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
    assert_eq!(wait.as_mut().poll(&mut context), Poll::Ready(Ok(())));
}

#[test]
fn a_waiter_of_an_earlier_drain_gets_reopened_and_never_a_later_drain_s_success() {
    let controller = Controller::new();
    let turn = controller.gate().admit().unwrap();
    let earlier = begin(&controller);
    let mut wait = pin!(controller.gate().drained(earlier));
    let mut context = Context::from_waker(Waker::noop());
    assert_eq!(wait.as_mut().poll(&mut context), Poll::Pending);
    end(&controller);
    drop(turn);
    let later = begin(&controller);
    assert_ne!(earlier, later);
    assert_eq!(wait.as_mut().poll(&mut context), Poll::Ready(Err(WaitError::Reopened)));
    assert_eq!(controller.gate().drained(later).wait(), Ok(()));
}

#[test]
fn waiting_for_no_drain_at_all_says_that_the_gate_is_open() {
    let controller = Controller::new();
    let generation = controller.gate().reading().generation;
    assert_eq!(controller.gate().drained(generation).wait(), Err(WaitError::Reopened));
}

#[test]
fn a_drain_that_turns_into_a_shutdown_is_still_the_same_drain() {
    let controller = Controller::new();
    let turn = controller.gate().admit().unwrap();
    let generation = begin(&controller);
    controller.begin_shutdown(Duration::from_secs(60)).unwrap();
    drop(turn);
    assert_eq!(controller.gate().drained(generation).wait(), Ok(()));
    controller.settle();
    assert_eq!(controller.gate().drained(generation).wait(), Ok(()), "and after the stop");
}

#[test]
fn work_abandoned_by_a_forced_stop_is_never_taken_for_drained() {
    let controller = Controller::new();
    let turn = controller.gate().admit().unwrap();
    let generation = begin(&controller);
    let report = controller.force_stop();
    assert_eq!((report.abandoned.in_flight, report.finished()), (1, false));
    drop(turn);
    assert_eq!(controller.gate().drained(generation).wait(), Err(WaitError::Abandoned));
    assert!(!controller.gate().reading().drained);
}

#[test]
fn a_deadline_gives_what_is_left() {
    let controller = Controller::new();
    let _turn = controller.gate().admit().unwrap();
    let generation = begin(&controller);
    let left = WaitError::DeadlinePassed { in_flight: 1, internal: 0 };
    assert_eq!(controller.gate().drained(generation).wait_timeout(Duration::ZERO), Err(left));
    let mut wait = pin!(controller.gate().drained(generation).until(std::future::ready(())));
    assert_eq!(wait.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Err(left)));
}

#[test]
fn work_that_ends_as_the_deadline_passes_counts_as_ended() {
    let controller = Controller::new();
    let generation = begin(&controller);
    assert_eq!(controller.gate().drained(generation).wait_timeout(Duration::ZERO), Ok(()));
}

#[test]
fn every_one_of_many_waiting_threads_wakes_in_every_one_of_many_drains() {
    const WAITERS: usize = 4;
    let controller = Controller::new();
    for _ in 0..200 {
        let turn = controller.gate().admit().unwrap();
        let generation = begin(&controller);
        let ready = Barrier::new(WAITERS + 1);
        std::thread::scope(|scope| {
            for _ in 0..WAITERS {
                scope.spawn(|| {
                    ready.wait();
                    assert_eq!(controller.gate().drained(generation).wait(), Ok(()));
                });
            }
            ready.wait();
            drop(turn);
        });
        assert_eq!(controller.gate().admit().unwrap_err(), Refusal::Draining);
        end(&controller);
    }
}

#[test]
fn a_wait_that_ends_without_drained_says_why() {
    let says = [
        (WaitError::Reopened, "the gate has reopened since"),
        (WaitError::Abandoned, "stopped by force with work in flight"),
        (
            WaitError::DeadlinePassed { in_flight: 2, internal: 1 },
            "2 turn(s) and 1 piece(s) of internal work in flight",
        ),
    ];
    for (error, why) in says {
        assert!(error.to_string().contains(why), "{error:?} says {error}");
    }
}
