//! The events that happen to a gateway, and how likely each is.

use crate::reference::model::{Action, Ask, FILES, Lies, Model, Name, OTHER};
use gateway_drain::DrainState;
use proptest::prelude::*;

/// What happens.
#[derive(Clone, Debug)]
pub enum Event {
    /// Something happens to a file, no matter who does it.
    File(Change),
    /// A writer is killed before it takes the step of this number.
    KilledWriter(Name, Ask, usize),
    /// Time passes, in seconds.
    Advance(u64),
    /// A turn asks to enter.
    Admit,
    /// Internal work asks to enter.
    AdmitInternal,
    /// A turn ends.
    Finish,
    /// Internal work ends.
    FinishInternal,
    /// The process ends and another one starts; the status is as it was left, or not.
    Restart(StatusFile),
    /// The process ends right after this change, before it has published what came of it; another one starts.
    CrashAfter(Change),
    /// Something that can't be replaced stands in the status' place, or no longer.
    BlockStatus(bool),
    /// Something that is no folder stands in the place of the folder of holds, or no longer.
    BlockHolds(bool),
    /// The home is renamed away, or back.
    LoseHome(bool),
    /// The home is replaced with an empty one.
    ReplaceHome,
    /// The shutdown begins, with so many seconds' time.
    BeginShutdown(u64),
}

/// What a file is changed to.
#[derive(Clone, Debug)]
pub struct Change {
    /// Whose file.
    pub name: Name,
    /// What stands there afterwards. The model's sort of thing and the real thing to make of it.
    pub to: Thing,
}

/// The things that can be put at a path.
#[derive(Clone, Debug)]
pub enum Thing {
    /// Nothing: the file is removed.
    Nothing,
    /// A request.
    Request(Ask),
    /// A request of another boot.
    OtherBoot(Ask),
    /// An empty file.
    Touched,
    /// A file that is no request: which one of [`GARBAGE`].
    Garbage(usize),
    /// Something that is no file, or none that can be read whole.
    Odd(Odd),
}

/// What a file can be that isn't a request, before the number that tells it from the last one.
pub const GARBAGE: [&str; 6] = ["{\"action\":", "[]", "null ", "\u{0}\u{1}", "\u{feff}{}", "{\"action\": \"dr"];

/// Things without content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Odd {
    /// A link to nothing.
    DanglingLink,
    /// A link to a request that lies outside the home.
    LinkOutside,
    /// A link to itself.
    LinkLoop,
    /// A folder.
    Folder,
    /// A pipe that nobody writes to.
    Pipe,
    /// A socket.
    Socket,
    /// 10 GiB, of which none is on the disk.
    Sparse,
}

/// What a starting gateway finds of its predecessor's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusFile {
    /// As it was left.
    Kept,
    /// Gone.
    Lost,
    /// Not a status.
    Garbage,
}

impl Thing {
    /// What the thing is to the model. `write` is the number of this write.
    #[must_use]
    pub fn lies(&self, write: u32) -> Lies {
        match self {
            Self::Nothing => Lies::Nothing,
            Self::Request(ask) => Lies::Asks(Ask { write, ..ask.clone() }),
            Self::OtherBoot(_) => Lies::OtherBoot(write),
            Self::Touched | Self::Garbage(_) => Lies::Garbage(write),
            Self::Odd(_) => Lies::NoContent,
        }
    }
}

fn name() -> impl Strategy<Value = Name> {
    prop::sample::select(FILES.to_vec())
}

