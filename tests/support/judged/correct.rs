//! Correct gateways, each of another make.

use super::{Books, Small};
use gateway_drain::DrainState;
use gateway_drain::conformance::{Ability, Holder, Snapshot, Waited, Waiter};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, OnceLock, RwLock};
use std::time::{Duration, Instant};

const ALL: &[Ability] =
    &[Ability::Drain, Ability::ShutDown, Ability::Count, Ability::Holders, Ability::Force, Ability::Wait];

/// Waits by looking again and again.
pub fn polling<'g>(drains: impl Fn() -> u64 + Send + 'g, look: impl Fn() -> Snapshot + Send + 'g) -> Waiter<'g> {
    let mine = drains();
    Box::new(move |limit| {
        let until = Instant::now() + limit;
        loop {
            // The number last: "drained" of another drain is none of this wait.
            let told = look();
            if drains() != mine || told.state.admits() {
                return Waited::Over;
            }
            if told.drained {
                return Waited::Drained;
            }
            if Instant::now() > until {
                return Waited::TimedOut;
            }
            std::thread::park_timeout(Duration::from_micros(200));
        }
    })
}

/// Everything in one atomic word, changed by compare-and-swap.
#[derive(Default)]
pub struct OneWord(AtomicU64);

impl OneWord {
    const HOLD: [u64; 2] = [1 << 60, 1 << 61];
    const SHUT: u64 = 1 << 62;
    const STOPPED: u64 = 1 << 63;
    const COUNT: u64 = (1 << 32) - 1;

    fn change(&self, change: impl Fn(u64) -> Option<u64>) -> bool {
        self.0.fetch_update(SeqCst, SeqCst, change).is_ok()
    }
}

impl Small for OneWord {
    fn admit(&self) -> bool {
        self.change(|word| (word >> 60 == 0).then_some(word + 1))
    }

    fn finish(&self) {
        self.0.fetch_sub(1, SeqCst);
    }

    fn look(&self) -> Snapshot {
        let word = self.0.load(SeqCst);
        let has = |bits: u64| word & bits != 0;
        let state = match (has(Self::STOPPED), has(Self::SHUT), has(Self::HOLD[0] | Self::HOLD[1])) {
            (true, _, _) => DrainState::Stopped,
            (_, true, _) => DrainState::ShutdownDraining,
            (_, _, true) => DrainState::ExternalDraining,
            _ => DrainState::Running,
        };
        let in_flight = word & Self::COUNT;
        Snapshot { state, in_flight, drained: !state.admits() && in_flight == 0, abandoned: 0 }
    }

    fn begin(&self, holder: Holder) {
        self.change(|word| (word & Self::SHUT == 0).then_some(word | Self::HOLD[holder as usize]));
    }

    fn end(&self, holder: Holder) {
        self.0.fetch_and(!Self::HOLD[holder as usize], SeqCst);
    }

    fn shut_down(&self) {
        self.0.fetch_or(Self::SHUT, SeqCst);
    }

    fn stop(&self) {
        self.change(|word| (word & Self::SHUT != 0 && word & Self::COUNT == 0).then_some(word | Self::STOPPED));
    }
}

/// One mutex, and a condition variable for waiters.
#[derive(Default)]
pub struct OneLock(Mutex<Books>, Condvar);

impl OneLock {
    fn change<T>(&self, change: impl FnOnce(&mut Books) -> T) -> T {
        let changed = change(&mut self.0.lock().unwrap());
        self.1.notify_all();
        changed
    }
}

impl Small for OneLock {
    const ABILITIES: &'static [Ability] = ALL;

    fn admit(&self) -> bool {
        self.change(Books::admit)
    }
    fn finish(&self) {
        self.change(Books::finish);
    }
    fn look(&self) -> Snapshot {
        self.0.lock().unwrap().look()
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
        self.change(Books::stop);
    }
    fn force_stop(&self) {
        self.change(Books::force_stop);
    }
    fn waiter(&self) -> Waiter<'_> {
        let mine = self.0.lock().unwrap().drains;
        Box::new(move |limit| {
            let waits = |books: &mut Books| books.drains == mine && !books.state().admits() && books.in_flight > 0;
            let books = self.0.lock().unwrap();
            let (books, _) = self.1.wait_timeout_while(books, limit, waits).unwrap();
            match (books.drains == mine && !books.state().admits(), books.in_flight) {
                (false, _) => Waited::Over,
                (true, 0) => Waited::Drained,
                (true, _) => Waited::TimedOut,
            }
        })
    }
}

/// Admission under the read half of a lock, closing under its write half; the count is an atomic beside it.
#[derive(Default)]
pub struct ReadersAndWriter {
    books: RwLock<Books>,
    count: AtomicU64,
}

