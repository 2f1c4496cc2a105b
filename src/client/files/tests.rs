use super::*;
use crate::client::chain::Chain;
use crate::client::published::{self, fresh, publish};
use crate::client::transport::{StoredRequest, Withdrawal};
use crate::controller::Acknowledgement;
use crate::gate::Generation;
use crate::state::DrainState;
use crate::status::{Ignored, IgnoredKind};
use serde_json::json;
use std::fs;
use std::sync::Barrier;

/// What the client makes of what is published in a home whose lock the process `ours` holds.
fn look_with(publish: impl FnOnce(&Home)) -> GatewayView {
    let (_folder, home, _lock) = published::home();
    publish(&home);
    Files::new(home).look(&RequestId::new("upgrade").unwrap())
}

/// What the client makes of this status, in a home whose lock the process `ours` holds.
fn look_at(status: &DrainStatus) -> GatewayView {
    look_with(|home| publish(home, status))
}

#[test]
fn a_living_process_without_a_status_is_starting_and_one_whose_status_cannot_be_read_is_silent() {
    let look = look_with(|_| ());
    assert!(matches!(&look, GatewayView::Starting(live) if live.as_str() == "ours"), "without a status: {look:?}");
    let look = look_with(|home| fs::create_dir(home.status()).unwrap());
    assert!(matches!(look, GatewayView::Silent(_)), "a folder in the place of the status: {look:?}");
}

#[test]
fn a_hold_that_nobody_knows_and_whose_file_an_earlier_boot_wrote_is_stale() {
    let look = look_with(|home| {
        leave(home, &RequestId::new("upgrade").unwrap(), "what an earlier boot left");
        publish(home, &fresh());
    });
    let GatewayView::Stale(why) = look else { panic!("{look:?}") };
    assert_eq!(why, "the request was written in another boot (an-earlier-boot:1)");
}

#[test]
fn only_a_fresh_status_of_the_living_process_in_this_epoch_is_a_sight() {
    assert!(matches!(look_at(&fresh()), GatewayView::Removed), "nobody knows the hold, and it has no file");
    let of_another = DrainStatus { incarnation: Incarnation::from("another".to_owned()), ..fresh() };
    assert!(matches!(look_at(&of_another), GatewayView::Starting(live) if live.as_str() == "ours"));
    // Longer ago than three of its refreshes and five seconds.
    let old = DrainStatus { clock_millis: fresh().clock_millis.saturating_sub(36_000), ..fresh() };
    assert!(matches!(look_at(&old), GatewayView::Silent(_)));
    let elsewhere = DrainStatus { epoch: Epoch::from("another:1".to_owned()), ..fresh() };
    let look = look_at(&elsewhere);
    assert!(matches!(look, GatewayView::Over(Failure::Ignored(_))), "{look:?}");
}

fn files() -> (tempfile::TempDir, Files) {
    let place = tempfile::tempdir().unwrap();
    let files = Files::new(Home::at(place.path()));
    (place, files)
}

pub(super) fn begin(id: &RequestId, owner: &str) -> Request {
    Request { nonce: Some(Nonce::fresh()), ..Request::begin(id.clone(), owner) }
}

#[test]
fn the_marker_is_put_where_none_lies_and_again_only_over_its_owners_own() {
    let marker = RequestId::marker();
    let put = |lies: Option<&str>, again| {
        let (_place, files) = files();
        if let Some(owner) = lies {
            files.channel.write(&begin(&marker, owner)).unwrap();
        }
        let put = files.put_marker(&begin(&marker, "ops"), again);
        let Found::Valid(found) = files.channel.find(&marker) else { return (put, String::new()) };
        (put, found.owner.clone())
    };
    assert!(matches!(put(None, false), (Ok(()), owner) if owner == "ops"), "where none lies");
    assert!(matches!(put(None, true), (Err(Failure::Withdrawn(_)), _)), "again, after it was taken away");
    assert!(matches!(put(Some("ops"), false), (Err(Failure::Denied(_)), _)), "over its own, which it has not begun");
    assert!(matches!(put(Some("ops"), true), (Ok(()), owner) if owner == "ops"), "again over its own");
    for again in [false, true] {
        assert!(
            matches!(put(Some("another"), again), (Err(Failure::Denied(_)), owner) if owner == "another"),
            "over another's, again: {again}"
        );
    }
}

