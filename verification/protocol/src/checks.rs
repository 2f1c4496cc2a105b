//! What was checked: each configuration with its bounds and exact counts, each rule left out with the shortest
//! counterexample, each liveness property with the fairness that it needs.
//!
//! The tests run what stands here, and the documents are made of it. A number in this table that is wrong is a red test.

use crate::explorer::Counts;
use crate::liveness::Fair;
use crate::production::{Kind, PLACES, Seed};
use crate::system::{ALWAYS, Action, Budget, Config, Gateway, Phase, Protocol, State};
use gateway_drain::DrainState;
#[allow(clippy::enum_glob_use, reason = "a table of them")]
use gateway_drain::properties::PropertyId::{self, *};

/// A configuration, explored to its end.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// Who takes part, and how often what may happen.
    pub config: Config,
    /// What it is about.
    pub about: &'static str,
    /// The properties that can be broken in it at all: those that a seed breaks there, and those next to them.
    pub properties: &'static [PropertyId],
    /// What the exploration finds, exactly.
    pub counts: Counts,
}

/// A rule left out, and the property that is seen to break.
#[derive(Clone, Copy, Debug)]
pub struct Seeded {
    /// The rule.
    pub seed: Seed,
    /// Where.
    pub config: &'static str,
    /// The property, which is the only one watched in this run.
    pub breaks: PropertyId,
    /// The length of the shortest counterexample.
    pub steps: usize,
}

/// What must come about.
#[derive(Clone, Copy)]
pub struct Live {
    /// Their numbers.
    pub properties: &'static [PropertyId],
    /// In words.
    pub says: &'static str,
    /// Where.
    pub config: &'static str,
    /// From here,
    pub from: fn(&Protocol, &State) -> bool,
    /// it comes to this,
    pub to: fn(&Protocol, &State) -> bool,
    /// if these are weakly fair. Each of them is needed: without it the check is red.
    pub fair: &'static [(&'static str, Fair<Action>)],
    /// The rule whose absence breaks it, if one is seeded.
    pub seed: Option<Seed>,
}

const NEVER: Budget = Budget {
    crashes: 0,
    removals: 0,
    litter: 0,
    lost_statuses: 0,
    lost_records: 0,
    rewrites: 0,
    reboots: 0,
    blind_looks: 0,
    short_looks: 0,
    drops: 0,
    wall_steps: 0,
    deaths: 0,
    overrides: 0,
    shutdowns: 0,
    begins: ALWAYS,
};

const ONE: Config = Config {
    name: "one owner",
    controllers: 1,
    commits: true,
    hasty: false,
    dashboard: false,
    turns: 1,
    internal: 0,
    lease: 1,
    shutdown: (1, 1),
    budget: Budget {
        crashes: ALWAYS,
        removals: ALWAYS,
        lost_statuses: ALWAYS,
        lost_records: ALWAYS,
        rewrites: ALWAYS,
        ..NEVER
    },
};

