//! Waiting: G3, G4. A wake-up that is lost leaves a thread asleep for ever, which a checker reports as a deadlock.
//!
//! First the small races, then many tasks.

use super::explore::thread::{self, JoinHandle};
use super::explore::{LIMIT, Seen, Unsynchronised, block_on};
use gateway_drain::gate::{Gate, Generation};
use gateway_drain::lifecycle::{Lifecycle, Running};
use gateway_drain::{OwnedPermit, WaitError};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

fn running_with_turns(turns: usize) -> (Lifecycle<Running>, Vec<OwnedPermit>) {
    let running = Lifecycle::<Running>::new();
    let permits = (0..turns).map(|_| running.gate().admit().expect("open").into_owned()).collect();
    (running, permits)
}

pub fn the_last_release_wakes_a_blocked_waiter(seen: &Seen) {
    let (running, mut turns) = running_with_turns(1);
    let turn = turns.pop();
    let turn = thread::spawn(move || drop(turn));
    let draining = running.begin_drain();
    let reading = draining.gate().reading();
    seen.note(if reading.drained { "drained early" } else { "waited" });
    assert_eq!(draining.gate().drained(reading.generation).wait(), Ok(()), "G4: nobody ends this drain");
    assert!(draining.drained().is_some(), "G3: what the waiter was told stays true");
    turn.join().expect("the turn ends");
}

pub fn the_last_release_wakes_a_polled_waiter(seen: &Seen) {
    let (running, mut turns) = running_with_turns(1);
    let turn = turns.pop();
    let turn = thread::spawn(move || drop(turn));
    let draining = running.begin_drain();
    let reading = draining.gate().reading();
    seen.note(if reading.drained { "drained early" } else { "waited" });
    assert_eq!(block_on(draining.gate().drained(reading.generation)), Ok(()), "G4: nobody ends this drain");
    assert!(draining.drained().is_some(), "G3: what the waiter was told stays true");
    turn.join().expect("the turn ends");
}

/// A deadline that passes in the very moment in which the last turn ends: either answer is right, if it is true.
pub fn a_wait_that_runs_out_says_what_was_left(seen: &Seen) {
    let (running, mut turns) = running_with_turns(1);
    let turn = turns.pop();
    let turn = thread::spawn(move || drop(turn));
    let draining = running.begin_drain();
    let gate = draining.gate();
    match gate.drained(gate.reading().generation).wait_timeout(Duration::from_secs(1)) {
        Ok(()) => seen.note("drained in time"),
        Err(WaitError::DeadlinePassed { in_flight: 1, internal: 0 }) => seen.note("one turn left"),
        Err(other) => panic!("a deadline that passes tells of the work that is left, not {other:?}"),
    }
    turn.join().expect("the turn ends");
}

fn two_waiters_and_the_last_of_some_turns(turns: usize, seen: &Seen) {
    let (running, turns) = running_with_turns(turns);
    let turns: Vec<_> = turns.into_iter().map(|turn| thread::spawn(move || drop(turn))).collect();
    let draining = running.begin_drain();
    let gate = draining.gate().clone();
    let generation = gate.reading().generation;
    let polled = thread::spawn({
        let gate = gate.clone();
        move || block_on(gate.drained(generation))
    });
    seen.note(if gate.reading().drained { "drained early" } else { "waited" });
    assert_eq!(gate.drained(generation).wait(), Ok(()), "G4: the blocked waiter");
    assert_eq!(polled.join().expect("the waiter ends"), Ok(()), "G4: the polled waiter");
    turns.into_iter().for_each(|turn| turn.join().expect("the turn ends"));
}

pub fn the_last_release_wakes_every_waiter(seen: &Seen) {
    two_waiters_and_the_last_of_some_turns(1, seen);
}

pub fn the_last_of_two_releases_wakes_every_waiter(seen: &Seen) {
    two_waiters_and_the_last_of_some_turns(2, seen);
}

