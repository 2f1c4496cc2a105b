//! Faults of what a gateway stands on: the disk, its home, its descriptors, its scheduling, its clock, its boot.

use crate::children::{self, Role};
use crate::crashes::Place;
use crate::log::{self, Log};
use crate::report::Row;
use crate::roles::{LEASE, Pressure, answer, pause, wait_for};
use gateway_drain::control::Found;
use gateway_drain::hold::{Denied, Ending, LeasePolicy, Outcome};
use gateway_drain::{Channel, DrainState, Home, Reconciler, Refusal, Request, RequestId, Snapshot};
use gateway_drain::{controller::Settings, reconciler::Options};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use std::error::Error;
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const PART: &str = "Resources";
const PATIENCE: Duration = Duration::from_secs(30);
const TICK: Duration = Duration::from_millis(5);
const ROUNDS: u64 = 20;
/// An ordinary user: what is read-only is read-only to him.
const NOBODY: u32 = 65534;

type Outcomes = Result<String, Box<dyn Error>>;

/// Runs one scenario so many times; the first that falls short ends it.
fn row(tried: &'static str, unit: &'static str, rounds: u64, scenario: impl Fn() -> Outcomes) -> Row {
    let mut row = Row::new(PART, tried, unit);
    for _ in 0..rounds {
        match scenario() {
            Ok(happened) => row.happened = happened,
            Err(why) => {
                row.must(false, || why.to_string());
                break;
            }
        }
        row.times += 1;
    }
    row
}

pub fn must(so: bool, fault: &str) -> Result<(), Box<dyn Error>> {
    if so { Ok(()) } else { Err(fault.into()) }
}

fn within(what: &str, so: impl Fn() -> bool) -> Result<(), Box<dyn Error>> {
    wait_for(PATIENCE, || so().then_some(())).ok_or_else(|| format!("never came true: {what}").into())
}

fn published(home: &Home, says: impl Fn(&Snapshot) -> bool) -> bool {
    Snapshot::read(home).is_ok_and(|status| says(&status))
}

fn closed(gateway: &Reconciler) -> bool {
    gateway.gate().admit().err() == Some(Refusal::Draining)
}

fn is_open(gateway: &Reconciler) -> bool {
    gateway.gate().admit().is_ok()
}

fn hold() -> Request {
    Request::begin(RequestId::new("a").unwrap_or_else(|_| RequestId::marker()), "ann").lease(LEASE)
}

/// Something that is mounted, until it is dropped.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

/// A file system of its own in a folder, of so many bytes.
fn small_disk(at: &Path) -> Result<Mounted, Box<dyn Error>> {
    let size = c"size=96k";
    mount("none", at, "tmpfs", MountFlags::empty(), Some(size)).map_err(|e| format!("a small disk needs root: {e}"))?;
    Ok(Mounted(at.into()))
}

/// Takes all the room there is.
fn fill(home: &Path) -> io::Result<PathBuf> {
    let path = home.join("ballast");
    let mut ballast = File::create(&path)?;
    while ballast.write_all(&[7; 512]).is_ok() {}
    Ok(path)
}

fn full_disk() -> Outcomes {
    let place = Place::new()?;
    let _disk = small_disk(place.home.path())?;
    let gateway = place.start(TICK)?;
    let first = hold().lease(Duration::from_secs(60));
    place.ask(&gateway, &first)?;
    place.channel.remove(&first.id)?;
    within("open", || published(&place.home, |s| s.drain.state == DrainState::Running))?;

    let ballast = fill(place.home.path())?;
    let refused = place.channel.write(&hold());
    must(refused.is_err(), "a request was written on a full disk")?;
    must(matches!(place.channel.find(&first.id), Found::Absent), "a failed write left something")?;
    // An empty file needs no room: the operator's `touch` works on a full disk.
    File::create(place.home.marker())?;
    within("the touched marker closes the gate", || closed(&gateway))?;
    within("the status that is not so any more goes", || {
        !published(&place.home, |s| s.drain.state == DrainState::Running)
    })?;
    // The old one has gone, and the room that it took may be enough for the new one.
    must(
        !published(&place.home, |s| s.drain.state == DrainState::Running),
        "a status on a full disk says what is not so",
    )?;
    fs::remove_file(&ballast)?;
    within("the status is published once there is room", || published(&place.home, |s| s.drain.drained))?;
    drop(gateway);

    let ballast = fill(place.home.path())?;
    if let Ok(gateway) = place.start(TICK) {
        must(closed(&gateway), "a start on a full disk opened the gate under the marker")?;
        return Err("a start on a full disk published its status".into());
    }
    must(place.home.live()?.is_none(), "a start that failed keeps the home locked")?;
    fs::remove_file(ballast)?;
    let gateway = place.start(TICK)?;
    must(closed(&gateway), "the marker was lost")?;
    fs::remove_file(place.home.marker())?;
    within("open", || is_open(&gateway))?;
    Ok("writes fail whole, a touched marker closes the gate all the same, the status that is not so any \
        more is taken away; a start fails with its reason and leaves no lock"
        .into())
}

