//! `docs/probe.md` says what the probe does: its table is that of the code, and its example is what the probe prints.

#![cfg(feature = "probe")]

use crate::support::reference_gateway::TinyGateway;
use gateway_drain::client::Interrupt;
use gateway_drain::probe::{Options, Report, Row, Sight, TRIALS, run};
use gateway_drain::properties::PROPERTIES;
use gateway_drain::properties::PropertyId::{self, C2, C7, C8, E2, E3, E4, G2, G3, G5, H5, L3, L4, L5, L6, S1, S4, S5};
use std::fmt::Write;
use std::time::Duration;

const DOCUMENT: &str = include_str!("../../docs/probe.md");

#[test]
fn its_table_is_that_of_the_code() {
    let mut table = String::from("| | Property | Needs | What is tried |\n|---|---|---|---|\n");
    for trial in TRIALS {
        let needs: Vec<_> = trial.needs.iter().map(ToString::to_string).collect();
        let (id, sentence) = (trial.property, trial.property.sentence());
        writeln!(table, "| {id} | {sentence} | {} | {} |", needs.join(", "), trial.tried).unwrap();
    }
    assert!(DOCUMENT.contains(&table), "docs/probe.md is to contain\n{table}");
}

#[test]
fn it_names_every_property_that_no_row_tells_of() {
    let tried = |id| TRIALS.iter().any(|trial| trial.property == id);
    let untold: Vec<_> = PROPERTIES.iter().map(|property| property.id).filter(|id| !tried(*id)).collect();
    let named = "S1, S4, S5, G5, H5, C2, C7, C8, E2, E3, E4 and L3 to L6 can't be seen from outside";
    assert!(DOCUMENT.contains(named), "docs/probe.md names them: {untold:?}");
    assert_eq!(untold, [S1, S4, S5, G5, H5, C2, C7, C8, E2, E3, E4, L3, L4, L5, L6]);
}

#[test]
fn it_names_the_words_that_programs_get_for_what_was_seen() {
    let row = |sight| Row { property: G2, sight, evidence: String::new() };
    let rows = [Sight::Kept, Sight::Broken, Sight::Told, Sight::Unseen].map(row).to_vec();
    let json = Report { rows, ..Report::default() }.to_json();
    let words: Vec<_> = json["rows"].as_array().unwrap().iter().map(|row| row["sight"].as_str().unwrap()).collect();
    assert_eq!(words, ["kept", "broken", "told", "unseen"]);
    assert!(DOCUMENT.contains("`sight`: `kept`, `broken`, `told` or `unseen`"), "docs/probe.md is to name {words:?}");
}

/// Whether what is seen of it depends on how long the gateway's turn lasts, on a machine that is busy.
fn hangs_on_the_turn(property: PropertyId) -> bool {
    matches!(property, G2 | G3)
}

/// The rows of a report, each with its two lines, where every number is the same: no two runs take equally long.
fn form(text: &str) -> Vec<String> {
    let mut form = String::new();
    for character in text.chars() {
        if !character.is_ascii_digit() {
            form.push(character);
        } else if !form.ends_with('#') {
            form.push('#');
        }
    }
    let rows = form.lines().skip(1).filter(|line| !line.starts_with("Unseen: ")).map(str::to_owned);
    rows.collect::<Vec<_>>().chunks(2).map(|row| row.join("\n")).collect()
}

#[test]
fn its_example_is_what_the_probe_prints_of_such_a_gateway() {
    let gateway = TinyGateway::start(None);
    let options = Options {
        home: Some(gateway.home().into()),
        turn: Some((gateway.turns(), String::new())),
        tick: Duration::from_millis(50),
        patience: Duration::from_secs(30),
        ..Options::default()
    };
    let report = run(&options, &Interrupt::new()).unwrap();
    let shown = DOCUMENT.split("```text\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap_or_default();
    let (shown, printed) = (form(shown), form(&report.to_string()));
    assert_eq!(
        (shown.len(), printed.len()),
        (report.rows.len(), report.rows.len()),
        "docs/probe.md is to show\n{report}"
    );
    for ((row, shown), printed) in report.rows.iter().zip(shown).zip(printed) {
        assert!(hangs_on_the_turn(row.property) || shown == printed, "docs/probe.md shows\n{shown}\nnot\n{printed}");
    }
    let told = |property| report.rows.iter().any(|row| row.property == property);
    for trial in TRIALS {
        assert!(told(trial.property), "no row tells of {}, not even that it is unseen", trial.property);
        let lacks = trial.needs.iter().any(|need| !matches!(need.to_string().as_str(), "`--home`" | "`--turn-url`"));
        let unseen = report.sight(trial.property) == Sight::Unseen;
        assert!(hangs_on_the_turn(trial.property) || unseen == lacks, "{}: {:?}", trial.property, trial.needs);
    }
}