#[test]
fn what_was_written_since_the_look_is_neither_written_over_nor_removed() {
    let id = RequestId::new("upgrade").unwrap();
    let (_place, files) = files();
    files.channel.write(&begin(&id, "ops")).unwrap();
    let seen = files.channel.find(&id);
    let since = begin(&id, "ops");
    files.channel.write(&since).unwrap();
    let over = files.write_over(&begin(&id, "ops"), &seen);
    let said = over.unwrap_err().to_string();
    assert!(said.contains("another write lies in the hold's place"), "written over: {said}");
    let said = files.remove_seen(&id, &seen).unwrap_err().to_string();
    assert!(said.contains("another write lies in the hold's place"), "removed: {said}");
    assert_eq!(files.channel.find(&id).nonce(), since.nonce.as_ref(), "what was written since is gone");
}

#[test]
fn a_withdrawal_that_the_gateway_refuses_has_not_ended_the_hold_unless_there_is_none() {
    let id = RequestId::new("upgrade").unwrap();
    let ended = |outcome| {
        let (_place, home, _lock) = published::home();
        let withdrawal = Request { action: Action::Withdraw, ..begin(&id, "ops") };
        let answer = Acknowledgement { request_id: id.clone(), nonce: withdrawal.nonce.clone(), outcome };
        publish(&home, &DrainStatus { acknowledged: vec![answer], ..fresh() });
        let files = Files::new(home);
        files.channel.write(&withdrawal).unwrap();
        (files.has_ended(&withdrawal, None), files.channel.find(&id) == Found::Absent)
    };
    for refused in [Denied::NotYours, Denied::Committed, Denied::OtherIncarnation] {
        let (ended, removed) = ended(Outcome::Refused(refused));
        assert!(ended.is_err() && !removed, "{refused}: {ended:?}");
    }
    for there_is_none in [Denied::NotHeld, Denied::LeaseExpired, Denied::ShuttingDown] {
        assert!(matches!(ended(Outcome::Refused(there_is_none)), (Ok(true), true)), "{there_is_none}");
    }
}

#[test]
fn what_an_earlier_boot_left_is_taken_away_by_anybody() {
    let id = RequestId::new("upgrade").unwrap();
    let (_place, home, _lock) = published::home();
    leave(&home, &id, "what an earlier boot left");
    publish(&home, &fresh());
    let files = Files::new(home);
    let ended = files.end(&Request { action: Action::Withdraw, ..begin(&id, "another") }, None);
    assert!(matches!(ended, Ok(Withdrawal::Written)), "{ended:?}");
    assert_eq!(files.channel.find(&id), Found::Absent);
}

#[test]
fn a_hold_is_covered_by_its_owners_write_until_the_gateway_has_answered_that() {
    let (id, elsewhere) = (RequestId::new("upgrade").unwrap(), RequestId::new("backup").unwrap());
    let lying = begin(&id, "ops");
    let is_covered = |answered: Option<&RequestId>| {
        let answer = |id: &RequestId| Acknowledgement {
            request_id: id.clone(),
            nonce: lying.nonce.clone(),
            outcome: Outcome::Held,
        };
        let acknowledged = answered.into_iter().map(answer).collect();
        let status = DrainStatus { holds: vec![hold(&id, &Nonce::fresh(), 7)], acknowledged, ..fresh() };
        let there = Found::Valid(lying.clone().into());
        standing::covered(&status, &begin(&id, "ops"), &there).is_some()
    };
    assert!(!is_covered(Some(&id)), "what lies there has been answered");
    assert!(is_covered(None), "the gateway has not seen it");
    assert!(is_covered(Some(&elsewhere)), "the answer is to another hold's write");
}

#[test]
fn a_hold_is_covered_where_its_gateway_does_not_honour_what_lies_in_its_own_place() {
    let (id, elsewhere) = (RequestId::new("upgrade").unwrap(), RequestId::new("backup").unwrap());
    let lying = begin(&id, "ops");
    let answer = Acknowledgement { request_id: id.clone(), nonce: lying.nonce.clone(), outcome: Outcome::Held };
    for (ignored_id, covers) in [(&id, true), (&elsewhere, false)] {
        let (kind, detail) = (IgnoredKind::Overwritten, String::new());
        let ignored = Ignored { request_id: ignored_id.to_string(), kind, detail };
        let status = DrainStatus {
            holds: vec![hold(&id, &Nonce::fresh(), 7)],
            acknowledged: vec![answer.clone()],
            ignored: vec![ignored],
            ..fresh()
        };
        let covered = standing::covered(&status, &begin(&id, "ops"), &Found::Valid(lying.clone().into()));
        assert_eq!(covered.is_some(), covers, "{ignored_id} is not honoured");
    }
}

