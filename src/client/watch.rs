//! What a waiter may conclude from what it sees: the rules of E2 and C6, pure.
//!
//! It is handed one [`GatewayView`] after another and says what each means. It relies on no file and no clock of its own; the
//! wait in [`session`](super::session) looks, pauses, renews, and gives up.
//!
//! A waiter concludes "drained" only from a status that
//!
//! 1. comes from the process that lives there now: the one that holds the home's lock;
//! 2. is of the very process that the wait began with;
//! 3. acknowledges a nonce that was written after the wait began, or is later than one that did;
//! 4. shows the same hold closing the gate, in the same drain, without a break;
//! 5. says drained.

use super::{Failure, SeenDrained};
use crate::gate::Generation;
use crate::hold::{Incarnation, Nonce, Outcome, RequestId};
use crate::state::DrainState;
use crate::status::{DrainStatus, HoldStatus, WorkStatus};
use std::time::Duration;

/// One look at a gateway.
#[derive(Clone, Debug)]
pub(super) enum GatewayView {
    /// Nothing could be seen; and why.
    Silent(String),
    /// Nobody lives there; and why that is known.
    Dead(String),
    /// This process lives there, and there is no status of its own.
    Starting(Incarnation),
    /// Nobody lives there, and this process's last word was that it was shutting down.
    ShutDown(Incarnation),
    /// A live gateway that knows no such hold, or not yet.
    NoHold,
    /// The file of the hold is definitely not there, and the gateway knows no such hold.
    Removed,
    /// What lies there under its name is of another epoch, and the gateway knows no such hold.
    Stale(String),
    /// What has ended the hold, in the gateway's own words.
    Over(Failure),
    /// The living process's own status.
    Seen(Box<StatusView>),
}

/// What the status of a living gateway shows to one waiter.
#[derive(Clone, Debug)]
pub(super) struct StatusView {
    pub(super) incarnation: Incarnation,
    pub(super) state: DrainState,
    pub(super) generation: Generation,
    pub(super) in_flight: u64,
    pub(super) internal: u64,
    pub(super) drained: bool,
    pub(super) stalled: bool,
    pub(super) active_work: Vec<WorkStatus>,
    /// Rises with each published status; none where that can't be seen.
    pub(super) revision: Option<u64>,
    /// How our hold stands, if it is there.
    pub(super) hold: Option<SeenHold>,
    /// The answers to what lies in the channel under our name.
    pub(super) answers: Vec<(Option<Nonce>, Outcome)>,
}

/// How one hold stands.
#[derive(Clone, Debug)]
pub(super) struct SeenHold {
    pub(super) age: f64,
    /// None where the gateway doesn't say it.
    pub(super) first_seen: Option<u64>,
    pub(super) lease_left: Option<Duration>,
    pub(super) pending: bool,
    pub(super) committed: bool,
}

impl StatusView {
    /// What a published status shows of one hold.
    pub(super) fn of(status: DrainStatus, id: &RequestId) -> Self {
        let hold = status.hold(id).map(SeenHold::from);
        let answers = status.acknowledged.into_iter().filter(|answer| answer.request_id == *id);
        Self {
            incarnation: status.incarnation,
            state: status.state,
            generation: status.generation,
            in_flight: status.in_flight,
            internal: status.internal,
            drained: status.drained,
            stalled: status.stalled,
            active_work: status.active_work,
            revision: Some(status.revision),
            hold,
            answers: answers.map(|answer| (answer.nonce, answer.outcome)).collect(),
        }
    }

    pub(super) fn is_ending(&self) -> bool {
        self.state.is_ending()
    }
}

impl From<&HoldStatus> for SeenHold {
    fn from(hold: &HoldStatus) -> Self {
        Self {
            age: hold.age_seconds,
            first_seen: hold.first_seen(),
            lease_left: hold.lease_left_seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
            pending: hold.pending,
            committed: hold.committed,
        }
    }
}

impl SeenHold {
    fn standing(&self) -> Outcome {
        match (self.committed, self.pending) {
            (true, _) => Outcome::Committed,
            (false, true) => Outcome::Pending,
            (false, false) => Outcome::Held,
        }
    }
}

