//! The relation that `verification/protocol-proof` is about, for one name at a time; and whether what production made of a
//! look, a publication or a start is an instance of it.
//!
//! Written after `protocol_proof/steps.py`, step by step, and not after the crate: a change of one of the two changes the
//! other. The explorer asserts it of every look, publication and start that it computes, so what is proved of the relation
//! holds of each state that it visits.

use crate::production::{Drain, File, Kind, MARKER, NOW, OWNERS, PLACES, id_of};
use gateway_drain::HoldSet;
use gateway_drain::gate::Reading;
use gateway_drain::hold::{Denied, Outcome, Source};

/// One name's hold and the answer to the write in its place, as the proof knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Abstract {
    /// Its owner, and the token of its commit.
    hold: Option<(String, Option<String>)>,
    /// Of which write, and whether it was granted.
    answer: Option<(String, bool)>,
    /// The last write that was met in its place was its owner's.
    own: bool,
}

impl Abstract {
    /// What a hold set says of one place.
    pub fn of(set: &HoldSet, place: usize) -> Self {
        let id = id_of(place);
        let hold = set.get(&id, Source::File);
        let answers = set.acknowledged(NOW);
        let answer = answers.iter().filter(|answer| answer.request_id == id).find_map(|answer| {
            // A process that ends answers for itself alone: the proof's ledger forgets what it refused.
            let ends = answer.outcome == Outcome::Refused(Denied::ShuttingDown);
            let granted = !matches!(answer.outcome, Outcome::Refused(_) | Outcome::Ignored(_));
            Some((answer.nonce.as_ref()?.as_str().to_owned(), granted)).filter(|_| !ends)
        });
        Self {
            hold: hold
                .map(|hold| (hold.owner.clone(), hold.commit.as_ref().map(|commit| commit.token.as_str().to_owned()))),
            answer,
            own: hold.is_some_and(|hold| !hold.overwritten),
        }
    }

    fn is_committed(&self) -> bool {
        self.hold.as_ref().is_some_and(|(_, token)| token.is_some())
    }

    fn with(&self, hold: Option<(String, Option<String>)>, answer: Option<(String, bool)>) -> Self {
        Self { hold, answer, own: self.own }
    }
}

/// What lies in a place, as the proof knows it.
struct Write {
    is_marker: bool,
    kind: Kind,
    owner: &'static str,
    nonce: String,
    token: String,
}

/// What the gate is like when it is decided.
#[derive(Clone, Copy)]
pub struct Gate {
    /// Closed, and nothing in flight.
    pub drained: bool,
    /// A shutdown has begun.
    pub shutting: bool,
}

impl Gate {
    /// As it is read.
    pub fn of(reading: &Reading) -> Self {
        Self { drained: reading.drained, shutting: reading.state.is_ending() }
    }
}

fn result(owner: &str, token: Option<&str>) -> (String, Option<String>) {
    (owner.to_owned(), token.map(str::to_owned))
}

