//! The fleet: who can do what, in which state.
//!
//! A gateway is closed from the moment at which it notices a hold until no hold is there and it is ready again. A controller
//! rolls a gateway: it takes the gateway's slot, asks it to close, commits, acts (the process is replaced), withdraws, waits
//! until the gateway runs and is ready, and gives the slot back. It does so for any gateway, as often as it likes, or for a
//! list of them once. Two may roll one gateway at the same time.
//!
//! A transaction is on its way, applied or refused, and answered; the answer may be lost, and so may the transaction, or it
//! may be applied long after its sender gave it up or was killed. What was read is old by the next step.

use super::production::{Decision, Note, Part, Production, Question, Value};
use crate::explorer::{Edge, System};

/// How many gateways there are.
pub const GATEWAYS: usize = 3;

/// How many controllers there are.
pub const CONTROLLERS: usize = 2;

/// A number of times that stands for "as often as it likes": it is not counted.
pub const ALWAYS: u8 = u8::MAX;

/// Who takes part, and how often what may happen.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Its name.
    pub name: &'static str,
    /// How many gateways may be closed at once.
    pub slots: u8,
    /// Whether each controller rolls every gateway once, in opposite order; otherwise any, for ever.
    pub lists: bool,
    /// How often a controller is killed.
    pub kills: u8,
    /// How often a request or its answer is lost.
    pub losses: u8,
    /// How often the engine is cut off from everybody.
    pub cuts: u8,
    /// How often an act fails, or a controller leaves before it closes anything.
    pub failures: u8,
    /// How often an operator gives back a slot by hand.
    pub hands: u8,
    /// How often an operator sets the budget to one or two, or removes the semaphore and makes it again while nobody has a slot.
    pub operations: u8,
}

/// A rule that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seed {
    /// A slot bears the controller's name, not the gateway's.
    SlotByController,
    /// A slot is given back when the act is done, before the gateway is ready.
    GivenBackBeforeReady,
    /// The gateway is asked to close first, and its slot is taken then.
    TakenAfterClosing,
    /// A transaction that was not answered is sent again with what it said, at the revision that is there by now.
    BlindRetry,
    /// A transaction that was not answered counts as made.
    SilenceIsYes,
    /// Giving back removes the first holder, no matter which.
    RemovesAnother,
    /// A transaction compares the key's `version`, which begins again after a removal.
    ComparesVersion,
    /// A transaction compares nothing.
    ComparesNothing,
    /// That a slot is there already is all that a second controller of the gateway wants to know.
    NobodyIsNoted,
    /// What a controller takes over from a dead one, and leaves unfinished, is forgotten.
    NothingIsInherited,
    /// A controller that lives is held to be dead by another one of the same gateway.
    AliveIsDead,
    /// A failed act gives the slot back.
    FailureGivesBack,
    /// Who closed nothing gives back the slot that it found.
    FoundIsGivenBack,
    /// Who waits for a slot looks once.
    LooksOnce,
    /// A slot is never given back.
    NeverGivenBack,
    /// To give back that wasn't answered counts as given back.
    SilenceIsGivenBack,
}

/// Where a controller is with its roll.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// It rolls nothing.
    Idle,
    /// It waits for the slot.
    Waits,
    /// It has looked once and looks no more ([`Seed::LooksOnce`]).
    Despairs,
    /// It asked for the slot and waits for the answer.
    Takes,
    /// It has the slot.
    Has,
    /// It has asked the gateway to close.
    Closes,
    /// Its commit stands.
    Committed,
    /// It has acted: the gateway's process is another.
    Acted,
    /// It has withdrawn, and waits until the gateway runs and is ready.
    Withdrawn,
    /// It ends its use of the slot.
    Ends(How),
    /// It asked to end that, and waits for the answer.
    Ending(How),
}

