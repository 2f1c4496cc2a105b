//! Runs one model through loom, and holds it to its row in the [table](super::table): the exact number of executions, and
//! every witness seen.
//!
//! loom ends a truncated exploration as a passed one, so a model that didn't count would prove less than it says; and a
//! gate that refuses everybody is safe, so a model without witnesses would pass on it.

use super::table::{CHECKS, Check};
use loom::sync::{Condvar, Mutex};
use std::collections::BTreeSet;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// What the executions of a model have shown to be possible. Kept outside of loom: it orders nothing.
#[derive(Clone, Default)]
pub struct Seen(Arc<std::sync::Mutex<BTreeSet<&'static str>>>);

impl Seen {
    pub fn note(&self, witness: &'static str) {
        self.0.lock().expect("nothing panics while it holds this lock").insert(witness);
    }

    pub fn note_if(&self, condition: bool, witness: &'static str) {
        if condition {
            self.note(witness);
        }
    }
}

/// Explores `body` as the row called `name` says.
///
/// With `EXECUTIONS=any` in the environment the count is not compared: a seeded bug must fall by a property, not by that.
pub fn explore(name: &str, body: impl Fn(&Seen) + Send + Sync + 'static) {
    let check = row(name);
    let executions = Arc::new(AtomicUsize::new(0));
    let seen = Seen::default();
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 10_000;
    builder.preemption_bound = check.preemptions;
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
    let seen = seen.0.lock().expect("the model has ended").clone();
    let expected: BTreeSet<&str> = check.witnesses.iter().copied().collect();
    assert_eq!(seen, expected, "{name}: what some execution shows (left) is what the table says (right)");
    let executions = executions.load(Ordering::Relaxed);
    if std::env::var("EXECUTIONS").as_deref() != Ok("any") {
        assert_eq!(executions, check.executions, "{name}: the number of executions explored");
    }
    let bound = check.preemptions.map_or_else(|| "unbounded".into(), |most| format!("at most {most} preemptions"));
    println!("{}: {executions} executions of {} workers, {bound}", check.properties.join(" "), check.workers);
}

fn row(name: &str) -> &'static Check {
    let mut rows = CHECKS.iter().filter(|check| check.name == name);
    match (rows.next(), rows.next()) {
        (Some(check), None) => check,
        _ => panic!("{name} must have exactly one row in the table of models"),
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
