//! The thread that makes the gate follow the files, and publishes what came of it.
//!
//! One dedicated thread, independent of the application's event loop: at once at start-up, before anybody can hold the
//! gate; then at every tick; and whenever the system tells of a change in the home, it is kicked or the state moves. It is
//! never given up: a tick that panics is caught, counted, published and tried again after a pause. What it does to the disk runs on a second thread and is
//! bounded in time, so that a file system that hangs prolongs a lease by that bound and no more, and holds up no shutdown's
//! deadline at all (C4, L4).

mod alarm;
mod disk_worker;
mod options;
mod ticker;

pub use options::{Options, StartError};

use crate::control::changes::{Changes, Topic};
use crate::control::{Epoch, Home, HomeLock, scan};
use crate::controller::Controller;
use crate::gate::Gate;
use crate::hold::{HoldSet, Incarnation};
use crate::state::DrainState;
use crate::status::{
    self, ChannelState, CommitRecord, Description, Ignored, IgnoredKind, Process, Snapshot, StatusWriter,
};
use crate::sync::{Event, Mutex};
use alarm::Alarm;
use core::fmt;
use disk_worker::{DiskFailure, DiskWorker};
use std::collections::BTreeSet;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use ticker::Ticker;

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
    published: Published,
}

/// What was published last, for those who wait in this process: they need no disk.
#[derive(Default)]
struct Published {
    latest: Mutex<Option<Arc<Snapshot>>>,
    /// An attempt to publish is over, however it ended.
    tried: Event,
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
        let disk = DiskWorker::new("gateway-drain-disk").map_err(StartError::Thread)?;
        Self::start_on(disk, home, lock, incarnation, options)
    }

    fn start_on(
        disk: DiskWorker,
        home: Home,
        lock: HomeLock,
        incarnation: Incarnation,
        options: Options,
    ) -> Result<Self, StartError> {
        let (shared, mut ticker) = Shared::prepared(disk, home, lock, incarnation, options)?;
        ticker.look();
        ticker.publish().map_err(|source| StartError::Status { path: shared.home.status(), source })?;

        let ending = Arc::clone(&shared);
        let run = move || {
            if catch_unwind(AssertUnwindSafe(|| ticker.run())).is_err() {
                // Nobody follows the files any more: what they ask for must not be admitted against.
                ending.controller.close_for_good();
            }
            ending.controller.end_published();
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

    /// The status as it was published last; none before the first.
    ///
    /// # Errors
    /// Why nothing newer could be published, if that is so: what was said before may be over (C8).
    #[cfg(feature = "axum")]
    pub(crate) fn latest(&self) -> io::Result<Option<Arc<Snapshot>>> {
        if let Some(why) = self.shared.health.lock().unpublished.clone() {
            return Err(io::Error::other(why));
        }
        Ok(self.shared.published.latest.lock().clone())
    }

    /// Hears of the next attempt to publish.
    #[cfg(feature = "axum")]
    pub(crate) fn next_publication(&self) -> crate::sync::EventListener {
        self.shared.published.tried.listen()
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
        // Before the home is free: a thread with a handle on the gate is admitted no more (H1, E1).
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
            // What could not be written is for `Trace::error` to say: a drop has nobody to tell.
            let _ = trace.flush(patience.saturating_duration_since(Instant::now()));
        }
    }
}

/// What an earlier process of this boot left, read within the disk's timeout, and what of it can't be read.
///
/// A disk that doesn't answer in time is no answer: what was left there is not lost, and a gateway that went without it could
/// open under a commit (E1).
fn take_over(
    disk: &mut DiskWorker,
    writer: &Arc<StatusWriter>,
    epoch: &Epoch,
    options: &Options,
) -> Result<(HoldSet, Option<String>), DiskFailure> {
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
    Ok((status::take_over(status.as_ref().ok(), record.as_ref(), || files, epoch, policy, now), unread))
}

impl Shared {
    /// What the thread works on: what an earlier process left is taken over, and nothing is looked at yet.
    fn prepared(
        mut disk: DiskWorker,
        home: Home,
        lock: HomeLock,
        incarnation: Incarnation,
        mut options: Options,
    ) -> Result<(Arc<Self>, Ticker), StartError> {
        let epoch = Epoch::current();
        let writer = Arc::new(StatusWriter::new(lock));
        let restored = take_over(&mut disk, &writer, &epoch, &options);
        let (restored, unread) =
            restored.map_err(|why| StartError::Left { path: home.status(), why: why.to_string() })?;
        let controller = Controller::restored(options.settings.clone(), incarnation.clone(), restored);
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
        let shared = Arc::new(Self {
            process: Process::current(incarnation, epoch, options.tick, options.refresh),
            controller,
            channel: Mutex::new(channel),
            health: Mutex::default(),
            stop: AtomicBool::new(false),
            alarm: Arc::default(),
            stopped: OnceLock::new(),
            published: Published::default(),
            home,
            options,
        });
        let changes = shared.options.events.then(|| {
            let alarm = Arc::clone(&shared.alarm);
            Arc::new(Changes::new(Topic::Requests, move || alarm.ring()))
        });
        let ticker = Ticker::new(Arc::clone(&shared), disk, writer, changes);
        Ok((shared, ticker))
    }

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

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("home", &self.home).field("controller", &self.controller).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
