//! The controller's side over the files of a home on this machine.
//!
//! It writes requests into the [`Channel`] and looks at the published status, together with the lock that tells whose
//! status it is. A file that belongs to another owner is never overwritten and never removed: its absence would withdraw
//! that owner's hold (H2). The one exception is a file that lies over this owner's hold: whose the hold is, the gateway says,
//! and its owner ends it in words, since what somebody else takes away again ends nothing. What the gateway has answered as
//! over, and holds nothing by, is nobody's: it stays for the one who begins a hold in its place.

use super::chain::{Chain, InHand};
use super::transport::{StoredRequest, WriteReceipt};
use super::watch::{GatewayView, StatusView};
use super::{Failure, Status};
use crate::clock::Clock;
use crate::control::read::Stamp;
use crate::control::{Channel, Epoch, Found, Home};
use crate::hold::{Action, Denied, Incarnation, Nonce, Outcome, Request, RequestId, Source, fields};
use crate::status::{DrainStatus, HoldStatus, Snapshot, asked_by, silent_for};
use standing::{
    committed, hold_in, how_it_ended, is_answered, is_in_hand, is_left_standing, is_nobodys, is_token, is_turned_down,
    uncommitted,
};
use std::io;
use std::path::Path;
use std::time::Duration;

mod ending;
mod standing;

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

    pub(super) fn look(&self, id: &RequestId) -> GatewayView {
        let live = match self.home().live() {
            Ok(Some(live)) => live,
            Ok(None) => return self.look_at_the_dead(),
            Err(error) => return GatewayView::Silent(format!("{}: {error}", self.home().lock_path().display())),
        };
        let status = match Snapshot::read(self.home()) {
            Ok(snapshot) => snapshot.drain,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return GatewayView::Starting(live),
            Err(error) => return GatewayView::Silent(format!("{}: {error}", self.home().status().display())),
        };
        if status.incarnation != live {
            return GatewayView::Starting(live);
        }
        if status.epoch.differs_from(&Epoch::current()) {
            return GatewayView::Over(Failure::Ignored(OTHER_EPOCH.into()));
        }
        if let Some(age) = overdue(&status) {
            return GatewayView::Silent(silent_for(age));
        }
        let view = StatusView::of(status, id);
        let unknown = view.hold.is_none() && view.answers.is_empty() && !view.is_ending();
        match unknown.then(|| self.channel.find(id)) {
            Some(Found::Absent) => GatewayView::Removed,
            Some(Found::Stale { epoch, .. }) => GatewayView::Stale(of_another_boot(&epoch)),
            _ => GatewayView::Seen(Box::new(view)),
        }
    }

    /// What tells the status that lies there now from the next one, for a system call; none if nothing does.
    pub(super) fn glance(&self) -> Option<Stamp> {
        rustix::fs::lstat(self.home().status()).ok().map(|stat| Stamp::of(&stat))
    }

    /// Nobody lives there; perhaps the last one left word that it was going.
    fn look_at_the_dead(&self) -> GatewayView {
        match Snapshot::read(self.home()).map(|snapshot| snapshot.drain) {
            Ok(last) if last.state.is_ending() => GatewayView::ShutDown(last.incarnation),
            _ => GatewayView::Dead(format!("no gateway process lives in {}", self.home().path().display())),
        }
    }

    fn current(&self) -> Option<DrainStatus> {
        let live = self.home().live().ok().flatten()?;
        Snapshot::read(self.home()).ok().map(|snapshot| snapshot.drain).filter(|status| status.incarnation == live)
    }

    /// What must be so before anything is written: a home, a gateway that knows holds and honours what is written here, and
    /// no other owner whose file it would replace.
    fn ready(&self, id: &RequestId, owner: &str) -> Result<Option<DrainStatus>, Failure> {
        let path = self.home().path();
        match std::fs::metadata(path) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => return Err(Failure::Unreachable(format!("{} is no folder", path.display()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Failure::Unreachable(format!("there is no folder {}", path.display())));
            }
            Err(error) => return Err(failed(path, "can't be entered", &error)),
        }
        self.channel.permits_writing()?;
        let Some(status) = self.current() else {
            // The process that holds the lock knows holds, whatever lies in the place of its status: that was removed, or another
            // program wrote it.
            return match self.home().live() {
                Ok(None) if super::marker::is_of_reference(self.home()) => {
                    Err(super::marker::knows_no_holds(&path.display().to_string()))
                }
                _ => Ok(None),
            };
        };
        if status.epoch.differs_from(&Epoch::current()) {
            return Err(Failure::Ignored(OTHER_EPOCH.into()));
        }
        let held = hold_in(&status, id);
        if let Some(held) = held.filter(|held| held.owner != owner && !held.owner.is_empty()) {
            return Err(not_yours(&held.owner, owner));
        }
        Ok(Some(status))
    }

    /// What of `owner` stands under this name; none if nothing does that holds or could.
    pub(super) fn find(&self, id: &RequestId, owner: &str) -> Result<Option<StoredRequest>, Failure> {
        let status = self.ready(id, owner)?;
        self.standing(&self.channel.find(id), id, owner, status.as_ref())
    }

    /// Why nothing of `owner` stands under this name, as far as that is known.
    pub(super) fn how_it_ended(&self, id: &RequestId, owner: &str) -> Failure {
        // The status is read before the file: an answer to what lies there now is not older than that.
        let status = self.current();
        how_it_ended(&self.channel.find(id), id, owner, status.as_ref())
    }

    /// What of `owner` stands under this name by its file or, where somebody else's write lies or lay over that, by the
    /// gateway's word: what the gateway says of it is what it was asked for last.
    fn standing(
        &self,
        there: &Found,
        id: &RequestId,
        owner: &str,
        status: Option<&DrainStatus>,
    ) -> Result<Option<StoredRequest>, Failure> {
        if is_nobodys(there, id, owner, status) {
            return Ok(None);
        }
        let stored = self.judged(there, id, owner, status);
        let Some((status, held)) = status.and_then(|status| Some((status, uncommitted(status, id, owner)?))) else {
            return stored;
        };
        let is_covered = match &stored {
            Ok(None) => held.overwritten && !id.is_marker(),
            Ok(Some(_)) => false,
            Err(failure) => matches!(failure, Failure::Denied(_) | Failure::Ignored(_)),
        };
        if is_covered {
            let request = held.asked(&status.incarnation);
            return Ok(Some(StoredRequest { request, first_seen: held.first_seen(), committed: false }));
        }
        stored
    }

    fn stored(
        &self,
        id: &RequestId,
        owner: &str,
        status: Option<&DrainStatus>,
    ) -> Result<Option<StoredRequest>, Failure> {
        self.judged(&self.channel.find(id), id, owner, status)
    }

    /// What of `owner` lies `there`.
    fn judged(
        &self,
        there: &Found,
        id: &RequestId,
        owner: &str,
        status: Option<&DrainStatus>,
    ) -> Result<Option<StoredRequest>, Failure> {
        let committed = status.is_some_and(|status| committed(status, id).is_some());
        let first_seen = status.and_then(|status| hold_in(status, id)).and_then(HoldStatus::first_seen);
        match there {
            Found::Absent if committed => {
                // The gateway keeps it closed although its file is gone.
                let request = Request::begin(id.clone(), owner);
                Ok(Some(StoredRequest { request, first_seen, committed }))
            }
            Found::Absent => Ok(None),
            Found::Valid(request) if request.owner != owner => Err(not_yours(&request.owner, owner)),
            Found::Valid(request) => {
                let asks = request.action == Action::Commit && !is_turned_down(status, id, request.nonce.as_ref());
                let request = asked_by(request.as_ref().clone(), status);
                Ok(Some(StoredRequest { request, first_seen, committed: committed || asks }))
            }
            Found::Stale { epoch, .. } => Err(Failure::Ignored(of_another_boot(epoch))),
            Found::Unreadable { why, .. } => {
                let path = self.home().request_path(id);
                Err(Failure::Denied(format!("what stands at {} is no request: {why}", path.display())))
            }
        }
    }

    /// Begins a hold that isn't there. The same write twice is one.
    pub(super) fn begin(&self, request: &Request) -> Result<WriteReceipt, Failure> {
        let status = self.ready(&request.id, &request.owner)?;
        let status = status.as_ref();
        // One look, by which is decided and which the write is bound to: another may begin the hold in between.
        let there = self.channel.find(&request.id);
        // What an earlier boot left holds nothing, and is nobody's any more.
        let found = match self.standing(&there, &request.id, &request.owner, status) {
            Err(Failure::Ignored(_)) => None,
            found => found?,
        };
        if found.as_ref().is_some_and(|found| found.committed) {
            return Err(Denied::Committed.into());
        }
        let stands = found.as_ref().map(|found| found.request.nonce.as_ref());
        let own = match &there {
            Found::Valid(lying) if lying.owner == request.owner => lying.nonce.as_ref(),
            _ => None,
        };
        if let Some((ours, last)) = request.nonce.as_ref().zip(stands.flatten().or(own))
            && ours != last
            && Chain::of(ours).has(Some(last))
        {
            // It has been answered, and another hand has attached to the hold since: that write's answer says the same.
            return sent(&Request { nonce: Some(last.clone()), ..request.clone() });
        }
        if stands.is_some_and(|stands| stands != request.nonce.as_ref()) {
            return Err(held_already(&request.id));
        }
        match self.channel.write_over(request, &there) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(held_already(&request.id)),
            begun => begun.map_err(|error| self.unwritten(&request.id, &error)).and_then(|_| sent(request)),
        }
    }

    /// Renews the hold in hand, and never begins one that has ended.
    pub(super) fn renew(&self, request: &Request, in_hand: &InHand) -> Result<WriteReceipt, Failure> {
        let last = in_hand.last.as_ref();
        let status = self.ready(&request.id, &request.owner)?;
        let status = status.as_ref();
        let there = self.channel.find(&request.id);
        if let Some(status) = status {
            let mut ours = status.acknowledged.iter().filter(|answer| answer.request_id == request.id);
            let answer = ours.rfind(|answer| last.is_none() || last == answer.nonce.as_ref());
            // A refusal leaves a hold standing, if there is one, and so does what was written in another epoch.
            let held = hold_in(status, &request.id).is_some_and(|hold| hold.source == Source::File);
            match answer.map(|answer| (answer.outcome, Failure::of(answer.outcome))) {
                Some((Outcome::Refused(_) | Outcome::Ignored(_), _)) if held => {}
                Some((_, Some(ended))) => return Err(ended),
                Some((Outcome::Committed, _)) => return Err(Denied::Committed.into()),
                _ => {}
            }
        }
        is_left_standing(&there, &request.id, status)?;
        match self.standing(&there, &request.id, &request.owner, status)? {
            Some(found) if found.committed => Err(Denied::Committed.into()),
            Some(found) if matches!(found.request.action, Action::Begin | Action::Commit) => {
                is_in_hand(in_hand, &found, status)?;
                is_answered(&there, request, in_hand, status)?;
                self.write_over(&keeping(request, &found.request), &there)
            }
            Some(_) => Err(Failure::Withdrawn("the hold is being withdrawn".into())),
            None => Err(how_it_ended(&there, &request.id, &request.owner, status)),
        }
    }

    /// Asks for a commit of the hold in hand.
    pub(super) fn commit(&self, request: &Request, in_hand: &InHand) -> Result<WriteReceipt, Failure> {
        let status = self.ready(&request.id, &request.owner)?;
        let there = self.channel.find(&request.id);
        is_left_standing(&there, &request.id, status.as_ref())?;
        match self.standing(&there, &request.id, &request.owner, status.as_ref())? {
            Some(found)
                if found.committed
                    && found.request.nonce != request.nonce
                    && !status.as_ref().is_some_and(|status| is_token(status, request)) =>
            {
                Err(Denied::Committed.into())
            }
            Some(found) => {
                if found.request.nonce != request.nonce {
                    is_in_hand(in_hand, &found, status.as_ref())?;
                    is_answered(&there, request, in_hand, status.as_ref())?;
                }
                self.write_over(&keeping(request, &found.request), &there)
            }
            None => Err(how_it_ended(&there, &request.id, &request.owner, status.as_ref())),
        }
    }

    /// Whether another write lies in the place of ours by now, and the gateway's `answers` have that one and not ours: it has not
    /// read ours, or had answered it before, and answers it no more.
    pub(super) fn is_replaced(&self, id: &RequestId, ours: &Nonce, answers: &[(Option<Nonce>, Outcome)]) -> bool {
        let found = self.channel.find(id);
        let lies = found.nonce();
        lies.is_some_and(|lies| lies != ours && answers.iter().any(|(nonce, _)| nonce.as_ref() == Some(lies)))
    }

    pub(super) fn first_seen(&self, id: &RequestId) -> Option<u64> {
        self.current().and_then(|status| hold_in(&status, id)?.first_seen())
    }

    pub(super) fn incarnation(&self) -> Result<Incarnation, Failure> {
        let nobody = || Failure::Unreachable(format!("no gateway process lives in {}", self.home().path().display()));
        self.home().live()?.ok_or_else(nobody)
    }

    fn write(&self, request: &Request) -> Result<WriteReceipt, Failure> {
        self.channel.write(request).map_err(|error| self.unwritten(&request.id, &error))?;
        sent(request)
    }

    /// Writes in the place of what was found there. What another has written since is looked at first.
    fn write_over(&self, request: &Request, there: &Found) -> Result<WriteReceipt, Failure> {
        match self.channel.write_over(request, there) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(changed()),
            written => written.map_err(|error| self.unwritten(&request.id, &error)).and_then(|_| sent(request)),
        }
    }

    /// Removes what was found there; tells whether there was anything.
    fn remove_seen(&self, id: &RequestId, there: &Found) -> Result<bool, Failure> {
        match self.channel.remove_seen(id, there) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(changed()),
            removed => removed.map_err(|error| failed(&self.home().request_path(id), "can't be removed", &error)),
        }
    }

    /// Removes a request's file; tells whether there was one.
    fn remove(&self, id: &RequestId) -> Result<bool, Failure> {
        self.channel.remove(id).map_err(|error| failed(&self.home().request_path(id), "can't be removed", &error))
    }

    fn unwritten(&self, id: &RequestId, error: &io::Error) -> Failure {
        failed(&self.home().request_path(id), "can't be written", error)
    }

    /// Writes the marker; `again` if it is ours already.
    pub(super) fn put_marker(&self, request: &Request, again: bool) -> Result<(), Failure> {
        // The status is read before the file: an answer to what lies there now is not older than that.
        let status = self.current();
        let there = self.channel.find(&request.id);
        let not_ours = || Failure::Denied("a marker lies there already, and it is not ours".into());
        match &there {
            Found::Absent if again => return Err(Failure::Withdrawn("the marker is gone".into())),
            Found::Absent | Found::Stale { .. } => {}
            Found::Valid(found) if again && found.owner == request.owner => {}
            there if !again && is_nobodys(there, &request.id, &request.owner, status.as_ref()) => {}
            _ => return Err(not_ours()),
        }
        match self.channel.write_over(request, &there) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(not_ours()),
            written => written.map(drop).map_err(|error| self.unwritten(&request.id, &error)),
        }
    }

    /// Removes the marker, unless another owner's lies there that may hold. What lies over this owner's hold is no other's hold.
    pub(super) fn remove_marker(&self, owner: &str) -> Result<(), Failure> {
        let marker = RequestId::marker();
        loop {
            let status = self.current();
            let status = status.as_ref();
            let there = self.channel.find(&marker);
            if let Found::Valid(found) = &there
                && found.owner != owner
                && !found.owner.is_empty()
                && status.and_then(|status| hold_in(status, &marker)).is_none_or(|hold| hold.owner != owner)
                && !is_nobodys(&there, &marker, owner, status)
            {
                return Err(not_yours(&found.owner, owner));
            }
            match self.channel.remove_seen(&marker, &there) {
                // Another has written there since: it is looked at again.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                removed => {
                    let failed = |error| failed(&self.home().request_path(&marker), "can't be removed", &error);
                    return removed.map(drop).map_err(failed);
                }
            }
        }
    }

    pub(super) fn status(&self) -> Result<Status, Failure> {
        let live = self.home().live()?;
        let found = super::marker::status_of(self.home());
        let Some(live) = live else {
            let mut status = found?;
            if status.knows_holds {
                status.running = Some(false);
                status.drain = None;
                status.active_agents = None;
            }
            return Ok(status);
        };
        match found {
            Err(denied @ Failure::Denied(_)) => Err(denied),
            Ok(status) if status.drain.as_ref().is_some_and(|drain| drain["incarnation"] == live.as_str()) => {
                let drain = status.drain.clone().and_then(|drain| serde_json::from_value(drain).ok());
                let silent_for = drain.and_then(|drain: DrainStatus| overdue(&drain));
                let mut status = Status { running: Some(true), silent_for, ..status };
                if silent_for.is_some() {
                    (status.state, status.drain, status.active_agents) = (None, None, None);
                }
                Ok(status)
            }
            // What another has left there, or wrote, says nothing of the one that lives, and is no state of a gateway.
            _ => Ok(Status::unpublished()),
        }
    }
}

