//! Descriptors in reserve: a process that has used up its own can still look at its home and publish.
//!
//! They are given back to the system for the one attempt that lacked them, and taken again after it. Another thread of the
//! process may be quicker and take them; then the attempt fails as it would have without a reserve.

use crate::sync::Mutex;
use rustix::io::fcntl_dupfd_cloexec;
use std::os::fd::{BorrowedFd, OwnedFd};

/// A look has at most three files open at once: the folder of holds, its listing or a hold, and the lock.
const KEPT: usize = 3;

#[derive(Debug)]
pub(super) struct Spare(Mutex<Vec<OwnedFd>>);

impl Spare {
    /// A reserve of copies of this descriptor. Where there is no room for them now, they are taken later.
    pub(super) fn of(original: BorrowedFd<'_>) -> Self {
        let spare = Self(Mutex::new(Vec::with_capacity(KEPT)));
        spare.refill(original);
        spare
    }

    /// Does some `work`, and does it once more with the reserve given back if it lacked a descriptor.
    pub(super) fn lend<T>(&self, original: BorrowedFd<'_>, lacked: impl Fn(&T) -> bool, work: impl Fn() -> T) -> T {
        let mut done = work();
        if lacked(&done) {
            self.0.lock().clear();
            done = work();
        }
        self.refill(original);
        done
    }

    fn refill(&self, original: BorrowedFd<'_>) {
        let mut kept = self.0.lock();
        while kept.len() < KEPT {
            // Above the standard ones, which a process may have closed and means to open by their numbers.
            let Ok(copy) = fcntl_dupfd_cloexec(original, 3) else { return };
            kept.push(copy);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::os::fd::AsFd as _;

    #[test]
    fn work_that_lacks_a_descriptor_is_done_again_with_all_of_the_reserve_which_is_full_before_and_after() {
        let file = std::fs::File::open("/dev/null").unwrap();
        let spare = Spare::of(file.as_fd());
        let kept = || spare.0.lock().len();
        let seen = RefCell::new(Vec::new());
        let work = || {
            seen.borrow_mut().push(kept());
            kept()
        };
        assert_eq!(spare.lend(file.as_fd(), |_| false, work), KEPT, "nothing was lacking");
        assert_eq!(spare.lend(file.as_fd(), |kept| *kept > 0, work), 0);
        assert_eq!((seen.take(), kept()), (vec![KEPT, KEPT, 0], KEPT));
    }
}
