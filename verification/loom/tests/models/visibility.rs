//! What is written before is seen after: G5, in both directions.
//!
//! Each model writes a cell that loom watches: reading it without being ordered after its writing fails the model, even
//! where the value is right. These cells are why the gate's memory orderings are what they are, so each ordering names
//! a test of this file. They are shared as `Rc`: loom's threads are turns that one thread of the system takes.

use super::explore::{Seen, explore};
use gateway_drain::OwnedPermit;
use gateway_drain::lifecycle::{Lifecycle, Running};
use loom::cell::Cell;
use loom::thread::{self, JoinHandle};
use std::rc::Rc;

/// A turn that leaves a result behind, and ends.
fn turn(permit: OwnedPermit, result: &Rc<Cell<u64>>) -> JoinHandle<()> {
    let result = Rc::clone(result);
    thread::spawn(move || {
        result.set(7);
        drop(permit);
    })
}

fn turns_seen_by_whoever_reads_drained(turns: usize, seen: &Seen) {
    let running = Lifecycle::<Running>::new();
    let results: Vec<_> = (0..turns).map(|_| Rc::new(Cell::new(0))).collect();
    let permits: Vec<_> = results.iter().map(|_| running.gate().admit().expect("open").into_owned()).collect();
    let turns: Vec<_> = permits.into_iter().zip(&results).map(|(permit, result)| turn(permit, result)).collect();
    let draining = running.begin_drain();
    let drained = draining.drained().is_some();
    if drained {
        for result in &results {
            assert_eq!(result.get(), 7, "G5: a drained gate has shown the result of every turn");
        }
    }
    seen.note(if drained { "drained" } else { "not drained yet" });
    turns.into_iter().for_each(|turn| turn.join().expect("the turn ends"));
}

#[test]
fn whoever_reads_drained_sees_what_the_last_turn_wrote() {
    let name = "visibility::whoever_reads_drained_sees_what_the_last_turn_wrote";
    explore(name, |seen| turns_seen_by_whoever_reads_drained(1, seen));
}

/// The last to leave carries along what those before it have released.
#[test]
fn whoever_reads_drained_sees_what_every_turn_wrote() {
    let name = "visibility::whoever_reads_drained_sees_what_every_turn_wrote";
    explore(name, |seen| turns_seen_by_whoever_reads_drained(2, seen));
}

#[test]
fn whoever_reads_drained_sees_what_each_of_three_turns_wrote() {
    let name = "visibility::whoever_reads_drained_sees_what_each_of_three_turns_wrote";
    explore(name, |seen| turns_seen_by_whoever_reads_drained(3, seen));
}

/// A stop that succeeds is itself the proof of drained: nobody reads the gate again before acting on it.
#[test]
fn whoever_stops_the_gateway_sees_what_the_last_turn_wrote() {
    explore("visibility::whoever_stops_the_gateway_sees_what_the_last_turn_wrote", |seen| {
        let running = Lifecycle::<Running>::new();
        let result = Rc::new(Cell::new(0));
        let turn = turn(running.gate().admit().expect("open").into_owned(), &result);
        match running.begin_shutdown().stop() {
            Ok(_stopped) => {
                assert_eq!(result.get(), 7, "G5: a stopped gate has shown the turn's result");
                seen.note("stopped");
            }
            Err(not_drained) => {
                let left = (not_drained.in_flight, not_drained.internal);
                assert_eq!(left, (1, 0), "it tells what refused it, and not what is left by then");
                seen.note("not drained yet");
            }
        }
        turn.join().expect("the turn ends");
    });
}

/// The waiter that sleeps wakes to the result.
#[test]
fn a_waiter_sees_what_the_last_turn_wrote() {
    explore("visibility::a_waiter_sees_what_the_last_turn_wrote", |seen| {
        let running = Lifecycle::<Running>::new();
        let result = Rc::new(Cell::new(0));
        let turn = turn(running.gate().admit().expect("open").into_owned(), &result);
        let draining = running.begin_drain();
        let gate = draining.gate();
        assert_eq!(gate.drained(gate.reading().generation).wait(), Ok(()), "nobody ends this drain");
        assert_eq!(result.get(), 7, "G5: the waiter misses what the turn wrote");
        seen.note("drained");
        turn.join().expect("the turn ends");
    });
}

/// What is changed while drained is what the gateway runs on afterwards: a new configuration, a moved socket.
#[test]
fn a_turn_sees_what_was_written_while_the_gate_was_drained() {
    explore("visibility::a_turn_sees_what_was_written_while_the_gate_was_drained", |seen| {
        let draining = Lifecycle::<Running>::new().begin_drain();
        let gate = draining.gate().clone();
        let setting = Rc::new(Cell::new(0));
        let turn = thread::spawn({
            let (seen, setting) = (seen.clone(), Rc::clone(&setting));
            move || {
                let admitted = gate.admit();
                if admitted.is_ok() {
                    assert_eq!(setting.get(), 7, "G5: the turn misses what was written while drained");
                }
                seen.note(if admitted.is_ok() { "admitted" } else { "refused" });
            }
        });
        assert!(draining.drained().is_some(), "nothing is in flight");
        setting.set(7);
        let _running = draining.end_drain();
        turn.join().expect("the turn ends");
    });
}
