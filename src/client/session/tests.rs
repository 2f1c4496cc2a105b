use super::*;
use crate::client::Gateway;
use crate::client::published::{self, fresh, publish};
use crate::control::{Channel, Home};
use crate::controller::Acknowledgement;
use crate::hold::{Outcome, RequestId};
use crate::status::DrainStatus;
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
