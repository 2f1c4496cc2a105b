// The README's first program needs these features; its text is the documentation's first page, on docs.rs with all of them.
#![cfg_attr(all(feature = "axum", feature = "tower", feature = "signals"), doc = include_str!("../README.md"))]
#![cfg_attr(not(all(feature = "axum", feature = "tower", feature = "signals")), doc = "See the README.")]
// The packages that compile this source for a checker have no use for its own tests: outside of a model they would wait for ever.
#![cfg_attr(any(loom, shuttle), cfg(not(any(test, doctest))))]
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![warn(clippy::pedantic)]
#![allow(clippy::module_name_repetitions, clippy::must_use_candidate)]
#![cfg_attr(docsrs, feature(doc_cfg))]

// In this order they may know each other: a module relies only on modules above it (`tests/it/tidy.rs`).

pub mod state;

pub mod properties;

pub mod steps;

mod clock;

mod environment;

mod sync;

mod worker;

pub mod gate;

pub mod hold;

pub mod lifecycle;

pub mod control;

pub mod controller;

pub mod status;

pub mod trace;

pub mod reconciler;

#[cfg(any(feature = "signals", feature = "cli"))]
mod signal_kinds;

#[cfg(feature = "signals")]
#[cfg_attr(docsrs, doc(cfg(feature = "signals")))]
pub mod signals;

#[cfg(feature = "metrics")]
#[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
pub mod metrics;

#[cfg(feature = "tracing")]
#[cfg_attr(docsrs, doc(cfg(feature = "tracing")))]
pub mod events;

#[cfg(any(feature = "axum", feature = "tower"))]
mod refusal;

#[cfg(any(feature = "axum", feature = "client"))]
mod wire;

#[cfg(feature = "axum")]
#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
pub mod http;

#[cfg(feature = "tower")]
#[cfg_attr(docsrs, doc(cfg(feature = "tower")))]
pub mod layer;

#[cfg(feature = "client")]
#[cfg_attr(docsrs, doc(cfg(feature = "client")))]
pub mod client;

#[cfg(feature = "fleet")]
#[cfg_attr(docsrs, doc(cfg(feature = "fleet")))]
pub mod fleet;

#[cfg(any(feature = "conformance", feature = "probe", feature = "trace-check"))]
mod judge;

#[cfg(feature = "cli")]
#[cfg_attr(docsrs, doc(cfg(feature = "cli")))]
pub mod cli;

#[cfg(feature = "conformance")]
#[cfg_attr(docsrs, doc(cfg(feature = "conformance")))]
pub use judge::conformance;

#[cfg(feature = "probe")]
#[cfg_attr(docsrs, doc(cfg(feature = "probe")))]
pub use judge::probe;

pub use clock::Clock;
pub use control::{Channel, Home};
pub use controller::Controller;
pub use gate::{Gate, LabelledPermit, OwnedPermit, Permit, Refusal, WaitError};
pub use hold::{Hold, HoldSet, Request, RequestId};
pub use lifecycle::{AnyLifecycle, Drained, ExternalDraining, Lifecycle, Running, ShutdownDraining, Stopped};
pub use reconciler::Reconciler;
pub use state::{DrainState, Event};
pub use status::Snapshot;
