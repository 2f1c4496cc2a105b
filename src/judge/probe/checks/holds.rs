//! What is tried with hold files, leases and commits, on a gateway that knows them.

use super::{NO_NEW_PROCESS, Rows};
use crate::gate::Generation;
use crate::hold::{Incarnation, Nonce, Request, RequestId};
use crate::judge::probe::driver::{Driver, OWNER, PublishedStatus, Restarted, Stop};
use crate::properties::PropertyId::{C6, E1, H2, H3, H4, L2};
use serde_json::Value;
use std::time::Duration;

fn id(name: &str) -> RequestId {
    // Sound names: the fallback is never used.
    RequestId::new(format!("probe-{name}")).unwrap_or_else(|_| RequestId::random())
}

pub(super) fn knows_hold_files(gateway: &mut Driver<'_>) -> Result<bool, Stop> {
    let hold = id("a");
    gateway.write(&Driver::request(&hold))?;
    // A gateway that lists its holds at all is given its time to list this one.
    let lists = gateway.status()?.drain().is_some_and(|drain| drain["holds"].is_array());
    let time = if lists { gateway.options.patience } else { gateway.while_watched() };
    let known = gateway.watch(time, |seen| seen.is_draining() && seen.hold(&hold).is_some())?.is_ok();
    gateway.remove(&hold)?;
    let _ = gateway.until(PublishedStatus::is_running)?;
    Ok(known)
}

/// Each of two holds ends, and the other one goes on.
pub(super) fn two_holds(gateway: &mut Driver<'_>, rows: &mut Rows<'_>) -> Result<(), Stop> {
    let (marker, hold) = (RequestId::marker(), id("b"));
    for (ended, other) in [(&marker, &hold), (&hold, &marker)] {
        gateway.write(&Driver::request(&marker))?;
        gateway.write(&Driver::request(&hold))?;
        let both =
            |seen: &PublishedStatus| seen.is_draining() && seen.hold(&marker).is_some() && seen.hold(&hold).is_some();
        let both_named = gateway.until(both)?.is_ok();
        gateway.remove(ended)?;
        let freed = gateway.never(|seen| !seen.is_draining())?;
        match (both_named, freed) {
            (false, _) => rows.broken(H2, "two holds were begun, and the status never named both"),
            (true, None) => rows.kept(H2, format!("{ended} was cancelled under {other}: it went on draining")),
            (true, Some(seen)) => {
                rows.broken(
                    H2,
                    format!("{ended} was cancelled, {other} lies there, and the status says {}", seen.state()),
                );
            }
        }
        gateway.remove(other)?;
        let _ = gateway.until(PublishedStatus::is_running)?;
    }
    Ok(())
}

/// How often the check of a lease is tried, if the probe itself doesn't renew in time.
const TRIES: u32 = 3;

/// A lease is renewed, and runs out.
pub(super) fn a_lease(gateway: &mut Driver<'_>, rows: &mut Rows<'_>) -> Result<(), Stop> {
    let hold = id("lease");
    let mut told = false;
    for _ in 0..TRIES {
        told = renewed_and_run_out(gateway, rows, &hold)?;
        gateway.remove(&hold)?;
        let _ = gateway.until(PublishedStatus::is_running)?;
        if told {
            break;
        }
    }
    if !told {
        rows.unseen(H3, format!("the probe could not renew in time in any of {TRIES} tries: this machine is too busy"));
    }
    Ok(())
}

/// Tells what it saw, unless a renewal was written so late that the gateway was right to end the lease.
fn renewed_and_run_out(gateway: &mut Driver<'_>, rows: &mut Rows<'_>, hold: &RequestId) -> Result<bool, Stop> {
    let lease = gateway.options.tick * 2 + Duration::from_secs(1);
    let begin = || Driver::request(hold).lease(lease);
    let mut written = gateway.now();
    gateway.write(&begin())?;
    let _ = gateway.until(PublishedStatus::is_draining)?;
    let mut early = None;
    for _ in 0..3 {
        // Renewed at half of the lease, for longer than the lease.
        early = early.or(gateway.watch(lease / 2, |seen| !seen.is_draining())?.ok());
        let next = gateway.now();
        gateway.write(&begin())?;
        // The lease may run from the moment at which the write began, and a gateway looks once in a tick.
        if gateway.since(written) + gateway.options.tick >= lease {
            return Ok(false);
        }
        written = next;
    }
    let ended = gateway.watch(lease + gateway.options.patience, PublishedStatus::is_running)?;
    let again = gateway.never(|seen| !seen.is_running())?;
    let of = format!("a lease of {} ms", lease.as_millis());
    match (early, &ended, again) {
        (Some(_), ..) => rows.broken(H3, format!("{of} was renewed in time, and the gate reopened")),
        (None, Err(_), _) => rows.broken(H3, format!("{of} ran out, and the gate stayed closed")),
        (None, Ok(_), Some(_)) => rows.broken(H3, format!("{of} ran out, and its file closed the gate once more")),
        (None, Ok((_, took)), None) => {
            let took = took.as_millis();
            rows.kept(
                H3,
                format!("{of} was renewed three times; {took} ms after the last, the gate reopened for good"),
            );
        }
    }
    Ok(true)
}

