//! Any kind of file at any path of the channel: nothing fails, hangs, opens the gate or is written outside the home (C4).
//!
//! Each row of the tables is one attempt, and each table asserts how many it has made. Time stands still for leases here,
//! so that a gate which opens has been opened by what it found.
//!
//! `tests/it/hostile_channel.rs` makes each of them a test, and the run of faults counts them for `docs/reliability.md`.

use crate::support::eventually::{comes_true, until};
use gateway_drain::control::{Epoch, Found, LockError, request_file, scan};
use gateway_drain::controller::Settings;
use gateway_drain::hold::{Action, Source};
use gateway_drain::reconciler::{Options, StartError};
use gateway_drain::status::{GatewayState, HoldStatus};
use gateway_drain::{Channel, Clock, Home, Reconciler, Request, RequestId, Snapshot};
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What is claimed, and the attempts at it: each panics if it falls short; how many were made.
pub type Trial = (&'static str, fn() -> usize);

/// All of them, for the tests and for the run of faults alike.
pub const TRIALS: [Trial; 20] = [
    (
        "no kind of thing in the place of a request opens the gate or hangs",
        no_kind_of_thing_in_the_place_of_a_request_opens_the_gate_or_hangs,
    ),
    (
        "no kind of thing in the place of a request lets a gateway start open",
        no_kind_of_thing_in_the_place_of_a_request_lets_a_gateway_start_open,
    ),
    (
        "no content that makes no sense opens the gate and the status says what is wrong",
        no_content_that_makes_no_sense_opens_the_gate_and_the_status_says_what_is_wrong,
    ),
    (
        "a file of 10 GiB costs neither time nor memory and holds the gate",
        a_file_of_10_gib_costs_neither_time_nor_memory_and_holds_the_gate,
    ),
    (
        "a field out of range is bounded and the gate stays closed",
        a_field_out_of_range_is_bounded_and_the_gate_stays_closed,
    ),
    ("an unready delay without end is bounded too", an_unready_delay_without_end_is_bounded_too),
    (
        "a name that is no request id holds the gate under a name of its own",
        a_name_that_is_no_request_id_holds_the_gate_under_a_name_of_its_own,
    ),
    (
        "a name that a writer or an editor leaves behind is nobody's hold",
        a_name_that_a_writer_or_an_editor_leaves_behind_is_nobody_s_hold,
    ),
    (
        "whatever stands in the place of the holds folder holds the gate",
        whatever_stands_in_the_place_of_the_holds_folder_holds_the_gate,
    ),
    (
        "five thousand hold files are bounded and hold the gate to the last",
        five_thousand_hold_files_are_bounded_and_hold_the_gate_to_the_last,
    ),
    (
        "as many holds as there can be saying all they can leave the status readable",
        as_many_holds_as_there_can_be_saying_all_they_can_leave_the_status_readable,
    ),
    (
        "whatever a starting gateway finds as its status is replaced or named",
        whatever_a_starting_gateway_finds_as_its_status_is_replaced_or_named,
    ),
    (
        "no content of an earlier status keeps a gateway from starting",
        no_content_of_an_earlier_status_keeps_a_gateway_from_starting,
    ),
    (
        "a status that is taken away or replaced is published again",
        a_status_that_is_taken_away_or_replaced_is_published_again,
    ),
    (
        "whatever stands in the place of the lock is a clear error and is left alone",
        whatever_stands_in_the_place_of_the_lock_is_a_clear_error_and_is_left_alone,
    ),
    ("a second gateway in a home is told who is there", a_second_gateway_in_a_home_is_told_who_is_there),
    ("a home that is no folder is a clear error", a_home_that_is_no_folder_is_a_clear_error),
    (
        "a home that is moved away is served where it is and readiness says so",
        a_home_that_is_moved_away_is_served_where_it_is_and_readiness_says_so,
    ),
    ("no fuzzed request opens the gate", no_fuzzed_request_opens_the_gate),
    (
        "no fuzzed status opens the gate of a gateway that starts under the marker",
        no_fuzzed_status_opens_the_gate_of_a_gateway_that_starts_under_the_marker,
    ),
];

/// Nothing here may take longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// What lies outside the home, where no link may lead.
const OUTSIDE: &str = r#"{"action": "drain", "principal": "from outside"}"#;
const MIN_LEASE: f64 = 1.0;
const DEFAULT_LEASE: f64 = 3600.0;
const MAX_LEASE: f64 = 86_400.0;

/// A home, and beside it a file and a folder that are none of its business.
struct Place {
    folder: TempDir,
    home: Home,
}

impl Place {
    fn new() -> Self {
        Self::in_folder(tempfile::tempdir().expect("a temporary folder"))
    }

    /// Where an fsync costs nothing, if there is such a place: for attempts by the hundred.
    fn in_memory() -> Self {
        Self::in_folder(tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a temporary folder"))
    }

    fn in_folder(folder: TempDir) -> Self {
        fs::write(folder.path().join("outside.json"), OUTSIDE).expect("writable");
        fs::create_dir(folder.path().join("outside")).expect("writable");
        fs::write(folder.path().join("outside/hold.json"), OUTSIDE).expect("writable");
        let home = Home::at(folder.path().join("home"));
        fs::create_dir(home.path()).expect("writable");
        Self { folder, home }
    }

    fn outside(&self) -> PathBuf {
        self.folder.path().join("outside.json")
    }

    fn start(&self) -> Result<Reconciler, StartError> {
        let begun = Instant::now();
        let settings = Settings { clock: Clock::manual(), ..Settings::default() };
        let options =
            Options { settings, tick: Duration::from_millis(20), disk_timeout: PATIENCE, ..Options::default() };
        let started = Reconciler::start(self.home.clone(), options);
        assert!(begun.elapsed() < PATIENCE, "the start hung");
        started
    }

    fn gateway(&self) -> Reconciler {
        fs::create_dir_all(self.home.holds_folder()).expect("writable");
        self.start().expect("the home is free and usable")
    }

    /// Everything outside the home is as it was.
    #[track_caller]
    fn assert_untouched(&self, what: &str) {
        let mut names: Vec<_> = fs::read_dir(self.folder.path())
            .expect("there")
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        names.sort_unstable();
        assert_eq!(names, ["home", "outside", "outside.json"], "{what}: something was made outside the home");
        for file in ["outside.json", "outside/hold.json"] {
            let text = fs::read_to_string(self.folder.path().join(file)).expect("there");
            assert_eq!(text, OUTSIDE, "{what}: {file} outside the home was written to");
        }
        assert_eq!(fs::read_dir(self.folder.path().join("outside")).expect("there").count(), 1, "{what}");
    }
}

/// Waits until the status shows the hold, and the gate is closed; gives what it says of the hold.
#[track_caller]
fn held(gateway: &Reconciler, id: &str, what: &str) -> HoldStatus {
    let shows = |status: &Snapshot| status.drain.holds.iter().any(|hold| hold.request_id.as_str() == id);
    let status = until(gateway.home(), what, shows);
    assert!(gateway.gate().admit().is_err(), "{what}: the gate is open");
    assert_eq!(status.gateway_state, GatewayState::Draining, "{what}");
    assert_eq!(status.drain.reconciler.panics, 0, "{what}: a look panicked");
    let hold = status.drain.holds.into_iter().find(|hold| hold.request_id.as_str() == id).expect("it shows");
    assert_eq!(hold.source, Source::File, "{what}");
    hold
}

#[track_caller]
fn reopened(gateway: &Reconciler, what: &str) {
    until(gateway.home(), what, |status| status.gateway_state == GatewayState::Running);
    assert!(gateway.gate().admit().is_ok(), "{what}: it is gone, and the gate is closed still");
}

fn remove(path: &Path) {
    if path.symlink_metadata().is_ok_and(|there| there.is_dir()) {
        fs::remove_dir_all(path).expect("removable");
    } else {
        fs::remove_file(path).expect("removable");
    }
}

type Make = fn(&Path, &Place);

fn device(path: &Path, minor: u32) {
    mknodat(CWD, path, FileType::CharacterDevice, Mode::from(0o666), makedev(1, minor)).expect("root makes devices");
}

/// Whether devices can be made: only by root, and not in every container.
fn makes_devices() -> bool {
    let folder = tempfile::tempdir().expect("a temporary folder");
    mknodat(CWD, folder.path().join("null"), FileType::CharacterDevice, Mode::from(0o600), makedev(1, 3)).is_ok()
}

/// What isn't a regular file: how to make it, and what the status has to say of it.
const KINDS: [(&str, Make, &str); 9] = [
    ("a link to nothing", |path, _| symlink("/nowhere/at/all", path).expect("writable"), "a link"),
    ("a link to a request outside", |path, place| symlink(place.outside(), path).expect("writable"), "a link"),
    ("a link to a folder", |path, _| symlink("/", path).expect("writable"), "a link"),
    ("a link to itself", |path, _| symlink(path, path).expect("writable"), "a link"),
    ("a link to a device", |path, _| symlink("/dev/zero", path).expect("writable"), "a link"),
    ("an empty folder", |path, _| fs::create_dir(path).expect("writable"), "a folder"),
    ("a full folder", |path, _| fs::create_dir_all(path.join("more/still")).expect("writable"), "a folder"),
    (
        "a pipe that nobody writes to",
        |path, _| mknodat(CWD, path, FileType::Fifo, Mode::from(0o600), 0).expect("writable"),
        "a pipe",
    ),
    ("a socket", |path, _| drop(UnixListener::bind(path).expect("writable")), "a socket"),
];

const DEVICES: [(&str, Make, &str); 2] = [
    ("a device that is empty", |path, _| device(path, 3), "a device"),
    ("a device without end", |path, _| device(path, 5), "a device"),
];

pub fn no_kind_of_thing_in_the_place_of_a_request_opens_the_gate_or_hangs() -> usize {
    let place = Place::new();
    let gateway = place.gateway();
    let mut attempts = 0;
    let devices = if makes_devices() { &DEVICES[..] } else { &[] };
    for (id, path) in [("marker", place.home.marker()), ("upgrade", place.home.holds_folder().join("upgrade.json"))] {
        for (name, make, says) in KINDS.iter().chain(devices) {
            let what = format!("{name} in the place of {id}");
            make(&path, &place);
            let hold = held(&gateway, id, &what);
            assert!(hold.notes.reason.contains(says), "{what}: the status says {:?}", hold.notes.reason);
            assert_eq!(hold.owner, "", "{what}: it names nobody");
            remove(&path);
            reopened(&gateway, &what);
            attempts += 1;
        }
    }
    place.assert_untouched("requests");
    assert_eq!(attempts, 2 * (KINDS.len() + devices.len()));
    attempts
}

pub fn no_kind_of_thing_in_the_place_of_a_request_lets_a_gateway_start_open() -> usize {
    let mut attempts = 0;
    for (name, make, says) in &KINDS {
        let place = Place::new();
        make(&place.home.marker(), &place);
        let gateway = place.start().expect("the home is free and usable");
        assert!(gateway.gate().admit().is_err(), "C5: {name} was there before the start");
        assert!(held(&gateway, "marker", name).notes.reason.contains(says), "{name}");
        place.assert_untouched(name);
        attempts += 1;
    }
    assert_eq!(attempts, 9);
    attempts
}

/// Content that is no request, and a part of what the status has to say of it.
fn nonsense() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let deep = |open: &str| open.repeat(60 * 1024 / open.len()).into_bytes();
    vec![
        ("nothing at all", b"".to_vec(), "empty"),
        ("spaces", b"   \n\t ".to_vec(), "not JSON"),
        ("half an object", br#"{"action": "dr"#.to_vec(), "not JSON"),
        ("a list", b"[]".to_vec(), "no object"),
        ("a text", br#""drain""#.to_vec(), "no object"),
        ("a number", b"7".to_vec(), "no object"),
        ("null", b"null".to_vec(), "no object"),
        ("NUL bytes", vec![0; 4096], "not JSON"),
        ("a NUL byte behind an object", b"{}\0".to_vec(), "not JSON"),
        ("no UTF-8", b"{\"principal\": \"\xff\xfe\"}".to_vec(), "not JSON"),
        ("UTF-16", "{\"action\": \"drain\"}".encode_utf16().flat_map(u16::to_le_bytes).collect(), "not JSON"),
        ("a byte order mark", b"\xef\xbb\xbf{\"action\": \"drain\"}".to_vec(), "byte order mark"),
        ("half a surrogate", br#"{"principal": "\ud800"}"#.to_vec(), "not JSON"),
        ("lists without end", deep("["), "not JSON"),
        ("objects without end", deep("{\"a\":"), "not JSON"),
        ("NaN", br#"{"action": "drain", "lease_seconds": NaN}"#.to_vec(), "not JSON"),
        ("infinity", br#"{"action": "drain", "lease_seconds": Infinity}"#.to_vec(), "not JSON"),
        ("a number that no float holds", br#"{"action": "drain", "lease_seconds": 1e400}"#.to_vec(), "not JSON"),
        ("a field that is there twice", br#"{"action": "drain", "action": "cancel"}"#.to_vec(), "`action` twice"),
        ("two objects", br#"{"action": "drain"}{"action": "cancel"}"#.to_vec(), "not JSON"),
        ("one byte too many", vec![b' '; 64 * 1024 + 1], "65537 bytes"),
        ("a name too long", json!({"action": "drain", "principal": "p".repeat(257)}).to_string().into(), "principal"),
        ("a nonce too long", json!({"action": "drain", "nonce": "n".repeat(257)}).to_string().into(), "nonce"),
        ("a token too long", json!({"action": "cancel", "token": "t".repeat(257)}).to_string().into(), "token"),
        (
            "an incarnation too long",
            json!({"action": "drain", "incarnation": "i".repeat(257)}).to_string().into(),
            "incarnation",
        ),
        ("an epoch too long", json!({"action": "drain", "epoch": "e".repeat(257)}).to_string().into(), "epoch"),
    ]
}

pub fn no_content_that_makes_no_sense_opens_the_gate_and_the_status_says_what_is_wrong() -> usize {
    let place = Place::new();
    let gateway = place.gateway();
    let mut attempts = 0;
    for (id, path) in [("marker", place.home.marker()), ("upgrade", place.home.holds_folder().join("upgrade.json"))] {
        for (name, content, says) in nonsense() {
            let what = format!("{name} in the place of {id}");
            fs::write(place.home.path().join(".aside"), &content).expect("writable");
            fs::rename(place.home.path().join(".aside"), &path).expect("writable");
            let hold = held(&gateway, id, &what);
            assert!(hold.notes.reason.contains(says), "{what}: the status says {:?}", hold.notes.reason);
            remove(&path);
            reopened(&gateway, &what);
            attempts += 1;
        }
    }
    assert_eq!(attempts, 2 * 26);
    attempts
}

pub fn a_file_of_10_gib_costs_neither_time_nor_memory_and_holds_the_gate() -> usize {
    let place = Place::new();
    let gateway = place.gateway();
    let aside = place.home.path().join(".aside");
    File::create(&aside).and_then(|file| file.set_len(10 << 30)).expect("a sparse file");
    fs::rename(&aside, place.home.marker()).expect("writable");
    let hold = held(&gateway, "marker", "10 GiB");
    assert!(hold.notes.reason.contains(&(10_u64 << 30).to_string()), "the status says {:?}", hold.notes.reason);
    1
}

/// Fields that make no sense in a request that does: what is left of the lease, in seconds.
pub fn a_field_out_of_range_is_bounded_and_the_gate_stays_closed() -> usize {
    let place = Place::new();
    let gateway = place.gateway();
    let path = place.home.marker();
    let lease = |value: &str| format!(r#"{{"action": "drain", "lease_seconds": {value}}}"#);
    let rows: Vec<(String, f64)> = vec![
        (lease("1e308"), MAX_LEASE),
        (lease("18446744073709551616"), MAX_LEASE),
        (lease("-1"), DEFAULT_LEASE),
        (lease("-1e308"), DEFAULT_LEASE),
        (lease("0"), DEFAULT_LEASE),
        (lease("-0.0"), DEFAULT_LEASE),
        (lease("1e-320"), MIN_LEASE),
        (lease("5e-324"), MIN_LEASE),
        (lease("1e-10"), MIN_LEASE),
        (lease("1e-3"), MIN_LEASE),
        // No number above zero that a double can hold.
        (lease("1e-400"), DEFAULT_LEASE),
        (lease("\"600\""), DEFAULT_LEASE),
        (lease("\"NaN\""), DEFAULT_LEASE),
        (lease("null"), DEFAULT_LEASE),
        (lease("true"), DEFAULT_LEASE),
        (lease("[600]"), DEFAULT_LEASE),
        (r#"{"action": {"drain": 1}, "principal": ["a"], "epoch": 7, "nonce": {}}"#.into(), DEFAULT_LEASE),
        (r#"{"requested_at": "9999-12-31T23:59:59Z"}"#.into(), DEFAULT_LEASE),
        (r#"{"requested_at": "-009999-01-01T00:00:00Z"}"#.into(), DEFAULT_LEASE),
        (r#"{"requested_at": "+999999999-01-01T00:00:00Z"}"#.into(), DEFAULT_LEASE),
        (r#"{"requested_at": 1e308}"#.into(), DEFAULT_LEASE),
        (r#"{"generation": -1, "deadline_seconds": -1e308, "unready_delay_seconds": -5}"#.into(), DEFAULT_LEASE),
        (r#"{"generation": 1e99, "deadline_seconds": 1e308}"#.into(), DEFAULT_LEASE),
    ];
    let mut attempts = 0;
    for (content, expected) in &rows {
        fs::write(place.home.path().join(".aside"), content).expect("writable");
        fs::rename(place.home.path().join(".aside"), &path).expect("writable");
        let hold = held(&gateway, "marker", content);
        let left = hold.lease_left_seconds.expect("nobody commits here");
        // The age of the file counts against the lease, and the file is as old as this look is late.
        let sane = *expected - PATIENCE.as_secs_f64()..=*expected;
        assert!(sane.contains(&left) && left > 0.0, "{content}: {left} s are left of a lease of {expected} s");
        remove(&path);
        reopened(&gateway, content);
        attempts += 1;
    }
    assert_eq!(attempts, 23);
    attempts
}

pub fn an_unready_delay_without_end_is_bounded_too() -> usize {
    let place = Place::new();
    fs::write(place.home.marker(), r#"{"action": "drain", "unready_delay_seconds": 1e308}"#).expect("writable");
    let gateway = place.gateway();
    until(&place.home, "a delay", |status| status.drain.pending);
    let hold = gateway.controller().holds().remove(0);
    assert_eq!(hold.closes_at.saturating_sub(hold.first_seen), Duration::from_secs(600), "ten minutes, and no more");
    assert!(!gateway.unready().is_empty(), "readiness fails meanwhile");
    1
}

pub fn a_name_that_is_no_request_id_holds_the_gate_under_a_name_of_its_own() -> usize {
    let place = Place::new();
    let gateway = place.gateway();
    let long = format!("{}.json", "x".repeat(250));
    let names: [&[u8]; 12] = [
        "ünïcode.json".as_bytes(),
        "\u{202e}nosj.json".as_bytes(),
        b"a\nb.json",
        b"a b.json",
        b"a\\b.json",
        b"\xff\xfe.json",
        b"marker.json",
        b"!home.json",
        b"*.json",
        b"\x1b[2J.json",
        b"$(reboot).json",
        long.as_bytes(),
    ];
    let mut attempts = 0;
    for name in names {
        let what = name.escape_ascii().to_string();
        let path = place.home.holds_folder().join(OsStr::from_bytes(name));
        fs::write(&path, OUTSIDE).expect("writable");
        let status = until(&place.home, &what, |status| !status.drain.holds.is_empty());
        let hold = &status.drain.holds[0];
        assert!(gateway.gate().admit().is_err(), "{what}: the gate is open");
        assert!(hold.request_id.as_str().starts_with('!'), "{what} is held as {}", hold.request_id);
        assert!(!hold.request_id.as_str().contains(char::is_control), "{what} is shown as it is");
        assert_eq!(hold.notes.reason, "its name is no request id", "{what}");
        remove(&path);
        reopened(&gateway, &what);
        attempts += 1;
    }
    assert_eq!(attempts, 12);
    attempts
}

pub fn a_name_that_a_writer_or_an_editor_leaves_behind_is_nobody_s_hold() -> usize {
    let place = Place::new();
    fs::create_dir(place.home.holds_folder()).expect("writable");
    let mut attempts = 0;
    for name in [".write-Xa91", ".json", ".upgrade.json.swp", "upgrade.json~", "upgrade.txt", "README"] {
        fs::write(place.home.holds_folder().join(name), OUTSIDE).expect("writable");
        attempts += 1;
    }
    let gateway = place.gateway();
    assert!(gateway.gate().admit().is_ok(), "no hold is there: {:#?}", gateway.snapshot().drain.holds);
    assert_eq!(attempts, 6);
    attempts
}

pub fn whatever_stands_in_the_place_of_the_holds_folder_holds_the_gate() -> usize {
    let mut attempts = 0;
    let more: [(&str, Make, &str); 2] = [
        (
            "a link to a folder of holds",
            |path, place| symlink(place.folder.path().join("outside"), path).expect("writable"),
            "a link",
        ),
        ("a file", |path, _| fs::write(path, "no folder").expect("writable"), "a regular file"),
    ];
    for (name, make, says) in KINDS.iter().filter(|(_, _, says)| *says != "a folder").chain(&more) {
        let place = Place::new();
        let path = place.home.holds_folder();
        make(&path, &place);
        let gateway = place.start().expect("the home is free and usable");
        let hold = held(&gateway, "!holds", name);
        assert!(
            hold.notes.reason.ends_with(&format!("it is {says}")),
            "{name}: the status says {:?}",
            hold.notes.reason
        );
        remove(&path);
        reopened(&gateway, name);
        place.assert_untouched(name);
        attempts += 1;
    }
    assert_eq!(attempts, 9);
    attempts
}

pub fn five_thousand_hold_files_are_bounded_and_hold_the_gate_to_the_last() -> usize {
    let place = Place::new();
    let folder = place.home.holds_folder();
    fs::create_dir(&folder).expect("writable");
    for number in 0..5000 {
        fs::write(folder.join(format!("hold-{number}.json")), OUTSIDE).expect("writable");
    }
    let gateway = place.gateway();
    assert!(gateway.gate().admit().is_err(), "C5");
    let status = Snapshot::read(&place.home).expect("it is published before the start returns");
    assert_eq!(status.drain.holds.len(), scan::MAX_HOLD_FILES + 1, "what is looked at, and one for the rest");
    let rest = status.drain.holds.iter().find(|hold| hold.request_id.as_str() == "!holds").expect("one for the rest");
    assert_eq!(rest.notes.reason, ".drain_holds has more than 4096 files");

    let last = folder.join("hold-4999.json");
    for entry in fs::read_dir(&folder).expect("there") {
        let path = entry.expect("an entry").path();
        if path != last {
            fs::remove_file(path).expect("removable");
        }
    }
    let status = until(&place.home, "all but one are gone", |status| status.drain.holds.len() == 1);
    assert_eq!(status.drain.holds[0].request_id.as_str(), "hold-4999");
    assert!(gateway.gate().admit().is_err(), "one is left");
    fs::remove_file(last).expect("removable");
    reopened(&gateway, "none is left");
    1
}

pub fn as_many_holds_as_there_can_be_saying_all_they_can_leave_the_status_readable() -> usize {
    const TRIED: u64 = 64;
    let place = Place::new();
    let folder = place.home.holds_folder();
    fs::create_dir(&folder).expect("writable");
    // A control character takes the most bytes when it is written out again.
    let name = "\u{1}".repeat(request_file::MAX_NAME);
    let mut content = json!({
        "action": "drain", "principal": name, "nonce": name, "token": name, "reason": "\u{1}".repeat(8000),
    });
    for number in 0..TRIED {
        content["nonce"] = Value::from(format!("{number:04}{}", &name[4..]));
        let file = format!("{}{number:04}.json", "x".repeat(60));
        fs::write(folder.join(file), content.to_string()).expect("writable");
    }
    let gateway = place.gateway();
    let status = Snapshot::read(&place.home).expect("it can be read");
    assert_eq!(status.drain.holds.len() as u64, TRIED);
    assert!(status.drain.holds.iter().all(|hold| hold.notes.reason.chars().count() == request_file::MAX_REASON));
    let each = fs::metadata(place.home.status()).expect("published").len() / TRIED;
    // A commit adds its token.
    let each = each + 6 * request_file::MAX_NAME as u64;
    let most = each * (scan::MAX_HOLD_FILES as u64 + 1);
    assert!(most < Snapshot::MAX_BYTES, "{most} bytes of status could not be read again");
    drop(gateway);
    1
}

pub fn whatever_a_starting_gateway_finds_as_its_status_is_replaced_or_named() -> usize {
    let mut attempts = 0;
    let devices = if makes_devices() { &DEVICES[..] } else { &[] };
    for (name, make, says) in KINDS.iter().chain(devices) {
        let place = Place::new();
        make(&place.home.status(), &place);
        match place.start() {
            Ok(gateway) => {
                assert_ne!(*says, "a folder", "{name}: no file can take a folder's place");
                assert!(gateway.gate().admit().is_ok(), "{name}: nothing asks for a drain");
                assert!(fs::symlink_metadata(place.home.status()).expect("there").is_file(), "{name} was replaced");
                assert!(Snapshot::read(&place.home).is_ok(), "{name}: the status can be read");
            }
            Err(error) => {
                assert_eq!(*says, "a folder", "{name}: {error}");
                let text = error.to_string();
                assert!(matches!(error, StartError::Status { .. }), "{name}: {error:?}");
                assert!(
                    text.contains("gateway_state.json can't be written: "),
                    "{name}: it names what is wrong: {text}"
                );
            }
        }
        place.assert_untouched(name);
        attempts += 1;
    }
    assert_eq!(attempts, KINDS.len() + devices.len());
    attempts
}

pub fn no_content_of_an_earlier_status_keeps_a_gateway_from_starting() -> usize {
    let place = Place::new();
    drop(place.start().expect("the home is free and usable"));
    let sound: Value = serde_json::from_slice(&fs::read(place.home.status()).expect("published")).expect("JSON");
    let hold = json!({
        "request_id": "upgrade", "owner": "ops", "reason": "", "source": "file", "age_seconds": 1e308,
        "lease_left_seconds": -1e308, "pending": false, "committed": true, "overdue": true,
        "suppress_notification": false, "nonce": null, "token": "t", "deadline_seconds": -1.0,
        "since_boot_millis":
            {"first_seen": u64::MAX, "closes_at": u64::MAX, "expires_at": u64::MAX, "committed_at": u64::MAX},
    });
    let with = |field: &str, value: Value| {
        let mut status = sound.clone();
        *status.pointer_mut(field).unwrap_or_else(|| panic!("the status has {field}")) = value;
        status.to_string().into_bytes()
    };
    let escaping = |id: &str| {
        let mut hold = hold.clone();
        hold["request_id"] = id.into();
        with("/drain/holds", json!([hold]))
    };
    // What is found, and whether a hold is taken over from it.
    let mut rows: Vec<(String, Vec<u8>, bool)> =
        nonsense().into_iter().map(|(name, content, _)| (name.to_owned(), content, false)).collect();
    rows.push(("a sound status of a committed hold".into(), with("/drain/holds", json!([hold])), true));
    rows.push(("counts without end".into(), with("/drain/in_flight", json!(u64::MAX)), false));
    rows.push(("a count below nothing".into(), with("/drain/in_flight", json!(-1)), false));
    rows.push(("an unknown state".into(), with("/drain/state", json!("dancing")), false));
    rows.push(("a status of the reference".into(), br#"{"gateway_state": "running", "pid": 1}"#.to_vec(), false));
    for id in ["../../outside", "/etc/passwd", "", "a/b", "!../x", "\u{0}"] {
        rows.push((format!("a hold named {id:?}"), escaping(id), false));
    }
    let mut attempts = 0;
    for (name, content, taken_over) in rows {
        let parses = Snapshot::from_bytes(&content).is_ok();
        fs::write(place.home.status(), content).expect("writable");
        let gateway = place.start().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(gateway.gate().admit().is_err(), taken_over, "{name}: {:#?}", gateway.snapshot().drain);
        let status =
            Snapshot::read(&place.home).unwrap_or_else(|error| panic!("{name}: the status was not replaced: {error}"));
        let said = status.drain.reconciler.last_error.unwrap_or_default();
        assert_eq!(said.contains("the earlier status can't be read"), !parses, "{name}: it says {said:?}");
        place.assert_untouched(&name);
        attempts += 1;
    }
    assert_eq!(attempts, 26 + 11);
    attempts
}

pub fn a_status_that_is_taken_away_or_replaced_is_published_again() -> usize {
    let place = Place::new();
    let gateway = place.gateway();
    let ours = |status: &Snapshot| status.drain.incarnation == *gateway.controller().incarnation();
    let path = place.home.status();
    let remove = || fs::remove_file(&path).expect("removable");
    let write_over = || fs::write(&path, r#"{"gateway_state": "draining"}"#).expect("writable");
    let empty = || File::create(&path).map(drop).expect("writable");
    let link = || {
        let aside = path.with_file_name(".aside");
        symlink(place.outside(), &aside).and_then(|()| fs::rename(&aside, &path)).expect("writable");
    };
    let rows: [(&str, &dyn Fn()); 4] =
        [("removed", &remove), ("written over", &write_over), ("emptied", &empty), ("replaced by a link", &link)];
    let mut attempts = 0;
    for (name, tamper) in rows {
        let revision = until(&place.home, name, ours).drain.revision;
        tamper();
        until(&place.home, name, |status| ours(status) && status.drain.revision > revision);
        place.assert_untouched(name);
        attempts += 1;
    }
    assert_eq!(attempts, 4);
    attempts
}

pub fn whatever_stands_in_the_place_of_the_lock_is_a_clear_error_and_is_left_alone() -> usize {
    let mut attempts = 0;
    let devices = if makes_devices() { &DEVICES[..] } else { &[] };
    let second_name: [(&str, Make, &str); 1] = [(
        "a second name of a file outside",
        |path, place| fs::hard_link(place.outside(), path).expect("one file system"),
        "",
    )];
    for (name, make, _) in KINDS.iter().chain(devices).chain(&second_name) {
        let place = Place::new();
        make(&place.home.lock_path(), &place);
        let before = fs::symlink_metadata(place.home.lock_path()).expect("just made").ino();
        let error = place.start().map(drop).expect_err(name);
        assert!(matches!(error, StartError::Lock(LockError::Unusable { .. })), "{name}: {error:?}");
        let text = error.to_string();
        let home = place.home.path().to_string_lossy();
        assert!(
            text.contains(&*home) && text.len() > home.len() + 30,
            "{name}: it names the home and the cause: {text}"
        );
        assert!(!place.home.status().exists(), "{name}: nothing is published without the lock");
        let after = fs::symlink_metadata(place.home.lock_path()).expect("left alone").ino();
        assert_eq!(before, after, "{name}");
        assert!(place.home.live().is_err(), "{name}: who lives there is a question without an answer");
        place.assert_untouched(name);
        attempts += 1;
    }
    assert_eq!(attempts, KINDS.len() + devices.len() + 1);
    attempts
}

pub fn a_second_gateway_in_a_home_is_told_who_is_there() -> usize {
    let place = Place::new();
    let gateway = place.gateway();
    let error = place.start().map(drop).expect_err("one gateway for each home");
    assert!(matches!(error, StartError::Lock(LockError::InUse { .. })), "{error:?}");
    assert!(error.to_string().contains(gateway.controller().incarnation().as_str()), "{error}");
    assert!(gateway.gate().admit().is_ok(), "the first one is none the worse for it");
    1
}

pub fn a_home_that_is_no_folder_is_a_clear_error() -> usize {
    let place = Place::new();
    fs::remove_dir(place.home.path()).expect("empty");
    fs::write(place.home.path(), "no folder").expect("writable");
    let error = place.start().map(drop).expect_err("no folder");
    assert!(matches!(error, StartError::Lock(LockError::Unusable { .. })), "{error:?}");
    assert_eq!(fs::read_to_string(place.home.path()).expect("left alone"), "no folder");
    1
}

pub fn a_home_that_is_moved_away_is_served_where_it_is_and_readiness_says_so() -> usize {
    let place = Place::new();
    let gateway = place.gateway();
    let away = place.folder.path().join("outside/away");
    fs::rename(place.home.path(), &away).expect("writable");
    gateway.kick();
    let said = || gateway.unready().iter().any(|why| why.contains("home"));
    comes_true("readiness says that nobody finds the home", said);
    assert!(gateway.gate().admit().is_ok(), "its home is still its own");
    fs::write(Home::at(&away).marker(), "").expect("writable");
    gateway.kick();
    until(&Home::at(&away), "the marker is seen", |status| !status.drain.holds.is_empty());
    fs::remove_file(Home::at(&away).marker()).expect("removable");
    fs::rename(&away, place.home.path()).expect("writable");
    gateway.kick();
    comes_true("the home is back", || gateway.unready().is_empty());
    reopened(&gateway, "the home is back");
    1
}

/// A sound text with some bytes of it changed, left out, doubled or replaced by words of the wire.
fn fuzzed(sound: &[u8], random: &mut fastrand::Rng) -> Vec<u8> {
    const WORDS: [&[u8]; 10] =
        [b"{", b"}", b"[", b"null", b"-1", b"1e308", b"\"\"", b"\"cancel\"", b"\\ud800", b"18446744073709551616"];
    let mut bytes = sound.to_vec();
    for _ in 0..random.usize(1..6) {
        let at = random.usize(..=bytes.len());
        let until = (at + random.usize(..8)).min(bytes.len());
        match random.u8(..4) {
            0 => drop(bytes.drain(at..until)),
            1 => bytes[at..until].iter_mut().for_each(|byte| *byte = random.u8(..)),
            2 => drop(bytes.splice(at..until, random.choice(WORDS).unwrap_or_default().iter().copied())),
            _ => bytes.extend_from_within(at..until),
        }
    }
    bytes
}

/// 400 markers and 400 hold files of a fixed seed. What happens to be a request of another boot, or one that gives up a
/// hold, holds nothing by right and is left out.
pub fn no_fuzzed_request_opens_the_gate() -> usize {
    let place = Place::in_memory();
    let gateway = place.gateway();
    let channel = Channel::new(place.home.clone());
    let mut random = fastrand::Rng::with_seed(0x5eed);
    let mut attempts = 0;
    for id in [RequestId::marker(), RequestId::new("upgrade").expect("a name")] {
        let path = place.home.request_path(&id);
        for case in 0..400 {
            // Each a write of its own: one nonce is decided once.
            let begin = Request::begin(RequestId::marker(), "ops").reason("upgrade");
            let sound = request_file::to_bytes(&begin, &Epoch::current());
            let content = fuzzed(&sound, &mut random);
            fs::write(place.home.path().join(".aside"), &content).expect("writable");
            fs::rename(place.home.path().join(".aside"), &path).expect("writable");
            gateway.kick();
            let holds = match channel.find(&id) {
                Found::Stale { .. } | Found::Absent => false,
                Found::Valid(request) => request.action == Action::Begin && request.unready_delay.is_zero(),
                Found::Unreadable { .. } => true,
            };
            if holds {
                held(&gateway, id.as_str(), &format!("case {case} of {id}: {}", content.escape_ascii()));
                attempts += 1;
            }
            remove(&path);
            gateway.kick();
            reopened(&gateway, &format!("case {case} of {id}"));
        }
    }
    place.assert_untouched("requests");
    assert!(attempts > 600, "{attempts} of 800 asked for something");
    attempts
}

/// 300 statuses of a fixed seed.
pub fn no_fuzzed_status_opens_the_gate_of_a_gateway_that_starts_under_the_marker() -> usize {
    let place = Place::in_memory();
    let gateway = place.gateway();
    Channel::new(place.home.clone())
        .write(&Request::begin(RequestId::new("a").expect("a name"), "ops"))
        .expect("written");
    held(&gateway, "a", "a hold for the status to tell of");
    let sound = fs::read(place.home.status()).expect("published");
    drop(gateway);
    fs::remove_dir_all(place.home.holds_folder()).expect("removable");
    File::create(place.home.marker()).expect("touched");
    let mut random = fastrand::Rng::with_seed(0x5eed);
    let mut attempts = 0;
    for case in 0..300 {
        let content = fuzzed(&sound, &mut random);
        fs::write(place.home.status(), &content).expect("writable");
        let gateway = place.start().unwrap_or_else(|error| panic!("case {case}: {error}"));
        assert!(gateway.gate().admit().is_err(), "case {case} opened the gate: {}", content.escape_ascii());
        assert!(Snapshot::read(&place.home).is_ok(), "case {case}: the status was not replaced");
        attempts += 1;
    }
    place.assert_untouched("statuses");
    attempts
}
