//! An endpoint at work: from a request to its answer, by way of the limits, the token and the scope.
//!
//! It relies on every other part of the endpoint; only the [router](super::Endpoint::routes) relies on it.

use super::asked::Asked;
use super::audit::Entry;
use super::auth::attempts::Attempts;
use super::auth::{Principal, Scope, Token, Verdict};
use super::drain::PATIENCE;
use super::problem::{Fault, Problem};
use super::respond::{RestartAnswer, StatusAnswer, json};
use super::routes::{Operation, Route};
use super::{Endpoint, Restart, drain, page, routes};
use crate::hold::{Denied, RequestId};
use crate::state::DrainState;
use crate::status::{Readout, Snapshot};
use crate::wire::Verb;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, FromRequest, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a verifier may take.
const VERIFIER_TIMEOUT: Duration = Duration::from_secs(5);

/// An endpoint at work.
pub(super) struct Serving {
    endpoint: Endpoint,
    attempts: Attempts,
    /// Held from the look at a hold's file to the write of it.
    turn: tokio::sync::Mutex<()>,
    history: page::History,
}

pub(super) fn method_router(route: &'static Route) -> MethodRouter<Arc<Serving>> {
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
    pub(super) fn new(endpoint: Endpoint) -> Arc<Self> {
        let attempts = Attempts::new(endpoint.settings.failed_attempts_per_minute);
        let (turn, history) = (tokio::sync::Mutex::default(), page::History::default());
        let serving = Arc::new(Self { endpoint, attempts, turn, history });
        if let Some(reconciler) = &serving.endpoint.published.here {
            let noted = Arc::downgrade(&serving);
            reconciler.controller().observe(move |change| {
                if let (Some(serving), Some(reading)) = (noted.upgrade(), change.reading()) {
                    serving.history.add(reading.total());
                }
            });
        }
        serving
    }

    pub(super) fn offers(&self, operation: Operation) -> bool {
        operation != Operation::Restart || self.endpoint.restart.is_some()
    }

    fn record(&self, done: Decision, status: StatusCode, error: Option<Fault>) {
        let Decision { peer, principal, action, request_id } = done;
        let at = crate::control::request_file::now();
        let (status, error) = (status.as_u16(), error.map(Fault::word));
        let entry = Entry { at, peer, principal, action, request_id, status, error };
        #[cfg(feature = "tracing")]
        super::audit::event(&entry);
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
                done.request_id = Some(asked.id().to_string());
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
