//! The tower layer under a real server, over real sockets: when a request is in flight, and how it is refused.

#![cfg(feature = "tower")]

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http;
use axum::http::{Request, Response, StatusCode, Version, header};
use axum::routing::{any, get};
use futures_util::{StreamExt, stream};
use gateway_drain::hold::Outcome;
use gateway_drain::layer::{Admitted, DrainLayer, Slot};
use gateway_drain::{Controller, RequestId};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tower_layer::Layer;
use tower_service::Service;

fn serve(app: Router) -> (Runtime, SocketAddr) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(async move { axum::serve(listener, app).await });
    (runtime, address)
}

fn connect(address: SocketAddr) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    BufReader::new(stream)
}

fn ask(connection: &mut BufReader<TcpStream>, path: &str, more: &str) {
    write!(connection.get_mut(), "GET {path} HTTP/1.1\r\nhost: x\r\n{more}\r\n").unwrap();
}

/// The head of an answer, in small letters.
fn head(connection: &mut BufReader<TcpStream>) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(connection.read_line(&mut head).unwrap() > 0, "the connection closed after {head:?}");
    }
    head.to_lowercase()
}

fn eventually(what: &str, check: impl Fn() -> bool) {
    let start = Instant::now();
    while !check() {
        assert!(start.elapsed() < Duration::from_secs(10), "{what}");
        std::thread::yield_now();
    }
}

fn begin(controller: &Controller) {
    let request = gateway_drain::Request::begin(RequestId::new("upgrade").unwrap(), "ops").reason("a private reason");
    assert_eq!(controller.request(&request), Ok(Outcome::Held));
}

/// A route whose response streams what the test sends, and ends when the test lets go.
fn streaming(controller: &Controller) -> (Router, mpsc::Sender<&'static str>) {
    let (sender, receiver) = mpsc::channel(4);
    let receiver = Arc::new(std::sync::Mutex::new(Some(receiver)));
    let handler = move || {
        let receiver = receiver.lock().unwrap().take().expect("one request");
        let lines = stream::unfold(receiver, |mut lines: mpsc::Receiver<&'static str>| async move {
            let line = lines.recv().await?;
            Some((Ok::<_, Infallible>(line), lines))
        });
        ready(Response::new(Body::from_stream(lines.boxed())))
    };
    (Router::new().route("/turn", get(handler)).layer(DrainLayer::new(controller.gate().clone())), sender)
}

#[test]
fn a_response_that_streams_is_in_flight_until_its_last_byte() {
    let controller = Controller::new();
    let (app, lines) = streaming(&controller);
    let (_runtime, address) = serve(app);
    let mut connection = connect(address);
    ask(&mut connection, "/turn", "");
    head(&mut connection);
    begin(&controller);
    for _ in 0..3 {
        lines.blocking_send("line\n").unwrap();
        let mut chunk = String::new();
        while !chunk.contains("line\n") {
            connection.read_line(&mut chunk).unwrap();
        }
        let reading = controller.gate().reading();
        assert!(reading.in_flight == 1 && !reading.drained, "drained under a response that streams: {reading:?}");
    }
    drop(lines);
    let generation = controller.gate().reading().generation;
    controller.gate().drained(generation).wait_timeout(Duration::from_secs(10)).expect("drained after the last byte");
}

#[test]
fn a_client_that_goes_away_gives_the_permit_back() {
    let controller = Controller::new();
    let (app, lines) = streaming(&controller);
    let (_runtime, address) = serve(app);
    let mut connection = connect(address);
    ask(&mut connection, "/turn", "");
    head(&mut connection);
    assert_eq!(controller.gate().reading().in_flight, 1);
    drop(connection);
    // The server notices when it next writes, or at once.
    eventually("the dropped response is counted for ever", || {
        let _ = lines.try_send("line\n");
        controller.gate().reading().in_flight == 0
    });
}

