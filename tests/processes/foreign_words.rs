//! What isn't the endpoint's own word is silence: a proxy in between answers by itself for a second, at every point of a
//! drain, and the outcomes are the same as without it; and a gateway that knows no holds is told apart before anything is asked.

use crate::support::lying_proxy::{CODES, Disturbance, LyingProxy, hand_on, response, serve, tried_behind_a_proxy};
use crate::support::process::{GatewayProcess, home};
use crate::support::tool::{Ended, STATE_VARIABLE, Tool, drain, tool};
use gateway_drain::client::{ExitCode, Gateway};
use gateway_drain::{RequestId, Snapshot};
use std::io::Read;
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

fn over(address: &str, secret: &str, state: &Path, arguments: &[&str]) -> Ended {
    let mut command = tool(state);
    command.env(STATE_VARIABLE, state.join("state")).env(Gateway::SECRET_VARIABLE, secret);
    command.args(["--url", &format!("http://{address}"), "--patience", "20s"]).args(arguments);
    Tool::spawn(command).ended()
}

fn guarded(home: &Path) -> (GatewayProcess, String) {
    let secret = drain(home, &["secret", "new"]).expect(ExitCode::Drained).stdout.trim().to_owned();
    (GatewayProcess::start_with_secret(home, &secret, "127.0.0.1:0"), secret)
}

fn tokens_left(state: &Path) -> usize {
    std::fs::read_dir(state.join("state")).map_or(0, Iterator::count)
}

/// A command, the holds that it finds there, and what it comes to.
struct Case {
    /// `ID` stands for the hold's name.
    command: &'static [&'static str],
    before: &'static [&'static [&'static str]],
    code: i32,
    /// Whether the hold stands afterwards.
    stands: bool,
}

const BEGUN: &[&str] = &["begin", "ID", "--lease", "600s"];
const CASES: [Case; 9] = [
    Case { command: &["run", "--id", "ID", "--", "sh", "-c", "exit 42"], before: &[], code: 42, stands: false },
    Case { command: &["run", "--id", "ID", "--attach", "--", "true"], before: &[BEGUN], code: 0, stands: false },
    Case { command: &["begin", "ID"], before: &[], code: 0, stands: true },
    Case { command: &["begin", "ID", "--incarnation", "current"], before: &[], code: 0, stands: true },
    Case { command: &["begin", "ID", "--attach"], before: &[BEGUN], code: 0, stands: true },
    Case { command: &["wait", "ID"], before: &[BEGUN], code: 0, stands: true },
    Case { command: &["renew", "ID"], before: &[BEGUN], code: 0, stands: true },
    Case { command: &["commit", "ID"], before: &[BEGUN], code: 0, stands: true },
    Case { command: &["cancel", "ID"], before: &[BEGUN, &["commit", "ID"]], code: 0, stands: false },
];

impl Case {
    /// Tries it behind a proxy that disturbs it so; gives how many requests it took.
    fn is_as_without(&self, gateway: &GatewayProcess, secret: &str, id: &str, what: Option<Disturbance>) -> usize {
        let (state, proxy) = (home(), LyingProxy::before(&gateway.address));
        let named = |words: &[&'static str]| -> Vec<String> {
            words.iter().map(|word| if *word == "ID" { id } else { word }.to_owned()).collect()
        };
        let tool = |words: &[&'static str]| {
            let words = named(words);
            over(&proxy.address, secret, state.path(), &words.iter().map(String::as_str).collect::<Vec<_>>())
        };
        for before in self.before {
            tool(before).expect(ExitCode::Drained);
        }
        proxy.disturb(what);
        let ended = tool(self.command);
        let asked = proxy.asked();
        assert_eq!(ended.code, Some(self.code), "{:?}, {what:?}: {ended:?}", self.command);
        let found = RequestId::new(id).unwrap();
        let says = |status: &Snapshot| status.drain.hold(&found).is_some() == self.stands;
        let status = gateway.until("what became of the hold", says);
        if let Some(hold) = status.drain.hold(&found) {
            let committed = self.command[0] == "commit";
            assert_eq!(hold.committed, committed, "{:?}, {what:?}", self.command);
            proxy.disturb(None);
            tool(&["cancel", "ID"]).expect(ExitCode::Drained);
        }
        assert_eq!(tokens_left(state.path()), 0, "{:?}, {what:?}: a token was left", self.command);
        asked
    }
}

