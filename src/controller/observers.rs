//! Those who are told what happens.
//!
//! A listener is this crate's own code: it runs under the controller's lock, so it is told everything in its order, and it
//! must neither wait nor call back. An observer is anybody's: it is fed by a listener and runs on a thread of its own.

use super::{Change, Controller, View};
use crate::sync::{self, Mutex, Wakers};
use crate::worker::{Counts, Worker};
use core::fmt;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// So many changes may wait for an observer. Later ones are lost to it, and counted.
const QUEUE: usize = 1024;

pub(super) type Listener = Box<dyn FnMut(&Change) + Send>;

#[derive(Default)]
pub(super) struct Observers {
    told: Mutex<Vec<Worker<Change>>>,
    /// Wakes those who wait for the gate, where a reconciler runs.
    waking: OnceLock<Worker<Wakers>>,
}

impl Observers {
    /// Something was told. Where no thread of its own tells an observer, it is told here.
    pub(super) fn told(&self) {
        if sync::CHECKED {
            let observers = self.told.lock().clone();
            observers.iter().for_each(Worker::work_here);
        }
    }

    /// Wakes them: a waker is code of the application's, too.
    pub(super) fn wake(&self, wakers: Wakers) {
        match self.waking.get() {
            Some(waking) if !wakers.is_empty() => _ = waking.push(wakers),
            _ => drop(wakers),
        }
    }
}

impl Drop for Observers {
    fn drop(&mut self) {
        if !sync::CHECKED {
            self.told.lock().iter().for_each(Worker::close);
            self.waking.get().into_iter().for_each(Worker::close);
        }
    }
}

impl Controller {
    /// Tells `observer` of every [`Change`] from now on, each once and in order.
    ///
    /// It runs on a thread of its own and may take its time, block, panic or call the controller: nothing waits for it
    /// (L5). So it hears of a change a moment later; [`Observation::flush`] waits until it has. Up to 1,024 changes wait for
    /// it. What comes beyond that is lost to it, and counted in the status, as its panics are (`drain.reconciler`).
    ///
    /// An observer that owns a clone of the controller keeps it, and its thread, until [`Observation::end`] or until the
    /// [`Reconciler`](crate::Reconciler) is dropped.
    ///
    /// ```
    /// use gateway_drain::{Controller, Request, RequestId};
    /// use std::{sync::mpsc, time::Duration};
    ///
    /// let controller = Controller::new();
    /// let (tell, told) = mpsc::channel();
    /// let observation = controller.observe(move |change| _ = tell.send(change.clone()));
    ///
    /// controller.request(&Request::begin(RequestId::new("upgrade")?, "ops"))?;
    /// assert!(observation.flush(Duration::from_secs(10)));
    /// assert_eq!(told.try_iter().count(), 2, "a hold, and the move that it caused");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn observe(&self, observer: impl FnMut(&Change) + Send + 'static) -> Observation {
        self.observe_from(|_| (), observer)
    }

    /// As [`observe`](Self::observe), from a known beginning: `first` sees the gateway as it stands, and `then` is told of
    /// every change since that very moment. `first` runs under the controller's lock.
    pub(crate) fn observe_from(
        &self,
        first: impl FnOnce(&View),
        mut then: impl FnMut(&Change) + Send + 'static,
    ) -> Observation {
        let worker = Worker::new("gateway-drain-observer", QUEUE, move |change| then(&change));
        self.shared.observers.told.lock().push(worker.clone());
        let fed = worker.clone();
        self.listen(first, move |change| _ = fed.push(change.clone()));
        Observation { worker }
    }

    /// Has `then` called with every change, under the lock and in order, after `first` has seen the gateway as it stands.
    pub(crate) fn listen(&self, first: impl FnOnce(&View), then: impl FnMut(&Change) + Send + 'static) {
        let mut core = self.shared.core.lock();
        first(&self.view_of(&core));
        core.listeners.push(Box::new(then));
    }

    /// From here on a thread of its own wakes those who wait for the gate: a waker that blocks then blocks neither the
    /// thread that follows the files nor the one that takes the signals.
    pub(crate) fn wake_elsewhere(&self) {
        self.shared.observers.waking.get_or_init(|| Worker::new("gateway-drain-wake", usize::MAX, drop));
    }

    /// Wakes them on that thread.
    pub(crate) fn wake(&self, wakers: Wakers) {
        self.shared.observers.wake(wakers);
    }

    /// What was lost to the observers, and how often one panicked.
    pub(crate) fn observer_counts(&self) -> Counts {
        self.shared.observers.told.lock().iter().map(Worker::counts).fold(Counts::default(), |sum, counts| Counts {
            panics: sum.panics + counts.panics,
            lost: sum.lost + counts.lost,
        })
    }

    /// Has no observer told of anything more, and waits at most until `deadline` for them to hear what there is.
    pub(crate) fn end_observers(&self, deadline: Instant) {
        let observers = self.shared.observers.told.lock().clone();
        observers.iter().for_each(Worker::close);
        for observer in observers {
            observer.flush(deadline.saturating_duration_since(Instant::now()));
        }
    }
}

