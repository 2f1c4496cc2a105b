//! The reconciler: the gate follows the files, from before the first admission to the end of the process.

use crate::support::eventually::{comes_true, until};
use crate::support::local_gateway::{Place, id};
use gateway_drain::control::{Epoch, LockError};
use gateway_drain::controller::Settings;
use gateway_drain::hold::{Denied, Ending, Incarnation, LeasePolicy, Outcome};
use gateway_drain::reconciler::{Options, StartError};
use gateway_drain::status::GatewayState;
use gateway_drain::{Channel, DrainState, Home, Reconciler, Refusal, Request, RequestId, Snapshot};
use std::fs::{self, File};
use std::path::PathBuf;
use std::time::Duration;

fn marker() -> Request {
    Request::begin(RequestId::marker(), "ops")
}

fn state(gateway: &Reconciler) -> DrainState {
    gateway.controller().state()
}

#[test]
fn it_enters_and_exits_a_drain_with_the_marker() {
    let place = Place::new();
    let gateway = place.start();
    assert_eq!(place.ask(&gateway, &marker()), Outcome::Held);
    assert_eq!(gateway.gate().admit().unwrap_err(), Refusal::Draining);
    place.channel.remove(&RequestId::marker()).unwrap();
    gateway.kick();
    until(place.home(), "running", |s| s.gateway_state == GatewayState::Running);
    assert!(gateway.gate().admit().is_ok());
}

#[test]
fn it_sees_a_touched_marker_without_being_kicked() {
    let place = Place::new();
    let options = Options { tick: Duration::from_millis(10), ..Options::default() };
    let gateway = Reconciler::start(place.home().clone(), options).unwrap();
    fs::write(place.home().marker(), "").unwrap();
    let status = until(place.home(), "draining", |s| s.gateway_state == GatewayState::Draining);
    assert_eq!(status.drain.holds[0].notes.reason, "it is empty");
    fs::remove_file(place.home().marker()).unwrap();
    until(place.home(), "running", |s| s.gateway_state == GatewayState::Running);
    drop(gateway);
}

#[test]
fn a_marker_that_was_there_before_the_start_is_honoured_before_the_first_admission() {
    let place = Place::new();
    place.channel.write(&marker()).unwrap();
    let gateway = place.start();
    assert_eq!(gateway.gate().admit().unwrap_err(), Refusal::Draining);
    assert_eq!(gateway.gate().admit_internal().unwrap_err(), Refusal::Draining);
    let published = Snapshot::read(place.home()).unwrap();
    assert_eq!(published.gateway_state, GatewayState::Draining, "and nothing else was ever published");
}

#[test]
fn removing_one_file_never_frees_another_hold() {
    let place = Place::new();
    let gateway = place.start();
    place.ask(&gateway, &marker());
    place.ask(&gateway, &Request::begin(id("a"), "ann"));
    place.ask(&gateway, &Request::begin(id("b"), "bob"));
    for removed in [RequestId::marker(), id("a")] {
        place.channel.remove(&removed).unwrap();
        gateway.kick();
        until(place.home(), "one hold less", |s| !s.drain.holds.iter().any(|hold| hold.request_id == removed));
        assert_eq!(state(&gateway), DrainState::ExternalDraining, "after {removed} is gone");
    }
    place.channel.remove(&id("b")).unwrap();
    gateway.kick();
    until(place.home(), "running", |s| s.gateway_state == GatewayState::Running);
}

#[test]
fn a_marker_of_an_earlier_boot_is_ignored_and_said_to_be() {
    let place = Place::new();
    Channel::of_epoch(place.home().clone(), Epoch::from("earlier:1".to_owned())).write(&marker()).unwrap();
    let gateway = place.start();
    assert!(gateway.gate().admit().is_ok());
    let ignored = Snapshot::read(place.home()).unwrap().drain.ignored;
    assert_eq!(ignored[0].request_id, "marker");
    assert!(ignored[0].detail.contains("earlier:1"), "{ignored:?}");
}

