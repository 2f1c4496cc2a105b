//! The reference itself beside a gateway of this crate, on one home: its commands, its dashboard, its readers, and its own
//! gateway under our tools. `.ci/reference` installs it and runs this with loopback as the only network.
//!
//! Not among the tests that run by default, since it needs a Python package that not every machine has.

#![cfg(all(feature = "axum", feature = "cli"))]

use crate::support::process::{GatewayProcess, examples, home};
use crate::support::tool::{LIMIT, Tool, drain, tool};
use gateway_drain::client::{ExitCode, Gateway};
use gateway_drain::{DrainState, Home};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

const SECRET: &str = "Zk3_q9TtB1x-Yp7LwVn0uRc5HsEa8GdJf2Mi6KoXbQvA";
/// Where the reference looks for it.
const REFERENCE_SECRET: &str = "HERMES_DASHBOARD_DRAIN_SECRET";

/// By this name in a command line the reference knows a gateway of its own.
const NAME: &str = "hermes-gateway";

/// A program of the reference's, on this home. It installs nothing.
fn hermes(home: &Path, program: &str) -> Command {
    let installed =
        std::env::var_os("HERMES_VENV").expect("HERMES_VENV: the virtual environment that has the reference");
    let mut command = Command::new(Path::new(&installed).join("bin").join(program));
    command.env("HERMES_HOME", home).env("HOME", home).env("HERMES_DISABLE_LAZY_INSTALLS", "1");
    command.env(REFERENCE_SECRET, SECRET).stdin(Stdio::null());
    command
}

/// The example gateway in this home, under this name.
fn gateway(home: &Path, name: &str) -> GatewayProcess {
    let mut command = Command::new(examples().join("gateway"));
    command.arg0(name).env(Gateway::SECRET_VARIABLE, SECRET);
    command.arg("--home").arg(home).args(["--listen", "127.0.0.1:0", "--tick-ms", "20"]);
    GatewayProcess::of(command, home)
}

/// Fails unless turns are admitted, the command line sees the gateway, and it follows its files.
fn is_served(gateway: &GatewayProcess, home: &Path, after: &str) {
    assert!(gateway.admits(), "turns are admitted after {after}");
    drain(home, &["status"]).expect(ExitCode::Drained);
    drain(home, &["begin", "still-there"]).expect(ExitCode::Drained);
    assert!(!gateway.admits(), "the gateway follows its files after {after}");
    drain(home, &["cancel", "still-there"]).expect(ExitCode::Drained);
    assert!(gateway.admits(), "the gateway reopens after {after}");
}

#[test]
fn what_only_looks_in_the_reference_leaves_a_gateway_serving_under_either_name() {
    for name in ["gateway", NAME] {
        let home = home();
        let gateway = gateway(home.path(), name);
        for command in ["status", "gateway status", "cron status", "gateway list", "status"] {
            let said = hermes(home.path(), "hermes").args(command.split(' ')).output().expect("hermes runs");
            let said = [said.stdout, said.stderr].concat();
            assert!(!said.is_empty(), "hermes {command} says something");
            is_served(&gateway, home.path(), &format!("hermes {command} over {name}"));
        }
    }
}

/// The reference's dashboard.
struct Dashboard {
    child: Child,
    url: String,
}