/// A hold in a file as the gateway publishes it, last written by this nonce and first seen then.
pub(super) fn hold(id: &RequestId, nonce: &Nonce, first_seen: u64) -> HoldStatus {
    let hold = json!({
        "request_id": id, "owner": "ops", "source": "file", "nonce": nonce, "first_seen_millis": first_seen, "age_seconds": 0.0,
    });
    serde_json::from_value(hold).unwrap()
}

#[test]
fn without_a_file_a_hold_that_was_begun_after_the_one_in_hand_is_left_and_the_one_in_hand_is_withdrawn() {
    let id = RequestId::new("upgrade").unwrap();
    let end = |held: &Nonce, first_seen| {
        let (_place, home, _lock) = published::home();
        publish(&home, &DrainStatus { holds: vec![hold(&id, held, first_seen)], ..fresh() });
        let own = Nonce::fresh();
        let in_hand = InHand { first_seen: Some(7), chain: Chain::of(&own), ..InHand::new() };
        let files = Files::new(home);
        let withdrawal = Request { action: Action::Withdraw, ..begin(&id, "ops") };
        (files.end(&withdrawal, Some(&in_hand)).unwrap(), files.channel.find(&id) == Found::Absent)
    };
    let another = Nonce::fresh();
    assert!(matches!(end(&another, 8), (Withdrawal::NotOurs, true)), "a later hold of the same name");
    assert!(
        matches!(end(&another, 7), (Withdrawal::Written, false)),
        "the hold in hand, which another hand has renewed"
    );
}

/// What becomes of a write of the hold in hand, whose last write lies there: by what is published, made from that write's nonce.
fn written(
    publishes: impl FnOnce(&RequestId, &Nonce) -> DrainStatus,
    write: impl FnOnce(&Files, &Request, &InHand) -> Result<WriteReceipt, Failure>,
) -> Result<WriteReceipt, Failure> {
    let id = RequestId::new("upgrade").unwrap();
    let (_place, home, _lock) = published::home();
    let last = begin(&id, "ops");
    let nonce = last.nonce.clone().unwrap();
    publish(&home, &publishes(&id, &nonce));
    let files = Files::new(home);
    files.channel.write(&last).unwrap();
    let in_hand = InHand { chain: Chain::of(&nonce), last: Some(nonce.clone()), written: Some(nonce), ..InHand::new() };
    write(&files, &last, &in_hand)
}

#[test]
fn a_renewal_is_written_while_the_hold_stands_and_not_after_the_gateway_has_refused_ended_or_committed_it() {
    let renew = |outcome, stands| {
        let publishes = |id: &RequestId, nonce: &Nonce| {
            let answer = Acknowledgement { request_id: id.clone(), nonce: Some(nonce.clone()), outcome };
            let holds = if stands { vec![hold(id, nonce, 7)] } else { Vec::new() };
            DrainStatus { holds, acknowledged: vec![answer], ..fresh() }
        };
        written(publishes, |files, last, in_hand| {
            files.renew(&Request { nonce: Some(Nonce::fresh()), ..last.clone() }, in_hand)
        })
    };
    let refused = Outcome::Refused(Denied::OtherIncarnation);
    for stands in [Outcome::Held, refused] {
        let renewed = renew(stands, true);
        assert!(renewed.is_ok(), "{stands:?}, and the hold stands: {renewed:?}");
    }
    for over in [refused, Outcome::Ended(crate::hold::Ending::Expired)] {
        let renewed = renew(over, false);
        assert!(renewed.is_err(), "{over:?}, and there is no hold: {renewed:?}");
    }
    let committed = renew(Outcome::Committed, true);
    assert!(matches!(committed, Err(Failure::Denied(_))), "committed: {committed:?}");
}

