//! The test vectors of the specification, held against this crate: files and looks. Those of what a controller may conclude are
//! in `src/client/vectors.rs`.

use crate::support::eventually::until;
use crate::support::vectors::{each_case, lay_out, spec};
use gateway_drain::control::{Epoch, Found, Home, read::Content, request_file::interpret, scan::scan};
use gateway_drain::controller::Settings;
use gateway_drain::hold::Hold;
use gateway_drain::reconciler::Options;
use gateway_drain::state::{DrainState, Event, Step, next};
use gateway_drain::status::{HoldStatus, Snapshot};
use gateway_drain::{Clock, OwnedPermit, Reconciler, Request, RequestId};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

/// When the files of the vectors were written and are read: a moment that no clock has to agree with.
const WRITTEN: u64 = 1_780_000_000;

/// The bytes of a file: a text, the bytes themselves, or texts with how often each stands there.
fn bytes(content: &Value) -> Vec<u8> {
    match content {
        Value::String(text) => text.clone().into_bytes(),
        Value::Array(numbers) if numbers.iter().all(Value::is_u64) => {
            numbers.iter().map(|byte| u8::try_from(byte.as_u64().unwrap()).unwrap()).collect()
        }
        Value::Array(parts) => parts
            .iter()
            .flat_map(|part| {
                part[0].as_str().unwrap().repeat(part[1].as_u64().unwrap().try_into().unwrap()).into_bytes()
            })
            .collect(),
        other => panic!("no content of a file: {other}"),
    }
}

fn seconds(duration: Option<Duration>) -> Value {
    duration.map_or(Value::Null, |duration| json!(duration.as_secs_f64()))
}

/// What one file asks for.
fn reading(case: &Value) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path());
    fs::create_dir(home.holds_folder()).unwrap();
    let id = case["hold"].as_str().map_or_else(RequestId::marker, |name| RequestId::new(name).unwrap());
    let epoch = Epoch::from(case["epoch"].as_str().unwrap_or_default().to_owned());
    let content = bytes(&case["content"]);
    let path = home.request_path(&id);
    fs::write(&path, &content).unwrap();
    let written = SystemTime::UNIX_EPOCH + Duration::new(WRITTEN, 7);
    fs::File::open(&path).unwrap().set_modified(written).unwrap();
    let seen = scan(&home, &[], &epoch).requests;
    let [seen] = &seen[..] else { panic!("one file is one request: {seen:?}") };
    if seen.nonce.is_none() {
        return json!({"found": "unreadable", "nonce": null});
    }
    let modified = i128::from(WRITTEN) * 1_000_000_000 + 7;
    let now = SystemTime::UNIX_EPOCH + Duration::new(WRITTEN + 100, 7);
    match interpret(&Content { bytes: content, modified }, &id, &epoch, now) {
        Found::Absent => panic!("it is there"),
        Found::Stale { nonce, .. } => {
            assert_eq!(Some(&nonce), seen.nonce.as_ref(), "a look says the same");
            json!({"found": "stale", "nonce": nonce})
        }
        Found::Unreadable { nonce, .. } => {
            assert_eq!(nonce, seen.nonce, "a look says the same");
            json!({"found": "unreadable", "nonce": nonce})
        }
        Found::Valid(asked) => {
            let ageless = |request: &Request| {
                let mut request = request.clone();
                request.age = None;
                request
            };
            assert_eq!(ageless(&asked), ageless(seen), "a look says the same");
            json!({
                "found": "valid", "action": asked.action, "principal": asked.owner, "reason": asked.notes.reason,
                "ticket": asked.notes.ticket,
                "lease_seconds": seconds(asked.lease), "deadline_seconds": seconds(asked.deadline),
                "unready_delay_seconds": seconds(Some(asked.unready_delay)),
                "suppress_notification": asked.suppress_notification, "incarnation": asked.incarnation,
                "generation": asked.generation, "token": asked.token, "nonce": asked.nonce,
                "age_seconds": seconds(asked.age),
            })
        }
    }
}

#[test]
fn each_file_is_read_as_the_vectors_say() {
    each_case("requests.json", reading);
}

#[test]
fn each_name_is_a_hold_or_none_as_the_vectors_say() {
    each_case("names.json", |case| {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path());
        fs::create_dir(home.holds_folder()).unwrap();
        let name = bytes(&case["file"]);
        let name = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(&name);
        fs::write(home.holds_folder().join(name), r#"{"action": "drain"}"#).unwrap();
        let found: Vec<_> = scan(&home, &[], &Epoch::default()).requests;
        json!(found.iter().map(|request| request.id.as_str()).collect::<Vec<_>>())
    });
}

#[test]
fn each_pair_of_epochs_is_one_boot_or_two_as_the_vectors_say() {
    each_case("epochs.json", |case| {
        let [file, gateway] = ["file", "gateway"].map(|which| Epoch::from(case[which].as_str().unwrap().to_owned()));
        assert_eq!(file.differs_from(&gateway), gateway.differs_from(&file));
        json!({"stale": file.differs_from(&gateway)})
    });
}

