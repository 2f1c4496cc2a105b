//! The published status: any content is an error or a whole status, which survives a round trip, and from which the next
//! process takes over no more than the holds it shows.
#![no_main]

use gateway_drain::hold::Source;
use gateway_drain::reconciler::Options;
use gateway_drain::status::{Readout, Snapshot};
use gateway_drain::{Home, Reconciler, RequestId};
use libfuzzer_sys::fuzz_target;
use std::path::Path;

fuzz_target!(|bytes: &[u8]| {
    let Ok(status) = Snapshot::from_bytes(bytes) else { return };
    let _ = Readout::of(Some(&status), true, None);
    let written = serde_json::to_vec(&status).expect("a status can be written");
    let again = Snapshot::from_bytes(&written).expect("what was written can be read");
    assert_eq!(serde_json::to_vec(&again).expect("a status can be written"), written);
    for hold in &status.drain.holds {
        let id = hold.request_id.as_str();
        let sound = RequestId::new(id).is_ok() || id == "marker" || (id.starts_with('!') && !id.contains('/'));
        assert!(sound, "{id:?} came out of a status");
    }

    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.expect("a folder");
    let home = Home::at(folder.path());
    std::fs::write(home.status(), bytes).expect("the folder is writable");
    let gateway = Reconciler::start(home, Options::default()).expect("no status keeps a gateway from starting");
    let restorable = status.drain.holds.iter().any(|hold| hold.source == Source::File);
    assert!(restorable || gateway.gate().admit().is_ok(), "nothing asks for a drain");
    for hold in gateway.controller().holds() {
        let outlasts = hold.commit.is_some() || hold.overwritten;
        assert!(outlasts, "the file of {} is not there, and only a commit or an overwriting outlasts that", hold.id);
    }
});
