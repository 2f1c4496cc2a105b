//! `tokio_util::task::TaskTracker` and `drain` under the suite: what they keep, and what they were never meant to keep.
//!
//! Both do well what they are for. TaskTracker knows when the tasks it was handed have ended; drain lets a process end
//! without cutting its connections off. Neither is an admission gate, and the verdicts say so property by property.

mod drain;
mod task_tracker;

use drain::Draining;
use gateway_drain::conformance::{Gateway, Verdict, report};
use gateway_drain::properties::PropertyId::{self, *};
use std::fmt::Write;
use task_tracker::Tracker;

/// What a verdict means for somebody else's crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finding {
    Kept,
    /// The suite finds it broken, and the crate never promised it.
    NotPromised,
    /// There is nothing to judge: the crate has no such thing.
    NotOffered,
}

use Finding::{Kept, NotOffered, NotPromised};

#[rustfmt::skip]
const FINDINGS: &[(PropertyId, Finding, Finding)] = &[
    //  TaskTracker  drain
    (S1, Kept,        Kept),
    (S2, Kept,        Kept),
    (S3, NotOffered,  Kept),
    (S4, NotOffered,  Kept),
    (S5, NotOffered,  Kept),
    (S6, Kept,        Kept),
    (G1, NotPromised, NotOffered),
    (G2, NotPromised, NotOffered),
    (G3, NotPromised, Kept),
    (G4, NotPromised, Kept),
    (G5, Kept,        Kept),
    (G6, Kept,        NotOffered),
    (H1, NotOffered,  NotOffered),
    (H2, NotOffered,  NotOffered),
    (H3, NotOffered,  NotOffered),
    (H4, NotOffered,  NotOffered),
    (H5, NotOffered,  NotOffered),
    (L1, NotOffered,  Kept),
    (L2, Kept,        NotOffered),
    (L3, NotOffered,  Kept),
    (L4, NotOffered,  NotOffered),
];

fn assert_found<G: Gateway>(of: impl Fn(&(PropertyId, Finding, Finding)) -> Finding) {
    let report = report::<G>();
    let found: Vec<_> = report
        .verdicts
        .iter()
        .map(|(id, verdict)| match verdict {
            Verdict::Kept => (*id, Kept),
            Verdict::Broken { .. } => (*id, NotPromised),
            Verdict::Skipped { .. } => (*id, NotOffered),
        })
        .collect();
    let expected: Vec<_> = FINDINGS.iter().map(|row| (row.0, of(row))).collect();
    assert_eq!(found, expected, "{report}");
}

#[test]
fn task_tracker_keeps_what_it_is_for_and_refuses_nothing() {
    assert_found::<Tracker>(|row| row.1);
}

#[test]
fn drain_keeps_what_it_is_for_and_leaves_admission_to_the_accept_loop() {
    assert_found::<Draining>(|row| row.2);
}

#[test]
fn the_document_tells_what_is_found_here() {
    let mut table = String::from("| | TaskTracker 0.7 | drain 0.2 | Property |\n|---|---|---|---|\n");
    let word = |finding: &Finding| match finding {
        Kept => "kept",
        NotPromised => "not promised",
        NotOffered => "–",
    };
    for (id, tracker, drain) in FINDINGS {
        writeln!(table, "| {id} | {} | {} | {} |", word(tracker), word(drain), id.property().sentence).unwrap();
    }
    let document = include_str!("../../../../docs/conformance.md");
    assert!(document.contains(&table), "docs/conformance.md is to contain\n{table}");
}
