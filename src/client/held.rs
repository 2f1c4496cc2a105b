//! A hold in a controller's hands: its lease is kept by a thread, and it is given up on every path.
//!
//! [`Keeper::follow`] is the one wait: it writes until the write has gone through, looks, and lets the
//! [watch](super::watch) judge. Beginning, waiting and committing differ in what they write and when they are content.

use super::transport::{Sent, Withdrawal};
use super::watch::{Look, Verdict, Watch, Written};
use super::{Drain, Failure, Interrupt, Progress, SeenDrained};
use crate::clock::Clock;
use crate::hold::{Denied, Incarnation, Nonce, Request, RequestId};
use crate::sync::{Arc, Mutex};
use core::fmt;
use std::thread::JoinHandle;
use std::time::Duration;

/// Looks begin at this pace, and slow down while nothing changes.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// A heartbeat comes three times in a lease, and at least this often: a gateway that answers none is soon known.
const LONGEST_HEARTBEAT: Duration = Duration::from_secs(10);

/// How long the drop of a guard may take to give up its hold.
const DROP_LIMIT: Duration = Duration::from_secs(3);

/// The gate is held closed, and the lease is kept. Dropping it withdraws the hold; [`detach`](Self::detach) doesn't.
#[derive(Debug)]
#[must_use = "dropping it gives up the hold"]
pub struct Held {
    guard: Guard,
}

/// The right to act: the gateway was drained when it was granted, and stays so until this is withdrawn or dropped (E1).
#[must_use = "dropping it gives up the hold"]
pub struct Committed {
    guard: Guard,
    token: Nonce,
}

/// Gives its hold up when it is dropped, unless that has been done or is not wanted.
#[derive(Debug)]
struct Guard {
    keeper: Arc<Keeper>,
    heartbeat: Option<JoinHandle<()>>,
    armed: bool,
}

/// What the guard, its heartbeat and a wait share.
pub(super) struct Keeper {
    drain: Drain,
    clock: Clock,
    ledger: Mutex<Ledger>,
    watch: Mutex<Watch>,
    /// Ends the heartbeat.
    quiet: Interrupt,
}

// The token ends the hold, so no log is to have it.
impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").field("drain", &self.drain).finish_non_exhaustive()
    }
}

impl fmt::Debug for Committed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Committed").field("guard", &self.guard).finish_non_exhaustive()
    }
}

/// What has been written.
#[derive(Debug, Default)]
struct Ledger {
    nonces: Vec<Nonce>,
    answered: bool,
    written_at: Duration,
    commit: Option<Nonce>,
    /// What the heartbeat found out.
    lost: Option<Failure>,
}

/// What a wait is content with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    Answered,
    Drained(Option<Duration>),
    DrainedAtOnce,
    Committed,
}

impl Held {
    pub(super) fn begin(mut drain: Drain, interrupt: &Interrupt) -> Result<Self, Failure> {
        drain.request.lease.get_or_insert(Drain::LEASE);
        Self::hold(drain, interrupt, |keeper| keeper.drain.gateway.begin(&fresh(&keeper.drain.request)))
    }

    pub(super) fn attach(mut drain: Drain) -> Result<Self, Failure> {
        let found = drain.gateway.find(&drain.request.id, &drain.request.owner)?;
        let Some(found) = found else {
            return Err(Failure::Withdrawn("there is no such hold, or no more".into()));
        };
        drain.request = Request { lease: drain.request.lease.or(found.lease), ..found };
        let interrupt = drain.interrupt.clone();
        Self::hold(drain, &interrupt, Keeper::renew)
    }

    fn hold(
        drain: Drain,
        interrupt: &Interrupt,
        write: impl Fn(&Keeper) -> Result<Sent, Failure>,
    ) -> Result<Self, Failure> {
        let clock = Clock::boot();
        let watch = Mutex::new(Watch::new(drain.only_for.clone(), clock.now()));
        let ledger = Mutex::new(Ledger { written_at: clock.now(), ..Ledger::default() });
        let keeper = Arc::new(Keeper { drain, clock, ledger, watch, quiet: Interrupt::new() });
        let mut guard = Guard { keeper: Arc::clone(&keeper), heartbeat: None, armed: true };
        match keeper.follow(Until::Answered, interrupt, || write(&keeper)) {
            Ok(_) => {}
            Err(failure) => {
                // Somebody else's hold is not ours to give up; an interruption leaves things as they are.
                guard.armed = !matches!(failure, Failure::Denied(_) | Failure::Interrupted);
                return Err(failure);
            }
        }
        guard.heartbeat = Some(keeper.start_heartbeat()?);
        Ok(Self { guard })
    }

    /// The hold's name.
    #[must_use]
    pub fn request_id(&self) -> &RequestId {
        &self.guard.keeper.drain.request.id
    }

