//! Gateways with a mistake that somebody made, each named by what it does. Where a project told of the mistake, its issue is
//! cited; the code is of our own.

use super::correct::{polling, runtime};
use super::{Books, Small};
use gateway_drain::DrainState;
use gateway_drain::conformance::{Ability, Holder, Snapshot, Waited, Waiter};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, RwLock};
use std::time::{Duration, Instant};

const DRAINS: &[Ability] = &[Ability::Drain, Ability::ShutDown, Ability::Count];
const WAITS: &[Ability] = &[Ability::Drain, Ability::ShutDown, Ability::Count, Ability::Holders, Ability::Wait];

/// How work comes in, for the gateways whose mistake is there. The state is a number beside the count.
pub trait Entrance: Default + Send + Sync + 'static {
    /// Looks at the state and counts, in some order.
    fn enter(&self, state: &AtomicU64, count: &Arc<AtomicI64>) -> bool;
}

/// A state and a count, each atomic, and an entrance.
#[derive(Default)]
pub struct Apart<E> {
    state: AtomicU64,
    count: Arc<AtomicI64>,
    entrance: E,
}

const OPEN: u64 = 0;

impl<E: Entrance> Small for Apart<E> {
    const ABILITIES: &'static [Ability] = DRAINS;

    fn admit(&self) -> bool {
        self.entrance.enter(&self.state, &self.count)
    }
    fn finish(&self) {
        self.count.fetch_sub(1, SeqCst);
    }
    fn look(&self) -> Snapshot {
        let state = DrainState::ALL[usize::try_from(self.state.load(SeqCst)).unwrap()];
        let in_flight = u64::try_from(self.count.load(SeqCst)).unwrap_or_default();
        Snapshot { state, in_flight, drained: !state.admits() && in_flight == 0, abandoned: 0 }
    }
    fn begin(&self, _: Holder) {
        let _ = self.state.compare_exchange(0, 1, SeqCst, SeqCst);
    }
    fn end(&self, _: Holder) {
        let _ = self.state.compare_exchange(1, 0, SeqCst, SeqCst);
    }
    fn shut_down(&self) {
        let _ = self.state.fetch_update(SeqCst, SeqCst, |state| (state < 2).then_some(2));
    }
    fn stop(&self) {
        if self.count.load(SeqCst) == 0 {
            let _ = self.state.compare_exchange(2, 3, SeqCst, SeqCst);
        }
    }
}

/// Looks and then counts: two atomics, which README opens with. As a wait group that is added to while somebody waits:
/// tailscale/tailscale#9866.
#[derive(Default)]
pub struct TwoAtomics;

impl Entrance for TwoAtomics {
    fn enter(&self, state: &AtomicU64, count: &Arc<AtomicI64>) -> bool {
        let open = state.load(SeqCst) == OPEN;
        if open {
            count.fetch_add(1, SeqCst);
        }
        open
    }
}

/// Looks under a lock, lets go of it, and takes it once more to count.
#[derive(Default)]
pub struct LockTwice(Mutex<()>);

impl Entrance for LockTwice {
    fn enter(&self, state: &AtomicU64, count: &Arc<AtomicI64>) -> bool {
        let looked = self.0.lock().unwrap();
        let open = state.load(SeqCst) == OPEN;
        drop(looked);
        if open {
            let _counted = self.0.lock().unwrap();
            count.fetch_add(1, SeqCst);
        }
        open
    }
}

/// Waits for something else between looking and counting.
#[derive(Default)]
pub struct AwaitsSleep;

impl Entrance for AwaitsSleep {
    fn enter(&self, state: &AtomicU64, count: &Arc<AtomicI64>) -> bool {
        runtime().block_on(async {
            let open = state.load(SeqCst) == OPEN;
            tokio::time::sleep(Duration::from_millis(1)).await;
            count.fetch_add(i64::from(open), SeqCst);
            open
        })
    }
}

