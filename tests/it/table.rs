//! The table, written out a second time: all 16 pairs and all sequences of up to eight events (of the controller, six in a plain `cargo test`).
//!
//! [`GOLDEN`] is copied from the specification by hand and not computed from [`state::TABLE`](gateway_drain::state::TABLE),
//! so a rule that is changed has to be changed here too. The table, the typestates, [`AnyLifecycle`] and the
//! [`Controller`] are each compared with it (S1 to S4). That the pairs which don't move have no typed method at all is
//! the compiler's to show, elsewhere.

use gateway_drain::gate::OwnedPermit;
use gateway_drain::hold::{Denied, Ending, Outcome};
use gateway_drain::lifecycle::Handled;
use gateway_drain::state::{Denial, Step, next};
use gateway_drain::{AnyLifecycle, Controller, DrainState, Event, Lifecycle, Request, RequestId};
use std::time::Duration;

use Answer::{Final, Moves, Needs, Stays, Wins};
use DrainState::{ExternalDraining, Running, ShutdownDraining, Stopped};
use Event::{BeginDrain, BeginShutdown, EndDrain, Stop};

/// What the specification says of one pair, in words of this file's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Moves(DrainState),
    Stays,
    /// Refused: the gateway has to be shutting down for that.
    Needs,
    /// Refused: the shutdown wins.
    Wins,
    /// Refused: stopped is final.
    Final,
}

#[rustfmt::skip]
const GOLDEN: [(DrainState, Event, Answer); 16] = [
    (Running,          BeginDrain,    Moves(ExternalDraining)),
    (Running,          EndDrain,      Stays),
    (Running,          BeginShutdown, Moves(ShutdownDraining)),
    (Running,          Stop,          Needs),
    (ExternalDraining, BeginDrain,    Stays),
    (ExternalDraining, EndDrain,      Moves(Running)),
    (ExternalDraining, BeginShutdown, Moves(ShutdownDraining)),
    (ExternalDraining, Stop,          Needs),
    (ShutdownDraining, BeginDrain,    Wins),
    (ShutdownDraining, EndDrain,      Wins),
    (ShutdownDraining, BeginShutdown, Stays),
    (ShutdownDraining, Stop,          Moves(Stopped)),
    (Stopped,          BeginDrain,    Final),
    (Stopped,          EndDrain,      Final),
    (Stopped,          BeginShutdown, Final),
    (Stopped,          Stop,          Stays),
];

const STATES: [DrainState; 4] = [Running, ExternalDraining, ShutdownDraining, Stopped];
const EVENTS: [Event; 4] = [BeginDrain, EndDrain, BeginShutdown, Stop];

/// How long the sequences are: every shorter one is the beginning of one of them.
const LENGTH: u32 = 8;
/// The same of the controller, whose steps cost more. `cargo xtask ci suite` walks as far with it too (`EVENTS=8`).
const LENGTH_OF_THE_CONTROLLERS: u32 = 6;

/// The row of this pair, by its place: two million lookups are too many to search in.
fn golden(state: DrainState, event: Event) -> Answer {
    let (row_state, row_event, answer) = GOLDEN[state as usize * EVENTS.len() + event as usize];
    assert!(
        (row_state, row_event) == (state, event),
        "the golden table has no row for {event:?} in {state} in its place"
    );
    answer
}

fn after(state: DrainState, event: Event) -> DrainState {
    if let Moves(to) = golden(state, event) { to } else { state }
}

#[test]
fn the_golden_table_has_one_row_for_each_of_the_16_pairs() {
    let mut pairs = 0;
    for state in STATES {
        for event in EVENTS {
            golden(state, event);
            pairs += 1;
        }
    }
    assert_eq!((pairs, GOLDEN.len()), (16, 16));
    assert_eq!(
        (DrainState::ALL, Event::ALL),
        (STATES, EVENTS),
        "the crate knows these states and events, and no others"
    );
}

#[test]
fn the_table_says_of_each_pair_what_the_golden_table_says() {
    for (state, event, answer) in GOLDEN {
        let expected = match answer {
            Moves(to) => Step::Moves(to),
            Stays => Step::Stays,
            Needs => Step::Refused(Denial::NotShuttingDown),
            Wins => Step::Refused(Denial::ShutdownWins),
            Final => Step::Refused(Denial::StoppedIsFinal),
        };
        assert_eq!(next(state, event), expected, "{event:?} in {state}");
    }
}

#[test]
fn each_denial_says_why_in_words_of_its_own() {
    let said = [Denial::NotShuttingDown, Denial::ShutdownWins, Denial::StoppedIsFinal].map(|denial| denial.to_string());
    for (said, word) in said.iter().zip(["begin the shutdown first", "shutdown wins", "final"]) {
        assert!(said.contains(word), "{said:?} doesn't say: {word}");
    }
}

