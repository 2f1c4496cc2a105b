//! What a gateway may not do from one moment to the next: the one executable meaning of those properties that show in two
//! looks at one process. The conformance suite, the trace checker, the protocol's model and the models of races judge by it.

use crate::properties::PropertyId;
use crate::state::DrainState;

/// A gateway at a moment, as an observer sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Where it stands.
    pub state: DrainState,
    /// Which drain: moments behind a closed gate with the same number belong to one drain.
    pub drain: u64,
    /// Work in flight that came in from outside; all of it, for an observer that can't tell it from internal work.
    pub turns: u64,
    /// Other work in flight.
    pub internal: u64,
    /// Whether it says that it is drained.
    pub drained: bool,
    /// Whether it says that it was stopped by force with work in flight.
    pub abandoned: bool,
}

impl Moment {
    const fn shares_drain(&self, later: &Self) -> bool {
        self.drain == later.drain && !self.state.admits() && !later.state.admits()
    }
}

/// The properties that show in one moment or in two, in the order in which they are looked at.
pub const SHOWN: [PropertyId; 5] = [PropertyId::S4, PropertyId::S3, PropertyId::S5, PropertyId::G2, PropertyId::G3];

/// Whether a property is kept from one moment of a process to a later one, with nothing seen in between. One that doesn't
/// show so is kept.
///
/// ```
/// use gateway_drain::DrainState;
/// use gateway_drain::properties::PropertyId::{G2, G3};
/// use gateway_drain::steps::{Moment, keeps};
///
/// let before = Moment {
///     state: DrainState::ExternalDraining,
///     drain: 1,
///     turns: 1,
///     internal: 0,
///     drained: false,
///     abandoned: false,
/// };
/// let rose = Moment { turns: 2, ..before };
/// assert!(!keeps(G2, &before, &rose));
/// assert!(keeps(G3, &before, &rose));
/// // In another drain it is other work.
/// assert!(keeps(G2, &before, &Moment { drain: 2, ..rose }));
/// ```
#[must_use]
pub const fn keeps(property: PropertyId, before: &Moment, after: &Moment) -> bool {
    match property {
        PropertyId::S3 => !matches!(before.state, DrainState::ShutdownDraining) || after.state.is_ending(),
        PropertyId::S4 => !matches!(before.state, DrainState::Stopped) || matches!(after.state, DrainState::Stopped),
        PropertyId::S5 => {
            let left = after.turns + after.internal;
            !matches!(after.state, DrainState::Stopped) || left == 0 || after.abandoned
        }
        PropertyId::G2 => !before.shares_drain(after) || after.turns <= before.turns,
        PropertyId::G3 => {
            let truly = !after.drained || after.turns + after.internal == 0;
            truly && (!before.drained || !before.shares_drain(after) || after.drained)
        }
        _ => true,
    }
}

/// The first property that is broken from one moment of a process to a later one.
#[must_use]
pub fn broken(before: &Moment, after: &Moment) -> Option<PropertyId> {
    SHOWN.into_iter().find(|property| !keeps(*property, before, after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use PropertyId::{G2, G3, S3, S4, S5};

    const CLOSED: Moment = Moment {
        state: DrainState::ExternalDraining,
        drain: 1,
        turns: 0,
        internal: 0,
        drained: true,
        abandoned: false,
    };

    #[test]
    fn each_property_is_broken_by_what_its_sentence_forbids_and_by_nothing_next_to_it() {
        let shutdown = Moment { state: DrainState::ShutdownDraining, ..CLOSED };
        let stopped = Moment { state: DrainState::Stopped, ..CLOSED };
        let running = Moment { state: DrainState::Running, drained: false, ..CLOSED };
        let busy = Moment { turns: 2, drained: false, ..CLOSED };
        let rows = [
            (CLOSED, CLOSED, None),
            (CLOSED, running, None),
            (running, busy, None),
            (CLOSED, shutdown, None),
            (shutdown, stopped, None),
            (shutdown, CLOSED, Some(S3)),
            (shutdown, running, Some(S3)),
            (stopped, shutdown, Some(S4)),
            (stopped, running, Some(S4)),
            (busy, Moment { state: DrainState::Stopped, ..busy }, Some(S5)),
            (busy, Moment { state: DrainState::Stopped, abandoned: true, ..busy }, None),
            (busy, Moment { turns: 1, ..busy }, None),
            (busy, Moment { turns: 3, ..busy }, Some(G2)),
            (busy, Moment { turns: 3, drain: 2, ..busy }, None),
            (busy, Moment { internal: 1, ..busy }, None),
            (CLOSED, Moment { drained: false, ..CLOSED }, Some(G3)),
            (CLOSED, Moment { drained: false, internal: 1, ..CLOSED }, Some(G3)),
            (CLOSED, Moment { drained: false, drain: 2, ..CLOSED }, None),
            (busy, Moment { turns: 1, ..CLOSED }, Some(G3)),
            (busy, Moment { internal: 1, ..CLOSED }, Some(G3)),
        ];
        for (before, after, expected) in rows {
            assert_eq!(broken(&before, &after), expected, "{before:?} to {after:?}");
        }
    }

    #[test]
    fn what_can_not_show_in_two_looks_is_never_broken_by_them() {
        for property in PropertyId::all().filter(|property| !SHOWN.contains(property)) {
            assert!(keeps(property, &CLOSED, &Moment { turns: 7, ..CLOSED }), "{property}");
        }
    }
}