/// The first drain never gets drained, the second one does: the first one's waiter must not take that for its own.
pub fn a_waiter_of_an_ended_drain_never_takes_a_later_one_for_its_own(seen: &Seen) {
    let (running, turns) = running_with_turns(1);
    let first = running.begin_drain();
    let gate = first.gate().clone();
    let generation = gate.reading().generation;
    // Outside of loom: it says what has happened, and orders nothing.
    let in_second = Arc::new(AtomicBool::new(false));
    let stale = thread::spawn({
        let (seen, in_second) = (seen.clone(), Arc::clone(&in_second));
        move || {
            // With a deadline, since how it sleeps and wakes is shown elsewhere.
            match gate.drained(generation).wait_timeout(Duration::from_secs(1)) {
                Err(WaitError::Reopened) if in_second.load(Ordering::Relaxed) => seen.note("told in the next"),
                Err(WaitError::Reopened) => seen.note("told between"),
                Err(WaitError::DeadlinePassed { in_flight: 1, internal: 0 }) => seen.note("ran out before"),
                other => panic!("G4: that drain ended with a turn in flight, but its waiter got {other:?}"),
            }
        }
    });
    let second = first.end_drain().begin_drain();
    in_second.store(true, Ordering::Relaxed);
    drop(turns);
    stale.join().expect("the waiter ends");
    assert!(second.drained().is_some(), "the second drain is drained, and the first one never was");
}

/// The gate reopens and stays open: the waiter must hear of that, too.
pub fn reopening_wakes_the_waiters(seen: &Seen) {
    let (running, turns) = running_with_turns(1);
    let draining = running.begin_drain();
    let gate = draining.gate().clone();
    let generation = gate.reading().generation;
    let waiter = thread::spawn(move || block_on(gate.drained(generation)));
    let _running = draining.end_drain();
    assert_eq!(waiter.join().expect("the waiter ends"), Err(WaitError::Reopened), "G4: the drain has ended");
    seen.note("reopened");
    drop(turns);
}

/// Whichever comes first, the last release or the reopening, the waiter hears of its own drain alone.
pub fn a_release_racing_a_reopening_gives_the_waiter_one_of_both(seen: &Seen) {
    let (running, mut turns) = running_with_turns(1);
    let draining = running.begin_drain();
    let gate = draining.gate().clone();
    let generation = gate.reading().generation;
    let turn = turns.pop();
    let turn = thread::spawn(move || drop(turn));
    let waiter = thread::spawn(move || gate.drained(generation).wait());
    let was_drained = draining.drained().is_some();
    let _running = draining.end_drain();
    match waiter.join().expect("the waiter ends") {
        Ok(()) => seen.note("drained"),
        Err(WaitError::Reopened) => seen.note("reopened"),
        Err(other) => panic!("G4: nobody forces a stop or sets a deadline here, but: {other:?}"),
    }
    seen.note_if(was_drained, "drained before it reopened");
    turn.join().expect("the turn ends");
}

pub fn a_forced_stop_wakes_the_waiters_and_says_abandoned(seen: &Seen) {
    let (running, turns) = running_with_turns(1);
    let shutting_down = running.begin_shutdown();
    let gate = shutting_down.gate().clone();
    let generation = gate.reading().generation;
    let waiter = thread::spawn(move || gate.drained(generation).wait());
    let (stopped, abandoned) = shutting_down.force_stop();
    assert_eq!((abandoned.in_flight, abandoned.internal), (1, 0), "S5: what was left is said");
    assert_eq!(waiter.join().expect("the waiter ends"), Err(WaitError::Abandoned), "S5: it is not drained");
    drop(turns);
    let end = stopped.gate().reading();
    assert!(end.abandoned && !end.drained, "S5: abandoned work that ends later makes no gate drained: {end:?}");
    seen.note("abandoned");
}

