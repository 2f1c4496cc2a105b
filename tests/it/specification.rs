//! `docs/spec.md` says what the code does: its tables and diagrams are generated from the code.
//!
//! To write them after a change: `cargo xtask docs`.

use crate::support::generated::compare_or_write;
use gateway_drain::control::write::{STEPS, Step as WriteStep};
use gateway_drain::control::{Epoch, request_file};
use gateway_drain::controller::Settings;
use gateway_drain::hold::fields::{FIELDS, Field, Kind};
use gateway_drain::hold::{Denied, Ending, Incarnation, Nonce, NotHonoured, Outcome};
use gateway_drain::properties::PROPERTIES;
use gateway_drain::reconciler::Options;
use gateway_drain::state::{DrainState, Event, Step, next};
use gateway_drain::{Channel, Clock, Home, Reconciler, Request, RequestId};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

const SPEC: &str = "docs/spec.md";

fn up_to_date(path: &str, wanted: &str) {
    compare_or_write(Path::new(env!("CARGO_MANIFEST_DIR")), path, wanted);
}

/// The specification with this block in its place.
fn with_block(spec: &str, name: &str, block: &str) -> String {
    let open = format!("<!-- generated: {name} -->\n");
    let start = spec.find(&open).unwrap_or_else(|| panic!("{SPEC} has no place for {name:?}")) + open.len();
    let end = start + spec[start..].find("<!-- end -->").expect("every block ends");
    format!("{}{block}{}", &spec[..start], &spec[end..])
}

fn name(state: DrainState) -> String {
    format!("{state:?}")
}

fn table() -> String {
    let mut text = String::from("| |");
    for event in Event::ALL {
        write!(text, " {event:?} |").unwrap();
    }
    text.push_str("\n|---|---|---|---|---|\n");
    for state in DrainState::ALL {
        write!(text, "| **{}** |", name(state)).unwrap();
        for event in Event::ALL {
            match next(state, event) {
                Step::Moves(to) => write!(text, " moves to {} |", name(to)).unwrap(),
                Step::Stays => text.push_str(" stays |"),
                Step::Refused(why) => write!(text, " refused: {why} |").unwrap(),
            }
        }
        text.push('\n');
    }
    text
}

/// Every move of the table.
fn moves() -> impl Iterator<Item = (DrainState, Event, DrainState)> {
    DrainState::ALL.into_iter().flat_map(|from| {
        Event::ALL.into_iter().filter_map(move |event| match next(from, event) {
            Step::Moves(to) => Some((from, event, to)),
            Step::Stays | Step::Refused(_) => None,
        })
    })
}

fn mermaid() -> String {
    let mut text = String::from("```mermaid\nstateDiagram-v2\n    [*] --> Running\n");
    for (from, event, to) in moves() {
        writeln!(text, "    {from:?} --> {to:?}: {event:?}").unwrap();
    }
    text + "    Stopped --> [*]\n```\n"
}

/// Where each state's box stands in the drawing. What is drawn between them is the table's.
const fn place(state: DrainState) -> (i32, i32) {
    match state {
        DrainState::Running => (110, 60),
        DrainState::ExternalDraining => (450, 60),
        DrainState::ShutdownDraining => (280, 200),
        DrainState::Stopped => (280, 310),
    }
}