/// Leaves in a status only the fields that every implementation knows.
fn strip(path: &Path) {
    fn private(name: &str) -> bool {
        name == "takeover" || name.starts_with("x-")
    }
    let mut status: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let drain = status["drain"].as_object_mut().unwrap();
    drain.retain(|name, _| !private(name));
    for list in ["holds", "acknowledged"] {
        for entry in drain[list].as_array_mut().unwrap() {
            entry.as_object_mut().unwrap().retain(|name, _| !private(name));
        }
    }
    fs::write(path, status.to_string()).unwrap();
}

/// A gateway whose time and whose looks the vectors say.
struct Gateway {
    _folder: TempDir,
    home: Home,
    clock: Clock,
    running: Option<Reconciler>,
    /// The processes so far, the one that runs last.
    incarnations: Vec<String>,
    turns: Vec<OwnedPermit>,
    looks: u64,
    writes: u32,
}

impl Gateway {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path().join("home"));
        fs::create_dir_all(home.holds_folder()).unwrap();
        let (running, incarnations, turns) = (None, Vec::new(), Vec::new());
        Self { _folder: folder, home, clock: Clock::manual(), running, incarnations, turns, looks: 0, writes: 0 }
    }

    fn reconciler(&self) -> &Reconciler {
        self.running.as_ref().expect("it was started")
    }

    /// Starts it, unless the vectors have.
    fn start(&mut self) {
        if self.running.is_none() {
            let settings = Settings { clock: self.clock.clone(), ..Settings::default() };
            // A tick that nobody waits for, and no word of changes: each look was asked for, and a step is done before it.
            let never = Duration::from_secs(3600);
            let (tick, refresh, disk_timeout) = (never, never, never);
            let options = Options { settings, tick, refresh, disk_timeout, events: false, ..Options::default() };
            let running = Reconciler::start(self.home.clone(), options).unwrap();
            self.incarnations.push(running.controller().incarnation().to_string());
            self.running = Some(running);
        }
    }

    fn end(&mut self, how: &str) {
        let left = ["gateway_state.json", ".drain_commits.json"].map(|name| self.home.path().join(name));
        let before = left.clone().map(|path| fs::read(path).unwrap());
        if how == "stop" {
            // Unless it has stopped already.
            _ = self.reconciler().controller().begin_shutdown(Duration::ZERO);
            self.look();
        }
        (self.running, self.turns) = (None, Vec::new());
        if how == "kill" {
            for (path, bytes) in left.iter().zip(before) {
                fs::write(path, bytes).unwrap();
            }
        }
    }

    /// The text of a file, in which the process that runs and the one before it are named.
    fn named(&self, text: &str) -> String {
        let mut named = self.incarnations.iter().rev();
        let none = String::new();
        let [now, earlier] = [named.next().unwrap_or(&none), named.next().unwrap_or(&none)];
        let an_hour_ago = (jiff::Timestamp::now() - Duration::from_secs(3600)).to_string();
        text.replace("$incarnation", now)
            .replace("$earlier", earlier)
            .replace("$epoch", Epoch::current().as_str())
            .replace("$an_hour_ago", &an_hour_ago)
    }

    fn replace(&mut self, hold: &str, text: &str) {
        let id = if hold == "marker" { RequestId::marker() } else { RequestId::new(hold).unwrap() };
        let (path, aside) = (self.home.request_path(&id), self.home.path().join(".aside"));
        fs::write(&aside, self.named(text)).unwrap();
        // So long ago that it takes nothing from a lease.
        self.writes += 1;
        let written = SystemTime::UNIX_EPOCH + Duration::new(WRITTEN, self.writes);
        fs::File::open(&aside).and_then(|file| file.set_modified(written)).unwrap();
        fs::rename(&aside, path).unwrap();
    }

    /// What a look may change while only time has passed.
    fn stands(&self) -> Option<(Vec<Hold>, DrainState)> {
        let controller = self.running.as_ref()?.controller();
        Some((controller.holds(), controller.state()))
    }

    /// Takes the acts of one step. False if a look that nobody asked for may have come among them: one that an earlier step has rung
    /// for, in the very moment in which time has passed and the files are yet to follow.
    fn take(&mut self, acts: &Value) -> bool {
        let is_of_files_and_time = acts.as_array().unwrap().iter().flat_map(|act| act.as_object().unwrap().keys());
        let is_of_files_and_time =
            is_of_files_and_time.clone().all(|what| !["start", "end", "shutdown_seconds"].contains(&what.as_str()));
        let before = self.stands();
        self.act(acts);
        !is_of_files_and_time || before == self.stands()
    }

    fn act(&mut self, acts: &Value) {
        for (what, how) in acts.as_array().unwrap().iter().flat_map(|act| act.as_object().unwrap()) {
            match what.as_str() {
                "advance_seconds" => self.clock.advance(Duration::from_secs_f64(how.as_f64().unwrap())),
                "admit" => self.turns.push(self.reconciler().gate().admit_owned().unwrap()),
                "finish" => drop(self.turns.pop().unwrap()),
                "end" => self.end(how.as_str().unwrap()),
                "lose" => {
                    for name in how.as_array().unwrap() {
                        fs::remove_file(self.home.path().join(name.as_str().unwrap())).unwrap();
                    }
                }
                "spoil" => {
                    for name in how.as_array().unwrap() {
                        fs::write(self.home.path().join(name.as_str().unwrap()), "{").unwrap();
                    }
                }
                "strip" => {
                    for name in how.as_array().unwrap() {
                        strip(&self.home.path().join(name.as_str().unwrap()));
                    }
                }
                "start" => self.start(),
                "write" => {
                    for (hold, request) in how.as_object().unwrap() {
                        self.replace(hold, &request.to_string());
                    }
                }
                "put" => {
                    for (hold, text) in how.as_object().unwrap() {
                        self.replace(hold, &String::from_utf8(bytes(text)).unwrap());
                    }
                }
                "remove" => {
                    for hold in how.as_array().unwrap() {
                        let hold = hold.as_str().unwrap();
                        let id = if hold == "marker" { RequestId::marker() } else { RequestId::new(hold).unwrap() };
                        fs::remove_file(self.home.request_path(&id)).unwrap();
                    }
                }
                "shutdown_seconds" => {
                    let deadline = Duration::from_secs_f64(how.as_f64().unwrap());
                    self.reconciler().controller().begin_shutdown(deadline).unwrap();
                }
                other => panic!("no step of a vector: {other}"),
            }
        }
    }

    /// Looks, publishes, and gives the status: twice, so that no look counts that had begun before. A description rings for the look.
    fn look(&mut self) -> Snapshot {
        let mut seen = None;
        for _ in 0..2 {
            self.looks += 1;
            let look = Value::from(self.looks);
            self.reconciler().describe(|description| _ = description.platforms.insert("look".into(), look.clone()));
            seen = Some(until(&self.home, "the look", |seen| seen.description.platforms.get("look") == Some(&look)));
        }
        seen.unwrap()
    }

    fn shows(&mut self) -> Value {
        let status = self.look();
        let drain = &status.drain;
        let hold = |hold: &HoldStatus| {
            json!({
                "request_id": hold.request_id, "owner": hold.owner, "committed": hold.committed, "pending": hold.pending,
                "lease_left": hold.lease_left_seconds.map(f64::round), "overdue": hold.overdue, "token": hold.token,
                "age": hold.age_seconds.round(), "overwritten": hold.overwritten, "bound": hold.bound,
            })
        };
        let mut answers: Vec<_> = drain.acknowledged.iter().map(|answer| json!(answer)).collect();
        answers.sort_by_key(ToString::to_string);
        let mut ignored: Vec<_> = drain.ignored.iter().map(|entry| json!([entry.request_id, entry.kind])).collect();
        ignored.sort_by_key(ToString::to_string);
        let mut holds: Vec<_> = drain.holds.iter().map(hold).collect();
        holds.sort_by_key(ToString::to_string);
        json!({
            "gateway_state": status.gateway_state, "state": drain.state, "generation": drain.generation,
            "in_flight": drain.in_flight, "drained": drain.drained, "pending": drain.pending,
            "suppress_notification": drain.suppress_notification, "active_agents": status.active_agents, "holds": holds, "acknowledged": answers,
            "ignored": ignored, "admits": self.reconciler().gate().admit().is_ok(),
        })
    }
}

