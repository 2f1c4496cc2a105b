//! Strangers: a remote one, and a user of this machine without rights, who send anything for a while. They stop no controller,
//! and read no owner, no reason, no label and no secret.
//!
//! `STRANGERS_SECONDS` says how long; the default is short, and `cargo xtask ci strangers` takes a minute.

use crate::support::own_process::{alone, this_program};
use crate::support::process::{GatewayProcess, home};
use crate::support::tool::{LIMIT, STATE_VARIABLE, Tool, drain, tool};
use gateway_drain::client::{ExitCode, Gateway};
use gateway_drain::{Channel, Home, Request, RequestId};
use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const OWNER: &str = "an-owner-for-nobody-to-read";
const REASON: &str = "a-reason-for-nobody-to-read";
const LABEL: &str = "a-label-for-nobody-to-read";
const NOBODY: u32 = 65534;
const PATHS: [&str; 9] = [
    "/",
    "/drain",
    "/livez",
    "/readyz",
    "/turns",
    "/api/status",
    "/api/openapi.json",
    "/api/gateway/drain",
    "/api/gateway/drain/private",
];

/// The remote strangers send more requests than this, however little time they have.
const ENOUGH: usize = 20;

/// How long the strangers are at it.
fn time() -> Duration {
    let said = std::env::var("STRANGERS_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(said.unwrap_or(1))
}

/// Anything that somebody may send.
fn anything() -> Vec<u8> {
    let path = PATHS[fastrand::usize(..PATHS.len())];
    let method = ["GET", "POST", "DELETE", "HEAD", "OPTIONS"][fastrand::usize(..5)];
    let random = || fastrand::alphanumeric();
    let token: String = (0..64).map(|_| random()).collect();
    let body = ["{}", "{\"action\":\"override\"}", "{\"action\":\"cancel\",\"request_id\":\"upgrade\"}", "["]
        [fastrand::usize(..4)];
    let length = body.len();
    match fastrand::u8(..7) {
        0 => (0..fastrand::usize(..4096)).map(|_| fastrand::u8(..)).collect(),
        1 => format!("{method} {path} HTTP/1.1\r\nhost: {token}\r\n{token}: {token}\r\n\r\n").into_bytes(),
        2 => format!("{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-length: {length}\r\n\r\n{body}")
            .into_bytes(),
        3 => format!("GET {path}?{token} HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", token.repeat(300)).into_bytes(),
        // It promises more than it sends, and waits.
        4 => format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n{body}").into_bytes(),
        5 => format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").into_bytes(),
        _ => b"GET /drain HTTP/1.1\r\nhost: x\r\nprefer: wait=60\r\nconnection: close\r\n\r\n".to_vec(),
    }
}

/// Sends anything, and reads for a moment what comes of it.
fn send(address: &str, secrets: &[String]) -> Option<()> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_millis(50))).ok()?;
    stream.write_all(&anything()).ok()?;
    let mut answer = Vec::new();
    let _ = stream.take(256 * 1024).read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    for secret in secrets {
        assert!(!answer.contains(secret.as_str()), "a stranger was told {secret}: {answer}");
    }
    Some(())
}

/// What a user without rights does with a home whose path it knows; panics if anything of it works.
fn meddle(place: &Path) {
    let home = Home::at(place);
    let holds = home.holds_folder();
    let files =
        [home.status(), home.marker(), home.lock_path(), place.join(".drain_commits.json"), holds.join("private.json")];
    for file in &files {
        assert!(fs::read(file).is_err(), "{} can be read", file.display());
        assert!(fs::OpenOptions::new().append(true).open(file).is_err(), "{} can be written", file.display());
        assert!(fs::remove_file(file).is_err() && fs::rename(file, place.join("x")).is_err(), "{}", file.display());
    }
    assert!(fs::read_dir(&holds).is_err(), "the holds can be listed");
    for new in [place.join("new"), holds.join("mine.json"), home.marker()] {
        assert!(
            fs::write(&new, "{}").is_err() && symlink("/etc/passwd", &new).is_err(),
            "{} can be made",
            new.display()
        );
    }
    let request = Request::begin(RequestId::new("mine").unwrap(), "a-stranger");
    assert!(Channel::new(home).write(&request).is_err(), "a stranger begins a hold");
}

