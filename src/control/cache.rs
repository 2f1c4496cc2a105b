//! What earlier looks read, so that a hold file that nobody has written since isn't read at every one of them.
//!
//! Each look asks the system what it says of a file, which is not opened for that. What was read before is taken again for
//! [`FRESH`] if the system says the same as then, and if the file was last changed longer before than a clock is coarse.
//! Whatever changes a file unseen (a network file system that answers from memory, a write through a mapping, a disk that
//! fails) is seen by then. Decision 11 has the figures.

use super::epoch::Epoch;
use super::read::{self, MAX_BYTES, Stamp, Unreadable};
use super::request_file::{Found, Interpreted, age};
use crate::hold::RequestId;
use std::iter::Peekable;
use std::mem;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant, SystemTime};
use std::vec;

/// For so long what was read is taken for what stands in the file: 5 seconds.
const FRESH: Duration = Duration::from_secs(5);

/// No local file system's times are coarser: FAT's are even seconds, by a clock that is some milliseconds late.
const GRAIN: Duration = Duration::from_secs(3);

/// What a gateway's last look found in its hold files, in the order of their names.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    files: Vec<Remembered>,
}

#[derive(Debug)]
struct Remembered {
    name: Vec<u8>,
    stamp: Stamp,
    interpreted: Interpreted,
    read: Instant,
}

impl Cache {
    /// For a look that begins `now`, which by the wall clock is `wall`. What it doesn't come across is forgotten.
    pub(crate) fn recall(&mut self, wall: SystemTime, now: Instant) -> Recall<'_> {
        let before = mem::take(&mut self.files);
        self.files.reserve(before.len());
        Recall { before: before.into_iter().peekable(), cache: self, wall, now }
    }
}

/// A look that knows what the one before has read.
#[derive(Debug)]
pub(crate) struct Recall<'c> {
    before: Peekable<vec::IntoIter<Remembered>>,
    cache: &'c mut Cache,
    wall: SystemTime,
    now: Instant,
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
        let now = self.now;
        // By the clock that nobody sets: a step of the other one must not make it younger.
        let fresh = |known: &Remembered| now.saturating_duration_since(known.read) < FRESH;
        let same = |known: &Remembered| known.name == name && known.stamp == stamp && fresh(known);
        if let Some(known) = self.before.next_if(same) {
            let found = known.interpreted.clone().at(self.wall);
            self.cache.files.push(known);
            return Ok(found);
        }
        let opened = read::open(folder, &name)?;
        let stamp = opened.stamp;
        let interpreted = Interpreted::of(&opened.content(MAX_BYTES)?, id, ours);
        if settled(&stamp, self.wall) {
            self.cache.files.push(Remembered { name, stamp, interpreted: interpreted.clone(), read: now });
        }
        Ok(interpreted.at(self.wall))
    }
}

