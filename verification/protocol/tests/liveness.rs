//! What must come about does, under the fairness named in the table; and each fairness named is needed.

use gateway_drain::DrainState;
use gateway_drain::properties::PropertyId::{self, *};
use gateway_drain_protocol::checks::{LIVENESS, Live, named};
use gateway_drain_protocol::explorer::{Graph, explore};
use gateway_drain_protocol::liveness::{Fair, can_always_reach, leads_to};
use gateway_drain_protocol::production::Seed;
use gateway_drain_protocol::system::{Action, Protocol, State, Watched};

/// All that can happen; without a rule, whatever safety that costs.
fn explored(config: &str, seed: Option<Seed>) -> (Protocol, Graph<State, Action>) {
    let config = named(config).config;
    let mut system = seed.map_or_else(|| Protocol::new(config), |seed| Protocol::without(config, seed));
    if seed.is_some() {
        system.watched = Watched::None;
    }
    let graph = explore(&mut system).map_err(|found| found.breaks).expect("no state breaks a property");
    (system, graph)
}

fn holds(live: &Live, system: &Protocol, graph: &Graph<State, Action>, without: Option<&str>) -> bool {
    let fair: Vec<Fair<Action>> =
        live.fair.iter().filter(|(name, _)| Some(*name) != without).map(|(_, fair)| *fair).collect();
    leads_to(graph, |state| (live.from)(system, state), |state| (live.to)(system, state), &fair).is_ok()
}

fn comes_about(property: PropertyId) {
    let live = LIVENESS.iter().find(|live| live.properties.contains(&property)).expect("it is in the table");
    let (system, graph) = explored(live.config, None);
    assert!(graph.states.iter().any(|state| (live.from)(&system, state)), "{}: the question never arises", live.says);
    assert!(holds(live, &system, &graph, None), "{}: there is a fair run in which it never happens", live.says);
    for (name, _) in live.fair {
        assert!(!holds(live, &system, &graph, Some(name)), "{}: it isn't needed that {name}", live.says);
    }
    if let Some(seed) = live.seed {
        let (system, graph) = explored(live.config, Some(seed));
        assert!(!holds(live, &system, &graph, None), "{}: nobody notices {seed:?}", live.says);
    }
}

#[test]
fn a_shutdown_ends_although_a_turn_is_stuck() {
    comes_about(L1);
}

#[test]
fn the_gateway_runs_again_when_the_last_hold_has_ended() {
    comes_about(L2);
}

#[test]
fn a_dead_controllers_hold_ends_with_its_lease() {
    comes_about(H3);
}

#[test]
fn a_waiter_is_answered() {
    comes_about(C6);
}

#[test]
fn stopped_can_be_reached_from_every_state() {
    let (system, graph) = explored("shutdown", None);
    let reached = can_always_reach(&graph, |state| system.reading(state).state == DrainState::Stopped);
    assert_eq!(reached, Ok(()), "L3: there is a state with no way to stopped");
    let (system, graph) = explored("one owner", None);
    let reached = can_always_reach(&graph, |state| system.reading(state).state == DrainState::Stopped);
    assert!(reached.is_err(), "where nobody ever shuts down, nothing stops: the check can fail");
}