/// Asked to give up, the work hears of it, whether it asks first or is asked first.
pub fn an_interrupt_reaches_the_work_in_flight(seen: &Seen) {
    let (running, mut turns) = running_with_turns(1);
    let turn = turns.pop().expect("one turn");
    let turn = thread::spawn(move || {
        block_on(turn.interrupted());
    });
    let mut shutting_down = running.begin_shutdown();
    let interrupted = shutting_down.interrupt().expect("the first interrupt");
    assert_eq!(interrupted.in_flight, 1, "the turn gives up only when it is asked to");
    turn.join().expect("the turn gives up");
    assert!(shutting_down.interrupt().is_none(), "S2: it is asked once");
    assert!(shutting_down.stop().is_ok(), "the turn has given up");
    seen.note("gave up");
}

/// The same by force: abandoned work is told to give up.
pub fn a_forced_stop_reaches_the_work_in_flight(seen: &Seen) {
    let (running, mut turns) = running_with_turns(1);
    let turn = turns.pop().expect("one turn");
    let turn = thread::spawn(move || block_on(turn.interrupted()));
    let (_stopped, abandoned) = running.begin_shutdown().force_stop();
    assert_eq!(abandoned.in_flight, 1, "the turn gives up only when it is asked to");
    turn.join().expect("the turn gives up");
    seen.note("gave up");
}

/// How many drains follow each other, and how many wait for each.
const DRAINS: usize = 4;
const WAITERS: usize = 5;

