//! What each command does: the client's steps, in the order that the command promises.

use super::arguments::{Arguments, Begin, Cancel, CliCommand, Commit, Hold, Override, Renew, Secret, Wait, command};
use super::person::{new_secret, secret, user};
use super::report::Report;
use super::signals::Signals;
use super::status_text::in_words;
use crate::client::{CameToNothing, Drain, ExitCode, Failure, Gateway, MarkerDrain, SeenDrained, quoted};
use crate::control::Home;
use crate::hold::{Incarnation, RequestId};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// What the commands have in common: the gateway, the owner, how to talk and how to be stopped.
pub(super) struct Context<'a> {
    pub(super) gateway: Gateway,
    owner: String,
    pub(super) patience: Duration,
    pub(super) report: &'a Report,
    pub(super) signals: Signals,
}

pub(super) fn perform(arguments: &Arguments, report: &Report) -> Result<u8, Failure> {
    let context = || Context::new(arguments, report);
    match &arguments.command {
        CliCommand::Run(_) if arguments.json => {
            return Err(Failure::Usage("stdout is COMMAND's: give --json-file FILE or --json-fd N, not --json".into()));
        }
        CliCommand::Run(run) => return context()?.run(run),
        CliCommand::Begin(begin) if begin.marker => context()?.begin_marker(begin)?,
        CliCommand::Begin(begin) => context()?.begin(begin)?,
        CliCommand::Wait(wait) => return context()?.wait(wait),
        CliCommand::Commit(commit) => context()?.commit(commit)?,
        CliCommand::Cancel(cancel) => context()?.cancel(cancel)?,
        CliCommand::Override(hold) => context()?.override_hold(hold)?,
        CliCommand::Renew(renew) => context()?.renew(renew)?,
        CliCommand::Status => return context()?.status(),
        CliCommand::CheckTrace(check) => return check.perform(report),
        CliCommand::Probe(probe) => return probe.perform(arguments, secret(arguments)?, report),
        #[cfg(feature = "fleet")]
        CliCommand::Fleet(fleet) => return fleet.perform(arguments, report),
        CliCommand::Secret(Secret::New) => {
            let secret = new_secret()?;
            report.key("done", &secret, json!({"secret": secret}))?;
        }
        CliCommand::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut command(), "gateway-drain", &mut script);
            report.done(&String::from_utf8_lossy(&script), json!({}))?;
        }
        CliCommand::Man { dir: Some(dir) } => pages(dir)?,
        CliCommand::Man { dir: None } => {
            let mut page = Vec::new();
            let rendered = clap_mangen::Man::new(command()).render(&mut page);
            rendered.map_err(|error| Failure::Internal(error.to_string()))?;
            report.done(&String::from_utf8_lossy(&page), json!({}))?;
        }
    }
    Ok(ExitCode::Drained.code())
}

impl<'a> Context<'a> {
    fn new(arguments: &Arguments, report: &'a Report) -> Result<Self, Failure> {
        if arguments.home.is_some() && arguments.url.is_some() {
            return Err(Failure::Usage("give --home or --url, not both".into()));
        }
        let mut gateway = if let Some(url) = &arguments.url {
            Gateway::over_http(url, secret(arguments)?)?
        } else {
            let home = Home::resolve(arguments.home.clone());
            Gateway::at(home.map_err(|error| Failure::Usage(error.to_string()))?)
        };
        let signals = Signals::listen(report).map_err(|error| Failure::Internal(error.to_string()))?;
        gateway.be_patient_for(arguments.patience);
        gateway.be_interrupted_by(signals.interrupt.clone());
        let owner = match arguments.owner.clone() {
            Some(owner) if owner.is_empty() => {
                return Err(Failure::Usage("--owner is empty, and a hold has to belong to somebody".into()));
            }
            owner => owner.unwrap_or_else(user),
        };
        Ok(Self { gateway, owner, patience: arguments.patience, report, signals })
    }

    pub(super) fn drain(&self, id: Option<&RequestId>) -> Drain {
        let report = self.report.clone();
        let drain = Drain::of(self.gateway.clone(), self.owner.clone())
            .patience(self.patience)
            .interrupt(self.signals.interrupt.clone())
            .on_progress(move |progress| report.progress(progress));
        id.cloned().into_iter().fold(drain, Drain::id)
    }

