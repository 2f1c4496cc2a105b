//! Where the gateway meets another user, another PID namespace, a forked child, a file system that doesn't lock or sync, and a
//! process or a disk with nothing left. Needs Linux, root, and `strace`, `unshare`, `flock` and `mount`.
//!
//! What concerns a whole process runs in one of its own: the same test once more, which then plays the part that it was given.

use crate::support::eventually::{comes_true, until};
use crate::support::own_process::{arguments, this_program};
use gateway_drain::client::{Failure, Gateway};
use gateway_drain::control::LockError;
use gateway_drain::hold::Incarnation;
use gateway_drain::reconciler::{Options, StartError};
use gateway_drain::status::GatewayState;
use gateway_drain::{Channel, Home, Reconciler, Request, RequestId, Snapshot};
use rustix::process::{Resource, Rlimit, geteuid};
use std::fs::{self, File, Permissions};
use std::io::{self, BufRead, BufReader};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const NOBODY: u32 = 65534;
/// Neither root nor nobody.
const ANOTHER: u32 = 54321;
const PART: &str = "GATEWAY_DRAIN_TEST_PART";
const PLACE: &str = "GATEWAY_DRAIN_TEST_PLACE";

/// The part that this process plays in `part`'s test, and where; `None` in the test itself.
fn plays(part: &str) -> Option<PathBuf> {
    assert!(
        geteuid().is_root() || std::env::var_os(PART).is_some(),
        "needs root: it becomes other users and mounts disks"
    );
    (std::env::var_os(PART)? == *part).then(|| std::env::var_os(PLACE).expect("a place").into())
}

/// A folder that every user may enter.
fn place() -> TempDir {
    let place = tempfile::tempdir().expect("a temporary folder");
    fs::set_permissions(place.path(), Permissions::from_mode(0o755)).expect("just made");
    place
}

/// This test once more, in a process of its own that `wrapper` runs, to play `part` in `place`.
fn player(wrapper: &[&str], test: &str, part: &str, place: &Path) -> Command {
    let mut words = wrapper.iter().map(std::ffi::OsString::from).collect::<Vec<_>>();
    words.push(this_program().into());
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).args(arguments(module_path!(), test));
    command.env(PART, part).env(PLACE, place).current_dir("/");
    command
}

/// Has it played to its end; gives what it said.
fn played(mut command: Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{command:?}: {said}");
    said
}

fn hold(name: &str) -> Request {
    Request::begin(RequestId::new(name).expect("a request id"), "ops")
}

fn options() -> Options {
    Options { tick: Duration::from_millis(20), ..Options::default() }
}

#[test]
fn a_write_syncs_the_file_before_its_name_and_the_folder_after_it() {
    const TEST: &str = "a_write_syncs_the_file_before_its_name_and_the_folder_after_it";
    if let Some(place) = plays("writes") {
        let channel = Channel::new(Home::at(place));
        channel.write(&Request::begin(RequestId::marker(), "ops")).expect("writable");
        channel.write(&hold("upgrade")).expect("writable");
        return;
    }
    let folder = place();
    let home = folder.path().join("home");
    fs::create_dir(&home).expect("writable");
    let log = folder.path().join("log");
    let traced = ["strace", "-f", "-qq", "-y", "-e", "trace=write,fsync,fdatasync,renameat,renameat2,rename", "-o"];
    let wrapper: Vec<_> = traced.into_iter().chain([log.to_str().expect("a path")]).collect();
    played(player(&wrapper, TEST, "writes", &home));
    let log = fs::read_to_string(log).expect("strace has written it");
    let place = fs::canonicalize(&home).expect("there").display().to_string();
    let step = |line: &str| {
        let call = line.split_once(' ').map_or(line, |(_, call)| call.trim_start());
        let name = call.split_once('(')?.0;
        let temporary = call.contains(&format!("<{place}")) && call.contains(".write-");
        match name {
            "write" if temporary => Some("content"),
            "fsync" if temporary => Some("file"),
            "fsync" if call.contains(&format!("<{place}")) => Some("folder"),
            "rename" | "renameat" | "renameat2" if call.contains(".write-") => Some("name"),
            "fsync" | "fdatasync" => Some("something else"),
            _ => None,
        }
    };
    let steps: Vec<_> = log.lines().filter_map(step).collect();
    let one = ["content", "file", "name", "folder"];
    assert_eq!(steps, [one, one].concat(), "C2: of two writes\n{log}");
}

