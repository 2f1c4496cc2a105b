//! Who keeps the gate closed: holds, their leases, and commit.
//!
//! Pure: time is passed in, as the time since boot, and nothing here reads a file or touches the gate. The
//! [`Controller`](crate::Controller) asks a [`HoldSet`] whether the gate is to be closed, and moves the lifecycle
//! accordingly (H1).

pub mod fields;
mod id;
mod request;

pub use id::{Incarnation, InvalidRequestId, Nonce, RequestId};
pub use request::{Action, Denied, Ending, Outcome, Request, Source};

use crate::gate::{Generation, Reading};
use crate::state::{DrainState, Event};
use std::cell::LazyCell;
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

/// How long holds may last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LeasePolicy {
    /// For a request that names no lease. Default: one hour.
    pub default: Duration,
    /// No lease is longer. Default: 24 hours.
    pub max: Duration,
    /// No unready delay is longer. Default: ten minutes.
    pub max_unready_delay: Duration,
}

impl LeasePolicy {
    /// No lease is shorter: one second.
    pub const MIN: Duration = Duration::from_secs(1);

    fn lease(&self, wanted: Option<Duration>) -> Duration {
        wanted.unwrap_or(self.default).min(self.max).max(Self::MIN)
    }
}

impl Default for LeasePolicy {
    fn default() -> Self {
        Self {
            default: Duration::from_secs(60 * 60),
            max: Duration::from_secs(24 * 60 * 60),
            max_unready_delay: Duration::from_secs(10 * 60),
        }
    }
}

/// One actor's wish to keep the gate closed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Hold {
    /// Its name.
    pub id: RequestId,
    /// To whom it belongs; empty where nobody could be named.
    pub owner: String,
    /// Why, for people.
    pub reason: String,
    /// Where it is kept.
    pub source: Source,
    /// When the gateway first saw it (time since boot).
    pub first_seen: Duration,
    /// When it begins to close the gate; until then it is pending.
    pub closes_at: Duration,
    /// When its lease runs out, unless renewed or committed.
    pub expires_at: Duration,
    /// How long after the commit the act may take before it is overdue.
    pub deadline: Option<Duration>,
    /// Asks that a shutdown under this hold notifies nobody.
    pub suppress_notification: bool,
    /// The last write that the gateway has acted on.
    pub nonce: Option<Nonce>,
    /// What that write was refused for, if it was.
    pub refused: Option<Denied>,
    /// Set once the owner has the right to act.
    pub commit: Option<Commit>,
}

/// The right to act that a hold has been granted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Commit {
    /// The nonce of the commit. Who withdraws the hold shows it.
    pub token: Nonce,
    /// When it was granted (time since boot).
    pub at: Duration,
}

impl Hold {
    /// Whether it closes the gate already.
    #[must_use]
    pub fn closes(&self, now: Duration) -> bool {
        self.closes_at <= now || self.commit.is_some()
    }

    /// Whether the act takes longer than its deadline.
    #[must_use]
    pub fn overdue(&self, now: Duration) -> bool {
        matches!((&self.commit, self.deadline), (Some(commit), Some(deadline)) if commit.at.saturating_add(deadline) <= now)
    }

    /// What is left of the lease; `None` once committed, when no lease runs any more.
    #[must_use]
    pub fn lease_left(&self, now: Duration) -> Option<Duration> {
        self.commit.is_none().then(|| self.expires_at.saturating_sub(now))
    }

    fn standing(&self, now: Duration) -> Outcome {
        match (self.refused, &self.commit) {
            (Some(why), _) => Outcome::Refused(why),
            (None, Some(_)) => Outcome::Committed,
            (None, None) if self.closes(now) => Outcome::Held,
            (None, None) => Outcome::Pending,
        }
    }

    fn is_in_file(&self) -> bool {
        self.source == Source::File
    }
}

/// What the gate and its process are like when a request is decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts<'a> {
    /// This process.
    pub incarnation: &'a Incarnation,
    /// The drain under way.
    pub generation: Generation,
    /// Closed, and nothing in flight.
    pub drained: bool,
    /// A shutdown has begun.
    pub shutting_down: bool,
}

