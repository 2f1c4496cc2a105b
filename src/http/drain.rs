//! The drain endpoint: whether a request may be written, the write, and the wait for the gateway's answer.
//!
//! A write replaces the file that lies in the hold's place, no matter who wrote that. So what is somebody else's, committed or
//! gone is told from the published status, and nothing is written ([`plan`]). What changes between that look and the
//! write is for the gateway to refuse, which it does (H2, H4): a refused write leaves the hold standing. And such a file
//! is left lying, since to remove it would withdraw the hold whose file it replaced.

use super::body::Asked;
use super::problem::{Fault, Problem};
use super::responses::{MarkerAnswer, RemovedAnswer, json};
use super::status_source::{Published, answer, hold, ignored};
use crate::control::Found;
use crate::hold::{Action, Denied, Ending, Nonce, Outcome, Request, RequestId};
use crate::status::{HoldStatus, Snapshot, asked_by};
use crate::wire::{HoldAnswer, HoldsAnswer, Verb};
use axum::http::StatusCode;
use axum::response::Response;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

/// How long an answer waits for the acknowledgement if the request doesn't say.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

/// What was seen before anything was written.
struct PriorState {
    status: Option<Arc<Snapshot>>,
    found: Found,
}

/// What is to be done to the hold's file.
#[derive(Debug, PartialEq, Eq)]
enum Plan {
    Write,
    Remove,
}

/// Does what was asked, on behalf of `who`.
pub(super) async fn act(
    published: &Published,
    turn: &Mutex<()>,
    asked: &Asked,
    who: &str,
    wait: Option<Duration>,
) -> Result<Response, Problem> {
    let request = asked.request(who)?;
    let (by_then, mut is_patient) = (Instant::now() + wait.unwrap_or(PATIENCE), true);
    let (writing, seen) = loop {
        // One at a time from the look to the write, so that two requests to this process can't overwrite each other unseen.
        let writing = turn.lock().await;
        let status = published.status().await.map_err(unusable(Some(false)))?;
        let found = published.found(asked.id()).await.map_err(unusable(Some(false)))?;
        let seen = PriorState { status, found };
        let Some(other) = unanswered(asked, who, &seen).filter(|_| is_patient) else { break (writing, seen) };
        drop(writing);
        // Its writer waits for that answer, of which nothing would be heard once another write has taken its place.
        let is_answered = |status: Option<&Arc<Snapshot>>| {
            let given = status
                .map(|status| answer(status, asked.id()).is_some_and(|(write, _)| write.as_ref() == Some(&other)));
            given.unwrap_or(true).then_some(())
        };
        let left = by_then.saturating_duration_since(Instant::now());
        is_patient = published.wait(left, is_answered).await.map_err(unusable(Some(false)))?.is_some();
    };
    let planned = plan(asked, who, &seen);
    if matches!(&planned, Err(problem) if problem.fault == Fault::Denied(Denied::LeaseExpired))
        && asked.verb == Verb::Cancel
    {
        // It holds nothing any more, and would only lie there.
        if let Found::Valid(lying) = &seen.found
            && let Some(nonce) = &lying.nonce
        {
            published.clear(asked.id(), nonce).await;
        }
    }
    let planned = planned?;
    if !is_as_expected(asked, &seen) {
        return Err(changed());
    }
    // The time is one, for the turn and for the answer.
    let patience = match wait {
        None if seen.status.is_none() && !published.is_live().await => Duration::ZERO,
        _ => by_then.saturating_duration_since(Instant::now()),
    };
    match (planned, request) {
        (Plan::Write, Some(request)) => {
            let request = completed(asked, request, &seen);
            own_epoch(published, seen.status.as_deref())?;
            write(published, writing, asked, &seen, request, wait, patience).await
        }
        _ => remove(published, writing, asked, &seen, patience).await,
    }
}

