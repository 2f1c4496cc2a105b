//! One process of a trace, replayed line by line against the rules that production runs on: [`next`] for its state and
//! [`HoldSet`] for its holds.
//!
//! A trace is written by many threads, so its lines are of two kinds. A *history* line (a move, a hold) tells of something
//! that had happened by then, in the order in which it happened. A *present* line (admit, finish, reading) is read as it
//! is written, so it may be ahead of the history that is still to be written, and never behind it. What is not in a trace
//! and need not be:
//!
//! - admissions and finishes that nobody logged: the counts of each line bound them;
//! - an admission logged after the gate had closed, by a thread that was overtaken: at most as many as were counted when
//!   it closed and not logged yet;
//! - moves that a present line is ahead of the history: at most [`position::AHEAD`];
//! - the end of a hold's unready delay.

mod holds;
mod position;

use crate::control::Epoch;
use crate::gate::Generation;
use crate::hold::{Hold, HoldSet, Incarnation, LeasePolicy, Request, RequestId};
use crate::properties::PropertyId;
use crate::state::{Denial, DrainState, Event, Step, next};
use crate::status::GatewayState;
use crate::trace::line::{Line, LineEvent, Order, Work};
use core::cmp::Ordering;
use holds::restored;
use position::{Counts, Position, following, reach};
use std::borrow::Cow;
use std::time::Duration;

/// Before the unready delay of any hold is over, and after those of all are.
const EARLY: Duration = Duration::ZERO;
const LATE: Duration = Duration::from_secs(3600);

/// What a line breaks, and how.
#[derive(Debug)]
pub(super) struct Breach {
    pub(super) property: PropertyId,
    pub(super) what: String,
}

fn breach<T>(property: PropertyId, what: impl Into<String>) -> Result<T, Breach> {
    Err(Breach { property, what: what.into() })
}

/// A hold that a successor must not lose.
pub(super) type Committed = (RequestId, String);

#[derive(Debug)]
pub(super) struct Process {
    incarnation: Incarnation,
    pub(super) epoch: Epoch,
    sequence: u64,
    history: Position,
    present: Position,
    published: Option<Position>,
    holds: HoldSet,
    /// A request that asks for nothing yet: to make one costs a random number for every line.
    blank: Request,
    /// A hold has ended in the drain under way.
    hold_ended: bool,
    /// Turns whose admission is logged and whose finish isn't.
    logged: u64,
    /// The same of internal work.
    logged_internal: u64,
    /// What was in flight before the first line and has not finished.
    unlogged: Counts,
    /// The gateway was stopped by force with work left.
    abandoned: bool,
    /// What is taken off each number of a drain, so that none wraps.
    base: Generation,
    /// The lines are in any order.
    loose: bool,
    /// The closing that the first line behind the gate showed: which, how many turns were logged as in flight then, and
    /// how many admissions have been logged since.
    late: (Option<Generation>, u64, u64),
}

impl Process {
    pub(super) fn start(line: &Line) -> Result<Self, Breach> {
        // Drains are counted on from any number, and the number wraps. One that is near its end is counted from itself.
        let near = line.generation.0 > Generation::MAX / 2;
        let base = Generation(if near { line.generation.0 } else { 0 });
        let line = &*from_base(line, base);
        let counts = Counts::of(line).unwrap_or_default();
        let position = Position::of(line, counts);
        let mut holds = HoldSet::new(LeasePolicy::default());
        for hold in line.holds.iter().flatten() {
            holds.restore(restored(hold));
        }
        let at = EARLY;
        match holds.moves(line.state, at) {
            Some(Event::BeginDrain) => {
                let by = holds.iter().filter(|h| h.closes(at)).map(|h| h.id.as_str()).collect::<Vec<_>>().join(", ");
                return breach(PropertyId::C5, format!("the gateway starts open under a live hold ({by})"));
            }
            Some(_) => return breach(PropertyId::H1, "the gateway starts closed, and no hold closes it"),
            None => {}
        }
        if line.state != DrainState::Running && !counts.is_zero() && holds.iter().any(|hold| hold.commit.is_some()) {
            return breach(PropertyId::E1, format!("{counts} are in flight under a committed hold"));
        }
        check_marks(line, counts, false)?;
        Ok(Self {
            incarnation: line.incarnation.clone(),
            epoch: line.epoch.clone().unwrap_or_default(),
            sequence: line.sequence,
            history: position,
            present: position,
            published: None,
            holds,
            blank: Request::begin(RequestId::marker(), ""),
            hold_ended: false,
            logged: 0,
            logged_internal: 0,
            unlogged: counts,
            abandoned: line.abandoned == Some(true),
            base,
            loose: line.order == Some(Order::Loose),
            late: (None, 0, 0),
        })
    }

