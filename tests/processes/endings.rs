//! Two transports, one promise: every ending and every value of the command line over the files, over HTTP, and over a proxy
//! that answers by itself for a second at each command, from one table, with real processes.

use crate::support::lying_proxy::{Disturbance, LyingProxy, tried_behind_a_proxy};
use crate::support::process::{GatewayProcess, home};
use crate::support::tool::{Ended, STATE_VARIABLE, Tool, owner, tool};
use gateway_drain::client::{ExitCode, Gateway};
use gateway_drain::control::Epoch;
use gateway_drain::status::{IgnoredKind, Snapshot};
use gateway_drain::{Channel, Home, Request, RequestId};
use rustix::process::Signal;
use serde_json::Value;
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Files,
    Http,
    /// Over HTTP, and through a proxy that answers 400 to 504 by itself for a second: at another request of each command.
    Proxy,
}

/// A gateway, and the one way to it that a test has.
struct Scene {
    way: Way,
    home: tempfile::TempDir,
    /// No home of any gateway, where the tool keeps its tokens.
    elsewhere: tempfile::TempDir,
    secret: String,
    gateway: Option<GatewayProcess>,
    address: String,
    proxy: Option<LyingProxy>,
    lies: Cell<usize>,
}

/// As many disturbances has one test: each takes a second.
const LIES: usize = 10;
/// One of the first so many requests of a command is disturbed. Few take more.
const POINTS: usize = 7;
/// How many disturbances there were in all tests.
static DISTURBANCES: AtomicUsize = AtomicUsize::new(0);

impl Scene {
    fn start(way: Way) -> Self {
        let (home, elsewhere) = (home(), crate::support::process::home());
        let secret = crate::support::tool::drain(home.path(), &["secret", "new"]).expect(ExitCode::Drained).stdout;
        let secret = secret.trim().to_owned();
        let gateway = GatewayProcess::start_with_secret(home.path(), &secret, "127.0.0.1:0");
        let address = gateway.address.clone();
        let proxy = (way == Way::Proxy).then(|| LyingProxy::before(&address));
        Self { way, home, elsewhere, secret, gateway: Some(gateway), address, proxy, lies: Cell::new(LIES) }
    }

    /// Held closed by `upgrade`, with a turn in flight that outlasts the test.
    fn busy(way: Way) -> Self {
        let scene = Self::start(way);
        let _ = scene.gateway().turn(600_000);
        scene.drain(&["begin", "upgrade"]).expect(ExitCode::Drained);
        scene
    }

    fn gateway(&self) -> &GatewayProcess {
        self.gateway.as_ref().expect("it runs")
    }

    fn start_tool(&self, arguments: &[&str]) -> Tool {
        let mut command = match self.way {
            Way::Files => tool(self.home.path()),
            Way::Http | Way::Proxy => tool(self.elsewhere.path()),
        };
        command.env(STATE_VARIABLE, self.elsewhere.path().join("state"));
        if self.way != Way::Files {
            let address = self.proxy.as_ref().map_or(&self.address, |proxy| &proxy.address);
            command.args(["--url", &format!("http://{address}")]).env(Gateway::SECRET_VARIABLE, &self.secret);
        }
        if let Some(proxy) = &self.proxy {
            proxy.disturb(self.disturbance());
        }
        command.args(arguments);
        Tool::spawn(command)
    }

    /// What becomes of the next command's requests.
    fn disturbance(&self) -> Option<Disturbance> {
        self.lies.set(self.lies.get().checked_sub(1)?);
        let what = Disturbance::numbered(DISTURBANCES.fetch_add(1, Ordering::Relaxed), POINTS);
        println!("{what:?}");
        Some(what)
    }

    /// Nothing is disturbed from now on: for leases that are shorter than a disturbance.
    fn undisturbed(self) -> Self {
        self.lies.set(0);
        self
    }

    /// The tool's ending; whatever it said, the secret was not in it.
    #[track_caller]
    fn drain(&self, arguments: &[&str]) -> Ended {
        let ended = self.start_tool(arguments).ended();
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(!said.contains(&self.secret), "the secret was printed");
        self.assert_keys();
        ended
    }

