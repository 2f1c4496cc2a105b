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
