//! The lifecycle by itself: no holds, no leases, no deadline.

use super::{Mutex, told, waiter};
use gateway_drain::conformance::{Ability, Gateway, Holder, Snapshot, Waiter};
use gateway_drain::gate::{Gate, OwnedPermit};
use gateway_drain::{AnyLifecycle, Event, Lifecycle};

pub struct Bare {
    gate: Gate,
    lifecycle: Mutex<AnyLifecycle>,
    abandoned: Mutex<u64>,
}

impl Bare {
    fn on(&self, event: Event) {
        // What the table refuses changes nothing, and that is what the suite looks at.
        let _ = self.lifecycle.lock().unwrap().on(event);
    }
}

impl Gateway for Bare {
    type Permit = OwnedPermit;
    type Guard = ();

    const EFFORT: u32 = 20;

    const ABILITIES: &'static [Ability] =
        &[Ability::Drain, Ability::ShutDown, Ability::Count, Ability::Force, Ability::Wait];

    fn fresh() -> (Self, ()) {
        let lifecycle = AnyLifecycle::from(Lifecycle::new());
        let gate = lifecycle.gate().clone();
        (Self { gate, lifecycle: Mutex::new(lifecycle), abandoned: Mutex::new(0) }, ())
    }

    fn admit(&self) -> Option<OwnedPermit> {
        self.gate.admit().ok().map(gateway_drain::Permit::into_owned)
    }

    fn snapshot(&self) -> Snapshot {
        told(self.gate.reading(), *self.abandoned.lock().unwrap())
    }

    fn begin(&self, _: Holder) {
        self.on(Event::BeginDrain);
    }

    fn end(&self, _: Holder) {
        self.on(Event::EndDrain);
    }

    fn shut_down(&self) {
        self.on(Event::BeginShutdown);
    }

    fn stop(&self) {
        self.on(Event::Stop);
    }

    fn force_stop(&self) {
        if let Some(abandoned) = self.lifecycle.lock().unwrap().force_stop() {
            *self.abandoned.lock().unwrap() = abandoned.in_flight + abandoned.internal;
        }
    }

    fn waiter(&self) -> Waiter<'_> {
        waiter(&self.gate)
    }
}
