//! What each command does: the client's steps, in the order that the command promises.

use super::arguments::{Arguments, Begin, Cancel, Commit, Hold, Override, Renew, Run, Secret, Verb, Wait, command};
use super::child::{Receiver, exit_code};
use super::report::Report;
use crate::client::{Drain, ExitCode, Failure, Gateway, SeenDrained, Status};
use crate::control::Home;
use crate::hold::RequestId;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::time::Duration;

/// What the commands have in common: the gateway, the owner, how to talk and how to be stopped.
struct Context<'a> {
    gateway: Gateway,
    owner: String,
    patience: Duration,
    report: &'a Report,
    signals: Receiver,
}

pub(super) fn perform(arguments: &Arguments, report: &Report) -> Result<u8, Failure> {
    let context = || Context::new(arguments, report);
    match &arguments.verb {
        Verb::Run(run) => return context()?.run(run),
        Verb::Begin(begin) => context()?.begin(begin)?,
        Verb::Wait(wait) => return context()?.wait(wait),
        Verb::Commit(commit) => context()?.commit(commit)?,
        Verb::Cancel(cancel) => context()?.cancel(cancel)?,
        Verb::Override(hold) => context()?.override_hold(hold)?,
        Verb::Renew(renew) => context()?.renew(renew)?,
        Verb::Status => return context()?.status(),
        Verb::CheckTrace(check) => return Ok(check.perform(arguments.json)),
        Verb::Probe(probe) => return probe.perform(arguments, secret()?),
        Verb::Secret(Secret::New) => {
            let secret = new_secret()?;
            report.result(&secret, json!({"secret": secret}));
        }
        Verb::Completions { shell } => {
            clap_complete::generate(*shell, &mut command(), "gateway-drain", &mut io::stdout());
        }
        Verb::Man { dir } => man(dir.as_deref())?,
    }
    Ok(ExitCode::Drained.code())
}

impl<'a> Context<'a> {
    fn new(arguments: &Arguments, report: &'a Report) -> Result<Self, Failure> {
        if arguments.home.is_some() && arguments.url.is_some() {
            return Err(Failure::Usage("give --home or --url, not both".into()));
        }
        let gateway = if let Some(url) = &arguments.url {
            Gateway::over_http(url, secret()?)?
        } else {
            let home = Home::resolve(arguments.home.clone());
            Gateway::at(home.map_err(|error| Failure::Usage(error.to_string()))?)
        };
        let signals = Receiver::listen().map_err(|error| Failure::Internal(error.to_string()))?;
        let owner = arguments.owner.clone().or_else(user).unwrap_or_else(|| "gateway-drain".into());
        Ok(Self { gateway, owner, patience: arguments.patience, report, signals })
    }

    fn drain(&self, id: Option<&RequestId>) -> Drain {
        let report = self.report.clone();
        let drain = Drain::of(self.gateway.clone(), self.owner.clone())
            .patience(self.patience)
            .interrupt(self.signals.interrupt.clone())
            .on_progress(move |progress| report.progress(progress));
        id.cloned().into_iter().fold(drain, Drain::id)
    }

    fn new_hold(&self, id: Option<&RequestId>, hold: &Hold, lease: Duration) -> Drain {
        hold.apply(self.drain(id)).lease(lease)
    }

    fn begin(&self, begin: &Begin) -> Result<(), Failure> {
        let drain = self.new_hold(begin.id.as_ref(), &begin.hold, begin.lease);
        let held = self.attachable(drain.request_id(), drain.begin())?;
        let (id, incarnation) = (held.request_id().clone(), held.incarnation());
        held.detach();
        self.report.result(id.as_str(), json!({"request_id": id, "incarnation": incarnation}));
        Ok(())
    }

    fn wait(&self, wait: &Wait) -> Result<u8, Failure> {
        let drain = self.drain(Some(&wait.id));
        let drain = wait.timeout.into_iter().fold(drain, Drain::timeout);
        let drain = wait.only_for().into_iter().fold(drain, Drain::only_for);
        let held = self.attachable(&wait.id, drain.attach())?;
        let waited = held.wait();
        held.detach();
        match self.attachable(&wait.id, waited) {
            Ok(seen) => {
                self.report.result(&format!("{}: drained", wait.id), drained(&wait.id, &seen));
                Ok(ExitCode::Drained.code())
            }
            Err(failure) => Ok(self.report.failure_with(&failure, json!({"request_id": wait.id})).code()),
        }
    }

