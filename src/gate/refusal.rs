//! Why a gate refuses.

use crate::state::DrainState;
use core::fmt;

/// Why a gate refused.
///
/// Nothing has begun when it is returned: the caller may retry elsewhere without fear of doing the work twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// A drain that can be reversed is under way.
    Draining,
    /// The gateway is about to end.
    ShuttingDown,
    /// The gateway has ended.
    Stopped,
    /// As much is in flight as the gate can count: 16,777,215 turns, 16,383 pieces of internal work.
    Saturated,
}

impl Refusal {
    /// Its word on the wire and in metrics: `draining`, `shutting_down`, `stopped` or `saturated`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::ShuttingDown => "shutting_down",
            Self::Stopped => "stopped",
            Self::Saturated => "saturated",
        }
    }

    /// Whether this same gateway may admit the work later. If not, only another one (or its successor) will.
    ///
    /// ```
    /// use gateway_drain::Refusal;
    ///
    /// assert!(Refusal::Draining.is_retryable());
    /// assert!(!Refusal::ShuttingDown.is_retryable());
    /// ```
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        !self.is_final()
    }

    /// Whether this gateway will never admit anything again: it is shutting down, or has stopped (S3, S4). A worker that
    /// is told so gives back what it has in hand and ends.
    ///
    /// ```
    /// use gateway_drain::Refusal;
    ///
    /// assert!(Refusal::ShuttingDown.is_final());
    /// assert!(!Refusal::Draining.is_final());
    /// ```
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::ShuttingDown | Self::Stopped)
    }

    /// What a gate in this state answers to everybody; `None` if it admits.
    pub(super) const fn of(state: DrainState) -> Option<Self> {
        match state {
            DrainState::Running => None,
            DrainState::ExternalDraining => Some(Self::Draining),
            DrainState::ShutdownDraining => Some(Self::ShuttingDown),
            DrainState::Stopped => Some(Self::Stopped),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Draining => "the gateway is draining and takes no new work at the moment; try again later",
            Self::ShuttingDown => "the gateway is shutting down and takes no new work",
            Self::Stopped => "the gateway has stopped",
            Self::Saturated => "the gateway has as much work in flight as it can count; try again later",
        })
    }
}

impl std::error::Error for Refusal {}
