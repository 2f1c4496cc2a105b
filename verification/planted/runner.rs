//! Runs every planted bug against the check that it names, and nothing but that check, each in a process of its own: this
//! test binary, run again with the bug switched on.
//!
//! A bug counts as killed if the check fails, and for the property that the bug breaks: a failure that names properties has
//! to name one of the bug's. That each check is green without a bug is shown where the checks are at home.

use crate::PropertyId;
use crate::catalogue::{Check, Seed, seeds};
use std::collections::VecDeque;
use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How a check ended that was run with a seed.
enum End {
    /// It failed, and what it said first.
    Failed(String),
    /// It failed, and for a property that the bug doesn't break.
    Elsewhere(String),
    /// It was still running after its limit.
    Hung,
    /// It passed, or there is no such check.
    Survived(String),
}

/// Runs the seeds that `mine` gives a test path for, as many at a time as there are processors, and prints the table.
///
/// `limit` is longer by far than any of the checks takes, with or without a bug.
/// `hang_kills` says whether a check that doesn't end shows the bug. Under loom it doesn't: there, a hang is found as a
/// deadlock, and what takes long is only long.
pub fn run(mine: fn(Check) -> Option<String>, limit: Duration, hang_kills: bool) {
    let seeds: Vec<(&Seed, String)> = seeds().filter_map(|seed| Some((seed, mine(seed.check)?))).collect();
    let queue: Mutex<VecDeque<_>> = Mutex::new(seeds.iter().collect());
    let ends = Mutex::new(Vec::new());
    let workers = 3 * std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let Some((seed, test)) = queue.lock().expect("no worker panics with it").pop_front() else {
                        return;
                    };
                    let start = Instant::now();
                    let end = run_one(seed, test, limit);
                    ends.lock().expect("no worker panics with it").push((*seed, end, start.elapsed()));
                }
            });
        }
    });
    let mut ends = ends.into_inner().expect("no worker has panicked");
    ends.sort_by_key(|(seed, ..)| seed.id);
    assert_eq!(ends.len(), seeds.len(), "every seed was run");
    assert!(!ends.is_empty(), "there are seeds for this package");

    let mut survivors = Vec::new();
    for (seed, end, time) in &ends {
        let (killed, how) = match end {
            End::Failed(how) => (true, how.clone()),
            End::Elsewhere(how) => (false, format!("it fails for another property: {how}")),
            End::Hung => (hang_kills, format!("by the timeout alone: still running after {} s", limit.as_secs())),
            End::Survived(how) => (false, how.clone()),
        };
        let breaks = seed.breaks.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let test = seed.check.name();
        println!("| {} | {breaks} | {test} | {how} | {:.1} s |", seed.id, time.as_secs_f64());
        if !killed {
            survivors.push(format!("{} ({}): {} is not turned red: {how}", seed.id, seed.bug, test));
        }
    }
    println!("{} seeds, {} killed", ends.len(), ends.len() - survivors.len());
    assert!(survivors.is_empty(), "seeded bugs that nothing notices:\n{}", survivors.join("\n"));
}

fn run_one(seed: &Seed, test: &str, limit: Duration) -> End {
    let binary = std::env::current_exe().expect("a test has a path");
    let mut child = Command::new(binary)
        .args(["--exact", test, "--test-threads=1", "--nocapture"])
        .env("SEED", seed.id)
        .env("EXECUTIONS", "any")
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("this test can be run again");
    let (mut stdout, mut stderr) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
    let (ended, outputs) = channel();
    std::thread::spawn(move || {
        let said = std::thread::spawn(move || {
            let mut said = Vec::new();
            stderr.read_to_end(&mut said).map(|_| said)
        });
        let mut out = Vec::new();
        let read = stdout.read_to_end(&mut out);
        // The waiter may have given up.
        let _ = ended.send((read.map(|_| out), said.join()));
    });
    let outputs = outputs.recv_timeout(limit);
    if matches!(outputs, Err(RecvTimeoutError::Timeout)) {
        child.kill().expect("a child that runs can be killed");
    }
    let status = child.wait().expect("a child can be waited for");
    let Ok((Ok(out), Ok(Ok(said)))) = outputs else { return End::Hung };
    let (out, said) = (String::from_utf8_lossy(&out), String::from_utf8_lossy(&said));
    if !out.contains("running 1 test") {
        return End::Survived("there is no such check".into());
    }
    if status.success() {
        return End::Survived("it passes".into());
    }
    let how = first_panic(&said).unwrap_or_else(|| format!("{status}"));
    let named: Vec<_> = PropertyId::all().filter(|property| names(&how, *property)).collect();
    if named.is_empty() || named.iter().any(|property| seed.breaks.contains(property)) {
        End::Failed(how)
    } else {
        End::Elsewhere(how)
    }
}

/// Whether a failure names a property, as a word of its own.
fn names(how: &str, property: PropertyId) -> bool {
    let property = property.to_string();
    how.split(|letter: char| !letter.is_ascii_alphanumeric()).any(|word| word == property)
}

/// What the first panic says: the line below the one that says where.
fn first_panic(said: &str) -> Option<String> {
    let mut lines = said.lines().skip_while(|line| !line.contains("panicked at"));
    lines.next()?;
    let message = lines.find(|line| !line.trim().is_empty())?;
    Some(message.replace('|', "/"))
}
