//! A real etcd of one member, and what stands between it and a client: a proxy that loses answers, or holds requests back.

use crate::support::acceptor::{Acceptor, Connection};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// One member with its data in a folder of its own.
pub struct Etcd {
    child: Child,
    folder: tempfile::TempDir,
    ports: [u16; 2],
}

impl Etcd {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let free = || TcpListener::bind("127.0.0.1:0").expect("a port");
        let ports = [free(), free()].map(|port| port.local_addr().expect("an address").port());
        let child = Self::spawn(folder.path(), ports);
        Self { child, folder, ports }.ready()
    }

    fn spawn(folder: &Path, [client, peer]: [u16; 2]) -> Child {
        let (client, peer) = (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
        let mut command = Command::new("etcd");
        command.arg("--data-dir").arg(folder.join("data")).args(["--log-level", "error", "--unsafe-no-fsync"]);
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--initial-cluster", &format!("default={peer}")]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("etcd is installed (Debian's package etcd-server)")
    }

    fn ready(self) -> Self {
        crate::support::eventually::comes_true("etcd answers", || {
            self.try_call("range", &json!({"key": "YQ=="})).is_some()
        });
        self
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again with the data that it has.
    pub fn restart(mut self) -> Self {
        self.kill();
        self.child = Self::spawn(self.folder.path(), self.ports);
        self.ready()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it is there");
    }

    /// `HOST:PORT`.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.ports[0])
    }

    /// As `--fleet-lock` has it.
    pub fn url(&self) -> String {
        format!("etcd://{}", self.host())
    }

    fn try_call(&self, path: &str, body: &Value) -> Option<Value> {
        let config =
            ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(10))).http_status_as_error(false);
        let agent: ureq::Agent = config.build().into();
        let mut answer = agent.post(format!("http://{}/v3/kv/{path}", self.host())).send(body.to_string()).ok()?;
        let answer: Value = serde_json::from_str(&answer.body_mut().read_to_string().ok()?).ok()?;
        answer.get("header").is_some().then_some(answer)
    }

    pub fn call(&self, path: &str, body: &Value) -> Value {
        self.try_call(path, body).expect("etcd answers")
    }

    pub fn put(&self, key: &str, value: &[u8]) {
        self.call("put", &json!({"key": STANDARD.encode(key), "value": STANDARD.encode(value)}));
    }

    /// What lies there, and how often it was written.
    pub fn get(&self, key: &str) -> Option<(Vec<u8>, u64)> {
        let answer = self.call("range", &json!({"key": STANDARD.encode(key)}));
        let found = answer["kvs"].get(0)?;
        let value = STANDARD.decode(found["value"].as_str().unwrap_or_default()).expect("base64");
        Some((value, found["version"].as_str()?.parse().expect("a number")))
    }

    /// Puts this in the place of what was written so often, as Airlock does; tells whether it was still so.
    pub fn replace(&self, key: &str, version: u64, value: &[u8]) -> bool {
        let key = STANDARD.encode(key);
        let compare = json!({"result": "EQUAL", "target": "VERSION", "key": key, "version": version.to_string()});
        let put = json!({"request_put": {"key": key, "value": STANDARD.encode(value)}});
        self.call("txn", &json!({"compare": [compare], "success": [put]}))["succeeded"] == json!(true)
    }

    /// The semaphore of a group, as JSON.
    pub fn semaphore(&self, group: &str) -> Value {
        let (value, _) = self.get(&semaphore_key(group)).expect("the group has one");
        serde_json::from_slice(&value).expect("JSON")
    }

    /// Who has a slot of a group.
    pub fn holders(&self, group: &str) -> Vec<String> {
        serde_json::from_value(self.semaphore(group)["holders"].clone()).expect("texts")
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.kill();
    }
}

pub fn semaphore_key(group: &str) -> String {
    format!("com.coreos.airlock/groups/{group}/v1/semaphore")
}

/// A request as a server reads it.
pub struct Asked {
    pub head: String,
    pub body: String,
}

/// What becomes of a request.
pub enum Way {
    Through,
    /// It is done, and the answer is lost.
    Lost,
    /// It is done once this pipe is closed, and the answer is lost.
    Later(std::sync::mpsc::Receiver<()>),
    /// These bytes are the answer.
    Answer(Vec<u8>),
    /// No answer, and no end of the connection.
    Silence,
}

/// Stands between a client and a server, and asks the test what becomes of each request.
pub struct Between {
    pub host: String,
    _acceptor: Acceptor,
}