/// How a controller's use of a slot ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum How {
    /// It has seen that the gateway runs and is ready.
    Running,
    /// It has asked nothing of the gateway.
    NeverClosed,
    /// The act failed.
    Failed,
}

/// A controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Controller {
    /// What it does.
    pub phase: Phase,
    /// With which gateway.
    pub gateway: u8,
    /// How many gateways of its list are done.
    pub done: u8,
    /// What it asked of the engine and has no answer to.
    pub asked: Option<Message>,
    /// What it asked and gave up, and what may still arrive.
    pub late: Option<Message>,
}

/// A hold of a controller on a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hold {
    /// None.
    Absent,
    /// It is asked for; the gateway hasn't noticed.
    Asked,
    /// It closes the gateway, and is asked for once more; the gateway hasn't noticed that.
    Renewed,
    /// It closes the gateway.
    Held,
    /// It is committed: the gateway stays closed whatever becomes of its owner.
    Committed,
}

/// A gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Gateway {
    /// The hold of each controller.
    pub holds: [Hold; CONTROLLERS],
    /// It says of itself that it runs and is ready, as far as no hold is concerned.
    pub ready: bool,
}

/// A transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Message {
    /// The budget that it writes.
    pub slots: u8,
    /// The holders.
    pub holders: [bool; GATEWAYS],
    /// Whose note it writes,
    pub id: u8,
    /// and what there.
    pub note: Note,
    /// What it compares.
    pub compares: Compares,
    /// What the engine has made of it.
    pub fate: Fate,
}

/// What a transaction compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compares {
    /// The revision that is there still.
    Current,
    /// A revision that isn't there any more and never will be.
    Old,
    /// The key's version.
    Version(u8),
    /// Nothing.
    Nothing,
}

/// What the engine has made of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It has not arrived.
    OnItsWay,
    /// It was applied.
    Applied,
    /// What it compared differs.
    Refused,
}

/// All that matters for what can happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// The semaphore.
    pub value: Value,
    /// How often it was written since it was made; kept only where something compares it.
    pub version: u8,
    /// The engine answers nobody.
    pub cut: bool,
    /// The gateways.
    pub gateways: [Gateway; GATEWAYS],
    /// The controllers.
    pub controllers: [Controller; CONTROLLERS],
    /// How often what may still happen: kills, losses, cuts, failures, slots given back by hand, other acts of the operator.
    pub left: [u8; 6],
}

/// What somebody does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A controller begins to roll a gateway.
    Begin(u8, u8),
    /// It reads what is stored, and does what follows.
    Read(u8),
    /// It reads that, and knows of the dead that they are dead.
    ReadKnowing(u8),
    /// The engine applies or refuses what it asked.
    Apply(u8),
    /// The engine's answer arrives.
    Answer(u8),
    /// What it asked, or the answer, is lost; it gives up waiting for that.
    Lose(u8),
    /// The same, and what it asked may arrive later.
    Delay(u8),
    /// What it gave up arrives.
    Late(u8),
    /// What it gave up is gone for good.
    Gone(u8),
    /// Its time is over, or its patience: it goes.
    GiveUp(u8),
    /// It changes its mind before it has asked anything of the gateway.
    Leave(u8),
    /// It asks the gateway to close.
    Close(u8),
    /// Its commit is granted.
    Commit(u8),
    /// It acts: the gateway's process is replaced.
    Act(u8),
    /// Its act fails.
    Fail(u8),
    /// It withdraws.
    Withdraw(u8),
    /// It sees that the gateway runs and is ready.
    SeeReady(u8),
    /// It is killed.
    Kill(u8),
    /// A gateway notices what it is asked.
    Look(u8),
    /// A gateway is ready.
    BecomeReady(u8),
    /// A hold whose controller is elsewhere ends: by its lease, its owner's withdrawal or an override.
    EndHold(u8, u8),
    /// The engine is cut off from everybody.
    Cut,
    /// And is there again.
    Heal,
    /// The operator gives back by hand the slot of a gateway that runs, at which nobody is.
    ReleaseByHand(u8),
    /// The operator removes the semaphore and makes it again.
    Reset,
    /// The operator sets the budget.
    SetSlots(u8),
}

