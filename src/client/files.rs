//! The controller's side over the files of a home on this machine.
//!
//! It writes requests into the [`Channel`] and looks at the published status, together with the lock that tells whose
//! status it is. A file that belongs to another owner is never overwritten and never removed: its absence would withdraw
//! that owner's hold (H2).

use super::transport::{Sent, Withdrawal};
use super::watch::{Look, Sight};
use super::{Failure, Status};
use crate::control::{Channel, Epoch, Found, Home};
use crate::hold::{Action, Denied, Nonce, Outcome, Request, RequestId};
use crate::status::{DrainStatus, HoldStatus, Readout, Snapshot};
use serde_json::json;
use std::io;

#[derive(Clone, Debug)]
pub(super) struct Files {
    channel: Channel,
}

impl Files {
    pub(super) fn new(home: Home) -> Self {
        Self { channel: Channel::new(home) }
    }

    pub(super) fn home(&self) -> &Home {
        self.channel.home()
    }

    pub(super) fn look(&self, id: &RequestId) -> Look {
        let live = match self.home().live() {
            Ok(Some(live)) => live,
            Ok(None) => return self.look_at_the_dead(),
            Err(error) => return Look::Silent(format!("{}: {error}", self.home().lock_path().display())),
        };
        let status = match Snapshot::read(self.home()) {
            Ok(snapshot) => snapshot.drain,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Look::Starting(live),
            Err(error) => return Look::Silent(format!("{}: {error}", self.home().status().display())),
        };
        if status.incarnation != live {
            return Look::Starting(live);
        }
        if status.epoch.differs_from(&Epoch::current()) {
            let why = "the gateway runs in another epoch than this command (another boot, or another container)";
            return Look::Over(Failure::Ignored(why.into()));
        }
        let sight = Sight::of(status, id);
        let unknown = sight.hold.is_none() && sight.answers.is_empty() && !sight.is_ending();
        match unknown.then(|| self.channel.find(id)) {
            Some(Found::Absent) => Look::Removed,
            Some(Found::Stale { epoch }) => Look::Stale(of_another_boot(&epoch)),
            _ => Look::Seen(Box::new(sight)),
        }
    }

    /// Nobody lives there; perhaps the last one left word that it was going.
    fn look_at_the_dead(&self) -> Look {
        use crate::state::DrainState::{ShutdownDraining, Stopped};
        match Snapshot::read(self.home()).map(|snapshot| snapshot.drain) {
            Ok(last) if matches!(last.state, ShutdownDraining | Stopped) => Look::ShutDown(last.incarnation),
            _ => Look::Silent(format!("no gateway process lives in {}", self.home().path().display())),
        }
    }

    fn current(&self) -> Option<DrainStatus> {
        let live = self.home().live().ok().flatten()?;
        Snapshot::read(self.home()).ok().map(|snapshot| snapshot.drain).filter(|status| status.incarnation == live)
    }

    /// The request of `owner` that stands under this name; none if nothing does.
    pub(super) fn find(&self, id: &RequestId, owner: &str) -> Result<Option<Request>, Failure> {
        match self.channel.find(id) {
            Found::Absent => Ok(None),
            Found::Valid(request) if request.owner == owner => Ok(Some(*request)),
            Found::Valid(request) => {
                let why = format!("{}: it belongs to {:?}, and this is {owner:?}", Denied::NotYours, request.owner);
                Err(Failure::Denied(why))
            }
            Found::Stale { epoch } => Err(Failure::Ignored(of_another_boot(&epoch))),
            Found::Unreadable { why, .. } => {
                let path = self.home().request_path(id);
                Err(Failure::Denied(format!("what stands at {} is no request: {why}", path.display())))
            }
        }
    }

    pub(super) fn begin(&self, request: &Request) -> Result<Sent, Failure> {
        match self.find(&request.id, &request.owner) {
            // What an earlier boot left holds nothing, and is nobody's any more.
            Err(Failure::Ignored(_)) => {}
            Err(other) => return Err(other),
            Ok(found) => {
                if found.is_some_and(|found| found.action == Action::Commit) {
                    return Err(Denied::Committed.into());
                }
            }
        }
        if self.current().is_some_and(|status| committed(&status, &request.id).is_some()) {
            return Err(Denied::Committed.into());
        }
        self.write(request)
    }

    /// Renews a hold that is there, and never begins one that has ended.
    pub(super) fn renew(&self, request: &Request, last: Option<&Nonce>) -> Result<Sent, Failure> {
        if let Some(status) = self.current() {
            let mut ours = status.acknowledged.iter().filter(|answer| answer.request_id == request.id);
            let answer = ours.rfind(|answer| last.is_none() || answer.nonce.as_ref() == last);
            match answer.map(|answer| (answer.outcome, Failure::of(answer.outcome))) {
                Some((_, Some(ended))) => return Err(ended),
                Some((Outcome::Committed, _)) => return Err(Denied::Committed.into()),
                _ => {}
            }
        }
        match self.find(&request.id, &request.owner)? {
            Some(found) if found.action == Action::Begin => self.write(request),
            Some(_) => Err(Denied::Committed.into()),
            None => Err(Failure::Withdrawn("there is no such hold, or no more: its file is not there".into())),
        }
    }

