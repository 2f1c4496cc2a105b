//! The shared secret: one token for one principal, strong enough or not at all.

use super::{Principal, Secret, Settings, Token, TokenVerifier, Verdict, Verifying};
use crate::environment::{self, Environment, SecretSource};
use core::fmt;
use subtle::{ConstantTimeEq, ConstantTimeGreater};

/// The longest secret, in bytes. Every comparison takes as long as for this one.
const MAX_BYTES: usize = 1024;
const MIN_CHARS: usize = 43;
const MIN_DISTINCT: usize = 16;
const MIN_BITS: f64 = 128.0;

/// The verifier for the secret that an operator and a gateway share.
///
/// Its bearer is the principal `drain-control`. A secret that could be guessed is refused, and the endpoint stays closed.
///
/// ```
/// use gateway_drain::http::auth::{Settings, SharedSecret};
///
/// let weak = SharedSecret::new("a".repeat(64).into(), &Settings::default());
/// assert_eq!(weak.unwrap_err().to_string(), "the secret has 1 distinct character(s), and needs 16: make one with \
///     `openssl rand -base64 48`");
/// ```
pub struct SharedSecret {
    secret: Padded,
    principal: Principal,
}

/// Why a secret can't be used. It doesn't say what the secret is.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum WeakSecret {
    /// There is nothing in it: the variable or the file is there and empty, as after a provisioning that failed.
    Empty,
    /// Too short.
    Short {
        /// Its characters.
        chars: usize,
        /// The least there must be.
        needed: usize,
    },
    /// Too long to be compared: more than 1,024 bytes.
    Long,
    /// Too few different characters.
    Uniform {
        /// How many there are.
        distinct: usize,
    },
    /// Too little Shannon entropy, in bits.
    Predictable {
        /// How much there is.
        bits: f64,
    },
    /// The file that it should be in can't be read.
    Unreadable(&'static str, std::io::ErrorKind),
    /// Not UTF-8, or with a character that can't travel in a header: only visible ASCII can.
    NotText,
}

impl fmt::Display for WeakSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "the secret is set but empty"),
            Self::Short { chars, needed } => write!(f, "the secret has {chars} character(s), and needs {needed}"),
            Self::Long => write!(f, "the secret is longer than {MAX_BYTES} bytes"),
            Self::Uniform { distinct } => {
                write!(f, "the secret has {distinct} distinct character(s), and needs {MIN_DISTINCT}")
            }
            Self::Predictable { bits } => {
                write!(f, "the secret has {bits:.0} bits of Shannon entropy, and needs {MIN_BITS}")
            }
            Self::Unreadable(variable, why) => {
                return write!(f, "the file that {variable} names can't be read: {why}");
            }
            Self::NotText => write!(f, "the secret has a character that is not visible ASCII"),
        }?;
        f.write_str(": make one with `openssl rand -base64 48`")
    }
}

impl std::error::Error for WeakSecret {}

impl SharedSecret {
    /// The environment variable that holds the secret.
    pub const VARIABLE: &str = environment::SECRET;
    /// The environment variable that names the file with the secret, such as one of systemd's credentials.
    pub const FILE_VARIABLE: &str = environment::SECRET_FILE;
    /// Who its bearer is.
    pub const PRINCIPAL: &str = "drain-control";

