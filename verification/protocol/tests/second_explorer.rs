//! stateright explores the same transition function with an explorer of its own, and counts the same.
//!
//! It shares the steps with the package's explorer and nothing else: not the queue, not the table of visited states. Its
//! `eventually` isn't used, because it misses violations on cycles.

use gateway_drain_protocol::checks::named;
use gateway_drain_protocol::explorer::{Edge, System};
use gateway_drain_protocol::system::{Action, Protocol, State};
use stateright::{Checker, Model, Property};
use std::sync::Mutex;

struct Stateright(Mutex<Protocol>);

impl Model for Stateright {
    type State = State;
    type Action = Edge<State, Action>;

    fn init_states(&self) -> Vec<State> {
        vec![self.0.lock().expect("nobody panicked").initial()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Edge<State, Action>>) {
        self.0.lock().expect("nobody panicked").steps(state, actions);
    }

    fn next_state(&self, _: &State, step: Edge<State, Action>) -> Option<State> {
        Some(step.to)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let sound = |model: &Self, state: &State| {
            let mut steps = Vec::new();
            let mut protocol = model.0.lock().expect("nobody panicked");
            protocol.steps(state, &mut steps);
            protocol.broken(state).is_none() && steps.iter().all(|step| step.breaks.is_none())
        };
        vec![Property::always("no property breaks", sound)]
    }
}

fn counts_the_same(name: &str) {
    let check = named(name);
    let checker = Stateright(Mutex::new(Protocol::new(check.config))).checker().spawn_bfs().join();
    checker.assert_properties();
    assert_eq!(checker.unique_state_count(), check.counts.states, "{name}: states");
    // It counts the initial state among what it generated.
    assert_eq!(checker.state_count() - 1, check.counts.edges, "{name}: edges");
}

#[test]
fn stateright_finds_the_same_states_and_edges_for_one_owner() {
    counts_the_same("one owner");
}

#[test]
fn stateright_finds_the_same_states_and_edges_for_a_shutdown() {
    counts_the_same("shutdown");
}
