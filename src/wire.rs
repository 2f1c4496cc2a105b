//! What goes over HTTP between the endpoint and its clients, written once: the endpoint writes it, the client reads it, and
//! the other way round.
//!
//! [`FIELDS`] is the one place that says which field of a request's body goes with which action: the client writes by it,
//! the endpoint's parser and its description at `/api/openapi.json` read it.

use crate::gate::Generation;
use crate::hold::{Incarnation, Nonce, Request, RequestId};
use crate::state::DrainState;
use crate::status::WorkStatus;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;

/// What is wanted. The words are those on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Drain,
    Cancel,
    Renew,
    Commit,
    Override,
}

impl Verb {
    pub(crate) const ALL: [Self; 5] = [Self::Drain, Self::Cancel, Self::Renew, Self::Commit, Self::Override];

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Cancel => "cancel",
            Self::Renew => "renew",
            Self::Commit => "commit",
            Self::Override => "override",
        }
    }
}

/// One field of the body of `POST /api/gateway/drain`.
#[cfg_attr(not(feature = "axum"), expect(dead_code, reason = "the endpoint tells of it"))]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    /// Its JSON type; empty if any will do.
    pub(crate) kind: &'static str,
    /// The actions that it goes with.
    pub(crate) verbs: &'static [Verb],
    pub(crate) what: &'static str,
    /// What a request says in it; null where it says nothing.
    pub(crate) of: fn(Verb, &Request) -> Value,
}

const SETTING: &[Verb] = &[Verb::Drain, Verb::Renew];

pub(crate) const FIELDS: [Field; 11] = [
    Field {
        name: "action",
        kind: "string",
        verbs: &Verb::ALL,
        what: "what is wanted",
        of: |verb, _| json!(verb.word()),
    },
    Field {
        name: "request_id",
        kind: "string",
        verbs: &Verb::ALL,
        what: "which hold; without it, the marker",
        of: |_, request| json!(Some(&request.id).filter(|id| !id.is_marker())),
    },
    Field {
        name: "reason",
        kind: "string",
        verbs: SETTING,
        what: "why, for people",
        of: |_, request| json!(Some(&request.reason).filter(|reason| !reason.is_empty())),
    },
    Field {
        name: "lease_seconds",
        kind: "number",
        verbs: SETTING,
        what: "how long the hold lasts without a renewal",
        of: |_, request| seconds(request.lease),
    },
    Field {
        name: "deadline_seconds",
        kind: "number",
        verbs: SETTING,
        what: "how long the act may take after the commit",
        of: |_, request| seconds(request.deadline),
    },
    Field {
        name: "unready_delay_seconds",
        kind: "number",
        verbs: &[Verb::Drain],
        what: "how long readiness fails before the gate closes",
        of: |_, request| seconds(Some(request.unready_delay).filter(|delay| !delay.is_zero())),
    },
    Field {
        name: "suppress_notification",
        kind: "",
        verbs: SETTING,
        what: "true: a shutdown notifies nobody",
        of: |_, request| json!(request.suppress_notification.then_some(true)),
    },
    Field {
        name: "incarnation",
        kind: "string",
        verbs: &Verb::ALL,
        what: "the only process it is meant for",
        of: |_, request| json!(request.incarnation),
    },
    Field {
        name: "generation",
        kind: "integer",
        verbs: &[Verb::Commit],
        what: "the drain that the commit has seen",
        of: |_, request| json!(request.generation),
    },
    Field {
        name: "nonce",
        kind: "string",
        verbs: &[Verb::Drain, Verb::Renew, Verb::Commit],
        what: "a name for this write, new each time; of a commit, it is the token",
        of: |_, request| json!(request.nonce),
    },
    Field {
        name: "token",
        kind: "string",
        verbs: &[Verb::Cancel],
        what: "what the commit of this hold answered",
        of: |_, request| json!(request.token),
    },
];

fn seconds(duration: Option<Duration>) -> Value {
    json!(duration.map(|duration| duration.as_secs_f64()))
}

/// The body that asks for `verb`: the fields that go with it, where the request says something.
#[cfg_attr(not(feature = "client"), expect(dead_code, reason = "the client writes it"))]
pub(crate) fn body(verb: Verb, request: &Request) -> Value {
    let fields = FIELDS.iter().filter(|field| field.verbs.contains(&verb));
    let said = fields.map(|field| (field.name.to_owned(), (field.of)(verb, request)));
    Value::Object(said.filter(|(_, value)| !value.is_null()).collect())
}

/// How a hold stands, in the words on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Standing {
    Held,
    Pending,
    Committed,
    Withdrawn,
    Overridden,
}

/// To whoever asked about a hold of its own. A client can do without what has a default.
#[derive(Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a field on the wire")]
pub(crate) struct HoldAnswer {
    #[serde(default)]
    pub(crate) ok: bool,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(crate) action: Option<&'static str>,
    pub(crate) request_id: RequestId,
    pub(crate) nonce: Option<Nonce>,
    #[serde(default)]
    pub(crate) acknowledged: bool,
    pub(crate) outcome: Option<Standing>,
    #[serde(default)]
    pub(crate) owner: String,
    #[serde(default)]
    pub(crate) reason: String,
    pub(crate) age_seconds: Option<f64>,
    pub(crate) lease_left_seconds: Option<f64>,
    pub(crate) deadline_seconds: Option<f64>,
    #[serde(default)]
    pub(crate) committed: bool,
    #[serde(default)]
    pub(crate) overdue: bool,
    #[serde(default)]
    pub(crate) suppress_notification: bool,
    pub(crate) gateway: Option<GatewayAnswer>,
}

/// The gateway at the moment of an answer.
#[derive(Serialize, Deserialize)]
pub(crate) struct GatewayAnswer {
    pub(crate) state: DrainState,
    pub(crate) incarnation: Incarnation,
    pub(crate) generation: Generation,
    pub(crate) in_flight: u64,
    pub(crate) internal: u64,
    pub(crate) drained: bool,
    pub(crate) stalled: bool,
    pub(crate) active_work: Vec<WorkStatus>,
}

#[cfg(all(test, feature = "client"))]
mod tests {
    use super::*;

    #[test]
    fn a_write_names_its_own_nonce_so_that_one_whose_answer_is_lost_can_be_asked_for_again() {
        let commit = Request { nonce: Some(Nonce::from("n".to_owned())), ..Request::begin(RequestId::marker(), "ops") };
        for verb in [Verb::Drain, Verb::Renew, Verb::Commit] {
            assert_eq!(body(verb, &commit)["nonce"], "n");
        }
        assert!(body(Verb::Cancel, &commit).get("nonce").is_none());
    }

    #[test]
    fn the_marker_is_meant_by_naming_no_hold() {
        let request = Request::override_hold(RequestId::marker(), "ops");
        assert_eq!(body(Verb::Override, &request), json!({"action": "override"}));
        let request = Request::override_hold(RequestId::new("upgrade").unwrap(), "ops");
        assert_eq!(body(Verb::Override, &request), json!({"action": "override", "request_id": "upgrade"}));
    }
}
