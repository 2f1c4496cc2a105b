//! The slots of a fleet behind a server of the FleetLock protocol, version 1.
//!
//! The server knows ids and nothing else, and tells nobody who holds a slot. Taking twice and giving back twice are fine, so
//! that what was not answered is asked again.

use super::etcd::Trouble;
use crate::client::agent::config;
use crate::client::{Failure, Interrupt, shown};
use crate::sync::Mutex;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use ureq::Agent;

/// No answer is larger: 64 KiB.
const MAX_ANSWER: u64 = 64 * 1024;

/// The server is asked once in this time, and no more often.
const SPACE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Server {
    agent: Agent,
    base: String,
    limit: Duration,
    asked: Mutex<Option<Instant>>,
}

/// What the server says of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ServerAnswer {
    Yes,
    /// Not now, and why.
    NotNow(String),
}

impl Server {
    pub(super) fn new(base: String, limit: Duration) -> Result<Self, Failure> {
        let agent = config([base.as_str()]).map_err(Failure::Usage)?.build().new_agent();
        Ok(Self { agent, base, limit, asked: Mutex::new(None) })
    }

    pub(super) fn wait_no_longer_than(&mut self, limit: Duration) {
        self.limit = limit;
    }

    pub(super) fn pre_reboot(&self, group: &str, id: &str) -> Result<ServerAnswer, Trouble> {
        self.ask("/v1/pre-reboot", group, id)
    }

    pub(super) fn steady_state(&self, group: &str, id: &str) -> Result<ServerAnswer, Trouble> {
        self.ask("/v1/steady-state", group, id)
    }

    fn ask(&self, path: &str, group: &str, id: &str) -> Result<ServerAnswer, Trouble> {
        let soonest = self.asked.lock().and_then(|asked| asked.checked_add(SPACE));
        if let Some(wait) = soonest.and_then(|soonest| soonest.checked_duration_since(Instant::now())) {
            Interrupt::new().pause(wait);
        }
        *self.asked.lock() = Some(Instant::now());
        let unanswered = |why: String| Trouble::Unanswered(format!("{}: {why}", self.base));
        let post = self.agent.post(format!("{}{path}", self.base)).config().timeout_global(Some(self.limit)).build();
        let post = post.header("content-type", "application/json").header("fleet-lock-protocol", "true");
        let sent = post.send(json!({"client_params": {"id": id, "group": group}}).to_string());
        let mut response = sent.map_err(|error| unanswered(error.to_string()))?;
        let code = response.status().as_u16();
        let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let is_page = kind.to_ascii_lowercase().contains("html");
        let bytes = response.body_mut().with_config().limit(MAX_ANSWER).read_to_vec();
        let bytes = bytes.map_err(|error| unanswered(error.to_string()))?;
        judge(code, is_page, &bytes).map_err(|trouble| match trouble {
            Trouble::Unanswered(why) => unanswered(why),
            Trouble::Refused(Failure::Fleet(why)) => Trouble::Refused(Failure::Fleet(format!("{}: {why}", self.base))),
            refused @ Trouble::Refused(_) => refused,
        })
    }
}

/// What an answer means. Only the protocol's own words count: anything else is a proxy's, or another server's, and silence.
fn judge(code: u16, is_page: bool, body: &[u8]) -> Result<ServerAnswer, Trouble> {
    let looks_like_a_page = is_page || body.trim_ascii_start().starts_with(b"<");
    if code == 200 {
        // Servers answer with nothing, with a sentence or with JSON; a page for people is somebody else's.
        return if looks_like_a_page {
            Err(Trouble::Unanswered("it answers 200 with a page, and not as a FleetLock server does".into()))
        } else {
            Ok(ServerAnswer::Yes)
        };
    }
    let error: Value = serde_json::from_slice(body).unwrap_or_default();
    let word = |name: &str| error[name].as_str().filter(|word| !word.is_empty()).map(shown);
    let (Some(kind), Some(value), 400..600) = (word("kind"), word("value"), code) else {
        return Err(Trouble::Unanswered(format!("it answers {code}, and not as a FleetLock server does")));
    };
    let why = format!("{} ({kind})", brief(&value));
    match (code, kind.as_str()) {
        // Airlock says `failed_lock` and 500 when no slot is free, and also when two asked at once.
        (_, kind) if kind.starts_with("failed_lock") => Ok(ServerAnswer::NotNow(why)),
        (409 | 423 | 429, _) => Ok(ServerAnswer::NotNow(why)),
        (400..500, _) => Err(Trouble::Refused(Failure::Fleet(format!("the server refuses: {why}")))),
        _ => Err(Trouble::Unanswered(format!("it answers {code}: {why}"))),
    }
}

fn brief(text: &str) -> String {
    text.chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_protocols_own_words_count() {
        let json = |kind: &str| json!({"kind": kind, "value": "why"}).to_string();
        for body in ["", "obtained reboot lease", r#"{"kind": "lock_granted", "value": "Ready"}"#] {
            assert_eq!(judge(200, false, body.as_bytes()).unwrap(), ServerAnswer::Yes, "{body}");
        }
        for (code, kind) in [(500, "failed_lock"), (409, "failed_lock_semaphore_full"), (423, "locked"), (429, "slow")]
        {
            assert!(matches!(judge(code, false, json(kind).as_bytes()), Ok(ServerAnswer::NotNow(_))), "{code} {kind}");
        }
        for (code, kind) in [(400, "unknown_group"), (401, "x"), (403, "x"), (404, "x"), (405, "method_not_allowed")] {
            assert!(matches!(judge(code, false, json(kind).as_bytes()), Err(Trouble::Refused(_))), "{code} {kind}");
        }
        for (code, is_page, body) in [
            (200, true, "<html>sign in</html>"),
            (200, false, " <!doctype html>"),
            (204, false, ""),
            (202, false, ""),
            (301, false, ""),
            (302, false, &*json("x")),
            (404, false, "404 page not found"),
            (500, false, ""),
            (500, false, "{}"),
            (500, false, r#"{"kind": "", "value": ""}"#),
            (500, false, r#"{"kind": 1, "value": 2}"#),
            (500, false, &*json("failed_sem_init")),
            (502, true, "<html>bad gateway</html>"),
            (503, false, "upstream connect error"),
        ] {
            let judged = judge(code, is_page, body.as_bytes());
            assert!(matches!(judged, Err(Trouble::Unanswered(_))), "{code} {body}: {judged:?}");
        }
    }

    #[test]
    fn what_the_server_says_is_told_as_far_as_it_fits() {
        for (letters, told) in [(1, 1), (300, 300), (301, 300)] {
            let body = json!({"kind": "failed_lock", "value": "x".repeat(letters)}).to_string();
            let says = format!("{} (failed_lock)", "x".repeat(told));
            assert_eq!(judge(409, false, body.as_bytes()).unwrap(), ServerAnswer::NotNow(says));
        }
    }
}