fn read_only() -> Outcomes {
    let place = Place::new()?;
    let (home, outside) = (place.home.path(), place.evidence.parent().ok_or("no folder")?);
    fs::set_permissions(outside, Permissions::from_mode(0o755))?;
    chown(home, Some(NOBODY), Some(NOBODY))?;
    let as_nobody = |role: &[String]| {
        let mut command = children::command(role);
        command.uid(NOBODY).gid(NOBODY);
        command
    };
    let tool = |arguments: &[&str]| as_nobody(&children::tool(home, arguments)).stdin(Stdio::null()).output();
    let role = children::gateway(home, &place.evidence, 5, 0);
    let mut gateway = Role::start_as(&mut as_nobody(&role)).map_err(|error| format!("needs root: {error}"))?;
    must(gateway.line()?.starts_with("up"), "the gateway didn't start")?;
    must(tool(&["begin", "a", "--lease", "1s"])?.status.success(), "not held")?;
    let freeze = |mode: u32| {
        let folders = [home.to_owned(), place.home.holds_folder()];
        folders.iter().try_for_each(|folder| fs::set_permissions(folder, Permissions::from_mode(mode)))
    };
    freeze(0o500)?;
    let before = fs::read(place.home.status())?;
    let refused = tool(&["begin", "b"])?;
    must(!refused.status.success(), "a request was written to a read-only folder")?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    must(said.contains("Permission denied"), &format!("the command line doesn't say why: {said}"))?;
    let unready = |gateway: &mut Role| -> Result<String, Box<dyn Error>> {
        gateway.tell("unready");
        Ok(gateway.line()?)
    };
    let said = unready(&mut gateway)?;
    must(said.contains("state: "), &format!("a read-only folder opened the gate: {said}"))?;
    let began = Instant::now();
    loop {
        let said = unready(&mut gateway)?;
        if said.contains("can't be published") && !said.contains("state: ") {
            break;
        }
        must(began.elapsed() < PATIENCE, &format!("the lease should have ended the hold: {said}"))?;
        pause(TICK);
    }
    must(fs::read(place.home.status())? == before, "a status was written into a read-only folder")?;
    gateway.ends()?;
    let mut next = Role::start_as(as_nobody(&role).stderr(Stdio::piped()))?;
    must(next.line()?.is_empty(), "a start in a read-only home")?;
    let error = next.complains()?;
    must(error.contains(&*home.to_string_lossy()), &format!("the error doesn't name the home: {error}"))?;
    freeze(0o700)?;
    let mut next = Role::start_as(&mut as_nobody(&role))?;
    must(next.line()?.starts_with("up"), "the home can be written to, and no gateway starts")?;
    must(tool(&["cancel", "a"])?.status.success(), "the hold can't be cancelled")?;
    within("open", || published(&place.home, |s| s.drain.state == DrainState::Running))?;
    Ok("nothing changes but by time: a hold stays for its lease and no longer; the command line says why it can't write; a \
        start fails and names the home"
        .into())
}

