//! Calls of two threads at once, and then the question whether the gateway has become what any order of them makes of it.
//!
//! In each window one thread calls without a pause. Another one sleeps for a moment, and makes its calls when it wakes: on a
//! machine with one processor to spare it takes that from the first thread at any instruction, on a machine with two both
//! run. Then both rest, and the gateway is asked: whether it admits, what it tells, and the same again after each hold has
//! been withdrawn. Each holder is one thread's alone, and what was admitted is known; so every order of the calls leads to the
//! same, and a gateway that answers otherwise has let the calls disturb each other.
//!
//! What is answered while calls are under way is not judged, since a gateway need not change in one instant. But in a
//! *steady* window one holder holds throughout, nothing is in flight, and the calls change nothing: somebody begins again,
//! or comes and goes beside it. Then every answer has to be that of a drained gateway.

mod model;

use super::race::{AtEnd, comes_true, effort};
use super::session::{Found, Step};
use super::stress::{BUDGET, Budget, Dice};
use super::{Ability, Gateway, Holder, can};
use crate::properties::PropertyId::{self, G3, G6, H1, H2, S6};
use crate::state::DrainState;
use core::fmt::Write as _;
use model::{Made, Model};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// How many calls the first thread makes in a window at the most.
const LONGEST: usize = 4096;
/// After how many it begins with the first of them again.
const STEPS: usize = 64;
/// How long a thread that waits for the other sleeps, if it isn't called.
const LOOK_AGAIN: Duration = Duration::from_millis(1);
/// How much work a thread has in flight at the most.
const WORK: usize = 2;

/// What one thread has called, and what of its work is in flight.
struct Log<G: Gateway> {
    calls: Vec<Made>,
    permits: Vec<G::Permit>,
}

impl<G: Gateway> Default for Log<G> {
    fn default() -> Self {
        Self { calls: Vec::new(), permits: Vec::new() }
    }
}

impl<G: Gateway> Log<G> {
    fn make(&mut self, gateway: &G, step: Step) -> Made {
        // Work comes and goes, and there is never much of it.
        let step = if step == Step::Admit && self.permits.len() == WORK { Step::Finish } else { step };
        let effect = match step {
            Step::Begin(holder) => {
                gateway.begin(holder);
                true
            }
            Step::End(holder) => {
                gateway.end(holder);
                true
            }
            Step::Admit => {
                let permit = gateway.admit();
                let admitted = permit.is_some();
                self.permits.extend(permit);
                admitted
            }
            _ => self.permits.pop().map(|permit| gateway.finish(permit)).is_some(),
        };
        let made = Made { step, effect };
        self.calls.push(made);
        made
    }
}

struct Windows<'g, G: Gateway> {
    gateway: &'g G,
    id: PropertyId,
    /// The number of the window that the first thread is to begin, is to end, and has ended.
    begin: AtomicU64,
    end: AtomicU64,
    ended: AtomicU64,
    /// How many of the first thread's calls have begun and returned in this window.
    calls_begun: AtomicUsize,
    calls_ended: AtomicUsize,
    first: Mutex<Log<G>>,
    /// Both threads: where processors are scarce, who sleeps until it is called runs sooner than who asks again and again.
    threads: [OnceLock<Thread>; 2],
    over: AtomicBool,
}

/// Why no more windows are tried on a gateway.
enum Stop {
    /// The time is over.
    Time,
    /// Another property is broken, and nothing is known of this gateway any more.
    OtherBreach,
    Breach(String),
}

/// Looks for calls of two threads that no order explains.
pub(super) fn windows<G: Gateway>(id: PropertyId) -> Found {
    if !can::<G>(Ability::Drain) || !can::<G>(Ability::Holders) && !matches!(id, G3 | G6) {
        return Ok(());
    }
    let budget = Budget::of(BUDGET.mul_f64(effort::<G>()));
    let mut number = 0;
    loop {
        let (gateway, _guard) = G::fresh();
        let windows = Windows {
            gateway: &gateway,
            id,
            begin: AtomicU64::new(number),
            end: AtomicU64::new(number),
            ended: AtomicU64::new(number),
            calls_begun: AtomicUsize::new(0),
            calls_ended: AtomicUsize::new(0),
            first: Mutex::default(),
            threads: [OnceLock::new(), thread::current().into()],
            over: AtomicBool::new(false),
        };
        match windows.run(&mut number, &budget) {
            Stop::Breach(found) => return Err(found),
            Stop::OtherBreach if budget.is_left() => {}
            Stop::OtherBreach | Stop::Time => return Ok(()),
        }
    }
}

