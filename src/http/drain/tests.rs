use super::super::conditional::Condition;
use super::*;
use crate::control::{Channel, Home, HomeLock};
use crate::gate::Generation;
use crate::hold::Source;
use crate::status::{Ignored, IgnoredKind};
use axum::http::{HeaderValue, header};
use serde_json::{Value, json};
use tempfile::TempDir;

fn upgrade() -> RequestId {
    RequestId::new("upgrade").unwrap()
}

/// A status of a gateway in this state, with this hold of the name `upgrade` and this answer to what lies in its place.
fn status(state: &str, hold: Option<Value>, answer: Option<Value>) -> Snapshot {
    let named = |value: Option<Value>| {
        value.map(|mut value| {
            value["request_id"] = json!("upgrade");
            value
        })
    };
    let (holds, answers): (Vec<Value>, Vec<Value>) =
        (named(hold).into_iter().collect(), named(answer).into_iter().collect());
    let drain = json!({"format": 2, "state": state, "incarnation": "here", "holds": holds, "acknowledged": answers});
    serde_json::from_value(json!({"gateway_state": "draining", "drain": drain})).unwrap()
}

fn held(committed: bool) -> Value {
    json!({"owner": "alice", "nonce": "n", "committed": committed, "token": if committed { json!("t") } else { json!(null) }})
}

fn seen(status: Option<Snapshot>, found: Found) -> PriorState {
    PriorState { status: status.map(Arc::new), found }
}

/// What is planned for a body, as a word: `write`, `remove`, or the fault's.
fn planned(body: &Value, who: &str, seen: &PriorState) -> &'static str {
    let asked = Asked::parse(body.to_string().as_bytes()).unwrap();
    match plan(&asked, who, seen) {
        Ok(Plan::Write) => "write",
        Ok(Plan::Remove) => "remove",
        Err(problem) => problem.fault.word(),
    }
}

#[test]
fn only_what_the_gateway_granted_is_a_yes() {
    let said = |outcome, verb| judge(verb, outcome).map_or_else(|problem| problem.fault.word(), |()| "yes");
    for verb in Verb::ALL {
        for outcome in [Outcome::Held, Outcome::Pending, Outcome::Committed] {
            assert_eq!(said(outcome, verb), "yes", "{outcome:?} {verb:?}");
        }
        for why in [Denied::NotYours, Denied::NotHeld, Denied::NotDrained, Denied::Committed, Denied::ShuttingDown] {
            assert_eq!(said(Outcome::Refused(why), verb), Fault::Denied(why).word(), "{verb:?}");
        }
        assert_eq!(said(Outcome::Ended(Ending::Expired), verb), "lease_expired", "{verb:?}");
        assert_eq!(said(Outcome::Ended(Ending::Absorbed), verb), "shutting_down", "{verb:?}");
        assert_eq!(said(Outcome::Unknown, verb), "unavailable", "{verb:?}");
        let withdrawn = if verb == Verb::Cancel { "yes" } else { "not_held" };
        assert_eq!(said(Outcome::Ended(Ending::Withdrawn), verb), withdrawn, "{verb:?}");
        let overridden = if verb == Verb::Override { "yes" } else { "not_held" };
        assert_eq!(said(Outcome::Ended(Ending::Overridden), verb), overridden, "{verb:?}");
        let ignored = Outcome::Ignored(crate::hold::NotHonoured::OtherEpoch);
        assert_eq!(said(ignored, verb), "other_epoch", "{verb:?}");
    }
}

#[test]
fn nobody_waits_for_a_hold_that_is_gone_or_for_a_gateway_that_ends_but_a_committed_controller_is_told_that_its_commit_stands()
 {
    let word = |status: &Snapshot| standing(&upgrade(), status).map_or_else(|p| p.fault.word(), |()| "stands");
    let expired = || Some(json!({"nonce": "n", "outcome": "ended", "why": "expired"}));
    for (state, hold, answer, expected) in [
        ("external_draining", Some(held(false)), None, "stands"),
        ("external_draining", Some(held(true)), None, "stands"),
        ("shutdown_draining", Some(held(false)), None, "shutting_down"),
        ("shutdown_draining", Some(held(true)), None, "stands"),
        ("stopped", Some(held(true)), None, "stands"),
        ("shutdown_draining", None, expired(), "shutting_down"),
        ("running", None, expired(), "lease_expired"),
        ("running", None, None, "not_held"),
    ] {
        assert_eq!(word(&status(state, hold.clone(), answer)), expected, "{state} {hold:?}");
    }
}

