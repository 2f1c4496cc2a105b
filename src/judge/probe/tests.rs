//! The probe on gateways of a world of their own: what it says of each is always the same, down to the millisecond.

use super::fake::{Fake, TICK};
mod others;

use super::*;
use crate::control::Home;

/// What the probe is given, beside the home.
fn options(turns: bool, restart: Option<&str>, stop: Option<&str>) -> Options {
    let turn = turns.then(|| ("http://localhost/turns".to_owned(), String::new()));
    let (restart, stop) = (restart.map(str::to_owned), stop.map(str::to_owned));
    Options { turn, restart, stop, tick: TICK, patience: Duration::from_secs(4), ..Options::default() }
}

/// Probes a gateway that is made by this, and tells how long that took in its world.
fn probed_in(
    options: Options,
    make: impl FnOnce(&mut Fake),
    interrupt: &Interrupt,
) -> (Result<Report, CanNotProbe>, Duration) {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { home: Some(folder.path().into()), ..options };
    let mut fake = Fake::in_home(Home::at(folder.path()));
    if options.turn.is_none() {
        fake.admits = |_| Some((0, false));
    }
    make(&mut fake);
    let now = fake.now.clone();
    fake.tick();
    let driver = Driver::in_world(&options, interrupt, ureq::Agent::new_with_defaults(), Box::new(fake));
    let report = driver.map(report_of);
    assert!(!Home::at(folder.path()).marker().exists(), "it takes back what it has begun");
    (report, now.get())
}

fn probed(options: Options, make: impl FnOnce(&mut Fake)) -> Report {
    probed_in(options, make, &Interrupt::new()).0.unwrap()
}

/// A row in a line.
fn lines(report: &Report) -> Vec<String> {
    let row = |row: &Row| format!("{} {}: {}", row.property, row.sight.as_str(), row.evidence);
    report.rows.iter().map(row).collect()
}

/// The rows that tell of something broken, and those of what should have been seen.
fn not_kept(report: &Report) -> Vec<String> {
    let reasons = [": no --", ": the gateway knows the marker", ": not tried"];
    let lacks = |line: &String| reasons.iter().any(|why| line.contains(why));
    let kept = |line: &String| line.contains(" kept: ") || line.contains(" told: ");
    lines(report).into_iter().filter(|line| !kept(line) && !lacks(line)).collect()
}

/// With turns, a restart and a stop.
fn all() -> Options {
    options(true, Some("restart"), Some("stop"))
}

#[test]
fn a_gateway_that_keeps_everything_is_said_to_down_to_the_millisecond() {
    let (report, took) = probed_in(all(), |_| {}, &Interrupt::new());
    let report = report.unwrap();
    assert_eq!((&report.cut_short, &report.left_behind), (&None, &None));
    let lacks = "the gateway knows the marker and no other hold, without a lease";
    assert_eq!(
        lines(&report),
        [
            "H1 kept: the status says draining 50 ms after the request",
            "S6 kept: while a request lay there the status said draining",
            "C6 kept: the status acknowledges the nonce of this very write: held",
            "G1 kept: a turn was refused once the status said draining",
            "L2 kept: the status says running 50 ms after the cancel",
            "G2 kept: while draining, active_agents only fell, from 1 to 0",
            "G3 kept: once drained it stayed drained, and a turn was refused",
            "S2 kept: begun twice and cancelled once: draining, then running",
            "L2 kept: begun and cancelled 20 times in a row: it runs",
            "H1 kept: begun and cancelled 20 times in a row, then begun: it drains",
            "G4 kept: the drain before was 3, this one is 6",
            "C4 kept: 8 kinds of unsound markers: each closed the gate for as long as it lay there",
            "C3 kept: a marker of another epoch closed nothing, and the status says so",
            "C5 kept: restarted under a live request: it said draining first, and refused a turn",
            "S3 kept: after --stop-cmd, and with its request cancelled, the status never said running",
            "L1 kept: after --stop-cmd the status came to say stopped",
            "C1 kept: 851 reads of the status, all whole",
            "G6 kept: active_agents was never negative",
            &format!("H2 unseen: {lacks}"),
            &format!("H3 unseen: {lacks}"),
            &format!("H4 unseen: {lacks}"),
            &format!("E1 unseen: {lacks}"),
        ]
    );
    assert_eq!(took.as_millis(), 8258, "in the world of the gateway");
}

