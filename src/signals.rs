//! The signals that end a process, taken from its first moment on, on a thread that no event loop can freeze.
//!
//! [`Signals::take`] comes first in `main`, before anything slow: a signal that arrives during the start is kept. The
//! gateway is named as soon as there is one, by [`Reconciler::shut_down_on`] or [`Controller::shut_down_on`].

use crate::Controller;
use crate::reconciler::Reconciler;
use crate::signal_kinds::{Kind, named, real_time};
use crate::sync::{Arc, Mutex};
use core::fmt;
use nix::sys::signal::{SigSet, Signal};
use signal_hook::iterator::Signals as Arriving;
use signal_hook::low_level::{emulate_default_handler, exit};
use std::io;
use std::time::{Duration, Instant};

/// Signals this close to the first one are one request: a supervisor sends several, and so does a terminal that closes.
const ONE_REQUEST: Duration = Duration::from_secs(1);

/// The signals whose default is to end the process, taken: each of them begins the shutdown instead.
///
/// | Signals | What they do |
/// |---|---|
/// | SIGTERM, SIGINT (Ctrl-C), SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGPWR, SIGSTKFLT, the real-time signals | The first of them begins the shutdown. What follows within a second belongs to the same request. Any later one forces the shutdown; once the gateway has stopped, or as long as there is none, it ends the process as the signal does by default. |
/// | SIGALRM, SIGVTALRM, SIGPROF, SIGXCPU, SIGIO | They begin the shutdown. Timers and limits repeat them, so they never force it. |
/// | SIGXFSZ, SIGPIPE | They do nothing: the write that caused them fails, and its error is what counts. |
/// | SIGKILL, and those by which the system reports a fault (SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGSYS) | They end the process. |
///
/// A signal that the application uses itself is left to it by [`take_except`](Self::take_except).
///
/// The signals are taken always: also if they were ignored (`nohup`, `&` in a script) or blocked.
/// So SIGHUP ends a gateway whose terminal closes, in the same orderly way as SIGTERM, also under `nohup`; a gateway that is
/// to outlive its terminal belongs under a supervisor or `setsid`.
///
/// The thread that takes them acts first, prints nothing and runs no code of the application (L5).
///
/// ```no_run
/// use gateway_drain::{Home, Reconciler, reconciler::Options, signals::Signals};
/// use std::{process::ExitCode, time::Duration};
///
/// fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
///     let signals = Signals::take()?; // first of all
///     let gateway = Reconciler::start(Home::at("/var/lib/gateway"), Options::default())?;
///     gateway.shut_down_on(signals, Duration::from_secs(30));
///     // Serve, on other threads.
///     let report = gateway.controller().stopped().wait();
///     Ok(ExitCode::from(if report.finished() { 0 } else { 3 }))
/// }
/// ```
#[must_use = "dropped, the signals do again what they do by default"]
pub struct Signals {
    state: Arc<Mutex<State>>,
}

/// What becomes of the signal of this number, which is one that was taken.
fn kind_of_taken(number: i32) -> Kind {
    Signal::try_from(number).map_or(Kind::Request, Kind::of)
}

/// Lets this thread have what was blocked before, of the signals that are taken: the application may have others blocked
/// because it waits for them elsewhere.
fn unblock(taken: &[i32]) {
    // A set of signals takes no number: the real-time signals are in it as what is left of all of them, or not at all.
    let mut set = if real_time().all(|number| taken.contains(&number)) { SigSet::all() } else { SigSet::empty() };
    for signal in Signal::iterator() {
        if taken.contains(&(signal as i32)) {
            set.add(signal);
        } else {
            set.remove(signal);
        }
    }
    // That they can't be unblocked is said by no system.
    let _ = set.thread_unblock();
}

struct State {
    /// Whether any signal has come.
    came: bool,
    /// When the first request came.
    first: Option<Instant>,
    gateway: Gateway,
}

enum Gateway {
    /// There is none yet.
    Expected,
    Here {
        controller: Controller,
        deadline: Duration,
    },
    /// The [`Signals`] were dropped before there was one.
    GivenUp,
}

/// What a signal asks for.
enum Act {
    Nothing,
    Begin(Controller, Duration),
    Force(Controller),
    End,
}

impl Signals {
    /// Takes the signals from here on.
    ///
    /// # Errors
    /// What the system says: it gives no thread, or no pipe.
    pub fn take() -> io::Result<Self> {
        Self::take_except(&[])
    }

