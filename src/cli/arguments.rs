//! What can be typed, and what the help says of it.
//!
//! Pure. The help, the completions, the manual and `docs/cli.md` all come from here, and the table of exit codes in them
//! comes from [`ExitCode`].

use super::judge::{CheckTrace, Probe};
use crate::client::{Drain, ExitCode};
use crate::hold::{InvalidRequestId, LeasePolicy, Nonce, Notes, RequestId};
use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

/// Stop a gateway from taking new work, wait until nothing is in flight, act, and let it take work again.
///
/// A hold keeps the gateway's gate closed. It has a name, an owner and a lease: if the process that began it dies, it ends with its
/// lease. A commit trades "drained" for the right to act: from then on only its owner's token, an override or a shutdown
/// opens the gate again.
///
/// For most purposes `gateway-drain run -- COMMAND` is all it takes.
///
/// The tokens of commits are kept in the folder that `GATEWAY_DRAIN_STATE` names, else in `gateway-drain` in the state folder:
/// `/var/lib` for root, and for others `$XDG_STATE_HOME` or `~/.local/state`. Their owner alone can read them, and each is
/// kept until its hold has ended.
///
/// The names that the reference has for two of the variables, `HERMES_HOME` and `HERMES_DASHBOARD_DRAIN_SECRET` (and
/// `HERMES_DASHBOARD_DRAIN_SECRET_FILE`), are read where this command's own are not set.
#[derive(Debug, Parser)]
#[command(name = "gateway-drain", bin_name = "gateway-drain", version, propagate_version = true, max_term_width = 100)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub struct Arguments {
    /// The gateway's home, on this machine. [default: `$GATEWAY_DRAIN_HOME`, else `$HERMES_HOME`, else `~/.hermes` if that
    /// is there, else `gateway-drain/home` in the state folder]
    #[arg(long, global = true, value_name = "FOLDER", help_heading = "Gateway")]
    pub home: Option<PathBuf>,

    /// The address of the gateway or its dashboard, such as `http://127.0.0.1:8080`.
    ///
    /// The bearer token is taken from --secret-file, else from `GATEWAY_DRAIN_SECRET`, else from the file that
    /// `GATEWAY_DRAIN_SECRET_FILE` names: an argument would show it to everybody on the machine. An `https://` address is trusted by the certificates in the file that `SSL_CERT_FILE` names,
    /// else by the public authorities'.
    #[arg(long, global = true, value_name = "URL", help_heading = "Gateway")]
    pub url: Option<String>,

    /// A file with the bearer token for --url, such as a systemd credential. White space around the token is no part of it.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Gateway")]
    pub secret_file: Option<PathBuf>,

    /// In whose name. Over HTTP it is whom the token proves. [default: the name of the user that this command runs as,
    /// else `uid:` and its number]
    #[arg(long, global = true, value_name = "NAME", help_heading = "Gateway")]
    pub owner: Option<String>,

    /// How long nothing may be heard of the gateway before it counts as unreachable. `status` takes a refused connection
    /// for that after a second.
    #[arg(long, global = true, value_name = "TIME", value_parser = time, default_value = "10s", help_heading = "Gateway")]
    pub patience: Duration,

    /// Print the result as one JSON object on stdout. (`run` leaves stdout to COMMAND: --json-file, --json-fd.)
    #[arg(long, global = true, conflicts_with_all = ["json_file", "json_fd"])]
    pub json: bool,

    /// Write the result as one JSON object into this file.
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "json_fd")]
    pub json_file: Option<PathBuf>,

    /// Write the result as one JSON object to this open descriptor.
    #[arg(long, global = true, value_name = "N")]
    pub json_fd: Option<u32>,

    /// What to do.
    #[command(subcommand)]
    pub command: CliCommand,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum CliCommand {
    /// Drain, run a command once nothing is in flight, and reopen.
    ///
    /// Begins a hold, waits until the gateway is drained, commits, runs COMMAND and gives up the hold. While it waits it
    /// renews the lease. The hold is given up on every path: when the command fails, when the wait ends in any other way,
    /// and on Ctrl-C before the command runs.
    ///
    /// COMMAND is looked for before anything is closed. It runs in a process group of its own, in the terminal's foreground
    /// if there is one. Every signal that can be caught is handed on to that group and ends `run` no sooner; what was
    /// ignored at the start stays ignored. The hold is given up once the group is empty, so that what COMMAND leaves running
    /// in the background is waited for. What leaves the group (`setsid`, a service manager) is not.
    ///
    /// At the end of --timeout the command is not run, unless --force says so: then it runs with the gate closed and work
    /// still in flight.
    ///
    /// The commit's token is on this machine's disk before the commit is asked for: if `run` is killed in mid act,
    /// `gateway-drain cancel ID` by the same owner opens the gate. Whether the killed one's COMMAND still acts is not known
    /// to it.
    ///
    /// A turn that has its own gateway restarted must not wait for `run`, which waits for that turn: let it start `run` in a
    /// session of its own (`setsid gateway-drain run ... &`) and end.
    ///
    /// With --marker the gateway is drained by its marker, as a gateway has to be that knows no holds (hermes-agent). That
    /// promises less: there is no commit, so that anybody who removes the marker opens the gate under COMMAND; which process
    /// answers isn't known, and "nothing in flight" is what its status said at the last look.
    ///
    /// COMMAND finds the hold's name in `GATEWAY_DRAIN_REQUEST_ID`, and `GATEWAY_DRAIN_FORCED` is `1` or `0`. It doesn't find
    /// the endpoint's token.
    ///
    /// Exit code: once COMMAND has run, its own (128 + N if signal N ended it; 126 or 127 if it can't be run). All endings of
    /// `run` itself are 200 more than those of the other commands: see the table below. If COMMAND ended with 0 and the hold
    /// could not be given up, it is the 2xx code that says why. That no gateway is left there is no failure in a home, where the
    /// next one finds that the hold was given up; with --url it is. With --json-file, `command_exit` is null if COMMAND was
    /// not run.
    #[command(after_long_help = "Examples:
  gateway-drain run --reason 'upgrade to 1.4' --timeout 10m -- ./upgrade.sh
  gateway-drain run --timeout 2m --force -- systemctl restart gateway
  gateway-drain run --json-file result.json -- ./upgrade.sh", after_help = codes_of_run())]
    Run(Run),

    /// Begin a hold: the gateway takes no new work from then on.
    ///
    /// Returns once the gateway has acknowledged it, and prints the hold's name. Nobody renews it: it lasts for its lease,
    /// unless `wait` or `renew` is used. A hold that is there already is not begun again, also not by its owner, unless
    /// --attach says so.
    #[command(after_long_help = "Examples:
  gateway-drain begin upgrade-42 --reason 'upgrade to 1.4' --lease 30m
  id=$(gateway-drain begin) && gateway-drain wait \"$id\" --timeout 10m")]
    Begin(Begin),

    /// Wait until the gateway is drained, under a hold that `begin` began.
    ///
    /// Renews the lease while it waits. Exits with 0 only if the gateway itself has said, since this wait began, that the
    /// gate is closed and nothing is in flight; never for a gateway that is dead, was restarted or can't be reached.
    ///
    /// However it ends, the hold stays. Ctrl-C detaches: run the same command again to attach again.
    #[command(after_long_help = "Example:
  gateway-drain wait upgrade-42 --timeout 10m")]
    Wait(Wait),

    /// Trade "drained" for the right to act, and print the token that ends the hold.
    ///
    /// Granted only if the gateway is drained at that moment. From then on no lease runs: the gate stays closed until
    /// `cancel`, an override or another boot. The token is kept on this machine before the commit is asked for, so that
    /// `cancel` by the same owner finds it; a token that can't be printed is given back. However else it ends, the hold stays.
    #[command(after_long_help = "Example:
  gateway-drain commit upgrade-42 && ./upgrade.sh; gateway-drain cancel upgrade-42")]
    Commit(Commit),

    /// Give up a hold. The gateway takes work again once the last hold is gone.
    ///
    /// Only one's own hold, and a committed one only with its token, which is found on the machine where the same owner
    /// committed. To give up what isn't there is no failure.
    #[command(after_long_help = "Example:
  gateway-drain cancel upgrade-42")]
    Cancel(Cancel),

    /// End somebody else's hold, committed or not.
    ///
    /// For a hold whose owner is gone for good: one who is still acting under a commit is cut off, and the gateway takes work
    /// again. Over HTTP it wants a token with the scope `override`. The gateway records
    /// who did it, but for the marker, which is only removed.
    #[command(after_long_help = "Example:
  gateway-drain status && gateway-drain override upgrade-42")]
    Override(Override),

    /// Renew a hold's lease.
    #[command(after_long_help = "Example:
  gateway-drain renew upgrade-42 --lease 1h")]
    Renew(Renew),

    /// Show what the gateway says of itself: its state, what is in flight, who holds it closed.
    ///
    /// Exits with 0 if a gateway lives there, in any state, and with 7 if none does, if nothing tells whether one
    /// does, or if one does and has published nothing that can be read, or nothing for longer than it may: then what its
    /// status says may be over. A number that isn't known is shown as unknown, and never as 0.
    Status,

    /// Tell whether a correct gateway could have written a trace.
    ///
    /// Names the first line that no correct gateway writes, the property it breaks, and what was possible there. The format
    /// is told in `docs/trace.md`.
    ///
    /// Exit code: 0 it conforms, 11 it breaks a property, 12 it can't be judged.
    #[command(after_long_help = "Examples:
  gateway-drain check-trace run.jsonl
  my-gateway --trace /dev/stdout | gateway-drain check-trace -")]
    CheckTrace(CheckTrace),

    /// Drive a running gateway from outside, and tell which properties it keeps and which it breaks.
    ///
    /// Begins and cancels drains many times, puts corrupt markers there, and restarts the gateway if told how: use one that
    /// nobody needs. Takes --home, --url or both; with --home it sees most. Takes back all that it has begun, also on
    /// Ctrl-C; killed, it may leave a marker, which you remove, and the committed hold `probe-commit`, which `override` ends.
    ///
    /// Exit code: 0 nothing was seen broken, 11 a property was, 12 it could not be tried or ended or something could not be
    /// taken back, 130 it was interrupted.
    #[command(after_long_help = "Example:
  gateway-drain probe --home ~/.hermes --restart-cmd 'systemctl kill -s KILL gateway; systemctl start gateway' \\
    --turn-url http://127.0.0.1:8080/turns --turn-body '{\"session\": \"probe\", \"millis\": 5000}'")]
    Probe(Probe),

    /// Look at the slots of a fleet, give one back by hand, set how many there are.
    ///
    /// A fleet's slots say how many of its gateways may be closed at once; `run --fleet-lock` takes one. They are kept by a
    /// server of the FleetLock protocol or in etcd (`docs/fleet.md`).
    #[cfg(feature = "fleet")]
    Fleet(super::fleet::FleetCommand),

    /// Make a secret for the HTTP endpoint.
    #[command(subcommand)]
    Secret(Secret),

    /// Print the completions for a shell.
    #[command(after_long_help = "Example:
  gateway-drain completions bash > ~/.local/share/bash-completion/completions/gateway-drain")]
    Completions {
        /// For which shell.
        shell: Shell,
    },

    /// Print the manual page, or write one for each command.
    #[command(after_long_help = "Example:
  gateway-drain man --dir ~/.local/share/man/man1")]
    Man {
        /// Write all pages into this folder.
        #[arg(long, value_name = "FOLDER")]
        dir: Option<PathBuf>,
    },
}

