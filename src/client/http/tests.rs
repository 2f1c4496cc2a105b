use super::*;
use crate::client::chain::Chain;
use crate::client::held::{CameToNothing, Held, LATE};
use crate::client::stub::{self, Answer, Asked, Reply};
use crate::client::{Drain, Gateway};
use crate::hold::Nonce;
use std::mem;

const STATUS: &str = "GET /api/status ";
const HOLD: &str = "GET /api/gateway/drain/upgrade ";
const HOLDS: &str = "GET /api/gateway/drain ";
const POST: &str = "POST /api/gateway/drain ";

/// An endpoint that gives these answers; each question is sent once.
fn endpoint(answers: &[Answer]) -> (Http, Asked) {
    let (url, asked) = stub::server(answers);
    (Http::new(&url, None).unwrap().once(), asked)
}

fn posted(asked: &Asked) -> Vec<String> {
    asked.lock().iter().filter(|question| question.starts_with(POST)).cloned().collect()
}

fn knows_holds() -> Answer {
    (STATUS, 200, json!({"gateway_state": "running", "gateway_running": true, "active_agents": 0, "drain": {}}))
}

/// What the endpoint says of the hold `upgrade`, and `more`.
fn held(more: &Value) -> Value {
    let gateway = json!({
        "state": "external_draining", "incarnation": "ours", "generation": 1, "in_flight": 0, "internal": 0,
        "drained": false, "stalled": false, "active_work": [],
    });
    let mut said = json!({
        "ok": true, "action": "drain", "request_id": "upgrade", "nonce": "last", "acknowledged": true, "outcome": "held",
        "owner": "ops", "first_seen_millis": 7, "gateway": gateway,
    });
    said.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    said
}

fn problem(code: u16, word: &str) -> Value {
    json!({"status": code, "error": word, "detail": "why"})
}

fn id() -> RequestId {
    RequestId::new("upgrade").unwrap()
}

fn begin(nonce: &str) -> Request {
    Request { nonce: Some(Nonce::from(nonce.to_owned())), ..Request::begin(id(), "ops") }
}

/// The hold whose last write is called so.
fn in_hand(last: &str) -> InHand {
    let last = Nonce::from(last.to_owned());
    InHand { chain: Chain::of(&last), last: Some(last), ..InHand::new() }
}

#[test]
fn nothing_is_asked_of_a_gateway_that_knows_no_holds() {
    let (http, asked) = endpoint(&[(STATUS, 200, json!({"gateway_state": "running"})), (POST, 200, held(&json!({})))]);
    assert!(matches!(http.ready(), Err(Failure::Usage(_))), "{:?}", http.ready());
    assert!(http.begin(&begin("mine")).is_err() && posted(&asked).is_empty(), "{:?}", asked.lock());
    let (http, asked) = endpoint(&[knows_holds()]);
    assert_eq!((http.ready(), http.ready()), (Ok(()), Ok(())));
    assert_eq!(asked.lock().len(), 1, "it is asked once: {:?}", asked.lock());
}

#[test]
fn what_is_found_is_what_the_endpoint_says_of_the_hold() {
    let find = |more: Value| {
        let (http, _) = endpoint(&[knows_holds(), (HOLD, 200, held(&more))]);
        http.find(&id(), "ops").unwrap().unwrap()
    };
    let found = find(json!({"reason": "a new kernel", "deadline_seconds": 90.0}));
    assert_eq!((found.request.nonce, found.request.owner), (Some(Nonce::from("last".to_owned())), "ops".to_owned()));
    assert_eq!(found.request.deadline, Some(Duration::from_secs(90)));
    assert_eq!(found.request.notes.reason, "a new kernel");
    assert_eq!((found.committed, found.first_seen), (false, Some(7)));
    assert!(find(json!({"outcome": "committed"})).committed);
    assert_eq!(find(json!({"first_seen_millis": 0})).first_seen, None, "0 is no time at which a hold was seen");
    assert_eq!(find(json!({"first_seen_millis": 1})).first_seen, Some(1));
}

