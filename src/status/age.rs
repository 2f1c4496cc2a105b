//! How old a status may be and still be believed: a gateway that can publish does so again before it is older (C8).

use super::DrainStatus;
use crate::control::Epoch;
use std::time::Duration;

/// How long a gateway that says nothing of it leaves its status as it is.
const REFRESH: Duration = Duration::from_secs(10);
/// What a slow machine and a slow disk may add.
const ALLOWED: Duration = Duration::from_secs(5);
/// The first format whose status is published again although it says nothing new.
const REFRESHED: u32 = 2;

impl DrainStatus {
    /// How old this is to a reader of the epoch `ours` at `now`, if it is older than three refreshes and five seconds: then
    /// it is silence, whatever it says.
    ///
    /// None where that can't be known: the clocks of two epochs are not the same, nor is one that reads less than the status's,
    /// and a gateway of the first format published nothing as long as nothing changed.
    pub(crate) fn overdue(&self, ours: &Epoch, now: Duration) -> Option<Duration> {
        if self.format < REFRESHED || !ours.is_known() || self.epoch != *ours {
            return None;
        }
        let age = now.checked_sub(Duration::from_millis(self.clock_millis))?;
        (age > self.believed_for()).then_some(age)
    }

    /// How old it may be.
    pub(crate) fn believed_for(&self) -> Duration {
        let refresh = self.refresh_seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        refresh.unwrap_or(REFRESH).saturating_mul(3).saturating_add(ALLOWED)
    }
}

/// What is said of a gateway whose status is so old.
pub(crate) fn silent_for(age: Duration) -> String {
    format!(
        "the gateway's process lives, and has published nothing for {} s: what its status says may be over",
        age.as_secs()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(name: &str) -> Epoch {
        Epoch::from(name.to_owned())
    }

    fn published(format: u32, refresh_seconds: Option<f64>) -> DrainStatus {
        DrainStatus { format, epoch: epoch("a:1"), clock_millis: 100_000, refresh_seconds, ..DrainStatus::default() }
    }

    fn is_silence(status: &DrainStatus, age: u64) -> bool {
        status.overdue(&epoch("a:1"), Duration::from_secs(100) + Duration::from_millis(age)).is_some()
    }

    #[test]
    fn a_status_is_silence_once_it_is_older_than_three_refreshes_and_five_seconds() {
        for (refresh, limit) in [(None, 35_000), (Some(10.0), 35_000), (Some(0.5), 6_500), (Some(60.0), 185_000)] {
            assert!(!is_silence(&published(2, refresh), limit), "{refresh:?}");
            assert!(is_silence(&published(2, refresh), limit + 1), "{refresh:?}");
            assert!(is_silence(&published(3, refresh), limit + 1), "{refresh:?}: of a later format");
        }
        let age = published(2, None).overdue(&epoch("a:1"), Duration::from_secs(141));
        assert_eq!(age, Some(Duration::from_secs(41)));
    }

    #[test]
    fn a_refresh_that_makes_no_sense_is_the_usual_one_and_one_without_end_makes_nothing_old() {
        for senseless in [-1.0, f64::NAN, f64::INFINITY, 1e300] {
            assert!(!is_silence(&published(2, Some(senseless)), 35_000), "{senseless}");
            assert!(is_silence(&published(2, Some(senseless)), 35_001), "{senseless}");
        }
        assert!(!is_silence(&published(2, Some(1e18)), u64::MAX / 2));
    }

    #[test]
    fn the_age_judges_nothing_where_it_is_not_known() {
        let late = Duration::from_secs(100_000);
        assert_eq!(published(1, None).overdue(&epoch("a:1"), late), None, "the first format said nothing while it ran");
        assert_eq!(published(2, None).overdue(&epoch("a:1"), Duration::from_secs(99)), None, "a clock that reads less");
        for other in ["a:2", "b:1", "a:", ""] {
            assert_eq!(published(2, None).overdue(&epoch(other), late), None, "the reader is of {other:?}");
        }
        let unknown = DrainStatus { epoch: epoch(""), ..published(2, None) };
        assert_eq!(unknown.overdue(&epoch(""), late), None, "two that know no epoch share no clock");
    }
}
