//! A small gateway behind one lock that keeps every property of the suite, and one flaw at a time that it can be given.
//!
//! Each flaw is one `if`, at the place where somebody would make that mistake.

use gateway_drain::DrainState;
use gateway_drain::conformance::{Ability, Gateway, Holder, Snapshot, Waited, Waiter};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::thread::yield_now;
use std::time::{Duration, Instant};

/// What is wrong with a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    None,
    StopsWithoutShutdown,
    CountsBegins,
    EndReopensAShutdown,
    BeginRevivesStopped,
    StopsWithWorkUnreported,
    ForcedStopForgets,
    StatusByLastWriter,
    AdmitsWhileShuttingDown,
    IncrementsThenUndoes,
    FlagAndCountApart,
    SecondHolderUndoesDrained,
    WaiterWithoutGeneration,
    LosesWakeUp,
    DrainedOneEarly,
    CountWraps,
    SecondHoldIsLost,
    CancelFreesAll,
    LeaseNeverEnds,
    CommitEndsWithTheLease,
    LeaseByWallClock,
    ShutdownWithWorkNeverEnds,
    LastHoldLingers,
    NoShutdownWhileHeld,
    NoLimitToAShutdown,
    PanicsWhenFull,
}

const LEASE: Duration = Duration::from_secs(3600);
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(60);

/// The gateway, with the flaw of this number.
pub struct Faulty<const FLAW: u8> {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Clone, Copy)]
struct Hold {
    ends_at: Duration,
    ends_at_wall: Duration,
    committed: bool,
    begun: u32,
}

struct Inner {
    holds: [Option<Hold>; 2],
    shut_down_at: Option<Duration>,
    /// A shutdown that found work in flight.
    found_work: bool,
    stopped: bool,
    in_flight: u64,
    abandoned: u64,
    generation: u64,
    now: Duration,
    wall: Duration,
    /// What the last writer said of the state.
    written: DrainState,
    undone: bool,
}

impl Inner {
    fn held(&self) -> bool {
        self.holds.iter().any(Option::is_some)
    }

    fn state(&self) -> DrainState {
        match (self.stopped, self.shut_down_at, self.held()) {
            (true, _, _) => DrainState::Stopped,
            (false, Some(_), _) => DrainState::ShutdownDraining,
            (false, None, true) => DrainState::ExternalDraining,
            (false, None, false) => DrainState::Running,
        }
    }

    fn closed(&self) -> bool {
        !self.state().admits()
    }
}

impl<const FLAW: u8> Faulty<FLAW> {
    fn has(flaw: Flaw) -> bool {
        FLAW == flaw as u8
    }

    fn look(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nobody panics under the lock")
    }

    /// Changes something, counts a new drain if that closed the gate, and wakes who waits.
    fn change<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        let mut inner = self.look();
        let was_closed = inner.closed();
        let value = change(&mut inner);
        if inner.closed() && !was_closed {
            inner.generation += 1;
        }
        if !inner.closed() {
            inner.undone = false;
        }
        drop(inner);
        self.changed.notify_all();
        value
    }

    /// Stands still until it is so, or for a moment; and then a moment longer, so that others come to see it.
    fn dawdle(&self, until: impl Fn(&Inner) -> bool) {
        for _ in 0..30 {
            if until(&self.look()) {
                break;
            }
            yield_now();
        }
        for _ in 0..10 {
            yield_now();
        }
    }

    fn admits(inner: &Inner) -> bool {
        match inner.state() {
            DrainState::Running => true,
            DrainState::ShutdownDraining => Self::has(Flaw::AdmitsWhileShuttingDown) && !inner.held(),
            _ => false,
        }
    }

    fn count(inner: &mut Inner) {
        assert!(!Self::has(Flaw::PanicsWhenFull) || inner.in_flight < 3, "no room for a fourth");
        inner.in_flight += 1;
        if Self::has(Flaw::CountWraps) {
            inner.in_flight %= 256;
        }
    }

    fn uncount(inner: &mut Inner) {
        let below_zero = if Self::has(Flaw::CountWraps) { 255 } else { 0 };
        inner.in_flight = inner.in_flight.checked_sub(1).unwrap_or(below_zero);
    }

    fn force(inner: &mut Inner) {
        if inner.stopped {
            return;
        }
        inner.shut_down_at.get_or_insert(inner.now);
        inner.stopped = true;
        let left = std::mem::take(&mut inner.in_flight);
        inner.abandoned = if Self::has(Flaw::ForcedStopForgets) { 0 } else { left };
    }

    /// What time alone does.
    fn settle(inner: &mut Inner) {
        let (now, wall) = (inner.now, inner.wall);
        for hold in &mut inner.holds {
            let over = |hold: &Hold| {
                let over =
                    if Self::has(Flaw::LeaseByWallClock) { hold.ends_at_wall <= wall } else { hold.ends_at <= now };
                let bound = hold.committed && !Self::has(Flaw::CommitEndsWithTheLease);
                over && !bound && !Self::has(Flaw::LeaseNeverEnds)
            };
            if hold.as_ref().is_some_and(over) {
                *hold = None;
            }
        }
        let past = |begun: Duration| begun + SHUTDOWN_LIMIT <= now;
        if inner.shut_down_at.is_some_and(past) && !Self::has(Flaw::NoLimitToAShutdown) {
            Self::force(inner);
        }
    }
}

