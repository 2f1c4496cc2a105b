//! Who can do what: one gateway, two controllers, a dashboard, an operator, the machine and time.
//!
//! A state is a few bytes. What a step does to holds, files and the gate is asked of [`production`](crate::production) and
//! of the [gate table](crate::gate_table); here stands only who may act when, and what each of them remembers. Ghosts
//! (`told`, `witnessed`, `spoilt`) are history that no actor can see, kept for the invariants.

use crate::explorer::{Edge, System};
use crate::gate_table::{Act, GateTable};
use crate::invariants;
use crate::production::{Drain, File, Kind, MARKER, NONCES, NONE, NOW, PLACES, Production, Seed, Status, TICK, Wall};
use gateway_drain::client::Conclusion;
use gateway_drain::controller::Urgency;
use gateway_drain::gate::Reading;
use gateway_drain::hold::Outcome;
use gateway_drain::properties::PropertyId;
use gateway_drain::{DrainState, Event};

/// How far the gateway's process has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Gateway {
    /// There is none.
    #[default]
    Dead,
    /// It has the home's lock and has taken over what its predecessor left.
    Inherited,
    /// It has looked at the files.
    Looked,
    /// It has published, and work can reach the gate.
    Serving,
}

/// How far a controller has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Phase {
    /// It wants nothing.
    #[default]
    Idle,
    /// It has written a begin or a renewal, and waits for its acknowledgement by a drained gateway.
    Waiting,
    /// It was told: drained.
    SawDrained,
    /// It has written a commit.
    Committing,
    /// It was told: committed. It acts.
    Acting,
    /// It has written its withdrawal, with its token.
    Leaving,
    /// Its process is gone.
    Dead,
}

/// A controller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "each is a ghost of its own")]
pub struct Controller {
    /// How far it has come.
    pub phase: Phase,
    /// The nonce it waits for; while acting, its token.
    pub nonce: u8,
    /// The drain that it saw.
    pub drain: Drain,
    /// Ghost: it was told committed, and its hold has not ended.
    pub told: bool,
    /// Ghost: waiting, that the gateway was drained since; committing, that it granted this very commit.
    pub witnessed: bool,
    /// Ghost: something was in flight since the grant.
    pub spoilt: bool,
    /// Ghost: an override or a new epoch has ended the hold since the commit was written.
    pub ended: bool,
    /// Ghost: the commit that it was told is refused, for as long as that write lies there.
    pub told_no: u8,
}

impl Controller {
    /// Something other than itself ends its hold, as it may.
    fn release(&mut self) {
        self.told = false;
        self.ended |= self.phase == Phase::Committing;
    }
}

/// How far the dashboard's endpoint has come with the request it was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Dashboard {
    /// With none.
    #[default]
    Idle,
    /// It has written the marker.
    Posted,
    /// It has answered: draining.
    Draining,
}

/// Everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// The gateway's process.
    pub gateway: Gateway,
    /// Its gate: a number of the gate table.
    pub gate: u8,
    /// Its holds, and what it has decided of each write.
    pub holds: u16,
    /// Ticks until its shutdown is forced, if it is shutting down.
    pub shutdown: Option<u8>,
    /// The published status.
    pub status: Option<Status>,
    /// The record of commits: what a successor would take over from it.
    pub record: Option<u16>,
    /// What lies in each place.
    pub files: [File; PLACES],
    /// What the gateway's last look has found there; none where nothing depends on it.
    pub found: Option<[File; PLACES]>,
    /// The controllers A and B.
    pub controllers: [Controller; 2],
    /// The dashboard's endpoint.
    pub dashboard: Dashboard,
    /// The nonce it waits for.
    pub dashboard_nonce: u8,
    /// Ghost: the gateway has acted on that nonce.
    pub dashboard_witnessed: bool,
    /// The wall clock.
    pub wall: Wall,
    /// How often each bounded thing may still happen.
    pub left: Budget,
}

