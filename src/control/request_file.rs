//! How a file becomes a request, and a request a file. Pure but for [`find`] and [`scan`], which look.
//!
//! The format is the reference's marker with more fields, the same for the marker and for every other hold. Reading is as
//! lenient as can be without ever opening the gate: a field that is missing or of the wrong type is as if it weren't
//! there, and something that makes no sense at all is a hold without content.

use super::cache::{Cache, Recall};
use super::epoch::Epoch;
use super::home::Home;
use super::read::{self, Content, Unreadable};
use crate::gate::Generation;
use crate::hold::{Action, Incarnation, Nonce, Request, RequestId, Source};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant, SystemTime};

/// No more hold files than this are looked at: 4,096. More of them are one hold of their own.
pub const MAX_HOLD_FILES: usize = 4096;

/// No name in a file (principal, nonce, token, incarnation, epoch) is longer: 256 characters.
pub const MAX_NAME: usize = 256;

/// No reason is longer: 512 characters. What is beyond them is left out.
pub const MAX_REASON: usize = 512;

/// What stands at a request's path (C4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Definitely nothing: the only finding that lets the gate open.
    Absent,
    /// A request.
    Valid(Box<Request>),
    /// A request of another boot: as good as absent (C3).
    Stale {
        /// The epoch that it was written in.
        epoch: Epoch,
    },
    /// Something else: a hold without content.
    Unreadable {
        /// What it is.
        why: String,
        /// Which write it is, if it had content at all.
        nonce: Option<Nonce>,
    },
}

impl Found {
    /// What a look amounts to that found no content.
    fn nothing_read(why: Unreadable) -> Self {
        match why {
            Unreadable::Missing => Self::Absent,
            why => Self::Unreadable { why: why.to_string(), nonce: None },
        }
    }

