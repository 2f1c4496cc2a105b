//! The lock that keeps a home to one gateway, and by which everybody knows whether that gateway lives.
//!
//! `.drain.lock` is locked (`flock`, exclusive) for the life of the process, and says who holds it. So is the folder itself, where the
//! file system allows it: nobody frees that by deleting a file, and those who clean up temporary folders leave it alone.

use super::earlier;
use super::epoch::{Epoch, start_time};
use super::home::{Holder, Home, LockError};
use super::opened::OpenHome;
use super::read::Stamp;
use super::scan::{Memory, Scan, scan_in};
use super::spare::Spare;
use super::write;
use crate::hold::{Incarnation, RequestId};
use crate::sync::Mutex;
use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, flock, fstat, openat, renameat, statat};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// A start takes a second to be sure that the home is another gateway's: a process that asks who lives there holds the lock for an instant.
const TRIES: u32 = 500;
const PAUSE: Duration = Duration::from_millis(2);

/// Who holds a lock, as it stands there: `<incarnation> <process id> <start time> <PID namespace>`, `-` for what isn't known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    incarnation: Incarnation,
    pid: Option<i32>,
    /// In clock ticks since boot.
    start: Option<u64>,
    /// The number by which the system tells its PID namespace from others.
    namespace: Option<u64>,
}

impl Record {
    pub(crate) fn own(incarnation: &Incarnation) -> Self {
        let pid = i32::try_from(std::process::id()).ok();
        let start = pid.and_then(Process::of).and_then(|process| process.start);
        Self { incarnation: incarnation.clone(), pid, start, namespace: namespace("pid") }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let incarnation = Incarnation::from(words.next()?.to_owned());
        let mut word = || words.next().unwrap_or("-");
        let (pid, start, namespace) = (word().parse().ok(), word().parse().ok(), word().parse().ok());
        Some(Self { incarnation, pid, start, namespace })
    }

    /// The number of its process, if that is among those that this one sees.
    pub(crate) fn pid_here(&self) -> Option<i32> {
        self.pid.filter(|_| self.namespace.is_some() && self.namespace == namespace("pid"))
    }

    /// Whether its process is certainly gone. Only who sees the same processes can tell; for others the lock alone decides.
    ///
    /// A child that was forked has the lock open and is no gateway, since the threads of its parent are not in it.
    pub(crate) fn is_dead(&self) -> bool {
        let Some(pid) = self.pid_here() else { return false };
        match Pid::from_raw(pid).map(test_kill_process) {
            Some(Err(Errno::SRCH)) => true,
            None => false,
            // It lives, or another does that has got its number since. Whose it is may not be everybody's to see.
            Some(_) => Process::of(pid).is_some_and(|there| {
                there.is_zombie || there.start.zip(self.start).is_some_and(|(there, then)| there != then)
            }),
        }
    }
}

impl std::fmt::Display for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let number = |number: Option<u64>| number.map_or_else(|| "-".into(), |number| number.to_string());
        let pid = self.pid.map_or_else(|| "-".into(), |pid| pid.to_string());
        write!(f, "{} {pid} {} {}", self.incarnation, number(self.start), number(self.namespace))
    }
}

/// What `/proc` says of a process.
struct Process {
    start: Option<u64>,
    is_zombie: bool,
}

impl Process {
    /// `None` where `/proc` isn't there, isn't about the processes that this one sees, or doesn't show this one.
    fn of(pid: i32) -> Option<Self> {
        let own = std::fs::read_link("/proc/self").ok()?;
        if own.to_str()?.parse() != Ok(std::process::id()) {
            return None;
        }
        Some(Self::in_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?))
    }

    fn in_stat(stat: &str) -> Self {
        let fields: Vec<_> = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace().collect();
        // A process whose first thread has ended while others run looks like a zombie, and is none.
        let threads = fields.get(17).and_then(|threads| threads.parse::<u64>().ok());
        let is_zombie = matches!(fields.first(), Some(&("Z" | "X"))) && threads <= Some(1);
        // In a time namespace of one's own everything started at another time.
        let shifted = namespace("time").is_some_and(|namespace| namespace != INITIAL_TIME_NAMESPACE);
        Self { start: start_time(stat).filter(|_| !shifted), is_zombie }
    }
}

/// `PROC_TIME_INIT_INO` in Linux's `include/linux/proc_ns.h`.
const INITIAL_TIME_NAMESPACE: u64 = 0xEFFF_FFFA;

/// The number of this process's namespace of a kind: the link reads `pid:[4026531836]`.
fn namespace(kind: &str) -> Option<u64> {
    let link = std::fs::read_link(format!("/proc/self/ns/{kind}")).ok()?;
    link.to_str()?.split_once('[')?.1.strip_suffix(']')?.parse().ok()
}

