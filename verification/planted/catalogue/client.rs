//! Sown in the client: what a controller may conclude from a status and from an answer over HTTP.

use super::super::PropertyId::*;
use super::Check::Unit;
use super::Seed;

const ALL_THAT_MAY_BE_AMISS: super::Check =
    Unit("client::watch::tests::drained_is_concluded_when_nothing_is_amiss_and_in_none_of_the_other_511_cases");
const EACH_THING_AMISS: super::Check = Unit("client::watch::tests::each_thing_amiss_has_a_meaning_of_its_own");
const FOREIGN_ANSWERS: super::Check =
    Unit("client::answer::tests::no_code_is_more_than_silence_without_the_endpoints_own_word");
const STATUSES: super::Check =
    Unit("client::files::tests::only_a_fresh_status_of_the_living_process_in_this_epoch_is_a_sight");

/// The seeds.
pub const SEEDS: &[Seed] = &[
    Seed {
        id: "another-process-is-the-one-that-was-watched",
        breaks: &[E2],
        bug: "A controller takes the process that lives there now for the one that its wait began with.",
        file: "client/watch.rs",
        within: "(bound != live).then(|| Verdict::Over(changed()))",
        find: "(bound != live).then(|| Verdict::Over(changed()))",
        replace: "None::<Verdict>",
        check: EACH_THING_AMISS,
    },
    Seed {
        id: "any-write-is-the-controllers-own",
        breaks: &[E2, C6],
        bug: "A controller takes the answer to an earlier write for the answer to its own.",
        file: "client/watch.rs",
        within: "written.nonces.contains(nonce)",
        find: "written.nonces.contains(nonce)",
        replace: "true",
        check: ALL_THAT_MAY_BE_AMISS,
    },
    Seed {
        id: "a-hold-begun-again-is-the-same",
        breaks: &[E2],
        bug: "A controller doesn't notice that its hold ended and began again.",
        file: "client/watch.rs",
        within: "younger || reopened",
        find: "younger || reopened",
        replace: "reopened",
        check: EACH_THING_AMISS,
    },
    Seed {
        id: "a-later-drain-is-the-one-that-was-waited-for",
        breaks: &[E2],
        bug: "A controller doesn't notice that the gate has been open meanwhile.",
        file: "client/watch.rs",
        within: "younger || reopened",
        find: "younger || reopened",
        replace: "younger",
        check: EACH_THING_AMISS,
    },
    Seed {
        id: "drained-in-any-state",
        breaks: &[E2],
        bug: "A controller takes a drained gate for drained although it is not in a drain, or the hold doesn't close it yet.",
        file: "client/watch.rs",
        within: "view.drained && view.state == DrainState::ExternalDraining && !hold.pending",
        find: "view.drained && view.state == DrainState::ExternalDraining && !hold.pending",
        replace: "view.drained",
        check: ALL_THAT_MAY_BE_AMISS,
    },
    Seed {
        id: "closed-is-drained",
        breaks: &[E2],
        bug: "A controller takes a closed gate for a drained one.",
        file: "client/watch.rs",
        within: "view.drained && view.state == DrainState::ExternalDraining && !hold.pending",
        find: "view.drained && view.state == DrainState::ExternalDraining && !hold.pending",
        replace: "view.state == DrainState::ExternalDraining && !hold.pending",
        check: ALL_THAT_MAY_BE_AMISS,
    },
    Seed {
        id: "every-answer-but-a-clients-error-is-a-yes",
        breaks: &[C6, E2],
        bug: "A client takes every answer whose code is not one of 400 to 499 for a yes.",
        file: "client/answer.rs",
        within: "matches!(self.code, 200 | 202)",
        find: "matches!(self.code, 200 | 202)",
        replace: "!(400..500).contains(&self.code)",
        check: FOREIGN_ANSWERS,
    },
    Seed {
        id: "a-proxys-word-is-the-endpoints",
        breaks: &[C6],
        bug: "A client takes a body that a proxy wrote for the endpoint's own.",
        file: "client/answer.rs",
        within: "is_problem || OF_THE_REFERENCE.contains(&(self.code, word, detail))",
        find: "is_problem || OF_THE_REFERENCE.contains(&(self.code, word, detail))",
        replace: "true",
        check: FOREIGN_ANSWERS,
    },
    Seed {
        id: "the-status-of-the-dead-is-believed",
        breaks: &[E2, C6],
        bug: "A client takes the status that an earlier process left for that of the living one.",
        file: "client/files.rs",
        within: "if status.incarnation != live {\n            return GatewayView::Starting(live);",
        find: "status.incarnation != live",
        replace: "false",
        check: STATUSES,
    },
    Seed {
        id: "a-frozen-gateways-status-is-believed",
        breaks: &[E2, C8],
        bug: "A client takes a status for the gateway's word however long nothing newer has been published.",
        file: "client/files.rs",
        within: "if let Some(age) = overdue(&status) {",
        find: "overdue(&status)",
        replace: "None::<Duration>",
        check: STATUSES,
    },
    Seed {
        id: "a-gateway-of-another-epoch-is-believed",
        breaks: &[C3, C6],
        bug: "A client waits for a gateway that honours nothing of what it writes.",
        file: "client/files.rs",
        within: "if status.epoch.differs_from(&Epoch::current()) {\n            return GatewayView::Over(",
        find: "status.epoch.differs_from(&Epoch::current())",
        replace: "false",
        check: STATUSES,
    },
];
