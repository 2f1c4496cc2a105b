//! A gate's handles and its work part company: G6.

use super::explore::{Seen, thread};
use gateway_drain::lifecycle::{Lifecycle, Running};

/// The last handle of a gate goes while its last work ends, a turn and a piece of internal work. The next gate is a new one
/// whichever is first, and what is left of the work counts in no other gate than its own.
pub fn the_next_gate_has_nothing_of_one_that_ends_with_its_last_work(seen: &Seen) {
    let running = Lifecycle::<Running>::new();
    let turn = running.gate().admit_owned().expect("a new gate admits");
    let internal = running.gate().admit_internal_owned().expect("a new gate admits");
    let work = thread::spawn(move || {
        drop(turn);
        drop(internal);
    });
    let ended = running.begin_drain();
    let left = ended.gate().reading();
    seen.note(if left.drained { "the work ended first" } else { "work may outlive its gate" });
    seen.note_if((left.in_flight, left.internal) == (0, 1), "internal work may");
    drop(ended);

    let next = Lifecycle::<Running>::new();
    let of_the_next = next.gate().admit().expect("a new gate is open");
    assert_eq!(next.gate().reading().total(), 1, "G6: it counts its own turn, and no other gate's work");
    drop(of_the_next);
    let draining = next.begin_drain();
    assert!(draining.drained().is_some(), "G6: its own turn has ended");
    work.join().expect("the work ends");
    assert!(draining.drained().is_some(), "G6: the other gate's work has left no trace in this one");
}
