//! `http::serve` returns within its deadline, whatever its clients do, and nothing that could finish is cut off.

#![cfg(all(feature = "axum", feature = "tower"))]

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::http::header::{CONNECTION, UPGRADE};
use axum::response::IntoResponse;
use axum::routing::{any, get, post};
use futures_util::stream;
use gateway_drain::controller::{Settings, ShutdownReport};
use gateway_drain::http::{Endpoint, serve};
use gateway_drain::layer::{Admitted, DrainLayer};
use gateway_drain::reconciler::Options;
use gateway_drain::{Controller, Home, Reconciler, Request, RequestId};
use hyper_util::rt::TokioIo;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::{mpsc, oneshot};

const LIMIT: Duration = Duration::from_secs(30);
const GRACE: Duration = Duration::from_millis(200);

/// An application with every way of not coming to an end, on a server that is told to shut down by a channel.
struct Served {
    controller: Controller,
    _gateway: Arc<Reconciler>,
    address: SocketAddr,
    shut_down: Option<oneshot::Sender<()>>,
    ended: std::thread::JoinHandle<(ShutdownReport, Instant)>,
    _folder: tempfile::TempDir,
}

async fn endless() -> impl IntoResponse {
    Body::from_stream(stream::unfold((), async |()| {
        tokio::time::sleep(Duration::from_millis(5)).await;
        Some((Ok::<_, std::convert::Infallible>(Bytes::from_static(b"line\n")), ()))
    }))
}

#[expect(clippy::unnecessary_wraps, reason = "a part of a stream may be an error")]
fn large() -> Result<Bytes, std::convert::Infallible> {
    Ok(Bytes::from_static(&[b'x'; 65_536]))
}

async fn socket(upgrade: WebSocketUpgrade, admitted: Admitted) -> impl IntoResponse {
    upgrade.on_upgrade(async move |mut socket: WebSocket| {
        while let Some(Ok(_)) = socket.recv().await {}
        drop(admitted);
    })
}

/// Routes that are answered in a drain too, by handlers that say something of the connection themselves.
fn unlayered() -> Router {
    let echoes = async |request: axum::extract::Request| {
        let upgrade = hyper::upgrade::on(request);
        tokio::spawn(async move {
            let mut io = TokioIo::new(upgrade.await.unwrap());
            let mut said = [0; 4];
            io.read_exact(&mut said).await.unwrap();
            io.write_all(&said).await.unwrap();
        });
    };
    Router::new()
        .route("/keep-alive", get(([(CONNECTION, "keep-alive")], "")))
        .route("/hop-by-hop", get(([(CONNECTION, "x-own")], "")))
        .route("/needs-upgrade", get((StatusCode::UPGRADE_REQUIRED, [(CONNECTION, "upgrade"), (UPGRADE, "echo")])))
        .route("/own-close", get(([(CONNECTION, "close")], "")))
        .route(
            "/echo",
            get(async move |request| {
                echoes(request).await;
                (StatusCode::SWITCHING_PROTOCOLS, [(CONNECTION, "upgrade"), (UPGRADE, "echo")])
            })
            .connect(echoes),
        )
}

impl Served {
    fn start(deadline: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings { interrupt_grace: GRACE, ..Settings::default() };
        let options = Options { tick: Duration::from_millis(20), settings, ..Options::default() };
        let gateway = Arc::new(Reconciler::start(Home::at(folder.path()), options).unwrap());
        let controller = gateway.controller().clone();
        let turns = Router::new()
            .route("/quick", any(async |_: Bytes| "done"))
            .route("/slow", get(async || tokio::time::sleep(Duration::from_millis(300)).await))
            .route("/never", get(async || std::future::pending::<()>().await))
            .route("/silent", get(async || Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>())))
            .route("/endless", get(endless))
            .route("/large", get(async || Body::from_stream(stream::repeat_with(large))))
            .route("/socket", get(socket))
            .route("/peer", post(async |ConnectInfo(peer): ConnectInfo<SocketAddr>| peer.ip().to_string()))
            .layer(DrainLayer::of(&controller))
            .merge(unlayered());
        let endpoint = Endpoint::of_gateway(Arc::clone(&gateway)).unauthenticated("ops");
        let app = turns.merge(endpoint.on_restart(deadline, |_| ()).routes());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (shut_down, told) = oneshot::channel();
        let serving = controller.clone();
        let ended = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let report = runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                serve(listener, app, &serving, async { drop(told.await) }, deadline).await
            });
            let at = Instant::now();
            drop(runtime);
            (report, at)
        });
        Self { controller, _gateway: gateway, address, shut_down: Some(shut_down), ended, _folder: folder }
    }

    fn connect(&self) -> BufReader<TcpStream> {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        BufReader::new(stream)
    }

    fn ask(&self, request: &str) -> BufReader<TcpStream> {
        let mut connection = self.connect();
        connection.get_mut().write_all(request.as_bytes()).unwrap();
        connection
    }

    fn get(&self, path: &str) -> BufReader<TcpStream> {
        self.ask(&format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n"))
    }

    fn in_flight(&self, wanted: u64) {
        let deadline = Instant::now() + LIMIT;
        while self.controller.gate().reading().in_flight != wanted {
            assert!(Instant::now() < deadline, "{:?}, and not {wanted}", self.controller.gate().reading());
            std::thread::yield_now();
        }
    }

    /// Tells it to shut down; gives how that ended, and how long it took.
    #[track_caller]
    fn end(mut self) -> (ShutdownReport, Duration) {
        let begun = Instant::now();
        drop(self.shut_down.take());
        let deadline = begun + LIMIT;
        while !self.ended.is_finished() {
            assert!(Instant::now() < deadline, "it never returns");
            std::thread::park_timeout(Duration::from_millis(1));
        }
        let (report, at) = self.ended.join().unwrap();
        (report, at - begun)
    }
}

