//! How a wait is told to stop: a flag that also wakes a thread that pauses.

use crate::sync::{Arc, Event};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Tells a wait to stop. Clones share one flag; a signal handler raises it, and the wait ends with
/// [`Failure::Interrupted`](super::Failure::Interrupted).
#[derive(Clone, Debug, Default)]
pub struct Interrupt {
    own: Arc<Flag>,
    parent: Option<Arc<Flag>>,
}

#[derive(Debug, Default)]
struct Flag {
    raised: AtomicBool,
    /// Somebody has looked since.
    noticed: AtomicBool,
    changed: Event,
}

impl Interrupt {
    /// One that nobody has raised.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Raises it, for good.
    pub fn raise(&self) {
        self.own.raised.store(true, Ordering::Release);
        drop(self.own.changed.notify());
    }

    /// Ends a pause without raising it.
    pub(super) fn nudge(&self) {
        drop(self.own.changed.notify());
    }

    /// Whether it has been raised.
    #[must_use]
    pub fn is_raised(&self) -> bool {
        let raised = |flag: &Arc<Flag>| {
            let raised = flag.raised.load(Ordering::Acquire);
            if raised {
                flag.noticed.store(true, Ordering::Relaxed);
            }
            raised
        };
        raised(&self.own) || self.parent.as_ref().is_some_and(raised)
    }

    /// Whether anybody has looked since it was raised. Who hasn't is still in what it did before.
    #[cfg(feature = "cli")]
    pub(crate) fn is_noticed(&self) -> bool {
        self.own.noticed.load(Ordering::Relaxed)
    }

    /// One that is raised with this one, and also by itself. Raising this one wakes no pause of the other.
    pub(super) fn child(&self) -> Self {
        Self { own: Arc::default(), parent: Some(Arc::clone(&self.own)) }
    }

    /// Pauses until the time is over or it is raised; tells which. A nudge may end it early.
    pub(crate) fn pause(&self, time: Duration) -> bool {
        let listener = self.own.changed.listen();
        if !self.is_raised() {
            listener.wait_timeout(time);
        }
        self.is_raised()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_raised_with_its_parent_and_a_parent_not_with_its_child() {
        let parent = Interrupt::new();
        let (one, other) = (parent.child(), parent.child());
        one.raise();
        assert!(one.is_raised() && !other.is_raised() && !parent.is_raised(), "only the one that was raised");
        parent.raise();
        assert!(other.is_raised() && parent.child().is_raised(), "all of its parent's");
    }

    #[test]
    fn a_nudge_ends_a_pause_and_raises_nothing() {
        let (interrupt, time) = (Interrupt::new(), Duration::from_secs(60));
        let (raised, lasted) = std::thread::scope(|scope| {
            let paused = scope.spawn(|| {
                let began = std::time::Instant::now();
                (interrupt.pause(time), began.elapsed())
            });
            // It may not have begun yet.
            while !paused.is_finished() {
                interrupt.nudge();
                std::thread::yield_now();
            }
            paused.join().unwrap()
        });
        assert!(!raised && lasted < time, "raised: {raised}, after {lasted:?}");
    }

    #[cfg(feature = "cli")]
    #[test]
    fn an_interrupt_is_noticed_by_a_look_after_it_was_raised() {
        let interrupt = Interrupt::new();
        assert!(!interrupt.is_raised() && !interrupt.is_noticed(), "before it was raised there is nothing to notice");
        interrupt.raise();
        assert!(!interrupt.is_noticed(), "nobody has looked since");
        assert!(interrupt.is_raised() && interrupt.is_noticed());
    }
}
