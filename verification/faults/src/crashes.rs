//! Kills of a gateway before each of its steps, stops of its successor, and kills of everything at random times.

use crate::children::{self, Role};
use crate::log::{self, Log};
use crate::oracle::{Granted, Lies, Oracle};
use crate::report::{Row, grouped};
use crate::roles::{LEASE, answer, pause, wait_for};
use gateway_drain::control::Found;
use gateway_drain::hold::{Ending, Incarnation, Nonce, Outcome};
use gateway_drain::reconciler::Options;
use gateway_drain::{Channel, DrainState, Home, Reconciler, Request, RequestId, Snapshot};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub const PART: &str = "Crashes";
/// More than this long nothing may take here: a run that hangs is a fault.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// A gate that is closed for so long is wedged: ten leases, since the machine may be busy. The default lease is an hour.
pub const WEDGED: Duration = Duration::from_secs(10);
/// A tick that never comes: the gateway looks when it is told to.
const NEVER: Duration = Duration::from_secs(3600);
/// No sequence here has more steps.
pub const MOST_STEPS: u64 = 2000;

/// A home of its own, in memory where there is such a place.
pub struct Place {
    _folder: TempDir,
    pub home: Home,
    pub channel: Channel,
    pub evidence: std::path::PathBuf,
}

impl Place {
    pub fn new() -> io::Result<Self> {
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() {
            tempfile::Builder::new().prefix("gateway-drain-faults-").tempdir_in(memory)?
        } else {
            tempfile::tempdir()?
        };
        let home = Home::at(folder.path().join("home"));
        std::fs::create_dir(home.path())?;
        let evidence = folder.path().join("evidence");
        Ok(Self { _folder: folder, channel: Channel::new(home.clone()), home, evidence })
    }

    /// Where a token is kept meanwhile.
    pub fn token(&self) -> std::path::PathBuf {
        self.evidence.with_extension("token")
    }

    pub fn start(&self, tick: Duration) -> Result<Reconciler, String> {
        Reconciler::start(self.home.clone(), Options { tick, ..Options::default() }).map_err(|error| error.to_string())
    }

    /// Writes a request, and waits for the answer of a gateway in this process.
    pub fn ask(&self, gateway: &Reconciler, request: &Request) -> io::Result<Option<Outcome>> {
        self.channel.write(request)?;
        gateway.kick();
        Ok(wait_for(PATIENCE, || answer(&self.home, request).map(|(_, outcome, _)| outcome)))
    }
}

pub fn hold() -> RequestId {
    RequestId::new("a").unwrap_or_else(|_| RequestId::marker())
}

/// No lease that runs now ends later than this.
pub fn latest_end() -> Duration {
    Duration::from_nanos(log::now()) + LEASE
}

/// Notes every file of the channel that isn't whole, and gives the number of temporary files.
pub fn whole(row: &mut Row, place: &Place) -> u64 {
    let mut temporary = 0;
    let status = Snapshot::read(&place.home);
    let absent = matches!(&status, Err(error) if error.kind() == io::ErrorKind::NotFound);
    row.must(status.is_ok() || absent, || format!("the status is torn: {status:?}"));
    let marker = place.channel.find(&RequestId::marker());
    row.must(!matches!(marker, Found::Unreadable { .. }), || format!("the marker is torn: {marker:?}"));
    for folder in [place.home.path().to_owned(), place.home.holds_folder()] {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            temporary += u64::from(name.starts_with(".write-"));
            let stem = name.strip_suffix(".json").filter(|_| entry.path().starts_with(place.home.holds_folder()));
            if let Some(id) = stem.and_then(|stem| RequestId::new(stem).ok()) {
                let found = place.channel.find(&id);
                row.must(!matches!(found, Found::Unreadable { .. }), || format!("{name} is torn: {found:?}"));
            }
        }
    }
    temporary
}

/// Ends every hold that is left, as an operator may.
pub fn override_all(place: &Place, gateway: &Reconciler) -> io::Result<bool> {
    place.channel.remove(&RequestId::marker())?;
    for hold in gateway.controller().holds() {
        if !hold.id.is_marker() && RequestId::new(hold.id.as_str()).is_ok() {
            place.ask(gateway, &Request::override_hold(hold.id.clone(), "operator"))?;
            place.channel.remove(&hold.id)?;
        }
    }
    gateway.kick();
    Ok(wait_for(PATIENCE, || gateway.gate().admit().is_ok().then_some(())).is_some())
}