#[test]
fn a_begin_takes_the_place_of_its_owners_write_once_the_gateway_has_ended_that_and_the_hold_with_it() {
    let begun = |outcome: Option<Outcome>, stands: bool| {
        let publishes = |id: &RequestId, nonce: &Nonce| {
            let answer = |outcome| Acknowledgement { request_id: id.clone(), nonce: Some(nonce.clone()), outcome };
            let holds = if stands { vec![hold(id, nonce, 7)] } else { Vec::new() };
            DrainStatus { holds, acknowledged: outcome.map(answer).into_iter().collect(), ..fresh() }
        };
        written(publishes, |files, last, _| files.begin(&begin(&last.id, "ops")))
    };
    let ended = Some(Outcome::Ended(crate::hold::Ending::Expired));
    assert!(begun(ended, false).is_ok(), "it has ended, and nothing stands: {:?}", begun(ended, false));
    for (outcome, stands) in [(ended, true), (None, false), (Some(Outcome::Held), true)] {
        let begun = begun(outcome, stands);
        assert!(
            matches!(begun, Err(Failure::Denied(_))),
            "answered {outcome:?}, and the hold stands ({stands}): {begun:?}"
        );
    }
}

#[test]
fn a_commit_that_was_granted_is_written_over_another_write_and_a_second_one_is_refused() {
    let commit = |is_granted: bool| {
        let request = begin(&RequestId::new("upgrade").unwrap(), "ops");
        let token = if is_granted { request.nonce.clone() } else { Some(Nonce::fresh()) };
        let publishes = |id: &RequestId, nonce: &Nonce| {
            let committed = HoldStatus { committed: true, token, ..hold(id, nonce, 7) };
            DrainStatus { holds: vec![committed], ..fresh() }
        };
        written(publishes, |files, _, in_hand| files.commit(&request, in_hand))
    };
    assert!(commit(true).is_ok(), "the one that was granted: {:?}", commit(true));
    assert!(matches!(commit(false), Err(Failure::Denied(_))), "another: {:?}", commit(false));
}

#[test]
fn a_commit_that_lies_there_already_is_written_again_and_another_only_over_the_hold_in_hand() {
    let commit = |knows_the_hold: bool, lies: bool| {
        let publishes = |id: &RequestId, nonce: &Nonce| DrainStatus { holds: vec![hold(id, nonce, 7)], ..fresh() };
        written(publishes, |files, last, in_hand| {
            let commit =
                Request::commit(last.id.clone(), "ops", Incarnation::from("ours".to_owned()), Generation::default());
            let commit = Request { nonce: Some(Nonce::fresh()), ..commit };
            if lies {
                files.channel.write(&commit).unwrap();
            }
            let none = InHand::new();
            files.commit(&commit, if knows_the_hold { in_hand } else { &none })
        })
    };
    assert!(commit(true, false).is_ok(), "of the hold in hand");
    assert!(commit(false, true).is_ok(), "the same one again");
    let other = commit(false, false);
    assert!(matches!(other, Err(Failure::LeaseLost(_))), "of a hold that is not in hand: {other:?}");
}

#[test]
fn a_write_that_lies_there_is_of_another_hold_only_once_the_gateway_has_answered_it() {
    let (id, elsewhere) = (RequestId::new("upgrade").unwrap(), RequestId::new("backup").unwrap());
    let lying = begin(&id, "ops");
    let found = StoredRequest { request: lying.clone(), first_seen: None, committed: false };
    let in_hand = InHand { first_seen: Some(7), ..InHand::new() };
    let judged = |held: &Nonce, first_seen, answered: Option<&RequestId>, nonce: &Nonce| {
        let answer = |id: &RequestId| Acknowledgement {
            request_id: id.clone(),
            nonce: Some(nonce.clone()),
            outcome: Outcome::Held,
        };
        let acknowledged = answered.into_iter().map(answer).collect();
        let status = DrainStatus { holds: vec![hold(&id, held, first_seen)], acknowledged, ..fresh() };
        is_in_hand(&in_hand, &found, Some(&status))
    };
    let (ours, before) = (lying.nonce.clone().unwrap(), Nonce::fresh());
    assert_eq!(judged(&ours, 7, None, &ours), Ok(()), "it renewed the hold in hand");
    assert!(matches!(judged(&ours, 8, None, &ours), Err(Failure::LeaseLost(_))), "it began another");
    assert!(
        matches!(judged(&before, 8, Some(&id), &ours), Err(Failure::LeaseLost(_))),
        "it was answered beside another"
    );
    for (answered, nonce) in [(None, &ours), (Some(&elsewhere), &ours), (Some(&id), &before)] {
        let judged = judged(&before, 7, answered, nonce);
        assert!(matches!(judged, Err(Failure::Unreachable(_))), "unanswered, it says {judged:?}");
    }
}

