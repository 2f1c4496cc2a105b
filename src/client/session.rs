//! A hold as it is followed: what has been written, what was seen, the lease that is kept, and the one wait.
//!
//! [`Session::follow`] writes until the write has gone through, looks, and lets the [watch](super::watch) judge. Beginning,
//! waiting and committing differ in what they write and when they are content. A step that follows at once on the one before
//! carries on what that one proved, and writes nothing of its own.

use super::chain::{Chain, InHand};
use super::transport::WriteReceipt;
use super::watch::{GatewayView, Verdict, WaitState, Written};
use super::{Drain, Failure, Interrupt, Progress, SeenDrained};
use crate::clock::Clock;
use crate::hold::{Denied, Incarnation, Nonce, Request};
use crate::status::WorkStatus;
use crate::sync::{Arc, Mutex};
use core::fmt;
use std::thread::JoinHandle;
use std::time::Duration;

/// Looks begin at this pace, and slow down while nothing changes.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// The pause after this one, if nothing has changed.
pub(super) fn slower(pause: Duration) -> Duration {
    (pause * 5 / 4).min(LONGEST_PAUSE)
}

/// A heartbeat comes three times in a lease, and at least this often: a gateway that answers none is soon known.
const LONGEST_HEARTBEAT: Duration = Duration::from_secs(10);

/// A step that begins later than this after the one before wants a write of its own.
const AT_ONCE: Duration = Duration::from_secs(1);

/// As many writes are remembered: there is one file, so no more than the last few lie where they can be answered.
const REMEMBERED: usize = 32;

/// What the guard of a hold, its heartbeat and a wait share.
pub(super) struct Session {
    pub(super) drain: Drain,
    /// Whose writes these are.
    chain: Chain,
    clock: Clock,
    log: Mutex<WriteLog>,
    watch: Mutex<WaitState>,
    /// Ends the heartbeat.
    pub(super) quiet: Interrupt,
}

// The token ends the hold, so no log is to have it.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("drain", &self.drain).finish_non_exhaustive()
    }
}

/// What has been written.
#[derive(Debug, Default)]
struct WriteLog {
    nonces: Vec<Nonce>,
    /// The newest write of the hold, in whichever wait it was made.
    last: Option<Nonce>,
    answered: bool,
    written_at: Duration,
    /// How long the hold lasts by the last write, as far as that is known.
    lease: Option<Duration>,
    /// Something may have been written, whether or not an answer came.
    sent: bool,
    /// Why the last renewal came to nothing.
    unwritten: Option<Failure>,
    /// What the heartbeat found out.
    lost: Option<Failure>,
    /// What was in flight when the gateway was last seen.
    left: Option<(u64, Vec<WorkStatus>)>,
}

/// What a wait is content with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    Answered,
    Drained(Option<Duration>),
    DrainedAtOnce,
    Committed,
}

impl Session {
    pub(super) fn new(drain: Drain, in_hand: InHand) -> Self {
        // It looks again by itself, for as long as it has patience.
        let drain = Drain { gateway: drain.gateway.once(), ..drain };
        let clock = Clock::boot();
        let watch = WaitState::new(drain.only_for.clone(), clock.now()).of_one_first_seen(in_hand.first_seen);
        let watch = Mutex::new(watch);
        let log = Mutex::new(WriteLog { written_at: clock.now(), last: in_hand.last, ..WriteLog::default() });
        Self { drain, chain: in_hand.chain, clock, log, watch, quiet: Interrupt::new() }
    }

    /// The hold that this is about.
    pub(super) fn in_hand(&self) -> InHand {
        let (last, written) = {
            let log = self.log.lock();
            (log.last.clone(), log.nonces.last().cloned())
        };
        InHand { chain: self.chain.clone(), first_seen: self.watch.lock().first_seen(), last, written }
    }

    /// Whether something may have been written: then there may be something to take back.
    pub(super) fn has_sent(&self) -> bool {
        self.log.lock().sent
    }

    /// Whether any write was answered.
    pub(super) fn was_heard(&self) -> bool {
        self.log.lock().last.is_some()
    }

