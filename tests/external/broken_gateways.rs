//! Gateways that are broken on purpose: each is caught by the property that its flaw breaks, and by no other than follow
//! from that flaw.
//!
//! The gateway without a flaw keeps them all, so what is caught is the flaw.

#![cfg(feature = "conformance")]

use crate::support::broken_gateway::{Faulty, Flaw};
use gateway_drain::conformance::{self, Report, Verdict, report};
use gateway_drain::properties::PROPERTIES;
use gateway_drain::properties::PropertyId::{self, *};

/// A test for each flaw: the property that it was made to break, then those that fall with it.
macro_rules! flaws {
    ($($name:ident: $flaw:ident breaks $made_for:ident $(, and $also:ident)*;)*) => {
        /// Every flaw, with the property that it was made to break.
        const FLAWS: &[(Flaw, PropertyId)] = &[$((Flaw::$flaw, $made_for)),*];

        $(#[test]
        fn $name() {
            let mut expected = vec![$made_for $(, $also)*];
            expected.sort();
            assert_broken(&report::<Faulty<{ Flaw::$flaw as u8 }>>(), &expected);
        })*
    };
}

flaws! {
    stopping_without_a_shutdown_is_caught: StopsWithoutShutdown breaks S1, and H1;
    counting_how_often_the_same_holder_begins_is_caught: CountsBegins breaks S2, and H1, and L2;
    an_end_that_reopens_a_shutdown_is_caught: EndReopensAShutdown breaks S3, and S1, and H1;
    a_begin_that_revives_a_stopped_gateway_is_caught: BeginRevivesStopped breaks S4, and S1, and H1;
    a_stop_with_work_left_unreported_is_caught: StopsWithWorkUnreported breaks S5, and G5, and G6;
    a_forced_stop_that_forgets_what_it_abandoned_is_caught: ForcedStopForgets breaks S5, and G6;
    a_status_written_by_the_last_writer_is_caught: StatusByLastWriter breaks S6;
    admitting_while_shutting_down_is_caught: AdmitsWhileShuttingDown breaks G1, and G2, and G3, and H1;
    incrementing_and_then_undoing_is_caught: IncrementsThenUndoes breaks G2, and G3;
    a_flag_and_a_count_apart_are_caught: FlagAndCountApart breaks G2, and G3;
    a_second_holder_that_undoes_drained_is_caught: SecondHolderUndoesDrained breaks G3;
    a_waiter_without_a_generation_is_caught: WaiterWithoutGeneration breaks G4;
    a_lost_wake_up_is_caught: LosesWakeUp breaks G4;
    telling_drained_before_the_last_turn_ends_is_caught: DrainedOneEarly breaks G5;
    a_count_that_wraps_is_caught: CountWraps breaks G6;
    a_second_hold_that_is_lost_is_caught: SecondHoldIsLost breaks H1, and H2;
    a_cancel_that_frees_all_is_caught: CancelFreesAll breaks H2, and H1, and H4;
    a_lease_that_never_ends_is_caught: LeaseNeverEnds breaks H3;
    a_commit_that_ends_with_the_lease_is_caught: CommitEndsWithTheLease breaks H4;
    a_lease_by_the_wall_clock_is_caught: LeaseByWallClock breaks H5;
    a_shutdown_that_found_work_and_never_ends_is_caught: ShutdownWithWorkNeverEnds breaks L1;
    a_last_hold_that_lingers_is_caught: LastHoldLingers breaks L2, and H1;
    refusing_to_shut_down_while_held_is_caught: NoShutdownWhileHeld breaks L3, and L1, and H1;
    a_shutdown_without_a_limit_is_caught: NoLimitToAShutdown breaks L4;
}

/// Sequences of calls find just these; what threads find besides is the same flaw seen in a race.
fn assert_broken(report: &Report, expected: &[PropertyId]) {
    let by_threads = |evidence: &str| {
        ["On two threads", "On one gateway under", "On real threads"].iter().any(|how| evidence.contains(how))
    };
    for (id, verdict) in &report.verdicts {
        match verdict {
            Verdict::Broken { evidence } => {
                assert!(expected.contains(id) || !expected.is_empty() && by_threads(evidence), "{id}: {report}");
            }
            _ => assert!(!expected.contains(id), "{id} is not found broken: {report}"),
        }
    }
    assert_eq!(report.skipped(), [], "{report}");
    for (id, verdict) in &report.verdicts {
        let Verdict::Broken { evidence } = verdict else { continue };
        let first = evidence.lines().next().unwrap_or_default();
        assert!(first.starts_with(&format!("{id} is broken: ")) && first.ends_with('.'), "one sentence: {first}");
        assert!(evidence.lines().count() > 1, "and how it was found: {evidence}");
    }
}

#[test]
fn the_gateway_without_a_flaw_keeps_every_property_and_skips_none() {
    assert_broken(&report::<Faulty<{ Flaw::None as u8 }>>(), &[]);
}

#[test]
fn every_property_of_the_suite_has_a_gateway_that_was_made_to_break_it() {
    for property in PROPERTIES.iter().filter(|p| p.shows_in_calls()) {
        assert!(FLAWS.iter().any(|(_, made_for)| *made_for == property.id), "no flaw was made to break {property}");
    }
}

#[test]
fn what_is_found_is_told_by_the_shortest_way_to_it_and_the_document_shows_just_that() {
    let verdict = conformance::s6_the_status_shows_running_only_if_the_gate_admits::<
        Faulty<{ Flaw::StatusByLastWriter as u8 }>,
    >();
    let Verdict::Broken { evidence } = verdict else { panic!("S6 is broken") };
    let expected = "\
S6 is broken: after end(b) the status shows running, and the gate refuses.
The calls, and the gateway after each:
   0. fresh: running, 0 in flight
   1. begin(a): external_draining, 0 in flight, drained
   2. end(b): running, 0 in flight, drained
   3. admit, finish (refused)";
    assert_eq!(evidence, expected);
    assert!(include_str!("../../docs/conformance.md").contains(expected), "docs/conformance.md shows this verdict");
}

#[test]
fn a_panic_of_the_gateway_is_evidence_like_any_other() {
    let verdict = conformance::s1_only_the_tables_transitions_exist::<Faulty<{ Flaw::PanicsWhenFull as u8 }>>();
    let Verdict::Broken { evidence } = verdict else { panic!("S1 is searched with four in flight") };
    assert!(evidence.starts_with("S1 is broken: a call panicked: no room for a fourth.\n"), "{evidence}");
    let calls = evidence.lines().filter(|line| line.contains("admit (admitted)")).count();
    assert_eq!(calls, 3, "the fourth panicked: {evidence}");
}