#[test]
fn without_turns_the_gates_own_word_is_told_and_without_commands_nothing_of_theirs_is_seen() {
    let report = probed(options(false, None, None), |fake| fake.drain_object = false);
    assert_eq!(
        lines(&report),
        [
            "H1 told: the status says draining 50 ms after the request",
            "S6 told: while a request lay there the status said draining",
            "C6 unseen: the status acknowledges no request",
            "G1 unseen: no --turn-url",
            "L2 told: the status says running 50 ms after the cancel",
            "G2 unseen: no --turn-url, or the turn was not admitted",
            "G3 unseen: no --turn-url, or the turn was not admitted",
            "S2 told: begun twice and cancelled once: draining, then running",
            "L2 told: begun and cancelled 20 times in a row: it runs",
            "H1 told: begun and cancelled 20 times in a row, then begun: it drains",
            "G4 unseen: the status has no generation",
            "C4 told: 8 kinds of unsound markers: each closed the gate for as long as it lay there",
            "C3 told: a marker of another epoch closed nothing; whether that is said is unseen",
            "C1 kept: 548 reads of the status, all whole",
            "G6 kept: active_agents was never negative",
            "S3 unseen: no --stop-cmd",
            "H2 unseen: the gateway knows the marker and no other hold, without a lease",
            "H3 unseen: the gateway knows the marker and no other hold, without a lease",
            "H4 unseen: the gateway knows the marker and no other hold, without a lease",
            "C5 unseen: no --restart-cmd",
            "E1 unseen: no --restart-cmd",
            "L1 unseen: no --stop-cmd"
        ]
    );
    assert_eq!((report.broken(), report.is_complete(), report.exit_code()), (vec![], false, 0));
}

