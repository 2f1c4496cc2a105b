//! What the driver does to a gateway, and what it takes back.

use super::*;
use crate::client::stub::{self, Reply};
use crate::judge::probe::checks;
use crate::judge::probe::fake::{Fake, TICK};
use crate::{DrainState, Reconciler, reconciler};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// For tests in which it runs out.
const SHORT: Duration = Duration::from_secs(2);

fn runs() -> Reply {
    Reply::Whole(200, json!({"gateway_state": "running"}).to_string())
}

#[test]
fn what_is_not_there_counts_as_removed_and_what_can_not_be_removed_is_told() {
    let folder = tempfile::tempdir().unwrap();
    remove(&folder.path().join("nothing")).unwrap();
    let (file, empty) = (folder.path().join("file"), folder.path().join("empty"));
    std::fs::write(&file, "").unwrap();
    std::fs::create_dir(&empty).unwrap();
    remove(&file).unwrap();
    remove(&empty).unwrap();
    assert!(!file.exists() && !empty.exists());
    std::fs::write(&file, "").unwrap();
    assert_eq!(remove(folder.path()).unwrap_err().kind(), io::ErrorKind::DirectoryNotEmpty);
}

#[test]
fn what_an_endpoint_has_granted_or_may_have_begun_is_taken_back_and_what_it_denied_is_not() {
    let denials = [400, 401, 403, 404, 405, 413, 429].map(|code| (code, 1));
    let may_stand = [200, 408, 409, 410, 412].map(|code| (code, 2));
    for (code, posts) in denials.into_iter().chain(may_stand) {
        let (url, asked) = stub::replying(move |question| {
            if question.contains(r#""action":"drain""#) { Reply::Whole(code, "{}".into()) } else { runs() }
        });
        let options = Options { url: Some(url), ..Options::default() };
        let interrupt = Interrupt::new();
        let mut driver = Driver::of(&options, &interrupt).unwrap();
        assert_eq!(driver.begin().is_ok(), code == 200);
        driver.take_back().unwrap();
        let asked = asked.lock();
        let posted: Vec<&String> = asked.iter().filter(|question| question.starts_with("POST")).collect();
        assert_eq!(posted.len(), posts, "{code}: {posted:?}");
    }
}

#[test]
fn a_gateway_that_ends_with_nothing_of_the_probe_s_in_it_is_sent_no_cancel_that_could_end_another_s_drain() {
    let (url, asked) = stub::replying(|_| runs());
    let (options, interrupt) = (Options { url: Some(url), patience: SHORT, ..Options::default() }, Interrupt::new());
    let mut driver = Driver::of(&options, &interrupt).unwrap();
    driver.forget_if_ended().unwrap();
    assert!(!asked.lock().iter().any(|question| question.starts_with("POST")), "{:?}", asked.lock());
}

/// What comes of asking an address that gives answers without an end, if it comes at all.
fn in_time<T: Send + 'static>(ask: impl FnOnce() -> T + Send + 'static) -> T {
    let (told, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || told.send(ask()));
    heard.recv_timeout(Duration::from_secs(60)).expect("it ends, although the answer doesn't")
}

#[test]
fn a_pipe_in_the_place_of_a_status_is_no_status() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path());
    rustix::fs::mkfifoat(rustix::fs::CWD, home.status(), rustix::fs::Mode::RUSR).unwrap();
    let why = in_time(move || {
        let options = Options { home: Some(home.path().into()), ..Options::default() };
        Driver::of(&options, &Interrupt::new()).err().map(|can_not| can_not.to_string()).unwrap_or_default()
    });
    assert!(why.contains("it is a pipe"), "{why}");
}

#[test]
fn a_status_without_an_end_is_waited_for_as_long_as_there_is_patience() {
    let (url, _) = stub::replying(|_| Reply::Endless(200));
    let why = in_time(move || {
        let options = Options { url: Some(url), patience: SHORT, ..Options::default() };
        Driver::of(&options, &Interrupt::new()).map(drop).unwrap_err().to_string()
    });
    assert!(why.contains("timeout"), "{why}");
}

