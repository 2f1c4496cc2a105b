//! The defects of the reference system, each with the seeds that re-create it, or with why none does.
//!
//! A seed that is planted in the source names its defect too, behind "In the field:"; a test compares the two.

/// One defect, or several reports of one.
pub struct Incident {
    /// Its numbers or, of a defect without one, its name. A seed names it by the part in front of the first comma.
    pub reference: &'static str,
    /// What happened.
    pub what: &'static str,
    /// What shows that it can't happen here.
    pub answer: Answer,
}

/// What shows it.
pub enum Answer {
    /// The seeds that re-create it.
    Seeds(&'static [&'static str]),
    /// It has nothing to be planted in, and why.
    None(&'static str),
}

use Answer::{None, Seeds};

const fn incident(reference: &'static str, what: &'static str, answer: Answer) -> Incident {
    Incident { reference, what, answer }
}

/// All of them.
pub const INCIDENTS: [Incident; 27] = [
    incident(
        "NS-570, #53050",
        "the marker outlived the update it had asked for, and refused for 52 minutes",
        Seeds(&["earlier-boot-is-obeyed", "AnyEpoch"]),
    ),
    incident(
        "#85433, #85444",
        "the controller died without cancelling, and three days were refused",
        Seeds(&["lease-never-ends", "time-ends-no-lease", "LeaseNeverEnds"]),
    ),
    incident(
        "the TTL by wall clock",
        "a clock step reopened admission in mid-action, and a future timestamp never expired",
        Seeds(&["committed-hold-expires", "insane-age-ends-a-lease", "CommittedLeaseRunsOut", "LeaseOnTheWallClock"]),
    ),
    incident(
        "#52359",
        "the status stuck at draining after a wake",
        Seeds(&["state-follows-nothing", "StatusIsLastWriterWins", "StaysClosed"]),
    ),
    incident(
        "#54658, #55397",
        "a gateway was killed in mid-drain, and its successor took draining for its own wish",
        Seeds(&["restart-inherits-calls"]),
    ),
    incident(
        "#63529, #63891, #82379, #59812, #104259",
        "work of other kinds was neither gated nor counted",
        Seeds(&["drained-forgets-internal"]),
    ),
    incident("#69143", "marker and status had different roots", Seeds(&["status-has-another-root"])),
    incident(
        "#71758, #72366, #87776",
        "the watcher died silently; then two of them ran",
        Seeds(&["watcher-dies", "lock-is-shared"]),
    ),
    incident(
        "#77184",
        "a drain waited for the very turn that had asked for it",
        None(
            "no guard of the gate's: it counts permits, and a controller that drains from within a turn gives its own back first",
        ),
    ),
    incident(
        "#66892, #93711",
        "a frozen event loop, or one wedged turn, pinned the restart for 26 h",
        Seeds(&["shutdown-never-forced", "slow-disk-holds-up-a-shutdown", "NeverForced"]),
    ),
    incident(
        "#99884, #100095",
        "a read of the marker stalled the event loop for 30 s",
        Seeds(&["pipe-slips-in", "waits-for-ever"]),
    ),
    incident(
        "75736cd3a, #103906",
        "a turn counted twice, and the count stayed up after work had ended",
        Seeds(&["owned-permit-leaks"]),
    ),
    incident(
        "#108496, #108503",
        "two writers of one status lost each other's updates",
        Seeds(&["publishes-without-the-lock"]),
    ),
    incident("#108729, #109629", "an update waited for 1,875 s in silence", Seeds(&["waits-in-silence"])),
    incident("#112750", "a stop killed the process before the marker had been seen", Seeds(&["NoNonce"])),
    incident(
        "#113233",
        "queued was acknowledged although the message had been dropped",
        Seeds(&["answers-of-the-past", "EndpointReadsTheFile"]),
    ),
    incident(
        "#115133",
        "a run read running for the whole drain",
        Seeds(&["status-never-changes", "status-runs-while-draining"]),
    ),
    incident(
        "the latent defect of the unreadable marker",
        "a marker of unreadable content failed open, and one that may not be read counted as absent",
        Seeds(&[
            "irregular-file-is-absent",
            "what-may-not-be-read-is-absent",
            "unreadable-holds-nothing",
            "UnreadableIsAbsent",
        ]),
    ),
    incident(
        "the latent defect of the shared drain",
        "a cancel removed another controller's drain, and a second begin overwrote the first",
        Seeds(&["anybody-withdraws", "anybody-renews", "WithdrawalEndsAll"]),
    ),
    incident(
        "the latent defect of the careless endpoint",
        "a truncated or misspelt body began a drain, and other JSON was a 500",
        Seeds(&["body-without-an-action-begins"]),
    ),
    incident(
        "the latent defect of the deaf cancel",
        "a cancel that could not remove the marker was answered 200",
        Seeds(&["failed-cancel-is-a-success"]),
    ),
    incident(
        "the latent defect of the stale status",
        "a failed write or a missing file left the published state wrong for the rest of the drain",
        Seeds(&["lost-status-stands"]),
    ),
    incident(
        "the latent defect of the late turn",
        "a queued message or an internal event started a turn although the gateway drained, even after the count was 0",
        Seeds(&["refuses-nobody-while-draining", "internal-not-sealed", "AdmitsWhileDraining", "InternalIsNotSealed"]),
    ),
    incident(
        "the latent defect of the late look",
        "at start-up the marker was read after restored turns had run",
        Seeds(&["starts-without-a-look", "AdmitsBeforeTheLook"]),
    ),
    incident(
        "the latent defect of the early count",
        "between the request and the next tick the status said running with nothing in flight, and a controller acted",
        Seeds(&["NoNonce"]),
    ),
    incident(
        "the latent defect of the second-hand answer",
        "the endpoint's draining was its own reading of the file",
        Seeds(&["EndpointReadsTheFile"]),
    ),
    incident(
        "the latent defect of the idle gateway",
        "gateway_busy was false while draining with turns in flight",
        None("kept, since it is on the wire: docs/decisions/0005-gateway-busy.md"),
    ),
];
