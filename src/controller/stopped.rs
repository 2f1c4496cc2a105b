//! Waiting for the end of a shutdown. A wait keeps the shutdown's deadline itself where no reconciler does.

use super::{Controller, Core, ShutdownReport};
use crate::gate::poll_event;
use crate::state::DrainState;
use crate::sync::{self, EventListener};
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::time::{Duration, Instant};

/// Whether the end of the gateway has yet to be published before anybody is told of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Publication {
    /// Nobody publishes, and nobody but those who wait keeps a shutdown's deadline.
    #[default]
    None,
    /// As [`None`](Self::None), and a thread keeps the deadline for those who don't block.
    Kept,
    /// The reconciler publishes it, and keeps the deadline.
    Due,
    /// The reconciler has published it, or given up.
    Done,
}

impl Controller {
    /// Waits until the gateway has stopped (L1). Await it, or block with [`WaitStopped::wait`].
    ///
    /// The shutdown keeps its deadline and ends whether or not a [`Reconciler`](crate::Reconciler) runs. If one does, the
    /// end has been published by then, unless the disk takes longer than
    /// [`Options::disk_timeout`](crate::reconciler::Options::disk_timeout).
    ///
    /// ```
    /// use gateway_drain::Controller;
    /// use std::time::Duration;
    ///
    /// let controller = Controller::new();
    /// controller.begin_shutdown(Duration::from_secs(30))?;
    /// assert!(controller.stopped().wait().finished());
    /// # Ok::<(), gateway_drain::state::Denial>(())
    /// ```
    pub fn stopped(&self) -> WaitStopped {
        WaitStopped { controller: self.clone(), listener: None }
    }

    /// Lets the deadline of a shutdown take effect. No lease runs out: its renewal may lie in what is being read.
    pub(crate) fn settle_shutdown(&self) {
        if self.state() == DrainState::ShutdownDraining {
            self.step(|_, _, _, _| ());
        }
    }

    /// From here on a wait for the stop waits for [`end_published`](Self::end_published), too.
    pub(crate) fn will_publish_the_end(&self) {
        self.shared.core.lock().publication = Publication::Due;
    }

    /// The end has been published, or nobody is to wait for that any longer.
    pub(crate) fn end_published(&self) {
        let before = std::mem::replace(&mut self.shared.core.lock().publication, Publication::Done);
        if before == Publication::Due {
            self.shared.observers.wake(self.gate().changed().notify());
        }
    }

    /// How long it is until time alone changes something about the shutdown: [`Duration::MAX`] if it never does.
    pub(crate) fn until_the_shutdown_changes(&self) -> Duration {
        let now = self.shared.settings.clock.now();
        let next = self.shared.core.lock().next_of_the_shutdown(now, self.shared.settings.interrupt_grace);
        next.map_or(Duration::MAX, |moment| moment.saturating_sub(now))
    }

    /// How the shutdown ended, once that may be told.
    fn ended(&self) -> Option<ShutdownReport> {
        let told = |core: &Core| core.report.filter(|_| core.publication != Publication::Due);
        {
            let core = self.shared.core.lock();
            if core.report.is_some() || core.shutdown_deadline.is_none() {
                return told(&core);
            }
        }
        self.step(|_, _, _, _| ());
        told(&self.shared.core.lock())
    }

    /// Has a thread keep the shutdown's deadline, unless one does: no runtime's timer is known here.
    fn keep_the_deadline(&self) {
        let mut core = self.shared.core.lock();
        let under_way = core.shutdown_deadline.is_some() && core.report.is_none();
        if sync::CHECKED || !under_way || core.publication != Publication::None {
            return;
        }
        let wait = self.stopped();
        let keeper = std::thread::Builder::new().name("gateway-drain-stop".into());
        if keeper.spawn(move || wait.wait()).is_ok() {
            core.publication = Publication::Kept;
        }
    }
}

/// The wait of [`Controller::stopped`].
#[must_use = "waits only when awaited, or by `wait`"]
pub struct WaitStopped {
    // Dropped before the handle, as in `WaitDrained`.
    listener: Option<EventListener>,
    controller: Controller,
}

impl WaitStopped {
    /// Blocks this thread until the gateway has stopped.
    pub fn wait(self) -> ShutdownReport {
        loop {
            if let Some(report) = self.look(None) {
                return report;
            }
        }
    }

    /// Blocks this thread until the gateway has stopped, or until `timeout` has passed: `None`.
    #[must_use = "it tells whether the gateway has stopped"]
    pub fn wait_timeout(self, timeout: Duration) -> Option<ShutdownReport> {
        let Some(deadline) = Instant::now().checked_add(timeout) else { return Some(self.wait()) };
        loop {
            let looked = self.look(Some(deadline));
            if looked.is_some() || deadline <= Instant::now() {
                return looked;
            }
        }
    }

    /// The same wait with a deadline: `timer` is whatever your runtime sleeps with. `None` if that is over first.
    pub fn until<T: Future>(self, timer: T) -> WaitStoppedUntil<T> {
        WaitStoppedUntil { wait: self, timer: Box::pin(timer) }
    }

