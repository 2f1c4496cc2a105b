//! Those who work: they wait to be admitted, for the gate to open, for a drain to begin and to be asked to give up (G4).
//! A wake-up that is lost leaves a thread asleep for ever, which a checker reports as a deadlock.
//!
//! First the small races, then a crowd.

use super::explore::{Seen, Unsynchronised, block_on, thread};
use gateway_drain::gate::Gate;
use gateway_drain::lifecycle::{Lifecycle, Running};
use gateway_drain::{OwnedPermit, Refusal};
use std::sync::Arc;

pub fn the_end_of_a_drain_admits_a_blocked_waiter(seen: &Seen) {
    let draining = Lifecycle::<Running>::new().begin_drain();
    let gate = draining.gate().clone();
    let setting = Arc::new(Unsynchronised::default());
    let worker = thread::spawn({
        let setting = Arc::clone(&setting);
        move || {
            let permit = gate.admitted().wait();
            assert_eq!(setting.get(), 7, "G5: the work misses what was written while drained");
            permit.map(drop)
        }
    });
    setting.set(7);
    let running = draining.end_drain();
    assert_eq!(worker.join().expect("the worker ends"), Ok(()), "G4: the drain has ended");
    assert_eq!(running.gate().reading().total(), 0, "G6: its permit was one, and is back");
    seen.note("admitted");
}

pub fn the_end_of_a_drain_admits_a_polled_waiter(seen: &Seen) {
    let draining = Lifecycle::<Running>::new().begin_drain();
    let gate = draining.gate().clone();
    let worker = thread::spawn(move || block_on(gate.admitted()).map(drop));
    let running = draining.end_drain();
    assert_eq!(worker.join().expect("the worker ends"), Ok(()), "G4: the drain has ended");
    assert_eq!(running.gate().reading().total(), 0, "G6: its permit was one, and is back");
    seen.note("admitted");
}

/// The drain ends and the shutdown begins: who waits gets in between, or is told.
pub fn a_shutdown_refuses_a_waiter_for_admission(seen: &Seen) {
    let draining = Lifecycle::<Running>::new().begin_drain();
    let gate = draining.gate().clone();
    let worker = thread::spawn(move || gate.admitted().wait());
    let shutdown = draining.end_drain().begin_shutdown();
    let closed = shutdown.gate().reading();
    match worker.join().expect("G4: the worker hears of the shutdown") {
        Ok(permit) => {
            assert_eq!(closed.in_flight, 1, "G1: it got in before the shutdown closed the gate, or not at all");
            drop(permit);
            seen.note("got in between");
        }
        Err(refusal) => {
            assert_eq!((refusal, closed.in_flight), (Refusal::ShuttingDown, 0), "G6: refused, and not counted");
            seen.note("told of the shutdown");
        }
    }
    assert!(shutdown.stop().is_ok(), "G6: nothing is in flight");
}

/// There is no order among those who wait, and nobody is left behind.
pub fn the_end_of_a_drain_admits_all_who_wait_for_it(seen: &Seen) {
    let draining = Lifecycle::<Running>::new().begin_drain();
    let gate = draining.gate().clone();
    let polled = thread::spawn({
        let gate = gate.clone();
        move || block_on(gate.admitted())
    });
    let blocked = thread::spawn(move || gate.admitted().wait());
    let running = draining.end_drain();
    let permits = [polled, blocked].map(|worker| worker.join().expect("the worker ends").expect("G4: it is open"));
    assert_eq!(running.gate().reading().in_flight, 2, "G6");
    drop(permits);
    seen.note("both are admitted");
}

pub fn the_end_of_a_drain_wakes_a_waiter_for_the_opening(seen: &Seen) {
    let draining = Lifecycle::<Running>::new().begin_drain();
    let gate = draining.gate().clone();
    let worker = thread::spawn(move || gate.opened().wait());
    let _running = draining.end_drain();
    assert_eq!(worker.join().expect("the worker ends"), Ok(()), "G4: the drain has ended");
    seen.note("opened");
}

pub fn a_shutdown_wakes_a_waiter_for_the_opening(seen: &Seen) {
    let draining = Lifecycle::<Running>::new().begin_drain();
    let gate = draining.gate().clone();
    let worker = thread::spawn(move || block_on(gate.opened()));
    let _shutdown = draining.begin_shutdown();
    let told = worker.join().expect("the worker ends");
    assert_eq!(told, Err(Refusal::ShuttingDown), "S3: it never opens again");
    seen.note("told of the shutdown");
}

