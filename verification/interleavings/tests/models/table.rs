//! What every model shows, how far it was explored, and the exact number of its executions.

use gateway_drain::properties::PropertyId::{self, *};

/// One model.
pub struct Check {
    /// Its file and function.
    pub name: &'static str,
    /// The numbered properties it asserts.
    pub properties: &'static [PropertyId],
    /// Threads that act, the model's own one included.
    pub workers: usize,
    /// How many executions there are under loom; `None` where they are too many.
    pub executions: Option<usize>,
    /// Whether shuttle draws schedules of it.
    pub schedules: bool,
    /// What some execution has to show to be possible; and of a crowd, some schedule.
    pub witnesses: &'static [&'static str],
}

impl Check {
    /// The most preemptions of an execution under loom; `None` where nothing is bounded away.
    pub const fn preemptions(&self) -> Option<usize> {
        match self.workers {
            0..=2 => None,
            3 => Some(3),
            _ => Some(2),
        }
    }
}

/// A race of a few threads.
const fn check(
    name: &'static str,
    properties: &'static [PropertyId],
    workers: usize,
    executions: usize,
    witnesses: &'static [&'static str],
) -> Check {
    Check { name, properties, workers, executions: Some(executions), schedules: true, witnesses }
}

/// A race of so many threads that no checker can explore every schedule.
const fn many_tasks(
    name: &'static str,
    properties: &'static [PropertyId],
    workers: usize,
    witnesses: &'static [&'static str],
) -> Check {
    Check { name, properties, workers, executions: None, schedules: true, witnesses }
}

/// How many schedules of each model are drawn at random.
pub const RANDOM: usize = 500;
/// How many are drawn that change priorities at [`DEPTH`] points.
pub const PCT: usize = 500;
/// At how many points a schedule changes priorities.
pub const DEPTH: usize = 3;
/// How often a model is run on real threads: the schedules are the machine's.
pub const ROUNDS: usize = 1_000;

