//! Changes are told: with an hour between two ticks a gateway follows its files, and who waits for it is woken.

use crate::support::process::{DashboardProcess, GatewayProcess, examples, home};
use crate::support::tool::{Tool, drain, tool};
use gateway_drain::client::{ExitCode, Gateway};
use std::path::Path;
use std::process::Command;

const SECRET: &str = "Zk3_q9TtB1x-Yp7LwVn0uRc5HsEa8GdJf2Mi6KoXbQvA";

fn gateway(home: &Path) -> GatewayProcess {
    let mut command = Command::new(examples().join("gateway"));
    command.env(Gateway::SECRET_VARIABLE, SECRET).arg("--home").arg(home);
    command.args(["--listen", "127.0.0.1:0", "--tick-ms", "3600000"]);
    GatewayProcess::of(command, home)
}

fn over_http(home: &Path, address: &str, arguments: &[&str]) -> Tool {
    let mut command = tool(home);
    command.args(["--url", &format!("http://{address}")]).args(arguments).env(Gateway::SECRET_VARIABLE, SECRET);
    Tool::spawn(command)
}

#[test]
fn a_whole_run_waits_for_no_tick() {
    let home = home();
    let gateway = gateway(home.path());
    drain(home.path(), &["run", "--", "true"]).expect_code(0);
    over_http(home.path(), &gateway.address.to_string(), &["run", "--", "true"]).ended().expect_code(0);
    assert!(gateway.admits(), "and gives the gate back");
}

#[test]
fn a_wait_for_the_last_turn_waits_for_no_tick_over_the_files_over_http_and_at_a_dashboard() {
    let home = home();
    let gateway = gateway(home.path());
    let dashboard = DashboardProcess::start(home.path(), Some(SECRET));
    for way in ["files", "gateway", "dashboard"] {
        // Long enough for the waiter to be asleep.
        let turn = gateway.turn(700);
        let tool = match way {
            "files" => Tool::start(home.path(), &["run", "--", "true"]),
            "gateway" => over_http(home.path(), &gateway.address.to_string(), &["run", "--", "true"]),
            _ => over_http(home.path(), &dashboard.address.to_string(), &["run", "--", "true"]),
        };
        tool.ended().expect_code(0);
        assert!(turn.finished(), "{way}: nothing was cut off");
    }
    drain(home.path(), &["status"]).expect(ExitCode::Drained);
}
