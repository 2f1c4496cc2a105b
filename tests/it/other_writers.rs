//! Holds beside other people's writes (C7), and the one ledger of decisions (S2). Pure: looks at files that the test makes up.

use gateway_drain::gate::Generation;
use gateway_drain::hold::{Denied, Ending, Facts, Hold, Incarnation, LeasePolicy, Nonce, NotHonoured, Outcome, Source};
use gateway_drain::{HoldSet, Request, RequestId};
use std::collections::BTreeSet;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// A gateway's holds, and looks at what lies in the place of one of them.
#[derive(Clone)]
struct Place {
    holds: HoldSet,
    id: RequestId,
    now: Duration,
    drained: bool,
    shutting_down: bool,
    generation: u32,
}

fn here() -> Incarnation {
    Incarnation::from("this".to_owned())
}

fn generation(number: u32) -> Generation {
    Generation::from(number)
}

fn filed(mut request: Request) -> Request {
    request.source = Source::File;
    request
}

impl Place {
    fn new(id: RequestId) -> Self {
        let holds = HoldSet::new(LeasePolicy::default());
        Self { holds, id, now: HOUR, drained: true, shutting_down: false, generation: 7 }
    }

    /// With ann's hold of one hour.
    fn held(id: RequestId) -> (Self, Request) {
        let mut place = Self::new(id);
        let begin = filed(Request::begin(place.id.clone(), "ann"));
        assert_eq!(place.sees(&begin), Outcome::Held);
        (place, begin)
    }

    /// With ann's committed hold.
    fn committed() -> (Self, Request) {
        let (mut place, _) = Self::held(upgrade());
        let commit = place.commit("ann");
        assert_eq!(place.sees(&commit), Outcome::Committed);
        (place, commit)
    }

    fn commit(&self, owner: &str) -> Request {
        filed(Request::commit(self.id.clone(), owner, here(), generation(self.generation)))
    }

    fn look(&mut self, seen: &[Request], absent: bool, recorded: Option<&BTreeSet<Nonce>>) {
        let (drained, shutting_down) = (self.drained, self.shutting_down);
        let generation = generation(self.generation);
        let facts = Facts { incarnation: &here(), generation, drained, shutting_down, recorded };
        self.holds.reconcile(seen, |_| absent, &facts, self.now);
    }

    /// A look that finds this, and its answer.
    fn sees(&mut self, request: &Request) -> Outcome {
        self.look(std::slice::from_ref(request), true, None);
        self.answer(request).expect("what lies there is answered")
    }

    fn answer(&self, request: &Request) -> Option<Outcome> {
        let answers = self.holds.acknowledged(self.now);
        answers.into_iter().find(|answer| answer.nonce == request.nonce).map(|answer| answer.outcome)
    }

    /// A look that finds nothing there.
    fn sees_nothing(&mut self) {
        self.look(&[], true, None);
    }

    fn calls(&mut self, request: &Request) -> Outcome {
        let (drained, shutting_down) = (self.drained, self.shutting_down);
        let generation = generation(self.generation);
        let facts = Facts { incarnation: &here(), generation, drained, shutting_down, recorded: None };
        self.holds.apply(request, &facts, self.now).0
    }

    fn hold(&self) -> Option<&Hold> {
        self.holds.get(&self.id, Source::File)
    }

    fn closes(&self) -> bool {
        self.holds.closes(self.now)
    }
}

fn upgrade() -> RequestId {
    RequestId::new("upgrade").expect("a request id")
}

