//! A gateway seen from outside: what can be done to it, what can be seen of it, and what has to be undone.
//!
//! Whatever closes the gate is noted before it is done, and [`Driver::take_back`] undoes it: at the end, on an error, on
//! an interrupt and, by `Drop`, on a panic.

pub(super) use super::published::PublishedStatus;
use super::world::{Real, TurnAnswer, Unread, World};
use super::{CanNotProbe, Options};
use crate::client::Interrupt;
use crate::client::agent::config;
use crate::client::quoted;
use crate::control::opened::OpenHome;
use crate::control::{Channel, Epoch, Home, read};
use crate::hold::{Nonce, Request, RequestId};
use crate::status::Snapshot;
use core::fmt;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

/// How often the status is looked at.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(10);

/// In whose name the probe acts.
pub(super) const OWNER: &str = "gateway-drain-probe";

/// A hold that nobody takes back ends with this lease.
const LEASE: Duration = Duration::from_secs(60);

/// Why the probe ends before its end.
#[derive(Debug)]
pub(super) enum Stop {
    Interrupted,
    Lost(String),
    /// The endpoint said no, by this code.
    Denied(u16, String),
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interrupted => f.write_str("it was interrupted"),
            Self::Lost(why) | Self::Denied(_, why) => f.write_str(why),
        }
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Lost(format!("the home can't be written to: {error}"))
    }
}

/// The process that is judged.
struct Judged {
    /// A status of it.
    status: PublishedStatus,
    /// It was seen to live: what then isn't seen any more has ended, and isn't merely out of sight, as in a container.
    is_seen: bool,
}

/// A drain to which the endpoint has not answered: it may reach the gateway yet.
#[derive(Clone, Copy)]
struct UnderWay {
    /// Nothing else can have closed the gate: the gateway ran, and nothing of the probe's lay there.
    alone: bool,
}

/// What a restart came to.
pub(super) struct Restarted {
    /// It was seen to shut down first, which ends a commit by right.
    pub(super) shut_down: bool,
    /// The first status of the new process, if there was one.
    pub(super) first: Option<PublishedStatus>,
}

pub(super) struct Driver<'a> {
    pub(super) options: &'a Options,
    interrupt: Interrupt,
    world: Box<dyn World + 'a>,
    agent: ureq::Agent,
    channel: Option<Channel>,
    /// What has been begun, and the token of what is committed.
    begun: BTreeMap<RequestId, Option<Nonce>>,
    under_way: Option<UnderWay>,
    /// At the last look the gateway ran, and nothing of the probe's lay there.
    was_idle: bool,
    pub(super) reads: u64,
    /// What a look found that was no whole status.
    pub(super) torn: Option<String>,
    pub(super) negative: bool,
    /// None while the gateway is restarted or shut down by the probe's own command, and once all is taken back from it: then
    /// every process is as good.
    judged: Option<Judged>,
    /// What is being tried, for the case that the gateway ends under it.
    pub(super) tried: String,
    /// Whether there was a folder of hold files before the probe came.
    had_holds_folder: bool,
}

impl<'a> Driver<'a> {
    pub(super) fn of(options: &'a Options, interrupt: &'a Interrupt) -> Result<Self, CanNotProbe> {
        if options.home.is_none() && options.url.is_none() {
            return Err(CanNotProbe("there is no gateway to probe: give --home, --url or both".into()));
        }
        let urls = options.url.iter().chain(options.turn.as_ref().map(|(url, _)| url)).map(String::as_str);
        // A turn is not sent again, and a connection that is kept may be closed as it is sent: by a gateway that has just closed its gate.
        let agent = config(urls)
            .map_err(CanNotProbe)?
            .max_idle_connections(0)
            // An answer may begin and never end. A turn's may be long by right, and has limits of its own.
            .timeout_global(Some(options.patience))
            .build()
            .new_agent();
        Self::in_world(options, interrupt, agent.clone(), Box::new(Real::new(options, agent)))
    }

    pub(super) fn in_world(
        options: &'a Options,
        interrupt: &Interrupt,
        agent: ureq::Agent,
        world: Box<dyn World + 'a>,
    ) -> Result<Self, CanNotProbe> {
        let channel = options.home.clone().map(|home| Channel::new(Home::at(home)));
        let had_holds_folder = channel.as_ref().is_some_and(|channel| channel.home().holds_folder().exists());
        let mut driver = Self {
            had_holds_folder,
            options,
            interrupt: interrupt.clone(),
            world,
            agent,
            channel,
            begun: BTreeMap::new(),
            under_way: None,
            was_idle: false,
            reads: 0,
            torn: None,
            negative: false,
            judged: None,
            tried: "a turn".into(),
        };
        driver.expect_idle()?;
        driver.world.expect_a_turn()?;
        // A long turn must not be taken for one of a later trial.
        let _ = driver.until(|seen| seen.agents() == 0);
        Ok(driver)
    }

