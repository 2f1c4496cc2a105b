//! What the table doesn't have doesn't compile. Each fixture in `tests/illegal/` is one such call, with the diagnostic
//! that its author would see.

use gateway_drain::state::{DrainState, Event, Step, next};
use std::path::PathBuf;

/// The methods of a lifecycle, and the event that each stands for.
const METHODS: [(&str, Event); 5] = [
    ("begin_drain", Event::BeginDrain),
    ("end_drain", Event::EndDrain),
    ("begin_shutdown", Event::BeginShutdown),
    ("stop", Event::Stop),
    ("force_stop", Event::Stop),
];

#[test]
fn every_call_that_the_table_does_not_move_on_has_its_fixture_and_no_other_has() {
    for state in DrainState::ALL {
        for (method, event) in METHODS {
            let fixture = PathBuf::from(format!("tests/illegal/{state}__{method}.rs"));
            let illegal = !matches!(next(state, event), Step::Moves(_));
            assert_eq!(fixture.exists(), illegal, "{} against the table's answer for {event:?}", fixture.display());
        }
    }
}

#[test]
fn illegal_calls_do_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/illegal/*.rs");
}
