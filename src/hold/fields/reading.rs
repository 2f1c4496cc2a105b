//! From bytes to a request, by the table: leniently from a file, strictly from a body.

use super::{Draft, FIELDS, FieldValue, Kind};
#[cfg(feature = "axum")]
use super::{Says, Verb, misfit};
use crate::hold::{Request, RequestId};
use core::fmt;
use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::{Value, json};
use std::time::Duration;

/// What a file says, as far as it makes sense: a field that is missing, null, empty, of another type or not above zero is
/// as if it weren't there, and one outside its range counts as the nearest limit.
pub(crate) fn in_file(bytes: &[u8], id: &RequestId) -> Result<Draft, String> {
    let said = Object::parse(bytes)?;
    let mut draft = Draft::of(Request::blank(id.clone()));
    for (field, value) in FIELDS.iter().zip(said.fields) {
        let Some(value) = value.filter(|value| !value.is_null() && *value != json!("")) else { continue };
        let taken = match (field.kind, &value) {
            // What is taken in comes out again in the status, which has to stay readable however many files say too much.
            (Kind::Note(most), Value::String(text)) if text.chars().nth(most).is_some() => {
                Some(FieldValue::Text(text.chars().take(most - 1).chain(['…']).collect()))
            }
            (Kind::Name(most) | Kind::Nonce(_, most), Value::String(text)) if text.chars().nth(most).is_some() => {
                return Err(format!("its {} has more than {most} characters", field.name));
            }
            (Kind::Nonce(..), Value::String(text)) => Some(FieldValue::Text(text.clone())),
            // A lease of no time at all would open the gate: what is above nothing is at least the least there is.
            (Kind::Seconds(least, most), value) => {
                let seconds = value.as_f64().filter(|seconds| *seconds > 0.0);
                let bounded = seconds.map(|seconds| seconds.clamp(least, most));
                bounded.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).map(FieldValue::Seconds)
            }
            (kind, value) => kind.take(value),
        };
        if let Some(said) = taken {
            (field.hears)(&mut draft, said);
        }
    }
    Ok(draft)
}

/// What the body of `POST /api/gateway/drain` asks for. As strict as a writer: what a gateway could not read from the file
/// as it is meant is refused, and so is a field that isn't known: it may be a misspelt `request_id`.
#[cfg(feature = "axum")]
pub(crate) fn in_body(bytes: &[u8]) -> Result<(Verb, Draft, Says), String> {
    let (mut draft, mut says) = (Draft::of(Request::blank(RequestId::marker())), [false; FIELDS.len()]);
    if bytes.trim_ascii().is_empty() {
        // As in the reference.
        return Ok((Verb::Drain, draft, says));
    }
    let object = Object::parse(bytes).map_err(|why| why.replacen("it ", "the body ", 1))?;
    let known = || FIELDS.iter().filter(|field| field.is_over_http());
    let of_files = FIELDS.iter().zip(&object.fields).any(|(field, value)| !field.is_over_http() && value.is_some());
    if object.unknown || of_files {
        let names: Vec<_> = known().map(super::Field::name).collect();
        return Err(format!("there is a field that isn't known; known are {}", names.join(", ")));
    }
    let mut verb = Verb::Drain;
    for ((field, value), says) in FIELDS.iter().zip(object.fields).zip(&mut says) {
        // The action comes first in the table. A field that doesn't go with it means nothing, whatever it says.
        let Some(value) = value.filter(|_| field.goes_with(verb)) else { continue };
        let absent = value.is_null() || value == json!("");
        // Which hold, and what is to become of it, is not left to a variable that was never set.
        if absent && !matches!(field.kind, Kind::Action | Kind::RequestId) {
            continue;
        }
        let said = field.kind.take(&value).ok_or_else(|| misfit(field))?;
        if let FieldValue::Action(action) = said {
            verb = action;
        }
        *says = true;
        (field.hears)(&mut draft, said);
    }
    if let Some(id) = draft.id.take() {
        draft.request.id = id;
    }
    Ok((verb, draft, says))
}

/// The values of a JSON object, in the order of [`FIELDS`].
struct Object {
    fields: [Option<Value>; FIELDS.len()],
    /// Whether there was a field of another name.
    unknown: bool,
    /// Which field is there twice.
    twice: Option<&'static str>,
}

impl Object {
    fn parse(bytes: &[u8]) -> Result<Self, String> {
        if bytes.starts_with(b"\xef\xbb\xbf") {
            return Err("it begins with a byte order mark, which JSON doesn't have".into());
        }
        let mut reader = serde_json::Deserializer::from_slice(bytes);
        let parsed = reader.deserialize_map(Reading).and_then(|object| reader.end().map(|()| object));
        let object = match parsed {
            Ok(object) => object,
            Err(_) if serde_json::from_slice::<IgnoredAny>(bytes).is_ok() && !looks_like_object(bytes) => {
                return Err("it is JSON but no object".into());
            }
            Err(error) => return Err(format!("it is not JSON: {error}")),
        };
        match object.twice {
            None => Ok(object),
            Some(name) => Err(format!("it has the field `{name}` twice")),
        }
    }
}

fn looks_like_object(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(b"{")
}

struct Reading;

impl<'de> Visitor<'de> for Reading {
    type Value = Object;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
        let mut object = Object { fields: [const { None }; FIELDS.len()], unknown: false, twice: None };
        while let Some(name) = map.next_key::<String>()? {
            let Some(place) = FIELDS.iter().position(|field| field.name == name) else {
                object.unknown = true;
                // Read as strictly as a known one: whether a file makes sense isn't left to the version that reads it.
                map.next_value::<Value>()?;
                continue;
            };
            if object.fields[place].replace(map.next_value()?).is_some() {
                object.twice = Some(FIELDS[place].name);
            }
        }
        Ok(object)
    }
}
