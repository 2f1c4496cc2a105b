//! The section `drain_auth` of a gateway's own configuration file.

use super::{Scope, Scopes};
use serde::{Deserialize, Serialize};

/// How an endpoint authenticates, and how much it takes in. For a section `drain_auth` of a configuration file in any
/// format that serde reads; a field that it lacks has its default.
///
/// ```
/// use gateway_drain::http::auth::{Scope, Settings};
///
/// let settings: Settings = serde_json::from_str(r#"{"scope": "drain override", "min_secret_chars": 64}"#)?;
/// assert!(settings.scope.contains(Scope::Override));
/// assert!(serde_json::from_str::<Settings>(r#"{"min_secret_char": 64}"#).is_err(), "a misspelt name is told");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Settings {
    /// What the bearer of the shared secret may do. Default: `drain`.
    pub scope: Scopes,
    /// How long the shared secret must be, in characters. Default, and the least that counts: 43.
    pub min_secret_chars: usize,
    /// The largest body. Default: 16 KiB.
    pub max_body_bytes: usize,
    /// The most that all headers of a request may take. Default: 16 KiB.
    pub max_header_bytes: usize,
    /// How many wrong tokens an address (of IPv6: a network of 64 bits) may show within a minute; every further wrong one is
    /// answered with 429 until the minute is over. A right token is always let in, and the page counts nothing. Where the
    /// server doesn't tell addresses (`ConnectInfo<SocketAddr>`), all share one count. Default: 60.
    pub failed_attempts_per_minute: u32,
    /// The longest wait that `Prefer: wait=N` gets, in seconds. Default: 60.
    pub max_wait_seconds: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            scope: Scope::Drain.into(),
            min_secret_chars: 43,
            max_body_bytes: 16 * 1024,
            max_header_bytes: 16 * 1024,
            failed_attempts_per_minute: 60,
            max_wait_seconds: 60,
        }
    }
}
