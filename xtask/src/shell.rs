//! Running commands in the root of the repository.

use std::path::{Path, PathBuf};
use std::process::Command;

pub type Done = Result<(), String>;

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package lies in the root").to_owned()
}

/// A command in the root, with nothing in its environment that `cargo run` has put there for this program.
pub fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    for (name, _) in
        std::env::vars().filter(|(name, _)| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
    {
        command.env_remove(name);
    }
    command
}

/// A command line, with words between spaces.
pub fn line(words: &str) -> Command {
    let mut words = words.split_whitespace();
    let mut command = command(words.next().expect("a program"));
    command.args(words);
    command
}

/// Runs it to its end, and wants success.
pub fn run(command: &mut Command) -> Done {
    println!("$ {}", shown(command));
    let status = command.status().map_err(|error| format!("{}: {error}", shown(command)))?;
    if status.success() { Ok(()) } else { Err(format!("{} ended with {status}", shown(command))) }
}

/// What it prints, on success.
pub fn output(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{}: {error}", shown(command)))?;
    if !output.status.success() {
        return Err(format!(
            "{} ended with {}:\n{}",
            shown(command),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    String::from_utf8(output.stdout).map_err(|error| error.to_string())
}

/// Whether it can be run, and succeeds.
pub fn works(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// Has the system's packages with these programs, if one of them isn't there.
pub fn install(programs: &[&str], packages: &[&str]) -> Done {
    let there = |program: &&str| works(command("sh").args(["-c", "command -v \"$0\"", program]));
    if programs.iter().all(there) {
        return Ok(());
    }
    run(&mut line("apt-get update -q"))?;
    run(line("apt-get install -qy --no-install-recommends").args(packages))
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    let variables =
        command.get_envs().filter_map(|(name, value)| Some(format!("{}={} ", name.display(), value?.display())));
    variables.collect::<String>() + &words.join(" ")
}