    /// Whoever is interrupted is told how to attach again: the hold is still there.
    fn attachable<T>(&self, id: &RequestId, step: Result<T, Failure>) -> Result<T, Failure> {
        if matches!(step, Err(Failure::Interrupted)) {
            let place = self.gateway.as_arguments();
            let owner = format!("--owner {}", self.owner);
            self.report.say(&format!(
                "detached; the hold {id} stays until its lease runs out\n\
                 attach again:  gateway-drain {place} {owner} wait {id}\n\
                 give it up:    gateway-drain {place} {owner} cancel {id}"
            ));
        }
        step
    }

    fn commit(&self, commit: &Commit) -> Result<(), Failure> {
        let drain = self.drain(Some(&commit.id));
        let drain = commit.only_for().into_iter().fold(drain, Drain::only_for);
        let held = drain.attach()?;
        let seen = match held.drained_now() {
            Ok(seen) => seen,
            Err(failure) => {
                held.detach();
                return Err(failure);
            }
        };
        let token = held.commit(&seen)?.detach();
        let mut fields = drained(&commit.id, &seen);
        fields["token"] = json!(token);
        self.report.result(token.as_str(), fields);
        Ok(())
    }

    fn cancel(&self, cancel: &Cancel) -> Result<(), Failure> {
        self.drain(Some(&cancel.id)).withdraw(cancel.token())?;
        self.report.result("", json!({"request_id": cancel.id}));
        Ok(())
    }

    fn override_hold(&self, hold: &Override) -> Result<(), Failure> {
        self.drain(Some(&hold.id)).override_hold()?;
        self.report.result("", json!({"request_id": hold.id}));
        Ok(())
    }

    fn renew(&self, renew: &Renew) -> Result<(), Failure> {
        let drain = self.drain(Some(&renew.id));
        let held = renew.lease.into_iter().fold(drain, Drain::lease).attach()?;
        held.detach();
        self.report.result("", json!({"request_id": renew.id}));
        Ok(())
    }

    fn status(&self) -> Result<u8, Failure> {
        let status = self.gateway.status()?;
        if !status.readout.gateway_running {
            let nobody = Failure::Unreachable("no gateway process lives there".into());
            return Ok(self.report.failure_with(&nobody, json!(status)).code());
        }
        self.report.result(&in_words(&status), json!(status));
        Ok(ExitCode::Drained.code())
    }

    fn run(&self, run: &Run) -> Result<u8, Failure> {
        let drain = self.new_hold(run.id.as_ref(), &run.hold, run.lease);
        let drain = run.timeout.into_iter().fold(drain, Drain::timeout);
        let id = drain.request_id().clone();
        let not_run = |failure: &Failure| {
            let fields = json!({"request_id": id, "command_exit": null});
            Ok(self.report.failure_with(failure, fields).code())
        };
        let held = match drain.begin() {
            Ok(held) => held,
            Err(failure) => {
                if failure == Failure::Interrupted {
                    self.given_up(&id, drain.withdraw(None));
                }
                return not_run(&failure);
            }
        };
        match held.wait() {
            Ok(seen) => match held.commit(&seen) {
                Ok(committed) => Ok(self.act(&id, run, false, || committed.withdraw())),
                Err(failure) => not_run(&failure),
            },
            Err(deadline @ Failure::Deadline { .. }) if run.force => {
                self.report.say(&format!("{id}: {deadline}; going ahead all the same (--force)"));
                Ok(self.act(&id, run, true, || held.withdraw()))
            }
            Err(failure) => {
                self.given_up(&id, held.withdraw());
                not_run(&failure)
            }
        }
    }

