//! Any bytes to any route: an answer below 500, in time, and a gate that stays as it was.
//!
//! `tests/it/http_hostile.rs` makes each of them a test, and the run of faults counts them for `docs/reliability.md`.
//! A program that includes this module includes `tests/support/http_server.rs` as well.

use crate::support::http_server::{Gateway, PEOPLE, PLACES, Place, Server};
use gateway_drain::DrainState;
use gateway_drain::http::auth::{Settings, SharedSecret};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

/// What is claimed, and the attempts at it: each panics if it falls short; how many were made.
pub type Trial = (&'static str, fn() -> usize);

/// All of them, for the tests and for the run of faults alike.
pub const TRIALS: [Trial; 7] = [
    ("bodies that make no sense are a 400 and move nothing", bodies_that_make_no_sense_are_a_400_and_move_nothing),
    ("a body cut short begins nothing", a_body_cut_short_begins_nothing),
    ("paths that make no sense are below 500", paths_that_make_no_sense_are_below_500),
    (
        "any bytes at all are answered below 500 and move nothing",
        any_bytes_at_all_are_answered_below_500_and_move_nothing,
    ),
    (
        "a client that sends its body too slowly is not waited for for ever",
        a_client_that_sends_its_body_too_slowly_is_not_waited_for_for_ever,
    ),
    (
        "no token but the secret itself is let in and no answer shows the secret",
        no_token_but_the_secret_itself_is_let_in_and_no_answer_shows_the_secret,
    ),
    (
        "headers that make no sense move nothing and are answered below 500",
        headers_that_make_no_sense_move_nothing_and_are_answered_below_500,
    ),
];

/// Sends bytes as they are, and no more; gives the answer's status code, or none where the server closed without a word.
fn cut_off(server: &Server, bytes: &[u8]) -> Option<u16> {
    send(server, bytes, true)
}

/// Sends a request that is whole.
fn raw(server: &Server, bytes: &[u8]) -> Option<u16> {
    send(server, bytes, false)
}

fn send(server: &Server, bytes: &[u8], ends: bool) -> Option<u16> {
    code(&exchange(server, bytes, ends))
}

/// All that the server answers to these bytes.
fn exchange(server: &Server, bytes: &[u8], ends: bool) -> Vec<u8> {
    let mut stream = TcpStream::connect(server.address).expect("the server listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // The server may have seen enough before everything is sent.
    let _ = stream.write_all(bytes).and_then(|()| if ends { stream.shutdown(Shutdown::Write) } else { Ok(()) });
    let (mut answer, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(n) => answer.extend_from_slice(&chunk[..n]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("no answer in time to {bytes:?}"),
            Err(_) => break,
        }
    }
    answer
}

fn code(answer: &[u8]) -> Option<u16> {
    let head = String::from_utf8_lossy(answer);
    let code = head.strip_prefix("HTTP/1.1 ").or(head.strip_prefix("HTTP/1.0 ")).and_then(|rest| rest.get(..3));
    code.map(|code| code.parse().expect("a status code"))
}

fn request(method: &str, path: &[u8], body: &[u8]) -> Vec<u8> {
    let length = format!("content-length: {}\r\n\r\n", body.len());
    let head = b" HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer token-a\r\n";
    [method.as_bytes(), b" ", path, head, length.as_bytes(), body].concat()
}

/// The gateway drains under one hold of bob's, which nothing that alice sends may end; or it runs, and stays so.
fn with_both(test: impl Fn(&Server, &str) -> usize) -> usize {
    let mut attempts = 0;
    for place in PLACES {
        for draining in [false, true] {
            let gateway = Gateway::start();
            let server = Server::of(gateway.endpoint(place).verifier(PEOPLE));
            if draining {
                assert_eq!(server.drain("token-b", r#"{"action":"drain","request_id":"bobs"}"#).code, 200);
            }
            let before = (gateway.reconciler.controller().state(), gateway.reconciler.controller().holds());
            attempts += test(&server, &format!("{place:?}, draining: {draining}"));
            let after = (gateway.reconciler.controller().state(), gateway.reconciler.controller().holds());
            assert_eq!(after, before, "{place:?}: bad input moved the gateway");
        }
    }
    attempts
}

pub fn bodies_that_make_no_sense_are_a_400_and_move_nothing() -> usize {
    let deep = "[".repeat(10_000);
    let bodies: &[&[u8]] = &[
        b"{",
        b"null",
        b"[]",
        b"\"drain\"",
        b"0",
        b"\xff\xfe\x00",
        b"{\"action\":\"drain\"",
        b"{\"action\":\"drain\"}}",
        b"{\"action\":\"drian\"}",
        b"{\"action\":null}",
        b"{\"action\":[\"drain\"]}",
        b"{\"aktion\":\"drain\"}",
        b"{\"action\":\"drain\",\"requestid\":\"x\"}",
        b"{\"action\":\"drain\",\"action\":\"cancel\"}",
        b"{\"action\":\"drain\",\"request_id\":null}",
        b"{\"action\":\"cancel\",\"request_id\":null}",
        b"{\"action\":\"drain\",\"request_id\":\"\"}",
        b"\xef\xbb\xbf{\"action\":\"drain\"}",
        b"{\"action\":\"drain\",\"lease_seconds\":86401}",
        b"{\"action\":\"drain\",\"request_id\":\"../../etc/passwd\"}",
        b"{\"action\":\"drain\",\"request_id\":\"marker\"}",
        b"{\"action\":\"drain\",\"request_id\":7}",
        b"{\"action\":\"drain\",\"request_id\":\"a\\u0000b\"}",
        b"{\"action\":\"drain\",\"lease_seconds\":0}",
        b"{\"action\":\"drain\",\"lease_seconds\":-1}",
        b"{\"action\":\"drain\",\"lease_seconds\":\"60\"}",
        b"{\"action\":\"drain\",\"lease_seconds\":1e999}",
        b"{\"action\":\"drain\",\"deadline_seconds\":1e300}",
        b"{\"action\":\"commit\"}",
        b"{\"action\":\"commit\",\"request_id\":\"x\"}",
        b"{\"action\":\"commit\",\"request_id\":\"x\",\"incarnation\":\"y\",\"generation\":-1}",
        b"{\"action\":\"commit\",\"request_id\":\"x\",\"incarnation\":\"y\",\"generation\":1.5}",
        b"action=drain",
        deep.as_bytes(),
    ];
    with_both(|server, what| {
        for body in bodies {
            let sent = request("POST", b"/api/gateway/drain", body);
            assert_eq!(
                raw(server, &sent),
                Some(400),
                "{what}: {}",
                String::from_utf8_lossy(&body[..body.len().min(80)])
            );
        }
        bodies.len()
    })
}

pub fn a_body_cut_short_begins_nothing() -> usize {
    with_both(|server, what| {
        let whole = request("POST", b"/api/gateway/drain", br#"{"action":"drain","request_id":"alices"}"#);
        let head = whole.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
        for cut in head..whole.len() {
            let code = cut_off(server, &whole[..cut]);
            assert!(code.is_none_or(|code| (400..500).contains(&code)), "{what}: cut at {cut} answered {code:?}");
        }
        whole.len() - head
    })
}

const METHODS: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "PATCH", "TRACE", "OPTIONS"];

pub fn paths_that_make_no_sense_are_below_500() -> usize {
    let long = [b"/api/gateway/drain/".as_slice(), &[b'x'; 3000]].concat();
    let paths: &[&[u8]] = &[
        b"/api/gateway/drain/%00",
        b"/api/gateway/drain/..%2f..%2fetc",
        b"/api/gateway/drain/../../etc",
        b"/api/gateway/drain/%ff%fe",
        b"/api/gateway/drain/a/b/c",
        b"/api/gateway/drain/",
        b"/api/gateway/drain//",
        b"/api/gateway/drain/.hidden",
        b"/api/gateway/drain/!home",
        b"//api/gateway/drain",
        b"/API/gateway/drain",
        b"*",
        &long,
    ];
    with_both(|server, what| {
        for path in paths {
            for method in METHODS {
                let code = raw(server, &request(method, path, b""));
                let shown = String::from_utf8_lossy(&path[..path.len().min(60)]);
                assert!(code.is_some_and(|code| (400..500).contains(&code)), "{what}: {method} {shown} gave {code:?}");
            }
        }
        paths.len() * METHODS.len()
    })
}

/// 600 cases of a fixed seed: bytes of any sort, and words of the wire in the wrong places, as a body and as all that is
/// sent. What happens to make sense is left out.
pub fn any_bytes_at_all_are_answered_below_500_and_move_nothing() -> usize {
    const WORDS: [&str; 19] = [
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "\"action\"",
        "\"drain\"",
        "\"cancel\"",
        "\"request_id\"",
        "null",
        "1e9",
        " ",
        "\"commit\"",
        "\\u0000",
        "\"override\"",
        "true",
        "-1",
    ];
    const PATHS: [&str; 8] = [
        "/api/gateway/drain",
        "/api/gateway/drain/x",
        "/api/status",
        "/api/gateway/restart",
        "/livez",
        "/readyz",
        "/drain",
        "/api/openapi.json",
    ];
    let gateway = Gateway::start();
    let server = Server::of(gateway.endpoint(Place::Gateway).verifier(PEOPLE));
    let mut random = fastrand::Rng::with_seed(0x5eed);
    let mut attempts = 0;
    for case in 0..600 {
        let bytes: Vec<u8> = if random.bool() {
            (0..random.usize(1..200)).map(|_| random.u8(..)).collect()
        } else {
            (0..random.usize(1..14)).flat_map(|_| random.choice(WORDS).unwrap_or_default().bytes()).collect()
        };
        if serde_json::from_slice::<serde_json::Value>(&bytes).is_ok_and(|value| value.get("action").is_some()) {
            continue;
        }
        let (method, path) = (random.choice(["GET", "POST", "PUT", "HEAD"]), random.choice(PATHS));
        let framed = request(method.unwrap_or_default(), path.unwrap_or_default().as_bytes(), &bytes);
        let code = if random.bool() { raw(&server, &framed) } else { cut_off(&server, &bytes) };
        assert!(code.is_none_or(|code| code < 500), "case {case}: {code:?} to {}", bytes.escape_ascii());
        let state = gateway.reconciler.controller().state();
        assert_eq!(state, DrainState::Running, "case {case} moved the gateway: {}", bytes.escape_ascii());
        attempts += 1;
    }
    attempts
}

pub fn a_client_that_sends_its_body_too_slowly_is_not_waited_for_for_ever() -> usize {
    let gateway = Gateway::start();
    let server = Server::of(gateway.endpoint(Place::Gateway).verifier(PEOPLE));
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let head =
        "POST /api/gateway/drain HTTP/1.1\r\nhost: x\r\nauthorization: Bearer token-a\r\ncontent-length: 18\r\n\r\n{";
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).expect("an answer although the body never comes");
    assert_eq!(&answer, b"HTTP/1.1 408");
    assert_eq!(gateway.reconciler.controller().state(), DrainState::Running);
    1
}

/// 400 tokens of a fixed seed that are nearly the secret: cut, grown, with one byte changed, in other schemes and twice.
pub fn no_token_but_the_secret_itself_is_let_in_and_no_answer_shows_the_secret() -> usize {
    const SECRET: &str = "s3cr3t-Aq9ZxW7vBn2MkLp5TgYhUj8RfEdCv4XsQo1Iu6Hy";
    let gateway = Gateway::start();
    let mut settings = Settings::default();
    settings.failed_attempts_per_minute = u32::MAX;
    let secret = SharedSecret::new(SECRET.to_owned().into(), &settings).expect("it is strong enough");
    let server = Server::of(gateway.endpoint(Place::Gateway).settings(settings).verifier(secret));
    let mut random = fastrand::Rng::with_seed(0x5eed);
    let body = br#"{"action":"drain","request_id":"x"}"#;
    let mut attempts = 0;
    for case in 0..400 {
        let mut token = SECRET.as_bytes().to_vec();
        let at = random.usize(..token.len());
        match case % 5 {
            0 => token.truncate(at),
            1 => token.insert(at, random.u8(b'!'..=b'~')),
            2 => token[at] = token[at].wrapping_add(random.u8(1..=93)) % 94 + b'!',
            3 => token = token.to_ascii_uppercase(),
            _ => token = [SECRET.as_bytes(), b",", SECRET.as_bytes()].concat(),
        }
        if token == SECRET.as_bytes() {
            continue;
        }
        let scheme = random.choice(["Bearer ", "bearer ", "Basic ", "Token ", ""]).unwrap_or_default();
        let length = format!("\r\ncontent-length: {}\r\n\r\n", body.len());
        let head =
            format!("POST /api/gateway/drain HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: {scheme}");
        let answer = exchange(&server, &[head.as_bytes(), &token, length.as_bytes(), body].concat(), false);
        let text = String::from_utf8_lossy(&answer);
        assert!(matches!(code(&answer), Some(400 | 401)), "case {case}: {} gave {text}", token.escape_ascii());
        assert!(!text.contains(SECRET), "case {case}: the answer shows the secret: {text}");
        attempts += 1;
    }
    assert_eq!(gateway.reconciler.controller().state(), DrainState::Running, "somebody was let in");
    let status = std::fs::read_to_string(gateway.home().status()).expect("published");
    assert!(!status.contains(SECRET), "the status shows the secret");
    assert_eq!(server.drain(SECRET, r#"{"action":"drain","request_id":"x"}"#).code, 200, "the secret itself is let in");
    attempts
}

/// 300 cases of a fixed seed: known and unknown headers, with nothing, too much, bytes and numbers in them, beside a token
/// that is good. The hold that is asked for is not there.
pub fn headers_that_make_no_sense_move_nothing_and_are_answered_below_500() -> usize {
    const NAMES: [&str; 10] = [
        "authorization",
        "content-length",
        "content-type",
        "prefer",
        "transfer-encoding",
        "host",
        "connection",
        "origin",
        "expect",
        "x-unheard-of",
    ];
    let gateway = Gateway::start();
    let server = Server::of(gateway.endpoint(Place::Gateway).verifier(PEOPLE));
    let mut random = fastrand::Rng::with_seed(0x5eed);
    let mut attempts = 0;
    for case in 0..300 {
        let value: Vec<u8> = match case % 5 {
            0 => Vec::new(),
            1 => vec![b'a'; random.usize(1..40_000)],
            2 => (0..random.usize(1..40)).map(|_| random.u8(..)).collect(),
            3 => random.i64(..).to_string().into_bytes(),
            _ => b"wait=-1, wait=99999999999999999999, wait=1e9, Bearer, chunked, gzip".to_vec(),
        };
        let name = random.choice(NAMES).unwrap_or_default();
        let head = format!(
            "GET /api/gateway/drain/x HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer token-a\r\n{name}: "
        );
        let bytes = [head.as_bytes(), &value, b"\r\n\r\n"].concat();
        let code = code(&exchange(&server, &bytes, true));
        assert!(code.is_none_or(|code| (400..500).contains(&code)), "case {case}: {name} gave {code:?}");
        assert_eq!(
            gateway.reconciler.controller().state(),
            DrainState::Running,
            "case {case}: {name} moved the gateway"
        );
        attempts += 1;
    }
    attempts
}
