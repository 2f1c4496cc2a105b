//! Sown in the drain endpoint: the two defects that its forerunner had.

use super::super::PropertyId::*;
use super::Check::Test;
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
        within: "published.remove(asked.id()).await.map_err(unusable(Some(false)))?",
        find: "published.remove(asked.id()).await.map_err(unusable(Some(false)))?",
        replace: "published.remove(asked.id()).await.unwrap_or(true)",
        check: Test("http_endpoint::a_cancel_that_can_not_remove_the_marker_is_no_success"),
    },
];
