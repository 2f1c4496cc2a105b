//! Hostile input: the attempts of `tests/support/hostile_*.rs`, which the tests make as well, each counted, within a bound of time.

use crate::children::THIS_PROGRAM;
use crate::report::Row;
use crate::support::{hostile_files, hostile_http, hostile_users::CASES};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::channel as wire;
use std::time::{Duration, Instant};

const PART: &str = "Hostile input";
/// Whatever takes longer hangs.
const LIMIT: Duration = Duration::from_secs(120);

/// Makes the attempts on a thread of their own; one that never comes back is a fault and not waited for.
fn row(claim: &'static str, attempts: impl FnOnce() -> usize + Send + 'static) -> Row {
    let mut row = Row::new(PART, claim, "attempts");
    let (done, outcome) = wire();
    let began = Instant::now();
    std::thread::spawn(move || {
        let made = catch_unwind(AssertUnwindSafe(attempts)).map_err(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
        });
        // Nobody listens any more if it took too long.
        let _ = done.send(made);
    });
    match outcome.recv_timeout(LIMIT) {
        Ok(Ok(attempts)) => {
            row.times = attempts as u64;
            row.happened = format!("so it was each time; {:.1} s", began.elapsed().as_secs_f32());
        }
        Ok(Err(why)) => row.must(false, || why),
        Err(_) => row.must(false, || format!("it hangs: nothing came of it within {} s", LIMIT.as_secs())),
    }
    row
}

/// A case in a child of its own, which is this program.
fn in_a_child(case: usize) -> usize {
    let folder = tempfile::tempdir().expect("a temporary folder");
    CASES[case].run(folder.path(), |place| {
        let mut command = Command::new(THIS_PROGRAM);
        command.args(["case", &case.to_string()]).arg(place);
        command
    })
}

/// What the child does.
pub fn case(case: usize, folder: &Path) -> Result<(), String> {
    let case = CASES.get(case).ok_or("no such case")?;
    println!("{} attempts", (case.judge)(folder));
    Ok(())
}

pub fn rows() -> Vec<Row> {
    let trials = hostile_files::TRIALS.into_iter().chain(hostile_http::TRIALS);
    let mut rows: Vec<Row> = trials.map(|(claim, attempts)| row(claim, attempts)).collect();
    rows.extend(CASES.iter().enumerate().map(|(number, case)| row(case.claim, move || in_a_child(number))));
    rows
}
