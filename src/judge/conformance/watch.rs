//! The watchdog: a call that does not return is found and named, and ends the judging of its property.
//!
//! Each property is judged on a thread of its own. Every thread that calls the gateway writes down, in a place of its own, in
//! which call it is; the caller of the property's function looks at these places. Nothing can end a thread that hangs, so
//! it is left behind.

use super::{Ability, Gateway, Holder, Snapshot, Waited, Waiter, caught};
use crate::properties::PropertyId;
use core::fmt::Write as _;
use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// No call of a gateway takes as long: none waits for work.
pub const CALL_LIMIT: Duration = Duration::from_secs(20);
/// How often the watchdog looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The calls of one judging.
#[derive(Default)]
struct Board {
    threads: Mutex<Vec<Arc<ThreadCalls>>>,
}

/// In which call one thread is. Only that thread writes here, so that calls of several threads stay as independent as the
/// gateway makes them.
#[derive(Default)]
#[repr(align(128))]
struct ThreadCalls {
    /// The number of its calls so far, and the call that it is in or 0.
    call: AtomicU64,
    /// What it has admitted less what it has finished; another thread may finish it.
    held: AtomicU64,
}

/// A call. The number is what [`ThreadCalls`] says.
#[derive(Clone, Copy)]
enum Call {
    Fresh = 1,
    Admit,
    AdmitInternal,
    Finish,
    Snapshot,
    BeginA,
    BeginB,
    EndA,
    EndB,
    ShutDown,
    Stop,
    ForceStop,
    Waiter,
    Wait,
    Commit,
    Pass,
    StepWallClock,
    Drop,
}

/// In the order of [`Call`], from 1.
const NAMES: [&str; 18] = [
    "fresh",
    "admit",
    "admit_internal",
    "finish",
    "snapshot",
    "begin(a)",
    "begin(b)",
    "end(a)",
    "end(b)",
    "shut_down",
    "stop",
    "force_stop",
    "waiter",
    "a waiter",
    "commit",
    "pass",
    "step_wall_clock",
    "dropping the gateway",
];

thread_local! {
    /// Of the thread that judges.
    static BOARD: RefCell<Option<Arc<Board>>> = const { RefCell::new(None) };
    /// Of each thread that calls, with the board that it is on.
    static PLACE: RefCell<Option<(Arc<Board>, Arc<ThreadCalls>)>> = const { RefCell::new(None) };
    /// Whether the last judging that this thread asked for was given up.
    static GIVEN_UP: Cell<bool> = const { Cell::new(false) };
}

/// Whether a call hung in the last judging that this thread asked for.
pub(super) fn gave_up() -> bool {
    GIVEN_UP.get()
}

impl Board {
    /// Does something with this thread's place.
    fn on_place(self: &Arc<Self>, act: impl Fn(&ThreadCalls)) {
        let known = PLACE.with_borrow(|known| {
            let known = known.as_ref().filter(|(board, _)| Arc::ptr_eq(board, self));
            known.map(|(_, place)| act(place)).is_some()
        });
        if known {
            return;
        }
        let place = Arc::new(ThreadCalls::default());
        act(&place);
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&place));
        PLACE.set(Some((Arc::clone(self), place)));
    }

    /// What each thread is doing: the number of calls and the call.
    fn look(&self) -> Vec<(u64, u64)> {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that have ended hold theirs no longer.
        threads.retain(|place| Arc::strong_count(place) > 1);
        threads.iter().map(|place| (place.call.load(Ordering::Relaxed), Arc::as_ptr(place) as u64)).collect()
    }

    fn held(&self) -> u64 {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.iter().fold(0, |sum: u64, place| sum.wrapping_add(place.held.load(Ordering::Relaxed)))
    }
}

/// Judges on a thread of its own, and gives up when a call does not return.
pub(super) fn watched(search: impl FnOnce() -> Result<(), String> + Send + 'static) -> Result<(), String> {
    let board = Arc::new(Board::default());
    let (send, receive) = channel();
    let judging = Arc::clone(&board);
    GIVEN_UP.set(false);
    let name = thread::current().name().unwrap_or("conformance").to_owned();
    let thread = thread::Builder::new().name(name).spawn(move || {
        BOARD.set(Some(judging));
        let _ = send.send(caught(search));
    });
    if let Err(error) = thread {
        return Err(format!("no thread can be started: {error}."));
    }
    let mut since: Vec<((u64, u64), Instant)> = Vec::new();
    loop {
        match receive.recv_timeout(LOOK_EVERY) {
            Ok(found) => return found,
            Err(RecvTimeoutError::Disconnected) => return Err("the judging thread was ended.".into()),
            Err(RecvTimeoutError::Timeout) => {}
        }
        let now = board.look();
        since.retain(|(place, _)| now.contains(place));
        for place in now {
            if !since.iter().any(|(known, _)| *known == place) {
                since.push((place, Instant::now()));
            }
        }
        let hung = |((call, _), since): &((u64, u64), Instant)| call & 0xff != 0 && since.elapsed() > CALL_LIMIT;
        if since.iter().any(hung) {
            GIVEN_UP.set(true);
            let mut hanging: Vec<_> = since.iter().filter(|place| hung(place)).map(|((call, _), _)| call).collect();
            // The first to hang made the fewest calls since; the others wait behind it. A snapshot is rarely the cause.
            hanging.sort_by_key(|call| (*call & 0xff == Call::Snapshot as u64, *call & 0xff == Call::Admit as u64));
            return Err(told(&hanging, board.held()));
        }
    }
}

