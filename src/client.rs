//! The controller's side: begin, wait, commit, act, withdraw; over the files of a home or over HTTP.
//!
//! | Step | Type |
//! |---|---|
//! | where the gateway is | [`Gateway`] |
//! | what is wanted of it | [`Drain`] |
//! | the gate is held closed, and the lease is kept | [`Held`] |
//! | the gateway says that it is drained | [`SeenDrained`] |
//! | the right to act | [`Committed`] |
//!
//! Each step is made by the one before it, so nobody acts on a look: to act takes a [`Committed`], and only the gateway's
//! own grant makes one (E1). Every other ending is a [`Failure`], told apart from all others, and never "drained" (E2).
//! What [`begin`](Drain::begin) gave, and [`Committed`], give their hold up when they are dropped, also by a panic. Who
//! [attaches](Drain::attach) to a hold takes nothing back.
//!
//! A commit's token is on the controller's disk before the commit is asked for, in `GATEWAY_DRAIN_STATE` (root:
//! `/var/lib/gateway-drain`; else `$XDG_STATE_HOME/gateway-drain`, `~/.local/state/gateway-drain`), and
//! [`Drain::withdraw`] finds it there: a controller that was killed in mid act leaves a hold that its owner can end (E3).
//!
//! A gateway that knows no holds, such as the reference, is drained by its marker: [`MarkerDrain`].
//!
//! The steps block. [`Drain::run_async`] and [`Drain::begin_async`] do the same on a thread of their own and want no
//! particular async runtime.
//!
//! It relies on the file channel and the published status, or on the endpoint's wire format (`docs/http.md`); the command
//! line relies on it.

pub(crate) mod agent;
mod answer;
mod asynchronous;
mod chain;
mod ending;
mod endpoint;
mod failure;
mod files;
mod held;
mod http;
mod interrupt;
mod marker;
#[cfg(test)]
mod published;
mod session;
mod status;
#[cfg(test)]
pub(crate) mod stub;
mod text;
mod token_store;
mod transport;
#[cfg(test)]
mod vectors;
mod watch;

pub use asynchronous::{AsyncCommitted, AsyncHeld, StepFuture};
pub use failure::{ExitCode, Failure};
pub(crate) use held::CameToNothing;
pub use held::{Committed, Held};
pub use interrupt::Interrupt;
pub use marker::{KeptAlive, MarkerDrain};
pub use status::Status;
pub use text::{quoted, shown};
pub use transport::Gateway;
#[doc(hidden)]
pub use watch::{Conclusion, concluded};

use crate::gate::Generation;
use crate::hold::{Incarnation, LeasePolicy, Nonce, Notes, Request, RequestId};
use crate::state::DrainState;
use crate::status::WorkStatus;
use crate::sync::Arc;
use core::fmt;
use ending::Limits;
use serde::Serialize;
use std::path::PathBuf;
use std::time::Duration;
use token_store::TokenStore;

/// What a controller wants of a gateway: which hold, for how long, and how it waits.
///
/// ```no_run
/// use gateway_drain::{Home, client::{Drain, Failure, Gateway}};
/// use std::time::Duration;
///
/// let gateway = Gateway::at(Home::resolve(None).map_err(|e| Failure::Usage(e.to_string()))?);
/// let done = Drain::of(gateway, "deploy-bot")
///     .reason("upgrade to 1.4")
///     .timeout(Duration::from_secs(600))
///     .run(|_committed| { /* no turn is in flight here, and none begins */ })?;
/// done.withdrawn?;
/// # Ok::<(), Failure>(())
/// ```
#[derive(Clone)]
#[must_use = "nothing is asked of the gateway until it begins"]
pub struct Drain {
    gateway: Gateway,
    request: Request,
    timeout: Option<Duration>,
    patience: Duration,
    only_for: Option<Incarnation>,
    attaches: bool,
    tokens: Option<PathBuf>,
    interrupt: Interrupt,
    on_progress: Option<Arc<ProgressCallback>>,
}

