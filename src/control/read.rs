//! Reading without trust: bounded in size, through no link, and of regular files alone.
//!
//! What stands in the channel may have been put there by anybody, or by accident. A look at it never blocks on a pipe,
//! never follows a link out of the home and never takes in more than [`MAX_BYTES`] (C4). That it is bounded in time as
//! well, even where a file system hangs, is the [reconciler](crate::reconciler)'s part.

use core::fmt;
use rustix::buffer::spare_capacity;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat};
use rustix::io::{Errno, retry_on_intr};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// No file in the channel is taken in beyond this many bytes: 64 KiB.
pub const MAX_BYTES: u64 = 64 * 1024;

/// Why a look found no content.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unreadable {
    /// There is definitely nothing of that name.
    Missing,
    /// Something that isn't a regular file (or not a folder, where there should be one), and what it is.
    Kind(&'static str),
    /// More than [`MAX_BYTES`].
    TooLarge(u64),
    /// It was replaced in the middle of the look.
    Replaced,
    /// This process, or the system, had no descriptor or no memory left for the look: that says nothing of the file.
    Shortage(String),
    /// The system's error.
    System(std::io::ErrorKind, String),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("there is nothing"),
            Self::Kind(kind) => write!(f, "it is {kind}"),
            Self::TooLarge(bytes) => write!(f, "it has {bytes} bytes, more than can be taken in"),
            Self::Replaced => f.write_str("it was replaced while it was being opened"),
            Self::System(_, text) | Self::Shortage(text) => f.write_str(text),
        }
    }
}

impl From<Errno> for Unreadable {
    fn from(errno: Errno) -> Self {
        let error = std::io::Error::from(errno);
        // The only definite absence. ENOTDIR is none: something stands where the folder should be.
        if errno == Errno::NOENT {
            return Self::Missing;
        }
        match errno {
            Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS => Self::Shortage(error.to_string()),
            _ => Self::System(error.kind(), error.to_string()),
        }
    }
}

impl From<std::io::Error> for Unreadable {
    fn from(error: std::io::Error) -> Self {
        match Errno::from_io_error(&error) {
            // What is open can't be missing.
            Some(errno) if errno != Errno::NOENT => errno.into(),
            _ => Self::System(error.kind(), error.to_string()),
        }
    }
}

impl From<Unreadable> for std::io::Error {
    fn from(why: Unreadable) -> Self {
        match why {
            Unreadable::Missing => std::io::ErrorKind::NotFound.into(),
            Unreadable::System(kind, text) => Self::new(kind, text),
            other => Self::new(std::io::ErrorKind::InvalidData, other.to_string()),
        }
    }
}

/// A file's content as it was found, and what tells this write from the next: when it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// All of it.
    pub bytes: Vec<u8>,
    /// The modification time, in nanoseconds since 1970. It is compared, and it dates a request that has no timestamp.
    pub modified: i128,
}

/// Opens a home, which may be a link: its name means where it leads.
///
/// # Errors
/// [`Unreadable`]; [`Missing`](Unreadable::Missing) if it definitely isn't there.
pub fn home(path: &Path) -> Result<OwnedFd, Unreadable> {
    Ok(rustix::fs::open(path, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Opens a folder in a home. It may not be a link; what leads to it may.
///
/// # Errors
/// [`Unreadable`]; [`Missing`](Unreadable::Missing) if it definitely isn't there.
pub fn folder(path: &Path) -> Result<OwnedFd, Unreadable> {
    folder_in(CWD, path)
}

/// As [`folder`], from an open folder on.
pub(crate) fn folder_in(at: impl AsFd, path: &Path) -> Result<OwnedFd, Unreadable> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(&at, path, flags, Mode::empty());
    opened.map_err(|errno| match rustix::fs::statat(&at, path, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if file_type(&stat) != FileType::Directory => Unreadable::Kind(kind(file_type(&stat))),
        _ => errno.into(),
    })
}

/// Reads the regular file `name` in a folder.
///
/// # Errors
/// [`Unreadable`]; [`Missing`](Unreadable::Missing) if it definitely isn't there.
pub fn content(folder: &OwnedFd, name: impl AsRef<[u8]>) -> Result<Content, Unreadable> {
    content_up_to(folder, name.as_ref(), MAX_BYTES)
}

/// As [`content`], with another bound.
pub(crate) fn content_up_to(folder: &OwnedFd, name: &[u8], limit: u64) -> Result<Content, Unreadable> {
    // Looked at before it is opened, since opening a device can do something.
    stamp(folder, name)?;
    open(folder, name)?.content(limit)
}

/// What the system says of the regular file `name`, which is not opened for that.
pub(crate) fn stamp(folder: &OwnedFd, name: &[u8]) -> Result<Stamp, Unreadable> {
    let seen = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if file_type(&seen) != FileType::RegularFile {
        return Err(Unreadable::Kind(kind(file_type(&seen))));
    }
    Ok(Stamp::of(&seen))
}

/// Whether two names lead to one file.
pub(crate) fn are_one_file(folder: &OwnedFd, one: &[u8], other: &[u8]) -> bool {
    let file = |name: &[u8]| rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).ok();
    file(one).zip(file(other)).is_some_and(|(one, other)| (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino))
}

/// Opens what was seen to be a regular file, and may have been replaced since: looked at once more, through no link, and
/// with NONBLOCK, so that a pipe that slips in can't hang the thread.
pub(crate) fn open(folder: &OwnedFd, name: &[u8]) -> Result<Opened, Unreadable> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(folder, name, flags, Mode::empty())?);
    let opened = rustix::fs::fstat(&file)?;
    if file_type(&opened) != FileType::RegularFile {
        return Err(Unreadable::Replaced);
    }
    Ok(Opened { file, stamp: Stamp::of(&opened) })
}