impl<'a> Facts<'a> {
    /// Those of a process whose gate reads so.
    #[must_use]
    pub fn of(incarnation: &'a Incarnation, reading: Reading) -> Self {
        let Reading { generation, drained, state, .. } = reading;
        let shutting_down = matches!(state, DrainState::ShutdownDraining | DrainState::Stopped);
        Self { incarnation, generation, drained, shutting_down }
    }
}

/// What happened to a hold.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HoldChange {
    /// Which hold.
    pub id: RequestId,
    /// To whom it belongs.
    pub owner: String,
    /// Who did it: the owner, another who overrides, or the gateway itself (empty).
    pub by: String,
    /// Where it is kept.
    pub source: Source,
    /// How long after it appeared it closes the gate.
    pub unready_delay: Duration,
    /// What happened.
    pub what: HoldEvent,
}

/// What can happen to a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HoldEvent {
    /// It appeared.
    Begun,
    /// Its lease was renewed.
    Renewed,
    /// Its owner got the right to act.
    Committed,
    /// It is gone.
    Ended(Ending),
}

impl HoldChange {
    fn new(hold: &Hold, by: &str, what: HoldEvent) -> Self {
        Self {
            id: hold.id.clone(),
            owner: hold.owner.clone(),
            by: by.into(),
            source: hold.source,
            unready_delay: hold.closes_at.saturating_sub(hold.first_seen),
            what,
        }
    }
}

