//! Where a kind of lines has got to, by the state, the drain and the counts that each line bears, and what can come after
//! it: the [table](next), and what the gate's rules allow behind a closed gate.

use super::{Breach, breach};
use crate::gate::Generation;
use crate::properties::PropertyId;
use crate::state::{DrainState, Event, Step, next};
use crate::steps::{Moment, keeps};
use crate::trace::line::Line;

/// How many moves a present line may be ahead of the history.
pub(super) const AHEAD: u32 = 64;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) turns: u64,
    pub(super) internal: u64,
}

impl Counts {
    pub(super) fn of(line: &Line) -> Option<Self> {
        Some(Self { turns: line.in_flight?, internal: line.internal? })
    }

    pub(super) fn is_zero(self) -> bool {
        self == Self::default()
    }

    /// One moment of a drain that is drained once nothing is in flight.
    fn in_a_drain(self) -> Moment {
        let Self { turns, internal } = self;
        let state = DrainState::ExternalDraining;
        Moment { state, drain: 0, turns, internal, drained: self.is_zero(), abandoned: false }
    }

    /// Whether these counts can become the later ones behind a closed gate.
    pub(super) fn fall_to(self, later: Self) -> Result<(), Breach> {
        let keeps = |property| keeps(property, &self.in_a_drain(), &later.in_a_drain());
        if !keeps(PropertyId::G3) {
            let what = format!("the gate was drained, and {later} are in flight in the same drain");
            return breach(PropertyId::G3, what);
        }
        if !keeps(PropertyId::G2) {
            let (turns, later) = (self.turns, later.turns);
            let what = format!("the turns in flight rose from {turns} to {later} while the gate was closed");
            return breach(PropertyId::G2, what);
        }
        Ok(())
    }
}

impl core::fmt::Display for Counts {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { turns, internal } = self;
        write!(f, "{turns} turn(s) and {internal} piece(s) of internal work")
    }
}

/// Where a kind of lines has got to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Position {
    pub(super) state: DrainState,
    pub(super) generation: Generation,
    pub(super) counts: Counts,
    /// The counts at the first line behind this closed gate.
    pub(super) first: Counts,
}

impl Position {
    pub(super) fn of(line: &Line, counts: Counts) -> Self {
        Self { state: line.state, generation: line.generation, counts, first: counts }
    }

    pub(super) fn is_at(&self, state: DrainState, generation: Generation) -> bool {
        self.state == state && self.generation == generation
    }

    /// In one and the same drain, whatever its kind.
    pub(super) fn shares_drain(&self, other: &Self) -> bool {
        self.generation == other.generation && !self.state.admits() && !other.state.admits()
    }

    /// Rises along every path through the table.
    pub(super) fn rank(state: DrainState, generation: Generation) -> (u32, u8) {
        let within = match state {
            DrainState::ExternalDraining => 0,
            DrainState::Running => 1,
            DrainState::ShutdownDraining => 2,
            DrainState::Stopped => 3,
        };
        // A shutdown out of Running opens a generation, one out of a drain doesn't: both come after all before them.
        (generation.0, within)
    }

    pub(super) fn move_to(&mut self, to: &Self) -> Result<(), Breach> {
        if self.shares_drain(to) {
            self.counts.fall_to(to.counts)?;
            if self.state == DrainState::Stopped && to.counts.internal > self.counts.internal {
                return breach(PropertyId::S4, "internal work was admitted by a stopped gateway");
            }
            *self = Self { first: self.first, ..*to };
        } else {
            *self = *to;
        }
        Ok(())
    }
}

/// Whether a present line can be where it says: at most [`AHEAD`] moves of the table ahead of the one before it.
pub(super) fn reach(from: &Position, to: &Position) -> Result<(), Breach> {
    if from.is_at(to.state, to.generation) {
        return Ok(());
    }
    let mut frontier = vec![(from.state, from.generation)];
    for _ in 0..AHEAD {
        let mut further = Vec::with_capacity(4);
        for (state, generation) in frontier {
            for event in Event::ALL {
                let Step::Moves(moved) = next(state, event) else { continue };
                let drain = if state.admits() { following(generation) } else { generation };
                if to.is_at(moved, drain) {
                    return Ok(());
                }
                if drain.0 <= to.generation.0 {
                    further.push((moved, drain));
                }
            }
        }
        if further.is_empty() {
            break;
        }
        further.sort_unstable_by_key(|(state, generation)| Position::rank(*state, *generation));
        further.dedup();
        frontier = further;
    }
    let property = match from.state {
        DrainState::Stopped => PropertyId::S4,
        DrainState::ShutdownDraining => PropertyId::S3,
        _ if to.generation.0 < from.generation.0 => PropertyId::G4,
        _ => PropertyId::S1,
    };
    let (Position { state, generation, .. }, at) = (from, format!("{} in drain {}", to.state, to.generation));
    breach(property, format!("the gate was seen in {state} in drain {generation}, from which nothing leads to {at}"))
}

pub(super) fn following(generation: Generation) -> Generation {
    Generation((generation.0 + 1) & Generation::MAX)
}