#[test]
fn what_is_somebody_elses_committed_or_gone_is_told_and_nothing_is_written() {
    let begin = json!({"action": "drain", "request_id": "upgrade"});
    let renew = json!({"action": "renew", "request_id": "upgrade"});
    let cancel = json!({"action": "cancel", "request_id": "upgrade"});
    let with_token = json!({"action": "cancel", "request_id": "upgrade", "token": "t"});
    let commit = json!({"action": "commit", "request_id": "upgrade", "incarnation": "here", "generation": 1});
    let override_hold = json!({"action": "override", "request_id": "upgrade"});
    let draining = |committed| Some(status("external_draining", Some(held(committed)), None));
    let free = || Some(status("running", None, None));
    let ending = || Some(status("shutdown_draining", Some(held(false)), None));
    let lies = || {
        Found::Valid(Box::new(Request {
            nonce: Some(Nonce::from("n".to_owned())),
            ..Request::begin(upgrade(), "alice")
        }))
    };
    for (body, who, status, found, expected) in [
        // Its owner's own hold.
        (&begin, "alice", draining(false), lies(), "write"),
        (&renew, "alice", draining(false), lies(), "write"),
        (&renew, "alice", draining(false), Found::Absent, "not_held"),
        (&cancel, "alice", draining(false), lies(), "write"),
        (&commit, "alice", draining(false), lies(), "write"),
        // Somebody else's.
        (&begin, "bob", draining(false), lies(), "not_yours"),
        (&renew, "bob", draining(false), lies(), "not_yours"),
        (&cancel, "bob", draining(false), lies(), "not_yours"),
        (&commit, "bob", draining(false), lies(), "not_yours"),
        (&override_hold, "bob", draining(false), lies(), "write"),
        // One that the gateway hasn't seen yet is its writer's.
        (&begin, "bob", free(), lies(), "not_yours"),
        (&begin, "bob", free(), Found::Absent, "write"),
        // Committed.
        (&begin, "alice", draining(true), lies(), "committed"),
        (&renew, "alice", draining(true), lies(), "committed"),
        (&cancel, "alice", draining(true), lies(), "committed"),
        (&with_token, "alice", draining(true), lies(), "write"),
        (&override_hold, "bob", draining(true), lies(), "write"),
        // Gone.
        (&renew, "alice", free(), Found::Absent, "not_held"),
        (&cancel, "alice", free(), Found::Absent, "not_held"),
        (&commit, "alice", free(), Found::Absent, "not_held"),
        // A shutdown.
        (&begin, "alice", ending(), lies(), "shutting_down"),
        (&commit, "alice", ending(), lies(), "shutting_down"),
        (&cancel, "alice", ending(), lies(), "write"),
        // No gateway.
        (&begin, "alice", None, Found::Absent, "write"),
        (&renew, "alice", None, lies(), "unavailable"),
        (&cancel, "alice", None, lies(), "unavailable"),
        (&commit, "alice", None, lies(), "unavailable"),
    ] {
        let what = format!("{body} by {who} with {:?}", status.as_ref().map(|status| &status.drain.holds));
        assert_eq!(planned(body, who, &seen(status, found)), expected, "{what}");
    }
    let elsewhere = json!({"action": "drain", "request_id": "upgrade", "incarnation": "another"});
    assert_eq!(planned(&elsewhere, "alice", &seen(free(), Found::Absent)), "other_incarnation");
    assert_eq!(planned(&elsewhere, "alice", &seen(None, Found::Absent)), "unavailable");
}

