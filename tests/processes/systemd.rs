//! The systemd unit of the guide, with the example gateway and a real notify socket. systemd itself is not among what is
//! tested here; its own reading of the unit is (`systemd-analyze verify`, in `.ci/deployment`).

use crate::support::process::{GatewayProcess, home};
use crate::support::systemd_unit::{NotifySocket, Unit};
use crate::support::tool::{LIMIT, drain};
use gateway_drain::Home;
use gateway_drain::client::ExitCode;
use gateway_drain::controller::Settings;
use std::path::Path;
use std::time::Duration;

/// The instance `0`, which listens on a port of the system's choice.
struct Service {
    gateway: GatewayProcess,
    socket: NotifySocket,
    home: std::path::PathBuf,
    told: Vec<String>,
}

impl Service {
    fn start(state: &Path) -> Self {
        let unit = Unit::read();
        let home = unit.home("0", state);
        let socket = NotifySocket::bind(state.join("notify"));
        let mut command = unit.command("0", state);
        command.env("NOTIFY_SOCKET", &socket.path);
        let gateway = GatewayProcess::of(command, &home);
        Self { gateway, socket, home, told: Vec::new() }
    }

    /// Takes messages until one says so.
    fn until(&mut self, status: &str) -> Vec<String> {
        for _ in 0..1000 {
            let lines = self.socket.next();
            self.told.extend(lines.iter().cloned());
            if lines.iter().any(|line| line == &format!("STATUS={status}")) {
                return lines;
            }
        }
        panic!("it never told {status:?}: {:?}", self.told);
    }

    fn times_told(&self, line: &str) -> usize {
        self.told.iter().filter(|told| *told == line).count()
    }
}

#[test]
fn systemd_is_told_of_a_stop_at_the_shutdown_and_never_by_a_drain() {
    let state = home();
    let mut service = Service::start(state.path());
    let first = service.until("running, 0 in flight");
    assert!(first.contains(&"READY=1".to_owned()), "{first:?}");

    for round in ["first", "second"] {
        let turn = service.gateway.turn(10_000);
        drain(&service.home, &["begin", round]).expect(ExitCode::Drained);
        service.until("external_draining, 1 in flight");
        assert!(turn.finished());
        service.until("external_draining, 0 in flight");
        drain(&service.home, &["cancel", round]).expect(ExitCode::Drained);
        service.until("running, 0 in flight");
    }
    let turn = service.gateway.turn(10_000);
    drain(&service.home, &["begin", "third"]).expect(ExitCode::Drained);
    service.until("external_draining, 1 in flight");
    assert_eq!(service.times_told("STOPPING=1"), 0, "a drain is no stop: {:?}", service.told);

    service.gateway.terminate();
    let last = service.until("shutdown_draining, 1 in flight");
    assert!(last.contains(&"STOPPING=1".to_owned()), "{last:?}");
    assert_eq!(service.times_told("READY=1"), 1, "{:?}", service.told);
    assert!(turn.finished(), "the shutdown cut the turn off");
    assert_eq!(service.gateway.ends_within(LIMIT), Some(0));
}

#[test]
fn ready_is_told_after_the_first_look_at_the_files() {
    let state = home();
    std::fs::write(Home::at(Unit::read().home("0", state.path())).marker(), "").expect("a marker");
    let service = Service::start(state.path());
    assert_eq!(service.socket.next(), ["READY=1", "STATUS=external_draining, 0 in flight"]);
}

#[test]
fn a_sigterm_right_after_ready_is_a_shutdown() {
    let state = home();
    let service = Service::start(state.path());
    assert_eq!(service.socket.next()[0], "READY=1");
    service.gateway.terminate();
    assert_eq!(service.gateway.ends_within(LIMIT), Some(0), "the signal came before the gateway took signals");
}

#[test]
fn a_service_manager_that_reads_nothing_stops_no_drain_and_no_shutdown() {
    let state = home();
    let service = Service::start(state.path());
    // The socket takes ten messages or so, and then none.
    for _ in 0..12 {
        drain(&service.home, &["begin", "again"]).expect(ExitCode::Drained);
        drain(&service.home, &["cancel", "again"]).expect(ExitCode::Drained);
    }
    service.gateway.terminate();
    assert_eq!(service.gateway.ends_within(LIMIT), Some(0));
}

#[test]
fn systemd_waits_longer_than_the_longest_shutdown() {
    let unit = Unit::read();
    let words: Vec<&str> = unit.value("ExecStart").split_whitespace().collect();
    let at = words.iter().position(|word| *word == "--deadline-ms").expect("the unit names the deadline");
    let deadline = Duration::from_millis(words[at + 1].parse().expect("milliseconds"));
    let flush = Duration::from_secs(1);
    let longest = deadline + Settings::default().interrupt_grace + flush;
    assert!(unit.seconds("TimeoutStopSec") > longest, "a shutdown may take {longest:?}");
    assert_eq!((unit.value("Type"), unit.value("KillMode")), ("notify", "mixed"));
}