/// What is said of a new hold.
#[derive(Debug, Args)]
pub struct Hold {
    /// Why, for people.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub reason: String,

    /// The change that it belongs to, for operators who file changes.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub ticket: String,

    /// How long the act may take after the commit before the status shows it as overdue.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub act_within: Option<Duration>,

    /// How long readiness fails before the gate closes, for load balancers to notice.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub unready_delay: Option<Duration>,

    /// Ask that a shutdown under this hold notifies nobody.
    #[arg(long)]
    pub suppress_notification: bool,
}

/// `run`.
#[derive(Debug, Args)]
pub struct Run {
    /// The hold's name. [default: a random one]
    #[arg(long, value_name = "ID", value_parser = request_id)]
    pub id: Option<RequestId>,

    #[expect(missing_docs, reason = "a comment here would be shown as the command's help")]
    #[command(flatten)]
    pub hold: Hold,

    /// How long the hold outlives this command, should it be killed before COMMAND runs.
    #[arg(long, value_name = "TIME", value_parser = lease, default_value = "60s")]
    pub lease: Duration,

    /// Take up the hold ID of the same owner, if there is one. Should COMMAND not be run, it stays.
    #[arg(long, requires = "id")]
    pub attach: bool,

    /// Drain by the marker: for a gateway that knows no holds. It promises less; see above.
    #[arg(long, conflicts_with_all = ["id", "attach", "act_within", "unready_delay", "force"])]
    pub marker: bool,

