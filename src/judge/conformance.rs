//! A suite that tells the author of any gateway in Rust which properties it keeps.
//!
//! Implement [`Gateway`] for a small adapter, and call [`conformance!`](crate::conformance!): each property becomes a
//! test of its own, named by its number and sentence. `docs/conformance.md` walks through it with a whole gateway.
//!
//! Each property is also a plain function here that gives a [`Verdict`]; [`report`] runs them all. Sequential properties
//! are searched by proptest, which shrinks what it finds; it draws the same sequences each time. Concurrent ones run on real
//! threads, in a bounded number of rounds, and under loom in a build for it (see `loom`). `PROPTEST_CASES` sets how many sequences (256 unless told), and the rounds grow
//! in proportion. A verdict of kept therefore means "not found broken within these bounds", and each function says what
//! else it does not show.
//!
//! It relies on the [table](crate::state::TABLE) and the list of [properties](crate::properties), and on nothing of the
//! gate or the holds: the crate's own gateway is judged by it like any other.

mod adapter;
#[cfg(not(all(loom, feature = "loom")))]
mod gate;
mod holds;
#[cfg(any(test, all(loom, feature = "loom")))]
mod interleavings;
mod liveness;
#[cfg(all(loom, feature = "loom"))]
pub mod loom;
#[cfg_attr(all(loom, feature = "loom"), allow(dead_code, reason = "some of it is for races on real threads"))]
mod pairs;
#[cfg_attr(all(loom, feature = "loom"), allow(dead_code, reason = "races on real threads"))]
mod race;
#[cfg_attr(all(loom, feature = "loom"), allow(dead_code, reason = "some of it is for races on real threads"))]
mod session;
mod state;
#[cfg_attr(all(loom, feature = "loom"), allow(dead_code, reason = "some of it is for races on real threads"))]
mod stress;
#[cfg_attr(all(loom, feature = "loom"), allow(dead_code, reason = "a model checker finds what hangs itself"))]
mod watch;
#[cfg_attr(all(loom, feature = "loom"), allow(dead_code, reason = "races on real threads"))]
mod windows;

pub use adapter::{Ability, Gateway, Holder, Snapshot, Waited, Waiter};
use adapter::{can, lease, limit, shutdown_limit};
#[cfg(not(all(loom, feature = "loom")))]
pub use gate::*;
pub use holds::*;
pub use liveness::*;
#[cfg(all(loom, feature = "loom"))]
pub use loom::*;
pub use state::*;
pub use watch::CALL_LIMIT;
use watch::{gave_up, watched};

use crate::properties::PropertyId;
use core::fmt;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// The version of the suite. It rises when a property is added or asks more than before, so that a verdict can say by
/// which suite it was reached.
pub const VERSION: u32 = 2;

/// What came of judging a gateway by one property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing against it was found.
    Kept,
    /// It does not hold.
    Broken {
        /// What is wrong, in one sentence on the first line; then the shortest way there that was found.
        evidence: String,
    },
    /// It was not run.
    Skipped {
        /// Why.
        reason: String,
    },
}

/// The verdicts of all properties of the suite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// In the order of the suite.
    pub verdicts: Vec<(PropertyId, Verdict)>,
}

impl Report {
    /// The properties that were kept.
    #[must_use]
    pub fn kept(&self) -> Vec<PropertyId> {
        self.those(|verdict| matches!(verdict, Verdict::Kept))
    }

    /// The properties that were broken.
    #[must_use]
    pub fn broken(&self) -> Vec<PropertyId> {
        self.those(|verdict| matches!(verdict, Verdict::Broken { .. }))
    }

    /// The properties that were not run.
    #[must_use]
    pub fn skipped(&self) -> Vec<PropertyId> {
        self.those(|verdict| matches!(verdict, Verdict::Skipped { .. }))
    }