/// Gives way to other tasks between looking and counting.
#[derive(Default)]
pub struct AwaitsYield;

impl Entrance for AwaitsYield {
    fn enter(&self, state: &AtomicU64, count: &Arc<AtomicI64>) -> bool {
        runtime().block_on(async {
            let open = state.load(SeqCst) == OPEN;
            tokio::task::yield_now().await;
            count.fetch_add(i64::from(open), SeqCst);
            open
        })
    }
}

/// Takes an asynchronous lock between looking and counting.
#[derive(Default)]
pub struct AwaitsLock(tokio::sync::Mutex<()>);

impl Entrance for AwaitsLock {
    fn enter(&self, state: &AtomicU64, count: &Arc<AtomicI64>) -> bool {
        runtime().block_on(async {
            let open = state.load(SeqCst) == OPEN;
            let _lock = self.0.lock().await;
            count.fetch_add(i64::from(open), SeqCst);
            open
        })
    }
}

/// The count is the new task's own business, which begins later: zimbatm/socketmaster#15, milvus-io/milvus#25188.
#[derive(Default)]
pub struct CountsAfterSpawning;

impl Entrance for CountsAfterSpawning {
    fn enter(&self, state: &AtomicU64, count: &Arc<AtomicI64>) -> bool {
        let open = state.load(SeqCst) == OPEN;
        if open {
            let count = Arc::clone(count);
            std::thread::spawn(move || count.fetch_add(1, SeqCst));
        }
        open
    }
}

thread_local! {
    /// What a thread last saw, of which gateway, and for how many calls.
    static SEEN: Cell<(usize, u64, u32)> = const { Cell::new((0, 0, 0)) };
}

/// Each thread looks at the flag at every hundredth call only.
#[derive(Default)]
pub struct FlagOfEachThread;

impl Entrance for FlagOfEachThread {
    fn enter(&self, state: &AtomicU64, count: &Arc<AtomicI64>) -> bool {
        let this = std::ptr::from_ref(state).addr();
        let (of, seen, calls) = SEEN.get();
        let seen = if of == this && calls < 100 { seen } else { state.load(SeqCst) };
        SEEN.set((this, seen, if of == this && calls < 100 { calls + 1 } else { 1 }));
        count.fetch_add(i64::from(seen == OPEN), SeqCst);
        seen == OPEN
    }
}

/// Counts first, looks then, and takes it back.
#[derive(Default)]
pub struct CountsThenLooks;

impl Entrance for CountsThenLooks {
    fn enter(&self, state: &AtomicU64, count: &Arc<AtomicI64>) -> bool {
        count.fetch_add(1, SeqCst);
        let open = state.load(SeqCst) == OPEN;
        if !open {
            count.fetch_sub(1, SeqCst);
        }
        open
    }
}

/// A refusal counts down as if it had counted up: ExpediaGroup/styx#351.
#[derive(Default)]
pub struct RefusalCountsDown;

impl Entrance for RefusalCountsDown {
    fn enter(&self, state: &AtomicU64, count: &Arc<AtomicI64>) -> bool {
        let entered = count.fetch_update(SeqCst, SeqCst, |count| (state.load(SeqCst) == OPEN).then_some(count + 1));
        if entered.is_err() {
            count.fetch_sub(1, SeqCst);
        }
        entered.is_ok()
    }
}

