//! What a gateway takes over from an earlier process of its boot, and what it doesn't. Pure: no file and no process.

use gateway_drain::control::Epoch;
use gateway_drain::controller::Acknowledgement;
use gateway_drain::hold::{Action, Denied, Facts, Incarnation, LeasePolicy, Outcome, Source};
use gateway_drain::status::{HoldStatus, inherited};
use gateway_drain::{Controller, HoldSet, Request, RequestId, Snapshot};
use serde_json::json;
use std::time::Duration;

/// When the earlier process said its last, since boot.
const THEN: Duration = Duration::from_secs(1000);
const LATER: Duration = Duration::from_secs(1001);

fn begin(source: Source) -> Request {
    let mut begin = Request::begin(RequestId::new("upgrade").expect("a request id"), "ops");
    begin.source = source;
    begin
}

/// What a process of the boot "monday" left that has decided these requests; its gate was not drained.
fn left(requests: &[Request]) -> Snapshot {
    let incarnation = Incarnation::fresh();
    let generation = Controller::new().gate().reading().generation;
    let facts = Facts { incarnation: &incarnation, generation, drained: false, shutting_down: false };
    let mut holds = HoldSet::new(LeasePolicy::default());
    let mut acknowledged = Vec::new();
    for request in requests {
        let mut request = request.clone();
        if request.action == Action::Commit {
            (request.incarnation, request.generation) = (Some(incarnation.clone()), Some(generation));
        }
        let outcome = holds.apply(&request, &facts, THEN).0;
        acknowledged = vec![Acknowledgement { request_id: request.id, nonce: request.nonce, outcome }];
    }
    let mut status: Snapshot = serde_json::from_value(json!({
        "gateway_state": "draining", "active_agents": 1, "pid": 1, "start_time": null, "argv": [], "kind": "gateway",
        "restart_requested": false, "exit_reason": null, "platforms": {}, "updated_at": "",
        "drain": {
            "state": "external_draining", "generation": 1, "incarnation": incarnation, "epoch": "monday:1",
            "in_flight": 1, "internal": 0, "drained": false, "interrupted": false, "abandoned": false,
            "pending": false, "stalled": false, "suppress_notification": false, "holds": [], "active_work": [],
            "acknowledged": [], "ignored": [], "revision": 1, "clock_millis": 1_000_000,
            "reconciler": {"alive": true, "errors": 0, "panics": 0, "last_error": null},
        },
    }))
    .expect("a status");
    status.drain.holds = holds.iter().map(|hold| HoldStatus::of(hold, THEN)).collect();
    status.drain.acknowledged = acknowledged;
    status
}

fn epoch(of: &str) -> Epoch {
    Epoch::from(of.to_owned())
}

fn taken_over(status: &Snapshot, epoch: &Epoch, now: Duration) -> HoldSet {
    status.bequest(epoch, LeasePolicy::default(), now)
}

#[test]
fn nothing_is_taken_over_from_another_boot() {
    let status = left(&[begin(Source::File)]);
    assert_eq!(taken_over(&status, &epoch("monday:1"), LATER).iter().count(), 1, "of the same boot it is");
    assert_eq!(taken_over(&status, &epoch("tuesday:1"), LATER).iter().count(), 0, "C3");
}

#[test]
fn a_clock_that_has_begun_anew_is_another_boot_where_no_epoch_is_known() {
    let status = left(&[begin(Source::File)]);
    let now = THEN.checked_sub(Duration::from_millis(1)).expect("later than a moment after the boot");
    assert_eq!(taken_over(&status, &Epoch::default(), now).iter().count(), 0, "C3: the clock says that it was earlier");
    assert_eq!(taken_over(&status, &Epoch::default(), THEN).iter().count(), 1);
}

#[test]
fn what_a_call_in_the_earlier_process_asked_for_ends_with_that_process() {
    let status = left(&[begin(Source::Process)]);
    assert_eq!(status.drain.holds.len(), 1, "it was held");
    assert_eq!(taken_over(&status, &epoch("monday:1"), LATER).iter().count(), 0);
}

#[test]
fn a_write_that_was_refused_is_refused_by_the_next_process_too() {
    let begin = begin(Source::File);
    let mut commit =
        Request::commit(begin.id.clone(), "ops", Incarnation::fresh(), Controller::new().gate().reading().generation);
    commit.source = Source::File;
    let status = left(&[begin, commit.clone()]);
    assert_eq!(status.drain.acknowledged[0].outcome, Outcome::Refused(Denied::NotDrained), "a turn was in flight");
    let holds = taken_over(&status, &epoch("monday:1"), LATER);
    let answer = holds.standing(&commit.id, commit.nonce.as_ref(), LATER);
    assert_eq!(answer, Some(Outcome::Refused(Denied::NotDrained)), "S2: its owner has been told no");
}

#[test]
fn of_the_files_alone_only_a_commit_is_taken_over() {
    let begun = begin(Source::File);
    let mut commit = begin(Source::File);
    commit.id = RequestId::new("act").expect("a request id");
    commit.action = Action::Commit;
    let files = vec![begun, commit.clone()];
    let holds = inherited(None, || files, &epoch("monday:1"), LeasePolicy::default(), LATER);
    let held: Vec<_> = holds.iter().map(|hold| (&hold.id, hold.commit.is_some())).collect();
    assert_eq!(
        held,
        [(&commit.id, true)],
        "E1: its owner may be acting; H3: what only began is seen at the first look"
    );
}