/// All holds, and the rules by which they come and go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct HoldSet {
    policy: LeasePolicy,
    holds: BTreeMap<RequestId, Hold>,
    /// Writes whose hold has ended although they may still lie there. They stay ended until they are gone or
    /// overwritten; otherwise an expired hold would begin again at every look.
    ended: BTreeMap<RequestId, Vec<(Option<Nonce>, Ending)>>,
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

    /// One hold.
    #[must_use]
    pub fn get(&self, id: &RequestId) -> Option<&Hold> {
        self.holds.get(id)
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

    /// Decides one request. Each nonce is decided once: seen again, it gets the same answer and changes nothing (S2).
    ///
    /// Call [`expire`](Self::expire) with the same `now` first.
    pub fn apply(&mut self, request: &Request, facts: &Facts<'_>, now: Duration) -> (Outcome, Option<HoldChange>) {
        if let Some(decided) = self.standing(&request.id, request.nonce.as_ref(), now) {
            return (decided, None);
        }
        if facts.shutting_down {
            return (Outcome::Refused(Denied::ShuttingDown), None);
        }
        match request.action {
            Action::Begin => self.begin(request, facts, now),
            Action::Commit => self.commit(request, facts, now),
            Action::Withdraw => self.withdraw(request),
            Action::Override => self.end(request, Ending::Overridden),
        }
    }

    /// Decides all that is in the channel, as one step: what is `seen`, in order, and what is definitely `absent`.
    ///
    /// Call [`expire`](Self::expire) with the same `now` first.
    pub fn reconcile(
        &mut self,
        seen: &[Request],
        absent: impl Fn(&RequestId) -> bool,
        facts: &Facts<'_>,
        now: Duration,
    ) -> (Vec<Outcome>, Vec<HoldChange>) {
        // Made only if something is gone, which is seldom.
        let there: LazyCell<HashSet<&RequestId>, _> =
            LazyCell::new(|| seen.iter().map(|request| &request.id).collect());
        let gone = self.names_in_files().filter(|id| absent(id) && !there.contains(id));
        let gone: Vec<RequestId> = gone.cloned().collect();
        let mut changes: Vec<HoldChange> = gone.iter().filter_map(|id| self.absent(id)).collect();
        let mut decide = |request: &Request| {
            let (outcome, change) = self.apply(request, facts, now);
            changes.extend(change);
            outcome
        };
        (seen.iter().map(&mut decide).collect(), changes)
    }

    /// What has become of a write that was decided before, as of now.
    #[must_use]
    pub fn standing(&self, id: &RequestId, nonce: Option<&Nonce>, now: Duration) -> Option<Outcome> {
        match self.holds.get(id) {
            Some(hold) if nonce.is_none() || hold.nonce.as_ref() == nonce => Some(hold.standing(now)),
            _ => self.ending(id, nonce).map(Outcome::Ended),
        }
    }

    fn ending(&self, id: &RequestId, nonce: Option<&Nonce>) -> Option<Ending> {
        let ended = self.ended.get(id)?;
        ended.iter().find(|(write, _)| write.as_ref() == nonce).map(|(_, ending)| *ending)
    }

    fn begin(&mut self, request: &Request, facts: &Facts<'_>, now: Duration) -> (Outcome, Option<HoldChange>) {
        if request.incarnation.as_ref().is_some_and(|meant_for| meant_for != facts.incarnation) {
            return (Outcome::Refused(Denied::OtherIncarnation), None);
        }
        let lease = self.policy.lease(request.lease);
        if let Some(hold) = self.holds.get_mut(&request.id) {
            if hold.owner.is_empty() {
                // It was found without content, by a touch or in a look that failed: it is whoever's it is that says so.
                hold.owner.clone_from(&request.owner);
            }
            if hold.owner != request.owner {
                // Nothing is renewed, and nothing is freed: the hold lives out its own lease (H2).
                return (Outcome::Refused(Denied::NotYours), None);
            }
            hold.reason.clone_from(&request.reason);
            hold.deadline = request.deadline;
            hold.suppress_notification = request.suppress_notification;
            hold.expires_at = now.saturating_add(lease);
            hold.nonce.clone_from(&request.nonce);
            hold.refused = None;
            let change = HoldChange::new(hold, &request.owner, HoldEvent::Renewed);
            return (hold.standing(now), Some(change));
        }
        // A timestamp can shorten a lease and never ends one: a clock that jumped must not open the gate (H5).
        let age = request.age.filter(|age| *age < lease).unwrap_or_default();
        let hold = Hold {
            id: request.id.clone(),
            owner: request.owner.clone(),
            reason: request.reason.clone(),
            source: request.source,
            first_seen: now,
            closes_at: now.saturating_add(request.unready_delay.min(self.policy.max_unready_delay)),
            expires_at: now.saturating_add(lease.saturating_sub(age)),
            deadline: request.deadline,
            suppress_notification: request.suppress_notification,
            nonce: request.nonce.clone(),
            refused: None,
            commit: None,
        };
        if request.nonce.is_some() {
            self.ended.remove(&request.id);
        }
        let begun = (hold.standing(now), Some(HoldChange::new(&hold, &request.owner, HoldEvent::Begun)));
        self.holds.insert(request.id.clone(), hold);
        begun
    }

    fn commit(&mut self, request: &Request, facts: &Facts<'_>, now: Duration) -> (Outcome, Option<HoldChange>) {
        let Some(hold) = self.holds.get_mut(&request.id) else {
            let expired = self.ended.get(&request.id).is_some_and(|e| e.iter().any(|(_, e)| *e == Ending::Expired));
            let why = if expired { Denied::LeaseExpired } else { Denied::NotHeld };
            return (Outcome::Refused(why), None);
        };
        if hold.owner != request.owner {
            return (Outcome::Refused(Denied::NotYours), None);
        }
        let denied = if request.incarnation.as_ref() != Some(facts.incarnation) {
            Some(Denied::OtherIncarnation)
        } else if request.generation != Some(facts.generation) {
            Some(Denied::OtherGeneration)
        } else if !hold.closes(now) {
            Some(Denied::NotClosedYet)
        } else if !facts.drained {
            Some(Denied::NotDrained)
        } else {
            None
        };
        // Remembered either way: a commit that was refused must not be granted later behind its owner's back.
        hold.nonce.clone_from(&request.nonce);
        hold.refused = denied;
        if let (None, Some(token)) = (denied, &request.nonce) {
            let at = hold.commit.as_ref().map_or(now, |earlier| earlier.at);
            hold.commit = Some(Commit { token: token.clone(), at });
            let change = HoldChange::new(hold, &request.owner, HoldEvent::Committed);
            return (Outcome::Committed, Some(change));
        }
        (hold.standing(now), None)
    }

    fn withdraw(&mut self, request: &Request) -> (Outcome, Option<HoldChange>) {
        match self.holds.get(&request.id) {
            Some(hold) if hold.owner != request.owner => (Outcome::Refused(Denied::NotYours), None),
            Some(Hold { commit: Some(commit), .. }) if request.token.as_ref() != Some(&commit.token) => {
                (Outcome::Refused(Denied::Committed), None)
            }
            _ => self.end(request, Ending::Withdrawn),
        }
    }

    /// Ends the hold on the request's behalf. Where there is none, what was wanted is so already.
    fn end(&mut self, request: &Request, ending: Ending) -> (Outcome, Option<HoldChange>) {
        let change = self.remove(&request.id, ending).map(|mut change| {
            change.by.clone_from(&request.owner);
            change
        });
        if change.is_some() && request.source == Source::File {
            self.ended.insert(request.id.clone(), vec![(request.nonce.clone(), ending)]);
        }
        (Outcome::Ended(ending), change)
    }

    /// Takes a hold away. The write that began it stays ended for as long as its file may lie there.
    fn remove(&mut self, id: &RequestId, ending: Ending) -> Option<HoldChange> {
        let hold = self.holds.remove(id)?;
        let change = HoldChange::new(&hold, "", HoldEvent::Ended(ending));
        if hold.is_in_file() {
            self.ended.entry(hold.id).or_default().push((hold.nonce, ending));
        }
        Some(change)
    }

    /// Ends the holds whose lease has run out. A committed hold has no lease any more (H4).
    pub fn expire(&mut self, now: Duration) -> Vec<HoldChange> {
        let due = |hold: &&Hold| hold.commit.is_none() && hold.expires_at <= now;
        let due: Vec<RequestId> = self.iter().filter(due).map(|hold| hold.id.clone()).collect();
        due.iter().filter_map(|id| self.remove(id, Ending::Expired)).collect()
    }

    /// The file of `id` is definitely not there. That withdraws its hold, unless it is committed (H4).
    pub fn absent(&mut self, id: &RequestId) -> Option<HoldChange> {
        match self.holds.get(id) {
            Some(hold) if hold.is_in_file() && hold.commit.is_none() => {
                let change = self.remove(id, Ending::Withdrawn);
                self.ended.remove(id);
                change
            }
            _ => {
                self.ended.remove(id);
                None
            }
        }
    }

    /// The names under which the set knows something that is kept in a file.
    #[must_use]
    pub fn in_files(&self) -> Vec<RequestId> {
        self.names_in_files().cloned().collect()
    }

    fn names_in_files(&self) -> impl Iterator<Item = &RequestId> {
        let held = self.iter().filter(|hold| hold.is_in_file()).map(|hold| &hold.id);
        held.chain(self.ended.keys())
    }

    /// A shutdown takes in every hold (S3).
    pub fn absorb(&mut self) -> Vec<HoldChange> {
        let all: Vec<RequestId> = self.holds.keys().cloned().collect();
        all.iter().filter_map(|id| self.remove(id, Ending::Absorbed)).collect()
    }

    /// Takes over a hold that an earlier process of this boot had.
    pub fn restore(&mut self, hold: Hold) {
        self.holds.insert(hold.id.clone(), hold);
    }

    /// Takes over that a write's lease had run out in an earlier process of this boot.
    pub fn restore_expired(&mut self, id: RequestId, nonce: Option<Nonce>) {
        self.ended.entry(id).or_default().push((nonce, Ending::Expired));
    }

    /// Takes over a committed hold from its file alone: the earlier process left no status that would tell whether the
    /// commit was granted, and an owner who may be acting is not to be cut off (E1).
    pub fn restore_committed(&mut self, request: &Request, now: Duration) {
        let Some(token) = request.nonce.clone() else { return };
        let lease = self.policy.lease(request.lease);
        self.restore(Hold {
            id: request.id.clone(),
            owner: request.owner.clone(),
            reason: request.reason.clone(),
            source: Source::File,
            first_seen: now,
            closes_at: now,
            expires_at: now.saturating_add(lease),
            deadline: request.deadline,
            suppress_notification: request.suppress_notification,
            nonce: Some(token.clone()),
            refused: None,
            commit: Some(Commit { token, at: now }),
        });
    }

    /// Whether a shutdown now is to notify nobody: a live hold asks for that explicitly.
    #[must_use]
    pub fn suppresses_notification(&self) -> bool {
        self.iter().any(|hold| hold.suppress_notification)
    }
}
