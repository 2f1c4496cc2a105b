//! Real processes for the tests of the client and the command line: the example gateway, its turns, and `gateway-drain`.
//!
//! Nothing here sleeps: a wait reads a line that a process prints, or looks at what it has published, for a
//! bounded time. Every process is ended by its own id.

pub use crate::support::example_bins::examples;
use gateway_drain::client::{ExitCode, Gateway};
use gateway_drain::{Home, Snapshot};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
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

/// Where the system chooses the port.
const ANY_PORT: &str = "127.0.0.1:0";

/// The example of this name, with this secret for its endpoint or none.
fn with_secret(name: &str, secret: Option<&str>) -> Command {
    let mut command = Command::new(examples().join(name));
    command.env_remove(Gateway::REFERENCE_SECRET_VARIABLE);
    command.env_remove(Gateway::SECRET_VARIABLE).envs(secret.map(|secret| (Gateway::SECRET_VARIABLE, secret)));
    if secret.is_none() {
        command.arg("--open");
    }
    command
}

/// One of the examples in Python.
pub fn python(program: &str) -> Command {
    let mut command = Command::new("python3");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/python").join(program));
    command
}

/// Starts a server, and waits until it says at which address it listens.
fn listening(mut command: Command) -> (Child, String, Lines) {
    let started = command.stdout(Stdio::piped()).stdin(Stdio::null()).spawn();
    let mut child = started.unwrap_or_else(|error| panic!("{command:?} can't be started: {error}"));
    let lines = Lines::of_stdout(child.stdout.take());
    let line = lines.until("listening on http://");
    let address = line.rsplit("http://").next().unwrap_or_default().trim().to_owned();
    (child, address, lines)
}

/// A gateway process in a home of its own.
pub struct GatewayProcess {
    child: Child,
    pub home: PathBuf,
    pub address: String,
    /// What it prints, read to the end so that it never blocks on a full pipe.
    _lines: Lines,
}

impl GatewayProcess {
    pub fn start(home: &Path) -> Self {
        Self::start_with(home, &[])
    }

    /// One with more arguments.
    pub fn start_with(home: &Path, more: &[&str]) -> Self {
        Self::spawn(home, ANY_PORT, None, more)
    }

    /// One at this address, which another one had.
    pub fn start_at(home: &Path, listen: &str) -> Self {
        Self::spawn(home, listen, None, &[])
    }

    /// One whose endpoint wants this secret, at this address.
    pub fn start_with_secret(home: &Path, secret: &str, listen: &str) -> Self {
        Self::spawn(home, listen, Some(secret), &[])
    }

    fn spawn(home: &Path, listen: &str, secret: Option<&str>, more: &[&str]) -> Self {
        let mut command = with_secret("gateway", secret);
        command.arg("--home").arg(home).args(["--listen", listen, "--tick-ms", "20"]).args(more);
        Self::of(command, home)
    }

    /// One that looks at its files so seldom.
    pub fn start_with_tick(home: &Path, millis: u64) -> Self {
        let mut command = with_secret("gateway", None);
        command.arg("--home").arg(home).args(["--listen", ANY_PORT, "--tick-ms", &millis.to_string()]);
        Self::of(command, home)
    }

    /// The gateway that is written in Python.
    pub fn in_python(home: &Path, listen: &str) -> Self {
        let mut command = python("gateway.py");
        command.arg("--home").arg(home).args(["--listen", listen, "--tick-ms", "20"]);
        Self::of(command, home)
    }

    /// One that this command starts in this home.
    pub fn of(command: Command, home: &Path) -> Self {
        let (child, address, lines) = listening(command);
        Self { child, home: home.to_owned(), address, _lines: lines }
    }

    /// Starts a turn, and returns once it has been admitted.
    pub fn turn(&self, millis: u64) -> Turn {
        let body = serde_json::json!({"session": "s1", "millis": millis}).to_string();
        let post = ureq::post(&format!("http://{}/turns", self.address)).header("content-type", "application/json");
        let mut response = post.send(body).expect("the gateway admits the turn");
        let reading = std::thread::spawn(move || {
            let mut text = String::new();
            // A gateway that is killed cuts its turns off.
            let _ = response.body_mut().as_reader().read_to_string(&mut text);
            text
        });
        Turn { reading }
    }

    /// Whether a turn would be admitted now.
    pub fn admits(&self) -> bool {
        let body = serde_json::json!({"session": "probe", "millis": 0}).to_string();
        let post = ureq::post(&format!("http://{}/turns", self.address)).header("content-type", "application/json");
        match post.send(body) {
            Ok(_) => true,
            Err(ureq::Error::StatusCode(503)) => false,
            Err(other) => panic!("the gateway answers a turn: {other}"),
        }
    }

    /// Looks at what the gateway has published until it says what is wanted.
    pub fn until(&self, what: &str, wanted: impl Fn(&Snapshot) -> bool) -> Snapshot {
        crate::support::eventually::until(&Home::at(&self.home), what, wanted)
    }

    /// SIGTERM: a shutdown.
    pub fn terminate(&self) {
        signal(&self.child, Signal::TERM);
    }

    /// SIGSTOP: it lives, and does nothing.
    pub fn freeze(&self) {
        signal(&self.child, Signal::STOP);
    }

    pub fn thaw(&self) {
        signal(&self.child, Signal::CONT);
    }

    /// Its exit code once it has ended, within this time. Otherwise it is killed, and there is none.
    pub fn ends_within(mut self, limit: Duration) -> Option<i32> {
        let began = Instant::now();
        let (_keep, pause) = channel::<()>();
        while began.elapsed() < limit {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                return status.code();
            }
            // Its end is no event to a thread that has to look at the clock as well.
            let _ = pause.recv_timeout(Duration::from_millis(10));
        }
        None
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL: it is gone without a word.
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for GatewayProcess {
    fn drop(&mut self) {
        self.end();
    }
}

/// A dashboard process over the home of a gateway.
pub struct DashboardProcess {
    child: Child,
    pub address: String,
    _lines: Lines,
}

impl DashboardProcess {
    pub fn start(home: &Path, secret: Option<&str>) -> Self {
        let mut command = with_secret("dashboard", secret);
        command.arg("--home").arg(home).args(["--listen", ANY_PORT]);
        let (child, address, lines) = listening(command);
        Self { child, address, _lines: lines }
    }
}

impl Drop for DashboardProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A turn that is being answered.
pub struct Turn {
    reading: JoinHandle<String>,
}

impl Turn {
    /// Waits for its end; tells whether it ended by itself rather than being cut off.
    pub fn finished(self) -> bool {
        self.reading.join().expect("the reader ends").ends_with("done\n")
    }
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).expect("the process is there");
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
        kill_process(tool, number).expect("the process is there");
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
struct Lines {
    receiver: Mutex<Receiver<String>>,
    seen: Mutex<String>,
}

impl Lines {
    fn of_stdout(out: Option<ChildStdout>) -> Self {
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

    fn until(&self, text: &str) -> String {
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
    fn rest(&self) -> String {
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

/// A home that is there, with nothing in it.
pub fn home() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// The gateway of a home, for the library's own client.
pub fn gateway(home: &Path) -> Gateway {
    Gateway::at(Home::at(home))
}
