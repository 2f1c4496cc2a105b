//! A layer that ends what has no end of its own. What is interrupted: any server under it comes to its end within the shutdown's deadline (L4), and no
//! client takes a part for the whole. And streams of events, which hold up no drain.

#![cfg(feature = "tower")]

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::Request;
use axum::routing::{any, get};
use futures_util::{StreamExt, stream};
use gateway_drain::controller::{Settings, ShutdownReport};
use gateway_drain::layer::{Admitted, DrainLayer};
use gateway_drain::reconciler::Options;
use gateway_drain::{Controller, Home, Reconciler};
use http_body_util::BodyExt;
use std::convert::Infallible;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tower_service::Service;

const LIMIT: Duration = Duration::from_secs(30);
/// Long, for who ends when it is interrupted; and short, for who doesn't.
const GRACE: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(300);

fn lines(said: Arc<AtomicUsize>) -> Body {
    Body::from_stream(stream::repeat(said).then(async |said| {
        tokio::time::sleep(Duration::from_millis(5)).await;
        said.fetch_add(1, Ordering::SeqCst);
        Ok::<_, Infallible>(Bytes::from_static(b"line\n"))
    }))
}

/// Says its last words when it is interrupted.
async fn polite(admitted: Admitted) -> Body {
    let lines = stream::iter([Bytes::from_static(b"line\n")]).chain(stream::once(async move {
        admitted.interrupted().await;
        Bytes::from_static(b"interrupted\n")
    }));
    Body::from_stream(lines.map(Ok::<_, Infallible>))
}

/// Tells when it is dropped.
struct Dropped(Arc<AtomicBool>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

async fn never(State(dropped): State<Arc<AtomicBool>>) {
    let _dropped = Dropped(dropped);
    std::future::pending::<()>().await;
}

/// An application on axum's own server, which waits for every response.
struct Served {
    gateway: Reconciler,
    address: SocketAddr,
    ended: std::thread::JoinHandle<()>,
    dropped: Arc<AtomicBool>,
    lines: Arc<AtomicUsize>,
    _folder: tempfile::TempDir,
}

impl Served {
    fn start(grace: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings { interrupt_grace: grace, ..Settings::default() };
        let options = Options { tick: Duration::from_millis(20), settings, ..Options::default() };
        let gateway = Reconciler::start(Home::at(folder.path()), options).unwrap();
        let (dropped, said) = (Arc::default(), Arc::default());
        let app = Router::new()
            .route("/never", get(never))
            .route("/silent", get(async || Body::from_stream(stream::pending::<Result<Bytes, Infallible>>())))
            .route(
                "/lines",
                get({
                    let said = Arc::clone(&said);
                    move || std::future::ready(lines(Arc::clone(&said)))
                }),
            )
            .route(
                "/flood",
                get(async || {
                    Body::from_stream(stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from_static(b"line\n"))))
                }),
            )
            .route("/polite", get(polite))
            .with_state(Arc::clone(&dropped))
            .layer(DrainLayer::of(gateway.controller()).shared().end_interrupted());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let stopped = gateway.controller().stopped();
        let ended = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, app).with_graceful_shutdown(async { _ = stopped.await }).await.unwrap();
            });
        });
        Self { gateway, address, ended, dropped, lines: said, _folder: folder }
    }

    /// A client that reads whatever comes, to the end of the connection.
    fn get(&self, path: &str, more: &str) -> std::thread::JoinHandle<Vec<u8>> {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\n{more}\r\n").unwrap();
        std::thread::spawn(move || {
            let (mut head, mut buffer) = (Vec::new(), vec![0; 65_536]);
            // A reset counts as the end; of a flood the beginning and the end are enough.
            loop {
                let read = match stream.read(&mut buffer) {
                    Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                    Ok(0) | Err(_) => break,
                    Ok(read) => read,
                };
                if head.len() > 1_000_000 {
                    head.drain(..500_000);
                }
                head.extend_from_slice(&buffer[..read]);
            }
            head
        })
    }

    /// That the body of lines has said so many more.
    fn said(&self, more: usize) {
        let (deadline, before) = (Instant::now() + LIMIT, self.lines.load(Ordering::SeqCst));
        while self.lines.load(Ordering::SeqCst) < before + more {
            assert!(Instant::now() < deadline, "it has stopped");
            std::thread::yield_now();
        }
    }

    fn in_flight(&self, wanted: u64) {
        let deadline = Instant::now() + LIMIT;
        while self.gateway.gate().reading().in_flight != wanted {
            assert!(Instant::now() < deadline, "{:?}, and not {wanted}", self.gateway.gate().reading());
            std::thread::yield_now();
        }
    }

    #[track_caller]
    fn end(&self) -> ShutdownReport {
        self.gateway.controller().begin_shutdown(Duration::from_millis(100)).unwrap();
        let report = self.gateway.controller().stopped().wait();
        let deadline = Instant::now() + LIMIT;
        while !self.ended.is_finished() {
            assert!(Instant::now() < deadline, "the server never returns");
            std::thread::park_timeout(Duration::from_millis(1));
        }
        report
    }
}

/// Whether a body that came in chunks came to its end.
fn is_whole(answer: &[u8]) -> bool {
    answer.ends_with(b"\r\n0\r\n\r\n")
}

#[test]
fn a_handler_that_never_answers_is_dropped_and_answered_for() {
    let served = Served::start(GRACE);
    let client = served.get("/never", "");
    served.in_flight(1);
    assert!(!served.dropped.load(Ordering::SeqCst));
    let report = served.end();
    assert_eq!((report.interrupted, report.abandoned.in_flight), (1, 0), "{report:?}");
    let answer = String::from_utf8(client.join().unwrap()).unwrap().to_lowercase();
    assert!(answer.starts_with("http/1.1 503") && answer.contains("\"error\":\"interrupted\""), "{answer}");
    assert!(answer.contains("connection: close") && !answer.contains("retry-after"), "the work had begun: {answer}");
    assert!(served.dropped.load(Ordering::SeqCst), "the handler goes on uncounted");
}