/// Does each on one of a few threads: they wait for the proxy most of the time.
fn at_the_same_time<T: Send>(work: impl IntoIterator<Item = T>, each: impl Fn(T) + Sync) {
    let work = Mutex::new(work.into_iter().collect::<Vec<_>>());
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                while let Some(next) = { work.lock().expect("nobody panicked").pop() } {
                    each(next);
                }
            });
        }
    });
}

#[test]
fn each_command_behind_a_proxy_that_answers_by_itself_for_a_second_ends_as_without_it() {
    let home = home();
    let (gateway, secret) = guarded(home.path());
    let number = AtomicUsize::new(0);
    let id = || format!("upgrade-{}", number.fetch_add(1, Ordering::SeqCst));
    let mut work = Vec::new();
    for case in &CASES {
        let points = case.is_as_without(&gateway, &secret, &id(), None);
        assert!((2..40).contains(&points), "{points} requests of an undisturbed {:?}", case.command);
        for number in 0..2 * points {
            work.push((case, Disturbance::numbered(number, points)));
        }
    }
    at_the_same_time(tried_behind_a_proxy(work), |(case, what)| {
        _ = case.is_as_without(&gateway, &secret, &id(), Some(what))
    });
    assert!(gateway.admits(), "the gate stayed closed");
}

#[test]
fn no_code_of_a_proxys_is_taken_for_the_gateways_while_a_run_waits() {
    let home = home();
    let (gateway, secret) = guarded(home.path());
    at_the_same_time(CODES, |code| {
        let what = Disturbance { at_request: 3, code, only_the_answer: false };
        CASES[0].is_as_without(&gateway, &secret, &format!("upgrade-{code}"), Some(what));
    });
    assert!(gateway.admits(), "the gate stayed closed");
}

#[test]
fn the_status_and_the_marker_behind_a_proxy_that_answers_by_itself_are_as_without_it() {
    let home = home();
    let (gateway, secret) = guarded(home.path());
    let (state, proxy) = (crate::support::process::home(), LyingProxy::before(&gateway.address));
    over(&gateway.address, &secret, state.path(), &["begin", "upgrade"]).expect(ExitCode::Drained);
    for number in 0..4 {
        proxy.disturb(Some(Disturbance::numbered(number, 2)));
        let shown = over(&proxy.address, &secret, state.path(), &["status", "--json"]).expect(ExitCode::Drained).json();
        assert_eq!(shown["drain"]["holds"][0]["request_id"], "upgrade", "{number}: {shown}");
    }
    over(&gateway.address, &secret, state.path(), &["cancel", "upgrade"]).expect(ExitCode::Drained);
    for number in 0..6 {
        let what = Disturbance::numbered(number, 3);
        for verb in ["begin", "cancel"] {
            proxy.disturb(Some(what));
            over(&proxy.address, &secret, state.path(), &[verb, "--marker"]).expect(ExitCode::Drained);
            assert_eq!(gateway.admits(), verb == "cancel", "{verb} --marker, {what:?}");
        }
        proxy.disturb(Some(what));
        over(&proxy.address, &secret, state.path(), &["run", "--marker", "--", "sh", "-c", "exit 42"]).expect_code(42);
        assert!(gateway.admits(), "run --marker, {what:?}");
    }
}

#[test]
fn a_proxy_that_never_lets_anything_through_is_silence_for_as_long_as_the_patience_lasts_and_no_longer() {
    let state = home();
    let server = serve(|_| response(404, "", "<html>404 page not found</html>"));
    for arguments in [&["begin"][..], &["wait", "x"], &["cancel", "x"], &["commit", "x"], &["renew", "x"], &["status"]]
    {
        let began = Instant::now();
        let patience = &["--patience", "1s"][..];
        let mut command = tool(state.path());
        command.args(["--url", &format!("http://{}", server.address)]).args(patience).args(arguments);
        let ended = Tool::spawn(command).ended().expect(ExitCode::Unreachable);
        assert!(began.elapsed() < Duration::from_secs(20), "{arguments:?}: {:?}: {ended:?}", began.elapsed());
    }
}

