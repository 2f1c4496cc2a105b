//! The control routes for axum: the drain endpoint with its authentication, the status, the probes and a page for people.
//!
//! `docs/http.md` says what is answered on the wire. An [`Endpoint`] belongs to a gateway in this process, or to a
//! dashboard process over the same home; both write a file and answer with what the gateway has acknowledged in its
//! published status, never with their own reading of the file (C6). The routes take no permit and are never refused.
//!
//! | Part | File |
//! |---|---|
//! | the table of routes, and their description | `routes.rs` |
//! | who asks, and may do what | `asking.rs`, [`auth`], and the trail of it in [`audit`] |
//! | how long somebody wants to wait | `prefer.rs` |
//! | what a body asks for, and on which condition | `body.rs`, `conditional.rs` |
//! | what the gateway has published, and the files | `status_source.rs` |
//! | what may be written, and the wait for the answer | `drain.rs` |
//! | from a request to its answer | `handlers.rs` |
//! | the answers, good and bad | `responses.rs`, `problem.rs` |
//! | the page | `page.rs` |
//! | an application's server, from its start to its gateway's stop | `serve.rs` |

mod asking;
pub mod audit;
pub mod auth;
mod body;
mod conditional;
mod drain;
mod handlers;
mod page;
mod prefer;
mod problem;
mod responses;
mod routes;
mod serve;
mod status_source;

#[doc(hidden)]
pub use drain::{Planned, planned};
pub use serve::serve;

use crate::control::Home;
use crate::reconciler::Reconciler;
use audit::Entry;
use auth::{Principal, Scopes, Settings, TokenVerifier};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use core::fmt;
use handlers::Serving;
use routes::{Part, ROUTES, Route};
use status_source::Published;
use std::sync::Arc;
use std::time::Duration;

/// The control routes of one gateway, before they are [made into a router](Self::routes).
///
/// Without a verifier it is closed: every route that wants a token answers 401.
///
/// ```no_run
/// # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
/// use gateway_drain::http::auth::{Settings, SharedSecret};
/// use gateway_drain::{Home, Reconciler, http::Endpoint, reconciler::Options};
/// use std::sync::Arc;
///
/// let settings = Settings::default(); // or from your configuration file
/// let reconciler = Arc::new(Reconciler::start(Home::resolve(None)?, Options::default())?);
/// let mut endpoint = Endpoint::of_gateway(reconciler);
/// if let Some(secret) = SharedSecret::from_env(&settings)? {
///     endpoint = endpoint.verifier(secret);
/// }
/// let app = axum::Router::new().merge(endpoint.settings(settings).routes());
/// # Ok(())
/// # }
/// ```
#[must_use = "it serves nothing until its routes are in a router"]
pub struct Endpoint {
    published: Published,
    settings: Settings,
    verifiers: Vec<Box<dyn TokenVerifier>>,
    everybody: Option<Principal>,
    hosts: Vec<String>,
    audit: Option<Box<Auditor>>,
    restart: Option<Box<Restarter>>,
    restart_drain_timeout: Option<Duration>,
}

type Auditor = dyn Fn(&Entry) + Send + Sync;
type Restarter = dyn Fn(Restart) + Send + Sync;

/// A restart that somebody asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Restart {
    /// Who.
    pub by: String,
    /// A live hold asked that nobody be notified.
    pub suppress_notification: bool,
}

impl Endpoint {
    /// For the gateway in this process.
    pub fn of_gateway(reconciler: Arc<Reconciler>) -> Self {
        let home = reconciler.home().clone();
        Self::new(Published::new(home, Some(reconciler)))
    }

    /// For a gateway in another process, known by its home: a dashboard.
    pub fn of_home(home: Home) -> Self {
        Self::new(Published::new(home, None))
    }

    fn new(published: Published) -> Self {
        Self {
            published,
            settings: Settings::default(),
            verifiers: Vec::new(),
            everybody: None,
            hosts: Vec::new(),
            audit: None,
            restart: None,
            restart_drain_timeout: None,
        }
    }

    /// Sets the limits.
    pub fn settings(self, settings: Settings) -> Self {
        Self { settings, ..self }
    }

    /// Adds a verifier. Several are asked in this order, and the first that accepts a token decides.
    pub fn verifier(mut self, verifier: impl TokenVerifier) -> Self {
        self.verifiers.push(Box::new(verifier));
        self
    }

