//! The controller's side over the HTTP endpoint of a gateway, or of a dashboard process beside it.
//!
//! It relies on the endpoint's promise that every answer is the gateway's own acknowledgement, by the process that holds
//! the home's lock (`docs/http.md`), and takes nothing else for the endpoint's word ([`answer`](super::answer)). The bearer
//! token is in no message and no debug output.

use super::answer::{Answer, NegativeAnswer, read};
use super::chain::{InHand, another};
use super::endpoint::{Ask, Endpoint};
use super::transport::{StoredRequest, Withdrawal, WriteReceipt};
use super::watch::{GatewayView, SeenHold, StatusView};
use super::{Failure, Interrupt, Status};
use crate::hold::fields::body;
use crate::hold::{Action, Denied, Incarnation, Outcome, Request, RequestId};
use crate::sync::{Arc, Mutex};
use crate::wire::{HoldAnswer, Standing, Verb, tag};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const DRAIN: &str = "/api/gateway/drain";

#[derive(Clone)]
pub(super) struct Http {
    endpoint: Endpoint,
    shared: Arc<Shared>,
}

/// What one call learns for the next.
#[derive(Default)]
struct Shared {
    /// The endpoint has said that it knows holds.
    knows_holds: AtomicBool,
    ahead: Mutex<LongPoll>,
    /// What was asked ahead has been answered.
    answered: AtomicBool,
}

/// Whether the endpoint is being asked to answer once it is drained.
#[derive(Default)]
struct LongPoll {
    outstanding: bool,
    at: Option<Instant>,
}

impl LongPoll {
    fn is_due(&self, now: Instant) -> bool {
        !self.outstanding && self.at.is_none_or(|at| now.saturating_duration_since(at) >= SELDOM)
    }
}

/// For so long the endpoint is asked to hold back its answer. A thread waits for that, also if nobody does any more.
const AHEAD: Duration = Duration::from_secs(2);
/// Who pauses for less has only just begun to wait.
const SHORT: Duration = Duration::from_millis(25);
/// Of a hold that another hand writes as well, it is looked so often which one it is.
const LOOKS: usize = 3;
/// However soon the endpoint answers, it is asked no more often.
const SELDOM: Duration = Duration::from_millis(250);

impl Http {
    pub(super) fn new(url: &str, secret: Option<String>) -> Result<Self, Failure> {
        Ok(Self { endpoint: Endpoint::new(url, secret)?, shared: Arc::default() })
    }

    pub(super) fn url(&self) -> &str {
        self.endpoint.url()
    }

    pub(super) fn endpoint_mut(&mut self) -> &mut Endpoint {
        &mut self.endpoint
    }

    pub(super) fn in_passing(&self) -> Self {
        Self { endpoint: self.endpoint.in_passing(), shared: Arc::clone(&self.shared) }
    }

    pub(super) fn once(&self) -> Self {
        Self { endpoint: self.endpoint.once(), shared: Arc::clone(&self.shared) }
    }

    pub(super) fn look(&self, id: &RequestId) -> GatewayView {
        match self.standing(id) {
            Ok(Some(standing)) => standing.into_look(),
            Ok(None) => GatewayView::NoHold,
            Err(Failure::Unreachable(why)) => GatewayView::Silent(why),
            Err(Failure::Ignored(why)) => GatewayView::Stale(why),
            Err(failure) => GatewayView::Over(failure),
        }
    }

    /// Pauses for so long, until it is interrupted, or until the endpoint says that it is drained or the hold has ended: that
    /// is asked for by a thread of its own (`Prefer: wait`).
    pub(super) fn pause(&self, id: &RequestId, interrupt: &Interrupt, time: Duration) {
        if self.may_ask_ahead(time) {
            self.ask_ahead(id, interrupt);
        }
        if !self.shared.answered.swap(false, Ordering::AcqRel) {
            interrupt.pause(time);
        }
    }

    fn may_ask_ahead(&self, time: Duration) -> bool {
        time >= SHORT && self.endpoint.limit() > AHEAD && self.shared.knows_holds.load(Ordering::Relaxed)
    }

    fn ask_ahead(&self, id: &RequestId, interrupt: &Interrupt) {
        let mut ahead = self.shared.ahead.lock();
        let now = Instant::now();
        if !ahead.is_due(now) {
            return;
        }
        let (http, path, interrupt) = (self.once(), format!("{DRAIN}/{id}"), interrupt.clone());
        let ask = move || {
            // The answer is not read: the next look sees for itself.
            let wait = format!("wait={}", AHEAD.as_secs());
            let _ = http.endpoint.ask(Ask { header: Some(("prefer", &wait)), ..Ask::get(&path) }, |_| Ok(()));
            http.shared.ahead.lock().outstanding = false;
            http.shared.answered.store(true, Ordering::Release);
            interrupt.nudge();
        };
        let asked = std::thread::Builder::new().name("gateway-drain-ahead".into()).spawn(ask);
        *ahead = LongPoll { outstanding: asked.is_ok(), at: Some(now) };
    }

