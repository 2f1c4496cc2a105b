//! Many gateways that share a budget, explored state by state over the crate's own decisions about the semaphore.
//!
//! [`system`] has three gateways, two controllers and the engine that keeps the semaphore. Controllers are killed at any point
//! and come back, for the same gateway or for another; answers of the engine are lost, requests arrive late, the engine is
//! cut off. What a controller does with what it has read is asked of [`production`], which asks the crate. [`checks`] is the
//! table of what was checked, and [`counterexample`] writes one down in words.

pub mod production;
pub mod system;

pub mod checks;
pub mod counterexample;
