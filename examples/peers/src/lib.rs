//! Adapters that put two neighbours of gateway-drain under its conformance suite; `tests/peers.rs` has the verdicts.

mod drain;
mod task_tracker;

pub use drain::Draining;
pub use task_tracker::Tracker;
