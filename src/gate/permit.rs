//! Permits: one admitted piece of work, counted for exactly as long as the value lives.

use super::wait::poll_event;
use super::word::Unit;
use super::{Core, Gate, Reading};
use crate::sync::EventListener;
use core::fmt;
use core::future::Future;
use core::marker::PhantomData;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::borrow::Cow;

/// One admitted piece of work, for the scope that borrows the gate.
///
/// It is counted from [`Gate::admit`] until it is dropped: on return, on panic and on cancellation alike (G6). It can't
/// be cloned. Work that the turn itself starts shares the turn's permit, in an [`Arc`](std::sync::Arc) of the
/// [owned form](Self::into_owned), and adds nothing to the count: a parent never waits for a child that the closed gate
/// keeps out.
#[must_use = "the work counts as finished as soon as its permit is dropped"]
pub struct Permit<'g> {
    core: &'static Core,
    unit: Unit,
    gate: PhantomData<&'g Gate>,
}

/// One admitted piece of work, for a task that outlives the caller's borrow of the gate.
///
/// It costs what a borrowed one does: it counts the work and no owners. Where a peer's token keeps what it belongs to
/// alive by a count of its own, as an `Arc` does, each task pays twice, on the same cache line. The price is that a permit which
/// outlives every handle of its gate leaves some two hundred bytes behind, and the table of its gate's [names](Self::labelled).
#[must_use = "the work counts as finished as soon as its permit is dropped"]
pub struct OwnedPermit {
    core: &'static Core,
    unit: Unit,
}

/// A permit that says what it is for, so that whoever waits can be told what is waited for.
///
/// Only those who label pay for it: a lock and a slot in a table, at the start and at the end.
#[must_use = "the work counts as finished as soon as its permit is dropped"]
pub struct LabelledPermit {
    permit: OwnedPermit,
    place: usize,
}

impl Permit<'_> {
    #[inline]
    pub(super) fn new(core: &'static Core, unit: Unit) -> Self {
        Self { core, unit, gate: PhantomData }
    }

    /// The same permit in a form that a spawned task can own. The count doesn't change.
    #[inline]
    pub fn into_owned(self) -> OwnedPermit {
        let owned = OwnedPermit { core: self.core, unit: self.unit };
        core::mem::forget(self);
        owned
    }

    /// Whether this work has been asked to give up: a shutdown's deadline has passed. An external drain never asks.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        self.core.reading().interrupted
    }

    /// Completes when this work is asked to give up, at once if it has been already.
    pub fn interrupted(&self) -> Interrupted<'_> {
        Interrupted::new(self.core)
    }
}

impl OwnedPermit {
    /// Names the work in the table that [`Gate::active_work`] reads. `kind` says what sort of work it is ("turn",
    /// "cron"), `label` which one.
    #[inline]
    pub fn labelled(self, kind: impl Into<Cow<'static, str>>, label: impl Into<Cow<'static, str>>) -> LabelledPermit {
        let place = self.core.labels.claim(kind.into(), label.into());
        LabelledPermit { permit: self, place }
    }

    /// As [`Permit::is_interrupted`].
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        self.core.reading().interrupted
    }

    /// As [`Permit::interrupted`]: for the task that has the permit, beside the work.
    ///
    /// ```
    /// use gateway_drain::OwnedPermit;
    ///
    /// async fn turn(permit: OwnedPermit) -> Option<String> {
    ///     tokio::select! {
    ///         answer = work() => Some(answer),
    ///         () = permit.interrupted() => None, // a shutdown's deadline has passed
    ///     }
    /// }
    /// # async fn work() -> String { String::new() }
    /// # let controller = gateway_drain::Controller::new();
    /// # let permit = controller.gate().admit().unwrap().into_owned();
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    /// # assert!(runtime.block_on(turn(permit)).is_some());
    /// ```
    ///
    /// A task of its own that only listens, with the permit in an [`Arc`](std::sync::Arc), counts as the work: end it when
    /// the work ends, or nothing is ever drained.
    pub fn interrupted(&self) -> Interrupted<'_> {
        Interrupted::new(self.core)
    }
}

impl core::ops::Deref for LabelledPermit {
    type Target = OwnedPermit;

    fn deref(&self) -> &OwnedPermit {
        &self.permit
    }
}

impl Drop for Permit<'_> {
    #[inline]
    fn drop(&mut self) {
        self.core.leave(self.unit);
    }
}

impl Drop for OwnedPermit {
    #[inline]
    fn drop(&mut self) {
        self.core.leave(self.unit);
    }
}

impl Drop for LabelledPermit {
    #[inline]
    fn drop(&mut self) {
        // Runs before the permit's own drop: the name leaves the table before the work leaves the count.
        self.permit.core.labels.give_back(self.place);
    }
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.unit == Unit::TURN { "Permit(turn)" } else { "Permit(internal)" })
    }
}

impl fmt::Debug for OwnedPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.unit == Unit::TURN { "OwnedPermit(turn)" } else { "OwnedPermit(internal)" })
    }
}

impl fmt::Debug for LabelledPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LabelledPermit").field(&self.permit).finish()
    }
}

/// Future of [`Permit::interrupted`]. Dropping it loses nothing.
#[must_use = "futures do nothing unless awaited"]
pub struct Interrupted<'p> {
    /// Of the permit that is borrowed: as long as that lives, this is its gate's and no other's.
    core: &'p Core,
    listener: Option<EventListener>,
}

impl<'p> Interrupted<'p> {
    fn new(core: &'p Core) -> Self {
        Self { core, listener: None }
    }
}

impl Future for Interrupted<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { core, listener } = self.get_mut();
        let interrupted = |reading: Reading| reading.interrupted.then_some(());
        poll_event(&core.interrupt, listener, cx, || interrupted(core.reading()))
    }
}

impl fmt::Debug for Interrupted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interrupted").finish_non_exhaustive()
    }
}
