//! What a gateway takes over from an earlier process of its boot, and what it doesn't. Pure: no file and no process.

use gateway_drain::control::Epoch;
use gateway_drain::hold::{
    Acknowledgement, Action, Denied, Ending, Facts, Incarnation, LeasePolicy, Nonce, NotHonoured, Outcome, Source,
};
use gateway_drain::status::{CommitRecord, HoldStatus, Takeover, take_over};
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
    let facts = Facts { incarnation: &incarnation, generation, drained: false, shutting_down: false, recorded: None };
    let mut holds = HoldSet::new(LeasePolicy::default());
    for request in requests {
        let mut request = request.clone();
        if request.action == Action::Commit || request.incarnation.is_some() {
            (request.incarnation, request.generation) = (Some(incarnation.clone()), Some(generation));
        }
        holds.apply(&request, &facts, THEN);
    }
    published(&holds, &incarnation)
}

/// A status of the boot "monday" with these holds.
fn published(holds: &HoldSet, incarnation: &Incarnation) -> Snapshot {
    let all: Vec<_> = holds.iter().cloned().collect();
    let bytes = serde_json::to_vec(&json!({
        "gateway_state": "draining", "active_agents": 1,
        "drain": {
            "format": 2, "state": "external_draining", "incarnation": incarnation, "epoch": "monday:1",
            "clock_millis": 1_000_000, "acknowledged": holds.acknowledged(THEN),
            "holds": all.iter().map(|hold| HoldStatus::of(hold, THEN)).collect::<Vec<_>>(),
            "takeover": Takeover::of(&all),
        },
    }));
    Snapshot::from_bytes(&bytes.expect("JSON")).expect("a status")
}

fn epoch(of: &str) -> Epoch {
    Epoch::from(of.to_owned())
}

fn taken_over(status: &Snapshot, epoch: &Epoch, now: Duration) -> HoldSet {
    status.take_over(epoch, LeasePolicy::default(), now)
}

#[test]
fn nothing_is_taken_over_from_another_boot() {
    let status = left(&[begin(Source::File)]);
    assert_eq!(taken_over(&status, &epoch("monday:1"), LATER).iter().count(), 1, "of the same boot it is");
    assert_eq!(taken_over(&status, &epoch("tuesday:1"), LATER).iter().count(), 0, "C3");
}

