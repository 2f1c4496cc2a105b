//! A gateway's trace: a line of JSON for everything that happens to its gate and its holds, for others to check.
//!
//! [`Trace::attach`] has a [`Controller`] written down, and [`Options::trace`](crate::reconciler::Options::trace) a
//! whole gateway from before its first look at the files. The format is documented in `docs/trace.md` and fixed in [`mod@line`];
//! any gateway, in any language, can write it. With the feature `trace-check`, [`check`] tells whether a correct gateway
//! could have written a trace.
//!
//! Admissions don't pass here: they are a compare-and-swap, and a line for each would undo that. Every move carries the
//! counts instead, and an application that wants more logs its turns with [`Trace::follow`].

pub mod line;

#[cfg(feature = "trace-check")]
#[cfg_attr(docsrs, doc(cfg(feature = "trace-check")))]
pub use crate::judge::trace as check;

use crate::control::Epoch;
use crate::controller::{Change, Controller, View};
use crate::gate::{Gate, Generation, Reading};
use crate::hold::{HoldChange, HoldEvent, Incarnation};
use crate::state::DrainState;
use crate::status::Snapshot;
use crate::sync::{Arc, Mutex};
use crate::worker::Worker;
use core::fmt;
use line::{FORMAT, Line, LineEvent, StartHold, Work};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::ops::DerefMut;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where a gateway's trace is written. Clones write to the same place.
///
/// Lines are queued in the order of what they tell, and written whole by a thread of the trace's own. A writer that blocks,
/// fails or panics holds up nothing (L5): after an error, or with 16,384 lines waiting, the trace ends, since a line after a
/// gap would hide it, and [`error`](Self::error) says why. [`flush`](Self::flush) waits for what is queued; a
/// [`Reconciler`](crate::Reconciler) that is dropped does that for up to a second.
///
/// ```
/// use gateway_drain::{Controller, Request, RequestId, trace::Trace};
/// use std::time::Duration;
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("trace.jsonl");
/// let controller = Controller::new();
/// let trace = Trace::append(&path)?;
/// trace.attach(&controller);
///
/// controller.request(&Request::begin(RequestId::new("upgrade")?, "ops"))?;
/// trace.flush(Duration::from_secs(10))?;
/// let written = std::fs::read_to_string(&path)?;
/// let events = ["start", "hold_begun", "begin_drain"];
/// assert_eq!(written.lines().count(), 3);
/// assert!(written.lines().zip(events).all(|(line, event)| line.contains(event)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Trace {
    shared: Arc<Shared>,
}

/// So many lines may wait to be written.
const QUEUE: usize = 16_384;

struct Shared {
    /// Locked for as long as it takes to make a line and to queue it, which makes the order of the lines.
    inner: Mutex<Inner>,
    writer: Worker<Line>,
    failed: Failed,
}

/// Why nothing more is written.
type Failed = Arc<Mutex<Option<(io::ErrorKind, String)>>>;

struct Inner {
    writer: Worker<Line>,
    failed: Failed,
    /// The process that wrote here before.
    after: Option<Incarnation>,
    /// None before the first line.
    incarnation: Option<Incarnation>,
    sequence: u64,
    /// Where the lines queued so far have left the gateway.
    state: DrainState,
    generation: Generation,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.writer.close();
    }
}

impl Trace {
    /// Writes to `out`: a file, a pipe, a socket. `after` is the process that ran in the same home before, if known.
    pub fn to(out: impl Write + Send + 'static, after: Option<Incarnation>) -> Self {
        let failed = Failed::default();
        let writer = Worker::new("gateway-drain-trace", QUEUE, writing(out, Arc::clone(&failed)));
        let inner = Inner {
            writer: writer.clone(),
            failed: Arc::clone(&failed),
            after,
            incarnation: None,
            sequence: 0,
            state: DrainState::Running,
            generation: Generation(0),
        };
        Self { shared: Arc::new(Shared { inner: Mutex::new(inner), writer, failed }) }
    }

    /// Goes on with the file at `path`, or begins it, readable by its owner alone. The process that wrote its last line is the
    /// process that ran before; a line that a crash has torn is taken away.
    ///
    /// A FIFO or another pipe (`/dev/stdout`) has no earlier lines and is written from the first line on. It is opened by the
    /// trace's own thread, which waits until somebody reads it.
    ///
    /// # Errors
    /// What the file system says, or that the last line is no line of a trace.
    pub fn append(path: &Path) -> io::Result<Self> {
        match std::fs::metadata(path) {
            Ok(there) if there.file_type().is_fifo() => {
                return Ok(Self::to(Pipe { path: path.into(), open: None }, None));
            }
            Ok(there) if !there.is_file() => return Ok(Self::to(OpenOptions::new().append(true).open(path)?, None)),
            // Whatever else is wrong is said by the opening.
            _ => {}
        }
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        let (whole, last) = last_line(&mut file)?;
        let last = last.map(|line| serde_json::from_slice::<Line>(&line)).transpose();
        let last = last.map_err(|error| {
            let what = format!("{} does not end with a line of a trace: {error}", path.display());
            io::Error::new(io::ErrorKind::InvalidData, what)
        })?;
        file.set_len(whole)?;
        Ok(Self::to(file, last.map(|line| line.incarnation)))
    }

