//! Kills of every program that writes into a channel, while a gateway runs there under load: a controller, the command line, a
//! dashboard's endpoint with its HTTP clients; before each of their steps and at random times.

use crate::children::{self, Role};
use crate::crashes::{Kills, MOST_STEPS, PART, PATIENCE, Place, WEDGED, commit, hold, latest_end, override_all, whole};
use crate::log::{self, Log, now};
use crate::report::{Row, grouped};
use crate::roles::{LEASE, Pressure, pause, wait_for};
use gateway_drain::hold::{Nonce, Outcome};
use gateway_drain::{Reconciler, Request};
use serde_json::{Value, json};
use std::io;
use std::path::Path;
use std::time::Duration;

/// A gateway under load, whose channel somebody writes into until he is killed.
struct Scene {
    gateway: Reconciler,
    pressure: Pressure,
    log: Log,
    kills: Kills,
    tried: u64,
    /// Dropped last, and so removed once nobody writes into it.
    place: Place,
}

impl Scene {
    fn new() -> Result<Self, String> {
        let place = Place::new().map_err(|error| error.to_string())?;
        let gateway = place.start(Duration::from_millis(2))?;
        let pressure = Pressure::on(gateway.gate(), &place.evidence, 2).map_err(|error| error.to_string())?;
        let log = Log::open(&place.evidence).map_err(|error| error.to_string())?;
        log.say(&format!("up {}", gateway.controller().incarnation()));
        Ok(Self { gateway, pressure, log, kills: Kills::default(), tried: 0, place })
    }

    /// What has to be true after a kill, whenever it came; and the end of whatever is left.
    fn after_the_kill(&mut self, row: &mut Row, when: &str) -> Result<(), String> {
        let Self { place, gateway, log, kills, .. } = self;
        kills.temporary = whole(row, place);
        let holds = gateway.controller().holds();
        for hold in &holds {
            let short = hold.commit.is_some() || hold.expires_at <= latest_end();
            row.must(short, || format!("{when}: no lease ends it in time: {hold:?}"));
        }
        self.tried += 1;
        if holds.iter().all(|hold| hold.commit.is_none()) && self.tried % 16 == 1 {
            let opened = wait_for(WEDGED, || gateway.gate().admit().is_ok().then_some(()));
            row.must(opened.is_some(), || format!("{when}: wedged beyond the lease: {holds:?}"));
            kills.expired += 1;
        }
        // Whatever is left is ended as an operator would, in the evidence first.
        for hold in gateway.controller().holds() {
            log.say(&format!("overriding {}", hold.id));
        }
        let opened = override_all(place, gateway).map_err(|error| error.to_string())?;
        row.must(opened, || format!("{when}: wedged under {:?}", gateway.controller().holds()));
        // A request that the gateway hadn't seen yet, or has ended, may still lie there.
        place.channel.remove(&hold()).map(drop).map_err(|error| error.to_string())
    }

    fn nothing_was_told(&self) -> bool {
        let evidence = std::fs::read_to_string(&self.place.evidence).unwrap_or_default();
        !evidence.contains(" drained ") && !evidence.contains(" committed ")
    }

    /// Ends the load, and writes what was told and whether it was true into the row.
    fn ends(mut self, row: &mut Row, writer: &Writer) -> Result<(), String> {
        // All may have been killed too early; one that nobody kills is told something, at the latest when the machine is
        // less busy than its lease is long.
        for _ in 0..20 {
            if self.nothing_was_told() {
                writer.killed_at(&self, u64::MAX)?;
                self.after_the_kill(row, "after a life that nobody ended")?;
            }
        }
        self.pressure.ends();
        let audit = log::audit(&self.place.evidence).map_err(|error| error.to_string())?;
        row.times += self.kills.count();
        row.happened = format!(
            "{}. {} turns pressed on the gate; told drained {}, committed {}, all of it true; {} times the lease was \
             left to run out, and did; {} temporary files left.",
            self.kills.steps(),
            grouped(audit.turns as u64),
            grouped(audit.told_drained as u64),
            grouped(audit.told_committed as u64),
            self.kills.expired,
            self.kills.temporary
        );
        row.must(audit.told_drained + audit.told_committed > 0, || "nothing was told".into());
        row.must(audit.turns > 0, || "nothing ran".into());
        audit.false_words.into_iter().for_each(|word| row.must(false, || word));
        Ok(())
    }
}

/// What writes: how it is started, and what is done with it until it ends or is killed.
pub struct Writer {
    role: fn(&Place) -> Vec<String>,
    /// Whether a line that it prints is a token, and so says that it may act.
    prints_token: bool,
    /// What has to be there before.
    before: Before,
    uses: fn(&Scene, &mut Role),
}