/// The write that lies there and that a living gateway has yet to answer, where the request would take its place and leave the hold
/// standing: one of the same owner or, under a begin that would carry on what was ended, one that ends the hold. A renewal and a
/// commit are told of that at once.
fn unanswered(asked: &Asked, who: &str, seen: &PriorState) -> Option<Nonce> {
    let status = seen.status.as_deref().filter(|status| !shuts_down(status))?;
    let Found::Valid(lying) = &seen.found else { return None };
    let renews = matches!(asked.verb, Verb::Drain | Verb::Renew | Verb::Commit) && !asked.condition.only_new;
    let held = hold(status, asked.id()).filter(|held| held.owner == who);
    let ends = asked.verb == Verb::Drain && held.is_some_and(|held| !held.committed && held.is_ended_by(lying));
    let asks = lying.owner == who && asks(&seen.found);
    let waits = renews && (asks || ends) && !is_read(asked.id(), seen) && lying.nonce != asked.said().nonce;
    lying.nonce.clone().filter(|_| waits)
}

/// Whether the gateway has answered what lies there.
fn is_read(id: &RequestId, seen: &PriorState) -> bool {
    let answered = seen.status.as_deref().and_then(|status| answer(status, id));
    matches!(&seen.found, Found::Valid(lying) if answered.is_some_and(|(write, _)| *write == lying.nonce))
}

/// Whether what lies there begins a hold, renews or commits it.
fn asks(found: &Found) -> bool {
    matches!(found, Found::Valid(lying) if matches!(lying.action, Action::Begin | Action::Commit))
}

/// Whether what ends this hold lies there, and the gateway has yet to look.
fn is_being_ended(held: &HoldStatus, seen: &PriorState) -> bool {
    let ends = matches!(&seen.found, Found::Valid(lying) if held.is_ended_by(lying));
    ends && !is_read(&held.request_id, seen)
}

