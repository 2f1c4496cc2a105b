//! The client as a library, against real gateway processes: blocking and async, over the files.

use crate::support::eventually::comes_true;
use crate::support::process::{DashboardProcess, GatewayProcess, gateway, home};
use crate::support::tool::drain;
use gateway_drain::client::{Drain, ExitCode, Failure, Interrupt};
use gateway_drain::{Channel, DrainState, Home, Request, RequestId, Snapshot};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

fn upgrade(home: &Path) -> Drain {
    let drain = Drain::of(gateway(home), "ops").id(RequestId::new("upgrade").unwrap());
    drain.keeping_tokens_in(home.join(".controller"))
}

#[track_caller]
fn assert_reopened(gateway: &GatewayProcess) {
    gateway.until("that nobody holds it", |status| status.drain.holds.is_empty());
    assert!(gateway.admits(), "the hold was not given up");
}

#[test]
fn an_act_runs_while_nothing_is_in_flight_and_the_gate_is_open_again_after_it() {
    let home = home();
    let process = GatewayProcess::start(home.path());
    let turn = process.turn(400);
    let seen = upgrade(home.path()).run(|_| Snapshot::read(&Home::at(home.path())).unwrap().drain).unwrap();
    seen.withdrawn.unwrap();
    assert_eq!((seen.value.in_flight, seen.value.holds[0].committed), (0, true));
    assert!(turn.finished(), "the turn was cut off");
    assert_reopened(&process);
}

#[test]
fn an_act_that_panics_gives_up_the_hold() {
    let home = home();
    let process = GatewayProcess::start(home.path());
    let drain = upgrade(home.path());
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        drain.run(|_| std::panic::resume_unwind(Box::new("the act's own panic")))
    }));
    assert!(panicked.is_err(), "the panic was swallowed");
    assert_reopened(&process);
}

#[test]
fn a_hold_that_is_dropped_before_its_commit_is_given_up() {
    let home = home();
    let process = GatewayProcess::start(home.path());
    let held = upgrade(home.path()).begin().unwrap();
    assert!(!process.admits(), "the hold was acknowledged and the gate is open");
    drop(held);
    assert_reopened(&process);
}

#[test]
fn a_hold_that_is_detached_stays() {
    let home = home();
    let process = GatewayProcess::start(home.path());
    upgrade(home.path()).begin().unwrap().detach();
    assert!(!process.admits(), "detaching withdrew the hold");
    upgrade(home.path()).withdraw(None).unwrap();
    assert_reopened(&process);
}

#[test]
fn a_wait_that_is_interrupted_ends_and_keeps_the_hold_in_hand() {
    let home = home();
    let process = GatewayProcess::start(home.path());
    let _ = process.turn(600_000);
    let interrupt = Interrupt::new();
    let (tell, told) = (interrupt.clone(), AtomicBool::new(false));
    let raise = move |progress: &gateway_drain::client::Progress| {
        if progress.state == Some(DrainState::ExternalDraining) && !told.swap(true, Ordering::Relaxed) {
            tell.raise();
        }
    };
    let drain = upgrade(home.path());
    let held = drain.clone().interrupt(interrupt).on_progress(raise).begin();
    // The drain may be seen while it begins or while it waits; either way the hold is there still.
    let ended = held.and_then(|held| {
        let waited = held.wait();
        held.detach();
        waited
    });
    assert_eq!(ended.unwrap_err(), Failure::Interrupted);
    assert!(!process.admits(), "the interruption withdrew the hold");
}

/// What an interruption in the moment in which the hold lies there unanswered makes of it: whether it still lies there.
fn stays_if_interrupted_unanswered(ask: impl FnOnce(Drain) -> Failure) -> bool {
    let home = home();
    let process = GatewayProcess::start(home.path());
    process.freeze();
    let interrupt = Interrupt::new();
    let drain = upgrade(home.path()).patience(Duration::from_secs(8)).interrupt(interrupt.clone());
    let file = Home::at(home.path()).request_path(&RequestId::new("upgrade").unwrap());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            comes_true("that the hold's file lies there", || file.exists());
            interrupt.raise();
        });
        assert_eq!(ask(drain), Failure::Interrupted);
    });
    file.exists()
}