/// Everything that somebody other than ann can leave in the place of her hold.
fn of_others(place: &Place) -> Vec<(&'static str, Request)> {
    let id = || place.id.clone();
    let unreadable = |nonce| {
        let mut request = filed(Request::begin(id(), ""));
        request.nonce = nonce;
        request
    };
    let mut stale = unreadable(Some(Nonce::fresh()));
    stale.stale = true;
    let mut rows = vec![
        ("bob begins", filed(Request::begin(id(), "bob").lease(24 * HOUR))),
        ("nobody begins", filed(Request::begin(id(), ""))),
        ("bob commits", place.commit("bob")),
        ("bob withdraws", filed(Request::withdraw(id(), "bob"))),
        ("bob withdraws with some token", filed(Request::withdraw(id(), "bob").token(Nonce::fresh()))),
        ("garbage", unreadable(Some(Nonce::fresh()))),
        ("something that can't be read", unreadable(None)),
        ("a write of another epoch", stale),
        ("bob begins for another process", filed(Request::begin(id(), "bob").only_for(Incarnation::fresh()))),
    ];
    if place.id.is_marker() {
        // A marker can only begin.
        rows.retain(|(what, _)| !what.contains("withdraws") && !what.contains("commits"));
    }
    rows
}

#[test]
fn nobody_else_s_write_ends_hides_or_takes_over_a_live_hold_and_neither_does_its_removal() {
    let mut tried = 0;
    for id in [upgrade(), RequestId::marker()] {
        let (place, _) = Place::held(id);
        for (what, write) in of_others(&place) {
            let mut place = place.clone();
            let before = place.hold().cloned().expect("it is held");
            for look in ["the first look", "the second look"] {
                place.now += SECOND;
                let answer = place.sees(&write);
                assert!(matches!(answer, Outcome::Refused(_) | Outcome::Ignored(_)), "{what}: {answer:?}");
                let after = place.hold().unwrap_or_else(|| panic!("{what} ended it at {look}"));
                assert_eq!((&after.owner, after.expires_at), (&before.owner, before.expires_at), "{what}: {look}");
                assert!(after.overwritten && place.closes(), "{what}: {look}");
            }
            if place.id.is_marker() {
                tried += 1;
                continue;
            }
            place.now += SECOND;
            place.sees_nothing();
            assert!(place.hold().is_some() && place.closes(), "{what}, and its removal ended it");
            place.now = before.expires_at;
            place.sees_nothing();
            assert!(!place.closes(), "H3: {what}: it outlives its lease");
            tried += 1;
        }
    }
    assert_eq!(tried, 9 + 6);
}

#[test]
fn a_marker_that_is_gone_holds_nothing_no_matter_who_wrote_it() {
    let (ann_s, _) = Place::held(RequestId::marker());
    let mut touched = Place::new(RequestId::marker());
    touched.sees(&of_others(&ann_s)[2].1);
    let mut tried = 0;
    for (first, place) in [("ann's marker", ann_s), ("garbage", touched)] {
        for (what, write) in of_others(&place) {
            for (looks, shutting_down) in [(1, false), (3, false), (1, true)] {
                let mut place = place.clone();
                place.shutting_down = shutting_down;
                for _ in 0..looks {
                    place.now += SECOND;
                    place.sees(&write);
                    assert!(place.closes(), "C7: {first}, then {what}: an overwriting is no removal");
                }
                place.now += SECOND;
                place.sees_nothing();
                assert!(place.hold().is_none() && !place.closes(), "{first}, then {what}, then nothing: {looks}");
                assert_eq!(place.holds.acknowledged(place.now), [], "nothing lies there that could be answered");
                tried += 1;
            }
        }
    }
    assert_eq!(tried, 2 * 6 * 3);
}

#[test]
fn a_committed_hold_outlasts_every_write_of_others_and_its_own_renewal() {
    let (place, commit) = Place::committed();
    let renewal = ("ann renews", filed(Request::begin(upgrade(), "ann")));
    let bare = ("ann withdraws without the token", filed(Request::withdraw(upgrade(), "ann")));
    for (what, write) in of_others(&place).into_iter().chain([renewal, bare]) {
        let mut place = place.clone();
        let answer = place.sees(&write);
        assert!(matches!(answer, Outcome::Refused(_) | Outcome::Ignored(_)), "{what}: {answer:?}");
        place.now += 48 * HOUR;
        place.sees_nothing();
        let hold = place.hold().unwrap_or_else(|| panic!("H4: {what} ended it"));
        assert_eq!(hold.commit.as_ref().map(|commit| &commit.token), commit.nonce.as_ref(), "E3: {what}");
        let withdraw = filed(Request::withdraw(upgrade(), "ann").token(commit.nonce.clone().expect("a token")));
        assert_eq!(place.sees(&withdraw), Outcome::Ended(Ending::Withdrawn), "E3: {what}");
    }
}

