//! An endpoint at work: from a request to its answer, by way of the limits, the token and the scope.
//!
//! It relies on every other part of the endpoint; only the [router](super::Endpoint::routes) relies on it.

use super::asking::Asking;
use super::audit::Entry;
use super::auth::attempts::Attempts;
use super::auth::{Principal, Scope, Token, Verdict};
use super::body::Asked;
use super::conditional::Condition;
use super::drain::PATIENCE;
use super::problem::{CHALLENGE, Fault, Problem};
use super::responses::{RestartAnswer, StatusAnswer, json, text};
use super::routes::{Operation, Route};
use super::{Endpoint, Restart, drain, page, prefer, routes};
use crate::hold::{Denied, RequestId};
use crate::state::DrainState;
use crate::status::{Readout, Snapshot};
use crate::wire::Verb;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, FromRequest, FromRequestParts, NestedPath, Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a verifier may take.
const VERIFIER_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a verifier may keep the page waiting.
const PAGE_TIMEOUT: Duration = Duration::from_secs(1);

/// An endpoint at work.
pub(super) struct Serving {
    endpoint: Endpoint,
    attempts: Attempts,
    /// Held from the look at a hold's file to the write of it.
    turn: tokio::sync::Mutex<()>,
    history: page::History,
}

/// All that is answered at one path.
pub(super) fn method_router(routes: &[&'static Route]) -> MethodRouter<Arc<Serving>> {
    let mut methods = MethodRouter::new();
    for route in routes.iter().copied() {
        let serve = move |State(serving): State<Arc<Serving>>, request: Request| serve(serving, route, request);
        methods = if route.method == "post" { methods.post(serve) } else { methods.get(serve) };
    }
    let allowed = routes.iter().map(|route| if route.method == "post" { "POST" } else { "GET, HEAD" });
    let allowed = allowed.collect::<Vec<_>>().join(", ");
    let path = routes.first().map_or("", |route| route.path);
    methods.fallback(move || async move {
        let problem = Problem::new(Fault::MethodNotAllowed, format!("{path} is for {allowed}"));
        match HeaderValue::try_from(allowed) {
            Ok(allowed) => problem.with(header::ALLOW, allowed),
            Err(_) => problem,
        }
    })
}

async fn serve(serving: Arc<Serving>, route: &'static Route, request: Request) -> Response {
    let acts = matches!(route.operation, Operation::Drain | Operation::Restart);
    let served = async move { serving.serve(route, request).await };
    if !acts {
        return served.await;
    }
    // What was begun goes on, and is recorded, although the client has gone: in a task of its own.
    match tokio::spawn(served).await {
        Ok(response) => response,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Problem::unavailable("the server is shutting down", None).into_response(),
        },
    }
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
    async fn serve(self: Arc<Self>, route: &'static Route, request: Request) -> Response {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
        let mut done = Decision { peer, principal: None, action: route.operation.action(), request_id: None };
        let answered = self.answer(route, request, &mut done).await;
        let error = answered.as_ref().err().map(|problem| problem.fault);
        let response = answered.unwrap_or_else(IntoResponse::into_response);
        // A token that was turned away is recorded where it was looked at.
        let recorded = matches!(error, Some(Fault::Unauthenticated | Fault::TooManyAttempts));
        let reads = matches!(route.operation, Operation::Hold | Operation::Holds) && error != Some(Fault::Forbidden);
        if route.scope.is_some() && !recorded && !reads {
            self.record(done, response.status(), error);
        }
        response
    }

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

    async fn answer(
        self: &Arc<Self>,
        route: &'static Route,
        request: Request,
        done: &mut Decision,
    ) -> Result<Response, Problem> {
        let limit = self.endpoint.settings.max_header_bytes;
        let headers = request.headers();
        if headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>() > limit {
            let detail = format!("the headers take more than {limit} bytes");
            return Err(Problem::new(Fault::HeadersTooLarge, detail));
        }
        let asking = Asking { headers: headers.clone(), uri: request.uri().clone(), peer: done.peer };
        if let Some(scope) = route.scope {
            let principal = self.authenticated(asking, route).await?;
            done.principal = Some(principal.name().to_owned());
            return self.guarded(route, scope, &principal, request, done).await;
        }
        match route.operation {
            Operation::Live => Ok(text(StatusCode::OK, "ok\n")),
            Operation::Ready => Ok(self.ready().await),
            Operation::Status => {
                let (status, live) = self.look().await;
                let readout = Readout::of(status.as_ref(), live, self.endpoint.restart_drain_timeout);
                Ok(json(StatusCode::OK, &StatusAnswer::new(readout, status.as_ref())))
            }
            Operation::Description => {
                let nested_at = request.extensions().get::<NestedPath>().map_or("/", NestedPath::as_str);
                Ok(json(StatusCode::OK, &routes::description(nested_at, |there| self.offers(there))))
            }
            Operation::PageStyle => Ok(page::file("text/css; charset=utf-8", page::STYLE)),
            Operation::PageScript => Ok(page::file("text/javascript; charset=utf-8", page::SCRIPT)),
            Operation::Page | Operation::Drain | Operation::Hold | Operation::Holds | Operation::Restart => {
                let named = self.authenticated(asking, route).await.is_ok_and(|principal| principal.may(Scope::Read));
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
        let most = self.endpoint.settings.max_wait_seconds;
        let wait = prefer::wait(request.headers()).map(|seconds| Duration::from_secs(seconds.min(most)));
        let published = &self.endpoint.published;
        let mut response = match route.operation {
            Operation::Drain => {
                let condition = Condition::of(request.headers());
                let mut asked = Asked::parse(&self.body(request).await?)?;
                asked.condition = condition;
                done.action = asked.verb.word();
                done.request_id = Some(asked.id().to_string());
                allow(principal, if asked.verb == Verb::Override { Scope::Override } else { scope })?;
                drain::act(published, &self.turn, &asked, principal.name(), wait).await?
            }
            Operation::Restart => {
                allow(principal, scope)?;
                let content = self.body(request).await?;
                if !content.is_empty() && content.trim_ascii() != b"{}" {
                    return Err(Problem::bad_request("a restart has no body, or an empty JSON object"));
                }
                self.restart(principal.name(), wait).await?
            }
            Operation::Holds => {
                allow(principal, scope)?;
                drain::list(published).await?
            }
            _ => {
                allow(principal, scope)?;
                let (mut parts, _) = request.into_parts();
                let named = Path::<RequestId>::from_request_parts(&mut parts, &()).await;
                let Path(id) = named.map_err(|why| Problem::bad_request(why.body_text()))?;
                drain::stand(published, &id, wait).await?
            }
        };
        let applied = wait.filter(|_| route.operation != Operation::Holds);
        if let Some(Ok(applied)) = applied.map(|wait| HeaderValue::try_from(format!("wait={}", wait.as_secs()))) {
            response.headers_mut().insert("preference-applied", applied);
        }
        Ok(response)
    }

    /// Whose token it is; what is turned away is recorded even if nobody waits for the answer.
    async fn authenticated(self: &Arc<Self>, asking: Asking, route: &'static Route) -> Result<Principal, Problem> {
        if self.endpoint.everybody.is_none() && asking.bearer().is_none() && route.scope.is_none() {
            return Err(Problem::unauthenticated(None));
        }
        let serving = Arc::clone(self);
        let task = tokio::spawn(async move {
            let authenticated = serving.authenticate(&asking, route.scope.is_some()).await;
            if let Err(problem) = &authenticated
                && matches!(problem.fault, Fault::Unauthenticated | Fault::TooManyAttempts)
            {
                // The page is answered to everybody.
                let status = if route.scope.is_some() { problem.fault.status() } else { StatusCode::OK };
                let (peer, action) = (asking.peer, route.operation.action());
                let done = Decision { peer, principal: None, action, request_id: None };
                serving.record(done, status, Some(problem.fault));
            }
            authenticated
        });
        match task.await {
            Ok(authenticated) => authenticated,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(Problem::unavailable("the server is shutting down", Some(false))),
            },
        }
    }

    /// Whose token it is. The verifiers are asked first, and only a wrong token is counted: a right one is never turned away
    /// for what others have shown.
    async fn authenticate(&self, asking: &Asking, counts: bool) -> Result<Principal, Problem> {
        if let Some(everybody) = &self.endpoint.everybody {
            return match asking.may_be_a_page(&self.endpoint.hosts) {
                Some(why) => Err(Problem::new(Fault::Forbidden, why)),
                None => Ok(everybody.clone()),
            };
        }
        let Some(token) = asking.bearer() else { return Err(Problem::unauthenticated(None)) };
        let token = Token::new(token);
        let mut unreachable = false;
        // The page is there for everybody, and waits for nobody's credential store for long.
        let patience = if counts { VERIFIER_TIMEOUT } else { PAGE_TIMEOUT };
        for verifier in &self.endpoint.verifiers {
            match timeout(patience, verifier.verify(&token)).await.unwrap_or(Verdict::Unreachable) {
                Verdict::Accepted(principal) => return Ok(principal),
                Verdict::Rejected => {}
                Verdict::Unreachable => unreachable = true,
            }
        }
        if unreachable {
            return Err(Problem::unavailable("the credential store can't be reached", Some(false)));
        }
        if let Some(left) = counts.then(|| self.attempts.failed(asking.peer, Instant::now())).flatten() {
            let problem = Problem::new(Fault::TooManyAttempts, "too many wrong tokens from this address");
            return Err(problem.with(header::RETRY_AFTER, left.as_secs() + 1));
        }
        Err(Problem::unauthenticated(Some("invalid_token")))
    }

    /// The latest status, and whether its process lives. In that process itself nothing needs to be read.
    async fn look(&self) -> (Option<Snapshot>, bool) {
        let published = &self.endpoint.published;
        let status = match &published.here {
            Some(reconciler) => Some(reconciler.snapshot()),
            None => published.status().await.unwrap_or_default().map(Arc::unwrap_or_clone),
        };
        let live = status.is_some() || published.is_live().await;
        if let Some(agents) = status.as_ref().and_then(|status| status.active_agents) {
            self.history.add(agents);
        }
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
            return text(StatusCode::OK, "ready\n");
        }
        text(StatusCode::SERVICE_UNAVAILABLE, unready.join("\n") + "\n")
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
        let begun = |status: Option<&Arc<Snapshot>>| {
            let state = status?.drain.state;
            matches!(state, DrainState::ShutdownDraining | DrainState::Stopped).then_some(state)
        };
        let state = published.wait(wait.unwrap_or(PATIENCE), begun).await.unwrap_or_default();
        let code = if state.is_some() { StatusCode::OK } else { StatusCode::ACCEPTED };
        Ok(json(code, &RestartAnswer { ok: true, action: "restart", state }))
    }

    async fn body(&self, request: Request) -> Result<Bytes, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE).cloned();
        let Ok(read) = timeout(BODY_TIMEOUT, Bytes::from_request(request, &())).await else {
            return Err(Problem::new(Fault::Timeout, "the body didn't arrive in time"));
        };
        let read = read.map_err(|why| match why.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Problem::new(Fault::TooLarge, "the body is too large"),
            _ => Problem::bad_request("the body couldn't be read to its end"),
        })?;
        // What a form of another site can send without asking is nobody's JSON. A token can't be sent that way.
        let protects = self.endpoint.everybody.is_some() && !read.is_empty();
        if protects && kind.is_some_and(|kind| !is_json(kind.as_bytes())) {
            return Err(Problem::new(
                Fault::UnsupportedType,
                "without authentication the body has to be application/json",
            ));
        }
        Ok(read)
    }
}

