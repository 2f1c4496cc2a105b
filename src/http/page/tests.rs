//! The whole page of three fixed statuses, in the files of `tests/`, and what holds of every drawing. To write the files again after
//! a change: `UPDATE_DOCS=1 cargo test --all-features --lib page::`, and read the difference as a reviewer.

#![expect(clippy::float_cmp, reason = "what was written alike is read alike")]

use super::*;
use roxmltree::{Document, Node, ParsingOptions};
use serde_json::{Value, json};
use std::path::Path;

/// Seconds ago, and what was in flight: the first is older than what the drawing shows.
const POINTS: [(f64, u64); 6] = [(310.0, 1), (240.0, 4), (150.0, 3), (60.0, 0), (30.0, 0), (3.0, 2)];

fn status(drain: &Value) -> Snapshot {
    let mut status = json!({"updated_at": "2026-03-01T12:34:56.789+00:00", "drain": {"format": 2}});
    for (name, value) in drain.as_object().expect("an object") {
        status["drain"][name] = value.clone();
    }
    serde_json::from_value(status).expect("a status")
}

/// The page, with a line for each element that begins, is what the file has.
#[track_caller]
fn compare_or_write(name: &str, drain: &Value, points: &[(f64, u64)], named: bool) {
    let page = html(Some(&status(drain)), points, named);
    let page = page.replace("><", ">\n<").replace(">\n</", "></") + "\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/page/tests").join(name);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).expect("the file can be written");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = found.lines().zip(page.lines()).find(|(found, page)| found != page);
    assert!(
        found == page,
        "{name} has other lines than the page, first {differs:?}: run with UPDATE_DOCS=1 and read them"
    );
}

#[test]
fn the_page_of_a_gateway_that_takes_work() {
    let drain = json!({"state": "running", "generation": 3, "in_flight": 2, "internal": 1});
    compare_or_write("running.html", &drain, &POINTS, false);
}

#[test]
fn the_page_of_a_drain_shows_how_each_hold_stands_and_nothing_of_what_was_refused() {
    let holds = json!([
        {"request_id": "held", "owner": "alice", "reason": "new <kernel> & \"more\"", "age_seconds": 59.9,
         "lease_left_seconds": 60.0},
        {"request_id": "pending", "owner": "bob", "ticket": "CHG-7", "pending": true, "age_seconds": 0.4},
        {"request_id": "committed", "owner": "carol", "pending": true, "committed": true, "age_seconds": 3661.0},
        {"request_id": "overdue", "owner": "dave's", "committed": true, "overdue": true, "age_seconds": 90_061.0},
    ]);
    let drain = json!({
        "state": "external_draining", "generation": 4, "in_flight": 1, "stalled": true, "holds": holds,
        "acknowledged": [{"request_id": "refused", "nonce": "n", "outcome": "refused", "why": "not_yours"}],
        "ignored": [{"request_id": "ignored", "kind": "other_epoch", "detail": "of another boot"}],
        "active_work": [
            {"kind": "turn", "label": "chat <7>", "age_seconds": 125.0},
            {"kind": "", "label": "", "age_seconds": 1.0},
        ],
    });
    compare_or_write("draining.html", &drain, &[(200.0, 5), (2.0, 1)], true);
}

#[test]
fn the_page_of_a_shutdown_shows_the_work_that_is_left_and_without_the_right_to_read_no_name() {
    let drain = json!({
        "state": "shutdown_draining", "generation": 5, "in_flight": 1, "internal": 1,
        "holds": [{"request_id": "upgrade", "owner": "alice", "committed": true, "age_seconds": 7200.0}],
        "active_work": [{"kind": "turn", "label": "private", "age_seconds": 45.0}],
    });
    compare_or_write("shutdown.html", &drain, &[], false);
}

#[test]
fn each_state_has_its_sentence() {
    for (state, drained, pending, says) in [
        ("running", false, false, "Takes work."),
        ("running", false, true, "Takes work, and is about to stop taking it."),
        ("external_draining", false, false, "Takes no new work, and waits for what is in flight."),
        ("external_draining", false, true, "Takes no new work, and waits for what is in flight."),
        ("external_draining", true, false, "Drained: takes no new work, and nothing is in flight."),
        ("shutdown_draining", false, false, "Shuts down."),
        ("shutdown_draining", true, false, "Shuts down."),
        ("stopped", true, false, "Stopped."),
    ] {
        let status = status(&json!({"state": state, "drained": drained, "pending": pending}));
        assert_eq!(sentence(&status), says, "{state} {drained} {pending}");
    }
}

