//! The commands of this repository that are more than one command of cargo: `cargo xtask help` names them.

#![warn(clippy::pedantic)]

mod docs;
mod ladder;
mod mutants;
mod package;
mod shell;
mod steps;
mod tables;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask check               what a change is looked through for first: format, lints, generated pages
cargo xtask docs                writes every page that is made from the code
cargo xtask docs --check        compares them instead
cargo xtask docs --measured     writes the pages of measurements as well (half an hour, root, a quiet machine)
cargo xtask ci                  every check that `cargo test` leaves out, one after the other
cargo xtask ci STEP...          these alone
cargo xtask ci --from STEP      this one and those behind it
cargo xtask ci --list           their names
cargo xtask nightly             what takes too long to stand before each change
cargo xtask mutants             changes every function of the files that it knows in every way, and wants each change noticed
cargo xtask mutants FILE... WORD...  of these files alone, any of src, and by the tests whose names have one of these words
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["check"] => ladder::climb(&["format", "clippy", "docs"]),
        ["docs"] => docs::write(),
        ["docs", "--check"] => docs::check(),
        ["docs", "--measured"] => docs::write().and_then(|()| docs::measure()),
        ["ci"] => ladder::climb(&[]),
        ["ci", "--list"] => {
            ladder::list();
            Ok(())
        }
        ["nightly"] => ladder::climb_at_night(),
        ["ci", "--from", step] => ladder::climb_from(step),
        ["ci", steps @ ..] => ladder::climb(steps),
        ["mutants", files @ ..] => mutants::run_on(files),
        ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            Ok(())
        }
        _ => Err(format!("unknown command; there are\n{HELP}")),
    };
    done.map_or_else(
        |why| {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}