#[test]
fn a_file_system_that_grants_a_lock_twice_keeps_no_two_gateways_apart_and_none_starts() {
    const TEST: &str = "a_file_system_that_grants_a_lock_twice_keeps_no_two_gateways_apart_and_none_starts";
    if let Some(place) = plays("starts") {
        let error = Home::at(place).lock(&Incarnation::fresh()).map(drop).expect_err("nothing is locked");
        assert!(matches!(error, LockError::Unusable { .. }), "{error:?}");
        println!("said: {error}");
        return;
    }
    for (inject, says) in [
        ("inject=flock:retval=0", "grants one lock twice"),
        ("inject=flock:error=ENOLCK", "No locks available"),
        ("inject=flock:error=EOPNOTSUPP", "not supported"),
    ] {
        let folder = place();
        let wrapper = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=flock", "-e", inject];
        let said = played(player(&wrapper, TEST, "starts", &folder.path().join("home")));
        assert!(said.contains(says) && said.contains("home"), "{inject}: {said}");
    }
}

#[test]
fn a_file_system_that_can_not_sync_is_no_reason_not_to_start_and_one_that_fails_is() {
    const TEST: &str = "a_file_system_that_can_not_sync_is_no_reason_not_to_start_and_one_that_fails_is";
    if let Some(place) = plays("starts") {
        let gateway = Reconciler::start(Home::at(place), options());
        println!("said: {}", gateway.map_or_else(|error| error.to_string(), |_| "it has started".into()));
        return;
    }
    for (error, says) in [
        ("EINVAL", "it has started"),
        ("EOPNOTSUPP", "it has started"),
        ("ENOSYS", "it has started"),
        ("EIO", "Input/output error"),
    ] {
        let folder = place();
        let inject = format!("inject=fsync:error={error}");
        let wrapper = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync", "-e", &inject];
        let said = played(player(&wrapper, TEST, "starts", &folder.path().join("home")));
        assert!(said.contains(&format!("said: {says}")) || (error == "EIO" && said.contains(says)), "{error}: {said}");
    }
}

/// What a shell runs that holds the lock of a home as a gateway does, and leaves a child that has it open.
const HOLDS_THE_LOCK: &str = r#"
    cd "$1" && exec 8<. 9<>.drain.lock && flock -n 8 && flock -n 9 &&
    set -- $$ $(sed 's/.*) //' /proc/$$/stat) &&
    echo "the-dead $1 ${21} $(stat -L -c %i /proc/self/ns/pid)" >&9 &&
    { sleep 600 >/dev/null & echo $!; } && exec sleep 600"#;

/// A process that holds the lock, and the child that it has forked.
struct Holder {
    process: Child,
    child: rustix::process::Pid,
}

impl Holder {
    fn of(wrapper: &[&str], home: &Path) -> Self {
        fs::create_dir(home).expect("writable");
        let mut words = wrapper.to_vec();
        words.extend(["sh", "-c", HOLDS_THE_LOCK, "sh"]);
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).arg(home).stdout(Stdio::piped());
        let mut process = command.spawn().expect("a shell");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("piped")).read_line(&mut line).expect("it says its child");
        let child = line.trim().parse().ok().and_then(rustix::process::Pid::from_raw);
        Self { process, child: child.unwrap_or_else(|| panic!("it has the lock, and not: {line:?}")) }
    }

    fn end_child(&self) {
        let _ = rustix::process::kill_process(self.child, rustix::process::Signal::KILL);
    }
}