/// Whether any later write would show in the times of a file that was read in a look that began at `wall`.
fn settled(stamp: &Stamp, wall: SystemTime) -> bool {
    age(stamp.changed, wall).is_some_and(|age| age > GRAIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::PathBuf;

    /// A folder of hold files, and a gateway that has looked at them long after they were written.
    struct Place {
        folder: tempfile::TempDir,
        cache: Cache,
        wall: SystemTime,
        now: Instant,
    }

    impl Place {
        fn of(names: &[&str]) -> Self {
            let mut place = Self {
                folder: tempfile::tempdir().unwrap(),
                cache: Cache::default(),
                wall: SystemTime::now() + Duration::from_secs(60),
                now: Instant::now(),
            };
            for name in names {
                place.write(name, "before");
            }
            place.look(names, Duration::ZERO);
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
            if let Some(known) = self.cache.files.iter_mut().find(|known| known.name == name.as_bytes()) {
                known.stamp = stamp;
            }
        }

        /// Looks so long after the first look.
        fn look(&mut self, names: &[&str], since: Duration) -> Vec<Result<Found, Unreadable>> {
            let folder = read::folder(self.folder.path()).unwrap();
            let (id, epoch) = (RequestId::new("upgrade").unwrap(), Epoch::default());
            let mut recall = self.cache.recall(self.wall + since, self.now + since);
            names.iter().map(|name| recall.look(&folder, name.as_bytes().to_vec(), &id, &epoch)).collect()
        }

        fn reasons(&mut self, names: &[&str], since: Duration) -> Vec<String> {
            let reason = |found| match found {
                Ok(Found::Valid(request)) => request.reason,
                other => format!("{other:?}"),
            };
            self.look(names, since).into_iter().map(reason).collect()
        }
    }

    const NONE: Duration = Duration::ZERO;
    const MOMENT: Duration = Duration::from_nanos(1);

    #[test]
    fn what_was_not_written_since_is_read_again_when_what_is_known_is_old_whatever_the_wall_clock_says() {
        for step in [None, Some(SystemTime::UNIX_EPOCH)] {
            let mut place = Place::of(&["a"]);
            place.write_unseen("a");
            place.wall = step.unwrap_or(place.wall);
            for since in [NONE, MOMENT, FRESH.checked_sub(MOMENT).unwrap()] {
                assert_eq!(place.reasons(&["a"], since), ["before"], "{since:?} after it was read");
            }
            assert_eq!(place.reasons(&["a"], FRESH), ["after"], "whatever changed it unseen is seen by now");
        }
    }

    #[test]
    fn whatever_the_system_says_anew_has_a_file_read() {
        let anew: [fn(&mut Stamp); 5] = [
            |stamp| stamp.device += 1,
            |stamp| stamp.inode += 1,
            |stamp| stamp.size += 1,
            |stamp| stamp.modified += 1,
            |stamp| stamp.changed += 1,
        ];
        for says in anew {
            let mut place = Place::of(&["a"]);
            place.write_unseen("a");
            says(&mut place.cache.files[0].stamp);
            let known = place.cache.files[0].stamp;
            assert_eq!(place.reasons(&["a"], NONE), ["after"], "{known:?} is known");
        }
    }

    #[test]
    fn what_is_no_file_any_more_is_not_taken_for_what_it_was() {
        let mut place = Place::of(&["a"]);
        fs::remove_file(place.path("a")).unwrap();
        assert_eq!(place.look(&["a"], NONE), [Err(Unreadable::Missing)]);
        fs::create_dir(place.path("a")).unwrap();
        assert_eq!(place.look(&["a"], NONE), [Err(Unreadable::Kind("a folder"))]);
    }

    #[test]
    fn what_may_be_written_once_more_in_the_same_moment_of_its_clock_is_read_again() {
        let mut place = Place::of(&[]);
        // The last: a clock that was set back, or another's that is ahead.
        for (age, reason) in [(Some(GRAIN), "after"), (Some(GRAIN + MOMENT), "before"), (None, "after")] {
            place.write("a", "before");
            let changed = Duration::from_nanos(place.stamp("a").changed.try_into().unwrap());
            place.wall = SystemTime::UNIX_EPOCH + age.map_or(NONE, |age| changed + age);
            place.cache = Cache::default();
            place.look(&["a"], NONE);
            place.write_unseen("a");
            assert_eq!(place.reasons(&["a"], NONE), [reason], "first read {age:?} after it was changed");
        }
    }

    #[test]
    fn each_file_is_remembered_by_its_own_name_whichever_others_come_and_go() {
        let mut place = Place::of(&["b", "c", "d"]);
        for name in ["b", "c", "d"] {
            place.write_unseen(name);
        }
        place.write("a", "new");
        assert_eq!(place.reasons(&["a", "b", "d"], NONE), ["new", "before", "before"]);
        assert_eq!(place.reasons(&["a", "b", "c", "d"], NONE), ["new", "before", "after", "before"], "c was forgotten");
        place.cache.files.retain(|known| known.name == b"b");
        place.cache.files[0].stamp = place.stamp("a");
        assert_eq!(place.reasons(&["a"], NONE), ["new"], "of b, and not of a, something else is known");
    }

    #[test]
    fn what_is_remembered_grows_older_with_the_clock() {
        let mut place = Place::of(&["a"]);
        place.write_unseen("a");
        for since in [NONE, Duration::from_secs(4)] {
            let found = place.look(&["a"], since);
            let [Ok(Found::Valid(request))] = &found[..] else { panic!("a request, and not {found:?}") };
            let age = (place.wall + since).duration_since(SystemTime::UNIX_EPOCH).ok();
            assert_eq!((&*request.reason, request.age), ("before", age));
        }
    }
}
