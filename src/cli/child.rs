//! The command that `run` runs, and the signals that concern this process and it.

use crate::client::Interrupt;
use crate::sync::{Arc, Mutex};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};

/// Where signals go: they stop the waiting or, once the command runs, they are its business.
#[derive(Clone, Default)]
pub(super) struct Receiver {
    pub(super) interrupt: Interrupt,
    child: Arc<Mutex<Running>>,
}

#[derive(Default)]
enum Running {
    /// Nothing runs yet: a signal ends the wait.
    #[default]
    Nothing,
    /// A command is being started, or has ended.
    Between,
    Child(Pid),
}

impl Receiver {
    /// Takes SIGINT, SIGTERM and SIGHUP from now on.
    pub(super) fn listen() -> io::Result<Self> {
        let receiver = Self::default();
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
        let receive = receiver.clone();
        let forever = move || signals.forever().for_each(|signal| receive.take(signal));
        std::thread::Builder::new().name("gateway-drain-signals".into()).spawn(forever)?;
        Ok(receiver)
    }

    fn take(&self, signal: i32) {
        match &*self.child.lock() {
            Running::Nothing => self.interrupt.raise(),
            Running::Between => {}
            Running::Child(pid) => {
                // A SIGINT of the terminal reaches the command by itself. One that is gone already needs no signal.
                let handed_on = [(SIGTERM, Signal::TERM), (SIGHUP, Signal::HUP)];
                for (_, named) in handed_on.into_iter().filter(|(number, _)| *number == signal) {
                    let _ = kill_process(*pid, named);
                }
            }
        }
    }

    /// Runs the command to its end.
    pub(super) fn run(&self, command: &[OsString], variables: [(&str, String); 2]) -> io::Result<ExitStatus> {
        let Some((program, arguments)) = command.split_first() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "there is no command"));
        };
        *self.child.lock() = Running::Between;
        let mut child = Command::new(program).args(arguments).envs(variables).spawn()?;
        *self.child.lock() = Running::Child(Pid::from_child(&child));
        let ended = child.wait();
        *self.child.lock() = Running::Between;
        ended
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
