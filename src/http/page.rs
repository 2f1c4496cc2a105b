//! The page for people: where the gateway stands, who keeps it there and what it waits for.
//!
//! All facts are in the HTML as it is served. A script only fetches the same page again each second; without it the page
//! reloads itself. Nothing is taken from elsewhere, and nothing is inline, so that the strictest policy can hold. Names
//! (owners, reasons, labels) are shown only to those who may read them.

use crate::hold::Notes;
use crate::state::{DrainState, Event, Step, next};
use crate::status::{HoldStatus, Snapshot, WorkStatus};
use crate::sync::Mutex;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use core::fmt::Write;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

pub(super) const STYLE: &str = include_str!("page/page.css");
pub(super) const SCRIPT: &str = include_str!("page/page.js");

const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
                      frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// How much was in flight, lately: noted whenever the state moved or somebody looked.
#[derive(Default)]
pub(super) struct History(Mutex<VecDeque<(Instant, u64)>>);

impl History {
    const SPAN: Duration = Duration::from_secs(300);
    const MOST: usize = 600;

    pub(super) fn add(&self, in_flight: u64) {
        self.add_at(Instant::now(), in_flight);
    }

    fn add_at(&self, now: Instant, in_flight: u64) {
        let mut seen = self.0.lock();
        while seen.front().is_some_and(|(at, _)| now - *at > Self::SPAN) || seen.len() >= Self::MOST {
            seen.pop_front();
        }
        // No more than two points a second, but for what changes: a crowd that looks doesn't crowd out the past.
        let crowded = seen.back().is_some_and(|(at, last)| *last == in_flight && now - *at < Self::SPAN / 600);
        if !crowded {
            seen.push_back((now, in_flight));
        }
    }

    /// Seconds ago, and how much.
    fn points(&self) -> Vec<(f64, u64)> {
        let now = Instant::now();
        self.0.lock().iter().map(|(at, in_flight)| ((now - *at).as_secs_f64(), *in_flight)).collect()
    }
}

pub(super) fn file(kind: &'static str, content: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")], content).into_response()
}

pub(super) fn page(status: Option<&Snapshot>, history: &History, named: bool) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, html(status, &history.points(), named)).into_response()
}

fn html(status: Option<&Snapshot>, points: &[(f64, u64)], named: bool) -> String {
    let facts = match status {
        Some(status) => {
            let parts =
                [facts(status), diagram(status.drain.state), graph(points), holds(status, named), work(status, named)];
            parts.concat()
        }
        None => "<p id=\"state\" data-state=\"none\">No gateway runs in this home.</p>".to_owned(),
    };
    format!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"/><title>Drain</title>\
         <meta name=\"viewport\" content=\"width=device-width\"/><link rel=\"stylesheet\" href=\"drain/page.css\"/>\
         <noscript><meta http-equiv=\"refresh\" content=\"5\"/></noscript>\
         <script src=\"drain/page.js\" defer=\"defer\"></script></head><body><h1>Drain</h1><main>{facts}</main></body></html>"
    )
}

fn facts(status: &Snapshot) -> String {
    let drain = &status.drain;
    let yes = |yes: bool| if yes { "yes" } else { "no" };
    let rows = [
        ("in-flight", "Turns in flight", drain.in_flight.to_string()),
        ("internal", "Internal work", drain.internal.to_string()),
        ("drained", "Drained", yes(drain.drained).to_owned()),
        ("stalled", "Stalled", yes(drain.stalled).to_owned()),
        ("generation", "Drain", drain.generation.to_string()),
        ("updated", "As of", time_of_day(&status.updated_at)),
    ];
    let mut html = format!("<p id=\"state\" data-state=\"{0}\">{1}</p><dl>", drain.state, sentence(status));
    for (id, name, value) in rows {
        let _ = write!(html, "<div><dt>{name}</dt><dd id=\"{id}\">{}</dd></div>", escaped(&value));
    }
    html + "</dl>"
}

