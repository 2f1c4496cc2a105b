//! Every server tells the same tale: turns are answered, a drain waits for those in flight and refuses the rest, they are
//! answered again when it is over, and SIGTERM ends the process when the last one has ended.

mod common;

use common::{LIMIT, Recipe, free_address};
use gateway_drain_recipes::Turn;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use tonic::Code;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};

include!(concat!(env!("OUT_DIR"), "/recipes.Turns.rs"));

#[derive(Debug, PartialEq)]
enum Answer {
    Done,
    Refused,
}

fn over_http(address: &str) -> Answer {
    asked_on(&mut connected(address))
}

fn connected(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream
}

fn asked_on(stream: &mut TcpStream) -> Answer {
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let (mut answer, mut buffer) = (String::new(), [0; 1024]);
    // A refusal closes its connection; an answer may leave it open.
    while !answer.contains("done\n") {
        let Ok(read @ 1..) = stream.read(&mut buffer) else { break };
        answer.push_str(str::from_utf8(&buffer[..read]).unwrap());
    }
    let lower = answer.to_lowercase();
    if lower.starts_with("http/1.1 200") && answer.contains("done\n") {
        return Answer::Done;
    }
    assert!(lower.starts_with("http/1.1 503"), "{answer}");
    assert!(lower.contains("\r\nretry-after: ") && lower.contains("\r\nconnection: close"), "{answer}");
    assert!(lower.contains("application/problem+json") && lower.contains("\"status\":503"), "{answer}");
    Answer::Refused
}

/// Runs one call of gRPC on a runtime of its own.
fn on_a_runtime<T>(call: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(call)
}

fn over_grpc(address: &str) -> Answer {
    let answer = on_a_runtime(async {
        let mut client = turns_client::TurnsClient::connect(format!("http://{address}")).await.unwrap();
        client.run(Turn { text: "done".into() }).await
    });
    match answer {
        Ok(answer) => {
            assert_eq!(answer.into_inner().text, "done");
            Answer::Done
        }
        Err(status) => {
            assert_eq!(status.code(), Code::Unavailable, "{status:?}");
            Answer::Refused
        }
    }
}

type Ask = fn(&str) -> Answer;

/// Asks for a turn, and waits until it is in flight.
fn in_flight(recipe: &Recipe, address: &str, ask: Ask) -> JoinHandle<Answer> {
    let address = address.to_owned();
    let asked = thread::spawn(move || ask(&address));
    recipe.until("\"in_flight\": 1");
    asked
}

fn tale(mut recipe: Recipe, address: &str, ask: Ask) {
    assert_eq!(ask(address), Answer::Done);
    recipe.until("\"in_flight\": 0");
    let turn = in_flight(&recipe, address, ask);
    recipe.drain();
    assert_eq!(turn.join().unwrap(), Answer::Done, "a turn was cut off by a drain");
    recipe.until("\"drained\": true");
    assert_eq!(ask(address), Answer::Refused);
    recipe.reopen();
    let turn = in_flight(&recipe, address, ask);
    recipe.terminate();
    assert_eq!(turn.join().unwrap(), Answer::Done, "a turn was cut off by a shutdown");
    recipe.ends();
}

macro_rules! tell {
    ($name:ident, $program:literal, $ask:ident) => {
        #[test]
        fn $name() {
            let address = free_address();
            tale(Recipe::start(env!(concat!("CARGO_BIN_EXE_", $program)), &[&address]), &address, $ask);
        }
    };
}

tell!(hyper_alone, "hyper", over_http);
tell!(actix_web, "actix", over_http);
tell!(tonic_over_http_2, "tonic", over_grpc);
tell!(axum_with_sessions, "sessions", over_http);

/// An idle connection is not closed by a drain: the request that is on its way would be lost.
fn kept(recipe: &Recipe, address: &str) {
    let mut kept = connected(address);
    assert_eq!(asked_on(&mut kept), Answer::Done);
    recipe.until("\"in_flight\": 0");
    recipe.drain();
    recipe.until("\"drained\": true");
    assert_eq!(over_http(address), Answer::Refused);
    assert_eq!(asked_on(&mut kept), Answer::Refused);
}

macro_rules! keep {
    ($name:ident, $program:literal) => {
        #[test]
        fn $name() {
            let address = free_address();
            kept(&Recipe::start(env!(concat!("CARGO_BIN_EXE_", $program)), &[&address]), &address);
        }
    };
}

keep!(a_kept_connection_of_hyper_is_answered_in_a_drain, "hyper");
keep!(a_kept_connection_of_actix_web_is_answered_in_a_drain, "actix");
keep!(a_kept_connection_of_axum_is_answered_in_a_drain, "sessions");

/// Something behind a proxy that takes its time.
fn upstream() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut asked = Vec::new();
                while !asked.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    if stream.read_exact(&mut byte).is_err() {
                        return;
                    }
                    asked.push(byte[0]);
                }
                // The work of this upstream is to take time: no event ends it.
                thread::park_timeout(std::time::Duration::from_secs(2));
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\ndone\n");
            });
        }
    });
    address
}

#[test]
fn pingora_as_a_proxy() {
    let (address, upstream) = (free_address(), upstream());
    tale(Recipe::start(env!("CARGO_BIN_EXE_pingora"), &[&address, &upstream]), &address, over_http);
}

#[test]
fn health_over_grpc_is_never_refused_and_tells_of_a_drain() {
    let address = free_address();
    let recipe = Recipe::start(env!("CARGO_BIN_EXE_tonic"), &[&address]);
    let health = || {
        on_a_runtime(async {
            let channel =
                tonic::transport::Endpoint::new(format!("http://{address}")).unwrap().connect().await.unwrap();
            let checked = HealthClient::new(channel).check(HealthCheckRequest::default()).await;
            checked.expect("health is no turn").into_inner().status()
        })
    };
    let until = |wanted| common::until("the health", || health() == wanted);
    until(ServingStatus::Serving);
    recipe.drain();
    until(ServingStatus::NotServing);
    recipe.reopen();
    until(ServingStatus::Serving);
}

#[test]
fn a_standing_watch_of_health_holds_up_neither_a_drain_nor_the_end() {
    let address = free_address();
    let mut recipe = Recipe::start(env!("CARGO_BIN_EXE_tonic"), &[&address]);
    on_a_runtime(async {
        let channel = tonic::transport::Endpoint::new(format!("http://{address}")).unwrap().connect().await.unwrap();
        let mut told = HealthClient::new(channel).watch(HealthCheckRequest::default()).await.unwrap().into_inner();
        assert_eq!(told.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
        recipe.drain();
        assert_eq!(told.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
        recipe.until("\"drained\": true");
        recipe.terminate();
        recipe.ends();
    });
}

#[test]
fn every_recipe_is_under_forty_lines() {
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/bin")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let is_code = |line: &&str| !(line.is_empty() || line.starts_with("//") || line.starts_with("use "));
        let lines = text.lines().map(str::trim).filter(is_code).count();
        assert!(lines < 40, "{}: {lines} lines without imports and comments", path.display());
    }
}
