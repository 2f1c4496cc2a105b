//! The real gateway in a folder of its own, and the model's events done to it.
//!
//! A change of a file is one step on the disk, for all kinds of files before and after: otherwise a look in its middle
//! would see an absence that the event doesn't mean. After each event the gateway has looked twice and published.

use crate::reference::event::{Change, Event, GARBAGE, Odd, StatusFile, Thing};
use crate::reference::fault::dying_writer;
use crate::reference::model::{Action, Ask, DEFAULT_LEASE, GRACE, MAX_LEASE, Model, Name, OTHER};
use gateway_drain::control::{Epoch, request_file, write};
use gateway_drain::controller::Settings;
use gateway_drain::gate::{Generation, OwnedPermit};
use gateway_drain::hold::{Incarnation, LeasePolicy, Nonce};
use gateway_drain::reconciler::Options;
use gateway_drain::status::{DrainStatus, GatewayState, Snapshot};
use gateway_drain::steps::{self, Moment};
use gateway_drain::{Clock, DrainState, Home, Reconciler, Request, RequestId};
use rustix::fs::{CWD, FileType, Mode, RenameFlags};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};
use tempfile::TempDir;

/// A step that takes longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(10);
/// What lies outside the home: a request that no link may lead to.
const OUTSIDE: &str = r#"{"action": "drain", "principal": "outside"}"#;

/// A real gateway.
#[derive(Debug)]
pub struct Gateway {
    folder: TempDir,
    /// What the events are about.
    home: Home,
    /// The gateway's own, wherever it is by now.
    own: Home,
    clock: Clock,
    reconciler: Option<Reconciler>,
    turns: Vec<OwnedPermit>,
    internal: Vec<OwnedPermit>,
    incarnations: Vec<Incarnation>,
    looks: u64,
    /// How often something was put at a path.
    puts: u64,
    /// What the status said after the last event.
    seen: Option<Snapshot>,
    /// What the one before it said of the gate, in the same process.
    before: Option<Moment>,
}

