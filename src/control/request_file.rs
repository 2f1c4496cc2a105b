//! How the bytes of a file become a request, and a request becomes bytes. Pure: [`scan`](super::scan) reads the files.
//!
//! The format is the reference's marker with more fields, the same for the marker and for every other hold. Reading is as
//! lenient as can be without ever opening the gate: a field that is missing or of the wrong type is as if it weren't
//! there, and something that makes no sense at all is a hold without content.

use super::epoch::Epoch;
use super::read::Content;
use crate::gate::Generation;
use crate::hold::{Action, Incarnation, Nonce, Request, RequestId, Source};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, SystemTime};

/// No name in a file (principal, nonce, token, incarnation, epoch) is longer: 256 characters.
pub const MAX_NAME: usize = 256;

/// No reason is longer: 512 characters. What is beyond them is left out.
pub const MAX_REASON: usize = 512;

/// What stands at a request's path (C4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Definitely nothing: the only finding that lets the gate open.
    Absent,
    /// A request.
    Valid(Box<Request>),
    /// A request of another boot: as good as absent (C3).
    Stale {
        /// The epoch that it was written in.
        epoch: Epoch,
    },
    /// Something else: a hold without content.
    Unreadable {
        /// What it is.
        why: String,
        /// Which write it is, if it had content at all.
        nonce: Option<Nonce>,
    },
}

/// What a file's content means to a gateway of this `epoch`.
///
/// ```
/// use gateway_drain::RequestId;
/// use gateway_drain::control::{Epoch, Found, read::Content, request_file::interpret};
/// use std::time::SystemTime;
///
/// let touched = Content { bytes: Vec::new(), modified: 0 };
/// let found = interpret(&touched, &RequestId::marker(), &Epoch::default(), SystemTime::now());
/// assert!(matches!(found, Found::Unreadable { .. }), "an empty marker holds the gate closed");
/// ```
#[must_use]
pub fn interpret(content: &Content, id: &RequestId, ours: &Epoch, wall: SystemTime) -> Found {
    match request_in(content, id, ours) {
        Ok((mut request, written)) => {
            request.age = age(written, wall);
            Found::Valid(request)
        }
        Err(found) => found,
    }
}

fn request_in(content: &Content, id: &RequestId, ours: &Epoch) -> Result<(Box<Request>, i128), Found> {
    let unreadable = |why: String| Found::Unreadable { why, nonce: Some(nonce_of(content)) };
    if content.bytes.is_empty() {
        return Err(unreadable("it is empty".into()));
    }
    let Ok(mut fields) = serde_json::from_slice::<BTreeMap<Field, Value>>(&content.bytes) else {
        return Err(match serde_json::from_slice::<Value>(&content.bytes) {
            Ok(_) => unreadable("it is JSON but no object".into()),
            Err(error) => unreadable(format!("it is not JSON: {error}")),
        });
    };
    let mut text = |field: Field| match fields.get_mut(&field).map(Value::take) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    };
    let (owner, nonce, token) = (text(Field::Principal), text(Field::Nonce), text(Field::Token));
    let (incarnation, epoch) = (text(Field::Incarnation), text(Field::Epoch));
    let reason = text(Field::Reason).unwrap_or_default().chars().take(MAX_REASON).collect();
    let written = text(Field::RequestedAt).and_then(|text| text.parse::<jiff::Timestamp>().ok());
    // What is taken in comes out again in the status, which has to stay readable however many files say too much.
    let too_long = |text: &Option<String>| text.as_ref().is_some_and(|text| text.chars().nth(MAX_NAME).is_some());
    let names = ["principal", "nonce", "token", "incarnation", "epoch"];
    let said = [&owner, &nonce, &token, &incarnation, &epoch];
    if let Some((name, _)) = names.iter().zip(said).find(|(_, text)| too_long(text)) {
        return Err(unreadable(format!("its {name} has more than {MAX_NAME} characters")));
    }
    let epoch = Epoch::from(epoch.unwrap_or_default());
    if epoch.differs_from(ours) {
        return Err(Found::Stale { epoch });
    }
    // The marker's presence decides, whatever it says: it can only begin.
    let action = match fields.get(&Field::Action).and_then(|word| Action::deserialize(word).ok()) {
        Some(action) if !id.is_marker() => action,
        Some(_) => Action::Begin,
        None if id.is_marker() => Action::Begin,
        None => return Err(unreadable("it has no known action".into())),
    };
    // What is no duration is as if it weren't there: a lease of no time at all would open the gate.
    let seconds = |field: Field| {
        let seconds = fields.get(&field).and_then(Value::as_f64).filter(|seconds| *seconds > 0.0)?;
        Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)).filter(|duration| !duration.is_zero())
    };
    let written = written.map_or(content.modified, jiff::Timestamp::as_nanosecond);
    let request = Request {
        reason,
        lease: seconds(Field::LeaseSeconds),
        deadline: seconds(Field::DeadlineSeconds),
        unready_delay: seconds(Field::UnreadyDelaySeconds).unwrap_or_default(),
        suppress_notification: fields.get(&Field::SuppressNotification) == Some(&Value::Bool(true)),
        nonce: Some(nonce.map_or_else(|| nonce_of(content), Nonce::from)),
        age: None,
        incarnation: incarnation.map(Incarnation::from),
        generation: fields.get(&Field::Generation).and_then(|value| Generation::deserialize(value).ok()),
        token: token.map(Nonce::from),
        source: Source::File,
        action,
        id: id.clone(),
        owner: owner.unwrap_or_default(),
    };
    Ok((Box::new(request), written))
}