    fn expect_idle(&mut self) -> Result<(), CanNotProbe> {
        let seen = self.look().map_err(CanNotProbe)?;
        if !seen.is_running() {
            let what = format!("the gateway is not running (its status says {}): nothing was tried", seen.state());
            return Err(CanNotProbe(what));
        }
        self.judge(&seen);
        let Some(home) = self.home() else { return Ok(()) };
        let held = std::fs::read_dir(home.holds_folder()).is_ok_and(|mut files| files.next().is_some());
        if std::fs::symlink_metadata(home.marker()).is_ok() || held {
            let what =
                format!("somebody has asked for a drain in {} already: nothing was tried", home.path().display());
            return Err(CanNotProbe(what));
        }
        Ok(())
    }

    /// From here on it is the process of this status that is judged.
    fn judge(&mut self, seen: &PublishedStatus) {
        let is_seen = self.world.lives(seen) == Some(true);
        self.judged = Some(Judged { status: seen.clone(), is_seen });
    }

    /// Ends the probe if the gateway has gone from under it: what another process says, or one that shuts down, tells nothing of it.
    fn expect_the_same(&self, seen: &PublishedStatus) -> Result<(), Stop> {
        match &self.judged {
            Some(judged) if seen.is_of_another(&judged.status) => {
                Err(self.gone("was restarted, or another answers in its place,"))
            }
            Some(_) if seen.is_shutting_down() => Err(self.gone("began to shut down")),
            _ => Ok(()),
        }
    }

    /// The status of a dead process goes on saying what it said last: what didn't change in it shows nothing.
    fn expect_life(&self) -> Result<(), Stop> {
        match &self.judged {
            Some(judged) if judged.is_seen && self.world.lives(&judged.status) == Some(false) => {
                Err(self.gone("ended"))
            }
            _ => Ok(()),
        }
    }

    fn gone(&self, how: &str) -> Stop {
        let tried = &self.tried;
        Stop::Lost(format!(
            "the gateway {how} while {tried} was tried: whether that did it, or somebody else, can't be told from here"
        ))
    }

    pub(super) fn home(&self) -> Option<&Home> {
        self.channel.as_ref().map(Channel::home)
    }

    /// How long the gateway is watched for something that must not happen.
    pub(super) fn while_watched(&self) -> Duration {
        self.options.tick * 2 + Duration::from_millis(200)
    }

    pub(super) fn look(&mut self) -> Result<PublishedStatus, String> {
        self.reads += 1;
        let fields = match (self.home().cloned(), &self.options.url) {
            (Some(home), _) => self.read(&home)?,
            (None, Some(url)) => {
                let response = self.agent.get(format!("{url}/api/status")).call();
                let mut response = response.map_err(|error| format!("{url} doesn't answer: {error}"))?;
                if response.status() != 200 {
                    return Err(format!("{url}/api/status answers {}", response.status()));
                }
                let text = response.body_mut().read_to_string().map_err(|error| error.to_string())?;
                serde_json::from_str(&text).map_err(|error| format!("{url}/api/status is no JSON: {error}"))?
            }
            (None, None) => Value::Null,
        };
        let seen = PublishedStatus { fields };
        self.negative |= seen.agents() < 0;
        self.was_idle = self.begun.is_empty() && seen.is_running();
        Ok(seen)
    }

    /// One look at the process that is judged.
    pub(super) fn status(&mut self) -> Result<PublishedStatus, Stop> {
        let seen = self.look().map_err(Stop::Lost)?;
        self.expect_the_same(&seen)?;
        Ok(seen)
    }

    fn read(&mut self, home: &Home) -> Result<Value, String> {
        // A pipe in its place has no end.
        let content = OpenHome::open(home.path())
            .and_then(|open| read::content_up_to(&open.folder, Home::STATUS.as_bytes(), Snapshot::MAX_BYTES));
        let bytes = content.map_err(|why| format!("{} can't be read: {why}", home.status().display()))?.bytes;
        serde_json::from_slice(&bytes).map_err(|error| {
            let what = format!("a read of {} bytes of the status is no JSON: {error}", bytes.len());
            self.torn.get_or_insert_with(|| what.clone());
            what
        })
    }

