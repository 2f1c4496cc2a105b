//! The rules of the trace checker, each on both sides of its boundary: what it says of the smallest trace that breaks one, and
//! the neighbour of that trace that conforms.

#![cfg(feature = "trace-check")]

use crate::support::trace_corpus::{check_text, trace};
use gateway_drain::trace::check::{MAX_PROCESSES, Report, Verdict, check_files};
use std::path::PathBuf;

/// The verdict in one line: the property, the line and what is wrong with it.
fn said(report: &Report) -> String {
    match &report.verdict {
        Verdict::Conforms => "conforms".into(),
        Verdict::Violates(found) => format!("{} at {}: {}", found.property, found.at.line, found.what),
        Verdict::Unreadable { at, why } => format!("unreadable at {}: {why}", at.line),
    }
}

/// Checks each of these traces, all of which begin with these lines.
#[track_caller]
fn each_says(beginning: &str, cases: &[(&str, &str)]) {
    for (rest, expected) in cases {
        let report = check_text(&trace(&format!("{beginning}\n{rest}")));
        assert_eq!(said(&report), *expected, "{beginning}\n{rest}");
    }
}

const COMMITTED: &str = "
    start running 0
    hold_begun running 0 a:ann
    begin_drain draining 1
    hold_committed draining 1 a:ann";

#[test]
fn a_commit_is_inherited_by_its_name_its_owner_and_its_right() {
    let lost = r#"E1 at 5: a of "ann" was committed, and the process that starts after doesn't hold it"#;
    each_says(
        COMMITTED,
        &[
            ("start draining 0 @p2 after=p1 a:ann!", "conforms"),
            ("start draining 0 @p2 after=p1 b:bob! a:ann!", "conforms"),
            ("start draining 0 @p2 after=p1 a:ann", lost),
            ("start draining 0 @p2 after=p1 a:bob!", lost),
            ("start draining 0 @p2 after=p1 b:ann!", lost),
            ("start running 0 @p2 after=p1", lost),
            ("start running 0 @p2 after=p1 epoch=boot-2:7", "conforms"),
        ],
    );
}

#[test]
fn a_start_that_can_not_be_says_what_was_possible_there() {
    let Verdict::Violates(found) = check_text(&trace("start running 0 a:ann")).verdict else { panic!("it conforms") };
    assert_eq!(
        found.possible,
        [
            "a start that is open under no hold, or closed under one that closes it; under a committed one, with nothing in flight"
        ]
    );
}

/// Each process in a file of its own, without a newline at its end, and every order of the files.
#[test]
fn three_processes_are_put_in_order_whatever_the_order_of_their_files() {
    let text = trace(&format!("{COMMITTED}\nstart draining 0 @p2 after=p1 a:ann!\nstart running 0 @p3 after=p2"));
    let folder = tempfile::tempdir().unwrap();
    let file = |process: &str| -> PathBuf {
        let lines: Vec<&str> =
            text.lines().filter(|line| line.contains(&format!("\"incarnation\":\"{process}\""))).collect();
        let path = folder.path().join(process);
        std::fs::write(&path, lines.join("\n")).unwrap();
        path
    };
    let files = ["p1", "p2", "p3"].map(file);
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let report = check_files(&order.map(|index| files[index].clone()));
        let lost = r#"E1 at 1: a of "ann" was committed, and the process that starts after doesn't hold it"#;
        assert_eq!((said(&report).as_str(), &report.notes), (lost, &vec![]), "{order:?}");
        let Verdict::Violates(found) = report.verdict else { unreachable!("it says so") };
        assert_eq!(found.at.file, files[2].display().to_string());
        assert_eq!((report.lines, report.processes), (6, 2), "{order:?}: the last one is not taken for a process");
    }
}

#[test]
fn two_files_that_wait_for_processes_of_which_there_is_no_trace_are_checked_without() {
    let folder = tempfile::tempdir().unwrap();
    let files = [("p1", "x"), ("p2", "y")].map(|(process, before)| {
        let path = folder.path().join(process);
        std::fs::write(
            &path,
            trace(&format!("start running 0 @{process} after={before}\nreading running 0 @{process}")),
        )
        .unwrap();
        path
    });
    let report = check_files(&files);
    assert_eq!((said(&report).as_str(), report.lines, report.processes), ("conforms", 4, 2));
    assert_eq!(
        report.notes,
        ["process p1 ran after x, of which there is no trace", "process p2 ran after y, of which there is no trace"]
    );
}