fn is_json(kind: &[u8]) -> bool {
    let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    kind.eq_ignore_ascii_case(b"application/json")
}

fn allow(principal: &Principal, scope: Scope) -> Result<(), Problem> {
    if principal.may(scope) {
        return Ok(());
    }
    let challenge = format!("{CHALLENGE}, error=\"insufficient_scope\", scope=\"{scope}\"");
    let problem = Problem::new(Fault::Forbidden, format!("the token doesn't have the scope `{scope}`"));
    Err(match HeaderValue::try_from(challenge) {
        Ok(challenge) => problem.with(header::WWW_AUTHENTICATE, challenge),
        Err(_) => problem,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Home;
    use crate::http::auth::Settings;
    use axum::body::Body;
    use axum::http::Method;
    use tower_service::Service as _;

    #[tokio::test]
    async fn headers_may_take_as_many_bytes_as_the_settings_say_and_not_one_more() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings { max_header_bytes: 30, ..Settings::default() };
        let mut routes = Endpoint::of_home(Home::at(folder.path())).settings(settings).routes();
        // A name of five bytes, and another one of six with a value of four.
        for (bytes, code) in [(0, 200), (15, 200), (16, 431)] {
            let request =
                axum::http::Request::get("/livez").header("first", "x".repeat(bytes)).header("second", "four");
            let answer = routes.call(request.body(Body::empty()).unwrap()).await.unwrap();
            assert_eq!(answer.status(), code, "with a value of {bytes} bytes");
        }
    }

    #[tokio::test]
    async fn a_method_that_a_path_has_not_is_told_which_ones_it_has() {
        let folder = tempfile::tempdir().unwrap();
        let endpoint = Endpoint::of_home(Home::at(folder.path())).on_restart(Duration::ZERO, |_| ());
        let mut routes = endpoint.routes();
        for (path, expected) in [
            ("/api/gateway/drain", "POST, GET, HEAD"),
            ("/api/gateway/drain/upgrade", "GET, HEAD"),
            ("/api/gateway/restart", "POST"),
            ("/api/status", "GET, HEAD"),
        ] {
            let request = axum::http::Request::builder().method(Method::DELETE).uri(path);
            let answer = routes.call(request.body(Body::empty()).unwrap()).await.unwrap();
            let allowed = answer.headers().get(header::ALLOW).map(|allowed| allowed.to_str().unwrap());
            assert_eq!((answer.status().as_u16(), allowed), (405, Some(expected)), "{path}");
        }
    }
}
