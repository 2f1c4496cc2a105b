//! The home's lock as others see it: who lives there, asked while gateways come and go.

use gateway_drain::Home;
use gateway_drain::control::{Holder, LockError};
use gateway_drain::hold::Incarnation;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Tells the threads of a test that it is over, also when it fails: otherwise they would be waited for without end.
struct AtEnd<'a>(&'a AtomicBool);

impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_dead_gateway_is_never_said_to_live_while_its_successor_takes_the_lock() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path());
    let (dead, over) = (Mutex::new(None), AtomicBool::new(false));
    std::thread::scope(|threads| {
        let _at_end = AtEnd(&over);
        for _ in 0..2 {
            threads.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    // A process that had died before the question was asked can't be the answer.
                    let dead_before: Option<Incarnation> = dead.lock().unwrap().clone();
                    let live = home.live();
                    if let Ok(Some(live)) = live {
                        assert_ne!(Some(live), dead_before, "a dead gateway is said to live");
                    }
                    std::thread::park_timeout(Duration::from_micros(20));
                }
            });
        }
        for _ in 0..1000 {
            let incarnation = Incarnation::fresh();
            drop(home.lock(&incarnation).expect("the home is free"));
            *dead.lock().unwrap() = Some(incarnation);
        }
    });
}

#[test]
fn a_lock_that_was_replaced_while_it_was_waited_for_is_taken_where_everybody_finds_it() {
    for _ in 0..3 {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path());
        let first = home.lock(&Incarnation::fresh()).expect("the home is free");
        let incarnation = Incarnation::fresh();
        let second = std::thread::scope(|threads| {
            let second = threads.spawn(|| home.lock(&incarnation));
            std::fs::rename(home.lock_path(), home.path().join("aside")).unwrap();
            std::fs::write(home.lock_path(), "").unwrap();
            drop(first);
            second.join().unwrap()
        });
        let second = second.expect("the home is free by now");
        assert_eq!(home.live().unwrap(), Some(incarnation), "E2: its lock is the one that others look at");
        second.check().expect("it holds what is there");
        let third = home.lock(&Incarnation::fresh());
        assert!(matches!(third, Err(LockError::InUse { .. })), "the next process would lock this home too: {third:?}");
    }
}

#[test]
fn a_lock_that_was_removed_or_written_over_by_a_stranger_is_put_back_and_nobody_else_gets_in() {
    type Tamper = fn(&Home);
    let tampers: [(&str, Tamper); 4] = [
        ("removed", |home| std::fs::remove_file(home.lock_path()).unwrap()),
        ("replaced by an empty file", |home| {
            std::fs::write(home.path().join("new"), "").unwrap();
            std::fs::rename(home.path().join("new"), home.lock_path()).unwrap();
        }),
        ("replaced by the record of the dead", |home| {
            std::fs::write(home.path().join("new"), "0123 4194304 1 -\n").unwrap();
            std::fs::rename(home.path().join("new"), home.lock_path()).unwrap();
        }),
        ("moved aside", |home| std::fs::rename(home.lock_path(), home.path().join("aside")).unwrap()),
    ];
    for (how, tamper) in tampers {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path());
        let incarnation = Incarnation::fresh();
        let lock = home.lock(&incarnation).unwrap();
        tamper(&home);
        let second = home.lock(&Incarnation::fresh());
        assert!(matches!(second, Err(LockError::InUse { .. })), "{how}: two gateways in one home: {second:?}");
        lock.check().unwrap_or_else(|error| panic!("{how}: nobody else is there: {error}"));
        assert_eq!(home.live().unwrap().as_ref(), Some(&incarnation), "{how}: it lives, and everybody is to see it");
    }
}

#[test]
fn a_lock_in_whose_place_something_stands_that_can_be_no_lock_leaves_the_home_its_gateways() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path());
    let lock = home.lock(&Incarnation::fresh()).unwrap();
    std::fs::remove_file(home.lock_path()).unwrap();
    std::fs::create_dir(home.lock_path()).unwrap();
    lock.check().expect("no gateway can start there");
    home.lock(&Incarnation::fresh()).expect_err("no gateway can start there");
    std::fs::remove_dir(home.lock_path()).unwrap();
    lock.check().unwrap();
    assert!(home.live().unwrap().is_some(), "it is put back once it can be");
}

#[test]
fn a_home_that_another_has_locked_or_that_was_deleted_is_not_the_gateways_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path().join("home"));
    let lock = home.lock(&Incarnation::fresh()).unwrap();
    std::fs::remove_file(home.lock_path()).unwrap();
    let usurper = std::fs::File::create(home.lock_path()).unwrap();
    usurper.lock().unwrap();
    std::fs::write(home.lock_path(), "another 1 2 3\n").unwrap();
    let error = lock.check().expect_err("another gateway lives there");
    assert!(error.to_string().contains("another gateway has taken over"), "{error}");
    drop(usurper);
    std::fs::remove_dir_all(home.path()).unwrap();
    let error = lock.check().expect_err("it was deleted");
    assert!(error.to_string().contains("was deleted"), "{error}");
    std::fs::create_dir(home.path()).unwrap();
    lock.check().expect_err("what is at its path by now is another folder");
}

