//! What was decided of each write, for as long as it lies there: the one memory of decisions.
//!
//! A write is decided once, whatever the outcome and no matter who made it (S2). The decision is kept here, is published from here
//! as the gateway's answer (C6), and is taken over from there by the next process. It is dropped when the write is gone:
//! its file is definitely absent, or another write lies in its place.

use super::{Ending, Nonce, Outcome, RequestId, Source};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the gateway answers to one write: which request, which nonce, and what became of it (C6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// Which hold.
    pub request_id: RequestId,
    /// Which write of it; none for something that could not be read.
    #[serde(default)]
    pub nonce: Option<Nonce>,
    /// What became of it, as of the status that says so.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What was decided of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Decided {
    /// It stands as its hold stands.
    Stands,
    /// This, whatever happens to the hold.
    Finally(Outcome),
}

/// One write that lies in a place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Entry {
    /// None for something that could not be read, which is no write: it overwrites nothing.
    nonce: Option<Nonce>,
    decided: Decided,
}

/// Where a hold is kept: two holds of one name, one in a file and one of a call, are different holds.
pub(super) type HoldPlace = (RequestId, Source);

/// What lies in one place: a write and, beside it, that something there could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct PlaceWrites {
    entries: Vec<Entry>,
    /// A lease has run out here, and nothing has begun since.
    lapsed: bool,
}

/// Which writes lie there, and what was decided of each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Ledger(BTreeMap<HoldPlace, PlaceWrites>);

impl Ledger {
    /// What was decided of this write.
    pub(super) fn decided(&self, place: &HoldPlace, nonce: Option<&Nonce>) -> Option<Decided> {
        let writes = self.0.get(place)?;
        writes.entries.iter().find(|entry| entry.nonce.as_ref() == nonce).map(|entry| entry.decided)
    }

    /// Notes a decision. The write takes the place of every other; what could not be read takes nothing's place.
    pub(super) fn note(&mut self, place: &HoldPlace, nonce: Option<&Nonce>, decided: Decided) {
        let writes = self.0.entry(place.clone()).or_default();
        writes.entries.retain(|entry| nonce.is_none() && entry.nonce.is_some());
        writes.entries.push(Entry { nonce: nonce.cloned(), decided });
        writes.lapsed &= decided != Decided::Stands;
    }

    /// The hold in this place has ended: what stood with it has ended too.
    pub(super) fn ended(&mut self, place: &HoldPlace, ending: Ending) {
        let Some(writes) = self.0.get_mut(place) else { return };
        for entry in writes.entries.iter_mut().filter(|entry| entry.decided == Decided::Stands) {
            entry.decided = Decided::Finally(Outcome::Ended(ending));
        }
        writes.lapsed |= ending == Ending::Expired;
    }

    /// Nothing lies in this place any more.
    pub(super) fn forget(&mut self, place: &HoldPlace) {
        self.0.remove(place);
    }

    /// Whether a lease has run out here, and nothing has begun since.
    pub(super) fn has_lapsed(&self, place: &HoldPlace) -> bool {
        self.0.get(place).is_some_and(|writes| writes.lapsed)
    }

    /// The places in which something lies.
    pub(super) fn places(&self) -> impl Iterator<Item = &HoldPlace> {
        self.0.keys()
    }

    /// Every write, and what was decided of it.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&HoldPlace, Option<&Nonce>, Decided)> {
        self.0.iter().flat_map(|(place, writes)| {
            writes.entries.iter().map(move |entry| (place, entry.nonce.as_ref(), entry.decided))
        })
    }
}
