//! How a controller's work ends: every ending told apart, and the one place where each is given its exit code.
//!
//! Pure. It relies on the gateway's own words for its answers ([`hold`](crate::hold)); the rest of the client and the
//! command line rely on it.

use super::text::shown;
use crate::hold::{Denied, Ending, NotHonoured, Outcome};
use crate::status::WorkStatus;
use core::fmt;

/// Every way in which a controller's work ends other than well.
///
/// "Drained" is not among them: it is an `Ok`, so nobody who uses `?` can take another ending for it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Failure {
    /// The time given was over, and the gateway lives and was still not drained.
    Deadline {
        /// Turns and internal work in flight at the last look.
        in_flight: u64,
        /// What is being waited for: the oldest labelled work.
        active_work: Vec<WorkStatus>,
    },
    /// The hold ended by somebody's will: its owner elsewhere, a user who removed its file, or an override.
    Withdrawn(String),
    /// The hold's lease ran out, or the drain that it was part of is over.
    LeaseLost(String),
    /// The gateway that the wait began with has been replaced by another process.
    IncarnationChanged(String),
    /// No gateway lives there, or it answers nothing.
    Unreachable(String),
    /// The gateway, or the system, does not let this owner do it.
    Denied(String),
    /// The gateway is shutting down, and that wins over every hold.
    ShuttingDown,
    /// The request is of another boot, and the gateway does not honour it.
    Ignored(String),
    /// The time given was over, and no slot of the [fleet](crate::fleet) was free. Nothing was closed.
    #[cfg(feature = "fleet")]
    NoSlot(String),
    /// What keeps the [fleet](crate::fleet)'s slots can't be reached, or keeps something else. Nothing was closed.
    #[cfg(feature = "fleet")]
    Fleet(String),
    /// The gateway keeps its slot of the [fleet](crate::fleet).
    #[cfg(feature = "fleet")]
    SlotKept(String),
    /// The waiting program asked to stop waiting.
    Interrupted,
    /// What was asked for makes no sense.
    Usage(String),
    /// What should not happen.
    Internal(String),
}

impl Failure {
    /// What an acknowledged outcome means to a waiting controller; `None` while the hold stands.
    pub(super) fn of(outcome: Outcome) -> Option<Self> {
        match outcome {
            Outcome::Held | Outcome::Pending | Outcome::Committed => None,
            Outcome::Ended(ending) => Some(ending.into()),
            Outcome::Refused(why) => Some(why.into()),
            Outcome::Ignored(NotHonoured::OtherEpoch) => {
                Some(Self::Ignored("the request was written in another epoch than the gateway's".into()))
            }
            Outcome::Ignored(NotHonoured::Unknown) => {
                Some(Self::Ignored("the gateway doesn't honour the request".into()))
            }
            Outcome::Unknown => Some(Self::Denied(
                "the gateway's answer is a word that this version doesn't know; nothing is granted".into(),
            )),
        }
    }

    /// Whether the next try may do better.
    pub(super) fn is_silence(&self) -> bool {
        matches!(self, Self::Unreachable(_))
    }
}

impl From<Ending> for Failure {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Withdrawn => Self::Withdrawn("the hold was withdrawn".into()),
            Ending::Overridden => Self::Withdrawn("somebody else ended the hold on purpose".into()),
            Ending::Expired => Self::LeaseLost("the hold's lease has run out".into()),
            Ending::Absorbed => Self::ShuttingDown,
            Ending::Unknown => Self::Withdrawn("the hold has ended".into()),
        }
    }
}

