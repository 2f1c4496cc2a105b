//! What a gateway has to be like after each event. Pure: no file, no thread, and time is a number of seconds.
//!
//! It is written from the design's words, as plainly as it can be: a map of holds, a list of the writes that are spent,
//! and whether work is in flight. Of the crate it uses the words (states, outcomes) and none of the rules.

use crate::event::{Event, StatusFile};
use gateway_drain::DrainState;
use gateway_drain::DrainState::{ExternalDraining, Running, ShutdownDraining, Stopped};
use gateway_drain::hold::{Denied, Ending, Outcome};
use std::collections::BTreeMap;

/// The lease of a hold that names none, in seconds.
pub const DEFAULT_LEASE: u64 = 35;
/// The longest lease.
pub const MAX_LEASE: u64 = 65;
/// How long interrupted work has before a shutdown is forced.
pub const GRACE: u64 = 20;
/// An incarnation, or a write, that is none of this run.
pub const OTHER: u32 = u32::MAX;

/// The holds there can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    /// What stands for a folder of holds that can't be read.
    Holds,
    /// A hold with a file of its own.
    Alpha,
    /// Another one.
    Beta,
    /// The marker.
    Marker,
}

/// The holds that are files.
pub const FILES: [Name; 3] = [Name::Marker, Name::Alpha, Name::Beta];

impl Name {
    /// As it stands in the status.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Holds => "!holds",
            Self::Alpha => "alpha",
            Self::Beta => "beta",
            Self::Marker => "marker",
        }
    }
}

/// What a request wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// To hold, or to renew.
    Begin,
    /// To have the right to act.
    Commit,
    /// To give up.
    Withdraw,
    /// To end another's.
    Override,
}

/// A request, as somebody writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Which write it is: no two have the same number.
    pub write: u32,
    /// What it wants.
    pub action: Action,
    /// Who: 1 or 2. 0 is nobody.
    pub owner: u8,
    /// For how long, in seconds.
    pub lease: Option<u64>,
    /// How long readiness fails first, in seconds.
    pub delay: u64,
    /// For which process only.
    pub meant_for: Option<u32>,
    /// Which drain it has seen.
    pub drain: Option<u32>,
    /// The write of the commit that it withdraws.
    pub token: Option<u32>,
    /// Whether its timestamp lies far in the future, or else long ago: neither may matter.
    pub future: bool,
}

/// What lies at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lies {
    /// Nothing.
    Nothing,
    /// A request of another boot.
    OtherBoot,
    /// Something that has no content to read.
    NoContent,
    /// Content that makes no sense.
    Garbage(u32),
    /// A request.
    Asks(Ask),
}

/// A hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// To whom it belongs.
    pub owner: u8,
    /// The last write acted on.
    pub write: Option<u32>,
    /// Why that was refused.
    pub refused: Option<Denied>,
    /// From when it closes the gate.
    pub closes_at: u64,
    /// When its lease runs out.
    pub expires_at: u64,
    /// The write by which it was committed.
    pub committed: Option<u32>,
}

impl Hold {
    /// Whether it closes the gate.
    #[must_use]
    pub fn closes(&self, now: u64) -> bool {
        self.committed.is_some() || self.closes_at <= now
    }

    fn answer(&self, now: u64) -> Outcome {
        if let Some(why) = self.refused {
            Outcome::Refused(why)
        } else if self.committed.is_some() {
            Outcome::Committed
        } else if self.closes(now) {
            Outcome::Held
        } else {
            Outcome::Pending
        }
    }
}

/// Which write, and how its hold ended.
type Spent = BTreeMap<Name, Vec<(Option<u32>, Ending)>>;

/// The answer to each write.
type Answers = Vec<(Name, Option<u32>, Outcome)>;

/// A gateway and all that it depends on.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Model {
    /// The time, in seconds.
    pub now: u64,
    files: BTreeMap<Name, Lies>,
    /// The home is elsewhere.
    pub away: bool,
    /// Another home stands in its place; the gateway's own is what it was then, and nobody finds it.
    pub replaced: Option<Own>,
    /// The folder of holds is no folder.
    pub holds_blocked: bool,
    /// The status can't be written.
    pub status_blocked: bool,
    /// The holds.
    pub holds: BTreeMap<Name, Hold>,
    spent: Spent,
    answers: Answers,
    /// The state.
    pub state: DrainState,
    /// How often the gate has closed in this process.
    pub generation: u32,
    /// Turns in flight.
    pub turns: u64,
    /// Internal work in flight.
    pub internal: u64,
    /// Work has been asked to give up.
    pub interrupted: bool,
    /// Stopped with work in flight.
    pub abandoned: bool,
    deadline: Option<u64>,
    /// Which process: the first is 0.
    pub incarnation: u32,
    /// How many writes there have been.
    pub writes: u32,
    /// What the last status says: the holds, and the answers.
    published: (BTreeMap<Name, Hold>, Answers),
}

