//! Gateways that the suite didn't know when it was written: the broken ones are caught by the property that they break, each
//! time, and the correct ones are never accused.
//!
//! Once, within a few attempts, unless `JUDGE_TIMES` says how often; then each attempt counts (`.ci/judges`).

#![cfg(feature = "conformance")]

use crate::support::judged::Of;
use crate::support::judged::broken::*;
use crate::support::judged::correct::*;
use gateway_drain::conformance::{self, Gateway, Verdict, report};
use gateway_drain::properties::PropertyId;

fn times() -> u32 {
    std::env::var("JUDGE_TIMES").map_or(1, |times| times.parse().expect("JUDGE_TIMES is a number"))
}

fn verdict<G: Gateway>(property: PropertyId) -> Verdict {
    use conformance::*;
    let judge = match property {
        PropertyId::S1 => s1_only_the_tables_transitions_exist::<G>,
        PropertyId::S3 => s3_a_shutdown_wins_nothing_leads_from_it_to_running_or_to_an_external_drain::<G>,
        PropertyId::S5 => s5_stopped_with_work_left_only_if_forced_and_then_the_number_abandoned_is_recorded::<G>,
        PropertyId::G1 => g1_no_admission_after_a_closing_call_has_returned::<G>,
        PropertyId::G2 => g2_active_work_never_rises_while_draining::<G>,
        PropertyId::G3 => g3_drained_stays_true_until_the_drain_ends::<G>,
        PropertyId::G4 => g4_no_wake_up_is_lost_and_a_waiter_completes_only_for_its_own_generation::<G>,
        PropertyId::G5 => {
            g5_who_saw_drained_sees_what_finished_work_wrote_and_who_enters_next_what_was_written_meanwhile::<G>
        }
        PropertyId::G6 => g6_admitted_is_finished_plus_abandoned_plus_in_flight_without_under_or_overflow::<G>,
        PropertyId::H1 => h1_closed_if_and_only_if_a_live_hold_or_a_shutdown_exists::<G>,
        PropertyId::H2 => h2_withdrawing_one_hold_never_frees_another::<G>,
        other => unreachable!("{other}"),
    };
    judge()
}

/// The first line says what is wrong, and names the property.
fn is_caught<G: Gateway>(by: PropertyId, says: &str) {
    // Beside all other tests of this program a race is given a few attempts; `.ci/judges` gives it one.
    let mut attempts = if times() == 1 { 12 } else { 1 };
    let mut time = 1;
    while time <= times() {
        let begun = std::time::Instant::now();
        match verdict::<G>(by) {
            Verdict::Kept if attempts > 1 => attempts -= 1,
            Verdict::Broken { evidence } => {
                let first = evidence.lines().next().unwrap_or_default();
                assert!(first.starts_with(&format!("{by} is broken: ")) && first.contains(says), "{evidence}");
                if times() > 1 {
                    println!("{time}: {:?} {first}", begun.elapsed());
                }
                time += 1;
            }
            other => panic!("not caught in attempt {time}: {other:?}"),
        }
    }
}

fn is_not_accused<G: Gateway>() {
    for time in 1..=times() {
        let report = report::<G>();
        assert_eq!(report.broken(), [], "in attempt {time}: {report}");
    }
}

macro_rules! broken {
    ($($name:ident: $gateway:ty, $property:ident, $says:literal;)*) => {
        $(#[test]
        fn $name() {
            is_caught::<Of<$gateway>>(PropertyId::$property, $says);
        })*
    };
}

type Wrong<const MISTAKE: u8> = Mistaken<MISTAKE>;