    /// Has everything that happens to this gateway written down, from this moment on. A trace is for one gateway: a second
    /// call does nothing.
    pub fn attach(&self, controller: &Controller) {
        {
            let mut inner = self.inner();
            if inner.incarnation.is_some() {
                return;
            }
            inner.incarnation = Some(controller.incarnation().clone());
        }
        let then = self.clone();
        controller.listen(|view| self.inner().start(view, controller.gate()), move |change| then.inner().tell(change));
    }

    /// Logs a piece of work: that it was admitted and, when what is returned is dropped, that it ends. Call it right after
    /// the admission.
    pub fn follow<P>(&self, gate: &Gate, work: Work, permit: P) -> Followed<P> {
        self.inner().read(LineEvent::Admit, Some(work), gate);
        Followed { trace: self.clone(), gate: gate.clone(), work, permit }
    }

    /// Logs a look at the gate.
    pub fn reading(&self, gate: &Gate) {
        self.inner().read(LineEvent::Reading, None, gate);
    }

    /// Logs a status that was published.
    pub fn status(&self, snapshot: &Snapshot) {
        let drain = &snapshot.drain;
        let reading = Reading {
            state: drain.state,
            generation: drain.generation,
            in_flight: drain.in_flight,
            internal: drain.internal,
            drained: drain.drained,
            interrupted: drain.interrupted,
            abandoned: drain.abandoned,
        };
        let mut inner = self.inner();
        let mut line = inner.counted(LineEvent::Status, &reading);
        line.published = Some(snapshot.gateway_state);
        inner.write(line);
    }

    /// What kept the trace from being written, if something did; nothing more is written after it.
    #[must_use]
    pub fn error(&self) -> Option<String> {
        self.shared.failed.lock().as_ref().map(|(_, why)| why.clone())
    }

    /// Waits at most `timeout` until all lines so far are written.
    ///
    /// # Errors
    /// What kept the trace from being written, or [`io::ErrorKind::TimedOut`].
    pub fn flush(&self, timeout: Duration) -> io::Result<()> {
        let written = self.shared.writer.flush(timeout);
        match self.shared.failed.lock().clone() {
            Some((kind, why)) => Err(io::Error::new(kind, why)),
            None if !written => {
                Err(io::Error::new(io::ErrorKind::TimedOut, format!("the trace is not written after {timeout:?}")))
            }
            None => Ok(()),
        }
    }

    fn inner(&self) -> impl DerefMut<Target = Inner> {
        self.shared.inner.lock()
    }
}

impl Inner {
    /// The gate is read here, while nobody else can write a line: a turn that came after the view, and whose admission came too early
    /// for a line of its own, is counted.
    fn start(&mut self, view: &View, gate: &Gate) {
        let reading = gate.reading();
        (self.state, self.generation) = (reading.state, reading.generation);
        let mut line = self.counted(LineEvent::Start, &reading);
        line.format = Some(FORMAT);
        line.epoch = Some(Epoch::current());
        line.after = self.after.take();
        line.holds = Some(
            view.holds
                .iter()
                .map(|hold| StartHold {
                    request: hold.id.clone(),
                    owner: hold.owner.clone(),
                    source: hold.source,
                    pending: !hold.closes(view.settled_at),
                    committed: hold.commit.is_some(),
                })
                .collect(),
        );
        self.write(line);
    }

    fn tell(&mut self, change: &Change) {
        let line = match change {
            Change::Moved { event, reading, .. } => {
                (self.state, self.generation) = (reading.state, reading.generation);
                self.counted((*event).into(), reading)
            }
            Change::Interrupted(reading) => self.counted(LineEvent::Interrupted, reading),
            Change::Hold(change) => self.hold(change),
        };
        self.write(line);
    }

    fn hold(&self, change: &HoldChange) -> Line {
        let (event, ending) = match change.what {
            HoldEvent::Begun => (LineEvent::HoldBegun, None),
            HoldEvent::Renewed => (LineEvent::HoldRenewed, None),
            HoldEvent::Committed => (LineEvent::HoldCommitted, None),
            HoldEvent::Ended(ending) => (LineEvent::HoldEnded, Some(ending)),
        };
        let begun = event == LineEvent::HoldBegun;
        let said = begun || event == LineEvent::HoldRenewed;
        let delay = u64::try_from(change.unready_delay.as_millis()).unwrap_or(u64::MAX);
        Line {
            request: Some(change.id.clone()),
            owner: Some(change.owner.clone()),
            by: Some(change.by.clone()),
            source: Some(change.source),
            unready_delay_ms: (begun && delay > 0).then_some(delay),
            ending,
            note: (said && !change.notes.is_empty()).then(|| serde_json::json!(change.notes)),
            ..self.line(event, self.state, self.generation)
        }
    }