/// A home that another one stands in the place of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    files: BTreeMap<Name, Lies>,
    holds_blocked: bool,
    status_blocked: bool,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            now: 0,
            files: FILES.into_iter().map(|name| (name, Lies::Nothing)).collect(),
            away: false,
            replaced: None,
            holds_blocked: false,
            status_blocked: false,
            holds: BTreeMap::new(),
            spent: Spent::new(),
            answers: Vec::new(),
            state: Running,
            generation: 0,
            turns: 0,
            internal: 0,
            interrupted: false,
            abandoned: false,
            deadline: None,
            incarnation: 0,
            writes: 0,
            published: Default::default(),
        }
    }
}

impl Model {
    /// What lies at a hold's path.
    ///
    /// # Panics
    /// If the hold has no path.
    #[must_use]
    pub fn lies(&self, name: Name) -> &Lies {
        &self.files[&name]
    }

    /// The gateway's own home, wherever it is.
    fn own(&self) -> Own {
        let now = || Own {
            files: self.files.clone(),
            holds_blocked: self.holds_blocked,
            status_blocked: self.status_blocked,
        };
        self.replaced.clone().unwrap_or_else(now)
    }

    /// Whether the gateway can publish its status.
    #[must_use]
    pub fn can_publish(&self) -> bool {
        !self.own().status_blocked
    }

    /// Closed, with nothing in flight.
    #[must_use]
    pub fn drained(&self) -> bool {
        self.state != Running && self.turns + self.internal == 0 && !self.abandoned
    }

    /// Whether internal work may enter.
    #[must_use]
    pub fn admits_internal(&self) -> bool {
        self.state == Running || (self.state != Stopped && !self.drained())
    }

    /// The answers to what lies in the channel, as they stand now.
    #[must_use]
    pub fn answers(&self) -> Answers {
        let current = |(name, write, given): &(Name, Option<u32>, Outcome)| {
            (*name, *write, self.decided(*name, *write).unwrap_or(*given))
        };
        self.answers.iter().map(current).collect()
    }

    /// What lies in the channel, or doesn't any more, and is not honoured.
    #[must_use]
    pub fn ignored(&self) -> Vec<Name> {
        let (requests, stale) = self.requests();
        let overwritten = requests.iter().filter(|(name, lies)| {
            let writer = if let Lies::Asks(ask) = lies { ask.owner } else { 0 };
            self.holds.get(name).is_some_and(|hold| hold.owner != writer)
        });
        let overwritten: Vec<Name> = overwritten.map(|(name, _)| *name).collect();
        let answered = |name: &Name| self.answers.iter().any(|(answered, ..)| answered == name);
        let forgotten = self.holds.iter().filter(|(name, hold)| hold.committed.is_some() && !answered(name));
        stale.into_iter().chain(overwritten).chain(forgotten.map(|(name, _)| *name)).collect()
    }

    /// Lets an event happen. Afterwards the gateway has looked at its files and published, if it could.
    #[must_use]
    pub fn after(mut self, event: &Event) -> Self {
        match event {
            Event::File(change) => self.put(change.name, |write| change.to.lies(write)),
            Event::KilledWriter(name, ask, dies_before) => {
                self.writes += 1;
                // The name moves in the fourth step.
                if *dies_before >= 4 {
                    self.files.insert(*name, Lies::Asks(Ask { write: self.writes, ..ask.clone() }));
                }
            }
            Event::Advance(seconds) => self.now += seconds,
            Event::Admit => self.turns += u64::from(self.state == Running),
            Event::AdmitInternal => self.internal += u64::from(self.admits_internal()),
            Event::Finish => self.turns -= 1,
            Event::FinishInternal => self.internal -= 1,
            Event::Restart(StatusFile::Kept) if self.replaced.is_none() => self.start_from_status(),
            Event::Restart(_) => self.start_from_files(),
            Event::CrashAfter(change) => {
                self.put(change.name, |write| change.to.lies(write));
                self.start_from_status();
            }
            Event::BlockStatus(block) => self.status_blocked = *block,
            Event::BlockHolds(block) => self.holds_blocked = *block,
            Event::LoseHome(lose) => self.away = *lose,
            Event::ReplaceHome => {
                self.replaced = Some(self.own());
                self.files.values_mut().for_each(|lies| *lies = Lies::Nothing);
                (self.away, self.holds_blocked, self.status_blocked) = (false, false, false);
            }
            Event::BeginShutdown(deadline) => self.begin_shutdown(*deadline),
        }
        self.look();
        if self.can_publish() {
            self.published = (self.holds.clone(), self.answers());
        }
        self
    }

