//! The rules of the hold set that its states alone don't show: whose hold it is, and what each moment is the edge of.
//!
//! Pure: no file, no thread, and time is a number.

use gateway_drain::gate::Generation;
use gateway_drain::hold::{
    Acknowledgement, Denied, Ending, Facts, HoldEvent, HoldSet, Incarnation, LeasePolicy, Outcome, Source,
};
use gateway_drain::{Controller, DrainState, Event, Request, RequestId};
use std::collections::BTreeSet;
use std::time::Duration;

const fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn id(name: &str) -> RequestId {
    RequestId::new(name).expect("a sound name")
}

/// The generation that a new gateway has.
fn first_generation() -> Generation {
    Controller::new().gate().reading().generation
}

fn drained(incarnation: &Incarnation) -> Facts<'_> {
    Facts { incarnation, generation: first_generation(), drained: true, shutting_down: false, recorded: None }
}

#[test]
fn a_hold_that_was_found_without_content_belongs_to_the_first_who_names_an_owner() {
    let incarnation = Incarnation::fresh();
    let mut holds = HoldSet::new(LeasePolicy::default());
    // What a look that fails makes of a file: a hold that nobody has.
    let mut unreadable = Request::begin(id("upgrade"), "");
    unreadable.nonce = None;
    assert_eq!(holds.apply(&unreadable, &drained(&incarnation), at(0)).0, Outcome::Held);

    let begin = Request::begin(id("upgrade"), "ops");
    let (outcome, changes) = holds.apply(&begin, &drained(&incarnation), at(1));
    assert_eq!(outcome, Outcome::Held, "the next look succeeds, and the hold is its owner's");
    let changes: Vec<_> = changes.into_iter().map(|change| (change.owner, change.what)).collect();
    assert_eq!(changes, [("ops".into(), HoldEvent::Renewed)]);

    let commit = Request::commit(id("upgrade"), "ops", incarnation.clone(), first_generation());
    assert_eq!(holds.apply(&commit, &drained(&incarnation), at(2)).0, Outcome::Committed);
    let other = Request::begin(id("upgrade"), "bot");
    let refused = holds.apply(&other, &drained(&incarnation), at(3)).0;
    assert_eq!(refused, Outcome::Refused(Denied::NotYours), "it is nobody's only once");
}

/// As a file would bear it.
fn filed(request: Request) -> Request {
    let mut request = request;
    request.source = Source::File;
    request
}

/// A hold of one minute that closes the gate after ten seconds, begun at 100 s.
fn one_minute_later_by_ten() -> (HoldSet, Incarnation, Request) {
    let incarnation = Incarnation::fresh();
    let mut holds = HoldSet::new(LeasePolicy::default());
    let mut begin = Request::begin(id("upgrade"), "ops").lease(at(60)).unready_delay(at(10));
    begin.source = Source::File;
    assert_eq!(holds.apply(&begin, &drained(&incarnation), at(100)).0, Outcome::Pending);
    (holds, incarnation, begin)
}

#[test]
fn each_moment_of_a_hold_is_reached_exactly_then_and_not_a_moment_before() {
    let (mut holds, ..) = one_minute_later_by_ten();
    let moment = Duration::from_nanos(1);
    assert!(!holds.closes(at(110) - moment) && holds.pending(at(110) - moment), "its delay isn't over");
    assert!(holds.closes(at(110)) && !holds.pending(at(110)), "its delay is over");
    assert_eq!(holds.expire(at(160) - moment), [], "its lease isn't over");
    let ended: Vec<_> = holds.expire(at(160)).into_iter().map(|change| change.what).collect();
    assert_eq!(ended, [HoldEvent::Ended(Ending::Expired)], "its lease is over");
}

#[test]
fn the_next_change_is_the_next_moment_at_which_time_alone_changes_something() {
    let (mut holds, incarnation, begin) = one_minute_later_by_ten();
    assert_eq!(HoldSet::default().next_change(at(100)), None, "nothing is there to change");
    assert_eq!(holds.next_change(at(100)), Some(at(110)), "first its delay ends");
    assert_eq!(holds.next_change(at(110)), Some(at(160)), "then its lease");
    let commit = filed(Request::commit(begin.id, "ops", incarnation.clone(), first_generation()));
    assert_eq!(holds.apply(&commit, &drained(&incarnation), at(120)).0, Outcome::Committed);
    assert_eq!(holds.next_change(at(120)), None, "H4: no time changes a commit");
}

