//! The command line in a PID namespace of its own. Needs root and `unshare`.

#![cfg(feature = "cli")]

use crate::support::process::{GatewayProcess, home};
use crate::support::tool::{Tool, tool};
use std::process::{Command, Stdio};

#[test]
fn a_run_whose_process_group_lies_outside_of_its_pid_namespace_runs_its_command() {
    let home = home();
    let gateway = GatewayProcess::start(home.path());
    let plain = tool(home.path());
    let mut run = Command::new("unshare");
    run.args(["--pid", "--fork", "--kill-child"]).arg(plain.get_program()).args(plain.get_args());
    run.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    run.args(["run", "--", "sh", "-c", "echo acting >&2"]);
    run.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let ended = Tool::spawn(run).ended().expect_code(0);
    assert!(ended.stderr.contains("acting"), "{}", ended.stderr);
    assert!(gateway.admits(), "its own act over, the hold was not given up");
}
