//! Races of a handful of calls: what a model checker can follow through every interleaving.
//!
//! Their threads are loom's under `--cfg loom` with the feature `loom`, where the suite's functions of the same properties
//! run them, and std's in the crate's own tests, so that they are compiled and run on every day. Nothing else in them is
//! seen by the checker: whatever it finds to interleave is the gateway's.

use super::adapter::close;
use super::session::Found;
use super::{Ability, Gateway, Holder, Snapshot, Waited, can};
use core::fmt::Write as _;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use threads::{AtomicU64, JoinHandle, Ordering};

#[cfg(all(loom, feature = "loom"))]
mod threads {
    pub(super) use ::loom::sync::atomic::{AtomicU64, Ordering};
    pub(super) use ::loom::thread::{JoinHandle, spawn};
}

#[cfg(not(all(loom, feature = "loom")))]
mod threads {
    pub(super) use std::sync::atomic::{AtomicU64, Ordering};
    pub(super) use std::thread::{JoinHandle, spawn};
}

/// What some run of a race has shown to be possible. A gate that refuses everybody is safe, and shows nothing.
#[derive(Clone, Default)]
pub(super) struct Shown(Arc<Mutex<BTreeSet<&'static str>>>);

impl Shown {
    fn note(&self, witness: &'static str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(witness);
    }

    pub(super) fn has(&self, witness: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(witness)
    }
}

pub(super) const ADMITTED: &str = "work was admitted";
pub(super) const REFUSED: &str = "work was refused";
pub(super) const DRAINED_IN_TIME: &str = "the gateway told drained before the thread of the work had been joined";
pub(super) const ENTERED: &str = "work was admitted after the drain";

/// A race: what it finds, or nothing.
pub(super) type Race = fn(&Shown) -> Found;

/// Runs `act` on a thread of its own.
fn on_a_thread<G: Gateway, T: Send + 'static>(
    gateway: &Arc<G>,
    act: impl FnOnce(&G) -> T + Send + 'static,
) -> JoinHandle<T> {
    let gateway = Arc::clone(gateway);
    threads::spawn(move || act(&gateway))
}

fn joined<T>(thread: JoinHandle<T>) -> Result<T, String> {
    thread.join().map_err(|_| "a call panicked on another thread.".to_owned())
}

fn work<G: Gateway>(gateway: &G, shown: &Shown) {
    let permit = gateway.admit();
    shown.note(if permit.is_some() { ADMITTED } else { REFUSED });
    if let Some(permit) = permit {
        gateway.finish(permit);
    }
}

/// Closes the gate while work comes and goes: whether anybody was admitted after that, and what was told from then on.
fn closing<G: Gateway>(shown: &Shown) -> Result<(bool, [Snapshot; 3]), String> {
    let (gateway, _guard) = G::fresh();
    let gateway = Arc::new(gateway);
    let worker = on_a_thread(&gateway, {
        let shown = shown.clone();
        move |gateway| work(gateway, &shown)
    });
    close(&*gateway);
    let first = gateway.snapshot();
    let late = gateway.admit().map(|permit| gateway.finish(permit)).is_some();
    let second = gateway.snapshot();
    joined(worker)?;
    Ok((late, [first, second, gateway.snapshot()]))
}

fn told(seen: &[Snapshot]) -> String {
    let mut told = String::from("What the gateway told after the closing call had returned:");
    for (number, snapshot) in seen.iter().enumerate() {
        let _ = write!(told, "\n{number:>4}. {snapshot}");
    }
    told
}

/// G1: work that asks after the closing call has returned, while other work is on its way.
pub(super) fn admission<G: Gateway>(shown: &Shown) -> Found {
    let (late, _) = closing::<G>(shown)?;
    if late { Err("work was admitted after the closing call had returned.".into()) } else { Ok(()) }
}

