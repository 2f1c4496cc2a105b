//! Two controllers on one gateway: neither frees what the other holds, and a commit outlasts everybody else (H2, H4).

use crate::support::process::{GatewayProcess, home};
use crate::support::tool::{STATE_VARIABLE, Tool, drain, tool};
use gateway_drain::client::ExitCode;
use gateway_drain::hold::{Ending, Outcome};
use gateway_drain::{Channel, Request, RequestId, Snapshot};

const A: &[&str] = &["--owner", "a"];
const B: &[&str] = &["--owner", "b"];

#[test]
fn the_cancel_of_one_controller_does_not_free_the_drain_of_another() {
    let home = home();
    let gateway = GatewayProcess::start(home.path());
    drain(home.path(), &[A, &["begin", "of-a"]].concat()).expect(ExitCode::Drained);
    drain(home.path(), &[B, &["begin", "of-b"]].concat()).expect(ExitCode::Drained);
    drain(home.path(), &[A, &["cancel", "of-a"]].concat()).expect(ExitCode::Drained);
    assert!(!gateway.admits(), "b's hold was freed by a's cancel");
    drain(home.path(), &[B, &["wait", "of-b"]].concat()).expect(ExitCode::Drained);
    drain(home.path(), &[B, &["cancel", "of-b"]].concat()).expect(ExitCode::Drained);
    assert!(gateway.admits(), "the last hold is gone and the gate is still closed");
}

#[test]
fn a_lease_that_runs_out_frees_its_own_hold_alone() {
    let home = home();
    let gateway = GatewayProcess::start(home.path());
    drain(home.path(), &[A, &["begin", "of-a", "--lease", "4s"]].concat()).expect(ExitCode::Drained);
    drain(home.path(), &[B, &["begin", "of-b"]].concat()).expect(ExitCode::Drained);
    gateway.until("that a's lease ran out", |status| status.drain.holds.len() == 1);
    assert!(!gateway.admits(), "b's hold ended with a's lease");
    drain(home.path(), &[A, &["wait", "of-a"]].concat()).expect(ExitCode::LeaseLost);
}

#[test]
fn after_a_commit_neither_anothers_cancel_nor_ones_own_lease_reopens_the_gate() {
    let home = home();
    let gateway = GatewayProcess::start(home.path());
    // Long enough for a slow machine to commit, and to ask for the second.
    drain(home.path(), &[A, &["begin", "of-a", "--lease", "8s"]].concat()).expect(ExitCode::Drained);
    let token = drain(home.path(), &[A, &["commit", "of-a"]].concat()).expect(ExitCode::Drained).stdout;
    drain(home.path(), &[B, &["begin", "of-b", "--lease", "9s"]].concat()).expect(ExitCode::Drained);

    drain(home.path(), &[B, &["cancel", "of-a"]].concat()).expect(ExitCode::Denied);
    // The owner, on a machine that has not committed and so knows no token.
    let mut elsewhere = tool(home.path());
    elsewhere.env(STATE_VARIABLE, home.path().join("elsewhere")).args(A).args(["cancel", "of-a"]);
    Tool::spawn(elsewhere).ended().expect(ExitCode::Denied);
    drain(home.path(), &[A, &["cancel", "of-a", "--token", "not-it"]].concat()).expect(ExitCode::Denied);
    // B's lease began after A's and is longer: once it is over, so would A's be.
    gateway.until("that b's lease ran out", |status| status.drain.holds.len() == 1);
    assert!(!gateway.admits(), "the committed hold did not outlast them");

    drain(home.path(), &[A, &["cancel", "of-a", "--token", token.trim()]].concat()).expect(ExitCode::Drained);
    assert!(gateway.admits(), "the owner's token did not end the commit");
}

#[test]
fn a_commit_while_a_turn_is_in_flight_is_refused_with_3() {
    let home = home();
    let gateway = GatewayProcess::start(home.path());
    let turn = gateway.turn(600_000);
    drain(home.path(), &["begin", "upgrade"]).expect(ExitCode::Drained);
    drain(home.path(), &["commit", "upgrade"]).expect(ExitCode::Deadline);
    drop(turn);
}

