//! Load: turns, internal work and follow-ups against drains and cancels of three controllers at once, for as long as told;
//! and a million permits in flight at once. Each runs in a process of its own, so that its memory and its descriptors are
//! nobody else's.

use crate::children::THIS_PROGRAM;
use crate::crashes::Place;
use crate::report::{Row, grouped};
use crate::roles::{answer, pause, wait_for};
use gateway_drain::gate::LabelledPermit;
use gateway_drain::hold::Outcome;
use gateway_drain::{Controller, Gate, OwnedPermit, Reconciler, Refusal, Request, RequestId, Snapshot};
use std::error::Error;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

const PART: &str = "Load";
const PATIENCE: Duration = Duration::from_secs(30);
/// What the memory may grow by between the first and the last third of a run, in KiB: ten bytes for each
/// of the hundred thousand turns that it has at least.
const GROWTH: u64 = 1024;

#[derive(Default)]
struct Counts {
    over: AtomicBool,
    turns: AtomicU64,
    internal: AtomicU64,
    follow_ups: AtomicU64,
    shared: AtomicU64,
    refused: AtomicU64,
    finished: AtomicU64,
    drains: AtomicU64,
    commits: AtomicU64,
}

impl Counts {
    fn of(count: &AtomicU64) -> u64 {
        count.load(Ordering::SeqCst)
    }

    fn up(count: &AtomicU64) {
        count.fetch_add(1, Ordering::SeqCst);
    }

    fn admitted(&self) -> u64 {
        Self::of(&self.turns) + Self::of(&self.internal)
    }
}

#[expect(dead_code, reason = "a permit is there to be dropped")]
enum Kept {
    Plain(OwnedPermit),
    Labelled(LabelledPermit),
}

/// A piece of work, counted as finished when its permit is given back.
struct Work {
    kept: Option<Kept>,
    counts: Arc<Counts>,
}

impl Drop for Work {
    fn drop(&mut self) {
        drop(self.kept.take());
        Counts::up(&self.counts.finished);
    }
}

impl Work {
    fn turn(gate: &Gate, counts: &Arc<Counts>, labelled: bool) -> Option<Self> {
        let permit = gate.admit().map_err(|_| Counts::up(&counts.refused)).ok()?.into_owned();
        Counts::up(&counts.turns);
        let kept = if labelled { Kept::Labelled(permit.labelled("turn", "load")) } else { Kept::Plain(permit) };
        Some(Self { kept: Some(kept), counts: Arc::clone(counts) })
    }

    fn internal(gate: &Gate, counts: &Arc<Counts>) -> Option<Self> {
        let permit = gate.admit_internal().map_err(|_| Counts::up(&counts.refused)).ok()?.into_owned();
        Counts::up(&counts.internal);
        Some(Self { kept: Some(Kept::Plain(permit)), counts: Arc::clone(counts) })
    }
}

/// A session: one turn after another, some of which start work that shares their permit, or internal work, or are followed
/// by the next message at once.
fn session(gate: &Gate, counts: &Arc<Counts>, background: &Sender<Arc<Work>>) {
    while !counts.over.load(Ordering::Relaxed) {
        let what = fastrand::u8(..16);
        if let Some(turn) = Work::turn(gate, counts, what < 4) {
            let turn = Arc::new(turn);
            if what % 8 == 0 && background.send(Arc::clone(&turn)).is_ok() {
                Counts::up(&counts.shared);
            }
            let internal = (what == 5).then(|| Work::internal(gate, counts)).flatten();
            pause(Duration::from_micros(fastrand::u64(..400)));
            drop((turn, internal));
            if what == 7 && Work::turn(gate, counts, false).is_some() {
                Counts::up(&counts.follow_ups);
            }
        }
        pause(Duration::from_micros(fastrand::u64(..400)));
    }
}

/// Ends, a little later, the work that turns have left to it.
fn in_the_background(work: &Receiver<Arc<Work>>) {
    for shared in work {
        pause(Duration::from_micros(200));
        drop(shared);
    }
}

