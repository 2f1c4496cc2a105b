//! Why a gate refuses.

use crate::state::DrainState;
use core::fmt;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

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

    /// After how long a client is to come back: 3 to 7 seconds, another time for each, so that those refused together don't come
    /// back together. For the header `Retry-After`, by its `as_secs`.
    #[must_use]
    pub fn retry_after(self) -> Duration {
        Duration::from_secs(retry_after())
    }

    /// The body of a refusal over HTTP, of the type `application/problem+json` (RFC 9457), for servers that neither the tower
    /// layer nor axum's `http::refused` fits. It goes with the status 503, `Retry-After` and, in HTTP/1, `Connection: close`,
    /// and names neither the owner of a hold nor a reason.
    ///
    /// ```
    /// use gateway_drain::Refusal;
    ///
    /// assert!(Refusal::Draining.problem().contains(r#""error":"draining""#));
    /// ```
    #[must_use]
    pub fn problem(self) -> String {
        problem(503, Some("Service Unavailable"), &self.to_string(), self.word()).to_string()
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

/// After how long to come back, in seconds: spread out.
pub(crate) fn retry_after() -> u64 {
    3 + RandomState::new().hash_one(()) % 5
}

/// What went wrong, for people and for programs: the body of every answer that says no (RFC 9457, and `error`).
pub(crate) fn problem(status: u16, title: Option<&str>, detail: &str, error: &str) -> serde_json::Value {
    serde_json::json!({
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "error": error,
    })
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
