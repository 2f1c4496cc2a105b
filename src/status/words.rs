//! Reading a status of any version, of this crate or another's.
//!
//! What lacks, or is null, is its field's default. A word that isn't known is read as what grants least: not running, not
//! drained, not granted. So an older reader and a newer writer, or the other way round, understand each other as far as both
//! speak of the same things.

use super::Snapshot;
use crate::control::opened::OpenHome;
use crate::control::{Home, read};
use crate::state::DrainState;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::io;

impl Snapshot {
    /// No status is read beyond this many bytes: 64 MiB. As many holds as there can be, each saying as much as it can
    /// ([`request_file`](crate::control::request_file) bounds both), fit into it.
    pub const MAX_BYTES: u64 = 64 * 1024 * 1024;

    /// Reads the published status of a home.
    ///
    /// Whether the process that wrote it lives is another question: see [`Home::live`].
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if there is none, [`io::ErrorKind::InvalidData`] if it makes no sense.
    pub fn read(home: &Home) -> io::Result<Self> {
        Self::read_in(&OpenHome::open(home.path())?)
    }

    /// As [`read`](Self::read), in an open home.
    pub(crate) fn read_in(home: &OpenHome) -> io::Result<Self> {
        Self::from_bytes(&content(home, Home::STATUS)?)
    }

    /// Reads a status.
    ///
    /// ```
    /// use gateway_drain::Snapshot;
    ///
    /// let of_the_reference = br#"{"gateway_state": "running", "active_agents": 2, "pid": 17}"#;
    /// let status = Snapshot::from_bytes(of_the_reference)?;
    /// assert_eq!(status.active_agents, Some(2));
    /// assert!(!status.drain.is_there(), "the reference says nothing of a drain");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] if it makes no sense.
    pub fn from_bytes(bytes: &[u8]) -> io::Result<Self> {
        let mut value: Value = parse(bytes)?;
        if let Some(fields) = value.as_object_mut() {
            // What is null in there is the application's own.
            fields.retain(|_, value| !value.is_null());
        }
        if let Some(drain) = value.get_mut("drain") {
            without_nulls(drain);
        }
        if let Some(drain) = value.get_mut("drain").and_then(Value::as_object_mut) {
            if !drain.contains_key("format") {
                from_format_1(drain);
            }
            let known =
                drain.get("state").is_some_and(|state| DrainState::ALL.iter().any(|known| state == known.as_str()));
            if !known {
                drain.remove("state");
                drain.remove("drained");
            }
            for hold in drain.get_mut("holds").and_then(Value::as_array_mut).into_iter().flatten() {
                // Nobody outside can have a hold that is kept in a way that isn't known.
                if let Some(source) = hold.get_mut("source").filter(|source| *source != "file") {
                    *source = "process".into();
                }
            }
        }
        serde_json::from_value(value).map_err(invalid)
    }
}

/// Reads a file of the gateway's own in a home.
pub(super) fn read_json<T: DeserializeOwned>(home: &OpenHome, name: &str) -> io::Result<T> {
    let mut value: Value = parse(&content(home, name)?)?;
    without_nulls(&mut value);
    serde_json::from_value(value).map_err(invalid)
}

fn content(home: &OpenHome, name: &str) -> io::Result<Vec<u8>> {
    Ok(read::content_up_to(&home.folder, name.as_bytes(), Snapshot::MAX_BYTES)?.bytes)
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    serde_json::from_slice(bytes).map_err(invalid)
}

fn invalid(error: serde_json::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// In the first format the moments of a hold stood in the hold itself, under `since_boot_millis`.
fn from_format_1(drain: &mut Map<String, Value>) {
    let mut takeover = Map::new();
    for hold in drain.get_mut("holds").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(hold) = hold.as_object_mut() else { continue };
        let Some(moments) = hold.remove("since_boot_millis") else { continue };
        if let Some(first_seen) = moments.get("first_seen") {
            hold.insert("first_seen_millis".into(), first_seen.clone());
        }
        if let Some(name) =
            hold.get("request_id").and_then(Value::as_str).filter(|_| hold.get("source") != Some(&"process".into()))
        {
            takeover.insert(name.into(), moments);
        }
    }
    drain.insert("takeover".into(), takeover.into());
}

/// Takes out of every object what is null: it is as if it weren't there.
fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(without_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_null_anywhere_below_the_drain_is_as_if_it_were_not_there() {
        let with_nulls = json!({"pid": null, "drain": {
            "format": 2, "state": "running", "generation": null,
            "holds": [{"request_id": "upgrade", "owner": null, "source": null, "age_seconds": null, "pending": null}],
            "active_work": [{"kind": null, "label": "chat", "age_seconds": null}],
            "ignored": [{"request_id": null, "kind": null, "detail": null}],
            "reconciler": {"alive": true, "errors": null},
        }});
        let without = json!({"drain": {
            "format": 2, "state": "running",
            "holds": [{"request_id": "upgrade"}],
            "active_work": [{"label": "chat"}],
            "ignored": [{}],
            "reconciler": {"alive": true},
        }});
        let read = |status: &Value| Snapshot::from_bytes(status.to_string().as_bytes());
        let read_with = read(&with_nulls).expect("a writer that says null is understood");
        assert_eq!(read_with, read(&without).expect("one that leaves it out is"));
        assert_eq!(read_with.drain.holds.len(), 1);
    }
}
