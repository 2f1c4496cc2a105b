//! The checks that `cargo test` leaves out, each a step with a name.

use crate::shell::Done;
use crate::steps::{self, script};
use crate::{docs, mutants, package};
use std::time::{Duration, Instant};

struct Step {
    name: &'static str,
    what: &'static str,
    run: fn() -> Done,
}

const fn step(name: &'static str, what: &'static str, run: fn() -> Done) -> Step {
    Step { name, what, run }
}

/// In this order: what fails soonest comes first.
const STEPS: &[Step] = &[
    step("format", "rustfmt, of every package", steps::format),
    step("clippy", "lints of everything, with all features", steps::clippy),
    step("docs", "the pages that are made from the code are what it makes", docs::check),
    step("features", "each feature alone, and none", steps::features),
    step("rustdoc", "the documentation, without a warning", steps::rustdoc),
    step("crates", "how many crates a user compiles without a feature", steps::crates),
    step("msrv", "the oldest compiler that is promised", steps::msrv),
    step("rest", "the examples' and the tools' own tests", steps::rest),
    step(
        "suite",
        "the golden table through every sequence of eight events; the conformance suite judges the crate's gateways, and catches those \
         that are broken by one flaw each, also under loom",
        steps::suite,
    ),
    step("proxies", "each ending and each request of a client behind a proxy that answers by itself", steps::proxies),
    step(
        "model",
        "every state of the protocol and of a fleet, by two explorers, and every rule left out; 200 sequences beside the reference model",
        steps::model,
    ),
    step("large-models", "the models of races, each whole", steps::large_models),
    step("shuttle", "the models of races under drawn schedules, with many tasks", steps::shuttle),
    step("loom", "the crate itself on loom's primitives, as its users explore their own code", steps::loom),
    step("foreign-ground", "other users, PID namespaces, forked children, odd file systems", steps::foreign_ground),
    step("browser", "the status page in Chromium", || script("browser")),
    step("fleet", "rolls of a fleet over a real etcd", || script("fleet")),
    step(
        "fleet-faults",
        "a fleet's budget while controllers and members of etcd are killed, stopped and cut off",
        || script("fleet-faults"),
    ),
    step("deployment", "systemd, Kubernetes' schema, HAProxy under load", || script("deployment")),
    step("reference", "hermes-agent on the same home", || script("reference")),
    step("metrics", "alerts and dashboard, by promtool", || script("metrics")),
    step("schema", "what the OpenAPI description permits is answered as it says", || script("schema")),
    step("instructions", "the instructions of the hot paths, counted", || script("instructions")),
    step("proofs", "the gate's and the protocol's proofs, by two solvers", || script("prove")),
    step("unoptimised", "models without the optimiser", || script("unoptimised")),
    step("tlc", "the TLA+ specification, and that it is the model", || script("tlc")),
    step("tsan", "real threads under ThreadSanitizer", || script("tsan")),
    step("planted", "bugs planted in the source, each of which turns its check red", || script("planted")),
    step("fuzz", "every fuzz target, for a short time", steps::fuzz),
    step("faults", "kills, starvation, hostile input and load on real processes", steps::faults),
];

/// What takes too long, or depends too much on the luck of a schedule, to stand before each change.
const NIGHTLY: &[Step] = &[
    step("package", "what is published passes its own tests", package::run_tests),
    step("recipes", "other servers and a broker, each with a gate", || script("recipes")),
    step("strangers", "a local and a remote stranger, who send anything for a minute", steps::strangers),
    step("luck", "new sequences of events beside the reference model, from a seed that is drawn", || script("luck")),
    step("stopped", "the tests while they, the gateways or the tools are stopped again and again", || {
        script("stopped")
    }),
    step("without-events", "the tests where the system tells of no change in a folder", || script("without-events")),
    step("mutants", "every change of every function that cargo-mutants knows", || mutants::run_on(&[])),
    step("judges", "the conformance suite against gateways of many makes, broken and correct", || script("judges")),
];

fn all() -> impl Iterator<Item = &'static Step> {
    STEPS.iter().chain(NIGHTLY)
}

pub fn list() {
    for Step { name, what, .. } in all() {
        println!("{name:<16} {what}");
    }
}

/// The steps of these names, or all but the nightly ones.
pub fn climb(names: &[&str]) -> Done {
    if let Some(unknown) = names.iter().find(|name| !all().any(|step| step.name == **name)) {
        return Err(format!("there is no step {unknown}; `cargo xtask ci --list` names them"));
    }
    if names.is_empty() {
        climb_each(STEPS.iter())
    } else {
        climb_each(all().filter(|step| names.contains(&step.name)))
    }
}

pub fn climb_at_night() -> Done {
    climb_each(NIGHTLY.iter())
}

pub fn climb_from(name: &str) -> Done {
    let first = STEPS.iter().position(|step| step.name == name);
    climb_each(STEPS[first.ok_or_else(|| format!("there is no step {name}"))?..].iter())
}

/// Runs them up to the first that fails, and prints what each took.
fn climb_each(steps: impl Iterator<Item = &'static Step>) -> Done {
    let mut took: Vec<(&str, Duration)> = Vec::new();
    let mut done = Ok(());
    for step in steps {
        println!("\n== {}: {}", step.name, step.what);
        let began = Instant::now();
        done = (step.run)().map_err(|why| format!("step {}: {why}", step.name));
        took.push((step.name, began.elapsed()));
        if done.is_err() {
            break;
        }
    }
    println!();
    for (name, time) in &took {
        println!("{name:<16} {:>7.1} s", time.as_secs_f32());
    }
    let total: Duration = took.iter().map(|(_, time)| *time).sum();
    println!("{:<16} {:>7.1} s", "in all", total.as_secs_f32());
    done
}