fn svg() -> String {
    let mut text = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 560 350\" font-family=\"sans-serif\" font-size=\"13\" \
         text-anchor=\"middle\">\n<defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" \
         markerHeight=\"8\" orient=\"auto\"><path d=\"M0 0 8 4 0 8z\" fill=\"#555\"/></marker></defs>\n\
         <rect width=\"560\" height=\"350\" fill=\"#fff\"/>\n",
    );
    for (from, event, to) in moves() {
        let ((x1, y1), (x2, y2)) = (place(from), place(to));
        // Two states that move to each other get an arrow each, one above the other.
        let shift = if y1 == y2 { if x1 < x2 { -9 } else { 9 } } else { 0 };
        let (x1, x2) = if y1 == y2 { if x1 < x2 { (x1 + 85, x2 - 85) } else { (x1 - 85, x2 + 85) } } else { (x1, x2) };
        let (y1, y2) = if y1 == y2 { (y1 + shift, y2 + shift) } else { (y1 + 22, y2 - 22) };
        let (mx, my) = (i32::midpoint(x1, x2), i32::midpoint(y1, y2));
        let (label_x, label_y) = if y1 == y2 { (mx, my + if shift < 0 { -6 } else { 15 }) } else { (mx, my) };
        writeln!(
            text,
            "<line x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\" stroke=\"#555\" marker-end=\"url(#tip)\"/>\n\
             <text x=\"{label_x}\" y=\"{label_y}\" fill=\"#333\" stroke=\"#fff\" stroke-width=\"4\" paint-order=\"stroke\">{event:?}</text>"
        )
        .unwrap();
    }
    for state in DrainState::ALL {
        let (x, y) = place(state);
        let (left, top) = (x - 85, y - 22);
        let fill = if state.admits() {
            "#e3f4e3"
        } else if state.is_draining() {
            "#fff3d6"
        } else {
            "#eee"
        };
        writeln!(
            text,
            "<rect x=\"{left}\" y=\"{top}\" width=\"170\" height=\"44\" rx=\"10\" fill=\"{fill}\" stroke=\"#333\"/>\n\
             <text x=\"{x}\" y=\"{}\" fill=\"#111\">{}</text>",
            y + 5,
            name(state)
        )
        .unwrap();
    }
    text + "</svg>\n"
}

/// The fields of a request: all of a file's, or those of a body.
fn request_fields(over_http: bool) -> String {
    let mut text = String::from("| Field | Value | With | Meaning |\n|---|---|---|---|\n");
    for field in FIELDS.iter().filter(|field| !over_http || field.is_over_http()) {
        // A file has no `renew`: to write it again is to renew.
        let actions: Vec<_> = field.actions().filter(|word| over_http || *word != "renew").collect();
        let all = if over_http { 5 } else { 4 };
        let with = if actions.len() == all { "all".to_owned() } else { actions.join(", ") };
        let mut value = field.kind().to_string();
        if !over_http {
            value = value.replace("renew, ", "");
        }
        writeln!(text, "| `{}` | {value} | {with} | {} |", field.name(), field.meaning()).unwrap();
    }
    text
}

fn write_steps() -> String {
    let mut text = String::new();
    for (number, step) in STEPS.into_iter().enumerate() {
        let meaning = match step {
            WriteStep::Create => "a temporary file is created in the same folder, with a name that begins with a dot",
            WriteStep::Write => "the content is written into it",
            WriteStep::SyncFile => "it is synced to the disk",
            WriteStep::Rename => "it is renamed to its name",
            WriteStep::SyncFolder => "the folder is synced to the disk",
        };
        writeln!(text, "{}. {meaning};", number + 1).unwrap();
    }
    text
}

/// A status that has something of everything.
fn full_status() -> Value {
    let folder = tempfile::tempdir().unwrap();
    let channel = Channel::new(Home::at(folder.path()));
    Channel::of_epoch(channel.home().clone(), Epoch::from("another:1".to_owned()))
        .write(&Request::begin(RequestId::marker(), "ops"))
        .unwrap();
    channel.write(&Request::begin(RequestId::new("a").unwrap(), "ops")).unwrap();
    let settings = Settings { clock: Clock::manual(), ..Settings::default() };
    let gateway = Reconciler::start(channel.home().clone(), Options { settings, ..Options::default() }).unwrap();
    serde_json::to_value(gateway.snapshot()).unwrap()
}

