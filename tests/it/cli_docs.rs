//! `docs/cli.md` says what the command line says: it is generated from the command line's own definition.
//!
//! To write it after a change: `cargo xtask docs`.

use crate::support::generated::compare_or_write;
use clap::Command;
use gateway_drain::cli::arguments;
use gateway_drain::client::ExitCode;
use std::fmt::Write;
use std::path::Path;

fn document() -> String {
    let mut text = "# The command line\n\n\
        Generated from the definitions in `src/cli/arguments.rs` and `src/client/failure.rs`; a test compares the two.\n\n\
        ## Exit codes\n\n| Code | Word in `--json` | Meaning |\n|---|---|---|\n"
        .to_owned();
    for code in ExitCode::ALL {
        writeln!(text, "| {} | `{}` | {} |", code.code(), code.as_str(), code.meaning()).unwrap();
    }
    text.push_str("\n`run` passes its command's codes through, and its own are 200 more (230 for an interruption). A command that \
        waits for nothing says `done` in `--json` where it is 0.\n");
    text.push_str(UNWRITABLE);
    let mut command = arguments::command().after_long_help("").after_help("").term_width(100);
    command.build();
    describe(&mut text, command, "");
    text
}

const UNWRITABLE: &str = "
## What can't be written

**A home.** No permission and a file system that is mounted read-only are 8, at once. Anything else that keeps a request from being
written, such as a full disk or a quota, may pass: it is tried again for `--patience`, and is 7 then, with the system's own words.
A gateway whose lock is held lives. If its status isn't there, or is another program's, that is silence: 7 after `--patience`,
and `status` says so at once.

Over HTTP a gateway that restarts refuses connections for a moment, and every command that waits for it rides that out for `--patience`: `run`,
`begin`, `wait`, `renew`, `commit`, `cancel`, `override`. Nobody waits for a `status`: a connection that is refused for a second is 7.

**A result.** One that can't be written is a failure (1), and is said once. Where it is the only copy of a key (`begin`'s name,
`commit`'s token, `secret new`), the hold or the commit is taken back. A pipe whose reader has gone is a failure of these alone: of
what is only shown (`status`, `wait`, `check-trace`, `probe`, `man`, the help) nothing more is said, and the exit code is
the same as if all had been read, so that `status | head -1` under `pipefail` still answers. A reader that stands still is waited for until
a signal comes: the exit code is 130 then, and 230 under `run`.

**A closed stdout** (`>&-`) can't be seen. Before the program begins, its runtime opens `/dev/null` in the place of a descriptor that is
closed, and that one can't be told from a `/dev/null` that the caller opened for reading and writing, as Python's
`subprocess.DEVNULL` is. A key that is written there is lost: a token is still found by `cancel`, and a hold whose name nobody has lasts
for its lease.
";

fn describe(text: &mut String, mut command: Command, above: &str) {
    let name = format!("{above}{}", command.get_name());
    // What every command has is said once, at the top.
    if !above.is_empty() {
        command = command.mut_args(|argument| {
            let everywhere = argument.is_global_set() || matches!(argument.get_id().as_str(), "help" | "version");
            argument.hide(everywhere)
        });
    }
    let help = command.clone().bin_name(&name).render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    write!(text, "\n## `{name}`\n\n```text\n{}\n```\n", lines.join("\n").trim_end()).unwrap();
    for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
        describe(text, inner.clone(), &format!("{name} "));
    }
}

#[test]
fn the_document_is_what_the_command_line_says() {
    compare_or_write(Path::new(env!("CARGO_MANIFEST_DIR")), "docs/cli.md", &document());
}

#[test]
fn the_definition_of_the_command_line_is_sound() {
    arguments::command().debug_assert();
}

#[test]
fn each_exit_code_has_a_number_of_its_own_and_is_in_the_help() {
    let help = arguments::command().render_long_help().to_string();
    let mut numbers: Vec<u8> = ExitCode::ALL.into_iter().map(ExitCode::code).collect();
    numbers.dedup();
    let known = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 130];
    assert_eq!(
        numbers,
        known.into_iter().filter(|n| cfg!(feature = "fleet") || !(13..16).contains(n)).collect::<Vec<u8>>()
    );
    for code in ExitCode::ALL {
        assert!(help.contains(code.meaning()), "{code:?} is not in the help");
    }
}

#[test]
fn the_manual_and_the_completions_are_generated_for_every_command() {
    let tool = |arguments: &[&str]| {
        let run = std::process::Command::new(env!("CARGO_BIN_EXE_gateway-drain")).args(arguments).output();
        let output = run.expect("the tool runs");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("its output is text")
    };
    for shell in ["bash", "zsh", "fish"] {
        let completions = tool(&["completions", shell]);
        assert!(completions.contains("unready-delay"), "{shell} doesn't know every option");
    }
    assert!(tool(&["man"]).contains(ExitCode::Deadline.meaning()), "the manual has no exit codes");
    let folder = tempfile::tempdir().expect("a temporary folder");
    tool(&["man", "--dir", folder.path().to_str().expect("its name is text")]);
    for page in ["gateway-drain.1", "gateway-drain-run.1", "gateway-drain-secret-new.1"] {
        assert!(folder.path().join(page).exists(), "there is no {page}");
    }
}