#[test]
fn a_gateway_that_was_killed_is_dead_although_a_child_that_it_forked_keeps_its_lock() {
    let _ = plays("none");
    for reaped in [false, true] {
        let folder = place();
        let home = Home::at(folder.path().join("home"));
        let mut holder = Holder::of(&["env"], home.path());
        assert_eq!(home.live().unwrap(), Some(Incarnation::from("the-dead".to_owned())), "it lives still");
        let second = home.lock(&Incarnation::fresh());
        assert!(matches!(second, Err(LockError::InUse { .. })), "{second:?}");
        holder.process.kill().unwrap();
        if reaped {
            holder.process.wait().unwrap();
        }
        comes_true("E2: it is dead, and not its child", || home.live().unwrap().is_none());
        let incarnation = Incarnation::fresh();
        let successor = home.lock(&incarnation).expect("nobody lives there");
        assert_eq!(home.live().unwrap().as_ref(), Some(&incarnation));
        holder.end_child();
        successor.check().expect("it is its own");
        assert_eq!(home.live().unwrap(), Some(incarnation), "the child's end changes nothing");
        let third = home.lock(&Incarnation::fresh());
        assert!(matches!(third, Err(LockError::InUse { .. })), "{third:?}");
        holder.process.wait().unwrap();
    }
}

#[test]
fn of_two_that_succeed_a_dead_gateway_at_once_one_starts() {
    let _ = plays("none");
    for _ in 0..10 {
        let folder = place();
        let home = Home::at(folder.path().join("home"));
        let mut holder = Holder::of(&["env"], home.path());
        holder.process.kill().unwrap();
        holder.process.wait().unwrap();
        let started: Vec<_> = std::thread::scope(|threads| {
            let starts: Vec<_> = (0..4).map(|_| threads.spawn(|| home.lock(&Incarnation::fresh()))).collect();
            starts.into_iter().filter_map(|start| start.join().unwrap().ok()).collect()
        });
        assert_eq!(started.len(), 1, "one gateway for each home");
        started[0].check().unwrap();
        holder.end_child();
    }
}

#[test]
fn a_process_that_can_not_be_seen_from_here_lives_as_long_as_it_holds_the_lock() {
    let _ = plays("none");
    let folder = place();
    let home = Home::at(folder.path().join("home"));
    let mut holder = Holder::of(&["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"], home.path());
    let record = fs::read_to_string(home.lock_path()).unwrap();
    assert!(record.starts_with("the-dead 1 "), "it is the first process there: {record}");
    assert_eq!(home.live().unwrap(), Some(Incarnation::from("the-dead".to_owned())));
    holder.process.kill().unwrap();
    holder.process.wait().unwrap();
    comes_true("it has ended, and its namespace with it", || home.live().unwrap().is_none());
    drop(home.lock(&Incarnation::fresh()).expect("nobody lives there"));
}

/// A gateway of another user's, and its home.
struct OfNobody {
    process: Child,
    home: Home,
}

impl OfNobody {
    fn in_home(test: &str, home: &Path) -> Self {
        let mut command = player(&["env"], test, "gateway", home);
        command.uid(NOBODY).gid(NOBODY).stdin(Stdio::piped()).stdout(Stdio::null());
        let process = command.spawn().expect("it can be started");
        let home = Home::at(home);
        comes_true("its gateway lives", || Snapshot::read(&home).is_ok() && home.live().unwrap().is_some());
        Self { process, home }
    }

    fn end(mut self) {
        drop(self.process.stdin.take());
        assert!(self.process.wait().unwrap().success());
    }
}

/// The part of a gateway: until its input ends.
fn gateway(home: PathBuf) {
    let _gateway = Reconciler::start(Home::at(home), options()).expect("the home is usable");
    io::stdin().read_line(&mut String::new()).expect("an end");
}