/// What each field of a status means; `[]` is an entry of a list. The names are the code's; see the test.
const STATUS_FIELDS: &[(&str, &str)] = &[
    (
        "gateway_state",
        "`running`, `draining` (for either reason), `stopped`; also `starting`, `degraded` and `startup_failed` in the reference",
    ),
    ("active_agents", "all work in flight: `in_flight` and `internal` together"),
    ("pid", "the process"),
    ("start_time", "when it started, in clock ticks since boot; `null` where that isn't known"),
    ("kind", "what sort of gateway it is"),
    ("argv", "its command line"),
    ("restart_requested", "whether it ends in order to start again"),
    ("exit_reason", "why it ends, or `null`"),
    ("platforms", "the application's own table"),
    ("updated_at", "when this status was made, by the wall clock"),
    ("drain.format", "the format of `drain`: 2; 1 where it isn't said"),
    ("drain.state", "`running`, `external_draining`, `shutdown_draining`, `stopped`"),
    ("drain.generation", "the drain under way or, while running, the last one"),
    ("drain.incarnation", "the process"),
    ("drain.epoch", "the boot"),
    ("drain.in_flight", "turns in flight"),
    ("drain.internal", "internal work in flight"),
    ("drain.drained", "closed, and nothing in flight"),
    ("drain.interrupted", "work in flight has been asked to give up"),
    ("drain.abandoned", "stopped by force, with what is counted here left"),
    ("drain.pending", "a hold is in its unready delay, also while another closes the gate"),
    ("drain.stalled", "the gate drains, is not drained, and nothing has ended for a minute, or since the drain began"),
    ("drain.suppress_notification", "a live hold asks that a shutdown notifies nobody"),
    ("drain.holds[].request_id", "its name"),
    ("drain.holds[].owner", "to whom it belongs"),
    ("drain.holds[].reason", "why; where something couldn't be read, what was found"),
    ("drain.holds[].ticket", "the change that it belongs to"),
    ("drain.holds[].source", "`file` or `process`"),
    (
        "drain.holds[].first_seen_millis",
        "when the gateway first saw it, by `clock_millis`: two holds of one name differ in it",
    ),
    ("drain.holds[].age_seconds", "how long ago `first_seen_millis` was; a takeover keeps both, and a renewal too"),
    ("drain.holds[].lease_left_seconds", "what is left of its lease; `null` once committed"),
    ("drain.holds[].pending", "it has not closed the gate yet"),
    ("drain.holds[].committed", "its owner has the right to act"),
    ("drain.holds[].overdue", "the act takes longer than its deadline"),
    ("drain.holds[].suppress_notification", "as it was asked for"),
    ("drain.holds[].nonce", "the last write acted on"),
    ("drain.holds[].token", "the nonce of its commit, or `null`"),
    ("drain.holds[].deadline_seconds", "how long the act may take, or `null`"),
    ("drain.holds[].bound", "it ends with the process that says this"),
    ("drain.holds[].overwritten", "what lies in its file's place, or lay there last, is not its owner's write"),
    ("drain.active_work", "the oldest labelled work: `kind`, `label`, `age_seconds`"),
    ("drain.acknowledged[].request_id", "which hold"),
    ("drain.acknowledged[].nonce", "which write of it; `null` for something that couldn't be read"),
    ("drain.acknowledged[].outcome", "what became of it; with `why` where there is more to say"),
    ("drain.ignored[].request_id", "what lies in the channel and isn't honoured"),
    (
        "drain.ignored[].kind",
        "why not, as a word: `other_epoch`; `overwritten`, while another's write lies over a hold; `file_gone`, of a committed hold",
    ),
    ("drain.ignored[].detail", "why not, for people"),
    (
        "drain.reconciler",
        "`alive`, `errors`, `panics`, `last_error`: how the thread that looks at the files is; `observer_panics`, `observer_lost`: of the application's observers; `events`: whether the system tells it of changes (section 5.4)",
    ),
    ("drain.revision", "rises with each published status of a process"),
    ("drain.clock_millis", "the clock that leases run on: milliseconds since boot; it tells how old the status is"),
    ("drain.tick_seconds", "how often the files are looked at"),
    ("drain.refresh_seconds", "after how long a status that says nothing new is written all the same"),
    ("drain.takeover", "what only the next process needs, and nobody else may rely on"),
];

fn status_fields() -> String {
    let mut text = String::from("| Field | Meaning |\n|---|---|\n");
    for (field, meaning) in STATUS_FIELDS {
        writeln!(text, "| `{field}` | {meaning} |").unwrap();
    }
    text
}

