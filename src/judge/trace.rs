//! The checker: could a correct gateway have written this trace?
//!
//! It reads line by line and keeps nothing but where each process stands, so a trace may be as long as it likes and may
//! still be growing. Several processes are told apart by their incarnation and put in order by what each says came
//! before it, never by a clock. The replay of one process is in `process.rs`; `docs/trace.md` says what is judged, which
//! unseen steps are allowed, and what a trace can't show.

mod process;

use crate::control::Epoch;
use crate::hold::Incarnation;
use crate::properties::PropertyId;
use crate::trace::MAX_LINE;
use crate::trace::line::{FORMAT, Line, LineEvent, Order};
use core::fmt;
use process::{Breach, Committed, Process};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;

/// No more processes than this are remembered: 256. The one that was silent for longest is forgotten first.
pub const MAX_PROCESSES: usize = 256;

/// No more notes than this are kept.
const MAX_NOTES: usize = 20;

/// What the checker makes of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A correct gateway could have written it.
    Conforms,
    /// No correct gateway could have written this line there.
    Violates(Violation),
    /// It is no trace, or not a whole one.
    Unreadable {
        /// Where.
        at: Location,
        /// Why.
        why: String,
    },
}

/// A line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Location {
    /// Of which file, as it was named; `-` for standard input.
    pub file: String,
    /// Which line, from 1; 0 for the file as a whole.
    pub line: u64,
}

/// The first line that no correct gateway could have written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Where it is.
    pub at: Location,
    /// What it breaks.
    pub property: PropertyId,
    /// How.
    pub what: String,
    /// What was possible there.
    pub possible: Vec<String>,
    /// The line itself.
    pub line: String,
}

/// A verdict, and what it rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The verdict.
    pub verdict: Verdict,
    /// How many lines were read.
    pub lines: u64,
    /// How many processes wrote them.
    pub processes: u64,
    /// What could not be judged, if anything.
    pub notes: Vec<String>,
}

/// Checks traces line by line.
///
/// ```
/// use gateway_drain::{Controller, trace::{Trace, check::{Checker, Verdict}}};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("trace.jsonl");
/// let controller = Controller::new();
/// let trace = Trace::append(&path)?;
/// trace.attach(&controller);
/// let _ = controller.force_stop();
/// trace.flush(std::time::Duration::from_secs(10))?;
///
/// let report = gateway_drain::trace::check::check_files(&[path]);
/// assert_eq!(report.verdict, Verdict::Conforms);
/// assert_eq!((report.lines, report.processes), (3, 1)); // start, begin_shutdown, stop
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Checker {
    processes: HashMap<Incarnation, Known>,
    lines: u64,
    started: u64,
    notes: Vec<String>,
    notes_left_out: u64,
    first_source: String,
}

#[derive(Debug)]
struct Known {
    process: Process,
    last_line: u64,
}

/// Why a line was turned away.
enum Fault {
    Breach(Breach, Vec<String>),
    Unreadable(String),
}

