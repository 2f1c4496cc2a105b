//! The bodies of the answers. The reference's have its fields in its order, so that they agree byte for byte.

use super::body::Asked;
use crate::gate::Generation;
use crate::hold::{Incarnation, Notes, Outcome, Request};
use crate::state::DrainState;
use crate::status::{HoldStatus, Readout, Snapshot};
use crate::wire::{GatewayAnswer, HoldAnswer, HoldsAnswer, Standing, Verb, tag};
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

/// A body of JSON.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let bytes = serde_json::to_vec(body).unwrap_or_default();
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A body of plain text.
pub(super) fn text(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// To the request that began the marker's hold: the reference's body.
#[derive(Serialize, ToSchema)]
pub(super) struct MarkerAnswer {
    ok: bool,
    action: &'static str,
    requested_at: String,
    draining: bool,
    suppress_notification: bool,
}

impl MarkerAnswer {
    pub(super) fn new(asked: &Asked, requested_at: String, draining: bool) -> Self {
        let suppress_notification = asked.said().suppress_notification;
        Self { ok: true, action: asked.verb.word(), requested_at, draining, suppress_notification }
    }
}

/// To the request that removed the marker: the reference's body.
#[derive(Serialize, ToSchema)]
pub(super) struct RemovedAnswer {
    pub(super) ok: bool,
    pub(super) action: &'static str,
    pub(super) was_draining: bool,
}

impl HoldAnswer {
    /// Tagged with the hold's last write, which a later request can name in its `If-Match`. A commit's is its token.
    pub(super) fn response(&self, code: StatusCode) -> Response {
        let mut response = json(code, self);
        let tag = self.nonce.as_ref().filter(|_| !self.committed).map(tag);
        if let Some(tag) = tag.and_then(|tag| HeaderValue::try_from(tag).ok()) {
            response.headers_mut().insert(header::ETAG, tag);
        }
        response
    }

    /// A hold as the gateway knows it.
    pub(super) fn of(held: &HoldStatus, status: &Snapshot) -> Self {
        let outcome = match (held.committed, held.pending) {
            (true, _) => Standing::Committed,
            (false, true) => Standing::Pending,
            (false, false) => Standing::Held,
        };
        Self {
            ok: true,
            action: None,
            request_id: held.request_id.clone(),
            // A commit's nonce is its token, and not for every reader.
            nonce: held.nonce.clone().filter(|_| !held.committed),
            acknowledged: true,
            outcome: Some(outcome),
            owner: held.owner.clone(),
            notes: held.notes.clone(),
            first_seen_millis: Some(held.first_seen_millis),
            age_seconds: Some(held.age_seconds),
            lease_left_seconds: held.lease_left_seconds,
            deadline_seconds: held.deadline_seconds,
            committed: held.committed,
            overdue: held.overdue,
            suppress_notification: held.suppress_notification,
            gateway: Some(GatewayAnswer::of(status)),
        }
    }

    /// What was asked for, written and not yet answered by the gateway.
    pub(super) fn unacknowledged(asked: &Asked, request: &Request, status: Option<&Snapshot>) -> Self {
        Self {
            ok: true,
            action: Some(asked.verb.word().into()),
            request_id: asked.id().clone(),
            nonce: request.nonce.clone(),
            acknowledged: false,
            outcome: None,
            owner: request.owner.clone(),
            notes: request.notes.clone(),
            first_seen_millis: None,
            age_seconds: None,
            lease_left_seconds: request.lease.map(|lease| lease.as_secs_f64()),
            deadline_seconds: request.deadline.map(|deadline| deadline.as_secs_f64()),
            committed: false,
            overdue: false,
            suppress_notification: request.suppress_notification,
            gateway: status.map(GatewayAnswer::of),
        }
    }

    /// What the gateway has made of a write.
    pub(super) fn acknowledged(asked: &Asked, request: &Request, outcome: Outcome, status: &Snapshot) -> Self {
        let unheld = || Self { lease_left_seconds: None, ..Self::unacknowledged(asked, request, Some(status)) };
        let held = super::status_source::hold(status, asked.id()).map(|held| Self::of(held, status));
        let outcome = match outcome {
            Outcome::Held => Standing::Held,
            Outcome::Pending => Standing::Pending,
            Outcome::Committed => Standing::Committed,
            Outcome::Ended(_) | Outcome::Refused(_) | Outcome::Ignored(_) | Outcome::Unknown => ended_by(asked),
        };
        Self {
            action: Some(asked.verb.word().into()),
            nonce: request.nonce.clone(),
            acknowledged: true,
            outcome: Some(outcome),
            ..held.unwrap_or_else(unheld)
        }
    }

    /// A hold that is gone with its file.
    pub(super) fn withdrawn(asked: &Asked, status: Option<&Snapshot>) -> Self {
        Self {
            ok: true,
            action: Some(asked.verb.word().into()),
            request_id: asked.id().clone(),
            nonce: None,
            acknowledged: status.is_some(),
            outcome: status.map(|_| ended_by(asked)),
            owner: String::new(),
            notes: Notes::default(),
            first_seen_millis: None,
            age_seconds: None,
            lease_left_seconds: None,
            deadline_seconds: None,
            committed: false,
            overdue: false,
            suppress_notification: false,
            gateway: status.map(GatewayAnswer::of),
        }
    }
}

fn ended_by(asked: &Asked) -> Standing {
    if asked.verb == Verb::Override { Standing::Overridden } else { Standing::Withdrawn }
}

impl HoldsAnswer {
    /// Every hold, and the gateway once.
    pub(super) fn of(status: &Snapshot) -> Self {
        let hold = |held| HoldAnswer { gateway: None, ..HoldAnswer::of(held, status) };
        Self { holds: status.drain.holds.iter().map(hold).collect(), gateway: GatewayAnswer::of(status) }
    }
}

impl GatewayAnswer {
    fn of(status: &Snapshot) -> Self {
        let drain = &status.drain;
        Self {
            state: drain.state,
            incarnation: drain.incarnation.clone(),
            generation: drain.generation,
            in_flight: drain.in_flight,
            internal: drain.internal,
            drained: drain.drained,
            stalled: drain.stalled,
            active_work: drain.active_work.clone(),
        }
    }
}

/// To everybody: the reference's fields, and what of a drain is nobody's secret.
#[derive(Serialize, ToSchema)]
pub(super) struct StatusAnswer {
    #[serde(flatten)]
    readout: Readout,
    drain: Option<PublicDrain>,
}

#[derive(Serialize, ToSchema)]
struct PublicDrain {
    state: DrainState,
    #[schema(value_type = String)]
    incarnation: Incarnation,
    #[schema(value_type = u64)]
    generation: Generation,
    in_flight: u64,
    internal: u64,
    drained: bool,
    stalled: bool,
    pending: bool,
    holds: usize,
}

impl StatusAnswer {
    pub(super) fn new(readout: Readout, status: Option<&Snapshot>) -> Self {
        let public = |status: &Snapshot| PublicDrain {
            state: status.drain.state,
            incarnation: status.drain.incarnation.clone(),
            generation: status.drain.generation,
            in_flight: status.drain.in_flight,
            internal: status.drain.internal,
            drained: status.drain.drained,
            stalled: status.drain.stalled,
            pending: status.drain.pending,
            holds: status.drain.holds.len(),
        };
        Self { readout, drain: status.map(public) }
    }
}

/// To a request for a restart.
#[derive(Serialize, ToSchema)]
pub(super) struct RestartAnswer {
    pub(super) ok: bool,
    pub(super) action: &'static str,
    pub(super) state: Option<DrainState>,
}