#[test]
fn a_begin_that_is_interrupted_before_it_is_answered_leaves_its_hold() {
    assert!(stays_if_interrupted_unanswered(|drain| drain.begin().unwrap_err()), "the hold was taken back");
}

#[test]
fn a_run_that_is_interrupted_before_its_hold_is_answered_takes_it_back() {
    let run = |drain: Drain| drain.run(|_| unreachable!("the act ran")).unwrap_err();
    assert!(!stays_if_interrupted_unanswered(run), "the hold stays");
}

/// The tokens that are kept for commits of the holds in this home.
fn tokens(home: &Path) -> Vec<std::ffi::OsString> {
    let kept = fs::read_dir(home.join(".controller")).expect("a commit was asked for");
    kept.map(|entry| entry.unwrap().file_name()).collect()
}

#[test]
fn a_refused_commit_of_a_hold_that_was_attached_to_leaves_no_token() {
    let home = home();
    let _process = GatewayProcess::start(home.path());
    upgrade(home.path()).begin().unwrap().detach();
    let held = upgrade(home.path()).attach().unwrap();
    let seen = held.wait().unwrap();
    upgrade(home.path()).withdraw(None).unwrap();
    let refused = held.commit(&seen).unwrap_err();
    assert!(matches!(refused, Failure::Withdrawn(_) | Failure::LeaseLost(_) | Failure::Denied(_)), "{refused:?}");
    assert_eq!(tokens(home.path()), [""; 0], "of a commit that is never granted");
}

#[test]
fn a_commit_of_a_hold_that_was_attached_to_keeps_its_token_if_nobody_has_answered_it() {
    let home = home();
    let process = GatewayProcess::start(home.path());
    upgrade(home.path()).begin().unwrap().detach();
    let held = upgrade(home.path()).patience(Duration::from_secs(6)).attach().unwrap();
    let seen = held.wait().unwrap();
    process.freeze();
    held.commit(&seen).unwrap_err();
    assert_eq!(tokens(home.path()).len(), 1, "it may be granted yet, and only its token ends it then");
}

#[test]
fn heartbeats_keep_a_short_lease_through_a_long_wait() {
    let home = home();
    let process = GatewayProcess::start(home.path());
    let turn = process.turn(19_000);
    let began = Instant::now();
    let drain = upgrade(home.path()).lease(Duration::from_secs(6));
    drain.run(|_| ()).unwrap().withdrawn.unwrap();
    assert!(began.elapsed() > Duration::from_secs(18), "the wait was shorter than three leases: it shows nothing");
    assert!(turn.finished());
}

#[test]
fn heartbeats_keep_the_lease_also_between_the_steps() {
    let home = home();
    let process = GatewayProcess::start(home.path());
    let held = upgrade(home.path()).lease(Duration::from_secs(6)).begin().unwrap();
    let first = process.until("a renewal", |_| true).drain.holds[0].nonce.clone();
    let mut nonces = vec![first];
    while nonces.len() < 6 {
        let snapshot = process.until("another renewal", |status| {
            status.drain.holds.first().is_some_and(|hold| Some(&hold.nonce) != nonces.last())
        });
        nonces.push(snapshot.drain.holds[0].nonce.clone());
    }
    // Five renewals, a third of the lease apart: the first lease is long over.
    let seen = held.wait().unwrap();
    let committed = held.commit(&seen).unwrap();
    assert!(!format!("{committed:?}").contains(committed.token().as_str()), "a log would have what ends the hold");
    committed.withdraw().unwrap();
}

