//! G1 to G6: admission, the counts, and waiting.

use super::adapter::close;
use super::pairs::{Ending, endings, finish_beside_wait, last_release};
use super::race::{AtEnd, PATIENCE, closing, comes_true, rounds};
use super::session::{Found, Session, Step, all_holders, one_holder, script, search};
use super::stress::hammer;
use super::watch::Watched;
use super::windows::windows;
use super::{Ability, Gateway, Holder, Verdict, Waited, can, judge};
use crate::properties::PropertyId;
use crate::state::DrainState;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Judges by sequences of calls, and by threads that ask for admission while the gate closes: none that asks after
/// `begin` or `shut_down` has returned is admitted, until `end`.
///
/// It does not show entries that pass by the adapter, nor an admission that was asked for before the call returned and
/// granted after: that one shows in G2 and G3.
pub fn g1_no_admission_after_a_closing_call_has_returned<G: Gateway>() -> Verdict {
    judge::<G>(PropertyId::G1, || {
        search::<Watched<G>>(one_holder::<G>(), |session, steps| {
            let mut closed_by = None;
            session.walk(steps, |_, seen| {
                match (seen.step, closed_by) {
                    (Step::Begin(_) | Step::ShutDown, _) => closed_by = Some(seen.step),
                    (Step::End(_), _) => closed_by = None,
                    (Step::Admit, Some(by)) if seen.admitted => {
                        return Err(format!("work was admitted after {by} had returned."));
                    }
                    _ => {}
                }
                Ok(())
            })
        })?;
        rounds::<G>(|_| {
            let closing = closing::<Watched<G>>();
            if closing.late == 0 {
                return Ok(());
            }
            Err(format!("{} admission(s) were granted after the closing call had returned.", closing.late))
        })?;
        hammer::<Watched<G>>(PropertyId::G1)
    })
}

/// Judges by sequences of calls, and by an onlooker while threads bring work: from the moment a closing call has returned,
/// the number in flight that the gateway tells never rises.
///
/// It does not show work that the gateway doesn't count, nor a rise so short that no look falls into it.
pub fn g2_active_work_never_rises_while_draining<G: Gateway>() -> Verdict {
    judge::<G>(PropertyId::G2, || {
        search::<Watched<G>>(one_holder::<G>(), |session, steps| {
            session.walk(steps, |_, seen| {
                if !seen.keeps(PropertyId::G2) {
                    let (before, after) = (seen.before.in_flight, seen.after.in_flight);
                    return Err(format!(
                        "{} raised the work in flight from {before} to {after} in a drain.",
                        seen.step
                    ));
                }
                Ok(())
            })
        })?;
        rounds::<G>(|_| {
            let closing = closing::<Watched<G>>();
            let Some((first, second)) = closing.contradiction(|first, second| second.in_flight > first.in_flight)
            else {
                return Ok(());
            };
            Err(format!(
                "the work in flight rose from {} to {} while the gateway drained.\n{}",
                first.in_flight,
                second.in_flight,
                closing.told()
            ))
        })?;
        hammer::<Watched<G>>(PropertyId::G2)
    })
}

/// Judges by sequences of calls, and by an onlooker while threads bring work: once the gateway has told drained, it tells
/// so until somebody ends the drain or the gateway has stopped.
///
/// It does not show that drained was told rightly (G5).
pub fn g3_drained_stays_true_until_the_drain_ends<G: Gateway>() -> Verdict {
    judge::<G>(PropertyId::G3, || {
        search::<Watched<G>>(all_holders::<G>(), |session, steps| {
            session.walk(steps, |_, seen| {
                if seen.before.drained && seen.step == Step::AdmitInternal && seen.admitted {
                    return Err("internal work was admitted after the gateway had told drained.".into());
                }
                if !seen.keeps(PropertyId::G3) {
                    return Err(format!("{} made a drained gateway tell that it is not.", seen.step));
                }
                Ok(())
            })
        })?;
        rounds::<G>(|_| {
            let closing = closing::<Watched<G>>();
            let undone = closing
                .contradiction(|first, second| first.drained && !second.drained && second.state != DrainState::Stopped);
            if undone.is_none() {
                return Ok(());
            }
            Err(format!("the gateway told drained, and then that it is not, in one drain.\n{}", closing.told()))
        })?;
        windows::<Watched<G>>(PropertyId::G3)?;
        hammer::<Watched<G>>(PropertyId::G3)
    })
}

