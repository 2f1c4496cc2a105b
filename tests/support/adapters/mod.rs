//! The crate's own gateways as the conformance suite sees them, from the lifecycle alone to the whole with its files.
//!
//! The test of the suite judges them on real threads, and the package that builds the crate for loom judges the first two
//! under loom: what they add themselves takes its locks from the same place as the crate does.

pub mod bare;
pub mod controlled;
#[cfg(not(loom))]
pub mod reconciled;

use gateway_drain::WaitError;
use gateway_drain::conformance::{Snapshot, Waited, Waiter};
use gateway_drain::gate::{Gate, Reading};

#[cfg(loom)]
use loom::sync::Mutex;
#[cfg(not(loom))]
use std::sync::Mutex;

fn told(reading: Reading, abandoned: u64) -> Snapshot {
    // What a forced stop abandoned is still counted by the gate, and nobody waits for it any more.
    let in_flight = if reading.abandoned { 0 } else { reading.total() };
    Snapshot { state: reading.state, in_flight, drained: reading.drained, abandoned }
}

fn waiter(gate: &Gate) -> Waiter<'_> {
    let wait = gate.drained(gate.reading().generation);
    Box::new(move |limit| match wait.wait_timeout(limit) {
        Ok(()) => Waited::Drained,
        Err(WaitError::DeadlinePassed { .. }) => Waited::TimedOut,
        Err(_) => Waited::Over,
    })
}
