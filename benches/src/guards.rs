//! Guards that count something in flight: the gate's permits and their peers'.

use crate::rounds::{Contender, contender, nanoseconds};
use crossbeam_utils::CachePadded;
use crossbeam_utils::sync::WaitGroup;
use gateway_drain::{Controller, Permit, Request, RequestId};
use hyper_util::server::graceful::GracefulShutdown;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};
use tokio::sync::{RwLock as TokioRwLock, Semaphore};
use tokio_graceful::Shutdown;
use tokio_util::task::TaskTracker;

/// What a guard can be used for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// No gate, but what a gate can't do without.
    Floor,
    /// Borrows what it guards.
    Borrowed,
    /// Can be moved into a spawned task.
    Owned,
    /// No guard, for the gate is closed.
    Refused,
}

/// One that gives guards.
pub struct Guard {
    pub name: &'static str,
    pub kind: Kind,
    /// What it can't do that a gate has to, if it isn't ours.
    pub lacks: &'static str,
    /// Takes one and gives it back, so many times.
    pub go: Box<dyn Fn(u64) + Send + Sync>,
}

pub const FLOOR: &str = "fetch_add and fetch_sub";
pub const LOOKING: &str = "the same, which looks at the word before it adds";
pub const LINES: &str = "fetch_add and fetch_sub, each thread a word of its own";
pub const BORROWED: &str = "gateway-drain, permit";
pub const OWNED: &str = "gateway-drain, owned permit";
pub const LABELLED: &str = "gateway-drain, labelled permit";
pub const REFUSED: &str = "gateway-drain, refused";
pub const TRACKER: &str = "tokio-util TaskTracker, token";

const REFUSES_NOBODY: &str = "refuses nobody";

fn guard<T: Send + Sync + 'static, G>(
    name: &'static str,
    kind: Kind,
    lacks: &'static str,
    state: T,
    take: impl Fn(&T) -> G + Send + Sync + 'static,
) -> Guard {
    let go = move |times| {
        for _ in 0..times {
            drop(take(&state));
        }
    };
    Guard { name, kind, lacks, go: Box::new(go) }
}

/// Ours, the peers', and the floor below all of them.
pub fn all() -> Vec<Guard> {
    let gate = || Controller::new().gate().clone();
    let closed = Controller::new();
    closed.request(&Request::begin(RequestId::new("bench").expect("a valid name"), "bench")).expect("a hold");
    vec![
        guard(FLOOR, Kind::Floor, "no state, no waiting", AtomicU64::new(0), |count| {
            count.fetch_add(1, Ordering::Relaxed);
            count.fetch_sub(1, Ordering::Relaxed);
        }),
        guard(LOOKING, Kind::Floor, "no state, no waiting", AtomicU64::new(0), |count| {
            if count.load(Ordering::Relaxed) < 1 << 40 {
                count.fetch_add(1, Ordering::Acquire);
                count.fetch_sub(1, Ordering::Release);
            }
        }),
        guard(LINES, Kind::Floor, "no state, no sum", words(), |words| {
            let word = &words[own_word()];
            word.fetch_add(1, Ordering::Relaxed);
            word.fetch_sub(1, Ordering::Relaxed);
        }),
        guard("Arc, clone", Kind::Floor, "no state, no waiting", Arc::new(()), Arc::clone),
        guard(BORROWED, Kind::Borrowed, "", gate(), |gate| drop(gate.admit())),
        guard(OWNED, Kind::Owned, "", gate(), |gate| drop(gate.admit().map(Permit::into_owned))),
        guard(LABELLED, Kind::Owned, "", gate(), |gate| {
            drop(gate.admit().map(|permit| permit.into_owned().labelled("turn", "session 7")));
        }),
        guard(REFUSED, Kind::Refused, "", closed.gate().clone(), |closed| black_box(closed.admit().is_err())),
        guard(TRACKER, Kind::Owned, REFUSES_NOBODY, TaskTracker::new(), TaskTracker::token),
        guard("drain, watch", Kind::Owned, REFUSES_NOBODY, drain::channel(), |(_, watch)| watch.clone()),
        guard("tokio-graceful, guard", Kind::Owned, REFUSES_NOBODY, Shutdown::no_signal(), Shutdown::guard),
        guard(
            "hyper-util graceful, watcher",
            Kind::Owned,
            REFUSES_NOBODY,
            GracefulShutdown::new(),
            GracefulShutdown::watcher,
        ),
        guard("crossbeam WaitGroup, clone", Kind::Owned, REFUSES_NOBODY, WaitGroup::new(), WaitGroup::clone),
        guard(
            "tokio Semaphore, owned permit",
            Kind::Owned,
            "no waiting for zero but by taking all",
            Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
            |semaphore| Arc::clone(semaphore).try_acquire_owned().is_ok(),
        ),
        guard(
            "tokio RwLock, owned read guard",
            Kind::Owned,
            "closed only once all have left",
            Arc::new(TokioRwLock::new(())),
            |lock| Arc::clone(lock).try_read_owned().is_ok(),
        ),
        guard(
            "tokio Semaphore, permit",
            Kind::Borrowed,
            "no waiting for zero but by taking all",
            Semaphore::new(Semaphore::MAX_PERMITS),
            |semaphore| semaphore.try_acquire().is_ok(),
        ),
        guard(
            "tokio RwLock, try_read",
            Kind::Borrowed,
            "closed only once all have left",
            TokioRwLock::new(()),
            |lock| lock.try_read().is_ok(),
        ),
        guard("std RwLock, try_read", Kind::Borrowed, "closed only once all have left", RwLock::new(()), |lock| {
            lock.try_read().is_ok()
        }),
    ]
}

fn words() -> Vec<CachePadded<AtomicU64>> {
    (0..64).map(|_| CachePadded::new(AtomicU64::new(0))).collect()
}

/// Which of the 64 words is this thread's.
fn own_word() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! { static OWN: usize = NEXT.fetch_add(1, Ordering::Relaxed) % 64; }
    OWN.with(|own| *own)
}

/// The name of a guard's measurement.
pub fn on_threads(name: &str, threads: usize) -> String {
    format!("{name} / {threads}")
}

/// Each guard on so many threads at once.
pub fn contenders(guards: &[Guard], threads: usize) -> Vec<Contender<'_>> {
    let measure = |guard| contender(on_threads(guard_name(guard), threads), move || nanoseconds(threads, &guard.go));
    guards.iter().map(measure).collect()
}

fn guard_name(guard: &Guard) -> &'static str {
    guard.name
}
