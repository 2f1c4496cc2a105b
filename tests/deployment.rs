//! `examples/deploy.sh` against the example gateway under load: no turn cut off, and none refused outside the drain.

mod controlled_gateway;

use controlled_gateway::{Ended, GatewayProcess, Tool, home};
use gateway_drain::Home;
use gateway_drain::client::ExitCode;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn deploy(home: &Path, timeout: &str, action: &[&str]) -> Ended {
    let tool = Path::new(env!("CARGO_BIN_EXE_gateway-drain")).parent().expect("it lies in a folder");
    let path = std::env::join_paths([tool, "/usr/bin".as_ref(), "/bin".as_ref()]).expect("a search path");
    let mut script = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/deploy.sh"));
    script.args(action).env("PATH", path).env(Home::VARIABLE, home).env("USER", "tester").env("DRAIN_TIMEOUT", timeout);
    script.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Tool::spawn(script).ended()
}

/// What became of one turn.
struct Tried {
    from: Instant,
    to: Instant,
    admitted: bool,
    whole: bool,
}

/// Turns, one after the other, until it is over.
fn load(address: &str, over: &AtomicBool) -> Vec<Tried> {
    let mut tried = Vec::new();
    while !over.load(Ordering::Relaxed) && tried.len() < 100_000 {
        let from = Instant::now();
        let post = ureq::post(&format!("http://{address}/turns")).header("content-type", "application/json");
        let answer = post.send(r#"{"session": "load", "millis": 20}"#);
        let to = Instant::now();
        tried.push(match answer {
            Ok(mut response) => {
                let text = response.body_mut().read_to_string().unwrap_or_default();
                Tried { from, to, admitted: true, whole: text.ends_with("done\n") }
            }
            Err(ureq::Error::StatusCode(503)) => Tried { from, to, admitted: false, whole: false },
            Err(other) => panic!("the gateway answers: {other}"),
        });
    }
    tried
}

#[test]
fn a_deployment_under_load_cuts_off_no_turn_and_refuses_none_outside_the_drain() {
    let home = home();
    let gateway = GatewayProcess::start(home.path());
    let (over, address) = (AtomicBool::new(false), gateway.address.clone());
    let (tried, began, ended, deployed) = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4).map(|_| scope.spawn(|| load(&address, &over))).collect();
        gateway.until("turns in flight", |status| status.active_agents > 0 || gateway.admits());
        let began = Instant::now();
        let copy = format!("cp {0}/gateway_state.json {0}/during.json", home.path().display());
        let deployed = deploy(home.path(), "30s", &["sh", "-c", &copy]);
        let ended = Instant::now();
        // The load goes on for a while after the reopening, and turns are admitted again.
        let settled = ended + Duration::from_millis(300);
        while Instant::now() < settled {
            assert!(gateway.admits(), "the gate is closed after the deployment");
        }
        over.store(true, Ordering::Relaxed);
        let tried: Vec<Tried> = workers.into_iter().flat_map(|worker| worker.join().expect("a worker")).collect();
        (tried, began, ended, deployed)
    });
    deployed.expect(ExitCode::Drained);
    let during = std::fs::read_to_string(home.path().join("during.json")).expect("the action ran");
    let during: serde_json::Value = serde_json::from_str(&during).expect("a status");
    assert_eq!(during["active_agents"], 0, "the action ran with turns in flight");

    let cut_off = tried.iter().filter(|turn| turn.admitted && !turn.whole).count();
    let refused = |turn: &&Tried| !turn.admitted;
    let outside = tried.iter().filter(refused).filter(|turn| turn.to < began || turn.from > ended).count();
    assert_eq!((cut_off, outside), (0, 0), "cut off, and refused outside the drain, of {} turns", tried.len());
    assert!(tried.iter().any(|turn| !turn.admitted), "no turn met the drain: this shows nothing");
}

#[test]
fn a_deployment_that_meets_its_deadline_changes_nothing_and_says_so() {
    let home = home();
    let gateway = GatewayProcess::start(home.path());
    let _ = gateway.turn(600_000);
    let deployed = deploy(home.path(), "300ms", &["touch", home.path().join("acted").to_str().expect("text")]);
    let deployed = deployed.expect(ExitCode::Deadline);
    assert!(deployed.stderr.contains("not deployed: work is still in flight"), "{}", deployed.stderr);
    assert!(!home.path().join("acted").exists(), "the action ran with a turn in flight");
    assert!(gateway.admits(), "the gate is still closed");
}