/// What is wrong with a gateway behind one lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// `end` looks, lets go of the lock, and stores: a shutdown in between is lost.
    EndForgetsShutdown,
    /// `end` reads the holders, lets go, and writes them back less one. Other hands uncordon: openshift
    /// machine-config-operator#6028.
    EndWritesHoldersBack,
    /// `begin` does the same.
    BeginWritesHoldersBack,
    /// "Drained" is set when the last work leaves a closed gate, and by a closing that finds none; each looks before it
    /// takes the lock.
    DrainedOnEdges,
    /// Nobody is ever woken.
    NeverWakes,
    /// One is woken for many: Haivision/srt#2287.
    WakesOne,
    /// Only those are woken who wait when the lock is free again, and who comes later sleeps: pocoproject/poco#5213,
    /// fwdai/fletch#194.
    WakesBeforeTheCount,
    /// A wake-up that finds nobody asleep is lost between the look and the sleep.
    SleepsAfterLooking,
    /// The permit is given back with the head of the response: jetty/jetty.project#4047.
    CountsTheHeadOnly,
    /// The status is of up to five milliseconds ago.
    StaleStatus,
    /// Abandoned work is counted down when it ends after all: cloudwalk/stratus#1276, ponylang/lori#350.
    AbandonedUnderflows,
    /// The end of work counts down twice, and what would be below zero is hidden: dropwizard/metrics#408,
    /// restify/clients#200.
    CountsDownTwice,
    /// Work that ends during a drain is not counted down: apache/trafficserver#6729.
    LeaksInADrain,
    /// The count begins at zero with each drain: llm-d/llm-d#1950.
    DrainResetsTheCount,
    /// From a closing on one less is told: valyala/fasthttp#738.
    OneLessWhenClosed,
    /// A second begin starts the drain again, and drained is false for a moment.
    BeginAgainUndoesDrained,
    /// The closing is seen 50 microseconds after its call has returned.
    ClosesLate,
    /// `stop` takes the work that is about to leave for gone.
    StopLeavesOne,
    /// `force_stop` reads what is left, lets go, and writes it down as abandoned: what ended meanwhile counts twice.
    ForceReadsFirst,
    /// A shutdown is not one if somebody begins to drain at the same time: the state is what was written last.
    BeginOverwritesShutdown,
    /// Internal work enters whatever was told: the entrance is not sealed.
    InternalUnsealed,
    /// Internal work is in the count of turns.
    InternalCountsAsTurns,
    /// Drained counts the work that a closing finds, and not what that work hands on: vstorm-co/agenticos#1095.
    DrainedWithoutInternal,
    /// A stop looks at the turns alone.
    StopsOverInternal,
    /// The drain of a request that waits for room is not waited for: ray-project/ray#63857.
    QueuedIsNotInFlight,
    /// What tells that the last drain was over is never reset, and the next one's waiters go on at once: lalinsky/dusty#110.
    DrainedIsLatched,
    /// A reopening begins a new count: what is still in flight is in none.
    EndResetsTheCount,
    /// The status has a byte for the count.
    CountsInAByte,
}

/// A gateway behind one lock, with one mistake.
#[derive(Default)]
pub struct Mistaken<const MISTAKE: u8> {
    books: Mutex<Books>,
    changed: Condvar,
    drained: AtomicBool,
    told: Mutex<Option<(Instant, Snapshot)>>,
    queued: AtomicU64,
    undone: AtomicBool,
    closes_at: Mutex<Option<Instant>>,
}

impl<const MISTAKE: u8> Mistaken<MISTAKE> {
    fn has(mistake: Mistake) -> bool {
        MISTAKE == mistake as u8
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap()
    }

    fn wake(&self) {
        if Self::has(Mistake::WakesOne) {
            self.changed.notify_one();
        } else if !Self::has(Mistake::NeverWakes) {
            self.changed.notify_all();
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Books) -> T) -> T {
        if Self::has(Mistake::WakesBeforeTheCount) {
            self.wake();
        }
        let changed = change(&mut self.books());
        self.drained.fetch_or(Self::has(Mistake::DrainedIsLatched) && self.books().look().drained, SeqCst);
        if !Self::has(Mistake::WakesBeforeTheCount) {
            self.wake();
        }
        changed
    }
}

/// Some microseconds.
fn a_moment(micros: u64) {
    let until = Instant::now() + Duration::from_micros(micros);
    while Instant::now() < until {
        std::hint::spin_loop();
    }
}

