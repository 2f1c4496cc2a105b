//! What the gateway has published, as far as it may be believed: from the process that lives in the home, and no other.
//!
//! Every answer about a hold is made from here. All that touches the disk is bounded, in time and in number, so that a
//! file system that hangs costs a request an error and nobody else anything.

use crate::clock::Clock;
use crate::control::{Channel, Epoch, Found, Home};
use crate::hold::{Nonce, Outcome, Request, RequestId};
use crate::reconciler::Reconciler;
use crate::status::{HoldStatus, Snapshot, silent_for};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

/// How long the disk may take.
const DISK_TIMEOUT: Duration = Duration::from_secs(5);
/// How many threads a disk that hangs may cost.
const DISK_CALLS: usize = 16;
/// How often the status is looked at by whoever waits: often at first, when the answer is about to come.
const LOOK_OFTEN: Duration = Duration::from_millis(20);
const LOOK_SELDOM: Duration = Duration::from_millis(100);
const OFTEN_FOR: Duration = Duration::from_secs(3);

/// The gateway as an endpoint knows it: in this process, or only by its files.
pub(super) struct Published {
    channel: Channel,
    pub(super) here: Option<Arc<Reconciler>>,
    epoch: Epoch,
    disk: Arc<Semaphore>,
}

impl Published {
    pub(super) fn new(home: Home, here: Option<Arc<Reconciler>>) -> Self {
        Self { channel: Channel::new(home), here, epoch: Epoch::current(), disk: Arc::new(Semaphore::new(DISK_CALLS)) }
    }

    /// The status of the process that lives in the home; `None` if none does, or if it hasn't published yet.
    ///
    /// An error, too, if it is no word of the gateway's as it is now (C8): this process itself could publish nothing newer, or
    /// another one has published nothing for longer than it may.
    pub(super) async fn status(&self) -> io::Result<Option<Snapshot>> {
        if let Some(why) = self.here.as_ref().and_then(|reconciler| reconciler.unpublished()) {
            return Err(io::Error::other(why));
        }
        let epoch = self.here.is_none().then(|| self.epoch.clone());
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
            match epoch.and_then(|epoch| snapshot.drain.overdue(&epoch, Clock::boot().now())) {
                Some(age) => Err(io::Error::other(silent_for(age))),
                None => Ok(Some(snapshot)),
            }
        })
        .await
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

    /// Removes a hold's file; tells whether there was one.
    pub(super) async fn remove(&self, id: &RequestId) -> io::Result<bool> {
        let id = id.clone();
        let removed = self.on_disk(move |channel| channel.remove(&id)).await;
        self.kick();
        removed
    }

    /// Removes a hold's file if it still is this write, which has had its effect: it would only lie there.
    pub(super) async fn clear(&self, id: &RequestId, write: &Nonce) {
        let (id, write) = (id.clone(), write.clone());
        let cleared = self.on_disk(move |channel| match channel.find(&id) {
            Found::Valid(request) if request.nonce.as_ref() == Some(&write) => channel.remove(&id),
            _ => Ok(false),
        });
        // What is left lying is one file too many, and has no effect.
        let _ = cleared.await;
    }

    /// Looks at the status again and again until it answers, or until `patience` is over: `None`.
    pub(super) async fn wait<T>(
        &self,
        patience: Duration,
        mut answer: impl FnMut(Option<&Snapshot>) -> Option<T>,
    ) -> io::Result<Option<T>> {
        let start = Instant::now();
        loop {
            if let Some(answer) = answer(self.status().await?.as_ref()) {
                return Ok(Some(answer));
            }
            let waited = start.elapsed();
            let left = patience.saturating_sub(waited);
            if left.is_zero() {
                return Ok(None);
            }
            sleep(left.min(if waited < OFTEN_FOR { LOOK_OFTEN } else { LOOK_SELDOM })).await;
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
