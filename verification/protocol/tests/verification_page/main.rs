//! `docs/verification.md` tells what was checked of each property, and is made from the tables that the checks run by.
//!
//! To write it after a change: `cargo xtask docs`. A property without a check or
//! without a seeded bug is a red test here, and so is a test that is named and isn't there.

#[path = "../../../planted/catalogue.rs"]
mod catalogue;
#[path = "../../../../tests/support/generated.rs"]
mod generated;
mod incidents;
#[path = "../../../interleavings/tests/models/table.rs"]
mod models;
mod proofs;
mod sources;
#[path = "../../../../xtask/src/tables.rs"]
mod tables;

use gateway_drain::properties::PROPERTIES;
use gateway_drain::properties::PropertyId::{self, *};
use gateway_drain_protocol::checks::{CHECKS, LIVENESS, SEEDS};
use gateway_drain_protocol::fleet::checks as fleet;
use incidents::{Answer, INCIDENTS, Incident};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// What isn't in a table of its own: the tests on real threads, files and processes, and what no check shows.
struct Beside {
    property: PropertyId,
    /// File and function.
    tests: &'static [(&'static str, &'static str)],
    not_shown: &'static str,
}

const fn beside(
    property: PropertyId,
    tests: &'static [(&'static str, &'static str)],
    not_shown: &'static str,
) -> Beside {
    Beside { property, tests, not_shown }
}

const GOLDEN: (&str, &str) = ("tests/it/table.rs", "the_table_says_of_each_pair_what_the_golden_table_says");
const BY_FILES: (&str, &str) =
    ("verification/protocol/tests/channel.rs", "the_gateway_follows_its_files_as_the_model_says");