/// What a look means.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// Nothing is known of our request: nobody lives there, or it has not been acknowledged yet.
    Silent(String),
    /// The hold stands, and is not drained.
    Standing,
    /// Drained, by the rules above.
    Drained(SeenDrained),
    /// The gateway has acknowledged a commit.
    Committed,
    /// The wait is over.
    Over(Failure),
}

/// What a waiter has written since its wait began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written<'a> {
    /// In this order.
    pub(super) nonces: &'a [Nonce],
    /// The gateway acknowledged the newest as it was written.
    pub(super) answered: bool,
}

/// What has been seen so far.
#[derive(Clone, Debug)]
pub(super) struct WaitState {
    bound: Option<Incarnation>,
    /// A write of this wait has been acknowledged: every look from then on is later than the wait's beginning.
    answered: bool,
    /// So has a write of this wait or of an earlier one of the same hold.
    known: bool,
    age: f64,
    generation: Option<Generation>,
    /// When the gateway first saw the hold, where it says that.
    first_seen: Option<u64>,
    revision: Option<u64>,
    heard_at: Duration,
}

impl WaitState {
    /// A wait that begins `now`, with this process or, if none is named, with the first that is seen.
    pub(super) fn new(only_for: Option<Incarnation>, now: Duration) -> Self {
        Self {
            bound: only_for,
            answered: false,
            known: false,
            age: 0.0,
            generation: None,
            first_seen: None,
            revision: None,
            heard_at: now,
        }
    }

    /// The same, of a hold that was found standing there.
    pub(super) fn of_one_first_seen(self, first_seen: Option<u64>) -> Self {
        Self { first_seen, ..self }
    }

    /// An acknowledgement says when the gateway first saw the hold.
    pub(super) fn know_first_seen(&mut self, first_seen: Option<u64>) {
        self.first_seen = self.first_seen.or(first_seen);
    }

    /// When the gateway first saw the hold; none until it has acknowledged it, or where it doesn't say.
    pub(super) fn first_seen(&self) -> Option<u64> {
        self.first_seen
    }

    /// Since when something of the gateway has been heard of.
    pub(super) fn heard_at(&self) -> Duration {
        self.heard_at
    }

    /// How long nothing has been heard.
    pub(super) fn silence(&self, now: Duration) -> Duration {
        now.saturating_sub(self.heard_at)
    }

    /// Another wait begins, with the same process and the same hold.
    pub(super) fn begin_again(&mut self, now: Duration) {
        self.answered = false;
        self.heard_at = now;
    }

    /// Another step begins so soon after the one before that what that one has proved still counts.
    pub(super) fn carry_on(&mut self, now: Duration) {
        self.heard_at = now;
    }

    /// The process that is waited for.
    pub(super) fn process(&self) -> Option<&Incarnation> {
        self.bound.as_ref()
    }

