//! How a hold is ended over the files: its withdrawal is written or its file removed, and what has ended is cleared away.

use super::standing::{committed, covered, hold_in, is_in_hand, is_nobodys};
use super::{Files, overdue};
use crate::client::Failure;
use crate::client::chain::{Chain, InHand, another};
use crate::client::transport::Withdrawal;
use crate::control::Found;
use crate::hold::{Action, Denied, Outcome, Request, RequestId};
use crate::status::HoldStatus;

impl Files {
    /// Removes the file of a hold that has ended, if it is of the chain of our writes: a renewal that crossed with the ending
    /// would begin the hold again, against the will of the user who ended it.
    pub(in crate::client) fn take_back(&self, id: &RequestId, ours: &Chain) {
        let there = self.channel.find(id);
        if let Found::Valid(found) = &there
            && found.action == Action::Begin
            && ours.has(found.nonce.as_ref())
        {
            // What stays there is bounded by its lease.
            let _ = self.channel.remove_seen(id, &there);
        }
    }

    /// Writes a withdrawal beside the holds, under a name that nobody reads: its space is taken before the act.
    pub(in crate::client) fn prepare(&self, withdrawal: &Request) -> Result<(), Failure> {
        let prepared = self.channel.prepare(withdrawal).map_err(|error| self.unwritten(&withdrawal.id, &error));
        prepared.map_err(|failure| match failure {
            // The gateway is there, and was not asked yet.
            Failure::Unreachable(why) => Failure::Internal(format!("the way back can't be made sure of: {why}")),
            failure => failure,
        })
    }

    pub(in crate::client) fn discard(&self, id: &RequestId) {
        // What stays is one file that nobody reads.
        let _ = self.channel.discard_prepared(id);
    }

    /// Takes a hold away, as far as the files can: what is left is for the gateway to notice. With one in hand, only what is of
    /// that hold, or bears the token.
    pub(in crate::client) fn end(&self, request: &Request, ours: Option<&InHand>) -> Result<Withdrawal, Failure> {
        if request.action == Action::Override {
            return self.override_hold(request);
        }
        let status = self.ready(&request.id, &request.owner)?;
        let status = status.as_ref();
        let there = self.channel.find(&request.id);
        let is_own = matches!(&there, Found::Valid(lying) if lying.owner == request.owner);
        if !is_own && is_nobodys(&there, &request.id, &request.owner, status) {
            // It stays: the one who wrote it may have yet to read the answer.
            return Ok(Withdrawal::Nothing);
        }
        let covered = status.and_then(|status| covered(status, request, &there));
        let found = match &there {
            // What an earlier boot left may be taken away by anybody.
            Found::Stale { .. } => None,
            Found::Valid(stored) if stored.owner == request.owner => {
                self.stored(&request.id, &request.owner, status)?
            }
            _ if covered.is_some() => None,
            _ => self.stored(&request.id, &request.owner, status)?,
        };
        let granted = status.and_then(|status| committed(status, &request.id));
        let nonce = found.as_ref().and_then(|found| found.request.nonce.as_ref());
        if let Some(token) = &request.token {
            // Written over the commit's own file, so only once it is known not to be refused.
            if granted.is_some_and(|hold| hold.token.as_ref().is_some_and(|its| its != token)) {
                return Err(Failure::Denied("the token is not this commit's".into()));
            }
            let is_ours = |ours: &InHand| granted.is_some() || nonce == Some(token) || ours.chain.has(nonce);
            // This very withdrawal lies there already, and waits for its gateway.
            let lies = nonce.is_some() && nonce == request.nonce.as_ref();
            if lies || ours.is_none_or(is_ours) {
                if !lies && (found.is_some() || granted.is_some()) {
                    self.write_prepared(request)?;
                }
                let anything = found.is_some() || granted.is_some();
                return Ok(if anything { Withdrawal::Written } else { Withdrawal::Nothing });
            }
            return Ok(Withdrawal::Nothing);
        }
        if granted.is_some() {
            return Err(Denied::Committed.into());
        }
        if found.as_ref().is_some_and(|found| found.committed) {
            return Err(Failure::Denied("a commit is under way, and only its token ends it".into()));
        }
        if let Some(in_hand) = ours {
            let is_ours = match (&found, covered) {
                (Some(found), _) => is_in_hand(in_hand, found, status),
                (None, Some(held)) if !in_hand.is(held.nonce.as_ref(), held.first_seen()) => Err(another()),
                (None, _) => Ok(()),
            };
            match is_ours {
                // Another began a hold under the same name: it stays.
                Err(Failure::LeaseLost(_)) => return Ok(Withdrawal::NotOurs),
                is_ours => is_ours?,
            }
        }
        if covered.is_some() && !request.id.is_marker() {
            return self.write_over(request, &there).map(|_| Withdrawal::Written);
        }
        let removed = self.remove_seen(&request.id, &there)?;
        Ok(if removed { Withdrawal::Written } else { Withdrawal::Nothing })
    }

    /// Puts the prepared withdrawal in its place; without one, writes it.
    fn write_prepared(&self, request: &Request) -> Result<(), Failure> {
        match self.channel.put_prepared(request) {
            Ok(true) => Ok(()),
            // A disk that has no room, or no such file: the plain way says what is amiss.
            Ok(false) | Err(_) => self.write(request).map(drop),
        }
    }

    /// Every user who may write here may end any hold; that it was an override is in the gateway's own record.
    fn override_hold(&self, request: &Request) -> Result<Withdrawal, Failure> {
        if !request.id.is_marker() {
            return self.write(request).map(|_| Withdrawal::Written);
        }
        // The marker is nobody's: to remove it is to withdraw it.
        let there = self.remove(&request.id)?;
        Ok(if there { Withdrawal::Written } else { Withdrawal::Nothing })
    }

    /// Whether a withdrawal or an override of the hold that was `first_seen` then has taken effect in the gateway; clears away what it
    /// was written in.
    pub(in crate::client) fn has_ended(&self, request: &Request, first_seen: Option<u64>) -> Result<bool, Failure> {
        let Some(status) = self.current().filter(|status| overdue(status).is_none()) else { return Ok(false) };
        let found = self.channel.find(&request.id);
        let lies = matches!(&found, Found::Valid(there) if there.nonce == request.nonce);
        let answer = status.acknowledged.iter().find(|answer| answer.nonce == request.nonce);
        let ended = match answer.map(|answer| answer.outcome) {
            Some(
                Outcome::Refused(Denied::ShuttingDown | Denied::NotHeld | Denied::LeaseExpired) | Outcome::Ended(_),
            ) => true,
            Some(Outcome::Refused(why)) => return Err(why.into()),
            // What lies there unanswered is still to be looked at.
            // What holds the gate in the place of a file that can't be looked at may stand for this one.
            _ => {
                let unseen = ["home", "holds"].map(RequestId::found);
                let stands = |id: &RequestId| hold_in(&status, id).is_some();
                // Another may have begun one in its place before its end was looked for.
                let is_another = |held: &HoldStatus| first_seen.is_some() && held.first_seen() != first_seen;
                !lies
                    && hold_in(&status, &request.id).is_none_or(is_another)
                    && (request.id.is_marker() || !unseen.iter().any(stands))
            }
        };
        if ended && lies {
            self.remove_seen(&request.id, &found)?;
        }
        Ok(ended)
    }
}
