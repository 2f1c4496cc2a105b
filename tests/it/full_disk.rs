//! C8: a status that lies in the home is true as of its own time, or is not there. On real file systems: one that is full,
//! one that turns read-only. Needs root, for the mounts.

use crate::support::eventually::{comes_true, until};
use gateway_drain::controller::Settings;
use gateway_drain::reconciler::Options;
use gateway_drain::{Channel, Clock, DrainState, Home, Reconciler, Request, RequestId, Snapshot};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

fn run(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).status().is_ok_and(|status| status.success())
}

/// A file system of its own, of 128 KiB, unmounted at the end. None without the right to mount.
struct Disk {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl Disk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        fs::create_dir(&path).unwrap();
        let mounted = run("mount", &["-t", "tmpfs", "-o", "size=128k", "tmpfs", path.to_str().unwrap()]);
        assert!(mounted || !rustix::process::geteuid().is_root(), "root can't mount");
        mounted.then_some(Self { _folder: folder, path })
    }

    fn fill(&self) -> PathBuf {
        let path = self.path.join("filling");
        let mut file = fs::File::create(&path).unwrap();
        while file.write_all(&[0; 512]).is_ok() {}
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run("umount", &["-l", self.path.to_str().unwrap()]);
    }
}

fn start(home: &Home) -> Reconciler {
    let tick = Duration::from_millis(10);
    let options = Options { tick, refresh: tick, ..Options::default() };
    Reconciler::start(home.clone(), options).unwrap()
}

/// What the README has people ask.
fn grep_says_drained(home: &Path) -> bool {
    fs::read_to_string(home.join("gateway_state.json")).is_ok_and(|text| text.contains("\"drained\": true"))
}

#[test]
fn on_a_full_disk_no_status_says_what_is_not_so_any_more_and_it_comes_back_with_the_room() {
    let Some(disk) = Disk::mount() else { return };
    let home = Home::at(disk.path.join("home"));
    fs::create_dir(home.path()).unwrap();
    let gateway = start(&home);
    fs::write(home.marker(), "").unwrap();
    until(&home, "drained", |s| s.drain.drained);
    assert!(grep_says_drained(home.path()));
    let filling = disk.fill();
    fs::remove_file(home.marker()).unwrap();
    comes_true("it runs again", || gateway.controller().state() == DrainState::Running);
    let turn = gateway.gate().admit().expect("it runs");
    fs::write(home.marker(), "").unwrap();
    comes_true("it drains again", || gateway.controller().state() == DrainState::ExternalDraining);
    comes_true("C8: the old status is gone", || !grep_says_drained(home.path()));
    fs::remove_file(filling).unwrap();
    until(&home, "the truth", |s| s.drain.state == DrainState::ExternalDraining && s.drain.in_flight == 1);
    drop(turn);
    until(&home, "drained", |s| s.drain.drained);
}

#[test]
fn a_full_disk_at_the_end_leaves_no_status_of_a_gateway_that_runs() {
    let Some(disk) = Disk::mount() else { return };
    let home = Home::at(disk.path.join("home"));
    fs::create_dir(home.path()).unwrap();
    let gateway = start(&home);
    let filling = disk.fill();
    gateway.controller().begin_shutdown(Duration::ZERO).unwrap();
    let report =
        gateway.controller().stopped().wait_timeout(Duration::from_secs(30)).expect("L1: nobody waits for room");
    assert!(report.finished());
    // The room that the old one took may have been enough for the new one.
    let left = Snapshot::read(&home).ok().map(|status| status.drain.state);
    assert!(left.is_none_or(|state| state == DrainState::Stopped), "C8: {left:?}");
    drop(gateway);
    fs::remove_file(filling).unwrap();
    drop(start(&home));
}

#[test]
fn a_start_on_a_full_disk_fails_and_leaves_what_an_earlier_process_left() {
    let Some(disk) = Disk::mount() else { return };
    let home = Home::at(disk.path.join("home"));
    fs::create_dir(home.path()).unwrap();
    drop(start(&home));
    let left = fs::read(home.status()).unwrap();
    disk.fill();
    Reconciler::start(home.clone(), Options::default()).expect_err("there is no room for its status");
    assert_eq!(fs::read(home.status()).unwrap(), left);
}

#[test]
fn on_a_full_disk_the_record_of_a_commit_that_has_ended_is_taken_away() {
    let Some(disk) = Disk::mount() else { return };
    let home = Home::at(disk.path.join("home"));
    fs::create_dir(home.path()).unwrap();
    // It looks when it is kicked, so that the withdrawal is written while there is room and read when there is none.
    let tick = Duration::from_secs(3600);
    let gateway = Reconciler::start(home.clone(), Options { tick, events: false, ..Options::default() }).unwrap();
    let (channel, id) = (Channel::new(home.clone()), RequestId::new("upgrade").unwrap());
    channel.write(&Request::begin(id.clone(), "ops")).unwrap();
    gateway.kick();
    let drained = until(&home, "drained", |s| s.drain.drained).drain;
    let commit = Request::commit(id.clone(), "ops", drained.incarnation, drained.generation);
    channel.write(&commit).unwrap();
    gateway.kick();
    until(&home, "committed", |s| s.drain.holds.iter().any(|hold| hold.committed));
    assert!(fs::read_to_string(home.commits()).unwrap().contains("upgrade"), "it is on record");

    channel.write(&Request::withdraw(id, "ops").token(commit.nonce.unwrap())).unwrap();
    let filling = disk.fill();
    gateway.kick();
    comes_true("the hold has ended", || gateway.controller().holds().is_empty());
    let recorded = || fs::read_to_string(home.commits()).is_ok_and(|record| record.contains("upgrade"));
    comes_true("no record brings it back, should the status be lost", || !recorded());
    fs::remove_file(filling).unwrap();
}