    /// How long to wait for work in flight. [default: as long as it takes]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub timeout: Option<Duration>,

    /// At the end of --timeout, run the command all the same.
    #[arg(long, requires = "timeout")]
    pub force: bool,

    #[cfg(feature = "fleet")]
    #[expect(missing_docs, reason = "a comment here would be shown as the command's help")]
    #[command(flatten)]
    pub fleet: super::fleet::Share,

    /// The command and its arguments.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// `begin`.
#[derive(Debug, Args)]
pub struct Begin {
    /// The hold's name. [default: a random one]
    #[arg(value_parser = request_id)]
    pub id: Option<RequestId>,

    #[expect(missing_docs, reason = "a comment here would be shown as the command's help")]
    #[command(flatten)]
    pub hold: Hold,

    /// How long the hold lasts without a renewal.
    #[arg(long, value_name = "TIME", value_parser = lease, default_value = "1h")]
    pub lease: Duration,

    /// Take up the hold ID of the same owner, if there is one, and renew it.
    #[arg(long, requires = "id")]
    pub attach: bool,

    /// Bind the hold to this process: it ends with it, and the next one doesn't take it over. `current` is the process that
    /// lives there now.
    #[arg(long, value_name = "NAME")]
    pub incarnation: Option<String>,

    /// Drain by the marker: for a gateway that knows no holds. It stays until `cancel --marker`, or for as long as the gateway
    /// honours it; nobody is granted a commit under it, and anybody may remove it.
    #[arg(long, conflicts_with_all = ["id", "attach", "incarnation", "act_within", "unready_delay"])]
    pub marker: bool,
}

/// `wait`.
#[derive(Debug, Args)]
pub struct Wait {
    /// The hold's name.
    #[arg(value_parser = request_id)]
    pub id: RequestId,

