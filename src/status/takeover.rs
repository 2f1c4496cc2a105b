//! What a restart takes over: from the status or, if that is lost, from the record of commits.

use super::words::read_json;
use super::{FORMAT, HoldStatus, Snapshot, millis};
use crate::control::opened::OpenHome;
use crate::control::{Epoch, Home};
use crate::hold::{Action, Commit, Hold, HoldSet, LeasePolicy, Request, RequestId, Source};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

/// What a status says for the next process alone: what of a hold the rest of the status doesn't say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Takeover(BTreeMap<RequestId, HoldTimes>);

/// The times of a hold that is kept in a file, in milliseconds since boot, and what it is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HoldTimes {
    /// When it began, or begins, to close the gate.
    #[serde(default)]
    pub closes_at: u64,
    /// When its lease runs out.
    #[serde(default)]
    pub expires_at: u64,
    /// When it was committed.
    #[serde(default)]
    pub committed_at: Option<u64>,
    /// It ends with the process that says this.
    #[serde(default)]
    pub bound: bool,
    /// What lay in its file's place last was not its owner's.
    #[serde(default)]
    pub overwritten: bool,
}

impl Takeover {
    /// Of these holds, as far as they are kept in files.
    #[must_use]
    pub fn of(holds: &[Hold]) -> Self {
        let in_files = holds.iter().filter(|hold| hold.is_in_file());
        Self(in_files.map(|hold| (hold.id.clone(), HoldTimes::of(hold))).collect())
    }
}

impl HoldTimes {
    fn of(hold: &Hold) -> Self {
        Self {
            closes_at: millis(hold.closes_at),
            expires_at: millis(hold.expires_at),
            committed_at: hold.commit.as_ref().map(|commit| millis(commit.at)),
            bound: hold.bound,
            overwritten: hold.overwritten,
        }
    }

    /// Of a status that says no times, as one of another gateway's may be: as far as the rest of it tells.
    fn guessed(hold: &HoldStatus, clock_millis: u64) -> Self {
        let from_now = |seconds: f64| {
            let duration = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX);
            clock_millis.saturating_add(millis(duration))
        };
        Self {
            closes_at: clock_millis,
            expires_at: from_now(hold.lease_left_seconds.unwrap_or_default()),
            committed_at: hold.committed.then_some(clock_millis),
            bound: hold.bound,
            overwritten: hold.overwritten,
        }
    }
}

impl HoldStatus {
    fn to_hold(&self, times: HoldTimes) -> Hold {
        // The nonce of the commit is its token.
        let token = self.token.clone().or_else(|| self.nonce.clone()).filter(|_| self.committed);
        let at = Duration::from_millis(times.committed_at.unwrap_or(times.closes_at));
        Hold {
            id: self.request_id.clone(),
            owner: self.owner.clone(),
            notes: self.notes.clone(),
            source: self.source,
            first_seen: Duration::from_millis(self.first_seen_millis),
            closes_at: Duration::from_millis(times.closes_at),
            expires_at: Duration::from_millis(times.expires_at),
            deadline: self.deadline_seconds.and_then(|s| Duration::try_from_secs_f64(s).ok()),
            suppress_notification: self.suppress_notification,
            nonce: self.nonce.clone(),
            bound: times.bound,
            overwritten: times.overwritten,
            commit: token.map(|token| Commit { token, at }),
        }
    }
}

/// The committed holds, in a file of their own (`.drain_commits.json`): the second trace of a commit, if the status is lost.
///
/// It is written before the status that says that a commit was granted or has ended. What is in it was granted, and what
/// isn't was not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CommitRecord {
    /// That of the [status](FORMAT).
    pub format: u32,
    /// Which boot.
    pub epoch: Epoch,
    /// When it was written, in milliseconds since boot.
    pub clock_millis: u64,
    /// The committed holds, as a status says them.
    pub holds: Vec<HoldStatus>,
    /// The rest of what a restart needs.
    pub takeover: Takeover,
}

impl CommitRecord {
    /// Of these holds, all of them committed.
    #[must_use]
    pub fn new(commits: &[Hold], epoch: &Epoch, now: Duration) -> Self {
        Self {
            format: FORMAT,
            epoch: epoch.clone(),
            clock_millis: millis(now),
            holds: commits.iter().map(|hold| HoldStatus::of(hold, now)).collect(),
            takeover: Takeover::of(commits),
        }
    }

