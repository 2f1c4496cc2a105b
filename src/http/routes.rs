//! The routes: one table, from which the router and the description at `/api/openapi.json` are both made.

use super::auth::Scope;
use super::problem::{ProblemBody, UnauthenticatedBody};
use super::responses::{MarkerAnswer, RemovedAnswer, RestartAnswer, StatusAnswer};
use crate::hold::RequestId;
use crate::hold::fields::{FIELDS, Field, Kind, Verb};
use crate::wire::{HoldAnswer, HoldsAnswer};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

/// What a route does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Drain,
    Holds,
    Hold,
    Status,
    Restart,
    Live,
    Ready,
    Page,
    PageStyle,
    PageScript,
    Description,
}

/// One route.
pub(super) struct Route {
    pub(super) operation: Operation,
    pub(super) method: &'static str,
    /// As it is described; a name in braces stands for one part of the path.
    pub(super) path: &'static str,
    /// What a token must allow; none is wanted otherwise. An override wants more, which only its body tells.
    pub(super) scope: Option<Scope>,
    summary: &'static str,
    kind: &'static str,
    /// Every code that it answers with, beside those of [`ANYWHERE`] and, where a token is wanted, of [`GUARDED`].
    codes: &'static [u16],
}

/// What any route may answer.
const ANYWHERE: &[u16] = &[405, 431];
/// What any route that wants a token may answer.
const GUARDED: &[u16] = &[401, 403, 429, 503];

const JSON: &str = "application/json";

pub(super) const ROUTES: [Route; 11] = [
    Route {
        operation: Operation::Drain,
        method: "post",
        path: "/api/gateway/drain",
        scope: Some(Scope::Drain),
        summary: "Drain, cancel, renew, commit or override",
        kind: JSON,
        codes: &[200, 202, 400, 404, 408, 409, 410, 412, 413, 415],
    },
    Route {
        operation: Operation::Holds,
        method: "get",
        path: "/api/gateway/drain",
        scope: Some(Scope::Read),
        summary: "Every hold, and the gateway",
        kind: JSON,
        codes: &[200],
    },
    Route {
        operation: Operation::Hold,
        method: "get",
        path: "/api/gateway/drain/{request_id}",
        scope: Some(Scope::Read),
        summary: "How one hold stands",
        kind: JSON,
        codes: &[200, 400, 404, 409, 410, 412],
    },
    Route {
        operation: Operation::Status,
        method: "get",
        path: "/api/status",
        scope: None,
        summary: "The gateway's state and its work in flight",
        kind: JSON,
        codes: &[200],
    },
    Route {
        operation: Operation::Restart,
        method: "post",
        path: "/api/gateway/restart",
        scope: Some(Scope::Restart),
        summary: "Begin the shutdown at once, superseding every drain",
        kind: JSON,
        codes: &[200, 202, 400, 408, 409, 413, 415],
    },
    Route {
        operation: Operation::Live,
        method: "get",
        path: "/livez",
        scope: None,
        summary: "Whether the process answers",
        kind: "text/plain",
        codes: &[200],
    },
    Route {
        operation: Operation::Ready,
        method: "get",
        path: "/readyz",
        scope: None,
        summary: "Whether the gateway takes work, and if not, why",
        kind: "text/plain",
        codes: &[200, 503],
    },
    Route {
        operation: Operation::Page,
        method: "get",
        path: "/drain",
        scope: None,
        summary: "A page for people",
        kind: "text/html",
        codes: &[200],
    },
    Route {
        operation: Operation::PageStyle,
        method: "get",
        path: "/drain/page.css",
        scope: None,
        summary: "The page's style",
        kind: "text/css",
        codes: &[200],
    },
    Route {
        operation: Operation::PageScript,
        method: "get",
        path: "/drain/page.js",
        scope: None,
        summary: "What keeps the page up to date",
        kind: "text/javascript",
        codes: &[200],
    },
    Route {
        operation: Operation::Description,
        method: "get",
        path: "/api/openapi.json",
        scope: None,
        summary: "This description",
        kind: JSON,
        codes: &[200],
    },
];