/// The fleet, perhaps without a rule.
pub struct Fleet {
    /// Who takes part.
    pub config: Config,
    /// The rule that is left out.
    pub seed: Option<Seed>,
    /// Whether E4 is watched; not where only liveness is.
    pub watched: bool,
    production: Production,
}

const KILLS: usize = 0;
const LOSSES: usize = 1;
const CUTS: usize = 2;
const FAILURES: usize = 3;
const HANDS: usize = 4;
const OPERATIONS: usize = 5;

impl State {
    /// Whether a gateway is closed by a controller's act: a hold closes it, or it isn't ready again since.
    pub fn closed(&self, gateway: usize) -> bool {
        let gateway = &self.gateways[gateway];
        !gateway.ready || gateway.holds.iter().any(|hold| *hold > Hold::Asked)
    }

    /// How many are.
    pub fn all_closed(&self) -> usize {
        (0..GATEWAYS).filter(|gateway| self.closed(*gateway)).count()
    }

    /// How many slots are taken.
    fn taken(&self) -> usize {
        self.value.holders.iter().filter(|holds| **holds).count()
    }

    fn spend(mut self, what: usize) -> Option<Self> {
        match self.left[what] {
            0 => return None,
            ALWAYS => {}
            _ => self.left[what] -= 1,
        }
        Some(self)
    }

    fn messages(&mut self) -> impl Iterator<Item = &mut Message> {
        self.controllers.iter_mut().flat_map(|controller| [&mut controller.asked, &mut controller.late]).flatten()
    }

    /// What this controller is now ends. What it left in the notes, and in what is on its way to them, is a dead one's.
    fn bury(&mut self, who: usize) {
        self.value.notes.iter_mut().for_each(|note| note.bury(who));
        self.messages().for_each(|message| message.note.bury(who));
        let Controller { done, asked, late, .. } = self.controllers[who];
        let asked = asked.filter(|asked| asked.fate == Fate::OnItsWay && asked.compares != Compares::Old);
        let late = late.filter(|late| late.compares != Compares::Old);
        self.controllers[who] = Controller { done, late: late.or(asked), ..Controller::IDLE };
    }
}

impl Controller {
    const IDLE: Self = Self { phase: Phase::Idle, gateway: 0, done: 0, asked: None, late: None };

    fn at(self, phase: Phase) -> Self {
        Self { phase, ..self }
    }

    /// Whether its hold on this gateway is its own affair now.
    fn holds(&self, gateway: u8) -> bool {
        self.gateway == gateway
            && matches!(self.phase, Phase::Closes | Phase::Committed | Phase::Acted | Phase::Withdrawn)
    }
}

impl Fleet {
    /// As it is.
    pub fn new(config: Config) -> Self {
        Self { config, seed: None, watched: true, production: Production::default() }
    }

    /// Without this rule.
    pub fn without(config: Config, seed: Seed) -> Self {
        Self { seed: Some(seed), ..Self::new(config) }
    }

    fn lacks(&self, seed: Seed) -> bool {
        self.seed == Some(seed)
    }

    /// The name under which a slot is taken.
    fn id(&self, who: u8, gateway: u8) -> u8 {
        if self.lacks(Seed::SlotByController) { who } else { gateway }
    }

    fn sends(&self, state: &State, id: u8, value: &Value) -> Message {
        let compares = match self.seed {
            Some(Seed::ComparesVersion) => Compares::Version(state.version),
            Some(Seed::ComparesNothing) => Compares::Nothing,
            _ => Compares::Current,
        };
        let (Value { slots, holders, .. }, note) = (*value, value.notes[usize::from(id)]);
        Message { slots, holders, id, note, compares, fate: Fate::OnItsWay }
    }

