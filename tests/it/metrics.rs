//! The metrics of a gateway, as an exporter gets them.

#![cfg(feature = "metrics")]

use crate::support::generated::compare_or_write;
use crate::support::own_process::in_own_process;
use gateway_drain::controller::Settings;
use gateway_drain::metrics::{Kind, METRICS, Metrics};
use gateway_drain::reconciler::Options;
use gateway_drain::{Clock, Home, Reconciler, Request, RequestId};
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

type Values = Arc<Mutex<BTreeMap<String, f64>>>;

/// No wait takes longer, however slow the machine.
const LIMIT: Duration = Duration::from_secs(60);

/// An exporter that keeps the last value of everything; of a histogram, the last one recorded and how many there were.
#[derive(Clone, Default)]
struct Kept {
    values: Values,
    recorded: Values,
    described: Arc<Mutex<BTreeSet<String>>>,
}

struct Cell {
    values: Values,
    recorded: Values,
    name: String,
}

impl Cell {
    fn change(&self, change: impl Fn(f64) -> f64) {
        let mut values = self.values.lock().unwrap();
        let value = values.entry(self.name.clone()).or_default();
        *value = change(*value);
    }
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
impl CounterFn for Cell {
    fn increment(&self, by: u64) {
        self.change(|value| value + by as f64);
    }

    fn absolute(&self, to: u64) {
        self.change(|_| to as f64);
    }
}

impl GaugeFn for Cell {
    fn increment(&self, by: f64) {
        self.change(|value| value + by);
    }

    fn decrement(&self, by: f64) {
        self.change(|value| value - by);
    }

    fn set(&self, to: f64) {
        self.change(|_| to);
    }
}

impl HistogramFn for Cell {
    fn record(&self, value: f64) {
        self.recorded.lock().unwrap().insert(self.name.clone(), value);
        self.change(|count| count + 1.0);
    }
}

impl Kept {
    fn cell(&self, key: &Key) -> Arc<Cell> {
        let mut labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        labels.sort();
        let name = format!("{}{{{}}}", key.name(), labels.join(","));
        Arc::new(Cell { values: self.values.clone(), recorded: self.recorded.clone(), name })
    }

    fn describe(&self, name: &KeyName) {
        self.described.lock().unwrap().insert(name.as_str().to_owned());
    }

    fn value(&self, name: &str) -> Option<f64> {
        self.values.lock().unwrap().get(name).copied()
    }

    /// Waits until it has been counted once: a change is told by whichever thread is telling already.
    fn counted_once(&self, name: &str) {
        let deadline = Instant::now() + LIMIT;
        while self.value(name) != Some(1.0) {
            assert!(Instant::now() < deadline, "{name} is {:?}, and not 1", self.value(name));
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }
}

/// The exporter of the whole process, since a gateway's metrics come from its own thread as well.
fn exporter() -> Kept {
    let kept = Kept::default();
    metrics::set_global_recorder(kept.clone()).expect("this process is for one test");
    kept
}

impl Recorder for Kept {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        self.describe(&name);
    }

    fn describe_gauge(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        self.describe(&name);
    }