#[test]
fn each_look_leads_to_the_status_that_the_vectors_say() {
    each_case("looks.json", |case| {
        let tried = || {
            let mut gateway = Gateway::new();
            let steps = case["steps"].as_array().unwrap().iter().map(|step| {
                let is_undisturbed = gateway.take(&step["do"]);
                gateway.start();
                is_undisturbed.then(|| gateway.shows())
            });
            steps.collect::<Option<Value>>()
        };
        (0..20).find_map(|_| tried()).expect("one time in twenty no look comes among the acts of a step")
    });
}

#[test]
fn the_state_machine_is_data_too() {
    let word = |event: Event| serde_json::to_value(event).unwrap();
    let moves = DrainState::ALL.into_iter().flat_map(|from| {
        Event::ALL.into_iter().map(move |event| match next(from, event) {
            Step::Moves(to) => json!({"from": from, "event": word(event), "moves_to": to}),
            Step::Stays => json!({"from": from, "event": word(event), "stays": true}),
            Step::Refused(why) => json!({"from": from, "event": word(event), "refused": why.to_string()}),
        })
    });
    let states =
        DrainState::ALL.map(|state| json!({"name": state, "admits": state.admits(), "is_ending": state.is_ending()}));
    let machine = json!({
        "requirements": ["STATE-1", "STATE-2", "STATE-3"], "initial": DrainState::Running, "states": states,
        "condition_of_stop": "drained, or by force", "transitions": moves.collect::<Vec<_>>(),
    });
    let wanted = lay_out(&machine, 1) + "\n";
    let path = spec("state-machine.json");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &wanted).unwrap();
    }
    assert_eq!(fs::read_to_string(&path).unwrap_or_default(), wanted, "run with UPDATE_DOCS=1 and read the difference");
}