impl Checker {
    /// One that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn knows(&self, incarnation: &Incarnation) -> bool {
        self.processes.contains_key(incarnation)
    }

    fn take(&mut self, line: &Line) -> Result<(), Fault> {
        self.lines += 1;
        if let Some(known) = self.processes.get_mut(&line.incarnation) {
            let expected = known.process.expects();
            if line.sequence != expected {
                return Err(Fault::Unreadable(out_of_sequence(expected, line.sequence)));
            }
            known.last_line = self.lines;
            return known.process.take(line).map_err(|found| Fault::Breach(found, known.process.possible()));
        }
        if line.event != LineEvent::Start {
            let why = format!("the trace of process {} doesn't begin with a start line", line.incarnation);
            return Err(Fault::Unreadable(why));
        }
        if line.sequence != 0 {
            return Err(Fault::Unreadable(out_of_sequence(0, line.sequence)));
        }
        if line.format != Some(FORMAT) {
            return Err(Fault::Unreadable(format!("this is format {:?}; only {FORMAT} is known", line.format)));
        }
        let process = Process::start(line).map_err(|found| Fault::Breach(found, at_the_start()))?;
        self.succeed(line, &process.epoch)?;
        self.started += 1;
        if line.order == Some(Order::Loose) {
            let what = "the order of its lines is loose, and only what each says by itself is judged";
            self.note(format!("process {}: {what}", line.incarnation));
        }
        self.forget_the_oldest();
        self.processes.insert(line.incarnation.clone(), Known { process, last_line: self.lines });
        Ok(())
    }

    /// What the process before left, the one that starts has to have: a commit outlives a restart (E1).
    fn succeed(&mut self, line: &Line, epoch: &Epoch) -> Result<(), Fault> {
        let Some(after) = &line.after else {
            self.note_unjudged(line, epoch);
            return Ok(());
        };
        let Some(before) = self.processes.get(after) else {
            self.note(format!("process {} ran after {after}, of which there is no trace", line.incarnation));
            return Ok(());
        };
        if before.process.epoch.differs_from(epoch) {
            return Ok(());
        }
        let has = |(id, owner): &Committed| {
            line.holds.iter().flatten().any(|hold| hold.committed && hold.request == *id && hold.owner == *owner)
        };
        match before.process.left_commits().iter().find(|hold| !has(hold)) {
            None => Ok(()),
            Some((id, owner)) => {
                let what =
                    format!("{id} of {owner:?} was committed, and the process that starts after doesn't hold it");
                Err(Fault::Breach(Breach { property: PropertyId::E1, what }, before.process.possible()))
            }
        }
    }

    /// A process that doesn't say what ran before it may have lost a commit, or may be of another home.
    fn note_unjudged(&mut self, line: &Line, epoch: &Epoch) {
        let mut notes = Vec::new();
        for (name, known) in &self.processes {
            let left_commits = known.process.left_commits();
            if let Some((commit, _)) = left_commits.first().filter(|_| !known.process.epoch.differs_from(epoch)) {
                notes.push(format!(
                    "process {} doesn't say what ran before it: if it was {name}, with the commit of {commit}, whether \
                     that was lost is not judged",
                    line.incarnation
                ));
            }
        }
        for note in notes {
            self.note(note);
        }
    }

    /// However many processes there are, a few notes say enough.
    fn note(&mut self, note: String) {
        if self.notes.len() < MAX_NOTES {
            self.notes.push(note);
        } else {
            self.notes_left_out += 1;
        }
    }

    fn forget_the_oldest(&mut self) {
        if self.processes.len() < MAX_PROCESSES {
            return;
        }
        let oldest = self.processes.iter().min_by_key(|(_, known)| known.last_line).map(|(name, _)| name.clone());
        if let Some(oldest) = oldest {
            self.processes.remove(&oldest);
        }
    }
}

fn out_of_sequence(expected: u64, found: u64) -> String {
    match found.checked_sub(expected) {
        Some(missing) => format!("{missing} line(s) are missing before it: its sequence is {found}, not {expected}"),
        None => format!("it is out of order, or there twice: its sequence is {found}, not {expected}"),
    }
}

fn at_the_start() -> Vec<String> {
    vec![
        "a start that is open under no hold, or closed under one that closes it; under a committed one, with nothing \
          in flight"
            .into(),
    ]
}

/// One file, and the line that it has come to.
struct Source {
    name: String,
    reader: Box<dyn BufRead>,
    line: u64,
    bytes: Vec<u8>,
    head: Option<Line>,
    ended: bool,
}

impl Source {
    fn open(path: &PathBuf) -> io::Result<Self> {
        let reader: Box<dyn BufRead> = match path.to_str() {
            Some("-") => Box::new(io::stdin().lock()),
            _ => Box::new(BufReader::with_capacity(1 << 18, File::open(path)?)),
        };
        Ok(Self::new(path.display().to_string(), reader))
    }

    fn new(name: String, reader: Box<dyn BufRead>) -> Self {
        Self { name, reader, line: 0, bytes: Vec::new(), head: None, ended: false }
    }

