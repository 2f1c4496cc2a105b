//! What needs the reconciler's own parts: its disk, its thread, its clock.

use super::*;
use crate::clock::Clock;
use crate::control::Channel;
use crate::controller::{Change, Settings};
use crate::hold::{HoldEvent, Request, RequestId};
use crate::state::Event;
use std::sync::mpsc::channel;

/// A tick that no test waits for.
const NEVER: Duration = Duration::from_secs(3600);

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
    let disk = DiskWorker::new("test").unwrap();
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
    let disk = DiskWorker::new("test").unwrap();
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
    let options =
        Options { tick: NEVER, events: false, disk_timeout: Duration::from_secs(2), settings, ..Options::default() };
    std::fs::write(home.marker(), "").unwrap();

    // A disk that hangs, once it is told to, with the work of the very thread that looks.
    let mut disk = DiskWorker::new("test").unwrap();
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
    clock.advance(NEVER);
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
fn who_waits_for_the_stop_is_told_of_it_although_the_tick_that_stops_panics() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::manual();
    let settings = Settings { clock: clock.clone(), ..Settings::default() };
    let options = Options { tick: NEVER, events: false, settings, ..Options::default() };
    let gateway = start(&Home::at(folder.path()), options);
    let _turn = gateway.gate().admit().unwrap().into_owned();
    gateway.controller().begin_shutdown(Duration::from_secs(60)).unwrap();
    comes_true("the shutdown is published", || gateway.snapshot().drain.state == DrainState::ShutdownDraining);
    let stops = |change: &Change| matches!(change, Change::Moved { event: Event::Stop, .. });
    let mut armed = true;
    let panics = move |change: &Change| assert!(!stops(change) || !std::mem::take(&mut armed), "as intended");
    gateway.controller().listen(|_| (), panics);
    let pass = || {
        clock.advance(Duration::from_secs(61));
        gateway.kick();
    };
    pass();
    comes_true("the turn is asked to give up", || gateway.controller().gate().reading().interrupted);
    pass();
    comes_true("the tick panics", || gateway.shared.channel.lock().reconciler.panics == 1);
    // The next tick, which publishes it, comes half a minute later.
    let report = gateway.controller().stopped().wait_timeout(Duration::from_secs(15));
    assert!(!report.expect("the gateway has stopped, and nobody is told").finished());
}

#[test]
fn a_status_that_can_not_be_replaced_is_told_by_readiness_unless_it_is_true_believed_and_there_still() {
    let refresh = Duration::from_secs(10);
    // How old it is, whether it has been removed, whether the gate has closed since, and whether all is well.
    for (age, removed, closed, is_ready, what) in [
        (20, false, false, true, "it says what is so, and nobody takes it for silence"),
        (20, true, false, false, "nobody can read it"),
        (20, false, true, false, "it says what is not so any more"),
        (3600, false, false, false, "its readers take it for silence"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path());
        let incarnation = Incarnation::fresh();
        let lock = home.lock(&incarnation).unwrap();
        let clock = Clock::manual();
        let settings = Settings { clock: clock.clone(), ..Settings::default() };
        let options = Options { tick: NEVER, events: false, refresh, settings, ..Options::default() };
        // A disk of which the next work is lost if the test says so.
        let mut disk = DiskWorker::new("test").unwrap();
        let (jobs, work) = channel();
        disk.jobs = jobs;
        let is_lost = Arc::new(AtomicBool::new(false));
        let loses = Arc::clone(&is_lost);
        let working = std::thread::spawn(move || {
            let of_the_disk = |job: super::disk_worker::Job| {
                if !loses.swap(false, Ordering::SeqCst) {
                    job();
                }
            };
            work.into_iter().for_each(of_the_disk);
        });
        let (shared, mut ticker) = Shared::prepared(disk, home.clone(), lock, incarnation, options).unwrap();
        ticker.look();
        ticker.publish().unwrap();
        clock.advance(Duration::from_secs(age));
        if closed {
            shared.controller.request(&Request::begin(RequestId::marker(), "ops")).unwrap();
        }
        if removed {
            std::fs::remove_file(home.status()).unwrap();
        }
        is_lost.store(true, Ordering::SeqCst);
        ticker.publish().unwrap_err();
        assert_eq!(shared.health.lock().unpublished.is_none(), is_ready, "{what}");
        assert_eq!(home.status().exists(), !removed && !closed, "C8: {what}");
        ticker.publish().unwrap();
        assert_eq!(shared.health.lock().unpublished, None, "it is published again: {what}");
        drop(ticker);
        working.join().unwrap();
    }
}

#[test]
fn only_a_gateway_that_has_stopped_bounds_the_wait_for_the_publication_of_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = start(&Home::at(folder.path()), Options { tick: NEVER, events: false, ..Options::default() });
    gateway.shared.settle_shutdown();
    assert_eq!(gateway.shared.stopped.get(), None, "it runs, and has no end to publish");
    gateway.controller().begin_shutdown(Duration::ZERO).unwrap();
    gateway.shared.settle_shutdown();
    assert!(gateway.shared.stopped.get().is_some(), "from here on the disk has so long and no longer");
}

