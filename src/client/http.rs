//! The controller's side over the HTTP endpoint of a gateway, or of a dashboard process beside it.
//!
//! It relies on the endpoint's promise that every answer is the gateway's own acknowledgement, by the process that holds
//! the home's lock (`docs/http.md`), and takes nothing else for the endpoint's word ([`answer`](super::answer)). The bearer
//! token is in no message and no debug output.

use super::agent::config;
use super::answer::{Answer, NotSound, read};
use super::chain::Chain;
use super::transport::{Lying, Sent, Withdrawal};
use super::watch::{Look, SeenHold, Sight};
use super::{Drain, Failure, Interrupt, Status};
use crate::hold::fields::body;
use crate::hold::{Action, Denied, Incarnation, Outcome, Request, RequestId};
use crate::sync::{Arc, Mutex};
use crate::wire::{HoldAnswer, Standing, Verb};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use ureq::Agent;

/// No answer is waited for longer: the endpoint itself answers within 3 seconds.
const TIMEOUT: Duration = Duration::from_secs(10);

/// No answer is waited for less long, however little patience there is.
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(100);

/// No answer is larger: 4 MiB.
const MAX_ANSWER: u64 = 4 * 1024 * 1024;

#[derive(Clone)]
pub(super) struct Http {
    agent: Agent,
    url: String,
    secret: Option<String>,
    /// How long one answer is waited for.
    limit: Duration,
    shared: Arc<Shared>,
}

/// What one call learns for the next.
#[derive(Default)]
struct Shared {
    /// The endpoint has said that it knows holds.
    knows_holds: AtomicBool,
    /// It has asked to be left alone until then.
    not_before: Mutex<Option<Instant>>,
    ahead: Mutex<Ahead>,
    /// What was asked ahead has been answered.
    answered: AtomicBool,
}

/// Whether the endpoint is being asked to answer once it is drained.
#[derive(Default)]
struct Ahead {
    outstanding: bool,
    at: Option<Instant>,
}

/// For so long the endpoint is asked to hold back its answer. A thread waits for that, also if nobody does any more.
const AHEAD: Duration = Duration::from_secs(2);
/// Who pauses for less has only just begun to wait.
const SHORT: Duration = Duration::from_millis(25);
/// However soon the endpoint answers, it is asked no more often.
const SELDOM: Duration = Duration::from_millis(250);

