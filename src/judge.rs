//! The judges: they tell whether a gateway keeps the [properties](crate::properties). None is needed to run a gateway.
//!
//! Their readers are other people than those of the rest of the crate: authors of gateways of their own. There are three,
//! for three ways to look at a gateway. [`conformance`] calls a gateway written in Rust, in its process; [`probe`] drives a
//! running one of any language from outside; [`trace`] reads what one has written down. They share the numbers and
//! sentences of the properties, the transition table, and what a verdict may say: *kept* means that nothing against it was
//! found within the bounds that are told, *broken* comes with what was done and seen, and what was not looked at is never
//! counted as kept. They share no code that looks at a gateway, and rely on nothing of the gate.
//!
//! They are reached as `gateway_drain::conformance`, `gateway_drain::probe` and `gateway_drain::trace::check`. The writer of
//! traces is no judge: it is [`crate::trace`].

#[cfg(feature = "conformance")]
pub mod conformance;

#[cfg(feature = "probe")]
pub mod probe;

#[cfg(feature = "trace-check")]
pub mod trace;
