//! `examples/deploy.sh` against the example gateway under load: no turn cut off, none refused outside the drain, and each
//! ending with its own exit code, over the files, over the gateway's endpoint and over a dashboard's.

use crate::support::eventually::comes_true;
use crate::support::load::{End, Load, Tried};
use crate::support::process::{DashboardProcess, GatewayProcess, home};
use crate::support::tool::{Tool, drain, search_path};
use gateway_drain::client::{ExitCode, Gateway};
use gateway_drain::{Channel, Home, RequestId};
use rustix::process::Signal;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How the script reaches the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Files,
    Gateway,
    Dashboard,
}

/// A gateway, and a deployment to it.
struct Scene {
    home: tempfile::TempDir,
    /// No home of any gateway.
    elsewhere: tempfile::TempDir,
    gateway: Option<GatewayProcess>,
    dashboard: Option<DashboardProcess>,
    way: Way,
}

impl Scene {
    fn start(way: Way) -> Self {
        let home = home();
        let gateway = Some(GatewayProcess::start(home.path()));
        let dashboard = (way == Way::Dashboard).then(|| DashboardProcess::start(home.path(), None));
        Self { home, elsewhere: crate::support::process::home(), gateway, dashboard, way }
    }

    fn home(&self) -> &Path {
        self.home.path()
    }

    fn gateway(&self) -> &GatewayProcess {
        self.gateway.as_ref().expect("it runs")
    }

    fn channel(&self) -> Channel {
        Channel::new(Home::at(self.home()))
    }

    fn acted(&self) -> PathBuf {
        self.elsewhere.path().join("acted")
    }

    /// Runs the script. The action notes that it ran.
    fn deploy(&self, options: &[&str]) -> Tool {
        let acted = self.acted();
        self.deploy_with(options, &["touch", acted.to_str().expect("text")], None)
    }

    fn deploy_with(&self, options: &[&str], action: &[&str], before: Option<&Path>) -> Tool {
        let mut script = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/deploy.sh"));
        let (home, address) = match (self.way, &self.dashboard) {
            (Way::Files, _) => (self.home(), None),
            (_, Some(dashboard)) => (self.elsewhere.path(), Some(dashboard.address.clone())),
            (_, None) => (self.elsewhere.path(), Some(self.gateway().address.clone())),
        };
        script.args(address.iter().flat_map(|address| ["--url".to_owned(), format!("http://{address}")]));
        script.args(options).arg("--").args(action);
        let found = search_path();
        let found = before.map(Path::to_owned).into_iter().chain(std::env::split_paths(&found));
        script.env("PATH", std::env::join_paths(found).expect("a search path"));
        script
            .env(Home::VARIABLE, home)
            .env(crate::support::tool::STATE_VARIABLE, home.join(".controller"))
            .env_remove(Gateway::SECRET_VARIABLE);
        script.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Tool::spawn(script)
    }

    /// A deployment that waits for a turn which outlasts the test.
    fn waiting(&self, options: &[&str]) -> Tool {
        let _ = self.gateway().turn(600_000);
        let timeout = if options.contains(&"--timeout") { &[][..] } else { &["--timeout", "1h"] };
        let deployment = self.deploy(&[&["--id", "upgrade"], timeout, options].concat());
        // Said by a wait whose own write the gateway has acknowledged.
        deployment.said("deadline in");
        deployment
    }

    /// Freezes the `gateway-drain` of a deployment until the gateway has no hold any more, for this reason.
    fn frozen(&self, options: &[&str], meanwhile: impl FnOnce()) -> Tool {
        let deployment = self.waiting(options);
        deployment.signal_in_script(Signal::STOP);
        meanwhile();
        self.gateway().until("that the hold is over", |status| status.drain.holds.is_empty());
        deployment.signal_in_script(Signal::CONT);
        deployment
    }

    /// Another process in the place of the gateway, at the same address.
    fn replace_gateway(&mut self) {
        let gateway = self.gateway.take().expect("it runs");
        let address = gateway.address.clone();
        gateway.kill();
        self.gateway = Some(GatewayProcess::start_at(self.home(), &address));
    }
}

