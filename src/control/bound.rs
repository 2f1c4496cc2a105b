//! Writing and removing a hold's file in the place of what was seen there, and of nothing that was written since.
//!
//! A writer looks first what stands there, and is then bound to it ([`write`], [`remove`]): of several that begin one hold at
//! the same time one does, and who renews or ends a hold does it to the one that it saw.

use super::epoch::Epoch;
use super::opened::OpenHome;
use super::owner::Owner;
use super::read::{self, Opened};
use super::request_file::Found;
use super::{Home, scan, write as whole};
use crate::hold::RequestId;
use rustix::fs::{FlockOperation, flock, renameat};
use rustix::io::Errno;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// How long another writer is waited for: 1 s. Tests that have several write at once, on a machine with other work, need more.
const LONGEST_WAIT: Duration = Duration::from_secs(if cfg!(test) { 5 } else { 1 });

/// Writes a request in the place of what was `seen` there.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] if something else is there by now; otherwise what the file system says.
pub(super) fn write(home: &OpenHome, id: &RequestId, bytes: &[u8], epoch: &Epoch, seen: &Found) -> io::Result<()> {
    let owner = home.owner()?;
    owner.permits_writing()?;
    let folder = if id.is_marker() { home.folder_of(id)? } else { home.make_holds()? };
    let name = Home::file_name(id);
    if matches!(seen, Found::Absent) {
        return put_new(&folder, &name, bytes, owner);
    }
    let _turn = WriteLock::take(&folder, &name);
    if scan::find(&folder, &name, id, epoch).nonce() != seen.nonce() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    whole::replace(&folder, &name, bytes, Some(owner), |_| Ok(())).map(drop)
}

/// Removes what was `seen` there; tells whether there was anything.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] if something else is there by now; otherwise what the file system says.
pub(super) fn remove(home: &OpenHome, id: &RequestId, epoch: &Epoch, seen: &Found) -> io::Result<bool> {
    let name = Home::file_name(id);
    let Ok(folder) = home.folder_of(id) else { return home.remove_request(id) };
    let _turn = WriteLock::take(&folder, &name);
    let there = scan::find(&folder, &name, id, epoch);
    if !matches!(there, Found::Absent) && there.nonce() != seen.nonce() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    home.remove_request(id)
}

/// Writes a file where nothing has its name: the second of two writers is refused, in one step. A file system that can't
/// tell replaces the file.
fn put_new(folder: &OwnedFd, name: &str, bytes: &[u8], owner: Owner) -> io::Result<()> {
    let rename = |folder: &OwnedFd, from: &str, to: &str| renameat(folder, from, folder, to);
    #[cfg(target_os = "linux")]
    let rename = |folder: &OwnedFd, from: &str, to: &str| match rustix::fs::renameat_with(
        folder,
        from,
        folder,
        to,
        rustix::fs::RenameFlags::NOREPLACE,
    ) {
        Err(Errno::INVAL | Errno::NOSYS) => rename(folder, from, to),
        renamed => renamed,
    };
    whole::put(folder, name, bytes, Some(owner), |_| Ok(()), rename).map(drop)
}