#[test]
fn an_orphaned_marker_reopens_the_gate_when_its_lease_is_over_and_stays_expired_across_a_restart() {
    let place = Place::new();
    place.channel.write(&marker()).unwrap();
    let gateway = place.start();
    place.pass(&gateway, Duration::from_secs(3600));
    until(place.home(), "running", |s| s.gateway_state == GatewayState::Running);
    let answer = Snapshot::read(place.home()).unwrap().drain.acknowledged[0].outcome;
    assert_eq!(answer, Outcome::Ended(Ending::Expired));
    drop(gateway);
    let successor = place.start();
    assert!(successor.gate().admit().is_ok(), "an expired marker is no reason to refuse for another hour");
}

#[test]
fn a_restart_does_not_give_a_hold_a_new_lease() {
    let place = Place::new();
    place.channel.write(&marker()).unwrap();
    let gateway = place.start();
    place.clock.advance(Duration::from_secs(1800));
    drop(gateway);
    let successor = place.start();
    place.pass(&successor, Duration::from_secs(1799));
    assert_eq!(state(&successor), DrainState::ExternalDraining);
    place.pass(&successor, Duration::from_secs(1));
    until(place.home(), "running", |s| s.gateway_state == GatewayState::Running);
}

/// A hold that has been committed, and the commit's request.
fn committed(place: &Place, gateway: &Reconciler) -> Request {
    place.ask(gateway, &Request::begin(id("a"), "ann"));
    let seen = Snapshot::read(place.home()).unwrap().drain;
    assert!(seen.drained);
    let commit = Request::commit(id("a"), "ann", seen.incarnation, seen.generation);
    assert_eq!(place.ask(gateway, &commit), Outcome::Committed);
    commit
}

#[test]
fn a_committed_hold_outlives_its_file_and_the_status_says_so() {
    let place = Place::new();
    let gateway = place.start();
    committed(&place, &gateway);
    assert_eq!(gateway.snapshot().drain.ignored, [], "its file is there");
    place.channel.remove(&id("a")).unwrap();
    gateway.kick();
    let status = until(place.home(), "that the file is gone", |s| !s.drain.ignored.is_empty());
    assert_eq!(status.drain.ignored[0].request_id, "a");
    assert!(status.drain.holds[0].committed);
    assert_eq!(gateway.gate().admit().unwrap_err(), Refusal::Draining);
}

#[test]
fn a_committed_hold_outlives_a_restart_from_its_file_from_the_status_or_from_either_alone() {
    for (file, status) in [(true, true), (false, true), (true, false)] {
        let place = Place::new();
        let gateway = place.start();
        let commit = committed(&place, &gateway);
        drop(gateway);
        if !file {
            place.channel.remove(&id("a")).unwrap();
        }
        if !status {
            fs::remove_file(place.home().status()).unwrap();
        }
        let successor = place.start();
        let story = format!("file kept: {file}, status kept: {status}");
        assert!(successor.gate().admit().is_err(), "{story}");
        place.pass(&successor, Duration::from_secs(48 * 3600));
        until(place.home(), "no lease", |s| s.drain.clock_millis > 0 && s.drain.holds[0].committed);
        assert!(successor.gate().admit().is_err(), "no lease runs any more; {story}");
        let withdraw = Request::withdraw(id("a"), "ann").token(commit.nonce.unwrap());
        assert_eq!(place.ask(&successor, &withdraw), Outcome::Ended(Ending::Withdrawn), "{story}");
        assert!(successor.gate().admit().is_ok(), "{story}");
    }
}

#[test]
fn a_file_that_is_overwritten_by_another_or_by_garbage_leaves_the_hold_and_the_status_says_what_is_there_now() {
    let place = Place::new();
    let gateway = place.start();
    place.ask(&gateway, &Request::begin(id("a"), "ann"));
    assert_eq!(place.ask(&gateway, &Request::begin(id("a"), "bob")), Outcome::Refused(Denied::NotYours));
    let ignored = |s: &Snapshot| s.drain.ignored.first().map(|ignored| ignored.detail.clone()).unwrap_or_default();
    let status = until(place.home(), "what was found", |s| ignored(s).contains("bob"));
    assert_eq!(ignored(&status), "its file was overwritten (bob); the hold is ann's, and stays");
    fs::write(place.home().request_path(&id("a")), "").unwrap();
    gateway.kick();
    let status = until(place.home(), "what was found", |s| ignored(s).contains("empty"));
    assert_eq!(status.drain.holds[0].owner, "ann");
    assert!(gateway.gate().admit().is_err());
}