/// What is wrong with a gateway, what the probe is given, the gateway, and what is not kept.
type Case = (&'static str, Options, fn(&mut Fake), &'static [&'static str]);

fn each_shows(cases: Vec<Case>) {
    let judge = |(what, options, make, expected): Case| {
        let report = probed(options, make);
        let mut found = not_kept(&report);
        found.extend(report.cut_short.iter().map(|why| format!("cut short: {why}")));
        found.extend(report.left_behind.iter().map(|why| format!("left behind: {why}")));
        assert_eq!(found, *expected, "{what}\n{report}");
    };
    // Most of the time is the disk's.
    std::thread::scope(|scope| {
        for case in cases {
            scope.spawn(|| judge(case));
        }
    });
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn what_is_wrong_with_a_gateway_is_told_by_what_was_seen_of_it() {
    let turns = || options(true, None, None);
    each_shows(vec![
        (
            "it never drains",
            turns(),
            |fake| fake.closes = |_| false,
            &[
                "H1 broken: 4 s after the request the status says running, and a turn is answered with 200, which is no refusal",
            ],
        ),
        (
            "it never drains, and no turn shows that",
            options(false, None, None),
            |fake| fake.closes = |_| false,
            &[
                "H1 broken: 4 s after the request the status says running; taken at its word, its gate is open (no --turn-url to look)",
            ],
        ),
        (
            "it drains and says that it runs",
            turns(),
            |fake| fake.says = |_, status| status["gateway_state"] = json!("running"),
            &["S6 broken: 4 s after the request the status says running, and a turn is refused"],
        ),
        (
            "it never reopens",
            turns(),
            |fake| fake.closes = |state| state.requests > 0,
            &["L2 broken: 4 s after the cancel the status says draining"],
        ),
        (
            "it admits turns while it drains",
            turns(),
            |fake| fake.admits = |_| Some((202, true)),
            &[
                "G1 broken: a turn was answered with 202, which is no refusal, although the status said draining",
                "G3 broken: once drained, under a live request, the status says draining with 1 in flight",
            ],
        ),
        (
            "it admits turns while it drains, and doesn't count them",
            turns(),
            |fake| fake.admits = |state| Some((200, !state.closed)),
            &[
                "G1 broken: a turn was answered with 200, which is no refusal, although the status said draining",
                "G1 broken: once drained, a turn was answered with 200, which is no refusal",
                "G3 unseen: it was not tried",
            ],
        ),
        (
            "a turn gets no answer behind a closed gate",
            turns(),
            |fake| fake.admits = |state| Some((if state.closed { 0 } else { 200 }, true)),
            &["G1 unseen: the answer of a turn was neither a success nor a refusal"],
        ),
        (
            "once it has drained it says that it runs, and refuses every turn",
            turns(),
            |fake| fake.admits = |state| (state.requests == 0).then_some((200, true)),
            &["S6 broken: the status says running, and for 4 s after a drain every turn is refused"],
        ),
        (
            "once it has drained it refuses turns for a second",
            turns(),
            |fake| {
                fake.admits =
                    |state| (!state.closed && (state.requests != 1 || state.ticks > 20)).then_some((200, true));
            },
            &[],
        ),
        (
            "it counts no turns",
            turns(),
            |fake| {
                fake.turn = Duration::from_secs(9);
                fake.says = |_, status| status["active_agents"] = json!(0);
            },
            &[
                "G3 broken: the status said draining with 0 in flight while the answer of a turn still streamed",
                "G2 unseen: it was not tried",
            ],
        ),
        (
            "its turns are over before it closes",
            turns(),
            |fake| fake.turn = Duration::from_millis(60),
            &[
                "G2 unseen: the turn was over before the gate had closed: let it last longer than two ticks",
                "G3 unseen: the turn was over before the gate had closed: let it last longer than two ticks",
            ],
        ),
        (
            "its turns never end",
            turns(),
            |fake| fake.turn = Duration::from_secs(3600),
            &["G3 unseen: the turn did not end while it was waited for"],
        ),
        ("its turns end as the last look is due", turns(), |fake| fake.turn = Duration::from_secs(12), &[]),
        (
            "it counts down too early",
            turns(),
            |fake| {
                fake.says = |state, status| {
                    if state.closed && state.ticks > 5 {
                        status["active_agents"] = json!(0);
                    }
                }
            },
            &["G3 broken: the status said draining with 0 in flight while the answer of a turn still streamed"],
        ),
        (
            "its count rises under a drain",
            turns(),
            |fake| {
                fake.says = |state, status| {
                    if state.closed && state.ticks == 5 {
                        status["active_agents"] = json!(3);
                    }
                }
            },
            &["G2 broken: while draining, active_agents rose from 1 to 3"],
        ),
        (
            "its count is negative",
            turns(),
            |fake| {
                fake.says = |state, status| {
                    if state.closed && state.ticks == 3 {
                        status["active_agents"] = json!(-1);
                    }
                }
            },
            &["G2 broken: while draining, active_agents rose from -1 to 0", "G6 broken: active_agents was negative"],
        ),
        (
            "it says drained with a turn in flight",
            turns(),
            |fake| fake.says = |state, status| status["drain"]["drained"] = json!(state.closed),
            &["G3 broken: the status said drained with a turn in flight"],
        ),
        (
            "it undoes drained",
            turns(),
            |fake| {
                fake.says = |state, status| {
                    if state.closed && state.ended_in_drain && state.requests == 2 {
                        status["active_agents"] = json!(state.ticks % 4 / 2);
                    }
                }
            },
            &["G3 broken: the status said drained with a turn in flight"],
        ),
        (
            "it opens by itself once it has drained",
            turns(),
            |fake| {
                fake.closes = |state| state.asked && !(state.requests == 2 && state.ended_in_drain && state.ticks > 21);
            },
            &[
                "G3 broken: once drained, under a live request, the status says running with 0 in flight",
                "S2 broken: the second begin led to running",
            ],
        ),
        (
            "it admits a turn once it has drained",
            turns(),
            |fake| fake.admits = |state| (!state.closed || state.ended_in_drain).then_some((201, !state.closed)),
            &[
                "G1 broken: once drained, a turn was answered with 201, which is no refusal",
                "G3 unseen: it was not tried",
            ],
        ),
        (
            "a second begin opens it",
            turns(),
            |fake| fake.closes = |state| state.asked && !(state.requests == 3 && state.ticks > 2),
            &["S2 broken: the second begin led to running"],
        ),
        (
            "it says once that it runs under a request",
            turns(),
            |fake| {
                fake.says = |state, status| {
                    if state.requests == 3 && state.ticks == 3 {
                        status["gateway_state"] = json!("running");
                    }
                }
            },
            &["S2 broken: the second begin led to running"],
        ),
        (
            "it stays closed after two begins",
            turns(),
            |fake| fake.closes = |state| state.asked || state.requests == 3,
            &["S2 broken: begun twice and cancelled once: it never ran again"],
        ),
        (
            "it closes late after many begins",
            turns(),
            |fake| fake.closes = |state| state.asked && (state.requests < 4 || state.ticks > 90),
            &[
                "H1 broken: begun and cancelled 20 times in a row, then begun: it doesn't drain, or not for long",
                "G4 unseen: the status has no generation",
                "C4 broken: a marker with half of a request: the status says running",
                "C4 broken: a marker with a list: the status says running",
                "C4 broken: a marker with fields of the wrong type: the status says running",
                "C4 broken: a marker with a time in the far future: the status says running",
            ],
        ),
        (
            "it opens again after many begins",
            turns(),
            |fake| fake.closes = |state| state.asked && (state.requests < 6 || state.ticks < 3),
            &[
                "H1 broken: begun and cancelled 20 times in a row, then begun: it doesn't drain, or not for long",
                "C4 broken: a marker with nothing in it, as touch leaves it: the status says running",
                "C4 broken: a marker with half of a request: the status says running",
                "C4 broken: a marker with bytes that are no UTF-8: the status says running",
                "C4 broken: a marker with a list: the status says running",
                "C4 broken: a marker with 100,000 open brackets: the status says running",
                "C4 broken: a marker with fields of the wrong type: the status says running",
                "C4 broken: a marker with four million spaces: the status says running",
                "C4 broken: a marker with a time in the far future: the status says running",
            ],
        ),
        (
            "it closes for nobody after many begins",
            turns(),
            |fake| fake.closes = |state| state.asked || (state.requests > 3 && state.ticks % 4 == 3),
            &[
                "L2 broken: begun and cancelled 20 times in a row: it doesn't run, or not for long, with no request there",
                "C3 broken: a marker of another epoch closed the gate",
            ],
        ),
        (
            "it closes once for nobody after many begins, from an old look",
            turns(),
            |fake| fake.closes = |state| state.asked || (state.requests == 5 && state.ticks == 2),
            &[],
        ),
        (
            "its drains share a number",
            turns(),
            |fake| fake.says = |_, status| status["drain"]["generation"] = json!(7),
            &["G4 broken: the drain before was 7, this one is 7"],
        ),
        (
            "it says no number of a drain",
            turns(),
            |fake| fake.says = |_, status| status["drain"]["generation"] = Value::Null,
            &["G4 unseen: the status has no generation"],
        ),
        (
            "it acknowledges nothing",
            turns(),
            |fake| fake.says = |_, status| status["drain"]["acknowledged"] = json!([]),
            &["C6 broken: the status has a drain object and never acknowledged the nonce of the request"],
        ),
        (
            "it refuses what it does",
            turns(),
            |fake| fake.says = |_, status| status["drain"]["acknowledged"][0]["outcome"] = json!("refused"),
            &["C6 broken: the status acknowledges the nonce of this very write: refused"],
        ),
        (
            "it fails open",
            turns(),
            |fake| fake.closes = |state| state.asked && state.sound,
            &[
                "C4 broken: a marker with nothing in it, as touch leaves it: the status says running",
                "C4 broken: a marker with half of a request: the status says running",
                "C4 broken: a marker with bytes that are no UTF-8: the status says running",
                "C4 broken: a marker with a list: the status says running",
                "C4 broken: a marker with 100,000 open brackets: the status says running",
                "C4 broken: a marker with fields of the wrong type: the status says running",
                "C4 broken: a marker with four million spaces: the status says running",
            ],
        ),
        (
            "it fails open after a while",
            turns(),
            |fake| fake.closes = |state| state.asked && (state.sound || state.ticks < 3),
            &[
                "C4 broken: a marker with nothing in it, as touch leaves it: it drained, and then the status said running",
                "C4 broken: a marker with half of a request: the status says running",
                "C4 broken: a marker with bytes that are no UTF-8: the status says running",
                "C4 broken: a marker with a list: the status says running",
                "C4 broken: a marker with 100,000 open brackets: the status says running",
                "C4 broken: a marker with fields of the wrong type: the status says running",
                "C4 broken: a marker with four million spaces: the status says running",
            ],
        ),
        (
            "it stays closed after an unsound marker",
            turns(),
            |fake| fake.closes = |state| state.asked || state.requests == 7,
            &[
                "L2 broken: a marker with nothing in it, as touch leaves it is gone, and the status says draining",
                "C3 broken: a marker of another epoch closed the gate",
                "C4 unseen: it was not tried",
            ],
        ),
        (
            "it honours another epoch",
            turns(),
            |fake| fake.closes = |state| state.asked || state.stale,
            &["C3 broken: a marker of another epoch closed the gate"],
        ),
        (
            "it ignores another epoch in silence",
            turns(),
            |fake| fake.says = |_, status| status["drain"]["ignored"] = json!([]),
            &["C3 broken: a marker of another epoch closed nothing, and the status doesn't say so"],
        ),
        (
            "it can't know its epoch",
            turns(),
            |fake| {
                fake.closes = |state| state.asked || state.stale;
                fake.says = |_, status| status["drain"]["epoch"] = json!("");
            },
            &["C3 unseen: the gateway can't know its epoch"],
        ),
        (
            "a read is torn",
            turns(),
            |fake| {
                fake.says = |state, status| {
                    if state.requests == 1 && state.ticks == 1 {
                        *status = json!("{\"gateway");
                    }
                }
            },
            &["C1 broken: a read of 9 bytes of the status is no JSON: EOF while parsing a string at line 1 column 9"],
        ),
        (
            "its status is torn for good",
            turns(),
            |fake| {
                fake.says = |state, status| {
                    if state.requests == 2 {
                        *status = json!("{");
                    }
                }
            },
            &[
                "C1 broken: a read of 1 bytes of the status is no JSON: EOF while parsing an object at line 1 column 1",
                "cut short: a read of 1 bytes of the status is no JSON: EOF while parsing an object at line 1 column 1",
                "left behind: the gateway (a read of 1 bytes of the status is no JSON: EOF while parsing an object at line 1 column 1)",
            ],
        ),
    ]);
}

#[test]
fn what_a_restart_and_a_shutdown_show() {
    let restart = |command: &'static str| options(true, Some(command), None);
    let stop = |command: &'static str| options(true, None, Some(command));
    each_shows(vec![
        (
            "restarted it opens first",
            options(false, Some("restart"), None),
            |fake| fake.closes = |state| state.asked && state.process == 0,
            &["C5 broken: restarted under a live request, it said running first, and then running"],
        ),
        (
            "restarted it admits a turn",
            restart("restart"),
            |fake| fake.admits = |state| (!state.closed || state.process == 1).then_some((200, true)),
            &["C5 broken: restarted under a live request, it answered a turn with 200"],
        ),
        (
            "restarted it opens after a while",
            restart("restart"),
            |fake| fake.closes = |state| state.asked && (state.process == 0 || state.ticks < 3),
            &["C5 broken: restarted under a live request, it said draining first, and then running"],
        ),
        (
            "restarted it stays closed",
            restart("restart"),
            |fake| fake.closes = |state| state.asked || state.process == 1,
            &["L2 broken: restarted, and its request cancelled, the status says draining"],
        ),
        (
            "it isn't restarted",
            restart("nothing"),
            |_| {},
            &["C5 unseen: after --restart-cmd no other process published a status"],
        ),
        ("the command fails", restart("fail"), |_| {}, &["cut short: fail: exit status: 1"]),
        ("the command hangs", restart("hang"), |_| {}, &["cut short: hang did not return"]),
        (
            "it doesn't stop",
            stop("nothing"),
            |_| {},
            &[
                "S3 unseen: after --stop-cmd the status never said that it shuts down",
                "L1 unseen: after --stop-cmd the status never said that it shuts down",
            ],
        ),
        ("it stops without a word of it", stop("stop"), |_| {}, &[]),
        (
            "its shutdown is told and never its end",
            stop("stop"),
            |fake| {
                fake.says = |state, status| {
                    if state.stopped {
                        status["gateway_state"] = json!("draining");
                    }
                }
            },
            &["L1 broken: after --stop-cmd the status said that it shuts down, and never that it stopped"],
        ),
        (
            "it comes back",
            stop("stop"),
            |fake| {
                fake.says = |state, status| {
                    if state.shutting_down && !state.asked {
                        status["gateway_state"] = json!("running");
                    }
                }
            },
            &[
                "S3 broken: after --stop-cmd, and with its request cancelled, the status says running",
                "L1 broken: after --stop-cmd the status said that it shuts down, and never that it stopped",
            ],
        ),
        (
            "another process runs after it",
            stop("stop"),
            |fake| {
                fake.says = |state, status| {
                    if state.shutting_down && !state.asked {
                        status["gateway_state"] = json!("running");
                        status["pid"] = json!(9);
                    }
                }
            },
            &["L1 unseen: after --stop-cmd the status said that it shuts down, and its end was too quick to be seen"],
        ),
    ]);
}

#[test]
fn an_interrupt_ends_the_probe_and_what_it_has_begun_is_taken_back() {
    let interrupt = Interrupt::new();
    interrupt.raise();
    let (report, _) = probed_in(all(), |_| {}, &interrupt);
    let report = report.unwrap();
    assert_eq!(
        (report.cut_short.as_deref(), report.left_behind, report.rows.len()),
        (Some("it was interrupted"), None, 2)
    );
}

#[test]
fn a_gateway_that_does_not_run_or_that_somebody_holds_is_not_touched() {
    let says = |make: fn(&mut Fake)| probed_in(all(), make, &Interrupt::new()).0.unwrap_err().to_string();
    let drains = says(|fake| fake.closes = |_| true);
    assert_eq!(drains, "the gateway is not running (its status says draining): nothing was tried");
    let nothing = says(|fake| fake.says = |_, status| *status = json!({}));
    assert_eq!(nothing, "the gateway is not running (its status says nothing): nothing was tried");
}

#[test]
fn what_never_comes_is_waited_for_as_long_as_it_says_and_no_look_longer() {
    let took = |options: Options, make: fn(&mut Fake)| probed_in(options, make, &Interrupt::new()).1.as_millis();
    let cases = [
        took(options(true, Some("hang"), None), |_| {}),
        took(options(true, None, Some("nothing")), |_| {}),
        took(options(true, None, Some("stop")), |fake| fake.turn = Duration::from_secs(10)),
        took(options(true, None, None), |fake| fake.admits = |state| (state.requests == 0).then_some((200, true))),
        took(options(true, None, None), |fake| {
            fake.turn = Duration::from_secs(20);
            fake.says = |_, status| status["active_agents"] = json!(0);
        }),
    ];
    assert_eq!(cases, [30_858, 22_828, 25_808, 9_408, 6_808], "in milliseconds");
}

#[test]
fn an_answer_that_ends_a_little_after_it_is_no_more_counted_breaks_nothing() {
    let report = probed(options(true, None, None), |fake| {
        fake.says = |state, status| {
            if state.turns.iter().all(|end| *end <= state.now + TICK * 4) {
                status["active_agents"] = json!(0);
                status["drain"]["drained"] = json!(state.closed);
            }
        };
    });
    assert_eq!(not_kept(&report), [""; 0], "{report}");
}
