//! The thread that makes the gate follow the files, and publishes what came of it.
//!
//! One dedicated thread, independent of the application's event loop: at once at start-up, before anybody can hold the
//! gate; then at every tick; and whenever it is kicked or the state moves. It is never given up: a tick that panics is
//! caught, counted, published and tried again after a pause. What it does to the disk runs on a second thread and is
//! bounded in time, so that a file system that hangs prolongs a lease by that bound and no more, and holds up no shutdown's
//! deadline at all (C4, L4).

mod alarm;
mod bounded;

use crate::control::home::advice;
use crate::control::lock::Look;
use crate::control::scan::{self, Scan};
use crate::control::{Epoch, Home, HomeLock, LockError, write};
use crate::controller::{Controller, Settings};
use crate::gate::Gate;
use crate::hold::{Hold, HoldSet, Incarnation, LeasePolicy, Nonce, Source};
use crate::state::DrainState;
use crate::status::{
    self, ChannelState, CommitRecord, Description, Ignored, IgnoredKind, Process, Snapshot, StatusWriter,
};
use crate::sync::Mutex;
use crate::trace::Trace;
use alarm::Alarm;
use bounded::Bounded;
use core::fmt;
use std::collections::BTreeSet;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How a [`Reconciler`] behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// How often the files are looked at, at least 1 millisecond. Default: 1 second.
    pub tick: Duration,
    /// How long a look or a publication may take before it counts as failed. Default: 5 seconds.
    pub disk_timeout: Duration,
    /// How often a status that says nothing new is published all the same, at least 1 millisecond: its age
    /// (`drain.clock_millis`) shows whether somebody still publishes. Default: 10 seconds.
    pub refresh: Duration,
    /// How many pieces of labelled work the status names. Default: 20.
    pub active_work: usize,
    /// What the application says of itself.
    pub description: Description,
    /// How the controller behaves.
    pub settings: Settings,
    /// Where everything that happens to the gateway is written down, if it is.
    pub trace: Option<Trace>,
}

impl Options {
    /// Why a gateway can't be run with these, if it can't.
    fn check(&self) -> Result<(), String> {
        let shortest = Duration::from_millis(1);
        let durations = [("tick", self.tick), ("disk_timeout", self.disk_timeout), ("refresh", self.refresh)];
        if let Some((name, given)) = durations.into_iter().find(|(_, given)| *given < shortest) {
            return Err(format!("`{name}` is {given:?}; give it at least {shortest:?}"));
        }
        let leases = self.settings.leases;
        if leases.max < LeasePolicy::MIN {
            return Err(format!("`leases.max` is {:?}; no lease is shorter than {:?}", leases.max, LeasePolicy::MIN));
        }
        if leases.default > leases.max {
            let (default, max) = (leases.default, leases.max);
            return Err(format!("`leases.default` is {default:?}, longer than `leases.max`, which is {max:?}"));
        }
        Ok(())
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            tick: Duration::from_secs(1),
            disk_timeout: Duration::from_secs(5),
            refresh: Duration::from_secs(10),
            active_work: 20,
            description: Description::default(),
            settings: Settings::default(),
            trace: None,
        }
    }
}

