//! The crate's own gateways under the suite, explored by loom.

#[path = "../../../../tests/support/adapters/mod.rs"]
mod adapters;

mod the_controller {
    gateway_drain::conformance!(super::adapters::controlled::Controlled);
}

mod the_lifecycle {
    gateway_drain::conformance!(super::adapters::bare::Bare);
}
