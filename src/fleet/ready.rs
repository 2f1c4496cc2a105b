//! Whether a gateway takes work, by its own word.

use crate::client::{Failure, Gateway};

/// Why this gateway can't be said to run and be ready; none if it says so itself: that no hold stands, no shutdown has begun
/// and none is about to close it.
pub(super) fn unready(gateway: &Gateway) -> Option<String> {
    match gateway.status() {
        Err(failure) => Some(failure.to_string()),
        Ok(status) => {
            if let Some(silent) = status.silence() {
                return Some(silent);
            }
            let drain = status.drain.as_ref();
            let state = drain.and_then(|drain| drain["state"].as_str()).or(status.state.as_deref());
            match state {
                Some("running") if drain.is_some_and(|drain| drain["pending"] == true) => {
                    Some("a hold is about to close its gate".into())
                }
                Some("running") => gateway.unready().err().map(|failure| failure.to_string()),
                Some(other) => Some(format!("its state is {}", crate::client::shown(other))),
                None => Some("it says nothing of its state".into()),
            }
        }
    }
}

/// Whether a gateway lives there, in any state.
pub(super) fn lives(gateway: &Gateway) -> Result<(), Failure> {
    let silent = gateway.status()?.silence();
    silent.map_or(Ok(()), |why| Err(Failure::Unreachable(format!("{why} ({})", gateway.as_arguments()))))
}
