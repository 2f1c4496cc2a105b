//! Admission through the gate: who is let in, who is refused, and what is counted.

use gateway_drain::gate::Generation;
use gateway_drain::{Controller, Gate, Refusal, Request, RequestId};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

fn drained_by_ops(controller: &Controller) {
    controller.request(&Request::begin(RequestId::new("ops").unwrap(), "ops")).unwrap();
}

fn reopened_by_ops(controller: &Controller) {
    controller.request(&Request::withdraw(RequestId::new("ops").unwrap(), "ops")).unwrap();
}

#[test]
fn a_new_turn_is_refused_while_draining_with_a_message_that_says_so() {
    let controller = Controller::new();
    drained_by_ops(&controller);
    let refusal = controller.gate().admit().unwrap_err();
    assert_eq!(refusal, Refusal::Draining);
    assert!(refusal.to_string().contains("draining"), "{refusal}");
    assert!(refusal.is_retryable());
}

#[test]
fn a_turn_in_flight_is_neither_interrupted_nor_dropped_by_a_drain() {
    let controller = Controller::new();
    let turn = controller.gate().admit().unwrap();
    drained_by_ops(&controller);
    assert!(!turn.is_interrupted());
    assert_eq!(controller.gate().reading().in_flight, 1);
    reopened_by_ops(&controller);
    assert!(!turn.is_interrupted());
    assert_eq!(controller.gate().reading().in_flight, 1);
}

#[test]
fn a_permit_counts_until_it_is_dropped_even_by_a_panic() {
    let controller = Controller::new();
    let gate = controller.gate().clone();
    let panicked = std::thread::spawn(move || {
        let _permit = gate.admit().unwrap();
        panic!("as intended");
    });
    assert!(panicked.join().is_err());
    assert_eq!(controller.gate().reading().in_flight, 0);
}

#[test]
fn an_owned_permit_is_the_same_admission() {
    let controller = Controller::new();
    let permit = controller.gate().admit().unwrap().into_owned();
    assert_eq!(controller.gate().reading().in_flight, 1);
    drop(permit);
    assert_eq!(controller.gate().reading().in_flight, 0);
}

#[test]
fn a_permit_that_outlives_its_gate_counts_in_no_other() {
    let controller = Controller::new();
    let plain = controller.gate().admit().unwrap().into_owned();
    let labelled = controller.gate().admit_internal().unwrap().into_owned().labelled("replay", "session 7");
    drop(controller);

    let others: Vec<_> = (0..100).map(|_| Controller::new()).collect();
    let counted = |when: &str| {
        for other in &others {
            let reading = other.gate().reading();
            assert_eq!((reading.in_flight, reading.internal), (0, 0), "{when}, a gate counts what another admitted");
            assert!(other.gate().active_work(1).is_empty(), "{when}, a gate names what another admitted");
        }
    };
    counted("while the permits live");
    drop(plain);
    drop(labelled);
    counted("after their end");
}

#[test]
fn a_new_gate_has_nothing_of_those_before_it() {
    let new = Controller::new().gate().reading();
    for _ in 0..100 {
        let controller = Controller::new();
        assert_eq!(controller.gate().reading(), new);
        drained_by_ops(&controller);
        controller.begin_shutdown(Duration::ZERO).unwrap();
        assert!(controller.stopped().wait().finished());
    }
}

#[test]
fn a_gate_that_is_gone_keeps_no_room_for_the_names_of_its_work() {
    let crowd = 1_000;
    let kept = allocation_counter::measure(|| {
        let controller = Controller::new();
        let turn = |_| controller.gate().admit().unwrap().into_owned().labelled("turn", "one of many");
        let turns: Vec<_> = (0..crowd).map(turn).collect();
        assert_eq!(controller.gate().active_work(usize::MAX).len(), crowd);
        drop(turns);
    });
    // What the handles shared is kept for the next gate, and is some hundreds of bytes.
    assert!(kept.bytes_current < 4_096, "{} bytes are kept of {crowd} names", kept.bytes_current);
}