impl Operation {
    /// To which of the [routers](super::Routers) it belongs.
    pub(super) const fn part(self) -> Part {
        match self {
            Self::Drain | Self::Holds | Self::Hold | Self::Restart | Self::Status | Self::Description => Part::Control,
            Self::Live | Self::Ready => Part::Probes,
            Self::Page | Self::PageStyle | Self::PageScript => Part::Page,
        }
    }
}

/// What can be served apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Control,
    Probes,
    Page,
}

impl Route {
    fn codes(&self) -> impl Iterator<Item = u16> {
        let guarded = if self.scope.is_some() { GUARDED } else { &[] };
        let mut codes = [self.codes, guarded, ANYWHERE].concat();
        codes.sort_unstable();
        codes.dedup();
        codes.into_iter()
    }

    /// What a body with this code looks like.
    fn schema(&self, code: u16) -> Value {
        match (code, self.operation) {
            (401, _) => named::<UnauthenticatedBody>(),
            (200 | 202, Operation::Drain) => {
                json!({"anyOf": [named::<HoldAnswer>(), named::<MarkerAnswer>(), named::<RemovedAnswer>()]})
            }
            (200 | 202, Operation::Hold) => named::<HoldAnswer>(),
            (200 | 202, Operation::Holds) => named::<HoldsAnswer>(),
            (200 | 202, Operation::Status) => named::<StatusAnswer>(),
            (200 | 202, Operation::Restart) => named::<RestartAnswer>(),
            (200 | 202, Operation::Description) => json!({"type": "object"}),
            (200 | 202, _) | (503, Operation::Ready) => json!({"type": "string"}),
            _ => named::<ProblemBody>(),
        }
    }

    fn describe(&self) -> Value {
        let response = |code: u16| {
            let kind = match code {
                200 | 202 => self.kind,
                401 => JSON,
                503 if self.operation == Operation::Ready => self.kind,
                _ => "application/problem+json",
            };
            let meaning = axum::http::StatusCode::from_u16(code).ok().and_then(|code| code.canonical_reason());
            let content = json!({kind: {"schema": self.schema(code)}});
            (code.to_string(), json!({"description": meaning.unwrap_or_default(), "content": content}))
        };
        let mut described = json!({
            "operationId": format!("{:?}", self.operation).to_lowercase(),
            "summary": self.summary,
            "responses": self.codes().map(response).collect::<Map<_, _>>(),
        });
        if let Some(scope) = self.scope {
            described["security"] = json!([{"token": [scope.as_str()]}]);
        }
        let mut parameters = Vec::new();
        if self.path.contains("{request_id}") {
            let name = json!({"type": "string", "pattern": RequestId::PATTERN});
            parameters.push(json!({"name": "request_id", "in": "path", "required": true, "schema": name}));
        }
        if matches!(self.operation, Operation::Drain | Operation::Hold | Operation::Restart) {
            let wait = json!({"type": "string", "example": "wait=30"});
            parameters.push(json!({"name": "Prefer", "in": "header", "schema": wait}));
        }
        if self.operation == Operation::Drain {
            let tag = json!({"type": "string", "example": "\"1f0c...\""});
            parameters.push(json!({"name": "If-Match", "in": "header", "schema": tag}));
            let any = json!({"type": "string", "example": "*"});
            parameters.push(json!({"name": "If-None-Match", "in": "header", "schema": any}));
        }
        if !parameters.is_empty() {
            described["parameters"] = parameters.into();
        }
        match self.operation {
            Operation::Drain => described["requestBody"] = json!({"content": {JSON: {"schema": body()}}}),
            Operation::Restart => {
                let empty = json!({"type": "object", "maxProperties": 0});
                described["requestBody"] = json!({"content": {JSON: {"schema": empty}}});
            }
            _ => {}
        }
        described
    }
}

