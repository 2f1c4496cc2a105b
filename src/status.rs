//! The published snapshot: `gateway_state.json`, its single writer, and the readouts that others derive from it.
//!
//! The reference's fields stand at the top, ours under `drain`. A snapshot is made of one moment of the gateway, so its
//! `running` is said only of a gate that admits (S6), and it is only ever published whole (C1).

use crate::control::opened::OpenHome;
use crate::control::read::Stamp;
use crate::control::{Epoch, Home, HomeLock, read};
use crate::controller::{Acknowledgement, View};
use crate::gate::{ActiveWork, Generation};
use crate::hold::{
    Action, Commit, Denied, Ending, Hold, HoldSet, Incarnation, LeasePolicy, Nonce, Outcome, Request, RequestId, Source,
};
use crate::state::DrainState;
use crate::sync::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::io;
use std::time::Duration;

/// The reference's word for where a gateway stands (`gateway_state`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GatewayState {
    /// Not yet taking work. This crate never publishes it: it publishes nothing before it knows.
    Starting,
    /// Taking work.
    Running,
    /// Refusing work, for either reason; `drain.state` tells them apart.
    Draining,
    /// Ended.
    Stopped,
    /// Could not start.
    StartupFailed,
}

impl From<DrainState> for GatewayState {
    fn from(state: DrainState) -> Self {
        match state {
            DrainState::Running => Self::Running,
            DrainState::ExternalDraining | DrainState::ShutdownDraining => Self::Draining,
            DrainState::Stopped => Self::Stopped,
        }
    }
}

/// What the application says of itself in its status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// What sort of gateway it is.
    pub kind: String,
    /// Whether it ends in order to start again.
    pub restart_requested: bool,
    /// Why it ends.
    pub exit_reason: Option<String>,
    /// The application's own table of platforms (channels, connections).
    pub platforms: Map<String, Value>,
}

impl Description {
    /// Takes over what has changed from one description to another, and leaves the rest as it is.
    pub(crate) fn follow(&mut self, before: &Self, after: Self) {
        if after.kind != before.kind {
            self.kind = after.kind;
        }
        if after.restart_requested != before.restart_requested {
            self.restart_requested = after.restart_requested;
        }
        if after.exit_reason != before.exit_reason {
            self.exit_reason = after.exit_reason;
        }
        for gone in before.platforms.keys().filter(|name| !after.platforms.contains_key(*name)) {
            self.platforms.remove(gone);
        }
        let changed = after.platforms.into_iter().filter(|(name, value)| before.platforms.get(name) != Some(value));
        self.platforms.extend(changed);
    }
}

impl Default for Description {
    fn default() -> Self {
        Self { kind: "gateway".into(), restart_requested: false, exit_reason: None, platforms: Map::new() }
    }
}

/// A whole status, as it is published.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// The reference's word for the state.
    pub gateway_state: GatewayState,
    /// All work in flight: turns and internal work. Never negative.
    pub active_agents: u64,
    /// The process.
    pub pid: u32,
    /// When it started, in clock ticks since boot; absent where that can't be known.
    pub start_time: Option<u64>,
    /// The command line.
    pub argv: Vec<String>,
    /// What the application says of itself.
    #[serde(flatten)]
    pub description: Description,
    /// When this snapshot was made (ISO 8601, UTC, of the wall clock).
    pub updated_at: String,
    /// Everything that the reference doesn't have.
    pub drain: DrainStatus,
}

/// What a gateway says of its drain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
#[expect(clippy::struct_excessive_bools, reason = "each is a field on the wire")]
pub struct DrainStatus {
    /// Which of the four states.
    pub state: DrainState,
    /// Which drain: the one under way or, while running, the last one.
    pub generation: Generation,
    /// Which process.
    pub incarnation: Incarnation,
    /// Which boot.
    pub epoch: Epoch,
    /// Turns in flight.
    pub in_flight: u64,
    /// Internal work in flight.
    pub internal: u64,
    /// Closed and nothing in flight: it stays so until the drain ends (G3).
    pub drained: bool,
    /// Work in flight has been asked to give up.
    pub interrupted: bool,
    /// Stopped by force with what is counted here still in flight (S5).
    pub abandoned: bool,
    /// A hold is about to close the gate.
    pub pending: bool,
    /// Nothing in flight has ended for a while.
    pub stalled: bool,
    /// A shutdown now is to notify nobody.
    pub suppress_notification: bool,
    /// Who keeps the gate closed.
    pub holds: Vec<HoldStatus>,
    /// What is being waited for: the oldest labelled work.
    pub active_work: Vec<WorkStatus>,
    /// The answer to each write that lies in the channel (C6).
    pub acknowledged: Vec<Acknowledgement>,
    /// What lies in the channel and is not honoured.
    pub ignored: Vec<Ignored>,
    /// How the thread that looks at the channel is.
    pub reconciler: ReconcilerStatus,
    /// Rises with each published snapshot of this process.
    pub revision: u64,
    /// The clock that leases run on when this was made: milliseconds since boot.
    pub clock_millis: u64,
}