/// The gateway's answer to this write of a hold.
pub(super) fn answer(id: &RequestId, nonce: Option<&Nonce>, outcome: Outcome) -> Acknowledgement {
    Acknowledgement { request_id: id.clone(), nonce: nonce.cloned(), outcome }
}

pub(super) fn shutting_down() -> DrainStatus {
    DrainStatus { state: DrainState::ShutdownDraining, ..fresh() }
}

pub(super) const ENDED: Outcome = Outcome::Ended(crate::hold::Ending::Expired);

#[test]
fn a_hold_without_a_file_is_removed_only_where_its_gateway_neither_shows_nor_answers_it_and_is_not_ending() {
    let (id, nonce) = (RequestId::new("upgrade").unwrap(), Nonce::fresh());
    let shown = DrainStatus { holds: vec![hold(&id, &nonce, 7)], ..fresh() };
    let answered = DrainStatus { acknowledged: vec![answer(&id, Some(&nonce), ENDED)], ..fresh() };
    for (what, status) in [("it is shown", shown), ("it is answered", answered), ("it shuts down", shutting_down())] {
        let look = look_at(&status);
        assert!(matches!(look, GatewayView::Seen(_)), "{what}: {look:?}");
    }
}

#[test]
fn a_status_is_glanced_at_by_what_tells_it_from_the_next_one() {
    let (_place, home, _lock) = published::home();
    let files = Files::new(home.clone());
    assert_eq!(files.glance(), None, "nothing was published");
    publish(&home, &fresh());
    let glance = files.glance();
    assert!(glance.is_some(), "something was published");
    publish(&home, &DrainStatus { in_flight: 100, ..fresh() });
    assert_ne!(files.glance(), glance, "another status lies there");
}

/// A home with this status, in whose hold's place this request lies.
pub(super) fn place(
    status: &DrainStatus,
    lies: Option<&Request>,
) -> (tempfile::TempDir, crate::control::HomeLock, Files) {
    let (place, home, lock) = published::home();
    publish(&home, status);
    let files = Files::new(home);
    if let Some(request) = lies {
        files.channel.write(request).unwrap();
    }
    (place, lock, files)
}

#[test]
fn what_another_owner_holds_or_has_written_is_not_found_as_ones_own() {
    let id = RequestId::new("upgrade").unwrap();
    let ours = hold(&id, &Nonce::fresh(), 7);
    let find = |holds: Vec<HoldStatus>, lies: Option<&Request>| {
        let (_place, _lock, files) = place(&DrainStatus { holds, ..fresh() }, lies);
        files.find(&id, "another")
    };
    let held = find(vec![ours.clone()], None);
    assert!(matches!(held, Err(Failure::Denied(_))), "another's hold: {held:?}");
    let written = find(Vec::new(), Some(&begin(&id, "ops")));
    assert!(matches!(written, Err(Failure::Denied(_))), "another's file: {written:?}");
    let nobodys = find(vec![HoldStatus { owner: String::new(), ..ours }], None);
    assert!(matches!(nobodys, Ok(None)), "a hold of which the gateway names no owner: {nobodys:?}");
}

#[test]
fn a_commit_that_was_granted_is_found_although_its_file_is_gone() {
    let id = RequestId::new("upgrade").unwrap();
    let committed = HoldStatus { committed: true, ..hold(&id, &Nonce::fresh(), 7) };
    let (_place, _lock, files) = place(&DrainStatus { holds: vec![committed], ..fresh() }, None);
    let found = files.find(&id, "ops").unwrap();
    assert!(found.is_some_and(|found| found.committed && found.first_seen == Some(7)));
}

#[test]
fn another_write_has_replaced_ours_only_once_the_gateway_has_answered_it() {
    let id = RequestId::new("upgrade").unwrap();
    let (lying, ours) = (begin(&id, "ops"), Nonce::fresh());
    let (_place, _lock, files) = place(&fresh(), Some(&lying));
    let answered = |nonce: Option<&Nonce>| [(nonce.cloned(), Outcome::Held)];
    assert!(files.is_replaced(&id, &ours, &answered(lying.nonce.as_ref())));
    assert!(!files.is_replaced(&id, &ours, &answered(Some(&ours))), "the gateway has yet to read what lies there");
    let lies = lying.nonce.clone().unwrap();
    assert!(!files.is_replaced(&id, &lies, &answered(Some(&lies))), "what lies there is ours");
}