/// The age of a status that is too old to be believed.
fn overdue(status: &DrainStatus) -> Option<Duration> {
    status.overdue(&Epoch::current(), Clock::boot().now())
}

/// What a file's error means to the caller, with the file's name.
fn failed(path: &Path, what: &str, error: &io::Error) -> Failure {
    io::Error::new(error.kind(), format!("{} {what}: {error}", path.display())).into()
}

const OTHER_EPOCH: &str = "the gateway runs in another epoch than this command (another boot, or another container)";

fn sent(request: &Request) -> Result<WriteReceipt, Failure> {
    let nonce = request.nonce.clone().ok_or_else(|| Failure::Internal("a request without a nonce".into()))?;
    Ok(WriteReceipt { nonce, lease: request.lease, first_seen: None, answered: false, repeat: false })
}

/// This write of a hold that stands: what it doesn't say stays as it is.
fn keeping(request: &Request, stands: &Request) -> Request {
    fields::keeping(request.clone(), &fields::said_by(request), stands)
}

/// What stands there was written by another hand just now: it is looked at again.
fn changed() -> Failure {
    Failure::Unreachable("another write lies in the hold's place, and the gateway has not answered it yet".into())
}

fn not_yours(whose: &str, ours: &str) -> Failure {
    Failure::Denied(format!("{}: it belongs to {whose:?}, and this is {ours:?}", Denied::NotYours))
}

pub(super) fn no_such_hold() -> Failure {
    Failure::Withdrawn("there is no such hold, or no more".into())
}

/// Who begins a hold that is there would share it with its first beginner, and end it under them.
pub(super) fn held_already(id: &RequestId) -> Failure {
    Failure::Denied(format!("there is a hold {id} already: if it is yours, --attach takes it up"))
}

fn of_another_boot(epoch: &Epoch) -> String {
    format!("the request was written in another boot ({})", epoch.as_str())
}

#[cfg(test)]
mod tests;