/// What may be done, from what the gateway has published; the file that lies there matters only to spare it, and a file
/// that is gone is not put back by a renewal: somebody has withdrawn the hold.
fn plan(asked: &Asked, who: &str, seen: &PriorState) -> Result<Plan, Problem> {
    let (id, verb, status) = (asked.id(), asked.verb, seen.status.as_deref());
    if let (Some(meant_for), Some(status)) = (asked.said().incarnation.as_ref(), status)
        && *meant_for != status.drain.incarnation
    {
        return Err(Denied::OtherIncarnation.into());
    }
    let held = status.and_then(|status| hold(status, id));
    let answered = status.and_then(|status| answer(status, id));
    let ended = |nonce: &Option<Nonce>| answered.is_some_and(|(write, outcome)| write == nonce && outcome.is_over());
    // Whose it is: the gateway's word, or, of a write that it hasn't answered yet, the file's.
    let owner = match (held, &seen.found) {
        (Some(held), _) => Some(held.owner.as_str()),
        (None, Found::Valid(lying)) if !ended(&lying.nonce) => Some(lying.owner.as_str()),
        _ => None,
    };
    // What belongs to nobody is there for the taking; and the marker, for the cancelling, as in the reference.
    let unowned = matches!(verb, Verb::Drain | Verb::Renew) || (verb == Verb::Cancel && id.is_marker());
    let mine = owner.is_none_or(|owner| owner == who || (owner.is_empty() && unowned));
    if verb != Verb::Override && !mine {
        return Err(Denied::NotYours.into());
    }
    let shuts_down = status.is_some_and(shuts_down);
    if shuts_down && !matches!(verb, Verb::Cancel | Verb::Override) {
        return Err(Denied::ShuttingDown.into());
    }
    // While a commit stands, its file is the only trace of it that its owner can read.
    if matches!(verb, Verb::Drain | Verb::Renew) && held.is_some_and(|held| held.committed) {
        return Err(Denied::Committed.into());
    }
    match verb {
        Verb::Drain if asked.condition.only_new && stands(asked, held, seen, &ended) => Err(exists()),
        Verb::Drain if status.is_none() && asked.said().incarnation.is_some() => Err(no_gateway(Some(false))),
        // It has been waited for, and what is begun in its place would carry the hold on.
        Verb::Drain if held.is_some_and(|held| is_being_ended(held, seen)) => Err(Problem::unavailable(
            "what ends the hold lies in its place, and the gateway has not answered it yet: ask again",
            Some(false),
        )),
        Verb::Drain => Ok(Plan::Write),
        Verb::Cancel if id.is_marker() => Ok(Plan::Remove),
        _ if status.is_none() => Err(no_gateway(Some(false))),
        // The shutdown refuses it; its file would still hold the next process.
        Verb::Cancel if shuts_down && held.is_none() && owner.is_some() => Ok(Plan::Remove),
        _ => match held {
            Some(held) if verb == Verb::Cancel && held.committed && asked.said().token != held.token => {
                Err(Denied::Committed.into())
            }
            Some(held) if matches!(verb, Verb::Renew | Verb::Commit) => match &seen.found {
                // Of what was written over it, the absence withdraws nothing; nor of what is committed.
                Found::Absent if held.committed || (held.overwritten && !id.is_marker()) => Ok(Plan::Write),
                Found::Absent => Err(Denied::NotHeld.into()),
                // Somebody has ended it, and the gateway has yet to look.
                _ if is_being_ended(held, seen) => Err(Denied::NotHeld.into()),
                // Whatever somebody else wrote over a hold that stands: its owner's write takes its place again.
                Found::Valid(_) | Found::Stale { .. } | Found::Unreadable { .. } => Ok(Plan::Write),
            },
            Some(_) if verb == Verb::Override && id.is_marker() => Ok(Plan::Remove),
            Some(_) => Ok(Plan::Write),
            None if owner.is_some() && (verb == Verb::Cancel || (verb == Verb::Renew && asks(&seen.found))) => {
                Ok(Plan::Write)
            }
            None if answered.is_some_and(|(_, outcome)| outcome == Outcome::Ended(Ending::Expired)) => {
                Err(Denied::LeaseExpired.into())
            }
            None if verb == Verb::Cancel => Err(Denied::NotHeld.into()),
            None => Err(status.and_then(|status| other_epoch(id, status)).unwrap_or_else(|| Denied::NotHeld.into())),
        },
    }
}