/// A turn that ends whenever the schedule lets it.
fn ending(turn: OwnedPermit) -> JoinHandle<()> {
    thread::spawn(move || drop(turn))
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

fn waiter(gate: &Gate, generation: Generation, seen: &Seen) -> JoinHandle<Result<(), WaitError>> {
    let waiting = waiting(gate.clone(), generation, seen.clone());
    thread::spawn(move || block_on(waiting))
}

/// Every second drain ends with a turn in flight, so nobody who waits for it may be told "drained"; the last one is left
/// to end by itself, so everybody who waits for that has to be.
pub fn the_waiters_of_several_drains_each_hear_of_their_own(seen: &Seen) {
    let mut running = Lifecycle::<Running>::new();
    let gate = running.gate().clone();
    let (mut waiters, mut turns) = (Vec::new(), Vec::new());
    let mut last = None;
    for drain in 0..DRAINS {
        let stuck = (drain % 2 == 0).then(|| gate.admit().expect("open").into_owned());
        turns.push(ending(gate.admit().expect("open").into_owned()));
        let draining = running.begin_drain();
        let generation = gate.reading().generation;
        waiters.extend((0..WAITERS).map(|_| (drain, waiter(&gate, generation, seen))));
        if drain + 1 == DRAINS {
            last = Some(draining);
            break;
        }
        thread::yield_now();
        running = draining.end_drain();
        drop(stuck);
    }
    let told: Vec<_> =
        waiters.into_iter().map(|(drain, waiter)| (drain, waiter.join().expect("the waiter ends"))).collect();
    turns.into_iter().for_each(|turn| turn.join().expect("the turn ends"));
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

/// A wait that is dropped, registered as it is, unless it completes before its timer runs out.
struct Cancelled<W>(Option<W>, Polls);

impl<W: Future + Unpin> Future for Cancelled<W> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self(wait, timer) = &mut *self;
        let told = wait.as_mut().is_some_and(|wait| Pin::new(wait).poll(cx).is_ready());
        if told || Pin::new(timer).poll(cx).is_ready() {
            *wait = None;
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

/// Of a crowd that waits for one drain some block, some are polled, some run out of time and some are cancelled.
pub fn every_waiter_of_a_crowd_wakes_although_others_give_up(seen: &Seen) {
    let running = Lifecycle::<Running>::new();
    let gate = running.gate().clone();
    let turns: Vec<_> = (0..4).map(|_| ending(gate.admit().expect("open").into_owned())).collect();
    let draining = running.begin_drain();
    let generation = gate.reading().generation;
    let polled: Vec<_> = (0..6).map(|_| waiter(&gate, generation, seen)).collect();
    let blocked: Vec<_> = (0..6)
        .map(|_| {
            let gate = gate.clone();
            thread::spawn(move || gate.drained(generation).wait())
        })
        .collect();
    let impatient: Vec<_> = (0..6)
        .map(|polls| {
            let wait = gate.drained(generation).until(Polls(polls));
            thread::spawn(move || block_on(wait))
        })
        .collect();
    let cancelled: Vec<_> = (0..6)
        .map(|polls| {
            let wait = Cancelled(Some(gate.drained(generation)), Polls(polls));
            thread::spawn(move || block_on(wait))
        })
        .collect();

    for waiter in blocked {
        assert_eq!(waiter.join().expect("the waiter ends"), Ok(()), "G4: nobody ends this drain");
    }
    for waiter in polled {
        assert_eq!(waiter.join().expect("the waiter ends"), Ok(()), "G4: nobody ends this drain");
    }
    for waiter in impatient {
        match waiter.join().expect("the waiter ends") {
            Ok(()) => {}
            Err(WaitError::DeadlinePassed { in_flight: 1..=4, internal: 0 }) => seen.note("gave up"),
            Err(other) => panic!("G4: a waiter that gives up tells what was left, not {other:?}"),
        }
    }
    cancelled.into_iter().for_each(|waiter| waiter.join().expect("a waiter that is cancelled ends"));
    turns.into_iter().for_each(|turn| turn.join().expect("the turn ends"));
    assert!(draining.drained().is_some(), "G3: what the waiters were told stays true");
}

/// Blocked waiters, ones with a deadline and polled ones each wake, and see what the turns wrote. Then the gate reopens, and
/// those who wait for the next drain hear of that.
pub fn waiters_of_every_kind_wake_to_what_turns_wrote(seen: &Seen) {
    let (running, turns) = running_with_turns(2);
    let results = Arc::new([Unsynchronised::default(), Unsynchronised::default()]);
    let draining = running.begin_drain();
    let gate = draining.gate().clone();
    let generation = gate.reading().generation;
    let told_drained = {
        let results = Arc::clone(&results);
        move |told: Result<(), WaitError>| {
            assert_eq!(told, Ok(()), "G4: nobody ends this drain");
            assert_eq!(results.each_ref().map(Unsynchronised::get), [7, 7], "G5: so everything is seen");
        }
    };
    let waiters = kinds_of_waiters(&gate, generation, &told_drained);
    let turns = turns.into_iter().enumerate().map(|(number, turn)| {
        let results = Arc::clone(&results);
        thread::spawn(move || {
            results[number].set(7);
            drop(turn);
        })
    });
    let turns: Vec<_> = turns.collect();
    told_drained(gate.drained(generation).wait());
    turns.into_iter().chain(waiters).for_each(|thread| thread.join().expect("it ends"));

    let running = draining.end_drain();
    let stuck = gate.admit().expect("it runs again");
    let draining = running.begin_drain();
    let generation = gate.reading().generation;
    let told_reopened = |told| assert_eq!(told, Err(WaitError::Reopened), "G4: this drain ends with a turn in flight");
    let waiters = kinds_of_waiters(&gate, generation, &told_reopened);
    let _running = draining.end_drain();
    waiters.into_iter().for_each(|thread| thread.join().expect("it ends"));
    drop(stuck);
    seen.note("drained, then reopened");
}

/// One with a deadline, and one that is polled.
fn kinds_of_waiters(
    gate: &Gate,
    generation: Generation,
    told: &(impl Fn(Result<(), WaitError>) + Clone + Send + 'static),
) -> [JoinHandle<()>; 2] {
    let timed = {
        let (wait, told) = (gate.drained(generation), told.clone());
        thread::spawn(move || told(wait.wait_timeout(LIMIT)))
    };
    let polled = {
        let (wait, told) = (gate.drained(generation), told.clone());
        thread::spawn(move || told(block_on(wait)))
    };
    [timed, polled]
}
