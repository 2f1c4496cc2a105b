//! What a gateway promises: every property, with its number and its sentence.
//!
//! By these numbers the properties are cited in code, tests and documents. The list is written here and nowhere else: the
//! names of the conformance suite's tests come from it, and so do the tables in `docs/`. What shows in two looks at a gateway
//! has its one meaning in [`steps`](crate::steps). It relies on nothing.

use core::fmt;
use serde::{Deserialize, Serialize};

/// One promise.
///
/// ```
/// use gateway_drain::properties::PropertyId;
///
/// let property = PropertyId::G1.property();
/// assert_eq!(property.to_string(), "G1 no admission after a closing call has returned");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Property {
    /// Its number.
    pub id: PropertyId,
    /// What is promised, as a sentence without capital and full stop.
    pub sentence: &'static str,
    /// What it is about.
    pub kind: Kind,
}

/// What a property is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The state machine.
    State,
    /// Admission and the counts.
    Gate,
    /// Who keeps the gate closed, and for how long.
    Holds,
    /// The files.
    Channel,
    /// What a controller may rely on, through everything in between.
    EndToEnd,
    /// That what should happen does happen.
    Liveness,
}

macro_rules! properties {
    ($($id:ident $kind:ident $sentence:literal,)*) => {
        /// The number of a property.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum PropertyId {
            $(#[doc = concat!($sentence, ".")] $id,)*
        }

        /// All properties, in the order of their numbers.
        pub const PROPERTIES: &[Property] =
            &[$(Property { id: PropertyId::$id, sentence: $sentence, kind: Kind::$kind },)*];

        impl PropertyId {
            /// Its number and its sentence, as a check that fails prints them.
            #[must_use]
            pub const fn claim(self) -> &'static str {
                match self {
                    $(Self::$id => concat!(stringify!($id), ": ", $sentence),)*
                }
            }
        }
    };
}

properties! {
    S1 State "only the table's transitions exist",
    S2 State "every event is idempotent",
    S3 State "a shutdown wins: nothing leads from it to running or to an external drain",
    S4 State "stopped is final",
    S5 State "stopped with work left only if forced, and then the number abandoned is recorded",
    S6 State "the status shows running only if the gate admits",
    G1 Gate "no admission after a closing call has returned",
    G2 Gate "active work never rises while draining",
    G3 Gate "drained stays true until the drain ends",
    G4 Gate "no wake-up is lost, and a waiter completes only for its own generation",
    G5 Gate "who saw drained sees what finished work wrote, and who enters next what was written meanwhile",
    G6 Gate "admitted is finished plus abandoned plus in flight, without under- or overflow",
    H1 Holds "closed if and only if a live hold or a shutdown exists",
    H2 Holds "withdrawing one hold never frees another",
    H3 Holds "before commit a dead controller's hold ends with its lease",
    H4 Holds "after commit nobody else's act reopens",
    H5 Holds "a clock step changes no lease",
    C1 Channel "no reader sees a torn file",
    C2 Channel "a crash at any micro-step leaves an allowed state",
    C3 Channel "another epoch's request is ignored, and said to be",
    C4 Channel "no content, kind, size or permission of a file makes a read fail, hang or open the gate",
    C5 Channel "a gateway that starts under a live hold admits nothing",
    C6 Channel "an acknowledgement is from the gateway, for this request and this incarnation",
    C7 Channel "nobody's write ends, hides or takes over another's live hold",
    C8 Channel "a status that lies in the home is true as of its own time, or is not there",
    E1 EndToEnd "from a granted commit until its own withdrawal, an override or a new epoch no turn is in flight",
    E2 EndToEnd "a dead or unreachable gateway is never reported drained",
    E3 EndToEnd "a granted commit can be ended by its owner as long as the owner's disk lives",
    E4 EndToEnd "of a fleet with a budget of k at most k gateways are closed by its controllers at any time, whatever crashes, restarts or is cut off",
    L1 Liveness "a shutdown ends in stopped",
    L2 Liveness "when the last hold ends, the gateway runs again unless it is shutting down",
    L3 Liveness "from every state stopped can be reached",
    L4 Liveness "a stuck turn can't hold a shutdown past its deadline",
    L5 Liveness "between a signal, a deadline or a marker and its effect stands no code of the application and no reader of its logs",
    L6 Liveness "while a fleet's engine answers and no holder of a slot is dead, everybody who waits for a slot gets one",
}

impl PropertyId {
    /// All of them, in their order.
    pub fn all() -> impl Iterator<Item = Self> {
        PROPERTIES.iter().map(|property| property.id)
    }

    /// What is promised.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        self.property().sentence
    }

    /// The property of this number.
    #[must_use]
    pub const fn property(self) -> &'static Property {
        &PROPERTIES[self as usize]
    }
}

impl fmt::Display for PropertyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl Property {
    /// Whether calls on the gateway alone can show that it is broken. What concerns files, other processes or the code around
    /// the gateway is shown by other means.
    #[must_use]
    pub const fn shows_in_calls(&self) -> bool {
        !matches!(self.kind, Kind::Channel | Kind::EndToEnd) && !matches!(self.id, PropertyId::L5 | PropertyId::L6)
    }
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.id, self.sentence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_begins_with_the_letter_of_its_kind() {
        for property in PROPERTIES {
            let letter = match property.kind {
                Kind::State => 'S',
                Kind::Gate => 'G',
                Kind::Holds => 'H',
                Kind::Channel => 'C',
                Kind::EndToEnd => 'E',
                Kind::Liveness => 'L',
            };
            assert!(property.id.to_string().starts_with(letter), "{property}");
            assert_eq!(property.id.property(), property);
        }
    }
}