#[test]
fn a_commit_for_the_process_before_is_refused_and_its_hold_stays() {
    let place = Place::new();
    let gateway = place.start();
    place.ask(&gateway, &Request::begin(id("a"), "ann"));
    let seen = Snapshot::read(place.home()).unwrap().drain;
    drop(gateway);
    let successor = place.start();
    let commit = Request::commit(id("a"), "ann", seen.incarnation, seen.generation);
    assert_eq!(place.ask(&successor, &commit), Outcome::Refused(Denied::OtherIncarnation));
    assert!(successor.gate().admit().is_err());
}

#[test]
fn a_home_may_be_a_link_to_where_it_is() {
    let place = Place::new();
    let link = place.home().path().with_extension("link");
    std::os::unix::fs::symlink(place.home().path(), &link).unwrap();
    place.channel.write(&marker()).unwrap();
    let gateway = Reconciler::start(Home::at(&link), Options::default()).unwrap();
    assert!(gateway.gate().admit().is_err(), "the marker is seen through the link");
    assert_eq!(Snapshot::read(&Home::at(&link)).unwrap().drain.holds[0].owner, "ops");
    Channel::new(Home::at(&link)).remove(&RequestId::marker()).unwrap();
    gateway.kick();
    until(place.home(), "running", |s| s.gateway_state == GatewayState::Running);
}

#[test]
fn a_home_that_was_moved_is_obeyed_where_it_is_and_readiness_says_that_nobody_finds_it() {
    let place = Place::new();
    let gateway = place.start();
    place.ask(&gateway, &Request::begin(id("a"), "ann"));
    assert_eq!(gateway.unready(), ["state: external_draining"]);
    let moved = place.home().path().with_extension("moved");
    fs::rename(place.home().path(), &moved).unwrap();
    gateway.kick();
    let said = |what: &str| gateway.unready().iter().any(|why| why.contains(what));
    comes_true("readiness says why", || said("the home is not found at"));
    assert!(gateway.controller().holds().iter().any(|hold| hold.id == id("a")), "H2: nobody has withdrawn it");
    fs::create_dir(place.home().path()).unwrap();
    gateway.kick();
    comes_true("readiness says why", || said("another folder than this gateway's home is at"));
    assert!(Channel::new(Home::at(&moved)).remove(&id("a")).unwrap());
    gateway.kick();
    until(&Home::at(&moved), "the withdrawal is seen", |s| s.gateway_state == GatewayState::Running);
    assert!(gateway.gate().admit().is_ok(), "it serves, and is not ready");
    fs::remove_dir(place.home().path()).unwrap();
    fs::rename(&moved, place.home().path()).unwrap();
    gateway.kick();
    comes_true("it is ready again", || gateway.unready().is_empty());
}

#[test]
fn a_deleted_home_closes_the_gate_for_good_and_readiness_says_so() {
    let place = Place::new();
    let gateway = place.start();
    // As `rm -r` does; the gateway may put its lock back in between.
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while fs::remove_dir_all(place.home().path()).is_err() {
        assert!(std::time::Instant::now() < deadline, "the home can't be removed");
    }
    fs::create_dir(place.home().path()).unwrap();
    let said = || gateway.unready().iter().any(|why| why.contains("was deleted"));
    comes_true("readiness says so, and the gate is closed", || {
        gateway.kick();
        said() && gateway.gate().admit().is_err()
    });
    for _ in 0..3 {
        place.clock.advance(Duration::from_secs(25 * 60 * 60));
        let errors = gateway.snapshot().drain.reconciler.errors;
        comes_true("it has looked", || {
            gateway.kick();
            gateway.snapshot().drain.reconciler.errors > errors + 2
        });
        assert!(gateway.gate().admit().is_err(), "a lost home never reopens the gate");
    }
}

#[test]
fn a_home_that_was_replaced_is_another_s_and_is_neither_obeyed_nor_written_to() {
    let place = Place::new();
    let gateway = place.start();
    place.ask(&gateway, &Request::begin(id("a"), "ann"));
    fs::rename(place.home().path(), place.home().path().with_extension("old")).unwrap();
    fs::create_dir(place.home().path()).unwrap();
    let successor = place.start();
    gateway.describe(|description| description.kind = "the old one".into());
    comes_true("readiness says so", || gateway.unready().iter().any(|why| why.contains("another folder")));
    assert!(gateway.gate().admit().is_err(), "the hold it knew is not withdrawn by another home");
    drop(gateway);
    let status = Snapshot::read(place.home()).unwrap();
    assert_eq!(&status.drain.incarnation, successor.controller().incarnation());
}

