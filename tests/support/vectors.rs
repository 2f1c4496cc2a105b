//! The test vectors in `docs/spec/vectors`: what is given stands there, and what is expected was written by this crate and is read by
//! every implementation.
//!
//! To write it again after a change: `UPDATE_DOCS=1 cargo test --all-features --test it vectors`, and read the difference as a
//! reader of the specification would.

use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

pub fn spec(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/spec").join(name)
}

/// Holds each case of a file to what it expects, or writes that where it is asked to.
pub fn each_case(name: &str, run: impl Fn(&Value) -> Value) {
    let path = spec("vectors").join(name);
    let text = fs::read_to_string(&path).unwrap();
    let mut file: Value = serde_json::from_str(&text).unwrap();
    let update = std::env::var_os("UPDATE_DOCS").is_some();
    let cases = file["cases"].as_array_mut().expect("a file of vectors has cases");
    let mut wrong = Vec::new();
    for case in cases.iter_mut() {
        let found = run(case);
        if update {
            case["expect"] = found;
        } else if case["expect"] != found {
            wrong.push(format!("{}: expected {}, found {found}", case["id"], case["expect"]));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases of {name} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    if update {
        fs::write(&path, lay_out(&file, 0) + "\n").unwrap();
    }
}

/// JSON with a line for each case and each of its parts.
pub fn lay_out(value: &Value, depth: usize) -> String {
    let pad = "  ".repeat(depth + 1);
    let inner: Vec<String> = match value {
        Value::Object(fields) if depth < 3 && !fields.is_empty() => {
            fields.iter().map(|(name, value)| format!("{pad}{}: {}", json!(name), lay_out(value, depth + 1))).collect()
        }
        Value::Array(entries) if depth < 4 && entries.iter().any(Value::is_object) => {
            entries.iter().map(|value| format!("{pad}{}", lay_out(value, depth + 1))).collect()
        }
        other => return other.to_string(),
    };
    let (open, close) = if value.is_array() { ('[', ']') } else { ('{', '}') };
    format!("{open}\n{}\n{}{close}", inner.join(",\n"), "  ".repeat(depth))
}
