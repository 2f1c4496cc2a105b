//! A gateway that lives and whose status is not there, or is another program's: its lock says that it lives, and what lies in the
//! place of its status says nothing of it (C6, E2).

use crate::support::process::{DashboardProcess, GatewayProcess, home};
use crate::support::tool::{Ended, drain};
use gateway_drain::Home;
use gateway_drain::client::ExitCode;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

/// What may lie in the place of a status that a live gateway has published.
const FOREIGN: [(&str, &str); 9] = [
    ("a reference's", r#"{"gateway_state":"running","pid":1}"#),
    ("a reference's that drains", r#"{"gateway_state":"draining","pid":1,"active_agents":0}"#),
    (
        "an earlier process's",
        r#"{"gateway_state":"draining","active_agents":0,"drain":{"incarnation":"gone","drained":true}}"#,
    ),
    ("one without a process", r#"{"gateway_state":"running","drain":{}}"#),
    ("an empty object", "{}"),
    ("null", "null"),
    ("a list", "[]"),
    ("nothing", ""),
    ("half of one", r#"{"gateway_state":"run"#),
];

/// Puts every sort of thing in the place of the status, one after another.
fn each(home: &Path, mut then: impl FnMut(&str)) {
    let status = Home::at(home).status();
    let clear = || _ = fs::remove_file(&status).or_else(|_| fs::remove_dir(&status));
    clear();
    then("no status");
    for (what, text) in FOREIGN {
        fs::write(&status, text).unwrap();
        then(what);
    }
    clear();
    symlink("nowhere", &status).unwrap();
    then("a link to nowhere");
    clear();
    fs::create_dir(&status).unwrap();
    then("a folder");
    clear();
    assert!(Command::new("mkfifo").arg(&status).status().unwrap().success());
    then("a pipe");
    clear();
}

fn says_that_it_lives(what: &str, ended: &Ended) {
    assert!(!ended.stderr.contains("knows no holds") && !ended.stdout.contains("knows no holds"), "{what}: {ended:?}");
    assert!(!ended.stderr.contains("no gateway process lives"), "{what}: {ended:?}");
}

#[test]
fn the_lock_decides_that_a_gateway_with_holds_lives_and_the_status_says_that_it_has_published_nothing() {
    let home = home();
    let gateway = GatewayProcess::start(home.path());
    let dashboard = DashboardProcess::start(home.path(), None);
    let url = format!("http://{}", dashboard.address);
    // It publishes nothing meanwhile, as on a full disk.
    gateway.freeze();
    each(home.path(), |what| {
        let ended = drain(home.path(), &["status"]).expect(ExitCode::Unreachable);
        says_that_it_lives(what, &ended);
        assert!(ended.stderr.contains("lives there and has published no status of its own"), "{what}: {ended:?}");
        let json = drain(home.path(), &["status", "--json"]).expect(ExitCode::Unreachable).json();
        assert_eq!((&json["gateway_running"], &json["knows_holds"]), (&true.into(), &true.into()), "{what}");
        let unknown = ["gateway_state", "active_agents", "drain"].map(|field| json[field].is_null());
        assert_eq!(unknown, [true; 3], "{what}: {json}");
        let ended = drain(home.path(), &["--url", &url, "status"]).expect(ExitCode::Unreachable);
        says_that_it_lives(what, &ended);
    });
}

#[test]
fn a_live_gateway_without_a_status_of_its_own_is_silent_and_is_asked_all_the_same() {
    let home = home();
    let gateway = GatewayProcess::start(home.path());
    gateway.freeze();
    each(home.path(), |what| {
        for (code, arguments) in [
            (7, &["begin", "x"][..]),
            (7, &["begin", "--marker"]),
            (7, &["cancel", "y"]),
            (207, &["run", "--", "touch", "ran"]),
        ] {
            let ended = drain(home.path(), &[&["--patience", "50ms"], arguments].concat()).expect_code(code);
            says_that_it_lives(what, &ended);
        }
        let left = fs::read_dir(Home::at(home.path()).holds_folder()).unwrap().count();
        assert_eq!(left, 0, "{what}: what was begun is taken back");
    });
    for (what, text) in FOREIGN {
        fs::write(Home::at(home.path()).status(), text).unwrap();
        gateway.thaw();
        drain(home.path(), &["begin", "x"]).expect(ExitCode::Drained);
        assert!(!gateway.admits(), "{what}");
        drain(home.path(), &["cancel", "x"]).expect(ExitCode::Drained);
        gateway.freeze();
    }
}
