//! The slots of a fleet in etcd v3, by the JSON gateway that each member has: `POST /v3/kv/range` and `POST /v3/kv/txn`.
//!
//! The semaphore lies where Airlock keeps it, so that gateways and the machines' own reboots can share one budget. Every change
//! is a transaction that compares the `mod_revision` of all that it was decided from. Airlock compares `version`; either kind
//! of writer makes the other's comparison fail.

use super::semaphore::{NotASemaphore, Semaphore};
use super::slot::{Note, Stored};
use crate::client::agent::config;
use crate::client::{Failure, shown};
use crate::sync::Mutex;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use ureq::Agent;

/// No answer is larger: 16 MiB. A page of semaphores of the greatest size that etcd takes by default fits.
const MAX_ANSWER: u64 = 16 * 1024 * 1024;

/// So many keys are asked for at once.
const PAGE: usize = 8;

/// So many are read of what lies below one prefix.
const MAX_KEYS: usize = 10_000;

/// Where Airlock keeps its groups.
pub(super) const GROUPS: &str = "com.coreos.airlock/groups/";

const SEMAPHORE: &str = "/v1/semaphore";

/// Where the notes lie, which Airlock knows nothing of.
const NOTES: &str = "gateway-drain/groups/";

#[derive(Debug)]
pub(super) struct Etcd {
    agent: Agent,
    endpoints: Vec<String>,
    limit: Duration,
    /// Which endpoint answered last, counted on and on through them.
    last: AtomicUsize,
    /// The cluster that answered first. Another would have a budget of its own.
    cluster: Mutex<Option<String>>,
}

/// Why nothing came of a request.
#[derive(Clone, Debug)]
pub(super) enum Trouble {
    /// No answer, or none of etcd's. It may have been done all the same.
    Unanswered(String),
    /// It was not done, and the next time will be no better.
    Refused(Failure),
}

/// Of one gateway, as of one moment.
#[derive(Clone, Debug)]
pub(super) struct Read {
    /// None where the group has no semaphore.
    pub(super) stored: Option<Stored>,
    revisions: [i64; 2],
}

/// A key and what lies there.
pub(super) struct KeyValue {
    pub(super) key: String,
    pub(super) value: Vec<u8>,
    revision: i64,
}

impl Etcd {
    pub(super) fn new(endpoints: Vec<String>, limit: Duration) -> Result<Self, Failure> {
        let urls = endpoints.iter().map(String::as_str);
        let agent = config(urls).map_err(Failure::Usage)?.build().new_agent();
        Ok(Self { agent, endpoints, limit, last: AtomicUsize::new(0), cluster: Mutex::new(None) })
    }

    pub(super) fn wait_no_longer_than(&mut self, limit: Duration) {
        self.limit = limit;
    }

    /// What is stored of this gateway.
    pub(super) fn read(&self, group: &str, id: &str) -> Result<Read, Trouble> {
        let (semaphore, note) = (semaphore_key(group), note_key(group, id));
        let range = |key: &str| json!({"request_range": {"key": coded(key)}});
        // Both as of one revision.
        let answer = self.ask("/v3/kv/txn", &json!({"success": [range(&semaphore), range(&note)]}))?;
        let mut responses = answer["responses"].as_array().cloned().unwrap_or_default().into_iter();
        let mut next = || found_in(&responses.next().unwrap_or_default()["response_range"]);
        let (semaphore, note) = (next()?.into_iter().next(), next()?.into_iter().next());
        let revisions = [&semaphore, &note].map(|found| found.as_ref().map_or(0, |found| found.revision));
        let stored = match semaphore {
            None => None,
            Some(found) => {
                let semaphore = Semaphore::parse(&found.value).map_err(|why| refused(group, &why))?;
                Some(Stored { semaphore, note: note.map(|found| note_of(&found.value)) })
            }
        };
        Ok(Read { stored, revisions })
    }

    /// Stores this in the place of what was read, if that is still what is there; tells whether it was.
    pub(super) fn write(&self, group: &str, id: &str, read: &Read, new: &Stored) -> Result<bool, Trouble> {
        let (semaphore, note) = (semaphore_key(group), note_key(group, id));
        let bytes = new.semaphore.to_bytes();
        let change_of_note = match &new.note {
            Some(new) => put(&note, json!(new).to_string().as_bytes()),
            None => json!({"request_delete_range": {"key": coded(&note)}}),
        };
        let [semaphore_revision, note_revision] = read.revisions;
        self.transact(&json!({
            "compare": [compare(&semaphore, semaphore_revision), compare(&note, note_revision)],
            "success": [put(&semaphore, &bytes), change_of_note],
        }))
    }

