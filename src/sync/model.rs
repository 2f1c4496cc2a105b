//! What `sync` hands out under a model checker: the checker's own primitives.
//!
//! What waiters sleep on, `sync/event.rs`, is the code of production on them. What a check with them does not show: that
//! std's mutex and condition variable do what they document, and time.

use std::time::Instant;

#[cfg(all(loom, feature = "loom"))]
use loom::sync as checker;
#[cfg(not(all(loom, feature = "loom")))]
use shuttle::sync as checker;

#[cfg(all(loom, feature = "loom"))]
pub(crate) use super::atomic::AtomicU64;
#[cfg(not(all(loom, feature = "loom")))]
pub(crate) use checker::atomic::AtomicU64;
pub(crate) use checker::atomic::Ordering;
pub(super) use checker::{Condvar, Mutex, MutexGuard};

/// A checker knows no time: a wait with a deadline runs out at once, and only the giving-up is explored.
pub(super) fn wait_until<'l, T>(
    _condvar: &Condvar,
    guard: MutexGuard<'l, T>,
    _deadline: Instant,
) -> (MutexGuard<'l, T>, bool) {
    (guard, false)
}