#[test]
fn a_committed_hold_outlasts_a_restart_and_still_ends_with_its_token() {
    let home = home();
    let gateway = GatewayProcess::start(home.path());
    drain(home.path(), &["begin", "upgrade"]).expect(ExitCode::Drained);
    let token = drain(home.path(), &["commit", "upgrade"]).expect(ExitCode::Drained).stdout;
    gateway.kill();
    let gateway = GatewayProcess::start(home.path());
    assert!(!gateway.admits(), "the restart reopened the gate during the act");
    drain(home.path(), &["cancel", "upgrade", "--token", token.trim()]).expect(ExitCode::Drained);
    assert!(gateway.admits(), "the token no longer ends the commit");
    assert!(!home.path().join(".drain_holds/upgrade.json").exists(), "the withdrawal was left lying");
}

#[test]
fn an_override_ends_anothers_committed_hold_and_leaves_no_file() {
    let home = home();
    let gateway = GatewayProcess::start(home.path());
    drain(home.path(), &[A, &["begin", "of-a"]].concat()).expect(ExitCode::Drained);
    drain(home.path(), &[A, &["commit", "of-a"]].concat()).expect(ExitCode::Drained);
    drain(home.path(), &[B, &["begin", "of-b"]].concat()).expect(ExitCode::Drained);

    drain(home.path(), &[B, &["override", "of-a"]].concat()).expect(ExitCode::Drained);
    let left = gateway.until("that a's hold is gone", |status| status.drain.holds.len() == 1);
    assert_eq!(left.drain.holds[0].request_id.as_str(), "of-b", "the override ended another hold");
    assert!(!home.path().join(".drain_holds/of-a.json").exists(), "the override was left lying");
    assert!(!gateway.admits(), "b's hold was freed by the override of a's");

    drain(home.path(), &[B, &["override", "never-begun"]].concat()).expect(ExitCode::Drained);
    drain(home.path(), &[B, &["cancel", "of-b"]].concat()).expect(ExitCode::Drained);
    assert!(gateway.admits(), "the last hold is gone and the gate is still closed");
}

#[test]
fn an_override_of_the_marker_removes_it() {
    let home = home();
    let gateway = GatewayProcess::start(home.path());
    std::fs::write(home.path().join(".drain_request.json"), "").unwrap();
    gateway.until("that it drains", |status| status.drain.drained);
    drain(home.path(), &["override", "marker"]).expect(ExitCode::Drained);
    assert!(gateway.admits(), "the marker is gone and the gate is still closed");
}

#[test]
fn the_current_process_is_the_one_that_lives_there_to_every_command_that_names_one() {
    let home = home();
    let gateway = GatewayProcess::start(home.path());
    for arguments in [
        &["begin", "upgrade", "--incarnation", "current"][..],
        &["wait", "upgrade", "--incarnation", "current"],
        &["commit", "upgrade", "--incarnation", "current"],
        &["cancel", "upgrade"],
    ] {
        drain(home.path(), arguments).expect(ExitCode::Drained);
    }
    drain(home.path(), &["begin", "upgrade"]).expect(ExitCode::Drained);
    for command in ["wait", "commit"] {
        drain(home.path(), &[command, "upgrade", "--incarnation", "another"]).expect(ExitCode::IncarnationChanged);
        drain(home.path(), &[command, "upgrade", "--incarnation", ""]).expect(ExitCode::Usage);
    }
    drain(home.path(), &["begin", "another", "--incarnation", ""]).expect(ExitCode::Usage);
    assert_eq!(gateway.until("one hold", |_| true).drain.holds.len(), 1);
}

#[test]
fn a_marker_of_somebody_else_whose_lease_has_run_out_is_begun_over_and_cancelled() {
    let marker = RequestId::marker();
    for command in [&["begin", "--marker"][..], &["cancel", "--marker"], &["run", "--marker", "--", "true"]] {
        let home = home();
        let gateway = GatewayProcess::start(home.path());
        let lease = std::time::Duration::from_secs(1);
        Channel::new(gateway.named_home()).write(&Request::begin(marker.clone(), "a").lease(lease)).unwrap();
        let has_ended = |status: &Snapshot| {
            status.drain.acknowledged.iter().any(|answer| answer.outcome == Outcome::Ended(Ending::Expired))
        };
        gateway.until("that a's lease ran out", has_ended);
        drain(home.path(), &[B, command].concat()).expect(ExitCode::Drained);
        let begun = command[0] == "begin";
        assert_eq!(gateway.admits(), !begun, "{command:?}");
        assert_eq!(gateway.named_home().marker().exists(), begun, "{command:?}");
    }
}
