//! What one can wait for at a gate, as the parameter of [`Wait`](super::Wait). The methods of [`Gate`] and of
//! the permits make these waits; nothing here needs to be named but to store one, and then by its alias.

use super::wait::{WaitError, outcome};
use super::{Gate, Generation, OwnedPermit, Refusal};
use crate::state::DrainState;
use core::fmt;

mod sealed {
    pub trait Sealed {}
}

/// Something to wait for. No other crate can add to it.
pub trait Awaited: sealed::Sealed + fmt::Debug + Unpin {
    /// What the wait gives.
    type Output;
    /// What a wait with a deadline gives.
    type InTime;

    /// Whether it comes with the interruption of the work in flight, and not with a move or with the last permit.
    #[doc(hidden)]
    const BY_INTERRUPTION: bool = false;
    #[doc(hidden)]
    fn look(&self, gate: &Gate) -> Option<Self::Output>;
    #[doc(hidden)]
    fn in_time(found: Self::Output) -> Self::InTime;
    /// The deadline has passed: a last look, and what it gives if even that doesn't find it.
    #[doc(hidden)]
    fn too_late(&self, gate: &Gate) -> Self::InTime;
}

/// That the drain of one generation is drained.
#[derive(Debug)]
pub struct Drained(pub(super) Generation);

/// To be admitted.
#[derive(Debug)]
pub struct Admission(pub(super) ());

/// That the gate is open.
#[derive(Debug)]
pub struct Open(pub(super) ());

/// That the gate is closed.
#[derive(Debug)]
pub struct Closed(pub(super) ());

/// That the work in flight is asked to give up.
#[derive(Debug)]
pub struct Interruption(pub(super) ());

impl sealed::Sealed for Drained {}
impl sealed::Sealed for Admission {}
impl sealed::Sealed for Open {}
impl sealed::Sealed for Closed {}
impl sealed::Sealed for Interruption {}

impl Awaited for Drained {
    type Output = Result<(), WaitError>;
    type InTime = Self::Output;

    fn look(&self, gate: &Gate) -> Option<Self::Output> {
        outcome(&gate.reading(), self.0)
    }

    fn in_time(found: Self::Output) -> Self::InTime {
        found
    }

    fn too_late(&self, gate: &Gate) -> Self::InTime {
        let reading = gate.reading();
        outcome(&reading, self.0)
            .unwrap_or(Err(WaitError::DeadlinePassed { in_flight: reading.in_flight, internal: reading.internal }))
    }
}

impl Awaited for Admission {
    type Output = Result<OwnedPermit, Refusal>;
    type InTime = Self::Output;

    fn look(&self, gate: &Gate) -> Option<Self::Output> {
        Some(gate.admit_owned()).filter(|answer| !matches!(answer, Err(Refusal::Draining)))
    }

    fn in_time(found: Self::Output) -> Self::InTime {
        found
    }

    fn too_late(&self, gate: &Gate) -> Self::InTime {
        gate.admit_owned()
    }
}

impl Awaited for Open {
    type Output = Result<(), Refusal>;
    type InTime = Self::Output;

    fn look(&self, gate: &Gate) -> Option<Self::Output> {
        match Refusal::of(gate.reading().state) {
            None => Some(Ok(())),
            Some(refusal) => refusal.is_final().then_some(Err(refusal)),
        }
    }

    fn in_time(found: Self::Output) -> Self::InTime {
        found
    }

    fn too_late(&self, gate: &Gate) -> Self::InTime {
        Refusal::of(gate.reading().state).map_or(Ok(()), Err)
    }
}

impl Awaited for Closed {
    type Output = Refusal;
    type InTime = Option<Refusal>;

    fn look(&self, gate: &Gate) -> Option<Self::Output> {
        Refusal::of(gate.reading().state)
    }

    fn in_time(found: Self::Output) -> Self::InTime {
        Some(found)
    }

    fn too_late(&self, gate: &Gate) -> Self::InTime {
        self.look(gate)
    }
}

impl Awaited for Interruption {
    type Output = ();
    type InTime = bool;

    const BY_INTERRUPTION: bool = true;

    fn look(&self, gate: &Gate) -> Option<Self::Output> {
        let reading = gate.reading();
        (reading.interrupted || reading.state == DrainState::Stopped).then_some(())
    }

    fn in_time((): Self::Output) -> Self::InTime {
        true
    }

    fn too_late(&self, gate: &Gate) -> Self::InTime {
        self.look(gate).is_some()
    }
}