fn line(connection: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    connection.read_line(&mut line).expect("a line");
    line
}

fn all(connection: &mut BufReader<TcpStream>) -> String {
    let mut all = String::new();
    connection.read_to_string(&mut all).expect("text, and then the end");
    all
}

const QUICK: &str = "GET /quick HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// What a client does that keeps its connection, and how much of it is in flight.
type Client = (&'static str, &'static str, u64);

const CLIENTS: [Client; 11] = [
    ("a connection that asks nothing", "", 0),
    ("half a head", "GET /quick HT", 0),
    ("a head without its end", "GET /quick HTTP/1.1\r\nhost: localhost\r\n", 0),
    ("half a body", "POST /quick HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\nhalf", 1),
    ("a handler that never answers", "GET /never HTTP/1.1\r\nhost: localhost\r\n\r\n", 1),
    ("a body that never comes", "GET /silent HTTP/1.1\r\nhost: localhost\r\n\r\n", 1),
    ("a body that never ends", "GET /endless HTTP/1.1\r\nhost: localhost\r\n\r\n", 1),
    ("a client that doesn't read", "GET /large HTTP/1.1\r\nhost: localhost\r\n\r\n", 1),
    (
        "a socket that stays open",
        "GET /socket HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        1,
    ),
    ("nothing but an old answer", "GET /quick HTTP/1.1\r\nhost: localhost\r\n\r\n", 0),
    ("more than was asked for", "POST /peer HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\nGET ", 0),
];

#[test]
fn whatever_a_client_does_a_shutdown_returns_within_its_deadline_and_says_what_it_left() {
    for (what, sent, held) in CLIENTS {
        let served = Served::start(Duration::from_millis(100));
        let _client = served.ask(sent);
        // What comes behind it has been taken in before it is told to shut down.
        let mut quick = served.get("/quick");
        assert!(line(&mut quick).starts_with("HTTP/1.1 200"), "{what}");
        drop(quick);
        served.in_flight(held);
        let (report, took) = served.end();
        assert_eq!(report.interrupted, held, "{what}: {report:?}");
        // The deadline, the grace, a second for what was answered, and what a busy machine takes.
        assert!(took < Duration::from_secs(8), "{what}: it took {took:?}");
    }
}

#[test]
fn many_clients_of_every_kind_at_once_hold_up_nothing_either() {
    let served = Served::start(Duration::from_millis(100));
    let clients: Vec<_> = (0..5).flat_map(|_| CLIENTS).map(|(_, sent, _)| served.ask(sent)).collect();
    let held = 5 * CLIENTS.iter().map(|(.., held)| held).sum::<u64>();
    served.in_flight(held);
    let (report, took) = served.end();
    assert_eq!(report.interrupted, held);
    assert!(took < Duration::from_secs(8), "it took {took:?}");
    drop(clients);
}

#[test]
fn a_client_that_is_done_sending_and_still_reads_holds_up_nothing() {
    for path in ["/never", "/silent", "/quick"] {
        let served = Served::start(Duration::from_millis(100));
        let client = served.get(path);
        client.get_ref().shutdown(Shutdown::Write).unwrap();
        let (_, took) = served.end();
        assert!(took < Duration::from_secs(8), "{path}: it took {took:?}");
    }
}

