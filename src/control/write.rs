//! Writing whole or not at all: a temporary file, synced, renamed into place, and its folder synced.
//!
//! A reader sees the old file or the new one and never a torn one (C1), and a crash after any of the [`STEPS`] leaves one
//! of the two, with at most a temporary file beside it that nobody reads (C2). A gateway that starts removes such files.

use super::home::Home;
use super::read;
use rustix::fs::{AtFlags, FileType, OFlags};
use std::fs::{DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime};
use tempfile::NamedTempFile;

/// One step of replacing a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// A temporary file beside the target, for its owner alone.
    Create,
    /// The content goes into it.
    Write,
    /// The content reaches the disk before its name does.
    SyncFile,
    /// The name moves from the old file to the new one, in one step.
    Rename,
    /// The new name reaches the disk.
    SyncFolder,
}

/// The steps, in their order. Production takes them from here, and so does every model of it.
pub const STEPS: [Step; 5] = [Step::Create, Step::Write, Step::SyncFile, Step::Rename, Step::SyncFolder];

/// What the temporary files' names begin with: a dot, and so the name of no hold.
pub(crate) const TEMPORARY: &str = ".write-";

/// A temporary file that nobody has written to for this long is what a killed writer has left: one hour.
const LEFT_BEHIND: Duration = Duration::from_secs(3600);

/// Whatever can take the [`STEPS`]: the disk, or a model of one.
pub trait Disk {
    /// Takes one step.
    ///
    /// # Errors
    /// What the disk says; the steps after it are not taken.
    fn step(&mut self, step: Step) -> io::Result<()>;
}

/// Takes all [`STEPS`], in order, up to the first that fails.
///
/// # Errors
/// That step's.
pub fn take_steps(disk: &mut impl Disk) -> io::Result<()> {
    STEPS.into_iter().try_for_each(|step| disk.step(step))
}

struct Replacing<'a> {
    path: &'a Path,
    folder: &'a Path,
    bytes: &'a [u8],
    temporary: Option<NamedTempFile>,
    written: Option<Metadata>,
}

impl Disk for Replacing<'_> {
    fn step(&mut self, step: Step) -> io::Result<()> {
        let out_of_order = || io::Error::other("there is no temporary file");
        match step {
            Step::Create => {
                let mut builder = tempfile::Builder::new();
                builder.prefix(TEMPORARY).permissions(Permissions::from_mode(0o600));
                self.temporary = Some(builder.tempfile_in(self.folder)?);
                Ok(())
            }
            Step::Write => self.temporary.as_mut().ok_or_else(out_of_order)?.write_all(self.bytes),
            Step::SyncFile => {
                let file = self.temporary.as_ref().ok_or_else(out_of_order)?.as_file();
                file.sync_all()?;
                self.written = Some(file.metadata()?);
                Ok(())
            }
            // A rename puts the file in the place of a link, and doesn't go through it.
            Step::Rename => {
                self.temporary.take().ok_or_else(out_of_order)?.persist(self.path)?;
                Ok(())
            }
            Step::SyncFolder => File::open(self.folder)?.sync_all(),
        }
    }
}

/// Replaces the file at `path`; gives what tells the new file from any other, as it was before it had its name and anybody
/// could change it.
///
/// # Errors
/// What the file system says. The old file is there still, unless it was the very last step that failed.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<Metadata> {
    let folder = path.parent().ok_or_else(|| io::Error::other("the path has no folder"))?;
    let mut replacing = Replacing { path, folder, bytes, temporary: None, written: None };
    take_steps(&mut replacing)?;
    replacing.written.ok_or_else(|| io::Error::other("the steps have left out the sync"))
}

/// Removes what killed writers have left in a home and its folder of holds.
///
/// Any process may be writing there, so what is younger than an hour stays. A step of the wall clock can make a file in use
/// look old: then its writer's rename fails and says so, and nothing else is lost. Whatever can't be removed stays, since
/// nobody reads it.
pub(crate) fn remove_leftovers(home: &Home) {
    let folders = [read::home(home.path()), read::folder(&home.holds_folder())];
    for folder in folders.into_iter().flatten() {
        let found = read::names(&folder, AT_ONE_START, is_temporary);
        for name in found.map_or_else(|_| Vec::new(), |(names, _)| names) {
            if is_left_behind(&folder, &name) {
                let _ = rustix::fs::unlinkat(&folder, &*name, AtFlags::empty());
            }
        }
    }
}

/// No start takes longer for what many have left.
const AT_ONE_START: usize = 100;

/// Whether a name is one that a temporary file gets: what it begins with, and six letters or digits.
fn is_temporary(name: &[u8]) -> bool {
    let drawn = name.strip_prefix(TEMPORARY.as_bytes());
    drawn.is_some_and(|drawn| drawn.len() == 6 && drawn.iter().all(u8::is_ascii_alphanumeric))
}

fn is_left_behind(folder: &OwnedFd, name: &[u8]) -> bool {
    let Ok(stat) = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) else { return false };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let age = u64::try_from(stat.st_mtime).ok().and_then(|written| now.as_secs().checked_sub(written));
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && age >= Some(LEFT_BEHIND.as_secs())
}

/// Makes a folder of one's own if it isn't there, and makes sure that it is one: nothing is ever written through a link.
///
/// # Errors
/// What the file system says, or that something else stands there.
pub fn own_folder(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let flags = super::home::flags(OFlags::DIRECTORY | OFlags::NOFOLLOW);
    OpenOptions::new().read(true).custom_flags(flags).open(path).map(drop)
}
