//! A gateway of somebody's own, which knows nothing of gateway-drain: it runs jobs, can be paused, and shuts down.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The gateway.
#[derive(Clone, Default)]
pub struct Jobs(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    mode: Mode,
    running: u64,
}

/// Whether it takes jobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It does.
    #[default]
    Open,
    /// Not at the moment.
    Paused,
    /// Not any more.
    Closing,
    /// It has ended.
    Closed,
}

/// One job, which runs for as long as this lives.
pub struct Job(Jobs);

impl Jobs {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a job, unless it is paused or closing.
    pub fn start(&self) -> Option<Job> {
        let mut inner = self.inner();
        if inner.mode != Mode::Open {
            return None;
        }
        inner.running += 1;
        Some(Job(self.clone()))
    }

    /// Takes no jobs until [`resume`](Self::resume).
    pub fn pause(&self) {
        self.switch(&[Mode::Open], Mode::Paused);
    }

    /// Takes jobs again.
    pub fn resume(&self) {
        self.switch(&[Mode::Paused], Mode::Open);
    }

    /// Takes no jobs any more.
    pub fn close(&self) {
        self.switch(&[Mode::Open, Mode::Paused], Mode::Closing);
    }

    /// Ends, if it is closing and no job runs.
    pub fn end(&self) {
        let mut inner = self.inner();
        if inner.mode == Mode::Closing && inner.running == 0 {
            inner.mode = Mode::Closed;
        }
    }

    /// Whether it takes jobs, and how many run.
    pub fn look(&self) -> (Mode, u64) {
        let inner = self.inner();
        (inner.mode, inner.running)
    }

    fn switch(&self, from: &[Mode], to: Mode) {
        let mut inner = self.inner();
        if from.contains(&inner.mode) {
            inner.mode = to;
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.0.inner().running -= 1;
    }
}
