//! What is told of holds: of gateways in worlds of their own.

use super::*;
use crate::client::Interrupt;
use crate::control::Home;
use crate::hold::{Hold, HoldSet};
use crate::judge::probe::fake::{self, Fake};
use crate::judge::probe::world::{TurnAnswer, Unread, World};
use crate::probe::{CanNotProbe, Options, Sight};
use serde_json::json;
use std::io;
use std::process::ExitStatus;

/// A gateway on a machine so busy that each pause of the probe takes this long, as soon as there is a lease.
struct Busy(Fake, Duration);

impl World for Busy {
    fn now(&self) -> Duration {
        self.0.now()
    }

    fn pause(&self, time: Duration, interrupt: &Interrupt) -> bool {
        let is_leased = self.0.home.request_path(&id("lease")).exists();
        self.0.pause(if is_leased { self.1 } else { time }, interrupt)
    }

    fn expect_a_turn(&self) -> Result<(), CanNotProbe> {
        self.0.expect_a_turn()
    }

    fn turn(&self) -> Option<(TurnAnswer, Option<Unread>)> {
        self.0.turn()
    }

    fn lives(&self, seen: &PublishedStatus) -> Option<bool> {
        self.0.lives(seen)
    }

    fn run(&self, command: &str) -> io::Result<Box<dyn FnMut() -> io::Result<Option<ExitStatus>>>> {
        self.0.run(command)
    }
}

#[test]
fn a_probe_that_renews_too_late_itself_calls_the_lease_unseen() {
    let lease = fake::TICK * 2 + Duration::from_secs(1);
    // A renewal after two halves is written as the lease runs out.
    for busy in [lease, lease / 2] {
        let folder = tempfile::tempdir().unwrap();
        let options = Options { home: Some(folder.path().into()), tick: fake::TICK, ..Options::default() };
        let mut gateway = Fake::in_home(Home::at(folder.path()));
        gateway.knows_holds = true;
        gateway.tick();
        let (interrupt, agent) = (Interrupt::new(), ureq::Agent::new_with_defaults());
        let mut driver = Driver::in_world(&options, &interrupt, agent, Box::new(Busy(gateway, busy))).unwrap();
        let mut rows = Vec::new();
        a_lease(&mut driver, &mut Rows(&mut rows)).unwrap();
        assert_eq!(rows.len(), 1, "{rows:?}");
        assert_eq!((rows[0].property, rows[0].sight), (H3, Sight::Unseen), "{rows:?}");
        assert!(rows[0].evidence.contains("could not renew in time"), "{rows:?}");
    }
}

/// What the probe says of the holds of a gateway in a world of its own.
fn of_holds(make: impl FnOnce(&mut Fake)) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let (restart, patience) = (Some("restart".to_owned()), Duration::from_secs(4));
    let options =
        Options { home: Some(folder.path().into()), tick: fake::TICK, patience, restart, ..Options::default() };
    let mut gateway = Fake::in_home(Home::at(folder.path()));
    gateway.knows_holds = true;
    make(&mut gateway);
    gateway.tick();
    let (interrupt, agent) = (Interrupt::new(), ureq::Agent::new_with_defaults());
    let mut driver = Driver::in_world(&options, &interrupt, agent, Box::new(gateway)).unwrap();
    let mut rows = Vec::new();
    assert!(knows_hold_files(&mut driver).unwrap());
    two_holds(&mut driver, &mut Rows(&mut rows)).unwrap();
    a_lease(&mut driver, &mut Rows(&mut rows)).unwrap();
    a_commit(&mut driver, &mut Rows(&mut rows)).unwrap();
    rows.iter().map(|row| format!("{} {}: {}", row.property, row.sight.as_str(), row.evidence)).collect()
}

#[test]
fn a_gateway_that_keeps_everything_about_holds_is_said_to() {
    assert_eq!(
        of_holds(|_| {}),
        [
            "H2 kept: marker was cancelled under probe-b: it went on draining",
            "H2 kept: probe-b was cancelled under marker: it went on draining",
            "H3 kept: a lease of 1100 ms was renewed three times; 1150 ms after the last, the gate reopened for good",
            "C6 kept: a commit meant for another incarnation was answered with refused",
            "H4 kept: a committed hold outlasted its file, another's cancel and a withdrawal with a wrong token",
            "E1 kept: a committed hold outlived a restart, with its file gone, and nothing was in flight",
        ]
    );
}

const NOT_BOTH: &str = "H2 broken: two holds were begun, and the status never named both";
const BY_OTHERS: &str =
    "H4 broken: a committed hold ended with another hold's cancel, or with a withdrawal without its token";
const DIED: &str = "E1 broken: a committed hold did not outlive the death of the process";
const NEVER_DRAINED: &str = "E1 unseen: the gateway never said that it is drained";
const NOT_GRANTED: &str =
    "C6 broken: a commit of a drained gateway, with its incarnation and generation, was not granted";

fn has(holds: &HoldSet, id: &str) -> bool {
    holds.iter().any(|hold| hold.id.as_str() == id)
}

fn is_committed(holds: &HoldSet) -> bool {
    holds.iter().any(|hold| hold.commit.is_some())
}

/// Says nothing of these holds.
fn hide(status: &mut Value, hidden: impl Fn(&Value) -> bool) {
    let holds = status["drain"]["holds"].as_array_mut().unwrap();
    holds.retain(|hold| !hidden(hold));
}

