//! The rules of the gate's word, compiled from the production files, each behind a function over plain integers.
//!
//! `state.rs` and `word.rs` are production's (or an edited copy of them): the driver puts both beside this file. Only the
//! types that `word.rs` takes from its parent stand here again; were one of them to change, this would not compile.

pub mod state;

pub mod gate {
    pub mod word;

    use crate::state::DrainState;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Generation(pub(crate) u32);

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Reading {
        pub state: DrainState,
        pub generation: Generation,
        pub in_flight: u64,
        pub internal: u64,
        pub drained: bool,
        pub interrupted: bool,
        pub abandoned: bool,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Refusal {
        Draining,
        ShuttingDown,
        Stopped,
        Saturated,
    }
}

use gate::word::{MAX_GENERATION, MAX_INTERNAL, MAX_TURNS, Unit, Unmoved, Word};
use gate::{Reading, Refusal};
use state::{Denial, DrainState, Event, Step};

const fn number(state: DrainState) -> u8 {
    match state {
        DrainState::Running => 0,
        DrainState::ExternalDraining => 1,
        DrainState::ShutdownDraining => 2,
        DrainState::Stopped => 3,
    }
}

const fn event(number: u8) -> Event {
    match number {
        0 => Event::BeginDrain,
        1 => Event::EndDrain,
        2 => Event::BeginShutdown,
        _ => Event::Stop,
    }
}

const fn state_of(number: u8) -> DrainState {
    match number {
        0 => DrainState::Running,
        1 => DrainState::ExternalDraining,
        2 => DrainState::ShutdownDraining,
        _ => DrainState::Stopped,
    }
}

const fn denial(why: Denial) -> u8 {
    match why {
        Denial::NotShuttingDown => 10,
        Denial::ShutdownWins => 11,
        Denial::StoppedIsFinal => 12,
    }
}

/// 0 for entered, else the refusal.
const fn entered(answer: &Result<Word, Refusal>) -> u8 {
    match answer {
        Ok(_) => 0,
        Err(Refusal::Draining) => 1,
        Err(Refusal::ShuttingDown) => 2,
        Err(Refusal::Stopped) => 3,
        Err(Refusal::Saturated) => 4,
    }
}

/// 0 for moved, 1 for stays, 2 for work in flight, from 10 the denial.
const fn moved(answer: &Result<Word, Unmoved>) -> u8 {
    match answer {
        Ok(_) => 0,
        Err(Unmoved::Stays) => 1,
        Err(Unmoved::InFlight(_)) => 2,
        Err(Unmoved::Refused(why)) => denial(*why),
    }
}

/// The word afterwards: what is answered with an error is written nowhere.
macro_rules! after {
    ($word:expr, $answer:expr) => {
        match $answer {
            Ok(next) => next.bits(),
            Err(_) => $word,
        }
    };
}

macro_rules! rules {
    ($all:tt $($name:ident($($argument:ident: $kind:ty),*) -> $gives:ty = $body:expr;)*) => {
        $(#[inline(never)]
        pub fn $name($($argument: $kind),*) -> $gives {
            $body
        })*
        #[cfg(sampled)]
        sampled! { $all $(($name($($argument),*)))* }
    };
}

/// Every rule's value for some arguments, to compare what was compiled with what was translated.
#[cfg(sampled)]
macro_rules! sampled {
    (($word:ident, $from:ident, $which:ident) $(($name:ident $arguments:tt))*) => {
        pub fn sampled($word: u64, $from: u8, $which: u8) -> Vec<(&'static str, u64)> {
            vec![$((stringify!($name), u64::from($name $arguments))),*]
        }
    };
}

const fn read(word: u64) -> Reading {
    Word::from_bits(word).reading()
}

rules! {
    (word, from, which)

    new_word() -> u64 = Word::NEW.bits();
    turn_unit() -> u64 = Unit::TURN.bits();
    internal_unit() -> u64 = Unit::INTERNAL.bits();
    most_turns() -> u64 = MAX_TURNS;
    most_internal() -> u64 = MAX_INTERNAL;
    last_generation() -> u32 = MAX_GENERATION;

    state(word: u64) -> u8 = number(Word::from_bits(word).state());
    generation(word: u64) -> u32 = Word::from_bits(word).generation().0;
    interrupted(word: u64) -> bool = Word::from_bits(word).interrupted();
    drained(word: u64) -> bool = Word::from_bits(word).drained();
    closed_when_left(word: u64) -> bool = Word::from_bits(word).is_closed_when_left();
    read_state(word: u64) -> u8 = number(read(word).state);
    read_generation(word: u64) -> u32 = read(word).generation.0;
    read_turns(word: u64) -> u64 = read(word).in_flight;
    read_internal(word: u64) -> u64 = read(word).internal;
    read_drained(word: u64) -> bool = read(word).drained;
    read_interrupted(word: u64) -> bool = read(word).interrupted;
    read_abandoned(word: u64) -> bool = read(word).abandoned;

    admit(word: u64) -> u64 = after!(word, Word::from_bits(word).admit());
    admit_answer(word: u64) -> u8 = entered(&Word::from_bits(word).admit());
    admit_internal(word: u64) -> u64 = after!(word, Word::from_bits(word).admit_internal());
    admit_internal_answer(word: u64) -> u8 = entered(&Word::from_bits(word).admit_internal());

    on(word: u64, which: u8) -> u64 = after!(word, Word::from_bits(word).on(event(which)));
    on_answer(word: u64, which: u8) -> u8 = moved(&Word::from_bits(word).on(event(which)));
    on_turns_left(word: u64, which: u8) -> u64 = match Word::from_bits(word).on(event(which)) {
        Err(Unmoved::InFlight(reading)) => reading.in_flight,
        _ => 0,
    };
    on_internal_left(word: u64, which: u8) -> u64 = match Word::from_bits(word).on(event(which)) {
        Err(Unmoved::InFlight(reading)) => reading.internal,
        _ => 0,
    };
    force_stop(word: u64) -> u64 = after!(word, Word::from_bits(word).force_stop());
    force_stop_answer(word: u64) -> u8 = moved(&Word::from_bits(word).force_stop());
    interrupt(word: u64) -> u64 = after!(word, Word::from_bits(word).interrupt());
    interrupt_answer(word: u64) -> u8 = moved(&Word::from_bits(word).interrupt());

    table_answer(from: u8, which: u8) -> u8 = match state::next(state_of(from), event(which)) {
        Step::Moves(_) => 0,
        Step::Stays => 1,
        Step::Refused(why) => denial(why),
    };
    table_to(from: u8, which: u8) -> u8 = match state::next(state_of(from), event(which)) {
        Step::Moves(to) => number(to),
        _ => from,
    };
}
