//! One look at everything in a home's channel.

use super::epoch::Epoch;
use super::home::Home;
use super::opened::OpenHome;
use super::read::{self, Content, Unreadable};
use super::request_file::{Found, interpret};
use crate::hold::{Nonce, Request, RequestId, Source};
use std::collections::{BTreeSet, HashSet};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant, SystemTime};

/// No more hold files than this are looked at: 4,096. More of them are one hold of their own.
pub const MAX_HOLD_FILES: usize = 4096;

/// What a look amounts to that found no content.
pub(crate) fn nothing_read(why: Unreadable) -> Found {
    match why {
        Unreadable::Missing => Found::Absent,
        why => Found::Unreadable { why: why.to_string(), nonce: None },
    }
}

impl Found {
    /// The request that this finding amounts to; `None` if it holds nothing.
    fn into_request(self, id: &RequestId) -> Option<Request> {
        match self {
            Self::Absent => None,
            Self::Stale { nonce, .. } => Some(Request { stale: true, ..without_content(id.clone(), "", Some(nonce)) }),
            Self::Valid(request) => Some(*request),
            Self::Unreadable { why, nonce } => Some(without_content(id.clone(), why, nonce)),
        }
    }
}

fn without_content(id: RequestId, why: impl Into<String>, nonce: Option<Nonce>) -> Request {
    Request { nonce, source: Source::File, ..Request::begin(id, "").reason(why) }
}

/// Everything in a home's channel, at one look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// All that lies there, for what is there to be answered: requests, and what is as good as one.
    pub requests: Vec<Request>,
    /// All that is there and not honoured: where, and why.
    pub ignored: Vec<(String, String)>,
    /// Whose file was looked for by its name and is definitely not there.
    pub absent: BTreeSet<RequestId>,
    /// Whether the look went everywhere.
    pub complete: bool,
    /// What the process, or the system, had none left of in the look (descriptors, memory): then nothing was learned from it.
    pub shortage: Option<String>,
}

impl Scan {
    /// A look that went everywhere and has found nothing yet: see [`take`](Self::take).
    #[must_use]
    pub fn empty() -> Self {
        Self { complete: true, ..Self::default() }
    }

    /// A look that couldn't be taken: nothing is known to be absent, and the gate is held closed for that.
    #[must_use]
    pub fn blind(why: impl Into<String>) -> Self {
        Self { requests: vec![without_content(RequestId::found("home"), why, None)], ..Self::default() }
    }

    /// A look at a home that is gone for good: as [`blind`](Self::blind), and no lease ends it, since nothing in the home can.
    pub(crate) fn lost(why: impl Into<String>) -> Self {
        let request = without_content(RequestId::found("home"), why, Some(Nonce::fresh()));
        Self { requests: vec![request.lease(Duration::MAX)], ..Self::default() }
    }

    /// Why the look couldn't be taken, if it couldn't.
    #[must_use]
    pub fn blind_to(&self) -> Option<&str> {
        let home = RequestId::found("home");
        self.requests.iter().find(|request| request.id == home).map(|request| request.notes.reason.as_str())
    }

    /// Whether the file of an `id` that is not among the requests is definitely not there: it was looked for by its name.
    ///
    /// What has no request id of its own can't be looked for. What a look puts in the place of files that it couldn't take
    /// in (`!home`, `!holds`, a file of another name) is over as soon as a look goes everywhere without it.
    #[must_use]
    pub fn is_absent(&self, id: &RequestId) -> bool {
        if id.is_found() { self.complete } else { self.absent.contains(id) }
    }
}

/// Takes a look at everything in the channel, and at each of the holds `known` from files so far. Never fails (C4).
#[must_use]
pub fn scan(home: &Home, known: &[RequestId], epoch: &Epoch) -> Scan {
    match OpenHome::open(home.path()) {
        Ok(home) => scan_in(&home, known, epoch),
        Err(why) => Scan::blind(format!("the home can't be read: {why}")),
    }
}

/// As [`scan`], in an open home.
pub(crate) fn scan_in(home: &OpenHome, known: &[RequestId], epoch: &Epoch) -> Scan {
    let mut scan = Scan::empty();
    let marker = RequestId::marker();
    scan.look_at(&home.folder, Home::file_name(&marker).as_bytes(), &marker, epoch);
    scan.take_holds(home, known, epoch);
    scan
}

/// What the last look that could be taken has found. It stands while a process has no descriptors or no memory left, but not for ever.
#[doc(hidden)]
#[derive(Debug, Default)]
pub struct Memory {
    last: Option<Scan>,
    short_since: Option<Instant>,
}

impl Memory {
    /// For so long a look that learned nothing changes nothing: one minute.
    pub(crate) const STANDS: Duration = Duration::from_secs(60);

