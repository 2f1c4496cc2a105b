//! The holds: which there are, what ends them without a request, and what the next process takes over.

use super::ledger::{Decided, HoldPlace, Ledger};
use super::{
    Acknowledgement, Denied, Ending, Hold, HoldChange, HoldEvent, LeasePolicy, Nonce, Outcome, Request, RequestId,
    Source,
};
use crate::state::{DrainState, Event};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// All holds, and the rules by which they come and go.
///
/// A hold that a call in the gateway's own process began and one that is kept in a file are different holds, under one
/// name too: what a file asks reaches the file's, and what a call asks the call's. An override reaches both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct HoldSet {
    pub(super) policy: LeasePolicy,
    pub(super) holds: BTreeMap<HoldPlace, Hold>,
    pub(super) ledger: Ledger,
}

impl HoldSet {
    /// An empty set.
    #[must_use]
    pub fn new(policy: LeasePolicy) -> Self {
        Self { policy, ..Self::default() }
    }

    /// The holds, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Hold> {
        self.holds.values()
    }

    /// The hold of this name that is kept there.
    #[must_use]
    pub fn get(&self, id: &RequestId, source: Source) -> Option<&Hold> {
        self.holds.get(&(id.clone(), source))
    }

    /// Whether the gate is to be closed (H1).
    #[must_use]
    pub fn closes(&self, now: Duration) -> bool {
        self.iter().any(|hold| hold.closes(now))
    }

    /// What has to happen to a gate in this state for it to be closed exactly while a hold closes it (H1). A shutdown
    /// follows no hold.
    #[must_use]
    pub fn moves(&self, state: DrainState, now: Duration) -> Option<Event> {
        match (self.closes(now), state) {
            (true, DrainState::Running) => Some(Event::BeginDrain),
            (false, DrainState::ExternalDraining) => Some(Event::EndDrain),
            _ => None,
        }
    }

    /// Whether a hold is about to close the gate, so that readiness fails already.
    #[must_use]
    pub fn pending(&self, now: Duration) -> bool {
        self.iter().any(|hold| !hold.closes(now))
    }

    /// When time alone changes something next: a lease that runs out, a delay that ends.
    #[must_use]
    pub fn next_change(&self, now: Duration) -> Option<Duration> {
        let moments = |hold: &Hold| {
            let expiry = hold.commit.is_none().then_some(hold.expires_at);
            let closing = (!hold.closes(now)).then_some(hold.closes_at);
            expiry.into_iter().chain(closing)
        };
        self.iter().flat_map(moments).min()
    }

    /// Whether a shutdown now is to notify nobody: a live hold asks for that explicitly.
    #[must_use]
    pub fn suppresses_notification(&self) -> bool {
        self.iter().any(|hold| hold.suppress_notification)
    }

    /// What has become of a write that was decided before, as of now.
    #[must_use]
    pub fn standing(&self, id: &RequestId, source: Source, nonce: Option<&Nonce>, now: Duration) -> Option<Outcome> {
        self.standing_in(&(id.clone(), source), nonce, now)
    }

    pub(super) fn standing_in(&self, place: &HoldPlace, nonce: Option<&Nonce>, now: Duration) -> Option<Outcome> {
        let hold = self.holds.get(place);
        if let Some(hold) = hold.filter(|hold| hold.nonce.as_ref() == nonce) {
            return Some(hold.standing(now));
        }
        match self.ledger.decided(place, nonce)? {
            Decided::Stands => hold.map(|hold| hold.standing(now)),
            Decided::Finally(outcome) => Some(outcome),
        }
    }

    /// The gateway's answer to each write that lies in the channel, as of now.
    #[must_use]
    pub fn acknowledged(&self, now: Duration) -> Vec<Acknowledgement> {
        let in_files = self.ledger.iter().filter(|((_, source), ..)| *source == Source::File);
        let answer = |(place, nonce, _): (&HoldPlace, Option<&Nonce>, Decided)| {
            let outcome = self.standing_in(place, nonce, now)?;
            Some(Acknowledgement { request_id: place.0.clone(), nonce: nonce.cloned(), outcome })
        };
        in_files.filter_map(answer).collect()
    }

    /// The names under which the set knows something that is kept in a file.
    #[must_use]
    pub fn in_files(&self) -> Vec<RequestId> {
        let names: BTreeSet<&RequestId> = self
            .holds
            .keys()
            .chain(self.ledger.places())
            .filter(|(_, source)| *source == Source::File)
            .map(|(id, _)| id)
            .collect();
        names.into_iter().cloned().collect()
    }

    /// The commits that the next process has to know of: those of holds that are kept in files.
    #[must_use]
    pub fn commits(&self) -> Vec<Hold> {
        self.iter().filter(|hold| hold.is_committed_in_file()).cloned().collect()
    }

    /// Ends the holds whose lease has run out (H3). A committed hold has no lease any more (H4).
    ///
    /// What is kept in files is for [`reconcile`](Self::reconcile) to end, once it has seen the renewals that lie there.
    pub fn expire(&mut self, now: Duration) -> Vec<HoldChange> {
        self.expire_those(now, |_| true)
    }

    /// As [`expire`](Self::expire), of the holds that calls in the gateway's own process began.
    pub fn expire_calls(&mut self, now: Duration) -> Vec<HoldChange> {
        self.expire_those(now, |hold| !hold.is_in_file())
    }

    fn expire_those(&mut self, now: Duration, wanted: impl Fn(&Hold) -> bool) -> Vec<HoldChange> {
        let due = |hold: &&Hold| hold.commit.is_none() && hold.expires_at <= now && wanted(hold);
        let due: Vec<HoldPlace> = self.iter().filter(due).map(Hold::place).collect();
        due.iter().filter_map(|place| self.remove(place, Ending::Expired)).collect()
    }

    /// The file of `id` is definitely not there. That withdraws its hold, unless the hold is committed (H4).
    ///
    /// The presence of the marker decides, and its removal is everybody's, no matter who wrote last. A hold file's is its owner's:
    /// that something is gone which somebody else had written over it withdraws nothing (H2).
    pub fn absent(&mut self, id: &RequestId) -> Option<HoldChange> {
        let place = (id.clone(), Source::File);
        let another_s = |hold: &Hold| hold.overwritten && !id.is_marker();
        let stays = self.holds.get(&place).is_none_or(|hold| hold.commit.is_some() || another_s(hold));
        let change = if stays { None } else { self.remove(&place, Ending::Withdrawn) };
        self.ledger.forget(&place);
        change
    }

    /// A shutdown takes in every hold of the process's own calls (S3). What is kept in files is the next process's too, and
    /// stays.
    pub fn absorb(&mut self) -> Vec<HoldChange> {
        let calls: Vec<HoldPlace> =
            self.holds.keys().filter(|(_, source)| *source == Source::Process).cloned().collect();
        calls.iter().filter_map(|place| self.remove(place, Ending::Absorbed)).collect()
    }

    /// Takes a hold away, and with it what stood as it did.
    pub(super) fn remove(&mut self, place: &HoldPlace, ending: Ending) -> Option<HoldChange> {
        let hold = self.holds.remove(place)?;
        match place.1 {
            Source::File => self.ledger.ended(place, ending),
            // Nothing lies anywhere that could ask for it again.
            Source::Process => self.ledger.forget(place),
        }
        Some(HoldChange::new(&hold, "", HoldEvent::Ended(ending)))
    }

    /// Takes over a hold that an earlier process of this boot had.
    pub fn restore(&mut self, hold: Hold) {
        self.holds.insert(hold.place(), hold);
    }

    /// Takes over what an earlier process of this boot answered to a write in a file (S2).
    ///
    /// That it was shutting down is its own affair, and no answer of the next process.
    pub fn restore_answer(&mut self, answer: &Acknowledgement) {
        let place = (answer.request_id.clone(), Source::File);
        let decided = match answer.outcome {
            Outcome::Refused(Denied::ShuttingDown) | Outcome::Ended(Ending::Absorbed) => return,
            Outcome::Held | Outcome::Pending | Outcome::Committed if !self.holds.contains_key(&place) => return,
            Outcome::Held | Outcome::Pending | Outcome::Committed => Decided::Stands,
            outcome => Decided::Finally(outcome),
        };
        if decided != Decided::Stands
            && let Some(hold) = self.holds.get_mut(&place).filter(|hold| hold.nonce == answer.nonce)
        {
            // The first format of the status names a refused write as the hold's last one.
            hold.nonce = None;
        }
        self.ledger.note(&place, answer.nonce.as_ref(), decided);
        if answer.outcome == Outcome::Ended(Ending::Expired) {
            self.ledger.ended(&place, Ending::Expired);
        }
    }

    /// Takes a commit for what it is to a gateway that has lost all that it knew: its owner's hold, uncommitted, for one
    /// lease. Nobody can tell any more whether it was granted or refused. So it closes the gate and is granted nothing (S2),
    /// and it closes nothing for ever (H3).
    pub fn restore_unproven(&mut self, commit: &Request, now: Duration) {
        let place = (commit.id.clone(), Source::File);
        if self.holds.contains_key(&place) {
            return;
        }
        let lease = self.policy.lease(commit.lease);
        self.restore(Hold {
            id: commit.id.clone(),
            owner: commit.owner.clone(),
            notes: commit.notes.clone(),
            source: Source::File,
            first_seen: now,
            closes_at: now,
            expires_at: now.saturating_add(lease),
            deadline: commit.deadline,
            suppress_notification: commit.suppress_notification,
            nonce: None,
            bound: false,
            overwritten: false,
            commit: None,
        });
        self.ledger.note(&place, commit.nonce.as_ref(), Decided::Finally(Outcome::Refused(Denied::NotHeld)));
    }
}
