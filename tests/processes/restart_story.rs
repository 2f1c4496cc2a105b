//! A gateway that is restarted, told with real processes: under a commit no turn is admitted, a hold keeps its lease, and what
//! is meant for one process ends with it; however the process ended, over the files and over HTTP.

#![cfg(all(feature = "cli", feature = "axum"))]

use crate::support::load::{End, Load, Tried};
use crate::support::process::{GatewayProcess, home};
use crate::support::supervisor::Supervisor;
use crate::support::tool::{LIMIT, Tool, drain, tool};
use gateway_drain::client::ExitCode;
use gateway_drain::{Home, Snapshot};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

const ANY_PORT: &str = "127.0.0.1:0";

/// How a gateway is brought to its end, once or twice.
const ENDS: [&[&str]; 6] = [
    &["terminate"],
    &["kill"],
    &["terminate", "terminate"],
    &["kill", "kill"],
    &["terminate", "kill"],
    &["kill", "terminate"],
];

#[derive(Clone, Copy, Debug)]
enum Way {
    Files,
    Http,
}

/// `gateway-drain run` with a command that restarts the gateway so, while a client asks for one turn after the other.
fn restarted_under_a_commit(start: fn(&Path, &str) -> GatewayProcess, way: Way, ends: &[&str]) {
    let (home, elsewhere) = (home(), crate::support::process::home());
    let gateway = start(home.path(), ANY_PORT);
    let (address, home_of_tool) = (gateway.address.clone(), if let Way::Files = way { &home } else { &elsewhere });
    let load = Arc::new(Load::start(&address, 1, |_| 0));
    load.until(50);
    // "look" says when the command began and when it was about to end. Before it does, a whole turn is asked: one may be on its
    // way, and one may still try the connection to the process before.
    let asking = Arc::clone(&load);
    let supervisor = Supervisor::of_process(gateway, elsewhere.path(), start, move || asking.until(asking.asked() + 3));

    let orders = ["look"].iter().chain(ends).chain(&["look"]);
    let act = orders.map(|order| supervisor.command(order)).collect::<Vec<_>>().join(" && ");
    let mut run = tool(home_of_tool.path());
    if let Way::Http = way {
        run.arg("--url").arg(format!("http://{address}"));
    }
    run.args(["run", "--id", "restart", "--", "sh", "-c", &act]);
    Tool::spawn(run).ended().expect_code(0);

    let withdrawn = load.asked();
    load.until(withdrawn + 50);
    let acted = supervisor.end();
    let tried = Arc::into_inner(load).expect("the supervisor has ended").stop();
    let (began, ended) = (acted[0], acted[acted.len() - 1]);
    let story = format!("{way:?}, {ends:?}");
    // Asked and answered under the commit: of a turn that was asked before its end and answered after it, nobody outside can
    // tell when it was admitted.
    let within = |tried: &&Tried| tried.from >= began && tried.to <= ended;
    let admitted = |tried: &&Tried| matches!(tried.end, End::Whole | End::CutOff(_));
    let under_the_commit: Vec<_> = tried.iter().filter(within).filter(admitted).collect();
    assert!(under_the_commit.is_empty(), "{story}: a turn was admitted while the owner acted: {under_the_commit:?}");
    assert!(
        tried.iter().any(|tried| tried.to >= began && tried.from <= ended && tried.end == End::Refused),
        "{story}: the gate was asked meanwhile"
    );
    let after = |tried: &&Tried| tried.from > ended && tried.end == End::Whole;
    assert!(tried.iter().any(|tried| after(&tried)), "{story}: no turn was admitted after the withdrawal");
}

#[test]
fn no_turn_is_admitted_between_a_grant_and_its_withdrawal_over_files_however_the_gateway_is_restarted() {
    ENDS.iter().for_each(|ends| restarted_under_a_commit(GatewayProcess::start_at, Way::Files, ends));
}

#[test]
fn no_turn_is_admitted_between_a_grant_and_its_withdrawal_over_http_however_the_gateway_is_restarted() {
    ENDS.iter().for_each(|ends| restarted_under_a_commit(GatewayProcess::start_at, Way::Http, ends));
}