    /// What is known after a look at `now`.
    pub fn settle(&mut self, scan: Scan, now: Instant) -> Scan {
        if scan.shortage.is_none() {
            *self = Self { last: Some(scan.clone()), short_since: None };
            return scan;
        }
        let since = *self.short_since.get_or_insert(now);
        match &self.last {
            Some(last) if now.saturating_duration_since(since) < Self::STANDS => {
                Scan { shortage: scan.shortage, ..last.clone() }
            }
            _ => scan,
        }
    }
}

impl Scan {
    /// Takes in what was found under the name of `id` by a gateway of the epoch `ours`.
    pub fn take(&mut self, id: &RequestId, found: Found, ours: &Epoch) {
        if let Found::Stale { epoch, .. } = &found {
            let why = format!("it was written in another epoch ({}); this one is {}", epoch.as_str(), ours.as_str());
            self.ignored.push((id.to_string(), why));
        }
        match found.into_request(id) {
            Some(request) => self.requests.push(request),
            None => _ = self.absent.insert(id.clone()),
        }
    }

    /// Takes in what stands at `name` in an open folder.
    fn look_at(&mut self, folder: &OwnedFd, name: &[u8], id: &RequestId, epoch: &Epoch) {
        let content = read::content(folder, name);
        if let Err(Unreadable::Shortage(what)) = &content {
            self.shortage = Some(what.clone());
        }
        self.take(id, found(content, id, epoch), epoch);
    }

    fn take_holds(&mut self, home: &OpenHome, known: &[RequestId], epoch: &Epoch) {
        let listed = home.holds().and_then(|folder| {
            let (names, more) = read::names(&folder, MAX_HOLD_FILES, is_hold_file)?;
            Ok((folder, names, more))
        });
        match listed {
            Err(Unreadable::Missing) => self.absent.extend(known.iter().filter(|id| !id.is_marker()).cloned()),
            Err(why) => {
                if let Unreadable::Shortage(what) = &why {
                    self.shortage = Some(what.clone());
                }
                self.complete = false;
                let why = format!("{} can't be read: {why}", Home::HOLDS);
                self.requests.push(without_content(RequestId::found("holds"), why, None));
            }
            Ok((folder, names, more)) => {
                self.take_listed(&folder, &names, known, epoch);
                if more {
                    self.complete = false;
                    let why = format!("{} has more than {MAX_HOLD_FILES} files", Home::HOLDS);
                    self.requests.push(without_content(RequestId::found("holds"), why, None));
                }
            }
        }
    }

    /// Takes in the files in the folder of holds. That the listing lacks one proves nothing: where a file is replaced while
    /// its folder is listed, some file systems show neither the old one nor the new. Its name is there all along.
    fn take_listed(&mut self, folder: &OwnedFd, listed: &[Vec<u8>], known: &[RequestId], epoch: &Epoch) {
        self.requests.reserve(listed.len());
        let seen: HashSet<RequestId> = listed.iter().map(|name| self.take_hold(folder, name, epoch)).collect();
        let by_name = |id: &&RequestId| !id.is_marker() && !id.is_found() && !seen.contains(*id);
        for id in known.iter().filter(by_name) {
            let name = Home::file_name(id);
            let alike = listed.iter().find(|other| other.eq_ignore_ascii_case(name.as_bytes()));
            match alike.filter(|other| read::are_one_file(folder, other, name.as_bytes())) {
                // Whose file it is says the name that the folder lists. Over this hold it is an overwriting, and no absence.
                Some(other) => {
                    let other = String::from_utf8_lossy(other);
                    let told =
                        format!("its file is {other} by now: the file system doesn't tell upper case from lower");
                    self.ignored.push((id.to_string(), told));
                }
                None => self.look_at(folder, name.as_bytes(), id, epoch),
            }
        }
    }

    fn take_hold(&mut self, folder: &OwnedFd, name: &[u8], epoch: &Epoch) -> RequestId {
        let stem = str::from_utf8(name).ok().and_then(|name| name.strip_suffix(".json"));
        if let Some(id) = stem.and_then(|stem| RequestId::new(stem).ok()) {
            self.look_at(folder, name, &id, epoch);
            return id;
        }
        let id = RequestId::found(&String::from_utf8_lossy(name).escape_default().to_string());
        self.requests.push(without_content(id.clone(), "its name is no request id", None));
        id
    }
}

/// A dot in front is a writer's temporary file, or an editor's; another ending is nobody's hold.
fn is_hold_file(name: &[u8]) -> bool {
    name.ends_with(b".json") && !name.starts_with(b".")
}

/// What stands at `name` in an open folder.
#[must_use]
pub fn find(folder: &OwnedFd, name: &str, id: &RequestId, epoch: &Epoch) -> Found {
    found(read::content(folder, name), id, epoch)
}

