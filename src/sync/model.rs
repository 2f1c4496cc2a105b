//! What `sync` hands out under a model checker: the checker's own primitives.
//!
//! What waiters sleep on, `sync/event.rs`, is the code of production on them. What a check with them does not show: that
//! std's mutex and condition variable do what they document, and time.

#[cfg(all(loom, feature = "loom"))]
use core::marker::PhantomData;
use std::sync::PoisonError;
use std::time::Instant;

#[cfg(all(loom, feature = "loom"))]
use loom::{lazy_static::Lazy, sync as checker};
#[cfg(not(all(loom, feature = "loom")))]
use shuttle::{lazy_static::Lazy, sync as checker};

#[cfg(all(loom, feature = "loom"))]
pub(crate) use super::atomic::AtomicU64;
#[cfg(not(all(loom, feature = "loom")))]
pub(crate) use checker::atomic::AtomicU64;
use checker::atomic::AtomicUsize;
pub(crate) use checker::atomic::Ordering;
pub(super) use checker::{Condvar, Mutex, MutexGuard};

/// As the real one, for the length of an execution: a checker's primitives belong to the one that made them.
pub(crate) struct Spare<T: Sync + 'static>(Lazy<Values<T>>);

/// The lock is std's: it is never waited for, since a checker runs one thread at a time. What it orders, and that who is
/// first makes a difference, no checker knows; the counter beside it tells.
struct Values<T: 'static> {
    values: std::sync::Mutex<Vec<&'static T>>,
    accesses: AtomicUsize,
}

impl<T: Sync + 'static> Spare<T> {
    pub(crate) const fn new() -> Self {
        let init = || Values { values: std::sync::Mutex::default(), accesses: AtomicUsize::new(0) };
        #[cfg(all(loom, feature = "loom"))]
        return Self(Lazy { init, _p: PhantomData });
        #[cfg(not(all(loom, feature = "loom")))]
        return Self(Lazy::new(init));
    }

    pub(crate) fn take(&'static self) -> Option<&'static T> {
        self.values().pop()
    }

    pub(crate) fn give_back(&'static self, value: &'static T) {
        self.values().push(value);
    }

    fn values(&'static self) -> std::sync::MutexGuard<'static, Vec<&'static T>> {
        let spare = self.0.get();
        spare.accesses.fetch_add(1, Ordering::AcqRel);
        spare.values.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A checker knows no time: a wait with a deadline runs out at once, and only the giving-up is explored.
pub(super) fn wait_until<'l, T>(
    _condvar: &Condvar,
    guard: MutexGuard<'l, T>,
    _deadline: Instant,
) -> (MutexGuard<'l, T>, bool) {
    (guard, false)
}