    /// The sequence number that comes next.
    pub(super) fn expects(&self) -> u64 {
        self.sequence + 1
    }

    /// The holds that are committed and kept in files: a successor of the same epoch has them too (E1), after a shutdown
    /// as after a crash.
    pub(super) fn left_commits(&self) -> Vec<Committed> {
        let committed = self.holds.iter().filter(|hold| hold.is_committed_in_file());
        committed.map(|hold| (hold.id.clone(), hold.owner.clone())).collect()
    }

    pub(super) fn take(&mut self, line: &Line) -> Result<(), Breach> {
        self.sequence = line.sequence;
        let line = &*from_base(line, self.base);
        let counts = Counts::of(line);
        if let Some(counts) = counts {
            self.abandoned |= line.event == LineEvent::Stop && line.abandoned == Some(true) && !counts.is_zero();
            check_marks(line, counts, self.abandoned)?;
        }
        if self.loose {
            return Self::take_loose(line, counts);
        }
        match (line.event, counts) {
            (LineEvent::Start, _) => breach(PropertyId::C6, "a process starts twice: its incarnation is not its own"),
            (
                LineEvent::HoldBegun | LineEvent::HoldRenewed | LineEvent::HoldCommitted | LineEvent::HoldEnded,
                counts,
            ) => self.take_hold(line, counts),
            (LineEvent::Admit | LineEvent::Finish | LineEvent::Reading, Some(counts)) => {
                self.take_present(line, counts)
            }
            (LineEvent::Status, Some(counts)) => self.take_status(line, counts),
            (LineEvent::Interrupted, Some(counts)) => self.take_interrupt(line, counts),
            (event, Some(counts)) => match event.moves() {
                Some(moved) => self.take_move(line, moved, counts),
                None => Ok(()),
            },
            // `Line::misfit` has turned this away.
            (_, None) => Ok(()),
        }
    }

    /// What a line says by itself, wherever it stands.
    fn take_loose(line: &Line, counts: Option<Counts>) -> Result<(), Breach> {
        let in_flight = counts.filter(|counts| !counts.is_zero());
        match (line.event, in_flight) {
            (LineEvent::Status, _) => check_published(line),
            (LineEvent::HoldCommitted, Some(counts)) => {
                breach(PropertyId::E1, format!("a hold was committed with {counts} in flight"))
            }
            (LineEvent::HoldCommitted, None) if line.state.admits() => {
                breach(PropertyId::E1, "a hold was committed while the gate is open")
            }
            _ => Ok(()),
        }
    }

    /// Turns that are logged as admitted and not as finished are in flight: what is told from behind a closed gate can't
    /// count fewer, since nobody has come in since. And once it is drained no internal work is left either.
    fn check_logged(&self, line: &Line, counts: Counts, property: PropertyId) -> Result<(), Breach> {
        let present = &self.present;
        if present.state.admits() || line.state.admits() || present.generation != line.generation {
            return Ok(());
        }
        let lost = self.logged.saturating_sub(counts.turns);
        let lost_internal = if counts.is_zero() { self.logged_internal } else { 0 };
        if lost + lost_internal == 0 {
            return Ok(());
        }
        let in_flight = Counts { turns: self.logged, internal: self.logged_internal };
        breach(
            property,
            format!("{in_flight} are logged as admitted and not as finished, and the line counts {counts}"),
        )
    }

