//! What a principal may do.

use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One thing that a principal may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Scope {
    /// See holds, with their owners and reasons.
    Read = 1,
    /// Begin, renew, commit and cancel one's own holds. Who may do that may also [`Read`](Self::Read).
    Drain = 2,
    /// End somebody else's hold.
    Override = 4,
    /// Begin a shutdown.
    Restart = 8,
}

impl Scope {
    /// All scopes.
    pub const ALL: [Self; 4] = [Self::Read, Self::Drain, Self::Override, Self::Restart];

    /// Its word in settings and in the description of the routes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Drain => "drain",
            Self::Override => "override",
            Self::Restart => "restart",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of scopes; in settings, their words with spaces in between.
///
/// ```
/// use gateway_drain::http::auth::{Scope, Scopes};
///
/// let scopes: Scopes = "drain restart".parse()?;
/// assert!(scopes.contains(Scope::Drain) && scopes.contains(Scope::Restart));
/// assert!(scopes.contains(Scope::Read), "who may drain may look");
/// assert!(!scopes.contains(Scope::Override));
/// # Ok::<(), gateway_drain::http::auth::UnknownScope>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    /// Every scope.
    pub const ALL: Self = Self(1 | 2 | 4 | 8);

    /// Whether the scope is among them.
    #[must_use]
    pub const fn contains(self, scope: Scope) -> bool {
        self.0 & scope as u8 != 0
    }
}

impl From<Scope> for Scopes {
    fn from(scope: Scope) -> Self {
        let implied = if scope == Scope::Drain { Scope::Read as u8 } else { 0 };
        Self(scope as u8 | implied)
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | Self::from(scope).0))
    }
}

/// A word that is no scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownScope(String);

impl fmt::Display for UnknownScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no scope: the scopes are {}", self.0, Scope::ALL.map(Scope::as_str).join(", "))
    }
}

impl std::error::Error for UnknownScope {}

impl FromStr for Scopes {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        let scope = |word: &str| {
            let known = Scope::ALL.into_iter().find(|scope| scope.as_str() == word);
            known.ok_or_else(|| UnknownScope(word.into()))
        };
        text.split_whitespace().map(scope).collect()
    }
}

impl Serialize for Scopes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let words: Vec<&str> =
            Scope::ALL.into_iter().filter(|scope| self.contains(*scope)).map(Scope::as_str).collect();
        serializer.serialize_str(&words.join(" "))
    }
}

impl<'de> Deserialize<'de> for Scopes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
