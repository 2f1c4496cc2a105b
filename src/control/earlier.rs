//! The lock of the first version of this crate: `gateway.lock`, which the reference uses too, for something else.
//!
//! It is looked at and nothing more, since it may be the reference's: never made, locked for good, changed or removed.

use super::opened::OpenHome;
use rustix::fs::{FileType, FlockOperation, Mode, OFlags, flock, fstat, openat};
use rustix::io::Errno;
use std::fs::File;
use std::io::Read;

const LOCK: &str = "gateway.lock";

/// What a gateway of that version wrote into its lock, if one lives here. What can't be opened or read is nobody's lock.
pub(super) fn live(home: &OpenHome) -> Option<String> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(openat(&home.folder, LOCK, flags, Mode::empty()).ok()?);
    if FileType::from_raw_mode(fstat(&file).ok()?.st_mode) != FileType::RegularFile {
        return None;
    }
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Err(Errno::WOULDBLOCK) => {}
        taken => {
            // Not by closing it alone: a child that is just being started has it open too.
            let _ = taken.and_then(|()| flock(&file, FlockOperation::Unlock));
            return None;
        }
    }
    let mut text = String::new();
    file.take(256).read_to_string(&mut text).ok()?;
    is_record(&text).then(|| text.trim_end().to_owned())
}

/// `<incarnation> <process id>`, and a line's end.
fn is_record(text: &str) -> bool {
    let is_hex = |word: &str| word.len() == 32 && word.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let words = text.strip_suffix('\n').unwrap_or(text).split_once(' ');
    words.is_some_and(|(incarnation, pid)| is_hex(incarnation) && pid.parse::<u32>().is_ok_and(|pid| pid > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_of_the_first_version_lives_as_long_as_its_lock_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let home = OpenHome::open(folder.path()).unwrap();
        assert_eq!(live(&home), None, "there is no lock");
        let record = format!("{} 7", "0123456789abcdef".repeat(2));
        std::fs::write(folder.path().join(LOCK), format!("{record}\n")).unwrap();
        assert_eq!(live(&home), None, "nobody keeps it");
        let kept = File::open(folder.path().join(LOCK)).unwrap();
        flock(&kept, FlockOperation::NonBlockingLockExclusive).unwrap();
        assert_eq!(live(&home), Some(record));
    }

    #[test]
    fn a_record_is_the_first_versions_and_nothing_else() {
        let incarnation = "0123456789abcdef".repeat(2);
        for good in [format!("{incarnation} 1\n"), format!("{incarnation} 4194304")] {
            assert!(is_record(&good), "{good:?}");
        }
        let more = [format!("{incarnation}\n"), format!("{incarnation} 0\n"), format!("{incarnation} 12 34 56\n")];
        let of_others = ["", "4711\n", "{\"pid\": 4711, \"kind\": \"hermes-gateway\"}\n", "null"].map(String::from);
        let almost = [format!("{} 1\n", &incarnation[1..]), format!("{} 1\n", incarnation.to_uppercase())];
        for other in more.into_iter().chain(of_others).chain(almost) {
            assert!(!is_record(&other), "{other:?}");
        }
    }
}
