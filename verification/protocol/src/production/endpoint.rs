//! The endpoint's plan beside the gateway: what each request over HTTP comes to after a status and a file, and what the gateway
//! makes of the same request on its next look.
//!
//! A plan is made of what has been published and of the file that lies there. If nothing changes between that and the look, the two
//! have to agree: what the endpoint writes is granted, what it refuses would be refused, what it waits for is answered, and a
//! request of a stranger changes nothing about a hold. What changes in between is the gateway's to decide, and explored as a
//! write that nobody has planned.

use super::{File, Kind, MARKER, NOW, OWNERS, PLACES, Production, Seed, Wall, id_of, reading};
use gateway_drain::control::request_file::{interpret, to_bytes};
use gateway_drain::control::scan::Scan;
use gateway_drain::control::{Found, read::Content};
use gateway_drain::gate::Reading;
use gateway_drain::hold::{Denied, Ending, Facts, Hold, Nonce, Outcome, Source};
use gateway_drain::http::{Planned, planned};
use gateway_drain::state::DrainState;
use gateway_drain::{HoldSet, Request, RequestId, Snapshot};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

/// All that a plan depends on: the holds, the place, the file there, the gate's state, and whether it is drained.
pub(super) type SeenAt = (u16, usize, File, DrainState, bool);

/// The nonce of the write that is asked for, which no other write bears.
const ASKED: &str = "asked";
/// Somebody whose holds are none of these.
const STRANGER: &str = "mallory";

/// A request over HTTP.
#[derive(Clone, Copy, Debug)]
struct Ask {
    place: usize,
    verb: &'static str,
    by_owner: bool,
    with_token: bool,
}

impl Ask {
    fn all(place: usize) -> impl Iterator<Item = Self> {
        let verbs = ["drain", "renew", "cancel", "commit", "override"];
        let verbs = verbs.into_iter().filter(move |verb| !(place == MARKER && *verb == "commit"));
        let each = verbs.flat_map(|verb| [(verb, false), (verb, true)]);
        let each = each.filter(|(verb, with_token)| !with_token || *verb == "cancel");
        each.flat_map(move |(verb, with_token)| {
            [true, false].map(|by_owner| Self { place, verb, by_owner, with_token })
        })
    }

    /// Whether this outcome is what was asked for.
    fn is_met_by(self, outcome: Outcome) -> bool {
        match outcome {
            Outcome::Held | Outcome::Pending => matches!(self.verb, "drain" | "renew"),
            Outcome::Committed => self.verb == "commit",
            Outcome::Ended(Ending::Withdrawn) => self.verb == "cancel",
            Outcome::Ended(Ending::Overridden) => self.verb == "override",
            _ => false,
        }
    }

    fn who(self) -> &'static str {
        if self.by_owner { OWNERS[self.place] } else { STRANGER }
    }
}

/// What has been published, and what lies in a place.
struct Seen<'p> {
    place: usize,
    set: &'p HoldSet,
    file: File,
    lies: Found,
    status: Arc<Snapshot>,
    gate: &'p Reading,
    /// The holds after the next look, if nobody writes.
    untouched: HoldSet,
}

impl Seen<'_> {
    fn held(&self) -> Option<&Hold> {
        self.set.get(&id_of(self.place), Source::File)
    }

    /// Its lease runs out as the gateway looks, which no status can tell.
    fn is_due(&self) -> bool {
        self.held().is_some_and(|hold| hold.commit.is_none() && hold.expires_at <= NOW)
    }

    fn answer(&self, holds: &HoldSet, write: Option<&Nonce>) -> Option<Outcome> {
        let mut given = holds.acknowledged(NOW).into_iter();
        given.find(|given| given.request_id == id_of(self.place) && given.nonce.as_ref() == write).map(|a| a.outcome)
    }

    /// Somebody has ended the hold, and the gateway has yet to look.
    fn is_ended(&self) -> bool {
        let by_what_lies_there = match self.file.kind {
            Kind::Absent => self.place == MARKER || self.held().is_some_and(|hold| !hold.overwritten),
            Kind::Withdraw | Kind::Override => self.is_unanswered(),
            _ => false,
        };
        by_what_lies_there && self.untouched.get(&id_of(self.place), Source::File).is_none()
    }

    fn is_unanswered(&self) -> bool {
        matches!(&self.lies, Found::Valid(lying) if self.answer(self.set, lying.nonce.as_ref()).is_none())
    }
}

