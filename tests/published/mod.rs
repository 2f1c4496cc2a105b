//! Waiting for a gateway to publish something: bounded, and with the last status in the message if it never does.

use gateway_drain::{Home, Snapshot};
use std::time::{Duration, Instant};

/// Waits until `true_now`, for ten seconds at most.
pub fn comes_true(what: &str, true_now: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !true_now() {
        assert!(Instant::now() < deadline, "never came true: {what}");
        std::thread::yield_now();
    }
}

/// The first published status that `says` so, within ten seconds.
pub fn until(home: &Home, what: &str, says: impl Fn(&Snapshot) -> bool) -> Snapshot {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let published = Snapshot::read(home);
        match published {
            Ok(snapshot) if says(&snapshot) => return snapshot,
            _ if Instant::now() > deadline => panic!("never published: {what}; the last status is {published:#?}"),
            // A file that another process or thread writes has no event to wait for.
            _ => std::thread::park_timeout(Duration::from_millis(2)),
        }
    }
}