pub(super) fn withdraw(id: &RequestId, token: Option<&Nonce>) -> Request {
    Request { token: token.cloned(), nonce: Some(Nonce::fresh()), ..Request::withdraw(id.clone(), "ops") }
}

pub(super) fn commit_of(id: &RequestId) -> Request {
    let ours = Incarnation::from("ours".to_owned());
    Request { nonce: Some(Nonce::fresh()), ..Request::commit(id.clone(), "ops", ours, Generation::default()) }
}

#[test]
fn a_hold_under_another_owners_write_is_ended_in_words_and_what_another_has_written_alone_is_not_ended() {
    let id = RequestId::new("upgrade").unwrap();
    let end = |holds: Vec<HoldStatus>| {
        let (_place, _lock, files) = place(&DrainStatus { holds, ..fresh() }, Some(&begin(&id, "another")));
        let request = withdraw(&id, None);
        let ended = files.end(&request, None);
        (ended, files.channel.find(&id).nonce() == request.nonce.as_ref(), files.channel.find(&id) == Found::Absent)
    };
    let (ended, written, _) = end(vec![hold(&id, &Nonce::fresh(), 7)]);
    assert!(matches!(ended, Ok(Withdrawal::Written)) && written, "over the owner's hold: {ended:?}");
    let (ended, written, removed) = end(Vec::new());
    assert!(matches!(ended, Err(Failure::Denied(_))) && !written && !removed, "the owner holds nothing: {ended:?}");
}

#[test]
fn a_commit_that_is_under_way_is_ended_by_its_token_alone() {
    let id = RequestId::new("upgrade").unwrap();
    let commit = commit_of(&id);
    let token = commit.nonce.as_ref();
    let standing = vec![hold(&id, &Nonce::fresh(), 7)];
    for (what, holds) in [("its hold stands", standing), ("its hold is not published", Vec::new())] {
        let (_place, _lock, files) = place(&DrainStatus { holds, ..fresh() }, Some(&commit));
        let ended = files.end(&withdraw(&id, None), None);
        assert!(matches!(ended, Err(Failure::Denied(_))), "{what}: {ended:?}");
        assert_eq!(files.channel.find(&id).nonce(), token, "{what}: the commit's file is gone");
        // Of a hold that this session began elsewhere, by its chain, it is still the token's.
        let ended = files.end(&withdraw(&id, token), Some(&InHand::new()));
        assert!(matches!(ended, Ok(Withdrawal::Written)), "{what}, with its token: {ended:?}");
        let lies = files.channel.find(&id);
        assert!(
            matches!(&lies, Found::Valid(request) if request.action == Action::Withdraw),
            "{what}: the withdrawal is not written: {lies:?}"
        );
    }
}

#[test]
fn a_granted_commit_without_a_file_is_ended_by_its_token_and_where_there_is_none_nothing_is_written() {
    let (id, token) = (RequestId::new("upgrade").unwrap(), Nonce::fresh());
    let granted = HoldStatus { committed: true, token: Some(token.clone()), ..hold(&id, &token, 7) };
    let end = |holds: Vec<HoldStatus>, ours: Option<&InHand>| {
        let (_place, _lock, files) = place(&DrainStatus { holds, ..fresh() }, None);
        let ended = files.end(&withdraw(&id, Some(&token)), ours);
        (ended, files.channel.find(&id) == Found::Absent)
    };
    let another_chain = InHand::new();
    for ours in [None, Some(&another_chain)] {
        let (ended, absent) = end(vec![granted.clone()], ours);
        assert!(matches!(ended, Ok(Withdrawal::Written)) && !absent, "granted: {ended:?}");
        let (ended, absent) = end(Vec::new(), ours);
        assert!(matches!(ended, Ok(Withdrawal::Nothing)) && absent, "nothing is there: {ended:?}");
    }
}

#[test]
fn a_withdrawal_has_ended_the_hold_once_neither_it_nor_that_hold_stands_there() {
    let id = RequestId::new("upgrade").unwrap();
    let ended = |stands: Option<u64>, seen: Option<u64>, lies: bool| {
        let withdrawal = withdraw(&id, None);
        let holds = stands.map(|first_seen| hold(&id, &Nonce::fresh(), first_seen)).into_iter().collect();
        let (_place, _lock, files) = place(&DrainStatus { holds, ..fresh() }, Some(&withdrawal).filter(|_| lies));
        assert_eq!(files.first_seen(&id), stands);
        (files.has_ended(&withdrawal, seen), files.channel.find(&id) != Found::Absent)
    };
    for (stands, seen, lies, has_ended) in [
        (Some(7), Some(7), true, false),
        (Some(7), Some(7), false, false),
        (Some(7), None, false, false),
        (None, Some(7), true, false),
        (Some(8), Some(7), true, false),
        (None, Some(7), false, true),
        (None, None, false, true),
        (Some(8), Some(7), false, true),
    ] {
        let said = format!("stands: {stands:?}, of the hold first seen {seen:?}, and the withdrawal lies: {lies}");
        assert_eq!(ended(stands, seen, lies), (Ok(has_ended), lies), "{said}");
    }
}

