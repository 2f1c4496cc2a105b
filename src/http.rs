//! The control routes for axum: the drain endpoint in the reference's form, the status and the probes.
//!
//! The files are the truth here too: the endpoint writes the marker, and answers with what the gateway has acknowledged in
//! its published status, never with its own reading of the file (C6). These routes take no permit and are never refused.
//!
//! They authenticate nobody. Serve them where only those who may drain the gateway can reach them.

use crate::control::Channel;
use crate::controller::Acknowledgement;
use crate::hold::{Nonce, Outcome, Request, RequestId};
use crate::reconciler::Reconciler;
use crate::status::{Readout, Snapshot};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// The principal that the reference's endpoint acts as.
const PRINCIPAL: &str = "drain-control";

/// How often, and for how long, the published status is looked at for an answer.
const LOOK_EVERY: Duration = Duration::from_millis(20);
const LOOKS: u32 = 150;

/// `POST /api/gateway/drain`, `GET /api/status`, `/livez` and `/readyz` for a gateway in this process.
///
/// ```no_run
/// # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
/// use gateway_drain::{Home, Reconciler, http, reconciler::Options};
/// use std::sync::Arc;
///
/// let reconciler = Arc::new(Reconciler::start(Home::resolve(None)?, Options::default())?);
/// let app = axum::Router::new().merge(http::routes(reconciler));
/// # Ok(())
/// # }
/// ```
pub fn routes(reconciler: Arc<Reconciler>) -> Router {
    Router::new()
        .route("/api/gateway/drain", post(drain))
        .route("/api/status", get(status))
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .with_state(reconciler)
}

/// A refusal as a response: 503 with `Retry-After` and a problem body that names neither owner nor reason.
///
/// ```
/// use axum::response::IntoResponse;
/// use gateway_drain::{Refusal, http};
///
/// assert_eq!(http::refused(Refusal::Draining).status(), 503);
/// ```
#[must_use]
pub fn refused(refusal: crate::Refusal) -> Response {
    let mut response = problem(StatusCode::SERVICE_UNAVAILABLE, &refusal.to_string());
    let headers = response.headers_mut();
    if refusal.is_retryable() {
        // Spread out, so that those who were refused together don't come back together.
        let spread = Nonce::fresh().as_str().bytes().map(u64::from).sum::<u64>() % 5;
        headers.insert(header::RETRY_AFTER, (3 + spread).into());
    }
    headers.insert(header::CONNECTION, header::HeaderValue::from_static("close"));
    response
}

async fn status(State(reconciler): State<Arc<Reconciler>>) -> Json<Value> {
    let snapshot = reconciler.snapshot();
    let drain = &snapshot.drain;
    let mut readout = json!(Readout::of(Some(&snapshot), true, None));
    readout["drain"] = json!({
        "state": drain.state,
        "generation": drain.generation,
        "in_flight": drain.in_flight,
        "internal": drain.internal,
        "drained": drain.drained,
        "stalled": drain.stalled,
    });
    Json(readout)
}

async fn ready(State(reconciler): State<Arc<Reconciler>>) -> Response {
    let unready = reconciler.unready();
    if unready.is_empty() {
        return "ready\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, unready.join("\n") + "\n").into_response()
}

/// What a body asks for. An empty one begins, as in the reference; anything else has to say so.
enum Asked {
    Drain { suppress_notification: bool },
    Cancel,
}

fn asked(body: &[u8]) -> Result<Asked, &'static str> {
    if body.is_empty() {
        return Ok(Asked::Drain { suppress_notification: false });
    }
    let Ok(Value::Object(fields)) = serde_json::from_slice(body) else { return Err("the body is not a JSON object") };
    match fields.get("action").and_then(Value::as_str) {
        Some("drain") => {
            let suppress = fields.get("suppress_notification") == Some(&Value::Bool(true));
            Ok(Asked::Drain { suppress_notification: suppress })
        }
        Some("cancel") => Ok(Asked::Cancel),
        _ => Err("the action is neither \"drain\" nor \"cancel\""),
    }
}

async fn drain(State(reconciler): State<Arc<Reconciler>>, body: Bytes) -> Response {
    let asked = match asked(&body) {
        Ok(asked) => asked,
        Err(why) => return problem(StatusCode::BAD_REQUEST, why),
    };
    let done = match asked {
        Asked::Drain { suppress_notification } => begin(&reconciler, suppress_notification).await,
        Asked::Cancel => cancel(&reconciler).await,
    };
    done.unwrap_or_else(|error| {
        problem(StatusCode::SERVICE_UNAVAILABLE, &format!("the channel can't be used: {error}"))
    })
}

async fn begin(reconciler: &Reconciler, suppress_notification: bool) -> io::Result<Response> {
    let request = Request::begin(RequestId::marker(), PRINCIPAL).suppress_notification(suppress_notification);
    let nonce = request.nonce.clone();
    let channel = Channel::new(reconciler.home().clone());
    let requested_at = crate::control::request_file::now();
    blocking(move || channel.write(&request)).await?;
    let answered = |answer: &Acknowledgement| (answer.nonce == nonce).then_some(answer.outcome);
    let outcome = published(reconciler, |s| s.drain.acknowledged.iter().find_map(answered)).await?;
    let draining = outcome == Some(Outcome::Held);
    let (ok, status) = match outcome {
        Some(Outcome::Held | Outcome::Pending | Outcome::Committed) => (true, StatusCode::OK),
        Some(Outcome::Refused(_) | Outcome::Ended(_)) => (false, StatusCode::CONFLICT),
        None => (true, StatusCode::ACCEPTED),
    };
    let body = json!({
        "ok": ok,
        "action": "drain",
        "requested_at": requested_at,
        "draining": draining,
        "suppress_notification": suppress_notification,
    });
    Ok((status, Json(body)).into_response())
}

async fn cancel(reconciler: &Reconciler) -> io::Result<Response> {
    let channel = Channel::new(reconciler.home().clone());
    let was_draining = blocking(move || channel.remove(&RequestId::marker())).await?;
    let gone = |s: &Snapshot| (!s.drain.holds.iter().any(|hold| hold.request_id.is_marker())).then_some(());
    let status = match published(reconciler, gone).await? {
        Some(()) => StatusCode::OK,
        None => StatusCode::ACCEPTED,
    };
    let body = json!({"ok": true, "action": "cancel", "was_draining": was_draining});
    Ok((status, Json(body)).into_response())
}

/// Waits until the published status answers, for three seconds at most.
async fn published<T>(reconciler: &Reconciler, answer: impl Fn(&Snapshot) -> Option<T>) -> io::Result<Option<T>> {
    reconciler.kick();
    for _ in 0..LOOKS {
        let home = reconciler.home().clone();
        let snapshot = blocking(move || Snapshot::read(&home)).await?;
        let ours = snapshot.drain.incarnation == *reconciler.controller().incarnation();
        if let Some(answer) = ours.then(|| answer(&snapshot)).flatten() {
            return Ok(Some(answer));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(None)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

fn problem(status: StatusCode, detail: &str) -> Response {
    let body = json!({
        "type": "about:blank",
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "detail": detail,
        "error": detail,
    });
    (status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
}
