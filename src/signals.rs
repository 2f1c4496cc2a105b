//! The signals that end a process, taken from its first moment on, on a thread that no event loop can freeze.
//!
//! [`Signals::take`] comes first in `main`, before anything slow: a signal that arrives during the start is kept. The
//! gateway is named as soon as there is one, by [`Reconciler::shut_down_on`] or [`Controller::shut_down_on`].

use crate::Controller;
use crate::reconciler::Reconciler;
use crate::sync::{Arc, Mutex};
use core::fmt;
use nix::sys::signal::{SigSet, Signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals as Arriving;
use signal_hook::low_level::emulate_default_handler;
use std::io;
use std::time::{Duration, Instant};

/// Signals this close to the first one are one request: a supervisor sends several, and so does a terminal that closes.
const ONE_REQUEST: Duration = Duration::from_secs(1);

/// SIGTERM, SIGINT (Ctrl-C), SIGQUIT and SIGHUP, taken.
///
/// The first of them begins the shutdown. What follows within a second belongs to the same request. Any later one forces
/// the shutdown; once the gateway has stopped, or as long as there is none, it ends the process as the signal does by
/// default.
///
/// The signals are taken whatever the process inherited: also if they were ignored (`nohup`, `&` in a script) or blocked.
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

struct State {
    /// When the first signal came.
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
        let mut arriving = Arriving::new([SIGTERM, SIGINT, SIGQUIT, SIGHUP])?;
        let state = Arc::new(Mutex::new(State { first: None, gateway: Gateway::Expected }));
        let taken = Arc::clone(&state);
        std::thread::Builder::new().name("gateway-drain-signals".into()).spawn(move || {
            // Whatever was blocked before comes now, and to this thread. That it can't be unblocked is said by no system.
            let ending = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGHUP];
            let _ = ending.into_iter().collect::<SigSet>().thread_unblock();
            for signal in arriving.forever() {
                let act = taken.lock().on_signal();
                match act {
                    Act::Nothing => {}
                    // Refused only once stopped, and then there is nothing left to begin.
                    Act::Begin(controller, deadline) => _ = controller.begin_shutdown(deadline),
                    Act::Force(controller) => _ = controller.force_stop(),
                    // Refused for signals that end no process, and these do.
                    Act::End => _ = emulate_default_handler(signal),
                }
            }
        })?;
        Ok(Self { state })
    }

    /// Whether one of them has come.
    #[must_use]
    pub fn received(&self) -> bool {
        self.state.lock().first.is_some()
    }
}

impl State {
    fn on_signal(&mut self) -> Act {
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
        let came = state.first.is_some();
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
