//! What a controller does with what it read: whether it takes a slot, joins one, gives it back or leaves it.
//!
//! Pure: the model of property E4 calls these functions, and so does the client of etcd. Each decision is about one
//! [`Stored`], and is stored by a transaction which changes nothing if anything of that was changed meanwhile.
//!
//! A slot is the gateway's, so two controllers of one gateway share one. The semaphore has no room to say so: beside it
//! lies a note for each gateway that lists the controllers which have taken its slot and not ended yet. The controller that ends last
//! gives the slot back. Without it, the first to end would give it back while the other is about to close the gate.
//!
//! A transaction whose answer is lost may have been applied, may not have been, or may be applied yet. So it is never sent
//! again as it was: what is stored is read, and [`Stored::take`] and [`Stored::end`] decide from that. Each controller has a
//! nonce of its own, by which it knows its own write again.

use super::semaphore::{Release, Semaphore, Take};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What is stored about a gateway: its group's semaphore, and the note about the gateway's own slot.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stored {
    /// The group's.
    pub semaphore: Semaphore,
    /// This gateway's, if there is one. It counts only while the gateway is among the holders.
    pub note: Option<Note>,
}

/// Who uses a gateway's slot. Airlock and other clients know nothing of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Note {
    /// The controllers that have taken the slot and not ended yet.
    #[serde(default)]
    pub takers: Vec<Taker>,
    /// Why the slot stays although no controller is at work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<String>,
    /// The slot was there without a note: another program took it, and it is that one's to give back.
    #[serde(default)]
    pub foreign: bool,
    /// Since when the gateway has the slot, by the taker's clock (RFC 3339).
    #[serde(default)]
    pub since: String,
    /// Where the gateway can be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Whereabouts>,
    /// What other versions keep in it.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

/// Where a gateway can be asked whether it runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Whereabouts {
    /// On this machine, where it is one's home or an address of the machine's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The folder of its home.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<String>,
    /// Its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// A controller that has taken a slot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Taker {
    /// No other controller has it.
    pub nonce: String,
    /// Which machine or container it runs on.
    #[serde(default)]
    pub machine: String,
    /// Which process it is there.
    #[serde(default)]
    pub process: String,
    /// Why the slot stays unless this controller sees the gateway run after a hold of its own: somebody's unfinished business
    /// that it has taken over, of a slot that was kept or of a controller that had died.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inherits: Option<String>,
}

/// What taking a slot comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a slot is taken once this has been stored"]
pub enum Taking {
    /// This is to be stored; then the controller has the slot.
    Store(Box<Stored>),
    /// The controller has the slot: a transaction of its own was applied, although nobody said so.
    Ours,
    /// No slot is free.
    Full,
    /// The group's budget is 0.
    NoSlots,
}

/// How a controller's use of its slot ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The gateway itself has said that it runs and is ready, after this controller's hold was gone.
    Running,
    /// This controller has not acted, and holds nothing closed: it never did, or the gateway has said since that it runs.
    NeverClosed,
    /// Anything else, and why: the act failed, or the gateway was not seen running again.
    Keep(String),
}

/// What an [`End`] comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "it has come to that once this has been stored"]
pub enum Ending {
    /// This is to be stored; then the slot is given back.
    GiveBack(Box<Stored>),
    /// This is to be stored; the slot stays, and why.
    Leave(Box<Stored>, Left),
    /// The controller is no taker of a slot any more: a transaction of its own was applied, or somebody gave the slot back by
    /// hand.
    Gone,
}

/// Why a slot stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Left {
    /// These controllers of the same gateway have taken it too, and not ended yet: the last one gives it back.
    ToOthers(Vec<Taker>),
    /// It was there without a note, so another program took it.
    ToAnotherProgram,
    /// It was there before this controller, which has not acted.
    AsFound,
    /// It is to stay.
    Kept(String),
}

impl Stored {
    /// Takes the slot of the gateway `id` for this controller.
    ///
    /// `is_dead` tells of the controllers in the note which have certainly ended. Their part of the slot passes over to this
    /// one, which settles that once it has seen the gateway run after a hold of its own, and leaves it to the next otherwise.
    /// A controller that dies after this was asked stays in the note, and so does its slot: what it may have written to the
    /// gateway need not have been noticed yet.
    pub fn take(&self, id: &str, taker: &Taker, since: &str, is_dead: impl Fn(&Taker) -> bool) -> Taking {
        let fresh = |taker| Note { takers: vec![taker], since: since.to_owned(), ..Note::default() };
        match (self.semaphore.take(id), &self.note) {
            (Take::NoSlots, _) => Taking::NoSlots,
            (Take::Full, _) => Taking::Full,
            (Take::Taken(semaphore), _) => {
                let note = fresh(taker.clone());
                Taking::Store(Box::new(Self { semaphore, note: Some(note) }))
            }
            (Take::AlreadyHeld, Some(note)) if note.names(&taker.nonce) => Taking::Ours,
            (Take::AlreadyHeld, None) => {
                let note = Note { foreign: true, ..fresh(taker.clone()) };
                Taking::Store(Box::new(Self { semaphore: self.semaphore.clone(), note: Some(note) }))
            }
            (Take::AlreadyHeld, Some(note)) => {
                let mut joined = note.clone();
                joined.takers.retain(|taker| !is_dead(taker));
                let died = joined.takers.len() < note.takers.len();
                let died =
                    died.then(|| "a controller died, and none that came since has seen the gateway run".to_owned());
                // A controller that came earlier and is at work still may have seen the gateway run before that, and settles nothing.
                let inherits = joined.kept.take().or(died);
                joined.takers.push(Taker { inherits, ..taker.clone() });
                Taking::Store(Box::new(Self { semaphore: self.semaphore.clone(), note: Some(joined) }))
            }
        }
    }

