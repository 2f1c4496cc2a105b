use super::*;
use crate::client::published::{self, fresh, publish};
use crate::client::stub::{self, Asked, Reply};
use crate::state::DrainState;
use crate::status::DrainStatus;
use serde_json::json;

#[test]
fn a_cancel_is_done_once_the_gateway_drains_no_more_or_for_other_holds_alone() {
    let cancelled = |state, holds: &[(&str, u64)]| {
        let (_place, home, _lock) = published::home();
        let hold = |(id, first_seen): &(&str, u64)| {
            let hold = json!({"request_id": id, "owner": "ops", "age_seconds": 0.0, "first_seen_millis": first_seen});
            serde_json::from_value(hold)
        };
        let holds = holds.iter().map(|id| hold(id).unwrap()).collect();
        publish(&home, &DrainStatus { state, holds, ..fresh() });
        MarkerDrain::of(Gateway::at(home), "ops").patience(Duration::ZERO).cancel()
    };
    let draining = DrainState::ExternalDraining;
    assert_eq!(cancelled(DrainState::Running, &[]), Ok(()));
    assert_eq!(cancelled(draining, &[("upgrade", 7)]), Ok(()), "another's hold keeps it closed");
    for holds in [&[("marker", 0)][..], &[("marker", 7)], &[("upgrade", 8), ("marker", 7)]] {
        let cancelled = cancelled(draining, holds);
        assert!(matches!(cancelled, Err(Failure::Unreachable(_))), "{holds:?}: {cancelled:?}");
    }
}

#[test]
fn a_look_that_hears_nothing_is_repeated_while_there_is_patience_and_any_other_failure_ends_it() {
    let place = tempfile::tempdir().unwrap();
    let until = |home: Home, patience| {
        let drain = MarkerDrain::of(Gateway::at(home), "ops").patience(patience);
        drain.until(Duration::ZERO, |_| None::<()>)
    };
    let (patient, nobody) = (Duration::from_secs(60), Home::at(place.path()));
    assert_eq!(until(nobody.clone(), patient), Ok(None), "the time is over before the patience");
    let impatient = until(nobody, Duration::ZERO);
    assert!(matches!(impatient, Err(Failure::Unreachable(_))), "{impatient:?}");
    let no_path = until(Home::at("no\0path"), patient);
    assert!(matches!(no_path, Err(Failure::Usage(_))), "{no_path:?}");
}

#[test]
fn a_marker_is_kept_alive_no_longer_than_its_guard() {
    let place = tempfile::tempdir().unwrap();
    let kept = MarkerDrain::of(Gateway::at(Home::at(place.path())), "ops").keep_alive();
    let quiet = kept.quiet.clone();
    assert!(!quiet.is_raised());
    drop(kept);
    assert!(quiet.is_raised(), "it is still written again");
}

#[test]
fn what_is_said_of_a_drain_for_people_is_in_its_marker() {
    let (_place, home, _lock) = published::home();
    let drain = MarkerDrain::of(Gateway::at(home.clone()), "ops").reason("a new kernel");
    drain.gateway.put_marker(&drain, false).unwrap();
    let marker: Value = serde_json::from_slice(&std::fs::read(home.marker()).unwrap()).unwrap();
    assert_eq!((&marker["reason"], &marker["principal"]), (&json!("a new kernel"), &json!("ops")), "{marker}");
}

#[test]
fn a_gateway_of_the_reference_lives_while_a_process_has_its_number_that_started_when_it_says() {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let started = start_time(&stat).unwrap();
    let pid = std::process::id();
    for (said, expected) in [
        (json!({"pid": pid, "start_time": started}), Some(true)),
        (json!({"pid": pid, "start_time": started + 1}), Some(false)),
        (json!({"pid": pid}), Some(true)),
        (json!({"pid": u64::MAX, "start_time": started}), Some(false)),
        (json!({"pid": "17"}), None),
        (json!({}), None),
    ] {
        let Value::Object(fields) = said.clone() else { unreachable!() };
        assert_eq!(lives(&Status::of(fields)), expected, "{said}");
    }
}

/// A drain over HTTP, of a gateway whose endpoint answers so to the marker's writing and to its removal, and what it is asked for.
fn over_http(writing: (u16, Value), removal: (u16, Value)) -> (MarkerDrain, Asked) {
    let (url, asked) = stub::replying(move |question| {
        let status = json!({"gateway_state": "running", "gateway_running": true, "active_agents": 0});
        let (code, said) = match question {
            _ if question.starts_with("GET") => (200, status),
            _ if question.contains("\"cancel\"") => removal.clone(),
            _ => writing.clone(),
        };
        Reply::Whole(code, said.to_string())
    });
    (MarkerDrain::of(Gateway::over_http(&url, None).unwrap(), "ops").patience(Duration::ZERO), asked)
}

/// What comes of such a begin, and how often a removal was asked for.
fn begun(writing: (u16, Value), removal: (u16, Value)) -> (CameToNothing, usize) {
    let (drain, asked) = over_http(writing, removal);
    let nothing = drain.begin_or_remove().expect_err("nobody says that it drains");
    let removals = asked.lock().iter().filter(|question| question.contains("\"cancel\"")).count();
    (nothing, removals)
}

fn said(word: &str) -> (u16, Value) {
    (200, json!({"ok": true, "action": word}))
}

fn proxy() -> (u16, Value) {
    (502, json!("no gateway"))
}

#[test]
fn a_marker_that_no_gateway_follows_is_removed_again() {
    let (nothing, removals) = begun(said("drain"), said("cancel"));
    assert_eq!((removals, &nothing.given_up), (1, &Ok(())));
    let Failure::Unreachable(why) = &nothing.failure else { panic!("{nothing:?}") };
    assert!(why.ends_with("; the marker is removed again"), "{why}");
}

#[test]
fn a_marker_whose_writing_was_not_answered_is_removed_and_may_still_arrive() {
    let (nothing, removals) = begun(proxy(), said("cancel"));
    assert_eq!((removals, &nothing.given_up), (1, &Err(Failure::Unreachable(LATE.into()))));
}

#[test]
fn of_a_marker_that_may_lie_there_and_could_not_be_removed_both_failures_are_told() {
    let (nothing, removals) = begun(proxy(), proxy());
    assert_eq!(removals, 1);
    assert!(matches!(nothing.given_up, Err(Failure::Unreachable(_))), "{nothing:?}");
    let Failure::Unreachable(why) = &nothing.failure else { panic!("{nothing:?}") };
    assert!(!why.contains("removed"), "{why}");
    let Err(Failure::Unreachable(why)) = over_http(proxy(), proxy()).0.begin() else { panic!("it is silent") };
    assert!(why.contains("the marker may lie there: "), "{why}");
}

#[test]
fn a_marker_whose_writing_was_refused_is_another_s_and_is_left_alone() {
    let refused = json!({"status": 409, "error": "not_yours", "detail": "why"});
    let (nothing, removals) = begun((409, refused), said("cancel"));
    assert_eq!((removals, nothing.sent, nothing.given_up), (0, false, Ok(())), "{:?}", nothing.failure);
}