    /// The process that holds the gate closed.
    #[must_use]
    pub fn incarnation(&self) -> Option<Incarnation> {
        self.guard.keeper.watch.lock().process().cloned()
    }

    /// Waits until the gateway is drained, for as long as [`Drain::timeout`] says.
    ///
    /// # Errors
    /// Any [`Failure`]. The hold is still in hand.
    pub fn wait(&self) -> Result<SeenDrained, Failure> {
        self.guard.keeper.wait(&self.guard.keeper.drain.interrupt)
    }

    /// As [`wait`](Self::wait), but content with the first answer: the gateway is drained now, or it isn't.
    ///
    /// # Errors
    /// As of [`wait`](Self::wait); [`Failure::Deadline`] if it isn't.
    pub fn drained_now(&self) -> Result<SeenDrained, Failure> {
        let keeper = &self.guard.keeper;
        keeper.wait_until(Until::DrainedAtOnce, &keeper.drain.interrupt)
    }

    /// Trades "drained" for the right to act.
    ///
    /// # Errors
    /// [`Failure::Denied`], [`Failure::LeaseLost`] and others, if the gateway is no longer as it was seen; the hold is
    /// given up then.
    pub fn commit(mut self, seen: &SeenDrained) -> Result<Committed, Failure> {
        self.guard.end_heartbeat();
        let keeper = Arc::clone(&self.guard.keeper);
        let Request { id, owner, .. } = keeper.drain.request.clone();
        let commit = Request::commit(id, owner, seen.incarnation.clone(), seen.generation);
        let commit = Request { reason: keeper.drain.request.reason.clone(), ..commit };
        let commit = Request { deadline: keeper.drain.request.deadline, lease: keeper.drain.request.lease, ..commit };
        keeper.watch_anew();
        keeper.ledger.lock().nonces.clear();
        keeper.follow(Until::Committed, &keeper.drain.interrupt, || {
            // Noted before it is sent: whoever gives up a commit whose fate is unknown needs its token.
            keeper.ledger.lock().commit.clone_from(&commit.nonce);
            let sent = keeper.drain.gateway.commit(&commit)?;
            keeper.ledger.lock().commit = Some(sent.nonce.clone());
            Ok(sent)
        })?;
        let token = keeper.ledger.lock().commit.clone();
        let token = token.ok_or_else(|| Failure::Internal("a commit without a token".into()))?;
        Ok(Committed { guard: self.guard, token })
    }

    /// Lets go without withdrawing: the hold stays until its lease runs out.
    pub fn detach(mut self) {
        self.guard.armed = false;
    }

    /// Gives up the hold, and waits until the gateway has noticed.
    ///
    /// # Errors
    /// As of [`Drain::withdraw`].
    pub fn withdraw(self) -> Result<(), Failure> {
        self.guard.withdraw()
    }

    pub(super) fn keeper(&self) -> Arc<Keeper> {
        Arc::clone(&self.guard.keeper)
    }
}

impl Committed {
    /// The hold's name.
    #[must_use]
    pub fn request_id(&self) -> &RequestId {
        &self.guard.keeper.drain.request.id
    }

    /// What its withdrawal has to bear.
    #[must_use]
    pub fn token(&self) -> &Nonce {
        &self.token
    }

    /// Lets go without withdrawing: the gate stays closed until somebody withdraws the hold with its
    /// [`token`](Self::token), overrides it or shuts the gateway down.
    #[must_use = "the token is the owner's only way to reopen the gate"]
    pub fn detach(mut self) -> Nonce {
        self.guard.armed = false;
        self.token.clone()
    }

    /// Gives up the hold after the act, and waits until the gateway has noticed.
    ///
    /// # Errors
    /// As of [`Drain::withdraw`].
    pub fn withdraw(self) -> Result<(), Failure> {
        self.guard.withdraw()
    }
}

impl Guard {
    fn end_heartbeat(&mut self) {
        self.keeper.quiet.raise();
        if let Some(heartbeat) = self.heartbeat.take() {
            // Its panic would be a defect of its own; the hold is given up all the same.
            let _ = heartbeat.join();
        }
    }

    fn withdraw(mut self) -> Result<(), Failure> {
        self.end_heartbeat();
        self.armed = false;
        self.keeper.give_up(self.keeper.drain.patience)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.end_heartbeat();
        if self.armed {
            // There is nobody to tell; whoever wants to know calls `withdraw`.
            let _ = self.keeper.give_up(self.keeper.drain.patience.min(DROP_LIMIT));
        }
    }
}