    /// The engine gets a transaction.
    fn applies(&self, state: &mut State, message: &Message) -> Fate {
        let same = match message.compares {
            Compares::Current | Compares::Nothing => true,
            Compares::Old => false,
            Compares::Version(version) => version == state.version,
        };
        if !same {
            return Fate::Refused;
        }
        let mut value = Value { slots: message.slots, holders: message.holders, ..state.value };
        value.notes[usize::from(message.id)] = message.note;
        self.puts(state, value);
        Fate::Applied
    }

    /// The semaphore is written: what compared the revision before is old, and as good as gone if nobody waits for it.
    fn puts(&self, state: &mut State, value: Value) {
        state.value = value;
        state.version += u8::from(self.lacks(Seed::ComparesVersion));
        state
            .messages()
            .filter(|message| message.compares == Compares::Current)
            .for_each(|message| message.compares = Compares::Old);
        if !self.lacks(Seed::BlindRetry) {
            for controller in &mut state.controllers {
                controller.late = controller.late.filter(|late| late.compares != Compares::Old);
            }
        }
    }

    fn begins(&self, state: &State, who: usize, into: &mut Vec<(Action, State)>) {
        let done = usize::from(state.controllers[who].done);
        for gateway in 0..GATEWAYS {
            if self.config.lists && (done == GATEWAYS || gateway != if who == 0 { done } else { GATEWAYS - 1 - done }) {
                continue;
            }
            let (by, gateway) = (small(who), small(gateway));
            let phase = if self.lacks(Seed::TakenAfterClosing) { Phase::Has } else { Phase::Waits };
            let mut after = *state;
            after.controllers[who] = Controller { phase, gateway, ..state.controllers[who] };
            into.push((Action::Begin(by, gateway), after));
        }
    }

    /// It has read what is stored: what follows.
    fn reads(&mut self, state: &State, who: usize, knows: bool) -> State {
        let mut after = *state;
        let controller = state.controllers[who];
        let by = small(who);
        let id = self.id(by, controller.gateway);
        let rash = self.lacks(Seed::AliveIsDead);
        let question = match controller.phase {
            Phase::Ends(How::NeverClosed) if self.lacks(Seed::FoundIsGivenBack) => Question::Running,
            Phase::Ends(How::Failed) if !self.lacks(Seed::FailureGivesBack) => Question::Keep,
            Phase::Ends(How::NeverClosed) => Question::NeverClosed,
            Phase::Ends(_) => Question::Running,
            _ => Question::Take { knows, rash },
        };
        let taking = matches!(question, Question::Take { .. });
        let mut decision = self.production.decides(&state.value, by, id, question);
        if let (Decision::Store(value), true) = (&mut decision, self.lacks(Seed::NothingIsInherited)) {
            let part = &mut value.notes[usize::from(id)].takers[who];
            *part = if *part == Part::Inherits { Part::Has } else { *part };
        }
        if self.lacks(Seed::NobodyIsNoted) {
            decision = match question {
                Question::Take { .. } if state.value.holders[usize::from(id)] => Decision::Done,
                Question::Running => self.production.decides(&state.value, by, id, Question::Release),
                Question::NeverClosed | Question::Keep => Decision::Done,
                _ => decision,
            };
        }
        if self.lacks(Seed::BlindRetry) && controller.late.is_some() {
            // Whatever is there by now.
            decision = Decision::Store(state.value);
        }
        let asked = match (decision, controller.late) {
            (Decision::Store(_), Some(late)) if self.lacks(Seed::BlindRetry) => {
                Some(Message { compares: Compares::Current, fate: Fate::OnItsWay, ..late })
            }
            (Decision::Store(_), _) if !taking && self.lacks(Seed::RemovesAnother) => {
                let first = state.value.holders.iter().position(|holds| *holds).expect("it holds one itself");
                let first = small(first);
                let released = self.production.decides(&state.value, by, first, Question::Release);
                let Decision::Store(value) = released else { unreachable!("it is held") };
                Some(self.sends(state, first, &value))
            }
            (Decision::Store(value), _) => Some(self.sends(state, id, &value)),
            _ => None,
        };
        match (decision, controller.phase) {
            (Decision::Store(_), phase) => {
                let phase = if let Phase::Ends(how) = phase { Phase::Ending(how) } else { Phase::Takes };
                let late = if self.lacks(Seed::BlindRetry) { None } else { controller.late };
                after.controllers[who] = Controller { phase, asked, late, ..controller };
            }
            (Decision::Full, _) if self.lacks(Seed::LooksOnce) => after.controllers[who].phase = Phase::Despairs,
            (Decision::Full, _) => {}
            (Decision::Done, Phase::Ends(_)) => self.ended(&mut after, who),
            (Decision::Done, _) => after.controllers[who].phase = self.taken(),
        }
        after
    }

