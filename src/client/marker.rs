//! The marker: how a gateway is drained that knows no holds, such as the reference (hermes-agent).
//!
//! It promises less than a hold does. There is one marker for everybody, nobody is granted a commit, and which process
//! answers can't be known: "drained" is what the status says at a look, and to remove the marker reopens the gate.

use super::held::{CameToNothing, DROP_LIMIT, LATE};
use super::{Failure, Gateway, Interrupt, Status};
use crate::clock::Clock;
use crate::control::Home;
use crate::control::epoch::start_time;
use crate::control::opened::OpenHome;
use crate::control::read::{self, Unreadable};
use crate::hold::{Notes, RequestId};
use serde_json::Value;
use std::io;
use std::time::Duration;

const PAUSE: Duration = Duration::from_millis(100);

/// The reference takes a marker for absent an hour after it was written, so it is written again while it is needed.
const KEEP_ALIVE: Duration = Duration::from_secs(300);

/// No status is larger: 4 MiB.
const MAX_STATUS: u64 = 4 * 1024 * 1024;

/// The states in which a gateway of the reference is there.
const LIVING: [&str; 4] = ["starting", "running", "draining", "degraded"];

/// What is said where holds are asked of a gateway that knows none.
pub(super) fn knows_no_holds(place: &str) -> Failure {
    Failure::Usage(format!(
        "the gateway at {place} knows no holds (a reference hermes-agent, it seems), and nothing was asked of it; \
         --marker drains it by its marker, which promises less"
    ))
}

/// The status that lies in a home, no matter who wrote it.
pub(super) fn status_of(home: &Home) -> Result<Status, Failure> {
    let content = OpenHome::open(home.path())
        .and_then(|open| read::content_up_to(&open.folder, Home::STATUS.as_bytes(), MAX_STATUS));
    let bytes = match content {
        Err(Unreadable::Missing) => return Ok(Status::unknown()),
        content => content.map_err(io::Error::from)?.bytes,
    };
    let Ok(Value::Object(fields)) = serde_json::from_slice(&bytes) else {
        return Err(Failure::Unreachable(format!("{} is no status", home.status().display())));
    };
    let mut status = Status::of(fields);
    if !status.knows_holds {
        status.running = lives(&status);
    }
    Ok(status)
}

/// Whether the process that wrote a status of the reference lives, as far as its number and its start tell.
fn lives(status: &Status) -> Option<bool> {
    let pid = status.fields.get("pid")?.as_u64()?;
    let stat = match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat,
        Err(_) if std::path::Path::new("/proc/self/stat").exists() => return Some(false),
        Err(_) => return None,
    };
    let Some(started) = status.fields.get("start_time").and_then(Value::as_u64) else { return Some(true) };
    Some(start_time(&stat)? == started)
}

/// Whether what lives in a home is a gateway that knows no holds.
pub(super) fn is_of_reference(home: &Home) -> bool {
    let Ok(status) = status_of(home) else { return false };
    let says_it_lives = status.state.as_deref().is_some_and(|state| LIVING.contains(&state));
    !status.knows_holds && says_it_lives && status.running != Some(false)
}

/// A drain by the marker.
///
/// ```no_run
/// use gateway_drain::{Home, client::{Failure, Gateway, MarkerDrain}};
///
/// let gateway = Gateway::at(Home::resolve(None).map_err(|error| Failure::Usage(error.to_string()))?);
/// MarkerDrain::of(gateway, "deploy-bot").run(|| { /* nothing was in flight at the last look */ })?;
/// # Ok::<(), Failure>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is asked of the gateway until it begins"]
pub struct MarkerDrain {
    pub(super) gateway: Gateway,
    pub(super) owner: String,
    pub(super) notes: Notes,
    pub(super) suppress_notification: bool,
    patience: Duration,
    timeout: Option<Duration>,
    interrupt: Interrupt,
}

impl MarkerDrain {
    /// A drain of this gateway. Over HTTP the owner is whom the token proves.
    pub fn of(gateway: Gateway, owner: impl Into<String>) -> Self {
        Self {
            gateway,
            owner: owner.into(),
            notes: Notes::default(),
            suppress_notification: false,
            patience: super::Drain::PATIENCE,
            timeout: None,
            interrupt: Interrupt::new(),
        }
    }

