//! A fleet's budget, kept in a real etcd: which ends give a slot back and which keep it, and what a lost answer, a lost engine and
//! somebody else's values do.
//!
//! Not among the tests that run by default, since it needs etcd: `.ci/fleet` installs that and runs this.

use crate::support::etcd::{Between, Etcd, Way, fleet_lock_server, semaphore_key, timed};
use crate::support::process::{GatewayProcess, home};
use crate::support::tool::{Ended, STATE_VARIABLE, Tool, drain, owner, search_path, stops, tool};
use gateway_drain::client::ExitCode;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

const GROUP: &str = "web";

/// An etcd, and gateways whose group has a budget.
struct Scene {
    etcd: Arc<Etcd>,
    folder: tempfile::TempDir,
    gateways: Vec<GatewayProcess>,
}

impl Scene {
    fn start(budget: u32, gateways: usize) -> Self {
        let (etcd, folder) = (Arc::new(Etcd::start()), home());
        let start = |n: usize| {
            let home = folder.path().join(n.to_string());
            std::fs::create_dir(&home).expect("a home");
            GatewayProcess::start(&home)
        };
        let gateways = (0..gateways).map(start).collect();
        let scene = Self { etcd, folder, gateways };
        scene.fleet(&["set-slots", GROUP, &budget.to_string()]).expect(ExitCode::Drained);
        scene
    }

    fn home(&self, n: usize) -> PathBuf {
        self.folder.path().join(n.to_string())
    }

    fn fleet(&self, words: &[&str]) -> Ended {
        let url = self.etcd.url();
        drain(self.folder.path(), &[&["fleet", "--fleet-lock", &url], words].concat())
    }

    /// `run` on a gateway, with its slots behind this address.
    fn run_by(&self, n: usize, lock: &str, options: &[&str], command: &str) -> Tool {
        let mut run = tool(&self.home(n));
        run.args(["run", "--fleet-lock", lock, "--fleet-group", GROUP, "--json-file"]);
        run.arg(self.folder.path().join(format!("{n}.json"))).args(options).args(["--", "sh", "-c", command]);
        run.env("PATH", search_path()).env("URL", self.etcd.url()).env("STATE", self.folder.path());
        Tool::spawn(run)
    }

    fn run(&self, n: usize, options: &[&str], command: &str) -> Ended {
        self.run_by(n, &self.etcd.url(), options, command).ended()
    }

    fn result(&self, n: usize) -> Value {
        let text = std::fs::read_to_string(self.folder.path().join(format!("{n}.json"))).expect("a result");
        serde_json::from_str(&text).expect("JSON")
    }

    /// Nobody has a slot.
    #[track_caller]
    fn is_free(&self) {
        assert!(self.etcd.holders(GROUP).is_empty(), "{:?}", self.etcd.holders(GROUP));
    }

    /// This gateway has a slot, and nobody else.
    #[track_caller]
    fn is_held_by(&self, n: usize) {
        let holders = self.etcd.holders(GROUP);
        let path = self.home(n).display().to_string();
        assert!(matches!(&holders[..], [holder] if holder.ends_with(&path)), "{holders:?}");
    }
}

/// Exit codes of `run` itself.
fn under_run(code: ExitCode) -> i32 {
    i32::from(code.under_run())
}

