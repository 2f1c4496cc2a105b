//! A gateway in a world of its own, in which time passes only while the probe waits.

use super::driver::PublishedStatus;
use super::world::{InFlight, TurnAnswer, Unread, World};
use super::{CanNotProbe, Interrupt};
use crate::control::scan::scan;
use crate::control::{Epoch, Home};
use crate::gate::Generation;
use crate::hold::{Facts, HoldSet, Incarnation, Nonce, RequestId};
use crate::status::HoldStatus;
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::rc::Rc;
use std::time::Duration;

pub(super) const TICK: Duration = Duration::from_millis(50);

/// A gateway that looks at its marker in every tick and publishes its status then. Where it is wrong, a test says it.
pub(super) struct Fake {
    pub(super) home: Home,
    pub(super) now: Rc<Cell<Duration>>,
    next_tick: Cell<Duration>,
    pub(super) state: RefCell<State>,
    /// How long a turn lasts.
    pub(super) turn: Duration,
    /// It tells of itself what this crate's gateways do, but for holds.
    pub(super) drain_object: bool,
    /// It follows the files of holds, by this crate's own rules, and tells of them.
    pub(super) knows_holds: bool,
    /// What it does to its holds against the rules, in each tick.
    pub(super) spoils: fn(&State, &mut HoldSet),
    /// Its process can't be seen, as in a container.
    pub(super) out_of_sight: bool,
    /// What somebody else does to it, in each tick.
    pub(super) others: Box<dyn Fn(&mut State)>,
    /// Whether the gate is closed, which it is as soon as it is asked to be.
    pub(super) closes: fn(&State) -> bool,
    /// What becomes of a turn, which is refused by a closed gate: its code, and whether it is counted.
    pub(super) admits: fn(&State) -> Option<(u16, bool)>,
    /// What it says in the place of the truth.
    pub(super) says: fn(&State, &mut Value),
}

#[expect(clippy::struct_excessive_bools, reason = "what a test may ask of it")]
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub(super) now: Duration,
    /// Whether a request of this epoch lies there, for how many ticks in a row, and how often one has come.
    pub(super) asked: bool,
    pub(super) ticks: u32,
    pub(super) requests: u32,
    pub(super) stale: bool,
    pub(super) sound: bool,
    pub(super) nonce: Value,
    pub(super) closed: bool,
    pub(super) generation: u64,
    /// When the turns in flight end.
    pub(super) turns: Vec<Duration>,
    pub(super) ended_in_drain: bool,
    pub(super) process: u64,
    /// It says nothing any more, or nothing until then.
    pub(super) is_dead: bool,
    pub(super) away_until: Duration,
    pub(super) shutting_down: bool,
    /// Its turns were over after that.
    pub(super) stopped: bool,
    pub(super) holds: HoldSet,
}

impl Fake {
    pub(super) fn in_home(home: Home) -> Self {
        Self {
            home,
            now: Rc::default(),
            next_tick: Cell::new(TICK),
            state: RefCell::default(),
            turn: Duration::from_secs(1),
            drain_object: true,
            knows_holds: false,
            spoils: |_, _| {},
            out_of_sight: false,
            others: Box::new(|_| {}),
            closes: |state| state.asked,
            admits: |state| (!state.closed).then_some((200, true)),
            says: |_, _| {},
        }
    }