impl Gateway {
    /// A gateway in an empty home.
    ///
    /// # Panics
    /// If it can't be started.
    #[must_use]
    pub fn start() -> Self {
        // In memory where that can be had: what is tested is the order of the steps, and not the disk.
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() }.expect("a folder");
        let home = Home::at(folder.path().join("home"));
        fs::write(folder.path().join("outside"), OUTSIDE).expect("the folder is writable");
        let mut gateway = Self {
            folder,
            own: home.clone(),
            home,
            clock: Clock::manual(),
            reconciler: None,
            turns: Vec::new(),
            internal: Vec::new(),
            incarnations: Vec::new(),
            looks: 0,
            puts: 0,
            seen: None,
            before: None,
        };
        gateway.start_process();
        fs::create_dir_all(gateway.home.holds_folder()).expect("the home is writable");
        gateway.await_looks(true);
        gateway
    }

    fn start_process(&mut self) {
        let leases = LeasePolicy {
            default: Duration::from_secs(DEFAULT_LEASE),
            max: Duration::from_secs(MAX_LEASE),
            max_unready_delay: Duration::from_secs(15),
        };
        let settings = Settings {
            leases,
            interrupt_grace: Duration::from_secs(GRACE),
            clock: self.clock.clone(),
            ..Settings::default()
        };
        // No look comes by itself: whether one comes too many may not matter, but when one is missing must show.
        let options = Options {
            settings,
            events: false,
            tick: Duration::from_secs(3600),
            disk_timeout: PATIENCE,
            ..Options::default()
        };
        let reconciler = Reconciler::start(self.home.clone(), options).expect("the home is free and usable");
        self.own = self.home.clone();
        self.incarnations.push(reconciler.controller().incarnation().clone());
        self.reconciler = Some(reconciler);
    }

    fn end_process(&mut self) {
        self.reconciler = None;
        self.turns.clear();
        self.internal.clear();
    }

    fn running(&self) -> &Reconciler {
        self.reconciler.as_ref().expect("between two events a gateway runs")
    }

    fn path(&self, name: Name) -> PathBuf {
        let file = match name {
            Name::Marker => ".drain_request.json",
            Name::Alpha => ".drain_holds/alpha.json",
            Name::Beta => ".drain_holds/beta.json",
            Name::Holds => ".drain_holds",
        };
        self.home.path().join(file)
    }

    /// Does the event. `model` is as it is to be afterwards.
    ///
    /// # Panics
    /// If what was done is not what was to be.
    pub fn take(&mut self, event: &Event, model: &Model) {
        let starts = matches!(event, Event::Restart(_) | Event::CrashAfter(_));
        self.before = self.seen.as_ref().filter(|_| !starts).map(|status| moment(&status.drain));
        match event {
            Event::File(change) => self.change(change, model),
            Event::KilledWriter(name, ask, dies_before) => {
                let bytes = self.bytes(*name, &Ask { write: model.writes, ..ask.clone() }, &Epoch::current());
                // Its temporary file stays behind: nobody reads it, and nobody takes it for a hold.
                let _ = dying_writer(&self.path(*name), &bytes, *dies_before);
            }
            Event::Advance(seconds) => self.clock.advance(Duration::from_secs(*seconds)),
            Event::Admit => {
                self.turns.extend(self.running().gate().admit().ok().map(gateway_drain::Permit::into_owned));
            }
            Event::AdmitInternal => {
                let permit = self.running().gate().admit_internal().ok().map(gateway_drain::Permit::into_owned);
                self.internal.extend(permit);
            }
            Event::Finish => drop(self.turns.pop()),
            Event::FinishInternal => drop(self.internal.pop()),
            Event::Restart(found) => {
                self.end_process();
                match found {
                    StatusFile::Kept => {}
                    StatusFile::Lost => remove(&self.home.status()),
                    StatusFile::Garbage => {
                        fs::write(self.home.status(), "{\"drain\": 7").expect("the home is writable");
                    }
                }
                self.start_process();
            }
            Event::CrashAfter(change) => {
                let before = fs::read(self.home.status()).expect("it was published");
                self.change(change, model);
                self.end_process();
                fs::write(self.home.status(), before).expect("it was published");
                self.start_process();
            }
            Event::BlockStatus(block) => {
                let path = self.home.status();
                self.put(&path, |path| if *block { fs::create_dir(path) } else { fs::write(path, "unblocked") });
            }
            Event::BlockHolds(block) => self.block_holds(*block),
            Event::LoseHome(lose) => {
                let away = self.folder.path().join("away");
                let (from, to) = if *lose { (self.home.path(), &*away) } else { (&*away, self.home.path()) };
                fs::rename(from, to).expect("nothing is in the way");
                if self.own.path() == from {
                    self.own = Home::at(to);
                }
            }
            Event::ReplaceHome => {
                // The old home stays as it was, out of the way: a look that is inside it must not see it being emptied.
                let (path, away) = (self.home.path(), self.folder.path().join("away"));
                let old = self.folder.path().join(format!("old-{}", self.puts));
                self.puts += 1;
                fs::create_dir(&old).and_then(|()| fs::create_dir(old.join(".drain_holds"))).expect("it is writable");
                if path.exists() {
                    rustix::fs::renameat_with(CWD, &old, CWD, path, RenameFlags::EXCHANGE).expect("both are there");
                } else {
                    fs::rename(&old, path).and_then(|()| fs::rename(&away, &old)).expect("nothing is in the way");
                }
                if self.own.path() == path || self.own.path() == away {
                    self.own = Home::at(old);
                }
            }
            Event::BeginShutdown(deadline) => {
                let begun = self.running().controller().begin_shutdown(Duration::from_secs(*deadline));
                assert!(begun.is_ok() || model.state == DrainState::Stopped, "S3, S4: {begun:?}");
            }
        }
        if starts {
            let admits = self.running().gate().admit().is_ok();
            let found = self.running().snapshot().drain;
            let expected = model.state == DrainState::Running;
            assert_eq!(admits, expected, "C5: admission right after the start, with {found:#?}");
        }
        self.await_looks(model.can_publish());
    }

    fn change(&mut self, change: &Change, model: &Model) {
        let path = self.path(change.name);
        let number = model.writes;
        match &change.to {
            Thing::Nothing => remove(&path),
            Thing::Request(ask) => {
                let bytes = self.bytes(change.name, &Ask { write: number, ..ask.clone() }, &Epoch::current());
                self.write(&path, &bytes);
            }
            Thing::OtherBoot(ask) => {
                let epoch = Epoch::from("another boot:1".to_owned());
                let bytes = self.bytes(change.name, &Ask { write: number, ..ask.clone() }, &epoch);
                self.write(&path, &bytes);
            }
            // Two touches are two writes; a clock that is too coarse to tell them apart is not what is tested.
            Thing::Touched => self.put(&path, |path| {
                let moment = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + u64::from(number));
                File::create(path)?.set_modified(moment)
            }),
            Thing::Garbage(which) => self.put(&path, |path| fs::write(path, format!("{}{number}", GARBAGE[*which]))),
            Thing::Odd(odd) => {
                let outside = self.folder.path().join("outside");
                self.put(&path, |path| match odd {
                    Odd::DanglingLink => symlink("/nowhere/at/all", path),
                    Odd::LinkOutside => symlink(outside, path),
                    Odd::LinkLoop => symlink(path, path),
                    Odd::Folder => fs::create_dir(path),
                    Odd::Pipe => Ok(rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::from(0o600), 0)?),
                    Odd::Socket => UnixListener::bind(path).map(drop),
                    Odd::Sparse => File::create(path)?.set_len(10 << 30),
                });
            }
        }
    }

    /// A request's file through the crate's own writer, which can't replace a folder: that is taken away by a rename.
    fn write(&mut self, path: &Path, bytes: &[u8]) {
        if path.symlink_metadata().is_ok_and(|there| there.is_dir()) {
            let failed = replace(path, bytes).expect_err("a file can't take a folder's place");
            assert!(path.is_dir(), "C2: what was there before is there still: {failed}");
            self.put(path, |path| fs::write(path, bytes));
        } else {
            replace(path, bytes).expect("the home is writable");
        }
    }

    /// Puts what `make` makes at a path in one step, whatever stands there.
    fn put(&mut self, path: &Path, make: impl FnOnce(&Path) -> std::io::Result<()>) {
        self.puts += 1;
        // A link to itself has to know its own name, so the way there has to be of the same sort: a dot in front.
        let aside = path.with_file_name(format!(".put-{}", self.puts));
        make(&aside).expect("the folder is writable");
        if path.symlink_metadata().is_ok() {
            rustix::fs::renameat_with(CWD, &aside, CWD, path, RenameFlags::EXCHANGE).expect("both are there");
            remove(&aside);
        } else {
            fs::rename(&aside, path).expect("nothing is in the way");
        }
    }

    fn block_holds(&mut self, block: bool) {
        let (path, aside) = (self.home.holds_folder(), self.home.path().join(".holds-aside"));
        if block {
            fs::write(&aside, "no folder").expect("the home is writable");
            rustix::fs::renameat_with(CWD, &aside, CWD, &path, RenameFlags::EXCHANGE).expect("both are there");
        } else {
            rustix::fs::renameat_with(CWD, &aside, CWD, &path, RenameFlags::EXCHANGE).expect("both are there");
            remove(&aside);
        }
    }

    fn bytes(&self, name: Name, ask: &Ask, epoch: &Epoch) -> Vec<u8> {
        let id = if name == Name::Marker { RequestId::marker() } else { id(name) };
        let incarnation = |number: u32| {
            let known = self.incarnations.get(number as usize);
            known.cloned().unwrap_or_else(|| Incarnation::from("another process".to_owned()))
        };
        let owner = ["", "ops", "bot"][usize::from(ask.owner)];
        let mut request = match ask.action {
            Action::Begin => Request::begin(id, owner),
            Action::Commit => {
                let mut commit = Request::commit(id, owner, Incarnation::fresh(), generation(ask.drain.unwrap_or(0)));
                commit.incarnation = None;
                commit.generation = ask.drain.map(generation);
                commit
            }
            Action::Withdraw => Request::withdraw(id, owner),
            Action::Override => Request::override_hold(id, owner),
        };
        request.incarnation = ask.meant_for.map(incarnation);
        request.nonce = Some(nonce(ask.write));
        request.lease = ask.lease.map(Duration::from_secs);
        request.unready_delay = Duration::from_secs(ask.delay);
        request.token = ask.token.map(nonce);
        let bytes = request_file::to_bytes(&request, epoch);
        let mut fields: Value = serde_json::from_slice(&bytes).expect("it was just written");
        let when = if ask.future { "2999-01-01T00:00:00Z" } else { "1999-01-01T00:00:00Z" };
        fields["requested_at"] = when.into();
        serde_json::to_vec(&fields).expect("it is JSON")
    }

    /// Waits until the gateway has looked and, if it can, published: twice, so that a look which had begun before the
    /// event is not taken for one after it.
    fn await_looks(&mut self, can_publish: bool) {
        if can_publish {
            for _ in 0..2 {
                self.looks += 1;
                let look = Value::from(self.looks);
                self.running().describe(|description| {
                    description.platforms.insert("look".into(), look.clone());
                });
                self.seen = Some(self.await_status("the look to be published", || {
                    let status = Snapshot::read(&self.own).ok();
                    status.filter(|status| status.description.platforms.get("look") == Some(&look))
                }));
            }
        } else {
            // With something new to publish, each look adds an error or two, and so does one that is under way.
            self.looks += 1;
            let look = Value::from(self.looks);
            self.running().describe(|description| {
                description.platforms.insert("look".into(), look.clone());
            });
            let errors = self.running().snapshot().drain.reconciler.errors;
            self.seen = Some(self.await_status("the look to fail", || {
                self.running().kick();
                Some(self.running().snapshot()).filter(|status| status.drain.reconciler.errors >= errors + 4)
            }));
        }
    }

    #[expect(clippy::disallowed_methods, reason = "no event tells that a file has been replaced")]
    fn await_status(&self, what: &str, look: impl Fn() -> Option<Snapshot>) -> Snapshot {
        let begun = Instant::now();
        loop {
            if let Some(status) = look() {
                return status;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "C4: waited in vain for {what}: {:#?}",
                self.running().snapshot().drain
            );
            std::thread::sleep(Duration::from_micros(100));
        }
    }

    /// Compares the gateway with the model.
    ///
    /// # Panics
    /// With the number of the property that doesn't hold.
    pub fn compare(&self, model: &Model) {
        let gate = self.running().gate();
        let status = self.seen.as_ref().expect("it has published");
        let drain = &status.drain;
        let reading = gate.reading();

        let now = moment(drain);
        if let Some(property) = steps::broken(&self.before.unwrap_or(now), &now) {
            panic!("{}: {:#?}, then {now:#?}", property.claim(), self.before);
        }
        let closed = model.state != DrainState::Running;
        assert_eq!(gate.admit().is_err(), closed, "H1: closed if and only if a hold or a shutdown is there");
        assert_eq!(drain.state, model.state, "H1, S1, S3: the state");
        assert_eq!(reading.state, model.state, "S6: the gate is in the published state");
        assert_eq!(status.gateway_state == GatewayState::Running, !closed, "S6: running only if the gate admits");
        assert_eq!(number(drain.generation), model.generation, "G3: the drain is the same one, or another");
        assert_eq!((drain.in_flight, drain.internal), (model.turns, model.internal), "G2, G6: the work in flight");
        assert_eq!(status.active_agents, Some(model.turns + model.internal), "G6: the reference's count");
        assert_eq!(drain.drained, model.drained(), "G3: drained");
        assert_eq!((drain.interrupted, drain.abandoned), (model.interrupted, model.abandoned), "S5, L4");

        let holds: BTreeMap<_, _> = drain.holds.iter().map(|hold| (hold.request_id.as_str(), hold)).collect();
        let names: Vec<_> = model.holds.keys().map(|name| name.as_str()).collect();
        assert_eq!(holds.keys().copied().collect::<Vec<_>>(), names, "H2, H3, H4: the holds that live");
        for (name, expected) in &model.holds {
            let hold = holds[name.as_str()];
            let name = name.as_str();
            assert_eq!(hold.owner, ["", "ops", "bot"][usize::from(expected.owner)], "H2: the owner of {name}");
            assert_eq!(hold.committed, expected.committed.is_some(), "H4: the commit of {name}");
            assert_eq!(hold.token, expected.committed.map(nonce), "H4: the token of {name}");
            assert_eq!(hold.pending, !expected.closes(model.now), "the delay of {name}");
            let left = expected.committed.is_none().then(|| expected.expires_at.saturating_sub(model.now));
            let left = left.map(Duration::from_secs);
            assert_eq!(hold.lease_left_seconds.map(Duration::from_secs_f64), left, "H3, H5: the lease of {name}");
        }

        let mut answers: Vec<_> = drain.acknowledged.iter().map(|a| (a.request_id.as_str(), a.outcome)).collect();
        let mut expected: Vec<_> = model.answers().iter().map(|(name, _, answer)| (name.as_str(), *answer)).collect();
        answers.sort_by_key(|(name, _)| *name);
        expected.sort_by_key(|(name, _)| *name);
        assert_eq!(answers, expected, "C6: the answers to what lies in the channel");
        let mut ignored: Vec<_> = drain.ignored.iter().map(|ignored| ignored.request_id.as_str()).collect();
        let mut expected: Vec<_> = model.ignored().iter().map(|name| name.as_str()).collect();
        ignored.sort_unstable();
        expected.sort_unstable();
        assert_eq!(ignored, expected, "C3: what is not honoured is said");

        assert_eq!(drain.reconciler.panics, 0, "C4: no look panicked: {:?}", drain.reconciler.last_error);
        let outside = fs::read_to_string(self.folder.path().join("outside")).expect("it lies outside the home");
        assert_eq!(outside, OUTSIDE, "nothing is written outside the home");
        assert_eq!(drain.incarnation, *self.incarnations.last().expect("a process runs"), "C6: by this very process");
        assert_eq!(self.incarnations.len(), model.incarnation as usize + 1);
    }
}

