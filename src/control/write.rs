//! Writing whole or not at all: a temporary file, synced, renamed into place, and its folder synced.
//!
//! A reader sees the old file or the new one and never a torn one (C1), and a crash after any of the [`STEPS`] leaves one
//! of the two, with at most a temporary file beside it that nobody reads (C2). A gateway that starts removes such files.

use super::opened::OpenHome;
use super::owner::Owner;
use super::read::{self, Stamp};
use crate::hold::Nonce;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, fchmod, fstat, openat, renameat, statat, unlinkat};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, SystemTime};

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

/// The steps, in the order in which [`replace`] takes them.
pub const STEPS: [Step; 5] = [Step::Create, Step::Write, Step::SyncFile, Step::Rename, Step::SyncFolder];

/// Replaces the file `name` in a folder, which need not be there before; gives what tells the new file from any other, as it was
/// before it had its name and anybody could change it.
///
/// The new file belongs to `owner`, if one is given and this process may give it away.
///
/// `before` is asked before each step, and its error ends the writing as an error of the step itself would: models and tests of the
/// writer step it by that.
///
/// # Errors
/// What the file system says, or `before`. The old file is there still, unless it was the very last step that failed.
pub fn replace(
    folder: &OwnedFd,
    name: &str,
    bytes: &[u8],
    owner: Option<Owner>,
    before: impl FnMut(Step) -> io::Result<()>,
) -> io::Result<Stamp> {
    // A rename puts the file in the place of a link, and doesn't go through it.
    put(folder, name, bytes, owner, before, |folder, from, to| renameat(folder, from, folder, to))
}

/// The steps of a write, in their order; `rename` says what becomes of a file that has the name already.
pub(super) fn put(
    folder: &OwnedFd,
    name: &str,
    bytes: &[u8],
    owner: Option<Owner>,
    mut before: impl FnMut(Step) -> io::Result<()>,
    rename: impl FnOnce(&OwnedFd, &str, &str) -> rustix::io::Result<()>,
) -> io::Result<Stamp> {
    before(Step::Create)?;
    let (temporary, mut file) = create(folder, owner)?;
    let steps = || {
        before(Step::Write)?;
        file.write_all(bytes)?;
        before(Step::SyncFile)?;
        sync(&file)?;
        let written = Stamp::of(&fstat(&file)?);
        // Closed while its name is still nobody's: closing it tells nobody of a change that the renaming tells of.
        drop(file);
        before(Step::Rename)?;
        rename(folder, &temporary, name)?;
        Ok::<_, io::Error>(written)
    };
    let written = steps().inspect_err(|_| _ = unlinkat(folder, &*temporary, AtFlags::empty()))?;
    before(Step::SyncFolder)?;
    sync(folder)?;
    Ok(written)
}

/// A new file under a temporary name, for its owner alone.
pub(crate) fn create(folder: &OwnedFd, owner: Option<Owner>) -> io::Result<(String, File)> {
    let name = format!("{TEMPORARY}{}", Nonce::fresh());
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = File::from(openat(folder, &*name, flags, Mode::RUSR | Mode::WUSR)?);
    let fit = make_fit(&file, owner);
    fit.inspect_err(|_| _ = unlinkat(folder, &*name, AtFlags::empty()))?;
    Ok((name, file))
}

/// Gives a new file to its owner, with the rights that a umask may have taken.
pub(crate) fn make_fit(file: &File, owner: Option<Owner>) -> io::Result<()> {
    let wanted = Mode::RUSR | Mode::WUSR;
    // Not on a file system that has no rights of its own and gives all files the same.
    if !Mode::from_raw_mode(fstat(file)?.st_mode).contains(wanted) {
        fchmod(file, wanted)?;
    }
    owner.map_or(Ok(()), |owner| owner.take_over(file))
}

/// Waits until it is on the disk. A file system that can't do that for this sort of file says so, and there is no more to be had.
pub(crate) fn sync(file: impl AsFd) -> io::Result<()> {
    match rustix::fs::fsync(file) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(()),
        synced => Ok(synced?),
    }
}

/// What the temporary files' names begin with: a dot, and so the name of no hold.
const TEMPORARY: &str = ".write-";

/// What follows are the letters and digits of a [`Nonce`].
const DRAWN: usize = 32;

/// A temporary file that nobody has written to for this long is what a killed writer has left: one hour.
const LEFT_BEHIND: Duration = Duration::from_secs(3600);

/// Removes what killed writers have left in a home and its folder of holds.
///
/// Any process may be writing there, so what is younger than an hour stays. A step of the wall clock can make a file in use
/// look old: then its writer's rename fails and says so, and nothing else is lost. Whatever can't be removed stays, since
/// nobody reads it.
pub(crate) fn remove_leftovers(home: &OpenHome) {
    let holds = home.holds();
    for folder in [Some(&home.folder), holds.as_ref().ok()].into_iter().flatten() {
        let found = read::names(folder, AT_ONE_START, is_temporary);
        for name in found.map_or_else(|_| Vec::new(), |(names, _)| names) {
            if is_left_behind(folder, &name) {
                let _ = unlinkat(folder, &*name, AtFlags::empty());
            }
        }
    }
}

/// No start takes longer for what many have left.
const AT_ONE_START: usize = 100;

/// Whether a name is one that a temporary file gets.
fn is_temporary(name: &[u8]) -> bool {
    let drawn = name.strip_prefix(TEMPORARY.as_bytes());
    drawn.is_some_and(|drawn| drawn.len() == DRAWN && drawn.iter().all(u8::is_ascii_alphanumeric))
}

fn is_left_behind(folder: &OwnedFd, name: &[u8]) -> bool {
    let Ok(stat) = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) else { return false };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let age = u64::try_from(stat.st_mtime).ok().and_then(|written| now.as_secs().checked_sub(written));
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && age >= Some(LEFT_BEHIND.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn its_owner_can_read_and_write_a_file_that_was_made_without_and_other_rights_stay() {
        let file = tempfile::tempfile().unwrap();
        for (made_with, expected) in [(0o400, 0o600), (0o200, 0o600), (0, 0o600), (0o600, 0o600), (0o666, 0o666)] {
            file.set_permissions(std::fs::Permissions::from_mode(made_with)).unwrap();
            make_fit(&file, None).unwrap();
            let mode = file.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, expected, "made with {made_with:o}");
        }
    }
}
