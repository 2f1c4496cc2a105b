//! What is printed: progress and messages on stderr, results on stdout.

use crate::client::{ExitCode, Failure, Progress};
use crate::sync::{Arc, Mutex};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Where there is no terminal, a line is printed on every change, and this often without one.
const REPEAT: Duration = Duration::from_secs(5);

/// Silence is told of only after this.
const QUIET: Duration = Duration::from_secs(2);

/// How this run of the command line talks. Clones share the progress line.
#[derive(Clone)]
pub(super) struct Report {
    json: bool,
    /// The live line, where stderr is a terminal.
    line: Option<ProgressBar>,
    told: Arc<Mutex<Option<(String, Instant)>>>,
}

impl Report {
    pub(super) fn new(json: bool) -> Self {
        let line = std::io::stderr().is_terminal().then(|| {
            let line = ProgressBar::new_spinner();
            line.set_style(ProgressStyle::default_spinner());
            line
        });
        Self { json, line, told: Arc::default() }
    }

    /// Tells of one look: on the live line, or as a line of its own if there is something to tell.
    pub(super) fn progress(&self, progress: &Progress) {
        if let Some(line) = &self.line {
            line.set_message(describe(progress));
            line.tick();
            return;
        }
        // A gateway takes a tick to answer; that is not worth a line.
        if progress.silent.is_some() && progress.waited_seconds < QUIET.as_secs_f64() {
            return;
        }
        let kernel = gist(progress);
        let mut told = self.told.lock();
        let due = told.as_ref().is_none_or(|(last, at)| *last != kernel || at.elapsed() >= REPEAT);
        if due {
            *told = Some((kernel, Instant::now()));
            drop(told);
            self.say(&describe(progress));
        }
    }

    /// A message for people. Nobody reading it is no reason to fail.
    pub(super) fn say(&self, text: &str) {
        self.clear();
        let _ = writeln!(std::io::stderr(), "{text}");
    }

    pub(super) fn clear(&self) {
        if let Some(line) = &self.line {
            line.finish_and_clear();
        }
    }

    /// A result: `plain` for a person or a shell, all of `fields` as JSON.
    pub(super) fn result(&self, plain: &str, fields: Value) {
        self.clear();
        if self.json {
            Self::object(ExitCode::Drained, fields);
        } else if !plain.is_empty() {
            print(plain);
        }
    }

    /// A failure, and its exit code.
    pub(super) fn failure(&self, failure: &Failure) -> ExitCode {
        self.failure_with(failure, json!({}))
    }

    pub(super) fn failure_with(&self, failure: &Failure, mut fields: Value) -> ExitCode {
        let code = ExitCode::from(failure);
        self.say(&format!("gateway-drain: {failure}"));
        if self.json {
            fields["detail"] = json!(failure.to_string());
            if let Failure::Deadline { in_flight, active_work } = failure {
                fields["in_flight"] = json!(in_flight);
                fields["active_work"] = json!(active_work);
            }
            Self::object(code, fields);
        }
        code
    }

    fn object(code: ExitCode, fields: Value) {
        let mut object = Map::new();
        object.insert("ending".into(), json!(code.as_str()));
        object.insert("exit_code".into(), json!(code.code()));
        if let Value::Object(fields) = fields {
            object.extend(fields);
        }
        print(&Value::Object(object).to_string());
    }
}

/// A line on stdout. Whoever closed the pipe has seen enough.
pub(super) fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// What makes one look differ from the one before: everything but how the times run.
fn gist(progress: &Progress) -> String {
    let oldest = progress.active_work.first().map(|work| (&work.kind, &work.label));
    let timed = progress.time_left_seconds.is_some();
    let Progress { state, in_flight, internal, drained, stalled, pending, silent, .. } = progress;
    format!("{state:?} {in_flight} {internal} {drained} {stalled} {pending} {silent:?} {oldest:?} {timed}")
}

/// One look in words.
pub(super) fn describe(progress: &Progress) -> String {
    let Some(state) = progress.state else {
        let why = progress.silent.as_deref().unwrap_or("it has not been seen yet");
        return format!("{}: waiting for the gateway: {why}", progress.request_id);
    };
    let mut parts = vec![format!("{state}, {} in flight", progress.in_flight + progress.internal)];
    if progress.drained {
        parts.push("drained".into());
    }
    if progress.pending {
        parts.push("about to close".into());
    }
    if let Some(oldest) = progress.active_work.first() {
        let age = Duration::try_from_secs_f64(oldest.age_seconds).unwrap_or_default();
        parts.push(format!("oldest {} {:?} for {}", oldest.kind, oldest.label, time(age)));
    }
    if progress.stalled {
        parts.push("stalled".into());
    }
    let mut left = |what: &str, seconds: Option<f64>| {
        if let Some(time_left) = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) {
            parts.push(format!("{what} {}", time(time_left)));
        }
    };
    left("lease left", progress.lease_left_seconds);
    left("deadline in", progress.time_left_seconds);
    parts.extend(progress.silent.clone());
    format!("{}: {}", progress.request_id, parts.join(", "))
}

/// A time for people, to the second.
fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m{s:02}s"),
        (h, m, _) => format!("{h}h{m:02}m"),
    }
}