impl<const MISTAKE: u8> Small for Mistaken<MISTAKE> {
    const ABILITIES: &'static [Ability] =
        if MISTAKE >= Mistake::InternalUnsealed as u8 && MISTAKE <= Mistake::StopsOverInternal as u8 {
            &[Ability::Drain, Ability::ShutDown, Ability::Count, Ability::Holders, Ability::Internal]
        } else if MISTAKE == Mistake::AbandonedUnderflows as u8 || MISTAKE == Mistake::ForceReadsFirst as u8 {
            &[Ability::Drain, Ability::ShutDown, Ability::Count, Ability::Force]
        } else {
            WAITS
        };

    fn admit(&self) -> bool {
        if Self::has(Mistake::QueuedIsNotInFlight) {
            if !self.books().state().admits() {
                return false;
            }
            self.queued.fetch_add(1, SeqCst);
            a_moment(1);
            self.queued.fetch_sub(1, SeqCst);
            self.books().in_flight += 1;
            return true;
        }
        let late = self.closes_at.lock().unwrap().is_some_and(|at| Instant::now() < at);
        self.change(|books| {
            if late && !books.shut {
                books.in_flight += 1;
                return true;
            }
            let admits = books.admit();
            if Self::has(Mistake::CountsTheHeadOnly) && admits {
                books.in_flight -= 1;
            }
            admits
        })
    }

    fn finish(&self) {
        let closing = !self.books().state().admits();
        if Self::has(Mistake::DrainedOnEdges) && closing && self.books().in_flight == 1 {
            self.drained.store(true, SeqCst);
        }
        self.change(|books| {
            let leaks = Self::has(Mistake::LeaksInADrain) && !books.state().admits();
            if leaks || Self::has(Mistake::CountsTheHeadOnly) {
                return;
            }
            match () {
                () if Self::has(Mistake::AbandonedUnderflows) => books.in_flight = books.in_flight.wrapping_sub(1),
                () if Self::has(Mistake::CountsDownTwice) => books.in_flight = books.in_flight.saturating_sub(2),
                () if Self::has(Mistake::DrainResetsTheCount) => books.in_flight = books.in_flight.saturating_sub(1),
                () if Self::has(Mistake::ForceReadsFirst) => {
                    books.in_flight = books.in_flight.wrapping_sub(u64::from(books.abandoned == 0));
                }
                () => {
                    if !books.stopped {
                        books.in_flight = books.in_flight.saturating_sub(1);
                    }
                }
            }
        });
    }

    fn admit_internal(&self) -> bool {
        let mut books = self.books();
        let admits = !books.stopped && (Self::has(Mistake::InternalUnsealed) || !books.look().drained);
        if Self::has(Mistake::InternalCountsAsTurns) {
            books.in_flight += u64::from(admits);
        }
        books.internal += u64::from(admits);
        admits
    }

    fn finish_internal(&self) {
        let mut books = self.books();
        if Self::has(Mistake::InternalCountsAsTurns) {
            books.in_flight -= 1;
        }
        books.internal -= 1;
    }

    fn internal(&self) -> u64 {
        self.books().internal
    }

    fn look(&self) -> Snapshot {
        let mut now = self.books().look();
        if Self::has(Mistake::DrainedOnEdges) {
            now.drained = !now.state.admits() && self.drained.load(SeqCst);
        }
        now.drained &= !self.undone.load(SeqCst);
        if Self::has(Mistake::CountsInAByte) {
            now.in_flight %= 256;
        }
        if Self::has(Mistake::CountsInAByte) || Self::has(Mistake::DrainedWithoutInternal) {
            now.drained = !now.state.admits() && now.in_flight == 0;
        }
        if Self::has(Mistake::OneLessWhenClosed) && !now.state.admits() {
            now.in_flight = now.in_flight.saturating_sub(1);
            now.drained = now.in_flight == 0;
        }
        if Self::has(Mistake::StaleStatus) {
            let mut told = self.told.lock().unwrap();
            let kept = told.filter(|(at, then)| at.elapsed() < Duration::from_millis(5) && then.state == now.state);
            let (at, then) = kept.unwrap_or((Instant::now(), now));
            *told = Some((at, then));
            return then;
        }
        now
    }

