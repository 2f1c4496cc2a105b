//! What is printed: progress and messages on stderr, results on stdout.

use super::arguments::Arguments;
use crate::client::{ExitCode, Failure, Progress, shown};
use crate::sync::{Arc, Mutex};
use indicatif::{ProgressBar, ProgressStyle};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Map, Value, json};
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// Where there is no terminal, a line is printed on every change, and this often without one.
const REPEAT: Duration = Duration::from_secs(5);

/// Silence is told of only after this.
const QUIET: Duration = Duration::from_secs(2);

/// A pipe whose reader stands still is waited for this long, over all messages; then they are dropped.
const READER_PATIENCE: Duration = Duration::from_secs(1);

/// A pipe that takes anything takes so much without waiting (`PIPE_BUF`).
const WRITTEN_AT_ONCE: usize = 4096;

/// How this run of the command line talks. Clones share the progress line.
#[derive(Clone)]
pub(super) struct Report {
    command: &'static str,
    /// Where the result goes as JSON, if it is wanted so; closed once it has been written.
    json: Option<Arc<Mutex<Option<Sink>>>>,
    /// What the result says of what is asked for, however it ends.
    about: Arc<Mutex<Map<String, Value>>>,
    /// The live line, where stderr is a terminal.
    line: Option<ProgressBar>,
    told: Arc<Mutex<Option<(String, Instant)>>>,
    /// How long a reader of messages is still waited for.
    patience: Arc<Mutex<Duration>>,
}

type Sink = Box<dyn Write + Send>;

impl Report {
    /// Opens what the result is to be written to, so that nothing is done whose result can't be told.
    pub(super) fn new(arguments: &Arguments) -> Result<Self, Failure> {
        let unusable = |what: String| move |error: io::Error| Failure::Usage(format!("{what}: {error}"));
        let json: Option<Sink> = match (&arguments.json_file, arguments.json_fd) {
            (Some(path), _) => {
                let opened = std::fs::File::create(path);
                Some(Box::new(opened.map_err(unusable(format!("--json-file {}", path.display())))?))
            }
            (None, Some(number)) => {
                let opened = std::fs::File::options().append(true).open(format!("/dev/fd/{number}"));
                Some(Box::new(opened.map_err(unusable(format!("--json-fd {number}")))?))
            }
            (None, None) if arguments.json => Some(Box::new(io::stdout())),
            (None, None) => None,
        };
        let line = io::stderr().is_terminal().then(|| {
            let line = ProgressBar::new_spinner();
            line.set_style(ProgressStyle::default_spinner());
            line
        });
        let json = json.map(|sink| Arc::new(Mutex::new(Some(sink))));
        Ok(Self {
            command: arguments.command.word(),
            json,
            about: Arc::default(),
            line,
            told: Arc::default(),
            patience: Arc::new(Mutex::new(READER_PATIENCE)),
        })
    }

    /// Tells of one look: on the live line, or as a line of its own if there is something to tell.
    pub(super) fn progress(&self, progress: &Progress) {
        // A gateway takes a tick to answer; that is not worth a line.
        if self.line.is_none() && progress.silent.is_some() && progress.waited_seconds < QUIET.as_secs_f64() {
            return;
        }
        self.waiting(gist(progress), &describe(progress));
    }

    /// Tells of what is waited for, as [`progress`](Self::progress) does; `kernel` is what makes it worth a line of its own.
    pub(super) fn waiting(&self, kernel: String, text: &str) {
        if let Some(line) = &self.line {
            line.set_message(text.to_owned());
            line.tick();
            return;
        }
        let mut told = self.told.lock();
        let due = told.as_ref().is_none_or(|(last, at)| *last != kernel || at.elapsed() >= REPEAT);
        if due {
            *told = Some((kernel, Instant::now()));
            drop(told);
            self.say(text);
        }
    }

