//! Runs one model as its row in the [table](super::table) says: under loom in every interleaving, with the exact number of
//! executions and every witness seen; under shuttle in drawn schedules, with every witness seen; on real threads in many
//! rounds.
//!
//! loom ends a truncated exploration as a passed one, so a model that didn't count would prove less than it says; and a
//! gate that refuses everybody is safe, so a model without witnesses would pass on it.

#[cfg(loom)]
pub use super::checker::Unsynchronised;
use super::checker::{self, AGAIN};
pub use super::checker::{block_on, thread};
use super::table::{CHECKS, Check};
use gateway_drain::controller::Observation;
use gateway_drain::gate::Reading;
use gateway_drain::steps;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What isn't over by then hangs, on real threads.
pub const LIMIT: Duration = Duration::from_secs(60);

/// What the executions of a model have shown to be possible. Kept outside of the checker: it orders nothing.
#[derive(Clone, Default)]
pub struct Seen(Arc<Mutex<BTreeSet<&'static str>>>);

impl Seen {
    pub fn note(&self, witness: &'static str) {
        self.0.lock().expect("nothing panics while it holds this lock").insert(witness);
    }

    pub fn note_if(&self, condition: bool, witness: &'static str) {
        if condition {
            self.note(witness);
        }
    }

    /// What was noted.
    #[cfg_attr(not(any(loom, shuttle)), allow(dead_code, reason = "on real threads the schedules are the machine's"))]
    pub fn all(&self) -> BTreeSet<&'static str> {
        self.0.lock().expect("the model has ended").clone()
    }
}

/// A body of a model.
pub type Body = fn(&Seen);

/// Explores `body` as the row called `name` says, if this build's checker is one for it.
pub fn explore(name: &str, body: Body) {
    let check = row(name);
    match checker::run(check, body) {
        Some(explored) => println!("{name}: {explored}"),
        None => println!("{name}: not for this checker"),
    }
}

/// One look after another for what comes sooner or later. Under a checker there is one: every moment has an execution of
/// its own.
pub struct Looks(Instant);

impl Looks {
    pub fn begin() -> Self {
        Self(Instant::now())
    }

    /// Whether to look again.
    pub fn again(&self) -> bool {
        if AGAIN {
            assert!(self.0.elapsed() < LIMIT, "still not so after {} s", LIMIT.as_secs());
            thread::yield_now();
        }
        AGAIN
    }
}

/// Looks until it is so; under a checker once: whether it is.
pub fn until(mut so: impl FnMut() -> bool) -> bool {
    let looks = Looks::begin();
    loop {
        if so() {
            return true;
        }
        if !looks.again() {
            return false;
        }
    }
}

/// What was read of a gate can be read after what was read before: by the meaning that the properties have everywhere.
pub fn assert_is_allowed(before: &Reading, after: &Reading) {
    if let Some(property) = steps::broken(&before.moment(), &after.moment()) {
        panic!("{}: {before:?}, then {after:?}", property.claim());
    }
}

/// Waits until the observers have been told. Under a checker they have been, by the thread that changed something.
pub fn all_told(observations: impl IntoIterator<Item = Observation>) {
    for observation in observations.into_iter().filter(|_| AGAIN) {
        assert!(observation.flush(LIMIT), "the observer is told in time");
        observation.end();
    }
}

/// A number that nothing synchronises but the gate. Were the gate to forget one of its orderings, two threads would meet
/// here, and that is what ThreadSanitizer reports; shuttle looks for its value alone.
#[cfg(not(loom))]
#[derive(Default)]
pub struct Unsynchronised(std::cell::UnsafeCell<u64>);

// SAFETY: it is not, by itself: its user relies on the gate to keep its accesses apart, and ThreadSanitizer watches
// whether the gate does.
#[cfg(not(loom))]
unsafe impl Sync for Unsynchronised {}

#[cfg(not(loom))]
impl Unsynchronised {
    pub fn set(&self, value: u64) {
        // SAFETY: the gate keeps accesses apart, as each model says.
        unsafe { *self.0.get() = value }
    }

    pub fn get(&self) -> u64 {
        // SAFETY: as above.
        unsafe { *self.0.get() }
    }
}

fn row(name: &str) -> &'static Check {
    let mut rows = CHECKS.iter().filter(|check| check.name == name);
    match (rows.next(), rows.next()) {
        (Some(check), None) => check,
        _ => panic!("{name} must have exactly one row in the table of models"),
    }
}
