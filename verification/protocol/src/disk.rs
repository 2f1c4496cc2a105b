//! The atomic writer as micro-steps over a disk with a volatile and a durable copy.
//!
//! The steps are those that production's writer takes, in its order. Between any two of them the writer can be killed, which loses
//! nothing that the kernel has, and the machine can go down, which keeps what was synced for certain and of the rest
//! any part. Relies on its taking each where it says so, which `tests/it/writing.rs` counts in its system calls; bounded to one writer, one file and one write, and to a disk on which a rename
//! is one step.

use crate::explorer::{Edge, System};
use gateway_drain::control::write::Step;

/// What a reader finds under the file's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Finds {
    /// The old file, whole.
    Old,
    /// The new file, whole.
    New,
    /// A part of the new file.
    Torn,
}

/// The writer and its disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact about the disk of its own")]
pub struct State {
    /// How many steps have been taken.
    pub taken: u8,
    /// The writer is gone.
    pub killed: bool,
    created: bool,
    written: bool,
    content_is_durable: bool,
    renamed: bool,
    name_is_durable: bool,
    /// The machine went down, and this was there when it came back.
    pub after_reboot: Option<Finds>,
}

impl State {
    fn take(&mut self, step: Step) {
        match step {
            Step::Create => self.created = true,
            Step::Write => self.written = true,
            Step::SyncFile => self.content_is_durable = self.written,
            Step::Rename => self.renamed = true,
            Step::SyncFolder => self.name_is_durable = self.renamed,
        }
    }

    /// What a reader finds now.
    pub fn finds(&self) -> Finds {
        match (self.after_reboot, self.renamed, self.written) {
            (Some(found), _, _) => found,
            (None, false, _) => Finds::Old,
            (None, true, true) => Finds::New,
            (None, true, false) => Finds::Torn,
        }
    }
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// The writer takes its next step.
    Write(Step),
    /// The writer is killed.
    Kill,
    /// The machine goes down, and comes back with this.
    Reboot(Finds),
}

/// A writer that takes these steps.
#[derive(Clone, Debug)]
pub struct Writer {
    /// In their order.
    pub steps: Vec<Step>,
}

impl System for Writer {
    type State = State;
    type Action = Action;

    fn initial(&self) -> State {
        State::default()
    }

    fn steps(&mut self, state: &State, into: &mut Vec<Edge<State, Action>>) {
        if state.after_reboot.is_some() {
            return;
        }
        let mut take = |action, to| into.push(Edge { action, to, breaks: None });
        if let Some(step) = self.steps.get(usize::from(state.taken)).filter(|_| !state.killed) {
            let mut to = State { taken: state.taken + 1, ..*state };
            to.take(*step);
            take(Action::Write(*step), to);
        }
        if !state.killed {
            take(Action::Kill, State { killed: true, ..*state });
        }
        let mut reboot = |found| take(Action::Reboot(found), State { after_reboot: Some(found), ..*state });
        if !state.name_is_durable {
            reboot(Finds::Old);
        }
        if state.renamed {
            if state.written {
                reboot(Finds::New);
            }
            if !state.content_is_durable {
                reboot(Finds::Torn);
            }
        }
    }

    fn broken(&self, state: &State) -> Option<&'static str> {
        let returned = usize::from(state.taken) == self.steps.len();
        match (state.finds(), state.after_reboot) {
            (Finds::Torn, None) => Some("C1: a reader sees a torn file"),
            (Finds::Torn, Some(_)) => Some("C2: a torn file is left after the machine went down"),
            (Finds::Old, _) if returned => Some("C2: the write had returned, and the old file is back"),
            _ => None,
        }
    }
}
