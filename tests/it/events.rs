//! The `tracing` events of a gateway.

#![cfg(feature = "tracing")]

use gateway_drain::{Controller, Request, RequestId, events};
use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// A subscriber that writes every event down as a line.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0, " {}={value:?}", field.name());
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("gateway_drain")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[test]
fn every_decision_is_an_event_and_those_that_somebody_ought_to_look_at_are_warnings() {
    let lines = Lines::default();
    tracing::subscriber::with_default(lines.clone(), || {
        let controller = Controller::new();
        let told = events::observe(&controller);
        let _turn = controller.gate().admit().unwrap().into_owned();
        let id = RequestId::new("upgrade").unwrap();
        controller.request(&Request::begin(id.clone(), "ops")).unwrap();
        controller.request(&Request::override_hold(id, "chief")).unwrap();
        controller.begin_shutdown(Duration::ZERO).unwrap();
        assert!(told.flush(Duration::from_secs(30)));
    });
    let lines = lines.0.lock().unwrap();
    let expected: [&[&str]; 6] = [
        &["INFO", "a hold changed", "owner=\"ops\"", "what=Begun"],
        &["INFO", "the state moved", "from=\"running\"", "to=\"external_draining\"", "in_flight=1"],
        &["WARN", "a hold ended", "by=\"chief\"", "what=Ended(Overridden)"],
        &["INFO", "the state moved", "to=\"running\""],
        &["INFO", "the state moved", "to=\"shutdown_draining\""],
        &["WARN", "asked to give up", "in_flight=1"],
    ];
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, parts) in lines.iter().zip(expected) {
        assert!(parts.iter().all(|part| line.contains(part)), "{line} lacks one of {parts:?}");
    }
}

#[cfg(feature = "tower")]
#[test]
fn a_refused_request_is_an_event_for_a_close_look() {
    use gateway_drain::layer::DrainLayer;
    use tower_layer::Layer;
    use tower_service::Service;

    let lines = Lines::default();
    tracing::subscriber::with_default(lines.clone(), || {
        let controller = Controller::new();
        let mut turns = DrainLayer::of(&controller).layer(axum::Router::<()>::new());
        let asked = || axum::http::Request::put("/turns").body(axum::body::Body::empty()).unwrap();
        drop(turns.call(asked()));
        controller.begin_shutdown(Duration::ZERO).unwrap();
        drop(turns.call(asked()));
    });
    let lines = lines.0.lock().unwrap();
    let [line] = &lines[..] else { panic!("one was refused: {lines:#?}") };
    for part in ["DEBUG", "a request was refused", "method=\"PUT\"", "why=\"stopped\""] {
        assert!(line.contains(part), "{line} lacks {part}");
    }
}

#[cfg(feature = "axum")]
#[test]
fn what_the_endpoint_has_decided_is_an_event_with_who_asked_and_for_what() {
    use axum::body::Body;
    use gateway_drain::Home;
    use gateway_drain::http::Endpoint;
    use tower_service::Service;

    let (lines, folder) = (Lines::default(), tempfile::tempdir().unwrap());
    tracing::subscriber::with_default(lines.clone(), || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut routes = Endpoint::of_home(Home::at(folder.path())).unauthenticated("ops").routes();
        let body = Body::from(r#"{"action": "cancel", "request_id": "upgrade"}"#);
        let asked = axum::http::Request::post("/api/gateway/drain").header("host", "localhost");
        let asked = asked.header("content-type", "application/json").body(body).unwrap();
        drop(runtime.block_on(routes.call(asked)));
    });
    let lines = lines.0.lock().unwrap();
    let [line] = &lines[..] else { panic!("one was decided: {lines:#?}") };
    for part in [
        "INFO",
        "request decided",
        "principal=\"ops\"",
        "action=\"cancel\"",
        "request_id=\"upgrade\"",
        "status=503",
        "error=\"unavailable\"",
    ] {
        assert!(line.contains(part), "{line} lacks {part}");
    }
}
