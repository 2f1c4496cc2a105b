//! What the system tells of changes in a home, so that nobody waits for a clock.
//!
//! An event only hastens a look that would have come anyway, and nothing that a look guarantees rests on one. Network file
//! systems tell nothing of what other machines write, a queue of events overflows, a user may have no watches left: then
//! the tick remains.
//!
//! The watches lie on the folders that are open, not on what their paths lead to by now. They are laid again before each
//! look, which costs a system call for each folder: so a folder that was replaced, or that appeared only now, is followed from the
//! next look on, and the change itself has told of it.

use super::home::Home;
use super::opened::OpenHome;
use crate::sync::{Arc, Mutex};
use core::fmt;
use std::io;
use std::time::Duration;

#[cfg(target_os = "linux")]
#[path = "changes/inotify.rs"]
mod system;
#[cfg(not(target_os = "linux"))]
#[path = "changes/nothing.rs"]
mod system;

/// However many changes there are, they are told at most once in this time: 2 milliseconds.
pub(crate) const PAUSE: Duration = Duration::from_millis(2);

/// Which changes are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Topic {
    /// To the gateway: of requests, and of what others do to its own files.
    Requests,
    /// To an endpoint beside it: of the status, and of the lock that goes with its process.
    #[cfg_attr(not(feature = "axum"), allow(dead_code, reason = "no endpoint without it"))]
    Status,
}

/// In which folder something has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Folder {
    Home,
    Holds,
}

/// What has happened to a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It is gone, or belongs to another file now.
    Gone,
    /// The same, of a folder.
    FolderGone,
    /// A file has moved there.
    Come,
    /// A file that was open for writing under that name has been closed.
    Written,
    /// A file was made under that name, or its rights have changed.
    Other,
}

impl Topic {
    /// Whether this change is of interest. What a gateway writes itself must be of none to it: it would look for ever. Nor is what
    /// is taken from it and that it puts back, which the next tick finds: a home could hardly be deleted.
    fn has(self, place: Folder, name: &[u8], kind: Kind) -> bool {
        let is = |own: &str| name == own.as_bytes();
        match (self, place) {
            (Self::Requests, Folder::Holds) => name.ends_with(b".json") && !name.starts_with(b"."),
            (Self::Requests, Folder::Home) if is(Home::MARKER) => true,
            // Each file in it that goes with it is told by itself. What is no folder has none, and keeps the gate closed.
            (Self::Requests, Folder::Home) if is(Home::HOLDS) => kind != Kind::FolderGone,
            (Self::Requests, Folder::Home) if is(Home::LOCK) => kind == Kind::Come,
            // A gateway moves its status there once it is closed; a program that writes it in place is another.
            (Self::Requests, Folder::Home) => is(Home::STATUS) && kind == Kind::Written,
            // The lock is closed by the process that ends.
            (Self::Status, Folder::Home) => is(Home::STATUS) || is(Home::LOCK),
            (Self::Status, Folder::Holds) => false,
        }
    }
}

/// Tells of changes in a home, from a thread of its own.
pub(crate) struct Changes {
    topic: Topic,
    tell: ChangeCallback,
    following: Mutex<Option<system::Following>>,
}

type ChangeCallback = Arc<dyn Fn() + Send + Sync>;

impl Changes {
    /// Nothing is told yet: see [`follow`](Self::follow). `tell` runs on a thread of its own, which it must not hold up.
    pub(crate) fn new(topic: Topic, tell: impl Fn() + Send + Sync + 'static) -> Self {
        Self { topic, tell: Arc::new(tell), following: Mutex::default() }
    }

    /// Every change from here on is told, in the folders that this home has now. To be called before each look, on a thread
    /// that the disk may hold up.
    ///
    /// # Errors
    /// What the system says: there may be no more watches, or it can tell nothing.
    pub(crate) fn follow(&self, home: &OpenHome) -> io::Result<()> {
        let mut following = self.following.lock();
        let running = match following.take().filter(|following| !following.has_ended()) {
            Some(running) => running,
            None => system::Following::start(self.topic, Arc::clone(&self.tell))?,
        };
        following.insert(running).follow(home)
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes").field("topic", &self.topic).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
