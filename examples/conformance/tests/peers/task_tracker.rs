//! [`TaskTracker`]: closed by `close`, opened again by `reopen`; a token is a piece of work. It has no shutdown of its own.
//!
//! Its documentation says that `close` keeps nothing out, and that a wait completes whenever the tracker is closed and
//! empty, whichever close that was.

use gateway_drain::DrainState;
use gateway_drain::conformance::{Ability, Gateway, Holder, Snapshot, Waited, Waiter};
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// A tracker whose tokens stand for the work.
pub struct Tracker(TaskTracker);

impl Gateway for Tracker {
    type Permit = TaskTrackerToken;
    type Guard = ();

    const ABILITIES: &'static [Ability] = &[Ability::Drain, Ability::Count, Ability::Wait];

    fn fresh() -> (Self, ()) {
        (Self(TaskTracker::new()), ())
    }

    fn admit(&self) -> Option<TaskTrackerToken> {
        Some(self.0.token())
    }

    fn snapshot(&self) -> Snapshot {
        let in_flight = self.0.len() as u64;
        let closed = self.0.is_closed();
        let state = if closed { DrainState::ExternalDraining } else { DrainState::Running };
        Snapshot { state, in_flight, drained: closed && in_flight == 0, abandoned: 0 }
    }

    fn begin(&self, _: Holder) {
        self.0.close();
    }

    fn end(&self, _: Holder) {
        self.0.reopen();
    }

    fn shut_down(&self) {}

    fn stop(&self) {}

    fn waiter(&self) -> Waiter<'_> {
        let wait = self.0.wait();
        Box::new(|limit: Duration| {
            let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime for one wait");
            match runtime.block_on(async { timeout(limit, wait).await }) {
                Ok(()) => Waited::Drained,
                Err(_) => Waited::TimedOut,
            }
        })
    }
}