#[test]
fn work_that_can_finish_is_finished_and_its_answer_arrives_whole() {
    let served = Served::start(LIMIT);
    let mut slow = served.get("/slow");
    served.in_flight(1);
    let idle = served.get("/quick");
    let (report, took) = served.end();
    assert!(report.finished(), "{report:?}");
    assert!(took < Duration::from_secs(8), "an idle connection is waited for: {took:?}");
    let answer = all(&mut slow);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    drop(idle);
}

#[test]
fn while_it_shuts_down_new_work_is_refused_and_control_and_readiness_are_answered() {
    let mut served = Served::start(LIMIT);
    let slow = served.get("/endless");
    served.in_flight(1);
    drop(served.shut_down.take());
    let deadline = Instant::now() + LIMIT;
    while served.controller.state() == gateway_drain::DrainState::Running {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    for (path, answer) in [
        ("/quick", "HTTP/1.1 503"),
        ("/readyz", "HTTP/1.1 503"),
        ("/livez", "HTTP/1.1 200"),
        ("/api/status", "HTTP/1.1 200"),
    ] {
        assert!(line(&mut served.get(path)).starts_with(answer), "{path}");
    }
    drop(slow);
    let (report, _) = served.end();
    assert!(report.finished(), "its client has gone: {report:?}");
}

#[test]
fn a_shutdown_that_somebody_else_begins_ends_it_too() {
    let served = Served::start(Duration::from_millis(100));
    let restart = "POST /api/gateway/restart HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n";
    let mut answer = served.ask(restart);
    assert!(line(&mut answer).starts_with("HTTP/1.1 200"));
    let deadline = Instant::now() + LIMIT;
    while !served.ended.is_finished() {
        assert!(Instant::now() < deadline, "it goes on without a gateway");
        std::thread::park_timeout(Duration::from_millis(1));
    }
    let (report, _) = served.ended.join().unwrap();
    assert!(report.finished());
}

#[test]
fn when_the_gate_closes_kept_connections_end_with_their_next_answer_and_new_ones_are_told_why() {
    let served = Served::start(LIMIT);
    let mut kept: Vec<_> = (0..10).map(|_| served.get("/quick")).collect();
    for connection in &mut kept {
        assert!(line(connection).starts_with("HTTP/1.1 200"));
    }
    let id = RequestId::new("upgrade").unwrap();
    served.controller.request(&Request::begin(id.clone(), "ops")).unwrap();
    for connection in &mut kept {
        // It was idle, and its client's next request may have been on its way.
        connection.get_mut().write_all(QUICK.as_bytes()).unwrap();
        let rest = all(connection);
        let (_, answer) = rest.split_once("done").expect("the rest of the first answer");
        assert!(answer.starts_with("HTTP/1.1 503"), "a request of a kept connection is lost: {answer}");
    }
    let mut refused = served.get("/quick");
    assert!(all(&mut refused).starts_with("HTTP/1.1 503"));
    served.controller.request(&Request::withdraw(id, "ops")).unwrap();
    let mut again = served.get("/quick");
    assert!(line(&mut again).starts_with("HTTP/1.1 200"), "it takes work again");
    let mut peer =
        served.ask("POST /peer HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    assert!(all(&mut peer).ends_with("127.0.0.1"), "handlers know who asks");
    assert!(served.end().0.finished());
}

#[test]
fn a_first_request_that_is_on_its_way_when_the_gate_closes_is_answered() {
    let served = Served::start(LIMIT);
    let mut connected: Vec<_> = [0, 1, 8, QUICK.len() - 2].map(|sent| (sent, served.ask(&QUICK[..sent]))).into();
    // They are accepted in their order.
    let mut last = served.get("/quick");
    assert!(line(&mut last).starts_with("HTTP/1.1 200"));
    served.controller.request(&Request::begin(RequestId::new("upgrade").unwrap(), "ops")).unwrap();
    for (sent, connection) in &mut connected {
        connection.get_mut().write_all(&QUICK.as_bytes()[*sent..]).unwrap();
        assert!(all(connection).starts_with("HTTP/1.1 503"), "after {sent} bytes");
    }
    assert!(served.end().0.finished());
}

#[test]
fn what_passes_the_layer_by_is_answered_on_a_kept_connection_too_and_ends_it() {
    let served = Served::start(LIMIT);
    let status = "GET /api/status HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut kept = served.ask(status);
    assert!(line(&mut kept).starts_with("HTTP/1.1 200"));
    served.controller.request(&Request::begin(RequestId::new("upgrade").unwrap(), "ops")).unwrap();
    kept.get_mut().write_all(status.as_bytes()).unwrap();
    let answers = all(&mut kept);
    assert!(answers.contains("connection: close"), "its client isn't told to go: {answers}");
    assert!(served.end().0.finished());
}

#[test]
fn a_handlers_own_words_of_its_connection_keep_none_open_once_the_gate_has_closed() {
    let served = Served::start(LIMIT);
    let paths = ["/keep-alive", "/hop-by-hop", "/needs-upgrade", "/own-close"];
    let mut kept = paths.map(|path| (path, served.get("/livez")));
    for (_, connection) in &mut kept {
        assert!(line(connection).starts_with("HTTP/1.1 200"));
    }
    served.controller.request(&Request::begin(RequestId::new("upgrade").unwrap(), "ops")).unwrap();
    for (path, connection) in &mut kept {
        write!(connection.get_mut(), "GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        let answers = all(connection);
        let (_, answer) = answers[1..].split_once("HTTP/1.1 ").expect("a second answer");
        assert_eq!(answer.matches("close").count(), 1, "{path}: {answer}");
    }
    assert!(served.end().0.finished());
}

#[test]
fn an_upgrade_that_passes_the_layer_by_in_a_drain_is_an_upgrade_and_not_the_end() {
    let served = Served::start(LIMIT);
    let mut kept = ["GET /echo HTTP/1.1\r\nconnection: upgrade\r\nupgrade: echo\r\n", "CONNECT /echo HTTP/1.1\r\n"]
        .map(|asks| (asks, served.get("/livez")));
    for (_, connection) in &mut kept {
        assert!(line(connection).starts_with("HTTP/1.1 200"));
    }
    served.controller.request(&Request::begin(RequestId::new("upgrade").unwrap(), "ops")).unwrap();
    for (asks, connection) in &mut kept {
        write!(connection.get_mut(), "{asks}host: localhost\r\n\r\necho").unwrap();
        let answers = all(connection);
        assert!(answers.ends_with("\r\n\r\necho") && !answers.contains("close"), "{asks}: {answers}");
    }
    assert!(served.end().0.finished());
}

/// Connections without a network, so that a paused clock passes by itself.
struct Pipes(mpsc::Receiver<DuplexStream>);

impl axum::serve::Listener for Pipes {
    type Io = DuplexStream;
    type Addr = ();

    async fn accept(&mut self) -> (DuplexStream, ()) {
        match self.0.recv().await {
            Some(pipe) => (pipe, ()),
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_asks_nothing_whole_for_75_seconds_is_closed_and_one_that_asked_is_answered() {
    for (sent, later) in
        [("", ""), ("P", ""), ("PRI * HTTP/2.0\r\n", ""), ("GET /quick HT", ""), (QUICK, ""), ("", QUICK)]
    {
        let (connect, pipes) = mpsc::channel(1);
        let quick = Router::new().route("/quick", any("done"));
        let controller = Controller::new();
        let serving =
            tokio::spawn(async move { serve(Pipes(pipes), quick, &controller, std::future::pending(), LIMIT).await });
        let (mut client, server) = tokio::io::duplex(1024);
        connect.send(server).await.unwrap();
        let begun = tokio::time::Instant::now();
        client.write_all(sent.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(70)).await;
        client.write_all(later.as_bytes()).await.unwrap();
        let mut answers = String::new();
        let limit = tokio::time::timeout(Duration::from_secs(3600), client.read_to_string(&mut answers));
        limit.await.unwrap_or_else(|_| panic!("{sent:?} keeps its connection for ever")).unwrap();
        let asked = u64::from(!later.is_empty()) * 70;
        let idle = begun.elapsed().as_secs() - asked;
        assert!((74..78).contains(&idle), "{sent:?}: closed after {idle} s");
        assert_eq!(answers.contains("200 OK"), [sent, later].contains(&QUICK), "{sent:?}: {answers}");
        serving.abort();
    }
}

#[test]
fn a_connection_that_was_idle_throughout_a_drain_is_kept_when_the_gate_opens_again() {
    let served = Served::start(LIMIT);
    let mut kept = served.get("/quick");
    assert!(line(&mut kept).starts_with("HTTP/1.1 200"));
    let id = RequestId::new("upgrade").unwrap();
    served.controller.request(&Request::begin(id.clone(), "ops")).unwrap();
    served.controller.request(&Request::withdraw(id, "ops")).unwrap();
    // What was told of the drain has arrived with every connection that was there.
    assert!(line(&mut served.get("/quick")).starts_with("HTTP/1.1 200"));
    kept.get_mut().write_all(QUICK.as_bytes()).unwrap();
    kept.get_mut().write_all(QUICK.replace("host:", "connection: close\r\nhost:").as_bytes()).unwrap();
    assert_eq!(all(&mut kept).matches("HTTP/1.1 200").count(), 2, "it was sent away though the gate is open");
    assert!(served.end().0.finished());
}