fn outcomes() -> String {
    let mut text = String::from("| `outcome` | `why` | Meaning |\n|---|---|---|\n");
    let mut row = |outcome: Outcome, meaning: &str| {
        let wire = serde_json::to_value(outcome).unwrap();
        let why = wire.get("why").and_then(Value::as_str).map(|why| format!("`{why}`")).unwrap_or_default();
        writeln!(text, "| `{}` | {why} | {meaning} |", wire["outcome"].as_str().unwrap()).unwrap();
    };
    row(Outcome::Held, "the hold keeps the gate closed");
    row(Outcome::Pending, "the hold closes the gate when its unready delay is over");
    row(Outcome::Committed, "the owner has the right to act");
    for ending in Ending::ALL {
        let meaning = match ending {
            Ending::Withdrawn => "its owner gave it up, or its file was removed",
            Ending::Expired => "its lease ran out",
            Ending::Overridden => "somebody else ended it on purpose",
            Ending::Absorbed => "a shutdown took it in: it was begun by a call in the process itself",
            Ending::Unknown => unreachable!("no gateway says it"),
        };
        row(Outcome::Ended(ending), meaning);
    }
    for why in Denied::ALL {
        row(Outcome::Refused(why), &why.to_string());
    }
    row(Outcome::Ignored(NotHonoured::OtherEpoch), "it was written in another epoch, and asks for nothing");
    text
}

fn properties() -> String {
    let mut text = String::from("| | Every correct gateway keeps |\n|---|---|\n");
    for property in PROPERTIES {
        writeln!(text, "| **{}** | {} |", property.id, property.sentence).unwrap();
    }
    text
}

/// What a writer may write: the table of fields as a JSON Schema.
fn request_schema() -> Value {
    let words: Vec<_> = FIELDS[0].actions().filter(|word| *word != "renew").collect();
    let property = |field: &Field| {
        let mut schema = match field.kind() {
            Kind::Action => json!({"enum": words}),
            Kind::RequestId => json!({"type": "string", "pattern": RequestId::PATTERN}),
            Kind::Name(most) | Kind::Note(most) => json!({"type": "string", "maxLength": most}),
            Kind::Nonce(least, most) => json!({"type": "string", "minLength": least, "maxLength": most}),
            Kind::Seconds(least, most) => json!({"type": "number", "minimum": least, "maximum": most}),
            Kind::Whole(most) => json!({"type": "integer", "minimum": 0, "maximum": most}),
            Kind::Flag => json!({"type": "boolean"}),
            Kind::Time => json!({"type": "string", "format": "date-time"}),
            other => panic!("{other:?} has no schema yet"),
        };
        schema["description"] = json!(field.meaning());
        (field.name().to_owned(), schema)
    };
    let properties: Map<String, Value> = FIELDS.iter().map(property).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema", "title": "A request's file, as a writer writes it (REQ-1)",
        "type": "object", "properties": properties, "patternProperties": {"^x-": true}, "additionalProperties": false,
        "required": ["action"], "if": {"properties": {"action": {"const": "commit"}}},
        "then": {"required": ["incarnation", "generation", "nonce"]},
    })
}

#[test]
fn the_schema_of_a_request_is_the_table_of_fields() {
    up_to_date(
        "docs/spec/schema/request.schema.json",
        &(serde_json::to_string_pretty(&request_schema()).unwrap() + "\n"),
    );
}

/// The requirements in the order of the text: id, classes, and the section.
fn requirements_in(spec: &str) -> Vec<(&str, &str, &str)> {
    let mut found = Vec::new();
    let mut section = "";
    for line in spec.lines() {
        if let Some(heading) = line.strip_prefix("## ").or_else(|| line.strip_prefix("### ")) {
            section = heading;
        }
        let marks = line.match_indices("**").map(|(at, _)| &line[at + 2..]);
        for mark in marks {
            let Some((id, rest)) = mark.split_once("**") else { continue };
            // Where a requirement is stated its classes follow; elsewhere it is cited.
            let classes = rest.strip_prefix(" (").and_then(|rest| rest.split_once(')'));
            if let Some((classes, _)) = classes.filter(|(classes, _)| is_id(id) && classes.split(", ").all(is_class)) {
                found.push((id, classes, section));
            }
        }
    }
    found
}

fn is_id(text: &str) -> bool {
    text.split_once('-').is_some_and(|(area, number)| {
        area.len() > 1 && area.bytes().all(|b| b.is_ascii_uppercase()) && number.parse::<u32>().is_ok()
    })
}

