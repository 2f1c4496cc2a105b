//! What a status says, and how one is made of a moment of the gateway.

use super::{Takeover, millis, seconds};
use crate::control::Epoch;
use crate::controller::{Acknowledgement, View};
use crate::gate::{ActiveWork, Generation};
#[cfg(any(feature = "axum", feature = "client"))]
use crate::hold::{Action, Request};
use crate::hold::{Hold, Incarnation, Nonce, Notes, RequestId, Source};
use crate::state::DrainState;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::time::Duration;

/// The format of what stands under `drain`. It rises when a reader of the one before would misunderstand what is new.
pub const FORMAT: u32 = 2;

/// The reference's word for where a gateway stands (`gateway_state`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "axum", derive(utoipa::ToSchema))]
#[non_exhaustive]
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
    /// Taking work, with something amiss. Later versions of the reference say so; this crate never does.
    Degraded,
    /// A word that this version doesn't know, or none. It is not running.
    #[default]
    #[serde(other)]
    Unknown,
}

impl GatewayState {
    /// Whether a gateway that says so takes work.
    #[must_use]
    pub const fn serves(self) -> bool {
        matches!(self, Self::Running | Self::Degraded)
    }
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
#[serde(default)]
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
    #[serde(default)]
    pub gateway_state: GatewayState,
    /// All work in flight: turns and internal work. Never negative; none where a status doesn't say.
    #[serde(default)]
    pub active_agents: Option<u64>,
    /// The process; 0 where a status doesn't say.
    #[serde(default)]
    pub pid: u32,
    /// When it started, in clock ticks since boot; absent where that can't be known.
    #[serde(default)]
    pub start_time: Option<u64>,
    /// The command line.
    #[serde(default)]
    pub argv: Vec<String>,
    /// What the application says of itself.
    #[serde(flatten)]
    pub description: Description,
    /// When this snapshot was made (ISO 8601, UTC, of the wall clock).
    #[serde(default)]
    pub updated_at: String,
    /// Everything that the reference doesn't have; of a status of the reference's, [nothing](DrainStatus::is_there).
    #[serde(default)]
    pub drain: DrainStatus,
}

/// What a gateway says of its drain. Every field has a default on reading: a reader demands only what it concludes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a field on the wire")]
pub struct DrainStatus {
    /// The [format](FORMAT): 1 where it isn't said, and 0 if there is no drain in the status.
    #[serde(default = "first_format")]
    pub format: u32,
    /// Which of the four states. A word that isn't known is read as closed and not drained.
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
    /// The clock that leases run on when this was made: milliseconds since boot. Within an epoch it tells how old a status is.
    pub clock_millis: u64,
    /// How often the files are looked at, in seconds.
    pub tick_seconds: Option<f64>,
    /// After how long a status that says nothing new is written all the same, in seconds.
    pub refresh_seconds: Option<f64>,
    /// What only a restart needs. It is nobody else's business, and may change with any version.
    pub takeover: Takeover,
}

const fn first_format() -> u32 {
    1
}

impl Default for DrainStatus {
    /// Of a status that says nothing of a drain: not running, not drained, and of nobody.
    fn default() -> Self {
        Self {
            format: 0,
            state: DrainState::ExternalDraining,
            generation: Generation::default(),
            incarnation: Incarnation::default(),
            epoch: Epoch::default(),
            in_flight: 0,
            internal: 0,
            drained: false,
            interrupted: false,
            abandoned: false,
            pending: false,
            stalled: false,
            suppress_notification: false,
            holds: Vec::new(),
            active_work: Vec::new(),
            acknowledged: Vec::new(),
            ignored: Vec::new(),
            reconciler: ReconcilerStatus::default(),
            revision: 0,
            clock_millis: 0,
            tick_seconds: None,
            refresh_seconds: None,
            takeover: Takeover::default(),
        }
    }
}

impl DrainStatus {
    /// Whether there is one at all: a status of the reference's has none.
    #[must_use]
    pub const fn is_there(&self) -> bool {
        self.format > 0
    }

    /// The hold of this name that is kept in a file: the only kind that anybody outside the process can have.
    #[must_use]
    pub fn hold(&self, id: &RequestId) -> Option<&HoldStatus> {
        self.holds.iter().find(|hold| hold.request_id == *id && hold.source == Source::File)
    }
}

