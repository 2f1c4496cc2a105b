//! What `sync` hands out under a model checker: the checker's own primitives, and an event made of them.
//!
//! The gate's waiters sleep on `event_listener::Event`, whose code no checker sees into. This event has the methods that
//! the crate uses, and promises less than event-listener documents. That one's `listen` is a full fence after registering
//! and its `notify` one before it looks for listeners; here the two merely meet in one word, so that whichever comes
//! second sees what the first has done, and the gate's own orderings hide behind no fence. A notification reaches every
//! listener registered before it, whether that one blocks or is polled, and no other.
//!
//! What a check with it does not show: that event-listener keeps these promises; its own list, slots and thread parking;
//! and time. A wait with a deadline runs out at once, so only the giving-up is explored, not a wake-up in time.
//! `notify` wakes every listener whatever number it is given, since the crate only ever wakes all.

use core::future::Future;
#[cfg(all(loom, feature = "loom"))]
use core::marker::PhantomData;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

#[cfg(all(loom, feature = "loom"))]
use loom::{lazy_static::Lazy, sync as checker};
#[cfg(not(all(loom, feature = "loom")))]
use shuttle::{lazy_static::Lazy, sync as checker};

use checker::Condvar;
#[cfg(not(all(loom, feature = "loom")))]
pub(crate) use checker::atomic::AtomicU64;
use checker::atomic::AtomicUsize;
pub(crate) use checker::atomic::Ordering;
pub(super) use checker::{Mutex, MutexGuard};

/// loom's atomic, with every access put in an order with every other.
///
/// Of the accesses to an atomic loom remembers only the last, whoever made it, and looks for races with that one alone.
/// A thread that loads and then exchanges so hides from loom that its exchange races with an earlier load of another
/// thread, and the executions in which it comes first are never explored. The counter beside the value makes each access
/// race with each other one; relaxed, it orders nothing that the value's own orderings don't.
#[cfg(all(loom, feature = "loom"))]
pub(crate) struct AtomicU64 {
    value: checker::atomic::AtomicU64,
    accesses: AtomicUsize,
}

#[cfg(all(loom, feature = "loom"))]
impl AtomicU64 {
    pub(crate) fn new(value: u64) -> Self {
        Self { value: checker::atomic::AtomicU64::new(value), accesses: AtomicUsize::new(0) }
    }

    fn access(&self) -> &checker::atomic::AtomicU64 {
        self.accesses.fetch_add(1, Ordering::Relaxed);
        &self.value
    }

    pub(crate) fn load(&self, order: Ordering) -> u64 {
        self.access().load(order)
    }

    pub(crate) fn store(&self, value: u64, order: Ordering) {
        self.access().store(value, order);
    }

    pub(crate) fn fetch_sub(&self, value: u64, order: Ordering) -> u64 {
        self.access().fetch_sub(value, order)
    }

    pub(crate) fn compare_exchange_weak(&self, seen: u64, new: u64, ok: Ordering, err: Ordering) -> Result<u64, u64> {
        self.access().compare_exchange_weak(seen, new, ok, err)
    }
}

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

pub(crate) struct Event(Arc<Inner>);

struct Inner {
    /// How many listeners are yet to be notified, and where those who listen and those who notify meet: it is only ever
    /// exchanged, so whoever comes second sees the first. Changed under the lock, asked without it, so that an event
    /// nobody listens to hides no missing synchronisation behind a lock.
    waiting: AtomicUsize,
    listeners: Mutex<Vec<Registration>>,
    notified: Condvar,
}

struct Registration {
    id: usize,
    notified: bool,
    waker: Option<Waker>,
}

impl Event {
    pub(crate) fn new() -> Self {
        let listeners = Mutex::new(Vec::new());
        Self(Arc::new(Inner { waiting: AtomicUsize::new(0), listeners, notified: Condvar::new() }))
    }

    pub(crate) fn listen(&self) -> EventListener {
        let id = {
            let mut listeners = self.0.listeners();
            let id = listeners.last().map_or(0, |last| last.id + 1);
            listeners.push(Registration { id, notified: false, waker: None });
            self.0.waiting.fetch_add(1, Ordering::AcqRel);
            id
        };
        EventListener { event: Arc::clone(&self.0), id }
    }

    pub(crate) fn notify(&self, _all: usize) {
        if self.0.waiting.fetch_add(0, Ordering::AcqRel) == 0 {
            return;
        }
        let mut listeners = self.0.listeners();
        let mut wakers = Vec::new();
        for registration in listeners.iter_mut().filter(|registration| !registration.notified) {
            registration.notified = true;
            wakers.extend(registration.waker.take());
            self.0.waiting.fetch_sub(1, Ordering::AcqRel);
        }
        self.0.notified.notify_all();
        drop(listeners);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Inner {
    fn listeners(&self) -> MutexGuard<'_, Vec<Registration>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) struct EventListener {
    event: Arc<Inner>,
    id: usize,
}

/// The blocking half of a listener, a trait as in event-listener.
pub(crate) trait Listener: Sized {
    fn wait(self);
    fn wait_deadline(self, deadline: Instant) -> Option<()>;
    fn wait_timeout(self, timeout: Duration) -> Option<()>;
}

impl EventListener {
    fn registration<'l>(&self, listeners: &'l mut [Registration]) -> Option<&'l mut Registration> {
        listeners.iter_mut().find(|registration| registration.id == self.id)
    }

    fn is_notified(&self, listeners: &mut [Registration]) -> bool {
        self.registration(listeners).is_none_or(|registration| registration.notified)
    }
}

impl Listener for EventListener {
    fn wait(self) {
        let mut listeners = self.event.listeners();
        while !self.is_notified(&mut listeners) {
            listeners = self.event.notified.wait(listeners).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn wait_deadline(self, _deadline: Instant) -> Option<()> {
        let mut listeners = self.event.listeners();
        self.is_notified(&mut listeners).then_some(())
    }

    fn wait_timeout(self, _timeout: Duration) -> Option<()> {
        self.wait_deadline(Instant::now())
    }
}

impl Future for EventListener {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut listeners = self.event.listeners();
        match self.registration(&mut listeners) {
            Some(registration) if !registration.notified => {
                registration.waker = Some(cx.waker().clone());
                Poll::Pending
            }
            _ => Poll::Ready(()),
        }
    }
}

impl Drop for EventListener {
    fn drop(&mut self) {
        let mut listeners = self.event.listeners();
        if !self.is_notified(&mut listeners) {
            self.event.waiting.fetch_sub(1, Ordering::AcqRel);
        }
        listeners.retain(|registration| registration.id != self.id);
    }
}