#[test]
fn a_renewal_of_a_committed_hold_is_refused_and_says_that_it_is_committed() {
    let (mut place, _) = Place::committed();
    let renewal = filed(Request::begin(upgrade(), "ann"));
    assert_eq!(place.sees(&renewal), Outcome::Refused(Denied::Committed));
}

#[test]
fn what_vanishes_counts_again_as_a_withdrawal_once_the_owner_has_written_again() {
    let (mut place, begin) = Place::held(upgrade());
    let bob = filed(Request::begin(upgrade(), "bob"));
    place.sees(&bob);
    assert_eq!(place.sees(&filed(Request::begin(upgrade(), "ann"))), Outcome::Held);
    place.sees_nothing();
    assert!(!place.closes(), "ann took her own write away");

    let (mut place, _) = (Place::held(upgrade()).0, ());
    place.sees(&bob);
    place.sees_nothing();
    let withdraw = filed(Request::withdraw(upgrade(), "ann"));
    assert_eq!(place.sees(&withdraw), Outcome::Ended(Ending::Withdrawn), "and she can withdraw in words");
    assert!(!place.closes());
    drop(begin);
}

#[test]
fn the_same_file_put_back_over_somebody_else_s_renews_nothing_and_stands_as_before() {
    let (mut place, begin) = Place::held(upgrade());
    let expires_at = place.hold().map(|hold| hold.expires_at);
    for (_, write) in of_others(&place) {
        place.now += SECOND;
        place.sees(&write);
        assert_eq!(place.sees(&begin), Outcome::Held);
        let hold = place.hold().expect("it is held");
        assert_eq!((Some(hold.expires_at), hold.overwritten), (expires_at, false));
    }
}

#[test]
fn a_hold_without_owner_goes_to_the_first_who_begins_under_a_name_and_a_commit_of_it_to_nobody() {
    let mut place = Place::new(upgrade());
    place.sees(&filed(Request::begin(upgrade(), "")));
    let unowned = place.clone();
    assert_eq!(place.sees(&filed(Request::begin(upgrade(), "bob"))), Outcome::Held);
    assert_eq!(place.hold().map(|hold| hold.owner.as_str()), Some("bob"));

    let mut place = unowned;
    let commit = place.commit("");
    assert_eq!(place.sees(&commit), Outcome::Committed);
    assert_eq!(place.sees(&filed(Request::begin(upgrade(), "bob"))), Outcome::Refused(Denied::NotYours));
    let withdraw = filed(Request::withdraw(upgrade(), "").token(commit.nonce.expect("a token")));
    assert_eq!(place.sees(&withdraw), Outcome::Ended(Ending::Withdrawn), "its token ends it still");
}