/// The body of the drain endpoint, from the table that the parser reads: whatever keeps to it is taken.
fn body() -> Value {
    let other: Vec<_> = Verb::ALL.into_iter().filter(|verb| *verb != Verb::Commit).map(Verb::word).collect();
    let properties = |actions: &Value| -> Map<_, _> {
        let fields = FIELDS.iter().filter(|field| field.is_over_http());
        fields.map(|field| (field.name().to_owned(), property(field, actions))).collect()
    };
    let of = |actions: Value, required: Value| {
        let properties = properties(&actions);
        json!({"type": "object", "required": required, "additionalProperties": false, "properties": properties})
    };
    let mut commit = of(json!([Verb::Commit.word()]), json!(["action", "request_id", "incarnation", "generation"]));
    commit["properties"]["incarnation"]["minLength"] = json!(1);
    commit["properties"]["incarnation"]["type"] = json!("string");
    commit["properties"]["generation"]["type"] = json!("integer");
    json!({"oneOf": [of(json!(other), json!([])), commit]})
}

fn property(field: &Field, actions: &Value) -> Value {
    let words: Vec<&str> = field.actions().collect();
    let mut schema = json!({"description": format!("{} ({})", field.meaning(), words.join(", "))});
    // Null is as if the field weren't there, but where that would mean another hold or another act.
    schema["type"] = json!([field.kind().json_type(), "null"]);
    match field.kind() {
        Kind::Action => (schema["type"], schema["enum"]) = (json!("string"), actions.clone()),
        Kind::RequestId => {
            (schema["type"], schema["pattern"]) = (json!("string"), json!(RequestId::PATTERN));
            schema["not"] = json!({"const": RequestId::marker()});
        }
        Kind::Name(most) | Kind::Note(most) => schema["maxLength"] = json!(most),
        // The empty text is as if it weren't there.
        Kind::Nonce(least, most) => (schema["minLength"], schema["maxLength"]) = (json!(least), json!(most)),
        Kind::Seconds(least, most) => (schema["minimum"], schema["maximum"]) = (json!(least), json!(most)),
        Kind::Whole(most) => (schema["minimum"], schema["maximum"]) = (json!(0), json!(most)),
        Kind::Time => schema["format"] = json!("date-time"),
        Kind::Flag => {
            // Whatever it says: only `true` counts.
            if let Some(schema) = schema.as_object_mut() {
                schema.remove("type");
            }
        }
    }
    schema
}

/// Refers to the description of a type among [`schemas`].
fn named<T: ToSchema>() -> Value {
    json!({"$ref": format!("#/components/schemas/{}", T::name())})
}

/// The bodies of the answers, from the types that are answered with.
fn schemas() -> Map<String, Value> {
    fn add<T: ToSchema>(all: &mut Vec<(String, RefOr<Schema>)>) {
        all.push((T::name().into_owned(), T::schema()));
        T::schemas(all);
    }
    let mut all = Vec::new();
    add::<HoldAnswer>(&mut all);
    add::<HoldsAnswer>(&mut all);
    add::<MarkerAnswer>(&mut all);
    add::<RemovedAnswer>(&mut all);
    add::<RestartAnswer>(&mut all);
    add::<StatusAnswer>(&mut all);
    add::<ProblemBody>(&mut all);
    add::<UnauthenticatedBody>(&mut all);
    all.into_iter().map(|(name, schema)| (name, json!(schema))).collect()
}

