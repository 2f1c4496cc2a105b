//! Faults of a writer: the crate's own writer, killed before one of its steps.

use gateway_drain::control::write::{STEPS, Step, replace};
use std::cell::RefCell;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

/// What unwinds out of the writer in the place of a signal that kills it: like that, it lets the writer tidy up nothing.
struct Killed;

/// Writes `bytes` to `path` until the step number `dies_before`, at which the writer is killed. Gives the steps that it has taken.
///
/// Killed in the middle of the content, it leaves half of it behind: a temporary file that is torn.
///
/// # Panics
/// If it doesn't die exactly where it should, or the disk fails by itself.
#[must_use]
pub fn dying_writer(path: &Path, bytes: &[u8], dies_before: usize) -> Vec<Step> {
    let at = path.parent().expect("a folder");
    let folder = File::open(at).expect("it is there").into();
    let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
    let reached = RefCell::new(Vec::new());
    let die_or_go_on = |step| {
        if reached.borrow().len() == dies_before {
            if step == Step::Write {
                let half = &bytes[..bytes.len() / 2];
                std::fs::write(newest_temporary(at), half).expect("half of the content can be written");
            }
            resume_unwind(Box::new(Killed));
        }
        reached.borrow_mut().push(step);
        Ok(())
    };
    match catch_unwind(AssertUnwindSafe(|| replace(&folder, name, bytes, None, die_or_go_on))) {
        Ok(outcome) => drop(outcome.expect("the disk is sound; only the writer dies")),
        Err(panic) => assert!(panic.is::<Killed>(), "the writer panicked"),
    }
    let taken = reached.into_inner();
    assert_eq!(taken, STEPS[..dies_before.min(STEPS.len())], "the steps are taken in their order");
    taken
}

/// The temporary file in a folder that was made last.
fn newest_temporary(folder: &Path) -> std::path::PathBuf {
    let entries = std::fs::read_dir(folder).expect("the folder is there").map(|entry| entry.expect("an entry"));
    let temporary = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(".write-"));
    let made = |entry: &std::fs::DirEntry| entry.metadata().and_then(|file| file.created()).ok();
    temporary.max_by_key(made).expect("the writer has made one").path()
}
