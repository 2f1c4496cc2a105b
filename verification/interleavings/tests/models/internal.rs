//! System work that no turn started: it passes while the gate drains, and never through a drained one (G2, G3).

use super::explore::{Seen, assert_is_allowed, thread};
use gateway_drain::Refusal;
use gateway_drain::lifecycle::{Lifecycle, Running};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn internal_work_racing_the_last_release(workers: usize, seen: &Seen) {
    let running = Lifecycle::<Running>::new();
    let gate = running.gate().clone();
    let turn = gate.admit().expect("open").into_owned();
    let draining = running.begin_drain();
    let pieces: Vec<_> = (1..workers)
        .map(|_| {
            let (gate, seen) = (gate.clone(), seen.clone());
            thread::spawn(move || match gate.admit_internal() {
                Ok(permit) => {
                    assert!(!gate.reading().drained, "G3: drained with internal work in flight");
                    drop(permit);
                    seen.note("admitted");
                }
                Err(refusal) => {
                    assert_eq!(refusal, Refusal::Draining);
                    assert!(gate.reading().drained, "refused as sealed, and so drained for good");
                    seen.note("sealed out");
                }
            })
        })
        .collect();
    drop(turn);
    let first = gate.reading();
    let second = gate.reading();
    assert_eq!((first.in_flight, second.in_flight), (0, 0), "G2: internal work is no turn");
    assert_is_allowed(&first, &second);
    if first.drained {
        assert_eq!(gate.admit_internal().map(drop), Err(Refusal::Draining), "G3: a drained gate is sealed");
    }
    seen.note(if first.drained { "drained" } else { "internal work left" });
    pieces.into_iter().for_each(|piece| piece.join().expect("the work ends"));
    assert!(draining.drained().is_some(), "G6: everything has left the count");
}

pub fn internal_work_racing_the_last_release_is_counted_or_sealed_out(seen: &Seen) {
    internal_work_racing_the_last_release(2, seen);
}

pub fn two_pieces_of_internal_work_racing_the_last_release_are_counted_or_sealed_out(seen: &Seen) {
    internal_work_racing_the_last_release(3, seen);
}

pub fn three_pieces_of_internal_work_racing_the_last_release_are_counted_or_sealed_out(seen: &Seen) {
    internal_work_racing_the_last_release(4, seen);
}

/// The work that passes a draining gate is waited for.
pub fn a_waiter_waits_for_internal_work_too(seen: &Seen) {
    let running = Lifecycle::<Running>::new();
    let gate = running.gate().clone();
    let internal = gate.admit_internal().expect("open").into_owned();
    let draining = running.begin_drain();
    // Outside of loom: it says what has happened, and orders nothing.
    let ending = Arc::new(AtomicBool::new(false));
    let work = thread::spawn({
        let ending = Arc::clone(&ending);
        move || {
            ending.store(true, Ordering::Relaxed);
            drop(internal);
        }
    });
    let reading = gate.reading();
    seen.note(if reading.internal == 0 { "ended early" } else { "waited" });
    assert_eq!(gate.drained(reading.generation).wait(), Ok(()), "G4: nobody ends this drain");
    assert!(ending.load(Ordering::Relaxed), "G4: told drained with internal work in flight");
    assert!(draining.drained().is_some(), "G3: what the waiter was told stays true");
    work.join().expect("the work ends");
}
