//! `gateway-drain run -- COMMAND`: the command runs only on a drained gateway, and the hold is given up on every path.

use crate::support::process::{GatewayProcess, Turn, home};
use crate::support::tool::{Tool, drain, stops};
use gateway_drain::client::ExitCode;
use rustix::process::Signal;
use serde_json::Value;
use std::path::Path;

/// A command that notes that it ran, and as what.
fn noting(home: &Path, exit: u8) -> [String; 4] {
    let note = home.join("ran");
    let script = format!("echo \"$GATEWAY_DRAIN_REQUEST_ID $GATEWAY_DRAIN_FORCED\" > {}; exit {exit}", note.display());
    ["--".into(), "sh".into(), "-c".into(), script]
}

fn run(home: &Path, options: &[&str], command: &[String]) -> Tool {
    let options = options.iter().map(ToString::to_string);
    let arguments: Vec<String> = ["run".into(), "--id".into(), "upgrade".into()].into_iter().chain(options).collect();
    Tool::start(home, &[&arguments[..], command].concat())
}

fn ran(home: &Path) -> Option<String> {
    std::fs::read_to_string(home.join("ran")).ok()
}

fn json(file: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

#[track_caller]
fn assert_reopened(gateway: &GatewayProcess) {
    assert!(gateway.admits(), "the hold was not given up");
    gateway.until("that nobody holds it", |status| status.drain.holds.is_empty());
}

#[test]
fn the_command_runs_once_the_last_turn_has_ended_and_its_exit_code_is_passed_on() {
    let home = home();
    let gateway = GatewayProcess::start(home.path());
    let turn = gateway.turn(500);
    run(home.path(), &[], &noting(home.path(), 0)).ended().expect_code(0);
    assert_eq!(ran(home.path()).as_deref(), Some("upgrade 0\n"));
    assert!(turn.finished(), "the turn was cut off");
    assert_reopened(&gateway);
}

#[test]
fn the_command_runs_although_its_lease_is_shorter_than_the_time_between_two_looks() {
    let home = home();
    let gateway = GatewayProcess::start_with_tick(home.path(), 20_000);
    for turn in [None, Some(500)] {
        let turn = turn.map(|millis| gateway.turn(millis));
        run(home.path(), &["--lease", "5s"], &noting(home.path(), 0)).ended().expect_code(0);
        assert_eq!(ran(home.path()).as_deref(), Some("upgrade 0\n"));
        assert!(turn.is_none_or(Turn::finished), "the turn was cut off");
        std::fs::remove_file(home.path().join("ran")).unwrap();
        gateway.until("that nobody holds it", |status| status.drain.holds.is_empty());
        assert!(gateway.admits());
    }
}

#[test]
fn the_gate_is_closed_and_committed_while_the_command_runs() {
    let home = home();
    let gateway = GatewayProcess::start(home.path());
    let copy = format!("cp {0}/gateway_state.json {0}/seen.json", home.path().display());
    let command = ["--".into(), "sh".into(), "-c".into(), copy];
    run(home.path(), &[], &command).ended().expect_code(0);
    let seen = std::fs::read_to_string(home.path().join("seen.json")).unwrap();
    let seen: serde_json::Value = serde_json::from_str(&seen).unwrap();
    assert_eq!((&seen["drain"]["drained"], &seen["drain"]["holds"][0]["committed"]), (&true.into(), &true.into()));
    assert_reopened(&gateway);
}

#[test]
fn a_command_that_fails_gives_up_the_hold_and_passes_its_code_on() {
    let home = home();
    let gateway = GatewayProcess::start(home.path());
    let result = home.path().join("result.json");
    run(home.path(), &["--json-file", result.to_str().unwrap()], &noting(home.path(), 42)).ended().expect_code(42);
    let json = json(&result);
    assert_eq!((&json["command_exit"], &json["exit_code"], &json["ending"]), (&42.into(), &42.into(), &"done".into()));
    assert_reopened(&gateway);
}

#[test]
fn a_command_that_a_signal_ends_gives_up_the_hold_and_exits_as_in_a_shell() {
    let home = home();
    let gateway = GatewayProcess::start(home.path());
    let command = ["--", "sh", "-c", "kill -KILL $$"].map(String::from);
    run(home.path(), &[], &command).ended().expect_code(128 + 9);
    assert_reopened(&gateway);
}

#[test]
fn a_command_that_does_not_exist_exits_with_127_and_gives_up_the_hold() {
    let home = home();
    let gateway = GatewayProcess::start(home.path());
    let command = ["--", "/no/such/command"].map(String::from);
    run(home.path(), &[], &command).ended().expect_code(127);
    assert_reopened(&gateway);
}

#[test]
fn at_the_deadline_the_command_is_not_run_and_the_hold_is_given_up() {
    let home = home();
    let gateway = GatewayProcess::start(home.path());
    let _ = gateway.turn(600_000);
    let result = home.path().join("result.json");
    let options = ["--timeout", "300ms", "--json-file", result.to_str().unwrap()];
    run(home.path(), &options, &noting(home.path(), 0)).ended().expect_code(203);
    let json = json(&result);
    assert_eq!(
        (&json["command_exit"], &json["exit_code"], &json["ending"]),
        (&Value::Null, &203.into(), &"deadline".into())
    );
    assert_eq!(ran(home.path()), None, "the command ran with a turn in flight");
    assert_reopened(&gateway);
}

#[test]
fn at_the_deadline_the_command_runs_all_the_same_if_force_says_so() {
    let home = home();
    let gateway = GatewayProcess::start(home.path());
    let _ = gateway.turn(600_000);
    run(home.path(), &["--timeout", "300ms", "--force"], &noting(home.path(), 0)).ended().expect_code(0);
    assert_eq!(ran(home.path()).as_deref(), Some("upgrade 1\n"));
    assert_reopened(&gateway);
}

#[test]
fn ctrl_c_before_the_command_runs_gives_up_the_hold() {
    let home = home();
    let gateway = GatewayProcess::start(home.path());
    let _ = gateway.turn(600_000);
    let tool = run(home.path(), &[], &noting(home.path(), 0));
    tool.said("external_draining, 1 in flight");
    tool.signal(Signal::INT);
    tool.ended().expect_code(230);
    assert_eq!(ran(home.path()), None, "the command ran after Ctrl-C");
    assert_reopened(&gateway);
}

#[test]
fn a_sigterm_while_the_command_runs_reaches_the_command_and_the_hold_is_given_up() {
    let home = home();
    let gateway = GatewayProcess::start(home.path());
    let script = "trap 'exit 7' TERM; echo ready >&2; sleep 60 & wait";
    let command = ["--", "bash", "-c", script].map(String::from);
    let tool = run(home.path(), &[], &command);
    tool.said("ready");
    tool.signal(Signal::TERM);
    tool.ended().expect_code(7);
    assert_reopened(&gateway);
}

#[test]
fn a_gateway_that_is_killed_in_mid_wait_never_has_the_command_run() {
    let home = home();
    let gateway = GatewayProcess::start(home.path());
    let _ = gateway.turn(600_000);
    let tool = run(home.path(), &["--patience", "3s"], &noting(home.path(), 0));
    tool.said("external_draining, 1 in flight");
    gateway.kill();
    tool.ended().expect_code(207);
    assert_eq!(ran(home.path()), None, "the command ran although the gateway had died");
    let gateway = GatewayProcess::start(home.path());
    assert_reopened(&gateway);
}

#[test]
fn a_command_that_ends_the_gateway_is_no_failure() {
    let home = home();
    let gateway = GatewayProcess::start(home.path());
    let pid = gateway.until("its process id", |_| true).pid;
    let command = ["--".into(), "kill".into(), "-KILL".into(), pid.to_string()];
    let ended = run(home.path(), &["--patience", "3s"], &command).ended().expect_code(0);
    assert!(ended.stderr.contains("no gateway has noticed the end of the hold upgrade"), "{ended:?}");
    drop(gateway);
    assert_reopened(&GatewayProcess::start(home.path()));
}

#[test]
fn a_home_without_a_gateway_never_has_the_command_run() {
    let home = home();
    run(home.path(), &["--patience", "300ms"], &noting(home.path(), 0)).ended().expect_code(207);
    assert_eq!(ran(home.path()), None, "the command ran without a gateway");
    drain(home.path(), &["status"]).expect(ExitCode::Unreachable);
    assert!(!home.path().join(".drain_holds/upgrade.json").exists(), "the hold was left lying");
}

#[test]
fn that_the_hold_could_not_be_given_up_decides_the_code_only_of_a_command_that_succeeded() {
    for (exit, code) in [(0, i32::from(ExitCode::Unreachable.under_run())), (3, 3)] {
        let home = home();
        let gateway = GatewayProcess::start(home.path());
        let freeze = format!("{}; exit {exit}", stops(gateway.pid()));
        let command = ["--".into(), "sh".into(), "-c".into(), freeze];
        let ended = run(home.path(), &["--patience", "3s"], &command).ended().expect_code(code);
        assert!(ended.stderr.contains("the gate may still be closed by it"), "a gateway that lives: {ended:?}");
        gateway.thaw();
        gateway.until("that nobody holds it", |status| status.drain.holds.is_empty());
    }
}

#[test]
fn where_no_gateway_notices_the_end_of_a_marker_the_line_that_removes_it_is_told() {
    let home = home();
    let gateway = GatewayProcess::start(home.path());
    let freeze = stops(gateway.pid());
    let ended = drain(home.path(), &["--patience", "3s", "run", "--marker", "--", "sh", "-c", &freeze]);
    assert!(ended.stderr.contains("cancel --marker"), "{ended:?}");
    gateway.thaw();
    gateway.until("that the marker is gone", |status| status.drain.holds.is_empty());
}

#[test]
fn that_what_the_command_started_still_runs_is_told_once_after_two_seconds() {
    let home = home();
    let _gateway = GatewayProcess::start(home.path());
    let line = "waiting for its process group";
    for (seconds, times) in [("0.1", 0), ("2.3", 1)] {
        let linger = format!("sleep {seconds} > /dev/null 2>&1 &");
        let ended = drain(home.path(), &["run", "--", "sh", "-c", &linger]).expect_code(0);
        assert_eq!(ended.stderr.matches(line).count(), times, "{seconds} s: {}", ended.stderr);
    }
}