    /// The request that this finding amounts to; `None` if it holds nothing.
    fn into_request(self, id: &RequestId) -> Option<Request> {
        match self {
            Self::Absent | Self::Stale { .. } => None,
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
    /// All that asks for something.
    pub requests: Vec<Request>,
    /// All that is there and not honoured: where, and why.
    pub ignored: Vec<(String, String)>,
    /// Whose file was looked for by its name and is definitely not there, or is another boot's.
    pub absent: BTreeSet<RequestId>,
    /// Whether the look went everywhere.
    pub complete: bool,
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

    /// Why the look couldn't be taken, if it couldn't.
    #[must_use]
    pub fn blind_to(&self) -> Option<&str> {
        let home = RequestId::found("home");
        self.requests.iter().find(|request| request.id == home).map(|request| request.reason.as_str())
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
    scan_again(home, known, epoch, Cache::default().recall(SystemTime::now(), Instant::now()))
}

/// As [`scan`], reading no hold file that the look before is known to have read as it is.
pub(crate) fn scan_again(home: &Home, known: &[RequestId], epoch: &Epoch, mut recall: Recall<'_>) -> Scan {
    let folder = match read::home(home.path()) {
        Ok(folder) => folder,
        Err(why) => return Scan::blind(format!("the home can't be read: {why}")),
    };
    let mut scan = Scan::empty();
    let marker = RequestId::marker();
    scan.take(&marker, find(&folder, &Home::file_name(&marker), &marker, epoch), epoch);
    scan.take_holds(&folder, known, epoch, &mut recall);
    scan
}

impl Scan {
    /// Takes in what was found under the name of `id` by a gateway of the epoch `ours`.
    pub fn take(&mut self, id: &RequestId, found: Found, ours: &Epoch) {
        if let Found::Stale { epoch } = &found {
            let why = format!("it was written in another epoch ({}); this one is {}", epoch.as_str(), ours.as_str());
            self.ignored.push((id.to_string(), why));
        }
        match found.into_request(id) {
            Some(request) => self.requests.push(request),
            None => _ = self.absent.insert(id.clone()),
        }
    }

    fn take_holds(&mut self, home: &OwnedFd, known: &[RequestId], epoch: &Epoch, recall: &mut Recall<'_>) {
        let listed = read::folder_in(home, Home::HOLDS.as_ref()).and_then(|folder| {
            let (names, more) = read::names(&folder, MAX_HOLD_FILES, is_hold_file)?;
            Ok((folder, names, more))
        });
        match listed {
            Err(Unreadable::Missing) => self.absent.extend(known.iter().filter(|id| !id.is_marker()).cloned()),
            Err(why) => {
                self.complete = false;
                let why = format!("{} can't be read: {why}", Home::HOLDS);
                self.requests.push(without_content(RequestId::found("holds"), why, None));
            }
            Ok((folder, names, more)) => {
                self.take_listed(&folder, names, known, epoch, recall);
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
    fn take_listed(
        &mut self,
        folder: &OwnedFd,
        listed: Vec<Vec<u8>>,
        known: &[RequestId],
        epoch: &Epoch,
        recall: &mut Recall<'_>,
    ) {
        self.requests.reserve(listed.len());
        let seen: HashSet<RequestId> =
            listed.into_iter().map(|name| self.take_hold(folder, name, epoch, recall)).collect();
        let by_name = |id: &&RequestId| !id.is_marker() && !id.is_found() && !seen.contains(*id);
        for id in known.iter().filter(by_name) {
            self.take(id, find(folder, &Home::file_name(id), id, epoch), epoch);
        }
    }

    fn take_hold(&mut self, folder: &OwnedFd, name: Vec<u8>, epoch: &Epoch, recall: &mut Recall<'_>) -> RequestId {
        let stem = str::from_utf8(&name).ok().and_then(|name| name.strip_suffix(".json"));
        if let Some(id) = stem.and_then(|stem| RequestId::new(stem).ok()) {
            let found = recall.look(folder, name, &id, epoch).unwrap_or_else(Found::nothing_read);
            self.take(&id, found, epoch);
            return id;
        }
        let id = RequestId::found(&String::from_utf8_lossy(&name).escape_default().to_string());
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
    let content = read::content(folder, name);
    content.map_or_else(Found::nothing_read, |content| interpret(&content, id, epoch, SystemTime::now()))
}

/// What a file's content means to a gateway of this `epoch`.
///
/// ```
/// use gateway_drain::RequestId;
/// use gateway_drain::control::{Epoch, Found, read::Content, request_file::interpret};
/// use std::time::SystemTime;
///
/// let touched = Content { bytes: Vec::new(), modified: 0 };
/// let found = interpret(&touched, &RequestId::marker(), &Epoch::default(), SystemTime::now());
/// assert!(matches!(found, Found::Unreadable { .. }), "an empty marker holds the gate closed");
/// ```
#[must_use]
pub fn interpret(content: &Content, id: &RequestId, ours: &Epoch, wall: SystemTime) -> Found {
    Interpreted::of(content, id, ours).at(wall)
}

/// What a content means, whenever it is looked at: a request and when it was written, or something else.
#[derive(Clone, Debug)]
pub(crate) struct Interpreted(Result<(Box<Request>, i128), Found>);

impl Interpreted {
    pub(crate) fn of(content: &Content, id: &RequestId, ours: &Epoch) -> Self {
        Self(request_in(content, id, ours))
    }

    /// What it means to a look at `wall`.
    pub(crate) fn at(self, wall: SystemTime) -> Found {
        match self.0 {
            Ok((mut request, written)) => {
                request.age = age(written, wall);
                Found::Valid(request)
            }
            Err(found) => found,
        }
    }
}

fn request_in(content: &Content, id: &RequestId, ours: &Epoch) -> Result<(Box<Request>, i128), Found> {
    let unreadable = |why: String| Found::Unreadable { why, nonce: Some(nonce_of(content)) };
    if content.bytes.is_empty() {
        return Err(unreadable("it is empty".into()));
    }
    let Ok(mut fields) = serde_json::from_slice::<BTreeMap<Field, Value>>(&content.bytes) else {
        return Err(match serde_json::from_slice::<Value>(&content.bytes) {
            Ok(_) => unreadable("it is JSON but no object".into()),
            Err(error) => unreadable(format!("it is not JSON: {error}")),
        });
    };
    let mut text = |field: Field| match fields.get_mut(&field).map(Value::take) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    };
    let (owner, nonce, token) = (text(Field::Principal), text(Field::Nonce), text(Field::Token));
    let (incarnation, epoch) = (text(Field::Incarnation), text(Field::Epoch));
    let reason = text(Field::Reason).unwrap_or_default().chars().take(MAX_REASON).collect();
    let written = text(Field::RequestedAt).and_then(|text| text.parse::<jiff::Timestamp>().ok());
    // What is taken in comes out again in the status, which has to stay readable however many files say too much.
    let too_long = |text: &Option<String>| text.as_ref().is_some_and(|text| text.chars().nth(MAX_NAME).is_some());
    let names = ["principal", "nonce", "token", "incarnation", "epoch"];
    let said = [&owner, &nonce, &token, &incarnation, &epoch];
    if let Some((name, _)) = names.iter().zip(said).find(|(_, text)| too_long(text)) {
        return Err(unreadable(format!("its {name} has more than {MAX_NAME} characters")));
    }
    let epoch = Epoch::from(epoch.unwrap_or_default());
    if epoch.differs_from(ours) {
        return Err(Found::Stale { epoch });
    }
    // The marker's presence decides, whatever it says: it can only begin.
    let action = match fields.get(&Field::Action).and_then(|word| Action::deserialize(word).ok()) {
        Some(action) if !id.is_marker() => action,
        Some(_) => Action::Begin,
        None if id.is_marker() => Action::Begin,
        None => return Err(unreadable("it has no known action".into())),
    };
    // What is no duration is as if it weren't there: a lease of no time at all would open the gate.
    let seconds = |field: Field| {
        let seconds = fields.get(&field).and_then(Value::as_f64).filter(|seconds| *seconds > 0.0)?;
        Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)).filter(|duration| !duration.is_zero())
    };
    let written = written.map_or(content.modified, jiff::Timestamp::as_nanosecond);
    let request = Request {
        reason,
        lease: seconds(Field::LeaseSeconds),
        deadline: seconds(Field::DeadlineSeconds),
        unready_delay: seconds(Field::UnreadyDelaySeconds).unwrap_or_default(),
        suppress_notification: fields.get(&Field::SuppressNotification) == Some(&Value::Bool(true)),
        nonce: Some(nonce.map_or_else(|| nonce_of(content), Nonce::from)),
        age: None,
        incarnation: incarnation.map(Incarnation::from),
        generation: fields.get(&Field::Generation).and_then(|value| Generation::deserialize(value).ok()),
        token: token.map(Nonce::from),
        source: Source::File,
        action,
        id: id.clone(),
        owner: owner.unwrap_or_default(),
    };
    Ok((Box::new(request), written))
}

/// The fields of a file that mean something. As keys they take no memory, however many files there are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Field {
    Action,
    DeadlineSeconds,
    Epoch,
    Generation,
    Incarnation,
    LeaseSeconds,
    Nonce,
    Principal,
    Reason,
    RequestedAt,
    SuppressNotification,
    Token,
    UnreadyDelaySeconds,
    #[serde(other)]
    Other,
}

/// A write that bears no nonce is told from the next one by its content and its modification time.
fn nonce_of(content: &Content) -> Nonce {
    let mut hasher = DefaultHasher::new();
    content.bytes.hash(&mut hasher);
    Nonce::from(format!("{:016x}-{}", hasher.finish(), content.modified))
}

/// How long ago it was written; `None` if its writer's clock says in the future.
pub(crate) fn age(written: i128, wall: SystemTime) -> Option<Duration> {
    let now = wall.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_nanos();
    let nanos = i128::try_from(now).ok()?.checked_sub(written)?;
    u64::try_from(nanos).ok().map(Duration::from_nanos)
}

/// The file of a request.
#[must_use]
pub fn to_bytes(request: &Request, epoch: &Epoch) -> Vec<u8> {
    to_bytes_dated(request, epoch, &now())
}

/// As [`to_bytes`], of a moment given.
pub(crate) fn to_bytes_dated(request: &Request, epoch: &Epoch, requested_at: &str) -> Vec<u8> {
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            fields.insert(name.into(), value);
        }
    };
    let seconds = |duration: Option<Duration>| duration.map_or(Value::Null, |d| json!(d.as_secs_f64()));
    // The reference's fields, which are always there.
    put("action", json!(request.action));
    put("requested_at", json!(requested_at));
    put("principal", json!(request.owner));
    put("epoch", json!(epoch));
    put("suppress_notification", json!(request.suppress_notification));
    // Ours.
    put("request_id", json!(request.id));
    put("nonce", json!(request.nonce));
    put("reason", if request.reason.is_empty() { Value::Null } else { json!(request.reason) });
    put("lease_seconds", seconds(request.lease));
    put("deadline_seconds", seconds(request.deadline));
    put("unready_delay_seconds", seconds(Some(request.unready_delay).filter(|delay| !delay.is_zero())));
    put("incarnation", json!(request.incarnation));
    put("generation", json!(request.generation));
    put("token", json!(request.token));
    let mut bytes = serde_json::to_vec_pretty(&fields).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

/// The wall clock in the reference's form: ISO 8601 with microseconds, UTC.
pub(crate) fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string()
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
        scan.take_listed(
            &read::folder(&home.holds_folder()).unwrap(),
            Vec::new(),
            &ids,
            &Epoch::current(),
            &mut Cache::default().recall(SystemTime::now(), Instant::now()),
        );
        let there: Vec<_> = scan.requests.iter().map(|request| &request.id).collect();
        assert_eq!(there, [replaced, folder], "H2: nobody has withdrawn them");
        assert_eq!(ids.each_ref().map(|id| scan.is_absent(id)), [false, true, false]);
        let unknown = RequestId::new("unknown").unwrap();
        assert!(!scan.is_absent(&unknown), "{unknown} was not looked for, and {gone} was");
    }

