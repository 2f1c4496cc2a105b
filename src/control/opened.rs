//! A home that is open: everything in it is reached from one descriptor.
//!
//! Neither a change of the working directory, nor a link that is pointed elsewhere, nor a folder that is swapped in the middle of an
//! operation leads out of it. The gateway keeps one open for its life (see [`lock`](super::lock)), a controller for one operation.

use super::epoch::Epoch;
use super::home::Home;
use super::owner::Owner;
use super::read::{self, Stamp, Unreadable};
use super::request_file::Found;
use super::{scan, write};
use crate::hold::RequestId;
use rustix::fs::{AtFlags, Mode, fchmod, fstat, mkdirat};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

#[derive(Debug)]
pub(crate) struct OpenHome {
    pub(crate) folder: OwnedFd,
}

impl OpenHome {
    /// Opens the folder, which may be a link: its name means where it leads.
    pub(crate) fn open(path: &Path) -> Result<Self, Unreadable> {
        Ok(Self { folder: read::home(path)? })
    }

    /// As [`open`](Self::open); makes the folder, and those above it, if they aren't there.
    pub(crate) fn open_or_make(path: &Path) -> io::Result<Self> {
        match Self::open(path) {
            Err(Unreadable::Missing) => {}
            opened => return Ok(opened?),
        }
        let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let above = Self::open_or_make(if above.as_os_str().is_empty() { Path::new(".") } else { above })?;
        make_folder(&above.folder, Path::new(name))?;
        Ok(Self::open(path)?)
    }

    /// The user that the gateway here runs as.
    pub(crate) fn owner(&self) -> io::Result<Owner> {
        Owner::of_gateway(&self.folder, Home::LOCK)
    }

    /// The folder of holds.
    pub(crate) fn holds(&self) -> Result<OwnedFd, Unreadable> {
        read::folder_in(&self.folder, Home::HOLDS.as_ref())
    }

    /// The folder of holds, which is made if it isn't there.
    pub(crate) fn make_holds(&self) -> io::Result<OwnedFd> {
        let owner = self.owner()?;
        let folder = make_folder(&self.folder, Home::HOLDS.as_ref())?;
        // Also one that is root's: an earlier command of root's has left it, and the gateway can't read what is in it.
        if fstat(&folder)?.st_uid == 0 {
            owner.take_over(&folder)?;
        }
        Ok(folder)
    }

    pub(super) fn folder_of(&self, id: &RequestId) -> Result<OwnedFd, Unreadable> {
        if id.is_marker() { Ok(self.folder.as_fd().try_clone_to_owned()?) } else { self.holds() }
    }

    /// Replaces a request's file.
    pub(crate) fn write_request(&self, id: &RequestId, bytes: &[u8]) -> io::Result<()> {
        // First of all: nothing is made by a user whose files the gateway can't read.
        let owner = self.owner()?;
        owner.permits_writing()?;
        let folder = if id.is_marker() { self.folder_of(id)? } else { self.make_holds()? };
        write::replace(&folder, &Home::file_name(id), bytes, Some(owner), |_| Ok(())).map(drop)
    }

    /// Writes a request under a name beside the holds that nobody reads.
    #[cfg(feature = "client")]
    pub(crate) fn prepare_request(&self, id: &RequestId, bytes: &[u8]) -> io::Result<()> {
        let owner = self.owner()?;
        owner.permits_writing()?;
        write::replace(&self.make_holds()?, &prepared(id), bytes, Some(owner), |_| Ok(())).map(drop)
    }

    /// Puts what was [prepared](Self::prepare_request) in its place, if `is_it`.
    #[cfg(feature = "client")]
    pub(crate) fn put_prepared(
        &self,
        id: &RequestId,
        epoch: &Epoch,
        is_it: impl FnOnce(Found) -> bool,
    ) -> io::Result<bool> {
        let folder = self.holds()?;
        let there = is_it(scan::find(&folder, &prepared(id), id, epoch));
        if there {
            rustix::fs::renameat(&folder, prepared(id), &folder, Home::file_name(id))?;
            write::sync(&folder)?;
        }
        Ok(there)
    }

    /// Removes what was [prepared](Self::prepare_request).
    #[cfg(feature = "client")]
    pub(crate) fn discard_prepared(&self, id: &RequestId) -> io::Result<()> {
        remove(&self.holds()?, &prepared(id)).map(drop)
    }

    /// Removes a request's file; tells whether there was one.
    pub(crate) fn remove_request(&self, id: &RequestId) -> io::Result<bool> {
        match self.folder_of(id) {
            Ok(folder) => remove(&folder, &Home::file_name(id)),
            Err(Unreadable::Missing) => Ok(false),
            Err(why) => Err(why.into()),
        }
    }

