//! The published snapshot: `gateway_state.json`, its single writer, and the readouts that others derive from it.
//!
//! The reference's fields stand at the top, ours under `drain`. A snapshot is made of one moment of the gateway, so its
//! `running` is said only of a gate that admits (S6), and it is only ever published whole (C1).
//!
//! | Module | What it is |
//! |---|---|
//! | `snapshot` | what a status says, and how one is made of a moment of the gateway |
//! | `words` | reading a status of any version: what lacks is a default, and a word that isn't known grants nothing |
//! | `takeover` | what a restart takes over: from the status or, if that is lost, from the record of commits |
//! | `age` | how old a status may be and still be believed |
//! | `readout` | what the reference's public status says, derived from a snapshot |
//! | `writer` | the one who may publish in a home |

#[cfg_attr(not(any(feature = "axum", feature = "client")), allow(dead_code, reason = "its readers are features"))]
mod age;
mod readout;
mod snapshot;
mod takeover;
mod words;
mod writer;

#[cfg(any(feature = "axum", feature = "client"))]
pub(crate) use age::silent_for;
pub use readout::Readout;
#[cfg(any(feature = "axum", feature = "client"))]
pub(crate) use snapshot::asked_by;
pub(crate) use snapshot::{ChannelState, Process};
pub use snapshot::{
    Description, DrainStatus, FORMAT, GatewayState, HoldStatus, Ignored, IgnoredKind, ReconcilerStatus, Snapshot,
    WorkStatus,
};
pub use takeover::{CommitRecord, HoldTimes, Takeover, take_over};
pub(crate) use writer::StatusWriter;

use std::time::Duration;

/// Seconds to the millisecond: more would be noise.
fn seconds(duration: Duration) -> f64 {
    Duration::from_millis(millis(duration)).as_secs_f64()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
