//! What needs the reconciler's own parts: its disk, its thread, its clock.

use super::*;
use crate::clock::Clock;
use crate::control::Channel;
use crate::controller::Change;
use crate::hold::{Request, RequestId};
use std::sync::mpsc::channel;

/// Repeats `look` until it holds, for up to 30 s.
fn comes_true(what: &str, mut look: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !look() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

#[test]
fn a_disk_that_answers_too_late_at_the_start_lets_no_gateway_start_without_what_was_left() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path());
    let incarnation = Incarnation::fresh();
    let lock = home.lock(&incarnation).unwrap();
    let disk = Bounded::new("test").unwrap();
    let (answer, hung) = channel::<()>();
    disk.jobs.send(Box::new(move || _ = hung.recv())).unwrap();
    let options = Options { disk_timeout: Duration::from_millis(50), ..Options::default() };
    let started = Reconciler::start_on(disk, home, lock, incarnation, options);
    assert!(matches!(started, Err(StartError::Left { .. })), "E1: {started:?}");
    drop(answer);
}

#[test]
fn a_disk_that_hangs_holds_up_neither_the_deadline_of_a_shutdown_nor_its_grace() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path());
    let incarnation = Incarnation::fresh();
    let lock = home.lock(&incarnation).unwrap();
    let settings = Settings { interrupt_grace: Duration::from_millis(50), ..Settings::default() };
    let disk_timeout = Duration::from_secs(3600);
    let options = Options { disk_timeout, settings, ..Options::default() };
    let disk = Bounded::new("test").unwrap();
    let jobs = disk.jobs.clone();
    let gateway = Reconciler::start_on(disk, home, lock, incarnation, options).unwrap();

    let (answer, hung) = channel::<()>();
    jobs.send(Box::new(move || _ = hung.recv())).unwrap();
    let turn = gateway.gate().admit().unwrap();
    gateway.controller().begin_shutdown(Duration::from_millis(50)).unwrap();
    comes_true("L4: the shutdown is forced", || gateway.controller().report().is_some());
    let report = gateway.controller().report().unwrap();
    assert_eq!((report.interrupted, report.abandoned.in_flight), (1, 1), "the stuck turn was given up");
    drop(turn);
    drop(answer);
}

#[test]
fn a_disk_that_hangs_closes_the_gate_and_ends_no_lease_and_readiness_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path());
    let incarnation = Incarnation::fresh();
    let lock = home.lock(&incarnation).unwrap();
    let clock = Clock::manual();
    let settings = Settings { clock: clock.clone(), ..Settings::default() };
    let (tick, disk_timeout) = (Duration::from_secs(3600), Duration::from_secs(2));
    let options = Options { tick, disk_timeout, settings, ..Options::default() };
    std::fs::write(home.marker(), "").unwrap();

    // A disk that hangs, once it is told to, with the work of the very thread that looks.
    let mut disk = Bounded::new("test").unwrap();
    let (jobs, work) = channel();
    disk.jobs = jobs;
    let hangs = Arc::new(AtomicBool::new(false));
    let ((hanging, held), (answer, hung)) = (channel(), channel::<()>());
    let told_to = Arc::clone(&hangs);
    std::thread::spawn(move || {
        for job in work {
            if told_to.load(Ordering::SeqCst) {
                hanging.send(()).unwrap();
                _ = hung.recv();
            }
            job();
        }
    });
    let gateway = Reconciler::start_on(disk, home, lock, incarnation, options).unwrap();
    let (told, ended) = channel();
    let controller = gateway.controller().clone();
    gateway.controller().observe(move |change| {
        if matches!(change, Change::Hold(changed) if changed.id.is_marker()) {
            told.send(controller.holds().iter().any(|hold| hold.id == RequestId::found("home"))).unwrap();
        }
    });
    hangs.store(true, Ordering::SeqCst);
    gateway.kick();
    held.recv_timeout(Duration::from_secs(60)).expect("the thread wants something of the disk");
    // Its lease is over, and its renewal may lie in what is about to be read.
    clock.advance(Duration::from_secs(3600));
    gateway.kick();
    let after_the_look = ended.recv_timeout(Duration::from_secs(60)).expect("the lease is over");
    assert!(after_the_look, "H3: its lease ended in the middle of a look");
    comes_true("readiness says what is wrong", || gateway.unready().len() == 3);
    let unready = gateway.unready().join("; ");
    assert!(unready.contains("can't be looked at") && unready.contains("can't be published"), "{unready}");
    assert!(gateway.gate().admit().is_err(), "C4: what can't be looked at holds the gate");
    drop(answer);
}

fn start(home: &Home, options: Options) -> Reconciler {
    Reconciler::start(home.clone(), options).unwrap()
}

#[test]
fn a_tick_that_panics_is_counted_published_and_taken_up_again() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path());
    let gateway = start(&home, Options::default());
    let mut armed = true;
    gateway.controller().listen(|_| (), move |_| assert!(!std::mem::take(&mut armed), "as intended"));
    std::fs::write(home.marker(), "").unwrap();
    gateway.kick();
    comes_true("the panic is counted", || gateway.snapshot().drain.reconciler.panics == 1);
    gateway.kick();
    let published = || Snapshot::read(&home).unwrap();
    comes_true("the panic is published", || published().drain.reconciler.panics == 1);
    assert_eq!(published().drain.reconciler.last_error.as_deref(), Some("a tick panicked: as intended"));
    assert_eq!(published().drain.state, DrainState::ExternalDraining);
    std::fs::remove_file(home.marker()).unwrap();
    gateway.kick();
    comes_true("the thread goes on", || published().drain.state == DrainState::Running);
}

#[test]
fn a_kick_in_the_middle_of_a_look_makes_another_one() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path());
    let gateway = start(&home, Options { tick: Duration::from_secs(3600), ..Options::default() });
    let ((inside, looking), (kick, kicked)) = (channel(), channel::<()>());
    let late = Channel::new(home.clone());
    // On the thread that looks, after it has read the files: what is written now is in the next look, if there is one.
    gateway.controller().listen(
        |_| (),
        move |change| {
            if matches!(change, Change::Hold(hold) if hold.id.is_marker()) {
                late.write(&Request::begin(RequestId::new("late").unwrap(), "bob")).unwrap();
                inside.send(()).unwrap();
                let _ = kicked.recv_timeout(Duration::from_secs(10));
            }
        },
    );
    std::fs::write(home.marker(), "").unwrap();
    gateway.kick();
    looking.recv_timeout(Duration::from_secs(10)).expect("the first look");
    gateway.kick();
    kick.send(()).unwrap();
    let holds = || Snapshot::read(&home).unwrap().drain.holds.len();
    comes_true("the hold that came in the middle", || holds() == 2);
}
