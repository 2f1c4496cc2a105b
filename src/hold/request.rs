//! What a controller asks of a hold, and what it is answered.

use super::ledger::HoldPlace;
use super::{Incarnation, Nonce, Notes, RequestId};
use crate::gate::Generation;
use core::fmt;
use serde::de::IntoDeserializer;
use serde::de::value::StrDeserializer;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What a request wants. The words on the wire are the endpoint's: `drain`, `commit`, `cancel`, `override`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Action {
    /// Hold the gate closed; for a hold that exists, renew its lease.
    #[serde(rename = "drain")]
    Begin,
    /// Trade "drained" for the right to act.
    #[serde(rename = "commit")]
    Commit,
    /// Give up one's own hold.
    #[serde(rename = "cancel")]
    Withdraw,
    /// End somebody else's hold, explicitly and on record.
    #[serde(rename = "override")]
    Override,
}

/// Where a hold is kept, and so what its absence means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A call in the gateway's own process. It ends with the process.
    #[default]
    Process,
    /// The marker, or a file of its own: while uncommitted, the absence of the file withdraws it.
    File,
}

/// One request about one hold.
///
/// ```
/// use gateway_drain::{Request, RequestId};
/// use std::time::Duration;
///
/// let request = Request::begin(RequestId::new("upgrade-42")?, "deploy-bot")
///     .reason("upgrade to 1.4")
///     .lease(Duration::from_secs(600));
/// # Ok::<(), gateway_drain::hold::InvalidRequestId>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Request {
    /// Which hold.
    pub id: RequestId,
    /// What is wanted.
    pub action: Action,
    /// Who asks. A hold belongs to the owner who began it.
    pub owner: String,
    /// What is said of the hold for people.
    pub notes: Notes,
    /// How long the hold lasts without a renewal; the gateway's default if `None`, and never more than its limit.
    pub lease: Option<Duration>,
    /// How long after the commit the act may take before the hold is shown as overdue.
    pub deadline: Option<Duration>,
    /// How long readiness fails before the gate closes, for load balancers to notice.
    pub unready_delay: Duration,
    /// Asks that a shutdown under this hold notifies nobody.
    pub suppress_notification: bool,
    /// This write; `None` only for something in the channel that can't be read, which renews nothing.
    pub nonce: Option<Nonce>,
    /// How old its own timestamp makes it. Counted against the lease if that is sane.
    pub age: Option<Duration>,
    /// The only process it is meant for, if any.
    pub incarnation: Option<Incarnation>,
    /// The drain that a commit has seen.
    pub generation: Option<Generation>,
    /// To withdraw a committed hold: the nonce of its commit.
    pub token: Option<Nonce>,
    /// Where it is kept.
    pub source: Source,
    /// It was written in another epoch: it asks for nothing, and is answered so (C3).
    pub stale: bool,
}

impl Request {
    fn new(action: Action, id: RequestId, owner: impl Into<String>) -> Self {
        let (owner, nonce) = (owner.into(), Some(Nonce::fresh()));
        Self { action, owner, nonce, source: Source::Process, ..Self::blank(id) }
    }

    /// What a file says that says nothing: it has no name that tells it from the next write.
    pub(crate) fn blank(id: RequestId) -> Self {
        Self {
            action: Action::Begin,
            owner: String::new(),
            notes: Notes::default(),
            lease: None,
            deadline: None,
            unready_delay: Duration::ZERO,
            suppress_notification: false,
            nonce: None,
            age: None,
            incarnation: None,
            generation: None,
            token: None,
            source: Source::File,
            stale: false,
            id,
        }
    }

    /// Where its hold is kept.
    pub(super) fn place(&self) -> HoldPlace {
        (self.id.clone(), self.source)
    }

    /// To hold the gate closed, or to renew such a hold.
    #[must_use]
    pub fn begin(id: RequestId, owner: impl Into<String>) -> Self {
        Self::new(Action::Begin, id, owner)
    }

    /// To commit: the gate must still be drained, in the very process and drain that the owner saw.
    #[must_use]
    pub fn commit(id: RequestId, owner: impl Into<String>, incarnation: Incarnation, generation: Generation) -> Self {
        Self { incarnation: Some(incarnation), generation: Some(generation), ..Self::new(Action::Commit, id, owner) }
    }

    /// To give up one's own hold. A committed one wants its [`token`](Self::token) too.
    #[must_use]
    pub fn withdraw(id: RequestId, owner: impl Into<String>) -> Self {
        Self::new(Action::Withdraw, id, owner)
    }

    /// To end somebody else's hold. A program that offers this to others authorises it separately.
    #[must_use]
    pub fn override_hold(id: RequestId, by: impl Into<String>) -> Self {
        Self::new(Action::Override, id, by)
    }

    /// Sets [`reason`](Notes::reason) among the [`notes`](Self::notes).
    #[must_use]
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.notes.reason = reason.into();
        self
    }

    /// Sets [`ticket`](Notes::ticket) among the [`notes`](Self::notes).
    #[must_use]
    pub fn ticket(mut self, ticket: impl Into<String>) -> Self {
        self.notes.ticket = ticket.into();
        self
    }

    /// Sets [`lease`](Self::lease).
    #[must_use]
    pub fn lease(self, lease: Duration) -> Self {
        Self { lease: Some(lease), ..self }
    }

    /// Sets [`deadline`](Self::deadline).
    #[must_use]
    pub fn deadline(self, deadline: Duration) -> Self {
        Self { deadline: Some(deadline), ..self }
    }

    /// Sets [`unready_delay`](Self::unready_delay).
    #[must_use]
    pub fn unready_delay(self, delay: Duration) -> Self {
        Self { unready_delay: delay, ..self }
    }

    /// Sets [`suppress_notification`](Self::suppress_notification).
    #[must_use]
    pub fn suppress_notification(self, suppress: bool) -> Self {
        Self { suppress_notification: suppress, ..self }
    }

    /// Sets [`token`](Self::token).
    #[must_use]
    pub fn token(self, token: Nonce) -> Self {
        Self { token: Some(token), ..self }
    }

    /// Sets [`incarnation`](Self::incarnation): any other process refuses the request.
    #[must_use]
    pub fn only_for(self, incarnation: Incarnation) -> Self {
        Self { incarnation: Some(incarnation), ..self }
    }
}

