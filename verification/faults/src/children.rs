//! Child processes of this program in one of its roles, and ending them.

use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

/// A child in a role, free or traced by the stepper. Dropping it kills it.
pub struct Role {
    child: Child,
    pub stdout: BufReader<ChildStdout>,
}

impl Role {
    fn spawn(command: &mut Command) -> io::Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().ok_or_else(|| io::Error::other("no output"))?;
        Ok(Self { child, stdout: BufReader::new(stdout) })
    }

    /// Starts the role and lets it begin.
    pub fn start(role: &[String]) -> io::Result<Self> {
        Self::start_as(Command::new(THIS_PROGRAM).args(role))
    }

    /// As [`start`](Self::start), with a command of the caller's.
    pub fn start_as(command: &mut Command) -> io::Result<Self> {
        let mut started = Self::spawn(command)?;
        started.tell("begin");
        Ok(started)
    }

    /// Starts the role under the stepper, which stops it before step `at` for so many milliseconds and then kills it.
    pub fn stepped(at: u64, stop_ms: u64, role: &[String]) -> io::Result<Self> {
        let mut command = Command::new(THIS_PROGRAM);
        command.args(["stepper", "--at", &at.to_string(), "--stop-ms", &stop_ms.to_string(), "--"]).args(role);
        let mut started = Self::spawn(&mut command)?;
        let traced = started.line()?;
        if !traced.starts_with("traced") {
            return Err(io::Error::other(format!("the role can't be traced (ptrace): {traced}")));
        }
        started.tell("begin");
        Ok(started)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// It may be dead already.
    pub fn tell(&mut self, line: &str) {
        if let Some(stdin) = &mut self.child.stdin {
            let _ = writeln!(stdin, "{line}");
        }
    }

    /// The next line it prints; empty once it has ended.
    pub fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        Ok(line.trim_end().into())
    }

    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)) | Err(_))
    }

    pub fn signal(&self, signal: rustix::process::Signal) -> io::Result<()> {
        let pid = rustix::process::Pid::from_child(&self.child);
        Ok(rustix::process::kill_process(pid, signal)?)
    }

    /// Closes its input, and gives what it still prints once it has ended.
    pub fn ends(&mut self) -> io::Result<Vec<String>> {
        drop(self.child.stdin.take());
        let lines = (&mut self.stdout).lines().collect();
        self.child.wait()?;
        lines
    }

    pub fn kill(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        self.kill();
    }
}

/// This very program, also if it has been built anew since it was started.
pub const THIS_PROGRAM: &str = "/proc/self/exe";

pub fn gateway(home: &Path, evidence: &Path, tick_ms: u64, workers: u64) -> Vec<String> {
    let (tick, workers) = (tick_ms.to_string(), workers.to_string());
    role("gateway", home, evidence, &["--tick-ms", &tick, "--workers", &workers])
}

pub fn controller(home: &Path, evidence: &Path, name: &str, rounds: u64) -> Vec<String> {
    role("controller", home, evidence, &["--name", name, "--rounds", &rounds.to_string()])
}

pub fn dashboard(home: &Path, evidence: &Path, rounds: u64) -> Vec<String> {
    role("dashboard", home, evidence, &["--rounds", &rounds.to_string()])
}

fn role(name: &str, home: &Path, evidence: &Path, more: &[&str]) -> Vec<String> {
    let (home, evidence) = (home.to_string_lossy(), evidence.to_string_lossy());
    let head = [name, "--home", &home, "--evidence", &evidence];
    head.iter().chain(more).map(ToString::to_string).collect()
}
