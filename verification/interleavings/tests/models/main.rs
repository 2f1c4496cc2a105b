//! The production source of the gate, the waiters and the controller where threads meet: each model is written once, and run
//! by whichever checker this build is for.
//!
//! | Features | Checker | What it shows |
//! |---|---|---|
//! | `loom` (default) | loom | every interleaving of a few threads, and every value that the memory model lets a load return |
//! | `shuttle` | shuttle | a sample of the schedules of tens of tasks, the same one every time |
//! | none | real threads | what ThreadSanitizer sees of the machine's own schedules (`.ci/tsan`) |
//!
//! One file for each concept. `table` lists the models with their bounds, exact counts and witnesses, `explore` runs one.

mod admission;
#[cfg_attr(loom, path = "checker/loom.rs")]
#[cfg_attr(shuttle, path = "checker/shuttle.rs")]
#[cfg_attr(not(any(loom, shuttle)), path = "checker/threads.rs")]
mod checker;
mod controller;
pub mod explore;
mod handles;
mod internal;
mod shutdown;
#[allow(dead_code, reason = "each checker reads its own part")]
mod table;
mod visibility;
mod waiters;
mod wakers;
mod workers;

/// Makes a test of each model, under its name, and the list of all.
macro_rules! models {
    ($($concept:ident { $($model:ident)* })*) => {
        /// Each model's name and body.
        pub const MODELS: &[(&str, explore::Body)] = &[
            $($((concat!(stringify!($concept), "::", stringify!($model)), $concept::$model),)*)*
        ];

        mod explored {
            $(mod $concept {
                $(#[test]
                fn $model() {
                    let name = concat!(stringify!($concept), "::", stringify!($model));
                    super::super::explore::explore(name, super::super::$concept::$model);
                })*
            })*
        }
    };
}

models! {
    admission {
        a_turn_racing_a_close_is_counted_or_refused
        two_turns_racing_a_close_are_each_counted_or_refused
        three_turns_racing_a_close_are_each_counted_or_refused
        a_refused_turn_is_never_counted_even_for_an_instant
        permits_in_every_form_leave_the_count_once
    }
    controller {
        two_begins_racing_make_one_drain
        a_cancel_racing_another_begin_leaves_the_gate_closed
        a_commit_racing_internal_work_is_refused_or_final
        observers_are_told_everything_once_and_in_order
        every_observer_is_told_everything_in_the_same_order
        turns_in_every_form_come_and_go_while_holds_do
    }
    handles {
        the_next_gate_has_nothing_of_one_that_ends_with_its_last_work
    }
    internal {
        internal_work_racing_the_last_release_is_counted_or_sealed_out
        two_pieces_of_internal_work_racing_the_last_release_are_counted_or_sealed_out
        three_pieces_of_internal_work_racing_the_last_release_are_counted_or_sealed_out
        a_waiter_waits_for_internal_work_too
    }
    shutdown {
        a_cancel_racing_a_shutdown_never_reopens_for_good
        two_shutdowns_racing_are_one
        a_forced_stop_racing_the_last_release_says_what_was_abandoned
        a_waiter_for_the_stop_hears_of_it
        everybody_who_waits_for_the_stop_is_given_the_same_report
    }
    visibility {
        a_reader_of_drained_sees_what_the_last_turn_wrote
        a_reader_of_drained_sees_what_every_turn_wrote
        a_reader_of_drained_sees_what_each_of_three_turns_wrote
        the_stop_sees_what_the_last_turn_wrote
        a_waiter_sees_what_the_last_turn_wrote
        a_turn_sees_what_was_written_while_the_gate_was_drained
    }
    waiters {
        the_last_release_wakes_a_blocked_waiter
        the_last_release_wakes_a_polled_waiter
        a_wait_that_runs_out_says_what_was_left
        the_last_release_wakes_every_waiter
        the_last_of_two_releases_wakes_every_waiter
        a_waiter_of_an_ended_drain_never_takes_a_later_one_for_its_own
        reopening_wakes_the_waiters
        a_release_racing_a_reopening_gives_the_waiter_one_of_both
        a_forced_stop_wakes_the_waiters_and_says_abandoned
        an_interrupt_reaches_the_work_in_flight
        a_forced_stop_reaches_the_work_in_flight
        the_waiters_of_several_drains_each_hear_of_their_own
        every_waiter_of_a_crowd_wakes_although_others_give_up
        waiters_of_every_kind_wake_to_what_turns_wrote
    }
    wakers {
        a_waker_may_drop_its_task
        a_waker_may_ask_the_controller
    }
    workers {
        the_end_of_a_drain_admits_a_blocked_waiter
        the_end_of_a_drain_admits_a_polled_waiter
        a_shutdown_refuses_a_waiter_for_admission
        the_end_of_a_drain_admits_all_who_wait_for_it
        the_end_of_a_drain_wakes_a_waiter_for_the_opening
        a_shutdown_wakes_a_waiter_for_the_opening
        a_drain_is_told_to_the_work_in_flight
        a_shutdown_wakes_a_waiter_for_a_closing
        a_stop_ends_the_wait_for_an_interruption
        a_crowd_works_through_several_drains_and_ends_with_the_shutdown
    }
}

#[test]
fn every_model_has_its_row() {
    let models = MODELS.iter().map(|(name, _)| *name).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(models, table::CHECKS.iter().map(|check| check.name).collect());
}

#[test]
fn every_property_of_the_gate_has_a_model_whose_executions_are_counted() {
    use gateway_drain::properties::PropertyId::*;
    for property in [G1, G2, G3, G4, G5, G6, S2, S3, S4, S5] {
        let asserts = |check: &&table::Check| check.executions.is_some() && check.properties.contains(&property);
        assert!(table::CHECKS.iter().any(|check| asserts(&check)), "no model asserts {property}");
    }
}