/// The callback for progress.
type ProgressCallback = dyn Fn(&Progress) + Send + Sync;

impl Drain {
    /// How long a hold of [`of`](Self::of) lasts if its controller dies: 60 seconds. Heartbeats keep it until then.
    pub const LEASE: Duration = Duration::from_secs(60);

    /// How long nothing may be heard of a gateway before it is [unreachable](Failure::Unreachable): 10 seconds.
    pub const PATIENCE: Duration = Duration::from_secs(10);

    /// A drain of this gateway, under a name that nobody else has. Over HTTP the owner is whom the token proves.
    pub fn of(gateway: Gateway, owner: impl Into<String>) -> Self {
        Self {
            gateway,
            request: Request::begin(RequestId::random(), owner),
            timeout: None,
            patience: Self::PATIENCE,
            only_for: None,
            attaches: false,
            tokens: None,
            interrupt: Interrupt::new(),
            on_progress: None,
        }
    }

    /// Under this name. To begin a hold that is there already is refused, also to its owner: see
    /// [`or_attach`](Self::or_attach).
    pub fn id(mut self, id: RequestId) -> Self {
        self.request.id = id;
        self
    }

    /// Why, for people.
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.request.notes.reason = reason.into();
        self
    }

    /// The change that the hold belongs to.
    pub fn ticket(mut self, ticket: impl Into<String>) -> Self {
        self.request.notes.ticket = ticket.into();
        self
    }

    /// All that is said of the hold for people.
    pub fn notes(mut self, notes: Notes) -> Self {
        self.request.notes = notes;
        self
    }

    /// Takes up a hold of this name and owner if there is one, instead of refusing to begin it. As with
    /// [`attach`](Self::attach), it is not given up on a failure then; what this drain says of it replaces what was said.
    pub fn or_attach(mut self) -> Self {
        self.attaches = true;
        self
    }

    /// Binds the hold to this process: it ends with it, and the next process of the same boot doesn't take it over. A
    /// commit unbinds it.
    pub fn bound_to(mut self, incarnation: Incarnation) -> Self {
        self.request.incarnation = Some(incarnation);
        self
    }

    /// Keeps the tokens of commits in this folder, and not in the state folder of the user.
    pub fn keeping_tokens_in(mut self, folder: impl Into<PathBuf>) -> Self {
        self.tokens = Some(folder.into());
        self
    }

    /// How long the hold outlives its controller, from [`LeasePolicy::MIN`] on. Default: [`LEASE`](Self::LEASE), or what a hold that is
    /// [attached to](Self::attach) was begun with.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.request.lease = Some(lease);
        self
    }

    /// How long the act may take after the commit before the status shows it as overdue.
    pub fn act_within(mut self, deadline: Duration) -> Self {
        self.request.deadline = Some(deadline);
        self
    }

    /// How long readiness fails before the gate closes, for load balancers to notice.
    pub fn unready_delay(mut self, delay: Duration) -> Self {
        self.request.unready_delay = delay;
        self
    }

    /// Asks that a shutdown under this hold notifies nobody.
    pub fn suppress_notification(mut self, suppress: bool) -> Self {
        self.request.suppress_notification = suppress;
        self
    }

    /// How long a wait may take; a living gateway's first answer is waited for in any case. Without it, as long as it
    /// takes.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How long nothing may be heard of the gateway. Default: [`PATIENCE`](Self::PATIENCE).
    pub fn patience(mut self, patience: Duration) -> Self {
        self.gateway.be_patient_for(patience);
        self.patience = patience;
        self
    }

    /// With this process and no other: any other is [`Failure::IncarnationChanged`].
    pub fn only_for(mut self, incarnation: Incarnation) -> Self {
        self.only_for = Some(incarnation);
        self
    }

    /// Lets somebody else stop the waiting.
    pub fn interrupt(mut self, interrupt: Interrupt) -> Self {
        self.gateway.be_interrupted_by(interrupt.clone());
        self.interrupt = interrupt;
        self
    }

    /// Tells of every look while something is waited for: several each second, whether or not anything changed.
    pub fn on_progress(mut self, tell: impl Fn(&Progress) + Send + Sync + 'static) -> Self {
        self.on_progress = Some(Arc::new(tell));
        self
    }

    /// The hold's name.
    #[must_use]
    pub fn request_id(&self) -> &RequestId {
        &self.request.id
    }

    /// Begins the hold, waits until the gateway has acknowledged it, and keeps its lease from then on.
    ///
    /// # Errors
    /// Any [`Failure`] but a deadline. What was begun is given up again, unless it was [interrupted](Failure::Interrupted).
    /// Nothing is written where there is a hold of that name already ([`Failure::Denied`]), where the gateway is of another
    /// epoch ([`Failure::Ignored`]) and where it knows no holds ([`Failure::Usage`]).
    pub fn begin(&self) -> Result<Held, Failure> {
        Held::begin(self.clone(), &self.interrupt)
    }

    /// As [`begin`](Self::begin), and tells what may stand where it fails.
    #[cfg(feature = "cli")]
    pub(crate) fn begin_and_tell(&self) -> Result<Held, CameToNothing> {
        Held::begin_and_tell(self.clone(), &self.interrupt)
    }

    /// As [`begin`](Self::begin), for an act of its own: that a token can be kept is made sure of before anything is asked,
    /// and a begin that is interrupted is given up.
    pub(crate) fn begin_for_run(&self) -> Result<Held, CameToNothing> {
        let checked = self.token_store().and_then(|store| store.check());
        checked.map_err(|failure| CameToNothing { failure, sent: false, given_up: Ok(()) })?;
        Held::begin_or_give_up(self.clone(), &self.interrupt)
    }

    /// Takes up a hold of the same owner that is there already, and keeps its lease from then on. What its request
    /// said stays as it is. However it ends, the hold stays: it is for its owner to withdraw.
    ///
    /// # Errors
    /// [`Failure::Withdrawn`] if there is no such hold, [`Failure::LeaseLost`] if it has run out, and others.
    pub fn attach(&self) -> Result<Held, Failure> {
        Held::attach(self.clone())
    }

    /// Ends the hold, and waits until the gateway has noticed. A committed one wants its token: without one, the token is
    /// taken that this owner's commit has left on this machine.
    ///
    /// # Errors
    /// [`Failure::Denied`] for somebody else's hold, and for a commit without its token. [`Failure::Unreachable`] if the
    /// gateway didn't notice in time; over the files it will, as soon as it runs.
    pub fn withdraw(&self, token: Option<Nonce>) -> Result<(), Failure> {
        ending::cancel(self, token, self.patience)
    }

    /// Ends the hold, no matter whose it is, committed or not, and waits until the gateway has noticed. For a hold whose owner is
    /// gone for good: one who is still acting is cut off.
    ///
    /// Over HTTP it wants a token with the scope `override`; over the files, every user who may write in the home may do it. Either
    /// way the gateway records it as an override, by this owner; but the marker is simply removed, which is its withdrawal.
    ///
    /// # Errors
    /// [`Failure::Denied`] without that right, and [`Failure::Unreachable`] if the gateway didn't notice in time. That there
    /// is no such hold is none.
    pub fn override_hold(&self) -> Result<(), Failure> {
        let request = Request::override_hold(self.request.id.clone(), self.request.owner.clone());
        ending::withdraw(self, &request, None, Limits { time: self.patience, insists: false })
    }

    /// Begins, waits for drained, commits, acts and withdraws. The hold is given up on every path: after the act, on any
    /// failure before it, and when the act panics.
    ///
    /// # Errors
    /// A [`Failure`] before the act; the act was not run then.
    pub fn run<T>(&self, act: impl FnOnce(&Committed) -> T) -> Result<Done<T>, Failure> {
        let held = self.begin_for_run()?;
        let seen = held.wait()?;
        let committed = held.commit(&seen)?;
        let value = act(&committed);
        Ok(Done { value, withdrawn: committed.withdraw() })
    }
}

