//! What one request does to the holds, and one look at all files.

use super::ledger::{Decided, HoldPlace};
use super::{
    Action, Commit, Denied, Ending, Facts, Hold, HoldChange, HoldEvent, HoldSet, LeasePolicy, NotHonoured, Outcome,
    Request, RequestId, Source,
};
use std::cell::LazyCell;
use std::collections::HashSet;
use std::time::Duration;

/// What was decided: for the ledger, if it is decided at all, and what it changed.
type Decision = (Option<Decided>, Vec<HoldChange>);

impl HoldSet {
    /// Decides one request. Each write is decided once: seen again, it gets the same answer and changes nothing (S2).
    ///
    /// Call [`expire`](Self::expire) or [`expire_calls`](Self::expire_calls) with the same `now` first.
    pub fn apply(&mut self, request: &Request, facts: &Facts<'_>, now: Duration) -> (Outcome, Vec<HoldChange>) {
        let place = request.place();
        self.see(&place, request);
        let write = request.nonce.as_ref();
        if let Some(decided) = self.standing_in(&place, write, now) {
            // What was seen in its place meanwhile is gone.
            if self.ledger.decided(&place, write).is_none() {
                self.note(&place, request, Decided::Stands);
            }
            return (decided, Vec::new());
        }
        let (decided, changes) = self.decide(&place, request, facts, now);
        if let Some(decided) = decided {
            self.note(&place, request, decided);
        }
        let outcome = match decided {
            Some(Decided::Finally(outcome)) => outcome,
            // Of a hold that is there, or else of nothing: such a request is answered at a later look.
            Some(Decided::Stands) | None => {
                self.holds.get(&place).map_or(Outcome::Refused(Denied::NotHeld), |hold| hold.standing(now))
            }
        };
        (outcome, changes)
    }

    /// Decides all that is in the channel, as one step: what is `seen`, in order, and what is definitely `absent`.
    ///
    /// A lease ends only here, after the renewals and commits of its owner that were seen: one that was written in time
    /// counts although it is read later (H3).
    pub fn reconcile(
        &mut self,
        seen: &[Request],
        absent: impl Fn(&RequestId) -> bool,
        facts: &Facts<'_>,
        now: Duration,
    ) -> Vec<HoldChange> {
        // Made only if something is gone, which is seldom.
        let there: LazyCell<HashSet<&RequestId>, _> =
            LazyCell::new(|| seen.iter().map(|request| &request.id).collect());
        let gone = self.in_files().into_iter().filter(|id| absent(id) && !there.contains(id));
        let gone: Vec<RequestId> = gone.collect();
        let mut changes: Vec<HoldChange> = gone.iter().filter_map(|id| self.absent(id)).collect();
        let (outlasting, others): (Vec<_>, Vec<_>) = seen.iter().partition(|request| self.outlasts_its_lease(request));
        for request in outlasting {
            changes.extend(self.apply(request, facts, now).1);
        }
        changes.extend(self.expire(now));
        for request in others {
            changes.extend(self.apply(request, facts, now).1);
        }
        changes
    }

    /// Whether it is a renewal or a commit by the owner of a hold that is there: such a write is decided before the lease
    /// ends.
    fn outlasts_its_lease(&self, request: &Request) -> bool {
        let hold = self.holds.get(&request.place());
        let prolongs = matches!(request.action, Action::Begin | Action::Commit);
        prolongs && !request.stale && hold.is_some_and(|hold| hold.owner == request.owner)
    }

    /// The commits that this look would grant and that are not on record yet, together with those that stand. `None` if
    /// it grants none.
    ///
    /// A grant is recorded before it is made: see [`Facts::recorded`].
    #[must_use]
    pub fn grants(
        &self,
        seen: &[Request],
        absent: impl Fn(&RequestId) -> bool,
        facts: &Facts<'_>,
        now: Duration,
    ) -> Option<Vec<Hold>> {
        let new = |request: &Request| {
            request.action == Action::Commit
                && self.standing_in(&request.place(), request.nonce.as_ref(), now).is_none()
        };
        if !seen.iter().any(new) {
            return None;
        }
        let mut after = self.clone();
        after.reconcile(seen, absent, &Facts { recorded: None, ..facts.clone() }, now);
        let commits = after.commits();
        let stands = |hold: &Hold| {
            let known = self.get(&hold.id, Source::File).and_then(|hold| hold.commit.as_ref());
            known.map(|commit| &commit.token) == hold.commit.as_ref().map(|commit| &commit.token)
        };
        (!commits.iter().all(stands)).then_some(commits)
    }

    /// Keeps in mind whose write lies in the place of a hold now (C7).
    fn see(&mut self, place: &HoldPlace, request: &Request) {
        if request.source == Source::File
            && let Some(hold) = self.holds.get_mut(place)
        {
            let adopts = hold.is_free() && request.action == Action::Begin;
            hold.overwritten = request.stale || (hold.owner != request.owner && !adopts);
        }
    }

    /// Notes a decision. Of calls only as long as there is a hold: nothing lies anywhere that could ask again.
    fn note(&mut self, place: &HoldPlace, request: &Request, decided: Decided) {
        if request.source == Source::File || self.holds.contains_key(place) {
            self.ledger.note(place, request.nonce.as_ref(), decided);
        }
    }

