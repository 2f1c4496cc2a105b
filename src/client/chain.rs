//! Which writes belong together: the one that began a hold, and its renewals.

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
}
