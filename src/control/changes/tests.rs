use super::*;
use crate::control::Channel;
use crate::hold::{Incarnation, Request, RequestId};
use std::fs;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;
use tempfile::TempDir;

/// Nothing that is told takes longer, on however slow a machine.
const SOON: Duration = Duration::from_secs(20);
/// What isn't told for so long isn't told at all.
const LONG: Duration = Duration::from_millis(40);

/// A home whose changes are told.
struct Told {
    folder: TempDir,
    changes: Changes,
    heard: Receiver<()>,
}

impl Told {
    fn of(topic: Topic) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (tell, heard) = channel();
        let told = Self { folder, changes: Changes::new(topic, move || _ = tell.send(())), heard };
        fs::create_dir_all(told.home().holds_folder()).unwrap();
        told.changes.follow(&told.open()).unwrap();
        told
    }

    fn home(&self) -> Home {
        Home::at(self.folder.path().join("home"))
    }

    fn open(&self) -> OpenHome {
        OpenHome::open(self.home().path()).unwrap()
    }

    fn hold(&self) -> PathBuf {
        self.home().request_path(&RequestId::new("a").unwrap())
    }

    fn tells(&self, what: &str) {
        self.heard.recv_timeout(SOON).unwrap_or_else(|_| panic!("{what} is not told"));
        while self.heard.recv_timeout(LONG).is_ok() {}
    }

    fn is_silent(&self, what: &str) {
        assert!(self.heard.recv_timeout(LONG).is_err(), "{what} is told");
    }
}

#[test]
fn whatever_happens_to_a_request_is_told_however_it_is_done() {
    let place = Told::of(Topic::Requests);
    let channel = Channel::new(place.home());
    for path in [place.home().marker(), place.hold()] {
        let told = |what: &str| place.tells(&format!("{}: {what}", path.display()));
        fs::write(&path, "").unwrap();
        told("a touch");
        fs::write(&path, "{}").unwrap();
        told("a writing in place");
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        told("a change of rights");
        fs::rename(&path, place.folder.path().join("aside")).unwrap();
        told("a moving away");
        fs::rename(place.folder.path().join("aside"), &path).unwrap();
        told("a moving there");
        fs::remove_file(&path).unwrap();
        told("a removal");
    }
    channel.write(&Request::begin(RequestId::new("b").unwrap(), "ops")).unwrap();
    place.tells("a request that was written whole");
}

#[test]
fn what_the_gateway_writes_itself_and_what_nobody_reads_is_not_told() {
    let place = Told::of(Topic::Requests);
    let home = place.home();
    for own in [Home::STATUS, Home::COMMITS] {
        place.open().write(own, b"{}").unwrap();
        place.is_silent(own);
    }
    for foreign in ["agent.log", "state.db", "config.json", ".write-x"] {
        fs::write(home.path().join(foreign), "x").unwrap();
        fs::remove_file(home.path().join(foreign)).unwrap();
        place.is_silent(foreign);
    }
    for foreign in ["a.txt", ".a.json", ".write-x"] {
        fs::write(home.holds_folder().join(foreign), "x").unwrap();
        place.is_silent(foreign);
    }
    fs::read(home.status()).unwrap();
    home.live().unwrap();
    place.is_silent("a look");
}

#[test]
fn what_others_put_in_the_place_of_the_gateways_own_files_is_told() {
    let place = Told::of(Topic::Requests);
    let home = place.home();
    place.open().write(Home::STATUS, b"{}").unwrap();
    fs::write(home.lock_path(), "").unwrap();
    place.is_silent("a lock that is written, as its own gateway does");
    fs::write(home.status(), "").unwrap();
    place.tells("a status that is written over");
    fs::rename(home.status(), home.lock_path()).unwrap();
    place.tells("a lock that takes the place of its own");
}

#[test]
fn a_home_that_is_deleted_is_not_told_of_where_it_would_only_be_put_back() {
    let place = Told::of(Topic::Requests);
    // As its gateway has.
    let open = place.open();
    open.write(Home::STATUS, b"{}").unwrap();
    fs::write(place.home().lock_path(), "").unwrap();
    fs::remove_dir_all(place.home().path()).unwrap();
    place.is_silent("that nobody's request has gone");
}

#[test]
fn a_status_is_told_to_controllers_and_the_end_of_its_process_and_nothing_else() {
    let place = Told::of(Topic::Status);
    place.open().write(Home::STATUS, b"{}").unwrap();
    place.tells("a published status");
    fs::remove_file(place.home().status()).unwrap();
    place.tells("a status that is taken away");
    fs::write(place.home().marker(), "").unwrap();
    fs::write(place.hold(), "").unwrap();
    place.is_silent("a request");
    let lock = place.home().lock(&Incarnation::fresh()).unwrap();
    place.tells("a start");
    drop(lock);
    place.tells("an end");
}

#[test]
fn the_folder_that_is_open_is_followed_wherever_it_is_moved_and_not_what_stands_at_its_path() {
    let place = Told::of(Topic::Requests);
    let open = place.open();
    let moved = place.folder.path().join("moved");
    fs::rename(place.home().path(), &moved).unwrap();
    place.tells("a home that is moved");
    fs::create_dir(place.home().path()).unwrap();
    fs::write(place.home().marker(), "").unwrap();
    place.changes.follow(&open).unwrap();
    place.is_silent("what is asked for in another folder");
    fs::write(Home::at(&moved).marker(), "").unwrap();
    place.tells("a marker in the home that was moved");
}

