//! Waiting: G3, G4. A wake-up that is lost leaves a thread asleep for ever, which loom reports as a deadlock.

use super::explore::{Seen, block_on, explore};
use gateway_drain::lifecycle::{Lifecycle, Running};
use gateway_drain::{OwnedPermit, WaitError};
use loom::thread;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

fn running_with_turns(turns: usize) -> (Lifecycle<Running>, Vec<OwnedPermit>) {
    let running = Lifecycle::<Running>::new();
    let permits = (0..turns).map(|_| running.gate().admit().expect("open").into_owned()).collect();
    (running, permits)
}

#[test]
fn the_last_release_wakes_a_blocked_waiter() {
    explore("waiters::the_last_release_wakes_a_blocked_waiter", |seen| {
        let (running, mut turns) = running_with_turns(1);
        let turn = turns.pop();
        let turn = thread::spawn(move || drop(turn));
        let draining = running.begin_drain();
        let reading = draining.gate().reading();
        seen.note(if reading.drained { "drained early" } else { "waited" });
        assert_eq!(draining.gate().drained(reading.generation).wait(), Ok(()), "G4: nobody ends this drain");
        assert!(draining.drained().is_some(), "G3: what the waiter was told stays true");
        turn.join().expect("the turn ends");
    });
}

#[test]
fn the_last_release_wakes_a_polled_waiter() {
    explore("waiters::the_last_release_wakes_a_polled_waiter", |seen| {
        let (running, mut turns) = running_with_turns(1);
        let turn = turns.pop();
        let turn = thread::spawn(move || drop(turn));
        let draining = running.begin_drain();
        let reading = draining.gate().reading();
        seen.note(if reading.drained { "drained early" } else { "waited" });
        assert_eq!(block_on(draining.gate().drained(reading.generation)), Ok(()), "G4: nobody ends this drain");
        assert!(draining.drained().is_some(), "G3: what the waiter was told stays true");
        turn.join().expect("the turn ends");
    });
}

/// A deadline that passes in the very moment in which the last turn ends: either answer is right, if it is true.
#[test]
fn a_wait_that_runs_out_says_what_was_left() {
    explore("waiters::a_wait_that_runs_out_says_what_was_left", |seen| {
        let (running, mut turns) = running_with_turns(1);
        let turn = turns.pop();
        let turn = thread::spawn(move || drop(turn));
        let draining = running.begin_drain();
        let gate = draining.gate();
        match gate.drained(gate.reading().generation).wait_timeout(Duration::from_secs(1)) {
            Ok(()) => seen.note("drained in time"),
            Err(WaitError::DeadlinePassed { in_flight: 1, internal: 0 }) => seen.note("one turn left"),
            Err(other) => panic!("a deadline that passes tells of the work that is left, not {other:?}"),
        }
        turn.join().expect("the turn ends");
    });
}

fn two_waiters_and_the_last_of_some_turns(turns: usize, seen: &Seen) {
    let (running, turns) = running_with_turns(turns);
    let turns: Vec<_> = turns.into_iter().map(|turn| thread::spawn(move || drop(turn))).collect();
    let draining = running.begin_drain();
    let gate = draining.gate().clone();
    let generation = gate.reading().generation;
    let polled = thread::spawn({
        let gate = gate.clone();
        move || block_on(gate.drained(generation))
    });
    seen.note(if gate.reading().drained { "drained early" } else { "waited" });
    assert_eq!(gate.drained(generation).wait(), Ok(()), "G4: the blocked waiter");
    assert_eq!(polled.join().expect("the waiter ends"), Ok(()), "G4: the polled waiter");
    turns.into_iter().for_each(|turn| turn.join().expect("the turn ends"));
}

#[test]
fn the_last_release_wakes_every_waiter() {
    explore("waiters::the_last_release_wakes_every_waiter", |seen| two_waiters_and_the_last_of_some_turns(1, seen));
}

#[test]
fn the_last_of_two_releases_wakes_every_waiter() {
    let name = "waiters::the_last_of_two_releases_wakes_every_waiter";
    explore(name, |seen| two_waiters_and_the_last_of_some_turns(2, seen));
}

/// The first drain never gets drained, the second one does: the first one's waiter must not take that for its own.
#[test]
fn a_waiter_of_an_ended_drain_never_takes_a_later_one_for_its_own() {
    explore("waiters::a_waiter_of_an_ended_drain_never_takes_a_later_one_for_its_own", |seen| {
        let (running, turns) = running_with_turns(1);
        let first = running.begin_drain();
        let gate = first.gate().clone();
        let generation = gate.reading().generation;
        // Outside of loom: it says what has happened, and orders nothing.
        let in_second = Arc::new(AtomicBool::new(false));
        let stale = thread::spawn({
            let (seen, in_second) = (seen.clone(), Arc::clone(&in_second));
            move || {
                // With a deadline, since how it sleeps and wakes is shown elsewhere.
                match gate.drained(generation).wait_timeout(Duration::from_secs(1)) {
                    Err(WaitError::Reopened) if in_second.load(Ordering::Relaxed) => seen.note("told in the next"),
                    Err(WaitError::Reopened) => seen.note("told between"),
                    Err(WaitError::DeadlinePassed { in_flight: 1, internal: 0 }) => seen.note("ran out before"),
                    other => panic!("G4: that drain ended with a turn in flight, but its waiter got {other:?}"),
                }
            }
        });
        let second = first.end_drain().begin_drain();
        in_second.store(true, Ordering::Relaxed);
        drop(turns);
        stale.join().expect("the waiter ends");
        assert!(second.drained().is_some(), "the second drain is drained, and the first one never was");
    });
}

