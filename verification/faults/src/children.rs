//! Child processes of this program in one of its roles, and ending them.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

/// A child in a role, free or traced by the stepper. Dropping it kills it.
pub struct Role {
    child: Child,
    stdout: BufReader<ChildStdout>,
    printed: Vec<String>,
    ended: Option<ExitStatus>,
}

impl Role {
    fn spawn(command: &mut Command) -> io::Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().ok_or_else(|| io::Error::other("no output"))?;
        Ok(Self { child, stdout: BufReader::new(stdout), printed: Vec::new(), ended: None })
    }

    /// Starts the role and lets it begin.
    pub fn start(role: &[String]) -> io::Result<Self> {
        Self::start_as(command(role).stderr(complaints(role)))
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
        command.stderr(complaints(role));
        let mut started = Self::spawn(&mut command)?;
        let traced = started.line()?;
        if !traced.starts_with("traced") {
            return Err(io::Error::other(format!("the role can't be traced (ptrace): {traced}")));
        }
        started.tell("begin");
        Ok(started)
    }

    pub fn process(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
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
        self.printed.push(line.trim_end().into());
        Ok(line.trim_end().into())
    }

    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)) | Err(_))
    }

    pub fn signal(&self, signal: rustix::process::Signal) -> io::Result<()> {
        Ok(rustix::process::kill_process(self.process(), signal)?)
    }

    /// Closes its input, waits until it and whatever it has started have ended, and gives all that it has printed.
    pub fn ends(&mut self) -> io::Result<&[String]> {
        drop(self.child.stdin.take());
        for line in (&mut self.stdout).lines() {
            self.printed.push(line?);
        }
        self.ended = Some(self.child.wait()?);
        Ok(&self.printed)
    }

    /// Whether it has been seen to end by a signal.
    pub fn was_killed(&self) -> bool {
        self.ended.is_some_and(|status| status.signal().is_some())
    }

    /// What it says on its standard error, if that was piped, once it has ended.
    pub fn complains(&mut self) -> io::Result<String> {
        let mut text = String::new();
        if let Some(stderr) = &mut self.child.stderr {
            stderr.read_to_string(&mut text)?;
        }
        Ok(text)
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

/// This very program, also if it has been built again since it was started.
pub const THIS_PROGRAM: &str = "/proc/self/exe";

/// The secret of every endpoint here.
pub const SECRET: &str = "faults-Aq9ZxW7vBn2MkLp5TgYhUj8RfEdCv4XsQo1Iu6Hy";

/// The name under which this program is the command line.
pub const TOOL: &str = "gateway-drain";

/// This program in a role.
pub fn command(role: &[String]) -> Command {
    let mut command = Command::new(THIS_PROGRAM);
    match role.split_first() {
        Some((name, arguments)) if name == TOOL => command.arg0(TOOL).args(arguments),
        _ => command.args(role),
    };
    command.env(gateway_drain::client::Gateway::SECRET_VARIABLE, SECRET);
    command
}

/// Where a role's messages go: the command line tells of its progress, which nobody reads here.
fn complaints(role: &[String]) -> Stdio {
    if role.first().is_some_and(|name| name == TOOL) { Stdio::null() } else { Stdio::inherit() }
}

/// The command line, in a home.
pub fn tool(home: &Path, arguments: &[&str]) -> Vec<String> {
    let home = home.to_string_lossy();
    let head = [TOOL, "--home", &home, "--owner", "ann"];
    head.iter().chain(arguments).map(ToString::to_string).collect()
}

pub fn endpoint(home: &Path) -> Vec<String> {
    ["endpoint", "--home", &home.to_string_lossy()].map(ToString::to_string).into()
}

pub fn gateway(home: &Path, evidence: &Path, tick_ms: u64, workers: u64) -> Vec<String> {
    let (tick, workers) = (tick_ms.to_string(), workers.to_string());
    role("gateway", home, evidence, &["--tick-ms", &tick, "--workers", &workers])
}

pub fn controller(home: &Path, evidence: &Path, name: &str, rounds: u64) -> Vec<String> {
    role("controller", home, evidence, &["--name", name, "--rounds", &rounds.to_string()])
}

pub fn script(home: &Path, evidence: &Path, rounds: u64) -> Vec<String> {
    role("script", home, evidence, &["--rounds", &rounds.to_string()])
}

fn role(name: &str, home: &Path, evidence: &Path, more: &[&str]) -> Vec<String> {
    let (home, evidence) = (home.to_string_lossy(), evidence.to_string_lossy());
    let head = [name, "--home", &home, "--evidence", &evidence];
    head.iter().chain(more).map(ToString::to_string).collect()
}
