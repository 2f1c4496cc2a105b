//! The shipped traces, and checking text as one.

use gateway_drain::trace::check::{Report, check_reader};
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
