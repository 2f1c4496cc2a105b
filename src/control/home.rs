//! The home: one folder for each gateway, where everything lies, and the lock that keeps it to one.

use crate::hold::{Incarnation, RequestId};
use core::fmt;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A gateway's home: the one place from which every path of its channel is derived.
///
/// ```
/// use gateway_drain::Home;
///
/// let home = Home::at("/var/lib/gateway");
/// assert_eq!(home.marker().to_str(), Some("/var/lib/gateway/.drain_request.json"));
/// assert_eq!(home.status().to_str(), Some("/var/lib/gateway/gateway_state.json"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    path: PathBuf,
}

impl Home {
    /// The environment variable that names the home.
    pub const VARIABLE: &str = "HERMES_HOME";

    pub(crate) const HOLDS: &str = ".drain_holds";
    const MARKER: &str = ".drain_request.json";

    /// This folder.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The folder given, else `HERMES_HOME`, else `~/.hermes`.
    ///
    /// # Errors
    /// [`NoHome`] if none of the three says where.
    pub fn resolve(given: Option<PathBuf>) -> Result<Self, NoHome> {
        Self::resolve_from(given, std::env::var_os(Self::VARIABLE).map(PathBuf::from), std::env::home_dir())
    }

    fn resolve_from(given: Option<PathBuf>, variable: Option<PathBuf>, user: Option<PathBuf>) -> Result<Self, NoHome> {
        let named = |path: &PathBuf| !path.as_os_str().is_empty();
        let under_user = || user.filter(named).map(|user| user.join(".hermes"));
        given.filter(named).or(variable.filter(named)).or_else(under_user).map(Self::at).ok_or(NoHome)
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The marker: `.drain_request.json`.
    #[must_use]
    pub fn marker(&self) -> PathBuf {
        self.path.join(Self::MARKER)
    }

    /// The folder of all further holds: `.drain_holds`.
    #[must_use]
    pub fn holds_folder(&self) -> PathBuf {
        self.path.join(Self::HOLDS)
    }

    /// The file of one hold.
    #[must_use]
    pub fn request_path(&self, id: &RequestId) -> PathBuf {
        self.path_of_folder(id).join(Self::file_name(id))
    }

    /// The published status: `gateway_state.json`.
    #[must_use]
    pub fn status(&self) -> PathBuf {
        self.path.join("gateway_state.json")
    }

    /// The lock: `gateway.lock`.
    #[must_use]
    pub fn lock_path(&self) -> PathBuf {
        self.path.join("gateway.lock")
    }

    pub(crate) fn path_of_folder(&self, id: &RequestId) -> PathBuf {
        if id.is_marker() { self.path.clone() } else { self.holds_folder() }
    }

    pub(crate) fn file_name(id: &RequestId) -> String {
        if id.is_marker() { Self::MARKER.into() } else { format!("{id}.json") }
    }

    /// Makes the folder if it isn't there, for its owner alone, and locks it for the life of the process.
    ///
    /// # Errors
    /// [`LockError::InUse`] if a gateway runs in this home already, [`LockError::Unusable`] if the folder can't be made
    /// or written to.
    pub fn lock(&self, incarnation: &Incarnation) -> Result<HomeLock, LockError> {
        let unusable = |source| LockError::Unusable { home: self.path.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(&self.path).map_err(unusable)?;
        let mut file = self.open_lock(OpenOptions::new().write(true).create(true).mode(0o600)).map_err(unusable)?;
        let mut tries = 0;
        while let Err(error) = take(&file) {
            tries += 1;
            match error.kind() {
                // Whoever asks `live` holds the lock for an instant: that is no gateway.
                #[expect(clippy::disallowed_methods, reason = "no event tells that a lock is free")]
                io::ErrorKind::WouldBlock if tries < LOCK_TRIES => std::thread::sleep(LOCK_PAUSE),
                io::ErrorKind::WouldBlock => {
                    // For the message alone; an empty text is said as "another process".
                    let by = holder(&mut file).unwrap_or_default();
                    return Err(LockError::InUse { home: self.path.clone(), by });
                }
                _ => return Err(unusable(error)),
            }
        }
        writeln!(file, "{} {}", incarnation, std::process::id()).and_then(|()| file.sync_all()).map_err(unusable)?;
        let folder = File::open(&self.path).map_err(unusable)?;
        let lock = HomeLock { path: self.lock_path(), file, folder };
        lock.check().map_err(unusable)?;
        Ok(lock)
    }

    /// Which gateway process lives in this home: known from the lock that it holds, never from a process id or a
    /// timestamp. `None` if none does.
    ///
    /// # Errors
    /// What the file system says.
    ///
    /// ```
    /// use gateway_drain::{Home, hold::Incarnation};
    ///
    /// let folder = tempfile::tempdir()?;
    /// let (home, incarnation) = (Home::at(folder.path()), Incarnation::fresh());
    /// assert_eq!(home.live()?, None);
    /// let lock = home.lock(&incarnation)?;
    /// assert_eq!(home.live()?, Some(incarnation));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn live(&self) -> io::Result<Option<Incarnation>> {
        let mut file = match self.open_lock(&mut OpenOptions::new()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => {
                let by = holder(&mut file)?;
                Ok(by.split_whitespace().next().map(|name| Incarnation::from(name.to_owned())))
            }
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn open_lock(&self, options: &mut OpenOptions) -> io::Result<File> {
        let unfollowed = flags(rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK);
        let file = options.read(true).custom_flags(unfollowed).open(self.lock_path())?;
        let opened = file.metadata()?;
        if !opened.is_file() {
            return Err(io::Error::other("gateway.lock is not a regular file"));
        }
        // The holder writes into it: under another name that could be anybody's file.
        if opened.nlink() > 1 {
            return Err(io::Error::other("gateway.lock has a second name: remove it"));
        }
        Ok(file)
    }
}

/// A start takes half a second to be sure that the home is another gateway's.
const LOCK_TRIES: u32 = 50;
const LOCK_PAUSE: std::time::Duration = std::time::Duration::from_millis(10);

/// Takes the lock, with nothing in it.
///
/// The name of whoever had it before is taken out under a shared lock, which no gateway has: until the lock is
/// exclusive, nobody is said to live here, and from then on the name in it is its holder's or none. The other way round
/// a dead gateway would live again until its successor has written its own name (E2).
fn take(file: &File) -> io::Result<()> {
    use rustix::fs::{FlockOperation, flock};
    flock(file, FlockOperation::NonBlockingLockShared)?;
    file.set_len(0)?;
    Ok(flock(file, FlockOperation::NonBlockingLockExclusive)?)
}

/// What the holder wrote into the lock: its incarnation and its process id.
fn holder(file: &mut File) -> io::Result<String> {
    let mut by = String::new();
    file.take(256).read_to_string(&mut by)?;
    Ok(by.trim().into())
}

pub(crate) fn flags(flags: rustix::fs::OFlags) -> i32 {
    // The bits of the flags used here fit; the two types differ in sign alone.
    flags.bits().cast_signed()
}

/// A home kept to one gateway. Dropping it, or the end of the process, however it ends, frees the home.
#[derive(Debug)]
#[must_use = "dropping it frees the home"]
pub struct HomeLock {
    path: PathBuf,
    file: File,
    /// The home itself, whatever stands at its path by now.
    folder: File,
}

impl HomeLock {
    /// The very home that is locked, even if another one stands at its path by the time it is looked into or written to.
    /// Where the system has no way to say so, it is the path.
    pub(crate) fn home(&self) -> Home {
        let inside = PathBuf::from(format!("/proc/self/fd/{}", self.folder.as_raw_fd()));
        let path = self.path.parent().unwrap_or(&self.path);
        Home::at(if cfg!(target_os = "linux") && inside.exists() { inside } else { path.into() })
    }

    /// Whether the home's lock is still this one.
    ///
    /// If the home has been removed or replaced, or its lock has, then nothing in it is said to this gateway any more, and
    /// another one may have moved in.
    ///
    /// # Errors
    /// What the file system says, or that it is another's.
    pub fn check(&self) -> io::Result<()> {
        let (ours, there) = (self.file.metadata()?, std::fs::symlink_metadata(&self.path)?);
        if (ours.dev(), ours.ino()) == (there.dev(), there.ino()) {
            return Ok(());
        }
        Err(io::Error::other("gateway.lock is not the one this gateway holds"))
    }
}

impl Drop for HomeLock {
    fn drop(&mut self) {
        // Closing the file would not do: a child that is just being started has it open too, until it is another program,
        // and for so long its dead parent would live (E2). If this fails, closing it is what is left.
        let _ = self.file.unlock();
    }
}

/// Nothing says where the home is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoHome;

impl fmt::Display for NoHome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no home: give one with --home, or set {}", Home::VARIABLE)
    }
}

impl std::error::Error for NoHome {}

/// Why a home could not be locked.
#[derive(Debug)]
#[non_exhaustive]
pub enum LockError {
    /// Another gateway runs in it.
    InUse {
        /// The home.
        home: PathBuf,
        /// What the other one wrote into the lock: its incarnation and process id.
        by: String,
    },
    /// It can't be made, entered or written to.
    Unusable {
        /// The home.
        home: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse { home, by } => {
                let by = if by.is_empty() { "another process" } else { by };
                write!(f, "another gateway runs in {} ({by}): one gateway for each home", home.display())
            }
            Self::Unusable { home, source } => {
                write!(f, "the home {} can't be used: {source}", home.display())
            }
        }
    }
}

