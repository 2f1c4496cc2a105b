//! A gate's handles and its permits part company: G6.

use super::explore::explore;
use gateway_drain::DrainState;
use gateway_drain::lifecycle::{Lifecycle, Running};
use loom::thread;

/// The last handle of a gate goes while its last turn ends. Whether the next gate is then made of what is left or not:
/// it is a new one, and the turn counts in no other gate than its own.
#[test]
fn the_next_gate_has_nothing_of_one_that_ends_with_its_last_turn() {
    explore("handles::the_next_gate_has_nothing_of_one_that_ends_with_its_last_turn", |seen| {
        let running = Lifecycle::<Running>::new();
        let turn = running.gate().admit().expect("a new gate admits").into_owned();
        let turn = thread::spawn(move || drop(turn));
        let ended = running.begin_drain();
        let finished = ended.gate().reading().drained;
        seen.note(if finished { "the turn ended first" } else { "the turn may outlive its gate" });
        drop(ended);

        let next = Lifecycle::<Running>::new();
        let before = next.gate().reading();
        assert_eq!(
            (before.state, before.generation.to_string()),
            (DrainState::Running, "0".into()),
            "a new gate is new"
        );
        let of_the_next = next.gate().admit().expect("a new gate admits");
        assert_eq!(next.gate().reading().in_flight, 1, "G6: it counts its own turn, and no other gate's");
        drop(of_the_next);
        let draining = next.begin_drain();
        assert!(draining.drained().is_some(), "G6: its own turn has ended");
        turn.join().expect("the turn ends");
        assert!(draining.drained().is_some(), "G6: the other gate's turn has left no trace in this one");
    });
}

/// The handle that admitted a turn goes on the turn's thread, and the last one elsewhere: whoever drops that counts the turn.
#[test]
fn the_last_handle_sees_what_was_admitted_by_each_other() {
    explore("handles::the_last_handle_sees_what_was_admitted_by_each_other", |seen| {
        let running = Lifecycle::<Running>::new();
        let gate = running.gate().clone();
        let worker = thread::spawn(move || {
            let turn = gate.admit().expect("a new gate admits").into_owned();
            drop(gate);
            drop(turn);
        });
        seen.note(if running.gate().reading().in_flight == 0 { "no turn is seen" } else { "the turn is seen" });
        drop(running);

        let next = Lifecycle::<Running>::new();
        let of_the_next = next.gate().admit().expect("a new gate admits");
        worker.join().expect("the turn ends");
        assert_eq!(next.gate().reading().in_flight, 1, "G6: it counts its own turn, and no other gate's");
        drop(of_the_next);
    });
}

/// One thread ends a gate that is closed, and another begins a new one: whatever that is made of, it is open.
#[test]
fn a_new_gate_is_open_whichever_thread_closed_the_one_before_it() {
    explore("handles::a_new_gate_is_open_whichever_thread_closed_the_one_before_it", |seen| {
        let closed = thread::spawn(|| drop(Lifecycle::<Running>::new().begin_drain()));
        let new = Lifecycle::<Running>::new();
        let turn = new.gate().admit();
        seen.note_if(turn.is_ok(), "the new gate admits");
        assert!(turn.is_ok(), "a new gate is open: {:?}", new.gate().reading());
        drop(turn);
        closed.join().expect("the other gate ends");
    });
}