    /// Lets everybody in, as the principal `name` with every scope, token or not. For a demonstration on loopback, or
    /// behind something that authenticates by itself.
    ///
    /// A web page that is open in a browser on the same machine isn't everybody: what bears an `Origin`, comes from another
    /// site (`Sec-Fetch-Site`) or names a `Host` that is neither an address nor `localhost` nor a [known one](Self::host) is
    /// refused, and a body has to be `application/json`.
    pub fn unauthenticated(self, name: impl Into<String>) -> Self {
        Self { everybody: Some(Principal::new(name, Scopes::ALL)), ..self }
    }

    /// Answers to this host name too where nobody has to authenticate. Without a port.
    pub fn host(mut self, name: impl Into<String>) -> Self {
        self.hosts.push(name.into());
        self
    }

    /// Tells `audit` of every decision. It must not block: it runs on the server's threads.
    pub fn audit(self, audit: impl Fn(&Entry) + Send + Sync + 'static) -> Self {
        Self { audit: Some(Box::new(audit)), ..self }
    }

    /// Offers `POST /api/gateway/restart`. `restart` says what a restart is; it must not block.
    ///
    /// In the gateway's own process the shutdown has begun when it is called, with `drain_timeout` until work in flight
    /// is interrupted, and the status says `restart_requested`. A dashboard leaves all of that to `restart`.
    pub fn on_restart(self, drain_timeout: Duration, restart: impl Fn(Restart) + Send + Sync + 'static) -> Self {
        Self { restart: Some(Box::new(restart)), ..self.restart_drain_timeout(drain_timeout) }
    }

    /// Says in the status how long a shutdown waits for work in flight (`restart_drain_timeout`).
    pub fn restart_drain_timeout(self, timeout: Duration) -> Self {
        Self { restart_drain_timeout: Some(timeout), ..self }
    }

    /// All routes, to be merged into the application's, or nested at a path of it.
    pub fn routes(self) -> Router {
        let Routers { control, probes, page } = self.routers();
        control.merge(probes).merge(page)
    }

    /// The routes in three parts, for an application that serves them at different places, or has its own of some.
    ///
    /// ```no_run
    /// # async fn serve(endpoint: gateway_drain::http::Endpoint) -> Result<(), Box<dyn std::error::Error>> {
    /// // Turns and probes for the public, control for this machine alone.
    /// let routers = endpoint.routers();
    /// let public = axum::Router::new().route("/turns", axum::routing::post(async || "done")).merge(routers.probes);
    /// let control = axum::Router::new().merge(routers.control).merge(routers.page);
    /// # Ok(())
    /// # }
    /// ```
    pub fn routers(self) -> Routers {
        let limit = self.settings.max_body_bytes;
        let serving = Serving::new(self);
        let router = |part| {
            let mut router = Router::new();
            let there = |route: &&Route| route.operation.part() == part && serving.offers(route.operation);
            let offered: Vec<&'static Route> = ROUTES.iter().filter(there).collect();
            for at_one_path in offered.chunk_by(|one, other| one.path == other.path) {
                router = router.route(at_one_path[0].path, handlers::method_router(at_one_path));
            }
            router.with_state(Arc::clone(&serving)).layer(DefaultBodyLimit::max(limit))
        };
        Routers { control: router(Part::Control), probes: router(Part::Probes), page: router(Part::Page) }
    }
}

/// The routes of an [`Endpoint`] in [three parts](Endpoint::routers). Each can be nested: what the page and the description
/// refer to is relative.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[must_use = "it serves nothing until its routes are in a router"]
pub struct Routers {
    /// `/api/gateway/drain`, `/api/gateway/restart`, `/api/status` and `/api/openapi.json`. For controllers, and not for
    /// the public.
    pub control: Router,
    /// `/livez` and `/readyz`. For the load balancer, at the address that it sends work to.
    pub probes: Router,
    /// `/drain`: the page for people.
    pub page: Router,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// A refusal as a response: 503 with `Retry-After` and a problem body that names neither owner nor reason.
///
/// ```
/// use gateway_drain::{Refusal, http};
///
/// assert_eq!(http::refused(Refusal::Draining).status(), 503);
/// ```
#[must_use]
pub fn refused(refusal: crate::Refusal) -> Response {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let (headers, body) = crate::refusal::problem(refusal, status, axum::http::Version::HTTP_11);
    (status, headers, body).into_response()
}
