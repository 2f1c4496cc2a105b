//! `run`: drain, act, reopen. Whatever happens to the command or to this process, the hold can be given up.

use super::arguments::Run;
use super::child::{self, exit_code};
use super::commands::Context;
use crate::client::{Drain, ExitCode, Failure, Gateway, Interrupt};
use crate::hold::RequestId;
use serde_json::json;
use std::path::{Path, PathBuf};

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
        let left = format!(
            "gateway-drain: interrupted; the hold {id}, if it has been begun, stays until its lease runs out\n\
             give it up:  {}",
            self.line(&["cancel", id.as_str()])
        );
        self.signals.give_up(ExitCode::Interrupted.under_run(), left);
        if run.marker { self.run_by_marker(run, &program) } else { self.run_by_hold(&id, run, &program) }
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

    fn run_by_hold(&self, id: &RequestId, run: &Run, program: &Path) -> Result<u8, Failure> {
        let drain = self.new_hold(Some(id), &run.hold, run.lease, run.attach);
        let drain = run.timeout.into_iter().fold(drain, Drain::timeout);
        let not_run = |failure: &Failure| {
            let fields = json!({"request_id": id, "command_exit": null});
            Ok(self.report.failure(failure, ExitCode::from(failure).under_run(), fields))
        };
        let held = match drain.begin_for_run() {
            Ok(held) => held,
            Err(failure) => return not_run(&failure),
        };
        let seen = match held.wait() {
            Ok(seen) => seen,
            Err(deadline @ Failure::Deadline { .. }) if run.force => {
                self.report.say(&format!("{id}: {deadline}; going ahead all the same (--force)"));
                return self.act(id, run, program, true, || held.withdraw());
            }
            Err(failure) => {
                // Dropped, a hold that was taken up stays; what was begun here is given up.
                if run.attach {
                    drop(held);
                } else {
                    self.given_up(id, held.withdraw());
                }
                return not_run(&failure);
            }
        };
        match held.commit(&seen) {
            Ok(committed) => self.act(id, run, program, false, || committed.withdraw()),
            Err(failure) => not_run(&failure),
        }
    }

    fn run_by_marker(&self, run: &Run, program: &Path) -> Result<u8, Failure> {
        let drain = self.marker(Some(&run.hold));
        let drain = match run.timeout {
            Some(timeout) => drain.timeout(timeout),
            None => drain,
        };
        let not_run = |failure: &Failure| {
            let fields = json!({"request_id": "marker", "command_exit": null});
            Ok(self.report.failure(failure, ExitCode::from(failure).under_run(), fields))
        };
        if let Err(failure) = drain.begin() {
            return not_run(&failure);
        }
        let kept = drain.keep_alive();
        if let Err(failure) = drain.wait() {
            drop(kept);
            if let Err(left) = drain.remove() {
                self.marker_left(&left);
            }
            return not_run(&failure);
        }
        self.act(&RequestId::marker(), run, program, false, || {
            drop(kept);
            // What stops the waiting is over; the removal is not to be stopped by it.
            drain.interrupt(Interrupt::new()).cancel()
        })
    }

    fn marker_left(&self, failure: &Failure) {
        let line = self.line(&["cancel", "--marker"]);
        self.report.say(&format!("gateway-drain: the marker could not be removed: {failure}\nremove it:  {line}"));
    }

    /// Runs the command, gives up the hold, and says which of the two decides the exit code.
    fn act(
        &self,
        id: &RequestId,
        run: &Run,
        program: &Path,
        forced: bool,
        withdraw: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<u8, Failure> {
        self.signals.wait();
        self.report.clear();
        if self.signals.interrupt.is_raised() {
            self.given_up(id, withdraw());
            let fields = json!({"request_id": id, "command_exit": null});
            return Ok(self.report.failure(&Failure::Interrupted, ExitCode::Interrupted.under_run(), fields));
        }
        let variables =
            [("GATEWAY_DRAIN_REQUEST_ID", id.to_string()), ("GATEWAY_DRAIN_FORCED", u8::from(forced).to_string())];
        let lingers = || {
            self.report
                .say("gateway-drain: COMMAND has ended, and what it started has not: waiting for its process group");
        };
        let ended = child::run(&self.signals, program, &run.command, &variables, Gateway::SECRET_VARIABLE, lingers);
        if let Err(error) = &ended {
            self.report.say(&format!("gateway-drain: {} can't be run: {error}", program.display()));
        }
        let own = exit_code(&ended);
        let withdrawn = withdraw();
        let fields = json!({"request_id": id, "command_exit": own, "forced": forced});
        match withdrawn {
            Err(failure) if own == 0 && self.someone_lives() => {
                self.given_up(id, Err(failure.clone()));
                Ok(self.report.failure(&failure, ExitCode::from(&failure).under_run(), fields))
            }
            withdrawn => {
                self.given_up(id, withdrawn);
                self.report.result("done", own, "", fields)?;
                Ok(own)
            }
        }
    }

    /// Whether a gateway is there to reopen. The command may have ended it, and that is no failure.
    fn someone_lives(&self) -> bool {
        self.gateway.status().is_ok_and(|status| status.running == Some(true))
    }

    fn given_up(&self, id: &RequestId, withdrawn: Result<(), Failure>) {
        match withdrawn {
            Err(failure) if id.is_marker() => self.marker_left(&failure),
            Err(Failure::Unreachable(why)) if !self.someone_lives() => {
                let why = crate::client::shown(&why);
                self.report.say(&format!("gateway-drain: no gateway has noticed the end of the hold {id} yet: {why}"));
            }
            withdrawn => self.still_closed(id, withdrawn),
        }
    }
}
