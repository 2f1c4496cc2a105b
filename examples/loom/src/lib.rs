//! An application that relies on the gate, written so that loom can explore it: [`Store`] keeps two halves that belong
//! together, with no lock on either, and moves them only while the gate is drained.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p gateway-drain-example-loom --features loom` explores `tests/explored.rs`. With
//! both the flag and the feature, gateway-drain itself runs on loom's primitives, so that an interleaving of the
//! application with the inside of the gate is explored like any other.

#![forbid(unsafe_code)]

use gateway_drain::lifecycle::{ExternalDraining, Lifecycle, Running};
use gateway_drain::{Gate, Refusal, WaitError};

#[cfg(all(loom, feature = "loom"))]
use loom::sync::atomic::{AtomicU64, Ordering};
#[cfg(not(all(loom, feature = "loom")))]
use std::sync::atomic::{AtomicU64, Ordering};

/// Two halves that every turn has to see together.
#[derive(Debug)]
pub struct Store {
    gate: Gate,
    halves: [AtomicU64; 2],
}

impl Store {
    /// A store that `gate` lets turns into.
    #[must_use]
    pub fn new(gate: Gate) -> Self {
        Self { gate, halves: [AtomicU64::new(0), AtomicU64::new(0)] }
    }

    /// One turn: reads both halves.
    ///
    /// # Errors
    /// As [`Gate::admit`].
    pub fn read(&self) -> Result<[u64; 2], Refusal> {
        let _turn = self.gate.admit()?;
        // Relaxed: it is the gate that orders what a turn reads (G5).
        Ok(self.halves.each_ref().map(|half| half.load(Ordering::Relaxed)))
    }

    /// Moves both halves, behind a gate that is closed and drained.
    ///
    /// # Errors
    /// As [`Gate::drained`].
    pub fn compact(&self, running: Lifecycle<Running>, to: u64) -> Result<Lifecycle<Running>, WaitError> {
        let draining = running.begin_drain();
        self.gate.drained(self.gate.reading().generation).wait()?;
        Ok(self.move_both(draining, to))
    }

    /// What goes wrong without waiting: a turn that is still in flight sees one half moved.
    #[doc(hidden)]
    pub fn compact_in_haste(&self, running: Lifecycle<Running>, to: u64) -> Lifecycle<Running> {
        self.move_both(running.begin_drain(), to)
    }

    fn move_both(&self, draining: Lifecycle<ExternalDraining>, to: u64) -> Lifecycle<Running> {
        for half in &self.halves {
            half.store(to, Ordering::Relaxed);
        }
        draining.end_drain()
    }
}