    /// The slot is there.
    fn taken(&self) -> Phase {
        if self.lacks(Seed::TakenAfterClosing) { Phase::Closes } else { Phase::Has }
    }

    /// The roll is over.
    fn ended(&self, state: &mut State, who: usize) {
        state.controllers[who].done += u8::from(self.config.lists);
        self.buries(state, who);
    }

    /// A process ends.
    fn buries(&self, state: &mut State, who: usize) {
        state.bury(who);
        if self.lacks(Seed::BlindRetry) {
            // What it would send again ends with it.
            state.controllers[who].late = None;
        }
    }

    /// The engine has answered, or what silence is taken for.
    fn told(&self, state: &mut State, who: usize, applied: bool) {
        let phase = state.controllers[who].phase;
        state.controllers[who].asked = None;
        match (phase, applied) {
            (Phase::Ending(_), true) => self.ended(state, who),
            (Phase::Ending(how), false) => state.controllers[who].phase = Phase::Ends(how),
            (_, true) => state.controllers[who].phase = self.taken(),
            (_, false) => state.controllers[who].phase = Phase::Waits,
        }
    }

    /// What concerns the engine.
    fn asks(&mut self, state: &State, who: usize, into: &mut Vec<(Action, State)>) {
        let controller = state.controllers[who];
        let by = small(who);
        let reads = match controller.phase {
            Phase::Waits => true,
            Phase::Ends(_) => !self.lacks(Seed::NeverGivenBack),
            _ => false,
        };
        if reads && !state.cut {
            into.push((Action::Read(by), self.reads(state, who, false)));
            let id = usize::from(self.id(by, controller.gateway));
            if controller.phase == Phase::Waits && state.value.notes[id].dead {
                into.push((Action::ReadKnowing(by), self.reads(state, who, true)));
            }
        }
        if let Some(asked) = controller.asked {
            if !state.cut {
                let mut after = *state;
                if asked.fate == Fate::OnItsWay {
                    let fate = self.applies(&mut after, &asked);
                    let asked = after.controllers[who].asked.as_mut().expect("it waits for an answer");
                    asked.fate = fate;
                    into.push((Action::Apply(by), after));
                } else {
                    self.told(&mut after, who, asked.fate == Fate::Applied);
                    into.push((Action::Answer(by), after));
                }
            }
            if let Some(mut after) = state.spend(LOSSES) {
                let is_yes = match controller.phase {
                    Phase::Takes => self.lacks(Seed::SilenceIsYes),
                    _ => self.lacks(Seed::SilenceIsGivenBack),
                };
                let alone = after;
                self.told(&mut after, who, is_yes);
                if self.lacks(Seed::BlindRetry) {
                    after.controllers[who].late = Some(asked);
                }
                into.push((Action::Lose(by), after));
                if asked.fate == Fate::OnItsWay && asked.compares != Compares::Old && controller.late.is_none() {
                    let mut after = alone;
                    after.controllers[who].late = Some(asked);
                    self.told(&mut after, who, is_yes);
                    into.push((Action::Delay(by), after));
                }
            }
        }
        if let Some(late) = controller.late {
            let mut after = *state;
            after.controllers[who].late = None;
            into.push((Action::Gone(by), after));
            if !state.cut {
                self.applies(&mut after, &late);
                into.push((Action::Late(by), after));
            }
        }
        let asks = matches!(controller.phase, Phase::Waits | Phase::Takes | Phase::Ends(_) | Phase::Ending(_));
        // Who goes and leaves a slot behind is as good as dead.
        if asks
            && !self.config.lists
            && let Some(mut after) = state.spend(LOSSES)
        {
            self.buries(&mut after, who);
            into.push((Action::GiveUp(by), after));
        }
    }