const BESIDE: &[Beside] = &[
    beside(
        S1,
        &[GOLDEN, ("tests/it/illegal_transitions.rs", "illegal_calls_do_not_compile")],
        "that the table is the right one: that is for readers",
    ),
    beside(
        S2,
        &[
            GOLDEN,
            ("tests/it/draining.rs", "entering_twice_moves_once"),
            ("tests/it/other_writers.rs", "a_refused_write_stays_refused_whatever_changes_under_it"),
        ],
        "a call that is made twice after its hold has ended",
    ),
    beside(S3, &[GOLDEN, ("tests/it/draining.rs", "exiting_during_a_shutdown_does_not_bring_back_running")], ""),
    beside(S4, &[GOLDEN, ("tests/it/draining.rs", "exiting_after_the_stop_does_not_bring_back_running")], ""),
    beside(
        S5,
        &[("tests/it/draining.rs", "a_stuck_turn_is_interrupted_at_the_deadline_and_abandoned_after_the_grace")],
        "",
    ),
    beside(
        S6,
        &[("tests/it/status.rs", "a_reader_never_sees_it_torn_while_the_gateway_drains_and_reopens"), BY_FILES],
        "the time that writing a status takes: a file is of the past by as long",
    ),
    beside(
        G1,
        &[(
            "tests/processes/example_process.rs",
            "a_drain_by_touch_and_rm_cuts_off_no_turn_and_refuses_every_later_one",
        )],
        "memory orderings with more threads than four: of their steps alone it is proved",
    ),
    beside(G2, &[BY_FILES], "as G1"),
    beside(
        G3,
        &[(
            "tests/it/admission.rs",
            "internal_work_passes_while_something_is_in_flight_and_is_sealed_out_once_drained",
        )],
        "as G1",
    ),
    beside(
        G4,
        &[("tests/it/waiting.rs", "every_one_of_many_waiting_threads_wakes_in_every_one_of_many_drains")],
        "a waiter that sleeps through exactly 2^22 drains",
    ),
    beside(G5, &[], "hardware: loom checks the memory model as it implements it"),
    beside(
        G6,
        &[("tests/it/admission.rs", "an_internal_count_that_is_full_refuses_and_nothing_else_changes")],
        "a full count of turns by real permits; its rule is checked on the word",
    ),
    beside(
        H1,
        &[("tests/it/holds.rs", "the_gate_is_to_be_closed_exactly_while_there_is_a_hold"), BY_FILES],
        "a file system that shows a write late, as one over a network may",
    ),
    beside(
        H2,
        &[("tests/it/reconciler.rs", "removing_one_file_never_frees_another_hold"), BY_FILES],
        "that two controllers who share one marker don't take each other's: use a hold file each",
    ),
    beside(
        H3,
        &[("tests/it/holds.rs", "a_dead_controller_s_hold_ends_with_its_lease_and_not_a_moment_before")],
        "a commit that its owner wrote before it died is granted, and ends by an override alone; a status that is lost together with its process gives one more lease",
    ),
    beside(
        H4,
        &[
            ("tests/it/holds.rs", "after_the_commit_neither_the_lease_nor_a_lost_file_nor_another_ends_the_hold"),
            BY_FILES,
        ],
        "",
    ),
    beside(
        H5,
        &[("tests/it/holds.rs", "a_timestamp_shortens_a_lease_if_it_is_sane_and_never_ends_one_at_first_sight")],
        "a file first seen after a step of the clock loses as much of its lease as its timestamp seems old, at most half",
    ),
    beside(
        C1,
        &[
            ("tests/it/marker.rs", "a_reader_never_sees_it_torn_while_it_is_written_over_and_over"),
            ("verification/protocol/tests/disk.rs", "a_rename_before_the_content_shows_a_torn_file"),
        ],
        "a file system whose rename is not atomic",
    ),
    beside(
        C2,
        &[
            ("verification/protocol/tests/disk.rs", "the_writers_steps_leave_a_whole_file_wherever_they_end"),
            (
                "verification/protocol/tests/write_faults.rs",
                "a_writer_killed_before_any_step_leaves_the_old_request_or_the_new_one",
            ),
        ],
        "real power loss; it is modelled",
    ),
    beside(
        C3,
        &[("tests/it/reconciler.rs", "a_marker_of_an_earlier_boot_is_ignored_and_said_to_be")],
        "systems without /proc, where no epoch is known",
    ),
    beside(
        C4,
        &[
            ("tests/it/reconciler.rs", "whatever_stands_in_the_channel_closes_the_gate_and_is_named"),
            ("tests/it/hostile_channel.rs", "a_field_out_of_range_is_bounded_and_the_gate_stays_closed"),
        ],
        "a file system that hangs for real; it is simulated",
    ),
    beside(
        C5,
        &[(
            "tests/it/reconciler.rs",
            "a_marker_that_was_there_before_the_start_is_honoured_before_the_first_admission",
        )],
        "",
    ),
    beside(
        C6,
        &[("tests/processes/example_process.rs", "a_drain_over_http_is_answered_with_what_the_gateway_acknowledged")],
        "",
    ),
    beside(
        C7,
        &[
            (
                "tests/it/other_writers.rs",
                "nobody_else_s_write_ends_hides_or_takes_over_a_live_hold_and_neither_does_its_removal",
            ),
            ("tests/it/restarts.rs", "a_write_of_another_epoch_over_a_hold_leaves_it_and_is_answered_by_its_nonce"),
        ],
        "somebody who may write in the home and writes under the owner's own name",
    ),
    beside(
        C8,
        &[("tests/it/hostile_channel.rs", "a_status_that_is_taken_away_or_replaced_is_published_again")],
        "a disk that can be written no more: what was published last stands there",
    ),
    beside(
        E1,
        &[(
            "tests/it/reconciler.rs",
            "a_committed_hold_outlives_a_restart_from_its_file_from_the_status_or_from_either_alone",
        )],
        "the loss of both the record of commits and the status, which breaks it by design",
    ),
    beside(
        E2,
        &[("tests/it/home_lock.rs", "a_dead_gateway_is_never_said_to_live_while_its_successor_takes_the_lock")],
        "a start that locks, writes its name and dies inside the lock's own change from shared to exclusive",
    ),
    beside(
        E3,
        &[
            ("tests/it/other_writers.rs", "a_committed_hold_outlasts_every_write_of_others_and_its_own_renewal"),
            ("tests/processes/two_controllers.rs", "a_committed_hold_outlasts_a_restart_and_still_ends_with_its_token"),
        ],
        "",
    ),
    beside(
        E4,
        &[
            (
                "tests/external/fleet.rs",
                "two_controllers_of_one_gateway_on_two_machines_share_its_slot_until_the_last_has_ended",
            ),
            ("tests/external/fleet.rs", "a_take_that_arrives_after_its_controller_has_given_up_takes_nothing"),
        ],
        "a slot that an operator gives back by hand while its gateway is closed; a FleetLock server, where two controllers of one \
         gateway can't be told apart and a request that was given up counts when it arrives; a budget that is lowered counts once \
         the slots taken before are given back",
    ),
    beside(
        L1,
        &[("tests/it/draining.rs", "a_shutdown_of_an_idle_gateway_has_stopped_when_the_call_returns")],
        "a controller without a reconciler whose application never calls `settle`",
    ),
    beside(
        L2,
        &[(
            "tests/processes/example_process.rs",
            "a_drain_by_touch_and_rm_cuts_off_no_turn_and_refuses_every_later_one",
        )],
        "",
    ),
    beside(L3, &[GOLDEN, ("verification/protocol/tests/liveness.rs", "stopped_can_be_reached_from_every_state")], ""),
    beside(
        L4,
        &[(
            "tests/processes/example_process.rs",
            "a_shutdown_past_its_deadline_interrupts_the_turn_and_says_that_it_did_not_finish",
        )],
        "",
    ),
    beside(
        L5,
        &[
            ("src/reconciler/tests.rs", "a_disk_that_hangs_holds_up_neither_the_deadline_of_a_shutdown_nor_its_grace"),
            ("tests/it/liveness.rs", "an_observer_that_blocks_panics_or_takes_its_time_holds_up_nothing"),
        ],
        "a global allocator of the application, which runs on every thread",
    ),
    beside(
        L6,
        &[(
            "tests/external/fleet.rs",
            "who_waits_for_a_slot_says_who_has_it_closes_nothing_and_ends_with_a_code_of_its_own",
        )],
        "a waiter whom others, who take slots for ever, overtake every time: nobody queues",
    ),
];

