//! Waiting for a gateway to publish something: bounded, and with the last status in the message if it never does.

use gateway_drain::{Home, Snapshot};
use std::time::{Duration, Instant};

/// How long a test waits, however slow the machine: a minute, and three seconds where a bug is planted and it may well wait in
/// vain.
fn deadline() -> Instant {
    Instant::now() + Duration::from_secs(if std::env::var_os("SEED").is_some() { 3 } else { 60 })
}

/// Between two looks: what another process writes has no event to wait for, and to look without a pause takes a processor from it.
const PAUSE: Duration = Duration::from_millis(5);

/// Waits until `true_now`.
#[track_caller]
pub fn comes_true(what: &str, true_now: impl Fn() -> bool) {
    let deadline = deadline();
    while !true_now() {
        assert!(Instant::now() < deadline, "never came true: {what}");
        std::thread::park_timeout(PAUSE);
    }
}

/// The first published status that `says` so.
#[track_caller]
pub fn until(home: &Home, what: &str, says: impl Fn(&Snapshot) -> bool) -> Snapshot {
    let deadline = deadline();
    loop {
        let published = Snapshot::read(home);
        match published {
            Ok(snapshot) if says(&snapshot) => return snapshot,
            _ if Instant::now() > deadline => panic!("never published: {what}; the last status is {published:#?}"),
            _ => std::thread::park_timeout(PAUSE),
        }
    }
}
