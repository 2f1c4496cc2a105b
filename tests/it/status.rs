//! The published status: what it says, when it is written, and what others read out of it.

use crate::support::eventually::until;
use gateway_drain::controller::Settings;
use gateway_drain::hold::{Ending, Outcome};
use gateway_drain::reconciler::Options;
use gateway_drain::status::{DrainStatus, GatewayState, Readout};
use gateway_drain::{Channel, Clock, Home, Reconciler, Request, RequestId, Snapshot};
use serde_json::{Value, json};
use std::time::Duration;
use tempfile::TempDir;

fn start(clock: &Clock) -> (TempDir, Channel, Reconciler) {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path());
    let settings = Settings { clock: clock.clone(), ..Settings::default() };
    let options = Options { tick: Duration::from_secs(3600), events: false, settings, ..Options::default() };
    let gateway = Reconciler::start(home.clone(), options).unwrap();
    (folder, Channel::new(home), gateway)
}

fn drain(channel: &Channel, gateway: &Reconciler) -> Snapshot {
    channel.write(&Request::begin(RequestId::marker(), "ops").reason("upgrade")).unwrap();
    gateway.kick();
    until(channel.home(), "draining", |s| s.gateway_state == GatewayState::Draining)
}

#[test]
fn it_has_the_reference_s_fields_at_the_top_and_the_rest_under_drain() {
    let (_folder, channel, gateway) = start(&Clock::boot());
    gateway.describe(|description| {
        description.kind = "hermes-gateway".into();
        description.platforms.insert("telegram".into(), "connected".into());
    });
    until(channel.home(), "the description", |s| s.description.kind == "hermes-gateway");
    let status: Value = serde_json::from_slice(&std::fs::read(channel.home().status()).unwrap()).unwrap();
    let fields: Vec<&str> = status.as_object().unwrap().keys().map(String::as_str).collect();
    let reference = ["gateway_state", "active_agents", "pid", "start_time", "kind", "argv", "restart_requested"];
    for field in reference.into_iter().chain(["exit_reason", "platforms", "updated_at", "drain"]) {
        assert!(fields.contains(&field), "{field} is missing from {fields:?}");
    }
    assert_eq!(fields.len(), 11, "{fields:?}");
    assert_eq!(status["gateway_state"], "running");
    assert_eq!(status["pid"], std::process::id());
    assert_eq!(status["platforms"]["telegram"], "connected");
}

#[test]
fn entering_publishes_draining_with_the_live_count_and_entering_twice_publishes_it_once() {
    let (_folder, channel, gateway) = start(&Clock::boot());
    let turn = gateway.gate().admit().unwrap();
    let status = drain(&channel, &gateway);
    assert_eq!((status.active_agents, status.drain.in_flight, status.drain.drained), (Some(1), 1, false));
    // A status that says nothing new is not written: the next one is the one that says drained.
    gateway.kick();
    drop(turn);
    let drained = until(channel.home(), "drained", |s| s.drain.drained);
    assert_eq!(drained.drain.revision, status.drain.revision + 1);
}

#[test]
fn the_last_release_is_published_without_waiting_for_a_tick() {
    let (_folder, channel, gateway) = start(&Clock::boot());
    let turn = gateway.gate().admit().unwrap();
    drain(&channel, &gateway);
    drop(turn);
    until(channel.home(), "drained", |s| s.drain.drained && s.active_agents == Some(0));
}

#[test]
fn exiting_publishes_running_and_the_end_publishes_stopped() {
    let (_folder, channel, gateway) = start(&Clock::boot());
    drain(&channel, &gateway);
    channel.remove(&RequestId::marker()).unwrap();
    gateway.kick();
    until(channel.home(), "running", |s| s.gateway_state == GatewayState::Running);
    gateway.controller().begin_shutdown(Duration::from_secs(60)).unwrap();
    drop(gateway);
    let last = Snapshot::read(channel.home()).unwrap();
    assert_eq!(last.gateway_state, GatewayState::Stopped);
}

#[test]
fn a_waiter_is_told_what_holds_the_gate_and_what_is_waited_for() {
    let (_folder, channel, gateway) = start(&Clock::boot());
    let _turn = gateway.gate().admit().unwrap().into_owned().labelled("turn", "session 7");
    let status = drain(&channel, &gateway);
    let hold = &status.drain.holds[0];
    assert_eq!(
        (hold.request_id.as_str(), hold.owner.as_str(), hold.notes.reason.as_str()),
        ("marker", "ops", "upgrade")
    );
    assert!(hold.lease_left_seconds.unwrap() > 3500.0);
    let work = &status.drain.active_work[0];
    assert_eq!((work.kind.as_str(), work.label.as_str()), ("turn", "session 7"));
}

#[test]
fn a_drain_in_which_nothing_ends_for_a_minute_is_said_to_be_stalled_until_something_does() {
    let clock = Clock::manual();
    let (_folder, channel, gateway) = start(&clock);
    let (first, _second) = (gateway.gate().admit().unwrap(), gateway.gate().admit().unwrap());
    assert!(!drain(&channel, &gateway).drain.stalled);
    clock.advance(Duration::from_secs(60));
    gateway.kick();
    until(channel.home(), "stalled", |s| s.drain.stalled);
    drop(first);
    gateway.kick();
    until(channel.home(), "progress", |s| !s.drain.stalled && s.drain.in_flight == 1);
}