    /// Reads the record of a home.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if there is none, [`io::ErrorKind::InvalidData`] if it makes no sense.
    pub fn read(home: &Home) -> io::Result<Self> {
        Self::read_in(&OpenHome::open(home.path())?)
    }

    /// As [`read`](Self::read), in an open home.
    pub(crate) fn read_in(home: &OpenHome) -> io::Result<Self> {
        read_json(home, Home::COMMITS)
    }
}

/// Takes the holds over that are kept in files and bound to no process, unless the machine has booted since: an unknown
/// epoch counts as the same one, unless the clock shows that.
fn restore_holds(
    holds: &[HoldStatus],
    takeover: &Takeover,
    (then, clock_millis): (&Epoch, u64),
    (epoch, now): (&Epoch, Duration),
    into: &mut HoldSet,
) -> bool {
    let rebooted = then.differs_from(epoch) || millis(now) < clock_millis;
    if rebooted {
        return false;
    }
    for hold in holds.iter().filter(|hold| hold.source == Source::File) {
        let times = takeover.0.get(&hold.request_id).copied();
        let hold = hold.to_hold(times.unwrap_or_else(|| HoldTimes::guessed(hold, clock_millis)));
        if !hold.bound || hold.commit.is_some() {
            into.restore(hold);
        }
    }
    true
}

impl Snapshot {
    /// What this status left to its successor, if that is of the same boot: the holds that are kept in files, with their
    /// leases and commits, and what was decided of each write.
    ///
    /// `now` is the successor's time since boot.
    #[must_use]
    pub fn take_over(&self, epoch: &Epoch, policy: LeasePolicy, now: Duration) -> HoldSet {
        let mut holds = HoldSet::new(policy);
        let drain = &self.drain;
        if restore_holds(&drain.holds, &drain.takeover, (&drain.epoch, drain.clock_millis), (epoch, now), &mut holds) {
            drain.acknowledged.iter().for_each(|answer| holds.restore_answer(answer));
        }
        holds
    }
}

/// What a gateway takes over from an earlier process of its boot.
///
/// That is what the status left. If that is lost, it is the commits on record; and a commit among the `files` that is on no
/// record is its owner's hold, uncommitted, for one lease.
#[must_use]
pub fn take_over(
    status: Option<&Snapshot>,
    record: Option<&CommitRecord>,
    files: impl FnOnce() -> Vec<Request>,
    epoch: &Epoch,
    policy: LeasePolicy,
    now: Duration,
) -> HoldSet {
    if let Some(status) = status.filter(|status| status.drain.is_there()) {
        return status.take_over(epoch, policy, now);
    }
    let mut holds = HoldSet::new(policy);
    if let Some(record) = record {
        let written = (&record.epoch, record.clock_millis);
        restore_holds(&record.holds, &record.takeover, written, (epoch, now), &mut holds);
    }
    let commits = |request: &&Request| request.action == Action::Commit && !request.stale;
    files().iter().filter(commits).for_each(|commit| holds.restore_unproven(commit, now));
    holds
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hold::{Nonce, Notes};

    #[test]
    fn a_hold_in_a_file_is_taken_over_with_each_of_its_moments_and_one_of_a_call_is_not() {
        let second = Duration::from_secs(1);
        let hold = |name: &str, source| Hold {
            id: RequestId::new(name).unwrap(),
            owner: "alice".into(),
            notes: Notes::default(),
            source,
            first_seen: second,
            closes_at: second * 2,
            expires_at: second * 90,
            deadline: Some(second * 30),
            suppress_notification: true,
            nonce: Some(Nonce::from("n".to_owned())),
            bound: false,
            overwritten: false,
            commit: None,
        };
        let pending = Hold { closes_at: second * 50, overwritten: true, ..hold("pending", Source::File) };
        let token = Nonce::from("token".to_owned());
        let commit = Some(Commit { token: token.clone(), at: second * 3 });
        let committed = Hold { commit, nonce: Some(token), ..hold("committed", Source::File) };
        let holds =
            [committed.clone(), hold("held", Source::File), pending.clone(), hold("of-a-call", Source::Process)];
        let epoch = Epoch::current();
        let record = CommitRecord::new(&holds, &epoch, second * 20);
        let restored = take_over(None, Some(&record), Vec::new, &epoch, LeasePolicy::default(), second * 25);
        let restored: Vec<_> = restored.iter().cloned().collect();
        assert_eq!(restored, [committed, hold("held", Source::File), pending], "as they stood, to the millisecond");
    }
}
