//! Every seeded bug that a crowd of tasks is to notice turns its model red; without one, all models are green.

#![cfg(shuttle)]

#[path = "../catalogue.rs"]
mod catalogue;
#[path = "../../interleavings/tests/models/main.rs"]
mod models;
#[path = "../runner.rs"]
mod runner;

use catalogue::Check;
use gateway_drain::properties::PropertyId;
use std::process::{Command, Output};
use std::time::Duration;

#[test]
fn every_seeded_bug_turns_its_schedules_red() {
    let mine = |check| match check {
        Check::Schedules(name) => Some(format!("models::explored::{name}")),
        Check::Model(_) | Check::Test(_) | Check::Unit(_) => None,
    };
    // A wake-up that is lost is found as a deadlock, so nothing hangs but what is wrong in another way.
    runner::run(mine, Duration::from_secs(240), false);
}

/// The text that shuttle prints of a schedule that fails, run again, fails at the same step in the same way.
#[test]
fn a_schedule_that_fails_is_printed_and_fails_again() {
    let seed = catalogue::seeds().find(|seed| seed.id == "outbox-is-not-looked-at-again").expect("it is planted");
    let failed = under(seed, None);
    let said = String::from_utf8_lossy(&failed.stderr);
    let schedule = said.split("failing schedule:\n\"\n").nth(1).and_then(|rest| rest.split("\n\"").next());
    let schedule = schedule.unwrap_or_else(|| panic!("no schedule is printed: {said}"));
    let again = under(seed, Some(schedule));
    let said = String::from_utf8_lossy(&again.stderr);
    // The one that is not told is the one or the other, or both.
    let not_told = ["everybody is told", "two observers are told the same"].iter().any(|why| said.contains(why));
    assert!(!again.status.success() && not_told, "the schedule alone fails: {said}");
    assert!(said.contains(schedule), "and is printed again");
}

fn under(seed: &catalogue::Seed, schedule: Option<&str>) -> Output {
    let mut command = Command::new(std::env::current_exe().expect("a test has a path"));
    command.args(["--exact", &format!("models::explored::{}", seed.check.name()), "--test-threads=1", "--nocapture"]);
    command.env("SEED", seed.id).envs(schedule.map(|schedule| ("REPLAY", schedule)));
    command.output().expect("this test can be run again")
}
