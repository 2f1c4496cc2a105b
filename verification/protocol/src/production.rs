//! The bridge to production: small numbers for its values, and its own functions for every step between them.
//!
//! A [`HoldSet`], the answers to a look and a file are kept as numbers in a state, and looked up when something happens to
//! them. What then happens is decided by the crate: `interpret` reads the bytes that `to_bytes` wrote, [`Scan::take`] makes
//! requests of them, [`HoldSet::reconcile`] decides these, `Snapshot` carries the holds to the next process. Each is pure,
//! so what it answered once for the same arguments is remembered. Time stands at [`NOW`] and holds move past it instead:
//! a tick takes one [`TICK`] off what is left of each lease, which is the same for code that only compares and adds. So time
//! has no bound here.

mod endpoint;

use crate::explorer::Map;
use crate::refines::{self, Abstract};
use gateway_drain::client::{Conclusion, concluded};
use gateway_drain::control::{Epoch, Found, read::Content};
use gateway_drain::control::{
    request_file::{interpret, to_bytes},
    scan::{Memory, Scan},
};
use gateway_drain::gate::Reading;
use gateway_drain::hold::{
    Acknowledgement, Action, Facts, Hold, Incarnation, LeasePolicy, Nonce, Notes, Outcome, Source,
};
use gateway_drain::state::DrainState;
use gateway_drain::status::{CommitRecord, HoldStatus, Takeover, take_over};
use gateway_drain::{Event, HoldSet, Request, RequestId, Snapshot};
use serde_json::json;
use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant, SystemTime};

/// Where the clock stands.
pub const NOW: Duration = Duration::from_secs(1_000_000);
/// By how much it moves.
pub const TICK: Duration = Duration::from_secs(100);
/// How many nonces can be told apart in one place. A nonce is used again once nothing bears it any more.
pub const NONCES: u8 = 13;

/// Where a request can lie: the marker, and the hold files of the controllers A and B.
pub const PLACES: usize = 3;
/// The marker's place.
pub const MARKER: usize = 0;

/// What lies in a place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct File {
    /// What it says.
    pub kind: Kind,
    /// Its nonce; of a file that bears none, what tells it from the next: its modification time.
    pub nonce: u8,
    /// The token of a withdrawal.
    pub token: u8,
    /// Which drain a commit has seen.
    pub drain: Drain,
}

/// What a file says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// There is no file.
    #[default]
    Absent,
    /// Begin, or renew.
    Begin,
    /// Commit.
    Commit,
    /// Withdraw, bearing a token.
    Withdraw,
    /// Somebody else ends the hold.
    Override,
    /// `touch`.
    Empty,
    /// Half a file, or no JSON at all.
    Torn,
    /// Written in another epoch.
    Foreign,
    /// As the reference writes it: without a nonce.
    Reference,
    /// Another owner's begin, which is refused.
    Stranger,
}

/// Which drain somebody has seen, as it is now. Only equality with the current one matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Drain {
    /// One of another process.
    #[default]
    OtherProcess,
    /// An earlier one of this process.
    Earlier,
    /// The latest one of this process.
    Current,
}

/// How a wall clock stands to the timestamps in the files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Wall {
    /// Nothing has happened to it.
    #[default]
    True,
    /// A file looks one tick old at once.
    Ahead,
    /// A file looks older than any lease.
    FarAhead,
    /// A file comes from the future.
    Behind,
}

impl Wall {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::True, Self::Ahead, Self::FarAhead, Self::Behind];
}

/// What is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Status {
    /// Of which drain it tells.
    pub drain: Drain,
    /// The state it shows.
    pub state: DrainState,
    /// Whether it shows the gateway drained.
    pub drained: bool,
    /// The answers in it.
    pub answers: u16,
    /// What it leaves to a successor.
    pub takeover: u16,
}

