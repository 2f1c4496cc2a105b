//! The writer: a request is replaced whole, and nothing goes through a link.

use gateway_drain::control::write::{STEPS, Step, replace};
use gateway_drain::{Channel, Home, Request, RequestId};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

#[test]
fn a_reader_of_the_old_file_reads_the_old_request_to_its_end() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let channel = Channel::new(Home::at(folder.path()));
    let write = |owner: &str| channel.write(&Request::begin(RequestId::marker(), owner)).expect("writable");
    write("old");
    let before = fs::read_to_string(channel.home().marker()).expect("just written");
    let mut open = File::open(channel.home().marker()).expect("just written");
    write("new");
    let mut read = String::new();
    open.read_to_string(&mut read).expect("open");
    assert_eq!(read, before, "C1: nothing is ever written into a file that others read");
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the folder is there");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    names
}

#[test]
fn a_write_that_fails_at_any_step_leaves_the_old_file_or_the_new_one_and_no_temporary_file() {
    for (at, failing) in STEPS.into_iter().enumerate() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("file"), "old").expect("writable");
        let opened = File::open(folder.path()).expect("the folder is there").into();
        let mut reached = 0;
        let fail = |step: Step| {
            reached += 1;
            if step == failing { Err(std::io::Error::other(format!("{step:?} fails"))) } else { Ok(()) }
        };
        let error = replace(&opened, "file", b"new", None, fail).expect_err("a step fails");
        assert_eq!((error.to_string(), reached), (format!("{failing:?} fails"), at + 1), "it is the last one");
        assert_eq!(names(folder.path()), ["file"], "C2: after {failing:?} failed");
        let expected = if failing == Step::SyncFolder { "new" } else { "old" };
        assert_eq!(
            fs::read_to_string(folder.path().join("file")).expect("there"),
            expected,
            "after {failing:?} failed"
        );
    }
}

fn upgrade() -> Request {
    Request::begin(RequestId::new("upgrade").expect("a request id"), "ops")
}

#[test]
fn nothing_is_written_or_removed_or_read_through_a_link() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (home, outside) = (Home::at(folder.path().join("home")), folder.path().join("outside"));
    fs::create_dir(home.path()).expect("writable");
    fs::create_dir(&outside).expect("writable");
    fs::write(outside.join("upgrade.json"), "as it was").expect("writable");
    symlink(&outside, home.holds_folder()).expect("writable");
    let channel = Channel::new(home.clone());
    channel.write(&upgrade()).expect_err("a link in the place of the folder of holds");
    channel.remove(&upgrade().id).expect_err("a link in the place of the folder of holds");
    assert!(matches!(channel.find(&upgrade().id), gateway_drain::control::Found::Unreadable { .. }));
    assert_eq!(names(&outside), ["upgrade.json"]);
    assert_eq!(fs::read_to_string(outside.join("upgrade.json")).expect("there"), "as it was");
    assert!(home.holds_folder().symlink_metadata().expect("there").is_symlink());
}

#[test]
fn nothing_goes_through_a_link_that_is_swapped_in_between_a_look_and_an_act() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (home, outside) = (Home::at(folder.path().join("home")), folder.path().join("outside"));
    fs::create_dir_all(home.holds_folder()).expect("writable");
    fs::create_dir(&outside).expect("writable");
    fs::write(outside.join("upgrade.json"), "as it was").expect("writable");
    let aside = home.path().join("aside");
    symlink(&outside, &aside).expect("writable");
    let (over, channel) = (AtomicBool::new(false), Channel::new(home.clone()));
    let mut done = [0, 0];
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let _ = renameat_with(CWD, &aside, CWD, home.holds_folder(), RenameFlags::EXCHANGE);
            }
        });
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(2) {
            done[0] += u32::from(channel.write(&upgrade()).is_ok());
            done[1] += u32::from(channel.remove(&upgrade().id).unwrap_or(false));
            let _ = channel.find(&upgrade().id);
        }
        over.store(true, Ordering::Relaxed);
    });
    assert!(done.iter().all(|done| *done > 0), "some went to the folder: {done:?}");
    assert_eq!(names(&outside), ["upgrade.json"], "after {done:?}");
    assert_eq!(fs::read_to_string(outside.join("upgrade.json")).expect("there"), "as it was");
}
