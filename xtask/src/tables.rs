//! What is tried, and for how long, where a page tells of it: `docs/verification.md` is made from these too.

/// For how many seconds each fuzz target runs.
pub const FUZZ_SECONDS: u32 = 10;

/// The files whose functions are mutated, each time with no survivor.
pub const MUTATED: &[&str] = &[
    "src/state.rs",
    "src/gate/word.rs",
    "src/hold.rs",
    "src/hold/id.rs",
    "src/hold/request.rs",
    "src/lifecycle.rs",
    "src/controller.rs",
    "src/control/request_file.rs",
    "src/control/read.rs",
    "src/control/scan.rs",
    "src/gate.rs",
    "src/gate/awaited.rs",
    "src/gate/permit.rs",
    "src/gate/refusal.rs",
    "src/gate/wait.rs",
    "src/gate/labels.rs",
    "src/sync.rs",
    "src/sync/event.rs",
    "src/reconciler.rs",
    "src/wire.rs",
    "src/clock.rs",
    "src/refusal.rs",
    "src/metrics.rs",
    "src/layer.rs",
    "src/layer/admitted.rs",
    "src/layer/body.rs",
    "src/layer/future.rs",
    "src/layer/head.rs",
    "src/layer/interruption.rs",
    "src/layer/policy.rs",
    "src/layer/service.rs",
    "src/layer/upload.rs",
    "src/client/watch.rs",
    "src/client/answer.rs",
    "src/client/chain.rs",
];