    fn take_move(&mut self, line: &Line, event: Event, counts: Counts) -> Result<(), Breach> {
        let from = self.history;
        let to = match next(from.state, event) {
            Step::Moves(to) => to,
            Step::Stays => {
                if !from.is_at(line.state, line.generation) {
                    let what = format!("{} changes nothing in {}, and here it did", word(event), from.state);
                    return breach(PropertyId::S2, what);
                }
                from.state
            }
            Step::Refused(why) => {
                let property = match why {
                    Denial::NotShuttingDown => PropertyId::S1,
                    Denial::ShutdownWins => PropertyId::S3,
                    Denial::StoppedIsFinal => PropertyId::S4,
                };
                return breach(property, format!("{} happened in {}: {why}", word(event), from.state));
            }
        };
        if line.state != to {
            let what = format!("{} leads from {} to {to}, and here it led to {}", word(event), from.state, line.state);
            return breach(PropertyId::S1, what);
        }
        let opens = from.state.admits() && !to.admits();
        let generation = if opens { following(from.generation) } else { from.generation };
        if line.generation != generation {
            let what = format!("this is drain {generation}, and the line calls it {}", line.generation);
            return breach(PropertyId::G4, what);
        }
        self.check_cause(event, from.state)?;
        let position = Position::of(line, counts);
        self.check_order(&position)?;
        let told = match event {
            Event::Stop if self.abandoned => PropertyId::G6,
            Event::Stop => PropertyId::S5,
            _ if counts.is_zero() => PropertyId::G3,
            _ => PropertyId::G6,
        };
        // A gate that closes: what was logged while it was open, and isn't finished, is still there.
        if !opens || self.present.is_at(from.state, from.generation) && self.logged > counts.turns {
            if opens {
                let told = if counts.is_zero() { PropertyId::G3 } else { PropertyId::G2 };
                let Counts { turns, .. } = counts;
                let what = format!(
                    "{} turn(s) are logged as admitted and not as finished, and the gate closed on {turns}",
                    self.logged
                );
                return breach(told, what);
            }
            self.check_logged(line, counts, told)?;
        }
        self.history.move_to(&position).map_err(|found| self.under_commit(found))?;
        let ahead = Position::rank(self.present.state, self.present.generation) >= Position::rank(to, generation);
        if opens {
            self.hold_ended = false;
            // Turns logged by a present that is ahead may have been admitted after this drain.
            if ahead { self.check_late()? } else { self.closed(generation)? }
        }
        // What has happened is part of the present.
        if !ahead {
            self.present.move_to(&position).map_err(|found| self.under_commit(found))?;
        } else if opens && self.present.shares_drain(&position) && self.present.first.turns > counts.turns {
            let (first, closing) = (self.present.first.turns, counts.turns);
            let what = format!("{first} turn(s) were seen in flight behind a gate that closed on {closing}");
            return breach(PropertyId::G2, what);
        }
        Ok(())
    }

    /// Whether the holds give cause for this move (H1, H2, E1).
    fn check_cause(&mut self, event: Event, from: DrainState) -> Result<(), Breach> {
        let wanted = self.holds.moves(from, EARLY);
        match event {
            Event::BeginDrain if from == DrainState::Running && wanted.is_none() => {
                if self.holds.moves(from, LATE).is_none() {
                    return breach(PropertyId::H1, "the gate closed, and no hold closes it");
                }
                // An unready delay is over: if it can only be that of one hold, that hold closes the gate from now on.
                let pending: Vec<Hold> = self.holds.iter().filter(|hold| !hold.closes(EARLY)).cloned().collect();
                if let [hold] = &pending[..] {
                    self.holds.restore(Hold { closes_at: EARLY, ..hold.clone() });
                }
                Ok(())
            }
            Event::EndDrain if from == DrainState::ExternalDraining && wanted.is_none() => {
                let closing: Vec<&Hold> = self.holds.iter().filter(|hold| hold.closes(EARLY)).collect();
                let names = closing.iter().map(|hold| hold.id.as_str()).collect::<Vec<_>>().join(", ");
                let property = if closing.iter().any(|hold| hold.commit.is_some()) {
                    PropertyId::E1
                } else if self.hold_ended {
                    PropertyId::H2
                } else {
                    PropertyId::H1
                };
                breach(property, format!("the gate reopened while a live hold closes it ({names})"))
            }
            _ => Ok(()),
        }
    }

    /// Whether history passes through where the gate has already been seen.
    fn check_order(&self, position: &Position) -> Result<(), Breach> {
        let seen = Position::rank(self.present.state, self.present.generation);
        let from = Position::rank(self.history.state, self.history.generation);
        match seen.cmp(&Position::rank(position.state, position.generation)) {
            Ordering::Less if from < seen => {
                let what = format!(
                    "the gate was seen in {} in drain {}, and its moves never led there",
                    self.present.state, self.present.generation
                );
                breach(PropertyId::S1, what)
            }
            Ordering::Greater => reach(position, &self.present),
            _ => Ok(()),
        }
    }

