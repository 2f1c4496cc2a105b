//! Two calls at once, again and again: a controller beside the last work, a waiter beside it, and what runs beside an ending.
//!
//! Two threads meet before each pair of calls, so that the calls overlap, and what must be so when both have returned is
//! known for every order of the two.

use super::race::{AtEnd, PATIENCE, comes_true, effort};
use super::session::Found;
use super::stress::{BUDGET, Budget, Dice, waited_for_a_processor};
use super::{Ability, Gateway, Holder, Waited, can};
use crate::state::DrainState;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

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

/// A waiter begins to wait beside the end of the last work.
///
/// The thread that finishes it wakes at an instant of its own: now before the wait, now in the middle of its beginning, now
/// when the waiter sleeps.
pub(super) fn finish_beside_wait<G: Gateway>() -> Found {
    if !can::<G>(Ability::Drain) {
        return Ok(());
    }
    let (gateway, _guard) = G::fresh();
    let (permit, finished_at, over) = (Mutex::new(None), Mutex::new(None), AtomicBool::new(false));
    thread::scope(|scope| {
        let _over = AtEnd(&over);
        scope.spawn(|| {
            // Also if the call panics.
            let _over = AtEnd(&over);
            while !over.load(Ordering::Relaxed) {
                thread::park_timeout(Duration::from_micros(10));
                let taken = permit.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let Some(permit) = taken {
                    gateway.finish(permit);
                    *finished_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
                }
            }
        });
        let (budget, mut dice) = (Budget::of(BUDGET.mul_f64(effort::<G>())), Dice(3));
        while budget.is_left() {
            let Some(admitted) = gateway.admit() else {
                return Err("nobody holds the gate closed, and it refuses.".into());
            };
            *permit.lock().unwrap_or_else(PoisonError::into_inner) = Some(admitted);
            gateway.begin(Holder::A);
            let waiter = gateway.waiter();
            let (begun, pause) = (Instant::now(), Duration::from_micros(dice.below(100)));
            while begun.elapsed() < pause {
                std::hint::spin_loop();
            }
            let stood_in_line = waited_for_a_processor();
            let told = waiter(PATIENCE);
            let at = Instant::now();
            let stood_in_line = waited_for_a_processor().saturating_sub(stood_in_line);
            let finished = || finished_at.lock().unwrap_or_else(PoisonError::into_inner);
            if !comes_true(|| finished().is_some()) {
                return Err("finish has not returned, or panicked, beside a waiter.".into());
            }
            let finish = finished().take();
            gateway.end(Holder::A);
            // On a busy machine the work may have finished late, and the waiter may have been woken and not run.
            let took = finish.map_or(Duration::ZERO, |finish| at.saturating_duration_since(finish));
            let took = took.saturating_sub(stood_in_line);
            if told == Waited::Over || took > PATIENCE / 2 {
                return Err(format!(
                    "the last work finished as a waiter began to wait, and {took:.1?} later it was told {told:?}."
                ));
            }
        }
        Ok(())
    })
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
    // The last work ends but once for each gateway that is made.
    let rare = if ending == Ending::ForceBesideWork { 4.0 } else { 1.0 };
    let budget = Budget::of(BUDGET.mul_f64(effort::<G>() * rare));
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