    /// A verifier for this secret. White space around it doesn't count: a file ends with a line break.
    ///
    /// # Errors
    /// [`WeakSecret`] unless it has at least [`Settings::min_secret_chars`] (and 43) characters, 16 different ones, and
    /// 128 bits of Shannon entropy, all of it visible ASCII.
    #[expect(clippy::needless_pass_by_value, reason = "nobody is to keep it")]
    pub fn new(secret: Secret, settings: &Settings) -> Result<Self, WeakSecret> {
        let text = secret.0.trim();
        if text.is_empty() {
            return Err(WeakSecret::Empty);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(WeakSecret::NotText);
        }
        let needed = settings.min_secret_chars.max(MIN_CHARS);
        if text.len() < needed {
            return Err(WeakSecret::Short { chars: text.len(), needed });
        }
        let padded = Padded::new(text.as_bytes()).ok_or(WeakSecret::Long)?;
        let mut counts = [0_u32; 256];
        text.bytes().for_each(|byte| counts[usize::from(byte)] += 1);
        let distinct = counts.iter().filter(|count| **count > 0).count();
        if distinct < MIN_DISTINCT {
            return Err(WeakSecret::Uniform { distinct });
        }
        let bits = entropy(&counts);
        if bits < MIN_BITS {
            return Err(WeakSecret::Predictable { bits });
        }
        Ok(Self { secret: padded, principal: Principal::new(Self::PRINCIPAL, settings.scope) })
    }

    /// A verifier for the secret in `GATEWAY_DRAIN_SECRET`, or in the file that `GATEWAY_DRAIN_SECRET_FILE` names; where
    /// neither is set, in the reference's `HERMES_DASHBOARD_DRAIN_SECRET` or `HERMES_DASHBOARD_DRAIN_SECRET_FILE`; `None` if
    /// none of the four is set.
    ///
    /// # Errors
    /// As [`new`](Self::new), of the first that is set. A variable that is set but empty is an error, and so is a file that
    /// can't be read: an endpoint that was meant to have a secret never opens because it got none.
    pub fn from_env(settings: &Settings) -> Result<Option<Self>, WeakSecret> {
        let text = match Environment::of_this_process().secret() {
            None => return Ok(None),
            Some(SecretSource::Text(_, text)) => text.into_string().map_err(|_| WeakSecret::NotText)?,
            Some(SecretSource::File(variable, path)) => {
                let bytes = std::fs::read(path).map_err(|error| WeakSecret::Unreadable(variable, error.kind()))?;
                String::from_utf8(bytes).map_err(|_| WeakSecret::NotText)?
            }
        };
        Self::new(text.into(), settings).map(Some)
    }
}

/// The Shannon entropy of a text with these character counts, in bits: of one character, times their number.
fn entropy(counts: &[u32; 256]) -> f64 {
    let total: f64 = counts.iter().map(|count| f64::from(*count)).sum();
    let bits = |count: &u32| -f64::from(*count) * (f64::from(*count) / total).log2();
    counts.iter().filter(|count| **count > 0).map(bits).sum()
}

impl TokenVerifier for SharedSecret {
    fn verify<'a>(&'a self, token: &'a Token<'a>) -> Verifying<'a> {
        let accepted = Padded::new(token.as_bytes()).is_some_and(|token| token.same_as(&self.secret));
        let verdict = if accepted { Verdict::Accepted(self.principal.clone()) } else { Verdict::Rejected };
        Box::pin(core::future::ready(verdict))
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedSecret").field("principal", &self.principal).finish_non_exhaustive()
    }
}

/// Bytes at a length of their own in a room of one size, so that comparing two takes the same time whatever they are.
struct Padded {
    bytes: [u8; MAX_BYTES],
    len: u64,
}

impl Padded {
    fn new(text: &[u8]) -> Option<Self> {
        let mut bytes = [0; MAX_BYTES];
        bytes.get_mut(..text.len())?.copy_from_slice(text);
        Some(Self { bytes, len: text.len() as u64 })
    }

