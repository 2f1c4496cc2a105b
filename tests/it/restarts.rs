//! What outlasts a gateway's process, and what doesn't: with real homes, one process after another (E1, E3, S2, C7).

use crate::support::eventually::until;
use crate::support::local_gateway::{Place, id};
use gateway_drain::control::Epoch;
use gateway_drain::hold::{Denied, Ending, Nonce, NotHonoured, Outcome};
use gateway_drain::status::{CommitRecord, GatewayState, IgnoredKind};
use gateway_drain::{Channel, Request, RequestId, Snapshot};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

#[test]
fn the_record_of_commits_says_what_stands_and_is_there_before_the_status_that_says_it() {
    let place = Place::new();
    let gateway = place.start();
    let recorded = || CommitRecord::read(place.home()).expect("a record").holds;
    assert_eq!(recorded().len(), 0, "a gateway that starts without a commit says so");
    place.ask(&gateway, &Request::begin(id("a"), "ann"));
    let seen = Snapshot::read(place.home()).unwrap().drain;
    let commit = Request::commit(id("a"), "ann", seen.incarnation, seen.generation);
    assert_eq!(place.ask(&gateway, &commit), Outcome::Committed);
    let tokens: Vec<_> = recorded().into_iter().map(|hold| hold.token).collect();
    assert_eq!(tokens, std::slice::from_ref(&commit.nonce));
    let mode = fs::metadata(place.home().commits()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "a token is for its owner alone");
    let withdraw = Request::withdraw(id("a"), "ann").token(commit.nonce.unwrap());
    assert_eq!(place.ask(&gateway, &withdraw), Outcome::Ended(Ending::Withdrawn));
    assert_eq!(recorded().len(), 0, "L2: a lost status brings no ended commit back");
}

#[test]
fn a_commit_that_can_not_be_put_on_record_is_not_granted_until_it_can() {
    let place = Place::new();
    let gateway = place.start();
    place.ask(&gateway, &Request::begin(id("a"), "ann"));
    let seen = Snapshot::read(place.home()).unwrap().drain;
    fs::remove_file(place.home().commits()).unwrap();
    fs::create_dir(place.home().commits()).unwrap();
    let commit = Request::commit(id("a"), "ann", seen.incarnation, seen.generation);
    place.channel.write(&commit).unwrap();
    gateway.kick();
    let why = |s: &Snapshot| s.drain.reconciler.last_error.clone().unwrap_or_default();
    let status = until(place.home(), "an error", |s| why(s).contains("record"));
    assert!(!status.drain.acknowledged.iter().any(|answer| answer.nonce == commit.nonce), "nothing is said of it yet");
    assert!(!status.drain.holds[0].committed && gateway.gate().admit().is_err());
    fs::remove_dir(place.home().commits()).unwrap();
    gateway.kick();
    until(place.home(), "the commit", |s| {
        s.drain.acknowledged.iter().any(|answer| answer.outcome == Outcome::Committed)
    });
}

#[test]
fn a_commit_outlasts_the_loss_of_the_status_also_where_its_file_was_overwritten() {
    for (what, write) in [
        ("a renewal of its owner's", Request::begin(id("a"), "ann")),
        ("a stranger's refused write", Request::begin(id("a"), "bob")),
        ("a withdrawal with a wrong token", Request::withdraw(id("a"), "ann").token(Nonce::fresh())),
    ] {
        let place = Place::new();
        let gateway = place.start();
        place.ask(&gateway, &Request::begin(id("a"), "ann"));
        let seen = Snapshot::read(place.home()).unwrap().drain;
        let commit = Request::commit(id("a"), "ann", seen.incarnation, seen.generation);
        assert_eq!(place.ask(&gateway, &commit), Outcome::Committed);
        assert!(matches!(place.ask(&gateway, &write), Outcome::Refused(_)), "{what}");
        drop(gateway);
        fs::remove_file(place.home().status()).unwrap();
        let successor = place.start();
        assert!(successor.gate().admit().is_err(), "E1: {what}");
        let withdraw = Request::withdraw(id("a"), "ann").token(commit.nonce.unwrap());
        assert_eq!(place.ask(&successor, &withdraw), Outcome::Ended(Ending::Withdrawn), "E3: {what}");
    }
}

