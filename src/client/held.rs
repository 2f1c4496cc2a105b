//! A hold in a controller's hands: its lease is kept by a thread, and the controller that began it withdraws it on every path.
//!
//! Who attaches to a hold takes nothing back on a failure: it is another's to end. Who commits has the token, kept on the
//! disk before it is asked for, and ends the commit with it.

use super::chain::{Chain, InHand};
use super::ending::{Limits, withdraw};
use super::session::{Goal, Session};
use super::token_store::{Record, StoredRecord};
use super::transport::{StoredRequest, WriteReceipt};
use super::{Drain, Failure, Interrupt, SeenDrained};
use crate::hold::{Denied, Incarnation, Nonce, Request, RequestId, fields};
use crate::sync::Arc;
use core::{fmt, mem};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long the drop of a guard may take to give up its hold.
pub(super) const DROP_LIMIT: Duration = Duration::from_secs(3);

/// Of what was asked for without an answer, and ended as far as could be seen.
pub(super) const LATE: &str = "it was asked for without an answer, and what was sent may still arrive";

/// The gate is held closed, and the lease is kept. Dropping what [`begin`](Drain::begin) gave withdraws the hold;
/// [`detach`](Self::detach) doesn't, nor does dropping what [`attach`](Drain::attach) gave.
#[derive(Debug)]
#[must_use = "dropping it may give up the hold"]
pub struct Held {
    guard: Guard,
}

/// The right to act: the gateway was drained when it was granted, and stays so until this is withdrawn or dropped (E1).
#[must_use = "dropping it gives up the hold"]
pub struct Committed {
    guard: Guard,
    token: Nonce,
}

/// A begin or a commit, of a hold or by the marker, that came to nothing.
#[derive(Debug)]
pub(crate) struct CameToNothing {
    pub(crate) failure: Failure,
    /// Whether a begin has been sent. Before that, nothing can have closed the gate.
    #[cfg_attr(
        not(any(feature = "cli", feature = "fleet", test)),
        expect(dead_code, reason = "for who has a slot to give back")
    )]
    pub(crate) sent: bool,
    /// What came of giving up the hold. It may stand where that failed, where its begin was never answered and may still arrive, and for
    /// good where a commit was granted without an answer.
    pub(crate) given_up: Result<(), Failure>,
}

impl From<CameToNothing> for Failure {
    fn from(nothing: CameToNothing) -> Self {
        nothing.failure
    }
}

/// Gives its hold up when it is dropped, if that is its to do.
#[derive(Debug)]
struct Guard {
    session: Arc<Session>,
    heartbeat: Option<JoinHandle<()>>,
    /// Of a hold that this session began: only what is of its chain is ended.
    begun: bool,
    /// The token, once a commit has been asked for.
    kept: Option<StoredRecord>,
    armed: bool,
}

/// Whose the hold is to give up, if it comes to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ownership {
    /// Begun here.
    Begun,
    /// Begun here, and an interruption leaves it standing.
    Detachable,
    /// Begun elsewhere.
    Attached,
}

impl fmt::Debug for Committed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Committed").field("guard", &self.guard).finish_non_exhaustive()
    }
}

impl Held {
    pub(super) fn begin(drain: Drain, interrupt: &Interrupt) -> Result<Self, Failure> {
        Ok(Self::begin_and_tell(drain, interrupt)?)
    }

    fn begin_with(mut drain: Drain, interrupt: &Interrupt, gives_up: bool) -> Result<Self, CameToNothing> {
        let unsent = |failure| CameToNothing { failure, sent: false, given_up: Ok(()) };
        drain.check().map_err(unsent)?;
        if drain.attaches {
            let found = match drain.gateway.find(&drain.request.id, &drain.request.owner) {
                // So the endpoint says that there is none any more.
                Err(Failure::LeaseLost(_)) => None,
                found => found.map_err(unsent)?,
            };
            if let Some(found) = found {
                return Self::take_up(drain, &found, interrupt);
            }
        }
        drain.request.lease.get_or_insert(Drain::LEASE);
        let session = Arc::new(Session::new(drain, InHand::new()));
        // One write, however often it is sent: what has gone through without an answer is not done twice.
        let request = session.another_write();
        let ownership = if gives_up { Ownership::Begun } else { Ownership::Detachable };
        Self::hold(&session, ownership, interrupt, || {
            session.sending();
            session.drain.gateway.begin(&request)
        })
    }

