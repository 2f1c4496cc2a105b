//! shuttle: schedules drawn at random, and schedules that change the priority of a task at a few drawn points (PCT), both
//! from a fixed beginning, so that every run takes the same ones. Every atomic access counts as sequentially consistent
//! here: memory orderings are for loom.
//!
//! A schedule that fails is printed, as a text between two lines of quotes. `REPLAY=<that text>` runs it again, and nothing
//! else: `REPLAY=... cargo test -p gateway-drain-interleavings --no-default-features --features shuttle <name of the model>`.

use super::explore::{Body, Seen};
use super::table::{Check, DEPTH, PCT, RANDOM};
pub use shuttle::future::block_on;
use shuttle::scheduler::{PctScheduler, RandomScheduler};
pub use shuttle::thread;
use shuttle::{Config, FailurePersistence, Runner};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Where the drawing begins.
const BEGINNING: u64 = 20;

/// Runs a model under the schedules that its row promises. Of a crowd every witness is wanted; of what loom explores without
/// a bound, none that loom doesn't find.
pub fn run(check: &'static Check, body: Body) -> Option<String> {
    check.schedules.then_some(())?;
    let name = check.name;
    let seen = Seen::default();
    let tasks = Arc::new(AtomicUsize::new(0));
    let body = Arc::new({
        let (seen, tasks) = (seen.clone(), Arc::clone(&tasks));
        move || {
            body(&seen);
            // Tasks are numbered from 0 as they come, so one more has the number of those before it.
            let one_more = thread::spawn(shuttle::current::me).join().expect("it only tells its number");
            tasks.fetch_max(one_more.into(), Ordering::Relaxed);
        }
    });
    if let Ok(schedule) = std::env::var("REPLAY") {
        shuttle::replay(move || body(), schedule.trim());
        return Some("one schedule again".into());
    }
    let mut config = Config::new();
    config.failure_persistence = FailurePersistence::Print;
    config.silence_warnings = true;
    let random = Runner::new(RandomScheduler::new_from_seed(BEGINNING, RANDOM), config.clone());
    let ran = random.run({
        let body = Arc::clone(&body);
        move || body()
    });
    assert_eq!(ran, RANDOM, "{name}: the number of schedules drawn at random");
    let pct = Runner::new(PctScheduler::new_from_seed(BEGINNING, DEPTH, PCT), config);
    assert_eq!(pct.run(move || body()), PCT, "{name}: the number of schedules drawn with {DEPTH} changes of priority");
    assert_eq!(tasks.load(Ordering::Relaxed), check.workers, "{name}: the number of its tasks");
    let witnesses: BTreeSet<&str> = check.witnesses.iter().copied().collect();
    if check.executions.is_none() {
        assert_eq!(seen.all(), witnesses, "{name}: what some schedule shows (left) is what the table says (right)");
    } else if check.preemptions().is_none() {
        assert!(seen.all().is_subset(&witnesses), "{name}: {:?} shows what no execution of loom does", seen.all());
    }
    Some(format!("{RANDOM} + {PCT} schedules of {} tasks", check.workers))
}

/// Whether what comes sooner or later is looked for again: here every moment has an execution of its own.
pub const AGAIN: bool = false;
