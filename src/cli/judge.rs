//! `check-trace` and `probe`: two commands about gateways rather than drains, with exit codes of their own.

use super::arguments::{Arguments, time};
use super::report::Report;
use super::signals::Signals;
use crate::client::{ExitCode, Failure, quoted};
use crate::control::Home;
use crate::probe::{self, Options};
use crate::trace::check::check_files;
use clap::Args;
use core::fmt::Display;
use serde_json::Value;
use std::path::{Path, PathBuf};
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
    /// Where a POST starts a turn: it shows the gate itself. One is tried before anything else.
    #[arg(long, value_name = "URL")]
    pub turn_url: Option<String>,

    /// The body of that POST. The turn should last a few seconds.
    #[arg(long, value_name = "JSON", default_value = "{}", requires = "turn_url")]
    pub turn_body: String,

    /// A header of that POST, such as an API key. Any number of them.
    #[arg(long, value_name = "NAME: VALUE", value_parser = header, requires = "turn_url")]
    pub turn_header: Vec<(String, String)>,

    /// A status code that says that a turn is refused. Any number of them.
    #[arg(long, value_name = "CODE", default_value = "503", requires = "turn_url")]
    pub refused_status: Vec<u16>,

    /// A shell command that kills the gateway, starts it again and returns. (A shutdown would end a commit by right.)
    #[arg(long, value_name = "COMMAND")]
    pub restart_cmd: Option<String>,

    /// A shell command that has the gateway shut down, as a deploy does. It is run last, and the gateway is gone then.
    #[arg(long, value_name = "COMMAND")]
    pub stop_cmd: Option<String>,

    /// Exit with 12 unless everything that can be seen from outside was seen kept.
    #[arg(long)]
    pub complete: bool,

    /// How often the gateway looks at its files.
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "1s")]
    pub tick: Duration,
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("a header is written as NAME: VALUE")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

impl CheckTrace {
    pub(super) fn perform(&self, out: &Report) -> Result<u8, Failure> {
        let report = check_files(&self.files);
        let code = report.exit_code();
        print(out, code, &report, report.to_json())?;
        Ok(code)
    }
}

impl Probe {
    pub(super) fn perform(&self, arguments: &Arguments, secret: Option<String>, out: &Report) -> Result<u8, Failure> {
        let Arguments { home, url, patience, .. } = arguments;
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
            turn_headers: self.turn_header.clone(),
            refused: self.refused_status.clone(),
            restart: self.restart_cmd.clone(),
            stop: self.stop_cmd.clone(),
            tick: self.tick,
            patience: *patience,
        };
        let signals = Signals::listen(out).map_err(|error| Failure::Internal(error.to_string()))?;
        let left = what_may_stand(options.home.as_deref(), options.url.as_deref(), arguments.secret_file.as_deref());
        signals.take_back(ExitCode::Interrupted.code(), left);
        let report = probe::run(&options, &signals.interrupt).map_err(|why| Failure::Usage(why.to_string()))?;
        let interrupted = signals.interrupt.is_raised() && report.left_behind.is_none();
        let code = match report.exit_code() {
            _ if interrupted => ExitCode::Interrupted.code(),
            0 if self.complete && !report.is_complete() => 12,
            code => code,
        };
        print(out, code, &report, report.to_json())?;
        Ok(code)
    }
}

/// What a probe that is stopped while it takes back may leave, with the lines that show it and remove it.
fn what_may_stand(home: Option<&Path>, url: Option<&str>, secret: Option<&Path>) -> String {
    let path = |path: &Path| quoted(&path.to_string_lossy());
    // Whatever it has begun in the files is ended there.
    let place = match (home, url) {
        (Some(home), _) => format!("--home {}", path(home)),
        (None, url) => {
            let secret = secret.map(|secret| format!(" --secret-file {}", path(secret))).unwrap_or_default();
            format!("--url {}{secret}", quoted(url.unwrap_or_default()))
        }
    };
    // Holds end with their leases, but for the one that it has committed.
    let commit = format!("\nend its commit:     gateway-drain override probe-commit {place}");
    format!(
        "interrupted; what the probe has begun may still stand\n\
         show it:            gateway-drain status {place}\n\
         remove its marker:  gateway-drain cancel --marker {place}{}",
        home.map_or("", |_| commit.as_str())
    )
}

/// As JSON it has what every command's result has, and the report's own fields.
fn print(out: &Report, code: u8, text: &impl Display, report: Value) -> Result<(), Failure> {
    out.result(ending(code), code, &text.to_string(), report)
}

/// The word of a code that says that something is amiss; of any other, "done".
fn ending(code: u8) -> &'static str {
    let known = ExitCode::ALL.into_iter().find(|known| known.code() == code && code != 0);
    known.map_or("done", ExitCode::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_a_name_and_a_value_with_a_colon_between_them() {
        assert_eq!(header("X-Api-Key:  a:b "), Ok(("X-Api-Key".to_owned(), "a:b".to_owned())));
        assert!(header("X-Api-Key").is_err());
    }

    #[test]
    fn what_a_probe_leaves_that_is_stopped_is_told_with_lines_for_the_gateway_that_it_was_given() {
        let (home, url, secret) = (Path::new("/srv/my gateway"), "http://localhost:8080", Path::new("/run/secret"));
        let by_home = "interrupted; what the probe has begun may still stand\n\
                       show it:            gateway-drain status --home '/srv/my gateway'\n\
                       remove its marker:  gateway-drain cancel --marker --home '/srv/my gateway'\n\
                       end its commit:     gateway-drain override probe-commit --home '/srv/my gateway'";
        assert_eq!(what_may_stand(Some(home), None, None), by_home);
        assert_eq!(what_may_stand(Some(home), Some(url), Some(secret)), by_home, "it was begun in the files");
        let by_url = "interrupted; what the probe has begun may still stand\n\
                      show it:            gateway-drain status --url http://localhost:8080 --secret-file /run/secret\n\
                      remove its marker:  gateway-drain cancel --marker --url http://localhost:8080 --secret-file /run/secret";
        assert_eq!(what_may_stand(None, Some(url), Some(secret)), by_url);
        assert_eq!(what_may_stand(None, Some(url), None), by_url.replace(" --secret-file /run/secret", ""));
    }

    #[test]
    fn an_ending_has_the_word_of_its_code() {
        assert_eq!([0, 250].map(ending), ["done", "done"], "what went well, and a code that has no word");
        for known in ExitCode::ALL.into_iter().filter(|known| known.code() != 0) {
            assert_eq!(ending(known.code()), known.as_str());
        }
    }
}