/// What the endpoint would do with a request.
#[doc(hidden)]
#[derive(Debug)]
pub enum Planned {
    /// It writes this.
    Write(Box<Request>),
    /// It removes the file.
    Remove,
    /// It first waits for the gateway's answer to the write that lies there.
    Wait,
    /// It refuses with this word.
    Refused(&'static str),
}

/// What the endpoint would do with this body, on behalf of `who`, after it has seen this. The model of the protocol compares that with
/// what the gateway makes of the same request.
#[doc(hidden)]
#[must_use]
pub fn planned(body: &[u8], who: &str, status: Option<Arc<Snapshot>>, found: Found) -> Planned {
    let seen = PriorState { status, found };
    let planned = || {
        let asked = Asked::parse(body)?;
        let request = asked.request(who)?;
        if unanswered(&asked, who, &seen).is_some() {
            return Ok(Planned::Wait);
        }
        Ok(match (plan(&asked, who, &seen)?, request) {
            (Plan::Write, Some(request)) => Planned::Write(Box::new(completed(&asked, request, &seen))),
            _ => Planned::Remove,
        })
    };
    planned().unwrap_or_else(|problem: Problem| Planned::Refused(problem.fault.word()))
}

/// The request with what it doesn't name, as the hold that stands has it.
fn completed(asked: &Asked, request: Request, seen: &PriorState) -> Request {
    let stands = standing_request(&request, seen);
    stands.into_iter().fold(request, |request, stands| asked.keeping(request, &stands))
}

/// What the owner has asked for last. Another's write over the hold has no say in it.
fn standing_request(request: &Request, seen: &PriorState) -> Option<Request> {
    match &seen.found {
        Found::Valid(lying) if lying.owner == request.owner => {
            Some(asked_by((**lying).clone(), seen.status.as_deref().map(|status| &status.drain)))
        }
        _ => {
            let status = seen.status.as_deref()?;
            hold(status, &request.id).map(|held| held.asked(&status.drain.incarnation))
        }
    }
}

/// Whether the hold's last write is one that the request's condition names, or the request itself, which is sent again.
fn is_as_expected(asked: &Asked, seen: &PriorState) -> bool {
    let status = seen.status.as_deref();
    let held = status.and_then(|status| hold(status, asked.id()));
    let answered = status.and_then(|status| answer(status, asked.id()));
    let ended = |nonce: &Option<Nonce>| answered.is_some_and(|(write, outcome)| write == nonce && outcome.is_over());
    let last = match &seen.found {
        Found::Valid(lying)
            if held.is_none_or(|held| held.owner == lying.owner)
                && matches!(lying.action, Action::Begin | Action::Commit)
                && !ended(&lying.nonce) =>
        {
            lying.nonce.as_ref()
        }
        _ => held.and_then(|held| held.nonce.as_ref()),
    };
    // A shutdown refuses a renewal that lies there, and answers no other: what the hold's last write was stays known.
    let decided = held.filter(|_| asked.verb == Verb::Cancel && status.is_some_and(shuts_down));
    let decided = decided.and_then(|held| held.nonce.as_ref());
    asked.condition.is_met(last)
        || (decided.is_some() && asked.condition.is_met(decided))
        || (last.is_some() && last == asked.said().nonce.as_ref())
}

fn changed() -> Problem {
    Problem::new(Fault::Changed, "the hold's last write is not one that `If-Match` names: look at it again")
}

fn exists() -> Problem {
    Problem::new(Fault::Exists, "there is such a hold already: it can be renewed, or begun without `If-None-Match`")
}

/// Whether there is a hold of this name already, by another write than this one: one that is asked for again is no other.
fn stands(
    asked: &Asked,
    held: Option<&HoldStatus>,
    seen: &PriorState,
    ended: &impl Fn(&Option<Nonce>) -> bool,
) -> bool {
    let other = |nonce: &Option<Nonce>| nonce.is_none() || *nonce != asked.said().nonce;
    let lies = match &seen.found {
        Found::Valid(lying) if lying.action == Action::Begin && !ended(&lying.nonce) => other(&lying.nonce),
        _ => false,
    };
    lies || held.is_some_and(|held| other(&held.nonce))
}

async fn write(
    published: &Published,
    writing: MutexGuard<'_, ()>,
    asked: &Asked,
    seen: &PriorState,
    request: Request,
    wait: Option<Duration>,
    patience: Duration,
) -> Result<Response, Problem> {
    let id = asked.id();
    let deadline = Instant::now() + patience;
    let written = if asked.condition.is_bound() {
        published.write_over(request.clone(), seen.found.clone()).await
    } else {
        published.write(request.clone()).await
    };
    let requested_at = match written {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(if asked.condition.only_new { exists() } else { changed() });
        }
        written => written.map_err(unusable(Some(false)))?,
    };
    drop(writing);

