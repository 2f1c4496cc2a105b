//! What the gateway has published, as far as it may be believed: from the process that lives in the home, and no other.
//!
//! Every answer about a hold is made from here. In the gateway's own process that is what it published last, and a
//! waiting request is woken by the next publication: the disk has no part in it. A process beside it reads the file, once for all who
//! wait, when the system tells of a change and every few milliseconds beside that. All that touches the disk is bounded, in
//! time and in number, so that a file system that hangs costs a request an error and nobody else anything.

use crate::clock::Clock;
use crate::control::changes::{Changes, Topic};
use crate::control::opened::OpenHome;
use crate::control::{Channel, Epoch, Found, Home};
use crate::hold::{Nonce, Outcome, Request, RequestId};
use crate::reconciler::Reconciler;
use crate::status::{HoldStatus, Snapshot, silent_for};
use crate::sync::{Event, EventListener};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Instant, sleep_until, timeout};

/// How long the disk may take.
const DISK_TIMEOUT: Duration = Duration::from_secs(5);
/// How many threads a disk that hangs may cost.
const DISK_CALLS: usize = 16;
/// How often the file is read while somebody waits, also where nobody tells of a change.
const LOOK: Duration = Duration::from_millis(20);

/// The gateway as an endpoint knows it: in this process, or only by its files.
pub(super) struct Published {
    channel: Channel,
    pub(super) here: Option<Arc<Reconciler>>,
    epoch: Epoch,
    disk: Arc<Semaphore>,
    beside: Arc<Beside>,
}

/// What those who wait in a process beside the gateway share.
struct Beside {
    changes: Changes,
    changed: Arc<Event>,
    began: Instant,
    /// The last reading, and when it began.
    read: Mutex<Option<(Instant, Option<Arc<Snapshot>>)>>,
}

impl Beside {
    fn new() -> Self {
        let changed = Arc::new(Event::new());
        let tell = Arc::clone(&changed);
        Self {
            changes: Changes::new(Topic::Status, move || drop(tell.notify())),
            changed,
            began: Instant::now(),
            read: Mutex::default(),
        }
    }

    /// The next moment at which all look, and so at once.
    fn next_look(&self) -> Instant {
        let passed = self.began.elapsed().as_millis() / LOOK.as_millis() + 1;
        self.began + LOOK.saturating_mul(u32::try_from(passed).unwrap_or(u32::MAX))
    }
}

impl Published {
    pub(super) fn new(home: Home, here: Option<Arc<Reconciler>>) -> Self {
        let (disk, beside) = (Arc::new(Semaphore::new(DISK_CALLS)), Arc::new(Beside::new()));
        Self { channel: Channel::new(home), here, epoch: Epoch::current(), disk, beside }
    }

    /// The status of the process that lives in the home; `None` if none does, or if it hasn't published yet.
    ///
    /// An error, too, if it is no word of the gateway's as it is now (C8): this process itself could publish nothing newer, or
    /// another one has published nothing for longer than it may.
    pub(super) async fn status(&self) -> io::Result<Option<Arc<Snapshot>>> {
        match &self.here {
            Some(reconciler) => reconciler.latest(),
            None => self.read().await,
        }
    }

    async fn read(&self) -> io::Result<Option<Arc<Snapshot>>> {
        let epoch = self.epoch.clone();
        self.on_disk(move |channel| {
            let snapshot = match Snapshot::read(channel.home()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                read => read?,
            };
            // Read first and only then asked who lives: the answer is about a process that outlived its status' reading.
            let live = channel.home().live()?;
            if live.as_ref() != Some(&snapshot.drain.incarnation) {
                return Ok(None);
            }
            match snapshot.drain.overdue(&epoch, Clock::boot().now()) {
                Some(age) => Err(io::Error::other(silent_for(age))),
                None => Ok(Some(Arc::new(snapshot))),
            }
        })
        .await
    }

    /// As [`status`](Self::status), in a reading that began now or later, and that others may have made.
    async fn status_now(&self) -> io::Result<Option<Arc<Snapshot>>> {
        if let Some(reconciler) = &self.here {
            return reconciler.latest();
        }
        let asked = Instant::now();
        let mut read = self.beside.read.lock().await;
        if let Some((began, status)) = &*read
            && *began >= asked
        {
            return Ok(status.clone());
        }
        let began = Instant::now();
        let beside = Arc::clone(&self.beside);
        // Nothing is lost where the system tells of nothing: it is read again soon.
        let follow = move |channel: &Channel| {
            Ok(OpenHome::open(channel.home().path()).map(|home| beside.changes.follow(&home)).is_ok())
        };
        let _ = self.on_disk(follow).await;
        let status = self.read().await?;
        *read = Some((began, status.clone()));
        Ok(status)
    }

    /// Hears of the next change of the status, if anybody tells.
    fn listen(&self) -> EventListener {
        self.here.as_ref().map_or_else(|| self.beside.changed.listen(), |reconciler| reconciler.next_publication())
    }

    /// Whether what is written here would be of another epoch to the gateway that published this, and so be ignored.
    pub(super) fn is_foreign_to(&self, status: &Snapshot) -> bool {
        status.drain.epoch.differs_from(&self.epoch)
    }

    /// Whether a process lives in the home, published or not.
    pub(super) async fn is_live(&self) -> bool {
        self.here.is_some() || matches!(self.on_disk(|channel| channel.home().live()).await, Ok(Some(_)))
    }

