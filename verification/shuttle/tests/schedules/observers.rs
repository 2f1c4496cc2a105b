//! Holds that come and go on many threads, and those who are told of it: S1, S2, H1, H2.

use super::explore::explore;
use gateway_drain::controller::{Change, Settings};
use gateway_drain::hold::{Ending, Outcome};
use gateway_drain::{Clock, Controller, DrainState, Request, RequestId};
use shuttle::thread;
use std::sync::{Arc, Mutex};

/// Each begins a hold of its own and withdraws it.
const CONTROLLERS: usize = 8;

/// What an observer was told, in its order. Outside of shuttle: it orders nothing.
type Told = Arc<Mutex<Vec<Change>>>;

fn observe(controller: &Controller) -> Told {
    let told = Told::default();
    controller.observe({
        let told = Arc::clone(&told);
        move |change| told.lock().expect("nothing panics here").push(change.clone())
    });
    told
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

#[test]
fn every_observer_is_told_everything_in_the_same_order() {
    explore("observers::every_observer_is_told_everything_in_the_same_order", |seen| {
        let controller = Controller::with(Settings { clock: Clock::manual(), ..Settings::default() });
        let told = [observe(&controller), observe(&controller)];
        // An observer may ask the gateway: nothing that it needs is locked meanwhile.
        controller.observe({
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
        let late = late.join().expect("it joins");

        let [first, second] = told.map(|told| told.lock().expect("nothing panics here").clone());
        assert_eq!(first, second, "two observers are told the same");
        let holds = first.iter().filter(|change| matches!(change, Change::Hold(_))).count();
        assert_eq!(holds, 2 * CONTROLLERS, "S2: each hold has come and gone once, and everybody is told: {first:#?}");
        let drains = assert_is_a_history(&first);
        seen.note(if drains == 1 { "one drain" } else { "several drains" });
        let late = late.lock().expect("nothing panics here").clone();
        assert!(first.ends_with(&late), "whoever joins late is told all that comes after: {late:#?} of {first:#?}");
        seen.note(match late.len() {
            0 => "joined last",
            all if all == first.len() => "joined first",
            _ => "joined between",
        });
    });
}
