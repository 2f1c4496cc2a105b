//! Who keeps the gate closed: holds, their leases, and commit.
//!
//! Pure: time is passed in, as the time since boot, and nothing here reads a file or touches the gate. The
//! [`Controller`](crate::Controller) asks a [`HoldSet`] whether the gate is to be closed, and moves the lifecycle
//! accordingly (H1).
//!
//! | Module | What it is |
//! |---|---|
//! | `set` | the holds: which there are, when they end by time, absence or a shutdown, what a restart takes over |
//! | `rules` | what one request, or one look at the files, does to them |
//! | `ledger` | what was decided of each write that lies in a file, for as long as it lies there |

pub mod fields;
mod id;
mod ledger;
mod notes;
mod request;
mod rules;
mod set;

pub use id::{Incarnation, InvalidRequestId, Nonce, RequestId};
pub use ledger::Acknowledgement;
pub use notes::Notes;
pub use request::{Action, Denied, Ending, NotHonoured, Outcome, Request, Source};
pub use set::HoldSet;

use crate::gate::{Generation, Reading};
use std::collections::BTreeSet;
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
    /// What its owner says of it for people.
    pub notes: Notes,
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
    /// It ends with this process: its last begin named this process as the only one that it is meant for. A commit
    /// takes that away.
    pub bound: bool,
    /// What was seen last in its file's place was not its owner's write. That such a thing is gone withdraws nothing (H2),
    /// unless it is the marker.
    pub overwritten: bool,
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
        match &self.commit {
            Some(_) => Outcome::Committed,
            None if self.closes(now) => Outcome::Held,
            None => Outcome::Pending,
        }
    }

    /// Whether it was found without content and nobody has named an owner yet: it belongs to the first who does.
    fn is_free(&self) -> bool {
        self.owner.is_empty() && self.commit.is_none()
    }

    fn place(&self) -> ledger::HoldPlace {
        (self.id.clone(), self.source)
    }

    /// Whether it is kept in a file, and so survives the process.
    #[must_use]
    pub fn is_in_file(&self) -> bool {
        self.source == Source::File
    }

    /// Whether it is a commit that the next process takes over.
    #[must_use]
    pub fn is_committed_in_file(&self) -> bool {
        self.is_in_file() && self.commit.is_some()
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
    /// The commits whose grant is on record already; `None` if none needs to be. In a file's place, a commit that is not
    /// on record is left undecided.
    pub recorded: Option<&'a BTreeSet<Nonce>>,
}

impl<'a> Facts<'a> {
    /// Those of a process whose gate reads so.
    #[must_use]
    pub fn of(incarnation: &'a Incarnation, reading: Reading) -> Self {
        let Reading { generation, drained, state, .. } = reading;
        Self { incarnation, generation, drained, shutting_down: state.is_ending(), recorded: None }
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
    /// What its owner says of it for people.
    pub notes: Notes,
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
            notes: hold.notes.clone(),
            source: hold.source,
            unready_delay: hold.closes_at.saturating_sub(hold.first_seen),
            what,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_closes_the_gate_whatever_moment_an_earlier_status_says_that_its_delay_ends() {
        let mut holds = HoldSet::new(LeasePolicy::default());
        let later = Duration::from_secs(3600);
        holds.restore(Hold {
            id: RequestId::marker(),
            owner: "ops".into(),
            notes: Notes::default(),
            source: Source::File,
            first_seen: Duration::ZERO,
            closes_at: later,
            expires_at: later,
            deadline: None,
            suppress_notification: false,
            nonce: None,
            bound: false,
            overwritten: false,
            commit: Some(Commit { token: Nonce::fresh(), at: Duration::ZERO }),
        });
        assert!(holds.closes(Duration::ZERO), "E1: its owner may be acting");
        assert!(!holds.pending(Duration::ZERO));
    }

    /// A hold of alice's in a file, for ten seconds.
    fn alice() -> Request {
        let begin = Request::begin(RequestId::marker(), "alice").lease(Duration::from_secs(10));
        Request { source: Source::File, ..begin }
    }

    fn drained(incarnation: &Incarnation) -> Facts<'_> {
        let generation = Generation::from(1);
        Facts { incarnation, generation, drained: true, shutting_down: false, recorded: None }
    }

