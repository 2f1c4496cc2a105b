//! Holds that come and go on several threads: G1, S1, S2, H1, H2, and what the observers are told. First the small races,
//! then many tasks.

use super::explore::{Seen, all_told, thread, until};
use gateway_drain::controller::{Change, Observation, Settings};
use gateway_drain::hold::{Denied, Ending, Outcome};
use gateway_drain::{Clock, Controller, DrainState, Gate, Refusal, Request, RequestId};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

fn controller() -> Controller {
    Controller::with(Settings { clock: Clock::manual(), ..Settings::default() })
}

fn id(name: &str) -> RequestId {
    RequestId::new(name).expect("a sound name")
}

fn begin(controller: &Controller, name: &str) -> Result<Outcome, Denied> {
    controller.request(&Request::begin(id(name), "ops"))
}

fn withdraw(controller: &Controller, name: &str) -> Result<Outcome, Denied> {
    controller.request(&Request::withdraw(id(name), "ops"))
}

pub fn two_begins_racing_make_one_drain(seen: &Seen) {
    let controller = controller();
    let before = controller.gate().reading().generation;
    let other = thread::spawn({
        let controller = controller.clone();
        move || begin(&controller, "upgrade")
    });
    assert_eq!(begin(&controller, "backup"), Ok(Outcome::Held));
    assert_eq!(controller.gate().admit().map(drop), Err(Refusal::Draining), "G1: held, and so closed");
    let drain = controller.gate().reading().generation;
    assert_ne!(drain, before, "a drain has begun");
    assert_eq!(other.join().expect("the begin ends"), Ok(Outcome::Held));
    assert_eq!(controller.gate().reading().generation, drain, "S2: the second begin opens no drain of its own");
    assert_eq!(withdraw(&controller, "backup"), Ok(Outcome::Ended(Ending::Withdrawn)));
    assert_eq!(controller.state(), DrainState::ExternalDraining, "H2: the other hold is still there");
    assert_eq!(withdraw(&controller, "upgrade"), Ok(Outcome::Ended(Ending::Withdrawn)));
    assert_eq!(controller.state(), DrainState::Running, "H1: no hold is left");
    seen.note("one drain");
}

/// One hold goes while another comes: once the newcomer is told "held", the gate is closed and stays so.
pub fn a_cancel_racing_another_begin_leaves_the_gate_closed(seen: &Seen) {
    let controller = controller();
    begin(&controller, "backup").expect("a hold");
    let before = controller.gate().reading().generation;
    let cancel = thread::spawn({
        let controller = controller.clone();
        move || withdraw(&controller, "backup")
    });
    assert_eq!(begin(&controller, "upgrade"), Ok(Outcome::Held));
    assert_eq!(controller.gate().admit().map(drop), Err(Refusal::Draining), "G1: held, and so closed");
    assert_eq!(cancel.join().expect("the cancel ends"), Ok(Outcome::Ended(Ending::Withdrawn)));
    assert_eq!(controller.state(), DrainState::ExternalDraining, "H2: the other hold is still there");
    let reopened = controller.gate().reading().generation != before;
    seen.note(if reopened { "reopened between" } else { "never open" });
}

/// A commit is granted on a drained gate only, and from then on nothing enters, internal work included (E1).
pub fn a_commit_racing_internal_work_is_refused_or_final(seen: &Seen) {
    let controller = controller();
    let turn = controller.gate().admit().expect("a new gate admits").into_owned();
    begin(&controller, "upgrade").expect("a hold");
    let generation = controller.gate().reading().generation;
    let work = thread::spawn({
        let gate = controller.gate().clone();
        move || {
            let passed = gate.admit_internal().is_ok();
            drop(turn);
            passed
        }
    });
    let commit = Request::commit(id("upgrade"), "ops", controller.incarnation().clone(), generation);
    let outcome = controller.request(&commit);
    if outcome == Ok(Outcome::Committed) {
        assert!(controller.gate().reading().drained, "E1: committed, and so drained");
        assert!(controller.gate().admit_internal().is_err(), "E1: nothing enters behind a commit");
    }
    seen.note(if outcome == Ok(Outcome::Committed) { "committed" } else { "refused" });
    assert!(work.join().expect("the work ends"), "it entered while its turn was in flight");
}

/// Whichever thread causes a change, the observers are told each once, and in the order in which they happened.
pub fn observers_are_told_everything_once_and_in_order(seen: &Seen) {
    let controller = controller();
    let told = Arc::new(Mutex::new(Vec::new()));
    let observation = controller.observe({
        let told = Arc::clone(&told);
        move |change| {
            if let Change::Moved { from, reading, .. } = change {
                told.lock().expect("nothing panics here").push((*from, reading.state));
            }
        }
    });
    let cancel = thread::spawn({
        let controller = controller.clone();
        move || withdraw(&controller, "upgrade")
    });
    begin(&controller, "upgrade").expect("a hold");
    cancel.join().expect("the cancel ends").expect("an answer");
    all_told([observation]);
    let told = told.lock().expect("nothing panics here").clone();
    let (running, draining) = (DrainState::Running, DrainState::ExternalDraining);
    if controller.state() == running {
        assert_eq!(told, [(running, draining), (draining, running)]);
        seen.note("begun, then cancelled");
    } else {
        assert_eq!(told, [(running, draining)]);
        seen.note("cancelled too early");
    }
}

/// Each begins a hold of its own and withdraws it.
const CONTROLLERS: usize = 8;

/// What an observer was told, in its order. Outside of the checkers: it orders nothing.
type Told = Arc<Mutex<Vec<Change>>>;

fn observe(controller: &Controller) -> (Observation, Told) {
    let told = Told::default();
    let observation = controller.observe({
        let told = Arc::clone(&told);
        move |change| told.lock().expect("nothing panics here").push(change.clone())
    });
    (observation, told)
}

