//! What earlier looks read, so that a hold file that nobody has written since isn't read at every one of them.
//!
//! Each look asks the system what it says of a file, which is not opened for that. What was read before is taken again if
//! the system says the same as then, if the file was last changed longer before than any file system's clock is coarse, and
//! for [`LOOKS`] looks at most: whatever else may change a file unseen (a network file system's own memory, a write through a
//! mapping, a disk that fails) is seen by then. Decision 11 has the figures.

use super::epoch::Epoch;
use super::read::{self, MAX_BYTES, Stamp, Unreadable};
use super::request_file::{Found, Interpreted, age};
use crate::hold::RequestId;
use std::iter::Peekable;
use std::mem;
use std::os::fd::OwnedFd;
use std::time::{Duration, SystemTime};
use std::vec;

/// So many looks in a row go without reading a file: 9. The next one reads it, whatever the system says of it.
const LOOKS: u8 = 9;

/// No file system's times are coarser: FAT's are even seconds.
const GRAIN: Duration = Duration::from_secs(2);

/// What a gateway's last look at its hold files found in them, in the order of their names.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    files: Vec<Remembered>,
}

#[derive(Debug)]
struct Remembered {
    name: Vec<u8>,
    stamp: Stamp,
    interpreted: Interpreted,
    looks_left: u8,
}

impl Memory {
    /// For a look that begins at `wall`. What it doesn't come across is forgotten.
    pub(crate) fn recall(&mut self, wall: SystemTime) -> Recall<'_> {
        let before = mem::take(&mut self.files);
        self.files.reserve(before.len());
        Recall { before: before.into_iter().peekable(), memory: self, wall }
    }
}

/// A look that remembers the one before.
#[derive(Debug)]
pub(crate) struct Recall<'m> {
    before: Peekable<vec::IntoIter<Remembered>>,
    memory: &'m mut Memory,
    wall: SystemTime,
}

impl Recall<'_> {
    /// What stands in a file, which is read if it has to be. The files are to come in the order of their names.
    pub(crate) fn look(
        &mut self,
        folder: &OwnedFd,
        name: Vec<u8>,
        id: &RequestId,
        ours: &Epoch,
    ) -> Result<Found, Unreadable> {
        while self.before.next_if(|known| known.name < name).is_some() {}
        let stamp = read::stamp(folder, &name)?;
        let same = |known: &Remembered| known.name == name && known.stamp == stamp && known.looks_left > 0;
        let remembered = if let Some(known) = self.before.next_if(same) {
            Remembered { looks_left: known.looks_left - 1, ..known }
        } else {
            let opened = read::open(folder, &name)?;
            let stamp = opened.stamp;
            let interpreted = Interpreted::of(&opened.content(MAX_BYTES)?, id, ours);
            Remembered { name, stamp, interpreted, looks_left: if settled(&stamp, self.wall) { LOOKS } else { 0 } }
        };
        let found = remembered.interpreted.clone().at(self.wall);
        self.memory.files.push(remembered);
        Ok(found)
    }
}

