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
//! [`Held`] and [`Committed`] give their hold up when they are dropped, also by a panic.
//!
//! The steps block. [`Drain::run_async`] and [`Drain::begin_async`] do the same on a thread of their own and want no
//! particular async runtime.
//!
//! It relies on the file channel and the published status, or on the endpoint's wire format (`docs/http.md`); the command
//! line relies on it.

pub(crate) mod agent;
mod asynchronous;
mod failure;
mod files;
mod held;
mod http;
mod interrupt;
mod transport;
mod watch;

pub use asynchronous::{AsyncCommitted, AsyncHeld, Doing};
pub use failure::{ExitCode, Failure};
pub use held::{Committed, Held};
pub use interrupt::Interrupt;
pub use transport::Gateway;

use crate::gate::Generation;
use crate::hold::{Incarnation, Nonce, Request, RequestId};
use crate::state::DrainState;
use crate::status::{Readout, WorkStatus};
use crate::sync::Arc;
use core::fmt;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

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
    interrupt: Interrupt,
    on_progress: Option<Arc<Tell>>,
}

/// Whoever is told of progress.
type Tell = dyn Fn(&Progress) + Send + Sync;

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
            interrupt: Interrupt::new(),
            on_progress: None,
        }
    }

    /// Under this name. Whoever begins a hold that is theirs already renews it.
    pub fn id(mut self, id: RequestId) -> Self {
        self.request.id = id;
        self
    }

    /// Why, for people.
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.request.reason = reason.into();
        self
    }

    /// How long the hold outlives its controller. Default: [`LEASE`](Self::LEASE), or what a hold that is
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
    /// Any [`Failure`] but a deadline. The hold is given up again, unless it was [interrupted](Failure::Interrupted).
    pub fn begin(&self) -> Result<Held, Failure> {
        Held::begin(self.clone(), &self.interrupt)
    }

    /// Takes up a hold of the same owner that is there already, and keeps its lease from then on. What its request
    /// said stays as it is.
    ///
    /// # Errors
    /// [`Failure::Withdrawn`] if there is no such hold, [`Failure::LeaseLost`] if it has run out, and others.
    pub fn attach(&self) -> Result<Held, Failure> {
        Held::attach(self.clone())
    }

    /// Ends the hold, and waits until the gateway has noticed. A committed one wants its token.
    ///
    /// # Errors
    /// [`Failure::Denied`] for somebody else's hold, and for a commit without its token. [`Failure::Unreachable`] if the
    /// gateway didn't notice in time; over the files it will, as soon as it runs.
    pub fn withdraw(&self, token: Option<Nonce>) -> Result<(), Failure> {
        held::withdraw(self, token, self.patience)
    }

    /// Ends the hold whoever's it is, committed or not, and waits until the gateway has noticed. For a hold whose owner is
    /// gone for good: one who is still acting is cut off.
    ///
    /// Over HTTP it wants a token with the scope `override`; over the files, whoever may write in the home may do it. Either
    /// way the gateway records it as an override, by this owner; but the marker is simply removed, which is its withdrawal.
    ///
    /// # Errors
    /// [`Failure::Denied`] without that right, and [`Failure::Unreachable`] if the gateway didn't notice in time. That there
    /// is no such hold is none.
    pub fn override_hold(&self) -> Result<(), Failure> {
        let request = Request::override_hold(self.request.id.clone(), self.request.owner.clone());
        held::end(self, &request, self.patience)
    }

    /// Begins, waits for drained, commits, acts and withdraws. The hold is given up on every path: after the act, on any
    /// failure before it, and when the act panics.
    ///
    /// # Errors
    /// A [`Failure`] before the act; the act was not run then.
    pub fn run<T>(&self, act: impl FnOnce(&Committed) -> T) -> Result<Done<T>, Failure> {
        let held = match self.begin() {
            Err(Failure::Interrupted) => {
                // Of a begin that was interrupted nothing more may be heard; the interruption is what is told.
                let _ = self.withdraw(None);
                return Err(Failure::Interrupted);
            }
            begun => begun?,
        };
        let seen = held.wait()?;
        let committed = held.commit(&seen)?;
        let value = act(&committed);
        Ok(Done { value, withdrawn: committed.withdraw() })
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

/// What a gateway says to anybody who asks: the reference's readout, and the drain.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// The reference's fields.
    #[serde(flatten)]
    pub readout: Readout,
    /// The drain, as far as this way of asking shows it: over the files everything, over HTTP what is public.
    pub drain: Option<Value>,
}
