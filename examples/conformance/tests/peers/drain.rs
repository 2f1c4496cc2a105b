//! [`drain`](::drain): a channel that ends a process. Its use as its authors mean it: the accept loop keeps a `Watch` and clones it
//! for each connection; when the signal comes, the loop drops its own and accepts no more.
//!
//! So whether anything is admitted after the signal is up to the loop, which here is the adapter, and the suite is not
//! asked to judge that. How much is in flight, drain doesn't tell.

use ::drain::{ReleaseShutdown, Signal, Watch, channel};
use gateway_drain::DrainState;
use gateway_drain::conformance::{Ability, Gateway, Holder, Snapshot, Waited, Waiter};
use gateway_drain::properties::PropertyId;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

/// One future that several threads look at: each thread that polls it leaves the same bell to be rung.
#[derive(Default)]
struct Bell {
    rung: Mutex<u64>,
    ringing: Condvar,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        *self.rung.lock().unwrap() += 1;
        self.ringing.notify_all();
    }
}

enum Phase {
    /// The accept loop has a watch to clone.
    Accepting(Signal, Watch),
    /// `Signal::drain` waits.
    Signalled(Pin<Box<dyn Future<Output = ()> + Send>>),
    /// It has returned.
    Drained,
    /// And the process has gone on to its end.
    Ended,
    /// Between two of them, under the lock.
    Between,
}

/// An accept loop that ends by a drain channel.
pub struct Draining {
    phase: Mutex<Phase>,
    bell: Arc<Bell>,
}

impl Draining {
    /// Where it stands by now.
    fn now<T>(&self, look: impl FnOnce(&mut Phase) -> T) -> T {
        let mut phase = self.phase.lock().unwrap();
        if let Phase::Signalled(drain) = &mut *phase {
            let waker = Waker::from(Arc::clone(&self.bell));
            if drain.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                *phase = Phase::Drained;
            }
        }
        look(&mut phase)
    }

    fn drained(&self) -> bool {
        self.now(|phase| matches!(phase, Phase::Drained | Phase::Ended))
    }
}

impl Gateway for Draining {
    type Permit = ReleaseShutdown;
    type Guard = ();

    const ABILITIES: &'static [Ability] = &[Ability::ShutDown, Ability::Wait];

    fn fresh() -> (Self, ()) {
        let (signal, watch) = channel();
        (Self { phase: Mutex::new(Phase::Accepting(signal, watch)), bell: Arc::default() }, ())
    }

    fn skip(property: PropertyId) -> Option<&'static str> {
        (property == PropertyId::G1).then_some("to refuse is left to the accept loop")
    }

    fn admit(&self) -> Option<ReleaseShutdown> {
        self.now(|phase| match phase {
            Phase::Accepting(_, watch) => Some(watch.clone().ignore_signaled()),
            _ => None,
        })
    }

    fn snapshot(&self) -> Snapshot {
        let state = self.now(|phase| match phase {
            Phase::Accepting(..) | Phase::Between => DrainState::Running,
            Phase::Signalled(_) | Phase::Drained => DrainState::ShutdownDraining,
            Phase::Ended => DrainState::Stopped,
        });
        Snapshot { state, in_flight: 0, drained: self.drained(), abandoned: 0 }
    }

    fn begin(&self, _: Holder) {}

    fn end(&self, _: Holder) {}

    fn shut_down(&self) {
        self.now(|phase| match std::mem::replace(phase, Phase::Between) {
            Phase::Accepting(signal, watch) => {
                drop(watch);
                *phase = Phase::Signalled(Box::pin(signal.drain()));
            }
            already => *phase = already,
        });
        // The first poll sends the signal.
        self.now(|_| ());
    }

    fn stop(&self) {
        self.now(|phase| {
            if matches!(phase, Phase::Drained) {
                *phase = Phase::Ended;
            }
        });
    }

    fn waiter(&self) -> Waiter<'_> {
        Box::new(|limit: Duration| {
            let until = Instant::now() + limit;
            loop {
                let heard = *self.bell.rung.lock().unwrap();
                if self.drained() {
                    return Waited::Drained;
                }
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Waited::TimedOut;
                }
                let rung = self.bell.rung.lock().unwrap();
                let _rung = self.bell.ringing.wait_timeout_while(rung, left, |rung| *rung == heard).unwrap();
            }
        })
    }
}
