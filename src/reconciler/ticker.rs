//! What the thread does: it looks, lets the gateway follow, and publishes.

use super::Shared;
use super::disk_worker::{DiskFailure, DiskWorker};
use crate::control::changes::Changes;
use crate::control::lock::HomeView;
use crate::control::scan::Scan;
use crate::control::write;
use crate::hold::{Commit, Hold, HoldSet, Nonce, Source};
use crate::state::DrainState;
use crate::status::{CommitRecord, Ignored, IgnoredKind, Snapshot, StatusWriter};
use std::collections::BTreeSet;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long a gateway that finds another one in its home lets its work in flight take: 30 seconds.
const REPLACED_GRACE: Duration = Duration::from_secs(30);

/// However long a look takes, the next one is no further off than this for a caller that asks for one: 50 milliseconds.
const LONGEST_REST: Duration = Duration::from_millis(50);

/// What the thread owns.
pub(super) struct Ticker {
    shared: Arc<Shared>,
    disk: DiskWorker,
    writer: Arc<StatusWriter>,
    /// Tells of changes, if it is to.
    changes: Option<Arc<Changes>>,
    published: Option<(Snapshot, Duration)>,
    /// The commits on record; none where that isn't known.
    recorded: Option<Vec<Hold>>,
    /// The record is this process's own.
    has_recorded: bool,
    /// Of the last attempt: one that timed out may still succeed.
    revision: u64,
    /// The last look lacked descriptors or memory.
    short: bool,
    /// The last look found the status as it was published: not removed, not replaced, not written over. A look that fails
    /// found nothing.
    is_intact: bool,
}

impl Ticker {
    pub(super) fn new(
        shared: Arc<Shared>,
        disk: DiskWorker,
        writer: Arc<StatusWriter>,
        changes: Option<Arc<Changes>>,
    ) -> Self {
        Self {
            shared,
            disk,
            writer,
            changes,
            published: None,
            recorded: None,
            has_recorded: false,
            revision: 0,
            short: false,
            is_intact: false,
        }
    }

    /// Looks and publishes until the end. A panic anywhere in it is caught, counted, and followed by another look.
    pub(super) fn run(mut self) {
        let mut panics_in_a_row = 0_u32;
        let mut leftovers = true;
        loop {
            let (alarm, gate) = (Arc::clone(&self.shared.alarm), self.shared.controller.gate().clone());
            let began = Instant::now();
            let ending = self.shared.stop.load(Ordering::Acquire);
            let mut changed = None;
            let mut rest = Duration::ZERO;
            let ticked = catch_unwind(AssertUnwindSafe(|| {
                // Whatever becomes of the rest (L4).
                self.shared.settle_shutdown();
                if std::mem::take(&mut leftovers) {
                    // Left undone if it takes too long: nobody reads what is left there.
                    let writer = Arc::clone(&self.writer);
                    let _ = self.on_disk(move || write::remove_leftovers(writer.lock().home()));
                }
                let looking = Instant::now();
                self.look();
                rest = looking.elapsed().min(LONGEST_REST);
                // What the look itself has changed is published now; what changes from here on makes another one.
                changed = Some(alarm.rung_by(&gate));
                // An error is kept in `health`, and the next tick tries again.
                let _ = self.publish();
            }));
            let _changed = changed.unwrap_or_else(|| alarm.rung_by(&gate));
            if ending {
                return;
            }
            let tick = self.shared.options.tick;
            let pause = match &ticked {
                Ok(()) => {
                    panics_in_a_row = 0;
                    // A fifth short of the tick: what appears right after a look is acted on and published within one.
                    let rest = (tick / 5 * 4).saturating_sub(began.elapsed());
                    self.shared.controller.until_next_change().min(rest).min(self.until_refresh())
                }
                Err(panic) => {
                    panics_in_a_row += 1;
                    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
                    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
                    let mut channel = self.shared.channel.lock();
                    channel.reconciler.panics += 1;
                    channel.reconciler.last_error = Some(format!("a tick panicked: {text}"));
                    drop(channel);
                    if self.shared.controller.state() == DrainState::Stopped {
                        self.shared.controller.end_published();
                    }
                    let pause = tick.saturating_mul(1 << panics_in_a_row.min(5)).min(Duration::from_secs(30));
                    pause.min(self.shared.controller.until_the_shutdown_changes())
                }
            };
            // A thousand files that change all the time cost half of a core at most.
            alarm.sleep(pause, rest);
        }
    }