/// Every configuration.
pub static CHECKS: [Check; 10] = [
    Check {
        config: ONE,
        about: "one controller, without any bound on crashes, removals, lost statuses, renewals and time",
        properties: &[H1, H4, S2, C5, C6, E1, E2],
        counts: Counts { states: 72_946, edges: 543_471 },
    },
    Check {
        config: Config { name: "graceful restart", budget: Budget { shutdowns: ALWAYS, ..ONE.budget }, ..ONE },
        about: "the same, and the gateway shuts down and restarts as often as it likes",
        properties: &[H1, H4, S2, S3, S4, S5, C5, C6, E1, E2],
        counts: Counts { states: 711_422, edges: 5_472_226 },
    },
    Check {
        config: Config {
            name: "commit",
            controllers: 2,
            budget: Budget { crashes: 1, removals: 1, lost_statuses: 1, begins: 2, ..NEVER },
            ..ONE
        },
        about: "two controllers that drain, commit, act and withdraw beside each other",
        properties: &[H1, H2, H4, S2, C6, E1, E2],
        counts: Counts { states: 979_831, edges: 4_646_666 },
    },
    Check {
        config: Config {
            name: "override",
            hasty: true,
            budget: Budget { crashes: 1, removals: 1, deaths: 1, overrides: 1, reboots: 1, begins: 2, ..NEVER },
            ..ONE
        },
        about: "a controller that commits without having waited or dies, an operator who overrides, a reboot",
        properties: &[H1, H4, S2, C3, C6, E1, E2],
        counts: Counts { states: 1_823_546, edges: 9_297_427 },
    },
    Check {
        config: Config {
            name: "strangers",
            budget: Budget { crashes: 1, removals: 1, litter: 1, begins: 2, ..NEVER },
            ..ONE
        },
        about: "others who write into the place of a controller's file: another owner, another epoch, half a file",
        properties: &[H1, H2, H4, S2, C3, C7, E1],
        counts: Counts { states: 857_010, edges: 3_449_719 },
    },
    Check {
        config: Config {
            name: "death",
            budget: Budget { crashes: 1, removals: 1, lost_statuses: 1, deaths: 1, begins: 2, ..NEVER },
            ..ONE
        },
        about: "a controller that dies, at any point",
        properties: &[H1, H3, H4, E1, E2],
        counts: Counts { states: 57_551, edges: 245_937 },
    },
    Check {
        config: Config {
            name: "shutdown",
            turns: 2,
            internal: 1,
            budget: Budget { crashes: 1, shutdowns: ALWAYS, drops: ALWAYS, begins: 2, ..NEVER },
            ..ONE
        },
        about: "shutdowns with their deadline, a reconciler that is dropped, two turns and internal work in flight",
        properties: &[H1, S1, S3, S4, S5, S6, G2, G3, E1, L1, L3, L4],
        counts: Counts { states: 131_953, edges: 742_860 },
    },
    Check {
        config: Config {
            name: "files",
            controllers: 0,
            commits: false,
            dashboard: true,
            budget: Budget { crashes: 1, removals: ALWAYS, litter: 2, reboots: 1, begins: 2, ..NEVER },
            ..ONE
        },
        about: "the marker: empty, torn, foreign, as the reference writes it and as the dashboard does",
        properties: &[H1, C3, C4, C5, C6],
        counts: Counts { states: 855_139, edges: 5_234_649 },
    },
    Check {
        config: Config {
            name: "shortage",
            budget: Budget { crashes: 1, removals: 1, litter: 1, short_looks: ALWAYS, begins: 2, ..NEVER },
            ..ONE
        },
        about: "a process that has no descriptor left, again and again",
        properties: &[H1, H2, H4, S2, C4, C5, C6, E1, E2],
        counts: Counts { states: 929_899, edges: 3_949_457 },
    },
    Check {
        config: Config {
            name: "clock",
            commits: false,
            lease: 2,
            budget: Budget { wall_steps: 2, litter: 1, blind_looks: 1, begins: 2, ..NEVER },
            ..ONE
        },
        about: "a wall clock that jumps, a home that can't be read for once",
        properties: &[H1, H5, C3, C4],
        counts: Counts { states: 1_427_492, edges: 7_891_957 },
    },
];

/// Every rule that was left out, and what came of it.
pub const SEEDS: &[Seeded] = &[
    // The three rules that the design names.
    Seeded { seed: Seed::CommitEndsWithItsFile, config: "one owner", breaks: E1, steps: 12 },
    Seeded { seed: Seed::CommitIsNotRestored, config: "one owner", breaks: E1, steps: 14 },
    Seeded { seed: Seed::NoNonce, config: "one owner", breaks: E1, steps: 16 },
    // And the others.
    Seeded { seed: Seed::NoNonce, config: "one owner", breaks: C6, steps: 8 },
    Seeded { seed: Seed::NoLock, config: "one owner", breaks: E2, steps: 6 },
    Seeded { seed: Seed::CommitOfAnyDrain, config: "override", breaks: E1, steps: 10 },
    Seeded { seed: Seed::CommittedLeaseRunsOut, config: "one owner", breaks: E1, steps: 12 },
    Seeded { seed: Seed::CommittedLeaseRunsOut, config: "one owner", breaks: H4, steps: 9 },
    Seeded { seed: Seed::NoToken, config: "override", breaks: H4, steps: 11 },
    Seeded { seed: Seed::WithdrawalEndsAll, config: "commit", breaks: H2, steps: 9 },
    Seeded { seed: Seed::LeaseOnTheWallClock, config: "clock", breaks: H5, steps: 5 },
    Seeded { seed: Seed::AnyEpoch, config: "files", breaks: C3, steps: 3 },
    Seeded { seed: Seed::UnreadableIsAbsent, config: "files", breaks: C4, steps: 3 },
    Seeded { seed: Seed::AdmitsBeforeTheLook, config: "files", breaks: C5, steps: 2 },
    Seeded { seed: Seed::ReopensFromShutdown, config: "shutdown", breaks: S3, steps: 6 },
    Seeded { seed: Seed::StatusIsLastWriterWins, config: "shutdown", breaks: S6, steps: 5 },
    Seeded { seed: Seed::StaysClosed, config: "one owner", breaks: H1, steps: 5 },
    Seeded { seed: Seed::EndpointReadsTheFile, config: "files", breaks: C6, steps: 2 },
    Seeded { seed: Seed::EndpointWritesAnything, config: "strangers", breaks: C7, steps: 3 },
    Seeded { seed: Seed::EndDrainShutsDown, config: "shutdown", breaks: S1, steps: 5 },
    Seeded { seed: Seed::RefusalIsForgotten, config: "override", breaks: S2, steps: 12 },
    Seeded { seed: Seed::StoppedRunsAgain, config: "shutdown", breaks: S4, steps: 5 },
    Seeded { seed: Seed::AbandonedIsNotRecorded, config: "shutdown", breaks: S5, steps: 8 },
    Seeded { seed: Seed::AdmitsWhileDraining, config: "shutdown", breaks: G2, steps: 5 },
    Seeded { seed: Seed::StaleIsAbsent, config: "strangers", breaks: C7, steps: 5 },
    Seeded { seed: Seed::AbsenceIsAlwaysAWithdrawal, config: "strangers", breaks: C7, steps: 7 },
    Seeded { seed: Seed::ShutdownForgetsFiles, config: "shutdown", breaks: E1, steps: 15 },
    Seeded { seed: Seed::CommitIsNotRecorded, config: "one owner", breaks: E1, steps: 16 },
    Seeded { seed: Seed::FileIsTheSecondTrace, config: "one owner", breaks: E1, steps: 16 },
    Seeded { seed: Seed::UnprovenCommitIsGranted, config: "one owner", breaks: S2, steps: 14 },
    Seeded { seed: Seed::ShortageIsAbsence, config: "shortage", breaks: C4, steps: 4 },
    Seeded { seed: Seed::ShortageIsBlindness, config: "shortage", breaks: H1, steps: 3 },
    Seeded { seed: Seed::DroppedGateStaysOpen, config: "shutdown", breaks: H1, steps: 4 },
    Seeded { seed: Seed::InternalIsNotSealed, config: "shutdown", breaks: G3, steps: 5 },
];