#[test]
fn an_answer_without_an_end_to_a_drain_or_a_cancel_is_waited_for_as_long_as_there_is_patience() {
    for endless in ["drain", "cancel"] {
        let (url, _) = stub::replying(move |question| match question {
            _ if question.contains(&format!("{{\"action\":\"{endless}\"}}")) => Reply::Endless(200),
            _ => runs(),
        });
        let (begun, left) = in_time(move || {
            let options = Options { url: Some(url), patience: SHORT, ..Options::default() };
            let interrupt = Interrupt::new();
            let mut driver = Driver::of(&options, &interrupt).unwrap();
            (driver.begin().map_err(|why| why.to_string()), driver.take_back())
        });
        assert_eq!((begun.is_err(), left.is_err()), (endless == "drain", endless == "cancel"), "{begun:?} {left:?}");
        let why = begun.err().or(left.err()).unwrap();
        assert!(why.contains("timeout"), "{why}");
    }
}

#[test]
fn what_a_home_does_not_let_go_is_still_to_be_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("gateway_state.json"), r#"{"gateway_state": "running"}"#).unwrap();
    let options = Options { home: Some(folder.path().into()), patience: Duration::ZERO, ..Options::default() };
    let interrupt = Interrupt::new();
    let mut driver = Driver::of(&options, &interrupt).unwrap();
    driver.put(|marker| std::fs::create_dir_all(marker.join("full"))).unwrap();
    driver.leave();
    let left = driver.take_back().unwrap_err();
    assert!(left.starts_with("marker ("), "{left}");
}

#[test]
fn a_panic_takes_back_what_had_been_begun_a_committed_hold_too() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path());
    let tick = Duration::from_millis(10);
    let gateway =
        Reconciler::start(home.clone(), reconciler::Options { tick, ..reconciler::Options::default() }).unwrap();
    let patience = Duration::from_secs(60);
    let options = Options { home: Some(folder.path().into()), tick, patience, ..Options::default() };
    let interrupt = Interrupt::new();

    let mut driver = Driver::of(&options, &interrupt).unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(move || {
        let hold = RequestId::new("committed").unwrap();
        driver.begin().unwrap();
        driver.write(&Driver::request(&hold)).unwrap();
        let (seen, _) = driver.until(|seen| seen.hold(&hold).is_some()).unwrap().unwrap();
        let drain = seen.drain().unwrap();
        let incarnation = drain["incarnation"].as_str().unwrap().to_owned().into();
        let generation = serde_json::from_value(drain["generation"].clone()).unwrap();
        let commit = Request::commit(hold.clone(), OWNER, incarnation, generation);
        let token = commit.nonce.clone().unwrap();
        driver.committed(&hold, token.clone());
        driver.write(&commit).unwrap();
        driver.until(|seen| seen.answer(&token) == Some("committed")).unwrap().unwrap();
        panic!("in the middle of it");
    }));

    let why = panicked.unwrap_err();
    assert_eq!(why.downcast_ref(), Some(&"in the middle of it"));
    assert!(!home.marker().exists(), "the marker is gone");
    let left = std::fs::read_dir(home.holds_folder()).unwrap().count();
    assert_eq!(left, 0, "the hold file is gone; the folder is the gateway's");
    assert_eq!(gateway.controller().state(), DrainState::Running, "and the gateway runs");
}

#[test]
fn where_a_drain_was_asked_for_that_the_gateway_is_yet_to_follow_nothing_is_tried() {
    for asked in [|home: &Home| home.marker(), |home: &Home| home.holds_folder().join("upgrade.json")] {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path());
        let gateway = Fake::in_home(home.clone());
        gateway.tick();
        std::fs::create_dir_all(home.holds_folder()).unwrap();
        std::fs::write(asked(&home), "").unwrap();
        let options = Options { home: Some(folder.path().into()), tick: TICK, ..Options::default() };
        let (interrupt, agent) = (Interrupt::new(), ureq::Agent::new_with_defaults());
        let refused = Driver::in_world(&options, &interrupt, agent, Box::new(gateway)).map(drop).unwrap_err();
        assert!(refused.to_string().starts_with("somebody has asked for a drain in "), "{refused}");
    }
}

