//! Gateways that are broken between two steps or by a memory ordering, each caught under loom by the property that its flaw
//! breaks and by no other than follow from it; and one that loom sees nothing of, which is not passed over.
//!
//! Threads find some of these now and then. A release that orders nothing no thread of an x86 ever shows.

use gateway_drain::DrainState;
use gateway_drain::conformance::loom::atomic::{AtomicU64, Ordering};
use gateway_drain::conformance::{Ability, Gateway, Holder, Snapshot, Verdict, Waited, Waiter, report};
use gateway_drain::properties::PropertyId::{self, *};
use loom::sync::{Condvar, Mutex};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    /// Admission looks at the flag, and counts in another step.
    FlagAndCountApart,
    /// Closing reads the word, and writes it in another step.
    ClosesInTwoSteps,
    /// Admission counts in two steps.
    CountsInTwoSteps,
    /// What work has written is not published with its end.
    ReleasesRelaxed,
    /// What was written while drained is not read with the admission.
    AdmitsRelaxed,
    /// A waiter looks, and listens in another step.
    LooksThenListens,
    /// The gate refuses everybody.
    NeverOpens,
}

const CLOSED: u64 = 1 << 63;

/// A gate in one word: closed or not, and how much is in flight.
struct OneWord<const FLAW: u8> {
    word: AtomicU64,
    listening: Mutex<()>,
    finished: Condvar,
}

impl<const FLAW: u8> OneWord<FLAW> {
    fn has(flaw: Flaw) -> bool {
        FLAW == flaw as u8
    }

    fn drained(&self) -> bool {
        self.word.load(Ordering::Acquire) == CLOSED
    }
}

impl<const FLAW: u8> Gateway for OneWord<FLAW> {
    type Permit = ();
    type Guard = ();

    const ABILITIES: &'static [Ability] = &[Ability::Drain, Ability::Count, Ability::Wait];

    fn fresh() -> (Self, ()) {
        (Self { word: AtomicU64::new(0), listening: Mutex::new(()), finished: Condvar::new() }, ())
    }

    fn admit(&self) -> Option<()> {
        let order = if Self::has(Flaw::AdmitsRelaxed) { Ordering::Relaxed } else { Ordering::Acquire };
        if Self::has(Flaw::NeverOpens) {
            self.word.fetch_or(0, Ordering::AcqRel);
            return None;
        }
        if Self::has(Flaw::FlagAndCountApart) {
            let open = self.word.load(Ordering::Acquire) & CLOSED == 0;
            return open.then(|| {
                self.word.fetch_add(1, Ordering::AcqRel);
            });
        }
        if Self::has(Flaw::CountsInTwoSteps) {
            let word = self.word.load(Ordering::Acquire);
            return (word & CLOSED == 0).then(|| self.word.store(word + 1, Ordering::Release));
        }
        let add = |word| (word & CLOSED == 0).then_some(word + 1);
        self.word.fetch_update(order, order, add).ok().map(|_| ())
    }

    fn finish(&self, (): ()) {
        let order = if Self::has(Flaw::ReleasesRelaxed) { Ordering::Relaxed } else { Ordering::Release };
        if self.word.fetch_sub(1, order) == CLOSED + 1 {
            if !Self::has(Flaw::LooksThenListens) {
                drop(self.listening.lock().unwrap());
            }
            self.finished.notify_all();
        }
    }

    fn snapshot(&self) -> Snapshot {
        let word = self.word.load(Ordering::Acquire);
        let state = if word & CLOSED == 0 { DrainState::Running } else { DrainState::ExternalDraining };
        Snapshot { state, in_flight: word & !CLOSED, drained: word == CLOSED, abandoned: 0 }
    }

    fn begin(&self, _: Holder) {
        if Self::has(Flaw::ClosesInTwoSteps) {
            let word = self.word.load(Ordering::Acquire);
            self.word.store(word | CLOSED, Ordering::Release);
        } else {
            self.word.fetch_or(CLOSED, Ordering::AcqRel);
        }
    }

    fn end(&self, _: Holder) {
        self.word.fetch_and(!CLOSED, Ordering::AcqRel);
    }

    fn shut_down(&self) {}

    fn stop(&self) {}

    fn waiter(&self) -> Waiter<'_> {
        Box::new(|_| {
            let mut drained = self.drained();
            let mut listening = self.listening.lock().unwrap();
            if !Self::has(Flaw::LooksThenListens) {
                drained = self.drained();
            }
            while !drained {
                listening = self.finished.wait(listening).unwrap();
                drained = self.drained();
            }
            Waited::Drained
        })
    }
}