/// A request that makes sense more often than not: for this process, of this drain, by the hold's owner with its token.
fn ask(model: &Model, name: Name) -> impl Strategy<Value = Ask> + use<> {
    let hold = model.holds.get(&name);
    let owner = hold.map_or(1, |hold| hold.owner.max(1));
    let token = hold.and_then(|hold| hold.committed);
    let (incarnation, generation) = (model.incarnation, model.generation);
    let (begin, commit, withdraw) = match hold {
        None => (8, 1, 2),
        Some(hold) if hold.committed.is_none() => (2, 6, 2),
        Some(_) => (1, 1, 5),
    };
    let action = prop_oneof![
        begin => Just(Action::Begin),
        commit => Just(Action::Commit),
        withdraw => Just(Action::Withdraw),
        1 => Just(Action::Override),
    ];
    let owner = prop_oneof![5 => Just(owner), 1 => Just(3 - owner)];
    let lease = prop::sample::select(vec![None, Some(15), Some(25), Some(999)]);
    let delay = prop_oneof![3 => Just(0), 1 => Just(15)];
    let meant_for = prop_oneof![6 => Just(Some(incarnation)), 1 => Just(Some(OTHER)), 1 => Just(None)];
    let drain = prop_oneof![6 => Just(Some(generation)), 1 => Just(Some(generation + 7)), 1 => Just(None)];
    let token = prop_oneof![4 => Just(token), 1 => Just(None), 1 => Just(Some(OTHER))];
    (action, owner, lease, delay, meant_for, drain, token, any::<bool>()).prop_map(
        |(action, owner, lease, delay, meant_for, drain, token, future)| {
            let meant_for = meant_for.filter(|_| action == Action::Commit || meant_for == Some(OTHER));
            Ask { write: 0, action, owner, lease, delay, meant_for, drain, token, future }
        },
    )
}

fn change(model: &Model) -> impl Strategy<Value = Change> + use<> {
    let model = model.clone();
    name().prop_flat_map(move |name| {
        let odd =
            vec![Odd::DanglingLink, Odd::LinkOutside, Odd::LinkLoop, Odd::Folder, Odd::Pipe, Odd::Socket, Odd::Sparse];
        let to = prop_oneof![
            12 => ask(&model, name).prop_map(Thing::Request),
            5 => Just(Thing::Nothing),
            1 => ask(&model, name).prop_map(Thing::OtherBoot),
            1 => Just(Thing::Touched),
            1 => (0..GARBAGE.len()).prop_map(Thing::Garbage),
            2 => prop::sample::select(odd).prop_map(Thing::Odd),
        ];
        to.prop_map(move |to| Change { name, to })
    })
}

/// The events that may come next.
pub fn next(model: &Model) -> BoxedStrategy<Event> {
    let killed = {
        let model = model.clone();
        (name(), 0..=5_usize).prop_flat_map(move |(name, step)| {
            ask(&model, name).prop_map(move |ask| Event::KilledWriter(name, ask, step))
        })
    };
    // A gateway that has stopped, or whose home nobody finds, shows no more than that it stays so.
    let restart = if model.state == DrainState::Stopped || model.replaced.is_some() { 30 } else { 3 };
    let status = prop::sample::select(vec![StatusFile::Kept, StatusFile::Kept, StatusFile::Lost, StatusFile::Garbage]);
    prop_oneof![
        30 => change(model).prop_map(Event::File),
        2 => killed,
        6 => (1..=3_u64).prop_map(|tens| Event::Advance(tens * 10)),
        10 => Just(Event::Admit),
        2 => Just(Event::AdmitInternal),
        6 => Just(Event::Finish),
        3 => Just(Event::FinishInternal),
        restart => status.prop_map(Event::Restart),
        2 => change(model).prop_map(Event::CrashAfter),
        2 => any::<bool>().prop_map(Event::BlockStatus),
        2 => any::<bool>().prop_map(Event::BlockHolds),
        2 => any::<bool>().prop_map(Event::LoseHome),
        1 => Just(Event::ReplaceHome),
        1 => prop::sample::select(vec![15, 35]).prop_map(Event::BeginShutdown),
    ]
    .boxed()
}

/// Whether the event can happen now.
#[must_use]
pub fn possible(model: &Model, event: &Event) -> bool {
    let writable = |name: Name| !model.away && (name == Name::Marker || !model.holds_blocked);
    match event {
        Event::File(change) => writable(change.name),
        // A rename can't put a file in the place of a folder, so there the writer fails; that is a test of its own.
        Event::KilledWriter(name, ..) => writable(*name) && model.lies(*name) != &Lies::NoContent,
        Event::CrashAfter(change) => writable(change.name) && !model.status_blocked && model.replaced.is_none(),
        Event::Restart(_) => !model.away && !model.status_blocked,
        Event::Finish => model.turns > 0,
        Event::FinishInternal => model.internal > 0,
        Event::BlockStatus(block) => !model.away && model.replaced.is_none() && *block != model.status_blocked,
        Event::BlockHolds(block) => !model.away && *block != model.holds_blocked,
        Event::LoseHome(lose) => *lose != model.away,
        Event::Advance(_) | Event::Admit | Event::AdmitInternal | Event::ReplaceHome | Event::BeginShutdown(_) => true,
    }
}
