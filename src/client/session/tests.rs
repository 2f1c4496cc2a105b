use super::*;
use crate::client::Gateway;
use crate::client::published::{self, fresh, publish};
use crate::client::watch::StatusView;
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
fn a_hold_is_renewed_three_times_in_its_lease_and_every_ten_seconds_at_least() {
    let place = tempfile::tempdir().unwrap();
    let home = Home::at(place.path());
    for (lease, expected) in [(3, 1), (30, 10), (31, 10), (3600, 10)] {
        let session = session(upgrade(&home).lease(Duration::from_secs(lease)));
        assert_eq!(session.period(), Duration::from_secs(expected), "a lease of {lease} s");
        session.log.lock().lease = Some(Duration::from_secs(6));
        assert_eq!(session.period(), Duration::from_secs(2), "asked for {lease} s, and granted 6 s");
    }
    assert_eq!(session(upgrade(&home)).period(), LONGEST_HEARTBEAT, "a lease that isn't known");
}

/// The status of a gateway that has answered this write, and holds by it what `more` says.
fn holding(nonce: &Nonce, more: &serde_json::Value) -> DrainStatus {
    let mut hold = json!({"request_id": "upgrade", "owner": "ops", "nonce": nonce, "age_seconds": 0.0});
    hold.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let (request_id, nonce, outcome) = (RequestId::new("upgrade").unwrap(), Some(nonce.clone()), Outcome::Held);
    DrainStatus {
        state: DrainState::ExternalDraining,
        holds: vec![serde_json::from_value(hold).unwrap()],
        acknowledged: vec![Acknowledgement { request_id, nonce, outcome }],
        ..fresh()
    }
}

/// A session whose first write lies there; its gateway has answered that, and publishes `status`, made from its nonce.
fn begun(home: &Home, drain: Drain, status: impl FnOnce(&Nonce) -> DrainStatus) -> (Session, Nonce) {
    let session = session(drain);
    let write = session.another_write();
    Channel::new(home.clone()).write(&write).unwrap();
    let nonce = write.nonce.unwrap();
    publish(home, &status(&nonce));
    session.note(WriteReceipt { nonce: nonce.clone(), lease: None, first_seen: None, answered: true, repeat: false });
    (session, nonce)
}

fn lying(home: &Home) -> Option<Nonce> {
    Channel::new(home.clone()).find(&RequestId::new("upgrade").unwrap()).nonce().cloned()
}

#[test]
fn a_heartbeat_goes_on_while_nothing_is_heard_and_ends_with_the_hold() {
    let (_place, home, _lock) = published::home();
    let (standing, nonce) = begun(&home, upgrade(&home), |nonce| holding(nonce, &json!({})));
    assert!(standing.beats(), "the hold stands");
    assert_ne!(lying(&home), Some(nonce), "nothing was written");
    assert_eq!(lying(&home), standing.in_hand().last, "what was written is not known as the hold's last write");

    let gone = session(upgrade(&Home::at(home.path().join("gone"))));
    assert!(gone.beats(), "there is no home for the moment");
    let unwritten = gone.log.lock().unwritten.clone();
    let lost = gone.log.lock().lost.clone();
    assert!(matches!(unwritten, Some(Failure::Unreachable(_))) && lost.is_none(), "{unwritten:?} {lost:?}");

    let (_place, home, _lock) = published::home();
    publish(&home, &fresh());
    let ended = session(upgrade(&home));
    assert!(!ended.beats(), "there is no such hold any more");
    let lost = ended.log.lock().lost.clone();
    assert!(matches!(lost, Some(Failure::Withdrawn(_))), "{lost:?}");
}

