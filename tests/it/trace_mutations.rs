//! Mutations of good traces: lines dropped, swapped, changed. Each is caught, or is legal for a reason that is counted here.
//!
//! Where a line is dropped or swapped the others are numbered again: with the old numbers every such mutant is caught by its
//! sequence alone, and that is a test of its own.

#![cfg(feature = "trace-check")]

use crate::support::trace_corpus::{check_text, names, read};
use gateway_drain::trace::check::Verdict;
use serde_json::{Value, json};
use std::collections::BTreeMap;

type Line = serde_json::Map<String, Value>;

/// Why a mutant of a good trace is legal, and how many are for that reason.
const LEGAL: [(&str, usize); 22] = [
    ("a count that could as well have been: not every turn is logged", 262),
    ("a look may be ahead of the history", 19),
    ("a look may be taken before or after what it looks at is told", 30),
    ("a look that nobody took", 38),
    ("a name that is used nowhere else", 2),
    ("a renewal instead of a commit, or the other way round", 7),
    ("a renewal, a commit or an absorption that nothing after it rests on", 8),
    ("a shutdown that interrupts nobody", 2),
    ("a status may be behind or ahead", 11),
    ("a status may be published before or after", 21),
    ("an event that changes nothing there, or a look that shows the same", 57),
    ("an uncommitted hold may end in several ways", 37),
    ("holds that are begun, renewed or ended in either order", 4),
    ("it decides only whether a commit is inherited", 42),
    ("nothing was left to abandon", 1),
    ("one delay is as good as another", 6),
    ("only the words running and stopped are judged", 47),
    ("the last line of a process: it was killed before it", 28),
    ("the rest tells the same: moves that change nothing, or that a look is ahead of", 12),
    ("the same event twice", 2),
    ("two processes don't wait for each other", 9),
    ("two turns that could as well have come in this order", 5),
];

/// What was done to a line.
enum Mutation<'a> {
    Dropped(&'a Line),
    Swapped(&'a Line, &'a Line),
    Changed(&'a Line, &'a str),
}

/// The reason for which such a mutant may be legal; none if it has to be caught.
fn excuse(mutation: &Mutation<'_>, is_last: bool) -> Option<&'static str> {
    let event = |line: &Line| line["event"].as_str().unwrap().to_owned();
    let present = |line: &Line| matches!(&*event(line), "admit" | "finish" | "reading");
    let published = |line: &Line| event(line) == "status";
    let hold = |line: &Line| event(line).starts_with("hold_");
    Some(match mutation {
        Mutation::Dropped(_) if is_last => "the last line of a process: it was killed before it",
        Mutation::Dropped(line) if present(line) || published(line) => "a look that nobody took",
        Mutation::Dropped(line) if hold(line) && event(line) != "hold_begun" => {
            "a renewal, a commit or an absorption that nothing after it rests on"
        }
        Mutation::Dropped(line) if event(line) == "interrupted" => "a shutdown that interrupts nobody",
        Mutation::Dropped(_) => "the rest tells the same: moves that change nothing, or that a look is ahead of",
        Mutation::Swapped(a, b) if a["incarnation"] != b["incarnation"] => "two processes don't wait for each other",
        Mutation::Swapped(a, b) if present(a) && present(b) => "two turns that could as well have come in this order",
        Mutation::Swapped(a, b) if present(a) || present(b) => {
            "a look may be taken before or after what it looks at is told"
        }
        Mutation::Swapped(a, b) if published(a) || published(b) => "a status may be published before or after",
        Mutation::Swapped(a, b) if hold(a) || hold(b) => "holds that are begun, renewed or ended in either order",
        Mutation::Swapped(a, b) if event(a) == event(b) => "the same event twice",
        Mutation::Changed(_, "in_flight" | "internal") => {
            "a count that could as well have been: not every turn is logged"
        }
        Mutation::Changed(_, "epoch" | "after" | "source") => "it decides only whether a commit is inherited",
        Mutation::Changed(_, "unready_delay_ms") => "one delay is as good as another",
        Mutation::Changed(_, "ending" | "by") => "an uncommitted hold may end in several ways",
        Mutation::Changed(_, "published") => "only the words running and stopped are judged",
        Mutation::Changed(_, "request") => "a name that is used nowhere else",
        Mutation::Changed(_, "abandoned") => "nothing was left to abandon",
        Mutation::Changed(_, "work") => "a look at the same counts",
        Mutation::Changed(line, "state" | "generation") if present(line) => "a look may be ahead of the history",
        Mutation::Changed(line, "state" | "generation") if published(line) => "a status may be behind or ahead",
        Mutation::Changed(line, "event") if hold(line) => "a renewal instead of a commit, or the other way round",
        Mutation::Changed(_, "event") => "an event that changes nothing there, or a look that shows the same",
        _ => return None,
    })
}

fn lines(name: &str) -> Vec<Line> {
    read("accepted", name).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// As text, numbered again.
fn numbered(lines: &[Line]) -> String {
    let mut next: BTreeMap<String, u64> = BTreeMap::new();
    let mut text = String::new();
    for line in lines {
        let sequence = next.entry(line["incarnation"].to_string()).or_default();
        let mut line = line.clone();
        line.insert("sequence".into(), json!(*sequence));
        *sequence += 1;
        text += &(Value::Object(line).to_string() + "\n");
    }
    text
}

fn as_they_are(lines: &[Line]) -> String {
    lines.iter().map(|line| Value::Object(line.clone()).to_string() + "\n").collect()
}

fn is_caught(text: &str) -> bool {
    check_text(text).verdict != Verdict::Conforms
}

#[test]
fn every_mutant_of_a_good_trace_is_caught_or_legal_for_a_counted_reason() {
    let mut legal: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut mutants, mut caught) = (0, 0);
    let mut judge = |name: &str, mutation: &Mutation<'_>, is_last: bool, mutant: &[Line]| {
        mutants += 1;
        let text = numbered(mutant);
        if is_caught(&text) {
            caught += 1;
            return;
        }
        let reason = excuse(mutation, is_last);
        *legal.entry(reason.unwrap_or_else(|| panic!("a mutant of {name} is not caught:\n{text}"))).or_default() += 1;
    };
    // Of lines in a loose order hardly anything is judged.
    for name in names("accepted").into_iter().filter(|name| !name.contains("loose")) {
        let good = lines(&name);
        for (at, line) in good.iter().enumerate() {
            let is_last = good[at + 1..].iter().all(|later| later["incarnation"] != line["incarnation"]);
            let mut dropped = good.clone();
            dropped.remove(at);
            judge(&name, &Mutation::Dropped(line), is_last, &dropped);
            if let Some(next) = good.get(at + 1) {
                let mut swapped = good.clone();
                swapped.swap(at, at + 1);
                judge(&name, &Mutation::Swapped(line, next), false, &swapped);
            }
            for (field, value) in line {
                for other in others(field, value) {
                    let mut changed = good.clone();
                    changed[at].insert(field.clone(), other);
                    judge(&name, &Mutation::Changed(line, field), false, &changed);
                }
            }
        }
    }
    let legal: Vec<(&str, usize)> = legal.into_iter().collect();
    assert_eq!((mutants, caught), (4573, 3923), "{legal:#?}");
    assert_eq!(legal, LEGAL);
}

