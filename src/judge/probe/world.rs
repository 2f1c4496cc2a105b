//! What the probe needs of the world beside the files and the endpoint of a gateway: time, turns, processes and commands. A test puts a
//! world of its own in the place of the real one, in which no time has to be waited for.

use super::driver::PublishedStatus;
use super::{CanNotProbe, Options};
use crate::client::Interrupt;
use crate::control::Home;
use crate::control::epoch::start_time;
use std::io::{self, Read as _};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

/// For how many times the patience a turn is read: its answer may stream for long by right, and no check waits for longer. One
/// without an end must not be read for ever.
const LONGEST_TURN: u32 = 20;

/// How many bytes of a refusal are read.
const LONGEST_REFUSAL: u64 = 4096;

pub(super) trait World {
    /// How much time has passed since some moment before the probe.
    fn now(&self) -> Duration;
    /// Tells whether it was interrupted.
    fn pause(&self, time: Duration, interrupt: &Interrupt) -> bool;
    /// Tries one turn before anything else: without one that is admitted the gate can't be told from what isn't there.
    fn expect_a_turn(&self) -> Result<(), CanNotProbe>;
    /// Starts a turn; none if the probe wasn't told how or the answer says neither.
    fn turn(&self) -> Option<(TurnAnswer, Option<Unread>)>;
    /// Whether the process lives that has published this; none if that can't be known. One that lives out of sight, as in a
    /// container, and holds no lock that tells of it looks dead from the beginning.
    fn lives(&self, seen: &PublishedStatus) -> Option<bool>;
    /// Runs a shell command, and gives what tells how it ended, once it has.
    fn run(&self, command: &str) -> io::Result<Box<dyn FnMut() -> io::Result<Option<ExitStatus>>>>;
}

/// What a gateway said to a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TurnAnswer {
    /// With which status code.
    Admitted(u16),
    Refused,
}

/// The answer of a turn that was admitted.
pub(super) struct Unread(Box<dyn FnOnce() -> InFlight>);

/// Tells whether an answer has come to its end, be it whole or not: that is for the application to know.
pub(super) type InFlight = Box<dyn Fn() -> bool>;

impl Unread {
    pub(super) fn new(read: impl FnOnce() -> InFlight + 'static) -> Self {
        Self(Box::new(read))
    }

    /// Reads it to its end, as a client would: the gateway may stream it.
    pub(super) fn read(self) -> InFlight {
        (self.0)()
    }

    fn of(mut body: ureq::Body) -> Self {
        Self::new(move || {
            let reader = std::thread::spawn(move || io::copy(&mut body.as_reader(), &mut io::sink()).is_ok());
            Box::new(move || reader.is_finished())
        })
    }
}

pub(super) struct Real<'a> {
    options: &'a Options,
    agent: ureq::Agent,
    began: Instant,
}

impl<'a> Real<'a> {
    pub(super) fn new(options: &'a Options, agent: ureq::Agent) -> Self {
        Self { options, agent, began: Instant::now() }
    }

    fn answer(&self) -> Option<Result<ureq::http::Response<ureq::Body>, ureq::Error>> {
        let (url, body) = self.options.turn.as_ref()?;
        let patience = Some(self.options.patience);
        let post =
            self.agent.post(url).config().timeout_global(None).timeout_resolve(patience).timeout_connect(patience);
        let post = post.timeout_send_request(patience).timeout_send_body(patience).timeout_recv_response(patience);
        let mut post = post.timeout_recv_body(Some(self.options.patience * LONGEST_TURN)).build();
        let typed = |(name, _): &(String, String)| name.eq_ignore_ascii_case("content-type");
        if !self.options.turn_headers.iter().any(typed) {
            post = post.header("content-type", "application/json");
        }
        for (name, value) in &self.options.turn_headers {
            post = post.header(name, value);
        }
        Some(post.send(body))
    }
}

/// Whether a process lives that has this number, and began then. One that has ended and that nobody has waited for doesn't.
fn is_there(pid: u64, began: Option<u64>) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    let has_ended = stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']));
    let is_another = began.zip(start_time(&stat)).is_some_and(|(then, there)| then != there);
    !has_ended && !is_another
}