#[test]
fn as_many_processes_are_remembered_as_it_says_and_the_one_that_was_silent_for_longest_is_forgotten() {
    let others =
        |many: usize| -> String { (0..many).map(|n| format!("start running 0 @q{n} after=nobody\n")).collect() };
    let last = "start running 0 @last after=p1";
    let lines = 5 + MAX_PROCESSES;
    let lost = |line: usize| {
        format!(r#"E1 at {line}: a of "ann" was committed, and the process that starts after doesn't hold it"#)
    };

    let remembered = check_text(&trace(&format!("{COMMITTED}\n{}{last}", others(MAX_PROCESSES - 1))));
    assert_eq!(said(&remembered), lost(lines - 1));
    let forgotten = check_text(&trace(&format!("{COMMITTED}\n{}{last}", others(MAX_PROCESSES))));
    assert_eq!((said(&forgotten).as_str(), forgotten.processes), ("conforms", MAX_PROCESSES as u64 + 2));
    let again = "reading draining 1\n";
    let spoke = check_text(&trace(&format!(
        "{COMMITTED}\nstart running 0 @q after=nobody\n{again}{}{last}",
        others(MAX_PROCESSES - 1)
    )));
    assert_eq!(said(&spoke), lost(lines + 1), "another one was silent for longer");
}

#[test]
fn a_report_has_twenty_notes_and_says_how_many_more_there_would_be() {
    let open = format!("{COMMITTED}\n");
    let kinds = [
        ("", " after=nobody", "process q0 ran after nobody, of which there is no trace"),
        (
            "",
            " order=loose",
            "process q0: the order of its lines is loose, and only what each says by itself is judged",
        ),
        (
            &*open,
            "",
            "process q0 doesn't say what ran before it: if it was p1, with the commit of a, whether that was lost is not judged",
        ),
    ];
    for (beginning, field, note) in kinds {
        let of = |many: usize| {
            let starts: String = (0..many).map(|n| format!("start running 0 @q{n}{field}\n")).collect();
            check_text(&trace(&format!("{beginning}{starts}"))).notes
        };
        assert_eq!((of(1), of(20).len()), (vec![note.to_owned()], 20));
        assert!(of(20)[19].contains("q19"), "the twentieth is one like the others");
        assert_eq!((of(22).len(), of(22)[20].as_str()), (21, "2 more notes like these are left out"));
    }
    // Of another epoch, or with nothing committed, there is nothing to lose.
    for start in ["start running 0 @q epoch=boot-2:7", "start draining 0 @q a:ann! epoch=boot-2:7"] {
        assert_eq!(check_text(&trace(&format!("{COMMITTED}\n{start}"))).notes, [""; 0]);
    }
    assert_eq!(check_text(&trace("start draining 0 a:ann\nstart running 0 @q")).notes, [""; 0]);
}

/// A gate that is closed for one hold, on two turns and one piece of internal work, all of them logged.
const CLOSED: &str = "
    start running 0
    admit running 0 1+0 turn
    admit running 0 2+0 turn
    admit running 0 2+1 internal
    hold_begun running 0 a:ann
    begin_drain draining 1 2+1";

#[test]
fn the_number_of_a_drain_is_told_as_it_stands_there_unless_it_comes_near_its_end() {
    let drains = |start: u64| {
        format!("start running {start}\nhold_begun running {start} a:ann\nbegin_drain draining {}", start + 2)
    };
    let said = |start: u64| said(&check_text(&trace(&drains(start))));
    assert_eq!(said(5), "G4 at 3: this is drain 6, and the line calls it 7");
    assert_eq!(said(2_097_151), "G4 at 3: this is drain 2097152, and the line calls it 2097153");
    assert_eq!(said(2_097_152), "G4 at 3: this is drain 1, and the line calls it 2", "counted from itself");
}

#[test]
fn a_start_has_to_be_as_its_holds_want_it() {
    each_says(
        "",
        &[
            (
                "start draining 0 1+0 a:ann!",
                "E1 at 1: 1 turn(s) and 0 piece(s) of internal work are in flight under a committed hold",
            ),
            (
                "start draining 0 0+1 a:ann!",
                "E1 at 1: 0 turn(s) and 1 piece(s) of internal work are in flight under a committed hold",
            ),
            ("start draining 0 0+0 a:ann! drained", "conforms"),
            ("start draining 0 1+1 a:ann", "conforms"),
            ("start running 0 a:ann b:bob? c:cid", "C5 at 1: the gateway starts open under a live hold (a, c)"),
            ("start running 0 b:bob?", "conforms"),
            ("start draining 0 b:bob?", "H1 at 1: the gateway starts closed, and no hold closes it"),
            ("start draining 0", "H1 at 1: the gateway starts closed, and no hold closes it"),
            ("start ending 0", "conforms"),
        ],
    );
}

#[test]
fn of_lines_in_a_loose_order_each_is_judged_by_itself() {
    each_says(
        "start running 0 order=loose",
        &[
            (
                "hold_committed draining 1 a:ann 1+0",
                "E1 at 2: a hold was committed with 1 turn(s) and 0 piece(s) of internal work in flight",
            ),
            (
                "hold_committed draining 1 a:ann 0+1",
                "E1 at 2: a hold was committed with 0 turn(s) and 1 piece(s) of internal work in flight",
            ),
            ("hold_committed draining 1 a:ann 0+0", "conforms"),
            ("hold_committed draining 1 a:ann", "conforms"),
            ("hold_committed running 1 a:ann", "E1 at 2: a hold was committed while the gate is open"),
            ("hold_begun draining 7 a:ann", "conforms"),
            (
                "status draining 1 published=running",
                "S6 at 2: the status shows running, and the gateway is in external_draining",
            ),
            (
                "stop stopped 1 1+0",
                "S5 at 2: stopped with 1 turn(s) and 0 piece(s) of internal work in flight, which nobody abandoned",
            ),
            ("finish running 1 1+0 turn", "conforms"),
        ],
    );
}

#[test]
fn work_that_is_logged_is_counted_by_every_line_behind_the_same_gate() {
    each_says(
        CLOSED,
        &[
            ("begin_shutdown ending 1 2+1", "conforms"),
            (
                "begin_shutdown ending 1 1+1",
                "G6 at 7: 2 turn(s) and 1 piece(s) of internal work are logged as admitted and not as finished, and the line counts 1 turn(s) and 1 piece(s) of internal work",
            ),
            (
                "begin_shutdown ending 1 0+1",
                "G6 at 7: 2 turn(s) and 1 piece(s) of internal work are logged as admitted and not as finished, and the line counts 0 turn(s) and 1 piece(s) of internal work",
            ),
            (
                "begin_shutdown ending 1 0+0",
                "G3 at 7: 2 turn(s) and 1 piece(s) of internal work are logged as admitted and not as finished, and the line counts 0 turn(s) and 0 piece(s) of internal work",
            ),
            ("status draining 1 2+0 published=draining", "conforms"),
            (
                "status draining 1 1+1 published=draining",
                "G6 at 7: 2 turn(s) and 1 piece(s) of internal work are logged as admitted and not as finished, and the line counts 1 turn(s) and 1 piece(s) of internal work",
            ),
            (
                "status draining 1 0+0 published=draining",
                "G3 at 7: 2 turn(s) and 1 piece(s) of internal work are logged as admitted and not as finished, and the line counts 0 turn(s) and 0 piece(s) of internal work",
            ),
            // A status may be ahead of what is logged, and behind it.
            ("status running 1 0+0 published=running", "conforms"),
            ("status draining 2 0+0 published=draining", "conforms"),
            ("status running 0 0+0 published=running", "conforms"),
            ("finish draining 1 2+1 turn\nstatus draining 1 1+1 published=draining", "conforms"),
        ],
    );
    each_says(
        "
        start running 0
        hold_begun running 0 a:ann
        begin_drain draining 1
        hold_ended draining 1 a:ann ending=withdrawn
        end_drain running 1
        admit running 1 1+0 turn",
        &[
            ("status draining 1 0+0 published=draining", "conforms"),
            ("status draining 1 0+0 published=draining\nstatus draining 2 1+0 published=draining", "conforms"),
            (
                "status draining 1 0+0 published=draining\nstatus draining 1 1+0 published=draining",
                "G3 at 8: the gate was drained, and 1 turn(s) and 0 piece(s) of internal work are in flight in the same drain",
            ),
        ],
    );
    each_says(
        "start running 0 1+1",
        &[
            ("finish running 0 1+1 turn\nfinish running 0 1+1 internal", "conforms"),
            (
                "finish running 0 1+1 turn\nfinish running 0 1+1 turn",
                "G6 at 3: a turn finished that was never admitted",
            ),
            (
                "finish running 0 1+1 internal\nfinish running 0 1+1 internal",
                "G6 at 3: internal work finished that was never admitted",
            ),
            ("finish running 0 0+1 turn", "G6 at 2: a turn is about to finish, and none is counted"),
            ("finish running 0 1+0 internal", "G6 at 2: internal work is about to finish, and none is counted"),
            ("admit running 0 2+1 turn\nadmit running 0 2+1 turn", "conforms"),
            (
                "admit running 0 2+1 turn\nadmit running 0 2+1 turn\nadmit running 0 2+1 turn",
                "G6 at 4: 3 turn(s) are logged as in flight, and 2 counted",
            ),
            (
                "admit running 0 1+1 internal\nadmit running 0 1+1 internal",
                "G6 at 3: 2 piece(s) of internal work are logged as in flight, and 1 counted",
            ),
        ],
    );
}

#[test]
fn a_look_that_is_ahead_binds_what_is_told_later() {
    each_says(
        "start running 0\nhold_begun running 0 a:ann",
        &[
            ("reading draining 1 2+0\nbegin_drain draining 1 2+0", "conforms"),
            ("reading draining 1 2+0\nbegin_drain draining 1 3+0", "conforms"),
            (
                "reading draining 1 2+0\nbegin_drain draining 1 1+0",
                "G2 at 4: 2 turn(s) were seen in flight behind a gate that closed on 1",
            ),
            ("begin_drain draining 1 3+0\nreading ending 1 2+0\nbegin_shutdown ending 1 2+0", "conforms"),
            (
                "begin_drain draining 1\nreading draining 2\nbegin_shutdown ending 1",
                "S3 at 5: the gate was seen in shutdown_draining in drain 1, from which nothing leads to external_draining in drain 2",
            ),
            (
                "reading running 1\nbegin_shutdown ending 1",
                "S1 at 4: the gate was seen in running in drain 1, and its moves never led there",
            ),
            (
                "reading draining 1 2+0\nbegin_shutdown ending 1",
                "S1 at 4: the gate was seen in external_draining in drain 1, and its moves never led there",
            ),
            (
                "reading running 1\nreading draining 1",
                "S1 at 4: the gate was seen in running in drain 1, from which nothing leads to external_draining in drain 1",
            ),
            (
                "reading draining 1\nreading running 0",
                "G4 at 4: the gate was seen in external_draining in drain 1, from which nothing leads to running in drain 0",
            ),
            ("reading running 32", "conforms"),
            (
                "reading draining 33",
                "S1 at 3: the gate was seen in running in drain 0, from which nothing leads to external_draining in drain 33",
            ),
            ("reading ending 32", "conforms"),
            ("reading stopped 32", "conforms"),
            (
                "reading ending 1\nreading draining 1",
                "S3 at 4: the gate was seen in shutdown_draining in drain 1, from which nothing leads to external_draining in drain 1",
            ),
            (
                "reading stopped 1\nreading ending 1",
                "S4 at 4: the gate was seen in stopped in drain 1, from which nothing leads to shutdown_draining in drain 1",
            ),
            (
                "reading ending 1\nstatus draining 2 published=draining\nstatus ending 2 published=draining\nstatus draining 3 published=draining",
                "S3 at 6: the gate was seen in shutdown_draining in drain 2, from which nothing leads to external_draining in drain 3",
            ),
        ],
    );
    let late = "
        start running 0
        admit running 0 1+0 turn
        hold_begun running 0 a:ann
        reading draining 1 2+0
        admit draining 1 2+0 turn
        finish draining 1 2+0 turn";
    each_says(
        late,
        &[
            ("begin_drain draining 1 2+0", "conforms"),
            (
                "admit draining 1 2+0 turn\nbegin_drain draining 1 2+0",
                "G2 at 8: 2 turn(s) were logged as admitted after the gate had closed, on 2 in flight of which 1 were logged",
            ),
        ],
    );
    // What was admitted between two drains is none of the first one's.
    each_says(
        "
        start running 0
        hold_begun running 0 a:ann
        begin_drain draining 1
        admit running 1 1+0 turn
        reading draining 2 1+0",
        &[
            (
                "hold_ended draining 1 a:ann ending=withdrawn\nend_drain running 1\nhold_begun running 1 b:bob\nbegin_drain draining 2 1+0",
                "conforms",
            ),
            (
                "hold_ended draining 1 a:ann ending=withdrawn\nend_drain running 1\nhold_begun running 1 b:bob\nbegin_drain draining 2 0+0",
                "G2 at 9: 0 turn(s) were logged as admitted after the gate had closed, on 0 in flight of which 1 were logged",
            ),
        ],
    );
}

#[test]
fn a_gate_closes_and_reopens_for_its_holds_alone() {
    each_says(
        "start running 0\nhold_begun running 0 a:ann\nbegin_drain draining 1",
        &[
            ("begin_drain draining 1", "conforms"),
            ("begin_drain draining 2", "S2 at 4: begin_drain changes nothing in external_draining, and here it did"),
            ("end_drain running 1", "H1 at 4: the gate reopened while a live hold closes it (a)"),
            (
                "hold_begun draining 1 b:bob\nhold_ended draining 1 b:bob ending=withdrawn\nend_drain running 1",
                "H2 at 6: the gate reopened while a live hold closes it (a)",
            ),
            (
                "hold_committed draining 1 a:ann\nend_drain running 1",
                "E1 at 5: the gate reopened while a live hold closes it (a)",
            ),
            ("hold_ended draining 1 a:ann ending=withdrawn\nend_drain running 1", "conforms"),
            (
                "hold_ended draining 1 a:ann ending=withdrawn\nreading draining 1",
                "L2 at 5: the gate is still closed although its last hold has ended",
            ),
            (
                "hold_ended draining 1 a:ann ending=withdrawn\nhold_begun draining 1 b:bob unready_delay_ms=5\nreading draining 1",
                "conforms",
            ),
            (
                "stop stopped 1",
                "S1 at 4: stop happened in external_draining: only a gateway that shuts down can stop: begin the shutdown first",
            ),
            (
                "begin_shutdown draining 1",
                "S1 at 4: begin_shutdown leads from external_draining to shutdown_draining, and here it led to external_draining",
            ),
            (
                "begin_shutdown ending 1\nend_drain running 1",
                "S3 at 5: end_drain happened in shutdown_draining: the gateway is shutting down, and a shutdown wins over every drain",
            ),
            (
                "begin_shutdown ending 1\nbegin_drain draining 2",
                "S3 at 5: begin_drain happened in shutdown_draining: the gateway is shutting down, and a shutdown wins over every drain",
            ),
            (
                "begin_shutdown ending 1\nbegin_shutdown ending 1\nstop stopped 1\nbegin_shutdown ending 1",
                "S4 at 7: begin_shutdown happened in stopped: the gateway has stopped, and that is final",
            ),
            ("begin_shutdown ending 1\ninterrupted ending 1", "conforms"),
            (
                "interrupted draining 1",
                "S3 at 4: work was interrupted, and only a shutdown past its deadline does that",
            ),
        ],
    );
    each_says(
        "start running 0",
        &[
            ("begin_drain draining 1", "H1 at 2: the gate closed, and no hold closes it"),
            ("end_drain running 0", "conforms"),
            (
                "hold_begun running 0 a:ann\nreading running 0",
                "H1 at 3: the gate is open although a live hold closes it (a)",
            ),
            (
                "hold_begun running 0 a:ann\nadmit running 0 1+0 turn",
                "G1 at 3: the gate is open although a live hold closes it (a)",
            ),
            (
                "hold_begun running 0 a:ann unready_delay_ms=0\nreading running 0",
                "H1 at 3: the gate is open although a live hold closes it (a)",
            ),
            ("hold_begun running 0 a:ann unready_delay_ms=1\nreading running 0", "conforms"),
            (
                "hold_begun running 0 a:ann unready_delay_ms=1\nbegin_drain draining 1\nend_drain running 1",
                "H1 at 4: the gate reopened while a live hold closes it (a)",
            ),
            (
                "hold_begun running 0 a:ann unready_delay_ms=1\nhold_begun running 0 b:bob unready_delay_ms=1\nbegin_drain draining 1\nend_drain running 1",
                "conforms",
            ),
            (
                "hold_begun running 0 a:ann\nhold_begun running 0 b:bob unready_delay_ms=1\nbegin_drain draining 1\nhold_ended draining 1 a:ann ending=withdrawn\nend_drain running 1",
                "conforms",
            ),
            (
                "hold_begun running 0 a:ann unready_delay_ms=1\nbegin_drain draining 1\nhold_committed draining 1 a:ann\nreading draining 1",
                "conforms",
            ),
        ],
    );
}

#[test]
fn a_hold_is_begun_renewed_committed_and_ended_by_its_owner() {
    let beginning = "start running 0\nhold_begun running 0 a:ann\nbegin_drain draining 1";
    each_says(
        beginning,
        &[
            ("hold_begun draining 1 a:ann", "S2 at 4: a was begun although it is held: that is a renewal"),
            ("hold_begun draining 1 a:bob", r#"H2 at 4: a was begun by "bob": the hold belongs to somebody else"#),
            ("hold_renewed draining 1 a:ann", "conforms"),
            ("hold_renewed draining 1 a:bob", r#"H2 at 4: a was renewed by "bob": the hold belongs to somebody else"#),
            (
                "hold_renewed draining 1 a:ann by=bob",
                r#"H2 at 4: a belongs to "ann", and "bob" acted on it in that name"#,
            ),
            ("hold_renewed draining 1 b:bob", "H3 at 4: b was renewed, and nobody holds it"),
            (
                "hold_renewed running 1 a:ann",
                "G4 at 4: the line is of running in drain 1, and the gateway is in external_draining in drain 1",
            ),
            ("hold_committed draining 1 a:ann", "conforms"),
            (
                "hold_committed draining 1 a:bob",
                r#"H2 at 4: a was committed by "bob": the hold belongs to somebody else"#,
            ),
            ("hold_committed draining 1 b:bob", r#"E1 at 4: b was committed by "bob": there is no such hold"#),
            (
                "hold_committed draining 1 a:ann 1+0",
                "E1 at 4: a was committed with 1 turn(s) and 0 piece(s) of internal work in flight",
            ),
            ("hold_committed draining 1 a:ann\nhold_committed draining 1 a:ann", "conforms"),
            (
                "hold_committed draining 1 a:ann\nreading draining 1 1+0",
                "E1 at 5: the gate was drained, and 1 turn(s) and 0 piece(s) of internal work are in flight in the same drain, under a committed hold",
            ),
            ("hold_ended draining 1 b:bob ending=withdrawn", "H1 at 4: b ended, and nobody holds it"),
            ("hold_ended draining 1 a:bob ending=withdrawn", r#"H2 at 4: a belongs to "ann", and it ended as "bob"'s"#),
            (
                "hold_ended draining 1 a:ann by=bob ending=withdrawn",
                r#"H2 at 4: "bob" ended a, which belongs to "ann": the hold belongs to somebody else"#,
            ),
            ("hold_ended draining 1 a:ann by=bob ending=overridden", "conforms"),
            ("hold_ended draining 1 a:ann by= ending=withdrawn", "conforms"),
            ("hold_ended draining 1 a:ann by= ending=expired", "conforms"),
            (
                "hold_ended draining 1 a:ann by= ending=expired\nhold_committed draining 1 a:ann",
                r#"E1 at 5: a was committed by "ann": there is no such hold"#,
            ),
            (
                "hold_ended draining 1 a:ann ending=expired",
                r#"H2 at 4: a ended by "ann", and such an end is the gateway's own"#,
            ),
            (
                "hold_ended draining 1 a:ann ending=absorbed",
                r#"H2 at 4: a ended by "ann", and such an end is the gateway's own"#,
            ),
            ("hold_ended draining 1 a:ann by= ending=absorbed", "H2 at 4: a was absorbed, and nothing shuts down"),
            ("begin_shutdown ending 1\nhold_ended ending 1 a:ann by= ending=absorbed", "conforms"),
            (
                "begin_shutdown ending 1\nhold_begun ending 1 b:bob",
                r#"S3 at 5: b was begun by "bob": the gateway is shutting down"#,
            ),
            (
                "hold_committed draining 1 a:ann\nbegin_shutdown ending 1\nhold_ended ending 1 a:ann by= ending=absorbed",
                "E1 at 6: a was absorbed: it is committed, and outlasts the process",
            ),
            (
                "hold_committed draining 1 a:ann\nhold_ended draining 1 a:ann by= ending=expired",
                "H4 at 5: a ended because its lease ran out, and it is committed",
            ),
            (
                "hold_committed draining 1 a:ann\nhold_ended draining 1 a:ann by= ending=withdrawn",
                "H4 at 5: a ended because its file was removed, and it is committed",
            ),
            ("hold_committed draining 1 a:ann\nhold_ended draining 1 a:ann ending=withdrawn", "conforms"),
            ("hold_committed draining 1 a:ann\nhold_ended draining 1 a:ann by=root ending=overridden", "conforms"),
            (
                "hold_begun draining 1 b:bob source=process\nhold_ended draining 1 b:bob by= ending=withdrawn source=process",
                "H2 at 5: b ended because its file was removed, and it is kept in the process, not in a file",
            ),
            (
                "hold_begun draining 1 b:bob source=process\nhold_ended draining 1 b:bob ending=withdrawn source=process",
                "conforms",
            ),
        ],
    );
    each_says(
        "start running 0\nhold_begun running 0 a:ann",
        &[
            ("hold_committed running 0 a:ann", "E1 at 3: a was committed while the gate is open"),
            ("hold_committed running 0 b:bob", r#"E1 at 3: b was committed by "bob": there is no such hold"#),
        ],
    );
    for ended in ["ending=withdrawn", "by= ending=withdrawn", "by= ending=expired", "by=root ending=overridden"] {
        for next in ["a:ann", "a:bob"] {
            each_says(
                beginning,
                &[(
                    &format!(
                        "hold_ended draining 1 a:ann {ended}\nhold_begun draining 1 {next}\nhold_renewed draining 1 {next}"
                    ),
                    "conforms",
                )],
            );
        }
    }
}

#[test]
fn a_line_says_of_itself_what_it_is() {
    each_says(
        "start running 0\nbegin_shutdown ending 1 1+0",
        &[
            (
                "stop stopped 1 1+0",
                "S5 at 3: stopped with 1 turn(s) and 0 piece(s) of internal work in flight, which nobody abandoned",
            ),
            ("stop stopped 1 1+0 abandoned=true", "conforms"),
            (
                "stop stopped 1 1+0 abandoned=true drained",
                "G3 at 3: the line says drained, and it is stopped with 1 turn(s) and 0 piece(s) of internal work in flight",
            ),
            ("stop stopped 1 0+0 drained", "conforms"),
            (
                "stop stopped 1 0+0 drained=false",
                "G3 at 3: the line says not drained, and it is stopped with 0 turn(s) and 0 piece(s) of internal work in flight",
            ),
            (
                "stop stopped 1 1+0 abandoned=true\nstatus stopped 1 1+0 published=stopped\nreading stopped 1 drained=false",
                "conforms",
            ),
            ("stop stopped 1 0+0 abandoned=true\nreading stopped 1 drained", "conforms"),
            (
                "reading ending 1 1+0 drained",
                "G3 at 3: the line says drained, and it is shutdown_draining with 1 turn(s) and 0 piece(s) of internal work in flight",
            ),
            (
                "reading ending 1 1+0 abandoned=true",
                "S5 at 3: work was abandoned in shutdown_draining, and only a forced stop does that",
            ),
            (
                "status ending 1 1+0 published=running",
                "S6 at 3: the status shows running, and the gateway is in shutdown_draining",
            ),
            (
                "status ending 1 1+0 published=stopped",
                "S4 at 3: the status shows stopped, and the gateway is in shutdown_draining",
            ),
            (
                "stop stopped 1 0+0\nreading stopped 1 0+1",
                "S5 at 4: stopped with 0 turn(s) and 1 piece(s) of internal work in flight, which nobody abandoned",
            ),
        ],
    );
    each_says(
        "start running 0\n",
        &[("start running 0", "C6 at 2: a process starts twice: its incarnation is not its own")],
    );
}

/// What the checker says was possible, where this line can't be.
fn possible(text: &str) -> Vec<String> {
    let Verdict::Violates(found) = check_text(&trace(text)).verdict else { panic!("it conforms: {text}") };
    found.possible
}

#[test]
fn a_violation_says_what_was_possible_there() {
    assert_eq!(
        possible("start running 0\nbegin_drain draining 1"),
        [
            "the gateway is in running in drain 0; last counted: 0 turn(s) and 0 piece(s) of internal work",
            "no hold",
            "begin_drain: to external_draining in drain 1, once the holds ask for it",
            "begin_shutdown: to shutdown_draining in drain 1",
            "readings and admissions in this state, with any counts"
        ]
    );
    assert_eq!(
        possible("start running 0\nhold_begun running 0 a:ann\nend_drain draining 1"),
        [
            "the gateway is in running in drain 0; last counted: 0 turn(s) and 0 piece(s) of internal work",
            r#"holds: a of "ann""#,
            "begin_drain: to external_draining in drain 1",
            "begin_shutdown: to shutdown_draining in drain 1",
            "readings and admissions in this state, with any counts"
        ]
    );
    assert_eq!(
        possible(&format!("{CLOSED}\nhold_begun draining 1 b:bob unready_delay_ms=1\nend_drain running 1")),
        [
            "the gateway is in external_draining in drain 1; last counted: 2 turn(s) and 1 piece(s) of internal work",
            r#"holds: a of "ann"; b of "bob", pending"#,
            "end_drain: to running in drain 1, once the holds ask for it",
            "begin_shutdown: to shutdown_draining in drain 1",
            "readings and finishes with at most 2 turn(s) in flight"
        ]
    );
    assert_eq!(
        possible(&format!("{COMMITTED}\nend_drain running 1")),
        [
            "the gateway is in external_draining in drain 1; last counted: 0 turn(s) and 0 piece(s) of internal work",
            r#"holds: a of "ann", committed"#,
            "end_drain: to running in drain 1, once the holds ask for it",
            "begin_shutdown: to shutdown_draining in drain 1",
            "readings with nothing in flight"
        ]
    );
    assert_eq!(
        possible("start running 0\nbegin_shutdown ending 1 1+0\nend_drain running 1"),
        [
            "the gateway is in shutdown_draining in drain 1; last counted: 1 turn(s) and 0 piece(s) of internal work",
            "no hold",
            "stop: to stopped in drain 1, once nothing is in flight or marked as abandoned",
            "readings and finishes with at most 1 turn(s) in flight"
        ]
    );
    assert_eq!(
        possible("start running 0\nbegin_shutdown ending 1\nend_drain running 1"),
        [
            "the gateway is in shutdown_draining in drain 1; last counted: 0 turn(s) and 0 piece(s) of internal work",
            "no hold",
            "stop: to stopped in drain 1",
            "readings with nothing in flight"
        ]
    );
    assert_eq!(
        possible("start running 0\nbegin_shutdown ending 1\nstop stopped 1\nend_drain running 1"),
        [
            "the gateway is in stopped in drain 1; last counted: 0 turn(s) and 0 piece(s) of internal work",
            "no hold",
            "readings with nothing in flight"
        ]
    );
}
