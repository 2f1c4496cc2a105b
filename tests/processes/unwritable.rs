//! A home that a controller can't write in: what is known at once is said at once and with the file's name, and what may pass is
//! tried for as long as there is patience. On real file systems, so all but the plain ones need root, for the mounts.

use crate::support::process::{GatewayProcess, home};
use crate::support::tool::{Ended, STATE_VARIABLE, Tool, drain, tool};
use gateway_drain::client::ExitCode;
use gateway_drain::{Home, RequestId};
use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// A mount of its own, unmounted at the end. None without the right to mount.
struct Mount {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl Mount {
    fn new(options: &[&str]) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mount");
        fs::create_dir(&path).unwrap();
        let mounted = run("mount", &[options, &[path.to_str().unwrap()]].concat());
        assert!(mounted || !rustix::process::geteuid().is_root(), "root can't mount");
        mounted.then_some(Self { _folder: folder, path })
    }

    fn disk() -> Option<Self> {
        Self::new(&["-t", "tmpfs", "-o", "size=256k", "tmpfs"])
    }

    /// Another way to a folder, on which nothing can be written.
    fn read_only(of: &Path) -> Option<Self> {
        let mount = Self::new(&["--bind", of.to_str().unwrap()])?;
        assert!(run("mount", &["-o", "remount,bind,ro", mount.path.to_str().unwrap()]));
        Some(mount)
    }

    fn fill(&self) -> PathBuf {
        let path = self.path.join("filling");
        let mut file = fs::File::create(&path).unwrap();
        while file.write_all(&[0; 512]).is_ok() {}
        path
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        run("umount", &["-l", self.path.to_str().unwrap()]);
    }
}

fn run(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).status().is_ok_and(|status| status.success())
}

/// The tool with its tokens elsewhere than in the home.
fn start(home: &Path, state: &Path, arguments: &[&str]) -> Tool {
    let mut command = tool(home);
    command.env(STATE_VARIABLE, state).args(arguments);
    Tool::spawn(command)
}

/// Denied long before the patience is over, and said with the system's words.
fn denied_at_once(home: &Path, state: &Path, words: &str, arguments: &[&str]) {
    let began = Instant::now();
    let ended = start(home, state, &[&["--patience", "60s"], arguments].concat()).ended();
    let code = if arguments[0] == "run" { 208 } else { 8 };
    assert_eq!(ended.code, Some(code), "{arguments:?}: {ended:?}");
    assert!(began.elapsed() < Duration::from_secs(30), "{arguments:?}: said after {:?}", began.elapsed());
    assert!(ended.stderr.contains(words) && ended.stderr.contains(".json can't be "), "{arguments:?}: {ended:?}");
}

const ALL: [&[&str]; 10] = [
    &["begin"],
    &["begin", "new"],
    &["begin", "new", "--attach"],
    &["begin", "upgrade", "--attach"],
    &["wait", "upgrade"],
    &["renew", "upgrade"],
    &["commit", "upgrade"],
    &["cancel", "upgrade"],
    &["override", "upgrade"],
    &["run", "--", "touch", "ran"],
];

#[test]
fn on_a_home_that_is_mounted_read_only_every_command_that_writes_is_denied_at_once() {
    let (home, state) = (home(), tempfile::tempdir().unwrap());
    let Some(other_way) = Mount::read_only(home.path()) else { return };
    let gateway = GatewayProcess::start(home.path());
    denied_at_once(&other_way.path, state.path(), "Read-only file system", &["begin", "--marker"]);
    start(home.path(), state.path(), &["begin", "upgrade"]).ended().expect(ExitCode::Drained);
    for arguments in ALL {
        denied_at_once(&other_way.path, state.path(), "Read-only file system", arguments);
    }
    start(&other_way.path, state.path(), &["status"]).ended().expect(ExitCode::Drained);
    assert!(!gateway.admits(), "the hold stands");
    start(home.path(), state.path(), &["cancel", "upgrade"]).ended().expect(ExitCode::Drained);
}

#[test]
fn where_the_system_forbids_the_writing_every_command_that_writes_is_denied_at_once() {
    let Some(disk) = Mount::disk() else { return };
    let (home, state) = (disk.path.join("home"), tempfile::tempdir().unwrap());
    fs::create_dir(&home).unwrap();
    let gateway = GatewayProcess::start(&home);
    start(&home, state.path(), &["begin", "upgrade"]).ended().expect(ExitCode::Drained);
    // As a folder that only some may write in: even root is refused.
    let folder = fs::File::open(Home::at(&home).holds_folder()).unwrap();
    let flags = ioctl_getflags(&folder).unwrap();
    ioctl_setflags(&folder, flags | IFlags::IMMUTABLE).unwrap();
    for arguments in ALL {
        denied_at_once(&home, state.path(), "Operation not permitted", arguments);
    }
    ioctl_setflags(&folder, flags).unwrap();
    assert!(!gateway.admits(), "the hold stands");
    start(&home, state.path(), &["cancel", "upgrade"]).ended().expect(ExitCode::Drained);
}

#[test]
fn on_a_full_disk_a_begin_is_tried_for_as_long_as_there_is_patience_and_then_says_what_it_lacked() {
    let Some(disk) = Mount::disk() else { return };
    let (home, state) = (disk.path.join("home"), tempfile::tempdir().unwrap());
    fs::create_dir(&home).unwrap();
    let gateway = GatewayProcess::start(&home);
    let filling = disk.fill();
    let began = Instant::now();
    let ended = start(&home, state.path(), &["--patience", "1s", "begin", "upgrade"]).ended();
    let ended = ended.expect(ExitCode::Unreachable);
    let file = Home::at(&home).request_path(&RequestId::new("upgrade").unwrap());
    let says = format!("{} can't be written: No space left on device", file.display());
    assert!(ended.stderr.contains(&says), "{ended:?}");
    assert!(began.elapsed() >= Duration::from_secs(1), "tried for {:?}", began.elapsed());
    assert!(gateway.admits());
    let begin = start(&home, state.path(), &["--patience", "60s", "begin", "upgrade"]);
    // For the room, or for the status: a gateway that finds no room for its next one removes the last, and its room may be taken.
    begin.said("waiting for the gateway");
    fs::remove_file(filling).unwrap();
    begin.ended().expect(ExitCode::Drained);
    assert!(!gateway.admits(), "there is room again");
}

#[test]
fn what_stands_in_the_place_of_a_home_is_said_as_what_it_is() {
    let home = home();
    let at = |name: &str| home.path().join(name);
    symlink("loop", at("loop")).unwrap();
    fs::write(at("file"), "").unwrap();
    symlink("nowhere", at("dangling")).unwrap();
    fs::create_dir(at("home")).unwrap();
    symlink("..", at("home/.drain_holds")).unwrap();
    for (name, code, says) in [
        ("loop", ExitCode::Unreachable, "symbolic links"),
        ("loop/below", ExitCode::Unreachable, "symbolic links"),
        ("file", ExitCode::Unreachable, "is no folder"),
        ("file/below", ExitCode::Unreachable, "Not a directory"),
        ("nowhere", ExitCode::Unreachable, "there is no folder"),
        ("dangling", ExitCode::Unreachable, "there is no folder"),
        ("home", ExitCode::Denied, ".drain_holds/x.json is no request: it is a link"),
    ] {
        let ended: Ended = drain(&at(name), &["--patience", "100ms", "begin", "x"]).expect(code);
        assert!(ended.stderr.contains(says), "{name}: {ended:?}");
    }
}
