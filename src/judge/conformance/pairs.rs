//! Two calls at once, again and again: what each controller, or a controller and the last work, does to the other.
//!
//! Two threads meet before each pair of calls, so that the calls overlap, and what must be so when both have returned is
//! known for every order of the two.

use super::race::{AtEnd, PATIENCE, comes_true, effort};
use super::session::Found;
use super::stress::{BUDGET, Budget};
use super::{Ability, Gateway, Holder, Waited, can};
use crate::properties::PropertyId::{self, H1, H2, L2, S6};
use crate::state::DrainState;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Where two threads meet.
#[derive(Default)]
struct Meeting {
    /// How often the first has come, and how often the second has ended its part.
    begun: AtomicU64,
    ended: AtomicU64,
    over: AtomicBool,
}

impl Meeting {
    /// Waits until it is so, or all is over.
    fn wait(&self, is_so: impl Fn() -> bool) -> bool {
        let mut looks = 0_u32;
        while !is_so() {
            if self.over.load(Ordering::SeqCst) {
                return false;
            }
            looks += 1;
            if looks > 200 { thread::yield_now() } else { std::hint::spin_loop() }
        }
        true
    }

    /// The first thread: makes its call while the second makes the one of the same number.
    fn both(&self, act: impl FnOnce()) {
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        act();
        self.wait(|| self.ended.load(Ordering::SeqCst) >= number);
    }

    /// The second thread, until all is over.
    fn follow(&self, mut act: impl FnMut(u64)) {
        let mut number = 0;
        while self.wait(|| self.begun.load(Ordering::SeqCst) > number) {
            number += 1;
            act(number);
            self.ended.store(number, Ordering::SeqCst);
        }
    }
}

/// Runs the first act on this thread beside the second on another, for as long as the budget lasts.
fn beside<G: Gateway>(mut first: impl FnMut(&Meeting, u64) -> Found, second: impl FnMut(u64) + Send) -> Found {
    let meeting = Meeting::default();
    thread::scope(|scope| {
        let _over = AtEnd(&meeting.over);
        scope.spawn(|| meeting.follow(second));
        let budget = Budget::of(BUDGET.mul_f64(effort::<G>()));
        let mut number = 0;
        while budget.is_left() {
            number += 1;
            first(&meeting, number).map_err(|found| format!("{found}\nOn two threads, in pair {number}."))?;
        }
        Ok(())
    })
}

/// A number that looks like chance, the same for both threads.
fn chance(number: u64) -> u64 {
    let mut mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^= mixed >> 32;
    mixed.wrapping_mul(0xd6e8_feb8_6659_fd93) >> 40
}

fn delay(number: u64) {
    for _ in 0..chance(number) % 64 {
        std::hint::spin_loop();
    }
}

/// Two controllers that begin and end at once on one gateway. When both calls have returned, who holds is known.
pub(super) fn two_controllers<G: Gateway>(id: PropertyId) -> Found {
    if !can::<G>(Ability::Holders) || !can::<G>(Ability::Drain) {
        return Ok(());
    }
    let (gateway, _guard) = G::fresh();
    let begins = |holder: Holder, number: u64| chance(number * 2 + holder as u64).is_multiple_of(2);
    let act = |holder: Holder, number: u64| {
        delay(number * 5 + holder as u64);
        if begins(holder, number) { gateway.begin(holder) } else { gateway.end(holder) }
    };
    let told = |holder: Holder, number: u64| {
        let call = if begins(holder, number) { "begin" } else { "end" };
        format!("{call}({})", holder.as_str())
    };
    beside::<G>(
        |meeting, number| {
            meeting.both(|| act(Holder::A, number));
            let holds = [Holder::A, Holder::B].map(|holder| begins(holder, number));
            let permit = gateway.admit();
            let admits = permit.is_some();
            if let Some(permit) = permit {
                gateway.finish(permit);
            }
            let state = gateway.snapshot().state;
            let calls = format!("{} ran beside {}", told(Holder::A, number), told(Holder::B, number));
            let held = holds.contains(&true);
            match id {
                H1 | H2 if admits && held && (id == H1 || holds.contains(&false)) => {
                    let who = if holds[0] { "a" } else { "b" };
                    Err(format!("{calls}, and the gate admits although {who} holds it closed."))
                }
                H1 | L2 if !admits && !held => Err(format!("{calls}, nobody holds the gate closed, and it refuses.")),
                S6 if !admits && state == DrainState::Running => {
                    Err(format!("{calls}, the status shows running, and the gate refuses."))
                }
                L2 if !held && state != DrainState::Running => {
                    Err(format!("{calls}, every hold was withdrawn, and the gateway is {state}."))
                }
                _ => Ok(()),
            }
        },
        |number| act(Holder::B, number),
    )
}