    /// Does something to the disk. If that takes long, a shutdown's deadline takes effect meanwhile (L4). A lease does not:
    /// its renewal may lie in what is being read.
    fn on_disk<T: Send + 'static>(&mut self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, DiskFailure> {
        let shared = &self.shared;
        let meanwhile = || shared.settle_shutdown();
        self.disk.call(shared.options.disk_timeout, meanwhile, work)
    }

    /// Looks at the files and lets the gateway follow.
    pub(super) fn look(&mut self) {
        let (writer, epoch) = (Arc::clone(&self.writer), self.shared.process.epoch.clone());
        let known = self.shared.controller.among_holds(HoldSet::in_files);
        let changes = self.changes.clone();
        let looked = self.on_disk(move || {
            // First: what changes in the middle of the look makes another one.
            let told = changes.is_some_and(|changes| changes.follow(writer.lock().home()).is_ok());
            let look = writer.lock().look(&known, &epoch);
            (look, told, writer.is_intact())
        });
        let blind = |why| (HomeView::blind(format!("the home can't be looked at: {why}")), false, false);
        let (HomeView { scan, unready: unseen, replaced }, told, is_intact) = looked.unwrap_or_else(blind);
        self.is_intact = is_intact;
        if replaced {
            // Whatever is asked for in the home is asked of the other one.
            let _ = self.shared.controller.begin_shutdown(REPLACED_GRACE);
        }
        let recorded = self.record_grants(&scan);
        self.shared.controller.reconcile(&scan.requests, |id| scan.is_absent(id), &recorded);

        let overwritten: Vec<Ignored> = self.shared.controller.among_holds(|holds| {
            let overwritten = scan.requests.iter().filter_map(|request| {
                let hold = holds.get(&request.id, Source::File).filter(|hold| hold.overwritten)?;
                let found = match (request.stale, request.owner.is_empty()) {
                    (true, _) => "another epoch",
                    (false, true) => &request.notes.reason,
                    (false, false) => &request.owner,
                };
                let detail = format!("its file was overwritten ({found}); the hold is {}'s, and stays", hold.owner);
                Some(Ignored::new(hold.id.as_str(), IgnoredKind::Overwritten, detail))
            });
            overwritten.collect()
        });

        let mut channel = self.shared.channel.lock();
        if let Some(why) = new_error(unseen.as_ref(), scan.shortage.as_ref(), self.short) {
            channel.reconciler.failed(why.clone());
        }
        self.short = scan.shortage.is_some();
        let stale = |(id, why): (String, String)| Ignored::new(id, IgnoredKind::OtherEpoch, why);
        channel.ignored = scan.ignored.into_iter().map(stale).collect();
        channel.ignored.extend(overwritten);
        channel.reconciler.alive = true;
        channel.reconciler.events = told;
        drop(channel);
        let mut health = self.shared.health.lock();
        health.unseen = unseen;
        health.last_tick = self.shared.options.settings.clock.now();
    }

    /// Puts the commits that this look would grant on record, and gives the tokens that may be granted: none if that fails.
    /// Then they are decided at a later look.
    fn record_grants(&mut self, scan: &Scan) -> BTreeSet<Nonce> {
        let Some(commits) = self.shared.controller.grants(&scan.requests, |id| scan.is_absent(id)) else {
            return BTreeSet::new();
        };
        match self.record(&commits) {
            Ok(()) => commits.into_iter().filter_map(|hold| Some(hold.commit?.token)).collect(),
            Err(error) => {
                let why = format!("a commit is not decided, since it can't be put on record: {error}");
                self.shared.channel.lock().reconciler.failed(why);
                BTreeSet::new()
            }
        }
    }

    fn record(&mut self, commits: &[Hold]) -> io::Result<()> {
        let now = self.shared.options.settings.clock.now();
        let record = CommitRecord::new(commits, &self.shared.process.epoch, now);
        // Whatever comes of it: what stands there is not known to be what stood there before.
        self.recorded = None;
        let writer = Arc::clone(&self.writer);
        let written = self.on_disk(move || writer.record(&record));
        written.unwrap_or_else(|why| Err(io::Error::other(why.to_string())))?;
        self.recorded = Some(commits.to_vec());
        self.has_recorded = true;
        Ok(())
    }

    /// Brings the record up to date before the status says what it doesn't: that a commit has ended, above all. A record
    /// that can't be replaced is taken away, since it would bring an ended commit back if the status were lost.
    fn settle_record(&mut self) -> io::Result<()> {
        let commits = self.shared.controller.among_holds(HoldSet::commits);
        let says = |recorded: &Vec<Hold>| recorded.iter().map(undated).eq(commits.iter().map(undated));
        if self.recorded.as_ref().is_some_and(says) {
            return Ok(());
        }
        let ours = self.has_recorded;
        if let Err(error) = self.record(&commits) {
            if !ours {
                // What stands there an earlier process has left, and the next start may need it.
                return Err(error);
            }
            let writer = Arc::clone(&self.writer);
            let removed = self.on_disk(move || writer.forget_record());
            removed.unwrap_or_else(|why| Err(io::Error::other(why.to_string()))).map_err(|_| error)?;
        }
        Ok(())
    }

    /// Publishes the status, if it says something new or isn't there as it was published any more.
    pub(super) fn publish(&mut self) -> io::Result<()> {
        if let Err(error) = self.settle_record() {
            let why = format!("the record of commits can't be written: {error}");
            self.shared.channel.lock().reconciler.failed(why);
        }
        let now = self.shared.options.settings.clock.now();
        let mut snapshot = self.shared.snapshot();
        let stays_true =
            self.published.as_mut().is_some_and(|(published, _)| published.take_times_and_compare(&snapshot));
        if stays_true && !self.until_refresh().is_zero() && self.is_intact {
            return Ok(());
        }
        self.revision += 1;
        snapshot.drain.revision = self.revision;
        let state = snapshot.drain.state;
        let (writer, written) = (Arc::clone(&self.writer), snapshot.clone());
        let outcome = self.on_disk(move || writer.publish(&written));
        let outcome = outcome.unwrap_or_else(|why| Err(io::Error::other(why.to_string())));
        let mut failed = outcome.as_ref().err().map(|error| format!("the status can't be published: {error}"));
        if let Some(why) = &failed {
            self.shared.channel.lock().reconciler.failed(why.clone());
            if self.published.as_ref().is_none_or(|(published, _)| !published.is_true_beside(&snapshot)) {
                // No status is better than an old truth (C8). Where it can't be removed either, its age tells.
                let writer = Arc::clone(&self.writer);
                let _ = self.on_disk(move || writer.remove());
                self.published = None;
            } else if self.is_believed(now) && self.is_intact() {
                // It says what is so, and nobody takes it for silence yet.
                failed = None;
            }
        } else {
            *self.shared.published.latest.lock() = Some(Arc::new(snapshot.clone()));
            self.shared.channel.lock().revision = self.revision;
            self.published = Some((snapshot, now));
        }
        self.shared.health.lock().unpublished = failed;
        // Its wakers are others' code, and so not woken here (L5).
        self.shared.controller.wake(self.shared.published.tried.notify());
        if state == DrainState::Stopped {
            // Or the attempt has failed, and nobody is to wait for another.
            self.shared.controller.end_published();
        }
        outcome
    }

    /// How long what was published last may stand although it says nothing new: its age is what shows that somebody lives.
    fn until_refresh(&self) -> Duration {
        let now = self.shared.options.settings.clock.now();
        let age = self.published.as_ref().map(|(_, at)| now.saturating_sub(*at));
        age.map_or(Duration::MAX, |age| self.shared.options.refresh.saturating_sub(age))
    }

    /// Whether a reader believes what was published last (C8).
    fn is_believed(&self, now: Duration) -> bool {
        let young = |(published, at): &(Snapshot, Duration)| now.saturating_sub(*at) <= published.drain.believed_for();
        self.published.as_ref().is_some_and(young)
    }

    /// Whether what was published last is there still. A look that fails is none.
    fn is_intact(&mut self) -> bool {
        let writer = Arc::clone(&self.writer);
        self.on_disk(move || writer.is_intact()).unwrap_or(false)
    }
}