/// Why an attempt at a lock came to nothing.
enum Refused {
    Busy(Holder),
    Failed(io::Error),
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Errno> for Refused {
    fn from(errno: Errno) -> Self {
        Self::Failed(errno.into())
    }
}

/// Opens the lock; `None` if there is none.
fn open(home: &OpenHome, access: OFlags) -> io::Result<Option<File>> {
    let flags = access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match openat(&home.folder, Home::LOCK, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    let opened = fstat(&file)?;
    if FileType::from_raw_mode(opened.st_mode) != FileType::RegularFile {
        return Err(io::Error::other(".drain.lock is not a regular file: remove it"));
    }
    // Its holder writes into it: under another name that could be anybody's file.
    if opened.st_nlink > 1 {
        return Err(io::Error::other(".drain.lock has a second name: remove it"));
    }
    Ok(Some(file))
}

/// What stands in a lock.
fn text_in(mut file: &File) -> io::Result<String> {
    let mut text = String::new();
    file.rewind()?;
    file.take(256).read_to_string(&mut text)?;
    Ok(text.trim().into())
}

/// Takes the lock, with nothing in it.
///
/// The name of the earlier holder is taken out under a shared lock, which no gateway has: until the lock is
/// exclusive, nobody is said to live here, and from then on the name in it is its holder's or none. The other way round
/// a dead gateway would live again until its successor has written its own name (E2).
fn take(file: &File) -> rustix::io::Result<()> {
    flock(file, FlockOperation::NonBlockingLockShared)?;
    rustix::fs::ftruncate(file, 0)?;
    flock(file, FlockOperation::NonBlockingLockExclusive)
}

fn write_record(mut file: &File, record: &Record) -> io::Result<()> {
    file.rewind()?;
    file.write_all(format!("{record}\n").as_bytes())?;
    write::sync(file)
}

fn is_there(home: &OpenHome, file: &File) -> io::Result<bool> {
    let ours = fstat(file)?;
    match statat(&home.folder, Home::LOCK, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(there) => Ok((ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Whether the folder could be locked; where the file system doesn't lock folders, nothing is known from that, and it counts as locked.
fn lock_folder(home: &OpenHome) -> bool {
    !matches!(flock(&home.folder, FlockOperation::NonBlockingLockExclusive), Err(Errno::WOULDBLOCK))
}

/// What is locked if it is the home's folder.
const FOLDER: &str = "the folder itself";

/// One attempt to become the gateway of an open home.
fn attempt(home: &OpenHome, record: &Record) -> Result<File, Refused> {
    if let Some(record) = earlier::live(home) {
        return Err(Refused::Busy(Holder::EarlierGateway(record)));
    }
    let turn = StartLock::take(home)?;
    let free = lock_folder(home);
    let file = match open(home, OFlags::RDWR)? {
        Some(file) => file,
        // Its gateway lives, and puts the lock back that somebody has removed.
        None if !free => return Err(Refused::Busy(Holder::Unknown(FOLDER))),
        None => create(home)?,
    };
    if free {
        match take(&file) {
            Ok(()) => return finish(home, file, record),
            Err(Errno::WOULDBLOCK) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    let is_kept = is_locked(&file)?;
    let said = text_in(&file)?;
    let is_dead = Record::parse(&said).is_some_and(|record| record.is_dead());
    if turn.is_alone() && is_kept && is_dead {
        return finish(home, succeed(home, record)?, record);
    }
    // A gateway locks the file for itself alone. The name of one that doesn't is a dead one's.
    Err(Refused::Busy(match (is_kept, free) {
        (true, _) if !is_dead && !said.is_empty() => Holder::Gateway(said),
        (false, false) => Holder::Unknown(FOLDER),
        _ => Holder::Unknown(Home::LOCK),
    }))
}

/// One start at a time looks at the lock: by a lock on the folder of holds, which nobody keeps.
struct StartLock(Option<OwnedFd>);

impl StartLock {
    fn take(home: &OpenHome) -> Result<Self, Refused> {
        // Whatever stands in the way there is found by the first look, and closes the gate.
        let Ok(holds) = home.make_holds() else { return Ok(Self(None)) };
        match flock(&holds, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self(Some(holds))),
            Err(Errno::WOULDBLOCK) => Err(Refused::Busy(Holder::Unknown(Home::HOLDS))),
            Err(_) => Ok(Self(None)),
        }
    }

    /// Whether no other start looks at the lock meanwhile. Where folders can't be locked nobody knows.
    fn is_alone(&self) -> bool {
        self.0.is_some()
    }
}

impl Drop for StartLock {
    fn drop(&mut self) {
        // See the drop of [`HomeLock`].
        self.0.iter().for_each(|holds| _ = flock(holds, FlockOperation::Unlock));
    }
}

/// Whether somebody holds the lock.
fn is_locked(file: &File) -> rustix::io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockShared) {
        Err(Errno::WOULDBLOCK) => Ok(true),
        // Not by closing it alone: a child that is just being started has it open too, and would keep it.
        taken => taken.and_then(|()| flock(file, FlockOperation::Unlock)).map(|()| false),
    }
}

/// A lock that isn't there yet.
fn create(home: &OpenHome) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = File::from(openat(&home.folder, Home::LOCK, flags, Mode::RUSR | Mode::WUSR)?);
    write::make_fit(&file, Some(home.owner()?))?;
    Ok(file)
}

/// Puts a lock of one's own in the place of one whose holder is dead: a child that it forked has it open, and keeps it locked.
fn succeed(home: &OpenHome, record: &Record) -> io::Result<File> {
    let (temporary, file) = write::create(&home.folder, Some(home.owner()?))?;
    let put = || {
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        write_record(&file, record)?;
        Ok::<_, io::Error>(renameat(&home.folder, &*temporary, &home.folder, Home::LOCK)?)
    };
    put().inspect_err(|_| _ = home.remove(&temporary))?;
    Ok(file)
}

/// Makes sure that what was locked locks, and is what everybody else finds.
fn finish(home: &OpenHome, file: File, record: &Record) -> Result<File, Refused> {
    write_record(&file, record)?;
    let Some(second) = open(home, OFlags::RDWR)? else { return Err(Refused::Busy(Holder::Unknown(Home::LOCK))) };
    if !is_there(home, &file)? {
        return Err(Refused::Busy(Holder::Unknown(Home::LOCK)));
    }
    match flock(&second, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => Ok(file),
        Err(errno) => Err(errno.into()),
        Ok(()) => Err(Refused::Failed(io::Error::other(
            "its file system grants one lock twice, so it can't keep two gateways apart: use a folder on a local file system",
        ))),
    }
}

/// Which gateway process lives in an open home.
pub(super) fn live(home: &OpenHome) -> io::Result<Option<Incarnation>> {
    let Some(file) = open(home, OFlags::RDONLY)? else { return Ok(None) };
    if !is_locked(&file)? {
        return Ok(None);
    }
    let record = Record::parse(&text_in(&file)?);
    Ok(record.filter(|record| !record.is_dead()).map(|record| record.incarnation))
}

/// A home kept to one gateway. Dropping it, or the end of the process, however it ends, frees the home.
#[derive(Debug)]
#[must_use = "dropping it frees the home"]
pub struct HomeLock {
    named: Home,
    home: OpenHome,
    record: Record,
    file: Mutex<File>,
    memory: Mutex<Memory>,
    spare: Spare,
}

/// How a gateway and its home stand.
#[derive(Debug)]
pub(crate) enum HomeState {
    /// The home is this gateway's.
    Held,
    /// It is, and those who look for it at its path don't find it.
    Unreachable(String),
    /// Another gateway has taken it over.
    Replaced(String),
    /// The folder has been deleted.
    Deleted,
}

/// What a look at the home has come to.
#[derive(Debug)]
pub(crate) struct HomeView {
    pub(crate) scan: Scan,
    /// Why the gateway can't be controlled or watched as it should, though it may be open.
    pub(crate) unready: Option<String>,
    /// Another gateway has taken over the home.
    pub(crate) replaced: bool,
}

impl HomeView {
    /// A look that couldn't be taken.
    pub(crate) fn blind(why: String) -> Self {
        Self { scan: Scan::blind(&*why), unready: Some(why), replaced: false }
    }
}

impl HomeLock {
    pub(super) fn of(named: &Home, incarnation: &Incarnation) -> Result<Self, LockError> {
        let unusable = |source| LockError::Unusable { home: named.path().to_owned(), source };
        let home = OpenHome::open_or_make(named.path()).map_err(unusable)?;
        let record = Record::own(incarnation);
        let mut tries = 0;
        let file = loop {
            tries += 1;
            match attempt(&home, &record) {
                Ok(file) => break file,
                #[expect(clippy::disallowed_methods, reason = "no event tells that a lock is free")]
                Err(Refused::Busy(_)) if tries < TRIES => std::thread::sleep(PAUSE),
                Err(Refused::Busy(by)) => return Err(LockError::InUse { home: named.path().to_owned(), by }),
                Err(Refused::Failed(source)) => return Err(unusable(source)),
            }
        };
        let spare = Spare::of(home.folder.as_fd());
        Ok(Self { named: named.clone(), home, record, file: Mutex::new(file), memory: Mutex::default(), spare })
    }

    /// The very home that is locked, even if another one stands at its path by now.
    pub(crate) fn home(&self) -> &OpenHome {
        &self.home
    }

    /// Whether the home is still this gateway's.
    ///
    /// # Errors
    /// What the file system says, or that it was deleted or has been taken over by another gateway.
    pub fn check(&self) -> io::Result<()> {
        match self.standing()? {
            HomeState::Held | HomeState::Unreachable(_) => Ok(()),
            HomeState::Replaced(why) => Err(io::Error::other(why)),
            HomeState::Deleted => Err(io::Error::other(self.deleted())),
        }
    }

    fn deleted(&self) -> String {
        format!("the home {} was deleted: make a new one and start the gateway again", self.named.path().display())
    }

    /// How the gateway and its home stand. A lock that was removed is put back.
    fn standing(&self) -> io::Result<HomeState> {
        if fstat(&self.home.folder)?.st_nlink == 0 {
            return Ok(HomeState::Deleted);
        }
        // Not if it was locked at the start, which it mostly was.
        lock_folder(&self.home);
        if !is_there(&self.home, &self.file.lock())? {
            let home = self.named.path().display();
            match self.put_back() {
                Ok(None) => {}
                Ok(Some(by)) => {
                    return Ok(HomeState::Replaced(format!("another gateway has taken over the home {home} ({by})")));
                }
                Err(error) => {
                    let why = format!("the lock of the home {home} is gone, and can't be put back: {error}");
                    return Ok(HomeState::Unreachable(why));
                }
            }
        }
        let ours = fstat(&self.home.folder)?;
        let path = self.named.path();
        Ok(match rustix::fs::stat(path) {
            Ok(there) if (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino) => HomeState::Held,
            Ok(_) => {
                HomeState::Unreachable(format!("another folder than this gateway's home is at {}", path.display()))
            }
            Err(errno) => HomeState::Unreachable(format!("the home is not found at {}: {errno}", path.display())),
        })
    }

    /// Locks again what is no longer there, or isn't the file that was locked; gives who has locked it meanwhile.
    fn put_back(&self) -> io::Result<Option<String>> {
        let file = match open(&self.home, OFlags::RDWR)? {
            Some(file) => file,
            None => match create(&self.home) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
                created => created?,
            },
        };
        match take(&file) {
            Ok(()) => {
                write_record(&file, &self.record)?;
                *self.file.lock() = file;
                Ok(None)
            }
            Err(Errno::WOULDBLOCK) => {
                let by = text_in(&file)?;
                // Without a name it is one who looks, or a start that is not over: the next look decides.
                Ok(Some(by).filter(|by| !by.is_empty()))
            }
            Err(errno) => Err(errno.into()),
        }
    }

    /// Looks at everything in the home, and at each of the holds `known` from files so far. Never fails (C4).
    pub(crate) fn look(&self, known: &[RequestId], epoch: &Epoch) -> HomeView {
        match self.standing() {
            Ok(HomeState::Held) => HomeView { scan: self.scan(known, epoch), unready: None, replaced: false },
            Ok(HomeState::Unreachable(why)) => {
                HomeView { scan: self.scan(known, epoch), unready: Some(why), replaced: false }
            }
            Ok(HomeState::Replaced(why)) => HomeView { replaced: true, ..HomeView::blind(why) },
            Ok(HomeState::Deleted) => HomeView { scan: Scan::lost(self.deleted()), ..HomeView::blind(self.deleted()) },
            Err(error) => HomeView::blind(format!("the home can't be looked at: {error}")),
        }
    }

    fn scan(&self, known: &[RequestId], epoch: &Epoch) -> Scan {
        let lacked = |scan: &Scan| scan.shortage.is_some();
        let scan = self.spare.lend(self.home.folder.as_fd(), lacked, || scan_in(&self.home, known, epoch));
        self.memory.lock().settle(scan, Instant::now())
    }

    /// Replaces a file of the gateway's own, in the home itself.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> io::Result<Stamp> {
        self.check().map_err(|error| io::Error::new(error.kind(), format!("the home is no longer ours: {error}")))?;
        let lacked = |written: &io::Result<Stamp>| written.as_ref().is_err_and(is_shortage);
        self.spare.lend(self.home.folder.as_fd(), lacked, || self.home.write(name, bytes))
    }

    /// Removes a file of the gateway's own, in the home itself.
    pub(crate) fn remove(&self, name: &str) -> io::Result<bool> {
        self.check()?;
        self.home.remove(name)
    }
}

/// Whether it says that the process, or the system, has no descriptor left.
fn is_shortage(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

impl Drop for HomeLock {
    fn drop(&mut self) {
        // Closing them would not do: a child that is just being started has them open too, until it is another program,
        // and for so long its dead parent would live (E2). If this fails, closing them is what is left.
        let _ = flock(&*self.file.lock(), FlockOperation::Unlock);
        let _ = flock(&self.home.folder, FlockOperation::Unlock);
    }
}

#[cfg(test)]
mod tests;