/// Judges by waiters whose drain has ended, also when the next one is drained: none of them completes. And by threads that
/// wait while the last work finishes: each of them completes, in every round.
///
/// It does not show a waiter that outlives thousands of drains, nor a wake-up that is lost less often than the rounds
/// find.
pub fn g4_no_wake_up_is_lost_and_a_waiter_completes_only_for_its_own_generation<G: Gateway>() -> Verdict {
    judge::<G>(PropertyId::G4, || {
        if can::<G>(Ability::Drain) {
            let (a, b) = (Step::Begin(Holder::A), Step::End(Holder::A));
            for then in [&[b][..], &[b, a, Step::Finish], &[b, Step::Finish, a], &[b, Step::Finish, a, b, a]] {
                outlived_waiter::<Watched<G>>(then)?;
            }
        }
        rounds::<G>(last_release::<Watched<G>>)?;
        finish_beside_wait::<Watched<G>>()?;
        hammer::<Watched<G>>(PropertyId::G4)
    })
}

/// A waiter made for a drain, and not asked before other calls have ended that drain.
fn outlived_waiter<G: Gateway>(then: &[Step]) -> Found {
    script::<G>(|session| {
        session.take_all(&[Step::Admit, Step::Begin(Holder::A)]);
        session.note("a waiter for this drain is made");
        session.with_waiter(then, |waiter| match waiter(Duration::from_millis(50)) {
            Waited::Drained => {
                Err("a waiter completed although its own drain had ended before it was drained.".to_owned())
            }
            Waited::Over | Waited::TimedOut => Ok(()),
        })
    })
}

/// Judges by sequences of calls: drained is never told while work is unfinished. And by data that work writes as the last
/// thing before it finishes, on another thread: a thread that sees drained sees it, and who is admitted after the end of the
/// drain sees what was written in between.
///
/// It does not show a memory order that is too weak for another machine than this one; a model checker does.
pub fn g5_who_saw_drained_sees_what_finished_work_wrote_and_who_enters_next_what_was_written_meanwhile<G: Gateway>()
-> Verdict {
    judge::<G>(PropertyId::G5, || {
        search::<Watched<G>>(one_holder::<G>(), |session, steps| {
            session.walk(steps, |session, seen| {
                let left = session.outstanding();
                if seen.after.drained && left > 0 {
                    return Err(format!("the gateway told drained with {left} unfinished, which may write still."));
                }
                Ok(())
            })
        })?;
        rounds::<G>(handed_over::<Watched<G>>)?;
        hammer::<Watched<G>>(PropertyId::G5)
    })
}

fn handed_over<G: Gateway>(round: u64) -> Found {
    // Relaxed throughout: only the gateway may put these in an order.
    let (by_work, meanwhile) = (AtomicU64::new(0), AtomicU64::new(0));
    let (ended, over) = (AtomicBool::new(false), AtomicBool::new(false));
    let (gateway, _guard) = G::fresh();
    let Some(permit) = gateway.admit() else { return Err("a fresh gateway refused work.".into()) };
    close(&gateway);
    thread::scope(|scope| {
        let _over = AtEnd(&over);
        let next = scope.spawn(|| {
            by_work.store(round, Ordering::Relaxed);
            gateway.finish(permit);
            while can::<G>(Ability::Drain) && !over.load(Ordering::Relaxed) {
                // Not before the end: a gateway that admits while closed is G1's to catch.
                if ended.load(Ordering::Relaxed)
                    && let Some(permit) = gateway.admit()
                {
                    let seen = meanwhile.load(Ordering::Relaxed);
                    gateway.finish(permit);
                    return Some(seen);
                }
                thread::yield_now();
            }
            None
        });
        if !comes_true(|| gateway.snapshot().drained) {
            return Err(format!("all work has finished, and {PATIENCE:?} later the gateway does not tell drained."));
        }
        if by_work.load(Ordering::Relaxed) != round {
            return Err("who saw drained did not see what the finished work had written.".into());
        }
        if !can::<G>(Ability::Drain) {
            return Ok(());
        }
        meanwhile.store(round, Ordering::Relaxed);
        gateway.end(Holder::A);
        ended.store(true, Ordering::Relaxed);
        comes_true(|| next.is_finished());
        over.store(true, Ordering::Relaxed);
        match next.join() {
            Ok(Some(seen)) if seen != round => {
                Err("who was admitted after the drain did not see what was written while drained.".into())
            }
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(format!("{PATIENCE:?} after the end of the drain nobody has been admitted.")),
            Err(_) => Err("the work panicked.".into()),
        }
    })
}