/// What the process of the local user does: `PLACE` and `ADDRESS` say where.
#[test]
fn the_stranger_of_this_machine() {
    let (Ok(place), Ok(address)) = (std::env::var("STRANGERS_PLACE"), std::env::var("STRANGERS_ADDRESS")) else {
        return;
    };
    let place = PathBuf::from(place);
    let pid: u32 = std::env::var("STRANGERS_PID").unwrap().parse().unwrap();
    let secrets = [OWNER, REASON, LABEL].map(str::to_owned);
    let end = Instant::now() + time();
    while Instant::now() < end {
        meddle(&place);
        let process = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        assert!(rustix::process::kill_process(process, rustix::process::Signal::TERM).is_err(), "it can be ended");
        assert!(fs::read(format!("/proc/{pid}/environ")).is_err(), "its environment can be read");
        let _ = send(&address, &secrets);
    }
    println!("nothing of it worked");
}

#[test]
fn whatever_strangers_send_for_a_while_they_stop_no_controller_and_read_no_owner_reason_label_or_secret() {
    let (home, state) = (home(), home());
    // Careless: what protects are the modes of what the gateway itself makes.
    fs::set_permissions(home.path(), Permissions::from_mode(0o755)).unwrap();
    let secret = drain(state.path(), &["secret", "new"]).expect(ExitCode::Drained).stdout.trim().to_owned();
    let gateway = GatewayProcess::start_with_secret(home.path(), &secret, "127.0.0.1:0");
    let channel = Channel::new(Home::at(home.path()));
    let private = Request::begin(RequestId::new("private").unwrap(), OWNER).reason(REASON);
    channel.write(&private).unwrap();
    gateway.until("the private hold", |status| !status.drain.holds.is_empty());

    let (over, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let secrets: Vec<String> = [OWNER, REASON, LABEL, &secret].map(str::to_owned).to_vec();
    let remote: Vec<_> = (0..6)
        .map(|_| {
            let (over, sent, secrets) = (Arc::clone(&over), Arc::clone(&sent), secrets.clone());
            let address = gateway.address.clone();
            thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    sent.fetch_add(usize::from(send(&address, &secrets).is_some()), Ordering::Relaxed);
                }
            })
        })
        .collect();
    let local = rustix::process::geteuid().is_root().then(|| {
        let mut command = alone(&this_program(), module_path!(), "the_stranger_of_this_machine");
        command.env("STRANGERS_PLACE", home.path()).env("STRANGERS_ADDRESS", &gateway.address);
        command.env("STRANGERS_PID", gateway.pid().to_string()).uid(NOBODY).gid(NOBODY).current_dir("/");
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        command.spawn().expect("the stranger comes")
    });

    let (began, mut acts) = (Instant::now(), 0);
    while began.elapsed() < time() || sent.load(Ordering::Relaxed) <= ENOUGH {
        assert!(began.elapsed() < time() + LIMIT, "the strangers' requests are taken");
        // A turn with a label, under no hold; then the hold whose owner and reason are private, and controllers beside it.
        channel.remove(&private.id).unwrap();
        gateway.until("that it is open", |status| status.drain.holds.is_empty());
        let body = serde_json::json!({"session": LABEL, "millis": 100}).to_string();
        let turn = ureq::post(&format!("http://{}/turns", gateway.address)).header("content-type", "application/json");
        assert!(turn.send(body).unwrap().body_mut().read_to_string().unwrap().ends_with("done\n"));
        channel.write(&private).unwrap();
        for over_http in [false, true] {
            let mut command = if over_http { tool(state.path()) } else { tool(home.path()) };
            command.env(STATE_VARIABLE, state.path().join("state")).env(Gateway::SECRET_VARIABLE, &secret);
            if over_http {
                command.args(["--url", &format!("http://{}", gateway.address)]);
            }
            command.args(["run", "--id", "upgrade", "--patience", "20s", "--", "true"]);
            let ended = Tool::spawn(command).ended();
            assert_eq!(ended.code, Some(0), "a stranger stopped a controller (over HTTP: {over_http}): {ended:?}");
            acts += 1;
        }
    }
    over.store(true, Ordering::Relaxed);
    for stranger in remote {
        stranger.join().expect("no stranger was told anything");
    }
    if let Some(local) = local {
        let output = local.wait_with_output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && said.contains("nothing of it worked"), "{said}");
    }
    channel.remove(&private.id).unwrap();
    gateway.until("that it is open", |status| status.drain.holds.is_empty());
    assert!(gateway.admits() && acts >= 2, "{acts} acts");
    let sent = sent.load(Ordering::Relaxed);
    println!("{acts} acts beside {sent} requests of strangers in {:?}", time());
}