    fn location(&self) -> Location {
        Location { file: self.name.clone(), line: self.line }
    }

    /// Reads the next line, unless the last one has not been taken yet.
    fn look(&mut self, notes: &mut Vec<String>) -> Result<Option<&Line>, String> {
        while self.head.is_none() && !self.ended {
            self.bytes.clear();
            let mut bounded = self.reader.by_ref().take(MAX_LINE);
            let read = bounded.read_until(b'\n', &mut self.bytes).map_err(|error| error.to_string())?;
            if read == 0 {
                self.ended = true;
                return Ok(None);
            }
            self.line += 1;
            let whole = self.bytes.pop_if(|last| *last == b'\n').is_some();
            if !whole && read as u64 == MAX_LINE {
                return Err(format!("it is longer than {MAX_LINE} bytes"));
            }
            self.ended = !whole;
            if self.line == 1 && self.bytes.starts_with(b"\xef\xbb\xbf") {
                self.bytes.drain(..3);
            }
            if self.bytes.trim_ascii().is_empty() {
                continue;
            }
            let line: Line = match serde_json::from_slice(&self.bytes) {
                Ok(line) => line,
                Err(error) if !whole && error.is_eof() => {
                    // A crash, or a writer that is not done: nothing can be said of what isn't there yet.
                    notes.push(format!("the last line of {} is not whole, and was left out", self.name));
                    return Ok(None);
                }
                Err(error) => return Err(format!("it is no line of a trace: {error}")),
            };
            if let Some(field) = line.misfit() {
                let needs = line.event.needs().contains(&field);
                let which = if needs { "lacks" } else { "can't have" };
                return Err(format!("a {} line {which} the field {field:?}", json!(line.event)));
            }
            self.head = Some(line);
        }
        Ok(self.head.as_ref())
    }
}

/// Checks files, each with the trace of one or more processes; `-` is standard input.
///
/// A process that says which one it came after waits until that one's file has been read, in whatever order they are
/// given. Of a file that is still being written, what is there is checked; of a pipe, everything until it is closed.
#[must_use]
pub fn check_files(paths: &[PathBuf]) -> Report {
    let mut sources = Vec::new();
    for path in paths {
        match Source::open(path) {
            Ok(source) => sources.push(source),
            Err(error) => {
                let at = Location { file: path.display().to_string(), line: 0 };
                return Checker::new().report(Verdict::Unreadable { at, why: error.to_string() });
            }
        }
    }
    check_sources(sources)
}

/// Checks one trace, from wherever it comes. `name` is what the report calls it.
#[must_use]
pub fn check_reader(name: &str, reader: impl Read + 'static) -> Report {
    check_sources(vec![Source::new(name.into(), Box::new(BufReader::new(reader)))])
}

fn check_sources(mut sources: Vec<Source>) -> Report {
    let mut checker = Checker::new();
    checker.first_source = sources.first().map(|source| source.name.clone()).unwrap_or_default();
    loop {
        let mut progress = false;
        for source in &mut sources {
            match run(&mut checker, source) {
                Ok(moved) => progress |= moved,
                Err(verdict) => return checker.report(verdict),
            }
        }
        if sources.iter().all(|source| source.head.is_none()) {
            return checker.report(Verdict::Conforms);
        }
        if !progress {
            // Each waits for a process of which there is no trace: the first one goes ahead without.
            let waiting = sources.iter_mut().find(|source| source.head.is_some());
            if let Some(Err(verdict)) = waiting.map(|source| step(&mut checker, source)) {
                return checker.report(verdict);
            }
        }
    }
}

/// Takes lines from a source until it ends, or comes to a process that is to come after one that wasn't seen yet.
fn run(checker: &mut Checker, source: &mut Source) -> Result<bool, Verdict> {
    let mut progress = false;
    loop {
        let mut notes = Vec::new();
        let waits = match source.look(&mut notes) {
            Ok(None) => {
                checker.notes.append(&mut notes);
                return Ok(progress);
            }
            Ok(Some(line)) => line.after.as_ref().is_some_and(|before| !checker.knows(before)),
            Err(why) => return Err(Verdict::Unreadable { at: source.location(), why }),
        };
        if waits {
            return Ok(progress);
        }
        step(checker, source)?;
        progress = true;
    }
}

