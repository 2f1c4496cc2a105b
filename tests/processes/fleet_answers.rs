//! What isn't an answer of etcd or of a FleetLock server closes nothing: redirects, pages, huge and slow answers, another cluster.

#![cfg(feature = "fleet")]

use crate::support::etcd::{Between, Way, answer, timed};
use crate::support::process::{GatewayProcess, home};
use crate::support::tool::{Tool, tool};
use gateway_drain::client::ExitCode;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// `run` on this home, with its slots at this address.
fn run(home: &Path, lock: &str, patience: &str) -> crate::support::tool::Ended {
    let mut run = tool(home);
    run.args(["run", "--patience", patience, "--fleet-lock", lock, "--fleet-group", "web", "--", "touch"]);
    Tool::spawn({
        run.arg(home.join("acted"));
        run
    })
    .ended()
}

#[test]
fn what_is_no_answer_of_the_engines_closes_nothing() {
    let home = home();
    let gateway = GatewayProcess::start(home.path());
    let html = "<html><title>Sign in</title></html>";
    let header = r#""header": {"cluster_id": "1"}"#;
    let deep = format!("{{{header}, \"responses\": {}{}}}", "[".repeat(5000), "]".repeat(5000));
    let huge = "x".repeat(17 * 1024 * 1024);
    let moved =
        b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            .to_vec();
    let answers = [
        ("a redirect", moved),
        ("a page", answer(200, "text/html", html)),
        ("a page for a failure", answer(502, "text/html", html)),
        ("nothing at all", Vec::new()),
        ("no HTTP", b"\xff\xfe\x00\r\n\r\n".to_vec()),
        ("no success", answer(204, "application/json", "")),
        ("another program's JSON", answer(500, "application/json", r#"{"status": "down"}"#)),
        ("a failure of etcd's", answer(503, "application/json", r#"{"error": "no leader", "code": 14}"#)),
        ("too deep", answer(500, "application/json", &deep)),
        ("too much", answer(200, "text/html", &huge)),
        ("less than promised", b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{".to_vec()),
    ];
    let mut servers: Vec<(&str, Between, bool)> = vec![("silence", Between::start("", |_| Way::Silence), true)];
    for (what, bytes) in answers {
        servers.push((what, Between::start("", move |_| Way::Answer(bytes.clone())), true));
    }
    // Of etcd alone: what could be its answer and says nothing.
    let almost = [
        "{}".to_owned(),
        "[]".to_owned(),
        format!(
            r#"{{{header}, "responses": [{{"response_range": {{"kvs": [{{"key": "?", "mod_revision": "1"}}]}}}}]}}"#
        ),
        format!(
            r#"{{{header}, "responses": [{{"response_range": {{"kvs": [{{"key": "YQ==", "value": "e30="}}]}}}}]}}"#
        ),
        r#"{"error": "etcdserver: permission denied", "code": 7}"#.to_owned(),
    ];
    for body in almost {
        let code = if body.contains("error") { 403 } else { 200 };
        let between = Between::start("", move |_| Way::Answer(answer(code, "application/json", &body)));
        servers.push(("almost etcd's", between, false));
    }
    std::thread::scope(|all| {
        for (what, server, is_any) in &servers {
            let locks = [Some(server.url()), is_any.then(|| format!("http://{}", server.host))];
            for lock in locks.into_iter().flatten() {
                let home = home.path();
                all.spawn(move || {
                    let (tried, took) = timed(|| run(home, &lock, "1s"));
                    assert!(took < Duration::from_secs(50), "{what}: {took:?}");
                    tried.expect_code(i32::from(ExitCode::Fleet.under_run()));
                });
            }
        }
    });
    assert!(!home.path().join("acted").exists() && gateway.admits());
    gateway.until("that it was never closed", |status| status.drain.generation.to_string() == "0");
}

#[test]
fn endpoints_of_two_clusters_are_no_fleet() {
    let home = home();
    let gateway = GatewayProcess::start(home.path());
    let mut asked = 0;
    let first = Between::start("", move |_| {
        asked += 1;
        if asked > 1 {
            return Way::Answer(Vec::new());
        }
        // {"total_slots": 1, "holders": ["x"]}: full, so that it is asked again.
        let value = "eyJ0b3RhbF9zbG90cyI6IDEsICJob2xkZXJzIjogWyJ4Il19";
        let range = json!({"response_range": {"kvs": [{"key": "YQ==", "value": value, "mod_revision": "1"}]}});
        let body =
            json!({"header": {"cluster_id": "1"}, "succeeded": true, "responses": [range, {"response_range": {}}]});
        Way::Answer(answer(200, "application/json", &body.to_string()))
    });
    let second = Between::start("", |_| {
        let body = json!({"header": {"cluster_id": "2"}, "succeeded": true, "responses": []});
        Way::Answer(answer(200, "application/json", &body.to_string()))
    });
    let tried = run(home.path(), &format!("etcd://{},{}", first.host, second.host), "30s");
    let tried = tried.expect_code(i32::from(ExitCode::Usage.under_run()));
    assert!(tried.stderr.contains("another etcd cluster"), "{}", tried.stderr);
    assert!(gateway.admits());
}

/// A server that grants every slot and takes it back.
fn lock_server() -> Between {
    Between::start("", |_| Way::Answer(answer(200, "application/json", "")))
}

#[test]
fn a_command_that_fails_keeps_the_slot_and_its_own_code_and_one_that_succeeds_gives_it_back() {
    let home = home();
    let _gateway = GatewayProcess::start(home.path());
    let (server, result) = (lock_server(), home.path().join("result.json"));
    for (exit, slot) in [(0, "given_back"), (3, "kept")] {
        let mut run = tool(home.path());
        run.args(["run", "--fleet-lock", &format!("http://{}", server.host), "--fleet-group", "web", "--json-file"]);
        run.arg(&result).args(["--", "sh", "-c", &format!("exit {exit}")]);
        let ended = Tool::spawn(run).ended().expect_code(exit);
        let said: Value = serde_json::from_slice(&std::fs::read(&result).expect("the result")).expect("JSON");
        assert_eq!(said["slot"], slot, "{said} {ended:?}");
        assert_eq!(ended.stderr.contains("the command ended with 3"), exit == 3, "{ended:?}");
    }
}

#[test]
fn a_signal_after_the_command_ends_the_wait_for_the_gateway_and_keeps_the_slot() {
    let home = home();
    let (gateway, server) = (GatewayProcess::start(home.path()), lock_server());
    let mut run = tool(home.path());
    run.args(["run", "--patience", "3s", "--ready-within", "1h", "--fleet-group", "web"]);
    run.args(["--fleet-lock", &format!("http://{}", server.host), "--", "kill", "-9", &gateway.pid().to_string()]);
    let run = Tool::spawn(run);
    run.said("no gateway has noticed the end of the hold");
    run.signal(Signal::TERM);
    let ended = run.ended();
    assert!(ended.stderr.contains("interrupted before it was seen running and ready"), "{ended:?}");
    ended.expect_code(i32::from(ExitCode::SlotKept.under_run()));
}

#[test]
fn a_slot_that_a_fleet_lock_server_takes_back_by_hand_is_no_more_than_accepted() {
    let (home, server) = (home(), lock_server());
    let url = format!("http://{}", server.host);
    let fleet = |words: &[&str]| {
        let mut fleet = tool(home.path());
        fleet.args(["fleet", "--fleet-lock", &url]).args(words);
        Tool::spawn(fleet).ended()
    };
    let ended = fleet(&["--fleet-group", "web", "release", "gateway-1"]).expect(ExitCode::Drained);
    assert!(ended.stdout.contains("the server accepted it"), "{ended:?}");
    fleet(&["release", "gateway-1"]).expect(ExitCode::Usage);
    // Who has a slot, a FleetLock server says to nobody.
    fleet(&["status"]).expect(ExitCode::Usage);
}
