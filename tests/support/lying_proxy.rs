//! A proxy between a controller and its gateway that answers by itself: nothing that it says is the gateway's word.

use crate::support::acceptor::{Acceptor, Connection};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What proxies answer by themselves, and what could be taken for the gateway's own word.
pub const CODES: [u16; 18] = [400, 401, 403, 404, 405, 408, 409, 410, 411, 412, 413, 429, 431, 500, 501, 502, 503, 504];

/// One request as it came, and its body.
pub struct Asked {
    pub head: String,
    pub body: Vec<u8>,
    connection: Connection,
}

/// A server on loopback that answers each request with what `answer` says, in bytes.
pub fn serve(answer: impl Fn(&Asked) -> Vec<u8> + Send + Sync + 'static) -> Acceptor {
    Acceptor::start(move |connection| {
        let Some(asked) = read_request(connection) else { return };
        let mut client: &TcpStream = &asked.connection.client;
        // A client that has gone needs none.
        let _ = client.write_all(&answer(&asked));
    })
}

/// A server that hands on one request of each connection, and closes the connection in place of an answer to the next: so does a
/// gateway that closes its connections with its gate, to a client that doesn't know it yet.
pub fn closes_at_the_second_request(behind: &str) -> Acceptor {
    let behind = behind.to_owned();
    Acceptor::start(move |connection| {
        // Whose client has gone, or whose gateway, needs no more.
        let _ = read_request(connection).map_or(Ok(()), |asked| stream(&behind, &asked));
    })
}

/// Hands a request on, gives the answer as it comes, without a word of the connection's end, and waits for the next request.
fn stream(behind: &str, asked: &Asked) -> std::io::Result<()> {
    let (gateway, mut client) = (asked.connection.connect(behind)?, &*asked.connection.client);
    send(&gateway, &asked.head, &asked.body)?;
    let mut answer = BufReader::new(&*gateway);
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        if answer.read_line(&mut line)? == 0 {
            return Ok(());
        }
        if !line.eq_ignore_ascii_case("connection: close\r\n") {
            client.write_all(line.as_bytes())?;
        }
    }
    std::io::copy(&mut answer, &mut client)?;
    client.read(&mut [0]).map(drop)
}

fn read_request(connection: Connection) -> Option<Asked> {
    let mut reader = BufReader::new(&*connection.client);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Asked { head, body, connection })
}

pub fn response(code: u16, more: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {code} X\r\nContent-Length: {length}\r\nConnection: close\r\n{more}\r\n{body}").into_bytes()
}

/// Hands a request on, and gives the answer.
pub fn hand_on(behind: &str, asked: &Asked) -> Vec<u8> {
    match asked.connection.connect(behind) {
        Ok(stream) => exchange(&stream, &asked.head, &asked.body),
        Err(_) => response(502, "", "<html>no backend</html>"),
    }
}

/// Asks a server itself, and gives the answer.
pub fn ask(server: &str, head: &str) -> Vec<u8> {
    exchange(&TcpStream::connect(server).expect("it listens"), head, b"")
}

fn send(mut stream: &TcpStream, head: &str, body: &[u8]) -> std::io::Result<()> {
    let mut sent = String::new();
    for line in head.lines().filter(|line| !line.to_ascii_lowercase().starts_with("connection:")) {
        sent.push_str(line.trim_end());
        sent.push_str("\r\n");
    }
    sent.push_str("Connection: close\r\n\r\n");
    stream.write_all(sent.as_bytes())?;
    stream.write_all(body)
}

fn exchange(mut stream: &TcpStream, head: &str, body: &[u8]) -> Vec<u8> {
    let mut answer = Vec::new();
    if send(stream, head, body).is_err() || stream.read_to_end(&mut answer).is_err() {
        return response(502, "", "");
    }
    answer
}

/// The answer of a proxy that speaks for itself.
pub fn lie(code: u16) -> Vec<u8> {
    response(code, "Content-Type: text/html\r\n", "<html>not here, try later</html>")
}

/// For so long it answers by itself.
const LYING: Duration = Duration::from_secs(1);

/// When a proxy begins to answer by itself, what with, and whether the request has gone through before.
#[derive(Clone, Copy, Debug)]
pub struct Disturbance {
    /// From 0 on, since this was asked for.
    pub at_request: usize,
    pub code: u16,
    /// The gateway does what is asked, and its answer is lost.
    pub only_the_answer: bool,
}

impl Disturbance {
    /// The one of this number: each point of the first `points` requests in turn, by each code, and the request or only its
    /// answer lost.
    pub fn numbered(number: usize, points: usize) -> Self {
        let (at_request, round) = (number % points, number / points);
        Self { at_request, code: CODES[number % CODES.len()], only_the_answer: round % 2 == 1 }
    }
}

/// A proxy that hands everything on, but for a second that somebody asks for.
pub struct LyingProxy {
    pub address: String,
    _server: Acceptor,
    plan: Arc<Mutex<Plan>>,
}

#[derive(Default)]
struct Plan {
    disturbance: Option<Disturbance>,
    since: Option<Instant>,
    asked: usize,
}

impl LyingProxy {
    pub fn before(gateway: &str) -> Self {
        let (behind, plan) = (gateway.to_owned(), Arc::new(Mutex::new(Plan::default())));
        let planned = Arc::clone(&plan);
        let server = serve(move |asked| {
            let disturbed = planned.lock().expect("nobody panicked").lie_now();
            let Some(what) = disturbed else { return hand_on(&behind, asked) };
            if what.only_the_answer {
                hand_on(&behind, asked);
            }
            lie(what.code)
        });
        Self { address: server.address.clone(), _server: server, plan }
    }

    /// From now on it counts the requests from 0 again, and disturbs them so, once.
    pub fn disturb(&self, disturbance: Option<Disturbance>) {
        *self.plan.lock().expect("nobody panicked") = Plan { disturbance, ..Plan::default() };
    }

    /// How many requests there were since.
    pub fn asked(&self) -> usize {
        self.plan.lock().expect("nobody panicked").asked
    }
}

impl Plan {
    fn lie_now(&mut self) -> Option<Disturbance> {
        let number = self.asked;
        self.asked += 1;
        let what = self.disturbance.filter(|what| number >= what.at_request)?;
        (self.since.get_or_insert_with(Instant::now).elapsed() < LYING).then_some(what)
    }
}

/// Of what a test tries behind a proxy, the part that a plain `cargo test` tries: every fourth. `cargo xtask ci proxies` tries all.
pub fn tried_behind_a_proxy<T>(all: impl IntoIterator<Item = T>) -> Vec<T> {
    let step = if std::env::var_os("PROXIED").is_some_and(|asked| asked == "all") { 1 } else { 4 };
    all.into_iter().step_by(step).collect()
}