    let acknowledged = |status: Option<&Arc<Snapshot>>| {
        let status = status?;
        // Another hold may be begun in the place of one that has ended before the answer is looked for.
        let is_another = || hold(status, id).is_some() && was_begun_again(id, seen, status);
        let outcome = match (answer(status, id), asked.verb) {
            (Some((write, outcome)), _) if *write == request.nonce => outcome,
            (_, Verb::Cancel) if is_another() => Outcome::Ended(Ending::Withdrawn),
            (_, Verb::Override) if is_another() => Outcome::Ended(Ending::Overridden),
            _ => return None,
        };
        Some((outcome, Arc::clone(status)))
    };
    let Some((outcome, mut status)) = published.wait(patience, acknowledged).await.map_err(unusable(Some(true)))?
    else {
        let status = published.status().await.map_err(unusable(Some(true)))?;
        return Ok(if id.is_marker() {
            json(StatusCode::ACCEPTED, &MarkerAnswer::new(asked, requested_at, false))
        } else {
            HoldAnswer::unacknowledged(asked, &request, status.as_deref()).response(StatusCode::ACCEPTED)
        });
    };
    // Over and done with: it would only lie there. Not so if a hold still stands: its file is what was replaced.
    if let (Outcome::Ended(_) | Outcome::Refused(_) | Outcome::Ignored(_), None, Some(nonce)) =
        (outcome, hold(&status, id), &request.nonce)
    {
        published.clear(id, nonce).await;
    }
    judge(asked.verb, outcome)?;
    if asked.verb == Verb::Renew && was_begun_again(id, seen, &status) {
        // The lease ran out just before the write, which so became a hold of its own: that isn't what was asked for.
        if let Some(nonce) = &request.nonce {
            published.clear(id, nonce).await;
        }
        return Err(Denied::LeaseExpired.into());
    }
    if wait.is_some() && matches!(asked.verb, Verb::Drain | Verb::Renew) {
        status = until_drained(published, id, status, deadline.saturating_duration_since(Instant::now())).await?;
    }
    Ok(if id.is_marker() {
        json(StatusCode::OK, &MarkerAnswer::new(asked, requested_at, outcome == Outcome::Held))
    } else {
        HoldAnswer::acknowledged(asked, &request, outcome, &status).response(StatusCode::OK)
    })
}

