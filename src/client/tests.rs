use super::published::{self, fresh, publish};
use super::token_store::{Record, StoredRecord};
use super::*;
use crate::control::Home;
use crate::state::DrainState;
use crate::status::DrainStatus;
use serde_json::json;
use std::time::Instant;

/// A drain that asks nobody.
fn drain() -> Drain {
    Drain::of(Gateway::at(Home::at("/nowhere")), "ops")
}

#[test]
fn a_lease_under_a_second_and_an_act_without_time_are_refused() {
    let check = |drain: Drain| drain.id(RequestId::new("upgrade").unwrap()).check();
    let just_less = LeasePolicy::MIN.saturating_sub(Duration::from_nanos(1));
    assert!(matches!(check(drain().lease(just_less)), Err(Failure::Usage(why)) if why.starts_with("a lease of 0.99")));
    assert_eq!(check(drain().lease(LeasePolicy::MIN)), Ok(()));
    assert!(matches!(check(drain().act_within(Duration::ZERO)), Err(Failure::Usage(_))));
    assert_eq!(check(drain().act_within(Duration::from_nanos(1))), Ok(()));
    assert_eq!(check(drain()), Ok(()));
}

#[test]
fn what_is_longer_than_a_gateway_grants_is_told_of() {
    let (policy, second) = (LeasePolicy::default(), Duration::from_secs(1));
    let clamped = |lease, delay| drain().lease(lease).unready_delay(delay).clamped();
    assert_eq!(clamped(policy.max, policy.max_unready_delay), Vec::<String>::new());
    let (longer, delay) = (policy.max + second, policy.max_unready_delay + second);
    let says = |what: &str, asked: Duration, limit: Duration| {
        let (asked, limit) = (asked.as_secs(), limit.as_secs());
        format!("{what} of {asked} s is longer than a gateway grants by default: {limit} s")
    };
    assert_eq!(clamped(longer, Duration::ZERO), [says("a lease", longer, policy.max)]);
    assert_eq!(clamped(second, delay), [says("an unready delay", delay, policy.max_unready_delay)]);
}

#[test]
fn the_owner_of_a_token_goes_on_after_any_failure_and_others_only_while_nothing_is_heard() {
    let (silent, denied) = (Failure::Unreachable(String::new()), Failure::Denied(String::new()));
    let goes_on = |insists, failure| Limits { time: Duration::ZERO, insists }.goes_on_after(failure);
    assert!(goes_on(true, &silent) && goes_on(true, &denied) && goes_on(false, &silent));
    assert!(!goes_on(false, &denied));
}

#[test]
fn a_hold_is_given_up_by_the_token_among_those_kept_that_its_commit_bears() {
    let (place, home, _lock) = published::home();
    let id = RequestId::new("upgrade").unwrap();
    let drain = Drain::of(Gateway::at(home.clone()), "ops").id(id.clone()).patience(Duration::ZERO);
    let drain = drain.keeping_tokens_in(place.path().join("tokens"));
    let (store, gateway) = (drain.token_store().unwrap(), drain.gateway.name());
    let kept = ["one", "two", "three"].map(|token| {
        let token = Nonce::from(token.to_owned());
        store.keep(Record { gateway: gateway.clone(), request_id: id.clone(), owner: "ops".into(), token }).unwrap()
    });
    // Whichever of them is tried first.
    for StoredRecord { record, .. } in &kept {
        let hold = json!({"request_id": "upgrade", "owner": "ops", "committed": true, "token": record.token});
        let holds = vec![serde_json::from_value(hold).unwrap()];
        publish(&home, &DrainStatus { state: DrainState::ExternalDraining, holds, ..fresh() });
        let cancelled = drain.withdraw(None);
        let says = "the withdrawal is written, and no gateway has noticed it";
        assert!(matches!(&cancelled, Err(Failure::Unreachable(why)) if why.starts_with(says)), "{cancelled:?}");
        std::fs::remove_file(home.request_path(&id)).unwrap();
    }
}