impl Keeper {
    fn start_heartbeat(self: &Arc<Self>) -> Result<JoinHandle<()>, Failure> {
        let keeper = Arc::clone(self);
        let lease = self.drain.request.lease.unwrap_or(Drain::LEASE);
        let period = (lease / 3).min(LONGEST_HEARTBEAT);
        let beat = move || {
            while !keeper.quiet.pause(period) {
                match keeper.renew() {
                    Ok(sent) => keeper.note(sent),
                    // The next beat may get through; meanwhile the waiter sees for itself that nothing answers.
                    Err(failure) if failure.is_silence() => {}
                    Err(failure) => {
                        keeper.ledger.lock().lost = Some(failure);
                        return;
                    }
                }
            }
        };
        let named = std::thread::Builder::new().name("gateway-drain-heartbeat".into());
        named.spawn(beat).map_err(|error| Failure::Internal(format!("no thread for the heartbeat: {error}")))
    }

    /// Renews the lease, unless it has run out: that would begin another hold behind everybody's back.
    fn renew(&self) -> Result<Sent, Failure> {
        let (last, since) = {
            let ledger = self.ledger.lock();
            (ledger.nonces.last().cloned(), self.clock.now().saturating_sub(ledger.written_at))
        };
        if self.drain.request.lease.is_some_and(|lease| since >= lease) && last.is_some() {
            return Err(Failure::LeaseLost(format!("the lease ran out: it was not renewed for {} s", since.as_secs())));
        }
        self.drain.gateway.renew(&fresh(&self.drain.request), last.as_ref())
    }

    fn note(&self, sent: Sent) {
        let mut ledger = self.ledger.lock();
        ledger.nonces.push(sent.nonce);
        ledger.answered = sent.answered;
        ledger.written_at = self.clock.now();
    }

    fn watch_anew(&self) {
        self.watch.lock().begin_again(self.clock.now());
    }

    /// How an async wait is told to stop: with all waits of this drain, or alone.
    pub(super) fn interrupt(&self) -> Interrupt {
        self.drain.interrupt.child()
    }

    pub(super) fn wait(&self, interrupt: &Interrupt) -> Result<SeenDrained, Failure> {
        self.wait_until(Until::Drained(self.drain.timeout), interrupt)
    }

    fn wait_until(&self, until: Until, interrupt: &Interrupt) -> Result<SeenDrained, Failure> {
        self.watch_anew();
        let followed = self.follow(until, interrupt, || self.renew());
        if matches!(followed, Err(Failure::Withdrawn(_) | Failure::LeaseLost(_))) {
            self.quiet.raise();
            self.drain.gateway.take_back(&self.drain.request.id, &self.ledger.lock().nonces);
        }
        followed?.ok_or_else(|| Failure::Internal("a wait that ended with nothing seen".into()))
    }

    /// Writes until the write has gone through, and looks until `until` is so.
    fn follow(
        &self,
        until: Until,
        interrupt: &Interrupt,
        write: impl Fn() -> Result<Sent, Failure>,
    ) -> Result<Option<SeenDrained>, Failure> {
        let began = self.clock.now();
        let from = self.ledger.lock().nonces.len();
        let (mut written, mut pause, mut last) = (false, FIRST_PAUSE, None);
        let limit = if let Until::Drained(timeout) = until { timeout } else { None };
        loop {
            if interrupt.is_raised() {
                return Err(Failure::Interrupted);
            }
            let mut unwritten = None;
            if !written {
                match write() {
                    Ok(sent) => {
                        written = !sent.repeat;
                        self.note(sent);
                    }
                    Err(failure) if failure.is_silence() => unwritten = Some(failure),
                    Err(failure) => return Err(failure),
                }
            }
            let look = self.drain.gateway.look(&self.drain.request.id);
            let (verdict, silence) = self.judge(&look, from);
            let alive = matches!(look, Look::Seen(_) | Look::Starting(_));
            let waited = self.clock.now().saturating_sub(began);
            let over = limit.is_some_and(|limit| waited >= limit);
            let progress = Progress::of(&self.drain, &look, &verdict, waited, limit);
            if let Some(tell) = &self.drain.on_progress {
                tell(&progress);
            }
            if let Some(lost) = self.ledger.lock().lost.clone() {
                return Err(lost);
            }
            let deadline = || {
                let in_flight = progress.in_flight + progress.internal;
                Failure::Deadline { in_flight, active_work: progress.active_work.clone() }
            };
            match (verdict, until) {
                (Verdict::Over(failure), _) => return Err(failure),
                // A living gateway takes a tick to answer, and has it also where the time given is shorter.
                (Verdict::Silent(why), _) if silence >= self.drain.patience || (over && !alive) => {
                    return Err(unwritten.unwrap_or(Failure::Unreachable(why)));
                }
                (_, _) if silence >= self.drain.patience => {
                    let why = format!("it lives and has acknowledged nothing for {} s", silence.as_secs());
                    return Err(Failure::Unreachable(why));
                }
                (Verdict::Committed, Until::Committed) | (Verdict::Standing | Verdict::Drained(_), Until::Answered) => {
                    return Ok(None);
                }
                (Verdict::Committed, _) => return Err(Denied::Committed.into()),
                (Verdict::Drained(seen), Until::Drained(_) | Until::DrainedAtOnce) => {
                    // Once more: the status may be the last word of a process that died after it.
                    let again = self.drain.gateway.look(&self.drain.request.id);
                    if let (Verdict::Drained(still), _) = self.judge(&again, from)
                        && still == seen
                    {
                        return Ok(Some(seen));
                    }
                }
                (Verdict::Standing, Until::DrainedAtOnce) => return Err(deadline()),
                (Verdict::Standing, _) if over => return Err(deadline()),
                (Verdict::Silent(_) | Verdict::Standing | Verdict::Drained(_), _) => {}
            }
            let told = (progress.in_flight, progress.internal, progress.silent);
            pause = if last.as_ref() == Some(&told) { (pause * 5 / 4).min(LONGEST_PAUSE) } else { FIRST_PAUSE };
            last = Some(told);
            interrupt.pause(limit.map_or(pause, |limit| pause.min(limit.saturating_sub(waited)).max(FIRST_PAUSE)));
        }
    }

