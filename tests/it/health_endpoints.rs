//! Probes and traffic while a gateway drains: what a load balancer and a supervisor see, with the layer and the control
//! routes in one server.

#![cfg(all(feature = "axum", feature = "tower"))]

use crate::support::http_server::{Gateway, PEOPLE, Place, Server};
use axum::Router;
use axum::routing::get;
use gateway_drain::DrainState;
use gateway_drain::layer::DrainLayer;
use std::time::Duration;

fn serve(gateway: &Gateway) -> Server {
    let layer = DrainLayer::new(gateway.reconciler.gate().clone());
    let turns = Router::new().route("/turn", get(async || "done")).layer(layer);
    Server::of_routes(turns.merge(gateway.endpoint(Place::Gateway).verifier(PEOPLE).routes()))
}

#[test]
fn while_draining_the_gateway_lives_is_not_ready_and_still_answers_its_controllers() {
    let gateway = Gateway::start();
    let server = serve(&gateway);
    let _turn = gateway.reconciler.gate().admit().unwrap().into_owned();
    assert_eq!((server.get("/readyz").code, server.get("/turn").code), (200, 200));
    assert_eq!(server.drain("token-a", r#"{"action":"drain","request_id":"upgrade"}"#).code, 200);

    assert_eq!(server.get("/livez").code, 200, "a liveness probe must not kill what drains");
    let ready = server.get("/readyz");
    assert_eq!((ready.code, ready.body.contains("external_draining")), (503, true), "{}", ready.body);
    assert_eq!(server.get("/turn").code, 503);
    assert_eq!(server.hold("token-a", "upgrade").json()["gateway"]["in_flight"], 1);
    assert_eq!(server.get("/api/status").json()["gateway_state"], "draining");
    assert_eq!(server.drain("token-a", r#"{"action":"cancel","request_id":"upgrade"}"#).code, 200);
    assert_eq!((server.get("/readyz").code, server.get("/turn").code), (200, 200));
}

#[test]
fn in_the_unready_delay_readiness_fails_and_no_request_is_refused() {
    let gateway = Gateway::start();
    let server = serve(&gateway);
    let body = r#"{"action":"drain","request_id":"upgrade","unready_delay_seconds":30}"#;
    let begun = server.drain("token-a", body);
    assert_eq!((begun.code, &begun.json()["outcome"]), (200, &"pending".into()), "{}", begun.body);
    for _ in 0..200 {
        assert_eq!(server.get("/turn").code, 200, "refused although the load balancers still route here");
    }
    let ready = server.get("/readyz");
    assert_eq!((ready.code, ready.body.contains("about to close")), (503, true), "{}", ready.body);
    assert_eq!(server.get("/api/status").json()["drain"]["pending"], true);

    gateway.pass(Duration::from_secs(31), |status| status.drain.state == DrainState::ExternalDraining);
    assert_eq!(server.get("/turn").code, 503);
    assert_eq!(server.hold("token-a", "upgrade").json()["outcome"], "held");
}
