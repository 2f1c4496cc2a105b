//! The seeded bugs: what each is, where it is planted, and the check that must notice it.
//!
//! Those of the gate stand here, the others in a file for each part of the source. Each guard of the gate, the holds, the
//! channel's readers and writer, the home's lock, the status, the reconciler and the client's conclusions is deleted by a seed of its own.

#[path = "catalogue/channel.rs"]
mod channel;
#[path = "catalogue/client.rs"]
mod client;
#[path = "catalogue/endpoint.rs"]
mod endpoint;
#[path = "catalogue/holds.rs"]
mod holds;
#[path = "catalogue/many_tasks.rs"]
mod many_tasks;
#[path = "catalogue/reconciler.rs"]
mod reconciler;
#[path = "catalogue/state.rs"]
mod state;

/// One bug.
#[derive(Clone, Copy, Debug)]
#[allow(dead_code, reason = "a build script sows and the runner reaps: neither uses all of it")]
pub struct Seed {
    /// Its name, and what the environment variable `SEED` is set to.
    pub id: &'static str,
    /// The numbered properties that it breaks.
    pub breaks: &'static [PropertyId],
    /// What is wrong, in a sentence; and which defect of the field it re-creates, if it does.
    pub bug: &'static str,
    /// The file, below `src/`.
    pub file: &'static str,
    /// What encloses the snippet, where the snippet alone is not unique. Occurs once in the file.
    pub within: &'static str,
    /// The snippet: an expression, or whole statements. Occurs once in `within`.
    pub find: &'static str,
    /// What stands there with the bug.
    pub replace: &'static str,
    /// What must turn red.
    pub check: Check,
}

