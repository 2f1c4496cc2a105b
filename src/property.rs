//! The properties of a gateway that drains, by their numbers.
//!
//! Relies on nothing. The trace checker and the probe name what they saw kept or broken by these numbers and sentences.

use core::fmt;

/// One property. Its sentence says what every correct gateway keeps.
///
/// ```
/// use gateway_drain::property::Property;
///
/// assert_eq!(Property::G2.to_string(), "G2");
/// assert_eq!(Property::G2.sentence(), "active work never rises while draining");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is told by its sentence")]
pub enum Property {
    S1,
    S2,
    S3,
    S4,
    S5,
    S6,
    G1,
    G2,
    G3,
    G4,
    G5,
    G6,
    H1,
    H2,
    H3,
    H4,
    H5,
    C1,
    C2,
    C3,
    C4,
    C5,
    C6,
    E1,
    E2,
    L1,
    L2,
    L3,
    L4,
}

/// The sentences, in the order of the numbers.
const SENTENCES: [(Property, &str); 29] = {
    use Property::{
        C1, C2, C3, C4, C5, C6, E1, E2, G1, G2, G3, G4, G5, G6, H1, H2, H3, H4, H5, L1, L2, L3, L4, S1, S2, S3, S4, S5,
        S6,
    };
    [
        (S1, "only the table's transitions exist"),
        (S2, "every event is idempotent"),
        (S3, "a shutdown wins over every drain, and there is no way back"),
        (S4, "stopped is final"),
        (S5, "a gateway stops with work left only by force, and says how much it abandoned"),
        (S6, "the status shows running only if the gate admits"),
        (G1, "nothing is admitted once a closing call has returned"),
        (G2, "active work never rises while draining"),
        (G3, "drained stays true until the drain ends"),
        (G4, "each drain has a generation of its own, and nobody takes one for another"),
        (G5, "what finished work wrote is seen by whoever saw drained"),
        (G6, "what was admitted is finished, abandoned or in flight"),
        (H1, "the gate is closed if and only if a live hold or a shutdown closes it"),
        (H2, "the end of one hold never frees another"),
        (H3, "the hold of a dead controller ends with its lease"),
        (H4, "after the commit nobody else's act ends the hold"),
        (H5, "a step of the clock changes no lease"),
        (C1, "no reader sees a torn file"),
        (C2, "a crash at any step leaves an allowed state"),
        (C3, "a request of another epoch is ignored, and said to be"),
        (C4, "nothing that can stand in a file makes a read fail, hang or open the gate"),
        (C5, "a gateway that starts under a live hold admits nothing"),
        (C6, "an acknowledgement is the gateway's own, for this request and this incarnation"),
        (E1, "from the grant of a commit until its hold ends no turn is in flight"),
        (E2, "a dead or unreachable gateway is never reported as drained"),
        (L1, "a shutdown ends in stopped"),
        (L2, "when the last hold ends, the gateway runs again unless it is shutting down"),
        (L3, "stopped can be reached from every state"),
        (L4, "a stuck turn can't hold a shutdown past its deadline"),
    ]
};

impl Property {
    /// All of them, in the order of their numbers.
    pub fn all() -> impl Iterator<Item = Self> {
        SENTENCES.iter().map(|(property, _)| *property)
    }

    /// What every correct gateway keeps.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        SENTENCES[self as usize].1
    }
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
