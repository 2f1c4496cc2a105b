//! A dashboard process beside a gateway process answers as the gateway process does by itself: the same requests are sent to
//! either, and the answers are compared byte for byte, but for times and names that are new in each run.

use crate::support::process::{DashboardProcess, GatewayProcess, home};
use crate::support::tool::{LIMIT, drain};
use gateway_drain::client::ExitCode;
use gateway_drain::control::Epoch;
use gateway_drain::{Channel, Home, Request, RequestId, Snapshot};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

/// What differs from one run to the next: moments, durations, and names that are random.
const VOLATILE: [&str; 7] = [
    "requested_at",
    "gateway_updated_at",
    "nonce",
    "incarnation",
    "first_seen_millis",
    "age_seconds",
    "lease_left_seconds",
];

/// What of an answer's head is the endpoint's own.
const HEADERS: [&str; 7] = [
    "content-type",
    "cache-control",
    "allow",
    "www-authenticate",
    "preference-applied",
    "content-security-policy",
    "x-content-type-options",
];

/// One step: of a client, or of the world around.
enum Step {
    /// A request. In its body `@incarnation`, `@generation` and `@nonce` are those of the last answer that had them.
    Ask(&'static str, &'static str, &'static [(&'static str, &'static str)], &'static str),
    /// A turn begins, and lasts until it is left.
    Turn,
    Leave,
    /// Bob, on the machine itself, holds the gate by the files.
    Bob,
    Touch,
    /// A file that another boot left.
    Restored,
    Until(&'static str, fn(&Snapshot) -> bool),
    /// The endpoint's word follows the file, in which a status is seen before it is known to be on the disk.
    Answered(&'static str, u16),
}

use Step::{Answered, Ask, Bob, Leave, Restored, Touch, Turn, Until};

const DRAIN: &str = "/api/gateway/drain";
const HOLD: &str = "/api/gateway/drain/upgrade";
const NONE: &[(&str, &str)] = &[];
const NOW: &[(&str, &str)] = &[("prefer", "wait=0")];
const SOON: &[(&str, &str)] = &[("prefer", "wait=1")];
const LONG: &[(&str, &str)] = &[("prefer", "wait=60")];

const fn post(body: &'static str) -> Step {
    Ask("POST", DRAIN, NONE, body)
}

const fn get(path: &'static str) -> Step {
    Ask("GET", path, NONE, "")
}

const STEPS: &[Step] = &[
    get("/livez"),
    get("/readyz"),
    get("/api/status"),
    get("/api/openapi.json"),
    get("/drain/page.css"),
    get("/drain/page.js"),
    get("/nowhere"),
    // The marker, in the reference's form.
    post(r#"{"action":"drain"}"#),
    get("/readyz"),
    get("/api/status"),
    get("/api/gateway/drain/marker"),
    post(r#"{"action":"cancel"}"#),
    post(r#"{"action":"cancel"}"#),
    post(""),
    post("{}"),
    post(r#"{"action":"renew","suppress_notification":true}"#),
    post(r#"{"action":"commit"}"#),
    post(r#"{"action":"override"}"#),
    post(r#"{"action":"override"}"#),
    Touch,
    Answered("/api/gateway/drain/marker", 200),
    get("/api/gateway/drain/marker"),
    post(r#"{"action":"cancel"}"#),
    // A hold of its own, from begin to cancel.
    get(HOLD),
    post(r#"{"action":"renew","request_id":"upgrade"}"#),
    Turn,
    Until("a turn", |status| status.active_agents == Some(1)),
    get("/api/status"),
    post(r#"{"action":"drain","request_id":"upgrade","reason":"to 1.4","lease_seconds":600,"deadline_seconds":60}"#),
    get(HOLD),
    get(DRAIN),
    Ask("GET", HOLD, SOON, ""),
    post(r#"{"action":"commit","request_id":"upgrade","incarnation":"@incarnation","generation":@generation}"#),
    Leave,
    Ask("GET", HOLD, LONG, ""),
    post(r#"{"action":"commit","request_id":"upgrade","incarnation":"another","generation":@generation}"#),
    post(r#"{"action":"commit","request_id":"upgrade","incarnation":"@incarnation","generation":999}"#),
    post(r#"{"action":"commit","request_id":"upgrade","incarnation":"@incarnation","generation":@generation}"#),
    get("/api/status"),
    get(HOLD),
    post(r#"{"action":"cancel","request_id":"upgrade"}"#),
    post(r#"{"action":"cancel","request_id":"upgrade","token":"another"}"#),
    post(r#"{"action":"cancel","request_id":"upgrade","token":"@nonce"}"#),
    get(HOLD),
    get("/readyz"),
    // Committed, and overridden.
    post(r#"{"action":"drain","request_id":"upgrade"}"#),
    Ask("GET", HOLD, LONG, ""),
    post(r#"{"action":"commit","request_id":"upgrade","incarnation":"@incarnation","generation":@generation}"#),
    post(r#"{"action":"override","request_id":"upgrade"}"#),
    // Somebody else's.
    Bob,
    Answered(HOLD, 200),
    get(HOLD),
    post(r#"{"action":"drain","request_id":"upgrade"}"#),
    post(r#"{"action":"renew","request_id":"upgrade"}"#),
    post(r#"{"action":"cancel","request_id":"upgrade"}"#),
    post(r#"{"action":"override","request_id":"upgrade"}"#),
    // About to close; and a lease that runs out, which is long enough for a slow machine to see it begun first.
    post(r#"{"action":"drain","request_id":"upgrade","unready_delay_seconds":600}"#),
    get("/readyz"),
    get("/api/status"),
    get(HOLD),
    post(r#"{"action":"commit","request_id":"upgrade","incarnation":"@incarnation","generation":@generation}"#),
    post(r#"{"action":"cancel","request_id":"upgrade"}"#),
    post(r#"{"action":"drain","request_id":"upgrade","lease_seconds":4}"#),
    Answered(HOLD, 410),
    get(HOLD),
    post(r#"{"action":"renew","request_id":"upgrade"}"#),
    post(r#"{"action":"cancel","request_id":"upgrade"}"#),
    // The cancel has cleared the file away; the answer to it goes with the next look.
    Until("that nothing lies there", |status| status.drain.acknowledged.is_empty()),
    // What makes no sense.
    post("{"),
    post("[]"),
    post(r#"{"action":"drian"}"#),
    post(r#"{"action":"drain","requestid":"upgrade"}"#),
    post(r#"{"action":"drain","request_id":"../../etc"}"#),
    post(r#"{"action":"drain","lease_seconds":-1}"#),
    post(r#"{"action":"drain","incarnation":"another"}"#),
    get("/api/gateway/drain/.hidden"),
    Ask("GET", HOLD, &[("prefer", "wait=soon")], ""),
    Ask("POST", DRAIN, &[("origin", "http://a.page")], ""),
    Ask("DELETE", DRAIN, NONE, ""),
    Ask("POST", "/api/status", NONE, ""),
    Restored,
    Answered(HOLD, 412),
    post(r#"{"action":"cancel","request_id":"upgrade"}"#),
    get("/api/status"),
    // The end.
    Turn,
    Until("a turn", |status| status.active_agents == Some(1)),
    post(r#"{"action":"drain","request_id":"upgrade","suppress_notification":true}"#),
    Ask("POST", "/api/gateway/restart", NONE, r#"{"force":true}"#),
    Ask("POST", "/api/gateway/restart", NONE, ""),
    get("/readyz"),
    get("/livez"),
    get("/api/status"),
    get(HOLD),
    Ask("POST", DRAIN, NOW, r#"{"action":"drain","request_id":"late"}"#),
    post(r#"{"action":"cancel","request_id":"upgrade"}"#),
];

/// With a secret: the requests of clients that have it, have another, or have none.
const GUARDED: &[Step] = &[
    get(HOLD),
    post(""),
    Ask("POST", DRAIN, &[("authorization", "Bearer ")], ""),
    Ask("POST", DRAIN, &[("authorization", "Bearer wrong")], ""),
    Ask("POST", DRAIN, &[("authorization", "Basic wrong")], ""),
    Ask("POST", DRAIN, SECRET, ""),
    Ask("POST", DRAIN, SECRET, r#"{"action":"override"}"#),
    Ask("POST", "/api/gateway/restart", SECRET, ""),
    Ask("GET", "/api/gateway/drain/marker", SECRET, ""),
    Ask("POST", DRAIN, SECRET, r#"{"action":"cancel"}"#),
    get("/api/status"),
];
const SECRET: &[(&str, &str)] = &[("authorization", "@secret")];

/// One gateway, and who answers for it.
struct Side {
    gateway: GatewayProcess,
    _dashboard: Option<DashboardProcess>,
    url: String,
    home: tempfile::TempDir,
    secret: Option<String>,
}

impl Side {
    fn start(with_dashboard: bool, secret: Option<&str>) -> Self {
        let home = home();
        let gateway = match secret {
            Some(secret) => GatewayProcess::start_with_secret(home.path(), secret, "127.0.0.1:0"),
            None => GatewayProcess::start(home.path()),
        };
        let dashboard = with_dashboard.then(|| DashboardProcess::start(home.path(), secret));
        let address = dashboard.as_ref().map_or(&gateway.address, |dashboard| &dashboard.address);
        let url = format!("http://{address}");
        Self { gateway, _dashboard: dashboard, url, home, secret: secret.map(str::to_owned) }
    }

    fn channel(&self) -> Channel {
        Channel::new(Home::at(self.home.path()))
    }

    /// The answer to each request, with what is volatile in it named rather than shown.
    fn answers(&self, steps: &[Step]) -> Vec<String> {
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(LIMIT));
        let agent: ureq::Agent = config.build().into();
        let (mut told, mut last, mut turn) = (Vec::new(), Last::default(), None);
        for step in steps {
            match step {
                Ask(method, path, headers, body) => {
                    let body = last.fill(body);
                    let mut request = ureq::http::Request::builder().method(*method).uri(format!("{}{path}", self.url));
                    for (name, value) in *headers {
                        let bearer = format!("Bearer {}", self.secret.as_deref().unwrap_or_default());
                        request = request.header(*name, value.replace("@secret", &bearer));
                    }
                    let mut answer = agent.run(request.body(body.as_str()).expect("a request")).expect("an answer");
                    let text = answer.body_mut().read_to_string().expect("text");
                    last.take(&text);
                    let headers = HEADERS.map(|name| (name, answer.headers().get(name).cloned()));
                    let code = answer.status().as_u16();
                    told.push(format!("{method} {path} {body}\n{code} {headers:?}\n{}", without_volatile(&text)));
                }
                Turn => {
                    let post = ureq::post(format!("http://{}/turns", self.gateway.address));
                    let post = post.header("content-type", "application/json");
                    turn = Some(post.send(r#"{"session": "s1", "millis": 600000}"#).expect("it is admitted"));
                }
                Leave => drop(turn.take()),
                Bob => drop(drain(self.home.path(), &["--owner", "bob", "begin", "upgrade"]).expect(ExitCode::Drained)),
                Touch => std::fs::write(Home::at(self.home.path()).marker(), "").expect("a marker"),
                Restored => {
                    let channel = Channel::of_epoch(self.channel().home().clone(), Epoch::from("another:1".to_owned()));
                    channel.write(&Request::begin(id(), "bob")).expect("a file");
                }
                Until(what, wanted) => drop(self.gateway.until(what, wanted)),
                Answered(path, code) => self.until_answered(&agent, path, *code),
            }
        }
        told
    }

    /// Waits until a `GET` is answered with this code.
    fn until_answered(&self, agent: &ureq::Agent, path: &str, code: u16) {
        let deadline = Instant::now() + LIMIT;
        loop {
            let answered = agent.get(format!("{}{path}", self.url)).call().expect("an answer").status().as_u16();
            if answered == code {
                return;
            }
            assert!(Instant::now() < deadline, "{path} is answered with {answered}, and never with {code}");
            std::thread::yield_now();
        }
    }
}

fn id() -> RequestId {
    RequestId::new("upgrade").expect("an id")
}

/// What the last answers named.
#[derive(Default)]
struct Last {
    incarnation: String,
    generation: String,
    nonce: String,
}

impl Last {
    fn take(&mut self, answer: &str) {
        let answer: Value = serde_json::from_str(answer).unwrap_or_default();
        let gateway = &answer["gateway"];
        if let (Some(incarnation), Some(generation)) = (gateway["incarnation"].as_str(), gateway["generation"].as_u64())
        {
            (self.incarnation, self.generation) = (incarnation.to_owned(), generation.to_string());
        }
        if let Some(nonce) = answer["nonce"].as_str() {
            nonce.clone_into(&mut self.nonce);
        }
    }

    fn fill(&self, body: &str) -> String {
        let body = body.replace("@incarnation", &self.incarnation).replace("@generation", &self.generation);
        body.replace("@nonce", &self.nonce)
    }
}

/// The text with every volatile value left out that is there; `null` is a value like any other and stays.
fn without_volatile(text: &str) -> String {
    let mut text = text.to_owned();
    for name in VOLATILE {
        let (key, mut from) = (format!("\"{name}\":"), 0);
        while let Some(at) = text[from..].find(&key) {
            let start = from + at + key.len();
            let value = &text[start..];
            let length = match value.strip_prefix('"') {
                Some(quoted) => quoted.find('"').map_or(value.len(), |end| end + 2),
                None => value.find([',', '}']).unwrap_or(value.len()),
            };
            if &value[..length] != "null" {
                text.replace_range(start..start + length, "…");
            }
            from = start;
        }
    }
    text
}

fn compared(steps: &[Step], secret: Option<&str>, codes: &[&str]) -> Vec<String> {
    let (one, other) = std::thread::scope(|scope| {
        let alone = scope.spawn(|| Side::start(false, secret).answers(steps));
        let beside = scope.spawn(|| Side::start(true, secret).answers(steps));
        (alone.join().expect("the gateway answers"), beside.join().expect("the dashboard answers"))
    });
    for (gateways, dashboards) in one.iter().zip(&other) {
        // The commit's token is in the request, and new in each run.
        let asked = |told: &str| told.lines().skip(1).collect::<Vec<_>>().join("\n");
        assert_eq!(asked(gateways), asked(dashboards), "to {}", gateways.lines().next().unwrap_or_default());
    }
    // What the steps are meant to meet, they met.
    let met: BTreeSet<&str> = one.iter().filter_map(|told| told.lines().nth(1)?.get(..3)).collect();
    assert_eq!(met.into_iter().collect::<Vec<_>>(), codes);
    let asks = steps.iter().filter(|step| matches!(step, Ask(..))).count();
    assert_eq!((one.len(), other.len()), (asks, asks));
    one
}

#[test]
fn a_dashboard_process_answers_as_the_gateways_own_process_does() {
    let answers = compared(STEPS, None, &["200", "400", "403", "404", "405", "409", "410", "412", "503"]);
    for outcome in ["held", "pending", "committed", "withdrawn", "overridden"] {
        assert!(
            answers.iter().any(|told| told.contains(&format!(r#""outcome":"{outcome}""#))),
            "nothing was {outcome}"
        );
    }
}

#[test]
fn a_dashboard_process_knows_and_refuses_the_same_tokens() {
    let secret = drain(Path::new("/"), &["secret", "new"]).expect(ExitCode::Drained).stdout;
    compared(GUARDED, Some(secret.trim()), &["200", "401", "403"]);
}

#[test]
fn what_is_volatile_is_left_out_and_nothing_else_is() {
    let text = r#"{"ok":true,"nonce":"abc","age_seconds":1.5,"lease_left_seconds":null,"holds":[{"nonce":"d"}]}"#;
    let left = r#"{"ok":true,"nonce":…,"age_seconds":…,"lease_left_seconds":null,"holds":[{"nonce":…}]}"#;
    assert_eq!(without_volatile(text), left);
}

#[test]
fn who_writes_after_another_to_a_gateway_that_stands_still_waits_no_longer_than_the_first() {
    let home = home();
    let gateway = GatewayProcess::start(home.path());
    let dashboard = DashboardProcess::start(home.path(), None);
    gateway.freeze();
    let write = || {
        let asked = ureq::post(format!("http://{}{DRAIN}", dashboard.address)).header("prefer", "wait=8");
        let asked = asked.header("content-type", "application/json");
        asked.send(r#"{"action": "drain", "request_id": "upgrade"}"#).unwrap().status().as_u16()
    };
    assert_eq!(write(), 202);
    let began = Instant::now();
    assert_eq!(write(), 202);
    assert!(began.elapsed() < std::time::Duration::from_secs(15), "{:?}", began.elapsed());
    gateway.thaw();
    gateway.until("the hold", |status| status.drain.holds.len() == 1);
}