/// The time of an ISO 8601 timestamp, which is in UTC.
fn time_of_day(timestamp: &str) -> String {
    timestamp.get(11..19).map_or_else(|| timestamp.to_owned(), |time| format!("{time} UTC"))
}

fn sentence(status: &Snapshot) -> &'static str {
    match (status.drain.state, status.drain.drained) {
        (DrainState::Running, _) if status.drain.pending => "Takes work, and is about to stop taking it.",
        (DrainState::Running, _) => "Takes work.",
        (DrainState::ExternalDraining, false) => "Takes no new work, and waits for what is in flight.",
        (DrainState::ExternalDraining, true) => "Drained: takes no new work, and nothing is in flight.",
        (DrainState::ShutdownDraining, _) => "Shuts down.",
        (DrainState::Stopped, _) => "Stopped.",
    }
}

/// Where each state stands in the drawing.
const fn place(state: DrainState) -> (i32, i32) {
    match state {
        DrainState::Running => (90, 40),
        DrainState::ExternalDraining => (330, 40),
        DrainState::ShutdownDraining => (210, 140),
        DrainState::Stopped => (450, 140),
    }
}

const fn word(event: Event) -> &'static str {
    match event {
        Event::BeginDrain => "begin drain",
        Event::EndDrain => "end drain",
        Event::BeginShutdown => "begin shutdown",
        Event::Stop => "stop",
    }
}

/// The state diagram, drawn from the table of transitions, with the current state lit.
fn diagram(current: DrainState) -> String {
    let mut svg =
        "<svg id=\"diagram\" viewBox=\"0 0 540 180\" role=\"img\" aria-label=\"State diagram\"><defs><marker \
                   id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" \
                   orient=\"auto\"><path d=\"M0 0 8 4 0 8z\"/></marker></defs>"
            .to_owned();
    for from in DrainState::ALL {
        for event in Event::ALL {
            let Step::Moves(to) = next(from, event) else { continue };
            let ((x1, y1), (x2, y2)) = (place(from), place(to));
            // Level arrows run beside each other, at either side of the middle; the others between the boxes' edges.
            let (x1, x2, shift) = match (y1 == y2, x1 < x2) {
                (true, true) => (x1 + 78, x2 - 80, -8),
                (true, false) => (x1 - 78, x2 + 80, 10),
                (false, _) => (x1, x2, 0),
            };
            let (y1, y2) = if y1 == y2 { (y1 + shift, y2 + shift) } else { (y1 + 20, y2 - 22) };
            let (x, y) = (i32::midpoint(x1, x2), i32::midpoint(y1, y2));
            let y = if shift > 0 { y + 14 } else { y - 4 };
            // Beside an arrow that falls, not on it.
            let x = match (shift, x1 < x2) {
                (0, true) => x - 52,
                (0, false) => x + 52,
                _ => x,
            };
            let _ = write!(
                svg,
                "<line x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\" marker-end=\"url(#tip)\"/>\
                 <text class=\"event\" x=\"{x}\" y=\"{y}\">{}</text>",
                word(event)
            );
        }
    }
    for state in DrainState::ALL {
        let (x, y) = place(state);
        let lit = if state == current { " lit" } else { "" };
        let _ = write!(
            svg,
            "<g class=\"state{lit}\" data-state=\"{state}\"><rect x=\"{}\" y=\"{}\" width=\"156\" height=\"40\" \
             rx=\"6\"/><text x=\"{x}\" y=\"{}\">{state}</text></g>",
            x - 78,
            y - 20,
            y + 5
        );
    }
    svg + "</svg>"
}