#[test]
fn a_port_that_never_answers_is_given_up_after_the_patience() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let state = home();
    for arguments in [&["begin", "x"][..], &["cancel", "x"], &["override", "x"], &["status"]] {
        let began = Instant::now();
        let mut command = tool(state.path());
        command.args(["--url", &url, "--patience", "1s"]).args(arguments);
        Tool::spawn(command).ended().expect(ExitCode::Unreachable);
        assert!(began.elapsed() < Duration::from_secs(20), "{arguments:?} took {:?}", began.elapsed());
    }
    // And the first Ctrl-C ends it at once.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    for arguments in [
        &["begin", "x"][..],
        &["begin", "--marker"],
        &["cancel", "x"],
        &["override", "x"],
        &["status"],
        &["wait", "x"],
        &["renew", "x"],
        &["run", "--", "true"],
        &["run", "--marker", "--", "true"],
    ] {
        let mut command = tool(state.path());
        command.args(["--url", &url, "--patience", "60s"]).args(arguments);
        let tool = Tool::spawn(command);
        let (mut connection, _) = listener.accept().expect("it asks");
        let _ = connection.read(&mut [0; 16]);
        let began = Instant::now();
        tool.signal(rustix::process::Signal::INT);
        let code = tool.ended().code.expect("it ended by itself");
        assert!(code == 130 || (arguments[0] == "run" && code == 230), "{arguments:?} ended with {code}");
        assert!(began.elapsed() < Duration::from_secs(20), "{arguments:?} took {:?}", began.elapsed());
    }
}

#[test]
fn an_answer_whose_head_has_20_kib_is_read_and_one_of_40_is_silence() {
    for (length, patience, code) in [(20, "30s", ExitCode::Drained), (40, "1s", ExitCode::Unreachable)] {
        let head = format!("Content-Type: application/json\r\nX-Padding: {}\r\n", "x".repeat(length * 1024));
        let status = r#"{"gateway_running": true, "gateway_state": "running", "active_agents": 0}"#;
        let (server, state) = (serve(move |_| response(200, &head, status)), home());
        let mut command = tool(state.path());
        command.args(["--url", &format!("http://{}", server.address), "--patience", patience, "status"]);
        Tool::spawn(command).ended().expect(code);
    }
}

#[test]
fn who_asks_to_be_left_alone_is_left_alone() {
    let home = home();
    let (gateway, secret) = guarded(home.path());
    let (behind, times) = (gateway.address.clone(), Arc::new(Mutex::new(Vec::new())));
    let seen = Arc::clone(&times);
    let server = serve(move |asked| {
        let mut times = seen.lock().expect("nobody panicked");
        times.push(Instant::now());
        if times.len() == 3 {
            return response(429, "Retry-After: 2\r\n", "{}");
        }
        drop(times);
        hand_on(&behind, asked)
    });
    let state = crate::support::process::home();
    assert_eq!(over(&server.address, &secret, state.path(), &["run", "--", "true"]).code, Some(0));
    let times = times.lock().expect("nobody panicked");
    let pause = times[3] - times[2];
    assert!(pause >= Duration::from_millis(1900), "it asked again after {pause:?}");
    assert!(gateway.admits());
}

