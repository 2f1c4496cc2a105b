//! One gateway under stress: work from more threads than there are processors, while controllers close and open it again
//! and again and an onlooker looks, also during their calls.
//!
//! What must be so at a moment is known from outside, not from the gateway: each controller says in which of four phases
//! its hold is, and each worker knows of its own work. An admission breaks G1 only if the hold was in force from before the
//! asking until after the answer. A gate that refuses breaks H1 only if throughout the asking nobody closed, held or opened
//! it. In between, while a call that closes or opens is under way, either answer is right.
//!
//! A gateway that the suite didn't build can't be stopped at a chosen instruction. Threads that sleep for some microseconds
//! and wake again take a processor from a worker at any of its instructions, which comes near to it.

use super::session::Found;
use super::{Ability, Gateway, Holder, Snapshot, Waited, can, limit};
use crate::judge::conformance::race::{AtEnd, effort};
use crate::properties::PropertyId::{self, G1, G2, G3, G4, G5, G6, H1, H2, L2, S6};
use crate::state::DrainState;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a gateway is under stress for one property, on a machine that has processors to spare.
pub(super) const BUDGET: Duration = Duration::from_millis(800);
/// How long a drain may take while no work lasts longer than a moment.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many threads bring work.
const WORKERS: usize = 2;
/// Until others have had their turn, at most.
const TURN: Duration = Duration::from_millis(250);
/// How long work that was overtaken by a closing stays, to be seen.
const STAY: Duration = Duration::from_millis(20);

/// A stretch of time in which this thread had a processor, or none to ask for. What it had to wait for one is not counted,
/// and is ten times as much as the rest at most: on a busy machine the same is tried as on another.
pub(super) struct Budget {
    begun: Instant,
    waited: Duration,
    length: Duration,
}

impl Budget {
    pub(super) fn of(length: Duration) -> Self {
        Self { begun: Instant::now(), waited: waited_for_a_processor(), length }
    }

    pub(super) fn is_left(&self) -> bool {
        let elapsed = self.begun.elapsed();
        elapsed < self.length
            || elapsed < self.length * 10
                && elapsed.saturating_sub(waited_for_a_processor().saturating_sub(self.waited)) < self.length
    }
}

/// How long this thread has stood in line for a processor; nothing where the system doesn't tell.
pub(super) fn waited_for_a_processor() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(told.split(' ').nth(1).and_then(|waited| waited.parse().ok()).unwrap_or_default())
}

/// The phases of a controller's hold. The next drain goes on counting.
const OPEN: u64 = 0;
const CLOSING: u64 = 1;
const CLOSED: u64 = 2; // and 3 while the call that ends it is under way

/// In which phase a controller is, or how much a worker has tried: alone on its cache line.
#[derive(Default)]
#[repr(align(128))]
struct Phase(AtomicU64);

impl Phase {
    fn now(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    fn next(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A sequence of numbers that looks like chance.
pub(super) struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }

    fn spin(&mut self, bound: u64) {
        for _ in 0..self.below(bound) {
            std::hint::spin_loop();
        }
    }
}

struct Stress<'g, G: Gateway> {
    gateway: &'g G,
    /// What is asked for; breaches of other properties are for their own tests.
    id: PropertyId,
    controllers: usize,
    phases: [Phase; 2],
    /// How often each worker has asked.
    tried: [Phase; WORKERS],
    /// How often the first controller has looked.
    looks: Phase,
    /// How much work came in after the first controller's closing. A gate that doesn't close never drains: that is G1's.
    late: Phase,
    /// The phase of the first controller in which "drained" was told.
    sealed: AtomicU64,
    over: AtomicBool,
    found: Mutex<Option<String>>,
}