    /// A message for people. Nobody reading it is no reason to fail, and none to wait: a hold is in hand.
    pub(super) fn say(&self, text: &str) {
        self.clear();
        let mut left = self.patience.lock();
        for part in format!("{text}\n").as_bytes().chunks(WRITTEN_AT_ONCE) {
            let began = Instant::now();
            if !takes_more(&io::stderr(), *left) {
                *left = left.saturating_sub(began.elapsed());
                return;
            }
            let _ = io::stderr().write_all(part);
        }
    }

    pub(super) fn clear(&self) {
        if let Some(line) = &self.line {
            line.finish_and_clear();
        }
    }

    /// What went as it was wanted: `plain` for a person or a shell, all of `fields` as JSON.
    pub(super) fn done(&self, plain: &str, fields: Value) -> Result<(), Failure> {
        self.result("done", ExitCode::Drained.code(), plain, fields)
    }

    /// As [`done`](Self::done), of a gateway that has been drained.
    pub(super) fn drained(&self, plain: &str, fields: Value) -> Result<(), Failure> {
        self.result(ExitCode::Drained.as_str(), ExitCode::Drained.code(), plain, fields)
    }

    /// A result that is only shown, with the code that this process will exit with. That nobody reads it to its end is no
    /// failure: the code is an answer too.
    pub(super) fn result(&self, ending: &str, code: u8, plain: &str, fields: Value) -> Result<(), Failure> {
        match self.write(ending, code, plain, fields) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written.map_err(|error| unwritten(&error)),
        }
    }

    /// A result that is the only copy of what it says: a hold's name, a commit's token, a secret. One that nobody reads is a
    /// failure.
    pub(super) fn key(&self, ending: &str, plain: &str, fields: Value) -> Result<(), Failure> {
        self.write(ending, ExitCode::Drained.code(), plain, fields).map_err(|error| unwritten(&error))
    }

    /// From now on the result says this, unless it says something else in its place.
    pub(super) fn about(&self, fields: Value) {
        if let Value::Object(fields) = fields {
            *self.about.lock() = fields;
        }
    }

    /// The result of what a signal ends here and now, unless there is one. A reader that stands still is not waited for.
    pub(super) fn interrupted(&self, code: u8) {
        let (told, heard) = std::sync::mpsc::channel();
        let report = self.clone();
        let writing = std::thread::Builder::new().spawn(move || {
            let _ = report.json.is_none() || report.write("interrupted", code, "", json!({})).is_ok();
            let _ = told.send(());
        });
        if writing.is_ok() {
            let _ = heard.recv_timeout(READER_PATIENCE);
        }
    }

    fn write(&self, ending: &str, code: u8, plain: &str, fields: Value) -> io::Result<()> {
        self.clear();
        let Some(json) = &self.json else {
            return if plain.is_empty() { Ok(()) } else { write_line(&mut io::stdout(), plain) };
        };
        let mut sink = json.lock();
        // There is one result. What failed to be written was told of, and is not tried again with what is said of that.
        let Some(mut open) = sink.take() else { return Ok(()) };
        write_line(&mut *open, &self.object(ending, code, fields))
    }

    /// A failure, and the code that this process will exit with.
    pub(super) fn failure(&self, failure: &Failure, code: u8, mut fields: Value) -> u8 {
        self.say(&format!("gateway-drain: {failure}"));
        if self.json.is_some() {
            fields["detail"] = json!(failure.to_string());
            if let Failure::Deadline { in_flight, active_work } = failure {
                fields["in_flight"] = json!(in_flight);
                fields["active_work"] = json!(active_work);
            }
            if let Err(error) = self.result(ExitCode::from(failure).as_str(), code, "", fields) {
                self.say(&format!("gateway-drain: {error}"));
            }
        }
        code
    }

    /// One schema for every command, and for both ways to a gateway.
    fn object(&self, ending: &str, code: u8, fields: Value) -> String {
        let mut object = Map::new();
        object.insert("command".into(), json!(self.command));
        object.insert("ending".into(), json!(ending));
        object.insert("exit_code".into(), json!(code));
        object.extend(self.about.lock().clone());
        if let Value::Object(fields) = fields {
            object.extend(fields);
        }
        Value::Object(object).to_string()
    }
}

