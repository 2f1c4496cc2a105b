//! Any bytes to any route: an answer below 500, in time, and a gate that stays as it was.
//!
//! The attempts are those of `hostile/http.rs`, which the run of faults counts.

#![cfg(feature = "axum")]

#[path = "hostile/http.rs"]
#[allow(dead_code, reason = "the table is for the run of faults")]
mod http;
mod serving;

#[test]
fn bodies_that_make_no_sense_are_a_400_and_move_nothing() {
    http::bodies_that_make_no_sense_are_a_400_and_move_nothing();
}

#[test]
fn a_body_cut_short_begins_nothing() {
    http::a_body_cut_short_begins_nothing();
}

#[test]
fn paths_that_make_no_sense_are_below_500() {
    http::paths_that_make_no_sense_are_below_500();
}

#[test]
fn any_bytes_at_all_are_answered_below_500_and_move_nothing() {
    http::any_bytes_at_all_are_answered_below_500_and_move_nothing();
}

#[test]
fn a_client_that_sends_its_body_too_slowly_is_not_waited_for_for_ever() {
    http::a_client_that_sends_its_body_too_slowly_is_not_waited_for_for_ever();
}

#[test]
fn no_token_but_the_secret_itself_is_let_in_and_no_answer_shows_the_secret() {
    http::no_token_but_the_secret_itself_is_let_in_and_no_answer_shows_the_secret();
}

#[test]
fn headers_that_make_no_sense_move_nothing_and_are_answered_below_500() {
    http::headers_that_make_no_sense_move_nothing_and_are_answered_below_500();
}
