//! Metrics through the `metrics` facade: counters as things happen, gauges when they are asked for.
//!
//! It observes the controller and relies on nothing else; the exporter is the application's. No owner, reason or request
//! id is a label: names from outside must not multiply the series.

use crate::Reconciler;
use crate::controller::{Change, Observation, View};
use crate::gate::Refusal;
use crate::hold::{Ending, HoldEvent};
use crate::state::{DrainState, Event, Step, next};
use crate::sync::Mutex;
use ::metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The metrics of one gateway.
///
/// ```
/// use gateway_drain::{Home, Reconciler, metrics::Metrics, reconciler::Options};
/// use std::sync::Arc;
///
/// let home = tempfile::tempdir()?;
/// let reconciler = Arc::new(Reconciler::start(Home::at(home.path()), Options::default())?);
/// let metrics = Metrics::observe(&reconciler);
///
/// // Before each scrape, or every few seconds:
/// metrics.record();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "the gauges stand still unless `record` is called"]
pub struct Metrics {
    reconciler: Arc<Reconciler>,
    counting: Observation,
}

/// What has to be remembered of a drain from its begin to its end.
#[derive(Default)]
struct Drain {
    since: Option<Instant>,
}

impl Metrics {
    /// Counts from now on what happens to this gateway, and describes all metrics.
    pub fn observe(reconciler: &Arc<Reconciler>) -> Self {
        describe();
        begin_at_zero();
        let drain = Arc::new(Mutex::new(Drain::default()));
        let begun = Arc::clone(&drain);
        let counting = reconciler.controller().observe_from(
            |view| {
                // A gateway that has started under a hold drains already.
                let age = view.times.began.map(|began| view.now.saturating_sub(began));
                begun.lock().since = age.and_then(|age| Instant::now().checked_sub(age));
            },
            move |change| count(change, &drain),
        );
        let metrics = Self { reconciler: Arc::clone(reconciler), counting };
        metrics.record();
        metrics
    }

    /// Sets the gauges to what is so now. Call it before each scrape.
    ///
    /// The counters run on a thread of their own; they are given a tenth of a second to count what has happened.
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    pub fn record(&self) {
        self.counting.flush(Duration::from_millis(100));
        let status = self.reconciler.snapshot();
        let drain = &status.drain;
        for state in DrainState::ALL {
            gauge!("drain_state", "state" => state.as_str()).set(if drain.state == state { 1.0 } else { 0.0 });
        }
        gauge!("drain_in_flight", "kind" => "turn").set(drain.in_flight as f64);
        gauge!("drain_in_flight", "kind" => "internal").set(drain.internal as f64);
        gauge!("drain_holds").set(drain.holds.len() as f64);
        gauge!("drain_holds_committed").set(drain.holds.iter().filter(|hold| hold.committed).count() as f64);
        gauge!("drain_holds_overdue").set(drain.holds.iter().filter(|hold| hold.overdue).count() as f64);
        gauge!("drain_drained").set(f64::from(u8::from(drain.drained)));
        gauge!("drain_stalled").set(f64::from(u8::from(drain.stalled)));
        let oldest = drain.active_work.first().map_or(0.0, |work| work.age_seconds);
        gauge!("drain_oldest_permit_age_seconds").set(oldest);
        let view = self.reconciler.view();
        let lease = view.holds.iter().filter(|hold| hold.commit.is_none()).map(|hold| hold.expires_at).min();
        gauge!("drain_began_timestamp_seconds").set(timestamp(&view, view.times.began, f64::NAN));
        gauge!("drain_last_progress_timestamp_seconds").set(timestamp(&view, view.times.last_progress, f64::NAN));
        gauge!("drain_lease_expiry_timestamp_seconds").set(timestamp(&view, lease, f64::INFINITY));
        gauge!("drain_deadline_timestamp_seconds").set(timestamp(&view, view.times.deadline, f64::INFINITY));
    }
}

/// A time since boot on the wall clock, which may have been set since.
fn timestamp(view: &View, at: Option<Duration>, without: f64) -> f64 {
    let Some(at) = at else { return without };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.as_secs_f64() + at.as_secs_f64() - view.now.as_secs_f64()
}

