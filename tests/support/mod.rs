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
pub mod eventually;
pub mod example_bins;
pub mod generated;
pub mod hostile_files;
#[cfg(feature = "axum")]
pub mod hostile_http;
pub mod hostile_users;
pub mod http_client;
#[cfg(feature = "axum")]
pub mod http_server;
#[cfg(feature = "conformance")]
pub mod judged;
#[cfg(feature = "axum")]
pub mod load;
pub mod local_gateway;
pub mod lying_proxy;
pub mod own_process;
#[cfg(feature = "cli")]
pub mod process;
pub mod reference_gateway;
#[cfg(feature = "cli")]
pub mod supervisor;
#[cfg(feature = "cli")]
pub mod systemd_unit;
#[cfg(feature = "cli")]
pub mod tool;
#[cfg(feature = "trace-check")]
pub mod trace_corpus;
pub mod vectors;
