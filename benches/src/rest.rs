//! What costs nothing per request: the reconciler at rest, and the explorer of the protocol's model.

use crate::rounds::processor_time;
use gateway_drain::control::Epoch;
use gateway_drain::control::request_file::to_bytes;
use gateway_drain::{Home, Reconciler, Request, RequestId, reconciler::Options};
use gateway_drain_protocol::checks::named;
use gateway_drain_protocol::explorer::explore;
use gateway_drain_protocol::system::Protocol;
use rustix::time::ClockId;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, io, thread};

/// How many hold files lie in the home.
pub const HOLDS: [u64; 4] = [0, 10, 100, 1_000];
/// How often each is watched for so long: some looks, so that it matters little how many of them a window has.
pub const WINDOWS: usize = 10;
pub const WINDOW: Duration = Duration::from_secs(5);

pub const REST: &str = "per cent of a core, at rest";
pub const EXPLORER: &str = "edges a second";

/// Of each number of holds, the processor's time of each window in per cent of a core. The gateways run beside each other,
/// each a process of its own.
pub fn at_rest() -> io::Result<Vec<Vec<f64>>> {
    let me = env::current_exe()?;
    let start = |holds: &u64| Command::new(&me).args(["rest", &holds.to_string()]).stdout(Stdio::piped()).spawn();
    let gateways = HOLDS.iter().map(start).collect::<io::Result<Vec<_>>>()?;
    let told = |mut gateway: std::process::Child| {
        let lines = BufReader::new(gateway.stdout.take().expect("it is piped")).lines();
        let values: Vec<f64> = lines.map_while(Result::ok).filter_map(|line| line.parse().ok()).collect();
        let ended = gateway.wait()?;
        assert!(
            ended.success() && values.len() == WINDOWS,
            "a gateway at rest ended with {ended} after {} windows",
            values.len()
        );
        Ok(values)
    };
    gateways.into_iter().map(told).collect()
}

/// The gateway that is watched: prints what each window cost.
pub fn rest(holds: u64) {
    let home = tempfile::tempdir().expect("a folder for the home");
    let home = Home::at(home.path());
    // Not by `Channel::write`, which waits for the disk a thousand times.
    fs::create_dir(home.holds_folder()).expect("a folder for the holds");
    for number in 0..holds {
        let id = RequestId::new(format!("hold-{number}")).expect("a valid name");
        let bytes = to_bytes(&Request::begin(id.clone(), "bench"), &Epoch::current());
        fs::write(home.request_path(&id), bytes).expect("a hold can be written");
    }
    let gateway = Reconciler::start(home, Options::default()).expect("the home is free");
    assert_eq!(gateway.controller().holds().len() as u64, holds, "every hold is seen");
    for _ in 0..WINDOWS {
        let before = processor_time(ClockId::ProcessCPUTime);
        let began = Instant::now();
        pause(WINDOW);
        let share = (processor_time(ClockId::ProcessCPUTime) - before).as_secs_f64() / began.elapsed().as_secs_f64();
        println!("{}", share * 100.0);
        io::stdout().flush().expect("somebody reads");
    }
}

#[allow(clippy::disallowed_methods, reason = "what is measured is what happens while nothing is done")]
fn pause(time: Duration) {
    thread::sleep(time);
}

/// Edges a second that the explorer of the model goes, on one core.
pub fn edges() -> f64 {
    let mut system = Protocol::new(named("one owner").config);
    let began = processor_time(ClockId::ThreadCPUTime);
    let explored = explore(&mut system);
    let elapsed = (processor_time(ClockId::ThreadCPUTime) - began).as_secs_f64();
    match explored {
        Ok(graph) => graph.counts().edges as f64 / elapsed,
        Err(_) => panic!("the model is broken: run its tests"),
    }
}