    /// Whatever became of a command: nothing is committed whose token its owner doesn't have.
    #[track_caller]
    fn assert_keys(&self) {
        let (Some(_), Ok(status)) = (&self.gateway, Snapshot::read(&Home::at(self.home.path()))) else { return };
        // A test hides the tokens; then they are not looked for.
        let Ok(kept) = std::fs::read_dir(self.elsewhere.path().join("state")) else { return };
        let kept: String = kept.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap_or_default()).collect();
        for hold in status.drain.holds.iter().filter(|hold| hold.committed) {
            let token = hold.token.as_ref().expect("a commit has a token").as_str();
            assert!(kept.contains(token), "{:?}: {} is committed, and nobody has its key", self.way, hold.request_id);
        }
    }

    /// A wait for `upgrade`, whose own write the gateway has acknowledged.
    fn waiting(&self, more: &[&str]) -> Tool {
        let tool = self.start_tool(&[&["wait", "upgrade", "--timeout", "1h"], more].concat());
        tool.said("deadline in");
        tool
    }

    fn channel(&self) -> Channel {
        Channel::new(Home::at(self.home.path()))
    }

    /// Who owns what this tool begins.
    fn owner(&self) -> String {
        if self.way == Way::Files { owner() } else { "drain-control".into() }
    }

    fn lease_left(&self) -> f64 {
        let status = self.gateway().until("the hold", |status| !status.drain.holds.is_empty());
        status.drain.holds[0].lease_left_seconds.expect("it is not committed")
    }

    /// Somebody else writes over a live hold; the gateway sees that, and perhaps also that it is gone again.
    fn overwrite(&self, id: &str, write: &[u8], gone: bool) {
        let home = self.home.path();
        let path = match id {
            "marker" => home.join(".drain_request.json"),
            _ => home.join(".drain_holds").join(format!("{id}.json")),
        };
        // Whole, as every writer does it: else a look may find half of it.
        let beside = home.join("of-somebody-else");
        std::fs::write(&beside, write).unwrap();
        std::fs::rename(&beside, &path).unwrap();
        let says =
            |status: &Snapshot| status.drain.ignored.iter().any(|ignored| ignored.kind == IgnoredKind::Overwritten);
        self.gateway().until("what was written over the hold", says);
        if gone {
            std::fs::remove_file(&path).unwrap();
            self.gateway().until("that it is gone", |status| !says(status));
        }
    }

    #[track_caller]
    fn assert_held(&self) {
        assert!(!self.gateway().admits(), "{:?}: the hold was taken back", self.way);
    }
}

fn id() -> RequestId {
    RequestId::new("upgrade").unwrap()
}

/// What somebody else may leave over a hold's file.
fn overwritings() -> Vec<(&'static str, Vec<u8>)> {
    let request = |action: &str, more: &str| {
        format!(r#"{{"action":"{action}","principal":"bob","nonce":"0123456789abcdef-bob","lease_seconds":2{more}}}"#)
            .into_bytes()
    };
    vec![
        ("bob's begin", request("drain", "")),
        ("bob's cancel", request("cancel", "")),
        ("a write of another boot", request("drain", r#","epoch":"00000000-0000-0000-0000-000000000000:1""#)),
        ("garbage", b"{".to_vec()),
        ("a touch", Vec::new()),
    ]
}

/// Runs each over all ways.
macro_rules! over_all {
    ($(fn $name:ident($way:ident: Way) $body:block)*) => {
        $(fn $name($way: Way) $body)*
        mod files {
            use super::*;
            $(#[test] fn $name() { super::$name(Way::Files) })*
        }
        mod http {
            use super::*;
            $(#[test] fn $name() { super::$name(Way::Http) })*
        }
        /// What waits for a proxy most of the time is done in one test, some at a time.
        #[test]
        fn endings_are_the_same_behind_a_proxy_that_answers_by_itself_for_a_second() {
            let cases: [Case; _] = [$((stringify!($name), $name)),*];
            at_the_same_time(&tried_behind_a_proxy(cases));
        }
    };
}

/// A test of the table, by its name.
type Case = (&'static str, fn(Way));

fn at_the_same_time(cases: &[Case]) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while let Some((name, case)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let began = Instant::now();
                    let ended = std::panic::catch_unwind(|| case(Way::Proxy));
                    println!("{name}: {:?}", began.elapsed());
                    assert!(ended.is_ok(), "behind a proxy: {name}");
                }
            });
        }
    });
}

