//! The signals that concern this process: before an act they end it, during the act they are its command's.

use super::report::Report;
use crate::client::{ExitCode, Interrupt};
use crate::signal_kinds::{Kind, named, real_time};
use crate::sync::{Arc, Mutex};
use rustix::process::{Pid, Signal, kill_process_group};
use rustix_libc_wrappers::process::SignalExt;
use signal_hook::iterator::Signals as Arriving;
use std::io;
use std::time::Duration;

/// A command that gives up its hold on a first signal has this long; then it is ended all the same.
const GIVING_UP: Duration = Duration::from_secs(5);

/// One that has not even looked at the signal after so long waits for a gateway, or a disk, that doesn't answer, and would get no
/// further with giving up.
const UNNOTICED: Duration = Duration::from_secs(1);

/// Every signal that would end a process and can be caught: those that report a fault too, since people send it, and a commit is not to
/// outlast its owner for that.
fn fatal(kind: Kind) -> bool {
    matches!(kind, Kind::Request | Kind::Repeats | Kind::Fault)
}

/// Where signals go.
#[derive(Clone)]
pub(super) struct Signals {
    pub(super) interrupt: Interrupt,
    phase: Arc<Mutex<Phase>>,
    report: Report,
}

/// What a signal means now.
enum Phase {
    /// It ends the command at once; this is said then.
    Ends(Option<String>),
    /// It is looked at by the command, which has something to give up, in so long if it's limited. A second one ends it; this is
    /// said then.
    GivesUp { code: u8, left: String, limit: Option<Duration>, raised: bool },
    /// It is looked at by the command, however long that takes.
    #[cfg(feature = "fleet")]
    IsLookedAt(Interrupt),
    /// A command is being started, or has ended and its hold is being given up: these are for the next process group.
    Waits(Vec<i32>),
    /// It is the business of this process group.
    IsHandedOn(Pid),
}

impl Signals {
    /// Takes the signals from now on. What is ignored stays ignored, here and in what this process starts.
    pub(super) fn listen(report: &Report) -> io::Result<Self> {
        let phase = Arc::new(Mutex::new(Phase::Ends(None)));
        let signals = Self { interrupt: Interrupt::new(), phase, report: report.clone() };
        let ignored = ignored(&std::fs::read_to_string("/proc/self/status").unwrap_or_default());
        for number in named(|kind| kind == Kind::Unheard).filter(|number| !ignored(*number)) {
            // A handler rather than `SIG_IGN`: the command has the default again.
            signal_hook::flag::register(number, std::sync::Arc::default())?;
        }
        let taken = named(fatal).chain(real_time()).filter(|number| !ignored(*number));
        let mut arriving = Arriving::new(taken)?;
        let receive = signals.clone();
        let forever = move || arriving.forever().for_each(|number| receive.take(number));
        std::thread::Builder::new().name("gateway-drain-signals".into()).spawn(forever)?;
        Ok(signals)
    }

    /// From now on a signal ends the command at once, and says this.
    pub(super) fn end_at_once(&self, saying: String) {
        *self.phase.lock() = Phase::Ends(Some(saying));
    }

    /// From now on the command looks whether there was one, gives up what it has, and ends by itself. `left` says what is
    /// left if it can't.
    pub(super) fn give_up(&self, code: u8, left: String) {
        *self.phase.lock() = Phase::GivesUp { code, left, limit: Some(GIVING_UP), raised: false };
    }

    /// The same, however long that takes. A second signal ends it all the same.
    pub(super) fn take_back(&self, code: u8, left: String) {
        *self.phase.lock() = Phase::GivesUp { code, left, limit: None, raised: false };
    }

    /// From now on the command looks whether there was one. One that came while it waited for its hold to be given up is no longer
    /// for a process group.
    #[cfg(feature = "fleet")]
    pub(super) fn look_at(&self) {
        let before = std::mem::replace(&mut *self.phase.lock(), Phase::IsLookedAt(self.interrupt.clone()));
        if matches!(before, Phase::Waits(came) if !came.is_empty()) {
            self.interrupt.raise();
        }
    }

    /// From now on a signal raises the interrupt that this returns, and no other. The hold has been given up by then.
    #[cfg(feature = "fleet")]
    pub(super) fn look_again(&self) -> Interrupt {
        let again = Interrupt::new();
        *self.phase.lock() = Phase::IsLookedAt(again.clone());
        again
    }

    /// From now on signals are kept for the next process group, with those that are kept already. False if one came before, while the
    /// command could still give up: then no process group is to be started, and a second signal ends the giving up.
    #[must_use]
    pub(super) fn wait(&self) -> bool {
        let mut phase = self.phase.lock();
        match &*phase {
            Phase::GivesUp { raised: true, .. } => return false,
            Phase::Waits(_) => {}
            _ => *phase = Phase::Waits(Vec::new()),
        }
        true
    }

