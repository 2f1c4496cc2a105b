//! What the probe says of a gateway that somebody else ends or restarts under it: nothing that it could be blamed for.

use super::*;
use crate::judge::probe::fake::State;

/// What somebody else does to a gateway, and what the probe says that it did.
type Deed = (fn(&mut State), &'static str);

const DEEDS: [Deed; 4] = [
    (|state| *state = State { process: 1, now: state.now, ..State::default() }, "was restarted"),
    (|state| state.shutting_down = true, "began to shut down"),
    (|state| state.is_dead = true, "ended"),
    (
        // For longer than anything may take.
        |state| {
            let back = state.now + Duration::from_secs(8);
            *state = State { process: 1, now: state.now, away_until: back, ..State::default() };
        },
        // Whichever of the two is seen first.
        "",
    ),
];

/// Probes a gateway to which this is done once.
fn under(deed: fn(&mut State), when: impl Fn(&State) -> bool + 'static) -> Report {
    probed(options(true, None, None), |fake| {
        let done = std::cell::Cell::new(false);
        fake.others = Box::new(move |state| {
            if !done.get() && when(state) {
                done.set(true);
                deed(state);
            }
        });
    })
}

#[test]
fn a_gateway_that_somebody_else_ends_or_restarts_at_any_moment_is_not_judged_by_it() {
    let whole = probed_in(options(true, None, None), |_| {}, &Interrupt::new()).1;
    std::thread::scope(|scope| {
        for (deed, said) in DEEDS {
            scope.spawn(move || {
                let (mut moment, step) = (TICK * 2, TICK * 7);
                // What is done to it as the probe ends nobody sees.
                while moment + TICK * 10 < whole {
                    let report = under(deed, move |state| state.now >= moment);
                    assert_eq!((report.broken(), report.exit_code()), (vec![], 12), "{said} at {moment:?}: {report}");
                    let why = report.cut_short.unwrap_or_default();
                    assert!(why.starts_with(&format!("the gateway {said}")), "{said} at {moment:?}: {why}");
                    moment += step;
                }
            });
        }
    });
}

#[test]
fn a_gateway_that_ends_under_something_hostile_is_said_to_have_ended_while_that_was_tried() {
    // The fourth kind of marker: six drains come first.
    let report = under(|state| state.is_dead = true, |state| state.requests == 10);
    assert_eq!(
        report.cut_short.as_deref(),
        Some(
            "the gateway ended while a marker with a list was tried: whether that did it, or somebody else, can't be told \
             from here"
        )
    );
    assert_eq!(report.broken(), [], "{report}");
}

#[test]
fn a_gateway_that_was_out_of_sight_from_the_beginning_is_judged_by_its_status() {
    let report = probed(options(true, None, None), |fake| fake.out_of_sight = true);
    assert_eq!((&report.cut_short, not_kept(&report)), (&None, vec![]));
}

/// What is said of the shutdown's end of a gateway that is started again at once when this is so, and whose files are looked at this often.
fn restarted_at_its_end(tick: Duration, when: fn(&State) -> bool) -> Vec<String> {
    let report = probed(Options { tick, ..options(true, None, Some("stop")) }, |fake| {
        fake.others = Box::new(move |state| {
            if when(state) {
                *state = State { process: state.process + 1, now: state.now, ..State::default() };
            }
        });
    });
    lines(&report).into_iter().filter(|line| line.starts_with("L1")).collect()
}

#[test]
fn a_gateway_that_is_started_again_as_soon_as_it_has_stopped_is_seen_to_stop_or_not_blamed() {
    let kept = restarted_at_its_end(TICK * 10, |state| state.stopped);
    assert_eq!(kept, ["L1 kept: after --stop-cmd the status came to say stopped"]);
    let missed =
        restarted_at_its_end(TICK, |state| state.shutting_down && state.turns.iter().all(|end| *end <= state.now));
    assert_eq!(
        missed,
        ["L1 unseen: after --stop-cmd the status said that it shuts down, and its end was too quick to be seen"]
    );
}

#[test]
fn a_gateway_that_its_restart_command_starts_twice_is_said_to_have_ended_while_that_command_was_tried() {
    for (knows_holds, under) in [(false, "a marker"), (true, "a commit")] {
        let report = probed(options(true, Some("restart"), None), |fake| {
            fake.knows_holds = knows_holds;
            fake.others = Box::new(|state| state.process += u64::from(state.process == 1 && state.ticks > 2));
        });
        assert_eq!((report.broken(), report.exit_code()), (vec![], 12), "{report}");
        let why = report.cut_short.unwrap_or_default();
        let said = format!(
            "the gateway was restarted, or another answers in its place, while --restart-cmd under {under} was tried:"
        );
        assert!(why.starts_with(&said), "{why}");
    }
}