#[test]
fn only_a_commit_with_a_deadline_that_has_passed_is_overdue() {
    let (mut holds, incarnation, begin) = one_minute_later_by_ten();
    let renewal = filed(Request::begin(begin.id.clone(), "ops").lease(at(60)).deadline(at(5)));
    holds.apply(&renewal, &drained(&incarnation), at(110));
    let overdue = |holds: &HoldSet, now| holds.get(&id("upgrade"), Source::File).map(|hold| hold.overdue(now));
    assert_eq!(overdue(&holds, at(159)), Some(false), "it isn't committed");
    let commit = filed(Request::commit(begin.id, "ops", incarnation.clone(), first_generation()));
    holds.apply(&commit, &drained(&incarnation), at(120));
    assert_eq!((overdue(&holds, at(124)), overdue(&holds, at(125))), (Some(false), Some(true)));
}

#[test]
fn a_second_commit_keeps_the_moment_of_the_first_and_takes_its_token_s_place() {
    let (mut holds, incarnation, begin) = one_minute_later_by_ten();
    let commit = || filed(Request::commit(begin.id.clone(), "ops", incarnation.clone(), first_generation()));
    let (first, second) = (commit(), commit());
    holds.apply(&first, &drained(&incarnation), at(120));
    holds.apply(&second, &drained(&incarnation), at(130));
    let granted = holds.get(&begin.id, Source::File).and_then(|hold| hold.commit.clone()).expect("committed");
    assert_eq!((granted.at, Some(granted.token)), (at(120), second.nonce.clone()));
    let withdraw = |token: &Request| {
        filed(Request::withdraw(begin.id.clone(), "ops").token(token.nonce.clone().expect("a request has a nonce")))
    };
    let refused = holds.apply(&withdraw(&first), &drained(&incarnation), at(131)).0;
    assert_eq!(refused, Outcome::Refused(Denied::Committed), "H4: the first token is of no use any more");
    let ended = holds.apply(&withdraw(&second), &drained(&incarnation), at(132)).0;
    assert_eq!(ended, Outcome::Ended(Ending::Withdrawn));
}

#[test]
fn a_commit_without_a_nonce_is_granted_nothing() {
    let (mut holds, incarnation, begin) = one_minute_later_by_ten();
    let mut commit = filed(Request::commit(begin.id.clone(), "ops", incarnation.clone(), first_generation()));
    commit.nonce = None;
    assert_eq!(holds.apply(&commit, &drained(&incarnation), at(120)).0, Outcome::Held);
    assert_eq!(
        holds.get(&begin.id, Source::File).map(|hold| hold.commit.is_some()),
        Some(false),
        "nobody could ever withdraw it"
    );
}

#[test]
fn a_commit_that_names_no_process_or_no_drain_is_refused() {
    let (mut holds, incarnation, begin) = one_minute_later_by_ten();
    let commit = || filed(Request::commit(begin.id.clone(), "ops", incarnation.clone(), first_generation()));
    let (mut nameless, mut drainless) = (commit(), commit());
    (nameless.incarnation, drainless.generation) = (None, None);
    let refused = holds.apply(&nameless, &drained(&incarnation), at(120)).0;
    assert_eq!(refused, Outcome::Refused(Denied::OtherIncarnation), "E1: which process was it that its owner saw?");
    let refused = holds.apply(&drainless, &drained(&incarnation), at(120)).0;
    assert_eq!(refused, Outcome::Refused(Denied::OtherGeneration), "E1: which drain?");
}

#[test]
fn what_has_ended_is_kept_until_its_file_is_gone() {
    let (mut holds, incarnation, begin) = one_minute_later_by_ten();
    assert_eq!(holds.in_files(), std::slice::from_ref(&begin.id));
    holds.expire(at(160));
    assert_eq!(holds.in_files(), std::slice::from_ref(&begin.id), "its file may lie there still");
    let seen_again = holds.apply(&begin, &drained(&incarnation), at(170)).0;
    assert_eq!(seen_again, Outcome::Ended(Ending::Expired), "H3: the same write does not begin again");
    assert_eq!(holds.absent(&begin.id), None, "nothing that lived has ended");
    assert_eq!(holds.in_files(), []);
    assert_eq!(holds.apply(&begin, &drained(&incarnation), at(180)).0, Outcome::Pending, "a new file is a new hold");
}