    /// What concerns the gateway.
    fn acts(&self, state: &State, who: usize, into: &mut Vec<(Action, State)>) {
        let controller = state.controllers[who];
        let gateway = usize::from(controller.gateway);
        let by = small(who);
        let step = |phase, hold: Hold| {
            let mut after = *state;
            after.controllers[who] = controller.at(phase);
            after.gateways[gateway].holds[who] = hold;
            after
        };
        let own = state.gateways[gateway].holds[who];
        match controller.phase {
            Phase::Has => {
                let then = if self.lacks(Seed::TakenAfterClosing) { Phase::Waits } else { Phase::Closes };
                // A commit that it left behind stands in its way until that is ended.
                if own != Hold::Committed {
                    let asked = if own >= Hold::Renewed { Hold::Renewed } else { Hold::Asked };
                    into.push((Action::Close(by), step(then, asked)));
                }
                if let Some(mut after) = state.spend(FAILURES) {
                    after.controllers[who].phase = Phase::Ends(How::NeverClosed);
                    into.push((Action::Leave(by), after));
                }
            }
            Phase::Closes if own == Hold::Held => {
                into.push((Action::Commit(by), step(Phase::Committed, Hold::Committed)));
            }
            Phase::Committed => {
                let mut after = step(Phase::Acted, own);
                after.gateways[gateway].ready = false;
                into.push((Action::Act(by), after));
                if let Some(mut after) = state.spend(FAILURES) {
                    after.controllers[who].phase = Phase::Ends(How::Failed);
                    after.gateways[gateway].ready = false;
                    into.push((Action::Fail(by), after));
                }
            }
            Phase::Acted => {
                let early = self.lacks(Seed::GivenBackBeforeReady);
                let then = if early { Phase::Ends(How::Running) } else { Phase::Withdrawn };
                into.push((Action::Withdraw(by), step(then, Hold::Absent)));
            }
            Phase::Withdrawn if !state.closed(gateway) => {
                into.push((Action::SeeReady(by), step(Phase::Ends(How::Running), own)));
            }
            _ => {}
        }
    }

    /// What concerns a gateway alone, and those who left something there.
    fn happens(gateway: usize, state: &State, into: &mut Vec<(Action, State)>) {
        let number = small(gateway);
        let there = &state.gateways[gateway];
        let change = |change: &dyn Fn(&mut Gateway)| {
            let mut after = *state;
            change(&mut after.gateways[gateway]);
            after
        };
        if there.holds.iter().any(|hold| matches!(hold, Hold::Asked | Hold::Renewed)) {
            // One look sees all of them.
            let notices = |hold: &mut Hold| {
                if matches!(hold, Hold::Asked | Hold::Renewed) {
                    *hold = Hold::Held;
                }
            };
            into.push((Action::Look(number), change(&|gateway| gateway.holds.iter_mut().for_each(notices))));
        }
        if !there.ready {
            // After a failed act that may be an operator's doing.
            into.push((Action::BecomeReady(number), change(&|gateway| gateway.ready = true)));
        }
        for (who, controller) in state.controllers.iter().enumerate() {
            if there.holds[who] != Hold::Absent && !controller.holds(number) {
                let ends = change(&|gateway| gateway.holds[who] = Hold::Absent);
                into.push((Action::EndHold(small(who), number), ends));
            }
        }
    }

