use super::super::tests::{ENDED, answer, begin, commit_of, hold, place, shutting_down, withdraw};
use super::*;
use crate::client::chain::Chain;
use crate::client::files::Files;
use crate::client::published::{fresh, publish};
use crate::client::transport::Withdrawal;
use crate::client::{Drain, Gateway};
use crate::hold::{Denied, Ending, Incarnation, NotHonoured};

#[test]
fn what_another_hand_of_the_owner_wrote_is_replaced_once_it_is_answered_or_nobody_answers() {
    let (id, elsewhere) = (RequestId::new("upgrade").unwrap(), RequestId::new("backup").unwrap());
    let (ours, lying) = (begin(&id, "ops"), begin(&id, "ops"));
    let replaces = |lying: &Request, status: DrainStatus| {
        is_answered(&Found::Valid(lying.clone().into()), &ours, &InHand::new(), Some(&status)).is_ok()
    };
    let answers = |id: &RequestId, write: &Request| {
        let acknowledged = vec![answer(id, write.nonce.as_ref(), Outcome::Held)];
        DrainStatus { acknowledged, ..fresh() }
    };
    assert!(!replaces(&lying, fresh()), "the gateway has yet to answer it");
    assert!(!replaces(&lying, answers(&elsewhere, &lying)), "another hold's write was answered");
    assert!(!replaces(&lying, answers(&id, &ours)), "another write of the hold was answered");
    assert!(replaces(&lying, answers(&id, &lying)), "it was answered");
    assert!(replaces(&lying, shutting_down()), "who shuts down answers nothing");
    let old = DrainStatus { clock_millis: fresh().clock_millis.saturating_sub(36_000), ..fresh() };
    assert!(replaces(&lying, old), "who is silent answers nothing");
    assert!(replaces(&ours, fresh()), "it is the same write");
    assert!(replaces(&begin(&id, "another"), fresh()), "it is another owner's");
    let withdrawal = Request { action: Action::Withdraw, ..lying };
    assert!(replaces(&withdrawal, fresh()), "a withdrawal's hand waits for no hold");
}

#[test]
fn an_owners_uncommitted_hold_is_in_a_file_and_not_committed() {
    let id = RequestId::new("upgrade").unwrap();
    let ours = hold(&id, &Nonce::fresh(), 7);
    let is_uncommitted = |hold: HoldStatus| {
        let status = DrainStatus { holds: vec![hold], ..fresh() };
        uncommitted(&status, &id, "ops").is_some()
    };
    assert!(is_uncommitted(ours.clone()));
    assert!(!is_uncommitted(HoldStatus { source: Source::Process, ..ours.clone() }), "a call in the gateway's process");
    assert!(!is_uncommitted(HoldStatus { owner: "another".into(), ..ours.clone() }), "another owner's");
    assert!(!is_uncommitted(HoldStatus { committed: true, ..ours }), "committed");
}

#[test]
fn a_commit_is_turned_down_once_the_gateway_has_answered_that_write_of_that_hold_with_its_end() {
    let (id, elsewhere) = (RequestId::new("upgrade").unwrap(), RequestId::new("backup").unwrap());
    let (ours, other) = (Nonce::fresh(), Nonce::fresh());
    let over = |id_of_answer: &RequestId, nonce: &Nonce, outcome| {
        let status = DrainStatus { acknowledged: vec![answer(id_of_answer, Some(nonce), outcome)], ..fresh() };
        is_turned_down(Some(&status), &id, Some(&ours))
    };
    assert!(over(&id, &ours, ENDED));
    assert!(over(&id, &ours, Outcome::Refused(Denied::NotHeld)));
    assert!(!over(&id, &ours, Outcome::Held), "it holds");
    assert!(!over(&id, &other, ENDED), "another write of the hold has ended");
    assert!(!over(&elsewhere, &ours, ENDED), "the end is another hold's");
}