over_all! {
    fn an_idle_gateway_is_drained_and_exits_with_0(way: Way) {
        let scene = Scene::start(way);
        assert_eq!(scene.drain(&["begin", "upgrade"]).expect(ExitCode::Drained).stdout, "upgrade\n");
        scene.drain(&["wait", "upgrade"]).expect(ExitCode::Drained);
    }

    fn a_wait_ends_with_0_when_the_last_turn_ends(way: Way) {
        let scene = Scene::start(way);
        let turn = scene.gateway().turn(600);
        scene.drain(&["begin", "upgrade"]).expect(ExitCode::Drained);
        scene.drain(&["wait", "upgrade"]).expect(ExitCode::Drained);
        assert!(turn.finished(), "drained was reported for a turn that was cut off");
    }

    fn a_command_line_that_makes_no_sense_exits_with_2(way: Way) {
        let scene = Scene::start(way);
        for arguments in [
            &["begin", "../escape"][..],
            &["wait", "x", "--timeout", "soon"],
            &["no-such-thing"],
            &["begin", "x", "--lease", "0"],
            &["begin", "x", "--act-within", "0"],
            &["begin", "--owner", ""],
        ] {
            scene.drain(arguments).expect(ExitCode::Usage);
        }
        for arguments in [&["run"][..], &["run", "--lease", "0", "--", "true"], &["run", "--json", "--", "true"]] {
            scene.drain(arguments).expect_code(202);
        }
        assert!(scene.gateway().admits(), "something was begun");
    }

    fn the_deadline_with_work_left_exits_with_3_and_says_what_is_left(way: Way) {
        let scene = Scene::busy(way);
        let json = scene.drain(&["wait", "upgrade", "--timeout", "300ms", "--json"]).expect(ExitCode::Deadline).json();
        assert_eq!((&json["in_flight"], &json["active_work"][0]["label"]), (&1.into(), &"s1".into()), "{json}");
        scene.drain(&["commit", "upgrade"]).expect(ExitCode::Deadline);
        scene.drain(&["wait", "upgrade", "--timeout", "0"]).expect(ExitCode::Deadline);
        scene.assert_held();
    }

    fn a_hold_that_its_owner_cancels_elsewhere_ends_the_wait_with_4(way: Way) {
        let scene = Scene::busy(way);
        let waiting = scene.waiting(&[]);
        scene.drain(&["cancel", "upgrade"]).expect(ExitCode::Drained);
        waiting.ended().expect(ExitCode::Withdrawn);
    }

    fn a_hold_whose_file_is_removed_ends_the_wait_with_4(way: Way) {
        let scene = Scene::busy(way);
        let waiting = scene.waiting(&[]);
        scene.channel().remove(&id()).unwrap();
        waiting.ended().expect(ExitCode::Withdrawn);
    }

    fn a_hold_whose_lease_has_run_out_ends_a_wait_a_commit_and_a_renewal_with_5(way: Way) {
        let scene = Scene::start(way).undisturbed();
        scene.drain(&["begin", "upgrade", "--lease", "3s"]).expect(ExitCode::Drained);
        scene.gateway().until("that the lease ran out", |status| status.drain.holds.is_empty());
        for verb in ["wait", "commit", "renew"] {
            scene.drain(&[verb, "upgrade"]).expect(ExitCode::LeaseLost);
        }
        assert!(scene.gateway().admits(), "another hold was begun in the place of the one that was lost");
        // There is none to take up.
        scene.drain(&["begin", "upgrade", "--attach"]).expect(ExitCode::Drained);
    }

    fn a_waiter_that_was_frozen_past_its_lease_exits_with_5(way: Way) {
        let scene = Scene::busy(way).undisturbed();
        let waiting = scene.waiting(&[]);
        waiting.signal(Signal::STOP);
        // Shortened only now: until it is stopped, a slow machine must not let it run out.
        scene.drain(&["renew", "upgrade", "--lease", "3s"]).expect(ExitCode::Drained);
        scene.gateway().until("that the lease ran out", |status| status.drain.holds.is_empty());
        waiting.signal(Signal::CONT);
        waiting.ended().expect(ExitCode::LeaseLost);
        assert!(scene.gateway().admits(), "the waiter began another hold in the place of the one that it lost");
    }

    fn a_gateway_that_is_killed_and_started_again_ends_the_wait_with_6_and_the_hold_stays(way: Way) {
        let mut scene = Scene::busy(way);
        let waiting = scene.waiting(&["--patience", "60s"]);
        scene.gateway.take().unwrap().kill();
        scene.gateway = Some(GatewayProcess::start_with_secret(scene.home.path(), &scene.secret, &scene.address));
        waiting.ended().expect(ExitCode::IncarnationChanged);
        scene.assert_held();
    }

    fn a_wait_and_a_commit_for_another_process_exit_with_6_and_the_hold_stays(way: Way) {
        let scene = Scene::start(way);
        scene.drain(&["begin", "upgrade"]).expect(ExitCode::Drained);
        for verb in ["wait", "commit"] {
            scene.drain(&[verb, "upgrade", "--incarnation", "nobody"]).expect(ExitCode::IncarnationChanged);
            scene.assert_held();
        }
    }

    fn a_gateway_that_is_killed_ends_the_wait_with_7(way: Way) {
        let mut scene = Scene::busy(way);
        // Longer than a disturbance.
        let waiting = scene.waiting(&["--patience", "6s"]);
        scene.gateway.take().unwrap().kill();
        waiting.ended().expect(ExitCode::Unreachable);
        scene.drain(&["status", "--patience", "500ms"]).expect(ExitCode::Unreachable);
    }

    fn who_attaches_to_a_gateway_that_does_not_answer_exits_with_7_and_the_hold_stays(way: Way) {
        let scene = Scene::start(way);
        scene.drain(&["begin", "upgrade"]).expect(ExitCode::Drained);
        scene.gateway().freeze();
        let began = Instant::now();
        for verb in ["wait", "renew", "commit"] {
            scene.drain(&["--patience", "500ms", verb, "upgrade"]).expect(ExitCode::Unreachable);
        }
        assert!(began.elapsed() < Duration::from_secs(25), "{way:?}: the patience of half a second was not kept");
        scene.gateway().thaw();
        scene.gateway().until("the hold", |status| !status.drain.holds.is_empty());
        scene.assert_held();
    }

    fn somebody_elses_hold_exits_with_8_for_everything_and_stays(way: Way) {
        let scene = Scene::start(way);
        scene.channel().write(&Request::begin(id(), "somebody-else")).unwrap();
        scene.gateway().until("the hold", |status| !status.drain.holds.is_empty());
        let path = scene.home.path().join(".drain_holds/upgrade.json");
        let lying = std::fs::read(&path).unwrap();
        for verb in ["begin", "wait", "renew", "commit", "cancel"] {
            scene.drain(&[verb, "upgrade"]).expect(ExitCode::Denied);
        }
        scene.drain(&["begin", "upgrade", "--attach"]).expect(ExitCode::Denied);
        scene.drain(&["run", "--id", "upgrade", "--", "true"]).expect_code(208);
        scene.drain(&["run", "--id", "upgrade", "--attach", "--", "true"]).expect_code(208);
        assert_eq!(std::fs::read(&path).unwrap(), lying, "{way:?}: something was written");
    }

    fn a_hold_of_ones_own_is_not_begun_again_unless_attach_says_so(way: Way) {
        let scene = Scene::start(way);
        scene.drain(&["begin", "upgrade", "--lease", "60s"]).expect(ExitCode::Drained);
        let path = scene.home.path().join(".drain_holds/upgrade.json");
        let lying = std::fs::read(&path).unwrap();
        let refused = scene.drain(&["begin", "upgrade"]).expect(ExitCode::Denied);
        assert!(refused.stderr.contains("--attach"), "{}", refused.stderr);
        scene.drain(&["run", "--id", "upgrade", "--", "true"]).expect_code(208);
        assert_eq!(std::fs::read(&path).unwrap(), lying, "{way:?}: something was written");
        scene.drain(&["begin", "upgrade", "--attach", "--lease", "300s"]).expect(ExitCode::Drained);
        assert!(scene.lease_left() > 100.0);
        scene.drain(&["run", "--id", "upgrade", "--attach", "--", "true"]).expect_code(0);
        assert!(scene.gateway().admits(), "its own act over, the hold was not given up");
    }

    fn a_run_that_has_taken_up_a_hold_leaves_it_where_its_command_is_not_run(way: Way) {
        let scene = Scene::busy(way);
        scene.drain(&["run", "--id", "upgrade", "--attach", "--timeout", "300ms", "--", "true"]).expect_code(203);
        scene.assert_held();
        scene.drain(&["cancel", "upgrade"]).expect(ExitCode::Drained);
    }

    fn a_run_that_slept_past_its_heartbeat_neither_renews_nor_ends_the_hold_that_another_run_has_begun_since(way: Way) {
        let scene = Scene::start(way);
        let _ = scene.gateway().turn(600_000);
        // Its heartbeat comes every five seconds. Once it waits it writes nothing before that: it is not stopped in mid write.
        let waits = ["--lease", "15s", "--timeout", "1h", "--patience", "60s"];
        let first = scene.start_tool(&[&["run", "--id", "upgrade"], &waits[..], &["--", "true"]].concat());
        first.said("deadline in");
        first.signal(Signal::STOP);
        let asleep = Instant::now();
        scene.channel().remove(&id()).unwrap();
        scene.gateway().until("that it is gone", |status| status.drain.holds.is_empty());
        scene.drain(&["begin", "upgrade"]).expect(ExitCode::Drained);
        let second = |status: &Snapshot| status.drain.hold(&id()).map(|hold| (hold.first_seen_millis, hold.nonce.clone()));
        let begun = second(&scene.gateway().until("the second hold", |status| second(status).is_some()));
        let (_keep, pause) = std::sync::mpsc::channel::<()>();
        while asleep.elapsed() < Duration::from_millis(5500) {
            let _ = pause.recv_timeout(Duration::from_millis(100));
        }
        first.signal(Signal::CONT);
        let ended = first.ended();
        assert!(matches!(ended.code, Some(204 | 205)), "{way:?}: {ended:?}");
        // A look after it.
        scene.channel().write(&Request::begin(RequestId::new("other").unwrap(), "ann")).unwrap();
        let looked = scene.gateway().until("another hold", |status| status.drain.holds.len() == 2);
        assert_eq!(second(&looked), begun, "{way:?}: something was done to the second hold");
    }

    fn a_gateway_that_begins_to_shut_down_ends_the_wait_with_9(way: Way) {
        let scene = Scene::busy(way);
        let waiting = scene.waiting(&[]);
        scene.gateway().terminate();
        waiting.ended().expect(ExitCode::ShuttingDown);
    }

    fn ctrl_c_detaches_with_130_keeps_the_hold_and_says_how_to_attach_again(way: Way) {
        let scene = Scene::busy(way);
        let waiting = scene.waiting(&[]);
        let began = Instant::now();
        waiting.signal(Signal::INT);
        let ended = waiting.ended().expect(ExitCode::Interrupted);
        assert!(began.elapsed() < Duration::from_secs(20));
        let again = format!("--owner {} wait upgrade", owner());
        assert!(ended.stderr.contains(&again), "it doesn't say {again:?}: {}", ended.stderr);
        scene.drain(&["wait", "upgrade", "--timeout", "100ms"]).expect(ExitCode::Deadline);
    }

    fn a_renewal_and_a_wait_keep_the_lease_that_the_hold_was_begun_with(way: Way) {
        let scene = Scene::start(way);
        scene.drain(&["begin", "upgrade", "--lease", "60s"]).expect(ExitCode::Drained);
        for verb in ["renew", "wait"] {
            scene.drain(&[verb, "upgrade"]).expect(ExitCode::Drained);
            let left = scene.lease_left();
            assert!((30.0..=60.0).contains(&left), "{way:?}: after {verb} {left} s of 60 are left");
        }
        scene.drain(&["renew", "upgrade", "--lease", "10m"]).expect(ExitCode::Drained);
        assert!(scene.lease_left() > 500.0);
    }

    fn a_commit_prints_its_token_and_only_the_token_or_the_machine_that_knows_it_ends_it(way: Way) {
        let scene = Scene::start(way);
        scene.drain(&["begin", "upgrade"]).expect(ExitCode::Drained);
        let token = scene.drain(&["commit", "upgrade"]).expect(ExitCode::Drained).stdout;
        for verb in ["begin", "renew", "commit", "wait"] {
            scene.drain(&[verb, "upgrade"]).expect(ExitCode::Denied);
        }
        scene.drain(&["cancel", "upgrade", "--token", "0123456789abcdef-no"]).expect(ExitCode::Denied);
        let kept = scene.elsewhere.path().join("state");
        let hidden = scene.elsewhere.path().join("hidden");
        std::fs::rename(&kept, &hidden).unwrap();
        scene.drain(&["cancel", "upgrade"]).expect(ExitCode::Denied);
        scene.assert_held();
        scene.drain(&["cancel", "upgrade", "--token", token.trim()]).expect(ExitCode::Drained);
        assert!(scene.gateway().admits(), "the token did not end the commit");
    }

    fn a_cancel_by_the_owner_finds_the_token_of_its_commit_and_leaves_none(way: Way) {
        let scene = Scene::start(way);
        scene.drain(&["begin", "upgrade"]).expect(ExitCode::Drained);
        scene.drain(&["commit", "upgrade"]).expect(ExitCode::Drained);
        scene.drain(&["cancel", "upgrade"]).expect(ExitCode::Drained);
        assert!(scene.gateway().admits(), "the owner could not end its commit");
        assert_eq!(std::fs::read_dir(scene.elsewhere.path().join("state")).unwrap().count(), 0, "a token was left");
    }

    fn a_run_that_is_killed_in_mid_act_leaves_a_hold_that_its_owner_ends(way: Way) {
        let scene = Scene::start(way);
        let run = scene.start_tool(&["run", "--id", "upgrade", "--", "sh", "-c", "echo acting >&2; read _ < /dev/tty || sleep 1"]);
        run.said("acting");
        run.signal(Signal::KILL);
        assert_eq!(run.ended().code, None);
        scene.assert_held();
        scene.drain(&["cancel", "upgrade"]).expect(ExitCode::Drained);
        assert!(scene.gateway().admits(), "the owner could not end the commit of the run that was killed");
    }

    fn a_commit_whose_token_can_not_be_printed_is_given_back(way: Way) {
        let scene = Scene::start(way);
        scene.drain(&["begin", "upgrade"]).expect(ExitCode::Drained);
        scene.drain(&["commit", "upgrade", "--json-file", "/dev/full"]).expect(ExitCode::Internal);
        assert!(scene.gateway().admits(), "{way:?}: the commit stands, and nobody was told its token");
        scene.drain(&["begin", "--json-file", "/dev/full"]).expect(ExitCode::Internal);
        assert!(scene.gateway().admits(), "{way:?}: a hold stands whose name nobody was told");
    }

    fn what_waits_for_nothing_says_done_and_every_result_has_one_schema(way: Way) {
        let scene = Scene::busy(way);
        let status = scene.drain(&["status", "--json"]).expect(ExitCode::Drained).json();
        assert_eq!((&status["ending"], &status["exit_code"], &status["command"]), (&"done".into(), &0.into(), &"status".into()));
        assert_eq!((&status["active_agents"], &status["knows_holds"]), (&1.into(), &true.into()));
        assert_eq!((&status["drain"]["hold_count"], &status["drain"]["in_flight"]), (&1.into(), &1.into()));
        assert_eq!(status["drain"]["holds"][0]["request_id"], "upgrade", "{status}");
        let names: Vec<&String> = status.as_object().unwrap().keys().collect();
        let same = ["active_agents", "command", "drain", "ending", "exit_code", "gateway_running", "gateway_state", "gateway_updated_at", "knows_holds"];
        assert_eq!(names, same);
        let renewed = scene.drain(&["renew", "upgrade", "--json"]).expect(ExitCode::Drained).json();
        assert_eq!((&renewed["ending"], &renewed["request_id"]), (&"done".into(), &"upgrade".into()));
        let cancelled = scene.drain(&["cancel", "upgrade", "--json"]).expect(ExitCode::Drained).json();
        assert_eq!(cancelled["ending"], "done");
        let begun = scene.drain(&["begin", "again", "--json"]).expect(ExitCode::Drained).json();
        assert!(begun["ending"] == "done" && begun["incarnation"].is_string(), "{begun}");
    }

    fn a_hold_that_is_bound_to_the_process_that_lives_there_names_it(way: Way) {
        let scene = Scene::start(way);
        scene.drain(&["begin", "upgrade", "--incarnation", "current"]).expect(ExitCode::Drained);
        let text = std::fs::read_to_string(scene.home.path().join(".drain_holds/upgrade.json")).unwrap();
        let file: Value = serde_json::from_str(&text).unwrap();
        let live = Home::at(scene.home.path()).live().unwrap().unwrap();
        assert_eq!(file["incarnation"], live.as_str(), "{file}");
        scene.drain(&["begin", "other", "--incarnation", "nobody"]).expect(ExitCode::IncarnationChanged);
    }

    fn what_a_hold_was_asked_for_stays_where_it_is_renewed_taken_up_or_committed_by_a_command_that_does_not_say_it(way: Way) {
        let mut scene = Scene::start(way);
        let asked: [&[&str]; 6] = [
            &["--reason", "to 1.4"],
            &["--ticket", "CHG-42"],
            &["--lease", "600s"],
            &["--act-within", "300s"],
            &["--suppress-notification"],
            &["--incarnation", "current"],
        ];
        let says = |status: &Snapshot| {
            let [hold] = status.drain.holds.as_slice() else { panic!("{status:?}") };
            let notes = (hold.notes.reason.clone(), hold.notes.ticket.clone());
            (notes, hold.deadline_seconds, hold.suppress_notification, hold.bound, hold.lease_left_seconds > Some(500.0))
        };
        scene.drain(&[&["begin", "upgrade"], &asked.concat()[..]].concat()).expect(ExitCode::Drained);
        let begun = says(&scene.gateway().until("the hold", |status| !status.drain.holds.is_empty()));
        assert!(begun.2 && begun.3 && begun.4, "{begun:?}");
        let attach = ["begin", "upgrade", "--attach", "--lease", "600s"];
        for command in [&["renew", "upgrade"][..], &["wait", "upgrade"], &attach] {
            scene.drain(command).expect(ExitCode::Drained);
            assert_eq!(says(&scene.gateway().until("the hold", |_| true)), begun, "{way:?}: {command:?}");
        }
        scene.drain(&["renew", "upgrade", "--lease", "60s"]).expect(ExitCode::Drained);
        let now = says(&scene.gateway().until("the hold", |_| true));
        assert_eq!((&now.0, now.1, now.2, now.3, now.4), (&begun.0, begun.1, begun.2, begun.3, false), "{way:?}");
        scene.gateway.take().unwrap().kill();
        scene.gateway = Some(GatewayProcess::start_with_secret(scene.home.path(), &scene.secret, &scene.address));
        scene.gateway().until("that what is bound has ended", |status| status.drain.holds.is_empty());
        assert!(scene.gateway().admits(), "{way:?}: a renewal unbound the hold from its process");
    }

    fn a_renewal_over_a_refused_commit_does_not_bind_the_hold_to_the_process_that_the_commit_named(way: Way) {
        let scene = Scene::busy(way);
        let status = scene.gateway().until("the hold", |status| !status.drain.holds.is_empty()).drain;
        let commit = Request::commit(id(), scene.owner(), status.incarnation, status.generation);
        scene.channel().write(&commit).unwrap();
        let refused = |status: &Snapshot| status.drain.acknowledged.iter().any(|answer| answer.nonce == commit.nonce);
        scene.gateway().until("that it refuses the commit", refused);
        scene.drain(&["renew", "upgrade"]).expect(ExitCode::Drained);
        let renewed = |status: &Snapshot| !refused(status) && !status.drain.holds.is_empty();
        let status = scene.gateway().until("the renewal", renewed);
        assert!(!status.drain.holds[0].bound, "{way:?}");
    }

    fn a_ticket_is_in_the_file_the_status_and_what_is_printed_and_stays_with_the_commit(way: Way) {
        let scene = Scene::start(way);
        let begin = ["begin", "upgrade", "--ticket", "CHG-42", "--reason", "to 1.4"];
        scene.drain(&begin).expect(ExitCode::Drained);
        let file = std::fs::read(scene.home.path().join(".drain_holds/upgrade.json")).unwrap();
        let file: Value = serde_json::from_slice(&file).unwrap();
        assert_eq!((&file["ticket"], &file["reason"]), (&"CHG-42".into(), &"to 1.4".into()), "{file}");
        scene.drain(&["commit", "upgrade"]).expect(ExitCode::Drained);
        let status = scene.gateway().until("the commit", |status| status.drain.holds.iter().any(|hold| hold.committed));
        assert_eq!((&*status.drain.holds[0].notes.ticket, &*status.drain.holds[0].notes.reason), ("CHG-42", "to 1.4"));
        let printed = scene.drain(&["status"]).expect(ExitCode::Drained).stdout;
        assert!(printed.contains("committed, ticket CHG-42: to 1.4"), "{printed}");
        let long = "x".repeat(257);
        let refused = scene.drain(&["begin", "other", "--ticket", &long]).expect(ExitCode::Usage);
        assert!(refused.stderr.contains("`ticket`") && refused.stderr.contains("256"), "{}", refused.stderr);
    }

    fn a_cancel_of_nothing_is_done_and_belongs_to_the_asker(way: Way) {
        let scene = Scene::start(way);
        scene.drain(&["cancel", "upgrade"]).expect(ExitCode::Drained);
        scene.channel().write(&Request::begin(id(), scene.owner())).unwrap();
        scene.gateway().until("the hold", |status| !status.drain.holds.is_empty());
        scene.drain(&["cancel", "upgrade"]).expect(ExitCode::Drained);
        assert!(scene.gateway().admits());
    }

    fn a_hold_that_somebody_wrote_over_is_ended_by_its_owner_and_by_an_override_whether_or_not_that_write_still_lies_there(way: Way) {
        let scene = Scene::start(way);
        let mut tried = 0;
        // Over HTTP an override needs a scope that the one secret doesn't have.
        let verbs = if way == Way::Files { &["cancel", "override"][..] } else { &["cancel"] };
        for verb in verbs {
            for committed in [false, true] {
                for (what, write) in overwritings() {
                    for gone in [false, true] {
                        let id = format!("upgrade-{tried}");
                        scene.drain(&["begin", &id]).expect(ExitCode::Drained);
                        if committed {
                            scene.drain(&["commit", &id]).expect(ExitCode::Drained);
                        }
                        scene.overwrite(&id, &write, gone);
                        scene.assert_held();
                        scene.drain(&[verb, &id]).expect(ExitCode::Drained);
                        assert!(scene.gateway().admits(), "{way:?}: {verb}, committed: {committed}, {what}, gone: {gone}");
                        let path = scene.home.path().join(format!(".drain_holds/{id}.json"));
                        assert!(!path.exists(), "{way:?}: {verb}, {what}: something was left there");
                        tried += 1;
                    }
                }
            }
        }
        assert_eq!(tried, verbs.len() * 2 * 5 * 2);
    }

    fn a_hold_that_somebody_wrote_over_is_still_taken_up_renewed_and_committed_by_its_owner(way: Way) {
        let scene = Scene::start(way);
        let mut tried = 0;
        for (verb, gone) in [&["renew"][..], &["wait"], &["commit"], &["begin", "--attach"]]
            .into_iter()
            .flat_map(|verb| [(verb, false), (verb, true)])
        {
            for (what, write) in overwritings() {
                let id = format!("upgrade-{tried}");
                scene.drain(&["begin", &id, "--lease", "500s", "--ticket", "CHG-42"]).expect(ExitCode::Drained);
                scene.overwrite(&id, &write, gone);
                let refused = scene.drain(&["begin", &id]).expect(ExitCode::Denied);
                assert!(refused.stderr.contains("--attach"), "{way:?}: {what}, gone: {gone}: {}", refused.stderr);
                let ended = scene.drain(&[verb, &[id.as_str()]].concat());
                assert_eq!(ended.code, Some(0), "{way:?}: {verb:?} over {what}, gone: {gone}: {}", ended.stderr);
                let seen = |status: &Snapshot| status.drain.holds.iter().all(|hold| !hold.overwritten);
                let status = scene.gateway().until("the owner's write", seen);
                let [hold] = status.drain.holds.as_slice() else { panic!("{way:?}: {verb:?}, {what}: {status:?}") };
                assert_eq!(hold.owner, scene.owner(), "{way:?}: {verb:?}, {what}");
                assert_eq!(hold.notes.ticket, "CHG-42", "{way:?}: {verb:?}, {what}");
                assert_eq!(hold.committed, verb == ["commit"], "{way:?}: {verb:?}, {what}");
                if verb == ["renew"] {
                    assert!(hold.lease_left_seconds.is_some_and(|left| left > 300.0), "{way:?}: {what}: another's lease");
                }
                scene.drain(&["cancel", &id]).expect(ExitCode::Drained);
                assert!(scene.gateway().admits(), "{way:?}: {verb:?}, {what}");
                tried += 1;
            }
        }
        assert_eq!(tried, 4 * 2 * 5);
    }

    fn a_marker_that_somebody_wrote_over_ends_with_its_removal_by_whatever_hand(way: Way) {
        let scene = Scene::start(way);
        let path = scene.home.path().join(".drain_request.json");
        for (what, write) in overwritings() {
            for hand in ["rm", "its owner's cancel", "an override"] {
                let ann_s = Request::begin(RequestId::marker(), scene.owner());
                scene.channel().write(&ann_s).unwrap();
                scene.gateway().until("the marker's hold", |status| !status.drain.holds.is_empty());
                scene.overwrite("marker", &write, false);
                scene.assert_held();
                match hand {
                    "rm" => std::fs::remove_file(&path).unwrap(),
                    "an override" if way == Way::Files => _ = scene.drain(&["override", "marker"]).expect(ExitCode::Drained),
                    _ => _ = scene.drain(&["cancel", "--marker"]).expect(ExitCode::Drained),
                }
                scene.gateway().until("that the marker's hold ends", |status| status.drain.holds.is_empty());
                assert!(scene.gateway().admits() && !path.exists(), "{way:?}: {what}, {hand}");
            }
        }
    }
}

