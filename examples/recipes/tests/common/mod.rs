//! A recipe as a process, with its home and its port. Its work takes two seconds: longer than it takes to be published.

#![allow(dead_code, reason = "each test uses its own part")]

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use std::{fs, thread};

pub const LIMIT: Duration = Duration::from_secs(60);

pub struct Recipe {
    process: Child,
    home: tempfile::TempDir,
    /// What it prints.
    pub lines: Receiver<String>,
}

/// An address that nobody listens at.
pub fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// Until something listens there.
pub fn listens(address: &str) {
    until("that it listens", || TcpStream::connect(address).is_ok());
}

pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < LIMIT, "{what}: it never comes");
        thread::park_timeout(Duration::from_millis(5));
    }
}

impl Recipe {
    pub fn start(program: &str, addresses: &[&str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut command = Command::new(program);
        let mut process = command.arg(home.path()).args(addresses).stdout(Stdio::piped()).spawn().unwrap();
        let (tell, lines) = channel();
        let out = BufReader::new(process.stdout.take().unwrap());
        thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        listens(addresses[0]);
        let recipe = Self { process, home, lines };
        recipe.until("\"gateway_state\": \"running\"");
        recipe
    }

    fn marker(&self) -> PathBuf {
        self.home.path().join(".drain_request.json")
    }

    /// Until the status says so.
    pub fn until(&self, says: &str) {
        let status = || fs::read_to_string(self.home.path().join("gateway_state.json")).unwrap_or_default();
        until(says, || status().contains(says));
    }

    pub fn drain(&self) {
        fs::write(self.marker(), "").unwrap();
        self.until("\"state\": \"external_draining\"");
    }

    pub fn reopen(&self) {
        fs::remove_file(self.marker()).unwrap();
        self.until("\"state\": \"running\"");
    }

    /// Asks it to end, and waits for that.
    pub fn terminate(&mut self) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    }

    pub fn ends(&mut self) {
        until("its end", || self.process.try_wait().unwrap().is_some());
        assert!(self.process.wait().unwrap().success(), "it ended in peace");
        self.until("\"gateway_state\": \"stopped\"");
    }
}

impl Drop for Recipe {
    fn drop(&mut self) {
        // It has ended already, unless the test failed.
        let _ = (self.process.kill(), self.process.wait());
    }
}