#[test]
fn idle_connections_hold_no_permit_and_do_not_hold_up_a_drain() {
    let controller = Controller::new();
    let app = Router::new().route("/", get(async || "done")).layer(DrainLayer::new(controller.gate().clone()));
    let (_runtime, address) = serve(app);
    let silent = connect(address);
    let mut kept_alive: Vec<_> = (0..20).map(|_| connect(address)).collect();
    for connection in &mut kept_alive {
        ask(connection, "/", "");
        assert!(head(connection).starts_with("http/1.1 200"));
        let mut body = [0; 4];
        connection.read_exact(&mut body).unwrap();
    }
    eventually("an answered request is still counted", || controller.gate().reading().in_flight == 0);
    begin(&controller);
    assert!(controller.gate().reading().drained, "{:?}", controller.gate().reading());
    drop((silent, kept_alive));
}

#[test]
fn a_service_that_is_ready_holds_no_permit_until_it_is_called() {
    let controller = Controller::new();
    let mut service = DrainLayer::new(controller.gate().clone()).layer(Echo::default());
    let mut context = Context::from_waker(Waker::noop());
    assert!(Service::<Request<String>>::poll_ready(&mut service, &mut context).is_ready());
    let ready_twice = service.clone();
    assert_eq!(controller.gate().reading().in_flight, 0);
    let answering = service.call(Request::new(String::new()));
    assert_eq!(controller.gate().reading().in_flight, 1);
    drop(answering);
    assert_eq!(controller.gate().reading().in_flight, 0, "a call that is given up gives its permit back");
    drop(ready_twice);
}

/// The innermost service of the tests without a socket. It counts how often it was called.
#[derive(Clone, Default)]
struct Echo {
    calls: Arc<AtomicU32>,
}

impl<B> Service<Request<B>> for Echo {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        self.calls.fetch_add(1, Ordering::Relaxed);
        ready(Ok(Response::new(Body::empty())))
    }
}

fn refused(layer: impl Fn(DrainLayer) -> DrainLayer, request: Request<String>) -> (http::response::Parts, Bytes, u32) {
    let controller = Controller::new();
    begin(&controller);
    let echo = Echo::default();
    let mut service = layer(DrainLayer::new(controller.gate().clone())).layer(echo.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (parts, body) = runtime.block_on(service.call(request)).unwrap().into_parts();
    let body = runtime.block_on(body.collect()).unwrap().to_bytes();
    (parts, body, echo.calls.load(Ordering::Relaxed))
}

fn version(version: Version) -> Request<String> {
    Request::builder().version(version).body(String::new()).unwrap()
}

#[test]
fn a_refusal_comes_before_the_handler_and_names_neither_owner_nor_reason() {
    let (parts, body, calls) = refused(|layer| layer, version(Version::HTTP_11));
    assert_eq!((parts.status, calls), (StatusCode::SERVICE_UNAVAILABLE, 0));
    assert_eq!(parts.headers[header::CONTENT_TYPE], "application/problem+json");
    assert_eq!(parts.headers[header::CONNECTION], "close");
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["error"], "draining");
    assert!(!body.to_string().contains("ops") && !body.to_string().contains("private"), "{body}");
}

#[test]
fn those_refused_together_are_not_told_to_come_back_together() {
    let after = || {
        let (parts, ..) = refused(|layer| layer, version(Version::HTTP_11));
        parts.headers[header::RETRY_AFTER].to_str().unwrap().parse::<u32>().unwrap()
    };
    let told: std::collections::BTreeSet<u32> = (0..64).map(|_| after()).collect();
    assert!(told.iter().all(|seconds| (3..8).contains(seconds)) && told.len() > 1, "{told:?}");
}

#[test]
fn only_http_1_is_told_to_close_the_connection() {
    for (given, told) in
        [(Version::HTTP_10, true), (Version::HTTP_11, true), (Version::HTTP_2, false), (Version::HTTP_3, false)]
    {
        let (parts, ..) = refused(|layer| layer, version(given));
        assert_eq!(parts.headers.contains_key(header::CONNECTION), told, "{given:?}");
    }
}