#[test]
fn a_renewal_that_the_gateway_has_not_seen_yet_does_not_keep_a_cancel_from_ending_a_hold_that_was_written_over() {
    let scene = Scene::start(Way::Files);
    scene.drain(&["begin", "upgrade"]).expect(ExitCode::Drained);
    let (_, write) = overwritings().swap_remove(0);
    scene.overwrite("upgrade", &write, false);
    scene.gateway().freeze();
    scene.channel().write(&Request::begin(id(), scene.owner())).unwrap();
    let path = scene.home.path().join(".drain_holds/upgrade.json");
    let renewed = std::fs::read(&path).unwrap();
    let cancelling = scene.start_tool(&["cancel", "upgrade"]);
    let deadline = Instant::now() + Duration::from_secs(20);
    while std::fs::read(&path).is_ok_and(|lies| lies == renewed) {
        assert!(Instant::now() < deadline, "nothing was done to the file");
        std::thread::yield_now();
    }
    scene.gateway().thaw();
    cancelling.ended().expect(ExitCode::Drained);
    assert!(scene.gateway().admits(), "the hold outlasted its owner's cancel");
}

#[test]
fn of_two_that_begin_one_hold_at_once_one_begins_it() {
    for way in [Way::Files, Way::Http] {
        of_six_that_begin(&Scene::start(way));
    }
}