#[test]
fn a_slot_is_taken_before_the_gate_closes_and_given_back_once_the_gateway_runs_again() {
    let scene = Scene::start(1, 2);
    let shown =
        scene.run(0, &[], "gateway-drain fleet status --json --fleet-lock $URL --fleet-group web").expect_code(0);
    let group = &shown.json()["groups"][0];
    assert_eq!((&group["total_slots"], &group["holders"][0]["running"]), (&json!(1), &json!(false)), "{group}");
    assert!(group["holders"][0]["since"].as_str().is_some_and(|since| since.ends_with('Z')), "{group}");
    scene.is_free();
    assert!(scene.gateways[0].admits());
    assert_eq!(scene.result(0)["slot"], "given_back");
    // With another id, and where the act restarts the gateway: the slot is given back once the new process runs.
    let waits = scene.folder.path().join("go");
    rustix::fs::mknodat(rustix::fs::CWD, &waits, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("a pipe");
    let pid = scene.gateways[0].pid();
    let run =
        scene.run_by(0, &scene.etcd.url(), &["--fleet-id", "the first"], &format!("kill -KILL {pid}; : > $STATE/go"));
    std::fs::read(&waits).expect("the command writes into it");
    assert_eq!(scene.etcd.holders(GROUP), ["the first"]);
    let again = GatewayProcess::start(&scene.home(0));
    run.ended().expect_code(0);
    scene.is_free();
    assert!(again.admits());
}

#[test]
fn who_waits_for_a_slot_says_who_has_it_closes_nothing_and_ends_with_a_code_of_its_own() {
    let scene = Scene::start(1, 2);
    scene.run(0, &[], "exit 1").expect_code(1);
    scene.is_held_by(0);
    let waiting = scene.run_by(1, &scene.etcd.url(), &["--timeout", "3s"], "touch $STATE/acted");
    let said = waiting.said("waiting for a slot");
    assert!(said.contains(&scene.home(0).display().to_string()) && said.contains("1 of 1"), "{said}");
    assert!(scene.gateways[1].admits());
    waiting.ended().expect_code(under_run(ExitCode::NoSlot));
    assert_eq!(scene.result(1)["slot"], "not_taken");
    // One that is interrupted has taken nothing either.
    let waiting = scene.run_by(1, &scene.etcd.url(), &[], "touch $STATE/acted");
    waiting.said("waiting for a slot");
    waiting.signal(Signal::INT);
    waiting.ended().expect_code(under_run(ExitCode::Interrupted));
    assert!(scene.gateways[1].admits() && !scene.folder.path().join("acted").exists());
    scene.is_held_by(0);
}

#[test]
fn a_failed_act_a_killed_controller_and_a_gateway_that_does_not_come_back_keep_the_slot() {
    let scene = Scene::start(1, 2);
    let failed = scene.run(0, &[], "exit 7").expect_code(7);
    assert!(failed.stderr.contains("fleet --fleet-lock") && failed.stderr.contains(" release "), "{}", failed.stderr);
    assert_eq!((scene.result(0)["slot"].as_str(), scene.gateways[0].admits()), (Some("kept"), true));
    scene.is_held_by(0);
    // A controller that comes back for the gateway has its slot, and gives it back.
    scene.run(0, &[], "true").expect_code(0);
    scene.is_free();
    // A controller that is killed, in mid act and before it.
    for (options, command) in [(&[][..], "kill -KILL $PPID"), (&["--unready-delay", "60s"], "true")] {
        let run = scene.run_by(0, &scene.etcd.url(), options, command);
        if !options.is_empty() {
            scene.gateways[0].until("that it is about to close", |status| !status.drain.holds.is_empty());
            run.signal(Signal::KILL);
        }
        assert_eq!(run.ended().code, None);
        scene.is_held_by(0);
        scene.run(1, &["--timeout", "0s"], "true").expect_code(under_run(ExitCode::NoSlot));
        let status = scene.fleet(&["status"]).expect(ExitCode::Drained).stdout;
        assert!(status.contains("it has ended") && status.contains("does not run"), "{status}");
        // Its hold is nobody's: an override ends it, and a controller that comes back for the gateway settles the slot.
        let holds = scene.gateways[0].until("a hold", |status| !status.drain.holds.is_empty()).drain.holds;
        drain(&scene.home(0), &["override", holds[0].request_id.as_str()]).expect(ExitCode::Drained);
        scene.run(0, &[], "true").expect_code(0);
        scene.is_free();
    }
    // A gateway that is not there after the act.
    let pid = scene.gateways[0].pid();
    let gone = scene.run(0, &["--ready-within", "1s", "--patience", "1s"], &format!("kill -KILL {pid}"));
    let gone = gone.expect_code(under_run(ExitCode::SlotKept));
    scene.is_held_by(0);
    let line = gone.stderr.lines().find_map(|line| line.split_once("gives it back: ")).expect("a line to copy").1;
    // Its own line gives it back.
    let ran = Command::new("sh").args(["-c", line]).env("PATH", search_path()).output().expect("a shell");
    assert!(ran.status.success(), "{line}: {}", String::from_utf8_lossy(&ran.stderr));
    assert!(String::from_utf8_lossy(&ran.stdout).contains("the slot is free; it was taken by"), "{ran:?}");
    scene.is_free();
}

#[test]
fn a_run_that_comes_to_nothing_gives_back_what_it_took_and_leaves_what_it_found() {
    let scene = Scene::start(1, 1);
    let acted = |tried: Ended, code: ExitCode| {
        tried.expect_code(under_run(code));
        assert!(!scene.folder.path().join("acted").exists());
    };
    let deny = || {
        drain(&scene.home(0), &["--owner", "somebody", "begin", "taken"]).expect(ExitCode::Drained);
        acted(scene.run(0, &["--id", "taken"], "touch $STATE/acted"), ExitCode::Denied);
        drain(&scene.home(0), &["--owner", "somebody", "cancel", "taken"]).expect(ExitCode::Drained);
    };
    let overdue = || {
        let turn = scene.gateways[0].turn(4000);
        acted(scene.run(0, &["--timeout", "500ms"], "touch $STATE/acted"), ExitCode::Deadline);
        assert!(turn.finished(), "the turn was not touched");
    };
    deny();
    scene.is_free();
    overdue();
    scene.is_free();
    // No gateway: nothing is taken at all.
    let elsewhere = scene.folder.path().join("nobody");
    std::fs::create_dir(&elsewhere).expect("a home");
    let mut run = tool(&elsewhere);
    run.args(["run", "--patience", "500ms", "--fleet-lock", &scene.etcd.url(), "--fleet-group", GROUP, "--", "true"]);
    let (_, before) = scene.etcd.get(&semaphore_key(GROUP)).expect("a semaphore");
    Tool::spawn(run).ended().expect_code(under_run(ExitCode::Unreachable));
    assert_eq!(scene.etcd.get(&semaphore_key(GROUP)).expect("a semaphore").1, before);
    // The same of a slot that a failed act has left.
    scene.run(0, &[], "exit 1").expect_code(1);
    deny();
    scene.is_held_by(0);
    overdue();
    scene.is_held_by(0);
    scene.run(0, &[], "true").expect_code(0);
    scene.is_free();
}

#[test]
fn two_controllers_of_one_gateway_on_one_machine_come_one_after_the_other() {
    let scene = Scene::start(2, 1);
    let alone = "mkdir $STATE/section || exit 99; sleep 0.3; rmdir $STATE/section";
    let runs: Vec<Tool> = (0..3).map(|_| scene.run_by(0, &scene.etcd.url(), &["--timeout", "50s"], alone)).collect();
    for run in runs {
        run.ended().expect_code(0);
    }
    scene.is_free();
}

#[test]
fn two_controllers_of_one_gateway_on_two_machines_share_its_slot_until_the_last_has_ended() {
    let scene = Scene::start(1, 2);
    let pipe = |name: &str| {
        let path = scene.folder.path().join(name);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("a pipe");
        path
    };
    let pipes = [pipe("a"), pipe("b")];
    // In a PID namespace of its own each is another machine's to the other, as far as it can tell.
    let run = |name: &str| {
        let mut run = Command::new("unshare");
        run.args([
            "--pid",
            "--fork",
            "--mount-proc",
            "setsid",
            "--wait",
            "gateway-drain",
            "run",
            "--fleet-lock",
            &scene.etcd.url(),
        ]);
        run.args(["--fleet-group", GROUP, "--fleet-id", "one", "--owner", name]);
        run.args(["--url", &format!("http://{}", scene.gateways[0].address), "--"]);
        run.args(["sh", "-c", &format!("echo {name} acts >&2; cat $STATE/{name}")]).env("STATE", scene.folder.path());
        run.env("PATH", search_path()).env(STATE_VARIABLE, scene.folder.path().join("tokens"));
        Tool::spawn({
            run.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
            run
        })
    };
    let first = run("a");
    first.said("a acts");
    let second = run("b");
    second.said("b acts");
    // The first ends while the other still acts: the gateway is closed, and keeps its slot.
    std::fs::write(&pipes[0], "").expect("it reads");
    scene.gateways[0].until("that one hold is left", |status| status.drain.holds.len() == 1);
    assert_eq!(scene.etcd.holders(GROUP), ["one"]);
    scene.run(1, &["--timeout", "0s"], "true").expect_code(under_run(ExitCode::NoSlot));
    std::fs::write(&pipes[1], "").expect("it reads");
    let said = first.ended().expect_code(0).stderr + &second.ended().expect_code(0).stderr;
    assert!(said.contains("left to 1 other controllers"), "{said}");
    scene.is_free();
}

#[test]
fn a_transaction_that_was_applied_and_not_answered_is_looked_for_and_never_sent_again() {
    let scene = Scene::start(1, 1);
    let lost = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&lost);
    // Every second change is applied, and its answer lost.
    let between = Between::start(&scene.etcd.host(), move |asked| {
        if !asked.body.contains("compare") {
            return Way::Through;
        }
        let mut n = counted.lock().expect("nobody panicked");
        *n += 1;
        if *n % 2 == 1 { Way::Lost } else { Way::Through }
    });
    let (_, before) = scene.etcd.get(&semaphore_key(GROUP)).expect("a semaphore");
    for _ in 0..4 {
        let ended = scene.run_by(0, &between.url(), &[], "exit 0").ended().expect_code(0);
        assert_eq!(scene.result(0)["slot"], "given_back", "{}", ended.stderr);
        scene.is_free();
    }
    let (_, after) = scene.etcd.get(&semaphore_key(GROUP)).expect("a semaphore");
    assert_eq!((after - before, *lost.lock().expect("nobody panicked")), (8, 8), "each was applied once");
}