#[test]
fn a_span_of_time_is_told_in_two_units_at_most() {
    for (seconds, told) in [
        (-1.0, "0 s"),
        (0.0, "0 s"),
        (59.9, "59 s"),
        (60.0, "1 min 00 s"),
        (3599.0, "59 min 59 s"),
        (3600.0, "1 h 00 min"),
        (3661.0, "1 h 01 min"),
        (90_061.0, "25 h 01 min"),
        (f64::NAN, "0 s"),
    ] {
        assert_eq!(span(seconds), told, "{seconds}");
    }
}

#[test]
fn the_history_keeps_what_changes_and_two_points_a_second_of_what_does_not_for_five_minutes() {
    let (history, began) = (History::default(), Instant::now());
    let at = |millis: u64| began + Duration::from_millis(millis);
    let kept = || {
        let kept = history.0.lock();
        kept.iter().map(|(at, in_flight)| ((*at - began).as_millis(), *in_flight)).collect::<Vec<_>>()
    };
    history.add_at(at(0), 1);
    history.add_at(at(499), 1);
    assert_eq!(kept(), [(0, 1)], "nothing has changed, and it was noted a moment ago");
    history.add_at(at(500), 1);
    assert_eq!(kept(), [(0, 1), (500, 1)], "half a second later it is noted once more");
    history.add_at(at(501), 2);
    assert_eq!(kept(), [(0, 1), (500, 1), (501, 2)], "what changes is noted at once");
    history.add_at(at(300_000), 2);
    assert_eq!(kept().len(), 4, "five minutes ago is still shown");
    history.add_at(at(300_001), 3);
    assert_eq!(kept()[0], (500, 1), "what is older is not");
    history.add_at(at(900_000), 0);
    assert_eq!(kept(), [(900_000, 0)], "after a long time of which nothing was noted");
}

#[test]
fn the_history_has_a_bound_however_much_changes() {
    let (history, began) = (History::default(), Instant::now());
    for moment in 0..700 {
        history.add_at(began + Duration::from_millis(moment), moment);
    }
    let kept = history.0.lock();
    assert_eq!((kept.len(), kept.front().map(|(_, seen)| *seen)), (600, Some(100)), "the oldest ones make room");
}

#[test]
fn a_time_is_told_in_utc_and_what_is_no_timestamp_as_it_is() {
    assert_eq!(time_of_day("2026-03-01T12:34:56.789+00:00"), "12:34:56 UTC");
    assert_eq!(time_of_day("2026-03-01T12:34:5"), "2026-03-01T12:34:5");
    assert_eq!(time_of_day(""), "");
}

/// A rectangle, by two of its corners.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Area {
    from: (f64, f64),
    to: (f64, f64),
}

impl Area {
    fn of(node: Node<'_, '_>) -> Self {
        let [x, y, width, height] = numbers(node, ["x", "y", "width", "height"]);
        Self { from: (x, y), to: (x + width, y + height) }
    }

    fn wider_by(self, margin: f64) -> Self {
        let Self { from, to } = self;
        Self { from: (from.0 - margin, from.1 - margin), to: (to.0 + margin, to.1 + margin) }
    }

    fn has(self, (x, y): (f64, f64)) -> bool {
        self.from.0 <= x && x <= self.to.0 && self.from.1 <= y && y <= self.to.1
    }

    /// Whether a point lies on the line that bounds it.
    fn ends_at(self, (x, y): (f64, f64)) -> bool {
        self.has((x, y)) && ([self.from.0, self.to.0].contains(&x) || [self.from.1, self.to.1].contains(&y))
    }
}

fn numbers<const N: usize>(node: Node<'_, '_>, names: [&str; N]) -> [f64; N] {
    names.map(|name| {
        node.attribute(name).and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{name} of {node:?}"))
    })
}

fn view(root: Node<'_, '_>) -> Area {
    let view = root.attribute("viewBox").expect("a viewBox").split(' ').map(|number| number.parse().expect("a number"));
    let [x, y, width, height] = view.collect::<Vec<f64>>()[..] else { panic!("a viewBox has four numbers") };
    Area { from: (x, y), to: (x + width, y + height) }
}