    /// Whether every property was judged and none was broken. A property that was skipped wasn't kept.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.kept().len() == self.verdicts.len()
    }

    fn those(&self, are: impl Fn(&Verdict) -> bool) -> Vec<PropertyId> {
        self.verdicts.iter().filter(|(_, verdict)| are(verdict)).map(|(id, _)| *id).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (all, skipped) = (self.verdicts.len(), self.skipped().len());
        let broken = if self.broken().is_empty() {
            "none was found broken".into()
        } else {
            format!("broken: {}", listed(&self.broken()))
        };
        writeln!(
            f,
            "gateway-drain conformance suite, version {VERSION}: {} of {all} judged, {skipped} skipped; {broken}",
            all - skipped
        )?;
        for (id, verdict) in &self.verdicts {
            match verdict {
                Verdict::Kept => writeln!(f, "kept     {}", id.property())?,
                Verdict::Broken { evidence } => {
                    writeln!(f, "broken   {}", id.property())?;
                    for line in evidence.lines() {
                        writeln!(f, "           {line}")?;
                    }
                }
                Verdict::Skipped { reason } => writeln!(f, "skipped  {} ({reason})", id.property())?,
            }
        }
        Ok(())
    }
}

fn listed(ids: &[PropertyId]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Judges a gateway by every property of the suite, in half a minute. After a call that hangs it judges by no further one.
#[must_use]
pub fn report<G: Gateway>() -> Report {
    let mut hung = None;
    let judge = |check: Check| {
        if let Some(by) = hung {
            let reason = format!("a call hung while {by} was judged, and its threads are still there");
            return (check.id, Verdict::Skipped { reason });
        }
        let verdict = (check.run)();
        hung = gave_up().then_some(check.id);
        (check.id, verdict)
    };
    Report { verdicts: checks::<G>().into_iter().map(judge).collect() }
}

/// One property of the suite, for one gateway.
struct Check {
    id: PropertyId,
    #[cfg_attr(not(test), expect(dead_code, reason = "compared with the list of properties"))]
    name: &'static str,
    run: fn() -> Verdict,
}

/// What a gateway has to be able to do for a property to be judged. Times and numbers of abilities don't matter here.
const fn needs(id: PropertyId) -> &'static [Ability] {
    match id {
        PropertyId::S3 | PropertyId::S4 | PropertyId::S5 | PropertyId::L1 | PropertyId::L3 => &[Ability::ShutDown],
        PropertyId::G2 | PropertyId::G6 => &[Ability::Count],
        PropertyId::G4 => &[Ability::Wait],
        PropertyId::H1 | PropertyId::H2 => &[Ability::Drain, Ability::Holders],
        PropertyId::H3 => &[Ability::Drain, Ability::Lease(Duration::ZERO)],
        PropertyId::H4 => &[Ability::Drain, Ability::Commit],
        PropertyId::H5 => &[Ability::Drain, Ability::Lease(Duration::ZERO), Ability::WallClock],
        PropertyId::L2 => &[Ability::Drain],
        PropertyId::L4 => &[Ability::ShutDown, Ability::ShutdownLimit(Duration::ZERO)],
        _ => &[],
    }
}

fn checks<G: Gateway>() -> Vec<Check> {
    crate::conformance!(@each list G)
}

