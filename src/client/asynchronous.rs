//! The same steps for async code. Each runs on a thread of its own and wakes the task that awaits it, so no particular runtime
//! is wanted: a drain is rare, and a thread for each is little.
//!
//! Dropping a future ends what it does, and dropping a guard gives up the hold. That is handed to a thread, and waited
//! for as long as it takes to write a file, so that an executor is held up for an instant only.

use super::held::{Committed, Held};
use super::{Done, Drain, Failure, Interrupt, SeenDrained};
use crate::gate::poll_event;
use crate::hold::{Nonce, RequestId};
use crate::sync::{Arc, Event, EventListener, Mutex};
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// How long the drop of an async guard holds its executor up, at most.
const DROP_PAUSE: Duration = Duration::from_secs(1);

impl Drain {
    /// As [`begin`](Self::begin).
    ///
    /// ```no_run
    /// use gateway_drain::{Home, client::{Drain, Failure, Gateway}};
    ///
    /// # async fn upgrade() -> Result<(), Failure> {
    /// let held = Drain::of(Gateway::at(Home::at("/var/lib/gateway")), "deploy-bot").begin_async().await?;
    /// let seen = held.wait().await?;
    /// let committed = held.commit(seen).await?;
    /// // Act here.
    /// committed.withdraw().await
    /// # }
    /// ```
    pub fn begin_async(&self) -> StepFuture<AsyncHeld> {
        let (drain, interrupt) = (self.clone(), self.interrupt.child());
        StepFuture::start(interrupt.clone(), move || {
            Ok(AsyncHeld { held: OffThreadGuard(Some(Held::begin_or_give_up(drain, &interrupt)?)) })
        })
    }

    /// As [`run`](Self::run). The hold is given up also when this future is dropped.
    ///
    /// # Errors
    /// A [`Failure`] before the act; the act was not run then.
    pub async fn run_async<T, F: Future<Output = T>>(&self, act: impl FnOnce() -> F) -> Result<Done<T>, Failure> {
        self.token_store()?.check()?;
        let held = self.begin_async().await?;
        let seen = held.wait().await?;
        let committed = held.commit(seen).await?;
        let value = act().await;
        Ok(Done { value, withdrawn: committed.withdraw().await })
    }
}

/// [`Held`], for async code.
#[derive(Debug)]
#[must_use = "dropping it gives up the hold"]
pub struct AsyncHeld {
    held: OffThreadGuard<Held>,
}

/// [`Committed`], for async code.
#[must_use = "dropping it gives up the hold"]
pub struct AsyncCommitted {
    committed: OffThreadGuard<Committed>,
    id: RequestId,
    token: Nonce,
}

impl fmt::Debug for AsyncCommitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncCommitted").field("committed", &self.committed).finish_non_exhaustive()
    }
}

impl AsyncHeld {
    /// As [`Held::wait`]. Dropping the future ends the wait and keeps the hold.
    pub fn wait(&self) -> StepFuture<SeenDrained> {
        let session = self.held.0.as_ref().map(Held::session);
        let interrupt = session.as_ref().map(|session| session.interrupt()).unwrap_or_default();
        StepFuture::start(interrupt.clone(), move || session.map_or(Err(moved()), |session| session.wait(&interrupt)))
    }

    /// As [`Held::commit`].
    pub fn commit(mut self, seen: SeenDrained) -> StepFuture<AsyncCommitted> {
        let held = self.held.0.take();
        StepFuture::start(Interrupt::new(), move || {
            let committed = held.ok_or_else(moved)?.commit(&seen)?;
            let (id, token) = (committed.request_id().clone(), committed.token().clone());
            Ok(AsyncCommitted { committed: OffThreadGuard(Some(committed)), id, token })
        })
    }

    /// As [`Held::withdraw`].
    pub fn withdraw(mut self) -> StepFuture<()> {
        let held = self.held.0.take();
        StepFuture::start(Interrupt::new(), move || held.ok_or_else(moved)?.withdraw())
    }
}

impl AsyncCommitted {
    /// The hold's name.
    #[must_use]
    pub fn request_id(&self) -> &RequestId {
        &self.id
    }