/// Seeded bugs that live beside their check, where the catalogue can't reach: the disk's steps.
const DISK_SEEDS: [(PropertyId, (&str, &str)); 2] = [
    (C1, ("verification/protocol/tests/disk.rs", "a_rename_before_the_content_shows_a_torn_file")),
    (C2, ("verification/protocol/tests/disk.rs", "every_step_that_matters_to_a_reader_is_missed_when_it_is_left_out")),
];

/// The faults, by their rows in `docs/reliability.md`, that would show a property broken.
const FAULTS: &[(PropertyId, &str)] = &[
    (G1, "four sessions of turns, internal work and follow-ups, three controllers that drain and cancel by files"),
    (G4, "a million permits in flight at once, and one drain"),
    (H1, "a gateway, two controllers and a script with the marker in one home, one of them killed at a random time"),
    (H3, "a controller killed before each step, from its begin to the end of its withdrawal"),
    (H5, "the gateway's wall clock stepped a day ahead"),
    (C1, "the gateway killed before each step, from its start to the end of its shutdown"),
    (C2, "the gateway killed before each step, from its start to the end of its shutdown"),
    (C3, "a restart with another process 1, as of a container, under a marker and a committed hold"),
    (C4, "no kind of thing in the place of a request opens the gate or hangs"),
    (C5, "no kind of thing in the place of a request lets a gateway start open"),
    (C6, "a dashboard's endpoint killed before each step, as HTTP clients begin, commit and cancel"),
    (C8, "a full disk under a running gateway and under a start"),
    (E1, "a gateway, two controllers and a script with the marker in one home, one of them killed at a random time"),
    (
        E2,
        "a start in a dead gateway's home, stopped for a while before each step: is the dead one ever reported drained?",
    ),
    (
        L5,
        "observers, wakers, a description, a trace and a log that never return, all at once, under a marker, a lease and a SIGTERM",
    ),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// By how many ways that share no code but the production's, and often no author's idea, a property is established.
fn means(property: PropertyId) -> Vec<&'static str> {
    let row = row(property);
    let judged = || sources::broken_gateways(&root()).iter().any(|broken| broken.breaks == property.to_string());
    let means = [
        ("proof", !proofs::of(&root(), &property.to_string()).is_empty()),
        ("interleavings", row.loom + row.many_tasks > 0),
        ("real threads under ThreadSanitizer", property == G5),
        ("model", row.liveness || !row.configurations.is_empty()),
        ("conformance suite", judged()),
        ("tests", !row.tests.is_empty()),
        ("faults", FAULTS.iter().any(|(shown, _)| *shown == property)),
        ("fleet's faults", property == E4),
    ];
    means.into_iter().filter_map(|(means, there)| there.then_some(means)).collect()
}