    /// Waits until a status says so: the status and how long it took, or the last one if none ever did.
    pub(super) fn until(
        &mut self,
        says: impl Fn(&PublishedStatus) -> bool,
    ) -> Result<Result<(PublishedStatus, Duration), PublishedStatus>, Stop> {
        self.watch(self.options.patience, says)
    }

    /// Watches for something that must not happen.
    pub(super) fn never(&mut self, says: impl Fn(&PublishedStatus) -> bool) -> Result<Option<PublishedStatus>, Stop> {
        Ok(self.watch(self.while_watched(), says)?.ok().map(|(seen, _)| seen))
    }

    pub(super) fn watch(
        &mut self,
        time: Duration,
        mut says: impl FnMut(&PublishedStatus) -> bool,
    ) -> Result<Result<(PublishedStatus, Duration), PublishedStatus>, Stop> {
        let began = self.now();
        let mut last = PublishedStatus::default();
        loop {
            let unheard = match self.look() {
                Ok(seen) => {
                    self.expect_the_same(&seen)?;
                    if says(&seen) {
                        return Ok(Ok((seen, self.since(began))));
                    }
                    last = seen;
                    None
                }
                Err(why) => Some(why),
            };
            if self.since(began) >= time {
                self.expect_life()?;
                return match unheard {
                    Some(why) => Err(Stop::Lost(why)),
                    None => Ok(Err(last)),
                };
            }
            self.pause(LOOK_EVERY)?;
        }
    }

    pub(super) fn pause(&self, time: Duration) -> Result<(), Stop> {
        if self.world.pause(time, &self.interrupt) { Err(Stop::Interrupted) } else { Ok(()) }
    }

    /// How much time has passed since some moment before the probe.
    pub(super) fn now(&self) -> Duration {
        self.world.now()
    }

    pub(super) fn since(&self, moment: Duration) -> Duration {
        self.now().saturating_sub(moment)
    }

    /// A request in the probe's name, with a lease.
    pub(super) fn request(id: &RequestId) -> Request {
        Request::begin(id.clone(), OWNER).reason("a probe of this gateway").lease(LEASE)
    }

    /// Begins the one hold that every gateway knows; gives the nonce of the write where there is one.
    pub(super) fn begin(&mut self) -> Result<Option<Nonce>, Stop> {
        let marker = RequestId::marker();
        if self.channel.is_some() {
            let request = Self::request(&marker);
            self.write(&request)?;
            return Ok(request.nonce);
        }
        let first = self.begun.insert(marker.clone(), None).is_none();
        self.under_way = Some(UnderWay { alone: std::mem::take(&mut self.was_idle) });
        let answer = self.post("drain");
        // By these codes it may tell as well that the wait for what it has begun is over.
        let may_stand = |code: u16| matches!(code, 408..=410 | 412);
        if first && matches!(answer, Err(Stop::Denied(code, _)) if !may_stand(code)) {
            self.begun.remove(&marker);
        }
        answer.map(|_| None)
    }

    /// Ends it.
    pub(super) fn cancel(&mut self) -> Result<(), Stop> {
        if self.channel.is_some() {
            return self.remove(&RequestId::marker());
        }
        self.post("cancel")?;
        self.begun.remove(&RequestId::marker());
        Ok(())
    }

    /// Takes the request away from a gateway that shuts down, and may have nobody to answer any more.
    pub(super) fn leave(&mut self) {
        // What is left is still to be taken back.
        let _ = self.cancel();
    }

    /// Forgets what nobody has answered to, if nobody is left to take it back from. A gateway that runs on is still closed by it, as
    /// is another in its place.
    pub(super) fn forget_if_ended(&mut self) -> Result<(), Stop> {
        if self.channel.is_some() || self.begun.is_empty() || self.cancel().is_ok() {
            return Ok(());
        }
        match self.until(|seen| !seen.is_shutting_down()) {
            Ok(Ok(_)) => Ok(()),
            Err(Stop::Interrupted) => Err(Stop::Interrupted),
            Ok(Err(_)) | Err(_) => {
                self.begun.clear();
                Ok(())
            }
        }
    }

    /// Writes a request.
    pub(super) fn write(&mut self, request: &Request) -> Result<(), Stop> {
        let Some(channel) = &self.channel else { return Ok(()) };
        self.begun.entry(request.id.clone()).or_insert(None);
        Ok(channel.write(request)?)
    }

    /// Puts something into the marker's place by hand.
    pub(super) fn put(&mut self, put: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), Stop> {
        let Some(marker) = self.home().map(Home::marker) else { return Ok(()) };
        self.begun.insert(RequestId::marker(), None);
        Ok(put(&marker)?)
    }

