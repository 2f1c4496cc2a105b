//! What a published status says of a hold, and of the write that lies in its place.

use super::{changed, no_such_hold, overdue};
use crate::client::Failure;
use crate::client::chain::{InHand, another};
use crate::client::transport::StoredRequest;
use crate::control::Found;
use crate::hold::{Action, Nonce, Outcome, Request, RequestId, Source};
use crate::status::{DrainStatus, HoldStatus};

/// Whether what was found is the hold in hand, as far as the gateway has answered it.
pub(super) fn is_in_hand(in_hand: &InHand, found: &StoredRequest, status: Option<&DrainStatus>) -> Result<(), Failure> {
    let (id, nonce) = (&found.request.id, found.request.nonce.as_ref());
    if in_hand.is(nonce, None) {
        return Ok(());
    }
    let held = status.and_then(|status| hold_in(status, id));
    let answered = |status: &DrainStatus| {
        let mut answers = status.acknowledged.iter();
        answers.any(|answer| answer.request_id == *id && answer.nonce.as_ref() == nonce)
    };
    let is_seen = held.is_some_and(|held| held.nonce.as_ref() == nonce) || status.is_some_and(answered);
    match held {
        Some(held) if is_seen && in_hand.is(nonce, held.first_seen()) => Ok(()),
        _ if is_seen => Err(another()),
        // Of what the gateway has yet to look at, it isn't known whether it renews this hold or begins another.
        _ => Err(changed()),
    }
}

/// What another hand of the same owner has written is replaced once the gateway has answered it: until then the one who wrote it
/// waits for that answer, and there would be none.
pub(super) fn is_answered(
    there: &Found,
    request: &Request,
    in_hand: &InHand,
    status: Option<&DrainStatus>,
) -> Result<(), Failure> {
    let (Found::Valid(lying), Some(status)) = (there, status) else { return Ok(()) };
    let is_own = [&request.nonce, &in_hand.written].contains(&&lying.nonce);
    let asks = lying.owner == request.owner && matches!(lying.action, Action::Begin | Action::Commit);
    let mut answers = status.acknowledged.iter().filter(|answer| answer.request_id == request.id);
    // Who shuts down or is silent answers nothing.
    let answers_none = status.state.is_ending() || overdue(status).is_some();
    if is_own || !asks || answers_none || answers.any(|answer| answer.nonce == lying.nonce) {
        return Ok(());
    }
    Err(changed())
}

/// Unless what ends the hold lies there and the gateway has yet to read it: a write over that would undo the ending, and the
/// writer of the ending would never be answered.
pub(super) fn is_left_standing(there: &Found, id: &RequestId, status: Option<&DrainStatus>) -> Result<(), Failure> {
    let (Found::Valid(lying), Some(status)) = (there, status) else { return Ok(()) };
    let mut answers = status.acknowledged.iter().filter(|answer| answer.request_id == *id);
    let is_ended = hold_in(status, id).is_some_and(|held| held.is_ended_by(lying));
    if !is_ended || answers.any(|answer| answer.nonce == lying.nonce) {
        return Ok(());
    }
    Err(Failure::Withdrawn(match lying.action {
        Action::Override => "somebody else ends the hold on purpose, and the gateway has yet to read that".into(),
        _ => "the hold is being withdrawn".into(),
    }))
}

/// Whether this is the commit that was granted, although another's write lies in its place.
pub(super) fn is_token(status: &DrainStatus, commit: &Request) -> bool {
    let token = committed(status, &commit.id).and_then(|hold| hold.token.as_ref());
    token.is_some() && token == commit.nonce.as_ref()
}

pub(super) fn hold_in<'a>(status: &'a DrainStatus, id: &RequestId) -> Option<&'a HoldStatus> {
    status.hold(id)
}

/// The owner's hold that stands there by the gateway's word, where the absence of what lies there may not be its withdrawal:
/// nothing lies there, or another's write, or one that the gateway has not seen yet in the place of another's.
pub(super) fn covered<'a>(status: &'a DrainStatus, request: &Request, there: &Found) -> Option<&'a HoldStatus> {
    let held = hold_in(status, &request.id).filter(|hold| hold.owner == request.owner)?;
    let Found::Valid(stored) = there else { return Some(held) };
    let answers = status.acknowledged.iter().filter(|answer| answer.request_id == request.id);
    let is_seen = answers.into_iter().any(|answer| answer.nonce == stored.nonce)
        && !status.ignored.iter().any(|ignored| ignored.request_id == request.id.as_str());
    (stored.owner != request.owner || !is_seen).then_some(held)
}

/// The owner's uncommitted hold in a file, by the gateway's word.
pub(super) fn uncommitted<'a>(status: &'a DrainStatus, id: &RequestId, owner: &str) -> Option<&'a HoldStatus> {
    hold_in(status, id).filter(|hold| hold.source == Source::File && hold.owner == owner && !hold.committed)
}

/// The hold of this name, if it is committed.
pub(super) fn committed<'a>(status: &'a DrainStatus, id: &RequestId) -> Option<&'a HoldStatus> {
    hold_in(status, id).filter(|hold| hold.committed)
}

/// What the gateway has answered to this write.
fn answered(status: &DrainStatus, id: &RequestId, nonce: Option<&Nonce>) -> Option<Outcome> {
    let mut answers = status.acknowledged.iter();
    let given = answers.find(|answer| answer.request_id == *id && answer.nonce.as_ref() == nonce);
    given.map(|answer| answer.outcome)
}

/// Whether the gateway has answered this commit, and does not grant it.
pub(super) fn is_turned_down(status: Option<&DrainStatus>, id: &RequestId, nonce: Option<&Nonce>) -> bool {
    let outcome = status.and_then(|status| answered(status, id, nonce));
    matches!(outcome, Some(Outcome::Ended(_) | Outcome::Refused(_) | Outcome::Ignored(_)))
}

/// Whether what lies there is nobody's: the gateway has answered it as over and shows no hold of its name, so it lies there as if
/// nothing did. The answer is to this very write, and what has ended stays so for as long as it lies there: a hold that was begun
/// since has another write in its place. What another has written is spared all the same where the gateway is silent.
pub(super) fn is_nobodys(there: &Found, id: &RequestId, owner: &str, status: Option<&DrainStatus>) -> bool {
    let (nonce, is_own) = match there {
        Found::Valid(lying) => (lying.nonce.as_ref(), lying.owner == owner),
        // Content that makes no sense is a write too.
        Found::Unreadable { nonce: Some(nonce), .. } => (Some(nonce), false),
        _ => return false,
    };
    let Some(status) = status else { return false };
    let is_believed = is_own || overdue(status).is_none();
    let is_over = answered(status, id, nonce).is_some_and(Outcome::is_over);
    is_believed && is_over && hold_in(status, id).is_none()
}

/// Why nothing of `owner` stands there: what the gateway has answered to its own write, or to an override; of another owner's write
/// that says nothing.
pub(super) fn how_it_ended(there: &Found, id: &RequestId, owner: &str, status: Option<&DrainStatus>) -> Failure {
    let outcome = match there {
        Found::Valid(lying) if lying.owner == owner || lying.action == Action::Override => {
            status.and_then(|status| answered(status, id, lying.nonce.as_ref()))
        }
        _ => None,
    };
    let ended = outcome.and_then(Failure::of);
    ended.unwrap_or_else(no_such_hold)
}

#[cfg(test)]
mod tests;
