//! A gateway and its control routes on a real socket, with a plain client. Every answer that the client gets is compared
//! with the description that the endpoint itself serves: a code that it doesn't name fails the test.

use axum::Router;
use gateway_drain::controller::Settings;
use gateway_drain::http::Endpoint;
use gateway_drain::reconciler::Options;
use gateway_drain::{Clock, Home, Reconciler, Snapshot};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

/// Where the endpoint is: both must behave alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Gateway,
    Dashboard,
}

pub const PLACES: [Place; 2] = [Place::Gateway, Place::Dashboard];

pub struct Gateway {
    pub reconciler: Arc<Reconciler>,
    pub clock: Clock,
    pub folder: tempfile::TempDir,
}

impl Gateway {
    /// A gateway in a fresh home, whose leases run on a clock that the test moves.
    pub fn start() -> Self {
        Self::start_in(tempfile::tempdir().expect("a temporary folder"))
    }

    pub fn start_in(folder: tempfile::TempDir) -> Self {
        Self::start_with(folder, Duration::from_millis(20), true)
    }

    /// A gateway that looks only when it is kicked.
    pub fn start_idle() -> Self {
        Self::start_with(tempfile::tempdir().expect("a temporary folder"), Duration::from_secs(3600), false)
    }

    fn start_with(folder: tempfile::TempDir, tick: Duration, events: bool) -> Self {
        let clock = Clock::manual();
        // Ahead of the machine's, by which a reader in another process would find everything here too old.
        clock.advance(Clock::boot().now() + Duration::from_secs(1000));
        let settings = Settings { clock: clock.clone(), ..Settings::default() };
        let options = Options { tick, events, settings, ..Options::default() };
        let reconciler = Reconciler::start(Home::at(folder.path()), options).expect("the gateway starts");
        Self { reconciler: Arc::new(reconciler), clock, folder }
    }

    pub fn home(&self) -> Home {
        Home::at(self.folder.path())
    }

    pub fn endpoint(&self, place: Place) -> Endpoint {
        match place {
            Place::Gateway => Endpoint::of_gateway(self.reconciler.clone()),
            Place::Dashboard => Endpoint::of_home(self.home()),
        }
    }

    /// Lets time pass, and waits until the gateway has published what came of it.
    pub fn pass(&self, time: Duration, says: impl Fn(&Snapshot) -> bool) {
        self.clock.advance(time);
        self.until(says);
    }

    /// Waits until the published status says so.
    #[track_caller]
    pub fn until(&self, says: impl Fn(&Snapshot) -> bool) {
        self.reconciler.kick();
        let seen = crate::support::eventually::until(&self.home(), "what the test waits for", says).drain.revision;
        // The file is there a moment before its gateway knows that it is.
        crate::support::eventually::comes_true("the gateway has published", || {
            self.reconciler.snapshot().drain.revision >= seen
        });
    }
}

/// A server of some routes on loopback.
pub struct Server {
    runtime: Option<Runtime>,
    pub address: SocketAddr,
    agent: ureq::Agent,
    description: Value,
}

impl Server {
    pub fn of(endpoint: Endpoint) -> Self {
        Self::of_routes(endpoint.routes())
    }

    pub fn of_routes(routes: Router) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let service = routes.into_make_service_with_connect_info::<SocketAddr>();
        runtime.spawn(async move { axum::serve(listener, service).await });
        let config = crate::support::http_client::config().timeout_global(Some(LIMIT)).build();
        let mut server = Self { runtime: Some(runtime), address, agent: config.into(), description: Value::Null };
        // Routes that are nested have it elsewhere.
        let description = server.send("GET", "/api/openapi.json", &[], b"");
        server.description = if description.code == 200 { description.json() } else { Value::Null };
        server
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    /// To the drain endpoint, with a token unless that is empty.
    pub fn drain(&self, token: &str, body: &str) -> Answer {
        self.send("POST", "/api/gateway/drain", &bearer(token), body.as_bytes())
    }

    pub fn hold(&self, token: &str, id: &str) -> Answer {
        self.send("GET", &format!("/api/gateway/drain/{id}"), &bearer(token), b"")
    }

    pub fn send(&self, method: &str, path: &str, headers: &[(String, String)], body: &[u8]) -> Answer {
        let mut request = ureq::http::Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let mut response = self.agent.run(request.body(body).expect("a request")).expect("an answer");
        let headers = response.headers().clone();
        let body = response.body_mut().read_to_string().expect("a body of text");
        let answer = Answer { code: response.status().as_u16(), headers, body };
        self.compare(method, path, &answer);
        answer
    }

