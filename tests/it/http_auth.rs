//! Who gets in, with what, and what is written down of it.

#![cfg(feature = "axum")]

use crate::support::http_server::{Gateway, PEOPLE, PLACES, Place, Server, Table, bearer};
use gateway_drain::http::Endpoint;
use gateway_drain::http::audit::Entry;
use gateway_drain::http::auth::{Settings, SharedSecret, Token, TokenVerifier, Verdict, Verifying};
use gateway_drain::{Channel, DrainState, Request, RequestId};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

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
fn too_many_wrong_tokens_slow_down_the_wrong_ones_and_never_the_right_one() {
    let settings: Settings = serde_json::from_value(json!({"failed_attempts_per_minute": 3})).unwrap();
    let (gateway, server) = serve(|endpoint| endpoint.settings(settings.clone()).verifier(secret()));
    let first = Instant::now();
    assert_eq!([(); 3].map(|()| server.drain("wrong", "").code), [401; 3]);
    for _ in 0..5 {
        let slowed = server.drain("wrong", "");
        assert_eq!(slowed.error(), (429, "too_many_attempts".into()));
        let wait = slowed.header("retry-after").parse::<u32>().unwrap();
        assert!((1..=60).contains(&wait), "{wait}");
        let then = first.elapsed() + Duration::from_secs(wait.into());
        assert!(then >= Duration::from_secs(60), "who waits for {wait} s comes before the minute is over");
        assert_eq!(server.hold(SECRET, "upgrade").code, 404, "a right token is let in");
    }
    assert_eq!(server.drain("", "").code, 401, "no token at all is no attempt");
    assert_eq!(gateway.reconciler.controller().state(), DrainState::Running);
    assert_eq!(server.drain(SECRET, "").code, 200);
}

#[test]
fn wrong_tokens_at_the_public_page_are_recorded_and_count_against_nobody() {
    let trail = Trail::default();
    let settings: Settings = serde_json::from_value(json!({"failed_attempts_per_minute": 3})).unwrap();
    let gateway = Gateway::start();
    let endpoint = gateway.endpoint(Place::Gateway).settings(settings).verifier(secret());
    let server = Server::of(endpoint.audit(Entry::lines(trail.clone())));
    for _ in 0..10 {
        assert_eq!(server.send("GET", "/drain", &bearer("wrong"), b"").code, 200, "the page is for everybody");
    }
    assert_eq!(server.drain("wrong", "").code, 401);
    let told: Vec<_> =
        trail.lines().iter().map(|line| json!([line["action"], line["status"], line["error"]])).collect();
    assert_eq!(told[..10], vec![json!(["read", 200, "unauthenticated"]); 10]);
    assert_eq!(told[10..], [json!(["drain", 401, "unauthenticated"])]);
    server.send("GET", "/drain", &[], b"");
    server.send("GET", "/drain", &bearer(SECRET), b"");
    assert_eq!(trail.lines().len(), 11, "to look without a token, or with the right one, is no attempt");
}