    fn take_interrupt(&mut self, line: &Line, counts: Counts) -> Result<(), Breach> {
        if line.state != DrainState::ShutdownDraining || !self.history.is_at(line.state, line.generation) {
            return breach(PropertyId::S3, "work was interrupted, and only a shutdown past its deadline does that");
        }
        self.check_logged(line, counts, PropertyId::G6)?;
        self.history.move_to(&Position::of(line, counts)).map_err(|found| self.under_commit(found))
    }

    fn take_present(&mut self, line: &Line, counts: Counts) -> Result<(), Breach> {
        let position = Position::of(line, counts);
        reach(&self.present, &position)?;
        if self.history.is_at(line.state, line.generation) {
            self.check_settled(line.event)?;
        }
        if self.history.shares_drain(&position) {
            self.history.counts.fall_to(counts).map_err(|found| self.under_commit(found))?;
        }
        self.present.move_to(&position).map_err(|found| self.under_commit(found))?;
        if !line.state.admits() {
            self.closed(line.generation)?;
        }
        self.count(line, counts)
    }

    /// What the holds ask for has been done before they are in the trace.
    fn check_settled(&self, event: LineEvent) -> Result<(), Breach> {
        match self.holds.moves(self.history.state, EARLY) {
            Some(Event::BeginDrain) => {
                let by = self.holds.iter().map(|hold| hold.id.as_str()).collect::<Vec<_>>().join(", ");
                let property = if event == LineEvent::Admit { PropertyId::G1 } else { PropertyId::H1 };
                breach(property, format!("the gate is open although a live hold closes it ({by})"))
            }
            // A hold whose unready delay may be over has perhaps taken over.
            Some(Event::EndDrain) if self.holds.moves(self.history.state, LATE).is_some() => {
                breach(PropertyId::L2, "the gate is still closed although its last hold has ended")
            }
            _ => Ok(()),
        }
    }

    /// Logged work against counted work, of each kind by itself.
    fn count(&mut self, line: &Line, counts: Counts) -> Result<(), Breach> {
        let turn = line.work == Some(Work::Turn);
        if line.event == LineEvent::Admit {
            if turn {
                self.logged += 1;
                if !line.state.admits() {
                    self.late.2 += 1;
                    self.check_late()?;
                }
            } else {
                self.logged_internal += 1;
            }
        }
        let kinds = [
            ("turn(s)", self.logged, counts.turns),
            ("piece(s) of internal work", self.logged_internal, counts.internal),
        ];
        if let Some((kind, logged, counted)) = kinds.into_iter().find(|(_, logged, counted)| logged > counted) {
            let what = format!("{logged} {kind} are logged as in flight, and {counted} counted");
            return breach(PropertyId::G6, what);
        }
        if line.event == LineEvent::Finish {
            let (kind, counted) = if turn { ("a turn", counts.turns) } else { ("internal work", counts.internal) };
            let (logged, unlogged) = if turn {
                (&mut self.logged, &mut self.unlogged.turns)
            } else {
                (&mut self.logged_internal, &mut self.unlogged.internal)
            };
            if counted == 0 {
                return breach(PropertyId::G6, format!("{kind} is about to finish, and none is counted"));
            }
            if *logged > 0 {
                *logged -= 1;
            } else if *unlogged > 0 {
                *unlogged -= 1;
            } else {
                return breach(PropertyId::G6, format!("{kind} finished that was never admitted"));
            }
        }
        Ok(())
    }

    /// The first line behind a closed gate: turns that are logged as admitted from now on were admitted before it closed.
    fn closed(&mut self, generation: Generation) -> Result<(), Breach> {
        if self.late.0 != Some(generation) {
            self.late = (Some(generation), self.logged, 0);
        }
        self.check_late()
    }

    fn check_late(&self) -> Result<(), Breach> {
        let (generation, logged, since) = self.late;
        let closing = self.history.first.turns;
        if generation == Some(self.history.generation) && logged + since > closing {
            let what = format!(
                "{since} turn(s) were logged as admitted after the gate had closed, on {closing} in flight of which \
                 {logged} were logged"
            );
            return breach(PropertyId::G2, what);
        }
        Ok(())
    }

    fn take_status(&mut self, line: &Line, counts: Counts) -> Result<(), Breach> {
        check_published(line)?;
        let told = if counts.is_zero() { PropertyId::G3 } else { PropertyId::G6 };
        self.check_logged(line, counts, told).map_err(|found| self.under_commit(found))?;
        let position = Position::of(line, counts);
        let Some(published) = &mut self.published else {
            self.published = Some(position);
            return Ok(());
        };
        reach(published, &position)?;
        published.move_to(&position)
    }