/// Whether something can be written there without waiting, within this time. What can't be asked is written to.
fn takes_more(out: &impl AsFd, within: Duration) -> bool {
    let mut asked = [PollFd::new(out, PollFlags::OUT)];
    let within = Timespec::try_from(within).ok();
    poll(&mut asked, within.as_ref()) != Ok(0)
}

fn unwritten(error: &io::Error) -> Failure {
    Failure::Internal(format!("the result can't be written: {error}"))
}

/// A whole line, out of this process before it is taken for written.
fn write_line(out: &mut (impl Write + ?Sized), text: &str) -> io::Result<()> {
    out.write_all(format!("{}\n", text.trim_end_matches('\n')).as_bytes())?;
    out.flush()
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
        return format!("{}: waiting for the gateway: {}", progress.request_id, shown(why));
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
        let (kind, label) = (shown(&oldest.kind), shown(&oldest.label));
        parts.push(format!("oldest {kind} \"{label}\" for {}", time(age)));
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
    parts.extend(progress.silent.as_deref().map(shown));
    format!("{}: {}", progress.request_id, parts.join(", "))
}

/// A time for people, to the second.
pub(super) fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m{s:02}s"),
        (h, m, _) => format!("{h}h{m:02}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hold::RequestId;

    fn report() -> Report {
        let told = Arc::new(Mutex::new(None));
        Report {
            command: "run",
            json: None,
            about: Arc::default(),
            line: None,
            told,
            patience: Arc::new(Mutex::new(READER_PATIENCE)),
        }
    }

    #[test]
    fn that_nothing_is_heard_is_told_after_two_seconds_and_any_change_at_once() {
        let progress = |silent: bool, waited_seconds: f64| Progress {
            request_id: RequestId::new("upgrade").unwrap(),
            state: None,
            incarnation: None,
            generation: None,
            in_flight: 0,
            internal: 0,
            drained: false,
            stalled: false,
            pending: false,
            active_work: Vec::new(),
            lease_left_seconds: None,
            waited_seconds,
            time_left_seconds: None,
            silent: silent.then(|| "no answer".to_owned()),
        };
        for (silent, waited, is_told) in
            [(true, 0.0, false), (true, 1.999, false), (true, 2.0, true), (false, 0.0, true)]
        {
            let report = report();
            report.progress(&progress(silent, waited));
            assert_eq!(report.told.lock().is_some(), is_told, "silent: {silent}, after {waited} s");
        }
    }

    #[test]
    fn what_has_just_been_told_is_not_told_again() {
        let report = report();
        let told_at = |kernel: &str| {
            report.waiting(kernel.to_owned(), kernel);
            report.told.lock().clone().unwrap().1
        };
        let first = told_at("1 turn");
        assert_eq!(told_at("1 turn"), first);
        assert_ne!(told_at("2 turns"), first);
    }

    #[test]
    fn a_time_is_told_to_the_second_and_from_an_hour_on_to_the_minute() {
        for (seconds, expected) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m00s"),
            (61, "1m01s"),
            (3599, "59m59s"),
            (3600, "1h00m"),
            (3661, "1h01m"),
            (7384, "2h03m"),
            (90_000, "25h00m"),
        ] {
            assert_eq!(time(Duration::from_secs(seconds)), expected, "{seconds} s");
        }
        assert_eq!(time(Duration::from_millis(1999)), "1s");
    }

    #[test]
    fn a_pipe_takes_more_until_it_is_full() {
        let (reader, mut writer) = io::pipe().unwrap();
        rustix::io::ioctl_fionbio(&writer, true).unwrap();
        assert!(takes_more(&writer, Duration::ZERO), "it is empty");
        while writer.write(&[0; WRITTEN_AT_ONCE]).is_ok() {}
        assert!(!takes_more(&writer, Duration::ZERO), "it is full");
        drop(reader);
        assert!(takes_more(&writer, Duration::ZERO), "nobody reads it: the write says so at once");
    }
}
