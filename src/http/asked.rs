//! What the body of `POST /api/gateway/drain` asks for. Pure: bytes in, a request or a clear refusal out, by the table of
//! [`FIELDS`].

use super::problem::Problem;
use crate::gate::Generation;
use crate::hold::{Action, Incarnation, Nonce, Request, RequestId};
use crate::wire::{FIELDS, Verb};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::time::Duration;

const MAX_REASON: usize = 1024;
const MAX_NAME: usize = 128;
const MIN_NONCE: usize = 16;

/// A body that makes sense.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Asked {
    pub(super) verb: Verb,
    /// Which hold; the marker's if the body names none.
    pub(super) id: RequestId,
    pub(super) suppress_notification: bool,
    pub(super) incarnation: Option<Incarnation>,
    pub(super) token: Option<Nonce>,
    nonce: Option<Nonce>,
    reason: String,
    lease: Option<Duration>,
    deadline: Option<Duration>,
    unready_delay: Duration,
    generation: Option<Generation>,
}

impl Asked {
    pub(super) fn parse(body: &[u8]) -> Result<Self, Problem> {
        if body.is_empty() {
            // As in the reference; anything else has to say so.
            return Self::of(Verb::Drain, &Map::new());
        }
        let fields: Map<String, Value> = match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => fields,
            Ok(_) => return Err(Problem::bad_request("the body is JSON but no object")),
            Err(error) => return Err(Problem::bad_request(format!("the body is not JSON: {error}"))),
        };
        let words = || Verb::ALL.map(Verb::word).join(", ");
        let word = match fields.get("action") {
            Some(Value::String(word)) => word,
            Some(_) => return Err(Problem::bad_request("`action` is not a string")),
            None => return Err(Problem::bad_request(format!("the body has no `action`: one of {}", words()))),
        };
        match Verb::ALL.into_iter().find(|verb| verb.word() == word) {
            Some(verb) => Self::of(verb, &fields),
            None => Err(Problem::bad_request(format!("`action` is none of {}", words()))),
        }
    }

    fn of(verb: Verb, fields: &Map<String, Value>) -> Result<Self, Problem> {
        for name in fields.keys() {
            let Some(field) = FIELDS.iter().find(|field| field.name == name) else {
                let known = FIELDS.map(|field| field.name).join(", ");
                return Err(Problem::bad_request(format!("there is a field that isn't known; known are {known}")));
            };
            if !field.verbs.contains(&verb) {
                return Err(Problem::bad_request(format!("`{name}` doesn't go with the action `{}`", verb.word())));
            }
        }
        let id = match text(fields, "request_id", MAX_NAME)? {
            Some(name) => RequestId::new(name).map_err(|why| Problem::bad_request(format!("`request_id`: {why}")))?,
            None if verb == Verb::Commit => {
                return Err(Problem::bad_request("the marker can't be committed: drain with a `request_id`"));
            }
            None => RequestId::marker(),
        };
        let asked =
            Self {
                verb,
                id,
                suppress_notification: fields.get("suppress_notification") == Some(&Value::Bool(true)),
                incarnation: text(fields, "incarnation", MAX_NAME)?.map(Incarnation::from),
                token: text(fields, "token", MAX_NAME)?.map(Nonce::from),
                nonce: nonce(fields)?,
                reason: text(fields, "reason", MAX_REASON)?.unwrap_or_default(),
                lease: seconds(fields, "lease_seconds")?,
                deadline: seconds(fields, "deadline_seconds")?,
                unready_delay: seconds(fields, "unready_delay_seconds")?.unwrap_or_default(),
                generation: match fields.get("generation") {
                    None | Some(Value::Null) => None,
                    Some(value) => Some(Generation::deserialize(value).map_err(|_| {
                        Problem::bad_request("`generation` is not a whole number as the status gives it")
                    })?),
                },
            };
        if verb == Verb::Commit && (asked.incarnation.is_none() || asked.generation.is_none()) {
            let what = "a commit needs the `incarnation` and the `generation` that were seen drained";
            return Err(Problem::bad_request(what));
        }
        Ok(asked)
    }

    /// The write that it amounts to, on behalf of `owner`; `None` where there is nothing to write: the marker is removed.
    pub(super) fn request(&self, owner: &str) -> Option<Request> {
        let id = self.id.clone();
        let mut request = match self.verb {
            Verb::Cancel | Verb::Override if id.is_marker() => return None,
            Verb::Cancel => Request::withdraw(id, owner),
            Verb::Override => Request::override_hold(id, owner),
            Verb::Commit => {
                Request { action: Action::Commit, generation: self.generation, ..Request::begin(id, owner) }
            }
            Verb::Drain | Verb::Renew => Request::begin(id, owner).reason(self.reason.clone()),
        };
        request.lease = self.lease;
        request.deadline = self.deadline;
        request.unready_delay = self.unready_delay;
        request.suppress_notification = self.suppress_notification;
        request.incarnation.clone_from(&self.incarnation);
        request.token.clone_from(&self.token);
        if self.nonce.is_some() {
            request.nonce.clone_from(&self.nonce);
        }
        Some(request)
    }
}

fn text(fields: &Map<String, Value>, name: &str, limit: usize) -> Result<Option<String>, Problem> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.len() <= limit => Ok(Some(text.clone())),
        Some(Value::String(_)) => Err(Problem::bad_request(format!("`{name}` is longer than {limit} bytes"))),
        Some(_) => Err(Problem::bad_request(format!("`{name}` is not a string"))),
    }
}

/// A commit's is the token that ends it, so it is not to be guessed.
fn nonce(fields: &Map<String, Value>) -> Result<Option<Nonce>, Problem> {
    match text(fields, "nonce", MAX_NAME)? {
        Some(nonce) if nonce.len() < MIN_NONCE => {
            Err(Problem::bad_request(format!("`nonce` is shorter than {MIN_NONCE} bytes")))
        }
        nonce => Ok(nonce.map(Nonce::from)),
    }
}

fn seconds(fields: &Map<String, Value>, name: &str) -> Result<Option<Duration>, Problem> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            let given = value.as_f64().filter(|seconds| *seconds > 0.0);
            let duration = given.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            let wrong = || Problem::bad_request(format!("`{name}` is not a number of seconds above 0"));
            duration.map(Some).ok_or_else(wrong)
        }
    }
}