struct Row {
    loom: usize,
    many_tasks: usize,
    executions: usize,
    configurations: Vec<&'static str>,
    liveness: bool,
    tests: Vec<(&'static str, &'static str)>,
    seeds: Vec<String>,
    not_shown: &'static str,
}

fn row(property: PropertyId) -> Row {
    let models = models::CHECKS.iter().filter(|check| check.properties.contains(&property));
    let many_tasks = models.clone().filter(|check| check.executions.is_none());
    let explored: Vec<usize> = models.filter_map(|check| check.executions).collect();
    let beside = BESIDE.iter().find(|beside| beside.property == property).expect("every property has its line");
    let planted = catalogue::seeds().filter(|seed| seed.breaks.contains(&property)).map(|seed| seed.id.to_owned());
    let left_out = SEEDS.iter().filter(|seeded| seeded.breaks == property).map(|seeded| format!("{:?}", seeded.seed));
    let live = LIVENESS.iter().filter(|live| live.properties.contains(&property));
    let never = live.clone().filter_map(|live| live.seed).map(|seed| format!("{seed:?}"));
    let of_fleets = fleet::SEEDS.iter().map(|seeded| seeded.seed).filter(|_| property == E4);
    let of_fleets = of_fleets.chain(fleet::LIVENESS.seeds.iter().copied().filter(|_| property == L6));
    let of_fleets = of_fleets.map(|seed| format!("{seed:?}"));
    let fleets = fleet::CHECKS.iter().map(|check| check.config.name).filter(|_| property == E4);
    let configurations = CHECKS.iter().filter(|c| c.properties.contains(&property)).map(|c| c.config.name);
    let on_disk = DISK_SEEDS.iter().filter(|(breaks, _)| *breaks == property).map(|(_, (_, test))| (*test).to_owned());
    let seeds: BTreeSet<String> = planted.chain(left_out).chain(never).chain(of_fleets).chain(on_disk).collect();
    Row {
        loom: explored.len(),
        many_tasks: many_tasks.count(),
        executions: explored.iter().sum(),
        configurations: configurations.chain(fleets).collect(),
        liveness: live.count() > 0 || property == L6,
        tests: beside.tests.to_vec(),
        seeds: seeds.into_iter().collect(),
        not_shown: beside.not_shown,
    }
}

fn listed(properties: &[PropertyId]) -> String {
    properties.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// `29876` as `29,876`.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().map(|group| str::from_utf8(group).unwrap()).collect();
    groups.join(",")
}

/// The version of a package in the lock file.
fn version(package: &str) -> String {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let after = lock.split_once(&format!("name = \"{package}\"\nversion = \"")).expect("a package of the workspace").1;
    after.split_once('"').unwrap().0.to_owned()
}

