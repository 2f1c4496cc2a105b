//! L5, L4, L1: between a marker, a deadline or a shutdown and its effect stands no code of the application, no reader of its
//! logs, and nobody who would have to call again.

use crate::support::eventually::{comes_true, until};
use gateway_drain::controller::{Change, Controller, Settings, ShutdownReport};
use gateway_drain::reconciler::Options;
use gateway_drain::trace::Trace;
use gateway_drain::{Channel, DrainState, Home, Reconciler, Request, RequestId, Snapshot};
use std::future::Future;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileTypeExt;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_millis(50);
/// Longer than anything here may take, and far shorter than what hangs.
const PATIENCE: Duration = Duration::from_secs(30);

fn quick() -> Settings {
    Settings { interrupt_grace: SOON, ..Settings::default() }
}

/// Starts a gateway, lets `burden` do its worst to it, and sees that a marker still closes it, is published, opens it again,
/// and that a shutdown with a stuck turn still ends on its deadline and is published.
fn lives_with(what: &str, options: Options, burden: impl FnOnce(&Reconciler)) {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path());
    let options = Options { tick: Duration::from_millis(10), settings: quick(), ..options };
    let gateway = Reconciler::start(home.clone(), options).unwrap();
    burden(&gateway);
    for _ in 0..3 {
        std::fs::write(home.marker(), "").unwrap();
        until(&home, what, |s: &Snapshot| s.drain.state == DrainState::ExternalDraining);
        std::fs::remove_file(home.marker()).unwrap();
        until(&home, what, |s: &Snapshot| s.drain.state == DrainState::Running);
    }
    let _stuck = gateway.gate().admit().unwrap().into_owned();
    let began = Instant::now();
    gateway.controller().begin_shutdown(SOON).unwrap();
    assert!(began.elapsed() < PATIENCE, "{what}: the call that begins the shutdown waits for nobody");
    let report = gateway.controller().stopped().wait_timeout(PATIENCE).unwrap_or_else(|| panic!("L4: {what}"));
    assert_eq!((report.interrupted, report.abandoned.in_flight), (1, 1), "{what}");
    let published = Snapshot::read(&home).unwrap().drain;
    assert_eq!(published.state, DrainState::Stopped, "{what}: who is told of the end finds it published");
    let began = Instant::now();
    drop(gateway);
    assert!(began.elapsed() < PATIENCE, "{what}: the drop waits a second for a slow observer, and no more");
}

/// Blocks until the test is over.
#[derive(Clone)]
struct Never(Arc<Mutex<mpsc::Receiver<()>>>);

impl Never {
    fn new() -> (mpsc::Sender<()>, Self) {
        let (over, never) = mpsc::channel();
        (over, Self(Arc::new(Mutex::new(never))))
    }

    fn comes(&self) {
        let _ = self.0.lock().unwrap().recv();
    }
}

#[test]
fn an_observer_that_blocks_panics_or_takes_its_time_holds_up_nothing() {
    let (_over, never) = Never::new();
    lives_with("an observer that blocks", Options::default(), |gateway| {
        gateway.controller().observe(move |_| never.comes());
    });
    lives_with("an observer that takes its time", Options::default(), |gateway| {
        gateway.controller().observe(|_| thread::park_timeout(Duration::from_millis(200)));
    });
    lives_with("observers that panic", Options::default(), |gateway| {
        for _ in 0..3 {
            gateway.controller().observe(|change| panic!("as intended, at {change:?}"));
        }
    });
    let (_over, never) = Never::new();
    lives_with("an observer that blocks with a lock of the application", Options::default(), |gateway| {
        let lock = Arc::new(Mutex::new(()));
        let (held, other) = (Arc::clone(&lock), Arc::clone(&lock));
        gateway.controller().observe(move |_| {
            let _held = held.lock();
            never.comes();
        });
        gateway.controller().observe(move |_| drop(other.lock()));
    });
}

