//! The table of `docs/reliability.md`: its numbers are those of the run that wrote it.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::io;
use std::path::Path;
use std::time::Duration;

/// One row: what was tried, how often, what happened, and whether that is as it must be.
#[derive(Debug)]
pub struct Row {
    pub part: &'static str,
    pub tried: &'static str,
    pub times: u64,
    pub unit: &'static str,
    pub happened: String,
    /// What fell short; a row passes only if it is empty.
    pub faults: Vec<String>,
}

impl Row {
    pub fn new(part: &'static str, tried: &'static str, unit: &'static str) -> Self {
        Self { part, tried, unit, times: 0, happened: String::new(), faults: Vec::new() }
    }

    /// Notes a fault unless `so`.
    pub fn must(&mut self, so: bool, fault: impl FnOnce() -> String) {
        if !so {
            let fault = fault();
            eprintln!("FAULT in {:?}: {fault}", self.tried);
            self.faults.push(fault);
        }
    }

    /// Unwraps, or notes the error as a fault.
    pub fn some<T, E: std::fmt::Display>(&mut self, what: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.must(false, || format!("{what}: {error}"))).ok()
    }

    pub fn passes(&self) -> bool {
        self.faults.is_empty() && self.times > 0
    }

    fn cells(&self) -> String {
        let verdict = if self.passes() { "pass" } else { "**FAIL**" };
        let faults =
            if self.faults.is_empty() { String::new() } else { format!(" Fell short: {}.", self.faults.len()) };
        let unit = if self.times == 1 { self.unit.trim_end_matches('s') } else { self.unit };
        format!("| {} | {} {unit} | {}{faults} | {verdict} |", self.tried, grouped(self.times), self.happened)
    }
}

/// A number in groups of three digits.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| str::from_utf8(group).unwrap_or_default()).collect();
    groups.join(",")
}

const HEAD: &str = "\
# Reliability: what was tried, how often, and what happened

<!-- Written by `.ci/faults`: every number is one that its run counted. Do not edit. -->

`.ci/faults` makes the faults below happen to real processes and real files, writes this page and exits non-zero if any
row falls short. `.ci/faults --check` does the same with an unoptimized build, writes nothing, and fails as well if its rows
are not those of this page. `.ci/run` runs it with half of the kills at random times, and a minute of load.

A kill is SIGKILL. A step is a system call on a file (open, mkdir, lock, truncate, chmod, write, fsync, rename, unlink),
counted over all threads of the process, and the process is killed right before it. After each kill: every file of the
channel is whole; the dead gateway is known to be dead; the next start is closed or open as an oracle says, which knows
only what was written and what was answered; no lease that it leaves is longer than the one asked for; and what remains
can be ended. Everything that controllers were told is compared with what the gateways' turns wrote down themselves.

The attempts of hostile input are those of `tests/support/hostile_*.rs`, which every `cargo test` makes too. Each looks at the gate, at the
status and at what lies outside the home, and none may take longer than two minutes.
";

const TAIL: &str = "
## What this does not show

- SIGKILL loses nothing that the kernel has taken over. What a power cut loses is the business of the model of the
  channel, which has a disk with a volatile and a durable half.
- Kills at random times are as good as their number. The kills at each step are exact, for the sequences that are run.
- The fuzzed input here is of fixed seeds. The fuzz targets in `fuzz`, which are guided by coverage, look further.
- The kills run on a file system in memory where there is one; there an fsync costs nothing.
";

pub fn write(path: &Path, rows: &[Row], took: Duration, seed: u64) -> io::Result<()> {
    let mut text = String::from(HEAD);
    let mut part = "";
    for row in rows {
        if row.part != part {
            part = row.part;
            let _ = write!(text, "\n## {part}\n\n| Tried | How often | What happened | |\n|---|---|---|---|\n");
        }
        let _ = writeln!(text, "{}", row.cells());
    }
    text += TAIL;
    let build = if cfg!(debug_assertions) { "an unoptimized" } else { "an optimized" };
    let _ = write!(text, "\nThis run of {build} build took {} s, with the seed {seed}.\n", took.as_secs());
    std::fs::write(path, text)
}

/// The rows of a page that passed, by what was tried.
fn passed(page: &str) -> BTreeSet<&str> {
    page.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" | pass |")?.split(" | ").next()).collect()
}

/// What of this run and of the page is not in both as passed. The numbers are each run's own.
pub fn compare(path: &Path, rows: &[Row]) -> io::Result<Vec<String>> {
    let page = std::fs::read_to_string(path)?;
    let (there, here) = (passed(&page), rows.iter().filter(|row| row.passes()).map(|row| row.tried).collect());
    Ok(there.symmetric_difference(&here).map(ToString::to_string).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_was_never_tried_or_fell_short_does_not_pass() {
        let mut row = Row::new("part", "tried", "times");
        assert!(!row.passes(), "nothing was tried");
        row.times = 1;
        assert!(row.passes());
        row.must(false, || "it broke".into());
        assert!(!row.passes());
    }

    #[test]
    fn a_row_that_the_page_has_not_or_alone_has_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page.md");
        let row = |tried| Row { times: 1, ..Row::new("part", tried, "times") };
        write(&path, &[row("both"), row("the page's")], Duration::ZERO, 0).unwrap();
        assert_eq!(compare(&path, &[row("both"), row("the run's")]).unwrap(), ["the page's", "the run's"]);
        assert_eq!(compare(&path, &[row("both"), row("the page's")]).unwrap(), [""; 0]);
    }

    #[test]
    fn numbers_are_grouped_by_three() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
