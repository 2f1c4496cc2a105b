//! What wakes the reconciler's thread, and nobody else: a kick, or the gate.

use crate::gate::Gate;
use crate::sync::EventListener;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// Rung by whoever wants another look.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    rung: AtomicBool,
    sleeper: OnceLock<Thread>,
}

impl Alarm {
    pub(super) fn ring(&self) {
        self.rung.store(true, Ordering::Release);
        if let Some(sleeper) = self.sleeper.get() {
            sleeper.unpark();
        }
    }

    /// Has the gate ring too, once: when its state moves or the last work leaves it closed.
    pub(super) fn rung_by(self: &Arc<Self>, gate: &Gate) -> EventListener {
        // Only this thread sleeps here.
        let _ = self.sleeper.set(thread::current());
        let mut changed = gate.changed().listen();
        let waker = Waker::from(Arc::clone(self));
        if let Poll::Ready(()) = Pin::new(&mut changed).poll(&mut Context::from_waker(&waker)) {
            self.ring();
        }
        changed
    }

    /// Sleeps for so long, or until it rings: but not for less than `rest`, so that however often it rings its sleeper has
    /// most of its time for nothing. What has rung since the last sleep counts.
    pub(super) fn sleep(&self, pause: Duration, rest: Duration) {
        let now = Instant::now();
        let (rested, until) = (now + rest.min(pause), now.checked_add(pause));
        loop {
            let now = Instant::now();
            if now >= rested && self.rung.swap(false, Ordering::AcqRel) {
                return;
            }
            let left = if now < rested { Some(rested) } else { until };
            match left.map(|until| until.saturating_duration_since(now)) {
                Some(Duration::ZERO) => return,
                Some(left) => thread::park_timeout(left),
                None => thread::park(),
            }
        }
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.ring();
    }
}
