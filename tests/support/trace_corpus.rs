//! The shipped traces, and checking text as one.

use gateway_drain::trace::check::{Report, check_reader};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::{Path, PathBuf};

fn folder(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/traces").join(kind)
}

/// The names of the shipped traces of a kind, `accepted` or `rejected`.
pub fn names(kind: &str) -> Vec<String> {
    let name = |entry: std::io::Result<std::fs::DirEntry>| -> String {
        let path = entry.unwrap().path();
        assert_eq!(path.extension().and_then(|ending| ending.to_str()), Some("jsonl"), "{}", path.display());
        path.file_stem().unwrap().to_str().unwrap().to_owned()
    };
    let mut names: Vec<String> = std::fs::read_dir(folder(kind)).unwrap().map(name).collect();
    names.sort();
    names
}

/// One of them.
pub fn read(kind: &str, name: &str) -> String {
    std::fs::read_to_string(folder(kind).join(format!("{name}.jsonl"))).unwrap()
}

/// What the checker says of this text.
pub fn check_text(text: &str) -> Report {
    check_reader("trace", Cursor::new(text.to_owned()))
}

/// A trace in short: on each line the event, the state and the number of the drain; then, in any order, `2+1` for two turns and
/// one piece of internal work, `turn` or `internal` for the work of the line, `a:ann` for a hold and its owner, who did it
/// herself, `@p2` for a process that isn't `p1`, and `name=value` for any other field. `drained` says that it is.
pub fn trace(text: &str) -> String {
    let mut next: BTreeMap<String, u64> = BTreeMap::new();
    let lines = text.lines().filter(|line| !line.trim().is_empty()).map(|line| {
        let mut fields = fields(line);
        let sequence = next.entry(fields["incarnation"].to_string()).or_default();
        fields.insert("sequence".into(), json!(*sequence));
        *sequence += 1;
        Value::Object(fields).to_string() + "\n"
    });
    lines.collect()
}

fn fields(line: &str) -> Map<String, Value> {
    let mut words = line.split_whitespace();
    let mut next = || words.next().unwrap_or_else(|| panic!("an event, a state and a drain begin a line: {line}"));
    let (event, state, generation) = (next(), next(), next());
    let is_start = event == "start";
    let state = match state {
        "draining" => "external_draining",
        "ending" => "shutdown_draining",
        state => state,
    };
    let generation: u64 = generation.parse().unwrap();
    let mut fields = json!({"event": event, "incarnation": "p1", "state": state, "generation": generation});
    if is_start {
        let more = json!({"format": 1, "epoch": "boot-1:7", "in_flight": 0, "internal": 0, "holds": []});
        fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    } else if !event.starts_with("hold_") {
        fields["in_flight"] = json!(0);
        fields["internal"] = json!(0);
    }
    for word in words {
        if let Some((name, value)) = word.split_once('=') {
            fields[name] = serde_json::from_str(value).unwrap_or_else(|_| json!(value));
        } else if let Some((id, owner)) = word.split_once(':') {
            let hold = json!({"request": id, "owner": owner, "by": owner});
            if is_start {
                let (owner, mark) = owner.split_at(owner.len() - usize::from(owner.ends_with(['!', '?'])));
                let hold = json!({"request": id, "owner": owner, "source": "file", "committed": mark == "!", "pending": mark == "?"});
                fields["holds"].as_array_mut().unwrap().push(hold);
            } else {
                fields.as_object_mut().unwrap().extend(hold.as_object().unwrap().clone());
                fields["source"] = json!("file");
            }
        } else if let Some((turns, internal)) = word.split_once('+') {
            fields["in_flight"] = json!(turns.parse::<u64>().unwrap());
            fields["internal"] = json!(internal.parse::<u64>().unwrap());
        } else if let Some(incarnation) = word.strip_prefix('@') {
            fields["incarnation"] = json!(incarnation);
        } else if word == "drained" {
            fields["drained"] = json!(true);
        } else {
            fields["work"] = json!(word);
        }
    }
    let Value::Object(fields) = fields else { unreachable!("it was made as one") };
    fields
}
