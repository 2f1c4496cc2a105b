//! Gateways as processes, their turns, and how an operator and clients reach them: `touch`, `rm`, signals and HTTP. `tool` has
//! `gateway-drain`.
//!
//! Nothing here sleeps: a wait reads a line that a process prints, or looks at what it has published, for a
//! bounded time. Every process is ended by its own id.

pub use crate::support::example_bins::examples;
use crate::support::tool::{Lines, signal};
use gateway_drain::client::Gateway;
use gateway_drain::{Home, Snapshot};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tempfile::TempDir;

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
    lines: Lines,
    /// The home's folder, if it ends with this gateway.
    folder: Option<TempDir>,
}

impl GatewayProcess {
    /// One in a fresh home, with these arguments and the example's own tick unless they say another.
    pub fn in_fresh_home(arguments: &[&str]) -> Self {
        let folder = home();
        let mut gateway = Self::with_arguments(&folder.path().join("home"), arguments);
        gateway.folder = Some(folder);
        gateway
    }

    /// One with these arguments, and the example's own tick unless they say another.
    pub fn with_arguments(home: &Path, arguments: &[&str]) -> Self {
        let mut command = with_secret("gateway", None);
        command.arg("--home").arg(home).args(["--listen", ANY_PORT]).args(arguments);
        Self::of(command, home)
    }

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
        Self::with_arguments(home, &["--tick-ms", &millis.to_string()])
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
        Self { child, home: home.to_owned(), address, lines, folder: None }
    }

    /// A request of a client of its own.
    pub fn post(&self, path: &str, body: &str) -> ureq::http::Response<ureq::Body> {
        post(&self.address, path, body).expect("it is answered")
    }

    pub fn get(&self, path: &str) -> (u16, String) {
        let mut response = agent().get(format!("http://{}{path}", self.address)).call().expect("it is answered");
        (response.status().as_u16(), response.body_mut().read_to_string().expect("a text"))
    }

    /// What its endpoint says of it.
    pub fn status(&self) -> Value {
        serde_json::from_str(&self.get("/api/status").1).expect("the status is JSON")
    }

    /// Starts a turn, and returns once it has been admitted. It is read to its end whether or not anybody waits for that.
    pub fn turn(&self, millis: u64) -> Turn {
        let mut response = self.post("/turns", &json!({"session": "s1", "millis": millis}).to_string());
        assert_eq!(response.status(), 200, "the gateway admits the turn");
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
        match self.post("/turns", &json!({"session": "probe", "millis": 0}).to_string()).status().as_u16() {
            200 => true,
            503 => false,
            other => panic!("the gateway answers a turn with {other}"),
        }
    }

    pub fn touch_marker(&self) {
        let touched = Command::new("touch").arg(self.named_home().marker()).status();
        assert!(touched.expect("touch can be run").success());
    }

    pub fn rm_marker(&self) {
        let removed = Command::new("rm").arg(self.named_home().marker()).status();
        assert!(removed.expect("rm can be run").success());
    }

    pub fn named_home(&self) -> Home {
        Home::at(&self.home)
    }

    /// Looks at what the gateway has published until it says what is wanted.
    pub fn until(&self, what: &str, wanted: impl Fn(&Snapshot) -> bool) -> Snapshot {
        crate::support::eventually::until(&self.named_home(), what, wanted)
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

    /// Its exit code, what it printed, and the last that it published.
    pub fn ends(mut self) -> (Option<i32>, String, Snapshot) {
        let code = self.child.wait().expect("it can be waited for").code();
        (code, self.lines.rest(), Snapshot::read(&self.named_home()).expect("its last status"))
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

impl DashboardProcess {
    /// SIGSTOP.
    pub fn freeze(&self) {
        signal(&self.child, Signal::STOP);
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        signal(&self.child, Signal::CONT);
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
    /// All that was answered, once it has ended.
    pub fn text(self) -> String {
        self.reading.join().expect("the reader ends")
    }

    /// Waits for its end; tells whether it ended by itself rather than being cut off.
    pub fn finished(self) -> bool {
        self.text().ends_with("done\n")
    }

    /// Waits for its end; fails unless every line came, in order, and then the last one.
    pub fn ends_whole(self) {
        let text = self.text();
        let lines = text.lines().count().saturating_sub(1);
        let whole: String = (0..lines).map(|line| format!("line {line}\n")).collect();
        assert_eq!(text, whole + "done\n", "the turn streams to its end, with no line lost");
    }
}

fn agent() -> ureq::Agent {
    crate::support::http_client::config().build().into()
}

/// One request of a client of its own; an error is one of the connection, never of the answer.
pub fn post(address: &str, path: &str, body: &str) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
    agent().post(format!("http://{address}{path}")).header("content-type", "application/json").send(body)
}

/// A home that is there, with nothing in it.
pub fn home() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// The gateway of a home, for the library's own client.
pub fn gateway(home: &Path) -> Gateway {
    Gateway::at(Home::at(home))
}