#[test]
fn a_hold_that_is_about_to_close_the_gate_fails_readiness_while_the_state_is_running() {
    let clock = Clock::manual();
    let (_folder, channel, gateway) = start(&clock);
    let id = RequestId::new("soon").unwrap();
    channel.write(&Request::begin(id, "ops").unready_delay(Duration::from_secs(10))).unwrap();
    gateway.kick();
    let status = until(channel.home(), "pending", |s| s.drain.pending);
    assert_eq!(status.gateway_state, GatewayState::Running);
    assert!(status.drain.holds[0].pending, "{:?}", status.drain.holds);
    assert_eq!(gateway.unready(), ["a hold is about to close the gate"]);
    drop(gateway.gate().admit().expect("running admits"));
    clock.advance(Duration::from_secs(10));
    assert_ne!(gateway.unready(), [""; 0], "the delay is over, and the gate has yet to close");
    gateway.kick();
    until(channel.home(), "draining", |s| s.gateway_state == GatewayState::Draining && !s.drain.pending);
}

#[test]
fn it_survives_a_round_trip_to_the_letter() {
    let (_folder, channel, gateway) = start(&Clock::boot());
    let published = drain(&channel, &gateway);
    let again: Snapshot = serde_json::from_value(serde_json::to_value(&published).unwrap()).unwrap();
    assert_eq!(again, published);
}

#[test]
fn of_the_first_format_the_moments_of_each_hold_in_a_file_are_read_from_the_hold_itself() {
    let moments = |first_seen: u64| json!({"first_seen": first_seen, "closes_at": first_seen + 1, "expires_at": first_seen + 2, "committed_at": null});
    let hold = |name: &str, moments: &Value| json!({"request_id": name, "since_boot_millis": moments});
    let mut in_process = hold("call", &moments(3000));
    in_process["source"] = "process".into();
    let mut in_file = hold("upgrade", &moments(2000));
    in_file["source"] = "file".into();
    let holds = json!([hold("marker", &moments(1000)), in_file, in_process, {"request_id": "without"}]);
    let read = |said: Value| {
        let mut status = json!({"drain": {"state": "external_draining", "holds": holds}});
        status["drain"].as_object_mut().unwrap().extend(said.as_object().unwrap().clone());
        Snapshot::from_bytes(status.to_string().as_bytes()).unwrap().drain
    };
    let first_seen = |drain: &DrainStatus| drain.holds.iter().map(|hold| hold.first_seen_millis).collect::<Vec<_>>();
    for of_the_first in [json!({}), json!({"format": null})] {
        let drain = read(of_the_first);
        assert_eq!(first_seen(&drain), [1000, 2000, 3000, 0]);
        let takeover = serde_json::to_value(&drain.takeover).unwrap();
        let names: Vec<&String> = takeover.as_object().unwrap().keys().collect();
        assert_eq!(names, ["marker", "upgrade"], "what is kept in the process ends with it");
        let times = [&takeover["upgrade"]["closes_at"], &takeover["upgrade"]["expires_at"]];
        assert_eq!(times, [2001, 2002]);
    }
    assert_eq!(first_seen(&read(json!({"format": 2}))), [0; 4], "a later format says it elsewhere");
}

#[test]
fn the_public_readouts_are_derived_from_the_status_and_from_whether_the_process_lives() {
    let (_folder, channel, gateway) = start(&Clock::boot());
    let _turn = gateway.gate().admit().unwrap();
    let busy = gateway.snapshot();
    let of = |snapshot: &Snapshot, live| {
        let readout = Readout::of(Some(snapshot), live, None);
        (readout.gateway_running, readout.gateway_busy, readout.gateway_drainable, readout.active_agents)
    };
    assert_eq!(of(&busy, true), (true, true, true, Some(1)));
    assert_eq!(of(&busy, false), (false, false, false, Some(0)), "a dead process has nothing in flight");
    let draining = drain(&channel, &gateway);
    assert_eq!(of(&draining, true), (true, false, false, Some(1)), "as the reference defines busy");
    let none = Readout::of(None, false, None);
    assert_eq!((none.gateway_running, none.gateway_state, none.active_agents), (false, None, Some(0)));
}

#[test]
fn a_reader_never_sees_it_torn_while_the_gateway_drains_and_reopens() {
    let (_folder, channel, gateway) = start(&Clock::boot());
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for _ in 0..100 {
                drain(&channel, &gateway);
                channel.remove(&RequestId::marker()).unwrap();
                gateway.kick();
                until(channel.home(), "running", |s| s.gateway_state == GatewayState::Running);
            }
        });
        while !writer.is_finished() {
            let status = Snapshot::read(channel.home()).expect("whole at any moment");
            let running = status.gateway_state == GatewayState::Running;
            assert_eq!(running, status.drain.holds.is_empty(), "one moment, not two: {status:#?}");
        }
    });
}

#[test]
fn an_answer_says_how_its_write_stands_now_also_in_a_shutdown() {
    let clock = Clock::manual();
    let (_folder, channel, gateway) = start(&clock);
    drain(&channel, &gateway);
    let answer = || gateway.snapshot().drain.acknowledged[0].outcome;
    assert_eq!(answer(), Outcome::Held);
    gateway.controller().begin_shutdown(Duration::from_secs(60)).unwrap();
    assert_eq!(answer(), Outcome::Held, "E1: the next process takes it over");
    clock.advance(Duration::from_secs(3600));
    gateway.kick();
    let ended = |s: &Snapshot| s.drain.acknowledged.iter().any(|a| a.outcome == Outcome::Ended(Ending::Expired));
    until(channel.home(), "its lease is over", ended);
}