    /// Stores a group's semaphore; where there is none yet, only if there is none still.
    pub(super) fn write_semaphore(&self, group: &str, read: &Read, new: &Semaphore) -> Result<bool, Trouble> {
        let key = semaphore_key(group);
        let unchanged = match (&read.stored, read.revisions) {
            (None, _) => json!({"result": "EQUAL", "target": "VERSION", "key": coded(&key), "version": "0"}),
            (Some(_), [revision, _]) => compare(&key, revision),
        };
        self.transact(&json!({"compare": [unchanged], "success": [put(&key, &new.to_bytes())]}))
    }

    /// Every group that has a semaphore's key, with the value, whatever it is.
    pub(super) fn groups(&self) -> Result<Vec<(String, Vec<u8>)>, Trouble> {
        let found = self.below(GROUPS)?.into_iter().filter_map(|found| {
            let group = found.key.strip_prefix(GROUPS)?.strip_suffix(SEMAPHORE)?.to_owned();
            super::address::group(&group).is_ok().then_some((group, found.value))
        });
        Ok(found.collect())
    }

    /// What lies at a group's key, whatever it is.
    pub(super) fn value(&self, group: &str) -> Result<Option<Vec<u8>>, Trouble> {
        let answer = self.ask("/v3/kv/range", &json!({"key": coded(&semaphore_key(group))}))?;
        Ok(found_in(&answer)?.into_iter().next().map(|found| found.value))
    }

    /// Every note of a group, by the gateway's id.
    pub(super) fn notes(&self, group: &str) -> Result<Vec<(String, Note)>, Trouble> {
        let prefix = note_key(group, "");
        let found = self.below(&prefix)?.into_iter();
        Ok(found
            .filter_map(|found| Some((found.key.strip_prefix(&prefix)?.to_owned(), note_of(&found.value))))
            .collect())
    }

    /// What lies below a prefix, in the order of the keys.
    fn below(&self, prefix: &str) -> Result<Vec<KeyValue>, Trouble> {
        let mut end = prefix.as_bytes().to_vec();
        if let Some(last) = end.last_mut() {
            *last += 1;
        }
        let (mut from, end) = (prefix.as_bytes().to_vec(), STANDARD.encode(end));
        let mut all = Vec::new();
        while all.len() < MAX_KEYS {
            let page = json!({"key": STANDARD.encode(&from), "range_end": end, "limit": PAGE.to_string()});
            let answer = self.ask("/v3/kv/range", &page)?;
            let found = found_in(&answer)?;
            let Some(last) = found.last() else { break };
            from = [last.key.as_bytes(), b"\0"].concat();
            all.extend(found);
            if answer["more"] != json!(true) {
                break;
            }
        }
        Ok(all)
    }

    /// Asks one endpoint after the other until one answers. For what changes nothing.
    fn ask(&self, path: &str, body: &Value) -> Result<Value, Trouble> {
        let mut silent = Vec::new();
        let first = self.last.load(Ordering::Relaxed);
        for n in first..first + self.endpoints.len() {
            match self.call(n, path, body) {
                Err(Trouble::Unanswered(why)) => silent.push(why),
                answered => {
                    self.last.store(n, Ordering::Relaxed);
                    return answered;
                }
            }
        }
        Err(Trouble::Unanswered(silent.join("; ")))
    }

    /// Asks for a change, once, of one endpoint; tells whether it was made.
    fn transact(&self, body: &Value) -> Result<bool, Trouble> {
        let n = self.last.load(Ordering::Relaxed);
        let answer = self.call(n, "/v3/kv/txn", body);
        if matches!(answer, Err(Trouble::Unanswered(_))) {
            // What is read next is asked of another first.
            self.last.store(n + 1, Ordering::Relaxed);
        }
        // What is false is left out.
        Ok(answer?["succeeded"] == json!(true))
    }

