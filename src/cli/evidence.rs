//! `check-trace` and `probe`: two commands about gateways rather than drains, with exit codes of their own.

use super::arguments::{Arguments, time};
use super::child::Receiver;
use crate::client::{ExitCode, Failure};
use crate::control::Home;
use crate::probe::{self, Options};
use crate::trace::check::check_files;
use clap::Args;
use core::fmt::Display;
use serde_json::Value;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

/// `check-trace`.
#[derive(Debug, Args)]
pub struct CheckTrace {
    /// The traces, in any order; `-` is standard input, read until it is closed.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// `probe`.
#[derive(Debug, Args)]
pub struct Probe {
    /// Where a POST starts a turn: it shows the gate itself. A refused turn is answered with 503.
    #[arg(long, value_name = "URL")]
    pub turn_url: Option<String>,

    /// The body of that POST. The turn should last a few seconds.
    #[arg(long, value_name = "JSON", default_value = "{}", requires = "turn_url")]
    pub turn_body: String,

    /// A shell command that kills the gateway, starts it again and returns. (A shutdown would end a commit by right.)
    #[arg(long, value_name = "COMMAND")]
    pub restart_cmd: Option<String>,

    /// How often the gateway looks at its files.
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "1s")]
    pub tick: Duration,
}

impl CheckTrace {
    pub(super) fn perform(&self, json: bool) -> u8 {
        let report = check_files(&self.files);
        print(json, &report, &report.to_json());
        report.exit_code()
    }
}

impl Probe {
    pub(super) fn perform(&self, arguments: &Arguments, secret: Option<String>) -> Result<u8, Failure> {
        let Arguments { home, url, patience, json, .. } = arguments;
        let home = match (home, url) {
            (None, Some(_)) => None,
            (home, _) => {
                let home = Home::resolve(home.clone()).map_err(|error| Failure::Usage(error.to_string()))?;
                Some(home.path().to_owned())
            }
        };
        let options = Options {
            home,
            url: url.as_ref().map(|url| url.trim_end_matches('/').to_owned()),
            secret,
            turn: self.turn_url.clone().map(|url| (url, self.turn_body.clone())),
            restart: self.restart_cmd.clone(),
            tick: self.tick,
            patience: *patience,
        };
        let signals = Receiver::listen().map_err(|error| Failure::Internal(error.to_string()))?;
        let report = probe::run(&options, &signals.interrupt).map_err(|why| Failure::Usage(why.to_string()))?;
        print(*json, &report, &report.to_json());
        let interrupted = signals.interrupt.is_raised() && report.left_behind.is_none();
        Ok(if interrupted { ExitCode::Interrupted.code() } else { report.exit_code() })
    }
}

fn print(json: bool, text: &impl Display, value: &Value) {
    let text = if json { format!("{value}\n") } else { text.to_string() };
    // Whoever reads it may have gone away; the exit code says it all the same.
    let _ = std::io::stdout().write_all(text.as_bytes());
}
