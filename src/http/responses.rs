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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hold::{Denied, Ending, Nonce, RequestId};
    use serde_json::{Value, json};
    use std::time::Duration;

    const WRITE: &str = "0123456789abcdef";

    /// A status with these holds of the name `upgrade`.
    fn status(holds: &Value) -> Snapshot {
        let drain = json!({"format": 2, "state": "external_draining", "incarnation": "here", "holds": holds});
        serde_json::from_value(json!({"gateway_state": "draining", "drain": drain})).unwrap()
    }

    fn draining(committed: bool) -> Snapshot {
        let left = (!committed).then_some(40.0);
        status(&json!([{"request_id": "upgrade", "owner": "alice", "nonce": WRITE, "first_seen_millis": 7,
            "committed": committed, "lease_left_seconds": left}]))
    }

    fn asked(verb: Verb) -> Asked {
        let body = json!({"action": verb.word(), "request_id": "upgrade", "incarnation": "here", "generation": 1});
        Asked::parse(body.to_string().as_bytes()).unwrap()
    }

    fn request() -> Request {
        let nonce = Some(Nonce::from(WRITE.to_owned()));
        let id = RequestId::new("upgrade").unwrap();
        Request { nonce, ..Request::begin(id, "alice").lease(Duration::from_secs(60)) }
    }

    #[test]
    fn a_list_of_holds_tells_of_the_gateway_once() {
        let said = serde_json::to_value(HoldsAnswer::of(&draining(false))).unwrap();
        assert_eq!((&said["gateway"]["incarnation"], &said["holds"][0]["nonce"]), (&json!("here"), &json!(WRITE)));
        assert_eq!(said["holds"][0]["gateway"], Value::Null, "{said}");
    }

    #[test]
    fn what_the_gateway_has_made_of_a_write_is_told_with_its_hold_or_as_one_that_has_no_lease_any_more() {
        let none = || status(&json!([]));
        for (verb, outcome, status, standing, lease, first_seen) in [
            (Verb::Drain, Outcome::Held, draining(false), Standing::Held, Some(40.0), Some(7)),
            (Verb::Renew, Outcome::Pending, draining(false), Standing::Pending, Some(40.0), Some(7)),
            (Verb::Commit, Outcome::Committed, draining(true), Standing::Committed, None, Some(7)),
            (Verb::Cancel, Outcome::Ended(Ending::Withdrawn), none(), Standing::Withdrawn, None, None),
            (Verb::Override, Outcome::Ended(Ending::Overridden), none(), Standing::Overridden, None, None),
            (Verb::Cancel, Outcome::Refused(Denied::NotHeld), none(), Standing::Withdrawn, None, None),
        ] {
            let answer = HoldAnswer::acknowledged(&asked(verb), &request(), outcome, &status);
            assert_eq!(answer.action.as_deref(), Some(verb.word()));
            assert!(answer.acknowledged, "{verb:?}: the gateway has answered");
            assert_eq!(answer.outcome, Some(standing), "{verb:?}");
            assert_eq!(
                answer.nonce,
                request().nonce,
                "{verb:?}: its writer is told of its write, a commit's token included"
            );
            assert_eq!((answer.lease_left_seconds, answer.first_seen_millis), (lease, first_seen), "{verb:?}");
            assert_eq!(answer.owner, "alice", "{verb:?}");
        }
        let unanswered = HoldAnswer::unacknowledged(&asked(Verb::Drain), &request(), Some(&none()));
        assert_eq!((unanswered.acknowledged, unanswered.outcome), (false, None));
        assert_eq!(unanswered.lease_left_seconds, Some(60.0), "what it has asked for");
    }

    #[test]
    fn a_hold_is_tagged_with_its_last_write_but_never_with_the_token_of_a_commit() {
        for (verb, outcome, committed) in
            [(Verb::Drain, Outcome::Held, false), (Verb::Commit, Outcome::Committed, true)]
        {
            let answer = HoldAnswer::acknowledged(&asked(verb), &request(), outcome, &draining(committed));
            let response = answer.response(StatusCode::OK);
            let tagged = response.headers().get(header::ETAG).map(|tag| tag.to_str().unwrap().to_owned());
            assert_eq!(tagged, (!committed).then(|| format!("\"{WRITE}\"")), "{verb:?}");
        }
    }
}
