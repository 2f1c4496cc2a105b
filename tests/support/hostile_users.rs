//! Files of another user, and a gateway that is not root: what may not be read is not absent, and what is written is its
//! owner's alone (C4). Each case runs in a process of its own, since who a process is and its umask are the whole process's.

use crate::support::eventually::comes_true;
use gateway_drain::control::{Found, LockError};
use gateway_drain::reconciler::{Options, StartError};
use gateway_drain::{Channel, Home, Reconciler, Request, RequestId, Snapshot};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// What is claimed, what has to be there before, and the attempts at it, which panic if the claim falls short.
pub struct Case {
    pub claim: &'static str,
    prepare: fn(&Path),
    pub judge: fn(&Path) -> usize,
}

pub const CASES: [Case; 2] = [
    Case {
        claim: "what may not be read holds the gate or is a clear error",
        prepare: files_of_another,
        judge: unreadable,
    },
    Case { claim: "whatever the umask, what is written is its owner's alone", prepare: |_| {}, judge: umasks },
];

const NOBODY: u32 = 65534;
/// Neither root nor nobody.
const ANOTHER: u32 = 54321;
const MARKER: &str = r#"{"action": "drain", "principal": "another"}"#;

impl Case {
    /// Runs the case below `folder`, in the child that `command` makes for the place it is given, and counts the attempts.
    /// Only root can become somebody else; for all others the case is about their own files alone.
    pub fn run(&self, folder: &Path, command: impl Fn(&Path) -> Command) -> usize {
        let place = folder.join("place");
        fs::create_dir(&place).expect("writable");
        let mut command = command(&place);
        command.current_dir(&place);
        if rustix::process::geteuid().is_root() {
            fs::set_permissions(folder, Permissions::from_mode(0o755)).expect("one's own");
            chown(&place, Some(NOBODY), Some(NOBODY)).expect("root gives away");
            (self.prepare)(&place);
            command.uid(NOBODY).gid(NOBODY);
        }
        let child = command.output().expect("it can be started");
        let said = String::from_utf8_lossy(&child.stdout);
        let failed = || format!("{said}{}", String::from_utf8_lossy(&child.stderr));
        assert!(child.status.success(), "{}: {}", self.claim, failed());
        let attempts = said.lines().find_map(|line| line.strip_suffix(" attempts")?.parse().ok());
        attempts.unwrap_or_else(|| panic!("{}: no attempts: {}", self.claim, failed()))
    }
}

/// Homes of the user's with something of another user's in them.
const FOREIGN: [&str; 7] = ["marker", "hold", "holds", "status", "lock", "readable", "all"];

fn foreign(folder: &Path, what: &str) -> Home {
    Home::at(folder.join(format!("foreign-{what}")))
}

fn files_of_another(folder: &Path) {
    let gives = |path: &Path, user: u32| chown(path, Some(user), Some(user)).expect("root gives away");
    let make = |path: &Path, mode: u32| {
        fs::write(path, MARKER).expect("writable");
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("just made");
        gives(path, ANOTHER);
    };
    for what in FOREIGN {
        let home = foreign(folder, what);
        fs::create_dir_all(home.holds_folder()).expect("writable");
        fs::set_permissions(home.path(), Permissions::from_mode(0o700)).expect("just made");
        fs::set_permissions(home.holds_folder(), Permissions::from_mode(0o700)).expect("just made");
        gives(home.path(), NOBODY);
        gives(&home.holds_folder(), NOBODY);
        match what {
            "marker" => make(&home.marker(), 0o600),
            "hold" => make(&home.holds_folder().join("upgrade.json"), 0o600),
            "holds" => gives(&home.holds_folder(), ANOTHER),
            "status" => make(&home.status(), 0o600),
            "lock" => make(&home.lock_path(), 0o600),
            "readable" => make(&home.marker(), 0o644),
            _ => gives(home.path(), ANOTHER),
        }
    }
}

fn start(home: &Home) -> Result<Reconciler, StartError> {
    Reconciler::start(home.clone(), Options { tick: Duration::from_millis(20), ..Options::default() })
}

fn forbid(path: &Path) {
    fs::set_permissions(path, Permissions::from_mode(0o000)).expect("one's own");
}

/// A gateway that starts there is closed by the hold `id`, and says that it may not read it.
fn held_unread(home: &Home, id: &str) {
    let gateway = start(home).expect("the home is usable");
    assert!(gateway.gate().admit().is_err(), "{id}: the gate is open");
    let holds = gateway.controller().holds();
    let hold =
        holds.iter().find(|hold| hold.id.as_str() == id).unwrap_or_else(|| panic!("{id} is not held: {holds:?}"));
    assert!(hold.notes.reason.contains("Permission denied"), "{id}: the status says {:?}", hold.notes.reason);
}