/// A rule that a run leaves out, to see that something notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Seed {
    /// A commit ends with its file.
    CommitEndsWithItsFile,
    /// A restart takes over no committed hold.
    CommitIsNotRestored,
    /// A waiter believes a status that doesn't acknowledge its nonce.
    NoNonce,
    /// A waiter believes the status of a dead gateway.
    NoLock,
    /// A commit is granted whatever is in flight, and whichever drain its owner saw.
    CommitOfAnyDrain,
    /// A committed hold's lease goes on.
    CommittedLeaseRunsOut,
    /// A committed hold is withdrawn by any writer of its file.
    NoToken,
    /// One controller's withdrawal ends every hold.
    WithdrawalEndsAll,
    /// Leases run on the wall clock.
    LeaseOnTheWallClock,
    /// A request of another epoch is honoured.
    AnyEpoch,
    /// What can't be read counts as absent.
    UnreadableIsAbsent,
    /// Work is admitted before the first look.
    AdmitsBeforeTheLook,
    /// The gate follows the holds out of a shutdown.
    ReopensFromShutdown,
    /// The status says what the last request wanted, not what the gate does.
    StatusIsLastWriterWins,
    /// A finished drain doesn't reopen the gate.
    StaysClosed,
    /// A lease never runs out.
    LeaseNeverEnds,
    /// A shutdown isn't forced.
    NeverForced,
    /// The endpoint answers with its own reading of the file.
    EndpointReadsTheFile,
    /// The end of a drain shuts the gateway down.
    EndDrainShutsDown,
    /// What a commit was refused for is forgotten.
    RefusalIsForgotten,
    /// A stopped gateway that looks at its files runs again.
    StoppedRunsAgain,
    /// A forced stop doesn't record that it abandoned work.
    AbandonedIsNotRecorded,
    /// A turn enters while the gate drains.
    AdmitsWhileDraining,
    /// Internal work enters a drained gate.
    InternalIsNotSealed,
    /// A write of another epoch counts as the absence of what it lies over.
    StaleIsAbsent,
    /// What vanishes after somebody else's write withdraws the hold.
    AbsenceIsAlwaysAWithdrawal,
    /// A shutdown takes in the holds that are kept in files.
    ShutdownForgetsFiles,
    /// The record of commits isn't written.
    CommitIsNotRecorded,
    /// A renewal of a committed hold is honoured, and a file that says commit counts as one: so it was before there was a
    /// record.
    FileIsTheSecondTrace,
    /// A commit that is on no record counts as granted.
    UnprovenCommitIsGranted,
    /// A process without descriptors takes what it can't look at for absent.
    ShortageIsAbsence,
    /// A process without descriptors holds its gate closed, whatever its last look has found.
    ShortageIsBlindness,
    /// A reconciler that is dropped leaves its gate as it is.
    DroppedGateStaysOpen,
    /// The endpoint writes whatever it is asked to.
    EndpointWritesAnything,
}

/// What a look made of the holds and the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Looked {
    /// The holds then.
    pub holds: u16,
    /// The property that this very look breaks, if any.
    pub breaks: Option<&'static str>,
}

/// What a state wants to know of a number that stands for a hold set.
#[derive(Clone, Debug)]
pub struct AboutHolds {
    /// Which nonces it bears, as a bit set for each place.
    pub nonces: [u16; PLACES],
    /// What has to happen to a gate in each of the four states.
    pub moves: [Option<Event>; 4],
    /// Whether it closes the gate.
    pub closes: bool,
    /// Which places have a hold.
    pub held: [bool; PLACES],
    /// The token of the committed hold in each place; 0 if there is none.
    pub token: [u8; PLACES],
    /// What it answers to each write that lies there.
    pub answers: u16,
}

/// What a state wants to know of a number that stands for answers.
#[derive(Clone, Debug)]
pub struct AboutAnswers {
    /// Which nonces they bear.
    pub nonces: [u16; PLACES],
    /// Each answer: place, nonce, outcome.
    pub given: Vec<(usize, u8, Outcome)>,
}

/// All that a look depends on: the holds, the files, drained, shutting down, the wall clock, and whether it was blind.
type LookAt = (u16, [File; PLACES], bool, bool, Wall, bool);

/// All that a start depends on that finds no status: the record, the files and the wall clock.
type StartFrom = (Option<u16>, [File; PLACES], Wall);

/// All that a reader's conclusion depends on: state, drained, answers and holds of the status; the place and the nonce.
type ReadAt = (DrainState, bool, u16, u16, usize, u8);

/// The values behind the numbers.
pub struct Production {
    lease: u32,
    seed: Option<Seed>,
    policy: LeasePolicy,
    epoch: Epoch,
    incarnations: [Incarnation; 2],
    names: HashMap<(usize, Nonce), u8>,
    nonces: [Vec<Nonce>; PLACES],
    blank: Snapshot,
    sets: Vec<HoldSet>,
    about_sets: Vec<AboutHolds>,
    set_numbers: HashMap<HoldSet, u16>,
    answers: Vec<Vec<Acknowledgement>>,
    about_answers: Vec<AboutAnswers>,
    looks: Map<LookAt, Looked>,
    short_looks: Map<LookAt, Looked>,
    ticks: Map<u16, u16>,
    statuses: Map<(u16, u8), Status>,
    absorbed: Map<u16, u16>,
    grants: Map<LookAt, Option<u16>>,
    records: Map<u16, u16>,
    starts: Map<StartFrom, u16>,
    conclusions: Map<ReadAt, Conclusion>,
    plans: Map<endpoint::SeenAt, Option<&'static str>>,
}

