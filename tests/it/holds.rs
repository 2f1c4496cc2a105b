//! Holds: who keeps the gate closed, for how long, and who may end it. Pure, so time is whatever the test says.

use gateway_drain::gate::Generation;
use gateway_drain::hold::{Denied, Ending, Facts, HoldEvent, Incarnation, LeasePolicy, Nonce, Notes, Outcome, Source};
use gateway_drain::{Hold, HoldSet, Request, RequestId};
use std::collections::BTreeSet;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// A set of holds under a clock that the test moves, in a gateway that is drained unless the test says otherwise.
struct Scene {
    holds: HoldSet,
    now: Duration,
    incarnation: Incarnation,
    drained: bool,
    shutting_down: bool,
}

fn id(name: &str) -> RequestId {
    RequestId::new(name).expect("a request id")
}

fn generation(number: u32) -> Generation {
    serde_json::from_value(number.into()).expect("a generation")
}

impl Scene {
    fn new() -> Self {
        Self {
            holds: HoldSet::new(LeasePolicy::default()),
            now: HOUR,
            incarnation: Incarnation::from("this".to_owned()),
            drained: true,
            shutting_down: false,
        }
    }

    fn ask(&mut self, request: &Request) -> Outcome {
        let facts = Facts {
            incarnation: &self.incarnation,
            generation: generation(7),
            drained: self.drained,
            shutting_down: self.shutting_down,
            recorded: None,
        };
        self.holds.expire(self.now);
        self.holds.apply(request, &facts, self.now).0
    }

    fn begin(&mut self, name: &str, owner: &str) -> Outcome {
        self.ask(&Request::begin(id(name), owner))
    }

    fn commit(&mut self, name: &str, owner: &str) -> (Outcome, Nonce) {
        let commit = Request::commit(id(name), owner, self.incarnation.clone(), generation(7));
        (self.ask(&commit), commit.nonce.expect("a request has a nonce"))
    }

    fn commit_in_file(&mut self, name: &str, owner: &str) -> (Outcome, Nonce) {
        let commit = in_file(Request::commit(id(name), owner, self.incarnation.clone(), generation(7)));
        (self.ask(&commit), commit.nonce.expect("a request has a nonce"))
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.holds.expire(self.now);
    }

    fn hold(&self, name: &str) -> &Hold {
        self.holds.iter().find(|hold| hold.id == id(name)).expect("the hold is there")
    }
}

fn in_file(request: Request) -> Request {
    let mut request = request;
    request.source = Source::File;
    request
}

#[test]
fn the_gate_is_to_be_closed_exactly_while_there_is_a_hold() {
    let mut scene = Scene::new();
    assert!(!scene.holds.closes(scene.now));
    assert_eq!(scene.begin("a", "ann"), Outcome::Held);
    assert_eq!(scene.begin("b", "bob"), Outcome::Held);
    assert_eq!(scene.ask(&Request::withdraw(id("a"), "ann")), Outcome::Ended(Ending::Withdrawn));
    assert!(scene.holds.closes(scene.now), "b still holds");
    assert_eq!(scene.ask(&Request::withdraw(id("b"), "bob")), Outcome::Ended(Ending::Withdrawn));
    assert!(!scene.holds.closes(scene.now));
}

#[test]
fn nobody_withdraws_renews_or_commits_another_s_hold() {
    let mut scene = Scene::new();
    scene.begin("a", "ann");
    let before = scene.hold("a").clone();
    assert_eq!(scene.ask(&Request::withdraw(id("a"), "bob")), Outcome::Refused(Denied::NotYours));
    assert_eq!(scene.begin("a", "bob"), Outcome::Refused(Denied::NotYours));
    assert_eq!(scene.commit("a", "bob").0, Outcome::Refused(Denied::NotYours));
    assert_eq!(*scene.hold("a"), before, "a refusal changes no hold");
}