impl Small for ReadersAndWriter {
    fn admit(&self) -> bool {
        let books = self.books.read().unwrap();
        let admits = books.state().admits();
        self.count.fetch_add(u64::from(admits), SeqCst);
        admits
    }
    fn finish(&self) {
        self.count.fetch_sub(1, SeqCst);
    }
    fn look(&self) -> Snapshot {
        let books = self.books.read().unwrap();
        Books { in_flight: self.count.load(SeqCst), ..*books }.look()
    }
    fn begin(&self, holder: Holder) {
        self.books.write().unwrap().begin(holder);
    }
    fn end(&self, holder: Holder) {
        self.books.write().unwrap().end(holder);
    }
    fn shut_down(&self) {
        self.books.write().unwrap().shut_down();
    }
    fn stop(&self) {
        let mut books = self.books.write().unwrap();
        books.in_flight = self.count.load(SeqCst);
        books.stop();
    }
}

/// A word for each of four shards, so that workers don't share a cache line. All are closed before it says so, and it says
/// that it is open before the first one is.
#[derive(Default)]
pub struct Shards {
    shards: [AtomicU64; 4],
    books: Mutex<Books>,
    told: AtomicU64,
}

impl Shards {
    const CLOSED: u64 = 1 << 63;

    fn mine() -> usize {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        thread_local! { static MINE: usize = usize::try_from(NEXT.fetch_add(1, SeqCst) % 4).unwrap(); }
        MINE.with(|mine| *mine)
    }

    fn count(&self) -> u64 {
        // Work is finished in the shard of the thread that finishes it: a shard alone may be below zero, by wrapping.
        let sum = self.shards.iter().fold(0_u64, |sum, shard| sum.wrapping_add(shard.load(SeqCst) << 1));
        // The sum of numbers of 63 bits.
        (sum.cast_signed() >> 1).cast_unsigned()
    }

    fn change(&self, change: impl FnOnce(&mut Books)) {
        let mut books = self.books.lock().unwrap();
        change(&mut books);
        let closed = !books.state().admits();
        let state = DrainState::ALL.iter().position(|state| *state == books.state()).unwrap() as u64;
        if !closed {
            self.told.store(state, SeqCst);
        }
        for shard in &self.shards {
            if closed {
                shard.fetch_or(Self::CLOSED, SeqCst)
            } else {
                shard.fetch_and(!Self::CLOSED, SeqCst)
            };
        }
        if closed {
            self.told.store(state, SeqCst);
        }
    }
}

impl Small for Shards {
    fn admit(&self) -> bool {
        let admitted = self.shards[Self::mine()].fetch_update(SeqCst, SeqCst, |word| {
            (word & Self::CLOSED == 0).then_some(word.wrapping_add(1) & !Self::CLOSED)
        });
        admitted.is_ok()
    }
    fn finish(&self) {
        self.shards[Self::mine()]
            .fetch_update(SeqCst, SeqCst, |word| {
                Some(word & Self::CLOSED | (word & !Self::CLOSED).wrapping_sub(1) & !Self::CLOSED)
            })
            .unwrap();
    }
    fn look(&self) -> Snapshot {
        // One state before and after the count: else the count is of neither.
        loop {
            let before = self.told.load(SeqCst);
            let in_flight = self.count();
            if before == self.told.load(SeqCst) {
                let state = DrainState::ALL[usize::try_from(before).unwrap()];
                // While shards count one after the other a sum may be off; that shows only while it is open.
                let in_flight = if state.admits() { in_flight.min(1 << 40) } else { in_flight };
                return Snapshot { state, in_flight, drained: !state.admits() && in_flight == 0, abandoned: 0 };
            }
        }
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
        self.change(|books| {
            books.in_flight = self.count();
            books.stop();
            books.in_flight = 0;
        });
    }
}

/// A thread that owns the books and is asked by messages.
pub struct Actor(Mutex<Sender<Message>>);

type Message = Box<dyn FnOnce(&mut Books) + Send>;

impl Default for Actor {
    fn default() -> Self {
        let (send, receive) = channel::<Message>();
        std::thread::spawn(move || {
            let mut books = Books::default();
            for message in receive {
                message(&mut books);
            }
        });
        Self(Mutex::new(send))
    }
}

impl Actor {
    fn ask<T: Send + 'static>(&self, question: impl FnOnce(&mut Books) -> T + Send + 'static) -> T {
        let (send, answer) = channel();
        let message: Message = Box::new(move |books| send.send(question(books)).unwrap());
        self.0.lock().unwrap().send(message).unwrap();
        answer.recv().unwrap()
    }
}

