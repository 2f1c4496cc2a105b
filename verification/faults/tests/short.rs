//! A short run of the kills and of the load, for every `cargo test`: the long one, with the faults that need root and the
//! hostile input, whose tests are the crate's own, is `.ci/faults`.

use std::process::Command;

#[test]
fn a_sample_of_the_kills_and_a_few_seconds_of_load_leave_nothing_that_falls_short() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("reliability.md");
    let run = Command::new(env!("CARGO_BIN_EXE_faults"))
        .args(["--only", "crashes", "--only", "load"])
        .args(["--stride", "9", "--random-kills", "60", "--load-seconds", "4", "--out"])
        .arg(&page)
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{printed}\n{}", String::from_utf8_lossy(&run.stderr));
    let table = std::fs::read_to_string(page).unwrap();
    assert_eq!(table.matches("| pass |").count(), 9, "a row is missing or falls short:\n{table}");
}
