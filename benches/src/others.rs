//! What others take from a wish to an act, where they are installed: the reference by its own endpoint and watcher, and a lock of
//! etcd. `.ci/performance` installs both.

use crate::rounds::Measured;
use crate::wish::{FEW, Moment, ROUNDS, pause, since, timed};
use std::error::Error;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs};

pub const REFERENCE: &str = "hermes-agent 0.19.0: its endpoint says drain, its status says drained, cancel, running";
pub const ETCD: &str = "`etcdctl lock bench true`, one etcd on this machine";

/// What this run found.
#[derive(Default)]
pub struct Found {
    pub timeline: Vec<Moment>,
    /// The reference is installed.
    pub reference: bool,
    /// So is etcd.
    pub etcd: bool,
}

/// A server that ends with this.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Measures those that are there.
pub fn measure(measured: &mut Measured, folder: &Path) -> Result<Found, Box<dyn Error>> {
    let mut found = Found::default();
    if Command::new("etcdctl").arg("version").stdout(Stdio::null()).status().is_ok() {
        measured.take(ETCD, etcd(&folder.join("etcd"))?);
        found.etcd = true;
    }
    if let Some(installed) = env::var_os("HERMES_VENV") {
        measured.take(REFERENCE, reference(Path::new(&installed), &folder.join("reference"))?);
        found.reference = true;
    }
    Ok(found)
}

/// Until it is so, at most a minute.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(60), "{what}");
        pause(Duration::from_millis(10));
    }
}

fn free_address() -> Result<String, Box<dyn Error>> {
    Ok(format!("http://{}", TcpListener::bind("127.0.0.1:0")?.local_addr()?))
}

fn etcd(folder: &Path) -> Result<Vec<f64>, Box<dyn Error>> {
    let (clients, peers) = (free_address()?, free_address()?);
    let mut server = Command::new("etcd");
    server.arg("--data-dir").arg(folder).args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients]);
    server.args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers]);
    server.args(["--initial-cluster", &format!("default={peers}")]).stdout(Stdio::null()).stderr(Stdio::null());
    let _server = Server(server.spawn()?);
    let client = |arguments: &[&str]| {
        let mut command = Command::new("etcdctl");
        command.env("ETCDCTL_API", "3").args(["--endpoints", &clients]).args(arguments);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    until("etcd answers", || client(&["endpoint", "health"]).status().is_ok_and(|ended| ended.success()));
    Ok((0..ROUNDS).map(|_| timed(client(&["lock", "bench", "true"]))).collect())
}

const SECRET: &str = "Zk3_q9TtB1x-Yp7LwVn0uRc5HsEa8GdJf2Mi6KoXbQvA";

fn reference(installed: &Path, home: &Path) -> Result<Vec<f64>, Box<dyn Error>> {
    fs::create_dir(home)?;
    let hermes = || {
        let mut command = Command::new(installed.join("bin/hermes"));
        command.env("HERMES_HOME", home).env("HOME", home).env("HERMES_DISABLE_LAZY_INSTALLS", "1");
        command.env("HERMES_DASHBOARD_DRAIN_SECRET", SECRET);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let _gateway = Server(hermes().args(["gateway", "run"]).spawn()?);
    let url = free_address()?;
    let port = url.rsplit(':').next().unwrap_or_default().to_owned();
    let _dashboard = Server(hermes().args(["serve", "--port", &port, "--skip-build"]).spawn()?);
    let says = |state: &str| {
        let status = ureq::get(&format!("{url}/api/status")).call().ok();
        let text = status.and_then(|mut status| status.body_mut().read_to_string().ok()).unwrap_or_default();
        let text: String = text.split_whitespace().collect();
        text.contains(&format!("\"gateway_state\":\"{state}\"")) && text.contains("\"active_agents\":0")
    };
    let ask = |action: &str| {
        let post = ureq::post(&format!("{url}/api/gateway/drain"));
        let post = post.header("authorization", &format!("Bearer {SECRET}")).header("content-type", "application/json");
        post.send(format!("{{\"action\": \"{action}\"}}")).expect("its endpoint answers");
    };
    until("the reference runs", || says("running"));
    let mut times = Vec::new();
    for _ in 0..FEW {
        let began = Instant::now();
        ask("drain");
        until("it drains", || says("draining"));
        ask("cancel");
        until("it runs", || says("running"));
        times.push(since(began));
        pause(Duration::from_millis(370));
    }
    Ok(times)
}
