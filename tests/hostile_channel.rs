//! Whatever stands at a path of the channel: nothing fails, hangs, opens the gate or is written outside the home (C4).
//!
//! The attempts are those of `hostile/channel.rs` and `hostile/another_user.rs`, which the run of faults counts.

#[path = "hostile/another_user.rs"]
mod another_user;
#[path = "hostile/channel.rs"]
#[allow(dead_code, reason = "the table is for the run of faults")]
mod channel;
mod published;

#[test]
fn no_kind_of_thing_in_the_place_of_a_request_opens_the_gate_or_hangs() {
    channel::no_kind_of_thing_in_the_place_of_a_request_opens_the_gate_or_hangs();
}

#[test]
fn no_kind_of_thing_in_the_place_of_a_request_lets_a_gateway_start_open() {
    channel::no_kind_of_thing_in_the_place_of_a_request_lets_a_gateway_start_open();
}

#[test]
fn no_content_that_makes_no_sense_opens_the_gate_and_the_status_says_what_is_wrong() {
    channel::no_content_that_makes_no_sense_opens_the_gate_and_the_status_says_what_is_wrong();
}

#[test]
fn a_file_of_10_gib_costs_neither_time_nor_memory_and_holds_the_gate() {
    channel::a_file_of_10_gib_costs_neither_time_nor_memory_and_holds_the_gate();
}

#[test]
fn a_field_out_of_range_is_bounded_and_the_gate_stays_closed() {
    channel::a_field_out_of_range_is_bounded_and_the_gate_stays_closed();
}

#[test]
fn an_unready_delay_without_end_is_bounded_too() {
    channel::an_unready_delay_without_end_is_bounded_too();
}

#[test]
fn a_name_that_is_no_request_id_holds_the_gate_under_a_name_of_its_own() {
    channel::a_name_that_is_no_request_id_holds_the_gate_under_a_name_of_its_own();
}

#[test]
fn a_name_that_a_writer_or_an_editor_leaves_behind_is_nobody_s_hold() {
    channel::a_name_that_a_writer_or_an_editor_leaves_behind_is_nobody_s_hold();
}

#[test]
fn whatever_stands_in_the_place_of_the_holds_folder_holds_the_gate() {
    channel::whatever_stands_in_the_place_of_the_holds_folder_holds_the_gate();
}

#[test]
fn five_thousand_hold_files_are_bounded_and_hold_the_gate_to_the_last() {
    channel::five_thousand_hold_files_are_bounded_and_hold_the_gate_to_the_last();
}

#[test]
fn as_many_holds_as_there_can_be_saying_all_they_can_leave_the_status_readable() {
    channel::as_many_holds_as_there_can_be_saying_all_they_can_leave_the_status_readable();
}

#[test]
fn whatever_a_starting_gateway_finds_as_its_status_is_replaced_or_named() {
    channel::whatever_a_starting_gateway_finds_as_its_status_is_replaced_or_named();
}

#[test]
fn no_content_of_an_earlier_status_keeps_a_gateway_from_starting() {
    channel::no_content_of_an_earlier_status_keeps_a_gateway_from_starting();
}

#[test]
fn a_status_that_is_taken_away_or_replaced_is_published_again() {
    channel::a_status_that_is_taken_away_or_replaced_is_published_again();
}

#[test]
fn whatever_stands_in_the_place_of_the_lock_is_a_clear_error_and_is_left_alone() {
    channel::whatever_stands_in_the_place_of_the_lock_is_a_clear_error_and_is_left_alone();
}

#[test]
fn a_second_gateway_in_a_home_is_told_who_is_there() {
    channel::a_second_gateway_in_a_home_is_told_who_is_there();
}

#[test]
fn a_home_that_is_no_folder_is_a_clear_error() {
    channel::a_home_that_is_no_folder_is_a_clear_error();
}

#[test]
fn a_home_that_is_moved_away_is_served_where_it_is_and_readiness_says_so() {
    channel::a_home_that_is_moved_away_is_served_where_it_is_and_readiness_says_so();
}

#[test]
fn no_fuzzed_request_opens_the_gate() {
    channel::no_fuzzed_request_opens_the_gate();
}

#[test]
fn no_fuzzed_status_opens_the_gate_of_a_gateway_that_starts_under_the_marker() {
    channel::no_fuzzed_status_opens_the_gate_of_a_gateway_that_starts_under_the_marker();
}

/// The cases that want a process of their own: the child is this very test, told by its environment which case it is.
fn in_a_child(case: &another_user::Case, test: &str) {
    const FOLDER: &str = "GATEWAY_DRAIN_TEST_CASE_FOLDER";
    if let Some(folder) = std::env::var_os(FOLDER) {
        return println!("{} attempts", (case.judge)(std::path::Path::new(&folder)));
    }
    // Where the program lies, its user may have no way to it.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let program = folder.path().join("test");
    std::fs::copy(std::env::current_exe().expect("a test has a path"), &program).expect("room for the test");
    // Below the name of the crate, which the harness leaves out.
    let module = module_path!().split_once("::").map(|(_, module)| format!("{module}::")).unwrap_or_default();
    let test = module + test;
    case.run(folder.path(), |place| {
        let mut command = std::process::Command::new(&program);
        command.args(["--exact", &test, "--nocapture"]).env(FOLDER, place);
        command
    });
}

#[test]
fn what_may_not_be_read_holds_the_gate_or_is_a_clear_error() {
    in_a_child(&another_user::CASES[0], "what_may_not_be_read_holds_the_gate_or_is_a_clear_error");
}

#[test]
fn whatever_the_umask_what_is_written_is_its_owner_s_alone() {
    in_a_child(&another_user::CASES[1], "whatever_the_umask_what_is_written_is_its_owner_s_alone");
}