/// Why a gateway could not start in a home.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// An option has a value that no gateway can run with.
    Options(String),
    /// The home is in use, or can't be used.
    Lock(LockError),
    /// What an earlier process left in its status can't be read in time. A start without it could open under a commit (E1).
    Left {
        /// Where.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The status can't be written.
    Status {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The system gives no thread.
    Thread(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Options(why) => write!(f, "the options can't be used: {why}"),
            Self::Lock(error) => error.fmt(f),
            Self::Left { path, why } => {
                write!(f, "what an earlier process left in {} can't be read: {why}", path.display())
            }
            Self::Status { path, source } => {
                write!(f, "the status {} can't be written: {source}{}", path.display(), advice(source))
            }
            Self::Thread(source) => write!(f, "the reconciler's thread can't be started: {source}"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Options(_) | Self::Left { .. } => None,
            Self::Lock(error) => error.source(),
            Self::Status { source, .. } | Self::Thread(source) => Some(source),
        }
    }
}

/// A gateway that is controlled by the files in its home.
///
/// The only way to its gate is through here, and by then the files have been looked at: a gateway that starts under a
/// live hold admits nothing (C5). Dropping it closes its gate for good, by force if work is in flight; then it ends its
/// thread, publishes that, frees the home, and waits at most a second for observers and the trace. So the gate admits only
/// as long as somebody keeps the reconciler.
///
/// ```
/// use gateway_drain::{Home, Reconciler, reconciler::Options};
///
/// let home = tempfile::tempdir()?;
/// std::fs::write(home.path().join(".drain_request.json"), "")?; // as `touch` does
///
/// let reconciler = Reconciler::start(Home::at(home.path()), Options::default())?;
/// assert!(reconciler.gate().admit().is_err(), "the marker was there before the start");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "dropping it ends the thread that follows the files"]
pub struct Reconciler {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    home: Home,
    process: Process,
    options: Options,
    controller: Controller,
    channel: Mutex<ChannelState>,
    /// Since when nothing has gone wrong, or what did; none before the first tick is over.
    health: Mutex<Health>,
    stop: AtomicBool,
    alarm: Arc<Alarm>,
    /// When the thread first saw that the gateway had stopped.
    stopped: OnceLock<Instant>,
}

/// How long the end of a gateway waits for observers and for the trace.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Clone, Debug, Default)]
struct Health {
    last_tick: Duration,
    unpublished: Option<String>,
    unseen: Option<String>,
}

impl Reconciler {
    /// Locks the home, takes over what an earlier process of this boot left, looks at the files and publishes; then
    /// starts the thread.
    ///
    /// # Errors
    /// [`StartError`]: another gateway runs in this home, it can't be used, or an option makes no sense.
    pub fn start(home: Home, options: Options) -> Result<Self, StartError> {
        options.check().map_err(StartError::Options)?;
        let incarnation = Incarnation::fresh();
        let lock = home.lock(&incarnation).map_err(StartError::Lock)?;
        let disk = Bounded::new("gateway-drain-disk").map_err(StartError::Thread)?;
        Self::start_on(disk, home, lock, incarnation, options)
    }

    fn start_on(
        mut disk: Bounded,
        home: Home,
        lock: HomeLock,
        incarnation: Incarnation,
        mut options: Options,
    ) -> Result<Self, StartError> {
        let epoch = Epoch::current();
        let writer = Arc::new(StatusWriter::new(lock));
        let inherited = inherit(&mut disk, &writer, &epoch, &options);
        let (inherited, unread) =
            inherited.map_err(|why| StartError::Left { path: home.status(), why: why.to_string() })?;
        let controller = Controller::restored(options.settings.clone(), incarnation.clone(), inherited);
        controller.will_publish_the_end();
        controller.wake_elsewhere();
        if let Some(trace) = &options.trace {
            trace.attach(&controller);
        }
        let description = std::mem::take(&mut options.description);
        let mut channel = ChannelState { description, ..ChannelState::default() };
        if let Some(why) = unread {
            channel.reconciler.failed(why);
        }
        let shared = Arc::new(Shared {
            process: Process::current(incarnation, epoch, options.tick, options.refresh),
            controller,
            channel: Mutex::new(channel),
            health: Mutex::default(),
            stop: AtomicBool::new(false),
            alarm: Arc::default(),
            stopped: OnceLock::new(),
            home,
            options,
        });
        let mut ticker = Ticker {
            shared: Arc::clone(&shared),
            disk,
            writer,
            published: None,
            recorded: None,
            has_recorded: false,
            revision: 0,
            short: false,
        };
        ticker.look();
        ticker.publish().map_err(|source| StartError::Status { path: shared.home.status(), source })?;

        let run = move || {
            let shared = Arc::clone(&ticker.shared);
            if catch_unwind(AssertUnwindSafe(|| ticker.run())).is_err() {
                // Nobody follows the files any more: what they ask for must not be admitted against.
                shared.controller.close_for_good();
            }
            shared.controller.end_published();
        };
        let thread = std::thread::Builder::new().name("gateway-drain".into()).spawn(run).map_err(StartError::Thread)?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// The gate.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        self.shared.controller.gate()
    }

    /// The controller: for the shutdown, for observers.
    #[must_use]
    pub fn controller(&self) -> &Controller {
        &self.shared.controller
    }

    /// The home.
    #[must_use]
    pub fn home(&self) -> &Home {
        &self.shared.home
    }

    /// Has the files looked at now rather than at the next tick.
    pub fn kick(&self) {
        self.shared.kick();
    }

    /// Changes what the application says of itself in the status.
    ///
    /// `change` is given a copy and runs under no lock. What it changed in the copy is put into the status then, and nothing
    /// else, so that two changes at the same time both count.
    pub fn describe(&self, change: impl FnOnce(&mut Description)) {
        let before = self.shared.channel.lock().description.clone();
        let mut after = before.clone();
        change(&mut after);
        self.shared.channel.lock().description.follow(&before, after);
        self.kick();
    }

    /// The status as of now. What is published may be older by as long as it takes to write.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.shared.snapshot()
    }

    /// Why the latest status couldn't be published, if it couldn't: what lies there instead may be over (C8).
    #[cfg(feature = "axum")]
    pub(crate) fn unpublished(&self) -> Option<String> {
        self.shared.health.lock().unpublished.clone()
    }

    #[cfg(feature = "metrics")]
    pub(crate) fn view(&self) -> crate::controller::View {
        self.shared.controller.view()
    }

    /// Whether the thread that follows the files has been silent for longer than it may be: a reason to end the process.
    /// systemd's watchdog is told while it hasn't (`examples/gateway.rs`).
    #[must_use]
    pub fn is_stuck(&self) -> bool {
        self.shared.stuck_for().is_some()
    }

    /// Why the gateway is not ready for traffic, for people; nothing if it is.
    ///
    /// A draining gateway isn't ready, nor one that a hold is about to close, nor one whose channel can't be seen, whose
    /// status can't be published or whose reconciler is stuck.
    #[must_use]
    pub fn unready(&self) -> Vec<String> {
        let view = self.shared.controller.view();
        let health = self.shared.health.lock().clone();
        let state = (view.reading.state != DrainState::Running).then(|| format!("state: {}", view.reading.state));
        let pending = view.pending.then(|| "a hold is about to close the gate".to_owned());
        let stuck = self.shared.stuck_for();
        let stuck = stuck.map(|silent| format!("the reconciler has been silent for {} s", silent.as_secs()));
        [state, pending, health.unseen, health.unpublished, stuck].into_iter().flatten().collect()
    }
}

