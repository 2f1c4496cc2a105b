//! Sown in the reconciler and in the status.

use super::Check::Test;
use super::Seed;

/// The seeds.
pub const SEEDS: &[Seed] = &[
    Seed {
        id: "status-runs-while-draining",
        breaks: &["S6"],
        bug: "The status says running for the whole drain, as it did in the field.",
        file: "status.rs",
        within: "DrainState::ExternalDraining | DrainState::ShutdownDraining => Self::Draining",
        find: "Self::Draining",
        replace: "Self::Running",
        check: Test("status::entering_publishes_draining_with_the_live_count_and_entering_twice_publishes_it_once"),
    },
    Seed {
        id: "status-runs-after-the-stop",
        breaks: &["S6"],
        bug: "The status of a stopped gateway says running.",
        file: "status.rs",
        within: "DrainState::Stopped => Self::Stopped",
        find: "Self::Stopped",
        replace: "Self::Running",
        check: Test("status::exiting_publishes_running_and_the_end_publishes_stopped"),
    },
];