/// How often things may happen; [`ALWAYS`] is without a bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    /// The gateway is killed.
    pub crashes: u8,
    /// The operator removes a file.
    pub removals: u8,
    /// Somebody leaves an empty, torn or foreign file, or the reference's marker.
    pub litter: u8,
    /// The status file is lost.
    pub lost_statuses: u8,
    /// The record of commits is lost.
    pub lost_records: u8,
    /// A controller that acts writes its begin again, as none should.
    pub rewrites: u8,
    /// The machine reboots.
    pub reboots: u8,
    /// The home can't be read for once.
    pub blind_looks: u8,
    /// The gateway's process has no descriptor left for a look.
    pub short_looks: u8,
    /// The application drops the reconciler.
    pub drops: u8,
    /// The wall clock jumps.
    pub wall_steps: u8,
    /// A controller dies.
    pub deaths: u8,
    /// The operator overrides.
    pub overrides: u8,
    /// The gateway begins to shut down.
    pub shutdowns: u8,
    /// A controller or the dashboard begins or renews.
    pub begins: u8,
}

/// No bound.
pub const ALWAYS: u8 = u8::MAX;

/// One configuration of the system, and its bounds.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Its name.
    pub name: &'static str,
    /// Controllers: none, A, or A and B.
    pub controllers: usize,
    /// Whether controllers commit.
    pub commits: bool,
    /// Whether they also commit without having waited, as no sound client does.
    pub hasty: bool,
    /// Whether there is a dashboard.
    pub dashboard: bool,
    /// The most turns in flight at once.
    pub turns: u8,
    /// The most pieces of internal work in flight at once.
    pub internal: u8,
    /// Ticks in a lease.
    pub lease: u8,
    /// Ticks until a shutdown's deadline, and from there until it is forced.
    pub shutdown: (u8, u8),
    /// How often things may happen.
    pub budget: Budget,
}

impl Config {
    fn actions(&self) -> Vec<Action> {
        use Action::{
            Admit, AdmitInternal, Answer, Begin, BeginShutdown, BlindLook, Cancel, Commit, Crash, CrashWhileRecording,
            Die, Drop, EndInternal, EndTurn, Exit, Forget, GiveUp, Litter, Look, LoseRecord, LoseStatus, Override,
            Post, Publish, Read, Reboot, Release, Remove, Rewrite, ShortLook, Start, StepWall, Tick,
        };
        let mut all = vec![Start, Look, BlindLook, Publish, Crash, Exit, BeginShutdown, Admit, AdmitInternal, EndTurn];
        all.extend([EndInternal, Tick, Reboot, LoseStatus, Post, Answer, Cancel, Forget, Remove(0)]);
        all.extend([LoseRecord, CrashWhileRecording, ShortLook, Drop]);
        all.extend(Wall::ALL.map(StepWall));
        all.extend([Kind::Empty, Kind::Torn, Kind::Foreign, Kind::Reference].map(|kind| Litter(0, kind)));
        for place in (1..).take(self.controllers) {
            all.extend([Begin(place), Read(place), GiveUp(place), Commit(place), Release(place), Die(place)]);
            all.extend([Remove(place), Override(place), Rewrite(place)]);
            all.extend([Kind::Torn, Kind::Foreign, Kind::Stranger].map(|kind| Litter(place, kind)));
        }
        all
    }
}

/// What somebody does. The number says to which place: 0 the marker, 1 and 2 the controllers A and B.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "told in plain words by `counterexample`")]
pub enum Action {
    Start,
    Look,
    BlindLook,
    ShortLook,
    Drop,
    Publish,
    Crash,
    CrashWhileRecording,
    Exit,
    BeginShutdown,
    Admit,
    AdmitInternal,
    EndTurn,
    EndInternal,
    Tick,
    StepWall(Wall),
    Reboot,
    LoseStatus,
    LoseRecord,
    Rewrite(u8),
    Remove(u8),
    Litter(u8, Kind),
    Override(u8),
    Begin(u8),
    Read(u8),
    GiveUp(u8),
    Commit(u8),
    Release(u8),
    Die(u8),
    Post,
    Answer,
    Cancel,
    Forget,
}

/// Which properties an exploration watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watched {
    /// Every one.
    All,
    /// This one.
    Only(PropertyId),
    /// None: the graph alone is wanted.
    None,
}