/// One hold in a status.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
#[expect(clippy::struct_excessive_bools, reason = "each is a field on the wire")]
pub struct HoldStatus {
    /// Its name.
    pub request_id: RequestId,
    /// To whom it belongs.
    pub owner: String,
    /// Why; where something in the channel couldn't be read, what was found.
    pub reason: String,
    /// Where it is kept.
    pub source: Source,
    /// How long the gateway has known it, in seconds.
    pub age_seconds: f64,
    /// What is left of its lease, in seconds; none once committed.
    pub lease_left_seconds: Option<f64>,
    /// It has not closed the gate yet.
    pub pending: bool,
    /// Its owner has the right to act.
    pub committed: bool,
    /// The act takes longer than its deadline.
    pub overdue: bool,
    /// Asks that a shutdown under this hold notifies nobody.
    pub suppress_notification: bool,
    /// The last write acted on.
    pub nonce: Option<Nonce>,
    /// The nonce of the commit, which its withdrawal has to bear.
    pub token: Option<Nonce>,
    /// How long the act may take, in seconds.
    pub deadline_seconds: Option<f64>,
    /// The moments behind the durations above, by which a restart takes the hold over.
    pub since_boot_millis: Moments,
}

/// Moments of a hold, in milliseconds since boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Moments {
    /// When the gateway first saw it.
    pub first_seen: u64,
    /// When it began, or begins, to close the gate.
    pub closes_at: u64,
    /// When its lease runs out.
    pub expires_at: u64,
    /// When it was committed.
    pub committed_at: Option<u64>,
}

/// One piece of labelled work in a status.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkStatus {
    /// The sort of work.
    pub kind: String,
    /// Which one.
    pub label: String,
    /// How long it has been in flight, in seconds.
    pub age_seconds: f64,
}

/// Something in the channel that is not honoured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ignored {
    /// Which request.
    pub request_id: String,
    /// Why not.
    pub why: String,
}

/// How the thread that looks at the channel is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReconcilerStatus {
    /// Always true in a file, which only a live one writes; false in the readiness of a process whose thread is stuck.
    pub alive: bool,
    /// Looks that failed in some part, and statuses that couldn't be written.
    pub errors: u64,
    /// Looks that panicked and were taken up again.
    pub panics: u64,
    /// What the latest of them said.
    pub last_error: Option<String>,
    /// Observers that panicked and are told on.
    #[serde(default)]
    pub observer_panics: u64,
    /// Changes that an observer was not told of: it didn't keep up.
    #[serde(default)]
    pub observer_lost: u64,
}

impl ReconcilerStatus {
    /// Something could not be read or written, and this is why.
    pub(crate) fn failed(&mut self, why: String) {
        self.errors += 1;
        self.last_error = Some(why);
    }
}

/// What the reference's public status says (`GET /api/status`), derived from a snapshot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Readout {
    /// Whether the process lives: known from the lock it holds, never from a timestamp.
    pub gateway_running: bool,
    /// The state; none if there is no status to read.
    pub gateway_state: Option<GatewayState>,
    /// All work in flight.
    pub active_agents: u64,
    /// As in the reference: running, in the state `running`, with work in flight. To know whether it is safe to act, ask
    /// for `drained`.
    pub gateway_busy: bool,
    /// Running, and in the state `running`: a drain could begin.
    pub gateway_drainable: bool,
    /// How long a shutdown waits for work in flight, in seconds.
    pub restart_drain_timeout: Option<f64>,
    /// When the status was made.
    pub gateway_updated_at: Option<String>,
}

impl Readout {
    /// What a status, if there is one, says of a gateway whose process lives or doesn't.
    #[must_use]
    pub fn of(snapshot: Option<&Snapshot>, live: bool, restart_drain_timeout: Option<Duration>) -> Self {
        let running = live && snapshot.is_some_and(|s| s.gateway_state == GatewayState::Running);
        let active_agents = snapshot.filter(|_| live).map_or(0, |s| s.active_agents);
        Self {
            gateway_running: live,
            gateway_state: snapshot.map(|s| s.gateway_state),
            active_agents,
            gateway_busy: running && active_agents > 0,
            gateway_drainable: running,
            restart_drain_timeout: restart_drain_timeout.map(|timeout| timeout.as_secs_f64()),
            gateway_updated_at: snapshot.map(|s| s.updated_at.clone()),
        }
    }
}