    /// Notes that this write is about to be sent.
    pub(super) fn sending(&self) {
        self.log.lock().sent = true;
    }

    /// Notes a write whose answer may be lost: it is looked for by its nonce.
    pub(super) fn expecting(&self, nonce: &Nonce) {
        let mut log = self.log.lock();
        log.nonces = vec![nonce.clone()];
        log.answered = false;
    }

    /// The process that holds the gate closed.
    pub(super) fn process(&self) -> Option<Incarnation> {
        self.watch.lock().process().cloned()
    }

    /// The same request as another write of the chain.
    pub(super) fn another_write(&self) -> Request {
        Request { nonce: Some(self.chain.next()), ..self.drain.request.clone() }
    }

    pub(super) fn start_heartbeat(self: &Arc<Self>) -> Result<JoinHandle<()>, Failure> {
        let session = Arc::clone(self);
        let beat = move || while !session.quiet.pause(session.period()) && session.beats() {};
        let named = std::thread::Builder::new().name("gateway-drain-heartbeat".into());
        named.spawn(beat).map_err(|error| Failure::Internal(format!("no thread for the heartbeat: {error}")))
    }

    /// How long after one renewal the next one comes.
    fn period(&self) -> Duration {
        (self.lease().unwrap_or(Drain::LEASE) / 3).min(LONGEST_HEARTBEAT)
    }

    /// Renews the lease once; tells whether that may be done again.
    fn beats(&self) -> bool {
        match self.renew() {
            Ok(sent) => self.note(sent),
            // The next beat may get through; meanwhile the waiter sees for itself that nothing answers.
            Err(failure) if failure.is_silence() => self.log.lock().unwritten = Some(failure),
            Err(failure) => {
                self.log.lock().lost = Some(failure);
                return false;
            }
        }
        true
    }

    /// Renews the lease, unless it has run out: that would begin another hold behind everybody's back.
    pub(super) fn renew(&self) -> Result<WriteReceipt, Failure> {
        let (was_written, since) = {
            let log = self.log.lock();
            (!log.nonces.is_empty(), self.clock.now().saturating_sub(log.written_at))
        };
        if self.lease().is_some_and(|lease| since >= lease) && was_written {
            return Err(Failure::LeaseLost(format!("the lease ran out: it was not renewed for {} s", since.as_secs())));
        }
        self.sending();
        self.drain.gateway.renew(&self.another_write(), &self.in_hand())
    }

    /// How long the hold lasts without a renewal, as far as that is known.
    fn lease(&self) -> Option<Duration> {
        self.log.lock().lease.or(self.drain.request.lease)
    }

    fn note(&self, sent: WriteReceipt) {
        let mut log = self.log.lock();
        log.last = Some(sent.nonce.clone());
        if log.nonces.last() != Some(&sent.nonce) {
            log.nonces.push(sent.nonce);
        }
        // Only the last few can still be answered.
        let old = log.nonces.len().saturating_sub(REMEMBERED);
        log.nonces.drain(..old);
        log.answered = sent.answered;
        self.watch.lock().know_first_seen(sent.first_seen);
        log.unwritten = None;
        log.lease = sent.lease.or(log.lease);
        log.written_at = self.clock.now();
    }

    pub(super) fn watch_again(&self) {
        self.watch.lock().begin_again(self.clock.now());
    }

    /// How an async wait is told to stop: with all waits of this drain, or alone.
    pub(super) fn interrupt(&self) -> Interrupt {
        self.drain.interrupt.child()
    }

    pub(super) fn wait(&self, interrupt: &Interrupt) -> Result<SeenDrained, Failure> {
        self.wait_until(Goal::Drained(self.drain.timeout), interrupt)
    }