#[test]
fn a_refused_write_stays_refused_whatever_changes_under_it() {
    type Change = fn(&mut Place);
    let nothing: Change = |_| ();
    let over: Change = |place| place.now += 2 * HOUR;
    let called: Change = |place| _ = place.calls(&Request::begin(upgrade(), "ann"));
    let overridden: Change = |place| _ = place.calls(&Request::override_hold(upgrade(), "chief"));
    let (held, _) = Place::held(upgrade());
    let (committed, _) = Place::committed();
    let empty = Place::new(upgrade());
    let at = |place: &Place, change: Change| {
        let mut place = place.clone();
        change(&mut place);
        place
    };
    let id = upgrade;
    let busy = at(&held, |place| place.drained = false);
    let mut pending = Place::new(id());
    pending.sees(&filed(Request::begin(id(), "ann").unready_delay(60 * SECOND)));
    let rows: Vec<(Place, Request, Denied, Change)> = vec![
        (held.clone(), filed(Request::begin(id(), "bob").lease(24 * HOUR)), Denied::NotYours, over),
        (held.clone(), filed(Request::withdraw(id(), "bob")), Denied::NotYours, over),
        (held.clone(), held.commit("bob"), Denied::NotYours, overridden),
        (busy, held.commit("ann"), Denied::NotDrained, |place| place.drained = true),
        (pending.clone(), pending.commit("ann"), Denied::NotClosedYet, |place| place.now += 60 * SECOND),
        (empty.clone(), empty.commit("ann"), Denied::NotHeld, called),
        (at(&held, |place| place.generation = 8), held.commit("ann"), Denied::OtherGeneration, |place| {
            place.generation = 7
        }),
        (committed.clone(), filed(Request::begin(id(), "ann")), Denied::Committed, overridden),
        (committed.clone(), filed(Request::withdraw(id(), "ann")), Denied::Committed, overridden),
        (
            at(&held, |place| place.shutting_down = true),
            filed(Request::begin(id(), "ann")),
            Denied::ShuttingDown,
            nothing,
        ),
    ];
    for (mut place, request, why, change) in rows {
        let told = Outcome::Refused(why);
        assert_eq!(place.sees(&request), told);
        change(&mut place);
        for look in 1..4 {
            assert_eq!(place.sees(&request), told, "S2: {why:?}, look {look}: {request:?}");
        }
        let closes = place.hold().is_some_and(|hold| hold.nonce == request.nonce);
        assert!(!closes, "a write that was refused holds nothing: {request:?}");
    }
}

#[test]
fn a_withdrawal_or_an_override_that_found_nothing_ends_no_later_hold() {
    for write in [filed(Request::withdraw(upgrade(), "ann")), filed(Request::override_hold(upgrade(), "chief"))] {
        let mut place = Place::new(upgrade());
        let told = place.sees(&write);
        assert!(matches!(told, Outcome::Ended(_)), "{told:?}");
        assert_eq!(place.calls(&Request::begin(upgrade(), "ann")), Outcome::Held);
        assert_eq!(place.sees(&write), told, "S2: {write:?}");
        assert!(place.closes(), "H2: an old write ended a newer hold: {write:?}");
    }
}

#[test]
fn what_a_call_holds_and_what_a_file_holds_under_one_name_are_two_holds() {
    let call = Request::begin(upgrade(), "ann");
    let file = filed(Request::begin(upgrade(), "ann"));
    let mut both = Place::new(upgrade());
    assert_eq!((both.calls(&call), both.sees(&file)), (Outcome::Held, Outcome::Held));
    assert_eq!(both.holds.iter().count(), 2);

    let mut place = both.clone();
    assert_eq!(place.calls(&Request::withdraw(upgrade(), "ann")), Outcome::Ended(Ending::Withdrawn));
    assert_eq!(place.sees(&file), Outcome::Held, "S2: the file's hold is not the call's");
    place.sees_nothing();
    assert!(!place.closes());

    let mut place = both.clone();
    assert_eq!(place.sees(&filed(Request::withdraw(upgrade(), "ann"))), Outcome::Ended(Ending::Withdrawn));
    assert!(place.closes(), "H2: the call's hold is not the file's");

    let mut place = both.clone();
    let commit = place.commit("ann");
    assert_eq!(place.sees(&commit), Outcome::Committed);
    let by_call = Request::withdraw(upgrade(), "ann").token(commit.nonce.clone().expect("a token"));
    place.calls(&by_call);
    assert!(place.hold().is_some_and(|hold| hold.commit.is_some()), "no call withdraws a file's commit");

    for by_file in [true, false] {
        let mut place = both.clone();
        let request = Request::override_hold(upgrade(), "chief");
        let outcome = if by_file { place.sees(&filed(request)) } else { place.calls(&request) };
        assert_eq!(outcome, Outcome::Ended(Ending::Overridden));
        assert!(!place.closes(), "an override ends every hold of that name");
        if !by_file {
            assert_eq!(place.sees(&file), Outcome::Ended(Ending::Overridden), "and the file begins nothing again");
        }
    }
}