impl Drop for Reconciler {
    fn drop(&mut self) {
        // Before the home is free: whoever has a handle on the gate is admitted by nobody's leave any more (H1, E1).
        self.shared.controller.close_for_good();
        self.shared.stop.store(true, Ordering::Release);
        self.kick();
        // A waker that drops the reconciler may run on its very thread, which ends by itself.
        if let Some(thread) = self.thread.take().filter(|thread| thread.thread().id() != thread::current().id()) {
            // A panic there has been caught and published already.
            let _ = thread.join();
        }
        let patience = Instant::now() + PATIENCE;
        self.shared.controller.end_observers(patience);
        if let Some(trace) = &self.shared.options.trace {
            // Whoever wants to know asks the trace.
            let _ = trace.flush(patience.saturating_duration_since(Instant::now()));
        }
    }
}

/// What an earlier process of this boot left, read within the disk's timeout, and what of it can't be read.
///
/// A disk that doesn't answer in time is no answer: what was left there is not lost, and a gateway that went without it could
/// open under a commit (E1).
fn inherit(
    disk: &mut Bounded,
    writer: &Arc<StatusWriter>,
    epoch: &Epoch,
    options: &Options,
) -> Result<(HoldSet, Option<String>), bounded::Failed> {
    let policy = options.settings.leases;
    let now = options.settings.clock.now();
    let (read, ours) = (Arc::clone(writer), epoch.clone());
    let (status, record, files) = disk.call(
        options.disk_timeout,
        || (),
        move || {
            let home = read.lock().home();
            let status = Snapshot::read_in(home);
            let lost = !status.as_ref().is_ok_and(|status| status.drain.is_there());
            let record = lost.then(|| CommitRecord::read_in(home).ok()).flatten();
            let files = if lost { scan::scan_in(home, &[], &ours).requests } else { Vec::new() };
            (status, record, files)
        },
    )?;
    let unread = status.as_ref().err().filter(|error| error.kind() != io::ErrorKind::NotFound);
    let unread = unread.map(|why| {
        let left =
            if record.is_some() { "of the commits there is a record" } else { "there is no record of commits either" };
        format!("the earlier status can't be read, and what it alone knew is lost; {left}: {why}")
    });
    Ok((status::inherited(status.as_ref().ok(), record.as_ref(), || files, epoch, policy, now), unread))
}