/// The turn to replace one file: several writers have it one after the other, and each sees what the one before has written.
///
/// It is an advisory lock on the file that is to be replaced, which goes with that file. Another program that keeps the file
/// locked delays a turn by [`LONGEST_WAIT`] at most; after that, and where the file system has no locks, the writers race as
/// if there were no turns.
struct WriteLock(#[expect(dead_code, reason = "the lock lasts as long as the file is open")] Option<Opened>);

impl WriteLock {
    fn take(folder: &OwnedFd, name: &str) -> Self {
        let Ok(opened) = read::open(folder, name.as_bytes()) else { return Self(None) };
        let began = Instant::now();
        while flock(opened.file(), FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK)
            && began.elapsed() < LONGEST_WAIT
        {
            std::thread::park_timeout(Duration::from_millis(1));
        }
        Self(Some(opened))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Channel;
    use crate::hold::{Nonce, Request};

    /// What can lie in a hold's place that holds nothing, as the one who begins it has seen it.
    fn seen(channel: &Channel, id: &RequestId, what: &str) -> Found {
        let path = channel.home().request_path(id);
        match what {
            "nothing" => {}
            "a write of an earlier boot" => {
                let earlier = Channel::of_epoch(channel.home().clone(), Epoch::from("an-earlier-boot:1".to_owned()));
                earlier.write(&Request::begin(id.clone(), "ops")).unwrap();
            }
            "a write without a nonce" => std::fs::write(path, r#"{"action": "drain", "principal": "ops"}"#).unwrap(),
            _ => channel.write(&Request { nonce: Some(Nonce::fresh()), ..Request::begin(id.clone(), "ops") }).unwrap(),
        }
        channel.find(id)
    }

    #[test]
    fn of_several_that_have_seen_the_same_one_begins_the_hold_and_the_others_write_nothing() {
        let place = tempfile::tempdir().unwrap();
        let channel = Channel::new(Home::at(place.path()));
        std::fs::create_dir(channel.home().holds_folder()).unwrap();
        let whats = ["nothing", "a write of an earlier boot", "a write without a nonce", "a write that has ended"];
        for (round, what) in whats.into_iter().enumerate() {
            let id = RequestId::new(format!("upgrade-{round}")).unwrap();
            let seen = seen(&channel, &id, what);
            let writer = || {
                let request = Request { nonce: Some(Nonce::fresh()), ..Request::begin(id.clone(), "ops") };
                channel.write_over(&request, &seen).map(|_| request.nonce)
            };
            let begun: Vec<_> = std::thread::scope(|scope| {
                let writers: Vec<_> = (0..4).map(|_| scope.spawn(writer)).collect();
                writers.into_iter().map(|writer| writer.join().unwrap()).collect()
            });
            let first: Vec<_> = begun.iter().filter_map(|begun| begun.as_ref().ok()).collect();
            assert_eq!(first.len(), 1, "over {what}: {begun:?}");
            assert_eq!(channel.find(&id).nonce(), first[0].as_ref(), "over {what}: another's write lies there");
            for refused in begun.iter().filter_map(|begun| begun.as_ref().err()) {
                assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists, "over {what}: {refused}");
            }
        }
    }

    #[test]
    fn what_was_written_since_it_was_seen_is_not_removed() {
        let place = tempfile::tempdir().unwrap();
        let channel = Channel::new(Home::at(place.path()));
        std::fs::create_dir(channel.home().holds_folder()).unwrap();
        for (round, what) in
            ["a write of an earlier boot", "a write without a nonce", "a write"].into_iter().enumerate()
        {
            let id = RequestId::new(format!("upgrade-{round}")).unwrap();
            let seen = seen(&channel, &id, what);
            let since = Request { nonce: Some(Nonce::fresh()), ..Request::begin(id.clone(), "ops") };
            channel.write(&since).unwrap();
            let refused = channel.remove_seen(&id, &seen).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists, "after {what}: {refused}");
            let seen = channel.find(&id);
            assert_eq!(seen.nonce(), since.nonce.as_ref(), "after {what}");
            assert!(channel.remove_seen(&id, &seen).unwrap(), "after {what}");
            assert!(!channel.remove_seen(&id, &seen).unwrap(), "after {what}: nothing is left");
        }
    }

    #[test]
    fn a_file_that_another_program_keeps_locked_delays_a_begin_and_does_not_prevent_it() {
        let place = tempfile::tempdir().unwrap();
        let channel = Channel::new(Home::at(place.path()));
        std::fs::create_dir(channel.home().holds_folder()).unwrap();
        let id = RequestId::new("upgrade").unwrap();
        let seen = seen(&channel, &id, "a write that has ended");
        let locked = std::fs::File::open(channel.home().request_path(&id)).unwrap();
        flock(&locked, FlockOperation::NonBlockingLockExclusive).unwrap();
        let request = Request { nonce: Some(Nonce::fresh()), ..Request::begin(id.clone(), "ops") };
        let began = Instant::now();
        channel.write_over(&request, &seen).unwrap();
        assert!(began.elapsed() >= LONGEST_WAIT, "another writer is waited for: {:?}", began.elapsed());
        assert_eq!(channel.find(&id).nonce(), request.nonce.as_ref());
    }
}
