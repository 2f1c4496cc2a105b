//! One gateway's part in a fleet: a slot is taken before its gate closes, and given back once the gateway itself says that it
//! runs and is ready.

use super::etcd::{Etcd, Trouble};
use super::ready::{lives, unready};
use super::server::ServerAnswer;
use super::slot::{End, Ending, Left, Stored, Taker, Taking, Whereabouts};
use super::{Engine, Fleet, address};
use crate::client::{CameToNothing, Committed, Done, Drain, Failure, Gateway, Interrupt};
use crate::clock::Clock;
use crate::sync::Arc;
use core::fmt;
use std::time::Duration;

/// So often a transaction is tried again at once whose comparison failed.
const CONFLICTS: u32 = 20;

/// What is paused between two looks at the slots, at least and at most.
const PAUSE: [Duration; 2] = [Duration::from_millis(500), Duration::from_millis(1500)];

/// The same where the gateway is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// A gateway to be rolled as part of a fleet: it takes a slot, is drained, acted on and reopened, and the slot is given back
/// once it runs again.
///
/// ```no_run
/// use gateway_drain::client::{Drain, Failure, Gateway};
/// use gateway_drain::fleet::{Fleet, Roll};
/// # fn restart() -> std::io::Result<()> { Ok(()) }
///
/// let fleet = Fleet::at("etcd://10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379", "web")?;
/// let gateway = Gateway::over_http("http://10.0.1.7:8080", None)?;
/// let done = Roll::of(&fleet, gateway.clone()).run(&Drain::of(gateway, "deploy-bot"), |_committed| restart())?;
/// done.done.value.expect("it was restarted");
/// done.slot?; // the gateway was seen running, and has given its slot back
/// # Ok::<(), Failure>(())
/// ```
#[derive(Clone)]
#[must_use = "no slot is taken until it is asked for"]
pub struct Roll<'f> {
    fleet: &'f Fleet,
    gateway: Gateway,
    id: String,
    timeout: Option<Duration>,
    ready_within: Duration,
    interrupt: Interrupt,
    on_waiting: Option<Arc<WaitingCallback>>,
}

/// The callback for waiting.
type WaitingCallback = dyn Fn(&Waiting) + Send + Sync;

/// What is waited for before a slot is free.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Waiting {
    /// The group.
    pub group: String,
    /// How many slots there are, where that is told.
    pub total_slots: Option<u32>,
    /// The ids that have one, where that is told.
    pub holders: Vec<String>,
    /// What the server says, or why nothing is heard.
    pub says: Option<String>,
    /// How long it has been waited for.
    pub waited: Duration,
    /// What is left of the time given.
    pub time_left: Option<Duration>,
}

/// A slot, taken for a gateway. Dropped, it stays taken: that is what a controller leaves that dies.
#[must_use = "a slot that is not ended stays taken"]
pub struct Slot<'f> {
    roll: Roll<'f>,
    taker: Taker,
}

/// What came of giving a slot back.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// It is free.
    GivenBack,
    /// It stays, and why.
    Left(Left),
    /// Somebody had given it back by hand already.
    Gone,
}

/// What came of a [`Roll::run`].
#[derive(Debug)]
#[must_use = "the gateway may have kept its slot, and then the fleet stops there"]
pub struct Rolled<T> {
    /// What the act gave back, and whether the hold was given up.
    pub done: Done<T>,
    /// What became of the slot: [`Failure::SlotKept`] if it stays because of how this ended.
    pub slot: Result<Ended, Failure>,
}

enum Tried {
    Taken,
    Full(Waiting),
}

impl<'f> Roll<'f> {
    /// How long a gateway may take to run again after the act: 10 minutes.
    pub const READY_WITHIN: Duration = Duration::from_secs(600);