/// What a gateway finds at its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Nothing,
    Marker,
    Committed,
    CommittedFileGone,
    CommittedStatusGone,
}

const BEFORE: [Before; 5] =
    [Before::Nothing, Before::Marker, Before::Committed, Before::CommittedFileGone, Before::CommittedStatusGone];

fn marker() -> Request {
    Request::begin(RequestId::marker(), "ops").lease(LEASE)
}

/// Sets the scene; gives the oracle of it and, if there is one, the token of the commit.
fn set(place: &Place, before: Before) -> Result<(Oracle, Option<Nonce>), String> {
    let text = |error: io::Error| error.to_string();
    let mut oracle = Oracle::default();
    match before {
        Before::Nothing => return Ok((oracle, None)),
        Before::Marker => {
            place.channel.write(&marker()).map_err(text)?;
            oracle.marker = true;
            return Ok((oracle, None));
        }
        _ => {}
    }
    let gateway = place.start(NEVER)?;
    // A commit has no lease, so that one may be long which leads to it.
    let held = place.ask(&gateway, &Request::begin(hold(), "ann").lease(LEASE * 60)).map_err(text)?;
    let commit = commit(&gateway.snapshot());
    let outcome = place.ask(&gateway, &commit).map_err(text)?;
    if outcome != Some(Outcome::Committed) {
        return Err(format!("the scene can't be set: {held:?}, {outcome:?}"));
    }
    drop(gateway);
    oracle.granted = Granted::Yes;
    oracle.file = Lies::Commit;
    if before == Before::CommittedFileGone {
        place.channel.remove(&hold()).map_err(text)?;
        oracle.file = Lies::Nothing;
    }
    if before == Before::CommittedStatusGone {
        std::fs::remove_file(place.home.status()).map_err(text)?;
    }
    Ok((oracle, commit.nonce))
}

pub fn commit(seen: &Snapshot) -> Request {
    Request::commit(hold(), "ann", seen.drain.incarnation.clone(), seen.drain.generation)
}

/// A gateway that is killed at some step, and its controller, which is told nothing false by it.
struct Life<'a> {
    place: &'a Place,
    gateway: Role,
    oracle: Oracle,
}

impl Life<'_> {
    /// Waits for a published status that says so; `None` if the gateway dies before.
    fn until<T>(&mut self, says: impl Fn(&Snapshot) -> Option<T>) -> Option<T> {
        self.gateway.tell("look");
        let (place, gateway) = (self.place, &mut self.gateway);
        let found = wait_for(PATIENCE, || {
            let ended = gateway.has_ended();
            let live = place.home.live().ok().flatten();
            let status = Snapshot::read(&place.home).ok().filter(|s| live.as_ref() == Some(&s.drain.incarnation));
            match status.and_then(|status| says(&status)) {
                None if !ended => None,
                found => Some(found),
            }
        });
        found.flatten()
    }

    fn write(&mut self, request: &Request, lies: Lies) -> Option<Outcome> {
        self.place.channel.write(request).ok()?;
        self.oracle.file = lies;
        if lies == Lies::Commit {
            self.oracle.granted = Granted::Perhaps;
        }
        let answered = |s: &Snapshot| s.drain.acknowledged.iter().find(|a| a.nonce == request.nonce).map(|a| a.outcome);
        self.until(answered)
    }

    /// Everything that a gateway's files go through, in order. `None` as soon as it has been killed.
    fn through(&mut self, token: Option<Nonce>) -> Option<()> {
        self.until(|_| Some(()))?;
        let mut withdrawal = Request::withdraw(hold(), "ann");
        withdrawal.token = token;
        if withdrawal.token.is_none() {
            self.write(&Request::begin(hold(), "ann").lease(LEASE), Lies::Begin)?;
            let commit = commit(&Snapshot::read(&self.place.home).ok()?);
            let outcome = self.write(&commit, Lies::Commit)?;
            if outcome != Outcome::Committed {
                return None;
            }
            self.oracle.granted = Granted::Yes;
            withdrawal.token.clone_from(&commit.nonce);
            self.place.channel.remove(&hold()).ok()?;
            self.oracle.file = Lies::Nothing;
            self.until(|s| (!s.drain.ignored.is_empty()).then_some(()))?;
        }
        let outcome = self.write(&withdrawal, Lies::Withdrawal)?;
        if outcome != Outcome::Ended(Ending::Withdrawn) {
            return None;
        }
        self.oracle.granted = Granted::No;
        self.place.channel.remove(&hold()).ok()?;
        self.oracle.file = Lies::Nothing;
        self.until(|s| s.drain.acknowledged.iter().all(|a| a.request_id.is_marker()).then_some(()))?;
        self.place.channel.write(&marker()).ok()?;
        self.oracle.marker = true;
        self.until(|s| (s.drain.state == DrainState::ExternalDraining).then_some(()))?;
        self.place.channel.remove(&RequestId::marker()).ok()?;
        self.oracle.marker = false;
        self.until(|s| (s.drain.state == DrainState::Running).then_some(()))?;
        self.gateway.tell("shutdown");
        Some(())
    }
}