    /// As [`take`](Self::take), but for these, given by their numbers: what they do is left to the application.
    ///
    /// An application needs this for a signal that it handles itself: one that has its configuration read again (SIGHUP,
    /// SIGUSR1), the timer of a profiler (SIGPROF). Otherwise its handler runs, and the shutdown begins besides.
    ///
    /// An excepted signal is neither handled nor unblocked here. A real-time signal among them has all real-time signals
    /// stay blocked that are blocked when this is called; those that are not blocked are taken.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    ///
    /// ```
    /// use gateway_drain::signals::Signals;
    /// use signal_hook::consts::SIGUSR1;
    ///
    /// let rotate = std::sync::Arc::default();
    /// signal_hook::flag::register(SIGUSR1, std::sync::Arc::clone(&rotate))?;
    /// let signals = Signals::take_except(&[SIGUSR1])?;
    /// signal_hook::low_level::raise(SIGUSR1)?;
    /// assert!(rotate.load(std::sync::atomic::Ordering::Relaxed), "the application's own");
    /// assert!(!signals.received());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn take_except(left: &[i32]) -> io::Result<Self> {
        let is_ours = |number: &i32| !left.contains(number);
        for number in named(|kind| kind == Kind::Unheard).filter(is_ours) {
            // A handler rather than `SIG_IGN`: what this process starts has the default again.
            signal_hook::flag::register(number, std::sync::Arc::default())?;
        }
        let ending = named(|kind| matches!(kind, Kind::Request | Kind::Repeats));
        let taken: Vec<i32> = ending.chain(real_time()).filter(is_ours).collect();
        let mut arriving = Arriving::new(&taken)?;
        let state = Arc::new(Mutex::new(State { came: false, first: None, gateway: Gateway::Expected }));
        let told = Arc::clone(&state);
        std::thread::Builder::new().name("gateway-drain-signals".into()).spawn(move || {
            unblock(&taken);
            for signal in arriving.forever() {
                let act = told.lock().on_signal(kind_of_taken(signal));
                match act {
                    Act::Nothing => {}
                    // Refused only once stopped, and then there is nothing left to begin.
                    Act::Begin(controller, deadline) => _ = controller.begin_shutdown(deadline),
                    Act::Force(controller) => _ = controller.force_stop(),
                    Act::End => {
                        let _ = emulate_default_handler(signal);
                        // It doesn't know them all. This is how a shell tells of a process that a signal has ended.
                        exit(128 + signal);
                    }
                }
            }
        })?;
        Ok(Self { state })
    }

    /// Whether one of them has come.
    #[must_use]
    pub fn received(&self) -> bool {
        self.state.lock().came
    }
}

impl State {
    fn on_signal(&mut self, kind: Kind) -> Act {
        self.came = true;
        if kind == Kind::Repeats {
            return match &self.gateway {
                // Beginning again changes nothing.
                Gateway::Here { controller, deadline } => Act::Begin(controller.clone(), *deadline),
                Gateway::Expected => Act::Nothing,
                Gateway::GivenUp => Act::End,
            };
        }
        let again = match self.first {
            Some(first) if first.elapsed() < ONE_REQUEST => return Act::Nothing,
            earlier => earlier.is_some(),
        };
        self.first.get_or_insert_with(Instant::now);
        match &self.gateway {
            Gateway::Here { controller, deadline } if !again => Act::Begin(controller.clone(), *deadline),
            Gateway::Here { controller, .. } if controller.report().is_none() => Act::Force(controller.clone()),
            Gateway::Expected if !again => Act::Nothing,
            _ => Act::End,
        }
    }
}

impl Controller {
    /// Has the [`Signals`] begin the shutdown of this gateway, with this long for work in flight; a second request forces
    /// it. A signal that has come since they were taken counts: the shutdown begins at once.
    pub fn shut_down_on(&self, signals: Signals, deadline: Duration) {
        let mut state = signals.state.lock();
        let came = state.came;
        state.gateway = Gateway::Here { controller: self.clone(), deadline };
        drop(state);
        drop(signals);
        if came {
            // Refused only once stopped.
            let _ = self.begin_shutdown(deadline);
        }
    }
}

impl Reconciler {
    /// As [`Controller::shut_down_on`].
    pub fn shut_down_on(&self, signals: Signals, deadline: Duration) {
        self.controller().shut_down_on(signals, deadline);
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        if matches!(state.gateway, Gateway::Expected) {
            state.gateway = Gateway::GivenUp;
        }
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signals").field("received", &self.received()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_thread_had_blocked_of_the_signals_that_are_taken_reaches_it_and_nothing_else_does() {
        let thread = std::thread::spawn(|| {
            SigSet::from_iter([Signal::SIGUSR1, Signal::SIGUSR2]).thread_block().unwrap();
            unblock(&[Signal::SIGUSR1 as i32]);
            let blocked = SigSet::thread_get_mask().unwrap();
            assert!(!blocked.contains(Signal::SIGUSR1), "it is taken");
            assert!(blocked.contains(Signal::SIGUSR2), "the application waits for it elsewhere");
        });
        thread.join().unwrap();
    }

    #[test]
    fn a_later_request_forces_or_ends_the_process_where_there_is_no_gateway_or_none_that_goes_on() {
        let long_ago = Instant::now().checked_sub(ONE_REQUEST * 2).expect("the machine has run for seconds");
        let here = |stopped: bool| {
            let controller = Controller::new();
            if stopped {
                controller.begin_shutdown(Duration::ZERO).expect("it runs");
                controller.settle();
                assert!(controller.report().is_some());
            }
            Gateway::Here { controller, deadline: Duration::ZERO }
        };
        let done = |gateway, first, kind| match (State { came: false, first, gateway }).on_signal(kind) {
            Act::Nothing => "nothing",
            Act::Begin(..) => "begin",
            Act::Force(_) => "force",
            Act::End => "end",
        };
        for (gateway, first, kind, act) in [
            (Gateway::Expected, None, Kind::Request, "nothing"),
            (Gateway::Expected, Some(Instant::now()), Kind::Request, "nothing"),
            (Gateway::Expected, Some(long_ago), Kind::Request, "end"),
            (here(false), None, Kind::Request, "begin"),
            (here(false), Some(Instant::now()), Kind::Request, "nothing"),
            (here(false), Some(long_ago), Kind::Request, "force"),
            (here(true), Some(long_ago), Kind::Request, "end"),
            (Gateway::GivenUp, None, Kind::Request, "end"),
            (Gateway::Expected, Some(long_ago), Kind::Repeats, "nothing"),
            (here(false), Some(long_ago), Kind::Repeats, "begin"),
            (Gateway::GivenUp, None, Kind::Repeats, "end"),
        ] {
            let met = match &gateway {
                Gateway::Expected => "no gateway yet",
                Gateway::Here { .. } => "a gateway",
                Gateway::GivenUp => "none any more",
            };
            assert_eq!(done(gateway, first, kind), act, "{met}, the first signal: {first:?}");
        }
    }
}
