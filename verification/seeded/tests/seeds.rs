//! Every seeded bug that a test of the repository is to notice turns that test red; without one, all of them are green.
//!
//! The tests are those in `tests/`, compiled once more against the library with the bugs. To let another file kill seeds,
//! declare it here.

#![allow(clippy::duplicate_mod, reason = "each test file brings along the module it shares with others")]

#[path = "../../../tests/admission.rs"]
mod admission;
#[path = "../catalogue.rs"]
mod catalogue;
#[path = "../../../tests/draining.rs"]
mod draining;
#[path = "../../../tests/foreign_ground.rs"]
mod foreign_ground;
#[path = "../../../tests/full_disk.rs"]
mod full_disk;
#[path = "../../../tests/hold_rules.rs"]
mod hold_rules;
#[path = "../../../tests/holds.rs"]
mod holds;
#[path = "../../../tests/home_lock.rs"]
mod home_lock;
#[path = "../../../tests/hostile_channel.rs"]
mod hostile_channel;
#[path = "../../../tests/http_endpoint.rs"]
mod http_endpoint;
#[path = "../../../tests/http_hostile.rs"]
mod http_hostile;
#[path = "../../../tests/inheritance.rs"]
mod inheritance;
#[path = "../../../tests/liveness.rs"]
mod liveness;
#[path = "../../../tests/marker.rs"]
mod marker;
#[path = "../../../tests/other_writers.rs"]
mod other_writers;
#[path = "../../../tests/reading.rs"]
mod reading;
#[path = "../../../tests/reconciler.rs"]
mod reconciler;
#[path = "../../../tests/restarts.rs"]
mod restarts;
#[path = "../runner.rs"]
mod runner;
#[path = "../../../tests/status.rs"]
mod status;
#[path = "../../../tests/table.rs"]
mod table;
#[path = "../../../tests/waiting.rs"]
mod waiting;
#[path = "../../../tests/writing.rs"]
mod writing;

use catalogue::Check;
use std::time::Duration;

#[test]
fn every_seeded_bug_turns_its_test_red() {
    let mine = |check| match check {
        Check::Test(name) => Some(name.to_string()),
        Check::Model(_) | Check::Schedules(_) | Check::Unit(_) => None,
    };
    runner::run(mine, Duration::from_secs(15), true);
}
