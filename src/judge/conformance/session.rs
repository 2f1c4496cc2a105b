//! Sequences of calls on a fresh gateway, and the search for a short one that breaks a property.
//!
//! A [`Session`] makes the calls and keeps a log of them, which becomes the evidence.

use super::{Ability, Gateway, Holder, Snapshot, Waiter, can, caught, limit};
use crate::properties::PropertyId;
use crate::state::DrainState;
use crate::steps::{Moment, keeps};
use core::fmt::{self, Write as _};
use proptest::collection::vec;
use proptest::sample::select;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use std::collections::VecDeque;

/// The longest sequence that is tried. With a shutdown, two holders and work, twelve calls reach every state from every
/// other and come back to say it again.
const LENGTH: usize = 12;

/// One call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Admit,
    /// Internal work, if the gateway has an entrance for it.
    AdmitInternal,
    /// The work that was admitted first finishes, if any is in flight.
    Finish,
    Begin(Holder),
    End(Holder),
    ShutDown,
    Stop,
    ForceStop,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Admit => f.write_str("admit"),
            Self::AdmitInternal => f.write_str("admit_internal"),
            Self::Finish => f.write_str("finish"),
            Self::Begin(holder) => write!(f, "begin({})", holder.as_str()),
            Self::End(holder) => write!(f, "end({})", holder.as_str()),
            Self::ShutDown => f.write_str("shut_down"),
            Self::Stop => f.write_str("stop"),
            Self::ForceStop => f.write_str("force_stop"),
        }
    }
}

/// All calls that one holder can make of this gateway, and the work.
pub(super) fn one_holder<G: Gateway>() -> Vec<Step> {
    let mut steps = vec![Step::Admit, Step::Finish];
    if can::<G>(Ability::Drain) {
        steps.extend([Step::Begin(Holder::A), Step::End(Holder::A)]);
    }
    if can::<G>(Ability::ShutDown) {
        steps.extend([Step::ShutDown, Step::Stop]);
    }
    if can::<G>(Ability::Internal) {
        steps.push(Step::AdmitInternal);
    }
    steps
}

/// The same with a second holder, if the gateway tells one from the other.
pub(super) fn all_holders<G: Gateway>() -> Vec<Step> {
    let mut steps = one_holder::<G>();
    if can::<G>(Ability::Drain) && can::<G>(Ability::Holders) {
        steps.extend([Step::Begin(Holder::B), Step::End(Holder::B)]);
    }
    steps
}

/// The same without a shutdown, which takes in every hold.
pub(super) fn all_holders_without_shutdown<G: Gateway>() -> Vec<Step> {
    all_holders::<G>().into_iter().filter(|step| !matches!(step, Step::ShutDown | Step::Stop)).collect()
}

/// By which entrance work came in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    Turn,
    Internal,
}

/// What one call did.
pub(super) struct CallEffect {
    pub step: Step,
    pub before: Snapshot,
    pub after: Snapshot,
    /// Whether `Admit` or `AdmitInternal` admitted.
    pub admitted: bool,
}

impl CallEffect {
    /// Whether the call has kept a property that shows in a step.
    pub fn keeps(&self, property: PropertyId) -> bool {
        // A drain is over when somebody ends it, whatever the gateway tells, and when the gateway has stopped.
        let over = matches!(self.step, Step::End(_)) || self.after.state == DrainState::Stopped;
        let moment = |told: &Snapshot, drain: bool| {
            let (drain, drained, abandoned) = (drain.into(), told.drained, told.abandoned > 0);
            let of_now = Moment { state: told.state, drain, turns: told.in_flight, internal: 0, drained, abandoned };
            match property {
                // Nor does it matter then whether drained was told rightly: that is G5.
                PropertyId::G3 => Moment { state: DrainState::ExternalDraining, turns: 0, ..of_now },
                _ => of_now,
            }
        };
        keeps(property, &moment(&self.before, false), &moment(&self.after, over))
    }
}

/// A fresh gateway and what has been done with it.
pub(super) struct Session<G: Gateway> {
    // In the order in which they have to go.
    permits: VecDeque<(G::Permit, Work)>,
    pub gateway: G,
    _guard: G::Guard,
    log: Vec<String>,
}

impl<G: Gateway> Session<G> {
    pub fn new() -> Self {
        let (gateway, guard) = G::fresh();
        let log = vec![format!("fresh: {}", gateway.snapshot())];
        Self { permits: VecDeque::new(), gateway, _guard: guard, log }
    }

    /// What was admitted and has not finished, with internal work.
    pub fn outstanding(&self) -> u64 {
        self.permits.len() as u64
    }

    /// The same of turns alone.
    pub fn turns(&self) -> u64 {
        self.permits.iter().filter(|(_, work)| *work == Work::Turn).count() as u64
    }

    /// The same of internal work alone.
    pub fn internal(&self) -> u64 {
        self.outstanding() - self.turns()
    }

