//! What is tried, and for how long, where a page tells of it: `docs/verification.md` is made from these too.

/// For how many seconds each fuzz target runs.
pub const FUZZ_SECONDS: u32 = 10;

/// The files whose functions are mutated, and the modules of `tests/it` that tell the file's rules apart: the narrowest, since a
/// mutant costs as long as they take. `lib` stands for the unit tests.
pub const MUTATED: &[(&str, &str)] = &[
    ("src/state.rs", "lib table"),
    ("src/gate/word.rs", "lib admission draining table waiting"),
    ("src/hold.rs", "hold_rules holds"),
    ("src/hold/id.rs", "names reading"),
    ("src/hold/request.rs", "lib hold_rules holds"),
    ("src/lifecycle.rs", "lib draining lifecycle table"),
    ("src/controller.rs", "lib admission draining table"),
    ("src/control/request_file.rs", "lib marker reading"),
    ("src/control/read.rs", "lib reading"),
    ("src/control/scan.rs", "lib marker reading"),
    ("src/gate.rs", "lib admission draining waiting"),
    ("src/gate/awaited.rs", "waiting workers"),
    ("src/gate/permit.rs", "admission workers"),
    ("src/gate/refusal.rs", "workers admission"),
    ("src/gate/wait.rs", "lib waiting workers"),
    ("src/gate/labels.rs", "admission memory"),
    ("src/sync.rs", "lib draining"),
    ("src/sync/event.rs", "waiting wakers workers"),
    ("src/reconciler.rs", "lib reconciler health hostile_channel"),
];
