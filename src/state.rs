//! The specification: four states, four events and one total table.
//!
//! Pure and `const`. It relies on nothing; everything else relies on it. [`TABLE`] is the one place where the rules are
//! written: the typestates of [`lifecycle`](crate::lifecycle) and the [`Controller`](crate::Controller) are checked
//! against it, and the tables and diagrams in `docs/` are generated from it.

use core::fmt;
use serde::{Deserialize, Serialize};

/// Where a gateway stands between taking work and having ended.
///
/// ```
/// use gateway_drain::DrainState;
///
/// assert!(DrainState::Running.admits());
/// assert!(DrainState::ExternalDraining.is_draining());
/// assert!(!DrainState::Stopped.is_draining());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "axum", derive(utoipa::ToSchema))]
#[repr(u8)]
pub enum DrainState {
    /// Takes new work.
    Running = 0,
    /// Takes no new work because somebody holds the gate closed; takes work again when the last hold is gone.
    ExternalDraining = 1,
    /// Takes no new work because the process ends. There is no way back (S3).
    ShutdownDraining = 2,
    /// Has ended. Final (S4).
    Stopped = 3,
}

/// What can happen to a gateway's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Event {
    /// The first hold appears.
    BeginDrain = 0,
    /// The last hold is gone.
    EndDrain = 1,
    /// The process is asked to end.
    BeginShutdown = 2,
    /// The shutdown is over: nothing is in flight, or what is left is abandoned.
    Stop = 3,
}

/// What the table says of an event in a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// The state changes to this one.
    Moves(DrainState),
    /// Nothing changes and nothing is wrong: the event is idempotent (S2).
    Stays,
    /// The event is not allowed here, and why.
    Refused(Denial),
}

/// Why the table refuses an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Denial {
    /// Only a shutdown ends in [`DrainState::Stopped`].
    NotShuttingDown,
    /// A shutdown has begun, and it wins over every drain (S3).
    ShutdownWins,
    /// The gateway has stopped, and that is final (S4).
    StoppedIsFinal,
}

/// The rules: `TABLE[state][event]`.
///
/// Upholds S1 (there are no other transitions), S2 (each event that has had its effect stays), S3 and S4.
pub const TABLE: [[Step; 4]; 4] = {
    use Denial::{NotShuttingDown, ShutdownWins, StoppedIsFinal};
    use DrainState::{ExternalDraining, Running, ShutdownDraining, Stopped};
    use Step::{Moves, Refused, Stays};
    [
        //  BeginDrain               EndDrain                  BeginShutdown             Stop
        [Moves(ExternalDraining), Stays, Moves(ShutdownDraining), Refused(NotShuttingDown)],
        [Stays, Moves(Running), Moves(ShutdownDraining), Refused(NotShuttingDown)],
        [Refused(ShutdownWins), Refused(ShutdownWins), Stays, Moves(Stopped)],
        [Refused(StoppedIsFinal), Refused(StoppedIsFinal), Refused(StoppedIsFinal), Stays],
    ]
};

/// The table's answer for one event in one state.
///
/// ```
/// use gateway_drain::state::{Denial, DrainState, Event, Step, next};
///
/// assert_eq!(next(DrainState::Running, Event::BeginDrain), Step::Moves(DrainState::ExternalDraining));
/// assert_eq!(next(DrainState::ShutdownDraining, Event::EndDrain), Step::Refused(Denial::ShutdownWins));
/// ```
#[must_use]
pub const fn next(state: DrainState, event: Event) -> Step {
    TABLE[state as usize][event as usize]
}

impl DrainState {
    /// All states, in the order of the table.
    pub const ALL: [Self; 4] = [Self::Running, Self::ExternalDraining, Self::ShutdownDraining, Self::Stopped];

    /// Whether new turns are admitted.
    #[must_use]
    pub const fn admits(self) -> bool {
        matches!(self, Self::Running)
    }

    /// Whether work in flight is being waited for, for either reason.
    #[must_use]
    pub const fn is_draining(self) -> bool {
        matches!(self, Self::ExternalDraining | Self::ShutdownDraining)
    }

    /// Whether the process is on its way out, or has ended: no hold reopens the gate any more (S3).
    #[must_use]
    pub const fn is_ending(self) -> bool {
        matches!(self, Self::ShutdownDraining | Self::Stopped)
    }

    /// The state's name on the wire (`drain.state`).
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::ExternalDraining => "external_draining",
            Self::ShutdownDraining => "shutdown_draining",
            Self::Stopped => "stopped",
        }
    }
}

impl Event {
    /// All events, in the order of the table.
    pub const ALL: [Self; 4] = [Self::BeginDrain, Self::EndDrain, Self::BeginShutdown, Self::Stop];
}

impl fmt::Display for DrainState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotShuttingDown => "only a gateway that shuts down can stop: begin the shutdown first",
            Self::ShutdownWins => "the gateway is shutting down, and a shutdown wins over every drain",
            Self::StoppedIsFinal => "the gateway has stopped, and that is final",
        })
    }
}

impl std::error::Error for Denial {}