impl Production {
    /// Whether the endpoint's plans and the gateway agree about everything that may be asked for now: the property that is broken if
    /// they don't.
    pub fn plans(&mut self, holds: u16, files: &[File; PLACES], gate: &Reading) -> Option<&'static str> {
        if !matches!(self.seed, None | Some(Seed::EndpointWritesAnything)) {
            return None;
        }
        (0..PLACES).find_map(|place| {
            let key = (holds, place, files[place], gate.state, gate.drained);
            if let Some(known) = self.plans.get(&key) {
                return *known;
            }
            let breaks = self.disagreement(holds, place, files[place], gate);
            self.plans.insert(key, breaks);
            breaks
        })
    }

    fn disagreement(&self, holds: u16, place: usize, file: File, gate: &Reading) -> Option<&'static str> {
        let (set, lies) = (&self.sets[holds as usize], self.find(place, file, Wall::True));
        let mut status = self.snapshot(set, gate);
        status.drain.incarnation = self.incarnations[1].clone();
        let untouched = self.looked(set, place, lies.clone(), gate);
        let seen = Seen { place, set, file, lies, status: Arc::new(status), gate, untouched };
        Ask::all(place).find_map(|ask| self.disagreement_about(&seen, ask))
    }

    fn disagreement_about(&self, seen: &Seen<'_>, ask: Ask) -> Option<&'static str> {
        let unplanned = self.unplanned(ask, seen.held());
        let plan = match self.seed {
            None => {
                let body = body(&unplanned, ask).to_string();
                planned(body.as_bytes(), ask.who(), Some(Arc::clone(&seen.status)), seen.lies.clone())
            }
            Some(_) => Planned::Write(Box::new(unplanned.clone())),
        };
        match plan {
            Planned::Write(request) => self.disagreement_about_a_write(seen, ask, &request),
            // Only the marker's file is removed, which everybody may do, and one that holds nothing while the gateway shuts down.
            Planned::Remove => {
                let holds_on = ask.place != MARKER && seen.held().is_some();
                holds_on.then_some("C7: the endpoint removes the file of a hold")
            }
            Planned::Wait => {
                let Found::Valid(lying) = &seen.lies else { return Some("C6: the endpoint waits for nothing") };
                let answer = seen.answer(&seen.untouched, lying.nonce.as_ref());
                answer.is_none().then_some("C6: the endpoint waits for an answer that the gateway doesn't give")
            }
            Planned::Refused("bad_request") => Some("C6: the endpoint understands nothing of what it is asked"),
            Planned::Refused(word) => {
                let after = self.looked(seen.set, ask.place, self.written(ask.place, &unplanned), seen.gate);
                let granted =
                    seen.answer(&after, unplanned.nonce.as_ref()).is_some_and(|outcome| ask.is_met_by(outcome));
                // Where the endpoint says more than files can: what lies unanswered is its writer's, neither a renewal nor a
                // commit undoes an ending, and nothing is ended that isn't there.
                let own_rule = match word {
                    "not_yours" => seen.is_due() || (seen.held().is_none() && seen.is_unanswered()),
                    "not_held" | "lease_expired" => {
                        seen.held().is_none() || (matches!(ask.verb, "renew" | "commit") && seen.is_ended())
                    }
                    _ => false,
                };
                (granted && !own_rule).then_some("C6: the endpoint refuses what the gateway would grant")
            }
        }
    }

    fn disagreement_about_a_write(&self, seen: &Seen<'_>, ask: Ask, request: &Request) -> Option<&'static str> {
        let after = self.looked(seen.set, ask.place, self.written(ask.place, request), seen.gate);
        let hold = |set: &HoldSet| {
            let hold = set.get(&id_of(ask.place), Source::File);
            hold.map(|hold| (hold.owner.clone(), hold.commit.clone()))
        };
        let is_strangers = seen.held().is_some_and(|hold| !hold.owner.is_empty() && hold.owner != ask.who());
        if is_strangers && ask.verb != "override" && hold(&after) != hold(&seen.untouched) {
            return Some("C7: a stranger's request changes a hold by way of the endpoint");
        }
        let agrees = match seen.answer(&after, request.nonce.as_ref()) {
            // What no status tells.
            Some(Outcome::Refused(Denied::NotDrained | Denied::OtherGeneration | Denied::NotClosedYet)) => {
                ask.verb == "commit"
            }
            Some(Outcome::Refused(Denied::LeaseExpired | Denied::NotHeld)) => seen.is_due() || seen.held().is_none(),
            Some(Outcome::Refused(Denied::ShuttingDown)) => seen.is_due(),
            outcome => outcome.is_some_and(|outcome| ask.is_met_by(outcome)),
        };
        (!agrees).then_some("C7: the endpoint writes what the gateway refuses")
    }

    /// What is asked for, as it would be written without a plan.
    fn unplanned(&self, ask: Ask, held: Option<&Hold>) -> Request {
        let id = id_of(ask.place);
        let mut request = match ask.verb {
            "drain" | "renew" => Request::begin(id, ask.who()),
            "cancel" => Request::withdraw(id, ask.who()),
            "override" => Request::override_hold(id, ask.who()),
            _ => {
                let generation = reading(DrainState::Running, true, false).generation;
                Request::commit(id, ask.who(), self.incarnations[1].clone(), generation)
            }
        };
        let token = held.and_then(|hold| hold.commit.as_ref()).map(|commit| commit.token.clone());
        request.token = token.filter(|_| ask.with_token);
        request.nonce = Some(Nonce::from(ASKED.to_owned()));
        request
    }

    /// What a look finds of a write.
    fn written(&self, place: usize, request: &Request) -> Found {
        let content = Content { bytes: to_bytes(request, &self.epoch), modified: 1 };
        interpret(&content, &id_of(place), &self.epoch, std::time::SystemTime::now())
    }

    /// The holds after a look that has found this in a place, and nothing about the others.
    fn looked(&self, holds: &HoldSet, place: usize, found: Found, gate: &Reading) -> HoldSet {
        let (mut scan, mut after) = (Scan::empty(), holds.clone());
        scan.take(&id_of(place), found, &self.epoch);
        let all: BTreeSet<Nonce> = scan.requests.iter().filter_map(|request| request.nonce.clone()).collect();
        let facts = Facts { recorded: Some(&all), ..Facts::of(&self.incarnations[1], self.facts_of(gate)) };
        let of_this = |id: &RequestId| *id == id_of(place) && scan.is_absent(id);
        after.reconcile(&scan.requests, of_this, &facts, NOW);
        after
    }
}

fn body(request: &Request, ask: Ask) -> Value {
    let mut body = json!({"action": ask.verb});
    if ask.place != MARKER {
        body["request_id"] = json!(request.id);
    }
    if ask.verb == "commit" {
        body["incarnation"] = json!(request.incarnation);
        body["generation"] = json!(request.generation);
    }
    if let Some(token) = &request.token {
        body["token"] = json!(token);
    }
    body
}