    /// As [`begin`](Self::begin), and tells what may stand where it fails.
    pub(super) fn begin_and_tell(drain: Drain, interrupt: &Interrupt) -> Result<Self, CameToNothing> {
        Self::begin_with(drain, interrupt, false)
    }

    /// As [`begin`](Self::begin), but nobody has a hold in hand whose begin was interrupted: it is given up.
    pub(super) fn begin_or_give_up(drain: Drain, interrupt: &Interrupt) -> Result<Self, CameToNothing> {
        Self::begin_with(drain, interrupt, true)
    }

    pub(super) fn attach(drain: Drain) -> Result<Self, Failure> {
        drain.check()?;
        let Some(found) = drain.gateway.find(&drain.request.id, &drain.request.owner)? else {
            return Err(drain.gateway.how_it_ended(&drain.request.id, &drain.request.owner));
        };
        let interrupt = drain.interrupt.clone();
        Ok(Self::take_up(drain, &found, &interrupt)?)
    }

    fn take_up(drain: Drain, found: &StoredRequest, interrupt: &Interrupt) -> Result<Self, CameToNothing> {
        if found.committed {
            return Err(CameToNothing { failure: Denied::Committed.into(), sent: false, given_up: Ok(()) });
        }
        let chain = found.request.nonce.as_ref().map_or_else(Chain::new, Chain::of);
        let last = found.request.nonce.clone();
        let in_hand = InHand { chain, first_seen: found.first_seen, last, written: None };
        let session = Arc::new(Session::new(drain, in_hand));
        Self::hold(&session, Ownership::Attached, interrupt, || session.renew())
    }

    fn hold(
        session: &Arc<Session>,
        ownership: Ownership,
        interrupt: &Interrupt,
        write: impl Fn() -> Result<WriteReceipt, Failure>,
    ) -> Result<Self, CameToNothing> {
        let begun = ownership != Ownership::Attached;
        let mut guard = Guard { session: Arc::clone(session), heartbeat: None, begun, kept: None, armed: false };
        let answered = session.follow(Goal::Answered, interrupt, false, write);
        // Somebody else's hold is not ours to give up.
        let stays = match answered {
            Err(Failure::Denied(_)) => true,
            Err(Failure::Interrupted) => ownership == Ownership::Detachable,
            _ => false,
        };
        guard.armed = begun && session.has_sent() && !stays;
        match answered.and_then(|_| session.start_heartbeat()) {
            Ok(heartbeat) => guard.heartbeat = Some(heartbeat),
            Err(failure) => return Err(guard.came_to_nothing(failure)),
        }
        Ok(Self { guard })
    }

    /// The hold's name.
    #[must_use]
    pub fn request_id(&self) -> &RequestId {
        &self.guard.session.drain.request.id
    }

    /// The process that holds the gate closed.
    #[must_use]
    pub fn incarnation(&self) -> Option<Incarnation> {
        self.guard.session.process()
    }

    /// Waits until the gateway is drained, for as long as [`Drain::timeout`] says.
    ///
    /// # Errors
    /// Any [`Failure`]. The hold is still in hand.
    pub fn wait(&self) -> Result<SeenDrained, Failure> {
        self.guard.session.wait(&self.guard.session.drain.interrupt)
    }

    /// As [`wait`](Self::wait), but content with the first answer: the gateway is drained now, or it isn't.
    ///
    /// # Errors
    /// As of [`wait`](Self::wait); [`Failure::Deadline`] if it isn't.
    pub fn drained_now(&self) -> Result<SeenDrained, Failure> {
        let session = &self.guard.session;
        session.wait_until(Goal::DrainedAtOnce, &session.drain.interrupt)
    }

    /// Trades "drained" for the right to act. The token is on the disk before this asks, and over the files the space that
    /// the withdrawal will take is reserved.
    ///
    /// # Errors
    /// [`Failure::Denied`], [`Failure::LeaseLost`] and others, if the gateway is no longer as it was seen. A hold that
    /// [`Drain::begin`] began is given up then; one that was [attached](Drain::attach) to stays.
    pub fn commit(self, seen: &SeenDrained) -> Result<Committed, Failure> {
        Ok(self.commit_or_give_up(seen)?)
    }