    fn begin(&self, holder: Holder) {
        if Self::has(Mistake::ClosesLate) {
            *self.closes_at.lock().unwrap() = Some(Instant::now() + Duration::from_micros(50));
        }
        if Self::has(Mistake::BeginWritesHoldersBack) || Self::has(Mistake::BeginOverwritesShutdown) {
            let mut read = *self.books();
            let before = read;
            read.begin(holder);
            self.change(|books| {
                (books.holds, books.drains) = (read.holds, read.drains);
                if Self::has(Mistake::BeginOverwritesShutdown) {
                    books.shut = before.shut;
                }
            });
            return;
        }
        if Self::has(Mistake::DrainedOnEdges) {
            let idle = self.books().in_flight == 0;
            self.drained.store(idle, SeqCst);
        }
        if Self::has(Mistake::BeginAgainUndoesDrained) && !self.books().state().admits() {
            self.undone.store(true, SeqCst);
            a_moment(1);
            self.undone.store(false, SeqCst);
        }
        self.change(|books| {
            if Self::has(Mistake::DrainResetsTheCount) && books.state().admits() {
                books.in_flight = 0;
            }
            books.begin(holder);
        });
    }

    fn end(&self, holder: Holder) {
        if Self::has(Mistake::EndForgetsShutdown) || Self::has(Mistake::EndWritesHoldersBack) {
            let mut read = *self.books();
            let shut = read.shut;
            read.end(holder);
            self.change(|books| {
                if !shut {
                    books.holds = read.holds;
                    if Self::has(Mistake::EndForgetsShutdown) {
                        books.shut = shut;
                    }
                }
            });
            return;
        }
        self.change(|books| {
            books.end(holder);
            if Self::has(Mistake::EndResetsTheCount) && books.state().admits() {
                books.in_flight = 0;
            }
        });
    }

    fn shut_down(&self) {
        if Self::has(Mistake::DrainedOnEdges) {
            let idle = self.books().in_flight == 0;
            self.drained.store(idle, SeqCst);
        }
        self.change(Books::shut_down);
    }

    fn stop(&self) {
        if Self::has(Mistake::StopLeavesOne) {
            self.change(|books| books.stopped |= books.shut && books.in_flight <= 1);
            return;
        }
        self.change(|books| {
            if books.internal == 0 || Self::has(Mistake::StopsOverInternal) {
                books.stop();
            }
        });
    }

    fn force_stop(&self) {
        if Self::has(Mistake::ForceReadsFirst) {
            let left = self.books().in_flight;
            self.change(|books| {
                if !books.stopped {
                    (books.shut, books.stopped, books.abandoned) = (true, true, left);
                    books.in_flight = books.in_flight.wrapping_sub(left);
                }
            });
            return;
        }
        self.change(Books::force_stop);
    }

    fn waiter(&self) -> Waiter<'_> {
        if Self::has(Mistake::DrainedOnEdges) {
            return polling(|| self.books().drains, || self.look());
        }
        let mine = self.books().drains;
        Box::new(move |limit| {
            if Self::has(Mistake::DrainedIsLatched) && self.drained.load(SeqCst) {
                return Waited::Drained;
            }
            let until = Instant::now() + limit;
            let waits = |books: &Books| books.drains == mine && !books.state().admits() && books.in_flight > 0;
            let mut books = self.books();
            while waits(&books) && Instant::now() < until {
                if Self::has(Mistake::SleepsAfterLooking) {
                    drop(books);
                    a_moment(20);
                    books = self.books();
                }
                let left = until.saturating_duration_since(Instant::now());
                books = self.changed.wait_timeout(books, left).unwrap().0;
            }
            match (books.drains == mine && !books.state().admits(), waits(&books)) {
                (false, _) => Waited::Over,
                (true, false) => Waited::Drained,
                (true, true) => Waited::TimedOut,
            }
        })
    }
}

