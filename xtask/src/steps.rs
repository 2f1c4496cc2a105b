//! What the steps of the ladder do that are no script of `.ci`.

use crate::shell::{Done, command, install, line, output, run, works};
use crate::tables::FUZZ_SECONDS;
use serde_json::Value;
use std::process::Command;

/// Packages with a lock of their own. What they share with the rest is taken from the folder of the rest.
const APART: [&str; 2] = ["benches", "fuzz"];
/// The packages that a plain `cargo test` runs. Their features are chosen together: a test of one of them that is chosen by its
/// name alone, and not by its package, is built from what is built already.
const DEFAULT: [&str; 3] = ["gateway-drain", "gateway-drain-interleavings", "gateway-drain-protocol"];
/// A user compiles no more crates than this, the crate itself included.
const MOST_CRATES: usize = 32;

pub fn script(name: &str) -> Done {
    run(&mut command(&format!(".ci/{name}")))
}

/// A subcommand of cargo that a component of the toolchain brings, which is added if it isn't there.
fn tool(subcommand: &str, component: &str) -> Result<Command, String> {
    if !works(command("cargo").args([subcommand, "--version"])) {
        run(&mut line(&format!("rustup component add {component}")))?;
    }
    Ok(line(&format!("cargo {subcommand}")))
}

pub fn format() -> Done {
    run(tool("fmt", "rustfmt")?.args(["--all", "--check"]))?;
    APART
        .into_iter()
        .try_for_each(|apart| run(line("cargo fmt --check --manifest-path").arg(format!("{apart}/Cargo.toml"))))
}

pub fn clippy() -> Done {
    run(tool("clippy", "clippy")?.args(["--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"]))?;
    APART.into_iter().try_for_each(|apart| {
        let manifest = format!("{apart}/Cargo.toml");
        run(line("cargo clippy --locked --all-targets --all-features --target-dir target --manifest-path")
            .args([&manifest, "--", "-D", "warnings"]))
    })
}

/// What cargo knows of the crate itself.
fn metadata() -> Result<Value, String> {
    let text = output(&mut line("cargo metadata --no-deps --format-version 1"))?;
    let metadata: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    packages.into_iter().find(|package| package["name"] == "gateway-drain").cloned().ok_or("no such package".into())
}

pub fn features() -> Done {
    let alone = |more: &[&str]| {
        run(line("cargo clippy --package gateway-drain --no-default-features")
            .args(more)
            .args(["--", "-D", "warnings"]))
    };
    alone(&[])?;
    let metadata = metadata()?;
    let names = metadata["features"].as_object().ok_or("the manifest has no features")?.keys();
    names.filter(|name| *name != "default").try_for_each(|name| alone(&["--features", name]))
}

pub fn rustdoc() -> Done {
    run(line("cargo doc --package gateway-drain --no-deps --all-features").env("RUSTDOCFLAGS", "-D warnings"))
}

pub fn crates() -> Done {
    let tree = output(&mut line(
        "cargo tree --package gateway-drain -e normal --no-default-features --prefix none --format {p}",
    ))?;
    let crates = tree.lines().collect::<std::collections::BTreeSet<_>>().len();
    println!("{crates} crates without a feature, itself included");
    if crates <= MOST_CRATES { Ok(()) } else { Err(format!("{crates} crates, and at most {MOST_CRATES} are promised")) }
}

/// Builds what users build with the compiler that the manifest promises: what only the tests use may need a newer one.
pub fn msrv() -> Done {
    let metadata = metadata()?;
    let promised = metadata["rust_version"].as_str().ok_or("the manifest promises no version")?;
    let toolchain = format!("+{promised}");
    if !works(command("cargo").args([&toolchain, "--version"])) {
        run(line("rustup toolchain install --profile minimal").arg(promised))?;
    }
    run(line("cargo")
        .arg(toolchain)
        .args("check --package gateway-drain --all-features --lib --bins --target-dir target/msrv".split(' ')))
}

pub fn rest() -> Done {
    let mut test = line("cargo test --workspace --all-features");
    for package in DEFAULT {
        test.args(["--exclude", package]);
    }
    run(&mut test)
}

pub fn suite() -> Done {
    let walk = "the_controller_follows_the_golden_table_through_every_sequence_of_at_least_six_events";
    run(line("cargo test --all-features --test it -- --exact --nocapture")
        .arg(format!("table::{walk}"))
        .env("EVENTS", "8"))?;
    run(&mut line("cargo test --all-features --test external -- broken_gateways:: own_gateways::"))?;
    run(&mut line("cargo test --all-features --test conformance"))
}

/// Of which a plain `cargo test` tries every fourth.
pub fn proxies() -> Done {
    let mut test = line("cargo test --all-features --test processes --");
    run(test.args(["behind_a_proxy_that_answers_by_itself_for_a_second", "--nocapture"]).env("PROXIED", "all"))
}

/// What explores to the end takes minutes, so a plain `cargo test` leaves it out.
pub fn model() -> Done {
    let mut test = line("cargo test --config verification/protocol/optimised.toml --all-features");
    for target in ["safety", "liveness", "seeds", "fleet", "second_explorer", "compiler", "channel"] {
        test.args(["--test", target]);
    }
    run(test.env("SEQUENCES", "200"))
}

/// With those whole that a plain `cargo test` explores within a bound.
pub fn large_models() -> Done {
    let mut test = line("cargo test --all-features --test models");
    run(test.env("EXECUTIONS", "all"))
}

/// In a folder of its own, since the flag rebuilds everything.
pub fn shuttle() -> Done {
    let mut test = line("cargo test --package gateway-drain-interleavings --no-default-features --features shuttle");
    run(test.args(["--target-dir", "target/shuttle"]).env("RUSTFLAGS", "--cfg shuttle -D warnings"))
}

/// In a folder of its own, as with shuttle.
pub fn loom() -> Done {
    let mut test = line("cargo test --all-features --package gateway-drain-example-loom --target-dir target/loom");
    run(test.env("RUSTFLAGS", "--cfg loom -D warnings"))
}

pub fn foreign_ground() -> Done {
    install(&["strace", "unshare"], &["strace", "util-linux"])?;
    run(&mut line("cargo test --all-features --test external -- foreign_ground:: pid_namespace::"))
}

pub fn strangers() -> Done {
    let tests = "cargo test --all-features --test processes -- --nocapture strangers::";
    run(line(tests).env("STRANGERS_SECONDS", "60"))
}

pub fn fuzz() -> Done {
    run(command(".ci/fuzz").arg(FUZZ_SECONDS.to_string()))
}

/// Every step is killed at. What rests on luck and on time is tried less than for the page.
pub fn faults() -> Done {
    run(&mut line(".ci/faults --check --random-kills 400 --load-seconds 60"))
}