/// Judges by sequences of calls, a forced stop, more work at once than a count of 16 bits can hold, and work from several
/// threads: the number in flight that the gateway tells is that of the permits, and with what was abandoned it adds up.
///
/// It does not show a count that fails beyond 70,000, nor work that nobody counts.
pub fn g6_admitted_is_finished_plus_abandoned_plus_in_flight_without_under_or_overflow<G: Gateway>() -> Verdict {
    judge::<G>(PropertyId::G6, || {
        search::<Watched<G>>(one_holder::<G>(), |session, steps| {
            session.walk(steps, |session, _| {
                adds_up(session, session.turns())?;
                let (told, expected) = (session.gateway.internal(), session.internal());
                if told == expected || !can::<G>(Ability::Internal) || session.gateway.snapshot().abandoned > 0 {
                    return Ok(());
                }
                Err(format!("{expected} piece(s) of internal work are unfinished, and the gateway tells {told}."))
            })?;
            if can::<G>(Ability::ShutDown) && can::<G>(Ability::Force) {
                session.take_all(&[Step::ShutDown, Step::ForceStop]);
                let left = session.outstanding();
                adds_up(session, left)?;
                // What was abandoned may end all the same, and changes nothing any more.
                session.finish_all();
                adds_up(session, left)?;
            }
            Ok(())
        })?;
        many::<Watched<G>>()?;
        windows::<Watched<G>>(PropertyId::G6)?;
        if can::<G>(Ability::ShutDown) && can::<G>(Ability::Force) {
            endings::<Watched<G>>(Ending::ForceBesideWork)?;
        }
        hammer::<Watched<G>>(PropertyId::G6)
    })
}

fn adds_up<G: Gateway>(session: &Session<G>, expected: u64) -> Found {
    let told = session.gateway.snapshot();
    if told.in_flight.checked_add(told.abandoned) == Some(expected) {
        return Ok(());
    }
    Err(format!("{expected} piece(s) of work are unfinished, and the gateway tells \"{told}\"."))
}

/// As much at once as it takes to overflow a count of 16 bits, or as there is time for; less if the gateway refuses.
fn many<G: Gateway>() -> Found {
    const MANY: usize = 70_000;
    const TIME: Duration = Duration::from_secs(2);
    let (gateway, _guard) = G::fresh();
    let (begun, mut permits) = (Instant::now(), Vec::new());
    let told = |expected: u64| match gateway.snapshot().in_flight {
        told if told == expected => Ok(()),
        told => Err(format!(
            "{expected} pieces of work are in flight, and the gateway tells {told}.\n\
             Admitted one after the other by a fresh gateway; the first to finish did so after the last was admitted."
        )),
    };
    while permits.len() < MANY && begun.elapsed() < TIME {
        let Some(permit) = gateway.admit() else { break };
        permits.push(permit);
        let number = permits.len() as u64;
        if number.is_power_of_two() || number.is_multiple_of(10_000) {
            told(number)?;
        }
    }
    told(permits.len() as u64)?;
    for permit in permits {
        gateway.finish(permit);
    }
    told(0)
}
