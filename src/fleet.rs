//! How many gateways of a fleet may be closed at once: a budget that survives every controller, kept in an engine that exists.
//!
//! A [`Fleet`] is a counting semaphore behind a FleetLock server, or directly in etcd, in the layout that Airlock uses. A
//! [`Roll`] takes a slot of it before a gateway's gate closes, and gives it back once the gateway itself says that it runs and is
//! ready. A slot is the gateway's, so that a controller that dies costs a slot and never breaks the budget (E4). The guide is
//! `docs/fleet.md`.
//!
//! | File | What it is |
//! |---|---|
//! | `semaphore` | the value of a group's slots, in Airlock's layout; pure |
//! | `slot` | what a controller does with what it read; pure |
//! | `taker` | this controller, as others see it |
//! | `address` | what names a fleet, a group and a gateway in it |
//! | `etcd`, `server` | the two engines |
//! | `ready` | whether a gateway runs, by its own word |
//! | `roll` | a slot, from before the gate closes until the gateway runs again |
//! | `groups` | what people do with slots |
//!
//! It relies on the [client](crate::client); the command line relies on it.

mod address;
mod etcd;
mod groups;
mod ready;
mod roll;
mod semaphore;
mod server;
mod slot;
mod taker;

pub use groups::{Group, Holder, Released, SetSlots};
pub use roll::{Ended, Roll, Rolled, Slot, Waiting};
pub use semaphore::{NotASemaphore, Release, Semaphore, Take};
pub use slot::{End, Ending, Left, Note, Stored, Taker, Taking, Whereabouts};

use crate::client::{Drain, Failure, quoted};
use address::Address;
use core::time::Duration;

/// No answer is waited for longer, however much patience there is.
const LONGEST_ANSWER: Duration = Duration::from_secs(5);

/// A group of gateways, and what keeps its slots.
///
/// ```
/// use gateway_drain::fleet::Fleet;
///
/// let fleet = Fleet::at("etcd://10.0.0.1:2379,10.0.0.2:2379", "web")?;
/// assert!(Fleet::at("https://fleetlock.example", "zone/a").is_err(), "no group has a slash");
/// # Ok::<(), gateway_drain::client::Failure>(())
/// ```
#[derive(Debug)]
pub struct Fleet {
    url: String,
    group: String,
    engine: Engine,
    patience: Duration,
}

#[derive(Debug)]
enum Engine {
    Etcd(etcd::Etcd),
    FleetLock(server::Server),
}

impl Fleet {
    /// The group that this keeps: `http://` or `https://` for a server of the FleetLock protocol, `etcd://HOST:PORT,…` or
    /// `etcds://…` (over TLS) for etcd itself. Nothing is asked yet.
    ///
    /// # Errors
    /// [`Failure::Usage`] for an address that can't be used, or a name that no group has.
    pub fn at(url: &str, group: &str) -> Result<Self, Failure> {
        let address = Address::parse(url)?;
        let group = address::group(group)?;
        // An address that can't be used is refused here rather than at the first request.
        let engine = match address {
            Address::Etcd(endpoints) => Engine::Etcd(etcd::Etcd::new(endpoints, LONGEST_ANSWER)?),
            Address::FleetLock(base) => Engine::FleetLock(server::Server::new(base, LONGEST_ANSWER)?),
        };
        Ok(Self { url: url.to_owned(), group, engine, patience: Drain::PATIENCE })
    }

    /// How long nothing may be heard of the slots, and how long giving one back is tried. Default: [`Drain::PATIENCE`].
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        let limit = patience.clamp(Duration::from_millis(100), LONGEST_ANSWER);
        match &mut self.engine {
            Engine::Etcd(etcd) => etcd.wait_no_longer_than(limit),
            Engine::FleetLock(server) => server.wait_no_longer_than(limit),
        }
        self.patience = patience;
        self
    }

    /// The group.
    #[must_use]
    pub fn group(&self) -> &str {
        &self.group
    }

    /// `gateway-drain fleet` with these words, for this fleet: a line to copy, quoted for a shell.
    #[must_use]
    pub fn line(&self, words: &[&str]) -> String {
        let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
        format!(
            "gateway-drain fleet --fleet-lock {} --fleet-group {} {}",
            quoted(&self.url),
            self.group,
            words.join(" ")
        )
    }

    fn waiting(&self, total_slots: Option<u32>, holders: &[String], says: Option<String>) -> Waiting {
        let (group, holders) = (self.group.clone(), holders.to_vec());
        Waiting { group, total_slots, holders, says, waited: Duration::ZERO, time_left: None }
    }

    fn no_semaphore(&self) -> Failure {
        let line = self.set_slots_line();
        Failure::Usage(format!("the group {} has no semaphore in etcd; this makes one: {line}", self.group))
    }

    fn no_slots(&self) -> Failure {
        let line = self.set_slots_line();
        Failure::Usage(format!("the group {} has a budget of 0 slots; this gives it one: {line}", self.group))
    }

    fn set_slots_line(&self) -> String {
        format!("gateway-drain fleet --fleet-lock {} set-slots {} 1", quoted(&self.url), self.group)
    }
}

/// The time now, for people.
fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_to_copy_name_the_fleet_and_are_quoted_for_a_shell() {
        let fleet = Fleet::at("etcd://a:1,b:2", "web").unwrap();
        assert_eq!(fleet.group(), "web");
        assert_eq!(
            fleet.line(&["release", "gw 7"]),
            "gateway-drain fleet --fleet-lock etcd://a:1,b:2 --fleet-group web release 'gw 7'"
        );
        let line = "gateway-drain fleet --fleet-lock etcd://a:1,b:2 set-slots web 1";
        for (failure, says) in [(fleet.no_semaphore(), "has no semaphore"), (fleet.no_slots(), "a budget of 0 slots")] {
            assert!(matches!(&failure, Failure::Usage(why) if why.contains(says) && why.ends_with(line)), "{failure}");
        }
    }

    #[test]
    fn a_single_answer_is_waited_for_no_longer_than_there_is_patience_and_never_longer_than_the_longest() {
        for (millis, limit) in [(0, "limit: 100ms"), (2000, "limit: 2s"), (60_000, "limit: 5s")] {
            for url in ["etcd://a", "http://a"] {
                let fleet = Fleet::at(url, "web").unwrap().patience(Duration::from_millis(millis));
                assert!(format!("{:?}", fleet.engine).contains(limit), "{fleet:?}");
            }
        }
    }

    #[test]
    fn the_time_is_told_in_utc_to_the_second() {
        let before = jiff::Timestamp::now().as_second();
        let now = now();
        let read: jiff::Timestamp = now.parse().unwrap();
        assert!((before..=jiff::Timestamp::now().as_second()).contains(&read.as_second()), "{now}");
        assert_eq!((now.len(), now.ends_with('Z')), ("2026-11-27T00:43:57Z".len(), true), "{now}");
    }
}
