//! The gate and the controller on real threads: a few seconds of everything at once, for ThreadSanitizer to watch
//! (`.ci/tsan`), and a plain test without it.
//!
//! Without the harness of `cargo test`, whose own threads ThreadSanitizer takes for a race. It runs every scenario, or
//! those whose names are given. What only the gate orders is kept in cells without any synchronisation of their own: were
//! the gate to forget one of its orderings, two threads would meet in a cell, and that is what is reported.

use gateway_drain::controller::{Change, Settings, ShutdownReport};
use gateway_drain::hold::Outcome;
use gateway_drain::lifecycle::{Lifecycle, Running};
use gateway_drain::state::Denial;
use gateway_drain::{Clock, Controller, DrainState, Gate, OwnedPermit, Request, RequestId, WaitError};
use std::cell::UnsafeCell;
use std::future::Future;
use std::hint;
use std::mem;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, ScopedJoinHandle, Thread};
use std::time::{Duration, Instant};

/// How often a scenario is run: the schedules are the machine's.
const ROUNDS: u64 = 1_000;
/// A scenario that isn't over by then hangs.
const LIMIT: Duration = Duration::from_secs(60);

/// A name, and what is done in each round.
type Scenario = (&'static str, fn(u64));

const SCENARIOS: &[Scenario] = &[
    ("what_turns_wrote_is_read_once_drained", what_turns_wrote_is_read_once_drained),
    (
        "what_was_written_while_drained_is_read_by_the_next_turn",
        what_was_written_while_drained_is_read_by_the_next_turn,
    ),
    ("what_the_last_turn_wrote_is_read_once_stopped", what_the_last_turn_wrote_is_read_once_stopped),
    ("waiters_of_every_kind_wake_to_what_turns_wrote", waiters_of_every_kind_wake_to_what_turns_wrote),
    ("workers_wait_through_drains_and_end_with_the_shutdown", workers_wait_through_drains_and_end_with_the_shutdown),
    ("turns_in_every_form_come_and_go_while_holds_do", turns_in_every_form_come_and_go_while_holds_do),
    ("a_shutdown_interrupts_and_tells_everybody", a_shutdown_interrupts_and_tells_everybody),
];

fn main() {
    let chosen: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    for (name, scenario) in SCENARIOS {
        if !chosen.is_empty() && !chosen.iter().any(|part| name.contains(part)) {
            continue;
        }
        let start = Instant::now();
        (0..ROUNDS).for_each(scenario);
        println!("{name}: {ROUNDS} rounds in {:.1} s", start.elapsed().as_secs_f64());
    }
}

/// A value that is shared without any synchronisation.
#[derive(Default)]
struct Unsynchronised(UnsafeCell<u64>);

// SAFETY: it is not, by itself: whoever uses one relies on the gate to keep its accesses apart, and ThreadSanitizer watches
// whether the gate does.
unsafe impl Sync for Unsynchronised {}

impl Unsynchronised {
    fn set(&self, value: u64) {
        // SAFETY: the gate keeps accesses apart, as each scenario says.
        unsafe { *self.0.get() = value }
    }

    fn get(&self) -> u64 {
        // SAFETY: as above.
        unsafe { *self.0.get() }
    }
}

/// Joins each: the end of a scope alone is std's own affair, of which ThreadSanitizer sees nothing.
fn join<'scope>(threads: impl IntoIterator<Item = ScopedJoinHandle<'scope, ()>>) {
    threads.into_iter().for_each(|thread| thread.join().expect("a thread that ends in peace"));
}

/// Looks until it comes true, without any synchronisation but that of the look.
fn until(what: &str, come_true: impl Fn() -> bool) {
    let start = Instant::now();
    while !come_true() {
        assert!(start.elapsed() < LIMIT, "still not so after {} s: {what}", LIMIT.as_secs());
        hint::spin_loop();
        thread::yield_now();
    }
}

fn open(turns: usize) -> (Lifecycle<Running>, Vec<OwnedPermit>) {
    let running = Lifecycle::<Running>::new();
    let permits = (0..turns).map(|_| running.gate().admit().expect("a new gate admits").into_owned()).collect();
    (running, permits)
}

/// G5: each turn writes before it leaves, and whoever reads "drained" reads all of it.
fn what_turns_wrote_is_read_once_drained(round: u64) {
    let (running, turns) = open(3);
    let results: [Unsynchronised; 3] = Default::default();
    let draining = running.begin_drain();
    let gate = draining.gate();
    thread::scope(|scope| {
        let turn = |(turn, result): (OwnedPermit, &'_ Unsynchronised)| {
            result.set(round);
            drop(turn);
        };
        let turns: Vec<_> = turns.into_iter().zip(&results).map(|work| scope.spawn(move || turn(work))).collect();
        until("drained", || gate.reading().drained);
        assert_eq!(results.each_ref().map(Unsynchronised::get), [round; 3], "G5: drained, and so everything is seen");
        join(turns);
    });
}

