//! The conformance suite under loom: this crate's own gateways, and ones that only loom finds broken.

mod broken;
mod exchange;
mod own;
