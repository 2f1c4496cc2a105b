//! The targets: each stands here once, and the page says of each whether this run met it.

use crate::growth::{self, with};
use crate::guards::{BORROWED, FLOOR, Guard, Kind, LABELLED, LOOKING, OWNED, REFUSED, TRACKER, on_threads};
use crate::rest;
use crate::rounds::{Measured, Spread, number};
use crate::{serving, wish};

/// What is compared, and with what.
pub enum Measure {
    /// A cost in relation to another one.
    Ratio(String, String),
    /// What one costs more than another.
    Difference(String, String),
    /// A value as it is.
    Value(String),
}

/// How far it may go.
#[derive(Clone, Copy)]
pub enum Bound {
    AtMost(f64),
    Below(f64),
    AtLeast(f64),
}

/// One target.
pub struct Target {
    pub says: String,
    pub unit: &'static str,
    pub measure: Measure,
    pub bound: Bound,
    /// Why it was decided that it may be missed, if it was.
    pub accepted: Option<&'static str>,
}

fn target(says: &str, unit: &'static str, measure: Measure, bound: Bound) -> Target {
    Target { says: says.to_owned(), unit, measure, bound, accepted: None }
}

/// What costs a permit its distance from the floor, and from TaskTracker, where the processor charges for it.
const LOOK: &str = "the look at the word, see below";

/// What a thread that sleeps is woken by is the system's own in both.
const WAKE_UP: &str = "a tie, see below";

fn ratio(one: &str, one_threads: usize, other: &str, other_threads: usize) -> Measure {
    Measure::Ratio(on_threads(one, one_threads), on_threads(other, other_threads))
}

/// All of them.
pub fn all(guards: &[Guard]) -> Vec<Target> {
    use Bound::{AtLeast, AtMost, Below};
    let mut all = vec![
        target("a permit, to the floor", "times", ratio(BORROWED, 1, FLOOR, 1), AtMost(1.15)).accepted(LOOK),
        target("a permit, to a floor that looks at the word", "times", ratio(BORROWED, 1, LOOKING, 1), AtMost(1.15)),
        target("a permit, to TaskTracker", "times", ratio(BORROWED, 1, TRACKER, 1), AtMost(0.6)).accepted(LOOK),
        target("an owned permit, to TaskTracker", "times", ratio(OWNED, 1, TRACKER, 1), AtMost(1.2)),
    ];
    let peers = guards.iter().filter(|guard| guard.kind == Kind::Owned && !guard.lacks.is_empty());
    all.extend(peers.filter(|guard| guard.name != TRACKER).map(|guard| {
        target(&format!("an owned permit, to {}", guard.name), "times", ratio(OWNED, 1, guard.name, 1), Below(1.0))
    }));
    let waiting = Measure::Ratio(growth::WOKEN.into(), growth::TRACKER_WOKEN.into());
    let closing = |many| Measure::Ratio(with(growth::CLOSE, many), with(growth::CLOSE, 0));
    let layer = Measure::Difference(serving::LAYERED.into(), serving::BARE.into());
    let server = Measure::Ratio(serving::LAYERED_SERVER.into(), serving::SERVER.into());
    let rest = |holds| Measure::Value(with(rest::REST, holds));
    all.extend([
        target("a permit, to TaskTracker, two threads", "times", ratio(BORROWED, 2, TRACKER, 2), AtMost(0.5)),
        target("a permit on two threads, to one thread", "times", ratio(BORROWED, 2, BORROWED, 1), AtMost(1.2))
            .accepted("[decision 9](decisions/0009-one-word-or-shards.md)"),
        target("a refusal, to an admission", "times", ratio(REFUSED, 1, BORROWED, 1), AtMost(0.3)),
        target(
            "a refusal on two threads, to an admission on one",
            "times",
            ratio(REFUSED, 2, BORROWED, 1),
            AtMost(0.3),
        ),
        target("from the last release to the woken waiter, to TaskTracker", "times", waiting, AtMost(1.0))
            .accepted(WAKE_UP),
        target("closing and reopening with 1,000 in flight, to none", "times", closing(1_000), AtMost(1.1)),
        target("closing and reopening with 1,000,000 in flight, to none", "times", closing(1_000_000), AtMost(1.1)),
        target("a labelled permit, to an owned one", "times", ratio(LABELLED, 1, OWNED, 1), AtMost(5.0)),
        target("what the layer adds to a request", "ns", layer, AtMost(100.0)),
        target(
            "allocations that the layer adds to a request",
            "allocations",
            Measure::Value(ALLOCATIONS.into()),
            AtMost(1.0),
        ),
        target("throughput of hyper behind the layer, to hyper alone", "times", server, AtLeast(0.98)),
        target("`run -- true` over the files, idle gateway", "ms", Measure::Value(wish::FILES.into()), AtMost(30.0)),
        target(
            "the same, above the floor and the start of a process",
            "ms",
            Measure::Difference(wish::FILES.into(), wish::LEAST.into()),
            AtMost(15.0),
        ),
        target("`run -- true` over HTTP, idle gateway", "ms", Measure::Value(wish::HTTP.into()), AtMost(30.0)),
        target(wish::TOUCH, "ms", Measure::Value(wish::TOUCH.into()), AtMost(5.0)),
        target(wish::REMOVE, "ms", Measure::Value(wish::REMOVE.into()), AtMost(5.0)),
        target(wish::RELEASE, "ms", Measure::Value(wish::RELEASE.into()), AtMost(10.0)),
        target(wish::ROW, "s", Measure::Value(wish::ROW.into()), AtMost(5.0)),
        target(wish::AT_ONCE, "s", Measure::Value(wish::AT_ONCE.into()), AtMost(3.0)),
        target("the reconciler at rest", "% of a core", rest(0), AtMost(0.03))
            .accepted("the processor, see \"At rest\""),
        target("the reconciler at rest, with 1,000 holds", "% of a core", rest(1_000), AtMost(2.0)),
        target("the explorer of the model", "edges a second", Measure::Value(rest::EXPLORER.into()), AtLeast(1e6)),
    ]);
    all
}

pub const ALLOCATIONS: &str = "allocations of the layer";

impl Target {
    /// It may be missed, and why.
    fn accepted(self, why: &'static str) -> Self {
        Self { accepted: Some(why), ..self }
    }

    pub fn found(&self, measured: &Measured) -> Spread {
        match &self.measure {
            Measure::Ratio(one, other) => measured.ratio(one, other),
            Measure::Difference(one, other) => measured.difference(one, other),
            Measure::Value(name) => measured.of(name),
        }
    }

    /// By the median, in the digits that are shown.
    pub fn is_met(&self, measured: &Measured) -> bool {
        let shown = (self.found(measured).median * 100.0).round() / 100.0;
        match self.bound {
            Bound::AtMost(bound) => shown <= bound,
            Bound::Below(bound) => shown < bound,
            Bound::AtLeast(bound) => shown >= bound,
        }
    }

    pub fn bound(&self) -> String {
        match self.bound {
            Bound::AtMost(bound) => format!("at most {}", number(bound)),
            Bound::Below(bound) => format!("below {}", number(bound)),
            Bound::AtLeast(bound) => format!("at least {}", number(bound)),
        }
    }
}
