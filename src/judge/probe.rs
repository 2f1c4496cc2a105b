//! The probe: drives a running gateway, of any language, from outside, and tells which properties it saw kept or broken.
//!
//! It uses the wire contract alone: the marker, the hold files, the published status, the endpoint. Where a gateway knows
//! less of it than this crate does (the reference's has no `drain` object and one hold), the properties that can't be seen
//! are said to be unseen. It takes back all that it has begun, on every path: see `driver`.
//!
//! | File | What it is |
//! |---|---|
//! | `driver.rs` | what can be done to a gateway and seen of it, and what has to be undone |
//! | `checks.rs` | what is tried, in order, and what it shows |
//! | `catalogue.rs` | the table of it, by property, with what each needs |
//! | `published.rs` | a status, and what it says |
//! | `world.rs` | time, turns, processes and commands, in whose place a test puts its own |
//!
//! `docs/probe.md` tells how to use it.

mod catalogue;
mod checks;
mod driver;
#[cfg(test)]
mod fake;
mod published;
#[cfg(test)]
mod tests;
mod world;

pub use catalogue::{Need, TRIALS, Trial};

use crate::client::Interrupt;
use crate::properties::PropertyId;
use core::fmt;
use driver::Driver;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

/// Which gateway, and how to deal with it.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its home, to act on its files.
    pub home: Option<PathBuf>,
    /// Its address, to use its endpoint.
    pub url: Option<String>,
    /// The bearer token of the endpoint.
    pub secret: Option<String>,
    /// Where a turn can be started by a POST, and with what body: how the gate itself is seen. A turn should last a
    /// few seconds.
    pub turn: Option<(String, String)>,
    /// Further headers of that POST, such as an API key.
    pub turn_headers: Vec<(String, String)>,
    /// The status codes that say that a turn is refused.
    pub refused: Vec<u16>,
    /// A shell command that kills the gateway, starts it again and returns. (A shutdown would end a commit by right.)
    pub restart: Option<String>,
    /// A shell command that has the gateway shut down, as a deploy does, and returns. It is run last.
    pub stop: Option<String>,
    /// How often the gateway looks at its files.
    pub tick: Duration,
    /// How long anything may take before it counts as never.
    pub patience: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            home: None,
            url: None,
            secret: None,
            turn: None,
            turn_headers: Vec::new(),
            refused: vec![503],
            restart: None,
            stop: None,
            tick: Duration::from_secs(1),
            patience: Duration::from_secs(10),
        }
    }
}

/// What was seen of a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sight {
    /// It was kept, as far as was tried.
    Kept,
    /// It was broken.
    Broken,
    /// It was kept by the gateway's own word alone: the gate itself was not seen.
    Told,
    /// It can't be seen in this gateway, or with what the probe was given.
    Unseen,
}

/// One thing that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What it is about.
    pub property: PropertyId,
    /// What was seen.
    pub sight: Sight,
    /// What was tried, and what came of it.
    pub evidence: String,
}

/// What the probe found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// In the order in which it was tried.
    pub rows: Vec<Row>,
    /// What ended the probe before its end, if something did.
    pub cut_short: Option<String>,
    /// What could not be taken back, if something couldn't.
    pub left_behind: Option<String>,
}

/// Why nothing was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanNotProbe(pub(crate) String);

impl fmt::Display for CanNotProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CanNotProbe {}

/// Probes a gateway. It is closed and opened many times meanwhile, so it should be one that nobody needs.
///
/// When `interrupt` is raised, it takes back what it has begun and returns what it has seen so far. A process that is
/// killed can take nothing back: its holds end within a minute and an unsound marker within an hour, a hold that it has
/// committed stays until it is overridden, and a marker of a gateway that knows no leases until it is removed.
///
/// # Errors
/// [`CanNotProbe`]: it can't be reached, or isn't running, or somebody holds it already, or the turn that is tried first is
/// neither admitted nor refused. Nothing has been touched.
pub fn run(options: &Options, interrupt: &Interrupt) -> Result<Report, CanNotProbe> {
    Ok(report_of(Driver::of(options, interrupt)?))
}