    pub(super) fn hand_on_to(&self, group: Pid) {
        let mut phase = self.phase.lock();
        let before = std::mem::replace(&mut *phase, Phase::IsHandedOn(group));
        if let Phase::Waits(came) = before {
            for number in came {
                send(group, number);
            }
        }
    }

    fn take(&self, number: i32) {
        match &mut *self.phase.lock() {
            Phase::Ends(saying) => {
                self.end(ExitCode::Interrupted.code(), saying.as_deref().unwrap_or("gateway-drain: interrupted"));
            }
            Phase::GivesUp { code, left, raised: true, .. } => self.end(*code, left),
            Phase::GivesUp { code, left, limit, raised } => {
                *raised = true;
                self.interrupt.raise();
                let Some(limit) = *limit else { return };
                let (signals, code, left) = (self.clone(), *code, left.clone());
                // Without a thread the next signal ends it.
                let _ = std::thread::Builder::new().spawn(move || {
                    Interrupt::new().pause(UNNOTICED);
                    if signals.interrupt.is_noticed() {
                        Interrupt::new().pause(limit.saturating_sub(UNNOTICED));
                    }
                    let phase = signals.phase.lock();
                    if matches!(&*phase, Phase::GivesUp { .. }) {
                        signals.end(code, &left);
                    }
                });
            }
            #[cfg(feature = "fleet")]
            Phase::IsLookedAt(interrupt) => interrupt.raise(),
            Phase::Waits(came) => came.push(number),
            Phase::IsHandedOn(group) => send(*group, number),
        }
    }

    fn end(&self, code: u8, left: &str) {
        self.report.say(left);
        self.report.interrupted(code);
        std::process::exit(code.into());
    }
}

fn send(group: Pid, number: i32) {
    // Real-time signals too, which rustix by itself has no names for.
    if let Some(signal) = Signal::from_raw(number) {
        // One that is gone already needs no signal.
        let _ = kill_process_group(group, signal);
    }
}

/// Which signals are ignored in the process whose `/proc/PID/status` this is; none where the system doesn't tell.
fn ignored(status: &str) -> impl Fn(i32) -> bool + use<> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    move |number| u32::try_from(number - 1).is_ok_and(|bit| mask.checked_shr(bit).unwrap_or_default() & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::arguments::Arguments;
    use clap::Parser as _;

    fn signals(phase: Phase) -> Signals {
        let report = Report::new(&Arguments::parse_from(["gateway-drain", "status"])).unwrap();
        Signals { interrupt: Interrupt::new(), phase: Arc::new(Mutex::new(phase)), report }
    }

    #[test]
    fn what_comes_while_a_command_is_started_is_kept_for_its_process_group() {
        let signals = signals(Phase::GivesUp { code: 0, left: String::new(), limit: None, raised: false });
        for came in [vec![15], vec![15, 15]] {
            assert!(signals.wait());
            signals.take(15);
            assert!(matches!(&*signals.phase.lock(), Phase::Waits(kept) if *kept == came), "what came is kept");
        }
        assert!(!signals.interrupt.is_raised());
    }

    #[test]
    fn what_has_come_before_a_command_is_started_leaves_no_command_to_wait_for() {
        let phase = Phase::GivesUp { code: 0, left: String::new(), limit: None, raised: true };
        let signals = signals(phase);
        assert!(!signals.wait());
        assert!(
            matches!(&*signals.phase.lock(), Phase::GivesUp { raised: true, .. }),
            "the next one ends the giving up"
        );
    }

    #[cfg(feature = "fleet")]
    #[test]
    fn what_comes_once_the_hold_is_given_up_ends_what_is_done_since_and_not_what_was_before() {
        let signals = signals(Phase::GivesUp { code: 0, left: String::new(), limit: None, raised: false });
        signals.take(15);
        let again = signals.look_again();
        assert!(signals.interrupt.is_raised() && !again.is_raised());
        signals.take(15);
        assert!(again.is_raised());
    }

    #[test]
    fn a_signal_is_ignored_by_its_bit_in_the_mask_that_the_system_shows() {
        // What `nohup` sets, SIGHUP, and SIGPIPE; and the last real-time signal.
        let is_ignored = ignored("Name:\tsleep\nSigBlk:\tffffffffffffffff\nSigIgn:\t8000000000001001\nSigCgt:\t0\n");
        let found: Vec<i32> = (-1..=70).filter(|number| is_ignored(*number)).collect();
        assert_eq!(found, [1, 13, 64]);
        for says_nothing in ["", "SigBlk:\tffffffffffffffff\n", "SigIgn:\twhat\n"] {
            assert!(!(1..=64).any(ignored(says_nothing)), "{says_nothing:?}");
        }
    }
}
