//! Sown in the file channel: its readers, its writer, the epoch, and the home with its lock.

use super::Check::Test;
use super::Seed;

/// The seeds.
pub const SEEDS: &[Seed] = &[Seed {
    id: "irregular-file-is-absent",
    breaks: &["C4"],
    bug: "Something that is no regular file counts as absent. In the field: what could not be read was taken for nothing.",
    file: "control/read.rs",
    within: "Unreadable::Kind(kind(file_type(&seen)))",
    find: "Unreadable::Kind(kind(file_type(&seen)))",
    replace: "Unreadable::Missing",
    check: Test("reconciler::whatever_stands_in_the_channel_closes_the_gate_and_is_named"),
}];