#[test]
fn a_gateway_is_known_by_its_whole_path_or_by_its_address() {
    let place = tempfile::tempdir().unwrap();
    let whole = place.path().canonicalize().unwrap();
    let by_the_way = place.path().join("..").join(place.path().file_name().unwrap());
    for path in [place.path(), &by_the_way] {
        assert_eq!(Gateway::at(Home::at(path)).name(), format!("home {}", whole.display()));
    }
    let over_http = Gateway::over_http("http://127.0.0.1:1/", None).unwrap();
    assert_eq!(over_http.name(), "url http://127.0.0.1:1");
}

#[test]
fn a_pause_ends_when_the_gateway_publishes_and_no_sooner_than_its_time_where_it_does_not() {
    let (_place, home, _lock) = published::home();
    let (id, gateway, interrupt) = (RequestId::new("upgrade").unwrap(), Gateway::at(home.clone()), Interrupt::new());
    publish(&home, &fresh());
    let before = gateway.glance();
    let (began, time) = (Instant::now(), Duration::from_millis(10));
    gateway.pause(&id, &interrupt, &before, time);
    assert!(began.elapsed() >= time, "nothing was published, and it ended after {:?}", began.elapsed());
    publish(&home, &DrainStatus { in_flight: 100, ..fresh() });
    let (began, time) = (Instant::now(), Duration::from_secs(60));
    gateway.pause(&id, &interrupt, &before, time);
    assert!(began.elapsed() < time, "another status was published, and the pause went on");
}

#[test]
fn a_patience_and_an_interrupt_are_for_what_is_asked_over_http() {
    // A port that nobody listens at.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut gateway = Gateway::over_http(&format!("http://127.0.0.1:{port}"), None).unwrap();
    let interrupt = Interrupt::new();
    interrupt.raise();
    gateway.be_interrupted_by(interrupt);
    gateway.be_patient_for(Duration::from_secs(5));
    let asked = gateway.incarnation();
    assert!(matches!(asked, Err(Failure::Interrupted)), "it was interrupted: {asked:?}");
    gateway.be_patient_for(Duration::ZERO);
    let asked = gateway.incarnation();
    assert!(matches!(asked, Err(Failure::Unreachable(_))), "no patience is left: {asked:?}");
}

#[cfg(feature = "fleet")]
#[test]
fn that_a_gateway_is_unready_is_known_of_one_that_is_asked_over_http() {
    let unready = |code, said: &str| {
        let (url, _) = stub::server(&[("GET /readyz ", code, said.into())]);
        Gateway::over_http(&url, None).unwrap().unready()
    };
    assert_eq!(unready(200, "ready\n"), Ok(()));
    assert!(unready(503, "draining\n").is_err());
    let place = tempfile::tempdir().unwrap();
    assert_eq!(Gateway::at(Home::at(place.path())).unready(), Ok(()), "files say nothing of it");
}

#[test]
fn a_begin_that_is_interrupted_before_it_is_sent_has_asked_the_gateway_for_nothing() {
    let (url, asked) = stub::server(&[]);
    let interrupt = Interrupt::new();
    interrupt.raise();
    let drain = Drain::of(Gateway::over_http(&url, None).unwrap(), "ops").interrupt(interrupt);
    let nothing = Held::begin_or_give_up(drain.clone(), &drain.interrupt).unwrap_err();
    assert_eq!((nothing.failure, nothing.sent, nothing.given_up), (Failure::Interrupted, false, Ok(())));
    assert!(!asked.lock().iter().any(|question| question.starts_with("POST")), "{:?}", asked.lock());
}

#[test]
fn for_the_status_of_a_gateway_where_nobody_listens_nobody_waits_longer_than_a_restart_takes() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut gateway = Gateway::over_http(&format!("http://127.0.0.1:{port}"), None).unwrap();
    gateway.be_patient_for(Duration::from_secs(3600));
    let asked = gateway.status();
    assert!(matches!(asked, Err(Failure::Unreachable(_))), "{asked:?}");
}