#[test]
#[cfg(feature = "cli")]
fn on_a_disk_that_turns_read_only_the_gate_follows_and_the_age_of_the_status_shows_that_nothing_is_published() {
    use gateway_drain::client::Gateway;
    use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};

    let Some(disk) = Disk::mount() else { return };
    let home = Home::at(disk.path.join("home"));
    fs::create_dir(home.path()).unwrap();
    let gateway = start(&home);
    let folder = fs::File::open(home.path()).unwrap();
    let flags = ioctl_getflags(&folder).unwrap();
    // As a file system that turns read-only has it: nothing in the folder can be made, replaced or removed. A remount itself
    // is refused while the lock is open.
    ioctl_setflags(&folder, flags | IFlags::IMMUTABLE).unwrap();
    gateway.controller().begin_shutdown(Duration::from_secs(60)).unwrap();
    let report = gateway.controller().stopped().wait_timeout(Duration::from_secs(30)).expect("L1");
    assert!(report.finished());
    let stands = Snapshot::read(&home).expect("it can't be removed").drain;
    assert_eq!(stands.state, DrainState::Running);
    let status = || Gateway::at(home.clone()).status().unwrap();
    comes_true("a reader takes it for silence", || status().silent_for.is_some());
    assert_eq!((status().running, status().state, status().drain), (Some(true), None, None));
    ioctl_setflags(&folder, flags).unwrap();
    gateway.kick();
    until(&home, "the truth", |s| s.drain.state == DrainState::Stopped);
}

#[test]
fn a_status_that_can_not_be_replaced_and_is_still_true_takes_no_traffic_away_until_it_is_too_old_or_gone() {
    use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};

    let Some(disk) = Disk::mount() else { return };
    let home = Home::at(disk.path.join("home"));
    fs::create_dir(home.path()).unwrap();
    let clock = Clock::manual();
    let settings = Settings { clock: clock.clone(), ..Settings::default() };
    let refresh = Duration::from_secs(10);
    let options = Options { tick: Duration::from_millis(10), refresh, settings, ..Options::default() };
    let gateway = Reconciler::start(home.clone(), options).unwrap();
    let folder = fs::File::open(home.path()).unwrap();
    let flags = ioctl_getflags(&folder).unwrap();
    ioctl_setflags(&folder, flags | IFlags::IMMUTABLE).unwrap();
    let failed = || gateway.snapshot().drain.reconciler.errors;
    clock.advance(refresh * 2);
    comes_true("it has tried twice", || failed() > 1);
    assert_eq!(gateway.unready(), [""; 0], "the status says what is so, and readers believe it");
    clock.advance(refresh * 2);
    let is_unready = || gateway.unready().iter().any(|why| why.contains("can't be published"));
    comes_true("readers take it for silence", is_unready);
    ioctl_setflags(&folder, flags).unwrap();
    comes_true("it is published again", || gateway.unready().is_empty());
    // Young, and not there.
    fs::remove_file(home.status()).unwrap();
    fs::create_dir(home.status()).unwrap();
    fs::write(home.status().join("something"), "").unwrap();
    comes_true("no reader sees it", is_unready);
}

#[test]
#[cfg(feature = "cli")]
fn a_status_that_says_drained_and_can_neither_be_replaced_nor_removed_is_no_word_of_a_gateway_that_runs_again() {
    use gateway_drain::client::ExitCode;
    use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};

    let Some(disk) = Disk::mount() else { return };
    let home = Home::at(disk.path.join("home"));
    fs::create_dir(home.path()).unwrap();
    let gateway = start(&home);
    let hold = Request::begin(RequestId::new("upgrade").unwrap(), "ops");
    Channel::new(home.clone()).write(&hold).unwrap();
    until(&home, "drained", |s| s.drain.drained);
    let folder = fs::File::open(home.path()).unwrap();
    let flags = ioctl_getflags(&folder).unwrap();
    // The folder of the holds stays as it was.
    ioctl_setflags(&folder, flags | IFlags::IMMUTABLE).unwrap();
    fs::remove_file(home.request_path(&hold.id)).unwrap();
    comes_true("it runs again", || gateway.controller().state() == DrainState::Running);
    let tool = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gateway-drain"));
        command
            .env(gateway_drain::Home::VARIABLE, home.path())
            .env("GATEWAY_DRAIN_STATE", disk.path.join("controller"));
        let output = command.args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    assert!(grep_says_drained(home.path()));
    let unreachable = Some(i32::from(ExitCode::Unreachable.code()));
    comes_true("`status` says drained no more", || tool(&["status"]).0 == unreachable);
    assert_eq!(tool(&["status"]).1, "");
    let waited = tool(&["--patience", "1s", "wait", "upgrade", "--owner", "ops"]);
    assert_ne!(waited.0, Some(0), "{waited:?}");
    ioctl_setflags(&folder, flags).unwrap();
    gateway.kick();
    until(&home, "the truth", |s| s.drain.state == DrainState::Running);
    assert_eq!(tool(&["status"]).0, Some(0));
}
