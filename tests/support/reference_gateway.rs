//! A gateway that knows no more than the reference's contract, in a home of its own, with or without a fault.
//!
//! It shares nothing with the crate: its state, its status and its HTTP are its own, as another language's would be.

use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use tempfile::TempDir;

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    FailsOpenOnWhatItCanNotRead,
    ShowsRunningForTheWholeDrain,
    AdmitsWhileItDrains,
    NeverReopens,
    /// From its first drain on it refuses every turn, and its status says running again.
    SaysRunningAndStaysClosed,
    /// Once a turn has ended behind the closed gate, others get in, and nobody counts them.
    AdmitsUncountedOnceDrained,
    HonoursAnotherEpoch,
    /// Its status never counts what is in flight.
    CountsNoTurns,
    /// No fault: a client that doesn't bring a key is answered with 401, and admitted or refused is nobody.
    WantsAKey,
    /// No fault: from the finding of a request to the closing of the gate it takes long, as on a busy machine.
    ClosesLate,
}

struct Shared {
    home: PathBuf,
    fault: Option<Fault>,
    /// Whether the gate is closed, and how many turns are in flight.
    gate: Mutex<(bool, u64)>,
    /// It has been closed once.
    drained_before: AtomicBool,
    /// A turn has ended behind the closed gate.
    ended_in_drain: AtomicBool,
    start_time: AtomicU64,
    stop: AtomicBool,
}

pub struct TinyGateway {
    shared: Arc<Shared>,
    address: String,
    watcher: Option<JoinHandle<()>>,
    server: Option<JoinHandle<()>>,
    _folder: TempDir,
}

impl TinyGateway {
    pub fn start(fault: Option<Fault>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_owned();
        let (gate, start_time, stop) = (Mutex::default(), AtomicU64::new(1), AtomicBool::default());
        let (drained_before, ended_in_drain) = (AtomicBool::default(), AtomicBool::default());
        let shared = Arc::new(Shared { home, fault, gate, drained_before, ended_in_drain, start_time, stop });
        shared.tick();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let watching = shared.clone();
        let watcher = std::thread::spawn(move || {
            while !watching.stop.load(Ordering::Relaxed) {
                watching.tick();
                std::thread::park_timeout(Duration::from_millis(5));
            }
        });
        let serving = shared.clone();
        let server = std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                if serving.stop.load(Ordering::Relaxed) {
                    return;
                }
                let serving = serving.clone();
                std::thread::spawn(move || serving.turn(connection));
            }
        });
        Self { shared, address, watcher: Some(watcher), server: Some(server), _folder: folder }
    }

    pub fn home(&self) -> &Path {
        &self.shared.home
    }

    /// From here on it is another process, which happens to have the same id, as in a container.
    pub fn restart(&self) {
        self.shared.start_time.fetch_add(1, Ordering::Relaxed);
    }

    /// Where turns are started.
    pub fn turns(&self) -> String {
        format!("http://{}/turns", self.address)
    }
}

impl Drop for TinyGateway {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        // Wakes the server from its wait for a connection.
        let _ = TcpStream::connect(&self.address);
        for thread in [self.watcher.take(), self.server.take()].into_iter().flatten() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn asked_to_drain(&self) -> bool {
        let Ok(bytes) = fs::read(self.home.join(".drain_request.json")) else { return false };
        let read: Option<Value> = serde_json::from_slice(&bytes).ok().filter(Value::is_object);
        let Some(fields) = read else { return self.fault != Some(Fault::FailsOpenOnWhatItCanNotRead) };
        let another = fields["epoch"].as_str().is_some_and(|epoch| epoch.starts_with("another-boot"));
        !another || self.fault == Some(Fault::HonoursAnotherEpoch)
    }

    fn tick(&self) {
        let asked = self.asked_to_drain();
        if asked && self.fault == Some(Fault::ClosesLate) && !self.gate.lock().unwrap().0 {
            let late = std::time::Instant::now() + Duration::from_millis(150);
            while std::time::Instant::now() < late {
                std::thread::park_timeout(Duration::from_millis(20));
            }
        }
        let (closed, agents) = {
            let mut gate = self.gate.lock().unwrap();
            gate.0 = asked || (gate.0 && self.fault == Some(Fault::NeverReopens));
            self.drained_before.fetch_or(gate.0, Ordering::Relaxed);
            self.ended_in_drain.fetch_and(gate.0, Ordering::Relaxed);
            *gate
        };
        let running = !closed || self.fault == Some(Fault::ShowsRunningForTheWholeDrain);
        let state = if running { "running" } else { "draining" };
        let agents = if self.fault == Some(Fault::CountsNoTurns) { 0 } else { agents };
        let (pid, start_time) = (std::process::id(), self.start_time.load(Ordering::Relaxed));
        let status = json!({"gateway_state": state, "active_agents": agents, "pid": pid, "start_time": start_time});
        let temporary = self.home.join(".status");
        fs::write(&temporary, status.to_string()).unwrap();
        fs::rename(temporary, self.home.join("gateway_state.json")).unwrap();
    }

    /// Answers one POST; a turn lasts as long as its body, which is half a second.
    fn turn(&self, mut connection: TcpStream) {
        let mut request = Vec::new();
        let mut byte = [0];
        while !request.ends_with(b"\r\n\r\n") && connection.read(&mut byte).is_ok_and(|read| read == 1) {
            request.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&request).to_lowercase();
        if self.fault == Some(Fault::WantsAKey) && !head.contains("x-api-key: opensesame") {
            let _ = connection
                .write_all(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 12\r\nconnection: close\r\n\r\nwho are you?");
            return;
        }
        let admitted = {
            let mut gate = self.gate.lock().unwrap();
            let open = match self.fault {
                Some(Fault::AdmitsWhileItDrains) => true,
                Some(Fault::SaysRunningAndStaysClosed) => !self.drained_before.load(Ordering::Relaxed),
                _ => !gate.0,
            };
            gate.1 += u64::from(open);
            open
        };
        let uncounted = self.fault == Some(Fault::AdmitsUncountedOnceDrained);
        if !admitted && uncounted && self.ended_in_drain.load(Ordering::Relaxed) {
            let _ = connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            return;
        }
        // Who has asked may have gone away by now: the turn goes on all the same.
        if !admitted {
            let _ = connection.write_all(b"HTTP/1.1 503 Draining\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            return;
        }
        let _ = connection.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nworking");
        // One that isn't counted has to last until the probe has looked for it in vain.
        let lasts = if self.fault == Some(Fault::CountsNoTurns) { 3000 } else { 500 };
        let end = std::time::Instant::now() + Duration::from_millis(lasts);
        while std::time::Instant::now() < end {
            std::thread::park_timeout(Duration::from_millis(20));
        }
        let mut gate = self.gate.lock().unwrap();
        gate.1 -= 1;
        self.ended_in_drain.fetch_or(gate.0, Ordering::Relaxed);
    }
}
