//! The probe, on the example gateway as a process, on a small gateway that knows no more than the reference's contract, and
//! on gateways that are broken on purpose: each is caught by the property that it breaks, and nothing stays behind.

#![cfg(all(feature = "cli", feature = "axum"))]

use crate::support::process::GatewayProcess;
use crate::support::reference_gateway::{Fault, TinyGateway};
use crate::support::supervisor::Supervisor;
use gateway_drain::client::Interrupt;
use gateway_drain::probe::{Need, Options, Report, Sight, TRIALS, run};
use gateway_drain::properties::PropertyId;
use gateway_drain::reconciler;
use gateway_drain::{Home, Reconciler};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const TURN: &str = r#"{"session": "probe", "millis": 5000}"#;

fn options(home: &Path) -> Options {
    let tick = Duration::from_millis(50);
    Options { home: Some(home.into()), tick, patience: Duration::from_secs(5), ..Options::default() }
}

fn probe_command(home: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gateway-drain"));
    command.args(["probe", "--tick", "50ms", "--patience", "10s", "--home"]).arg(home).args(more);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn nothing_is_left(home: &Path) {
    let home = Home::at(home);
    assert!(std::fs::symlink_metadata(home.marker()).is_err(), "the marker is gone");
    let left = std::fs::read_dir(home.holds_folder()).map_or(0, Iterator::count);
    assert_eq!(left, 0, "the hold files are gone");
}

fn probed(options: &Options) -> Report {
    let report = run(options, &Interrupt::new()).expect("a gateway that runs and that nobody holds");
    assert_eq!((&report.cut_short, &report.left_behind), (&None, &None), "{report}");
    nothing_is_left(options.home.as_deref().unwrap());
    report
}

/// Probed with all that the probe can be given, and killed and started again in between: it keeps every property.
fn keeps_everything_that_can_be_seen(start: fn(&Path, &str) -> GatewayProcess, has_endpoint: bool) {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    let gateway = start(&home, "127.0.0.1:0");
    let url = format!("http://{}", gateway.address);
    let turns = format!("{url}/turns");
    let supervisor = Supervisor::of_process(gateway, folder.path(), start, || ());
    let restart = supervisor.command("kill");
    let endpoint = if has_endpoint { vec!["--url", &url] } else { Vec::new() };
    let more = ["--turn-url", &turns, "--turn-body", TURN, "--restart-cmd", &restart, "--json"];
    let output = probe_command(&home, &[&endpoint[..], &more].concat()).output().unwrap();
    let status = std::fs::read_to_string(Home::at(&home).status()).unwrap_or_default();
    supervisor.end();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}\n{}\n{status}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_str(&text).unwrap();
    let rows = report["rows"].as_array().unwrap();
    let can = TRIALS.iter().filter(|trial| !trial.needs.contains(&Need::StopCommand));
    for kept in can.map(|trial| trial.property.to_string()) {
        let of = |row: &&Value| row["property"] == kept;
        assert!(rows.iter().filter(of).count() > 0, "{kept} was tried");
        assert!(rows.iter().filter(of).all(|row| row["sight"] == "kept"), "{kept}: {report:#}");
    }
    nothing_is_left(&home);
}

#[test]
fn the_example_gateway_keeps_everything_that_can_be_seen_also_when_it_is_killed_and_started_again() {
    keeps_everything_that_can_be_seen(GatewayProcess::start_at, true);
}

#[test]
fn a_gateway_in_python_made_from_the_specification_keeps_everything_that_can_be_seen() {
    keeps_everything_that_can_be_seen(GatewayProcess::in_python, false);
}

#[test]
fn a_gateway_of_the_references_contract_is_not_blamed_for_what_can_not_be_seen() {
    let gateway = TinyGateway::start(None);
    let report = probed(&Options { turn: Some((gateway.turns(), String::new())), ..options(gateway.home()) });
    assert_eq!(report.broken(), [], "{report}");
    for unseen in
        [PropertyId::H2, PropertyId::H3, PropertyId::H4, PropertyId::E1, PropertyId::G4, PropertyId::C6, PropertyId::C5]
    {
        assert_eq!(report.sight(unseen), Sight::Unseen, "{unseen}\n{report}");
    }
    for kept in
        [PropertyId::H1, PropertyId::S6, PropertyId::G1, PropertyId::G2, PropertyId::G3, PropertyId::C4, PropertyId::C3]
    {
        assert_eq!(report.sight(kept), Sight::Kept, "{kept}\n{report}");
    }
    assert!(report.to_string().starts_with("Nothing was seen broken"), "{report}");
}

#[test]
fn a_process_that_has_the_id_of_the_one_before_is_told_by_its_start_time() {
    let (folder, gateway) = (tempfile::tempdir().unwrap(), Arc::new(TinyGateway::start(None)));
    let restarted = Arc::clone(&gateway);
    let supervisor = Supervisor::of(folder.path(), move |_| restarted.restart());
    let restart = Some(supervisor.command("restart"));
    let report = probed(&Options { restart, patience: Duration::from_secs(30), ..options(gateway.home()) });
    supervisor.end();
    assert_eq!(report.broken(), [], "{report}");
    assert_eq!(report.sight(PropertyId::C5), Sight::Told, "no turn has shown the gate: {report}");
}