    /// Of this gateway. Its id in the fleet is its host's name and its home, or its address.
    pub fn of(fleet: &'f Fleet, gateway: Gateway) -> Self {
        let id = address::id_of(&gateway);
        let (timeout, ready_within, interrupt) = (None, Self::READY_WITHIN, Interrupt::new());
        Self { fleet, gateway, id, timeout, ready_within, interrupt, on_waiting: None }
    }

    /// Under this id: the gateway's, and not the controller's, so that a later controller that comes back for the gateway has its slot still.
    ///
    /// # Errors
    /// [`Failure::Usage`] for one that is empty or longer than 1 KiB.
    pub fn id(mut self, id: &str) -> Result<Self, Failure> {
        self.id = address::id(id)?;
        Ok(self)
    }

    /// How long to wait for a slot. Without it, as long as it takes.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How long the gateway may take to run again. Default: [`READY_WITHIN`](Self::READY_WITHIN).
    pub fn ready_within(mut self, time: Duration) -> Self {
        self.ready_within = time;
        self
    }

    /// Lets somebody else stop the waiting.
    pub fn interrupt(mut self, interrupt: Interrupt) -> Self {
        self.interrupt = interrupt;
        self
    }

    /// Tells of every look while a slot is waited for.
    pub fn on_waiting(mut self, tell: impl Fn(&Waiting) + Send + Sync + 'static) -> Self {
        self.on_waiting = Some(Arc::new(tell));
        self
    }

    /// The gateway's id in the fleet.
    #[must_use]
    pub fn gateway_id(&self) -> &str {
        &self.id
    }

    /// Waits for a slot, and takes it. The gate is open meanwhile.
    ///
    /// # Errors
    /// [`Failure::NoSlot`] when the time is over, [`Failure::Fleet`] if the slots can't be reached for
    /// [`Fleet::patience`], [`Failure::Unreachable`] if no gateway answers, which is asked first. Nothing is taken then.
    pub fn take(&self) -> Result<Slot<'f>, Failure> {
        self.until(self.fleet.patience, || lives(&self.gateway.once()))?;
        let (clock, mut doubt) = (Clock::boot(), false);
        let (began, mut heard) = (clock.now(), clock.now());
        let slot = Slot { roll: self.clone(), taker: Taker::own() };
        let failure = loop {
            if self.interrupt.is_raised() {
                break Failure::Interrupted;
            }
            let mut waiting = match slot.try_to_take(&mut doubt) {
                Ok(Tried::Taken) => return Ok(slot),
                Ok(Tried::Full(waiting)) => {
                    heard = clock.now();
                    waiting
                }
                Err(Trouble::Refused(failure)) => break failure,
                Err(Trouble::Unanswered(why)) if clock.now().saturating_sub(heard) >= self.fleet.patience => {
                    break Failure::Fleet(why);
                }
                Err(Trouble::Unanswered(why)) => self.fleet.waiting(None, &[], Some(why)),
            };
            let waited = clock.now().saturating_sub(began);
            waiting.waited = waited;
            waiting.time_left = self.timeout.map(|timeout| timeout.saturating_sub(waited));
            if waiting.time_left.is_some_and(|left| left.is_zero()) {
                break Failure::NoSlot(waiting.to_string());
            }
            if let Some(tell) = &self.on_waiting {
                tell(&waiting);
            }
            let pause = jittered(PAUSE);
            self.interrupt.pause(waiting.time_left.map_or(pause, |left| pause.min(left)));
        };
        match slot.abandon(doubt) {
            Ok(()) => Err(failure),
            Err(why) => Err(Failure::Fleet(format!(
                "{failure}; whether a slot was taken is not known ({why}); if it was, this gives it back: {}",
                slot.release_line()
            ))),
        }
    }

    /// Takes a slot, begins, waits for drained, commits, acts, withdraws, waits until the gateway says that it runs and is
    /// ready, and gives the slot back. An act that fails keeps the slot: the fleet stops there.
    ///
    /// # Errors
    /// A [`Failure`] before the act; the act was not run then. The slot was given back, unless the gateway was not seen
    /// running: then the failure says so.
    pub fn run<T, E>(
        &self,
        drain: &Drain,
        act: impl FnOnce(&Committed) -> Result<T, E>,
    ) -> Result<Rolled<Result<T, E>>, Failure> {
        let slot = self.take()?;
        let came_to_nothing = |failure: Failure, ended: Result<Ended, Failure>| match ended {
            Err(Failure::SlotKept(why)) => Failure::SlotKept(format!("{failure}; {why}")),
            Ok(_) | Err(_) => failure,
        };
        let held = match drain.begin_for_run() {
            Ok(held) => held,
            Err(CameToNothing { failure, sent, .. }) => {
                let ended = if sent { slot.not_begun(&failure) } else { slot.not_acted() };
                return Err(came_to_nothing(failure, ended));
            }
        };
        let committed = match held.wait() {
            Ok(seen) => held.commit(&seen),
            Err(failure) => {
                // That it fails is seen by the gateway's own word, which is waited for next.
                let _ = held.withdraw();
                Err(failure)
            }
        };
        let committed = match committed {
            Ok(committed) => committed,
            Err(failure) => return Err(came_to_nothing(failure, slot.not_acted())),
        };
        let value = act(&committed);
        let done = Done { value, withdrawn: committed.withdraw() };
        let slot = match (&done.value, &done.withdrawn) {
            (Err(_), _) => Err(slot.keep("the act failed")),
            (Ok(_), Ok(()) | Err(Failure::Unreachable(_))) => slot.acted(),
            (Ok(_), Err(failure)) => Err(slot.keep(&failure.to_string())),
        };
        Ok(Rolled { done, slot })
    }

    /// Tries this until it goes well or the time is over.
    fn until(&self, limit: Duration, step: impl Fn() -> Result<(), Failure>) -> Result<(), Failure> {
        let clock = Clock::boot();
        let began = clock.now();
        loop {
            match step() {
                Err(failure @ Failure::Unreachable(_)) if clock.now().saturating_sub(began) >= limit => {
                    return Err(failure);
                }
                Err(Failure::Unreachable(_)) => {}
                done => return done,
            }
            if self.interrupt.pause(LOOK) {
                return Err(Failure::Interrupted);
            }
        }
    }
}

