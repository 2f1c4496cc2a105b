use super::super::conditional::Condition;
use super::*;
use crate::control::{Channel, Home, HomeLock};
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