#[test]
fn a_take_that_arrives_after_its_controller_has_given_up_takes_nothing() {
    let scene = Scene::start(1, 1);
    let (held, holding) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(0)));
    let (hold, count) = (Arc::clone(&held), Arc::clone(&holding));
    // What would write a note is under way for as long as the test wants.
    let between = Between::start(&scene.etcd.host(), move |asked| {
        if !asked.body.contains("compare") || asked.body.contains("request_delete_range") {
            return Way::Through;
        }
        let (send, receive) = mpsc::channel();
        hold.lock().expect("nobody panicked").push(send);
        *count.lock().expect("nobody panicked") += 1;
        Way::Later(receive)
    });
    let options = ["--patience", "3s", "--timeout", "2s"];
    let ended = scene.run_by(0, &between.url(), &options, "touch $STATE/acted").ended();
    assert!(matches!(ended.code, Some(213 | 214)), "{ended:?}");
    assert!(*holding.lock().expect("nobody panicked") > 0);
    let (_, before) = scene.etcd.get(&semaphore_key(GROUP)).expect("a semaphore");
    held.lock().expect("nobody panicked").clear();
    // They arrive now; none finds what it was decided from.
    std::thread::park_timeout(Duration::from_millis(500));
    scene.is_free();
    assert_eq!(scene.etcd.get(&semaphore_key(GROUP)).expect("a semaphore").1, before);
    assert!(!scene.folder.path().join("acted").exists() && scene.gateways[0].admits());
}

