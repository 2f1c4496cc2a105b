//! Traces of real gateways conform: a controller under threads, a reconciler under files and restarts, the example process.

#![cfg(feature = "trace-check")]

use choices::Seeded;
use gateway_drain::controller::Settings;
use gateway_drain::hold::Incarnation;
use gateway_drain::reconciler::Options;
use gateway_drain::trace::check::{Report, Verdict, check_files, check_reader};
use gateway_drain::trace::{Trace, line::Work};
use gateway_drain::{Channel, Clock, Controller, DrainState, Home, Reconciler, Request, RequestId, Snapshot};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A seed gives the same choices every time.
mod choices {
    pub struct Seeded(pub u64);

    impl Seeded {
        /// Below `bound`.
        pub fn below(&mut self, bound: u64) -> u64 {
            // Of splitmix64's family: every state leads to another one, and neighbours share nothing.
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            (mixed ^ (mixed >> 27)) % bound
        }
    }
}

fn conforms(what: &str, report: &Report) {
    assert_eq!(report.verdict, Verdict::Conforms, "{what}\n{report}");
    assert!(report.notes.is_empty(), "{what}\n{report}");
}

fn id(number: u64) -> RequestId {
    if number == 0 { RequestId::marker() } else { RequestId::new(format!("hold-{number}")).unwrap() }
}

/// A trace is written within this.
const WRITTEN: Duration = Duration::from_secs(60);

/// One controller's choice among all that a controller can do.
fn act(seeded: &mut Seeded, controller: &Controller, clock: &Clock) {
    let (hold, owner) = (id(seeded.below(3)), ["ann", "bob"][usize::from(seeded.below(2) == 1)]);
    let reading = controller.gate().reading();
    let token = || controller.holds().into_iter().find(|h| h.id == hold).and_then(|h| h.commit).map(|c| c.token);
    match seeded.below(12) {
        0..4 => {
            let delay = Duration::from_millis([0, 0, 0, 40][usize::from(seeded.below(4) == 3) * 3]);
            _ = controller.request(&Request::begin(hold, owner).lease(Duration::from_secs(2)).unready_delay(delay));
        }
        4..6 => {
            let incarnation = controller.incarnation().clone();
            _ = controller.request(&Request::commit(hold, owner, incarnation, reading.generation));
        }
        6..9 => {
            let request = Request::withdraw(hold.clone(), owner);
            _ = controller.request(&token().into_iter().fold(request, Request::token));
        }
        9 => _ = controller.request(&Request::override_hold(hold, "root")),
        10 => {
            clock.advance(Duration::from_millis(seeded.below(1500)));
            controller.settle();
        }
        _ => controller.settle(),
    }
}

/// A turn, or internal work while the gate is closed.
fn work(seeded: &mut Seeded, controller: &Controller, trace: &Trace) {
    if let Ok(permit) = controller.gate().admit() {
        let followed = trace.follow(controller.gate(), Work::Turn, permit.into_owned());
        if seeded.below(2) == 0 {
            std::thread::yield_now();
        }
        drop(followed);
    } else {
        // No line of its own: internal work passes, or doesn't.
        let internal = controller.gate().admit_internal();
        trace.reading(controller.gate());
        drop(internal);
    }
}

#[test]
fn the_trace_of_a_controller_under_threads_conforms_for_every_seed() {
    let (mut drains, mut turns) = (0, 0);
    for seed in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.jsonl");
        let clock = Clock::manual();
        let controller = Controller::with(Settings { clock: clock.clone(), ..Settings::default() });
        let trace = Trace::append(&path).unwrap();
        let mut seeds: [Seeded; 4] = std::array::from_fn(|thread| Seeded(seed * 100 + thread as u64));
        // In rounds: in each of them every thread takes its steps, however few processors there are.
        for round in 0..15 {
            std::thread::scope(|scope| {
                for (thread, seeded) in seeds.iter_mut().enumerate() {
                    let (controller, clock, trace) = (&controller, &clock, &trace);
                    scope.spawn(move || {
                        for step in 0..10 {
                            // The others are at work: the first line tells what is in flight as the trace begins.
                            if (thread, round, step) == (0, 2, 5) {
                                trace.attach(controller);
                            }
                            if thread < 2 {
                                act(seeded, controller, clock);
                            } else {
                                work(seeded, controller, trace);
                            }
                        }
                    });
                }
            });
        }
        let _ = controller.force_stop();
        trace.flush(WRITTEN).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        drains += text.matches("\"begin_drain\"").count();
        turns += text.matches("\"admit\"").count();
        conforms(&format!("seed {seed}"), &check_files(&[path]));
    }
    assert!(drains > 0, "the workload drains: {drains}");
    assert!(turns > 0, "the workload admits turns: {turns}");
}