    /// It listens before it looks: a stop between the two is heard.
    fn report_or_listener(&self) -> Result<ShutdownReport, EventListener> {
        let listener = self.controller.gate().changed().listen();
        self.controller.ended().ok_or(listener)
    }

    /// Looks, and unless the gateway has stopped, waits until there is reason to look again.
    fn look(&self, deadline: Option<Instant>) -> Option<ShutdownReport> {
        let listener = match self.report_or_listener() {
            Ok(report) => return Some(report),
            Err(listener) => listener,
        };
        let next = self.controller.until_the_shutdown_changes();
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let pause = left.map_or(next, |left| next.min(left));
        // A model checker knows no time: a wait with a deadline is over at once there.
        if sync::CHECKED && deadline.is_none() {
            listener.wait();
        } else {
            listener.wait_timeout(pause);
        }
        None
    }
}

impl Future for WaitStopped {
    type Output = ShutdownReport;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<ShutdownReport> {
        let Self { controller, listener } = self.get_mut();
        let polled = poll_event(controller.gate().changed(), listener, cx, || controller.ended());
        if polled.is_pending() {
            controller.keep_the_deadline();
        }
        polled
    }
}

impl fmt::Debug for WaitStopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitStopped").finish_non_exhaustive()
    }
}

/// Future of [`WaitStopped::until`].
#[must_use = "futures do nothing unless awaited"]
pub struct WaitStoppedUntil<T> {
    wait: WaitStopped,
    timer: Pin<Box<T>>,
}

impl<T: Future> Future for WaitStoppedUntil<T> {
    type Output = Option<ShutdownReport>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { wait, timer } = self.get_mut();
        if let Poll::Ready(report) = Pin::new(&mut *wait).poll(cx) {
            return Poll::Ready(Some(report));
        }
        timer.as_mut().poll(cx).map(|_| wait.controller.ended())
    }
}

impl<T> fmt::Debug for WaitStoppedUntil<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitStoppedUntil").field("wait", &self.wait).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::controller::Settings;
    use crate::hold::{Request, RequestId};
    use core::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::{Wake, Waker};

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    fn controlled() -> (Controller, Clock) {
        let clock = Clock::manual();
        (Controller::with(Settings { clock: clock.clone(), ..Settings::default() }), clock)
    }

    fn publication(controller: &Controller) -> Publication {
        controller.shared.core.lock().publication
    }

    /// Looks once, as an executor does.
    fn poll(controller: &Controller, woken: &Arc<Woken>) -> Poll<ShutdownReport> {
        pin!(controller.stopped()).poll(&mut Context::from_waker(&Waker::from(Arc::clone(woken))))
    }

    #[test]
    fn a_wait_for_the_stop_looks_again_at_the_deadline_and_at_its_end_and_never_for_a_lease() {
        let (controller, clock) = controlled();
        let turn = controller.gate().admit().unwrap();
        controller.request(&Request::begin(RequestId::marker(), "ops")).unwrap();
        assert_eq!(controller.until_the_shutdown_changes(), Duration::MAX, "no shutdown is under way");
        controller.begin_shutdown(Duration::from_secs(30)).unwrap();
        assert_eq!(controller.until_the_shutdown_changes(), Duration::from_secs(30));
        clock.advance(Duration::from_secs(30));
        assert_eq!(controller.until_the_shutdown_changes(), Duration::from_secs(5), "the work has its grace");
        drop(turn);
        controller.settle();
        assert_eq!(controller.until_the_shutdown_changes(), Duration::MAX, "it has stopped");
    }

    #[test]
    fn a_wait_that_does_not_block_has_a_thread_keep_the_deadline_only_of_a_shutdown_that_nobody_else_keeps() {
        let woken = Arc::default();
        let (idle, _) = controlled();
        assert!(poll(&idle, &woken).is_pending());
        assert_eq!(publication(&idle), Publication::None, "no shutdown is under way");

        let (published, _) = controlled();
        published.will_publish_the_end();
        let turn = published.gate().admit().unwrap();
        published.begin_shutdown(Duration::from_secs(30)).unwrap();
        assert!(poll(&published, &woken).is_pending());
        assert_eq!(publication(&published), Publication::Due, "the reconciler keeps it");
        drop(turn);

        let (alone, _) = controlled();
        let turn = alone.gate().admit().unwrap();
        alone.begin_shutdown(Duration::from_secs(30)).unwrap();
        assert!(poll(&alone, &woken).is_pending());
        assert_eq!(publication(&alone), Publication::Kept);
        // With it the thread ends.
        drop(turn);
        assert!(alone.stopped().wait().finished());
        assert!(poll(&alone, &woken).is_ready());
    }

    #[test]
    fn who_waits_for_the_stop_is_woken_when_its_end_has_been_published_and_not_told_of_it_before() {
        let (controller, _) = controlled();
        controller.will_publish_the_end();
        controller.begin_shutdown(Duration::ZERO).unwrap();
        assert_eq!(controller.state(), DrainState::Stopped);
        let woken = Arc::new(Woken::default());
        let mut wait = pin!(controller.stopped());
        let waker = Waker::from(Arc::clone(&woken));
        assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending(), "it is not published yet");
        controller.end_published();
        assert!(woken.0.load(Ordering::SeqCst), "nobody else would wake it");
        assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
    }
}