#[test]
fn each_broken_gateway_is_caught_by_the_properties_that_it_breaks_and_by_no_other() {
    let cases: [(Fault, &[PropertyId]); 8] = [
        (Fault::FailsOpenOnWhatItCanNotRead, &[PropertyId::C4]),
        (Fault::ShowsRunningForTheWholeDrain, &[PropertyId::S6]),
        // A turn that is admitted once the gate was drained undoes that too.
        (Fault::AdmitsWhileItDrains, &[PropertyId::G1, PropertyId::G3]),
        (Fault::NeverReopens, &[PropertyId::L2]),
        (Fault::SaysRunningAndStaysClosed, &[PropertyId::S6]),
        (Fault::AdmitsUncountedOnceDrained, &[PropertyId::G1]),
        (Fault::HonoursAnotherEpoch, &[PropertyId::C3]),
        // Its own turn still streams, and the status says that nothing is in flight.
        (Fault::CountsNoTurns, &[PropertyId::G3]),
    ];
    for (fault, broken) in cases {
        let gateway = TinyGateway::start(Some(fault));
        let patience = Duration::from_secs(2);
        let turn = Some((gateway.turns(), String::new()));
        let options = Options { turn, patience, ..options(gateway.home()) };
        let report = run(&options, &Interrupt::new()).unwrap();
        assert_eq!(report.broken(), broken, "{fault:?}\n{report}");
        assert_eq!(report.exit_code(), 11);
        let first = format!("The gateway breaks {}: ", broken[0]);
        assert!(report.to_string().starts_with(&first), "{report}");
        nothing_is_left(gateway.home());
    }
}

#[test]
fn a_turn_that_is_neither_admitted_nor_refused_ends_the_probe_before_anything_is_tried_and_shows_the_answer() {
    let gateway = TinyGateway::start(Some(Fault::WantsAKey));
    let turns = gateway.turns();
    let output = probe_command(gateway.home(), &["--turn-url", &turns]).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("401") && error.contains("who are you?") && error.contains("--turn-header"), "{error}");
    assert!(!String::from_utf8_lossy(&output.stdout).contains("kept"));
    nothing_is_left(gateway.home());

    let turn = Some((turns, String::new()));
    let turn_headers = vec![("X-Api-Key".to_owned(), "opensesame".to_owned())];
    let report = probed(&Options { turn, turn_headers, ..options(gateway.home()) });
    assert_eq!((report.broken(), report.sight(PropertyId::G1)), (vec![], Sight::Kept), "{report}");
}

#[test]
fn what_the_status_alone_says_of_the_gate_is_told_and_not_kept_and_no_folder_stays_behind() {
    let gateway = TinyGateway::start(None);
    let report = probed(&options(gateway.home()));
    for told in [PropertyId::H1, PropertyId::S6, PropertyId::L2, PropertyId::S2, PropertyId::C4] {
        assert_eq!(report.sight(told), Sight::Told, "{report}");
    }
    assert!(!report.is_complete() && report.to_string().contains("told by the gateway alone"), "{report}");
    assert!(!Home::at(gateway.home()).holds_folder().exists(), "the gateway knows no holds");
}

#[test]
fn a_gateway_that_is_still_on_a_look_from_before_the_last_cancel_is_not_accused() {
    let gateway = TinyGateway::start(Some(Fault::ClosesLate));
    let report = probed(&options(gateway.home()));
    assert_eq!(report.broken(), [], "{report}");
}

#[test]
fn a_gateway_that_is_shut_down_at_the_end_is_seen_to_stop_and_not_to_reopen() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = GatewayProcess::start_at(folder.path(), "127.0.0.1:0");
    let turn = Some((format!("http://{}/turns", gateway.address), TURN.to_owned()));
    let stop = Some(format!("kill -TERM {}", gateway.pid()));
    let patience = Duration::from_secs(30);
    let report = probed(&Options { turn, stop, patience, ..options(folder.path()) });
    assert_eq!(report.broken(), [], "{report}");
    assert_eq!((report.sight(PropertyId::S3), report.sight(PropertyId::L1)), (Sight::Kept, Sight::Kept), "{report}");
}