impl From<Denied> for Failure {
    fn from(why: Denied) -> Self {
        match why {
            Denied::NotHeld => Self::Withdrawn(why.to_string()),
            Denied::LeaseExpired | Denied::OtherGeneration => Self::LeaseLost(why.to_string()),
            Denied::ShuttingDown => Self::ShuttingDown,
            Denied::OtherIncarnation => Self::IncarnationChanged(why.to_string()),
            Denied::NotYours | Denied::Committed | Denied::NotDrained | Denied::NotClosedYet | Denied::Unknown => {
                Self::Denied(why.to_string())
            }
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            // A home that is mounted read-only stays so for as long as anybody would wait.
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                Self::Denied(error.to_string())
            }
            std::io::ErrorKind::InvalidInput => Self::Usage(error.to_string()),
            _ => Self::Unreachable(error.to_string()),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deadline { in_flight, active_work } => {
                write!(f, "the time is over with {in_flight} still in flight")?;
                active_work.first().map_or(Ok(()), |work| {
                    let (kind, label) = (shown(&work.kind), shown(&work.label));
                    write!(f, "; the oldest is {kind} \"{label}\" ({:.0} s)", work.age_seconds)
                })
            }
            Self::IncarnationChanged(why) => write!(f, "the gateway was replaced by another process: {}", shown(why)),
            Self::Unreachable(why) => write!(f, "the gateway can't be reached: {}", shown(why)),
            Self::Denied(why) => write!(f, "denied: {}", shown(why)),
            Self::ShuttingDown => f.write_str("the gateway is shutting down, which wins over every hold"),
            Self::Ignored(why) => write!(f, "the request is ignored: {}", shown(why)),
            #[cfg(feature = "fleet")]
            Self::NoSlot(why) => write!(f, "no slot of the fleet was free in time: {}", shown(why)),
            #[cfg(feature = "fleet")]
            Self::Fleet(why) => write!(f, "the fleet's slots: {}", shown(why)),
            #[cfg(feature = "fleet")]
            // The line that gives it back stands on a line of its own.
            Self::SlotKept(why) => {
                f.write_str("the gateway keeps its slot of the fleet: ")?;
                let mut lines = why.lines().map(shown);
                f.write_str(&lines.next().unwrap_or_default())?;
                lines.try_for_each(|line| write!(f, "\n{line}"))
            }
            Self::Interrupted => f.write_str("interrupted"),
            Self::Internal(why) => write!(f, "internal error: {}", shown(why)),
            Self::Withdrawn(why) | Self::LeaseLost(why) | Self::Usage(why) => f.write_str(&shown(why)),
        }
    }
}

impl std::error::Error for Failure {}

/// The exit codes of the command line. Scripts rely on them: a number is never given another meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ExitCode {
    /// Drained, after a wait; for what doesn't wait: done.
    Drained = 0,
    /// What should not happen.
    Internal = 1,
    /// The command line or the settings make no sense.
    Usage = 2,
    /// See [`Failure::Deadline`].
    Deadline = 3,
    /// See [`Failure::Withdrawn`].
    Withdrawn = 4,
    /// See [`Failure::LeaseLost`].
    LeaseLost = 5,
    /// See [`Failure::IncarnationChanged`].
    IncarnationChanged = 6,
    /// See [`Failure::Unreachable`].
    Unreachable = 7,
    /// See [`Failure::Denied`].
    Denied = 8,
    /// See [`Failure::ShuttingDown`].
    ShuttingDown = 9,
    /// See [`Failure::Ignored`].
    Ignored = 10,
    /// `check-trace`, `probe`: a property is broken.
    Broken = 11,
    /// `check-trace`, `probe`: there is nothing to judge by.
    Unjudged = 12,
    /// `run`: see [`Failure::NoSlot`].
    #[cfg(feature = "fleet")]
    NoSlot = 13,
    /// `run`, `fleet`: see [`Failure::Fleet`].
    #[cfg(feature = "fleet")]
    Fleet = 14,
    /// `run`, `fleet`: see [`Failure::SlotKept`].
    #[cfg(feature = "fleet")]
    SlotKept = 15,
    /// See [`Failure::Interrupted`].
    Interrupted = 130,
}

impl ExitCode {
    /// All of them, in their order.
    pub const ALL: [Self; if cfg!(feature = "fleet") { 17 } else { 14 }] = [
        Self::Drained,
        Self::Internal,
        Self::Usage,
        Self::Deadline,
        Self::Withdrawn,
        Self::LeaseLost,
        Self::IncarnationChanged,
        Self::Unreachable,
        Self::Denied,
        Self::ShuttingDown,
        Self::Ignored,
        Self::Broken,
        Self::Unjudged,
        #[cfg(feature = "fleet")]
        Self::NoSlot,
        #[cfg(feature = "fleet")]
        Self::Fleet,
        #[cfg(feature = "fleet")]
        Self::SlotKept,
        Self::Interrupted,
    ];

    /// The number.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The number under `run`, which passes its command's own numbers through: 200 more, and 230 for an interruption.
    #[must_use]
    pub const fn under_run(self) -> u8 {
        match self {
            Self::Interrupted => 230,
            other => 200 + other as u8,
        }
    }

