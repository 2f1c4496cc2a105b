//! What a look makes of what stands there, one guard at a time: through the reader itself, without a gateway.

use gateway_drain::control::read::{self, Content, Unreadable};
use gateway_drain::control::request_file::{interpret, to_bytes};
use gateway_drain::control::scan::{MAX_HOLD_FILES, Scan, scan};
use gateway_drain::control::{Epoch, Found};
use gateway_drain::gate::Generation;
use gateway_drain::hold::{Action, Incarnation, Nonce, Source};
use gateway_drain::{Channel, Home, Request, RequestId};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::io::Errno;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, SystemTime};

/// Nothing here may take longer.
const PATIENCE: Duration = Duration::from_secs(10);

fn upgrade() -> RequestId {
    RequestId::new("upgrade").expect("a request id")
}

/// What a look calls a file whose name is no request id.
fn unnamed() -> RequestId {
    RequestId::try_from("!no name".to_owned()).expect("a name that a status may have")
}

/// What a controller finds, on a thread that is given up if it hangs.
#[track_caller]
fn found(home: &Path, id: &RequestId) -> Found {
    let (channel_of, id_of) = (Channel::new(Home::at(home)), id.clone());
    let (result, got) = channel();
    std::thread::spawn(move || result.send(channel_of.find(&id_of)));
    got.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("the look for {id} in {} hangs", home.display()))
}

fn pipe(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR, 0).expect("writable");
}

#[test]
fn no_error_but_the_one_that_says_so_is_an_absence() {
    assert_eq!(Unreadable::from(Errno::NOENT), Unreadable::Missing);
    let shortages = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS].map(Errno::raw_os_error);
    for code in (1..=133).filter(|code| *code != Errno::NOENT.raw_os_error()) {
        let why = Unreadable::from(Errno::from_raw_os_error(code));
        let shortage = matches!(why, Unreadable::Shortage(_));
        assert!(shortage || matches!(why, Unreadable::System(..)), "error {code} counts as {why:?}");
        assert_eq!(shortage, shortages.contains(&code), "error {code} is what this process lacks, or isn't");
    }
}

#[test]
fn what_stands_in_the_place_of_a_home_is_no_absence() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name);
    fs::write(path("file"), "").expect("writable");
    symlink(path("loop"), path("loop")).expect("writable");
    pipe(&path("pipe"));
    for name in ["file", "loop", "pipe"] {
        for id in [RequestId::marker(), upgrade()] {
            let found = found(&path(name), &id);
            assert!(matches!(found, Found::Unreadable { .. }), "{id} in a home that is a {name} is {found:?}");
        }
    }
    for id in [RequestId::marker(), upgrade()] {
        assert_eq!(found(&path("nothing"), &id), Found::Absent, "{id} in a home that isn't there");
    }
}

#[test]
fn what_stands_in_the_place_of_the_holds_folder_is_no_absence() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let holds = Home::at(folder.path()).holds_folder();
    let outside = folder.path().join("outside");
    fs::create_dir(&outside).expect("writable");
    let rows: [(&str, &dyn Fn()); 3] = [
        ("a regular file", &|| fs::write(&holds, "").expect("writable")),
        ("a link", &|| symlink(&outside, &holds).expect("writable")),
        ("a pipe", &|| pipe(&holds)),
    ];
    for (kind, make) in rows {
        make();
        let found = found(folder.path(), &upgrade());
        assert!(matches!(&found, Found::Unreadable { why, .. } if why.contains(kind)), "{kind} is {found:?}");
        fs::remove_file(&holds).expect("removable");
    }
}

#[test]
fn a_file_without_end_costs_no_more_than_one_that_is_just_too_large() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    File::create(folder.path().join("file")).and_then(|file| file.set_len(10 << 30)).expect("a sparse file");
    let opened = read::folder(folder.path()).expect("a folder");
    let mut found = None;
    let taken = allocation_counter::measure(|| found = Some(read::content(&opened, "file")));
    assert_eq!(found, Some(Err(Unreadable::TooLarge(10 << 30))));
    assert!(taken.bytes_max < 4 * read::MAX_BYTES, "it took {} bytes", taken.bytes_max);
}