#[test]
fn in_the_diagram_each_arrow_leads_from_one_state_to_the_next_and_nothing_covers_anything() {
    let svg = diagram(DrainState::Running);
    let document = Document::parse(&svg).expect("a drawing that is well-formed");
    let root = document.root_element();
    let boxes = DrainState::ALL.map(|state| {
        let group = root.children().find(|node| node.attribute("data-state") == Some(state.as_str()));
        let group = group.unwrap_or_else(|| panic!("no box of {state}"));
        let name = group.children().find(|node| node.has_tag_name("text")).expect("a name");
        let rect = Area::of(group.children().find(|node| node.has_tag_name("rect")).expect("a box"));
        let [x, y] = numbers(name, ["x", "y"]);
        assert!(rect.wider_by(-14.0).has((x, y)), "{state} stands outside its box");
        rect
    });
    for (at, one) in boxes.iter().enumerate() {
        for other in &boxes[at + 1..] {
            let apart = one.to.0 < other.from.0
                || other.to.0 < one.from.0
                || one.to.1 < other.from.1
                || other.to.1 < one.from.1;
            assert!(apart, "{one:?} overlaps {other:?}");
        }
        assert!(view(root).has(one.from) && view(root).has(one.to), "{one:?} is cut off");
    }

    let arrows: Vec<_> = root.children().filter(|node| node.has_tag_name("line")).collect();
    let words: Vec<_> = root.children().filter(|node| node.attribute("class") == Some("event")).collect();
    let moves = DrainState::ALL.into_iter().flat_map(|from| Event::ALL.map(|event| (from, event, next(from, event))));
    let moves = moves.filter_map(|(from, event, step)| match step {
        Step::Moves(to) => Some((from, event, to)),
        _ => None,
    });
    let moves: Vec<_> = moves.collect();
    assert_eq!((arrows.len(), words.len()), (moves.len(), moves.len()));
    for ((from, event, to), (arrow, text)) in moves.iter().zip(arrows.iter().zip(&words)) {
        let [x1, y1, x2, y2] = numbers(*arrow, ["x1", "y1", "x2", "y2"]);
        assert!(boxes[*from as usize].ends_at((x1, y1)), "{event:?} doesn't begin at the border of {from}");
        // Its tip is drawn beyond its end.
        assert!(boxes[*to as usize].wider_by(2.0).ends_at((x2, y2)), "{event:?} doesn't end at the border of {to}");
        let middle = (x1.midpoint(x2), y1.midpoint(y2));
        assert!(boxes.iter().all(|rect| !rect.has(middle)), "{event:?} crosses a box");
        assert_eq!(text.text(), Some(word(*event)));
        let [x, y] = numbers(*text, ["x", "y"]);
        let around = Area { from: middle, to: middle };
        assert!(around.wider_by(60.0).has((x, y)), "{event:?} isn't told beside its arrow");
        assert!(boxes.iter().all(|rect| !rect.has((x, y))), "{event:?} is told in a box");
    }
}

#[test]
fn the_history_goes_in_steps_from_the_left_to_now_and_as_high_as_the_most_that_was_in_flight() {
    for points in [&POINTS[..], &[(299.9, 1)], &[(0.0, 0)], &[(1000.0, 7), (500.0, 9), (0.0, 0)]] {
        let svg = graph(points);
        let svg = &svg[svg.find("<svg").expect("a drawing")..];
        let document = Document::parse(svg).expect("a drawing that is well-formed");
        let root = document.root_element();
        let line = root.children().find(|node| node.has_tag_name("polyline")).expect("a line");
        let line = line.attribute("points").expect("points").split_whitespace().map(|point| {
            let (x, y) = point.split_once(',').expect("two numbers");
            (x.parse::<f64>().expect("a number"), y.parse::<f64>().expect("a number"))
        });
        let line: Vec<_> = line.collect();
        let axis = root.children().find(|node| node.attribute("class") == Some("axis")).expect("an axis");
        let [left, right, zero] = numbers(axis, ["x1", "x2", "y1"]);
        assert!(line.iter().all(|point| view(root).has(*point) && point.0 <= right), "{line:?} leaves the drawing");
        for step in line.windows(2) {
            assert!(
                step[0].0 <= step[1].0 && (step[0].0 == step[1].0 || step[0].1 == step[1].1),
                "{step:?} is no step"
            );
        }
        assert_eq!(line.last().map(|last| last.0), Some(right), "the last goes on until now");
        let most = points.iter().map(|(_, in_flight)| *in_flight).max().unwrap_or_default();
        for ((ago, in_flight), (x, y)) in points.iter().zip(line.iter().step_by(2)) {
            let at = left + (right - left) * (300.0 - ago.min(300.0)) / 300.0;
            assert!((x - at).abs() < 0.1, "what was {ago} s ago is drawn at {x}");
            match *in_flight {
                0 => assert_eq!(*y, zero),
                some if some == most => assert_eq!(*y, 10.0),
                _ => assert!(10.0 < *y && *y < zero),
            }
        }
    }
}

#[test]
fn every_page_is_well_formed_whatever_it_tells() {
    let hold = json!({"request_id": "a", "owner": "<&>\"'", "reason": "]]>", "lease_left_seconds": 1e300, "age_seconds": -1.0});
    let status = status(&json!({"state": "external_draining", "holds": [hold]}));
    for named in [true, false] {
        for status in [Some(&status), None] {
            let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
            let page = html(status, &POINTS, named);
            assert!(Document::parse_with_options(&page, options).is_ok(), "{page}");
        }
    }
}