/// G2: three looks at the count, from the return of the closing call to the end of all work.
pub(super) fn count<G: Gateway>(shown: &Shown) -> Found {
    let (_, seen) = closing::<G>(shown)?;
    let rise = seen.windows(2).find(|two| two[1].in_flight > two[0].in_flight);
    let Some([first, second]) = rise else { return Ok(()) };
    let (from, to) = (first.in_flight, second.in_flight);
    Err(format!("the work in flight rose from {from} to {to} while the gateway drained.\n{}", told(&seen)))
}

/// G3: three looks at "drained".
pub(super) fn drained<G: Gateway>(shown: &Shown) -> Found {
    let (_, seen) = closing::<G>(shown)?;
    if seen.windows(2).any(|two| two[0].drained && !two[1].drained) {
        return Err(format!("the gateway told drained, and then that it is not, in one drain.\n{}", told(&seen)));
    }
    if !seen[2].drained {
        return Err(format!("all work has finished, and the gateway does not tell drained.\n{}", told(&seen)));
    }
    Ok(())
}

/// G4: a waiter on one thread, and the last release on another.
pub(super) fn last_release<G: Gateway>(_: &Shown) -> Found {
    /// A checker knows no time: the wait is without a limit, and a lost wake-up is a deadlock.
    const LIMIT: Duration = if cfg!(loom) { Duration::MAX } else { Duration::from_secs(60) };
    let (gateway, _guard) = G::fresh();
    let gateway = Arc::new(gateway);
    let Some(permit) = gateway.admit() else { return Err("a fresh gateway refused work.".into()) };
    close(&*gateway);
    let waiting = on_a_thread(&gateway, |gateway| gateway.waiter()(LIMIT));
    gateway.finish(permit);
    match joined(waiting)? {
        Waited::Drained => Ok(()),
        Waited::Over => Err("the last work finished, and its waiter was told that the drain is over.".into()),
        Waited::TimedOut => Err("the last work finished, and its waiter gave up, with no limit to its wait.".into()),
    }
}

/// G5: what the last work writes before it finishes, and what is written before the drain ends.
pub(super) fn handed_over<G: Gateway>(shown: &Shown) -> Found {
    const WRITTEN: u64 = 7;
    // Relaxed throughout: only the gateway may put these in an order.
    let [by_work, meanwhile, ended] = [(); 3].map(|()| Arc::new(AtomicU64::new(0)));
    let (gateway, _guard) = G::fresh();
    let gateway = Arc::new(gateway);
    let Some(permit) = gateway.admit() else { return Err("a fresh gateway refused work.".into()) };
    close(&*gateway);
    let worker = on_a_thread(&gateway, {
        let (shown, by_work, meanwhile, ended) = (shown.clone(), by_work.clone(), meanwhile.clone(), ended.clone());
        move |gateway| {
            by_work.store(WRITTEN, Ordering::Relaxed);
            gateway.finish(permit);
            // Not before the end: a gateway that admits while closed is G1's to catch.
            if !can::<G>(Ability::Drain) || ended.load(Ordering::Relaxed) == 0 {
                return true;
            }
            let Some(permit) = gateway.admit() else { return true };
            shown.note(ENTERED);
            let seen = meanwhile.load(Ordering::Relaxed) == WRITTEN;
            gateway.finish(permit);
            seen
        }
    });
    let in_time = gateway.snapshot().drained;
    let mut seen = true;
    if in_time {
        shown.note(DRAINED_IN_TIME);
        seen = by_work.load(Ordering::Relaxed) == WRITTEN;
        if can::<G>(Ability::Drain) {
            meanwhile.store(WRITTEN, Ordering::Relaxed);
            gateway.end(Holder::A);
            ended.store(1, Ordering::Relaxed);
        }
    }
    let entered_well = joined(worker)?;
    match (seen, entered_well) {
        (false, _) => Err("who saw drained did not see what the finished work had written.".into()),
        (true, false) => Err("who was admitted after the drain did not see what was written while drained.".into()),
        (true, true) => Ok(()),
    }
}