/// No holds, no answers: the first of each.
pub const NONE: u16 = 0;

const NAMES: [char; PLACES] = ['m', 'a', 'b'];

/// The request id of a place.
pub fn id_of(place: usize) -> RequestId {
    match place {
        MARKER => RequestId::marker(),
        place => RequestId::new(NAMES[place].to_string()).expect("a letter is a request id"),
    }
}

/// To whom the hold of a place belongs.
pub const OWNERS: [&str; PLACES] = ["dashboard", "alice", "bob"];

/// When all files were written, by their own account.
fn written() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

impl Production {
    /// With leases of so many ticks, and perhaps without a rule.
    pub fn new(lease: u32, seed: Option<Seed>) -> Self {
        let blank = json!({
            "gateway_state": "running", "active_agents": 0, "pid": 1, "start_time": null, "argv": [], "kind": "gateway",
            "restart_requested": false, "exit_reason": null, "platforms": {}, "updated_at": "",
            "drain": {
                "format": 2, "state": "running", "generation": 0, "incarnation": "", "epoch": "", "in_flight": 0, "internal": 0,
                "drained": false, "interrupted": false, "abandoned": false, "pending": false, "stalled": false,
                "suppress_notification": false, "holds": [], "active_work": [], "acknowledged": [], "ignored": [],
                "reconciler": {"alive": true, "errors": 0, "panics": 0, "last_error": null},
                "revision": 1, "clock_millis": 0,
            },
        });
        let mut production = Self {
            lease,
            seed,
            policy: LeasePolicy { default: TICK * lease, max: TICK * lease, ..LeasePolicy::default() },
            epoch: Epoch::from("boot:1".to_owned()),
            incarnations: ["another".to_owned(), "this".to_owned()].map(Incarnation::from),
            names: HashMap::new(),
            nonces: Default::default(),
            blank: Snapshot::from_bytes(blank.to_string().as_bytes()).expect("a status of this crate's making"),
            sets: Vec::new(),
            about_sets: Vec::new(),
            set_numbers: HashMap::new(),
            answers: Vec::new(),
            about_answers: Vec::new(),
            looks: Map::default(),
            short_looks: Map::default(),
            ticks: Map::default(),
            statuses: Map::default(),
            absorbed: Map::default(),
            grants: Map::default(),
            records: Map::default(),
            starts: Map::default(),
            conclusions: Map::default(),
            plans: Map::default(),
        };
        for (place, name) in NAMES.into_iter().enumerate() {
            // The nonce of a file of another epoch, which nobody should ever get to see.
            production.names.insert((place, Nonce::from(format!("{name}0"))), 0);
            for nonce in 1..=NONCES {
                for kind in [Kind::Begin, Kind::Empty, Kind::Torn, Kind::Reference] {
                    let file = File { kind, nonce, ..File::default() };
                    let bears = match production.find(place, file, Wall::True) {
                        Found::Valid(request) => request.nonce,
                        Found::Unreadable { nonce, .. } => nonce,
                        Found::Absent | Found::Stale { .. } => None,
                    };
                    let bears = bears.expect("each of these bears a nonce");
                    production.nonces[place].push(bears.clone());
                    let earlier = production.names.insert((place, bears), nonce);
                    assert!(earlier.is_none(), "two different files bear one nonce");
                }
            }
        }
        production.answered(Vec::new());
        production.set(HoldSet::new(production.policy));
        production
    }

    /// What is known of a hold set.
    pub fn holds(&self, number: u16) -> &AboutHolds {
        &self.about_sets[number as usize]
    }

    /// The hold set itself.
    pub fn hold_set(&self, number: u16) -> &HoldSet {
        &self.sets[number as usize]
    }

    /// What is known of a look's answers.
    pub fn answers(&self, number: u16) -> &AboutAnswers {
        &self.about_answers[number as usize]
    }

    /// What the gateway's status says of a write of its.
    pub fn answer(&self, answers: u16, place: usize, nonce: u8) -> Option<Outcome> {
        let given = &self.answers(answers).given;
        given.iter().find(|(at, of, _)| (*at, *of) == (place, nonce)).map(|(_, _, outcome)| *outcome)
    }