#[test]
fn a_status_is_read_for_what_it_says() {
    let of = |fields: Value| PublishedStatus { fields };
    let state = |word: &str, inner: &str| of(json!({"gateway_state": word, "drain": {"state": inner}}));
    let words = |seen: &PublishedStatus| (seen.is_running(), seen.is_draining(), seen.is_shutting_down());
    assert_eq!(words(&state("running", "running")), (true, false, false));
    assert_eq!(words(&state("draining", "external_draining")), (false, true, false));
    assert_eq!(words(&state("draining", "shutdown_draining")), (false, true, true));
    assert_eq!(words(&state("stopped", "stopped")), (false, false, true));
    let nothing = of(json!({"drain": 7}));
    assert_eq!((words(&nothing), nothing.state(), nothing.agents()), ((false, false, false), "nothing", 0));
    assert_eq!((nothing.drain(), nothing.process()), (None, (None, None, None)));

    assert_eq!(of(json!({"active_agents": u64::MAX})).agents(), -1, "one too many was subtracted");

    let full = of(json!({
        "pid": 7, "start_time": 9, "active_agents": -2,
        "drain": {
            "incarnation": "p1",
            "acknowledged": [{"nonce": "n1", "outcome": "held"}, {"nonce": "n2", "outcome": "refused"}],
            "holds": [{"request_id": "a", "committed": true}, {"request_id": "b"}],
        },
    }));
    assert_eq!((full.process(), full.agents()), ((Some(7), Some(9), Some("p1")), -2));
    let answer = |nonce: &str| full.answer(&nonce.to_owned().into()).map(str::to_owned);
    assert_eq!((answer("n1"), answer("n2"), answer("n3")), (Some("held".into()), Some("refused".into()), None));
    let hold = |id: &str| full.hold(&RequestId::new(id).unwrap()).map(|hold| hold["committed"] == true);
    assert_eq!((hold("a"), hold("b"), hold("c")), (Some(true), Some(false), None));
}

/// A gateway at an address that runs, or is drained from a drain on until a cancel, the first of which meet these replies and don't
/// reach it. It tells whether a request lies there.
fn gateway(to_cancels: impl IntoIterator<Item = Reply>) -> (String, Arc<AtomicBool>) {
    let held = Arc::new(AtomicBool::new(false));
    let (asked, mut lost) = (Arc::clone(&held), to_cancels.into_iter().collect::<Vec<_>>().into_iter());
    let (url, _) = stub::replying(move |question| {
        if question.contains(r#""action":"cancel""#) {
            if let Some(lost) = lost.next() {
                return lost;
            }
            asked.store(false, Ordering::SeqCst);
        }
        if question.contains(r#""action":"drain""#) {
            asked.store(true, Ordering::SeqCst);
        }
        let state = if asked.load(Ordering::SeqCst) { "draining" } else { "running" };
        Reply::Whole(200, json!({"gateway_state": state}).to_string())
    });
    (url, held)
}

#[test]
fn a_cancel_that_gets_no_answer_or_is_put_off_is_sent_again_until_one_comes() {
    let put_off = [502, 408, 425, 429].map(|code| Reply::Whole(code, "not now".into()));
    let (url, held) = gateway([Reply::Nothing, Reply::Nothing].into_iter().chain(put_off));
    let (options, interrupt) = (Options { url: Some(url), ..Options::default() }, Interrupt::new());
    let mut driver = Driver::of(&options, &interrupt).unwrap();
    driver.begin().unwrap();
    assert_eq!(driver.take_back(), Ok(()));
    assert!(!held.load(Ordering::SeqCst), "the gate is open again");
}

