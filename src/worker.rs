//! A thread of its own for what may block or panic, and the bounded queue that feeds it.
//!
//! A thread that has something to tell leaves it in the queue and goes on: neither a slow receiver, nor one that hangs, nor one
//! that panics holds anybody up (L5). Under a model checker there is no such thread; the thread that has told something does the
//! work then, once its own locks are free.

use crate::sync::{self, Arc, Event, Mutex};
use core::fmt;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

/// A handle on the queue. Clones share it.
pub(crate) struct Worker<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    capacity: usize,
    queue: Mutex<Queue<T>>,
    /// Something was queued, or all of it is done.
    changed: Event,
    work: Mutex<Option<Work<T>>>,
    thread: OnceLock<ThreadId>,
}

type Work<T> = Box<dyn FnMut(T) + Send>;

struct Queue<T> {
    waiting: VecDeque<T>,
    /// The work on what was taken out last is not over.
    busy: bool,
    closed: bool,
    counts: Counts,
}

/// What didn't go as it should.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Pieces of work that panicked.
    pub(crate) panics: u64,
    /// Items that found the queue full, or closed.
    pub(crate) lost: u64,
}

impl<T: Send + 'static> Worker<T> {
    /// Does `work` with each item, in order. At most `capacity` of them wait.
    pub(crate) fn new(name: &str, capacity: usize, work: impl FnMut(T) + Send + 'static) -> Self {
        let queue = Queue { waiting: VecDeque::new(), busy: false, closed: false, counts: Counts::default() };
        let worker = Self {
            shared: Arc::new(Shared {
                capacity,
                queue: Mutex::new(queue),
                changed: Event::new(),
                work: Mutex::new(Some(Box::new(work))),
                thread: OnceLock::new(),
            }),
        };
        let shared = Arc::clone(&worker.shared);
        if !sync::CHECKED && thread::Builder::new().name(name.into()).spawn(move || shared.run()).is_err() {
            // Every item is counted as lost then.
            worker.close();
        }
        worker
    }

    /// Leaves an item for the thread, and waits for nobody. False if it is lost: the queue is full or closed.
    pub(crate) fn push(&self, item: T) -> bool {
        let mut queue = self.shared.queue.lock();
        if queue.closed || queue.waiting.len() >= self.shared.capacity {
            queue.counts.lost += 1;
            return false;
        }
        queue.waiting.push_back(item);
        drop(queue);
        if !sync::CHECKED {
            drop(self.shared.changed.notify());
        }
        true
    }

    /// Waits until everything is done that is in the queue now, at most for `timeout`. False if it isn't, or if the work
    /// itself asks.
    pub(crate) fn flush(&self, timeout: Duration) -> bool {
        if sync::CHECKED {
            self.work_here();
        }
        let deadline = Instant::now().checked_add(timeout);
        loop {
            let changed = self.shared.changed.listen();
            if self.shared.is_idle() {
                return true;
            }
            if self.shared.thread.get() == Some(&thread::current().id()) {
                return false;
            }
            let Some(deadline) = deadline else {
                changed.wait();
                continue;
            };
            if !changed.wait_deadline(deadline) {
                return self.shared.is_idle();
            }
        }
    }

    /// Takes nothing more. The thread ends, and drops the work with all that it owns, once what waits is done.
    pub(crate) fn close(&self) {
        self.shared.queue.lock().closed = true;
        if !sync::CHECKED {
            drop(self.shared.changed.notify());
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.shared.queue.lock().counts
    }

    /// Does the work on this thread: for model checkers, which know of no other.
    pub(crate) fn work_here(&self) {
        self.shared.empty();
    }
}

impl<T> Shared<T> {
    fn run(&self) {
        // Nobody else sets it.
        let _ = self.thread.set(thread::current().id());
        loop {
            let changed = self.changed.listen();
            self.empty();
            if self.queue.lock().closed {
                break;
            }
            changed.wait();
        }
        // An item that came between the last look and the closing.
        self.empty();
        // What it owns may do anything as it goes, this thread's own queue included.
        let work = self.work.lock().take();
        let _ = catch_unwind(AssertUnwindSafe(|| drop(work)));
    }

    /// Does the work with all that waits. A thread that finds another at it leaves it to that one.
    fn empty(&self) {
        loop {
            let Some(mut locked) = self.work.try_lock() else { return };
            let Some(work) = locked.as_mut() else { return };
            while let Some(item) = self.next() {
                if sync::CHECKED {
                    work(item);
                } else if catch_unwind(AssertUnwindSafe(|| work(item))).is_err() {
                    self.queue.lock().counts.panics += 1;
                }
            }
            drop(locked);
            // Something may have come since, by somebody whom the lock turned away.
            if self.is_idle() {
                return;
            }
        }
    }

    fn next(&self) -> Option<T> {
        let mut queue = self.queue.lock();
        let next = queue.waiting.pop_front();
        let was_busy = std::mem::replace(&mut queue.busy, next.is_some());
        drop(queue);
        if was_busy && next.is_none() && !sync::CHECKED {
            drop(self.changed.notify());
        }
        next
    }

    fn is_idle(&self) -> bool {
        let queue = self.queue.lock();
        queue.waiting.is_empty() && !queue.busy
    }
}

impl<T> Clone for Worker<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<T> fmt::Debug for Worker<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("counts", &self.shared.queue.lock().counts).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::future::Future;
    use core::pin::pin;
    use core::task::{Context, Waker};

    #[test]
    fn who_flushes_is_told_when_the_last_item_is_done_and_an_idle_thread_that_looks_tells_nobody() {
        let queue = Queue { waiting: VecDeque::from([1, 2]), busy: false, closed: false, counts: Counts::default() };
        let shared = Shared {
            capacity: 2,
            queue: Mutex::new(queue),
            changed: Event::new(),
            work: Mutex::new(None),
            thread: OnceLock::new(),
        };
        // What is taken, whether it is told, and whether all is done then. A thread that told itself of every look would never
        // rest.
        for (expected, is_told, is_idle) in
            [(Some(1), false, false), (Some(2), false, false), (None, true, true), (None, false, true)]
        {
            let mut told = pin!(shared.changed.listen());
            assert_eq!(shared.next(), expected);
            let told = told.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
            assert_eq!((told, shared.is_idle()), (is_told, is_idle), "after {expected:?}");
        }
    }
}
