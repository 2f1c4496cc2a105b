//! What the command line and the client have over HTTP alone: the secret, which is in no output, scopes, and answers that say
//! little. The endings that both ways have are in `endings.rs`.

use crate::support::process::{GatewayProcess, home};
use crate::support::tool::{Ended, Tool, tool};
use axum::http::StatusCode;
use gateway_drain::Home;
use gateway_drain::client::{Drain, ExitCode, Gateway};
use rustix::process::Signal;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A gateway that is reached over HTTP alone, with a secret that the tool itself has made.
struct Remote {
    home: tempfile::TempDir,
    /// No home of any gateway.
    elsewhere: tempfile::TempDir,
    secret: String,
    url: String,
    gateway: Option<GatewayProcess>,
}

impl Remote {
    fn start() -> Self {
        let (home, elsewhere) = (home(), crate::support::process::home());
        let secret = crate::support::tool::drain(home.path(), &["secret", "new"]).expect(ExitCode::Drained).stdout;
        let secret = secret.trim().to_owned();
        let gateway = GatewayProcess::start_with_secret(home.path(), &secret, "127.0.0.1:0");
        let url = format!("http://{}", gateway.address);
        Self { home, elsewhere, secret, url, gateway: Some(gateway) }
    }

    fn gateway(&self) -> &GatewayProcess {
        self.gateway.as_ref().expect("it runs")
    }

    fn tool(&self, arguments: &[&str], secret: Option<&str>) -> Tool {
        let mut command = tool(self.elsewhere.path());
        command.args(["--url", &self.url]).args(arguments);
        command.envs(secret.map(|secret| (Gateway::SECRET_VARIABLE, secret)));
        Tool::spawn(command)
    }

    fn start_tool(&self, arguments: &[&str]) -> Tool {
        self.tool(arguments, Some(&self.secret))
    }

    /// The tool's ending; whatever it said, the secret was not in it.
    #[track_caller]
    fn ended(&self, tool: Tool) -> Ended {
        let ended = tool.ended();
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(!said.contains(&self.secret), "the secret was printed");
        ended
    }

    #[track_caller]
    fn drain(&self, arguments: &[&str]) -> Ended {
        self.ended(self.start_tool(arguments))
    }

    /// Held closed by `upgrade` with a turn in flight, and a wait that has seen it.
    fn waiting(&self, more: &[&str]) -> Tool {
        let _ = self.gateway().turn(600_000);
        self.drain(&["begin", "upgrade"]).expect(ExitCode::Drained);
        let tool = self.start_tool(&[&["wait", "upgrade", "--timeout", "1h"], more].concat());
        tool.said("deadline in");
        tool
    }
}

#[test]
fn a_command_runs_once_the_last_turn_has_ended() {
    let remote = Remote::start();
    let turn = remote.gateway().turn(500);
    remote.drain(&["run", "--", "sh", "-c", "exit 42"]).expect_code(42);
    assert!(turn.finished(), "the turn was cut off");
    assert!(remote.gateway().admits(), "the hold was not given up");
}

#[test]
fn an_override_over_http_wants_a_token_with_that_scope() {
    let remote = Remote::start();
    remote.drain(&["begin", "upgrade"]).expect(ExitCode::Drained);
    remote.drain(&["override", "upgrade"]).expect(ExitCode::Denied);
    assert!(!remote.gateway().admits(), "a token for drains overrode a hold");
}

#[test]
fn a_gateway_that_is_killed_ends_the_wait_with_7() {
    let mut remote = Remote::start();
    let waiting = remote.waiting(&["--patience", "3s"]);
    remote.gateway.take().unwrap().kill();
    remote.ended(waiting).expect(ExitCode::Unreachable);
    remote.drain(&["status"]).expect(ExitCode::Unreachable);
    let begun = remote.drain(&["begin", "upgrade", "--patience", "500ms"]).expect(ExitCode::Unreachable);
    let last = begun.stderr.lines().last().unwrap_or_default();
    assert_eq!(last.matches("can't be reached").count(), 1, "it says so once: {last}");
}

#[test]
fn a_refused_connection_is_soon_an_answer_to_a_status_and_is_ridden_out_by_what_waits_for_the_gateway() {
    let mut remote = Remote::start();
    let address = remote.gateway().address.clone();
    remote.gateway.take().unwrap().kill();
    let began = Instant::now();
    let status = remote.drain(&["status", "--patience", "10m"]).expect(ExitCode::Unreachable);
    assert!(began.elapsed() < Duration::from_secs(60), "it took the patience of a command that waits");
    assert!(status.stderr.contains("refused"), "{}", status.stderr);
    for command in [&["begin", "upgrade"][..], &["run", "--", "true"], &["cancel", "upgrade"]] {
        let waits = remote.start_tool(&[command, &["--patience", "10m"]].concat()[..]);
        remote.gateway = Some(GatewayProcess::start_with_secret(remote.home.path(), &remote.secret, &address));
        assert_eq!(remote.ended(waits).code, Some(0), "{command:?}");
        remote.gateway.take().unwrap().kill();
    }
}