#[test]
fn what_root_writes_belongs_to_the_gateways_user_in_any_order() {
    const TEST: &str = "what_root_writes_belongs_to_the_gateways_user_in_any_order";
    if let Some(home) = plays("gateway") {
        return gateway(home);
    }
    type Prepare = fn(&Home);
    let nobodys: Prepare = |home| chown(home.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    let cases: [(&str, Prepare, Prepare); 4] = [
        ("the gateway came first", nobodys, |_| {}),
        ("the folder of holds was removed", nobodys, |home| fs::remove_dir(home.holds_folder()).unwrap()),
        ("an earlier command of root's has left the folder of holds", nobodys, |home| {
            chown(home.holds_folder(), Some(0), Some(0)).unwrap();
        }),
        (
            "the home is a volume of root's that its user may write to",
            |home| {
                chown(home.path(), Some(0), Some(NOBODY)).unwrap();
                fs::set_permissions(home.path(), Permissions::from_mode(0o2770)).unwrap();
            },
            |_| {},
        ),
    ];
    for (case, before, after) in cases {
        let folder = place();
        let home = folder.path().join("home");
        fs::create_dir(&home).unwrap();
        before(&Home::at(&home));
        let gateway = OfNobody::in_home(TEST, &home);
        after(&gateway.home);
        let channel = Channel::new(gateway.home.clone());
        for request in [hold("upgrade"), Request::begin(RequestId::marker(), "ops")] {
            channel.write(&request).unwrap_or_else(|error| panic!("{case}: {error}"));
            let path = gateway.home.request_path(&request.id);
            assert_eq!(fs::metadata(&path).unwrap().uid(), NOBODY, "{case}: {}", path.display());
            until(&gateway.home, case, |status| {
                let hold = status.drain.holds.iter().find(|hold| hold.request_id == request.id);
                hold.is_some_and(|hold| hold.owner == "ops" && hold.nonce == request.nonce)
            });
            assert!(channel.remove(&request.id).unwrap());
            until(&gateway.home, case, |status| status.gateway_state == GatewayState::Running);
        }
        assert_eq!(fs::metadata(gateway.home.holds_folder()).unwrap().uid(), NOBODY, "{case}");
        gateway.end();
    }
}

#[test]
fn a_user_whom_the_gateway_could_not_read_is_refused_before_anything_is_written() {
    const TEST: &str = "a_user_whom_the_gateway_could_not_read_is_refused_before_anything_is_written";
    if let Some(home) = plays("gateway") {
        return gateway(home);
    }
    if let Some(home) = plays("writer") {
        let channel = Channel::new(Home::at(home));
        for request in [Request::begin(RequestId::marker(), "ops"), hold("upgrade")] {
            let error = channel.write(&request).expect_err("another user's home");
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
            let text = error.to_string();
            assert!(text.contains("(user 65534)") && text.contains("54321"), "it names both users: {text}");
        }
        return;
    }
    // Open to everybody, and so nothing but the crate itself stands in the writer's way.
    for owner in [NOBODY, ANOTHER, 0] {
        let folder = place();
        let home = folder.path().join("home");
        fs::create_dir(&home).unwrap();
        chown(&home, Some(owner), Some(owner)).unwrap();
        fs::set_permissions(&home, Permissions::from_mode(0o777)).unwrap();
        let gateway = OfNobody::in_home(TEST, &home);
        fs::set_permissions(gateway.home.holds_folder(), Permissions::from_mode(0o777)).unwrap();
        let names = || {
            let names = |folder: &Path| {
                fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>()
            };
            let mut names = [names(gateway.home.path()), names(&gateway.home.holds_folder())].concat();
            names.retain(|name| !name.to_string_lossy().starts_with(".write-"));
            names.sort();
            names
        };
        let before = names();
        let mut writer = player(&["env"], TEST, "writer", &home);
        writer.uid(ANOTHER).gid(ANOTHER);
        played(writer);
        assert_eq!(names(), before, "a home of {owner}'s");
        let status = Snapshot::read(&gateway.home).unwrap();
        assert!(status.drain.holds.is_empty(), "nothing closes the gate: {status:?}");
        gateway.end();
    }
}

#[test]
fn a_status_that_may_not_be_read_is_a_refusal_although_its_gateway_lives() {
    const TEST: &str = "a_status_that_may_not_be_read_is_a_refusal_although_its_gateway_lives";
    if let Some(home) = plays("asks") {
        let home = Home::at(home);
        let _lives = home.lock(&Incarnation::fresh()).expect("nobody lives there");
        let said = Gateway::at(home).status();
        assert!(matches!(said, Err(Failure::Denied(_))), "{said:?}");
        return;
    }
    let folder = place();
    let home = Home::at(folder.path().join("home"));
    fs::create_dir(home.path()).expect("writable");
    fs::write(home.status(), "{}").expect("writable");
    fs::set_permissions(home.status(), Permissions::from_mode(0o600)).expect("just made");
    chown(home.path(), Some(NOBODY), Some(NOBODY)).expect("root gives away");
    let mut asks = player(&["env"], TEST, "asks", home.path());
    asks.uid(NOBODY).gid(NOBODY);
    played(asks);
}

#[test]
fn no_umask_keeps_a_gateway_from_starting_and_starting_again() {
    const TEST: &str = "no_umask_keeps_a_gateway_from_starting_and_starting_again";
    if let Some(place) = plays("starts") {
        for umask in [0o777, 0o700, 0o277, 0o477, 0o177] {
            rustix::process::umask(rustix::fs::Mode::from(umask));
            let home = Home::at(place.join(format!("{umask:o}/of/one")));
            let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
            for _ in 0..2 {
                let gateway = Reconciler::start(home.clone(), options());
                let gateway = gateway.unwrap_or_else(|error| panic!("umask {umask:o}: {error}"));
                let channel = Channel::new(home.clone());
                channel.write(&hold("upgrade")).unwrap_or_else(|error| panic!("umask {umask:o}: {error}"));
                until(&home, "the hold", |status| status.drain.holds.iter().any(|hold| hold.owner == "ops"));
                for path in [home.path(), &home.holds_folder()] {
                    assert_eq!(mode(path), 0o700, "{} under the umask {umask:o}", path.display());
                }
                for path in [home.status(), home.lock_path(), home.request_path(&hold("upgrade").id)] {
                    assert_eq!(mode(&path), 0o600, "{} under the umask {umask:o}", path.display());
                }
                drop(gateway);
            }
        }
        return;
    }
    for user in [NOBODY, 0] {
        let folder = place();
        let place = folder.path().join("place");
        fs::create_dir(&place).unwrap();
        chown(&place, Some(user), Some(user)).unwrap();
        let mut starts = player(&["env"], TEST, "starts", &place);
        starts.uid(user).gid(user);
        played(starts);
    }
}

/// Lets this process have no descriptor with this number or a higher one; gives what the limit was.
fn limit_descriptors(limit: u64) -> u64 {
    let before = rustix::process::getrlimit(Resource::Nofile);
    rustix::process::setrlimit(Resource::Nofile, Rlimit { current: Some(limit), ..before }).expect("a lower limit");
    before.current.expect("there is a limit")
}

#[test]
fn what_is_written_while_the_application_holds_every_descriptor_is_seen_and_published_at_the_next_look() {
    const TEST: &str =
        "what_is_written_while_the_application_holds_every_descriptor_is_seen_and_published_at_the_next_look";
    if let Some(place) = plays("gateway") {
        let home = Home::at(place.join("home"));
        let aside = Home::at(place.join("aside"));
        fs::create_dir(aside.path()).unwrap();
        for id in [RequestId::marker(), hold("upgrade").id] {
            Channel::new(aside.clone()).write(&Request::begin(id, "ops")).unwrap();
        }
        let refresh = Duration::from_millis(100);
        let gateway = Reconciler::start(home.clone(), Options { refresh, ..options() }).unwrap();
        // All numbers below are taken, and nothing above them is allowed.
        let mut all = vec![File::open("/dev/null").unwrap()];
        while all[all.len() - 1].as_raw_fd() < 100 {
            all.push(File::open("/dev/null").unwrap());
        }
        let before = limit_descriptors(101);
        comes_true("none is left", || File::open("/dev/null").is_err());
        for id in [RequestId::marker(), hold("upgrade").id] {
            assert!(gateway.gate().admit().is_ok());
            let published = fs::metadata(home.status()).unwrap().ino();
            // None of this takes a descriptor.
            fs::rename(aside.request_path(&id), home.request_path(&id)).unwrap();
            comes_true("the gate closes", || gateway.gate().admit().is_err());
            comes_true("it is published", || fs::metadata(home.status()).is_ok_and(|is| is.ino() != published));
            fs::remove_file(home.request_path(&id)).unwrap();
            comes_true("the gate opens", || gateway.gate().admit().is_ok());
        }
        let reconciler = gateway.snapshot().drain.reconciler;
        assert_eq!(reconciler.errors, 0, "nothing was lacking: {:?}", reconciler.last_error);
        limit_descriptors(before);
        return;
    }
    let folder = place();
    played(player(&["env"], TEST, "gateway", folder.path()));
}

#[test]
fn a_process_that_has_no_descriptor_left_goes_on_as_it_was_and_sees_what_was_written_once_it_has() {
    const TEST: &str = "a_process_that_has_no_descriptor_left_goes_on_as_it_was_and_sees_what_was_written_once_it_has";
    if let Some(place) = plays("gateway") {
        for drained in [false, true] {
            let home = Home::at(place.join(format!("{drained}")));
            let channel = Channel::new(home.clone());
            fs::create_dir(home.path()).unwrap();
            if drained {
                channel.write(&hold("upgrade")).unwrap();
            }
            let refresh = Duration::from_millis(100);
            let gateway = Reconciler::start(home.clone(), Options { refresh, ..options() }).unwrap();
            assert_eq!(gateway.gate().admit().is_err(), drained);
            // No reserve helps: whatever is opened would have a number beyond the limit.
            let before = limit_descriptors(3);
            let errors = gateway.snapshot().drain.reconciler.errors;
            comes_true("it has looked, and has seen nothing", || {
                assert_eq!(gateway.gate().admit().is_err(), drained, "what the process lacks is nobody's request");
                gateway.snapshot().drain.reconciler.errors > errors
            });
            // Beyond the next refresh, which can't be written.
            let until = std::time::Instant::now() + Duration::from_millis(500);
            comes_true("time passes", || std::time::Instant::now() > until);
            let ready = gateway.unready();
            assert!(ready.iter().all(|why| why.starts_with("state")), "the gate stands: {ready:?}");
            assert!(home.status().exists(), "C8: what was published is true still");
            assert!(gateway.snapshot().drain.holds.iter().all(|hold| hold.owner == "ops"));
            limit_descriptors(before);
            if drained {
                assert!(channel.remove(&hold("upgrade").id).unwrap());
            } else {
                channel.write(&Request::begin(RequestId::marker(), "ops")).unwrap();
            }
            comes_true("it sees again", || gateway.gate().admit().is_err() != drained);
        }
        return;
    }
    let folder = place();
    played(player(&["env"], TEST, "gateway", folder.path()));
}

#[test]
fn a_start_on_a_full_disk_is_an_error_that_names_the_home_and_says_what_to_do() {
    const TEST: &str = "a_start_on_a_full_disk_is_an_error_that_names_the_home_and_says_what_to_do";
    if let Some(place) = plays("starts") {
        let home = Home::at(place.join("home"));
        let mut filler = File::create(place.join("filler")).unwrap();
        while io::Write::write(&mut filler, &[0; 4096]).is_ok_and(|written| written > 0) {}
        let error = Reconciler::start(home.clone(), options()).map(drop).expect_err("the disk is full");
        let text = error.to_string();
        assert!(matches!(error, StartError::Lock(_) | StartError::Status { .. }), "{error:?}");
        assert!(text.contains(&*home.path().to_string_lossy()), "{text}");
        assert!(text.contains("make room there"), "{text}");
        drop(filler);
        fs::remove_file(place.join("filler")).unwrap();
        drop(Reconciler::start(home, options()).expect("there is room"));
        return;
    }
    let folder = place();
    let mount = format!("mount -t tmpfs -o size=256k tmpfs {} && exec \"$@\"", folder.path().display());
    played(player(&["unshare", "--mount", "sh", "-c", &mount, "sh"], TEST, "starts", folder.path()));
}

#[test]
fn a_relative_home_stays_where_it_was_whatever_the_working_directory_is_by_now() {
    const TEST: &str = "a_relative_home_stays_where_it_was_whatever_the_working_directory_is_by_now";
    if let Some(place) = plays("gateway") {
        std::env::set_current_dir(&place).unwrap();
        let (home, elsewhere) = (Home::at("home"), Home::at("./down/../home"));
        let gateway = Reconciler::start(home.clone(), options()).unwrap();
        std::env::set_current_dir("/").unwrap();
        assert_eq!(home.path(), place.join("home"));
        Channel::new(elsewhere.clone()).write(&hold("upgrade")).expect_err("there is no folder `down`");
        Channel::new(home.clone()).write(&hold("upgrade")).unwrap();
        comes_true("it is seen", || gateway.gate().admit().is_err());
        assert!(gateway.unready().iter().all(|why| !why.contains("home")), "{:?}", gateway.unready());
        return;
    }
    let folder = place();
    played(player(&["env"], TEST, "gateway", folder.path()));
}