/// How a hold ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Its owner gave it up, or its file was removed before it was committed.
    Withdrawn,
    /// Its lease ran out (H3).
    Expired,
    /// Somebody else ended it on purpose.
    Overridden,
    /// A shutdown took it in: it was of the process's own.
    Absorbed,
    /// A word that this version doesn't know: it has ended, and nothing more is known.
    #[serde(other)]
    Unknown,
}

/// Why a request was refused. A refusal changes no hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Denied {
    /// The hold belongs to somebody else (H2).
    NotYours,
    /// There is no such hold.
    NotHeld,
    /// The hold's lease has run out.
    LeaseExpired,
    /// The hold is committed and the request doesn't bear its token (H4).
    Committed,
    /// Work is in flight.
    NotDrained,
    /// The hold has not closed the gate yet: its unready delay is running.
    NotClosedYet,
    /// It was meant for another process.
    OtherIncarnation,
    /// It was meant for an earlier drain.
    OtherGeneration,
    /// The gateway is shutting down, and that wins.
    ShuttingDown,
    /// A word that this version doesn't know: nothing was granted.
    #[serde(other)]
    Unknown,
}

/// Why a write is not honoured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NotHonoured {
    /// It was written in another epoch (C3).
    OtherEpoch,
    /// A word that this version doesn't know.
    #[serde(other)]
    Unknown,
}

impl Ending {
    /// All that a gateway of this version says.
    pub const ALL: [Self; 4] = [Self::Withdrawn, Self::Expired, Self::Overridden, Self::Absorbed];
}

impl Denied {
    /// All that a gateway of this version says.
    pub const ALL: [Self; 9] = [
        Self::NotYours,
        Self::NotHeld,
        Self::LeaseExpired,
        Self::Committed,
        Self::NotDrained,
        Self::NotClosedYet,
        Self::OtherIncarnation,
        Self::OtherGeneration,
        Self::ShuttingDown,
    ];
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotYours => "the hold belongs to somebody else",
            Self::NotHeld => "there is no such hold",
            Self::LeaseExpired => "the hold's lease has run out",
            Self::Committed => "the hold is committed, and only its token ends it",
            Self::NotDrained => "work is still in flight",
            Self::NotClosedYet => "the hold has not closed the gate yet",
            Self::OtherIncarnation => "the request is meant for another process",
            Self::OtherGeneration => "the request is meant for an earlier drain",
            Self::ShuttingDown => "the gateway is shutting down",
            Self::Unknown => "for a reason that this version doesn't know",
        })
    }
}

impl std::error::Error for Denied {}

/// What became of a request. It is what the gateway's status acknowledges (C6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome", content = "why", from = "Words")]
#[non_exhaustive]
pub enum Outcome {
    /// The hold keeps the gate closed.
    Held,
    /// The hold will close the gate when its unready delay is over.
    Pending,
    /// The hold is committed: its owner may act.
    Committed,
    /// The hold has ended.
    Ended(Ending),
    /// The request had no effect.
    Refused(Denied),
    /// The write asks for nothing: it is not honoured.
    Ignored(NotHonoured),
    /// A word that this version doesn't know. It grants nothing.
    Unknown,
}

impl Outcome {
    /// For code that goes on with `?`: what was refused is an error.
    ///
    /// # Errors
    /// Why the request was refused.
    pub fn granted(self) -> Result<Self, Denied> {
        match self {
            Self::Refused(why) => Err(why),
            granted => Ok(granted),
        }
    }

    /// Whether what was written is over and done with: it holds nothing, and never will. Not so what a shutdown has answered, which
    /// would still hold the next process.
    #[cfg(any(feature = "axum", feature = "client"))]
    pub(crate) fn is_over(self) -> bool {
        match self {
            Self::Ended(ending) => ending != Ending::Absorbed,
            Self::Refused(why) => why != Denied::ShuttingDown,
            Self::Ignored(_) => true,
            Self::Held | Self::Pending | Self::Committed | Self::Unknown => false,
        }
    }
}

/// An outcome as it is read: words, whether or not this version knows them.
#[derive(Deserialize)]
struct Words {
    #[serde(default)]
    outcome: String,
    #[serde(default)]
    why: Option<String>,
}

impl From<Words> for Outcome {
    fn from(words: Words) -> Self {
        fn why<T: for<'de> Deserialize<'de>>(words: &Words, unknown: T) -> T {
            let word = words.why.as_deref().unwrap_or_default();
            let word: StrDeserializer<'_, serde::de::value::Error> = word.into_deserializer();
            T::deserialize(word).unwrap_or(unknown)
        }
        match words.outcome.as_str() {
            "held" => Self::Held,
            "pending" => Self::Pending,
            "committed" => Self::Committed,
            "ended" => Self::Ended(why(&words, Ending::Unknown)),
            "refused" => Self::Refused(why(&words, Denied::Unknown)),
            "ignored" => Self::Ignored(why(&words, NotHonoured::Unknown)),
            _ => Self::Unknown,
        }
    }
}
