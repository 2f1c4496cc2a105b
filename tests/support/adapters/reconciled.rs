//! The whole gateway: a home of its own, and holds that are files in it.
//!
//! A holder is a controller that writes its file, kicks, and goes on when the gateway says that it has acted on it. Only
//! the leases' clock is the suite's.

use super::{told, waiter};
use gateway_drain::conformance::{Ability, Gateway, Holder, Snapshot, Waiter};
use gateway_drain::control::Channel;
use gateway_drain::controller::Settings;
use gateway_drain::gate::OwnedPermit;
use gateway_drain::hold::{Nonce, Outcome};
use gateway_drain::properties::PropertyId;
use gateway_drain::reconciler::Options;
use gateway_drain::{Clock, DrainState, Home, Reconciler, Request, RequestId, status};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const LEASE: Duration = Duration::from_secs(600);
const DEADLINE: Duration = Duration::from_secs(60);
const GRACE: Duration = Duration::from_secs(5);
/// How long a kick may take to have its effect.
const LIMIT: Duration = Duration::from_secs(60);

pub struct Reconciled {
    reconciler: Reconciler,
    channel: Channel,
    clock: Clock,
    /// The nonce of each holder's commit.
    tokens: Mutex<BTreeMap<RequestId, Nonce>>,
}

impl Reconciled {
    fn id(holder: Holder) -> RequestId {
        RequestId::new(holder.as_str()).expect("a sound name")
    }

    /// Has the files looked at, and waits until the gateway says so.
    fn follow(&self, what: &str, says: impl Fn(&status::Snapshot) -> bool) {
        let until = Instant::now() + LIMIT;
        self.reconciler.kick();
        while !says(&self.reconciler.snapshot()) {
            assert!(Instant::now() < until, "{LIMIT:?} after a kick: not {what}");
            // Nothing tells that a look is over; a state that doesn't move is no event.
            std::thread::park_timeout(Duration::from_micros(50));
        }
    }

    /// Writes a request, and waits for what the gateway makes of it.
    fn ask(&self, request: &Request) -> Option<Outcome> {
        self.channel.write(request).expect("the home can be written to");
        let answered = |status: &status::Snapshot| {
            status.drain.acknowledged.iter().find(|answer| answer.nonce == request.nonce).map(|answer| answer.outcome)
        };
        self.follow("answered", |status| answered(status).is_some());
        answered(&self.reconciler.snapshot())
    }

    /// Waits until a look that began from now on has been published.
    fn look(&self) {
        // The first may be of a look that had begun before.
        for round in ["first", "second"] {
            let reason = format!("{round} look after {:?}", self.clock.now());
            self.reconciler.describe(|described| described.exit_reason = Some(reason.clone()));
            let until = Instant::now() + LIMIT;
            let published = || status::Snapshot::read(self.reconciler.home()).ok()?.description.exit_reason;
            while published().as_ref() != Some(&reason) {
                assert!(Instant::now() < until, "{LIMIT:?} after a kick: not published");
                std::thread::park_timeout(Duration::from_micros(50));
            }
        }
    }
}

impl Gateway for Reconciled {
    type Permit = OwnedPermit;
    type Guard = TempDir;

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
        Ability::ShutdownLimit(DEADLINE.saturating_add(GRACE)),
    ];

    fn fresh() -> (Self, TempDir) {
        // In memory, if the machine has such a place: the suite makes thousands of homes, and loses none of them.
        let memory = Path::new("/dev/shm");
        let folder = tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()).expect("a temporary folder");
        let home = Home::at(folder.path());
        let clock = Clock::manual();
        let settings = Settings { clock: clock.clone(), interrupt_grace: GRACE, ..Settings::default() };
        let options = Options { settings, ..Options::default() };
        let reconciler = Reconciler::start(home.clone(), options).expect("a home of its own");
        (Self { reconciler, channel: Channel::new(home), clock, tokens: Mutex::default() }, folder)
    }

    fn skip(property: PropertyId) -> Option<&'static str> {
        (property == PropertyId::H5).then_some("its wall clock is the machine's, and is not set by a test")
    }

    fn admit(&self) -> Option<OwnedPermit> {
        self.reconciler.gate().admit().ok().map(gateway_drain::Permit::into_owned)
    }

    fn snapshot(&self) -> Snapshot {
        // A shutdown that is drained ends by itself, as soon as the gateway has noticed.
        if self.reconciler.gate().reading().drained {
            self.stop();
        }
        let abandoned = self.reconciler.controller().report();
        let abandoned = abandoned.map_or(0, |report| report.abandoned.in_flight + report.abandoned.internal);
        told(self.reconciler.gate().reading(), abandoned)
    }

    fn begin(&self, holder: Holder) {
        self.ask(&Request::begin(Self::id(holder), holder.as_str()).lease(LEASE));
    }

    fn end(&self, holder: Holder) {
        let id = Self::id(holder);
        if let Some(token) = self.tokens.lock().unwrap().remove(&id) {
            self.ask(&Request::withdraw(id.clone(), holder.as_str()).token(token));
        }
        self.channel.remove(&id).expect("the home can be written to");
        let ended = |status: &status::Snapshot| status.drain.holds.iter().all(|hold| hold.request_id != id);
        self.follow("ended", ended);
    }

    fn shut_down(&self) {
        // Refused only once stopped, and then there is nothing to begin.
        let _ = self.reconciler.controller().begin_shutdown(DEADLINE);
    }

    fn stop(&self) {
        let ends = |status: &status::Snapshot| {
            status.drain.state != DrainState::ShutdownDraining || status.active_agents > Some(0)
        };
        self.follow("stopped", ends);
    }

    fn force_stop(&self) {
        let _ = self.reconciler.controller().force_stop();
    }

    fn waiter(&self) -> Waiter<'_> {
        waiter(self.reconciler.gate())
    }

    fn commit(&self, holder: Holder) -> bool {
        let generation = self.reconciler.gate().reading().generation;
        let incarnation = self.reconciler.controller().incarnation().clone();
        let request = Request::commit(Self::id(holder), holder.as_str(), incarnation, generation);
        let granted = self.ask(&request) == Some(Outcome::Committed);
        self.tokens.lock().unwrap().extend(request.nonce.filter(|_| granted).map(|nonce| (request.id, nonce)));
        granted
    }

    fn pass(&self, time: Duration) {
        self.clock.advance(time);
        self.look();
    }
}
