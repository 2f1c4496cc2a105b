//! The synchronisation primitives that the concurrent core is written against.
//!
//! `gate` and `controller` take theirs from here and from nowhere else, so that a model checker can put its own in
//! their place without a change to the code under test: loom under `--cfg loom` with the feature `loom`, shuttle under
//! `--cfg shuttle` with the feature `shuttle`. A feature alone changes nothing, since features of one dependency graph
//! are united. `Arc` is std's everywhere: nothing but the end of what it holds rests on what its count orders.

#[cfg(all(loom, feature = "loom"))]
#[cfg_attr(not(feature = "conformance"), allow(dead_code, unused_imports, reason = "whole only for other gateways"))]
pub mod atomic;
mod event;
#[cfg(any(all(loom, feature = "loom"), all(shuttle, feature = "shuttle")))]
mod model;

#[cfg(not(any(all(loom, feature = "loom"), all(shuttle, feature = "shuttle"))))]
mod real {
    use std::sync::PoisonError;
    pub(crate) use std::sync::atomic::{AtomicU64, Ordering};
    pub(super) use std::sync::{Condvar, Mutex, MutexGuard};
    use std::time::Instant;

    /// Waits for a notification, or until the deadline: whether there was time left.
    pub(super) fn wait_until<'l, T>(
        condvar: &Condvar,
        guard: MutexGuard<'l, T>,
        deadline: Instant,
    ) -> (MutexGuard<'l, T>, bool) {
        let left = deadline.saturating_duration_since(Instant::now());
        let (guard, waited) = condvar.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner);
        (guard, !waited.timed_out())
    }
}

#[cfg(any(all(loom, feature = "loom"), all(shuttle, feature = "shuttle")))]
use model as real;

/// Whether a model checker explores this build. It knows of no thread but its own.
pub(crate) const CHECKED: bool = cfg!(any(all(loom, feature = "loom"), all(shuttle, feature = "shuttle")));

pub(crate) use event::{Event, EventListener, Wakers};
pub(crate) use real::{AtomicU64, Ordering};
pub(crate) use std::sync::Arc;

/// A mutex whose lock can't fail: what it guards is only ever changed by code that leaves it whole, so a panic
/// elsewhere in its holder is no reason to refuse everybody after it.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(real::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(real::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> real::MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn try_lock(&self) -> Option<real::MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(std::sync::TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(std::sync::TryLockError::WouldBlock) => None,
        }
    }
}