#[test]
fn a_body_that_never_ends_is_cut_off_and_its_client_can_tell() {
    for (path, waits) in [("/silent", true), ("/lines", true), ("/flood", false)] {
        let served = Served::start(if waits { GRACE } else { SHORT });
        let client = served.get(path, "");
        served.in_flight(1);
        let report = served.end();
        assert_eq!(report.interrupted, 1, "{path}: {report:?}");
        assert_eq!(report.abandoned.in_flight, u64::from(!waits), "{path}: {report:?}");
        let answer = client.join().unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200") || path == "/flood", "{path}");
        assert!(!is_whole(&answer), "{path}: the client takes a part for the whole");
    }
}

#[test]
fn what_work_says_at_once_when_it_is_interrupted_arrives_and_its_answer_is_whole() {
    let served = Served::start(GRACE);
    let client = served.get("/polite", "");
    served.in_flight(1);
    let report = served.end();
    assert_eq!((report.interrupted, report.abandoned.in_flight), (1, 0), "{report:?}");
    let answer = client.join().unwrap();
    assert!(is_whole(&answer), "{}", String::from_utf8_lossy(&answer));
    assert!(String::from_utf8_lossy(&answer).contains("interrupted\n"));
}

#[tokio::test]
async fn a_grpc_call_ends_with_a_status_of_grpc() {
    let controller = Controller::new();
    let app = Router::new()
        .route("/never", get(async || std::future::pending::<()>().await))
        .route("/silent", get(async || Body::from_stream(stream::pending::<Result<Bytes, Infallible>>())))
        .layer(DrainLayer::of(&controller).end_interrupted());
    let ask = |path| {
        let request = Request::get(path).header("content-type", "application/grpc+proto").body(Body::empty()).unwrap();
        app.clone().call(request)
    };
    let streaming = ask("/silent").await.unwrap();
    let unary = tokio::spawn(ask("/never"));
    while controller.gate().reading().in_flight < 2 {
        tokio::task::yield_now().await;
    }
    controller.begin_shutdown(Duration::ZERO).unwrap();
    controller.settle();

    let unary = unary.await.unwrap().unwrap();
    assert_eq!(
        (&unary.headers()["grpc-status"], &unary.headers()["content-type"]),
        (&"14".parse().unwrap(), &"application/grpc+proto".parse().unwrap())
    );
    let collected = streaming.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["grpc-status"], "14");
    assert_eq!(controller.gate().reading().in_flight, 0);
}

#[test]
fn a_drain_interrupts_nothing() {
    let served = Served::start(GRACE);
    let client = served.get("/lines", "");
    served.in_flight(1);
    let controller: &Controller = served.gateway.controller();
    let begin = gateway_drain::Request::begin(gateway_drain::RequestId::new("upgrade").unwrap(), "ops");
    controller.request(&begin).unwrap();
    served.said(20);
    assert_eq!(served.gateway.gate().reading().in_flight, 1);
    assert!(!client.is_finished());
    let _ = served.end();
}

/// A stream of events under the layer, to `method`, as a client that accepts `accepts` opens it.
async fn open(app: &Router, method: &str, accepts: &str) -> axum::response::Response {
    let request =
        Request::builder().method(method).uri("/events").header("accept", accepts).body(Body::empty()).unwrap();
    app.clone().call(request).await.unwrap()
}

#[tokio::test]
async fn a_stream_of_events_ends_as_a_whole_when_a_drain_begins_and_its_client_is_told_to_come_back() {
    let controller = Controller::new();
    let events = async || {
        let first = stream::iter([Bytes::from_static(b"data: first\n\n")]);
        let body = Body::from_stream(first.chain(stream::pending()).map(Ok::<_, Infallible>));
        ([("content-type", "text/event-stream; charset=utf-8")], body)
    };
    let app = Router::new().route("/events", any(events)).layer(DrainLayer::of(&controller).end_event_streams());
    let standing = open(&app, "GET", "text/html, text/event-stream").await;
    let turn = open(&app, "POST", "application/json, text/event-stream").await;
    let page = open(&app, "GET", "text/html").await;
    assert_eq!(controller.gate().reading().in_flight, 3);
    let read = tokio::spawn(standing.into_body().collect());
    let begin = gateway_drain::Request::begin(gateway_drain::RequestId::new("upgrade").unwrap(), "ops");
    controller.request(&begin).unwrap();
    let whole = read.await.unwrap().expect("it ended as a whole").to_bytes();
    assert_eq!(whole, "data: first\n\n");
    assert_eq!(controller.gate().reading().in_flight, 2, "a turn, and what asked for a page, are waited for");
    drop((turn, page));
    assert!(controller.gate().reading().drained);

    let later = open(&app, "GET", "text/event-stream").await;
    assert_eq!(
        (later.status().as_u16(), &later.headers()["content-type"]),
        (200, &"text/event-stream".parse().unwrap())
    );
    let text = later.into_body().collect().await.unwrap().to_bytes();
    let millis: u64 = str::from_utf8(&text).unwrap().strip_prefix("retry: ").unwrap().trim().parse().unwrap();
    assert!((3000..8000).contains(&millis));
    assert_eq!(open(&app, "POST", "text/event-stream").await.status(), 503);
    assert_eq!(open(&app, "GET", "text/html").await.status(), 503);
}
