//! S1 to S6: the state machine.

use super::pairs::{Ending, endings};
use super::session::{Found, Session, Step, all_holders, one_holder, script, search};
use super::stress::hammer;
use super::watch::Watched;
use super::windows::windows;
use super::{Ability, Gateway, Verdict, can, judge};
use crate::properties::PropertyId;
use crate::state::{DrainState, Event, Step as Rule, next};

/// Judges by sequences of calls of one holder: each leaves the state alone or moves it as the table says. A shutdown may
/// stop by itself.
///
/// It does not show that a move which the table has is made, only that no other is (see G1, L1, L2 and L3), and it sees no
/// state that lasts for less than a call.
pub fn s1_only_the_tables_transitions_exist<G: Gateway>() -> Verdict {
    judge::<G>(PropertyId::S1, || {
        search::<Watched<G>>(one_holder::<G>(), |session, steps| {
            session.walk(steps, |_, seen| {
                let (from, to) = (seen.before.state, seen.after.state);
                let target = event(seen.step).map(|event| next(from, event));
                let moved = if let Some(Rule::Moves(moved)) = target { moved } else { from };
                let stopped = to == DrainState::Stopped && [from, moved].contains(&DrainState::ShutdownDraining);
                if to == from || to == moved || stopped {
                    return Ok(());
                }
                Err(format!(
                    "{} took the gateway from {from} to {to}, and the table has no such transition.",
                    seen.step
                ))
            })
        })
    })
}

fn event(step: Step) -> Option<Event> {
    match step {
        Step::Begin(_) => Some(Event::BeginDrain),
        Step::End(_) => Some(Event::EndDrain),
        Step::ShutDown => Some(Event::BeginShutdown),
        Step::Stop | Step::ForceStop => Some(Event::Stop),
        Step::Admit | Step::AdmitInternal | Step::Finish => None,
    }
}

/// Judges by two gateways that get the same calls, one of them each event of one sort twice: they tell the same
/// throughout.
///
/// It does not show what a repetition does that the snapshot doesn't tell (a second notification, a longer lease), nor a
/// repetition that other calls come between.
pub fn s2_every_event_is_idempotent<G: Gateway>() -> Verdict {
    judge::<G>(PropertyId::S2, || {
        let calls = one_holder::<G>();
        let events: Vec<Step> = calls.iter().copied().filter(|call| event(*call).is_some()).collect();
        search::<Watched<G>>(calls, |_, steps| {
            events
                .iter()
                .filter(|event| steps.contains(event))
                .try_for_each(|event| told_twice::<Watched<G>>(steps, *event))
        })
    })
}

fn told_twice<G: Gateway>(steps: &[Step], event: Step) -> Found {
    let mut once = Session::<G>::new();
    script::<G>(|twice| {
        twice.walk(steps, |twice, seen| {
            let first = once.take(seen.step).after;
            let second = if seen.step == event { twice.take(event).after } else { seen.after };
            if first == second {
                return Ok(());
            }
            let then = seen.step;
            Err(format!("told {event} twice, a gateway tells \"{second}\" after {then}; told it once, \"{first}\"."))
        })
    })
}

/// Judges by sequences of calls: once the gateway has told that it shuts down, it tells nothing else but that it has
/// stopped.
///
/// It does not show that a shutdown was begun at all (L1, L3), nor that the gate refuses meanwhile (G1).
pub fn s3_a_shutdown_wins_nothing_leads_from_it_to_running_or_to_an_external_drain<G: Gateway>() -> Verdict {
    judge::<G>(PropertyId::S3, || {
        search::<Watched<G>>(all_holders::<G>(), |session, steps| {
            session.walk(steps, |_, seen| {
                if !seen.keeps(PropertyId::S3) {
                    return Err(format!("{} took a gateway that shuts down back to {}.", seen.step, seen.after.state));
                }
                Ok(())
            })
        })?;
        endings::<Watched<G>>(Ending::ShutDown)
    })
}

/// Judges by sequences of calls: a gateway that has told that it stopped goes on telling so, and admits nothing.
///
/// It does not show what the process does that the gateway is part of.
pub fn s4_stopped_is_final<G: Gateway>() -> Verdict {
    judge::<G>(PropertyId::S4, || {
        search::<Watched<G>>(all_holders::<G>(), |session, steps| {
            session.walk(steps, |session, seen| {
                if !seen.keeps(PropertyId::S4) {
                    return Err(format!("{} took a stopped gateway to {}.", seen.step, seen.after.state));
                }
                if seen.before.state == DrainState::Stopped && (seen.admitted || session.admits()) {
                    return Err("a stopped gateway admitted work.".into());
                }
                Ok(())
            })
        })?;
        endings::<Watched<G>>(Ending::Stop)
    })
}

/// Judges by sequences of calls: without force the gateway never tells that it stopped while work is unfinished. With
/// [`Ability::Force`] it is then forced, has stopped, and tells how much was unfinished.
///
/// It does not show that the work abandoned is told of it, or ends.
pub fn s5_stopped_with_work_left_only_if_forced_and_then_the_number_abandoned_is_recorded<G: Gateway>() -> Verdict {
    judge::<G>(PropertyId::S5, || {
        search::<Watched<G>>(one_holder::<G>(), |session, steps| {
            session.walk(steps, |session, seen| {
                let left = session.outstanding();
                // Work that a stopped gateway admits is another matter: that of S4.
                if seen.after.state == DrainState::Stopped && !seen.admitted && left > 0 {
                    return Err(format!("{} stopped the gateway, unforced, with {left} in flight.", seen.step));
                }
                Ok(())
            })?;
            if !can::<G>(Ability::Force) {
                return Ok(());
            }
            session.take(Step::ShutDown);
            let left = session.outstanding();
            let forced = session.take(Step::ForceStop).after;
            if forced.state != DrainState::Stopped {
                return Err(format!("the gateway was forced to stop, and is {}.", forced.state));
            }
            if forced.abandoned != left {
                let told = forced.abandoned;
                return Err(format!("a forced stop abandoned {left}, and the gateway tells that it abandoned {told}."));
            }
            Ok(())
        })?;
        endings::<Watched<G>>(Ending::StopBesideWork)
    })
}

/// Judges by sequences of calls, of two holders if the gateway knows them: whenever it tells that it runs, it admits.
///
/// It does not show a status that is wrong for a moment only, between two calls that run at once, and it takes a gateway
/// that refuses for another reason (it is full) for one that is closed.
pub fn s6_the_status_shows_running_only_if_the_gate_admits<G: Gateway>() -> Verdict {
    judge::<G>(PropertyId::S6, || {
        search::<Watched<G>>(all_holders::<G>(), |session, steps| {
            session.walk(steps, |session, seen| {
                if seen.after.state == DrainState::Running && session.refuses() {
                    let step = seen.step;
                    return Err(format!(
                        "after {step} the status shows running, and the gate refuses{}.",
                        session.if_full()
                    ));
                }
                Ok(())
            })
        })?;
        windows::<Watched<G>>(PropertyId::S6)?;
        hammer::<Watched<G>>(PropertyId::S6)
    })
}