fn lost_home() -> Outcomes {
    let place = Place::new()?;
    let leases = LeasePolicy { default: LEASE, ..LeasePolicy::default() };
    let settings = Settings { leases, ..Settings::default() };
    let options = Options { tick: TICK, settings, ..Options::default() };
    let gateway = Reconciler::start(place.home.clone(), options).map_err(|error| error.to_string())?;
    let (home, away) = (place.home.path().to_owned(), place.home.path().with_extension("away"));

    let says = |what: &str| gateway.unready().iter().any(|why| why.contains(what));
    fs::rename(&home, &away)?;
    within("readiness says that nobody finds the home", || says("the home is not found at"))?;
    must(is_open(&gateway), "a home that was moved closed the gate")?;
    must(!home.exists(), "it was made again")?;
    File::create(Home::at(&away).marker())?;
    within("what is asked for in it is done", || closed(&gateway))?;
    fs::remove_file(Home::at(&away).marker())?;
    within("and undone", || is_open(&gateway))?;
    fs::rename(&away, &home)?;
    within("a home that is back is ready", || gateway.unready().is_empty())?;

    // Another gateway moves in.
    fs::rename(&home, &away)?;
    fs::create_dir(&home)?;
    let other = place.start(TICK)?;
    within("readiness says that another home is there", || says("another folder"))?;
    pause(TICK * 10);
    let theirs = other.controller().incarnation();
    must(published(&place.home, |s| s.drain.incarnation == *theirs), "it wrote into another's home")?;
    must(is_open(&other) && is_open(&gateway), "one of two gateways with two homes was disturbed")?;
    drop(other);
    fs::remove_dir_all(&home)?;
    // It may put its lock back in between.
    within("its own home is deleted", || fs::remove_dir_all(&away).is_ok())?;
    within("that closes the gate", || closed(&gateway) && says("was deleted"))?;
    pause(LEASE * 2);
    must(closed(&gateway), "a lost home opened the gate")?;
    drop(gateway);
    let next = place.start(TICK)?;
    must(is_open(&next), "a start in a home that was removed")?;
    Ok("served where it is for as long as it is there, and not ready; nothing is written into another's home; closed for \
        good once it is deleted"
        .into())
}

/// In a process of its own: a gateway that has no descriptor left.
pub fn starved(home: &Path) -> Result<(), Box<dyn Error>> {
    let options = || Options { tick: TICK, ..Options::default() };
    let start = || Reconciler::start(Home::at(home), options()).map_err(|error| error.to_string());
    let limit = getrlimit(Resource::Nofile);
    let at_most = |current| setrlimit(Resource::Nofile, Rlimit { current: Some(current), ..limit });
    at_most(64)?;
    let take_all = || {
        let mut taken = Vec::new();
        while let Ok(file) = File::open("/dev/null") {
            taken.push(file);
        }
        taken
    };

    let gateway = start()?;
    let turn = gateway.gate().admit()?;
    let taken = take_all();
    // Nor does what the gateway keeps in reserve help: no number is left that could be given.
    at_most(3)?;
    let errors = gateway.snapshot().drain.reconciler.errors;
    within("looks fail", || gateway.snapshot().drain.reconciler.errors > errors + 5)?;
    must(is_open(&gateway), "what the process lacks closed the gate")?;
    must(gateway.gate().reading().in_flight == 1, "the turn in flight is lost")?;
    at_most(64)?;
    drop((turn, taken));

    let channel = Channel::new(Home::at(home));
    channel.write(&Request::begin(RequestId::marker(), "ops"))?;
    within("closed by the marker", || published(channel.home(), |s| s.drain.drained))?;
    let taken = take_all();
    pause(TICK * 20);
    must(closed(&gateway), "exhausted descriptors opened the gate")?;
    drop(gateway);
    let refill = take_all();
    must(start().is_err(), "a start without descriptors")?;
    drop((taken, refill));
    let gateway = start()?;
    must(closed(&gateway), "the marker was lost")?;
    channel.remove(&RequestId::marker())?;
    within("open", || is_open(&gateway))
}

fn descriptors() -> Outcomes {
    let place = Place::new()?;
    let child = Command::new(children::THIS_PROGRAM).arg("starved").arg(place.home.path()).output()?;
    must(child.status.success(), &String::from_utf8_lossy(&child.stderr))?;
    Ok("looks that fail change nothing; the turn in flight is kept and counted; a start fails with its reason; \
         with descriptors again, all is as the files say"
        .into())
}

fn commit(status: &Snapshot) -> Request {
    Request::commit(hold().id, "ann", status.drain.incarnation.clone(), status.drain.generation)
}

/// The gateway's answer, which has to come.
fn told(place: &Place, request: &Request) -> Result<(Snapshot, Outcome), Box<dyn Error>> {
    place.channel.write(request)?;
    let told = wait_for(PATIENCE, || answer(&place.home, request)).ok_or("never answered")?;
    Ok((told.0, told.1))
}