#[test]
fn a_begin_over_http_that_may_arrive_yet_keeps_the_slot_although_the_gateway_runs() {
    let scene = Scene::start(1, 1);
    let (send, receive) = mpsc::channel();
    let mut hold = Some(receive);
    // The first POST is under way; those that take it back find nothing.
    let between = Between::start(&scene.gateways[0].address, move |asked| {
        match hold.take_if(|_| asked.head.starts_with("POST")) {
            Some(held) => Way::Later(held),
            None => Way::Through,
        }
    });
    let mut run = tool(scene.folder.path());
    run.env_remove(gateway_drain::Home::VARIABLE).args(["run", "--url", &format!("http://{}", between.host)]);
    run.args(["--fleet-lock", &scene.etcd.url(), "--fleet-group", GROUP, "--fleet-id", "one", "--patience", "2s"]);
    let run = Tool::spawn({
        run.args(["--", "true"]);
        run
    });
    let ended = run.ended().expect_code(under_run(ExitCode::Unreachable));
    assert!(ended.stderr.contains("it may close yet"), "{}", ended.stderr);
    assert!(scene.gateways[0].admits(), "it runs");
    drop(send);
    scene.gateways[0].until("that the late begin closes it", |status| !status.drain.holds.is_empty());
    assert_eq!(scene.etcd.holders(GROUP), ["one"]);
}