#[track_caller]
fn assert_broken<G: Gateway>(expected: &[(PropertyId, &str)]) {
    let report = report::<G>();
    let broken: Vec<_> = expected.iter().map(|(id, _)| *id).collect();
    assert_eq!(report.broken(), broken, "{report}");
    for (id, says) in expected {
        let verdict = report.verdicts.iter().find(|(judged, _)| judged == id);
        let Some((_, Verdict::Broken { evidence })) = verdict else { panic!("{report}") };
        assert!(evidence.contains(says), "{evidence}");
    }
}

#[test]
fn without_a_flaw_it_keeps_every_property_that_loom_judges() {
    let report = report::<OneWord<{ Flaw::None as u8 }>>();
    assert_eq!(report.kept(), [G1, G2, G3, G4, G5, G6], "{report}");
    assert_eq!(report.broken(), [], "{report}");
}

#[test]
fn a_flag_and_a_count_apart_are_caught() {
    assert_broken::<OneWord<{ Flaw::FlagAndCountApart as u8 }>>(&[(G2, "rose from 0 to 1"), (G3, "and then that")]);
}

#[test]
fn a_closing_that_forgets_who_came_meanwhile_is_caught() {
    let says = "work was admitted after the closing call had returned";
    let expected = [(G1, says), (G2, "rose from 1 to"), (G3, "does not tell drained")];
    assert_broken::<OneWord<{ Flaw::ClosesInTwoSteps as u8 }>>(&expected);
}

#[test]
fn a_count_in_two_steps_is_caught() {
    let all_work = "all work of two threads has finished";
    // The second step also writes the gate open again.
    let expected = [(G1, "work was admitted after"), (G2, "rose from 0 to"), (G3, "and then that"), (G6, all_work)];
    assert_broken::<OneWord<{ Flaw::CountsInTwoSteps as u8 }>>(&expected);
}

#[test]
fn a_release_that_orders_nothing_is_caught() {
    assert_broken::<OneWord<{ Flaw::ReleasesRelaxed as u8 }>>(&[(G5, "did not see what the finished work")]);
}

#[test]
fn an_admission_that_orders_nothing_is_caught() {
    assert_broken::<OneWord<{ Flaw::AdmitsRelaxed as u8 }>>(&[(G5, "did not see what was written while drained")]);
}

#[test]
fn a_wake_up_that_is_lost_is_caught_as_a_deadlock() {
    assert_broken::<OneWord<{ Flaw::LooksThenListens as u8 }>>(&[(G4, "G4 is broken: a deadlock: ")]);
}

#[test]
fn a_gate_that_is_safe_because_it_admits_nobody_is_not_passed() {
    let (none, fresh) = ("so that work was admitted", "a fresh gateway refused work");
    let expected = [(G1, none), (G2, none), (G3, none), (G4, fresh), (G5, fresh), (G6, none)];
    assert_broken::<OneWord<{ Flaw::NeverOpens as u8 }>>(&expected);
}

/// On std's lock: right, and invisible to loom.
struct Hidden(std::sync::Mutex<(bool, u64)>);

impl Gateway for Hidden {
    type Permit = ();
    type Guard = ();

    fn fresh() -> (Self, ()) {
        (Self(std::sync::Mutex::default()), ())
    }

    fn admit(&self) -> Option<()> {
        let mut inner = self.0.lock().unwrap();
        (!inner.0).then(|| inner.1 += 1)
    }

    fn finish(&self, (): ()) {
        self.0.lock().unwrap().1 -= 1;
    }

    fn snapshot(&self) -> Snapshot {
        let (closed, in_flight) = *self.0.lock().unwrap();
        let state = if closed { DrainState::ExternalDraining } else { DrainState::Running };
        Snapshot { state, in_flight, drained: closed && in_flight == 0, abandoned: 0 }
    }

    fn begin(&self, _: Holder) {
        self.0.lock().unwrap().0 = true;
    }

    fn end(&self, _: Holder) {
        self.0.lock().unwrap().0 = false;
    }

    fn shut_down(&self) {}

    fn stop(&self) {}
}

#[test]
fn a_gateway_that_loom_sees_nothing_of_is_not_passed_for_that() {
    let says = "loom found nothing to interleave";
    assert_broken::<Hidden>(&[(G1, says), (G2, says), (G3, says), (G5, says), (G6, says)]);
}