fn report_of(mut driver: Driver<'_>) -> Report {
    let mut report = Report::default();
    if let Err(stop) = checks::all(&mut driver, &mut report.rows) {
        report.cut_short = Some(stop.to_string());
    }
    report.left_behind = driver.take_back().err();
    report
}

impl Report {
    /// What was seen of a property: broken if it ever was, else kept if it ever was.
    #[must_use]
    pub fn sight(&self, property: PropertyId) -> Sight {
        let seen = |sight| self.rows.iter().any(|row| row.property == property && row.sight == sight);
        [Sight::Broken, Sight::Kept, Sight::Told].into_iter().find(|sight| seen(*sight)).unwrap_or(Sight::Unseen)
    }

    /// The properties that were broken.
    #[must_use]
    pub fn broken(&self) -> Vec<PropertyId> {
        PropertyId::all().filter(|property| self.sight(*property) == Sight::Broken).collect()
    }

    /// Whether everything that can be seen from outside was seen kept.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.cut_short.is_none() && TRIALS.iter().all(|trial| self.sight(trial.property) == Sight::Kept)
    }

    /// 0 nothing was seen broken, 11 something was, 12 the probe could not be ended as it should: the codes of the command line.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match (self.broken().is_empty(), self.cut_short.is_some() || self.left_behind.is_some()) {
            (false, _) => 11,
            (true, true) => 12,
            (true, false) => 0,
        }
    }

    /// The report for programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let row = |row: &Row| {
            json!({
                "property": row.property.to_string(),
                "sentence": row.property.sentence(),
                "sight": row.sight.as_str(),
                "evidence": row.evidence,
            })
        };
        json!({
            "complete": self.is_complete(),
            "broken": self.broken().iter().map(ToString::to_string).collect::<Vec<_>>(),
            "rows": self.rows.iter().map(row).collect::<Vec<_>>(),
            "cut_short": self.cut_short,
            "left_behind": self.left_behind,
        })
    }
}

impl Sight {
    /// The word for programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Broken => "broken",
            Self::Told => "told",
            Self::Unseen => "unseen",
        }
    }
}

/// For people, who are not to overlook what was broken.
impl fmt::Display for Sight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(if *self == Self::Broken { "BROKEN" } else { self.as_str() })
    }
}

