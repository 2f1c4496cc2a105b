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

    /// Sleeps until it rings, or for so long. What has rung since the last sleep counts.
    pub(super) fn sleep(&self, pause: Duration) {
        let until = Instant::now().checked_add(pause);
        while !self.rung.swap(false, Ordering::AcqRel) {
            match until.map(|until| until.saturating_duration_since(Instant::now())) {
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
