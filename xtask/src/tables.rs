//! What is tried, and for how long, where a page tells of it: `docs/verification.md` is made from these too.

/// For how many seconds each fuzz target runs.
pub const FUZZ_SECONDS: u32 = 10;

/// Where no function is mutated: how the path begins, and why.
pub const NOT_MUTATED: &[(&str, &str)] = &[
    ("src/judge/conformance.rs", "the root of the next"),
    (
        "src/judge/conformance",
        "the conformance suite, a test itself: the broken gateways of `tests/external` are its mutants",
    ),
    ("src/bin", "it calls the library's command line, and nothing else"),
    ("src/properties.rs", "the texts of the properties, which the pages' tests compare"),
    ("src/control/changes/nothing.rs", "compiled where there is no inotify, and nowhere here"),
    ("src/sync/model.rs", "compiled for loom's models alone"),
];
