//! The trace that a gateway writes, line by line.

use gateway_drain::controller::Settings;
use gateway_drain::trace::Trace;
use gateway_drain::{Clock, Controller, Reconciler, Request, RequestId};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A trace is written within this.
const WRITTEN: Duration = Duration::from_secs(30);

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A trace in a folder of its own, and a gateway.
fn start(clock: &Clock) -> (tempfile::TempDir, PathBuf, Trace, Controller) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.jsonl");
    let trace = Trace::append(&path).unwrap();
    let controller = Controller::with(Settings { clock: clock.clone(), ..Settings::default() });
    trace.attach(&controller);
    (folder, path, trace, controller)
}

#[test]
fn a_line_of_a_hold_has_the_delay_if_it_begins_with_one_and_a_note_if_its_request_says_something() {
    let clock = Clock::manual();
    let (_folder, path, trace, controller) = start(&clock);
    let (told, silent) = (RequestId::new("told").unwrap(), RequestId::new("silent").unwrap());
    let begin = |id: &RequestId| Request::begin(id.clone(), "ops");
    let delayed = |request: Request| request.unready_delay(Duration::from_millis(40));
    let commit = |id: &RequestId| {
        let (incarnation, generation) = (controller.incarnation().clone(), controller.gate().reading().generation);
        Request::commit(id.clone(), "ops", incarnation, generation)
    };
    controller.request(&begin(&silent)).unwrap();
    controller.request(&delayed(begin(&told)).reason("new kernel")).unwrap();
    controller.request(&delayed(begin(&told)).reason("newer kernel")).unwrap();
    controller.request(&begin(&silent)).unwrap();
    clock.advance(Duration::from_secs(1));
    controller.request(&commit(&told)).unwrap();
    controller.request(&Request::withdraw(silent, "ops")).unwrap();
    trace.flush(WRITTEN).unwrap();

    let lines = lines(&path);
    let of_holds = lines.iter().filter(|line| line["event"].as_str().unwrap().starts_with("hold_"));
    let said = |line: &Value| json!([line["event"], line["request"], line["unready_delay_ms"], line["note"]["reason"]]);
    assert_eq!(
        of_holds.map(said).collect::<Vec<_>>(),
        [
            json!(["hold_begun", "silent", null, null]),
            json!(["hold_begun", "told", 40, "new kernel"]),
            json!(["hold_renewed", "told", null, "newer kernel"]),
            json!(["hold_renewed", "silent", null, null]),
            json!(["hold_committed", "told", null, null]),
            json!(["hold_ended", "silent", null, null]),
        ]
    );
    let silent = lines.iter().filter(|line| line["request"] == "silent");
    assert!(silent.clone().all(|line| line.get("note").is_none() && line.get("unready_delay_ms").is_none()));
    assert_eq!(silent.count(), 3);
}

#[test]
fn a_line_that_counts_work_says_drained_and_abandoned_where_the_gate_does() {
    let (_folder, path, trace, controller) = start(&Clock::manual());
    controller.request(&Request::begin(RequestId::new("ops").unwrap(), "ops")).unwrap();
    controller.request(&Request::withdraw(RequestId::new("ops").unwrap(), "ops")).unwrap();
    let turn = controller.gate().admit().unwrap();
    controller.begin_shutdown(Duration::from_secs(60)).unwrap();
    let _ = controller.force_stop();
    trace.flush(WRITTEN).unwrap();
    drop(turn);
    let said = |line: &Value| json!([line["event"], line["in_flight"], line["drained"], line["abandoned"]]);
    let lines = lines(&path);
    assert_eq!(
        lines.iter().filter(|line| !line["in_flight"].is_null()).map(said).collect::<Vec<_>>(),
        [
            json!(["start", 0, null, null]),
            json!(["begin_drain", 0, true, null]),
            json!(["end_drain", 0, null, null]),
            json!(["begin_shutdown", 1, null, null]),
            json!(["stop", 1, null, true]),
        ]
    );
}

#[test]
fn a_status_that_was_published_is_a_line_with_what_it_said() {
    let (_folder, path, trace, controller) = start(&Clock::manual());
    let home = tempfile::tempdir().unwrap();
    let gateway = Reconciler::start(gateway_drain::Home::at(home.path()), Default::default()).unwrap();
    let turn = gateway.gate().admit().unwrap();
    trace.status(&gateway.snapshot());
    drop(turn);
    trace.flush(WRITTEN).unwrap();
    let line = lines(&path).pop().unwrap();
    let said = json!([line["event"], line["sequence"], line["published"], line["state"], line["in_flight"]]);
    assert_eq!(said, json!(["status", 1, "running", "running", 1]));
    assert_eq!(line["incarnation"], controller.incarnation().as_str(), "of the gateway whose trace it is");
}

#[test]
fn a_trace_goes_on_after_a_last_line_and_a_torn_one_that_are_both_long() {
    let (_folder, path, trace, _) = start(&Clock::manual());
    trace.flush(WRITTEN).unwrap();
    let first = lines(&path).pop().unwrap();
    let mut last = first.clone();
    last["sequence"] = 1.into();
    last["event"] = "reading".into();
    // The two together are longer than a line may be, and neither is.
    last["note"] = "x".repeat(700 * 1024).into();
    let whole = format!("{first}\n{last}\n");
    std::fs::write(&path, format!("{whole}{}", &last.to_string()[..last.to_string().len() - 1])).unwrap();

    let trace = Trace::append(&path).expect("it ends with a line of a trace");
    trace.attach(&Controller::new());
    trace.flush(WRITTEN).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let line: Value = serde_json::from_str(text.strip_prefix(&whole).expect("the torn line is gone")).unwrap();
    assert_eq!((&line["event"], &line["after"]), (&json!("start"), &first["incarnation"]));
}