#[test]
fn a_cancel_that_is_denied_or_has_no_answer_while_there_is_patience_is_told_of() {
    let denied = Reply::Whole(403, "not yours".into());
    let silence = std::iter::repeat_with(|| Reply::Nothing).take(1000);
    for (to_cancels, patience, why) in [
        (vec![denied], Duration::from_secs(3), "403 Forbidden to \"cancel\": not yours"),
        (silence.collect(), SHORT, "/api/gateway/drain: "),
    ] {
        let (url, held) = gateway(to_cancels);
        let (options, interrupt) = (Options { url: Some(url), patience, ..Options::default() }, Interrupt::new());
        let mut driver = Driver::of(&options, &interrupt).unwrap();
        driver.begin().unwrap();
        let left = driver.take_back().unwrap_err();
        assert!(left.starts_with("marker (") && left.contains(why), "{left}");
        let still = "; the gateway, whose status still says draining; `gateway-drain cancel --marker --url ";
        assert!(left.contains(still), "{left}");
        assert!(held.load(Ordering::SeqCst), "it is still closed");
    }
}

#[test]
fn a_gateway_that_its_stop_command_does_not_end_is_not_left_closed_by_a_cancel_that_is_lost() {
    let (url, held) = gateway([Reply::Whole(502, "no gateway".into())]);
    let options = Options { url: Some(url), stop: Some("true".into()), patience: SHORT, ..Options::default() };
    let interrupt = Interrupt::new();
    let mut driver = Driver::of(&options, &interrupt).unwrap();
    checks::a_stop(&mut driver, &mut checks::Rows(&mut Vec::new())).unwrap();
    assert_eq!(driver.take_back(), Ok(()));
    assert!(!held.load(Ordering::SeqCst), "the gate is open again");
}

