//! What the endpoint answers over HTTP, written once: the endpoint writes it, and the client reads it.
//!
//! What a request may say stands in [`fields`](crate::hold::fields).

use crate::gate::Generation;
pub(crate) use crate::hold::fields::Verb;
use crate::hold::{Incarnation, Nonce, Notes, RequestId};
use crate::state::DrainState;
use crate::status::WorkStatus;
use core::fmt::Write;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// How a hold stands, in the words on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "axum", derive(utoipa::ToSchema))]
pub(crate) enum Standing {
    Held,
    Pending,
    Committed,
    Withdrawn,
    Overridden,
}

/// To a client that asked about a hold of its own. A client can do without what has a default.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "axum", derive(utoipa::ToSchema))]
#[expect(clippy::struct_excessive_bools, reason = "each is a field on the wire")]
pub(crate) struct HoldAnswer {
    #[serde(default)]
    pub(crate) ok: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) action: Option<Cow<'static, str>>,
    #[cfg_attr(feature = "axum", schema(value_type = String))]
    pub(crate) request_id: RequestId,
    #[cfg_attr(feature = "axum", schema(value_type = Option<String>))]
    pub(crate) nonce: Option<Nonce>,
    #[serde(default)]
    pub(crate) acknowledged: bool,
    pub(crate) outcome: Option<Standing>,
    #[serde(default)]
    pub(crate) owner: String,
    #[serde(flatten)]
    pub(crate) notes: Notes,
    /// Two holds of one name differ in it. An endpoint of another gateway may not say it.
    #[serde(default)]
    pub(crate) first_seen_millis: Option<u64>,
    pub(crate) age_seconds: Option<f64>,
    pub(crate) lease_left_seconds: Option<f64>,
    pub(crate) deadline_seconds: Option<f64>,
    #[serde(default)]
    pub(crate) committed: bool,
    #[serde(default)]
    pub(crate) overdue: bool,
    #[serde(default)]
    pub(crate) suppress_notification: bool,
    pub(crate) gateway: Option<GatewayAnswer>,
}

/// To a client that asked for all holds.
#[cfg(feature = "axum")]
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct HoldsAnswer {
    /// Without a gateway of their own.
    pub(crate) holds: Vec<HoldAnswer>,
    pub(crate) gateway: GatewayAnswer,
}

/// The gateway at the moment of an answer.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "axum", derive(utoipa::ToSchema))]
pub(crate) struct GatewayAnswer {
    pub(crate) state: DrainState,
    #[cfg_attr(feature = "axum", schema(value_type = String))]
    pub(crate) incarnation: Incarnation,
    #[cfg_attr(feature = "axum", schema(value_type = u64))]
    pub(crate) generation: Generation,
    pub(crate) in_flight: u64,
    pub(crate) internal: u64,
    pub(crate) drained: bool,
    pub(crate) stalled: bool,
    pub(crate) active_work: Vec<WorkStatus>,
}

/// The tag of a hold whose last write this is (RFC 9110, section 8.8.3). What can't stand in a tag, or would end it in a list,
/// stands there as in an address: `%2C`.
pub(crate) fn tag(nonce: &Nonce) -> String {
    let mut tag = String::from("\"");
    for byte in nonce.as_str().bytes() {
        if byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b'%') {
            tag.push(char::from(byte));
        } else {
            let _ = write!(tag, "%{byte:02X}");
        }
    }
    tag.push('"');
    tag
}

/// A new secret: 64 random characters of a 64-letter alphabet. 384 bits, with no character that a header or a shell minds.
#[cfg(any(feature = "axum", feature = "cli"))]
pub(crate) fn new_secret() -> Result<String, getrandom::Error> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const DISTINCT: usize = 16;
    loop {
        let mut bytes = [0; 64];
        getrandom::fill(&mut bytes)?;
        let letter = |byte: &u8| char::from(ALPHABET[usize::from(byte % 64)]);
        let secret: String = bytes.iter().map(letter).collect();
        // What the endpoint asks for; one in a great many falls short by chance.
        if secret.bytes().collect::<std::collections::BTreeSet<_>>().len() >= DISTINCT {
            return Ok(secret);
        }
    }
}

#[cfg(all(test, any(feature = "axum", feature = "cli")))]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_new_secret_is_64_letters_of_its_alphabet_and_never_the_same() {
        let secrets: Vec<String> = (0..64).map(|_| new_secret().unwrap()).collect();
        for secret in &secrets {
            assert_eq!(secret.len(), 64);
            assert!(secret.bytes().all(|letter| letter.is_ascii_alphanumeric() || b"-_".contains(&letter)), "{secret}");
            assert!(secret.bytes().collect::<BTreeSet<_>>().len() >= 16, "{secret} has too few letters");
        }
        assert_eq!(secrets.iter().collect::<BTreeSet<_>>().len(), secrets.len(), "one was made twice");
        let letters: BTreeSet<u8> = secrets.iter().flat_map(|secret| secret.bytes()).collect();
        assert_eq!(letters.len(), 64, "each letter of the alphabet is used");
    }
}