/// How far the mutants have been judged.
const JUDGED_MUTANTS: &str = "Seen in one run, beside other work: of the 3,988 changes of all of `src` at commit 7895774 that compile, \
    can be switched and have no reason, 3,742 are noticed by a failing test, 243 by a test that hangs (some of these may have been slow \
    alone, on a busy machine) and 3 by none: a condition of what may still arrive that said again what another had said; a probe of a home \
    in which a drain was asked for that the gateway had yet to follow; and the pause after each change of a folder, which a quiet machine \
    notices. The condition is gone, the other two have tests of their own since, and at commit 9e8a1df a run over their three files leaves \
    none. Of the 37 changes that can't be switched, the 28 of constants of the gate's word don't compile, and each of the other nine, built \
    by itself, is noticed.";

/// Where no function is mutated, each with why.
fn not_mutated() -> String {
    let left_out = tables::NOT_MUTATED.iter().map(|(path, why)| format!("`{path}` ({why})"));
    left_out.collect::<Vec<_>>().join(", ")
}

/// The checks that have no column of their own, each with what it does not show.
fn others() -> String {
    let root = root();
    let faults = sources::faults(&root);
    let parts: Vec<String> = faults.iter().map(|(part, rows)| format!("{rows} of {}", part.to_lowercase())).collect();
    let (properties, gateways) = sources::judged(&root);
    format!(
        "- **fuzz**: `.ci/fuzz` has libFuzzer look for input that breaks what the {} targets below assert, guided by coverage, \
         beginning with the inputs in `fuzz/corpus`. `cargo xtask ci` gives each of them {} seconds, and other input every time. \
         A sample, of what is read and decided: nothing races there.\n\
         - **faults**: `.ci/faults` kills, starves, deceives and loads real processes in {} ways ({}), and fails if anything falls \
         short; `docs/reliability.md` says how often, and what came of it. A kill loses nothing that the kernel has taken over, \
         and kills at random times are as good as their number.\n\
         - **conformance**: the suite that judges any gateway in Rust by {properties} of the properties (`docs/conformance.md`) \
         judges {}, and under loom {}. Each of the {} gateways below that are broken on purpose is caught by the property that \
         it was made to break and by no other than follow from its flaw, and so are {} under loom. Without loom, sequences and \
         races are samples. It sees no files, crashes and restarts.\n",
        sources::fuzz_targets(&root).len(),
        tables::FUZZ_SECONDS,
        faults.iter().map(|(_, rows)| rows).sum::<usize>(),
        parts.join(", "),
        gateways.join(", "),
        sources::judged_under_loom(&root).join(" and "),
        sources::broken_gateways(&root).len(),
        sources::broken_under_loom(&root),
    )
}

/// Their tables.
fn tables_of_others() -> String {
    let root = root();
    let mut text =
        "\n## The fuzz targets\n\n| Target | What it looks at | Properties | Inputs kept |\n|---|---|---|---|\n"
            .to_owned();
    for sources::Target { name, what, properties, kept } in sources::fuzz_targets(&root) {
        writeln!(text, "| {name} | {what} | {} | {kept} |", properties.join(" ")).unwrap();
    }
    text.push_str("\n## The gateways that are broken on purpose\n\n| Flaw | Breaks | And with it |\n|---|---|---|\n");
    for sources::Broken { flaw, breaks, also } in sources::broken_gateways(&root) {
        writeln!(text, "| {flaw} | {breaks} | {} |", also.join(" ")).unwrap();
    }
    text
}

