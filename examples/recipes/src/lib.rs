//! What the recipes have in common: their command line.

/// The home, where to listen, and what else there is (where another server is to be found).
///
/// # Panics
/// One of them is missing.
#[must_use]
pub fn arguments<const COUNT: usize>() -> [String; COUNT] {
    let given: Vec<String> = std::env::args().skip(1).collect();
    given.try_into().unwrap_or_else(|given| panic!("{COUNT} arguments are wanted: a home and addresses, not {given:?}"))
}

/// What the recipe for tonic sends and answers.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Turn {
    /// What is to be done, and what was done.
    #[prost(string, tag = "1")]
    pub text: String,
}