    /// What production's client makes of a status, that has just written this in this place and sees no other.
    pub fn concluded(&mut self, status: Status, place: usize, nonce: u8) -> Conclusion {
        let key = (status.state, status.drained, status.answers, status.takeover, place, nonce);
        if let Some(concluded) = self.conclusions.get(&key) {
            return *concluded;
        }
        let mut drain = self.blank.drain.clone();
        (drain.state, drain.drained) = (status.state, status.drained);
        drain.holds = self.sets[status.takeover as usize].iter().map(|hold| HoldStatus::of(hold, NOW)).collect();
        drain.acknowledged.clone_from(&self.answers[status.answers as usize]);
        let written = Nonce::from(format!("{}{nonce}", NAMES[place]));
        let concluded = concluded(drain, &id_of(place), &written);
        self.conclusions.insert(key, concluded);
        concluded
    }

    /// How many different hold sets and lists of answers came up.
    pub fn sizes(&self) -> (usize, usize) {
        (self.sets.len(), self.answers.len())
    }

    fn name(&self, place: usize, nonce: &Nonce) -> u8 {
        self.names.get(&(place, nonce.clone())).copied().expect("every nonce in the model is one of its own")
    }

    /// The bytes that lie in a place, by the crate's own writer.
    fn bytes(&self, place: usize, file: File) -> Vec<u8> {
        let own = Nonce::from(format!("{}{}", NAMES[place], file.nonce));
        let id = id_of(place);
        let mut request = match file.kind {
            Kind::Absent | Kind::Empty => return Vec::new(),
            Kind::Torn => return b"{\"action\": \"dra".to_vec(),
            Kind::Begin | Kind::Foreign | Kind::Reference => Request::begin(id, OWNERS[place]),
            Kind::Commit => {
                let incarnation = self.incarnations[usize::from(file.drain != Drain::OtherProcess)].clone();
                let current = file.drain == Drain::Current || self.seed == Some(Seed::CommitOfAnyDrain);
                let generation = reading(DrainState::Running, current, false).generation;
                Request::commit(id, OWNERS[place], incarnation, generation)
            }
            Kind::Withdraw => Request::withdraw(id, OWNERS[place]),
            Kind::Override => Request::override_hold(id, "operator"),
            Kind::Stranger => Request::begin(id, "mallory"),
        };
        if file.token != 0 {
            request.token = Some(Nonce::from(format!("{}{}", NAMES[place], file.token)));
        }
        request.nonce = Some(own).filter(|_| file.kind != Kind::Reference);
        let epoch = if file.kind == Kind::Foreign { Epoch::from("boot:0".to_owned()) } else { self.epoch.clone() };
        // The model's time stands still, so the timestamp has to.
        let bytes = to_bytes(&request, &epoch);
        let mut fields: serde_json::Value = serde_json::from_slice(&bytes).expect("the writer writes JSON");
        fields["requested_at"] = json!("2027-01-15T08:00:00+00:00");
        fields.to_string().into_bytes()
    }

    fn find(&self, place: usize, file: File, wall: Wall) -> Found {
        if file.kind == Kind::Absent {
            return Found::Absent;
        }
        let modified = 1_800_000_000_000_000_000 + i128::from(file.nonce);
        let wall = match wall {
            Wall::True => written(),
            Wall::Ahead => written() + TICK,
            Wall::FarAhead => written() + TICK * 1000,
            Wall::Behind => written() - TICK,
        };
        let content = Content { bytes: self.bytes(place, file), modified };
        let ours = if self.seed == Some(Seed::AnyEpoch) { Epoch::default() } else { self.epoch.clone() };
        interpret(&content, &id_of(place), &ours, wall)
    }

    fn scan(&self, files: &[File; PLACES], wall: Wall) -> Scan {
        let mut scan = Scan::empty();
        for (place, file) in files.iter().enumerate() {
            let mut found = self.find(place, *file, wall);
            if self.seed == Some(Seed::UnreadableIsAbsent) && matches!(found, Found::Unreadable { .. }) {
                found = Found::Absent;
            }
            scan.take(&id_of(place), found, &self.epoch);
        }
        if self.seed == Some(Seed::StaleIsAbsent) {
            let stale: Vec<_> = scan.requests.iter().filter(|request| request.stale).map(|r| r.id.clone()).collect();
            scan.requests.retain(|request| !request.stale);
            scan.absent.extend(stale);
        }
        scan
    }