/// The first line says it all in one sentence.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |sight| PropertyId::all().filter(move |property| self.sight(*property) == sight);
        let names = |sight| of(sight).map(|property| property.to_string()).collect::<Vec<_>>().join(", ");
        if let Some(row) = self.rows.iter().find(|row| row.sight == Sight::Broken) {
            writeln!(f, "The gateway breaks {}: {}.", row.property, row.evidence)?;
        } else {
            let count = |sight| TRIALS.iter().filter(|trial| self.sight(trial.property) == sight).count();
            let (all, told) = (TRIALS.len(), count(Sight::Told));
            let kept = count(Sight::Kept);
            let by_word = if told > 0 { format!(", {told} told by the gateway alone") } else { String::new() };
            let unseen = count(Sight::Unseen);
            writeln!(f, "Nothing was seen broken: {kept} of {all} properties seen kept{by_word}, {unseen} unseen.")?;
        }
        for Row { property, sight, evidence } in &self.rows {
            writeln!(f, "{:<3} {sight:<6}  {}\n            {evidence}", property.to_string(), property.sentence())?;
        }
        writeln!(f, "Unseen: {}.", names(Sight::Unseen))?;
        if let Some(why) = &self.cut_short {
            writeln!(f, "Cut short: {why}.")?;
        }
        if let Some(what) = &self.left_behind {
            writeln!(f, "NOT TAKEN BACK: {what}.")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod report {
    use super::*;

    #[test]
    fn a_report_says_it_all_in_its_first_line_and_its_code() {
        let row = |property, sight| Row { property, sight, evidence: "what was seen".into() };
        let of = |rows: Vec<Row>| Report { rows, ..Report::default() };
        let told = |report: &Report| {
            (report.to_string().lines().next().unwrap_or_default().to_owned(), report.exit_code(), report.is_complete())
        };
        let nothing = |counts: &str| format!("Nothing was seen broken: {counts} unseen.");
        let all: Vec<Row> = TRIALS.iter().map(|trial| row(trial.property, Sight::Kept)).collect();
        let cut = Some("it was interrupted".to_owned());
        let (g2, h1) = (PropertyId::G2, PropertyId::H1);
        let breaks = |property| format!("The gateway breaks {property}: what was seen.");
        let cases = [
            (of(vec![]), nothing("0 of 20 properties seen kept, 20"), 0, false),
            (of(all.clone()), nothing("20 of 20 properties seen kept, 0"), 0, true),
            (of(all[1..].to_vec()), nothing("19 of 20 properties seen kept, 1"), 0, false),
            (
                Report { cut_short: cut.clone(), ..of(all.clone()) },
                nothing("20 of 20 properties seen kept, 0"),
                12,
                false,
            ),
            (
                Report { left_behind: cut.clone(), ..of(all.clone()) },
                nothing("20 of 20 properties seen kept, 0"),
                12,
                true,
            ),
            (
                of(vec![row(g2, Sight::Told), row(h1, Sight::Kept), row(h1, Sight::Told)]),
                nothing("1 of 20 properties seen kept, 1 told by the gateway alone, 18"),
                0,
                false,
            ),
            (of(vec![row(g2, Sight::Kept), row(h1, Sight::Broken), row(g2, Sight::Broken)]), breaks(h1), 11, false),
            (Report { cut_short: cut, ..of([all, vec![row(g2, Sight::Broken)]].concat()) }, breaks(g2), 11, false),
        ];
        for (report, first, code, complete) in cases {
            assert_eq!(told(&report), (first, code, complete), "{report}");
        }
    }

    #[test]
    fn a_report_has_two_lines_for_each_row_and_says_what_was_unseen_cut_short_or_left_behind() {
        let rows = [(PropertyId::H1, Sight::Broken), (PropertyId::G2, Sight::Kept)];
        let rows = rows.map(|(property, sight)| Row { property, sight, evidence: format!("{sight} it was") }).to_vec();
        let report = Report { rows, cut_short: Some("it ended".into()), left_behind: Some("a file".into()) };
        let (h1, g2) = (PropertyId::H1, PropertyId::G2);
        let unseen =
            PropertyId::all().filter(|property| ![h1, g2].contains(property)).map(|property| property.to_string());
        let unseen = unseen.collect::<Vec<_>>().join(", ");
        let text = format!(
            "The gateway breaks H1: BROKEN it was.\n\
             H1  BROKEN  {}\n            BROKEN it was\n\
             G2  kept    {}\n            kept it was\n\
             Unseen: {unseen}.\nCut short: it ended.\nNOT TAKEN BACK: a file.\n",
            h1.sentence(),
            g2.sentence()
        );
        assert_eq!(report.to_string(), text);
        assert_eq!(
            (report.broken(), report.sight(g2), report.sight(PropertyId::S1)),
            (vec![h1], Sight::Kept, Sight::Unseen)
        );
        assert_eq!(
            report.to_json(),
            json!({
                "complete": false, "broken": ["H1"], "cut_short": "it ended", "left_behind": "a file",
                "rows": [
                    {"property": "H1", "sentence": h1.sentence(), "sight": "broken", "evidence": "BROKEN it was"},
                    {"property": "G2", "sentence": g2.sentence(), "sight": "kept", "evidence": "kept it was"},
                ],
            })
        );
        assert_eq!(CanNotProbe("nobody is there".into()).to_string(), "nobody is there");
    }
}