#[test]
fn a_begin_of_a_new_hold_is_told_of_one_that_stands_or_is_asked_for_and_of_no_other() {
    let only_new = Condition::of(&[(header::IF_NONE_MATCH, HeaderValue::from_static("*"))].into_iter().collect());
    let begin = asked(&json!({"action": "drain", "request_id": "upgrade"}), only_new);
    let lies =
        |request: Request| Found::Valid(Box::new(Request { nonce: Some(Nonce::from("n".to_owned())), ..request }));
    let (asks, ends) = (|| lies(Request::begin(upgrade(), "alice")), || lies(Request::withdraw(upgrade(), "alice")));
    let answered = |outcome| Some(status("running", None, Some(json!({"nonce": "n", "outcome": outcome}))));
    let free = || Some(status("running", None, None));
    for (status, found, exists) in [
        (Some(status("external_draining", Some(held(false)), None)), Found::Absent, true),
        (free(), asks(), true),
        (answered("held"), asks(), true),
        (answered("refused"), asks(), false),
        (free(), ends(), false),
        (answered("ended"), ends(), false),
        (free(), Found::Absent, false),
    ] {
        let what = format!("{found:?}, {:?}", status.as_ref().map(|status| &status.drain.acknowledged));
        let planned = plan(&begin, "alice", &seen(status, found)).map_err(|problem| problem.fault);
        assert_eq!(planned, if exists { Err(Fault::Exists) } else { Ok(Plan::Write) }, "{what}");
    }
}

/// The write that lies there first.
const FIRST: &str = "0123456789abcdef";

/// Another write than [`FIRST`].
const OTHER: &str = "fedcba9876543210";

fn nonce(nonce: &str) -> Nonce {
    Nonce::from(nonce.to_owned())
}

/// This write lies in the hold's place.
fn lies(write: &str, request: Request) -> Found {
    Found::Valid(Box::new(Request { nonce: Some(nonce(write)), source: Source::File, ..request }))
}

fn condition(name: header::HeaderName, value: &str) -> Condition {
    Condition::of(&[(name, HeaderValue::from_str(value).unwrap())].into_iter().collect())
}

/// The answer to this write.
fn to(write: &str, outcome: &str) -> Value {
    json!({"nonce": write, "outcome": outcome})
}

#[test]
fn only_a_write_of_the_same_owner_that_a_living_gateway_has_yet_to_answer_is_waited_for() {
    let (begin, none) = (|| Request::begin(upgrade(), "alice"), Condition::default);
    let asks =
        |action: &str| json!({"action": action, "request_id": "upgrade", "incarnation": "here", "generation": 1});
    let drain = || json!({"action": "drain", "request_id": "upgrade"});
    let again = json!({"action": "drain", "request_id": "upgrade", "nonce": FIRST});
    let live = |answer| Some(status("running", None, answer));
    let unnamed = Found::Valid(Box::new(Request { nonce: None, ..begin() }));
    let only_new = condition(header::IF_NONE_MATCH, "*");
    let chief = || Request::override_hold(upgrade(), "chief");
    let stands = |answer| Some(status("external_draining", Some(held(false)), answer));
    let committed = || Some(status("external_draining", Some(held(true)), None));
    let of_bob = || Some(status("external_draining", Some(json!({"owner": "bob", "nonce": OTHER})), None));
    for (body, condition, status, found, waits, what) in [
        (asks("drain"), none(), live(None), lies(FIRST, begin()), true, "a begin over an unanswered one"),
        (asks("renew"), none(), live(None), lies(FIRST, begin()), true, "a renewal"),
        (asks("commit"), none(), live(None), lies(FIRST, begin()), true, "a commit"),
        (asks("cancel"), none(), live(None), lies(FIRST, begin()), false, "a cancel ends the hold anyway"),
        (asks("override"), none(), live(None), lies(FIRST, begin()), false, "so does an override"),
        (drain(), only_new, live(None), lies(FIRST, begin()), false, "one that takes over none"),
        (again, none(), live(None), lies(FIRST, begin()), false, "the same write, sent again"),
        (drain(), none(), live(None), lies(FIRST, Request::begin(upgrade(), "bob")), false, "somebody else's"),
        (drain(), none(), live(None), lies(FIRST, Request::withdraw(upgrade(), "alice")), false, "a withdrawal"),
        (drain(), none(), live(Some(to(FIRST, "held"))), lies(FIRST, begin()), false, "an answered one"),
        (drain(), none(), live(Some(to(OTHER, "held"))), lies(FIRST, begin()), true, "where another one is answered"),
        (drain(), none(), None, lies(FIRST, begin()), false, "nobody is there to answer"),
        (drain(), none(), Some(status("shutdown_draining", None, None)), lies(FIRST, begin()), false, "a shutdown"),
        (drain(), none(), live(None), unnamed, false, "one that has no name"),
        (drain(), none(), live(None), Found::Absent, false, "nothing lies there"),
        (drain(), none(), stands(None), lies(FIRST, chief()), true, "what ends the hold that a begin would renew"),
        (drain(), none(), stands(None), lies(FIRST, Request::withdraw(upgrade(), "alice")), true, "so does this"),
        (drain(), none(), stands(Some(to(FIRST, "refused"))), lies(FIRST, chief()), false, "an override refused"),
        (asks("renew"), none(), stands(None), lies(FIRST, chief()), false, "a renewal is told at once"),
        (drain(), none(), committed(), lies(FIRST, chief()), false, "a committed one, whose renewal is refused"),
        (drain(), none(), of_bob(), lies(FIRST, chief()), false, "a hold of somebody else's"),
    ] {
        let waited_for = unanswered(&asked(&body, condition), "alice", &seen(status, found));
        assert_eq!(waited_for, waits.then(|| nonce(FIRST)), "{what}: {body}");
    }
}

