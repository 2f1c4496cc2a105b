//! What a gate tells of itself.

use super::word;
use crate::state::DrainState;
use crate::steps;
use core::fmt;
use serde::{Deserialize, Serialize};

/// Which drain of this process: a count that rises whenever the gate closes.
///
/// A waiter carries the generation of the drain that it waits for, and never completes for another one (G4). 22 bits
/// wide: a waiter would have to sleep through exactly 4,194,304 drains to take one for another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub(crate) u32);

impl Generation {
    /// The last one; after it comes 0 again.
    pub const MAX: u32 = word::MAX_GENERATION;
}

impl From<u32> for Generation {
    /// Of the low 22 bits.
    fn from(count: u32) -> Self {
        Self(count & Self::MAX)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Everything a gate knows, read in one step: no field can contradict another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Where the gateway stands.
    pub state: DrainState,
    /// The drain under way or, while running, the last one.
    pub generation: Generation,
    /// Turns in flight. Only falls while draining (G2).
    pub in_flight: u64,
    /// Internal work in flight, counted apart.
    pub internal: u64,
    /// Closed and nothing in flight; stays true until the drain ends (G3).
    pub drained: bool,
    /// Work in flight has been asked to give up.
    pub interrupted: bool,
    /// The gateway was stopped by force with work in flight; what is counted above is abandoned (S5).
    pub abandoned: bool,
}

impl Reading {
    /// Turns and internal work together.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.in_flight + self.internal
    }

    /// What of it the [properties](steps) are judged by.
    #[must_use]
    pub fn moment(&self) -> steps::Moment {
        let Self { state, in_flight: turns, internal, drained, abandoned, .. } = *self;
        steps::Moment { state, drain: self.generation.0.into(), turns, internal, drained, abandoned }
    }
}
