//! The command that `run` runs: found before anything is closed, in a process group of its own, and ended once the group is.

use super::signals::Signals;
use crate::client::Interrupt;
use crate::environment::{REFERENCE_SECRET, SECRET};
use nix::sys::signal::{SigSet, Signal as Blocked};
use nix::unistd::getpgrp;
use rustix::fs::{Access, access};
use rustix::process::{
    Pid, Signal, WaitOptions, getpid, kill_process, kill_process_group, set_child_subreaper, test_kill_process_group,
    waitpgid,
};
use rustix::termios::{isatty, tcgetpgrp, tcsetpgrp};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

/// How often it is looked whether the group is empty, where no event tells.
const PAUSE: Duration = Duration::from_millis(50);

/// After this it is told that something is waited for.
const QUIET: Duration = Duration::from_secs(2);

/// Finds the program as a shell would: in the search path, unless it is named by a path.
pub(super) fn find(program: &OsStr) -> io::Result<PathBuf> {
    find_in(&std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into()), program)
}

fn find_in(path: &OsStr, program: &OsStr) -> io::Result<PathBuf> {
    let not_found = || io::Error::from(io::ErrorKind::NotFound);
    let named = Path::new(program);
    if program.is_empty() {
        return Err(not_found());
    }
    if program.as_bytes().contains(&b'/') {
        return runnable(named).map(|()| named.to_owned());
    }
    let mut refused = None;
    for folder in std::env::split_paths(path) {
        let file = folder.join(named);
        match runnable(&file) {
            Ok(()) => return Ok(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => refused = Some(error),
        }
    }
    Err(refused.unwrap_or_else(not_found))
}

fn runnable(file: &Path) -> io::Result<()> {
    if std::fs::metadata(file)?.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory));
    }
    Ok(access(file, Access::EXEC_OK)?)
}

/// Runs the command until nothing is left of its group; `lingers` is told once, if something outlives the command itself. The caller has
/// had the signals [wait](Signals::wait).
pub(super) fn run(
    signals: &Signals,
    program: &Path,
    command: &[OsString],
    variables: &[(&str, String)],
    lingers: impl Fn(),
) -> io::Result<ExitStatus> {
    // What the command leaves becomes ours to wait for, and so no zombie that nobody takes away is taken for life.
    #[cfg(target_os = "linux")]
    let _ = set_child_subreaper(Some(getpid()));
    let terminal = Terminal::ours();
    let named = command.first().map(OsString::as_os_str).unwrap_or_default();
    let arguments = command.get(1..).unwrap_or_default();
    let mut started = Command::new(program);
    started.arg0(named).args(arguments).envs(variables.iter().cloned());
    // Its environment may be shown to others, and the secret is not the command's.
    started.env_remove(SECRET).env_remove(REFERENCE_SECRET).process_group(0);
    let mut child = started.spawn()?;
    let group = Pid::from_child(&child);
    signals.hand_on_to(group);
    if let Some(terminal) = &terminal {
        terminal.give_to(group);
    }
    let ended = follow(&mut child, group, terminal.as_ref());
    wait_until_empty(group, lingers);
    let _ = signals.wait();
    if let Some(terminal) = &terminal {
        terminal.take_back();
    }
    ended
}

/// Waits for the command itself. On a terminal, a command that is stopped stops us, so that the shell has its prompt.
fn follow(child: &mut std::process::Child, group: Pid, terminal: Option<&Terminal>) -> io::Result<ExitStatus> {
    let Some(terminal) = terminal else { return child.wait() };
    let pid = Pid::from_child(child);
    loop {
        match rustix::process::waitpid(Some(pid), WaitOptions::UNTRACED) {
            Err(rustix::io::Errno::INTR) | Ok(None) => {}
            Err(error) => return Err(error.into()),
            Ok(Some((_, status))) if status.stopped() => {
                terminal.take_back();
                let _ = kill_process(getpid(), Signal::STOP);
                // Here again: continued in the foreground or behind it.
                terminal.give_to(group);
                let _ = kill_process_group(group, Signal::CONT);
            }
            Ok(Some((_, status))) => return Ok(ExitStatus::from_raw(status.as_raw())),
        }
    }
}