impl Drain {
    fn token_store(&self) -> Result<TokenStore, Failure> {
        self.tokens.clone().map_or_else(TokenStore::of_this_user, |folder| Ok(TokenStore::at(folder)))
    }

    /// What would be written makes sense.
    fn check(&self) -> Result<(), Failure> {
        let too_short = |what: &str, time: Duration| {
            Failure::Usage(format!("{what} of {} s is too short: at least 1 s", time.as_secs_f64()))
        };
        match (self.request.lease, self.request.deadline) {
            (Some(lease), _) if lease < LeasePolicy::MIN => Err(too_short("a lease", lease)),
            (_, Some(deadline)) if deadline.is_zero() => Err(too_short("a time for the act", deadline)),
            _ => Ok(()),
        }
    }

    /// What is to be said of what was asked for and will not be granted as it is.
    #[must_use]
    pub fn clamped(&self) -> Vec<String> {
        let policy = LeasePolicy::default();
        let longer = |what: &str, asked: Duration, limit: Duration| {
            let (asked, limit) = (asked.as_secs(), limit.as_secs());
            (asked > limit)
                .then(|| format!("{what} of {asked} s is longer than a gateway grants by default: {limit} s"))
        };
        let lease = self.request.lease.and_then(|lease| longer("a lease", lease, policy.max));
        let delay = longer("an unready delay", self.request.unready_delay, policy.max_unready_delay);
        lease.into_iter().chain(delay).collect()
    }
}