/// All that the proof's steps make of a write: "decided: …".
fn decided(before: &Abstract, write: &Write, drain: Drain, gate: Gate) -> Vec<Abstract> {
    let hold = before.hold.clone();
    if write.kind == Kind::Absent {
        let gone = ((before.own || write.is_marker) && !before.is_committed()).then(|| before.with(None, None));
        return [before.with(hold, None)].into_iter().chain(gone).collect();
    }
    let not_own = Abstract { own: false, ..before.clone() };
    let mut all = vec![before.clone(), not_own];
    let token = hold.as_ref().and_then(|(_, token)| token.as_deref());
    let known = before.answer.as_ref().is_some_and(|(nonce, _)| *nonce == write.nonce) || token == Some(&write.nonce);
    if known {
        if token == Some(&write.nonce) {
            all.push(Abstract { answer: Some((write.nonce.clone(), true)), ..before.clone() });
        }
        return all;
    }
    let its = hold.as_ref().is_some_and(|(owner, _)| owner == write.owner);
    let unread = matches!(write.kind, Kind::Torn | Kind::Foreign);
    let own = its && !unread;
    let answered = |hold, granted, own| Abstract { hold, answer: Some((write.nonce.clone(), granted)), own };
    let fresh = || Some(result(write.owner, None));
    let withdraws = write.kind == Kind::Withdraw && its && token.is_some_and(|token| token == write.token);
    if !withdraws {
        all.push(answered(hold.clone(), false, own));
    }
    if hold.is_none() && !gate.shutting {
        all.push(answered(fresh(), false, true));
    }
    let begins = matches!(write.kind, Kind::Begin | Kind::Reference | Kind::Stranger | Kind::Empty | Kind::Torn);
    let ends_nothing = hold.is_none() && matches!(write.kind, Kind::Withdraw | Kind::Override);
    if gate.shutting && (begins || write.kind == Kind::Commit || ends_nothing) {
        all.push(Abstract { answer: None, own, ..before.clone() });
    }
    let free = hold.as_ref().is_some_and(|(owner, token)| owner.is_empty() && token.is_none());
    if begins && !gate.shutting {
        if hold.is_none() || free {
            all.push(answered(fresh(), true, true));
        }
        if its && token.is_none() {
            all.push(answered(hold.clone(), true, own));
        }
    }
    if write.kind == Kind::Commit && its && gate.drained && !gate.shutting && drain != Drain::OtherProcess {
        all.push(answered(Some(result(write.owner, Some(&write.nonce))), true, own));
    }
    if write.kind == Kind::Withdraw && (hold.is_none() || withdraws || (its && token.is_none()))
        || write.kind == Kind::Override
    {
        all.push(answered(None, true, own));
    }
    all
}

/// "A lease ends."
fn lapsed(before: &Abstract) -> Option<Abstract> {
    let lapses = before.hold.is_some() && !before.is_committed();
    lapses.then(|| before.with(None, before.answer.clone()))
}

fn instance(all: &[Abstract], after: &Abstract) -> bool {
    let same = |it: &Abstract| it.hold == after.hold && it.answer == after.answer;
    all.iter().any(|it| same(it) && (it.own || !after.own))
}

/// Whether a look made of one place what the proof's steps can: a decision, a lease that ends, or both, in either order.
pub fn look(
    before: &Abstract,
    after: &Abstract,
    place: usize,
    file: File,
    nonce: &str,
    gate: Gate,
    blind: bool,
) -> bool {
    let owner = match file.kind {
        Kind::Stranger => "mallory",
        Kind::Override => "operator",
        Kind::Empty | Kind::Torn => "",
        _ => OWNERS[place],
    };
    let token = format!("{}{}", ['m', 'a', 'b'][place], file.token);
    let write = Write { is_marker: place == MARKER, kind: file.kind, owner, nonce: nonce.to_owned(), token };
    let decide = |of: &Abstract| if blind { vec![of.clone()] } else { decided(of, &write, file.drain, gate) };
    let mut all = decide(before);
    all.extend(all.clone().iter().filter_map(lapsed));
    all.extend(lapsed(before).iter().flat_map(decide));
    instance(&all, after)
}

/// Whether a start from the status has what the proof's has: what was held and not bound to the process, each commit, and
/// the answers or none.
pub fn start_by_status(published: &HoldSet, taken_over: &HoldSet) -> bool {
    (0..PLACES).all(|place| {
        let (was, is) = (Abstract::of(published, place), Abstract::of(taken_over, place));
        let held = is.hold == was.hold || (is.hold.is_none() && !was.is_committed());
        held && (is.answer == was.answer || is.answer.is_none())
    })
}

/// Whether a start from the record has each commit that is on it, and of what lies in the files no more than the proof's
/// first look would make of it.
pub fn start_by_record(record: Option<&HoldSet>, taken_over: &HoldSet, files: &[File; PLACES]) -> bool {
    (0..PLACES).all(|place| {
        let is = Abstract::of(taken_over, place);
        let on_record = record.map(|record| Abstract::of(record, place)).filter(Abstract::is_committed);
        match on_record.and_then(|was| was.hold) {
            Some(commit) => {
                is.hold.as_ref() == Some(&commit)
                    && is.answer.is_none_or(|(nonce, granted)| granted && commit.1 == Some(nonce))
            }
            None => {
                is.hold.is_none()
                    || (files[place].kind == Kind::Commit
                        && !is.is_committed()
                        && is.answer.is_some_and(|(_, granted)| !granted))
            }
        }
    })
}