#[test]
fn a_file_of_just_the_limit_is_read_and_one_byte_more_is_too_large() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let opened = read::folder(folder.path()).expect("a folder");
    let of_size = |size: u64| {
        File::create(folder.path().join("file")).and_then(|file| file.set_len(size)).expect("writable");
        read::content(&opened, "file").map(|content| content.bytes.len() as u64)
    };
    assert_eq!(of_size(65_536), Ok(65_536), "64 KiB");
    assert_eq!(of_size(65_537), Err(Unreadable::TooLarge(65_537)));
}

#[test]
fn when_a_file_was_written_is_told_to_the_nanosecond() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let written = Duration::new(1_700_000_000, 123_456_789);
    let file = File::create(folder.path().join("file")).expect("writable");
    file.set_modified(SystemTime::UNIX_EPOCH + written).expect("its time can be set");
    let content = read::content(&read::folder(folder.path()).expect("a folder"), "file").expect("readable");
    assert_eq!(content.modified, i128::try_from(written.as_nanos()).expect("it is small"));
}

#[test]
#[cfg(target_os = "linux")]
fn a_file_that_says_nothing_of_its_length_is_too_large_all_the_same() {
    // A process that was told so much that its command line is. It says that it runs, and waits for a line.
    let mut child = Command::new("sh")
        .args(["-c", "echo; read line", "sh", &"x".repeat(100_000)])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a shell can be started");
    let running = child.stdout.as_mut().map(|lines| lines.read_exact(&mut [0]));
    let process = read::folder(Path::new(&format!("/proc/{}", child.id()))).expect("a folder");
    let found = read::content(&process, "cmdline");
    drop(child.stdin.take());
    child.wait().expect("it ends with its input");
    assert!(matches!(running, Some(Ok(()))), "it has run: {running:?}");
    assert_eq!(found.map(|content| content.bytes.len()), Err(Unreadable::TooLarge(read::MAX_BYTES + 1)));
}

#[test]
#[cfg(target_os = "linux")]
fn a_file_that_says_nothing_of_its_length_is_read_to_its_end() {
    // The kernel makes it up while it is read, and says that it is a regular file of no bytes.
    let opened = read::home(Path::new("/proc/self")).expect("a folder");
    let content = read::content(&opened, "cmdline").expect("readable");
    assert_eq!(content.bytes, fs::read("/proc/self/cmdline").expect("readable"));
    assert!(content.bytes.len() > 1, "there is more than one call brings: {content:?}");
}

#[test]
fn no_more_names_are_listed_than_wanted_and_it_is_said_that_there_are_more() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let list = || {
        let opened = read::folder(folder.path()).expect("a folder");
        read::names(&opened, 2, |name| name.starts_with(b"a"))
    };
    for name in ["b", "a2", "a1"] {
        fs::write(folder.path().join(name), "").expect("writable");
    }
    assert_eq!(list(), Ok((vec![b"a1".to_vec(), b"a2".to_vec()], false)), "two, in order, and no more");
    fs::write(folder.path().join("a3"), "").expect("writable");
    let (names, more) = list().expect("a folder");
    assert!(names.len() == 2 && names.is_sorted() && more, "two of three, in order: {names:?}");
}

#[test]
fn of_holds_that_are_too_many_to_look_at_the_rest_is_one_hold_and_none_is_absent() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let home = Home::at(folder.path());
    fs::create_dir(home.holds_folder()).expect("writable");
    let name = |number: usize| RequestId::new(format!("hold-{number}")).expect("a sound name");
    let known: Vec<_> = (0..=MAX_HOLD_FILES).map(name).collect();
    for (number, id) in known.iter().enumerate() {
        // A second name is cheaper than a file.
        match number {
            0 => fs::write(home.request_path(id), "{}").expect("writable"),
            _ => fs::hard_link(home.request_path(&known[0]), home.request_path(id)).expect("writable"),
        }
    }
    let look = |known: &[RequestId]| scan(&home, known, &Epoch::current());
    let first = look(&[]);
    assert_eq!(first.requests.len(), MAX_HOLD_FILES + 1, "what is looked at, and one for the rest");
    assert!(!first.is_absent(&upgrade()), "nobody knows of a hold that was not looked at");
    assert!(first.is_absent(&RequestId::marker()), "the marker was looked for");
    assert!(!first.is_absent(&unnamed()), "it may be among the rest");
    let second = look(&known);
    assert_eq!(second.requests.len(), MAX_HOLD_FILES + 2, "all that were known before, and one for the rest");
    assert!(known.iter().all(|id| !second.is_absent(id)), "each stands there under its name");
}