    #[test]
    fn of_the_writes_that_a_look_finds_when_a_lease_is_over_only_its_owners_renewal_and_commit_outlast_it() {
        let incarnation = Incarnation::fresh();
        let facts = drained(&incarnation);
        let of = |owner: &str, request: Request| Request { owner: owner.into(), source: Source::File, ..request };
        let begin = |owner| of(owner, Request::begin(RequestId::marker(), owner));
        let commit = Request::commit(RequestId::marker(), "alice", incarnation.clone(), facts.generation);
        let stale = Request { stale: true, ..begin("alice") };
        let withdrawal = of("alice", Request::withdraw(RequestId::marker(), "alice"));
        let expired = HoldEvent::Ended(Ending::Expired);
        for (what, request, expected) in [
            ("its renewal", begin("alice"), vec![HoldEvent::Renewed]),
            ("its commit", of("alice", commit), vec![HoldEvent::Committed]),
            ("one of another epoch", stale, vec![expired]),
            ("somebody else's begin", begin("bob"), vec![expired, HoldEvent::Begun]),
            ("its withdrawal", withdrawal, vec![expired]),
        ] {
            let mut holds = HoldSet::new(LeasePolicy::default());
            holds.apply(&alice(), &facts, Duration::ZERO);
            let changes = holds.reconcile(&[request], |_| false, &facts, Duration::from_secs(10));
            assert_eq!(changes.into_iter().map(|change| change.what).collect::<Vec<_>>(), expected, "{what}");
        }
    }

    #[test]
    fn what_a_look_would_grant_is_told_whether_or_not_it_is_on_record() {
        let incarnation = Incarnation::fresh();
        let (facts, none) = (drained(&incarnation), BTreeSet::new());
        let mut holds = HoldSet::new(LeasePolicy::default());
        holds.apply(&alice(), &facts, Duration::ZERO);
        let commit = Request::commit(RequestId::marker(), "alice", incarnation.clone(), facts.generation);
        let commit = Request { source: Source::File, ..commit };
        for recorded in [None, Some(&none)] {
            let facts = Facts { recorded, ..facts.clone() };
            let granted = holds.grants(std::slice::from_ref(&commit), |_| false, &facts, Duration::ZERO);
            let tokens = granted.into_iter().flatten().filter_map(|hold| Some(hold.commit?.token));
            assert_eq!(tokens.collect::<Vec<_>>(), commit.nonce.iter().cloned().collect::<Vec<_>>(), "{recorded:?}");
        }
    }

    #[test]
    fn that_a_write_stands_is_taken_over_with_the_hold_that_it_stands_by_and_with_no_other() {
        let (incarnation, now) = (Incarnation::fresh(), Duration::ZERO);
        // What could not be read, beside the hold's own write.
        let answer = |outcome| Acknowledgement { request_id: RequestId::marker(), nonce: None, outcome };
        for outcome in [Outcome::Held, Outcome::Pending, Outcome::Committed] {
            let mut empty = HoldSet::new(LeasePolicy::default());
            empty.restore_answer(&answer(outcome));
            assert_eq!(empty, HoldSet::new(LeasePolicy::default()), "there is nothing that stands: {outcome:?}");

            let mut holds = HoldSet::new(LeasePolicy::default());
            holds.apply(&alice(), &drained(&incarnation), now);
            assert_eq!(holds.standing(&RequestId::marker(), Source::File, None, now), None);
            holds.restore_answer(&answer(outcome));
            let standing = holds.standing(&RequestId::marker(), Source::File, None, now);
            assert_eq!(standing, Some(Outcome::Held), "as the hold does: {outcome:?}");
        }
    }
}
