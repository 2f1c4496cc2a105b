//! Runs one model under the schedules that its row in the [table](super::table) promises, and wants every witness seen.
//!
//! A schedule that fails is printed, as a text between two lines of quotes. `REPLAY=<that text>` runs it again, and
//! nothing else: `REPLAY=... cargo test -p gateway-drain-shuttle <name of the model>`.

use super::table::{CHECKS, Check, DEPTH, PCT, RANDOM};
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, FailurePersistence, Runner, thread};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Where the drawing begins.
const BEGINNING: u64 = 20;

/// What the schedules of a model have shown to be possible. Kept outside of shuttle: it orders nothing.
#[derive(Clone, Default)]
pub struct Seen(Arc<Mutex<BTreeSet<&'static str>>>);

impl Seen {
    pub fn note(&self, witness: &'static str) {
        self.0.lock().expect("nothing panics while it holds this lock").insert(witness);
    }
}

/// Runs `body` as the row called `name` says.
pub fn explore(name: &str, body: impl Fn(&Seen) + Send + Sync + 'static) {
    let check = row(name);
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
        return;
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
    assert_eq!(tasks.load(Ordering::Relaxed), check.tasks, "{name}: the number of its tasks");
    let seen = seen.0.lock().expect("the model has ended").clone();
    let expected: BTreeSet<&str> = check.witnesses.iter().copied().collect();
    assert_eq!(seen, expected, "{name}: what some schedule shows (left) is what the table says (right)");
    println!("{}: {RANDOM} + {PCT} schedules of {} tasks", check.properties.join(" "), check.tasks);
}

fn row(name: &str) -> &'static Check {
    let mut rows = CHECKS.iter().filter(|check| check.name == name);
    match (rows.next(), rows.next()) {
        (Some(check), None) => check,
        _ => panic!("{name} must have exactly one row in the table of models"),
    }
}
