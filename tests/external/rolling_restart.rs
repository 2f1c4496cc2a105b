//! `examples/deploy/rolling-restart.sh` on three example gateways behind HAProxy, under load, by two operators at once who share
//! a budget of one: no request fails, and never are two gateways closed. And without any of the three things that this rests
//! on, it is otherwise.
//!
//! Not among the tests that run by default, since it needs HAProxy and etcd: `.ci/deployment` installs both and runs this.

use crate::support::etcd::Etcd;
use crate::support::load::{End, Load, Tried, agent};
use crate::support::process::home;
use crate::support::systemd_unit::{NotifySocket, Unit};
use crate::support::tool::{STATE_VARIABLE, Tool, drain, search_path};
use gateway_drain::client::ExitCode;
use gateway_drain::{DrainState, Home, Snapshot};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeSet;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
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
        ready.recv_timeout(crate::support::tool::LIMIT).expect("the gateway gets ready");
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

/// Three gateways that are started again when they end, behind HAProxy and under load.
struct Site {
    state: tempfile::TempDir,
    ports: [u16; 3],
    supervisors: [Supervisor; 3],
    proxy: Proxy,
    load: Load,
}

impl Site {
    fn start(readiness: &str) -> Self {
        // A build may take longer than a gateway has to get ready.
        crate::support::process::examples();
        let state = home();
        let restart = state.path().join("restart.sh");
        // Two at once restart it one after the other, so that neither signals a process that ends.
        let script = "# In the place of `systemctl restart`: it ends, is started again, and is noted once it is ready.\n\
            noted=\"$STATE/../${1#gateway@}.pid\"\nexec 9>\"$noted.lock\"\nflock 9\nold=$(cat \"$noted\")\nkill -TERM \"$old\"\n\
            while [ \"$(cat \"$noted\")\" = \"$old\" ]; do sleep 0.05; done\n";
        std::fs::write(&restart, script).expect("a script");
        let ports = ports();
        let supervisors = ports.map(|port| Supervisor::start(port, state.path()));
        let proxy = Proxy::start(ports, readiness);
        let load = Load::start(&proxy.address, 8, |n| match n {
            n if n % 40 == 39 => 300,
            n if n % 5 == 4 => 10,
            _ => 0,
        });
        load.until(100);
        Self { state, ports, supervisors, proxy, load }
    }

    /// The process of each.
    fn processes(&self) -> [String; 3] {
        let noted = |port| std::fs::read_to_string(self.state.path().join(format!("{port}.pid"))).expect("noted");
        self.ports.map(noted)
    }

    /// The guide's script, on these gateways.
    fn roll(&self, ports: [u16; 3], unready_delay: &str) -> Command {
        let mut roll = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/deploy/rolling-restart.sh"));
        roll.args(ports.map(|port| port.to_string())).env("PATH", search_path());
        let restart = self.state.path().join("restart.sh");
        roll.env("STATE", self.state.path().join("gateway")).env("RESTART", format!("sh {}", restart.display()));
        roll.env("UNREADY_DELAY", unready_delay).env(STATE_VARIABLE, self.state.path().join("tokens"));
        roll.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        roll
    }

    /// Lets every client finish its turn; gives what became of each.
    fn stop(self) -> Vec<Tried> {
        let Self { load, proxy, supervisors, .. } = self;
        let tried = load.stop();
        drop((proxy, supervisors));
        tried
    }
}

/// Restarts all three under load, once; gives what became of each request.
fn restarted(unready_delay: &str, readiness: &str) -> Vec<Tried> {
    let site = Site::start(readiness);
    let mut seen = BTreeSet::from(site.processes());
    Tool::spawn(site.roll(site.ports, unready_delay)).ended().expect(ExitCode::Drained);
    seen.extend(site.processes());
    assert_eq!(seen.len(), 6, "each gateway was restarted once");
    site.stop()
}

/// How many gateways were closed at once at most, by their own status and their locks; counted until the sender is gone. Once
/// there are two, a file tells of it.
fn count_closed(homes: Vec<PathBuf>, two: PathBuf, over: mpsc::Receiver<()>) -> JoinHandle<(usize, usize)> {
    std::thread::spawn(move || {
        let closed = |home: &PathBuf| {
            let home = Home::at(home);
            let live = home.live().ok().flatten();
            let says = Snapshot::read(&home).map(|snapshot| snapshot.drain);
            !says.is_ok_and(|says| Some(says.incarnation) == live && says.state == DrainState::Running)
        };
        let (mut most, mut looks) = (0, 0);
        while let Err(mpsc::RecvTimeoutError::Timeout) = over.recv_timeout(Duration::from_millis(10)) {
            looks += 1;
            most = most.max(homes.iter().filter(|home| closed(home)).count());
            if most > 1 {
                std::fs::write(&two, "").expect("a note");
            }
        }
        (most, looks)
    })
}

/// Those that did not end well: refused, cut off, or with the connection closed in the place of an answer.
fn failed(tried: &[Tried]) -> Vec<&Tried> {
    tried.iter().filter(|turn| turn.end != End::Whole).collect()
}

