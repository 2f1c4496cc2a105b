//! `gateway-drain` as a process, and the lines that any process prints.

use crate::support::eventually::comes_true;
use crate::support::example_bins::examples;
use gateway_drain::Home;
use gateway_drain::client::{ExitCode, Gateway};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Nothing in a test takes longer than this, however slow the machine.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Where `gateway-drain` lies.
pub fn tools() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_gateway-drain")).parent().expect("a program lies in a folder")
}

/// A search path on which `gateway-drain` and the examples are found.
pub fn search_path() -> std::ffi::OsString {
    let system = std::env::var_os("PATH").unwrap_or_default();
    let folders = [tools().to_owned(), examples().to_owned()].into_iter().chain(std::env::split_paths(&system));
    std::env::join_paths(folders).expect("a search path")
}

/// One `gateway-drain`, run to its end.
pub fn drain<S: AsRef<OsStr>>(home: &Path, arguments: &[S]) -> Ended {
    Tool::start(home, arguments).ended()
}

/// Where a controller keeps the tokens of its commits.
pub const STATE_VARIABLE: &str = "GATEWAY_DRAIN_STATE";

/// The owner of what the tool begins, unless it is told another: the user that the tests run as.
pub fn owner() -> String {
    let output = Command::new("id").arg("-un").output().expect("the system knows its users");
    String::from_utf8(output.stdout).expect("a name").trim().to_owned()
}

/// The tool, for what [`drain`] doesn't do.
pub fn tool(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gateway-drain"));
    command
        .env_remove(Gateway::SECRET_VARIABLE)
        .env_remove(Gateway::REFERENCE_SECRET_VARIABLE)
        .env(STATE_VARIABLE, home.join(".controller"));
    command.env(Home::VARIABLE, home).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A `gateway-drain` on its way.
pub struct Tool {
    child: Option<Child>,
    lines: Lines,
}

impl Tool {
    pub fn start<S: AsRef<OsStr>>(home: &Path, arguments: &[S]) -> Self {
        let mut command = tool(home);
        command.args(arguments);
        Self::spawn(command)
    }

    pub fn spawn(mut command: Command) -> Self {
        let mut child = command.spawn().expect("the tool starts");
        let lines = Lines::of_stderr(child.stderr.take());
        Self { child: Some(child), lines }
    }

    /// Waits until it has said `text` on stderr.
    pub fn said(&self, text: &str) -> String {
        self.lines.until(text)
    }

    /// Sends a signal to the `gateway-drain` that a script runs, and to nobody else.
    pub fn signal_in_script(&self, number: Signal) {
        let shell = self.child.as_ref().expect("it is running").id();
        let children = format!("/proc/{shell}/task/{shell}/children");
        let children = std::fs::read_to_string(children).expect("the script's processes are known");
        let tool = children.trim().parse().ok().and_then(Pid::from_raw).expect("it runs one command at a time");
        send(tool, number);
    }

    pub fn signal(&self, number: Signal) {
        signal(self.child.as_ref().expect("it is running"), number);
    }

    pub fn ended(mut self) -> Ended {
        let child = self.child.take().expect("it is running");
        let pid = Pid::from_child(&child);
        let (done, wait) = channel();
        let waiting = std::thread::spawn(move || done.send(child.wait_with_output()));
        let Ok(output) = wait.recv_timeout(LIMIT) else {
            let _ = kill_process(pid, Signal::KILL);
            panic!("gateway-drain did not end within {LIMIT:?}; it said:\n{}", self.lines.rest());
        };
        let _ = waiting.join();
        let Output { status, stdout, .. } = output.expect("its output can be read");
        let stdout = String::from_utf8(stdout).expect("its output is text");
        Ended { code: status.code(), stdout, stderr: self.lines.rest() }
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// How a `gateway-drain` ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    #[track_caller]
    pub fn expect(self, code: ExitCode) -> Self {
        self.expect_code(i32::from(code.code()))
    }

    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("stdout is JSON: {error}: {self:?}"))
    }
}

/// The lines that a process prints, as they come.
pub struct Lines {
    receiver: Mutex<Receiver<String>>,
    seen: Mutex<String>,
}

impl Lines {
    pub fn of_stdout(out: Option<ChildStdout>) -> Self {
        Self::of(out.expect("it is piped"))
    }

    fn of_stderr(out: Option<ChildStderr>) -> Self {
        Self::of(out.expect("it is piped"))
    }

    fn of(out: impl Read + Send + 'static) -> Self {
        let (send, receiver) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    // Nobody reads any more; the pipe has to stay open all the same.
                }
            }
        });
        Self { receiver: Mutex::new(receiver), seen: Mutex::default() }
    }

    pub fn until(&self, text: &str) -> String {
        let began = Instant::now();
        let mut seen = self.seen.lock().expect("nobody panicked");
        let receiver = self.receiver.lock().expect("nobody panicked");
        while let Ok(line) = receiver.recv_timeout(LIMIT.saturating_sub(began.elapsed())) {
            seen.push_str(&line);
            seen.push('\n');
            if line.contains(text) {
                return line;
            }
        }
        panic!("it never said {text:?}; it said:\n{seen}");
    }

    /// All that was said, to the end.
    pub fn rest(&self) -> String {
        let mut seen = self.seen.lock().expect("nobody panicked");
        let receiver = self.receiver.lock().expect("nobody panicked");
        loop {
            match receiver.recv_timeout(Duration::from_secs(5)) {
                Ok(line) => {
                    seen.push_str(&line);
                    seen.push('\n');
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return seen.clone(),
            }
        }
    }
}

pub fn signal(child: &Child, signal: Signal) {
    send(Pid::from_child(child), signal);
}

/// Sends a signal. A stop has happened when this returns: until one thread of a process has come to it, its other threads go on.
pub fn send(process: Pid, signal: Signal) {
    kill_process(process, signal).expect("the process is there");
    if signal == Signal::STOP {
        comes_true("every thread of it has stopped", || has_stopped(process));
    }
}

fn has_stopped(process: Pid) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{}/task", process.as_raw_pid())).expect("the process is there");
    let mut states = threads.map(|thread| std::fs::read_to_string(thread?.path().join("stat")));
    states.all(|state| state.is_ok_and(|state| state.contains(") T ")))
}

/// A shell command that stops a process, as [`send`] does.
pub fn stops(process: u32) -> String {
    format!("kill -STOP {process}; while cat /proc/{process}/task/*/stat | grep -qv ') T '; do :; done")
}