    /// What `look` means to a controller that has `written` this since the wait began.
    pub(super) fn judge(&mut self, look: &GatewayView, written: Written<'_>, now: Duration) -> Verdict {
        let view = match look {
            GatewayView::Silent(why) | GatewayView::Dead(why) => return Verdict::Silent(why.clone()),
            // An ending that is older than our own writing says nothing about it.
            GatewayView::Over(Failure::LeaseLost(_)) if !self.answered => return Verdict::Silent(UNANSWERED.into()),
            GatewayView::Over(failure) => return Verdict::Over(failure.clone()),
            GatewayView::ShutDown(last) if self.bound.as_ref() == Some(last) => {
                return Verdict::Over(Failure::ShuttingDown);
            }
            GatewayView::ShutDown(_) => {
                return Verdict::Silent("no gateway lives there: the last one was shut down".into());
            }
            GatewayView::Starting(live) => {
                let silent = Verdict::Silent(super::status::UNPUBLISHED.into());
                return self.other_process(live).unwrap_or(silent);
            }
            GatewayView::Removed if !written.nonces.is_empty() => return Verdict::Over(withdrawn()),
            // What lay there before our own writing says nothing about it.
            GatewayView::Stale(_) if !self.known => return Verdict::Silent(UNANSWERED.into()),
            GatewayView::Stale(why) => return Verdict::Over(Failure::Ignored(why.clone())),
            GatewayView::NoHold if self.known => return Verdict::Over(withdrawn()),
            GatewayView::NoHold | GatewayView::Removed => return Verdict::Silent(UNANSWERED.into()),
            GatewayView::Seen(view) => view,
        };
        if let Some(other) = self.other_process(&view.incarnation) {
            return other;
        }
        if view.is_ending() {
            return Verdict::Over(Failure::ShuttingDown);
        }
        let ours = |nonce: &Option<Nonce>| nonce.as_ref().is_some_and(|nonce| written.nonces.contains(nonce));
        let answer = view.answers.iter().find(|(nonce, _)| ours(nonce));
        let newest = written.answered || answer.is_some_and(|(nonce, _)| nonce.as_ref() == written.nonces.last());
        let advanced = view.revision.is_some() && view.revision != self.revision && self.answered;
        if newest || advanced {
            self.heard_at = now;
        }
        self.revision = view.revision;
        self.answered |= answer.is_some() || (written.answered && !written.nonces.is_empty());
        self.known |= self.answered;
        let outcome = match (answer, &view.hold) {
            (Some((_, outcome)), _) => *outcome,
            // The hold of an earlier wait is gone, whether or not this wait's own write has been looked at.
            (None, hold) if !self.answered && (hold.is_some() || !self.known) => {
                return Verdict::Silent(UNANSWERED.into());
            }
            // Acknowledged before, and overwritten since by another who renews the same hold; or gone.
            (None, Some(hold)) => hold.standing(),
            (None, None) => {
                let other = view.answers.iter().find_map(|(_, outcome)| Failure::of(*outcome));
                return Verdict::Over(other.unwrap_or_else(withdrawn));
            }
        };
        if let Some(failure) = Failure::of(outcome) {
            return Verdict::Over(failure);
        }
        let Some(hold) = &view.hold else {
            return Verdict::Over(Failure::Internal("the status acknowledges a hold that it doesn't show".into()));
        };
        if self.is_broken(hold, view.generation) {
            let why = "the hold ended and began again; the drain that was waited for is over";
            return Verdict::Over(Failure::LeaseLost(why.into()));
        }
        match outcome {
            Outcome::Committed => Verdict::Committed,
            Outcome::Held if view.drained && view.state == DrainState::ExternalDraining && !hold.pending => {
                Verdict::Drained(SeenDrained::new(view.incarnation.clone(), view.generation))
            }
            _ => Verdict::Standing,
        }
    }

    fn other_process(&mut self, live: &Incarnation) -> Option<Verdict> {
        let bound = self.bound.get_or_insert_with(|| live.clone());
        let changed = || Failure::IncarnationChanged(format!("{bound} is gone, {live} is there"));
        (bound != live).then(|| Verdict::Over(changed()))
    }

    /// Whether the hold or its drain is another one than before (failure 6: begin, cancel, begin again). A drain has one
    /// generation from its closing to its end, a hold grows older, and no two of one name were first seen at the same time.
    fn is_broken(&mut self, hold: &SeenHold, generation: Generation) -> bool {
        let another = hold.first_seen.is_some_and(|seen| *self.first_seen.get_or_insert(seen) != seen);
        let younger = another || hold.age < self.age;
        self.age = hold.age;
        let reopened = !hold.pending && *self.generation.get_or_insert(generation) != generation;
        younger || reopened
    }
}

const UNANSWERED: &str = "it lives and has not acknowledged the request yet";

fn withdrawn() -> Failure {
    Failure::Withdrawn("the hold was withdrawn".into())
}

/// What the rules above make of one status, for the protocol's model to compare with its own controllers.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conclusion {
    /// Nothing yet: the wait goes on.
    Waits,
    /// Drained.
    Drained,
    /// The commit is granted.
    Committed,
    /// The wait has ended, with no right to act.
    Ended,
}

