//! What `run` says where it was asked for something and has no answer: of a hold that may stand, and of a slot that stays.

#![cfg(feature = "fleet")]

use crate::support::etcd::{Between, Way, answer};
use crate::support::process::{GatewayProcess, home};
use crate::support::tool::{Tool, drain, tool};
use gateway_drain::client::{ExitCode, Gateway};
use rustix::process::Signal;
use serde_json::Value;
use std::path::Path;

const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef";

/// A proxy before a gateway that loses the answer to this, and has no other answer than 502 from then on.
fn loses_the_answer_to(word: &'static str, gateway: &GatewayProcess) -> Between {
    let mut is_lost = false;
    Between::start(&gateway.address, move |asked| {
        if is_lost {
            return Way::Answer(answer(502, "text/html", "<html>"));
        }
        is_lost = asked.head.starts_with("POST") && asked.body.contains(&format!("\"{word}\""));
        if is_lost { Way::Lost } else { Way::Through }
    })
}

fn start(elsewhere: &Path, proxy: &Between, patience: &str, arguments: &[&str]) -> Tool {
    let mut started = tool(elsewhere);
    started.args(["--url", &format!("http://{}", proxy.host), "--patience", patience]).args(arguments);
    started.env(Gateway::SECRET_VARIABLE, SECRET);
    Tool::spawn(started)
}

const RUN: [&str; 5] = ["run", "--id", "upgrade", "--", "true"];
const BY_MARKER: [(&[&str], bool); 2] = [(&["run", "--marker", "--", "true"], true), (&["begin", "--marker"], false)];

#[test]
fn of_a_hold_that_may_stand_since_nothing_was_answered_the_line_that_ends_it_is_told() {
    for (word, is_committed) in [("drain", false), ("commit", true)] {
        for is_interrupted in [false, true] {
            let (home, elsewhere) = (home(), crate::support::process::home());
            let gateway = GatewayProcess::start_with_secret(home.path(), SECRET, "127.0.0.1:0");
            let proxy = loses_the_answer_to(word, &gateway);
            let run = start(elsewhere.path(), &proxy, if is_interrupted { "1h" } else { "2s" }, &RUN);
            let stands =
                |status: &gateway_drain::Snapshot| status.drain.holds.iter().any(|hold| hold.committed == is_committed);
            if is_interrupted {
                gateway.until("the hold", stands);
                run.signal(Signal::TERM);
            }
            let ended = run.ended();
            let expected = if is_interrupted { ExitCode::Interrupted } else { ExitCode::Unreachable };
            assert_eq!(ended.code, Some(i32::from(expected.under_run())), "{word}: {ended:?}");
            assert!(ended.stderr.contains(" cancel upgrade"), "{word}, interrupted: {is_interrupted}: {ended:?}");
            gateway.until("the hold, which nobody could give up", stands);
        }
    }
}

fn has_the_marker(status: &gateway_drain::Snapshot) -> bool {
    status.drain.holds.iter().any(|hold| hold.request_id.is_marker())
}

#[test]
fn of_a_marker_that_may_lie_there_since_nothing_was_answered_the_line_that_removes_it_is_told() {
    for (arguments, is_run) in BY_MARKER {
        for is_interrupted in [false, true] {
            let (home, elsewhere) = (home(), crate::support::process::home());
            let gateway = GatewayProcess::start_with_secret(home.path(), SECRET, "127.0.0.1:0");
            let proxy = loses_the_answer_to("drain", &gateway);
            let asking = start(elsewhere.path(), &proxy, if is_interrupted { "1h" } else { "2s" }, arguments);
            if is_interrupted {
                gateway.until("the marker", has_the_marker);
                asking.signal(Signal::TERM);
            }
            let ended = asking.ended();
            let expected = if is_interrupted { ExitCode::Interrupted } else { ExitCode::Unreachable };
            let code = i32::from(if is_run { expected.under_run() } else { expected.code() });
            assert_eq!(ended.code, Some(code), "{arguments:?}: {ended:?}");
            assert!(ended.stderr.contains(" cancel --marker"), "{arguments:?}, {is_interrupted}: {ended:?}");
            gateway.until("the marker, which could not be removed", has_the_marker);
        }
    }
}

#[test]
fn a_marker_whose_writing_was_not_answered_is_removed_again() {
    for (arguments, _) in BY_MARKER {
        let (home, elsewhere) = (home(), crate::support::process::home());
        let gateway = GatewayProcess::start_with_secret(home.path(), SECRET, "127.0.0.1:0");
        let proxy = Between::start(&gateway.address, |asked| {
            let is_drain = asked.head.starts_with("POST") && asked.body.contains("\"drain\"");
            if is_drain { Way::Lost } else { Way::Through }
        });
        let ended = start(elsewhere.path(), &proxy, "2s", arguments).ended();
        assert!(ended.stderr.contains("the marker is removed again"), "{arguments:?}: {ended:?}");
        gateway.until("no marker", |status| !has_the_marker(status));
    }
}

#[test]
fn a_second_signal_ends_the_wait_for_a_gateway_that_others_hold_and_the_result_says_that_the_slot_stays() {
    let home = home();
    let gateway = GatewayProcess::start(home.path());
    let server = Between::start("", |_| Way::Answer(answer(200, "application/json", "")));
    let turn = gateway.turn(60_000);
    drain(home.path(), &["begin", "other"]).expect(ExitCode::Drained);
    let result = home.path().join("result.json");
    let mut run = tool(home.path());
    run.args(["run", "--id", "upgrade", "--patience", "1h", "--fleet-group", "web", "--json-file"]).arg(&result);
    run.args(["--fleet-lock", &format!("http://{}", server.host), "--", "true"]);
    let run = Tool::spawn(run);
    let is_there = |status: &gateway_drain::Snapshot| {
        status.drain.holds.iter().any(|hold| hold.request_id.to_string() == "upgrade")
    };
    gateway.until("its hold", is_there);
    run.signal(Signal::TERM);
    run.said("another signal leaves the slot taken");
    gateway.until("that its hold is given up", |status| !is_there(status));
    run.signal(Signal::TERM);
    let ended = run.ended().expect_code(i32::from(ExitCode::Interrupted.under_run()));
    let said: Value = serde_json::from_slice(&std::fs::read(&result).expect("the result")).expect("JSON");
    assert_eq!(said["slot"], "kept", "{said} {ended:?}");
    drop(turn);
}