#[test]
fn admission_and_draining_are_told_right_of_each_state() {
    let told: Vec<_> = STATES.iter().map(|s| (s.admits(), s.is_draining(), s.to_string())).collect();
    let expected = [
        (true, false, "running"),
        (false, true, "external_draining"),
        (false, true, "shutdown_draining"),
        (false, false, "stopped"),
    ];
    assert_eq!(told, expected.map(|(admits, draining, name)| (admits, draining, name.to_owned())));
}

/// Each typed method, by the row of the golden table that it is.
#[test]
fn the_typed_methods_are_exactly_the_rows_that_move() {
    let running = || Lifecycle::new();
    let draining = || running().begin_drain();
    let shutting_down = || running().begin_shutdown();
    let stopped = || shutting_down().stop().expect("nothing is in flight");
    let methods: [(DrainState, Event, AnyLifecycle); 5] = [
        (Running, BeginDrain, running().begin_drain().into()),
        (Running, BeginShutdown, running().begin_shutdown().into()),
        (ExternalDraining, EndDrain, draining().end_drain().into()),
        (ExternalDraining, BeginShutdown, draining().begin_shutdown().into()),
        (ShutdownDraining, Stop, stopped().into()),
    ];
    for (from, event, lifecycle) in &methods {
        assert_eq!(golden(*from, *event), Moves(lifecycle.state()), "the method for {event:?} in {from}");
        let gate = lifecycle.gate().reading().state;
        assert_eq!(gate, lifecycle.state(), "the gate moved with the type on {event:?} in {from}");
    }
    let moving = GOLDEN.iter().filter(|(_, _, answer)| matches!(answer, Moves(_))).count();
    assert_eq!(methods.len(), moving, "a row that moves has a method, and no other row has one");
}

#[test]
fn a_forced_stop_is_the_same_row_with_work_in_flight() {
    let lifecycle = Lifecycle::new();
    let turn = lifecycle.gate().admit().expect("it runs").into_owned();
    let left = lifecycle.begin_shutdown().stop().expect_err("a turn is in flight");
    assert_eq!((left.in_flight, left.internal), (1, 0));
    let (stopped, abandoned) = left.lifecycle.force_stop();
    assert_eq!(golden(ShutdownDraining, Stop), Moves(AnyLifecycle::from(stopped).state()));
    assert_eq!((abandoned.in_flight, abandoned.internal), (1, 0));
    drop(turn);
}

/// Something that takes events and can be compared with the golden table after each.
trait Gateway {
    fn in_state(state: DrainState) -> Self;
    /// Takes the event, and says how its answer differs from the golden one, if it does.
    fn take(&mut self, event: Event, expected: Answer) -> Result<(), String>;
    fn state(&self) -> DrainState;
    fn admits(&self) -> bool;
}

impl Gateway for AnyLifecycle {
    fn in_state(state: DrainState) -> Self {
        match state {
            Running => Lifecycle::new().into(),
            ExternalDraining => Lifecycle::new().begin_drain().into(),
            ShutdownDraining => Lifecycle::new().begin_shutdown().into(),
            Stopped => Lifecycle::new().begin_shutdown().stop().expect("nothing is in flight").into(),
        }
    }

    fn take(&mut self, event: Event, expected: Answer) -> Result<(), String> {
        let handled = self.on(event);
        let as_expected = match (handled, expected) {
            (Handled::Moved(reading), Moves(to)) => reading.state == to,
            (Handled::Stayed, Stays)
            | (Handled::Refused(Denial::NotShuttingDown), Needs)
            | (Handled::Refused(Denial::ShutdownWins), Wins)
            | (Handled::Refused(Denial::StoppedIsFinal), Final) => true,
            _ => false,
        };
        if as_expected { Ok(()) } else { Err(format!("{handled:?}")) }
    }

    fn state(&self) -> DrainState {
        AnyLifecycle::state(self)
    }

    fn admits(&self) -> bool {
        self.gate().admit().is_ok()
    }
}

/// Formatted only if it isn't what was expected: a walk compares two million answers.
fn compared<T: PartialEq + std::fmt::Debug>(got: &T, expected: &T) -> Result<(), String> {
    if got == expected { Ok(()) } else { Err(format!("{got:?}")) }
}

/// A controller that is sent the events by its own names for them.
///
/// It stops a shutdown by itself once nothing is in flight, so a turn is in flight until `Stop` ends it.
struct Driven {
    controller: Controller,
    turn: Option<OwnedPermit>,
}

impl Gateway for Driven {
    fn in_state(state: DrainState) -> Self {
        let controller = Controller::new();
        let turn = controller.gate().admit().expect("it runs").into_owned();
        let mut driven = Self { controller, turn: Some(turn) };
        let way: &[Event] = match state {
            Running => &[],
            ExternalDraining => &[BeginDrain],
            ShutdownDraining => &[BeginShutdown],
            Stopped => &[BeginShutdown, Stop],
        };
        let mut from = Running;
        for event in way {
            driven.take(*event, golden(from, *event)).expect("the way to the state is in the table");
            from = after(from, *event);
        }
        driven
    }