/// What comes of a body within this time: one that has no end has a beginning.
fn beginning(mut body: ureq::Body, time: Duration) -> Vec<u8> {
    let (told, heard) = channel();
    std::thread::spawn(move || {
        let mut reader = body.as_reader().take(LONGEST_REFUSAL);
        let mut piece = [0; 512];
        while let Ok(length @ 1..) = reader.read(&mut piece) {
            if told.send(piece[..length].to_vec()).is_err() {
                break;
            }
        }
    });
    let (began, mut came) = (Instant::now(), Vec::new());
    while let Ok(piece) = heard.recv_timeout(time.saturating_sub(began.elapsed())) {
        came.extend(piece);
    }
    came
}

impl World for Real<'_> {
    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn pause(&self, time: Duration, interrupt: &Interrupt) -> bool {
        interrupt.pause(time)
    }

    fn expect_a_turn(&self) -> Result<(), CanNotProbe> {
        let Some(answer) = self.answer() else { return Ok(()) };
        let response = answer.map_err(|error| CanNotProbe(format!("a turn gets no answer: {error}")))?;
        let code = response.status();
        let refused = self.options.refused.contains(&code.as_u16());
        if code.is_success() && !refused {
            // To its end, and nobody waits for that here: it need not be in flight when the first drain begins.
            drop(Unread::of(response.into_body()).read());
            return Ok(());
        }
        let body = beginning(response.into_body(), self.options.patience);
        let body: String = String::from_utf8_lossy(&body).trim().chars().take(200).collect();
        let what =
            if refused { "the refusal of a gateway that nobody drains" } else { "neither a success nor a refusal" };
        Err(CanNotProbe(format!(
            "a turn was answered with {code}, {what}: {body:?}. Give what it takes by --turn-body and --turn-header, and the \
             codes of a refusal by --refused-status; nothing was tried"
        )))
    }

    fn turn(&self) -> Option<(TurnAnswer, Option<Unread>)> {
        match self.answer()?.ok()? {
            response if self.options.refused.contains(&response.status().as_u16()) => Some((TurnAnswer::Refused, None)),
            response if response.status().is_success() => {
                let code = response.status().as_u16();
                Some((TurnAnswer::Admitted(code), Some(Unread::of(response.into_body()))))
            }
            _ => None,
        }
    }

    fn lives(&self, seen: &PublishedStatus) -> Option<bool> {
        let home = Home::at(self.options.home.as_ref()?);
        let (pid, began, incarnation) = seen.process();
        let holder = incarnation.and_then(|_| home.live().ok().flatten());
        let has_locked = holder.is_some_and(|holder| incarnation == Some(holder.as_str()));
        // Either will do: a lock that somebody has removed is put back at the next look, and a process may be out of sight.
        Some(has_locked || pid.is_some_and(|pid| is_there(pid, began)))
    }

    fn run(&self, command: &str) -> io::Result<Box<dyn FnMut() -> io::Result<Option<ExitStatus>>>> {
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = shell.spawn()?;
        Ok(Box::new(move || child.try_wait()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::agent::config;
    use crate::client::stub::{self, Reply};
    use serde_json::json;

    /// What is made of the options where a turn is answered with this code, and what it was asked.
    fn asked<T>(code: u16, options: Options, ask: impl FnOnce(&Real<'_>) -> T) -> (T, String) {
        let (url, asked) = stub::server(&[("POST /turn ", code, json!("said"))]);
        let options = Options { turn: Some((format!("{url}/turn"), "{}".to_owned())), ..options };
        let agent = config([url.as_str()]).unwrap().build().new_agent();
        let made = ask(&Real::new(&options, agent));
        (made, asked.lock().concat())
    }

    #[test]
    fn a_turn_is_refused_by_the_codes_that_say_so_admitted_by_a_success_and_neither_by_any_other() {
        for (code, expected) in
            [(200, Some(Some(200))), (204, Some(Some(204))), (503, Some(None)), (404, None), (500, None)]
        {
            let said = asked(code, Options::default(), |real| real.turn()).0.map(|(answer, _)| match answer {
                TurnAnswer::Admitted(code) => Some(code),
                TurnAnswer::Refused => None,
            });
            assert_eq!(said, expected, "{code}");
        }
    }

    #[test]
    fn a_process_is_known_to_live_by_its_lock_or_by_its_number_and_its_start() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path());
        let of = |home: Option<&Home>, fields: serde_json::Value| {
            let options = Options { home: home.map(|home| home.path().to_owned()), ..Options::default() };
            Real::new(&options, ureq::Agent::new_with_defaults()).lives(&PublishedStatus { fields })
        };
        let own = std::fs::read_to_string("/proc/self/stat").unwrap();
        let (pid, start) = (std::process::id(), start_time(&own).unwrap());
        assert_eq!(of(None, json!({"pid": pid, "start_time": start})), None, "without a home nobody knows");
        assert_eq!(of(Some(&home), json!({"pid": pid, "start_time": start})), Some(true));
        assert_eq!(of(Some(&home), json!({"pid": pid})), Some(true));
        assert_eq!(
            of(Some(&home), json!({"pid": pid, "start_time": start + 1})),
            Some(false),
            "another has its number"
        );
        assert_eq!(of(Some(&home), json!({})), Some(false));

        let mut child = Command::new("true").spawn().unwrap();
        let is_there = || is_there(child.id().into(), None);
        let until = Instant::now() + Duration::from_secs(60);
        while is_there() && Instant::now() < until {
            std::thread::yield_now();
        }
        assert!(!is_there(), "nobody has waited for it, and it has ended");
        child.wait().unwrap();

        let incarnation = crate::hold::Incarnation::fresh();
        let elsewhere = |named: &str| json!({"pid": 0, "drain": {"incarnation": named}});
        assert_eq!(of(Some(&home), elsewhere(incarnation.as_str())), Some(false), "it has no lock");
        let lock = home.lock(&incarnation).unwrap();
        assert_eq!(of(Some(&home), elsewhere(incarnation.as_str())), Some(true));
        assert_eq!(of(Some(&home), elsewhere("another")), Some(false), "the lock is another's");
        drop(lock);
        assert_eq!(of(Some(&home), elsewhere(incarnation.as_str())), Some(false));
    }

    #[test]
    fn a_gateway_whose_first_turn_is_no_success_can_not_be_probed() {
        let refuses = |code| Options { refused: vec![code], ..Options::default() };
        for (code, options, why) in [
            (200, Options::default(), None),
            (200, refuses(200), Some("the refusal of a gateway that nobody drains")),
            (503, Options::default(), Some("the refusal of a gateway that nobody drains")),
            (404, Options::default(), Some("neither a success nor a refusal")),
        ] {
            let said = asked(code, options, |real| real.expect_a_turn()).0.map_err(|error| error.to_string());
            assert_eq!(said.is_ok(), why.is_none(), "{code}: {said:?}");
            assert!(why.is_none_or(|why| said.is_err_and(|said| said.contains(why))), "{code}: {why:?}");
        }
    }

    #[test]
    fn a_turn_is_json_unless_its_headers_say_another_type() {
        let typed = |headers: &[(&str, &str)]| {
            let turn_headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let (_, asked) = asked(200, Options { turn_headers, ..Options::default() }, |real| real.turn().is_some());
            asked.lines().filter(|line| line.starts_with("content-type:")).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(typed(&[]), ["content-type: application/json"]);
        assert_eq!(typed(&[("Content-Type", "text/plain")]), ["content-type: text/plain"]);
    }

    #[test]
    fn of_a_first_turn_whose_answer_has_no_end_the_beginning_is_told_once_there_is_no_patience_left() {
        let (told, heard) = std::sync::mpsc::channel();
        let (url, _) = stub::replying(|_| Reply::Endless(503));
        std::thread::spawn(move || {
            let turn = Some((url.clone(), "{}".to_owned()));
            let options = Options { turn, patience: Duration::from_secs(2), ..Options::default() };
            let agent = config([url.as_str()]).unwrap().build().new_agent();
            told.send(Real::new(&options, agent).expect_a_turn())
        });
        let said = heard.recv_timeout(Duration::from_secs(60)).expect("it ends, although the answer doesn't");
        let why = said.unwrap_err().to_string();
        assert!(why.contains("503") && why.contains("drains: \"{\"."), "{why}");
    }

    #[test]
    fn a_turn_that_never_ends_is_read_for_longer_than_it_is_waited_for_and_not_for_ever() {
        let (url, _) = stub::replying(|_| Reply::Endless(200));
        let patience = Duration::from_millis(500);
        let options = Options { turn: Some((url.clone(), "{}".to_owned())), patience, ..Options::default() };
        let agent = config([url.as_str()]).unwrap().build().new_agent();
        let began = Instant::now();
        let in_flight = Real::new(&options, agent).turn().unwrap().1.unwrap().read();
        while !in_flight() {
            assert!(began.elapsed() < Duration::from_secs(60), "it is still read");
            std::thread::park_timeout(Duration::from_millis(10));
        }
        assert!(began.elapsed() >= patience * 10, "{:?}", began.elapsed());
    }
}