#[test]
fn a_hold_whose_file_is_gone_nobodys_or_not_decided_yet_can_be_ended_by_those_whose_it_is() {
    let begin = json!({"action": "drain", "request_id": "upgrade"});
    let renew = json!({"action": "renew", "request_id": "upgrade"});
    let cancel = json!({"action": "cancel", "request_id": "upgrade"});
    let override_hold = json!({"action": "override", "request_id": "upgrade"});
    let draining = || Some(status("external_draining", Some(held(false)), None));
    let nobodys = || Some(status("external_draining", Some(json!({"owner": "", "nonce": null})), None));
    let free = |answer| Some(status("running", None, answer));
    let asks = || lies(FIRST, Request::begin(upgrade(), "alice"));
    for (body, who, status, found, expected) in [
        // What lies there is its writer's until it is decided: not by the answer to another write, nor by one that stands.
        (&begin, "bob", free(Some(to(OTHER, "refused"))), asks(), "not_yours"),
        (&begin, "bob", free(Some(to(FIRST, "held"))), asks(), "not_yours"),
        (&begin, "bob", free(Some(to(FIRST, "refused"))), asks(), "write"),
        // Its owner may end or renew it meanwhile.
        (&cancel, "alice", free(None), asks(), "write"),
        (&renew, "alice", free(None), asks(), "write"),
        (&cancel, "alice", Some(status("shutdown_draining", None, None)), asks(), "remove"),
        (&cancel, "alice", Some(status("shutdown_draining", None, None)), Found::Absent, "not_held"),
        // Nobody's can be taken over, and is ended by nobody but by an override.
        (&begin, "bob", nobodys(), Found::Absent, "write"),
        (&cancel, "bob", nobodys(), Found::Absent, "not_yours"),
        (&override_hold, "bob", nobodys(), Found::Absent, "write"),
        // Without its file there is nothing to renew, but a hold to end.
        (&renew, "alice", draining(), Found::Absent, "not_held"),
        (&cancel, "alice", draining(), Found::Absent, "write"),
        (&override_hold, "bob", draining(), Found::Absent, "write"),
    ] {
        let what = format!("{body} by {who} with {:?} and {found:?}", status.as_ref().map(|status| &status.drain));
        assert_eq!(planned(body, who, &seen(status, found)), expected, "{what}");
    }
}

/// A hold of alice's, whose last write is [`OTHER`].
fn held_by_alice(committed: bool, overwritten: bool) -> Value {
    json!({
        "owner": "alice", "nonce": OTHER, "committed": committed, "token": if committed { json!("t") } else { json!(null) },
        "overwritten": overwritten,
    })
}