#[test]
fn neither_a_renewal_nor_a_commit_is_written_over_what_ends_the_hold_and_was_not_read_yet() {
    let id = RequestId::new("upgrade").unwrap();
    let chain = Chain::new();
    let last = Request { nonce: Some(chain.next()), ..begin(&id, "ops") };
    let in_hand = InHand { chain, last: last.nonce.clone(), written: last.nonce.clone(), ..InHand::new() };
    let token = Nonce::fresh();
    let write = |lies: &Request, answers: Option<Outcome>, commits: bool| {
        let acknowledged = answers.map(|outcome| answer(&id, lies.nonce.as_ref(), outcome)).into_iter().collect();
        let holds = vec![hold(&id, in_hand.last.as_ref().unwrap(), 7)];
        let (_place, _lock, files) = place(&DrainStatus { holds, acknowledged, ..fresh() }, Some(lies));
        let written = if commits {
            files.commit(&commit_of(&id), &in_hand)
        } else {
            files.renew(&Request { nonce: Some(in_hand.chain.next()), ..last.clone() }, &in_hand)
        };
        (written.map(drop), files.channel.find(&id).nonce() == lies.nonce.as_ref())
    };
    let overrides = |by: &str| Request { nonce: Some(Nonce::fresh()), ..Request::override_hold(id.clone(), by) };
    let endings = [overrides("chief"), overrides("ops"), withdraw(&id, None)];
    for (ending, commits) in endings.iter().flat_map(|ending| [(ending, false), (ending, true)]) {
        let (written, untouched) = write(ending, None, commits);
        let why = if ending.action == Action::Override { "on purpose" } else { "being withdrawn" };
        let is_told = matches!(&written, Err(Failure::Withdrawn(said)) if said.contains(why));
        assert!(is_told, "over {ending:?}, a commit: {commits}: {written:?}");
        assert!(untouched, "{ending:?} is lost, by a commit: {commits}");
    }
    for commits in [false, true] {
        let refused = write(&overrides("chief"), Some(Outcome::Refused(Denied::OtherIncarnation)), commits);
        assert_eq!(refused, (Ok(()), false), "an override that was refused, and a commit: {commits}");
        let anothers = Request { owner: "another".into(), ..withdraw(&id, None) };
        assert_eq!(write(&anothers, None, commits), (Ok(()), false), "another's withdrawal, and a commit: {commits}");
    }
    let ending = overrides("chief");
    let stands = |answers: Vec<_>| DrainStatus { holds: vec![hold(&id, &token, 7)], acknowledged: answers, ..fresh() };
    let (elsewhere, lies) = (RequestId::new("backup").unwrap(), Found::Valid(ending.clone().into()));
    for (of, write) in [(&id, &last.nonce), (&elsewhere, &ending.nonce)] {
        let left = is_left_standing(&lies, &id, Some(&stands(vec![answer(of, write.as_ref(), Outcome::Held)])));
        assert!(left.is_err(), "another write was answered, of {of}");
    }
    // A commit that was granted, and is sent again over what ends it.
    let commit = Request { nonce: Some(token.clone()), ..commit_of(&id) };
    let granted = HoldStatus { committed: true, token: Some(token.clone()), ..hold(&id, &token, 7) };
    for (ending, ends) in
        [(overrides("chief"), true), (withdraw(&id, Some(&token)), true), (withdraw(&id, None), false)]
    {
        let status = DrainStatus { holds: vec![granted.clone()], ..fresh() };
        let (_place, _lock, files) = place(&status, Some(&ending));
        let written = files.commit(&commit, &in_hand);
        assert_eq!(matches!(written, Err(Failure::Withdrawn(_))), ends, "committed, {ending:?}: {written:?}");
        let lies = files.channel.find(&id).nonce() == ending.nonce.as_ref();
        assert!(lies || !ends, "committed, and {ending:?} is lost");
    }
}

#[test]
fn a_withdrawal_that_was_not_read_yet_of_a_hold_that_was_not_either_is_written_over_by_no_renewal() {
    let (id, chain) = (RequestId::new("upgrade").unwrap(), Chain::new());
    let lies = Request { nonce: Some(chain.next()), ..withdraw(&id, None) };
    let in_hand = InHand { chain, last: lies.nonce.clone(), written: lies.nonce.clone(), ..InHand::new() };
    let (_place, _lock, files) = place(&fresh(), Some(&lies));
    let renewed = files.renew(&begin(&id, "ops"), &in_hand).map(drop);
    assert!(matches!(&renewed, Err(Failure::Withdrawn(why)) if why.contains("being withdrawn")), "{renewed:?}");
    assert_eq!(files.channel.find(&id).nonce(), lies.nonce.as_ref());
}

fn overridden_by(owner: &str, id: &RequestId) -> Request {
    Request { nonce: Some(Nonce::fresh()), ..Request::override_hold(id.clone(), owner) }
}

const OVERRIDDEN: Outcome = Outcome::Ended(Ending::Overridden);

/// A status that answers this write so.
fn answering(write: &Request, outcome: Outcome) -> DrainStatus {
    DrainStatus { acknowledged: vec![answer(&write.id, write.nonce.as_ref(), outcome)], ..fresh() }
}