#[test]
fn looks_that_see_nothing_of_a_write_forget_no_decision_of_it() {
    let blind = {
        let mut request = filed(Request::begin(RequestId::try_from("!home".to_owned()).expect("a name"), ""));
        request.nonce = None;
        request
    };
    let (mut busy, _) = Place::held(upgrade());
    busy.drained = false;
    let commit = busy.commit("ann");
    assert_eq!(busy.sees(&commit), Outcome::Refused(Denied::NotDrained));
    busy.drained = true;
    let mut unreadable = filed(Request::begin(upgrade(), ""));
    unreadable.nonce = None;
    for (what, seen) in [("blind", &[blind][..]), ("unreadable", &[unreadable][..]), ("nothing taken in", &[])] {
        let mut place = busy.clone();
        for _ in 0..3 {
            place.look(seen, false, None);
            assert_eq!(place.answer(&commit), Some(Outcome::Refused(Denied::NotDrained)), "C6: {what}");
        }
        assert_eq!(place.sees(&commit), Outcome::Refused(Denied::NotDrained), "S2: {what}");
    }
}

#[test]
fn every_request_that_names_another_process_is_refused_and_changes_nothing() {
    let (place, _) = Place::held(upgrade());
    let other = Incarnation::fresh();
    let rows = [
        filed(Request::begin(upgrade(), "ann")),
        filed(Request::withdraw(upgrade(), "ann")),
        filed(Request::override_hold(upgrade(), "chief")),
        place.commit("ann"),
    ];
    for request in rows {
        let mut meant_for_it = place.clone();
        let request = request.only_for(other.clone());
        assert_eq!(meant_for_it.sees(&request), Outcome::Refused(Denied::OtherIncarnation), "{request:?}");
        assert_eq!(meant_for_it.hold().map(|hold| hold.expires_at), place.hold().map(|hold| hold.expires_at));
        let mut absent = Place::new(upgrade());
        assert_eq!(absent.sees(&request), Outcome::Refused(Denied::OtherIncarnation), "{request:?}");
    }
}

#[test]
fn a_commit_that_is_not_on_record_is_left_undecided_and_granted_once_it_is() {
    let (mut place, _) = Place::held(upgrade());
    let commit = place.commit("ann");
    let token = commit.nonce.clone().expect("a token");
    let facts =
        Facts { incarnation: &here(), generation: generation(7), drained: true, shutting_down: false, recorded: None };
    let seen = std::slice::from_ref(&commit);
    let grants = place.holds.grants(seen, |_| false, &facts, place.now).expect("it would be granted");
    assert_eq!(grants.iter().filter_map(|hold| hold.commit.as_ref()).map(|c| &c.token).collect::<Vec<_>>(), [&token]);
    place.look(seen, true, Some(&BTreeSet::new()));
    assert_eq!(place.answer(&commit), None, "nothing is said of it");
    assert!(place.hold().is_some_and(|hold| hold.commit.is_none()));
    place.look(seen, true, Some(&BTreeSet::from([token])));
    assert_eq!(place.answer(&commit), Some(Outcome::Committed));
    assert_eq!(place.holds.grants(seen, |_| false, &facts, place.now), None, "nothing new is granted");
    let refused = Facts { drained: false, ..facts };
    let (other, _) = Place::held(upgrade());
    assert_eq!(other.holds.grants(seen, |_| false, &refused, other.now), None, "a refusal needs no record");
}