/// An observer that is being told. Dropping this changes nothing.
#[derive(Clone)]
pub struct Observation {
    worker: Worker<Change>,
}

impl Observation {
    /// Waits at most `timeout` until the observer has been told of everything that has happened so far; false if it hasn't.
    /// Called by the observer itself, it is false at once if there is more to come.
    pub fn flush(&self, timeout: Duration) -> bool {
        self.worker.flush(timeout)
    }

    /// Has the observer told of nothing more. It is dropped once it has heard of what has happened so far.
    pub fn end(self) {
        self.worker.close();
    }
}

impl fmt::Debug for Observation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observation").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hold::{Request, RequestId};
    use crate::sync::Event;
    use core::future::Future;
    use core::pin::pin;
    use core::task::{Context, Waker};
    use std::sync::Arc;
    use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
    use std::task::Wake;
    use std::thread::{self, ThreadId};

    /// Longer than any machine takes.
    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn an_observer_is_let_go_with_the_last_handle_on_its_controller() {
        let (owned, gone) = channel::<()>();
        let controller = Controller::new();
        controller.observe(move |_| _ = owned.send(()));
        drop(controller);
        assert_eq!(gone.recv_timeout(LONG), Err(RecvTimeoutError::Disconnected), "its thread would stay for ever");
    }

    #[test]
    fn observers_that_are_ended_have_heard_what_there_was_and_hear_nothing_more() {
        let controller = Controller::new();
        let (tell, told) = channel();
        controller.observe(move |_| _ = tell.send(()));
        controller.request(&Request::begin(RequestId::marker(), "ops")).unwrap();
        controller.end_observers(Instant::now() + LONG);
        assert_eq!(told.try_iter().count(), 2, "a hold, and the move that it caused");
        controller.request(&Request::withdraw(RequestId::marker(), "ops")).unwrap();
        assert_eq!(controller.observer_counts(), Counts { panics: 0, lost: 2 });
        assert_eq!(told.recv_timeout(LONG), Err(RecvTimeoutError::Disconnected), "it is dropped");
    }

    /// Says which thread has woken it.
    struct WokenBy(Sender<ThreadId>);

    impl Wake for WokenBy {
        fn wake(self: Arc<Self>) {
            self.0.send(thread::current().id()).unwrap();
        }
    }

    #[test]
    fn where_a_reconciler_runs_a_waker_is_woken_on_a_thread_that_nobody_waits_for() {
        let (controller, event) = (Controller::new(), Event::new());
        let (tell, woken_by) = channel();
        let waker = Waker::from(Arc::new(WokenBy(tell)));
        for elsewhere in [false, true] {
            if elsewhere {
                controller.wake_elsewhere();
            }
            let listener = pin!(event.listen());
            assert!(listener.poll(&mut Context::from_waker(&waker)).is_pending());
            controller.wake(event.notify());
            let is_another = woken_by.recv_timeout(LONG).expect("it is woken") != thread::current().id();
            assert_eq!(is_another, elsewhere);
        }
    }
}
