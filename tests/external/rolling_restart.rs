//! `examples/deploy/rolling-restart.sh` on three example gateways behind HAProxy, under load: no request fails. And without
//! either of the two things that it rests on, some do.
//!
//! Not among the tests that run by default, since it needs HAProxy: `.ci/deployment` installs that and runs this.

use crate::support::load::{End, Load, Tried};
use crate::support::process::{Tool, home, search_path};
use crate::support::systemd_unit::{NotifySocket, Unit};
use gateway_drain::client::ExitCode;
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeSet;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const REQUESTS: usize = 20_000;

/// Starts a gateway again whenever it has ended, as `Restart=always` does, and notes its process once it is ready.
struct Supervisor {
    running: Arc<Mutex<Running>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Running {
    stop: bool,
    process: Option<Pid>,
}

impl Supervisor {
    fn start(port: u16, state: &Path) -> Self {
        let (state, running) = (state.to_owned(), Arc::new(Mutex::new(Running::default())));
        let shared = Arc::clone(&running);
        let (first, ready) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let (unit, instance) = (Unit::read(), port.to_string());
            unit.home(&instance, &state);
            let socket = NotifySocket::bind(state.join(format!("{port}.notify")));
            loop {
                let mut command = unit.command(&instance, &state);
                command.env("NOTIFY_SOCKET", &socket.path).stdout(Stdio::null()).stdin(Stdio::null());
                let mut child: Child = {
                    let mut running = shared.lock().expect("nobody panicked");
                    if running.stop {
                        return;
                    }
                    let child = command.spawn().expect("the gateway starts");
                    running.process = Some(Pid::from_child(&child));
                    child
                };
                while !socket.next().contains(&"READY=1".to_owned()) {}
                let noted = state.join(format!("{port}.new"));
                std::fs::write(&noted, child.id().to_string()).expect("its number can be noted");
                std::fs::rename(&noted, state.join(format!("{port}.pid"))).expect("its number can be noted");
                let _ = first.send(());
                let ended = child.wait().expect("it ends");
                let mut running = shared.lock().expect("nobody panicked");
                running.process = None;
                assert!(running.stop || ended.success(), "the gateway ended with {ended}");
            }
        });
        ready.recv_timeout(crate::support::process::LIMIT).expect("the gateway gets ready");
        Self { running, thread: Some(thread) }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        {
            let mut running = self.running.lock().expect("nobody panicked");
            running.stop = true;
            // It may have ended by itself.
            let _ = running.process.map(|process| kill_process(process, Signal::KILL));
        }
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(()))), "a gateway did not end as it should");
    }
}

/// Ports that nobody is given by chance: each has to be free again when its gateway has ended. Of four digits, as in the guide:
/// the control's port is the one with a 1 in front.
fn ports() -> [u16; 3] {
    let mut taken: Vec<[TcpListener; 2]> = Vec::new();
    for _ in 0..1000 {
        let port = fastrand::u16(2000..10_000);
        let both = [port, 10_000 + port].map(|port| TcpListener::bind(("127.0.0.1", port)).ok());
        if let [Some(turns), Some(control)] = both {
            taken.push([turns, control]);
        }
        if let [a, b, c] = &taken[..] {
            return [a, b, c].map(|[turns, _]| turns.local_addr().expect("an address").port());
        }
    }
    panic!("no ports are free");
}

struct Proxy {
    child: Child,
    address: String,
}

impl Proxy {
    /// HAProxy with the guide's configuration, on a listener that it inherits.
    fn start(ports: [u16; 3], readiness: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        fcntl_setfd(&listener, FdFlags::empty()).expect("it can be handed on");
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/deploy/haproxy.cfg");
        let mut command = Command::new("haproxy");
        command.args(["-db", "-f", file]).env("FRONT", format!("fd@{}", listener.as_raw_fd()));
        command.env("READINESS", readiness).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.envs(["A", "B", "C"].into_iter().zip(ports.map(|port| port.to_string())));
        let child = command.spawn().expect("HAProxy is installed (Debian's package haproxy)");
        let address = listener.local_addr().expect("an address").to_string();
        Self { child, address }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Restarts all three under load, again and again until so many requests have been made; gives what became of each.
fn restarted(unready_delay: &str, readiness: &str, requests: usize) -> Vec<Tried> {
    // A build may take longer than a gateway has to get ready.
    crate::support::process::examples();
    let state = home();
    let restart = state.path().join("restart.sh");
    let script = "# In the place of `systemctl restart`: it ends, is started again, and is noted once it is ready.\n\
        noted=\"$STATE/../${1#gateway@}.pid\" old=$(cat \"$noted\")\nkill -TERM \"$old\"\n\
        while [ \"$(cat \"$noted\")\" = \"$old\" ]; do sleep 0.05; done\n";
    std::fs::write(&restart, script).expect("a script");
    let ports = ports();
    let supervisors = ports.map(|port| Supervisor::start(port, state.path()));
    let processes =
        || ports.map(|port| std::fs::read_to_string(state.path().join(format!("{port}.pid"))).expect("noted"));
    let proxy = Proxy::start(ports, readiness);
    let client = Load::start(&proxy.address, 8, |n| match n {
        n if n % 40 == 39 => 300,
        n if n % 5 == 4 => 10,
        _ => 0,
    });
    client.until(100);
    let (began, mut seen) = (Instant::now(), BTreeSet::from(processes()));
    for round in 1.. {
        let mut roll = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/deploy/rolling-restart.sh"));
        roll.args(ports.map(|port| port.to_string())).env("PATH", search_path());
        roll.env("STATE", state.path().join("gateway")).env("RESTART", format!("sh {}", restart.display()));
        roll.env("UNREADY_DELAY", unready_delay);
        roll.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Tool::spawn(roll).ended().expect(ExitCode::Drained);
        seen.extend(processes());
        assert_eq!(seen.len(), 3 * (round + 1), "each gateway was restarted once in each round");
        if client.asked() >= requests {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(120), "only {} requests in time", client.asked());
    }
    let tried = client.stop();
    println!("{} requests, {} restarts, in {:.0?}", tried.len(), seen.len() - 3, began.elapsed());
    drop((proxy, supervisors));
    tried
}

/// Those that did not end well: refused, cut off, or with the connection closed in the place of an answer.
fn failed(tried: &[Tried]) -> Vec<&Tried> {
    tried.iter().filter(|turn| turn.end != End::Whole).collect()
}

#[test]
fn no_request_of_20000_fails_while_three_gateways_are_restarted() {
    let tried = restarted("2s", "/readyz", REQUESTS);
    assert!(tried.len() >= REQUESTS, "{} requests", tried.len());
    let failed = failed(&tried);
    assert!(failed.is_empty(), "{} of {} requests, the first: {:?}", failed.len(), tried.len(), failed.first());
}

#[test]
fn without_the_unready_delay_some_fail() {
    let tried = restarted("0s", "/readyz", 1);
    assert!(!failed(&tried).is_empty(), "none failed: the delay isn't what it rests on");
}

#[test]
fn without_the_readiness_some_fail() {
    let tried = restarted("2s", "/livez", 1);
    assert!(!failed(&tried).is_empty(), "none failed: the readiness isn't what it rests on");
}
