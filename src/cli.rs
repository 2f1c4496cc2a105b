//! The command line `gateway-drain`: the [client](crate::client)'s steps as commands, for people and for scripts.
//!
//! | File | What it is |
//! |---|---|
//! | [`arguments`] | what can be typed, and what the help says of it; the manual and `docs/cli.md` are generated from it |
//! | `commands`, `run` | what each command does |
//! | `person` | in whose name, and with which token |
//! | `signals`, `child` | where signals go, and the command that `run` runs |
//! | [`judge`] | `check-trace` and `probe` |
//! | `fleet` | the slots of a fleet |
//! | `report`, `status_text` | what is printed: progress and messages on stderr, results on stdout or where they are wanted |
//!
//! Every ending's exit code comes from [`ExitCode`].

pub mod arguments;
mod child;
mod commands;
#[cfg(feature = "fleet")]
mod fleet;
pub mod judge;
mod person;
mod report;
mod run;
mod signals;
mod status_text;

use crate::client::{ExitCode, Failure};
use arguments::{Arguments, CliCommand};
use clap::FromArgMatches;
use core::fmt;
use report::Report;
use std::io::{self, Write};

/// Runs the command line of this process.
#[must_use]
pub fn main() -> std::process::ExitCode {
    let parsed = arguments::command().try_get_matches().and_then(|matches| Arguments::from_arg_matches(&matches));
    let arguments = match parsed {
        Ok(arguments) => arguments,
        Err(error) => return refuse(&error),
    };
    let under_run = matches!(arguments.command, CliCommand::Run(_));
    let code = |failure: &Failure| {
        let code = ExitCode::from(failure);
        if under_run { code.under_run() } else { code.code() }
    };
    let report = match Report::new(&arguments) {
        Ok(report) => report,
        Err(failure) => {
            say(&failure);
            return code(&failure).into();
        }
    };
    let ended = commands::perform(&arguments, &report);
    ended.unwrap_or_else(|failure| report.failure(&failure, code(&failure), serde_json::json!({}))).into()
}

/// A message for people. Nobody reading it is no reason to fail, and none to panic.
fn say(text: &dyn fmt::Display) {
    let _ = writeln!(io::stderr(), "gateway-drain: {text}");
}

/// What can't be parsed; and the help and the version, which are no failure unless they can't be printed. To whom they are
/// shown may stop reading.
fn refuse(error: &clap::Error) -> std::process::ExitCode {
    let printed = error.print();
    if error.use_stderr() {
        let run = arguments::is_run(std::env::args_os());
        return if run { ExitCode::Usage.under_run() } else { ExitCode::Usage.code() }.into();
    }
    match printed {
        Err(why) if why.kind() != io::ErrorKind::BrokenPipe => {
            say(&format_args!("it can't be printed: {why}"));
            ExitCode::Internal.into()
        }
        _ => ExitCode::Drained.into(),
    }
}
