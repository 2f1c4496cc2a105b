//! Every seeded bug that a test of the repository is to notice turns that test red; without one, all of them are green.
//!
//! The tests are those in `tests/`, compiled once more against the library with the bugs. To let another file kill seeds,
//! declare it here.

#![cfg(not(any(loom, shuttle)))]

#[path = "../../../tests/it/admission.rs"]
mod admission;
#[path = "../catalogue.rs"]
mod catalogue;
#[path = "../../../tests/it/draining.rs"]
mod draining;
#[path = "../../../tests/external/foreign_ground.rs"]
mod foreign_ground;
#[path = "../../../tests/it/full_disk.rs"]
mod full_disk;
#[path = "../../../tests/it/hold_rules.rs"]
mod hold_rules;
#[path = "../../../tests/it/holds.rs"]
mod holds;
#[path = "../../../tests/it/home_lock.rs"]
mod home_lock;
#[path = "../../../tests/it/hostile_channel.rs"]
mod hostile_channel;
#[path = "../../../tests/it/http_endpoint.rs"]
mod http_endpoint;
#[path = "../../../tests/it/http_hostile.rs"]
mod http_hostile;
#[path = "../../../tests/it/liveness.rs"]
mod liveness;
#[path = "../../../tests/it/marker.rs"]
mod marker;
#[path = "../../../tests/it/other_writers.rs"]
mod other_writers;
#[path = "../../../tests/it/reading.rs"]
mod reading;
#[path = "../../../tests/it/reconciler.rs"]
mod reconciler;
#[path = "../../../tests/it/restarts.rs"]
mod restarts;
#[path = "../runner.rs"]
mod runner;
#[path = "../../../tests/it/status.rs"]
mod status;
#[path = "../../../tests/support/shared.rs"]
mod support;
#[path = "../../../tests/it/table.rs"]
mod table;
#[path = "../../../tests/it/takeover.rs"]
mod takeover;
#[path = "../../../tests/it/waiting.rs"]
mod waiting;
#[path = "../../../tests/it/writing.rs"]
mod writing;

use catalogue::Check;
use gateway_drain::properties::PropertyId;
use std::time::Duration;

#[test]
fn every_seeded_bug_turns_its_test_red() {
    let mine = |check| match check {
        Check::Test(name) => Some(name.to_string()),
        Check::Model(_) | Check::Schedules(_) | Check::Unit(_) => None,
    };
    runner::run(mine, Duration::from_secs(15), true);
}