/// What became of the kills of one row.
#[derive(Default)]
pub struct Kills {
    pub steps: BTreeMap<String, u64>,
    pub temporary: u64,
    closed: u64,
    open: u64,
    pub expired: u64,
}

impl Kills {
    pub fn count(&self) -> u64 {
        self.steps.values().sum()
    }

    pub fn steps(&self) -> String {
        let steps: Vec<String> = self.steps.iter().map(|(step, times)| format!("{step} {times}")).collect();
        steps.join(", ")
    }
}

/// The gateway, killed before each of its steps: from its start in five different scenes to its shutdown.
pub fn gateway_at_each_step(stride: u64) -> Row {
    let mut row =
        Row::new(PART, "the gateway killed before each step, from its start to the end of its shutdown", "kills");
    let mut kills = Kills::default();
    for before in BEFORE {
        let mut at = 1;
        while at < MOST_STEPS {
            let mut once = gateway_once(&mut row, &mut kills, before, at);
            // A machine that is busy for longer than a lease ends a life too early.
            for _ in 0..2 {
                if once.is_err() {
                    once = gateway_once(&mut row, &mut kills, before, at);
                }
            }
            match once {
                Ok(Some(step)) => *kills.steps.entry(step).or_default() += 1,
                Ok(None) => break,
                Err(error) => {
                    row.must(false, || format!("{before:?}, before step {at}: {error}"));
                    break;
                }
            }
            at += stride;
        }
        row.must(at < MOST_STEPS, || format!("{before:?}: the sequence has no end"));
    }
    row.times = kills.count();
    row.happened = format!(
        "{}. Next start closed {}, open {}, never other than the oracle allows; {} leases left to run out did; {} \
         temporary files left, which nobody reads.",
        kills.steps(),
        grouped(kills.closed),
        grouped(kills.open),
        grouped(kills.expired),
        grouped(kills.temporary)
    );
    row.must(kills.closed > 0 && kills.open > 0, || "a start was never closed, or never open".into());
    row
}