#[test]
fn who_asks_to_be_left_alone_for_an_hour_is_asked_again_within_the_patience() {
    let home = home();
    let (gateway, secret) = guarded(home.path());
    let (behind, asked_for) = (gateway.address.clone(), Arc::new(Mutex::new(std::collections::BTreeSet::new())));
    let server = serve(move |asked| {
        let body = String::from_utf8_lossy(&asked.body);
        // Once before each step: the withdrawal too.
        for step in ["drain", "commit", "cancel"] {
            if body.contains(&format!(r#""action":"{step}""#))
                && asked_for.lock().expect("nobody panicked").insert(step)
            {
                return response(429, "Retry-After: 3600\r\n", "{}");
            }
        }
        hand_on(&behind, asked)
    });
    let state = crate::support::process::home();
    let mut command = tool(state.path());
    command.env(Gateway::SECRET_VARIABLE, &secret).args([
        "--url",
        &format!("http://{}", server.address),
        "--patience",
        "6s",
    ]);
    command.args(["run", "--", "true"]);
    let ended = Tool::spawn(command).ended();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(gateway.admits(), "the commit was left standing");
}

#[test]
fn where_nothing_answers_a_withdrawal_the_line_that_makes_up_for_it_is_told() {
    let home = home();
    let (gateway, secret) = guarded(home.path());
    let (behind, is_cut) = (gateway.address.clone(), AtomicBool::new(false));
    let server = serve(move |asked| {
        let cancels = String::from_utf8_lossy(&asked.body).contains(r#""action":"cancel""#);
        if is_cut.fetch_or(cancels, Ordering::SeqCst) || cancels {
            return Vec::new();
        }
        hand_on(&behind, asked)
    });
    let mut command = tool(home.path());
    let url = format!("http://{}", server.address);
    command.env(Gateway::SECRET_VARIABLE, &secret).args(["--url", &url, "--patience", "1s"]);
    let ended = Tool::spawn({
        command.args(["run", "--id", "upgrade", "--", "true"]);
        command
    })
    .ended();
    let line = format!("--url {url} --owner {} cancel upgrade", crate::support::tool::owner());
    assert!(ended.stderr.contains(&line), "it doesn't say {line:?}: {}", ended.stderr);
    assert!(!gateway.admits());
}

mod a_gateway_that_knows_no_holds {
    use super::*;
    use crate::support::acceptor::Acceptor;
    use serde_json::{Value, json};

    /// The reference's endpoint, as far as a controller meets it: one marker, and fields that it doesn't know ignored.
    struct Reference {
        address: String,
        _server: Acceptor,
        drains: Arc<Mutex<bool>>,
        posts: Arc<AtomicUsize>,
    }

    impl Reference {
        fn start(in_flight: u64) -> Self {
            let (drains, posts) = (Arc::new(Mutex::new(false)), Arc::new(AtomicUsize::new(0)));
            let (state, count) = (Arc::clone(&drains), Arc::clone(&posts));
            let server = serve(move |asked| {
                let mut drains = state.lock().expect("nobody panicked");
                let json = "Content-Type: application/json\r\n";
                if asked.head.starts_with("GET /api/status") {
                    let word = if *drains { "draining" } else { "running" };
                    let body = json!({"gateway_running": true, "gateway_state": word, "active_agents": in_flight});
                    return response(200, json, &body.to_string());
                }
                if !asked.head.starts_with("POST /api/gateway/drain ") {
                    return response(401, json, r#"{"error":"unauthenticated","detail":"Unauthorized"}"#);
                }
                count.fetch_add(1, Ordering::SeqCst);
                let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
                if body["action"] == "cancel" {
                    let was = std::mem::take(&mut *drains);
                    let body = json!({"ok": true, "action": "cancel", "was_draining": was});
                    return response(200, json, &body.to_string());
                }
                *drains = true;
                response(200, json, &json!({"ok": true, "action": "drain", "draining": true}).to_string())
            });
            Self { address: server.address.clone(), _server: server, drains, posts }
        }

        fn tool(&self, arguments: &[&str]) -> Ended {
            let state = home();
            over(&self.address, "a-secret", state.path(), arguments)
        }

        fn drains(&self) -> bool {
            *self.drains.lock().expect("nobody panicked")
        }
    }

    #[test]
    fn is_asked_for_nothing_that_it_would_take_for_something_else() {
        let reference = Reference::start(0);
        *reference.drains.lock().unwrap() = true;
        for arguments in [
            &["begin", "x"][..],
            &["wait", "x"],
            &["renew", "x"],
            &["commit", "x"],
            &["cancel", "x"],
            &["override", "x"],
        ] {
            let ended = reference.tool(arguments).expect(ExitCode::Usage);
            assert!(ended.stderr.contains("--marker"), "{arguments:?}: {}", ended.stderr);
        }
        reference.tool(&["run", "--", "true"]).expect_code(202);
        assert!(reference.drains(), "somebody else's drain was ended");
        assert_eq!(reference.posts.load(Ordering::SeqCst), 0, "something was asked of it");
    }

    #[test]
    fn is_shown_as_what_it_says_and_no_more() {
        let reference = Reference::start(3);
        let shown = reference.tool(&["status"]).expect(ExitCode::Drained);
        assert!(
            shown.stdout.starts_with("running, 3 in flight\n") && shown.stdout.contains("no holds"),
            "{}",
            shown.stdout
        );
        let json = reference.tool(&["status", "--json"]).expect(ExitCode::Drained).json();
        assert_eq!(
            (&json["knows_holds"], &json["active_agents"], &json["drain"]),
            (&false.into(), &3.into(), &Value::Null)
        );
    }

    #[test]
    fn is_drained_by_its_marker() {
        let reference = Reference::start(0);
        reference.tool(&["begin", "--marker"]).expect(ExitCode::Drained);
        assert!(reference.drains());
        // What drains already is somebody's, and whose can't be known.
        reference.tool(&["begin", "--marker"]).expect(ExitCode::Denied);
        reference.tool(&["run", "--marker", "--", "true"]).expect_code(208);
        assert!(reference.drains());
        reference.tool(&["cancel", "--marker"]).expect(ExitCode::Drained);
        assert!(!reference.drains());
        reference.tool(&["run", "--marker", "--", "sh", "-c", "exit 42"]).expect_code(42);
        assert!(!reference.drains(), "the marker was left");
    }

    #[test]
    fn has_its_marker_taken_back_where_work_is_left_at_the_deadline() {
        let reference = Reference::start(1);
        reference.tool(&["run", "--marker", "--timeout", "300ms", "--", "true"]).expect_code(203);
        assert!(!reference.drains(), "the marker was left");
    }

    /// A home as the reference leaves it, of a process that lives: this one.
    fn home_of_reference(state: &str, in_flight: Value) -> tempfile::TempDir {
        let home = home();
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
        let start: u64 = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap().parse().unwrap();
        let status = json!({"gateway_state": state, "active_agents": in_flight, "pid": std::process::id(), "start_time": start, "kind": "hermes-gateway"});
        std::fs::write(home.path().join("gateway_state.json"), status.to_string()).unwrap();
        home
    }

    #[test]
    fn is_told_apart_by_its_home_as_well_and_an_unknown_count_is_not_shown_as_0() {
        let home = home_of_reference("running", 3.into());
        let shown = drain(home.path(), &["status"]).expect(ExitCode::Drained).stdout;
        assert!(shown.starts_with("running, 3 in flight\n"), "{shown}");
        for arguments in [&["begin", "x"][..], &["wait", "x"], &["cancel", "x"], &["commit", "x"], &["renew", "x"]] {
            let ended = drain(home.path(), arguments).expect(ExitCode::Usage);
            assert!(ended.stderr.contains("--marker"), "{}", ended.stderr);
        }
        drain(home.path(), &["run", "--", "true"]).expect_code(202);
        assert!(!home.path().join(".drain_holds").exists(), "something was written");
        let home = home_of_reference("degraded", Value::Null);
        let shown = drain(home.path(), &["status"]).expect(ExitCode::Drained).stdout;
        assert!(shown.starts_with("degraded, an unknown number in flight\n"), "{shown}");
    }

    #[test]
    fn that_does_not_follow_its_marker_has_it_removed_again() {
        let home = home_of_reference("running", 0.into());
        drain(home.path(), &["--patience", "500ms", "begin", "--marker"]).expect(ExitCode::Unreachable);
        assert!(!home.path().join(".drain_request.json").exists(), "the marker was left");
        std::fs::write(home.path().join(".drain_request.json"), r#"{"action":"drain","principal":"nas"}"#).unwrap();
        drain(home.path(), &["begin", "--marker"]).expect(ExitCode::Denied);
        drain(home.path(), &["cancel", "--marker"]).expect(ExitCode::Denied);
        assert!(home.path().join(".drain_request.json").exists(), "somebody else's marker was removed");
    }

    #[test]
    fn or_that_does_is_drained_by_its_marker_over_the_files_too() {
        let home = home();
        let gateway = GatewayProcess::start(home.path());
        drain(home.path(), &["begin", "--marker"]).expect(ExitCode::Drained);
        assert!(!gateway.admits());
        drain(home.path(), &["cancel", "--marker"]).expect(ExitCode::Drained);
        assert!(gateway.admits());
        let turn = gateway.turn(300);
        drain(home.path(), &["run", "--marker", "--", "sh", "-c", "exit 42"]).expect_code(42);
        assert!(turn.finished(), "the turn was cut off");
        assert!(gateway.admits(), "the marker was left");
    }
}