#[test]
fn the_trace_of_a_gateway_with_a_home_conforms_across_restarts_under_holds_and_commits() {
    let folder = tempfile::tempdir().unwrap();
    let (path, home) = (folder.path().join("trace.jsonl"), Home::at(folder.path().join("home")));
    let channel = Channel::new(home.clone());
    let mut seeded = Seeded(7);
    let mut committed = 0;
    for process in 0..12 {
        let trace = Trace::append(&path).unwrap();
        let tick = Duration::from_millis(2);
        let gateway =
            Reconciler::start(home.clone(), Options { tick, trace: Some(trace.clone()), ..Options::default() });
        let gateway = gateway.unwrap();
        for _ in 0..10 {
            let hold = id(seeded.below(3));
            match seeded.below(5) {
                0..2 => drop(channel.write(&Request::begin(hold, "ann"))),
                2 => drop(channel.remove(&hold)),
                3 if !hold.is_marker() => {
                    let reading = gateway.gate().reading();
                    let incarnation = gateway.controller().incarnation().clone();
                    channel.write(&Request::commit(hold, "ann", incarnation, reading.generation)).unwrap();
                }
                _ => {
                    let commit = gateway.controller().holds().into_iter().find_map(|h| Some((h.id, h.commit?.token)));
                    if let Some((hold, token)) = commit {
                        channel.write(&Request::withdraw(hold, "ann").token(token)).unwrap();
                    }
                }
            }
            if let Ok(permit) = gateway.gate().admit() {
                let followed = trace.follow(gateway.gate(), Work::Turn, permit.into_owned());
                gateway.kick();
                drop(followed);
            }
            let seen = gateway.snapshot().drain.revision;
            gateway.kick();
            let _ = gateway.controller().gate().drained(gateway.gate().reading().generation).wait_timeout(tick * 4);
            committed += gateway.controller().holds().iter().filter(|hold| hold.commit.is_some()).count();
            trace.status(&gateway.snapshot());
            assert!(gateway.snapshot().drain.revision >= seen);
        }
        if process % 4 == 3 {
            gateway.controller().begin_shutdown(Duration::ZERO).unwrap();
            let _ = gateway.controller().stopped().wait();
        }
        // Otherwise it goes as a process that dies: nothing is withdrawn, and the next one takes over.
        drop(gateway);
        trace.flush(WRITTEN).unwrap();
    }
    assert!(committed > 0, "the workload commits");
    let report = check_files(&[path]);
    conforms("a home", &report);
    assert_eq!(report.processes, 12);
}

#[test]
fn a_trace_that_begins_in_mid_drain_begins_with_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.jsonl");
    let controller = Controller::new();
    let turn = controller.gate().admit().unwrap();
    controller.request(&Request::begin(id(1), "ann")).unwrap();
    let trace = Trace::append(&path).unwrap();
    trace.attach(&controller);
    trace.attach(&Controller::new());
    drop(turn);
    trace.reading(controller.gate());
    controller.request(&Request::withdraw(id(1), "ann")).unwrap();
    trace.flush(WRITTEN).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let first: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!((&first["state"], &first["in_flight"]), (&"external_draining".into(), &1.into()));
    assert_eq!(first["holds"][0]["request"], "hold-1");
    assert_eq!(text.lines().count(), 4, "a trace is for one gateway, whatever it is attached to later\n{text}");
    conforms("mid-drain", &check_files(&[path]));
}

/// Has a trace of this gateway begun in the file.
fn begin_at(path: &Path, controller: &Controller) {
    let trace = Trace::append(path).unwrap();
    trace.attach(controller);
    trace.flush(WRITTEN).unwrap();
}