impl Snapshot {
    /// No status is read beyond this many bytes: 64 MiB. As many holds as there can be, each saying as much as it can
    /// ([`request_file`](crate::control::request_file) bounds both), fit into it.
    pub const MAX_BYTES: u64 = 64 * 1024 * 1024;

    /// Reads the published status of a home.
    ///
    /// Whether the process that wrote it lives is another question: see [`Home::live`].
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if there is none, [`io::ErrorKind::InvalidData`] if it isn't one of this crate's.
    pub fn read(home: &Home) -> io::Result<Self> {
        Self::read_in(&OpenHome::open(home.path())?)
    }

    /// As [`read`](Self::read), in an open home.
    pub(crate) fn read_in(home: &OpenHome) -> io::Result<Self> {
        let content = read::content_up_to(&home.folder, Home::STATUS.as_bytes(), Self::MAX_BYTES)?;
        serde_json::from_slice(&content.bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// What is needed beside one moment of the gateway to say everything.
    pub(crate) fn new(view: View, work: Vec<ActiveWork>, process: &Process, channel: ChannelState) -> Self {
        let reading = view.reading;
        Self {
            gateway_state: reading.state.into(),
            active_agents: reading.total(),
            pid: process.pid,
            start_time: process.start_time,
            argv: process.argv.clone(),
            description: channel.description,
            updated_at: crate::control::request_file::now(),
            drain: DrainStatus {
                state: reading.state,
                generation: reading.generation,
                incarnation: process.incarnation.clone(),
                epoch: process.epoch.clone(),
                in_flight: reading.in_flight,
                internal: reading.internal,
                drained: reading.drained,
                interrupted: reading.interrupted,
                abandoned: reading.abandoned,
                pending: view.pending,
                stalled: view.stalled,
                suppress_notification: view.suppress_notification,
                holds: view.holds.iter().map(|hold| HoldStatus::of(hold, view.now)).collect(),
                active_work: work.into_iter().map(WorkStatus::from).collect(),
                acknowledged: view.acknowledged,
                ignored: channel.ignored,
                reconciler: channel.reconciler,
                revision: channel.revision,
                clock_millis: millis(view.now),
            },
        }
    }

    /// Whether a newer one says the same, but for what only time has changed: that is taken over from it, so that no copy of
    /// either is needed. A status that says nothing new isn't written.
    pub(crate) fn still_says(&mut self, newer: &Self) -> bool {
        self.updated_at.clone_from(&newer.updated_at);
        self.drain.revision = newer.drain.revision;
        self.drain.clock_millis = newer.drain.clock_millis;
        self.drain.active_work.clone_from(&newer.drain.active_work);
        for (hold, newer) in self.drain.holds.iter_mut().zip(&newer.drain.holds) {
            hold.age_seconds = newer.age_seconds;
            hold.lease_left_seconds = newer.lease_left_seconds;
        }
        self == newer
    }

    /// The holds that this status left to its successor: those of the same boot, with their leases and commits.
    ///
    /// `now` is the successor's time since boot. An unknown epoch counts as the same one, unless the clock shows that
    /// the machine has booted since.
    #[must_use]
    pub fn bequest(&self, epoch: &Epoch, policy: LeasePolicy, now: Duration) -> HoldSet {
        let mut holds = HoldSet::new(policy);
        let rebooted = self.drain.epoch.differs_from(epoch) || millis(now) < self.drain.clock_millis;
        if !rebooted {
            let in_files = self.drain.holds.iter().filter(|hold| hold.source == Source::File);
            in_files.for_each(|hold| holds.restore(Hold { refused: self.refused(hold), ..hold.to_hold() }));
            for answer in &self.drain.acknowledged {
                if answer.outcome == Outcome::Ended(Ending::Expired) {
                    holds.restore_expired(answer.request_id.clone(), answer.nonce.clone());
                }
            }
        }
        holds
    }

    /// What the last write of a hold was refused for. It must not be granted to its owner by a restart (S2).
    fn refused(&self, hold: &HoldStatus) -> Option<Denied> {
        let last_write = |answer: &&Acknowledgement| answer.request_id == hold.request_id && answer.nonce == hold.nonce;
        match self.drain.acknowledged.iter().find(last_write)?.outcome {
            Outcome::Refused(why) => Some(why),
            _ => None,
        }
    }
}

/// What a gateway takes over from an earlier process of its boot: what that one's status left or, where that is lost, the
/// committed holds among the requests in the `files`.
#[must_use]
pub fn inherited(
    status: Option<&Snapshot>,
    files: impl FnOnce() -> Vec<Request>,
    epoch: &Epoch,
    policy: LeasePolicy,
    now: Duration,
) -> HoldSet {
    if let Some(status) = status {
        return status.bequest(epoch, policy, now);
    }
    let mut holds = HoldSet::new(policy);
    let commits = |request: &&Request| request.action == Action::Commit;
    files().iter().filter(commits).for_each(|commit| holds.restore_committed(commit, now));
    holds
}

/// What a process knows of itself.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) incarnation: Incarnation,
    pub(crate) epoch: Epoch,
    pid: u32,
    start_time: Option<u64>,
    argv: Vec<String>,
}

impl Process {
    pub(crate) fn current(incarnation: Incarnation, epoch: Epoch) -> Self {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let argv = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect();
        let start_time = crate::control::epoch::start_time(&stat);
        Self { incarnation, epoch, pid: std::process::id(), start_time, argv }
    }
}

/// What the reconciler knows beside the gateway.
#[derive(Clone, Debug, Default)]
pub(crate) struct ChannelState {
    pub(crate) description: Description,
    pub(crate) ignored: Vec<Ignored>,
    pub(crate) reconciler: ReconcilerStatus,
    pub(crate) revision: u64,
}

/// The one who may publish in a home: it holds the home's lock.
#[derive(Debug)]
pub(crate) struct StatusWriter {
    lock: HomeLock,
    /// What tells the file that was written last from every other.
    written: Mutex<Option<Stamp>>,
}

impl StatusWriter {
    pub(crate) fn new(lock: HomeLock) -> Self {
        Self { lock, written: Mutex::default() }
    }

