//! Linux: inotify, read by a thread that sleeps in `poll` until something has changed.

use super::{ChangeCallback, Folder, Kind, OpenHome, PAUSE, Topic};
use crate::sync::{Arc, Mutex};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::thread::JoinHandle;

/// What is told of either folder: what happens to its names, and to itself.
const MASK: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::MOVE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

/// Room for some dozens of events at once.
const BUFFER: usize = 4096;

/// No more events are taken out before it is told what they were: where they come faster than they can be read, they never
/// end.
const AT_ONCE: usize = 4096;

pub(super) struct Following {
    watches: Arc<Watches>,
    thread: Option<JoinHandle<()>>,
}

struct Watches {
    topic: Topic,
    events: OwnedFd,
    /// Wakes the thread once it is to end.
    end: OwnedFd,
    home: Place,
    holds: Place,
}

/// The number of the watch of a folder, if it is watched.
type Place = Mutex<Option<i32>>;

impl Following {
    pub(super) fn start(topic: Topic, tell: ChangeCallback) -> io::Result<Self> {
        let watches = Arc::new(Watches {
            topic,
            events: inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?,
            end: eventfd(0, EventfdFlags::CLOEXEC)?,
            home: Place::default(),
            holds: Place::default(),
        });
        let read = Arc::clone(&watches);
        let named = std::thread::Builder::new().name("gateway-drain-events".into());
        let thread = named.spawn(move || read.tell_on(&*tell))?;
        Ok(Self { watches, thread: Some(thread) })
    }

    /// It has failed, and tells nothing any more.
    pub(super) fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    pub(super) fn follow(&self, home: &OpenHome) -> io::Result<()> {
        let watches = &self.watches;
        watches.lay(&watches.home, &home.folder)?;
        if watches.topic == Topic::Requests {
            if let Ok(holds) = home.holds() {
                watches.lay(&watches.holds, &holds)?;
            } else {
                // Once it is there, or can be opened, the home tells of it, or the tick does.
                let before = watches.holds.lock().take();
                watches.lift(before);
            }
        }
        Ok(())
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let told = rustix::io::write(&self.watches.end, &1_u64.to_ne_bytes());
        if let (Ok(_), Some(thread)) = (told, self.thread.take()) {
            let _ = thread.join();
        }
    }
}

impl Watches {
    /// Has a folder watched, by its descriptor. If it is watched already, that changes nothing.
    fn lay(&self, place: &Place, folder: &OwnedFd) -> io::Result<()> {
        let path = format!("/proc/self/fd/{}", folder.as_raw_fd());
        let watch = inotify::add_watch(&self.events, path, MASK)?;
        let before = place.lock().replace(watch);
        self.lift(before.filter(|before| *before != watch));
        Ok(())
    }

    fn lift(&self, watch: Option<i32>) {
        if let Some(watch) = watch {
            // The system has lifted it itself if its folder is gone.
            let _ = inotify::remove_watch(&self.events, watch);
        }
    }

    /// Tells until the end, or until the events can't be read any more.
    fn tell_on(&self, tell: &(dyn Fn() + Send + Sync)) {
        let mut buffer = Vec::with_capacity(BUFFER);
        while self.sleeps_until_something_happens() {
            match self.is_of_interest(&mut buffer) {
                Ok(true) => tell(),
                Ok(false) => {}
                Err(_) => {
                    // One last time: the next look begins again.
                    tell();
                    return;
                }
            }
            if self.ends_within_a_pause() {
                return;
            }
        }
    }

    /// False if this is the end.
    fn sleeps_until_something_happens(&self) -> bool {
        let mut both = [PollFd::new(&self.events, PollFlags::IN), PollFd::new(&self.end, PollFlags::IN)];
        loop {
            match poll(&mut both, None) {
                Err(Errno::INTR) => {}
                polled => return polled.is_ok() && both[1].revents().is_empty(),
            }
        }
    }

    /// What happens meanwhile is told together.
    fn ends_within_a_pause(&self) -> bool {
        let pause = Timespec { tv_sec: 0, tv_nsec: PAUSE.subsec_nanos().into() };
        poll(&mut [PollFd::new(&self.end, PollFlags::IN)], Some(&pause)) == Ok(1)
    }

    /// Takes out the events that are there; tells whether any of them is of interest.
    fn is_of_interest(&self, buffer: &mut Vec<u8>) -> rustix::io::Result<bool> {
        let mut reader = Reader::new(&self.events, buffer.spare_capacity_mut());
        let (mut any, mut taken) = (false, 0);
        // What the reader has been given already would be lost with it.
        while taken < AT_ONCE || !reader.is_buffer_empty() {
            taken += 1;
            match reader.next() {
                Ok(event) => any |= self.has(event.wd(), event.events(), event.file_name().map(CStr::to_bytes)),
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(any)
    }

    fn has(&self, watch: i32, what: ReadFlags, name: Option<&[u8]>) -> bool {
        let is = |place: &Place| *place.lock() == Some(watch);
        let Some(name) = name else {
            // Events were lost, or it is about the folder itself. That a folder of holds is gone says nothing about holds.
            return is(&self.home) || !what.intersects(ReadFlags::DELETE_SELF | ReadFlags::IGNORED);
        };
        let kind = if what.intersects(ReadFlags::DELETE | ReadFlags::MOVED_FROM) {
            if what.contains(ReadFlags::ISDIR) { Kind::FolderGone } else { Kind::Gone }
        } else if what.contains(ReadFlags::MOVED_TO) {
            Kind::Come
        } else if what.contains(ReadFlags::CLOSE_WRITE) {
            Kind::Written
        } else {
            Kind::Other
        };
        match (is(&self.home), is(&self.holds)) {
            (true, _) => self.topic.has(Folder::Home, name, kind),
            (false, true) => self.topic.has(Folder::Holds, name, kind),
            // Of a watch that has just been laid, or lifted.
            (false, false) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn after_each_change_that_is_told_comes_a_pause_that_the_end_alone_cuts_short() {
        let following = Following::start(Topic::Requests, Arc::new(|| {})).unwrap();
        let began = Instant::now();
        assert!(!following.watches.ends_within_a_pause(), "nothing ends it");
        assert!(began.elapsed() >= PAUSE, "{:?}", began.elapsed());
        rustix::io::write(&following.watches.end, &1_u64.to_ne_bytes()).unwrap();
        assert!(following.watches.ends_within_a_pause(), "it is to end");
    }
}