    /// Waits by a write that was made since this wait began. That is the last step's own, if the wait follows at once: it was
    /// acknowledged, and what it proved has not been let out of sight.
    pub(super) fn wait_until(&self, until: Goal, interrupt: &Interrupt) -> Result<SeenDrained, Failure> {
        let now = self.clock.now();
        let carries_on = {
            let mut watch = self.watch.lock();
            let at_once = now.saturating_sub(watch.heard_at()) <= AT_ONCE;
            if at_once {
                watch.carry_on(now);
            } else {
                watch.begin_again(now);
            }
            at_once
        };
        if !carries_on {
            self.log.lock().nonces.clear();
        }
        let followed = self.follow(until, interrupt, carries_on, || self.renew());
        if matches!(followed, Err(Failure::Withdrawn(_) | Failure::LeaseLost(_))) {
            self.quiet.raise();
            self.drain.gateway.take_back(&self.drain.request.id, &self.chain);
        }
        followed?.ok_or_else(|| Failure::Internal("a wait that ended with nothing seen".into()))
    }

    /// Writes until the write has gone through, unless that `written` already, and looks until `until` is so.
    pub(super) fn follow(
        &self,
        until: Goal,
        interrupt: &Interrupt,
        mut written: bool,
        write: impl Fn() -> Result<WriteReceipt, Failure>,
    ) -> Result<Option<SeenDrained>, Failure> {
        let began = self.clock.now();
        let (mut pause, mut last) = (FIRST_PAUSE, None);
        let limit = if let Goal::Drained(timeout) = until { timeout } else { None };
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
                    Err(failure) if failure.is_silence() => {
                        if self.silence() >= self.drain.patience {
                            return Err(failure);
                        }
                        unwritten = Some(failure);
                    }
                    Err(failure) => return Err(failure),
                }
            }
            let before = self.drain.gateway.glance();
            let look = self.drain.gateway.look(&self.drain.request.id);
            let (mut verdict, silence) = self.judge(&look);
            if written && matches!(verdict, Verdict::Silent(_)) && self.is_replaced(&look) {
                // The same once more, if what lies there lets it.
                written = false;
                verdict = Verdict::Silent("others have written over the request before it was read".into());
            }
            let waited = self.clock.now().saturating_sub(began);
            let over = limit.is_some_and(|limit| waited >= limit);
            let mut progress = Progress::of(&self.drain, &look, &verdict, waited, limit);
            let unwritten = unwritten.or_else(|| self.log.lock().unwritten.clone());
            if let (Some(Failure::Unreachable(why)), Verdict::Silent(_)) = (&unwritten, &verdict) {
                progress.silent = Some(why.clone());
            }
            // What ends the wait is told as its failure.
            if let (Some(tell), false) = (&self.drain.on_progress, matches!(verdict, Verdict::Over(_))) {
                tell(&progress);
            }
            if let Some(lost) = self.log.lock().lost.clone() {
                return Err(lost);
            }
            if let GatewayView::Seen(view) = &look {
                self.log.lock().left = Some((view.in_flight + view.internal, view.active_work.clone()));
            }
            let deadline = || {
                let left = self.log.lock().left.clone().unwrap_or_default();
                Failure::Deadline { in_flight: left.0, active_work: left.1 }
            };
            let impatient = silence >= self.drain.patience;
            match (verdict, until) {
                (Verdict::Over(failure), _) => return Err(failure),
                (Verdict::Silent(why), _) => match after_silence(&look, over, impatient, self.saw_work()) {
                    AfterSilence::GoesOn => {}
                    AfterSilence::TimeIsOver => return Err(deadline()),
                    AfterSilence::IsUnreachable => return Err(unwritten.unwrap_or(Failure::Unreachable(why))),
                },
                (_, _) if impatient => {
                    let why = format!("it lives and has acknowledged nothing for {} s", silence.as_secs());
                    return Err(unwritten.unwrap_or(Failure::Unreachable(why)));
                }
                (Verdict::Committed, Goal::Committed) | (Verdict::Standing | Verdict::Drained(_), Goal::Answered) => {
                    return Ok(None);
                }
                (Verdict::Committed, _) => return Err(Denied::Committed.into()),
                (Verdict::Drained(seen), Goal::Drained(_) | Goal::DrainedAtOnce) => {
                    // Once more: the status may be the last word of a process that died after it.
                    let again = self.drain.gateway.look(&self.drain.request.id);
                    if let (Verdict::Drained(still), _) = self.judge(&again)
                        && still == seen
                    {
                        return Ok(Some(seen));
                    }
                }
                (Verdict::Standing, Goal::DrainedAtOnce) if progress.pending => {
                    return Err(Denied::NotClosedYet.into());
                }
                (Verdict::Standing, Goal::DrainedAtOnce) => return Err(deadline()),
                (Verdict::Standing, _) if over => return Err(deadline()),
                (Verdict::Standing | Verdict::Drained(_), _) => {}
            }
            let told = (progress.in_flight, progress.internal, progress.silent);
            pause = if last.as_ref() == Some(&told) { slower(pause) } else { FIRST_PAUSE };
            last = Some(told);
            let next = limit.map_or(pause, |limit| pause.min(limit.saturating_sub(waited)).max(FIRST_PAUSE));
            self.drain.gateway.pause(&self.drain.request.id, interrupt, &before, next);
        }
    }

    /// Whether another write has taken the place of ours, and the gateway answers that one alone.
    fn is_replaced(&self, look: &GatewayView) -> bool {
        let GatewayView::Seen(view) = look else { return false };
        let ours = self.log.lock().nonces.last().cloned();
        ours.is_some_and(|ours| self.drain.gateway.is_replaced(&self.drain.request.id, &ours, &view.answers))
    }

    fn saw_work(&self) -> bool {
        self.log.lock().left.as_ref().is_some_and(|(in_flight, _)| *in_flight > 0)
    }

    fn silence(&self) -> Duration {
        self.watch.lock().silence(self.clock.now())
    }

    fn judge(&self, look: &GatewayView) -> (Verdict, Duration) {
        let now = self.clock.now();
        let log = self.log.lock();
        let nonces = &log.nonces;
        let written = Written { nonces, answered: log.answered && !nonces.is_empty() };
        let mut watch = self.watch.lock();
        let verdict = watch.judge(look, written, now);
        (verdict, watch.silence(now))
    }
}