#[test]
fn its_owners_write_is_put_neither_over_what_ends_the_hold_and_was_not_read_yet_nor_where_its_file_is_gone() {
    let [renew, drain] = ["renew", "drain"].map(|action| json!({"action": action, "request_id": "upgrade"}));
    let commit = json!({"action": "commit", "request_id": "upgrade", "incarnation": "here", "generation": 1});
    let stands = |committed, overwritten, answer| {
        Some(status("external_draining", Some(held_by_alice(committed, overwritten)), answer))
    };
    let draining = |answer| stands(false, false, answer);
    let overridden = || lies(FIRST, Request::override_hold(upgrade(), "chief"));
    let withdrawn = |owner: &str| lies(FIRST, Request::withdraw(upgrade(), owner));
    let with_token = || lies(FIRST, Request { token: Some(nonce("t")), ..Request::withdraw(upgrade(), "alice") });
    let read = || Some(to(FIRST, "refused"));
    let other = || Some(to(OTHER, "held"));
    for (status, found, renewed, committed, drained, what) in [
        (draining(None), overridden(), "not_held", "not_held", "unavailable", "an override"),
        (draining(other()), overridden(), "not_held", "not_held", "unavailable", "where another write is answered"),
        (draining(read()), overridden(), "write", "write", "write", "an override that was refused"),
        (draining(None), withdrawn("alice"), "not_held", "not_held", "unavailable", "its owner's withdrawal"),
        (draining(other()), withdrawn("alice"), "not_held", "not_held", "unavailable", "and another was answered"),
        (draining(read()), withdrawn("alice"), "write", "write", "write", "a withdrawal that was refused"),
        (draining(None), withdrawn("bob"), "write", "write", "write", "somebody else's withdrawal ends nothing"),
        (draining(None), Found::Absent, "not_held", "not_held", "write", "its file is gone"),
        (stands(false, true, None), Found::Absent, "write", "write", "write", "somebody else's is gone"),
        // The gateway keeps a committed hold without its file, and ends it by its token and by an override alone.
        (stands(true, false, None), Found::Absent, "committed", "write", "committed", "committed, its file is gone"),
        (stands(true, false, None), withdrawn("alice"), "committed", "write", "committed", "without the token"),
        (stands(true, false, None), with_token(), "committed", "not_held", "committed", "with the token"),
        (stands(true, false, None), overridden(), "committed", "not_held", "committed", "a committed one overridden"),
        // It holds nothing yet, and never will.
        (Some(status("running", None, None)), withdrawn("alice"), "not_held", "not_held", "write", "before it began"),
    ] {
        let seen = seen(status, found);
        let planned = [&renew, &commit, &drain].map(|body| planned(body, "alice", &seen));
        assert_eq!(planned, [renewed, committed, drained], "{what}");
    }
}

#[test]
fn of_the_marker_its_absence_ends_the_hold_no_matter_who_wrote_there_last() {
    let mut status = status("external_draining", Some(held_by_alice(false, true)), None);
    status.drain.holds[0].request_id = RequestId::marker();
    let renew = json!({"action": "renew"});
    assert_eq!(planned(&renew, "alice", &seen(Some(status), Found::Absent)), "not_held");
}

#[test]
fn the_marker_is_removed_by_a_cancel_also_where_no_gateway_runs() {
    for found in [lies(FIRST, Request::begin(RequestId::marker(), "alice")), Found::Absent] {
        let what = format!("{found:?}");
        assert_eq!(planned(&json!({"action": "cancel"}), "alice", &seen(None, found)), "remove", "{what}");
    }
}

#[test]
fn the_marker_is_removed_by_a_cancel_and_by_an_override_no_matter_who_wrote_it() {
    for owner in ["alice", "bob", ""] {
        let marked = || {
            let mut status = status("external_draining", Some(json!({"owner": owner, "nonce": FIRST})), None);
            status.drain.holds[0].request_id = RequestId::marker();
            Some(status)
        };
        let found = || lies(FIRST, Request::begin(RequestId::marker(), owner));
        let (cancel, override_hold) = (json!({"action": "cancel"}), json!({"action": "override"}));
        let cancelled = if owner == "bob" { "not_yours" } else { "remove" };
        assert_eq!(planned(&cancel, "alice", &seen(marked(), found())), cancelled, "of {owner:?}");
        assert_eq!(planned(&override_hold, "alice", &seen(marked(), found())), "remove", "of {owner:?}");
    }
}

#[test]
fn that_what_lies_there_is_of_another_epoch_is_told_to_a_renewal_and_a_cancel_finds_nothing() {
    let foreign = || {
        let mut status = status("running", None, None);
        status.drain.ignored.push(Ignored::new("upgrade", IgnoredKind::OtherEpoch, "of another boot"));
        seen(Some(status), Found::Absent)
    };
    let renew = json!({"action": "renew", "request_id": "upgrade"});
    let cancel = json!({"action": "cancel", "request_id": "upgrade"});
    assert_eq!(planned(&renew, "alice", &foreign()), "other_epoch");
    assert_eq!(planned(&cancel, "alice", &foreign()), "not_held");
}