    /// Writes a marker of another epoch.
    pub(super) fn write_stale(&mut self) -> Result<(), Stop> {
        let Some(home) = self.home().cloned() else { return Ok(()) };
        self.begun.insert(RequestId::marker(), None);
        let epoch = Epoch::from("another-boot-of-the-probe:1".to_owned());
        Ok(Channel::of_epoch(home, epoch).write(&Self::request(&RequestId::marker()))?)
    }

    /// From here on only the token ends the hold.
    pub(super) fn committed(&mut self, id: &RequestId, token: Nonce) {
        self.begun.insert(id.clone(), Some(token));
    }

    /// Removes the file of a hold, committed or not. A committed one is still to be taken back.
    pub(super) fn remove(&mut self, id: &RequestId) -> Result<(), Stop> {
        let Some(channel) = &self.channel else { return Ok(()) };
        remove(&channel.home().request_path(id))?;
        if self.begun.get(id).is_some_and(Option::is_none) {
            self.begun.remove(id);
        }
        Ok(())
    }

    /// Ends a committed hold with its token.
    pub(super) fn withdraw(&mut self, id: &RequestId) -> Result<(), Stop> {
        let Some(channel) = &self.channel else { return Ok(()) };
        if let Some(Some(token)) = self.begun.get(id) {
            channel.write(&Request::withdraw(id.clone(), OWNER).token(token.clone()))?;
        }
        Ok(())
    }

    pub(super) fn withdrawn(&mut self, id: &RequestId) -> Result<(), Stop> {
        if let Some(token) = self.begun.get_mut(id) {
            *token = None;
        }
        self.remove(id)
    }

    /// Asks the endpoint.
    pub(super) fn post(&mut self, action: &str) -> Result<Value, Stop> {
        let Some(url) = &self.options.url else { return Ok(Value::Null) };
        let mut request =
            self.agent.post(format!("{url}/api/gateway/drain")).header("content-type", "application/json");
        if let Some(secret) = &self.options.secret {
            request = request.header("authorization", format!("Bearer {secret}"));
        }
        let lost = |why: String| Stop::Lost(format!("{url}/api/gateway/drain: {why}"));
        let sent = request.send(json!({"action": action}).to_string());
        let mut response = sent.map_err(|error| lost(error.to_string()))?;
        // Something in between may give up, and what it has handed on still come to the gateway.
        if !response.status().is_server_error() {
            self.under_way = None;
        }
        let text = response.body_mut().read_to_string().map_err(|error| lost(error.to_string()))?;
        if response.status().is_client_error() {
            let code = response.status();
            return Err(Stop::Denied(code.as_u16(), format!("{url}/api/gateway/drain: {code} to {action:?}: {text}")));
        }
        if !response.status().is_success() {
            return Err(lost(format!("{} to {action:?}: {text}", response.status())));
        }
        serde_json::from_str(&text).map_err(|error| lost(error.to_string()))
    }

    /// Starts a turn, and leaves it running; none if the probe wasn't told how or the answer says neither.
    pub(super) fn turn(&self) -> Option<(TurnAnswer, Option<Unread>)> {
        self.world.turn()
    }

    /// Has the gateway restarted, and waits for what the new process says first: the status of a dead one shows nothing.
    pub(super) fn restart(&mut self, command: &str) -> Result<Restarted, Stop> {
        let before = self.status()?;
        let mut shutting_down = Vec::new();
        self.run(command, |seen| shutting_down.push(seen.is_shutting_down()))?;
        let first = self.until(|seen| seen.process() != before.process() && seen.state() != "starting")?;
        let first = first.ok().map(|(seen, _)| seen);
        if let Some(first) = &first {
            self.judge(first);
        }
        Ok(Restarted { shut_down: shutting_down.contains(&true), first })
    }

    /// Runs the command, which is to end the process that was judged, and shows every status meanwhile.
    pub(super) fn run(&mut self, command: &str, mut show: impl FnMut(&PublishedStatus)) -> Result<(), Stop> {
        let lost = |error: io::Error| Stop::Lost(format!("{command}: {error}"));
        self.judged = None;
        let mut ended = self.world.run(command).map_err(lost)?;
        let began = self.now();
        loop {
            let ended = ended().map_err(lost)?;
            // While it is away, a look that fails is as it should be.
            if let Ok(seen) = self.look() {
                show(&seen);
            }
            match ended {
                Some(ended) if ended.success() => return Ok(()),
                Some(ended) => return Err(Stop::Lost(format!("{command}: {ended}"))),
                None if self.since(began) < self.options.patience * 6 => self.pause(LOOK_EVERY)?,
                None => return Err(Stop::Lost(format!("{command} did not return"))),
            }
        }
    }