impl fmt::Debug for Roll<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Roll").field("gateway", &self.gateway).field("id", &self.id).finish_non_exhaustive()
    }
}

impl fmt::Debug for Slot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").field("roll", &self.roll).field("taker", &self.taker).finish()
    }
}

impl Slot<'_> {
    /// The gateway's id in the fleet.
    #[must_use]
    pub fn gateway_id(&self) -> &str {
        &self.roll.id
    }

    /// The command line that gives this slot back by hand.
    #[must_use]
    pub fn release_line(&self) -> String {
        self.roll.fleet.line(&["release", &self.roll.id])
    }

    /// After an act that went well and a withdrawal: waits until the gateway says that it runs and is ready, and gives the slot
    /// back.
    ///
    /// # Errors
    /// [`Failure::SlotKept`] if it doesn't say so in time, or the slot can't be given back.
    pub fn acted(self) -> Result<Ended, Failure> {
        match self.wait_until_ready(self.roll.ready_within, &self.roll.interrupt) {
            Ok(()) => self.end(&End::Running),
            Err(why) => Err(self.keep(&why)),
        }
    }

    /// After a hold that the gateway has not acknowledged. What was refused closed nothing. A request over HTTP that was not
    /// answered may close the gate yet, whatever the gateway says now: then the slot stays.
    ///
    /// # Errors
    /// As of [`acted`](Self::acted).
    pub fn not_begun(self, failure: &Failure) -> Result<Ended, Failure> {
        self.not_begun_unless(failure, &Interrupt::new())
    }

    /// As [`not_begun`](Self::not_begun), for as long as this is not raised.
    pub(crate) fn not_begun_unless(self, failure: &Failure, interrupt: &Interrupt) -> Result<Ended, Failure> {
        match failure {
            Failure::Denied(_) | Failure::Usage(_) | Failure::Ignored(_) => self.end(&End::NeverClosed),
            Failure::Unreachable(_) | Failure::Interrupted if self.roll.gateway.url().is_some() => {
                Err(self.keep("the gateway was asked to close and has not answered: it may close yet"))
            }
            _ => self.not_acted_unless(interrupt),
        }
    }

    /// After a drain that came to nothing before its act, and whose hold was given up: the gateway has to say first that it
    /// runs.
    ///
    /// # Errors
    /// As of [`acted`](Self::acted).
    pub fn not_acted(self) -> Result<Ended, Failure> {
        self.not_acted_unless(&Interrupt::new())
    }

    /// As [`not_acted`](Self::not_acted), for as long as this is not raised.
    pub(crate) fn not_acted_unless(self, interrupt: &Interrupt) -> Result<Ended, Failure> {
        match self.wait_until_ready(self.roll.fleet.patience, interrupt) {
            Ok(()) => self.end(&End::NeverClosed),
            Err(why) => Err(self.keep(&why)),
        }
    }

    /// Leaves the slot taken, so that the fleet stops here, and gives the [`Failure::SlotKept`] that says so.
    #[must_use]
    pub fn keep(self, why: &str) -> Failure {
        let line = self.release_line();
        let kept = |why: &str| {
            Failure::SlotKept(format!(
                "{why}\nonce it runs again, or is no longer part of the fleet, this gives it back: {line}"
            ))
        };
        match self.end(&End::Keep(why.to_owned())) {
            Ok(Ended::Gone) => Failure::SlotKept(format!("{why}; but somebody has given it back meanwhile")),
            // That it stays is so without a word of it.
            Ok(_) | Err(_) => kept(why),
        }
    }

    fn wait_until_ready(&self, limit: Duration, interrupt: &Interrupt) -> Result<(), String> {
        let clock = Clock::boot();
        let began = clock.now();
        loop {
            let Some(why) = unready(&self.roll.gateway.once()) else { return Ok(()) };
            let waited = clock.now().saturating_sub(began);
            if waited >= limit {
                return Err(format!("it was not seen running and ready for {} s: {why}", waited.as_secs()));
            }
            if interrupt.pause(LOOK) {
                return Err(format!("interrupted before it was seen running and ready: {why}"));
            }
        }
    }

    /// Ends the use of the slot, and tries for as long as there is patience.
    fn end(&self, end: &End) -> Result<Ended, Failure> {
        let clock = Clock::boot();
        let (began, mut doubt) = (clock.now(), false);
        loop {
            let why = match self.try_to_end(end, &mut doubt) {
                Ok(ended) => return Ok(ended),
                Err(Trouble::Unanswered(why)) => why,
                Err(Trouble::Refused(failure)) => failure.to_string(),
            };
            if clock.now().saturating_sub(began) >= self.roll.fleet.patience {
                let line = self.release_line();
                return Err(Failure::SlotKept(format!(
                    "it could not be given back: {why}\nthis gives it back: {line}"
                )));
            }
            Interrupt::new().pause(jittered(PAUSE));
        }
    }

    /// One try. `doubt` is set if something was asked for that may have been done without an answer.
    fn try_to_take(&self, doubt: &mut bool) -> Result<Tried, Trouble> {
        let Roll { fleet, id, .. } = &self.roll;
        let etcd = match &fleet.engine {
            Engine::Etcd(etcd) => etcd,
            Engine::FleetLock(server) => {
                let said = server.pre_reboot(&fleet.group, id);
                *doubt |= matches!(said, Err(Trouble::Unanswered(_)));
                return match said? {
                    ServerAnswer::Yes => Ok(Tried::Taken),
                    ServerAnswer::NotNow(why) => Ok(Tried::Full(fleet.waiting(None, &[], Some(why)))),
                };
            }
        };
        for _ in 0..CONFLICTS {
            let read = etcd.read(&fleet.group, id)?;
            let Some(stored) = &read.stored else { return Err(Trouble::Refused(fleet.no_semaphore())) };
            let semaphore = &stored.semaphore;
            // Two who act on one gateway at once are in each other's way: one that is known to live is waited for.
            let takers = stored.note.iter().filter(|_| semaphore.holds(id)).flat_map(|note| &note.takers);
            let is_ours = takers.clone().any(|taker| taker.nonce == self.taker.nonce);
            if let (Some(other), false) = (takers.clone().find(|taker| taker.is_alive()), is_ours) {
                let why = format!("another controller rolls this gateway: {}", other.in_words());
                return Ok(Tried::Full(fleet.waiting(None, &[], Some(why))));
            }
            match stored.take(id, &self.taker, &super::now(), Taker::is_dead) {
                Taking::Ours => return Ok(Tried::Taken),
                Taking::NoSlots => return Err(Trouble::Refused(fleet.no_slots())),
                Taking::Full => {
                    let total = semaphore.total_slots();
                    return Ok(Tried::Full(fleet.waiting(Some(total), semaphore.holders(), None)));
                }
                Taking::Store(mut new) => {
                    if let Some(note) = &mut new.note {
                        note.gateway = Some(Whereabouts::of(&self.roll.gateway));
                    }
                    let written = etcd.write(&fleet.group, id, &read, &new);
                    *doubt |= matches!(written, Err(Trouble::Unanswered(_)));
                    if written? {
                        return Ok(Tried::Taken);
                    }
                }
            }
        }
        let why = "others change the slots faster than this can".to_owned();
        Ok(Tried::Full(fleet.waiting(None, &[], Some(why))))
    }

    fn try_to_end(&self, end: &End, doubt: &mut bool) -> Result<Ended, Trouble> {
        let Roll { fleet, id, .. } = &self.roll;
        let etcd = match &fleet.engine {
            Engine::Etcd(etcd) => etcd,
            Engine::FleetLock(server) => {
                // The server can't tell whether it was there before. Of a gateway that runs nobody needs it.
                let left = match end {
                    End::Keep(why) => Some(Left::Kept(why.clone())),
                    End::NeverClosed => unready(&self.roll.gateway).map(Left::Kept),
                    End::Running => None,
                };
                if let Some(left) = left {
                    return Ok(Ended::Left(left));
                }
                return match server.steady_state(&fleet.group, id)? {
                    ServerAnswer::Yes => Ok(Ended::GivenBack),
                    ServerAnswer::NotNow(why) => Err(Trouble::Unanswered(why)),
                };
            }
        };
        loop {
            let read = etcd.read(&fleet.group, id)?;
            let (new, ended) = match read.stored.as_ref().map(|stored| stored.end(id, &self.taker.nonce, end)) {
                None | Some(Ending::Gone) => return Ok(if *doubt { done_in_silence(end) } else { Ended::Gone }),
                Some(Ending::GiveBack(new)) => (new, Ended::GivenBack),
                Some(Ending::Leave(new, left)) => (new, Ended::Left(left)),
            };
            let written = etcd.write(&fleet.group, id, &read, &new);
            *doubt |= matches!(written, Err(Trouble::Unanswered(_)));
            if written? {
                return Ok(ended);
            }
            Interrupt::new().pause(jittered([Duration::from_millis(5), Duration::from_millis(50)]));
        }
    }

    /// Sees to it that nothing which was asked for without an answer leaves a slot behind.
    fn abandon(&self, doubt: bool) -> Result<(), String> {
        if !doubt {
            return Ok(());
        }
        let clock = Clock::boot();
        let began = clock.now();
        loop {
            let why = match self.try_to_abandon() {
                Ok(true) => return Ok(()),
                Ok(false) => "others change the slots faster than this can".to_owned(),
                Err(Trouble::Unanswered(why)) => why,
                Err(Trouble::Refused(failure)) => return Err(failure.to_string()),
            };
            if clock.now().saturating_sub(began) >= self.roll.fleet.patience {
                return Err(why);
            }
            Interrupt::new().pause(jittered([Duration::from_millis(100), Duration::from_millis(500)]));
        }
    }

    fn try_to_abandon(&self) -> Result<bool, Trouble> {
        let Roll { fleet, id, .. } = &self.roll;
        match &fleet.engine {
            Engine::Etcd(etcd) => self.withdraw_from(etcd),
            Engine::FleetLock(server) => match unready(&self.roll.gateway) {
                Some(why) => Err(Trouble::Refused(Failure::Fleet(format!("the gateway does not run: {why}")))),
                None => Ok(server.steady_state(&fleet.group, id)? == ServerAnswer::Yes),
            },
        }
    }

    /// Takes this controller's name out of the note; where it isn't there, writes what is there once more: a transaction that is
    /// still under way finds another revision then, and comes to nothing.
    fn withdraw_from(&self, etcd: &Etcd) -> Result<bool, Trouble> {
        let Roll { fleet, id, .. } = &self.roll;
        let read = etcd.read(&fleet.group, id)?;
        let Some(stored) = &read.stored else { return Ok(true) };
        let new: Stored = match stored.end(id, &self.taker.nonce, &End::NeverClosed) {
            Ending::GiveBack(new) | Ending::Leave(new, _) => *new,
            Ending::Gone => stored.clone(),
        };
        etcd.write(&fleet.group, id, &read, &new)
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use crate::client::shown;
        write!(f, "group {}: ", self.group)?;
        if let Some(total) = self.total_slots {
            write!(f, "{} of {total} slots taken by ", self.holders.len())?;
            for (n, holder) in self.holders.iter().take(5).enumerate() {
                write!(f, "{}{}", if n > 0 { ", " } else { "" }, shown(holder))?;
            }
            let more = self.holders.len().saturating_sub(5);
            if more > 0 {
                write!(f, " and {more} more")?;
            }
        }
        self.says.as_ref().map_or(Ok(()), |says| f.write_str(&shown(says)))
    }
}