impl Dashboard {
    fn start(home: &Path) -> Self {
        let mut command = hermes(home, "hermes");
        command.args(["serve", "--port", "0", "--skip-build"]).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("hermes serve starts");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let port = lines.find_map(|line| Some(line.ok()?.strip_prefix("HERMES_BACKEND_READY port=")?.to_owned()));
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, url: format!("http://127.0.0.1:{}", port.expect("it says at which port it listens")) }
    }

    fn status(&self) -> Value {
        let mut answer = ureq::get(&format!("{}/api/status", self.url)).call().expect("it tells the status");
        serde_json::from_reader(answer.body_mut().as_reader()).expect("the status is JSON")
    }

    fn ask(&self, action: &str) -> Value {
        let post = ureq::post(&format!("{}/api/gateway/drain", self.url));
        let post = post.header("authorization", &format!("Bearer {SECRET}")).header("content-type", "application/json");
        let mut answer = post.send(json!({ "action": action }).to_string()).expect("the endpoint takes the secret");
        serde_json::from_reader(answer.body_mut().as_reader()).expect("the answer is JSON")
    }

    /// Waits until the status says all of this.
    fn says(&self, expected: &Value) {
        let began = Instant::now();
        loop {
            let status = self.status();
            let members = expected.as_object().expect("an object");
            if members.iter().all(|(name, value)| &status[name] == value) {
                return;
            }
            assert!(began.elapsed() < LIMIT, "it never said {expected}; it says {status}");
        }
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_dashboard_of_the_reference_begins_and_cancels_a_drain_of_a_gateway_named_as_its_own() {
    let home = home();
    let gateway = gateway(home.path(), NAME);
    let dashboard = Dashboard::start(home.path());
    let pid = gateway.pid();
    let open = json!({"gateway_running": true, "gateway_pid": pid, "gateway_state": "running", "active_agents": 0,
        "gateway_busy": false, "gateway_drainable": true});
    dashboard.says(&open);
    let turn = gateway.turn(1500);
    dashboard.says(&json!({"gateway_busy": true, "active_agents": 1}));

    let begun = dashboard.ask("drain");
    assert_eq!((&begun["ok"], &begun["draining"]), (&json!(true), &json!(true)), "{begun}");
    dashboard.says(&json!({"gateway_running": true, "gateway_state": "draining", "gateway_drainable": false}));
    assert!(!gateway.admits(), "the dashboard's drain closes the gate");
    assert!(turn.finished(), "a drain cuts nothing off");
    dashboard.says(&json!({"gateway_state": "draining", "active_agents": 0}));
    assert!(gateway.until("drained", |status| status.drain.drained).drain.holds.len() == 1);

    let cancelled = dashboard.ask("cancel");
    assert_eq!((&cancelled["ok"], &cancelled["was_draining"]), (&json!(true), &json!(true)), "{cancelled}");
    dashboard.says(&open);
    is_served(&gateway, home.path(), "the dashboard's drain");
}

#[test]
fn a_dashboard_of_the_reference_that_is_asked_again_and_again_leaves_a_gateway_serving_under_either_name() {
    for name in ["gateway", NAME] {
        let home = home();
        let gateway = gateway(home.path(), name);
        let dashboard = Dashboard::start(home.path());
        for _ in 0..20 {
            assert_eq!(dashboard.status()["gateway_running"], json!(name == NAME), "the reference goes by the name");
        }
        is_served(&gateway, home.path(), &format!("twenty looks of a dashboard over {name}"));
    }
}

#[test]
fn our_tools_at_the_dashboard_of_the_reference_ask_nothing_that_it_does_not_know() {
    let home = home();
    let elsewhere = crate::support::process::home();
    let gateway = gateway(home.path(), NAME);
    let dashboard = Dashboard::start(home.path());
    let at_dashboard = |arguments: &[&str]| {
        let mut command = tool(elsewhere.path());
        command.args(["--url", &dashboard.url]).args(arguments).env(Gateway::SECRET_VARIABLE, SECRET);
        Tool::spawn(command).ended()
    };
    let marker = Home::at(home.path()).marker();
    for asked in
        [&["begin", "mine"][..], &["cancel", "mine"], &["renew", "mine"], &["commit", "mine"], &["wait", "mine"]]
    {
        std::fs::write(&marker, "").expect("somebody's marker");
        let ended = at_dashboard(asked);
        assert_eq!(ended.code, Some(i32::from(ExitCode::Usage.code())), "{asked:?}: {ended:?}");
        assert!(ended.stderr.contains("knows no holds"), "{asked:?}: {ended:?}");
        assert_eq!(std::fs::read(&marker).expect("it is still there"), b"", "{asked:?} touches nobody's marker");
    }
    std::fs::remove_file(&marker).expect("the marker");
    gateway.until("running", |status| status.drain.state == DrainState::Running);
    at_dashboard(&["run", "--", "true"]).expect_code(202);
    assert!(gateway.admits() && !marker.exists(), "nothing was begun");

    let turn = gateway.turn(700);
    let acted = at_dashboard(&["run", "--marker", "--", "cat", Home::at(home.path()).status().to_str().expect("text")]);
    let acted = acted.expect_code(0).json();
    assert_eq!((&acted["drain"]["state"], &acted["drain"]["drained"]), (&json!("external_draining"), &json!(true)));
    assert!(turn.finished(), "it was waited for");
    gateway.until("running", |status| status.drain.state == DrainState::Running);
    assert!(!marker.exists(), "what was begun is taken back");
}

/// What the reference's own functions conclude from a home.
fn readers(home: &Path) -> Value {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reference/readers.py");
    let said = hermes(home, "python").arg(script).output().expect("the reference's Python runs");
    serde_json::from_slice(&said.stdout).unwrap_or_else(|error| panic!("{error}: {said:?}"))
}

#[test]
fn the_readers_of_the_reference_understand_a_status_of_ours_in_each_state() {
    let home = home();
    let home = home.path();
    let gateway = gateway(home, NAME);
    let pid = gateway.pid();
    let told = |what: &str, expected: &Value| {
        let seen = readers(home);
        for (name, value) in expected.as_object().expect("an object") {
            assert_eq!(&seen[name], value, "{name}, {what}: {seen}");
        }
    };
    let open = json!({"pid": pid, "gateway_state": "running", "active_agents": 0, "busy": false, "drainable": true,
        "drain_requested": false, "notification_suppressed": false});
    told("running", &open);

    let turn = gateway.turn(60_000);
    gateway.until("a turn in flight", |status| status.drain.in_flight == 1);
    told("busy", &json!({"pid": pid, "active_agents": 1, "busy": true, "drainable": true}));

    drain(home, &["begin", "later", "--unready-delay", "10m"]).expect(ExitCode::Drained);
    told("a hold is pending", &json!({"pid": pid, "gateway_state": "running", "drainable": true}));
    drain(home, &["cancel", "later"]).expect(ExitCode::Drained);

    drain(home, &["begin", "upgrade"]).expect(ExitCode::Drained);
    let busy = json!({"pid": pid, "gateway_state": "draining", "active_agents": 1, "busy": false, "drainable": false,
        "drain_requested": false});
    told("draining", &busy);
    drop(turn);
    gateway.kill();

    let gateway = self::gateway(home, NAME);
    let idle = json!({"pid": gateway.pid(), "gateway_state": "draining", "active_agents": 0, "drainable": false});
    told("drained, after a restart", &idle);
    drain(home, &["wait", "upgrade"]).expect(ExitCode::Drained);
    let token = drain(home, &["commit", "upgrade"]).expect(ExitCode::Drained).stdout;
    told("committed", &idle);
    drain(home, &["cancel", "upgrade", "--token", token.trim()]).expect(ExitCode::Drained);

    let turn = gateway.turn(60_000);
    gateway.terminate();
    gateway.until("a shutdown", |status| status.drain.state == DrainState::ShutdownDraining);
    let closing = json!({"pid": gateway.pid(), "gateway_state": "draining", "active_agents": 1, "drainable": false});
    told("shutting down", &closing);
    gateway.terminate();
    assert_eq!(gateway.ends_within(LIMIT), Some(3), "forced, with the turn in flight");
    drop(turn);
    told("stopped", &json!({"pid": null, "gateway_state": "stopped", "busy": false, "drainable": false}));
}

/// A gateway of the reference's own.
struct Theirs(Child);

impl Theirs {
    fn start(home: &Path) -> Self {
        let mut command = hermes(home, "hermes");
        // Without any platform it serves its schedule and follows the marker.
        command.args(["gateway", "run"]).stdout(Stdio::null()).stderr(Stdio::null());
        let theirs = Self(command.spawn().expect("hermes gateway run starts"));
        let status = Home::at(home).status();
        crate::support::eventually::comes_true("the reference's gateway runs", || {
            let status: Option<Value> =
                std::fs::read(&status).ok().and_then(|status| serde_json::from_slice(&status).ok());
            status.is_some_and(|status| status["gateway_state"] == "running")
        });
        theirs
    }
}

impl Drop for Theirs {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_gateway_of_the_reference_can_be_probed_and_left_to_one_of_ours() {
    let home = home();
    let home = home.path();
    let theirs = Theirs::start(home);

    let status = drain(home, &["status", "--json"]).expect(ExitCode::Drained).json();
    assert_eq!((&status["gateway_running"], &status["gateway_state"]), (&json!(true), &json!("running")), "{status}");
    let asked = drain(home, &["begin", "upgrade"]).expect(ExitCode::Usage);
    assert!(asked.stderr.contains("knows no holds"), "{asked:?}");
    let state = Home::at(home).status();
    let acted = drain(home, &["run", "--marker", "--", "cat", state.to_str().expect("text")]).expect_code(0).json();
    assert_eq!(acted["gateway_state"], "draining", "it acts once their gateway says that it drains");
    assert!(!Home::at(home).marker().exists(), "and takes its marker back");

    // It drains twenty times by a watcher that looks once a second.
    let probe = tool(home).args(["probe", "--json", "--patience", "20s"]).output().expect("the probe runs");
    assert_eq!(probe.status.code(), Some(i32::from(ExitCode::Broken.code())), "{probe:?}");
    let report: Value = serde_json::from_slice(&probe.stdout).expect("the report is JSON");
    let rows = report["rows"].as_array().expect("rows");
    for row in rows {
        assert!(row["sight"] != "broken" || row["property"] == "C4", "{row}");
    }
    let broken = |text: &str| rows.iter().any(|row| row["evidence"].as_str().is_some_and(|said| said.contains(text)));
    assert!(broken("a marker with bytes that are no UTF-8: the status says running"), "{rows:?}");
    // Without a turn of the probe's own, some of it by the status' word alone.
    for kept in ["H1", "S2", "S6", "L2", "C1", "C3", "G6"] {
        let seen = |row: &&Value| row["property"] == kept && (row["sight"] == "kept" || row["sight"] == "told");
        assert!(rows.iter().any(|row| seen(&row)), "{kept}: {rows:?}");
    }

    drop(theirs);
    let ours = gateway(home, "gateway");
    let status = ours.until("running", |status| status.drain.state == DrainState::Running);
    assert_eq!(status.drain.reconciler.last_error, None, "a home that the reference left is no error");
    is_served(&ours, home, "a gateway of the reference");
}
