//! How often an address has shown a wrong token lately.
//!
//! Only wrong tokens are counted and only wrong ones are slowed down: a right one is let in whatever its address has shown
//! before. Otherwise a stranger behind the same proxy, or another user of the same machine, could stop every controller.

use crate::sync::Mutex;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

const WINDOW: Duration = Duration::from_secs(60);
/// No more addresses are remembered; those beyond share one count.
const MAX_PEERS: usize = 4096;

/// Counts of failures, one for each address, each for a minute from its first failure.
pub(in crate::http) struct Attempts {
    limit: u32,
    failures: Mutex<HashMap<Option<IpAddr>, (Instant, u32)>>,
}

impl Attempts {
    pub(in crate::http) fn new(limit: u32) -> Self {
        Self { limit, failures: Mutex::default() }
    }

    /// Counts a wrong token; if there were too many already, how long until the address may show another.
    pub(in crate::http) fn failed(&self, peer: Option<IpAddr>, now: Instant) -> Option<Duration> {
        let mut failures = self.failures.lock();
        let peer = counted_as(&mut failures, peer.map(network), now);
        let (since, count) = failures.entry(peer).or_insert((now, 0));
        if now.saturating_duration_since(*since) >= WINDOW {
            (*since, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        let left = WINDOW.saturating_sub(now.saturating_duration_since(*since));
        (*count > self.limit).then_some(left)
    }
}

/// A client with one address of IPv6 has a network of 2^64.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

fn counted_as(
    failures: &mut HashMap<Option<IpAddr>, (Instant, u32)>,
    peer: Option<IpAddr>,
    now: Instant,
) -> Option<IpAddr> {
    if failures.len() >= MAX_PEERS && !failures.contains_key(&peer) {
        failures.retain(|_, (since, _)| now.saturating_duration_since(*since) < WINDOW);
        if failures.len() >= MAX_PEERS {
            return None;
        }
    }
    peer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_slowed_down_after_its_limit_until_its_minute_is_over_and_slows_down_no_other() {
        let (attempts, start) = (Attempts::new(3), Instant::now());
        let (one, other) = (Some(IpAddr::from([127, 0, 0, 1])), Some(IpAddr::from([127, 0, 0, 2])));
        assert_eq!([(); 3].map(|()| attempts.failed(one, start)), [None; 3]);
        assert_eq!(attempts.failed(one, start), Some(WINDOW));
        assert_eq!(attempts.failed(other, start), None);
        assert_eq!(attempts.failed(one, start + WINDOW), None);
    }

    #[test]
    fn a_network_of_ipv6_is_one_address_and_an_ipv4_address_is_the_same_in_both_forms() {
        let (attempts, now) = (Attempts::new(1), Instant::now());
        let failed = |address: &str| attempts.failed(Some(address.parse().unwrap()), now);
        assert_eq!(failed("2001:db8::1"), None);
        assert_eq!(failed("2001:db8::ffff:ffff:ffff:ffff"), Some(WINDOW));
        assert_eq!(failed("2001:db8:0:1::1"), None, "the next network");
        assert_eq!(failed("192.0.2.1"), None);
        assert_eq!(failed("::ffff:192.0.2.1"), Some(WINDOW));
        assert_eq!(failed("192.0.2.2"), None);
    }

    #[test]
    fn a_flood_of_addresses_is_not_remembered_without_bound() {
        let (attempts, start) = (Attempts::new(3), Instant::now());
        for n in 0..20_000_u32 {
            attempts.failed(Some(IpAddr::from(n.to_be_bytes())), start);
        }
        assert!(attempts.failures.lock().len() <= MAX_PEERS + 1);
    }

    #[test]
    fn beyond_the_most_that_are_remembered_new_addresses_share_one_count_until_the_others_minute_is_over() {
        let (attempts, start) = (Attempts::new(1), Instant::now());
        let peer = |n: usize| Some(IpAddr::from(u32::try_from(n).unwrap().to_be_bytes()));
        for n in 0..MAX_PEERS {
            assert_eq!(attempts.failed(peer(n), start), None, "the first of address {n}");
        }
        let (soon, almost) = (start + Duration::from_secs(1), start + Duration::from_millis(59_999));
        assert_eq!(attempts.failed(peer(MAX_PEERS), soon), None, "the first of those that share a count");
        assert_eq!(attempts.failed(peer(MAX_PEERS + 1), soon), Some(WINDOW), "the second of those");
        let left = Some(Duration::from_millis(1));
        assert_eq!(attempts.failed(peer(0), almost), left, "who is remembered has a count of its own");
        assert_eq!(attempts.failed(peer(MAX_PEERS - 1), almost), left, "and so has the last of them");
        // Of all that were remembered, only the shared count is younger than a minute.
        assert_eq!(attempts.failed(peer(MAX_PEERS + 2), start + WINDOW), None, "there is room again");
        assert_eq!(attempts.failures.lock().len(), 2, "whose minute is over is forgotten");
        assert!(attempts.failed(peer(MAX_PEERS + 2), start + WINDOW).is_some(), "the second of an address of its own");
    }
}