    fn describe_histogram(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        self.describe(&name);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        self.cell(key).into()
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        self.cell(key).into()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        self.cell(key).into()
    }
}

#[test]
fn a_drain_is_counted_from_its_begin_to_its_forced_end_and_no_name_from_outside_is_a_label() {
    in_own_process(|| {
        let kept = exporter();
        let home = tempfile::tempdir().unwrap();
        let reconciler = Arc::new(Reconciler::start(Home::at(home.path()), Options::default()).unwrap());
        let metrics = Metrics::observe(&reconciler);
        assert_eq!(kept.value("drain_state{state=running}"), Some(1.0));
        let timestamp = |name: &str| kept.value(&format!("drain_{name}_timestamp_seconds{{}}")).unwrap();
        let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        let from_now = |name: &str| timestamp(name) - now();
        assert!(timestamp("began").is_nan() && timestamp("last_progress").is_nan());
        assert_eq!((timestamp("lease_expiry"), timestamp("deadline")), (f64::INFINITY, f64::INFINITY));

        let controller = reconciler.controller();
        let turn = controller.gate().admit().unwrap().into_owned().labelled("turn", "private-label");
        let id = RequestId::new("private-id").unwrap();
        controller.request(&Request::begin(id.clone(), "private-owner").reason("private-reason")).unwrap();
        metrics.record();
        assert_eq!(kept.value("drain_state{state=external_draining}"), Some(1.0));
        assert_eq!(kept.value("drain_state{state=running}"), Some(0.0));
        assert_eq!(kept.value("drain_in_flight{kind=turn}"), Some(1.0));
        assert_eq!(kept.value("drain_holds{}"), Some(1.0));
        assert!((3500.0..=3600.0).contains(&from_now("lease_expiry")), "{}", from_now("lease_expiry"));
        assert!((-60.0..=0.0).contains(&from_now("began")) && timestamp("last_progress") >= timestamp("began"));
        controller.request(&Request::withdraw(id, "private-owner")).unwrap();
        kept.counted_once("drain_hold_events_total{event=withdrawn}");
        kept.counted_once("drain_duration_seconds{outcome=reopened}");

        controller.begin_shutdown(Duration::from_secs(7200)).unwrap();
        metrics.record();
        assert!((7100.0..=7200.0).contains(&from_now("deadline")), "{}", from_now("deadline"));
        let _ = controller.force_stop();
        kept.counted_once("drain_forced_total{}");
        kept.counted_once("drain_abandoned_total{}");
        kept.counted_once("drain_transitions_total{cause=stop,from=shutdown_draining,to=stopped}");
        drop(turn);
        let values = kept.values.lock().unwrap();
        let described = kept.described.lock().unwrap();
        for name in values.keys() {
            assert!(!name.contains("private"), "{name}");
            let bare = name.split('{').next().unwrap_or_default();
            assert!(described.contains(bare), "{bare} is not described");
            let labels = METRICS.iter().find(|metric| metric.name == bare).map(|metric| metric.labels.len());
            let given = name.trim_end_matches('}').rsplit('{').next().unwrap_or_default();
            assert_eq!(
                labels,
                Some(given.split(',').filter(|label| !label.is_empty()).count()),
                "the labels of {name}"
            );
        }
    });
}

#[test]
fn a_drain_that_is_under_way_when_the_metrics_begin_is_timed_from_its_own_begin() {
    in_own_process(|| {
        let kept = exporter();
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path());
        std::fs::write(home.marker(), "").unwrap();
        let clock = Clock::manual();
        let settings = Settings { clock: clock.clone(), ..Settings::default() };
        let options = Options { settings, ..Options::default() };
        let reconciler = Arc::new(Reconciler::start(home.clone(), options).unwrap());
        clock.advance(Duration::from_secs(90));
        let _metrics = Metrics::observe(&reconciler);
        std::fs::remove_file(home.marker()).unwrap();
        reconciler.kick();
        let reopened = "drain_duration_seconds{outcome=reopened}";
        kept.counted_once(reopened);
        let lasted = kept.recorded.lock().unwrap()[reopened];
        assert!((90.0..150.0).contains(&lasted), "it lasted {lasted} s: 90 s and a moment had passed since its begin");
    });
}

