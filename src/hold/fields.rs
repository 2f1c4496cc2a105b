//! The fields of a request: one table for every place where a request is written, read or described.
//!
//! The reader and the writer of request files, the endpoint's parser, the client's body, the tables in `docs/spec.md` and
//! `docs/http.md` and the description at `/api/openapi.json` are made from [`FIELDS`]. A writer refuses what a gateway
//! could not read as it was meant; a reader of files takes what it can, and never opens the gate for the rest (C4).

mod kind;
mod reading;

pub use kind::Kind;
pub(crate) use kind::{FieldValue, Verb};
#[cfg(feature = "axum")]
pub(crate) use reading::in_body;
pub(crate) use reading::in_file;

use super::{Incarnation, Nonce, Request, RequestId};
use crate::gate::Generation;
use core::fmt;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// No name (owner, nonce, token, incarnation, epoch) is longer: 256 characters.
pub const MAX_NAME: usize = 256;

/// No reason is longer: 512 characters.
pub const MAX_REASON: usize = 512;

/// Where a field is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Medium {
    /// In a request's file: over HTTP the endpoint itself says it.
    File,
    /// In a request's file and in the body of `POST /api/gateway/drain`.
    Both,
}

/// One field of a request.
#[derive(Clone, Copy)]
pub struct Field {
    name: &'static str,
    kind: Kind,
    medium: Medium,
    verbs: &'static [Verb],
    meaning: &'static str,
    /// What a request says in it; null where it says nothing, or where only the writer of the file knows.
    says: fn(&Request) -> Value,
    /// Takes in what was said.
    hears: fn(&mut Draft, FieldValue),
}

impl Field {
    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What it can say.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// What it means, for people.
    #[must_use]
    pub const fn meaning(&self) -> &'static str {
        self.meaning
    }

    /// The words of the actions that it goes with. With any other it means nothing.
    pub fn actions(&self) -> impl Iterator<Item = &'static str> {
        self.verbs.iter().map(|verb| verb.word())
    }

    /// Whether it may stand in the body of `POST /api/gateway/drain`.
    #[must_use]
    pub fn is_over_http(&self) -> bool {
        self.medium == Medium::Both
    }

    /// Whether it is about the hold that is wanted, and not about the one write.
    #[cfg(any(feature = "axum", feature = "client", test))]
    fn is_of_the_hold(&self) -> bool {
        let names_the_write = matches!(self.kind, Kind::Action | Kind::RequestId | Kind::Nonce(..));
        self.medium == Medium::Both && self.goes_with(Verb::Drain) && !names_the_write
    }

    #[cfg(any(feature = "axum", feature = "client", test))]
    pub(crate) fn goes_with(&self, verb: Verb) -> bool {
        self.verbs.contains(&verb)
    }
}

impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Field").field("name", &self.name).field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// A request as far as its fields have said it.
pub(crate) struct Draft {
    pub(crate) verb: Option<Verb>,
    pub(crate) id: Option<RequestId>,
    pub(crate) requested_at: Option<i128>,
    pub(crate) epoch: String,
    pub(crate) request: Request,
}

impl Draft {
    fn of(request: Request) -> Self {
        Self { verb: None, id: None, requested_at: None, epoch: String::new(), request }
    }
}

/// Which of [`FIELDS`] something says.
#[cfg(any(feature = "axum", feature = "client", test))]
pub(crate) type Says = [bool; FIELDS.len()];

/// Those that this request says by itself.
#[cfg(any(feature = "client", test))]
pub(crate) fn said_by(request: &Request) -> Says {
    FIELDS.map(|field| !matches!((field.says)(request), Value::Null | Value::Bool(false)))
}

/// What a hold is asked for where it `stands` already: what `request` doesn't say stays as it is. Whatever renews or commits a
/// hold goes through here, so a field of the table can't be forgotten.
#[cfg(any(feature = "axum", feature = "client", test))]
pub(crate) fn keeping(request: Request, says: &Says, stands: &Request) -> Request {
    let mut draft = Draft::of(request);
    for (field, _) in FIELDS.iter().zip(says).filter(|(field, says)| field.is_of_the_hold() && !**says) {
        if let Some(kept) = field.kind.take(&(field.says)(stands)) {
            (field.hears)(&mut draft, kept);
        }
    }
    draft.request
}

