//! `run` on a terminal, as a shell has it there: its command reads from the terminal, Ctrl-Z stops both, and the shell has its
//! prompt.

use crate::support::process::{GatewayProcess, home};
use crate::support::tool::{STATE_VARIABLE, tools};
use std::process::Command;

#[test]
fn the_command_has_the_terminal_while_it_runs_and_ctrl_z_gives_it_back_to_the_shell() {
    let home = home();
    let gateway = GatewayProcess::start(home.path());
    assert!(Command::new("mkfifo").arg(home.path().join("input")).status().expect("mkfifo is there").success());
    let mut shell = Command::new("python3");
    shell.args(["-c", include_str!("terminal.py")]).arg(home.path()).arg(tools().join("gateway-drain"));
    let ended = shell.env(STATE_VARIABLE, home.path().join(".controller")).output().expect("python3 is there");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    assert!(gateway.admits(), "the gate stayed closed");
}