#[test]
fn work_that_a_turn_starts_shares_its_permit_and_passes_the_closed_gate() {
    let controller = Controller::new();
    let turn = Arc::new(controller.gate().admit().unwrap().into_owned());
    drained_by_ops(&controller);
    let tool = Arc::clone(&turn);
    drop(turn);
    assert_eq!(controller.gate().reading().in_flight, 1, "the tool still runs");
    drop(tool);
    assert!(controller.gate().reading().drained);
}

#[test]
fn internal_work_passes_while_something_is_in_flight_and_is_sealed_out_once_drained() {
    let controller = Controller::new();
    let turn = controller.gate().admit().unwrap();
    drained_by_ops(&controller);
    let internal = controller.gate().admit_internal().expect("a turn is in flight");
    drop(turn);
    let chained = controller.gate().admit_internal().expect("internal work is in flight");
    let reading = controller.gate().reading();
    assert_eq!((reading.in_flight, reading.internal, reading.drained), (0, 2, false));
    drop((internal, chained));
    assert_eq!(controller.gate().admit_internal().unwrap_err(), Refusal::Draining, "sealed");
    reopened_by_ops(&controller);
    drop(controller.gate().admit_internal().expect("open again"));
}

#[test]
fn a_shutdown_and_a_stopped_gateway_refuse_for_good_and_say_which() {
    let controller = Controller::new();
    let turn = controller.gate().admit().unwrap();
    controller.begin_shutdown(Duration::from_secs(60)).unwrap();
    assert_eq!(controller.gate().admit().unwrap_err(), Refusal::ShuttingDown);
    drop(turn);
    controller.settle();
    assert_eq!(controller.gate().admit().unwrap_err(), Refusal::Stopped);
    assert_eq!(controller.gate().admit_internal().unwrap_err(), Refusal::Stopped);
    assert!(!Refusal::Stopped.is_retryable() && !Refusal::ShuttingDown.is_retryable());
}

#[test]
fn an_internal_count_that_is_full_refuses_and_nothing_else_changes() {
    let controller = Controller::new();
    let held: Vec<_> = (0..Gate::MAX_INTERNAL).map(|_| controller.gate().admit_internal().unwrap()).collect();
    assert_eq!(controller.gate().admit_internal().unwrap_err(), Refusal::Saturated);
    let reading = controller.gate().reading();
    assert_eq!((reading.in_flight, reading.internal), (0, Gate::MAX_INTERNAL));
    drop(controller.gate().admit().expect("turns have a count of their own"));
    drop(held);
    assert_eq!(controller.gate().reading().total(), 0);
}

#[test]
fn labelled_work_is_named_oldest_first_for_as_long_as_it_is_in_flight() {
    let controller = Controller::new();
    let labelled = |kind, label: &'static str| controller.gate().admit().unwrap().into_owned().labelled(kind, label);
    let first = labelled("turn", "s1");
    let second = labelled("cron", "nightly");
    let names = |limit| -> Vec<String> {
        controller.gate().active_work(limit).iter().map(|work| format!("{} {}", work.kind, work.label)).collect()
    };
    assert_eq!(names(9), ["turn s1", "cron nightly"]);
    assert_eq!(names(1), ["turn s1"]);
    drop(first);
    let third = labelled("turn", "s3");
    assert_eq!(names(9), ["cron nightly", "turn s3"], "a place that is used again does not change the order");
    drop((second, third));
    assert!(names(9).is_empty(), "nothing is in flight");
}

#[test]
fn the_names_of_labelled_work_are_freed_with_its_permit() {
    let controller = Controller::new();
    let name = |length| "x".repeat(length);
    let labelled = controller.gate().admit().unwrap().into_owned().labelled(name(1000), name(2000));
    let taken = allocation_counter::measure(|| drop(labelled));
    assert_eq!((taken.count_current, taken.bytes_current), (-2, -3000), "both names, and nothing else: {taken:?}");
}

