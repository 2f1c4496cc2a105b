//! The slots of a fleet: what `run` does with one, and `fleet status`, `fleet release` and `fleet set-slots`.

use super::arguments::{Arguments, Run, time};
use super::commands::Context;
use super::report::{self, Report};
use super::run::{Settled, Went};
use crate::client::{ExitCode, Failure, Interrupt, shown};
use crate::fleet::{Ended, Fleet, Group, Holder, Left, Released, Roll, Slot};
use crate::hold::RequestId;
use clap::{Args, Subcommand};
use core::num::NonZeroU32;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

/// A gateway's part in a fleet.
#[derive(Debug, Args)]
pub struct Share {
    /// Take a slot of a fleet first, and give it back once the gateway says that it runs and is ready.
    ///
    /// `http://` and `https://` name a server of the FleetLock protocol, `etcd://HOST[:PORT][,HOST...]` and `etcds://...`
    /// (over TLS) etcd itself, where the slots lie as Airlock keeps them. The gate is open while a slot is waited for, which
    /// --timeout limits too, for itself. If COMMAND fails, or the gateway isn't seen running again, it keeps its slot, and
    /// the fleet stops there until somebody comes back for the gateway or `fleet release` gives the slot back.
    #[arg(long, value_name = "URL", requires = "fleet_group", conflicts_with = "marker", help_heading = "Fleet")]
    pub fleet_lock: Option<String>,

    /// The fleet's group: letters, digits, dots and hyphens.
    #[arg(long, value_name = "GROUP", requires = "fleet_lock", help_heading = "Fleet")]
    pub fleet_group: Option<String>,

    /// The gateway's id in the fleet. It is the gateway's and not the controller's: a later controller that comes back for the gateway has its
    /// slot still. [default: the host's name and the home, or the URL]
    #[arg(long, value_name = "ID", requires = "fleet_lock", help_heading = "Fleet")]
    pub fleet_id: Option<String>,

    /// How long the gateway may take after COMMAND until it runs and is ready.
    #[arg(
        long,
        value_name = "TIME",
        value_parser = time,
        default_value = "10m",
        requires = "fleet_lock",
        help_heading = "Fleet"
    )]
    pub ready_within: Duration,
}

/// `fleet`.
#[derive(Debug, Args)]
pub struct FleetCommand {
    /// What keeps the slots: `etcd://HOST[:PORT][,HOST...]`, `etcds://...`, or the address of a FleetLock server.
    #[arg(long, value_name = "URL", global = true)]
    pub fleet_lock: Option<String>,

    /// The fleet's group.
    #[arg(long, value_name = "GROUP", global = true)]
    pub fleet_group: Option<String>,

    /// What to do with the slots.
    #[command(subcommand)]
    pub command: FleetSubcommand,
}

/// What to do with a fleet's slots.
#[derive(Debug, Subcommand)]
pub enum FleetSubcommand {
    /// Show who has a slot in each group, since when, and whether those gateways run that can be asked from here.
    ///
    /// Only etcd tells: the FleetLock protocol has no word for it. --fleet-group shows one group.
    #[command(after_long_help = "Example:
  gateway-drain fleet status --fleet-lock etcd://10.0.0.1:2379")]
    Status,

    /// Give the slot of a gateway back by hand.
    ///
    /// For one that runs again, or will never: look first. A controller that is still at work there loses its slot.
    #[command(after_long_help = "Example:
  gateway-drain fleet release gw-7:/var/lib/gateway/8080 --fleet-lock etcd://10.0.0.1:2379 --fleet-group web")]
    Release {
        /// The gateway's id, as `fleet status` shows it.
        id: String,
    },

    /// Set how many gateways of a group may be closed at once, and make the group if it is new (etcd only).
    ///
    /// A gateway that has a slot keeps it: after a lowering there may be more of them than slots, and nobody gets one until they are
    /// fewer.
    #[command(after_long_help = "Example:
  gateway-drain fleet set-slots web 2 --fleet-lock etcd://10.0.0.1:2379")]
    SetSlots {
        /// The group.
        group: String,
        /// How many slots, from 1 on.
        slots: NonZeroU32,
    },
}

impl Share {
    /// The fleet, if the gateway is rolled as part of one.
    pub(super) fn fleet(&self, patience: Duration) -> Result<Option<Fleet>, Failure> {
        match (&self.fleet_lock, &self.fleet_group) {
            (Some(url), Some(group)) => Ok(Some(Fleet::at(url, group)?.patience(patience))),
            _ => Ok(None),
        }
    }
}

