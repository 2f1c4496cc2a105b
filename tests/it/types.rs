//! What the types promise at compile time: who may be sent where, who can be copied, and what a permit costs.

use gateway_drain::controller::WaitStopped;
use gateway_drain::gate::{
    Generation, Interrupted, LabelledPermit, Reading, Until, WaitAdmitted, WaitClosing, WaitDrained, WaitOpened,
};
use gateway_drain::{
    AnyLifecycle, Channel, Controller, Drained, ExternalDraining, Gate, Hold, HoldSet, Home, Lifecycle, OwnedPermit,
    Permit, Reconciler, Refusal, Running, ShutdownDraining, Snapshot, Stopped,
};
use static_assertions::{assert_impl_all, assert_not_impl_any, const_assert, const_assert_eq};
use std::mem::size_of;

// Handles are shared: any thread may hold one.
assert_impl_all!(Gate: Send, Sync, Clone);
assert_impl_all!(Controller: Send, Sync, Clone);
assert_impl_all!(Channel: Send, Sync, Clone);
assert_impl_all!(Home: Send, Sync, Clone);
assert_impl_all!(Reconciler: Send, Sync);

// Rights are not: there is one of each, and it moves with its owner.
assert_impl_all!(Lifecycle<Running>: Send, Sync);
assert_impl_all!(AnyLifecycle: Send, Sync);
assert_not_impl_any!(Lifecycle<Running>: Clone, Copy, Default);
assert_not_impl_any!(Lifecycle<ExternalDraining>: Clone, Copy, Default);
assert_not_impl_any!(Lifecycle<ShutdownDraining>: Clone, Copy, Default);
assert_not_impl_any!(Lifecycle<Stopped>: Clone, Copy, Default);
assert_not_impl_any!(AnyLifecycle: Clone, Copy, Default);
assert_not_impl_any!(Drained<'static>: Clone, Copy, Default);
assert_not_impl_any!(Reconciler: Clone);

// A permit is one piece of work: it may move to another thread, and it can't be doubled.
assert_impl_all!(Permit<'static>: Send, Sync);
assert_impl_all!(OwnedPermit: Send, Sync);
assert_impl_all!(LabelledPermit: Send, Sync);
assert_not_impl_any!(Permit<'static>: Clone, Copy, Default);
assert_not_impl_any!(OwnedPermit: Clone, Copy, Default);
assert_not_impl_any!(LabelledPermit: Clone, Copy, Default);

// Waits can be spawned, selected on and stored: they borrow nothing, whatever timer they have.
assert_impl_all!(WaitDrained: Send, Sync, Unpin);
assert_impl_all!(WaitAdmitted: Send, Sync, Unpin);
assert_impl_all!(WaitOpened: Send, Sync, Unpin);
assert_impl_all!(WaitClosing: Send, Sync, Unpin);
assert_impl_all!(Interrupted: Send, Sync, Unpin);
assert_impl_all!(Until<gateway_drain::gate::awaited::Drained, tokio::time::Sleep>: Send, Unpin);
assert_impl_all!(WaitStopped: Send, Unpin);

// What is known is a value.
assert_impl_all!(Refusal: Send, Sync, Copy);
assert_impl_all!(Reading: Send, Sync, Copy);
assert_impl_all!(Generation: Send, Sync, Copy);
assert_impl_all!(Hold: Send, Sync, Clone);
assert_impl_all!(HoldSet: Send, Sync, Clone);
assert_impl_all!(Snapshot: Send, Sync, Clone);

// A permit is a reference and what it counts for; an answer of the gate is no larger than a permit.
const_assert_eq!(size_of::<Permit<'static>>(), 16);
const_assert_eq!(size_of::<OwnedPermit>(), 16);
const_assert_eq!(size_of::<Gate>(), 8);
const_assert_eq!(size_of::<Result<Permit<'static>, Refusal>>(), 16);
const_assert!(size_of::<Refusal>() == 1);

#[test]
fn an_owned_permit_outlives_its_gate_on_another_thread() {
    let permit = {
        let controller = Controller::new();
        controller.gate().admit().expect("a new gate admits").into_owned()
    };
    std::thread::spawn(move || drop(permit)).join().expect("there is still something to be left");
}