#[test]
fn a_commit_of_which_nothing_is_known_any_more_is_its_owner_s_hold_for_one_lease_and_granted_nothing() {
    let incarnation = Incarnation::fresh();
    let mut holds = HoldSet::new(LeasePolicy::default());
    let commit = filed(Request::commit(id("upgrade"), "ops", incarnation.clone(), first_generation()).lease(at(60)));
    holds.restore_unproven(&commit, at(100));
    let hold = holds.get(&commit.id, Source::File).expect("it was taken over");
    assert_eq!((hold.owner.as_str(), hold.first_seen, hold.expires_at), ("ops", at(100), at(160)));
    assert!(hold.commit.is_none() && holds.closes(at(100)), "it closes the gate, and is no right to act");
    let refused = Outcome::Refused(Denied::NotHeld);
    assert_eq!(holds.apply(&commit, &drained(&incarnation), at(101)).0, refused, "S2: it is never granted");
    let withdraw = filed(Request::withdraw(commit.id.clone(), "ops"));
    let mut withdrawn = holds.clone();
    let ended = withdrawn.apply(&withdraw, &drained(&incarnation), at(102)).0;
    assert_eq!(ended, Outcome::Ended(Ending::Withdrawn), "E3: its owner can end it");
    assert_eq!(holds.expire(at(160)).len(), 1, "H3: and it ends with its lease");
    assert_eq!(holds.apply(&commit, &drained(&incarnation), at(161)).0, refused);
}

#[test]
fn a_withdrawal_in_a_file_is_decided_once_and_forgotten_with_its_file() {
    let (mut holds, incarnation, begin) = one_minute_later_by_ten();
    let mut withdraw = Request::withdraw(begin.id.clone(), "ops");
    withdraw.source = Source::File;
    let (outcome, changes) = holds.apply(&withdraw, &drained(&incarnation), at(120));
    assert_eq!((outcome, changes.len()), (Outcome::Ended(Ending::Withdrawn), 1));
    let standing = holds.standing(&begin.id, Source::File, withdraw.nonce.as_ref(), at(121));
    assert_eq!(standing, Some(Outcome::Ended(Ending::Withdrawn)), "S2: seen again, it has the same answer");
    holds.absent(&begin.id);
    assert_eq!(holds.in_files(), [], "nothing is kept of a file that is gone");
}

#[test]
fn what_a_call_asked_for_leaves_nothing_behind() {
    let incarnation = Incarnation::fresh();
    let mut holds = HoldSet::new(LeasePolicy::default());
    holds.apply(&Request::begin(id("upgrade"), "ops"), &drained(&incarnation), at(0));
    holds.apply(&Request::withdraw(id("upgrade"), "ops"), &drained(&incarnation), at(1));
    assert_eq!(holds.in_files(), [], "no file can bring it back");
    assert_eq!(holds, HoldSet::new(LeasePolicy::default()), "however many calls there are");
}

#[test]
fn a_file_that_was_removed_and_comes_back_begins_again() {
    let (mut holds, incarnation, begin) = one_minute_later_by_ten();
    assert!(holds.absent(&begin.id).is_some(), "its file is gone, and so is the hold");
    let again = holds.apply(&begin, &drained(&incarnation), at(130)).0;
    assert_eq!(again, Outcome::Pending, "H1: what lies there holds");
}

#[test]
fn a_request_id_is_the_name_of_a_file_in_the_folder_of_holds_and_of_nothing_else() {
    let (longest, too_long) = ("x".repeat(RequestId::MAX_LEN), "x".repeat(RequestId::MAX_LEN + 1));
    for sound in ["a", "A_b-c.1", "a.json", &longest] {
        assert!(RequestId::new(sound).is_ok(), "{sound:?}");
    }
    for unsound in ["", &too_long, ".hidden", "..", "a/b", "../a", "a b", "a\0", "\u{fc}", "marker", "!home"] {
        assert!(RequestId::new(unsound).is_err(), "{unsound:?} is a request id");
    }
}

#[test]
fn the_gate_moves_only_where_it_does_not_stand_as_the_holds_say() {
    let incarnation = Incarnation::fresh();
    let mut holds = HoldSet::new(LeasePolicy::default());
    let moves = |holds: &HoldSet| DrainState::ALL.map(|state| holds.moves(state, at(0)));
    assert_eq!(moves(&holds), [None, Some(Event::EndDrain), None, None], "no hold is left");
    holds.apply(&Request::begin(id("upgrade"), "ops"), &drained(&incarnation), at(0));
    assert_eq!(moves(&holds), [Some(Event::BeginDrain), None, None, None], "a hold is there");
}

/// A begin, as a file would bear it.
fn in_file(name: &str) -> Request {
    let mut begin = Request::begin(id(name), "ops");
    begin.source = Source::File;
    begin
}