#[test]
fn an_owner_s_renewal_or_commit_that_lies_there_counts_although_the_lease_ran_out_before_it_was_read() {
    let (held, begin) = Place::held(upgrade());
    let mut place = held.clone();
    place.now += HOUR;
    assert_eq!(place.sees(&filed(Request::begin(upgrade(), "ann"))), Outcome::Held);
    let first_seen = held.hold().map(|hold| hold.first_seen);
    assert_eq!(place.hold().map(|hold| hold.first_seen), first_seen, "H3: it is the same hold, renewed");

    for late in [HOUR, 2 * HOUR] {
        let mut place = held.clone();
        place.now += late;
        let commit = place.commit("ann");
        assert_eq!(place.sees(&commit), Outcome::Committed, "{late:?}: it lay there when the lease ended");
    }

    let mut place = held.clone();
    place.now += HOUR;
    place.drained = false;
    let commit = place.commit("ann");
    assert_eq!(
        place.sees(&commit),
        Outcome::Refused(Denied::NotDrained),
        "it is granted nothing that it would not be in time"
    );
    assert!(place.hold().is_none(), "H3: a refused commit prolongs no lease");

    let mut place = held.clone();
    place.now += HOUR;
    let commit = place.commit("mallory");
    assert_eq!(place.sees(&commit), Outcome::Refused(Denied::LeaseExpired), "C7: it is not the owner's");

    let mut place = held;
    place.now += HOUR;
    assert_eq!(place.sees(&begin), Outcome::Ended(Ending::Expired), "the same write renews nothing");
}

#[test]
fn a_timestamp_takes_at_most_half_of_a_lease() {
    for (age, left) in [(59, 30), (30, 30), (20, 40), (60, 60), (600, 60)] {
        let mut place = Place::new(upgrade());
        let mut begin = filed(Request::begin(upgrade(), "ann").lease(60 * SECOND));
        begin.age = Some(Duration::from_secs(age));
        place.sees(&begin);
        let lease = place.hold().and_then(|hold| hold.lease_left(place.now));
        assert_eq!(lease, Some(Duration::from_secs(left)), "H5: {age} s old of 60 s");
    }
}

#[test]
fn a_write_of_another_epoch_is_answered_and_holds_nothing() {
    let mut place = Place::new(upgrade());
    let mut stale = filed(Request::begin(upgrade(), "ann"));
    stale.stale = true;
    let ignored = Outcome::Ignored(NotHonoured::OtherEpoch);
    assert_eq!((place.sees(&stale), place.sees(&stale)), (ignored, ignored));
    assert!(!place.closes());
    place.sees_nothing();
    assert_eq!(place.answer(&stale), None, "it is gone");
}

#[test]
fn an_override_that_is_refused_is_an_overwriting_and_one_that_is_granted_ends_the_hold() {
    let of_bob = || filed(Request::override_hold(upgrade(), "bob"));
    let (mut place, _) = Place::held(upgrade());
    let refused = of_bob().only_for(Incarnation::fresh());
    assert_eq!(place.sees(&refused), Outcome::Refused(Denied::OtherIncarnation));
    assert!(place.hold().is_some_and(|hold| hold.overwritten), "C7: it is not ann's write");
    place.sees_nothing();
    assert!(place.hold().is_some(), "H2: that it is gone withdraws nothing");
    let renewal = filed(Request::begin(upgrade(), "ann"));
    assert_eq!(place.sees(&renewal), Outcome::Held);
    assert!(place.hold().is_some_and(|hold| !hold.overwritten), "ann's own write lies there again");
    place.sees_nothing();
    assert!(place.hold().is_none(), "her removal withdraws it");

    let (mut place, _) = Place::committed();
    assert_eq!(place.sees(&refused), Outcome::Refused(Denied::OtherIncarnation));
    assert!(place.hold().is_some_and(|hold| hold.overwritten && hold.commit.is_some()));
    assert_eq!(place.sees(&of_bob()), Outcome::Ended(Ending::Overridden));
    assert!(place.hold().is_none());
}
