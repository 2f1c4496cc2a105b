//! A gateway that is broken between a load and an exchange. On loom's own atomics the suite passes it: loom explores no
//! execution in which it goes wrong. On the suite's it is caught.

use gateway_drain::DrainState;
use gateway_drain::conformance::loom::atomic::{self, Ordering};
use gateway_drain::conformance::{Ability, Gateway, Holder, Snapshot, report};
use gateway_drain::properties::PropertyId::*;
use loom::sync::Mutex;
use loom::thread::{ThreadId, current};

/// What the gateway needs of an atomic, so that it can be built on either.
trait Atomic: Send + Sync + 'static {
    fn new() -> Self;
    fn load(&self) -> u64;
    fn store(&self, value: u64);
    fn exchange(&self, seen: u64, new: u64) -> Result<u64, u64>;
    fn subtract(&self, value: u64);
}

macro_rules! is_atomic {
    ($atomic:ty) => {
        impl Atomic for $atomic {
            fn new() -> Self {
                Self::new(0)
            }

            fn load(&self) -> u64 {
                self.load(Ordering::Acquire)
            }

            fn store(&self, value: u64) {
                self.store(value, Ordering::Release);
            }

            fn exchange(&self, seen: u64, new: u64) -> Result<u64, u64> {
                self.compare_exchange(seen, new, Ordering::AcqRel, Ordering::Acquire)
            }

            fn subtract(&self, value: u64) {
                self.fetch_sub(value, Ordering::AcqRel);
            }
        }
    };
}

is_atomic!(loom::sync::atomic::AtomicU64);
is_atomic!(atomic::AtomicU64);

/// A sound gate under a lock; and beside it, for each of two threads, how many are being refused. The flaw: who is refused is
/// counted there for an instant, and told to be in flight.
struct CountsRefusals<A, const FLAW: bool> {
    lock: Mutex<()>,
    closed: A,
    admitted: A,
    refused: [A; 2],
    first: ThreadId,
}

impl<A: Atomic, const FLAW: bool> CountsRefusals<A, FLAW> {
    fn count_a_refusal(&self) {
        let count = &self.refused[usize::from(current().id() != self.first)];
        let mut seen = count.load();
        while let Err(now) = count.exchange(seen, seen + 1) {
            seen = now;
        }
        count.subtract(1);
    }

    fn set_closed(&self, closed: bool) {
        let _locked = self.lock.lock().unwrap();
        self.closed.store(u64::from(closed));
    }
}

impl<A: Atomic, const FLAW: bool> Gateway for CountsRefusals<A, FLAW> {
    type Permit = ();
    type Guard = ();

    const ABILITIES: &'static [Ability] = &[Ability::Drain, Ability::Count];

    fn fresh() -> (Self, ()) {
        let (lock, first) = (Mutex::new(()), current().id());
        (Self { lock, closed: A::new(), admitted: A::new(), refused: [A::new(), A::new()], first }, ())
    }

    fn admit(&self) -> Option<()> {
        if self.closed.load() == 1 {
            if FLAW {
                self.count_a_refusal();
            }
            return None;
        }
        let _locked = self.lock.lock().unwrap();
        (self.closed.load() == 0).then(|| self.admitted.store(self.admitted.load() + 1))
    }

    fn finish(&self, (): ()) {
        let _locked = self.lock.lock().unwrap();
        self.admitted.subtract(1);
    }

    fn snapshot(&self) -> Snapshot {
        let closed = self.closed.load() == 1;
        let in_flight = self.refused.iter().fold(self.admitted.load(), |sum, refused| sum + refused.load());
        let state = if closed { DrainState::ExternalDraining } else { DrainState::Running };
        Snapshot { state, in_flight, drained: closed && in_flight == 0, abandoned: 0 }
    }

    fn begin(&self, _: Holder) {
        self.set_closed(true);
    }

    fn end(&self, _: Holder) {
        self.set_closed(false);
    }

    fn shut_down(&self) {}

    fn stop(&self) {}
}

#[test]
fn on_the_suites_atomics_what_happens_between_a_load_and_an_exchange_is_caught() {
    let report = report::<CountsRefusals<atomic::AtomicU64, true>>();
    assert_eq!(report.broken(), [G2, G3], "{report}");
}

#[test]
fn on_looms_own_atomics_it_passes() {
    let report = report::<CountsRefusals<loom::sync::atomic::AtomicU64, true>>();
    assert_eq!(report.broken(), [], "loom explores more than it did: say so in docs/conformance.md. {report}");
    assert_eq!(report.kept(), [G1, G2, G3, G5, G6], "{report}");
}

#[test]
fn without_the_flaw_it_keeps_every_property_on_the_suites_atomics() {
    let report = report::<CountsRefusals<atomic::AtomicU64, false>>();
    assert_eq!((report.kept(), report.broken()), (vec![G1, G2, G3, G5, G6], vec![]), "{report}");
}
