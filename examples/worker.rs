//! A pool of workers behind a queue, on threads of std: `cargo run --example worker --features signals -- HOME < jobs`.
//!
//! Each line of stdin is a job. While the gateway drains (`touch HOME/.drain_request.json`) no job is taken, those in work
//! are finished and the next ones wait; when the file is gone it goes on. It ends when the input does, or at SIGTERM.

use gateway_drain::reconciler::Options;
use gateway_drain::signals::Signals;
use gateway_drain::{Controller, Gate, Home, OwnedPermit, Reconciler};
use std::error::Error;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{io, thread};

type Job = (OwnedPermit, String);

const DEADLINE: Duration = Duration::from_secs(30);

fn main() -> Result<(), Box<dyn Error>> {
    let signals = Signals::take()?;
    let home = std::env::args().nth(1).ok_or("which home? worker HOME < jobs")?;
    let gateway = Reconciler::start(Home::at(Path::new(&home)), Options::default())?;
    gateway.shut_down_on(signals, DEADLINE);
    // No queue between the two: what is taken is in work.
    let (work, jobs) = sync_channel(0);
    let jobs = Arc::new(Mutex::new(jobs));
    for _ in 0..4 {
        let jobs = Arc::clone(&jobs);
        thread::spawn(move || worker(&jobs));
    }
    let controller = gateway.controller().clone();
    thread::spawn(move || {
        take_jobs(controller.gate(), &work);
        end(&controller);
    });
    let report = gateway.controller().stopped().wait();
    if report.finished() { Ok(()) } else { Err("jobs were interrupted".into()) }
}

/// Takes a job only while the gate is open, and gives none to a worker before it is admitted.
fn take_jobs(gate: &Gate, work: &SyncSender<Job>) {
    let mut lines = io::stdin().lines();
    while gate.opened().wait().is_ok() {
        let Some(Ok(job)) = lines.next() else { return };
        match gate.admitted().wait() {
            Ok(permit) => work.send((permit, job)).expect("the workers wait for jobs"),
            Err(refusal) => return eprintln!("{job}: given back, {refusal}"),
        }
    }
}

fn worker(jobs: &Mutex<Receiver<Job>>) {
    loop {
        let Ok((permit, job)) = jobs.lock().expect("no worker panics with it").recv() else { return };
        println!("{job}: done"); // the work; a drain waits for it to here:
        drop(permit);
    }
}

fn end(controller: &Controller) {
    if let Err(denial) = controller.begin_shutdown(DEADLINE) {
        eprintln!("{denial}: a signal was quicker");
    }
}
