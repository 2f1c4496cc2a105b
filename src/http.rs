//! The control routes for axum: the drain endpoint with its authentication, the status, the probes and a page for people.
//!
//! `docs/http.md` says what is answered on the wire. An [`Endpoint`] belongs to a gateway in this process, or to a
//! dashboard process over the same home; both write a file and answer with what the gateway has acknowledged in its
//! published status, never with their own reading of the file (C6). The routes take no permit and are never refused.
//!
//! | Part | File |
//! |---|---|
//! | the table of routes, and their description | `routes.rs` |
//! | who may do what | [`auth`], and the trail of it in [`audit`] |
//! | what a body asks for | `asked.rs` |
//! | what the gateway has published, and the files | `published.rs` |
//! | what may be written, and the wait for the answer | `drain.rs` |
//! | the answers, good and bad | `respond.rs`, `problem.rs` |
//! | the page | `page.rs` |

mod asked;
pub mod audit;
pub mod auth;
mod drain;
mod page;
mod problem;
mod published;
mod respond;
mod routes;

use crate::control::Home;
use crate::hold::{Denied, RequestId};
use crate::reconciler::Reconciler;
use crate::state::DrainState;
use crate::status::{Readout, Snapshot};
use asked::{Asked, Verb};
use audit::Entry;
use auth::attempts::Attempts;
use auth::{Principal, Scope, Scopes, Settings, Token, TokenVerifier, Verdict};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, DefaultBodyLimit, FromRequest, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use core::fmt;
use drain::PATIENCE;
use problem::{Fault, Problem};
use published::Published;
use respond::{RestartAnswer, StatusAnswer, json};
use routes::{Operation, ROUTES, Route};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a verifier may take.
const VERIFIER_TIMEOUT: Duration = Duration::from_secs(5);

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
    /// behind something that authenticates by itself. What a web page sends (it has an `Origin`) is refused all the same:
    /// a page that is open in a browser on the same machine isn't everybody.
    pub fn unauthenticated(self, name: impl Into<String>) -> Self {
        Self { everybody: Some(Principal::new(name, Scopes::ALL)), ..self }
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

    /// The routes, to be merged into the application's.
    pub fn routes(self) -> Router {
        let limit = self.settings.max_body_bytes;
        let serving = Arc::new(Serving {
            attempts: Attempts::new(self.settings.failed_attempts_per_minute),
            turn: tokio::sync::Mutex::default(),
            history: page::History::default(),
            endpoint: self,
        });
        if let Some(reconciler) = &serving.endpoint.published.here {
            let history = Arc::downgrade(&serving);
            reconciler.controller().observe(move |change| {
                if let (Some(serving), Some(reading)) = (history.upgrade(), change.reading()) {
                    serving.history.add(reading.total());
                }
            });
        }
        let mut router = Router::new();
        for route in ROUTES.iter().filter(|route| serving.offers(route.operation)) {
            router = router.route(&route.pattern(), method_router(route));
        }
        router.with_state(serving).layer(DefaultBodyLimit::max(limit))
    }
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

/// An endpoint at work.
struct Serving {
    endpoint: Endpoint,
    attempts: Attempts,
    /// Held from the look at a hold's file to the write of it.
    turn: tokio::sync::Mutex<()>,
    history: page::History,
}

fn method_router(route: &'static Route) -> MethodRouter<Arc<Serving>> {
    let serve = move |State(serving): State<Arc<Serving>>, request: Request| serve(serving, route, request);
    let methods = if route.method == "post" { post(serve) } else { get(serve) };
    methods.fallback(move || async move {
        let allowed = if route.method == "post" { "POST" } else { "GET, HEAD" };
        let detail = format!("{} is for {allowed}", route.path);
        Problem::new(Fault::MethodNotAllowed, detail).with(header::ALLOW, HeaderValue::from_static(allowed))
    })
}

async fn serve(serving: Arc<Serving>, route: &'static Route, request: Request) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
    let mut done = Decision { peer, principal: None, action: route.operation.action(), request_id: None };
    let answered = serving.answer(route, request, &mut done).await;
    let error = answered.as_ref().err().map(|problem| problem.fault);
    let response = answered.unwrap_or_else(IntoResponse::into_response);
    let turned_away = matches!(error, Some(Fault::Unauthenticated | Fault::Forbidden | Fault::TooManyAttempts));
    if route.scope.is_some() && (route.operation != Operation::Hold || turned_away) {
        serving.record(done, response.status(), error);
    }
    response
}

/// What the audit trail is told of a request.
struct Decision {
    peer: Option<IpAddr>,
    principal: Option<String>,
    action: &'static str,
    request_id: Option<String>,
}

impl Operation {
    fn action(self) -> &'static str {
        match self {
            Self::Drain => Verb::Drain.word(),
            Self::Restart => Scope::Restart.as_str(),
            _ => Scope::Read.as_str(),
        }
    }
}