#[test]
fn only_a_begin_of_ones_own_chain_is_taken_back() {
    let id = RequestId::new("upgrade").unwrap();
    let taken_back = |lies: &Request, ours: &Chain| {
        let (_place, _lock, files) = place(&fresh(), Some(lies));
        super::super::Gateway::at(files.home().clone()).take_back(&id, ours);
        files.channel.find(&id) == Found::Absent
    };
    let chain = Chain::new();
    let renewal = Request { nonce: Some(chain.next()), ..begin(&id, "ops") };
    assert!(taken_back(&renewal, &chain), "a renewal of ours");
    assert!(!taken_back(&renewal, &Chain::new()), "another's renewal");
    assert!(!taken_back(&Request { nonce: Some(chain.next()), ..commit_of(&id) }, &chain), "a commit of ours");
}

#[test]
fn a_withdrawal_that_was_prepared_is_discarded_with_its_hold() {
    let (id, token) = (RequestId::new("upgrade").unwrap(), Nonce::fresh());
    let (_place, _lock, files) = place(&fresh(), None);
    let withdrawal = withdraw(&id, Some(&token));
    let gateway = super::super::Gateway::at(files.home().clone());
    gateway.prepare(&withdrawal).unwrap();
    gateway.discard(&id);
    let put = files.channel.put_prepared(&withdrawal);
    assert!(!matches!(put, Ok(true)), "what was discarded is still there");
    gateway.prepare(&withdrawal).unwrap();
    assert!(matches!(files.channel.put_prepared(&withdrawal), Ok(true)), "it was prepared, and is not there");
}

#[test]
fn a_renewal_takes_the_end_of_what_its_owner_has_written_there_for_the_holds_own_and_of_nothing_else() {
    let renew = |lies: fn(&Request, &InHand) -> Request, stands: bool| {
        let id = RequestId::new("upgrade").unwrap();
        let last = begin(&id, "ops");
        let nonce = last.nonce.clone().unwrap();
        let in_hand = InHand {
            chain: Chain::of(&nonce),
            last: Some(nonce.clone()),
            written: Some(nonce.clone()),
            ..InHand::new()
        };
        let lies = lies(&last, &in_hand);
        let holds = if stands { vec![hold(&id, &nonce, 7)] } else { Vec::new() };
        let acknowledged = vec![answer(&id, lies.nonce.as_ref(), ENDED)];
        let (_place, _lock, files) = place(&DrainStatus { holds, acknowledged, ..fresh() }, Some(&lies));
        let renewed = files.renew(&Request { nonce: Some(in_hand.chain.next()), ..last }, &in_hand);
        (renewed.map(drop), files.channel.find(&id).nonce() == lies.nonce.as_ref())
    };
    let (renewed, untouched) = renew(|last, ours| Request { nonce: Some(ours.chain.next()), ..last.clone() }, false);
    assert!(renewed.is_err() && untouched, "another hand's renewal of the hold has ended with it: {renewed:?}");
    let (renewed, untouched) = renew(|last, _| begin(&last.id, "another"), true);
    assert!(renewed.is_ok() && !untouched, "what another owner has written there has ended: {renewed:?}");
}

#[test]
fn a_renewal_of_a_hold_that_has_ended_says_how_it_has_although_nothing_lies_there_any_more() {
    for outcome in [ENDED, Outcome::Refused(Denied::OtherIncarnation)] {
        let last = begin(&RequestId::new("upgrade").unwrap(), "ops");
        let nonce = last.nonce.clone().unwrap();
        let acknowledged = vec![answer(&last.id, Some(&nonce), outcome)];
        let (_place, _lock, files) = place(&DrainStatus { acknowledged, ..fresh() }, None);
        let in_hand =
            InHand { chain: Chain::of(&nonce), last: Some(nonce.clone()), written: Some(nonce), ..InHand::new() };
        let renewal = Request { nonce: Some(in_hand.chain.next()), ..last };
        assert_eq!(files.renew(&renewal, &in_hand).map(drop), Err(Failure::of(outcome).unwrap()));
    }
}

