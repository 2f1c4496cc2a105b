//! What the suite judges of the crate's own gateways, and what it skips. It judges them in `tests/external/own_gateways.rs`, for a
//! minute of stress is too much for a plain `cargo test`.

#![cfg(feature = "conformance")]

use crate::support::adapters::controlled::Controlled;
use crate::support::adapters::reconciled::Reconciled;
use gateway_drain::conformance::Gateway;
use gateway_drain::properties::{PROPERTIES, PropertyId};
use std::fmt::Write;

#[test]
fn the_controller_skips_nothing() {
    let abilities = <Controlled as Gateway>::ABILITIES.len();
    assert_eq!(abilities, 10, "every ability that the suite knows");
    assert!(PROPERTIES.iter().all(|property| Controlled::skip(property.id).is_none()));
}

#[test]
fn the_whole_with_its_files_skips_the_wall_clock_alone() {
    let skipped = PROPERTIES.iter().filter(|property| Reconciled::skip(property.id).is_some());
    assert_eq!(skipped.map(|property| property.id).collect::<Vec<_>>(), [PropertyId::H5]);
    assert_eq!(<Reconciled as Gateway>::ABILITIES.len(), 9, "every ability but the wall clock");
}

#[test]
fn the_document_lists_the_properties_of_the_suite_as_the_crate_does() {
    let mut table = String::from("| | Property |\n|---|---|\n");
    for property in PROPERTIES.iter().filter(|property| property.shows_in_calls()) {
        writeln!(table, "| {} | {} |", property.id, property.sentence).unwrap();
    }
    let document = include_str!("../../docs/conformance.md");
    assert!(document.contains(&table), "docs/conformance.md is to contain\n{table}");
}
