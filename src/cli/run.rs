//! `run`: drain, act, reopen. The hold can be given up after every end of the command or of this process.

use super::arguments::Run;
use super::child::{self, exit_code};
use super::commands::Context;
use crate::client::{CameToNothing, Drain, ExitCode, Failure, Interrupt};
use crate::hold::RequestId;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// How a `run` went, as far as a slot of a fleet is concerned.
#[cfg_attr(not(feature = "fleet"), expect(dead_code, reason = "only a fleet looks at how it went"))]
pub(super) enum Went<'a> {
    /// The gateway has been asked for the hold, and has not acknowledged it.
    NotBegun(&'a Failure),
    /// The gateway has acknowledged the hold, or was not asked for one, and the command was not run.
    NotActed,
    /// It was, and ended with this; and so did the withdrawal.
    Acted(u8, &'a Result<(), Failure>),
}

/// What became of the slot.
#[derive(Default)]
pub(super) struct Settled {
    /// As the result in JSON says it; null where no slot was taken.
    pub(super) slot: Value,
    /// It stays because of how this ended.
    pub(super) kept: Option<Failure>,
}

impl Context<'_> {
    pub(super) fn run(&self, run: &Run) -> Result<u8, Failure> {
        let id = run.id.clone().unwrap_or_else(RequestId::random);
        let program = match self.program(run) {
            Ok(program) => program,
            Err(error) => {
                // Nothing was closed for a command that isn't there.
                let code = exit_code(&Err(error));
                self.report.result("usage", code, "", json!({"request_id": null, "command_exit": null}))?;
                return Ok(code);
            }
        };
        let left = if run.marker { self.left_of_the_marker() } else { self.left(&id) };
        self.signals.give_up(ExitCode::Interrupted.under_run(), left);
        let about = if run.marker { RequestId::marker() } else { id.clone() };
        self.report.about(json!({"request_id": about, "command_exit": null}));
        #[cfg(feature = "fleet")]
        if let Some(fleet) = run.fleet.fleet(self.patience)? {
            return self.run_in_fleet(&fleet, &id, run, &program);
        }
        if run.marker {
            self.run_by_marker(run, &program)
        } else {
            self.run_by_hold(&id, run, &program, |_| Settled::default())
        }
    }

    /// Finds the program before anything is closed for it.
    fn program(&self, run: &Run) -> std::io::Result<PathBuf> {
        let named = run.command.first().cloned().unwrap_or_default();
        child::find(&named).inspect_err(|error| {
            self.report.say(&format!(
                "gateway-drain: {} can't be run: {error}",
                crate::client::shown(&named.to_string_lossy())
            ));
        })
    }

    /// Once it has ended, `settle` sees to the slot.
    pub(super) fn run_by_hold(
        &self,
        id: &RequestId,
        run: &Run,
        program: &Path,
        settle: impl FnOnce(Went<'_>) -> Settled,
    ) -> Result<u8, Failure> {
        let drain = self.new_hold(Some(id), &run.hold, run.lease, run.attach);
        let drain = run.timeout.into_iter().fold(drain, Drain::timeout);
        let not_run = |failure: &Failure, settled: Settled| Ok(self.not_run(id, failure, settled));
        let held = match drain.begin_for_run() {
            Ok(held) => held,
            Err(CameToNothing { failure, sent, given_up }) => {
                self.given_up(id, given_up);
                let went = if sent { Went::NotBegun(&failure) } else { Went::NotActed };
                return not_run(&failure, settle(went));
            }
        };
        let seen = match held.wait() {
            Ok(seen) => seen,
            Err(deadline @ Failure::Deadline { .. }) if run.force => {
                self.report.say(&format!("{id}: {deadline}; going ahead all the same (--force)"));
                return self.act(id, run, program, true, || held.withdraw(), settle);
            }
            Err(failure) => {
                // Dropped, a hold that was taken up stays; what was begun here is given up.
                if run.attach {
                    drop(held);
                } else {
                    self.given_up(id, held.withdraw());
                }
                return not_run(&failure, settle(Went::NotActed));
            }
        };
        match held.commit_or_give_up(&seen) {
            Ok(committed) => self.act(id, run, program, false, || committed.withdraw(), settle),
            Err(CameToNothing { failure, given_up, .. }) => {
                self.given_up(id, given_up);
                not_run(&failure, settle(Went::NotActed))
            }
        }
    }

    /// What stands where an interruption ends this process before the hold is given up.
    pub(super) fn left(&self, id: &RequestId) -> String {
        format!(
            "gateway-drain: interrupted; the hold {id}, if it has been begun, stays until its lease runs out, and for good if it has been \
             committed\n\
             give it up:  {}",
            self.line(&["cancel", id.as_str()])
        )
    }

    /// Only the result is left to be written: a signal ends that, where its reader stands still.
    fn only_tells(&self, went: &str) {
        let left = format!("gateway-drain: interrupted; {went}, and its result could not be written");
        self.signals.give_up(ExitCode::Interrupted.under_run(), left);
    }

    /// The command was not run: says why, and what became of the slot.
    pub(super) fn not_run(&self, id: &RequestId, failure: &Failure, settled: Settled) -> u8 {
        self.only_tells("COMMAND was not run");
        if let Some(kept) = &settled.kept {
            self.report.say(&format!("gateway-drain: {kept}"));
        }
        let fields = with_slot(json!({"request_id": id, "command_exit": null}), settled.slot);
        self.report.failure(failure, ExitCode::from(failure).under_run(), fields)
    }

    fn run_by_marker(&self, run: &Run, program: &Path) -> Result<u8, Failure> {
        let drain = self.marker(Some(&run.hold));
        let drain = match run.timeout {
            Some(timeout) => drain.timeout(timeout),
            None => drain,
        };
        let not_run = |failure: &Failure| Ok(self.not_run(&RequestId::marker(), failure, Settled::default()));
        if let Err(CameToNothing { failure, given_up, .. }) = drain.begin_or_remove() {
            self.given_up(&RequestId::marker(), given_up);
            return not_run(&failure);
        }
        let kept = drain.keep_alive();
        if let Err(failure) = drain.wait() {
            drop(kept);
            self.given_up(&RequestId::marker(), drain.give_up());
            return not_run(&failure);
        }
        self.act(
            &RequestId::marker(),
            run,
            program,
            false,
            || {
                drop(kept);
                // What stops the waiting is over; the removal is not to be stopped by it.
                drain.interrupt(Interrupt::new()).cancel()
            },
            // Without a fleet there is no slot.
            |_| Settled::default(),
        )
    }

    fn marker_left(&self, failure: &Failure) {
        let line = self.line(&["cancel", "--marker"]);
        self.report.say(&format!("gateway-drain: the marker may lie there: {failure}\nremove it:  {line}"));
    }

    /// Runs the command, gives up the hold, and says which of the two decides the exit code.
    fn act(
        &self,
        id: &RequestId,
        run: &Run,
        program: &Path,
        forced: bool,
        withdraw: impl FnOnce() -> Result<(), Failure>,
        settle: impl FnOnce(Went<'_>) -> Settled,
    ) -> Result<u8, Failure> {
        // A signal that came before has raised the interrupt in a phase that gives up, and in no other.
        let goes_on = self.signals.wait();
        self.report.clear();
        if !goes_on {
            self.given_up(id, withdraw());
            return Ok(self.not_run(id, &Failure::Interrupted, settle(Went::NotActed)));
        }
        let variables =
            [("GATEWAY_DRAIN_REQUEST_ID", id.to_string()), ("GATEWAY_DRAIN_FORCED", u8::from(forced).to_string())];
        let lingers = || {
            self.report
                .say("gateway-drain: COMMAND has ended, and what it started has not: waiting for its process group");
        };
        let ended = child::run(&self.signals, program, &run.command, &variables, lingers);
        if let Err(error) = &ended {
            self.report.say(&format!("gateway-drain: {} can't be run: {error}", program.display()));
        }
        let own = exit_code(&ended);
        let withdrawn = withdraw();
        let failed = withdrawn.as_ref().err().filter(|_| own == 0 && !self.is_left_to_the_next()).cloned();
        self.given_up(id, withdrawn.clone());
        let settled = settle(Went::Acted(own, &withdrawn));
        self.only_tells(&format!("COMMAND has ended with {own}"));
        let fields = json!({"request_id": id, "command_exit": own, "forced": forced});
        let fields = with_slot(fields, settled.slot);
        if let Some(failure) = failed.or_else(|| settled.kept.clone().filter(|_| own == 0)) {
            return Ok(self.report.failure(&failure, ExitCode::from(&failure).under_run(), fields));
        }
        if let Some(kept) = settled.kept {
            self.report.say(&format!("gateway-drain: {kept}"));
        }
        self.report.result("done", own, "", fields)?;
        Ok(own)
    }

    /// Whether no gateway is there to reopen, and what was written in its home opens the next one. The command may have ended it, and
    /// that is no failure. Over HTTP nothing is written where nobody answers.
    fn is_left_to_the_next(&self) -> bool {
        !self.gateway.is_over_http() && !self.someone_lives()
    }

    fn someone_lives(&self) -> bool {
        self.gateway.once().status().is_ok_and(|status| status.running == Some(true))
    }

    pub(super) fn given_up(&self, id: &RequestId, withdrawn: Result<(), Failure>) {
        match withdrawn {
            Err(failure) if id.is_marker() => self.marker_left(&failure),
            Err(Failure::Unreachable(why)) if !self.someone_lives() => {
                let why = crate::client::shown(&why);
                let line = self.line(&["cancel", id.as_str()]);
                self.report.say(&format!(
                    "gateway-drain: no gateway has noticed the end of the hold {id} yet: {why}\n\
                     gateway-drain: if it stays closed by it, this opens it: {line}"
                ));
            }
            withdrawn => self.still_closed(id, withdrawn),
        }
    }
}

fn with_slot(mut fields: Value, slot: Value) -> Value {
    if !slot.is_null() {
        fields["slot"] = slot;
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_tells_of_a_slot_only_where_there_was_one() {
        let fields = json!({"command_exit": 0});
        assert_eq!(with_slot(fields.clone(), Value::Null), fields);
        assert_eq!(with_slot(fields, json!("kept")), json!({"command_exit": 0, "slot": "kept"}));
    }
}