#[test]
fn a_second_ctrl_c_ends_a_command_that_gives_up_what_it_has_begun_and_says_what_may_be_left() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let elsewhere = home();
    let (_keep, pause) = std::sync::mpsc::channel::<()>();
    for (arguments, code, left) in [
        (&["begin", "--marker"][..], 130, "cancel --marker"),
        (&["probe"], 130, "gateway-drain status"),
        (&["run", "--", "true"], 230, "cancel"),
    ] {
        let mut command = tool(elsewhere.path());
        command
            .args(["--url", &url, "--patience", "10m"])
            .args(arguments)
            .env(Gateway::SECRET_VARIABLE, "s".repeat(64));
        let tool = Tool::spawn(command);
        // It waits for an answer. Two signals at once may be one.
        let connection = silent.accept().unwrap();
        for _ in 0..10 {
            tool.signal(Signal::INT);
            let _ = pause.recv_timeout(Duration::from_millis(100));
        }
        let ended = tool.ended();
        assert_eq!(ended.code, Some(code), "{arguments:?}: {ended:?}");
        assert!(ended.stderr.contains(left), "{arguments:?}: it doesn't say {left:?}: {}", ended.stderr);
        drop(connection);
    }
}

#[test]
fn a_missing_and_a_wrong_secret_exit_with_8_and_begin_nothing() {
    let remote = Remote::start();
    let wrong = remote.secret.chars().rev().collect::<String>();
    for secret in [None, Some(wrong.as_str())] {
        let ended = remote.tool(&["begin", "upgrade"], secret).ended().expect(ExitCode::Denied);
        assert!(!ended.stderr.contains(&wrong), "the secret was printed");
    }
    assert!(remote.gateway().admits(), "a drain was begun without the right secret");
}

#[test]
fn our_name_for_the_secret_holds_over_the_references_and_must_not_be_empty() {
    let remote = Remote::start();
    let wrong = remote.secret.chars().rev().collect::<String>();
    let in_file = remote.elsewhere.path().join("secret");
    std::fs::write(&in_file, &remote.secret).unwrap();
    let file = in_file.to_str().unwrap();
    let (ours, theirs) = (Gateway::SECRET_VARIABLE, Gateway::REFERENCE_SECRET_VARIABLE);
    let (our_file, their_file) = ("GATEWAY_DRAIN_SECRET_FILE", "HERMES_DASHBOARD_DRAIN_SECRET_FILE");
    let (right, wrong) = (remote.secret.as_str(), wrong.as_str());
    for (variables, expected) in [
        (&[(ours, right), (our_file, "/nowhere"), (theirs, wrong)][..], ExitCode::Drained),
        (&[(our_file, file), (theirs, wrong)], ExitCode::Drained),
        (&[(theirs, right), (their_file, "/nowhere")], ExitCode::Drained),
        (&[(their_file, file)], ExitCode::Drained),
        (&[(ours, wrong), (theirs, right)], ExitCode::Denied),
        (&[(ours, ""), (theirs, right)], ExitCode::Usage),
        (&[(our_file, "/nowhere"), (theirs, right)], ExitCode::Usage),
        // To the reference an empty secret is none.
        (&[(theirs, " ")], ExitCode::Denied),
    ] {
        let mut command = tool(remote.elsewhere.path());
        command.args(["--url", &remote.url, "begin"]).envs(variables.iter().copied());
        let ended = remote.ended(Tool::spawn(command)).expect(expected);
        let named = [ours, our_file].iter().any(|name| ended.stderr.contains(name));
        assert!(expected == ExitCode::Drained || named, "{variables:?}: {}", ended.stderr);
    }
}

#[test]
fn heartbeats_keep_a_short_lease_and_the_status_is_shown() {
    let remote = Remote::start();
    let turn = remote.gateway().turn(14_000);
    let id = ["--id", "upgrade"];
    let tool = remote.start_tool(&[&["run", "--lease", "6s"], &id[..], &["--", "true"]].concat());
    tool.said("external_draining, 1 in flight");
    let status = remote.drain(&["status", "--json"]).expect(ExitCode::Drained).json();
    assert_eq!((&status["gateway_state"], &status["active_agents"]), (&"draining".into(), &1.into()), "{status}");
    remote.ended(tool).expect_code(0);
    assert!(turn.finished());
    assert!(remote.gateway().admits(), "the hold was not given up");
}

/// A server between the client and a gateway that hands everything on but for what answers about holds say beyond a few
/// fields: as from another gateway, which knows no more.
struct Terse {
    _runtime: tokio::runtime::Runtime,
    url: String,
    left_out: Arc<Mutex<BTreeSet<String>>>,
}

