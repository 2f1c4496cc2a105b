//! Changes every function of the core, the pure and the concurrent, in every way that cargo-mutants knows, and wants each change
//! noticed by the tests that the file names in [`MUTATED`]. What is left out, and why, stands in `.cargo/mutants.toml`.
//!
//! One file after another, on two processors, it takes half an hour: it is no step of `cargo xtask ci`. A mutant that doesn't
//! compile isn't counted, and one that makes its tests hang counts as noticed. Memory orderings aren't mutated: bugs are planted
//! in them.

use crate::shell::{Done, command, line, output, root, run, works};
use crate::tables::MUTATED;
use std::fs;
use std::process::Command;

/// Not the tests with limits of time, but where there are no others, and not the walks that take longer than all else: on a busy
/// machine they would fail, or run into the limit of a mutant, and that would pass for a mutant that is noticed.
const SLOW: [&str; 2] = ["--skip", "of_eight_events"];
const TIMED: [&str; 2] = ["--skip", "reconciler::tests"];

pub fn run_on(files: &[&str]) -> Done {
    if let Some(unknown) = files.iter().find(|file| !MUTATED.iter().any(|(mutated, _)| mutated == *file)) {
        return Err(format!("{unknown} is none of the files in xtask/src/tables.rs"));
    }
    if !works(&mut line("cargo mutants --version")) {
        run(&mut line("cargo install --locked cargo-mutants --version 27.1.0"))?;
    }
    let tree = copied()?;
    let mut survived = Vec::new();
    for (file, tests) in MUTATED.iter().filter(|(file, _)| files.is_empty() || files.contains(file)) {
        println!("== {file}");
        let (programs, filters) = arguments(file, tests);
        let in_tree = |mut command: Command| {
            command.current_dir(&tree).env("CARGO_TARGET_DIR", root().join("target/mutants/build"));
            command.envs([("CARGO_PROFILE_DEV_DEBUG", "0"), ("CARGO_INCREMENTAL", "1")]);
            command
        };
        output(in_tree(line("cargo test --quiet")).args(&programs).arg("--").args(&filters))
            .map_err(|why| format!("{file}, without a mutant: {why}"))?;
        let mut mutants = in_tree(line("cargo mutants --in-place --baseline skip --timeout 30 --colors never"));
        mutants.args(["-f", file, "-o"]).arg(root().join("target/mutants").join(file.replace('/', ".")));
        // As arguments of cargo itself: what stands behind "--" is not said to the build, which would build every test.
        mutants.args(programs.iter().map(|argument| format!("--cargo-arg={argument}")));
        let ended = mutants.args(["--", "--"]).args(filters).status().map_err(|error| error.to_string())?;
        // 3: some mutants ran into the time limit, and none survived.
        if !matches!(ended.code(), Some(0 | 3)) {
            survived.push(*file);
        }
    }
    if survived.is_empty() { Ok(()) } else { Err(format!("mutants survived in {survived:?}: see MISSED above")) }
}

/// The test programs, and what picks the tests in them.
fn arguments(file: &str, tests: &str) -> (Vec<String>, Vec<String>) {
    let mut programs = vec!["--test".to_owned(), "it".to_owned()];
    let mut filters = Vec::new();
    for word in tests.split(' ') {
        if word == "lib" {
            programs.push("--lib".to_owned());
            filters.push("tests::".to_owned());
        } else {
            filters.push(format!("{word}::"));
        }
    }
    let timed = if file == "src/reconciler.rs" { &[][..] } else { &TIMED[..] };
    filters.extend(SLOW.iter().chain(timed).map(|word| (*word).to_owned()));
    (programs, filters)
}

/// A copy of the sources that is built again and again, so that nothing but the mutated function is compiled each time.
fn copied() -> Result<std::path::PathBuf, String> {
    let tree = root().join("target/mutants/tree");
    let _ = fs::remove_dir_all(&tree);
    fs::create_dir_all(&tree).map_err(|error| error.to_string())?;
    // With new times (-m): what was built last may hold a mutant.
    let copy = "git ls-files -co --exclude-standard -z | tar -c --null -T - | tar -xm -C \"$0\"";
    run(command("sh").args(["-c", copy]).arg(&tree))?;
    Ok(tree)
}