    pub(super) fn tick(&self) {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        state.now = self.now.get();
        (self.others)(state);
        if state.is_dead || state.now < state.away_until {
            return;
        }
        let marker = self.home.marker();
        let there = fs::metadata(&marker);
        // What is long is unsound too, and takes long to read.
        let read = there.as_ref().ok().filter(|there| there.len() < 10_000).and_then(|_| fs::read(&marker).ok());
        let fields: Value = read.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        state.stale = fields["epoch"].as_str().is_some_and(|epoch| epoch.starts_with("another-boot"));
        state.sound = fields["action"] == "drain" || fields["principal"] == "gateway-drain-probe";
        state.nonce = fields["nonce"].clone();
        if self.knows_holds {
            self.follow(state);
        }
        let asked = if self.knows_holds { state.holds.closes(state.now) } else { there.is_ok() && !state.stale };
        state.requests += u32::from(asked && !state.asked);
        state.ticks = if asked == state.asked { state.ticks + 1 } else { 0 };
        state.asked = asked;
        let in_flight = state.turns.len();
        state.turns.retain(|end| *end > state.now);
        state.ended_in_drain |= state.closed && state.turns.len() < in_flight;
        let closed = (self.closes)(state) || state.shutting_down;
        state.generation += u64::from(closed && !state.closed);
        state.closed = closed;
        state.stopped = state.shutting_down && state.turns.is_empty();
        let word = match (state.stopped, closed) {
            (true, _) => "stopped",
            (false, true) => "draining",
            (false, false) => "running",
        };
        let mut status = json!({"gateway_state": word, "active_agents": state.turns.len(), "pid": state.process});
        if self.drain_object {
            let acknowledged = json!([{"nonce": state.nonce, "outcome": "held"}]);
            let ignored = if state.stale { json!([{"why": "another epoch"}]) } else { json!([]) };
            let inner = if state.shutting_down { "shutdown_draining" } else { "external_draining" };
            status["drain"] = json!({
                "state": if closed { inner } else { "running" }, "generation": state.generation, "epoch": "boot:1",
                "drained": closed && state.turns.is_empty(), "acknowledged": acknowledged, "ignored": ignored,
            });
        }
        if self.knows_holds {
            let holds: Vec<HoldStatus> = state.holds.iter().map(|hold| HoldStatus::of(hold, state.now)).collect();
            status["drain"]["holds"] = json!(holds);
            status["drain"]["acknowledged"] = json!(state.holds.acknowledged(state.now));
            status["drain"]["incarnation"] = json!(incarnation(state).as_str());
        }
        (self.says)(state, &mut status);
        match &status {
            Value::String(torn) => fs::write(self.home.status(), torn).unwrap(),
            status => fs::write(self.home.status(), status.to_string()).unwrap(),
        }
    }
}

impl Fake {
    /// Decides what lies in the files as a gateway does that is in this state.
    fn follow(&self, state: &mut State) {
        let known: Vec<RequestId> = state.holds.iter().map(|hold| hold.id.clone()).collect();
        let scan = scan(&self.home, &known, &Epoch::current());
        let recorded: BTreeSet<Nonce> = scan.requests.iter().filter_map(|request| request.nonce.clone()).collect();
        let facts = Facts {
            incarnation: &incarnation(state),
            generation: Generation::from(u32::try_from(state.generation).unwrap()),
            drained: state.closed && state.turns.is_empty(),
            shutting_down: state.shutting_down,
            recorded: Some(&recorded),
        };
        let mut holds = state.holds.clone();
        holds.reconcile(&scan.requests, |id| scan.is_absent(id), &facts, state.now);
        (self.spoils)(state, &mut holds);
        state.holds = holds;
    }
}

fn incarnation(state: &State) -> Incarnation {
    Incarnation::from(format!("process {}", state.process))
}

impl World for Fake {
    fn now(&self) -> Duration {
        self.now.get()
    }

    fn pause(&self, time: Duration, interrupt: &Interrupt) -> bool {
        let until = self.now.get() + time;
        loop {
            let next = self.next_tick.get();
            if next > until {
                break;
            }
            self.now.set(next);
            self.next_tick.set(next + TICK);
            self.tick();
        }
        self.now.set(until);
        interrupt.is_raised()
    }

    fn expect_a_turn(&self) -> Result<(), CanNotProbe> {
        Ok(())
    }

    fn turn(&self) -> Option<(TurnAnswer, Option<Unread>)> {
        let mut state = self.state.borrow_mut();
        let Some((code, counted)) = (self.admits)(&state) else { return Some((TurnAnswer::Refused, None)) };
        if code == 0 {
            return None;
        }
        let (now, end) = (self.now.clone(), self.now.get() + self.turn);
        if counted {
            state.turns.push(end);
        }
        let in_flight: InFlight = Box::new(move || now.get() >= end);
        Some((TurnAnswer::Admitted(code), Some(Unread::new(|| in_flight))))
    }

    fn lives(&self, seen: &PublishedStatus) -> Option<bool> {
        let state = self.state.borrow();
        Some(!self.out_of_sight && !state.is_dead && seen.process().0 == Some(state.process))
    }

    /// `stop` and `restart` do so at once, and return when they have been asked twice whether they have ended.
    fn run(&self, command: &str) -> io::Result<Box<dyn FnMut() -> io::Result<Option<ExitStatus>>>> {
        let mut state = self.state.borrow_mut();
        let mut code = 0;
        match command {
            "stop" => state.shutting_down = true,
            "restart" => {
                let mut after = State { process: state.process + 1, ..State::default() };
                state.holds.commits().into_iter().for_each(|hold| after.holds.restore(hold));
                *state = after;
            }
            "nothing" => {}
            _ => code = 256,
        }
        let (mut asked, ends) = (0, command != "hang");
        Ok(Box::new(move || {
            asked += 1;
            Ok((ends && asked > 2).then(|| ExitStatus::from_raw(code)))
        }))
    }
}
