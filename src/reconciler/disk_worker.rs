//! Work that may hang, bounded in time: it runs on a thread of its own, and its caller waits only so long.

use core::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::time::Duration;

pub(super) type Job = Box<dyn FnOnce() + Send>;

/// One thread, one piece of work at a time. A piece that hangs is not waited for any longer, and until it comes back
/// every further one fails at once: a disk that hangs costs one thread, never more.
pub(super) struct DiskWorker {
    pub(super) jobs: Sender<Job>,
    /// The end of the piece that was given up waiting for.
    overdue: Option<Receiver<()>>,
}

/// How long the caller waits before it sees to other things.
const SLICE: Duration = Duration::from_millis(20);

/// Why a piece of work has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DiskFailure {
    /// It takes longer than it may, or an earlier one does still.
    TimedOut,
    /// It panicked.
    Panicked,
}

impl fmt::Display for DiskFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TimedOut => "the file system doesn't answer in time",
            Self::Panicked => "the attempt panicked",
        })
    }
}

impl DiskWorker {
    pub(super) fn new(name: &str) -> std::io::Result<Self> {
        let (jobs, work) = channel::<Job>();
        std::thread::Builder::new().name(name.into()).spawn(move || work.into_iter().for_each(|job| job()))?;
        Ok(Self { jobs, overdue: None })
    }

    /// Does `work` within `timeout`; does `meanwhile` again and again on the caller's thread if it takes long.
    pub(super) fn call<T: Send + 'static>(
        &mut self,
        timeout: Duration,
        meanwhile: impl Fn(),
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, DiskFailure> {
        if let Some(overdue) = &self.overdue {
            if overdue.try_recv() == Err(TryRecvError::Empty) {
                return Err(DiskFailure::TimedOut);
            }
            self.overdue = None;
        }
        let (result, got) = channel();
        let (over, overdue) = channel::<()>();
        let job = move || {
            let done = catch_unwind(AssertUnwindSafe(work));
            // Nobody may be waiting any more.
            let _ = result.send(done);
            drop(over);
        };
        if self.jobs.send(Box::new(job)).is_err() {
            return Err(DiskFailure::Panicked);
        }
        let mut left = timeout;
        loop {
            let slice = left.min(SLICE);
            left -= slice;
            match got.recv_timeout(slice) {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(_)) | Err(RecvTimeoutError::Disconnected) => return Err(DiskFailure::Panicked),
                Err(RecvTimeoutError::Timeout) if left.is_zero() => {
                    self.overdue = Some(overdue);
                    return Err(DiskFailure::TimedOut);
                }
                Err(RecvTimeoutError::Timeout) => meanwhile(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_hangs_is_given_up_and_holds_up_no_more_than_itself() {
        let mut worker = DiskWorker::new("test").unwrap();
        let (go, gate) = channel::<()>();
        let hung = worker.call(Duration::from_millis(10), || (), move || gate.recv().is_ok());
        assert_eq!(hung, Err(DiskFailure::TimedOut));
        assert_eq!(DiskFailure::TimedOut.to_string(), "the file system doesn't answer in time");
        assert_eq!(
            worker.call(Duration::from_secs(60), || (), || 1),
            Err(DiskFailure::TimedOut),
            "the thread is still taken"
        );

        go.send(()).unwrap();
        worker.overdue.as_ref().unwrap().recv().unwrap_err();
        assert_eq!(worker.call(Duration::from_secs(60), || (), || 2), Ok(2), "the thread has come back");
    }

    #[test]
    fn work_that_panics_is_told_and_the_thread_goes_on() {
        let mut worker = DiskWorker::new("test").unwrap();
        assert_eq!(
            worker.call::<()>(Duration::from_secs(60), || (), || panic!("as intended")),
            Err(DiskFailure::Panicked)
        );
        assert_eq!(DiskFailure::Panicked.to_string(), "the attempt panicked");
        assert_eq!(worker.call(Duration::from_secs(60), || (), || 3), Ok(3));
    }
}