/// The state goes along the chain of moves that the observers are told, and the drains are numbered in that order.
fn assert_is_a_history(told: &[Change]) -> usize {
    let (mut state, mut generation, mut drains) = (DrainState::Running, None, 0);
    for change in told {
        let Change::Moved { from, reading, .. } = change else { continue };
        assert_eq!(*from, state, "S1: each move begins where the one before has ended: {told:#?}");
        state = reading.state;
        if !state.admits() {
            drains += 1;
            assert!(
                generation < Some(reading.generation.to_string()),
                "G4: a later drain has a later number: {told:#?}"
            );
            generation = Some(reading.generation.to_string());
        }
    }
    assert_eq!(state, DrainState::Running, "H1: no hold is left, and everybody is told: {told:#?}");
    drains
}

pub fn every_observer_is_told_everything_in_the_same_order(seen: &Seen) {
    let controller = Controller::with(Settings { clock: Clock::manual(), ..Settings::default() });
    let told = [observe(&controller), observe(&controller)];
    // An observer may ask the gateway: nothing that it needs is locked meanwhile.
    let asking = controller.observe({
        let asked = controller.clone();
        move |_| assert!(asked.holds().len() <= CONTROLLERS)
    });
    let holds: Vec<_> = (0..CONTROLLERS)
        .map(|number| {
            let controller = controller.clone();
            thread::spawn(move || {
                let id = RequestId::new(format!("upgrade-{number}")).expect("a sound name");
                assert_eq!(controller.request(&Request::begin(id.clone(), "ops")), Ok(Outcome::Held));
                assert!(controller.gate().admit().is_err(), "G1: held, and so closed");
                let withdrawn = controller.request(&Request::withdraw(id, "ops"));
                assert_eq!(withdrawn, Ok(Outcome::Ended(Ending::Withdrawn)), "H2: nobody else has ended it");
            })
        })
        .collect();
    let late = thread::spawn({
        let controller = controller.clone();
        move || observe(&controller)
    });
    holds.into_iter().for_each(|hold| hold.join().expect("the hold ends"));
    let (late, told_late) = late.join().expect("it joins");
    let [(first, told_first), (second, told_second)] = told;
    all_told([first, second, late, asking]);

    let [first, second] = [told_first, told_second].map(|told| told.lock().expect("nothing panics here").clone());
    assert_eq!(first, second, "two observers are told the same");
    let holds = first.iter().filter(|change| matches!(change, Change::Hold(_))).count();
    assert_eq!(holds, 2 * CONTROLLERS, "S2: each hold has come and gone once, and everybody is told: {first:#?}");
    let drains = assert_is_a_history(&first);
    seen.note(if drains == 1 { "one drain" } else { "several drains" });
    let late = told_late.lock().expect("nothing panics here").clone();
    assert!(
        first.ends_with(&late),
        "an observer that joins late is told all that comes after: {late:#?} of {first:#?}"
    );
    seen.note(match late.len() {
        0 => "joined last",
        all if all == first.len() => "joined first",
        _ => "joined between",
    });
}

fn turn_in_some_form(gate: &Gate, number: u64) -> bool {
    let Ok(turn) = gate.admit() else { return false };
    match number % 3 {
        0 => drop(turn),
        1 => drop(turn.into_owned()),
        _ => {
            let turn = turn.into_owned().labelled("turn", number.to_string());
            assert!(gate.active_work(usize::MAX).iter().any(|work| work.label == number.to_string()), "it is named");
            // What a turn starts is done before the turn is.
            if let Ok(internal) = gate.admit_internal() {
                drop(internal);
            }
            drop(turn);
        }
    }
    true
}

/// G1, H1, H2, S1: holds come and go on two threads and turns on two others, while observers listen and a reader looks.
pub fn turns_in_every_form_come_and_go_while_holds_do(seen: &Seen) {
    let controller = controller();
    let moves = Arc::new(AtomicUsize::new(0));
    let observation = controller.observe({
        let (moves, controller) = (Arc::clone(&moves), controller.clone());
        move |change| {
            if let Change::Moved { .. } = change {
                // An observer may ask the gateway.
                assert!(controller.holds().len() <= 2);
                moves.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    // Outside of the checkers: they begin together wherever they can.
    let there = Arc::new(AtomicUsize::new(0));
    let together = move || {
        there.fetch_add(1, Ordering::Relaxed);
        until(|| there.load(Ordering::Relaxed) == 4);
    };
    let holds = ["upgrade", "backup"].map(|name| {
        let (controller, together) = (controller.clone(), together.clone());
        thread::spawn(move || {
            together();
            for _ in 0..5 {
                assert_eq!(begin(&controller, name), Ok(Outcome::Held));
                assert!(controller.gate().admit().is_err(), "G1: held, and so closed");
                assert!(withdraw(&controller, name).is_ok());
            }
        })
    });
    let turns = [0, 100].map(|first| {
        let (controller, seen, together) = (controller.clone(), seen.clone(), together.clone());
        thread::spawn(move || {
            together();
            for number in first..first + 15 {
                let admitted = turn_in_some_form(controller.gate(), number);
                seen.note(if admitted { "admitted" } else { "refused" });
            }
        })
    });
    holds.into_iter().chain(turns).for_each(|thread| thread.join().expect("a thread that ends in peace"));
    assert_eq!(controller.state(), DrainState::Running, "H1: no hold is left");
    assert_eq!(controller.gate().reading().total(), 0, "G6: nothing is in flight");
    all_told([observation]);
    let moves = moves.load(Ordering::Relaxed);
    assert!(moves.is_multiple_of(2) && (2..=20).contains(&moves), "S1: {moves} moves, and each drain has two");
}