impl<const FLAW: u8> Gateway for Faulty<FLAW> {
    type Permit = ();
    type Guard = ();

    const EFFORT: u32 = 5;

    const ABILITIES: &'static [Ability] = &[
        Ability::Drain,
        Ability::ShutDown,
        Ability::Count,
        Ability::Force,
        Ability::Holders,
        Ability::Wait,
        Ability::Lease(LEASE),
        Ability::Commit,
        Ability::WallClock,
        Ability::ShutdownLimit(SHUTDOWN_LIMIT),
    ];

    fn fresh() -> (Self, ()) {
        let inner = Inner {
            holds: [None; 2],
            shut_down_at: None,
            found_work: false,
            stopped: false,
            in_flight: 0,
            abandoned: 0,
            generation: 0,
            now: Duration::ZERO,
            wall: Duration::from_secs(1_800_000_000),
            written: DrainState::Running,
            undone: false,
        };
        (Self { inner: Mutex::new(inner), changed: Condvar::new() }, ())
    }

    fn admit(&self) -> Option<()> {
        if Self::has(Flaw::IncrementsThenUndoes) {
            self.change(Self::count);
            self.dawdle(Inner::closed);
            return self.change(|inner| {
                let admits = Self::admits(inner);
                if !admits {
                    Self::uncount(inner);
                }
                admits.then_some(())
            });
        }
        if Self::has(Flaw::FlagAndCountApart) {
            if !Self::admits(&self.look()) {
                return None;
            }
            self.dawdle(Inner::closed);
            self.change(Self::count);
            return Some(());
        }
        self.change(|inner| Self::admits(inner).then(|| Self::count(inner)))
    }

    fn finish(&self, (): ()) {
        self.change(|inner| {
            // What a forced stop has abandoned is counted no more.
            if !inner.stopped {
                Self::uncount(inner);
            }
        });
    }

    fn snapshot(&self) -> Snapshot {
        let inner = self.look();
        let state = match inner.state() {
            DrainState::Running | DrainState::ExternalDraining if Self::has(Flaw::StatusByLastWriter) => inner.written,
            derived => derived,
        };
        let most = u64::from(Self::has(Flaw::DrainedOneEarly));
        let drained = inner.closed() && inner.in_flight <= most && inner.abandoned == 0 && !inner.undone;
        Snapshot { state, in_flight: inner.in_flight, drained, abandoned: inner.abandoned }
    }

    fn begin(&self, holder: Holder) {
        self.change(|inner| {
            if inner.stopped && Self::has(Flaw::BeginRevivesStopped) {
                inner.stopped = false;
                inner.shut_down_at = None;
            }
            if inner.shut_down_at.is_some() {
                return;
            }
            let first = !inner.held();
            let (ends_at, ends_at_wall) = (inner.now + LEASE, inner.wall + LEASE);
            if !first && inner.holds[holder as usize].is_none() {
                if Self::has(Flaw::SecondHoldIsLost) {
                    return;
                }
                inner.undone = Self::has(Flaw::SecondHolderUndoesDrained);
            }
            let hold =
                inner.holds[holder as usize].get_or_insert(Hold { ends_at, ends_at_wall, committed: false, begun: 0 });
            (hold.ends_at, hold.ends_at_wall) = (ends_at, ends_at_wall);
            hold.begun += 1;
            inner.written = DrainState::ExternalDraining;
        });
    }

    fn end(&self, holder: Holder) {
        self.change(|inner| {
            if Self::has(Flaw::EndReopensAShutdown) && !inner.stopped {
                inner.shut_down_at = None;
            }
            if Self::has(Flaw::CancelFreesAll) {
                inner.holds = [None; 2];
            }
            if Self::has(Flaw::LastHoldLingers) && holder == Holder::B && inner.holds[0].is_none() {
                return;
            }
            let hold = &mut inner.holds[holder as usize];
            if let Some(hold) = hold
                && Self::has(Flaw::CountsBegins)
                && hold.begun > 1
            {
                hold.begun -= 1;
                return;
            }
            *hold = None;
            inner.written = DrainState::Running;
        });
    }

    fn shut_down(&self) {
        self.change(|inner| {
            if Self::has(Flaw::NoShutdownWhileHeld) && inner.held() {
                return;
            }
            inner.found_work |= inner.shut_down_at.is_none() && inner.in_flight > 0;
            inner.shut_down_at.get_or_insert(inner.now);
            if !Self::has(Flaw::EndReopensAShutdown) {
                inner.holds = [None; 2];
            }
        });
    }

    fn stop(&self) {
        self.change(|inner| {
            let begun = inner.shut_down_at.is_some() || Self::has(Flaw::StopsWithoutShutdown);
            if Self::has(Flaw::StopsWithWorkUnreported) && begun {
                inner.in_flight = 0;
            }
            if Self::has(Flaw::ShutdownWithWorkNeverEnds) && inner.found_work {
                return;
            }
            inner.stopped |= begun && inner.in_flight == 0;
        });
    }

    fn force_stop(&self) {
        self.change(Self::force);
    }

    fn waiter(&self) -> Waiter<'_> {
        let generation = self.look().generation;
        let outcome = move |inner: &Inner| match (inner.closed(), inner.in_flight) {
            _ if inner.generation != generation && !Self::has(Flaw::WaiterWithoutGeneration) => Some(Waited::Over),
            (true, 0) => Some(Waited::Drained),
            (true, _) => None,
            (false, _) if Self::has(Flaw::WaiterWithoutGeneration) => None,
            (false, _) => Some(Waited::Over),
        };
        Box::new(move |limit| {
            let until = Instant::now() + limit;
            let mut inner = self.look();
            if Self::has(Flaw::LosesWakeUp) && outcome(&inner).is_none() {
                // Looks, and listens only afterwards.
                drop(inner);
                let listens_at = Instant::now() + Duration::from_millis(200);
                while self.look().in_flight > 0 && Instant::now() < listens_at {
                    yield_now();
                }
                inner = self.look();
                let (inner, slept) = self.changed.wait_timeout(inner, limit).expect("nobody panics under the lock");
                return if slept.timed_out() { Waited::TimedOut } else { outcome(&inner).unwrap_or(Waited::TimedOut) };
            }
            loop {
                let left = until.saturating_duration_since(Instant::now());
                match outcome(&inner) {
                    Some(outcome) => return outcome,
                    None if left.is_zero() => return Waited::TimedOut,
                    None => {
                        inner = self.changed.wait_timeout(inner, left).expect("nobody panics under the lock").0;
                    }
                }
            }
        })
    }

    fn commit(&self, holder: Holder) -> bool {
        self.change(|inner| {
            let drained = inner.closed() && inner.in_flight == 0;
            let Some(hold) = inner.holds[holder as usize].as_mut().filter(|_| drained) else { return false };
            hold.committed = true;
            true
        })
    }

    fn pass(&self, time: Duration) {
        self.change(|inner| {
            inner.now += time;
            inner.wall += time;
            Self::settle(inner);
        });
    }

    fn step_wall_clock(&self, seconds: i64) {
        self.change(|inner| {
            let by = Duration::from_secs(seconds.unsigned_abs());
            inner.wall = if seconds < 0 { inner.wall.saturating_sub(by) } else { inner.wall + by };
            Self::settle(inner);
        });
    }
}