fn found(content: Result<Content, Unreadable>, id: &RequestId, epoch: &Epoch) -> Found {
    content.map_or_else(nothing_read, |content| interpret(&content, id, epoch, SystemTime::now()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_that_can_be_given_to_a_hold_is_found_again_under_that_name() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path());
        let channel = crate::Channel::new(home.clone());
        for name in ["a", "a.json", "a.json.json", "json", "A_b-c.1", &"x".repeat(RequestId::MAX_LEN)] {
            let id = RequestId::new(name).unwrap();
            channel.write(&Request::begin(id.clone(), "ops")).unwrap();
            let scan = scan(&home, &[], &Epoch::current());
            let ids: Vec<_> = scan.requests.iter().map(|request| &request.id).collect();
            assert_eq!(ids, [&id]);
            assert!(channel.remove(&id).unwrap());
        }
    }

    #[test]
    fn a_hold_that_the_listing_lacks_is_absent_only_if_there_is_nothing_under_its_name() {
        let place = tempfile::tempdir().unwrap();
        let home = Home::at(place.path());
        let ids = ["replaced", "gone", "folder"].map(|name| RequestId::new(name).unwrap());
        let [replaced, gone, folder] = &ids;
        crate::Channel::new(home.clone()).write(&Request::begin(replaced.clone(), "ops")).unwrap();
        std::fs::create_dir(home.request_path(folder)).unwrap();
        // As a listing is that was taken while they were replaced.
        let mut scan = Scan::empty();
        scan.take_listed(&read::folder(&home.holds_folder()).unwrap(), &[], &ids, &Epoch::current());
        let there: Vec<_> = scan.requests.iter().map(|request| &request.id).collect();
        assert_eq!(there, [replaced, folder], "H2: nobody has withdrawn them");
        assert_eq!(ids.each_ref().map(|id| scan.is_absent(id)), [false, true, false]);
        let unknown = RequestId::new("unknown").unwrap();
        assert!(!scan.is_absent(&unknown), "{unknown} was not looked for, and {gone} was");
    }

    #[test]
    fn ids_that_share_a_file_are_told_and_the_file_is_his_whose_name_the_folder_lists() {
        let place = tempfile::tempdir().unwrap();
        let home = Home::at(place.path());
        let [upper, lower] = ["Upgrade", "upgrade"].map(|name| RequestId::new(name).unwrap());
        crate::Channel::new(home.clone()).write(&Request::begin(upper.clone(), "ops")).unwrap();
        // As a file system finds it that doesn't tell upper case from lower, and lists one name.
        std::fs::hard_link(home.request_path(&upper), home.request_path(&lower)).unwrap();
        let folder = read::folder(&home.holds_folder()).unwrap();
        let listed = [Home::file_name(&upper).into_bytes()];
        let mut scan = Scan::empty();
        scan.take_listed(&folder, &listed, &[upper.clone(), lower.clone()], &Epoch::current());
        let there: Vec<_> = scan.requests.iter().map(|request| &request.id).collect();
        assert_eq!(there, [&upper]);
        assert!(!scan.is_absent(&lower), "C7: its hold was overwritten, not withdrawn");
        assert!(scan.ignored[0].0 == "upgrade" && scan.ignored[0].1.contains("Upgrade.json"), "{:?}", scan.ignored);

        // Two files that differ in case alone are two, where the file system tells them apart.
        crate::Channel::new(home.clone()).write(&Request::begin(lower.clone(), "bob")).unwrap();
        let mut scan = Scan::empty();
        scan.take_listed(&folder, &listed, &[upper, lower], &Epoch::current());
        assert_eq!(scan.requests.iter().map(|request| &*request.owner).collect::<Vec<_>>(), ["ops", "bob"]);
        assert!(scan.ignored.is_empty());
    }

    #[test]
    fn what_was_found_last_stands_while_a_process_has_nothing_left_to_look_with_but_not_for_ever() {
        let begun = Instant::now();
        let after = |seconds: u64| begun + Duration::from_secs(seconds);
        let found = Scan { requests: vec![Request::begin(RequestId::marker(), "ops")], ..Scan::empty() };
        let short = |what: &str| Scan { shortage: Some(what.into()), ..Scan::blind("nothing was learned") };
        let mut memory = Memory::default();
        assert_eq!(memory.settle(short("first"), begun), short("first"), "C5: nothing is known yet");
        assert_eq!(memory.settle(found.clone(), after(1)), found);
        for seconds in [2, 3, 61] {
            let known = memory.settle(short("EMFILE"), after(seconds));
            assert_eq!(known, Scan { shortage: Some("EMFILE".into()), ..found.clone() }, "after {seconds} s");
        }
        assert_eq!(memory.settle(short("EMFILE"), after(62)), short("EMFILE"), "C4: a minute later nothing is known");
        assert_eq!(memory.settle(Scan::empty(), after(63)), Scan::empty());
        assert_eq!(
            memory.settle(short("EMFILE"), after(200)),
            Scan { shortage: Some("EMFILE".into()), ..Scan::empty() }
        );
    }
}
