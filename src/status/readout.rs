//! What the reference's public status says, derived from a snapshot.

use super::{GatewayState, Snapshot};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What the reference's public status says (`GET /api/status`), derived from a snapshot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "axum", derive(utoipa::ToSchema))]
pub struct Readout {
    /// Whether the process lives: known from the lock it holds, never from a timestamp.
    pub gateway_running: bool,
    /// The state; none if there is no status to read.
    pub gateway_state: Option<GatewayState>,
    /// All work in flight; none if that can't be known: the process lives, and no status says it. A process that is gone
    /// has none.
    pub active_agents: Option<u64>,
    /// As in the reference: running, in a state that takes work, with work in flight. To know whether it is safe to act, ask
    /// for `drained`.
    pub gateway_busy: bool,
    /// Running, and in a state that takes work: a drain could begin.
    pub gateway_drainable: bool,
    /// How long a shutdown waits for work in flight, in seconds.
    pub restart_drain_timeout: Option<f64>,
    /// When the status was made.
    pub gateway_updated_at: Option<String>,
}

impl Readout {
    /// What a status, if there is one, says of a gateway whose process lives or doesn't.
    #[must_use]
    pub fn of(snapshot: Option<&Snapshot>, live: bool, restart_drain_timeout: Option<Duration>) -> Self {
        let running = live && snapshot.is_some_and(|s| s.gateway_state.serves());
        let active_agents = if live { snapshot.and_then(|s| s.active_agents) } else { Some(0) };
        Self {
            gateway_running: live,
            gateway_state: snapshot.map(|s| s.gateway_state),
            active_agents,
            gateway_busy: running && active_agents.is_some_and(|agents| agents > 0),
            gateway_drainable: running,
            restart_drain_timeout: restart_drain_timeout.map(|timeout| timeout.as_secs_f64()),
            gateway_updated_at: snapshot.map(|s| s.updated_at.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_gateway_is_busy_with_at_least_one_piece_of_work_while_it_lives_and_takes_more() {
        for (state, work, live, is_busy) in [
            ("running", json!(0), true, false),
            ("running", json!(1), true, true),
            ("running", json!(null), true, false),
            ("running", json!(1), false, false),
            ("draining", json!(1), true, false),
            ("degraded", json!(1), true, true),
        ] {
            let status = json!({"gateway_state": state, "active_agents": work});
            let status: Snapshot = serde_json::from_value(status).unwrap();
            assert_eq!(Readout::of(Some(&status), live, None).gateway_busy, is_busy, "{state} {work} {live}");
        }
    }
}