#[test]
fn a_panicking_observer_is_told_on_and_counted_and_the_others_hear_everything() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path());
    let gateway = Reconciler::start(home, Options::default()).unwrap();
    let calls = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&calls);
    let panicking = gateway.controller().observe(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        panic!("as intended");
    });
    let (tell, told) = mpsc::channel();
    let sound = gateway.controller().observe(move |change| tell.send(change.clone()).unwrap());
    let id = RequestId::new("upgrade").unwrap();
    gateway.controller().request(&Request::begin(id.clone(), "ops")).unwrap();
    gateway.controller().request(&Request::withdraw(id, "ops")).unwrap();
    assert!(panicking.flush(PATIENCE) && sound.flush(PATIENCE));
    assert_eq!((calls.load(Ordering::SeqCst), told.try_iter().count()), (4, 4));
    let said = gateway.snapshot().drain.reconciler;
    assert_eq!((said.observer_panics, said.observer_lost), (4, 0));
}

#[test]
fn what_an_observer_that_hangs_is_not_told_of_is_counted_and_takes_no_more_room() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Reconciler::start(Home::at(folder.path()), Options::default()).unwrap();
    let (_over, never) = Never::new();
    let hung = gateway.controller().observe(move |_| never.comes());
    for number in 0..600 {
        let id = RequestId::new(format!("upgrade-{number}")).unwrap();
        gateway.controller().request(&Request::begin(id.clone(), "ops")).unwrap();
        gateway.controller().request(&Request::withdraw(id, "ops")).unwrap();
    }
    assert!(!hung.flush(SOON));
    let lost = gateway.snapshot().drain.reconciler.observer_lost;
    assert!((2_400 - 1_025..=2_400 - 1_024).contains(&lost), "{lost} of 2,400 lost; 1,024 wait, and one hangs");
}

#[test]
fn an_observer_hears_nothing_from_before_its_own_moment() {
    let controller = Controller::new();
    let (_over, never) = Never::new();
    controller.observe(move |_| never.comes());
    let id = RequestId::new("upgrade").unwrap();
    controller.request(&Request::begin(id.clone(), "ops")).unwrap();
    let (tell, told) = mpsc::channel();
    let late = controller.observe(move |change| tell.send(change.clone()).unwrap());
    controller.request(&Request::withdraw(id, "ops")).unwrap();
    assert!(late.flush(PATIENCE));
    let told: Vec<_> = told.try_iter().collect();
    assert!(
        matches!(&told[..], [Change::Hold(_), Change::Moved { from: DrainState::ExternalDraining, .. }]),
        "{told:?}"
    );
}

#[test]
fn an_observer_may_own_the_last_handle_of_the_reconciler_and_drop_it() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path());
    let gateway = Arc::new(Reconciler::start(home.clone(), Options::default()).unwrap());
    let controller = gateway.controller().clone();
    let mut owned = Some(Arc::clone(&gateway));
    let (dropped, drops) = mpsc::channel();
    controller.observe(move |_| {
        drop(owned.take());
        let _ = dropped.send(());
    });
    drop(gateway);
    controller.request(&Request::begin(RequestId::new("upgrade").unwrap(), "ops")).unwrap();
    drops.recv_timeout(PATIENCE).expect("it ends on the observer's own thread");
    drop(Reconciler::start(home, Options::default()).expect("and its home is free"));
}

#[test]
fn an_observer_that_has_ended_and_the_controller_that_it_owned_are_dropped() {
    let controller = Controller::new();
    let token = Arc::new(());
    let (owned, kept) = (controller.clone(), Arc::clone(&token));
    let observation = controller.observe(move |_| drop((owned.clone(), Arc::clone(&kept))));
    assert_eq!(Arc::strong_count(&token), 2);
    observation.end();
    comes_true("the observer is dropped", || Arc::strong_count(&token) == 1);
}

/// A writer that does as it is told with what it is given: it may never return, fail, or panic.
struct Told<F>(F);