#[test]
fn a_cancel_that_frees_everybodys_hold_is_caught() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path().join("home"));
    let settings = reconciler::Options { tick: Duration::from_millis(10), ..reconciler::Options::default() };
    let gateway = Reconciler::start(home.clone(), settings).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    // The fault: when one of several requests is taken away, all are. (One that is alone may have been taken away before the
    // next one came: between two looks that looks the same.)
    let saboteur = std::thread::spawn({
        let (home, stop) = (home.clone(), stop.clone());
        move || {
            let there = || {
                let holds = std::fs::read_dir(home.holds_folder()).into_iter().flatten().flatten();
                let files = holds.map(|entry| entry.path()).chain([home.marker()]);
                let named = |path: &std::path::PathBuf| !path.to_string_lossy().contains(".write-");
                files.filter(|path| path.exists()).filter(named).collect::<std::collections::BTreeSet<_>>()
            };
            let mut before = there();
            while !stop.load(Ordering::Relaxed) {
                let mut now = there();
                if before.len() > 1 && !before.is_subset(&now) {
                    now.iter().for_each(|path| drop(std::fs::remove_file(path)));
                    now.clear();
                }
                before = now;
                std::thread::park_timeout(Duration::from_millis(2));
            }
        }
    });
    let report = run(&options(home.path()), &Interrupt::new()).unwrap();
    stop.store(true, Ordering::Relaxed);
    saboteur.join().unwrap();
    assert_eq!(report.broken(), [PropertyId::H2], "{report}");
    nothing_is_left(home.path());
    drop(gateway);
}

fn spawned(home: &Path) -> Child {
    let probe = probe_command(home, &[]).spawn().unwrap();
    crate::support::eventually::until(&Home::at(home), "a drain that the probe has begun", |status| {
        !status.drain.holds.is_empty()
    });
    probe
}

fn ended(probe: Child) -> Output {
    probe.wait_with_output().unwrap()
}

#[test]
fn on_ctrl_c_it_takes_back_what_it_has_begun() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = GatewayProcess::start(folder.path());
    let probe = spawned(folder.path());
    let pid = Pid::from_child(&probe);
    kill_process(pid, Signal::INT).unwrap();
    let output = ended(probe);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(130), "{text}");
    assert!(text.contains("Cut short: it was interrupted."), "{text}");
    nothing_is_left(folder.path());
    gateway.until("no hold", |status| status.drain.holds.is_empty());
    drop(gateway);
}

#[test]
fn a_second_signal_ends_it_at_once_and_it_names_the_lines_that_remove_what_it_may_leave() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = GatewayProcess::start(folder.path());
    let probe = spawned(folder.path());
    // One that says nothing more is waited for.
    gateway.freeze();
    let pid = Pid::from_child(&probe);
    kill_process(pid, Signal::INT).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let output = ended(probe);
    gateway.thaw();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{said}");
    for line in ["status", "cancel --marker", "override probe-commit"] {
        let line = format!("gateway-drain {line} --home {}\n", folder.path().display());
        assert!(said.contains(&line), "{said}");
    }
}

#[test]
fn when_the_gateway_dies_under_it_it_takes_its_files_away_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = GatewayProcess::start(folder.path());
    let probe = spawned(folder.path());
    drop(gateway);
    let output = ended(probe);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(12), "{text}");
    assert!(text.contains("Cut short: the gateway ended while a drain was tried:"), "{text}");
    nothing_is_left(folder.path());
}

#[test]
fn when_somebody_else_restarts_the_gateway_under_it_nothing_is_called_broken() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = GatewayProcess::start(folder.path());
    let probe = spawned(folder.path());
    gateway.kill();
    let _again = GatewayProcess::start(folder.path());
    let output = ended(probe);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(12), "{text}");
    assert!(text.contains("Cut short: the gateway was restarted") && !text.contains("BROKEN"), "{text}");
    nothing_is_left(folder.path());
}

#[test]
fn asked_for_a_complete_report_it_fails_where_something_was_not_seen() {
    let folder = tempfile::tempdir().unwrap();
    let _gateway = GatewayProcess::start(folder.path());
    let complete = probe_command(folder.path(), &["--complete"]).output().unwrap();
    assert_eq!(complete.status.code(), Some(12), "{complete:?}");
}

#[test]
fn it_touches_nothing_where_somebody_holds_the_gate_or_no_gateway_runs() {
    let folder = tempfile::tempdir().unwrap();
    let refused = run(&options(folder.path()), &Interrupt::new()).unwrap_err();
    assert!(refused.to_string().contains("can't be read"), "{refused}");
    assert!(run(&Options::default(), &Interrupt::new()).is_err(), "there is nothing to probe");

    let gateway = TinyGateway::start(None);
    std::fs::write(Home::at(gateway.home()).marker(), "mine").unwrap();
    let refused = run(&options(gateway.home()), &Interrupt::new()).unwrap_err();
    let says = refused.to_string();
    assert!(says.contains("nothing was tried"), "{says}");
    assert_eq!(std::fs::read(Home::at(gateway.home()).marker()).unwrap(), b"mine");
}

#[test]
fn an_address_that_sends_it_on_to_a_gateway_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = GatewayProcess::start(folder.path());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Some(format!("http://{}", listener.local_addr().unwrap()));
    let location = format!("http://{}/api/status", gateway.address);
    let redirect = std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        // The whole request, so that the connection ends without a reset.
        let _ = BufReader::new(&connection).lines().map_while(Result::ok).find(String::is_empty);
        let head =
            format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        connection.write_all(head.as_bytes()).unwrap();
    });
    let refused = run(&Options { url, ..Options::default() }, &Interrupt::new()).map_err(|why| why.to_string());
    assert!(refused.as_ref().is_err_and(|why| why.contains("302")), "{refused:?}");
    redirect.join().unwrap();
}