    /// What stands in a request's place.
    pub(crate) fn find_request(&self, id: &RequestId, epoch: &Epoch) -> Found {
        match self.folder_of(id) {
            Ok(folder) => scan::find(&folder, &Home::file_name(id), id, epoch),
            Err(why) => scan::nothing_read(why),
        }
    }

    /// Replaces a file in the home itself.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> io::Result<Stamp> {
        write::replace(&self.folder, name, bytes, Some(self.owner()?), |_| Ok(()))
    }

    /// Removes a file in the home itself; tells whether there was one.
    pub(crate) fn remove(&self, name: &str) -> io::Result<bool> {
        remove(&self.folder, name)
    }
}

#[cfg(feature = "client")]
fn prepared(id: &RequestId) -> String {
    format!(".withdraw-{id}")
}

/// Removes a name; tells whether there was one.
fn remove(folder: &OwnedFd, name: &str) -> io::Result<bool> {
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Opens a folder of one's own, which is made for its owner alone if it isn't there. It may not be a link.
///
/// # Errors
/// What the file system says, or that something else stands there.
fn make_folder(at: &OwnedFd, name: &Path) -> io::Result<OwnedFd> {
    let made = match mkdirat(at, name, Mode::RWXU) {
        Ok(()) => true,
        Err(Errno::EXIST) => false,
        Err(errno) => return Err(errno.into()),
    };
    let folder = match read::folder_in(at, name) {
        // A umask that takes its maker's own rights. Root opens it all the same, so it is one's own that is changed here.
        Err(Unreadable::System(io::ErrorKind::PermissionDenied, _)) if made => {
            rustix::fs::chmodat(at, name, Mode::RWXU, AtFlags::empty())?;
            read::folder_in(at, name)
        }
        opened => opened,
    }?;
    if made && !Mode::from_raw_mode(fstat(&folder)?.st_mode).contains(Mode::RWXU) {
        fchmod(&folder, Mode::RWXU)?;
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(feature = "client")]
    use crate::control::Channel;
    use crate::control::request_file::to_bytes;
    use crate::hold::Request;
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};

    const NOBODY: u32 = 65_534;
    const DAEMON: u32 = 1;

    #[test]
    fn a_folder_of_holds_that_was_roots_becomes_the_gateways_and_anybody_elses_stays() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        for (before, after) in [(0, NOBODY), (DAEMON, DAEMON)] {
            let place = tempfile::tempdir().unwrap();
            let (lock, holds) = (place.path().join(Home::LOCK), place.path().join(Home::HOLDS));
            fs::write(&lock, "").unwrap();
            chown(&lock, Some(NOBODY), None).unwrap();
            fs::create_dir(&holds).unwrap();
            chown(&holds, Some(before), None).unwrap();
            OpenHome::open(place.path()).unwrap().make_holds().unwrap();
            assert_eq!(fs::metadata(&holds).unwrap().uid(), after);
        }
    }

    #[test]
    fn a_folder_that_is_there_keeps_its_rights() {
        let place = tempfile::tempdir().unwrap();
        let holds = place.path().join(Home::HOLDS);
        let rights = || fs::metadata(&holds).unwrap().permissions().mode() & 0o777;
        let home = OpenHome::open(place.path()).unwrap();
        home.make_holds().unwrap();
        assert_eq!(rights(), 0o700, "made for its owner alone");
        fs::set_permissions(&holds, fs::Permissions::from_mode(0o550)).unwrap();
        home.make_holds().unwrap();
        assert_eq!(rights(), 0o550);
    }

    #[cfg(feature = "client")]
    #[test]
    fn a_withdrawal_that_is_prepared_is_its_holds_own_until_it_is_put_in_its_place_or_discarded() {
        let place = tempfile::tempdir().unwrap();
        let home = OpenHome::open(place.path()).unwrap();
        let [one, other] = ["one", "other"].map(|id| RequestId::new(id).unwrap());
        let epoch = Epoch::current();
        let by = |owner: &str, found: &Found| matches!(found, Found::Valid(request) if request.owner == owner);
        let put = |id: &RequestId| home.put_prepared(id, &epoch, |found| by(id.as_str(), &found)).unwrap();
        let prepare = |id: &RequestId| {
            home.prepare_request(id, &to_bytes(&Request::withdraw(id.clone(), id.as_str()), &epoch)).unwrap();
        };
        prepare(&one);
        prepare(&other);
        assert!(put(&one) && !put(&one), "it lies in its place");
        Channel::new(Home::at(place.path())).discard_prepared(&other).unwrap();
        assert!(!put(&other), "it was discarded");
    }
}
