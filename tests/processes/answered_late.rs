//! What ends a hold and is answered once its writer has gone: it stays there, and is in nobody's way.

use crate::support::eventually::comes_true;
use crate::support::process::{DashboardProcess, GatewayProcess, home};
use crate::support::tool::{STATE_VARIABLE, Tool, drain};
use gateway_drain::Snapshot;
use gateway_drain::client::ExitCode;
use gateway_drain::hold::Outcome;
use rustix::process::Signal;
use std::path::Path;
use std::process::{Command, Stdio};

const OPS: &[&str] = &["--owner", "ops"];

fn path(home: &Path) -> std::path::PathBuf {
    home.join(".drain_holds/upgrade.json")
}

/// What the gateway answers to what lies in the hold's place is that it has ended, and it holds nothing.
fn has_ended(status: &Snapshot) -> bool {
    let mut answers = status.drain.acknowledged.iter();
    status.drain.holds.is_empty() && answers.any(|answer| matches!(answer.outcome, Outcome::Ended(_)))
}

/// Has the boss end the hold while the gateway doesn't look, and go before it does.
fn override_unanswered(home: &Path, gateway: &GatewayProcess) {
    gateway.freeze();
    drain(home, &["--owner", "boss", "--patience", "1s", "override", "upgrade"]).expect(ExitCode::Unreachable);
    gateway.thaw();
    gateway.until("that the override is answered", has_ended);
    assert!(gateway.admits() && path(home).exists(), "its writer waited for the answer");
}

/// A `run` whose command ends once a line is written into what is named by the second.
fn run(home: &Path) -> (Tool, std::path::PathBuf) {
    let pipe = home.join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let command = ["--patience", "2s", "run", "--id", "upgrade", "--", "cat", pipe.to_str().unwrap()];
    (Tool::start(home, &[OPS, &command].concat()), pipe)
}

fn is_committed(status: &Snapshot) -> bool {
    status.drain.holds.iter().any(|hold| hold.committed)
}

#[test]
fn after_an_override_that_was_answered_late_the_hold_is_begun_and_taken_up_by_who_likes_and_there_is_nothing_to_cancel()
{
    let commands: [(&[&str], i32); 6] = [
        (&["begin", "upgrade"], 0),
        (&["begin", "upgrade", "--attach"], 0),
        (&["run", "--id", "upgrade", "--attach", "--", "true"], 0),
        (&["cancel", "upgrade"], 0),
        (&["renew", "upgrade"], i32::from(ExitCode::Withdrawn.code())),
        (&["wait", "upgrade"], i32::from(ExitCode::Withdrawn.code())),
    ];
    for (command, code) in commands {
        let home = home();
        let gateway = GatewayProcess::start(home.path());
        drain(home.path(), &[OPS, &["begin", "upgrade"]].concat()).expect(ExitCode::Drained);
        override_unanswered(home.path(), &gateway);
        let ended = drain(home.path(), &[OPS, command].concat()).expect_code(code);
        let begins = command[0] == "begin";
        gateway.until("what came of it", |status| status.drain.holds.is_empty() != begins);
        assert!(code == 0 || ended.stderr.contains("ended the hold on purpose"), "{command:?}: {ended:?}");
    }
}

#[test]
fn a_run_whose_hold_is_overridden_while_its_command_runs_gives_nothing_up_and_keeps_no_token() {
    let home = home();
    let gateway = GatewayProcess::start(home.path());
    let (run, pipe) = run(home.path());
    gateway.until("the commit", is_committed);
    override_unanswered(home.path(), &gateway);
    std::fs::write(pipe, "").unwrap();
    let ended = run.ended().expect_code(0);
    assert!(!ended.stderr.contains(" cancel upgrade"), "there is nothing to cancel: {ended:?}");
    let kept = std::fs::read_dir(home.path().join(".controller")).map_or(0, Iterator::count);
    assert_eq!(kept, 0, "a token of a hold that has ended is kept");
}

#[test]
fn after_a_withdrawal_that_the_next_process_has_answered_the_hold_is_begun_by_who_would_take_it_up() {
    for command in [&["run", "--id", "upgrade", "--attach", "--", "true"][..], &["begin", "upgrade", "--attach"]] {
        let home = home();
        let gateway = GatewayProcess::start(home.path());
        let (run, pipe) = run(home.path());
        gateway.until("the commit", is_committed);
        gateway.kill();
        std::fs::write(pipe, "").unwrap();
        run.ended().expect_code(0);
        let gateway = GatewayProcess::start(home.path());
        gateway.until("that the withdrawal is answered", has_ended);
        drain(home.path(), &[OPS, command].concat()).expect(ExitCode::Drained);
    }
}

#[test]
fn what_has_ended_a_hold_says_so_also_if_another_is_begun_in_its_place_before_it_has_looked() {
    for (verb, which, file) in [
        ("override", "upgrade", ".drain_holds/upgrade.json"),
        ("cancel", "upgrade", ".drain_holds/upgrade.json"),
        ("cancel", "--marker", ".drain_request.json"),
    ] {
        let home = home();
        let (gateway, path) = (GatewayProcess::start(home.path()), home.path().join(file));
        drain(home.path(), &[OPS, &["begin", which]].concat()).expect(ExitCode::Drained);
        let begun = std::fs::read(&path).unwrap();
        gateway.freeze();
        let ending = Tool::start(home.path(), &[OPS, &["--patience", "10s", verb, which]].concat());
        comes_true("that it is written", || std::fs::read(&path).map_or(true, |lies| lies != begun));
        ending.signal(Signal::STOP);
        gateway.thaw();
        gateway.until("that the hold has ended", |status| status.drain.holds.is_empty());
        drain(home.path(), &["--owner", "ann", "begin", which]).expect(ExitCode::Drained);
        ending.signal(Signal::CONT);
        ending.ended().expect(ExitCode::Drained);
        assert!(!gateway.admits(), "{verb} {which}: it has ended what was begun in its place");
    }
}

#[test]
fn an_endpoint_says_that_a_hold_has_ended_also_if_another_is_begun_in_its_place_before_it_has_looked() {
    for (verb, is_committed) in [("cancel", false), ("cancel", true), ("override", false)] {
        let home = home();
        let gateway = GatewayProcess::start(home.path());
        let dashboard = DashboardProcess::start(home.path(), None);
        let start = |arguments: &[&str]| {
            let mut tool = Command::new(env!("CARGO_BIN_EXE_gateway-drain"));
            tool.args(["--url", &format!("http://{}", dashboard.address)]).args(arguments);
            tool.env(STATE_VARIABLE, home.path().join("state")).stdout(Stdio::piped()).stderr(Stdio::piped());
            Tool::spawn(tool)
        };
        start(&["begin", "upgrade"]).ended().expect(ExitCode::Drained);
        if is_committed {
            start(&["commit", "upgrade"]).ended().expect(ExitCode::Drained);
        }
        let begun = std::fs::read(path(home.path())).unwrap();
        gateway.freeze();
        let ending = start(&[verb, "upgrade"]);
        comes_true("that it is written", || std::fs::read(path(home.path())).map_or(true, |lies| lies != begun));
        dashboard.freeze();
        gateway.thaw();
        gateway.until("that the hold has ended", |status| status.drain.holds.is_empty());
        drain(home.path(), &["--owner", "ann", "begin", "upgrade"]).expect(ExitCode::Drained);
        dashboard.thaw();
        ending.ended().expect(ExitCode::Drained);
        assert!(!gateway.admits(), "{verb}: it has ended what was begun in its place");
    }
}
