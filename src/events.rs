//! An event at every decision, through `tracing`.
//!
//! It observes the controller and relies on nothing else; the subscriber is the application's. The endpoint's events
//! stand beside its audit trail, in `http/audit.rs`.

use crate::Controller;
use crate::controller::{Change, Observation};
use crate::hold::{Ending, HoldEvent, Incarnation};

const TARGET: &str = "gateway_drain";

/// Tells `tracing` of every change of this gateway from now on: the moves of its state, its holds, an interruption.
///
/// The subscriber runs on a thread of its own, as [every observer](Controller::observe): one that writes into a full pipe
/// holds up nothing (L5). It is the one that is the default here and now or, if there is none yet, the global default.
///
/// ```
/// use gateway_drain::{Controller, events};
///
/// let controller = Controller::new();
/// events::observe(&controller);
/// ```
pub fn observe(controller: &Controller) -> Observation {
    let incarnation = controller.incarnation().clone();
    let subscriber = tracing::dispatcher::get_default(Clone::clone);
    controller.observe(move |change| {
        if subscriber.is::<tracing::subscriber::NoSubscriber>() {
            tell(change, &incarnation);
        } else {
            tracing::dispatcher::with_default(&subscriber, || tell(change, &incarnation));
        }
    })
}

fn tell(change: &Change, incarnation: &Incarnation) {
    match change {
        Change::Moved { from, event, reading } => tracing::info!(
            target: TARGET,
            %incarnation,
            from = from.as_str(),
            to = reading.state.as_str(),
            cause = ?event,
            generation = %reading.generation,
            in_flight = reading.in_flight,
            internal = reading.internal,
            drained = reading.drained,
            abandoned = reading.abandoned,
            "the state moved"
        ),
        Change::Hold(hold) => {
            let (id, owner, by) = (hold.id.as_str(), &*hold.owner, &*hold.by);
            match hold.what {
                // Somebody's hold went without their doing: somebody ought to look.
                HoldEvent::Ended(Ending::Expired | Ending::Overridden) => {
                    tracing::warn!(target: TARGET, %incarnation, id, owner, by, what = ?hold.what, "a hold ended");
                }
                what => tracing::info!(target: TARGET, %incarnation, id, owner, by, ?what, "a hold changed"),
            }
        }
        Change::Interrupted(reading) => tracing::warn!(
            target: TARGET,
            %incarnation,
            in_flight = reading.in_flight,
            internal = reading.internal,
            "the shutdown's deadline passed, and the work in flight was asked to give up"
        ),
    }
}

/// A request that the gate turned away.
#[cfg(feature = "tower")]
pub(crate) fn refused(refusal: crate::Refusal, method: &str) {
    tracing::debug!(target: TARGET, why = refusal.word(), method, "a request was refused");
}