    /// What its withdrawal has to bear.
    #[must_use]
    pub fn token(&self) -> &Nonce {
        &self.token
    }

    /// As [`Committed::withdraw`].
    pub fn withdraw(mut self) -> StepFuture<()> {
        let committed = self.committed.0.take();
        StepFuture::start(Interrupt::new(), move || committed.ok_or_else(moved)?.withdraw())
    }
}

fn moved() -> Failure {
    Failure::Internal("the hold has been handed on".into())
}

/// A blocking guard that is dropped on a thread of its own.
#[derive(Debug)]
struct OffThreadGuard<T: Send + 'static>(Option<T>);

impl<T: Send + 'static> Drop for OffThreadGuard<T> {
    fn drop(&mut self) {
        let Some(guard) = self.0.take() else { return };
        let dropped = Arc::new(Event::new());
        let listener = dropped.listen();
        let giving_up = move || {
            drop(guard);
            drop(dropped.notify());
        };
        // Without a thread the closure, and the guard in it, is dropped here and now.
        if std::thread::Builder::new().name("gateway-drain-withdraw".into()).spawn(giving_up).is_ok() {
            listener.wait_timeout(DROP_PAUSE);
        }
    }
}

/// A step on its way: await it. Dropping it ends the step.
#[must_use = "the step is ended when this is dropped"]
pub struct StepFuture<T> {
    slot: Arc<StepResult<T>>,
    listener: Option<EventListener>,
    interrupt: Interrupt,
}

struct StepResult<T> {
    value: Mutex<Option<Result<T, Failure>>>,
    filled: Event,
}

impl<T: Send + 'static> StepFuture<T> {
    fn start(interrupt: Interrupt, work: impl FnOnce() -> Result<T, Failure> + Send + 'static) -> Self {
        let slot = Arc::new(StepResult { value: Mutex::new(None), filled: Event::new() });
        let fill = Arc::clone(&slot);
        let working = move || {
            let done = catch_unwind(AssertUnwindSafe(work));
            let done = done.unwrap_or_else(|_| Err(Failure::Internal("a step panicked".into())));
            *fill.value.lock() = Some(done);
            drop(fill.filled.notify());
        };
        if let Err(error) = std::thread::Builder::new().name("gateway-drain-client".into()).spawn(working) {
            *slot.value.lock() = Some(Err(Failure::Internal(format!("no thread for a step: {error}"))));
        }
        Self { slot, listener: None, interrupt }
    }
}

impl<T> Future for StepFuture<T> {
    type Output = Result<T, Failure>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { slot, listener, .. } = self.get_mut();
        poll_event(&slot.filled, listener, cx, || slot.value.lock().take())
    }
}

impl<T> Drop for StepFuture<T> {
    fn drop(&mut self) {
        self.interrupt.raise();
    }
}

impl<T> fmt::Debug for StepFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepFuture").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Sender, channel};
    use std::thread::{ThreadId, current};

    /// No step takes longer, on however slow a machine.
    const SOON: Duration = Duration::from_secs(20);

    /// Tells on which thread it is dropped.
    struct Told(Sender<ThreadId>);

    impl Drop for Told {
        fn drop(&mut self) {
            _ = self.0.send(current().id());
        }
    }

    #[test]
    fn a_guard_that_is_dropped_gives_up_its_hold_on_a_thread_of_its_own() {
        let (tell, told) = channel();
        drop(OffThreadGuard(Some(Told(tell))));
        assert_ne!(told.recv_timeout(SOON), Ok(current().id()), "the executor has written the withdrawal itself");
    }

    #[test]
    fn a_step_ends_once_its_future_is_dropped() {
        let interrupt = Interrupt::new();
        let ((tell, told), pauses) = (channel(), interrupt.clone());
        let step = StepFuture::start(interrupt, move || {
            _ = tell.send(pauses.pause(2 * SOON));
            Ok(())
        });
        drop(step);
        assert_eq!(told.recv_timeout(SOON), Ok(true), "it goes on although nobody awaits it");
    }
}
