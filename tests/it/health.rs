//! What a gateway says of itself: of its reconciler, of what it couldn't read, and of what its application told it.

use crate::support::eventually::{comes_true, until};
use gateway_drain::controller::Settings;
use gateway_drain::hold::{Outcome, Source};
use gateway_drain::reconciler::Options;
use gateway_drain::status::Description;
use gateway_drain::{Clock, Home, Reconciler, Request, RequestId, Snapshot};
use std::error::Error;
use std::fs;
use std::time::Duration;

/// A gateway that looks only when it is kicked.
fn start(home: &Home, clock: Clock) -> Reconciler {
    let settings = Settings { clock, ..Settings::default() };
    let tick = Duration::from_secs(3600);
    Reconciler::start(home.clone(), Options { tick, settings, events: false, ..Options::default() })
        .expect("a home of its own")
}

#[test]
fn a_reconciler_that_has_been_silent_for_three_ticks_is_said_to_be_stuck_until_it_looks_again() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let clock = Clock::manual();
    let gateway = start(&Home::at(folder.path()), clock.clone());
    // More often than once: it may be on its first look yet, and that is no silence.
    comes_true("readiness says so", || {
        clock.advance(Duration::from_secs(4 * 3600));
        let unready = gateway.unready();
        assert!(unready.len() <= 1, "nothing else is wrong: {unready:?}");
        unready.iter().any(|why| why.starts_with("the reconciler has been silent for ")) && gateway.is_stuck()
    });
    gateway.kick();
    comes_true("it is ready once more", || gateway.unready().is_empty() && !gateway.is_stuck());
}

#[test]
fn a_look_that_fails_is_counted_and_said_why() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let home = Home::at(folder.path().join("home"));
    fs::create_dir(home.path()).expect("writable");
    let gateway = start(&home, Clock::manual());
    // Again if the gateway writes in the middle of it.
    comes_true("it is removed", || !home.path().exists() || fs::remove_dir_all(home.path()).is_ok());
    gateway.kick();
    let reconciler = || gateway.snapshot().drain.reconciler;
    // A status that was being written as the folder went may have failed before the look does.
    let says_why = || reconciler().last_error.is_some_and(|why| why.contains("home"));
    comes_true("the failed look is said, and what it lacked", says_why);
    assert!(reconciler().errors > 0, "{:?}", reconciler());
}

#[test]
fn a_status_that_says_nothing_new_is_not_written() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let home = Home::at(folder.path());
    let gateway = start(&home, Clock::manual());
    let first = gateway.snapshot().drain.revision;
    for changes in 1..=20 {
        // A look that finds nothing new, unless it is one with the next.
        gateway.kick();
        let drains = changes % 2 == 1;
        if drains { fs::write(home.marker(), "") } else { fs::remove_file(home.marker()) }.expect("writable");
        gateway.kick();
        let status = until(&home, "the change", |status| status.drain.drained == drains);
        assert_eq!(status.drain.revision, first + changes, "one status for each change");
    }
}

#[test]
fn a_drain_s_status_that_says_nothing_new_is_written_again_from_time_to_time() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (home, clock) = (Home::at(folder.path()), Clock::manual());
    let gateway = start(&home, clock.clone());
    fs::write(home.marker(), "").expect("writable");
    gateway.kick();
    let before = until(&home, "the drain", |status| status.drain.drained).drain.revision;
    clock.advance(Options::default().refresh);
    gateway.kick();
    until(&home, "the same once more", |status| status.drain.drained && status.drain.revision > before);
}

#[test]
fn a_gateway_that_can_not_read_the_status_before_its_own_says_what_that_means() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let home = Home::at(folder.path());
    let said = || start(&home, Clock::manual()).snapshot().drain.reconciler;
    let first = said();
    assert_eq!((first.errors, first.last_error), (0, None), "there was none before it");
    fs::write(home.status(), "no status").expect("writable");
    let second = said();
    let why = second.last_error.unwrap_or_default();
    assert_eq!(second.errors, 1, "{why}");
    assert!(why.starts_with("the earlier status can't be read, and what it alone knew is lost"), "{why}");
}

#[test]
fn what_the_application_says_of_itself_at_the_start_is_in_the_first_status() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let home = Home::at(folder.path());
    let description = Description { kind: "agent".into(), ..Description::default() };
    let _gateway = Reconciler::start(home.clone(), Options { description, ..Options::default() }).expect("it starts");
    assert_eq!(Snapshot::read(&home).expect("a status").description.kind, "agent");
}

#[test]
fn only_a_commit_that_came_by_a_file_is_said_to_have_lost_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let gateway = start(&Home::at(folder.path()), Clock::manual());
    let (controller, id) = (gateway.controller(), RequestId::new("upgrade").expect("a request id"));
    assert_eq!(controller.request(&Request::begin(id.clone(), "ops")), Ok(Outcome::Held));
    let generation = gateway.gate().reading().generation;
    let commit = Request::commit(id, "ops", controller.incarnation().clone(), generation);
    assert_eq!((commit.source, controller.request(&commit)), (Source::Process, Ok(Outcome::Committed)));
    assert_eq!(gateway.snapshot().drain.ignored, []);
}

#[test]
fn a_start_that_fails_names_the_system_s_error_as_its_cause() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let home = Home::at(folder.path());
    fs::create_dir(home.status()).expect("writable");
    let error = Reconciler::start(home, Options::default()).expect_err("a folder stands in the status's place");
    assert!(error.source().is_some_and(|cause| cause.is::<std::io::Error>()), "{error:?}");
}