/// G5: what is written while the gate is drained is read by whom it admits next.
fn what_was_written_while_drained_is_read_by_the_next_turn(round: u64) {
    let draining = open(0).0.begin_drain();
    let gate = draining.gate().clone();
    let setting = Unsynchronised::default();
    thread::scope(|scope| {
        let turn = || {
            // Never given back: a turn that leaves publishes as well, and that is not what is looked at here.
            until("admitted", || gate.admit().map(mem::forget).is_ok());
            assert_eq!(setting.get(), round, "G5: admitted, and so it sees what was written before");
        };
        let turns = [scope.spawn(turn), scope.spawn(turn)];
        setting.set(round);
        let _running = draining.end_drain();
        join(turns);
    });
}

/// G5, S5: a stop that succeeds is itself the proof that all is seen.
fn what_the_last_turn_wrote_is_read_once_stopped(round: u64) {
    let (running, mut turns) = open(1);
    let turn = turns.pop();
    let result = Unsynchronised::default();
    thread::scope(|scope| {
        let turn = scope.spawn(|| {
            result.set(round);
            drop(turn);
        });
        let mut shutdown = running.begin_shutdown();
        let start = Instant::now();
        while let Err(not_drained) = shutdown.stop() {
            assert!(start.elapsed() < LIMIT, "the turn has not ended after {} s", LIMIT.as_secs());
            shutdown = not_drained.lifecycle;
            thread::yield_now();
        }
        assert_eq!(result.get(), round, "G5: stopped, and so everything is seen");
        join([turn]);
    });
}

/// Drives a future on this thread.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Parked(Thread);
    impl Wake for Parked {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Parked(thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        thread::park_timeout(LIMIT);
    }
}

/// G4, G5: a blocked waiter, one with a deadline and a polled one each wake, and see what the turns wrote. Then the gate
/// reopens, and those who wait for the next drain hear of that.
fn waiters_of_every_kind_wake_to_what_turns_wrote(round: u64) {
    let (running, turns) = open(2);
    let results: [Unsynchronised; 2] = Default::default();
    let draining = running.begin_drain();
    let gate = draining.gate().clone();
    let generation = gate.reading().generation;
    let told_drained = |told| {
        assert_eq!(told, Ok(()), "G4: nobody ends this drain");
        assert_eq!(results.each_ref().map(Unsynchronised::get), [round; 2], "G5: so everything is seen");
    };
    thread::scope(|scope| {
        let timed = scope.spawn(|| told_drained(gate.drained(generation).wait_timeout(LIMIT)));
        let polled = scope.spawn(|| told_drained(block_on(gate.drained(generation))));
        let turn = |(turn, result): (OwnedPermit, &'_ Unsynchronised)| {
            result.set(round);
            drop(turn);
        };
        let turns: Vec<_> = turns.into_iter().zip(&results).map(|work| scope.spawn(move || turn(work))).collect();
        told_drained(gate.drained(generation).wait());
        join(turns.into_iter().chain([timed, polled]));
    });

    let running = draining.end_drain();
    let stuck = gate.admit().expect("it runs again");
    let draining = running.begin_drain();
    let generation = gate.reading().generation;
    let told_reopened = |told| assert_eq!(told, Err(WaitError::Reopened), "G4: this drain ends with a turn in flight");
    thread::scope(|scope| {
        let timed = scope.spawn(|| told_reopened(gate.drained(generation).wait_timeout(LIMIT)));
        let polled = scope.spawn(|| told_reopened(block_on(gate.drained(generation))));
        let _running = draining.end_drain();
        join([timed, polled]);
    });
    drop(stuck);
}

/// G4, G5: those who wait to be admitted, blocked and polled, read what was written while the gate was closed; whoever is
/// told of the shutdown ends.
fn workers_wait_through_drains_and_end_with_the_shutdown(round: u64) {
    let mut draining = open(0).0.begin_drain();
    let gate = draining.gate().clone();
    let setting = Unsynchronised::default();
    let works = |permit: OwnedPermit| {
        assert_eq!(setting.get(), round, "G5: admitted, and so it sees what was written before");
        drop(permit);
    };
    let blocked = || {
        while let Ok(permit) = gate.admitted().wait() {
            works(permit);
            let _ = gate.closing().wait();
        }
    };
    let polled = || {
        while let Ok(permit) = block_on(gate.admitted()) {
            works(permit);
            let _ = block_on(gate.closing());
        }
    };
    let opened = || {
        if gate.opened().wait_timeout(LIMIT).is_ok() {
            assert_eq!(setting.get(), round, "G5: told that it is open, and so it sees what was written before");
        }
    };
    thread::scope(|scope| {
        let workers = [scope.spawn(blocked), scope.spawn(polled), scope.spawn(opened)];
        setting.set(round);
        for _ in 0..3 {
            draining = draining.end_drain().begin_drain();
        }
        let shutdown = draining.end_drain().begin_shutdown();
        join(workers);
        assert!(shutdown.stop().is_ok(), "G6: nothing is in flight");
    });
}

