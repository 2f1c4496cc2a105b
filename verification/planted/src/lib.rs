//! The source of gateway-drain with every seeded bug of the catalogue behind a run-time switch. See `build.rs`.

#![forbid(unsafe_code)]
#![allow(missing_docs, unused, clippy::all, clippy::pedantic, reason = "generated")]

include!(concat!(env!("OUT_DIR"), "/src/lib.rs"));

#[cfg(all(test, not(any(loom, shuttle))))]
#[path = "../catalogue.rs"]
mod catalogue;
#[cfg(all(test, not(any(loom, shuttle))))]
#[path = "../runner.rs"]
mod runner;
#[cfg(all(test, not(any(loom, shuttle))))]
use properties::PropertyId;

#[cfg(all(test, not(any(loom, shuttle))))]
#[test]
fn every_seeded_bug_turns_its_unit_test_red() {
    let mine = |check| match check {
        catalogue::Check::Unit(name) => Some(name.to_owned()),
        catalogue::Check::Model(_) | catalogue::Check::Schedules(_) | catalogue::Check::Test(_) => None,
    };
    runner::run(mine, std::time::Duration::from_secs(15), true);
}