fn silent(status: DrainStatus) -> DrainStatus {
    DrainStatus { clock_millis: fresh().clock_millis.saturating_sub(36_000), ..status }
}

#[test]
fn what_somebody_else_wrote_is_nobodys_once_its_gateway_has_answered_that_for_good_and_shows_no_hold() {
    let id = RequestId::new("upgrade").unwrap();
    let lies = overridden_by("boss", &id);
    let asked = |status: &DrainStatus| {
        let (_place, _lock, files) = place(status, Some(&lies));
        let found = files.find(&id, "ops");
        let begun = files.begin(&begin(&id, "ops")).map(drop);
        (found.map(|found| found.is_some()), begun, files.channel.find(&id).nonce() == lies.nonce.as_ref())
    };
    for over in [OVERRIDDEN, ENDED, Outcome::Refused(Denied::NotYours), Outcome::Ignored(NotHonoured::OtherEpoch)] {
        assert_eq!(asked(&answering(&lies, over)), (Ok(false), Ok(()), false), "answered {over:?}");
    }
    let is_spared = |what: &str, status: &DrainStatus| {
        let (found, begun, untouched) = asked(status);
        assert_ne!(found, Ok(false), "{what}");
        assert!(matches!(begun, Err(Failure::Denied(_))) && untouched, "{what}: {begun:?}");
    };
    let (elsewhere, over) = (RequestId::new("backup").unwrap(), answering(&lies, OVERRIDDEN));
    let of_another = DrainStatus { incarnation: Incarnation::from("another".to_owned()), ..over.clone() };
    is_spared("it has yet to be answered", &fresh());
    is_spared("another write was answered", &answering(&overridden_by("boss", &id), OVERRIDDEN));
    is_spared("another hold's write was answered", &answering(&Request { id: elsewhere, ..lies.clone() }, OVERRIDDEN));
    is_spared("another process has answered it", &of_another);
    is_spared("the gateway is silent", &silent(over.clone()));
    is_spared("a hold stands", &DrainStatus { holds: vec![hold(&id, &Nonce::fresh(), 7)], ..over });
    for outcome in [Outcome::Held, Outcome::Pending, Outcome::Committed, Outcome::Unknown] {
        is_spared("it holds, or that isn't known", &answering(&lies, outcome));
    }
    for outcome in [Outcome::Refused(Denied::ShuttingDown), Outcome::Ended(Ending::Absorbed)] {
        is_spared("it may hold the next process", &answering(&lies, outcome));
    }
}

#[test]
fn where_what_somebody_else_wrote_is_nobodys_there_is_nothing_to_end_and_it_stays() {
    let (id, token, ours) = (RequestId::new("upgrade").unwrap(), Nonce::fresh(), InHand::new());
    let lies = overridden_by("boss", &id);
    let end = |status: &DrainStatus, token: Option<&Nonce>, ours: Option<&InHand>| {
        let (_place, _lock, files) = place(status, Some(&lies));
        let request = withdraw(&id, token);
        let ended = files.end(&request, ours).map(|ended| (ended, files.has_ended(&request, None)));
        assert_eq!(files.channel.find(&id).nonce(), lies.nonce.as_ref(), "{ended:?}");
        ended
    };
    for (token, ours) in [(None, None), (None, Some(&ours)), (Some(&token), None), (Some(&token), Some(&ours))] {
        let ended = end(&answering(&lies, OVERRIDDEN), token, ours);
        assert_eq!(ended, Ok((Withdrawal::Nothing, Ok(true))), "with a token: {}", token.is_some());
        for spares in [fresh(), silent(answering(&lies, OVERRIDDEN))] {
            let ended = end(&spares, token, ours);
            assert!(matches!(ended, Err(Failure::Denied(_))), "it isn't known to be over: {ended:?}");
        }
    }
}

