//! Nothing but a place for `tests/threads.rs`, which `.ci/tsan` runs under ThreadSanitizer.