/// Why a start is refused there.
fn refused(home: &Home, what: &str) -> (Holder, String) {
    let error = home.lock(&Incarnation::fresh()).map(drop).expect_err(what);
    let said = error.to_string();
    let LockError::InUse { by, .. } = error else { panic!("{what}: {said}") };
    (by, said)
}

#[test]
fn a_home_that_another_program_has_locked_is_refused_and_no_dead_gateway_is_named() {
    type Lock = fn(&std::fs::File) -> Result<(), std::fs::TryLockError>;
    let (alone, shared): (Lock, Lock) = (|file| file.try_lock(), |file| file.try_lock_shared());
    for (name, was_there, how) in [
        ("", true, alone),
        ("", true, shared),
        ("", false, alone),
        (".drain.lock", true, shared),
        (".drain_holds", true, alone),
        (".drain_holds", true, shared),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path());
        let dead = Incarnation::fresh();
        if was_there {
            drop(home.lock(&dead).unwrap());
            // As a process leaves it that is gone.
            let mut child = std::process::Command::new("true").spawn().unwrap();
            let namespace = std::fs::read_link("/proc/self/ns/pid").unwrap();
            let namespace =
                namespace.to_str().unwrap().trim_matches(|letter: char| !letter.is_ascii_digit()).to_owned();
            std::fs::write(home.lock_path(), format!("{} {} 1 {namespace}\n", dead.as_str(), child.id())).unwrap();
            child.wait().unwrap();
        }
        let locked = std::fs::File::open(home.path().join(name)).unwrap();
        how(&locked).unwrap();
        let (by, said) = refused(&home, name);
        let what = if name.is_empty() { "the folder itself" } else { name };
        assert_eq!(by, Holder::Unknown(what));
        assert!(said.contains(&format!("{what} is locked by another process")), "{said}");
        assert!(!said.contains(dead.as_str()) && !said.contains("gateway runs"), "{said}");
        assert_eq!(home.lock_path().exists(), was_there, "{what}: a start that is refused makes no lock");
        drop(locked);
        drop(home.lock(&Incarnation::fresh()).expect("it is free again"));
    }
}

#[test]
fn a_lock_that_a_program_keeps_for_itself_before_any_gateway_was_there_names_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path());
    let file = std::fs::File::create(home.lock_path()).unwrap();
    file.lock().unwrap();
    assert_eq!(refused(&home, "it is locked").0, Holder::Unknown(".drain.lock"));
}

#[test]
fn a_gateway_of_the_first_version_keeps_its_home_and_what_else_is_called_gateway_lock_is_left_alone() {
    let record = format!("{} {}\n", Incarnation::fresh().as_str(), std::process::id());
    let of_reference = r#"{"pid": 4711, "kind": "hermes-gateway", "start_time": 4242}"#;
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path());
    let path = home.path().join("gateway.lock");
    for (text, is_locked) in
        [(&*record, true), (&*record, false), (of_reference, true), (of_reference, false), ("", true)]
    {
        std::fs::write(&path, text).unwrap();
        let file = std::fs::File::open(&path).unwrap();
        if is_locked {
            file.lock().unwrap();
        }
        if is_locked && text == record {
            let (by, said) = refused(&home, text);
            assert_eq!(by, Holder::EarlierGateway(record.trim_end().into()));
            assert!(said.contains("another gateway of an earlier version runs in") && said.contains(record.trim_end()));
            assert!(!home.lock_path().exists(), "nothing is left behind by a start that is refused");
        } else {
            drop(home.lock(&Incarnation::fresh()).unwrap_or_else(|error| panic!("{text:?}, {is_locked}: {error}")));
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "it is left alone");
        assert_eq!(std::fs::File::open(&path).unwrap().try_lock().is_err(), is_locked, "and so is its lock");
    }
}

#[test]
fn what_is_no_file_in_the_place_of_gateway_lock_keeps_no_gateway_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path().join("home"));
    let path = home.path().join("gateway.lock");
    std::fs::create_dir(home.path()).unwrap();
    let elsewhere = folder.path().join("elsewhere");
    std::fs::write(&elsewhere, format!("{} 1\n", Incarnation::fresh().as_str())).unwrap();
    let locked = std::fs::File::open(&elsewhere).unwrap();
    locked.lock().unwrap();
    let start = |what: &str| drop(home.lock(&Incarnation::fresh()).unwrap_or_else(|error| panic!("{what}: {error}")));
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    start("a link to a locked record");
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    start("a folder");
    std::fs::remove_dir(&path).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    start("a pipe");
    std::fs::remove_file(&path).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
    start("a socket");
    drop(socket);
}