#[test]
fn what_a_gateway_has_not_answered_to_that_has_ended_is_not_taken_back_from_it() {
    for last in [Some("stopped"), None] {
        let state = |state| json!({"gateway_state": state}).to_string();
        let (mut says, ended) = (Some("running"), last);
        let (url, asked) = stub::replying(move |question| {
            let cancels = question.contains(r#""action":"cancel""#);
            if question.contains(r#""action":"drain""#) {
                says = Some("draining");
            } else if cancels {
                says = ended;
            }
            says.filter(|_| !cancels).map_or(Reply::Nothing, |says| Reply::Whole(200, state(says)))
        });
        let options = Options { url: Some(url), stop: Some("true".into()), patience: SHORT, ..Options::default() };
        let interrupt = Interrupt::new();
        let mut driver = Driver::of(&options, &interrupt).unwrap();
        checks::a_stop(&mut driver, &mut checks::Rows(&mut Vec::new())).unwrap();
        let questions = asked.lock().len();
        assert_eq!(driver.take_back(), Ok(()), "{last:?}");
        assert_eq!(asked.lock().len(), questions, "{last:?}: nobody is asked any more");
    }
}

/// A gateway at an address that doesn't answer to its first drain but so, which comes to it once this many cancels have.
fn late(after: usize, mut answer: impl FnMut() -> Reply + Send + 'static) -> (String, Arc<AtomicBool>) {
    let held = Arc::new(AtomicBool::new(false));
    let (asked, mut cancels, mut comes) = (Arc::clone(&held), 0, false);
    let (url, _) = stub::replying(move |question| {
        if question.contains(r#""action":"drain""#) {
            comes = true;
            asked.store(after == 0, Ordering::SeqCst);
            return answer();
        }
        if question.contains(r#""action":"cancel""#) {
            cancels += 1;
            asked.store(comes && cancels == after, Ordering::SeqCst);
        }
        let state = if asked.load(Ordering::SeqCst) { "draining" } else { "running" };
        Reply::Whole(200, json!({"gateway_state": state}).to_string())
    });
    (url, held)
}

#[test]
fn a_drain_that_comes_after_its_cancel_is_cancelled_again() {
    let given_up = || Reply::Whole(502, "no gateway".into());
    for (after, answer) in [(0, (|| Reply::Nothing) as fn() -> Reply), (1, || Reply::Nothing), (1, given_up)] {
        let (url, held) = late(after, answer);
        let (options, interrupt) = (Options { url: Some(url), ..Options::default() }, Interrupt::new());
        let mut driver = Driver::of(&options, &interrupt).unwrap();
        driver.begin().unwrap_err();
        assert_eq!(driver.take_back(), Ok(()), "after {after} cancels");
        assert!(!held.load(Ordering::SeqCst), "the gate is open again after {after} cancels");
    }
}

#[test]
fn of_a_drain_that_got_no_answer_and_was_not_seen_to_come_it_is_told_how_its_marker_is_removed() {
    let (url, _) = late(1000, || Reply::Nothing);
    let (options, interrupt) =
        (Options { url: Some(url.clone()), patience: SHORT, ..Options::default() }, Interrupt::new());
    let mut driver = Driver::of(&options, &interrupt).unwrap();
    driver.begin().unwrap_err();
    let left = driver.take_back().unwrap_err();
    let line = format!("`gateway-drain cancel --marker --url {url}`");
    assert_eq!(
        left,
        format!("a drain that got no answer, and may still come to the gateway; {line} removes its marker")
    );
}

#[test]
fn a_gateway_that_no_cancel_opens_again_after_a_drain_that_got_no_answer_is_told_by_its_state() {
    let mut state = "running";
    let (url, _) = stub::replying(move |question| {
        if question.contains(r#""action":"drain""#) {
            state = "draining";
            return Reply::Nothing;
        }
        Reply::Whole(200, json!({"gateway_state": state}).to_string())
    });
    let (options, interrupt) = (Options { url: Some(url), patience: SHORT, ..Options::default() }, Interrupt::new());
    let mut driver = Driver::of(&options, &interrupt).unwrap();
    driver.begin().unwrap_err();
    let left = driver.take_back().unwrap_err();
    assert!(left.starts_with("the gateway, whose status still says draining; "), "{left}");
}

/// What comes of taking back a second drain that got no answer, where the first ends with the second cancel and the second comes as
/// the gateway is looked at for this time since, if ever. The first is followed a look late, and there is a look before it.
fn a_second_drain(comes: Option<usize>) -> Result<(), String> {
    let (mut drains, mut cancels, mut since, mut held, mut lags) = (0, 0, 0, false, false);
    let (url, _) = stub::replying(move |question| {
        if question.contains(r#""action":"drain""#) {
            drains += 1;
            if drains == 2 {
                return Reply::Nothing;
            }
            (held, lags) = (true, true);
        } else if question.contains(r#""action":"cancel""#) {
            cancels += 1;
            held &= cancels == 1;
        } else if std::mem::take(&mut lags) {
            return runs();
        } else {
            since += usize::from(cancels >= 2);
            held |= cancels >= 2 && Some(since) == comes;
        }
        let state = if held { "draining" } else { "running" };
        Reply::Whole(200, json!({"gateway_state": state}).to_string())
    });
    let (options, interrupt) = (Options { url: Some(url), patience: SHORT, ..Options::default() }, Interrupt::new());
    let mut driver = Driver::of(&options, &interrupt).unwrap();
    driver.begin().unwrap();
    driver.status().unwrap();
    driver.begin().unwrap_err();
    driver.take_back()
}

#[test]
fn the_end_of_an_earlier_drain_is_not_taken_for_that_of_one_that_got_no_answer() {
    let left = a_second_drain(None).unwrap_err();
    assert!(left.starts_with("a drain that got no answer"), "{left}");
    assert_eq!(a_second_drain(Some(3)), Ok(()), "it has come after the earlier one had ended");
}

#[test]
fn another_process_that_answers_at_the_address_is_not_taken_for_the_one_that_the_probe_began_with() {
    let mut looks = 0;
    let (url, _) = stub::replying(move |_| {
        looks += 1;
        let incarnation = if looks < 4 { "first" } else { "second" };
        Reply::Whole(200, json!({"gateway_state": "running", "drain": {"incarnation": incarnation}}).to_string())
    });
    let (options, interrupt) = (Options { url: Some(url), ..Options::default() }, Interrupt::new());
    let mut driver = Driver::of(&options, &interrupt).unwrap();
    driver.status().unwrap();
    let why = driver.status().unwrap_err().to_string();
    assert!(why.starts_with("the gateway was restarted, or another answers in its place,"), "{why}");
}