impl Watched {
    fn has(self, claim: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(property) => claim.starts_with(&property.to_string()),
            Self::None => false,
        }
    }
}

/// The system in one configuration, perhaps with a rule left out.
pub struct Protocol {
    /// The bounds.
    pub config: Config,
    /// The rule left out.
    pub seed: Option<Seed>,
    /// Which properties are watched.
    pub watched: Watched,
    /// The production functions.
    pub production: Production,
    /// The production gate.
    pub gates: GateTable,
    /// All that can ever happen in this configuration.
    actions: Vec<Action>,
}

impl Protocol {
    /// With all rules.
    pub fn new(config: Config) -> Self {
        Self::with(config, None)
    }

    /// Without one rule.
    pub fn without(config: Config, seed: Seed) -> Self {
        Self::with(config, Some(seed))
    }

    fn with(config: Config, seed: Option<Seed>) -> Self {
        let mut gates = GateTable::new(u64::from(config.turns), u64::from(config.internal));
        if seed == Some(Seed::AbandonedIsNotRecorded) {
            gates.forget_what_was_abandoned();
        }
        Self {
            config,
            seed,
            watched: Watched::All,
            production: Production::new(u32::from(config.lease), seed),
            gates,
            actions: config.actions(),
        }
    }

    /// The gate in a state.
    pub fn reading(&self, state: &State) -> &Reading {
        self.gates.reading(state.gate)
    }

    fn seeded(&self, seed: Seed) -> bool {
        self.seed == Some(seed)
    }

    /// The gate does something; a new generation makes the earlier ones earlier.
    fn gate(&self, state: &mut State, act: Act) -> bool {
        let Some(became) = self.gates.after(state.gate, act) else { return false };
        state.gate = became.gate;
        if became.new_generation {
            state.for_each_drain(|drain| {
                if *drain == Drain::Current {
                    *drain = Drain::Earlier;
                }
            });
        }
        true
    }

    /// What the controller does after each change, under its lock.
    fn settle(&self, state: &mut State) {
        let at = self.reading(state).state;
        let mut event = self.production.holds(state.holds).moves[at as usize];
        if event == Some(Event::EndDrain) {
            event = match self.seed {
                Some(Seed::StaysClosed) => None,
                Some(Seed::EndDrainShutsDown) => Some(Event::BeginShutdown),
                _ => event,
            };
        }
        if let Some(event) = event {
            self.gate(state, Act::On(event));
        }
        let Some(left) = state.shutdown else { return };
        let (_, grace) = self.config.shutdown;
        let forced_at = NOW + TICK * u32::from(left);
        let grace = TICK * u32::from(grace);
        let urgency = Urgency::at(NOW, forced_at.saturating_sub(grace), grace);
        if urgency != Urgency::Wait {
            self.gate(state, Act::Interrupt);
        }
        if !self.gate(state, Act::On(Event::Stop)) && urgency == Urgency::Force && !self.seeded(Seed::NeverForced) {
            self.gate(state, Act::ForceStop);
        }
    }

