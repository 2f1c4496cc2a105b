//! Who keeps a gate: its handles. What they share is lent to one gate after another, and never freed.
//!
//! A permit must find its gate's word when the work ends, whoever has dropped the gate by then. Were it one of the word's
//! owners, as a clone of an `Arc` is, every turn would count twice: itself, and an owner, both on the cache line that
//! all turns share. What is never freed needs no owners. So that a process may make and drop gates without end, what the
//! last handle leaves behind is used again, unless work is still counted in it: that would then be another gate's.

use super::word::Word;
use super::{Core, Ordering};
use crate::sync::Spare;

static SPARE: Spare<Core> = Spare::new();

/// Shared by all handles of one gate, and dropped with the last of them.
pub(super) struct Handles {
    core: &'static Core,
}

impl Handles {
    pub(super) fn of_a_new_gate() -> Self {
        let core = SPARE.take().unwrap_or_else(|| Box::leak(Box::new(Core::new())));
        // Relaxed: nobody else has this core; whoever is given the gate is given this with it.
        core.word.store(Word::NEW.bits(), Ordering::Relaxed);
        Self { core }
    }

    pub(super) fn core(&self) -> &'static Core {
        self.core
    }
}

impl Drop for Handles {
    fn drop(&mut self) {
        // Nothing enters without a handle, so a count of zero stays zero. Who has left last may yet wake who listens here:
        // for nothing, and whoever is woken looks again.
        //
        // An exchange sees the last that was written. So does a load, by the count of the handles: but of that, which is in
        // std's `Arc`, no model checker knows. Relaxed: nothing is read that isn't behind a lock of its own.
        let word = self.core.word.fetch_sub(0, Ordering::Relaxed);
        if Word::from_bits(word).reading().total() == 0 {
            self.core.labels.clear();
            SPARE.give_back(self.core);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Controller;
    use std::collections::BTreeSet;

    #[test]
    fn gates_that_come_and_go_take_no_more_memory_than_those_that_live_at_once() {
        let gates = 10_000;
        let places: BTreeSet<usize> =
            (0..gates).map(|_| std::ptr::from_ref(Controller::new().gate().core) as usize).collect();
        // The tests beside this one make gates of their own, and may be quicker to take what is left here.
        assert!(places.len() < gates / 2, "{gates} gates, one after another, were made in {} places", places.len());
    }
}
