//! The crate's own gateways under its own suite: the controller with all it can do, and the lifecycle by itself.

#![cfg(feature = "conformance")]

mod own_gateways;

use gateway_drain::conformance::Gateway;
use gateway_drain::properties::PROPERTIES;
use own_gateways::bare::Bare;
use own_gateways::controlled::Controlled;
use std::fmt::Write;

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
fn the_document_lists_the_properties_of_the_suite_as_the_crate_does() {
    let mut table = String::from("| | Property |\n|---|---|\n");
    for (id, _) in gateway_drain::conformance::report::<Bare>().verdicts {
        writeln!(table, "| {id} | {} |", id.property().sentence).unwrap();
    }
    let document = include_str!("../docs/conformance.md");
    assert!(document.contains(&table), "docs/conformance.md is to contain\n{table}");
}
