//! What outlives its gate leaves nothing behind: permits, names, and waits of every kind.

use gateway_drain::{Controller, Lifecycle, Request, RequestId};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Waker};

const ROUNDS: u64 = 200_000;

fn bytes_left_by(work: impl FnOnce()) -> i64 {
    allocation_counter::measure(work).bytes_current
}

fn poll(wait: &mut (impl Future + Unpin)) {
    let _ = Pin::new(wait).poll(&mut Context::from_waker(Waker::noop()));
}

#[test]
fn permits_names_and_waits_that_outlive_their_gate_leave_nothing_behind() {
    // What a process allocates once is none of the rounds'.
    let round = || {
        let gate = Lifecycle::new().gate().clone();
        let (turn, internal) = (gate.admit_owned().unwrap(), gate.admit_internal_owned().unwrap());
        let named = gate.admit_owned().unwrap().labelled("turn", "session 7");
        let mut waits = (named.interrupted(), turn.draining(), gate.drained(gate.reading().generation));
        poll(&mut waits.0);
        poll(&mut waits.1);
        poll(&mut waits.2);
        drop(gate);
        drop((turn, internal, named));
        drop(waits);
    };
    round();
    let left = bytes_left_by(|| (0..ROUNDS).for_each(|_| round()));
    assert_eq!(left, 0, "bytes that {ROUNDS} gates leave behind");
}

#[test]
fn waits_that_outlive_a_closed_gate_leave_nothing_behind() {
    let round = || {
        let draining = Lifecycle::new().begin_drain();
        let mut waits = (draining.gate().admitted(), draining.gate().opened(), draining.gate().interrupted());
        poll(&mut waits.0);
        poll(&mut waits.1);
        poll(&mut waits.2);
        drop(draining);
        drop(waits);
    };
    round();
    let left = bytes_left_by(|| (0..ROUNDS / 10).for_each(|_| round()));
    assert_eq!(left, 0, "bytes that {} gates leave behind", ROUNDS / 10);
}

#[test]
fn a_table_of_names_is_as_large_as_the_work_in_flight_and_no_larger() {
    let controller = Controller::new();
    let name = |number: usize| controller.gate().admit_owned().unwrap().labelled("turn", number.to_string());
    drop(name(0));
    let left = bytes_left_by(|| {
        let mut named: Vec<_> = (0..100_000).map(name).collect();
        let oldest = controller.gate().active_work(3);
        assert_eq!(oldest.iter().map(|work| &*work.label).collect::<Vec<_>>(), ["0", "1", "2"], "oldest first");
        named.drain(..2);
        assert_eq!(controller.gate().active_work(1)[0].label, "2");
        assert_eq!(controller.gate().active_work(usize::MAX).len(), 99_998);
    });
    assert_eq!(left, 0, "bytes of names that nobody has any more");
}

#[test]
fn who_gives_up_waiting_at_one_gate_leaves_nothing_with_it() {
    let controller = Controller::new();
    let _ = controller.request(&Request::begin(RequestId::new("ops").unwrap(), "ops"));
    let round = || {
        let mut wait = controller.gate().admitted();
        poll(&mut wait);
        poll(&mut wait);
        drop(wait);
        let _ = controller.gate().opened().wait_timeout(std::time::Duration::ZERO);
    };
    round();
    let left = bytes_left_by(|| (0..ROUNDS / 10).for_each(|_| round()));
    assert_eq!(left, 0, "bytes of those who have given up");
}