#[test]
fn a_lease_lasts_an_hour_unless_it_says_otherwise_and_never_more_than_a_day() {
    let mut scene = Scene::new();
    scene.begin("default", "ann");
    scene.ask(&Request::begin(id("short"), "ann").lease(MINUTE));
    scene.ask(&Request::begin(id("endless"), "ann").lease(Duration::MAX));
    scene.ask(&Request::begin(id("none"), "ann").lease(Duration::ZERO));
    let left = |name| scene.hold(name).lease_left(scene.now);
    assert_eq!(left("default"), Some(HOUR));
    assert_eq!(left("short"), Some(MINUTE));
    assert_eq!(left("endless"), Some(24 * HOUR));
    assert_eq!(left("none"), Some(LeasePolicy::MIN));
    scene.ask(&Request::begin(id("short"), "ann").lease(Duration::ZERO));
    assert_eq!(scene.hold("short").lease_left(scene.now), Some(LeasePolicy::MIN), "nor a renewal's");
}

#[test]
fn a_dead_controller_s_hold_ends_with_its_lease_and_not_a_moment_before() {
    let mut scene = Scene::new();
    scene.begin("a", "ann");
    scene.pass(HOUR.checked_sub(Duration::from_millis(1)).unwrap());
    assert!(scene.holds.closes(scene.now));
    scene.pass(Duration::from_millis(1));
    assert!(!scene.holds.closes(scene.now));
}

#[test]
fn a_renewal_starts_the_lease_again_and_the_same_write_seen_again_does_not() {
    let mut scene = Scene::new();
    let first = Request::begin(id("a"), "ann");
    scene.ask(&first);
    scene.pass(30 * MINUTE);
    assert_eq!(scene.ask(&first), Outcome::Held);
    assert_eq!(scene.hold("a").lease_left(scene.now), Some(30 * MINUTE), "the same write is no heartbeat");
    scene.begin("a", "ann");
    assert_eq!(scene.hold("a").lease_left(scene.now), Some(HOUR));
}

#[test]
fn a_file_that_outlives_its_lease_does_not_begin_again_until_it_is_written_again() {
    let mut scene = Scene::new();
    let request = in_file(Request::begin(id("a"), "ann"));
    scene.ask(&request);
    scene.pass(HOUR);
    assert_eq!(scene.ask(&request), Outcome::Ended(Ending::Expired));
    assert!(!scene.holds.closes(scene.now));
    assert_eq!(scene.ask(&in_file(Request::begin(id("a"), "ann"))), Outcome::Held, "a new write is a new hold");
}

#[test]
fn something_unreadable_holds_for_one_lease_and_flapping_does_not_prolong_it() {
    let mut scene = Scene::new();
    let mut unreadable = in_file(Request::begin(id("a"), ""));
    unreadable.nonce = None;
    let readable = in_file(Request::begin(id("a"), ""));
    assert_eq!(scene.ask(&unreadable), Outcome::Held);
    assert_eq!(scene.ask(&readable), Outcome::Held, "content is a write");
    for _ in 0..5 {
        scene.pass(10 * MINUTE);
        scene.ask(&unreadable);
        scene.ask(&readable);
    }
    assert_eq!(scene.hold("a").lease_left(scene.now), Some(10 * MINUTE));
    scene.pass(10 * MINUTE);
    assert_eq!(scene.ask(&readable), Outcome::Ended(Ending::Expired));
    scene.ask(&unreadable);
    scene.pass(HOUR);
    assert_eq!(scene.ask(&unreadable), Outcome::Ended(Ending::Expired));
    assert_eq!(scene.ask(&readable), Outcome::Ended(Ending::Expired), "both have had their lease");
    assert!(!scene.holds.closes(scene.now));
}