impl<G: Gateway> Windows<'_, G> {
    fn run(&self, number: &mut u64, budget: &Budget) -> Stop {
        thread::scope(|scope| {
            let _over = AtEnd(&self.over);
            let first = scope.spawn(|| self.call_without_pause());
            self.threads[0].get_or_init(|| first.thread().clone());
            let mut log = Log::default();
            while budget.is_left() && !self.is_over() {
                *number += 1;
                if let Err(stop) = self.window(*number, &mut log) {
                    return stop;
                }
            }
            Stop::Time
        })
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Waits until it is so; false if all is over.
    fn wait(&self, is_so: impl Fn() -> bool) -> bool {
        let mut looks = 0_u32;
        while !is_so() {
            if self.is_over() {
                return false;
            }
            looks += 1;
            if looks > 100 { thread::park_timeout(LOOK_AGAIN) } else { std::hint::spin_loop() }
        }
        true
    }

    fn wake(&self, number: usize) {
        if let Some(thread) = self.threads[number].get() {
            thread.unpark();
        }
    }

    /// Whether a holds throughout the window, and no call changes anything.
    fn is_steady(&self, number: u64) -> bool {
        self.id == G3 || matches!(self.id, H1 | H2 | S6) && number.is_multiple_of(4)
    }

    /// A call for the next window, of a holder that no other thread calls for meanwhile: it may wait for its own answer.
    fn draw(&self, number: u64, dice: &mut Dice, own: Holder) -> Step {
        if self.id == G6 && dice.below(4) != 0 {
            return if dice.below(2) == 0 { Step::Finish } else { Step::Admit };
        }
        if self.is_steady(number) {
            return match dice.below(4) {
                0 if can::<G>(Ability::Holders) => Step::Begin(Holder::B),
                1 if can::<G>(Ability::Holders) => Step::End(Holder::B),
                _ => Step::Begin(Holder::A),
            };
        }
        if own == Holder::B && !can::<G>(Ability::Holders) {
            return Step::Finish;
        }
        if dice.below(2) == 0 { Step::Begin(own) } else { Step::End(own) }
    }

    /// The first thread.
    fn call_without_pause(&self) {
        // Also if a call panics.
        let _over = AtEnd(&self.over);
        let mut number = self.ended.load(Ordering::SeqCst);
        while self.wait(|| self.begin.load(Ordering::SeqCst) > number) {
            number += 1;
            let mut dice = Dice(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
            let mut log = self.first.lock().unwrap_or_else(PoisonError::into_inner);
            log.calls.clear();
            // Drawn before, so that this thread is in a call for as much of its time as it can be.
            let steps: [Step; STEPS] = std::array::from_fn(|_| self.draw(number, &mut dice, Holder::A));
            while log.calls.len() < LONGEST && self.end.load(Ordering::Relaxed) < number {
                let step = steps[log.calls.len() % STEPS];
                self.calls_begun.store(log.calls.len() + 1, Ordering::SeqCst);
                if log.calls.is_empty() {
                    self.wake(1);
                }
                log.make(self.gateway, step);
                self.calls_ended.store(log.calls.len(), Ordering::Release);
            }
            drop(log);
            self.ended.store(number, Ordering::SeqCst);
            self.wake(1);
        }
    }

    /// The second thread: one window, from a gateway that runs to one that runs again.
    fn window(&self, number: u64, log: &mut Log<G>) -> Result<(), Stop> {
        let mut dice = Dice(number.wrapping_mul(0xd6e8_feb8_6659_fd93) | 1);
        let mut model = Model::default();
        let mut before = String::new();
        if self.is_steady(number) {
            return self.steady_window(number, &mut dice);
        }
        if dice.below(2) == 0 {
            let made = log.make(self.gateway, self.draw(number, &mut dice, Holder::B));
            model.take(made);
            let _ = write!(before, "Before: {}.", told(made));
        }
        self.begin_window(number, &mut dice);
        log.calls.clear();
        let from = self.calls_ended.load(Ordering::SeqCst);
        for _ in 0..=dice.below(3) {
            log.make(self.gateway, self.draw(number, &mut dice, Holder::B));
        }
        let to = self.calls_begun.load(Ordering::SeqCst);
        self.end_window(number)?;
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        for made in first.calls.iter().chain(&log.calls) {
            model.take(*made);
        }
        let (to, beside) = (to.min(first.calls.len()), listed(&log.calls));
        let others = listed(&first.calls[from.min(to).max(to.saturating_sub(4))..to]);
        let judged = self.ask(&mut model, &mut dice, log, &mut first);
        judged.map_err(|(broken, found)| {
            if !broken.contains(&self.id) {
                return Stop::OtherBreach;
            }
            let ran =
                if others.is_empty() { format!("after {beside}") } else { format!("{beside} ran beside {others}") };
            Stop::Breach(format!(
                "{ran}, and {found}\nNo order of the calls leads there. {before}\nOn two threads, in window {number}."
            ))
        })
    }

    /// Lets the first thread call, and sleeps for a moment.
    fn begin_window(&self, number: u64, dice: &mut Dice) {
        self.calls_begun.store(0, Ordering::SeqCst);
        self.calls_ended.store(0, Ordering::SeqCst);
        self.begin.store(number, Ordering::SeqCst);
        self.wake(0);
        self.wait(|| self.calls_begun.load(Ordering::SeqCst) > 0);
        let (begun, pause) = (Instant::now(), Duration::from_micros(5 + dice.below(80)));
        while let Some(left) = pause.checked_sub(begun.elapsed()).filter(|left| !left.is_zero()) {
            thread::park_timeout(left);
        }
    }

    fn end_window(&self, number: u64) -> Result<(), Stop> {
        self.end.store(number, Ordering::SeqCst);
        if self.wait(|| self.ended.load(Ordering::SeqCst) == number) {
            return Ok(());
        }
        Err(Stop::Breach("a call panicked that ran beside others.".into()))
    }

    /// The second thread: a window in which nothing changes, from a gateway that runs to one that runs again.
    fn steady_window(&self, number: u64, dice: &mut Dice) -> Result<(), Stop> {
        self.gateway.begin(Holder::A);
        if !comes_true(|| self.gateway.snapshot().drained) {
            return Err(Stop::OtherBreach);
        }
        self.begin_window(number, dice);
        let mut breach = None;
        for _ in 0..4 {
            let told = self.gateway.snapshot();
            let permit = self.gateway.admit();
            let admits = permit.is_some();
            if let Some(permit) = permit {
                self.gateway.finish(permit);
            }
            let broken: &[_] = match told.state {
                _ if admits => &[H1, H2],
                DrainState::Running => &[S6],
                _ if !told.drained => &[G3],
                _ => continue,
            };
            breach = Some((broken, told, admits));
            break;
        }
        self.end_window(number)?;
        let Some((broken, told, admits)) = breach else {
            for holder in [Holder::A, Holder::B].into_iter().take(if can::<G>(Ability::Holders) { 2 } else { 1 }) {
                self.gateway.end(holder);
            }
            return Ok(());
        };
        if !broken.contains(&self.id) {
            return Err(Stop::OtherBreach);
        }
        let does = if admits { "admitted work" } else { "was asked" };
        Err(Stop::Breach(format!(
            "the gateway had told drained, and while a held it closed and others came and went it {does} and told \
             \"{told}\".\nOn two threads, in window {number}."
        )))
    }

    /// Asks the gateway at rest, withdraws what is held, and lets all work finish.
    fn ask(
        &self,
        model: &mut Model,
        dice: &mut Dice,
        log: &mut Log<G>,
        first: &mut Log<G>,
    ) -> Result<(), (&'static [PropertyId], String)> {
        let mut withdraw = vec![Step::End(Holder::A)];
        if can::<G>(Ability::Holders) {
            withdraw.insert(usize::from(dice.below(2) == 0), Step::End(Holder::B));
        }
        self.compare(model, "")?;
        for step in withdraw {
            model.take(log.make(self.gateway, step));
            self.compare(model, &format!("after {step} "))?;
        }
        for log in [log, first] {
            while !log.permits.is_empty() {
                model.take(log.make(self.gateway, Step::Finish));
            }
        }
        if self.id == G6 { self.compare(model, "after all work has finished ") } else { Ok(()) }
    }

    fn compare(&self, model: &Model, when: &str) -> Result<(), (&'static [PropertyId], String)> {
        let told = self.gateway.snapshot();
        let permit = self.gateway.admit();
        let admits = permit.is_some();
        if let Some(permit) = permit {
            self.gateway.finish(permit);
        }
        let objection = model.objects::<G>(&told, admits);
        objection.map_or(Ok(()), |(broken, found)| Err((broken, format!("{when}{found}"))))
    }
}

fn told(made: Made) -> String {
    match (made.step, made.effect) {
        (Step::Admit, false) => "admit (refused)".into(),
        (step, _) => step.to_string(),
    }
}

fn listed(calls: &[Made]) -> String {
    calls.iter().map(|made| told(*made)).collect::<Vec<_>>().join(", ")
}