/// What a transaction has come to that was applied and not answered.
fn done_in_silence(end: &End) -> Ended {
    match end {
        End::Keep(why) => Ended::Left(Left::Kept(why.clone())),
        End::Running | End::NeverClosed => Ended::GivenBack,
    }
}

fn jittered([least, most]: [Duration; 2]) -> Duration {
    let mut random = [0; 4];
    // Without a random source all wait for the same time.
    let _ = getrandom::fill(&mut random);
    let part = f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX);
    least + most.saturating_sub(least).mul_f64(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_is_told_how_many_slots_there_are_and_who_has_them() {
        let fleet = Fleet::at("etcd://a", "web").unwrap();
        let says = |holders: usize| {
            let holders: Vec<String> = (1..=holders).map(|n| format!("g{n}")).collect();
            fleet.waiting(Some(2), &holders, None).to_string()
        };
        assert_eq!(says(1), "group web: 1 of 2 slots taken by g1");
        assert_eq!(says(2), "group web: 2 of 2 slots taken by g1, g2");
        assert_eq!(says(5), "group web: 5 of 2 slots taken by g1, g2, g3, g4, g5");
        assert_eq!(says(7), "group web: 7 of 2 slots taken by g1, g2, g3, g4, g5 and 2 more");
        let silent = fleet.waiting(None, &[], Some("no answer".into()));
        assert_eq!(silent.to_string(), "group web: no answer");
    }

    #[test]
    fn two_looks_are_never_closer_than_the_least_pause_nor_farther_than_the_most() {
        let mut seen: Vec<Duration> = (0..100).map(|_| jittered(PAUSE)).collect();
        assert!(seen.iter().all(|pause| (PAUSE[0]..=PAUSE[1]).contains(pause)), "{seen:?}");
        seen.sort_unstable();
        seen.dedup();
        assert!(seen.len() > 1, "those who wait would all ask at the same moment");
    }
}