impl<F: FnMut(&[u8]) -> io::Result<()>> Write for Told<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (self.0)(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn traced(trace: &Trace) -> Options {
    Options { trace: Some(trace.clone()), ..Options::default() }
}

#[test]
fn a_trace_that_can_not_be_written_holds_up_nothing_and_says_why() {
    let (_over, never) = Never::new();
    let trace = Trace::to(
        Told(move |_: &[u8]| {
            never.comes();
            Ok(())
        }),
        None,
    );
    lives_with("a trace that blocks", traced(&trace), |_| ());
    assert_eq!(trace.flush(SOON).map_err(|error| error.kind()), Err(io::ErrorKind::TimedOut));

    let trace = Trace::to(Told(|_: &[u8]| panic!("as intended")), None);
    lives_with("a trace that panics", traced(&trace), |_| ());
    assert!(trace.error().is_some_and(|why| why.contains("panicked")), "{:?}", trace.error());

    let (unread, writer) = io::pipe().unwrap();
    let trace = Trace::to(writer, None);
    let full = trace.clone();
    lives_with("a trace into a pipe that nobody reads", traced(&trace), move |gateway| {
        (0..2_000).for_each(|_| full.reading(gateway.gate()));
    });
    assert!(trace.flush(SOON).is_err(), "64 KiB are full");
    drop(unread);

    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let trace = Trace::to(writer, None);
    lives_with("a trace into a closed pipe", traced(&trace), |_| ());
    assert_eq!(trace.flush(PATIENCE).map_err(|error| error.kind()), Err(io::ErrorKind::BrokenPipe));

    let trace = Trace::append("/dev/full".as_ref()).unwrap();
    lives_with("a trace on a full disk", traced(&trace), |_| ());
    assert_eq!(trace.flush(PATIENCE).map_err(|error| error.kind()), Err(io::ErrorKind::StorageFull));
}

#[test]
fn a_trace_whose_reader_does_not_keep_up_ends_without_a_gap() {
    let ((_over, never), written) = (Never::new(), Arc::new(Mutex::new(Vec::new())));
    let lines = Arc::clone(&written);
    let mut first = true;
    let trace = Trace::to(
        Told(move |bytes: &[u8]| {
            if std::mem::take(&mut first) {
                never.comes();
            }
            lines.lock().unwrap().extend_from_slice(bytes);
            Ok(())
        }),
        None,
    );
    let controller = Controller::new();
    trace.attach(&controller);
    (0..20_000).for_each(|_| trace.reading(controller.gate()));
    let why = trace.error().expect("it has ended");
    assert!(why.contains("keep up"), "{why}");
    drop(_over);
    assert!(trace.flush(PATIENCE).is_err());
    let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
    for (number, line) in text.lines().enumerate() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["sequence"], number, "no line is missing in the middle");
    }
    assert!(text.lines().count() > 16_000, "what was queued is written");
}

#[test]
fn a_trace_goes_into_a_fifo_whichever_side_opens_it_first() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace");
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    assert!(std::fs::metadata(&path).unwrap().file_type().is_fifo());
    let controller = Controller::new();
    let trace = Trace::append(&path).unwrap();
    trace.attach(&controller);
    assert!(trace.flush(SOON).is_err(), "nobody reads yet, and only the trace waits");
    let read = thread::spawn({
        let path = path.clone();
        move || {
            let mut text = String::new();
            std::fs::File::open(path).unwrap().read_to_string(&mut text).map(|_| text).unwrap()
        }
    });
    controller.begin_shutdown(SOON).unwrap();
    trace.flush(PATIENCE).unwrap();
    drop((trace, controller));
    assert_eq!(read.join().unwrap().lines().count(), 3, "start, begin_shutdown, stop");
}