impl Terse {
    fn before(gateway: &GatewayProcess, said: &'static [&'static str]) -> Self {
        let (behind, left_out) = (format!("http://{}", gateway.address), Arc::new(Mutex::new(BTreeSet::new())));
        let left = Arc::clone(&left_out);
        let hand_on = move |request: axum::extract::Request| {
            let (behind, left) = (behind.clone(), Arc::clone(&left));
            async move {
                let (head, body) = request.into_parts();
                let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
                let answered = tokio::task::spawn_blocking(move || answer(&behind, &head, &body)).await.unwrap();
                let (code, mut answer) = answered;
                let fields = answer.as_object_mut().expect("every answer is an object");
                left.lock().unwrap().extend(fields.keys().filter(|name| !said.contains(&name.as_str())).cloned());
                fields.retain(|name, _| said.contains(&name.as_str()));
                (code, axum::Json(answer))
            }
        };
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        runtime.spawn(async { axum::serve(listener, axum::Router::new().fallback(hand_on)).await });
        Self { _runtime: runtime, url, left_out }
    }

    /// The names of what it has left out so far.
    fn left_out(&self) -> Vec<String> {
        self.left_out.lock().unwrap().iter().cloned().collect()
    }
}

/// What the gateway behind answers to this.
fn answer(behind: &str, head: &axum::http::request::Parts, body: &[u8]) -> (StatusCode, Value) {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let (url, bearer) = (format!("{behind}{}", head.uri), &head.headers["authorization"]);
    let answered = if head.method == "GET" {
        agent.get(url).header("authorization", bearer).call()
    } else {
        agent.post(url).header("authorization", bearer).header("content-type", "application/json").send(body)
    };
    let mut response = answered.expect("the gateway answers");
    (response.status(), serde_json::from_str(&response.body_mut().read_to_string().unwrap()).unwrap())
}

#[test]
fn of_an_answer_the_client_wants_the_hold_its_nonce_what_became_of_it_and_the_gateway_and_does_without_the_rest() {
    let mut remote = Remote::start();
    let terse = Terse::before(
        remote.gateway(),
        &[
            "request_id",
            "nonce",
            "acknowledged",
            "outcome",
            "gateway",
            "error",
            "status",
            "detail",
            "gateway_state",
            "drain",
        ],
    );
    remote.url.clone_from(&terse.url);
    remote.drain(&["begin", "upgrade"]).expect(ExitCode::Drained);
    remote.drain(&["wait", "upgrade"]).expect(ExitCode::Drained);
    let token = remote.drain(&["commit", "upgrade"]).expect(ExitCode::Drained).stdout;
    assert!(!remote.gateway().admits(), "it was never committed");
    remote.drain(&["cancel", "upgrade", "--token", token.trim()]).expect(ExitCode::Drained);
    remote.drain(&["run", "--", "sh", "-c", "exit 42"]).expect_code(42);
    assert!(remote.gateway().admits(), "a hold was not given up");
    let optional = [
        "action",
        "age_seconds",
        "committed",
        "deadline_seconds",
        "lease_left_seconds",
        "ok",
        "overdue",
        "owner",
        "reason",
        "suppress_notification",
    ];
    let left_out = terse.left_out();
    assert!(optional.iter().all(|name| left_out.iter().any(|left| left == name)), "only {left_out:?} was left out");
}

#[test]
fn an_answer_that_does_not_say_acknowledged_is_none_and_the_client_asks_until_the_hold_shows_its_nonce() {
    let mut remote = Remote::start();
    let terse = Terse::before(
        remote.gateway(),
        &["request_id", "nonce", "outcome", "gateway", "error", "status", "detail", "gateway_state", "drain"],
    );
    remote.url.clone_from(&terse.url);
    remote.drain(&["begin", "upgrade"]).expect(ExitCode::Drained);
    assert!(!remote.gateway().admits(), "the hold was taken for acknowledged before the gate had closed");
    remote.drain(&["wait", "upgrade"]).expect(ExitCode::Drained);
    assert!(terse.left_out().contains(&"acknowledged".to_owned()));
}

#[tokio::test]
async fn the_async_client_runs_an_act_over_http() {
    let remote = tokio::task::spawn_blocking(Remote::start).await.unwrap();
    let gateway = Gateway::over_http(&remote.url, Some(remote.secret.clone())).unwrap();
    assert!(!format!("{gateway:?}").contains(&remote.secret), "the secret is in the debug output");
    let done = Drain::of(gateway, "").run_async(async || published(remote.home.path())).await.unwrap();
    done.withdrawn.unwrap();
    assert_eq!((done.value.drain.drained, done.value.drain.holds[0].committed), (true, true));
}

fn published(home: &Path) -> gateway_drain::Snapshot {
    gateway_drain::Snapshot::read(&Home::at(home)).unwrap()
}