    /// The number of a hold set, with its times put into the one form that they can be compared in.
    fn set(&mut self, mut set: HoldSet) -> u16 {
        for hold in set.iter().cloned().collect::<Vec<Hold>>() {
            let mut same = hold;
            // These only feed what people read.
            same.first_seen = Duration::ZERO;
            same.notes = Notes::default();
            // A moment that has come makes no further difference, nor does the lease of a committed hold.
            same.closes_at = if same.closes_at <= NOW { Duration::ZERO } else { same.closes_at };
            same.expires_at = same.expires_at.max(NOW);
            if let Some(commit) = &mut same.commit {
                commit.at = Duration::ZERO;
                if self.seed != Some(Seed::CommittedLeaseRunsOut) {
                    same.expires_at = NOW;
                }
            }
            set.restore(same);
        }
        if let Some(number) = self.set_numbers.get(&set) {
            return *number;
        }
        let mut about = self.about(&set);
        about.answers = self.answered(set.acknowledged(NOW));
        let number = u16::try_from(self.sets.len()).expect("fewer than 2^16 hold sets");
        self.sets.push(set.clone());
        self.about_sets.push(about);
        self.set_numbers.insert(set, number);
        number
    }

    fn about(&self, set: &HoldSet) -> AboutHolds {
        let mut about = AboutHolds {
            nonces: [0; PLACES],
            moves: DrainState::ALL.map(|state| set.moves(state, NOW)),
            closes: set.closes(NOW),
            held: [false; PLACES],
            token: [0; PLACES],
            answers: NONE,
        };
        for place in 0..PLACES {
            let id = id_of(place);
            let hold = set.get(&id, Source::File);
            about.held[place] = hold.is_some();
            let token = hold.and_then(|hold| hold.commit.as_ref()).map(|commit| self.name(place, &commit.token));
            about.token[place] = token.unwrap_or(0);
            if let Some(token) = token {
                about.nonces[place] |= 1 << token;
            }
            for nonce in &self.nonces[place] {
                if set.standing(&id, Source::File, Some(nonce), NOW).is_some() {
                    about.nonces[place] |= 1 << self.name(place, nonce);
                }
            }
        }
        about
    }

    fn answered(&mut self, given: Vec<Acknowledgement>) -> u16 {
        if let Some(number) = self.answers.iter().position(|known| *known == given) {
            return u16::try_from(number).expect("few answers");
        }
        let mut about = AboutAnswers { nonces: [0; PLACES], given: Vec::new() };
        for answer in &given {
            if let Some(nonce) = &answer.nonce {
                let place = (0..PLACES).find(|place| id_of(*place) == answer.request_id).expect("one of three places");
                let name = self.name(place, nonce);
                about.nonces[place] |= 1 << name;
                about.given.push((place, name, answer.outcome));
            }
        }
        self.answers.push(given);
        self.about_answers.push(about);
        u16::try_from(self.answers.len() - 1).expect("few answers")
    }

    fn facts_of(&self, gate: &Reading) -> Reading {
        let drained = gate.drained || self.seed == Some(Seed::CommitOfAnyDrain);
        reading(gate.state, true, drained)
    }

    fn looked_at(holds: u16, files: &[File; PLACES], gate: &Reading, wall: Wall, blind: bool) -> LookAt {
        (holds, *files, gate.drained, gate.state.is_ending(), wall, blind)
    }

    /// The commits that stand after a look that grants one, as a record keeps them; none if it grants none.
    pub fn grants(&mut self, holds: u16, files: &[File; PLACES], gate: &Reading, wall: Wall) -> Option<u16> {
        let key = Self::looked_at(holds, files, gate, wall, false);
        if let Some(grants) = self.grants.get(&key) {
            return *grants;
        }
        let scan = self.scan(files, wall);
        let incarnation = self.incarnations[1].clone();
        let facts = Facts::of(&incarnation, self.facts_of(gate));
        let set = self.sets[holds as usize].clone();
        let commits = set.grants(&scan.requests, |id| scan.is_absent(id), &facts, NOW);
        let grants = commits.map(|commits| self.recorded(&commits));
        self.grants.insert(key, grants);
        grants
    }

    /// What a successor would take over from a record of these commits.
    fn recorded(&mut self, commits: &[Hold]) -> u16 {
        let record = CommitRecord::new(commits, &self.epoch, NOW);
        let other = Epoch::from("boot:2".to_owned());
        let after_reboot = take_over(None, Some(&record), Vec::new, &other, self.policy, NOW);
        assert_eq!(after_reboot, HoldSet::new(self.policy), "C3: a new epoch takes over nothing");
        let set = take_over(None, Some(&record), Vec::new, &self.epoch, self.policy, NOW);
        self.set(set)
    }

    /// The commits that stand, as a record keeps them.
    pub fn record(&mut self, holds: u16) -> u16 {
        if let Some(number) = self.records.get(&holds) {
            return *number;
        }
        let commits = self.sets[holds as usize].commits();
        let number = self.recorded(&commits);
        self.records.insert(holds, number);
        number
    }

