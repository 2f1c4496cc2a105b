//! One request to the endpoint, and the one place where it is sent again.
//!
//! What isn't the endpoint's own word is silence ([`answer`](super::answer)): a proxy in between answers by itself while the
//! gateway behind it restarts. So each request is sent again until the endpoint answers, or there is no patience left. A loop
//! that looks again by itself, and counts the silence over all of its requests, sends each [once](Endpoint::once).

use super::agent::config;
use super::answer::{Answer, NegativeAnswer};
use super::session::{FIRST_PAUSE, slower};
use super::{Drain, Failure, Interrupt};
use crate::sync::{Arc, Mutex};
use serde_json::Value;
use std::io::ErrorKind;
use std::time::{Duration, Instant};
use ureq::Agent;

/// No answer is waited for longer: the endpoint itself answers within 3 seconds.
const TIMEOUT: Duration = Duration::from_secs(10);

/// No answer is waited for less long, however little patience there is.
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(100);

/// A connection that is refused is tried again for so long at most where nobody waits for the gateway: the time in which a
/// supervisor puts another process in its place.
const REFUSED: Duration = Duration::from_secs(1);

/// No answer is larger: 4 MiB.
const MAX_ANSWER: u64 = 4 * 1024 * 1024;

/// Where requests go. No field of it is seen outside of here, so nothing can be sent by another way.
#[derive(Clone)]
pub(super) struct Endpoint {
    agent: Agent,
    url: String,
    secret: Option<String>,
    /// How long it is tried; none, where the caller looks again by itself.
    patience: Option<Duration>,
    /// How long it is tried while connections are refused.
    patience_if_refused: Duration,
    /// How long one answer is waited for.
    limit: Duration,
    interrupt: Interrupt,
    /// It has asked to be left alone until then.
    not_before: Arc<Mutex<Option<Instant>>>,
}

/// What is asked.
#[derive(Clone, Copy)]
pub(super) struct Ask<'a> {
    pub(super) path: &'a str,
    /// With a body it is a `POST`.
    pub(super) body: Option<&'a Value>,
    /// One more header.
    pub(super) header: Option<(&'a str, &'a str)>,
}

impl<'a> Ask<'a> {
    pub(super) fn get(path: &'a str) -> Self {
        Self { path, body: None, header: None }
    }

    pub(super) fn post(path: &'a str, body: &'a Value) -> Self {
        Self { body: Some(body), ..Self::get(path) }
    }
}

/// A request that had no answer.
struct Unsent {
    failure: Failure,
    /// Nobody listens at the address.
    is_refused: bool,
}

impl Endpoint {
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
        Ok(Self {
            agent,
            url: url.trim_end_matches('/').to_owned(),
            secret,
            patience: Some(Drain::PATIENCE),
            patience_if_refused: Duration::MAX,
            limit: Drain::PATIENCE.min(TIMEOUT),
            interrupt: Interrupt::new(),
            not_before: Arc::default(),
        })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// How long one answer is waited for.
    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    pub(super) fn be_patient_for(&mut self, patience: Duration) {
        self.patience = self.patience.map(|_| patience);
        self.limit = patience.clamp(SHORTEST_TIMEOUT, TIMEOUT);
    }

    pub(super) fn be_interrupted_by(&mut self, interrupt: Interrupt) {
        self.interrupt = interrupt;
    }

    /// As this one, for a loop that looks again by itself and has a patience of its own.
    pub(super) fn once(&self) -> Self {
        Self { patience: None, ..self.clone() }
    }

    /// As this one, for a question that nobody waits for: a refused connection is soon an answer to it.
    pub(super) fn in_passing(&self) -> Self {
        Self { patience_if_refused: REFUSED, ..self.clone() }
    }

    /// Asks, and reads the answer. What `read` takes for silence is asked again.
    pub(super) fn ask<T>(
        &self,
        ask: Ask<'_>,
        read: impl Fn(Answer) -> Result<T, NegativeAnswer>,
    ) -> Result<T, NegativeAnswer> {
        let (began, mut pause) = (Instant::now(), FIRST_PAUSE);
        loop {
            let left = self.patience.map_or(Duration::MAX, |patience| patience.saturating_sub(began.elapsed()));
            let limit = self.limit.min(left).max(SHORTEST_TIMEOUT);
            let sent = self.send(ask, limit);
            let is_refused = sent.as_ref().is_err_and(|unsent| unsent.is_refused);
            let answered = sent.map_err(|unsent| NegativeAnswer::Failed(unsent.failure)).and_then(&read);
            let is_silent = matches!(&answered, Err(NegativeAnswer::Failed(failure)) if failure.is_silence());
            let most = if is_refused { self.patience_if_refused } else { Duration::MAX };
            if !is_silent || self.patience.is_none_or(|patience| began.elapsed() >= patience.min(most)) {
                return answered;
            }
            if self.interrupt.pause(pause) {
                return Err(NegativeAnswer::Failed(Failure::Interrupted));
            }
            pause = slower(pause);
        }
    }

    /// A request that comes too soon after the answer to wait is not sent.
    fn send(&self, ask: Ask<'_>, limit: Duration) -> Result<Answer, Unsent> {
        let told = *self.not_before.lock();
        if told.is_some_and(|not_before| Instant::now() < not_before) {
            let failure = Failure::Unreachable(format!("{}: it asked to be left alone for a while", self.url));
            return Err(Unsent { failure, is_refused: false });
        }
        let url = format!("{}{}", self.url, ask.path);
        let bearer = self.secret.as_ref().map(|secret| format!("Bearer {secret}"));
        let asked = match ask.body {
            None => {
                let get = self.agent.get(&url).config().timeout_global(Some(limit)).build();
                let get = ask.header.iter().fold(get, |get, (name, value)| get.header(*name, *value));
                bearer.iter().fold(get, |get, bearer| get.header("authorization", bearer)).call()
            }
            Some(body) => {
                let post = self.agent.post(&url).config().timeout_global(Some(limit)).build();
                let post = post.header("content-type", "application/json");
                let post = ask.header.iter().fold(post, |post, (name, value)| post.header(*name, *value));
                bearer.iter().fold(post, |post, bearer| post.header("authorization", bearer)).send(body.to_string())
            }
        };
        let failed = |error: ureq::Error| {
            let is_refused = matches!(&error, ureq::Error::Io(io) if io.kind() == ErrorKind::ConnectionRefused);
            Unsent { failure: Failure::Unreachable(format!("{}: {error}", self.url)), is_refused }
        };
        let mut response = asked.map_err(failed)?;
        let code = response.status().as_u16();
        let retry_after = response.headers().get("retry-after").and_then(|seconds| seconds.to_str().ok()?.parse().ok());
        let bytes = response.body_mut().with_config().limit(MAX_ANSWER).read_to_vec().map_err(failed)?;
        if let (429, Some(seconds)) = (code, retry_after) {
            // Something in between may ask for an hour: what is to be sent is tried once more all the same.
            let pause = Duration::from_secs(seconds).min(self.limit / 2);
            *self.not_before.lock() = Some(Instant::now() + pause);
        }
        let text = || Value::String(String::from_utf8_lossy(&bytes).into_owned());
        Ok(Answer { code, body: serde_json::from_slice(&bytes).unwrap_or_else(|_| text()) })
    }
}
