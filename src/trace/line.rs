//! The format: what one line of a trace says. `docs/trace.md` tells it to people, `docs/trace.schema.json` to programs.
//!
//! `FIELDS` and [`LineEvent::needs`] are the one place where it is written: the [writer](super::Trace) and the checker
//! share [`Line`], and the schema is made from the two tables.

use crate::control::Epoch;
use crate::gate::Generation;
use crate::hold::{Ending, Incarnation, RequestId, Source};
use crate::state::{DrainState, Event};
use crate::status::GatewayState;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The version of the format.
pub const FORMAT: u32 = 1;

/// What a line tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineEvent {
    /// A process begins, or its trace does.
    Start,
    /// The gate closed for a hold.
    BeginDrain,
    /// The gate reopened.
    EndDrain,
    /// The shutdown began.
    BeginShutdown,
    /// The gateway stopped.
    Stop,
    /// The work in flight was asked to give up.
    Interrupted,
    /// A hold appeared.
    HoldBegun,
    /// A hold's lease was renewed.
    HoldRenewed,
    /// A hold's owner got the right to act.
    HoldCommitted,
    /// A hold is gone.
    HoldEnded,
    /// A piece of work was admitted.
    Admit,
    /// A piece of work is about to give its permit back.
    Finish,
    /// A look at the gate.
    Reading,
    /// A status as it was published.
    Status,
}

/// Which of the two counts a piece of work is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// A turn.
    Turn,
    /// Internal work.
    Internal,
}

/// A hold as a `start` line lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartHold {
    /// Its name.
    pub request: RequestId,
    /// To whom it belongs.
    pub owner: String,
    /// Where it is kept.
    pub source: Source,
    /// It has not closed the gate yet.
    #[serde(default, skip_serializing_if = "is_false")]
    pub pending: bool,
    /// Its owner has the right to act.
    #[serde(default, skip_serializing_if = "is_false")]
    pub committed: bool,
}

/// In what order the lines of a process are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// In that of `docs/trace.md`: by one lock over the gate's looks and the log, as this crate's writer does.
    Strict,
    /// In any: several threads log, each when it comes to it. Only what each line says by itself can be judged.
    Loose,
}

/// One line. Which fields it has depends on its event: see [`LineEvent::needs`] and [`LineEvent::may_have`]. Fields of other
/// names are taken, and not judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each field is told in `FIELDS`")]
pub struct Line {
    pub event: LineEvent,
    pub incarnation: Incarnation,
    pub sequence: u64,
    pub state: DrainState,
    pub generation: Generation,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub internal: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drained: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abandoned: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unready_delay_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<Work>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<GatewayState>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Incarnation>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holds: Option<Vec<StartHold>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Value>,
}

/// Every field: its name, what values it has (a piece of JSON Schema), and what it means.
pub fn fields() -> [(&'static str, Value, &'static str); 23] {
    let text = || json!({"type": "string"});
    let name = || json!({"type": "string", "minLength": 1});
    let count = || json!({"type": "integer", "minimum": 0});
    let flag = || json!({"type": "boolean"});
    let source = || json!({"enum": [Source::Process, Source::File]});
    let endings = [Ending::Withdrawn, Ending::Expired, Ending::Overridden, Ending::Absorbed];
    let words = [
        GatewayState::Starting,
        GatewayState::Running,
        GatewayState::Draining,
        GatewayState::Stopped,
        GatewayState::StartupFailed,
    ];
    let hold = json!({
        "type": "object",
        "properties": {
            "request": name(), "owner": text(), "source": source(), "pending": flag(), "committed": flag(),
        },
        "required": ["request", "owner", "source"],
    });
    [
        ("event", json!({"enum": LineEvent::ALL}), "What the line tells of."),
        ("incarnation", name(), "Which process: a name that no other process has."),
        ("sequence", count(), "Counts the lines of this process, from 0, without a gap."),
        ("state", json!({"enum": DrainState::ALL}), "Where the gateway stands after the event."),
        ("generation", count(), "Which drain: rises by one whenever the gate closes."),
        ("in_flight", count(), "Turns in flight."),
        ("internal", count(), "Internal work in flight."),
        ("drained", flag(), "Closed, and nothing in flight."),
        ("abandoned", flag(), "Stopped by force, with what is counted still in flight."),
        ("request", name(), "Which hold."),
        ("owner", text(), "To whom the hold belongs."),
        ("by", text(), "Who did it: the owner, another who overrides, or the gateway itself (empty)."),
        ("source", source(), "Where the hold is kept."),
        ("unready_delay_ms", count(), "How long after it appeared the hold closes the gate."),
        ("ending", json!({"enum": endings}), "How the hold ended."),
        ("work", json!({"enum": [Work::Turn, Work::Internal]}), "Which of the two counts the work is in."),
        ("published", json!({"enum": words}), "The word for the state in the published status."),
        ("format", json!({"const": FORMAT}), "The version of this format."),
        ("epoch", text(), "Which boot; empty where that can't be known."),
        ("after", name(), "The process that ran in this home before."),
        ("holds", json!({"type": "array", "items": hold}), "The holds there are as the trace begins."),
        (
            "order",
            json!({"enum": [Order::Strict, Order::Loose]}),
            "Whether the lines are in the order told below; strict if it isn't said.",
        ),
        ("note", json!(true), "Anything; it is not judged."),
    ]
}

/// On every line.
pub const ALWAYS: [&str; 5] = ["event", "incarnation", "sequence", "state", "generation"];

