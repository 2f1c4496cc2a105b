//! What only a crowd of tasks notices, or a scheduling point that loom doesn't have.

use super::super::PropertyId::*;
use super::Check::Schedules;
use super::Seed;

pub const SEEDS: &[Seed] = &[
    Seed {
        id: "a-stale-waiter-in-a-crowd",
        breaks: &[G4],
        bug: "A waiter takes a later drain for its own, and many drains follow each other.",
        file: "gate/wait.rs",
        within: "reading.generation != generation || reading.state.admits()",
        find: "reading.generation != generation || reading.state.admits()",
        replace: "reading.state.admits()",
        check: Schedules("waiters::the_waiters_of_several_drains_each_hear_of_their_own"),
    },
    Seed {
        id: "a-crowd-waits-without-a-wake-up",
        breaks: &[G4],
        bug: "The last release of many wakes nobody of a crowd.",
        file: "gate.rs",
        within: "drop(self.changed.notify());",
        find: "drop(self.changed.notify());",
        replace: "",
        check: Schedules("waiters::every_waiter_of_a_crowd_wakes_although_others_give_up"),
    },
    Seed {
        id: "a-crowd-of-which-one-is-told",
        breaks: &[G4],
        bug: "A notification reaches one of a crowd that waits to be admitted.",
        file: "sync/event.rs",
        within: "mem::take(&mut self.0.listeners.lock().waiting)",
        find: "mem::take(&mut self.0.listeners.lock().waiting)",
        replace: "self.0.listeners.lock().waiting.pop_first().into_iter().collect::<BTreeMap<_, _>>()",
        check: Schedules("workers::a_crowd_works_through_several_drains_and_ends_with_the_shutdown"),
    },
    Seed {
        id: "stop-waiter-looks-before-it-listens",
        breaks: &[G4, L1],
        bug: "A waiter for the stop looks first and listens afterwards.",
        file: "controller/stopped.rs",
        within: "        let listener = self.controller.gate().changed().listen();
        self.controller.ended().ok_or(listener)",
        find: "        let listener = self.controller.gate().changed().listen();
        self.controller.ended().ok_or(listener)",
        replace: "self.controller.ended().ok_or_else(|| self.controller.gate().changed().listen())",
        check: Schedules("shutdown::everybody_who_waits_for_the_stop_is_given_the_same_report"),
    },
    Seed {
        id: "outbox-is-not-looked-at-again",
        breaks: &[S1],
        bug: "The thread that tells the observers goes without a last look at what came meanwhile, and the last change is told to nobody.",
        file: "worker.rs",
        within: "            if self.is_idle() {
                return;",
        find: "self.is_idle()",
        replace: "true",
        check: Schedules("controller::every_observer_is_told_everything_in_the_same_order"),
    },
    Seed {
        id: "the-newest-change-is-told-first",
        breaks: &[S1],
        bug: "Of several changes that are still to be told, the last one is told first.",
        file: "worker.rs",
        within: "queue.waiting.pop_front()",
        find: "queue.waiting.pop_front()",
        replace: "queue.waiting.pop_back()",
        check: Schedules("controller::every_observer_is_told_everything_in_the_same_order"),
    },
];
