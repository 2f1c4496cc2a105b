//! The controller with all it can do, on a clock of the suite's.

use super::{Mutex, told, waiter};
use gateway_drain::conformance::{Ability, Gateway, Holder, Snapshot, Waiter};
use gateway_drain::controller::Settings;
use gateway_drain::gate::OwnedPermit;
use gateway_drain::hold::{Nonce, Outcome};
use gateway_drain::{Clock, Controller, Request, RequestId};
use std::time::Duration;

const LEASE: Duration = Duration::from_secs(600);
const DEADLINE: Duration = Duration::from_secs(60);
const GRACE: Duration = Duration::from_secs(5);
/// When the suite's wall clock starts, in seconds.
const START: i64 = 1_800_000_000;

/// A controller, and what the holders of the suite remember of their requests.
pub struct Controlled {
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

    const EFFORT: u32 = 20;

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
        let _ = self.controller.request(&request);
        self.requests.lock().unwrap().push((request, *self.wall.lock().unwrap()));
    }

    fn end(&self, holder: Holder) {
        let request = Request::withdraw(Self::id(holder), holder.as_str());
        let token = self.token.lock().unwrap().clone();
        let _ = self.controller.request(&match token {
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
        let _ = self.controller.force_stop();
    }

    fn waiter(&self) -> Waiter<'_> {
        waiter(self.controller.gate())
    }

    fn commit(&self, holder: Holder) -> bool {
        let generation = self.controller.gate().reading().generation;
        let incarnation = self.controller.incarnation().clone();
        let request = Request::commit(Self::id(holder), holder.as_str(), incarnation, generation);
        let granted = self.controller.request(&request) == Ok(Outcome::Committed);
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
            let _ = self.controller.request(&seen_again);
        }
    }
}