/// One `#[test]` for each property of the suite, for a type that implements
/// [`conformance::Gateway`](crate::conformance::Gateway).
///
/// A property that is skipped says so on the standard error, past the capture of the test harness, and one further test says
/// there how many were judged. `conformance!(Adapter, all)` has less than all of them fail.
///
/// ```no_run
/// use gateway_drain::conformance::{Gateway, Holder, Snapshot};
/// use gateway_drain::{Event, Gate, Lifecycle, OwnedPermit, Permit, lifecycle::AnyLifecycle};
/// use std::sync::Mutex;
///
/// struct Adapter(Mutex<AnyLifecycle>);
///
/// impl Adapter {
///     fn on(&self, event: Event) {
///         self.0.lock().unwrap().on(event);
///     }
///
///     fn gate(&self) -> Gate {
///         self.0.lock().unwrap().gate().clone()
///     }
/// }
///
/// impl Gateway for Adapter {
///     type Permit = OwnedPermit;
///     type Guard = ();
///
///     fn fresh() -> (Self, ()) {
///         (Self(Mutex::new(Lifecycle::new().into())), ())
///     }
///
///     fn admit(&self) -> Option<OwnedPermit> {
///         self.gate().admit().ok().map(Permit::into_owned)
///     }
///
///     fn snapshot(&self) -> Snapshot {
///         let now = self.gate().reading();
///         Snapshot { state: now.state, in_flight: now.in_flight, drained: now.drained, abandoned: 0 }
///     }
///
///     fn begin(&self, _: Holder) {
///         self.on(Event::BeginDrain);
///     }
///
///     fn end(&self, _: Holder) {
///         self.on(Event::EndDrain);
///     }
///
///     fn shut_down(&self) {
///         self.on(Event::BeginShutdown);
///     }
///
///     fn stop(&self) {
///         self.on(Event::Stop);
///     }
/// }
///
/// gateway_drain::conformance!(Adapter); // the tests
///
/// let report = gateway_drain::conformance::report::<Adapter>(); // or all at once
/// assert_eq!(report.broken(), [], "{report}");
/// ```
#[macro_export]
macro_rules! conformance {
    (@each $rule:tt $gateway:ty) => {
        $crate::conformance! { @$rule $gateway;
            S1 s1_only_the_tables_transitions_exist,
            S2 s2_every_event_is_idempotent,
            S3 s3_a_shutdown_wins_nothing_leads_from_it_to_running_or_to_an_external_drain,
            S4 s4_stopped_is_final,
            S5 s5_stopped_with_work_left_only_if_forced_and_then_the_number_abandoned_is_recorded,
            S6 s6_the_status_shows_running_only_if_the_gate_admits,
            G1 g1_no_admission_after_a_closing_call_has_returned,
            G2 g2_active_work_never_rises_while_draining,
            G3 g3_drained_stays_true_until_the_drain_ends,
            G4 g4_no_wake_up_is_lost_and_a_waiter_completes_only_for_its_own_generation,
            G5 g5_who_saw_drained_sees_what_finished_work_wrote_and_who_enters_next_what_was_written_meanwhile,
            G6 g6_admitted_is_finished_plus_abandoned_plus_in_flight_without_under_or_overflow,
            H1 h1_closed_if_and_only_if_a_live_hold_or_a_shutdown_exists,
            H2 h2_withdrawing_one_hold_never_frees_another,
            H3 h3_before_commit_a_dead_controllers_hold_ends_with_its_lease,
            H4 h4_after_commit_nobody_elses_act_reopens,
            H5 h5_a_clock_step_changes_no_lease,
            L1 l1_a_shutdown_ends_in_stopped,
            L2 l2_when_the_last_hold_ends_the_gateway_runs_again_unless_it_is_shutting_down,
            L3 l3_from_every_state_stopped_can_be_reached,
            L4 l4_a_stuck_turn_cant_hold_a_shutdown_past_its_deadline,
        }
    };
    (@tests $gateway:ty; $($id:ident $name:ident,)*) => {
        #[test]
        fn how_many_of_all_properties_are_judged() {
            $crate::conformance::tell_how_many_are_judged::<$gateway>();
        }

        $(#[test]
        fn $name() {
            $crate::conformance::assert_not_broken(
                $crate::properties::PropertyId::$id,
                &$crate::conformance::$name::<$gateway>(),
            );
        })*
    };
    (@list $gateway:ty; $($id:ident $name:ident,)*) => {
        vec![$(Check { id: PropertyId::$id, name: stringify!($name), run: $name::<$gateway> },)*]
    };
    ($gateway:ty) => { $crate::conformance! { @each tests $gateway } };
    ($gateway:ty, all) => {
        $crate::conformance! { @each tests $gateway }

        #[test]
        fn all_properties_are_judged() {
            $crate::conformance::assert_all_are_judged::<$gateway>();
        }
    };
}

/// What each test of [`conformance!`](crate::conformance!) makes of its verdict.
///
/// # Panics
/// With the evidence, if the property is broken; at the line of the macro's call.
#[track_caller]
pub fn assert_not_broken(id: PropertyId, verdict: &Verdict) {
    match verdict {
        Verdict::Kept => {}
        Verdict::Broken { evidence } => panic!("{evidence}"),
        // Written straight to the stream: what `eprintln!` prints is kept from sight while a test passes.
        Verdict::Skipped { reason } => {
            let _ = writeln!(std::io::stderr(), "conformance {VERSION}: skipped {}: {reason}", id.property());
        }
    }
}

/// Which properties are not judged, and why: nothing is run for this.
fn skipped<G: Gateway>() -> Vec<(PropertyId, String)> {
    checks::<G>().into_iter().filter_map(|check| Some((check.id, unjudged::<G>(check.id)?))).collect()
}