    /// Why, for people. A gateway of the reference doesn't show it.
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.notes.reason = reason.into();
        self
    }

    /// What is said of the drain for people.
    pub fn notes(mut self, notes: Notes) -> Self {
        self.notes = notes;
        self
    }

    /// Asks that a shutdown while the marker is there notifies nobody.
    pub fn suppress_notification(mut self, suppress: bool) -> Self {
        self.suppress_notification = suppress;
        self
    }

    /// How long nothing may be heard of the gateway.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.gateway.be_patient_for(patience);
        self.patience = patience;
        self
    }

    /// How long work in flight is waited for. Without it, as long as it takes.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Lets somebody else stop the waiting.
    pub fn interrupt(mut self, interrupt: Interrupt) -> Self {
        self.gateway.be_interrupted_by(interrupt.clone());
        self.interrupt = interrupt;
        self
    }

    /// Writes the marker, and waits until the gateway says that it drains.
    ///
    /// # Errors
    /// [`Failure::Denied`] if somebody drains the gateway already: their marker is theirs. Otherwise what the file system
    /// or the endpoint says, and [`Failure::Unreachable`] if the gateway didn't follow or nothing answered. A marker that may lie there
    /// then is removed again; where that fails too the failure says so, and [`cancel`](Self::cancel) removes it later.
    pub fn begin(&self) -> Result<(), Failure> {
        self.begin_or_remove().map_err(|nothing| match (nothing.failure, nothing.given_up) {
            (Failure::Unreachable(why), Err(left)) => {
                Failure::Unreachable(format!("{why}; the marker may lie there: {left}"))
            }
            (failure, _) => failure,
        })
    }

    /// As [`begin`](Self::begin), but what came of the removal is told apart from the failure.
    pub(crate) fn begin_or_remove(&self) -> Result<(), CameToNothing> {
        let unsent = |failure| CameToNothing { failure, sent: false, given_up: Ok(()) };
        if look(&self.gateway).map_err(unsent)?.state.as_deref() == Some("draining") {
            let why = "the gateway drains already: its drain would be ended by ours, or ours by it";
            return Err(unsent(Failure::Denied(why.into())));
        }
        self.gateway.put_marker(self, false).map_err(|failure| match failure {
            // It may lie there all the same: only the answer is missing.
            Failure::Unreachable(_) | Failure::Interrupted => self.removed_again(failure, self.gateway.is_over_http()),
            failure => unsent(failure),
        })?;
        let follows = |status: &Status| (status.state.as_deref() == Some("draining")).then_some(());
        match self.until(self.patience, follows) {
            Ok(Some(())) => Ok(()),
            Ok(None) => Err(self.removed_again(Failure::Unreachable("it does not say that it drains".into()), false)),
            Err(failure) => Err(self.removed_again(failure, false)),
        }
    }

    /// What came of a begin that failed so. A marker that `may_arrive` late is none that is known to be gone.
    fn removed_again(&self, failure: Failure, may_arrive: bool) -> CameToNothing {
        let late = || if may_arrive { Err(Failure::Unreachable(LATE.into())) } else { Ok(()) };
        let given_up = self.give_up().and_then(|()| late());
        let failure = match failure {
            Failure::Unreachable(why) if given_up.is_ok() => {
                Failure::Unreachable(format!("{why}; the marker is removed again"))
            }
            failure => failure,
        };
        CameToNothing { failure, sent: true, given_up }
    }

    /// Removes the marker, also if what stops the waiting has been raised: then within a few seconds.
    pub(crate) fn give_up(&self) -> Result<(), Failure> {
        let patience = if self.interrupt.is_raised() { self.patience.min(DROP_LIMIT) } else { self.patience };
        self.clone().interrupt(Interrupt::new()).patience(patience).remove()
    }

    /// Waits until the status says that nothing is in flight while it drains.
    ///
    /// # Errors
    /// [`Failure::Withdrawn`] if it drains no more, [`Failure::Deadline`] and others.
    pub fn wait(&self) -> Result<(), Failure> {
        let mut seen = None;
        let limit = self.timeout.unwrap_or(Duration::MAX);
        let ended = self.until(limit, |status| {
            seen = status.active_agents;
            match (status.state.as_deref(), status.active_agents) {
                (Some("draining"), Some(0)) => Some(Ok(())),
                (Some("draining") | None, _) => None,
                (Some(_), _) => Some(Err(Failure::Withdrawn("the gateway drains no more: its marker is gone".into()))),
            }
        })?;
        ended.unwrap_or_else(|| {
            Err(seen.map_or_else(
                || Failure::Unreachable("its status doesn't say how much is in flight".into()),
                |in_flight| Failure::Deadline { in_flight, active_work: Vec::new() },
            ))
        })
    }

    /// Removes the marker, and waits until the gateway no longer drains for it.
    ///
    /// # Errors
    /// [`Failure::Denied`] for a marker that another owner wrote and that may hold; `override marker` removes that. Over HTTP whose it is
    /// can't be known.
    pub fn cancel(&self) -> Result<(), Failure> {
        let first_seen = self.gateway.first_seen(&RequestId::marker());
        self.gateway.remove_marker(&self.owner)?;
        let reopened = self.until(self.patience, |status| {
            let drains = status.state.as_deref() == Some("draining");
            // A gateway that knows holds may have others that keep it closed, also by a marker that was put there since.
            let is_it = |hold: &Value| {
                hold["request_id"] == "marker"
                    && (first_seen.is_none() || hold["first_seen_millis"].as_u64() == first_seen)
            };
            let by_marker = |drain: &Value| drain["holds"].as_array().is_none_or(|holds| holds.iter().any(is_it));
            (!drains || status.drain.as_ref().is_some_and(|drain| !by_marker(drain))).then_some(())
        });
        reopened?
            .ok_or_else(|| Failure::Unreachable("the marker is removed, and the gateway says that it drains".into()))
    }

    /// Removes the marker, and doesn't wait until the gateway has noticed.
    ///
    /// # Errors
    /// As of [`cancel`](Self::cancel).
    pub fn remove(&self) -> Result<(), Failure> {
        self.gateway.remove_marker(&self.owner)
    }

    /// Begins, waits, acts and removes the marker, which is kept alive meanwhile.
    ///
    /// # Errors
    /// A [`Failure`] before the act, which was not run then, or of the removal after it. Where the removal fails as well as the wait,
    /// the failure is the wait's; [`cancel`](Self::cancel) tells whether the marker is gone.
    pub fn run<T>(&self, act: impl FnOnce() -> T) -> Result<T, Failure> {
        self.begin()?;
        let kept = self.keep_alive();
        if let Err(failure) = self.wait() {
            drop(kept);
            let _ = self.cancel();
            return Err(failure);
        }
        let value = act();
        drop(kept);
        self.cancel()?;
        Ok(value)
    }

    /// Writes the marker again every few minutes until the guard is dropped.
    #[must_use = "the marker is kept alive until this is dropped"]
    pub fn keep_alive(&self) -> KeptAlive {
        let (drain, quiet) = (self.clone(), Interrupt::new());
        let ended = quiet.clone();
        let keep = move || {
            while !ended.pause(KEEP_ALIVE) {
                // The next time may do better; an hour passes before it is too late.
                let _ = drain.gateway.put_marker(&drain, true);
            }
        };
        let thread = std::thread::Builder::new().name("gateway-drain-marker".into()).spawn(keep).ok();
        KeptAlive { quiet, thread }
    }

    /// Looks until there is an answer, or until `limit` is over: none. Silence ends it after the patience.
    fn until<T>(&self, limit: Duration, mut answer: impl FnMut(&Status) -> Option<T>) -> Result<Option<T>, Failure> {
        let (clock, gateway) = (Clock::boot(), self.gateway.once());
        let began = clock.now();
        let mut heard = began;
        loop {
            if self.interrupt.is_raised() {
                return Err(Failure::Interrupted);
            }
            let before = gateway.glance();
            match look(&gateway) {
                Ok(status) => {
                    heard = clock.now();
                    if let Some(answer) = answer(&status) {
                        return Ok(Some(answer));
                    }
                }
                Err(failure) if failure.is_silence() && clock.now().saturating_sub(heard) < self.patience => {}
                Err(failure) => return Err(failure),
            }
            if clock.now().saturating_sub(began) >= limit {
                return Ok(None);
            }
            gateway.pause(&RequestId::marker(), &self.interrupt, &before, PAUSE);
        }
    }
}

fn look(gateway: &Gateway) -> Result<Status, Failure> {
    let status = gateway.status_in_time()?;
    status.silence().map_or(Ok(()), |why| Err(Failure::Unreachable(why)))?;
    Ok(status)
}

/// A marker that is written again while it is needed.
#[derive(Debug)]
pub struct KeptAlive {
    quiet: Interrupt,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drop for KeptAlive {
    fn drop(&mut self) {
        self.quiet.raise();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