/// Removes the file, and with it the hold.
async fn remove(
    published: &Published,
    writing: MutexGuard<'_, ()>,
    asked: &Asked,
    seen: &PriorState,
    patience: Duration,
) -> Result<Response, Problem> {
    let bound = asked.condition.is_bound().then(|| seen.found.clone());
    let removed = match published.remove(asked.id(), bound).await {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(changed()),
        removed => removed.map_err(unusable(Some(false)))?,
    };
    drop(writing);
    let is_gone = |status: &Snapshot| hold(status, asked.id()).is_none() || was_begun_again(asked.id(), seen, status);
    let gone = |status: Option<&Arc<Snapshot>>| status.filter(|status| is_gone(status)).cloned();
    let status = published.wait(patience, gone).await.map_err(unusable(Some(true)))?;
    let code = if status.is_some() { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok(if asked.id().is_marker() {
        let was_draining = removed && !matches!(seen.found, Found::Stale { .. });
        json(code, &RemovedAnswer { ok: true, action: asked.verb.word(), was_draining })
    } else {
        HoldAnswer::withdrawn(asked, status.as_deref()).response(code)
    })
}

fn was_begun_again(id: &RequestId, seen: &PriorState, status: &Snapshot) -> bool {
    let first_seen = |status: &Snapshot| hold(status, id).map(|hold| hold.first_seen_millis);
    let before = seen.status.as_deref().and_then(first_seen);
    before.is_some() && before != first_seen(status)
}

/// Every hold that the gateway knows.
pub(super) async fn list(published: &Published) -> Result<Response, Problem> {
    let status = published.status().await.map_err(unusable(None))?.ok_or_else(|| no_gateway(None))?;
    Ok(json(StatusCode::OK, &HoldsAnswer::of(&status)))
}

/// How one hold stands, for a `GET`.
pub(super) async fn stand(published: &Published, id: &RequestId, wait: Option<Duration>) -> Result<Response, Problem> {
    let status = published.status().await.map_err(unusable(None))?.ok_or_else(|| no_gateway(None))?;
    standing(id, &status)?;
    let status = match wait {
        Some(wait) => until_drained(published, id, status, wait).await?,
        None => status,
    };
    let held = hold(&status, id).ok_or(Denied::NotHeld)?;
    Ok(HoldAnswer::of(held, &status).response(StatusCode::OK))
}

/// Waits until drained, while the hold lasts, in the process that acknowledged it; gives the last status seen.
async fn until_drained(
    published: &Published,
    id: &RequestId,
    begun: Arc<Snapshot>,
    patience: Duration,
) -> Result<Arc<Snapshot>, Problem> {
    let mut last = begun;
    let ended = published
        .wait(patience, |status| {
            let Some(status) = status else { return Some(Err(no_gateway(None))) };
            if status.drain.incarnation != last.drain.incarnation {
                return Some(Err(Denied::OtherIncarnation.into()));
            }
            last.clone_from(status);
            match standing(id, status) {
                Err(problem) => Some(Err(problem)),
                Ok(()) => status.drain.drained.then_some(Ok(())),
            }
        })
        .await
        .map_err(unusable(Some(true)))?;
    match ended {
        Some(Err(problem)) => Err(problem),
        Some(Ok(())) | None => Ok(last),
    }
}

/// Whether the hold lasts, and if not, why.
fn standing(id: &RequestId, status: &Snapshot) -> Result<(), Problem> {
    // Nobody waits for a gateway that ends. A commit stands through that, and the controller that acts is told so.
    let held = hold(status, id);
    if held.is_some_and(|held| held.committed || !shuts_down(status)) {
        return Ok(());
    }
    if shuts_down(status) {
        return Err(Denied::ShuttingDown.into());
    }
    match answer(status, id) {
        Some((_, Outcome::Ended(Ending::Expired))) => Err(Denied::LeaseExpired.into()),
        _ => Err(other_epoch(id, status).unwrap_or_else(|| Denied::NotHeld.into())),
    }
}

/// What lies in the hold's place is of another epoch.
fn other_epoch(id: &RequestId, status: &Snapshot) -> Option<Problem> {
    ignored(status, id).map(|why| Problem::new(Fault::OtherEpoch, why))
}

/// A dashboard in another container, say, has another epoch than the gateway, which would ignore all that it writes.
fn own_epoch(published: &Published, status: Option<&Snapshot>) -> Result<(), Problem> {
    if status.is_some_and(|status| published.is_foreign_to(status)) {
        let why = "the gateway runs in another epoch than this endpoint (another boot, or another container)";
        return Err(Problem::new(Fault::OtherEpoch, why));
    }
    Ok(())
}

/// What the gateway's answer means to the request that asked.
fn judge(verb: Verb, outcome: Outcome) -> Result<(), Problem> {
    match (outcome, verb) {
        (Outcome::Refused(why), _) => Err(why.into()),
        (Outcome::Ended(Ending::Withdrawn), Verb::Cancel) | (Outcome::Ended(Ending::Overridden), Verb::Override) => {
            Ok(())
        }
        (Outcome::Ended(Ending::Expired), _) => Err(Denied::LeaseExpired.into()),
        (Outcome::Ended(Ending::Absorbed), _) => Err(Denied::ShuttingDown.into()),
        (Outcome::Ended(_), _) => Err(Denied::NotHeld.into()),
        (Outcome::Ignored(_), _) => Err(Problem::new(Fault::OtherEpoch, "what was written is of another epoch")),
        (Outcome::Unknown, _) => {
            let why = "the gateway's answer is a word that this version doesn't know";
            Err(Problem::unavailable(why, Some(true)))
        }
        (Outcome::Held | Outcome::Pending | Outcome::Committed, _) => Ok(()),
    }
}

fn shuts_down(status: &Snapshot) -> bool {
    status.drain.state.is_ending()
}

pub(super) const NO_GATEWAY: &str = "no gateway runs in this home, or it has published no status yet";

fn no_gateway(written: Option<bool>) -> Problem {
    Problem::unavailable(NO_GATEWAY, written)
}

/// The home failed: before the write, after it, or with none intended.
fn unusable(written: Option<bool>) -> impl FnOnce(io::Error) -> Problem {
    move |error| Problem::unavailable(format!("the home can't be used: {error}"), written)
}

#[cfg(test)]
mod tests;