fn told(hanging: &[&u64], held: u64) -> String {
    let name = |call: &u64| {
        usize::try_from(call & 0xff).ok().and_then(|call| NAMES.get(call.wrapping_sub(1))).copied().unwrap_or_default()
    };
    let mut told = format!(
        "{} has not returned in {} s with {held} in flight, and no call is to wait for work.",
        name(hanging[0]),
        CALL_LIMIT.as_secs()
    );
    for &call in hanging {
        let _ = write!(told, "\nA thread is in {}, its call number {}.", name(call), call >> 8);
    }
    told
}

/// A gateway whose calls are watched.
pub(super) struct Watched<G: Gateway> {
    // Always there until it is dropped.
    gateway: Option<G>,
    board: Option<Arc<Board>>,
}

impl<G: Gateway> Watched<G> {
    fn gateway(&self) -> &G {
        self.gateway.as_ref().expect("it is there until it is dropped")
    }

    fn call<T>(&self, call: Call, make: impl FnOnce(&G) -> T) -> T {
        within(self.board.as_ref(), call, || make(self.gateway()))
    }

    /// What this thread has in flight, less what it has finished for others.
    fn holds(&self, change: u64) {
        if let Some(board) = &self.board {
            board.on_place(|place| {
                place.held.store(place.held.load(Ordering::Relaxed).wrapping_add(change), Ordering::Relaxed);
            });
        }
    }
}

fn within<T>(board: Option<&Arc<Board>>, call: Call, make: impl FnOnce() -> T) -> T {
    /// Also after a panic.
    struct Over<'b>(&'b Arc<Board>);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.on_place(|place| place.call.store(place.call.load(Ordering::Relaxed) & !0xff, Ordering::Relaxed));
        }
    }
    let Some(board) = board else { return make() };
    board.on_place(|place| {
        let number = (place.call.load(Ordering::Relaxed) >> 8).wrapping_add(1);
        place.call.store(number << 8 | call as u64, Ordering::Relaxed);
    });
    let _over = Over(board);
    make()
}

impl<G: Gateway> Drop for Watched<G> {
    fn drop(&mut self) {
        let gateway = self.gateway.take();
        within(self.board.as_ref(), Call::Drop, || drop(gateway));
    }
}

impl<G: Gateway> Gateway for Watched<G> {
    type Permit = G::Permit;
    type Guard = G::Guard;

    const ABILITIES: &'static [Ability] = G::ABILITIES;
    const EFFORT: u32 = G::EFFORT;

    fn fresh() -> (Self, Self::Guard) {
        let board = BOARD.with_borrow(Clone::clone);
        let (gateway, guard) = within(board.as_ref(), Call::Fresh, G::fresh);
        (Self { gateway: Some(gateway), board }, guard)
    }

    fn skip(property: PropertyId) -> Option<&'static str> {
        G::skip(property)
    }

    fn admit(&self) -> Option<Self::Permit> {
        let permit = self.call(Call::Admit, G::admit);
        self.holds(u64::from(permit.is_some()));
        permit
    }

    fn admit_internal(&self) -> Option<Self::Permit> {
        let permit = self.call(Call::AdmitInternal, G::admit_internal);
        self.holds(u64::from(permit.is_some()));
        permit
    }

    fn internal(&self) -> u64 {
        self.call(Call::Snapshot, G::internal)
    }

    fn finish(&self, permit: Self::Permit) {
        self.call(Call::Finish, |gateway| gateway.finish(permit));
        self.holds(u64::MAX);
    }

    fn snapshot(&self) -> Snapshot {
        self.call(Call::Snapshot, G::snapshot)
    }

    fn begin(&self, holder: Holder) {
        let call = if holder == Holder::A { Call::BeginA } else { Call::BeginB };
        self.call(call, |gateway| gateway.begin(holder));
    }

    fn end(&self, holder: Holder) {
        let call = if holder == Holder::A { Call::EndA } else { Call::EndB };
        self.call(call, |gateway| gateway.end(holder));
    }

    fn shut_down(&self) {
        self.call(Call::ShutDown, G::shut_down);
    }

    fn stop(&self) {
        self.call(Call::Stop, G::stop);
    }

    fn force_stop(&self) {
        self.call(Call::ForceStop, G::force_stop);
    }

    fn waiter(&self) -> Waiter<'_> {
        let waiter = within(self.board.as_ref(), Call::Waiter, || self.gateway().waiter());
        Box::new(move |limit: Duration| -> Waited { within(self.board.as_ref(), Call::Wait, || waiter(limit)) })
    }

    fn commit(&self, holder: Holder) -> bool {
        self.call(Call::Commit, |gateway| gateway.commit(holder))
    }

    fn pass(&self, time: Duration) {
        self.call(Call::Pass, |gateway| gateway.pass(time));
    }

    fn step_wall_clock(&self, seconds: i64) {
        self.call(Call::StepWallClock, |gateway| gateway.step_wall_clock(seconds));
    }
}