#[test]
fn a_timestamp_shortens_a_lease_if_it_is_sane_and_never_ends_one_at_first_sight() {
    let mut scene = Scene::new();
    let aged = |name, age| {
        let mut request = Request::begin(id(name), "ann");
        request.age = age;
        request
    };
    scene.ask(&aged("aged", Some(20 * MINUTE)));
    scene.ask(&aged("old", Some(59 * MINUTE)));
    scene.ask(&aged("ancient", Some(24 * HOUR)));
    scene.ask(&aged("future", None));
    let left = |name| scene.hold(name).lease_left(scene.now);
    assert_eq!(left("aged"), Some(40 * MINUTE));
    assert_eq!(left("old"), Some(30 * MINUTE), "half of a lease is always left");
    assert_eq!(left("ancient"), Some(HOUR), "older than its lease: as likely a clock that jumped");
    assert_eq!(left("future"), Some(HOUR));
}

#[test]
fn a_renewal_lasts_a_whole_lease_however_old_its_timestamp_is() {
    let mut scene = Scene::new();
    for age in [None, Some(MINUTE), Some(20 * MINUTE), Some(59 * MINUTE), Some(HOUR), Some(24 * HOUR)] {
        scene.begin("a", "ann");
        scene.pass(MINUTE);
        let mut renewal = Request::begin(id("a"), "ann");
        renewal.age = age;
        scene.ask(&renewal);
        assert_eq!(scene.hold("a").lease_left(scene.now), Some(HOUR), "{age:?}");
    }
}

#[test]
fn notes_are_empty_only_if_no_field_of_them_says_anything() {
    assert!(Notes::default().is_empty());
    assert!(!Notes::reason("a new version").is_empty());
    assert!(!Notes::default().ticket("CHG-1").is_empty());
}

#[test]
fn a_commit_is_granted_only_to_a_live_hold_of_a_drained_gate_in_the_process_and_drain_that_were_seen() {
    let mut scene = Scene::new();
    assert_eq!(scene.commit("a", "ann").0, Outcome::Refused(Denied::NotHeld));
    scene.begin("a", "ann");
    let other = Incarnation::from("another".to_owned());
    let elsewhere = Request::commit(id("a"), "ann", other, generation(7));
    assert_eq!(scene.ask(&elsewhere), Outcome::Refused(Denied::OtherIncarnation));
    let earlier = Request::commit(id("a"), "ann", scene.incarnation.clone(), generation(6));
    assert_eq!(scene.ask(&earlier), Outcome::Refused(Denied::OtherGeneration));
    scene.drained = false;
    assert_eq!(scene.commit("a", "ann").0, Outcome::Refused(Denied::NotDrained));
    scene.drained = true;
    assert_eq!(scene.commit("a", "ann").0, Outcome::Committed);
}

#[test]
fn a_commit_after_the_lease_is_told_that_the_lease_was_lost() {
    let mut scene = Scene::new();
    scene.ask(&in_file(Request::begin(id("a"), "ann")));
    scene.pass(HOUR);
    assert_eq!(scene.commit_in_file("a", "ann").0, Outcome::Refused(Denied::LeaseExpired));
    assert_eq!(scene.commit_in_file("a", "ann").0, Outcome::Refused(Denied::LeaseExpired), "and so is the next");
    scene.ask(&in_file(Request::begin(id("a"), "ann")));
    scene.ask(&in_file(Request::withdraw(id("a"), "ann")));
    assert_eq!(scene.commit_in_file("a", "ann").0, Outcome::Refused(Denied::NotHeld), "that one was withdrawn");
}

#[test]
fn a_refused_commit_is_not_granted_later_behind_its_owner_s_back() {
    let mut scene = Scene::new();
    scene.begin("a", "ann");
    scene.drained = false;
    let commit = Request::commit(id("a"), "ann", scene.incarnation.clone(), generation(7));
    assert_eq!(scene.ask(&commit), Outcome::Refused(Denied::NotDrained));
    scene.drained = true;
    assert_eq!(scene.ask(&commit), Outcome::Refused(Denied::NotDrained), "its owner has been told no");
    assert!(scene.hold("a").commit.is_none());
    assert_eq!(scene.commit("a", "ann").0, Outcome::Committed, "and may ask again");
}

