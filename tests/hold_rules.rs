//! The rules of the hold set that its states alone don't show: whose hold it is, and what each moment is the edge of.
//!
//! Pure: no file, no thread, and time is a number.

use gateway_drain::gate::Generation;
use gateway_drain::hold::{Denied, Facts, HoldEvent, HoldSet, Incarnation, LeasePolicy, Outcome};
use gateway_drain::{Controller, Request, RequestId};
use std::time::Duration;

const fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn id(name: &str) -> RequestId {
    RequestId::new(name).expect("a sound name")
}

/// The generation that a new gateway has.
fn first_generation() -> Generation {
    Controller::new().gate().reading().generation
}

fn drained(incarnation: &Incarnation) -> Facts<'_> {
    Facts { incarnation, generation: first_generation(), drained: true, shutting_down: false }
}

#[test]
fn a_hold_that_was_found_without_content_belongs_to_the_first_who_names_an_owner() {
    let incarnation = Incarnation::fresh();
    let mut holds = HoldSet::new(LeasePolicy::default());
    // What a look that fails makes of a file: a hold that nobody has.
    let mut unreadable = Request::begin(id("upgrade"), "");
    unreadable.nonce = None;
    assert_eq!(holds.apply(&unreadable, &drained(&incarnation), at(0)).0, Outcome::Held);

    let begin = Request::begin(id("upgrade"), "ops");
    let (outcome, change) = holds.apply(&begin, &drained(&incarnation), at(1));
    assert_eq!(outcome, Outcome::Held, "the next look succeeds, and the hold is its owner's");
    assert_eq!(change.map(|change| (change.owner, change.what)), Some(("ops".into(), HoldEvent::Renewed)));

    let commit = Request::commit(id("upgrade"), "ops", incarnation.clone(), first_generation());
    assert_eq!(holds.apply(&commit, &drained(&incarnation), at(2)).0, Outcome::Committed);
    let other = Request::begin(id("upgrade"), "bot");
    let refused = holds.apply(&other, &drained(&incarnation), at(3)).0;
    assert_eq!(refused, Outcome::Refused(Denied::NotYours), "it is nobody's only once");
}