#[test]
fn a_status_of_an_earlier_process_is_never_taken_for_drained() {
    let home = home();
    let process = GatewayProcess::start(home.path());
    upgrade(home.path()).begin().unwrap().detach();
    let last = process.until("drained", |status| status.drain.drained);
    process.kill();
    assert!(last.drain.drained && home.path().join("gateway_state.json").exists());
    let patience = Duration::from_millis(300);
    let failure = upgrade(home.path()).patience(patience).attach().unwrap_err();
    assert!(matches!(failure, Failure::Unreachable(_)), "{failure:?}");
}

#[test]
fn a_process_that_has_just_started_and_published_nothing_is_never_taken_for_drained() {
    let home = home();
    let process = GatewayProcess::start(home.path());
    upgrade(home.path()).begin().unwrap().detach();
    process.until("drained", |status| status.drain.drained);
    process.kill();
    // Its lock is taken, and the status that lies there is its predecessor's.
    let incarnation = gateway_drain::hold::Incarnation::fresh();
    let _lock = Home::at(home.path()).lock(&incarnation).unwrap();
    let patience = Duration::from_millis(300);
    let failure = upgrade(home.path()).patience(patience).attach().unwrap_err();
    assert!(matches!(failure, Failure::Unreachable(_)), "{failure:?}");
}

#[test]
fn a_status_that_acknowledges_an_earlier_write_only_is_never_taken_for_drained() {
    let home = home();
    let process = GatewayProcess::start(home.path());
    upgrade(home.path()).begin().unwrap().detach();
    process.until("drained", |status| status.drain.drained);
    // It lives, it holds the lock, its status says drained, and it will look at nothing more.
    process.freeze();
    let failure = upgrade(home.path()).patience(Duration::from_millis(500)).attach().unwrap_err();
    process.thaw();
    assert!(matches!(failure, Failure::Unreachable(_)), "{failure:?}");
}

/// Makes a status as old as one that was published this long before.
fn age(home: &Path, by: Duration) {
    let path = Home::at(home).status();
    let mut status: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let clock = status["drain"]["clock_millis"].as_u64().unwrap();
    let before = clock.checked_sub(u64::try_from(by.as_millis()).unwrap()).expect("the machine has run for longer");
    status["drain"]["clock_millis"] = before.into();
    fs::write(path, status.to_string()).unwrap();
}

/// Whether this says of a gateway that it has published nothing for 40 seconds, or longer where the machine is slow.
fn silent_for_long(said: &str) -> bool {
    let (_, time) = said.split_once("has published nothing for ").unwrap_or_default();
    time.split(|c: char| !c.is_ascii_digit()).next().and_then(|seconds| seconds.parse().ok()) >= Some(40)
}