/// The description, of the routes that are there, below the path at which the application has nested them.
pub(super) fn description(nested_at: &str, there: impl Fn(Operation) -> bool) -> Value {
    let mut paths = Map::new();
    for route in ROUTES.iter().filter(|route| there(route.operation)) {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method] = route.describe();
    }
    json!({
        "openapi": "3.1.0",
        "servers": [{"url": nested_at}],
        "info": {"title": "gateway-drain", "version": env!("CARGO_PKG_VERSION")},
        "paths": paths,
        "components": {"schemas": schemas(), "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(operation: Operation) -> Value {
        ROUTES.iter().find(|route| route.operation == operation).expect("every operation has a route").describe()
    }

    #[test]
    fn every_route_names_the_parts_of_its_path_and_the_headers_that_it_heeds() {
        for route in &ROUTES {
            let expected: &[&str] = match route.operation {
                Operation::Drain => &["Prefer", "If-Match", "If-None-Match"],
                Operation::Hold => &["request_id", "Prefer"],
                Operation::Restart => &["Prefer"],
                _ => &[],
            };
            let described = route.describe();
            let parameters = described.get("parameters").and_then(Value::as_array);
            let names: Vec<_> = parameters.into_iter().flatten().map(|parameter| &parameter["name"]).collect();
            assert_eq!(names, expected, "{:?}", route.operation);
            assert_eq!(parameters.is_none(), expected.is_empty(), "no list where there is none: {:?}", route.operation);
        }
    }

    #[test]
    fn every_answer_is_described_by_a_schema_that_is_there() {
        let schemas = schemas();
        for route in &ROUTES {
            for code in route.codes() {
                let schema = route.schema(code);
                let what = format!("{:?} {code}: {schema}", route.operation);
                let any = schema["anyOf"].as_array().cloned();
                for schema in any.unwrap_or_else(|| vec![schema]) {
                    let named = schema["$ref"].as_str().map(|to| to.rsplit('/').next().unwrap_or_default());
                    let is_there = named.map_or_else(|| schema["type"].is_string(), |name| schemas.contains_key(name));
                    assert!(is_there, "{what}");
                }
            }
        }
        let named = |operation, code: &str| {
            let content = &described(operation)["responses"][code]["content"];
            let kinds = content.as_object().into_iter().flatten();
            let of_schema = |(kind, content): (&String, &Value)| {
                let to = content["schema"]["$ref"].as_str().unwrap_or_default();
                format!("{kind} {}", to.rsplit('/').next().unwrap_or_default())
            };
            kinds.map(of_schema).collect::<Vec<_>>().join(", ")
        };
        assert_eq!(named(Operation::Hold, "200"), "application/json HoldAnswer");
        assert_eq!(named(Operation::Holds, "200"), "application/json HoldsAnswer");
        assert_eq!(named(Operation::Status, "200"), "application/json StatusAnswer");
        assert_eq!(named(Operation::Restart, "202"), "application/json RestartAnswer");
        assert_eq!(named(Operation::Drain, "401"), "application/json Unauthenticated");
        assert_eq!(named(Operation::Drain, "409"), "application/problem+json Problem");
    }

    #[test]
    fn a_body_is_described_with_the_type_of_each_field_and_a_commit_apart_with_what_it_must_name() {
        let body = body();
        let [other, commit] = body["oneOf"].as_array().map(Vec::as_slice).expect("two shapes") else {
            panic!("a commit and all else: {body}")
        };
        let fields = &other["properties"];
        assert_eq!(fields["action"]["enum"], json!(["drain", "cancel", "renew", "override"]));
        assert_eq!(commit["properties"]["action"]["enum"], json!(["commit"]));
        assert_eq!((&other["required"], &commit["required"][1]), (&json!([]), &json!("request_id")));
        assert_eq!((&fields["action"]["type"], &fields["request_id"]["type"]), (&json!("string"), &json!("string")));
        for field in ["reason", "ticket", "incarnation", "token", "nonce"] {
            assert_eq!(fields[field]["type"], json!(["string", "null"]), "{field}");
        }
        for field in ["lease_seconds", "deadline_seconds", "unready_delay_seconds"] {
            assert_eq!(fields[field]["type"], json!(["number", "null"]), "{field}");
        }
        assert_eq!(fields["generation"]["type"], json!(["integer", "null"]));
        assert_eq!(fields["suppress_notification"].get("type"), None, "it may be anything, and only `true` counts");
        assert_eq!(commit["properties"]["incarnation"]["type"], json!("string"));
        assert_eq!(commit["properties"]["generation"]["type"], json!("integer"));
    }
}
