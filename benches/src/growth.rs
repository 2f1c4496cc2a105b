//! What grows and what doesn't: work in flight, waiters, names in the table; and the way from the last release to the thread that
//! waits for it.

use crate::rounds::{Contender, SLICE, alone_on_core, contender, nanoseconds, on_core, per, processor_time};
use gateway_drain::{Controller, ExternalDraining, Gate, Lifecycle, OwnedPermit, Permit, Running};
use rustix::time::ClockId;
use std::hint::black_box;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// How much is in flight where that is what varies.
pub const IN_FLIGHT: [u64; 4] = [0, 1_000, 100_000, 1_000_000];
/// How many wait where that is what varies.
pub const WAITERS: [u64; 4] = [1, 10, 100, 1_000];

pub const ADMIT: &str = "admit and release";
pub const CLOSE: &str = "close and reopen";
pub const LABEL: &str = "admit, name and release";
pub const TOKEN: &str = "TaskTracker: token";
pub const TRACKER_CLOSE: &str = "TaskTracker: close and reopen";
pub const RELEASE: &str = "gateway-drain: the last release and its wake-ups";
pub const TRACKER_RELEASE: &str = "TaskTracker: the last release and its wake-ups";
pub const WOKEN: &str = "gateway-drain: from the last release to a woken thread";
pub const TRACKER_WOKEN: &str = "TaskTracker: from the last release to a woken thread";

/// The name of a measurement with so many of something.
pub fn with(name: &str, many: u64) -> String {
    format!("{name} / {many}")
}

/// Admission and closing, with so much in flight.
pub fn in_flight(many: u64) -> Vec<Contender<'static>> {
    let permits = |gate: &Gate| -> Vec<OwnedPermit> {
        (0..many).map(|_| gate.admit().map(Permit::into_owned).expect("there is room")).collect()
    };
    let controller = Controller::new();
    let admitted = permits(controller.gate());
    let admit = move || {
        black_box(&admitted);
        let gate = controller.gate();
        nanoseconds(1, &|times| (0..times).for_each(|_| drop(gate.admit())))
    };

    let mut lifecycle = Some(Lifecycle::<Running>::new());
    let admitted = lifecycle.as_ref().map(|lifecycle| permits(lifecycle.gate()));
    let close = move || {
        black_box(&admitted);
        closing(&mut lifecycle)
    };

    let tracker = TaskTracker::new();
    let tokens: Vec<TaskTrackerToken> = (0..many).map(|_| tracker.token()).collect();
    let token = move || {
        black_box(&tokens);
        nanoseconds(1, &|times| (0..times).for_each(|_| drop(tracker.token())))
    };

    let tracker = TaskTracker::new();
    let tokens: Vec<TaskTrackerToken> = (0..many).map(|_| tracker.token()).collect();
    let tracker_close = move || {
        black_box(&tokens);
        nanoseconds(1, &|times| {
            for _ in 0..times {
                tracker.close();
                tracker.reopen();
            }
        })
    };

    let controller = Controller::new();
    let named: Vec<_> = permits(controller.gate()).into_iter().map(|permit| permit.labelled("turn", "held")).collect();
    let label = move || {
        black_box(&named);
        let gate = controller.gate();
        nanoseconds(1, &|times| {
            (0..times).for_each(|_| drop(gate.admit().map(|permit| permit.into_owned().labelled("turn", "session 7"))));
        })
    };
    vec![
        contender(with(ADMIT, many), admit),
        contender(with(CLOSE, many), close),
        contender(with(TOKEN, many), token),
        contender(with(TRACKER_CLOSE, many), tracker_close),
        contender(with(LABEL, many), label),
    ]
}

/// Closes and reopens, again and again; what both cost together.
fn closing(lifecycle: &mut Option<Lifecycle<Running>>) -> f64 {
    const TIMES: u64 = 5_000;
    let began = processor_time(ClockId::ThreadCPUTime);
    for _ in 0..TIMES {
        *lifecycle = lifecycle.take().map(|running| running.begin_drain().end_drain());
    }
    per(processor_time(ClockId::ThreadCPUTime) - began, TIMES)
}

/// The last release of a closed gate, with so many tasks that wait for it: what it costs to wake them all.
pub fn waiters(many: u64) -> Vec<Contender<'static>> {
    vec![
        contender(with(RELEASE, many), move || released(many)),
        contender(with(TRACKER_RELEASE, many), move || tracker_released(many)),
    ]
}

/// Few enough to be made for every measurement.
fn instances(waiters: u64) -> u64 {
    (2_000 / waiters).max(5)
}

