//! Permits: one admitted piece of work, counted for exactly as long as the value lives.

use super::word::Unit;
use super::{Core, Gate, Interrupted, WaitClosing};
use crate::sync::Arc;
use core::fmt;
use std::borrow::Cow;

/// One admitted piece of work, for the scope that borrows the gate.
///
/// It is counted from [`Gate::admit`] until it is dropped: on return, on panic and on cancellation alike (G6). It can't
/// be cloned. Work that the turn itself starts shares the turn's permit, in an [`Arc`](std::sync::Arc) of the
/// [owned form](Self::into_owned), and adds nothing to the count: a parent never waits for a child that the closed gate
/// keeps out.
#[must_use = "the work counts as finished as soon as its permit is dropped"]
pub struct Permit<'g> {
    core: &'g Arc<Core>,
    unit: Unit,
}

/// One admitted piece of work, for a task that outlives the caller's borrow of the gate.
///
/// It keeps what it counts in alive, by one more count than a borrowed one: it may outlive every handle on its gate.
///
/// It is what tokio's `OwnedSemaphorePermit` is for a semaphore and `TaskTrackerToken` for a tracker, and knows more: that
/// a [drain has begun](Self::draining), and that it is [asked to give up](Self::interrupted), for which a
/// `CancellationToken` would be needed beside those.
#[must_use = "the work counts as finished as soon as its permit is dropped"]
pub struct OwnedPermit {
    core: Arc<Core>,
    unit: Unit,
}

/// A permit that says what it is for, so that a waiter can be told what is waited for.
///
/// Only those who label pay for it: a lock and an entry in a table, at the start and at the end.
#[must_use = "the work counts as finished as soon as its permit is dropped"]
pub struct LabelledPermit {
    permit: OwnedPermit,
    claim: u64,
}

impl<'g> Permit<'g> {
    #[inline]
    pub(super) fn new(core: &'g Arc<Core>, unit: Unit) -> Self {
        Self { core, unit }
    }

    /// The same permit in a form that a spawned task can own. The count doesn't change.
    #[inline]
    pub fn into_owned(self) -> OwnedPermit {
        let owned = OwnedPermit { core: Arc::clone(self.core), unit: self.unit };
        core::mem::forget(self);
        owned
    }

    /// Whether this work has been asked to give up: a shutdown's deadline has passed. An external drain never asks.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        self.core.reading().interrupted
    }

    /// As [`OwnedPermit::interrupted`].
    pub fn interrupted(&self) -> Interrupted {
        Gate::of(self.core).interrupted()
    }

    /// As [`OwnedPermit::draining`].
    pub fn draining(&self) -> WaitClosing {
        Gate::of(self.core).closing()
    }
}

impl OwnedPermit {
    #[inline]
    pub(super) fn new(core: Arc<Core>, unit: Unit) -> Self {
        Self { core, unit }
    }

    /// Names the work in the table that [`Gate::active_work`] reads. `kind` says what sort of work it is ("turn",
    /// "cron"), `label` which one.
    #[inline]
    pub fn labelled(self, kind: impl Into<Cow<'static, str>>, label: impl Into<Cow<'static, str>>) -> LabelledPermit {
        let claim = self.core.labels.claim(kind.into(), label.into());
        LabelledPermit { permit: self, claim }
    }

    /// As [`Permit::is_interrupted`].
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        self.core.reading().interrupted
    }

    /// Completes when this work is asked to give up, at once if it has been already: a shutdown's deadline has passed (L4).
    /// An external drain never asks; [`draining`](Self::draining) tells of that.
    ///
    /// What it gives owns what it needs. It can be kept beside the permit in one struct, polled by hand, or handed to
    /// another task; it counts as no work. It completes as well when the gateway has stopped, so nobody waits for it for
    /// ever.
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
    pub fn interrupted(&self) -> Interrupted {
        Gate::of(&self.core).interrupted()
    }

    /// Completes when a drain or a shutdown begins, at once if one is under way, and says which.
    ///
    /// For work that never ends by itself and can be told to come back elsewhere: an idle connection, a long poll, a
    /// subscription. Nothing makes it give up, and nothing is lost if it doesn't; but until it ends, nothing is drained.
    ///
    /// It tells of the gate as it is: a drain that was begun and ended before anybody looked is not told, since there is
    /// nothing to give up for any more. To hear of the next drain, make a new one. Whether the gate is open again says
    /// [`Gate::opened`].
    ///
    /// ```
    /// use gateway_drain::{Controller, Refusal, Request, RequestId};
    ///
    /// let controller = Controller::new();
    /// let connection = controller.gate().admit_owned()?;
    /// let told = std::thread::spawn(move || {
    ///     let why = connection.draining().wait();
    ///     // ... say "1012 service restart" to the other side, then
    ///     drop(connection);
    ///     why
    /// });
    /// controller.request(&Request::begin(RequestId::new("upgrade")?, "ops"))?;
    /// assert_eq!(told.join().unwrap(), Refusal::Draining);
    /// assert!(controller.gate().reading().drained);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn draining(&self) -> WaitClosing {
        Gate::of(&self.core).closing()
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
        self.permit.core.labels.give_back(self.claim);
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