/// The fields of a file that mean something. As keys they take no memory, however many files there are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Field {
    Action,
    DeadlineSeconds,
    Epoch,
    Generation,
    Incarnation,
    LeaseSeconds,
    Nonce,
    Principal,
    Reason,
    RequestedAt,
    SuppressNotification,
    Token,
    UnreadyDelaySeconds,
    #[serde(other)]
    Other,
}

/// A write that bears no nonce is told from the next one by its content and its modification time.
fn nonce_of(content: &Content) -> Nonce {
    let mut hasher = DefaultHasher::new();
    content.bytes.hash(&mut hasher);
    Nonce::from(format!("{:016x}-{}", hasher.finish(), content.modified))
}

/// How long ago it was written; `None` if its writer's clock says in the future.
fn age(written: i128, wall: SystemTime) -> Option<Duration> {
    let now = wall.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_nanos();
    let nanos = i128::try_from(now).ok()?.checked_sub(written)?;
    u64::try_from(nanos).ok().map(Duration::from_nanos)
}

/// The file of a request.
#[must_use]
pub fn to_bytes(request: &Request, epoch: &Epoch) -> Vec<u8> {
    to_bytes_dated(request, epoch, &now())
}

/// As [`to_bytes`], of a moment given.
pub(crate) fn to_bytes_dated(request: &Request, epoch: &Epoch, requested_at: &str) -> Vec<u8> {
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            fields.insert(name.into(), value);
        }
    };
    let seconds = |duration: Option<Duration>| duration.map_or(Value::Null, |d| json!(d.as_secs_f64()));
    // The reference's fields, which are always there.
    put("action", json!(request.action));
    put("requested_at", json!(requested_at));
    put("principal", json!(request.owner));
    put("epoch", json!(epoch));
    put("suppress_notification", json!(request.suppress_notification));
    // Ours.
    put("request_id", json!(request.id));
    put("nonce", json!(request.nonce));
    put("reason", if request.reason.is_empty() { Value::Null } else { json!(request.reason) });
    put("lease_seconds", seconds(request.lease));
    put("deadline_seconds", seconds(request.deadline));
    put("unready_delay_seconds", seconds(Some(request.unready_delay).filter(|delay| !delay.is_zero())));
    put("incarnation", json!(request.incarnation));
    put("generation", json!(request.generation));
    put("token", json!(request.token));
    let mut bytes = serde_json::to_vec_pretty(&fields).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

/// The wall clock in the reference's form: ISO 8601 with microseconds, UTC.
pub(crate) fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string()
}