/// A waiter begins to wait beside the end of the last work.
pub(super) fn finish_beside_wait<G: Gateway>() -> Found {
    if !can::<G>(Ability::Drain) {
        return Ok(());
    }
    let (gateway, _guard) = G::fresh();
    let permit = Mutex::new(None);
    let take = || permit.lock().unwrap_or_else(PoisonError::into_inner).take();
    beside::<G>(
        |meeting, _| {
            let Some(admitted) = gateway.admit() else {
                return Err("nobody holds the gate closed, and it refuses.".into());
            };
            *permit.lock().unwrap_or_else(PoisonError::into_inner) = Some(admitted);
            gateway.begin(Holder::A);
            let waiter = gateway.waiter();
            let begun = Instant::now();
            let mut told = Waited::TimedOut;
            meeting.both(|| told = waiter(PATIENCE));
            let took = begun.elapsed();
            gateway.end(Holder::A);
            if told == Waited::Drained && took < PATIENCE / 2 {
                return Ok(());
            }
            Err(format!("the last work finished as a waiter began to wait, and {took:?} later it was told {told:?}."))
        },
        |number| {
            for _ in 0..chance(number * 5 + 1) % 2_000 {
                std::hint::spin_loop();
            }
            if let Some(permit) = take() {
                gateway.finish(permit);
            }
        },
    )
}

/// What happens beside a shutdown, or beside its end. Each needs a gateway of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// `shut_down` beside the calls of controllers: S3.
    ShutDown,
    /// The same, and then `stop`: L1.
    ShutDownThenStop,
    /// `stop` beside them: S4.
    Stop,
    /// `stop` beside the last work: S5.
    StopBesideWork,
    /// `force_stop` beside the last work: G6.
    ForceBesideWork,
}

/// How many gateways the two threads have between two startings of a thread.
const BATCH: usize = 32;

pub(super) fn endings<G: Gateway>(ending: Ending) -> Found {
    let budget = Budget::of(BUDGET.mul_f64(effort::<G>()));
    let mut number = 0;
    while budget.is_left() {
        batch::<G>(ending, number, &budget)?;
        number += BATCH as u64;
    }
    Ok(())
}

