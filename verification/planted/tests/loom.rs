//! Every seeded bug that a loom model is to notice turns that model red; without one, all models are green.

#![cfg(loom)]

#[path = "../catalogue.rs"]
mod catalogue;
#[path = "../../interleavings/tests/models/main.rs"]
mod models;
#[path = "../runner.rs"]
mod runner;

use catalogue::Check;
use gateway_drain::properties::PropertyId;
use std::time::Duration;

#[test]
fn every_seeded_bug_turns_its_model_red() {
    let mine = |check| match check {
        Check::Model(name) => Some(format!("models::explored::{name}")),
        Check::Schedules(_) | Check::Test(_) | Check::Unit(_) => None,
    };
    runner::run(mine, Duration::from_secs(240), false);
}

/// Each memory ordering of the gate has a seed for each step down, and says beside itself which model that turns red.
#[test]
fn every_ordering_of_the_gate_names_the_model_that_needs_it() {
    let gate = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../src/gate.rs")).expect("it is there");
    let code = |line: &&str| !line.trim_start().starts_with("//");
    let steps: usize = gate.lines().filter(code).map(steps_down).sum();
    let seeds: Vec<_> = catalogue::seeds().filter(|seed| seed.id.starts_with("ordering-")).collect();
    assert_eq!(seeds.len(), steps, "one seed for each step down");
    for seed in seeds {
        assert!(gate.contains(&format!("`{}`", seed.check.name())), "gate.rs names the model of {}", seed.id);
    }
}

/// In how many ways the orderings of a line can be weakened by one step.
fn steps_down(line: &str) -> usize {
    let of = |ordering: &str| line.matches(&format!("Ordering::{ordering}")).count();
    assert_eq!(of("SeqCst"), 0, "a one-word gate needs no sequential consistency");
    2 * of("AcqRel") + of("Acquire") + of("Release")
}
