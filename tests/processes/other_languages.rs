//! The gateway and the controller in `examples/python`, which know this crate by its specification alone: each controller
//! drains each gateway.

#![cfg(all(feature = "cli", feature = "axum"))]

use crate::support::process::{GatewayProcess, examples, home, python};
use crate::support::tool::{LIMIT, Tool, drain, tool};
use gateway_drain::client::ExitCode;
use gateway_drain::{DrainState, Home};
use rustix::fs::{FlockOperation, flock};
use rustix::process::Signal;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

const ANY_PORT: &str = "127.0.0.1:0";

/// A gateway by the name of its language, at this address.
type Start = fn(&Path, &str) -> GatewayProcess;
const GATEWAYS: [(&str, Start); 2] = [("Rust", GatewayProcess::start_at), ("Python", GatewayProcess::in_python)];

/// `gateway-drain run`, or the controller in Python, for a hold with this name and a command.
fn controllers(home: &Path) -> [(&'static str, Command); 2] {
    let (mut rust, mut in_python) = (tool(home), python("controller.py"));
    rust.arg("run");
    in_python.env("HERMES_HOME", home).env("USER", "tester");
    in_python.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    [("Rust", rust), ("Python", in_python)]
}

fn files_left(home: &Path) -> usize {
    std::fs::read_dir(Home::at(home).holds_folder()).map_or(0, Iterator::count)
}

#[test]
fn each_controller_drains_each_gateway_acts_once_the_turn_in_flight_has_ended_and_reopens() {
    for (gateway_in, start) in GATEWAYS {
        for at in 0..2 {
            let home = home();
            let gateway = start(home.path(), ANY_PORT);
            let [(controller_in, mut controller)] =
                controllers(home.path()).into_iter().skip(at).take(1).collect::<Vec<_>>().try_into().expect("one");
            let who = format!("a controller in {controller_in}, a gateway in {gateway_in}");
            let turn = gateway.turn(700);
            let status = Home::at(home.path()).status();
            controller.args(["--id", "upgrade", "--", "cat"]).arg(&status);
            let ended = Tool::spawn(controller).ended().expect_code(0);
            let (status, in_flight) = (ended.json(), ended.json()["drain"]["in_flight"].clone());
            assert_eq!(in_flight, 0, "{who}: it acts while a turn is in flight");
            let hold = &status["drain"]["holds"][0];
            assert_eq!((&hold["request_id"], &hold["committed"]), (&"upgrade".into(), &true.into()), "{who}: {status}");
            assert!(turn.finished(), "{who}: the turn was cut off");
            assert!(gateway.admits(), "{who}: it is closed after the act");
            assert_eq!(files_left(home.path()), 0, "{who}");
        }
    }
}

#[test]
fn a_command_that_fails_reopens_the_gate_and_its_code_is_the_controllers() {
    for (gateway_in, start) in GATEWAYS {
        let home = home();
        let gateway = start(home.path(), ANY_PORT);
        for (controller_in, mut controller) in controllers(home.path()) {
            controller.args(["--", "sh", "-c", "exit 42"]);
            Tool::spawn(controller).ended().expect_code(42);
            assert!(gateway.admits(), "a controller in {controller_in}, a gateway in {gateway_in}");
        }
    }
}

#[test]
fn a_controller_in_python_takes_its_hold_back_when_its_time_is_over_and_when_it_is_told_to_end() {
    let home = home();
    let gateway = GatewayProcess::start(home.path());
    let turn = gateway.turn(600_000);
    let waiting = |more: &[&str]| {
        let [_, (_, mut controller)] = controllers(home.path());
        controller.args(more).args(["--", "touch"]).arg(home.path().join("acted"));
        Tool::spawn(controller)
    };
    waiting(&["--timeout", "0.3"]).ended().expect_code(203);
    let told = waiting(&["--id", "upgrade"]);
    gateway.until("its hold", |status| !status.drain.holds.is_empty());
    told.signal(Signal::TERM);
    told.ended().expect_code(230);
    assert!(gateway.admits() && !home.path().join("acted").exists() && files_left(home.path()) == 0);
    drop((turn, gateway));
}

#[test]
fn a_controller_in_python_that_was_killed_finds_its_token_in_its_own_file() {
    let home = home();
    let gateway = GatewayProcess::start(home.path());
    let [_, (_, mut killed)] = controllers(home.path());
    // It acts for longer than the test looks.
    killed.args(["--id", "upgrade", "--", "sleep", "20"]);
    let killed = Tool::spawn(killed);
    gateway.until("its commit", |status| status.drain.holds.iter().any(|hold| hold.committed));
    killed.signal(Signal::KILL);
    killed.ended();
    assert!(!gateway.admits(), "the commit outlasts its owner");
    let [_, (_, mut again)] = controllers(home.path());
    again.args(["--id", "upgrade", "--", "true"]);
    Tool::spawn(again).ended().expect_code(0);
    assert!(gateway.admits() && files_left(home.path()) == 0);
}

#[test]
fn a_gateway_in_python_finishes_its_turns_on_sigterm_and_leaves_a_commit_to_the_next() {
    let home = home();
    let gateway = GatewayProcess::in_python(home.path(), ANY_PORT);
    drain(home.path(), &["begin", "upgrade"]).expect(ExitCode::Drained);
    let token = drain(home.path(), &["commit", "upgrade"]).expect(ExitCode::Drained).stdout;
    gateway.terminate();
    assert_eq!(gateway.ends_within(LIMIT), Some(0));

    let gateway = GatewayProcess::in_python(home.path(), ANY_PORT);
    assert!(!gateway.admits(), "the commit outlasts the restart");
    drain(home.path(), &["cancel", "upgrade", "--token", token.trim()]).expect(ExitCode::Drained);
    let turn = gateway.turn(300);
    gateway.terminate();
    gateway.until("its shutdown", |status| status.drain.state == DrainState::ShutdownDraining);
    assert!(!gateway.admits() && turn.finished());
    assert_eq!(gateway.ends_within(LIMIT), Some(0));
}

#[test]
fn each_gateway_takes_over_what_the_other_left() {
    let [rust, in_python] = GATEWAYS;
    for ((first_in, first), (next_in, next)) in [(rust, in_python), (in_python, rust)] {
        let home = home();
        let gateway = first(home.path(), ANY_PORT);
        drain(home.path(), &["begin", "backup", "--lease", "10m"]).expect(ExitCode::Drained);
        drain(home.path(), &["begin", "upgrade"]).expect(ExitCode::Drained);
        drain(home.path(), &["commit", "upgrade"]).expect(ExitCode::Drained);
        gateway.kill();
        std::fs::remove_file(Home::at(home.path()).holds_folder().join("upgrade.json")).expect("the commit's file");

        let gateway = next(home.path(), ANY_PORT);
        let pid = gateway.pid();
        let status = gateway.until("a status of its own", |status| status.pid == pid);
        let held: Vec<_> = status.drain.holds.iter().map(|hold| (hold.request_id.as_str(), hold.committed)).collect();
        assert_eq!(held, [("backup", false), ("upgrade", true)], "{next_in} after {first_in}");
        assert!(!gateway.admits(), "{next_in} after {first_in}");
        drain(home.path(), &["cancel", "upgrade"]).expect(ExitCode::Drained);
        drain(home.path(), &["cancel", "backup"]).expect(ExitCode::Drained);
        assert!(gateway.admits(), "{next_in} after {first_in}");
    }
}

#[test]
fn the_gateway_and_the_controller_in_python_keep_every_test_vector_of_the_specification() {
    let mut vectors = python("vectors.py");
    vectors.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/spec/vectors"));
    let ended = vectors.output().expect("python3 is there");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

/// What starts a gateway in this home, and how it ends if it can't.
fn refused(gateway_in: &str, home: &Path) -> String {
    let mut command =
        if gateway_in == "Python" { python("gateway.py") } else { Command::new(examples().join("gateway")) };
    command.arg("--home").arg(home).args(["--listen", ANY_PORT, "--tick-ms", "20"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let ended = Tool::spawn(command).ended();
    assert!(ended.code.is_some_and(|code| code != 0), "{gateway_in}: {ended:?}");
    ended.stderr
}

#[test]
fn neither_gateway_starts_in_a_home_that_another_has_locked_in_any_of_the_three_ways() {
    let first_version = format!("{} {}\n", "0123456789abcdef".repeat(2), std::process::id());
    for (next_in, next) in GATEWAYS {
        for lock in ["the folder", ".drain.lock", "gateway.lock"] {
            let home = home();
            let path = if lock == "the folder" { home.path().to_owned() } else { home.path().join(lock) };
            if lock != "the folder" {
                std::fs::write(&path, &first_version).expect("the home is writable");
            }
            let file = File::open(&path).expect("it is there");
            flock(&file, FlockOperation::NonBlockingLockExclusive).expect("nobody has it");
            let why = refused(next_in, home.path());
            assert!(why.contains("gateway"), "{next_in}, {lock}: {why}");
            drop(file);
            assert!(next(home.path(), ANY_PORT).admits(), "{next_in}, {lock}: it is free again");
        }
        // The reference's lock is of its own, and says something else.
        let home = home();
        std::fs::write(home.path().join("gateway.lock"), "4711\n").expect("the home is writable");
        let file = File::open(home.path().join("gateway.lock")).expect("it is there");
        flock(&file, FlockOperation::NonBlockingLockExclusive).expect("nobody has it");
        assert!(next(home.path(), ANY_PORT).admits(), "{next_in}");
    }
    for ((first_in, first), (next_in, _)) in [(GATEWAYS[0], GATEWAYS[1]), (GATEWAYS[1], GATEWAYS[0])] {
        let home = home();
        let gateway = first(home.path(), ANY_PORT);
        // Somebody cleans up, and the folder is still locked.
        std::fs::remove_file(home.path().join(".drain.lock")).expect("it is there");
        let why = refused(next_in, home.path());
        assert!(gateway.admits(), "{next_in} beside {first_in}: {why}");
    }
}
