//! The shipped traces: each accepted one conforms, and each rejected one is caught at its last line by the property in
//! its name. They are for gateways and checkers in other languages too.

#![cfg(feature = "trace-check")]

use crate::support::generated::compare_or_write;
use crate::support::trace_corpus::{check_text, names, read};
use gateway_drain::properties::PropertyId;
use gateway_drain::trace::check::{Report, Verdict, check_files};
use gateway_drain::trace::line::{self, LineEvent};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

#[test]
fn every_accepted_trace_conforms() {
    let names = names("accepted");
    assert_eq!(names.len(), 24);
    for name in names {
        let report = check_text(&read("accepted", &name));
        assert_eq!(report.verdict, Verdict::Conforms, "{name}\n{report}");
    }
}

#[test]
fn every_rejected_trace_is_caught_at_its_last_line_by_the_property_in_its_name() {
    let names = names("rejected");
    assert_eq!(names.len(), 58);
    for name in names {
        let text = read("rejected", &name);
        let report = check_text(&text);
        let Verdict::Violates(found) = &report.verdict else { panic!("{name} is not caught\n{report}") };
        let (number, _) = name.split_once("__").expect("a property and a sentence");
        assert_eq!(found.property.to_string(), number, "{name}\n{report}");
        assert_eq!(found.at.line as usize, text.lines().count(), "{name}\n{report}");
        assert_eq!(report.exit_code(), 11);
    }
}

#[test]
fn the_rejected_traces_show_every_property_that_a_trace_can_break() {
    let shown: BTreeSet<String> = names("rejected")
        .iter()
        .filter_map(|name| name.split_once("__"))
        .map(|(number, _)| number.to_owned())
        .collect();
    let all: BTreeSet<String> = PropertyId::all().map(|property| property.to_string()).collect();
    let unseen: Vec<&String> = all.difference(&shown).collect();
    // What a trace can't show is listed in docs/trace.md.
    assert_eq!(
        unseen,
        ["C1", "C2", "C3", "C4", "C7", "C8", "E2", "E3", "E4", "G5", "H5", "L1", "L3", "L4", "L5", "L6"]
    );
    let doc = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/trace.md")).unwrap();
    let line = doc.lines().find(|line| line.starts_with("Not judged:")).expect("the list in docs/trace.md");
    for number in unseen {
        assert!(line.contains(number.as_str()), "docs/trace.md doesn't say that {number} is not judged");
    }
}

#[test]
fn the_first_line_of_a_report_says_what_is_wrong_in_one_sentence() {
    let report = check_text(&read("rejected", "G2__a_turn_enters_a_closed_gate"));
    let text = report.to_string();
    let first = text.lines().next().unwrap();
    let expected = "The trace violates G2 at line 4 of trace: the turns in flight rose from 1 to 2 while the gate was \
                    closed.";
    assert_eq!(first, expected);
    assert!(text.contains("Possible there:\n- the gateway is in external_draining in drain 1"), "{text}");
    assert!(text.contains("readings and finishes with at most 1 turn(s) in flight"), "{text}");
    let json = report.to_json();
    assert_eq!((&json["verdict"], &json["property"]["number"]), (&"violates".into(), &"G2".into()));
}

#[test]
fn what_is_no_whole_trace_is_unreadable_and_says_why() {
    let good = read("accepted", "one_drain_by_the_marker");
    let lines: Vec<&str> = good.lines().collect();
    let cases = [
        ("no JSON", "hello\n".to_owned(), "it is no line of a trace"),
        ("a line is missing", format!("{}\n{}\n", lines[0], lines[2]), "1 line(s) are missing before it"),
        (
            "a line is there twice",
            format!("{}\n{}\n{}\n", lines[0], lines[1], lines[1]),
            "out of order, or there twice",
        ),
        ("no start", format!("{}\n", lines[1]), "doesn't begin with a start line"),
        ("nothing", String::new(), "there is no line of a trace in it"),
        ("an empty line", "\n".to_owned(), "there is no line of a trace in it"),
        ("a torn line and nothing else", lines[0][..20].to_owned(), "there is no line of a trace in it"),
        ("a field is missing", lines[1].replacen("\"owner\": \"ops\", ", "", 1) + "\n", "lacks the field \"owner\""),
        (
            "a field too many",
            lines[2].replacen("\"in_flight\"", "\"by\": \"x\", \"in_flight\"", 1) + "\n",
            "can't have",
        ),
        ("another format", lines[0].replacen("\"format\": 1", "\"format\": 2", 1) + "\n", "only 1 is known"),
        ("a line without end", "x".repeat(2 << 20), "longer than"),
        (
            "a line is cut, and has its newline",
            format!("{}\n{}\n", lines[0], &lines[1][..20]),
            "it is no line of a trace",
        ),
        ("no JSON and no newline", format!("{}\nhello", lines[0]), "it is no line of a trace"),
    ];
    for (what, text, says) in cases {
        let report = check_text(&text);
        let Verdict::Unreadable { why, .. } = &report.verdict else { panic!("{what} is read\n{report}") };
        assert!(why.contains(says), "{what}: {why}");
        assert_eq!(report.exit_code(), 12);
    }
    assert_eq!(check_files(&[PathBuf::from("/nowhere/at/all.jsonl")]).exit_code(), 12);
}