#[test]
fn what_was_wrong_with_a_token_is_told_as_the_standard_has_it() {
    let (_gateway, server) = serve(|endpoint| endpoint.verifier(PEOPLE));
    let challenge = |token: &str, body: &str| {
        let answer = server.drain(token, body);
        (answer.code, answer.header("www-authenticate").to_owned(), answer.header("cache-control").to_owned())
    };
    let of = |code, told: &str| (code, format!("Bearer realm=\"gateway-drain\"{told}"), "no-store".to_owned());
    assert_eq!(challenge("", ""), of(401, ""));
    assert_eq!(challenge("wrong", ""), of(401, ", error=\"invalid_token\""));
    let lacks = ", error=\"insufficient_scope\", scope=\"override\"";
    assert_eq!(challenge("token-a", r#"{"action":"override","request_id":"x"}"#), of(403, lacks));
}

/// Sends a request and hangs up after so long, without a look at the answer.
fn hang_up(server: &Server, body: &str, after: Duration) {
    let mut stream = TcpStream::connect(server.address).unwrap();
    let length = body.len();
    let head = format!(
        "POST /api/gateway/drain HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer token-o\r\ncontent-length: {length}\r\n\r\n",
        server.address
    );
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    stream.set_read_timeout(Some(after)).unwrap();
    let _ = stream.read(&mut [0; 1]);
}

#[test]
fn an_act_is_done_and_recorded_although_its_client_has_gone() {
    for (place, millis) in PLACES.into_iter().flat_map(|place| [1, 2, 5, 10, 20].map(|millis| (place, millis))) {
        let trail = Trail::default();
        let gateway = Gateway::start();
        let held = Request::begin(RequestId::new("upgrade").unwrap(), "bob");
        Channel::new(gateway.home()).write(&held).unwrap();
        gateway.until(|status| status.drain.holds.len() == 1);
        let server = Server::of(gateway.endpoint(place).verifier(PEOPLE).audit(Entry::lines(trail.clone())));
        hang_up(&server, r#"{"action":"override","request_id":"upgrade"}"#, Duration::from_millis(millis));
        gateway.until(|status| status.drain.holds.is_empty());
        trail.until(|lines| lines.len() == 1);
        let lines = trail.lines();
        assert_eq!(
            json!([lines[0]["principal"], lines[0]["action"]]),
            json!(["olga", "override"]),
            "{place:?} {millis}"
        );
        // What it wrote is cleared away too.
        let path = gateway.home().request_path(&held.id);
        crate::support::eventually::comes_true("its file is gone", || !path.exists());
    }
}

#[test]
fn where_everybody_is_let_in_a_page_of_another_site_reads_nothing_and_does_nothing() {
    let (gateway, server) = serve(|endpoint| endpoint.unauthenticated("demo").host("gateway.internal"));
    let header = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    let json_type = || header("content-type", "application/json");
    let own = server.address.to_string();
    for foreign in [
        header("origin", "http://evil.example"),
        header("origin", &format!("http://{own}")),
        header("origin", "null"),
        header("sec-fetch-site", "cross-site"),
        header("sec-fetch-site", "same-site"),
        header("host", "evil.example"),
        header("host", "127.0.0.1.evil.example:80"),
    ] {
        let headers = [foreign.clone(), json_type()].concat();
        let answer = server.send("POST", "/api/gateway/drain", &headers, br#"{"action":"drain"}"#);
        assert_eq!(answer.error(), (403, "forbidden".into()), "{foreign:?}");
        for path in ["/api/gateway/drain", "/api/gateway/drain/marker"] {
            assert_eq!(server.send("GET", path, &foreign, b"").error(), (403, "forbidden".into()), "{foreign:?}");
        }
    }
    for kind in
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/xml"]
    {
        let answer = server.send("POST", "/api/gateway/drain", &header("content-type", kind), br#"{"action":"drain"}"#);
        assert_eq!(answer.error(), (415, "unsupported_type".into()), "{kind}");
    }
    assert_eq!(gateway.reconciler.controller().state(), DrainState::Running);
    for own in [
        header("host", "localhost:8080"),
        header("host", "gateway.internal:8080"),
        header("sec-fetch-site", "none"),
        header("sec-fetch-site", "same-origin"),
        json_type(),
        header("content-type", "application/json; charset=utf-8"),
        Vec::new(),
    ] {
        assert_eq!(server.send("POST", "/api/gateway/drain", &own, b"{}").code, 200, "{own:?}");
    }
}

#[test]
fn with_a_token_the_kind_of_the_body_does_not_matter_as_in_the_reference() {
    let (_gateway, server) = serve(|endpoint| endpoint.verifier(secret()));
    let headers = [bearer(SECRET), vec![("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned())]];
    assert_eq!(server.send("POST", "/api/gateway/drain", &headers.concat(), br#"{"action":"drain"}"#).code, 200);
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

impl Trail {
    fn lines(&self) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[track_caller]
    fn until(&self, says: impl Fn(&[Value]) -> bool) {
        crate::support::eventually::comes_true("the trail says so", || says(&self.lines()));
    }
}

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
    let server = Server::of(endpoint.on_restart(Duration::ZERO, |_| ()));
    server.drain(SECRET, r#"{"action":"drain","request_id":"upgrade"}"#);
    server.hold(SECRET, "upgrade");
    server.send("POST", "/api/gateway/restart", &bearer("a-wrong-token"), b"");
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
            json!([null, "restart", null, 401, "unauthenticated"]),
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
