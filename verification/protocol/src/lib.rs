//! The protocol of gateway-drain, explored state by state over its production functions.
//!
//! Nothing here decides what a hold, a file or the gate does: [`system`] lets a gateway, its controllers, an operator, a
//! dashboard, the machine and time act in every order, and asks the crate itself what comes of each step. [`explorer`]
//! visits every state that can be reached, [`invariants`] says what must hold in each of them, and [`liveness`] what must
//! come about. [`checks`] is the table of what was checked, within which bounds, and with which counts.
//!
//! [`reference`] is the one model that is written beside the crate and asks it nothing: long random sequences on a real
//! gateway are compared with it.
#![forbid(unsafe_code)]
#![warn(clippy::pedantic)]
#![allow(clippy::missing_panics_doc, clippy::must_use_candidate, clippy::module_name_repetitions)]

pub mod explorer;

pub mod gate_table;
pub mod production;

pub mod counterexample;
pub mod invariants;
pub mod liveness;
pub mod refines;
pub mod system;
#[cfg(test)]
mod two_reads;

pub mod disk;

pub mod reference;

pub mod fleet;

pub mod checks;
