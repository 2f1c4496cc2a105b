//! The clock that leases run on: time since the machine booted.
//!
//! No step of the wall clock reaches it (H5), it goes on while the machine or the process sleeps, and two processes of
//! one boot read the same. The pure parts of the crate are handed its readings and never look at it themselves.

use core::fmt;
use rustix::time::{ClockId, Timespec};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Where a [`Controller`](crate::Controller) takes its time from: the time since boot, unless a test sets it by hand.
///
/// ```
/// use gateway_drain::Clock;
/// use std::time::Duration;
///
/// let clock = Clock::manual();
/// clock.advance(Duration::from_secs(90));
/// assert_eq!(clock.now(), Duration::from_secs(90));
/// ```
#[derive(Clone, Default)]
pub struct Clock {
    /// Milliseconds, of a clock that only its owner moves.
    manual: Option<Arc<AtomicU64>>,
}

impl Clock {
    /// The time since boot, counted through suspends where the system can (`CLOCK_BOOTTIME`).
    #[must_use]
    pub fn boot() -> Self {
        Self::default()
    }

    /// A clock that stands at zero until it is [advanced](Self::advance). For tests.
    #[must_use]
    pub fn manual() -> Self {
        Self { manual: Some(Arc::default()) }
    }

    /// Moves a manual clock, and all its clones, forward. In whole milliseconds; on the clock of the machine it does
    /// nothing.
    pub fn advance(&self, by: Duration) {
        if let Some(millis) = &self.manual {
            millis.fetch_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Duration {
        match &self.manual {
            Some(millis) => Duration::from_millis(millis.load(Ordering::Relaxed)),
            None => since_boot(),
        }
    }
}

fn since_boot() -> Duration {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let clock = ClockId::Boottime;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let clock = ClockId::Monotonic;
    let now = rustix::time::clock_gettime(clock);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// Nanoseconds of a monotonic clock that costs next to nothing to read, for ages that people read. It moves in steps of
/// the system's timer: a few milliseconds.
pub(crate) fn coarse() -> u64 {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let clock = ClockId::MonotonicCoarse;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let clock = ClockId::Monotonic;
    nanoseconds(rustix::time::clock_gettime(clock))
}

fn nanoseconds(time: Timespec) -> u64 {
    u64::try_from(time.tv_sec).unwrap_or(0).wrapping_mul(1_000_000_000) + u64::try_from(time.tv_nsec).unwrap_or(0)
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.manual.is_some() { "manual" } else { "boot" };
        f.debug_struct("Clock").field("kind", &kind).field("now", &self.now()).finish()
    }
}

#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
mod tests {
    use super::*;

    fn exact() -> u64 {
        nanoseconds(rustix::time::clock_gettime(ClockId::Monotonic))
    }

    #[test]
    fn a_time_in_nanoseconds_has_those_of_its_seconds_and_its_own() {
        assert_eq!(nanoseconds(Timespec { tv_sec: 0, tv_nsec: 999_999_999 }), 999_999_999);
        assert_eq!(nanoseconds(Timespec { tv_sec: 3, tv_nsec: 7 }), 3_000_000_007);
    }

    #[test]
    fn the_coarse_clock_is_the_machines_and_at_most_some_steps_of_its_timer_behind() {
        let before = exact();
        let read = coarse();
        let after = exact();
        assert!(read <= after, "{read} is later than {after}");
        assert!(before - read.min(before) < 1_000_000_000, "{read} is long before {before}");
    }

    #[test]
    fn the_clock_of_the_machine_goes_on_by_itself_and_nobody_else_moves_it() {
        let clock = Clock::boot();
        let before = rustix::time::clock_gettime(ClockId::Boottime).tv_sec;
        clock.advance(Duration::from_secs(1_000_000_000));
        let read = i64::try_from(clock.now().as_secs()).unwrap();
        let after = rustix::time::clock_gettime(ClockId::Boottime).tv_sec;
        assert!((before..=after).contains(&read), "{read} is not from {before} to {after}");
    }
}
