//! The tower layer beside what stands around it and inside it: handlers that take their time, bodies of every kind, other
//! layers, upgrades, uploads.

#![cfg(feature = "tower")]

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, Response, StatusCode, Version, header};
use axum::routing::{any, get};
use bytes::Bytes;
use gateway_drain::layer::{Admitted, DrainBody, DrainLayer, Slot};
use gateway_drain::{Controller, DrainState, RequestId};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use tower_layer::Layer;
use tower_service::Service;

const LIMIT: Duration = Duration::from_secs(30);

/// A service made of a closure.
#[derive(Clone)]
struct Handler<H>(H);

impl<H, F, B, R> Service<Request<B>> for Handler<H>
where
    H: FnMut(Request<B>) -> F,
    F: Future<Output = Response<R>> + Send + 'static,
    R: 'static,
{
    type Response = Response<R>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let answer = (self.0)(request);
        Box::pin(async move { Ok(answer.await) })
    }
}

/// A body that gives what it is told to give, and waits in between.
struct Told(mpsc::UnboundedReceiver<Frame<Bytes>>);

impl http_body::Body for Told {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|frame| frame.map(Ok))
    }
}

fn noop() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

fn in_flight(controller: &Controller) -> u64 {
    controller.gate().reading().in_flight
}

fn layer(controller: &Controller) -> DrainLayer {
    DrainLayer::new(controller.gate().clone())
}

fn empty() -> Request<Full<Bytes>> {
    Request::new(Full::default())
}

fn close(controller: &Controller) {
    let request = gateway_drain::Request::begin(RequestId::new("upgrade").unwrap(), "ops");
    controller.request(&request).unwrap();
}

#[test]
fn a_handler_that_takes_its_time_is_in_flight_from_its_call_to_its_answer() {
    let controller = Controller::new();
    let (go, mut gone) = mpsc::unbounded_channel::<()>();
    let mut gone = Some(std::mem::replace(&mut gone, mpsc::unbounded_channel().1));
    let mut service = layer(&controller).layer(Handler(|_: Request<Full<Bytes>>| {
        let mut gone = gone.take().expect("one call");
        async move {
            for _ in 0..3 {
                gone.recv().await;
            }
            Response::new(Full::<Bytes>::default())
        }
    }));
    let mut answer = pin!(service.call(empty()));
    for _ in 0..3 {
        assert!(answer.as_mut().poll(&mut noop()).is_pending());
        assert!(answer.as_mut().poll(&mut noop()).is_pending(), "however often it is asked");
        assert_eq!(in_flight(&controller), 1, "it was given back while the handler works");
        go.send(()).unwrap();
    }
    let Poll::Ready(Ok(response)) = answer.as_mut().poll(&mut noop()) else { panic!("it has answered") };
    assert_eq!(in_flight(&controller), 1, "the body has not been read");
    drop(response);
    assert_eq!(in_flight(&controller), 0);
}

#[test]
fn a_body_that_waits_and_ends_with_trailers_is_in_flight_to_its_very_end() {
    let controller = Controller::new();
    let (tell, told) = mpsc::unbounded_channel();
    let mut told = Some(Told(told));
    let mut service = layer(&controller).layer(Handler(|_: Request<Full<Bytes>>| {
        let body = told.take().expect("one call");
        async move { Response::new(body) }
    }));
    let mut answer = pin!(service.call(empty()));
    let Poll::Ready(Ok(response)) = answer.as_mut().poll(&mut noop()) else { panic!("it has answered") };
    let mut body = pin!(response.into_body());
    assert!(body.as_mut().poll_frame(&mut noop()).is_pending());
    assert_eq!(in_flight(&controller), 1);
    tell.send(Frame::data(Bytes::from_static(b"one"))).unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    tell.send(Frame::trailers(trailers)).unwrap();
    for kind in ["data", "trailers"] {
        let Poll::Ready(Some(Ok(frame))) = body.as_mut().poll_frame(&mut noop()) else { panic!("{kind}") };
        assert_eq!((frame.is_data(), frame.is_trailers()), (kind == "data", kind == "trailers"));
        assert_eq!(in_flight(&controller), 1, "after {kind}");
    }
    assert!(body.as_mut().poll_frame(&mut noop()).is_pending());
    assert_eq!(in_flight(&controller), 1, "more may come");
    drop(tell);
    assert!(matches!(body.as_mut().poll_frame(&mut noop()), Poll::Ready(None)));
    assert_eq!(in_flight(&controller), 0, "it has ended, although the server has not dropped it");
}

