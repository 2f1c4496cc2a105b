//! What the tests share.

#![allow(dead_code, reason = "each program uses its own part")]

pub mod acceptor;
#[cfg(feature = "conformance")]
pub mod adapters;
#[cfg(feature = "conformance")]
pub mod broken_gateway;
#[cfg(feature = "fleet")]
pub mod etcd;
#[cfg(feature = "fleet")]
pub mod etcd_in_memory;
pub mod example_bins;
pub mod generated;
#[cfg(feature = "conformance")]
pub mod judged;
#[cfg(feature = "axum")]
pub mod load;
pub mod lying_proxy;
#[cfg(feature = "cli")]
pub mod process;
pub mod reference_gateway;
pub mod shared;
#[cfg(feature = "cli")]
pub mod supervisor;
#[cfg(feature = "cli")]
pub mod systemd_unit;
#[cfg(feature = "cli")]
pub mod tool;
#[cfg(feature = "trace-check")]
pub mod trace_corpus;
pub mod vectors;

pub use shared::*;