/// The first holder closes the gate and the last one opens it, each after it has let go of the list of holders.
#[derive(Default)]
pub struct FirstClosesLastOpens {
    holders: Mutex<[bool; 2]>,
    gate: Mutex<Books>,
}

impl FirstClosesLastOpens {
    /// Whether there is a holder now, if this one made the difference.
    fn change(&self, holder: Holder, holds: bool) -> Option<bool> {
        let mut holders = self.holders.lock().unwrap();
        let before = holders.contains(&true);
        holders[holder as usize] = holds;
        let now = holders.contains(&true);
        (before != now).then_some(now)
    }
}

impl Small for FirstClosesLastOpens {
    fn admit(&self) -> bool {
        self.gate.lock().unwrap().admit()
    }
    fn finish(&self) {
        self.gate.lock().unwrap().finish();
    }
    fn look(&self) -> Snapshot {
        self.gate.lock().unwrap().look()
    }
    fn begin(&self, holder: Holder) {
        if self.change(holder, true) == Some(true) {
            self.gate.lock().unwrap().begin(Holder::A);
        }
    }
    fn end(&self, holder: Holder) {
        if self.change(holder, false) == Some(false) {
            self.gate.lock().unwrap().end(Holder::A);
        }
    }
    fn shut_down(&self) {
        self.gate.lock().unwrap().shut_down();
    }
    fn stop(&self) {
        self.gate.lock().unwrap().stop();
    }
}

/// The read half of a lock is held for as long as the work lasts, so that a closing waits for the work: here as a permit
/// that keeps the count of readers, and a closing that waits for none.
#[derive(Default)]
pub struct ClosingWaitsForReaders {
    readers: Mutex<u64>,
    left: Condvar,
    books: RwLock<Books>,
}

impl Small for ClosingWaitsForReaders {
    fn admit(&self) -> bool {
        let mut readers = self.readers.lock().unwrap();
        let admits = self.books.read().unwrap().state().admits();
        *readers += u64::from(admits);
        admits
    }
    fn finish(&self) {
        *self.readers.lock().unwrap() -= 1;
        self.left.notify_all();
    }
    fn look(&self) -> Snapshot {
        let in_flight = *self.readers.lock().unwrap();
        Books { in_flight, ..*self.books.read().unwrap() }.look()
    }
    fn begin(&self, holder: Holder) {
        let readers = self.readers.lock().unwrap();
        let _none = self.left.wait_while(readers, |readers| *readers > 0).unwrap();
        self.books.write().unwrap().begin(holder);
    }
    fn end(&self, holder: Holder) {
        self.books.write().unwrap().end(holder);
    }
    fn shut_down(&self) {
        self.books.write().unwrap().shut_down();
    }
    fn stop(&self) {
        self.books.write().unwrap().stop();
    }
}

/// The number of handles is the count, and the status takes a handle to look.
#[derive(Default)]
pub struct StatusTakesAHandle {
    books: Mutex<Books>,
    token: Arc<()>,
    given: Mutex<Vec<Arc<()>>>,
}

impl Small for StatusTakesAHandle {
    const ABILITIES: &'static [Ability] = DRAINS;

