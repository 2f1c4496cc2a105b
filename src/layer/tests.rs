use super::admitted::Held;
use super::interruption::Leaving;
use super::*;
use crate::hold::{Request, RequestId};
use core::convert::Infallible;
use core::future::Ready;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use http::{HeaderMap, Response, Version};
use tower_service::Service;

/// A service that is never ready, and answers nothing.
struct Busy;

impl Service<http::Request<String>> for Busy {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Response<String>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Pending
    }

    fn call(&mut self, _: http::Request<String>) -> Self::Future {
        core::future::ready(Ok(Response::new(String::new())))
    }
}

#[test]
fn the_layer_is_ready_when_what_is_inside_is() {
    let mut service = DrainLayer::of(&Controller::new()).layer(Busy);
    let ready = service.poll_ready(&mut Context::from_waker(Waker::noop()));
    assert!(ready.is_pending(), "a request would be handed on to a service that can't take it");
}

#[test]
fn who_keeps_a_permit_is_told_of_the_interruption_and_not_before() {
    let controller = Controller::new();
    let held = Arc::new(Held::Plain(controller.gate().admit().unwrap().into_owned()));
    let admitted = Slot::of(&held).keep().unwrap();
    assert!(!admitted.is_interrupted());
    controller.begin_shutdown(Duration::ZERO).unwrap();
    controller.settle();
    assert!(admitted.is_interrupted());
}

#[test]
fn a_stream_of_events_ends_once_the_gate_closes_and_not_before() {
    let controller = Controller::new();
    let mut leaving = Leaving::of(controller.gate());
    let mut poll = || leaving.poll_end(&mut Context::from_waker(Waker::noop()));
    assert!(poll().is_pending());
    controller.request(&Request::begin(RequestId::new("upgrade").unwrap(), "ops")).unwrap();
    assert!(poll().is_ready());
}

#[test]
fn a_client_of_grpc_is_told_in_milliseconds_when_to_come_back() {
    let (method, uri) = (http::Method::POST, http::Uri::from_static("/"));
    let headers: HeaderMap = [(http::header::CONTENT_TYPE, "application/grpc".parse().unwrap())].into_iter().collect();
    let head = Head { method: &method, uri: &uri, version: Version::HTTP_2, headers: &headers };
    let (_, headers, _) = service::refuse(crate::Refusal::Draining, &head, StatusCode::SERVICE_UNAVAILABLE);
    let millis: u64 = headers["grpc-retry-pushback-ms"].to_str().unwrap().parse().unwrap();
    assert!(millis >= 1000 && millis.is_multiple_of(1000), "{millis}");
}

#[test]
fn who_asks_for_events_is_told_to_come_back_and_over_http_1_on_another_connection() {
    for (version, closes) in
        [(Version::HTTP_10, true), (Version::HTTP_11, true), (Version::HTTP_2, false), (Version::HTTP_3, false)]
    {
        let (status, headers, _) = service::later(version);
        assert_eq!(status, StatusCode::OK);
        assert_eq!(headers.contains_key(http::header::CONNECTION), closes, "{version:?}");
    }
}

#[test]
fn the_error_of_a_body_says_whose_it_is() {
    assert_eq!(BodyError::Inner("the disk is full").to_string(), "the disk is full");
    assert!(BodyError::<&str>::Interrupted.to_string().contains("the gateway shuts down"));
}