fn released(waiters: u64) -> f64 {
    let (woken, waker) = Woken::new();
    let mut drained: Vec<(Lifecycle<ExternalDraining>, Vec<_>)> = Vec::new();
    let mut last = Vec::new();
    for _ in 0..instances(waiters) {
        let running = Lifecycle::<Running>::new();
        last.push(running.gate().admit().map(Permit::into_owned).expect("it is open"));
        let closed = running.begin_drain();
        let generation = closed.gate().reading().generation;
        let mut waiting: Vec<_> = (0..waiters).map(|_| closed.gate().drained(generation)).collect();
        waiting.iter_mut().for_each(|wait| assert!(poll(wait, &waker).is_pending()));
        drained.push((closed, waiting));
    }
    let began = processor_time(ClockId::ThreadCPUTime);
    last.into_iter().for_each(drop);
    let elapsed = processor_time(ClockId::ThreadCPUTime) - began;
    assert_eq!(woken.0.load(Ordering::Relaxed), instances(waiters) * waiters, "all were woken");
    per(elapsed, instances(waiters))
}

fn tracker_released(waiters: u64) -> f64 {
    let (woken, waker) = Woken::new();
    let trackers: Vec<TaskTracker> = (0..instances(waiters)).map(|_| TaskTracker::new()).collect();
    let mut last = Vec::new();
    let mut waiting = Vec::new();
    for tracker in &trackers {
        last.push(tracker.token());
        tracker.close();
        for _ in 0..waiters {
            let mut wait = Box::pin(tracker.wait());
            assert!(poll(&mut wait, &waker).is_pending());
            waiting.push(wait);
        }
    }
    let began = processor_time(ClockId::ThreadCPUTime);
    last.into_iter().for_each(drop);
    let elapsed = processor_time(ClockId::ThreadCPUTime) - began;
    assert_eq!(woken.0.load(Ordering::Relaxed), instances(waiters) * waiters, "all were woken");
    per(elapsed, instances(waiters))
}

fn poll<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

/// A waker that counts how often it woke.
struct Woken(AtomicU64);

impl Woken {
    fn new() -> (Arc<Self>, Waker) {
        let woken = Arc::new(Self(AtomicU64::new(0)));
        (Arc::clone(&woken), Waker::from(woken))
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// From the last release on one core to the waiting thread on another that it wakes, in nanoseconds.
pub fn wake_ups() -> Vec<Contender<'static>> {
    let drained = || {
        let running = Lifecycle::<Running>::new();
        let last = running.gate().admit().map(Permit::into_owned).expect("it is open");
        let closed = running.begin_drain();
        let generation = closed.gate().reading().generation;
        let wait = closed.gate().drained(generation);
        woken_after(last, async move {
            assert_eq!(wait.await, Ok(()));
            let woken = Instant::now();
            drop(closed);
            woken
        })
    };
    let tracked = || {
        let tracker = TaskTracker::new();
        let last = tracker.token();
        tracker.close();
        woken_after(last, async move {
            tracker.wait().await;
            Instant::now()
        })
    };
    vec![
        contender(WOKEN, move || alone_on_core(0, || median_of(drained))),
        contender(TRACKER_WOKEN, move || alone_on_core(0, || median_of(tracked))),
    ]
}

fn median_of(measure: impl Fn() -> f64) -> f64 {
    let mut values: Vec<f64> = (0..41).map(|_| measure()).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// `wait` says when it was over.
fn woken_after<G: Send>(last: G, wait: impl Future<Output = Instant> + Send) -> f64 {
    let (parking, parked) = mpsc::channel();
    thread::scope(|scope| {
        let waiter = scope.spawn(move || {
            on_core(1);
            block_on(wait, || parking.send(()).expect("the other side listens"))
        });
        parked.recv().expect("the waiter parks");
        // It has said that it is about to park; it is given the time to do so, without giving this core away.
        let saying = Instant::now();
        while saying.elapsed() < SLICE / 40 {
            std::hint::spin_loop();
        }
        let began = Instant::now();
        drop(last);
        let woken = waiter.join().expect("the waiter doesn't panic");
        woken.saturating_duration_since(began).max(Duration::from_nanos(1)).as_nanos() as f64
    })
}

struct Unparks(Thread, AtomicBool);

impl Wake for Unparks {
    fn wake(self: Arc<Self>) {
        self.1.store(true, Ordering::Release);
        self.0.unpark();
    }
}

/// Polls the future on this thread, which parks in between, and says so before it does.
fn block_on<T>(future: impl Future<Output = T>, parking: impl Fn()) -> T {
    let unparks = Arc::new(Unparks(thread::current(), AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&unparks));
    let mut future = std::pin::pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        parking();
        while !unparks.1.swap(false, Ordering::Acquire) {
            thread::park();
        }
    }
}