/// A controller that drains and cancels by files; every fifth time it commits.
fn controller(place: &Place, counts: &Counts, name: &str) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    let id = RequestId::new(name).map_err(|error| error.to_string())?;
    while !counts.over.load(Ordering::Relaxed) {
        let begin = Request::begin(id.clone(), name);
        place.channel.write(&begin).map_err(text)?;
        let drained = |(status, outcome, _): (Snapshot, Outcome, u64)| {
            (outcome == Outcome::Held && status.drain.drained).then_some(status)
        };
        let seen = wait_for(PATIENCE, || answer(&place.home, &begin).and_then(drained)).ok_or("never drained")?;
        if Counts::of(&counts.drains).is_multiple_of(5) {
            let commit = Request::commit(id.clone(), name, seen.drain.incarnation, seen.drain.generation);
            place.channel.write(&commit).map_err(text)?;
            let outcome = wait_for(PATIENCE, || answer(&place.home, &commit).map(|(_, outcome, _)| outcome));
            if outcome != Some(Outcome::Committed) {
                return Err(format!("a drained gate refused the commit: {outcome:?}"));
            }
            Counts::up(&counts.commits);
            let mut withdrawal = Request::withdraw(id.clone(), name);
            withdrawal.token = commit.nonce;
            place.channel.write(&withdrawal).map_err(text)?;
            wait_for(PATIENCE, || answer(&place.home, &withdrawal)).ok_or("the withdrawal was never answered")?;
        }
        place.channel.remove(&id).map_err(text)?;
        let gone = |s: &Snapshot| !s.drain.holds.iter().any(|hold| hold.request_id == id);
        let gone = || Snapshot::read(&place.home).ok().filter(gone).map(drop);
        wait_for(PATIENCE, gone).ok_or("the cancel was never acted on")?;
        Counts::up(&counts.drains);
        pause(Duration::from_micros(fastrand::u64(..30_000)));
    }
    Ok(())
}

/// Resident memory of this process, in KiB.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    resident.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

/// Open descriptors of this process, without the one that counts them.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, |all| all.count().saturating_sub(1))
}

/// The load itself; prints what happened as `happened ...` and what fell short as `fault ...`.
pub fn run(seconds: u64, turns: u64, drains: u64) -> Result<(), Box<dyn Error>> {
    let place = Place::new()?;
    let given = descriptors();
    let gateway = place.start(Duration::from_millis(5))?;
    let counts = Arc::new(Counts::default());
    let began = Instant::now();
    let (background, left) = channel();
    let samples = std::thread::scope(|threads| {
        let sessions = (0..4).map(|_| {
            let (counts, background) = (Arc::clone(&counts), background.clone());
            let gate = gateway.gate().clone();
            threads.spawn(move || session(&gate, &counts, &background))
        });
        let sessions: Vec<_> = sessions.collect();
        drop(background);
        threads.spawn(move || in_the_background(&left));
        let (place, counts) = (&place, &counts);
        let controllers: Vec<_> =
            ["a", "b", "c"].map(|name| threads.spawn(move || controller(place, counts, name))).into();
        let samples = sample(counts, seconds, turns, drains, began);
        counts.over.store(true, Ordering::Relaxed);
        for session in sessions {
            let _ = session.join();
        }
        for controller in controllers {
            if let Ok(Err(why)) = controller.join() {
                println!("fault {why}");
            }
        }
        samples
    });
    finish(&gateway, &counts, &samples, began);
    drop(gateway);
    let left = descriptors();
    if left != given {
        println!("fault {given} descriptors were open before the gateway started, and {left} after it ended");
    }
    Ok(())
}

/// Waits until it has been long enough and enough; gives the memory, once a second or oftener.
fn sample(counts: &Counts, seconds: u64, turns: u64, drains: u64, began: Instant) -> Vec<u64> {
    let mut samples = Vec::new();
    let every = Duration::from_millis((seconds * 1000 / 60).clamp(50, 1000));
    let limit = Duration::from_secs(seconds * 2 + 60);
    loop {
        pause(every);
        samples.push(memory());
        let enough = Counts::of(&counts.turns) >= turns && Counts::of(&counts.drains) >= drains;
        if (enough && began.elapsed() >= Duration::from_secs(seconds)) || began.elapsed() > limit {
            return samples;
        }
    }
}

fn finish(gateway: &Reconciler, counts: &Arc<Counts>, samples: &[u64], began: Instant) {
    // Some work is still in flight as the end is forced: it is the abandoned.
    let left: Vec<Work> = (0..7).filter_map(|_| Work::turn(gateway.gate(), counts, true)).collect();
    let before = gateway.gate().reading();
    let in_flight = before.total();
    let finished = Counts::of(&counts.finished);
    let abandoned = gateway.controller().force_stop().abandoned;
    let abandoned = abandoned.in_flight + abandoned.internal;
    let admitted = counts.admitted();
    if admitted != finished + in_flight || abandoned != in_flight || in_flight != left.len() as u64 {
        println!("fault admitted {admitted}, finished {finished}, in flight {in_flight}, abandoned {abandoned}");
    }
    let third = samples.len() / 3;
    let most = |samples: &[u64]| samples.iter().copied().max().unwrap_or(0);
    // The first samples are of a process that has not done everything once.
    let (early, late) = (most(&samples[third / 2..third.max(1)]), most(&samples[samples.len() - third.max(1)..]));
    if early == 0 || late > early + GROWTH {
        println!("fault the memory grew from {early} KiB in the first third to {late} KiB in the last");
    }
    println!(
        "happened admitted {} = finished {} + abandoned {}, refused {}; {} of internal work, {} follow-ups asked again, {} \
         pieces shared a turn's permit; {} drains and cancels, {} commits; resident memory at most {} KiB in the first \
         third, {} KiB in the last; {} s",
        grouped(admitted),
        grouped(finished),
        abandoned,
        grouped(Counts::of(&counts.refused)),
        grouped(Counts::of(&counts.internal)),
        grouped(Counts::of(&counts.follow_ups)),
        grouped(Counts::of(&counts.shared)),
        grouped(Counts::of(&counts.drains)),
        grouped(Counts::of(&counts.commits)),
        grouped(early),
        grouped(late),
        began.elapsed().as_secs(),
    );
    println!("times {}", Counts::of(&counts.turns));
    println!("drains {}", Counts::of(&counts.drains));
}