    /// Ends the use that the controller with this nonce makes of the slot of the gateway `id`.
    pub fn end(&self, id: &str, nonce: &str, end: &End) -> Ending {
        let note = self.note.as_ref().filter(|note| note.names(nonce));
        let (Some(note), Release::Released(semaphore)) = (note, self.semaphore.release(id)) else {
            return Ending::Gone;
        };
        let inherits = note.takers.iter().find(|taker| taker.nonce == nonce).and_then(|taker| taker.inherits.clone());
        let mut rest = note.clone();
        rest.takers.retain(|taker| taker.nonce != nonce);
        // Another controller may have ended meanwhile and said that the slot is to stay.
        rest.kept = match end {
            End::Keep(why) => Some(why.clone()),
            End::NeverClosed => rest.kept.or_else(|| inherits.clone()),
            End::Running => rest.kept,
        };
        let left = match (end, &rest.kept) {
            (End::Keep(why), _) => Some(Left::Kept(why.clone())),
            _ if !rest.takers.is_empty() => Some(Left::ToOthers(rest.takers.clone())),
            _ if note.foreign => Some(Left::ToAnotherProgram),
            (End::NeverClosed, Some(_)) if inherits.is_some() => Some(Left::AsFound),
            (_, Some(why)) => Some(Left::Kept(why.clone())),
            (_, None) => None,
        };
        match left {
            None => Ending::GiveBack(Box::new(Self { semaphore, note: None })),
            Some(left) => Ending::Leave(Box::new(Self { semaphore: self.semaphore.clone(), note: Some(rest) }), left),
        }
    }

    /// Gives the slot of the gateway `id` back, no matter which controllers use it. None if it has none.
    #[must_use]
    pub fn release(&self, id: &str) -> Option<Self> {
        match self.semaphore.release(id) {
            Release::Released(semaphore) => Some(Self { semaphore, note: None }),
            Release::NotHeld => None,
        }
    }
}