#[test]
fn the_page_on_metrics_has_the_table_of_all_and_names_no_other() {
    let page = include_str!("../../docs/metrics.md");
    let (begin, end) = ("<!-- begin: metrics -->\n", "<!-- end: metrics -->");
    let (before, rest) = page.split_once(begin).unwrap();
    let (_, after) = rest.split_once(end).unwrap();
    let row = |metric: &gateway_drain::metrics::Metric| {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let labels = metric.labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
        format!("| `{}` | {kind} | {labels} | {} |\n", metric.name, metric.help)
    };
    let table: String = METRICS.iter().map(row).collect();
    let made =
        format!("{before}{begin}| Metric | Kind | Labels | What it says |\n|---|---|---|---|\n{table}{end}{after}");
    compare_or_write(Path::new(env!("CARGO_MANIFEST_DIR")), "docs/metrics.md", &made);
    let known = |word: &str| METRICS.iter().any(|metric| word == metric.name);
    let words = page.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let unknown: Vec<&str> = words.filter(|word| word.starts_with("drain_") && !known(word)).collect();
    assert!(unknown.is_empty(), "the page names metrics that aren't there: {unknown:?}");
}

#[test]
fn every_counter_is_there_from_the_start_so_that_its_first_count_is_a_rise() {
    in_own_process(|| {
        let kept = exporter();
        let home = tempfile::tempdir().unwrap();
        let reconciler = Arc::new(Reconciler::start(Home::at(home.path()), Options::default()).unwrap());
        let _metrics = Metrics::observe(&reconciler);
        let values = kept.values.lock().unwrap();
        for metric in METRICS.iter().filter(|metric| metric.kind == Kind::Counter) {
            if metric.name == "drain_admissions_total" && cfg!(not(feature = "tower")) {
                continue;
            }
            let series: Vec<_> =
                values.iter().filter(|(name, _)| name.starts_with(&format!("{}{{", metric.name))).collect();
            assert!(!series.is_empty(), "{} appears with its first count", metric.name);
            assert!(series.iter().all(|(_, value)| **value == 0.0), "{series:?}");
        }
        for moved in
            ["cause=begin_drain,from=running,to=external_draining", "cause=stop,from=shutdown_draining,to=stopped"]
        {
            assert!(values.contains_key(&format!("drain_transitions_total{{{moved}}}")), "{values:?}");
        }
    });
}

#[test]
fn the_alerts_of_the_page_are_those_that_promtool_tries() {
    let page = include_str!("../../docs/metrics.md");
    let rules = include_str!("../../examples/metrics/alerts.yml");
    let alerts = page.split_once("| Alert |").unwrap().1.lines().skip(2).take_while(|line| line.starts_with('|'));
    let expressions: Vec<_> = alerts.map(|line| line.split('`').nth(1).unwrap()).collect();
    assert_eq!(expressions.len(), rules.matches("- alert:").count());
    for expression in expressions {
        assert!(rules.contains(&format!("expr: {expression}\n")), "alerts.yml lacks {expression}");
    }
}

#[cfg(feature = "tower")]
#[test]
fn the_tower_layer_counts_who_asked_the_gate_and_what_came_of_it() {
    use gateway_drain::Controller;
    use gateway_drain::layer::DrainLayer;
    use tower_layer::Layer;
    use tower_service::Service;

    #[derive(Clone)]
    struct Done;

    impl Service<axum::http::Request<String>> for Done {
        type Response = axum::http::Response<axum::body::Body>;
        type Error = std::convert::Infallible;
        type Future = std::future::Ready<Result<Self::Response, Self::Error>>;

        fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
            std::task::Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: axum::http::Request<String>) -> Self::Future {
            std::future::ready(Ok(axum::http::Response::default()))
        }
    }

    let kept = Kept::default();
    metrics::with_local_recorder(&kept, || {
        let controller = Controller::new();
        let mut service = DrainLayer::new(controller.gate().clone()).layer(Done);
        drop(service.call(axum::http::Request::new(String::new())));
        controller.request(&Request::begin(RequestId::new("upgrade").unwrap(), "ops")).unwrap();
        drop(service.call(axum::http::Request::new(String::new())));
        drop(service.call(axum::http::Request::new(String::new())));
    });
    assert_eq!(kept.value("drain_admissions_total{outcome=admitted}"), Some(1.0));
    assert_eq!(kept.value("drain_admissions_total{outcome=draining}"), Some(2.0));
}