/// What becomes of a wait after a look that said nothing of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AfterSilence {
    GoesOn,
    TimeIsOver,
    IsUnreachable,
}

fn after_silence(look: &GatewayView, over: bool, impatient: bool, saw_work: bool) -> AfterSilence {
    let alive = matches!(look, GatewayView::Seen(_) | GatewayView::Starting(_));
    let dead = matches!(look, GatewayView::Dead(_) | GatewayView::ShutDown(_));
    if impatient {
        AfterSilence::IsUnreachable
    } else if !over || alive {
        // A living gateway takes a tick to answer, and has it also where the time given is shorter.
        AfterSilence::GoesOn
    } else if saw_work && !dead {
        // Out of sight for a moment, and with work left when it was seen last.
        AfterSilence::TimeIsOver
    } else {
        AfterSilence::IsUnreachable
    }
}

impl Progress {
    fn of(drain: &Drain, look: &GatewayView, verdict: &Verdict, waited: Duration, limit: Option<Duration>) -> Self {
        let view = if let GatewayView::Seen(view) = look { Some(view.as_ref()) } else { None };
        let hold = view.and_then(|view| view.hold.as_ref());
        let silent = if let Verdict::Silent(why) = verdict { Some(why.clone()) } else { None };
        Self {
            request_id: drain.request.id.clone(),
            state: view.map(|view| view.state),
            incarnation: view.map(|view| view.incarnation.clone()),
            generation: view.map(|view| view.generation),
            in_flight: view.map_or(0, |view| view.in_flight),
            internal: view.map_or(0, |view| view.internal),
            drained: view.is_some_and(|view| view.drained),
            stalled: view.is_some_and(|view| view.stalled),
            pending: hold.is_some_and(|hold| hold.pending),
            active_work: view.map(|view| view.active_work.clone()).unwrap_or_default(),
            lease_left_seconds: hold.and_then(|hold| hold.lease_left).map(|left| left.as_secs_f64()),
            waited_seconds: waited.as_secs_f64(),
            time_left_seconds: limit.map(|limit| limit.saturating_sub(waited).as_secs_f64()),
            silent,
        }
    }
}

#[cfg(test)]
mod tests;
