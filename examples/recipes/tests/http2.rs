//! HTTP/2 on `http::serve`, with the layer: clients are sent away when a drain begins, refusals speak HTTP/2, uploads are bounded.

use ::http::{Request, StatusCode};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::{any, get};
use futures_util::{StreamExt, stream};
use gateway_drain::controller::ShutdownReport;
use gateway_drain::layer::DrainLayer;
use gateway_drain::{Controller, RequestId, http};
use http_body_util::BodyExt;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(60);

struct Served {
    controller: Controller,
    address: SocketAddr,
    /// What a slow turn waits for.
    goes_on: Arc<Semaphore>,
    ended: JoinHandle<ShutdownReport>,
}

impl Served {
    async fn start() -> Self {
        let (controller, goes_on) = (Controller::new(), Arc::new(Semaphore::new(0)));
        let waits = Arc::clone(&goes_on);
        let slow = async move || waits.acquire().await.map(|_| "done").unwrap_or_default();
        let app = Router::new()
            .route("/quick", any(async |_: Bytes| "done"))
            .route("/slow", get(slow))
            .route("/endless", get(async || Body::from_stream(stream::pending::<Result<Bytes, Infallible>>())))
            .layer(DrainLayer::of(&controller).end_interrupted());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = controller.clone();
        let ended = tokio::spawn(async move {
            http::serve(listener, app, &serving, std::future::pending(), Duration::from_millis(100)).await
        });
        Self { controller, address, goes_on, ended }
    }

    /// A connection of HTTP/2, and the task that ends with it.
    async fn connect(&self) -> (SendRequest<Body>, JoinHandle<hyper::Result<()>>) {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        (sender, tokio::spawn(connection))
    }

    async fn in_flight(&self, wanted: u64) {
        let is_so = async {
            while self.controller.gate().reading().in_flight != wanted {
                tokio::task::yield_now().await;
            }
        };
        timeout(LIMIT, is_so).await.expect("that many in flight");
    }

    fn close(&self) {
        let begin = gateway_drain::Request::begin(RequestId::new("upgrade").unwrap(), "ops");
        self.controller.request(&begin).unwrap();
    }
}

fn get_of(path: &str) -> Request<Body> {
    Request::get(format!("http://localhost{path}")).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn when_a_drain_begins_a_connection_is_sent_away_after_what_is_under_way() {
    let served = Served::start().await;
    let (mut sender, connection) = served.connect().await;
    assert_eq!(sender.send_request(get_of("/quick")).await.unwrap().status(), StatusCode::OK);
    let slow = sender.send_request(get_of("/slow"));
    let slow = tokio::spawn(slow);
    served.in_flight(1).await;
    served.close();
    // GOAWAY: it takes nothing new, and ends by itself after the answer that is under way.
    served.goes_on.add_permits(1);
    let answer = slow.await.unwrap().expect("the turn under way is answered");
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "done");
    timeout(LIMIT, connection).await.expect("the connection was not sent away").unwrap().expect("it ended in peace");
    assert!(sender.send_request(get_of("/quick")).await.is_err(), "it takes new requests");
    assert!(served.controller.gate().reading().drained);
}

#[tokio::test]
async fn a_connection_on_which_nothing_was_asked_before_the_drain_is_sent_away_with_its_first_refusal() {
    let served = Served::start().await;
    let (mut sender, connection) = served.connect().await;
    // One that was opened later has been answered: so the first is accepted.
    let (mut later, _) = served.connect().await;
    assert_eq!(later.send_request(get_of("/quick")).await.unwrap().status(), StatusCode::OK);
    served.close();
    let refused = sender.send_request(get_of("/quick")).await.expect("its first request is answered");
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    drop(refused);
    timeout(LIMIT, connection).await.expect("the connection was not sent away").unwrap().expect("it ended in peace");
}

#[tokio::test]
async fn a_refusal_has_no_header_of_http_1_and_its_connection_stays() {
    let served = Served::start().await;
    served.close();
    let (mut sender, connection) = served.connect().await;
    for _ in 0..3 {
        let refused = sender.send_request(get_of("/quick")).await.unwrap();
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(!refused.headers().contains_key("connection") && refused.headers().contains_key("retry-after"));
        assert!(
            String::from_utf8_lossy(&refused.into_body().collect().await.unwrap().to_bytes()).contains("\"draining\"")
        );
    }
    assert!(!connection.is_finished());
}

#[tokio::test]
async fn a_refused_upload_is_taken_in_to_a_bound_and_spoils_nothing_else_on_its_connection() {
    let served = Served::start().await;
    served.close();
    let (mut sender, _connection) = served.connect().await;
    for (parts, whole) in [(16, true), (1024, false)] {
        let taken = Arc::new(AtomicUsize::new(0));
        let counts = Arc::clone(&taken);
        let part = Bytes::from(vec![b'x'; 65_536]);
        let body = stream::iter(0..parts).map(move |_| {
            counts.fetch_add(65_536, Ordering::SeqCst);
            Ok::<_, Infallible>(part.clone())
        });
        let upload = Request::post("http://localhost/quick").body(Body::from_stream(body)).unwrap();
        let refused = timeout(LIMIT, sender.send_request(upload)).await.expect("it is answered").unwrap();
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        let said = timeout(LIMIT, refused.into_body().collect()).await.expect("the answer ends");
        assert!(said.is_ok(), "the client lost the refusal: {said:?}");
        let taken = taken.load(Ordering::SeqCst);
        // 8 MiB, and what lies in windows and buffers.
        assert!(taken < 12 * 1024 * 1024, "{taken} bytes of an upload that nobody wants");
        assert!(!whole || taken == parts * 65_536);
        let next = sender.send_request(get_of("/quick")).await.unwrap();
        assert_eq!(next.status(), StatusCode::SERVICE_UNAVAILABLE);
    }
}

#[tokio::test]
async fn a_shutdown_resets_what_is_interrupted_and_ends() {
    let served = Served::start().await;
    let (mut sender, _connection) = served.connect().await;
    let endless = sender.send_request(get_of("/endless")).await.unwrap();
    served.in_flight(1).await;
    served.controller.begin_shutdown(Duration::from_millis(50)).unwrap();
    assert!(
        timeout(LIMIT, endless.into_body().collect()).await.expect("it ends").is_err(),
        "a part is taken for the whole"
    );
    let report = timeout(LIMIT, served.ended).await.expect("it returns").unwrap();
    assert_eq!((report.interrupted, report.abandoned.in_flight), (1, 0), "{report:?}");
}