fn open(status: &mut Value) {
    status["gateway_state"] = json!("running");
}

/// Its holds, but for these.
fn without(holds: &HoldSet, lost: impl Fn(&RequestId) -> bool) -> HoldSet {
    let mut rest = HoldSet::default();
    holds.iter().filter(|hold| !lost(&hold.id)).cloned().for_each(|hold| rest.restore(hold));
    rest
}

/// What is wrong with a gateway, the gateway, and what is not kept.
type Case = (&'static str, fn(&mut Fake), &'static [&'static str]);

fn each_shows(cases: &[Case]) {
    for (what, make, expected) in cases {
        let said = of_holds(make);
        let not_kept: Vec<&String> = said.iter().filter(|line| !line.contains(" kept: ")).collect();
        assert_eq!(not_kept, *expected, "{what}: {said:#?}");
    }
}

#[test]
fn of_two_holds_the_status_has_to_name_both_and_the_end_of_one_is_not_the_others() {
    each_shows(&[
        (
            "it never names the hold beside the marker",
            |fake| {
                fake.says = |state, status| {
                    if has(&state.holds, "marker") {
                        hide(status, |hold| hold["request_id"] == "probe-b");
                    }
                }
            },
            &[NOT_BOTH, NOT_BOTH],
        ),
        (
            "it never names the marker beside the hold",
            |fake| {
                fake.says = |state, status| {
                    if has(&state.holds, "probe-b") {
                        hide(status, |hold| hold["request_id"] == "marker");
                    }
                }
            },
            &[NOT_BOTH, NOT_BOTH],
        ),
        (
            "it names both, and says that it runs",
            |fake| {
                fake.says = |state, status| {
                    if has(&state.holds, "probe-b") && has(&state.holds, "marker") {
                        open(status);
                    }
                }
            },
            &[NOT_BOTH, NOT_BOTH],
        ),
        (
            "the end of the marker ends every hold",
            |fake| {
                fake.spoils = |state, holds| {
                    if has(&state.holds, "marker") && !has(holds, "marker") {
                        *holds = without(holds, |_| true);
                    }
                }
            },
            &["H2 broken: marker was cancelled, probe-b lies there, and the status says running", BY_OTHERS, DIED],
        ),
    ]);
}

#[test]
fn a_commit_has_to_be_granted_and_to_outlast_its_file_and_others() {
    each_shows(&[
        (
            "it never says that it is drained under the hold that is to be committed",
            |fake| {
                fake.says = |state, status| {
                    if has(&state.holds, "probe-commit") {
                        status["drain"]["drained"] = json!(false);
                    }
                }
            },
            &[NEVER_DRAINED],
        ),
        (
            "it is drained, and names no hold that is to be committed",
            |fake| fake.says = |_, status| hide(status, |hold| hold["request_id"] == "probe-commit"),
            &[NEVER_DRAINED],
        ),
        (
            "it grants no commit",
            |fake| {
                fake.spoils = |_, holds| {
                    let granted: Vec<_> = holds.iter().filter(|hold| hold.commit.is_some()).cloned().collect();
                    for mut hold in granted {
                        hold.commit = None;
                        holds.restore(hold);
                    }
                }
            },
            &[NOT_GRANTED],
        ),
        (
            "it says that it refused a commit which it granted",
            |fake| {
                fake.says = |state, status| {
                    if is_committed(&state.holds) && state.process == 0 {
                        status["drain"]["acknowledged"] = json!([]);
                    }
                }
            },
            &[NOT_GRANTED],
        ),
        (
            "a commit ends by itself",
            |fake| {
                fake.spoils = |state, holds| {
                    let is_old =
                        |hold: &Hold| hold.commit.as_ref().is_some_and(|commit| state.now > commit.at + fake::TICK * 3);
                    if holds.iter().any(is_old) {
                        *holds = without(holds, |_| true);
                    }
                }
            },
            &["H4 broken: the file of a committed hold was removed, and the gate reopened", DIED],
        ),
        (
            "a commit ends with the marker",
            |fake| {
                fake.spoils = |state, holds| {
                    if is_committed(holds) && has(&state.holds, "marker") && !has(holds, "marker") {
                        *holds = without(holds, |_| true);
                    }
                }
            },
            &[BY_OTHERS, DIED],
        ),
        (
            "it has an agent at work once the marker lay there under a commit",
            |fake| {
                fake.says = |state, status| {
                    if is_committed(&state.holds) && has(&state.holds, "marker") {
                        status["active_agents"] = json!(1);
                    }
                }
            },
            &[BY_OTHERS],
        ),
    ]);
}

#[test]
fn a_commit_has_to_outlast_the_process() {
    each_shows(&[
        (
            "after a restart the hold is there, and not committed",
            |fake| {
                fake.says = |state, status| {
                    if state.process > 0 {
                        for hold in status["drain"]["holds"].as_array_mut().unwrap() {
                            hold["committed"] = json!(false);
                        }
                    }
                }
            },
            &[DIED],
        ),
        (
            "after a restart it has work under the commit",
            |fake| {
                fake.says = |state, status| {
                    if state.process > 0 && is_committed(&state.holds) && state.ticks > 1 {
                        status["active_agents"] = json!(1);
                    }
                }
            },
            &[DIED],
        ),
    ]);
}