#[test]
fn what_is_in_the_channel_is_decided_at_once_and_only_what_is_definitely_not_there_ends() {
    let incarnation = Incarnation::fresh();
    let facts = drained(&incarnation);
    let mut holds = HoldSet::new(LeasePolicy::default());
    let (first, second) = (in_file("first"), in_file("second"));
    let changes = holds.reconcile(&[first.clone(), second.clone()], |_| true, &facts, at(0));
    assert_eq!(changes.iter().map(|change| &change.id).collect::<Vec<_>>(), [&first.id, &second.id]);
    let answers: Vec<_> = holds.acknowledged(at(0)).into_iter().map(|answer| (answer.nonce, answer.outcome)).collect();
    let held = |request: &Request| (request.nonce.clone(), Outcome::Held);
    assert_eq!(answers, [held(&first), held(&second)], "each is answered");

    let changes = holds.reconcile(std::slice::from_ref(&first), |_| false, &facts, at(1));
    assert_eq!(changes, [], "a file that may only be unreadable ends nothing");
    assert_eq!(holds.acknowledged(at(1)).len(), 2, "and its answer stands");
    let changes = holds.reconcile(std::slice::from_ref(&first), |_| true, &facts, at(1));
    let ended: Vec<_> = changes.iter().map(|change| (&change.id, change.what)).collect();
    assert_eq!(ended, [(&second.id, HoldEvent::Ended(Ending::Withdrawn))], "and the one that is there stays");
}

#[test]
fn a_timestamp_as_old_as_the_lease_is_no_sane_one() {
    let incarnation = Incarnation::fresh();
    let mut holds = HoldSet::new(LeasePolicy::default());
    let mut begin = in_file("upgrade").lease(at(60));
    begin.age = Some(at(60));
    assert_eq!(holds.apply(&begin, &drained(&incarnation), at(100)).0, Outcome::Held);
    let hold = holds.get(&begin.id, Source::File).expect("it is held");
    assert_eq!(hold.expires_at, at(160), "H5: it has its whole lease, as with no timestamp at all");
}

#[test]
fn a_withdrawal_in_a_file_is_remembered_and_one_by_a_call_has_no_file_to_outlive_it() {
    let incarnation = Incarnation::fresh();
    let facts = drained(&incarnation);
    for source in [Source::File, Source::Process] {
        let from = |mut request: Request| {
            request.source = source;
            request
        };
        let mut holds = HoldSet::new(LeasePolicy::default());
        holds.apply(&from(Request::begin(id("upgrade"), "ops")), &facts, at(0));
        let withdraw = from(Request::withdraw(id("upgrade"), "ops"));
        assert_eq!(holds.apply(&withdraw, &facts, at(1)).0, Outcome::Ended(Ending::Withdrawn));
        let remembered = holds.standing(&withdraw.id, source, withdraw.nonce.as_ref(), at(1));
        let wanted = (source == Source::File).then_some(Outcome::Ended(Ending::Withdrawn));
        assert_eq!(remembered, wanted, "{source:?}: the write that withdrew it, seen again");
    }
}

#[test]
fn a_lease_that_ran_out_before_a_restart_has_run_out_after_it() {
    let incarnation = Incarnation::fresh();
    let mut holds = HoldSet::new(LeasePolicy::default());
    let begin = in_file("upgrade");
    let (request_id, nonce) = (begin.id.clone(), begin.nonce.clone());
    holds.restore_answer(&Acknowledgement { request_id, nonce, outcome: Outcome::Ended(Ending::Expired) });
    let (outcome, changes) = holds.apply(&begin, &drained(&incarnation), at(0));
    assert_eq!((outcome, changes), (Outcome::Ended(Ending::Expired), vec![]), "H3: its file does not begin it again");
}

#[test]
fn a_refusal_says_why_in_words_of_its_own() {
    let said: BTreeSet<String> = Denied::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), Denied::ALL.len(), "no two say the same: {said:?}");
    assert!(Denied::NotYours.to_string().contains("somebody else"), "the asker learns what to do about it");
}

#[test]
fn a_hold_is_shown_with_the_reason_that_was_given_last() {
    let incarnation = Incarnation::fresh();
    let mut holds = HoldSet::new(LeasePolicy::default());
    for reason in ["a new kernel", "a newer kernel"] {
        let begin = Request::begin(id("upgrade"), "ops").reason(reason);
        holds.apply(&begin, &drained(&incarnation), at(0));
        assert_eq!(holds.get(&begin.id, Source::Process).expect("it is held").notes.reason, reason);
    }
}