#[test]
fn a_stop_whose_status_can_not_be_written_is_not_told_before_the_disk_has_had_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path());
    let disk_timeout = Duration::from_secs(3600);
    let gateway = start(&home, Options { tick: NEVER, events: false, disk_timeout, ..Options::default() });
    std::fs::remove_file(home.status()).unwrap();
    std::fs::create_dir_all(home.status().join("full")).unwrap();
    gateway.controller().begin_shutdown(Duration::ZERO).unwrap();
    gateway.shared.settle_shutdown();
    let stopped = std::pin::pin!(gateway.controller().stopped());
    let told = stopped.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
    assert!(told.is_pending(), "{told:?}");
}

#[test]
fn the_drop_of_a_gateway_gives_its_observers_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = start(&Home::at(folder.path()), Options { tick: NEVER, events: false, ..Options::default() });
    let (over, never) = channel::<()>();
    gateway.controller().observe(move |_| _ = never.recv());
    gateway.controller().begin_shutdown(Duration::ZERO).unwrap();
    let began = Instant::now();
    drop(gateway);
    assert!(began.elapsed() >= PATIENCE, "what it has to tell may take so long: {:?}", began.elapsed());
    drop(over);
}

#[test]
fn a_kick_in_the_middle_of_a_look_makes_another_one() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path());
    let incarnation = Incarnation::fresh();
    let lock = home.lock(&incarnation).unwrap();
    let mut disk = DiskWorker::new("test").unwrap();
    let (jobs, work) = channel::<disk_worker::Job>();
    let real = std::mem::replace(&mut disk.jobs, jobs);
    let ((inside, looking), (kick, kicked)) = (channel(), channel::<()>());
    let gate = Arc::new(std::sync::OnceLock::<crate::Gate>::new());
    let seen = Arc::clone(&gate);
    std::thread::spawn(move || {
        let mut sprung = false;
        for job in work {
            // The marker has been read and decided, and the look goes on: what is written now is for the next one.
            if !sprung && seen.get().is_some_and(|gate| gate.admit().is_err()) {
                sprung = true;
                inside.send(()).unwrap();
                let _ = kicked.recv_timeout(Duration::from_secs(10));
            }
            if real.send(job).is_err() {
                return;
            }
        }
    });
    let options = Options { tick: NEVER, events: false, refresh: NEVER, ..Options::default() };
    let gateway = Reconciler::start_on(disk, home.clone(), lock, incarnation, options).unwrap();
    gate.set(gateway.gate().clone()).unwrap();
    std::fs::write(home.marker(), "").unwrap();
    gateway.kick();
    looking.recv_timeout(Duration::from_secs(10)).expect("the first look");
    Channel::new(home.clone()).write(&Request::begin(RequestId::new("late").unwrap(), "bob")).unwrap();
    gateway.kick();
    kick.send(()).unwrap();
    comes_true("L2: the hold that came in the middle is seen", || {
        Snapshot::read(&home).unwrap().drain.holds.len() == 2
    });
}

#[test]
fn a_grant_is_put_on_record_before_it_is_decided_and_not_once_more_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path());
    let gateway = start(&home, Options { tick: NEVER, events: false, ..Options::default() });
    let (files, id) = (Channel::new(home.clone()), RequestId::new("upgrade").unwrap());
    let answered = |request: &Request| {
        files.write(request).unwrap();
        gateway.kick();
        let answers = || Snapshot::read(&home).unwrap().drain.acknowledged;
        comes_true("an answer", || answers().iter().any(|answer| answer.nonce == request.nonce));
    };
    answered(&Request::begin(id.clone(), "ops"));
    let record = |home: &Home| {
        let found = std::fs::metadata(home.path().join(Home::COMMITS)).unwrap();
        (std::os::unix::fs::MetadataExt::ino(&found), found.modified().unwrap())
    };
    let (before, (told, heard), of) = (record(&home), channel(), home.clone());
    gateway.controller().listen(
        |_| (),
        move |change| {
            if matches!(change, Change::Hold(changed) if changed.what == HoldEvent::Committed) {
                told.send(record(&of)).unwrap();
            }
        },
    );
    let held = Snapshot::read(&home).unwrap().drain;
    answered(&Request::commit(id, "ops", held.incarnation, held.generation));
    let at_the_grant = heard.recv_timeout(Duration::from_secs(60)).expect("it is granted");
    assert_ne!(at_the_grant, before, "E1: it is on record first");
    assert_eq!(record(&home), at_the_grant, "and is not written twice, which costs two syncs of the disk");
}