impl Serving {
    fn offers(&self, operation: Operation) -> bool {
        operation != Operation::Restart || self.endpoint.restart.is_some()
    }

    fn record(&self, done: Decision, status: StatusCode, error: Option<Fault>) {
        let Decision { peer, principal, action, request_id } = done;
        let at = crate::control::request_file::now();
        let (status, error) = (status.as_u16(), error.map(Fault::word));
        let entry = Entry { at, peer, principal, action, request_id, status, error };
        #[cfg(feature = "tracing")]
        audit::event(&entry);
        if let Some(audit) = &self.endpoint.audit {
            audit(&entry);
        }
    }

    async fn answer(&self, route: &Route, request: Request, done: &mut Decision) -> Result<Response, Problem> {
        let limit = self.endpoint.settings.max_header_bytes;
        let headers = request.headers();
        if headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>() > limit {
            let detail = format!("the headers take more than {limit} bytes");
            return Err(Problem::new(Fault::HeadersTooLarge, detail));
        }
        if let Some(scope) = route.scope {
            let principal = self.authenticate(headers, done.peer).await?;
            done.principal = Some(principal.name().to_owned());
            return self.guarded(route, scope, &principal, request, done).await;
        }
        match route.operation {
            Operation::Live => Ok("ok\n".into_response()),
            Operation::Ready => Ok(self.ready().await),
            Operation::Status => {
                let (status, live) = self.look().await;
                let readout = Readout::of(status.as_ref(), live, self.endpoint.restart_drain_timeout);
                Ok(json(StatusCode::OK, &StatusAnswer::new(readout, status.as_ref())))
            }
            Operation::Description => Ok(json(StatusCode::OK, &routes::description(|there| self.offers(there)))),
            Operation::PageStyle => Ok(page::file("text/css; charset=utf-8", page::STYLE)),
            Operation::PageScript => Ok(page::file("text/javascript; charset=utf-8", page::SCRIPT)),
            Operation::Page | Operation::Drain | Operation::Hold | Operation::Restart => {
                let named = match self.authenticate(headers, done.peer).await {
                    Ok(principal) => principal.may(Scope::Read),
                    Err(_) => false,
                };
                let (status, live) = self.look().await;
                Ok(page::page(status.as_ref().filter(|_| live), &self.history, named))
            }
        }
    }

    async fn guarded(
        &self,
        route: &Route,
        scope: Scope,
        principal: &Principal,
        request: Request,
        done: &mut Decision,
    ) -> Result<Response, Problem> {
        let wait = self.wait_wanted(request.headers());
        let path = request.uri().path().to_owned();
        let answered = match route.operation {
            Operation::Drain => {
                let asked = Asked::parse(&body(request).await?)?;
                done.action = asked.verb.word();
                done.request_id = Some(asked.id.to_string());
                allow(principal, if asked.verb == Verb::Override { Scope::Override } else { scope })?;
                let wait = wait?;
                let answered = drain::act(&self.endpoint.published, &self.turn, &asked, principal.name(), wait).await?;
                (answered, wait)
            }
            Operation::Restart => {
                allow(principal, scope)?;
                let content = body(request).await?;
                if !content.is_empty() && content.trim_ascii() != b"{}" {
                    return Err(Problem::bad_request("a restart has no body, or an empty JSON object"));
                }
                let wait = wait?;
                (self.restart(principal.name(), wait).await?, wait)
            }
            _ => {
                allow(principal, scope)?;
                let name = path.rsplit_once("/api/gateway/drain/").map_or("", |(_, name)| name);
                let id = if RequestId::marker().as_str() == name {
                    RequestId::marker()
                } else {
                    RequestId::new(name).map_err(|why| Problem::bad_request(why.to_string()))?
                };
                let wait = wait?;
                (drain::stand(&self.endpoint.published, &id, wait).await?, wait)
            }
        };
        let (mut response, wait) = answered;
        if let Some(Ok(applied)) = wait.map(|wait| HeaderValue::try_from(format!("wait={}", wait.as_secs()))) {
            response.headers_mut().insert("preference-applied", applied);
        }
        Ok(response)
    }

    /// Whose token it is. Without a token, with a wrong one and without a verifier the answer is the same.
    async fn authenticate(&self, headers: &HeaderMap, peer: Option<IpAddr>) -> Result<Principal, Problem> {
        if let Some(everybody) = &self.endpoint.everybody {
            if headers.contains_key(header::ORIGIN) {
                return Err(Problem::new(Fault::Forbidden, "without authentication no web page is let in"));
            }
            return Ok(everybody.clone());
        }
        let Some(token) = bearer(headers) else { return Err(Problem::unauthenticated()) };
        let now = Instant::now();
        if let Some(left) = self.attempts.barred(peer, now) {
            let problem = Problem::new(Fault::TooManyAttempts, "too many wrong tokens from this address");
            return Err(problem.with(header::RETRY_AFTER, left.as_secs() + 1));
        }
        let token = Token::new(token);
        let mut unreachable = false;
        for verifier in &self.endpoint.verifiers {
            match timeout(VERIFIER_TIMEOUT, verifier.verify(&token)).await.unwrap_or(Verdict::Unreachable) {
                Verdict::Accepted(principal) => return Ok(principal),
                Verdict::Rejected => {}
                Verdict::Unreachable => unreachable = true,
            }
        }
        if unreachable {
            return Err(Problem::unavailable("the credential store can't be reached", Some(false)));
        }
        self.attempts.failed(peer, now);
        Err(Problem::unauthenticated())
    }