impl Http {
    pub(super) fn new(url: &str, secret: Option<String>) -> Result<Self, Failure> {
        if secret.as_ref().is_some_and(|secret| !secret.bytes().all(|byte| byte.is_ascii_graphic())) {
            return Err(Failure::Usage("the secret has characters that no bearer token has".into()));
        }
        let authority = url.split_once("://").map_or(url, |(_, rest)| rest).split(['/', '?', '#']).next();
        if authority.is_some_and(|authority| authority.contains('@')) {
            let variable = super::Gateway::SECRET_VARIABLE;
            let why =
                format!("the address is to hold no user and no password: the endpoint takes the token of {variable}");
            return Err(Failure::Usage(why));
        }
        let agent = config([url]).map_err(Failure::Usage)?.timeout_global(Some(TIMEOUT)).build().new_agent();
        let url = url.trim_end_matches('/').to_owned();
        Ok(Self { agent, url, secret, limit: Drain::PATIENCE.min(TIMEOUT), shared: Arc::default() })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn wait_no_longer_than(&mut self, patience: Duration) {
        self.limit = patience.clamp(SHORTEST_TIMEOUT, TIMEOUT);
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

    /// Pauses for so long, until it is interrupted, or until the endpoint says that it is drained or the hold has ended: that
    /// is asked for by a thread of its own (`Prefer: wait`).
    pub(super) fn pause(&self, id: &RequestId, interrupt: &Interrupt, time: Duration) {
        if time >= SHORT && self.limit > AHEAD && self.shared.knows_holds.load(Ordering::Relaxed) {
            self.ask_ahead(id, interrupt);
        }
        if !self.shared.answered.swap(false, Ordering::AcqRel) {
            interrupt.pause(time);
        }
    }

    fn ask_ahead(&self, id: &RequestId, interrupt: &Interrupt) {
        let mut ahead = self.shared.ahead.lock();
        if ahead.outstanding || ahead.at.is_some_and(|at| at.elapsed() < SELDOM) {
            return;
        }
        let (http, path, interrupt) = (self.clone(), format!("/api/gateway/drain/{id}"), interrupt.clone());
        let ask = move || {
            // Whatever comes: the next look sees for itself.
            let _ = http.ask(&path, None, Some(("prefer", &format!("wait={}", AHEAD.as_secs()))));
            http.shared.ahead.lock().outstanding = false;
            http.shared.answered.store(true, Ordering::Release);
            interrupt.nudge();
        };
        let asked = std::thread::Builder::new().name("gateway-drain-ahead".into()).spawn(ask);
        *ahead = Ahead { outstanding: asked.is_ok(), at: Some(Instant::now()) };
    }

    /// Sees to it that the endpoint knows holds, before anything is asked of it that another would take for something else.
    pub(super) fn ready(&self) -> Result<(), Failure> {
        if self.shared.knows_holds.load(Ordering::Relaxed) {
            return Ok(());
        }
        if !self.public_status()?.knows_holds {
            return Err(super::marker::knows_no_holds(&self.url));
        }
        self.shared.knows_holds.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// The hold of this name that stands there, no matter whose it is.
    pub(super) fn find(&self, id: &RequestId, owner: &str) -> Result<Option<Lying>, Failure> {
        self.ready()?;
        let Some(standing) = self.standing(id)? else { return Ok(None) };
        let deadline = standing.deadline_seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        // Whose token this is is the endpoint's to know, and it refuses what isn't ours.
        let owner = if standing.owner.is_empty() { owner.to_owned() } else { standing.owner };
        let begun = Request::begin(id.clone(), owner);
        let request = Request {
            deadline,
            nonce: standing.nonce,
            notes: standing.notes,
            suppress_notification: standing.suppress_notification,
            ..begun
        };
        Ok(Some(Lying { request, committed: standing.outcome == Some(Standing::Committed) }))
    }

    fn standing(&self, id: &RequestId) -> Result<Option<HoldAnswer>, Failure> {
        match self.call(&format!("/api/gateway/drain/{id}"), None)?.sound() {
            Ok(body) => own(read(body)?, id).map(Some),
            Err(NotSound::NotHeld) => Ok(None),
            Err(NotSound::Failed(failure)) => Err(failure),
        }
    }

    /// Begins a hold that isn't there. The same write twice is one.
    pub(super) fn begin(&self, request: &Request) -> Result<Sent, Failure> {
        let found = match self.find(&request.id, &request.owner) {
            // What an earlier one left there holds nothing; and of who shuts down the endpoint says so by itself.
            Err(Failure::Ignored(_) | Failure::LeaseLost(_) | Failure::ShuttingDown) => None,
            found => found?,
        };
        match found {
            Some(found) if found.committed => return Err(Denied::Committed.into()),
            Some(found) if found.request.nonce != request.nonce => return Err(super::files::held_already(&request.id)),
            _ => {}
        }
        self.send(Verb::Drain, request)
    }

    /// Sends one action about one hold.
    pub(super) fn send(&self, verb: Verb, request: &Request) -> Result<Sent, Failure> {
        self.ready()?;
        // Between a look and a write another may begin it: which of two begins it, the endpoint decides.
        let only_new = (verb == Verb::Drain).then_some(("if-none-match", "*"));
        let answer = self.ask("/api/gateway/drain", Some(&body(verb, request)), only_new)?;
        let standing: HoldAnswer = match answer.sound() {
            Ok(body) => own(read(body)?, &request.id)?,
            Err(NotSound::NotHeld) => return Err(Failure::Withdrawn("there is no such hold, or no more".into())),
            Err(NotSound::Failed(failure)) => return Err(failure),
        };
        let nonce = standing.nonce.ok_or_else(|| Failure::Unreachable("the answer names no nonce".into()))?;
        if standing.gateway.is_none() {
            return Err(Failure::Unreachable("no gateway runs there".into()));
        }
        Ok(Sent { nonce, answered: standing.acknowledged, repeat: !standing.acknowledged })
    }

    pub(super) fn end(&self, request: &Request, ours: Option<&Chain>) -> Result<Withdrawal, Failure> {
        self.ready()?;
        if let Some(chain) = ours
            && let Ok(Some(standing)) = self.standing(&request.id)
            && standing.outcome != Some(Standing::Committed)
            && !chain.has(standing.nonce.as_ref())
            && (request.token.is_none() || standing.nonce != request.token)
        {
            // Another began a hold under the same name: it stays.
            return Ok(Withdrawal::NotOurs);
        }
        let verb = if request.action == Action::Override { Verb::Override } else { Verb::Cancel };
        let answer = self.call("/api/gateway/drain", Some(&body(verb, request)))?;
        let code = answer.code;
        match answer.sound() {
            Ok(body) => {
                // The marker's answer is the reference's, and names no hold.
                if !request.id.is_marker() {
                    own(read(body)?, &request.id)?;
                }
                Ok(if code == 202 { Withdrawal::Written } else { Withdrawal::Done })
            }
            Err(NotSound::Failed(Failure::ShuttingDown)) => Ok(Withdrawal::Done),
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

    /// Begins the marker's drain, or keeps it alive, or ends it.
    pub(super) fn marker(&self, verb: Verb, suppress_notification: bool) -> Result<(), Failure> {
        let mut asked = json!({"action": verb.word()});
        if suppress_notification {
            asked["suppress_notification"] = true.into();
        }
        match self.call("/api/gateway/drain", Some(&asked))?.sound() {
            Ok(body) if body["ok"] == true && body["action"] == verb.word() => Ok(()),
            Ok(_) => Err(Failure::Unreachable("the answer is not the endpoint's own".into())),
            Err(NotSound::NotHeld) => Ok(()),
            Err(NotSound::Failed(failure)) => Err(failure),
        }
    }

    pub(super) fn incarnation(&self) -> Result<Incarnation, Failure> {
        self.ready()?;
        let status = self.public_status()?;
        let named = status.drain.as_ref().and_then(|drain| drain.get("incarnation")?.as_str().map(str::to_owned));
        named.map(Incarnation::from).ok_or_else(|| Failure::Unreachable("no gateway runs there".into()))
    }

    pub(super) fn status(&self) -> Result<Status, Failure> {
        let mut status = self.public_status()?;
        // The public answer counts the holds; a token with the scope `read` may see them.
        if let Some(Value::Object(drain)) = &mut status.drain {
            let count = drain.insert("holds".into(), Value::Null).unwrap_or_default();
            drain.insert("hold_count".into(), count);
            let listed = self.call("/api/gateway/drain", None).ok().and_then(|answer| answer.sound().ok());
            if let Some(Value::Array(holds)) = listed.map(|mut listed| listed["holds"].take()) {
                drain.insert("holds".into(), Value::Array(holds));
            }
        }
        Ok(status)
    }

    /// What the endpoint tells everybody.
    pub(super) fn public_status(&self) -> Result<Status, Failure> {
        let answer = self.call("/api/status", None)?;
        let code = answer.code;
        match (code, answer.body) {
            (200, Value::Object(fields)) if fields.contains_key("gateway_state") => Ok(Status::of(fields)),
            _ => {
                let why = format!("{}/api/status answers {code}, and not as a gateway does", self.url);
                Err(Failure::Unreachable(why))
            }
        }
    }

    /// Whether its readiness probe says that it takes work.
    #[cfg(feature = "fleet")]
    pub(super) fn unready(&self) -> Result<(), Failure> {
        let unready = |why: String| Err(Failure::Unreachable(format!("{}/readyz {why}", self.url)));
        let get = self.agent.get(format!("{}/readyz", self.url)).config().timeout_global(Some(self.limit)).build();
        match get.call().map(|mut response| {
            let code = response.status().as_u16();
            let body = response.body_mut().with_config().limit(MAX_ANSWER).read_to_string();
            (code, body.unwrap_or_default())
        }) {
            Ok((200, body)) if body.trim() == "ready" => Ok(()),
            Ok((code, body)) => unready(format!("answers {code}: {}", body.trim().replace('\n', ", "))),
            Err(error) => unready(format!("can't be asked: {error}")),
        }
    }

    /// One call. Who asks too soon after it was told to wait gets no answer.
    pub(super) fn call(&self, path: &str, body: Option<&Value>) -> Result<Answer, Failure> {
        self.ask(path, body, None)
    }

    /// As [`call`](Self::call), with one more header.
    fn ask(&self, path: &str, body: Option<&Value>, more: Option<(&str, &str)>) -> Result<Answer, Failure> {
        let told = *self.shared.not_before.lock();
        if told.is_some_and(|not_before| Instant::now() < not_before) {
            return Err(Failure::Unreachable(format!("{}: it asked to be left alone for a while", self.url)));
        }
        let url = format!("{}{path}", self.url);
        let bearer = self.secret.as_ref().map(|secret| format!("Bearer {secret}"));
        let limit = Some(self.limit);
        let asked = match body {
            None => {
                let get = self.agent.get(&url).config().timeout_global(limit).build();
                let get = more.iter().fold(get, |get, (name, value)| get.header(*name, *value));
                bearer.iter().fold(get, |get, bearer| get.header("authorization", bearer)).call()
            }
            Some(body) => {
                let post = self.agent.post(&url).config().timeout_global(limit).build();
                let post = post.header("content-type", "application/json");
                let post = more.iter().fold(post, |post, (name, value)| post.header(*name, *value));
                bearer.iter().fold(post, |post, bearer| post.header("authorization", bearer)).send(body.to_string())
            }
        };
        let mut response = asked.map_err(|error| Failure::Unreachable(format!("{}: {error}", self.url)))?;
        let code = response.status().as_u16();
        let retry_after = response.headers().get("retry-after").and_then(|seconds| seconds.to_str().ok()?.parse().ok());
        let bytes = response.body_mut().with_config().limit(MAX_ANSWER).read_to_vec();
        let bytes = bytes.map_err(|error| Failure::Unreachable(format!("{}: {error}", self.url)))?;
        if let (429, Some(seconds)) = (code, retry_after) {
            *self.shared.not_before.lock() = Instant::now().checked_add(Duration::from_secs(seconds));
        }
        Ok(Answer { code, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) })
    }
}

/// An answer about this hold. One about another is not the endpoint's.
fn own(answer: HoldAnswer, id: &RequestId) -> Result<HoldAnswer, Failure> {
    if answer.request_id == *id {
        return Ok(answer);
    }
    Err(Failure::Unreachable(format!("the answer is about {}, and not about {id}", answer.request_id)))
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
