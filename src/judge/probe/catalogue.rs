//! Which properties the probe can see something of: what it tries, and what that needs.
//!
//! `checks` says by it what is unseen and why, and `docs/probe.md` shows it.

use super::Options;
use crate::properties::PropertyId::{
    self, C1, C3, C4, C5, C6, E1, G1, G2, G3, G4, G6, H1, H2, H3, H4, L1, L2, S2, S3, S6,
};
use core::fmt;

/// What it takes to see something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The gateway's files, on this machine.
    Home,
    /// A way to start a turn.
    TurnUrl,
    /// A way to have the gateway die and start again.
    RestartCommand,
    /// A way to have the gateway shut down.
    StopCommand,
    /// A gateway that tells of itself what this crate's does.
    DrainObject,
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Home => "`--home`",
            Self::TurnUrl => "`--turn-url`",
            Self::RestartCommand => "`--restart-cmd`",
            Self::StopCommand => "`--stop-cmd`",
            Self::DrainObject => "a `drain` object in the status",
        })
    }
}

/// What is tried for one property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trial {
    /// Which.
    pub property: PropertyId,
    /// All of these.
    pub needs: &'static [Need],
    /// What is done, and what is looked at.
    pub tried: &'static str,
}

const fn trial(property: PropertyId, needs: &'static [Need], tried: &'static str) -> Trial {
    Trial { property, needs, tried }
}

use Need::{DrainObject, Home, RestartCommand, StopCommand, TurnUrl};

/// All that the probe tries, in the order of the properties.
pub const TRIALS: [Trial; 20] = [
    trial(S2, &[], "begun twice, cancelled once: the status says draining throughout, then running"),
    trial(
        S3,
        &[StopCommand],
        "shut down under a drain whose request is then cancelled: the status never says running again",
    ),
    trial(
        S6,
        &[],
        "a drain is begun and cancelled: the status does not say running while turns are refused, neither in it nor after",
    ),
    trial(G1, &[TurnUrl], "a turn is asked for once the status says draining: it is refused"),
    trial(G2, &[TurnUrl], "a drain is begun around a turn: `active_agents` never rises"),
    trial(
        G3,
        &[TurnUrl],
        "the same: not drained, nor 0 in flight, while the turn's answer still streams; then it stays drained, and refuses another turn",
    ),
    trial(G4, &[DrainObject], "twenty drains in a row: `generation` has risen"),
    trial(
        G6,
        &[],
        "in every status that was read `active_agents` is not negative, nor an unsigned number that has gone below 0 (2^63 and more)",
    ),
    trial(H1, &[], "a drain is begun, also after twenty in a row: the status says draining"),
    trial(H2, &[Home, DrainObject], "two holds, and each of them ends first once: the other keeps it draining"),
    trial(
        H3,
        &[Home, DrainObject],
        "a short lease, renewed at half of it: it ends after the last renewal, and not before",
    ),
    trial(
        H4,
        &[Home, DrainObject],
        "a committed hold: it outlasts the loss of its file, another's cancel and a wrong token",
    ),
    trial(C1, &[Home], "every status that was read is whole JSON"),
    trial(C3, &[Home], "a marker of another epoch: the gate stays open, and the status says that it is ignored"),
    trial(C4, &[Home], "eight kinds of unsound markers: each closes the gate for as long as it lies there"),
    trial(
        C5,
        &[Home, RestartCommand],
        "restarted under a marker: the new process says draining first, and refuses a turn",
    ),
    trial(
        C6,
        &[Home, DrainObject],
        "the status acknowledges the nonce of each write, and refuses a commit meant for another incarnation",
    ),
    trial(
        E1,
        &[Home, RestartCommand, DrainObject],
        "killed and started again under a committed hold whose file is gone: it stays drained",
    ),
    trial(L1, &[StopCommand], "the same: in the end the status says stopped"),
    trial(L2, &[], "cancelled, also after twenty drains in a row: the status says running, and goes on saying so"),
];

impl Trial {
    /// Why nothing could be seen of it in a gateway that drains.
    pub(super) fn unseen(&self, options: &Options) -> &'static str {
        let given = |need: &&Need| match need {
            Home => options.home.is_some(),
            TurnUrl => options.turn.is_some(),
            RestartCommand => options.restart.is_some(),
            StopCommand => options.stop.is_some(),
            DrainObject => false,
        };
        match self.needs.iter().find(|need| !given(need)) {
            Some(Home) => "no --home",
            Some(TurnUrl) => "no --turn-url",
            Some(RestartCommand) => "no --restart-cmd",
            Some(StopCommand) => "no --stop-cmd",
            Some(DrainObject) => "the gateway knows the marker and no other hold, without a lease",
            None => "it was not tried",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(turns: bool, commands: bool) -> Options {
        let command = commands.then(|| "true".to_owned());
        let turn = turns.then(|| ("http://localhost/turns".to_owned(), String::new()));
        Options { turn, restart: command.clone(), stop: command, ..Options::default() }
    }

    #[test]
    fn what_was_not_given_is_the_reason_for_what_is_unseen() {
        let given = |options: &Options| TRIALS.map(|trial| trial.unseen(options));
        let home = |options| Options { home: Some("/home".into()), ..options };
        let count = |options: Options, why: &str| given(&options).iter().filter(|said| **said == why).count();
        let knows = "the gateway knows the marker and no other hold, without a lease";
        let none = || options(false, false);
        assert_eq!(
            (count(none(), "no --home"), count(none(), "no --turn-url"), count(none(), "no --stop-cmd")),
            (9, 3, 2)
        );
        assert_eq!((count(home(none()), "no --restart-cmd"), count(home(none()), "no --home")), (2, 0));
        assert_eq!(
            (count(home(options(true, true)), knows), count(home(options(true, true)), "it was not tried")),
            (6, 14)
        );
        assert_eq!(
            (count(home(options(true, false)), "no --stop-cmd"), count(home(options(true, true)), "no --stop-cmd")),
            (2, 0)
        );
    }
}