#[test]
fn a_clock_that_has_begun_again_is_another_boot_where_no_epoch_is_known() {
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

fn commit_of(begin: &Request) -> Request {
    let generation = Controller::new().gate().reading().generation;
    let mut commit = Request::commit(begin.id.clone(), "ops", Incarnation::fresh(), generation);
    commit.source = Source::File;
    commit
}

#[test]
fn a_write_that_was_refused_is_refused_by_the_next_process_too() {
    let begin = begin(Source::File);
    let commit = commit_of(&begin);
    let status = left(&[begin, commit.clone()]);
    assert_eq!(status.drain.acknowledged[0].outcome, Outcome::Refused(Denied::NotDrained), "a turn was in flight");
    let holds = taken_over(&status, &epoch("monday:1"), LATER);
    let answer = holds.standing(&commit.id, Source::File, commit.nonce.as_ref(), LATER);
    assert_eq!(answer, Some(Outcome::Refused(Denied::NotDrained)), "S2: its owner has been told no");
}

#[test]
fn a_commit_in_a_file_that_is_on_no_record_is_taken_over_as_a_hold_and_granted_nothing() {
    let begun = begin(Source::File);
    let mut commit = begin(Source::File);
    commit.id = RequestId::new("act").expect("a request id");
    commit.action = Action::Commit;
    let files = || vec![begun.clone(), commit.clone()];
    for record in [None, Some(CommitRecord::new(&[], &epoch("monday:1"), THEN))] {
        let holds = take_over(None, record.as_ref(), files, &epoch("monday:1"), LeasePolicy::default(), LATER);
        let held: Vec<_> = holds.iter().map(|hold| (&hold.id, hold.commit.is_some())).collect();
        assert_eq!(held, [(&commit.id, false)], "what only began is seen at the first look");
        let answer = holds.standing(&commit.id, Source::File, commit.nonce.as_ref(), LATER);
        assert_eq!(answer, Some(Outcome::Refused(Denied::NotHeld)), "S2: it may have been refused");
    }
}

/// A set with one commit, granted in a file that has been overwritten since by somebody else's refused write.
fn committed() -> (HoldSet, Request) {
    let incarnation = Incarnation::fresh();
    let generation = Controller::new().gate().reading().generation;
    let facts = Facts { incarnation: &incarnation, generation, drained: true, shutting_down: false, recorded: None };
    let mut holds = HoldSet::new(LeasePolicy::default());
    holds.apply(&begin(Source::File), &facts, THEN);
    let mut commit = commit_of(&begin(Source::File));
    commit.incarnation = Some(incarnation.clone());
    assert_eq!(holds.apply(&commit, &facts, THEN).0, Outcome::Committed);
    let mut stranger = begin(Source::File);
    stranger.owner = "stranger".into();
    assert_eq!(holds.apply(&stranger, &facts, THEN).0, Outcome::Refused(Denied::NotYours));
    (holds, commit)
}

#[test]
fn a_commit_on_record_outlasts_the_loss_of_the_status_and_of_its_file() {
    let (holds, commit) = committed();
    let record = CommitRecord::new(&holds.commits(), &epoch("monday:1"), THEN);
    let record = serde_json::from_value(json!(record)).expect("as it is read again");
    let of_the_reference = Snapshot::from_bytes(br#"{"gateway_state": "running"}"#).expect("a status");
    for status in [None, Some(&of_the_reference)] {
        let take_over =
            |epoch: &Epoch| take_over(status, Some(&record), Vec::new, epoch, LeasePolicy::default(), LATER);
        let held = take_over(&epoch("monday:1"));
        let token = held.iter().filter_map(|hold| hold.commit.as_ref()).map(|commit| commit.token.clone());
        assert_eq!(token.collect::<Vec<_>>(), [commit.nonce.clone().expect("a commit has a nonce")], "E1");
        assert_eq!(take_over(&epoch("tuesday:1")).iter().count(), 0, "C3: of another boot");
    }
}

#[test]
fn a_status_that_can_be_read_is_believed_and_not_the_record() {
    let (holds, _) = committed();
    let record = CommitRecord::new(&holds.commits(), &epoch("monday:1"), THEN);
    let status = published(&HoldSet::new(LeasePolicy::default()), &Incarnation::fresh());
    let held = take_over(Some(&status), Some(&record), Vec::new, &epoch("monday:1"), LeasePolicy::default(), LATER);
    assert_eq!(held.iter().count(), 0, "L2: the commit has ended, and the record was about to say so");
}

#[test]
fn every_decision_is_taken_over_but_that_the_process_was_shutting_down() {
    let finally = [
        Outcome::Refused(Denied::NotYours),
        Outcome::Refused(Denied::NotHeld),
        Outcome::Refused(Denied::LeaseExpired),
        Outcome::Refused(Denied::Committed),
        Outcome::Refused(Denied::OtherIncarnation),
        Outcome::Refused(Denied::OtherGeneration),
        Outcome::Refused(Denied::NotClosedYet),
        Outcome::Ended(Ending::Withdrawn),
        Outcome::Ended(Ending::Expired),
        Outcome::Ended(Ending::Overridden),
        Outcome::Ignored(NotHonoured::OtherEpoch),
    ];
    let own = [Outcome::Refused(Denied::ShuttingDown), Outcome::Ended(Ending::Absorbed), Outcome::Held];
    for outcome in finally.into_iter().chain(own) {
        let mut status = published(&HoldSet::new(LeasePolicy::default()), &Incarnation::fresh());
        let (request_id, nonce) = (begin(Source::File).id, Some(Nonce::fresh()));
        status.drain.acknowledged.push(Acknowledgement {
            request_id: request_id.clone(),
            nonce: nonce.clone(),
            outcome,
        });
        let holds = taken_over(&status, &epoch("monday:1"), LATER);
        let answer = holds.standing(&request_id, Source::File, nonce.as_ref(), LATER);
        assert_eq!(answer, Some(outcome).filter(|_| !own.contains(&outcome)), "{outcome:?}");
    }
}

#[test]
fn a_hold_that_is_bound_to_a_process_ends_with_it_unless_it_was_committed() {
    let mut bound = begin(Source::File);
    bound.incarnation = Some(Incarnation::fresh());
    let held = |status: &Snapshot| taken_over(status, &epoch("monday:1"), LATER).iter().count();
    assert_eq!(held(&left(&[bound.clone()])), 0, "it named this process alone");
    let mut renewal = begin(Source::File);
    assert_eq!(held(&left(&[bound.clone(), renewal.clone()])), 1, "its renewal names none");
    renewal.incarnation = Some(Incarnation::fresh());
    assert_eq!(held(&left(&[begin(Source::File), renewal])), 0, "its renewal names one");

    let incarnation = Incarnation::fresh();
    let generation = Controller::new().gate().reading().generation;
    let facts = Facts { incarnation: &incarnation, generation, drained: true, shutting_down: false, recorded: None };
    let mut holds = HoldSet::new(LeasePolicy::default());
    let mut commit = commit_of(&bound);
    for request in [&mut bound, &mut commit] {
        request.incarnation = Some(incarnation.clone());
        holds.apply(request, &facts, THEN);
    }
    assert_eq!(held(&published(&holds, &incarnation)), 1, "E1: a commit outlasts the process");
}

#[test]
fn that_a_hold_s_file_was_overwritten_is_taken_over() {
    let mut stranger = begin(Source::File);
    stranger.owner = "stranger".into();
    let mut holds = taken_over(&left(&[begin(Source::File), stranger]), &epoch("monday:1"), LATER);
    assert_eq!(holds.absent(&begin(Source::File).id), None, "C7: what is gone was the stranger's");
    assert_eq!(holds.iter().count(), 1);
}
