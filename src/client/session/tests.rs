use super::*;
use crate::client::Gateway;
use crate::client::published::{self, fresh, publish};
use crate::control::{Channel, Home};
use crate::controller::Acknowledgement;
use crate::hold::{Outcome, RequestId};
use crate::state::DrainState;
use crate::status::DrainStatus;
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering};

fn upgrade(home: &Home) -> Drain {
    Drain::of(Gateway::at(home.clone()), "ops").id(RequestId::new("upgrade").unwrap())
}

fn session(drain: Drain) -> Session {
    Session::new(drain, InHand::new())
}

#[test]
fn an_async_wait_is_interrupted_with_its_drain() {
    let (_place, home, _lock) = published::home();
    let interrupt = Interrupt::new();
    let of_the_wait = session(upgrade(&home).interrupt(interrupt.clone())).interrupt();
    assert!(!of_the_wait.is_raised());
    interrupt.raise();
    assert!(of_the_wait.is_raised(), "the drain was interrupted, and its wait goes on");
}

#[test]
fn a_request_that_is_not_answered_has_been_written_over_or_not_been_looked_at() {
    let begun = |is_replaced: bool| {
        let (_place, home, _lock) = published::home();
        let session = session(upgrade(&home).patience(Duration::ZERO));
        let channel = Channel::new(home.clone());
        let write = || {
            let ours = session.another_write();
            let theirs = Request { nonce: Some(Nonce::fresh()), ..ours.clone() };
            channel.write(if is_replaced { &theirs } else { &ours }).unwrap();
            let (request_id, nonce) = (theirs.id.clone(), theirs.nonce.clone());
            let answer = Acknowledgement { request_id, nonce, outcome: Outcome::Held };
            publish(&home, &DrainStatus { acknowledged: vec![answer], ..fresh() });
            let nonce = ours.nonce.unwrap();
            Ok(WriteReceipt { nonce, lease: None, first_seen: None, answered: false, repeat: false })
        };
        session.follow(Goal::Answered, &Interrupt::new(), false, write).unwrap_err().to_string()
    };
    assert!(begun(true).contains("others have written over the request before it was read"), "{}", begun(true));
    assert!(begun(false).contains("it lives and has not acknowledged the request yet"), "{}", begun(false));
}

#[test]
fn a_wait_whose_time_is_over_ends_where_nobody_lives_and_waits_for_the_answer_of_a_gateway_that_does() {
    let waited = |lives: bool| {
        let (_place, home, lock) = published::home();
        // That it has not looked at yet.
        Channel::new(home.clone()).write(&upgrade(&home).request).unwrap();
        publish(&home, &fresh());
        let _lives = Some(lock).filter(|_| lives);
        let (interrupt, looks) = (Interrupt::new(), AtomicUsize::new(0));
        let raise = interrupt.clone();
        let drain = upgrade(&home).on_progress(move |_| {
            if looks.fetch_add(1, Ordering::Relaxed) == 1 {
                raise.raise();
            }
        });
        let write = || unreachable!("it was written");
        session(drain).follow(Goal::Drained(Some(Duration::ZERO)), &interrupt, true, write).unwrap_err()
    };
    let gone = waited(false);
    assert!(matches!(gone, Failure::Unreachable(_)), "nobody is left to answer: {gone:?}");
    let lives = waited(true);
    assert!(matches!(lives, Failure::Interrupted), "it has had no tick to answer: {lives:?}");
}

#[test]
fn a_wait_whose_time_is_over_while_nothing_can_be_seen_ends_by_the_work_that_was_seen_last() {
    let waited = |in_flight: u64, loses: fn(&Home)| {
        let (_place, home, _lock) = published::home();
        let drain = upgrade(&home);
        let hold = json!({"request_id": "upgrade", "owner": "ops", "age_seconds": 0.0});
        let holds = vec![serde_json::from_value(hold).unwrap()];
        publish(&home, &DrainStatus { state: DrainState::ExternalDraining, in_flight, holds, ..fresh() });
        let limit = Duration::from_secs(1);
        let drain = drain.on_progress(move |progress| {
            // From the second look on there is nothing to see, and the time is over.
            loses(&home);
            Interrupt::new().pause(Duration::from_secs_f64(progress.time_left_seconds.unwrap_or_default()));
        });
        let write = || unreachable!("it was written");
        session(drain).follow(Goal::Drained(Some(limit)), &Interrupt::new(), true, write).unwrap_err()
    };
    let hides: fn(&Home) = |home| {
        let _ = std::fs::remove_file(home.status());
        // It is there already at the second look.
        let _ = std::fs::create_dir(home.status());
    };
    let busy = waited(2, hides);
    assert!(matches!(busy, Failure::Deadline { in_flight: 2, .. }), "the time ended with work in flight: {busy:?}");
    let idle = waited(0, hides);
    assert!(matches!(idle, Failure::Unreachable(_)), "what the gateway waits for isn't known: {idle:?}");
}

#[test]
fn a_drain_whose_act_has_no_time_is_not_begun() {
    let (_place, home, _lock) = published::home();
    let check = |deadline| upgrade(&home).act_within(deadline).check();
    assert!(matches!(check(Duration::ZERO), Err(Failure::Usage(_))));
    assert_eq!(check(Duration::from_nanos(1)), Ok(()));
}
