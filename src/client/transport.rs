//! The two ways to a gateway, behind one set of verbs: the files of its home, or its HTTP endpoint.

use super::files::Files;
use super::http::Http;
use super::watch::Look;
use super::{Failure, Status};
use crate::control::Home;
use crate::hold::{Nonce, Request, RequestId};
use crate::wire::Verb;
use core::fmt;

/// Where a gateway is to be found. Cheap to clone.
///
/// ```
/// use gateway_drain::{Home, client::Gateway};
///
/// let here = Gateway::at(Home::at("/var/lib/gateway"));
/// let there = Gateway::over_http("http://127.0.0.1:8080", Some("a-secret-of-many-characters".into()))?;
/// assert!(Gateway::over_http("gopher://old", None).is_err());
/// assert!(!format!("{there:?}").contains("secret"));
/// # Ok::<(), gateway_drain::client::Failure>(())
/// ```
#[derive(Clone)]
pub struct Gateway {
    way: Way,
}

#[derive(Clone)]
enum Way {
    Files(Files),
    Http(Http),
}

/// A request that was written.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    /// By which nonce the gateway acknowledges it.
    pub(super) nonce: Nonce,
    /// It has done so already.
    pub(super) answered: bool,
    /// It has not, and is to be asked again.
    pub(super) repeat: bool,
}

/// What a withdrawal or an override came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Withdrawal {
    /// There was nothing to end.
    Nothing,
    /// It is written, and the gateway has yet to notice.
    Written,
    /// It has taken effect.
    Done,
}

impl Gateway {
    /// The variable that holds the endpoint's bearer token.
    pub const SECRET_VARIABLE: &str = "HERMES_DASHBOARD_DRAIN_SECRET";

    /// The variable that names a file of PEM certificates. With feature `tls`, those are the authorities that an `https://`
    /// address is trusted by; without the variable, Mozilla's are.
    pub const ROOTS_VARIABLE: &str = "SSL_CERT_FILE";

    /// The gateway of this home, by its files.
    #[must_use]
    pub fn at(home: Home) -> Self {
        Self { way: Way::Files(Files::new(home)) }
    }

    /// The gateway, or the dashboard of one, that answers under this address; `secret` is the bearer token.
    ///
    /// # Errors
    /// [`Failure::Usage`] for an address that can't be used, or [certificates](Self::ROOTS_VARIABLE) that can't be read.
    pub fn over_http(url: &str, secret: Option<String>) -> Result<Self, Failure> {
        Ok(Self { way: Way::Http(Http::new(url, secret)?) })
    }

    /// What the gateway publishes of itself.
    ///
    /// # Errors
    /// [`Failure::Unreachable`] if it can't be asked. That no gateway lives there is an answer, not an error.
    pub fn status(&self) -> Result<Status, Failure> {
        match &self.way {
            Way::Files(files) => files.status(),
            Way::Http(http) => http.status(),
        }
    }

    /// How to name this gateway on the command line, for messages.
    #[must_use]
    pub fn as_arguments(&self) -> String {
        match &self.way {
            Way::Files(files) => format!("--home {}", files.home().path().display()),
            Way::Http(http) => format!("--url {}", http.url()),
        }
    }

    pub(super) fn look(&self, id: &RequestId) -> Look {
        match &self.way {
            Way::Files(files) => files.look(id),
            Way::Http(http) => http.look(id),
        }
    }

    pub(super) fn find(&self, id: &RequestId, owner: &str) -> Result<Option<Request>, Failure> {
        match &self.way {
            Way::Files(files) => files.find(id, owner),
            Way::Http(http) => http.find(id, owner),
        }
    }

    pub(super) fn begin(&self, request: &Request) -> Result<Sent, Failure> {
        match &self.way {
            Way::Files(files) => files.begin(request),
            Way::Http(http) => http.send(Verb::Drain, request),
        }
    }

    pub(super) fn renew(&self, request: &Request, last: Option<&Nonce>) -> Result<Sent, Failure> {
        match &self.way {
            Way::Files(files) => files.renew(request, last),
            Way::Http(http) => http.send(Verb::Renew, request),
        }
    }

    /// Sees to it that none of these renewals outlives the hold that has ended. The endpoint does that by itself.
    pub(super) fn take_back(&self, id: &RequestId, ours: &[Nonce]) {
        if let Way::Files(files) = &self.way {
            files.take_back(id, ours);
        }
    }

    pub(super) fn commit(&self, request: &Request) -> Result<Sent, Failure> {
        match &self.way {
            Way::Files(files) => files.write(request),
            Way::Http(http) => http.send(Verb::Commit, request),
        }
    }

    /// Sends what ends a hold: a withdrawal, or an override.
    pub(super) fn end(&self, request: &Request) -> Result<Withdrawal, Failure> {
        match &self.way {
            Way::Files(files) => files.end(request),
            Way::Http(http) => http.end(request),
        }
    }

    /// Whether what was [written](Withdrawal::Written) to end a hold has taken effect.
    pub(super) fn has_ended(&self, request: &Request) -> Result<bool, Failure> {
        match &self.way {
            Way::Files(files) => files.has_ended(request),
            Way::Http(http) => http.has_ended(request),
        }
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gateway").field(&self.as_arguments()).finish()
    }
}