impl Shared {
    fn kick(&self) {
        self.alarm.ring();
    }

    /// How long the thread has been silent, if that is longer than it may be.
    fn stuck_for(&self) -> Option<Duration> {
        let Options { tick, disk_timeout, settings, .. } = &self.options;
        let silent = settings.clock.now().saturating_sub(self.health.lock().last_tick);
        Some(silent).filter(|silent| *silent > tick.saturating_mul(3).saturating_add(disk_timeout.saturating_mul(2)))
    }

    /// Lets a shutdown's deadline take effect (L4); and has nobody wait longer for the publication of its end than the disk
    /// may take.
    fn settle_shutdown(&self) {
        self.controller.settle_shutdown();
        let stopped = self.controller.state() == DrainState::Stopped;
        if stopped && self.stopped.get_or_init(Instant::now).elapsed() >= self.options.disk_timeout {
            self.controller.end_published();
        }
    }

    fn snapshot(&self) -> Snapshot {
        let view = self.controller.view();
        let work = self.controller.gate().active_work(self.options.active_work);
        let mut channel = self.channel.lock().clone();
        let observers = self.controller.observer_counts();
        (channel.reconciler.observer_panics, channel.reconciler.observer_lost) = (observers.panics, observers.lost);
        let committed = view.holds.iter().filter(|hold| hold.is_committed_in_file());
        let mut forgotten: BTreeSet<_> = committed.map(|hold| &hold.id).collect();
        for answer in &view.acknowledged {
            forgotten.remove(&answer.request_id);
        }
        channel.ignored.extend(forgotten.into_iter().map(|id| {
            let detail = "its file is gone; the hold is committed, and only its token or an override ends it";
            Ignored::new(id.as_str(), IgnoredKind::FileGone, detail)
        }));
        Snapshot::new(view, work, &self.process, channel)
    }
}

/// How long a gateway that finds another one in its home lets its work in flight take: 30 seconds.
const REPLACED_GRACE: Duration = Duration::from_secs(30);

/// What the thread owns.
struct Ticker {
    shared: Arc<Shared>,
    disk: Bounded,
    writer: Arc<StatusWriter>,
    published: Option<(Snapshot, Duration)>,
    /// The commits on record; none where that isn't known.
    recorded: Option<Vec<Hold>>,
    /// The record is this process's own.
    has_recorded: bool,
    /// Of the last attempt: one that timed out may still succeed.
    revision: u64,
    /// The last look lacked descriptors or memory.
    short: bool,
}

impl Ticker {
    /// Looks and publishes until the end. A panic anywhere in it is caught, counted, and followed by another look.
    fn run(mut self) {
        let mut panics_in_a_row = 0_u32;
        let mut leftovers = true;
        loop {
            let (alarm, gate) = (Arc::clone(&self.shared.alarm), self.shared.controller.gate().clone());
            let began = Instant::now();
            let ending = self.shared.stop.load(Ordering::Acquire);
            // Registered before the look: a change in its middle makes another one.
            let _changed = alarm.rung_by(&gate);
            let ticked = catch_unwind(AssertUnwindSafe(|| {
                // Whatever becomes of the rest (L4).
                self.shared.settle_shutdown();
                if std::mem::take(&mut leftovers) {
                    // Left undone if it takes too long: nobody reads what is left there.
                    let writer = Arc::clone(&self.writer);
                    let _ = self.on_disk(move || write::remove_leftovers(writer.lock().home()));
                }
                self.look();
                // An error is kept in `health`, and the next tick tries again.
                let _ = self.publish();
            }));
            if ending {
                return;
            }
            let tick = self.shared.options.tick;
            let pause = match &ticked {
                Ok(()) => {
                    panics_in_a_row = 0;
                    // A fifth short of the tick: what appears right after a look is acted on and published within one.
                    let rest = (tick / 5 * 4).saturating_sub(began.elapsed());
                    self.shared.controller.until_next_change().min(rest).min(self.until_refresh())
                }
                Err(panic) => {
                    panics_in_a_row += 1;
                    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
                    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
                    let mut channel = self.shared.channel.lock();
                    channel.reconciler.panics += 1;
                    channel.reconciler.last_error = Some(format!("a tick panicked: {text}"));
                    drop(channel);
                    if self.shared.controller.state() == DrainState::Stopped {
                        self.shared.controller.end_published();
                    }
                    let pause = tick.saturating_mul(1 << panics_in_a_row.min(5)).min(Duration::from_secs(30));
                    pause.min(self.shared.controller.until_the_shutdown_changes())
                }
            };
            alarm.sleep(pause);
        }
    }