#[test]
fn a_lease_that_has_run_out_is_not_renewed_once_the_hold_was_written() {
    let (_place, home, _lock) = published::home();
    publish(&home, &fresh());
    let session = session(upgrade(&home).lease(Duration::ZERO));
    let unwritten = session.renew();
    assert!(
        !matches!(unwritten, Err(Failure::LeaseLost(_))),
        "nothing was written whose lease could end: {unwritten:?}"
    );
    session.expecting(&Nonce::fresh());
    let written = session.renew();
    assert!(matches!(written, Err(Failure::LeaseLost(_))), "{written:?}");
}

#[test]
fn a_session_has_sent_something_once_it_is_about_to() {
    let place = tempfile::tempdir().unwrap();
    let session = session(upgrade(&Home::at(place.path())));
    assert!(!session.has_sent());
    session.sending();
    assert!(session.has_sent());
}

#[test]
fn a_wait_that_follows_at_once_writes_nothing_and_a_later_one_renews_the_hold_first() {
    let waited = |since: Duration| {
        let (_place, home, _lock) = published::home();
        let (session, nonce) = begun(&home, upgrade(&home).patience(Duration::ZERO), |nonce| DrainStatus {
            drained: true,
            ..holding(nonce, &json!({}))
        });
        session.watch.lock().begin_again(session.clock.now().saturating_sub(since));
        // Whatever it comes to: nobody answers another write.
        let _ = session.wait_until(Goal::DrainedAtOnce, &Interrupt::new());
        let nonces = session.log.lock().nonces.clone();
        (lying(&home) == Some(nonce.clone()), nonces.len(), nonces.contains(&nonce))
    };
    assert_eq!(waited(Duration::ZERO), (true, 1, true), "at once, it goes by the write that is there");
    assert_eq!(waited(AT_ONCE * 2), (false, 1, false), "later, it goes by a write of its own alone");
}

#[test]
fn a_write_that_nothing_is_heard_of_is_sent_again() {
    let (_place, home, _lock) = published::home();
    let (session, nonce) = begun(&home, upgrade(&home), |nonce| holding(nonce, &json!({})));
    let tries = AtomicUsize::new(0);
    let write = || match tries.fetch_add(1, Ordering::Relaxed) {
        0 => Err(Failure::Unreachable("it restarts".into())),
        1 => Ok(WriteReceipt { nonce: nonce.clone(), lease: None, first_seen: None, answered: true, repeat: false }),
        _ => unreachable!("it was written"),
    };
    // What was answered before has been let out of sight.
    session.log.lock().nonces.clear();
    assert_eq!(session.follow(Goal::Answered, &Interrupt::new(), false, write), Ok(None));
    let denied = || Err(Failure::Denied("no".into()));
    let denied = session.follow(Goal::Answered, &Interrupt::new(), false, denied);
    assert!(matches!(denied, Err(Failure::Denied(_))), "a refusal is an answer: {denied:?}");
}

#[test]
fn a_hold_that_stands_is_not_written_again_because_another_hand_has_renewed_it() {
    let (_place, home, _lock) = published::home();
    let (session, nonce) = begun(&home, upgrade(&home), |nonce| holding(nonce, &json!({})));
    let write = || unreachable!("it was written");
    assert_eq!(session.follow(Goal::Answered, &Interrupt::new(), true, write), Ok(None));
    // Answered before, and another write of the hold lies there now, which is answered too.
    let theirs = Request { nonce: Some(Nonce::fresh()), ..session.another_write() };
    Channel::new(home.clone()).write(&theirs).unwrap();
    publish(&home, &DrainStatus { revision: 1, ..holding(theirs.nonce.as_ref().unwrap(), &json!({})) });
    assert_eq!(lying(&home), theirs.nonce);
    assert_eq!(session.follow(Goal::Answered, &Interrupt::new(), true, write), Ok(None));
    assert_eq!(session.in_hand().last, Some(nonce), "nothing else was written");
}