fn is_class(text: &str) -> bool {
    matches!(text, "G" | "C" | "M" | "E" | "O")
}

/// Every case of the test vectors: its file, and the requirements that it shows.
fn cases() -> Vec<(&'static str, Vec<String>)> {
    let mut cases = Vec::new();
    for (name, _) in VECTORS {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/spec/vectors").join(name);
        let file: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        for case in file["cases"].as_array().unwrap() {
            cases.push((*name, serde_json::from_value(case["shows"].clone()).unwrap()));
        }
    }
    cases
}

const VECTORS: &[(&str, &str)] = &[
    ("requests.json", "the bytes of one file, and what they ask for"),
    ("names.json", "the name of a file, and the hold that it is"),
    ("epochs.json", "two epochs, and whether they are one boot"),
    ("looks.json", "what is done to the files, the clock, the work and the process, and the status after each look"),
    ("http.json", "exchanges with an endpoint, in the gateway's process and beside it"),
    ("conclusions.json", "statuses with their lock, and what a controller may conclude"),
];

fn vectors() -> String {
    let cases = cases();
    let mut text = String::from("| File | Cases | What it has |\n|---|---|---|\n");
    for (name, what) in VECTORS {
        let count = cases.iter().filter(|(file, _)| file == name).count();
        writeln!(text, "| [`{name}`](spec/vectors/{name}) | {count} | {what} |").unwrap();
    }
    text
}

/// Each requirement with the number of cases that show it, by section.
fn requirements(spec: &str) -> String {
    let cases = cases();
    let mut text = String::from("| Requirement | Binds | Stated in | Cases |\n|---|---|---|---|\n");
    for (id, classes, section) in requirements_in(spec) {
        let count = cases.iter().filter(|(_, shows)| shows.iter().any(|shown| shown == id)).count();
        let count = if count == 0 { String::new() } else { count.to_string() };
        writeln!(text, "| {id} | {classes} | {section} | {count} |").unwrap();
    }
    text
}

/// How one ending is called by the gateway, by the command line, and as its exit code.
#[cfg(feature = "client")]
fn endings() -> String {
    use gateway_drain::client::{ExitCode, Failure};
    let mut text = String::from("| The gateway answers | The controller says | Exit code |\n|---|---|---|\n");
    let mut row = |outcome: Outcome, failure: &Failure| {
        let wire = serde_json::to_value(outcome).unwrap();
        let code = ExitCode::from(failure);
        let (outcome, why) = (wire["outcome"].as_str().unwrap(), wire["why"].as_str().unwrap());
        writeln!(text, "| `{outcome}`, `{why}` | `{}` | {} |", code.as_str(), code.code()).unwrap();
    };
    for ending in Ending::ALL.into_iter().filter(|ending| *ending != Ending::Unknown) {
        row(Outcome::Ended(ending), &ending.into());
    }
    for why in Denied::ALL {
        row(Outcome::Refused(why), &why.into());
    }
    let ignored = Outcome::Ignored(NotHonoured::OtherEpoch);
    row(ignored, &Failure::Ignored(String::new()));
    text
}

#[test]
fn each_requirement_is_stated_once_and_everything_that_cites_one_cites_one_that_there_is() {
    let spec = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(SPEC)).unwrap();
    let stated: Vec<_> = requirements_in(&spec).into_iter().map(|(id, ..)| id).collect();
    let twice: Vec<_> = stated.iter().filter(|id| stated.iter().filter(|other| other == id).count() > 1).collect();
    assert!(twice.is_empty(), "stated twice: {twice:?}");
    let marks = spec.match_indices("**").filter_map(|(at, _)| spec[at + 2..].split_once("**")).map(|(mark, _)| mark);
    let cited = marks.filter(|mark| is_id(mark)).map(str::to_owned);
    let shown = cases().into_iter().flat_map(|(_, shows)| shows);
    let unknown: Vec<_> = cited.chain(shown).filter(|id| !stated.contains(&&**id)).collect();
    assert!(unknown.is_empty(), "no requirement has this id: {unknown:?}");
    for (number, line) in spec.lines().enumerate() {
        let binds = ["MUST", "SHOULD"].iter().any(|word| line.contains(word));
        let in_conventions = line.contains("BCP 14");
        // A requirement may go on over lines; it begins with an id in its own paragraph or list.
        let paragraph = spec.lines().take(number + 1).collect::<Vec<_>>();
        let start = paragraph.iter().rposition(|line| line.contains("** (") || line.starts_with('#')).unwrap_or(0);
        let has_id = paragraph[start].contains("** (");
        assert!(!binds || in_conventions || has_id, "{SPEC}:{}: a requirement without an id: {line}", number + 1);
    }
}

