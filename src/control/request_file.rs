//! How the bytes of a file become a request, and a request becomes bytes. Pure: [`scan`](super::scan) reads the files.
//!
//! The format is the reference's marker with more fields, the same for the marker and for every other hold. Reading is as
//! lenient as can be without ever opening the gate: a field that is missing or of the wrong type is as if it weren't
//! there, and something that makes no sense at all is a hold without content.

use super::epoch::Epoch;
use super::read::Content;
use crate::hold::fields::{self, Verb};
use crate::hold::{Action, Nonce, Request, RequestId};
use core::fmt::Write;
use serde_json::json;
use std::time::{Duration, SystemTime};

pub use crate::hold::fields::{MAX_NAME, MAX_REASON};

/// What stands at a request's path (C4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Definitely nothing: the only finding that lets the gate open.
    Absent,
    /// A request.
    Valid(Box<Request>),
    /// A request of another boot: it asks for nothing (C3). Over a hold that is known it is no absence of that hold's
    /// file: somebody else has written there (C7).
    Stale {
        /// The epoch that it was written in.
        epoch: Epoch,
        /// Which write it is.
        nonce: Nonce,
    },
    /// Something else: a hold without content.
    Unreadable {
        /// What it is.
        why: String,
        /// Which write it is, if it had content at all.
        nonce: Option<Nonce>,
    },
}

#[cfg(any(feature = "client", feature = "axum"))]
impl Found {
    /// Which write it is, if there is one that can be told from others.
    pub(crate) fn nonce(&self) -> Option<&Nonce> {
        match self {
            Self::Absent => None,
            Self::Valid(request) => request.nonce.as_ref(),
            Self::Stale { nonce, .. } => Some(nonce),
            Self::Unreadable { nonce, .. } => nonce.as_ref(),
        }
    }
}

/// What a file's content means to a gateway of this `epoch`.
///
/// ```
/// use gateway_drain::RequestId;
/// use gateway_drain::control::{Epoch, Found, read::Content, request_file::interpret};
/// use std::time::SystemTime;
///
/// let touched = Content { bytes: Vec::new(), modified: 0 };
/// let found = interpret(&touched, &RequestId::marker(), &Epoch::default(), SystemTime::now());
/// assert!(matches!(found, Found::Unreadable { .. }), "an empty marker holds the gate closed");
/// ```
#[must_use]
pub fn interpret(content: &Content, id: &RequestId, ours: &Epoch, wall: SystemTime) -> Found {
    match request_in(content, id, ours) {
        Ok((mut request, written)) => {
            request.age = age(written, wall);
            Found::Valid(request)
        }
        Err(found) => found,
    }
}

fn request_in(content: &Content, id: &RequestId, ours: &Epoch) -> Result<(Box<Request>, i128), Found> {
    let unreadable = |why: String| Found::Unreadable { why, nonce: Some(nonce_of(content)) };
    if content.bytes.is_empty() {
        return Err(unreadable("it is empty".into()));
    }
    let said = fields::in_file(&content.bytes, id).map_err(unreadable)?;
    let nonce = said.request.nonce.clone().unwrap_or_else(|| nonce_of(content));
    let epoch = Epoch::from(said.epoch);
    if epoch.differs_from(ours) {
        return Err(Found::Stale { epoch, nonce });
    }
    let action = match said.verb {
        // The marker's presence decides, whatever it says: it can only begin.
        _ if id.is_marker() => Action::Begin,
        Some(Verb::Drain) => Action::Begin,
        Some(Verb::Commit) => Action::Commit,
        Some(Verb::Cancel) => Action::Withdraw,
        Some(Verb::Override) => Action::Override,
        Some(Verb::Renew) | None => return Err(unreadable("it has no known action".into())),
    };
    let request = Request { action, nonce: Some(nonce), ..said.request };
    Ok((Box::new(request), said.requested_at.unwrap_or(content.modified)))
}

/// A write that bears no nonce is told from the next one by its content and its modification time, and by a hash that
/// every implementation can make: two of them that follow each other in a home have to agree on what has been decided.
fn nonce_of(content: &Content) -> Nonce {
    let mut nonce = String::with_capacity(40);
    for byte in &hmac_sha256::Hash::hash(&content.bytes)[..8] {
        let _ = write!(nonce, "{byte:02x}");
    }
    let _ = write!(nonce, "-{}", content.modified);
    Nonce::from(nonce)
}

/// How long ago it was written; `None` if its writer's clock says in the future.
fn age(written: i128, wall: SystemTime) -> Option<Duration> {
    let now = wall.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_nanos();
    let nanos = i128::try_from(now).ok()?.checked_sub(written)?;
    u64::try_from(nanos).ok().map(Duration::from_nanos)
}

/// The file of a request.
#[must_use]
pub fn to_bytes(request: &Request, epoch: &Epoch) -> Vec<u8> {
    to_bytes_dated(request, epoch, &now())
}

/// As [`to_bytes`], of a moment given.
pub(crate) fn to_bytes_dated(request: &Request, epoch: &Epoch, requested_at: &str) -> Vec<u8> {
    let mut fields = fields::of_file(request);
    fields.insert("requested_at".into(), json!(requested_at));
    fields.insert("epoch".into(), json!(epoch));
    let mut bytes = serde_json::to_vec_pretty(&fields).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

/// The wall clock in the reference's form: ISO 8601 with microseconds, UTC.
pub(crate) fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string()
}