/// A turn that never ends by itself, and ends when it is told of the drain: so the drain is drained.
pub fn a_drain_is_told_to_the_work_in_flight(seen: &Seen) {
    let running = Lifecycle::<Running>::new();
    let turn = running.gate().admit_owned().expect("a new gate admits");
    let turn = thread::spawn(move || turn.draining().wait());
    let draining = running.begin_drain();
    assert_eq!(turn.join().expect("G4: the turn is told, and ends"), Refusal::Draining);
    assert!(draining.drained().is_some(), "and so it is drained");
    seen.note("drained");
}

/// Beside the permit, in the gate's own name, and polled: a worker that fetches work elsewhere is told to stop.
pub fn a_shutdown_wakes_a_waiter_for_a_closing(seen: &Seen) {
    let running = Lifecycle::<Running>::new();
    let gate = running.gate().clone();
    let worker = thread::spawn(move || block_on(gate.closing()));
    let _shutdown = running.begin_shutdown();
    assert_eq!(worker.join().expect("the worker ends"), Refusal::ShuttingDown, "G4");
    seen.note("told");
}

/// Who has no permit hears of the interruption too, and of an end without one.
pub fn a_stop_ends_the_wait_for_an_interruption(seen: &Seen) {
    let running = Lifecycle::<Running>::new();
    let gate = running.gate().clone();
    let supervisor = thread::spawn(move || gate.interrupted().wait());
    let stopped = running.begin_shutdown().stop().expect("nothing is in flight");
    supervisor.join().expect("the supervisor ends");
    assert!(!stopped.gate().reading().interrupted, "nobody was interrupted");
    seen.note("ended with the gateway");
}

const DRAINS: u64 = 3;
const POLLED: usize = 8;
const BLOCKED: usize = 6;

/// What a crowd that works has in common: the gate, and a number that is written in each drain.
#[derive(Clone)]
struct Crowd {
    gate: Gate,
    setting: Arc<Unsynchronised>,
    seen: Seen,
}

impl Crowd {
    fn works(&self, permit: OwnedPermit) {
        assert!((7..=7 + DRAINS).contains(&self.setting.get()), "G5: admitted, and so it sees what was written before");
        assert!(!self.gate.reading().drained, "G3: drained with this turn in flight");
        drop(permit);
    }

    fn note(&self, closed: Refusal) {
        self.seen.note(if closed.is_final() { "closed for good" } else { "closed for a while" });
    }

    async fn polled(self) -> Refusal {
        loop {
            match self.gate.admitted().await {
                Ok(permit) => self.works(permit),
                Err(refusal) => return refusal,
            }
            self.note(self.gate.closing().await);
        }
    }

    fn blocked(self) -> Refusal {
        loop {
            if let Err(refusal) = self.gate.opened().wait() {
                return refusal;
            }
            match self.gate.admitted().wait() {
                Ok(permit) => self.works(permit),
                Err(refusal) => return refusal,
            }
            self.note(self.gate.closing().wait());
        }
    }
}

/// Drains come and go, and then the shutdown: everybody who is admitted is counted, and everybody ends.
pub fn a_crowd_works_through_several_drains_and_ends_with_the_shutdown(seen: &Seen) {
    let mut running = Lifecycle::<Running>::new();
    let gate = running.gate().clone();
    let crowd = Crowd { gate: gate.clone(), setting: Arc::default(), seen: seen.clone() };
    crowd.setting.set(7);
    let polled = (0..POLLED).map(|_| {
        let crowd = crowd.clone();
        thread::spawn(move || block_on(crowd.polled()))
    });
    let blocked = (0..BLOCKED).map(|_| {
        let crowd = crowd.clone();
        thread::spawn(move || crowd.blocked())
    });
    let workers: Vec<_> = polled.chain(blocked).collect();
    for drain in 1..=DRAINS {
        let draining = running.begin_drain();
        let generation = gate.reading().generation;
        assert_eq!(gate.drained(generation).wait(), Ok(()), "G4: each turn ends by itself");
        assert_eq!(gate.reading().total(), 0, "G3");
        crowd.setting.set(7 + drain);
        running = draining.end_drain();
        thread::yield_now();
    }
    let shutdown = running.begin_shutdown();
    for worker in workers {
        assert_eq!(worker.join().expect("the worker ends"), Refusal::ShuttingDown, "S3");
    }
    assert!(shutdown.stop().is_ok(), "G6: nothing is in flight");
}
