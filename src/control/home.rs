//! The home: one folder for each gateway, where everything lies.

use super::lock::{self, HomeLock};
use super::opened::OpenHome;
use super::read::Unreadable;
use crate::environment::{self, Environment, HomeSource};
use crate::hold::{Incarnation, RequestId};
use core::fmt;
use std::io;
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
    pub const VARIABLE: &str = environment::HOME;
    /// The reference's variable for the home, read where [`VARIABLE`](Self::VARIABLE) isn't set.
    pub const REFERENCE_VARIABLE: &str = environment::REFERENCE_HOME;

    pub(crate) const HOLDS: &str = ".drain_holds";
    pub(crate) const LOCK: &str = ".drain.lock";
    pub(crate) const STATUS: &str = "gateway_state.json";
    pub(crate) const COMMITS: &str = ".drain_commits.json";
    pub(crate) const MARKER: &str = ".drain_request.json";

    /// This folder. A relative path is made absolute now, so that a later change of the working directory changes nothing.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self { path: std::path::absolute(&path).unwrap_or(path) }
    }

    /// The folder given, else the one that `GATEWAY_DRAIN_HOME` names, else the one that `HERMES_HOME` names. Where neither
    /// is set it is the reference's folder `~/.hermes` if that is there, else `gateway-drain/home` in the user's state folder:
    /// `/var/lib` for root, else `$XDG_STATE_HOME` or `~/.local/state`.
    ///
    /// # Errors
    /// [`NoHome`] if nothing says where, `GATEWAY_DRAIN_HOME` is set but empty, or both of the last two folders are there.
    pub fn resolve(given: Option<PathBuf>) -> Result<Self, NoHome> {
        if let Some(given) = given.filter(|path| !path.as_os_str().is_empty()) {
            return Ok(Self::at(given));
        }
        match Environment::of_this_process().home(Path::is_dir) {
            HomeSource::Folder(folder) => Ok(Self::at(folder)),
            HomeSource::Empty => Err(NoHome::Empty),
            HomeSource::Both(reference, own) => Err(NoHome::Ambiguous(reference, own)),
            HomeSource::Nowhere => Err(NoHome::Unknown),
        }
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
        let folder = if id.is_marker() { self.path.clone() } else { self.holds_folder() };
        folder.join(Self::file_name(id))
    }

    /// The published status: `gateway_state.json`.
    #[must_use]
    pub fn status(&self) -> PathBuf {
        self.path.join(Self::STATUS)
    }

    /// The record of commits: `.drain_commits.json`, the gateway's own.
    #[must_use]
    pub fn commits(&self) -> PathBuf {
        self.path.join(Self::COMMITS)
    }

    /// The lock: `.drain.lock`.
    #[must_use]
    pub fn lock_path(&self) -> PathBuf {
        self.path.join(Self::LOCK)
    }

    pub(crate) fn file_name(id: &RequestId) -> String {
        if id.is_marker() { Self::MARKER.into() } else { format!("{id}.json") }
    }

    /// Makes the folder if it isn't there, for its owner alone, and locks it for the life of the process.
    ///
    /// # Errors
    /// [`LockError::InUse`] if a gateway runs in this home already or another process has locked it, [`LockError::Unusable`] if the folder can't be made
    /// or written to, or if its file system doesn't lock.
    pub fn lock(&self, incarnation: &Incarnation) -> Result<HomeLock, LockError> {
        HomeLock::of(self, incarnation)
    }

    /// Which gateway process lives in this home; `None` if none does.
    ///
    /// That is known from the lock that it holds, never from a timestamp. A lock that is held by a child which a dead gateway has
    /// forked is told by the process that stands in it, if that process would be visible from here.
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
        match OpenHome::open(&self.path) {
            Ok(home) => lock::live(&home),
            Err(Unreadable::Missing) => Ok(None),
            Err(why) => Err(why.into()),
        }
    }
}

/// Why it isn't known where the home is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoHome {
    /// Nothing says where.
    Unknown,
    /// [`Home::VARIABLE`] is set but empty.
    Empty,
    /// No variable names one, and both of these are there: a guess could drain another gateway.
    Ambiguous(PathBuf, PathBuf),
}

impl fmt::Display for NoHome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let variable = Home::VARIABLE;
        match self {
            Self::Unknown => write!(f, "no home: give one with --home, or set {variable}"),
            Self::Empty => write!(f, "{variable} is set but empty: have it name the home, or unset it"),
            Self::Ambiguous(one, other) => {
                let (one, other) = (one.display(), other.display());
                write!(f, "two homes are there, {one} and {other}: name one with --home or {variable}")
            }
        }
    }
}

impl std::error::Error for NoHome {}

/// Who keeps a home locked, as far as that can be known.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Holder {
    /// A gateway that lives, with what it wrote into the lock: its incarnation and process id come first.
    Gateway(String),
    /// A gateway of the first version of this crate, with what it wrote into its lock, `gateway.lock`.
    EarlierGateway(String),
    /// A process that says nothing of itself has locked this: another program, or a gateway that is just starting or whose lock was
    /// taken away.
    Unknown(&'static str),
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gateway(record) => f.write_str(record),
            Self::EarlierGateway(record) => write!(f, "{record}, in gateway.lock"),
            Self::Unknown(what) => write!(f, "{what} is locked"),
        }
    }
}

/// Why a home could not be locked.
#[derive(Debug)]
#[non_exhaustive]
pub enum LockError {
    /// Somebody has locked it: another gateway, as a rule.
    InUse {
        /// The home.
        home: PathBuf,
        /// Who.
        by: Holder,
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
            Self::InUse { home, by: by @ Holder::Unknown(_) } => {
                write!(
                    f,
                    "the home {} is in use: {by} by another process, which `lslocks` shows: end it, or use another home",
                    home.display()
                )
            }
            Self::InUse { home, by } => {
                let which = if matches!(by, Holder::EarlierGateway(_)) { " of an earlier version" } else { "" };
                write!(f, "another gateway{which} runs in {} ({by}): one gateway for each home", home.display())
            }
            Self::Unusable { home, source } => {
                write!(f, "the home {} can't be used: {source}{}", home.display(), advice(source))
            }
        }
    }
}

/// What to do about an error of a start, where that is known.
pub(crate) fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; make room there, or use a home on another disk",
        io::ErrorKind::FileTooLarge => "; raise the limit on the size of files (`ulimit -f`)",
        _ => "",
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
    use std::error::Error;

    #[test]
    fn a_home_that_can_not_be_used_is_named_with_why_and_with_what_to_do_where_that_is_known() {
        for (kind, advice) in [
            (io::ErrorKind::StorageFull, "; make room there, or use a home on another disk"),
            (io::ErrorKind::QuotaExceeded, "; make room there, or use a home on another disk"),
            (io::ErrorKind::FileTooLarge, "; raise the limit on the size of files (`ulimit -f`)"),
            (io::ErrorKind::ReadOnlyFilesystem, ""),
        ] {
            let error = LockError::Unusable { home: "/var/lib/gateway".into(), source: kind.into() };
            assert_eq!(error.to_string(), format!("the home /var/lib/gateway can't be used: {kind}{advice}"));
            let source = error.source().and_then(|source| source.downcast_ref::<io::Error>()).map(io::Error::kind);
            assert_eq!(source, Some(kind), "the system's own error is lost");
        }
        let in_use = LockError::InUse { home: "/var/lib/gateway".into(), by: Holder::Gateway("x 7".into()) };
        assert!(in_use.source().is_none(), "no error of the system says that another gateway lives");
    }
}