const ALL: &[Verb] = &Verb::ALL;
const SETTING: &[Verb] = &[Verb::Drain, Verb::Renew];

/// No act and no lease is given longer: a day for a lease, and a year for an act.
const DAY: f64 = 86_400.0;
const YEAR: f64 = 365.0 * DAY;
/// What a clock that counts milliseconds can tell from nothing.
const MOMENT: f64 = 0.001;

/// Every field of a request, in the order in which it is told of.
pub const FIELDS: [Field; 15] = [
    Field {
        name: "action",
        kind: Kind::Action,
        medium: Medium::Both,
        verbs: ALL,
        meaning: "what is wanted",
        says: |request| json!(request.action),
        hears: |draft, said| draft.verb = said.verb(),
    },
    Field {
        name: "request_id",
        kind: Kind::RequestId,
        medium: Medium::Both,
        verbs: ALL,
        meaning: "which hold; without it, the marker. In a file it is for people: the file's name decides",
        says: |request| json!(request.id),
        hears: |draft, said| draft.id = said.id(),
    },
    Field {
        name: "reason",
        kind: Kind::Note(MAX_REASON),
        medium: Medium::Both,
        verbs: SETTING,
        meaning: "why, for people",
        says: |request| text(&request.notes.reason),
        hears: |draft, said| draft.request.notes.reason = said.text().unwrap_or_default(),
    },
    Field {
        name: "ticket",
        kind: Kind::Note(MAX_NAME),
        medium: Medium::Both,
        verbs: SETTING,
        meaning: "the change that it belongs to, for operators who file changes",
        says: |request| text(&request.notes.ticket),
        hears: |draft, said| draft.request.notes.ticket = said.text().unwrap_or_default(),
    },
    Field {
        name: "lease_seconds",
        kind: Kind::Seconds(1.0, DAY),
        medium: Medium::Both,
        verbs: SETTING,
        meaning: "how long the hold lasts without a renewal. Default: 3600",
        says: |request| seconds(request.lease),
        hears: |draft, said| draft.request.lease = said.seconds(),
    },
    Field {
        name: "deadline_seconds",
        kind: Kind::Seconds(MOMENT, YEAR),
        medium: Medium::Both,
        verbs: SETTING,
        meaning: "how long the act may take after the commit before the hold is shown as overdue",
        says: |request| seconds(request.deadline),
        hears: |draft, said| draft.request.deadline = said.seconds(),
    },
    Field {
        name: "unready_delay_seconds",
        kind: Kind::Seconds(0.0, 600.0),
        medium: Medium::Both,
        verbs: &[Verb::Drain],
        meaning: "how long readiness fails before the gate closes",
        says: |request| seconds(Some(request.unready_delay).filter(|delay| !delay.is_zero())),
        hears: |draft, said| draft.request.unready_delay = said.seconds().unwrap_or_default(),
    },
    Field {
        name: "suppress_notification",
        kind: Kind::Flag,
        medium: Medium::Both,
        verbs: SETTING,
        meaning: "a shutdown under this hold notifies nobody. Only an explicit `true` counts",
        says: |request| json!(request.suppress_notification),
        hears: |draft, said| draft.request.suppress_notification = matches!(said, FieldValue::Flag(true)),
    },
    Field {
        name: "incarnation",
        kind: Kind::Name(MAX_NAME),
        medium: Medium::Both,
        verbs: ALL,
        meaning: "the only process that it is meant for; a `commit` must name it",
        says: |request| json!(request.incarnation),
        hears: |draft, said| draft.request.incarnation = said.text().map(Incarnation::from),
    },
    Field {
        name: "generation",
        kind: Kind::Whole(Generation::MAX),
        medium: Medium::Both,
        verbs: &[Verb::Commit],
        meaning: "the drain that was seen; a `commit` must name it",
        says: |request| json!(request.generation),
        hears: |draft, said| draft.request.generation = said.whole().map(Generation::from),
    },
    Field {
        name: "token",
        kind: Kind::Name(MAX_NAME),
        medium: Medium::Both,
        verbs: &[Verb::Cancel],
        meaning: "the nonce of the commit, without which a committed hold can't be cancelled",
        says: |request| json!(request.token),
        hears: |draft, said| draft.request.token = said.text().map(Nonce::from),
    },
    Field {
        name: "nonce",
        kind: Kind::Nonce(16, MAX_NAME),
        medium: Medium::Both,
        verbs: ALL,
        meaning: "a name for this write, new each time and hard to guess: a commit's becomes its token. Without it, one is made",
        says: |request| json!(request.nonce),
        hears: |draft, said| draft.request.nonce = said.text().map(Nonce::from),
    },
    Field {
        name: "principal",
        kind: Kind::Name(MAX_NAME),
        medium: Medium::File,
        verbs: ALL,
        meaning: "the owner; empty if there is none",
        says: |request| json!(request.owner),
        hears: |draft, said| draft.request.owner = said.text().unwrap_or_default(),
    },
    Field {
        name: "requested_at",
        kind: Kind::Time,
        medium: Medium::File,
        verbs: ALL,
        meaning: "when it was written, by the writer's clock. Without it the file's modification time counts",
        says: |_| Value::Null,
        hears: |draft, said| draft.requested_at = said.time(),
    },
    Field {
        name: "epoch",
        kind: Kind::Name(MAX_NAME),
        medium: Medium::File,
        verbs: ALL,
        meaning: "the boot that it was written in; empty or missing where that isn't known",
        says: |_| Value::Null,
        hears: |draft, said| draft.epoch = said.text().unwrap_or_default(),
    },
];