    /// The lock of the home.
    pub(crate) fn lock(&self) -> &HomeLock {
        &self.lock
    }

    /// Whether the status is still the file that was published last: not removed, not replaced, not written over.
    pub(crate) fn stands(&self) -> bool {
        let there = read::stamp(&self.lock.home().folder, Home::STATUS.as_bytes());
        there.is_ok_and(|there| *self.written.lock() == Some(there))
    }

    /// Takes away what it has published. What it hasn't is somebody else's, and a start may need it.
    pub(crate) fn remove(&self) -> io::Result<()> {
        if self.written.lock().take().is_some() {
            self.lock.remove(Home::STATUS)?;
        }
        Ok(())
    }

    pub(crate) fn publish(&self, snapshot: &Snapshot) -> io::Result<()> {
        let mut bytes = serde_json::to_vec_pretty(snapshot)?;
        bytes.push(b'\n');
        let written = self.lock.write(Home::STATUS, &bytes)?;
        *self.written.lock() = Some(written);
        Ok(())
    }
}

impl HoldStatus {
    /// What a status says of `hold`, `now` being the time since boot.
    #[must_use]
    pub fn of(hold: &Hold, now: Duration) -> Self {
        Self {
            request_id: hold.id.clone(),
            owner: hold.owner.clone(),
            reason: hold.reason.clone(),
            source: hold.source,
            age_seconds: seconds(now.saturating_sub(hold.first_seen)),
            lease_left_seconds: hold.lease_left(now).map(seconds),
            pending: !hold.closes(now),
            committed: hold.commit.is_some(),
            overdue: hold.overdue(now),
            suppress_notification: hold.suppress_notification,
            nonce: hold.nonce.clone(),
            token: hold.commit.as_ref().map(|commit| commit.token.clone()),
            deadline_seconds: hold.deadline.map(|deadline| deadline.as_secs_f64()),
            since_boot_millis: Moments {
                first_seen: millis(hold.first_seen),
                closes_at: millis(hold.closes_at),
                expires_at: millis(hold.expires_at),
                committed_at: hold.commit.as_ref().map(|commit| millis(commit.at)),
            },
        }
    }

    fn to_hold(&self) -> Hold {
        let at = self.since_boot_millis;
        let commit = self.token.clone().zip(at.committed_at);
        Hold {
            id: self.request_id.clone(),
            owner: self.owner.clone(),
            reason: self.reason.clone(),
            source: self.source,
            first_seen: Duration::from_millis(at.first_seen),
            closes_at: Duration::from_millis(at.closes_at),
            expires_at: Duration::from_millis(at.expires_at),
            deadline: self.deadline_seconds.and_then(|s| Duration::try_from_secs_f64(s).ok()),
            suppress_notification: self.suppress_notification,
            nonce: self.nonce.clone(),
            refused: None,
            commit: commit.map(|(token, at)| Commit { token, at: Duration::from_millis(at) }),
        }
    }
}

impl From<ActiveWork> for WorkStatus {
    fn from(work: ActiveWork) -> Self {
        Self { kind: work.kind.into(), label: work.label.into(), age_seconds: seconds(work.age) }
    }
}

/// Seconds to the millisecond: more would be noise.
fn seconds(duration: Duration) -> f64 {
    Duration::from_millis(millis(duration)).as_secs_f64()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