#[test]
fn a_folder_of_holds_is_followed_once_it_is_there_and_again_once_it_was_replaced() {
    let place = Told::of(Topic::Requests);
    let holds = place.home().holds_folder();
    for round in 0..3 {
        fs::rename(&holds, place.folder.path().join(format!("aside-{round}"))).unwrap();
        place.tells("that the folder of holds has moved");
        place.changes.follow(&place.open()).unwrap();
        fs::create_dir(&holds).unwrap();
        place.tells("that there is a folder of holds");
        place.changes.follow(&place.open()).unwrap();
        fs::write(place.hold(), "").unwrap();
        place.tells("a hold in the new folder");
        fs::write(place.folder.path().join(format!("aside-{round}/a.json")), "").unwrap();
        place.is_silent("a file in the folder that was replaced");
    }
}

#[test]
fn what_can_not_be_a_folder_of_holds_and_stands_in_its_place_is_told_and_so_is_its_end() {
    let place = Told::of(Topic::Requests);
    let holds = place.home().holds_folder();
    fs::remove_dir(&holds).unwrap();
    let ways: [fn(&std::path::Path); 2] =
        [|path| fs::write(path, "no folder").unwrap(), |path| std::os::unix::fs::symlink("elsewhere", path).unwrap()];
    for make in ways {
        make(&holds);
        place.tells("that it stands there, which closes the gate");
        place.changes.follow(&place.open()).unwrap();
        fs::remove_file(&holds).unwrap();
        place.tells("that it is gone, which opens the gate");
    }
}

#[test]
fn a_queue_that_overflows_is_a_change_and_what_comes_after_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path());
    let ((tell, told), (go, held)) = (channel(), channel::<()>());
    let held = std::sync::Mutex::new(held);
    let changes = Changes::new(Topic::Requests, move || {
        tell.send(()).unwrap();
        // Meanwhile nobody reads the queue.
        let _ = held.lock().unwrap().recv();
    });
    changes.follow(&OpenHome::open(home.path()).unwrap()).unwrap();
    fs::write(home.marker(), "").unwrap();
    told.recv_timeout(SOON).unwrap();
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let limit: usize = limit.trim().parse().unwrap();
    for turn in 0..=limit {
        // Of interest to nobody; and names in turn, since one event twice in a row is one.
        fs::write(home.path().join(["x", "y"][turn % 2]), "").unwrap();
    }
    go.send(()).unwrap();
    told.recv_timeout(SOON).expect("what was lost may have been anything");
    fs::write(home.marker(), "").unwrap();
    go.send(()).unwrap();
    told.recv_timeout(SOON).expect("what comes after the overflow");
    drop(go);
}

#[test]
fn what_is_read_together_with_the_last_of_very_many_events_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (home, elsewhere) = (Home::at(folder.path().join("home")), folder.path().join("elsewhere"));
    fs::create_dir(home.path()).unwrap();
    let ((tell, told), (go, held)) = (channel(), channel::<()>());
    let held = std::sync::Mutex::new(held);
    let changes = Changes::new(Topic::Requests, move || {
        tell.send(()).unwrap();
        // Meanwhile nobody reads the queue.
        let _ = held.lock().unwrap().recv();
    });
    changes.follow(&OpenHome::open(home.path()).unwrap()).unwrap();
    // In one event each.
    fs::write(&elsewhere, "").unwrap();
    fs::rename(&elsewhere, home.marker()).unwrap();
    told.recv_timeout(SOON).unwrap();
    // More than are taken out at once, but for those that the same reading gives: each is of 48 bytes, so that 4096 of them
    // end within a buffer of as many bytes.
    let names = ["of interest to nobody", "and neither is this one"].map(|name| home.path().join(name));
    for turn in 0..4098 {
        fs::File::create(&names[turn % 2]).map(drop).unwrap();
    }
    fs::write(&elsewhere, "").unwrap();
    fs::rename(&elsewhere, home.marker()).unwrap();
    go.send(()).unwrap();
    told.recv_timeout(SOON).expect("the last of them is lost");
    drop(go);
}

#[test]
fn a_storm_of_changes_is_told_once_in_a_pause() {
    let place = Told::of(Topic::Requests);
    let (began, marker) = (Instant::now(), place.home().marker());
    for _ in 0..3000 {
        fs::write(&marker, "").unwrap();
    }
    let most = began.elapsed().as_micros() / PAUSE.as_micros() + 2;
    let mut told = 0;
    while place.heard.recv_timeout(LONG).is_ok() {
        told += 1;
    }
    assert!((1..=most).contains(&told), "told {told} times, where {most} is the most");
}

#[test]
fn the_thread_ends_with_what_it_tells_of() {
    let place = Told::of(Topic::Requests);
    let Told { changes, heard, .. } = place;
    drop(changes);
    assert!(heard.recv().is_err(), "nobody is left to tell anything");
}
