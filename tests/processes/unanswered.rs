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
        start(elsewhere.path(), &proxy, "2s", arguments).ended();
        gateway.until("no marker", |status| !has_the_marker(status));
    }
}

#[test]
fn of_what_may_still_arrive_after_its_asker_has_gone_the_line_that_ends_it_is_told() {
    for (arguments, line) in [
        (&["begin", "upgrade"][..], " cancel upgrade"),
        (&RUN, " cancel upgrade"),
        (BY_MARKER[0].0, " cancel --marker"),
        (BY_MARKER[1].0, " cancel --marker"),
    ] {
        let (home, elsewhere) = (home(), crate::support::process::home());
        let gateway = GatewayProcess::start_with_secret(home.path(), SECRET, "127.0.0.1:0");
        let (arrive, arrives) = std::sync::mpsc::channel();
        let mut arrives = Some(arrives);
        let proxy = Between::start(&gateway.address, move |asked| {
            let is_drain = asked.head.starts_with("POST") && asked.body.contains("\"drain\"");
            if is_drain { arrives.take().map_or(Way::Silence, Way::Later) } else { Way::Through }
        });
        let ended = start(elsewhere.path(), &proxy, "2s", arguments).ended();
        assert!(ended.stderr.contains(line), "{arguments:?}: {ended:?}");
        drop(arrive);
    }
}

#[test]
fn a_run_by_the_marker_that_is_interrupted_names_the_marker_and_no_hold() {
    let (home, elsewhere) = (home(), crate::support::process::home());
    let gateway = GatewayProcess::start_with_secret(home.path(), SECRET, "127.0.0.1:0");
    let turn = gateway.turn(60_000);
    let proxy =
        Between::start(
            &gateway.address,
            |asked| {
                if asked.body.contains("\"cancel\"") { Way::Silence } else { Way::Through }
            },
        );
    let run = start(elsewhere.path(), &proxy, "1h", BY_MARKER[0].0);
    gateway.until("the marker", has_the_marker);
    run.signal(Signal::TERM);
    let ended = run.ended().expect_code(i32::from(ExitCode::Interrupted.under_run()));
    assert!(ended.stderr.contains(" cancel --marker") && !ended.stderr.contains("hold"), "{ended:?}");
    drop(turn);
}

#[test]
fn a_marker_is_removed_after_an_interruption_also_if_the_first_try_is_lost() {
    let (home, elsewhere) = (home(), crate::support::process::home());
    let gateway = GatewayProcess::start_with_secret(home.path(), SECRET, "127.0.0.1:0");
    let turn = gateway.turn(60_000);
    let mut is_lost = false;
    let proxy = Between::start(&gateway.address, move |asked| {
        if asked.body.contains("\"cancel\"") && !std::mem::replace(&mut is_lost, true) {
            return Way::Answer(answer(502, "text/html", "<html>"));
        }
        Way::Through
    });
    let run = start(elsewhere.path(), &proxy, "1h", BY_MARKER[0].0);
    gateway.until("the marker", has_the_marker);
    run.signal(Signal::TERM);
    let ended = run.ended().expect_code(i32::from(ExitCode::Interrupted.under_run()));
    assert!(!ended.stderr.contains("--marker"), "it is gone: {ended:?}");
    gateway.until("no marker", |status| !has_the_marker(status));
    drop(turn);
}

#[test]
fn a_commit_that_was_granted_without_an_answer_by_a_gateway_that_was_replaced_is_told_of() {
    let (home, elsewhere) = (home(), crate::support::process::home());
    let gateway = GatewayProcess::start_with_secret(home.path(), SECRET, "127.0.0.1:0");
    let address = gateway.address.clone();
    let (replaced, is_replaced) = std::sync::mpsc::channel::<()>();
    let mut is_granted = false;
    let proxy = Between::start(&address, move |asked| {
        if is_granted {
            // Until the sender is gone.
            let _ = is_replaced.recv();
        }
        let commits = asked.body.contains("\"commit\"");
        is_granted |= commits;
        if commits { Way::Lost } else { Way::Through }
    });
    start(elsewhere.path(), &proxy, "30s", &["begin", "upgrade"]).ended().expect(ExitCode::Drained);
    let commit = start(elsewhere.path(), &proxy, "30s", &["commit", "upgrade"]);
    gateway.until("the commit", |status| status.drain.holds.iter().any(|hold| hold.committed));
    gateway.kill();
    let gateway = GatewayProcess::start_with_secret(home.path(), SECRET, &address);
    drop(replaced);
    let ended = commit.ended().expect(ExitCode::IncarnationChanged);
    assert!(ended.stderr.contains(" cancel upgrade"), "{ended:?}");
    gateway.until("the commit, which stands", |status| status.drain.holds.iter().any(|hold| hold.committed));
}

#[test]
fn over_http_a_gateway_that_ends_under_the_command_is_no_success_since_it_comes_back_committed() {
    let (home, elsewhere) = (home(), crate::support::process::home());
    let gateway = GatewayProcess::start_with_secret(home.path(), SECRET, "127.0.0.1:0");
    let proxy = Between::start(&gateway.address, |_| Way::Through);
    let kill = format!("kill -9 {}", gateway.pid());
    let run = ["run", "--id", "upgrade", "--", "sh", "-c", &kill];
    let ended = start(elsewhere.path(), &proxy, "2s", &run).ended();
    let ended = ended.expect_code(i32::from(ExitCode::Unreachable.under_run()));
    assert!(ended.stderr.contains(" cancel upgrade"), "{ended:?}");
    let gateway = GatewayProcess::start_with_secret(home.path(), SECRET, "127.0.0.1:0");
    gateway.until("the commit, which stands", |status| status.drain.holds.iter().any(|hold| hold.committed));
}

#[test]
fn a_command_that_a_signal_ends_writes_its_result_and_names_what_it_was_about() {
    let home = home();
    let gateway = GatewayProcess::start(home.path());
    let turn = gateway.turn(60_000);
    drain(home.path(), &["begin", "upgrade"]).expect(ExitCode::Drained);
    let result = home.path().join("result.json");
    let mut wait = tool(home.path());
    wait.args(["wait", "upgrade", "--json-file"]).arg(&result);
    let wait = Tool::spawn(wait);
    wait.said("in flight");
    wait.signal(Signal::TERM);
    wait.ended().expect(ExitCode::Interrupted);
    let said: Value = serde_json::from_slice(&std::fs::read(&result).expect("the result")).expect("JSON");
    assert_eq!(
        (&said["ending"], &said["exit_code"], &said["request_id"]),
        (&"interrupted".into(), &ExitCode::Interrupted.code().into(), &"upgrade".into()),
        "{said}"
    );
    drop(turn);
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