/// The gate reopens and stays open: the waiter must hear of that, too.
#[test]
fn reopening_wakes_the_waiters() {
    explore("waiters::reopening_wakes_the_waiters", |seen| {
        let (running, turns) = running_with_turns(1);
        let draining = running.begin_drain();
        let gate = draining.gate().clone();
        let generation = gate.reading().generation;
        let waiter = thread::spawn(move || block_on(gate.drained(generation)));
        let _running = draining.end_drain();
        assert_eq!(waiter.join().expect("the waiter ends"), Err(WaitError::Reopened), "G4: the drain has ended");
        seen.note("reopened");
        drop(turns);
    });
}

/// Whichever comes first, the last release or the reopening, the waiter hears of its own drain alone.
#[test]
fn a_release_racing_a_reopening_gives_the_waiter_one_of_both() {
    explore("waiters::a_release_racing_a_reopening_gives_the_waiter_one_of_both", |seen| {
        let (running, mut turns) = running_with_turns(1);
        let draining = running.begin_drain();
        let gate = draining.gate().clone();
        let generation = gate.reading().generation;
        let turn = turns.pop();
        let turn = thread::spawn(move || drop(turn));
        let waiter = thread::spawn(move || gate.drained(generation).wait());
        let was_drained = draining.drained().is_some();
        let _running = draining.end_drain();
        match waiter.join().expect("the waiter ends") {
            Ok(()) => seen.note("drained"),
            Err(WaitError::Reopened) => seen.note("reopened"),
            Err(other) => panic!("G4: nobody forces a stop or sets a deadline here, but: {other:?}"),
        }
        seen.note_if(was_drained, "drained before it reopened");
        turn.join().expect("the turn ends");
    });
}

#[test]
fn a_forced_stop_wakes_the_waiters_and_says_abandoned() {
    explore("waiters::a_forced_stop_wakes_the_waiters_and_says_abandoned", |seen| {
        let (running, turns) = running_with_turns(1);
        let shutting_down = running.begin_shutdown();
        let gate = shutting_down.gate().clone();
        let generation = gate.reading().generation;
        let waiter = thread::spawn(move || gate.drained(generation).wait());
        let (stopped, abandoned) = shutting_down.force_stop();
        assert_eq!((abandoned.in_flight, abandoned.internal), (1, 0), "S5: what was left is said");
        assert_eq!(waiter.join().expect("the waiter ends"), Err(WaitError::Abandoned), "S5: it is not drained");
        drop(turns);
        let end = stopped.gate().reading();
        assert!(end.abandoned && !end.drained, "S5: abandoned work that ends later makes no gate drained: {end:?}");
        seen.note("abandoned");
    });
}

/// Asked to give up, the work hears of it, whether it asks first or is asked first.
#[test]
fn an_interrupt_reaches_the_work_in_flight() {
    explore("waiters::an_interrupt_reaches_the_work_in_flight", |seen| {
        let (running, mut turns) = running_with_turns(1);
        let turn = turns.pop().expect("one turn");
        let turn = thread::spawn(move || {
            block_on(turn.interrupted());
        });
        let mut shutting_down = running.begin_shutdown();
        let interrupted = shutting_down.interrupt().expect("the first interrupt");
        assert_eq!(interrupted.in_flight, 1, "the turn gives up only when it is asked to");
        turn.join().expect("the turn gives up");
        assert!(shutting_down.interrupt().is_none(), "S2: it is asked once");
        assert!(shutting_down.stop().is_ok(), "the turn has given up");
        seen.note("gave up");
    });
}

/// The same by force: whoever is abandoned is told to give up.
#[test]
fn a_forced_stop_reaches_the_work_in_flight() {
    explore("waiters::a_forced_stop_reaches_the_work_in_flight", |seen| {
        let (running, mut turns) = running_with_turns(1);
        let turn = turns.pop().expect("one turn");
        let turn = thread::spawn(move || block_on(turn.interrupted()));
        let (_stopped, abandoned) = running.begin_shutdown().force_stop();
        assert_eq!(abandoned.in_flight, 1, "the turn gives up only when it is asked to");
        turn.join().expect("the turn gives up");
        seen.note("gave up");
    });
}
