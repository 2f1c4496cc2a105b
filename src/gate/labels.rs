//! The table of labelled permits: what is being waited for.

use crate::clock;
use crate::sync::Mutex;
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

struct Entry {
    kind: Cow<'static, str>,
    label: Cow<'static, str>,
    /// How many came before it. The clock is too coarse to tell who did.
    order: u64,
    start: Duration,
}

/// A slab: claiming and giving back a place costs the same however many are taken.
#[derive(Default)]
struct Table {
    entries: Vec<Option<Entry>>,
    free: Vec<usize>,
    claimed: u64,
}

#[derive(Default)]
pub(super) struct Labels(Mutex<Table>);

impl Labels {
    /// Enters a piece of work that starts now; gives its place in the table.
    pub(super) fn claim(&self, kind: Cow<'static, str>, label: Cow<'static, str>) -> usize {
        let start = clock::coarse();
        let mut table = self.0.lock();
        let entry = Entry { kind, label, order: table.claimed, start };
        table.claimed += 1;
        if let Some(place) = table.free.pop() {
            table.entries[place] = Some(entry);
            return place;
        }
        table.entries.push(Some(entry));
        table.entries.len() - 1
    }

    pub(super) fn give_back(&self, place: usize) {
        let entry = {
            let mut table = self.0.lock();
            table.free.push(place);
            table.entries[place].take()
        };
        // Its strings are freed here, after the lock is released.
        drop(entry);
    }

    pub(super) fn oldest(&self, limit: usize) -> Vec<ActiveWork> {
        let table = self.0.lock();
        let now = clock::coarse();
        let mut work: Vec<&Entry> = table.entries.iter().flatten().collect();
        work.sort_unstable_by_key(|entry| entry.order);
        let named =
            |e: &Entry| ActiveWork { kind: e.kind.clone(), label: e.label.clone(), age: now.saturating_sub(e.start) };
        work.into_iter().take(limit).map(named).collect()
    }
}
