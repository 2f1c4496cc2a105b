//! The test vectors of the endpoint: each exchange over a real socket, in the gateway's process and beside it.

#![cfg(feature = "axum")]

use crate::support::http_server::{Gateway, PEOPLE, PLACES, Place, Server, bearer};
use crate::support::vectors::each_case;
use serde_json::{Value, json};
use std::time::Duration;

/// A gateway, the turns in it, and the answers so far.
struct Exchanges {
    gateway: Gateway,
    server: Server,
    turns: Vec<gateway_drain::OwnedPermit>,
    nonces: Vec<String>,
}

impl Exchanges {
    fn new(place: Place) -> Self {
        let gateway = Gateway::start();
        let server = Server::of(gateway.endpoint(place).verifier(PEOPLE));
        Self { gateway, server, turns: Vec::new(), nonces: Vec::new() }
    }

    fn take(&mut self, acts: &Value) {
        for (what, how) in acts.as_array().unwrap().iter().flat_map(|act| act.as_object().unwrap()) {
            let controller = self.gateway.reconciler.controller();
            match what.as_str() {
                "admit" => self.turns.push(self.gateway.reconciler.gate().admit_owned().unwrap()),
                "finish" => drop(self.turns.pop()),
                "advance_seconds" => self.gateway.clock.advance(Duration::from_secs_f64(how.as_f64().unwrap())),
                "shutdown_seconds" => {
                    controller.begin_shutdown(Duration::from_secs_f64(how.as_f64().unwrap())).unwrap();
                }
                other => panic!("no step of a vector: {other}"),
            }
        }
        let (turns, ending) = (self.turns.len() as u64, self.gateway.reconciler.controller().state().is_ending());
        // Two looks that say something new, so that none counts that had begun before.
        for is_marked in [true, false] {
            self.gateway.reconciler.describe(|description| {
                description.platforms.clear();
                description.platforms.extend(is_marked.then(|| ("look".into(), Value::Null)));
            });
            self.gateway.until(|status| {
                let is_over = status.description.platforms.is_empty() != is_marked;
                is_over && status.drain.in_flight == turns && status.drain.state.is_ending() == ending
            });
        }
    }

    fn named(&self, text: &str) -> String {
        let incarnation = self.gateway.reconciler.controller().incarnation().to_string();
        let named = text.replace("$incarnation", &incarnation);
        let nonces = self.nonces.iter().enumerate().rev();
        nonces.fold(named, |text, (at, nonce)| text.replace(&format!("$nonce-of-{at}"), nonce))
    }

    fn exchange(&mut self, step: &Value) -> Value {
        self.take(&step["do"]);
        let body = match &step["body"] {
            Value::Null => String::new(),
            Value::String(text) => self.named(text),
            body => self.named(&body.to_string()),
        };
        let token = match step["as"].as_str() {
            None => "",
            Some("alice") => "token-a",
            Some("bob") => "token-b",
            Some("olga") => "token-o",
            Some("rita") => "token-r",
            Some(_) => "token-of-nobody",
        };
        let mut headers = bearer(token);
        for (name, value) in step["headers"].as_object().into_iter().flatten() {
            headers.push((name.clone(), value.as_str().unwrap().to_owned()));
        }
        let [method, path] = ["method", "path"].map(|field| step[field].as_str().unwrap());
        let answer = self.server.send(method, path, &headers, body.as_bytes());
        let json: Value = serde_json::from_str(&answer.body).unwrap_or(Value::Null);
        self.nonces.push(json["nonce"].as_str().unwrap_or_default().to_owned());
        json!({"status": answer.code, "body": lasting(&json)})
    }
}

/// What neither time nor chance decides of an answer.
fn lasting(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let changes = |name: &str| {
                let of_time = [
                    "age_seconds",
                    "first_seen_millis",
                    "requested_at",
                    "updated_at",
                    "gateway_updated_at",
                    "detail",
                    "title",
                    "gateway_pid",
                    "pid",
                ];
                let of_chance = ["nonce", "incarnation", "argv", "instance", "type"];
                of_time.contains(&name) || of_chance.contains(&name)
            };
            let kept = fields.iter().filter(|(name, _)| !changes(name));
            let value = |name: &str, value: &Value| match value.as_f64() {
                // To the minute: a request takes a moment to be seen, which its timestamp tells.
                Some(left) if name == "lease_left_seconds" => json!((left / 60.0).ceil() * 60.0),
                _ => lasting(value),
            };
            Value::Object(kept.map(|(name, field)| (name.clone(), value(name, field))).collect())
        }
        Value::Array(entries) => entries.iter().map(lasting).collect(),
        other => other.clone(),
    }
}

#[test]
fn each_exchange_has_the_answer_that_the_vectors_say_wherever_the_endpoint_is() {
    each_case("http.json", |case| {
        let [inside, beside] = PLACES.map(|place| {
            let mut exchanges = Exchanges::new(place);
            let answers = case["steps"].as_array().unwrap().iter().map(|step| exchanges.exchange(step));
            answers.collect::<Value>()
        });
        assert_eq!(inside, beside, "{}: the endpoint answers otherwise beside the gateway", case["id"]);
        inside
    });
}