#[test]
fn a_description_may_ask_the_gateway_and_two_at_the_same_time_both_count() {
    lives_with("a description that asks the gateway", Options::default(), |gateway| {
        gateway.describe(|description| {
            let agents = gateway.snapshot().active_agents.unwrap_or_default() + gateway.unready().len() as u64;
            description.platforms.insert("load".into(), agents.into());
            gateway.describe(|description| description.kind = "inner".into());
            description.exit_reason = Some("outer".into());
        });
        let said = gateway.snapshot().description;
        assert_eq!((said.kind.as_str(), said.exit_reason.as_deref()), ("inner", Some("outer")));
        assert_eq!(said.platforms["load"], 0);
    });
    let (_over, never) = Never::new();
    let asked = Arc::new(AtomicBool::new(false));
    lives_with("a description that blocks", Options::default(), |gateway| {
        thread::scope(|scope| {
            // It blocks its own caller, and nobody else.
            let (begun, never) = (Arc::clone(&asked), never.clone());
            let (go, gone) = mpsc::channel::<()>();
            scope.spawn(move || {
                gateway.describe(|_| {
                    begun.store(true, Ordering::SeqCst);
                    let _ = gone.recv_timeout(PATIENCE);
                    drop(never);
                });
            });
            comes_true("it is being described", || asked.load(Ordering::SeqCst));
            assert_eq!(gateway.snapshot().active_agents, Some(0));
            gateway.describe(|description| description.kind = "meanwhile".into());
            assert_eq!(gateway.snapshot().description.kind, "meanwhile");
            drop(go);
        });
        assert_eq!(gateway.snapshot().description.kind, "meanwhile", "nothing was changed in the copy");
    });
}

#[test]
fn a_gate_whose_reconciler_is_dropped_admits_nothing_whenever_that_is_and_the_next_process_finds_every_hold() {
    // What is under way when it is dropped.
    type Before = fn(&Reconciler) -> Option<gateway_drain::OwnedPermit>;
    let admit: Before = |gateway| Some(gateway.gate().admit().unwrap().into_owned());
    let cases: [(&str, Before, u64); 5] = [
        ("at rest", |_| None, 0),
        ("under a turn", admit, 1),
        (
            "in a drain",
            |gateway| {
                let turn = gateway.gate().admit().unwrap().into_owned();
                let id = RequestId::new("process").unwrap();
                gateway.controller().request(&Request::begin(id, "ops")).unwrap();
                Some(turn)
            },
            1,
        ),
        (
            "in a shutdown",
            |gateway| {
                let turn = gateway.gate().admit().unwrap().into_owned();
                gateway.controller().begin_shutdown(Duration::MAX).unwrap();
                Some(turn)
            },
            1,
        ),
        (
            "stopped",
            |gateway| {
                gateway.controller().begin_shutdown(Duration::ZERO).unwrap();
                None
            },
            0,
        ),
    ];
    for (what, before, abandoned) in cases {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path());
        let gateway = Reconciler::start(home.clone(), Options::default()).unwrap();
        let (gate, controller) = (gateway.gate().clone(), gateway.controller().clone());
        let waiting = thread::spawn({
            let stopped = controller.stopped();
            move || stopped.wait_timeout(PATIENCE)
        });
        let turn = before(&gateway);
        drop(gateway);
        assert!(gate.admit().is_err() && gate.admit_internal().is_err(), "{what}");
        let report = waiting.join().unwrap().unwrap_or_else(|| panic!("L1: a waiter, {what}"));
        assert_eq!(report.abandoned.in_flight, abandoned, "S5: {what}");
        let left = Snapshot::read(&home).unwrap();
        assert_eq!(left.drain.state, DrainState::Stopped, "S6: {what}");
        let next = Reconciler::start(home, Options::default()).expect("its home is free");
        assert!(gate.admit().is_err(), "{what}: and two admit in no home");
        drop((turn, next));
    }

    // Its commits are the next process's.
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path());
    let channel = Channel::new(home.clone());
    let gateway = Reconciler::start(home.clone(), Options::default()).unwrap();
    let id = RequestId::new("upgrade").unwrap();
    let seen = |what: &str| {
        gateway.kick();
        until(&home, what, |s: &Snapshot| s.drain.holds.iter().any(|hold| hold.committed == (what == "committed")));
    };
    channel.write(&Request::begin(id.clone(), "ops")).unwrap();
    seen("held");
    let (incarnation, generation) = (gateway.controller().incarnation().clone(), gateway.gate().reading().generation);
    channel.write(&Request::commit(id, "ops", incarnation, generation)).unwrap();
    seen("committed");
    drop(gateway);
    let next = Reconciler::start(home, Options::default()).unwrap();
    assert!(next.gate().admit().is_err(), "E1: it is committed still");
    assert!(next.controller().holds()[0].commit.is_some());
}

