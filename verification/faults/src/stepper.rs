//! Kills a process at its k-th step: right before its k-th system call on files, counted over all its threads.
//!
//! The process is traced (`ptrace`), so that "before step k" is exact and each step is hit in turn, which no timer and no
//! counter of a single thread could do. SIGKILL at the entry of a system call keeps the call from being made.

use crate::children;
use crate::roles::pause;
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::io;
use std::time::Duration;

/// The system calls that count as steps, and their names.
const STEPS: &[(i64, &str)] = &[
    (libc::SYS_openat, "open"),
    (libc::SYS_mkdirat, "mkdir"),
    (libc::SYS_flock, "flock"),
    (libc::SYS_ftruncate, "ftruncate"),
    (libc::SYS_fchmod, "fchmod"),
    (libc::SYS_write, "write"),
    (libc::SYS_fsync, "fsync"),
    (libc::SYS_renameat, "rename"),
    (libc::SYS_renameat2, "rename"),
    (libc::SYS_unlinkat, "unlink"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_open, "open"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_mkdir, "mkdir"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_rename, "rename"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_unlink, "unlink"),
];

/// Runs this program with `role`, traced; stops it before its step `at` for the time of `stop`, and then kills it. Its
/// role reads a line before it begins, so everything that it does with files comes after it is traced.
///
/// Prints `traced` once it is, `stopped` when it is stopped, and at the end `killed STEP` or `ended`.
pub fn run(at: u64, stop: Duration, role: &[String]) -> io::Result<()> {
    let child = children::command(role).spawn()?;
    let root = Pid::from_raw(child.id().cast_signed());
    ptrace::seize(root, Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACECLONE | Options::PTRACE_O_EXITKILL)?;
    ptrace::interrupt(root)?;
    println!("traced {root}");
    println!("{}", follow(root, at, stop)?.map_or("ended".into(), |step| format!("killed {step}")));
    Ok(())
}

fn follow(root: Pid, at: u64, stop: Duration) -> io::Result<Option<&'static str>> {
    let (mut steps, mut killed) = (0, None);
    loop {
        let go_on = |thread, signal| match ptrace::syscall(thread, signal) {
            // It has been killed meanwhile.
            Err(nix::errno::Errno::ESRCH) => Ok(()),
            other => other,
        };
        match waitpid(None, Some(WaitPidFlag::__WALL)) {
            Ok(WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, _, _)) if pid == root => return Ok(killed),
            Ok(WaitStatus::PtraceSyscall(thread)) => {
                if let Some(step) = entered(thread) {
                    steps += 1;
                    if steps == at {
                        if !stop.is_zero() {
                            println!("stopped before {step}");
                            pause(stop);
                        }
                        kill(root, Signal::SIGKILL)?;
                        killed = Some(step);
                    }
                }
                go_on(thread, None)?;
            }
            Ok(WaitStatus::Stopped(thread, signal)) => go_on(thread, Some(signal))?,
            Ok(WaitStatus::PtraceEvent(thread, ..)) => go_on(thread, None)?,
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The step that a thread is about to take, if it is about to take one.
fn entered(thread: Pid) -> Option<&'static str> {
    let registers = ptrace::getregs(thread).ok()?;
    // A call that is entered has no result yet; one that is left has.
    #[cfg(target_arch = "x86_64")]
    let (entry, number, first) =
        (registers.rax.cast_signed() == -i64::from(libc::ENOSYS), registers.orig_rax.cast_signed(), registers.rdi);
    #[cfg(target_arch = "aarch64")]
    let (entry, number, first) = (registers.regs[7] == 0, registers.regs[8].cast_signed(), registers.regs[0]);
    // What goes to the standard streams is talk, not a step.
    let talk = number == libc::SYS_write && first <= 2;
    STEPS.iter().find(|(step, _)| entry && *step == number && !talk).map(|(_, name)| *name)
}