    fn judge(&self, look: &Look, from: usize) -> (Verdict, Duration) {
        let now = self.clock.now();
        let ledger = self.ledger.lock();
        let nonces = ledger.nonces.get(from..).unwrap_or_default();
        let written = Written { nonces, answered: ledger.answered && !nonces.is_empty() };
        let mut watch = self.watch.lock();
        let verdict = watch.judge(look, written, now);
        (verdict, watch.silence(now))
    }

    /// Withdraws what was begun; with the token, if a commit was sent.
    fn give_up(&self, limit: Duration) -> Result<(), Failure> {
        let token = self.ledger.lock().commit.clone();
        withdraw(&self.drain, token, limit)
    }
}

/// Withdraws a hold, and waits until the gateway has noticed.
pub(super) fn withdraw(drain: &Drain, token: Option<Nonce>, limit: Duration) -> Result<(), Failure> {
    let Request { id, owner, .. } = drain.request.clone();
    end(drain, &Request { token, ..Request::withdraw(id, owner) }, limit)
}

/// Has a hold ended by this request, a withdrawal or an override, and waits until the gateway has noticed.
pub(super) fn end(drain: &Drain, request: &Request, limit: Duration) -> Result<(), Failure> {
    let (clock, pauses) = (Clock::boot(), Interrupt::new());
    let began = clock.now();
    let (mut written, mut last) = (false, None);
    loop {
        if !written {
            match drain.gateway.end(request) {
                Ok(Withdrawal::Done) => return Ok(()),
                Ok(Withdrawal::Nothing | Withdrawal::Written) => written = true,
                Err(failure) if failure.is_silence() => last = Some(failure),
                Err(failure) => return Err(failure),
            }
        }
        if written && drain.gateway.has_ended(request)? {
            return Ok(());
        }
        if clock.now().saturating_sub(began) >= limit {
            let why = "the request is written, and no gateway has noticed it; the next one to run there will";
            return Err(last.filter(|_| !written).unwrap_or_else(|| Failure::Unreachable(why.into())));
        }
        pauses.pause(FIRST_PAUSE);
    }
}

/// The same request as another write.
fn fresh(request: &Request) -> Request {
    Request { nonce: Some(Nonce::fresh()), ..request.clone() }
}

impl Progress {
    fn of(drain: &Drain, look: &Look, verdict: &Verdict, waited: Duration, limit: Option<Duration>) -> Self {
        let sight = if let Look::Seen(sight) = look { Some(sight.as_ref()) } else { None };
        let hold = sight.and_then(|sight| sight.hold.as_ref());
        let silent = if let Verdict::Silent(why) = verdict { Some(why.clone()) } else { None };
        Self {
            request_id: drain.request.id.clone(),
            state: sight.map(|sight| sight.state),
            incarnation: sight.map(|sight| sight.incarnation.clone()),
            generation: sight.map(|sight| sight.generation),
            in_flight: sight.map_or(0, |sight| sight.in_flight),
            internal: sight.map_or(0, |sight| sight.internal),
            drained: sight.is_some_and(|sight| sight.drained),
            stalled: sight.is_some_and(|sight| sight.stalled),
            pending: hold.is_some_and(|hold| hold.pending),
            active_work: sight.map(|sight| sight.active_work.clone()).unwrap_or_default(),
            lease_left_seconds: hold.and_then(|hold| hold.lease_left).map(|left| left.as_secs_f64()),
            waited_seconds: waited.as_secs_f64(),
            time_left_seconds: limit.map(|limit| limit.saturating_sub(waited).as_secs_f64()),
            silent,
        }
    }
}
