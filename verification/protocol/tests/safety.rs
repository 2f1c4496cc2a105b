//! Every configuration is explored to its end: no state and no step breaks a property, and the counts are exact.
//!
//! The counts guard the model itself: a rule that changes, an actor that can do less than before, shows in them.

use gateway_drain_protocol::checks::named;
use gateway_drain_protocol::counterexample::tell;
use gateway_drain_protocol::explorer::explore;
use gateway_drain_protocol::system::Protocol;

fn breaks_nothing(name: &str) {
    let check = named(name);
    let mut system = Protocol::new(check.config);
    match explore(&mut system) {
        Ok(graph) => assert_eq!(graph.counts(), check.counts, "{name}: the model isn't the one that was counted"),
        Err(found) => panic!("{name}: {}", tell(&system, &found)),
    }
}

#[test]
fn one_owner_is_safe_whatever_crashes_and_whatever_is_removed() {
    breaks_nothing("one owner");
}

#[test]
fn restarts_after_crashes_and_shutdowns_lose_no_commit() {
    breaks_nothing("graceful restart");
}

#[test]
fn two_owners_that_commit_beside_each_other_are_safe() {
    breaks_nothing("commit");
}

#[test]
fn a_hasty_or_dead_owner_an_override_and_a_reboot_harm_nobody() {
    breaks_nothing("override");
}

#[test]
fn an_owner_may_die_at_any_point() {
    breaks_nothing("death");
}

#[test]
fn a_shutdown_wins_over_every_hold_and_ends() {
    breaks_nothing("shutdown");
}

#[test]
fn whatever_lies_in_the_markers_place_is_honoured_or_said_to_be_ignored() {
    breaks_nothing("files");
}

#[test]
fn a_wall_clock_that_jumps_changes_no_lease() {
    breaks_nothing("clock");
}

#[test]
fn what_others_write_into_the_place_of_a_hold_harms_it_in_no_way() {
    breaks_nothing("strangers");
}

#[test]
fn a_process_without_descriptors_goes_on_as_its_last_look_has_found_it() {
    breaks_nothing("shortage");
}