    /// Runs the command, gives up the hold, and says which of the two decides the exit code.
    fn act(&self, id: &RequestId, run: &Run, forced: bool, withdraw: impl FnOnce() -> Result<(), Failure>) -> u8 {
        self.report.clear();
        let variables =
            [("GATEWAY_DRAIN_REQUEST_ID", id.to_string()), ("GATEWAY_DRAIN_FORCED", u8::from(forced).to_string())];
        let ended = self.signals.run(&run.command, variables);
        if let Err(error) = &ended {
            let program = run.command.first().map(|program| program.to_string_lossy()).unwrap_or_default();
            self.report.say(&format!("gateway-drain: {program} can't be run: {error}"));
        }
        let own = exit_code(&ended);
        let withdrawn = withdraw();
        let fields = json!({"request_id": id, "command_exit": own, "forced": forced});
        match withdrawn {
            Err(failure) if own == 0 && self.someone_lives() => self.report.failure_with(&failure, fields).code(),
            withdrawn => {
                self.given_up(id, withdrawn);
                self.report.result("", fields);
                own
            }
        }
    }

    /// Whether a gateway is there to reopen. The command may have ended it, and that is no failure.
    fn someone_lives(&self) -> bool {
        self.gateway.status().is_ok_and(|status| status.readout.gateway_running)
    }

    fn given_up(&self, id: &RequestId, withdrawn: Result<(), Failure>) {
        if let Err(failure) = withdrawn {
            self.report.say(&format!("gateway-drain: the hold {id} could not be given up: {failure}"));
        }
    }
}

fn drained(id: &RequestId, seen: &SeenDrained) -> Value {
    json!({"request_id": id, "incarnation": seen.incarnation, "generation": seen.generation})
}

fn secret() -> Result<Option<String>, Failure> {
    match std::env::var(Gateway::SECRET_VARIABLE) {
        Ok(secret) if secret.is_empty() => Ok(None),
        Ok(secret) => Ok(Some(secret)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(_) => Err(Failure::Usage(format!("{} is not valid text", Gateway::SECRET_VARIABLE))),
    }
}

fn user() -> Option<String> {
    ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok()).filter(|name| !name.is_empty())
}

/// 64 random characters of a 64-letter alphabet: 384 bits, with no character that a header or a shell minds.
fn new_secret() -> Result<String, Failure> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const DISTINCT: usize = 16;
    loop {
        let mut bytes = [0; 64];
        getrandom::fill(&mut bytes).map_err(|error| Failure::Internal(format!("no random source: {error}")))?;
        let letter = |byte: &u8| char::from(ALPHABET[usize::from(byte % 64)]);
        let secret: String = bytes.iter().map(letter).collect();
        // What the endpoint asks for; one in a great many falls short by chance.
        if secret.bytes().collect::<BTreeSet<_>>().len() >= DISTINCT {
            return Ok(secret);
        }
    }
}

fn man(dir: Option<&Path>) -> Result<(), Failure> {
    let written = match dir {
        Some(dir) => std::fs::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(command(), dir)),
        None => clap_mangen::Man::new(command()).render(&mut io::stdout()),
    };
    written.map_err(|error| Failure::Usage(format!("the manual can't be written: {error}")))
}

/// A status for people.
fn in_words(status: &Status) -> String {
    let field = |name: &str| status.drain.as_ref().and_then(|drain| drain.get(name)).cloned().unwrap_or_default();
    let text = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let mut lines = vec![format!(
        "{}, {} in flight{}{}",
        field("state").as_str().unwrap_or("unknown"),
        status.readout.active_agents,
        if field("drained") == true { ", drained" } else { "" },
        if field("stalled") == true { ", stalled" } else { "" },
    )];
    for hold in field("holds").as_array().into_iter().flatten() {
        let standing = match (hold["committed"] == true, hold["lease_left_seconds"].as_f64()) {
            (true, _) => "committed".to_owned(),
            (false, left) => format!("{:.0} s of its lease left", left.unwrap_or_default()),
        };
        let (id, owner, reason) = (text(hold, "request_id"), text(hold, "owner"), text(hold, "reason"));
        let reason = if reason.is_empty() { reason } else { format!(": {reason}") };
        lines.push(format!("held by {id} of {owner:?}, {standing}{reason}"));
    }
    for work in field("active_work").as_array().into_iter().flatten() {
        let age = work["age_seconds"].as_f64().unwrap_or_default();
        lines.push(format!("in flight: {} {:?} for {age:.0} s", text(work, "kind"), text(work, "label")));
    }
    for ignored in field("ignored").as_array().into_iter().flatten() {
        lines.push(format!("ignored: {}: {}", text(ignored, "request_id"), text(ignored, "why")));
    }
    lines.join("\n")
}