/// Looks for breaches of a property on one gateway that can be drained and reopened.
pub(super) fn hammer<G: Gateway>(id: PropertyId) -> Found {
    if !can::<G>(Ability::Drain) {
        return Ok(());
    }
    let (gateway, _guard) = G::fresh();
    // Two holders tell more of holds, one closes and opens more often.
    let controllers = if can::<G>(Ability::Holders) && matches!(id, H1 | H2 | L2 | S6) { 2 } else { 1 };
    let stress = Stress {
        gateway: &gateway,
        id,
        controllers,
        phases: [Phase::default(), Phase::default()],
        tried: Default::default(),
        looks: Phase::default(),
        late: Phase::default(),
        sealed: AtomicU64::new(0),
        over: AtomicBool::new(false),
        found: Mutex::new(None),
    };
    stress.run();
    let found = stress.found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.map_or(Ok(()), |found| {
        let drains: u64 = stress.phases.iter().map(|phase| phase.now() / 4).sum();
        Err(format!(
            "{found}\nOn one gateway under stress: {WORKERS} threads with work, {controllers} controller(s), in drain {}.",
            drains + 1
        ))
    })
}

impl<G: Gateway> Stress<'_, G> {
    fn run(&self) {
        thread::scope(|scope| {
            let _over = AtEnd(&self.over);
            for number in 0..WORKERS {
                scope.spawn(move || self.guarded(|| self.work(number)));
            }
            if can::<G>(Ability::Internal) {
                scope.spawn(|| self.guarded(|| self.work_internally(Dice(77))));
            }
            for number in 0..thread::available_parallelism().map_or(2, usize::from) as u64 {
                scope.spawn(move || self.disturb(Dice(number + 101)));
            }
            if matches!(self.id, G2 | G3 | S6) {
                scope.spawn(|| self.guarded(|| self.look_on()));
            }
            if self.controllers == 2 {
                scope.spawn(|| self.guarded(|| self.toggle(Holder::B, Dice(8))));
            }
            self.guarded(|| self.control(Holder::A, Dice(9)));
        });
    }

    /// A call that panics is found by the sequences, too; here it must not leave the others running.
    fn guarded(&self, act: impl FnOnce()) {
        if super::caught(|| -> Found {
            act();
            Ok(())
        })
        .is_err_and(|panicked| {
            self.tell(self.id, || panicked);
            true
        }) {
            self.over.store(true, Ordering::SeqCst);
        }
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Notes a breach, if it is of the property that is asked for.
    fn tell(&self, of: PropertyId, what: impl FnOnce() -> String) {
        if of == self.id {
            let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
            found.get_or_insert_with(what);
            self.over.store(true, Ordering::SeqCst);
        }
    }

    fn phases(&self) -> [u64; 2] {
        [self.phases[0].now(), self.phases[1].now()]
    }

    fn all_in(phases: [u64; 2], phase: u64) -> bool {
        phases.iter().all(|now| now % 4 == phase)
    }

    /// Work that comes and goes. It does little else, so that a thread that loses its processor does so in a call of the
    /// gateway; and it gives its processor away only when it is refused.
    fn work(&self, number: usize) {
        let tried = &self.tried[number];
        let judged_here = matches!(self.id, G1 | H1 | H2 | L2);
        let mut calls = 0_u64;
        while !calls.is_multiple_of(16) || !self.is_over() {
            calls += 1;
            let before = if judged_here { self.phases() } else { [0; 2] };
            let permit = self.gateway.admit();
            tried.0.store(calls, Ordering::Relaxed);
            if judged_here {
                self.judge_admission(before, permit.is_some());
            }
            let Some(permit) = permit else {
                if calls.is_multiple_of(8) {
                    thread::yield_now();
                }
                continue;
            };
            if self.phases[0].0.load(Ordering::Relaxed) % 4 == CLOSED {
                self.stay_to_be_seen();
            }
            if matches!(self.id, G5 | G6) && calls.is_multiple_of(4) {
                self.look_from_within();
            }
            self.gateway.finish(permit);
        }
    }

    /// Work that was overtaken by a closing doesn't finish before the controller has looked twice.
    fn stay_to_be_seen(&self) {
        self.late.next();
        let (phase, looks, begun) = (self.phases[0].now(), self.looks.now(), Instant::now());
        while self.phases[0].now() == phase && self.looks.now() < looks + 2 && begun.elapsed() < STAY {
            thread::yield_now();
        }
        if matches!(self.id, G5 | G6) {
            self.look_from_within();
        }
    }

    fn judge_admission(&self, before: [u64; 2], admitted: bool) {
        let after = self.phases();
        if !admitted {
            if before == after && Self::all_in(before, OPEN) && limit::<G>() == u64::MAX {
                for of in [H1, L2] {
                    self.tell(of, || "nobody holds the gate closed, and it refuses.".into());
                }
            }
            return;
        }
        let held = (0..2).find(|holder| before[*holder] % 4 == CLOSED && before[*holder] == after[*holder]);
        let Some(holder) = held else { return };
        let holder = [Holder::A, Holder::B][holder].as_str();
        self.tell(G1, || {
            format!(
                "work was admitted that was asked for after begin({holder}) had returned, and before end({holder})."
            )
        });
        let what = || format!("work was admitted while {holder} holds it closed.");
        self.tell(H1, what);
        if self.controllers == 2 {
            self.tell(H2, what);
        }
    }

    /// What the gateway tells the work in it.
    fn look_from_within(&self) {
        let told = self.gateway.snapshot();
        if told.drained {
            self.tell(G5, || format!("the gateway told \"{told}\" to work that had not finished."));
        }
        if can::<G>(Ability::Count) && !(1..=WORKERS as u64).contains(&told.in_flight) {
            let most = WORKERS;
            self.tell(G6, || {
                format!(
                    "at least 1 and at most {most} piece(s) of work are in flight, and the gateway tells \"{told}\"."
                )
            });
        }
    }

    /// Internal work: refused once drained was told.
    fn work_internally(&self, mut dice: Dice) {
        while !self.is_over() {
            let (before, phase) = (self.sealed.load(Ordering::SeqCst), self.phases[0].now());
            let permit = self.gateway.admit_internal();
            let sealed = before != 0 && phase == before && self.phases[0].now() == before;
            if let Some(permit) = permit {
                if sealed {
                    self.tell(G3, || "internal work was admitted after the gateway had told drained.".into());
                }
                self.gateway.finish(permit);
            }
            dice.spin(200);
        }
    }

    /// Takes a processor from the thread that has it, at any instruction: who has slept is let in first.
    fn disturb(&self, mut dice: Dice) {
        while !self.is_over() {
            thread::park_timeout(Duration::from_micros(20 + dice.below(100)));
        }
    }

    fn look_on(&self) {
        let mut last = None;
        while !self.is_over() {
            for _ in 0..32 {
                self.look(&mut last);
            }
            thread::yield_now();
        }
    }

    /// Looks once, and compares with the look before if both fell into one drain of the first controller.
    fn look(&self, last: &mut Option<(u64, Snapshot)>) -> Snapshot {
        let before = self.phases[0].now();
        let told = self.gateway.snapshot();
        let after = self.phases[0].now();
        let closed = before % 4 == CLOSED && before == after;
        if closed && told.state == DrainState::Running {
            self.tell(S6, || format!("a holds the gate closed, and the gateway tells \"{told}\"."));
        }
        // With a second controller, what is told while the first one's call is under way may be of the second one's drain.
        let during = closed
            || self.controllers == 1
                && before / 4 == after / 4
                && matches!((before % 4, after % 4), (CLOSING, CLOSING | CLOSED));
        if !during {
            *last = None;
            return told;
        }
        if let Some((drain, first)) = last
            && *drain == before / 4
        {
            if first.state.is_draining() && told.in_flight > first.in_flight && can::<G>(Ability::Count) {
                self.tell(G2, || {
                    format!("in one drain the gateway told \"{first}\", and then \"{told}\": the work in flight rose.")
                });
            }
            if first.drained && !told.drained {
                self.tell(G3, || format!("in one drain the gateway told \"{first}\", and then \"{told}\"."));
            }
        }
        *last = Some((before / 4, told));
        told
    }

    /// Closes and opens.
    fn control(&self, holder: Holder, mut dice: Dice) {
        let phase = &self.phases[holder as usize];
        // A count that rises for a moment only while the gate closes is rarer than anything else that is looked for here.
        let rare = if self.id == G2 { 3.0 } else { 1.0 };
        let budget = Budget::of(BUDGET.mul_f64(effort::<G>() * rare));
        while !self.is_over() && budget.is_left() {
            phase.next();
            self.gateway.begin(holder);
            phase.next();
            if self.id == G4 {
                self.wait();
            } else {
                self.stay_closed(&mut dice);
            }
            phase.next();
            self.gateway.end(holder);
            phase.next();
            self.let_others(1 + dice.below(4), || {});
            dice.spin(300);
        }
        self.over.store(true, Ordering::SeqCst);
    }

    /// The second controller, which does little else than to begin and to end.
    fn toggle(&self, holder: Holder, mut dice: Dice) {
        let phase = &self.phases[holder as usize];
        while !self.is_over() {
            for act in [Self::begin_of, Self::end_of] {
                phase.next();
                act(self, holder);
                phase.next();
                match dice.below(64) {
                    0 => thread::yield_now(),
                    1 => self.let_others(1, || {}),
                    _ => {}
                }
            }
        }
    }

    fn begin_of(&self, holder: Holder) {
        self.gateway.begin(holder);
    }

    fn end_of(&self, holder: Holder) {
        self.gateway.end(holder);
    }

    /// Lets every other thread have its turn: what one had begun, it has ended then.
    fn let_others(&self, turns: u64, mut meanwhile: impl FnMut()) {
        let counts = || {
            let phases = [self.phases[1].now() / 4, self.tried[0].now(), self.tried[1].now()];
            if self.controllers == 2 { phases } else { [u64::MAX, phases[1], phases[2]] }
        };
        let (before, begun) = (counts(), Instant::now());
        let mut looks = 0_u32;
        while !self.is_over() && counts().iter().zip(before).any(|(now, before)| *now < before.saturating_add(turns)) {
            looks += 1;
            meanwhile();
            if looks.is_multiple_of(16) {
                thread::yield_now();
                if begun.elapsed() > TURN {
                    return;
                }
            }
        }
    }

    fn wait(&self) {
        let late = self.late.now();
        let begun = Instant::now();
        let waited = self.gateway.waiter()(PATIENCE);
        let took = begun.elapsed();
        let closes = self.late.now() <= late + WORKERS as u64;
        if closes && (waited != Waited::Drained || took > PATIENCE / 2) {
            self.tell(G4, || {
                format!(
                    "all work finished within a moment, and {took:.1?} after the closing a waiter was told {waited:?}."
                )
            });
        }
    }

    fn stay_closed(&self, dice: &mut Dice) {
        let mut last = None;
        let holder = Holder::A;
        for _ in 0..=dice.below(8) {
            self.seal(self.look(&mut last));
        }
        if dice.below(8) == 0 {
            // Once more: it changes nothing.
            self.gateway.begin(holder);
            self.look(&mut last);
        }
        // What was overtaken on its way in comes through now.
        self.let_others(2, || {
            self.seal(self.look(&mut last));
            self.looks.next();
        });
        if self.id != G5 && dice.below(4) != 0 {
            return;
        }
        let (begun, late) = (Instant::now(), self.late.now());
        loop {
            let told = self.look(&mut last);
            if told.drained || self.is_over() {
                self.seal(told);
                return;
            }
            thread::yield_now();
            if self.late.now() > late + WORKERS as u64 {
                return;
            }
            if begun.elapsed() > PATIENCE {
                self.tell(G5, || {
                    format!("all work finished within a moment, and {PATIENCE:?} after begin(a) the gateway tells \"{told}\".")
                });
                return;
            }
        }
    }

    /// From now on nothing may come in by any entrance.
    fn seal(&self, told: Snapshot) {
        if told.drained {
            self.sealed.store(self.phases[0].now(), Ordering::SeqCst);
        }
    }
}