/// What a writer finds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    Held,
    Committed,
}

fn let_it(_: &Scene, _: &mut Role) {}

pub const CONTROLLER: Writer = Writer {
    role: |place| children::controller(place.home.path(), &place.evidence, "stepped", 1),
    prints_token: false,
    before: Before::Nothing,
    uses: let_it,
};

pub const ENDPOINT: Writer = Writer {
    role: |place| children::endpoint(place.home.path()),
    prints_token: false,
    before: Before::Nothing,
    uses: clients_of_an_endpoint,
};

const RUN: Writer = Writer {
    role: |place| {
        let evidence = place.evidence.to_string_lossy();
        let run = ["run", "--id", "a", "--lease", "1s", "--", children::THIS_PROGRAM, "act", "--evidence", &evidence];
        children::tool(place.home.path(), &run)
    },
    prints_token: false,
    before: Before::Nothing,
    uses: let_it,
};

/// The commands that write, each in what it is made for.
pub const COMMANDS: [Writer; 6] = [
    RUN,
    command(Before::Nothing, |place| children::tool(place.home.path(), &["begin", "a", "--lease", "1s"])),
    command(Before::Held, |place| children::tool(place.home.path(), &["wait", "a", "--timeout", "2s"])),
    command(Before::Held, |place| children::tool(place.home.path(), &["renew", "a", "--lease", "1s"])),
    Writer {
        role: |place| children::tool(place.home.path(), &["commit", "a"]),
        prints_token: true,
        before: Before::Held,
        uses: let_it,
    },
    command(Before::Committed, |place| {
        let token = std::fs::read_to_string(place.token()).unwrap_or_default();
        children::tool(place.home.path(), &["cancel", "a", "--token", &token])
    }),
];

const fn command(before: Before, role: fn(&Place) -> Vec<String>) -> Writer {
    Writer { role, prints_token: false, before, uses: let_it }
}

impl Writer {
    fn set(&self, scene: &Scene) -> Result<(), String> {
        let text = |error: io::Error| error.to_string();
        let Scene { place, gateway, .. } = scene;
        if self.before == Before::Nothing {
            return Ok(());
        }
        // A commit has no lease, so that one may be long which leads to it.
        let lease = if self.before == Before::Committed { LEASE * 60 } else { LEASE };
        let begin = Request::begin(hold(), "ann").lease(lease);
        let held = place.ask(gateway, &begin).map_err(text)?;
        if self.before == Before::Committed {
            wait_for(PATIENCE, || gateway.gate().reading().drained.then_some(())).ok_or("never drained")?;
            let commit = commit(&gateway.snapshot());
            let outcome = place.ask(gateway, &commit).map_err(text)?;
            if outcome != Some(Outcome::Committed) {
                return Err(format!("the scene can't be set: {held:?}, {outcome:?}"));
            }
            let token = commit.nonce.as_ref().map_or("", Nonce::as_str);
            std::fs::write(place.token(), token).map_err(text)?;
        }
        Ok(())
    }

    /// One life that ends before step `at`; gives the step, or nothing if it ended by itself before.
    fn killed_at(&self, scene: &Scene, at: u64) -> Result<Option<String>, String> {
        let text = |error: io::Error| error.to_string();
        self.set(scene)?;
        let mut writer = Role::stepped(at, 0, &(self.role)(&scene.place)).map_err(text)?;
        (self.uses)(scene, &mut writer);
        let printed = writer.ends().map_err(text)?;
        let said = |line: &&String| !["traced ", "killed ", "ended"].iter().any(|word| line.starts_with(word));
        if self.prints_token && printed.iter().any(|line| said(&line)) {
            scene.log.say("committed a");
            if !scene.gateway.gate().reading().drained {
                return Err(format!("it was told that it may act, and the gate isn't drained: {printed:?}"));
            }
        }
        Ok(printed.iter().find_map(|line| line.strip_prefix("killed ")).map(str::to_owned))
    }
}

/// Each writer in turn, killed before each of its steps.
pub fn at_each_step(tried: &'static str, writers: &[Writer], stride: u64) -> Row {
    let mut row = Row::new(PART, tried, "kills");
    let result = each_step(&mut row, writers, stride);
    row.some("the run", result);
    row
}

fn each_step(row: &mut Row, writers: &[Writer], stride: u64) -> Result<(), String> {
    let mut scene = Scene::new()?;
    for (number, writer) in writers.iter().enumerate() {
        let mut at = 1;
        while at < MOST_STEPS {
            let killed = writer.killed_at(&scene, at)?;
            scene.after_the_kill(row, &format!("writer {number}, before step {at} ({killed:?})"))?;
            let Some(step) = killed else { break };
            *scene.kills.steps.entry(step).or_default() += 1;
            at += stride;
        }
        row.must(at < MOST_STEPS, || format!("writer {number}: the sequence has no end"));
    }
    scene.ends(row, &writers[0])
}

