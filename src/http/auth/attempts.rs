//! How often an address has shown a wrong token lately.

use crate::sync::Mutex;
use std::collections::HashMap;
use std::net::IpAddr;
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

    /// How long the tokens of this address aren't looked at any more; `None` if they are.
    pub(in crate::http) fn barred(&self, peer: Option<IpAddr>, now: Instant) -> Option<Duration> {
        let mut failures = self.failures.lock();
        let peer = Self::counted_as(&mut failures, peer, now);
        let (since, count) = failures.get(&peer)?;
        let left = WINDOW.saturating_sub(now.saturating_duration_since(*since));
        (*count >= self.limit && !left.is_zero()).then_some(left)
    }

    pub(in crate::http) fn failed(&self, peer: Option<IpAddr>, now: Instant) {
        let mut failures = self.failures.lock();
        let peer = Self::counted_as(&mut failures, peer, now);
        let (since, count) = failures.entry(peer).or_insert((now, 0));
        if now.saturating_duration_since(*since) >= WINDOW {
            (*since, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
    }

    fn counted_as(
        failures: &mut HashMap<Option<IpAddr>, (Instant, u32)>,
        peer: Option<IpAddr>,
        now: Instant,
    ) -> Option<IpAddr> {
        if failures.len() >= MAX_PEERS && !failures.contains_key(&peer) {
            failures.retain(|_, (since, _)| now.saturating_duration_since(*since) < WINDOW);
        }
        if failures.len() >= MAX_PEERS && !failures.contains_key(&peer) { None } else { peer }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_barred_after_its_limit_until_its_minute_is_over_and_bars_no_other() {
        let (attempts, start) = (Attempts::new(3), Instant::now());
        let (one, other) = (Some(IpAddr::from([127, 0, 0, 1])), Some(IpAddr::from([127, 0, 0, 2])));
        for _ in 0..3 {
            assert_eq!(attempts.barred(one, start), None);
            attempts.failed(one, start);
        }
        assert_eq!(attempts.barred(one, start), Some(WINDOW));
        assert_eq!(attempts.barred(other, start), None);
        assert_eq!(attempts.barred(one, start + WINDOW), None);
    }

    #[test]
    fn a_flood_of_addresses_is_not_remembered_without_bound() {
        let (attempts, start) = (Attempts::new(3), Instant::now());
        for n in 0..20_000_u32 {
            attempts.failed(Some(IpAddr::from(n.to_be_bytes())), start);
        }
        assert!(attempts.failures.lock().len() <= MAX_PEERS + 1);
        assert!(attempts.barred(Some(IpAddr::from([9, 9, 9, 9])), start).is_some(), "those beyond share one count");
    }
}