impl fmt::Debug for Drain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain")
            .field("gateway", &self.gateway)
            .field("request", &self.request)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// What came of an act.
#[derive(Debug)]
#[must_use = "the withdrawal may have failed, and then the gateway stays closed"]
pub struct Done<T> {
    /// What the act gave back.
    pub value: T,
    /// Whether the hold was given up afterwards, and the gateway noticed. [`Failure::Unreachable`] is what an act that
    /// ends the gateway brings about: over the files, the next process takes the withdrawal up.
    pub withdrawn: Result<(), Failure>,
}

/// A gateway was drained: this process, in this drain. To act, [commit](Held::commit) it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SeenDrained {
    /// Which process.
    pub incarnation: Incarnation,
    /// Which of its drains.
    pub generation: Generation,
}

impl SeenDrained {
    fn new(incarnation: Incarnation, generation: Generation) -> Self {
        Self { incarnation, generation }
    }
}

/// What a wait is waiting for, as of one look.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Progress {
    /// Which hold.
    pub request_id: RequestId,
    /// Where the gateway stands; none of this is known until it has been seen.
    pub state: Option<DrainState>,
    /// Which process.
    pub incarnation: Option<Incarnation>,
    /// Which of its drains.
    pub generation: Option<Generation>,
    /// Turns in flight.
    pub in_flight: u64,
    /// Internal work in flight.
    pub internal: u64,
    /// Closed and nothing in flight, by the gateway's own word. Only a [`SeenDrained`] is to be relied on.
    pub drained: bool,
    /// Nothing in flight has ended for a while.
    pub stalled: bool,
    /// The hold has not closed the gate yet.
    pub pending: bool,
    /// The oldest labelled work.
    pub active_work: Vec<WorkStatus>,
    /// What is left of the hold's lease, in seconds.
    pub lease_left_seconds: Option<f64>,
    /// How long it has been waited for, in seconds.
    pub waited_seconds: f64,
    /// What is left of the time given, in seconds.
    pub time_left_seconds: Option<f64>,
    /// Why nothing is heard of the gateway, if nothing is.
    pub silent: Option<String>,
}

#[cfg(test)]
mod tests;
