//! Entering and closing: G1, G2, G6.

use super::explore::{Seen, assert_is_allowed, thread};
use gateway_drain::Refusal;
use gateway_drain::lifecycle::{Lifecycle, Running};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Some threads try to enter while this one closes the gate and then looks at it twice.
fn turns_racing_a_close(workers: usize, seen: &Seen) {
    let running = Lifecycle::<Running>::new();
    let gate = running.gate().clone();
    // Outside of the checkers: it says what has happened, and to loom it orders nothing.
    let closed = Arc::new(AtomicBool::new(false));
    let turns: Vec<_> = (1..workers)
        .map(|_| {
            let (gate, closed, seen) = (gate.clone(), Arc::clone(&closed), seen.clone());
            thread::spawn(move || {
                let late = closed.load(Ordering::Acquire);
                match gate.admit() {
                    Ok(permit) => {
                        assert!(!late, "G1: a turn was admitted after the closing call had returned");
                        seen.note("admitted");
                        drop(permit);
                    }
                    Err(refusal) => {
                        assert_eq!(refusal, Refusal::Draining, "only the drain refuses here");
                        seen.note("refused");
                    }
                }
            })
        })
        .collect();

    let draining = running.begin_drain();
    closed.store(true, Ordering::Release);
    let first = gate.reading();
    let second = gate.reading();
    assert_is_allowed(&first, &second);
    seen.note_if(first.drained, "drained at once");
    seen.note_if(!first.drained, "closed with work in flight");
    seen.note_if(!first.drained && second.drained, "drained while looking");

    for turn in turns {
        turn.join().expect("the turn ends");
    }
    let end = draining.gate().reading();
    assert_eq!((end.in_flight, end.internal), (0, 0), "G6: what was admitted has finished");
    assert!(draining.drained().is_some(), "G6: nothing is in flight any more");
}

pub fn a_turn_racing_a_close_is_counted_or_refused(seen: &Seen) {
    turns_racing_a_close(2, seen);
}

pub fn two_turns_racing_a_close_are_each_counted_or_refused(seen: &Seen) {
    turns_racing_a_close(3, seen);
}

pub fn three_turns_racing_a_close_are_each_counted_or_refused(seen: &Seen) {
    turns_racing_a_close(4, seen);
}

/// A refused turn leaves no trace, not even for an instant: a reader of a closed, empty gate sees zero.
pub fn a_refused_turn_is_never_counted_even_for_an_instant(seen: &Seen) {
    let draining = Lifecycle::<Running>::new().begin_drain();
    let gate = draining.gate().clone();
    let turn = thread::spawn(move || gate.admit().map(drop));
    let reading = draining.gate().reading();
    assert_eq!((reading.in_flight, reading.drained), (0, true), "G2: a refused turn was counted");
    assert_eq!(turn.join().expect("the turn ends"), Err(Refusal::Draining));
    seen.note("refused");
}

/// The permits of two turns change hands and form; the count is right at every moment that can be checked.
pub fn permits_in_every_form_leave_the_count_once(seen: &Seen) {
    let running = Lifecycle::<Running>::new();
    let gate = running.gate().clone();
    let owned = gate.admit().expect("a new gate admits").into_owned();
    let labelled = gate.admit().expect("a new gate admits").into_owned().labelled("turn", "seven");
    assert_eq!(gate.reading().in_flight, 2, "G6: a change of form changes no count");
    let first = thread::spawn(move || drop(owned));
    let second = thread::spawn(move || drop(labelled));
    let draining = running.begin_drain();
    let left = gate.reading().in_flight;
    let named = gate.active_work(usize::MAX).len() as u64;
    // The name is read after the count, and leaves before the work does.
    assert!(named <= left, "a finished piece of work is still named: {named} named, {left} in flight");
    seen.note(["none left", "one left", "two left"][usize::try_from(left).expect("two at most")]);
    first.join().expect("the turn ends");
    second.join().expect("the turn ends");
    assert!(draining.drained().is_some(), "G6: every permit has left the count");
    assert!(gate.active_work(usize::MAX).is_empty(), "every name has left the table");
}