    fn take(&mut self, event: Event, expected: Answer) -> Result<(), String> {
        let id = || RequestId::new("table").expect("a sound name");
        let denied = Err(Denied::ShuttingDown);
        match event {
            BeginDrain => {
                let expected = if matches!(expected, Wins | Final) { denied } else { Ok(Outcome::Held) };
                compared(&self.controller.request(&Request::begin(id(), "test")), &expected)
            }
            EndDrain => {
                let expected =
                    if matches!(expected, Wins | Final) { denied } else { Ok(Outcome::Ended(Ending::Withdrawn)) };
                compared(&self.controller.request(&Request::withdraw(id(), "test")), &expected)
            }
            BeginShutdown => {
                let expected = if expected == Final { Err(Denial::StoppedIsFinal) } else { Ok(()) };
                compared(&self.controller.begin_shutdown(Duration::MAX), &expected)
            }
            Stop => {
                // The controller has no call that stops without a shutdown; then time passes, and nothing happens.
                if self.state() == ShutdownDraining {
                    self.turn = None;
                }
                self.controller.settle();
                let report = self.controller.report();
                let expected = matches!(expected, Moves(Stopped)) || self.state() == Stopped;
                if report.as_ref().is_some_and(|report| report.finished()) == expected {
                    Ok(())
                } else {
                    Err(format!("{report:?}"))
                }
            }
        }
    }

    fn state(&self) -> DrainState {
        self.controller.state()
    }

    fn admits(&self) -> bool {
        self.controller.gate().admit().is_ok()
    }
}

/// What the walk over all sequences has visited.
#[derive(Debug, Default, PartialEq, Eq)]
struct Visited {
    sequences: u64,
    beginnings: u64,
    steps: u64,
    /// How often each of the 16 pairs was met.
    pairs: [u64; 16],
}

/// Every sequence of as many events from every state, compared with the golden table after every step.
fn walk<G: Gateway>(length: u32) -> Visited {
    let mut visited = Visited::default();
    for start in STATES {
        for number in 0..4_u32.pow(length) {
            visited.sequences += 1;
            // A beginning is counted in the one sequence that goes on with the first event for ever.
            visited.beginnings += u64::from(number == 0);
            let (mut gateway, mut state) = (G::in_state(start), start);
            let mut so_far = Vec::with_capacity(length as usize);
            for place in (0..length).rev() {
                let event = EVENTS[(number >> (2 * place)) as usize & 3];
                so_far.push(event);
                let expected = golden(state, event);
                if let Err(got) = gateway.take(event, expected) {
                    panic!("from {start}, after {so_far:?}: {expected:?} was expected, and it answered {got}");
                }
                let to = after(state, event);
                assert_eq!(gateway.state(), to, "from {start}, after {so_far:?}");
                assert_eq!(gateway.admits(), to == Running, "admission, from {start}, after {so_far:?}");
                visited.pairs[state as usize * 4 + event as usize] += 1;
                visited.steps += 1;
                visited.beginnings += u64::from(number & ((1 << (2 * place)) - 1) == 0);
                state = to;
            }
        }
    }
    visited
}

fn assert_all_was_visited(visited: &Visited, length: u32) {
    // From each of the 4 states: all sequences, all that are as long or shorter, and the single steps of all sequences.
    let sequences = 4 * 4_u64.pow(length);
    let counted = (sequences, 4 * (4_u64.pow(length + 1) - 1) / 3, sequences * u64::from(length));
    assert_eq!((visited.sequences, visited.beginnings, visited.steps), counted);
    // How often the golden table itself meets each pair, counted without any gateway: walks of each length that end in
    // the pair's state, times the ways to go on.
    let mut expected = [0; 16];
    let mut standing = [1_u64; 4];
    for step in 0..length {
        let mut next = [0; 4];
        for (state, event, _) in GOLDEN {
            let ways_on = 4_u64.pow(length - 1 - step);
            expected[state as usize * 4 + event as usize] += standing[state as usize] * ways_on;
            next[after(state, event) as usize] += standing[state as usize];
        }
        standing = next;
    }
    assert_eq!(visited.pairs, expected, "each pair is met as often as the golden table says");
    assert!(expected.iter().all(|times| *times > 0), "no pair is left out");
}

#[test]
fn any_lifecycle_follows_the_golden_table_through_every_sequence_of_eight_events() {
    assert_all_was_visited(&walk::<AnyLifecycle>(LENGTH), LENGTH);
}

#[test]
fn the_controller_follows_the_golden_table_through_every_sequence_of_at_least_six_events() {
    let asked = std::env::var("EVENTS").map(|length| length.parse().expect("a number of events"));
    let length = asked.unwrap_or(LENGTH_OF_THE_CONTROLLERS).max(LENGTH_OF_THE_CONTROLLERS);
    println!("{length} events");
    assert_all_was_visited(&walk::<Driven>(length), length);
}
