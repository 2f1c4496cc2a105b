//! Crowds that wait for a drain: G3, G4. A wake-up that is lost leaves a task asleep for ever, which shuttle reports as a
//! deadlock.

use super::explore::{Seen, explore};
use gateway_drain::gate::{Gate, Generation};
use gateway_drain::lifecycle::{Lifecycle, Running};
use gateway_drain::{OwnedPermit, WaitError};
use shuttle::future::{self, JoinHandle};
use shuttle::thread;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// How many drains follow each other, and how many wait for each.
const DRAINS: usize = 4;
const WAITERS: usize = 5;

/// A turn that ends whenever the schedule lets it.
fn ending(turn: OwnedPermit) -> JoinHandle<()> {
    future::spawn(async move { drop(turn) })
}

async fn waiting(gate: Gate, generation: Generation, seen: Seen) -> Result<(), WaitError> {
    let first = gate.reading();
    let here = first.generation == generation && !first.state.admits();
    let told = gate.drained(generation).await;
    match told {
        Ok(()) if first.drained => seen.note("drained early"),
        Ok(()) => seen.note("waited"),
        Err(WaitError::Reopened) if here => seen.note("reopened after it had looked"),
        Err(_) => seen.note("reopened"),
    }
    told
}

/// Every second drain ends with a turn in flight, so nobody who waits for it may be told "drained"; the last one is left
/// to end by itself, so everybody who waits for that has to be.
#[test]
fn the_waiters_of_several_drains_each_hear_of_their_own() {
    explore("waiters::the_waiters_of_several_drains_each_hear_of_their_own", |seen| {
        let mut running = Lifecycle::<Running>::new();
        let gate = running.gate().clone();
        let (mut waiters, mut turns) = (Vec::new(), Vec::new());
        let mut last = None;
        for drain in 0..DRAINS {
            let stuck = (drain % 2 == 0).then(|| gate.admit().expect("open").into_owned());
            turns.push(ending(gate.admit().expect("open").into_owned()));
            let draining = running.begin_drain();
            let generation = gate.reading().generation;
            waiters
                .extend((0..WAITERS).map(|_| (drain, future::spawn(waiting(gate.clone(), generation, seen.clone())))));
            if drain + 1 == DRAINS {
                last = Some(draining);
                break;
            }
            thread::yield_now();
            running = draining.end_drain();
            drop(stuck);
        }
        let told: Vec<_> = waiters
            .into_iter()
            .map(|(drain, waiter)| (drain, future::block_on(waiter).expect("the waiter ends")))
            .collect();
        turns.into_iter().for_each(|turn| future::block_on(turn).expect("the turn ends"));
        for (drain, told) in told {
            let allowed: &[_] = match drain {
                last if last + 1 == DRAINS => &[Ok(())],
                even if even % 2 == 0 => &[Err(WaitError::Reopened)],
                _ => &[Ok(()), Err(WaitError::Reopened)],
            };
            assert!(allowed.contains(&told), "G4: a waiter of drain {drain} was told {told:?}");
        }
        let drained = last.as_ref().and_then(Lifecycle::drained);
        assert!(drained.is_some(), "G3: what the waiters were told stays true");
    });
}

/// A timer that runs out when it has been polled a few times.
struct Polls(u32);

impl Future for Polls {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(left) = self.0.checked_sub(1) else { return Poll::Ready(()) };
        self.0 = left;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Of a crowd that waits for one drain some block, some are polled, some run out of time and some are cancelled.
#[test]
fn every_waiter_of_a_crowd_wakes_whoever_else_gives_up() {
    explore("waiters::every_waiter_of_a_crowd_wakes_whoever_else_gives_up", |seen| {
        let running = Lifecycle::<Running>::new();
        let gate = running.gate().clone();
        let turns: Vec<_> = (0..4).map(|_| ending(gate.admit().expect("open").into_owned())).collect();
        let draining = running.begin_drain();
        let generation = gate.reading().generation;
        let polled: Vec<_> = (0..6).map(|_| future::spawn(waiting(gate.clone(), generation, seen.clone()))).collect();
        let blocked: Vec<_> = (0..6)
            .map(|_| {
                let gate = gate.clone();
                thread::spawn(move || gate.drained(generation).wait())
            })
            .collect();
        let impatient: Vec<_> =
            (0..6).map(|polls| future::spawn(gate.drained(generation).until(Polls(polls)))).collect();
        let cancelled: Vec<_> = (0..6).map(|_| future::spawn(gate.drained(generation))).collect();
        cancelled.iter().for_each(JoinHandle::abort);

        for waiter in blocked {
            assert_eq!(waiter.join().expect("the waiter ends"), Ok(()), "G4: nobody ends this drain");
        }
        for waiter in polled {
            assert_eq!(future::block_on(waiter).expect("the waiter ends"), Ok(()), "G4: nobody ends this drain");
        }
        for waiter in impatient {
            match future::block_on(waiter).expect("the waiter ends") {
                Ok(()) => {}
                Err(WaitError::DeadlinePassed { in_flight: 1..=4, internal: 0 }) => seen.note("gave up"),
                Err(other) => panic!("G4: a waiter that gives up tells what was left, not {other:?}"),
            }
        }
        // They may have been told before they were cancelled. One that is in the middle of going is waited for: it is not to
        // be cut off there by the end of the schedule.
        cancelled.into_iter().for_each(|waiter| _ = future::block_on(waiter));
        turns.into_iter().for_each(|turn| future::block_on(turn).expect("the turn ends"));
        assert!(draining.drained().is_some(), "G3: what the waiters were told stays true");
    });
}
