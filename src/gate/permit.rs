//! Permits: one admitted piece of work, counted for exactly as long as the value lives.

use super::wait::poll_event;
use super::word::Unit;
use super::{Gate, Reading};
use crate::sync::EventListener;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::borrow::Cow;

/// One admitted piece of work, for the scope that borrows the gate.
///
/// It is counted from [`Gate::admit`] until it is dropped: on return, on panic and on cancellation alike (G6). It can't
/// be cloned. Work that the turn itself starts shares the turn's permit, in an [`Arc`](std::sync::Arc) of the
/// [owned form](Self::into_owned), and adds nothing to the count: a parent never waits for a child that the closed gate
/// keeps out.
///
/// A gate that lives as long as the process needs no owned form: its permits go into any task, and cost half as much.
///
/// ```
/// use gateway_drain::{Controller, Gate, Permit};
/// use std::sync::OnceLock;
///
/// static GATE: OnceLock<Gate> = OnceLock::new();
///
/// let controller = Controller::new();
/// let gate = GATE.get_or_init(|| controller.gate().clone());
/// let permit: Permit<'static> = gate.admit()?;
/// std::thread::spawn(move || drop(permit)).join().expect("the turn ends");
/// assert_eq!(gate.reading().in_flight, 0);
/// # Ok::<(), gateway_drain::Refusal>(())
/// ```
#[must_use = "the work counts as finished as soon as its permit is dropped"]
pub struct Permit<'g> {
    gate: &'g Gate,
    unit: Unit,
}

/// One admitted piece of work, for a task that outlives the caller's borrow of the gate.
#[must_use = "the work counts as finished as soon as its permit is dropped"]
pub struct OwnedPermit {
    gate: Gate,
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

impl<'g> Permit<'g> {
    #[inline]
    pub(super) fn new(gate: &'g Gate, unit: Unit) -> Self {
        Self { gate, unit }
    }

    /// The same permit in a form that a spawned task can own. The count doesn't change.
    #[inline]
    pub fn into_owned(self) -> OwnedPermit {
        let owned = OwnedPermit { gate: self.gate.clone(), unit: self.unit };
        core::mem::forget(self);
        owned
    }

    /// Whether this work has been asked to give up: a shutdown's deadline has passed. An external drain never asks.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        self.gate.reading().interrupted
    }

    /// Completes when this work is asked to give up, at once if it has been already.
    pub fn interrupted(&self) -> Interrupted {
        Interrupted::new(self.gate)
    }
}

impl OwnedPermit {
    /// Names the work in the table that [`Gate::active_work`] reads. `kind` says what sort of work it is ("turn",
    /// "cron"), `label` which one.
    pub fn labelled(self, kind: impl Into<Cow<'static, str>>, label: impl Into<Cow<'static, str>>) -> LabelledPermit {
        let place = self.gate.core.labels.claim(kind.into(), label.into());
        LabelledPermit { permit: self, place }
    }

    /// As [`Permit::is_interrupted`].
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        self.gate.reading().interrupted
    }

    /// As [`Permit::interrupted`].
    pub fn interrupted(&self) -> Interrupted {
        Interrupted::new(&self.gate)
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
        self.gate.core.leave(self.unit);
    }
}

impl Drop for OwnedPermit {
    #[inline]
    fn drop(&mut self) {
        self.gate.core.leave(self.unit);
    }
}

impl Drop for LabelledPermit {
    fn drop(&mut self) {
        // Runs before the permit's own drop: the name leaves the table before the work leaves the count.
        self.permit.gate.core.labels.give_back(self.place);
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

/// Future of [`Permit::interrupted`]. It borrows nothing, and dropping it loses nothing.
#[must_use = "futures do nothing unless awaited"]
pub struct Interrupted {
    gate: Gate,
    listener: Option<EventListener>,
}

impl Interrupted {
    fn new(gate: &Gate) -> Self {
        Self { gate: gate.clone(), listener: None }
    }
}

impl Future for Interrupted {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { gate, listener } = self.get_mut();
        let interrupted = |reading: Reading| reading.interrupted.then_some(());
        poll_event(&gate.core.interrupt, listener, cx, || interrupted(gate.reading()))
    }
}

impl fmt::Debug for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interrupted").finish_non_exhaustive()
    }
}