    /// Makes one call.
    pub fn take(&mut self, step: Step) -> CallEffect {
        let before = self.gateway.snapshot();
        let admitted = call(&self.gateway, &mut self.permits, step);
        let after = self.gateway.snapshot();
        let answer = match (step, admitted) {
            (Step::Admit | Step::AdmitInternal, true) => " (admitted)",
            (Step::Admit | Step::AdmitInternal, false) => " (refused)",
            _ => "",
        };
        self.note(format!("{step}{answer}: {after}"));
        CallEffect { step, before, after, admitted }
    }

    pub fn take_all(&mut self, steps: &[Step]) {
        for step in steps {
            self.take(*step);
        }
    }

    /// Makes the calls, and looks at each.
    pub fn walk(&mut self, steps: &[Step], mut look: impl FnMut(&mut Self, &CallEffect) -> Found) -> Found {
        for step in steps {
            let seen = self.take(*step);
            look(self, &seen)?;
        }
        Ok(())
    }

    /// Whether the gate refuses although there is room: asks it, and finishes at once.
    pub fn refuses(&mut self) -> bool {
        self.outstanding() < limit::<G>() && !self.admits()
    }

    /// What may be the matter with a refusal.
    pub fn if_full(&self) -> String {
        match self.outstanding() {
            0 => String::new(),
            left => format!(" ({left} in flight; if the gateway had room for no more, say so by Ability::Limit)"),
        }
    }

    /// Whether the gate admits: asks it, and finishes at once.
    pub fn admits(&mut self) -> bool {
        let permit = self.gateway.admit();
        let admits = permit.is_some();
        if let Some(permit) = permit {
            self.gateway.finish(permit);
        }
        self.note(format!("admit, finish ({})", if admits { "admitted" } else { "refused" }));
        admits
    }

    pub fn finish_all(&mut self) {
        while self.outstanding() > 0 {
            self.take(Step::Finish);
        }
    }

    /// Makes a waiter now, and lets `wait` have it after the calls.
    pub fn with_waiter(&mut self, steps: &[Step], wait: impl FnOnce(Waiter<'_>) -> Found) -> Found {
        let Self { permits, gateway, log, .. } = self;
        let waiter = gateway.waiter();
        for step in steps {
            call(gateway, permits, *step);
            log.push(format!("{step}: {}", gateway.snapshot()));
        }
        log.push("the waiter is asked".into());
        wait(waiter)
    }

    pub fn note(&mut self, line: impl Into<String>) {
        self.log.push(line.into());
    }

    /// `found`, as the first line of the evidence.
    fn evidence(&self, found: &str) -> String {
        let mut evidence = format!("{found}\nThe calls, and the gateway after each:");
        for (number, line) in self.log.iter().enumerate() {
            let _ = write!(evidence, "\n{number:>4}. {line}");
        }
        evidence
    }
}

/// Makes one call, and says whether it was an admission that was granted.
fn call<G: Gateway>(gateway: &G, permits: &mut VecDeque<(G::Permit, Work)>, step: Step) -> bool {
    match step {
        Step::Admit | Step::AdmitInternal => {
            let (permit, work) = match step {
                Step::Admit => (gateway.admit(), Work::Turn),
                _ => (gateway.admit_internal(), Work::Internal),
            };
            let admitted = permit.is_some();
            permits.extend(permit.map(|permit| (permit, work)));
            return admitted;
        }
        Step::Finish => {
            if let Some((permit, _)) = permits.pop_front() {
                gateway.finish(permit);
            }
        }
        Step::Begin(holder) => gateway.begin(holder),
        Step::End(holder) => gateway.end(holder),
        Step::ShutDown => gateway.shut_down(),
        Step::Stop => gateway.stop(),
        Step::ForceStop => gateway.force_stop(),
    }
    false
}

/// Nothing, or what is wrong in one sentence.
pub(super) type Found = Result<(), String>;

/// Looks for a sequence of these calls on a fresh gateway that `check` objects to, and makes it as short as it can.
pub(super) fn search<G: Gateway>(calls: Vec<Step>, check: impl Fn(&mut Session<G>, &[Step]) -> Found) -> Found {
    let config = Config { failure_persistence: None, ..Config::default() };
    // The same sequences each time: a verdict doesn't change from run to run.
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let searched = runner.run(&vec(select(calls), 0..=LENGTH), |steps| {
        script(|session| check(session, &steps)).map_err(TestCaseError::fail)
    });
    searched.map_err(|failed| match failed {
        TestError::Fail(found, _) => found.message().to_owned(),
        TestError::Abort(reason) => format!("the search was given up: {reason}."),
    })
}

/// Checks one fresh gateway.
pub(super) fn script<G: Gateway>(check: impl FnOnce(&mut Session<G>) -> Found) -> Found {
    let mut session = Session::new();
    let found = caught(|| check(&mut session));
    // A finding of more than a line has its evidence already.
    found.map_err(|found| if found.contains('\n') { found } else { session.evidence(&found) })
}