#[test]
fn a_body_of_any_data_is_carried_and_an_empty_one_can_be_made() {
    let controller = Controller::new();
    let handler = |_: Request<Full<Bytes>>| async { Response::new(Full::<&'static [u8]>::new(b"static")) };
    let mut service = layer(&controller).layer(Handler(handler));
    let mut answer = pin!(service.call(empty()));
    let Poll::Ready(Ok(response)) = answer.as_mut().poll(&mut noop()) else { panic!("it has answered") };
    assert_eq!(response.body().size_hint().exact(), Some(6));
    let mut body = pin!(response.into_body().collect());
    let Poll::Ready(Ok(collected)) = body.as_mut().poll(&mut noop()) else { panic!("it is all there") };
    assert_eq!(collected.to_bytes(), "static");

    let nothing = DrainBody::<Full<Bytes>>::default();
    assert!(nothing.is_end_stream());
    assert_eq!(nothing.size_hint().exact(), Some(0));
}

/// The layer within and without one that gives up after a time, and within one that answers by itself.
#[tokio::test]
async fn other_layers_go_around_it_and_into_it() {
    let controller = Controller::new();
    let slow = |_: Request<Full<Bytes>>| async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        Response::new(Full::<Bytes>::default())
    };
    let timeout =
        tower_http::timeout::TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, Duration::from_millis(50));
    let mut outside = timeout.layer(layer(&controller).layer(Handler(slow)));
    let response = outside.call(empty()).await.unwrap();
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(in_flight(&controller), 0, "the work that was given up is none");

    let mut inside = layer(&controller).layer(timeout.layer(Handler(slow)));
    let response = inside.call(empty()).await.unwrap();
    assert_eq!((response.status(), in_flight(&controller)), (StatusCode::GATEWAY_TIMEOUT, 1));
    drop(response);
    assert_eq!(in_flight(&controller), 0);

    let mut cors = tower_http::cors::CorsLayer::permissive().layer(layer(&controller).layer(Handler(slow)));
    let preflight = Request::builder().method(Method::OPTIONS).header(header::ORIGIN, "http://a.page");
    let preflight = preflight.header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST").body(Full::default()).unwrap();
    assert_eq!(cors.call(preflight).await.unwrap().status(), StatusCode::OK);
    assert_eq!(in_flight(&controller), 0, "the other layer has answered");
}

#[test]
fn a_refusal_speaks_the_protocol_that_it_was_asked_in() {
    let controller = Controller::new();
    close(&controller);
    let mut service =
        layer(&controller).layer(Handler(|_: Request<Full<Bytes>>| async { Response::new(Full::<Bytes>::default()) }));
    for kind in
        ["application/grpc", "application/grpc+proto", "application/grpc-web+proto", "application/grpc-web-text"]
    {
        let mut request = empty();
        request.headers_mut().insert(header::CONTENT_TYPE, kind.parse().unwrap());
        let mut answer = pin!(service.call(request));
        let Poll::Ready(Ok(response)) = answer.as_mut().poll(&mut noop()) else { panic!("at once") };
        assert_eq!(response.headers()[header::CONTENT_TYPE], kind);
        assert_eq!((response.status(), &response.headers()["grpc-status"]), (StatusCode::OK, &"14".parse().unwrap()));
    }
}

#[test]
fn from_when_a_hold_is_about_to_close_the_gate_http_1_is_told_to_close_its_connections() {
    let controller = Controller::new();
    let mut service = DrainLayer::of(&controller)
        .layer(Handler(|_: Request<Full<Bytes>>| async { Response::new(Full::<Bytes>::default()) }));
    let mut told = |version| {
        let mut request = empty();
        *request.version_mut() = version;
        let mut answer = pin!(service.call(request));
        let Poll::Ready(Ok(response)) = answer.as_mut().poll(&mut noop()) else { panic!("at once") };
        (response.status(), response.headers().get(header::CONNECTION).is_some_and(|told| told == "close"))
    };
    assert_eq!(told(Version::HTTP_11), (StatusCode::OK, false), "while it is open");
    let id = RequestId::new("upgrade").unwrap();
    let begin = gateway_drain::Request::begin(id.clone(), "ops").unready_delay(Duration::from_secs(600));
    controller.request(&begin).unwrap();
    assert_eq!(controller.state(), DrainState::Running);
    for (version, closes) in [(Version::HTTP_10, true), (Version::HTTP_11, true), (Version::HTTP_2, false)] {
        assert_eq!(told(version), (StatusCode::OK, closes), "{version:?}");
    }
    controller.request(&gateway_drain::Request::withdraw(id, "ops")).unwrap();
    assert_eq!(told(Version::HTTP_11), (StatusCode::OK, false), "once it is withdrawn");
}

