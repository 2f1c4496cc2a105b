//! The README's program, run as it stands there.
#![cfg(all(feature = "axum", feature = "tower", feature = "signals"))]

use rustix::process::{Pid, Signal, kill_process};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn the_program_in_the_readme_is_the_example_that_is_run_here() {
    let (readme, example) = (read("README.md"), read("examples/axum.rs"));
    let program = readme.split("```rust,no_run\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    assert!(example.ends_with(program), "examples/axum.rs has another program than README.md");
}

#[test]
fn the_program_in_the_readme_serves_and_ends_well_by_a_sigterm() {
    let home = tempfile::tempdir().unwrap();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut server = Command::new(crate::support::example_bins::examples().join("axum"))
        .arg(address.to_string())
        .env(gateway_drain::Home::VARIABLE, home.path())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut connection = loop {
        match TcpStream::connect(address) {
            Ok(connection) => break connection,
            Err(error) => assert!(Instant::now() < deadline, "the example doesn't listen: {error}"),
        }
        std::thread::park_timeout(Duration::from_millis(5));
    };
    connection.write_all(b"POST /turns HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"), "{answer}");

    kill_process(Pid::from_child(&server), Signal::TERM).unwrap();
    assert_eq!(server.wait().unwrap().code(), Some(0), "nothing was in flight");
    let status = std::fs::read_to_string(home.path().join("gateway_state.json")).unwrap();
    assert!(status.contains("\"gateway_state\": \"stopped\""), "the end was published: {status}");
}
