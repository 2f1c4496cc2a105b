//! L1 to L4: that what should happen does happen.
//!
//! A test can't wait for ever: "in the end" is here "when the call has returned that should make it so".

use super::pairs::{Ending, endings};
use super::session::{Session, Step, all_holders_without_shutdown, one_holder, script, search};
use super::stress::hammer;
use super::watch::Watched;
use super::windows::windows;
use super::{Ability, Gateway, Holder, Verdict, can, judge, shutdown_limit};
use crate::properties::PropertyId;
use crate::state::DrainState;

/// Shuts down, lets what is in flight finish, and stops.
fn ends<G: Gateway>(session: &mut Session<G>) -> Result<(), String> {
    session.take(Step::ShutDown);
    session.finish_all();
    match session.take(Step::Stop).after.state {
        DrainState::Stopped => Ok(()),
        other => Err(format!("a shutdown with nothing left in flight was told to stop, and is {other}.")),
    }
}

/// Judges by sequences of calls, after which the gateway is shut down, all work finishes, and it is told to stop: it has
/// stopped.
///
/// It does not show a shutdown whose work never finishes: that is L4.
pub fn l1_a_shutdown_ends_in_stopped<G: Gateway>() -> Verdict {
    judge::<G>(PropertyId::L1, || {
        search::<Watched<G>>(one_holder::<G>(), |session, steps| {
            session.take_all(steps);
            ends(session)
        })?;
        endings::<Watched<G>>(Ending::ShutDownThenStop)
    })
}

/// Judges by sequences of calls, after which every holder withdraws: the gateway admits, and says that it runs, unless it
/// was shut down.
///
/// It does not show that those are told who wait outside for it to run again.
pub fn l2_when_the_last_hold_ends_the_gateway_runs_again_unless_it_is_shutting_down<G: Gateway>() -> Verdict {
    judge::<G>(PropertyId::L2, || {
        search::<Watched<G>>(all_holders_without_shutdown::<G>(), |session, steps| {
            session.take_all(steps);
            let mut state = session.take(Step::End(Holder::A)).after.state;
            if can::<G>(Ability::Holders) {
                state = session.take(Step::End(Holder::B)).after.state;
            }
            if state == DrainState::Running && !session.refuses() {
                return Ok(());
            }
            let full = session.if_full();
            Err(format!("every hold was withdrawn, and the gateway does not run again{full}: it is {state}."))
        })?;
        windows::<Watched<G>>(PropertyId::L2)?;
        hammer::<Watched<G>>(PropertyId::L2)
    })
}

/// Judges by the four states, each reached on every short way there is: from each a shutdown ends in stopped.
///
/// It does not show other ways to the same state, which L1 samples.
pub fn l3_from_every_state_stopped_can_be_reached<G: Gateway>() -> Verdict {
    judge::<G>(PropertyId::L3, || {
        let ways: [&[Step]; 5] = [
            &[],
            &[Step::ShutDown],
            &[Step::ShutDown, Step::Stop],
            &[Step::Begin(Holder::A)],
            &[Step::Begin(Holder::A), Step::ShutDown],
        ];
        for way in ways {
            if can::<G>(Ability::Drain) || !way.contains(&Step::Begin(Holder::A)) {
                script::<Watched<G>>(|session| {
                    session.take_all(way);
                    ends(session)
                })?;
            }
        }
        Ok(())
    })
}

/// Judges by one piece of work that never finishes: when the shutdown's limit has passed, the gateway has stopped.
///
/// It does not show that the process ends then, nor a limit measured by a clock that stands still with the application.
pub fn l4_a_stuck_turn_cant_hold_a_shutdown_past_its_deadline<G: Gateway>() -> Verdict {
    let limit = shutdown_limit::<G>();
    judge::<G>(PropertyId::L4, move || {
        script::<Watched<G>>(|session| {
            session.take_all(&[Step::Admit, Step::ShutDown]);
            session.gateway.pass(limit);
            let after = session.gateway.snapshot();
            session.note(format!("{limit:?} pass: {after}"));
            if after.state == DrainState::Stopped {
                return Ok(());
            }
            Err(format!("the shutdown's limit of {limit:?} has passed, and with a stuck turn it is {}.", after.state))
        })
    })
}