/// Whether any write after a look that begins at `wall` would show in the file's times.
fn settled(stamp: &Stamp, wall: SystemTime) -> bool {
    age(stamp.changed, wall).is_some_and(|age| age > GRAIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File, Permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    /// A folder of hold files, and a gateway that has looked at them.
    struct Place {
        folder: tempfile::TempDir,
        memory: Memory,
    }

    impl Place {
        fn of(names: &[&str]) -> Self {
            let mut place = Self { folder: tempfile::tempdir().unwrap(), memory: Memory::default() };
            for name in names {
                place.write(name, "before");
            }
            place.look(names, later());
            place
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn write(&self, name: &str, reason: &str) {
            let content =
                format!(r#"{{"action": "drain", "requested_at": "1970-01-01T00:00:00Z", "reason": "{reason}"}}"#);
            fs::write(self.path(name), content).unwrap();
        }

        fn stamp(&self, name: &str) -> Stamp {
            read::stamp(&read::folder(self.folder.path()).unwrap(), name.as_bytes()).unwrap()
        }

        /// Writes it anew, and has the gateway believe that nobody did.
        fn write_unseen(&mut self, name: &str) {
            self.write(name, "after");
            let stamp = self.stamp(name);
            self.memory.files.iter_mut().find(|known| known.name == name.as_bytes()).unwrap().stamp = stamp;
        }

        fn look(&mut self, names: &[&str], wall: SystemTime) -> Vec<Result<Found, Unreadable>> {
            let folder = read::folder(self.folder.path()).unwrap();
            let (id, epoch) = (RequestId::new("upgrade").unwrap(), Epoch::default());
            let mut recall = self.memory.recall(wall);
            names.iter().map(|name| recall.look(&folder, name.as_bytes().to_vec(), &id, &epoch)).collect()
        }

        fn reasons(&mut self, names: &[&str]) -> Vec<String> {
            let reason = |found| match found {
                Ok(Found::Valid(request)) => request.reason,
                other => format!("{other:?}"),
            };
            self.look(names, later()).into_iter().map(reason).collect()
        }
    }

    /// When everything that was written by now was written long ago.
    fn later() -> SystemTime {
        SystemTime::now() + Duration::from_secs(60)
    }

    #[test]
    fn what_was_not_written_since_is_read_at_every_tenth_look() {
        let mut place = Place::of(&["a"]);
        place.write_unseen("a");
        for look in 1..=LOOKS {
            assert_eq!(place.reasons(&["a"]), ["before"], "look {look} after the one that read it");
        }
        assert_eq!(place.reasons(&["a"]), ["after"], "whatever changed it unseen is seen by now");
    }

    #[test]
    fn whatever_shows_that_a_file_was_written_has_it_read() {
        type Way = fn(&Place);
        fn set_modified(place: &Place, to: SystemTime) {
            File::options().write(true).open(place.path("a")).unwrap().set_modified(to).unwrap();
        }
        fn dated_back(place: &Place) {
            let (was, modified) = (place.stamp("a"), fs::metadata(place.path("a")).unwrap().modified().unwrap());
            // Until the clock of the file system has gone on.
            while place.stamp("a").changed == was.changed {
                place.write("a", "beyond");
                set_modified(place, modified);
            }
            assert_eq!(place.stamp("a"), Stamp { changed: place.stamp("a").changed, ..was }, "nothing else differs");
        }
        fn touched(place: &Place) {
            place.write("a", "beyond");
            set_modified(place, later());
        }
        fn replaced(place: &Place) {
            place.write("new", "beyond");
            fs::rename(place.path("new"), place.path("a")).unwrap();
        }
        fn longer(place: &Place) {
            place.write("a", "far beyond");
        }
        let ways: [(&str, Way); 4] =
            [("dated back", dated_back), ("touched", touched), ("replaced", replaced), ("longer", longer)];
        for (way, write) in ways {
            let mut place = Place::of(&["a"]);
            write(&place);
            let reasons = place.reasons(&["a"]);
            assert!(reasons[0].ends_with("beyond"), "{way}: {reasons:?}");
        }
    }

    #[test]
    fn what_is_no_file_any_more_is_not_taken_for_what_it_was() {
        let mut place = Place::of(&["a"]);
        fs::set_permissions(place.path("a"), Permissions::from_mode(0o000)).unwrap();
        let reasons = place.reasons(&["a"]);
        assert!(rustix::process::geteuid().is_root() || reasons != ["before"], "it may not be read: {reasons:?}");
        fs::remove_file(place.path("a")).unwrap();
        assert_eq!(place.look(&["a"], later()), [Err(Unreadable::Missing)]);
        fs::create_dir(place.path("a")).unwrap();
        assert_eq!(place.look(&["a"], later()), [Err(Unreadable::Kind("a folder"))]);
    }

    #[test]
    fn what_may_be_written_once_more_in_the_same_moment_of_its_clock_is_read_again() {
        let mut place = Place::of(&[]);
        let moment = Duration::from_nanos(1);
        // The last: a clock that was set back, or another's that is ahead.
        for (age, reason) in [(Some(GRAIN), "after"), (Some(GRAIN + moment), "before"), (None, "after")] {
            place.write("a", "before");
            let changed = Duration::from_nanos(place.stamp("a").changed.try_into().unwrap());
            place.memory = Memory::default();
            place.look(&["a"], SystemTime::UNIX_EPOCH + age.map_or(Duration::ZERO, |age| changed + age));
            place.write_unseen("a");
            assert_eq!(place.reasons(&["a"]), [reason], "first read {age:?} after it was changed");
        }
    }

    #[test]
    fn each_file_is_remembered_by_its_own_name_whichever_others_come_and_go() {
        let mut place = Place::of(&["b", "c", "d"]);
        for name in ["b", "c", "d"] {
            place.write_unseen(name);
        }
        place.write("a", "new");
        assert_eq!(place.reasons(&["a", "b", "d"]), ["new", "before", "before"]);
        assert_eq!(place.reasons(&["a", "b", "c", "d"]), ["new", "before", "after", "before"], "c was forgotten");
        place.memory.files[1].stamp = place.stamp("a");
        place.memory.files.remove(0);
        assert_eq!(place.reasons(&["a"]), ["new"], "of b, and not of a, something else is known");
    }

    #[test]
    fn what_is_remembered_grows_older_with_the_clock() {
        let mut place = Place::of(&["a"]);
        place.write_unseen("a");
        for seconds in [1_000_000_000, 3_000_000_000] {
            let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            let found = place.look(&["a"], wall);
            let [Ok(Found::Valid(request))] = &found[..] else { panic!("a request, and not {found:?}") };
            assert_eq!((&*request.reason, request.age), ("before", Some(Duration::from_secs(seconds))));
        }
    }
}
