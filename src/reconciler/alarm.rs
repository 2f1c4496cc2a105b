//! What wakes the reconciler's thread, and nobody else: a kick, or the gate.

use crate::gate::Gate;
use crate::sync::EventListener;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// Rung by a thread that wants another look.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    rung: AtomicBool,
    sleeper: OnceLock<Thread>,
}

impl Alarm {
    pub(super) fn ring(&self) {
        self.rung.store(true, Ordering::Release);
        if let Some(sleeper) = self.sleeper.get() {
            sleeper.unpark();
        }
    }

    /// Has the gate ring too, once: when its state moves or the last work leaves it closed.
    pub(super) fn rung_by(self: &Arc<Self>, gate: &Gate) -> EventListener {
        // Only this thread sleeps here.
        let _ = self.sleeper.set(thread::current());
        let mut changed = gate.changed().listen();
        let waker = Waker::from(Arc::clone(self));
        if let Poll::Ready(()) = Pin::new(&mut changed).poll(&mut Context::from_waker(&waker)) {
            self.ring();
        }
        changed
    }

    /// Sleeps for so long, or until it rings: but not for less than `rest`, so that however often it rings its sleeper has
    /// most of its time for nothing. What has rung since the last sleep counts. If nothing rings, the thread wakes once.
    pub(super) fn sleep(&self, pause: Duration, rest: Duration) {
        let now = Instant::now();
        let (rested, until) = (now + rest.min(pause), now.checked_add(pause));
        loop {
            let now = Instant::now();
            if now >= rested && self.rung.swap(false, Ordering::AcqRel) {
                return;
            }
            // What rings after this ends the parking, or keeps it from beginning.
            match self.wakes_at(now, rested, until).map(|until| until.saturating_duration_since(now)) {
                Some(Duration::ZERO) => return,
                Some(left) => thread::park_timeout(left),
                None => thread::park(),
            }
        }
    }

    /// When the sleeper wakes by itself: as soon as it is rested if it has rung already.
    fn wakes_at(&self, now: Instant, rested: Instant, until: Option<Instant>) -> Option<Instant> {
        if now < rested && self.rung.load(Ordering::Relaxed) { Some(rested) } else { until }
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.ring();
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// How often this thread has gone to sleep.
    fn sleeps() -> u32 {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
        line.trim().parse().unwrap()
    }

    #[test]
    fn a_sleep_in_which_nothing_rings_goes_to_sleep_once() {
        let alarm = Alarm::default();
        let once = || {
            let before = sleeps();
            alarm.sleep(Duration::from_millis(4), Duration::from_millis(2));
            sleeps() - before == 1
        };
        // A thread also sleeps where the system has to fetch what it needs, so one time in many is enough.
        assert!((0..50).any(|_| once()), "a gateway at rest wakes more often than it has to");
    }

    #[test]
    fn only_what_has_rung_before_the_sleeper_is_rested_wakes_it_at_that_moment() {
        let (now, moment) = (Instant::now(), Duration::from_millis(1));
        let alarm = Alarm::default();
        for until in [None, Some(now + moment * 9)] {
            alarm.rung.store(false, Ordering::Relaxed);
            assert_eq!(alarm.wakes_at(now, now + moment, until), until, "nothing has rung: it wakes once");
            alarm.ring();
            assert_eq!(alarm.wakes_at(now, now + moment, until), Some(now + moment));
            assert_eq!(alarm.wakes_at(now + moment, now + moment, until), until, "it is rested");
        }
    }

    #[test]
    fn what_rings_ends_the_sleep_once_its_sleeper_is_rested_and_no_sooner() {
        let (long, rest) = (Duration::from_secs(3600), Duration::from_millis(20));
        let alarm = Arc::new(Alarm::default());
        let began = Instant::now();
        alarm.ring();
        alarm.sleep(long, rest);
        assert!(began.elapsed() >= rest, "it has rung before");
        let _ = alarm.sleeper.set(thread::current());
        let (waker, began) = (std::task::Waker::from(Arc::clone(&alarm)), Instant::now());
        let ringing = thread::spawn(move || waker.wake());
        alarm.sleep(long, rest);
        assert!(began.elapsed() >= rest, "it rings meanwhile");
        ringing.join().unwrap();
        alarm.sleep(rest, Duration::ZERO);
    }
}