fn page() -> String {
    let others = others();
    let proofs = proofs::paragraphs(&root());
    let mut text = format!(
        "# What was checked\n\n\
         Made from the tables that the checks run by (`verification/protocol/tests/verification_page`); a test fails when this page differs from them. \
         Every number here is asserted by the check that it is told of. Times are left out: they are a machine's.\n\n\
         {proofs}\
         - **loom {}**: the production source, compiled with loom's primitives. Two workers without any bound, \
         three with 3 preemptions, four with 2; a plain `cargo test` explores those with over 15,000 executions with 2. What waiters sleep on is the crate's own (`src/sync/event.rs`) and is explored with \
         the rest. It does not see load buffering.\n\
         - **shuttle {}**: the same models, and models with up to 29 threads, under {} schedules drawn at random and {} drawn with {} \
         changes of priority for each, the same ones every time. A sample, not an exploration; every access counts as \
         sequentially consistent.\n\
         - **threads**: `.ci/tsan` runs the same {} models on real threads, {} rounds each, under ThreadSanitizer, after it has seen \
         each of the gate's {} orderings, weakened by one step, reported as a race. std isn't compiled for it and it knows \
         no fences, so what a contended lock of std guards is not watched \
         (`verification/interleavings/tsan.suppressions`).\n\
         - **mutants**: `cargo xtask mutants` writes every change that cargo-mutants knows of the functions of `src` into one copy of the \
         source, each behind a switch, sees which of the tests (unit tests, `tests/it`, `tests/processes`) come by which switch, and \
         fails if all that come by one are green with it. Left out are {}; and single changes, each with its reason in \
         `.cargo/mutants.toml`. At night, and by hand. It knows no memory orderings and no constant tables: those are planted with \
         the bugs below. {}\n\
         - **model**: a breadth-first explorer of the protocol over the production functions, each configuration to its end; \
         stateright {} finds the same states and steps in two of them. TLC finds the same states and steps in the two of one \
         owner, from `docs/spec/Drain.tla`, which shares no code, and each of five rules left out breaks its property there in as \
         many steps. A fleet that shares a budget is explored in the same way, over the crate's decisions about the semaphore \
         (`verification/protocol/src/fleet`), with `docs/spec/Fleet.tla` beside its first configuration, and three rules left out. \
         A reader looks at lock and status in one step, and production at one after the other: every history of up to nine events \
         shows that what production believes was so at one moment in between. The dashboard of the model writes whenever it \
         likes, which is more than the endpoint's plan lets production's write. The plan is asked beside that, at every publication, \
         for each request of an owner and of a stranger in each place (`verification/protocol/src/production/endpoint.rs`): what it \
         writes the gateway's next look grants, what it refuses the look would refuse or the endpoint's own rules do, what it waits \
         for is answered, and no stranger changes a hold by it. What happens between a plan and its look is the model's, not the plan's. \
         Bounded are the number of crashes, removals and the like, as the table below says.\n\
         - **liveness**: strongly connected components under weak fairness; each fairness is shown to be needed.\n\
         - **seeds**: bugs planted in the production source, or rules left out of the model. Each is run against the check that it \
         names, alone, and counts as killed if that fails, and for no other property than it breaks. Most are where cargo-mutants \
         can't go, which changes operators, guards of matches and whole bodies: statements left out, one condition of several, \
         constants, flags, memory orderings, races, and one for each defect of the reference.\n\
         - **steps**: what S3, S4, S5, G2 and G3 mean for two looks at one gateway is written once (`src/steps.rs`). The model, the \
         reference model, loom's models, the conformance suite and the checker of traces judge by it.\n\
         - **reference model**: 200 sequences (100 of them in a plain `cargo test`) of 10 to 60 events on a real gateway and real files, compared with a model that asks the \
         crate nothing (`verification/protocol/src/reference`), the same ones every time. `.ci/luck` tries 20,000 new ones, from a seed \
         that it draws and prints; what fails is kept in `proptest-regressions`. Independent of both are the golden table \
         (`tests/it/table.rs`), which is the specification's own, and the oracle of the faults (`verification/faults/src/oracle.rs`), \
         which judges what a reader outside has seen and knows no events.\n\
         - **fleet**: `.ci/fleet-faults` rolls ten gateways over an etcd of three members while controllers are killed and members are \
         killed, stopped and cut off, and an observer that never asks etcd counts closed gateways (E4). What is cut off is cut off from \
         what others send, by a proxy; what a member sends still arrives. A sample: whatever is closed for less than two looks isn't seen.\n\
         {others}\n\
         ## Each property\n\n\
         Each is established by at least two of these means, each on production code or tied to it as told above, and each shown to \
         fail by the bugs of the second last column.\n\n\
         | Property | Means | proved: obligations | loom: models, executions | shuttle: models | model: configurations | Tests on real threads, files and processes | Seeds \
         killed | Not shown |\n|---|---|---|---|---|---|---|---|---|\n",
        version("loom"),
        version("shuttle"),
        grouped(models::RANDOM),
        grouped(models::PCT),
        models::DEPTH,
        models::CHECKS.len(),
        grouped(models::ROUNDS),
        catalogue::seeds().filter(|seed| seed.id.starts_with("ordering-")).count(),
        not_mutated(),
        JUDGED_MUTANTS,
        version("stateright"),
    );
    for property in PROPERTIES {
        let row = row(property.id);
        let proved = proofs::of(&root(), &property.id.to_string());
        let loom = if row.loom == 0 { String::new() } else { format!("{}, {}", row.loom, grouped(row.executions)) };
        let many_tasks = if row.many_tasks == 0 { String::new() } else { row.many_tasks.to_string() };
        let mut model = row.configurations.join(", ");
        if row.liveness {
            model.push_str(if model.is_empty() { "liveness" } else { "; liveness" });
        }
        let tests: Vec<String> =
            row.tests.iter().map(|(file, test)| format!("`{file}` {}", test.replace('_', " "))).collect();
        writeln!(
            text,
            "| **{}** {} | {} | {proved} | {loom} | {many_tasks} | {model} | {} | {} | {} |",
            property.id,
            property.sentence,
            means(property.id).join(", "),
            tests.join("; ").replace(" ;", ";").trim(),
            row.seeds.len(),
            row.not_shown
        )
        .unwrap();
    }
    text.push_str(&proofs::trusted(&root()));
    text.push_str(
        "\n## The loom models\n\n| Model | Properties | Workers | Preemptions | Executions | Some execution shows |\n|---|---|---|---|---|---|\n",
    );
    for check in models::CHECKS {
        let Some(executions) = check.executions.map(grouped) else { continue };
        let bound = check.preemptions().map_or("unbounded".to_owned(), |bound| bound.to_string());
        let (name, witnesses) = (check.name, check.witnesses.join(", "));
        let properties = listed(check.properties);
        writeln!(text, "| {name} | {properties} | {} | {bound} | {executions} | {witnesses} |", check.workers).unwrap();
    }
    text.push_str(
        "\n## Models of many tasks\n\n| Model | Properties | Threads | Run by | Some schedule shows |\n|---|---|---|---|---|\n",
    );
    for check in models::CHECKS.iter().filter(|check| check.executions.is_none()) {
        let by = if check.schedules { "shuttle, threads" } else { "threads" };
        let (properties, witnesses) = (listed(check.properties), check.witnesses.join(", "));
        writeln!(text, "| {} | {properties} | {} | {by} | {witnesses} |", check.name, check.workers).unwrap();
    }
    text.push_str(
        "\n## The configurations of the model\n\n| Configuration | About | States | Steps |\n|---|---|---|---|\n",
    );
    for check in &CHECKS {
        let (states, edges) = (grouped(check.counts.states), grouped(check.counts.edges));
        writeln!(text, "| {} | {} | {states} | {edges} |", check.config.name, check.about).unwrap();
    }
    for check in &fleet::CHECKS {
        let (states, edges) = (grouped(check.counts.states), grouped(check.counts.edges));
        writeln!(text, "| {} | {} | {states} | {edges} |", check.config.name, check.about).unwrap();
    }
    text.push_str("\n## The rules left out of the model\n\n| Rule | Configuration | Breaks | Steps of the shortest counterexample |\n|---|---|---|---|\n");
    for seeded in SEEDS {
        writeln!(text, "| {:?} | {} | {} | {} |", seeded.seed, seeded.config, seeded.breaks, seeded.steps).unwrap();
    }
    for seeded in fleet::SEEDS {
        writeln!(text, "| {:?} | {} | E4 | {} |", seeded.seed, seeded.config, seeded.steps).unwrap();
    }
    for seed in fleet::LIVENESS.seeds {
        writeln!(text, "| {seed:?} | {} | L6 | for ever |", fleet::LIVENESS.config).unwrap();
    }
    text.push_str(&tables_of_others());
    text.push_str("\n## The bugs planted in the source\n\n| Seed | Breaks | What is wrong | The check that goes red |\n|---|---|---|---|\n");
    for seed in catalogue::seeds() {
        writeln!(text, "| {} | {} | {} | {} |", seed.id, listed(seed.breaks), seed.bug, seed.check.name()).unwrap();
    }
    text.push_str(
        "\n## The defects of the reference\n\n| Reference | What happened | Seeds that re-create it |\n|---|---|---|\n",
    );
    for Incident { reference, what, answer } in &INCIDENTS {
        let answer = match answer {
            Answer::Seeds(names) => names.join(", "),
            Answer::None(why) => format!("none: {why}"),
        };
        writeln!(text, "| {reference} | {what} | {answer} |").unwrap();
    }
    text
}

