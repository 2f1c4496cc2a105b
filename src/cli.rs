//! The command line `gateway-drain`: the [client](crate::client)'s steps as commands, for people and for scripts.
//!
//! | File | What it is |
//! |---|---|
//! | [`arguments`] | what can be typed, and what the help says of it; the manual and `docs/cli.md` are generated from it |
//! | `commands` | what each command does |
//! | `child` | the command that `run` runs, and the signals that concern it |
//! | [`evidence`] | `check-trace` and `probe` |
//! | `report` | what is printed: progress and messages on stderr, results on stdout |
//!
//! Every ending's exit code comes from [`ExitCode`](crate::client::ExitCode).

pub mod arguments;
mod child;
mod commands;
pub mod evidence;
mod report;

use arguments::Arguments;
use clap::FromArgMatches;
use report::Report;

/// Runs the command line of this process.
#[must_use]
pub fn main() -> std::process::ExitCode {
    let matches = arguments::command().get_matches();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let report = Report::new(arguments.json);
    match commands::perform(&arguments, &report) {
        Ok(code) => std::process::ExitCode::from(code),
        Err(failure) => report.failure(&failure).into(),
    }
}