fn serve(app: Router) -> (Runtime, SocketAddr) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(async move { axum::serve(listener, app).await });
    (runtime, address)
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream
}

/// The head of an answer.
fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("the head of an answer");
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

async fn echo(upgrade: hyper::upgrade::OnUpgrade) {
    let Ok(upgraded) = upgrade.await else { return };
    let (mut from, mut to) = tokio::io::split(TokioIo::new(upgraded));
    let _ = tokio::io::copy(&mut from, &mut to).await;
}

fn switching() -> Response<Body> {
    let response = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
    let response = response.header(header::CONNECTION, "upgrade").header(header::UPGRADE, "echo");
    response.body(Body::empty()).unwrap()
}

/// Every way in which a handler can deal with its slot. An upgrade is made exactly where somebody keeps the permit for it.
#[test]
fn an_upgraded_connection_counts_exactly_when_its_slot_was_taken() {
    let controller = Controller::new();
    let slot = |request: &axum::extract::Request| request.extensions().get::<Slot>().cloned().expect("a slot");
    let app = Router::new()
        // As hyper's own example has it: the whole request goes into the task, and is dropped by `on`.
        .route(
            "/untaken",
            any(async |request: axum::extract::Request| {
                tokio::spawn(async move { echo(hyper::upgrade::on(request)).await });
                switching()
            }),
        )
        // The request lives for as long as the connection, and keeps nothing.
        .route(
            "/request-kept",
            any(async |mut request: axum::extract::Request| {
                tokio::spawn(async move {
                    echo(hyper::upgrade::on(&mut request)).await;
                    drop(request);
                });
                switching()
            }),
        )
        .route(
            "/slot-kept",
            any(async move |mut request: axum::extract::Request| {
                let slot = slot(&request);
                tokio::spawn(async move {
                    echo(hyper::upgrade::on(&mut request)).await;
                    drop(slot);
                });
                switching()
            }),
        )
        .route(
            "/taken-and-dropped",
            any(async move |mut request: axum::extract::Request| {
                drop(slot(&request).keep());
                tokio::spawn(async move { echo(hyper::upgrade::on(&mut request)).await });
                switching()
            }),
        )
        .route(
            "/taken",
            any(async move |mut request: axum::extract::Request| {
                let admitted = slot(&request).keep();
                tokio::spawn(async move {
                    echo(hyper::upgrade::on(&mut request)).await;
                    drop(admitted);
                });
                switching()
            }),
        )
        .route(
            "/extracted",
            any(async |admitted: Admitted, mut request: axum::extract::Request| {
                tokio::spawn(async move {
                    echo(hyper::upgrade::on(&mut request)).await;
                    drop(admitted);
                });
                switching()
            }),
        )
        .layer(layer(&controller));
    let (_runtime, address) = serve(app);
    let upgrade = |path: &str| {
        let mut stream = connect(address);
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n").unwrap();
        let head = head(&mut stream);
        (stream, head)
    };
    for path in ["/untaken", "/request-kept", "/slot-kept", "/taken-and-dropped"] {
        for _ in 0..10 {
            let (_stream, head) = upgrade(path);
            assert!(head.starts_with("HTTP/1.1 500"), "{path}: it would go on uncounted: {head}");
        }
    }
    let mut open = Vec::new();
    for path in ["/taken", "/extracted"] {
        for _ in 0..10 {
            let (mut stream, head) = upgrade(path);
            assert!(head.starts_with("HTTP/1.1 101"), "{path}: {head}");
            stream.write_all(b"ping").unwrap();
            let mut pong = [0; 4];
            stream.read_exact(&mut pong).unwrap();
            open.push(stream);
        }
    }
    close(&controller);
    assert_eq!(in_flight(&controller), 20, "each open one, and no other");
    drop(open);
    let generation = controller.gate().reading().generation;
    controller.gate().drained(generation).wait_timeout(LIMIT).expect("drained once all have closed");
}