#[test]
fn the_page_is_made_from_the_checks() {
    generated::compare_or_write(&root(), "docs/verification.md", &page());
}

/// The names of all seeds, of whatever kind.
fn seeds() -> BTreeSet<String> {
    PROPERTIES
        .iter()
        .flat_map(|property| row(property.id).seeds)
        .chain(catalogue::seeds().map(|seed| seed.id.to_owned()))
        .collect()
}

#[test]
fn every_defect_of_the_reference_has_a_seed_that_names_it_or_a_reason() {
    let seeds = seeds();
    for Incident { reference, answer, .. } in &INCIDENTS {
        let Answer::Seeds(named) = answer else { continue };
        assert!(!named.is_empty(), "{reference} has no seed and no reason");
        for name in *named {
            assert!(seeds.contains(*name), "{reference}: there is no seed {name}");
        }
    }
    for seed in catalogue::seeds() {
        let listed =
            INCIDENTS.iter().filter(|incident| matches!(incident.answer, Answer::Seeds(ids) if ids.contains(&seed.id)));
        let listed: Vec<&str> =
            listed.map(|incident| incident.reference.split(',').next().unwrap_or_default()).collect();
        let field = seed.bug.split_once("In the field: ").map(|(_, field)| field);
        assert_eq!(
            field.is_some(),
            !listed.is_empty(),
            "{}: the catalogue or the list of incidents forgets it",
            seed.id
        );
        for reference in listed {
            assert!(field.is_some_and(|field| field.contains(reference)), "{} does not name {reference}", seed.id);
        }
    }
}