impl Small for Actor {
    const ABILITIES: &'static [Ability] = ALL;

    fn admit(&self) -> bool {
        self.ask(Books::admit)
    }
    fn finish(&self) {
        self.ask(Books::finish);
    }
    fn look(&self) -> Snapshot {
        self.ask(|books| books.look())
    }
    fn begin(&self, holder: Holder) {
        self.ask(move |books| books.begin(holder));
    }
    fn end(&self, holder: Holder) {
        self.ask(move |books| books.end(holder));
    }
    fn shut_down(&self) {
        self.ask(Books::shut_down);
    }
    fn stop(&self) {
        self.ask(Books::stop);
    }
    fn force_stop(&self) {
        self.ask(Books::force_stop);
    }
    fn waiter(&self) -> Waiter<'_> {
        polling(|| self.ask(|books| books.drains), || self.look())
    }
}

/// Room for four at once, by tokio's semaphore. A slot is taken before the gate is asked and given back if it refuses.
pub struct Bounded {
    slots: Arc<tokio::sync::Semaphore>,
    books: Mutex<Books>,
}

impl Default for Bounded {
    fn default() -> Self {
        Self { slots: Arc::new(tokio::sync::Semaphore::new(4)), books: Mutex::default() }
    }
}

impl Small for Bounded {
    const ABILITIES: &'static [Ability] =
        &[Ability::Drain, Ability::ShutDown, Ability::Count, Ability::Holders, Ability::Limit(4)];

    fn admit(&self) -> bool {
        let Ok(slot) = self.slots.try_acquire() else { return false };
        let admits = self.books.lock().unwrap().admit();
        if admits {
            slot.forget();
        }
        admits
    }
    fn finish(&self) {
        self.books.lock().unwrap().finish();
        self.slots.add_permits(1);
    }
    fn look(&self) -> Snapshot {
        self.books.lock().unwrap().look()
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
        self.books.lock().unwrap().stop();
    }
}

/// A semaphore of many slots of which closing takes the idle ones: who can't get a slot is refused.
#[derive(Default)]
pub struct Slots(Mutex<(Books, u64)>);

impl Slots {
    const MANY: u64 = 1 << 20;

    fn settle(books: &mut Books, taken: &mut u64) {
        // What is closed has no idle slot; what is open has all that nobody works in.
        *taken = if books.state().admits() { 0 } else { Self::MANY - books.in_flight };
    }

    fn change(&self, change: impl FnOnce(&mut Books)) {
        let (books, taken) = &mut *self.0.lock().unwrap();
        change(books);
        Self::settle(books, taken);
    }
}

impl Small for Slots {
    fn admit(&self) -> bool {
        let (books, taken) = &mut *self.0.lock().unwrap();
        let free = Self::MANY - books.in_flight - *taken;
        books.in_flight += u64::from(free > 0);
        free > 0
    }
    fn finish(&self) {
        self.change(Books::finish);
    }
    fn look(&self) -> Snapshot {
        self.0.lock().unwrap().0.look()
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
        self.change(Books::stop);
    }
}

/// A runtime for the asynchronous ones.
pub fn runtime() -> &'static tokio::runtime::Runtime {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap())
}

/// tokio's mutex, held over look and count, and its watch channel for waiters.
pub struct Asynchronous {
    books: tokio::sync::Mutex<Books>,
    changed: tokio::sync::watch::Sender<Books>,
}

impl Default for Asynchronous {
    fn default() -> Self {
        Self { books: tokio::sync::Mutex::default(), changed: tokio::sync::watch::Sender::new(Books::default()) }
    }
}

impl Asynchronous {
    fn change<T>(&self, change: impl FnOnce(&mut Books) -> T) -> T {
        runtime().block_on(async {
            let mut books = self.books.lock().await;
            let changed = change(&mut books);
            tokio::task::yield_now().await;
            self.changed.send_replace(*books);
            changed
        })
    }
}

impl Small for Asynchronous {
    const ABILITIES: &'static [Ability] = ALL;

    fn admit(&self) -> bool {
        self.change(Books::admit)
    }
    fn finish(&self) {
        self.change(Books::finish);
    }
    fn look(&self) -> Snapshot {
        runtime().block_on(async { self.books.lock().await.look() })
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
        self.change(Books::stop);
    }
    fn force_stop(&self) {
        self.change(Books::force_stop);
    }
    fn waiter(&self) -> Waiter<'_> {
        let mut changes = self.changed.subscribe();
        let mine = changes.borrow().drains;
        Box::new(move |limit| {
            let is_over = move |books: &Books| books.drains != mine || books.state().admits();
            let ended = changes.wait_for(move |books| is_over(books) || books.in_flight == 0);
            match runtime().block_on(async { tokio::time::timeout(limit, ended).await }) {
                Err(_) => Waited::TimedOut,
                Ok(books) => {
                    if is_over(&books.unwrap()) {
                        Waited::Over
                    } else {
                        Waited::Drained
                    }
                }
            }
        })
    }
}

