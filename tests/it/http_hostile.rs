//! Any bytes to any route: an answer below 500, in time, and a gate that stays as it was.
//!
//! The attempts are those of `support/hostile_http.rs`, which the run of faults counts.

#![cfg(feature = "axum")]

use crate::support::hostile_http;

#[test]
fn bodies_that_make_no_sense_are_a_400_and_move_nothing() {
    hostile_http::bodies_that_make_no_sense_are_a_400_and_move_nothing();
}

#[test]
fn a_body_cut_short_begins_nothing() {
    hostile_http::a_body_cut_short_begins_nothing();
}

#[test]
fn paths_that_make_no_sense_are_below_500() {
    hostile_http::paths_that_make_no_sense_are_below_500();
}

#[test]
fn any_bytes_at_all_are_answered_below_500_and_move_nothing() {
    hostile_http::any_bytes_at_all_are_answered_below_500_and_move_nothing();
}

#[test]
fn a_client_that_sends_its_body_too_slowly_is_not_waited_for_for_ever() {
    hostile_http::a_client_that_sends_its_body_too_slowly_is_not_waited_for_for_ever();
}

#[test]
fn no_token_but_the_secret_itself_is_let_in_and_no_answer_shows_the_secret() {
    hostile_http::no_token_but_the_secret_itself_is_let_in_and_no_answer_shows_the_secret();
}

#[test]
fn headers_that_make_no_sense_move_nothing_and_are_answered_below_500() {
    hostile_http::headers_that_make_no_sense_move_nothing_and_are_answered_below_500();
}