/// Begins a hold and commits it. None if that was not granted.
fn committed(gateway: &mut Driver<'_>, rows: &mut Rows<'_>, hold: &RequestId) -> Result<Option<()>, Stop> {
    gateway.write(&Driver::request(hold))?;
    let drained = |seen: &PublishedStatus| {
        seen.hold(hold).is_some() && seen.drain().is_some_and(|drain| drain["drained"] == true)
    };
    let Ok((seen, _)) = gateway.until(drained)? else {
        rows.unseen(E1, "the gateway never said that it is drained");
        gateway.remove(hold)?;
        return Ok(None);
    };
    let drain = seen.drain().cloned().unwrap_or_default();
    let incarnation = Incarnation::from(drain["incarnation"].as_str().unwrap_or_default().to_owned());
    let generation: Option<Generation> = serde_json::from_value(drain["generation"].clone()).ok();
    let generation = generation.unwrap_or_else(|| Generation::from(0));

    let stranger = Request::commit(hold.clone(), OWNER, Incarnation::fresh(), generation);
    gateway.write(&stranger)?;
    if let Some(nonce) = &stranger.nonce {
        let answered = gateway.until(|seen| seen.answer(nonce).is_some())?;
        let answer =
            answered.as_ref().map_or("nothing", |(seen, _)| seen.answer(nonce).unwrap_or("nothing")).to_owned();
        let evidence = format!("a commit meant for another incarnation was answered with {answer}");
        rows.tell(C6, answer == "refused", evidence.clone(), evidence);
    }

    let commit = Request::commit(hold.clone(), OWNER, incarnation, generation);
    let Some(token) = commit.nonce.clone() else { return Ok(None) };
    // Noted before it is written: from then on it may be granted.
    gateway.committed(hold, token.clone());
    gateway.write(&commit)?;
    if gateway.until(|seen| seen.answer(&token) == Some("committed"))?.is_ok() {
        return Ok(Some(()));
    }
    rows.broken(C6, "a commit of a drained gateway, with its incarnation and generation, was not granted");
    // It may be granted yet, and then it ends with its token alone.
    gateway.withdraw(hold)?;
    let _ = gateway.until(|seen| seen.hold(hold).is_none())?;
    gateway.withdrawn(hold)?;
    Ok(None)
}

/// Commits, and lets others try to end it.
pub(super) fn a_commit(gateway: &mut Driver<'_>, rows: &mut Rows<'_>) -> Result<(), Stop> {
    let (hold, marker) = (id("commit"), RequestId::marker());
    if committed(gateway, rows, &hold)?.is_none() {
        let _ = gateway.until(PublishedStatus::is_running)?;
        return Ok(());
    }
    gateway.remove(&hold)?;
    let by_removal = gateway.never(|seen| !seen.is_draining())?;
    gateway.write(&Driver::request(&marker))?;
    gateway.pause(gateway.options.tick)?;
    gateway.remove(&marker)?;
    gateway.write(&Request::withdraw(hold.clone(), OWNER).token(Nonce::fresh()))?;
    let by_others = gateway.never(|seen| !seen.is_draining() || seen.agents() > 0)?;
    match (by_removal, by_others) {
        (Some(_), _) => rows.broken(H4, "the file of a committed hold was removed, and the gate reopened"),
        (None, Some(_)) => {
            rows.broken(
                H4,
                "a committed hold ended with another hold's cancel, or with a withdrawal without its token",
            );
        }
        (None, None) => {
            rows.kept(H4, "a committed hold outlasted its file, another's cancel and a withdrawal with a wrong token");
        }
    }
    let mut there = true;
    if let Some(command) = gateway.options.restart.clone() {
        gateway.tried = "--restart-cmd under a commit".into();
        let Restarted { shut_down, first } = gateway.restart(&command)?;
        there = first.is_some();
        let committed = |seen: &PublishedStatus| seen.is_draining() && seen.hold(&hold).is_some_and(is_committed);
        let drains = first.as_ref().is_some_and(committed);
        let stays = drains && gateway.never(|seen| !seen.is_draining() || seen.agents() > 0)?.is_none();
        match (first, stays, shut_down) {
            (None, ..) => rows.unseen(E1, NO_NEW_PROCESS),
            (Some(_), true, _) => {
                rows.kept(E1, "a committed hold outlived a restart, with its file gone, and nothing was in flight");
            }
            (Some(_), false, true) => {
                rows.unseen(E1, "--restart-cmd shuts the gateway down, which ends a commit: let it kill");
            }
            (Some(_), false, false) => rows.broken(E1, "a committed hold did not outlive the death of the process"),
        }
    }
    gateway.withdraw(&hold)?;
    if gateway.until(PublishedStatus::is_running)?.is_err() {
        if !there {
            // The withdrawal is left for a gateway that comes back after all.
            return Err(Stop::Lost(NO_NEW_PROCESS.into()));
        }
        rows.broken(L2, "a committed hold was withdrawn with its token, and the gate stayed closed");
    }
    gateway.withdrawn(&hold)?;
    Ok(())
}

fn is_committed(hold: &Value) -> bool {
    hold["committed"] == true
}

#[cfg(test)]
mod tests;