#[test]
fn a_dropped_a_doubled_and_a_swapped_line_are_caught_by_their_numbers_alone() {
    for name in names("accepted") {
        let good = lines(&name);
        for (at, line) in good.iter().enumerate() {
            let of_process = |other: &&Line| other["incarnation"] == line["incarnation"];
            let (mut dropped, mut doubled) = (good.clone(), good.clone());
            dropped.remove(at);
            doubled.insert(at, line.clone());
            let is_last = good[at + 1..].iter().find(of_process).is_none();
            assert!(is_last || is_caught(&as_they_are(&dropped)), "{name} without line {}", at + 1);
            assert!(is_caught(&as_they_are(&doubled)), "{name} with line {} twice", at + 1);
            let next = good[at + 1..].iter().position(|later| later["incarnation"] == line["incarnation"]);
            if let Some(next) = next {
                let mut swapped = good.clone();
                swapped.swap(at, at + 1 + next);
                assert!(is_caught(&as_they_are(&swapped)), "{name} with line {} after its next", at + 1);
            }
        }
    }
}

/// Everything else that a field could say.
fn others(field: &str, value: &Value) -> Vec<Value> {
    let words: &[&str] = match field {
        "sequence" => return vec![],
        "event" => &[
            "begin_drain",
            "end_drain",
            "begin_shutdown",
            "stop",
            "interrupted",
            "hold_renewed",
            "hold_committed",
            "admit",
            "finish",
            "reading",
        ],
        "state" => &["running", "external_draining", "shutdown_draining", "stopped"],
        "ending" => &["withdrawn", "expired", "overridden", "absorbed"],
        "source" => &["process", "file"],
        "work" => &["turn", "internal"],
        "published" => &["starting", "running", "draining", "stopped", "startup_failed"],
        _ => &[],
    };
    let mut others: Vec<Value> = match value {
        Value::Number(count) => {
            let count = count.as_u64().unwrap();
            vec![json!(count + 1), json!(count.saturating_sub(1))]
        }
        Value::Bool(flag) => vec![json!(!flag)],
        Value::String(_) if !words.is_empty() => words.iter().map(|word| json!(word)).collect(),
        Value::String(text) => vec![json!(format!("{text}x"))],
        _ => vec![],
    };
    others.retain(|other| other != value);
    others
}