    fn look(&mut self, state: &mut State, blind: bool) -> Option<&'static str> {
        let gate = *self.reading(state);
        if !blind {
            self.record_grants(state);
        }
        let looked = self.production.look(state.holds, &state.files, &gate, state.wall, blind);
        state.holds = looked.holds;
        if !blind && self.config.budget.short_looks > 0 {
            state.found = Some(state.files);
        }
        self.settle(state);
        let runs_again = match gate.state {
            DrainState::ShutdownDraining => Seed::ReopensFromShutdown,
            _ => Seed::StoppedRunsAgain,
        };
        let ends = matches!(gate.state, DrainState::ShutdownDraining | DrainState::Stopped);
        if ends && self.seeded(runs_again) {
            // As a process would be that takes the files' word for the state.
            state.gate = 0;
        }
        if state.gateway == Gateway::Inherited {
            state.gateway = Gateway::Looked;
        }
        looked.breaks
    }

    /// Before a look grants a commit, it is on record.
    fn record_grants(&mut self, state: &mut State) {
        let gate = *self.reading(state);
        if let Some(grants) = self.production.grants(state.holds, &state.files, &gate, state.wall) {
            self.write_record(state, grants);
        }
    }

    fn write_record(&self, state: &mut State, commits: u16) {
        if !self.seeded(Seed::CommitIsNotRecorded) {
            state.record = Some(commits);
        }
    }

    /// A nonce that nothing bears any more.
    fn fresh(&self, state: &State, place: usize) -> u8 {
        let file = state.files[place];
        let mut taken = 1_u16 | 1 << file.nonce | 1 << file.token;
        taken |= state.found.map_or(0, |found| 1 << found[place].nonce | 1 << found[place].token);
        taken |= self.production.holds(state.holds).nonces[place];
        taken |= state.record.map_or(0, |record| self.production.holds(record).nonces[place]);
        if let Some(status) = state.status {
            taken |= self.production.holds(status.takeover).nonces[place];
            taken |= self.production.answers(status.answers).nonces[place];
        }
        let borne = |controller: &Controller| 1 << controller.nonce | 1 << controller.told_no;
        taken |= if place == MARKER { 1 << state.dashboard_nonce } else { borne(&state.controllers[place - 1]) };
        let free = u8::try_from(taken.trailing_ones()).expect("at most 16");
        assert!(free <= NONCES, "more nonces are borne at once than the model can tell apart");
        free
    }

    /// The published status, to somebody who asks for the process that holds the home's lock: in one step, though production
    /// reads the two one after the other (`two_reads` has why).
    fn believed(&self, state: &State) -> Option<Status> {
        let live = state.gateway != Gateway::Dead;
        state.status.filter(|status| self.seeded(Seed::NoLock) || (live && status.drain != Drain::OtherProcess))
    }

    /// What the controller's history is once this state is reached.
    fn witness(&self, state: &mut State) {
        let gate = *self.reading(state);
        let looked = matches!(state.gateway, Gateway::Looked | Gateway::Serving);
        let holds = self.production.holds(state.holds);
        for (place, controller) in (1..).zip(&mut state.controllers) {
            if state.files[place].nonce != controller.told_no {
                controller.told_no = 0;
            }
            match controller.phase {
                Phase::Waiting => controller.witnessed |= looked && gate.drained,
                Phase::Committing => {
                    // A grant that nobody was told of can be lost with its process. Then there is none.
                    let stands = holds.token[place] == controller.nonce;
                    controller.witnessed =
                        if looked { stands } else { controller.witnessed || stands } || controller.ended;
                    controller.spoilt = controller.witnessed && (controller.spoilt || gate.total() > 0);
                }
                _ => (controller.witnessed, controller.spoilt, controller.ended) = (false, false, false),
            }
        }
        if state.dashboard == Dashboard::Posted {
            let given = self.production.answer(holds.answers, MARKER, state.dashboard_nonce);
            state.dashboard_witnessed |= given.is_some();
        } else {
            state.dashboard_witnessed = false;
        }
    }

    /// The process is gone, and with it all that it knew.
    fn die(&self, state: &mut State) {
        state.gateway = Gateway::Dead;
        (state.gate, state.holds, state.shutdown, state.found) = (0, NONE, None, None);
        state.for_each_drain(|drain| *drain = Drain::OtherProcess);
        if !self.seeded(Seed::NoLock)
            && let Some(status) = &mut state.status
        {
            // Nobody believes it any more; it only leaves holds to the next process.
            (status.state, status.drained, status.answers) = (DrainState::Running, false, NONE);
        }
    }

    #[expect(clippy::too_many_lines, reason = "one arm for each action, and nothing else")]
    fn act(&mut self, before: &State, action: Action) -> Option<(State, Option<&'static str>)> {
        let mut state = *before;
        let mut breaks = None;
        let gateway_lives = state.gateway != Gateway::Dead;
        let gate = *self.reading(before);
        match action {
            Action::Start if !gateway_lives => {
                state.holds = match state.status {
                    Some(status) => status.takeover,
                    None => self.production.inherit(state.record, &state.files, state.wall),
                };
                state.gateway = Gateway::Inherited;
                self.settle(&mut state);
            }
            Action::Look if gateway_lives => breaks = self.look(&mut state, false),
            Action::BlindLook if gateway_lives && spend(&mut state.left.blind_looks) => {
                breaks = self.look(&mut state, true);
            }
            Action::ShortLook if gateway_lives && spend(&mut state.left.short_looks) => {
                let found = state.found?;
                let looked = self.production.short_look(state.holds, &found, &gate, state.wall);
                (state.holds, breaks) = (looked.holds, looked.breaks);
                self.settle(&mut state);
            }
            Action::Drop if state.gateway == Gateway::Serving && spend(&mut state.left.drops) => {
                if !self.seeded(Seed::DroppedGateStaysOpen) {
                    self.gate(&mut state, Act::On(Event::BeginShutdown));
                    let _ = self.gate(&mut state, Act::On(Event::Stop)) || self.gate(&mut state, Act::ForceStop);
                }
                if self.gates.after(state.gate, Act::Admit).is_some() {
                    breaks = Some("H1: a gate admits work, and nobody follows the files of its home any more");
                }
                let stopped = *self.reading(&state);
                state.status = Some(self.production.publish(state.holds, state.gate, &stopped));
                self.die(&mut state);
            }
            Action::Publish if matches!(state.gateway, Gateway::Looked | Gateway::Serving) => {
                let commits = self.production.record(state.holds);
                self.write_record(&mut state, commits);
                state.status = Some(self.production.publish(state.holds, state.gate, &gate));
                state.gateway = Gateway::Serving;
                if state.wall == Wall::True {
                    breaks = self.production.plans(state.holds, &state.files, &gate);
                }
            }
            Action::Crash if gateway_lives && gate.state != DrainState::Stopped && spend(&mut state.left.crashes) => {
                self.die(&mut state);
            }
            Action::CrashWhileRecording
                if gateway_lives && gate.state != DrainState::Stopped && spend(&mut state.left.crashes) =>
            {
                let was = state.record;
                let commits = self.production.record(state.holds);
                self.write_record(&mut state, commits);
                self.record_grants(&mut state);
                if state.record == was {
                    return None;
                }
                self.die(&mut state);
            }
            Action::Exit if gateway_lives && gate.state == DrainState::Stopped => self.die(&mut state),
            Action::BeginShutdown
                if state.gateway == Gateway::Serving
                    && state.shutdown.is_none()
                    && spend(&mut state.left.shutdowns) =>
            {
                self.gate(&mut state, Act::On(Event::BeginShutdown));
                state.holds = self.production.absorb(state.holds);
                state.shutdown = Some(self.config.shutdown.0 + self.config.shutdown.1);
                self.settle(&mut state);
            }
            Action::Admit | Action::AdmitInternal | Action::EndTurn | Action::EndInternal => {
                let early = self.seeded(Seed::AdmitsBeforeTheLook) && gateway_lives;
                let act = match action {
                    Action::Admit => Act::Admit,
                    Action::AdmitInternal => Act::AdmitInternal,
                    Action::EndTurn => Act::EndTurn,
                    _ => Act::EndInternal,
                };
                let uncalled = match act {
                    Act::Admit => self.seeded(Seed::AdmitsWhileDraining),
                    Act::AdmitInternal => self.seeded(Seed::InternalIsNotSealed),
                    _ => false,
                };
                if !(early || state.gateway == Gateway::Serving) {
                    return None;
                }
                if !self.gate(&mut state, act) {
                    state.gate = Some(act).filter(|_| uncalled).and_then(|act| self.gates.against(state.gate, act))?;
                }
            }
            Action::Tick => {
                state.holds = self.production.tick(state.holds);
                if let Some(status) = &mut state.status {
                    status.takeover = self.production.tick(status.takeover);
                }
                if gate.state != DrainState::Stopped {
                    state.shutdown = state.shutdown.map(|left| left.saturating_sub(1));
                }
            }
            Action::StepWall(wall) if wall != state.wall && spend(&mut state.left.wall_steps) => state.wall = wall,
            Action::Reboot if spend(&mut state.left.reboots) => {
                self.die(&mut state);
                for file in &mut state.files {
                    if crate::production::action_of(file.kind).is_some() {
                        *file = File { kind: Kind::Foreign, ..File::default() };
                    }
                }
                if let Some(status) = &mut state.status {
                    *status = Status { drain: Drain::OtherProcess, takeover: NONE, answers: NONE, ..*status };
                }
                state.record = None;
                state.controllers.iter_mut().for_each(Controller::release);
            }
            Action::LoseStatus if state.status.is_some() && spend(&mut state.left.lost_statuses) => {
                // Not together with the record: one of the two has to be left.
                if !self.is_kept(&state, state.record) && !self.seeded(Seed::CommitIsNotRecorded) {
                    return None;
                }
                state.status = None;
            }
            Action::LoseRecord if state.record.is_some() && spend(&mut state.left.lost_records) => {
                if !self.is_kept(&state, state.status.map(|status| status.takeover)) {
                    return None;
                }
                state.record = None;
            }
            Action::Rewrite(place) => {
                let place = usize::from(place);
                if state.controllers[place - 1].phase != Phase::Acting || !spend(&mut state.left.rewrites) {
                    return None;
                }
                state.files[place] = File { kind: Kind::Begin, nonce: self.fresh(&state, place), ..File::default() };
            }
            Action::Remove(place) => {
                let place = usize::from(place);
                if state.files[place].kind == Kind::Absent || !spend(&mut state.left.removals) {
                    return None;
                }
                state.files[place] = File::default();
            }
            Action::Litter(place, kind) => {
                let place = usize::from(place);
                let nonce = if kind == Kind::Foreign { 0 } else { self.fresh(&state, place) };
                if state.files[place].kind == kind || !spend(&mut state.left.litter) {
                    return None;
                }
                state.files[place] = File { kind, nonce, ..File::default() };
            }
            Action::Override(place) => {
                let place = usize::from(place);
                if state.files[place].kind == Kind::Override || !spend(&mut state.left.overrides) {
                    return None;
                }
                state.files[place] = File { kind: Kind::Override, nonce: self.fresh(&state, place), ..File::default() };
                state.controllers[place - 1].release();
            }
            Action::Begin(place) => {
                let place = usize::from(place);
                let phase = state.controllers[place - 1].phase;
                if !matches!(phase, Phase::Idle | Phase::Waiting | Phase::SawDrained) || !spend(&mut state.left.begins)
                {
                    return None;
                }
                let nonce = self.fresh(&state, place);
                state.files[place] = File { kind: Kind::Begin, nonce, ..File::default() };
                let Controller { told, .. } = state.controllers[place - 1];
                state.controllers[place - 1] =
                    Controller { phase: Phase::Waiting, nonce, told, ..Controller::default() };
            }
            Action::Read(place) => breaks = self.read(&mut state, usize::from(place)).ok()?,
            Action::GiveUp(place) => {
                let place = usize::from(place);
                let controller = &mut state.controllers[place - 1];
                let nothing_to_remove = matches!(state.files[place].kind, Kind::Absent | Kind::Withdraw);
                match controller.phase {
                    Phase::Waiting | Phase::SawDrained if !controller.told => state.files[place] = File::default(),
                    Phase::Idle if !controller.told && !nothing_to_remove => state.files[place] = File::default(),
                    // Its withdrawal lies there, and takes effect without it.
                    Phase::Leaving => {}
                    _ => return None,
                }
                *controller = Controller::default();
            }
            Action::Commit(place) => {
                let place = usize::from(place);
                let controller = state.controllers[place - 1];
                let drain = match controller.phase {
                    Phase::SawDrained if self.config.commits => controller.drain,
                    // It has not waited: it has read which drain it is, and nothing more.
                    Phase::Waiting if self.config.hasty && gateway_lives => Drain::Current,
                    _ => return None,
                };
                let nonce = self.fresh(&state, place);
                state.files[place] = File { kind: Kind::Commit, nonce, token: 0, drain };
                state.controllers[place - 1] =
                    Controller { phase: Phase::Committing, nonce, told: controller.told, ..Controller::default() };
            }
            Action::Release(place) => {
                let place = usize::from(place);
                let controller = state.controllers[place - 1];
                if !matches!(controller.phase, Phase::Committing | Phase::Acting) {
                    return None;
                }
                let nonce = self.fresh(&state, place);
                let token = controller.nonce;
                state.files[place] = File { kind: Kind::Withdraw, nonce, token, ..File::default() };
                state.controllers[place - 1] = Controller { phase: Phase::Leaving, nonce, ..Controller::default() };
            }
            Action::Die(place) => {
                let controller = &mut state.controllers[usize::from(place) - 1];
                if controller.phase == Phase::Dead || !spend(&mut state.left.deaths) {
                    return None;
                }
                // Its token is kept, to know which file is the last trace of its commit.
                let nonce = if controller.told { controller.nonce } else { 0 };
                let Controller { told, told_no, .. } = *controller;
                *controller = Controller { phase: Phase::Dead, nonce, told, told_no, ..Controller::default() };
            }
            Action::Post if self.config.dashboard && spend(&mut state.left.begins) => {
                let nonce = self.fresh(&state, MARKER);
                state.files[MARKER] = File { kind: Kind::Begin, nonce, ..File::default() };
                (state.dashboard, state.dashboard_nonce) = (Dashboard::Posted, nonce);
                state.dashboard_witnessed = false;
            }
            Action::Answer if state.dashboard == Dashboard::Posted => {
                let says_held = if self.seeded(Seed::EndpointReadsTheFile) {
                    state.files[MARKER].nonce == state.dashboard_nonce
                } else {
                    let status = self.believed(&state)?;
                    let outcome = self.production.answer(status.answers, MARKER, state.dashboard_nonce);
                    matches!(outcome, Some(Outcome::Held))
                };
                if !says_held {
                    return None;
                }
                (state.dashboard, state.dashboard_nonce) = (Dashboard::Draining, 0);
            }
            Action::Cancel if self.config.dashboard && state.files[MARKER].kind != Kind::Absent => {
                state.files[MARKER] = File::default();
                (state.dashboard, state.dashboard_nonce) = (Dashboard::Idle, 0);
            }
            Action::Forget if state.dashboard != Dashboard::Idle => {
                (state.dashboard, state.dashboard_nonce) = (Dashboard::Idle, 0);
            }
            _ => return None,
        }
        self.witness(&mut state);
        if state == *before && breaks.is_none() {
            return None;
        }
        let breaks = breaks.filter(|name| self.watched.has(name));
        let breaks = breaks.or_else(|| invariants::of_a_step(self, before, &state));
        Some((state, breaks.filter(|name| self.watched.has(name))))
    }

    /// Whether the commit of each controller that was told of it is among these holds.
    fn is_kept(&self, state: &State, holds: Option<u16>) -> bool {
        let kept = |place: usize| holds.is_some_and(|holds| self.production.holds(holds).token[place] != 0);
        (1..).zip(&state.controllers).all(|(place, controller)| !controller.told || kept(place))
    }

    /// A controller reads the published status: what that breaks, if anything. An error if it says nothing to it.
    ///
    /// What it concludes is compared with what production's client does.
    fn read(&mut self, state: &mut State, place: usize) -> Result<Option<&'static str>, ()> {
        let (status, before) = (self.believed(state).ok_or(())?, state.controllers[place - 1]);
        let read = self.conclude(state, place);
        if self.seed.is_some() || !matches!(before.phase, Phase::Waiting | Phase::Committing) {
            return read;
        }
        // A shutdown ends production's wait: the model's goes on, and concludes more.
        let ending = status.state.is_ending();
        let agrees = match (self.production.concluded(status, place, before.nonce), state.controllers[place - 1].phase)
        {
            (Conclusion::Drained, Phase::SawDrained) | (Conclusion::Committed, Phase::Acting) => true,
            // Another one's commit of the same hold: production refuses it, and so the model again concludes more.
            (Conclusion::Committed, Phase::SawDrained) => before.phase == Phase::Waiting,
            (Conclusion::Waits, now) => now == before.phase,
            (Conclusion::Ended, now) => ending || (now != Phase::SawDrained && now != Phase::Acting && read.is_ok()),
            // Before it is drained, a commit that is known already is no news to either.
            (Conclusion::Committed, now) => now == Phase::Waiting && before.phase == Phase::Waiting,
            (Conclusion::Drained, _) => false,
        };
        if agrees { read } else { Ok(Some("C6: production's client concludes otherwise than the model's")) }
    }

    fn conclude(&self, state: &mut State, place: usize) -> Result<Option<&'static str>, ()> {
        let status = self.believed(state).ok_or(())?;
        let controller = &mut state.controllers[place - 1];
        let mut outcome = self.production.answer(status.answers, place, controller.nonce);
        if self.seed == Some(Seed::NoNonce) {
            let legacy = self.production.holds(status.takeover);
            outcome = match (controller.phase, legacy.held[place], legacy.token[place] != 0) {
                (Phase::Committing, _, true) => Some(Outcome::Committed),
                (Phase::Waiting, true, _) => Some(Outcome::Held),
                _ => outcome,
            };
        }
        match (controller.phase, outcome.ok_or(())?) {
            (Phase::Waiting, Outcome::Held | Outcome::Committed) if status.drained => {
                let told = controller.told;
                *controller =
                    Controller { phase: Phase::SawDrained, drain: status.drain, told, ..Controller::default() };
            }
            (Phase::Committing, Outcome::Committed) => {
                let (nonce, told) = (controller.nonce, !controller.ended);
                *controller = Controller { phase: Phase::Acting, nonce, told, ..Controller::default() };
            }
            (
                Phase::Waiting | Phase::Committing | Phase::Leaving,
                Outcome::Ended(_) | Outcome::Refused(_) | Outcome::Ignored(_),
            ) => {
                let told = controller.told;
                let no = matches!((controller.phase, outcome), (Phase::Committing, Some(Outcome::Refused(_))));
                let told_no = if no { controller.nonce } else { 0 };
                *controller = Controller { told, told_no, ..Controller::default() };
            }
            (Phase::Committing, Outcome::Held) => {
                return Ok(Some("S2: a commit that was refused is answered otherwise later"));
            }
            _ => return Err(()),
        }
        Ok(None)
    }
}

