//! The crate's own gateways under the suite, explored by loom.

#![cfg(loom)]

#[path = "../../../tests/own_gateways/mod.rs"]
mod own_gateways;

mod the_controller {
    gateway_drain::conformance!(super::own_gateways::controlled::Controlled);
}

mod the_lifecycle {
    gateway_drain::conformance!(super::own_gateways::bare::Bare);
}