/// One life, killed before step `at`; gives the step, or nothing if the life was over before.
fn gateway_once(row: &mut Row, kills: &mut Kills, before: Before, at: u64) -> Result<Option<String>, String> {
    let text = |error: io::Error| error.to_string();
    let place = Place::new().map_err(text)?;
    let (oracle, token) = set(&place, before)?;
    let role = children::gateway(place.home.path(), &place.evidence, 3_600_000, 0);
    let gateway = Role::stepped(at, 0, &role).map_err(text)?;
    let mut life = Life { place: &place, gateway, oracle };
    let lived = life.through(token).is_some();
    let printed = life.gateway.ends().map_err(text)?;
    let killed = printed.iter().find_map(|line| line.strip_prefix("killed ")).map(str::to_owned);
    if !lived && killed.is_none() {
        return Err(format!("it was not killed, and its life stopped: {:?}, {printed:?}", life.oracle));
    }

    kills.temporary += whole(row, &place);
    let said = place.home.live();
    row.must(matches!(said, Ok(None)), || format!("{before:?}, before step {at}: the dead gateway lives: {said:?}"));
    let successor = place.start(NEVER).map_err(|error| format!("the next start failed: {error}"))?;
    let admits = successor.gate().admit().is_ok();
    *(if admits { &mut kills.open } else { &mut kills.closed }) += 1;
    row.must(life.oracle.allows(admits), || {
        let snapshot = successor.snapshot();
        format!("{before:?}, before step {at} ({killed:?}): admits {admits}, but {:?}; {snapshot:#?}", life.oracle)
    });
    let holds = successor.controller().holds();
    for hold in &holds {
        let short = hold.commit.is_some() || hold.expires_at <= latest_end();
        row.must(short, || format!("{before:?}, before step {at}: a lease grew: {hold:?}"));
    }
    // Every so often a lease is let run out instead of being ended.
    let leased = !admits && holds.iter().all(|hold| hold.commit.is_none());
    if leased && at % 16 == 1 {
        let began = Instant::now();
        let opened = wait_for(PATIENCE, || successor.gate().admit().is_ok().then_some(()));
        row.must(opened.is_some() && began.elapsed() < WEDGED, || format!("wedged after step {at}: {holds:?}"));
        kills.expired += 1;
    } else {
        let opened = override_all(&place, &successor).map_err(text)?;
        row.must(opened, || format!("{before:?}, before step {at}: wedged under {holds:?}"));
    }
    Ok(killed)
}

/// A gateway that starts after one that was killed, stopped for a while before each step of its start.
pub fn start_stopped_at_each_step(stride: u64) -> Row {
    let mut row = Row::new(
        PART,
        "a start in a dead gateway's home, stopped for a while before each step: is the dead one ever reported drained?",
        "stops",
    );
    let mut at = 1;
    while at < MOST_STEPS {
        match stopped_once(&mut row, at) {
            Ok(true) => row.times += 1,
            Ok(false) => break,
            Err(error) => {
                row.must(false, || error);
                break;
            }
        }
        at += stride;
    }
    row.happened = "the drained status of the dead one lay there all the time; nobody was told that it lives".into();
    row
}

fn stopped_once(row: &mut Row, at: u64) -> Result<bool, String> {
    let text = |error: io::Error| error.to_string();
    let place = Place::new().map_err(text)?;
    let evidence = place.evidence.clone();
    let mut first = Role::start(&children::gateway(place.home.path(), &evidence, 3_600_000, 0)).map_err(text)?;
    let up = first.line().map_err(text)?;
    let dead = Incarnation::from(up.trim_start_matches("up ").to_owned());
    let request = marker();
    place.channel.write(&request).map_err(text)?;
    first.tell("look");
    wait_for(PATIENCE, || answer(&place.home, &request)).ok_or("the first gateway never answered")?;
    first.kill();

    let role = children::gateway(place.home.path(), &evidence, 3_600_000, 0);
    let mut second = Role::stepped(at, 60, &role).map_err(text)?;
    let stopped = second.line().map_err(text)?;
    let Some(step) = stopped.strip_prefix("stopped before ") else { return Ok(false) };
    let live = place.home.live().map_err(text)?;
    row.must(live.as_ref() != Some(&dead), || {
        format!("stopped before step {at} ({step}): the dead one is said to live")
    });
    let told = answer(&place.home, &request);
    let told_of_the_dead = told.is_some_and(|(status, ..)| status.drain.incarnation == dead);
    row.must(!told_of_the_dead, || format!("stopped before step {at} ({step}): the dead one is said to be drained"));
    Ok(true)
}

/// Everything at once, killed at random times.
pub fn at_random_times(kills: u64, seed: u64) -> Row {
    let tried =
        "a gateway, two controllers and a script with the marker in one home, one of them killed at a random time";
    let mut row = Row::new(PART, tried, "kills");
    let result = random(&mut row, kills, seed);
    row.some("the run", result);
    row
}