    fn under_commit(&self, found: Breach) -> Breach {
        let committed = self.holds.iter().any(|hold| hold.commit.is_some());
        if committed && matches!(found.property, PropertyId::G2 | PropertyId::G3) {
            return Breach { property: PropertyId::E1, what: format!("{}, under a committed hold", found.what) };
        }
        found
    }

    /// What could have come next, for people.
    pub(super) fn possible(&self) -> Vec<String> {
        let Position { state, generation, counts, .. } = self.history;
        let mut possible = vec![format!("the gateway is in {state} in drain {generation}; last counted: {counts}")];
        let holds: Vec<String> = self
            .holds
            .iter()
            .map(|hold| {
                let committed = if hold.commit.is_some() { ", committed" } else { "" };
                let pending = if hold.closes(EARLY) { "" } else { ", pending" };
                format!("{} of {:?}{committed}{pending}", hold.id, hold.owner)
            })
            .collect();
        possible.push(if holds.is_empty() { "no hold".into() } else { format!("holds: {}", holds.join("; ")) });
        for event in Event::ALL {
            if let Step::Moves(to) = next(state, event) {
                let opens = state.admits() && !to.admits();
                let drain = if opens { following(generation) } else { generation };
                let when = match (event, self.holds.moves(state, EARLY)) {
                    (Event::BeginDrain | Event::EndDrain, None) => ", once the holds ask for it",
                    (Event::Stop, _) if !counts.is_zero() => ", once nothing is in flight or marked as abandoned",
                    _ => "",
                };
                possible.push(format!("{}: to {to} in drain {drain}{when}", word(event)));
            }
        }
        let more = match (state, counts.is_zero()) {
            (DrainState::Running, _) => "readings and admissions in this state, with any counts".into(),
            (_, true) => "readings with nothing in flight".into(),
            (_, false) => format!("readings and finishes with at most {} turn(s) in flight", counts.turns),
        };
        possible.push(more);
        possible
    }
}

/// The same line, with the number of its drain counted from `base`.
fn from_base(line: &Line, base: Generation) -> Cow<'_, Line> {
    if base.0 == 0 {
        return Cow::Borrowed(line);
    }
    let generation = Generation(line.generation.0.wrapping_sub(base.0) & Generation::MAX);
    Cow::Owned(Line { generation, ..line.clone() })
}

/// What a counted line says of itself. Whether work was abandoned need not be said again after the stop.
fn check_marks(line: &Line, counts: Counts, known: bool) -> Result<(), Breach> {
    let abandoned = line.abandoned.unwrap_or(known && line.state == DrainState::Stopped);
    if abandoned && line.state != DrainState::Stopped {
        return breach(
            PropertyId::S5,
            format!("work was abandoned in {}, and only a forced stop does that", line.state),
        );
    }
    if line.state == DrainState::Stopped && !counts.is_zero() && !abandoned {
        return breach(PropertyId::S5, format!("stopped with {counts} in flight, which nobody abandoned"));
    }
    let drained = !line.state.admits() && counts.is_zero() && !abandoned;
    if line.drained.is_some_and(|said| said != drained) {
        let said = if drained { "not drained" } else { "drained" };
        return breach(
            PropertyId::G3,
            format!("the line says {said}, and it is {} with {counts} in flight", line.state),
        );
    }
    Ok(())
}

/// What the word of a status claims of the gateway that it shows. Draining claims nothing that somebody could act on by itself.
fn check_published(line: &Line) -> Result<(), Breach> {
    let claims = match line.published {
        Some(GatewayState::Running) if !line.state.admits() => PropertyId::S6,
        Some(GatewayState::Stopped) if line.state != DrainState::Stopped => PropertyId::S4,
        _ => return Ok(()),
    };
    let shown = if claims == PropertyId::S6 { "running" } else { "stopped" };
    breach(claims, format!("the status shows {shown}, and the gateway is in {}", line.state))
}

fn word(event: Event) -> &'static str {
    match event {
        Event::BeginDrain => "begin_drain",
        Event::EndDrain => "end_drain",
        Event::BeginShutdown => "begin_shutdown",
        Event::Stop => "stop",
    }
}
