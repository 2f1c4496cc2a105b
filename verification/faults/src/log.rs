//! What really happened, as each process wrote it down while it happened, and the audit that compares it with what
//! controllers were told.
//!
//! One append-only file, one `write` for each line: what a killed process has written stays. Each line has the time since
//! boot, which all processes share. A turn is written down after it is admitted and its end before it is given up, and a
//! grant after it was read: so every overlap that the audit finds was a real one.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

#[derive(Debug)]
pub struct Log {
    file: File,
}

impl Log {
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { file })
    }

    /// A failure to write evidence fails the run: the audit would be blind.
    pub fn say(&self, words: &str) {
        let line = format!("{} {} {words}\n", now(), std::process::id());
        (&self.file).write_all(line.as_bytes()).expect("evidence can be written");
    }
}

/// Nanoseconds since boot.
pub fn now() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

/// What the audit found.
#[derive(Debug, Default)]
pub struct Audit {
    pub turns: usize,
    pub told_drained: usize,
    pub told_committed: usize,
    /// What controllers were told although it was false.
    pub false_words: Vec<String>,
}

/// The time during which a turn was certainly in flight.
struct Turn {
    process: u32,
    from: u64,
    until: Option<u64>,
}

pub fn audit(path: &Path) -> io::Result<Audit> {
    let text = std::fs::read_to_string(path)?;
    let mut audit = Audit::default();
    let mut turns: HashMap<(u32, &str), Turn> = HashMap::new();
    // When a process was last known to be alive: it wrote, or it was about to be killed.
    let mut last_alive: HashMap<u32, u64> = HashMap::new();
    let mut dead: HashMap<u32, u64> = HashMap::new();
    let mut incarnations: HashMap<&str, u32> = HashMap::new();
    // Grants: of which hold, from when, until when. A hold's name may be used again.
    let mut grants: Vec<(&str, u64, Option<u64>)> = Vec::new();
    let mut drained = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [time, process, what, rest @ ..] = &words[..] else { continue };
        let (Ok(time), Ok(process)) = (time.parse::<u64>(), process.parse::<u32>()) else { continue };
        last_alive.insert(process, time);
        match (*what, rest) {
            ("up", [incarnation]) => drop(incarnations.insert(incarnation, process)),
            ("start", [turn]) => drop(turns.insert((process, turn), Turn { process, from: time, until: None })),
            ("end", [turn]) => {
                if let Some(turn) = turns.get_mut(&(process, turn)) {
                    turn.until = Some(time);
                }
            }
            ("killing", [pid]) => drop(pid.parse().map(|pid: u32| last_alive.insert(pid, time))),
            ("dead", [pid]) => drop(pid.parse().map(|pid: u32| dead.insert(pid, time))),
            ("drained", [hold, incarnation, asked]) => {
                audit.told_drained += 1;
                drained.push((*hold, *incarnation, asked.parse::<u64>().unwrap_or(0)));
            }
            ("committed", [hold]) => {
                audit.told_committed += 1;
                grants.push((hold, time, None));
            }
            ("withdrawing" | "overriding", [hold]) => {
                let open = grants.iter_mut().filter(|(of, _, until)| of == hold && until.is_none());
                open.for_each(|(.., until)| *until = Some(time));
            }
            _ => {}
        }
    }
    audit.turns = turns.len();
    for (hold, incarnation, asked) in drained {
        // E2: by the time it was asked, the process that it is told of had ended.
        let died = incarnations.get(incarnation).and_then(|process| dead.get(process));
        if died.is_some_and(|died| *died < asked) {
            audit.false_words.push(format!("{hold} was told that {incarnation} is drained, which had died before"));
        }
    }
    let mut spans: Vec<(u64, u64, u32)> = turns
        .values()
        .map(|turn| {
            (turn.from, turn.until.or(last_alive.get(&turn.process).copied()).unwrap_or(turn.from), turn.process)
        })
        .collect();
    spans.sort_unstable();
    for (hold, from, until) in grants {
        // E1: no turn in flight from the grant until the hold ends.
        let until = until.unwrap_or(u64::MAX);
        if let Some((start, end, process)) = spans.iter().find(|(start, end, _)| *start < until && *end > from) {
            let why =
                format!("{hold} was committed from {from} to {until}; process {process} had a turn {start}..{end}");
            audit.false_words.push(why);
        }
    }
    Ok(audit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audited(text: &str) -> Audit {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, text).unwrap();
        audit(&path).unwrap()
    }

    #[test]
    fn a_turn_in_flight_under_a_committed_hold_is_found() {
        let sound = "1 7 start 1\n2 7 end 1\n3 8 committed a\n5 8 withdrawing a\n6 7 start 2\n7 7 end 2\n";
        assert!(audited(sound).false_words.is_empty());
        let inside = "3 8 committed a\n4 7 start 1\n5 8 withdrawing a\n";
        assert_eq!(audited(inside).false_words.len(), 1);
        let across = "1 7 start 1\n3 8 committed a\n4 7 end 1\n5 8 withdrawing a\n";
        assert_eq!(audited(across).false_words.len(), 1);
        let cut_off_by_a_kill = "1 7 start 1\n3 8 committed a\n4 9 killing 7\n5 8 withdrawing a\n";
        assert_eq!(audited(cut_off_by_a_kill).false_words.len(), 1);
        let under_a_name_that_is_used_again =
            "1 8 committed a\n2 7 start 1\n3 8 withdrawing a\n4 7 end 1\n5 8 committed a\n6 8 withdrawing a\n";
        assert_eq!(audited(under_a_name_that_is_used_again).false_words.len(), 1);
        let after_its_owner_died = "3 8 committed a\n4 9 dead 8\n9 7 start 1\n";
        assert_eq!(audited(after_its_owner_died).false_words.len(), 1);
    }

    #[test]
    fn a_dead_gateway_said_to_be_drained_is_found() {
        assert!(audited("1 7 up i\n2 8 drained a i 2\n3 9 dead 7\n").false_words.is_empty());
        assert_eq!(audited("1 7 up i\n3 9 dead 7\n5 8 drained a i 4\n").false_words.len(), 1);
    }
}
