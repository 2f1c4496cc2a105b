//! The crate's own gateways under its own suite: the controller with all it can do, the whole with its files, and the lifecycle by
//! itself. What each skips is looked at in `tests/it/conformance.rs`.

#![cfg(feature = "conformance")]

use crate::support::adapters::bare::Bare;
use crate::support::adapters::controlled::Controlled;
use crate::support::adapters::reconciled::Reconciled;

mod the_controller {
    gateway_drain::conformance!(super::Controlled);
}

mod the_whole_with_its_files {
    gateway_drain::conformance!(super::Reconciled);
}

mod the_lifecycle {
    gateway_drain::conformance!(super::Bare);
}
