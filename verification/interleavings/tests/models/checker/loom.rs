//! loom: every interleaving of a few threads, and every value that the memory model lets a load return.

use super::explore::{Body, Seen};
use super::table::Check;
use loom::sync::{Condvar, Mutex};
pub use loom::thread;
use std::collections::BTreeSet;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// A plain `cargo test` explores a model that has more executions with at most two preemptions, and
/// `cargo xtask ci large-models` (with `EXECUTIONS=all` in the environment) whole.
const SMALL: usize = 15_000;

/// One model explores at a time: each execution maps its threads' stacks and gives them back, and explorations that do so
/// beside each other in one process wait for its one memory map, at three times the cost.
static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// Explores a model, and holds it to its row: with `EXECUTIONS=any` in the environment but for the count, since a planted
/// bug must fall by a property.
pub fn run(check: &'static Check, body: Body) -> Option<String> {
    let expected = check.executions?;
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let asked = std::env::var("EXECUTIONS");
    let whole = expected <= SMALL || asked.is_ok();
    let most = if whole { check.preemptions() } else { Some(2) };
    let executions = Arc::new(AtomicUsize::new(0));
    let seen = Seen::default();
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 10_000;
    builder.preemption_bound = most;
    // Not from the environment: nothing may cut a model short.
    builder.max_permutations = None;
    builder.max_duration = None;
    builder.checkpoint_file = None;
    builder.check({
        let (executions, seen) = (Arc::clone(&executions), seen.clone());
        move || {
            executions.fetch_add(1, Ordering::Relaxed);
            body(&seen);
        }
    });
    let name = check.name;
    let witnesses: BTreeSet<&str> = check.witnesses.iter().copied().collect();
    assert_eq!(seen.all(), witnesses, "{name}: what some execution shows (left) is what the table says (right)");
    let executions = executions.load(Ordering::Relaxed);
    if whole && asked.as_deref() != Ok("any") {
        assert_eq!(executions, expected, "{name}: the number of executions explored");
    }
    let bound = most.map_or_else(|| "unbounded".into(), |most| format!("at most {most} preemptions"));
    Some(format!("{executions} executions of {} workers, {bound}", check.workers))
}

/// Whether what comes sooner or later is looked for again: here every moment has an execution of its own.
pub const AGAIN: bool = false;

/// A number that nothing synchronises but the gate. To read it without being ordered after its writing fails the model,
/// even where the value is right.
#[derive(Default)]
pub struct Unsynchronised(loom::cell::Cell<u64>);

// SAFETY: loom's threads are turns that one thread of the system takes.
unsafe impl Send for Unsynchronised {}
// SAFETY: as above.
unsafe impl Sync for Unsynchronised {}

impl Unsynchronised {
    pub fn set(&self, value: u64) {
        self.0.set(value);
    }

    pub fn get(&self) -> u64 {
        self.0.get()
    }
}

/// Drives a future on the model's current thread.
///
/// Not loom's own: that one wakes spuriously as well, which multiplies the executions and is printed each time.
pub fn block_on<F: Future>(future: F) -> F::Output {
    struct Thread {
        woken: Mutex<bool>,
        signal: Condvar,
    }
    impl Wake for Thread {
        fn wake(self: Arc<Self>) {
            *self.woken.lock().expect("loom's locks are never poisoned") = true;
            self.signal.notify_all();
        }
    }
    let thread = Arc::new(Thread { woken: Mutex::new(false), signal: Condvar::new() });
    let waker = Waker::from(Arc::clone(&thread));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        let mut woken = thread.woken.lock().expect("loom's locks are never poisoned");
        while !*woken {
            woken = thread.signal.wait(woken).expect("loom's locks are never poisoned");
        }
        *woken = false;
    }
}