#[test]
fn a_fleet_that_cant_be_reached_closes_nothing_and_one_that_is_lost_later_stops_no_act() {
    let scene = Scene::start(1, 1);
    let nobody = "etcd://127.0.0.1:1,127.0.0.1:2";
    let tried = scene.run_by(0, nobody, &["--patience", "1s"], "touch $STATE/acted").ended();
    let tried = tried.expect_code(under_run(ExitCode::Fleet));
    assert!(tried.stderr.contains("127.0.0.1:1") && tried.stderr.contains("127.0.0.1:2"), "{}", tried.stderr);
    assert_eq!(scene.gateways[0].until("a status", |_| true).drain.generation.to_string(), "0", "it was never closed");
    // The endpoints are tried in turn.
    scene.run_by(0, &format!("{nobody},{}", scene.etcd.host()), &[], "true").ended().expect_code(0);
    // Stopped, etcd takes connections and answers nothing; and killed, it takes none.
    let pid = scene.etcd.pid();
    for (signal, command) in [("STOP", stops(pid)), ("KILL", format!("kill -KILL {pid}"))] {
        let (lost, took) = timed(|| scene.run(0, &["--patience", "2s"], &command));
        let lost = lost.expect_code(under_run(ExitCode::SlotKept));
        assert_eq!((scene.result(0)["command_exit"].as_i64(), scene.gateways[0].admits()), (Some(0), true));
        assert!(lost.stderr.contains("this gives it back: gateway-drain fleet"), "{}", lost.stderr);
        assert!(took < Duration::from_secs(20), "{took:?}");
        if signal == "STOP" {
            scene.etcd.signal(Signal::CONT);
            scene.is_held_by(0);
            scene.run(0, &[], "true").expect_code(0);
            scene.is_free();
        }
    }
    let Scene { etcd, folder, gateways } = scene;
    let etcd = Arc::into_inner(etcd).expect("nobody else has it").restart();
    let scene = Scene { etcd: Arc::new(etcd), folder, gateways };
    scene.is_held_by(0);
    scene.run(0, &[], "true").expect_code(0);
    scene.is_free();
}