impl Note {
    /// Whether the controller with this nonce is one of its takers.
    #[must_use]
    pub fn names(&self, nonce: &str) -> bool {
        self.takers.iter().any(|taker| taker.nonce == nonce)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::num::NonZeroU32;

    fn stored(slots: u32) -> Stored {
        Stored { semaphore: Semaphore::new(NonZeroU32::new(slots).unwrap()), note: None }
    }

    fn taker(nonce: &str) -> Taker {
        Taker { nonce: nonce.into(), ..Taker::default() }
    }

    /// The slot of "g" is taken by this controller.
    fn take(stored: &Stored, nonce: &str) -> Stored {
        match stored.take("g", &taker(nonce), "now", |_| false) {
            Taking::Store(stored) => *stored,
            other => panic!("{nonce}: {other:?}"),
        }
    }

    fn given_back(ending: Ending) -> Stored {
        let Ending::GiveBack(stored) = ending else { panic!("{ending:?}") };
        *stored
    }

    fn left(ending: Ending) -> (Stored, Left) {
        let Ending::Leave(stored, left) = ending else { panic!("{ending:?}") };
        assert!(stored.semaphore.holds("g"));
        (*stored, left)
    }

    #[test]
    fn a_transaction_that_was_applied_and_not_answered_is_known_by_its_nonce() {
        let taken = take(&stored(1), "a");
        assert_eq!(taken.take("g", &taker("a"), "later", |_| true), Taking::Ours);
        let back = given_back(taken.end("g", "a", &End::Running));
        assert_eq!((back.semaphore.holders().len(), back.note.clone()), (0, None));
        assert_eq!(back.end("g", "a", &End::Running), Ending::Gone);
    }

    #[test]
    fn two_controllers_of_one_gateway_share_its_slot_and_the_last_gives_it_back() {
        let both = take(&take(&stored(1), "a"), "b");
        assert_eq!(both.semaphore.holders(), ["g"]);
        assert_eq!(both.take("h", &taker("c"), "now", |_| true), Taking::Full);
        for (first, last) in [("a", "b"), ("b", "a")] {
            for end in [End::Running, End::NeverClosed] {
                let (one, why) = left(both.end("g", first, &end));
                assert!(matches!(why, Left::ToOthers(others) if others[0].nonce == last));
                given_back(one.end("g", last, &End::Running));
            }
        }
    }

    #[test]
    fn two_controllers_of_one_gateway_that_both_come_to_nothing_leave_no_slot_behind() {
        let both = take(&take(&stored(1), "a"), "b");
        let (one, _) = left(both.end("g", "a", &End::NeverClosed));
        given_back(one.end("g", "b", &End::NeverClosed));
    }

    #[test]
    fn a_failed_act_keeps_the_slot_until_somebody_comes_back_for_the_gateway() {
        let (kept, _) = left(take(&stored(1), "a").end("g", "a", &End::Keep("exit 1".into())));
        // One that closes nothing leaves it as it was.
        let (still, why) = left(take(&kept, "b").end("g", "b", &End::NeverClosed));
        assert_eq!(why, Left::AsFound);
        given_back(take(&still, "c").end("g", "c", &End::Running));
        // What fails after another controller came is not given back by that one.
        let (kept, _) = left(take(&take(&stored(1), "a"), "b").end("g", "a", &End::Keep("exit 1".into())));
        let (_, why) = left(kept.end("g", "b", &End::Running));
        assert_eq!(why, Left::Kept("exit 1".into()));
    }

    #[test]
    fn the_part_of_a_controller_that_is_certainly_dead_passes_to_the_next_and_any_other_stays() {
        let killed = take(&stored(1), "a");
        let Taking::Store(joined) = killed.take("g", &taker("b"), "now", |taker| taker.nonce == "a") else { panic!() };
        given_back(joined.end("g", "b", &End::Running));
        let (_, why) = left(joined.end("g", "b", &End::NeverClosed));
        assert_eq!(why, Left::AsFound, "the dead one may have closed the gate");
        let (_, why) = left(take(&killed, "b").end("g", "b", &End::Running));
        assert!(matches!(why, Left::ToOthers(_)));
    }

    #[test]
    fn what_a_dead_controller_left_is_settled_by_nobody_who_came_before_it_died() {
        let both = take(&take(&stored(1), "a"), "b");
        // "b" has asked the gateway to close, and dies before that is noticed. "c" comes, and goes again.
        let Taking::Store(joined) = both.take("g", &taker("c"), "now", |taker| taker.nonce == "b") else { panic!() };
        let (gone, _) = left(joined.end("g", "c", &End::NeverClosed));
        for end in [End::NeverClosed, End::Running] {
            let (kept, why) = left(gone.end("g", "a", &end));
            assert!(matches!(why, Left::Kept(_)), "{why:?}");
            given_back(take(&kept, "d").end("g", "d", &End::Running));
        }
        // The same of an act that failed.
        let (failed, _) = left(both.end("g", "b", &End::Keep("exit 1".into())));
        let (gone, _) = left(take(&failed, "c").end("g", "c", &End::NeverClosed));
        assert_eq!(left(gone.end("g", "a", &End::Running)).1, Left::Kept("exit 1".into()));
    }

    #[test]
    fn a_failed_act_says_why_the_slot_stays_also_beside_others_who_have_taken_it() {
        let both = take(&take(&stored(1), "a"), "b");
        assert_eq!(left(both.end("g", "a", &End::Keep("exit 1".into()))).1, Left::Kept("exit 1".into()));
    }

    #[test]
    fn a_controller_that_no_note_names_ends_nothing() {
        let taken = take(&stored(1), "a");
        for end in [End::Running, End::NeverClosed, End::Keep("exit 1".into())] {
            assert_eq!(taken.end("g", "stranger", &end), Ending::Gone);
        }
    }

    #[test]
    fn a_slot_that_another_program_took_is_not_given_back() {
        let Take::Taken(semaphore) = stored(1).semaphore.take("g") else { panic!() };
        let joined = take(&Stored { semaphore, note: None }, "a");
        assert_eq!(left(joined.end("g", "a", &End::Running)).1, Left::ToAnotherProgram);
        assert!(joined.release("g").is_some_and(|stored| stored.semaphore.holders().is_empty()));
    }

    #[test]
    fn a_note_that_outlived_its_slot_counts_for_nothing() {
        let (left_over, _) = left(take(&stored(1), "a").end("g", "a", &End::Keep("exit 1".into())));
        // Another program gave the slot back and knew nothing of the note.
        let Release::Released(semaphore) = left_over.semaphore.release("g") else { panic!() };
        let stale = Stored { semaphore, note: left_over.note };
        assert_eq!(stale.end("g", "a", &End::Running), Ending::Gone);
        given_back(take(&stale, "b").end("g", "b", &End::NeverClosed));
    }
}
