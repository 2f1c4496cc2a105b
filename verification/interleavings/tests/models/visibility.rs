//! What is written before is seen after: G5, in both directions.
//!
//! Each model writes a number that loom and ThreadSanitizer watch: reading it without being ordered after its writing fails
//! the model, even where the value is right. These numbers are why the gate's memory orderings are what they are, so each
//! ordering names a model of this file.

use super::explore::thread::{self, JoinHandle};
use super::explore::{Looks, Seen, Unsynchronised, until};
use gateway_drain::OwnedPermit;
use gateway_drain::lifecycle::{Lifecycle, Running};
use std::sync::Arc;

/// A turn that leaves a result behind, and ends.
fn turn(permit: OwnedPermit, result: &Arc<Unsynchronised>) -> JoinHandle<()> {
    let result = Arc::clone(result);
    thread::spawn(move || {
        result.set(7);
        drop(permit);
    })
}

fn turns_seen_by_a_reader_of_drained(turns: usize, seen: &Seen) {
    let running = Lifecycle::<Running>::new();
    let results: Vec<_> = (0..turns).map(|_| Arc::new(Unsynchronised::default())).collect();
    let permits: Vec<_> = results.iter().map(|_| running.gate().admit().expect("open").into_owned()).collect();
    let turns: Vec<_> = permits.into_iter().zip(&results).map(|(permit, result)| turn(permit, result)).collect();
    let draining = running.begin_drain();
    let drained = until(|| draining.drained().is_some());
    if drained {
        for result in &results {
            assert_eq!(result.get(), 7, "G5: a drained gate has shown the result of every turn");
        }
    }
    seen.note(if drained { "drained" } else { "not drained yet" });
    turns.into_iter().for_each(|turn| turn.join().expect("the turn ends"));
}

pub fn a_reader_of_drained_sees_what_the_last_turn_wrote(seen: &Seen) {
    turns_seen_by_a_reader_of_drained(1, seen);
}

/// The last to leave carries along what those before it have released.
pub fn a_reader_of_drained_sees_what_every_turn_wrote(seen: &Seen) {
    turns_seen_by_a_reader_of_drained(2, seen);
}

pub fn a_reader_of_drained_sees_what_each_of_three_turns_wrote(seen: &Seen) {
    turns_seen_by_a_reader_of_drained(3, seen);
}

/// A stop that succeeds is itself the proof of drained: nobody reads the gate again before acting on it.
pub fn the_stop_sees_what_the_last_turn_wrote(seen: &Seen) {
    let running = Lifecycle::<Running>::new();
    let result = Arc::new(Unsynchronised::default());
    let turn = turn(running.gate().admit().expect("open").into_owned(), &result);
    let (mut shutdown, looks) = (running.begin_shutdown(), Looks::begin());
    loop {
        match shutdown.stop() {
            Ok(_stopped) => {
                assert_eq!(result.get(), 7, "G5: a stopped gate has shown the turn's result");
                seen.note("stopped");
                break;
            }
            Err(not_drained) => {
                let left = (not_drained.in_flight, not_drained.internal);
                assert_eq!(left, (1, 0), "it tells what refused it, and not what is left by then");
                seen.note("not drained yet");
                if !looks.again() {
                    break;
                }
                shutdown = not_drained.lifecycle;
            }
        }
    }
    turn.join().expect("the turn ends");
}

/// The waiter that sleeps wakes to the result.
pub fn a_waiter_sees_what_the_last_turn_wrote(seen: &Seen) {
    let running = Lifecycle::<Running>::new();
    let result = Arc::new(Unsynchronised::default());
    let turn = turn(running.gate().admit().expect("open").into_owned(), &result);
    let draining = running.begin_drain();
    let gate = draining.gate();
    assert_eq!(gate.drained(gate.reading().generation).wait(), Ok(()), "nobody ends this drain");
    assert_eq!(result.get(), 7, "G5: the waiter misses what the turn wrote");
    seen.note("drained");
    turn.join().expect("the turn ends");
}

/// What is changed while drained is what the gateway runs on afterwards: a new configuration, a moved socket.
pub fn a_turn_sees_what_was_written_while_the_gate_was_drained(seen: &Seen) {
    let draining = Lifecycle::<Running>::new().begin_drain();
    let gate = draining.gate().clone();
    let setting = Arc::new(Unsynchronised::default());
    let turn = thread::spawn({
        let (seen, setting) = (seen.clone(), Arc::clone(&setting));
        move || {
            let mut permit = None;
            let admitted = until(|| {
                permit = gate.admit().ok();
                permit.is_some()
            });
            if admitted {
                assert_eq!(setting.get(), 7, "G5: the turn misses what was written while drained");
            }
            seen.note(if admitted { "admitted" } else { "refused" });
        }
    });
    assert!(draining.drained().is_some(), "nothing is in flight");
    setting.set(7);
    let _running = draining.end_drain();
    turn.join().expect("the turn ends");
}
