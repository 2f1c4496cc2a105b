//! Who gets in, with what, and what is written down of it.

#![cfg(feature = "axum")]

mod serving;

use gateway_drain::DrainState;
use gateway_drain::http::Endpoint;
use gateway_drain::http::audit::Entry;
use gateway_drain::http::auth::{Settings, SharedSecret, Token, TokenVerifier, Verdict, Verifying};
use serde_json::{Value, json};
use serving::{Gateway, PEOPLE, Place, Server, Table, bearer};
use std::io::Write;
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

const SECRET: &str = "q7F-mZ3xV0cR8tJ2bW5nK9pL1sD4gH6yUeAiOoTrQwE";

fn secret() -> SharedSecret {
    SharedSecret::new(SECRET.to_owned().into(), &Settings::default()).expect("a strong secret")
}

fn serve(endpoint: impl Fn(Endpoint) -> Endpoint) -> (Gateway, Server) {
    let gateway = Gateway::start();
    let server = Server::of(endpoint(gateway.endpoint(Place::Gateway)));
    (gateway, server)
}

#[test]
fn the_shared_secret_lets_in_drain_control_and_nobody_else() {
    let (gateway, server) = serve(|endpoint| endpoint.verifier(secret()));
    let begun = server.drain(SECRET, r#"{"action":"drain","request_id":"upgrade"}"#);
    assert_eq!((begun.code, &begun.json()["owner"]), (200, &json!("drain-control")));
    server.drain(SECRET, r#"{"action":"cancel","request_id":"upgrade"}"#);

    let huge = "x".repeat(8000);
    let longer = format!("{SECRET}x");
    for wrong in ["", "wrong", &SECRET[1..], &longer, &SECRET.to_lowercase(), &huge] {
        let answer = server.drain(wrong, r#"{"action":"drain"}"#);
        assert_eq!(answer.code, 401, "{wrong:.60}");
        assert_eq!(answer.body, r#"{"error":"unauthenticated","detail":"Unauthorized"}"#, "the reference's body");
    }
    assert_eq!(gateway.reconciler.controller().state(), DrainState::Running);
}

#[test]
fn a_header_of_another_form_is_no_token() {
    let (gateway, server) = serve(|endpoint| endpoint.verifier(secret()));
    let header = |value: String| vec![("authorization".to_owned(), value)];
    for headers in [
        header(SECRET.into()),
        header(format!("Basic {SECRET}")),
        header("Bearer".into()),
        header("Bearer    ".into()),
        header(format!("Bearer {SECRET}, Bearer {SECRET}")),
        [header(format!("Bearer {SECRET}")), header(format!("Bearer {SECRET}"))].concat(),
        vec![("x-api-key".to_owned(), SECRET.into())],
    ] {
        assert_eq!(server.send("POST", "/api/gateway/drain", &headers, b"").code, 401, "{headers:?}");
    }
    let query = server.send("POST", &format!("/api/gateway/drain?token={SECRET}"), &[], b"");
    assert_eq!(query.code, 401, "a token in the address would end up in logs");
    let lower = server.send("POST", "/api/gateway/drain", &header(format!("bearer {SECRET}")), b"");
    assert_eq!(lower.code, 200, "the scheme's name has no case");
    assert_eq!(gateway.reconciler.controller().state(), DrainState::ExternalDraining);
}

#[test]
fn a_token_that_is_not_ascii_is_a_wrong_one() {
    let (gateway, server) = serve(|endpoint| endpoint.verifier(secret()));
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.write_all(b"POST /api/gateway/drain HTTP/1.1\r\nhost: x\r\nconnection: close\r\n").unwrap();
    stream.write_all(b"content-length: 0\r\nauthorization: Bearer \xff\xfe\xc3\xa9\r\n\r\n").unwrap();
    let answer = std::io::read_to_string(stream).unwrap();
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    assert_eq!(gateway.reconciler.controller().state(), DrainState::Running);
}

#[test]
fn without_a_verifier_the_endpoint_is_closed_and_looks_like_a_wrong_token() {
    let (_gateway, closed) = serve(|endpoint| endpoint);
    let (_other, guarded) = serve(|endpoint| endpoint.verifier(secret()));
    for token in ["", "wrong", SECRET] {
        assert_eq!(closed.drain(token, "").code, 401);
        assert_eq!(closed.hold(token, "upgrade").code, 401);
    }
    assert_eq!(closed.drain("wrong", "").body, guarded.drain("wrong", "").body);
    assert_eq!(closed.get("/api/status").code, 200, "what is public stays so");
}

#[test]
fn where_everybody_is_let_in_a_web_page_is_not() {
    let (gateway, server) = serve(|endpoint| endpoint.unauthenticated("demo"));
    let origin = [("origin".to_owned(), format!("http://{}", server.address))];
    assert_eq!(server.send("POST", "/api/gateway/drain", &origin, b"").error(), (403, "forbidden".into()));
    assert_eq!(gateway.reconciler.controller().state(), DrainState::Running);
    assert_eq!(server.drain("", "").json()["draining"], true);
}

#[test]
fn each_scope_allows_its_own_and_no_more() {
    let gateway = Gateway::start();
    let endpoint = gateway.endpoint(Place::Gateway).on_restart(std::time::Duration::from_secs(3600), |_| ());
    let server = Server::of(endpoint.verifier(PEOPLE));
    let try_all = |token: &str| {
        [
            server.hold(token, "upgrade").code,
            server.drain(token, r#"{"action":"drain","request_id":"upgrade"}"#).code,
            server.drain(token, r#"{"action":"override","request_id":"upgrade"}"#).code,
        ]
    };
    assert_eq!(try_all("token-r"), [404, 403, 403], "read");
    assert_eq!(try_all("token-x"), [403, 403, 403], "restart");
    assert_eq!(try_all("token-a"), [404, 200, 403], "drain, which can read");
    assert_eq!(try_all("token-o"), [403, 403, 200], "override");
    let restart = |token: &str| server.send("POST", "/api/gateway/restart", &bearer(token), b"{}").code;
    assert_eq!(["token-r", "token-a", "token-o"].map(restart), [403; 3]);
    assert_eq!(restart("token-x"), 200);
}

/// A store that can't be reached, or that never answers.
struct Lost {
    hangs: bool,
}

impl TokenVerifier for Lost {
    fn verify<'a>(&'a self, _: &'a Token<'a>) -> Verifying<'a> {
        let hangs = self.hangs;
        Box::pin(async move { if hangs { std::future::pending().await } else { Verdict::Unreachable } })
    }
}

#[test]
fn the_first_verifier_that_accepts_decides_and_an_unreachable_one_matters_only_if_none_does() {
    let second = Table(&[("token-a", "second", "drain"), ("token-s", "second", "drain")]);
    let (_gateway, server) =
        serve(move |e| e.verifier(Lost { hangs: false }).verifier(PEOPLE).verifier(Table(second.0)));
    let owner =
        |token: &str| server.drain(token, r#"{"action":"drain","request_id":"upgrade"}"#).json()["owner"].clone();
    assert_eq!(owner("token-a"), "alice");
    server.drain("token-a", r#"{"action":"cancel","request_id":"upgrade"}"#);
    assert_eq!(owner("token-s"), "second");
    assert_eq!(server.drain("wrong", "").error(), (503, "unavailable".into()));
    assert_eq!(server.drain("", "").code, 401, "without a token nobody needs to be asked");
}

#[test]
fn a_verifier_that_never_answers_counts_as_unreachable() {
    let (gateway, server) = serve(|endpoint| endpoint.verifier(Lost { hangs: true }));
    assert_eq!(server.drain("token", "").error(), (503, "unavailable".into()));
    assert_eq!(gateway.reconciler.controller().state(), DrainState::Running);
}

#[test]
fn after_too_many_wrong_tokens_an_address_is_no_longer_listened_to() {
    let settings: Settings = serde_json::from_value(json!({"failed_attempts_per_minute": 3})).unwrap();
    let (gateway, server) = serve(|endpoint| endpoint.settings(settings.clone()).verifier(secret()));
    assert_eq!([(); 3].map(|()| server.drain("wrong", "").code), [401; 3]);
    let barred = server.drain(SECRET, "");
    assert_eq!(barred.error(), (429, "too_many_attempts".into()));
    assert!(
        (1..=60).contains(&barred.header("retry-after").parse::<u32>().unwrap()),
        "{}",
        barred.header("retry-after")
    );
    assert_eq!(server.drain("", "").code, 401, "no token at all is no attempt");
    assert_eq!(gateway.reconciler.controller().state(), DrainState::Running);
}

#[test]
fn a_body_or_headers_beyond_the_limit_are_refused_unread() {
    let (gateway, server) = serve(|endpoint| endpoint.verifier(secret()));
    let body = format!(r#"{{"action":"drain","reason":"{}"}}"#, "x".repeat(20_000));
    assert_eq!(server.drain(SECRET, &body).error(), (413, "too_large".into()));
    let many: Vec<_> = (0..90).map(|n| (format!("x-filler-{n}"), "y".repeat(200))).collect();
    let headers = [bearer(SECRET), many].concat();
    assert_eq!(server.send("POST", "/api/gateway/drain", &headers, b"").error(), (431, "headers_too_large".into()));
    assert_eq!(gateway.reconciler.controller().state(), DrainState::Running);
}

/// A writer that a test can read.
#[derive(Clone, Default)]
struct Trail(Arc<Mutex<Vec<u8>>>);

impl Write for Trail {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_audit_trail_has_one_line_for_each_decision_and_no_secret() {
    let trail = Trail::default();
    let gateway = Gateway::start();
    let endpoint = gateway.endpoint(Place::Gateway).verifier(secret()).audit(Entry::lines(trail.clone()));
    let server = Server::of(endpoint);
    server.drain(SECRET, r#"{"action":"drain","request_id":"upgrade"}"#);
    server.hold(SECRET, "upgrade");
    server.drain("a-wrong-token", r#"{"action":"cancel","request_id":"upgrade"}"#);
    server.drain(SECRET, r#"{"action":"cancel","request_id":"upgrade","token":"another-secret"}"#);
    server.drain(SECRET, r#"{"action":"override","request_id":"upgrade"}"#);
    server.drain(SECRET, "nonsense");

    let text = String::from_utf8(trail.0.lock().unwrap().clone()).unwrap();
    for private in [SECRET, "a-wrong-token", "another-secret"] {
        assert!(!text.contains(private), "the trail tells {private}: {text}");
    }
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told =
        |line: &Value| json!([line["principal"], line["action"], line["request_id"], line["status"], line["error"]]);
    assert_eq!(
        lines.iter().map(told).collect::<Vec<_>>(),
        [
            json!(["drain-control", "drain", "upgrade", 200, null]),
            json!([null, "drain", null, 401, "unauthenticated"]),
            json!(["drain-control", "cancel", "upgrade", 200, null]),
            json!(["drain-control", "override", "upgrade", 403, "forbidden"]),
            json!(["drain-control", "drain", null, 400, "bad_request"]),
        ],
        "reading is no decision"
    );
    assert!(lines.iter().all(|line| line["peer"] == "127.0.0.1" && line["at"].is_string()));
}

#[test]
fn settings_name_what_is_wrong_with_them() {
    let wrong = |text: &str| serde_json::from_str::<Settings>(text).unwrap_err().to_string();
    assert!(
        wrong(r#"{"scope": "drain fly"}"#)
            .contains("\"fly\" is no scope: the scopes are read, drain, override, restart")
    );
    assert!(wrong(r#"{"min_secret_char": 4}"#).contains("unknown field `min_secret_char`"));
    let settings = serde_json::to_value(Settings::default()).unwrap();
    assert_eq!(settings["scope"], "read drain");
    assert_eq!(serde_json::from_value::<Settings>(settings).unwrap(), Settings::default());
}