/// What was in flight in the last minutes, as steps.
fn graph(points: &[(f64, u64)]) -> String {
    let most = points.iter().map(|(_, in_flight)| *in_flight).max().unwrap_or(0).max(1);
    let (span, mut line, mut level) = (History::SPAN.as_secs_f64(), String::new(), None);
    for (ago, in_flight) in points {
        let x = 500.0 * (1.0 - (ago / span).min(1.0));
        #[expect(clippy::cast_precision_loss, reason = "a drawing")]
        let y = 90.0 - 80.0 * (*in_flight as f64 / most as f64);
        if let Some(level) = level {
            let _ = write!(line, "{x:.1},{level:.1} ");
        }
        let _ = write!(line, "{x:.1},{y:.1} ");
        level = Some(y);
    }
    if let Some(level) = level {
        let _ = write!(line, "500,{level:.1}");
    }
    format!(
        "<h2>In flight</h2><svg id=\"history\" viewBox=\"0 0 540 100\" role=\"img\" aria-label=\"In flight over the last \
         five minutes\"><line class=\"axis\" x1=\"0\" y1=\"90\" x2=\"500\" y2=\"90\"/><text class=\"scale\" x=\"505\" \
         y=\"14\">{most}</text><text class=\"scale\" x=\"505\" y=\"94\">0</text><polyline points=\"{line}\"/></svg>"
    )
}

fn holds(status: &Snapshot, named: bool) -> String {
    if status.drain.holds.is_empty() {
        return "<h2>Holds</h2><p id=\"holds\">Nobody keeps the gate closed.</p>".to_owned();
    }
    let mut heads = String::new();
    if named {
        heads.push_str("<th>Hold</th><th>Owner</th>");
        for (name, _) in Notes::default().each() {
            let _ = write!(heads, "<th>{}{}</th>", name[..1].to_ascii_uppercase(), &name[1..]);
        }
    }
    let rows: String = status.drain.holds.iter().map(|hold| hold_row(hold, named)).collect();
    format!(
        "<h2>Holds</h2><table id=\"holds\"><tr>{heads}<th>Standing</th><th>Age</th><th>Lease left</th></tr>{rows}</table>"
    )
}

fn hold_row(hold: &HoldStatus, named: bool) -> String {
    let standing = match (hold.overdue, hold.committed, hold.pending) {
        (true, ..) => "overdue",
        (false, true, _) => "committed",
        (false, false, true) => "pending",
        (false, false, false) => "held",
    };
    let mut row = "<tr>".to_owned();
    if named {
        let notes = hold.notes.each().map(|(_, text)| text);
        for text in [hold.request_id.as_str(), &hold.owner].into_iter().chain(notes) {
            let _ = write!(row, "<td>{}</td>", escaped(text));
        }
    }
    let lease = hold.lease_left_seconds.map_or("none runs".to_owned(), |left| {
        format!("<meter min=\"0\" max=\"{:.0}\" value=\"{left:.0}\"></meter> {}", hold.age_seconds + left, span(left))
    });
    let _ = write!(
        row,
        "<td class=\"{standing}\">{standing}</td><td class=\"time\">{}</td><td class=\"time\">{lease}</td>",
        span(hold.age_seconds)
    );
    row + "</tr>"
}

fn work(status: &Snapshot, named: bool) -> String {
    if status.drain.active_work.is_empty() {
        return "<h2>Waited for</h2><p id=\"work\">Nothing that has a name.</p>".to_owned();
    }
    let head = if named { "<th>Which</th>" } else { "" };
    let row = |work: &WorkStatus| {
        let label = if named { format!("<td>{}</td>", escaped(&work.label)) } else { String::new() };
        format!("<tr><td>{}</td>{label}<td class=\"time\">{}</td></tr>", escaped(&work.kind), span(work.age_seconds))
    };
    let rows: String = status.drain.active_work.iter().map(row).collect();
    format!("<h2>Waited for</h2><table id=\"work\"><tr><th>Work</th>{head}<th>Age</th></tr>{rows}</table>")
}

/// A span of time for people.
fn span(seconds: f64) -> String {
    let whole = Duration::try_from_secs_f64(seconds).unwrap_or_default().as_secs();
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m} min {s:02} s"),
        (h, m, _) => format!("{h} h {m:02} min"),
    }
}

fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
    html
}

#[cfg(test)]
mod tests;