/// Upper bounds for the buckets of `drain_duration_seconds`, in seconds: from a drain that had nothing to wait for to one of
/// six hours. Give them to the exporter: some make a summary of a histogram without bounds, which can't be added up over
/// gateways. With `metrics-exporter-prometheus`:
/// `PrometheusBuilder::set_buckets_for_metric(Matcher::Full("drain_duration_seconds".into()), &DURATION_BUCKETS)`.
pub const DURATION_BUCKETS: [f64; 12] = [0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 120.0, 300.0, 900.0, 1800.0, 3600.0, 21_600.0];

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Set by [`Metrics::record`].
    Gauge,
    /// One value for each drain.
    Histogram,
}

/// One metric, as it is described to the exporter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// Its name, in the conventions of OpenMetrics.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

const fn metric(kind: Kind, name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind, labels, help }
}

/// All metrics.
pub const METRICS: [Metric; 19] = [
    metric(Kind::Gauge, "drain_state", &["state"], "1 for the state that the gateway is in, 0 for the others"),
    metric(Kind::Gauge, "drain_in_flight", &["kind"], "Work in flight: turns and internal work"),
    metric(Kind::Gauge, "drain_holds", &[], "Holds that keep the gate closed, or are about to"),
    metric(Kind::Gauge, "drain_holds_committed", &[], "Holds whose owner has the right to act"),
    metric(Kind::Gauge, "drain_holds_overdue", &[], "Committed holds whose act takes longer than its deadline"),
    metric(Kind::Gauge, "drain_drained", &[], "1 while the gate is closed and nothing is in flight"),
    metric(Kind::Gauge, "drain_stalled", &[], "1 while nothing that is waited for ends"),
    metric(
        Kind::Gauge,
        "drain_oldest_permit_age_seconds",
        &[],
        "Age of the oldest labelled work in flight; 0 without any",
    ),
    metric(
        Kind::Gauge,
        "drain_began_timestamp_seconds",
        &[],
        "When the gate was closed; NaN while it is open and once the gateway has stopped",
    ),
    metric(
        Kind::Gauge,
        "drain_last_progress_timestamp_seconds",
        &[],
        "When less than ever before in this drain was in flight; NaN without a drain",
    ),
    metric(
        Kind::Gauge,
        "drain_lease_expiry_timestamp_seconds",
        &[],
        "When the first lease runs out; infinite without one",
    ),
    metric(
        Kind::Gauge,
        "drain_deadline_timestamp_seconds",
        &[],
        "When a shutdown asks the work in flight to give up; infinite without a shutdown",
    ),
    metric(
        Kind::Counter,
        "drain_admissions_total",
        &["outcome"],
        "Requests that asked the gate through the tower layer",
    ),
    metric(Kind::Counter, "drain_transitions_total", &["from", "to", "cause"], "Moves of the state"),
    metric(Kind::Counter, "drain_hold_events_total", &["event"], "What happened to holds"),
    metric(Kind::Counter, "drain_interrupted_total", &[], "Shutdowns whose deadline passed with work in flight"),
    metric(Kind::Counter, "drain_forced_total", &[], "Shutdowns that were forced"),
    metric(Kind::Counter, "drain_abandoned_total", &[], "Work that a forced shutdown left in flight"),
    metric(
        Kind::Histogram,
        "drain_duration_seconds",
        &["outcome"],
        "From the closing of the gate to the end of the drain",
    ),
];

fn describe() {
    for Metric { name, kind, help, .. } in METRICS {
        let unit = if name.ends_with("_seconds") { Unit::Seconds } else { Unit::Count };
        match kind {
            Kind::Counter => describe_counter!(name, unit, help),
            Kind::Gauge => describe_gauge!(name, unit, help),
            Kind::Histogram => describe_histogram!(name, unit, help),
        }
    }
}