    /// As [`commit`](Self::commit), and tells whether what it gave up has been given up.
    pub(crate) fn commit_or_give_up(mut self, seen: &SeenDrained) -> Result<Committed, CameToNothing> {
        match self.ask_for_commit(seen) {
            Ok(token) => {
                self.guard.armed = true;
                Ok(Committed { guard: self.guard, token })
            }
            Err(failure) => Err(self.guard.came_to_nothing(failure)),
        }
    }

    fn ask_for_commit(&mut self, seen: &SeenDrained) -> Result<Nonce, Failure> {
        self.guard.end_heartbeat();
        let session = Arc::clone(&self.guard.session);
        let drain = &session.drain;
        let Request { id, owner, .. } = drain.request.clone();
        let commit = Request::commit(id.clone(), owner.clone(), seen.incarnation.clone(), seen.generation);
        let commit = fields::keeping(commit.clone(), &fields::said_by(&commit), &drain.request);
        let token = commit.nonce.clone().ok_or_else(|| Failure::Internal("a commit without a token".into()))?;
        let record = Record { gateway: drain.gateway.name(), request_id: id, owner, token: token.clone() };
        let kept = drain.token_store()?.keep(record)?;
        if let Err(failure) = drain.gateway.prepare(&withdrawal(drain, &token)) {
            kept.forget();
            return Err(failure);
        }
        session.watch_again();
        session.expecting(&token);
        self.guard.kept = Some(kept);
        let commit = || drain.gateway.commit(&commit, &session.in_hand());
        let answered = session.follow(Goal::Committed, &drain.interrupt, false, commit);
        if let Err(failure) = answered {
            // A refused commit is never granted later; of what nothing was heard, the token stays.
            if !self.guard.begun
                && matches!(failure, Failure::Denied(_) | Failure::Withdrawn(_) | Failure::LeaseLost(_))
            {
                self.guard.forget();
            }
            return Err(failure);
        }
        Ok(token)
    }

    /// Lets go without withdrawing: the hold stays until its lease runs out.
    pub fn detach(mut self) {
        self.guard.armed = false;
    }

    /// Gives up the hold, and waits until the gateway has noticed. Of a hold that [`Drain::begin`] began, only what it began
    /// is ended, and not what another has begun since under the same name.
    ///
    /// # Errors
    /// As of [`Drain::withdraw`].
    pub fn withdraw(self) -> Result<(), Failure> {
        self.guard.withdraw()
    }

    pub(super) fn session(&self) -> Arc<Session> {
        Arc::clone(&self.guard.session)
    }
}

impl Committed {
    /// The hold's name.
    #[must_use]
    pub fn request_id(&self) -> &RequestId {
        &self.guard.session.drain.request.id
    }

    /// What its withdrawal has to bear.
    #[must_use]
    pub fn token(&self) -> &Nonce {
        &self.token
    }

    /// Lets go without withdrawing: the gate stays closed until somebody withdraws the hold with its
    /// [`token`](Self::token) or overrides it. The token stays on this controller's disk, where [`Drain::withdraw`] finds it.
    #[must_use = "the token is the owner's way to reopen the gate"]
    pub fn detach(mut self) -> Nonce {
        self.guard.armed = false;
        self.token.clone()
    }

    /// Gives up the hold after the act, and waits until the gateway has noticed. What fails is tried again for
    /// [`Drain::patience`], whatever it is.
    ///
    /// # Errors
    /// As of [`Drain::withdraw`]. The gate is still closed then, and the token still on the disk.
    pub fn withdraw(self) -> Result<(), Failure> {
        self.guard.withdraw()
    }
}

/// The withdrawal of a commit, always the same one: it is prepared before the act, and sent after it.
fn withdrawal(drain: &Drain, token: &Nonce) -> Request {
    let Request { id, owner, .. } = drain.request.clone();
    let nonce = Some(Nonce::from(format!("end-{token}")));
    Request { token: Some(token.clone()), nonce, ..Request::withdraw(id, owner) }
}

impl Guard {
    fn end_heartbeat(&mut self) {
        self.session.quiet.raise();
        if let Some(heartbeat) = self.heartbeat.take() {
            // Its panic would be a defect of its own; the hold is given up all the same.
            let _ = heartbeat.join();
        }
    }