    /// The gate is read while nobody else can write a line: the order of such lines is the order of their readings.
    fn read(&mut self, event: LineEvent, work: Option<Work>, gate: &Gate) {
        let line = Line { work, ..self.counted(event, &gate.reading()) };
        self.write(line);
    }

    fn counted(&self, event: LineEvent, reading: &Reading) -> Line {
        Line {
            in_flight: Some(reading.in_flight),
            internal: Some(reading.internal),
            drained: reading.drained.then_some(true),
            abandoned: reading.abandoned.then_some(true),
            ..self.line(event, reading.state, reading.generation)
        }
    }

    fn line(&self, event: LineEvent, state: DrainState, generation: Generation) -> Line {
        let incarnation = self.incarnation.clone().unwrap_or_else(|| Incarnation::from(String::new()));
        Line::new(event, incarnation, state, generation)
    }

    fn write(&mut self, mut line: Line) {
        // Before the start there is nothing to add to, and after an error a line would hide that others are missing.
        let begun = self.sequence > 0 || line.event == LineEvent::Start;
        if !begun || self.failed.lock().is_some() {
            return;
        }
        line.sequence = self.sequence;
        self.sequence += 1;
        if !self.writer.push(line) {
            let why = format!("{QUEUE} lines wait to be written: the disk or the reader of the trace doesn't keep up");
            *self.failed.lock() = Some((io::ErrorKind::TimedOut, why));
        }
    }
}

/// Writes line after line until one can't be written.
fn writing(mut out: impl Write + Send + 'static, failed: Failed) -> impl FnMut(Line) + Send {
    let mut over = false;
    move |line| {
        let mut write = || {
            let mut bytes = serde_json::to_vec(&line).map_err(io::Error::other)?;
            bytes.push(b'\n');
            out.write_all(&bytes)?;
            out.flush()
        };
        if over {
            return;
        }
        let written = catch_unwind(AssertUnwindSafe(&mut write));
        if let Err(error) = written.unwrap_or_else(|_| Err(io::Error::other("the trace's writer panicked"))) {
            over = true;
            failed.lock().get_or_insert((error.kind(), error.to_string()));
        }
    }
}

/// A pipe that is opened by the thread that writes the first line into it, since that waits for a reader.
struct Pipe {
    path: PathBuf,
    open: Option<File>,
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.open.is_none() {
            self.open = Some(OpenOptions::new().write(true).open(&self.path)?);
        }
        self.open.as_mut().map_or(Ok(0), |pipe| pipe.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How much of the file is whole lines, and the last of them.
fn last_line(file: &mut File) -> io::Result<(u64, Option<Vec<u8>>)> {
    let length = file.seek(SeekFrom::End(0))?;
    // A line is short; what is asked for here covers the last one and a torn one after it.
    let from = length.saturating_sub(2 * MAX_LINE);
    file.seek(SeekFrom::Start(from))?;
    let mut reader = BufReader::new(&mut *file);
    let (mut whole, mut last) = (from, None);
    loop {
        let mut line = Vec::new();
        let read = reader.read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            return Ok((whole, last));
        }
        whole += read as u64;
        last = Some(line);
    }
}

/// No line is longer: 1 MiB.
pub(crate) const MAX_LINE: u64 = 1024 * 1024;

/// A permit whose work is in the trace. See [`Trace::follow`].
#[must_use = "dropping it ends the work"]
pub struct Followed<P> {
    // Dropped before the gate: a handle that goes last, with work counted, leaves the gate's memory behind for good.
    permit: P,
    trace: Trace,
    gate: Gate,
    work: Work,
}

impl<P> core::ops::Deref for Followed<P> {
    type Target = P;

    fn deref(&self) -> &P {
        &self.permit
    }
}

impl<P> Drop for Followed<P> {
    fn drop(&mut self) {
        // Runs before the permit's own drop: work that the trace has ended may still be counted, never the other way round.
        self.trace.inner().read(LineEvent::Finish, Some(self.work), &self.gate);
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace").field("error", &self.error()).finish_non_exhaustive()
    }
}

impl<P: fmt::Debug> fmt::Debug for Followed<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Followed").field(&self.permit).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_counts_a_turn_that_came_after_the_look_at_the_gateway_and_too_early_for_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.jsonl");
        let (trace, controller) = (Trace::append(&path).unwrap(), Controller::new());
        let view = controller.view();
        let turn = trace.follow(controller.gate(), Work::Turn, controller.gate().admit().unwrap());
        trace.inner().start(&view, controller.gate());
        drop(turn);
        trace.flush(std::time::Duration::from_secs(60)).unwrap();
        let lines = std::fs::read_to_string(&path).unwrap();
        let counted = lines.lines().map(|line| {
            let line: Line = serde_json::from_str(line).unwrap();
            (line.event, line.in_flight)
        });
        assert_eq!(counted.collect::<Vec<_>>(), [(LineEvent::Start, Some(1)), (LineEvent::Finish, Some(1))]);
    }
}