impl Context<'_> {
    /// Waits for a slot with the gate open, and runs the command in it.
    pub(super) fn run_in_fleet(&self, fleet: &Fleet, id: &RequestId, run: &Run, program: &Path) -> Result<u8, Failure> {
        let report = self.report.clone();
        let roll = Roll::of(fleet, self.gateway.clone())
            .interrupt(self.signals.interrupt.clone())
            .ready_within(run.fleet.ready_within)
            .on_waiting(move |waiting| {
                let left = waiting.time_left.map(|left| format!(", deadline in {}", report::time(left)));
                let text = format!("waiting for a slot: {waiting}{}", left.unwrap_or_default());
                report.waiting(waiting.to_string(), &text);
            });
        let roll = run.timeout.into_iter().fold(roll, Roll::timeout);
        let roll = run.fleet.fleet_id.as_deref().map_or_else(|| Ok(roll.clone()), |id| roll.clone().id(id))?;
        let (gateway, line) = (shown(roll.gateway_id()), fleet.line(&["release", roll.gateway_id()]));
        let slot = format!("the slot of {gateway}, if it has been taken, stays taken\ngive it back:  {line}");
        let left = format!("{}\n{slot}", self.left(id));
        self.signals.give_up(ExitCode::Interrupted.under_run(), left);
        match roll.take() {
            Ok(slot) => self.run_by_hold(id, run, program, |went| self.settle(slot, &went)),
            Err(failure) => Ok(self.not_run(id, &failure, Settled { slot: json!("not_taken"), kept: None })),
        }
    }

    /// What a signal raises from now on: no hold is in hand any more, and the slot waits until the gateway runs.
    fn wait_for_the_gateway(&self, gateway: &str) -> Interrupt {
        let interrupt = self.signals.look_again();
        if self.signals.interrupt.is_raised() {
            self.report.say(&format!(
                "gateway-drain: waiting until {gateway} runs and is ready, to give its slot back; another signal leaves the slot taken"
            ));
        }
        interrupt
    }

    /// Gives the slot back, or leaves it, by how the run went.
    fn settle(&self, slot: Slot<'_>, went: &Went<'_>) -> Settled {
        let gateway = shown(slot.gateway_id());
        let ended = match went {
            Went::NotBegun(failure) => slot.not_begun_unless(failure, &self.wait_for_the_gateway(&gateway)),
            Went::NotActed => slot.not_acted_unless(&self.wait_for_the_gateway(&gateway)),
            Went::Acted(0, Ok(()) | Err(Failure::Unreachable(_))) => {
                // From here on a signal ends the waiting, and the slot stays.
                self.signals.look_at();
                slot.acted()
            }
            Went::Acted(0, Err(failure)) => Err(slot.keep(&failure.to_string())),
            Went::Acted(code, _) => Err(slot.keep(&format!("the command ended with {code}"))),
        };
        let (word, why) = match ended {
            Err(kept) => return Settled { slot: json!("kept"), kept: Some(kept) },
            Ok(Ended::GivenBack) => return Settled { slot: json!("given_back"), kept: None },
            Ok(Ended::Gone) => ("gone", "somebody has given it back by hand meanwhile".to_owned()),
            Ok(Ended::Left(left)) => ("left", in_words(&left)),
        };
        self.report.say(&format!("gateway-drain: the slot of {gateway}: {why}"));
        Settled { slot: json!(word), kept: None }
    }
}

/// Why a slot stays that isn't kept because of this run.
fn in_words(left: &Left) -> String {
    match left {
        Left::ToOthers(others) => {
            let machines: Vec<&str> = others.iter().map(|taker| taker.machine.as_str()).collect();
            format!(
                "left to {} other controllers of the same gateway, which give it back when they end (on {})",
                others.len(),
                shown(&machines.join(", "))
            )
        }
        Left::ToAnotherProgram => "left to the program that took it before, which gives it back".into(),
        Left::AsFound => "left as it was found, since the command was not run".into(),
        Left::Kept(why) => format!("it stays, as another controller of the gateway has said: {}", shown(why)),
    }
}

impl FleetCommand {
    pub(super) fn perform(&self, arguments: &Arguments, report: &Report) -> Result<u8, Failure> {
        let Some(url) = self.fleet_lock.as_deref() else {
            return Err(Failure::Usage("--fleet-lock URL says what keeps the slots".into()));
        };
        let at = |group: &str| Ok::<_, Failure>(Fleet::at(url, group)?.patience(arguments.patience));
        match &self.command {
            FleetSubcommand::Status => {
                // The group matters only where it is shown alone.
                let groups = at("default")?.groups(self.fleet_group.as_deref())?;
                let unreadable = groups.iter().any(|group| group.problem.is_some());
                let code = if unreadable { ExitCode::Fleet } else { ExitCode::Drained };
                let ending = if unreadable { code.as_str() } else { "done" };
                report.result(ending, code.code(), &table(&groups), json!({"groups": groups}))?;
                Ok(code.code())
            }
            FleetSubcommand::Release { id } => {
                let Some(group) = self.fleet_group.as_deref() else {
                    return Err(Failure::Usage("--fleet-group GROUP says whose slot it is".into()));
                };
                let (plain, found) = match at(group)?.release(id)? {
                    Released::Freed(holder) => {
                        (format!("the slot is free; it was taken by {}", one(&holder)), json!(holder))
                    }
                    Released::NotHeld => (format!("{} had no slot in the group {group}", shown(id)), Value::Null),
                    Released::Accepted => {
                        let plain = "the server accepted it; whether the id had a slot it doesn't say".to_owned();
                        (plain, json!("unknown"))
                    }
                };
                report.done(&plain, json!({"id": id, "group": group, "found": found}))?;
                Ok(ExitCode::Drained.code())
            }
            FleetSubcommand::SetSlots { group, slots } => {
                let changed = at(group)?.set_slots(*slots)?;
                let before = changed.before.map_or_else(|| "a new group".into(), |before| format!("{before} before"));
                let plain = format!("{group}: {slots} slots ({before}), {} taken", changed.taken);
                let fields =
                    json!({"group": group, "before": changed.before, "total_slots": slots, "taken": changed.taken});
                report.done(&plain, fields)?;
                Ok(ExitCode::Drained.code())
            }
        }
    }
}

