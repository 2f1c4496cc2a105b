//! Crowds that wait for the end: G4, L1, L4, S5.

use super::explore::explore;
use gateway_drain::controller::{Settings, ShutdownReport};
use gateway_drain::lifecycle::Abandoned;
use gateway_drain::{Clock, Controller, DrainState};
use shuttle::{future, thread};
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(10);
/// Turns that end only when they are asked to give up.
const STUCK: u64 = 4;
/// Turns that end by themselves.
const SOUND: u64 = 4;

/// Some turns end by themselves and some when they are interrupted; whoever waits for the stop, however it waits and
/// whenever it began to, is told the same.
#[test]
fn everybody_who_waits_for_the_stop_is_given_the_same_report() {
    explore("shutdown::everybody_who_waits_for_the_stop_is_given_the_same_report", |seen| {
        let clock = Clock::manual();
        let settings = Settings { clock: clock.clone(), interrupt_grace: Duration::MAX, ..Settings::default() };
        let controller = Controller::with(settings);
        let turns: Vec<_> = (0..STUCK + SOUND)
            .map(|number| {
                let turn = controller.gate().admit().expect("a new gate admits").into_owned();
                let controller = controller.clone();
                future::spawn(async move {
                    if number < STUCK {
                        turn.interrupted().await;
                    }
                    drop(turn);
                    controller.settle();
                })
            })
            .collect();
        let polled: Vec<_> = (0..10)
            .map(|_| {
                let (controller, seen) = (controller.clone(), seen.clone());
                future::spawn(async move {
                    let stopped = controller.state() == DrainState::Stopped;
                    seen.note(if stopped { "asked after the stop" } else { "asked before the stop" });
                    controller.stopped().await
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
                    assert_ne!(
                        controller.begin_shutdown(DEADLINE).err(),
                        Some(gateway_drain::state::Denial::ShutdownWins)
                    );
                    clock.advance(DEADLINE);
                    controller.settle();
                })
            })
            .collect();

        shutdowns.into_iter().for_each(|shutdown| shutdown.join().expect("the shutdown begins"));
        turns.into_iter().for_each(|turn| future::block_on(turn).expect("L4: the turn is asked to give up"));
        let report = controller.report().expect("L1: the last turn has ended, and whoever ended it settled");
        assert_eq!(report.abandoned, Abandoned::default(), "S5: nothing was forced");
        assert!((STUCK..=STUCK + SOUND).contains(&report.interrupted), "L4: the stuck turns at least: {report:?}");
        let alone = report.interrupted == STUCK;
        seen.note(if alone { "the stuck alone were interrupted" } else { "more were interrupted" });
        let told: Vec<ShutdownReport> = polled
            .into_iter()
            .map(|waiter| future::block_on(waiter).expect("the waiter ends"))
            .chain(blocked.into_iter().map(|waiter| waiter.join().expect("the waiter ends")))
            .collect();
        assert_eq!(told, vec![report; 14], "S4: everybody is told the one report");
    });
}