/// A waker that blocks until the test is over.
struct Blocks(Never);

impl Wake for Blocks {
    fn wake(self: Arc<Self>) {
        self.0.comes();
    }
}

#[test]
fn a_waker_that_blocks_holds_up_nothing() {
    let (_over, never) = Never::new();
    let waker = Waker::from(Arc::new(Blocks(never)));
    let mut waiting = None;
    lives_with("a waker that blocks", Options::default(), |gateway| {
        let mut stopped = Box::pin(gateway.controller().stopped());
        let mut context = Context::from_waker(&waker);
        assert!(stopped.as_mut().poll(&mut context).is_pending());
        waiting = Some(stopped);
    });
    drop(waiting);
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Who blocks until the gateway has stopped, while `end` ends it in some way.
fn blocked(controller: &Controller, end: &mut dyn FnMut()) -> ShutdownReport {
    let stopped = controller.stopped();
    let blocked = thread::spawn(move || stopped.wait_timeout(PATIENCE));
    end();
    blocked.join().unwrap().expect("L1: a blocked waiter hears of the end")
}

/// Who polls for it.
fn polled(controller: &Controller, end: &mut dyn FnMut()) -> ShutdownReport {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut context = Context::from_waker(&waker);
    let mut stopped = pin!(controller.stopped());
    let mut polled = stopped.as_mut().poll(&mut context);
    end();
    loop {
        if let Poll::Ready(report) = polled {
            return report;
        }
        comes_true("L1: a polled waiter is woken at the end", || woken.0.swap(false, Ordering::SeqCst));
        polled = stopped.as_mut().poll(&mut context);
    }
}

#[test]
fn a_waiter_for_the_stop_needs_nobody_who_settles() {
    for wait in [blocked, polled] {
        let stuck = || {
            let controller = Controller::with(quick());
            let turn = controller.gate().admit().unwrap().into_owned();
            (controller, Some(turn))
        };
        let (controller, mut turn) = stuck();
        controller.begin_shutdown(Duration::MAX).unwrap();
        assert!(wait(&controller, &mut || drop(turn.take())).finished());

        let (controller, _turn) = stuck();
        controller.begin_shutdown(SOON).unwrap();
        assert_eq!(wait(&controller, &mut || ()).abandoned.in_flight, 1, "L4");

        let (controller, _turn) = stuck();
        let report = wait(&controller, &mut || controller.begin_shutdown(SOON).unwrap());
        assert_eq!(report.abandoned.in_flight, 1, "L4");

        // Under a lease that nobody ends.
        let (controller, _turn) = stuck();
        let hold = Request::begin(RequestId::new("upgrade").unwrap(), "ops").lease(Duration::from_secs(1));
        controller.request(&hold).unwrap();
        assert_eq!(wait(&controller, &mut || _ = controller.force_stop()).abandoned.in_flight, 1);
    }
}

#[test]
fn a_wait_for_the_stop_that_is_given_up_has_changed_nothing() {
    let controller = Controller::with(quick());
    assert_eq!(controller.stopped().wait_timeout(SOON), None);
    let over = controller.stopped().until(std::future::ready(()));
    let mut context = Context::from_waker(Waker::noop());
    assert_eq!(pin!(over).as_mut().poll(&mut context), Poll::Ready(None));
    assert!(controller.gate().admit().is_ok());
    let turn = controller.gate().admit().unwrap();
    controller.begin_shutdown(Duration::MAX).unwrap();
    assert_eq!(controller.stopped().wait_timeout(SOON), None);
    drop(turn);
    assert!(controller.stopped().wait().finished());
}
