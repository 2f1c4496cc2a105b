//! The end: S2, S3, S5 where threads race.

use super::explore::explore;
use gateway_drain::controller::{Settings, ShutdownReport};
use gateway_drain::hold::{Denied, Ending, Outcome};
use gateway_drain::lifecycle::Abandoned;
use gateway_drain::{Clock, Controller, DrainState, Refusal, Request, RequestId};
use loom::thread;
use std::time::Duration;

const NEVER: Duration = Duration::from_secs(3600);

fn controller() -> Controller {
    Controller::with(Settings { clock: Clock::manual(), ..Settings::default() })
}

fn id(name: &str) -> RequestId {
    RequestId::new(name).expect("a sound name")
}

#[test]
fn a_cancel_racing_a_shutdown_never_reopens_for_good() {
    explore("shutdown::a_cancel_racing_a_shutdown_never_reopens_for_good", |seen| {
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
    });
}

#[test]
fn two_shutdowns_racing_are_one() {
    explore("shutdown::two_shutdowns_racing_are_one", |seen| {
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
    });
}

/// Either the turn ended in time or it is abandoned: it is never both, and never neither.
#[test]
fn a_forced_stop_racing_the_last_release_says_what_was_abandoned() {
    explore("shutdown::a_forced_stop_racing_the_last_release_says_what_was_abandoned", |seen| {
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
    });
}

#[test]
fn whoever_waits_for_the_stop_hears_of_it() {
    explore("shutdown::whoever_waits_for_the_stop_hears_of_it", |seen| {
        let controller = controller();
        let waiter = thread::spawn({
            let controller = controller.clone();
            move || controller.stopped().wait()
        });
        assert_eq!(controller.begin_shutdown(NEVER), Ok(()));
        assert_eq!(controller.state(), DrainState::Stopped, "L1: nothing is in flight");
        assert!(waiter.join().expect("the waiter ends").finished(), "L1: and nothing was abandoned");
        seen.note("stopped");
    });
}
