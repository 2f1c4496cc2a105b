//! The example gateway as a process of its own, and how an operator and its clients reach it: `touch`, `rm`, signals and
//! HTTP. The tests of the live gateway rely on it.

use gateway_drain::{Home, Snapshot};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use tempfile::TempDir;

/// The example gateway.
pub fn example() -> PathBuf {
    crate::support::example_bins::examples().join("gateway")
}

/// A running gateway. Dropping it ends the process.
pub struct Gateway {
    process: Child,
    pub stdout: BufReader<ChildStdout>,
    pub url: String,
    pub home: Home,
    /// The home's folder, if it is this gateway's own.
    folder: Option<TempDir>,
}

impl Gateway {
    /// One in a fresh home.
    pub fn start(args: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path().join("home"));
        let mut gateway = Self::start_in(&home, args);
        gateway.folder = Some(folder);
        gateway
    }

    /// One in a home that outlives it.
    pub fn start_in(home: &Home, args: &[&str]) -> Self {
        let mut process = Command::new(example())
            .args(["--open", "--listen", "127.0.0.1:0", "--home"])
            .arg(home.path())
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ").expect("the address comes first").to_owned();
        Self { process, stdout, url, home: home.clone(), folder: None }
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    pub fn post(&self, path: &str, body: &str) -> ureq::http::Response<ureq::Body> {
        post(&self.url, path, body).expect("the control routes are always answered")
    }

    pub fn get(&self, path: &str) -> (u16, String) {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut response = agent.get(format!("{}{path}", self.url)).call().expect("always answered");
        (response.status().as_u16(), response.body_mut().read_to_string().unwrap())
    }

    pub fn status(&self) -> Value {
        serde_json::from_str(&self.get("/api/status").1).expect("the status is JSON")
    }

    /// Starts a turn whose response streams, and reads its first line.
    pub fn turn(&self, millis: u64) -> Turn {
        let body = json!({"session": "s1", "millis": millis}).to_string();
        let response = self.post("/turns", &body);
        assert_eq!(response.status(), 200);
        let mut lines = BufReader::new(response.into_body().into_reader());
        let mut first = String::new();
        lines.read_line(&mut first).unwrap();
        assert_eq!(first, "line 0\n");
        Turn { rest: Box::new(lines) }
    }

    pub fn touch_marker(&self) {
        assert!(Command::new("touch").arg(self.home.marker()).status().unwrap().success());
    }

    pub fn rm_marker(&self) {
        assert!(Command::new("rm").arg(self.home.marker()).status().unwrap().success());
    }

    pub fn terminate(&self) {
        let pid = i32::try_from(self.process.id()).ok().and_then(rustix::process::Pid::from_raw).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    }

    /// The exit code, and the rest of what it printed.
    pub fn ends(mut self) -> (Option<i32>, String, Snapshot) {
        let mut printed = String::new();
        self.stdout.read_to_string(&mut printed).unwrap();
        let code = self.process.wait().unwrap().code();
        (code, printed, Snapshot::read(&self.home).unwrap())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended already, as it should.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// One request of a client of its own; an error is one of the connection, never of the answer.
pub fn post(url: &str, path: &str, body: &str) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    agent.post(format!("{url}{path}")).header("content-type", "application/json").send(body)
}

/// A turn whose first line has arrived.
pub struct Turn {
    rest: Box<dyn Read + Send>,
}

impl Turn {
    pub fn rest(mut self) -> String {
        let mut text = String::new();
        self.rest.read_to_string(&mut text).unwrap();
        text
    }

    /// Reads the turn to its end; fails unless every line came, in order, and then the last one.
    pub fn ends_whole(self) {
        let streamed = self.rest();
        let lines = streamed.lines().count().saturating_sub(1);
        let whole: String = (1..=lines).map(|line| format!("line {line}\n")).collect();
        assert_eq!(streamed, whole + "done\n", "the turn streams to its end, with no line lost");
    }
}
