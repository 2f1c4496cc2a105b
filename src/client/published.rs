//! A home whose lock the process `ours` holds, with a status that a test publishes there.

use crate::clock::Clock;
use crate::control::{Epoch, Home, HomeLock};
use crate::hold::Incarnation;
use crate::state::DrainState;
use crate::status::{DrainStatus, GatewayState};
use serde_json::json;

/// The home, until the last is dropped.
pub(super) fn home() -> (tempfile::TempDir, Home, HomeLock) {
    let place = tempfile::tempdir().unwrap();
    let home = Home::at(place.path());
    let lock = home.lock(&Incarnation::from("ours".to_owned())).unwrap();
    (place, home, lock)
}

pub(super) fn publish(home: &Home, status: &DrainStatus) {
    let state = GatewayState::from(status.state);
    let published = json!({"gateway_state": state, "active_agents": status.in_flight, "drain": status});
    std::fs::write(home.status(), published.to_string()).unwrap();
}

/// A status that the process `ours` has published just now.
pub(super) fn fresh() -> DrainStatus {
    DrainStatus {
        format: 2,
        state: DrainState::Running,
        incarnation: Incarnation::from("ours".to_owned()),
        epoch: Epoch::current(),
        clock_millis: u64::try_from(Clock::boot().now().as_millis()).unwrap(),
        refresh_seconds: Some(10.0),
        ..DrainStatus::default()
    }
}