fn id() -> RequestId {
    RequestId::new("upgrade").expect("an id")
}

/// A `gateway-drain` that is left without the descriptors that it needs.
fn starved(folder: &Path) -> PathBuf {
    let wrapper = folder.join("gateway-drain");
    let real = env!("CARGO_BIN_EXE_gateway-drain");
    std::fs::write(&wrapper, format!("#!/bin/sh\nulimit -n 5\nexec {real} \"$@\"\n")).expect("a script");
    std::fs::set_permissions(&wrapper, PermissionsExt::from_mode(0o755)).expect("it can be run");
    folder.to_owned()
}

/// How a deployment is brought to this ending, whichever it is: a new exit code doesn't compile without a way to it.
fn way_to(code: ExitCode) -> Option<fn(&mut Scene) -> Tool> {
    Some(match code {
        // Of `check-trace` and `probe`.
        ExitCode::Broken | ExitCode::Unjudged => return None,
        // Of a fleet, which `tests/external/fleet.rs` rolls.
        #[cfg(feature = "fleet")]
        ExitCode::NoSlot | ExitCode::Fleet | ExitCode::SlotKept => return None,
        ExitCode::Drained => |scene| scene.deploy(&[]),
        ExitCode::Internal => |scene| {
            let starved = starved(scene.elsewhere.path());
            scene.deploy_with(&[], &["true"], Some(&starved))
        },
        ExitCode::Usage => |scene| scene.deploy(&["--timeout", "soon"]),
        ExitCode::Deadline => |scene| scene.waiting(&["--timeout", "1s"]),
        ExitCode::Withdrawn => |scene| {
            let deployment = scene.waiting(&[]);
            scene.channel().remove(&id()).expect("it can be removed");
            deployment
        },
        ExitCode::LeaseLost => |scene| scene.frozen(&["--lease", "4s"], || ()),
        ExitCode::IncarnationChanged => |scene| {
            let deployment = scene.waiting(&["--patience", "60s"]);
            scene.replace_gateway();
            deployment
        },
        ExitCode::Unreachable => |scene| {
            let deployment = scene.waiting(&["--patience", "6s"]);
            scene.gateway.take().expect("it runs").kill();
            deployment
        },
        ExitCode::Denied => |scene| {
            drain(scene.home(), &["--owner", "somebody-else", "begin", "upgrade"]).expect(ExitCode::Drained);
            scene.deploy(&["--id", "upgrade"])
        },
        ExitCode::ShuttingDown => |scene| {
            let deployment = scene.waiting(&[]);
            scene.gateway().terminate();
            deployment
        },
        // What another boot writes over a live hold ends nothing, and its owner writes over it in turn (C7). A gateway of
        // another boot is in `tests/processes/endings.rs`.
        ExitCode::Ignored => return None,
        ExitCode::Interrupted => |scene| {
            let deployment = scene.waiting(&[]);
            deployment.signal_in_script(Signal::INT);
            deployment
        },
    })
}

/// Endings that the gateway doesn't outlive, or doesn't outlive for long.
fn ends_the_gateway(code: ExitCode) -> bool {
    matches!(code, ExitCode::IncarnationChanged | ExitCode::Unreachable | ExitCode::ShuttingDown)
}

