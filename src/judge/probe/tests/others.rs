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
