//! Measures gateway-drain beside its peers, prints the ratios and writes `docs/performance.md`.
//!
//! | Part | File |
//! |---|---|
//! | rounds, medians, ratios | `rounds.rs` |
//! | guards: the gate's permits and their peers' | `guards.rs` |
//! | what grows with work in flight and with waiters | `growth.rs` |
//! | the tower layer | `serving.rs` |
//! | the reconciler at rest, the explorer | `rest.rs` |
//! | those who wait | `idle.rs` |
//! | from a wish to an act, and others' ways | `wish.rs`, `others.rs` |
//! | what was aimed at | `targets.rs` |
//! | the page and its plots | `page.rs`, `plots.rs` |

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "times and counts here are far below 2^52, and shown in three digits"
)]

mod growth;
mod guards;
mod idle;
mod others;
mod page;
mod plots;
mod rest;
mod rounds;
mod serving;
mod targets;
mod wish;

use rounds::{Measured, ROUNDS, contender};
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

/// Under the name of the command line it is the command line.
fn main() -> ExitCode {
    if std::env::args_os().next().is_some_and(|name| Path::new(&name).ends_with("gateway-drain")) {
        return gateway_drain::cli::main();
    }
    match bench() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn bench() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "rest") {
        rest::rest(arguments.get(at + 1).ok_or("rest: of how many holds?")?.parse()?);
        return Ok(());
    }

    let mut measured = Measured::default();
    let cores = rounds::cores();
    eprintln!("from a wish to an act");
    let found = wish::measure(&mut measured)?;
    let guards = guards::all();
    for threads in page::THREADS {
        eprintln!("guards on {threads} thread(s), {cores} cores");
        measured.interleave(ROUNDS, guards::contenders(&guards, threads));
    }
    eprintln!("work in flight");
    measured.interleave(ROUNDS, growth::IN_FLIGHT.into_iter().flat_map(growth::in_flight).collect());
    eprintln!("waiters");
    measured.interleave(ROUNDS, growth::WAITERS.into_iter().flat_map(growth::waiters).collect());
    measured.interleave(5 * ROUNDS, growth::wake_ups());
    eprintln!("the layer");
    measured.interleave(ROUNDS, serving::empty());
    measured.take(targets::ALLOCATIONS, vec![serving::allocations() as f64]);
    measured.interleave(10 * ROUNDS, serving::servers());
    eprintln!("the explorer");
    measured.interleave(10, vec![contender(rest::EXPLORER, rest::edges)]);
    eprintln!("at rest");
    for (holds, seconds) in rest::HOLDS.into_iter().zip(rest::at_rest()?) {
        measured.take(growth::with(rest::REST, holds), seconds);
    }

    let targets = targets::all(&guards);
    page::print(&measured, &targets);
    page::write(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs"), &measured, &guards, &targets, &found)
}