/// A million permits in flight at once.
pub fn million() -> Result<(), Box<dyn Error>> {
    const PERMITS: u64 = 1_000_000;
    let controller = Controller::new();
    let gate = controller.gate();
    let empty = memory();
    let began = Instant::now();
    let mut permits: Vec<OwnedPermit> =
        (0..PERMITS).map(|_| gate.admit().map(gateway_drain::Permit::into_owned)).collect::<Result<_, _>>()?;
    let (admitting, held) = (began.elapsed(), memory());
    let began = Instant::now();
    let outcome = controller.request(&Request::begin(RequestId::random(), "ops"));
    let closing = began.elapsed();
    let reading = gate.reading();
    if outcome != Ok(Outcome::Held) || reading.in_flight != PERMITS || gate.admit().err() != Some(Refusal::Draining) {
        println!("fault after the begin: {outcome:?}, {reading:?}");
    }
    let drained = gate.drained(reading.generation);
    let waiter = std::thread::spawn(move || drained.wait().map(|()| Instant::now()));
    let last_permit = permits.pop();
    let began = Instant::now();
    drop(permits);
    let ending = began.elapsed();
    if gate.reading().drained {
        println!("fault drained with a permit in flight");
    }
    let last = Instant::now();
    drop(last_permit);
    let woken = waiter.join().map_err(|_| "the waiter panicked")?.map_err(|error| error.to_string())?;
    let reading = gate.reading();
    if !reading.drained || reading.total() != 0 {
        println!("fault after the last permit: {reading:?}");
    }
    println!(
        "happened admitted in {} ms, closed to all further ones in {} µs, given back in {} ms, the waiter woken {} µs \
         after the last; {} KiB for all of them",
        admitting.as_millis(),
        closing.as_micros(),
        ending.as_millis(),
        woken.saturating_duration_since(last).as_micros(),
        grouped(held.saturating_sub(empty)),
    );
    println!("times {PERMITS}");
    Ok(())
}

/// Runs one of the two as a child, and makes a row of what it prints.
fn row(tried: &'static str, unit: &'static str, args: &[&str]) -> Row {
    let mut row = Row::new(PART, tried, unit);
    let output = Command::new(THIS_PROGRAM).args(args).output();
    let Some(output) = row.some("the process", output) else { return row };
    let least = |name| {
        let number = args.iter().position(|arg| *arg == name).and_then(|at| args.get(at + 1));
        number.and_then(|number| number.parse().ok()).unwrap_or(0_u64)
    };
    row.must(output.status.success(), || format!("it ended with {}", output.status));
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        match line.split_once(' ') {
            Some(("happened", text)) => row.happened = text.into(),
            Some(("times", number)) => row.times = number.parse().unwrap_or(0),
            Some(("fault", text)) => row.must(false, || text.into()),
            Some(("drains", number)) => {
                let enough = number.parse().is_ok_and(|number: u64| number >= least("--drains"));
                row.must(enough, || format!("only {number} drains"));
            }
            _ => {}
        }
    }
    let enough = row.times >= least("--turns");
    row.must(enough, || "too few turns".into());
    row
}

pub fn rows(seconds: u64) -> Vec<Row> {
    // A short run is a sample of the long one.
    let (turns, drains) = if seconds >= 60 { ("100000", "1000") } else { ("2000", "30") };
    let seconds = seconds.to_string();
    let load = ["load", "--seconds", &seconds, "--turns", turns, "--drains", drains];
    let tried =
        "four sessions of turns, internal work and follow-ups, three controllers that drain and cancel by files";
    vec![row(tried, "turns", &load), row("a million permits in flight at once, and one drain", "permits", &["million"])]
}
