//! A gateway of this version on homes that others left: an earlier format of ours, today's, and the reference's. Nothing that
//! was known is lost, and nothing that was refused is granted.
//!
//! `tests/homes` has those homes as they were found after a SIGKILL, but for the boot and the clock, which are put in place of
//! `EPOCH` and of the clock's readings. Each of ours has a marker (touched), `backup` (held), `upgrade` (committed), `refused`
//! (held; its commit was refused) and `expired` (its lease ran out).

#![cfg(all(feature = "cli", feature = "axum"))]

use crate::support::process::{GatewayProcess, home};
use crate::support::tool::drain;
use gateway_drain::client::ExitCode;
use gateway_drain::control::Epoch;
use gateway_drain::hold::{Denied, Ending, Outcome};
use gateway_drain::status::HoldStatus;
use gateway_drain::{Home, Snapshot};
use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;
use std::path::{Path, PathBuf};

const OURS: [&str; 2] = ["format-1", "format-2"];

fn left(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/homes").join(name)
}

/// Moves every reading of the clock in a status by as much.
fn shifted(value: &mut Value, by: i64) {
    const READINGS: [&str; 5] = ["clock_millis", "first_seen", "closes_at", "expires_at", "committed_at"];
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| shifted(item, by)),
        Value::Object(members) => {
            for (name, value) in members {
                match value.as_i64().filter(|_| READINGS.contains(&&**name)) {
                    Some(reading) => *value = (reading + by).into(),
                    None => shifted(value, by),
                }
            }
        }
        _ => (),
    }
}

/// A home as it was left, in this boot and a moment ago.
fn as_left(name: &str, without: &[&str]) -> tempfile::TempDir {
    let home = home();
    let (of, from) = (Home::at(home.path()), left(name));
    std::fs::create_dir(of.holds_folder()).expect("a folder for the holds");
    let now = clock_gettime(ClockId::Boottime).tv_sec * 1000;
    let put = |from: &Path, to: &Path| {
        let text =
            std::fs::read_to_string(from).expect("a file of the home").replace("EPOCH", Epoch::current().as_str());
        let Ok(mut value) = serde_json::from_str::<Value>(&text) else {
            return std::fs::write(to, text).expect("a file");
        };
        if let Some(clock) = value.pointer("/drain/clock_millis").or(value.get("clock_millis")).and_then(Value::as_i64)
        {
            shifted(&mut value, now - clock);
        }
        std::fs::write(to, value.to_string()).expect("a file");
    };
    for file in
        std::fs::read_dir(&from).expect("the home").chain(std::fs::read_dir(from.join("holds")).into_iter().flatten())
    {
        let file = file.expect("a file").path();
        let name = file.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        let to = match &*name {
            "holds" => continue,
            "marker.json" => of.marker(),
            "commits.json" => of.path().join(".drain_commits.json"),
            "gateway_state.json" | "gateway.lock" | "gateway.pid" => of.path().join(&name),
            _ => of.holds_folder().join(&name),
        };
        if !without.contains(&&*name) {
            put(&file, &to);
        }
    }
    home
}

fn hold<'s>(status: &'s Snapshot, id: &str) -> Option<&'s HoldStatus> {
    status.drain.holds.iter().find(|hold| hold.request_id.as_str() == id)
}

/// A gateway of this version in this home, and its first status.
fn started(home: &Path) -> (GatewayProcess, Snapshot) {
    let gateway = GatewayProcess::start(home);
    let pid = gateway.pid();
    let status = gateway.until("a status of its own", |status| status.pid == pid);
    (gateway, status)
}