#[test]
fn no_turn_is_admitted_between_a_grant_and_its_withdrawal_by_a_gateway_in_python_however_it_is_restarted() {
    ENDS.iter().for_each(|ends| restarted_under_a_commit(GatewayProcess::in_python, Way::Files, ends));
}

/// The gateway that follows one that ended so, and its first status.
fn next(gateway: GatewayProcess, end: &str, home: &Path) -> (GatewayProcess, Snapshot) {
    if end == "kill" {
        gateway.kill();
    } else {
        gateway.terminate();
        assert_eq!(gateway.ends_within(LIMIT), Some(0));
    }
    let gateway = GatewayProcess::start(home);
    let pid = gateway.pid();
    let status = gateway.until("a status of its own", |status| status.pid == pid);
    (gateway, status)
}

#[test]
fn an_uncommitted_hold_is_taken_over_with_what_is_left_of_its_lease() {
    for end in ["terminate", "kill"] {
        let home = home();
        let mut gateway = GatewayProcess::start(home.path());
        let began = Instant::now();
        let begin = ["--owner", "ops", "begin", "upgrade", "--lease", "10m", "--reason", "why"];
        drain(home.path(), &begin).expect(ExitCode::Drained);
        for round in 1..=2 {
            let status;
            (gateway, status) = next(gateway, end, home.path());
            let [hold] = &status.drain.holds[..] else { panic!("{end} {round}: one hold: {:?}", status.drain.holds) };
            let left = hold.lease_left_seconds.expect("it is not committed");
            let most = 600.0 - began.elapsed().as_secs_f64();
            assert!(left < 600.0 && left > most - 5.0, "{end} {round}: {left} s are left of 600 s, {most} s at most");
            assert_eq!((&*hold.owner, &*hold.notes.reason), ("ops", "why"), "{end} {round}");
            assert!(!gateway.admits(), "{end} {round}");
        }
        drain(home.path(), &["--owner", "ops", "cancel", "upgrade"]).expect(ExitCode::Drained);
        assert!(gateway.admits(), "{end}");
    }
}

#[test]
fn a_hold_for_one_process_ends_with_it() {
    for end in ["terminate", "kill"] {
        let home = home();
        let gateway = GatewayProcess::start(home.path());
        let begun = drain(home.path(), &["begin", "first", "--json"]).expect(ExitCode::Drained).json();
        let incarnation = begun["incarnation"].as_str().expect("it names the process");
        drain(home.path(), &["begin", "bound", "--incarnation", incarnation]).expect(ExitCode::Drained);
        drain(home.path(), &["cancel", "first"]).expect(ExitCode::Drained);
        assert!(!gateway.admits(), "{end}: it holds its own process");
        let (gateway, status) = next(gateway, end, home.path());
        assert!(status.drain.holds.is_empty(), "{end}: {:?}", status.drain.holds);
        assert!(gateway.admits(), "{end}: the next process is not the one that was meant");
        assert!(Home::at(home.path()).holds_folder().join("bound.json").exists(), "{end}: its file still lies there");
    }
}

#[test]
fn a_commit_of_a_hold_for_one_process_outlasts_it() {
    for end in ["terminate", "kill"] {
        let home = home();
        let gateway = GatewayProcess::start(home.path());
        let begun = drain(home.path(), &["begin", "first", "--json"]).expect(ExitCode::Drained).json();
        let incarnation = begun["incarnation"].as_str().expect("it names the process");
        drain(home.path(), &["begin", "bound", "--incarnation", incarnation]).expect(ExitCode::Drained);
        drain(home.path(), &["cancel", "first"]).expect(ExitCode::Drained);
        let token = drain(home.path(), &["commit", "bound"]).expect(ExitCode::Drained).stdout;
        let (gateway, _) = next(gateway, end, home.path());
        assert!(!gateway.admits(), "{end}: its owner may still be acting");
        drain(home.path(), &["cancel", "bound", "--token", token.trim()]).expect(ExitCode::Drained);
        assert!(gateway.admits(), "{end}");
    }
}
