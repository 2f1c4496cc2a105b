//! The typestates by hand: the witness of a drain, a stop that is refused, and what is asked of a lifecycle in vain.

use gateway_drain::gate::Reading;
use gateway_drain::lifecycle::{Abandoned, AnyLifecycle, Handled, Lifecycle};
use gateway_drain::{DrainState, Event, OwnedPermit, ShutdownDraining};

/// A lifecycle in its shutdown, with one turn and two pieces of internal work in flight, and their permits.
fn busy() -> (Lifecycle<ShutdownDraining>, Vec<OwnedPermit>) {
    let running = Lifecycle::new();
    let mut permits = vec![running.gate().admit().expect("it runs").into_owned()];
    for _ in 0..2 {
        permits.push(running.gate().admit_internal().expect("it runs").into_owned());
    }
    (running.begin_shutdown(), permits)
}

fn counts(reading: &Reading) -> (u64, u64) {
    (reading.in_flight, reading.internal)
}

#[test]
fn the_proof_of_a_drain_is_given_once_nothing_is_in_flight_and_names_that_drain() {
    let running = Lifecycle::new().begin_drain().end_drain();
    let turn = running.gate().admit().expect("it runs").into_owned();
    let draining = running.begin_drain();
    assert!(draining.drained().is_none(), "a turn is in flight");
    drop(turn);
    let drained = draining.drained().expect("nothing is in flight");
    assert_eq!(drained.generation(), draining.gate().reading().generation, "the second drain, and not the first");
}

#[test]
fn a_lifecycle_moves_one_and_the_same_gate_from_its_beginning_to_its_end() {
    let running = Lifecycle::new();
    let gate = running.gate().clone();
    let draining = running.begin_drain();
    assert_eq!(gate.reading().state, DrainState::ExternalDraining);
    let running = draining.end_drain();
    assert_eq!(gate.reading().state, DrainState::Running);
    let shutting_down = running.begin_drain().begin_shutdown();
    assert_eq!(gate.reading().state, DrainState::ShutdownDraining);
    let _stopped = shutting_down.stop().expect("nothing is in flight");
    assert_eq!(gate.reading().state, DrainState::Stopped);
}

#[test]
fn a_stop_that_work_in_flight_refuses_says_how_much_and_gives_the_lifecycle_back() {
    let (shutting_down, permits) = busy();
    let left = shutting_down.stop().expect_err("work is in flight");
    assert_eq!((left.in_flight, left.internal), (1, 2));
    assert_eq!(left.to_string(), "1 turn(s) and 2 piece(s) of internal work are in flight");
    drop(permits);
    let _stopped = left.lifecycle.stop().expect("S5: nothing is in flight any more");
}

#[test]
fn a_stop_decided_at_run_time_says_what_refuses_it_and_the_shutdown_goes_on() {
    let (shutting_down, permits) = busy();
    let mut lifecycle = AnyLifecycle::from(shutting_down);
    match lifecycle.on(Event::Stop) {
        Handled::InFlight(reading) => assert_eq!(counts(&reading), (1, 2)),
        other => panic!("S5: a stop with work in flight is answered with {other:?}"),
    }
    assert_eq!(lifecycle.state(), DrainState::ShutdownDraining);
    drop(permits);
    assert!(matches!(lifecycle.on(Event::Stop), Handled::Moved(_)));
}

#[test]
fn work_is_asked_to_give_up_once_and_only_in_a_shutdown() {
    let mut lifecycle = AnyLifecycle::from(Lifecycle::new());
    assert_eq!(lifecycle.interrupt(), None, "it runs");
    let _ = lifecycle.on(Event::BeginDrain);
    assert_eq!(lifecycle.interrupt(), None, "an external drain never interrupts");
    assert!(!lifecycle.gate().reading().interrupted);

    let (mut shutting_down, permits) = busy();
    let asked = shutting_down.interrupt().expect("the first time");
    assert_eq!((counts(&asked), asked.interrupted), ((1, 2), true));
    assert_eq!(shutting_down.interrupt(), None, "it has been asked");
    assert!(permits.iter().all(OwnedPermit::is_interrupted));
    let mut lifecycle = AnyLifecycle::from(shutting_down);
    assert_eq!(lifecycle.interrupt(), None, "nor does the other form ask again");

    let (shutting_down, _permits) = busy();
    let asked = AnyLifecycle::from(shutting_down).interrupt().expect("the other form asks first");
    assert_eq!((counts(&asked), asked.interrupted), ((1, 2), true));
}

#[test]
fn a_stop_is_forced_once_and_only_in_a_shutdown() {
    let mut lifecycle = AnyLifecycle::from(Lifecycle::new());
    assert_eq!(lifecycle.force_stop(), None, "it runs");
    assert_eq!(lifecycle.state(), DrainState::Running);

    let (shutting_down, _permits) = busy();
    let mut lifecycle = AnyLifecycle::from(shutting_down);
    assert_eq!(lifecycle.force_stop(), Some(Abandoned { in_flight: 1, internal: 2 }), "S5: what was abandoned");
    assert_eq!(lifecycle.state(), DrainState::Stopped);
    assert_eq!(lifecycle.force_stop(), None, "S4: it has stopped");
}