    fn put(&mut self, name: Name, lies: impl FnOnce(u32) -> Lies) {
        self.writes += 1;
        self.files.insert(name, lies(self.writes));
    }

    fn begin_shutdown(&mut self, deadline: u64) {
        if self.state == Stopped {
            return;
        }
        self.expire();
        if self.state == Running {
            self.generation += 1;
        }
        self.state = ShutdownDraining;
        for (name, hold) in std::mem::take(&mut self.holds) {
            self.spent.entry(name).or_default().push((hold.write, Ending::Absorbed));
        }
        let deadline = self.now + deadline;
        self.deadline = Some(self.deadline.map_or(deadline, |earlier| earlier.min(deadline)));
        self.follow();
    }

    /// A new process, which knows what the last status says.
    fn start_from_status(&mut self) {
        let (holds, answers) = self.published.clone();
        self.start();
        self.holds = holds;
        for (name, hold) in &mut self.holds {
            // What its last write was refused for is known from the answer to it.
            let last = answers.iter().find(|(answered, write, _)| answered == name && *write == hold.write);
            hold.refused =
                last.and_then(|(.., answer)| if let Outcome::Refused(why) = answer { Some(*why) } else { None });
        }
        for (name, write, answer) in answers {
            if answer == Outcome::Ended(Ending::Expired) {
                self.spent.entry(name).or_default().push((write, Ending::Expired));
            }
        }
        self.expire();
        self.follow();
    }

    /// A new process that finds no status: whoever may have the right to act keeps it.
    fn start_from_files(&mut self) {
        self.start();
        for (name, lies) in self.requests().0 {
            if let Lies::Asks(ask) = lies
                && ask.action == Action::Commit
                && name != Name::Marker
            {
                let expires_at = self.now + lease(ask.lease);
                let (write, committed) = (Some(ask.write), Some(ask.write));
                let hold = Hold { owner: ask.owner, write, refused: None, closes_at: self.now, expires_at, committed };
                self.holds.insert(name, hold);
            }
        }
        self.follow();
    }

    fn start(&mut self) {
        let (files, published) = (self.files.clone(), self.published.clone());
        let (now, holds_blocked) = (self.now, self.holds_blocked);
        let (incarnation, writes) = (self.incarnation + 1, self.writes);
        *self = Self { now, files, holds_blocked, incarnation, writes, published, ..Self::default() };
    }

    /// What asks for something, and what is of another boot.
    fn requests(&self) -> (Vec<(Name, Lies)>, Vec<Name>) {
        let own = self.own();
        let mut requests = Vec::new();
        let mut stale = Vec::new();
        for name in FILES {
            match &own.files[&name] {
                _ if name != Name::Marker && own.holds_blocked => {}
                Lies::Nothing => {}
                Lies::OtherBoot => stale.push(name),
                lies => requests.push((name, lies.clone())),
            }
        }
        if own.holds_blocked {
            requests.push((Name::Holds, Lies::NoContent));
        }
        (requests, stale)
    }

    /// The gateway looks at its files.
    fn look(&mut self) {
        self.expire();
        let (requests, _) = self.requests();
        let holds_blocked = self.own().holds_blocked;
        let known = |name: Name| name == Name::Marker || !holds_blocked;
        let absent = |name: &Name| known(*name) && !requests.iter().any(|(there, _)| there == name);
        self.holds.retain(|name, hold| hold.committed.is_some() || !absent(name));
        self.spent.retain(|name, _| !absent(name));
        let mut answers = Vec::new();
        for (name, lies) in requests {
            let (write, answer) = self.decide(name, &lies);
            answers.push((name, write, answer));
        }
        self.answers = answers;
        self.follow();
    }

    fn expire(&mut self) {
        let (now, spent) = (self.now, &mut self.spent);
        self.holds.retain(|name, hold| {
            let over = hold.committed.is_none() && hold.expires_at <= now;
            if over {
                spent.entry(*name).or_default().push((hold.write, Ending::Expired));
            }
            !over
        });
    }

    /// What was decided of a write before.
    fn decided(&self, name: Name, write: Option<u32>) -> Option<Outcome> {
        if let Some(hold) = self.holds.get(&name)
            && (write.is_none() || hold.write == write)
        {
            return Some(hold.answer(self.now));
        }
        let spent = self.spent.get(&name)?;
        spent.iter().find(|(spent, _)| *spent == write).map(|(_, ending)| Outcome::Ended(*ending))
    }