impl std::error::Error for LockError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::InUse { .. } => None,
            Self::Unusable { source, .. } => Some(source),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_home_is_the_one_given_else_the_variable_else_under_the_users() {
        let path = |text: &str| Some(PathBuf::from(text));
        let resolve = |given, variable, user| Home::resolve_from(given, variable, user).map(|home| home.path);
        assert_eq!(resolve(path("/a"), path("/b"), path("/c")), Ok("/a".into()));
        assert_eq!(resolve(None, path("/b"), path("/c")), Ok("/b".into()));
        assert_eq!(resolve(None, path(""), path("/c")), Ok("/c/.hermes".into()));
        assert_eq!(resolve(None, None, None), Err(NoHome));
    }

    #[test]
    fn a_lock_that_is_taken_bears_no_name_until_its_holder_writes_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path());
        drop(home.lock(&Incarnation::fresh()).unwrap());
        let mut file = home.open_lock(OpenOptions::new().write(true)).unwrap();
        assert_ne!(holder(&mut file).unwrap(), "", "the dead have left their name");
        take(&file).unwrap();
        assert_eq!(home.live().unwrap(), None, "E2: the dead don't live in a lock that another has");
    }

    #[test]
    fn a_gateway_that_has_ended_does_not_live_on_in_a_child_that_is_just_being_started() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path());
        let lock = home.lock(&Incarnation::fresh()).unwrap();
        // As a fork has one, until it becomes another program.
        let in_a_child = lock.file.try_clone().unwrap();
        drop(lock);
        assert_eq!(home.live().unwrap(), None, "E2: its gateway has ended");
        drop(in_a_child);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_home_that_is_locked_is_the_same_wherever_it_is_moved() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path().join("home"));
        let lock = home.lock(&Incarnation::fresh()).unwrap();
        std::fs::rename(home.path(), folder.path().join("moved")).unwrap();
        std::fs::create_dir(home.path()).unwrap();
        assert!(lock.home().lock_path().exists(), "it is the one with the lock, not the one at the path");
    }
}