fn of_six_that_begin(scene: &Scene) {
    for round in 0..5 {
        let id = format!("upgrade-{round}");
        let tools: Vec<Tool> = (0..6).map(|_| scene.start_tool(&["begin", &id])).collect();
        let codes: Vec<_> = tools.into_iter().map(|tool| tool.ended().code).collect();
        let begun = codes.iter().filter(|code| **code == Some(0)).count();
        let refused = codes.iter().filter(|code| **code == Some(8)).count();
        assert_eq!((begun, refused), (1, 5), "{:?}: {codes:?}", scene.way);
    }
}

#[test]
fn a_commit_in_the_unready_delay_says_that_the_gate_is_not_closed_yet() {
    for way in [Way::Files, Way::Http] {
        let scene = Scene::start(way);
        scene.drain(&["begin", "upgrade", "--unready-delay", "60s"]).expect(ExitCode::Drained);
        let ended = scene.drain(&["commit", "upgrade"]).expect(ExitCode::Denied);
        assert!(ended.stderr.contains("not closed the gate yet"), "{}", ended.stderr);
    }
}

#[test]
fn a_gateway_of_another_epoch_exits_with_10_and_nothing_is_written() {
    let scene = Scene::start(Way::Files);
    let status = Home::at(scene.home.path()).status();
    scene.gateway().until("a status", |_| true);
    scene.gateway().freeze();
    let text = std::fs::read_to_string(&status).unwrap();
    let mut json: Value = serde_json::from_str(&text).unwrap();
    json["drain"]["epoch"] = "another-boot:1".into();
    std::fs::write(&status, json.to_string()).unwrap();
    for arguments in [&["begin", "upgrade"][..], &["wait", "upgrade"], &["cancel", "upgrade"], &["commit", "upgrade"]] {
        scene.drain(arguments).expect(ExitCode::Ignored);
    }
    scene.drain(&["run", "--", "true"]).expect_code(210);
    let lying = std::fs::read_dir(scene.home.path().join(".drain_holds")).map_or(0, Iterator::count);
    assert_eq!(lying, 0, "something was written for a gateway that ignores it");
    scene.gateway().thaw();
}

#[test]
fn a_request_of_another_boot_exits_with_10() {
    let scene = Scene::start(Way::Files);
    let channel = Channel::of_epoch(Home::at(scene.home.path()), Epoch::from("another-boot:1".to_owned()));
    channel.write(&Request::begin(id(), owner())).unwrap();
    scene.drain(&["wait", "upgrade"]).expect(ExitCode::Ignored);
}
