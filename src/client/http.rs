//! The controller's side over the HTTP endpoint of a gateway, or of a dashboard process beside it.
//!
//! It relies on the endpoint's promise that every answer is the gateway's own acknowledgement, by the process that holds
//! the home's lock (`docs/http.md`). The bearer token is in no message and no debug output.

use super::agent::config;
use super::transport::{Sent, Withdrawal};
use super::watch::{Look, SeenHold, Sight};
use super::{Failure, Status};
use crate::hold::fields::body;
use crate::hold::{Action, Denied, Outcome, Request, RequestId};
use crate::wire::{HoldAnswer, Standing, Verb};
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;
use ureq::Agent;

/// No answer is waited for longer: the endpoint itself answers within 3 seconds.
const TIMEOUT: Duration = Duration::from_secs(10);

/// No answer is larger: 4 MiB.
const MAX_ANSWER: u64 = 4 * 1024 * 1024;

#[derive(Clone)]
pub(super) struct Http {
    agent: Agent,
    url: String,
    secret: Option<String>,
}

/// What came back: a code and a body.
struct Answer {
    code: u16,
    body: Value,
}

impl Http {
    pub(super) fn new(url: &str, secret: Option<String>) -> Result<Self, Failure> {
        if secret.as_ref().is_some_and(|secret| !secret.bytes().all(|byte| byte.is_ascii_graphic())) {
            return Err(Failure::Usage("the secret has characters that no bearer token has".into()));
        }
        let agent = config([url]).map_err(Failure::Usage)?.timeout_global(Some(TIMEOUT)).build().new_agent();
        Ok(Self { agent, url: url.trim_end_matches('/').to_owned(), secret })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn look(&self, id: &RequestId) -> Look {
        match self.standing(id) {
            Ok(Some(standing)) => standing.into_look(),
            Ok(None) => Look::NoHold,
            Err(Failure::Unreachable(why)) => Look::Silent(why),
            Err(Failure::Ignored(why)) => Look::Stale(why),
            Err(failure) => Look::Over(failure),
        }
    }

    pub(super) fn find(&self, id: &RequestId, owner: &str) -> Result<Option<Request>, Failure> {
        let Some(standing) = self.standing(id)? else { return Ok(None) };
        if standing.outcome == Some(Standing::Committed) {
            return Err(Denied::Committed.into());
        }
        let deadline = standing.deadline_seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let owner = if standing.owner.is_empty() { owner.to_owned() } else { standing.owner };
        let begun = Request::begin(id.clone(), owner);
        Ok(Some(Request {
            deadline,
            reason: standing.reason,
            suppress_notification: standing.suppress_notification,
            ..begun
        }))
    }

    fn standing(&self, id: &RequestId) -> Result<Option<HoldAnswer>, Failure> {
        match self.call(&format!("/api/gateway/drain/{id}"), None)?.sound() {
            Ok(body) => read(body).map(Some),
            Err(NotSound::NotHeld) => Ok(None),
            Err(NotSound::Failed(failure)) => Err(failure),
        }
    }

    /// Sends one action about one hold.
    pub(super) fn send(&self, verb: Verb, request: &Request) -> Result<Sent, Failure> {
        let answer = self.call("/api/gateway/drain", Some(&body(verb, request)))?;
        let standing: HoldAnswer = match answer.sound() {
            Ok(body) => read(body)?,
            Err(NotSound::NotHeld) => return Err(Failure::Withdrawn("there is no such hold, or no more".into())),
            Err(NotSound::Failed(failure)) => return Err(failure),
        };
        let nonce = standing.nonce.ok_or_else(|| Failure::Unreachable("the answer names no nonce".into()))?;
        if standing.gateway.is_none() {
            return Err(Failure::Unreachable("no gateway runs there".into()));
        }
        Ok(Sent { nonce, answered: standing.acknowledged, repeat: !standing.acknowledged })
    }

    pub(super) fn end(&self, request: &Request) -> Result<Withdrawal, Failure> {
        let verb = if request.action == Action::Override { Verb::Override } else { Verb::Cancel };
        let answer = self.call("/api/gateway/drain", Some(&body(verb, request)))?;
        let code = answer.code;
        match answer.sound() {
            Ok(_) if code == 202 => Ok(Withdrawal::Written),
            Ok(_) | Err(NotSound::Failed(Failure::ShuttingDown)) => Ok(Withdrawal::Done),
            Err(NotSound::NotHeld | NotSound::Failed(Failure::LeaseLost(_))) => Ok(Withdrawal::Nothing),
            Err(NotSound::Failed(failure)) => Err(failure),
        }
    }

    pub(super) fn has_ended(&self, request: &Request) -> Result<bool, Failure> {
        match self.standing(&request.id) {
            Ok(standing) => Ok(standing.is_none()),
            Err(Failure::LeaseLost(_) | Failure::Ignored(_) | Failure::ShuttingDown) => Ok(true),
            Err(Failure::Unreachable(_)) => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    pub(super) fn status(&self) -> Result<Status, Failure> {
        let answer = self.call("/api/status", None)?;
        if answer.code != 200 {
            return Err(Failure::Unreachable(format!("{}/api/status answers {}", self.url, answer.code)));
        }
        read(answer.body)
    }

    fn call(&self, path: &str, body: Option<&Value>) -> Result<Answer, Failure> {
        let url = format!("{}{path}", self.url);
        let bearer = self.secret.as_ref().map(|secret| format!("Bearer {secret}"));
        let asked = match body {
            None => {
                let get = self.agent.get(&url);
                bearer.iter().fold(get, |get, bearer| get.header("authorization", bearer)).call()
            }
            Some(body) => {
                let post = self.agent.post(&url).header("content-type", "application/json");
                bearer.iter().fold(post, |post, bearer| post.header("authorization", bearer)).send(body.to_string())
            }
        };
        let mut response = asked.map_err(|error| Failure::Unreachable(format!("{}: {error}", self.url)))?;
        let code = response.status().as_u16();
        let bytes = response.body_mut().with_config().limit(MAX_ANSWER).read_to_vec();
        let bytes = bytes.map_err(|error| Failure::Unreachable(format!("{}: {error}", self.url)))?;
        Ok(Answer { code, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) })
    }
}

/// An answer that says no.
enum NotSound {
    NotHeld,
    Failed(Failure),
}

impl Answer {
    /// The body of an answer that says yes; of any other, what it says instead.
    fn sound(self) -> Result<Value, NotSound> {
        if matches!(self.code, 200 | 202) {
            return Ok(self.body);
        }
        let detail = self.body.get("detail").and_then(Value::as_str).map(str::to_owned);
        let detail = detail.unwrap_or_else(|| format!("the answer is {}", self.code));
        let denied = self.body.get("error").and_then(|word| Denied::deserialize(word).ok());
        Err(NotSound::Failed(match (self.code, denied) {
            (_, Some(Denied::NotHeld)) => return Err(NotSound::NotHeld),
            (_, Some(why)) => why.into(),
            (401, None) => {
                let variable = super::Gateway::SECRET_VARIABLE;
                Failure::Denied(format!("the endpoint takes no token from us (401): {variable} is not set or is wrong"))
            }
            (400 | 413 | 431, None) => Failure::Usage(detail),
            (404 | 405, None) => Failure::Usage(format!("there is no drain endpoint at this address: {detail}")),
            (403 | 409 | 429, None) => Failure::Denied(detail),
            (410, None) => Failure::LeaseLost(detail),
            // Of another boot: nothing that a gateway was asked, and so no denial of its own.
            (412, None) => Failure::Ignored(detail),
            (_, None) => Failure::Unreachable(detail),
        }))
    }
}

impl HoldAnswer {
    fn into_look(self) -> Look {
        let outcome = match self.outcome {
            Some(Standing::Held) => Some(Outcome::Held),
            Some(Standing::Pending) => Some(Outcome::Pending),
            Some(Standing::Committed) => Some(Outcome::Committed),
            Some(Standing::Withdrawn | Standing::Overridden) | None => None,
        };
        let Some(gateway) = self.gateway else { return Look::Silent("no gateway runs there".into()) };
        let hold = outcome.map(|outcome| SeenHold {
            age: self.age_seconds.unwrap_or_default(),
            lease_left: self.lease_left_seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
            pending: outcome == Outcome::Pending,
            committed: outcome == Outcome::Committed,
        });
        Look::Seen(Box::new(Sight {
            incarnation: gateway.incarnation,
            state: gateway.state,
            generation: gateway.generation,
            in_flight: gateway.in_flight,
            internal: gateway.internal,
            drained: gateway.drained,
            stalled: gateway.stalled,
            active_work: gateway.active_work,
            revision: None,
            hold,
            answers: outcome.map(|outcome| (self.nonce, outcome)).into_iter().collect(),
        }))
    }
}

fn read<T: serde::de::DeserializeOwned>(body: Value) -> Result<T, Failure> {
    serde_json::from_value(body).map_err(|error| Failure::Unreachable(format!("the answer makes no sense: {error}")))
}
