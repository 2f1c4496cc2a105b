//! The writer: a request is replaced whole, a step that fails is the last one, and nothing goes through a link.

use gateway_drain::control::write::{Disk, STEPS, Step, take_steps};
use gateway_drain::{Channel, Home, Request, RequestId};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::symlink;

/// A disk on which one step fails.
struct Failing {
    at: usize,
    taken: Vec<Step>,
}

impl Disk for Failing {
    fn step(&mut self, step: Step) -> io::Result<()> {
        if self.taken.len() == self.at {
            return Err(io::Error::other(format!("{step:?} fails")));
        }
        self.taken.push(step);
        Ok(())
    }
}

#[test]
fn a_step_that_fails_is_the_last_one_taken_and_its_error_is_given() {
    for (at, failing) in STEPS.iter().enumerate() {
        let mut disk = Failing { at, taken: Vec::new() };
        let error = take_steps(&mut disk).expect_err("a step fails");
        assert_eq!(error.to_string(), format!("{failing:?} fails"));
        assert_eq!(disk.taken, STEPS[..at], "none is taken after it");
    }
    let mut sound = Failing { at: STEPS.len(), taken: Vec::new() };
    take_steps(&mut sound).expect("no step fails");
    assert_eq!(sound.taken, STEPS);
}

#[test]
fn whoever_has_the_old_file_open_reads_the_old_request_to_its_end() {
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

#[test]
fn nothing_is_written_through_a_link() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (home, outside) = (Home::at(folder.path().join("home")), folder.path().join("outside"));
    fs::create_dir(home.path()).expect("writable");
    fs::create_dir(&outside).expect("writable");
    symlink(&outside, home.holds_folder()).expect("writable");
    let begin = Request::begin(RequestId::new("upgrade").expect("a request id"), "ops");
    Channel::new(home).write(&begin).expect_err("a link in the place of the folder of holds");
    assert_eq!(fs::read_dir(&outside).expect("there").count(), 0, "nothing was written outside the home");
}