fn wait_until_empty(group: Pid, lingers: impl Fn()) {
    let (began, pauses, mut told) = (Instant::now(), Interrupt::new(), false);
    while test_kill_process_group(group).is_ok() {
        // Takes away what has ended and has been left to us.
        while let Ok(Some(_)) = waitpgid(group, WaitOptions::NOHANG) {}
        if !told && began.elapsed() >= QUIET {
            told = true;
            lingers();
        }
        pauses.pause(PAUSE);
    }
}

/// The terminal that this process has in front, and hands to its command.
struct Terminal {
    device: File,
    ours: Pid,
}

impl Terminal {
    /// The controlling terminal, if this process is in its foreground and reads from it.
    fn ours() -> Option<Self> {
        // 0 is a group outside of this process' PID namespace: no terminal is handed over that can't be taken back.
        let ours = Pid::from_raw(getpgrp().as_raw())?;
        let device = File::options().read(true).write(true).open("/dev/tty").ok()?;
        let in_front = isatty(io::stdin()) && tcgetpgrp(&device) == Ok(ours);
        if !in_front {
            return None;
        }
        // From behind, to take the terminal back would stop us.
        let mut stops = SigSet::empty();
        stops.add(Blocked::SIGTTOU);
        stops.thread_block().ok()?;
        Some(Self { device, ours })
    }

    fn give_to(&self, group: Pid) {
        if tcgetpgrp(&self.device) == Ok(self.ours) {
            let _ = tcsetpgrp(&self.device, group);
        }
        // It may have read from the terminal before it had it, and have been stopped for that.
        let _ = kill_process_group(group, Signal::CONT);
    }

    fn take_back(&self) {
        let _ = tcsetpgrp(&self.device, self.ours);
    }
}

/// The exit code of a command as a shell has it.
pub(super) fn exit_code(ended: &io::Result<ExitStatus>) -> u8 {
    let code = match ended {
        Ok(status) => status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1),
        Err(error) if error.kind() == io::ErrorKind::NotFound => 127,
        Err(_) => 126,
    };
    u8::try_from(code).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_process_group_is_waited_for_until_nothing_of_it_runs() {
        #[expect(clippy::zombie_processes, reason = "the function that is tried waits for it")]
        let child = Command::new("sleep").arg("0.2").process_group(0).spawn().unwrap();
        let group = Pid::from_child(&child);
        wait_until_empty(group, || panic!("it ends within two seconds"));
        assert!(test_kill_process_group(group).is_err());
    }

    #[test]
    fn a_program_is_found_where_it_can_be_run_and_one_that_cannot_be_is_told_apart_from_none() {
        let place = tempfile::tempdir().unwrap();
        let folder = |name: &str, mode: Option<u32>| {
            let folder = place.path().join(name);
            std::fs::create_dir(&folder).unwrap();
            if let Some(mode) = mode {
                std::fs::write(folder.join("tool"), "").unwrap();
                std::fs::set_permissions(folder.join("tool"), std::fs::Permissions::from_mode(mode)).unwrap();
            }
            folder
        };
        let (runs, denied, empty) = (folder("runs", Some(0o755)), folder("denied", Some(0o644)), folder("empty", None));
        let find = |folders: &[&PathBuf]| {
            find_in(&std::env::join_paths(folders).unwrap(), OsStr::new("tool")).map_err(|error| error.kind())
        };
        assert_eq!(find(&[&empty, &denied, &runs]), Ok(runs.join("tool")), "the first that can be run");
        assert_eq!(find(&[&denied, &empty]), Err(io::ErrorKind::PermissionDenied));
        assert_eq!(find(&[&empty]), Err(io::ErrorKind::NotFound));
        let no_name = find_in(runs.as_os_str(), OsStr::new("")).map_err(|error| error.kind());
        assert_eq!(no_name, Err(io::ErrorKind::NotFound), "without a name");
    }
}