/// The command line's `run` and the endpoint in turn, each killed at a random time.
pub fn at_random_times(kills: u64, seed: u64) -> Row {
    let tried = "`gateway-drain run`, and a dashboard's endpoint under its clients, killed at a random time";
    let mut row = Row::new(PART, tried, "kills");
    let result = random_times(&mut row, kills, seed);
    row.some("the run", result);
    row
}

fn random_times(row: &mut Row, kills: u64, seed: u64) -> Result<(), String> {
    let text = |error: io::Error| error.to_string();
    let mut scene = Scene::new()?;
    let mut random = fastrand::Rng::with_seed(seed);
    let mut tries = 0;
    while scene.kills.count() < kills && tries < kills * 4 {
        tries += 1;
        let (name, writer) = if tries % 2 == 0 { ("run", &RUN) } else { ("endpoint", &ENDPOINT) };
        let mut role = Role::start(&(writer.role)(&scene.place)).map_err(text)?;
        let after = Duration::from_micros(random.u64(..100_000));
        let pid = role.process();
        std::thread::scope(|threads| {
            threads.spawn(move || {
                pause(after);
                // It may have ended already; its number is its own until it has been waited for.
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            });
            (writer.uses)(&scene, &mut role);
        });
        // An act that was begun goes on without the command line: only its end is the end.
        role.ends().map_err(text)?;
        scene.after_the_kill(row, &format!("{name}, after {after:?}"))?;
        if role.was_killed() {
            *scene.kills.steps.entry(name.into()).or_default() += 1;
        }
    }
    scene.ends(row, &RUN)
}

/// Two clients of an endpoint, one after the other: one of the marker, one of a hold of its own that it commits. Both end
/// as soon as the endpoint doesn't answer any more.
fn clients_of_an_endpoint(scene: &Scene, endpoint: &mut Role) {
    let Ok(line) = endpoint.line() else { return };
    let Some(address) = line.strip_prefix("up ") else { return };
    let client = Client::of(address);
    if client.marker().is_some() {
        client.hold(&scene.log);
    }
}

struct Client {
    agent: ureq::Agent,
    url: String,
}

impl Client {
    fn of(address: &str) -> Self {
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).build();
        Self { agent: config.into(), url: format!("http://{address}/api/gateway/drain") }
    }

    /// The answer's code and what it says; nothing if there is no whole answer.
    fn ask(&self, body: &Value) -> Option<(u16, Value)> {
        let request = self.agent.post(&self.url).header("authorization", format!("Bearer {}", children::SECRET));
        let mut answer = request.header("prefer", "wait=5").send(body.to_string()).ok()?;
        let text = answer.body_mut().read_to_string().ok()?;
        Some((answer.status().as_u16(), serde_json::from_str(&text).ok()?))
    }

    /// The reference's answers name no process and grant nothing: there is nothing to be written down of them.
    fn marker(&self) -> Option<()> {
        self.ask(&json!({"action": "drain", "lease_seconds": 1}))?;
        self.ask(&json!({"action": "cancel"})).map(drop)
    }

    fn hold(&self, log: &Log) -> Option<()> {
        let asked = now();
        let (_, said) = self.ask(&json!({"action": "drain", "request_id": "a", "lease_seconds": 1}))?;
        let (incarnation, generation) = (&said["gateway"]["incarnation"], &said["gateway"]["generation"]);
        if said["gateway"]["drained"] == true {
            log.say(&format!("drained a {} {asked}", incarnation.as_str()?));
        }
        let commit =
            json!({"action": "commit", "request_id": "a", "incarnation": incarnation, "generation": generation});
        let (code, said) = self.ask(&commit)?;
        if code == 200 && said["outcome"] == "committed" {
            log.say("committed a");
            pause(Duration::from_millis(2));
        }
        log.say("withdrawing a");
        self.ask(&json!({"action": "cancel", "request_id": "a", "token": said["nonce"]})).map(drop)
    }
}

/// What the command of `gateway-drain run` does: it relies on being alone.
pub fn act(evidence: &Path) -> io::Result<()> {
    let id = std::env::var("GATEWAY_DRAIN_REQUEST_ID").map_err(io::Error::other)?;
    let log = Log::open(evidence)?;
    log.say(&format!("committed {id}"));
    pause(Duration::from_millis(2));
    log.say(&format!("withdrawing {id}"));
    Ok(())
}