    fn admit(&self) -> bool {
        let books = self.books.lock().unwrap();
        let admits = books.state().admits();
        if admits {
            self.given.lock().unwrap().push(Arc::clone(&self.token));
        }
        admits
    }
    fn finish(&self) {
        let ended = self.given.lock().unwrap().pop();
        drop(ended);
    }
    fn look(&self) -> Snapshot {
        let state = *self.books.lock().unwrap();
        let looking = Arc::clone(&self.token);
        a_moment(1);
        let in_flight = Arc::strong_count(&looking) as u64 - 2;
        Books { in_flight, ..state }.look()
    }
    fn begin(&self, holder: Holder) {
        self.books.lock().unwrap().begin(holder);
    }
    fn end(&self, holder: Holder) {
        self.books.lock().unwrap().end(holder);
    }
    fn shut_down(&self) {
        self.books.lock().unwrap().shut_down();
    }
    fn stop(&self) {
        let mut books = self.books.lock().unwrap();
        books.in_flight = Arc::strong_count(&self.token) as u64 - 1;
        books.stop();
    }
}

/// The status reads the count before the state: what came in between is in neither.
#[derive(Default)]
pub struct CountBeforeState(AtomicU64, Mutex<Books>);

impl Small for CountBeforeState {
    const ABILITIES: &'static [Ability] = DRAINS;

    fn admit(&self) -> bool {
        let books = self.1.lock().unwrap();
        let admits = books.state().admits();
        self.0.fetch_add(u64::from(admits), SeqCst);
        admits
    }
    fn finish(&self) {
        self.0.fetch_sub(1, SeqCst);
    }
    fn look(&self) -> Snapshot {
        let in_flight = self.0.load(SeqCst);
        Books { in_flight, ..*self.1.lock().unwrap() }.look()
    }
    fn begin(&self, holder: Holder) {
        self.1.lock().unwrap().begin(holder);
    }
    fn end(&self, holder: Holder) {
        self.1.lock().unwrap().end(holder);
    }
    fn shut_down(&self) {
        self.1.lock().unwrap().shut_down();
    }
    fn stop(&self) {
        let mut books = self.1.lock().unwrap();
        books.in_flight = self.0.load(SeqCst);
        books.stop();
    }
}

/// The state says that it drains before the second of two shards is closed.
#[derive(Default)]
pub struct TellsBeforeAllShardsClose {
    state: Mutex<Books>,
    shards: [Mutex<(bool, u64)>; 2],
}

impl TellsBeforeAllShardsClose {
    fn shard(&self) -> &Mutex<(bool, u64)> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        thread_local! { static MINE: usize = usize::try_from(NEXT.fetch_add(1, SeqCst) % 2).unwrap(); }
        MINE.with(|mine| &self.shards[*mine])
    }

    fn change(&self, change: impl FnOnce(&mut Books)) {
        let closed = {
            let mut books = self.state.lock().unwrap();
            change(&mut books);
            !books.state().admits()
        };
        for shard in &self.shards {
            shard.lock().unwrap().0 = closed;
        }
    }
}

impl Small for TellsBeforeAllShardsClose {
    const ABILITIES: &'static [Ability] = DRAINS;

    fn admit(&self) -> bool {
        let mut shard = self.shard().lock().unwrap();
        shard.1 += u64::from(!shard.0);
        !shard.0
    }
    fn finish(&self) {
        let mut shard = self.shard().lock().unwrap();
        shard.1 = shard.1.saturating_sub(1);
    }
    fn look(&self) -> Snapshot {
        let books = *self.state.lock().unwrap();
        let in_flight = self.shards.iter().map(|shard| shard.lock().unwrap().1).sum();
        Books { in_flight, ..books }.look()
    }
    fn begin(&self, holder: Holder) {
        self.change(|books| books.begin(holder));
    }
    fn end(&self, holder: Holder) {
        self.change(|books| books.end(holder));
    }
    fn shut_down(&self) {
        self.change(Books::shut_down);
    }
    fn stop(&self) {
        let in_flight = self.look().in_flight;
        let mut books = self.state.lock().unwrap();
        books.in_flight = in_flight;
        books.stop();
        books.in_flight = 0;
    }
}

/// The count is read and written, not added to.
#[derive(Default)]
pub struct ReadsAndWrites(AtomicU64, Mutex<Books>);

