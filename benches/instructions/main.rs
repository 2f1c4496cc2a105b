//! Counts the instructions of the hot paths (`paths.rs`) under callgrind, and compares them with `counts.txt`.
//!
//! Times are noisy where others work beside; counts are not. Each path is gone N times and 2 N times, and the difference
//! divided by N is what one time costs: whatever starts and ends a process is in both.
//!
//! A count may differ by 2 % from the one kept, in either direction: one that has become smaller is kept in its place, or the gain
//! could be lost again unseen. Counts are those of one compiler and one architecture, which the file names. With another
//! compiler the bound is 20 %, and the program says so; on another architecture it compares nothing and fails.
//!
//! callgrind also counts system calls. A path makes none, but for reading the clock, which is one under valgrind alone.

mod paths;

use paths::{PATHS, Path};
use std::env;
use std::fmt::Write;
use std::fs;
use std::process::{Command, ExitCode};

const COUNTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions/counts.txt");
/// Counts are those of one compiler for one architecture.
const COMPILER: &str = env!("COUNTED_WITH");
const TIMES: u64 = 10_000;

/// By how much a count may differ, with the compiler that the kept ones are from.
const BOUND: f64 = 0.02;
/// And with another one.
const WIDE_BOUND: f64 = 0.20;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => check(),
        ["--write"] => write(),
        ["go", name, times] => go(name, times),
        _ => Err("usage: instructions [--write]".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("instructions: {why}");
            ExitCode::FAILURE
        }
    }
}

/// What callgrind runs.
fn go(name: &str, times: &str) -> Result<(), String> {
    let times = times.parse().map_err(|_| format!("{times} is no number"))?;
    let (name, without) = name.strip_prefix("without ").map_or((name, false), |name| (name, true));
    let path = PATHS.iter().find(|path| path.name == name).ok_or_else(|| format!("there is no path {name}"))?;
    match (without, path.without) {
        (false, _) => (path.go)(times),
        (true, Some(without)) => without(times),
        (true, None) => return Err(format!("{name} is counted whole")),
    }
    Ok(())
}

fn check() -> Result<(), String> {
    let text = fs::read_to_string(COUNTS).map_err(|error| format!("{COUNTS}: {error}"))?;
    let kept = Kept::parse(&text)?;
    let bound = kept.bound(COMPILER)?;
    if kept.compiler != COMPILER {
        println!(
            "kept from {}, counted with {COMPILER}: compared to {:.0} %; `--write` keeps new ones",
            kept.compiler,
            bound * 100.0
        );
    }
    let mut faults = Vec::new();
    for (name, found) in count_all()? {
        let verdict = kept.judge(name, found, bound);
        println!("{name:<10} {found:>8.1}  {}", verdict.as_ref().map_or_else(String::as_str, |()| "as kept"));
        faults.extend(verdict.err().map(|why| format!("{name}: {why}")));
    }
    if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) }
}

fn write() -> Result<(), String> {
    let mut text = format!(
        "# Instructions of each hot path, once through it. Written by `.ci/instructions --write`.\n\
         compiler {COMPILER}\n"
    );
    for (name, count) in count_all()? {
        writeln!(text, "{name} {count:.1}").expect("a string takes all");
    }
    fs::write(COUNTS, text).map_err(|error| format!("{COUNTS}: {error}"))
}

fn count_all() -> Result<Vec<(&'static str, f64)>, String> {
    PATHS.iter().map(|path| Ok((path.name, count(path)?))).collect()
}

/// The instructions of one time through this path.
fn count(path: &Path) -> Result<f64, String> {
    let whole = once(path.name)?;
    if whole.system_calls != 0.0 && !path.calls_the_system {
        return Err(format!("{} makes {} system calls each time, and must make none", path.name, whole.system_calls));
    }
    let less = if path.without.is_some() { once(&format!("without {}", path.name))?.instructions } else { 0.0 };
    Ok(whole.instructions - less)
}

#[derive(Debug, PartialEq)]
struct Events {
    instructions: f64,
    system_calls: f64,
}

/// What one time costs: the difference between `TIMES` and twice as many, for each.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn once(name: &str) -> Result<Events, String> {
    let (n, two_n) = (callgrind(name, TIMES)?, callgrind(name, 2 * TIMES)?);
    let each = |at: usize| (two_n[at] as f64 - n[at] as f64) / TIMES as f64;
    Ok(Events { instructions: each(0), system_calls: each(1) })
}