#[test]
fn a_status_that_can_not_be_written_is_retried_and_reported_by_readiness() {
    let place = Place::new();
    let gateway = place.start();
    // A look may publish a new one at any moment, also between the two.
    comes_true("a folder takes its place", || {
        let _ = fs::remove_file(place.home().status());
        fs::create_dir(place.home().status()).is_ok()
    });
    fs::write(place.home().status().join("in the way"), "").unwrap();
    gateway.describe(|description| description.kind = "blocked".into());
    comes_true("readiness says so", || gateway.unready().iter().any(|why| why.contains("can't be published")));
    assert!(gateway.gate().admit().is_ok(), "a status nobody can read is no reason to refuse work");
    fs::remove_dir_all(place.home().status()).unwrap();
    gateway.kick();
    let status = until(place.home(), "the status at last", |s| s.description.kind == "blocked");
    comes_true("it is ready again", || gateway.unready().is_empty());
    assert!(status.drain.reconciler.errors >= 1 || gateway.snapshot().drain.reconciler.errors >= 1);
}

#[test]
fn a_second_gateway_in_a_home_that_is_in_use_stops_at_once_and_says_whose_it_is() {
    let place = Place::new();
    let gateway = place.start();
    let error = place.try_start().unwrap_err();
    let StartError::Lock(LockError::InUse { by, .. }) = &error else { panic!("{error}") };
    assert!(by.to_string().starts_with(gateway.controller().incarnation().as_str()), "{by}");
    assert!(error.to_string().contains("one gateway for each home"), "{error}");
    drop(gateway);
    assert!(place.try_start().is_ok(), "a home is free once its gateway is gone");
}

#[test]
fn an_unusable_home_is_a_clear_error_at_the_start() {
    let place = Place::new();
    let file = place.home().path().join("file");
    fs::write(&file, "").unwrap();
    for (unusable, why) in [(file.clone(), "can't be used"), (file.join("below"), "can't be used")] {
        let error = Reconciler::start(Home::at(&unusable), Options::default()).unwrap_err().to_string();
        assert!(error.contains(why) && error.contains(unusable.to_str().unwrap()), "{error}");
    }
    fs::create_dir(place.home().status()).unwrap();
    let error = place.try_start().unwrap_err().to_string();
    assert!(error.contains("gateway_state.json can't be written"), "{error}");
}

#[test]
fn that_a_gateway_lives_is_known_from_the_lock_and_from_nothing_else() {
    let place = Place::new();
    let gateway = place.start();
    let incarnation: Incarnation = gateway.controller().incarnation().clone();
    assert_eq!(place.home().live().unwrap(), Some(incarnation));
    let running = fs::read(place.home().status()).unwrap();
    drop(gateway);
    // As after `kill -9`, which leaves the last status.
    fs::write(place.home().status(), running).unwrap();
    assert_eq!(place.home().live().unwrap(), None, "although its status still says running");
    assert_eq!(Snapshot::read(place.home()).unwrap().gateway_state, GatewayState::Running);
}

#[test]
fn temporary_and_foreign_files_in_the_holds_folder_hold_nothing() {
    let place = Place::new();
    fs::create_dir(place.home().holds_folder()).unwrap();
    for name in [".write-abc", ".hidden.json", "notes.txt", "a.json~", "a.json.swp"] {
        fs::write(place.home().holds_folder().join(name), "{}").unwrap();
    }
    assert!(place.start().gate().admit().is_ok());
}

#[test]
fn a_gateway_that_looks_only_when_kicked_still_follows_its_files() {
    let place = Place::new();
    let gateway =
        Reconciler::start(place.home().clone(), Options { tick: Duration::MAX, ..Options::default() }).unwrap();
    assert_eq!(gateway.unready(), Vec::<String>::new());
    let follows = |drains: bool| {
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        while gateway.gate().admit().is_err() != drains {
            assert!(std::time::Instant::now() < deadline, "its thread looks no more");
            gateway.kick();
            std::thread::park_timeout(Duration::from_millis(5));
        }
    };
    for _ in 0..3 {
        fs::write(place.home().marker(), "").unwrap();
        follows(true);
        fs::remove_file(place.home().marker()).unwrap();
        follows(false);
    }
}

