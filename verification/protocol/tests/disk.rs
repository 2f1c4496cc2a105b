//! Whatever step the writer or the machine dies at, a reader finds the old file or the new one, whole.

use gateway_drain::control::write::{Step, replace};
use gateway_drain_protocol::disk::Writer;
use gateway_drain_protocol::explorer::{Counts, explore};

/// The steps that the crate's own writer takes, in their order.
fn taken() -> Vec<Step> {
    let place = tempfile::tempdir().expect("a folder");
    let folder = std::fs::File::open(place.path()).expect("just made").into();
    let mut taken = Vec::new();
    let record = |step| {
        taken.push(step);
        Ok(())
    };
    replace(&folder, "file", b"content", None, record).expect("the disk is sound");
    taken
}

#[test]
fn the_writers_steps_leave_a_whole_file_wherever_they_end() {
    let mut writer = Writer { steps: taken() };
    let graph = explore(&mut writer).map_err(|found| format!("{found:?}")).expect("C1 and C2 hold");
    assert_eq!(graph.counts(), Counts { states: 26, edges: 25 });
}

#[test]
fn every_step_that_matters_to_a_reader_is_missed_when_it_is_left_out() {
    let left_out = [(Step::Write, "C1", 3), (Step::SyncFile, "C2", 4), (Step::SyncFolder, "C2", 5)];
    for (step, property, length) in left_out {
        let mut writer = Writer { steps: taken().into_iter().filter(|other| *other != step).collect() };
        let found = explore(&mut writer).err().unwrap_or_else(|| panic!("nobody misses {step:?}"));
        assert!(found.breaks.starts_with(property), "{step:?}: {found:?}");
        assert_eq!(found.steps.len(), length, "{step:?}: {found:?}");
    }
}

#[test]
fn a_rename_before_the_content_shows_a_torn_file() {
    let mut writer = Writer { steps: vec![Step::Create, Step::Rename, Step::Write, Step::SyncFile, Step::SyncFolder] };
    let found = explore(&mut writer).err().expect("the name moves before there is anything under it");
    assert!(found.breaks.starts_with("C1"), "{found:?}");
    assert_eq!(found.steps.len(), 2, "{found:?}");
}