#[test]
fn what_makes_no_sense_is_nobodys_once_its_gateway_has_answered_that_for_good_and_what_cannot_be_read_never_is() {
    let id = RequestId::new("upgrade").unwrap();
    let asked = |outcome: Option<Outcome>, status: fn(DrainStatus) -> DrainStatus| {
        let (_place, lock, files) = place(&fresh(), Some(&begin(&id, "ann")));
        std::fs::write(files.home().request_path(&id), "what?").unwrap();
        let there = files.channel.find(&id);
        let acknowledged = outcome.iter().map(|outcome| answer(&id, there.nonce(), *outcome)).collect();
        publish(files.home(), &status(DrainStatus { acknowledged, ..fresh() }));
        let begun = files.begin(&begin(&id, "ops")).map(drop);
        drop(lock);
        (begun, files.channel.find(&id) == there)
    };
    assert_eq!(asked(Some(ENDED), |status| status), (Ok(()), false), "it is over");
    for (what, (begun, untouched)) in [
        ("it has yet to be answered", asked(None, |status| status)),
        ("it holds", asked(Some(Outcome::Held), |status| status)),
        ("the gateway is silent", asked(Some(ENDED), silent)),
    ] {
        assert!(matches!(begun, Err(Failure::Denied(_))) && untouched, "{what}: {begun:?}");
    }
    let unread = Found::Unreadable { why: "a folder".into(), nonce: None };
    let over = DrainStatus { acknowledged: vec![answer(&id, None, ENDED)], ..fresh() };
    assert!(!is_nobodys(&unread, &id, "ops", Some(&over)));
}

#[test]
fn a_marker_is_begun_over_and_removed_where_it_is_ones_own_or_nobodys_and_of_another_owner_it_is_left() {
    let marker = RequestId::marker();
    let hold_of = |owner: &str| HoldStatus { owner: owner.to_owned(), ..hold(&marker, &Nonce::fresh(), 7) };
    for (what, owner, outcome, holds, begins, removes) in [
        ("another's that has ended", "ann", Some(ENDED), None, true, true),
        ("another's that was not answered", "ann", None, None, false, false),
        ("another's that holds", "ann", Some(Outcome::Held), Some("ann"), false, false),
        ("another's over ours", "ann", Some(Outcome::Refused(Denied::NotYours)), Some("ops"), false, true),
        ("another's over a third one's", "ann", Some(Outcome::Refused(Denied::NotYours)), Some("bob"), false, false),
        ("ours that has ended", "ops", Some(ENDED), None, true, true),
        ("ours that was not answered", "ops", None, None, false, true),
        ("one without an owner", "", Some(Outcome::Held), Some(""), false, true),
    ] {
        let lies = begin(&marker, owner);
        let acknowledged = outcome.iter().map(|outcome| answer(&marker, lies.nonce.as_ref(), *outcome)).collect();
        let status = DrainStatus { acknowledged, holds: holds.into_iter().map(hold_of).collect(), ..fresh() };
        let (_place, _lock, files) = place(&status, Some(&lies));
        let lies_still = || files.channel.find(&marker).nonce() == lies.nonce.as_ref();
        let again = files.put_marker(&begin(&marker, "ops"), true);
        assert_eq!(again.is_ok(), owner == "ops", "{what} is kept alive: {again:?}");
        files.channel.write(&lies).unwrap();
        let removed = files.remove_marker("ops");
        assert_eq!((removed.is_ok(), !lies_still()), (removes, removes), "{what} is removed: {removed:?}");
        files.channel.write(&lies).unwrap();
        let begun = files.put_marker(&begin(&marker, "ops"), false);
        assert_eq!((begun.is_ok(), !lies_still()), (begins, begins), "{what} is begun over: {begun:?}");
    }
}

#[test]
fn of_several_that_begin_by_the_marker_in_one_moment_one_does_and_a_removal_takes_away_what_lies_there_by_then() {
    let marker = RequestId::marker();
    let (_place, _lock, files) = place(&fresh(), None);
    for round in 0..50 {
        let together = std::sync::Barrier::new(4);
        let begun: Vec<_> = std::thread::scope(|scope| {
            let put = || {
                let request = begin(&marker, "ops");
                together.wait();
                files.put_marker(&request, false).map(|()| request.nonce)
            };
            let writers: Vec<_> = (0..4).map(|_| scope.spawn(put)).collect();
            writers.into_iter().map(|writer| writer.join().unwrap()).collect()
        });
        let first: Vec<_> = begun.iter().filter_map(|begun| begun.as_ref().ok()).collect();
        let refused = begun.iter().filter(|begun| matches!(begun, Err(Failure::Denied(_)))).count();
        assert_eq!((first.len(), refused), (1, 3), "round {round}: {begun:?}");
        assert_eq!(files.channel.find(&marker).nonce(), first[0].as_ref(), "round {round}: another's lies there");
        files.remove_marker("ops").unwrap();
    }
    let ended = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(std::sync::atomic::Ordering::Relaxed) {
                files.channel.write(&begin(&marker, "ops")).unwrap();
            }
        });
        let removed: Vec<_> = (0..500).map(|_| files.remove_marker("ops")).filter(Result::is_err).collect();
        ended.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(removed, [], "what was written meanwhile is looked at again");
    });
}