fn batch<G: Gateway>(ending: Ending, first: u64, budget: &Budget) -> Found {
    // The gateways have to go before what they need to live.
    let (mut guards, mut gateways) = (Vec::new(), Vec::new());
    // Making one may take long.
    while gateways.len() < BATCH && (gateways.len() < 2 || budget.is_left()) {
        let (gateway, guard) = G::fresh();
        guards.push(guard);
        gateways.push(gateway);
    }
    let permits: Vec<_> = gateways.iter().map(|gateway| Mutex::new(prepared(ending, gateway))).collect();
    let (turn, calls, over) = (AtomicUsize::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let finishing = AtomicUsize::new(usize::MAX);
    thread::scope(|scope| {
        let _over = AtEnd(&over);
        // What goes on beside the ending is never waited for before it: a thread that loses its processor does so in a call.
        scope.spawn(|| {
            let mut number = first;
            while !over.load(Ordering::Relaxed) {
                let index = turn.load(Ordering::SeqCst).min(gateways.len() - 1);
                number += 1;
                match ending {
                    Ending::ShutDown | Ending::ShutDownThenStop | Ending::Stop => controllers(&gateways[index], number),
                    Ending::StopBesideWork | Ending::ForceBesideWork => {
                        let permit = permits[index].lock().unwrap_or_else(PoisonError::into_inner).take();
                        if let Some(permit) = permit {
                            delay(number);
                            finishing.store(index, Ordering::SeqCst);
                            gateways[index].finish(permit);
                        }
                    }
                }
                calls.fetch_add(1, Ordering::SeqCst);
            }
        });
        for (index, gateway) in gateways.iter().enumerate() {
            turn.store(index, Ordering::SeqCst);
            let others = |turns: u64| {
                let enough = calls.load(Ordering::SeqCst) + turns;
                comes_true(|| calls.load(Ordering::SeqCst) >= enough);
            };
            if matches!(ending, Ending::ShutDown | Ending::ShutDownThenStop | Ending::Stop) {
                others(1);
            }
            delay(first + index as u64);
            let mut early = None;
            match ending {
                Ending::ShutDown | Ending::ShutDownThenStop => gateway.shut_down(),
                Ending::ForceBesideWork => gateway.force_stop(),
                Ending::Stop => gateway.stop(),
                Ending::StopBesideWork => {
                    gateway.stop();
                    let told = gateway.snapshot();
                    let unfinished = finishing.load(Ordering::SeqCst) != index;
                    early = (told.state == DrainState::Stopped && unfinished).then_some(told);
                }
            }
            if let Some(told) = early {
                return Err(format!("stop returned before the last work finished, and the gateway told \"{told}\"."));
            }
            // What was begun before is over after two more.
            others(2);
            judge_ending(ending, gateway)
                .map_err(|found| format!("{found}\nOn two threads, on gateway {}.", first + index as u64 + 1))?;
        }
        Ok(())
    })
}

/// Brings a fresh gateway to where the two calls begin.
fn prepared<G: Gateway>(ending: Ending, gateway: &G) -> Option<G::Permit> {
    match ending {
        Ending::ShutDown | Ending::ShutDownThenStop => {
            if can::<G>(Ability::Drain) {
                gateway.begin(Holder::A);
            }
            None
        }
        Ending::Stop => {
            gateway.shut_down();
            None
        }
        Ending::StopBesideWork | Ending::ForceBesideWork => {
            let permit = gateway.admit();
            gateway.shut_down();
            permit
        }
    }
}

/// What controllers may call meanwhile: three of their calls.
fn controllers<G: Gateway>(gateway: &G, number: u64) {
    let names: &[_] = if can::<G>(Ability::Holders) { &[Holder::A, Holder::B] } else { &[Holder::A] };
    if !can::<G>(Ability::Drain) {
        return;
    }
    // The withdrawal of the hold that is there comes first more often than not.
    for call in 0..3 {
        let chance = if call == 0 && !number.is_multiple_of(3) { 0 } else { chance(number * 3 + call) };
        let holder = names[usize::try_from(chance / 2).unwrap_or_default() % names.len()];
        if chance.is_multiple_of(2) { gateway.end(holder) } else { gateway.begin(holder) }
    }
}

fn judge_ending<G: Gateway>(ending: Ending, gateway: &G) -> Found {
    let told = gateway.snapshot();
    let shuts_down = matches!(told.state, DrainState::ShutdownDraining | DrainState::Stopped);
    match ending {
        Ending::ShutDown => {
            if !shuts_down {
                return Err(format!("shut_down ran beside calls of begin and end, and the gateway tells \"{told}\"."));
            }
            if gateway.admit().is_some() {
                return Err("shut_down ran beside calls of begin and end, and the gate admits.".into());
            }
        }
        Ending::ShutDownThenStop => {
            gateway.stop();
            let told = gateway.snapshot();
            if told.state != DrainState::Stopped {
                return Err(format!(
                    "shut_down ran beside calls of begin and end; then stop was called with nothing in flight, and the \
                     gateway tells \"{told}\"."
                ));
            }
        }
        Ending::Stop => {
            if told.state != DrainState::Stopped || gateway.admit().is_some() {
                return Err(format!(
                    "stop ran beside calls of begin and end with nothing in flight, and the gateway tells \"{told}\"."
                ));
            }
        }
        Ending::StopBesideWork => {
            if told.abandoned > 0 {
                return Err(format!("nothing was forced, and the gateway tells \"{told}\"."));
            }
        }
        Ending::ForceBesideWork => {
            if can::<G>(Ability::Count) && (told.in_flight > 0 || told.abandoned > 1) {
                return Err(format!(
                    "force_stop ran beside the end of the last work, and the gateway tells \"{told}\"."
                ));
            }
        }
    }
    Ok(())
}

/// How long a thread that was woken may be kept from running before a wait isn't judged.
const STALL: Duration = Duration::from_secs(1);

/// Waiters on threads of their own, and the last release on this one: each is told in time. Time is measured here: what a
/// waiter says of itself shows only that it looked in the end.
pub(super) fn last_release<G: Gateway>(round: u64) -> Found {
    let (gateway, _guard) = G::fresh();
    let Some(permit) = gateway.admit() else { return Err("a fresh gateway refused work.".into()) };
    super::adapter::close(&gateway);
    let waiters = 1 + round % 4;
    let begun = AtomicU64::new(0);
    let (told, released, stalled) = thread::scope(|scope| {
        let waiting: Vec<_> = (0..waiters)
            .map(|_| {
                let waiter = gateway.waiter();
                let begun = &begun;
                scope.spawn(move || {
                    begun.fetch_add(1, Ordering::Relaxed);
                    let end = waiter(PATIENCE);
                    (end, Instant::now())
                })
            })
            .collect();
        comes_true(|| begun.load(Ordering::Relaxed) == waiters);
        // Now as the waiters begin to wait, now when they all sleep.
        if round % 8 == 7 {
            thread::park_timeout(Duration::from_millis(2));
        }
        for _ in 0..round % 20 {
            thread::yield_now();
        }
        let released = Instant::now();
        gateway.finish(permit);
        // A machine that doesn't let this thread run keeps a waiter from running as well.
        let (mut stalled, mut last) = (Duration::ZERO, Instant::now());
        while waiting.iter().any(|waiter| !waiter.is_finished()) {
            thread::park_timeout(Duration::from_micros(if last - released < STALL { 50 } else { 5_000 }));
            let now = Instant::now();
            stalled = stalled.max(now - last);
            last = now;
        }
        let told: Vec<_> = waiting.into_iter().map(thread::ScopedJoinHandle::join).collect();
        (told, released, stalled)
    });
    for waited in told {
        match waited {
            Err(_) => return Err("the waiter panicked.".into()),
            Ok((Waited::Over, _)) => {
                return Err("the last work finished, and its waiter was told that the drain is over.".into());
            }
            Ok((waited, at)) => {
                let took = at.saturating_duration_since(released);
                if (waited == Waited::TimedOut || took > PATIENCE / 2) && stalled < STALL {
                    return Err(format!(
                        "the last work finished, and one of {waiters} waiter(s) slept on for {:.1} s; the gateway tells \
                         \"{}\".",
                        took.as_secs_f64(),
                        gateway.snapshot()
                    ));
                }
            }
        }
    }
    Ok(())
}