    /// Does something to the disk. If that takes long, a shutdown's deadline takes effect meanwhile (L4). A lease does not:
    /// its renewal may lie in what is being read.
    fn on_disk<T: Send + 'static>(&mut self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, bounded::Failed> {
        let shared = &self.shared;
        let meanwhile = || shared.settle_shutdown();
        self.disk.call(shared.options.disk_timeout, meanwhile, work)
    }

    /// Looks at the files and lets the gateway follow.
    fn look(&mut self) {
        let (writer, epoch) = (Arc::clone(&self.writer), self.shared.process.epoch.clone());
        let known = self.shared.controller.among_holds(HoldSet::in_files);
        let looked = self.on_disk(move || writer.lock().look(&known, &epoch));
        let Look { scan, unready: unseen, replaced } =
            looked.unwrap_or_else(|why| Look::blind(format!("the home can't be looked at: {why}")));
        if replaced {
            // Whatever is asked for in the home is asked of the other one.
            let _ = self.shared.controller.begin_shutdown(REPLACED_GRACE);
        }
        let recorded = self.record_grants(&scan);
        self.shared.controller.reconcile(&scan.requests, |id| scan.is_absent(id), &recorded);

        let overwritten: Vec<Ignored> = self.shared.controller.among_holds(|holds| {
            let overwritten = scan.requests.iter().filter_map(|request| {
                let hold = holds.get(&request.id, Source::File).filter(|hold| hold.overwritten)?;
                let found = match (request.stale, request.owner.is_empty()) {
                    (true, _) => "another epoch",
                    (false, true) => &request.reason,
                    (false, false) => &request.owner,
                };
                let detail = format!("its file was overwritten ({found}); the hold is {}'s, and stays", hold.owner);
                Some(Ignored::new(hold.id.as_str(), IgnoredKind::Overwritten, detail))
            });
            overwritten.collect()
        });

        let mut channel = self.shared.channel.lock();
        // One error however many looks it lasts: each would be something new to say, which can't be published just then.
        let lasts = scan.shortage.is_some() && self.short;
        if let Some(why) = unseen.as_ref().or(scan.shortage.as_ref().filter(|_| !lasts)) {
            channel.reconciler.failed(why.clone());
        }
        self.short = scan.shortage.is_some();
        let stale = |(id, why): (String, String)| Ignored::new(id, IgnoredKind::OtherEpoch, why);
        channel.ignored = scan.ignored.into_iter().map(stale).collect();
        channel.ignored.extend(overwritten);
        channel.reconciler.alive = true;
        drop(channel);
        let mut health = self.shared.health.lock();
        health.unseen = unseen;
        health.last_tick = self.shared.options.settings.clock.now();
    }

    /// Puts the commits that this look would grant on record, and gives the tokens that may be granted: none if that fails.
    /// Then they are decided at a later look.
    fn record_grants(&mut self, scan: &Scan) -> BTreeSet<Nonce> {
        let Some(commits) = self.shared.controller.grants(&scan.requests, |id| scan.is_absent(id)) else {
            return BTreeSet::new();
        };
        match self.record(&commits) {
            Ok(()) => commits.into_iter().filter_map(|hold| Some(hold.commit?.token)).collect(),
            Err(error) => {
                let why = format!("a commit is not decided, since it can't be put on record: {error}");
                self.shared.channel.lock().reconciler.failed(why);
                BTreeSet::new()
            }
        }
    }

    fn record(&mut self, commits: &[Hold]) -> io::Result<()> {
        let now = self.shared.options.settings.clock.now();
        let record = CommitRecord::new(commits, &self.shared.process.epoch, now);
        // Whatever comes of it: what stands there is not known to be what stood there before.
        self.recorded = None;
        let writer = Arc::clone(&self.writer);
        let written = self.on_disk(move || writer.record(&record));
        written.unwrap_or_else(|why| Err(io::Error::other(why.to_string())))?;
        self.recorded = Some(commits.to_vec());
        self.has_recorded = true;
        Ok(())
    }

    /// Brings the record up to date before the status says what it doesn't: that a commit has ended, above all. A record
    /// that can't be replaced is taken away, since it would bring an ended commit back if the status were lost.
    fn settle_record(&mut self) -> io::Result<()> {
        let commits = self.shared.controller.among_holds(HoldSet::commits);
        if self.recorded.as_ref() == Some(&commits) {
            return Ok(());
        }
        let ours = self.has_recorded;
        if let Err(error) = self.record(&commits) {
            if !ours {
                // What stands there an earlier process has left, and the next start may need it.
                return Err(error);
            }
            let writer = Arc::clone(&self.writer);
            let removed = self.on_disk(move || writer.forget_record());
            removed.unwrap_or_else(|why| Err(io::Error::other(why.to_string()))).map_err(|_| error)?;
        }
        Ok(())
    }

    /// Publishes the status, if it says something new or isn't there as it was published any more.
    fn publish(&mut self) -> io::Result<()> {
        if let Err(error) = self.settle_record() {
            let why = format!("the record of commits can't be written: {error}");
            self.shared.channel.lock().reconciler.failed(why);
        }
        let now = self.shared.options.settings.clock.now();
        let mut snapshot = self.shared.snapshot();
        let stays_true = self.published.as_mut().is_some_and(|(published, _)| published.still_says(&snapshot));
        if stays_true && !self.until_refresh().is_zero() && self.stands() {
            return Ok(());
        }
        self.revision += 1;
        snapshot.drain.revision = self.revision;
        let state = snapshot.drain.state;
        let (writer, written) = (Arc::clone(&self.writer), snapshot.clone());
        let outcome = self.on_disk(move || writer.publish(&written));
        let outcome = outcome.unwrap_or_else(|why| Err(io::Error::other(why.to_string())));
        let mut failed = outcome.as_ref().err().map(|error| format!("the status can't be published: {error}"));
        if let Some(why) = &failed {
            self.shared.channel.lock().reconciler.failed(why.clone());
            if self.published.as_ref().is_none_or(|(published, _)| !published.is_true_beside(&snapshot)) {
                // No status is better than an old truth (C8). Where it can't be removed either, its age tells.
                let writer = Arc::clone(&self.writer);
                let _ = self.on_disk(move || writer.remove());
                self.published = None;
            } else if self.is_believed(now) && self.stands() {
                // It says what is so, and nobody takes it for silence yet.
                failed = None;
            }
        } else {
            self.shared.channel.lock().revision = self.revision;
            self.published = Some((snapshot, now));
        }
        self.shared.health.lock().unpublished = failed;
        if state == DrainState::Stopped {
            // Or the attempt has failed, and nobody is to wait for another.
            self.shared.controller.end_published();
        }
        outcome
    }

    /// How long what was published last may stand although it says nothing new: its age is what shows that somebody lives.
    fn until_refresh(&self) -> Duration {
        let now = self.shared.options.settings.clock.now();
        let age = self.published.as_ref().map(|(_, at)| now.saturating_sub(*at));
        age.map_or(Duration::MAX, |age| self.shared.options.refresh.saturating_sub(age))
    }

    /// Whether a reader believes what was published last (C8).
    fn is_believed(&self, now: Duration) -> bool {
        let young = |(published, at): &(Snapshot, Duration)| now.saturating_sub(*at) <= published.drain.believed_for();
        self.published.as_ref().is_some_and(young)
    }

    /// Whether what was published last is there still. A look that fails is none.
    fn stands(&mut self) -> bool {
        let writer = Arc::clone(&self.writer);
        self.on_disk(move || writer.stands()).unwrap_or(false)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("home", &self.home).field("controller", &self.controller).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