impl Between {
    /// `to` is the server's address; a rule that lets nothing through needs none.
    pub fn start(to: &str, rule: impl FnMut(&Asked) -> Way + Send + 'static) -> Self {
        let (rule, to, silent) = (Mutex::new(rule), to.to_owned(), Mutex::new(Vec::new()));
        let acceptor = Acceptor::start(move |connection| {
            let Some(asked) = read(&connection.client) else { return };
            let way = (rule.lock().expect("nobody panicked"))(&asked);
            let answer = match way {
                Way::Through => pass(&connection, &to, &asked),
                Way::Lost => return drop(pass(&connection, &to, &asked)),
                Way::Later(until) => {
                    // The pipe may be closed later than this proxy.
                    while until.recv_timeout(Duration::from_millis(20)) == Err(RecvTimeoutError::Timeout) {
                        if connection.has_ended() {
                            return;
                        }
                    }
                    return drop(pass(&connection, &to, &asked));
                }
                Way::Answer(bytes) => Some(bytes),
                Way::Silence => return silent.lock().expect("nobody panicked").push(connection.client),
            };
            let mut stream: &TcpStream = &connection.client;
            // A client that has gone needs none.
            let _ = stream.write_all(&answer.unwrap_or_default()).and_then(|()| stream.shutdown(Shutdown::Write));
        });
        Self { host: acceptor.address.clone(), _acceptor: acceptor }
    }

    pub fn url(&self) -> String {
        format!("etcd://{}", self.host)
    }
}

fn read(stream: &TcpStream) -> Option<Asked> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length =
        head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some(Asked { head, body: String::from_utf8(body).ok()? })
}

fn pass(connection: &Connection, to: &str, asked: &Asked) -> Option<Vec<u8>> {
    let line = asked.head.lines().next()?;
    let token = asked.head.lines().find(|line| line.to_ascii_lowercase().starts_with("authorization:"));
    let token = token.map(|line| format!("{line}\r\n")).unwrap_or_default();
    let stream = connection.connect(to).ok()?;
    let mut stream: &TcpStream = &stream;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    let length = asked.body.len();
    let head = format!(
        "{line}\r\nhost: {to}\r\n{token}connection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(format!("{head}{}", asked.body).as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    Some(answer)
}

/// An answer over HTTP.
pub fn answer(code: u16, kind: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {code} X\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
        .into()
}

/// A server of the FleetLock protocol over etcd, for the tests alone: it asks once, compares `version` as Airlock does, and has
/// the groups that are there.
pub fn fleet_lock_server(etcd: &Arc<Etcd>) -> Between {
    use gateway_drain::fleet::{Release, Semaphore, Take};
    let etcd = Arc::clone(etcd);
    Between::start("", move |asked| {
        let error = |code, kind: &str, value: &str| {
            Way::Answer(answer(code, "text/plain; charset=utf-8", &json!({"kind": kind, "value": value}).to_string()))
        };
        if !asked.head.to_ascii_lowercase().contains("fleet-lock-protocol: true\r\n") {
            return error(400, "missing_header", "fleet-lock-protocol");
        }
        let wanted: Value = serde_json::from_str(&asked.body).unwrap_or_default();
        let (id, group) = (&wanted["client_params"]["id"], &wanted["client_params"]["group"]);
        let (Some(id), Some(group)) = (id.as_str(), group.as_str()) else { return error(400, "bad_request", "no id") };
        let key = semaphore_key(group);
        let Some((value, version)) = etcd.get(&key) else { return error(400, "unknown_group", "unknown group") };
        let semaphore = Semaphore::parse(&value).expect("a semaphore");
        let new = if asked.head.starts_with("POST /v1/pre-reboot ") {
            match semaphore.take(id) {
                Take::Taken(new) => new,
                Take::AlreadyHeld => semaphore,
                Take::Full | Take::NoSlots => {
                    let why = format!("all {} semaphore slots currently locked", semaphore.total_slots());
                    return error(500, "failed_lock", &why);
                }
            }
        } else if asked.head.starts_with("POST /v1/steady-state ") {
            match semaphore.release(id) {
                Release::Released(new) => new,
                Release::NotHeld => semaphore,
            }
        } else {
            return error(404, "not_found", "no such path");
        };
        if etcd.replace(&key, version, &new.to_bytes()) {
            Way::Answer(answer(200, "text/plain", ""))
        } else {
            error(500, "failed_lock", "conflict on semaphore detected, aborting")
        }
    })
}

/// How long something took.
pub fn timed<T>(act: impl FnOnce() -> T) -> (T, Duration) {
    let began = Instant::now();
    let value = act();
    (value, began.elapsed())
}
