//! Clients that ask for one turn after the other, each over a connection that it keeps, and note what became of each turn.
//!
//! The tests of deployments and restarts rely on it; it relies on what the example gateway answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// No client asks more often.
const MOST: usize = 100_000;

/// What became of one turn.
#[derive(Debug)]
pub struct Tried {
    pub from: Instant,
    pub to: Instant,
    pub end: End,
}

#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// Every line came, in order, and then the last one.
    Whole,
    /// 503: the gate was closed, or a proxy knew no gateway.
    Refused,
    /// It was admitted, and its answer ended early.
    CutOff(String),
    /// No answer of a gateway.
    Failed(String),
}

/// Clients at work, until they are told to stop or this is dropped.
pub struct Load {
    over: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<Vec<Tried>>>,
}

impl Load {
    /// So many clients of this address. `millis` says how long the n-th turn of a client takes.
    pub fn start(address: &str, clients: usize, millis: fn(usize) -> u64) -> Self {
        let (over, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let client = |_| {
            let (over, asked, url) = (Arc::clone(&over), Arc::clone(&asked), format!("http://{address}/turns"));
            std::thread::spawn(move || {
                let agent = agent();
                let mut tried = Vec::new();
                while !over.load(Ordering::Relaxed) && tried.len() < MOST {
                    let turn = turn(&agent, &url, millis(tried.len()));
                    // Where nobody is or nobody gets in, the next one is asked a moment later: the processors are the gateway's.
                    let pause = turn.end != End::Whole;
                    tried.push(turn);
                    asked.fetch_add(1, Ordering::Relaxed);
                    if pause {
                        std::thread::park_timeout(Duration::from_millis(20));
                    }
                }
                tried
            })
        };
        Self { clients: (0..clients).map(client).collect(), over, asked }
    }

    /// How many turns have ended so far, in whatever way.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    /// Waits until this many turns have ended.
    pub fn until(&self, asked: usize) {
        let began = Instant::now();
        while self.asked() < asked {
            assert!(began.elapsed() < LONG, "only {} turns have ended", self.asked());
            // A counter that others raise is no event.
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// Lets every client finish its turn.
    pub fn stop(mut self) -> Vec<Tried> {
        self.over.store(true, Ordering::Relaxed);
        self.clients.drain(..).flat_map(|client| client.join().expect("a client")).collect()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // Clients of a gateway that is gone would ask on, at an address that may be another test's by now.
        self.over.store(true, Ordering::Relaxed);
    }
}

const LONG: Duration = Duration::from_secs(120);

/// A client, which keeps its connection.
pub fn agent() -> ureq::Agent {
    crate::support::http_client::config().max_idle_age(LONG).timeout_global(Some(LONG)).build().into()
}

/// One turn, to its end.
pub fn turn(agent: &ureq::Agent, url: &str, millis: u64) -> Tried {
    let body = format!(r#"{{"session": "load", "millis": {millis}}}"#);
    let from = Instant::now();
    let answer = agent.post(url).header("content-type", "application/json").send(body);
    let end = match answer {
        Ok(mut response) => match (response.status().as_u16(), response.body_mut().read_to_string()) {
            (200, Ok(text)) if is_whole(&text) => End::Whole,
            (200, Ok(text)) => End::CutOff(text),
            (200, Err(error)) => End::CutOff(error.to_string()),
            (503, _) => End::Refused,
            (code, text) => End::Failed(format!("{code}: {text:?}")),
        },
        Err(error) => End::Failed(error.to_string()),
    };
    Tried { from, to: Instant::now(), end }
}

/// Whether a turn's lines are all there, in order.
fn is_whole(text: &str) -> bool {
    let lines = text.lines().count().saturating_sub(1);
    let whole: String = (0..lines).map(|line| format!("line {line}\n")).collect();
    text == whole + "done\n"
}