impl State {
    fn for_each_drain(&mut self, mut change: impl FnMut(&mut Drain)) {
        self.status.iter_mut().for_each(|status| change(&mut status.drain));
        let files = self.files.iter_mut().chain(self.found.iter_mut().flatten());
        files.filter(|file| file.kind == Kind::Commit).for_each(|file| change(&mut file.drain));
        let saw = self.controllers.iter_mut().filter(|controller| controller.phase == Phase::SawDrained);
        saw.for_each(|controller| change(&mut controller.drain));
    }
}

/// Takes one off a budget that has something left.
fn spend(left: &mut u8) -> bool {
    match *left {
        0 => false,
        ALWAYS => true,
        _ => {
            *left -= 1;
            true
        }
    }
}

impl System for Protocol {
    type State = State;
    type Action = Action;

    fn initial(&self) -> State {
        State {
            gateway: Gateway::Dead,
            gate: 0,
            holds: NONE,
            shutdown: None,
            status: None,
            record: None,
            files: [File::default(); PLACES],
            found: None,
            controllers: [Controller::default(); 2],
            dashboard: Dashboard::Idle,
            dashboard_nonce: 0,
            dashboard_witnessed: false,
            wall: Wall::True,
            left: self.config.budget,
        }
    }

    fn steps(&mut self, state: &State, into: &mut Vec<Edge<State, Action>>) {
        for number in 0..self.actions.len() {
            let action = self.actions[number];
            if let Some((to, breaks)) = self.act(state, action) {
                into.push(Edge { action, to, breaks });
            }
        }
    }

    fn broken(&self, state: &State) -> Option<&'static str> {
        invariants::of_a_state(self, state).filter(|name| self.watched.has(name))
    }
}