    fn same_as(&self, other: &Self) -> bool {
        (self.bytes.ct_eq(&other.bytes) & !self.len.ct_gt(&other.len) & !other.len.ct_gt(&self.len)).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "q7F-mZ3xV0cR8tJ2bW5nK9pL1sD4gH6yUeAiOoTrQwE";

    fn check(text: &str) -> Result<(), WeakSecret> {
        SharedSecret::new(text.to_owned().into(), &Settings::default()).map(drop)
    }

    #[test]
    fn a_secret_passes_only_if_it_is_long_varied_and_unpredictable() {
        assert_eq!(check(GOOD), Ok(()), "43 characters of base64url");
        assert_eq!(check(&GOOD[1..]), Err(WeakSecret::Short { chars: 42, needed: 43 }));
        let fifteen = "abcdefghijklmno".repeat(4);
        assert_eq!(check(&fifteen), Err(WeakSecret::Uniform { distinct: 15 }));
        let skewed = format!("abcdefghijklmnop{}", "q".repeat(40));
        assert!(matches!(check(&skewed), Err(WeakSecret::Predictable { .. })), "{:?}", check(&skewed));
        assert_eq!(check(&format!("{GOOD}\u{e9}")), Err(WeakSecret::NotText));
        assert_eq!(check(&format!("{GOOD} x")), Err(WeakSecret::NotText), "a space can't be part of a token");
        assert_eq!(check(&GOOD.repeat(24)), Err(WeakSecret::Long));
        for around in ["\n", "\r\n", " ", "\t\n"] {
            assert_eq!(check(&format!("{around}{GOOD}{around}")), Ok(()), "white space around it, as a file has it");
            assert_eq!(check(around), Err(WeakSecret::Empty));
        }
        assert_eq!(check(""), Err(WeakSecret::Empty));
    }

    #[test]
    fn a_secret_that_is_made_here_is_strong_enough_and_is_told_as_it_is() {
        assert_eq!(Secret::from(GOOD.to_owned()).reveal(), GOOD);
        let [one, other] = [Secret::random().unwrap(), Secret::random().unwrap()];
        assert_eq!((check(one.reveal()), check(other.reveal())), (Ok(()), Ok(())));
        assert_ne!(one.reveal(), other.reveal());
    }

    #[test]
    fn settings_can_ask_for_a_longer_secret_and_never_for_a_shorter_one() {
        let with = |min_secret_chars| {
            let settings = Settings { min_secret_chars, ..Settings::default() };
            SharedSecret::new(GOOD[..43].to_owned().into(), &settings).is_ok()
        };
        assert!(with(43) && !with(44));
        let settings = Settings { min_secret_chars: 1, ..Settings::default() };
        let short = SharedSecret::new(GOOD[..42].to_owned().into(), &settings);
        assert_eq!(short.map(drop), Err(WeakSecret::Short { chars: 42, needed: 43 }));
    }

    #[test]
    fn what_is_wrong_with_a_secret_is_told_with_the_way_to_a_good_one() {
        let kind = std::io::ErrorKind::NotFound;
        for (wrong, said) in [
            (WeakSecret::Empty, "the secret is set but empty"),
            (WeakSecret::Short { chars: 42, needed: 43 }, "the secret has 42 character(s), and needs 43"),
            (WeakSecret::Long, "the secret is longer than 1024 bytes"),
            (WeakSecret::Uniform { distinct: 15 }, "the secret has 15 distinct character(s), and needs 16"),
            (WeakSecret::Predictable { bits: 99.6 }, "the secret has 100 bits of Shannon entropy, and needs 128"),
            (WeakSecret::NotText, "the secret has a character that is not visible ASCII"),
        ] {
            assert_eq!(wrong.to_string(), format!("{said}: make one with `openssl rand -base64 48`"));
        }
        let unreadable = WeakSecret::Unreadable(SharedSecret::FILE_VARIABLE, kind).to_string();
        assert_eq!(unreadable, format!("the file that {} names can't be read: {kind}", SharedSecret::FILE_VARIABLE));
    }

    #[test]
    fn nothing_that_is_said_of_a_secret_shows_it() {
        let verifier = SharedSecret::new(GOOD.to_owned().into(), &Settings::default()).unwrap();
        let said = format!("{verifier:?} {:?} {:?}", Secret::from(GOOD.to_owned()), Token::new(GOOD.as_bytes()));
        assert!(!said.contains(&GOOD[..4]), "{said}");
    }
}