    fn withdraw(mut self) -> Result<(), Failure> {
        self.end_heartbeat();
        self.armed = false;
        self.give_up(self.session.drain.patience)
    }

    /// Gives the hold up if that is its to do, as its drop does. Of a commit that was not answered the hold may stand: what was attached
    /// to is not given up.
    fn came_to_nothing(mut self, failure: Failure) -> CameToNothing {
        self.end_heartbeat();
        let is_doubtful = !self.begun && self.kept.is_some();
        let given_up = if mem::take(&mut self.armed) {
            let given_up = self.give_up(self.session.drain.patience.min(DROP_LIMIT));
            given_up.and_then(|()| if self.may_arrive() { Err(Failure::Unreachable(LATE.into())) } else { Ok(()) })
        } else if is_doubtful {
            Err(failure.clone())
        } else {
            Ok(())
        };
        CameToNothing { failure, sent: self.session.has_sent(), given_up }
    }

    /// Whether the begin of a hold that is its to give up was never answered: what ended its wait for an answer doesn't end it on its
    /// way to the gateway.
    fn may_arrive(&self) -> bool {
        !self.session.was_heard() && self.session.drain.gateway.is_over_http()
    }

    fn give_up(&mut self, limit: Duration) -> Result<(), Failure> {
        let drain = &self.session.drain;
        let Request { id, owner, .. } = drain.request.clone();
        let request = match &self.kept {
            Some(kept) => withdrawal(drain, &kept.record.token),
            None => Request::withdraw(id, owner),
        };
        let ours = (self.begun || self.kept.is_some()).then(|| self.session.in_hand());
        withdraw(drain, &request, ours.as_ref(), Limits { time: limit, insists: true })?;
        self.forget();
        Ok(())
    }

    /// The hold has ended: what was kept and reserved for that is wanted no more.
    fn forget(&mut self) {
        if let Some(kept) = self.kept.take() {
            kept.forget();
            self.session.drain.gateway.discard(&kept.record.request_id);
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.end_heartbeat();
        if self.armed {
            // There is nobody to tell; a caller that wants to know calls `withdraw`.
            let _ = self.give_up(self.session.drain.patience.min(DROP_LIMIT));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Gateway;
    use crate::client::published::{self, fresh, publish};
    use crate::control::{Channel, Found};
    use crate::status::DrainStatus;
    use serde_json::json;

    #[test]
    fn a_withdrawal_ends_the_heartbeat_and_fails_where_no_gateway_notices_it() {
        let withdrawn = |stands: bool, withdraw: fn(Guard) -> Result<(), Failure>| {
            let (_place, home, _lock) = published::home();
            let id = RequestId::new("upgrade").unwrap();
            let hold = json!({"request_id": id, "owner": "ops", "age_seconds": 0.0});
            let holds = if stands { vec![serde_json::from_value(hold).unwrap()] } else { Vec::new() };
            publish(&home, &DrainStatus { holds, ..fresh() });
            let drain = Drain::of(Gateway::at(home.clone()), "ops").id(id.clone()).patience(Duration::ZERO);
            let session = Arc::new(Session::new(drain, InHand::new()));
            Channel::new(home.clone()).write(&session.another_write()).unwrap();
            let heartbeat = Some(session.start_heartbeat().unwrap());
            let guard = Guard { session: Arc::clone(&session), heartbeat, begun: true, kept: None, armed: true };
            let withdrawn = withdraw(guard);
            assert!(session.quiet.is_raised(), "the heart beats on");
            (withdrawn, Channel::new(home).find(&id) == Found::Absent)
        };
        let ways: [fn(Guard) -> Result<(), Failure>; 2] =
            [|guard| Held { guard }.withdraw(), |guard| Committed { guard, token: Nonce::fresh() }.withdraw()];
        for withdraw in ways {
            assert_eq!(withdrawn(false, withdraw), (Ok(()), true), "the gateway holds nothing");
            let (unnoticed, _) = withdrawn(true, withdraw);
            assert!(matches!(unnoticed, Err(Failure::Unreachable(_))), "the hold still stands: {unnoticed:?}");
        }
    }
}
