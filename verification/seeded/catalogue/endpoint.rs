//! Sown in the drain endpoint: the two defects that its forerunner had.

use super::Check::Test;
use super::Seed;

/// The seeds.
pub const SEEDS: &[Seed] = &[
    Seed {
        id: "body-without-an-action-begins",
        breaks: &["C6"],
        bug: "A body that was cut short begins a drain. In the field: the latent defect of the careless endpoint.",
        file: "http/asked.rs",
        within: "Err(error) => return Err(Problem::bad_request(format!(\"the body is not JSON: {error}\"))),",
        find: "return Err(Problem::bad_request(format!(\"the body is not JSON: {error}\")))",
        replace: "return Self::of(Verb::Drain, &Map::new())",
        check: Test("http_hostile::bodies_that_make_no_sense_are_a_400_and_move_nothing"),
    },
    Seed {
        id: "failed-cancel-is-a-success",
        breaks: &["C6"],
        bug: "A cancel that could not remove the marker succeeds. In the field: the latent defect of the deaf cancel.",
        file: "http/drain.rs",
        within: "published.remove(&asked.id).await.map_err(unusable(Some(false)))?",
        find: "published.remove(&asked.id).await.map_err(unusable(Some(false)))?",
        replace: "published.remove(&asked.id).await.unwrap_or(true)",
        check: Test("http_endpoint::a_cancel_that_can_not_remove_the_marker_is_no_success"),
    },
];
