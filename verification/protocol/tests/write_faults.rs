//! A writer that is killed, or fails, at any of its steps: readers see the old request or the new one (C1, C2).

use gateway_drain::control::request_file::to_bytes;
use gateway_drain::control::scan::scan;
use gateway_drain::control::write::{STEPS, Step, replace};
use gateway_drain::control::{Epoch, Found};
use gateway_drain::{Channel, Home, Request, RequestId};
use gateway_drain_protocol::reference::fault::dying_writer;
use std::fs;
use std::path::Path;

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the folder is there");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    names
}

#[test]
fn a_writer_killed_before_any_step_leaves_the_old_request_or_the_new_one() {
    let mut kills = 0;
    for id in [RequestId::marker(), RequestId::new("upgrade").expect("a sound name")] {
        for old in [None, Some("old")] {
            for dies_before in 0..=STEPS.len() {
                let folder = tempfile::tempdir().expect("a folder");
                let home = Home::at(folder.path());
                let channel = Channel::new(home.clone());
                fs::create_dir(home.holds_folder()).expect("a folder of holds");
                if let Some(owner) = old {
                    channel.write(&Request::begin(id.clone(), owner)).expect("the home is writable");
                }
                let path = home.request_path(&id);
                let bytes = to_bytes(&Request::begin(id.clone(), "new"), &Epoch::current());
                let taken = dying_writer(&path, &bytes, dies_before);

                let owner = match channel.find(&id) {
                    Found::Absent => None,
                    Found::Valid(request) => Some(request.owner),
                    torn => panic!("C1: killed after {taken:?}, the reader found {torn:?}"),
                };
                let expected = if taken.contains(&Step::Rename) { Some("new") } else { old };
                assert_eq!(owner.as_deref(), expected, "C2: killed after {taken:?}");
                let scan = scan(&home, &[], &Epoch::current());
                let found: Vec<_> = scan.requests.iter().map(|request| request.owner.as_str()).collect();
                assert_eq!(found, expected.as_slice(), "C2: a temporary file is nobody's hold; killed after {taken:?}");
                kills += 1;
            }
        }
    }
    assert_eq!(kills, 2 * 2 * 6);
}

fn write(folder: &Path, name: &str) -> std::io::Result<()> {
    let folder = fs::File::open(folder).expect("the folder is there").into();
    replace(&folder, name, b"new", None, |_| Ok(())).map(drop)
}

#[test]
fn a_write_into_a_home_that_is_not_there_fails_and_makes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let channel = Channel::new(Home::at(folder.path().join("gone")));
    let failed = channel.write(&Request::begin(RequestId::marker(), "ops")).expect_err("there is no home");
    assert_eq!(failed.kind(), std::io::ErrorKind::NotFound);
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn a_write_over_a_folder_fails_and_leaves_the_folder_and_no_temporary_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("file");
    fs::create_dir_all(target.join("inside")).expect("a folder in the way");
    write(folder.path(), "file").expect_err("a file can't take a folder's place");
    assert_eq!(names(folder.path()), ["file"]);
    assert_eq!(names(&target), ["inside"]);
}

#[test]
fn a_write_over_a_link_replaces_the_link_and_leaves_what_it_leads_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let (target, outside) = (folder.path().join("file"), folder.path().join("outside"));
    fs::write(&outside, "as it was").expect("the folder is writable");
    std::os::unix::fs::symlink(&outside, &target).expect("a link");
    write(folder.path(), "file").expect("a link is no obstacle");
    assert_eq!(fs::read_to_string(&outside).expect("it is there"), "as it was");
    assert_eq!(fs::read(&target).expect("it is there"), b"new");
    assert!(!target.symlink_metadata().expect("it is there").is_symlink());
}
