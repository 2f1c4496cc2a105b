use super::super::tests::{ENDED, answer, begin, hold, shutting_down};
use super::*;
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
