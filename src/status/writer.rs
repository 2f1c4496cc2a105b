//! The one who may publish in a home, and what it writes beside the status.

use super::{CommitRecord, Snapshot};
use crate::control::read::{self, Stamp};
use crate::control::{Home, HomeLock};
use crate::sync::Mutex;
use std::io;

/// The one who may publish in a home: it holds the home's lock.
#[derive(Debug)]
pub(crate) struct StatusWriter {
    lock: HomeLock,
    /// What tells the file that was written last from every other.
    written: Mutex<Option<Stamp>>,
}

impl StatusWriter {
    pub(crate) fn new(lock: HomeLock) -> Self {
        Self { lock, written: Mutex::default() }
    }

    /// The lock of the home.
    pub(crate) fn lock(&self) -> &HomeLock {
        &self.lock
    }

    /// Whether the status is still the file that was published last: not removed, not replaced, not written over.
    pub(crate) fn is_intact(&self) -> bool {
        let there = read::stamp(&self.lock.home().folder, Home::STATUS.as_bytes());
        there.is_ok_and(|there| *self.written.lock() == Some(there))
    }

    /// Takes away what it has published. What it hasn't is somebody else's, and a start may need it.
    pub(crate) fn remove(&self) -> io::Result<()> {
        if self.written.lock().take().is_some() {
            self.lock.remove(Home::STATUS)?;
        }
        Ok(())
    }

    pub(crate) fn publish(&self, snapshot: &Snapshot) -> io::Result<()> {
        let mut bytes = serde_json::to_vec_pretty(snapshot)?;
        bytes.push(b'\n');
        let written = self.lock.write(Home::STATUS, &bytes)?;
        *self.written.lock() = Some(written);
        Ok(())
    }

    /// Puts the commits on record, in the place of what was recorded before.
    pub(crate) fn record(&self, record: &CommitRecord) -> io::Result<()> {
        let mut bytes = serde_json::to_vec_pretty(record)?;
        bytes.push(b'\n');
        self.lock.write(Home::COMMITS, &bytes).map(drop)
    }

    /// Takes the record away: no record is better than one that is not true any more.
    pub(crate) fn forget_record(&self) -> io::Result<()> {
        self.lock.remove(Home::COMMITS).map(drop)
    }
}