    pub(super) fn marker(&self, hold: Option<&Hold>) -> MarkerDrain {
        let drain = MarkerDrain::of(self.gateway.clone(), self.owner.clone())
            .patience(self.patience)
            .interrupt(self.signals.interrupt.clone());
        hold.into_iter()
            .fold(drain, |drain, hold| drain.notes(hold.notes()).suppress_notification(hold.suppress_notification))
    }

    pub(super) fn new_hold(&self, id: Option<&RequestId>, hold: &Hold, lease: Duration, attach: bool) -> Drain {
        let drain = hold.apply(self.drain(id)).lease(lease);
        let drain = if attach { drain.or_attach() } else { drain };
        for clamped in drain.clamped() {
            self.report.say(&format!("gateway-drain: {clamped}"));
        }
        drain
    }

    /// This command with these words, for this gateway and owner: a line to copy.
    pub(super) fn line(&self, words: &[&str]) -> String {
        let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
        let owner = quoted(&self.owner);
        format!("gateway-drain {} --owner {owner} {}", self.gateway.as_arguments(), words.join(" "))
    }

    /// What to do about a hold that stays when this command is stopped.
    fn detached(&self, id: &RequestId) -> String {
        format!(
            "detached; the hold {id}, if it has been begun, stays until its lease runs out\n\
             attach again:  {}\n\
             give it up:    {}",
            self.line(&["wait", id.as_str()]),
            self.line(&["cancel", id.as_str()])
        )
    }

    /// The process that is named: `current` is the one that lives there now.
    fn process(&self, named: Option<&str>) -> Result<Option<Incarnation>, Failure> {
        match named {
            Some("current") => self.gateway.incarnation().map(Some),
            Some("") => Err(Failure::Usage("--incarnation is empty, and names no process".into())),
            named => Ok(named.map(|name| Incarnation::from(name.to_owned()))),
        }
    }

    fn begin(&self, begin: &Begin) -> Result<(), Failure> {
        let drain = self.new_hold(begin.id.as_ref(), &begin.hold, begin.lease, begin.attach);
        self.signals.end_at_once(self.detached(drain.request_id()));
        self.report.about(json!({"request_id": drain.request_id()}));
        let drain = match self.process(begin.incarnation.as_deref())? {
            Some(incarnation) => drain.bound_to(incarnation.clone()).only_for(incarnation),
            None => drain,
        };
        let held = match drain.begin_and_tell() {
            Ok(held) => held,
            Err(CameToNothing { failure, given_up, .. }) => {
                if given_up.is_err() {
                    self.report.say(&self.detached(drain.request_id()));
                }
                return Err(failure);
            }
        };
        let fields = json!({"request_id": held.request_id(), "incarnation": held.incarnation()});
        // A name that nobody is told would hold the gate closed for its lease: dropped, the hold is given up.
        self.report.key("done", held.request_id().as_str(), fields)?;
        held.detach();
        Ok(())
    }

    fn begin_marker(&self, begin: &Begin) -> Result<(), Failure> {
        self.signals.give_up(ExitCode::Interrupted.code(), self.left_of_the_marker());
        self.report.about(json!({"request_id": "marker", "incarnation": null}));
        self.marker(Some(&begin.hold)).begin_or_remove().map_err(|nothing| {
            self.given_up(&RequestId::marker(), nothing.given_up);
            nothing.failure
        })?;
        self.report.done("marker", json!({"request_id": "marker", "incarnation": null}))
    }

    /// What may lie there where an interruption ends this process before the marker is removed.
    pub(super) fn left_of_the_marker(&self) -> String {
        let remove = self.line(&["cancel", "--marker"]);
        format!("gateway-drain: interrupted; whether the marker lies there is not known\nremove it:  {remove}")
    }

    fn wait(&self, wait: &Wait) -> Result<u8, Failure> {
        self.signals.end_at_once(self.detached(&wait.id));
        self.report.about(json!({"request_id": wait.id}));
        let drain = self.drain(Some(&wait.id));
        let drain = wait.timeout.into_iter().fold(drain, Drain::timeout);
        let drain = self.process(wait.incarnation.as_deref())?.into_iter().fold(drain, Drain::only_for);
        let held = drain.attach()?;
        match held.wait() {
            Ok(seen) => {
                self.report.drained(&format!("{}: drained", wait.id), drained(&wait.id, &seen))?;
                Ok(ExitCode::Drained.code())
            }
            Err(failure) => {
                let code = ExitCode::from(&failure).code();
                Ok(self.report.failure(&failure, code, json!({"request_id": wait.id})))
            }
        }
    }