#[test]
fn a_hold_that_is_there_is_begun_again_by_the_same_write_alone_and_not_once_it_is_committed() {
    let begun = |more: &Value, nonce: &str| {
        let (http, asked) = endpoint(&[knows_holds(), (HOLD, 200, held(more)), (POST, 200, held(more))]);
        (http.begin(&begin(nonce)).map(|sent| sent.nonce.to_string()), posted(&asked).len())
    };
    assert_eq!(begun(&json!({}), "last"), (Ok("last".to_owned()), 1), "the same write");
    let (other, sent) = begun(&json!({}), "mine");
    assert_eq!((other, sent), (Err(crate::client::files::held_already(&id())), 0), "another write");
    let (committed, sent) = begun(&json!({"outcome": "committed"}), "last");
    assert_eq!((committed, sent), (Err(Denied::Committed.into()), 0), "the same write, committed since");
}

#[test]
fn of_a_begin_that_was_denied_nothing_is_given_up() {
    let (url, asked) =
        stub::server(&[knows_holds(), (HOLD, 404, problem(404, "not_held")), (POST, 409, problem(409, "not_yours"))]);
    let drain = Drain::of(Gateway::over_http(&url, None).unwrap(), "ops").id(id()).patience(Duration::from_secs(5));
    let denied = Held::begin_and_tell(drain.clone(), &drain.interrupt).map(drop).expect_err("it is another's");
    assert!(matches!(denied.failure, Failure::Denied(_)) && denied.given_up.is_ok(), "{denied:?}");
    let asked = asked.lock();
    assert!(asked.last().is_some_and(|last| last.starts_with(POST)), "more was asked after it: {asked:?}");
}

/// What comes of beginning the hold, or taking it up, if nobody answers to what is asked for.
fn unanswered(hold: (u16, Value), change: impl FnOnce(Drain) -> Drain) -> CameToNothing {
    let (url, _) = stub::replying(move |question| {
        let (code, said) = match question {
            _ if question.starts_with(STATUS) => (200, knows_holds().2),
            _ if question.starts_with(HOLD) => hold.clone(),
            _ if question.contains("\"cancel\"") => (404, problem(404, "not_held")),
            _ => (502, json!("no gateway")),
        };
        Reply::Whole(code, said.to_string())
    });
    let drain = change(Drain::of(Gateway::over_http(&url, None).unwrap(), "ops").id(id()).patience(Duration::ZERO));
    Held::begin_and_tell(drain.clone(), &drain.interrupt).map(drop).expect_err("nobody answers")
}

#[test]
fn a_begin_without_an_answer_may_still_arrive() {
    let nothing = unanswered((404, problem(404, "not_held")), |drain| drain);
    assert!(nothing.sent, "{nothing:?}");
    assert_eq!(nothing.given_up, Err(Failure::Unreachable(LATE.into())));
}

#[test]
fn a_begin_that_was_answered_and_given_up_does_not_arrive_any_more() {
    let mut begun = false;
    let (url, asked) = stub::replying(move |question| {
        let (code, said) = match question {
            _ if question.starts_with(STATUS) => (200, knows_holds().2),
            _ if question.starts_with(HOLD) && mem::take(&mut begun) => (502, json!("no gateway")),
            _ if question.starts_with(HOLD) || question.contains("\"cancel\"") => (404, problem(404, "not_held")),
            _ => (202, held(&json!({"acknowledged": false}))),
        };
        begun |= question.contains("\"drain\"");
        Reply::Whole(code, said.to_string())
    });
    let drain = Drain::of(Gateway::over_http(&url, None).unwrap(), "ops").id(id()).patience(Duration::ZERO);
    let nothing = Held::begin_and_tell(drain.clone(), &drain.interrupt).map(drop).expect_err("nobody acknowledges it");
    assert!(nothing.sent, "{nothing:?}");
    assert_eq!(nothing.given_up, Ok(()), "{:?}", asked.lock());
}