    /// Sees to it that the endpoint knows holds, before anything is asked of it that another would take for something else.
    pub(super) fn ready(&self) -> Result<(), Failure> {
        if self.shared.knows_holds.load(Ordering::Relaxed) {
            return Ok(());
        }
        if !self.public_status()?.knows_holds {
            return Err(super::marker::knows_no_holds(self.url()));
        }
        self.shared.knows_holds.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// The hold of this name that stands there, no matter whose it is.
    pub(super) fn find(&self, id: &RequestId, owner: &str) -> Result<Option<StoredRequest>, Failure> {
        self.ready()?;
        let Some(standing) = self.standing(id)? else { return Ok(None) };
        let deadline = standing.deadline_seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let first_seen = standing.first_seen();
        // Whose token this is is the endpoint's to know, and it refuses what isn't ours.
        let owner = if standing.owner.is_empty() { owner.to_owned() } else { standing.owner };
        let begun = Request::begin(id.clone(), owner);
        // As far as a client wants to know it: what a renewal doesn't say, the endpoint keeps.
        let request = Request { deadline, nonce: standing.nonce, notes: standing.notes, ..begun };
        Ok(Some(StoredRequest { request, first_seen, committed: standing.outcome == Some(Standing::Committed) }))
    }

    fn standing(&self, id: &RequestId) -> Result<Option<HoldAnswer>, Failure> {
        match self.endpoint.ask(Ask::get(&format!("{DRAIN}/{id}")), |answer| about(id, answer)) {
            Ok(standing) => Ok(Some(standing)),
            Err(NegativeAnswer::NotHeld) => Ok(None),
            Err(no) => Err(no.into_failure()),
        }
    }

    /// The hold of this name by the list of all, which has it also while the gateway shuts down.
    fn listed(&self, id: &RequestId) -> Option<HoldAnswer> {
        let listed = self.endpoint.ask(Ask::get(DRAIN), |answer| {
            let holds = answer.sound()?.get_mut("holds").map(Value::take);
            Ok(read::<Vec<HoldAnswer>>(holds.unwrap_or_default())?)
        });
        listed.ok()?.into_iter().find(|hold| hold.request_id == *id)
    }

    /// Begins a hold that isn't there. The same write twice is one.
    pub(super) fn begin(&self, request: &Request) -> Result<WriteReceipt, Failure> {
        let found = match self.find(&request.id, &request.owner) {
            // What an earlier one left there holds nothing; and of who shuts down the endpoint says so by itself.
            Err(Failure::Ignored(_) | Failure::LeaseLost(_) | Failure::ShuttingDown) => None,
            found => found?,
        };
        match found {
            Some(found) if found.committed => return Err(Denied::Committed.into()),
            Some(found) if found.request.nonce != request.nonce => return Err(super::files::held_already(&request.id)),
            _ => {}
        }
        // Between a look and a write another may begin it: which of two begins it, the endpoint decides.
        let begun = self.send(Verb::Drain, request, Some(("if-none-match", "*")));
        begun.map_err(NegativeAnswer::into_withdrawn)
    }

    /// Renews the hold in hand.
    pub(super) fn renew(&self, request: &Request, in_hand: &InHand) -> Result<WriteReceipt, Failure> {
        self.send_in_hand(Verb::Renew, request, in_hand)
    }

    /// Asks for a commit of the hold in hand.
    pub(super) fn commit(&self, request: &Request, in_hand: &InHand) -> Result<WriteReceipt, Failure> {
        self.send_in_hand(Verb::Commit, request, in_hand)
    }

    /// Sends one action about the hold in hand. The endpoint is told which write is the hold's last one, as far as it is known
    /// here; where another is, whose hold that belongs to is looked at first.
    fn send_in_hand(&self, verb: Verb, request: &Request, in_hand: &InHand) -> Result<WriteReceipt, Failure> {
        let mut last = in_hand.last.clone();
        for _ in 0..LOOKS {
            let tag = last.as_ref().map(tag);
            match self.send(verb, request, tag.as_deref().map(|tag| ("if-match", tag))) {
                Err(NegativeAnswer::Changed) => {}
                sent => return sent.map_err(NegativeAnswer::into_withdrawn),
            }
            match self.standing(&request.id)? {
                None => return Err(NegativeAnswer::NotHeld.into_withdrawn()),
                Some(standing) if standing.outcome == Some(Standing::Committed) => return Err(Denied::Committed.into()),
                Some(standing) if in_hand.is(standing.nonce.as_ref(), standing.first_seen()) => last = standing.nonce,
                Some(_) => return Err(another()),
            }
        }
        Err(NegativeAnswer::Changed.into_failure())
    }

    /// Sends one action about one hold, on a condition.
    fn send(
        &self,
        verb: Verb,
        request: &Request,
        condition: Option<(&str, &str)>,
    ) -> Result<WriteReceipt, NegativeAnswer> {
        self.ready()?;
        let asked = body(verb, request);
        let standing = self.endpoint.ask(Ask { header: condition, ..Ask::post(DRAIN, &asked) }, |answer| {
            let standing = about(&request.id, answer)?;
            if standing.gateway.is_none() {
                return Err(Failure::Unreachable("no gateway runs there".into()).into());
            }
            Ok(standing)
        })?;
        let first_seen = standing.first_seen();
        let nonce = standing.nonce.ok_or_else(|| Failure::Unreachable("the answer names no nonce".into()))?;
        let lease = standing.lease_left_seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let answered = standing.acknowledged;
        Ok(WriteReceipt { nonce, lease, first_seen, answered, repeat: !answered })
    }

    pub(super) fn end(&self, request: &Request, ours: Option<&InHand>) -> Result<Withdrawal, Failure> {
        self.ready()?;
        let mut last = None;
        if let Some(in_hand) = ours {
            let standing = match self.standing(&request.id) {
                // By whom it was begun isn't known.
                Err(silent) if silent.is_silence() => return Err(silent),
                Err(Failure::ShuttingDown) => self.listed(&request.id),
                standing => standing.ok().flatten(),
            };
            let is_anothers = |standing: HoldAnswer| {
                standing.outcome != Some(Standing::Committed)
                    && !in_hand.is(standing.nonce.as_ref(), standing.first_seen())
                    && (request.token.is_none() || (standing.nonce.is_some() && standing.nonce != request.token))
            };
            let is_committed = |standing: &HoldAnswer| standing.outcome == Some(Standing::Committed);
            // Of a commit the token says enough. What has not been acknowledged is the write that was made last.
            last = match &standing {
                Some(standing) if is_committed(standing) => None,
                Some(standing) => standing.nonce.clone(),
                None => in_hand.last.clone(),
            };
            if standing.is_some_and(is_anothers) {
                // Another began a hold under the same name: it stays.
                return Ok(Withdrawal::NotOurs);
            }
        }
        // Between the look and the withdrawal another may begin one.
        let tag = last.as_ref().map(tag);
        let condition = tag.as_deref().map(|tag| ("if-match", tag));
        let verb = if request.action == Action::Override { Verb::Override } else { Verb::Cancel };
        let asked = body(verb, request);
        let answered = self.endpoint.ask(Ask { header: condition, ..Ask::post(DRAIN, &asked) }, |answer| {
            let code = answer.code;
            // The marker's answer is the reference's, and names no hold.
            if request.id.is_marker() {
                done(verb, answer)?;
            } else {
                about(&request.id, answer)?;
            }
            Ok(if code == 202 { Withdrawal::Written } else { Withdrawal::Done })
        });
        match answered {
            Ok(withdrawal) => Ok(withdrawal),
            Err(NegativeAnswer::Failed(Failure::ShuttingDown)) => Ok(Withdrawal::Done),
            Err(NegativeAnswer::NotHeld | NegativeAnswer::Failed(Failure::LeaseLost(_))) => Ok(Withdrawal::Nothing),
            Err(no) => Err(no.into_failure()),
        }
    }

    pub(super) fn has_ended(&self, request: &Request) -> Result<bool, Failure> {
        match self.standing(&request.id) {
            Ok(standing) => Ok(standing.is_none()),
            Err(Failure::LeaseLost(_) | Failure::Ignored(_) | Failure::ShuttingDown) => Ok(true),
            Err(Failure::Unreachable(_)) => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// Begins the marker's drain, or keeps it alive, or ends it.
    pub(super) fn marker(&self, verb: Verb, suppress_notification: bool) -> Result<(), Failure> {
        let mut asked = json!({"action": verb.word()});
        if suppress_notification {
            asked["suppress_notification"] = true.into();
        }
        match self.endpoint.ask(Ask::post(DRAIN, &asked), |answer| done(verb, answer)) {
            Ok(()) | Err(NegativeAnswer::NotHeld) => Ok(()),
            Err(no) => Err(no.into_failure()),
        }
    }

    pub(super) fn incarnation(&self) -> Result<Incarnation, Failure> {
        self.ready()?;
        let status = self.public_status()?;
        let named = status.drain.as_ref().and_then(|drain| drain.get("incarnation")?.as_str().map(str::to_owned));
        named.map(Incarnation::from).ok_or_else(|| Failure::Unreachable("no gateway runs there".into()))
    }

    pub(super) fn status(&self) -> Result<Status, Failure> {
        let mut status = self.public_status()?;
        // The public answer counts the holds; a token with the scope `read` may see them.
        if let Some(Value::Object(drain)) = &mut status.drain {
            let count = drain.insert("holds".into(), Value::Null).unwrap_or_default();
            drain.insert("hold_count".into(), count);
            let listed = self.endpoint.ask(Ask::get(DRAIN), |answer| match answer.sound()? {
                Value::Object(mut listed) if listed.contains_key("holds") => Ok(listed["holds"].take()),
                _ => Err(Failure::Unreachable("the answer is no list of holds".into()).into()),
            });
            if let Ok(holds) = listed {
                drain.insert("holds".into(), holds);
            }
        }
        Ok(status)
    }

    /// What the endpoint tells everybody.
    pub(super) fn public_status(&self) -> Result<Status, Failure> {
        let answered = self.endpoint.ask(Ask::get("/api/status"), |answer| match (answer.code, answer.body) {
            (200, Value::Object(fields)) if fields.contains_key("gateway_state") => Ok(Status::of(fields)),
            (code, _) => {
                let why = format!("{}/api/status answers {code}, and not as a gateway does", self.url());
                Err(Failure::Unreachable(why).into())
            }
        });
        answered.map_err(NegativeAnswer::into_failure)
    }

    /// Whether its readiness probe says that it takes work.
    #[cfg(feature = "fleet")]
    pub(super) fn unready(&self) -> Result<(), Failure> {
        let answered = self.endpoint.ask(Ask::get("/readyz"), |answer| {
            let said = answer.body.as_str().unwrap_or_default().trim().replace('\n', ", ");
            if (answer.code, &*said) == (200, "ready") {
                return Ok(());
            }
            Err(Failure::Unreachable(format!("{}/readyz answers {}: {said}", self.url(), answer.code)).into())
        });
        answered.map_err(NegativeAnswer::into_failure)
    }
}

/// What an answer says of the marker.
fn done(verb: Verb, answer: Answer) -> Result<(), NegativeAnswer> {
    let said = answer.sound()?;
    if said["ok"] == true && said["action"] == verb.word() {
        return Ok(());
    }
    Err(Failure::Unreachable("the answer is not the endpoint's own".into()).into())
}

/// What an answer says of this hold. One about another is not the endpoint's.
fn about(id: &RequestId, answer: Answer) -> Result<HoldAnswer, NegativeAnswer> {
    let said: HoldAnswer = read(answer.sound()?)?;
    if said.request_id == *id {
        return Ok(said);
    }
    Err(Failure::Unreachable(format!("the answer is about {}, and not about {id}", said.request_id)).into())
}

impl HoldAnswer {
    fn first_seen(&self) -> Option<u64> {
        self.first_seen_millis.filter(|seen| *seen > 0)
    }

    fn into_look(self) -> GatewayView {
        let outcome = match self.outcome {
            Some(Standing::Held) => Some(Outcome::Held),
            Some(Standing::Pending) => Some(Outcome::Pending),
            Some(Standing::Committed) => Some(Outcome::Committed),
            Some(Standing::Withdrawn | Standing::Overridden) | None => None,
        };
        let first_seen = self.first_seen();
        let Some(gateway) = self.gateway else { return GatewayView::Silent("no gateway runs there".into()) };
        let hold = outcome.map(|outcome| SeenHold {
            age: self.age_seconds.unwrap_or_default(),
            first_seen,
            lease_left: self.lease_left_seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
            pending: outcome == Outcome::Pending,
            committed: outcome == Outcome::Committed,
        });
        GatewayView::Seen(Box::new(StatusView {
            incarnation: gateway.incarnation,
            state: gateway.state,
            generation: gateway.generation,
            in_flight: gateway.in_flight,
            internal: gateway.internal,
            drained: gateway.drained,
            stalled: gateway.stalled,
            active_work: gateway.active_work,
            revision: None,
            hold,
            answers: outcome.map(|outcome| (self.nonce, outcome)).into_iter().collect(),
        }))
    }
}

#[cfg(test)]
mod tests;