/// Instructions and system calls of a whole run.
fn callgrind(name: &str, times: u64) -> Result<[u64; 2], String> {
    let me = env::current_exe().map_err(|error| error.to_string())?;
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-systime=usec"])
        .arg(me)
        .args(["go", name, &times.to_string()])
        .output()
        .map_err(|error| format!("valgrind can't be run: {error}"))?;
    let said = String::from_utf8_lossy(&run.stderr);
    if !run.status.success() {
        return Err(format!("valgrind failed at {name}:\n{said}"));
    }
    collected(&said).ok_or_else(|| format!("valgrind doesn't say what it counted at {name}:\n{said}"))
}

/// The numbers behind `Collected :` in what callgrind says at its end: `Ir sysCount sysTime`.
fn collected(said: &str) -> Option<[u64; 2]> {
    let (_, numbers) = said.lines().find_map(|line| line.split_once("Collected :"))?;
    let mut numbers = numbers.split_whitespace().map_while(|number| number.parse().ok());
    Some([numbers.next()?, numbers.next()?])
}

/// What `counts.txt` says.
#[derive(Debug, PartialEq)]
struct Kept {
    compiler: String,
    counts: Vec<(String, f64)>,
}

impl Kept {
    fn parse(text: &str) -> Result<Self, String> {
        let mut compiler = None;
        let mut counts = Vec::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            match line.split_once(' ') {
                Some(("compiler", name)) => compiler = Some(name.to_owned()),
                Some((name, count)) if count.parse::<f64>().is_ok_and(|count| count > 0.0) => {
                    counts.push((name.to_owned(), count.parse().unwrap_or_default()));
                }
                _ => return Err(format!("{COUNTS}: can't read the line: {line}")),
            }
        }
        Ok(Self { compiler: compiler.ok_or_else(|| format!("{COUNTS} names no compiler"))?, counts })
    }

    /// How far counts by this compiler may differ from those kept.
    fn bound(&self, compiler: &str) -> Result<f64, String> {
        let architecture = |name: &str| name.rsplit('-').next().map(ToOwned::to_owned);
        if self.compiler == compiler {
            Ok(BOUND)
        } else if architecture(&self.compiler) == architecture(compiler) {
            Ok(WIDE_BOUND)
        } else {
            Err(format!("the counts kept are from {}, this is {compiler}: they can't be compared", self.compiler))
        }
    }

    fn judge(&self, name: &str, found: f64, bound: f64) -> Result<(), String> {
        let (_, kept) =
            self.counts.iter().find(|(kept, _)| kept == name).ok_or_else(|| "no count is kept".to_owned())?;
        let changed = found / kept - 1.0;
        if changed.abs() <= bound {
            return Ok(());
        }
        let what = if changed > 0.0 { "costs more" } else { "costs less: keep it with `--write`" };
        Err(format!("{kept:.1} kept, {found:.1} now, {:+.1} %, {what}", changed * 100.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> Kept {
        Kept::parse("# by hand\ncompiler 1.95.0-x86_64\nborrowed 50.0\n").expect("it can be read")
    }

    #[test]
    fn a_path_that_costs_more_than_two_percent_more_is_a_fault_and_so_is_one_that_costs_less() {
        assert_eq!(kept().judge("borrowed", 50.9, BOUND), Ok(()));
        assert_eq!(kept().judge("borrowed", 52.0, BOUND), Err("50.0 kept, 52.0 now, +4.0 %, costs more".into()));
        assert!(kept().judge("borrowed", 48.0, BOUND).is_err_and(|why| why.contains("costs less")));
        assert!(kept().judge("owned", 48.0, BOUND).is_err(), "a path without a kept count can't be judged");
    }

    #[test]
    fn another_compiler_is_compared_more_widely_and_another_architecture_not_at_all() {
        assert_eq!(kept().bound("1.95.0-x86_64"), Ok(BOUND));
        assert_eq!(kept().bound("1.96.1-x86_64"), Ok(WIDE_BOUND));
        assert!(kept().bound("1.95.0-aarch64").is_err());
    }

    #[test]
    fn what_cannot_be_read_is_no_count() {
        assert!(Kept::parse("compiler 1.95.0-x86_64\nborrowed\n").is_err());
        assert!(Kept::parse("compiler 1.95.0-x86_64\nborrowed -1\n").is_err());
        assert!(Kept::parse("borrowed 1.0\n").is_err());
        assert_eq!(collected("==1== Events    : Ir sysCount\n==1== Collected : 21 3 7\n"), Some([21, 3]));
        assert_eq!(collected("==1== Collected :\n"), None);
    }
}