    fn decide(&mut self, place: &HoldPlace, request: &Request, facts: &Facts<'_>, now: Duration) -> Decision {
        if request.stale {
            return (Some(Decided::Finally(Outcome::Ignored(NotHonoured::OtherEpoch))), Vec::new());
        }
        if facts.shutting_down && matches!(request.action, Action::Begin | Action::Commit) {
            return refused(Denied::ShuttingDown);
        }
        if request.incarnation.as_ref().is_some_and(|meant_for| meant_for != facts.incarnation) {
            return refused(Denied::OtherIncarnation);
        }
        match request.action {
            Action::Begin => self.begin(place, request, now),
            Action::Commit => self.commit(place, request, facts, now),
            Action::Withdraw => self.withdraw(place, request, facts),
            Action::Override => self.end(request, &[Source::File, Source::Process], Ending::Overridden, facts),
        }
    }

    fn begin(&mut self, place: &HoldPlace, request: &Request, now: Duration) -> Decision {
        let lease = self.policy.lease(request.lease);
        let Some(hold) = self.holds.get_mut(place) else {
            let hold = self.new_hold(request, lease, now);
            let change = HoldChange::new(&hold, &request.owner, HoldEvent::Begun);
            self.holds.insert(place.clone(), hold);
            return (Some(Decided::Stands), vec![change]);
        };
        if hold.is_free() {
            // It was found without content, by a touch or in a look that failed: it belongs to the first who names an owner.
            hold.owner.clone_from(&request.owner);
        }
        if hold.owner != request.owner {
            // Nothing is renewed, and nothing is freed: the hold lives out its own lease (C7).
            return refused(Denied::NotYours);
        }
        if hold.commit.is_some() {
            // While a commit stands its file is the only trace of it that its owner can read.
            return refused(Denied::Committed);
        }
        if request.nonce.is_none() {
            return (Some(Decided::Stands), Vec::new());
        }
        hold.notes.clone_from(&request.notes);
        hold.deadline = request.deadline;
        hold.suppress_notification = request.suppress_notification;
        hold.expires_at = now.saturating_add(lease);
        hold.bound = request.incarnation.is_some();
        hold.nonce.clone_from(&request.nonce);
        (Some(Decided::Stands), vec![HoldChange::new(hold, &request.owner, HoldEvent::Renewed)])
    }

    fn new_hold(&self, request: &Request, lease: Duration, now: Duration) -> Hold {
        // A timestamp can shorten a lease by half and no more: a clock that jumped must not open the gate (H5). One that is
        // older than the lease says nothing.
        let age = request.age.filter(|age| *age < lease).unwrap_or_default().min(lease / 2);
        Hold {
            id: request.id.clone(),
            owner: request.owner.clone(),
            notes: request.notes.clone(),
            source: request.source,
            first_seen: now,
            closes_at: now.saturating_add(request.unready_delay.min(self.policy.max_unready_delay)),
            expires_at: now.saturating_add(lease.saturating_sub(age).max(LeasePolicy::MIN)),
            deadline: request.deadline,
            suppress_notification: request.suppress_notification,
            nonce: request.nonce.clone(),
            bound: request.incarnation.is_some(),
            overwritten: false,
            commit: None,
        }
    }

    fn commit(&mut self, place: &HoldPlace, request: &Request, facts: &Facts<'_>, now: Duration) -> Decision {
        let lapsed = self.ledger.has_lapsed(place);
        let Some(hold) = self.holds.get_mut(place) else {
            return refused(if lapsed { Denied::LeaseExpired } else { Denied::NotHeld });
        };
        if hold.owner != request.owner {
            return refused(Denied::NotYours);
        }
        if request.incarnation.is_none() {
            return refused(Denied::OtherIncarnation);
        }
        if request.generation != Some(facts.generation) {
            return refused(Denied::OtherGeneration);
        }
        if !hold.closes(now) {
            return refused(Denied::NotClosedYet);
        }
        if !facts.drained {
            return refused(Denied::NotDrained);
        }
        // Nobody could ever withdraw a commit without a token.
        let Some(token) = &request.nonce else { return (None, Vec::new()) };
        if request.source == Source::File && facts.recorded.is_some_and(|recorded| !recorded.contains(token)) {
            return (None, Vec::new());
        }
        hold.nonce = Some(token.clone());
        hold.bound = false;
        let at = hold.commit.as_ref().map_or(now, |earlier| earlier.at);
        hold.commit = Some(Commit { token: token.clone(), at });
        (Some(Decided::Stands), vec![HoldChange::new(hold, &request.owner, HoldEvent::Committed)])
    }

    fn withdraw(&mut self, place: &HoldPlace, request: &Request, facts: &Facts<'_>) -> Decision {
        match self.holds.get(place) {
            Some(hold) if hold.owner != request.owner => refused(Denied::NotYours),
            Some(Hold { commit: Some(commit), .. }) if request.token.as_ref() != Some(&commit.token) => {
                refused(Denied::Committed)
            }
            _ => self.end(request, &[request.source], Ending::Withdrawn, facts),
        }
    }

    /// Ends the holds of this name that are kept there, on the request's behalf. Where there is none, what was wanted is so
    /// already; in a shutdown, it is for the next process to say.
    fn end(&mut self, request: &Request, kept: &[Source], ending: Ending, facts: &Facts<'_>) -> Decision {
        let places = kept.iter().map(|source| (request.id.clone(), *source));
        let ended = places.filter_map(|place| self.remove(&place, ending));
        let changes = ended.map(|change| HoldChange { by: request.owner.clone(), ..change });
        let changes: Vec<_> = changes.collect();
        if changes.is_empty() && facts.shutting_down {
            return refused(Denied::ShuttingDown);
        }
        (Some(Decided::Finally(Outcome::Ended(ending))), changes)
    }
}

fn refused(why: Denied) -> Decision {
    (Some(Decided::Finally(Outcome::Refused(why))), Vec::new())
}
