//! The concurrent properties as loom judges them, in place of those that real threads judge: every interleaving of a
//! handful of calls, and every value that the memory model lets a load return.
//!
//! It is here where the crate is built with `--cfg loom` and the feature `loom`; the gateway under test is to take its
//! locks and condition variables from loom then, too, and its atomics from [`atomic`]: of a compare-and-swap after a load
//! loom's own don't show every interleaving. The macro and the names stay the same. What is judged by
//! sequences of calls is skipped here, and judged in a build without `--cfg loom`.
//!
//! **Bounds.** Two threads, and at most [`PREEMPTIONS`] preemptions in an execution, or as many
//! as `LOOM_MAX_PREEMPTIONS` says; nothing else cuts an exploration short. loom itself takes accesses that are
//! sequentially consistent for acquiring and releasing ones, explores no reordering of a load with a later store, and
//! knows no time: a waiter is given [`Duration::MAX`](std::time::Duration::MAX) and is to wait without a limit.
//!
//! **Nothing passes unexplored.** A gateway that gives loom no more to interleave than one without any synchronisation is
//! found broken for that reason. So is one of which no execution shows what makes the race, such as that work was admitted.

pub use crate::sync::atomic;

use super::interleavings::{
    ADMITTED, DRAINED_IN_TIME, ENTERED, REFUSED, Race, Shown, admission, anything, churn, count, drained, handed_over,
    last_release,
};
use super::session::Found;
use super::{Ability, Gateway, Holder, Snapshot, Verdict, can, caught, judge_always};
use crate::properties::PropertyId;
use crate::state::DrainState;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// How often a thread is stopped in an execution where it could have gone on, at the most.
pub const PREEMPTIONS: usize = 3;

/// Judges by an admission that is asked for after the closing call has returned, while other work comes and goes.
pub fn g1_no_admission_after_a_closing_call_has_returned<G: Gateway>() -> Verdict {
    explored::<G>(PropertyId::G1, admission::<G>, &[ADMITTED, REFUSED])
}

/// Judges by three looks at the number in flight, from the return of the closing call to the end of all work.
pub fn g2_active_work_never_rises_while_draining<G: Gateway>() -> Verdict {
    explored::<G>(PropertyId::G2, count::<G>, &[ADMITTED, REFUSED])
}

/// Judges by three looks at "drained", the last of them when all work has finished.
pub fn g3_drained_stays_true_until_the_drain_ends<G: Gateway>() -> Verdict {
    explored::<G>(PropertyId::G3, drained::<G>, &[ADMITTED, REFUSED])
}

/// Judges by a waiter on one thread and the last release on another. A waiter that sleeps on is a deadlock.
///
/// It does not show waiters of another generation.
pub fn g4_no_wake_up_is_lost_and_a_waiter_completes_only_for_its_own_generation<G: Gateway>() -> Verdict {
    explored::<G>(PropertyId::G4, last_release::<G>, &[])
}

/// Judges by data that work writes before it finishes and that is written before the drain ends, with no order but the
/// gateway's.
pub fn g5_who_saw_drained_sees_what_finished_work_wrote_and_who_enters_next_what_was_written_meanwhile<G: Gateway>()
-> Verdict {
    let witnesses: &[_] = if can::<G>(Ability::Drain) { &[DRAINED_IN_TIME, ENTERED] } else { &[DRAINED_IN_TIME] };
    explored::<G>(PropertyId::G5, handed_over::<G>, witnesses)
}

/// Judges by two pieces of work at once: when both have finished, nothing is told to be in flight.
pub fn g6_admitted_is_finished_plus_abandoned_plus_in_flight_without_under_or_overflow<G: Gateway>() -> Verdict {
    explored::<G>(PropertyId::G6, churn::<G>, &[ADMITTED])
}

fn explored<G: Gateway>(id: PropertyId, race: Race, witnesses: &[&'static str]) -> Verdict {
    judge_always::<G>(id, || {
        // Before the race: a thread that blocks without loom's knowledge blocks all of them.
        let seen = explore(anything::<G>, &Shown::default())?;
        if seen <= explore(anything::<Unseen>, &Shown::default())? {
            return Err(
                "loom found nothing to interleave in two calls: build the gateway on its atomics and locks.".into()
            );
        }
        let shown = Shown::default();
        let executions = explore(race, &shown)?;
        match witnesses.iter().find(|witness| !shown.has(witness)) {
            Some(witness) => Err(format!("in none of {executions} executions under loom was it so that {witness}.")),
            None => Ok(()),
        }
    })
}

/// Explores a race to its end: the number of its executions, or what the first one found that found something.
fn explore(race: Race, shown: &Shown) -> Result<u64, String> {
    let executions = Arc::new(AtomicU64::new(0));
    let found = Arc::new(Mutex::new(None));
    let mut builder = ::loom::model::Builder::new();
    builder.max_branches = 100_000;
    builder.preemption_bound.get_or_insert(PREEMPTIONS);
    let bound = builder.preemption_bound.unwrap_or(PREEMPTIONS);
    // Not from the environment: loom ends a truncated exploration as a passed one.
    (builder.max_permutations, builder.max_duration, builder.checkpoint_file) = (None, None, None);
    let explored = caught(|| -> Found {
        let (executions, found, shown) = (executions.clone(), found.clone(), shown.clone());
        builder.check(move || {
            executions.fetch_add(1, Ordering::Relaxed);
            if let Err(what) = race(&shown) {
                *found.lock().unwrap_or_else(PoisonError::into_inner) = Some(what);
                // The one way to end an exploration early, and no news for the panic hook.
                resume_unwind(Box::new("found"));
            }
        });
        Ok(())
    });
    let found = found.lock().unwrap_or_else(PoisonError::into_inner).take();
    let number = executions.load(Ordering::Relaxed);
    let what = match (found, explored) {
        (None, Ok(())) => return Ok(number),
        (None, Err(what)) if what.contains("deadlock; threads") => {
            "a deadlock: a thread waits for a wake-up or a lock that never comes.".to_owned()
        }
        (Some(what), _) | (None, Err(what)) => what,
    };
    Err(format!("{what}\nUnder loom, in execution {number}, with at most {bound} preemptions in each."))
}

/// A gateway of which loom sees nothing.
struct Unseen;

impl Gateway for Unseen {
    type Permit = ();
    type Guard = ();

    fn fresh() -> (Self, ()) {
        (Self, ())
    }

    fn admit(&self) -> Option<()> {
        Some(())
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot { state: DrainState::Running, in_flight: 0, drained: false, abandoned: 0 }
    }

    fn begin(&self, _: Holder) {}

    fn end(&self, _: Holder) {}

    fn shut_down(&self) {}

    fn stop(&self) {}
}
