//! The crate's own gateways under its own suite: the whole with its files, the controller with all it can do, and the
//! lifecycle by itself.

#![cfg(feature = "conformance")]

use crate::support::adapters::bare::Bare;
use crate::support::adapters::controlled::Controlled;
use crate::support::adapters::reconciled::Reconciled;
use gateway_drain::conformance::Gateway;
use gateway_drain::properties::{PROPERTIES, PropertyId};
use std::fmt::Write;

mod the_whole_with_its_files {
    gateway_drain::conformance!(super::Reconciled);
}

mod the_controller {
    gateway_drain::conformance!(super::Controlled);
}

mod the_lifecycle {
    gateway_drain::conformance!(super::Bare);
}

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
    for (id, _) in gateway_drain::conformance::report::<Bare>().verdicts {
        writeln!(table, "| {id} | {} |", id.property().sentence).unwrap();
    }
    let document = include_str!("../../docs/conformance.md");
    assert!(document.contains(&table), "docs/conformance.md is to contain\n{table}");
}