#[test]
fn no_property_is_without_a_check_or_has_fewer_than_two_seeded_bugs() {
    for property in PROPERTIES {
        let row = row(property.id);
        let checks = row.loom + row.many_tasks + row.configurations.len() + usize::from(row.liveness) + row.tests.len();
        assert!(checks > 0, "{property} has no check");
        assert!(
            row.seeds.len() >= 2,
            "{property} has the seeds {:?}: too few to show that its checks can fail",
            row.seeds
        );
    }
}

#[test]
fn every_property_is_established_by_at_least_two_means() {
    for property in PROPERTIES {
        let means = means(property.id);
        assert!(means.len() >= 2, "{property} is established by {means:?} alone");
    }
}

#[test]
fn every_fault_that_is_named_was_tried() {
    let page = fs::read_to_string(root().join("docs/reliability.md")).unwrap();
    for (property, fault) in FAULTS {
        assert!(page.contains(&format!("\n| {fault} | ")), "{property}: docs/reliability.md has no row {fault:?}");
    }
}

#[test]
fn every_test_that_is_named_is_there() {
    let named = BESIDE.iter().flat_map(|beside| beside.tests).chain(DISK_SEEDS.iter().map(|(_, test)| test));
    for (file, test) in named {
        let source = fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(source.contains(&format!("fn {test}(")), "{file} has no test {test}");
    }
}
