//! How a hold is ended, and how it is made sure that it has ended.

use super::chain::InHand;
use super::session::FIRST_PAUSE;
use super::transport::Withdrawal;
use super::{Drain, Failure, Interrupt};
use crate::clock::Clock;
use crate::hold::{Nonce, Request};
use std::time::Duration;

/// How hard it is tried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) time: Duration,
    /// What fails is tried again until the time is over, whatever it is: the owner of the key uses it more than once.
    pub(super) insists: bool,
}

impl Limits {
    pub(super) fn goes_on_after(self, failure: &Failure) -> bool {
        self.insists || failure.is_silence()
    }
}

/// Has a hold ended by this request, a withdrawal or an override, and waits until the gateway has noticed. With one in hand,
/// only that one is ended.
pub(super) fn withdraw(drain: &Drain, request: &Request, ours: Option<&InHand>, limits: Limits) -> Result<(), Failure> {
    let (clock, pauses, gateway) = (Clock::boot(), Interrupt::new(), drain.gateway.once());
    let began = clock.now();
    let (mut written, mut last, mut first_seen) = (None, None, None);
    loop {
        let before = gateway.glance();
        let step = match written {
            None => {
                first_seen = gateway.first_seen(&request.id);
                gateway.end(request, ours).map(|withdrawal| {
                    written = Some(withdrawal);
                    matches!(withdrawal, Withdrawal::Done | Withdrawal::NotOurs)
                })
            }
            Some(_) => Ok(false),
        };
        let ended = match step {
            Ok(false) => gateway.has_ended(request, first_seen),
            step => step,
        };
        match ended {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(failure) if limits.goes_on_after(&failure) => last = Some(failure),
            Err(failure) => return Err(failure),
        }
        if clock.now().saturating_sub(began) >= limits.time {
            return Err(match (written, last) {
                (Some(Withdrawal::Written), None) => {
                    let why =
                        "the withdrawal is written, and no gateway has noticed it; the next one to run there will";
                    Failure::Unreachable(why.into())
                }
                (_, Some(failure)) => failure,
                (_, None) => {
                    let why = "there is nothing to withdraw, and no gateway says that it holds nothing";
                    Failure::Unreachable(why.into())
                }
            });
        }
        gateway.pause(&request.id, &pauses, &before, FIRST_PAUSE);
    }
}

/// Ends the hold of the controller that asks: with this token, or with those that were kept when its commits were asked for.
pub(super) fn cancel(drain: &Drain, token: Option<Nonce>, time: Duration) -> Result<(), Failure> {
    let Request { id, owner, .. } = drain.request.clone();
    let by = |token: Option<Nonce>| Request { token, ..Request::withdraw(id.clone(), owner.clone()) };
    let limits = Limits { time, insists: false };
    let kept = drain.token_store().map(|store| store.find(&drain.gateway.name(), &id, &owner)).unwrap_or_default();
    let tried = match token {
        Some(token) => withdraw(drain, &by(Some(token)), None, limits),
        // The newest of them is the commit that stands; without any, the hold may be no committed one.
        None if kept.is_empty() => withdraw(drain, &by(None), None, limits),
        None => {
            let mut tried = Ok(());
            for kept in &kept {
                tried = withdraw(drain, &by(Some(kept.record.token.clone())), None, limits);
                if !matches!(tried, Err(Failure::Denied(_))) {
                    break;
                }
            }
            tried
        }
    };
    if tried.is_ok() {
        for kept in kept {
            kept.forget();
        }
        drain.gateway.discard(&id);
    }
    tried
}