    fn decide(&mut self, name: Name, lies: &Lies) -> (Option<u32>, Outcome) {
        let nobody = |write| Ask {
            write,
            action: Action::Begin,
            owner: 0,
            lease: None,
            delay: 0,
            meant_for: None,
            drain: None,
            token: None,
            future: false,
        };
        let (write, mut ask) = match lies {
            Lies::Nothing | Lies::OtherBoot => unreachable!("it asks for nothing"),
            Lies::NoContent => (None, nobody(OTHER)),
            Lies::Garbage(write) => (Some(*write), nobody(*write)),
            Lies::Asks(ask) => (Some(ask.write), ask.clone()),
        };
        if name == Name::Marker {
            ask.action = Action::Begin;
        }
        let answer = match self.decided(name, write) {
            Some(answer) => answer,
            None if matches!(self.state, ShutdownDraining | Stopped) => Outcome::Refused(Denied::ShuttingDown),
            None => match ask.action {
                Action::Begin => self.begin(name, write, &ask),
                Action::Commit => self.commit(name, &ask),
                Action::Withdraw => self.withdraw(name, &ask),
                Action::Override => self.end(name, &ask, Ending::Overridden),
            },
        };
        (write, answer)
    }

    fn begin(&mut self, name: Name, write: Option<u32>, ask: &Ask) -> Outcome {
        if ask.meant_for.is_some_and(|process| process != self.incarnation) {
            return Outcome::Refused(Denied::OtherIncarnation);
        }
        let (now, expires_at) = (self.now, self.now + lease(ask.lease));
        if let Some(hold) = self.holds.get_mut(&name) {
            if hold.owner == 0 {
                hold.owner = ask.owner;
            }
            if hold.owner != ask.owner {
                return Outcome::Refused(Denied::NotYours);
            }
            (hold.expires_at, hold.write, hold.refused) = (expires_at, write, None);
            return hold.answer(now);
        }
        if write.is_some() {
            self.spent.remove(&name);
        }
        let closes_at = now + ask.delay;
        let hold = Hold { owner: ask.owner, write, refused: None, closes_at, expires_at, committed: None };
        let answer = hold.answer(now);
        self.holds.insert(name, hold);
        answer
    }

    fn commit(&mut self, name: Name, ask: &Ask) -> Outcome {
        let drained = self.drained();
        let Some(hold) = self.holds.get_mut(&name) else {
            let expired = self.spent.get(&name).is_some_and(|spent| spent.iter().any(|(_, e)| *e == Ending::Expired));
            return Outcome::Refused(if expired { Denied::LeaseExpired } else { Denied::NotHeld });
        };
        if hold.owner != ask.owner {
            return Outcome::Refused(Denied::NotYours);
        }
        hold.write = Some(ask.write);
        hold.refused = if ask.meant_for != Some(self.incarnation) {
            Some(Denied::OtherIncarnation)
        } else if ask.drain != Some(self.generation) {
            Some(Denied::OtherGeneration)
        } else if !hold.closes(self.now) {
            Some(Denied::NotClosedYet)
        } else if !drained {
            Some(Denied::NotDrained)
        } else {
            hold.committed = Some(ask.write);
            None
        };
        hold.answer(self.now)
    }

    fn withdraw(&mut self, name: Name, ask: &Ask) -> Outcome {
        if let Some(hold) = self.holds.get(&name) {
            if hold.owner != ask.owner {
                return Outcome::Refused(Denied::NotYours);
            }
            if hold.committed.is_some() && hold.committed != ask.token {
                return Outcome::Refused(Denied::Committed);
            }
        }
        self.end(name, ask, Ending::Withdrawn)
    }

    fn end(&mut self, name: Name, ask: &Ask, ending: Ending) -> Outcome {
        if self.holds.remove(&name).is_some() {
            self.spent.insert(name, vec![(Some(ask.write), ending)]);
        }
        Outcome::Ended(ending)
    }

    /// The gate is closed exactly while a hold closes it, or a shutdown.
    fn follow(&mut self) {
        let closes = self.holds.values().any(|hold| hold.closes(self.now));
        match self.state {
            Running if closes => {
                self.state = ExternalDraining;
                self.generation += 1;
            }
            ExternalDraining if !closes => self.state = Running,
            ShutdownDraining => {
                let deadline = self.deadline.unwrap_or(u64::MAX);
                self.interrupted |= deadline <= self.now;
                if self.turns + self.internal == 0 {
                    self.state = Stopped;
                } else if deadline.saturating_add(GRACE) <= self.now {
                    (self.state, self.abandoned) = (Stopped, true);
                }
            }
            _ => {}
        }
    }
}

fn lease(wanted: Option<u64>) -> u64 {
    wanted.unwrap_or(DEFAULT_LEASE).min(MAX_LEASE)
}
