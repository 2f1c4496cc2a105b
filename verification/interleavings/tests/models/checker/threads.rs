//! Real threads, for ThreadSanitizer to watch (`.ci/tsan`), and a plain test without it. The schedules are the machine's, so
//! no witness is wanted.

use super::explore::{Body, LIMIT, Seen};
use super::table::{Check, ROUNDS};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
pub use std::thread;
use std::time::Instant;

/// Runs a model in so many rounds.
pub fn run(_: &'static Check, body: Body) -> Option<String> {
    let (start, seen) = (Instant::now(), Seen::default());
    (0..ROUNDS).for_each(|_| body(&seen));
    Some(format!("{ROUNDS} rounds in {:.1} s", start.elapsed().as_secs_f64()))
}

/// Whether what comes sooner or later is looked for again: here it comes by itself.
pub const AGAIN: bool = true;

/// Drives a future on this thread.
pub fn block_on<F: Future>(future: F) -> F::Output {
    struct Parked(thread::Thread);
    impl Wake for Parked {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Parked(thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        thread::park_timeout(LIMIT);
    }
}
