//! What a gateway has to be like after each event. Pure: no file, no thread, and time is a number of seconds.
//!
//! It is written from the design's words, as plainly as it can be: a map of holds, a list of the writes that are spent,
//! and whether work is in flight. Of the crate it uses the words (states, outcomes) and none of the rules.

use crate::reference::event::{Event, StatusFile};
use gateway_drain::DrainState;
use gateway_drain::DrainState::{ExternalDraining, Running, ShutdownDraining, Stopped};
use gateway_drain::hold::{Denied, Ending, NotHonoured, Outcome};
use std::collections::{BTreeMap, BTreeSet};

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
    OtherBoot(u32),
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
    /// It ends with its process, unless committed.
    pub bound: bool,
    /// What was seen in its place last was somebody else's.
    pub overwritten: bool,
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
        if self.committed.is_some() {
            Outcome::Committed
        } else if self.closes(now) {
            Outcome::Held
        } else {
            Outcome::Pending
        }
    }
}

/// What was decided of each write that lies there: this or, if nothing is said, that it stands as its hold stands.
type Decided = BTreeMap<Name, Vec<(Option<u32>, Option<Outcome>)>>;

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
    decided: Decided,
    /// Where a lease has run out and nothing has begun since.
    lapsed: BTreeSet<Name>,
    /// The commits on record.
    recorded: BTreeMap<Name, Hold>,
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
            decided: Decided::new(),
            lapsed: BTreeSet::new(),
            recorded: BTreeMap::new(),
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
        let mut answers = Vec::new();
        for (name, writes) in &self.decided {
            for (write, _) in writes {
                answers.extend(self.standing(*name, *write).map(|answer| (*name, *write, answer)));
            }
        }
        answers
    }

    /// What lies in the channel, or doesn't any more, and is not honoured.
    #[must_use]
    pub fn ignored(&self) -> Vec<Name> {
        let requests = self.requests();
        let stale = requests.iter().filter(|(_, lies)| matches!(lies, Lies::OtherBoot(_)));
        let overwritten = requests.iter().filter(|(name, _)| self.holds.get(name).is_some_and(|hold| hold.overwritten));
        let answers = self.answers();
        let answered = |name: &Name| answers.iter().any(|(answered, ..)| answered == name);
        let forgotten = self.holds.iter().filter(|(name, hold)| hold.committed.is_some() && !answered(name));
        stale.chain(overwritten).map(|(name, _)| *name).chain(forgotten.map(|(name, _)| *name)).collect()
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
        let commits = self.holds.iter().filter(|(_, hold)| hold.committed.is_some());
        self.recorded = commits.map(|(name, hold)| (*name, hold.clone())).collect();
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
        if self.state == Running {
            self.generation += 1;
        }
        self.state = ShutdownDraining;
        let deadline = self.now + deadline;
        self.deadline = Some(self.deadline.map_or(deadline, |earlier| earlier.min(deadline)));
        self.follow();
    }

    /// A new process, which knows what the last status says.
    fn start_from_status(&mut self) {
        let (holds, answers) = self.published.clone();
        self.start();
        self.holds = holds.into_iter().filter(|(_, hold)| hold.committed.is_some() || !hold.bound).collect();
        for (name, write, answer) in answers {
            let decided = match answer {
                Outcome::Refused(Denied::ShuttingDown) => continue,
                Outcome::Held | Outcome::Pending | Outcome::Committed if !self.holds.contains_key(&name) => continue,
                Outcome::Held | Outcome::Pending | Outcome::Committed => None,
                answer => Some(answer),
            };
            if answer == Outcome::Ended(Ending::Expired) {
                self.lapsed.insert(name);
            }
            self.decided.entry(name).or_default().push((write, decided));
        }
        self.follow();
    }

    /// A new process that finds no status: the commits on record, and of the others that they may have been refused.
    fn start_from_files(&mut self) {
        if self.replaced.is_some() {
            // Another home, with a record of its own.
            self.recorded.clear();
        }
        self.start();
        self.holds.clone_from(&self.recorded);
        for (name, lies) in self.requests() {
            if let Lies::Asks(ask) = lies
                && ask.action == Action::Commit
                && name != Name::Marker
                && !self.holds.contains_key(&name)
            {
                let expires_at = self.now + lease(ask.lease);
                let (bound, overwritten, committed) = (false, false, None);
                let closes_at = self.now;
                let hold = Hold { owner: ask.owner, write: None, bound, overwritten, closes_at, expires_at, committed };
                self.holds.insert(name, hold);
                self.decided.insert(name, vec![(Some(ask.write), Some(Outcome::Refused(Denied::NotHeld)))]);
            }
        }
        self.follow();
    }

    fn start(&mut self) {
        let (files, published) = (self.files.clone(), self.published.clone());
        let (now, holds_blocked) = (self.now, self.holds_blocked);
        let (incarnation, writes) = (self.incarnation + 1, self.writes);
        let recorded = self.recorded.clone();
        *self = Self { now, files, holds_blocked, recorded, incarnation, writes, published, ..Self::default() };
    }

    /// What lies there.
    fn requests(&self) -> Vec<(Name, Lies)> {
        let own = self.own();
        let seen = |name: &Name| *name == Name::Marker || !own.holds_blocked;
        let there = FILES.into_iter().filter(seen).map(|name| (name, own.files[&name].clone()));
        let mut requests: Vec<_> = there.filter(|(_, lies)| *lies != Lies::Nothing).collect();
        if own.holds_blocked {
            requests.push((Name::Holds, Lies::NoContent));
        }
        requests
    }

    /// The gateway looks at its files. A lease ends after the renewals and the owner's commits that lie there.
    fn look(&mut self) {
        let requests = self.requests();
        let holds_blocked = self.own().holds_blocked;
        let known = |name: Name| name == Name::Marker || !holds_blocked;
        let absent = |name: &Name| known(*name) && !requests.iter().any(|(there, _)| there == name);
        let another_s = |name: &Name, hold: &Hold| hold.overwritten && *name != Name::Marker;
        self.holds.retain(|name, hold| hold.committed.is_some() || another_s(name, hold) || !absent(name));
        self.decided.retain(|name, _| !absent(name));
        self.lapsed.retain(|name| !absent(name));
        let owner = |lies: &Lies| if let Lies::Asks(ask) = lies { ask.owner } else { 0 };
        let prolongs = |name: &Name, lies: &Lies| match lies {
            Lies::OtherBoot(_) | Lies::Nothing => false,
            Lies::Asks(ask) => matches!(ask.action, Action::Begin | Action::Commit) || *name == Name::Marker,
            Lies::NoContent | Lies::Garbage(_) => true,
        };
        let (outlasting, others): (Vec<_>, Vec<_>) = requests.into_iter().partition(|(name, lies)| {
            prolongs(name, lies) && self.holds.get(name).is_some_and(|hold| hold.owner == owner(lies))
        });
        for (name, lies) in &outlasting {
            self.decide(*name, lies);
        }
        self.expire();
        for (name, lies) in &others {
            self.decide(*name, lies);
        }
        self.follow();
    }

    fn expire(&mut self) {
        let over = |hold: &Hold| hold.committed.is_none() && hold.expires_at <= self.now;
        let due: Vec<Name> = self.holds.iter().filter(|(_, hold)| over(hold)).map(|(name, _)| *name).collect();
        for name in due {
            // Of a place in which nothing lies, nothing is remembered.
            if self.decided.contains_key(&name) {
                self.lapsed.insert(name);
            }
            self.take_away(name, Ending::Expired);
        }
    }

    /// Ends a hold, and with it what stood as it did.
    fn take_away(&mut self, name: Name, ending: Ending) {
        self.holds.remove(&name);
        for (_, decided) in self.decided.get_mut(&name).into_iter().flatten() {
            decided.get_or_insert(Outcome::Ended(ending));
        }
    }

    /// How a write stands that was decided before.
    fn standing(&self, name: Name, write: Option<u32>) -> Option<Outcome> {
        let hold = self.holds.get(&name);
        if let Some(hold) = hold.filter(|hold| hold.write == write) {
            return Some(hold.answer(self.now));
        }
        let (_, decided) = self.decided.get(&name)?.iter().find(|(known, _)| *known == write)?;
        decided.or_else(|| hold.map(|hold| hold.answer(self.now)))
    }

    fn note(&mut self, name: Name, write: Option<u32>, decided: Option<Outcome>) {
        let writes = self.decided.entry(name).or_default();
        // A write takes the place of every other; what has no content is none.
        writes.retain(|(known, _)| write.is_none() && known.is_some());
        writes.push((write, decided));
        if decided.is_none() {
            self.lapsed.remove(&name);
        }
    }

    fn decide(&mut self, name: Name, lies: &Lies) {
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
        let (write, mut ask, stale) = match lies {
            Lies::Nothing => unreachable!("it asks for nothing"),
            Lies::OtherBoot(write) => (Some(*write), nobody(*write), true),
            Lies::NoContent => (None, nobody(OTHER), false),
            Lies::Garbage(write) => (Some(*write), nobody(*write), false),
            Lies::Asks(ask) => (Some(ask.write), ask.clone(), false),
        };
        if name == Name::Marker {
            ask.action = Action::Begin;
        }
        if let Some(hold) = self.holds.get_mut(&name) {
            let free = hold.owner == 0 && hold.committed.is_none() && ask.action == Action::Begin;
            hold.overwritten = stale || (hold.owner != ask.owner && !free);
        }
        if self.standing(name, write).is_some() {
            let noted = self.decided.get(&name).is_some_and(|writes| writes.iter().any(|(known, _)| *known == write));
            if !noted {
                self.note(name, write, None);
            }
            return;
        }
        let ending = matches!(self.state, ShutdownDraining | Stopped);
        let decided = if stale {
            Some(Outcome::Ignored(NotHonoured::OtherEpoch))
        } else if ending && matches!(ask.action, Action::Begin | Action::Commit) {
            Some(Outcome::Refused(Denied::ShuttingDown))
        } else if ask.meant_for.is_some_and(|process| process != self.incarnation) {
            Some(Outcome::Refused(Denied::OtherIncarnation))
        } else {
            let granted = match ask.action {
                Action::Begin => self.begin(name, write, &ask),
                Action::Commit => self.commit(name, &ask),
                Action::Withdraw => self.withdraw(name, &ask),
                Action::Override => self.end(name, Ending::Overridden),
            };
            granted.unwrap_or_else(|why| Some(Outcome::Refused(why)))
        };
        self.note(name, write, decided);
    }

    fn begin(&mut self, name: Name, write: Option<u32>, ask: &Ask) -> Result<Option<Outcome>, Denied> {
        let expires_at = self.now + lease(ask.lease);
        let bound = ask.meant_for.is_some();
        if let Some(hold) = self.holds.get_mut(&name) {
            if hold.owner == 0 && hold.committed.is_none() {
                hold.owner = ask.owner;
            }
            if hold.owner != ask.owner {
                return Err(Denied::NotYours);
            }
            if hold.committed.is_some() {
                return Err(Denied::Committed);
            }
            if write.is_some() {
                (hold.expires_at, hold.write, hold.bound) = (expires_at, write, bound);
            }
            return Ok(None);
        }
        let (closes_at, overwritten) = (self.now + ask.delay, false);
        let hold = Hold { owner: ask.owner, write, bound, overwritten, closes_at, expires_at, committed: None };
        self.holds.insert(name, hold);
        Ok(None)
    }

    fn commit(&mut self, name: Name, ask: &Ask) -> Result<Option<Outcome>, Denied> {
        let drained = self.drained();
        let lapsed = self.lapsed.contains(&name);
        let Some(hold) = self.holds.get_mut(&name) else {
            return Err(if lapsed { Denied::LeaseExpired } else { Denied::NotHeld });
        };
        if hold.owner != ask.owner {
            return Err(Denied::NotYours);
        }
        if ask.meant_for != Some(self.incarnation) {
            return Err(Denied::OtherIncarnation);
        }
        if ask.drain != Some(self.generation) {
            return Err(Denied::OtherGeneration);
        }
        if !hold.closes(self.now) {
            return Err(Denied::NotClosedYet);
        }
        if !drained {
            return Err(Denied::NotDrained);
        }
        (hold.committed, hold.write, hold.bound) = (Some(ask.write), Some(ask.write), false);
        Ok(None)
    }

    fn withdraw(&mut self, name: Name, ask: &Ask) -> Result<Option<Outcome>, Denied> {
        if let Some(hold) = self.holds.get(&name) {
            if hold.owner != ask.owner {
                return Err(Denied::NotYours);
            }
            if hold.committed.is_some() && hold.committed != ask.token {
                return Err(Denied::Committed);
            }
        }
        self.end(name, Ending::Withdrawn)
    }

    fn end(&mut self, name: Name, ending: Ending) -> Result<Option<Outcome>, Denied> {
        if !self.holds.contains_key(&name) && matches!(self.state, ShutdownDraining | Stopped) {
            return Err(Denied::ShuttingDown);
        }
        self.take_away(name, ending);
        Ok(Some(Outcome::Ended(ending)))
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