#[test]
fn a_wait_that_ends_by_its_time_says_how_much_work_of_users_and_of_the_gateways_own_is_left() {
    let (_place, home, _lock) = published::home();
    let busy = |nonce: &Nonce| DrainStatus { in_flight: 3, internal: 2, ..holding(nonce, &json!({})) };
    let (session, _) = begun(&home, upgrade(&home), busy);
    let ended = session.wait_until(Goal::Drained(Some(Duration::ZERO)), &Interrupt::new());
    assert!(matches!(ended, Err(Failure::Deadline { in_flight: 5, .. })), "{ended:?}");
}

#[test]
fn a_wait_without_patience_ends_also_where_the_hold_stands() {
    let (_place, home, _lock) = published::home();
    let (interrupt, looks) = (Interrupt::new(), AtomicUsize::new(0));
    let raise = interrupt.clone();
    let drain = upgrade(&home).patience(Duration::ZERO).on_progress(move |_| {
        if looks.fetch_add(1, Ordering::Relaxed) == 1 {
            raise.raise();
        }
    });
    let (session, _) = begun(&home, drain, |nonce| holding(nonce, &json!({})));
    let ended = session.wait_until(Goal::Drained(None), &interrupt);
    let says = "it lives and has acknowledged nothing for 0 s";
    assert!(matches!(&ended, Err(Failure::Unreachable(why)) if why == says), "{ended:?}");
}

#[test]
fn after_a_look_that_says_nothing_a_wait_ends_by_its_patience_its_time_and_what_was_seen_last() {
    let seen = || GatewayView::Seen(Box::new(StatusView::of(fresh(), &RequestId::new("upgrade").unwrap())));
    let ours = || Incarnation::from("ours".to_owned());
    let views = [
        ("alive", seen()),
        ("alive", GatewayView::Starting(ours())),
        ("dead", GatewayView::Dead(String::new())),
        ("dead", GatewayView::ShutDown(ours())),
        ("hidden", GatewayView::Silent(String::new())),
        ("hidden", GatewayView::Removed),
    ];
    for (what, view) in views {
        for (over, impatient, saw_work) in (0..8).map(|bits| (bits & 1 > 0, bits & 2 > 0, bits & 4 > 0)) {
            let expected = match (what, over, impatient, saw_work) {
                (_, _, true, _) => AfterSilence::IsUnreachable,
                (_, false, ..) | ("alive", ..) => AfterSilence::GoesOn,
                ("hidden", _, _, true) => AfterSilence::TimeIsOver,
                _ => AfterSilence::IsUnreachable,
            };
            let ended = after_silence(&view, over, impatient, saw_work);
            assert_eq!(ended, expected, "{view:?}, over: {over}, impatient: {impatient}, saw work: {saw_work}");
        }
    }
}

#[test]
fn work_was_seen_where_something_was_in_flight_at_the_last_sight() {
    let place = tempfile::tempdir().unwrap();
    let session = session(upgrade(&Home::at(place.path())));
    for (left, expected) in [(None, false), (Some(0), false), (Some(1), true), (Some(2), true)] {
        session.log.lock().left = left.map(|in_flight| (in_flight, Vec::new()));
        assert_eq!(session.saw_work(), expected, "{left:?} in flight");
    }
}

#[test]
fn silence_lasts_from_when_the_gateway_was_heard_last() {
    let place = tempfile::tempdir().unwrap();
    let session = session(upgrade(&Home::at(place.path())));
    session.watch.lock().begin_again(session.clock.now().saturating_sub(AT_ONCE * 2));
    assert!(session.silence() >= AT_ONCE * 2, "{:?}", session.silence());
}

#[test]
fn pauses_grow_by_a_fourth_up_to_the_longest() {
    assert_eq!(slower(Duration::from_millis(20)), Duration::from_millis(25));
    assert_eq!(slower(Duration::from_millis(200)), LONGEST_PAUSE);
    assert_eq!(slower(Duration::from_millis(201)), LONGEST_PAUSE);
    assert_eq!(slower(LONGEST_PAUSE), LONGEST_PAUSE);
}