#[test]
fn a_write_is_over_once_nothing_can_become_of_it_in_this_process_or_the_next() {
    for outcome in [Outcome::Held, Outcome::Pending, Outcome::Committed, Outcome::Unknown] {
        assert!(!outcome.is_over(), "{outcome:?}");
    }
    for ending in Ending::ALL {
        assert_eq!(Outcome::Ended(ending).is_over(), ending != Ending::Absorbed, "{ending:?}");
    }
    for why in Denied::ALL {
        assert_eq!(Outcome::Refused(why).is_over(), why != Denied::ShuttingDown, "{why:?}");
    }
    assert!(Outcome::Ignored(crate::hold::NotHonoured::OtherEpoch).is_over());
}

#[test]
fn a_renewal_keeps_what_its_owners_file_says_or_else_what_the_gateway_says_and_nothing_of_anybody_elses() {
    let hold = json!({"owner": "alice", "nonce": FIRST, "reason": "as published", "lease_left_seconds": 600.0});
    let draining = || Some(status("external_draining", Some(hold.clone()), None));
    let written = |owner: &str| lies(FIRST, Request::begin(upgrade(), owner).reason("as written"));
    let request = Request::begin(upgrade(), "alice");
    for (status, found, reason) in [
        (draining(), written("alice"), Some("as written")),
        (None, written("alice"), Some("as written")),
        (draining(), written("bob"), Some("as published")),
        (draining(), Found::Absent, Some("as published")),
        (None, written("bob"), None),
        (Some(status("running", None, None)), Found::Absent, None),
    ] {
        let what = format!("{found:?}");
        let stands = standing_request(&request, &seen(status, found));
        assert_eq!(stands.as_ref().map(|stands| stands.notes.reason.as_str()), reason, "{what}");
    }
}

#[test]
fn a_condition_names_the_last_write_of_the_hold_which_is_the_one_that_lies_there_unless_that_is_no_part_of_it() {
    const STANDS: &str = "the write that stands";
    let of_alice = || Some(json!({"owner": "alice", "nonce": STANDS}));
    let draining = |answer| Some(status("external_draining", of_alice(), answer));
    let ending = |answer| Some(status("shutdown_draining", of_alice(), answer));
    let begin = |owner: &str| lies(FIRST, Request::begin(upgrade(), owner));
    let commit = lies(FIRST, Request::commit(upgrade(), "alice", "here".to_owned().into(), Generation::from(1)));
    let withdraw = lies(FIRST, Request::withdraw(upgrade(), "alice"));
    // Whether a condition is met that names what lies there, and one that names what stands.
    for (action, status, found, lying, standing, what) in [
        ("renew", draining(None), begin("alice"), true, false, "its owner's renewal"),
        ("renew", draining(None), commit, true, false, "its owner's commit"),
        ("renew", draining(None), withdraw, false, true, "a withdrawal is no write of a hold"),
        ("renew", draining(None), begin("bob"), false, true, "somebody else's has no part in it"),
        ("renew", draining(Some(to(FIRST, "refused"))), begin("alice"), false, true, "a refused one neither"),
        ("renew", draining(Some(to(FIRST, "held"))), begin("alice"), true, false, "one that was granted"),
        ("renew", draining(Some(to(OTHER, "refused"))), begin("alice"), true, false, "another one was refused"),
        ("renew", draining(None), Found::Absent, false, true, "nothing lies there"),
        ("renew", Some(status("running", None, None)), begin("bob"), true, false, "it isn't decided yet"),
        ("renew", Some(status("running", None, None)), Found::Absent, false, false, "there is no hold"),
        ("renew", None, begin("alice"), true, false, "there is no gateway"),
        ("cancel", draining(None), begin("alice"), true, false, "a cancel, too, names the last one"),
        ("cancel", ending(None), begin("alice"), true, true, "the shutdown may have refused the last one"),
        ("renew", ending(None), begin("alice"), true, false, "and that is for the cancel alone"),
    ] {
        let seen = seen(status, found);
        let body = json!({"action": action, "request_id": "upgrade"});
        let is_met = |named: &str| is_as_expected(&asked(&body, condition(header::IF_MATCH, named)), &seen);
        let met = [FIRST, STANDS, OTHER].map(|write| is_met(crate::wire::tag(&nonce(write)).as_str()));
        assert_eq!(met, [lying, standing, false], "{what}");
        assert_eq!(is_met("*"), lying || standing, "any write: {what}");
        assert!(is_as_expected(&asked(&body, Condition::default()), &seen), "nothing is demanded: {what}");
    }
    let again = json!({"action": "renew", "request_id": "upgrade", "nonce": FIRST});
    let again = asked(&again, condition(header::IF_MATCH, "\"the one before\""));
    assert!(is_as_expected(&again, &seen(draining(None), begin("alice"))), "it is sent again, and has been written");
    assert!(!is_as_expected(&again, &seen(draining(None), Found::Absent)), "it is sent again, and is gone");
}