/// Every counter is there from the start. What appears with its first count has not risen, to a query that asks by how much it
/// did: an alert on it never fires.
fn begin_at_zero() {
    for name in ["drain_interrupted_total", "drain_forced_total", "drain_abandoned_total"] {
        counter!(name).increment(0);
    }
    for from in DrainState::ALL {
        for event in Event::ALL {
            if let Step::Moves(to) = next(from, event) {
                let (from, to) = (from.as_str(), to.as_str());
                counter!("drain_transitions_total", "from" => from, "to" => to, "cause" => cause(event)).increment(0);
            }
        }
    }
    for event in HOLD_EVENTS {
        counter!("drain_hold_events_total", "event" => word(event)).increment(0);
    }
    #[cfg(feature = "tower")]
    for outcome in ["admitted", "draining", "shutting_down", "stopped", "saturated"] {
        counter!("drain_admissions_total", "outcome" => outcome).increment(0);
    }
}

const HOLD_EVENTS: [HoldEvent; 7] = [
    HoldEvent::Begun,
    HoldEvent::Renewed,
    HoldEvent::Committed,
    HoldEvent::Ended(Ending::Withdrawn),
    HoldEvent::Ended(Ending::Expired),
    HoldEvent::Ended(Ending::Overridden),
    HoldEvent::Ended(Ending::Absorbed),
];

fn count(change: &Change, drain: &Mutex<Drain>) {
    match change {
        Change::Moved { from, event, reading } => {
            let (from, to) = (from.as_str(), reading.state.as_str());
            counter!("drain_transitions_total", "from" => from, "to" => to, "cause" => cause(*event)).increment(1);
            if reading.abandoned {
                counter!("drain_forced_total").increment(1);
                counter!("drain_abandoned_total").increment(reading.total());
            }
            let mut drain = drain.lock();
            if from == DrainState::Running.as_str() {
                drain.since = Some(Instant::now());
            }
            let outcome = match (reading.state, reading.abandoned) {
                (DrainState::Running, _) => "reopened",
                (DrainState::Stopped, false) => "stopped",
                (DrainState::Stopped, true) => "forced",
                (DrainState::ExternalDraining | DrainState::ShutdownDraining, _) => return,
            };
            let lasted = drain.since.take().map_or(Duration::ZERO, |since| since.elapsed());
            histogram!("drain_duration_seconds", "outcome" => outcome).record(lasted);
        }
        Change::Hold(change) => counter!("drain_hold_events_total", "event" => word(change.what)).increment(1),
        Change::Interrupted(_) => counter!("drain_interrupted_total").increment(1),
    }
}

const fn cause(event: Event) -> &'static str {
    match event {
        Event::BeginDrain => "begin_drain",
        Event::EndDrain => "end_drain",
        Event::BeginShutdown => "begin_shutdown",
        Event::Stop => "stop",
    }
}

const fn word(event: HoldEvent) -> &'static str {
    match event {
        HoldEvent::Begun => "begun",
        HoldEvent::Renewed => "renewed",
        HoldEvent::Committed => "committed",
        HoldEvent::Ended(Ending::Withdrawn) => "withdrawn",
        HoldEvent::Ended(Ending::Expired) => "expired",
        HoldEvent::Ended(Ending::Overridden) => "overridden",
        HoldEvent::Ended(Ending::Absorbed) => "absorbed",
        HoldEvent::Ended(Ending::Unknown) => "ended",
    }
}

/// One request that asked the gate.
#[cfg_attr(not(feature = "tower"), expect(dead_code, reason = "the tower layer counts"))]
pub(crate) fn admission(refused: Option<Refusal>) {
    // Each with its label as a constant: such a key costs no allocation.
    let counter = match refused {
        None => counter!("drain_admissions_total", "outcome" => "admitted"),
        Some(Refusal::Draining) => counter!("drain_admissions_total", "outcome" => "draining"),
        Some(Refusal::ShuttingDown) => counter!("drain_admissions_total", "outcome" => "shutting_down"),
        Some(Refusal::Stopped) => counter!("drain_admissions_total", "outcome" => "stopped"),
        Some(Refusal::Saturated) => counter!("drain_admissions_total", "outcome" => "saturated"),
    };
    counter.increment(1);
}