/// What the last test of [`conformance!`](crate::conformance!) does: says how many properties are judged, past the capture.
pub fn tell_how_many_are_judged<G: Gateway>() {
    let (all, skipped) = (checks::<G>().len(), skipped::<G>());
    let ids: Vec<PropertyId> = skipped.iter().map(|(id, _)| *id).collect();
    let which = if ids.is_empty() { String::new() } else { format!(": {}", listed(&ids)) };
    let judged = all - ids.len();
    // Written straight to the stream: what `eprintln!` prints is kept from sight while a test passes.
    let _ =
        writeln!(std::io::stderr(), "conformance {VERSION}: {judged} of {all} judged, {} skipped{which}", ids.len());
}

/// What `conformance!(Adapter, all)` asks for besides.
///
/// # Panics
/// If a property is skipped; at the line of the macro's call.
#[track_caller]
pub fn assert_all_are_judged<G: Gateway>() {
    let skipped = skipped::<G>();
    let told: Vec<String> = skipped.iter().map(|(id, why)| format!("{}: {why}", id.property())).collect();
    assert!(skipped.is_empty(), "{} properties are not judged:\n{}", skipped.len(), told.join("\n"));
}

/// Why a property isn't judged, if so.
fn unjudged<G: Gateway>(id: PropertyId) -> Option<String> {
    if let Some(reason) = G::skip(id) {
        return Some(reason.into());
    }
    let lacking = needs(id).iter().find(|need| !can::<G>(**need))?;
    let name = format!("{lacking:?}");
    let name = name.split('(').next().unwrap_or_default();
    Some(format!("the gateway is not said to have the ability {name}"))
}

/// Runs one property on calls and threads of the suite's own making, unless it is skipped or needs what the gateway can't
/// do. Under loom nothing can be run like this.
///
/// An error of `search` is what is wrong, in one sentence, and then how it was found.
fn judge<G: Gateway>(id: PropertyId, search: impl FnOnce() -> Result<(), String> + Send + 'static) -> Verdict {
    if cfg!(all(loom, feature = "loom")) {
        let reason = "it is judged by sequences of calls, in a build without --cfg loom";
        return Verdict::Skipped { reason: reason.into() };
    }
    judge_always::<G>(id, || watched(search))
}

/// The same under loom, too.
fn judge_always<G: Gateway>(id: PropertyId, search: impl FnOnce() -> Result<(), String>) -> Verdict {
    if let Some(reason) = unjudged::<G>(id) {
        return Verdict::Skipped { reason };
    }
    match caught(search) {
        Ok(()) => Verdict::Kept,
        Err(found) => Verdict::Broken { evidence: format!("{id} is broken: {found}") },
    }
}

/// A panic of the gateway under test is a finding like any other.
fn caught(search: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(search)).unwrap_or_else(|panic| {
        let told = panic.downcast_ref::<String>().cloned();
        let told = told.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default();
        Err(format!("a call panicked: {}.", told.lines().next().unwrap_or_default()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::DrainState;

    struct Nothing;

    impl Gateway for Nothing {
        type Permit = ();
        type Guard = ();
        fn fresh() -> (Self, ()) {
            (Self, ())
        }
        fn admit(&self) -> Option<()> {
            None
        }
        fn snapshot(&self) -> Snapshot {
            Snapshot { state: DrainState::Stopped, in_flight: 0, drained: false, abandoned: 0 }
        }
        fn begin(&self, _: Holder) {}
        fn end(&self, _: Holder) {}
        fn shut_down(&self) {}
        fn stop(&self) {}
    }

    #[test]
    fn each_test_is_named_by_its_property_s_number_and_sentence() {
        for check in checks::<Nothing>() {
            let sentence = check.id.property().to_string().to_lowercase().replace('\'', "");
            let words: Vec<&str> = sentence.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).collect();
            assert_eq!(check.name, words.join("_"));
        }
    }

    #[test]
    fn every_property_that_shows_in_calls_is_in_the_suite_once() {
        use crate::properties::PROPERTIES;
        let expected: Vec<_> = PROPERTIES.iter().filter(|p| p.shows_in_calls()).map(|p| p.id).collect();
        assert_eq!(checks::<Nothing>().iter().map(|check| check.id).collect::<Vec<_>>(), expected);
    }
}