#[test]
fn a_tunnel_counts_exactly_when_its_slot_was_taken() {
    let controller = Controller::new();
    let mut service = layer(&controller).layer(Handler(|request: Request<Full<Bytes>>| {
        let slot = request.extensions().get::<Slot>().cloned().expect("a slot");
        let keeps = request.uri().host() == Some("kept");
        async move {
            let admitted = keeps.then(|| slot.keep().expect("the layer waits for the answer"));
            let mut response = Response::new(Full::<Bytes>::default());
            response.extensions_mut().insert(admitted);
            response
        }
    }));
    for (host, status) in [("kept", StatusCode::OK), ("lost", StatusCode::INTERNAL_SERVER_ERROR)] {
        let request =
            Request::builder().method(Method::CONNECT).uri(format!("{host}:443")).body(Full::default()).unwrap();
        let mut answer = pin!(service.call(request));
        let Poll::Ready(Ok(response)) = answer.as_mut().poll(&mut noop()) else { panic!("at once") };
        assert_eq!(response.status(), status);
        let (parts, body) = response.into_parts();
        drop(body);
        assert_eq!(
            in_flight(&controller),
            u64::from(status.is_success()),
            "the answer's body has ended, the tunnel not"
        );
        drop(parts);
        assert_eq!(in_flight(&controller), 0);
    }
}

#[test]
fn a_slot_gives_nothing_once_the_response_has_ended() {
    let controller = Controller::new();
    let (taken, mut take) = oneshot::channel();
    let mut taken = Some(taken);
    let mut service = layer(&controller).shared().layer(Handler(|request: Request<Full<Bytes>>| {
        let slot = request.extensions().get::<Slot>().cloned().expect("a slot");
        let _ = taken.take().expect("one call").send(slot);
        async { Response::new(Full::<Bytes>::default()) }
    }));
    let mut answer = Box::pin(service.call(empty()));
    let slot = take.try_recv().unwrap();
    let Poll::Ready(Ok(response)) = answer.as_mut().poll(&mut noop()) else { panic!("at once") };
    let kept = slot.keep().expect("the response has not ended");
    drop(response);
    assert_eq!(in_flight(&controller), 1);
    drop(kept);
    assert_eq!(in_flight(&controller), 0);
    assert!(slot.keep().is_none(), "what has ended does not begin again");
}

#[test]
fn without_a_layer_around_it_a_handler_that_wants_a_permit_is_an_error_and_not_uncounted_work() {
    let app = Router::new().route("/", get(async |_: Admitted| "begun"));
    let (_runtime, address) = serve(app);
    let mut stream = connect(address);
    write!(stream, "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    assert!(head(&mut stream).starts_with("HTTP/1.1 500"));
}

/// A client that sends all of its body before it looks for an answer, as Python's does.
#[test]
fn the_refusal_of_an_upload_reaches_a_client_that_sends_all_before_it_listens() {
    let controller = Controller::new();
    close(&controller);
    let (_runtime, address) = serve(Router::new().route("/", any(async || "done")).layer(layer(&controller)));
    for chunked in [false, true] {
        for _ in 0..5 {
            let mut stream = connect(address);
            let length = 5_000_000;
            let head_of_request =
                if chunked { "transfer-encoding: chunked".into() } else { format!("content-length: {length}") };
            write!(stream, "POST / HTTP/1.1\r\nhost: x\r\n{head_of_request}\r\n\r\n").unwrap();
            let part = vec![b'x'; 50_000];
            for _ in 0..length / part.len() {
                if chunked {
                    write!(stream, "{:x}\r\n", part.len()).unwrap();
                }
                stream.write_all(&part).expect("the server takes in the rest");
                if chunked {
                    stream.write_all(b"\r\n").unwrap();
                }
            }
            if chunked {
                stream.write_all(b"0\r\n\r\n").unwrap();
            }
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("the answer, and then the end");
            assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("\"draining\""), "{answer}");
        }
    }
}

#[test]
fn the_rest_of_a_refused_upload_is_bounded_and_not_asked_for() {
    struct Endless(u64);
    impl http_body::Body for Endless {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            self.0 += 1;
            assert!(self.0 < 1000, "it is read for ever");
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[0; 65_536])))))
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::default()
        }
    }
    let controller = Controller::new();
    close(&controller);
    let handler = |_: Request<Endless>| async { Response::new(Full::<Bytes>::default()) };
    let mut service = layer(&controller).layer(Handler(handler));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let response = runtime.block_on(service.call(Request::new(Endless(0)))).unwrap();
    let body = runtime.block_on(response.into_body().collect()).unwrap().to_bytes();
    assert!(body.starts_with(b"{"), "the text comes after it");
    // Who waits for leave to send is answered at once, and is given none.
    let mut waiting = Request::new(Endless(999));
    waiting.headers_mut().insert(header::EXPECT, "100-continue".parse().unwrap());
    let response = runtime.block_on(service.call(waiting)).unwrap();
    let mut body = pin!(response.into_body());
    let frame = runtime.block_on(poll_fn(|cx| body.as_mut().poll_frame(cx)));
    assert!(frame.is_some_and(|frame| frame.is_ok_and(|frame| frame.is_data())));
}
