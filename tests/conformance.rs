//! The crate's own gateway under its own suite: the controller with all it can do, and the lifecycle by itself.

#![cfg(feature = "conformance")]

use gateway_drain::conformance::{Ability, Gateway, Holder, Snapshot, Waited, Waiter};
use gateway_drain::controller::Settings;
use gateway_drain::gate::{Gate, OwnedPermit, Reading};
use gateway_drain::hold::{Nonce, Outcome};
use gateway_drain::properties::PROPERTIES;
use gateway_drain::{AnyLifecycle, Clock, Controller, Event, Lifecycle, Request, RequestId, WaitError};
use std::fmt::Write;
use std::sync::Mutex;
use std::time::Duration;

const LEASE: Duration = Duration::from_secs(600);
const DEADLINE: Duration = Duration::from_secs(60);
const GRACE: Duration = Duration::from_secs(5);
/// When the suite's wall clock starts, in seconds.
const START: i64 = 1_800_000_000;

fn told(reading: Reading, abandoned: u64) -> Snapshot {
    // What a forced stop abandoned is still counted by the gate, and nobody waits for it any more.
    let in_flight = if reading.abandoned { 0 } else { reading.total() };
    Snapshot { state: reading.state, in_flight, drained: reading.drained, abandoned }
}

fn waiter(gate: &Gate) -> Waiter<'_> {
    let wait = gate.drained(gate.reading().generation);
    Box::new(move |limit| match wait.wait_timeout(limit) {
        Ok(()) => Waited::Drained,
        Err(WaitError::DeadlinePassed { .. }) => Waited::TimedOut,
        Err(_) => Waited::Over,
    })
}

/// A controller, and what the holders of the suite remember of their requests.
struct Controlled {
    controller: Controller,
    clock: Clock,
    /// Seconds.
    wall: Mutex<i64>,
    /// Each holder's last request, and when it was made by the wall clock.
    requests: Mutex<Vec<(Request, i64)>>,
    /// The nonce of the one commit that the suite makes.
    token: Mutex<Option<Nonce>>,
}

impl Controlled {
    fn id(holder: Holder) -> RequestId {
        RequestId::new(holder.as_str()).expect("a sound name")
    }
}

impl Gateway for Controlled {
    type Permit = OwnedPermit;
    type Guard = ();

    const ABILITIES: &'static [Ability] = &[
        Ability::Drain,
        Ability::ShutDown,
        Ability::Count,
        Ability::Force,
        Ability::Holders,
        Ability::Wait,
        Ability::Lease(LEASE),
        Ability::Commit,
        Ability::WallClock,
        Ability::ShutdownLimit(DEADLINE.saturating_add(GRACE)),
    ];

    fn fresh() -> (Self, ()) {
        let clock = Clock::manual();
        let settings = Settings { clock: clock.clone(), interrupt_grace: GRACE, ..Settings::default() };
        let controller = Controller::with(settings);
        let (wall, requests, token) = (Mutex::new(START), Mutex::default(), Mutex::default());
        (Self { controller, clock, wall, requests, token }, ())
    }

    fn admit(&self) -> Option<OwnedPermit> {
        self.controller.gate().admit().ok().map(gateway_drain::Permit::into_owned)
    }

    fn snapshot(&self) -> Snapshot {
        let abandoned = self.controller.report().map_or(0, |r| r.abandoned.in_flight + r.abandoned.internal);
        told(self.controller.gate().reading(), abandoned)
    }

    fn begin(&self, holder: Holder) {
        let request = Request::begin(Self::id(holder), holder.as_str()).lease(LEASE);
        self.controller.request(&request);
        self.requests.lock().unwrap().push((request, *self.wall.lock().unwrap()));
    }

    fn end(&self, holder: Holder) {
        let request = Request::withdraw(Self::id(holder), holder.as_str());
        let token = self.token.lock().unwrap().clone();
        self.controller.request(&match token {
            Some(token) => request.token(token),
            None => request,
        });
    }

    fn shut_down(&self) {
        // Refused only once stopped, and then there is nothing to begin.
        let _ = self.controller.begin_shutdown(DEADLINE);
    }

    fn stop(&self) {
        self.controller.settle();
    }

    fn force_stop(&self) {
        self.controller.force_stop();
    }

    fn waiter(&self) -> Waiter<'_> {
        waiter(self.controller.gate())
    }

    fn commit(&self, holder: Holder) -> bool {
        let generation = self.controller.gate().reading().generation;
        let incarnation = self.controller.incarnation().clone();
        let request = Request::commit(Self::id(holder), holder.as_str(), incarnation, generation);
        let granted = self.controller.request(&request) == Outcome::Committed;
        *self.token.lock().unwrap() = request.nonce.filter(|_| granted);
        granted
    }

    fn pass(&self, time: Duration) {
        self.clock.advance(time);
        self.controller.settle();
    }

    fn step_wall_clock(&self, seconds: i64) {
        let mut wall = self.wall.lock().unwrap();
        *wall += seconds;
        // The way a wall clock reaches the controller: the same request seen again, with the age that its timestamp
        // now makes it.
        for (request, made_at) in self.requests.lock().unwrap().iter() {
            let mut seen_again = request.clone();
            seen_again.age = u64::try_from(*wall - made_at).ok().map(Duration::from_secs);
            self.controller.request(&seen_again);
        }
    }
}

/// The lifecycle alone: no holds, no leases, no deadline.
struct Bare {
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

mod the_controller {
    gateway_drain::conformance!(super::Controlled);
}

mod the_lifecycle {
    gateway_drain::conformance!(super::Bare);
}

#[test]
fn the_controller_skips_nothing() {
    let abilities = <Controlled as Gateway>::ABILITIES.len();
    assert_eq!(abilities, 10, "every ability that the suite knows");
    assert!(PROPERTIES.iter().all(|property| Controlled::skip(property.id).is_none()));
}

#[test]
fn the_document_lists_the_properties_of_the_suite_as_the_crate_does() {
    let mut table = String::from("| | Property |\n|---|---|\n");
    for (id, _) in gateway_drain::conformance::report::<Bare>().verdicts {
        writeln!(table, "| {id} | {} |", id.property().sentence).unwrap();
    }
    let document = include_str!("../docs/conformance.md");
    assert!(document.contains(&table), "docs/conformance.md is to contain\n{table}");
}
