//! H1 to H5: who keeps the gate closed. Closed is what the gate does, not what the status says: that it refuses.

use super::session::{Session, Step, all_holders, all_holders_without_shutdown, script, search};
use super::stress::hammer;
use super::watch::Watched;
use super::windows::windows;
use super::{Ability, Gateway, Holder, Verdict, can, judge, lease};
use crate::properties::PropertyId;
use std::time::Duration;

/// Who holds, as the calls so far make it.
#[derive(Default)]
struct Held {
    holders: Vec<Holder>,
    shut_down: bool,
}

impl Held {
    fn follow(&mut self, step: Step) {
        match step {
            Step::Begin(holder) if !self.holders.contains(&holder) => self.holders.push(holder),
            Step::End(holder) => self.holders.retain(|held| *held != holder),
            Step::ShutDown => self.shut_down = true,
            _ => {}
        }
    }
}

/// Judges by sequences of calls of two holders: after each the gate refuses if one of them holds or a shutdown has begun,
/// and admits if not.
///
/// It does not show holds that come or go by other means (files, leases).
pub fn h1_closed_if_and_only_if_a_live_hold_or_a_shutdown_exists<G: Gateway>() -> Verdict {
    judge::<G>(PropertyId::H1, || {
        search::<Watched<G>>(all_holders::<G>(), |session, steps| {
            let mut held = Held::default();
            session.walk(steps, |session, seen| {
                held.follow(seen.step);
                let closed = held.shut_down || !held.holders.is_empty();
                if !closed {
                    return if session.refuses() {
                        Err(format!("nobody holds the gate closed, and it refuses{}.", session.if_full()))
                    } else {
                        Ok(())
                    };
                }
                match session.admits() {
                    true if held.shut_down => Err("a shutdown has begun, and the gate admits.".into()),
                    true => Err(format!("{} hold(s) keep the gate closed, and it admits.", held.holders.len())),
                    false => Ok(()),
                }
            })
        })?;
        windows::<Watched<G>>(PropertyId::H1)?;
        hammer::<Watched<G>>(PropertyId::H1)
    })
}

/// Judges by sequences of calls of two holders: when one withdraws, having begun or not, the gate stays closed if the
/// other still holds.
///
/// It does not show more than two holders, nor one who withdraws in another's name.
pub fn h2_withdrawing_one_hold_never_frees_another<G: Gateway>() -> Verdict {
    judge::<G>(PropertyId::H2, || {
        search::<Watched<G>>(all_holders_without_shutdown::<G>(), |session, steps| {
            let mut held = Held::default();
            session.walk(steps, |session, seen| {
                held.follow(seen.step);
                let Step::End(holder) = seen.step else { return Ok(()) };
                let Some(other) = held.holders.first() else { return Ok(()) };
                if session.admits() {
                    let (who, other) = (holder.as_str(), other.as_str());
                    return Err(format!("{who} withdrew, and the gate admits although {other} holds it closed."));
                }
                Ok(())
            })
        })?;
        windows::<Watched<G>>(PropertyId::H2)?;
        hammer::<Watched<G>>(PropertyId::H2)
    })
}

fn pass<G: Gateway>(session: &mut Session<G>, time: Duration) {
    session.gateway.pass(time);
    let after = session.gateway.snapshot();
    session.note(format!("{time:?} pass: {after}"));
}

fn step_wall_clock<G: Gateway>(session: &mut Session<G>, seconds: i64) {
    session.gateway.step_wall_clock(seconds);
    let after = session.gateway.snapshot();
    session.note(format!("the wall clock is set by {seconds} s: {after}"));
}

/// Judges by one hold that is never heard of again, with and without work in flight: at half its lease the gate is
/// closed, and once the lease has passed it admits.
///
/// It does not show renewal, nor what time is measured by: the suite moves a clock that the adapter hands it.
pub fn h3_before_commit_a_dead_controllers_hold_ends_with_its_lease<G: Gateway>() -> Verdict {
    let lease = lease::<G>();
    judge::<G>(PropertyId::H3, move || {
        let ways: [&[Step]; 2] = [&[Step::Begin(Holder::A)], &[Step::Admit, Step::Begin(Holder::A)]];
        for way in ways {
            script::<Watched<G>>(|session| {
                session.take_all(way);
                pass(session, lease / 2);
                if session.admits() {
                    return Err("a hold ended at half its lease.".into());
                }
                pass(session, lease);
                if !session.refuses() {
                    return Ok(());
                }
                Err("a hold outlived its lease, with nobody to renew it.".into())
            })?;
        }
        Ok(())
    })
}

/// Judges by one committed hold: neither another holder's coming and going nor the passing of its lease reopens the gate,
/// as far as the gateway knows holders and leases. Its owner's withdrawal does.
///
/// It does not show what a crash, a restart or a lost file does to a commit, nor that a commit is refused while work is in
/// flight.
pub fn h4_after_commit_nobody_elses_act_reopens<G: Gateway>() -> Verdict {
    let lease = lease::<G>();
    judge::<G>(PropertyId::H4, move || {
        script::<Watched<G>>(|session| {
            session.take(Step::Begin(Holder::A));
            let granted = session.gateway.commit(Holder::A);
            session.note(format!("commit(a) ({})", if granted { "granted" } else { "refused" }));
            if !granted {
                return Err("the gateway was drained under a live hold, and its commit was refused.".into());
            }
            if can::<G>(Ability::Holders) {
                session.take_all(&[Step::End(Holder::B), Step::Begin(Holder::B), Step::End(Holder::B)]);
                if session.admits() {
                    return Err("a second holder came and went, and the gate admits under a committed hold.".into());
                }
            }
            pass(session, lease * 2);
            if session.admits() {
                return Err("the lease passed, and the gate admits under a committed hold.".into());
            }
            session.take(Step::End(Holder::A));
            if session.admits() {
                return Ok(());
            }
            Err("the owner of the committed hold withdrew it, and the gate refuses.".into())
        })
    })
}

/// Judges by a wall clock that is set a year forward and then two years back under a hold: neither ends the hold, and
/// neither keeps it beyond its lease.
///
/// It does not show timestamps that were wrong from the beginning.
pub fn h5_a_clock_step_changes_no_lease<G: Gateway>() -> Verdict {
    const YEAR: i64 = 365 * 24 * 60 * 60;
    let lease = lease::<G>();
    judge::<G>(PropertyId::H5, move || {
        script::<Watched<G>>(|session| {
            session.take(Step::Begin(Holder::A));
            for step in [YEAR, -2 * YEAR] {
                step_wall_clock(session, step);
                if session.admits() {
                    return Err(format!("the wall clock was set by {step} s, and that ended a hold."));
                }
            }
            pass(session, lease);
            if session.admits() || !ends_in_time::<Watched<G>>(lease) {
                return Ok(());
            }
            Err("the wall clock was set back, and a hold outlived its lease.".into())
        })
    })
}

/// Whether a hold ends with its lease when nobody touches the wall clock. If not, that is H3's to say.
fn ends_in_time<G: Gateway>(lease: Duration) -> bool {
    let mut session = Session::<G>::new();
    session.take(Step::Begin(Holder::A));
    pass(&mut session, lease);
    session.admits()
}
