use super::*;
use crate::state::DrainState;
use serde_json::json;
use std::fs;
use std::sync::Barrier;

/// What the client makes of this status, in a home whose lock the process `ours` holds.
fn look_at(status: &DrainStatus) -> GatewayView {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path());
    let _lock = home.lock(&Incarnation::from("ours".to_owned())).unwrap();
    let published = json!({"gateway_state": "running", "active_agents": 0, "drain": status});
    fs::write(home.status(), published.to_string()).unwrap();
    Files::new(home).look(&RequestId::new("upgrade").unwrap())
}

#[test]
fn only_a_fresh_status_of_the_living_process_in_this_epoch_is_a_sight() {
    let now = u64::try_from(Clock::boot().now().as_millis()).unwrap();
    let fresh = || DrainStatus {
        format: 2,
        state: DrainState::Running,
        incarnation: Incarnation::from("ours".to_owned()),
        epoch: Epoch::current(),
        clock_millis: now,
        refresh_seconds: Some(10.0),
        ..DrainStatus::default()
    };
    assert!(matches!(look_at(&fresh()), GatewayView::Removed), "nobody knows the hold, and it has no file");
    let of_another = DrainStatus { incarnation: Incarnation::from("another".to_owned()), ..fresh() };
    assert!(matches!(look_at(&of_another), GatewayView::Starting(live) if live.as_str() == "ours"));
    // Longer ago than three of its refreshes and five seconds.
    let old = DrainStatus { clock_millis: now.saturating_sub(36_000), ..fresh() };
    assert!(matches!(look_at(&old), GatewayView::Silent(_)));
    let elsewhere = DrainStatus { epoch: Epoch::from("another:1".to_owned()), ..fresh() };
    let look = look_at(&elsewhere);
    assert!(matches!(look, GatewayView::Over(Failure::Ignored(_))), "{look:?}");
}

/// How many begin one hold at the same time, and how often.
const WRITERS: usize = 4;
const ROUNDS: usize = 25;

/// What lies in a hold's place before it is begun, and holds nothing.
fn leave(home: &Home, id: &RequestId, what: &str) {
    if what == "what an earlier boot left" {
        let earlier = Channel::of_epoch(home.clone(), Epoch::from("an-earlier-boot:1".to_owned()));
        earlier.write(&Request::begin(id.clone(), "ops")).unwrap();
    }
}

#[test]
fn of_several_that_begin_one_hold_in_one_moment_one_begins_it_and_the_others_are_told_that_it_is_there() {
    for what in ["nothing", "what an earlier boot left"] {
        let place = tempfile::tempdir().unwrap();
        let files = Files::new(Home::at(place.path()));
        for round in 0..ROUNDS {
            let id = RequestId::new(format!("upgrade-{round}")).unwrap();
            leave(files.home(), &id, what);
            let together = Barrier::new(WRITERS);
            let begun: Vec<_> = std::thread::scope(|scope| {
                let begin = || {
                    let request = Request { nonce: Some(Nonce::fresh()), ..Request::begin(id.clone(), "ops") };
                    together.wait();
                    files.begin(&request).map(|sent| sent.nonce)
                };
                let writers: Vec<_> = (0..WRITERS).map(|_| scope.spawn(begin)).collect();
                writers.into_iter().map(|writer| writer.join().unwrap()).collect()
            });
            let first: Vec<_> = begun.iter().filter_map(|begun| begun.as_ref().ok()).collect();
            let refused = begun.iter().filter(|begun| matches!(begun, Err(Failure::Denied(_)))).count();
            assert_eq!((first.len(), refused), (1, WRITERS - 1), "over {what}, round {round}: {begun:?}");
            let lies = files.channel.find(&id);
            assert_eq!(lies.nonce(), Some(first[0]), "over {what}, round {round}: another's write lies there");
        }
    }
}