#[test]
fn a_hold_that_was_taken_up_and_could_not_be_renewed_is_left_as_it_is() {
    let nothing = unanswered((200, held(&json!({}))), Drain::or_attach);
    assert_eq!(nothing.given_up, Ok(()), "it is another session's");
}

#[test]
fn a_write_is_sent_again_until_the_gateway_has_acknowledged_it() {
    for acknowledged in [true, false] {
        let (http, _) = endpoint(&[knows_holds(), (POST, 200, held(&json!({"acknowledged": acknowledged})))]);
        let sent = http.renew(&begin("mine"), &in_hand("last")).unwrap();
        assert_eq!((sent.answered, sent.repeat), (acknowledged, !acknowledged));
    }
}

#[test]
fn a_renewal_of_what_another_hand_has_written_ends_where_that_committed_or_began_another_hold() {
    let renewed = |more: Value| {
        let (http, asked) = endpoint(&[knows_holds(), (POST, 412, problem(412, "changed")), (HOLD, 200, held(&more))]);
        (http.renew(&begin("mine"), &in_hand("last")).map(drop), posted(&asked).len())
    };
    let (committed, sent) = renewed(json!({"outcome": "committed"}));
    assert_eq!((committed, sent), (Err(Denied::Committed.into()), 1), "committed");
    let (other, sent) = renewed(json!({"nonce": "other"}));
    assert_eq!((other, sent), (Err(another()), 1), "another hold");
    let (ours, sent) = renewed(json!({"nonce": "last.other"}));
    assert_eq!((ours, sent), (Err(NegativeAnswer::Changed.into_failure()), LOOKS), "written by two hands");
}

#[test]
fn a_hold_of_which_nothing_is_heard_is_not_withdrawn_and_one_that_was_seen_is_by_its_last_write() {
    let end = |hold: (u16, Value), code: u16, request: &Request| {
        let (http, asked) = endpoint(&[knows_holds(), (HOLD, hold.0, hold.1), (POST, code, held(&json!({})))]);
        (http.end(request, Some(&in_hand("last"))), posted(&asked))
    };
    let (withdrawal, token) = (Request::withdraw(id(), "ops"), Some(Nonce::from("token".to_owned())));
    let (silent, sent) = end((502, Value::Null), 200, &withdrawal);
    assert!(matches!(silent, Err(Failure::Unreachable(_))) && sent.is_empty(), "{silent:?} {sent:?}");
    for (code, expected) in [(200, Withdrawal::Done), (202, Withdrawal::Written)] {
        let (ended, sent) = end((200, held(&json!({}))), code, &withdrawal);
        assert_eq!(ended, Ok(expected), "{code}");
        assert!(sent[0].contains("if-match: \"last\""), "{}", sent[0]);
    }
    let (ended, sent) = end((200, held(&json!({"outcome": "committed"}))), 200, &Request { token, ..withdrawal });
    assert_eq!(ended, Ok(Withdrawal::Done));
    assert!(!sent[0].contains("if-match"), "of a commit the token says enough: {}", sent[0]);
}

#[test]
fn a_hold_has_ended_once_the_endpoint_knows_none() {
    let withdrawal = Request::withdraw(id(), "ops");
    let ended = |code, said| endpoint(&[(HOLD, code, said)]).0.has_ended(&withdrawal);
    assert_eq!(ended(200, held(&json!({}))), Ok(false), "it stands");
    assert_eq!(ended(404, problem(404, "not_held")), Ok(true));
    assert_eq!(ended(502, Value::Null), Ok(false), "nothing is heard");
}

#[test]
fn an_answer_counts_as_a_status_or_a_list_of_holds_only_with_its_fields() {
    let (http, _) = endpoint(&[(STATUS, 200, json!({"hello": "world"}))]);
    assert!(matches!(http.public_status(), Err(Failure::Unreachable(_))), "a page of somebody else's");
    for (listed, expected) in [(json!({"holds": []}), json!([])), (json!({"hello": "world"}), Value::Null)] {
        let (http, _) = endpoint(&[knows_holds(), (HOLDS, 200, listed)]);
        assert_eq!(http.status().unwrap().drain.unwrap()["holds"], expected);
    }
}