/// One hold in a status.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
#[expect(clippy::struct_excessive_bools, reason = "each is a field on the wire")]
pub struct HoldStatus {
    /// Its name.
    pub request_id: RequestId,
    /// To whom it belongs.
    #[serde(default)]
    pub owner: String,
    /// What its owner says of it for people.
    #[serde(flatten)]
    pub notes: Notes,
    /// Where it is kept.
    #[serde(default = "in_a_file")]
    pub source: Source,
    /// When the gateway first saw it, on the clock of `clock_millis`: two holds of one name differ in it.
    #[serde(default)]
    pub first_seen_millis: u64,
    /// How long the gateway has known it, in seconds.
    #[serde(default)]
    pub age_seconds: f64,
    /// What is left of its lease, in seconds; none once committed.
    #[serde(default)]
    pub lease_left_seconds: Option<f64>,
    /// It has not closed the gate yet.
    #[serde(default)]
    pub pending: bool,
    /// Its owner has the right to act.
    #[serde(default)]
    pub committed: bool,
    /// The act takes longer than its deadline.
    #[serde(default)]
    pub overdue: bool,
    /// Asks that a shutdown under this hold notifies nobody.
    #[serde(default)]
    pub suppress_notification: bool,
    /// The last write acted on.
    #[serde(default)]
    pub nonce: Option<Nonce>,
    /// The nonce of the commit, which its withdrawal has to bear.
    #[serde(default)]
    pub token: Option<Nonce>,
    /// How long the act may take, in seconds.
    #[serde(default)]
    pub deadline_seconds: Option<f64>,
    /// It ends with the process that says this.
    #[serde(default)]
    pub bound: bool,
    /// What lies in its file's place, or lay there last, is not its owner's write.
    #[serde(default)]
    pub overwritten: bool,
}

const fn in_a_file() -> Source {
    Source::File
}

impl HoldStatus {
    /// What a status says of `hold`, `now` being the time since boot.
    #[must_use]
    pub fn of(hold: &Hold, now: Duration) -> Self {
        Self::beside(hold, now, now)
    }

    /// What it says beside a gate that was last brought into line with the holds at `settled_at`. A hold is pending until the gate has
    /// closed: beside `running` no status says of one that it closes the gate.
    fn beside(hold: &Hold, now: Duration, settled_at: Duration) -> Self {
        Self {
            request_id: hold.id.clone(),
            owner: hold.owner.clone(),
            notes: hold.notes.clone(),
            source: hold.source,
            first_seen_millis: millis(hold.first_seen),
            age_seconds: seconds(now.saturating_sub(hold.first_seen)),
            lease_left_seconds: hold.lease_left(now).map(seconds),
            pending: !hold.closes(settled_at),
            committed: hold.commit.is_some(),
            overdue: hold.overdue(now),
            suppress_notification: hold.suppress_notification,
            nonce: hold.nonce.clone(),
            token: hold.commit.as_ref().map(|commit| commit.token.clone()),
            deadline_seconds: hold.deadline.map(|deadline| deadline.as_secs_f64()),
            bound: hold.bound,
            overwritten: hold.overwritten,
        }
    }

    /// When the gateway first saw it, where the status says so.
    #[cfg(feature = "client")]
    pub(crate) fn first_seen(&self) -> Option<u64> {
        (self.first_seen_millis > 0).then_some(self.first_seen_millis)
    }

    /// Whether this request, which the gateway has yet to answer, will end the hold: what is written over it before that undoes the
    /// ending, and nobody tells its writer.
    #[cfg(any(feature = "axum", feature = "client"))]
    pub(crate) fn is_ended_by(&self, request: &Request) -> bool {
        match request.action {
            Action::Override => true,
            Action::Withdraw => request.owner == self.owner && (!self.committed || request.token == self.token),
            Action::Begin | Action::Commit => false,
        }
    }

    /// What the hold was asked for last, as far as the gateway tells, for its renewal where the request itself was
    /// written over. The lease is a minute, or what is left if that is more.
    #[cfg(any(feature = "axum", feature = "client"))]
    pub(crate) fn asked(&self, gateway: &Incarnation) -> Request {
        let duration = |seconds: f64| Duration::try_from_secs_f64(seconds).ok();
        let left = self.lease_left_seconds.and_then(duration);
        Request {
            nonce: self.nonce.clone(),
            notes: self.notes.clone(),
            lease: left.map(|left| left.max(Duration::from_secs(60))),
            deadline: self.deadline_seconds.and_then(duration),
            suppress_notification: self.suppress_notification,
            incarnation: self.bound.then(|| gateway.clone()),
            ..Request::begin(self.request_id.clone(), self.owner.clone())
        }
    }
}

/// What a hold was asked for last, by the request that lies in its file. The process that a commit names is the commit's own:
/// whether the hold is bound to one, the gateway says.
#[cfg(any(feature = "axum", feature = "client"))]
pub(crate) fn asked_by(lying: Request, status: Option<&DrainStatus>) -> Request {
    if lying.action != Action::Commit {
        return lying;
    }
    let bound_to = status.filter(|status| status.hold(&lying.id).is_some_and(|hold| hold.bound));
    Request { incarnation: bound_to.map(|status| status.incarnation.clone()), ..lying }
}