#[test]
fn a_hold_that_was_first_seen_at_another_moment_was_begun_again() {
    let at = |moment: u64| Some(json!({"owner": "alice", "nonce": FIRST, "first_seen_millis": moment}));
    let draining = |moment| status("external_draining", at(moment), None);
    let free = || status("running", None, None);
    for (before, after, again) in [
        (Some(draining(5)), draining(5), false),
        (Some(draining(5)), draining(6), true),
        (Some(draining(5)), free(), true),
        (Some(free()), draining(5), false),
        (None, draining(5), false),
    ] {
        let what = format!("{:?} and {:?}", before.as_ref().map(|before| &before.drain.holds), after.drain.holds);
        assert_eq!(was_begun_again(&upgrade(), &seen(before, Found::Absent), &after), again, "{what}");
    }
}

/// A home in which this process lives as a gateway whose statuses the test writes.
struct Place {
    published: Published,
    home: Home,
    /// Kept as long as the home is lived in.
    _lock: HomeLock,
    _folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path());
        let lock = home.lock(&"here".to_owned().into()).unwrap();
        Self { published: Published::new(home.clone(), None), home, _lock: lock, _folder: folder }
    }

    fn publish(&self, status: &Snapshot) {
        let beside = self.home.path().join("status.new");
        std::fs::write(&beside, serde_json::to_vec(status).unwrap()).unwrap();
        std::fs::rename(beside, self.home.status()).unwrap();
    }

    /// Puts a write of alice's there.
    fn write(&self, nonce: &str) {
        let nonce = Some(Nonce::from(nonce.to_owned()));
        let request = Request { nonce, ..Request::begin(upgrade(), "alice") };
        Channel::new(self.home.clone()).write(&request).unwrap();
    }

    /// The nonce of what lies there once that is another than this.
    async fn lies_other_than(&self, nonce: Option<&str>) -> String {
        loop {
            if let Found::Valid(lying) = self.published.found(&upgrade()).await.unwrap()
                && let Some(lies) = &lying.nonce
                && Some(lies.as_str()) != nonce
            {
                return lies.as_str().to_owned();
            }
            tokio::task::yield_now().await;
        }
    }
}

/// A status that has granted this write of alice's, and in which nothing is in flight.
fn granting(nonce: &str) -> Snapshot {
    let hold = json!({"owner": "alice", "nonce": nonce});
    let mut status = status("external_draining", Some(hold), Some(json!({"nonce": nonce, "outcome": "held"})));
    status.drain.drained = true;
    status
}

/// The same, with work in flight.
fn busy(nonce: &str) -> Snapshot {
    let mut status = granting(nonce);
    (status.drain.drained, status.drain.in_flight) = (false, 1);
    status
}

fn asked(body: &Value, condition: Condition) -> Asked {
    let mut asked = Asked::parse(body.to_string().as_bytes()).unwrap();
    asked.condition = condition;
    asked
}

/// Until something is answered that waits for nothing.
const SOON: Duration = Duration::from_millis(50);

#[tokio::test]
async fn a_begin_is_waited_for_where_a_gateway_lives_that_has_published_nothing_yet() {
    let (place, turn) = (Place::new(), Mutex::default());
    let begin = asked(&json!({"action": "drain", "request_id": "upgrade"}), Condition::default());
    let acting = act(&place.published, &turn, &begin, "alice", None);
    let published = async {
        let nonce = place.lies_other_than(None).await;
        tokio::time::sleep(SOON).await;
        place.publish(&granting(&nonce));
    };
    let (answer, ()) = tokio::join!(acting, published);
    assert_eq!(answer.map_err(|problem| problem.fault).unwrap().status(), StatusCode::OK, "it was not waited for");
}