/// Everything that must come about.
pub const LIVENESS: [Live; 4] = [
    Live {
        properties: &[L1, L4],
        says: "a shutdown ends in stopped, also with a turn that never ends",
        config: "shutdown",
        from: |_, state| state.shutdown.is_some(),
        to: |system, state| state.gateway == Gateway::Dead || system.reading(state).state == DrainState::Stopped,
        fair: &[("time passes", |a| a == Action::Tick), ("the gateway looks", |a| a == Action::Look)],
        seed: Some(Seed::NeverForced),
    },
    Live {
        properties: &[L2],
        says: "when the last hold has ended, the gateway runs again",
        config: "one owner",
        from: |system, state| closed_for_nothing(system, state),
        to: |system, state| !closed_for_nothing(system, state),
        fair: &[("the gateway looks", |a| a == Action::Look)],
        seed: Some(Seed::StaysClosed),
    },
    Live {
        properties: &[H3],
        says: "before commit, a dead controller's hold ends with its lease",
        config: "death",
        from: |system, state| {
            let commits = state.files[1].kind == Kind::Commit;
            let decided = system.production.holds(state.holds).nonces[1] & 1 << state.files[1].nonce != 0;
            let dead = state.controllers[0].phase == Phase::Dead;
            dead && held_uncommitted(system, state) && (!commits || decided)
        },
        to: |system, state| state.gateway == Gateway::Dead || !system.production.holds(state.holds).held[1],
        fair: &[("time passes", |a| a == Action::Tick), ("the gateway looks", |a| a == Action::Look)],
        seed: Some(Seed::LeaseNeverEnds),
    },
    Live {
        properties: &[C6],
        says: "a controller that waits, and whose file stays, is answered by a gateway that goes on",
        config: "death",
        from: |_, state| waits_for_an_answer(state),
        to: |_, state| !waits_for_an_answer(state),
        fair: &[
            ("the gateway looks", |a| a == Action::Look),
            ("the gateway publishes", |a| a == Action::Publish),
            ("turns end", |a| a == Action::EndTurn),
            ("the controller reads", |a| a == Action::Read(1)),
        ],
        seed: None,
    },
];

/// Nothing lies in the channel and nothing is committed, and still the gate is held closed.
fn closed_for_nothing(system: &Protocol, state: &State) -> bool {
    let nothing_there = state.files.iter().all(|file| file.kind == Kind::Absent);
    let committed = system.production.holds(state.holds).token != [0; PLACES];
    nothing_there && !committed && system.reading(state).state == DrainState::ExternalDraining
}

fn waits_for_an_answer(state: &State) -> bool {
    let controller = &state.controllers[0];
    let file_stays = state.files[1].nonce == controller.nonce;
    state.gateway != Gateway::Dead && controller.phase == Phase::Waiting && file_stays
}

fn held_uncommitted(system: &Protocol, state: &State) -> bool {
    let holds = system.production.holds(state.holds);
    state.gateway != Gateway::Dead && holds.held[1] && holds.token[1] == 0
}

/// The check of this name.
pub fn named(name: &str) -> &'static Check {
    CHECKS.iter().find(|check| check.config.name == name).expect("a configuration of this name")
}
