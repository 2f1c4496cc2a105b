//! Nothing but its tests: what they judge is the crate itself, built with `--cfg loom`.
