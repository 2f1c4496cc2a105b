//! The crate's own gateways under its own suite, beside the controller (`tests/it/conformance.rs`): the whole with its files, and
//! the lifecycle by itself.

#![cfg(feature = "conformance")]

use crate::support::adapters::bare::Bare;
use crate::support::adapters::reconciled::Reconciled;

mod the_whole_with_its_files {
    gateway_drain::conformance!(super::Reconciled);
}

mod the_lifecycle {
    gateway_drain::conformance!(super::Bare);
}
