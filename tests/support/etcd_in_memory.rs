//! As much of etcd v3 as a fleet asks for, kept in memory: `range` and `txn` by the JSON gateway, as etcd's documents describe
//! them. What the real one does is tested with a real one (`tests/external`); this is for what a test wants to see at each step.

use crate::support::etcd::{Asked, Between, Way, answer, semaphore_key};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// What lies at the keys, and how often any was changed.
#[derive(Default)]
pub struct Keys {
    revision: u64,
    all: BTreeMap<String, Stored>,
}

struct Stored {
    value: Vec<u8>,
    revision: u64,
    version: u64,
}

pub type Shared = Arc<Mutex<Keys>>;

/// An endpoint over these keys. The rule sees each request before it is done: none is `Through`; of the others, what it says.
pub fn serve(keys: &Shared, mut rule: impl FnMut(&Asked, &mut Keys) -> Option<Way> + Send + 'static) -> Between {
    let keys = Arc::clone(keys);
    Between::start("", move |asked| {
        let mut keys = keys.lock().expect("nobody panicked");
        rule(asked, &mut keys).unwrap_or_else(|| Way::Answer(keys.answer(asked)))
    })
}

/// Whether a request asks for a change.
pub fn changes(asked: &Asked) -> bool {
    asked.body.contains("\"compare\"")
}

/// No answer, although it may have been done.
pub fn lost() -> Option<Way> {
    Some(Way::Answer(Vec::new()))
}

impl Keys {
    pub fn put(&mut self, key: &str, value: impl Into<Vec<u8>>) {
        self.revision += 1;
        let version = self.all.get(key).map_or(1, |found| found.version + 1);
        self.all.insert(key.to_owned(), Stored { value: value.into(), revision: self.revision, version });
    }

    /// What lies there, as JSON.
    pub fn get(&self, key: &str) -> Option<Value> {
        self.all.get(key).map(|found| serde_json::from_slice(&found.value).expect("JSON"))
    }

    pub fn version(&self, key: &str) -> u64 {
        self.all.get(key).map_or(0, |found| found.version)
    }

    /// Who has a slot of a group.
    pub fn holders(&self, group: &str) -> Vec<String> {
        let semaphore = self.get(&semaphore_key(group)).expect("the group has one");
        serde_json::from_value(semaphore["holders"].clone()).expect("texts")
    }

    /// Does what is asked, and says what came of it.
    pub fn answer(&mut self, asked: &Asked) -> Vec<u8> {
        let body: Value = serde_json::from_str(&asked.body).expect("JSON");
        let mut said = match asked.head.split(' ').nth(1) {
            Some("/v3/kv/range") => self.range(&body),
            Some("/v3/kv/txn") => self.transact(&body),
            other => panic!("no path of etcd's: {other:?}"),
        };
        said["header"] = json!({"cluster_id": "1"});
        answer(200, "application/json", &said.to_string())
    }

    fn range(&self, body: &Value) -> Value {
        let (from, end) = (text(&body["key"]), text(&body["range_end"]));
        let limit = body["limit"].as_str().map_or(usize::MAX, |limit| limit.parse().expect("a number"));
        let is_asked = |key: &str| if end.is_empty() { key == from } else { *key >= *from && *key < *end };
        let found: Vec<_> = self.all.iter().filter(|(key, _)| is_asked(key)).collect();
        let pair = |(key, found): &(&String, &Stored)| {
            json!({"key": STANDARD.encode(key), "value": STANDARD.encode(&found.value),
                   "mod_revision": found.revision.to_string(), "version": found.version.to_string()})
        };
        let mut said = json!({"count": found.len().to_string()});
        if !found.is_empty() {
            said["kvs"] = found.iter().take(limit).map(pair).collect();
        }
        if found.len() > limit {
            said["more"] = json!(true);
        }
        said
    }

    fn transact(&mut self, body: &Value) -> Value {
        let listed = |name: &str| body[name].as_array().cloned().unwrap_or_default();
        let holds = listed("compare").iter().all(|compare| {
            assert_eq!(compare["result"], "EQUAL");
            let found = self.all.get(&text(&compare["key"]));
            let (number, wanted) = match compare["target"].as_str() {
                Some("MOD") => (found.map_or(0, |found| found.revision), &compare["mod_revision"]),
                Some("VERSION") => (found.map_or(0, |found| found.version), &compare["version"]),
                other => panic!("no target: {other:?}"),
            };
            wanted.as_str() == Some(number.to_string().as_str())
        });
        if !holds {
            return json!({});
        }
        let steps = listed("success");
        let responses = steps.iter().map(|step| {
            let step = step.as_object().and_then(|step| step.iter().next()).expect("a step");
            match (step.0.as_str(), step.1) {
                ("request_range", range) => json!({"response_range": self.range(range)}),
                ("request_put", put) => {
                    let value = STANDARD.decode(put["value"].as_str().expect("a value")).expect("base64");
                    self.put(&text(&put["key"]), value);
                    json!({"response_put": {}})
                }
                ("request_delete_range", delete) => {
                    let _ = self.all.remove(&text(&delete["key"]));
                    json!({"response_delete_range": {}})
                }
                (other, _) => panic!("no step of etcd's: {other}"),
            }
        });
        json!({"responses": responses.collect::<Vec<_>>(), "succeeded": true})
    }
}

fn text(encoded: &Value) -> String {
    let bytes = STANDARD.decode(encoded.as_str().unwrap_or_default()).expect("base64");
    String::from_utf8(bytes).expect("a text")
}