#[test]
fn its_tables_and_diagrams_are_the_code_s() {
    let spec = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(SPEC)).unwrap();
    let blocks = [
        ("table", table()),
        ("diagram", mermaid()),
        ("request fields", request_fields(false)),
        ("write steps", write_steps()),
        ("status fields", status_fields()),
        ("outcomes", outcomes()),
        ("properties", properties()),
        #[cfg(feature = "client")]
        ("endings", endings()),
        ("vectors", vectors()),
        ("requirements", requirements(&spec)),
    ];
    let wanted = blocks.iter().fold(spec, |spec, (name, block)| with_block(&spec, name, block));
    up_to_date(SPEC, &wanted);
}

#[test]
fn its_drawing_is_the_table_s() {
    up_to_date("docs/spec/states.svg", &svg());
}

#[test]
fn the_readme_draws_the_same_states() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    assert!(readme.contains(&mermaid()), "README.md has another diagram than the table's:\n{}", mermaid());
}

#[test]
fn the_readme_tells_of_every_feature() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let table = manifest.split_once("[features]\n").unwrap().1.split_once("\n\n").unwrap().0;
    // In the manifest of a package a feature takes several lines; the first has its name.
    let features = table.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(" ="));
    let features = features.map(|(name, _)| name);
    for feature in features.filter(|feature| *feature != "default") {
        let told = readme.lines().any(|line| line.starts_with('|') && line.contains(&format!("`{feature}`")));
        assert!(told, "README.md's table of features leaves out {feature}");
    }
}

#[test]
fn the_page_on_http_has_the_fields_of_a_body_from_the_same_table() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/http.md")).unwrap();
    up_to_date("docs/http.md", &with_block(&page, "body fields", &request_fields(true)));
}

#[test]
fn a_request_s_file_has_every_field_of_the_table_and_no_other() {
    let generation = gateway_drain::Controller::new().gate().reading().generation;
    let mut request = Request::commit(RequestId::new("a").unwrap(), "ops", Incarnation::fresh(), generation)
        .reason("why")
        .ticket("CHG-42")
        .lease(Duration::from_secs(1))
        .deadline(Duration::from_secs(1))
        .unready_delay(Duration::from_secs(1))
        .token(Nonce::fresh());
    request.suppress_notification = true;
    let file: Value = serde_json::from_slice(&request_file::to_bytes(&request, &Epoch::current())).unwrap();
    let mut written: Vec<&str> = file.as_object().unwrap().keys().map(String::as_str).collect();
    let mut known: Vec<&str> = FIELDS.iter().map(gateway_drain::hold::fields::Field::name).collect();
    written.sort_unstable();
    known.sort_unstable();
    assert_eq!(known, written);
}

/// The paths of a status's fields, down to where the specification explains them.
fn paths(value: &Value, path: &str, into: &mut Vec<String>) {
    let explained = |path: &str| STATUS_FIELDS.iter().any(|(field, _)| *field == path);
    match value {
        _ if explained(path) => into.push(path.to_owned()),
        Value::Object(fields) => {
            for (field, value) in fields {
                let below = if path.is_empty() { field.clone() } else { format!("{path}.{field}") };
                paths(value, &below, into);
            }
        }
        Value::Array(entries) => entries.iter().take(1).for_each(|entry| paths(entry, &format!("{path}[]"), into)),
        _ => into.push(path.to_owned()),
    }
}

#[test]
fn it_explains_every_field_that_a_status_has_and_no_other() {
    let mut published = Vec::new();
    paths(&full_status(), "", &mut published);
    let mut explained: Vec<&str> = STATUS_FIELDS.iter().map(|(field, _)| *field).collect();
    published.sort_unstable();
    explained.sort_unstable();
    assert_eq!(explained, published);
}