fn seconds(duration: Option<Duration>) -> Value {
    json!(duration.map(|duration| duration.as_secs_f64()))
}

fn text(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { json!(text) }
}

/// What can't be written, because a gateway could not read it as it is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unwritable(String);

impl fmt::Display for Unwritable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unwritable {}

/// Whether a gateway could read this request from its file as it is meant.
///
/// # Errors
/// [`Unwritable`] names the field and what it may say.
///
/// ```
/// use gateway_drain::{Request, RequestId, hold::fields};
///
/// let request = Request::begin(RequestId::new("upgrade-42")?, "x".repeat(257));
/// let refused = fields::check(&request).unwrap_err();
/// assert_eq!(refused.to_string(), "`principal` has to be a text of at most 256 characters");
/// # Ok::<(), gateway_drain::hold::InvalidRequestId>(())
/// ```
pub fn check(request: &Request) -> Result<(), Unwritable> {
    for field in FIELDS.iter().filter(|field| !matches!(field.kind, Kind::RequestId | Kind::Action)) {
        let value = (field.says)(request);
        if !value.is_null() && field.kind.take(&value).is_none() {
            return Err(Unwritable(misfit(field)));
        }
    }
    Ok(())
}

fn misfit(field: &Field) -> String {
    format!("`{}` has to be {}", field.name, field.kind)
}

/// The fields of a request's file, but for what only the writer of the file knows.
pub(crate) fn of_file(request: &Request) -> Map<String, Value> {
    let said = FIELDS.iter().map(|field| (field.name.to_owned(), (field.says)(request)));
    said.filter(|(_, value)| !value.is_null()).collect()
}

/// The body that asks the endpoint for `verb`: the fields that go with it, where the request says something.
#[cfg(any(feature = "client", test))]
pub(crate) fn body(verb: Verb, request: &Request) -> Value {
    let value = |field: &Field| match field.kind {
        Kind::Action => json!(verb.word()),
        Kind::RequestId if request.id.is_marker() => Value::Null,
        Kind::Flag if !request.suppress_notification => Value::Null,
        _ => (field.says)(request),
    };
    let fields = FIELDS.iter().filter(|field| field.is_over_http() && field.goes_with(verb));
    let said = fields.map(|field| (field.name.to_owned(), value(field)));
    Value::Object(said.filter(|(_, value)| !value.is_null()).collect())
}

#[cfg(test)]
mod tests;
