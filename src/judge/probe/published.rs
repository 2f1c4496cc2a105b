//! A status that a gateway published, of whatever contract.

use crate::hold::{Nonce, RequestId};
use serde_json::Value;

/// One status.
#[derive(Clone, Debug, Default)]
pub(super) struct PublishedStatus {
    pub(super) fields: Value,
}

impl PublishedStatus {
    pub(super) fn state(&self) -> &str {
        self.fields["gateway_state"].as_str().unwrap_or("nothing")
    }

    pub(super) fn is_running(&self) -> bool {
        self.state() == "running"
    }

    pub(super) fn is_draining(&self) -> bool {
        self.state() == "draining"
    }

    pub(super) fn is_shutting_down(&self) -> bool {
        self.state() == "stopped" || self.drain().is_some_and(|drain| drain["state"] == "shutdown_draining")
    }

    /// Which process says so.
    pub(super) fn process(&self) -> (Option<u64>, Option<u64>, Option<&str>) {
        // In a container every gateway may have the same id.
        let number = |name: &str| self.fields[name].as_u64();
        (number("pid"), number("start_time"), self.drain().and_then(|drain| drain["incarnation"].as_str()))
    }

    /// How much is in flight. An unsigned count that has gone below 0 is negative, too.
    pub(super) fn agents(&self) -> i64 {
        let agents = &self.fields["active_agents"];
        agents.as_i64().or_else(|| agents.as_u64().map(u64::cast_signed)).unwrap_or(0)
    }

    /// Whether another process than the one that says that says this; one that doesn't say which it is counts as the same.
    pub(super) fn is_of_another(&self, other: &Self) -> bool {
        fn differ<T: PartialEq>(one: Option<T>, other: Option<T>) -> bool {
            one.zip(other).is_some_and(|(one, other)| one != other)
        }
        let (this, that) = (self.process(), other.process());
        differ(this.0, that.0) || differ(this.1, that.1) || differ(this.2, that.2)
    }

    /// What only gateways with this crate's contract say.
    pub(super) fn drain(&self) -> Option<&Value> {
        self.fields.get("drain").filter(|drain| drain.is_object())
    }

    /// What became of this write of a hold, if the gateway says.
    pub(super) fn answer(&self, nonce: &Nonce) -> Option<&str> {
        let answers = self.drain()?.get("acknowledged")?.as_array()?;
        answers.iter().find(|answer| answer["nonce"] == nonce.as_str())?.get("outcome")?.as_str()
    }

    pub(super) fn hold(&self, id: &RequestId) -> Option<&Value> {
        self.drain()?.get("holds")?.as_array()?.iter().find(|hold| hold["request_id"] == id.as_str())
    }
}
