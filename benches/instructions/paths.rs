//! The hot paths, each as a loop that callgrind runs through.

use bytes::Bytes;
use core::convert::Infallible;
use core::future::{Future, Ready, ready};
use core::hint::black_box;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use gateway_drain::layer::DrainLayer;
use gateway_drain::{Controller, Gate, Request, RequestId};
use http_body_util::Empty;
use tower_layer::Layer;
use tower_service::Service;

/// One path.
pub struct Path {
    /// What it is called in `counts.txt`.
    pub name: &'static str,
    /// Goes it so many times.
    pub go: fn(u64),
    /// A loop whose instructions are none of the path's own.
    pub without: Option<fn(u64)>,
    /// Whether it may make a system call. Under valgrind to read the clock is one.
    pub calls_the_system: bool,
}

const fn path(name: &'static str, go: fn(u64)) -> Path {
    Path { name, go, without: None, calls_the_system: false }
}

/// All of them.
pub const PATHS: &[Path] = &[
    path("borrowed", |times| borrowed(Controller::new().gate(), times)),
    path("owned", |times| owned(Controller::new().gate(), times)),
    Path { calls_the_system: true, ..path("labelled", |times| labelled(Controller::new().gate(), times)) },
    path("refused", |times| refused(closed().gate(), times)),
    Path { without: Some(|times| requests(Nothing, times)), ..path("layer", |times| requests(layered(), times)) },
];

#[inline(never)]
fn borrowed(gate: &Gate, times: u64) {
    for _ in 0..times {
        drop(gate.admit());
    }
}

#[inline(never)]
fn owned(gate: &Gate, times: u64) {
    for _ in 0..times {
        drop(gate.admit().map(gateway_drain::Permit::into_owned));
    }
}

#[inline(never)]
fn labelled(gate: &Gate, times: u64) {
    for _ in 0..times {
        drop(gate.admit().map(|permit| permit.into_owned().labelled("turn", "session 7")));
    }
}

#[inline(never)]
fn refused(gate: &Gate, times: u64) {
    for _ in 0..times {
        black_box(gate.admit().is_err());
    }
}

#[inline(never)]
fn requests<S, B>(mut service: S, times: u64)
where
    S: Service<http::Request<String>, Response = http::Response<B>, Error = Infallible>,
{
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..times {
        let answered = pin!(service.call(http::Request::new(String::new()))).poll(&mut cx);
        drop(black_box(answered));
    }
}

fn closed() -> Controller {
    let controller = Controller::new();
    controller.request(&Request::begin(RequestId::new("count").expect("a valid name"), "counter")).expect("a hold");
    controller
}

fn layered() -> impl Service<http::Request<String>, Response = http::Response<impl Sized>, Error = Infallible> {
    DrainLayer::new(Controller::new().gate().clone()).layer(Nothing)
}

/// A service that answers at once, with nothing.
struct Nothing;

impl Service<http::Request<String>> for Nothing {
    type Response = http::Response<Empty<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Request<String>) -> Self::Future {
        ready(Ok(http::Response::new(Empty::new())))
    }
}