broken! {
    looking_and_then_counting_raises_what_is_in_flight: Apart<TwoAtomics>, G2, "the work in flight rose";
    looking_and_then_counting_undoes_drained: Apart<TwoAtomics>, G3, "drained";
    taking_the_lock_twice_raises_what_is_in_flight: Apart<LockTwice>, G2, "the work in flight rose";
    taking_the_lock_twice_undoes_drained: Apart<LockTwice>, G3, "drained";
    sleeping_between_look_and_count: Apart<AwaitsSleep>, G2, "rose";
    yielding_between_look_and_count: Apart<AwaitsYield>, G2, "rose";
    an_asynchronous_lock_between_look_and_count: Apart<AwaitsLock>, G2, "rose";
    counting_in_the_spawned_task: Apart<CountsAfterSpawning>, G6, "";
    a_flag_that_each_thread_keeps: Apart<FlagOfEachThread>, G1, "admitted";
    counting_and_then_looking: Apart<CountsThenLooks>, G2, "rose";
    a_refusal_that_counts_down: Apart<RefusalCountsDown>, G6, "";
    an_end_that_forgets_a_shutdown: Wrong<{ Mistake::EndForgetsShutdown as u8 }>, S3, "shut_down ran beside";
    a_begin_that_overwrites_a_shutdown: Wrong<{ Mistake::BeginOverwritesShutdown as u8 }>, S3, "shut_down ran beside";
    an_end_that_writes_the_holders_back: Wrong<{ Mistake::EndWritesHoldersBack as u8 }>, H2, "";
    a_begin_that_writes_the_holders_back: Wrong<{ Mistake::BeginWritesHoldersBack as u8 }>, H1, "";
    a_gate_that_the_first_closes_and_the_last_opens: FirstClosesLastOpens, H1, "";
    a_begin_again_that_undoes_drained: Wrong<{ Mistake::BeginAgainUndoesDrained as u8 }>, G3, "drained";
    sleeping_without_a_second_look: Wrong<{ Mistake::SleepsAfterLooking as u8 }>, G4, "";
    drained_by_edges: Wrong<{ Mistake::DrainedOnEdges as u8 }>, G5, "";
    a_drain_by_edges_that_never_ends_for_a_waiter: Wrong<{ Mistake::DrainedOnEdges as u8 }>, G4, "";
    nobody_is_woken: Wrong<{ Mistake::NeverWakes as u8 }>, G4, "slept on";
    one_is_woken_of_many: Wrong<{ Mistake::WakesOne as u8 }>, G4, "slept on";
    woken_before_the_count: Wrong<{ Mistake::WakesBeforeTheCount as u8 }>, G4, "";
    a_permit_of_the_head_only: Wrong<{ Mistake::CountsTheHeadOnly as u8 }>, G5, "drained with 1 unfinished";
    a_stale_status: Wrong<{ Mistake::StaleStatus as u8 }>, G6, "";
    abandoned_work_that_underflows: Wrong<{ Mistake::AbandonedUnderflows as u8 }>, G6, "";
    counting_down_twice: Wrong<{ Mistake::CountsDownTwice as u8 }>, G6, "";
    a_leak_in_a_drain: Wrong<{ Mistake::LeaksInADrain as u8 }>, G6, "";
    a_drain_that_resets_the_count: Wrong<{ Mistake::DrainResetsTheCount as u8 }>, G6, "";
    one_less_when_closed: Wrong<{ Mistake::OneLessWhenClosed as u8 }>, G5, "drained with 1 unfinished";
    a_closing_that_is_seen_late: Wrong<{ Mistake::ClosesLate as u8 }>, G1, "";
    a_stop_that_leaves_one: Wrong<{ Mistake::StopLeavesOne as u8 }>, S5, "";
    a_forced_stop_that_reads_first: Wrong<{ Mistake::ForceReadsFirst as u8 }>, G6, "force_stop ran beside";
    an_internal_entrance_that_is_not_sealed: Wrong<{ Mistake::InternalUnsealed as u8 }>, G3, "internal work was admitted";
    internal_work_among_the_turns: Wrong<{ Mistake::InternalCountsAsTurns as u8 }>, G2, "";
    queued_work_that_is_not_in_flight: Wrong<{ Mistake::QueuedIsNotInFlight as u8 }>, G2, "rose";
    a_wait_for_drained_that_is_never_reset: Wrong<{ Mistake::DrainedIsLatched as u8 }>, G4, "";
    a_drain_that_forgets_what_turns_hand_on: Wrong<{ Mistake::DrainedWithoutInternal as u8 }>, G3, "";
    a_stop_over_internal_work: Wrong<{ Mistake::StopsOverInternal as u8 }>, S5, "";
    a_reopening_that_resets_the_count: Wrong<{ Mistake::EndResetsTheCount as u8 }>, G6, "";
    a_count_in_a_byte: Wrong<{ Mistake::CountsInAByte as u8 }>, G6, "";
    a_closing_that_waits_for_work: ClosingWaitsForReaders, S1, "has not returned in 20 s with ";
    a_status_that_takes_a_handle: StatusTakesAHandle, G3, "";
    a_count_read_before_the_state: CountBeforeState, G3, "";
    a_drain_told_before_all_shards_are_closed: TellsBeforeAllShardsClose, G2, "";
    a_count_read_and_written: ReadsAndWrites, G6, "";
    a_count_of_each_thread: CountOfEachThread, G5, "";
    tickets_in_batches: TicketsInBatches, G1, "admitted after begin(a)";
}

macro_rules! correct {
    ($($name:ident: $gateway:ty;)*) => {
        $(#[test]
        fn $name() {
            is_not_accused::<Of<$gateway, 5>>();
        })*
    };
}

correct! {
    one_word_is_not_accused: OneWord;
    one_lock_is_not_accused: OneLock;
    readers_and_writer_are_not_accused: ReadersAndWriter;
    shards_are_not_accused: Shards;
    an_actor_is_not_accused: Actor;
    a_gateway_with_room_for_four_is_not_accused: Bounded;
    a_semaphore_of_many_slots_is_not_accused: Slots;
    an_asynchronous_gateway_is_not_accused: Asynchronous;
    handles_are_not_accused: Handles;
    two_entrances_are_not_accused: TwoEntrances;
    a_sequence_lock_is_not_accused: Sequence;
}