#[test]
fn a_torn_line_is_taken_away_by_the_next_process_and_what_is_no_trace_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.jsonl");
    let first = Controller::new();
    begin_at(&path, &first);
    let whole = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{whole}{{\"event\": \"begin_dr")).unwrap();
    begin_at(&path, &Controller::new());
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.starts_with(&whole) && text.lines().count() == 2, "{text}");
    assert!(text.lines().nth(1).unwrap().contains(&format!("\"after\":\"{}\"", first.incarnation())), "{text}");
    conforms("after a crash", &check_files(&[path]));

    let other = folder.path().join("notes.txt");
    std::fs::write(&other, "not a trace\n").unwrap();
    assert!(Trace::append(&other).is_err());
    assert_eq!(std::fs::read_to_string(&other).unwrap(), "not a trace\n");
}

#[test]
fn what_can_not_be_written_stops_the_trace_and_not_the_gateway() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let trace = Trace::to(Full, Some(Incarnation::fresh()));
    let controller = Controller::new();
    trace.attach(&controller);
    controller.request(&Request::begin(id(1), "ann")).unwrap();
    assert_eq!(controller.state(), DrainState::ExternalDraining);
    assert_eq!(trace.flush(WRITTEN).map_err(|error| error.kind()), Err(std::io::ErrorKind::StorageFull));
    assert!(trace.error().is_some());
}

#[test]
fn a_trace_is_checked_through_a_pipe_while_its_gateway_runs() {
    let (reader, writer) = std::io::pipe().unwrap();
    let checking = std::thread::spawn(move || check_reader("-", reader));
    let trace = Trace::to(writer, None);
    let controller = Controller::new();
    trace.attach(&controller);
    controller.request(&Request::begin(id(1), "ann")).unwrap();
    assert!(!checking.is_finished(), "it waits for more");
    drop((trace, controller));
    let report = checking.join().unwrap();
    conforms("a pipe", &report);
    assert_eq!(report.lines, 3);
}

#[cfg(all(feature = "cli", feature = "axum"))]
#[test]
fn the_trace_of_the_example_gateway_as_a_process_conforms_also_when_it_is_killed() {
    use crate::support::process::GatewayProcess;
    let folder = tempfile::tempdir().unwrap();
    let (home, path): (PathBuf, PathBuf) = (folder.path().join("home"), folder.path().join("trace.jsonl"));
    let channel = Channel::new(Home::at(&home));
    let drains = |home: &Path, wanted: bool| {
        crate::support::eventually::until(&Home::at(home), "the state", |s: &Snapshot| {
            s.drain.state.is_draining() == wanted
        });
    };
    for _ in 0..2 {
        let gateway = GatewayProcess::start_with(&home, &["--trace", path.to_str().unwrap()]);
        let _turn = gateway.turn(100);
        channel.write(&Request::begin(id(1), "ann")).unwrap();
        drains(&home, true);
        channel.remove(&id(1)).unwrap();
        drains(&home, false);
        channel.write(&Request::begin(RequestId::marker(), "ann")).unwrap();
        drains(&home, true);
        drop(gateway); // killed under its marker
        channel.remove(&RequestId::marker()).unwrap();
    }
    let check = |path: &Path| {
        let mut tool = std::process::Command::new(env!("CARGO_BIN_EXE_gateway-drain"));
        tool.args(["check-trace", "--json"]).arg(path).output().unwrap()
    };
    let output = check(&path);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &report["verdict"]), (Some(0), &"conforms".into()), "{report:#}");
    assert_eq!(report["processes"], 2);

    let rejected =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/traces/rejected/G2__a_turn_enters_a_closed_gate.jsonl");
    assert_eq!(check(&rejected).status.code(), Some(11));
    assert_eq!(check(&home).status.code(), Some(12), "a folder is no trace");
}

#[cfg(feature = "cli")]
#[test]
fn a_trace_is_checked_from_standard_input_by_the_name_of_a_dash() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/traces/rejected");
    let rejected = std::fs::File::open(folder.join("G2__a_turn_enters_a_closed_gate.jsonl")).unwrap();
    let mut tool = std::process::Command::new(env!("CARGO_BIN_EXE_gateway-drain"));
    let output = tool.args(["check-trace", "-"]).stdin(rejected).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(11), "{text}");
    assert!(text.starts_with("The trace violates G2 at line 4 of standard input: "), "{text}");
}
