//! Rounds on real threads: work that comes and goes while the gate closes, and what an onlooker sees meanwhile.
//!
//! Bounded in count and in time. What it finds is broken; what it doesn't find may be there and rarer, or forbidden by
//! this machine's memory order and allowed by another's. Only a model checker tells the difference.

use super::adapter::close;
use super::session::Found;
use super::{Gateway, Snapshot};
use core::fmt::Write as _;
use proptest::test_runner::Config;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How often a race is run.
const ROUNDS: f64 = 100.0;
/// No further round begins after this time, once there have been a few: a gateway may be slow, and a machine busy.
const BUDGET: Duration = Duration::from_millis(500);
const FEW: u64 = 10;
/// What has not happened by now does not happen any more.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// How many threads bring work.
const WORKERS: usize = 2;
/// How much the workers try after the closing, and how often the onlooker looks at the most until they have.
const TRIES: u64 = 8;
const LOOKS: usize = 2_000;

/// How much harder than usual to look: who has more sequences tried wants races run longer too.
pub(super) fn effort<G: Gateway>() -> f64 {
    f64::from(Config::default().cases.max(1)) / 256.0 * f64::from(G::EFFORT) / 100.0
}

/// Runs a race again and again, until it finds something.
pub(super) fn rounds<G: Gateway>(mut round: impl FnMut(u64) -> Found) -> Found {
    let harder = effort::<G>();
    let begun = Instant::now();
    for number in 1.. {
        round(number).map_err(|found| format!("{found}\nOn real threads, in round {number}."))?;
        // Whole numbers of this size are exact.
        #[allow(clippy::cast_precision_loss)]
        let enough = number as f64 >= ROUNDS * harder;
        if enough || number >= FEW && begun.elapsed() > BUDGET.mul_f64(harder) {
            break;
        }
    }
    Ok(())
}

/// Waits until it is so; false if that takes too long.
pub(super) fn comes_true(is_so: impl Fn() -> bool) -> bool {
    let begun = Instant::now();
    while !is_so() {
        if begun.elapsed() > PATIENCE {
            return false;
        }
        thread::yield_now();
    }
    true
}

/// Sets a flag at the end of its scope, also on panic: the threads that look at it end.
pub(super) struct AtEnd<'f>(pub &'f AtomicBool);

impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// What an onlooker has seen of one closing.
pub(super) struct Closing {
    /// From the return of the closing call on; only what differs from the one before.
    pub seen: Vec<Snapshot>,
    /// Admissions that were asked for after the closing call had returned.
    pub late: u64,
}

impl Closing {
    /// Two looks of which the second contradicts the first.
    pub fn contradiction(&self, contradicts: impl Fn(&Snapshot, &Snapshot) -> bool) -> Option<(Snapshot, Snapshot)> {
        self.seen.windows(2).map(|two| (two[0], two[1])).find(|(first, second)| contradicts(first, second))
    }

    /// The looks, one a line.
    pub fn told(&self) -> String {
        let mut told = String::from("What the gateway told after the closing call had returned:");
        for (number, snapshot) in self.seen.iter().enumerate().take(20) {
            let _ = write!(told, "\n{number:>4}. {snapshot}");
        }
        told
    }
}

/// Brings work from several threads, closes the gate in the middle of it, and looks on.
pub(super) fn closing<G: Gateway>() -> Closing {
    let (gateway, _guard) = G::fresh();
    let (closed, over) = (AtomicBool::new(false), AtomicBool::new(false));
    let (tried, late) = (AtomicU64::new(0), AtomicU64::new(0));
    let work = || {
        while !over.load(Ordering::SeqCst) {
            let known_closed = closed.load(Ordering::SeqCst);
            match gateway.admit() {
                Some(permit) => {
                    late.fetch_add(u64::from(known_closed), Ordering::SeqCst);
                    thread::yield_now();
                    gateway.finish(permit);
                }
                None => thread::yield_now(),
            }
            tried.fetch_add(1, Ordering::SeqCst);
        }
    };
    let seen = thread::scope(|scope| {
        let _over = AtEnd(&over);
        for _ in 0..WORKERS {
            scope.spawn(work);
        }
        comes_true(|| tried.load(Ordering::SeqCst) >= WORKERS as u64);
        close(&gateway);
        closed.store(true, Ordering::SeqCst);
        let enough = tried.load(Ordering::SeqCst) + TRIES;
        let mut seen = vec![gateway.snapshot()];
        for look in 0..LOOKS {
            let snapshot = gateway.snapshot();
            if seen.last() != Some(&snapshot) {
                seen.push(snapshot);
            }
            if look > 20 && tried.load(Ordering::SeqCst) >= enough {
                break;
            }
            thread::yield_now();
        }
        seen
    });
    Closing { seen, late: late.into_inner() }
}