#[test]
fn interruption_reaches_every_permit_once_a_shutdown_s_deadline_has_passed_and_not_before() {
    let controller = Controller::new();
    let turn = controller.gate().admit().unwrap();
    let mut interrupted = pin!(turn.interrupted());
    let mut context = Context::from_waker(Waker::noop());
    drained_by_ops(&controller);
    controller.begin_shutdown(Duration::from_secs(60)).unwrap();
    assert_eq!(interrupted.as_mut().poll(&mut context), Poll::Pending);
    assert!(!turn.is_interrupted());
    controller.begin_shutdown(Duration::ZERO).expect("a second call brings the deadline forward");
    assert_eq!(interrupted.as_mut().poll(&mut context), Poll::Ready(()));
    assert!(turn.is_interrupted());
}

#[test]
fn nothing_is_drained_that_is_open() {
    let controller = Controller::new();
    assert!(!controller.gate().reading().drained, "nothing is in flight, and the next turn may be at any moment");
}

#[test]
fn a_gateway_that_was_stopped_by_force_takes_no_internal_work_although_some_is_in_flight() {
    let controller = Controller::new();
    let _stuck = controller.gate().admit_internal().unwrap();
    let _ = controller.force_stop();
    assert_eq!(controller.gate().admit_internal().unwrap_err(), Refusal::Stopped);
}

#[test]
fn each_refusal_says_why_in_a_word_and_a_sentence_of_its_own_and_whether_to_come_back() {
    let rows = [
        (Refusal::Draining, "draining", "is draining", true),
        (Refusal::ShuttingDown, "shutting_down", "is shutting down", false),
        (Refusal::Stopped, "stopped", "has stopped", false),
        (Refusal::Saturated, "saturated", "as much work in flight as it can count", true),
    ];
    for (refusal, word, says, retryable) in rows {
        assert_eq!((refusal.word(), refusal.is_retryable()), (word, retryable));
        assert!(refusal.to_string().contains(says), "{word}: {refusal}");
    }
}

#[test]
fn a_refusal_is_a_body_for_any_server_and_says_after_how_long_to_come_back() {
    for refusal in [Refusal::Draining, Refusal::ShuttingDown, Refusal::Stopped, Refusal::Saturated] {
        let body: serde_json::Value = serde_json::from_str(&refusal.problem()).unwrap();
        let told = serde_json::json!({
            "type": "about:blank",
            "title": "Service Unavailable",
            "status": 503,
            "detail": refusal.to_string(),
            "error": refusal.word(),
        });
        assert_eq!(body, told);
        assert!((3..=7).contains(&refusal.retry_after().as_secs()), "{refusal}");
    }
}

#[test]
fn turns_and_internal_work_are_counted_apart_and_together() {
    let controller = Controller::new();
    let gate = controller.gate();
    let _turns = [gate.admit().unwrap(), gate.admit().unwrap()];
    let _internal = [(); 3].map(|()| gate.admit_internal().unwrap());
    let reading = gate.reading();
    assert_eq!((reading.in_flight, reading.internal, reading.total()), (2, 3, 5));
}

#[test]
fn a_permit_that_a_task_owns_is_interrupted_as_one_that_a_scope_borrows() {
    let controller = Controller::new();
    let owned = controller.gate().admit().unwrap().into_owned();
    let labelled = controller.gate().admit().unwrap().into_owned().labelled("turn", "s1");
    let mut interrupted = [owned.interrupted(), labelled.interrupted()].map(Box::pin);
    let mut poll = || interrupted.each_mut().map(|asked| asked.as_mut().poll(&mut Context::from_waker(Waker::noop())));
    assert_eq!((poll(), owned.is_interrupted(), labelled.is_interrupted()), ([Poll::Pending; 2], false, false));
    controller.begin_shutdown(Duration::ZERO).unwrap();
    assert_eq!((poll(), owned.is_interrupted(), labelled.is_interrupted()), ([Poll::Ready(()); 2], true, true));
}

#[test]
fn a_generation_is_the_low_22_bits_of_a_count_and_is_shown_as_a_number() {
    let generation = |count: u32| Generation::from(count);
    assert_eq!(generation(Generation::MAX + 1 + 7), generation(7), "after the last one comes 0 again");
    assert_ne!(generation(Generation::MAX), generation(7));
    assert_eq!(generation(Generation::MAX).to_string(), "4194303");
}
