use super::super::tests::{ENDED, answer, begin, commit_of, hold, place, shutting_down, withdraw};
use super::*;
use crate::client::chain::Chain;
use crate::client::published::fresh;
use crate::hold::Denied;

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
fn a_write_is_over_once_the_gateway_has_answered_that_write_of_that_hold_with_its_end() {
    let (id, elsewhere) = (RequestId::new("upgrade").unwrap(), RequestId::new("backup").unwrap());
    let (ours, other) = (Nonce::fresh(), Nonce::fresh());
    let over = |id_of_answer: &RequestId, nonce: &Nonce, outcome| {
        let status = DrainStatus { acknowledged: vec![answer(id_of_answer, Some(nonce), outcome)], ..fresh() };
        is_over(Some(&status), &id, Some(&ours))
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
