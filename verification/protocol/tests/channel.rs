//! The real gateway follows its files as the reference model says, whatever happens to either (H1 to H5, S6, C3 to C6,
//! G2, G3, G6).

use gateway_drain_protocol::reference::event::{self, Event};
use gateway_drain_protocol::reference::gateway::Gateway;
use gateway_drain_protocol::reference::model::Model;
use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence, RngSeed, TestRunner};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};
use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Mutex;

const REGRESSIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../proptest-regressions/channel.txt");
/// The same sequences in every run, unless more or others are asked for: `SEQUENCES=200` (`cargo xtask ci model`),
/// `SEQUENCES=20000 SEED=random` (.ci/luck).
const SEED: u64 = 20_260_614;
const SEQUENCES: u32 = 100;
const EVENTS: std::ops::Range<usize> = 10..60;

struct Reference;

impl ReferenceStateMachine for Reference {
    type State = Model;
    type Transition = Event;

    fn init_state() -> BoxedStrategy<Model> {
        Just(Model::default()).boxed()
    }

    fn transitions(model: &Model) -> BoxedStrategy<Event> {
        event::next(model)
    }

    fn apply(model: Model, event: &Event) -> Model {
        model.after(event)
    }

    fn preconditions(model: &Model, event: &Event) -> bool {
        event::possible(model, event)
    }
}

/// What the run has met: without these it would show nothing.
static MET: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());

fn meet(what: String) {
    *MET.lock().unwrap_or_else(std::sync::PoisonError::into_inner).entry(what).or_default() += 1;
}

struct Channel;

impl StateMachineTest for Channel {
    type SystemUnderTest = Gateway;
    type Reference = Reference;

    fn init_test(_: &Model) -> Gateway {
        Gateway::start()
    }

    fn apply(mut gateway: Gateway, model: &Model, event: Event) -> Gateway {
        meet("events".into());
        gateway.take(&event, model);
        gateway
    }

    fn check_invariants(gateway: &Gateway, model: &Model) {
        gateway.compare(model);
        meet(format!("state {}", model.state));
        if model.drained() {
            meet("drained".into());
        }
        for (_, _, outcome) in model.answers() {
            meet(format!("{outcome:?}"));
        }
    }
}

#[test]
fn the_gateway_follows_its_files_as_the_model_says() {
    let wanted = |name| std::env::var(name).ok();
    let number = |text: String| text.parse().unwrap_or_else(|why| panic!("{text} is no number: {why}"));
    let seed = match wanted("SEED") {
        None => SEED,
        Some(random) if random == "random" => RandomState::new().build_hasher().finish(),
        Some(chosen) => number(chosen),
    };
    let cases = wanted("SEQUENCES").map_or(SEQUENCES, |cases| number(cases).try_into().expect("it is that small"));
    println!("{cases} sequences from SEED={seed}");
    let config = Config {
        cases,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(REGRESSIONS))),
        max_shrink_iters: 400,
        // Events that no state allows are drawn again, so that 20,000 sequences have many of them.
        max_local_rejects: u32::MAX,
        ..Config::default()
    };
    let run = TestRunner::new(config.clone()).run(&Reference::sequential_strategy(EVENTS), |(model, events, seen)| {
        Channel::test_sequential(config.clone(), model, events, seen);
        Ok(())
    });
    if let Err(failure) = run {
        panic!("{failure}");
    }
    let met = MET.lock().expect("nothing panicked");
    for (what, times) in met.iter() {
        println!("{times:>7} {what}");
    }
    // Fewer sequences than usual may well leave something out.
    for witness in WITNESSES.iter().filter(|_| cases >= SEQUENCES) {
        assert!(met.contains_key(*witness), "the run never met {witness}: {met:#?}");
    }
}

/// Every state, every answer: a run that leaves one out has not tried it.
const WITNESSES: [&str; 21] = [
    "state running",
    "state external_draining",
    "state shutdown_draining",
    "state stopped",
    "drained",
    "Held",
    "Pending",
    "Committed",
    "Ended(Withdrawn)",
    "Ended(Expired)",
    "Ended(Overridden)",
    "Ignored(OtherEpoch)",
    "Refused(NotYours)",
    "Refused(NotHeld)",
    "Refused(LeaseExpired)",
    "Refused(Committed)",
    "Refused(NotDrained)",
    "Refused(NotClosedYet)",
    "Refused(OtherIncarnation)",
    "Refused(OtherGeneration)",
    "Refused(ShuttingDown)",
];