#[test]
fn a_value_that_is_no_semaphore_is_told_of_and_left_as_it_is() {
    let scene = Scene::start(1, 1);
    let key = semaphore_key(GROUP);
    for (value, says) in [
        ("", "no JSON object"),
        ("x", "no JSON object"),
        ("null", "no JSON object"),
        (r#"{"total_slots": 1}"#, "`holders`"),
        (r#"{"holders": []}"#, "`total_slots`"),
        (r#"{"total_slots": -1, "holders": []}"#, "`total_slots`"),
        (r#"{"total_slots": 9, "holders": ["b", "a"]}"#, "not sorted"),
        (r#"{"total_slots": 9, "holders": ["a", "a"]}"#, "twice"),
        (r#"{"total_slots": 9, "holders": ["a", null]}"#, "`holders`"),
        (r#"{"semaphore": 1, "max": 1, "holders": []}"#, "`total_slots`"),
    ] {
        scene.etcd.put(&key, value.as_bytes());
        let tried = scene.run(0, &["--timeout", "5s"], "touch $STATE/acted").expect_code(under_run(ExitCode::Fleet));
        assert!(tried.stderr.contains(says) && tried.stderr.contains(&key), "{value}: {}", tried.stderr);
        scene.fleet(&["release", "a", "--fleet-group", GROUP]).expect(ExitCode::Fleet);
        scene.fleet(&["set-slots", GROUP, "3"]).expect(ExitCode::Fleet);
        let status = scene.fleet(&["status"]).expect(ExitCode::Fleet).stdout;
        assert!(status.contains("no semaphore"), "{value}: {status}");
        assert_eq!(scene.etcd.get(&key).expect("it is there").0, value.as_bytes(), "it was changed");
    }
    assert!(scene.gateways[0].admits() && !scene.folder.path().join("acted").exists());
    // A budget of 0 is Airlock's to write, and nobody's to wait for.
    scene.etcd.put(&key, br#"{"total_slots": 0, "holders": ["a"]}"#);
    let tried = scene.run(0, &[], "true").expect_code(under_run(ExitCode::Usage));
    assert!(tried.stderr.contains("set-slots web"), "{}", tried.stderr);
    scene.fleet(&["set-slots", GROUP, "0"]).expect(ExitCode::Usage);
    scene.fleet(&["set-slots", GROUP, "2"]).expect(ExitCode::Drained);
    scene.run(0, &[], "true").expect_code(0);
    assert_eq!(scene.etcd.holders(GROUP), ["a"]);
    // No group at all.
    let mut other = tool(&scene.home(0));
    other.args(["run", "--fleet-lock", &scene.etcd.url(), "--fleet-group", "nobody", "--", "true"]);
    let tried = Tool::spawn(other).ended().expect_code(under_run(ExitCode::Usage));
    assert!(tried.stderr.contains("set-slots nobody 1"), "{}", tried.stderr);
}

#[test]
fn what_others_keep_there_stays_and_ten_thousand_holders_are_no_matter() {
    let scene = Scene::start(1, 1);
    let holders: Vec<String> = (0..10_000).map(|n| format!("machine-{n:05}")).collect();
    let value = json!({"total_slots": 10_001, "holders": holders, "zone": {"of": ["a", 1.5]}});
    scene.etcd.put(&semaphore_key(GROUP), value.to_string().as_bytes());
    // Foreign keys beside the groups', and a note that can't be read.
    for foreign in
        ["com.coreos.airlock/groups/", "com.coreos.airlock/groups/a/b/v1/semaphore", "com.coreos.airlock/groups/x"]
    {
        scene.etcd.put(foreign, b"\xff\x00");
    }
    scene.run(0, &[], "true").expect_code(0);
    assert_eq!(scene.etcd.semaphore(GROUP), value);
    let (status, took) = timed(|| scene.fleet(&["status", "--json"]).expect(ExitCode::Drained));
    let groups = &status.json()["groups"];
    assert_eq!(
        (groups.as_array().map(Vec::len), groups[0]["holders"].as_array().map(Vec::len)),
        (Some(1), Some(10_000))
    );
    assert!(took < Duration::from_secs(20), "{took:?}");
    let full = json!({"total_slots": 10_000, "holders": holders});
    scene.etcd.put(&semaphore_key(GROUP), full.to_string().as_bytes());
    let tried = scene.run(0, &["--timeout", "0s"], "true").expect_code(under_run(ExitCode::NoSlot));
    assert!(tried.stderr.len() < 2000, "only some are named");
    let lowered = scene.fleet(&["set-slots", GROUP, "1", "--json"]).expect(ExitCode::Drained).json();
    assert_eq!((&lowered["before"], &lowered["taken"]), (&json!(10_000), &json!(10_000)));
    assert_eq!(scene.etcd.holders(GROUP), holders);
}

#[test]
fn ids_of_any_characters_are_one_gateways_and_no_others() {
    let scene = Scene::start(2, 1);
    for id in ["a b", "x/../y", "\"quoted\"\\", "ä 日本 \u{1b}[2J", "-", "line\nbreak", "%2F", "$(id)"] {
        let option = format!("--fleet-id={id}");
        scene.run(0, &[&option], "exit 1").expect_code(1);
        assert_eq!(scene.etcd.holders(GROUP), [id]);
        let status = scene.fleet(&["status"]).expect(ExitCode::Drained).stdout;
        assert!(!status.contains('\u{1b}') && status.lines().count() == 2, "{status:?}");
        let freed = scene.fleet(&["release", "--fleet-group", GROUP, "--", id]).expect(ExitCode::Drained);
        assert!(freed.stdout.contains("kept: the command ended with 1"), "{}", freed.stdout);
        let freed = scene.fleet(&["release", "--fleet-group", GROUP, "--", id]).expect(ExitCode::Drained);
        assert!(freed.stdout.contains("had no slot"), "{}", freed.stdout);
    }
    for bad in ["--fleet-id=", &format!("--fleet-id={}", "x".repeat(1025))] {
        scene.run(0, &[bad], "true").expect_code(under_run(ExitCode::Usage));
    }
    for bad in ["a/b", "", "a b", "ä"] {
        let mut run = tool(&scene.home(0));
        run.args(["run", "--fleet-lock", &scene.etcd.url(), "--fleet-group", bad, "--", "true"]);
        Tool::spawn(run).ended().expect_code(under_run(ExitCode::Usage));
    }
    scene.is_free();
}

#[test]
fn machines_behind_a_fleet_lock_server_and_gateways_by_etcd_share_one_budget() {
    let scene = Scene::start(1, 3);
    let server = fleet_lock_server(&scene.etcd);
    let by_server = format!("http://{}", server.host);
    scene.run_by(0, &by_server, &[], "true").ended().expect_code(0);
    scene.is_free();
    // A controller that is in the section alone can make the folder.
    let alone = "mkdir $STATE/section || exit 99; sleep 0.2; rmdir $STATE/section";
    for _ in 0..3 {
        let runs: Vec<Tool> = [&by_server, &scene.etcd.url(), &by_server]
            .into_iter()
            .enumerate()
            .map(|(n, lock)| scene.run_by(n, lock, &["--timeout", "50s"], alone))
            .collect();
        for run in runs {
            run.ended().expect_code(0);
        }
        scene.is_free();
    }
    // What the server says is shown, and what the protocol has no word for is told.
    scene.run_by(0, &by_server, &[], "exit 1").ended().expect_code(1);
    let full = scene.run_by(1, &by_server, &["--timeout", "1s"], "true").ended();
    assert!(full.expect_code(under_run(ExitCode::NoSlot)).stderr.contains("all 1 semaphore slots currently locked"));
    // A slot without a note is another program's: a controller by etcd leaves it.
    let left = scene.run(0, &[], "true").expect_code(0);
    assert!(left.stderr.contains("left to the program that took it"), "{}", left.stderr);
    scene.is_held_by(0);
    scene.run_by(0, &by_server, &[], "true").ended().expect_code(0);
    scene.is_free();
    let at_server =
        |words: &[&str]| drain(scene.folder.path(), &[&["fleet", "--fleet-lock", &by_server], words].concat());
    at_server(&["status"]).expect(ExitCode::Usage);
    at_server(&["set-slots", GROUP, "2"]).expect(ExitCode::Usage);
    let freed = at_server(&["release", "nobody", "--fleet-group", GROUP]).expect(ExitCode::Drained);
    assert!(freed.stdout.contains("doesn't say"), "{}", freed.stdout);
    let unknown = drain(
        &scene.home(1),
        &["run", "--fleet-lock", &by_server, "--fleet-group", "unknown", "--owner", &owner(), "--", "true"],
    );
    assert!(unknown.expect_code(under_run(ExitCode::Fleet)).stderr.contains("unknown_group"));
    assert!(Path::new(&scene.home(1)).exists() && scene.gateways[1].admits());
}