#[test]
fn after_the_commit_neither_the_lease_nor_a_lost_file_nor_another_ends_the_hold() {
    let mut scene = Scene::new();
    scene.ask(&in_file(Request::begin(id("a"), "ann")));
    scene.commit_in_file("a", "ann");
    scene.pass(48 * HOUR);
    assert_eq!(scene.holds.absent(&id("a")), None);
    assert_eq!(scene.ask(&in_file(Request::withdraw(id("a"), "bob"))), Outcome::Refused(Denied::NotYours));
    assert!(scene.holds.closes(scene.now));
    assert_eq!(scene.hold("a").lease_left(scene.now), None);
}

#[test]
fn a_committed_hold_ends_by_its_token_alone_and_an_uncommitted_one_by_its_absence() {
    let mut scene = Scene::new();
    scene.ask(&in_file(Request::begin(id("a"), "ann")));
    let (_, token) = scene.commit_in_file("a", "ann");
    let bare = in_file(Request::withdraw(id("a"), "ann"));
    assert_eq!(scene.ask(&bare), Outcome::Refused(Denied::Committed));
    let wrong = in_file(Request::withdraw(id("a"), "ann").token(Nonce::fresh()));
    assert_eq!(scene.ask(&wrong), Outcome::Refused(Denied::Committed));
    let right = in_file(Request::withdraw(id("a"), "ann").token(token));
    assert_eq!(scene.ask(&right), Outcome::Ended(Ending::Withdrawn));

    scene.ask(&in_file(Request::begin(id("b"), "bob")));
    let change = scene.holds.absent(&id("b")).expect("the hold goes with its file");
    assert_eq!(change.what, HoldEvent::Ended(Ending::Withdrawn));
}

#[test]
fn a_hold_of_the_process_itself_has_no_file_to_be_absent() {
    let mut scene = Scene::new();
    scene.begin("a", "ann");
    assert_eq!(scene.holds.absent(&id("a")), None);
    assert!(scene.holds.closes(scene.now));
}

#[test]
fn an_override_ends_even_a_committed_hold_and_says_who_did_it() {
    let mut scene = Scene::new();
    scene.begin("a", "ann");
    scene.commit("a", "ann");
    scene.ask(&in_file(Request::begin(id("a"), "bob")));
    let facts = Facts {
        incarnation: &scene.incarnation,
        generation: generation(7),
        drained: true,
        shutting_down: false,
        recorded: None,
    };
    let (outcome, changes) = scene.holds.apply(&Request::override_hold(id("a"), "chief"), &facts, scene.now);
    assert_eq!(outcome, Outcome::Ended(Ending::Overridden));
    let ended: BTreeSet<_> = changes.iter().map(|change| (change.owner.as_str(), change.by.as_str())).collect();
    assert_eq!(ended, BTreeSet::from([("ann", "chief"), ("bob", "chief")]), "each hold of that name is on record");
    assert!(!scene.holds.closes(scene.now));
}

#[test]
fn withdrawing_what_is_not_held_has_nothing_left_to_do() {
    let mut scene = Scene::new();
    assert_eq!(scene.ask(&Request::withdraw(id("a"), "ann")), Outcome::Ended(Ending::Withdrawn));
}

#[test]
fn a_begin_for_another_process_is_refused() {
    let mut scene = Scene::new();
    let elsewhere = Request::begin(id("a"), "ann").only_for(Incarnation::from("another".to_owned()));
    assert_eq!(scene.ask(&elsewhere), Outcome::Refused(Denied::OtherIncarnation));
    assert!(!scene.holds.closes(scene.now));
    let here = Request::begin(id("a"), "ann").only_for(scene.incarnation.clone());
    assert_eq!(scene.ask(&here), Outcome::Held);
}

