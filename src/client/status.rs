//! What a gateway says to anybody who asks, read so that nothing is made up: what isn't known is not 0.

use crate::status::silent_for;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// What is said of a gateway that lives while its status isn't there, or is another's.
pub(super) const UNPUBLISHED: &str = "a gateway process lives there and has published no status of its own that can be read: \
                                      it has just started, or the status was removed or overwritten";

/// What a gateway says to anybody who asks: the reference's readout, and the drain.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Status {
    /// Whether a process lives there; none where this way of asking can't tell.
    pub running: Option<bool>,
    /// How long a process that lives there has published nothing, where that is longer than it may be (C8). What it said before
    /// may be over: no state, no drain and no count is given then.
    pub silent_for: Option<Duration>,
    /// The gateway's word for its state (`gateway_state`).
    pub state: Option<String>,
    /// All work in flight; none if nothing says so.
    pub active_agents: Option<u64>,
    /// Whether it is a gateway with holds. A reference hermes-agent knows only its marker.
    pub knows_holds: bool,
    /// The drain, as far as this way of asking shows it: over the files everything, over HTTP what the token may see.
    pub drain: Option<Value>,
    /// When the status was made (`updated_at`, `gateway_updated_at`).
    pub updated_at: Option<String>,
    /// Its other fields.
    pub fields: Map<String, Value>,
}

impl Status {
    /// From a status file, or the answer to `GET /api/status`.
    pub(super) fn of(mut fields: Map<String, Value>) -> Self {
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let running = fields.remove("gateway_running").and_then(|running| running.as_bool());
        let state = text(fields.remove("gateway_state").as_ref());
        let active_agents = fields.remove("active_agents").and_then(|count| count.as_u64());
        let updated_at = text(fields.get("updated_at").or_else(|| fields.get("gateway_updated_at")));
        let knows_holds = fields.contains_key("drain");
        let drain = fields.remove("drain").filter(|drain| !drain.is_null());
        // Of a gateway that isn't there nothing is in flight that could be counted.
        let active_agents = active_agents.filter(|_| running != Some(false) && state.is_some());
        Self { running, silent_for: None, state, active_agents, knows_holds, drain, updated_at, fields }
    }

    pub(super) fn unknown() -> Self {
        Self::of(Map::new())
    }

    /// Of a gateway with holds that lives and has published nothing that can be read.
    pub(super) fn unpublished() -> Self {
        Self { running: Some(true), knows_holds: true, ..Self::unknown() }
    }

    /// Why nothing is known of a gateway: none lives there, or the one that does has published nothing that can be read, or
    /// nothing for too long.
    pub(crate) fn silence(&self) -> Option<String> {
        if let Some(age) = self.silent_for {
            return Some(silent_for(age));
        }
        match (self.running, &self.state) {
            (Some(false), _) | (None, None) => Some("no gateway process lives there".into()),
            (Some(true), None) => Some(UNPUBLISHED.into()),
            (None, Some(_)) => Some("nothing tells whether a gateway process lives there".into()),
            (Some(true), Some(_)) => None,
        }
    }

    /// As it is printed by `status --json`: the same fields over the files and over HTTP.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut drain = self.drain.clone();
        if let Some(Value::Object(drain)) = &mut drain {
            let count = drain.get("holds").and_then(Value::as_array).map(Vec::len);
            drain.entry("hold_count").or_insert_with(|| json!(count));
        }
        json!({
            "gateway_running": self.running,
            "gateway_state": self.state,
            "active_agents": self.active_agents,
            "gateway_updated_at": self.updated_at,
            "knows_holds": self.knows_holds,
            "drain": drain,
        })
    }
}

impl Serialize for Status {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(value: Value) -> Status {
        let Value::Object(fields) = value else { panic!("{value} is no object") };
        Status::of(fields)
    }

    #[test]
    fn what_is_not_known_is_not_0() {
        assert_eq!(Status::unknown().active_agents, None);
        assert_eq!(status(json!({"gateway_state": "running"})).active_agents, None);
        assert_eq!(status(json!({"gateway_state": "running", "active_agents": "3"})).active_agents, None);
        assert_eq!(status(json!({"active_agents": 3})).active_agents, None, "nothing says what it does");
        let dead = json!({"gateway_running": false, "gateway_state": "draining", "active_agents": 3});
        assert_eq!(status(dead).active_agents, None, "it lives no more");
        assert_eq!(status(json!({"gateway_state": "degraded", "active_agents": 3})).active_agents, Some(3));
        let gone = status(json!({"gateway_running": false, "gateway_state": null, "active_agents": 0}));
        assert_eq!(gone.to_json()["active_agents"], Value::Null);
    }

    #[test]
    fn only_what_is_known_to_live_and_says_its_state_is_no_silence() {
        for (live, silent) in [(json!(true), false), (json!(false), true), (Value::Null, true), (json!("yes"), true)] {
            let said = json!({"gateway_running": live, "gateway_state": "running", "active_agents": 0, "drain": {}});
            assert_eq!(status(said).silence().is_some(), silent, "{live}");
            let said = json!({"gateway_running": live, "gateway_state": null});
            assert!(status(said).silence().is_some(), "{live}, and no state");
        }
    }

    #[test]
    fn a_gateway_with_a_drain_in_its_status_knows_holds() {
        assert!(status(json!({"gateway_state": null, "drain": null})).knows_holds);
        assert!(!status(json!({"gateway_state": "running"})).knows_holds);
    }

    #[test]
    fn holds_are_a_list_and_their_number_stands_apart_however_they_were_asked_for() {
        let files = status(json!({"gateway_state": "draining", "drain": {"holds": [{}, {}]}})).to_json();
        assert_eq!(files["drain"]["hold_count"], 2);
        let http = status(json!({"gateway_state": "draining", "drain": {"holds": null, "hold_count": 2}})).to_json();
        assert_eq!((&http["drain"]["holds"], &http["drain"]["hold_count"]), (&Value::Null, &json!(2)));
    }
}
