//! The names of files in the folder of holds: each is one hold, under its own name or under one that nobody else has, or is
//! nobody's at all.
#![no_main]

use gateway_drain::control::{Epoch, scan::scan};
use gateway_drain::{Home, RequestId};
use libfuzzer_sys::fuzz_target;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::LazyLock;
use tempfile::TempDir;

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.expect("a folder");
    std::fs::create_dir(folder.path().join(".drain_holds")).expect("the folder is writable");
    folder
});

fuzz_target!(|name: &[u8]| {
    if let Ok(id) = str::from_utf8(name).map_err(drop).and_then(|text| RequestId::new(text).map_err(drop)) {
        let sound = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        assert!(id.as_str().bytes().all(sound) && (1..=64).contains(&id.as_str().len()), "{id:?}");
    }
    let home = Home::at(FOLDER.path());
    let path = home.holds_folder().join(OsStr::from_bytes(name));
    if name.contains(&b'/') || name == b"." || name == b".." || name.is_empty() || std::fs::write(&path, "{}").is_err()
    {
        return;
    }
    let scan = scan(&home, &[], &Epoch::default());
    std::fs::remove_file(&path).expect("just made");
    let counts = name.ends_with(b".json") && !name.starts_with(b".");
    assert_eq!(scan.requests.len(), usize::from(counts), "{:?}", name.escape_ascii().to_string());
    for request in scan.requests {
        let own = name.strip_suffix(b".json") == Some(request.id.as_str().as_bytes());
        assert!(
            own != request.id.as_str().starts_with('!'),
            "{:?} is held as {}",
            name.escape_ascii().to_string(),
            request.id
        );
    }
});