#[test]
fn a_begin_that_is_sent_again_takes_no_write_of_another_owner_for_its_own_whatever_nonce_that_bears() {
    let id = RequestId::new("upgrade").unwrap();
    let chain = Chain::new();
    let copied = Request { nonce: Some(chain.next()), ..begin(&id, "another") };
    let acknowledged = vec![answer(&id, copied.nonce.as_ref(), ENDED)];
    let (_place, _lock, files) = place(&DrainStatus { acknowledged, ..fresh() }, Some(&copied));
    let ours = Request { nonce: Some(chain.next()), ..begin(&id, "ops") };
    assert_eq!(files.begin(&ours).map(|sent| Some(sent.nonce)), Ok(ours.nonce.clone()));
    assert_eq!(files.channel.find(&id).nonce(), ours.nonce.as_ref(), "it has taken the place of what is over");
}

#[test]
fn a_renewal_is_written_neither_over_a_withdrawal_nor_of_a_hold_that_is_committed() {
    let id = RequestId::new("upgrade").unwrap();
    let chain = Chain::new();
    let last = Request { nonce: Some(chain.next()), ..begin(&id, "ops") };
    let in_hand = InHand { chain, last: last.nonce.clone(), written: last.nonce.clone(), ..InHand::new() };
    let renew = |lies: &Request, committed: bool| {
        let holds = vec![HoldStatus { committed, ..hold(&id, in_hand.last.as_ref().unwrap(), 7) }];
        let (_place, _lock, files) = place(&DrainStatus { holds, ..fresh() }, Some(lies));
        files.renew(&Request { nonce: Some(in_hand.chain.next()), ..last.clone() }, &in_hand).map(drop)
    };
    assert_eq!(renew(&last, false), Ok(()), "the hold stands");
    let withdrawn = renew(&Request { nonce: Some(in_hand.chain.next()), ..withdraw(&id, None) }, false);
    assert!(matches!(withdrawn, Err(Failure::Withdrawn(_))), "its owner withdraws it: {withdrawn:?}");
    let committed = renew(&last, true);
    assert!(matches!(committed, Err(Failure::Denied(_))), "it is committed: {committed:?}");
}

/// How many begin one hold at the same time, and how often.
const WRITERS: usize = 4;
const ROUNDS: usize = 25;

/// What lies in a hold's place before it is begun, and holds nothing.
fn leave(home: &Home, id: &RequestId, what: &str) {
    if what == "what an earlier boot left" {
        let earlier = Channel::of_epoch(home.clone(), Epoch::from("an-earlier-boot:1".to_owned()));
        earlier.write(&Request::begin(id.clone(), "ops")).unwrap();
    }
}

#[test]
fn of_several_that_begin_one_hold_in_one_moment_one_begins_it_and_the_others_are_told_that_it_is_there() {
    for what in ["nothing", "what an earlier boot left"] {
        let place = tempfile::tempdir().unwrap();
        let files = Files::new(Home::at(place.path()));
        for round in 0..ROUNDS {
            let id = RequestId::new(format!("upgrade-{round}")).unwrap();
            leave(files.home(), &id, what);
            let together = Barrier::new(WRITERS);
            let begun: Vec<_> = std::thread::scope(|scope| {
                let begin = || {
                    let request = Request { nonce: Some(Nonce::fresh()), ..Request::begin(id.clone(), "ops") };
                    together.wait();
                    files.begin(&request).map(|sent| sent.nonce)
                };
                let writers: Vec<_> = (0..WRITERS).map(|_| scope.spawn(begin)).collect();
                writers.into_iter().map(|writer| writer.join().unwrap()).collect()
            });
            let first: Vec<_> = begun.iter().filter_map(|begun| begun.as_ref().ok()).collect();
            let refused = begun.iter().filter(|begun| matches!(begun, Err(Failure::Denied(_)))).count();
            assert_eq!((first.len(), refused), (1, WRITERS - 1), "over {what}, round {round}: {begun:?}");
            let lies = files.channel.find(&id);
            assert_eq!(lies.nonce(), Some(first[0]), "over {what}, round {round}: another's write lies there");
        }
    }
}
