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

fn run(elsewhere: &Path, proxy: &Between, patience: &str) -> Tool {
    let mut run = tool(elsewhere);
    run.args([
        "--url",
        &format!("http://{}", proxy.host),
        "--patience",
        patience,
        "run",
        "--id",
        "upgrade",
        "--",
        "true",
    ]);
    run.env(Gateway::SECRET_VARIABLE, SECRET);
    Tool::spawn(run)
}

#[test]
fn of_a_hold_that_may_stand_since_nothing_was_answered_the_line_that_ends_it_is_told() {
    for (word, is_committed) in [("drain", false), ("commit", true)] {
        for is_interrupted in [false, true] {
            let (home, elsewhere) = (home(), crate::support::process::home());
            let gateway = GatewayProcess::start_with_secret(home.path(), SECRET, "127.0.0.1:0");
            let proxy = loses_the_answer_to(word, &gateway);
            let run = run(elsewhere.path(), &proxy, if is_interrupted { "1h" } else { "2s" });
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