    /// Asks the endpoint that stands there when one counts through them again and again.
    fn call(&self, n: usize, path: &str, body: &Value) -> Result<Value, Trouble> {
        let endpoint = &self.endpoints[n % self.endpoints.len()];
        let unanswered = |why: String| Trouble::Unanswered(format!("{endpoint}: {why}"));
        let post = self.agent.post(format!("{endpoint}{path}")).config().timeout_global(Some(self.limit)).build();
        let sent = post.header("content-type", "application/json").send(body.to_string());
        let mut response = sent.map_err(|error| unanswered(error.to_string()))?;
        let code = response.status().as_u16();
        let bytes = response.body_mut().with_config().limit(MAX_ANSWER).read_to_vec();
        let bytes = bytes.map_err(|error| unanswered(error.to_string()))?;
        let answer: Map<String, Value> = serde_json::from_slice(&bytes)
            .map_err(|_| unanswered(format!("it answers {code}, and not as etcd does")))?;
        let text = |name: &str| answer.get(name).and_then(Value::as_str).map(shown);
        if code != 200 {
            let why = text("message").or_else(|| text("error")).unwrap_or_else(|| format!("it answers {code}"));
            return Err(match answer.get("code").and_then(Value::as_u64) {
                // Invalid, not permitted, no room, not in this state, out of range, not implemented, not authenticated.
                Some(3 | 7 | 8 | 9 | 11 | 12 | 16) => {
                    Trouble::Refused(Failure::Fleet(format!("etcd at {endpoint} refuses: {why}")))
                }
                _ => unanswered(why),
            });
        }
        let cluster = answer.get("header").and_then(|header| header["cluster_id"].as_str());
        let Some(cluster) = cluster else { return Err(unanswered("it answers, and not as etcd does".into())) };
        let mut known = self.cluster.lock();
        match known.as_deref() {
            None => *known = Some(cluster.to_owned()),
            Some(known) if known != cluster => {
                let why = format!(
                    "{endpoint} belongs to another etcd cluster ({}) than the endpoint before it ({}): each would have a budget \
                     of its own",
                    shown(cluster),
                    shown(known)
                );
                return Err(Trouble::Refused(Failure::Usage(why)));
            }
            Some(_) => {}
        }
        Ok(Value::Object(answer))
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Unanswered(why) => Self::Fleet(why),
            Trouble::Refused(failure) => failure,
        }
    }
}

/// What is said of a group whose value is no semaphore.
pub(super) fn refused(group: &str, why: &NotASemaphore) -> Trouble {
    let key = semaphore_key(group);
    Trouble::Refused(Failure::Fleet(format!("what lies at {key} is no semaphore, and is left as it is: {why}")))
}

pub(super) fn semaphore_key(group: &str) -> String {
    format!("{GROUPS}{group}{SEMAPHORE}")
}

fn note_key(group: &str, id: &str) -> String {
    format!("{NOTES}{group}/slots/{id}")
}

/// A note. One that can't be read is somebody's: then nobody knows who uses the slot, and it isn't given back.
fn note_of(value: &[u8]) -> Note {
    serde_json::from_slice(value).unwrap_or_else(|_| Note { foreign: true, ..Note::default() })
}

fn coded(text: &str) -> String {
    STANDARD.encode(text)
}

fn put(key: &str, value: &[u8]) -> Value {
    json!({"request_put": {"key": coded(key), "value": STANDARD.encode(value)}})
}

/// That nothing has been changed there since; 0 where there is nothing.
fn compare(key: &str, revision: i64) -> Value {
    json!({"result": "EQUAL", "target": "MOD", "key": coded(key), "mod_revision": revision.to_string()})
}

/// The keys and values of an answer.
fn found_in(answer: &Value) -> Result<Vec<KeyValue>, Trouble> {
    let one = |found: &Value| {
        let key = String::from_utf8(STANDARD.decode(found["key"].as_str()?).ok()?).ok();
        // What is empty is left out.
        let value = STANDARD.decode(found["value"].as_str().unwrap_or_default()).ok()?;
        let revision = found["mod_revision"].as_str()?.parse().ok()?;
        Some((key, value, revision))
    };
    let listed = answer["kvs"].as_array().map(Vec::as_slice).unwrap_or_default();
    let read = listed.iter().map(one).collect::<Option<Vec<_>>>();
    let read = read.ok_or_else(|| Trouble::Unanswered("its answer can't be read as etcd's".into()))?;
    // A key that is no text is none of ours.
    Ok(read.into_iter().filter_map(|(key, value, revision)| Some(KeyValue { key: key?, value, revision })).collect())
}
