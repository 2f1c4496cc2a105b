//! What isn't the endpoint's own word is silence: a proxy in between answers by itself for a second, at every point of a
//! drain, and the outcomes are the same as without it; and a gateway that knows no holds is told apart before anything is asked.

use crate::support::lying_proxy::{CODES, hand_on, lie, response, serve};
use crate::support::process::{Ended, GatewayProcess, STATE_VARIABLE, Tool, drain, home, tool};
use gateway_drain::client::{ExitCode, Gateway};
use std::io::Read;
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// When a proxy begins to answer by itself, what with, and whether the request has gone through before.
#[derive(Clone, Copy, Debug)]
struct Disturbance {
    at_request: usize,
    code: u16,
    /// The gateway does what is asked, and its answer is lost.
    only_the_answer: bool,
}

/// A proxy that answers by itself for a second, once.
fn proxy(behind: String, what: Disturbance) -> (String, Arc<AtomicUsize>) {
    let asked_so_far = Arc::new(AtomicUsize::new(0));
    let (count, since) = (Arc::clone(&asked_so_far), Mutex::new(None::<Instant>));
    let address = serve(move |asked| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        let mut since = since.lock().expect("nobody panicked");
        if number >= what.at_request && since.is_none_or(|since| since.elapsed() < Duration::from_secs(1)) {
            since.get_or_insert_with(Instant::now);
            drop(since);
            if what.only_the_answer {
                hand_on(&behind, asked);
            }
            return lie(what.code);
        }
        drop(since);
        hand_on(&behind, asked)
    });
    (address, asked_so_far)
}

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

/// What `run` comes to behind a proxy that disturbs it so.
fn assert_rides_out(gateway: &GatewayProcess, secret: &str, what: Disturbance) -> usize {
    let state = home();
    let (proxy, count) = proxy(gateway.address.clone(), what);
    let ended = over(&proxy, secret, state.path(), &["run", "--id", "upgrade", "--", "sh", "-c", "exit 42"]);
    assert_eq!(ended.code, Some(42), "{what:?}: {ended:?}");
    assert!(gateway.admits(), "{what:?}: the gate stayed closed");
    assert_eq!(tokens_left(state.path()), 0, "{what:?}: a token was left");
    count.load(Ordering::SeqCst)
}

#[test]
fn a_run_behind_a_proxy_that_answers_by_itself_for_a_second_at_any_point_ends_as_without_it() {
    let home = home();
    let (gateway, secret) = guarded(home.path());
    let undisturbed = Disturbance { at_request: usize::MAX, code: 404, only_the_answer: false };
    let points = assert_rides_out(&gateway, &secret, undisturbed);
    assert!((6..40).contains(&points), "{points} requests of an undisturbed run");
    for at_request in 0..points {
        let code = CODES[at_request % CODES.len()];
        for only_the_answer in [false, true] {
            assert_rides_out(&gateway, &secret, Disturbance { at_request, code, only_the_answer });
        }
    }
}

#[test]
fn no_code_of_a_proxys_is_taken_for_the_gateways_while_a_run_waits() {
    let home = home();
    let (gateway, secret) = guarded(home.path());
    for code in CODES {
        assert_rides_out(&gateway, &secret, Disturbance { at_request: 3, code, only_the_answer: false });
    }
}

#[test]
fn a_proxy_that_never_lets_anything_through_is_silence_for_as_long_as_the_patience_lasts_and_no_longer() {
    let state = home();
    let address = serve(|_| response(404, "", "<html>404 page not found</html>"));
    for arguments in [&["begin"][..], &["wait", "x"], &["cancel", "x"], &["commit", "x"], &["renew", "x"], &["status"]]
    {
        let began = Instant::now();
        let patience = &["--patience", "1s"][..];
        let mut command = tool(state.path());
        command.args(["--url", &format!("http://{address}")]).args(patience).args(arguments);
        let ended = Tool::spawn(command).ended().expect(ExitCode::Unreachable);
        assert!(began.elapsed() < Duration::from_secs(6), "{arguments:?}: {:?}: {ended:?}", began.elapsed());
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
        assert!(began.elapsed() < Duration::from_secs(5), "{arguments:?} took {:?}", began.elapsed());
    }
    // And the first Ctrl-C ends it at once.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    for arguments in
        [&["begin", "x"][..], &["cancel", "x"], &["override", "x"], &["status"], &["wait", "x"], &["renew", "x"]]
    {
        let mut command = tool(state.path());
        command.args(["--url", &url, "--patience", "30s"]).args(arguments);
        let tool = Tool::spawn(command);
        let (mut connection, _) = listener.accept().expect("it asks");
        let _ = connection.read(&mut [0; 16]);
        let began = Instant::now();
        tool.signal(rustix::process::Signal::INT);
        tool.ended().expect(ExitCode::Interrupted);
        assert!(began.elapsed() < Duration::from_secs(3), "{arguments:?} took {:?}", began.elapsed());
    }
}

#[test]
fn who_asks_to_be_left_alone_is_left_alone() {
    let home = home();
    let (gateway, secret) = guarded(home.path());
    let (behind, times) = (gateway.address.clone(), Arc::new(Mutex::new(Vec::new())));
    let seen = Arc::clone(&times);
    let address = serve(move |asked| {
        let mut times = seen.lock().expect("nobody panicked");
        times.push(Instant::now());
        if times.len() == 3 {
            return response(429, "Retry-After: 2\r\n", "{}");
        }
        drop(times);
        hand_on(&behind, asked)
    });
    let state = crate::support::process::home();
    assert_eq!(over(&address, &secret, state.path(), &["run", "--", "true"]).code, Some(0));
    let times = times.lock().expect("nobody panicked");
    let pause = times[3] - times[2];
    assert!(pause >= Duration::from_millis(1900), "it asked again after {pause:?}");
    assert!(gateway.admits());
}

mod a_gateway_that_knows_no_holds {
    use super::*;
    use serde_json::{Value, json};

    /// The reference's endpoint, as far as a controller meets it: one marker, and fields that it doesn't know ignored.
    struct Reference {
        address: String,
        drains: Arc<Mutex<bool>>,
        posts: Arc<AtomicUsize>,
    }

    impl Reference {
        fn start(in_flight: u64) -> Self {
            let (drains, posts) = (Arc::new(Mutex::new(false)), Arc::new(AtomicUsize::new(0)));
            let (state, count) = (Arc::clone(&drains), Arc::clone(&posts));
            let address = serve(move |asked| {
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
            Self { address, drains, posts }
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
