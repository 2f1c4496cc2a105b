//! Rounds: each runs every contender once, in rotated order, so that a machine that is slow for a while is slow for all.

use rustix::time::{ClockId, clock_gettime};
use std::collections::BTreeMap;
use std::fmt;
use std::hint::black_box;
use std::sync::{Barrier, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

/// What every contender of a table is measured with. More than the ten rounds that a ratio needs, since they are short.
pub const ROUNDS: usize = 21;

/// How long one contender runs in one round.
pub const SLICE: Duration = Duration::from_millis(2);

/// One way to do a thing: its name, and one measurement of it.
pub type Contender<'a> = (String, Box<dyn FnMut() -> f64 + 'a>);

/// A contender.
pub fn contender<'a>(name: impl Into<String>, measure: impl FnMut() -> f64 + 'a) -> Contender<'a> {
    (name.into(), Box::new(measure))
}

/// Of each name one value for each round.
#[derive(Default)]
pub struct Measured(BTreeMap<String, Vec<f64>>);

impl Measured {
    /// Runs the contenders, interleaved.
    pub fn interleave(&mut self, rounds: usize, mut contenders: Vec<Contender<'_>>) {
        for round in 0..rounds {
            for turn in 0..contenders.len() {
                let at = (turn + round) % contenders.len();
                let (name, measure) = &mut contenders[at];
                let value = measure();
                self.0.entry(name.clone()).or_default().push(value);
            }
        }
    }

    /// Takes over values that were measured elsewhere, one for each round.
    pub fn take(&mut self, name: impl Into<String>, values: Vec<f64>) {
        self.0.insert(name.into(), values);
    }

    /// What was measured under this name.
    pub fn of(&self, name: &str) -> Spread {
        Spread::of(self.values(name).to_vec())
    }

    /// By how many times one costs what the other costs, round by round.
    pub fn ratio(&self, one: &str, other: &str) -> Spread {
        let pairs = self.values(one).iter().zip(self.values(other));
        Spread::of(pairs.map(|(one, other)| one / other).collect())
    }

    /// What one costs more than the other, round by round.
    pub fn difference(&self, one: &str, other: &str) -> Spread {
        let pairs = self.values(one).iter().zip(self.values(other));
        Spread::of(pairs.map(|(one, other)| one - other).collect())
    }

    fn values(&self, name: &str) -> &[f64] {
        self.0.get(name).unwrap_or_else(|| panic!("nothing was measured as {name:?}"))
    }
}

/// A median, and between which values nine of ten rounds lay.
#[derive(Clone, Copy)]
pub struct Spread {
    pub median: f64,
    pub low: f64,
    pub high: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let last = values.len() - 1;
        let at = |twentieths: usize| values[(last * twentieths + 10) / 20];
        Self { median: at(10), low: at(1), high: at(19) }
    }
}

impl fmt::Display for Spread {
    /// `median (low to high)`, in as many digits as its size deserves.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} to {})", number(self.median), number(self.low), number(self.high))
    }
}

/// A number for people: two decimals below 10, one below 1,000, and groups of three digits above.
pub fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        0.0..0.01 => format!("{value:.4}"),
        0.01..10.0 => format!("{value:.2}"),
        10.0..1000.0 => format!("{value:.1}"),
        _ => {
            let digits = format!("{:.0}", value.abs());
            let groups: Vec<&str> =
                digits.as_bytes().rchunks(3).rev().filter_map(|group| str::from_utf8(group).ok()).collect();
            format!("{}{}", if value < 0.0 { "-" } else { "" }, groups.join(","))
        }
    }
}

/// Nanoseconds that each of `threads` threads needs for one of what `go` does a number of times, all at once, each on
/// a core of its own while there are enough. It is the processor's time that is told, so that a thread which has to make
/// way for another process isn't thought slow.
pub fn nanoseconds(threads: usize, go: &(dyn Fn(u64) + Sync)) -> f64 {
    let times = calibrated(go);
    let start = Barrier::new(threads);
    let each: Vec<f64> = thread::scope(|scope| {
        let run = |thread: usize| {
            let start = &start;
            move || {
                on_core(thread);
                go(times / 100);
                start.wait();
                let began = processor_time(ClockId::ThreadCPUTime);
                go(times);
                per(processor_time(ClockId::ThreadCPUTime) - began, times)
            }
        };
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(run(thread))).collect();
        running.into_iter().map(|thread| thread.join().expect("a measurement doesn't panic")).collect()
    });
    each.iter().sum::<f64>() / each.len() as f64
}

/// How often `go` goes in about a slice.
fn calibrated(go: &(dyn Fn(u64) + Sync)) -> u64 {
    const PROBE: u64 = 500;
    go(PROBE);
    let began = Instant::now();
    go(PROBE);
    let each = per(began.elapsed(), PROBE).max(0.1);
    (SLICE.as_nanos() as f64 / each) as u64 + 100
}

/// The processor's time that this thread, or this process, has had.
pub fn processor_time(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Nanoseconds for each of so many.
pub fn per(elapsed: Duration, times: u64) -> f64 {
    elapsed.as_nanos() as f64 / black_box(times) as f64
}

/// How many cores there are. Asked first by a thread that isn't kept on one of them.
pub fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| thread::available_parallelism().map_or(1, usize::from))
}

/// Runs this on a thread of its own, on one core.
pub fn alone_on_core<T: Send>(number: usize, run: impl FnOnce() -> T + Send) -> T {
    let kept = || {
        on_core(number);
        run()
    };
    thread::scope(|scope| scope.spawn(kept).join().expect("a measurement doesn't panic"))
}

/// Keeps this thread on one core. Where that isn't allowed it stays where it is put.
pub fn on_core(number: usize) {
    let cores = cores();
    let mut set = rustix::thread::CpuSet::new();
    set.set(number % cores);
    let _ = rustix::thread::sched_setaffinity(None, &set);
}
