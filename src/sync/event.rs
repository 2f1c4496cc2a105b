//! What waiters sleep on: one event, many listeners, each notification tells all of them.
//!
//! It has no fast path and no lock-free list: it is asked when a gateway's state moves, and when the last work leaves a
//! closed gate. In exchange two things are plain to see. A thread that listens first and looks afterwards misses nothing,
//! because listening and notifying meet in one lock (G4). And no code of others runs under that lock: a waker is cloned
//! before it is taken, and dropped and woken after it is free. So a waker may block, panic or drop its task, with the
//! listeners and permits in it.
//!
//! A model checker explores this same code, on its own mutex and condition variable.

use super::real::{Condvar, MutexGuard, wait_until};
use super::{Arc, Mutex};
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::{fmt, mem};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

/// Tells everybody who listens that something has happened. Clones of its contents are held by its listeners, which may
/// outlive it.
pub(crate) struct Event(Arc<Shared>);

struct Shared {
    listeners: Mutex<Listeners>,
    notified: Condvar,
}

#[derive(Default)]
struct Listeners {
    next: u64,
    /// Those who have not been notified yet, in the order in which they came; with the waker of those who were polled.
    waiting: BTreeMap<u64, Option<Waker>>,
}

impl Event {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Shared { listeners: Mutex::new(Listeners::default()), notified: Condvar::new() }))
    }

    /// Everything that is notified from here on is heard.
    pub(crate) fn listen(&self) -> EventListener {
        let mut listeners = self.0.listeners.lock();
        let id = listeners.next;
        listeners.next += 1;
        listeners.waiting.insert(id, None);
        drop(listeners);
        EventListener { event: Arc::clone(&self.0), id }
    }

    /// Notifies everybody who listens. Threads that block wake at once; wakers are woken by the value that is given.
    #[must_use = "wakers are woken when this is dropped: drop it where no lock is held"]
    pub(crate) fn notify(&self) -> Wakers {
        let notified = mem::take(&mut self.0.listeners.lock().waiting);
        if !notified.is_empty() {
            self.0.notified.notify_all();
        }
        Wakers(notified.into_values().flatten().collect())
    }
}

impl Default for Event {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").finish_non_exhaustive()
    }
}

/// Those who have been notified and are yet to be woken, which dropping this does.
///
/// A waker is code of somebody else's. One that panics keeps no other from being woken, and its panic ends here: the thread that
/// moves a gateway or finishes a turn has no part in it. The panic hook has told of it by then.
#[derive(Default)]
pub(crate) struct Wakers(Vec<Waker>);

impl Wakers {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn add(&mut self, mut others: Self) {
        self.0.append(&mut others.0);
    }
}

impl Drop for Wakers {
    fn drop(&mut self) {
        for waker in self.0.drain(..) {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
                // To drop what it panicked with is to run its code once more.
                mem::forget(panic);
            }
        }
    }
}

/// Hears one notification: poll it, or block on it.
pub(crate) struct EventListener {
    event: Arc<Shared>,
    id: u64,
}

impl EventListener {
    pub(crate) fn wait(self) {
        let mut listeners = self.event.listeners.lock();
        while listeners.waiting.contains_key(&self.id) {
            listeners = self.event.notified.wait(listeners).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether it was notified by then.
    pub(crate) fn wait_deadline(self, deadline: Instant) -> bool {
        let mut listeners: MutexGuard<'_, Listeners> = self.event.listeners.lock();
        let mut in_time = true;
        while in_time && listeners.waiting.contains_key(&self.id) {
            (listeners, in_time) = wait_until(&self.event.notified, listeners, deadline);
        }
        !listeners.waiting.contains_key(&self.id)
    }

    /// As [`wait_deadline`](Self::wait_deadline); a timeout that no clock can show is none.
    pub(crate) fn wait_timeout(self, timeout: Duration) -> bool {
        if let Some(deadline) = Instant::now().checked_add(timeout) {
            return self.wait_deadline(deadline);
        }
        self.wait();
        true
    }
}

impl Future for EventListener {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let waker = cx.waker().clone();
        let replaced = match self.event.listeners.lock().waiting.get_mut(&self.id) {
            Some(place) => place.replace(waker),
            None => return Poll::Ready(()),
        };
        drop(replaced);
        Poll::Pending
    }
}

impl Drop for EventListener {
    fn drop(&mut self) {
        let waker = self.event.listeners.lock().waiting.remove(&self.id);
        drop(waker);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{RecvTimeoutError, channel};

    #[test]
    fn a_thread_that_waits_goes_on_at_the_next_notification_and_not_before() {
        let event = Event::new();
        let listener = event.listen();
        let (on, goes_on) = channel();
        let waiting = std::thread::spawn(move || {
            listener.wait();
            on.send(()).unwrap();
        });
        assert_eq!(goes_on.recv_timeout(Duration::from_millis(50)), Err(RecvTimeoutError::Timeout), "it waits");
        drop(event.notify());
        goes_on.recv_timeout(Duration::from_secs(60)).expect("it was notified");
        waiting.join().unwrap();
    }
}