    /// Removes the file of a hold that has ended, if one of these writes of ours put it there: a renewal that crossed
    /// with the ending would begin the hold anew, against the will of whoever ended it.
    pub(super) fn take_back(&self, id: &RequestId, ours: &[Nonce]) {
        if let Found::Valid(found) = self.channel.find(id)
            && found.action == Action::Begin
            && found.nonce.is_some_and(|nonce| ours.contains(&nonce))
        {
            // What stays there is bounded by its lease.
            let _ = self.channel.remove(id);
        }
    }

    pub(super) fn write(&self, request: &Request) -> Result<Sent, Failure> {
        if !self.home().path().is_dir() {
            return Err(Failure::Unreachable(format!("there is no folder {}", self.home().path().display())));
        }
        let nonce = request.nonce.clone().ok_or_else(|| Failure::Internal("a request without a nonce".into()))?;
        self.channel.write(request)?;
        Ok(Sent { nonce, answered: false, repeat: false })
    }

    /// Takes a hold away, as far as the files can: what is left is for the gateway to notice.
    pub(super) fn end(&self, request: &Request) -> Result<Withdrawal, Failure> {
        if request.action == Action::Override {
            return self.override_hold(request);
        }
        let status = self.current();
        let committed = status.as_ref().and_then(|status| committed(status, &request.id));
        if request.token.is_some() {
            // Written over the commit's own file, so only once it is known not to be refused.
            if committed.is_some_and(|hold| hold.token != request.token) {
                return Err(Failure::Denied("the token is not this commit's".into()));
            }
            self.find_ours(request)?;
            self.write(request)?;
            return Ok(Withdrawal::Written);
        }
        if committed.is_some() {
            return Err(Denied::Committed.into());
        }
        let found = self.find_ours(request)?;
        let refused = |nonce: &Option<Nonce>| {
            let answers = status.iter().flat_map(|status| &status.acknowledged);
            answers.filter(|answer| answer.request_id == request.id && answer.nonce == *nonce).count() > 0
        };
        if found.as_ref().is_some_and(|found| found.action == Action::Commit && !refused(&found.nonce)) {
            return Err(Failure::Denied("a commit is under way, and only its token ends it".into()));
        }
        let there = self.channel.remove(&request.id)?;
        Ok(if there { Withdrawal::Written } else { Withdrawal::Nothing })
    }

    /// Whoever may write here may end any hold; that it was an override is in the gateway's own record.
    fn override_hold(&self, request: &Request) -> Result<Withdrawal, Failure> {
        if !request.id.is_marker() {
            return self.write(request).map(|_| Withdrawal::Written);
        }
        // The marker is nobody's: whoever removes it withdraws it.
        let there = self.channel.remove(&request.id)?;
        Ok(if there { Withdrawal::Written } else { Withdrawal::Nothing })
    }

    /// As [`find`](Self::find), but what an earlier boot left may be taken away by anybody.
    fn find_ours(&self, request: &Request) -> Result<Option<Request>, Failure> {
        match self.find(&request.id, &request.owner) {
            Err(Failure::Ignored(_)) => Ok(None),
            found => found,
        }
    }

    /// Whether a withdrawal or an override has taken effect in the gateway; clears away what it was written in.
    pub(super) fn has_ended(&self, request: &Request) -> Result<bool, Failure> {
        let written = request.token.is_some() || (request.action == Action::Override && !request.id.is_marker());
        let Some(status) = self.current() else { return Ok(false) };
        let answer = status.acknowledged.iter().find(|answer| answer.nonce == request.nonce);
        let ended = match answer.map(|answer| answer.outcome) {
            Some(Outcome::Refused(Denied::ShuttingDown) | Outcome::Ended(_)) => true,
            Some(Outcome::Refused(why)) => return Err(why.into()),
            _ => !written && !status.holds.iter().any(|hold| hold.request_id == request.id),
        };
        if ended && written {
            let found = self.channel.find(&request.id);
            if matches!(&found, Found::Valid(there) if there.nonce == request.nonce) {
                self.channel.remove(&request.id)?;
            }
        }
        Ok(ended)
    }

    pub(super) fn status(&self) -> Result<Status, Failure> {
        let live = self.home().live()?;
        let snapshot = Snapshot::read(self.home()).ok();
        let readout = Readout::of(snapshot.as_ref(), live.is_some(), None);
        let ours = snapshot.filter(|snapshot| Some(&snapshot.drain.incarnation) == live.as_ref());
        Ok(Status { readout, drain: ours.map(|snapshot| json!(snapshot.drain)) })
    }
}

fn of_another_boot(epoch: &Epoch) -> String {
    format!("the request was written in another boot ({})", epoch.as_str())
}

/// The hold of this name, if it is committed.
fn committed<'a>(status: &'a DrainStatus, id: &RequestId) -> Option<&'a HoldStatus> {
    status.holds.iter().find(|hold| hold.request_id == *id && hold.committed)
}