    /// How long to wait. [default: as long as it takes]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub timeout: Option<Duration>,

    /// The only process to wait for, as `begin --json` names it; `current` is the one that lives there now.
    #[arg(long, value_name = "NAME")]
    pub incarnation: Option<String>,
}

/// `commit`.
#[derive(Debug, Args)]
pub struct Commit {
    /// The hold's name.
    #[arg(value_parser = request_id)]
    pub id: RequestId,

    /// The only process to commit in, as `wait --json` names it; `current` is the one that lives there now.
    #[arg(long, value_name = "NAME")]
    pub incarnation: Option<String>,
}

/// `cancel`.
#[derive(Debug, Args)]
pub struct Cancel {
    /// The hold's name.
    #[arg(value_parser = request_id, required_unless_present = "marker")]
    pub id: Option<RequestId>,

    /// What `commit` printed, if it was on another machine. [default: what is kept on this one]
    #[arg(long, value_name = "TOKEN", requires = "id")]
    pub token: Option<String>,

    /// Remove the marker: one's own, or one that has ended. Over HTTP whose it is can't be known.
    #[arg(long, conflicts_with = "id")]
    pub marker: bool,
}

/// `override`.
#[derive(Debug, Args)]
pub struct Override {
    /// The hold's name, as `status` shows it; `marker` removes the marker.
    #[arg(value_parser = any_request_id)]
    pub id: RequestId,
}

/// `renew`.
#[derive(Debug, Args)]
pub struct Renew {
    /// The hold's name.
    #[arg(value_parser = request_id)]
    pub id: RequestId,

    /// How long the hold lasts from now. [default: as long as it was begun with]
    #[arg(long, value_name = "TIME", value_parser = lease)]
    pub lease: Option<Duration>,
}

/// `secret`.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum Secret {
    /// Print a new random secret, strong enough for the endpoint. It is kept nowhere.
    #[command(after_long_help = "Example:
  export GATEWAY_DRAIN_SECRET=\"$(gateway-drain secret new)\"")]
    New,
}

impl CliCommand {
    /// The word that says it.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Run(_) => "run",
            Self::Begin(_) => "begin",
            Self::Wait(_) => "wait",
            Self::Commit(_) => "commit",
            Self::Cancel(_) => "cancel",
            Self::Override(_) => "override",
            Self::Renew(_) => "renew",
            Self::Status => "status",
            Self::CheckTrace(_) => "check-trace",
            Self::Probe(_) => "probe",
            #[cfg(feature = "fleet")]
            Self::Fleet(_) => "fleet",
            Self::Secret(_) => "secret",
            Self::Completions { .. } => "completions",
            Self::Man { .. } => "man",
        }
    }
}

/// Whether a command line that makes no sense was meant for `run`, whose own codes are others: its first word that is a
/// command's name is.
pub(super) fn is_run(words: impl IntoIterator<Item = OsString>) -> bool {
    let commands = command();
    let mut words = words.into_iter().skip(1).take_while(|word| word != "--");
    words.find(|word| commands.find_subcommand(word).is_some()).is_some_and(|word| word == "run")
}

