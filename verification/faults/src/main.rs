//! `cargo run -p faults`: makes faults happen to real gateway processes and their files, and writes `docs/reliability.md`
//! of what came of it. Exits non-zero if any row falls short.
//!
//! This process is the operator, the controller and the judge; the processes that it kills are itself in other roles.

#![warn(clippy::pedantic)]

mod children;
mod crashes;
mod foreign_code;
mod hostile;
mod load;
mod log;
mod oracle;
mod report;
mod resources;
mod roles;
mod stepper;
#[path = "../../../tests/support/shared.rs"]
mod support;
mod writers;

use clap::{Parser, Subcommand};
use report::Row;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Kills, starves and loads gateways, and writes what came of it.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    role: Option<Role>,
    /// Where the table goes. [default: docs/reliability.md of this repository]
    #[arg(long)]
    out: Option<PathBuf>,
    /// Write no page, and fail if the rows are not those of the page that is there.
    #[arg(long)]
    check: bool,
    /// For how long the load runs, at least.
    #[arg(long, default_value_t = 300)]
    load_seconds: u64,
    /// How many kills at random times.
    #[arg(long, default_value_t = 800)]
    random_kills: u64,
    /// One step in so many is killed at; 1 is every step.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    stride: u64,
    /// What the random times come from. [default: the clock]
    #[arg(long)]
    seed: Option<u64>,
    /// Only this part; can be given again.
    #[arg(long, value_parser = ["crashes", "resources", "foreign-code", "hostile", "load"])]
    only: Vec<String>,
}

/// What this program does as a child of itself.
#[derive(Subcommand)]
enum Role {
    #[command(hide = true)]
    Gateway {
        #[arg(long)]
        home: PathBuf,
        #[arg(long)]
        evidence: PathBuf,
        #[arg(long)]
        tick_ms: u64,
        #[arg(long)]
        workers: u64,
    },
    #[command(hide = true)]
    Controller {
        #[arg(long)]
        home: PathBuf,
        #[arg(long)]
        evidence: PathBuf,
        #[arg(long)]
        name: String,
        #[arg(long)]
        rounds: u64,
    },
    #[command(hide = true)]
    Script {
        #[arg(long)]
        home: PathBuf,
        #[arg(long)]
        evidence: PathBuf,
        #[arg(long)]
        rounds: u64,
    },
    #[command(hide = true)]
    Endpoint {
        #[arg(long)]
        home: PathBuf,
    },
    #[command(hide = true)]
    Act {
        #[arg(long)]
        evidence: PathBuf,
    },
    #[command(hide = true)]
    Case { number: usize, folder: PathBuf },
    #[command(hide = true)]
    ForeignCode {
        #[arg(long)]
        home: PathBuf,
    },
    #[command(hide = true)]
    Starved { home: PathBuf },
    #[command(hide = true)]
    Load {
        #[arg(long)]
        seconds: u64,
        #[arg(long)]
        turns: u64,
        #[arg(long)]
        drains: u64,
    },
    #[command(hide = true)]
    Million,
    #[command(hide = true)]
    Stepper {
        #[arg(long)]
        at: u64,
        #[arg(long)]
        stop_ms: u64,
        #[arg(last = true)]
        role: Vec<String>,
    },
}

fn play(role: Role) -> Result<(), Box<dyn Error>> {
    match role {
        Role::Gateway { home, evidence, tick_ms, workers } => {
            roles::gateway(&home, &evidence, Duration::from_millis(tick_ms), workers)
        }
        Role::Controller { home, evidence, name, rounds } => Ok(roles::controller(&home, &evidence, &name, rounds)?),
        Role::Script { home, evidence, rounds } => Ok(roles::script(&home, &evidence, rounds)?),
        Role::Endpoint { home } => roles::endpoint(&home),
        Role::Act { evidence } => Ok(writers::act(&evidence)?),
        Role::Case { number, folder } => Ok(hostile::case(number, &folder)?),
        Role::ForeignCode { home } => foreign_code::gateway(&home),
        Role::Starved { home } => resources::starved(&home),
        Role::Load { seconds, turns, drains } => load::run(seconds, turns, drains),
        Role::Million => load::million(),
        Role::Stepper { at, stop_ms, role } => Ok(stepper::run(at, Duration::from_millis(stop_ms), &role)?),
    }
}

/// One part of the table: its name, and what runs it.
type Part<'a> = (&'a str, &'a dyn Fn() -> Vec<Row>);

fn main() -> Result<ExitCode, Box<dyn Error>> {
    if std::env::args_os().next().is_some_and(|name| name == children::TOOL) {
        // As every role: so that it is traced from its first step on.
        std::io::stdin().lines().next();
        return Ok(gateway_drain::cli::main());
    }
    let args = Args::parse();
    if let Some(role) = args.role {
        play(role)?;
        return Ok(ExitCode::SUCCESS);
    }
    let began = Instant::now();
    let seed = args.seed.unwrap_or_else(log::now);
    let crashes = || {
        vec![
            crashes::gateway_at_each_step(args.stride),
            crashes::start_stopped_at_each_step(args.stride),
            writers::at_each_step(
                "a controller killed before each step, from its begin to the end of its withdrawal",
                &[writers::CONTROLLER],
                args.stride,
            ),
            writers::at_each_step(
                "the command line killed before each step: `run`, `begin`, `wait`, `renew`, `commit`, `cancel`",
                &writers::COMMANDS,
                args.stride,
            ),
            writers::at_each_step(
                "a dashboard's endpoint killed before each step, as HTTP clients begin, commit and cancel",
                &[writers::ENDPOINT],
                args.stride,
            ),
            writers::at_random_times(args.random_kills / 4, seed),
            crashes::at_random_times(args.random_kills, seed),
        ]
    };
    let load = || load::rows(args.load_seconds);
    let foreign_code = || vec![foreign_code::row()];
    let parts: [Part; 5] = [
        ("crashes", &crashes),
        ("resources", &resources::rows),
        ("foreign-code", &foreign_code),
        ("hostile", &hostile::rows),
        ("load", &load),
    ];
    let chosen = parts.iter().filter(|(name, _)| args.only.is_empty() || args.only.iter().any(|only| only == name));
    let mut rows: Vec<Row> = Vec::new();
    for (name, part) in chosen {
        eprintln!("{name} ...");
        rows.extend(part());
    }
    for row in &rows {
        println!(
            "{} {} ({} {}): {}",
            if row.passes() { "pass" } else { "FAIL" },
            row.tried,
            row.times,
            row.unit,
            row.happened
        );
        row.faults.iter().take(5).for_each(|fault| println!("     {fault}"));
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reliability.md");
    let page = args.out.unwrap_or(page);
    let mut differ = Vec::new();
    if args.check {
        differ = report::compare(&page, &rows)?;
        for row in &differ {
            println!("FAIL not passed in both this run and {}: {row}", page.display());
        }
    } else {
        report::write(&page, &rows, began.elapsed(), seed)?;
    }
    Ok(if differ.is_empty() && rows.iter().all(Row::passes) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