/// An operator overrides the holds of dead controllers: the committed, which nothing else ends, and most of the others,
/// whose leases would keep the gateway from ever running here. Gives the number of committed ones.
fn operate(place: &Place, log: &Log, alive: &[u32], random: &mut fastrand::Rng) -> io::Result<u64> {
    let mut committed = 0;
    let Ok(status) = Snapshot::read(&place.home) else { return Ok(0) };
    let dead = |id: &RequestId| !alive.iter().any(|pid| id.as_str().contains(&format!("-{pid}-"))) && !id.is_marker();
    for hold in status.drain.holds.iter().filter(|hold| dead(&hold.request_id)) {
        if hold.committed || random.u8(..4) > 0 {
            log.say(&format!("overriding {}", hold.request_id));
            place.channel.write(&Request::override_hold(hold.request_id.clone(), "operator"))?;
            committed += u64::from(hold.committed);
        }
    }
    for answer in status.drain.acknowledged.iter().filter(|answer| dead(&answer.request_id)) {
        if answer.outcome == Outcome::Ended(Ending::Overridden) {
            place.channel.remove(&answer.request_id)?;
        }
    }
    Ok(committed)
}

fn random(row: &mut Row, kills: u64, seed: u64) -> Result<(), String> {
    const NAMES: [&str; 4] = ["gateway", "controller", "controller", "script"];
    let text = |error: io::Error| error.to_string();
    let place = Place::new().map_err(text)?;
    let log = Log::open(&place.evidence).map_err(text)?;
    let mut random = fastrand::Rng::with_seed(seed);
    let role = |which: usize| match which {
        0 => children::gateway(place.home.path(), &place.evidence, 3, 2),
        1 => children::controller(place.home.path(), &place.evidence, "one", u64::MAX),
        2 => children::controller(place.home.path(), &place.evidence, "two", u64::MAX),
        _ => children::script(place.home.path(), &place.evidence, u64::MAX),
    };
    let mut all: Vec<Role> = (0..4).map(|which| Role::start(&role(which))).collect::<Result<_, _>>().map_err(text)?;
    let mut killed: BTreeMap<&str, u64> = BTreeMap::new();
    let mut temporary = 0;
    let mut overridden = 0;
    for _ in 0..kills {
        // Two in three while it is in the middle of things, one in three right at its start.
        let micros = if random.u8(..3) == 0 { random.u64(..6_000) } else { random.u64(..60_000) };
        pause(Duration::from_micros(micros));
        let which = random.usize(..all.len());
        let pid = all[which].pid();
        if all[which].has_ended() {
            row.must(false, || format!("a {} ended by itself", NAMES[which]));
        }
        log.say(&format!("killing {pid}"));
        all[which].kill();
        log.say(&format!("dead {pid}"));
        *killed.entry(NAMES[which]).or_default() += 1;
        temporary = whole(row, &place);
        let alive: Vec<u32> = all.iter().map(Role::pid).filter(|alive| *alive != pid).collect();
        overridden += operate(&place, &log, &alive, &mut random).map_err(text)?;
        all[which] = Role::start(&role(which)).map_err(text)?;
    }
    for role in &mut all {
        log.say(&format!("killing {}", role.pid()));
        role.kill();
        log.say(&format!("dead {}", role.pid()));
    }
    let after = place.start(Duration::from_millis(5))?;
    let opened = override_all(&place, &after).map_err(text)?;
    let leased = wait_for(WEDGED, || after.gate().admit().is_ok().then_some(()));
    row.must(opened || leased.is_some(), || format!("wedged in the end: {:?}", after.controller().holds()));
    row.times = killed.values().sum();
    let audit = log::audit(&place.evidence).map_err(text)?;
    let whom: Vec<String> = killed.iter().map(|(name, times)| format!("{name} {times}")).collect();
    row.happened = format!(
        "{}. {} turns ran; told drained {}, committed {}, all of it true; {overridden} committed holds of dead \
         controllers overridden; {temporary} temporary files left.",
        whom.join(", "),
        grouped(audit.turns as u64),
        grouped(audit.told_drained as u64),
        grouped(audit.told_committed as u64),
    );
    row.must(audit.turns > 0 && audit.told_drained > 0, || "nothing ran, or nothing was told".into());
    row.must(audit.told_committed > 0, || "no commit was ever granted".into());
    audit.false_words.into_iter().for_each(|word| row.must(false, || word));
    Ok(())
}