#[test]
fn nothing_that_an_earlier_version_knew_is_lost() {
    for format in OURS {
        let home = as_left(format, &[]);
        let before: Value = serde_json::from_slice(&std::fs::read(Home::at(home.path()).status()).unwrap()).unwrap();
        let (gateway, status) = started(home.path());
        let drain_status = &status.drain;
        assert_eq!(drain_status.reconciler.last_error, None, "{format}");
        let ids: Vec<_> = drain_status.holds.iter().map(|hold| hold.request_id.as_str()).collect();
        assert_eq!(ids, ["backup", "marker", "refused", "upgrade"], "{format}");

        let backup = hold(&status, "backup").expect("backup");
        assert_eq!(
            (&*backup.owner, &*backup.notes.reason, backup.suppress_notification),
            ("ops", "nightly backup", true),
            "{format}"
        );
        let left = backup.lease_left_seconds.expect("it is not committed");
        assert!(left > 86_300.0 && left < 86_400.0, "{format}: {left} s are left of a day");

        let upgrade = hold(&status, "upgrade").expect("upgrade");
        let known = before.pointer("/drain/holds/3/token").and_then(Value::as_str);
        assert!(upgrade.committed && known.is_some(), "{format}");
        assert_eq!(upgrade.token.as_ref().map(|token| token.as_str()), known, "{format}");
        assert_eq!(upgrade.deadline_seconds, Some(82_800.0), "{format}");

        assert!(!hold(&status, "refused").expect("refused").committed, "{format}: a refused commit is never granted");
        let decided = |id: &str| {
            let answers = &drain_status.acknowledged;
            answers.iter().find(|answer| answer.request_id.as_str() == id).map(|answer| answer.outcome)
        };
        assert_eq!(decided("refused"), Some(Outcome::Refused(Denied::OtherGeneration)), "{format}");
        assert_eq!(decided("expired"), Some(Outcome::Ended(Ending::Expired)), "{format}: it doesn't begin again");

        assert!(!gateway.admits(), "{format}");
        drain(home.path(), &["--owner", "ops", "cancel", "upgrade"]).expect(ExitCode::Denied);
        let token = known.expect("a token");
        drain(home.path(), &["--owner", "ops", "cancel", "upgrade", "--token", token]).expect(ExitCode::Drained);
        drain(home.path(), &["--owner", "ops", "cancel", "backup"]).expect(ExitCode::Drained);
        drain(home.path(), &["--owner", "ops", "cancel", "refused"]).expect(ExitCode::Drained);
        assert!(!gateway.admits(), "{format}: the marker holds");
        std::fs::remove_file(Home::at(home.path()).marker()).expect("the marker");
        gateway.until("running", |status| status.drain.holds.is_empty());
        assert!(gateway.admits(), "{format}");
    }
}

#[test]
fn a_commit_of_an_earlier_version_outlasts_its_file_and_a_hold_does_not() {
    for format in OURS {
        let home = as_left(format, &["upgrade.json", "backup.json"]);
        let (_gateway, status) = started(home.path());
        assert!(hold(&status, "upgrade").is_some_and(|hold| hold.committed), "{format}");
        assert!(hold(&status, "backup").is_none(), "{format}: it was withdrawn");
    }
}

#[test]
fn a_commit_outlasts_the_loss_of_its_file_and_of_the_status_by_its_record() {
    let home = as_left("format-2", &["upgrade.json", "gateway_state.json"]);
    let (_gateway, status) = started(home.path());
    assert!(hold(&status, "upgrade").is_some_and(|hold| hold.committed), "{:?}", status.drain.holds);
    assert!(hold(&status, "refused").is_some_and(|hold| !hold.committed), "a refused commit is in no record");
}

#[test]
fn what_the_reference_left_is_its_marker_and_no_error() {
    let home = as_left("reference", &[]);
    let (gateway, status) = started(home.path());
    let [marker] = &status.drain.holds[..] else { panic!("one hold: {:?}", status.drain.holds) };
    assert_eq!((marker.request_id.as_str(), &*marker.owner), ("marker", "drain-control"));
    assert!(marker.suppress_notification && status.drain.suppress_notification);
    assert_eq!(status.drain.reconciler.last_error, None);
    assert!(!gateway.admits());
    std::fs::remove_file(Home::at(home.path()).marker()).expect("the marker");
    gateway.until("running", |status| status.drain.holds.is_empty());
    assert!(gateway.admits());
}
