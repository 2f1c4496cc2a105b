//! How a gateway is run, and why it can't start.

use crate::control::LockError;
use crate::control::home::advice;
use crate::controller::Settings;
use crate::hold::LeasePolicy;
use crate::status::Description;
use crate::trace::Trace;
use core::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// How a [`Reconciler`](super::Reconciler) behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// How often the files are looked at, at least 1 millisecond. Default: 1 second.
    pub tick: Duration,
    /// Whether the system is asked to tell of changes in the home, so that they are looked at within milliseconds. Without
    /// that, or where it can't, they are seen at the next tick. It takes one inotify instance, of which a user has 128 as a
    /// rule (`fs.inotify.max_user_instances`). Default: true.
    pub events: bool,
    /// How long a look or a publication may take before it counts as failed. Default: 5 seconds.
    pub disk_timeout: Duration,
    /// How often a status that says nothing new is published all the same, at least 1 millisecond: its age
    /// (`drain.clock_millis`) shows whether somebody still publishes. Default: 10 seconds.
    pub refresh: Duration,
    /// How many pieces of labelled work the status names. Default: 20.
    pub active_work: usize,
    /// What the application says of itself.
    pub description: Description,
    /// How the controller behaves.
    pub settings: Settings,
    /// Where everything that happens to the gateway is written down, if it is.
    pub trace: Option<Trace>,
}

impl Options {
    /// Why a gateway can't be run with these, if it can't.
    pub(super) fn check(&self) -> Result<(), String> {
        let shortest = Duration::from_millis(1);
        let durations = [("tick", self.tick), ("disk_timeout", self.disk_timeout), ("refresh", self.refresh)];
        if let Some((name, given)) = durations.into_iter().find(|(_, given)| *given < shortest) {
            return Err(format!("`{name}` is {given:?}; give it at least {shortest:?}"));
        }
        let leases = self.settings.leases;
        if leases.max < LeasePolicy::MIN {
            return Err(format!("`leases.max` is {:?}; no lease is shorter than {:?}", leases.max, LeasePolicy::MIN));
        }
        if leases.default > leases.max {
            let (default, max) = (leases.default, leases.max);
            return Err(format!("`leases.default` is {default:?}, longer than `leases.max`, which is {max:?}"));
        }
        Ok(())
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            tick: Duration::from_secs(1),
            events: true,
            disk_timeout: Duration::from_secs(5),
            refresh: Duration::from_secs(10),
            active_work: 20,
            description: Description::default(),
            settings: Settings::default(),
            trace: None,
        }
    }
}

/// Why a gateway could not start in a home.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// An option has a value that no gateway can run with.
    Options(String),
    /// The home is in use, or can't be used.
    Lock(LockError),
    /// What an earlier process left in its status can't be read in time. A start without it could open under a commit (E1).
    Left {
        /// Where.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The status can't be written.
    Status {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The system gives no thread.
    Thread(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Options(why) => write!(f, "the options can't be used: {why}"),
            Self::Lock(error) => error.fmt(f),
            Self::Left { path, why } => {
                write!(f, "what an earlier process left in {} can't be read: {why}", path.display())
            }
            Self::Status { path, source } => {
                write!(f, "the status {} can't be written: {source}{}", path.display(), advice(source))
            }
            Self::Thread(source) => write!(f, "the reconciler's thread can't be started: {source}"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Options(_) | Self::Left { .. } => None,
            Self::Lock(error) => error.source(),
            Self::Status { source, .. } | Self::Thread(source) => Some(source),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_times_and_equal_leases_are_options_that_a_gateway_can_run_with() {
        let shortest = Duration::from_millis(1);
        let with = |durations: [Duration; 3], default, max| {
            let [tick, disk_timeout, refresh] = durations;
            let leases = LeasePolicy { default, max, ..LeasePolicy::default() };
            let settings = Settings { leases, ..Settings::default() };
            Options { tick, disk_timeout, refresh, settings, ..Options::default() }.check()
        };
        let (least, hour) = (LeasePolicy::MIN, Duration::from_secs(3600));
        assert_eq!(with([shortest; 3], hour, hour), Ok(()));
        assert_eq!(with([shortest; 3], least, least), Ok(()));
        let moment = Duration::from_nanos(1);
        for (number, name) in ["tick", "disk_timeout", "refresh"].into_iter().enumerate() {
            let mut durations = [shortest; 3];
            durations[number] -= moment;
            let refused = with(durations, hour, hour).expect_err("it is shorter than it may be");
            assert!(refused.starts_with(&format!("`{name}`")), "{refused}");
        }
        let shorter = least.saturating_sub(moment);
        assert!(with([shortest; 3], shorter, shorter).is_err(), "no lease is that short");
        assert!(with([shortest; 3], hour + moment, hour).is_err(), "the default is longer than the longest");
    }
}