/// Asks each gateway as often as the proxy does, until the sender is gone. Tells whether an answer came so late that the proxy
/// takes its gateway for dead, or the next question so late that the proxy misses most of an unready delay.
fn probe_as_the_proxy(ports: [u16; 3], over: mpsc::Receiver<()>) -> JoinHandle<bool> {
    const INTERVAL: Duration = Duration::from_millis(250);
    let agent = agent();
    std::thread::spawn(move || {
        let (mut is_late, mut last) = (false, Instant::now());
        while let Err(mpsc::RecvTimeoutError::Timeout) = over.recv_timeout(INTERVAL) {
            is_late |= last.elapsed() > 3 * INTERVAL;
            for port in ports {
                let asked = Instant::now();
                // One that is being restarted refuses at once.
                let _ = agent.get(format!("http://127.0.0.1:{port}/readyz")).call();
                is_late |= asked.elapsed() > INTERVAL;
            }
            last = Instant::now();
        }
        is_late
    })
}

#[test]
fn no_request_of_20000_fails_while_two_operators_restart_three_gateways_in_opposite_order() {
    assert!((0..3).any(|_| none_fails()), "three times requests failed where the proxy can't have probed in time");
}

/// Fails if a request does; tells whether it shows something: on a machine too busy for the proxy's probes requests fail whatever the
/// gateways do.
fn none_fails() -> bool {
    let etcd = Etcd::start();
    let site = Site::start("/readyz");
    let fleet = ["fleet", "--fleet-lock", &etcd.url(), "set-slots", "gateways", "1"];
    drain(site.state.path(), &fleet).expect(ExitCode::Drained);
    let homes = site.ports.map(|port| site.state.path().join("gateway").join(port.to_string()));
    let ((over, until), (ends, probing)) = (mpsc::channel(), mpsc::channel());
    let observer = count_closed(homes.to_vec(), site.state.path().join("two"), until);
    let prober = probe_as_the_proxy(site.ports, probing);
    let (began, mut seen) = (Instant::now(), BTreeSet::from(site.processes()));
    let (mut rounds, [a, b, c]) = (0, site.ports);
    while site.load.asked() < REQUESTS || rounds < 2 {
        assert!(began.elapsed() < Duration::from_secs(600), "only {} requests in time", site.load.asked());
        let operators = [[a, b, c], [c, b, a]].map(|ports| {
            let mut roll = site.roll(ports, "2s");
            roll.env("FLEET_LOCK", etcd.url());
            Tool::spawn(roll)
        });
        for operator in operators {
            operator.ended().expect(ExitCode::Drained);
        }
        seen.extend(site.processes());
        rounds += 1;
    }
    drop(over);
    let (most, looks) = observer.join().expect("the observer ends");
    assert!(etcd.holders("gateways").is_empty(), "{:?}", etcd.holders("gateways"));
    drop(ends);
    let is_late = prober.join().expect("the prober ends");
    let tried = site.stop();
    let failed = failed(&tried);
    println!(
        "{} requests, {} failed; {} restarts by two operators in {:.0?}; at most {most} gateways closed in {looks} looks",
        tried.len(),
        failed.len(),
        6 * rounds,
        began.elapsed()
    );
    assert_eq!(most, 1, "gateways were closed at once, in {looks} looks");
    assert!(tried.len() >= REQUESTS && seen.len() > 3, "{} requests, {seen:?}", tried.len());
    if is_late && !failed.is_empty() {
        return false;
    }
    assert!(failed.is_empty(), "{} of {} requests, the first: {:?}", failed.len(), tried.len(), failed.first());
    true
}

#[test]
fn without_a_budget_two_operators_close_two_gateways_at_once() {
    let site = Site::start("/readyz");
    let homes = site.ports.map(|port| site.state.path().join("gateway").join(port.to_string()));
    let (over, until) = mpsc::channel();
    let two = site.state.path().join("two");
    let observer = count_closed(homes.to_vec(), two.clone(), until);
    let [a, b, c] = site.ports;
    // Each act lasts until two gateways have been seen closed, and no longer than half a minute.
    let act = site.state.path().join("act.sh");
    let script = "n=0\nwhile [ ! -e \"$TWO\" ] && [ $n -lt 600 ]; do sleep 0.05; n=$((n + 1)); done\nexec sh \"$RESTART_SCRIPT\" \"$1\"\n";
    std::fs::write(&act, script).expect("a script");
    let operators = [[a, b, c], [c, b, a]].map(|ports| {
        let mut roll = site.roll(ports, "2s");
        roll.env("TWO", &two).env("RESTART_SCRIPT", site.state.path().join("restart.sh"));
        roll.env("RESTART", format!("sh {}", act.display()));
        Tool::spawn(roll)
    });
    // Where they meet at one gateway one of them may find that it was replaced.
    let ended = operators.map(Tool::ended);
    drop(over);
    let (most, looks) = observer.join().expect("the observer ends");
    assert!(most > 1, "the budget isn't what it rests on: {most} closed at most in {looks} looks; {ended:?}");
    site.stop();
}

#[test]
fn without_the_unready_delay_some_fail() {
    let tried = restarted("0s", "/readyz");
    assert!(!failed(&tried).is_empty(), "none failed: the delay isn't what it rests on");
}

#[test]
fn without_the_readiness_some_fail() {
    let tried = restarted("2s", "/livez");
    assert!(!failed(&tried).is_empty(), "none failed: the readiness isn't what it rests on");
}
