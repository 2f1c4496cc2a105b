//! Which hold a controller has in hand, and which writes belong to it.

use super::Failure;
use crate::hold::Nonce;

/// The writes that one begin began: its own, and those of controllers that attached to it. Every nonce of them begins with the same
/// name, so that a withdrawal can show that what it ends is what was begun, and not what another began under the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chain(String);

impl Chain {
    /// What stands between the chain's name and a write's own.
    const SEPARATOR: char = '.';

    pub(super) fn new() -> Self {
        Self(Nonce::fresh().to_string())
    }

    /// That of this write.
    pub(super) fn of(nonce: &Nonce) -> Self {
        let name = nonce.as_str().split(Self::SEPARATOR).next().unwrap_or_default();
        // One that nobody of ours made may be of any length, and what is made of it has to be short enough.
        Self(name.chars().take(64).collect())
    }

    /// The nonce of another write of the chain.
    pub(super) fn next(&self) -> Nonce {
        Nonce::from(format!("{}{}{}", self.0, Self::SEPARATOR, Nonce::fresh()))
    }

    pub(super) fn has(&self, nonce: Option<&Nonce>) -> bool {
        nonce.is_some_and(|nonce| Self::of(nonce) == *self)
    }
}

/// The hold that a controller has in hand. What it renews, commits and withdraws is this one, and no other that was begun
/// since under the same name.
#[derive(Clone, Debug)]
pub(super) struct InHand {
    pub(super) chain: Chain,
    /// When the gateway first saw it, which no other hold of its name shares; none until that is known.
    pub(super) first_seen: Option<u64>,
    /// The newest write of it that the controller knows.
    pub(super) last: Option<Nonce>,
    /// The newest one of its own.
    pub(super) written: Option<Nonce>,
}

impl InHand {
    /// One that is to begin.
    pub(super) fn new() -> Self {
        Self { chain: Chain::new(), first_seen: None, last: None, written: None }
    }

    /// Whether a hold that the gateway first saw then, and whose last write this is, is the one in hand: one of its chain, or
    /// one that another hand has renewed.
    pub(super) fn is(&self, nonce: Option<&Nonce>, first_seen: Option<u64>) -> bool {
        self.chain.has(nonce) || (self.first_seen.is_some() && self.first_seen == first_seen)
    }
}

/// Why a hold is not in hand any more, although one of its name and owner stands there.
pub(super) fn another() -> Failure {
    Failure::LeaseLost("the hold has ended, and its owner has begun another one under the same name".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_knows_its_own_writes_and_no_others() {
        let chain = Chain::new();
        let (first, second) = (chain.next(), chain.next());
        assert_ne!(first, second);
        assert!(chain.has(Some(&first)) && Chain::of(&first).has(Some(&second)));
        assert!(!chain.has(Some(&Chain::new().next())) && !chain.has(None));
        assert!(Chain::of(&Nonce::from("x".repeat(256))).next().as_str().len() <= 128);
    }

    #[test]
    fn a_hold_is_in_hand_by_its_chain_or_by_when_it_was_first_seen() {
        let begun = InHand::new();
        let (ours, other) = (begun.chain.next(), Nonce::fresh());
        let known = InHand { first_seen: Some(7), ..begun.clone() };
        for (in_hand, nonce, first_seen, expected) in [
            (&begun, Some(&ours), None, true),
            (&begun, Some(&other), Some(7), false),
            (&begun, None, None, false),
            (&known, Some(&ours), Some(8), true),
            (&known, Some(&other), Some(7), true),
            (&known, Some(&other), Some(8), false),
            (&known, Some(&other), None, false),
            (&known, None, Some(7), true),
        ] {
            assert_eq!(in_hand.is(nonce, first_seen), expected, "{in_hand:?} {nonce:?} {first_seen:?}");
        }
    }
}