    fn compare(&self, method: &str, path: &str, answer: &Answer) {
        let Some(paths) = self.description["paths"].as_object() else { return };
        let path = path.split('?').next().unwrap_or_default();
        let described = paths.get(path).or_else(|| {
            let id = path.strip_prefix("/api/gateway/drain/").filter(|id| !id.is_empty() && !id.contains('/'));
            id.and_then(|_| paths.get("/api/gateway/drain/{request_id}"))
        });
        let Some(described) = described else { return };
        let is_head = method == "HEAD";
        let method = described.get(method.to_lowercase()).or_else(|| described.as_object()?.values().next());
        let responses = &method.expect("a described path has a method")["responses"];
        let code = &responses[answer.code.to_string()];
        assert!(
            !code.is_null(),
            "{path} answered {} ({}), which its description doesn't name",
            answer.code,
            answer.body
        );
        let kind = answer.header("content-type").split(';').next().unwrap_or_default().to_owned();
        assert!(code["content"].get(&kind).is_some(), "{path} answered {} as {kind}", answer.code);
        let body = if kind.ends_with("json") && !is_head { answer.json() } else { Value::String(answer.body.clone()) };
        let schema = &code["content"][&kind]["schema"];
        let fits = self.fits(schema, &body);
        assert!(is_head || fits, "{path} answered {}: {}\nwhich is no {schema}", answer.code, answer.body);
    }

    /// Follows a reference to its schema.
    fn resolved<'a>(&'a self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str() {
            Some(to) => self.description.pointer(to.trim_start_matches('#')).expect("a reference leads somewhere"),
            None => schema,
        }
    }

    /// Every field that an object of this schema may have.
    fn fields<'a>(&'a self, schema: &'a Value) -> Vec<(&'a String, &'a Value)> {
        let schema = self.resolved(schema);
        let parts = schema["allOf"].as_array().into_iter().flatten().flat_map(|part| self.fields(part));
        schema["properties"].as_object().into_iter().flatten().chain(parts).collect()
    }

    /// Whether a body is what a schema says, and says nothing besides: as much of JSON Schema as the description uses.
    fn fits(&self, schema: &Value, value: &Value) -> bool {
        let schema = self.resolved(schema);
        if let Some(any) = schema["anyOf"].as_array().or(schema["oneOf"].as_array()) {
            return any.iter().any(|one| self.fits(one, value));
        }
        let is = |kind: &Value| match kind.as_str() {
            Some("null") => value.is_null(),
            Some("string") => value.is_string(),
            Some("boolean") => value.is_boolean(),
            Some("integer") => value.is_u64() || value.is_i64(),
            Some("number") => value.is_number(),
            Some("array") => value.is_array(),
            Some("object") => value.is_object(),
            _ => false,
        };
        let types = match &schema["type"] {
            Value::Array(types) => types.iter().any(is),
            Value::Null => true,
            one => is(one),
        };
        let word = schema["enum"].as_array().is_none_or(|words| value.is_null() || words.contains(value));
        let items = value.as_array().is_none_or(|all| all.iter().all(|item| self.fits(&schema["items"], item)));
        let fields = self.fields(schema);
        let object = value.as_object().is_none_or(|object| {
            let required = schema["required"].as_array().into_iter().flatten();
            let described = |name: &String| fields.iter().find(|(field, _)| *field == name).map(|(_, schema)| *schema);
            required.filter_map(Value::as_str).all(|name| object.contains_key(name))
                && (fields.is_empty()
                    || object
                        .iter()
                        .all(|(name, value)| described(name).is_some_and(|schema| self.fits(schema, value))))
        });
        types && word && items && object
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

const LIMIT: Duration = Duration::from_secs(90);

pub fn bearer(token: &str) -> Vec<(String, String)> {
    if token.is_empty() { Vec::new() } else { vec![("authorization".into(), format!("Bearer {token}"))] }
}

pub struct Answer {
    pub code: u16,
    pub headers: ureq::http::HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The code, and the word for what was wrong.
    pub fn error(&self) -> (u16, String) {
        (self.code, self.json()["error"].as_str().unwrap_or_default().to_owned())
    }
}

/// A verifier that knows tokens by heart: the name of the principal, and its scopes.
pub struct Table(pub &'static [(&'static str, &'static str, &'static str)]);

impl gateway_drain::http::auth::TokenVerifier for Table {
    fn verify<'a>(
        &'a self,
        token: &'a gateway_drain::http::auth::Token<'a>,
    ) -> gateway_drain::http::auth::Verifying<'a> {
        use gateway_drain::http::auth::{Principal, Verdict};
        let known = self.0.iter().find(|(known, ..)| known.as_bytes() == token.as_bytes());
        let verdict = known.map_or(Verdict::Rejected, |(_, name, scopes)| {
            Verdict::Accepted(Principal::new(*name, scopes.parse().expect("scopes")))
        });
        Box::pin(std::future::ready(verdict))
    }
}

/// Two controllers, one who may override, one who may only look, one who may restart.
pub const PEOPLE: Table = Table(&[
    ("token-a", "alice", "drain"),
    ("token-b", "bob", "drain"),
    ("token-o", "olga", "override"),
    ("token-r", "rita", "read"),
    ("token-x", "xaver", "restart"),
]);
