//! What a controller of a fleet decides, asked of the crate; and what is stored, as little of it as matters.

use super::system::{CONTROLLERS, GATEWAYS};
use crate::explorer::Map;
use gateway_drain::fleet::{End, Ending, Note as Written, Semaphore, Stored, Taker, Taking};
use serde_json::json;

/// What the engine keeps: the semaphore, and the note of each id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Value {
    /// How many may have a slot.
    pub slots: u8,
    /// Which ids have one.
    pub holders: [bool; GATEWAYS],
    /// Who uses the slot of each.
    pub notes: [Note; GATEWAYS],
}

/// Who uses a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Note {
    /// There is one.
    pub there: bool,
    /// Whether the process that each controller is now is among the takers.
    pub takers: [Part; CONTROLLERS],
    /// A process that is no more is among them.
    pub dead: bool,
    /// It says that the slot is to stay.
    pub kept: bool,
}

/// A process's part of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// It has none.
    Absent,
    /// It has one.
    Has,
    /// And what others left unfinished.
    Inherits,
}

impl Note {
    const ABSENT: Self = Self { there: false, takers: [Part::Absent; CONTROLLERS], dead: false, kept: false };

    /// The process that a controller was is no more.
    pub fn bury(&mut self, who: usize) {
        self.dead |= self.takers[who] != Part::Absent;
        self.takers[who] = Part::Absent;
    }
}

impl Value {
    /// Nobody has a slot.
    pub fn free(slots: u8) -> Self {
        Self { slots, holders: [false; GATEWAYS], notes: [Note::ABSENT; GATEWAYS] }
    }
}

/// What is asked of the crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Question {
    /// Take a slot; whether the dead are known to be dead, and whether a live taker is held to be dead
    /// ([`Seed::AliveIsDead`](super::system::Seed::AliveIsDead)).
    Take {
        /// The dead ones are known to be.
        knows: bool,
        /// Everybody is held to be dead.
        rash: bool,
    },
    /// Give it back: the gateway runs and is ready.
    Running,
    /// Give it back: the gateway was asked nothing.
    NeverClosed,
    /// Leave it.
    Keep,
    /// Give it back by hand.
    Release,
}

/// What comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Decision {
    /// It is so already.
    Done,
    /// No slot is free.
    Full,
    /// This is to be stored.
    Store(Value),
}

/// The crate's decisions, each asked for once.
#[derive(Default)]
pub struct Production {
    asked: Map<(Value, u8, u8, Question), Decision>,
}

const IDS: [&str; GATEWAYS] = ["host-a:/srv/gateway", "host-b:/srv/gateway", "host-c:/srv/gateway"];
const PROCESSES: [&str; CONTROLLERS] = ["A", "B"];
const DEAD: &str = "no more";

impl Production {
    /// What this controller does, asking for the slot of this id.
    pub fn decides(&mut self, value: &Value, who: u8, id: u8, question: Question) -> Decision {
        *self.asked.entry((*value, who, id, question)).or_insert_with(|| decide(value, who, usize::from(id), question))
    }
}

fn decide(value: &Value, who: u8, id: usize, question: Question) -> Decision {
    let stored = stored(value, id);
    let nonce = PROCESSES[usize::from(who)];
    let store = |stored: &Stored| Decision::Store(read(value, id, stored));
    match question {
        Question::Take { knows, rash } => {
            let taker = Taker { nonce: nonce.into(), ..Taker::default() };
            let is_dead = |taker: &Taker| rash || (knows && taker.nonce == DEAD);
            match stored.take(IDS[id], &taker, "", is_dead) {
                Taking::Store(stored) => store(&stored),
                Taking::Ours => Decision::Done,
                Taking::Full => Decision::Full,
                Taking::NoSlots => panic!("the budget is at least one"),
            }
        }
        Question::Release => stored.release(IDS[id]).map_or(Decision::Done, |stored| store(&stored)),
        Question::Running | Question::NeverClosed | Question::Keep => {
            let end = match question {
                Question::Running => End::Running,
                Question::NeverClosed => End::NeverClosed,
                _ => End::Keep("the act failed".into()),
            };
            match stored.end(IDS[id], nonce, &end) {
                Ending::GiveBack(stored) | Ending::Leave(stored, _) => store(&stored),
                Ending::Gone => Decision::Done,
            }
        }
    }
}

/// As the crate reads it from the engine.
fn stored(value: &Value, id: usize) -> Stored {
    let holders: Vec<&str> = (0..GATEWAYS).filter(|id| value.holders[*id]).map(|id| IDS[id]).collect();
    let text = json!({ "total_slots": value.slots, "holders": holders }).to_string();
    let semaphore = Semaphore::parse(text.as_bytes()).expect("it was written by the crate");
    let note = value.notes[id];
    let takers = (0..CONTROLLERS).filter(|who| note.takers[*who] != Part::Absent).map(|who| Taker {
        nonce: PROCESSES[who].into(),
        inherits: (note.takers[who] == Part::Inherits).then(|| "it is to stay".to_owned()),
        ..Taker::default()
    });
    let dead = note.dead.then(|| Taker { nonce: DEAD.into(), ..Taker::default() });
    let kept = note.kept.then(|| "it is to stay".to_owned());
    let written = Written { takers: takers.chain(dead).collect(), kept, ..Written::default() };
    Stored { semaphore, note: note.there.then_some(written) }
}

/// What it stores.
fn read(before: &Value, id: usize, stored: &Stored) -> Value {
    let bytes = stored.semaphore.to_bytes();
    let semaphore = Semaphore::parse(&bytes).expect("what the crate writes it can read");
    let mut value = *before;
    value.slots = u8::try_from(semaphore.total_slots()).expect("a small budget");
    value.holders = IDS.map(|id| semaphore.holds(id));
    assert_eq!(
        value.holders.iter().filter(|holds| **holds).count(),
        semaphore.holders().len(),
        "nobody else has a slot"
    );
    value.notes[id] = stored.note.as_ref().map_or(Note::ABSENT, |note| {
        assert!(!note.foreign, "no other program takes slots here");
        let part = |nonce: &str| {
            let mut takers = note.takers.iter().filter(|taker| taker.nonce == nonce);
            let part = takers
                .next()
                .map_or(Part::Absent, |taker| if taker.inherits.is_some() { Part::Inherits } else { Part::Has });
            assert!(takers.next().is_none(), "a taker is noted once");
            part
        };
        let dead = note.takers.iter().any(|taker| taker.nonce == DEAD);
        Note { there: true, takers: PROCESSES.map(part), dead, kept: note.kept.is_some() }
    });
    value
}