/// What the system says of a file without reading it, by which one write of it is told from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    device: i128,
    inode: i128,
    size: i128,
    modified: i128,
}

impl Stamp {
    pub(crate) fn of(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev.into(),
            inode: stat.st_ino.into(),
            size: stat.st_size.into(),
            modified: nanoseconds(stat.st_mtime, stat.st_mtime_nsec),
        }
    }
}

/// A regular file, of which nothing has been read yet.
#[derive(Debug)]
pub(crate) struct Opened {
    file: File,
    stamp: Stamp,
}

impl Opened {
    #[cfg(any(feature = "client", feature = "axum"))]
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Reads it.
    pub(crate) fn content(self, limit: u64) -> Result<Content, Unreadable> {
        let Self { file, stamp } = self;
        let size = u64::try_from(stamp.size).unwrap_or(0);
        // Room for what it says it has and one more, so that its end is found without growing, and mostly in one call: if
        // just what it says it has came, it was all.
        let mut bytes = Vec::with_capacity(usize::try_from(size.min(limit)).unwrap_or(0) + 1);
        let came =
            retry_on_intr(|| rustix::io::read(&file, spare_capacity(&mut bytes))).map_err(std::io::Error::from)?;
        if came as u64 != size {
            file.take((limit + 1).saturating_sub(came as u64)).read_to_end(&mut bytes)?;
        }
        let read = bytes.len() as u64;
        if read > limit {
            return Err(Unreadable::TooLarge(size.max(read)));
        }
        Ok(Content { bytes, modified: stamp.modified })
    }
}

fn nanoseconds(seconds: impl Into<i128>, nanoseconds: impl Into<i128>) -> i128 {
    seconds.into() * 1_000_000_000 + nanoseconds.into()
}

/// The names in a folder, at most `limit` of those that `wanted` picks, in order; and whether there are more.
///
/// # Errors
/// [`Unreadable`], if the folder can't be listed to its end.
pub fn names(
    folder: &OwnedFd,
    limit: usize,
    wanted: impl Fn(&[u8]) -> bool,
) -> Result<(Vec<Vec<u8>>, bool), Unreadable> {
    let (mut names, mut more) = (Vec::new(), false);
    for entry in rustix::fs::Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !wanted(name) {
            continue;
        }
        if names.len() == limit {
            more = true;
            break;
        }
        names.push(name.to_vec());
    }
    names.sort_unstable();
    Ok((names, more))
}

fn file_type(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

const fn kind(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "a regular file",
        FileType::Directory => "a folder",
        FileType::Symlink => "a link",
        FileType::Fifo => "a pipe",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::Unknown => "of no known kind",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::os::unix::fs::symlink;

    #[test]
    fn an_error_of_what_is_open_is_no_absence_and_a_lack_of_descriptors_says_nothing_of_the_file() {
        let of = |errno: Errno| Unreadable::from(io::Error::from(errno));
        assert!(matches!(of(Errno::NOENT), Unreadable::System(io::ErrorKind::NotFound, _)), "{:?}", of(Errno::NOENT));
        assert!(matches!(of(Errno::MFILE), Unreadable::Shortage(_)), "{:?}", of(Errno::MFILE));
        assert!(matches!(of(Errno::IO), Unreadable::System(_, _)), "{:?}", of(Errno::IO));
        let no_errno = Unreadable::from(io::Error::from(io::ErrorKind::UnexpectedEof));
        assert!(matches!(no_errno, Unreadable::System(io::ErrorKind::UnexpectedEof, _)), "{no_errno:?}");
    }

    #[test]
    fn whatever_slips_in_between_the_look_and_the_opening_is_neither_waited_for_nor_followed_nor_taken_for_a_file() {
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name);
        std::fs::write(path("file"), "content").unwrap();
        symlink(path("file"), path("link")).unwrap();
        std::fs::create_dir(path("folder")).unwrap();
        rustix::fs::mknodat(CWD, path("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        let folder = folder(place.path()).unwrap();
        let open = |name: &str| open(&folder, name.as_bytes())?.content(MAX_BYTES);
        assert_eq!(open("file").unwrap().bytes, b"content");
        assert!(matches!(open("link"), Err(Unreadable::System(..))), "a link: {:?}", open("link"));
        assert_eq!(open("folder"), Err(Unreadable::Replaced));
        assert_eq!(open("pipe"), Err(Unreadable::Replaced));
        assert_eq!(open("nothing"), Err(Unreadable::Missing));
    }
}