#[test]
fn a_line_that_a_crash_has_torn_is_left_out_and_said_to_be() {
    let good = read("accepted", "one_drain_by_the_marker");
    let report = check_text(&good[..good.len() - 10]);
    assert_eq!(report.verdict, Verdict::Conforms, "{report}");
    assert!(report.notes[0].contains("not whole"), "{report}");
}

#[test]
fn a_whole_last_line_counts_without_its_newline() {
    let good = read("accepted", "one_drain_by_the_marker");
    let lines = check_text(&good).lines;
    let report = check_text(good.trim_end());
    assert_eq!((report.verdict, report.lines, report.notes), (Verdict::Conforms, lines, vec![]));
}

#[test]
fn other_fields_a_byte_order_mark_blank_lines_and_carriage_returns_are_taken() {
    let good = read("accepted", "one_drain_by_the_marker");
    let with_time =
        good.replace("{\"event\"", "{\"time\": \"2026-01-01T00:00:00Z\", \"thread\": {\"id\": 1}, \"event\"");
    for text in [with_time, format!("\u{feff}{good}"), format!("{good}\n\n"), good.replace('\n', "\r\n")] {
        let report = check_text(&text);
        assert_eq!((&report.verdict, report.lines), (&Verdict::Conforms, check_text(&good).lines), "{report}");
    }
}

#[test]
fn a_process_that_does_not_say_what_ran_before_it_is_not_believed_to_have_lost_nothing() {
    let lost = read("rejected", "E1__a_commit_is_lost_in_a_restart").replace(", \"after\": \"p1\"", "");
    let report = check_text(&lost);
    assert!(report.notes.iter().any(|note| note.contains("is not judged")), "{report}");
}

#[test]
fn lines_in_a_loose_order_are_judged_by_what_each_says_and_the_report_says_so() {
    let report = check_text(&read("accepted", "a_loose_order_is_said_at_the_start"));
    assert_eq!(report.verdict, Verdict::Conforms);
    assert!(report.notes[0].contains("loose"), "{report}");
    let strict = read("accepted", "a_loose_order_is_said_at_the_start").replace("\"order\": \"loose\", ", "");
    let strict = strict.replace(", \"order\": \"loose\"", "");
    assert!(matches!(check_text(&strict).verdict, Verdict::Violates(_)), "in the order of the page it is wrong");
}

#[test]
fn processes_in_files_of_their_own_are_put_in_order_whatever_the_order_of_the_files() {
    for (kind, name, code) in
        [("accepted", "a_commit_outlives_a_restart", 0), ("rejected", "E1__a_commit_is_lost_in_a_restart", 11)]
    {
        let folder = tempfile::tempdir().unwrap();
        let text = read(kind, name);
        let part = |incarnation: &str| -> PathBuf {
            let lines = text.lines().filter(|line| line.contains(&format!("\"incarnation\": \"{incarnation}\"")));
            let path = folder.path().join(incarnation);
            std::fs::write(&path, lines.map(|line| format!("{line}\n")).collect::<String>()).unwrap();
            path
        };
        let (first, second) = (part("p1"), part("p2"));
        let (ordered, reversed): (Report, Report) =
            (check_files(&[first.clone(), second.clone()]), check_files(&[second.clone(), first]));
        assert_eq!((ordered.exit_code(), reversed.exit_code()), (code, code), "{name}\n{ordered}\n{reversed}");
        assert_eq!(ordered.to_string(), reversed.to_string(), "the order of the files changes nothing");
        let alone = check_files(&[second]);
        assert!(alone.notes[0].contains("of which there is no trace"), "{alone}");
    }
}

#[test]
fn the_schema_is_the_one_that_the_code_makes() {
    let made = serde_json::to_string_pretty(&line::schema()).unwrap() + "\n";
    compare_or_write(Path::new(env!("CARGO_MANIFEST_DIR")), "docs/trace.schema.json", &made);
}

#[test]
fn the_document_tells_of_every_event_and_every_field() {
    let doc = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/trace.md")).unwrap();
    for event in LineEvent::ALL {
        let name = serde_json::to_value(event).unwrap();
        let needs = event.needs().iter().map(|field| format!("`{field}`")).collect::<Vec<_>>().join(", ");
        let may_have = event.may_have().iter().map(|field| format!("`{field}`")).collect::<Vec<_>>().join(", ");
        let row = format!("| `{}` | {needs} | {may_have} |", name.as_str().unwrap());
        assert!(doc.contains(&row), "docs/trace.md lacks the row\n{row}");
    }
    for (name, _, meaning) in line::fields() {
        let row = format!("| `{name}` | {meaning} |");
        assert!(doc.contains(&row), "docs/trace.md lacks the row\n{row}");
    }
}

#[test]
fn every_line_of_the_corpus_has_the_fields_that_its_event_has_in_the_schema() {
    let known: BTreeSet<&str> = line::fields().iter().map(|(name, _, _)| *name).collect();
    for kind in ["accepted", "rejected"] {
        for name in names(kind) {
            for text in read(kind, &name).lines() {
                let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).unwrap();
                assert!(fields.keys().all(|field| known.contains(field.as_str())), "{name}: {text}");
                let line: line::Line = serde_json::from_str(text).unwrap();
                assert_eq!(line.misfit(), None, "{name}: {text}");
                let again = serde_json::to_value(&line).unwrap();
                assert_eq!(again, serde_json::Value::Object(fields), "{name}: the line is written as it is read");
            }
        }
    }
}
