//! What the child processes do: a gateway, a controller that keeps to the protocol, a writer of the marker, a dashboard's
//! endpoint. The command line is this program's too, under its name.
//!
//! Each reads one line before it begins, so that it can be traced from its first step on, and writes down in the evidence
//! what it does and what it is told.

use crate::log::{Log, now};
use gateway_drain::hold::{Incarnation, Outcome};
use gateway_drain::http::Endpoint;
use gateway_drain::http::auth::{Settings, SharedSecret};
use gateway_drain::reconciler::Options;
use gateway_drain::{Channel, Gate, Home, Reconciler, Request, RequestId, Snapshot};
use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The lease of every hold here: the shortest there is.
pub const LEASE: Duration = Duration::from_secs(1);

/// Waits a little, where another process has to do something of which no event tells.
pub fn pause(time: Duration) {
    let until = Instant::now() + time;
    while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        std::thread::park_timeout(left);
    }
}

/// Turns that press on a gate all the time, each in the evidence from after its admission to before its end.
pub struct Pressure {
    over: Arc<AtomicBool>,
    pub admitted: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Pressure {
    pub fn on(gate: &Gate, evidence: &Path, threads: u64) -> io::Result<Self> {
        let (over, admitted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut pressure = Self { over, admitted, threads: Vec::new() };
        for _ in 0..threads {
            let (over, admitted) = (Arc::clone(&pressure.over), Arc::clone(&pressure.admitted));
            let (gate, log) = (gate.clone(), Log::open(evidence)?);
            pressure.threads.push(std::thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    if let Ok(permit) = gate.admit() {
                        let turn = admitted.fetch_add(1, Ordering::Relaxed);
                        log.say(&format!("start {turn}"));
                        // Most are short; some outlast a few looks of the gateway, and so a hasty commit.
                        pause(Duration::from_micros(if turn.is_multiple_of(8) { 15_000 } else { 500 }));
                        log.say(&format!("end {turn}"));
                        drop(permit);
                    }
                    pause(Duration::from_micros(200));
                }
            }));
        }
        Ok(pressure)
    }

    pub fn ends(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

/// A gateway that takes `look`, `unready` and `shutdown` from its standard input and ends with it.
pub fn gateway(home: &Path, evidence: &Path, tick: Duration, workers: u64) -> Result<(), Box<dyn Error>> {
    let mut commands = io::stdin().lines();
    commands.next();
    let options = Options { tick, ..Options::default() };
    let reconciler = Reconciler::start(Home::at(home), options).map_err(|error| error.to_string())?;
    let incarnation = reconciler.controller().incarnation();
    if workers > 0 {
        Log::open(evidence)?.say(&format!("up {incarnation}"));
    }
    let mut pressure = Pressure::on(reconciler.gate(), evidence, workers)?;
    println!("up {incarnation}");
    for command in commands {
        match command?.as_str() {
            "look" => reconciler.kick(),
            "unready" => println!("unready {}", reconciler.unready().join("; ")),
            "shutdown" => {
                reconciler.controller().begin_shutdown(Duration::from_secs(5))?;
                let _ = reconciler.controller().stopped().wait();
                break;
            }
            other => return Err(format!("no such command: {other}").into()),
        }
    }
    pressure.ends();
    Ok(())
}

/// What the live gateway of a home answers to a write: its status and the outcome. The process that wrote the status is
/// the one that holds the home's lock, after the status was read.
pub fn answer(home: &Home, request: &Request) -> Option<(Snapshot, Outcome, u64)> {
    let status = Snapshot::read(home).ok()?;
    let asked = now();
    let live = home.live().ok()??;
    let acknowledged = status.drain.acknowledged.iter().find(|answer| answer.nonce == request.nonce)?;
    let outcome = acknowledged.outcome;
    (status.drain.incarnation == live).then_some((status, outcome, asked))
}

/// Waits for `found`, at most so long.
pub fn wait_for<T>(patience: Duration, mut found: impl FnMut() -> Option<T>) -> Option<T> {
    let until = Instant::now() + patience;
    loop {
        if let Some(found) = found() {
            return Some(found);
        }
        if Instant::now() >= until {
            return None;
        }
        pause(Duration::from_micros(500));
    }
}

const PATIENCE: Duration = Duration::from_millis(500);

/// A controller that begins a hold, waits for drained (now and then it doesn't), commits, acts and withdraws, as often as
/// told.
pub fn controller(home: &Path, evidence: &Path, name: &str, rounds: u64) -> io::Result<()> {
    io::stdin().lines().next();
    let (channel, log) = (Channel::new(Home::at(home)), Log::open(evidence)?);
    for round in 0..rounds {
        let id = RequestId::new(format!("{name}-{}-{round}", std::process::id())).map_err(io::Error::other)?;
        control(&channel, &log, &id, name)?;
        // Between two holds the gateway is to run.
        pause(Duration::from_micros(fastrand::u64(..20_000)));
    }
    println!("done");
    Ok(())
}

fn control(channel: &Channel, log: &Log, id: &RequestId, owner: &str) -> io::Result<()> {
    let home = channel.home();
    let begin = Request::begin(id.clone(), owner).lease(LEASE);
    channel.write(&begin)?;
    // An impatient one asks to commit as soon as it holds the gate, and has to be refused while turns are in flight.
    let impatient = fastrand::u8(..4) == 0;
    let held = wait_for(PATIENCE, || {
        let (status, outcome, asked) = answer(home, &begin)?;
        (outcome == Outcome::Held && (impatient || status.drain.drained)).then_some((status, asked))
    });
    if let Some((status, asked)) = held {
        let incarnation: Incarnation = status.drain.incarnation;
        if status.drain.drained {
            log.say(&format!("drained {id} {incarnation} {asked}"));
        }
        let commit = Request::commit(id.clone(), owner, incarnation, status.drain.generation);
        channel.write(&commit)?;
        let outcome = wait_for(PATIENCE, || answer(home, &commit).map(|(_, outcome, _)| outcome));
        if outcome == Some(Outcome::Committed) {
            log.say(&format!("committed {id}"));
            println!("committed {id}");
            pause(Duration::from_millis(2));
        }
        // Also without an answer: the grant may have been made and not been heard of.
        log.say(&format!("withdrawing {id}"));
        let mut withdrawal = Request::withdraw(id.clone(), owner);
        withdrawal.token = commit.nonce;
        channel.write(&withdrawal)?;
        wait_for(PATIENCE, || answer(home, &withdrawal));
    }
    channel.remove(id).map(drop)
}

/// A script that writes the marker, waits for what the gateway makes of it, and removes it again.
pub fn script(home: &Path, evidence: &Path, rounds: u64) -> io::Result<()> {
    io::stdin().lines().next();
    let (channel, log) = (Channel::new(Home::at(home)), Log::open(evidence)?);
    for _ in 0..rounds {
        let begin = Request::begin(RequestId::marker(), "drain-control").lease(LEASE);
        channel.write(&begin)?;
        let drained = wait_for(PATIENCE, || {
            let (status, outcome, asked) = answer(channel.home(), &begin)?;
            (outcome == Outcome::Held && status.drain.drained).then_some((status, asked))
        });
        if let Some((status, asked)) = drained {
            log.say(&format!("drained marker {} {asked}", status.drain.incarnation));
        }
        channel.remove(&RequestId::marker())?;
        wait_for(PATIENCE, || {
            let holds = Snapshot::read(channel.home()).ok()?.drain.holds;
            (!holds.iter().any(|hold| hold.request_id.is_marker())).then_some(())
        });
        pause(Duration::from_micros(fastrand::u64(..20_000)));
    }
    println!("done");
    Ok(())
}

/// A dashboard's endpoint over a home, as a server of its own: prints its address, and ends with its standard input.
pub fn endpoint(home: &Path) -> Result<(), Box<dyn Error>> {
    io::stdin().lines().next();
    let secret = SharedSecret::from_env(&Settings::default())?.ok_or("there is no secret")?;
    let routes = Endpoint::of_home(Home::at(home)).verifier(secret).routes();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
    println!("up {}", listener.local_addr()?);
    let ends = runtime.spawn_blocking(|| io::stdin().lines().for_each(drop));
    runtime.block_on(async {
        tokio::select! {
            served = axum::serve(listener, routes).into_future() => served,
            _ = ends => Ok(()),
        }
    })?;
    Ok(())
}
