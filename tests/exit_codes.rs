//! Every ending of a wait has its exit code, with real processes: the example gateway and the real `gateway-drain`.

mod controlled_gateway;

use controlled_gateway::{GatewayProcess, Tool, drain, home, owner};
use gateway_drain::client::ExitCode;
use gateway_drain::control::Epoch;
use gateway_drain::{Channel, Home, Request, RequestId};
use rustix::process::Signal;
use std::path::Path;

/// A gateway with one turn in flight that outlasts the test, held closed by `upgrade`.
fn busy(home: &Path) -> GatewayProcess {
    let gateway = GatewayProcess::start(home);
    let _ = gateway.turn(600_000);
    drain(home, &["begin", "upgrade"]).expect(ExitCode::Drained);
    gateway
}

/// A wait with a turn in flight, whose own write the gateway has acknowledged.
fn waiting(home: &Path, more: &[&str]) -> Tool {
    let tool = Tool::start(home, &[&["wait", "upgrade", "--timeout", "1h"], more].concat());
    tool.said("deadline in");
    tool
}

#[test]
fn an_idle_gateway_is_drained_and_exits_with_0() {
    let home = home();
    let _gateway = GatewayProcess::start(home.path());
    let begun = drain(home.path(), &["begin", "upgrade"]).expect(ExitCode::Drained);
    assert_eq!(begun.stdout, "upgrade\n");
    drain(home.path(), &["wait", "upgrade"]).expect(ExitCode::Drained);
}

#[test]
fn a_wait_ends_with_0_when_the_last_turn_ends() {
    let home = home();
    let gateway = GatewayProcess::start(home.path());
    let turn = gateway.turn(600);
    drain(home.path(), &["begin", "upgrade"]).expect(ExitCode::Drained);
    drain(home.path(), &["wait", "upgrade"]).expect(ExitCode::Drained);
    assert!(turn.finished(), "drained was reported for a turn that was cut off");
}

#[test]
fn a_command_line_that_makes_no_sense_exits_with_2() {
    let home = home();
    for arguments in [
        &["begin", "../escape"][..],
        &["wait", "x", "--timeout", "soon"],
        &["no-such-thing"],
        &["begin", "x", "--lease", "0"],
        &["begin", "--owner", ""],
    ] {
        drain(home.path(), arguments).expect(ExitCode::Usage);
    }
    for arguments in [&["run"][..], &["run", "--lease", "0", "--", "true"], &["run", "--json", "--", "true"]] {
        drain(home.path(), arguments).expect_code(202);
    }
    drain(home.path(), &["status", "--url", "gopher://old"]).expect(ExitCode::Usage);
}

#[test]
fn the_deadline_with_work_left_exits_with_3_and_says_what_is_left() {
    let home = home();
    let _gateway = busy(home.path());
    let ended = drain(home.path(), &["wait", "upgrade", "--timeout", "300ms", "--json"]).expect(ExitCode::Deadline);
    let json = ended.json();
    assert_eq!((&json["in_flight"], &json["active_work"][0]["label"]), (&1.into(), &"s1".into()), "{json}");
}

#[test]
fn a_time_shorter_than_the_gateways_answer_is_no_reason_to_call_it_unreachable() {
    let home = home();
    let _gateway = busy(home.path());
    drain(home.path(), &["wait", "upgrade", "--timeout", "0"]).expect(ExitCode::Deadline);
}

#[test]
fn a_hold_that_its_owner_cancels_elsewhere_ends_the_wait_with_4() {
    let home = home();
    let _gateway = busy(home.path());
    let waiting = waiting(home.path(), &[]);
    drain(home.path(), &["cancel", "upgrade"]).expect(ExitCode::Drained);
    waiting.ended().expect(ExitCode::Withdrawn);
}

#[test]
fn a_hold_whose_file_is_removed_ends_the_wait_with_4() {
    let home = home();
    let _gateway = busy(home.path());
    let waiting = waiting(home.path(), &[]);
    Channel::new(Home::at(home.path())).remove(&RequestId::new("upgrade").unwrap()).unwrap();
    waiting.ended().expect(ExitCode::Withdrawn);
}

#[test]
fn a_waiter_that_was_frozen_past_its_lease_exits_with_5() {
    let home = home();
    let gateway = busy(home.path());
    drain(home.path(), &["renew", "upgrade", "--lease", "1s"]).expect(ExitCode::Drained);
    let waiting = waiting(home.path(), &[]);
    waiting.signal(Signal::STOP);
    gateway.until("that the lease ran out", |status| status.drain.holds.is_empty());
    waiting.signal(Signal::CONT);
    waiting.ended().expect(ExitCode::LeaseLost);
    assert!(gateway.admits(), "the waiter began another hold in the place of the one that it lost");
}

#[test]
fn a_gateway_that_is_killed_and_started_again_ends_the_wait_with_6() {
    let home = home();
    let gateway = busy(home.path());
    let waiting = waiting(home.path(), &["--patience", "60s"]);
    gateway.kill();
    let _another = GatewayProcess::start(home.path());
    waiting.ended().expect(ExitCode::IncarnationChanged);
}

#[test]
fn a_gateway_that_is_killed_ends_the_wait_with_7() {
    let home = home();
    let gateway = busy(home.path());
    let waiting = waiting(home.path(), &["--patience", "500ms"]);
    gateway.kill();
    waiting.ended().expect(ExitCode::Unreachable);
}

#[test]
fn somebody_elses_hold_can_be_neither_begun_nor_waited_for_nor_cancelled_and_exits_with_8() {
    let home = home();
    let _gateway = busy(home.path());
    for verb in ["begin", "wait", "renew", "commit", "cancel"] {
        drain(home.path(), &[verb, "upgrade", "--owner", "somebody-else"]).expect(ExitCode::Denied);
    }
    drain(home.path(), &["wait", "upgrade", "--timeout", "100ms"]).expect(ExitCode::Deadline);
}

#[test]
fn a_gateway_that_begins_to_shut_down_ends_the_wait_with_9() {
    let home = home();
    let gateway = busy(home.path());
    let waiting = waiting(home.path(), &[]);
    gateway.terminate();
    waiting.ended().expect(ExitCode::ShuttingDown);
}

#[test]
fn a_request_of_another_boot_exits_with_10() {
    let home = home();
    let _gateway = GatewayProcess::start(home.path());
    let channel = Channel::of_epoch(Home::at(home.path()), Epoch::from("another-boot:1".to_owned()));
    channel.write(&Request::begin(RequestId::new("upgrade").unwrap(), owner())).unwrap();
    drain(home.path(), &["wait", "upgrade"]).expect(ExitCode::Ignored);
}

#[test]
fn ctrl_c_detaches_with_130_keeps_the_hold_and_says_how_to_attach_again() {
    let home = home();
    let _gateway = busy(home.path());
    let waiting = waiting(home.path(), &[]);
    waiting.signal(Signal::INT);
    let ended = waiting.ended().expect(ExitCode::Interrupted);
    let again = format!("gateway-drain --home {} --owner {} wait upgrade", home.path().display(), owner());
    assert!(ended.stderr.contains(&again), "it doesn't say {again:?}: {}", ended.stderr);
    drain(home.path(), &["wait", "upgrade", "--timeout", "100ms"]).expect(ExitCode::Deadline);
}