#[test]
fn the_status_of_a_refusal_can_be_chosen() {
    let (parts, body, _) = refused(|layer| layer.refuse_with(StatusCode::TOO_MANY_REQUESTS), version(Version::HTTP_11));
    assert_eq!(parts.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&body).unwrap()["status"], 429);
}

#[test]
fn a_grpc_call_is_refused_as_unavailable_in_trailers_alone() {
    for kind in ["application/grpc", "application/grpc+proto"] {
        let request =
            Request::builder().version(Version::HTTP_2).header(header::CONTENT_TYPE, kind).body(String::new()).unwrap();
        let (parts, body, calls) = refused(|layer| layer, request);
        assert_eq!((parts.status, body.len(), calls), (StatusCode::OK, 0, 0));
        assert_eq!(parts.headers["grpc-status"], "14");
        assert!(parts.headers.contains_key("grpc-message") && parts.headers.contains_key("grpc-retry-pushback-ms"));
    }
}

#[test]
fn a_refused_connection_is_closed_by_the_server() {
    let controller = Controller::new();
    let app = Router::new().route("/", get(async || "done")).layer(DrainLayer::new(controller.gate().clone()));
    let (_runtime, address) = serve(app);
    begin(&controller);
    let mut connection = connect(address);
    ask(&mut connection, "/", "");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("the server closes after its answer");
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
}

#[test]
fn routes_that_bypass_the_layer_take_no_permit_and_are_never_refused() {
    let controller = Controller::new();
    let layer = DrainLayer::new(controller.gate().clone()).bypass(|head| head.uri.path() == "/version");
    let gate = controller.gate().clone();
    let counted = any(move || ready(gate.reading().in_flight.to_string()));
    let app = Router::new().route("/version", counted.clone()).route("/turn", counted).layer(layer);
    let (_runtime, address) = serve(app);
    let answer = |path: &str| {
        let mut connection = connect(address);
        ask(&mut connection, path, "connection: close\r\n");
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        (answer[9..12].to_owned(), answer.split("\r\n\r\n").nth(1).unwrap_or_default().to_owned())
    };
    assert_eq!(answer("/turn"), ("200".into(), "1".into()));
    eventually("the turn is still counted", || controller.gate().reading().in_flight == 0);
    assert_eq!(answer("/version"), ("200".into(), "0".into()));
    begin(&controller);
    assert_eq!(answer("/turn").0, "503");
    assert_eq!(answer("/version"), ("200".into(), "0".into()));
}

#[test]
fn a_request_is_named_for_those_who_wait_for_it() {
    let controller = Controller::new();
    let layer = DrainLayer::new(controller.gate().clone())
        .label(|head| Some(("turn".into(), head.headers.get("x-session")?.to_str().ok()?.to_owned().into())));
    let mut service = layer.layer(Echo::default());
    let named = service.call(Request::builder().header("x-session", "session 7").body(String::new()).unwrap());
    let unnamed = service.call(Request::new(String::new()));
    let work = controller.gate().active_work(10);
    assert_eq!(work.iter().map(|work| (&*work.kind, &*work.label)).collect::<Vec<_>>(), [("turn", "session 7")]);
    assert_eq!(controller.gate().reading().in_flight, 2);
    drop((named, unnamed));
    assert!(controller.gate().active_work(10).is_empty());
}

/// A server whose one route leaves HTTP behind and sends back what it is sent.
fn upgrading(controller: &Controller, keeps: bool) -> (Runtime, SocketAddr) {
    let handler = move |mut request: axum::extract::Request| {
        let upgrade = hyper::upgrade::on(&mut request);
        let slot = request.extensions().get::<Slot>().cloned();
        let kept = keeps.then(|| slot.and_then(|slot| slot.keep()).expect("the layer is there"));
        tokio::spawn(async move {
            let Ok(upgraded) = upgrade.await else { return };
            let (mut from, mut to) = tokio::io::split(TokioIo::new(upgraded));
            let _ = tokio::io::copy(&mut from, &mut to).await;
            drop((kept, request));
        });
        let response = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
        let response = response.header(header::CONNECTION, "upgrade").header(header::UPGRADE, "echo");
        ready(response.body(Body::empty()).unwrap())
    };
    serve(Router::new().route("/socket", get(handler)).layer(DrainLayer::new(controller.gate().clone())))
}