/// One piece of labelled work in a status.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "axum", derive(utoipa::ToSchema))]
pub struct WorkStatus {
    /// The sort of work.
    #[serde(default)]
    pub kind: String,
    /// Which one.
    #[serde(default)]
    pub label: String,
    /// How long it has been in flight, in seconds.
    #[serde(default)]
    pub age_seconds: f64,
}

/// Something in the channel that is not honoured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Ignored {
    /// Which request.
    #[serde(default)]
    pub request_id: String,
    /// Why not, as a word.
    #[serde(default)]
    pub kind: IgnoredKind,
    /// Why not, for people.
    #[serde(default, alias = "why")]
    pub detail: String,
}

/// Why something in the channel is not honoured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum IgnoredKind {
    /// It was written in another epoch (C3).
    OtherEpoch,
    /// It lies in the place of a hold's file, and is not that hold's owner's: the hold stays (C7).
    Overwritten,
    /// A committed hold's file is gone: the hold stays (H4).
    FileGone,
    /// A word that this version doesn't know, or none.
    #[default]
    #[serde(other)]
    Unknown,
}

impl Ignored {
    pub(crate) fn new(request_id: impl Into<String>, kind: IgnoredKind, detail: impl Into<String>) -> Self {
        Self { request_id: request_id.into(), kind, detail: detail.into() }
    }
}

/// How the thread that looks at the channel is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
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
    pub observer_panics: u64,
    /// Changes that an observer was not told of: it didn't keep up.
    pub observer_lost: u64,
    /// The system tells of changes in the home; where it doesn't, they are seen at the next tick.
    pub events: bool,
}

impl ReconcilerStatus {
    /// Something could not be read or written, and this is why.
    pub(crate) fn failed(&mut self, why: String) {
        self.errors += 1;
        self.last_error = Some(why);
    }
}

impl From<ActiveWork> for WorkStatus {
    fn from(work: ActiveWork) -> Self {
        Self { kind: work.kind.into(), label: work.label.into(), age_seconds: seconds(work.age) }
    }
}

impl Snapshot {
    /// What is needed beside one moment of the gateway to say everything.
    pub(crate) fn new(view: View, work: Vec<ActiveWork>, process: &Process, channel: ChannelState) -> Self {
        let reading = view.reading;
        Self {
            gateway_state: reading.state.into(),
            active_agents: Some(reading.total()),
            pid: process.pid,
            start_time: process.start_time,
            argv: process.argv.clone(),
            description: channel.description,
            updated_at: crate::control::request_file::now(),
            drain: DrainStatus {
                format: FORMAT,
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
                holds: view.holds.iter().map(|hold| HoldStatus::beside(hold, view.now, view.settled_at)).collect(),
                active_work: work.into_iter().map(WorkStatus::from).collect(),
                acknowledged: view.acknowledged,
                ignored: channel.ignored,
                reconciler: channel.reconciler,
                revision: channel.revision,
                clock_millis: millis(view.now),
                tick_seconds: Some(seconds(process.tick)),
                refresh_seconds: Some(seconds(process.refresh)),
                takeover: Takeover::of(&view.holds),
            },
        }
    }

    /// Takes from a newer status what only time has changed, so that no copy of either is needed, and says whether the two
    /// are equal then. A status that says nothing new isn't written.
    pub(crate) fn take_times_and_compare(&mut self, newer: &Self) -> bool {
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

    /// Whether this is true where a newer one is, with which it was [compared](Self::take_times_and_compare) before: they
    /// differ in errors of the reconciler at most.
    pub(crate) fn is_true_beside(&self, newer: &Self) -> bool {
        let mut same = newer.clone();
        same.drain.reconciler.clone_from(&self.drain.reconciler);
        same.drain.revision = self.drain.revision;
        same == *self
    }
}

/// What a process knows of itself.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) incarnation: Incarnation,
    pub(crate) epoch: Epoch,
    pid: u32,
    start_time: Option<u64>,
    argv: Vec<String>,
    tick: Duration,
    refresh: Duration,
}