fn step(checker: &mut Checker, source: &mut Source) -> Result<(), Verdict> {
    let Some(line) = source.head.take() else { return Ok(()) };
    checker.take(&line).map_err(|fault| match fault {
        Fault::Unreadable(why) => Verdict::Unreadable { at: source.location(), why },
        Fault::Breach(Breach { property, what }, possible) => Verdict::Violates(Violation {
            at: source.location(),
            property,
            what,
            possible,
            line: String::from_utf8_lossy(&source.bytes).into_owned(),
        }),
    })
}

impl Checker {
    fn report(mut self, verdict: Verdict) -> Report {
        if self.notes_left_out > 0 {
            self.notes.push(format!("{} more notes like these are left out", self.notes_left_out));
        }
        // What nobody wrote, nobody wrote rightly.
        let nothing = verdict == Verdict::Conforms && self.lines == 0;
        let verdict = if nothing {
            let at = Location { file: self.first_source, line: 0 };
            Verdict::Unreadable { at, why: "there is no line of a trace in it".into() }
        } else {
            verdict
        };
        Report { verdict, lines: self.lines, processes: self.started, notes: self.notes }
    }
}

impl Report {
    /// 0 it conforms, 11 it violates, 12 it is unreadable: the codes of the command line.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self.verdict {
            Verdict::Conforms => 0,
            Verdict::Violates(_) => 11,
            Verdict::Unreadable { .. } => 12,
        }
    }

    /// The report for programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut report = json!({"lines": self.lines, "processes": self.processes, "notes": self.notes});
        let (word, more) = match &self.verdict {
            Verdict::Conforms => ("conforms", json!({})),
            Verdict::Violates(found) => {
                let Violation { at, property, what, possible, line } = found;
                let property = json!({"number": property.to_string(), "sentence": property.sentence()});
                let text = json!(line);
                let more = json!({"property": property, "what": what, "possible": possible, "text": text});
                ("violates", with_location(more, at))
            }
            Verdict::Unreadable { at, why } => ("unreadable", with_location(json!({"why": why}), at)),
        };
        report["verdict"] = json!(word);
        if let (Value::Object(report), Value::Object(more)) = (&mut report, more) {
            report.extend(more);
        }
        report
    }
}

fn with_location(mut value: Value, at: &Location) -> Value {
    value["file"] = json!(at.file);
    value["line"] = json!(at.line);
    value
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.file.as_str()) {
            (0, file) => write!(f, "{file}"),
            (line, "-") => write!(f, "line {line} of standard input"),
            (line, file) => write!(f, "line {line} of {file}"),
        }
    }
}

/// The first line is one sentence that says it all.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lines, processes, .. } = self;
        match &self.verdict {
            Verdict::Conforms => {
                writeln!(f, "The trace conforms: a correct gateway could have written its {lines} line(s).")?;
                writeln!(f, "{processes} process(es).")?;
            }
            Verdict::Unreadable { at, why } => writeln!(f, "The trace can't be judged, because of {at}: {why}.")?,
            Verdict::Violates(Violation { at, property, what, possible, line }) => {
                writeln!(f, "The trace violates {property} at {at}: {what}.")?;
                writeln!(f, "{property}: {}.", property.sentence())?;
                writeln!(f, "The line: {line}")?;
                writeln!(f, "Possible there:")?;
                for possible in possible {
                    writeln!(f, "- {possible}")?;
                }
                writeln!(
                    f,
                    "No correct gateway writes this line there, if its lines are in the order that docs/trace.md tells. If \
                     they aren't, its start line has to say \"order\": \"loose\"."
                )?;
            }
        }
        for note in &self.notes {
            writeln!(f, "Note: {note}.")?;
        }
        Ok(())
    }
}