#[test]
fn a_home_that_can_not_be_looked_into_is_held_closed_and_says_nothing_of_what_is_absent() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("file");
    fs::write(&file, "").expect("writable");
    assert_eq!(Scan::blind("as told").blind_to(), Some("as told"));
    for scan in [scan(&Home::at(&file), &[upgrade()], &Epoch::current()), Scan::blind("as told")] {
        assert_eq!(scan.requests.len(), 1, "one hold for all that was not seen: {scan:?}");
        assert_eq!(scan.blind_to(), Some(&*scan.requests[0].notes.reason), "{scan:?}");
        for id in [RequestId::marker(), upgrade(), unnamed()] {
            assert!(!scan.is_absent(&id), "{id} is not known to be absent");
        }
    }
}

#[test]
fn a_look_takes_what_can_not_be_read_as_a_hold_in_a_file_and_as_that_very_write() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let home = Home::at(folder.path());
    let look = || scan(&home, &[upgrade()], &Epoch::current());
    let empty = look();
    assert_eq!((empty.requests.len(), empty.ignored.len()), (0, 0), "nothing is there");
    for id in [RequestId::marker(), upgrade(), unnamed()] {
        assert!(empty.is_absent(&id), "{id} was looked for, and is not there");
    }
    fs::write(home.marker(), "").expect("writable");
    let first = look();
    assert_eq!(first.blind_to(), None, "one file that makes no sense hides nothing else: {first:?}");
    let [touched] = &first.requests[..] else { panic!("one hold, and not {first:?}") };
    assert_eq!((&touched.id, touched.action, touched.source), (&RequestId::marker(), Action::Begin, Source::File));
    let Found::Unreadable { nonce, .. } = found(folder.path(), &RequestId::marker()) else { panic!("it is empty") };
    assert!(nonce.is_some() && touched.nonce == nonce, "C6: the write that is answered is the one that stands there");
}

#[test]
fn only_a_whole_name_with_the_right_ending_is_a_hold() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let home = Home::at(folder.path());
    fs::create_dir(home.holds_folder()).expect("writable");
    for name in [".write-Xa91", ".upgrade.json", ".json", "upgrade.json~", "upgrade", "upgrade.json"] {
        fs::write(home.holds_folder().join(name), "{}").expect("writable");
    }
    let ids: Vec<_> = scan(&home, &[], &Epoch::current()).requests.into_iter().map(|request| request.id).collect();
    assert_eq!(ids, [upgrade()]);
}

#[test]
fn what_was_written_in_another_epoch_holds_nothing_and_is_said_to_be_ignored() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let home = Home::at(folder.path());
    let earlier = Channel::of_epoch(home.clone(), Epoch::from("earlier:1".to_owned()));
    earlier.write(&Request::begin(upgrade(), "ops")).expect("writable");
    let scan = scan(&home, &[], &Epoch::from("later:2".to_owned()));
    let [found] = &scan.requests[..] else { panic!("C3: {scan:?}") };
    assert!(found.stale, "C3: it asks for nothing, and is answered that it is ignored: {found:?}");
    let why = "it was written in another epoch (earlier:1); this one is later:2";
    assert_eq!(scan.ignored, [("upgrade".to_owned(), why.to_owned())]);
}

#[test]
fn every_field_of_a_request_is_found_as_it_was_written() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let channel = Channel::new(Home::at(folder.path()));
    let plain = Request::begin(upgrade(), "ops");
    let full = Request::commit(upgrade(), "ops", Incarnation::fresh(), Generation::from(7))
        .reason("to 1.4")
        .lease(Duration::from_millis(1500))
        .deadline(Duration::from_secs(60))
        .unready_delay(Duration::from_secs(10))
        .suppress_notification(true)
        .token(Nonce::fresh());
    for mut written in [plain, full] {
        channel.write(&written).expect("writable");
        let Found::Valid(found) = channel.find(&upgrade()) else { panic!("{:?}", channel.find(&upgrade())) };
        assert!(found.age.is_some_and(|age| age < PATIENCE), "written just now: {found:?}");
        (written.age, written.source) = (found.age, Source::File);
        assert_eq!(*found, written);
    }
}