#[test]
fn the_marker_is_put_by_an_answer_that_says_so_of_that_very_action() {
    let put = |said: Value| endpoint(&[(POST, 200, said)]).0.marker(Verb::Drain, false);
    let (this, other) = (Verb::Drain.word(), Verb::Cancel.word());
    assert_eq!(put(json!({"ok": true, "action": this})), Ok(()));
    for foreign in [json!({"ok": true, "action": other}), json!({"ok": false, "action": this}), json!({})] {
        let put = put(foreign.clone());
        assert!(matches!(put, Err(Failure::Unreachable(_))), "{foreign}: {put:?}");
    }
}

#[test]
fn an_answer_is_waited_for_ahead_where_there_is_time_for_it_and_seldom() {
    let mut http = Http::new("http://127.0.0.1:1", None).unwrap();
    let millisecond = Duration::from_millis(1);
    assert!(!http.may_ask_ahead(SHORT), "nothing tells that it knows holds");
    http.shared.knows_holds.store(true, Ordering::Relaxed);
    assert!(http.may_ask_ahead(SHORT) && !http.may_ask_ahead(SHORT.saturating_sub(millisecond)));
    for (limit, expected) in [(AHEAD.saturating_sub(millisecond), false), (AHEAD, false), (AHEAD + millisecond, true)] {
        http.endpoint_mut().be_patient_for(limit);
        assert_eq!(http.may_ask_ahead(SHORT), expected, "no answer is waited for longer than {limit:?}");
    }
    let now = Instant::now();
    let due = |outstanding, at| LongPoll { outstanding, at }.is_due(now + SELDOM);
    assert!(due(false, None) && due(false, Some(now)), "the last question was long ago");
    assert!(!due(true, None) && !due(true, Some(now)), "one has no answer yet");
    assert!(!due(false, Some(now + millisecond)), "the last question was just now");
}

#[test]
fn while_it_pauses_it_asks_the_endpoint_to_answer_once_it_is_drained() {
    let (http, asked) = endpoint(&[knows_holds(), (HOLD, 200, held(&json!({})))]);
    http.ready().unwrap();
    // The answer ends it.
    http.pause(&id(), &Interrupt::new(), Duration::from_secs(60));
    assert!(http.shared.ahead.lock().at.is_some(), "nothing was asked");
    let last = asked.lock().last().cloned().unwrap();
    assert!(last.starts_with(HOLD) && last.contains("prefer: wait=2"), "{last}");
}

#[test]
fn a_pause_lasts_for_its_time_unless_an_answer_has_come() {
    let http = Http::new("http://127.0.0.1:1", None).unwrap();
    let (began, time) = (Instant::now(), Duration::from_millis(10));
    http.pause(&id(), &Interrupt::new(), time);
    assert!(began.elapsed() >= time, "no answer came, and it ended after {:?}", began.elapsed());
    http.shared.answered.store(true, Ordering::Release);
    let (began, time) = (Instant::now(), Duration::from_secs(60));
    http.pause(&id(), &Interrupt::new(), time);
    assert!(began.elapsed() < time, "an answer came, and it paused all the same");
}

#[cfg(feature = "fleet")]
#[test]
fn a_gateway_is_ready_by_the_word_of_its_own_probe_alone() {
    let unready = |code, body: &str| endpoint(&[("GET /readyz ", code, body.into())]).0.unready();
    assert_eq!(unready(200, "ready\n"), Ok(()));
    for (code, body, says) in [
        (503, "draining\nthe home is lost\n", "/readyz answers 503: draining, the home is lost"),
        (503, "ready", "/readyz answers 503: ready"),
        (200, "welcome", "/readyz answers 200: welcome"),
    ] {
        let said = unready(code, body).unwrap_err();
        assert!(matches!(&said, Failure::Unreachable(why) if why.ends_with(says)), "{code} {body:?}: {said}");
    }
}