#[test]
fn an_upgraded_connection_is_in_flight_until_it_closes() {
    let controller = Controller::new();
    let (_runtime, address) = upgrading(&controller, true);
    let mut connection = connect(address);
    ask(&mut connection, "/socket", "connection: upgrade\r\nupgrade: echo\r\n");
    assert!(head(&mut connection).starts_with("http/1.1 101"));
    begin(&controller);
    for _ in 0..3 {
        connection.get_mut().write_all(b"ping").unwrap();
        let mut pong = [0; 4];
        connection.read_exact(&mut pong).unwrap();
        let reading = controller.gate().reading();
        assert!(&pong == b"ping" && reading.in_flight == 1 && !reading.drained, "{reading:?}");
    }
    drop(connection);
    let generation = controller.gate().reading().generation;
    controller.gate().drained(generation).wait_timeout(Duration::from_secs(10)).expect("drained once it has closed");
}

#[test]
fn an_upgrade_for_which_nobody_keeps_the_permit_is_not_made() {
    let controller = Controller::new();
    let (_runtime, address) = upgrading(&controller, false);
    let mut connection = connect(address);
    ask(&mut connection, "/socket", "connection: upgrade\r\nupgrade: echo\r\n");
    assert!(head(&mut connection).starts_with("http/1.1 500"), "it would go on uncounted");
    eventually("the answered request is still counted", || controller.gate().reading().in_flight == 0);
}

#[test]
fn work_that_a_handler_leaves_behind_shares_its_permit() {
    let controller = Controller::new();
    let (done, wait) = mpsc::channel::<()>(1);
    let wait = Arc::new(std::sync::Mutex::new(Some(wait)));
    let handler = move |admitted: Admitted| {
        let mut wait = wait.lock().unwrap().take().expect("one request");
        tokio::spawn(async move {
            wait.recv().await;
            drop(admitted);
        });
        ready("begun")
    };
    let layer = DrainLayer::new(controller.gate().clone()).shared();
    let (_runtime, address) = serve(Router::new().route("/", get(handler)).layer(layer));
    let mut connection = connect(address);
    ask(&mut connection, "/", "connection: close\r\n");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("begun"), "{answer}");
    assert_eq!(controller.gate().reading().in_flight, 1, "the response has ended, the work behind it hasn't");
    done.blocking_send(()).unwrap();
    eventually("the work is still counted", || controller.gate().reading().in_flight == 0);
}

#[test]
fn a_request_costs_no_allocation_and_a_name_costs_its_own() {
    let controller = Controller::new();
    let plain = DrainLayer::new(controller.gate().clone());
    let label = |_: &gateway_drain::layer::Head<'_>| Some(("turn".into(), String::from("session 7").into()));
    let mut named = plain.clone().label(label).layer(Echo::default());
    let mut plain = plain.layer(Echo::default());
    let mut bare = Echo::default();
    let mut context = Context::from_waker(Waker::noop());
    let mut cost = |ask: &mut dyn FnMut(&mut Context<'_>)| {
        ask(&mut context); // once beforehand: the table of names grows to its size
        allocation_counter::measure(|| ask(&mut context)).count_total
    };
    let without = cost(&mut |_| drop(bare.call(Request::new(String::new()))));
    let with = cost(&mut |context| {
        let mut response = std::pin::pin!(plain.call(Request::new(String::new())));
        assert!(response.as_mut().poll(context).is_ready());
    });
    let named = cost(&mut |context| {
        let mut response = std::pin::pin!(named.call(Request::new(String::new())));
        assert!(response.as_mut().poll(context).is_ready());
    });
    assert_eq!((with - without, named - without), (0, 1), "{without} without the layer");
}