#[test]
fn the_bytes_of_a_request_are_a_file_that_says_the_same() {
    let request = Request::begin(upgrade(), "ops").reason("to 1.4");
    let bytes = to_bytes(&request, &Epoch::default());
    let Found::Valid(found) = meaning(&bytes, 0, SystemTime::now()) else { panic!("{}", bytes.escape_ascii()) };
    assert_eq!((found.nonce, found.owner, found.notes.reason), (request.nonce, request.owner, request.notes.reason));
}

/// What a hold file of this content, written at this time, means to a gateway that looks at `wall`.
fn meaning(bytes: &[u8], modified: i128, wall: SystemTime) -> Found {
    interpret(&Content { bytes: bytes.to_vec(), modified }, &upgrade(), &Epoch::default(), wall)
}

/// The request in a hold file of this content.
#[track_caller]
fn valid(content: &str) -> Request {
    match meaning(content.as_bytes(), 0, SystemTime::UNIX_EPOCH) {
        Found::Valid(request) => *request,
        other => panic!("{content} is {other:?}"),
    }
}

#[test]
fn a_hold_file_of_no_known_action_holds_and_says_so() {
    for content in ["{}", r#"{"action": "dance"}"#, r#"{"action": 7}"#] {
        let found = meaning(content.as_bytes(), 0, SystemTime::UNIX_EPOCH);
        let says = matches!(&found, Found::Unreadable { why, .. } if why == "it has no known action");
        assert!(says, "{content} is {found:?}");
    }
}

#[test]
fn a_hold_file_wants_what_its_action_says() {
    let rows = [
        ("drain", Action::Begin),
        ("commit", Action::Commit),
        ("cancel", Action::Withdraw),
        ("override", Action::Override),
    ];
    for (word, action) in rows {
        assert_eq!(valid(&format!(r#"{{"action": "{word}"}}"#)).action, action, "{word}");
    }
}

#[test]
fn only_true_suppresses_notification() {
    for (word, suppresses) in [("true", true), ("false", false), (r#""true""#, false), ("1", false), ("null", false)] {
        let request = valid(&format!(r#"{{"action": "drain", "suppress_notification": {word}}}"#));
        assert_eq!(request.suppress_notification, suppresses, "{word}");
    }
}

#[test]
fn what_is_no_lease_is_as_if_it_were_not_there_and_what_is_one_is_kept_within_its_limits() {
    let long = Some(Duration::from_secs(86_400));
    let least = Some(Duration::from_secs(1));
    let rows = [("0", None), ("-0.0", None), ("-1", None), (r#""60""#, None)];
    let clamped = [("1e-320", least), ("1e-12", least), ("0.5", least), ("86401", long), ("1e308", long)];
    for (word, lease) in rows.into_iter().chain(clamped) {
        let request = valid(&format!(r#"{{"action": "drain", "lease_seconds": {word}}}"#));
        assert_eq!(request.lease, lease, "a lease of {word} s");
    }
}

#[test]
fn a_write_that_bears_no_nonce_is_told_from_the_next_by_its_content_and_by_its_time() {
    let nonce = |bytes: &[u8], modified| match meaning(bytes, modified, SystemTime::UNIX_EPOCH) {
        Found::Valid(request) => request.nonce,
        Found::Unreadable { nonce, .. } => nonce,
        nothing => panic!("{nothing:?} is no write"),
    };
    for (one, other) in [("", "x"), (r#"{"action": "drain"}"#, r#"{"action":  "drain"}"#)] {
        let (one, other) = (one.as_bytes(), other.as_bytes());
        assert_eq!(nonce(one, 7), nonce(one, 7), "the same write");
        assert_ne!(nonce(one, 7), nonce(one, 8), "touched again");
        assert_ne!(nonce(one, 7), nonce(other, 7), "of other content");
    }
}

#[test]
fn a_timestamp_from_the_future_has_no_age() {
    let hour = 3600 * 1_000_000_000;
    let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(7200);
    let age = |modified| match meaning(br#"{"action": "drain"}"#, modified, wall) {
        Found::Valid(request) => request.age,
        nothing => panic!("{nothing:?} is no request"),
    };
    assert_eq!(age(hour), Some(Duration::from_secs(3600)), "written an hour ago");
    assert_eq!(age(3 * hour), None, "H5: it is not known how old it is");
}