impl Small for ReadsAndWrites {
    const ABILITIES: &'static [Ability] = DRAINS;

    fn admit(&self) -> bool {
        let books = self.1.lock().unwrap();
        let admits = books.state().admits();
        if admits {
            self.0.store(self.0.load(SeqCst) + 1, SeqCst);
        }
        admits
    }
    fn finish(&self) {
        self.0.store(self.0.load(SeqCst).saturating_sub(1), SeqCst);
    }
    fn look(&self) -> Snapshot {
        let books = self.1.lock().unwrap();
        Books { in_flight: self.0.load(SeqCst), ..*books }.look()
    }
    fn begin(&self, holder: Holder) {
        self.1.lock().unwrap().begin(holder);
    }
    fn end(&self, holder: Holder) {
        self.1.lock().unwrap().end(holder);
    }
    fn shut_down(&self) {
        self.1.lock().unwrap().shut_down();
    }
    fn stop(&self) {
        let mut books = self.1.lock().unwrap();
        books.in_flight = self.0.load(SeqCst);
        books.stop();
    }
}

/// Each thread counts its own work, and the end of work that moved to another thread is lost.
#[derive(Default)]
pub struct CountOfEachThread(Mutex<(Books, std::collections::HashMap<std::thread::ThreadId, u64>)>);

impl CountOfEachThread {
    fn with<T>(&self, act: impl FnOnce(&mut Books, &mut u64) -> T) -> T {
        let (books, counts) = &mut *self.0.lock().unwrap();
        books.in_flight = counts.values().sum();
        act(books, counts.entry(std::thread::current().id()).or_default())
    }
}

impl Small for CountOfEachThread {
    const ABILITIES: &'static [Ability] = DRAINS;

    fn admit(&self) -> bool {
        self.with(|books, mine| {
            let admits = books.admit();
            *mine += u64::from(admits);
            admits
        })
    }
    fn finish(&self) {
        self.with(|_, mine| *mine = mine.saturating_sub(1));
    }
    fn look(&self) -> Snapshot {
        self.with(|books, _| books.look())
    }
    fn begin(&self, holder: Holder) {
        self.with(|books, _| books.begin(holder));
    }
    fn end(&self, holder: Holder) {
        self.with(|books, _| books.end(holder));
    }
    fn shut_down(&self) {
        self.with(|books, _| books.shut_down());
    }
    fn stop(&self) {
        self.with(|books, _| books.stop());
    }
}

thread_local! {
    /// What a thread may still admit without asking, and of which gateway.
    static TICKETS: Cell<(usize, u32)> = const { Cell::new((0, 0)) };
}

/// A thread asks for eight admissions at once, and uses them when it comes to it.
#[derive(Default)]
pub struct TicketsInBatches(Mutex<Books>);

impl Small for TicketsInBatches {
    const ABILITIES: &'static [Ability] = DRAINS;

    fn admit(&self) -> bool {
        let this = std::ptr::from_ref(self).addr();
        let mut books = self.0.lock().unwrap();
        let left = TICKETS.get().1;
        if TICKETS.get().0 != this || left == 0 {
            if !books.state().admits() {
                return false;
            }
            TICKETS.set((this, 8));
        }
        TICKETS.set((this, TICKETS.get().1 - 1));
        books.in_flight += 1;
        true
    }
    fn finish(&self) {
        self.0.lock().unwrap().finish();
    }
    fn look(&self) -> Snapshot {
        self.0.lock().unwrap().look()
    }
    fn begin(&self, holder: Holder) {
        self.0.lock().unwrap().begin(holder);
    }
    fn end(&self, holder: Holder) {
        self.0.lock().unwrap().end(holder);
    }
    fn shut_down(&self) {
        self.0.lock().unwrap().shut_down();
    }
    fn stop(&self) {
        self.0.lock().unwrap().stop();
    }
}
