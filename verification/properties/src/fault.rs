//! Faults of whoever writes: a writer that does what the crate's writer does, up to the step at which it is killed.

use gateway_drain::control::write::{Disk, STEPS, Step, take_steps};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A writer on the real disk that dies before its step number `dies_before`.
///
/// Killed in the middle of the content, it leaves half of it behind: a temporary file that is torn.
#[derive(Debug)]
pub struct DyingWriter<'a> {
    path: &'a Path,
    bytes: &'a [u8],
    temporary: PathBuf,
    dies_before: usize,
    taken: Vec<Step>,
}

impl<'a> DyingWriter<'a> {
    /// A writer of `bytes` to `path`; `number` tells its temporary file from that of another.
    #[must_use]
    pub fn new(path: &'a Path, bytes: &'a [u8], dies_before: usize, number: u32) -> Self {
        let temporary = path.with_file_name(format!(".write-killed-{number}"));
        Self { path, bytes, temporary, dies_before, taken: Vec::new() }
    }

    /// Writes until it dies. Gives the steps that it has taken.
    ///
    /// # Panics
    /// If it doesn't die exactly where it should, or the disk fails by itself.
    #[must_use]
    pub fn run(mut self) -> Vec<Step> {
        let outcome = take_steps(&mut self);
        let expected = self.dies_before.min(STEPS.len());
        assert_eq!(self.taken, STEPS[..expected], "the steps are taken in their order, and none after a failure");
        assert_eq!(outcome.is_ok(), expected == STEPS.len(), "the outcome tells whether all were taken: {outcome:?}");
        self.taken
    }
}

impl Disk for DyingWriter<'_> {
    fn step(&mut self, step: Step) -> io::Result<()> {
        if self.taken.len() == self.dies_before {
            if step == Step::Write {
                let half = &self.bytes[..self.bytes.len() / 2];
                std::fs::write(&self.temporary, half).expect("half of the content can be written");
            }
            return Err(io::Error::other("killed"));
        }
        let done = match step {
            Step::Create => File::options().write(true).create_new(true).mode(0o600).open(&self.temporary).map(drop),
            Step::Write => File::options().write(true).open(&self.temporary)?.write_all(self.bytes),
            Step::SyncFile => File::open(&self.temporary)?.sync_all(),
            Step::Rename => std::fs::rename(&self.temporary, self.path),
            Step::SyncFolder => File::open(self.path.parent().expect("a folder"))?.sync_all(),
        };
        done.expect("the disk is sound; only the writer dies");
        self.taken.push(step);
        Ok(())
    }
}