/// Whether a commit that is written while the gateway is stopped, after the lease, is granted by its next look. A look that is
/// under way as the gateway is stopped has read the files before, and ends the lease when it goes on: that shows nothing.
fn commits_late(place: &Place, gateway: &Role) -> Result<bool, Box<dyn Error>> {
    let (seen, outcome) = told(place, &hold())?;
    must(outcome == Outcome::Held && seen.drain.drained, "not drained")?;
    gateway.signal(Signal::STOP)?;
    pause(LEASE + LEASE / 5);
    let late = commit(&seen);
    place.channel.write(&late)?;
    must(wait_for(LEASE / 5, || answer(&place.home, &late)).is_none(), "a paused gateway answered")?;
    gateway.signal(Signal::CONT)?;
    let outcome = wait_for(PATIENCE, || answer(&place.home, &late)).ok_or("never answered")?.1;
    if outcome == Outcome::Refused(Denied::LeaseExpired) {
        return Ok(false);
    }
    // No look came between: the lease had not ended, and the gate was closed all the time.
    must(outcome == Outcome::Committed, &format!("the late commit: {outcome:?}"))?;
    let token = late.nonce.clone().ok_or("a commit has a nonce")?;
    let (_, outcome) = told(place, &Request::withdraw(late.id.clone(), "ann").token(token))?;
    must(outcome == Outcome::Ended(Ending::Withdrawn), &format!("its withdrawal: {outcome:?}"))?;
    Ok(true)
}

fn paused_gateway() -> Outcomes {
    let place = Place::new()?;
    let gateway = Role::start(&children::gateway(place.home.path(), &place.evidence, 5, 0))?;
    let mut granted = false;
    for _ in 0..5 {
        granted = granted || commits_late(&place, &gateway)?;
    }
    must(granted, "the late commit was refused five times")?;

    let (seen, _) = told(&place, &hold())?;
    let (_, outcome) = told(&place, &commit(&seen))?;
    must(outcome == Outcome::Committed, &format!("the commit: {outcome:?}"))?;
    gateway.signal(Signal::STOP)?;
    pause(LEASE + LEASE / 5);
    gateway.signal(Signal::CONT)?;
    pause(Duration::from_millis(50));
    must(published(&place.home, |s| s.drain.drained && s.drain.holds.iter().any(|h| h.committed)), "a commit ran out")?;
    Ok("while paused it answers nothing; after it, a commit that lies there is granted, since no look has ended the lease and \
        the gate has stayed closed, and a hold that was committed before is committed still"
        .into())
}

fn paused_controller() -> Outcomes {
    let place = Place::new()?;
    let gateway = place.start(TICK)?;
    let mut pressure = Pressure::on(gateway.gate(), &place.evidence, 2)?;
    let log = Log::open(&place.evidence)?;
    log.say(&format!("up {}", gateway.controller().incarnation()));
    let mut controller = Role::start(&children::controller(place.home.path(), &place.evidence, "paused", u64::MAX))?;
    for _ in 0..3 {
        controller.line()?;
        pause(Duration::from_micros(fastrand::u64(..20_000)));
        controller.signal(Signal::STOP)?;
        pause(LEASE + LEASE / 5);
        controller.signal(Signal::CONT)?;
    }
    controller.line()?;
    log.say(&format!("killing {}", controller.pid()));
    controller.kill();
    pressure.ends();
    let audit = log::audit(&place.evidence)?;
    must(audit.told_committed > 0 && audit.turns > 0, "nothing was told, or nothing ran")?;
    audit.false_words.first().map_or(Ok(()), |word| must(false, word))?;
    Ok("turns ran on after its lease; it was told nothing that was not so".into())
}

/// The library that sets a process's wall clock.
fn faketime() -> Result<PathBuf, Box<dyn Error>> {
    let library =
        Path::new("/usr/lib").read_dir()?.flatten().map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    library.into_iter().find(|path| path.is_file()).ok_or_else(|| "libfaketime is not installed".into())
}

/// What the library of a process of this number has left in memory, removed when this is dropped: a process that is killed
/// doesn't do so itself.
struct Faked(u32);

impl Drop for Faked {
    fn drop(&mut self) {
        for name in ["faketime_shm_", "sem.faketime_sem_"] {
            let _ = fs::remove_file(format!("/dev/shm/{name}{}", self.0));
        }
    }
}