    #[test]
    fn a_look_that_remembers_finds_what_one_finds_that_reads_everything() {
        let place = tempfile::tempdir().unwrap();
        let home = Home::at(place.path());
        let channel = crate::Channel::new(home.clone());
        let request = |name: &str| Request::begin(RequestId::new(name).unwrap(), "ops");
        let file = |name: &str| home.request_path(&RequestId::new(name).unwrap());
        let steps: [(&str, &dyn Fn()); 8] = [
            ("two holds", &|| ["a", "b"].iter().for_each(|name| channel.write(&request(name)).unwrap())),
            ("no change", &|| ()),
            ("a renewal", &|| channel.write(&request("a").reason("renewed")).unwrap()),
            ("garbage", &|| std::fs::write(file("b"), "garbage").unwrap()),
            ("a name that is none", &|| std::fs::write(home.holds_folder().join("a b.json"), "{}").unwrap()),
            ("another epoch", &|| {
                let earlier = crate::Channel::of_epoch(home.clone(), Epoch::from("earlier:1".to_owned()));
                earlier.write(&request("c")).unwrap();
            }),
            ("a withdrawal", &|| assert!(channel.remove(&request("a").id).unwrap())),
            ("no folder", &|| std::fs::remove_dir_all(home.holds_folder()).unwrap()),
        ];
        let mut cache = Cache::default();
        // Long after what is written, so that it is remembered.
        let (wall, now) = (SystemTime::now() + Duration::from_secs(60), Instant::now());
        let known = ["a", "b", "c"].map(|name| request(name).id);
        for (step, change) in steps {
            change();
            let look = |cache: &mut Cache| scan_again(&home, &known, &Epoch::current(), cache.recall(wall, now));
            assert_eq!(look(&mut cache), look(&mut Cache::default()), "{step}");
        }
    }
}