#[test]
fn a_refused_commit_is_granted_by_no_later_process_that_has_lost_the_status() {
    for record in [true, false] {
        let place = Place::new();
        let gateway = place.start();
        let turn = gateway.gate().admit().unwrap();
        place.ask(&gateway, &Request::begin(id("a"), "ann").lease(Duration::from_secs(60)));
        let seen = Snapshot::read(place.home()).unwrap().drain;
        let commit = Request::commit(id("a"), "ann", seen.incarnation, seen.generation);
        assert_eq!(place.ask(&gateway, &commit), Outcome::Refused(Denied::NotDrained));
        drop(turn);
        drop(gateway);
        fs::remove_file(place.home().status()).unwrap();
        if !record {
            fs::remove_file(place.home().commits()).unwrap();
        }
        let successor = place.start();
        let drain = Snapshot::read(place.home()).unwrap().drain;
        assert!(!drain.holds[0].committed, "S2, with a record: {record}");
        assert!(successor.gate().admit().is_err(), "closed by default, with a record: {record}");
        place.pass(&successor, Duration::from_secs(3600));
        until(place.home(), "its lease is over", |s| s.gateway_state == GatewayState::Running);
        assert!(successor.gate().admit().is_ok(), "H3, with a record: {record}");
    }
}

#[test]
fn a_shutdown_leaves_what_lies_in_files_to_the_next_process_as_a_crash_does() {
    for graceful in [true, false] {
        let place = Place::new();
        let gateway = place.start();
        for name in ["a", "b", "c"] {
            place.ask(&gateway, &Request::begin(id(name), "ann"));
        }
        let own = gateway.controller().incarnation().clone();
        place.ask(&gateway, &Request::begin(id("bound"), "ann").only_for(own));
        gateway.controller().request(&Request::begin(id("of-the-process"), "ann")).unwrap();
        let seen = Snapshot::read(place.home()).unwrap().drain;
        let commit = Request::commit(id("b"), "ann", seen.incarnation, seen.generation);
        assert_eq!(place.ask(&gateway, &commit), Outcome::Committed);
        if graceful {
            gateway.controller().begin_shutdown(Duration::ZERO).unwrap();
            gateway.kick();
            let last = until(place.home(), "the end", |s| s.gateway_state == GatewayState::Stopped).drain;
            let held: Vec<_> = last.holds.iter().map(|hold| hold.request_id.as_str()).collect();
            assert_eq!(held, ["a", "b", "bound", "c"], "the last status has them");
            let withdraw = Request::withdraw(id("c"), "ann");
            assert_eq!(place.ask(&gateway, &withdraw), Outcome::Ended(Ending::Withdrawn), "and one can be taken back");
        }
        drop(gateway);
        let successor = place.start();
        assert!(successor.gate().admit().is_err(), "E1, graceful: {graceful}");
        let next = Snapshot::read(place.home()).unwrap().drain;
        let held: Vec<_> = next.holds.iter().map(|hold| (hold.request_id.as_str(), hold.committed)).collect();
        let expected = [("a", false), ("b", true), ("c", false)];
        assert_eq!(held, if graceful { &expected[..2] } else { &expected[..] }, "graceful: {graceful}");
        let answer = next.acknowledged.iter().find(|answer| answer.request_id == id("bound"));
        assert_eq!(answer.map(|answer| answer.outcome), Some(Outcome::Refused(Denied::OtherIncarnation)));
        let withdraw = Request::withdraw(id("b"), "ann").token(commit.nonce.unwrap());
        assert_eq!(place.ask(&successor, &withdraw), Outcome::Ended(Ending::Withdrawn));
    }
}

#[test]
fn a_write_of_another_epoch_over_a_hold_leaves_it_and_is_answered_by_its_nonce() {
    for name in [RequestId::marker(), id("a")] {
        let place = Place::new();
        let gateway = place.start();
        place.ask(&gateway, &Request::begin(name.clone(), "ann"));
        let elsewhere = Channel::of_epoch(place.home().clone(), Epoch::from("elsewhere:1".to_owned()));
        let bob = Request::begin(name.clone(), "bob");
        for _ in 0..2 {
            let bob = Request::begin(name.clone(), "bob");
            elsewhere.write(&bob).unwrap();
            gateway.kick();
            let ignored = Outcome::Ignored(NotHonoured::OtherEpoch);
            let answered =
                |s: &Snapshot| s.drain.acknowledged.iter().any(|a| (&a.nonce, a.outcome) == (&bob.nonce, ignored));
            let status = until(place.home(), "an answer", answered);
            assert_eq!(status.drain.holds[0].owner, "ann", "C7: {name}");
            let kinds: Vec<_> = status.drain.ignored.iter().map(|ignored| ignored.kind).collect();
            assert_eq!(kinds, [IgnoredKind::OtherEpoch, IgnoredKind::Overwritten], "{name}");
        }
        elsewhere.remove(&bob.id).unwrap();
        gateway.kick();
        until(place.home(), "that it is gone", |s| s.drain.acknowledged.is_empty());
        // What vanished was not ann's. The marker's presence decides, no matter who wrote there last.
        assert_eq!(gateway.gate().admit().is_ok(), name.is_marker(), "C7: {name}");
    }
}
