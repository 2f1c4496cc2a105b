//! Pages that are made from the code: `cargo xtask docs` writes them, and every other run compares.

use std::fs;
use std::path::Path;

/// Compares the file with what it should be, or writes it if `UPDATE_DOCS` is set.
#[track_caller]
pub fn compare_or_write(root: &Path, file: &str, wanted: &str) {
    let path = root.join(file);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, wanted).unwrap_or_else(|error| panic!("{file}: {error}"));
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    let differs = found.lines().zip(wanted.lines()).position(|(found, wanted)| found != wanted);
    let line = differs.unwrap_or(found.lines().count().min(wanted.lines().count())) + 1;
    assert!(found == wanted, "{file} differs from the code, first in line {line}: run `cargo xtask docs`");
}
