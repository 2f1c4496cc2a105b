//! A status for people. What came from elsewhere is shown so that a terminal acts on none of it.

use crate::client::{Status, shown};
use crate::hold::Notes;
use serde_json::Value;

pub(super) fn in_words(status: &Status) -> String {
    let field = |name: &str| status.drain.as_ref().and_then(|drain| drain.get(name)).cloned().unwrap_or_default();
    let text = |value: &Value, name: &str| shown(value[name].as_str().unwrap_or_default());
    let state = field("state").as_str().map(shown).or_else(|| status.state.as_deref().map(shown));
    let in_flight = status.active_agents.map_or_else(|| "an unknown number".into(), |count| count.to_string());
    let mut lines = vec![format!(
        "{}, {in_flight} in flight{}{}",
        state.as_deref().unwrap_or("unknown"),
        if field("drained") == true { ", drained" } else { "" },
        if field("stalled") == true { ", stalled" } else { "" },
    )];
    if !status.knows_holds {
        lines.push("it knows no holds (a reference hermes-agent, it seems): only --marker drains it".into());
    }
    match (field("holds"), field("hold_count").as_u64()) {
        (Value::Array(holds), _) => lines.extend(holds.iter().map(|hold| {
            let standing = match (hold["committed"] == true, hold["lease_left_seconds"].as_f64()) {
                (true, _) if hold["overdue"] == true => "committed, overdue".to_owned(),
                (true, _) => "committed".to_owned(),
                (false, Some(left)) => format!("{left:.0} s of its lease left"),
                (false, None) => "its lease is not known".to_owned(),
            };
            let (id, owner) = (text(hold, "request_id"), text(hold, "owner"));
            let said = |(name, _)| match (name, text(hold, name)) {
                (_, text) if text.is_empty() => text,
                ("reason", reason) => format!(": {reason}"),
                (name, text) => format!(", {name} {text}"),
            };
            let notes: String = Notes::default().each().map(said).collect();
            format!("held by {id} of \"{owner}\", {standing}{notes}")
        })),
        (_, Some(count @ 1..)) => {
            lines.push(format!("held by {count} that are not shown: this token hasn't got the scope `read`"));
        }
        _ => {}
    }
    for work in field("active_work").as_array().into_iter().flatten() {
        let age = work["age_seconds"].as_f64().unwrap_or_default();
        lines.push(format!("in flight: {} \"{}\" for {age:.0} s", text(work, "kind"), text(work, "label")));
    }
    for ignored in field("ignored").as_array().into_iter().flatten() {
        let why = if ignored["why"].is_string() { text(ignored, "why") } else { text(ignored, "detail") };
        lines.push(format!("ignored: {}: {why}", text(ignored, "request_id")));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn said(drain: Value) -> String {
        in_words(&Status {
            running: Some(true),
            silent_for: None,
            state: Some("draining".into()),
            active_agents: Some(1),
            knows_holds: true,
            drain: Some(drain),
            updated_at: None,
            fields: serde_json::Map::new(),
        })
    }

    #[test]
    fn how_a_hold_stands_is_said_by_its_commit_or_its_lease() {
        let hold = |more: Value| {
            let mut hold = json!({"request_id": "upgrade", "owner": "ops"});
            hold.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            said(json!({"holds": [hold]}))
        };
        for (more, expected) in [
            (json!({"committed": true, "overdue": true}), "committed, overdue"),
            (json!({"committed": true, "overdue": false, "lease_left_seconds": 7.0}), "committed"),
            (json!({"lease_left_seconds": 7.4}), "7 s of its lease left"),
            (json!({}), "its lease is not known"),
        ] {
            let expected = format!("draining, 1 in flight\nheld by upgrade of \"ops\", {expected}");
            assert_eq!(hold(more.clone()), expected, "{more}");
        }
    }

    #[test]
    fn holds_that_a_token_may_not_see_are_counted_and_none_is_not_told_of() {
        assert_eq!(
            said(json!({"hold_count": 2})),
            "draining, 1 in flight\nheld by 2 that are not shown: this token hasn't got the scope `read`"
        );
        assert_eq!(said(json!({"hold_count": 0})), "draining, 1 in flight");
        assert_eq!(said(json!({"holds": [], "hold_count": 2})), "draining, 1 in flight");
    }
}
