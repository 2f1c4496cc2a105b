//! What every model shows, and under how many schedules it was run.

/// One model.
pub struct Check {
    /// Its test: file and function.
    pub name: &'static str,
    /// The numbered properties it asserts.
    pub properties: &'static [&'static str],
    /// Tasks and threads, the model's own one included.
    pub tasks: usize,
    /// What some schedule has to show to be possible.
    pub witnesses: &'static [&'static str],
}

/// How many schedules of each model are drawn at random.
pub const RANDOM: usize = 500;
/// How many are drawn that change priorities at [`DEPTH`] points.
pub const PCT: usize = 500;
/// At how many points a schedule changes priorities.
pub const DEPTH: usize = 3;

/// Every model.
pub const CHECKS: &[Check] = &[
    Check {
        name: "waiters::the_waiters_of_several_drains_each_hear_of_their_own",
        properties: &["G3", "G4"],
        tasks: 25,
        witnesses: &["drained early", "reopened", "reopened after it had looked", "waited"],
    },
    Check {
        name: "waiters::every_waiter_of_a_crowd_wakes_whoever_else_gives_up",
        properties: &["G4"],
        tasks: 29,
        witnesses: &["drained early", "gave up", "waited"],
    },
    Check {
        name: "workers::a_crowd_works_through_several_drains_and_ends_with_the_shutdown",
        properties: &["G3", "G4", "G6", "S3"],
        tasks: 15,
        witnesses: &["closed for a while", "closed for good"],
    },
    Check {
        name: "shutdown::everybody_who_waits_for_the_stop_is_given_the_same_report",
        properties: &["G4", "L1", "L4", "S5"],
        tasks: 25,
        witnesses: &[
            "asked after the stop",
            "asked before the stop",
            "more were interrupted",
            "the stuck alone were interrupted",
        ],
    },
    Check {
        name: "observers::every_observer_is_told_everything_in_the_same_order",
        properties: &["S1", "S2", "H1", "H2"],
        tasks: 10,
        witnesses: &["joined between", "joined first", "joined last", "one drain", "several drains"],
    },
];
