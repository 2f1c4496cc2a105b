//! Holds that come and go on several threads: G1, S2, and what the observers are told.

use super::explore::explore;
use gateway_drain::controller::{Change, Settings};
use gateway_drain::hold::{Denied, Ending, Outcome};
use gateway_drain::{Clock, Controller, DrainState, Refusal, Request, RequestId};
use loom::thread;
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

#[test]
fn two_begins_racing_make_one_drain() {
    explore("controller::two_begins_racing_make_one_drain", |seen| {
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
    });
}

/// One hold goes while another comes: once the newcomer is told "held", the gate is closed and stays so.
#[test]
fn a_cancel_racing_another_begin_leaves_the_gate_closed() {
    explore("controller::a_cancel_racing_another_begin_leaves_the_gate_closed", |seen| {
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
    });
}

/// A commit is granted on a drained gate only, and from then on nothing enters, internal work included (E1).
#[test]
fn a_commit_racing_internal_work_is_refused_or_final() {
    explore("controller::a_commit_racing_internal_work_is_refused_or_final", |seen| {
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
    });
}

/// Whoever causes a change, the observers are told each once, and in the order in which they happened.
#[test]
fn observers_are_told_everything_once_and_in_order() {
    explore("controller::observers_are_told_everything_once_and_in_order", |seen| {
        let controller = controller();
        let told = Arc::new(Mutex::new(Vec::new()));
        controller.observe({
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
        let told = told.lock().expect("nothing panics here").clone();
        let (running, draining) = (DrainState::Running, DrainState::ExternalDraining);
        if controller.state() == running {
            assert_eq!(told, [(running, draining), (draining, running)]);
            seen.note("begun, then cancelled");
        } else {
            assert_eq!(told, [(running, draining)]);
            seen.note("cancelled too early");
        }
    });
}