fn stepped_clock(step: &str) -> Outcomes {
    let place = Place::new()?;
    let clock = place.evidence.with_extension("clock");
    fs::write(&clock, "+0d")?;
    let mut command = Command::new(children::THIS_PROGRAM);
    command.args(children::gateway(place.home.path(), &place.evidence, 5, 0));
    command.env("LD_PRELOAD", faketime()?).env("FAKETIME_TIMESTAMP_FILE", &clock);
    command.envs([("FAKETIME_NO_CACHE", "1"), ("DONT_FAKE_MONOTONIC", "1"), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")]);
    let gateway = Role::start_as(&mut command)?;
    let _traces = Faked(gateway.pid());
    let _gateway = gateway;
    let day = |status: &Snapshot| status.updated_at.get(..10).unwrap_or_default().to_owned();
    let lasts = |since: Instant| -> Result<Duration, Box<dyn Error>> {
        within("the lease runs out", || {
            published(&place.home, |s| {
                s.drain.acknowledged.iter().any(|a| a.outcome == Outcome::Ended(Ending::Expired))
            })
        })?;
        Ok(since.elapsed())
    };
    let sane = |lasted: Duration| (LEASE.mul_f64(0.9)..LEASE * 15).contains(&lasted);

    // Stepped in the middle of a lease.
    let since = Instant::now();
    let (before, _) = told(&place, &hold())?;
    fs::write(&clock, step)?;
    let lasted = lasts(since)?;
    must(sane(lasted), &format!("the lease in whose middle the clock was stepped lasted {lasted:?}"))?;
    let after = Snapshot::read(&place.home)?;
    must(day(&before) != day(&after), "the clock was not stepped: this shows nothing")?;

    // A request whose timestamp is a day off for the gateway.
    let since = Instant::now();
    let (seen, outcome) = told(&place, &hold())?;
    must(outcome == Outcome::Held, &format!("a request of another day: {outcome:?}"))?;
    let lasted = lasts(since)?;
    must(sane(lasted), &format!("a lease under a stepped clock lasted {lasted:?}"))?;

    // Stepped back under a committed hold.
    drop(seen);
    let (seen, _) = told(&place, &hold())?;
    let (_, outcome) = told(&place, &commit(&seen))?;
    must(outcome == Outcome::Committed, &format!("the commit: {outcome:?}"))?;
    fs::write(&clock, "+0d")?;
    pause(LEASE + LEASE / 5);
    must(published(&place.home, |s| s.drain.drained), "a step of the clock opened the gate under a committed hold")?;
    Ok("a lease in its middle, one begun after the step and a commit: each lasted as if nothing had happened".into())
}

/// A gateway whose process 1 is a new one, as after the restart of a container.
fn another_boot() -> Outcomes {
    let place = Place::new()?;
    let gateway = place.start(TICK)?;
    let (seen, _) = told(&place, &hold())?;
    let (_, outcome) = told(&place, &commit(&seen))?;
    must(outcome == Outcome::Committed, "not committed")?;
    place.channel.write(&Request::begin(RequestId::marker(), "ops"))?;
    drop(gateway);

    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--mount-proc", "--kill-child"]).arg(std::env::current_exe()?);
    command.args(children::gateway(place.home.path(), &place.evidence, 5, 1));
    let mut container = Role::start_as(&mut command)?;
    must(container.line()?.starts_with("up"), "a process 1 of its own needs root (unshare)")?;
    let status = Snapshot::read(&place.home)?;
    must(status.drain.epoch.differs_from(&seen.drain.epoch), "the epoch is the same")?;
    must(status.drain.state == DrainState::Running, "a hold of an earlier boot closes the gate")?;
    must(status.drain.ignored.len() == 2, &format!("what is ignored is not said: {:?}", status.drain.ignored))?;
    within("turns run", || log::audit(&place.evidence).is_ok_and(|audit| audit.turns > 0))?;
    Ok("the marker and the committed hold of the earlier one are ignored, and said to be; turns run".into())
}

pub fn rows() -> Vec<Row> {
    let mut rows = vec![
        row("a full disk under a running gateway and under a start", "times", ROUNDS, full_disk),
        row("the home made read-only under a held gate of an ordinary user, and a start in it", "times", 5, read_only),
        row("the home moved away and back, another put in its place, deleted", "times", 5, lost_home),
        row(
            "no file descriptor left, with a turn in flight, under a marker and at a start",
            "times",
            ROUNDS,
            descriptors,
        ),
        row("the gateway paused (SIGSTOP) beyond the lease, before and after a commit", "times", 3, paused_gateway),
        row("a controller paused beyond its lease, three times, under pressure", "times", 3, paused_controller),
    ];
    rows.push(row("the gateway's wall clock stepped a day ahead", "times", 3, || stepped_clock("+1d")));
    rows.push(row("the gateway's wall clock stepped a day back", "times", 3, || stepped_clock("-1d")));
    rows.push(row(
        "a restart with another process 1, as of a container, under a marker and a committed hold",
        "times",
        5,
        another_boot,
    ));
    rows
}