/// What a status tells of the gate.
fn moment(drain: &DrainStatus) -> Moment {
    let DrainStatus { state, in_flight: turns, internal, drained, abandoned, .. } = *drain;
    Moment { state, drain: number(drain.generation).into(), turns, internal, drained, abandoned }
}

fn id(name: Name) -> RequestId {
    RequestId::new(name.as_str()).expect("a sound name")
}

fn nonce(write: u32) -> Nonce {
    Nonce::from(if write == OTHER { "another write".to_owned() } else { format!("write-{write}") })
}

fn generation(number: u32) -> Generation {
    serde_json::from_value(number.into()).expect("a generation is a number")
}

fn number(generation: Generation) -> u32 {
    serde_json::to_value(generation).ok().and_then(|value| value.as_u64()?.try_into().ok()).expect("a number")
}

/// Removes whatever stands at a path; a folder with all that is in it, after it has left its name in one step.
fn remove(path: &Path) {
    match path.symlink_metadata() {
        Ok(there) if there.is_dir() => {
            let aside = path.with_file_name(".removed");
            fs::rename(path, &aside).and_then(|()| fs::remove_dir_all(aside)).expect("the folder can be removed");
        }
        Ok(_) => fs::remove_file(path).expect("the file can be removed"),
        Err(_) => {}
    }
}

fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = File::open(path.parent().expect("a folder"))?.into();
    let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
    write::replace(&folder, name, bytes, None, |_| Ok(())).map(drop)
}