impl Process {
    pub(crate) fn current(incarnation: Incarnation, epoch: Epoch, tick: Duration, refresh: Duration) -> Self {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let argv = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect();
        let start_time = crate::control::epoch::start_time(&stat);
        Self { incarnation, epoch, pid: std::process::id(), start_time, argv, tick, refresh }
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn hold(fields: &Value) -> HoldStatus {
        let mut hold = json!({"request_id": "upgrade", "owner": "alice", "nonce": "n", "reason": "new kernel"});
        for (name, value) in fields.as_object().expect("an object") {
            hold[name] = value.clone();
        }
        serde_json::from_value(hold).expect("a hold")
    }

    #[test]
    #[cfg(any(feature = "axum", feature = "client"))]
    fn a_hold_is_asked_for_again_with_all_that_the_gateway_tells_of_it_and_for_a_minute_at_least() {
        let gateway = Incarnation::from("here".to_owned());
        let minute = Duration::from_secs(60);
        let said =
            json!({"lease_left_seconds": 61.5, "deadline_seconds": 90.0, "suppress_notification": true, "bound": true});
        let asked = hold(&said).asked(&gateway);
        assert_eq!((asked.action, asked.id.as_str(), asked.owner.as_str()), (Action::Begin, "upgrade", "alice"));
        assert_eq!((asked.notes.reason.as_str(), asked.nonce), ("new kernel", Some(Nonce::from("n".to_owned()))));
        assert_eq!((asked.lease, asked.deadline), (Some(Duration::from_millis(61_500)), Some(minute + minute / 2)));
        assert_eq!((asked.suppress_notification, asked.incarnation), (true, Some(gateway.clone())));
        let asked = hold(&json!({"lease_left_seconds": 0.5})).asked(&gateway);
        assert_eq!(
            (asked.lease, asked.deadline),
            (Some(minute), None),
            "what is left may be too little to renew it in"
        );
        assert_eq!((asked.suppress_notification, asked.incarnation), (false, None));
        let asked = hold(&json!({"lease_left_seconds": -1.0, "deadline_seconds": 1e300})).asked(&gateway);
        assert_eq!((asked.lease, asked.deadline), (None, None), "what is no time is as if it weren't said");
    }

    #[test]
    #[cfg(feature = "client")]
    fn a_hold_of_which_no_moment_is_said_was_seen_first_at_no_known_one() {
        assert_eq!(hold(&json!({})).first_seen(), None);
        assert_eq!(hold(&json!({"first_seen_millis": 1})).first_seen(), Some(1));
    }

    #[test]
    fn of_a_description_what_has_changed_is_taken_over_and_what_others_said_stays() {
        let of = |platforms: Value| Description {
            platforms: platforms.as_object().unwrap().clone(),
            ..Description::default()
        };
        let mut published = of(json!({"gone": 1, "same": 2, "other": 3, "another's": 4}));
        let before = of(json!({"gone": 1, "same": 0, "other": 3}));
        published.follow(&before, Description { kind: "proxy".into(), ..of(json!({"same": 0, "other": 5})) });
        assert_eq!(published.kind, "proxy");
        assert_eq!(Value::from(published.platforms), json!({"same": 2, "other": 5, "another's": 4}));
    }

    #[test]
    #[cfg(any(feature = "axum", feature = "client"))]
    fn what_a_commit_asked_for_is_bound_to_a_process_only_if_the_gateway_says_so() {
        let id = RequestId::new("upgrade").unwrap();
        let [here, there] = ["here", "there"].map(|process| Incarnation::from(process.to_owned()));
        let commit = Request::commit(id.clone(), "ops", there.clone(), Generation(1));
        let status = |bound: bool| DrainStatus {
            incarnation: here.clone(),
            holds: vec![hold(&json!({"request_id": "upgrade", "bound": bound}))],
            ..DrainStatus::default()
        };
        let bound_to = |request: &Request, status: Option<&DrainStatus>| asked_by(request.clone(), status).incarnation;
        assert_eq!(bound_to(&commit, Some(&status(true))), Some(here.clone()));
        assert_eq!(bound_to(&commit, Some(&status(false))), None);
        assert_eq!(bound_to(&commit, None), None);
        let begin = Request { incarnation: Some(there.clone()), ..Request::begin(id, "ops") };
        assert_eq!(bound_to(&begin, Some(&status(true))), Some(there), "a begin says it itself");
    }

    #[test]
    fn a_status_is_true_beside_a_newer_one_that_differs_in_errors_of_the_reconciler_at_most() {
        let status = |drain: Value| serde_json::from_value::<Snapshot>(json!({"drain": drain})).expect("a status");
        let old = status(json!({"format": 2, "state": "running", "revision": 3}));
        let failed = json!({"alive": false, "errors": 2, "last_error": "the disk is full"});
        let newer = json!({"format": 2, "state": "running", "revision": 4, "reconciler": failed});
        assert!(old.is_true_beside(&old) && old.is_true_beside(&status(newer.clone())));
        for (field, value) in [
            ("state", json!("external_draining")),
            ("in_flight", json!(1)),
            ("drained", json!(true)),
            ("pending", json!(true)),
            ("holds", json!([{"request_id": "upgrade"}])),
            ("acknowledged", json!([{"request_id": "upgrade", "nonce": "n", "outcome": "held"}])),
            ("incarnation", json!("another")),
        ] {
            let mut newer = newer.clone();
            newer[field] = value;
            assert!(!old.is_true_beside(&status(newer)), "{field} is not as it was");
        }
    }
}
