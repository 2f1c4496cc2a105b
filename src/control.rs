//! The file channel: what stands in a gateway's home, read without trust and written without gaps.
//!
//! | File | Module |
//! |---|---|
//! | the home itself, where everything lies | [`home`] |
//! | its lock: who lives there | [`lock`] |
//! | whose files they have to be | [`owner`] |
//! | `.drain_request.json`, `.drain_holds/*.json`: how a file becomes a [`Request`], and back | [`request_file`] |
//! | reading them: bounded, through no link | [`read`] |
//! | one look at all of them | [`mod@scan`] |
//! | writing them: whole or not at all | [`mod@write`] |
//! | a write or a removal of what was seen there, and of nothing that was written since | `bound` |
//! | which boot a file belongs to | [`epoch`] |
//! | what the system tells of changes in it | `changes` |
//!
//! [`Channel`] is the controller's side: any process that may write to the home can hold the gate. The gateway's side is
//! the [`Reconciler`](crate::Reconciler).

#[cfg(any(feature = "client", feature = "axum"))]
mod bound;
pub(crate) mod changes;
mod earlier;
pub mod epoch;
pub mod home;
pub mod lock;
pub(crate) mod opened;
pub mod owner;
pub mod read;
pub mod request_file;
pub mod scan;
mod spare;
pub mod write;

pub use epoch::Epoch;
pub use home::{Holder, Home, LockError};
pub use lock::HomeLock;
#[cfg(feature = "fleet")]
pub(crate) use lock::Record as ProcessRecord;
pub use request_file::Found;

use crate::hold::{Action, Request, RequestId, fields};
use opened::OpenHome;
use read::Unreadable;
use std::io;

/// The controller's side of the files in a home: to begin a hold, to look, to take it away.
///
/// ```
/// use gateway_drain::control::Found;
/// use gateway_drain::{Channel, Home, Request, RequestId};
///
/// let folder = tempfile::tempdir()?;
/// let channel = Channel::new(Home::at(folder.path()));
/// assert!(matches!(channel.find(&RequestId::marker()), Found::Absent));
///
/// channel.write(&Request::begin(RequestId::marker(), "ops").reason("upgrade to 1.4"))?;
/// let Found::Valid(request) = channel.find(&RequestId::marker()) else { panic!("it was just written") };
/// assert_eq!(request.owner, "ops");
///
/// assert!(channel.remove(&RequestId::marker())?);
/// assert!(!channel.remove(&RequestId::marker())?, "a second time there is nothing to remove");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Channel {
    home: Home,
    epoch: Epoch,
}

impl Channel {
    /// The channel in this home, of the boot that is running.
    #[must_use]
    pub fn new(home: Home) -> Self {
        Self { home, epoch: Epoch::current() }
    }

    /// The same, as of another boot. For tests of what a reboot leaves behind.
    #[must_use]
    pub fn of_epoch(home: Home, epoch: Epoch) -> Self {
        Self { home, epoch }
    }

    /// The home.
    #[must_use]
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// Writes a request into its file, whole or not at all (C1), readable by its owner alone.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] for anything but a `Begin` in the marker, which can say nothing else, and for a
    /// field that a gateway could not read as it is meant ([`fields::check`] names it).
    /// [`io::ErrorKind::PermissionDenied`] if this process is neither the gateway's user nor root, since the gateway could
    /// not read what it writes; root gives what it writes to that user. Otherwise what the file system says. What was there
    /// before is there still.
    pub fn write(&self, request: &Request) -> io::Result<()> {
        self.write_dated(request).map(drop)
    }