#[test]
fn a_pending_hold_closes_nothing_until_its_delay_is_over() {
    let mut scene = Scene::new();
    let request = Request::begin(id("a"), "ann").unready_delay(MINUTE);
    assert_eq!(scene.ask(&request), Outcome::Pending);
    assert!(scene.holds.pending(scene.now) && !scene.holds.closes(scene.now));
    assert_eq!(scene.commit("a", "ann").0, Outcome::Refused(Denied::NotClosedYet));
    assert_eq!(scene.holds.next_change(scene.now), Some(scene.now + MINUTE));
    scene.pass(MINUTE);
    assert!(!scene.holds.pending(scene.now) && scene.holds.closes(scene.now));
}

#[test]
fn an_unready_delay_is_bounded_so_that_a_hold_closes_before_its_owner_forgets_it() {
    let mut scene = Scene::new();
    scene.ask(&Request::begin(id("a"), "ann").unready_delay(Duration::MAX));
    scene.pass(LeasePolicy::default().max_unready_delay);
    assert!(scene.holds.closes(scene.now));
}

#[test]
fn an_act_that_takes_longer_than_its_deadline_is_overdue_and_reopens_nothing() {
    let mut scene = Scene::new();
    scene.ask(&Request::begin(id("a"), "ann").deadline(MINUTE));
    scene.pass(2 * MINUTE);
    assert!(!scene.hold("a").overdue(scene.now), "the deadline is the act's, and runs from the commit");
    scene.commit("a", "ann");
    scene.pass(MINUTE);
    assert!(scene.hold("a").overdue(scene.now));
    assert!(scene.holds.closes(scene.now));
}

#[test]
fn a_shutdown_takes_in_the_holds_of_the_process_and_leaves_those_in_files_to_the_next_one() {
    let mut scene = Scene::new();
    scene.begin("a", "ann");
    scene.ask(&in_file(Request::begin(id("a"), "ann")));
    let (_, token) = {
        scene.ask(&in_file(Request::begin(id("b"), "bob")));
        scene.commit_in_file("b", "bob")
    };
    scene.ask(&in_file(Request::begin(id("c"), "cleo")));
    let absorbed = scene.holds.absorb();
    assert_eq!(
        absorbed.iter().map(|change| (&change.id, change.source)).collect::<Vec<_>>(),
        [(&id("a"), Source::Process)]
    );
    assert_eq!(scene.holds.iter().count(), 3);
    scene.shutting_down = true;
    let renewal = in_file(Request::begin(id("a"), "ann"));
    assert_eq!(scene.ask(&renewal), Outcome::Refused(Denied::ShuttingDown));
    assert_eq!(scene.ask(&in_file(Request::begin(id("d"), "dan"))), Outcome::Refused(Denied::ShuttingDown));
    assert_eq!(scene.commit_in_file("a", "ann").0, Outcome::Refused(Denied::ShuttingDown));
    let withdrawn = Outcome::Ended(Ending::Withdrawn);
    assert_eq!(
        scene.ask(&in_file(Request::withdraw(id("a"), "ann"))),
        withdrawn,
        "its owner can take it back all the time"
    );
    assert_eq!(scene.ask(&in_file(Request::withdraw(id("b"), "bob"))), Outcome::Refused(Denied::Committed));
    assert_eq!(scene.ask(&in_file(Request::withdraw(id("b"), "bob").token(token))), withdrawn, "and a commit");
    let overridden = Outcome::Ended(Ending::Overridden);
    assert_eq!(scene.ask(&in_file(Request::override_hold(id("c"), "chief"))), overridden);
    assert_eq!(scene.holds.iter().count(), 0);
}

#[test]
fn notification_is_suppressed_only_while_a_live_hold_asks_for_it_explicitly() {
    let mut scene = Scene::new();
    scene.begin("a", "ann");
    assert!(!scene.holds.suppresses_notification());
    scene.ask(&Request::begin(id("b"), "bob").suppress_notification(true));
    assert!(scene.holds.suppresses_notification());
    scene.ask(&Request::withdraw(id("b"), "bob"));
    assert!(!scene.holds.suppresses_notification());
}
