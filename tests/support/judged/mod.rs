//! Gateways of many makes for the conformance suite: correct ones, none of which is to be accused, and ones with a mistake
//! that somebody made.

pub mod broken;
pub mod correct;

use gateway_drain::DrainState;
use gateway_drain::conformance::{Ability, Gateway, Holder, Snapshot, Waiter};

/// What a small gateway does. [`Of`] makes a gateway for the suite of it.
pub trait Small: Default + Send + Sync + 'static {
    const ABILITIES: &'static [Ability] = &[Ability::Drain, Ability::ShutDown, Ability::Count, Ability::Holders];

    fn admit(&self) -> bool;
    fn finish(&self);
    fn look(&self) -> Snapshot;
    fn begin(&self, holder: Holder);
    fn end(&self, holder: Holder);
    fn shut_down(&self);
    fn stop(&self);
    fn force_stop(&self) {}
    fn waiter(&self) -> Waiter<'_> {
        unreachable!("it has no waiters")
    }
    fn admit_internal(&self) -> bool {
        unreachable!("it has no such entrance")
    }
    fn finish_internal(&self) {}
    fn internal(&self) -> u64 {
        0
    }
}

/// With so much effort in hundredths.
pub struct Of<T, const EFFORT: u32 = 100>(T);

/// By which entrance the work came in.
pub enum Work {
    Turn,
    Internal,
}

impl<T: Small, const EFFORT: u32> Gateway for Of<T, EFFORT> {
    type Permit = Work;
    type Guard = ();

    const ABILITIES: &'static [Ability] = T::ABILITIES;
    const EFFORT: u32 = EFFORT;

    fn fresh() -> (Self, ()) {
        (Self(T::default()), ())
    }

    fn admit(&self) -> Option<Work> {
        self.0.admit().then_some(Work::Turn)
    }

    fn admit_internal(&self) -> Option<Work> {
        self.0.admit_internal().then_some(Work::Internal)
    }

    fn internal(&self) -> u64 {
        self.0.internal()
    }

    fn finish(&self, work: Work) {
        match work {
            Work::Turn => self.0.finish(),
            Work::Internal => self.0.finish_internal(),
        }
    }

    fn snapshot(&self) -> Snapshot {
        self.0.look()
    }

    fn begin(&self, holder: Holder) {
        self.0.begin(holder);
    }

    fn end(&self, holder: Holder) {
        self.0.end(holder);
    }

    fn shut_down(&self) {
        self.0.shut_down();
    }

    fn stop(&self) {
        self.0.stop();
    }

    fn force_stop(&self) {
        self.0.force_stop();
    }

    fn waiter(&self) -> Waiter<'_> {
        self.0.waiter()
    }
}

/// Who holds, what is in flight, and how far a shutdown is: what most of them keep behind a lock of some kind.
#[derive(Clone, Copy, Default)]
pub struct Books {
    pub holds: [bool; 2],
    pub shut: bool,
    pub stopped: bool,
    pub in_flight: u64,
    pub internal: u64,
    pub abandoned: u64,
    pub drains: u64,
}

impl Books {
    pub fn state(&self) -> DrainState {
        match (self.stopped, self.shut, self.holds.contains(&true)) {
            (true, _, _) => DrainState::Stopped,
            (false, true, _) => DrainState::ShutdownDraining,
            (false, false, true) => DrainState::ExternalDraining,
            (false, false, false) => DrainState::Running,
        }
    }

    pub fn admit(&mut self) -> bool {
        let admits = self.state().admits();
        self.in_flight += u64::from(admits);
        admits
    }

    pub fn finish(&mut self) {
        if !self.stopped {
            self.in_flight -= 1;
        }
    }

    pub fn begin(&mut self, holder: Holder) {
        let open = self.state().admits();
        if !self.shut {
            self.holds[holder as usize] = true;
            self.drains += u64::from(open);
        }
    }

    pub fn end(&mut self, holder: Holder) {
        self.holds[holder as usize] = false;
    }

    pub fn shut_down(&mut self) {
        self.drains += u64::from(self.state().admits());
        self.shut = true;
    }

    pub fn stop(&mut self) {
        self.stopped |= self.shut && self.in_flight == 0;
    }

    pub fn force_stop(&mut self) {
        if !self.stopped {
            self.shut = true;
            self.stopped = true;
            self.abandoned = std::mem::take(&mut self.in_flight);
        }
    }

    pub fn look(&self) -> Snapshot {
        let closed = !self.state().admits();
        let drained = closed && self.in_flight + self.internal == 0 && self.abandoned == 0;
        Snapshot { state: self.state(), in_flight: self.in_flight, drained, abandoned: self.abandoned }
    }
}
