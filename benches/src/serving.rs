//! The tower layer: in front of a service that does nothing, and in front of one that hyper serves.

use crate::rounds::{Contender, alone_on_core, contender, nanoseconds, on_core};
use bytes::Bytes;
use gateway_drain::Controller;
use gateway_drain::layer::DrainLayer;
use http::{Request, Response};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::pin::pin;
use std::sync::{Mutex, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};
use tower_layer::Layer;
use tower_service::Service;

pub const BARE: &str = "a service that does nothing";
pub const LAYERED: &str = "the same behind the layer";
pub const SERVER: &str = "requests a second, hyper alone";
pub const LAYERED_SERVER: &str = "requests a second, hyper behind the layer";

/// A service that answers at once.
#[derive(Clone)]
struct Answer;

impl<B> Service<Request<B>> for Answer {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        ready(Ok(Response::new(Full::new(Bytes::from_static(b"done\n")))))
    }
}

fn layer() -> DrainLayer {
    DrainLayer::new(Controller::new().gate().clone())
}

fn answer<S: Service<Request<String>, Error = Infallible>>(service: &mut S) {
    let answered = pin!(service.call(Request::new(String::new()))).poll(&mut Context::from_waker(Waker::noop()));
    assert!(answered.is_ready());
}

/// One request, without any server.
pub fn empty() -> Vec<Contender<'static>> {
    fn measure<S: Service<Request<String>, Error = Infallible> + Send + 'static>(service: S) -> impl FnMut() -> f64 {
        let service = Mutex::new(service);
        move || {
            nanoseconds(1, &|times| {
                let mut service = service.lock().expect("one at a time");
                (0..times).for_each(|_| answer(&mut *service));
            })
        }
    }
    vec![contender(BARE, measure(Answer)), contender(LAYERED, measure(layer().layer(Answer)))]
}

/// How many allocations the layer adds to a request.
pub fn allocations() -> u64 {
    let (mut bare, mut layered) = (Answer, layer().layer(Answer));
    let of = |bare: &mut dyn FnMut()| allocation_counter::measure(bare).count_total;
    of(&mut || answer(&mut layered)) - of(&mut || answer(&mut bare))
}

/// Connections that are kept alive and have one request under way each.
const CONNECTIONS: usize = 16;
/// Short, so that the two that are compared meet the same machine; there are the more of them.
const PART: Duration = Duration::from_millis(50);

/// Requests a second that one server thread answers to one client thread.
pub fn servers() -> Vec<Contender<'static>> {
    let mut bare = Client::of(serve(Answer));
    let mut layered = Client::of(serve(layer().layer(Answer)));
    vec![
        contender(SERVER, move || alone_on_core(1, || bare.requests())),
        contender(LAYERED_SERVER, move || alone_on_core(1, || layered.requests())),
    ]
}

/// Serves on a thread of its own for as long as the process lives.
fn serve<S, B>(service: S) -> SocketAddr
where
    S: Service<Request<hyper::body::Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: hyper::body::Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + 'static,
{
    let (tell, address) = mpsc::channel();
    thread::spawn(move || {
        on_core(0);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().expect("a runtime");
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port of the loopback");
            tell.send(listener.local_addr().expect("it is bound")).expect("somebody waits for it");
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let service = TowerToHyperService::new(service.clone());
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
    });
    address.recv().expect("the server tells its address")
}

struct Client {
    connections: Vec<TcpStream>,
    /// The length of an answer. All are alike.
    length: usize,
}

impl Client {
    const REQUEST: &[u8] = b"GET /turn HTTP/1.1\r\nhost: gateway\r\n\r\n";

    fn of(server: SocketAddr) -> Self {
        let connect = || {
            let stream = TcpStream::connect(server).expect("the server listens");
            stream.set_nodelay(true).expect("it is a TCP stream");
            stream
        };
        let mut connections: Vec<TcpStream> = (0..CONNECTIONS).map(|_| connect()).collect();
        let mut answer = Vec::new();
        connections[0].write_all(Self::REQUEST).expect("the server reads");
        while !answer.ends_with(b"\r\n\r\ndone\n") {
            let mut some = [0; 512];
            let read = connections[0].read(&mut some).expect("the server answers");
            assert!(read > 0, "the server answers with its text and not with its end");
            answer.extend_from_slice(&some[..read]);
        }
        Self { connections, length: answer.len() }
    }

    fn requests(&mut self) -> f64 {
        let mut answer = vec![0; self.length];
        let mut requests = 0_u32;
        let began = Instant::now();
        while began.elapsed() < PART {
            for connection in &mut self.connections {
                connection.write_all(Self::REQUEST).expect("the server reads");
            }
            for connection in &mut self.connections {
                connection.read_exact(&mut answer).expect("the server answers");
                requests += 1;
            }
        }
        f64::from(requests) / began.elapsed().as_secs_f64()
    }
}