#[tokio::test]
async fn once_the_write_that_lies_there_is_answered_the_next_one_of_its_owner_takes_its_place() {
    let (place, turn) = (Place::new(), Mutex::default());
    place.write(FIRST);
    place.publish(&status("running", None, None));
    let again = asked(&json!({"action": "drain", "request_id": "upgrade"}), Condition::default());
    let gateway = async {
        tokio::time::sleep(SOON).await;
        assert_eq!(place.lies_other_than(None).await, FIRST, "nobody has heard what became of it yet");
        place.publish(&granting(FIRST));
        let second = place.lies_other_than(Some(FIRST)).await;
        tokio::time::sleep(SOON).await;
        place.publish(&granting(&second));
    };
    let acting = act(&place.published, &turn, &again, "alice", Some(Duration::from_secs(10)));
    let (answer, ()) = tokio::join!(acting, gateway);
    let code = answer.map_err(|problem| problem.fault).unwrap().status();
    assert_eq!(code, StatusCode::OK, "the second write came too late to be answered");
}

#[tokio::test]
async fn what_has_changed_since_the_look_is_a_condition_that_is_not_met_and_stays_as_it_is() {
    let (place, turn) = (Place::new(), Mutex::default());
    place.write(FIRST);
    let before = || PriorState { status: None, found: Found::Absent };
    let named = |name, value| Condition::of(&[(name, HeaderValue::from_static(value))].into_iter().collect());
    for (condition, fault) in
        [(named(header::IF_MATCH, "*"), Fault::Changed), (named(header::IF_NONE_MATCH, "*"), Fault::Exists)]
    {
        let begin = asked(&json!({"action": "drain", "request_id": "upgrade"}), condition);
        let request = begin.request("alice").unwrap().unwrap();
        let writing = turn.lock().await;
        let written = write(&place.published, writing, &begin, &before(), request, None, Duration::ZERO).await;
        assert_eq!(written.map(drop).map_err(|problem| problem.fault), Err(fault));
    }
    let cancel = asked(&json!({"action": "cancel", "request_id": "upgrade"}), named(header::IF_MATCH, "*"));
    let removed = remove(&place.published, turn.lock().await, &cancel, &before(), Duration::ZERO).await;
    assert_eq!(removed.map(drop).map_err(|problem| problem.fault), Err(Fault::Changed));
    assert_eq!(place.lies_other_than(None).await, FIRST);
}

#[tokio::test(start_paused = true)]
async fn where_no_gateway_lives_an_answer_waits_only_if_the_request_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (published, turn) = (Published::new(Home::at(folder.path()), None), Mutex::default());
    let begin = asked(&json!({"action": "drain", "request_id": "upgrade"}), Condition::default());
    let said = Duration::from_millis(400);
    for (wait, least, most) in [(None, Duration::ZERO, PATIENCE / 2), (Some(said), said, said * 2)] {
        let asked_at = Instant::now();
        let code =
            act(&published, &turn, &begin, "alice", wait).await.map_err(|problem| problem.fault).unwrap().status();
        assert_eq!(code, StatusCode::ACCEPTED);
        let waited = asked_at.elapsed();
        assert!(least <= waited && waited < most, "it has waited for {waited:?} where the request said {wait:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_waits_for_drained_only_where_the_request_says_so_and_a_cancel_never_does() {
    let (place, turn, wait) = (Place::new(), Mutex::default(), Duration::from_secs(1));
    for (action, wait, waits) in [
        ("drain", None, false),
        ("drain", Some(wait), true),
        ("renew", Some(wait), true),
        ("cancel", Some(wait), false),
    ] {
        let request = asked(&json!({"action": action, "request_id": "upgrade"}), Condition::default());
        place.write(FIRST);
        place.publish(&busy(FIRST));
        let gateway = async {
            let nonce = place.lies_other_than(Some(FIRST)).await;
            let ended =
                || status("running", None, Some(json!({"nonce": nonce, "outcome": "ended", "why": "withdrawn"})));
            place.publish(&if action == "cancel" { ended() } else { busy(&nonce) });
        };
        let asked_at = Instant::now();
        let (answer, ()) = tokio::join!(act(&place.published, &turn, &request, "alice", wait), gateway);
        let code = answer.map_err(|problem| problem.fault).unwrap().status();
        let waited = asked_at.elapsed();
        assert_eq!(code, StatusCode::OK, "{action} {wait:?}");
        assert_eq!(waited >= Duration::from_millis(500), waits, "{action} with {wait:?} was answered after {waited:?}");
    }
}
