//! What each signal is to a process that means to end in order: the one list, for gateways and for the command line.

use nix::sys::signal::Signal;

/// What a signal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A request to end.
    Request,
    /// It ends the process by default, and comes again and again of itself.
    Repeats,
    /// The write that caused it tells its error.
    Unheard,
    /// The system reports a fault by it, and people send it too; it can be caught.
    Fault,
    /// It ends no process, can't be caught, or is of a fault after which nothing can go on.
    Left,
}

impl Kind {
    pub(crate) fn of(signal: Signal) -> Self {
        // By name, since each system has signals that others don't have.
        match signal.as_str() {
            "SIGALRM" | "SIGVTALRM" | "SIGPROF" | "SIGXCPU" | "SIGIO" => Self::Repeats,
            "SIGPIPE" | "SIGXFSZ" => Self::Unheard,
            "SIGABRT" | "SIGSYS" | "SIGTRAP" => Self::Fault,
            "SIGCHLD" | "SIGCONT" | "SIGINFO" | "SIGSTOP" | "SIGTSTP" | "SIGTTIN" | "SIGTTOU" | "SIGURG"
            | "SIGWINCH" | "SIGBUS" | "SIGEMT" | "SIGFPE" | "SIGILL" | "SIGKILL" | "SIGSEGV" => Self::Left,
            _ => Self::Request,
        }
    }
}

/// The numbers of the signals of these kinds that have a name.
pub(crate) fn named(wanted: impl Fn(Kind) -> bool) -> impl Iterator<Item = i32> {
    Signal::iterator().filter(move |signal| wanted(Kind::of(*signal))).map(|signal| signal as i32)
}

/// The real-time signals, which have numbers and no names, and are requests to end.
pub(crate) fn real_time() -> impl Iterator<Item = i32> {
    #[cfg(target_os = "linux")]
    return nix::libc::SIGRTMIN()..=nix::libc::SIGRTMAX();
    #[cfg(not(target_os = "linux"))]
    return core::iter::empty();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_of_the_kind_of_what_sends_it() {
        for (signal, kind) in [
            (Signal::SIGTERM, Kind::Request),
            (Signal::SIGUSR1, Kind::Request),
            (Signal::SIGALRM, Kind::Repeats),
            (Signal::SIGPIPE, Kind::Unheard),
            (Signal::SIGABRT, Kind::Fault),
            (Signal::SIGSYS, Kind::Fault),
            (Signal::SIGTRAP, Kind::Fault),
            (Signal::SIGSEGV, Kind::Left),
            (Signal::SIGCHLD, Kind::Left),
            (Signal::SIGKILL, Kind::Left),
        ] {
            assert!(Kind::of(signal) == kind, "{signal}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_real_time_signals_are_all_that_the_c_library_leaves_to_programs() {
        let (first, last) = (nix::libc::SIGRTMIN(), nix::libc::SIGRTMAX());
        let listed: Vec<i32> = real_time().collect();
        assert_eq!((listed.first(), listed.last()), (Some(&first), Some(&last)));
        assert!(listed.iter().zip(first..).all(|(listed, number)| *listed == number), "{listed:?}");
    }
}
