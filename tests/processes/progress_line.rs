//! The live line that a person sees while a wait goes on, in a real terminal (a pty).

#![cfg(all(feature = "cli", feature = "axum"))]

use crate::support::process::{GatewayProcess, home};
use crate::support::tool::{LIMIT, drain, tool};
use gateway_drain::client::ExitCode;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

/// A terminal of 120 columns: the end that a program writes to, and what a person would see of it.
fn terminal() -> (File, Receiver<String>) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    tcsetwinsize(&ours, Winsize { ws_row: 24, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    let name = std::ffi::OsString::from_vec(ptsname(&ours, Vec::new()).unwrap().into_bytes());
    let theirs = OpenOptions::new().read(true).write(true).open(name).unwrap();
    let (send, seen) = channel();
    std::thread::spawn(move || {
        let (mut ours, mut bytes) = (File::from(ours), [0; 4096]);
        // The terminal ends with its last writer.
        while let Ok(count @ 1..) = ours.read(&mut bytes) {
            let _ = send.send(String::from_utf8_lossy(&bytes[..count]).into_owned());
        }
    });
    (theirs, seen)
}

#[test]
fn the_line_tells_what_is_waited_for_in_place_and_goes_when_the_wait_ends() {
    let home = home();
    let gateway = GatewayProcess::start(home.path());
    let turn = gateway.turn(6_000);
    drain(home.path(), &["begin", "upgrade", "--lease", "10m"]).expect(ExitCode::Drained);

    let (theirs, seen) = terminal();
    let mut wait = tool(home.path());
    wait.args(["wait", "upgrade", "--timeout", "1h"]).env("TERM", "xterm").stderr(theirs);
    let mut child = wait.spawn().unwrap();
    // The command keeps the terminal open for as long as it is there.
    drop(wait);
    let (began, mut screen) = (Instant::now(), String::new());
    while let Ok(text) = seen.recv_timeout(LIMIT.saturating_sub(began.elapsed())) {
        screen.push_str(&text);
    }
    assert_eq!(child.wait().unwrap().code(), Some(0), "{screen:?}");
    assert!(turn.finished());
    for told in ["1 in flight", "oldest turn", "lease left 9m", "deadline in 59m"] {
        assert!(screen.contains(told), "it doesn't tell {told:?}: {screen:?}");
    }
    let lines = screen.split("\r\n").filter(|line| line.contains("in flight")).count();
    assert!(screen.matches("in flight").count() > 3 && lines <= 1, "it isn't drawn in place: {screen:?}");
    let last = screen.rsplit('\r').next().unwrap_or_default();
    assert!(!last.contains("in flight"), "the line stayed after the wait: {screen:?}");
}
