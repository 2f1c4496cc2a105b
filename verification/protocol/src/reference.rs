//! The reference model, and the real gateway that is driven by the same files, time, work and faults.
//!
//! | Module | What it is |
//! |---|---|
//! | [`model`] | what a gateway has to be like after each event; pure, written without a look at the crate's own rules |
//! | [`event`] | the events, and how likely each is |
//! | [`gateway`] | the real thing: a [`Reconciler`](gateway_drain::Reconciler) in a folder of its own, and the same events done to it |
//! | [`fault`] | faults of a writer: killed at a step, or failing at one |
//!
//! `tests/channel.rs` lets one follow the other. What this does not show: steps of the machine's wall clock (a request's
//! own timestamp is set forward and back instead), and threads that race (events come one after the other).

pub mod event;
pub mod fault;
pub mod gateway;
pub mod model;
