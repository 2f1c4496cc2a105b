//! Sown in the drain endpoint: the two defects that its forerunner had, and what it may say in the gateway's name.

use super::super::PropertyId::*;
use super::Check::{Test, Unit};
use super::Seed;

/// The seeds.
pub const SEEDS: &[Seed] = &[
    Seed {
        id: "body-without-an-action-begins",
        breaks: &[C6],
        bug: "A body that was cut short begins a drain. In the field: the latent defect of the careless endpoint.",
        file: "hold/fields/reading.rs",
        within: "let object = Object::parse(bytes).map_err(|why| why.replacen(\"it \", \"the body \", 1))?;",
        find: "Object::parse(bytes).map_err(|why| why.replacen(\"it \", \"the body \", 1))?",
        replace: "Object::parse(bytes).or_else(|_| Object::parse(b\"{}\"))?",
        check: Test("http_hostile::bodies_that_make_no_sense_are_a_400_and_move_nothing"),
    },
    Seed {
        id: "failed-cancel-is-a-success",
        breaks: &[C6],
        bug: "A cancel that could not remove the marker succeeds. In the field: the latent defect of the deaf cancel.",
        file: "http/drain.rs",
        within: "removed => removed.map_err(unusable(Some(false)))?",
        find: "removed.map_err(unusable(Some(false)))?",
        replace: "removed.unwrap_or(true)",
        check: Test("http_endpoint::a_cancel_that_can_not_remove_the_marker_is_no_success"),
    },
    Seed {
        id: "a-refused-write-is-a-yes",
        breaks: &[C6, E2],
        bug: "The endpoint answers a write that the gateway has refused as if it were granted.",
        file: "http/drain.rs",
        within: "(Outcome::Refused(why), _) => Err(why.into()),",
        find: "Err(why.into())",
        replace: "{ let _: Denied = why; Ok(()) }",
        check: Unit("http::drain::tests::only_what_the_gateway_granted_is_a_yes"),
    },
    Seed {
        id: "a-hold-that-has-run-out-is-a-yes",
        breaks: &[C6, H3],
        bug: "The endpoint answers as if a hold stood whose lease has run out.",
        file: "http/drain.rs",
        within: "(Outcome::Ended(Ending::Expired), _) => Err(Denied::LeaseExpired.into()),\n        (Outcome::Ended(Ending::Absorbed)",
        find: "Err(Denied::LeaseExpired.into())",
        replace: "Ok(())",
        check: Unit("http::drain::tests::only_what_the_gateway_granted_is_a_yes"),
    },
    Seed {
        id: "a-wait-outlasts-its-gateway",
        breaks: &[E2, C6],
        bug: "The endpoint lets a controller wait for drained, and tells it so, while the gateway shuts down.",
        file: "http/drain.rs",
        within: "held.committed || !shuts_down(status)",
        find: "held.committed || !shuts_down(status)",
        replace: "held.committed || true",
        check: Unit(
            "http::drain::tests::nobody_waits_for_a_hold_that_is_gone_or_for_a_gateway_that_ends_but_a_committed_controller_is_told_that_its_commit_stands",
        ),
    },
    Seed {
        id: "the-endpoint-writes-over-a-strangers-hold",
        breaks: &[H2, C7],
        bug: "The endpoint writes over another owner's hold.",
        file: "http/drain.rs",
        within: "if verb != Verb::Override && !mine {",
        find: "verb != Verb::Override && !mine",
        replace: "false",
        check: Unit("http::drain::tests::what_is_somebody_elses_committed_or_gone_is_told_and_nothing_is_written"),
    },
    Seed {
        id: "the-endpoint-asks-for-no-token",
        breaks: &[H4, E1],
        bug: "The endpoint cancels a committed hold without its token.",
        file: "http/drain.rs",
        within: "held.committed && asked.said().token != held.token",
        find: "held.committed && asked.said().token != held.token",
        replace: "false",
        check: Unit("http::drain::tests::what_is_somebody_elses_committed_or_gone_is_told_and_nothing_is_written"),
    },
];
