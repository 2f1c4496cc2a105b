//! A crowd that works: G2, G3, G4, G6, S3. A wake-up that is lost leaves a task asleep for ever, which shuttle reports as a
//! deadlock.

use super::explore::{Seen, explore};
use gateway_drain::gate::Gate;
use gateway_drain::lifecycle::{Lifecycle, Running};
use gateway_drain::{OwnedPermit, Refusal};
use shuttle::{future, thread};

const DRAINS: usize = 3;
const POLLED: usize = 8;
const BLOCKED: usize = 6;

fn works(gate: &Gate, permit: OwnedPermit) {
    assert!(!gate.reading().drained, "G3: drained with this turn in flight");
    drop(permit);
}

fn note(seen: &Seen, closed: Refusal) {
    seen.note(if closed.is_final() { "closed for good" } else { "closed for a while" });
}

async fn polled(gate: Gate, seen: Seen) -> Refusal {
    loop {
        match gate.admitted().await {
            Ok(permit) => works(&gate, permit),
            Err(refusal) => return refusal,
        }
        note(&seen, gate.closing().await);
    }
}

fn blocked(gate: &Gate, seen: &Seen) -> Refusal {
    loop {
        if let Err(refusal) = gate.opened().wait() {
            return refusal;
        }
        match gate.admitted().wait() {
            Ok(permit) => works(gate, permit),
            Err(refusal) => return refusal,
        }
        note(seen, gate.closing().wait());
    }
}

/// Drains come and go, and then the shutdown: everybody who is admitted is counted, and everybody ends.
#[test]
fn a_crowd_works_through_several_drains_and_ends_with_the_shutdown() {
    explore("workers::a_crowd_works_through_several_drains_and_ends_with_the_shutdown", |seen| {
        let mut running = Lifecycle::<Running>::new();
        let gate = running.gate().clone();
        let tasks: Vec<_> = (0..POLLED).map(|_| future::spawn(polled(gate.clone(), seen.clone()))).collect();
        let threads: Vec<_> = (0..BLOCKED)
            .map(|_| {
                let (gate, seen) = (gate.clone(), seen.clone());
                thread::spawn(move || blocked(&gate, &seen))
            })
            .collect();
        for _ in 0..DRAINS {
            let draining = running.begin_drain();
            let generation = gate.reading().generation;
            assert_eq!(gate.drained(generation).wait(), Ok(()), "G4: each turn ends by itself");
            assert_eq!(gate.reading().total(), 0, "G3");
            running = draining.end_drain();
            thread::yield_now();
        }
        let shutdown = running.begin_shutdown();
        for task in tasks {
            assert_eq!(future::block_on(task).expect("the worker ends"), Refusal::ShuttingDown, "S3");
        }
        for thread in threads {
            assert_eq!(thread.join().expect("the worker ends"), Refusal::ShuttingDown, "S3");
        }
        assert!(shutdown.stop().is_ok(), "G6: nothing is in flight");
    });
}
