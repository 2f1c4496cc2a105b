//! The end: S2, S3, S5 where threads race; and many tasks that wait for it: G4, L1, L4, S5.

use super::explore::{Seen, block_on, thread, until};
use gateway_drain::controller::{Settings, ShutdownReport};
use gateway_drain::hold::{Denied, Ending, Outcome};
use gateway_drain::lifecycle::Abandoned;
use gateway_drain::{Clock, Controller, DrainState, Refusal, Request, RequestId};
use std::time::Duration;

const NEVER: Duration = Duration::from_secs(3600);

fn controller() -> Controller {
    Controller::with(Settings { clock: Clock::manual(), ..Settings::default() })
}

fn id(name: &str) -> RequestId {
    RequestId::new(name).expect("a sound name")
}

pub fn a_cancel_racing_a_shutdown_never_reopens_for_good(seen: &Seen) {
    let controller = controller();
    let turn = controller.gate().admit().expect("a new gate admits").into_owned();
    assert_eq!(controller.request(&Request::begin(id("upgrade"), "ops")), Ok(Outcome::Held));
    let cancel = thread::spawn({
        let controller = controller.clone();
        move || controller.request(&Request::withdraw(id("upgrade"), "ops"))
    });
    assert_eq!(controller.begin_shutdown(NEVER), Ok(()));
    assert_eq!(controller.state(), DrainState::ShutdownDraining, "S3: the shutdown has begun");
    match cancel.join().expect("the cancel ends") {
        Ok(Outcome::Ended(Ending::Withdrawn)) => seen.note("cancelled first"),
        Err(Denied::ShuttingDown) => seen.note("shut down first"),
        other => panic!("the cancel is answered with what happened, not {other:?}"),
    }
    assert_eq!(controller.state(), DrainState::ShutdownDraining, "S3: a shutdown wins over a cancel");
    assert_eq!(controller.gate().admit().map(drop), Err(Refusal::ShuttingDown), "S3: and admits nothing");
    drop(turn);
}

pub fn two_shutdowns_racing_are_one(seen: &Seen) {
    let controller = controller();
    let turn = controller.gate().admit().expect("a new gate admits").into_owned();
    let other = thread::spawn({
        let controller = controller.clone();
        move || controller.begin_shutdown(NEVER)
    });
    assert_eq!(controller.begin_shutdown(NEVER), Ok(()), "S2");
    assert_eq!(other.join().expect("the shutdown begins"), Ok(()), "S2");
    assert_eq!(controller.state(), DrainState::ShutdownDraining);
    drop(turn);
    controller.settle();
    let nothing_left = ShutdownReport { interrupted: 0, abandoned: Abandoned::default() };
    assert_eq!(controller.report(), Some(nothing_left), "L1: the shutdown ends with the last turn");
    seen.note("stopped");
}

/// Either the turn ended in time or it is abandoned: it is never both, and never neither.
pub fn a_forced_stop_racing_the_last_release_says_what_was_abandoned(seen: &Seen) {
    let controller = controller();
    let turn = controller.gate().admit().expect("a new gate admits").into_owned();
    let turn = thread::spawn(move || drop(turn));
    let report = controller.force_stop();
    let reading = controller.gate().reading();
    assert_eq!(reading.state, DrainState::Stopped);
    assert_eq!(reading.abandoned, report.abandoned.in_flight == 1, "S5: said if and only if it is so: {report:?}");
    assert_eq!(reading.drained, report.finished(), "S5: an abandoned turn makes no gate drained");
    seen.note(if report.finished() { "finished" } else { "abandoned" });
    turn.join().expect("the turn ends");
    assert_eq!(controller.report(), Some(report), "S4: the report is final");
}

pub fn a_waiter_for_the_stop_hears_of_it(seen: &Seen) {
    let controller = controller();
    let waiter = thread::spawn({
        let controller = controller.clone();
        move || controller.stopped().wait()
    });
    assert_eq!(controller.begin_shutdown(NEVER), Ok(()));
    assert_eq!(controller.state(), DrainState::Stopped, "L1: nothing is in flight");
    assert!(waiter.join().expect("the waiter ends").finished(), "L1: and nothing was abandoned");
    seen.note("stopped");
}

const DEADLINE: Duration = Duration::from_secs(10);
/// Turns that end only when they are asked to give up.
const STUCK: u64 = 4;
/// Turns that end by themselves.
const SOUND: u64 = 4;

/// Some turns end by themselves and some when they are interrupted; a waiter for the stop, however it waits and
/// whenever it began to, is told the same.
pub fn everybody_who_waits_for_the_stop_is_given_the_same_report(seen: &Seen) {
    let clock = Clock::manual();
    let settings = Settings { clock: clock.clone(), interrupt_grace: Duration::MAX, ..Settings::default() };
    let controller = Controller::with(settings);
    let turns: Vec<_> = (0..STUCK + SOUND)
        .map(|number| {
            let turn = controller.gate().admit().expect("a new gate admits").into_owned();
            let controller = controller.clone();
            thread::spawn(move || {
                if number == 0 {
                    // It looks, where the others sleep.
                    until(|| turn.is_interrupted());
                }
                if number < STUCK {
                    block_on(turn.interrupted());
                }
                drop(turn);
                controller.settle();
            })
        })
        .collect();
    let polled: Vec<_> = (0..10)
        .map(|_| {
            let (controller, seen) = (controller.clone(), seen.clone());
            thread::spawn(move || {
                let stopped = controller.state() == DrainState::Stopped;
                seen.note(if stopped { "asked after the stop" } else { "asked before the stop" });
                block_on(controller.stopped())
            })
        })
        .collect();
    let blocked: Vec<_> = (0..4)
        .map(|_| {
            let controller = controller.clone();
            thread::spawn(move || controller.stopped().wait())
        })
        .collect();
    let shutdowns: Vec<_> = (0..2)
        .map(|_| {
            let (controller, clock) = (controller.clone(), clock.clone());
            thread::spawn(move || {
                assert_ne!(controller.begin_shutdown(DEADLINE).err(), Some(gateway_drain::state::Denial::ShutdownWins));
                clock.advance(DEADLINE);
                controller.settle();
            })
        })
        .collect();

    shutdowns.into_iter().for_each(|shutdown| shutdown.join().expect("the shutdown begins"));
    turns.into_iter().for_each(|turn| turn.join().expect("L4: the turn is asked to give up"));
    let report = controller.report().expect("L1: the last turn has ended, and the thread that ended it settled");
    assert_eq!(report.abandoned, Abandoned::default(), "S5: nothing was forced");
    assert!((STUCK..=STUCK + SOUND).contains(&report.interrupted), "L4: the stuck turns at least: {report:?}");
    let alone = report.interrupted == STUCK;
    seen.note(if alone { "the stuck alone were interrupted" } else { "more were interrupted" });
    let told: Vec<ShutdownReport> =
        polled.into_iter().chain(blocked).map(|waiter| waiter.join().expect("the waiter ends")).collect();
    assert_eq!(told, vec![report; 14], "S4: everybody is told the one report");
}
