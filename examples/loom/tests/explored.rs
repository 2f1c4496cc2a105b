//! The store under every interleaving of a turn with a compaction, gateway-drain's own steps included.

#![cfg(all(loom, feature = "loom"))]

use gateway_drain::Refusal;
use gateway_drain::lifecycle::Lifecycle;
use gateway_drain_example_loom::Store;
use loom::thread;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

#[test]
fn a_turn_sees_both_halves_moved_or_neither() {
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let outcomes = Arc::clone(&seen);
    loom::model(move || {
        let running = Lifecycle::new();
        let store = Arc::new(Store::new(running.gate().clone()));
        let turn = thread::spawn({
            let store = Arc::clone(&store);
            move || store.read()
        });
        assert!(store.compact(running, 7).is_ok(), "nobody ends this drain but the compaction itself");
        let read = turn.join().expect("the turn ends");
        assert!(matches!(read, Ok([0, 0] | [7, 7]) | Err(Refusal::Draining)), "half moved: {read:?}");
        seen.lock().expect("nothing panics here").insert(format!("{read:?}"));
    });
    let outcomes: Vec<String> = outcomes.lock().expect("the model has ended").iter().cloned().collect();
    assert_eq!(outcomes, ["Err(Draining)", "Ok([0, 0])", "Ok([7, 7])"], "each of the three is possible");
}

#[test]
#[should_panic(expected = "half moved")]
fn loom_finds_the_turn_that_a_hasty_compaction_pulls_the_rug_from_under() {
    loom::model(|| {
        let running = Lifecycle::new();
        let store = Arc::new(Store::new(running.gate().clone()));
        let turn = thread::spawn({
            let store = Arc::clone(&store);
            move || store.read()
        });
        let _running = store.compact_in_haste(running, 7);
        if let Ok([left, right]) = turn.join().expect("the turn ends") {
            assert_eq!(left, right, "half moved");
        }
    });
}