/// Two pieces of work at once; the gateway's last word when both have finished.
fn two_at_once<G: Gateway>(shown: &Shown) -> Result<Snapshot, String> {
    let (gateway, _guard) = G::fresh();
    let gateway = Arc::new(gateway);
    let worker = on_a_thread(&gateway, {
        let shown = shown.clone();
        move |gateway| work(gateway, &shown)
    });
    work(&*gateway, shown);
    joined(worker)?;
    Ok(gateway.snapshot())
}

/// G6: two pieces of work at once, and nothing is in flight when both have finished.
pub(super) fn churn<G: Gateway>(shown: &Shown) -> Found {
    match two_at_once::<G>(shown)?.in_flight {
        0 => Ok(()),
        left => Err(format!("all work of two threads has finished, and {left} are told to be in flight.")),
    }
}

/// No property: what a checker finds to interleave in two pieces of work.
pub(super) fn anything<G: Gateway>(shown: &Shown) -> Found {
    two_at_once::<G>(shown).map(drop)
}

/// On real threads, so that each race is compiled and run wherever the crate is tested.
#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::state::Event;
    use crate::{AnyLifecycle, Lifecycle, OwnedPermit, Permit};

    const ALL: usize = 6;

    /// The crate's own lifecycle, or one that hears of no closing.
    struct Own<const DEAF: bool>(Mutex<AnyLifecycle>);

    impl<const DEAF: bool> Own<DEAF> {
        fn on(&self, event: Event) {
            if !DEAF {
                self.0.lock().unwrap().on(event);
            }
        }

        fn gate(&self) -> crate::Gate {
            self.0.lock().unwrap().gate().clone()
        }
    }

    impl<const DEAF: bool> Gateway for Own<DEAF> {
        type Permit = Option<OwnedPermit>;
        type Guard = ();

        fn fresh() -> (Self, ()) {
            (Self(Mutex::new(Lifecycle::new().into())), ())
        }

        fn admit(&self) -> Option<Self::Permit> {
            self.gate().admit().ok().map(Permit::into_owned).map(Some)
        }

        fn finish(&self, permit: Self::Permit) {
            // The deaf one forgets the end of its work as well.
            if DEAF { std::mem::forget(permit) } else { drop(permit) }
        }

        fn snapshot(&self) -> Snapshot {
            let now = self.gate().reading();
            Snapshot { state: now.state, in_flight: now.in_flight, drained: now.drained, abandoned: 0 }
        }

        fn begin(&self, _: Holder) {
            self.on(Event::BeginDrain);
        }

        fn end(&self, _: Holder) {
            self.on(Event::EndDrain);
        }

        fn shut_down(&self) {
            self.on(Event::BeginShutdown);
        }

        fn stop(&self) {
            self.on(Event::Stop);
        }

        fn waiter(&self) -> super::super::Waiter<'_> {
            let gate = self.gate();
            Box::new(move |limit| match gate.drained(gate.reading().generation).wait_timeout(limit) {
                Ok(()) => Waited::Drained,
                Err(_) => Waited::Over,
            })
        }
    }

    fn races<G: Gateway>() -> [Race; ALL] {
        [admission::<G>, count::<G>, drained::<G>, last_release::<G>, handed_over::<G>, churn::<G>]
    }

    #[test]
    fn a_sound_gateway_passes_every_race_and_shows_what_makes_it_one() {
        let shown = Shown::default();
        for race in races::<Own<false>>() {
            for _ in 0..50 {
                assert_eq!(race(&shown), Ok(()));
            }
        }
        assert_eq!(anything::<Own<false>>(&shown), Ok(()));
        assert!(shown.has(ADMITTED));
    }

    #[test]
    fn a_gateway_that_neither_closes_nor_counts_the_ends_fails_each_race_but_that_of_what_was_written() {
        let shown = Shown::default();
        let found: Vec<_> = races::<Own<true>>().iter().map(|race| race(&shown).is_err()).collect();
        assert_eq!(found, [true, true, true, true, false, true]);
    }
}