/// Every model: two workers are explored without any bound, three with 3 preemptions, four with 2.
pub const CHECKS: &[Check] = &[
    check(
        "admission::a_turn_racing_a_close_is_counted_or_refused",
        &[G1, G2, G3, G6],
        2,
        9_567,
        &["admitted", "refused", "drained at once", "closed with work in flight", "drained while looking"],
    ),
    check(
        "admission::two_turns_racing_a_close_are_each_counted_or_refused",
        &[G1, G2, G3, G6],
        3,
        10_426,
        &["admitted", "refused", "drained at once", "closed with work in flight", "drained while looking"],
    ),
    check(
        "admission::three_turns_racing_a_close_are_each_counted_or_refused",
        &[G1, G2, G3, G6],
        4,
        28_298,
        &["admitted", "refused", "drained at once", "closed with work in flight"],
    ),
    check("admission::a_refused_turn_is_never_counted_even_for_an_instant", &[G2], 2, 4, &["refused"]),
    check(
        "admission::permits_in_every_form_leave_the_count_once",
        &[G6],
        3,
        4_752,
        &["none left", "one left", "two left"],
    ),
    check(
        "visibility::a_reader_of_drained_sees_what_the_last_turn_wrote",
        &[G5],
        2,
        465,
        &["drained", "not drained yet"],
    ),
    check(
        "visibility::a_reader_of_drained_sees_what_every_turn_wrote",
        &[G5],
        3,
        3_770,
        &["drained", "not drained yet"],
    ),
    check(
        "visibility::a_reader_of_drained_sees_what_each_of_three_turns_wrote",
        &[G5],
        4,
        5_015,
        &["drained", "not drained yet"],
    ),
    check("visibility::the_stop_sees_what_the_last_turn_wrote", &[G5, S5], 2, 3_239, &["stopped", "not drained yet"]),
    check("visibility::a_waiter_sees_what_the_last_turn_wrote", &[G4, G5], 2, 13_188, &["drained"]),
    check(
        "visibility::a_turn_sees_what_was_written_while_the_gate_was_drained",
        &[G5],
        2,
        48,
        &["admitted", "refused"],
    ),
    check(
        "handles::the_next_gate_has_nothing_of_one_that_ends_with_its_last_work",
        &[G6],
        2,
        5_283,
        &["the work ended first", "work may outlive its gate", "internal work may"],
    ),
    check("waiters::the_last_release_wakes_a_blocked_waiter", &[G3, G4], 2, 15_230, &["drained early", "waited"]),
    check("waiters::the_last_release_wakes_a_polled_waiter", &[G3, G4], 2, 24_178, &["drained early", "waited"]),
    check("waiters::a_wait_that_runs_out_says_what_was_left", &[G4], 2, 13_109, &["drained in time", "one turn left"]),
    check("waiters::the_last_release_wakes_every_waiter", &[G4], 3, 22_799, &["drained early", "waited"]),
    check("waiters::the_last_of_two_releases_wakes_every_waiter", &[G4], 4, 40_456, &["drained early", "waited"]),
    check(
        "waiters::a_waiter_of_an_ended_drain_never_takes_a_later_one_for_its_own",
        &[G4],
        2,
        434_809,
        &["ran out before", "told between", "told in the next"],
    ),
    check("waiters::reopening_wakes_the_waiters", &[G4], 2, 565, &["reopened"]),
    check(
        "waiters::a_release_racing_a_reopening_gives_the_waiter_one_of_both",
        &[G4],
        3,
        16_066,
        &["drained", "drained before it reopened", "reopened"],
    ),
    check("waiters::a_forced_stop_wakes_the_waiters_and_says_abandoned", &[G4, S5], 2, 352, &["abandoned"]),
    check("waiters::an_interrupt_reaches_the_work_in_flight", &[G4, L4], 2, 22_524, &["gave up"]),
    check("waiters::a_forced_stop_reaches_the_work_in_flight", &[G4, L4], 2, 12_304, &["gave up"]),
    check("wakers::a_waker_may_drop_its_task", &[G4, G6], 2, 1_429, &["gone"]),
    check("wakers::a_waker_may_ask_the_controller", &[G4, H1], 2, 88, &["asked"]),
    check("workers::the_end_of_a_drain_admits_a_blocked_waiter", &[G4, G5, G6], 2, 352, &["admitted"]),
    check("workers::the_end_of_a_drain_admits_a_polled_waiter", &[G4, G6], 2, 565, &["admitted"]),
    check(
        "workers::a_shutdown_refuses_a_waiter_for_admission",
        &[G1, G4, G6],
        2,
        573_426,
        &["got in between", "told of the shutdown"],
    ),
    check("workers::the_end_of_a_drain_admits_all_who_wait_for_it", &[G4, G6], 3, 16_463, &["both are admitted"]),
    check("workers::the_end_of_a_drain_wakes_a_waiter_for_the_opening", &[G4], 2, 352, &["opened"]),
    check("workers::a_shutdown_wakes_a_waiter_for_the_opening", &[G4, S3], 2, 565, &["told of the shutdown"]),
    check("workers::a_drain_is_told_to_the_work_in_flight", &[G4], 2, 396, &["drained"]),
    check("workers::a_shutdown_wakes_a_waiter_for_a_closing", &[G4], 2, 565, &["told"]),
    check("workers::a_stop_ends_the_wait_for_an_interruption", &[G4, L4], 2, 6_719, &["ended with the gateway"]),
    check(
        "internal::internal_work_racing_the_last_release_is_counted_or_sealed_out",
        &[G2, G3, G6],
        2,
        17_830,
        &["admitted", "drained", "internal work left", "sealed out"],
    ),
    check(
        "internal::two_pieces_of_internal_work_racing_the_last_release_are_counted_or_sealed_out",
        &[G2, G3, G6],
        3,
        22_490,
        &["admitted", "drained", "internal work left", "sealed out"],
    ),
    check(
        "internal::three_pieces_of_internal_work_racing_the_last_release_are_counted_or_sealed_out",
        &[G2, G3, G6],
        4,
        27_522,
        &["admitted", "drained", "internal work left", "sealed out"],
    ),
    check("internal::a_waiter_waits_for_internal_work_too", &[G3, G4], 2, 3_123, &["ended early", "waited"]),
    check(
        "shutdown::a_cancel_racing_a_shutdown_never_reopens_for_good",
        &[S3],
        2,
        113,
        &["cancelled first", "shut down first"],
    ),
    check("shutdown::two_shutdowns_racing_are_one", &[S2, L1], 2, 17, &["stopped"]),
    check(
        "shutdown::a_forced_stop_racing_the_last_release_says_what_was_abandoned",
        &[S4, S5, G6],
        2,
        85_840,
        &["abandoned", "finished"],
    ),
    check("shutdown::a_waiter_for_the_stop_hears_of_it", &[G4, L1], 2, 30, &["stopped"]),
    check("controller::two_begins_racing_make_one_drain", &[G1, S2, H1, H2], 2, 158, &["one drain"]),
    check(
        "controller::a_cancel_racing_another_begin_leaves_the_gate_closed",
        &[G1, H1, H2],
        2,
        68,
        &["never open", "reopened between"],
    ),
    check(
        "controller::a_commit_racing_internal_work_is_refused_or_final",
        &[G3, H4, E1],
        2,
        31_409,
        &["committed", "refused"],
    ),
    check(
        "controller::observers_are_told_everything_once_and_in_order",
        &[S1],
        2,
        3_471,
        &["begun, then cancelled", "cancelled too early"],
    ),
    many_tasks(
        "waiters::the_waiters_of_several_drains_each_hear_of_their_own",
        &[G3, G4],
        25,
        &["drained early", "reopened", "reopened after it had looked", "waited"],
    ),
    many_tasks(
        "waiters::every_waiter_of_a_crowd_wakes_although_others_give_up",
        &[G4],
        29,
        &["drained early", "gave up", "waited"],
    ),
    Check {
        schedules: false, // A checker knows no time, and one of the waiters has a deadline.
        ..many_tasks(
            "waiters::waiters_of_every_kind_wake_to_what_turns_wrote",
            &[G4, G5],
            7,
            &["drained, then reopened"],
        )
    },
    many_tasks(
        "workers::a_crowd_works_through_several_drains_and_ends_with_the_shutdown",
        &[G3, G4, G5, G6, S3],
        15,
        &["closed for a while", "closed for good"],
    ),
    many_tasks(
        "shutdown::everybody_who_waits_for_the_stop_is_given_the_same_report",
        &[G4, L1, L4, S5],
        25,
        &["asked after the stop", "asked before the stop", "more were interrupted", "the stuck alone were interrupted"],
    ),
    many_tasks(
        "controller::every_observer_is_told_everything_in_the_same_order",
        &[S1, S2, H1, H2],
        10,
        &["joined between", "joined first", "joined last", "one drain", "several drains"],
    ),
    many_tasks(
        "controller::turns_in_every_form_come_and_go_while_holds_do",
        &[G1, G6, H1, S1],
        5,
        &["admitted", "refused"],
    ),
];
