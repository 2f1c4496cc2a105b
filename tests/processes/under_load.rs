//! A gateway under load: a real gateway process, its real files, real clients that press on it all the time, and what has to be
//! true of it before, during and after a drain.

use crate::support::eventually::{comes_true, until};
use crate::support::process::{GatewayProcess, Turn, post};
use gateway_drain::control::Epoch;
use gateway_drain::status::GatewayState;
use gateway_drain::{Channel, DrainState, Home, Request, RequestId, Snapshot};
use jiff::Timestamp;
use std::cell::Cell;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Clients that ask for one turn after another, of 30 ms each, until they are called off.
struct Pressure {
    tally: Arc<Tally>,
    clients: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Tally {
    over: AtomicBool,
    /// Set once the gateway has said that it drains: a turn that asks from then on is to be refused.
    barred: AtomicBool,
    /// Turns that were asked for after that, and admitted.
    slipped_in: AtomicU64,
    /// Turns that ended with their last line.
    whole: AtomicU64,
    /// Turns that were admitted and did not.
    cut_off: AtomicU64,
    /// Answers of 503.
    refused: AtomicU64,
    /// Answers of any other kind.
    strange: AtomicU64,
    /// No answer: the process has ended, or was about to.
    unanswered: AtomicU64,
}

impl Tally {
    /// One turn. Where nobody gets in, the next one is asked for a moment later: the processors are the gateway's.
    fn ask(&self, address: &str) {
        let barred = self.barred.load(Ordering::Acquire);
        let count = match post(address, "/turns", r#"{"session": "pressing", "millis": 30}"#) {
            Err(_) => &self.unanswered,
            Ok(answer) if answer.status() == 503 => &self.refused,
            Ok(answer) if answer.status() == 200 => {
                self.slipped_in.fetch_add(u64::from(barred), Ordering::Relaxed);
                let mut text = String::new();
                let read = answer.into_body().into_reader().read_to_string(&mut text);
                if read.is_ok() && text.ends_with("done\n") { &self.whole } else { &self.cut_off }
            }
            Ok(_) => &self.strange,
        };
        count.fetch_add(1, Ordering::Relaxed);
        if !std::ptr::eq(count, &self.whole) {
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    fn admitted(&self) -> u64 {
        self.whole.load(Ordering::Relaxed) + self.cut_off.load(Ordering::Relaxed)
    }

    fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

impl Pressure {
    fn on(gateway: &GatewayProcess) -> Self {
        let tally = Arc::new(Tally::default());
        let client = |_| {
            let (tally, address) = (Arc::clone(&tally), gateway.address.clone());
            std::thread::spawn(move || {
                while !tally.over.load(Ordering::Relaxed) {
                    tally.ask(&address);
                }
            })
        };
        let pressure = Self { clients: (0..4).map(client).collect(), tally };
        comes_true("the clients' turns are taken", || pressure.tally.admitted() > 0);
        pressure
    }

    /// From now on every turn that is asked for has to be refused.
    fn is_barred(&self) {
        self.tally.barred.store(true, Ordering::Release);
    }

    /// Waits until so many more have been refused than by now.
    fn is_refused_more(&self, times: u64) {
        let before = self.tally.refused();
        comes_true("the pressing clients are refused", || self.tally.refused() >= before + times);
    }

    /// Calls the clients off; fails if any turn that was admitted came to no good end.
    fn ends(mut self) {
        self.tally.over.store(true, Ordering::Relaxed);
        self.clients.drain(..).for_each(|client| client.join().unwrap());
        assert_eq!(self.tally.cut_off.load(Ordering::Relaxed), 0, "turns were cut off");
        assert_eq!(self.tally.strange.load(Ordering::Relaxed), 0, "answers that are neither 200 nor 503");
        assert_eq!(self.tally.slipped_in.load(Ordering::Relaxed), 0, "turns that were asked for while draining got in");
    }
}

impl Drop for Pressure {
    fn drop(&mut self) {
        self.tally.over.store(true, Ordering::Relaxed);
    }
}

fn draining(status: &Snapshot) -> bool {
    status.gateway_state == GatewayState::Draining
}

fn running(status: &Snapshot) -> bool {
    status.gateway_state == GatewayState::Running
}

/// A home that outlives its gateways.
fn home() -> (tempfile::TempDir, Home) {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path().join("home"));
    (folder, home)
}

#[test]
fn under_pressure_the_marker_is_observed_within_the_tick_wherever_in_the_tick_it_appears() {
    let gateway = GatewayProcess::in_fresh_home(&[]);
    let pressure = Pressure::on(&gateway);
    // From right after a look to right before the next one.
    for phase in [0, 250, 500, 700] {
        let observed = || {
            gateway.until("running", running);
            std::thread::park_timeout(Duration::from_millis(phase));
            gateway.touch_marker();
            let touched = Timestamp::now();
            let status = gateway.until("draining", draining);
            gateway.rm_marker();
            // When what is published was made: how long the disk takes to keep it is not the gateway's to promise.
            let made: Timestamp = status.updated_at.parse().expect("a time");
            made.duration_since(touched)
        };
        // A busy machine can only add to it.
        let late: Vec<_> = (0..3).map(|_| observed()).take_while(|took| took.as_millis() > 1000).collect();
        assert!(late.len() < 3, "it took {late:?}, {phase} ms after the last look");
    }
    pressure.ends();
}

#[test]
fn turns_in_flight_when_the_marker_appears_end_by_themselves_with_every_byte_of_their_responses() {
    let gateway = GatewayProcess::in_fresh_home(&["--tick-ms", "50"]);
    let pressure = Pressure::on(&gateway);
    // Long enough that none has ended by itself when a busy machine has come to look.
    let turns: Vec<Turn> = [3000, 3200, 3400].map(|millis| gateway.turn(millis)).into();
    gateway.touch_marker();
    let seen = gateway.until("draining", draining);
    assert!(seen.drain.in_flight >= 3, "the turns were in flight as the gate closed: {seen:#?}");
    assert!(!seen.drain.drained);
    turns.into_iter().for_each(Turn::ends_whole);
    gateway.until("drained", |s| s.drain.drained);
    pressure.ends();
}

#[test]
fn every_new_turn_is_refused_and_the_count_falls_to_zero_and_stays_there_under_pressure() {
    let gateway = GatewayProcess::in_fresh_home(&["--tick-ms", "50"]);
    let pressure = Pressure::on(&gateway);
    let turn = gateway.turn(700);
    gateway.touch_marker();
    gateway.until("draining", draining);
    pressure.is_barred();
    // The file is there a moment before its process says the same: until then that still shows the open gate.
    comes_true("the process says so too", || gateway.status()["gateway_state"] == "draining");
    let count = Cell::new(u64::MAX);
    let refused_until = pressure.tally.refused() + 100;
    // From the moment of the acknowledgement on, every look at the process itself shows less work or as much.
    comes_true("drained, and a hundred more refused", || {
        let status = gateway.status();
        let now = status["active_agents"].as_u64().unwrap();
        let before = count.replace(now);
        assert!(now <= before, "the count rose from {before} to {now} while draining: {status}");
        now == 0 && pressure.tally.refused() >= refused_until
    });
    turn.ends_whole();
    pressure.is_refused_more(100);
    assert_eq!(gateway.status()["active_agents"], 0);
    assert_eq!(Snapshot::read(&gateway.named_home()).unwrap().active_agents, Some(0));
    pressure.ends();
}

#[test]
fn a_cancel_brings_the_same_process_back_to_running_and_it_takes_turns_again() {
    let gateway = GatewayProcess::in_fresh_home(&["--tick-ms", "50"]);
    let pressure = Pressure::on(&gateway);
    let first = gateway.until("running", running);
    for _ in 0..5 {
        gateway.touch_marker();
        gateway.until("drained", |s| s.drain.drained);
        gateway.rm_marker();
        let back = gateway.until("running", running);
        assert_eq!((back.pid, back.drain.incarnation), (gateway.pid(), first.drain.incarnation.clone()));
        let admitted = pressure.tally.admitted();
        comes_true("turns are taken again", || pressure.tally.admitted() > admitted);
    }
    pressure.ends();
}

#[test]
fn a_restart_under_the_marker_starts_closed_and_admits_nothing_until_the_marker_is_gone() {
    let (_folder, home) = home();
    let gateway = GatewayProcess::with_arguments(home.path(), &["--tick-ms", "50"]);
    gateway.touch_marker();
    until(&home, "draining", draining);
    gateway.terminate();
    let (code, printed, last) = gateway.ends();
    assert_eq!((code, last.gateway_state), (Some(0), GatewayState::Stopped), "{printed}");

    let successor = GatewayProcess::with_arguments(home.path(), &["--tick-ms", "50"]);
    assert_eq!(successor.post("/turns", r#"{"session": "s", "millis": 1}"#).status(), 503, "the very first turn");
    let now = until(&home, "the successor's status", |s| s.drain.incarnation != last.drain.incarnation);
    assert_eq!(now.drain.state, DrainState::ExternalDraining);
    successor.rm_marker();
    until(&home, "running", running);
    successor.turn(150).ends_whole();
}

#[test]
fn a_killed_gateway_leaves_the_marker_in_force_for_its_successor() {
    let (_folder, home) = home();
    let gateway = GatewayProcess::with_arguments(home.path(), &["--tick-ms", "50"]);
    let _cut_off_by_the_kill = gateway.turn(60_000);
    gateway.touch_marker();
    until(&home, "draining", draining);
    drop(gateway);
    assert_eq!(home.live().unwrap(), None, "a dead process is known from its lock, whatever its last status says");

    let successor = GatewayProcess::with_arguments(home.path(), &["--tick-ms", "50"]);
    let status = successor.status();
    assert_eq!((&status["gateway_state"], &status["active_agents"]), (&"draining".into(), &0.into()), "{status}");
    successor.rm_marker();
    until(&home, "running", running);
}

#[test]
fn a_reboot_ends_what_an_earlier_boot_asked_for_and_says_so() {
    let (_folder, home) = home();
    std::fs::create_dir(home.path()).unwrap();
    let earlier = Channel::of_epoch(home.clone(), Epoch::from("an-earlier-boot:1".to_owned()));
    earlier.write(&Request::begin(RequestId::marker(), "ops")).unwrap();
    let gateway = GatewayProcess::with_arguments(home.path(), &["--tick-ms", "50"]);
    gateway.turn(150).ends_whole();
    let status = until(&home, "a status", |_| true);
    assert_eq!(status.gateway_state, GatewayState::Running);
    assert!(status.drain.ignored[0].detail.contains("an-earlier-boot:1"), "{:#?}", status.drain.ignored);

    // The same request of this boot, in the same place, is another matter.
    Channel::new(home.clone()).write(&Request::begin(RequestId::marker(), "ops")).unwrap();
    until(&home, "draining", draining);
}

#[test]
fn a_shutdown_during_the_drain_waits_for_the_turn_refuses_the_rest_and_ends_in_stopped() {
    let gateway = GatewayProcess::in_fresh_home(&["--tick-ms", "50"]);
    let pressure = Pressure::on(&gateway);
    // It outlasts what is asked meanwhile, on a busy machine too.
    let turn = gateway.turn(8000);
    gateway.touch_marker();
    gateway.until("draining", draining);
    pressure.is_barred();
    gateway.terminate();
    gateway.until("a shutdown", |s| s.drain.state == DrainState::ShutdownDraining);
    // There is no way back: neither by the marker's removal nor by anything else that is asked.
    gateway.rm_marker();
    pressure.is_refused_more(10);
    assert_eq!(gateway.status()["drain"]["state"], "shutdown_draining");
    turn.ends_whole();
    let (code, printed, last) = gateway.ends();
    assert_eq!((code, last.gateway_state, last.active_agents), (Some(0), GatewayState::Stopped, Some(0)), "{printed}");
    pressure.ends();
}
