//! What the author of a gateway implements, and what the suite sees of a gateway by it.

use crate::properties::PropertyId;
use crate::state::DrainState;
use core::fmt;
use std::mem::discriminant;
use std::time::Duration;

/// A gateway as the suite sees it: implement this for an adapter of yours.
///
/// Each call returns when it has had its effect or has been refused, and none waits for work to finish: `begin` closes
/// and returns at once, `stop` stops only if nothing is in flight. All of them may be called from several threads.
pub trait Gateway: Sized + Send + Sync + 'static {
    /// One admitted piece of work. If it counts for as long as it lives, that is all; else see [`finish`](Self::finish).
    type Permit: Send;

    /// What the gateway needs to live: a temporary folder, a runtime. Dropped after the gateway. `()` if nothing.
    type Guard;

    /// What the gateway can do. A property that needs more is skipped, and the reason is printed.
    const ABILITIES: &'static [Ability] = &[Ability::Drain, Ability::ShutDown, Ability::Count];

    /// How hard to look, in hundredths: 100 takes half a minute for all properties. `PROPTEST_CASES`, divided by 256,
    /// multiplies it.
    const EFFORT: u32 = 100;

    /// A gateway that runs, with nothing in flight and nothing left of any other.
    fn fresh() -> (Self, Self::Guard);

    /// Why a property is not meant to be kept, if so. It is then not run, and the reason is printed.
    fn skip(_: PropertyId) -> Option<&'static str> {
        None
    }

    /// Asks to admit one piece of work.
    fn admit(&self) -> Option<Self::Permit>;

    /// Asks to admit one piece of internal work, which no turn in flight started ([`Ability::Internal`]). It may pass while
    /// the gate drains, and no longer once it is drained.
    fn admit_internal(&self) -> Option<Self::Permit> {
        None
    }

    /// How much internal work is in flight ([`Ability::Internal`]). [`Snapshot::in_flight`] is then without it.
    fn internal(&self) -> u64 {
        0
    }

    /// The work has finished.
    fn finish(&self, permit: Self::Permit) {
        drop(permit);
    }

    /// What the gateway tells of itself, to controllers and to people.
    fn snapshot(&self) -> Snapshot;

    /// Closes the gate, reversibly, for `holder`. Only the first of two is used for a gateway without
    /// [`Ability::Holders`].
    fn begin(&self, holder: Holder);

    /// Withdraws what `holder` began.
    fn end(&self, holder: Holder);

    /// Begins the shutdown.
    fn shut_down(&self);

    /// Ends the shutdown if nothing is in flight. A gateway that stops by itself then has nothing to do here.
    fn stop(&self);

    /// Ends the shutdown whatever is in flight ([`Ability::Force`]).
    fn force_stop(&self) {}

    /// A waiter for the drain that is under way now ([`Ability::Wait`]). The suite runs it later, on any thread. A limit of
    /// [`Duration::MAX`] is none.
    fn waiter(&self) -> Waiter<'_> {
        Box::new(|_| Waited::TimedOut)
    }

    /// Trades "drained" for the right to act, and says whether that was granted ([`Ability::Commit`]).
    fn commit(&self, _: Holder) -> bool {
        false
    }

    /// Lets time pass, as the gateway measures it ([`Ability::Lease`], [`Ability::ShutdownLimit`]).
    fn pass(&self, _: Duration) {}

    /// Sets the wall clock forward by so many seconds, or back ([`Ability::WallClock`]). No time passes.
    fn step_wall_clock(&self, _seconds: i64) {}
}

/// Something that not every gateway can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ability {
    /// It can be closed and opened again: `begin`, `end`.
    Drain,
    /// It can be shut down: `shut_down`, `stop`.
    ShutDown,
    /// Its snapshot tells how much is in flight.
    Count,
    /// It can be stopped with work in flight: `force_stop`.
    Force,
    /// It tells who holds it closed: the second holder of `begin` and `end` is not the first.
    Holders,
    /// It can be waited for: `waiter`.
    Wait,
    /// A hold ends by itself after this time, which `pass` lets pass.
    Lease(Duration),
    /// A hold can be committed: `commit`.
    Commit,
    /// It reads a wall clock that `step_wall_clock` can set.
    WallClock,
    /// A shutdown ends after this time whatever is in flight; `pass` lets it pass.
    ShutdownLimit(Duration),
    /// It has room for so much work at once, at least one, and refuses more although it is open.
    Limit(u64),
    /// It has an entrance of its own for internal work: `admit_internal`, `internal`.
    Internal,
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// The first.
    A,
    /// The second.
    B,
}

impl Holder {
    /// A name for it: `a` or `b`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }
}

/// What a gateway tells of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Where it says that it stands.
    pub state: DrainState,
    /// How much is in flight. Looked at only with [`Ability::Count`].
    pub in_flight: u64,
    /// Closed, and nothing in flight.
    pub drained: bool,
    /// How much was left when it was stopped by force. From then on that is no longer in flight.
    pub abandoned: u64,
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} in flight", self.state, self.in_flight)?;
        if self.drained {
            f.write_str(", drained")?;
        }
        if self.abandoned > 0 {
            write!(f, ", {} abandoned", self.abandoned)?;
        }
        Ok(())
    }
}

/// Blocks until the drain it was made for is drained or over, at most for the time it is given.
pub type Waiter<'g> = Box<dyn FnOnce(Duration) -> Waited + Send + 'g>;

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// Its drain is drained.
    Drained,
    /// Its drain is over.
    Over,
    /// The time passed first.
    TimedOut,
}

/// The time of [`Ability::Lease`].
pub(super) fn lease<G: Gateway>() -> Duration {
    let lease = |ability: &Ability| if let Ability::Lease(lease) = ability { Some(*lease) } else { None };
    G::ABILITIES.iter().find_map(lease).unwrap_or_default()
}

/// The time of [`Ability::ShutdownLimit`].
pub(super) fn shutdown_limit<G: Gateway>() -> Duration {
    let limit = |ability: &Ability| if let Ability::ShutdownLimit(limit) = ability { Some(*limit) } else { None };
    G::ABILITIES.iter().find_map(limit).unwrap_or_default()
}

/// The number of [`Ability::Limit`].
pub(super) fn limit<G: Gateway>() -> u64 {
    let limit = |ability: &Ability| if let Ability::Limit(limit) = ability { Some(*limit) } else { None };
    G::ABILITIES.iter().find_map(limit).unwrap_or(u64::MAX)
}

/// Whether the gateway has the ability; the time that comes with it may be any.
pub(super) fn can<G: Gateway>(ability: Ability) -> bool {
    G::ABILITIES.iter().any(|has| discriminant(has) == discriminant(&ability))
}

/// Closes the gate in the way that this gateway has.
pub(super) fn close<G: Gateway>(gateway: &G) {
    if can::<G>(Ability::Drain) {
        gateway.begin(Holder::A);
    } else {
        gateway.shut_down();
    }
}