#[test]
fn a_frozen_gateway_whose_status_says_drained_is_silent_once_that_is_too_old_and_is_heard_again_after() {
    let home = home();
    let process = GatewayProcess::start(home.path());
    let dashboard = DashboardProcess::start(home.path(), None);
    let ready = || {
        let config = ureq::Agent::config_builder().http_status_as_error(false).build();
        let answer = config.new_agent().get(&format!("http://{}/readyz", dashboard.address)).call();
        let mut answer = answer.expect("the dashboard answers");
        (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
    };
    let held = |code| {
        let config = ureq::Agent::config_builder().http_status_as_error(false).build();
        let url = format!("http://{}/api/gateway/drain/upgrade", dashboard.address);
        assert_eq!(config.new_agent().get(&url).call().expect("the dashboard answers").status().as_u16(), code);
    };
    upgrade(home.path()).begin().unwrap().detach();
    process.until("drained", |status| status.drain.drained);
    process.freeze();
    age(home.path(), Duration::from_secs(20));
    assert!(drain(home.path(), &["status"]).expect(ExitCode::Drained).stdout.contains("drained"), "young enough");
    held(200);

    age(home.path(), Duration::from_secs(20));
    let silent = drain(home.path(), &["status"]).expect(ExitCode::Unreachable);
    assert!(!silent.stdout.contains("drained") && silent_for_long(&silent.stderr), "{silent:?}");
    let silent = drain(home.path(), &["--json", "status"]).expect(ExitCode::Unreachable).json();
    assert_eq!((&silent["gateway_running"], &silent["drain"]), (&true.into(), &Value::Null), "{silent}");
    let over_http = drain(home.path(), &["--url", &format!("http://{}", dashboard.address), "status"]);
    assert!(!over_http.expect(ExitCode::Unreachable).stdout.contains("unknown"), "it is not known to live");
    drain(home.path(), &["--patience", "1s", "wait", "upgrade", "--owner", "ops"]).expect(ExitCode::Unreachable);
    held(503);
    let (code, why) = ready();
    assert!(code == 503 && silent_for_long(&why), "{why}");

    process.thaw();
    drain(home.path(), &["--patience", "30s", "wait", "upgrade", "--owner", "ops"]).expect(ExitCode::Drained);
    held(200);
}

#[test]
fn a_gateway_that_freezes_in_mid_wait_is_unreachable_once_it_answers_no_heartbeat() {
    let home = home();
    let process = GatewayProcess::start(home.path());
    let _ = process.turn(600_000);
    let drain = upgrade(home.path()).lease(Duration::from_secs(6)).patience(Duration::from_secs(5));
    let (seen, waits) = mpsc::channel();
    let tell = move |progress: &gateway_drain::client::Progress| {
        // Nobody listens any more once the gateway is frozen.
        let _ = seen.send(progress.state);
    };
    let held = drain.on_progress(tell).begin().unwrap();
    let waiting = std::thread::spawn(move || held.wait().map_err(|failure| Box::new((failure, held))));
    while waits.recv_timeout(Duration::from_secs(30)).unwrap() != Some(DrainState::ExternalDraining) {}
    process.freeze();
    let (failure, held) = *waiting.join().unwrap().unwrap_err();
    process.thaw();
    assert!(matches!(failure, Failure::Unreachable(_)), "{failure:?}");
    drop(held);
}

#[test]
fn a_drain_that_was_cancelled_and_begun_again_does_not_complete_the_first_ones_wait() {
    let home = home();
    let process = GatewayProcess::start(home.path());
    let _ = process.turn(600_000);
    let held = upgrade(home.path()).begin().unwrap();
    let channel = Channel::new(Home::at(home.path()));
    let id = RequestId::new("upgrade").unwrap();
    channel.remove(&id).unwrap();
    process.until("that the hold is gone", |status| status.drain.holds.is_empty());
    channel.write(&Request::begin(id, "ops")).unwrap();
    process.until("that it is held again", |status| !status.drain.holds.is_empty());
    let failure = held.wait().unwrap_err();
    held.detach();
    assert!(matches!(failure, Failure::LeaseLost(_) | Failure::Withdrawn(_)), "{failure:?}");
}

#[test]
fn a_begin_that_nobody_answers_leaves_nothing_behind() {
    let home = home();
    let failure = upgrade(home.path()).patience(Duration::from_millis(200)).begin().unwrap_err();
    assert!(matches!(failure, Failure::Unreachable(_)), "{failure:?}");
    let process = GatewayProcess::start(home.path());
    assert!(process.admits(), "the hold that nobody answered was left lying");
}

#[test]
fn an_unready_delay_is_waited_out_before_drained_is_said() {
    let home = home();
    let process = GatewayProcess::start(home.path());
    let held = upgrade(home.path()).unready_delay(Duration::from_secs(5)).begin().unwrap();
    assert!(process.admits(), "a pending hold closes the gate too early: this shows nothing");
    held.wait().unwrap();
    assert!(!process.admits(), "drained was said of an open gate");
}

mod in_async_code {
    use super::*;

    /// An executor of the test's own: the client wants none in particular.
    fn block_on<T>(future: impl Future<Output = T>) -> T {
        futures_util::pin_mut!(future);
        let (wake, woken) = mpsc::channel();
        let waker = std::task::Waker::from(Arc::new(Wake(wake)));
        let mut context = std::task::Context::from_waker(&waker);
        loop {
            if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut context) {
                return value;
            }
            woken.recv_timeout(Duration::from_secs(60)).expect("the thread that is waited for wakes us");
        }
    }

    struct Wake(mpsc::Sender<()>);

    impl std::task::Wake for Wake {
        fn wake(self: Arc<Self>) {
            // Who has stopped waiting needs no waking.
            let _ = self.0.send(());
        }
    }

    #[test]
    fn an_act_runs_without_any_runtime_and_the_gate_is_open_again_after_it() {
        let home = home();
        let process = GatewayProcess::start(home.path());
        let turn = process.turn(400);
        let path = home.path().to_owned();
        let drain = upgrade(home.path());
        let done = block_on(drain.run_async(async || Snapshot::read(&Home::at(path)).unwrap().drain)).unwrap();
        done.withdrawn.unwrap();
        assert_eq!((done.value.in_flight, done.value.holds[0].committed), (0, true));
        assert!(turn.finished(), "the turn was cut off");
        assert_reopened(&process);
    }

    #[tokio::test]
    async fn a_run_that_is_cancelled_while_it_waits_gives_up_the_hold() {
        let home = home();
        let process = GatewayProcess::start(home.path());
        let _ = process.turn(600_000);
        let drain = upgrade(home.path());
        let running = tokio::spawn(async move { drain.run_async(async || ()).await.map(drop) });
        let path = home.path().to_owned();
        let held = move || {
            crate::support::eventually::until(&Home::at(&path), "the hold", |status| !status.drain.holds.is_empty())
        };
        tokio::task::spawn_blocking(held).await.unwrap();
        running.abort();
        assert!(running.await.unwrap_err().is_cancelled());
        tokio::task::spawn_blocking(move || assert_reopened(&process)).await.unwrap();
    }

    #[tokio::test]
    async fn a_run_that_is_cancelled_while_it_acts_gives_up_the_committed_hold() {
        let home = home();
        let process = GatewayProcess::start(home.path());
        let drain = upgrade(home.path());
        let (acting, acts) = tokio::sync::oneshot::channel();
        let act = async move || {
            let _ = acting.send(());
            std::future::pending::<()>().await;
        };
        let running = tokio::spawn(async move { drain.run_async(act).await.map(drop) });
        acts.await.unwrap();
        running.abort();
        assert!(running.await.unwrap_err().is_cancelled());
        tokio::task::spawn_blocking(move || assert_reopened(&process)).await.unwrap();
    }

    #[tokio::test]
    async fn a_wait_that_is_dropped_keeps_the_hold() {
        let home = home();
        let process = GatewayProcess::start(home.path());
        let turn = process.turn(5_000);
        let held = upgrade(home.path()).begin_async().await.unwrap();
        let first = held.wait();
        assert!(tokio::time::timeout(Duration::from_millis(100), first).await.is_err(), "a turn is in flight");
        let seen = held.wait().await.unwrap();
        assert!(turn.finished(), "drained before the turn had ended");
        held.commit(seen).await.unwrap().withdraw().await.unwrap();
        tokio::task::spawn_blocking(move || assert_reopened(&process)).await.unwrap();
    }
}

#[test]
fn a_withdrawal_is_not_done_while_what_can_not_be_looked_at_holds_the_gate_in_its_stead() {
    let home = home();
    let process = GatewayProcess::start(home.path());
    let drain = upgrade(home.path());
    drain.begin().unwrap().detach();
    let folder = Home::at(home.path()).holds_folder();
    // As many as no look takes in: whatever is in the rest holds the gate.
    for number in 0..=gateway_drain::control::scan::MAX_HOLD_FILES {
        std::fs::write(folder.join(format!("other-{number}.json")), "").unwrap();
    }
    let unseen = |status: &Snapshot| status.drain.holds.iter().any(|hold| hold.request_id.as_str() == "!holds");
    process.until("that there are too many", unseen);
    let refused = upgrade(home.path()).patience(Duration::from_millis(500)).withdraw(None);
    assert!(matches!(refused, Err(Failure::Unreachable(_))), "the gate is closed still: {refused:?}");
    assert!(!process.admits());
}
