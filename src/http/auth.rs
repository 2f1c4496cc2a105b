//! Who may do what: tokens, the verifiers that know them, principals and their scopes.
//!
//! A [`TokenVerifier`] turns a bearer token into a [`Principal`]; an endpoint asks several in turn. Which hold belongs to
//! whom follows from the principal's name alone. An endpoint without a verifier is closed. Nothing here writes a token
//! anywhere: [`Token`] and [`Secret`] don't show what they hold.

pub(super) mod attempts;
mod scope;
mod secret;
mod settings;

pub use scope::{Scope, Scopes, UnknownScope};
pub use secret::{SharedSecret, WeakSecret};
pub use settings::Settings;

use core::fmt;
use core::future::Future;
use core::pin::Pin;

/// A token as it came in. It may be anything at all, wrong encodings included.
pub struct Token<'a>(&'a [u8]);

impl<'a> Token<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// What came in. Compare it in constant time.
    #[must_use]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }
}

impl fmt::Debug for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(not shown)")
    }
}

/// A text that is shown nowhere.
///
/// ```
/// use gateway_drain::http::auth::Secret;
///
/// let secret = Secret::from("correct horse".to_owned());
/// assert_eq!(format!("{secret:?}"), "Secret(not shown)");
/// ```
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// A new one, strong enough for [`SharedSecret`].
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn random() -> std::io::Result<Self> {
        crate::wire::new_secret().map(Self).map_err(std::io::Error::other)
    }

    /// What it is, for the one who is to be told.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(not shown)")
    }
}

/// Who a token proves somebody to be, and what they may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    name: String,
    scopes: Scopes,
}

impl Principal {
    /// Somebody of this name: it is the owner of the holds that they begin. An empty name belongs to nobody, and so the
    /// principal is called `anonymous` then.
    pub fn new(name: impl Into<String>, scopes: Scopes) -> Self {
        let name = name.into();
        Self { name: if name.is_empty() { "anonymous".into() } else { name }, scopes }
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether they may do this.
    #[must_use]
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(scope)
    }
}

/// What a verifier says of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It proves this.
    Accepted(Principal),
    /// It isn't one of this verifier's.
    Rejected,
    /// The verifier can't tell at the moment: its store doesn't answer. If no other one accepts the token, the request is
    /// answered with 503 rather than 401.
    Unreachable,
}

/// The future of [`TokenVerifier::verify`].
pub type Verifying<'a> = Pin<Box<dyn Future<Output = Verdict> + Send + 'a>>;

/// Somebody who can tell whether a token is good, and for what.
///
/// ```
/// use gateway_drain::http::auth::{Principal, Scope, Token, TokenVerifier, Verdict, Verifying};
///
/// /// Asks the company's credential store.
/// struct Store;
///
/// impl TokenVerifier for Store {
///     fn verify<'a>(&'a self, token: &'a Token<'a>) -> Verifying<'a> {
///         Box::pin(async move {
///             match ask(token.as_bytes()).await {
///                 Ok(Some(user)) => Verdict::Accepted(Principal::new(user, Scope::Drain.into())),
///                 Ok(None) => Verdict::Rejected,
///                 Err(_) => Verdict::Unreachable,
///             }
///         })
///     }
/// }
/// # async fn ask(_: &[u8]) -> std::io::Result<Option<String>> { Ok(None) }
/// ```
pub trait TokenVerifier: Send + Sync + 'static {
    /// Whether the token is good. An answer that takes longer than five seconds counts as
    /// [`Unreachable`](Verdict::Unreachable).
    fn verify<'a>(&'a self, token: &'a Token<'a>) -> Verifying<'a>;
}