    /// The latest status, and whether its process lives. In that process itself nothing needs to be read.
    async fn look(&self) -> (Option<Snapshot>, bool) {
        let published = &self.endpoint.published;
        let status = match &published.here {
            Some(reconciler) => Some(reconciler.snapshot()),
            None => published.status().await.unwrap_or_default(),
        };
        let live = status.is_some() || published.is_live().await;
        self.history.add(status.as_ref().map_or(0, |status| status.active_agents));
        (status, live)
    }

    async fn ready(&self) -> Response {
        let unready = match &self.endpoint.published.here {
            Some(reconciler) => reconciler.unready(),
            None => match self.endpoint.published.status().await {
                Err(error) => vec![format!("the home can't be used: {error}")],
                Ok(None) => vec![drain::NO_GATEWAY.to_owned()],
                Ok(Some(status)) => {
                    let state = status.drain.state;
                    let state = (state != DrainState::Running).then(|| format!("state: {state}"));
                    let pending = status.drain.pending.then(|| "a hold is about to close the gate".to_owned());
                    state.into_iter().chain(pending).collect()
                }
            },
        };
        if unready.is_empty() {
            return "ready\n".into_response();
        }
        (StatusCode::SERVICE_UNAVAILABLE, unready.join("\n") + "\n").into_response()
    }

    async fn restart(&self, by: &str, wait: Option<Duration>) -> Result<Response, Problem> {
        let Endpoint { published, restart: Some(restart), restart_drain_timeout, .. } = &self.endpoint else {
            return Err(Denied::NotHeld.into());
        };
        let suppress_notification = if let Some(reconciler) = &published.here {
            // Asked before the shutdown takes in every hold.
            let suppress = reconciler.controller().suppresses_notification();
            let deadline = restart_drain_timeout.unwrap_or_default();
            reconciler.controller().begin_shutdown(deadline).map_err(|_| Denied::ShuttingDown)?;
            reconciler.describe(|description| description.restart_requested = true);
            suppress
        } else {
            let status = published.status().await.unwrap_or_default();
            status.is_some_and(|status| status.drain.suppress_notification)
        };
        restart(Restart { by: by.into(), suppress_notification });
        let begun = |status: Option<&Snapshot>| {
            let state = status?.drain.state;
            matches!(state, DrainState::ShutdownDraining | DrainState::Stopped).then_some(state)
        };
        let state = published.wait(wait.unwrap_or(PATIENCE), begun).await.unwrap_or_default();
        let code = if state.is_some() { StatusCode::OK } else { StatusCode::ACCEPTED };
        Ok(json(code, &RestartAnswer { ok: true, action: "restart", state }))
    }

    /// The wait that `Prefer: wait=N` asks for, as long as it may be. Other preferences are nothing to this endpoint.
    fn wait_wanted(&self, headers: &HeaderMap) -> Result<Option<Duration>, Problem> {
        let values = headers.get_all("prefer").iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        for preference in values {
            let preference = preference.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
            let Some(seconds) = preference.strip_prefix(b"wait=") else { continue };
            let seconds = str::from_utf8(seconds).ok().and_then(|seconds| seconds.parse::<u64>().ok());
            let Some(seconds) = seconds else {
                return Err(Problem::bad_request("`Prefer: wait=N` wants a whole number of seconds"));
            };
            return Ok(Some(Duration::from_secs(seconds.min(self.endpoint.settings.max_wait_seconds))));
        }
        Ok(None)
    }
}

fn allow(principal: &Principal, scope: Scope) -> Result<(), Problem> {
    if principal.may(scope) {
        return Ok(());
    }
    Err(Problem::new(Fault::Forbidden, format!("the token doesn't have the scope `{scope}`")))
}

/// The token of the only `Authorization` header there is.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (values.next()?.as_bytes(), values.next()) else { return None };
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    let token = token.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"Bearer ") && !token.is_empty()).then_some(token)
}

async fn body(request: Request<Body>) -> Result<Bytes, Problem> {
    let Ok(read) = timeout(BODY_TIMEOUT, Bytes::from_request(request, &())).await else {
        return Err(Problem::new(Fault::Timeout, "the body didn't arrive in time"));
    };
    read.map_err(|why| match why.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(Fault::TooLarge, "the body is too large"),
        _ => Problem::bad_request("the body couldn't be read to its end"),
    })
}
