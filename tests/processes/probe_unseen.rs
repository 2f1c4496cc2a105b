//! What the probe is not given, and what never happens under its eyes, it calls unseen: not kept, and not broken.

#![cfg(all(feature = "cli", feature = "axum"))]

use crate::support::lying_proxy::{closes_at_the_second_request, hand_on, serve};
use crate::support::process::GatewayProcess;
use gateway_drain::client::{Gateway, Interrupt};
use gateway_drain::probe::{Need, Options, Sight, TRIALS, run};
use gateway_drain::properties::PropertyId::{C5, E1};
use gateway_drain::{Home, Reconciler, reconciler};
use serde_json::Value;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::Duration;

const TICK: Duration = Duration::from_millis(50);
const SECRET: &str = "a-secret-that-is-long-enough-for-the-endpoint";

fn patient(seconds: u64) -> Options {
    Options { tick: TICK, patience: Duration::from_secs(seconds), ..Options::default() }
}

#[test]
fn by_its_url_alone_a_gateway_shows_what_needs_no_files_and_the_rest_is_unseen() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = GatewayProcess::start(folder.path());
    // Each connection of this server is good for one request.
    let server = closes_at_the_second_request(&gateway.address);
    let url = format!("http://{}", server.address);
    let turn = (format!("{url}/turns"), r#"{"session": "probe", "millis": 5000}"#.to_owned());
    let report = run(&Options { url: Some(url), turn: Some(turn), ..patient(30) }, &Interrupt::new()).unwrap();
    assert_eq!((&report.cut_short, &report.left_behind), (&None, &None), "{report}");
    assert_eq!(report.broken(), [], "{report}");
    for trial in TRIALS {
        let lacks = [Need::Home, Need::StopCommand].iter().any(|need| trial.needs.contains(need));
        let sight = if lacks { Sight::Unseen } else { Sight::Kept };
        assert_eq!(report.sight(trial.property), sight, "{}\n{report}", trial.property);
    }
    assert!(!Home::at(folder.path()).marker().exists(), "the marker that the endpoint wrote is gone");
}

fn probe_by_url(gateway: &GatewayProcess, secret: Option<&str>) -> (Option<i32>, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gateway-drain"));
    command.args(["probe", "--json", "--tick", "50ms", "--patience", "30s", "--url"]);
    command.arg(format!("http://{}", gateway.address)).env_remove(Gateway::SECRET_VARIABLE).env_remove(Home::VARIABLE);
    command.envs(secret.map(|secret| (Gateway::SECRET_VARIABLE, secret)));
    let output = command.stdin(Stdio::null()).output().unwrap();
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn with_the_secret_it_is_let_in_and_without_it_it_begins_nothing_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = GatewayProcess::start_with_secret(folder.path(), SECRET, "127.0.0.1:0");

    let (code, report) = probe_by_url(&gateway, None);
    assert_eq!(code, Some(12), "{report:#}");
    assert!(report["cut_short"].as_str().unwrap().contains("401"), "{report:#}");
    assert_eq!(report["left_behind"], Value::Null, "what was refused need not be taken back: {report:#}");

    let (code, report) = probe_by_url(&gateway, Some(SECRET));
    assert_eq!(code, Some(0), "{report:#}");
    assert_eq!(report["cut_short"], Value::Null, "{report:#}");
}

#[test]
fn a_restart_command_after_which_no_other_process_appears_shows_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let settings = reconciler::Options { tick: Duration::from_millis(10), ..reconciler::Options::default() };
    let gateway = Reconciler::start(Home::at(folder.path()), settings).unwrap();
    let options = Options { home: Some(folder.path().into()), restart: Some("true".into()), ..patient(10) };
    let report = run(&options, &Interrupt::new()).unwrap();
    drop(gateway);
    assert_eq!(report.broken(), [], "{report}");
    for property in [E1, C5] {
        assert_eq!(report.sight(property), Sight::Unseen, "{report}");
        let why = report.rows.iter().find(|row| row.property == property).unwrap();
        assert_eq!(why.evidence, "after --restart-cmd no other process published a status");
    }
}

#[test]
fn a_gateway_that_never_comes_back_is_blamed_for_nothing_and_the_probe_says_what_it_had_to_leave() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = GatewayProcess::start(folder.path());
    let pid = gateway.until("its process", |_| true).pid;
    let restart = Some(format!("kill -KILL {pid}"));
    let report = run(&Options { home: Some(folder.path().into()), restart, ..patient(10) }, &Interrupt::new()).unwrap();
    assert_eq!(report.broken(), [], "{report}");
    assert_eq!(report.sight(E1), Sight::Unseen, "{report}");
    let why = report.cut_short.as_deref().unwrap_or_default();
    assert_eq!(why, "after --restart-cmd no other process published a status", "{report}");
    assert!(report.left_behind.as_ref().is_some_and(|what| what.contains("probe-commit")), "{report}");
    assert_eq!(report.exit_code(), 12);

    // What was left is the withdrawal: a gateway that comes back after all acts on it.
    let again = GatewayProcess::start(folder.path());
    again.until("no hold", |status| status.drain.holds.is_empty() && status.drain.state.admits());
}

#[test]
fn a_drain_that_comes_to_the_gateway_after_the_probe_has_ended_is_told_of_with_the_line_that_removes_its_marker() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = GatewayProcess::start(folder.path());
    let behind = gateway.address.clone();
    let (letting_go, is_let_go) = channel::<()>();
    let is_let_go = Mutex::new(is_let_go);
    let slow = serve(move |asked| {
        if asked.body.windows(7).any(|word| word == b"\"drain\"") {
            // Its end lets it go too.
            let _ = is_let_go.lock().unwrap().recv();
        }
        hand_on(&behind, asked)
    });
    // Gone before the server is, which waits for it.
    let lets_go = letting_go;
    let url = format!("http://{}", slow.address);
    let report = run(&Options { url: Some(url.clone()), ..patient(2) }, &Interrupt::new()).unwrap();
    assert_eq!((report.broken(), report.exit_code()), (vec![], 12), "{report}");
    let line = format!("`gateway-drain cancel --marker --url {url}`");
    let left = report.left_behind.unwrap_or_default();
    assert!(left.contains("may still come to the gateway") && left.contains(&line), "{left}");
    assert!(!Home::at(folder.path()).marker().exists(), "it has not come yet");

    lets_go.send(()).unwrap();
    gateway.until("the drain that comes late", |status| !status.drain.state.admits());
    let mut removes = Command::new(env!("CARGO_BIN_EXE_gateway-drain"));
    removes.args(line.trim_matches('`').split(' ').skip(1)).env_remove(Gateway::SECRET_VARIABLE);
    assert!(removes.env_remove(Home::VARIABLE).status().unwrap().success(), "{line}");
    gateway.until("an open gate", |status| status.drain.state.admits());
}
