//! E4 and L6: of a fleet with a budget of k at most k gateways are closed, whatever crashes, is lost or is cut off; and who
//! waits for a slot gets one.

use gateway_drain_protocol::explorer::explore;
use gateway_drain_protocol::fleet::checks::{Check, LIVENESS, SEEDS, WITNESSES, named, waits};
use gateway_drain_protocol::fleet::counterexample::tell;
use gateway_drain_protocol::fleet::system::{Fleet, Seed};
use gateway_drain_protocol::liveness::{Fair, leads_to};
use std::fmt::Write as _;

fn keeps_the_budget(name: &str) {
    let Check { config, counts, .. } = named(name);
    let mut system = Fleet::new(*config);
    let graph = match explore(&mut system) {
        Ok(graph) => graph,
        Err(found) => panic!("{name}: {}", tell(&system, &found)),
    };
    for (_, says, seen) in WITNESSES.iter().filter(|(config, ..)| *config == name) {
        assert!(graph.states.iter().any(seen), "{name}: it can't happen that {says}");
    }
    assert_eq!(graph.counts(), *counts, "{name}: the model isn't the one that was counted");
}

#[test]
fn a_budget_of_one_is_kept_under_kills() {
    keeps_the_budget("fleet: budget of one");
}

#[test]
fn a_budget_of_two_is_kept() {
    keeps_the_budget("fleet: budget of two");
}

#[test]
fn lost_and_late_transactions_and_an_engine_that_is_cut_off_break_no_budget() {
    keeps_the_budget("fleet: lost answers");
}

#[test]
fn what_is_left_unfinished_breaks_no_budget() {
    keeps_the_budget("fleet: unfinished");
}

#[test]
fn slots_that_are_given_back_by_hand_break_no_budget() {
    keeps_the_budget("fleet: by hand");
}

#[test]
fn an_operator_who_sets_or_recreates_the_budget_breaks_none() {
    keeps_the_budget("fleet: operated");
}

#[test]
fn every_rule_left_out_breaks_the_budget_and_no_later_than_counted() {
    let mut wrong = String::new();
    for seeded in SEEDS {
        let mut system = Fleet::without(named(seeded.config).config, seeded.seed);
        match explore(&mut system) {
            Ok(graph) => panic!("{seeded:?}: nobody notices, in {:?}", graph.counts()),
            Err(found) if found.steps.len() == seeded.steps => assert!(found.breaks.starts_with("E4"), "{seeded:?}"),
            Err(found) => {
                let _ = writeln!(wrong, "{seeded:?} is noticed in {}", tell(&system, &found));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn who_waits_for_a_slot_gets_one_if_the_engine_lives_and_no_holder_is_dead() {
    let get = |seed: Option<Seed>, without: Option<&str>| {
        let config = named(LIVENESS.config).config;
        let mut system = seed.map_or_else(|| Fleet::new(config), |seed| Fleet::without(config, seed));
        system.watched = false;
        let graph = explore(&mut system).map_err(|found| found.breaks).expect("nothing is watched");
        assert!(graph.states.iter().any(waits), "nobody ever waits");
        let fair: Vec<Fair<_>> =
            LIVENESS.fair.iter().filter(|(name, _)| Some(*name) != without).map(|(_, fair)| *fair).collect();
        leads_to(&graph, waits, |state| !waits(state), &fair)
    };
    keeps_the_budget(LIVENESS.config);
    assert_eq!(get(None, None), Ok(()), "somebody waits for ever");
    for (name, _) in LIVENESS.fair {
        assert!(get(None, Some(name)).is_err(), "it isn't needed that {name}");
    }
    for seed in LIVENESS.seeds {
        assert!(get(Some(*seed), None).is_err(), "nobody notices {seed:?}");
    }
}