/// What a controller that has just written `nonce` concludes from the first status of the living process that it sees.
#[doc(hidden)]
#[must_use]
pub fn concluded(status: DrainStatus, id: &RequestId, nonce: &Nonce) -> Conclusion {
    let look = GatewayView::Seen(Box::new(StatusView::of(status, id)));
    let written = Written { nonces: std::slice::from_ref(nonce), answered: false };
    match WaitState::new(None, Duration::ZERO).judge(&look, written, Duration::ZERO) {
        Verdict::Silent(_) | Verdict::Standing => Conclusion::Waits,
        Verdict::Drained(_) => Conclusion::Drained,
        Verdict::Committed => Conclusion::Committed,
        Verdict::Over(_) => Conclusion::Ended,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What may be amiss with a look that otherwise shows a drained gateway.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Defect {
        OtherProcess,
        EarlierWrite,
        NotDrained,
        ShuttingDown,
        Running,
        Pending,
        OtherGeneration,
        BegunAnew,
        NoHold,
    }

    const ALL: [Defect; 9] = [
        Defect::OtherProcess,
        Defect::EarlierWrite,
        Defect::NotDrained,
        Defect::ShuttingDown,
        Defect::Running,
        Defect::Pending,
        Defect::OtherGeneration,
        Defect::BegunAnew,
        Defect::NoHold,
    ];

    fn named(name: &str) -> Nonce {
        Nonce::from(name.to_owned())
    }

    /// A look in which all of this is amiss.
    fn look(defects: &[Defect]) -> GatewayView {
        let is = |what| defects.contains(&what);
        let pick = |what, then: &'static str, otherwise: &'static str| if is(what) { then } else { otherwise };
        let state = match (is(Defect::ShuttingDown), is(Defect::Running)) {
            (true, _) => DrainState::ShutdownDraining,
            (false, true) => DrainState::Running,
            (false, false) => DrainState::ExternalDraining,
        };
        let pending = is(Defect::Pending);
        let age = if is(Defect::BegunAnew) { 0.1 } else { 5.0 };
        let hold = SeenHold { age, first_seen: None, lease_left: None, pending, committed: false };
        let outcome = if pending { Outcome::Pending } else { Outcome::Held };
        GatewayView::Seen(Box::new(StatusView {
            incarnation: Incarnation::from(pick(Defect::OtherProcess, "other", "ours").to_owned()),
            state,
            generation: Generation(if is(Defect::OtherGeneration) { 8 } else { 7 }),
            in_flight: 0,
            internal: 0,
            drained: !is(Defect::NotDrained),
            stalled: false,
            active_work: Vec::new(),
            revision: Some(1),
            hold: (!is(Defect::NoHold)).then_some(hold),
            answers: vec![(Some(named(pick(Defect::EarlierWrite, "before", "now"))), outcome)],
        }))
    }

    /// A waiter that knows its process, its drain and how old its hold is, and begins another wait.
    fn watch() -> WaitState {
        let mut watch = WaitState::new(None, Duration::ZERO);
        let before = [named("before")];
        let written = Written { nonces: &before, answered: false };
        let first = watch.judge(&look(&[Defect::EarlierWrite, Defect::NotDrained]), written, Duration::ZERO);
        assert_eq!(first, Verdict::Standing);
        watch.begin_again(Duration::ZERO);
        watch
    }

    fn judged(defects: &[Defect]) -> Verdict {
        let now = [named("now")];
        watch().judge(&look(defects), Written { nonces: &now, answered: false }, Duration::ZERO)
    }

    #[test]
    fn drained_is_concluded_when_nothing_is_amiss_and_in_none_of_the_other_511_cases() {
        for case in 0_u32..1 << ALL.len() {
            let defects: Vec<Defect> = (0..ALL.len()).filter(|bit| case >> bit & 1 == 1).map(|bit| ALL[bit]).collect();
            let drained = matches!(judged(&defects), Verdict::Drained(_));
            assert_eq!(drained, defects.is_empty(), "with {defects:?} defects, drained was concluded: {drained}");
        }
    }

    #[test]
    fn each_thing_amiss_has_a_meaning_of_its_own() {
        let over = |defects| match judged(&[defects]) {
            Verdict::Over(failure) => failure,
            other => panic!("{defects:?}: {other:?}"),
        };
        assert!(matches!(over(Defect::OtherProcess), Failure::IncarnationChanged(_)));
        assert!(matches!(over(Defect::ShuttingDown), Failure::ShuttingDown));
        assert!(matches!(over(Defect::OtherGeneration), Failure::LeaseLost(_)));
        assert!(matches!(over(Defect::BegunAnew), Failure::LeaseLost(_)));
        assert!(matches!(judged(&[Defect::EarlierWrite]), Verdict::Silent(_)));
        assert_eq!(judged(&[Defect::NotDrained]), Verdict::Standing);
        assert_eq!(judged(&[Defect::Pending]), Verdict::Standing);
    }

    #[test]
    fn a_process_that_is_gone_or_has_published_nothing_is_silent_or_another() {
        let nothing = Written { nonces: &[], answered: false };
        let starting = |name: &str| GatewayView::Starting(Incarnation::from(name.to_owned()));
        let judge = |look: &GatewayView| watch().judge(look, nothing, Duration::ZERO);
        assert!(matches!(judge(&GatewayView::Silent("gone".into())), Verdict::Silent(_)));
        assert!(matches!(judge(&starting("ours")), Verdict::Silent(_)));
        assert!(matches!(judge(&starting("other")), Verdict::Over(Failure::IncarnationChanged(_))));
        let last_word = GatewayView::ShutDown(Incarnation::from("ours".to_owned()));
        assert_eq!(judge(&last_word), Verdict::Over(Failure::ShuttingDown));
    }

    #[test]
    fn what_is_no_status_means_as_much_as_was_known_before() {
        let lease = Failure::LeaseLost("it ran out".into());
        let denied = Failure::Denied("no".into());
        let ended = |name: &str| GatewayView::ShutDown(Incarnation::from(name.to_owned()));
        // To a controller that knows nothing yet, has just begun another wait for the same hold, and was answered in this one.
        for (look, to_a_stranger, to_one_who_knows, to_one_who_was_answered) in [
            (GatewayView::Over(lease), "silent", "silent", "lease lost"),
            (GatewayView::Over(denied), "denied", "denied", "denied"),
            (ended("ours"), "silent", "shutting down", "shutting down"),
            (ended("other"), "silent", "silent", "silent"),
            (GatewayView::Stale("of another boot".into()), "silent", "ignored", "ignored"),
            (GatewayView::NoHold, "silent", "withdrawn", "withdrawn"),
            (GatewayView::Removed, "silent", "silent", "silent"),
        ] {
            let nothing = Written { nonces: &[], answered: false };
            let word = |mut watch: WaitState| match watch.judge(&look, nothing, Duration::ZERO) {
                Verdict::Silent(_) => "silent",
                Verdict::Over(Failure::LeaseLost(_)) => "lease lost",
                Verdict::Over(Failure::Denied(_)) => "denied",
                Verdict::Over(Failure::ShuttingDown) => "shutting down",
                Verdict::Over(Failure::Ignored(_)) => "ignored",
                Verdict::Over(Failure::Withdrawn(_)) => "withdrawn",
                other => panic!("{look:?}: {other:?}"),
            };
            assert_eq!(word(WaitState::new(None, Duration::ZERO)), to_a_stranger, "{look:?}");
            assert_eq!(word(watch()), to_one_who_knows, "{look:?}");
            assert_eq!(word(answered()), to_one_who_was_answered, "{look:?}");
        }
        let now = [named("now")];
        let gone = watch().judge(&GatewayView::Removed, Written { nonces: &now, answered: false }, Duration::ZERO);
        assert_eq!(gone, Verdict::Over(withdrawn()), "a controller that has written finds the file gone");
    }

    /// A waiter whose own write was acknowledged.
    fn answered() -> WaitState {
        let mut watch = watch();
        let now = [named("now")];
        watch.judge(&look(&[Defect::NotDrained]), Written { nonces: &now, answered: false }, Duration::ZERO);
        watch
    }

    /// A look with everything as it should be, but for this.
    fn but(change: impl FnOnce(&mut StatusView)) -> GatewayView {
        let GatewayView::Seen(mut view) = look(&[]) else { panic!("it is a view") };
        change(&mut view);
        GatewayView::Seen(view)
    }

    #[test]
    fn once_answered_a_hold_that_another_renews_still_stands_and_one_that_is_gone_is_over() {
        let now = [named("now")];
        let written = Written { nonces: &now, answered: false };
        let overwritten = look(&[Defect::EarlierWrite, Defect::NotDrained]);
        assert_eq!(answered().judge(&overwritten, written, Duration::ZERO), Verdict::Standing);
        assert!(matches!(watch().judge(&overwritten, written, Duration::ZERO), Verdict::Silent(_)));
        let gone = look(&[Defect::EarlierWrite, Defect::NoHold]);
        assert_eq!(answered().judge(&gone, written, Duration::ZERO), Verdict::Over(withdrawn()));
        assert_eq!(watch().judge(&gone, written, Duration::ZERO), Verdict::Over(withdrawn()));
        let stranger = WaitState::new(None, Duration::ZERO).judge(&gone, written, Duration::ZERO);
        assert!(matches!(stranger, Verdict::Silent(_)), "it has never been acknowledged: {stranger:?}");
        let told = Written { nonces: &now, answered: true };
        assert_eq!(
            watch().judge(&overwritten, told, Duration::ZERO),
            Verdict::Standing,
            "acknowledged as it was written"
        );
        let told_nothing = Written { nonces: &[], answered: true };
        assert!(matches!(watch().judge(&overwritten, told_nothing, Duration::ZERO), Verdict::Silent(_)));
        let mut first = WaitState::new(None, Duration::ZERO);
        first.judge(&look(&[]), written, Duration::ZERO);
        first.begin_again(Duration::ZERO);
        assert_eq!(first.judge(&GatewayView::NoHold, written, Duration::ZERO), Verdict::Over(withdrawn()));
    }

    #[test]
    fn a_commit_is_granted_by_the_gateways_own_word() {
        let now = [named("now")];
        let granted = but(|view| view.answers = vec![(Some(named("now")), Outcome::Committed)]);
        let verdict = watch().judge(&granted, Written { nonces: &now, answered: false }, Duration::ZERO);
        assert_eq!(verdict, Verdict::Committed);
    }

    #[test]
    fn the_gateway_was_heard_of_when_it_answered_the_newest_write_or_published_again_since() {
        let at = Duration::from_secs;
        let both = [named("now"), named("later")];
        let first = Written { nonces: &both[..1], answered: false };
        let mut watch = WaitState::new(None, at(0));
        assert_eq!(watch.process(), None);
        watch.judge(&look(&[Defect::EarlierWrite]), first, at(5));
        assert_eq!((watch.heard_at(), watch.silence(at(7))), (at(0), at(7)), "that answers an earlier write");
        assert_eq!(watch.process().map(Incarnation::as_str), Some("ours"));
        watch.judge(&look(&[]), first, at(8));
        assert_eq!((watch.heard_at(), watch.silence(at(10))), (at(8), at(2)), "that answers the newest");
        let second = Written { nonces: &both, answered: false };
        watch.judge(&look(&[]), second, at(9));
        assert_eq!(watch.heard_at(), at(8), "the same status once more");
        watch.judge(&but(|view| view.revision = None), second, at(10));
        assert_eq!(watch.heard_at(), at(8), "one ownership number can't be seen");
        watch.judge(&but(|view| view.revision = Some(2)), second, at(11));
        assert_eq!(watch.heard_at(), at(11), "a new one");
        let told = Written { nonces: &both, answered: true };
        watch.judge(&but(|view| view.revision = Some(2)), told, at(12));
        assert_eq!(watch.heard_at(), at(12), "it was answered as it was written");
        watch.carry_on(at(13));
        assert_eq!(watch.heard_at(), at(13));
        watch.begin_again(at(14));
        assert_eq!(watch.heard_at(), at(14));
        watch.judge(&but(|view| (view.revision, view.answers) = (Some(3), Vec::new())), second, at(15));
        assert_eq!(watch.heard_at(), at(14), "nothing of this wait has been answered yet");
    }

    #[test]
    fn an_answer_to_a_write_of_another_name_is_none() {
        let concluded_of = |name: &str| {
            let status = serde_json::json!({
                "format": 2, "state": "external_draining", "incarnation": "ours", "drained": true,
                "holds": [{"request_id": "upgrade", "owner": "alice", "nonce": "now"}],
                "acknowledged": [{"request_id": name, "nonce": "now", "outcome": "held"}],
            });
            concluded(serde_json::from_value(status).unwrap(), &RequestId::new("upgrade").unwrap(), &named("now"))
        };
        assert_eq!(concluded_of("upgrade"), Conclusion::Drained);
        assert_eq!(concluded_of("another"), Conclusion::Waits);
    }
}
