//! Any kind of file at any path of the channel: nothing fails, hangs, opens the gate or is written outside the home (C4).
//!
//! The attempts are those of `support/hostile_files.rs` and `support/hostile_users.rs`, which the run of faults counts.

use crate::support::own_process::{alone, this_program};
use crate::support::{hostile_files, hostile_users};

#[test]
fn no_kind_of_thing_in_the_place_of_a_request_opens_the_gate_or_hangs() {
    hostile_files::no_kind_of_thing_in_the_place_of_a_request_opens_the_gate_or_hangs();
}

#[test]
fn no_kind_of_thing_in_the_place_of_a_request_lets_a_gateway_start_open() {
    hostile_files::no_kind_of_thing_in_the_place_of_a_request_lets_a_gateway_start_open();
}

#[test]
fn no_content_that_makes_no_sense_opens_the_gate_and_the_status_says_what_is_wrong() {
    hostile_files::no_content_that_makes_no_sense_opens_the_gate_and_the_status_says_what_is_wrong();
}

#[test]
fn a_file_of_10_gib_costs_neither_time_nor_memory_and_holds_the_gate() {
    hostile_files::a_file_of_10_gib_costs_neither_time_nor_memory_and_holds_the_gate();
}

#[test]
fn a_field_out_of_range_is_bounded_and_the_gate_stays_closed() {
    hostile_files::a_field_out_of_range_is_bounded_and_the_gate_stays_closed();
}

#[test]
fn an_unready_delay_without_end_is_bounded_too() {
    hostile_files::an_unready_delay_without_end_is_bounded_too();
}

#[test]
fn a_name_that_is_no_request_id_holds_the_gate_under_a_name_of_its_own() {
    hostile_files::a_name_that_is_no_request_id_holds_the_gate_under_a_name_of_its_own();
}

#[test]
fn a_name_that_a_writer_or_an_editor_leaves_behind_is_nobody_s_hold() {
    hostile_files::a_name_that_a_writer_or_an_editor_leaves_behind_is_nobody_s_hold();
}

#[test]
fn whatever_stands_in_the_place_of_the_holds_folder_holds_the_gate() {
    hostile_files::whatever_stands_in_the_place_of_the_holds_folder_holds_the_gate();
}

#[test]
fn five_thousand_hold_files_are_bounded_and_hold_the_gate_to_the_last() {
    hostile_files::five_thousand_hold_files_are_bounded_and_hold_the_gate_to_the_last();
}

#[test]
fn as_many_holds_as_there_can_be_saying_all_they_can_leave_the_status_readable() {
    hostile_files::as_many_holds_as_there_can_be_saying_all_they_can_leave_the_status_readable();
}

#[test]
fn whatever_a_starting_gateway_finds_as_its_status_is_replaced_or_named() {
    hostile_files::whatever_a_starting_gateway_finds_as_its_status_is_replaced_or_named();
}

#[test]
fn no_content_of_an_earlier_status_keeps_a_gateway_from_starting() {
    hostile_files::no_content_of_an_earlier_status_keeps_a_gateway_from_starting();
}

#[test]
fn a_status_that_is_taken_away_or_replaced_is_published_again() {
    hostile_files::a_status_that_is_taken_away_or_replaced_is_published_again();
}

#[test]
fn whatever_stands_in_the_place_of_the_lock_is_a_clear_error_and_is_left_alone() {
    hostile_files::whatever_stands_in_the_place_of_the_lock_is_a_clear_error_and_is_left_alone();
}

#[test]
fn a_second_gateway_in_a_home_is_told_who_is_there() {
    hostile_files::a_second_gateway_in_a_home_is_told_who_is_there();
}

#[test]
fn a_home_that_is_no_folder_is_a_clear_error() {
    hostile_files::a_home_that_is_no_folder_is_a_clear_error();
}

#[test]
fn a_home_that_is_moved_away_is_served_where_it_is_and_readiness_says_so() {
    hostile_files::a_home_that_is_moved_away_is_served_where_it_is_and_readiness_says_so();
}

#[test]
fn no_fuzzed_request_opens_the_gate() {
    hostile_files::no_fuzzed_request_opens_the_gate();
}

#[test]
fn no_fuzzed_status_opens_the_gate_of_a_gateway_that_starts_under_the_marker() {
    hostile_files::no_fuzzed_status_opens_the_gate_of_a_gateway_that_starts_under_the_marker();
}

/// The cases that want a process of their own: the child is this very test, told by its environment which case it is.
fn in_a_child(case: &hostile_users::Case, test: &str) {
    const FOLDER: &str = "GATEWAY_DRAIN_TEST_CASE_FOLDER";
    if let Some(folder) = std::env::var_os(FOLDER) {
        return println!("{} attempts", (case.judge)(std::path::Path::new(&folder)));
    }
    // Where the program lies, its user may have no way to it.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let program = folder.path().join("test");
    std::fs::copy(this_program(), &program).expect("room for the test");
    case.run(folder.path(), |place| {
        let mut command = alone(&program, module_path!(), test);
        command.env(FOLDER, place);
        command
    });
}

#[test]
fn what_may_not_be_read_holds_the_gate_or_is_a_clear_error() {
    in_a_child(&hostile_users::CASES[0], "what_may_not_be_read_holds_the_gate_or_is_a_clear_error");
}

#[test]
fn whatever_the_umask_what_is_written_is_its_owner_s_alone() {
    in_a_child(&hostile_users::CASES[1], "whatever_the_umask_what_is_written_is_its_owner_s_alone");
}