impl LineEvent {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Start,
        Self::BeginDrain,
        Self::EndDrain,
        Self::BeginShutdown,
        Self::Stop,
        Self::Interrupted,
        Self::HoldBegun,
        Self::HoldRenewed,
        Self::HoldCommitted,
        Self::HoldEnded,
        Self::Admit,
        Self::Finish,
        Self::Reading,
        Self::Status,
    ];

    /// What a line of this event has beside [`ALWAYS`].
    #[must_use]
    pub const fn needs(self) -> &'static [&'static str] {
        match self {
            Self::Start => &["format", "epoch", "in_flight", "internal", "holds"],
            Self::BeginDrain
            | Self::EndDrain
            | Self::BeginShutdown
            | Self::Stop
            | Self::Interrupted
            | Self::Reading => &["in_flight", "internal"],
            Self::HoldBegun => &["request", "owner", "by", "source"],
            Self::HoldRenewed | Self::HoldCommitted => &["request", "owner", "by"],
            Self::HoldEnded => &["request", "owner", "by", "ending"],
            Self::Admit | Self::Finish => &["work", "in_flight", "internal"],
            Self::Status => &["published", "in_flight", "internal"],
        }
    }

    /// What it may have as well, beside `note`.
    #[must_use]
    pub const fn may_have(self) -> &'static [&'static str] {
        match self {
            Self::Start => &["after", "drained", "abandoned", "order"],
            Self::HoldBegun => &["unready_delay_ms"],
            Self::HoldCommitted => &["source", "in_flight", "internal"],
            Self::HoldRenewed | Self::HoldEnded => &["source"],
            _ => &["drained", "abandoned"],
        }
    }

    /// The event of the table that moved the state, if one did.
    #[must_use]
    pub const fn moves(self) -> Option<Event> {
        match self {
            Self::BeginDrain => Some(Event::BeginDrain),
            Self::EndDrain => Some(Event::EndDrain),
            Self::BeginShutdown => Some(Event::BeginShutdown),
            Self::Stop => Some(Event::Stop),
            _ => None,
        }
    }
}

impl From<Event> for LineEvent {
    fn from(event: Event) -> Self {
        match event {
            Event::BeginDrain => Self::BeginDrain,
            Event::EndDrain => Self::EndDrain,
            Event::BeginShutdown => Self::BeginShutdown,
            Event::Stop => Self::Stop,
        }
    }
}

impl Line {
    /// A line with nothing but what every line has.
    #[must_use]
    pub fn new(event: LineEvent, incarnation: Incarnation, state: DrainState, generation: Generation) -> Self {
        Self {
            event,
            incarnation,
            sequence: 0,
            state,
            generation,
            in_flight: None,
            internal: None,
            drained: None,
            abandoned: None,
            request: None,
            owner: None,
            by: None,
            source: None,
            unready_delay_ms: None,
            ending: None,
            work: None,
            published: None,
            format: None,
            epoch: None,
            after: None,
            holds: None,
            order: None,
            note: None,
        }
    }

    /// The first field that the event needs and the line lacks, or that the line has and its event doesn't.
    #[must_use]
    pub fn misfit(&self) -> Option<&'static str> {
        let has = [
            ("in_flight", self.in_flight.is_some()),
            ("internal", self.internal.is_some()),
            ("drained", self.drained.is_some()),
            ("abandoned", self.abandoned.is_some()),
            ("request", self.request.is_some()),
            ("owner", self.owner.is_some()),
            ("by", self.by.is_some()),
            ("source", self.source.is_some()),
            ("unready_delay_ms", self.unready_delay_ms.is_some()),
            ("ending", self.ending.is_some()),
            ("work", self.work.is_some()),
            ("published", self.published.is_some()),
            ("format", self.format.is_some()),
            ("epoch", self.epoch.is_some()),
            ("after", self.after.is_some()),
            ("holds", self.holds.is_some()),
            ("order", self.order.is_some()),
        ];
        let (needs, may_have) = (self.event.needs(), self.event.may_have());
        let misfit = |(name, has): &(&'static str, bool)| match has {
            true => !needs.contains(name) && !may_have.contains(name),
            false => needs.contains(name),
        };
        has.iter().find(|field| misfit(field)).map(|(name, _)| *name)
    }
}

/// The JSON Schema of a line.
#[must_use]
pub fn schema() -> Value {
    let described = |(name, mut value, meaning): (&str, Value, &str)| {
        if value == json!(true) {
            value = json!({});
        }
        value["description"] = json!(meaning);
        (name.to_owned(), value)
    };
    let properties: serde_json::Map<String, Value> = fields().map(described).into_iter().collect();
    let of_event = |event: LineEvent| {
        let allowed = |name: &str| {
            name == "note" || [&ALWAYS, event.needs(), event.may_have()].iter().any(|names| names.contains(&name))
        };
        // Fields that nobody knows are taken; known ones only where they belong.
        let known: serde_json::Map<String, Value> =
            fields().iter().map(|(name, ..)| ((*name).to_owned(), json!(allowed(name)))).collect();
        json!({
            "if": {"properties": {"event": {"const": event}}},
            "then": {"properties": known, "required": event.needs()},
        })
    };
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "One line of a gateway's trace",
        "type": "object",
        "properties": properties,
        "required": ALWAYS,
        "allOf": LineEvent::ALL.map(of_event),
    })
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls it with")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}