/// A gateway that looks only when it is told of a change, and how often it has had the disk do something.
#[cfg(target_os = "linux")]
fn told(folder: &tempfile::TempDir) -> (Home, Reconciler, Arc<std::sync::atomic::AtomicU64>) {
    let home = Home::at(folder.path().join("home"));
    std::fs::create_dir(home.path()).unwrap();
    let incarnation = Incarnation::fresh();
    let lock = home.lock(&incarnation).unwrap();
    let mut disk = DiskWorker::new("test").unwrap();
    let (jobs, work) = channel::<disk_worker::Job>();
    let real = std::mem::replace(&mut disk.jobs, jobs);
    let count = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let counter = Arc::clone(&count);
    std::thread::spawn(move || {
        for job in work {
            counter.fetch_add(1, Ordering::SeqCst);
            if real.send(job).is_err() {
                return;
            }
        }
    });
    let options = Options { tick: NEVER, refresh: NEVER, ..Options::default() };
    let gateway = Reconciler::start_on(disk, home.clone(), lock, incarnation, options).unwrap();
    (home, gateway, count)
}

/// A look, the publication of the status, and the record of commits.
#[cfg(target_os = "linux")]
const JOBS: u64 = 3;

#[cfg(target_os = "linux")]
#[test]
fn a_change_is_looked_at_and_published_without_a_tick_and_its_publication_is_no_change() {
    let folder = tempfile::tempdir().unwrap();
    let (home, gateway, jobs) = told(&folder);
    let published = || Snapshot::read(&home).unwrap().drain;
    assert!(published().reconciler.events);
    for round in 0..3 {
        let before = jobs.load(Ordering::SeqCst);
        std::fs::write(home.marker(), "").unwrap();
        comes_true("the drain is published", || published().drained);
        std::fs::remove_file(home.marker()).unwrap();
        comes_true("its end is published", || published().state == DrainState::Running);
        // Long enough for whatever would go on for ever.
        std::thread::park_timeout(Duration::from_millis(50));
        let looks = (jobs.load(Ordering::SeqCst) - before) / 2;
        assert!(looks <= 3 * JOBS, "round {round}: {looks} jobs for each of two changes");
    }
    let turn = gateway.gate().admit().unwrap();
    std::fs::write(home.marker(), "").unwrap();
    comes_true("the drain is published", || published().state == DrainState::ExternalDraining);
    assert!(!published().drained);
    drop(turn);
    comes_true("that the last turn has ended is published", || published().drained);
}

#[cfg(target_os = "linux")]
#[test]
fn a_storm_of_changes_makes_one_look_in_two_milliseconds_at_most() {
    let folder = tempfile::tempdir().unwrap();
    let (home, gateway, jobs) = told(&folder);
    let (before, began) = (jobs.load(Ordering::SeqCst), Instant::now());
    while began.elapsed() < Duration::from_millis(300) {
        std::fs::write(home.marker(), "").unwrap();
    }
    let looks = u64::try_from(began.elapsed().as_millis()).unwrap() / 2 + 2;
    let done = jobs.load(Ordering::SeqCst) - before;
    assert!(done <= looks * JOBS, "{done} jobs, where {looks} looks are the most");
    std::fs::remove_file(home.marker()).unwrap();
    comes_true("what came last is seen", || gateway.gate().admit().is_ok());
}

#[cfg(target_os = "linux")]
#[test]
fn a_home_that_is_moved_and_a_folder_of_holds_that_is_replaced_are_followed_without_a_tick() {
    let folder = tempfile::tempdir().unwrap();
    let (home, gateway, _) = told(&folder);
    let admits = |gateway: &Reconciler| gateway.gate().admit().is_ok();
    std::fs::remove_dir(home.holds_folder()).unwrap();
    std::fs::write(home.holds_folder(), "no folder").unwrap();
    comes_true("C4: what can't be a folder of holds closes the gate", || !admits(&gateway));
    std::fs::remove_file(home.holds_folder()).unwrap();
    comes_true("it is gone", || admits(&gateway));
    let late = RequestId::new("late").unwrap();
    Channel::new(home.clone()).write(&Request::begin(late.clone(), "bob")).unwrap();
    comes_true("a hold in a folder that was made for it", || !admits(&gateway));
    assert!(Channel::new(home.clone()).remove(&late).unwrap());
    comes_true("its end", || admits(&gateway));

    let moved = Home::at(folder.path().join("moved"));
    std::fs::rename(home.path(), moved.path()).unwrap();
    comes_true("nobody finds it any more", || !gateway.unready().is_empty());
    std::fs::write(moved.marker(), "").unwrap();
    comes_true("it is obeyed where it is", || !admits(&gateway));
    // Its gateway may publish there until it is gone.
    comes_true("it is deleted", || std::fs::remove_dir_all(moved.path()).is_ok());
    gateway.kick();
    comes_true("a home that is lost never reopens the gate", || !gateway.unready().is_empty() && !admits(&gateway));
}

#[test]
fn a_gateway_that_is_told_nothing_sees_every_change_at_the_next_tick() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path());
    let gateway = start(&home, Options { tick: Duration::from_millis(20), events: false, ..Options::default() });
    assert!(!Snapshot::read(&home).unwrap().drain.reconciler.events);
    std::fs::write(home.marker(), "").unwrap();
    comes_true("the marker is seen", || gateway.gate().admit().is_err());
    std::fs::remove_file(home.marker()).unwrap();
    comes_true("so is its removal", || gateway.gate().admit().is_ok());
}
