//! The example gateway as a process, driven as an operator would: by `touch`, `rm`, HTTP and signals.

use crate::support::eventually::comes_true;
use crate::support::process::{GatewayProcess, examples};
use gateway_drain::Snapshot;
use gateway_drain::status::GatewayState;
use serde_json::{Value, json};
use std::process::Command;
use std::time::{Duration, Instant};

#[test]
fn a_drain_by_touch_and_rm_cuts_off_no_turn_and_refuses_every_later_one() {
    let gateway = GatewayProcess::in_fresh_home(&["--tick-ms", "20"]);
    assert_eq!(gateway.status()["gateway_state"], "running");

    // Long enough that a busy machine has come to look before it ends.
    let turn = gateway.turn(6000);
    gateway.touch_marker();
    comes_true("the status is draining with 1", || {
        let status = gateway.status();
        status["gateway_state"] == "draining" && status["active_agents"] == 1
    });
    assert_eq!(gateway.status()["drain"]["drained"], false);

    let mut refused = gateway.post("/turns", r#"{"session": "s2", "millis": 100}"#);
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["content-type"], "application/problem+json");
    assert!(refused.headers().contains_key("retry-after"));
    let problem: Value = serde_json::from_str(&refused.body_mut().read_to_string().unwrap()).unwrap();
    assert!(problem["detail"].as_str().unwrap().contains("draining"), "{problem}");

    turn.ends_whole();
    comes_true("the status is drained", || {
        let status = gateway.status();
        status["active_agents"] == 0 && status["drain"]["drained"] == true
    });

    gateway.rm_marker();
    comes_true("the status is running", || gateway.status()["gateway_state"] == "running");
    assert!(gateway.turn(150).text().ends_with("done\n"));
}

#[test]
fn a_drain_over_http_is_answered_with_what_the_gateway_acknowledged() {
    let gateway = GatewayProcess::in_fresh_home(&[]);
    let ask = |body: &str| -> (u16, Value) {
        let mut response = gateway.post("/api/gateway/drain", body);
        let text = response.body_mut().read_to_string().unwrap();
        (response.status().as_u16(), serde_json::from_str(&text).unwrap())
    };
    let (code, answer) = ask(r#"{"action": "drain", "suppress_notification": true}"#);
    assert_eq!(
        (code, &answer["ok"], &answer["action"], &answer["draining"]),
        (200, &json!(true), &json!("drain"), &json!(true))
    );
    assert_eq!(answer["suppress_notification"], true);
    assert!(answer["requested_at"].is_string());
    assert_eq!(Snapshot::read(&gateway.named_home()).unwrap().gateway_state, GatewayState::Draining);
    assert_eq!(gateway.get("/livez").0, 200, "a draining gateway lives");
    assert_eq!(gateway.get("/readyz"), (503, "state: external_draining\n".to_owned()));

    assert_eq!(ask(r#"{"action": "cancel"}"#), (200, json!({"ok": true, "action": "cancel", "was_draining": true})));
    assert_eq!(ask(r#"{"action": "cancel"}"#), (200, json!({"ok": true, "action": "cancel", "was_draining": false})));
    assert_eq!(gateway.get("/readyz").0, 200);

    for body in ["{", "[]", "7", r#"{"action": "dain"}"#, r#"{"action": 1}"#, "\u{0}"] {
        assert_eq!(ask(body).0, 400, "{body:?} begins nothing");
    }
    assert_eq!(gateway.status()["gateway_state"], "running");
    assert_eq!(ask("{}").0, 200, "a body that says nothing begins, as in the reference");
    assert_eq!(gateway.status()["gateway_state"], "draining");
}

#[test]
fn a_client_that_goes_away_gives_its_permit_back() {
    let gateway = GatewayProcess::in_fresh_home(&[]);
    let turn = gateway.post("/turns", r#"{"session": "s1", "millis": 60000}"#);
    assert_eq!(gateway.status()["active_agents"], 1);
    drop(turn);
    comes_true("the turn has ended with its response", || gateway.status()["active_agents"] == 0);
}

#[test]
fn a_shutdown_waits_for_the_turn_in_flight_and_says_that_it_finished() {
    let gateway = GatewayProcess::in_fresh_home(&[]);
    let turn = gateway.turn(800);
    gateway.terminate();
    assert!(turn.text().ends_with("done\n"));
    let (code, printed, last) = gateway.ends();
    assert_eq!(code, Some(0), "{printed}");
    assert_eq!(last.gateway_state, GatewayState::Stopped);
}

#[test]
fn a_shutdown_past_its_deadline_interrupts_the_turn_and_says_that_it_did_not_finish() {
    let gateway = GatewayProcess::in_fresh_home(&["--deadline-ms", "300"]);
    let turn = gateway.turn(60_000);
    gateway.terminate();
    assert!(turn.text().ends_with("interrupted\n"));
    let (code, printed, last) = gateway.ends();
    assert_eq!(code, Some(3), "{printed}");
    assert!(printed.contains("1 interrupted, 0 abandoned"), "{printed}");
    assert_eq!(last.gateway_state, GatewayState::Stopped);
}

#[test]
fn a_second_sigterm_forces() {
    let gateway = GatewayProcess::in_fresh_home(&[]);
    let _turn = gateway.turn(60_000);
    gateway.terminate();
    comes_true("the shutdown has begun", || gateway.status()["drain"]["state"] == "shutdown_draining");
    // What follows within a second belongs to the same request.
    let began = Instant::now();
    comes_true("a second is over", || began.elapsed() > Duration::from_millis(1200));
    gateway.terminate();
    let (code, printed, last) = gateway.ends();
    assert_eq!(code, Some(3), "{printed}");
    assert!(began.elapsed() < Duration::from_secs(20), "it waited for its deadline");
    assert!(printed.contains("0 interrupted, 1 abandoned"), "{printed}");
    assert_eq!(last.gateway_state, GatewayState::Stopped);
}

#[test]
fn a_shutdown_during_a_drain_wins_over_it() {
    let gateway = GatewayProcess::in_fresh_home(&["--tick-ms", "20"]);
    let turn = gateway.turn(800);
    gateway.touch_marker();
    gateway.until("draining", |s| s.gateway_state == GatewayState::Draining);
    gateway.terminate();
    gateway.rm_marker();
    assert!(turn.text().ends_with("done\n"));
    let (code, printed, last) = gateway.ends();
    assert_eq!((code, last.gateway_state), (Some(0), GatewayState::Stopped), "{printed}");
}

#[test]
fn a_second_gateway_on_the_same_home_stops_at_once_with_a_clear_error() {
    let gateway = GatewayProcess::in_fresh_home(&[]);
    let second = Command::new(examples().join("gateway"))
        .args(["--listen", "127.0.0.1:0", "--home"])
        .arg(&gateway.home)
        .output();
    let second = second.unwrap();
    assert_eq!(second.status.code(), Some(1));
    let error = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(error.contains("another gateway runs in"), "{error}");
    assert_eq!(gateway.status()["gateway_state"], "running", "the first one is not disturbed");
}
