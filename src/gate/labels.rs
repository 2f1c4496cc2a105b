//! The table of labelled permits: what is being waited for.

use crate::clock;
use crate::sync::Mutex;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

/// One labelled piece of work in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ActiveWork {
    /// The sort of work: "turn", "cron".
    pub kind: Cow<'static, str>,
    /// Which one.
    pub label: Cow<'static, str>,
    /// How long it has been in flight, to a few milliseconds.
    pub age: Duration,
}

/// By the number of the claim, so the oldest come first.
#[derive(Default)]
struct Table {
    claimed: u64,
    entries: BTreeMap<u64, Entry>,
}

struct Entry {
    kind: Cow<'static, str>,
    label: Cow<'static, str>,
    /// In nanoseconds of the coarse clock, which can't tell who came first.
    start: u64,
}

#[derive(Default)]
pub(super) struct Labels(Mutex<Table>);

impl Labels {
    /// Enters a piece of work that starts now; gives the number of its claim.
    pub(super) fn claim(&self, kind: Cow<'static, str>, label: Cow<'static, str>) -> u64 {
        let entry = Entry { kind, label, start: clock::coarse() };
        let table = &mut *self.0.lock();
        table.claimed += 1;
        table.entries.insert(table.claimed, entry);
        table.claimed
    }

    pub(super) fn give_back(&self, claim: u64) {
        let entry = self.0.lock().entries.remove(&claim);
        // It is freed here, after the lock is released.
        drop(entry);
    }

    pub(super) fn oldest(&self, limit: usize) -> Vec<ActiveWork> {
        let table = self.0.lock();
        let now = clock::coarse();
        let named = |entry: &Entry| ActiveWork {
            kind: entry.kind.clone(),
            label: entry.label.clone(),
            age: Duration::from_nanos(now.saturating_sub(entry.start)),
        };
        table.entries.values().take(limit).map(named).collect()
    }
}