#[test]
fn a_start_removes_what_killed_writers_left_over_an_hour_ago_and_nothing_else() {
    let place = Place::new();
    let folders = [place.home().path().to_owned(), place.home().holds_folder()];
    fs::create_dir(&folders[1]).unwrap();
    let [left, young, folder_of, link] = ["1", "2", "3", "4"].map(|end| format!(".write-{:0>32}", end));
    let old = std::time::SystemTime::now() - Duration::from_secs(3700);
    for folder in &folders {
        for name in [&*left, &young, ".write-protect", ".written", "write-notes"] {
            let file = fs::File::create(folder.join(name)).unwrap();
            if name != young {
                file.set_modified(old).unwrap();
            }
        }
        let of_another_kind = folder.join(&folder_of);
        fs::create_dir(&of_another_kind).unwrap();
        fs::File::open(of_another_kind).unwrap().set_modified(old).unwrap();
        std::os::unix::fs::symlink(folder.join(".written"), folder.join(&link)).unwrap();
    }
    drop(place.start());
    for folder in &folders {
        let there = |name: &str| folder.join(name).symlink_metadata().is_ok();
        assert!(!there(&left), "what was left in {} is there still", folder.display());
        for name in [&*young, ".write-protect", &folder_of, &link, ".written", "write-notes"] {
            assert!(there(name), "{name} was removed from {}", folder.display());
        }
    }
}

#[test]
fn whatever_stands_in_the_channel_closes_the_gate_and_is_named() {
    type Put = fn(&PathBuf);
    let table: [(&str, Put, &str); 6] = [
        ("an empty file", |path| fs::write(path, "").unwrap(), "it is empty"),
        ("garbage", |path| fs::write(path, [0xff; 9]).unwrap(), "it is not JSON"),
        ("a huge file", |path| fs::File::create(path).unwrap().set_len(10 << 30).unwrap(), "bytes"),
        ("a folder", |path| fs::create_dir(path).unwrap(), "it is a folder"),
        ("a link to nowhere", |path| std::os::unix::fs::symlink("nowhere", path).unwrap(), "it is a link"),
        (
            "a pipe",
            |path| rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap(),
            "it is a pipe",
        ),
    ];
    for (what, put, found) in table {
        for hold_file in [false, true] {
            let place = Place::new();
            let path = if hold_file {
                fs::create_dir(place.home().holds_folder()).unwrap();
                place.home().request_path(&id("a"))
            } else {
                place.home().marker()
            };
            put(&path);
            let gateway = place.start();
            assert!(gateway.gate().admit().is_err(), "{what} at {}", path.display());
            let reason = &Snapshot::read(place.home()).unwrap().drain.holds[0].notes.reason;
            assert!(reason.contains(found), "{what} at {} is said to be: {reason}", path.display());
        }
    }
}

#[test]
fn a_holds_folder_that_is_none_and_a_name_that_is_no_request_id_close_the_gate() {
    let place = Place::new();
    fs::write(place.home().holds_folder(), "").unwrap();
    let gateway = place.start();
    assert!(gateway.gate().admit().is_err());
    assert!(gateway.controller().holds()[0].notes.reason.contains(".drain_holds can't be read"));
    fs::remove_file(place.home().holds_folder()).unwrap();
    fs::create_dir(place.home().holds_folder()).unwrap();
    for name in ["no id at all.json", "marker.json", ".json.json", "\u{fc}.json"] {
        fs::write(place.home().holds_folder().join(name), "{\"action\": \"drain\"}").unwrap();
    }
    gateway.kick();
    let status = until(place.home(), "the three of them", |s| s.drain.holds.len() == 3);
    let reasons: Vec<_> = status.drain.holds.iter().map(|hold| hold.notes.reason.as_str()).collect();
    assert_eq!(reasons, ["its name is no request id"; 3]);
}