/// A commit without the moment of its grant: that it is put on record is some milliseconds before it is decided.
fn undated(hold: &Hold) -> Hold {
    let commit = hold.commit.clone().map(|commit| Commit { at: Duration::ZERO, ..commit });
    Hold { commit, ..hold.clone() }
}

/// What of a look is counted as an error: what it couldn't see, and a shortage unless the look before lacked something, too. One that
/// lasts would be something new to say at each look, which can't be published just then.
fn new_error<'a>(unseen: Option<&'a String>, shortage: Option<&'a String>, was_short: bool) -> Option<&'a String> {
    unseen.or(shortage.filter(|_| !was_short))
}

#[cfg(test)]
mod tests {
    use super::new_error;

    #[test]
    fn a_shortage_is_one_error_however_many_looks_it_lasts_and_what_can_not_be_seen_is_one_each_time() {
        let (unseen, shortage) = ("the home is gone".to_owned(), "no descriptor is left".to_owned());
        for was_short in [false, true] {
            assert_eq!(new_error(Some(&unseen), None, was_short), Some(&unseen));
            assert_eq!(new_error(Some(&unseen), Some(&shortage), was_short), Some(&unseen));
            assert_eq!(new_error(None, None, was_short), None);
        }
        assert_eq!(new_error(None, Some(&shortage), false), Some(&shortage), "the first look that lacks something");
        assert_eq!(new_error(None, Some(&shortage), true), None, "the next one");
    }
}
