//! What needs more than a Rust toolchain (root and `strace`, HAProxy, etcd, Chromium, the reference), or minutes of processor time.
//!
//! Not among the tests that run by default: `cargo xtask ci` has a step for each module, which installs what it needs.

#[path = "../support/mod.rs"]
mod support;

mod broken_gateways; // Gateways that are broken on purpose, each by one flaw
mod browser; // The page in a real browser
#[cfg(feature = "fleet")]
mod fleet; // A fleet's budget in a real etcd
mod foreign_ground; // Where the gateway meets another user, another PID namespace, a forked child, a file system that doesn't lock or sync, and a process or a disk with nothing left
mod judged_gateways; // Gateways of many makes under the suite: broken ones are caught, correct ones are not accused
mod own_gateways; // The crate's own gateways under its own suite
mod pid_namespace; // The command line in a PID namespace of its own
mod reference; // The reference itself beside a gateway of this crate, on one home
#[cfg(feature = "fleet")]
mod rolling_restart; // `examples/deploy/rolling-restart.sh` on three example gateways behind HAProxy, under load