#[test]
fn a_folder_of_holds_that_can_not_be_listed_withdraws_none_of_them() {
    let place = Place::new();
    let gateway = place.start();
    place.ask(&gateway, &Request::begin(id("a"), "ann"));
    let holds = place.home().holds_folder();
    fs::write(holds.with_extension("file"), "").unwrap();
    let held = || gateway.controller().holds().into_iter().map(|hold| hold.id.to_string()).collect::<Vec<_>>();
    // In one step, so that there is no moment without a folder in which its holds would rightly be gone.
    rustix::fs::renameat_with(
        rustix::fs::CWD,
        &holds,
        rustix::fs::CWD,
        holds.with_extension("file"),
        rustix::fs::RenameFlags::EXCHANGE,
    )
    .unwrap();
    gateway.kick();
    comes_true("the folder is held for", || held().contains(&"!holds".to_owned()));
    assert_eq!(held(), ["!holds", "a"], "H2: nobody has withdrawn the hold in it");
}

#[test]
fn a_gateway_whose_lock_was_taken_away_publishes_nothing_more() {
    let place = Place::new();
    let gateway = place.start();
    fs::remove_file(place.home().lock_path()).unwrap();
    let successor = File::create(place.home().lock_path()).unwrap();
    successor.lock().unwrap();
    fs::write(place.home().lock_path(), "another 1 2 3\n").unwrap();
    fs::write(place.home().status(), "the successor's").unwrap();
    gateway.describe(|description| description.kind = "the old one".into());
    comes_true("readiness says so", || {
        gateway.unready().iter().any(|why| why.contains("another gateway has taken over"))
    });
    assert_eq!(gateway.gate().reading().state, DrainState::Stopped, "what lies in the home is said to another");
    drop(gateway);
    let status = fs::read_to_string(place.home().status()).unwrap();
    assert_eq!(status, "the successor's", "one gateway publishes in a home");
}

#[test]
fn a_lease_ends_when_it_is_over_and_not_at_the_next_tick() {
    let place = Place::new();
    let options = Options { tick: Duration::from_secs(3600), events: false, ..Options::default() };
    let gateway = Reconciler::start(place.home().clone(), options).unwrap();
    place.ask(&gateway, &marker().lease(Duration::from_secs(1)));
    until(place.home(), "running", |s| s.gateway_state == GatewayState::Running);
}

#[test]
fn options_that_no_gateway_can_run_with_are_named_before_anything_is_touched() {
    let day = Duration::from_secs(24 * 60 * 60);
    let leases = |default, max| Settings {
        leases: LeasePolicy { default, max, ..LeasePolicy::default() },
        ..Settings::default()
    };
    let short = Duration::from_micros(999);
    for (named, options) in [
        ("`tick`", Options { tick: Duration::ZERO, ..Options::default() }),
        ("`tick`", Options { tick: short, ..Options::default() }),
        ("`disk_timeout`", Options { disk_timeout: Duration::ZERO, ..Options::default() }),
        ("`refresh`", Options { refresh: short, ..Options::default() }),
        ("`leases.max`", Options { settings: leases(Duration::ZERO, Duration::ZERO), ..Options::default() }),
        ("`leases.default`", Options { settings: leases(day * 2, day), ..Options::default() }),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let refused = Reconciler::start(Home::at(folder.path()), options).expect_err(named);
        assert!(refused.to_string().contains(named), "{refused}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{named}");
    }
}

#[test]
fn a_status_that_says_nothing_new_is_published_again_in_every_state_so_that_its_age_shows_who_lives() {
    let place = Place::new();
    let gateway = place.start();
    let refresh = Options::default().refresh;
    let is_refreshed = |what: &str| {
        place.clock.advance(refresh);
        gateway.kick();
        let now = u64::try_from(place.clock.now().as_millis()).unwrap();
        until(place.home(), what, |s| s.drain.clock_millis == now);
    };
    is_refreshed("running");
    is_refreshed("running still");
    place.channel.write(&marker()).unwrap();
    gateway.kick();
    comes_true("it drains", || gateway.controller().state() == DrainState::ExternalDraining);
    is_refreshed("draining");
    gateway.controller().begin_shutdown(Duration::ZERO).unwrap();
    assert!(gateway.controller().stopped().wait().finished());
    is_refreshed("stopped");
}