fn controller() -> (Controller, Clock) {
    let clock = Clock::manual();
    (Controller::with(Settings { clock: clock.clone(), ..Settings::default() }), clock)
}

fn turn_in_some_form(gate: &Gate, number: u64) -> bool {
    let Ok(turn) = gate.admit() else { return false };
    match number % 3 {
        0 => drop(turn),
        1 => drop(turn.into_owned()),
        _ => {
            let turn = turn.into_owned().labelled("turn", number.to_string());
            assert!(gate.active_work(usize::MAX).iter().any(|work| work.label == number.to_string()), "it is named");
            // What a turn starts is done before the turn is.
            if let Ok(internal) = gate.admit_internal() {
                drop(internal);
            }
            drop(turn);
        }
    }
    true
}

/// G1, H1, H2, S1: holds come and go on two threads and turns on two others, while observers listen and a reader looks.
fn turns_in_every_form_come_and_go_while_holds_do(round: u64) {
    let (controller, _) = controller();
    let moves = Arc::new(AtomicU64::new(0));
    let told = controller.observe({
        let (moves, controller) = (Arc::clone(&moves), controller.clone());
        move |change| {
            if let Change::Moved { .. } = change {
                // An observer may ask the gateway.
                assert!(controller.holds().len() <= 2);
                moves.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let together = Barrier::new(4);
    let holds = |name: &str| {
        together.wait();
        for _ in 0..5 {
            let id = RequestId::new(name).expect("a sound name");
            assert_eq!(controller.request(&Request::begin(id.clone(), "ops")), Ok(Outcome::Held));
            assert!(controller.gate().admit().is_err(), "G1: held, and so closed");
            assert!(controller.request(&Request::withdraw(id, "ops")).is_ok());
        }
    };
    let turns = |thread: u64| {
        together.wait();
        for number in 0..15 {
            turn_in_some_form(controller.gate(), 1_000 * round + 100 * thread + number);
        }
    };
    thread::scope(|scope| {
        join([
            scope.spawn(|| holds("upgrade")),
            scope.spawn(|| holds("backup")),
            scope.spawn(|| turns(0)),
            scope.spawn(|| turns(1)),
        ]);
    });
    assert_eq!(controller.state(), DrainState::Running, "H1: no hold is left");
    assert_eq!(controller.gate().reading().total(), 0, "G6: nothing is in flight");
    assert!(told.flush(Duration::from_secs(60)), "the observer is told in time");
    told.end();
    let moves = moves.load(Ordering::Relaxed);
    assert!(moves.is_multiple_of(2) && (2..=20).contains(&moves), "S1: {moves} moves, and each drain has two");
}

/// L1, L4: a turn that waits to be interrupted is, whoever waits for the stop hears of it, and two shutdowns are one.
fn a_shutdown_interrupts_and_tells_everybody(_round: u64) {
    let (controller, clock) = controller();
    let blocked = controller.gate().admit().expect("a new gate admits").into_owned();
    let polling = controller.gate().admit().expect("a new gate admits").into_owned();
    let shutdown = || {
        let begun = controller.begin_shutdown(Duration::from_secs(1));
        assert_ne!(begun, Err(Denial::ShutdownWins), "S2: two shutdowns are one");
        clock.advance(Duration::from_secs(1));
        controller.settle();
    };
    let told = |report: ShutdownReport| {
        assert_eq!((report.interrupted, report.abandoned.in_flight), (2, 0), "L4: both were interrupted, and ended");
    };
    thread::scope(|scope| {
        join([
            scope.spawn(|| {
                block_on(blocked.interrupted());
                drop(blocked);
                controller.settle();
            }),
            scope.spawn(|| {
                until("interrupted", || polling.is_interrupted());
                drop(polling);
                controller.settle();
            }),
            scope.spawn(|| told(controller.stopped().wait())),
            scope.spawn(|| told(block_on(controller.stopped()))),
            scope.spawn(shutdown),
            scope.spawn(shutdown),
        ]);
    });
    assert_eq!(controller.state(), DrainState::Stopped, "L1");
}