    /// One word for scripts that read JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Drained => "drained",
            Self::Internal => "internal",
            Self::Usage => "usage",
            Self::Deadline => "deadline",
            Self::Withdrawn => "withdrawn",
            Self::LeaseLost => "lease_lost",
            Self::IncarnationChanged => "incarnation_changed",
            Self::Unreachable => "unreachable",
            Self::Denied => "denied",
            Self::ShuttingDown => "shutting_down",
            Self::Ignored => "ignored",
            Self::Broken => "broken",
            Self::Unjudged => "unjudged",
            #[cfg(feature = "fleet")]
            Self::NoSlot => "no_slot",
            #[cfg(feature = "fleet")]
            Self::Fleet => "fleet",
            #[cfg(feature = "fleet")]
            Self::SlotKept => "slot_kept",
            Self::Interrupted => "interrupted",
        }
    }

    /// What it means, for the help and the manual.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Drained => "done; after a wait: drained",
            Self::Internal => "internal error",
            Self::Usage => "the command line or the settings make no sense",
            Self::Deadline => "the time is over and work is left",
            Self::Withdrawn => "the hold was withdrawn by somebody",
            Self::LeaseLost => "the hold's lease ran out",
            Self::IncarnationChanged => "the gateway was replaced by another process",
            Self::Unreachable => "no gateway lives there, it does not answer, or there is no room to ask it",
            Self::Denied => "not allowed: not your hold, a missing token, no permission, a home that is read-only",
            Self::ShuttingDown => "the gateway is shutting down, which wins",
            Self::Ignored => "the request is of another boot and is ignored",
            Self::Broken => "`check-trace`, `probe`: a property is broken",
            Self::Unjudged => "`check-trace`, `probe`: there is nothing to judge by, or it could not be tried",
            #[cfg(feature = "fleet")]
            Self::NoSlot => "`run --fleet-lock`: the time is over and no slot was free",
            #[cfg(feature = "fleet")]
            Self::Fleet => "`--fleet-lock`: the slots can't be reached, or it is no lock of a fleet",
            #[cfg(feature = "fleet")]
            Self::SlotKept => "`--fleet-lock`: the gateway keeps its slot",
            Self::Interrupted => "interrupted; the hold stays, except under `run`",
        }
    }
}

impl From<&Failure> for ExitCode {
    fn from(failure: &Failure) -> Self {
        match failure {
            Failure::Internal(_) => Self::Internal,
            Failure::Usage(_) => Self::Usage,
            Failure::Deadline { .. } => Self::Deadline,
            Failure::Withdrawn(_) => Self::Withdrawn,
            Failure::LeaseLost(_) => Self::LeaseLost,
            Failure::IncarnationChanged(_) => Self::IncarnationChanged,
            Failure::Unreachable(_) => Self::Unreachable,
            Failure::Denied(_) => Self::Denied,
            Failure::ShuttingDown => Self::ShuttingDown,
            Failure::Ignored(_) => Self::Ignored,
            #[cfg(feature = "fleet")]
            Failure::NoSlot(_) => Self::NoSlot,
            #[cfg(feature = "fleet")]
            Failure::Fleet(_) => Self::Fleet,
            #[cfg(feature = "fleet")]
            Failure::SlotKept(_) => Self::SlotKept,
            Failure::Interrupted => Self::Interrupted,
        }
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn what_no_patience_changes_is_denied_and_what_may_pass_is_silence() {
        let of = |errno: Errno| Failure::from(std::io::Error::from(errno));
        for errno in [Errno::ACCESS, Errno::PERM, Errno::ROFS] {
            assert!(matches!(of(errno), Failure::Denied(_)), "{errno:?}");
        }
        for errno in [
            Errno::NOSPC,
            Errno::DQUOT,
            Errno::LOOP,
            Errno::IO,
            Errno::NOTDIR,
            Errno::NAMETOOLONG,
            Errno::MFILE,
            Errno::NFILE,
            Errno::NOMEM,
            Errno::STALE,
            Errno::BUSY,
            Errno::TIMEDOUT,
        ] {
            assert!(of(errno).is_silence() && of(errno).to_string().contains("os error"), "{errno:?}: {}", of(errno));
        }
    }
}
