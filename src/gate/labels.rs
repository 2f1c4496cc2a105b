//! The table of labelled permits: what is being waited for.

use crate::clock;
use crate::sync::Mutex;
use core::mem;
use std::borrow::Cow;
use std::time::Duration;

/// One labelled piece of work in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveWork {
    /// The sort of work: "turn", "cron".
    pub kind: Cow<'static, str>,
    /// Which one.
    pub label: Cow<'static, str>,
    /// How long it has been in flight, to a few milliseconds.
    pub age: Duration,
}

/// A slab: claiming and giving back a place costs the same however many are taken.
#[derive(Default)]
struct Table {
    places: Vec<Place>,
    /// The free place that is taken next; if there is none, the one that isn't there yet.
    free: usize,
    claimed: u64,
}

/// Filled in where it is, field by field: to build one elsewhere and move it here takes longer than all the rest.
struct Place {
    kind: Cow<'static, str>,
    label: Cow<'static, str>,
    /// In nanoseconds of the coarse clock, which can't tell who came first.
    start: u64,
    /// The number of the claim; 0 while the place is free.
    claim: u64,
    /// The free place after this one, while this one is free.
    next: usize,
}

#[derive(Default)]
pub(super) struct Labels(Mutex<Table>);

impl Labels {
    /// Enters a piece of work that starts now; gives its place in the table.
    pub(super) fn claim(&self, kind: Cow<'static, str>, label: Cow<'static, str>) -> usize {
        let start = clock::coarse();
        let table = &mut *self.0.lock();
        table.claimed += 1;
        let number = table.free;
        if number == table.places.len() {
            table.add_a_place();
        }
        let place = &mut table.places[number];
        place.kind = kind;
        place.label = label;
        place.start = start;
        place.claim = table.claimed;
        table.free = place.next;
        number
    }

    pub(super) fn give_back(&self, number: usize) {
        let names = {
            let table = &mut *self.0.lock();
            let place = &mut table.places[number];
            place.claim = 0;
            place.next = mem::replace(&mut table.free, number);
            (owned(&mut place.kind), owned(&mut place.label))
        };
        // They are freed here, after the lock is released.
        drop(names);
    }

    /// Gives back the memory of a table in which no place is claimed.
    pub(super) fn clear(&self) {
        *self.0.lock() = Table::default();
    }

    pub(super) fn oldest(&self, limit: usize) -> Vec<ActiveWork> {
        let table = self.0.lock();
        let now = clock::coarse();
        let mut work: Vec<&Place> = table.places.iter().filter(|place| place.claim > 0).collect();
        work.sort_unstable_by_key(|place| place.claim);
        let named = |place: &Place| ActiveWork {
            kind: place.kind.clone(),
            label: place.label.clone(),
            age: Duration::from_nanos(now.saturating_sub(place.start)),
        };
        work.into_iter().take(limit).map(named).collect()
    }
}

impl Table {
    #[cold]
    fn add_a_place(&mut self) {
        let next = self.places.len() + 1;
        self.places.push(Place { kind: "".into(), label: "".into(), start: 0, claim: 0, next });
    }
}

/// What a name that is no longer needed has to free.
fn owned(name: &mut Cow<'static, str>) -> Option<String> {
    match name {
        Cow::Owned(name) => Some(mem::take(name)),
        Cow::Borrowed(_) => None,
    }
}