fn every_ending(way: Way) {
    for code in ExitCode::ALL {
        let Some(reach) = way_to(code) else { continue };
        let mut scene = Scene::start(way);
        let load = Load::start(&scene.gateway().address, 2, |_| 20);
        load.until(10);
        let began = Instant::now();
        let deployed = reach(&mut scene).ended();
        let wanted = if code == ExitCode::Drained { 0 } else { code.under_run() };
        assert_eq!(deployed.code, Some(i32::from(wanted)), "{way:?}, {code:?}: {deployed:?}");
        assert_eq!(scene.acted().exists(), code == ExitCode::Drained, "{way:?}, {code:?}: the action");
        if code == ExitCode::Denied {
            assert!(!scene.gateway().admits(), "{way:?}: somebody else's hold was taken away");
            drain(scene.home(), &["--owner", "somebody-else", "cancel", "upgrade"]).expect(ExitCode::Drained);
        }
        if !ends_the_gateway(code) {
            scene.gateway().until("that nobody holds it", |status| status.drain.holds.is_empty());
            let ended = Instant::now();
            load.until(load.asked() + 10);
            let tried = load.stop();
            assert_untouched(&tried, began, ended, &format!("{way:?}, {code:?}"));
        }
    }
}

/// No turn was cut off, and none was refused before the drain or after it.
fn assert_untouched(tried: &[Tried], began: Instant, ended: Instant, what: &str) {
    let bad = tried.iter().find(|turn| !matches!(turn.end, End::Whole | End::Refused));
    assert!(bad.is_none(), "{what}: cut off, or not answered: {bad:?}");
    let outside = |turn: &&Tried| turn.end == End::Refused && (turn.to < began || turn.from > ended);
    let refused = tried.iter().filter(outside).count();
    assert_eq!(refused, 0, "{what}: refused outside the drain, of {} turns", tried.len());
}

#[test]
fn a_deployment_under_load_cuts_off_no_turn_and_refuses_none_outside_the_drain() {
    let scene = Scene::start(Way::Files);
    let load = Load::start(&scene.gateway().address, 4, |_| 20);
    load.until(40);
    let began = Instant::now();
    // The action goes on until turns have met the drain.
    let copy = "cp gateway_state.json copy.json && mv copy.json during.json && until [ -e met ]; do sleep 0.01; done";
    let copy = format!("cd {} && {copy}", scene.home().display());
    let deployment = scene.deploy_with(&["--timeout", "30s"], &["sh", "-c", &copy], None);
    comes_true("the action runs", || scene.home().join("during.json").exists());
    load.until(load.asked() + 40);
    std::fs::write(scene.home().join("met"), "").expect("the home is writable");
    deployment.ended().expect(ExitCode::Drained);
    let ended = Instant::now();
    load.until(load.asked() + 40);
    let tried = load.stop();
    let during = std::fs::read_to_string(scene.home().join("during.json")).expect("the action ran");
    let during: serde_json::Value = serde_json::from_str(&during).expect("a status");
    assert_eq!(during["active_agents"], 0, "the action ran with turns in flight");
    assert_untouched(&tried, began, ended, "the deployment");
    assert!(tried.iter().any(|turn| turn.end == End::Refused), "no turn met the drain: this shows nothing");
    assert!(tried.iter().any(|turn| turn.from > ended + Duration::from_millis(1)), "no turn came after it");
}

#[test]
fn a_deployment_that_meets_its_deadline_says_so() {
    let scene = Scene::start(Way::Files);
    let deployed = scene.waiting(&["--timeout", "300ms"]).ended().expect_code(203);
    assert!(deployed.stderr.contains("not deployed: work is still in flight"), "{}", deployed.stderr);
}

#[test]
fn a_deployment_whose_action_fails_says_that_and_not_that_it_was_not_deployed() {
    let scene = Scene::start(Way::Files);
    for code in ["3", "7", "203"] {
        let deployed = scene.deploy_with(&[], &["sh", "-c", &format!("exit {code}")], None).ended();
        assert_eq!(deployed.code.map(|code| code.to_string()).as_deref(), Some(code));
        assert!(deployed.stderr.ends_with(&format!("the action failed: {code}\n")), "{}", deployed.stderr);
    }
}

#[test]
fn each_ending_has_its_exit_code_over_the_files() {
    every_ending(Way::Files);
}

#[test]
fn each_ending_has_its_exit_code_over_the_gateways_endpoint() {
    every_ending(Way::Gateway);
}

#[test]
fn each_ending_has_its_exit_code_over_a_dashboards_endpoint() {
    every_ending(Way::Dashboard);
}
