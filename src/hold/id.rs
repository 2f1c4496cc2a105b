//! The names that requests bear: which hold, which write of it, and which process it is meant for.

use core::fmt;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The name of a hold; on disk, the name of its file.
///
/// ```
/// use gateway_drain::RequestId;
///
/// assert_eq!(RequestId::new("upgrade-42").unwrap().as_str(), "upgrade-42");
/// assert!(RequestId::new("../escape").is_err());
/// assert!(RequestId::new("marker").is_err(), "the marker file is that hold's only way in");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RequestId(Arc<str>);

/// A text that can't be a [`RequestId`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidRequestId(String);

impl fmt::Display for InvalidRequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(text) = self;
        write!(
            f,
            "{text:?} is no request id: use 1 to {} of the characters A-Z a-z 0-9 . _ - (no dot in front), other than \
             \"marker\"",
            RequestId::MAX_LEN
        )
    }
}

impl std::error::Error for InvalidRequestId {}

impl RequestId {
    /// The longest request id, in bytes.
    pub const MAX_LEN: usize = 64;

    /// What [`new`](Self::new) accepts, and the marker's name, as a regular expression for other programs.
    pub const PATTERN: &str = "^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$";

    const MARKER: &str = "marker";
    const FOUND: char = '!';

    /// Checks a name given from outside.
    ///
    /// # Errors
    /// [`InvalidRequestId`] unless it is 1 to 64 of `A-Z a-z 0-9 . _ -` without a dot in front, and not `marker`.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidRequestId> {
        let text = text.into();
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let sound = (1..=Self::MAX_LEN).contains(&text.len())
            && text.bytes().all(allowed)
            && !text.starts_with('.')
            && text != Self::MARKER;
        if sound { Ok(Self(text.into())) } else { Err(InvalidRequestId(text)) }
    }

    /// A name that nobody else has.
    #[must_use]
    pub fn random() -> Self {
        Self(random_hex().into())
    }

    /// The hold that the marker file stands for.
    #[must_use]
    pub fn marker() -> Self {
        Self(Self::MARKER.into())
    }

    /// The hold that stands for something found in the channel that has no name of its own. The exclamation mark keeps
    /// it apart from every name that [`new`](Self::new) accepts.
    pub(crate) fn found(what: &str) -> Self {
        Self(format!("{}{what}", Self::FOUND).into())
    }

    /// Whether it stands for something that has [no name of its own](Self::found).
    pub(crate) fn is_found(&self) -> bool {
        self.0.starts_with(Self::FOUND)
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is [the marker's](Self::marker) name.
    #[must_use]
    pub fn is_marker(&self) -> bool {
        *self.0 == *Self::MARKER
    }
}

/// What a status may name: what [`RequestId::new`] accepts, the marker, and what was found without a name of its own.
impl TryFrom<String> for RequestId {
    type Error = InvalidRequestId;

    fn try_from(text: String) -> Result<Self, InvalidRequestId> {
        let found = text.starts_with(Self::FOUND) && !text.contains('/');
        if text == Self::MARKER || found { Ok(Self(text.into())) } else { Self::new(text) }
    }
}

impl From<RequestId> for String {
    fn from(id: RequestId) -> Self {
        id.0.as_ref().into()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What tells one write of a hold from every other. The gateway decides each nonce once, and its status acknowledges it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Nonce(Arc<str>);

impl Nonce {
    /// 128 random bits, in hexadecimal.
    #[must_use]
    pub fn fresh() -> Self {
        Self(random_hex().into())
    }

    /// The nonce.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Nonce {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which process a gateway is: random, made at every start. Empty where nobody says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Incarnation(String);

impl Incarnation {
    /// 128 random bits, in hexadecimal.
    #[must_use]
    pub fn fresh() -> Self {
        Self(random_hex())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Incarnation {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn random_hex() -> String {
    let mut bytes = [0; 16];
    if getrandom::fill(&mut bytes).is_err() {
        // No random source this early in a boot: process, time and address still tell two names apart.
        let seen = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let here = std::ptr::from_ref(&bytes).addr() as u128;
        bytes = (seen.as_nanos() ^ (u128::from(std::process::id()) << 96) ^ (here << 48)).to_be_bytes();
    }
    format!("{:032x}", u128::from_be_bytes(bytes))
}