    /// One look at the files. What it grants is on record.
    pub fn look(&mut self, holds: u16, files: &[File; PLACES], gate: &Reading, wall: Wall, blind: bool) -> Looked {
        let key = Self::looked_at(holds, files, gate, wall, blind);
        if let Some(looked) = self.looks.get(&key) {
            return *looked;
        }
        let before = self.sets[holds as usize].clone();
        let mut after = before.clone();
        if self.seed == Some(Seed::LeaseNeverEnds) {
            for hold in before.iter().filter(|hold| hold.commit.is_none()).cloned() {
                let mut endless = hold;
                endless.expires_at = endless.expires_at.max(NOW + TICK);
                after.restore(endless);
            }
        }
        let scan = if blind { Scan::blind("") } else { self.scan(files, wall) };
        let incarnation = self.incarnations[1].clone();
        let all: BTreeSet<Nonce> = scan.requests.iter().filter_map(|request| request.nonce.clone()).collect();
        let facts = Facts { recorded: Some(&all), ..Facts::of(&incarnation, self.facts_of(gate)) };
        if !blind {
            self.leave_out_before(&mut after, files, &facts);
        }
        after.reconcile(&scan.requests, |id| scan.is_absent(id), &facts, NOW);
        self.leave_out_after(&mut after, &before, wall);
        if self.seed.is_none() {
            for (place, file) in files.iter().enumerate() {
                let (was, is) = (Abstract::of(&before, place), Abstract::of(&after, place));
                let written = scan.requests.iter().find(|request| request.id == id_of(place));
                let nonce = written.and_then(|request| request.nonce.as_ref()).map_or("", Nonce::as_str);
                let refines = refines::look(&was, &is, place, *file, nonce, refines::Gate::of(gate), blind);
                assert!(
                    refines,
                    "no instance of the proved relation: {was:?} by {file:?} to {is:?}, blind {blind}, {gate:?}"
                );
            }
        }
        let breaks = crate::invariants::of_a_look(&before, &after, files, &scan, blind, gate.state.is_ending());
        let looked = Looked { holds: self.set(after), breaks };
        self.looks.insert(key, looked);
        looked
    }

    /// A look of a process that has no descriptor left, after one that has found these files.
    pub fn short_look(&mut self, holds: u16, found: &[File; PLACES], gate: &Reading, wall: Wall) -> Looked {
        let key = Self::looked_at(holds, found, gate, wall, false);
        if let Some(looked) = self.short_looks.get(&key) {
            return *looked;
        }
        let before = self.sets[holds as usize].clone();
        let (mut memory, now) = (Memory::default(), Instant::now());
        memory.settle(self.scan(found, wall), now);
        let short = Scan { shortage: Some("no descriptor is left".into()), ..Scan::blind("") };
        let scan = match self.seed {
            Some(Seed::ShortageIsAbsence) => self.scan(&[File::default(); PLACES], wall),
            Some(Seed::ShortageIsBlindness) => short,
            _ => memory.settle(short, now),
        };
        let incarnation = self.incarnations[1].clone();
        let facts = Facts { recorded: Some(&BTreeSet::new()), ..Facts::of(&incarnation, self.facts_of(gate)) };
        let mut after = before.clone();
        after.reconcile(&scan.requests, |id| scan.is_absent(id), &facts, NOW);
        let breaks = crate::invariants::of_a_short_look(&before, &after);
        let looked = Looked { holds: self.set(after), breaks };
        self.short_looks.insert(key, looked);
        looked
    }

    /// Ends a hold against the rules, by the one request that may.
    fn end(&self, set: &mut HoldSet, id: &RequestId) {
        let facts = Facts::of(&self.incarnations[1], reading(DrainState::ExternalDraining, true, false));
        set.apply(&Request::override_hold(id.clone(), "a rule left out"), &facts, NOW);
    }