    /// What befalls the engine, and what the operator does there.
    fn operates(&mut self, state: &State, into: &mut Vec<(Action, State)>) {
        if state.cut {
            into.push((Action::Heal, State { cut: false, ..*state }));
            return;
        }
        if let Some(after) = state.spend(CUTS) {
            into.push((Action::Cut, State { cut: true, ..after }));
        }
        for id in 0..GATEWAYS {
            let number = small(id);
            let somebody = state.controllers.iter().any(|other| other.phase != Phase::Idle && other.gateway == number);
            let idle = !state.closed(id) && !state.gateways[id].holds.contains(&Hold::Asked) && !somebody;
            if state.value.holders[id]
                && idle
                && let Some(mut after) = state.spend(HANDS)
                && let Decision::Store(value) = self.production.decides(&state.value, 0, number, Question::Release)
            {
                self.puts(&mut after, value);
                into.push((Action::ReleaseByHand(number), after));
            }
        }
        let Some(operated) = state.spend(OPERATIONS) else { return };
        if !state.value.holders.contains(&true) {
            let mut after = operated;
            self.puts(&mut after, Value::free(state.value.slots));
            after.version = 0;
            into.push((Action::Reset, after));
        }
        for slots in (1..=2).filter(|slots| *slots != state.value.slots) {
            let mut after = operated;
            self.puts(&mut after, Value { slots, ..state.value });
            into.push((Action::SetSlots(slots), after));
        }
    }
}

impl System for Fleet {
    type State = State;
    type Action = Action;

    fn initial(&self) -> State {
        let Config { slots, kills, losses, cuts, failures, hands, operations, .. } = self.config;
        State {
            value: Value::free(slots),
            version: 0,
            cut: false,
            gateways: [Gateway { holds: [Hold::Absent; CONTROLLERS], ready: true }; GATEWAYS],
            controllers: [Controller::IDLE; CONTROLLERS],
            left: [kills, losses, cuts, failures, hands, operations],
        }
    }

    fn steps(&mut self, state: &State, into: &mut Vec<Edge<State, Action>>) {
        let mut all = Vec::new();
        for who in 0..CONTROLLERS {
            if state.controllers[who].phase == Phase::Idle {
                self.begins(state, who, &mut all);
            } else if let Some(mut after) = state.spend(KILLS) {
                self.buries(&mut after, who);
                all.push((Action::Kill(small(who)), after));
            }
            self.asks(state, who, &mut all);
            self.acts(state, who, &mut all);
        }
        (0..GATEWAYS).for_each(|gateway| Self::happens(gateway, state, &mut all));
        self.operates(state, &mut all);
        for (action, to) in all.into_iter().filter(|(_, to)| to != state) {
            // A budget that is set below what is taken takes nothing from anybody: a gateway that has a slot closes.
            let (slots, had, have) = (usize::from(to.value.slots), state.taken(), to.taken());
            let one_too_many = have > had && have > slots;
            let beyond = to.all_closed() > state.all_closed() && to.all_closed() > slots.max(have);
            let breaks = match (one_too_many, beyond) {
                (_, true) => Some("E4: a gateway closes beyond the budget"),
                (true, _) => Some("E4: a slot is taken beyond the budget"),
                _ => None,
            };
            let breaks = breaks.filter(|_| self.watched);
            into.push(Edge { action, to, breaks });
        }
    }

    fn broken(&self, _: &State) -> Option<&'static str> {
        None
    }
}

/// The number of a gateway or a controller.
fn small(number: usize) -> u8 {
    u8::try_from(number).expect("there are few")
}