    /// As [`write`](Self::write); gives the moment that the file bears.
    pub(crate) fn write_dated(&self, request: &Request) -> io::Result<String> {
        if request.id.is_marker() && request.action != Action::Begin {
            let why = "the marker can only begin a hold; remove it to withdraw, and use a hold of its own to commit";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        fields::check(request).map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why))?;
        let requested_at = request_file::now();
        let bytes = request_file::to_bytes_dated(request, &self.epoch, &requested_at);
        OpenHome::open(self.home.path())?.write_request(&request.id, &bytes)?;
        Ok(requested_at)
    }

    /// Whether the gateway could read what this process writes; [`write`](Self::write) asks that too.
    ///
    /// # Errors
    /// [`io::ErrorKind::PermissionDenied`] if it could not.
    #[cfg(feature = "client")]
    pub(crate) fn permits_writing(&self) -> io::Result<()> {
        match OpenHome::open(self.home.path()) {
            Ok(home) => home.owner()?.permits_writing(),
            // Not even its lock can be looked at: then the folder says whose it is.
            Err(Unreadable::System(io::ErrorKind::PermissionDenied, _)) => {
                owner::Owner::of_folder(self.home.path())?.permits_writing()
            }
            // Whatever else it is, the writing says so.
            Err(_) => Ok(()),
        }
    }

    /// Removes a request's file; tells whether there was one. For an uncommitted hold that is its withdrawal.
    ///
    /// # Errors
    /// What the file system says. The file is there still.
    pub fn remove(&self, id: &RequestId) -> io::Result<bool> {
        match OpenHome::open(self.home.path()) {
            Ok(home) => home.remove_request(id),
            Err(Unreadable::Missing) => Ok(false),
            Err(why) => Err(why.into()),
        }
    }

    /// As [`write`](Self::write), but only in the place of what was `seen` there: of several that have seen the same, one
    /// writes. Gives the moment that the file bears.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if something else stands there by now.
    #[cfg(any(feature = "client", feature = "axum"))]
    pub(crate) fn write_over(&self, request: &Request, seen: &Found) -> io::Result<String> {
        fields::check(request).map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why))?;
        let requested_at = request_file::now();
        let bytes = request_file::to_bytes_dated(request, &self.epoch, &requested_at);
        bound::write(&OpenHome::open(self.home.path())?, &request.id, &bytes, &self.epoch, seen)?;
        Ok(requested_at)
    }

    /// As [`remove`](Self::remove), but only what was `seen` there.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if something else stands there by now.
    #[cfg(any(feature = "client", feature = "axum"))]
    pub(crate) fn remove_seen(&self, id: &RequestId, seen: &Found) -> io::Result<bool> {
        match OpenHome::open(self.home.path()) {
            Ok(home) => bound::remove(&home, id, &self.epoch, seen),
            Err(Unreadable::Missing) => Ok(false),
            Err(why) => Err(why.into()),
        }
    }

    /// Writes a request beside the holds under a name that nobody reads, so that its space is taken before it is wanted: a
    /// full disk can't keep it from [its place](Self::put_prepared).
    #[cfg(feature = "client")]
    pub(crate) fn prepare(&self, request: &Request) -> io::Result<()> {
        let bytes = request_file::to_bytes_dated(request, &self.epoch, &request_file::now());
        OpenHome::open(self.home.path())?.prepare_request(&request.id, &bytes)
    }

    /// Puts what was prepared in its place, if it is this very request; tells whether it was.
    #[cfg(feature = "client")]
    pub(crate) fn put_prepared(&self, request: &Request) -> io::Result<bool> {
        let is_it = |found: Found| matches!(found, Found::Valid(there) if there.nonce == request.nonce);
        OpenHome::open(self.home.path())?.put_prepared(&request.id, &self.epoch, is_it)
    }

    /// Removes what was prepared.
    #[cfg(feature = "client")]
    pub(crate) fn discard_prepared(&self, id: &RequestId) -> io::Result<()> {
        OpenHome::open(self.home.path())?.discard_prepared(id)
    }

    /// What stands in a request's place. Never fails: whatever is there is one of the kinds of [`Found`] (C4).
    #[must_use]
    pub fn find(&self, id: &RequestId) -> Found {
        match OpenHome::open(self.home.path()) {
            Ok(home) => home.find_request(id, &self.epoch),
            Err(why) => scan::nothing_read(why),
        }
    }
}