/// What is in flight is the number of handles on one allocation, which only the lock's holder adds to.
#[derive(Default)]
pub struct Handles {
    books: Mutex<Books>,
    token: Arc<()>,
    given: Mutex<Vec<Arc<()>>>,
}

impl Handles {
    fn with<T>(&self, act: impl FnOnce(&mut Books) -> T) -> T {
        let mut books = self.books.lock().unwrap();
        books.in_flight = Arc::strong_count(&self.token) as u64 - 1;
        act(&mut books)
    }
}

impl Small for Handles {
    fn admit(&self) -> bool {
        self.with(|books| {
            let admits = books.state().admits();
            if admits {
                self.given.lock().unwrap().push(Arc::clone(&self.token));
            }
            admits
        })
    }
    fn finish(&self) {
        let ended = self.given.lock().unwrap().pop();
        drop(ended);
    }
    fn look(&self) -> Snapshot {
        self.with(|books| books.look())
    }
    fn begin(&self, holder: Holder) {
        self.with(|books| books.begin(holder));
    }
    fn end(&self, holder: Holder) {
        self.with(|books| books.end(holder));
    }
    fn shut_down(&self) {
        self.with(Books::shut_down);
    }
    fn stop(&self) {
        self.with(Books::stop);
    }
}

/// Internal work has a count of its own, and is refused once drained.
#[derive(Default)]
pub struct TwoEntrances(Mutex<Books>);

impl Small for TwoEntrances {
    const ABILITIES: &'static [Ability] =
        &[Ability::Drain, Ability::ShutDown, Ability::Count, Ability::Holders, Ability::Internal];

    fn admit(&self) -> bool {
        self.0.lock().unwrap().admit()
    }
    fn finish(&self) {
        self.0.lock().unwrap().finish();
    }
    fn admit_internal(&self) -> bool {
        let mut books = self.0.lock().unwrap();
        let admits = !books.stopped && !books.look().drained;
        books.internal += u64::from(admits);
        admits
    }
    fn finish_internal(&self) {
        self.0.lock().unwrap().internal -= 1;
    }
    fn internal(&self) -> u64 {
        self.0.lock().unwrap().internal
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
        let mut books = self.0.lock().unwrap();
        if books.internal == 0 {
            books.stop();
        }
    }
}

/// Writers take turns, and readers read again if one has written meanwhile: a sequence lock.
#[derive(Default)]
pub struct Sequence {
    version: AtomicU64,
    writing: Mutex<()>,
    flags: AtomicU64,
    count: AtomicU64,
}

impl Sequence {
    fn write<T>(&self, write: impl FnOnce() -> T) -> T {
        let _alone = self.writing.lock().unwrap();
        self.version.fetch_add(1, SeqCst);
        let written = write();
        self.version.fetch_add(1, SeqCst);
        written
    }

    fn books(flags: u64, in_flight: u64) -> Books {
        let has = |bit: u64| flags & (1 << bit) != 0;
        Books { holds: [has(0), has(1)], shut: has(2), stopped: has(3), in_flight, ..Books::default() }
    }

    fn change(&self, change: impl FnOnce(&mut Books)) {
        self.write(|| {
            let mut books = Self::books(self.flags.load(SeqCst), self.count.load(SeqCst));
            change(&mut books);
            let bits = [books.holds[0], books.holds[1], books.shut, books.stopped];
            let flags = bits.iter().enumerate().fold(0, |flags, (bit, set)| flags | u64::from(*set) << bit);
            self.flags.store(flags, SeqCst);
        });
    }
}

impl Small for Sequence {
    fn admit(&self) -> bool {
        self.write(|| {
            let admits = self.flags.load(SeqCst) == 0;
            self.count.fetch_add(u64::from(admits), SeqCst);
            admits
        })
    }
    fn finish(&self) {
        self.write(|| self.count.fetch_sub(1, SeqCst));
    }
    fn look(&self) -> Snapshot {
        loop {
            let before = self.version.load(SeqCst);
            let told = Self::books(self.flags.load(SeqCst), self.count.load(SeqCst)).look();
            if before.is_multiple_of(2) && self.version.load(SeqCst) == before {
                return told;
            }
            std::thread::yield_now();
        }
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
        self.change(Books::stop);
    }
}