/// A check: a test by its file and name.
#[derive(Clone, Copy, Debug)]
#[allow(dead_code, reason = "as above")]
pub enum Check {
    /// A model of `verification/interleavings`, under loom.
    Model(&'static str),
    /// A model of many tasks there, under drawn schedules of shuttle.
    Schedules(&'static str),
    /// A test, in `tests/`.
    Test(&'static str),
    /// A test of what is private, beside it in `src/`.
    Unit(&'static str),
}

impl Check {
    /// The test's path.
    #[allow(dead_code, reason = "build scripts only plant them")]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Model(name) | Self::Schedules(name) | Self::Test(name) | Self::Unit(name) => name,
        }
    }
}

use super::PropertyId::{self, *};
use Check::{Model, Test, Unit};

/// All of them.
#[allow(dead_code, reason = "as above")]
pub fn seeds() -> impl Iterator<Item = &'static Seed> {
    [
        GATE,
        state::SEEDS,
        holds::SEEDS,
        channel::SEEDS,
        reconciler::SEEDS,
        many_tasks::SEEDS,
        endpoint::SEEDS,
        client::SEEDS,
    ]
    .into_iter()
    .flatten()
}

/// Sown in the gate.
pub const GATE: &[Seed] = &[
    Seed {
        id: "ordering-reading",
        breaks: &[G5],
        bug: "A reading acquires nothing.",
        file: "gate.rs",
        within: "self.word.load(Ordering::Acquire)",
        find: "self.word.load(Ordering::Acquire)",
        replace: "self.word.load(Ordering::Relaxed)",
        check: Model("visibility::a_reader_of_drained_sees_what_the_last_turn_wrote"),
    },
    Seed {
        id: "ordering-enter",
        breaks: &[G5],
        bug: "An admission acquires nothing.",
        file: "gate.rs",
        within: "self.word.compare_exchange_weak(seen, entered.bits(), Ordering::Acquire, Ordering::Relaxed)",
        find: "self.word.compare_exchange_weak(seen, entered.bits(), Ordering::Acquire, Ordering::Relaxed)",
        replace: "self.word.compare_exchange_weak(seen, entered.bits(), Ordering::Relaxed, Ordering::Relaxed)",
        check: Model("visibility::a_turn_sees_what_was_written_while_the_gate_was_drained"),
    },
    Seed {
        id: "ordering-leave",
        breaks: &[G5],
        bug: "A release publishes nothing.",
        file: "gate.rs",
        within: "self.word.fetch_sub(unit.bits(), Ordering::Release)",
        find: "self.word.fetch_sub(unit.bits(), Ordering::Release)",
        replace: "self.word.fetch_sub(unit.bits(), Ordering::Relaxed)",
        check: Model("visibility::a_reader_of_drained_sees_what_every_turn_wrote"),
    },
    Seed {
        id: "ordering-move-acquires-only",
        breaks: &[G5],
        bug: "A move publishes nothing.",
        file: "gate.rs",
        within: "core.word.compare_exchange_weak(seen, moved.bits(), Ordering::AcqRel, Ordering::Relaxed)",
        find: "core.word.compare_exchange_weak(seen, moved.bits(), Ordering::AcqRel, Ordering::Relaxed)",
        replace: "core.word.compare_exchange_weak(seen, moved.bits(), Ordering::Acquire, Ordering::Relaxed)",
        check: Model("visibility::a_turn_sees_what_was_written_while_the_gate_was_drained"),
    },
    Seed {
        id: "ordering-move-releases-only",
        breaks: &[G5],
        bug: "A move acquires nothing.",
        file: "gate.rs",
        within: "core.word.compare_exchange_weak(seen, moved.bits(), Ordering::AcqRel, Ordering::Relaxed)",
        find: "core.word.compare_exchange_weak(seen, moved.bits(), Ordering::AcqRel, Ordering::Relaxed)",
        replace: "core.word.compare_exchange_weak(seen, moved.bits(), Ordering::Release, Ordering::Relaxed)",
        check: Model("visibility::the_stop_sees_what_the_last_turn_wrote"),
    },
    Seed {
        id: "enter-checks-then-counts",
        breaks: &[G1, G3],
        bug: "The flag is checked in one step and the count raised in another.",
        file: "gate.rs",
        within: "self.word.compare_exchange_weak(seen, entered.bits(), Ordering::Acquire, Ordering::Relaxed)",
        find: "self.word.compare_exchange_weak(seen, entered.bits(), Ordering::Acquire, Ordering::Relaxed)",
        replace: "Ok::<u64, u64>(self.word.fetch_sub(seen.wrapping_sub(entered.bits()), Ordering::AcqRel))",
        check: Model("admission::a_turn_racing_a_close_is_counted_or_refused"),
    },
    Seed {
        id: "refuses-nobody-while-draining",
        breaks: &[G1, G2],
        bug: "A drain that can be reversed refuses nobody. In the field: the latent defect of the late turn, a message queued behind a running turn started the next.",
        file: "gate/word.rs",
        within: "self.0 & (CLOSED | TURNS) < MAX_TURNS",
        find: "self.0 & (CLOSED | TURNS) < MAX_TURNS",
        replace: "(self.0 & (CLOSED | TURNS) < MAX_TURNS) || matches!(self.state(), DrainState::ExternalDraining)",
        check: Test("admission::a_new_turn_is_refused_while_draining_with_a_message_that_says_so"),
    },
    Seed {
        id: "enter-counts-then-undoes",
        breaks: &[G2, G3],
        bug: "A turn that asks is counted first, and taken back if refused.",
        file: "gate.rs",
        within: "let entered = rule(Word::from_bits(seen))?;",
        find: "rule(Word::from_bits(seen))?",
        replace: "{ self.word.fetch_sub(0_u64.wrapping_sub(1), Ordering::AcqRel); let ruled = rule(Word::from_bits(seen)); self.word.fetch_sub(1, Ordering::AcqRel); seen = self.word.load(Ordering::Relaxed); ruled? }",
        check: Model("admission::a_refused_turn_is_never_counted_even_for_an_instant"),
    },
    Seed {
        id: "internal-counts-as-turn",
        breaks: &[G2, G6],
        bug: "Internal work enters the count of turns.",
        file: "gate/word.rs",
        within: "Ok(Self(self.0 + Unit::INTERNAL.0))",
        find: "Unit::INTERNAL.0",
        replace: "Unit::TURN.0",
        check: Model("internal::internal_work_racing_the_last_release_is_counted_or_sealed_out"),
    },
    Seed {
        id: "internal-not-sealed",
        breaks: &[G3],
        bug: "Internal work enters a drained gate. In the field: the latent defect of the late turn, which began after the count had reached 0.",
        file: "gate/word.rs",
        within: "(!self.state().is_draining() || self.drained())",
        find: "(!self.state().is_draining() || self.drained())",
        replace: "!self.state().is_draining()",
        check: Model("internal::internal_work_racing_the_last_release_is_counted_or_sealed_out"),
    },
    Seed {
        id: "drained-forgets-internal",
        breaks: &[G3, G4],
        bug: "Drained looks at the turns alone. In the field: #63529, #63891, #82379, #59812, #104259, work of other kinds was not counted.",
        file: "gate/word.rs",
        within: "!self.state().admits() && self.0 & COUNTS == 0 && !self.abandoned()",
        find: "COUNTS",
        replace: "TURNS",
        check: Model("internal::a_waiter_waits_for_internal_work_too"),
    },
    Seed {
        id: "drained-without-internal-on-commit",
        breaks: &[E1, G3],
        bug: "Drained looks at the turns alone, and a commit is granted over internal work.",
        file: "gate/word.rs",
        within: "!self.state().admits() && self.0 & COUNTS == 0 && !self.abandoned()",
        find: "COUNTS",
        replace: "TURNS",
        check: Test("admission::internal_work_passes_while_something_is_in_flight_and_is_sealed_out_once_drained"),
    },
    Seed {
        id: "last-release-tells-nobody",
        breaks: &[G4],
        bug: "The last release wakes no waiter.",
        file: "gate.rs",
        within: "drop(self.changed.notify());",
        find: "drop(self.changed.notify());",
        replace: "",
        check: Model("waiters::the_last_release_wakes_a_blocked_waiter"),
    },
    Seed {
        id: "a-notification-tells-one",
        breaks: &[G4],
        bug: "A notification reaches one waiter of many.",
        file: "sync/event.rs",
        within: "mem::take(&mut self.0.listeners.lock().waiting)",
        find: "mem::take(&mut self.0.listeners.lock().waiting)",
        replace: "self.0.listeners.lock().waiting.pop_first().into_iter().collect::<BTreeMap<_, _>>()",
        check: Test("waiting::every_one_of_many_waiting_threads_wakes_in_every_one_of_many_drains"),
    },
    Seed {
        id: "moves-tell-nobody",
        breaks: &[G4],
        bug: "A move of the state wakes no waiter.",
        file: "gate.rs",
        within: "self.untold.add(core.changed.notify());",
        find: "self.untold.add(core.changed.notify());",
        replace: "",
        check: Model("waiters::reopening_wakes_the_waiters"),
    },
    Seed {
        id: "looks-for-drained-before-leaving",
        breaks: &[G4],
        bug: "A release asks whether the gate was drained before.",
        file: "gate.rs",
        within: "self.left_closed();",
        find: "self.left_closed();",
        replace: "if before.drained() { self.left_closed(); }",
        check: Model("waiters::the_last_release_wakes_a_polled_waiter"),
    },
    Seed {
        id: "blocked-waiter-looks-before-it-listens",
        breaks: &[G4],
        bug: "A blocking waiter looks first and listens afterwards.",
        file: "gate/wait.rs",
        within: "            let listener = signal::<F>(&self.gate).listen();
            found = self.what.look(&self.gate);
            if found.is_none() {
                listener.wait();
            }
",
        find: "            let listener = signal::<F>(&self.gate).listen();
            found = self.what.look(&self.gate);
            if found.is_none() {
                listener.wait();
            }
",
        replace: "found = self.what.look(&self.gate); if found.is_none() { signal::<F>(&self.gate).listen().wait(); }",
        check: Model("waiters::the_last_release_wakes_a_blocked_waiter"),
    },
    Seed {
        id: "polled-waiter-looks-before-it-listens",
        breaks: &[G4],
        bug: "A polled waiter looks first and listens afterwards.",
        file: "gate/wait.rs",
        within: "listener.get_or_insert_with(|| signal.listen())",
        find: "listener.get_or_insert_with(|| signal.listen())",
        replace: "{ if let Some(value) = check() { *listener = None; return Poll::Ready(value); } let heard = listener.get_or_insert_with(|| signal.listen()); match Pin::new(heard).poll(cx) { Poll::Pending => return Poll::Pending, Poll::Ready(()) => { *listener = None; continue; } } }",
        check: Model("waiters::the_last_release_wakes_a_polled_waiter"),
    },
    Seed {
        id: "opened-looks-before-it-listens",
        breaks: &[G4],
        bug: "A waiter for the opening looks first and listens afterwards.",
        file: "gate/wait.rs",
        within: "            let listener = signal::<F>(&self.gate).listen();
            found = self.what.look(&self.gate);
            if found.is_none() {
                listener.wait();
            }
",
        find: "            let listener = signal::<F>(&self.gate).listen();
            found = self.what.look(&self.gate);
            if found.is_none() {
                listener.wait();
            }
",
        replace: "found = self.what.look(&self.gate); if found.is_none() { signal::<F>(&self.gate).listen().wait(); }",
        check: Model("workers::the_end_of_a_drain_wakes_a_waiter_for_the_opening"),
    },
    Seed {
        id: "admitted-ignores-a-shutdown",
        breaks: &[G4, S3],
        bug: "A waiter for admission waits on in a shutdown, for ever.",
        file: "gate/awaited.rs",
        within: "!matches!(answer, Err(Refusal::Draining))",
        find: "!matches!(answer, Err(Refusal::Draining))",
        replace: "answer.is_ok()",
        check: Model("workers::a_shutdown_refuses_a_waiter_for_admission"),
    },
    Seed {
        id: "admitted-gives-up-in-a-drain",
        breaks: &[G4],
        bug: "A waiter for admission is refused by a drain.",
        file: "gate/awaited.rs",
        within: "!matches!(answer, Err(Refusal::Draining))",
        find: "!matches!(answer, Err(Refusal::Draining))",
        replace: "true",
        check: Model("workers::the_end_of_a_drain_admits_a_blocked_waiter"),
    },
    Seed {
        id: "opened-ignores-a-shutdown",
        breaks: &[G4, S3],
        bug: "A waiter for the opening waits on in a shutdown, for ever.",
        file: "gate/awaited.rs",
        within: "refusal.is_final().then_some(Err(refusal))",
        find: "refusal.is_final().then_some(Err(refusal))",
        replace: "None::<Result<(), Refusal>>",
        check: Model("workers::a_shutdown_wakes_a_waiter_for_the_opening"),
    },
    Seed {
        id: "a-stop-leaves-listeners-for-the-interruption",
        breaks: &[G4, L4],
        bug: "A gateway that stops by itself leaves asleep who waits for an interruption that will never come.",
        file: "gate.rs",
        within: "moved.interrupted() || moved.state() == DrainState::Stopped",
        find: "moved.interrupted() || moved.state() == DrainState::Stopped",
        replace: "moved.interrupted()",
        check: Model("workers::a_stop_ends_the_wait_for_an_interruption"),
    },
    Seed {
        id: "wakers-are-woken-under-the-lock",
        breaks: &[G4],
        bug: "Wakers are woken under the lock of those who listen..",
        file: "sync/event.rs",
        within: "Wakers(notified.into_values().flatten().collect())",
        find: "Wakers(notified.into_values().flatten().collect())",
        replace: "{ let under_the_lock = self.0.listeners.lock(); drop(Wakers(notified.into_values().flatten().collect())); drop(under_the_lock); Wakers::default() }",
        check: Model("wakers::a_waker_may_drop_its_task"),
    },
    Seed {
        id: "a-move-wakes-before-its-books-are-in-order",
        breaks: &[G4, H1],
        bug: "A move wakes who waits for it under the controller's lock, before it is complete.",
        file: "controller.rs",
        within: "(value, core.lifecycle.untold())",
        find: "core.lifecycle.untold()",
        replace: "{ drop(core.lifecycle.untold()); core.lifecycle.untold() }",
        check: Model("wakers::a_waker_may_ask_the_controller"),
    },
    Seed {
        id: "generation-not-compared",
        breaks: &[G4],
        bug: "A waiter takes a later drain for its own.",
        file: "gate/wait.rs",
        within: "reading.generation != generation || reading.state.admits()",
        find: "reading.generation != generation || reading.state.admits()",
        replace: "reading.state.admits()",
        check: Model("waiters::a_waiter_of_an_ended_drain_never_takes_a_later_one_for_its_own"),
    },
    Seed {
        id: "reopened-not-told",
        breaks: &[G4],
        bug: "A waiter sleeps through the end of its drain.",
        file: "gate/wait.rs",
        within: "reading.generation != generation || reading.state.admits()",
        find: "reading.generation != generation || reading.state.admits()",
        replace: "reading.generation != generation",
        check: Model("waiters::reopening_wakes_the_waiters"),
    },
    Seed {
        id: "no-new-generation",
        breaks: &[G4],
        bug: "A drain keeps the number of the one before.",
        file: "gate/word.rs",
        within: "Ok(moved.in_next_generation())",
        find: "Ok(moved.in_next_generation())",
        replace: "Ok(moved)",
        check: Test("waiting::a_waiter_of_an_earlier_drain_gets_reopened_and_never_a_later_drain_s_success"),
    },
    Seed {
        id: "no-last-look",
        breaks: &[G4],
        bug: "A deadline that passes forgets to look once more.",
        file: "gate/awaited.rs",
        within: "outcome(&reading, self.0)",
        find: "outcome(&reading, self.0)",
        replace: "None",
        check: Model("waiters::a_wait_that_runs_out_says_what_was_left"),
    },
    Seed {
        id: "interrupt-tells-nobody",
        breaks: &[L4],
        bug: "Work that waits to be interrupted is not woken.",
        file: "gate.rs",
        within: "moved.interrupted() || moved.state() == DrainState::Stopped",
        find: "moved.interrupted() || moved.state() == DrainState::Stopped",
        replace: "moved.state() == DrainState::Stopped",
        check: Model("waiters::an_interrupt_reaches_the_work_in_flight"),
    },
    Seed {
        id: "forced-stop-interrupts-nobody",
        breaks: &[L4, S5],
        bug: "Abandoned work is not told.",
        file: "gate.rs",
        within: "moved.interrupted() || moved.state() == DrainState::Stopped",
        find: "moved.interrupted() || moved.state() == DrainState::Stopped",
        replace: "moved.state() == DrainState::ShutdownDraining && moved.interrupted()",
        check: Model("waiters::a_forced_stop_reaches_the_work_in_flight"),
    },
    Seed {
        id: "owning-a-permit-releases-it",
        breaks: &[G6],
        bug: "A permit that changes its form leaves the count.",
        file: "gate/permit.rs",
        within: "core::mem::forget(self);",
        find: "core::mem::forget(self);",
        replace: "drop(self);",
        check: Model("admission::permits_in_every_form_leave_the_count_once"),
    },
    Seed {
        id: "owned-permit-leaks",
        breaks: &[G6],
        bug: "An owned permit is never given back. In the field: 75736cd3a, #103906, the count stayed up after work had ended.",
        file: "gate/permit.rs",
        within: "impl Drop for OwnedPermit {
    #[inline]
    fn drop(&mut self) {
        self.core.leave(self.unit);",
        find: "self.core.leave(self.unit);",
        replace: "",
        check: Test("admission::an_owned_permit_is_the_same_admission"),
    },
    Seed {
        id: "panic-leaks-a-permit",
        breaks: &[G6],
        bug: "A turn that panics is counted for ever.",
        file: "gate/permit.rs",
        within: "impl Drop for Permit<'_> {
    #[inline]
    fn drop(&mut self) {
        self.core.leave(self.unit);",
        find: "self.core.leave(self.unit);",
        replace: "if !std::thread::panicking() { self.core.leave(self.unit); }",
        check: Test("admission::a_permit_counts_until_it_is_dropped_even_by_a_panic"),
    },
    Seed {
        id: "internal-count-wraps",
        breaks: &[G6],
        bug: "A full count of internal work runs over into the generation.",
        file: "gate/word.rs",
        within: "if self.internal() == MAX_INTERNAL {",
        find: "self.internal() == MAX_INTERNAL",
        replace: "false",
        check: Test("admission::an_internal_count_that_is_full_refuses_and_nothing_else_changes"),
    },
    Seed {
        id: "name-outlives-the-work",
        breaks: &[G6],
        bug: "A label stays in the table for ever.",
        file: "gate/permit.rs",
        within: "self.permit.core.labels.give_back(self.claim);",
        find: "self.permit.core.labels.give_back(self.claim);",
        replace: "",
        check: Model("admission::permits_in_every_form_leave_the_count_once"),
    },
    Seed {
        id: "interrupts-twice",
        breaks: &[S2],
        bug: "Work is asked to give up again and again.",
        file: "gate/word.rs",
        within: "DrainState::ShutdownDraining if !self.interrupted() =>",
        find: "!self.interrupted()",
        replace: "true",
        check: Model("waiters::an_interrupt_reaches_the_work_in_flight"),
    },
    Seed {
        id: "stops-with-work-in-flight",
        breaks: &[S5, G5],
        bug: "A shutdown stops while work is in flight.",
        file: "gate/word.rs",
        within: "matches!(to, DrainState::Stopped) && !self.drained()",
        find: "matches!(to, DrainState::Stopped) && !self.drained()",
        replace: "false",
        check: Model("visibility::the_stop_sees_what_the_last_turn_wrote"),
    },
    Seed {
        id: "abandoned-not-recorded",
        breaks: &[S5],
        bug: "A forced stop forgets that work was in flight.",
        file: "gate/word.rs",
        within: "Ok(Self(self.0 & !STATES | ABANDONED << STATE_SHIFT | INTERRUPTED))",
        find: "Ok(Self(self.0 & !STATES | ABANDONED << STATE_SHIFT | INTERRUPTED))",
        replace: "Ok(Self(self.in_state(DrainState::Stopped).0 | INTERRUPTED))",
        check: Model("waiters::a_forced_stop_wakes_the_waiters_and_says_abandoned"),
    },
    Seed {
        id: "waiter-misses-abandoned",
        breaks: &[S5, G4],
        bug: "A waiter sleeps on after a forced stop.",
        file: "gate/wait.rs",
        within: "} else if reading.abandoned {",
        find: "reading.abandoned",
        replace: "false",
        check: Model("waiters::a_forced_stop_wakes_the_waiters_and_says_abandoned"),
    },
    Seed {
        id: "drain-interrupts",
        breaks: &[L4],
        bug: "A drain that can be reversed asks the work in flight to give up.",
        file: "gate/word.rs",
        within: "let moved = self.in_state(to);",
        find: "self.in_state(to)",
        replace: "Self(self.in_state(to).0 | INTERRUPTED)",
        check: Test("admission::a_turn_in_flight_is_neither_interrupted_nor_dropped_by_a_drain"),
    },
    Seed {
        id: "turn-count-wraps",
        breaks: &[G6],
        bug: "A full count of turns runs over into the internal count.",
        file: "gate/word.rs",
        within: "self.0 & (CLOSED | TURNS) < MAX_TURNS",
        find: "self.0 & (CLOSED | TURNS) < MAX_TURNS",
        replace: "self.0 & CLOSED == 0",
        check: Unit("gate::word::tests::a_full_count_refuses_and_never_wraps_into_its_neighbour"),
    },
    Seed {
        id: "generation-wraps-into-its-neighbour",
        breaks: &[G6, G4],
        bug: "The last generation runs over into the marks.",
        file: "gate/word.rs",
        within: "(self.0 & !GENERATIONS) | (self.0.wrapping_add(1 << GENERATION_SHIFT) & GENERATIONS)",
        find: "(self.0 & !GENERATIONS) | (self.0.wrapping_add(1 << GENERATION_SHIFT) & GENERATIONS)",
        replace: "self.0.wrapping_add(1 << GENERATION_SHIFT)",
        check: Unit("gate::word::tests::the_generation_wraps_into_no_other_field"),
    },
    Seed {
        id: "internal-enters-a-stopped-gate",
        breaks: &[S4, G1],
        bug: "Internal work enters a stopped gateway.",
        file: "gate/word.rs",
        within: "(!self.state().is_draining() || self.drained())",
        find: "(!self.state().is_draining() || self.drained())",
        replace: "self.drained()",
        check: Test("admission::a_gateway_that_was_stopped_by_force_takes_no_internal_work_although_some_is_in_flight"),
    },
    Seed {
        id: "running-is-drained",
        breaks: &[G3, E1],
        bug: "A gate that is open and idle is drained.",
        file: "gate/word.rs",
        within: "!self.state().admits() && self.0 & COUNTS == 0 && !self.abandoned()",
        find: "!self.state().admits() && self.0 & COUNTS == 0 && !self.abandoned()",
        replace: "self.0 & COUNTS == 0 && !self.abandoned()",
        check: Test("admission::nothing_is_drained_that_is_open"),
    },
    Seed {
        id: "shutdown-drained-early",
        breaks: &[G3, S5],
        bug: "What was abandoned counts as drained once it ends.",
        file: "gate/word.rs",
        within: "!self.state().admits() && self.0 & COUNTS == 0 && !self.abandoned()",
        find: "!self.state().admits() && self.0 & COUNTS == 0 && !self.abandoned()",
        replace: "!self.state().admits() && self.0 & COUNTS == 0",
        check: Test("waiting::work_abandoned_by_a_forced_stop_is_never_taken_for_drained"),
    },
    Seed {
        id: "every-move-is-a-new-drain",
        breaks: &[G4],
        bug: "A drain that turns into a shutdown is another one.",
        file: "gate/word.rs",
        within: "if self.state().admits() { Ok(moved.in_next_generation()) } else { Ok(moved) }",
        find: "self.state().admits()",
        replace: "true",
        check: Test("waiting::a_drain_that_turns_into_a_shutdown_is_still_the_same_drain"),
    },
    Seed {
        id: "refuses-nobody-in-a-shutdown",
        breaks: &[G1, G2, S3],
        bug: "A shutdown refuses nobody.",
        file: "gate/word.rs",
        within: "if self.0 & (CLOSED | TURNS) < MAX_TURNS {",
        find: "self.0 & (CLOSED | TURNS) < MAX_TURNS",
        replace: "self.0 & (CLOSED | TURNS) < MAX_TURNS || self.0 >> STATE_SHIFT == SHUTDOWN_DRAINING",
        check: Test("admission::a_shutdown_and_a_stopped_gateway_refuse_for_good_and_say_which"),
    },
    Seed {
        id: "refuses-nobody-when-stopped",
        breaks: &[G1, S4],
        bug: "A stopped gateway refuses nobody.",
        file: "gate/word.rs",
        within: "if self.0 & (CLOSED | TURNS) < MAX_TURNS {",
        find: "self.0 & (CLOSED | TURNS) < MAX_TURNS",
        replace: "self.0 & (CLOSED | TURNS) < MAX_TURNS || self.0 >> STATE_SHIFT == STOPPED",
        check: Test("admission::a_shutdown_and_a_stopped_gateway_refuse_for_good_and_say_which"),
    },
];