#[test]
fn a_marker_that_can_neither_be_written_nor_removed_says_why() {
    let (place, _lock, files) = place(&fresh(), None);
    std::fs::create_dir(files.home().marker()).unwrap();
    let removed = files.remove_marker("ops");
    assert!(matches!(&removed, Err(failure) if failure.to_string().contains("can't be removed")), "{removed:?}");
    let nowhere = Files::new(crate::control::Home::at(place.path().join("nowhere")));
    let put = nowhere.put_marker(&begin(&RequestId::marker(), "ops"), false);
    assert!(matches!(&put, Err(Failure::Unreachable(why)) if why.contains("can't be written")), "{put:?}");
}

/// Whether this failure says how it ended.
type IsTold = fn(&Failure) -> bool;

#[test]
fn how_a_hold_has_ended_is_told_who_would_go_on_with_it_and_nobody_who_would_begin_it_if_need_be() {
    let id = RequestId::new("upgrade").unwrap();
    let withdrawal = withdraw(&id, None);
    let cases: [(Request, Outcome, IsTold); 5] = [
        (withdrawal, Outcome::Ended(Ending::Withdrawn), |failure| matches!(failure, Failure::Withdrawn(_))),
        (begin(&id, "ops"), ENDED, |failure| matches!(failure, Failure::LeaseLost(_))),
        (begin(&id, "ops"), Outcome::Refused(Denied::OtherIncarnation), |failure| {
            matches!(failure, Failure::IncarnationChanged(_))
        }),
        (overridden_by("boss", &id), OVERRIDDEN, |failure| failure.to_string().contains("on purpose")),
        (begin(&id, "another"), ENDED, |failure| failure.to_string().contains("no such hold")),
    ];
    for (lies, outcome, is_told) in cases {
        let status = answering(&lies, outcome);
        let try_to = |go_on: &dyn Fn(&Files) -> Result<(), Failure>| {
            let (_place, _lock, files) = place(&status, Some(&lies));
            let failure = go_on(&files).unwrap_err();
            assert_eq!(files.channel.find(&id).nonce(), lies.nonce.as_ref(), "{lies:?}");
            assert!(is_told(&failure), "{lies:?}: {failure:?}");
        };
        let in_hand = InHand { last: Some(Nonce::fresh()), ..InHand::new() };
        let drain = |files: &Files| Drain::of(Gateway::at(files.home().clone()), "ops").id(id.clone());
        try_to(&|files| drain(files).attach().map(drop));
        try_to(&|files| files.commit(&commit_of(&id), &in_hand).map(drop));
        try_to(&|files| files.renew(&begin(&id, "ops"), &in_hand).map(drop));
        let (_place, _lock, files) = place(&status, Some(&lies));
        let found = files.find(&id, "ops");
        assert!(matches!(found, Ok(None)), "{lies:?}: {found:?}");
        let begun = files.begin(&begin(&id, "ops"));
        assert!(begun.is_ok() && files.channel.find(&id).nonce() != lies.nonce.as_ref(), "{lies:?}: {begun:?}");
    }
}

#[test]
fn a_begin_takes_the_place_of_its_owners_ended_write_also_at_a_silent_gateway_and_of_none_that_may_hold_the_next_one() {
    let id = RequestId::new("upgrade").unwrap();
    let (lies, chain) = (begin(&id, "ops"), Chain::new());
    let begun = |status: &DrainStatus, lies: &Request| {
        let (_place, _lock, files) = place(status, Some(lies));
        let begun = files.begin(&Request { nonce: Some(chain.next()), ..begin(&id, "ops") });
        (begun.map(|begun| begun.nonce), files.channel.find(&id).nonce() == lies.nonce.as_ref())
    };
    let (written, untouched) = begun(&silent(answering(&lies, ENDED)), &lies);
    assert!(written.is_ok() && !untouched, "the gateway is silent: {written:?}");
    for outcome in [Outcome::Refused(Denied::ShuttingDown), Outcome::Ended(Ending::Absorbed)] {
        let (refused, untouched) = begun(&answering(&lies, outcome), &lies);
        assert!(matches!(refused, Err(Failure::Denied(_))) && untouched, "{outcome:?}: {refused:?}");
    }
    // It was begun before, and the write of another hand that took it up since has ended with it.
    let lies = Request { nonce: Some(chain.next()), ..lies };
    let again = begun(&answering(&lies, ENDED), &lies);
    assert_eq!(again, (Ok(lies.nonce.clone().unwrap()), true), "what has ended is begun once more");
}