    fn commit(&self, commit: &Commit) -> Result<(), Failure> {
        let cancel = self.line(&["cancel", commit.id.as_str()]);
        self.signals.end_at_once(format!(
            "interrupted; whether the commit of {} was granted is not known here\nopen the gate:  {cancel}",
            commit.id
        ));
        self.report.about(json!({"request_id": commit.id}));
        let drain = self.drain(Some(&commit.id));
        let drain = self.process(commit.incarnation.as_deref())?.into_iter().fold(drain, Drain::only_for);
        let held = drain.attach()?;
        let seen = held.drained_now()?;
        let doubt = || format!("whether the commit was granted is not known; this opens the gate: {cancel}");
        let committed = match held.commit_or_give_up(&seen) {
            Ok(committed) => committed,
            Err(CameToNothing { failure: Failure::Unreachable(why), given_up: Err(_), .. }) => {
                return Err(Failure::Unreachable(format!("{why}; {}", doubt())));
            }
            Err(CameToNothing { failure, given_up, .. }) => {
                if given_up.is_err() {
                    self.report.say(&format!("gateway-drain: {}", doubt()));
                }
                return Err(failure);
            }
        };
        let mut fields = drained(&commit.id, &seen);
        fields["token"] = json!(committed.token());
        match self.report.key(ExitCode::Drained.as_str(), committed.token().as_str(), fields) {
            Ok(()) => _ = committed.detach(),
            // Nobody was told the token: the commit is given back.
            Err(unwritten) => {
                let withdrawn = committed.withdraw();
                self.still_closed(&commit.id, withdrawn);
                return Err(unwritten);
            }
        }
        Ok(())
    }

    /// Tells of a withdrawal that failed, and of the line that does it.
    pub(super) fn still_closed(&self, id: &RequestId, withdrawn: Result<(), Failure>) {
        if let Err(failure) = withdrawn {
            self.report.say(&format!(
                "gateway-drain: the hold {id} could not be given up: {failure}\n\
                 gateway-drain: the gate may still be closed by it; this opens it: {}",
                self.line(&["cancel", id.as_str()])
            ));
        }
    }

    fn cancel(&self, cancel: &Cancel) -> Result<(), Failure> {
        let about = cancel.id.clone().unwrap_or_else(RequestId::marker);
        self.report.about(json!({"request_id": about}));
        if let Some(id) = &cancel.id {
            self.drain(Some(id)).withdraw(cancel.token())?;
            return self.report.done("", json!({"request_id": id}));
        }
        self.marker(None).cancel()?;
        self.report.done("", json!({"request_id": "marker"}))
    }

    fn override_hold(&self, hold: &Override) -> Result<(), Failure> {
        self.report.about(json!({"request_id": hold.id}));
        self.drain(Some(&hold.id)).override_hold()?;
        self.report.done("", json!({"request_id": hold.id}))
    }

    fn renew(&self, renew: &Renew) -> Result<(), Failure> {
        self.report.about(json!({"request_id": renew.id}));
        let drain = self.drain(Some(&renew.id));
        let drain = renew.lease.into_iter().fold(drain, Drain::lease);
        for clamped in drain.clamped() {
            self.report.say(&format!("gateway-drain: {clamped}"));
        }
        drain.attach()?.detach();
        self.report.done("", json!({"request_id": renew.id}))
    }

    fn status(&self) -> Result<u8, Failure> {
        let status = self.gateway.status()?;
        if let Some(why) = status.silence() {
            let silent = Failure::Unreachable(format!("{why} ({})", self.gateway.as_arguments()));
            return Ok(self.report.failure(&silent, ExitCode::Unreachable.code(), status.to_json()));
        }
        let told = self.report.done(&in_words(&status), status.to_json());
        told.map(|()| ExitCode::Drained.code())
    }
}

fn drained(id: &RequestId, seen: &SeenDrained) -> Value {
    json!({"request_id": id, "incarnation": seen.incarnation, "generation": seen.generation})
}

/// Writes the manual's pages, one for each command.
fn pages(dir: &Path) -> Result<(), Failure> {
    let written = std::fs::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(command(), dir));
    written.map_err(|error| Failure::Usage(format!("the manual can't be written: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drained_gateway_is_told_of_with_its_process_and_its_drain() {
        let (incarnation, generation) = ("ours".to_owned().into(), crate::gate::Generation(7));
        let told = drained(&RequestId::new("upgrade").unwrap(), &SeenDrained { incarnation, generation });
        assert_eq!(told, json!({"request_id": "upgrade", "incarnation": "ours", "generation": 7}));
    }
}
