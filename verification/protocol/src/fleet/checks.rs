//! What was checked of a fleet: each configuration with its bounds and exact counts, each rule left out with the length of the
//! shortest counterexample, what must come about with the fairness that it needs.

use super::system::{ALWAYS, Action, Config, Phase, Seed, State};
use crate::explorer::Counts;
use crate::liveness::Fair;

/// A configuration, explored to its end.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// Who takes part, and how often what may happen.
    pub config: Config,
    /// What it is about.
    pub about: &'static str,
    /// What the exploration finds, exactly.
    pub counts: Counts,
}

/// A rule left out, by which E4 is seen to break.
#[derive(Clone, Copy, Debug)]
pub struct Seeded {
    /// The rule.
    pub seed: Seed,
    /// Where.
    pub config: &'static str,
    /// The length of the shortest counterexample.
    pub steps: usize,
}

const CALM: Config = Config {
    name: "fleet",
    slots: 1,
    lists: false,
    kills: 0,
    losses: 0,
    cuts: 0,
    failures: 0,
    hands: 0,
    operations: 0,
};

/// Every configuration.
pub static CHECKS: [Check; 7] = [
    Check {
        config: Config { name: "fleet: budget of one", kills: ALWAYS, ..CALM },
        about: "two controllers that roll three gateways in any order for ever, killed as often as you like",
        counts: Counts { states: 195_400, edges: 1_325_817 },
    },
    Check {
        config: Config { name: "fleet: budget of two", slots: 2, kills: 1, ..CALM },
        about: "the same with two slots and one kill",
        counts: Counts { states: 260_699, edges: 843_414 },
    },
    Check {
        config: Config { name: "fleet: lost answers", kills: 1, losses: 1, cuts: ALWAYS, ..CALM },
        about: "a transaction that is applied and not answered, lost or late; an engine that is cut off again and again",
        counts: Counts { states: 374_696, edges: 1_573_946 },
    },
    Check {
        config: Config { name: "fleet: unfinished", kills: 1, failures: 2, ..CALM },
        about: "acts that fail, controllers that leave before they close anything, one kill",
        counts: Counts { states: 660_357, edges: 2_474_865 },
    },
    Check {
        config: Config { name: "fleet: by hand", kills: 1, failures: 1, hands: 1, ..CALM },
        about: "an operator who gives back the slot of a gateway that runs and at which nobody is",
        counts: Counts { states: 294_433, edges: 1_003_896 },
    },
    Check {
        config: Config { name: "fleet: operated", losses: 1, operations: 2, ..CALM },
        about: "an operator who sets the budget, or removes the semaphore and makes it again while nobody has a slot",
        counts: Counts { states: 474_946, edges: 1_432_959 },
    },
    Check {
        config: Config { name: "fleet: once", lists: true, losses: 2, cuts: 1, ..CALM },
        about: "two controllers that roll all three gateways once, in opposite order; what must come about is checked here",
        counts: Counts { states: 42_621, edges: 130_569 },
    },
];

/// Every rule that was left out, and how soon E4 breaks.
pub const SEEDS: &[Seeded] = &[
    Seeded { seed: Seed::SlotByController, config: "fleet: budget of one", steps: 13 },
    Seeded { seed: Seed::GivenBackBeforeReady, config: "fleet: budget of one", steps: 17 },
    Seeded { seed: Seed::TakenAfterClosing, config: "fleet: budget of one", steps: 6 },
    Seeded { seed: Seed::ComparesNothing, config: "fleet: budget of one", steps: 12 },
    Seeded { seed: Seed::NobodyIsNoted, config: "fleet: budget of one", steps: 24 },
    Seeded { seed: Seed::AliveIsDead, config: "fleet: budget of one", steps: 26 },
    Seeded { seed: Seed::RemovesAnother, config: "fleet: budget of two", steps: 33 },
    Seeded { seed: Seed::BlindRetry, config: "fleet: lost answers", steps: 14 },
    Seeded { seed: Seed::SilenceIsYes, config: "fleet: lost answers", steps: 11 },
    Seeded { seed: Seed::FailureGivesBack, config: "fleet: unfinished", steps: 16 },
    Seeded { seed: Seed::FoundIsGivenBack, config: "fleet: unfinished", steps: 20 },
    Seeded { seed: Seed::NothingIsInherited, config: "fleet: unfinished", steps: 20 },
    Seeded { seed: Seed::ComparesVersion, config: "fleet: operated", steps: 27 },
];

/// What must come about: who waits for a slot gets it.
pub struct Live {
    /// Where.
    pub config: &'static str,
    /// These are weakly fair, and each is needed.
    pub fair: &'static [(&'static str, Fair<Action>)],
    /// The rules without which it breaks.
    pub seeds: &'static [Seed],
}

/// That it does, where the engine lives, nobody is killed and nobody takes slots for ever.
pub const LIVENESS: Live = Live {
    config: "fleet: once",
    fair: &[
        ("the first controller goes on", |action| goes_on(action, 0)),
        ("the second controller goes on", |action| goes_on(action, 1)),
        ("the engine applies", |action| matches!(action, Action::Apply(_))),
        ("the engine answers", |action| matches!(action, Action::Answer(_))),
        ("the engine comes back", |action| action == Action::Heal),
        ("the gateways look", |action| matches!(action, Action::Look(_))),
        ("the gateways are ready again", |action| matches!(action, Action::BecomeReady(_))),
    ],
    seeds: &[Seed::LooksOnce, Seed::NeverGivenBack, Seed::SilenceIsGivenBack],
};

fn goes_on(action: Action, who: u8) -> bool {
    match action {
        Action::Begin(by, _)
        | Action::Read(by)
        | Action::Close(by)
        | Action::Commit(by)
        | Action::Act(by)
        | Action::Withdraw(by)
        | Action::SeeReady(by) => by == who,
        _ => false,
    }
}

/// Whether somebody waits for a slot.
pub fn waits(state: &State) -> bool {
    state.controllers.iter().any(|controller| matches!(controller.phase, Phase::Waits | Phase::Takes | Phase::Despairs))
}

/// What is to be seen: in which configuration, what, and how it is known.
pub type Witness = (&'static str, &'static str, fn(&State) -> bool);

/// What has to be reachable: so what is checked is not true of nothing.
pub const WITNESSES: &[Witness] = &[
    ("fleet: budget of two", "two gateways are closed at once", |state| state.all_closed() == 2),
    ("fleet: budget of one", "two controllers are at one gateway, with one slot", |state| {
        let [a, b] = &state.controllers;
        let at_work = |phase| matches!(phase, Phase::Closes | Phase::Committed | Phase::Acted);
        a.gateway == b.gateway && at_work(a.phase) && at_work(b.phase)
    }),
    ("fleet: budget of one", "a gateway is closed, and the process that closed it is no more", |state| {
        state.all_closed() == 1 && state.controllers.iter().all(|controller| controller.phase == Phase::Idle)
    }),
    ("fleet: lost answers", "a controller acts while the engine is cut off", |state| {
        state.cut && state.controllers.iter().any(|controller| controller.phase == Phase::Acted)
    }),
    ("fleet: operated", "more gateways are closed than the budget that was set since", |state| {
        state.all_closed() > usize::from(state.value.slots)
    }),
];

/// The check of this name.
pub fn named(name: &str) -> &'static Check {
    CHECKS.iter().find(|check| check.config.name == name).expect("a configuration of this name")
}