    /// What stands in a hold's place. It serves to leave others' files alone, never as an answer.
    pub(super) async fn found(&self, id: &RequestId) -> io::Result<Found> {
        let id = id.clone();
        self.on_disk(move |channel| Ok(channel.find(&id))).await
    }

    /// Writes a request; gives the moment that its file bears.
    pub(super) async fn write(&self, request: Request) -> io::Result<String> {
        let written = self.on_disk(move |channel| channel.write_dated(&request)).await;
        self.kick();
        written
    }

    /// As [`write`](Self::write), but only in the place of what was `seen` there.
    pub(super) async fn write_over(&self, request: Request, seen: Found) -> io::Result<String> {
        let written = self.on_disk(move |channel| channel.write_over(&request, &seen)).await;
        self.kick();
        written
    }

    /// Removes a hold's file, or only what was `seen` there; tells whether there was anything.
    pub(super) async fn remove(&self, id: &RequestId, seen: Option<Found>) -> io::Result<bool> {
        let id = id.clone();
        let remove =
            move |channel: &Channel| seen.map_or_else(|| channel.remove(&id), |seen| channel.remove_seen(&id, &seen));
        let removed = self.on_disk(remove).await;
        self.kick();
        removed
    }

    /// Removes a hold's file if it still is this write, which has had its effect: it would only lie there.
    pub(super) async fn clear(&self, id: &RequestId, write: &Nonce) {
        let (id, write) = (id.clone(), write.clone());
        let cleared = self.on_disk(move |channel| {
            let found = channel.find(&id);
            let lies = matches!(&found, Found::Valid(request) if request.nonce.as_ref() == Some(&write));
            if lies { channel.remove_seen(&id, &found) } else { Ok(false) }
        });
        // What is left lying is one file too many, and has no effect.
        let _ = cleared.await;
    }

    /// Looks at the status whenever it may have changed until it answers, or until `patience` is over: `None`.
    pub(super) async fn wait<T>(
        &self,
        patience: Duration,
        mut answer: impl FnMut(Option<&Arc<Snapshot>>) -> Option<T>,
    ) -> io::Result<Option<T>> {
        let end = Instant::now() + patience;
        loop {
            // Before the look, so that what changes after it is heard of.
            let changed = self.listen();
            if let Some(answer) = answer(self.status_now().await?.as_ref()) {
                return Ok(Some(answer));
            }
            if Instant::now() >= end {
                return Ok(None);
            }
            let until = if self.here.is_some() { end } else { end.min(self.beside.next_look()) };
            tokio::select! {
                () = changed => {}
                () = sleep_until(until) => {}
            }
        }
    }

    fn kick(&self) {
        if let Some(reconciler) = &self.here {
            reconciler.kick();
        }
    }

    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Channel) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let channel = self.channel.clone();
        let permit = Arc::clone(&self.disk).acquire_owned();
        let done = timeout(DISK_TIMEOUT, async move {
            let permit = permit.await.map_err(io::Error::other)?;
            let work = move || {
                let done = work(&channel);
                // Given back by the thread itself: one that hangs keeps it, however soon its request gives up.
                drop(permit);
                done
            };
            tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
        });
        done.await.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "the disk doesn't answer in time")))
    }
}

/// What a status says of one hold.
pub(super) fn hold<'a>(status: &'a Snapshot, id: &RequestId) -> Option<&'a HoldStatus> {
    status.drain.hold(id)
}

/// Why the gateway doesn't honour what lies in a hold's place, where there is no such hold: it is of another epoch.
pub(super) fn ignored<'a>(status: &'a Snapshot, id: &RequestId) -> Option<&'a str> {
    let ignored = status.drain.ignored.iter().find(|ignored| ignored.request_id == id.as_str());
    ignored.filter(|_| hold(status, id).is_none()).map(|ignored| ignored.detail.as_str())
}

/// What a status answers to the write that lies in a hold's place.
pub(super) fn answer<'a>(status: &'a Snapshot, id: &RequestId) -> Option<(&'a Option<Nonce>, Outcome)> {
    let given = status.drain.acknowledged.iter().find(|answer| answer.request_id == *id);
    given.map(|answer| (&answer.nonce, answer.outcome))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[tokio::test]
    async fn a_home_without_a_status_has_none_and_one_that_can_not_be_read_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path());
        let published = Published::new(home.clone(), None);
        assert_eq!(published.status().await.unwrap(), None);

        fs::write(home.status(), "no status").unwrap();
        assert_eq!(published.status().await.unwrap_err().kind(), io::ErrorKind::InvalidData);
        fs::remove_file(home.status()).unwrap();
        fs::create_dir(home.status()).unwrap();
        assert!(published.status().await.is_err(), "a folder is no status");

        drop(folder);
        assert_eq!(published.status().await.unwrap(), None, "the home is gone");
    }

    #[tokio::test(start_paused = true)]
    async fn all_who_wait_look_at_the_same_moments_which_are_no_further_apart_than_one_look() {
        let beside = Beside::new();
        let millisecond = Duration::from_millis(1);
        for passed in 0..=65 {
            let next = beside.next_look() - beside.began;
            assert_eq!(next, LOOK * (passed / 20 + 1), "after {passed} ms");
            tokio::time::advance(millisecond).await;
        }
    }
}