    /// Ends all that the probe has begun, and waits until the gateway runs again. No interrupt ends this.
    pub(super) fn take_back(&mut self) -> Result<(), String> {
        let taken_back = self.take_all_back();
        if let (false, Some(home)) = (self.had_holds_folder, self.home()) {
            // If it is empty: nobody else has come to use it.
            let _ = std::fs::remove_dir(home.holds_folder());
        }
        taken_back
    }

    fn take_all_back(&mut self) -> Result<(), String> {
        if self.begun.is_empty() {
            return Ok(());
        }
        self.interrupt = Interrupt::new();
        self.judged = None;
        let mut left = Vec::new();
        let late = self.under_way.take().map(|late| (late, self.look().is_ok_and(|seen| seen.is_draining())));
        for (id, token) in self.begun.clone() {
            if let Err(why) = self.take_one_back(&id, token.is_some()) {
                left.push(format!("{id} ({why})"));
            }
        }
        self.begun.clear();
        let runs = match late {
            Some((late, was_draining)) => self.cancel_as_it_comes(late, was_draining),
            None => self.expect_running(),
        };
        left.extend(runs.err());
        if left.is_empty() { Ok(()) } else { Err(left.join("; ")) }
    }

    fn expect_running(&mut self) -> Result<(), String> {
        match self.until(PublishedStatus::is_running) {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(last)) => {
                Err(format!("the gateway, whose status still says {}{}", last.state(), self.how_to_open()))
            }
            Err(why) => Err(format!("the gateway ({why}){}", self.how_to_open())),
        }
    }

    /// Waits for a drain that may come after its cancel, and cancels it again. It has come once the gateway was seen to drain for no
    /// other reason.
    fn cancel_as_it_comes(&mut self, late: UnderWay, was_draining: bool) -> Result<(), String> {
        let began = self.now();
        let (mut alone, mut has_come) = (late.alone, late.alone && was_draining);
        loop {
            let mut pause = LOOK_EVERY;
            let seen = self.look();
            match &seen {
                Ok(seen) if seen.is_running() && has_come => return Ok(()),
                Ok(seen) if seen.is_running() => alone = true,
                Ok(seen) => {
                    has_come |= alone && seen.is_draining();
                    // No answer to it is as good: the next look tells.
                    let _ = self.post("cancel");
                    pause = self.options.tick.max(LOOK_EVERY);
                }
                Err(_) => {}
            }
            let over = self.since(began);
            if over >= self.options.patience {
                let how = self.how_to_open();
                return Err(match seen {
                    Ok(seen) if seen.is_running() => {
                        format!("a drain that got no answer, and may still come to the gateway{how}")
                    }
                    Ok(seen) => format!("the gateway, whose status still says {}{how}", seen.state()),
                    Err(why) => format!("the gateway ({why}){how}"),
                });
            }
            // Nobody interrupts this.
            let _ = self.pause(pause.min(self.options.patience.saturating_sub(over)));
        }
    }

    /// The line that removes a marker that the endpoint has put there. What lies in a home is named by its file.
    fn how_to_open(&self) -> String {
        match (&self.channel, &self.options.url) {
            (None, Some(url)) => format!("; `gateway-drain cancel --marker --url {}` removes its marker", quoted(url)),
            _ => String::new(),
        }
    }

    fn take_one_back(&mut self, id: &RequestId, committed: bool) -> Result<(), Stop> {
        if self.channel.is_none() {
            let began = self.now();
            loop {
                match self.post("cancel") {
                    // It may have been done, and does no harm twice. By these codes it may be done later.
                    Err(Stop::Lost(_) | Stop::Denied(408 | 425 | 429, _))
                        if self.since(began) < self.options.patience =>
                    {
                        self.pause(self.options.tick / 8)?;
                    }
                    answered => return answered.map(drop),
                }
            }
        }
        if committed {
            self.withdraw(id)?;
            if self.until(|seen| seen.hold(id).is_none())?.is_err() {
                return Err(Stop::Lost("its withdrawal lies there, and the gateway doesn't act on it".into()));
            }
        }
        self.withdrawn(id)
    }
}

impl Drop for Driver<'_> {
    fn drop(&mut self) {
        // Only after a panic is there anything left, and then nobody to tell.
        let _ = self.take_back();
    }
}

/// Removes whatever stands there; nothing is as good.
fn remove(path: &Path) -> io::Result<()> {
    let there = std::fs::symlink_metadata(path);
    let removed = match &there {
        Ok(there) if there.is_dir() => std::fs::remove_dir(path),
        _ => std::fs::remove_file(path),
    };
    removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

#[cfg(test)]
mod tests;
