//! The marker, as the reference's own tests describe it.

use gateway_drain::control::{Epoch, Found};
use gateway_drain::hold::Action;
use gateway_drain::{Channel, Home, Request, RequestId};
use serde_json::Value;
use std::fs;
use tempfile::TempDir;

fn channel() -> (TempDir, Channel) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let channel = Channel::new(Home::at(folder.path()));
    (folder, channel)
}

fn begin(owner: &str) -> Request {
    Request::begin(RequestId::marker(), owner)
}

fn found(channel: &Channel) -> Found {
    channel.find(&RequestId::marker())
}

#[test]
fn the_marker_is_absent_by_default() {
    let (_folder, channel) = channel();
    assert_eq!(found(&channel), Found::Absent);
}

#[test]
fn once_written_it_is_present_with_its_principal_and_action() {
    let (_folder, channel) = channel();
    channel.write(&begin("drain-control")).unwrap();
    let Found::Valid(request) = found(&channel) else { panic!("found {:?}", found(&channel)) };
    assert_eq!((request.owner.as_str(), request.action), ("drain-control", Action::Begin));
}

#[test]
fn once_cleared_it_is_absent_and_a_second_clear_says_so() {
    let (_folder, channel) = channel();
    channel.write(&begin("drain-control")).unwrap();
    assert!(channel.remove(&RequestId::marker()).unwrap(), "there was a marker to remove");
    assert_eq!(found(&channel), Found::Absent);
    assert!(!channel.remove(&RequestId::marker()).unwrap(), "there is none any more");
}

#[test]
fn its_path_is_under_the_home() {
    let (folder, channel) = channel();
    channel.write(&begin("drain-control")).unwrap();
    assert!(folder.path().join(".drain_request.json").is_file());
}

#[test]
fn corrupt_content_counts_as_present() {
    let (folder, channel) = channel();
    for content in ["", "{", "null", "[]", "\"drain\"", "{\"action\":", "\u{0}"] {
        fs::write(folder.path().join(".drain_request.json"), content).unwrap();
        assert!(matches!(found(&channel), Found::Unreadable { .. }), "{content:?} was found as {:?}", found(&channel));
    }
    fs::write(folder.path().join(".drain_request.json"), [0xff, 0xfe]).unwrap();
    assert!(matches!(found(&channel), Found::Unreadable { .. }), "bytes of no encoding");
}

#[test]
fn its_presence_decides_whatever_its_action_says() {
    let (folder, channel) = channel();
    for action in ["\"cancel\"", "\"dance\"", "7", "null"] {
        let content = format!("{{\"action\": {action}, \"principal\": \"ops\"}}");
        fs::write(folder.path().join(".drain_request.json"), content).unwrap();
        let Found::Valid(request) = found(&channel) else { panic!("{action}: {:?}", found(&channel)) };
        assert_eq!(request.action, Action::Begin, "a marker that says {action}");
    }
}

#[test]
fn it_is_written_as_json_in_the_reference_s_form() {
    let (folder, channel) = channel();
    channel.write(&begin("drain-control").suppress_notification(true)).unwrap();
    let text = fs::read_to_string(folder.path().join(".drain_request.json")).unwrap();
    let marker: Value = serde_json::from_str(&text).expect("the marker is JSON");
    assert_eq!(marker["action"], "drain");
    assert_eq!(marker["principal"], "drain-control");
    assert_eq!(marker["suppress_notification"], true);
    assert_eq!(marker["epoch"], Epoch::current().as_str());
    let requested_at = marker["requested_at"].as_str().expect("a timestamp");
    requested_at.parse::<jiff::Timestamp>().expect("ISO 8601");
    assert!(requested_at.ends_with("+00:00"), "{requested_at} is UTC as the reference writes it");
}

#[test]
fn a_reader_never_sees_it_torn_while_it_is_written_over_and_over() {
    let (_folder, channel) = channel();
    channel.write(&begin("drain-control")).unwrap();
    let writer = {
        let channel = channel.clone();
        std::thread::spawn(move || {
            for round in 0..200 {
                channel.write(&begin("drain-control").reason("x".repeat(round * 2))).unwrap();
            }
        })
    };
    while !writer.is_finished() {
        assert!(matches!(found(&channel), Found::Valid(_)), "torn: {:?}", found(&channel));
    }
    writer.join().unwrap();
}

#[test]
fn writing_it_leaves_nothing_else_in_the_home_and_only_its_owner_reads_it() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, channel) = channel();
    channel.write(&begin("drain-control")).unwrap();
    let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, [".drain_request.json"]);
    let mode = fs::metadata(folder.path().join(".drain_request.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_marker_of_another_epoch_is_stale_and_one_of_an_unknown_epoch_is_present() {
    let (folder, channel) = channel();
    Channel::of_epoch(Home::at(folder.path()), Epoch::from("another-boot:1".to_owned())).write(&begin("ops")).unwrap();
    assert!(matches!(found(&channel), Found::Stale { .. }), "of another boot: {:?}", found(&channel));
    Channel::of_epoch(Home::at(folder.path()), Epoch::default()).write(&begin("ops")).unwrap();
    assert!(matches!(found(&channel), Found::Valid(_)), "of no known boot: {:?}", found(&channel));
}

#[test]
fn only_a_begin_can_be_written_into_it() {
    let (_folder, channel) = channel();
    let refused = channel.write(&Request::withdraw(RequestId::marker(), "ops")).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::InvalidInput);
    assert_eq!(found(&channel), Found::Absent);
}

#[test]
fn a_gateway_that_does_not_know_its_boot_honours_a_marker_of_any() {
    let (folder, channel) = channel();
    channel.write(&begin("ops")).unwrap();
    let unknown = Channel::of_epoch(Home::at(folder.path()), Epoch::default());
    assert!(matches!(found(&unknown), Found::Valid(_)), "found {:?}", found(&unknown));
}

#[test]
fn an_empty_marker_is_said_to_be_empty() {
    let (folder, channel) = channel();
    fs::write(folder.path().join(".drain_request.json"), "").unwrap();
    let Found::Unreadable { why, .. } = found(&channel) else { panic!("found {:?}", found(&channel)) };
    assert_eq!(
        why, "it is empty",
        "an operator who asks why the gate is closed is told that somebody touched the marker"
    );
}
