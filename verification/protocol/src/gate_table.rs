//! What the real gate does, as a table: every gate with few turns in flight, and what each step makes of it.
//!
//! Filled by driving an [`AnyLifecycle`] and its gate, permits and all, to every condition they can reach; so a step of the
//! model is a look into this table, and the table is the production code's own. Of the generation it keeps only
//! whether a step opened a new one: generations are compared with the current one and with nothing else.

use gateway_drain::gate::{OwnedPermit, Reading};
use gateway_drain::lifecycle::{Handled, Lifecycle};
use gateway_drain::state::{Step, next};
use gateway_drain::{AnyLifecycle, DrainState, Event, Permit};

/// What can be done to a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// A turn asks to come in.
    Admit,
    /// Internal work asks to come in.
    AdmitInternal,
    /// A turn ends.
    EndTurn,
    /// Internal work ends.
    EndInternal,
    /// The lifecycle handles an event.
    On(Event),
    /// The work in flight is asked to give up.
    Interrupt,
    /// The shutdown ends whatever is in flight.
    ForceStop,
}

const ACTS: [Act; 10] = [
    Act::Admit,
    Act::AdmitInternal,
    Act::EndTurn,
    Act::EndInternal,
    Act::On(Event::BeginDrain),
    Act::On(Event::EndDrain),
    Act::On(Event::BeginShutdown),
    Act::On(Event::Stop),
    Act::Interrupt,
    Act::ForceStop,
];

impl Act {
    fn index(self) -> usize {
        ACTS.iter().position(|act| *act == self).expect("every act is in the list")
    }
}

/// What an act makes of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Became {
    /// The gate then.
    pub gate: u8,
    /// Whether a new generation began.
    pub new_generation: bool,
}

/// Gates, by number. Number 0 is a new one.
pub struct GateTable {
    readings: Vec<Reading>,
    became: Vec<[Option<Became>; ACTS.len()]>,
}

struct Real {
    lifecycle: AnyLifecycle,
    turns: Vec<OwnedPermit>,
    internal: Vec<OwnedPermit>,
}

impl Real {
    fn after(path: &[Act]) -> Self {
        let mut real = Self { lifecycle: Lifecycle::new().into(), turns: Vec::new(), internal: Vec::new() };
        for act in path {
            real.take(*act);
        }
        real
    }

    fn reading(&self) -> Reading {
        self.lifecycle.gate().reading()
    }

    fn take(&mut self, act: Act) {
        let gate = self.lifecycle.gate().clone();
        match act {
            Act::Admit => self.turns.extend(gate.admit().ok().map(Permit::into_owned)),
            Act::AdmitInternal => self.internal.extend(gate.admit_internal().ok().map(Permit::into_owned)),
            Act::EndTurn => drop(self.turns.pop()),
            Act::EndInternal => drop(self.internal.pop()),
            Act::On(event) => {
                let before = self.lifecycle.state();
                let handled = self.lifecycle.on(event);
                let agreed = match (next(before, event), handled) {
                    (Step::Moves(to), Handled::Moved(reading)) => reading.state == to,
                    (Step::Moves(DrainState::Stopped), Handled::InFlight(reading)) => reading.total() > 0,
                    (Step::Stays, Handled::Stayed) => true,
                    (Step::Refused(why), Handled::Refused(said)) => why == said,
                    _ => false,
                };
                assert!(agreed, "S1: {event:?} in {before} was handled as {handled:?}, against the table");
            }
            Act::Interrupt => drop(self.lifecycle.interrupt()),
            Act::ForceStop => drop(self.lifecycle.force_stop()),
        }
    }
}

impl GateTable {
    /// Every gate that can be reached with at most so much in flight.
    pub fn new(turns: u64, internal: u64) -> Self {
        let same = |a: &Reading, b: &Reading| Reading { generation: b.generation, ..*a } == *b;
        let mut paths: Vec<Vec<Act>> = vec![Vec::new()];
        let mut table = Self { readings: vec![Real::after(&[]).reading()], became: Vec::new() };
        while let Some(path) = paths.get(table.became.len()).cloned() {
            let row = ACTS.map(|act| {
                let mut real = Real::after(&path);
                let before = real.reading();
                real.take(act);
                let after = real.reading();
                if after == before || after.in_flight > turns || after.internal > internal {
                    return None;
                }
                let known = table.readings.iter().position(|reading| same(reading, &after));
                let gate = known.unwrap_or_else(|| {
                    table.readings.push(after);
                    paths.push(path.iter().copied().chain([act]).collect());
                    table.readings.len() - 1
                });
                let gate = u8::try_from(gate).expect("few gates");
                Some(Became { gate, new_generation: after.generation != before.generation })
            });
            table.became.push(row);
        }
        table
    }

    /// The gate with one more in flight, against its own rules, where some gate of the table is so.
    pub fn against(&self, gate: u8, act: Act) -> Option<u8> {
        let mut wanted = Reading { drained: false, ..*self.reading(gate) };
        *if act == Act::Admit { &mut wanted.in_flight } else { &mut wanted.internal } += 1;
        let so = |reading: &Reading| Reading { generation: wanted.generation, ..*reading } == wanted;
        u8::try_from(self.readings.iter().position(so)?).ok()
    }

    /// Leaves out of every gate that work was abandoned.
    pub fn forget_what_was_abandoned(&mut self) {
        self.readings.iter_mut().for_each(|reading| reading.abandoned = false);
    }

    /// All that the gate knows, but for its generation.
    pub fn reading(&self, gate: u8) -> &Reading {
        &self.readings[gate as usize]
    }

    /// What an act makes of the gate; `None` if nothing.
    pub fn after(&self, gate: u8, act: Act) -> Option<Became> {
        self.became[gate as usize][act.index()]
    }
}