    fn leave_out_before(&self, set: &mut HoldSet, files: &[File; PLACES], facts: &Facts<'_>) {
        if self.seed == Some(Seed::RefusalIsForgotten) {
            let mut without = HoldSet::new(self.policy);
            set.iter().cloned().for_each(|hold| without.restore(hold));
            let refused = |answer: &&Acknowledgement| matches!(answer.outcome, Outcome::Refused(_));
            set.acknowledged(NOW).iter().filter(|a| !refused(a)).for_each(|answer| without.restore_answer(answer));
            *set = without;
        }
        for (place, file) in files.iter().enumerate() {
            let id = id_of(place);
            match self.seed {
                Some(Seed::CommitEndsWithItsFile)
                    if file.kind == Kind::Absent
                        && set.get(&id, Source::File).is_some_and(|hold| hold.commit.is_some()) =>
                {
                    self.end(set, &id);
                }
                Some(Seed::NoToken) if file.kind == Kind::Withdraw => self.end(set, &id),
                Some(Seed::AbsenceIsAlwaysAWithdrawal)
                    if file.kind == Kind::Absent
                        && set.get(&id, Source::File).is_some_and(|hold| hold.commit.is_none()) =>
                {
                    self.end(set, &id);
                }
                Some(Seed::FileIsTheSecondTrace) if file.kind == Kind::Begin => {
                    if let Some(hold) = set.get(&id, Source::File).filter(|hold| hold.commit.is_some()) {
                        // Answered as a renewal that was granted.
                        let mut renewed = hold.clone();
                        renewed.nonce = Some(Nonce::from(format!("{}{}", NAMES[place], file.nonce)));
                        set.restore(renewed);
                    }
                }
                Some(Seed::WithdrawalEndsAll) if file.kind == Kind::Withdraw => {
                    let new = set.standing(
                        &id,
                        Source::File,
                        Some(&Nonce::from(format!("{}{}", NAMES[place], file.nonce))),
                        NOW,
                    );
                    if new.is_none() && !facts.shutting_down {
                        (0..PLACES).for_each(|other| self.end(set, &id_of(other)));
                    }
                }
                _ => {}
            }
        }
    }

    fn leave_out_after(&self, set: &mut HoldSet, before: &HoldSet, wall: Wall) {
        if self.seed == Some(Seed::CommittedLeaseRunsOut) {
            let due: Vec<_> = set.iter().filter(|hold| hold.expires_at <= NOW).map(|hold| hold.id.clone()).collect();
            for id in &due {
                self.end(set, id);
            }
        }
        if self.seed == Some(Seed::LeaseOnTheWallClock) && wall == Wall::FarAhead {
            for hold in set.iter().cloned().collect::<Vec<Hold>>() {
                if before.get(&hold.id, Source::File).is_some() && hold.commit.is_none() {
                    let mut jumped = hold;
                    jumped.expires_at = NOW;
                    set.restore(jumped);
                }
            }
        }
    }

    /// One tick less is left of each lease.
    pub fn tick(&mut self, holds: u16) -> u16 {
        if let Some(number) = self.ticks.get(&holds) {
            return *number;
        }
        let mut set = self.sets[holds as usize].clone();
        for hold in set.iter().cloned().collect::<Vec<Hold>>() {
            let mut older = hold;
            older.expires_at -= TICK;
            older.closes_at = older.closes_at.saturating_sub(TICK);
            set.restore(older);
        }
        let number = self.set(set);
        self.ticks.insert(holds, number);
        number
    }

    /// A shutdown takes in what isn't kept in files: in the model, nothing.
    pub fn absorb(&mut self, holds: u16) -> u16 {
        if let Some(number) = self.absorbed.get(&holds) {
            return *number;
        }
        let mut set = self.sets[holds as usize].clone();
        set.absorb();
        if self.seed == Some(Seed::ShutdownForgetsFiles) {
            (0..PLACES).for_each(|place| self.end(&mut set, &id_of(place)));
        }
        let number = self.set(set);
        self.absorbed.insert(holds, number);
        number
    }

    /// The status of this moment.
    fn snapshot(&self, set: &HoldSet, gate: &Reading) -> Snapshot {
        let all: Vec<Hold> = set.iter().cloned().collect();
        let mut snapshot = self.blank.clone();
        snapshot.gateway_state = gate.state.into();
        snapshot.drain.state = gate.state;
        snapshot.drain.drained = gate.drained;
        snapshot.drain.epoch = self.epoch.clone();
        snapshot.drain.clock_millis = u64::try_from(NOW.as_millis()).expect("a small number");
        snapshot.drain.holds = set.iter().map(|hold| HoldStatus::of(hold, NOW)).collect();
        snapshot.drain.acknowledged = set.acknowledged(NOW);
        snapshot.drain.takeover = Takeover::of(&all);
        snapshot
    }