impl Cancel {
    pub(super) fn token(&self) -> Option<Nonce> {
        self.token.clone().map(Nonce::from)
    }
}

impl Hold {
    pub(super) fn notes(&self) -> Notes {
        Notes::reason(self.reason.clone()).ticket(self.ticket.clone())
    }

    pub(super) fn apply(&self, drain: Drain) -> Drain {
        let drain = drain.notes(self.notes()).suppress_notification(self.suppress_notification);
        let drain = self.act_within.into_iter().fold(drain, Drain::act_within);
        self.unready_delay.into_iter().fold(drain, Drain::unready_delay)
    }
}

fn request_id(text: &str) -> Result<RequestId, InvalidRequestId> {
    RequestId::new(text)
}

/// The marker is nobody's own, and so it is a name only where others' holds are meant.
fn any_request_id(text: &str) -> Result<RequestId, InvalidRequestId> {
    let marker = RequestId::marker();
    if text == marker.as_str() { Ok(marker) } else { request_id(text) }
}

/// A time as people write it: `90` and `90s`, `10m`, `1h30m`, `500ms`.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    let unclear = || format!("{text:?} is no time: write it as 90, 90s, 10m, 1h30m or 500ms");
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let friendly = || text.parse::<jiff::SignedDuration>().ok().and_then(|time| Duration::try_from(time).ok());
    seconds.or_else(friendly).ok_or_else(unclear)
}

/// A lease: no shorter than a gateway grants.
fn lease(text: &str) -> Result<Duration, String> {
    match time(text)? {
        short if short < LeasePolicy::MIN => Err(format!("a lease lasts at least {} s", LeasePolicy::MIN.as_secs())),
        lease => Ok(lease),
    }
}

/// The whole command line, as clap knows it.
#[must_use]
pub fn command() -> clap::Command {
    Arguments::command().after_long_help(exit_codes()).after_help("`--help` says more, with the exit codes.")
}

/// The table of exit codes, from their one definition.
fn exit_codes() -> String {
    table("Exit codes (`run`: its own are 200 more, see `run --help`):", ExitCode::code)
}

/// The same for `run`, whose command has codes of its own.
fn codes_of_run() -> String {
    table("Exit codes of `run` itself, where they are not COMMAND's:", ExitCode::under_run)
}

fn table(title: &str, number: fn(ExitCode) -> u8) -> String {
    let mut text = title.to_owned();
    for code in ExitCode::ALL {
        // Writing to a string can't fail.
        let _ = write!(text, "\n  {:>3}  {}", number(code), code.meaning());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_lasts_a_second_at_least() {
        assert_eq!(lease("1s"), Ok(LeasePolicy::MIN));
        assert_eq!(lease("1.001"), Ok(Duration::from_millis(1001)));
        assert_eq!(lease("999ms"), Err("a lease lasts at least 1 s".to_owned()));
        assert_eq!(lease("0"), Err("a lease lasts at least 1 s".to_owned()));
    }

    #[test]
    fn every_command_knows_the_word_that_it_is_typed_by() {
        for name in command().get_subcommands().map(clap::Command::get_name) {
            let more: &[&str] = match name {
                "run" => &["--", "true"],
                "wait" | "commit" | "cancel" | "override" | "renew" => &["upgrade"],
                "completions" => &["bash"],
                "secret" => &["new"],
                "check-trace" => &["-"],
                "fleet" => &["status"],
                _ => &[],
            };
            let parsed = Arguments::try_parse_from([&["gateway-drain", name], more].concat())
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(parsed.command.word(), name);
        }
    }

    #[test]
    fn the_notes_of_a_hold_are_what_was_typed() {
        let parsed = Arguments::try_parse_from(["gateway-drain", "begin", "--reason", "a kernel", "--ticket", "OPS-7"]);
        let CliCommand::Begin(begin) = parsed.unwrap().command else { panic!("it begins") };
        assert_eq!(begin.hold.notes(), Notes::reason("a kernel").ticket("OPS-7"));
    }

    #[test]
    fn the_codes_of_run_are_told_with_their_meanings() {
        let said = codes_of_run();
        for code in ExitCode::ALL {
            let line = format!("\n  {:>3}  {}", code.under_run(), code.meaning());
            assert!(said.contains(&line), "{line:?} is not in {said}");
        }
    }
}