fn table(groups: &[Group]) -> String {
    let mut text = String::new();
    for group in groups {
        // Writing to a string can't fail.
        let _ = match (group.total_slots, &group.problem) {
            (Some(total), _) => writeln!(text, "{}: {} of {total} slots taken", group.group, group.holders.len()),
            (None, why) => {
                let why = why.as_deref().unwrap_or_default();
                writeln!(text, "{}: what lies there is no semaphore: {}", group.group, shown(why))
            }
        };
        for holder in &group.holders {
            let _ = writeln!(text, "  {}", one(holder));
        }
    }
    if text.is_empty() { "no group has slots there".into() } else { text }
}

fn one(holder: &Holder) -> String {
    let since = holder
        .since
        .as_deref()
        .map_or_else(|| "since when is not known".into(), |since| format!("since {}", shown(since)));
    let runs = match (holder.running, &holder.detail) {
        (Some(true), _) => "runs".to_owned(),
        (Some(false), why) => format!("does not run: {}", shown(why.as_deref().unwrap_or_default())),
        (None, why) => shown(why.as_deref().unwrap_or("unknown whether it runs")),
    };
    let mut text = format!("{} {since}; {runs}", shown(&holder.id));
    if !holder.controllers.is_empty() {
        let _ = write!(text, "; used by {}", shown(&holder.controllers.join(", ")));
    }
    if let Some(kept) = &holder.kept {
        let _ = write!(text, "; kept: {}", shown(kept));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::Taker;

    fn holder() -> Holder {
        Holder {
            id: "gateway-1".into(),
            since: Some("2026-11-27T10:00:00Z".into()),
            controllers: vec!["host-1 17".into(), "host-2 4".into()],
            kept: Some("the command ended with 3".into()),
            running: Some(false),
            detail: Some("it drains".into()),
        }
    }

    #[test]
    fn a_holder_is_shown_with_its_time_its_gateway_its_controllers_and_why_the_slot_stays() {
        assert_eq!(
            one(&holder()),
            "gateway-1 since 2026-11-27T10:00:00Z; does not run: it drains; used by host-1 17, host-2 4; kept: the command ended with 3"
        );
        let plain = Holder { since: None, controllers: Vec::new(), kept: None, running: Some(true), ..holder() };
        assert_eq!(one(&plain), "gateway-1 since when is not known; runs");
        let unknown = Holder { running: None, detail: None, ..plain };
        assert_eq!(one(&unknown), "gateway-1 since when is not known; unknown whether it runs");
    }

    #[test]
    fn the_groups_are_shown_with_their_holders_and_what_is_no_semaphore_with_its_reason() {
        let plain = Holder { since: None, controllers: Vec::new(), kept: None, running: Some(true), ..holder() };
        let web = Group { group: "web".into(), total_slots: Some(2), holders: vec![plain], problem: None };
        let other =
            Group { group: "other".into(), total_slots: None, holders: vec![], problem: Some("no JSON".into()) };
        assert_eq!(
            table(&[web, other]),
            "web: 1 of 2 slots taken\n  gateway-1 since when is not known; runs\nother: what lies there is no semaphore: no JSON\n"
        );
        assert_eq!(table(&[]), "no group has slots there");
    }

    #[test]
    fn of_a_slot_that_stays_is_said_to_whom_it_is_left() {
        let on = |machine: &str| Taker { machine: machine.into(), ..Taker::default() };
        let said = in_words(&Left::ToOthers(vec![on("host-1"), on("host-2")]));
        assert!(said.starts_with("left to 2 other controllers") && said.ends_with("(on host-1, host-2)"), "{said}");
        assert!(in_words(&Left::Kept("it failed".into())).ends_with("it failed"));
        assert!(in_words(&Left::ToAnotherProgram).contains("the program that took it before"));
        assert!(in_words(&Left::AsFound).contains("as it was found"));
    }
}