/// A gateway can't start there, and says why.
fn unusable(home: &Home, what: &str) {
    let error = start(home).map(drop).expect_err(what);
    assert!(matches!(error, StartError::Lock(LockError::Unusable { .. })), "{what}: {error:?}");
    assert!(error.to_string().contains("Permission denied"), "{what}: {error}");
    assert!(error.to_string().contains(&*home.path().to_string_lossy()), "{what}: it names the home: {error}");
}

fn unreadable(folder: &Path) -> usize {
    let mut attempts = 0;
    let mut own = || {
        attempts += 1;
        let home = Home::at(folder.join(format!("own-{attempts}")));
        fs::create_dir_all(home.holds_folder()).expect("writable");
        home
    };
    let (marker, hold, holds, lock, read_only) = (own(), own(), own(), own(), own());
    fs::write(marker.marker(), MARKER).expect("writable");
    forbid(&marker.marker());
    held_unread(&marker, "marker");
    let file = hold.holds_folder().join("upgrade.json");
    fs::write(&file, MARKER).expect("writable");
    forbid(&file);
    held_unread(&hold, "upgrade");
    forbid(&holds.holds_folder());
    held_unread(&holds, "!holds");
    fs::set_permissions(holds.holds_folder(), Permissions::from_mode(0o700)).expect("one's own");
    fs::write(lock.lock_path(), "").expect("writable");
    forbid(&lock.lock_path());
    unusable(&lock, "a lock that may not be opened");
    fs::set_permissions(read_only.path(), Permissions::from_mode(0o500)).expect("one's own");
    unusable(&read_only, "a home that may not be written to");
    fs::set_permissions(read_only.path(), Permissions::from_mode(0o700)).expect("one's own");
    if foreign(folder, "all").path().symlink_metadata().is_ok() {
        attempts + unreadable_of_another(folder)
    } else {
        attempts
    }
}

fn unreadable_of_another(folder: &Path) -> usize {
    let home = |what| foreign(folder, what);
    held_unread(&home("marker"), "marker");
    held_unread(&home("hold"), "upgrade");
    held_unread(&home("holds"), "!holds");
    unusable(&home("lock"), "a lock of another user's");
    assert!(home("lock").live().is_err(), "whether somebody lives there can't be known, and was said");
    unusable(&home("all"), "a home of another user's");
    let written = Channel::new(home("all")).write(&Request::begin(RequestId::marker(), "me"));
    assert_eq!(
        written.map_err(|error| error.kind()),
        Err(io::ErrorKind::PermissionDenied),
        "a request in another's home"
    );
    let found = Channel::new(home("all")).find(&RequestId::marker());
    assert!(matches!(found, Found::Unreadable { .. }), "what may not be looked at was said to be {found:?}");

    // A status is no request: one of another user's is replaced, in one's own home.
    let gateway = start(&home("status")).expect("the home is one's own");
    assert!(gateway.gate().admit().is_ok(), "nothing asks for a drain");
    assert!(Snapshot::read(&home("status")).is_ok(), "the status was not replaced");
    drop(gateway);

    // A gateway that may read a request of another user's honours it, and its owner's withdrawal.
    let gateway = start(&home("readable")).expect("the home is one's own");
    assert!(gateway.gate().admit().is_err(), "a request of another user's was not honoured");
    assert_eq!(gateway.controller().holds()[0].owner, "another");
    fs::remove_file(home("readable").marker()).expect("it lies in one's own folder");
    comes_true("the marker is gone, and the gate is open", || gateway.gate().admit().is_ok());
    FOREIGN.len() + 3
}

/// The umasks that people and service managers set, and the one that takes away everything.
const UMASKS: [u32; 6] = [0o000, 0o002, 0o022, 0o027, 0o077, 0o777];

fn umasks(folder: &Path) -> usize {
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    for umask in UMASKS {
        rustix::process::umask(rustix::fs::Mode::from(umask));
        let home = Home::at(folder.join(format!("umask-{umask:o}")));
        let gateway = start(&home).expect("the home is usable");
        let channel = Channel::new(home.clone());
        channel.write(&Request::begin(RequestId::marker(), "me")).expect("writable");
        let hold = Request::begin(RequestId::new("upgrade").expect("a name"), "me");
        channel.write(&hold).expect("writable");
        for path in [home.path(), &home.holds_folder()] {
            assert_eq!(mode(path), 0o700, "{} under the umask {umask:o}", path.display());
        }
        for path in [home.status(), home.lock_path(), home.marker(), home.request_path(&hold.id)] {
            assert_eq!(mode(&path), 0o600, "{} under the umask {umask:o}", path.display());
        }
        drop(gateway);
    }
    UMASKS.len()
}
