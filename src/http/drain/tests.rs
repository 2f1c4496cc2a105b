use super::*;
use serde_json::{Value, json};

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