    /// What a status says of this moment, and what a successor would take over from it.
    pub fn publish(&mut self, holds: u16, gate_number: u8, gate: &Reading) -> Status {
        if let Some(status) = self.statuses.get(&(holds, gate_number)) {
            return *status;
        }
        let set = self.sets[holds as usize].clone();
        let given = set.acknowledged(NOW);
        let mut snapshot = self.snapshot(&set, gate);
        if self.seed == Some(Seed::StatusIsLastWriterWins) && !set.iter().any(|hold| hold.source == Source::File) {
            snapshot.drain.state = DrainState::Running;
        }
        let other = Epoch::from("boot:2".to_owned());
        let after_reboot = take_over(Some(&snapshot), None, Vec::new, &other, self.policy, NOW);
        assert_eq!(after_reboot, HoldSet::new(self.policy), "C3: a new epoch takes over nothing");
        let mut takeover = take_over(Some(&snapshot), None, Vec::new, &self.epoch, self.policy, NOW);
        if self.seed == Some(Seed::CommitIsNotRestored) {
            for hold in takeover.iter().filter(|hold| hold.commit.is_some()).map(|h| h.id.clone()).collect::<Vec<_>>() {
                self.end(&mut takeover, &hold);
            }
        }
        if self.seed.is_none() {
            assert!(
                refines::start_by_status(&set, &takeover),
                "no instance of the proved relation: {set:?} to {takeover:?}"
            );
        }
        let drain = snapshot.drain;
        let (takeover, answers_then) = (self.set(takeover), self.answered(given));
        let status = Status {
            drain: Drain::Current,
            state: drain.state,
            drained: drain.drained,
            answers: answers_then,
            takeover,
        };
        self.statuses.insert((holds, gate_number), status);
        status
    }

    /// What a process takes over that finds no status: what is on record, if there is a record, and what the files say.
    pub fn inherit(&mut self, record: Option<u16>, files: &[File; PLACES], wall: Wall) -> u16 {
        let key = (record, *files, wall);
        if let Some(number) = self.starts.get(&key) {
            return *number;
        }
        let scan = self.scan(files, wall);
        let commits = record.map(|record| self.sets[record as usize].commits());
        let record = commits.map(|commits| CommitRecord::new(&commits, &self.epoch, NOW));
        let record = record.filter(|_| self.seed != Some(Seed::FileIsTheSecondTrace));
        let mut set = take_over(None, record.as_ref(), || scan.requests.clone(), &self.epoch, self.policy, NOW);
        if matches!(self.seed, Some(Seed::FileIsTheSecondTrace | Seed::UnprovenCommitIsGranted)) {
            for commit in scan.requests.iter().filter(|request| request.action == Action::Commit) {
                let Some(hold) = set.get(&commit.id, Source::File).filter(|hold| hold.commit.is_none()).cloned() else {
                    continue;
                };
                // As if it had been granted by the gateway that is asked now.
                let mut without = HoldSet::new(self.policy);
                set.iter().filter(|other| other.id != hold.id).cloned().for_each(|other| without.restore(other));
                without.restore(hold);
                let now = reading(DrainState::ExternalDraining, true, true);
                let mut granted = commit.clone();
                granted.incarnation = Some(self.incarnations[1].clone());
                granted.generation = Some(now.generation);
                without.apply(&granted, &Facts::of(&self.incarnations[1], now), NOW);
                set = without;
            }
        }
        if self.seed == Some(Seed::CommitIsNotRestored) {
            set = HoldSet::new(self.policy);
        }
        if self.seed.is_none() {
            let known = key.0.map(|record| &self.sets[record as usize]);
            assert!(
                refines::start_by_record(known, &set, files),
                "no instance of the proved relation: {known:?} to {set:?}"
            );
        }
        let number = self.set(set);
        self.starts.insert(key, number);
        number
    }

    /// How many ticks a lease has.
    pub fn lease(&self) -> u32 {
        self.lease
    }
}

/// A gate's reading with the generation in two values: the current one, and any other.
fn reading(state: DrainState, current: bool, drained: bool) -> Reading {
    use std::sync::LazyLock;
    static READINGS: LazyLock<[Reading; 2]> = LazyLock::new(|| {
        let mut lifecycle = gateway_drain::AnyLifecycle::from(gateway_drain::Lifecycle::new());
        let earlier = lifecycle.gate().reading();
        lifecycle.on(Event::BeginDrain);
        [earlier, lifecycle.gate().reading()]
    });
    Reading { state, drained, ..READINGS[usize::from(current)] }
}

/// The actions that a file can ask for, for those who read this beside the crate.
pub const fn action_of(kind: Kind) -> Option<Action> {
    match kind {
        Kind::Begin | Kind::Reference | Kind::Stranger => Some(Action::Begin),
        Kind::Commit => Some(Action::Commit),
        Kind::Withdraw => Some(Action::Withdraw),
        Kind::Override => Some(Action::Override),
        Kind::Absent | Kind::Empty | Kind::Torn | Kind::Foreign => None,
    }
}
