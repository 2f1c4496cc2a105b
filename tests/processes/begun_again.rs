//! What a controller does is done to the hold that it has in hand, and not to another that its owner has begun since under
//! the same name: over the files, over HTTP, and whenever the other one begins.

use crate::support::eventually::comes_true;
use crate::support::lying_proxy::{ask, hand_on, serve};
use crate::support::process::{GatewayProcess, home};
use crate::support::tool::owner;
use gateway_drain::client::{Drain, Failure, Gateway, Held};
use gateway_drain::status::HoldStatus;
use gateway_drain::{Channel, Home, Request, RequestId};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const SECRET: &str = "0123456789-abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJKLMNOPQRSTUVWXYZ";
/// Whom the secret proves.
const PRINCIPAL: &str = "drain-control";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Files,
    Http,
}

/// A gateway that another hold keeps closed throughout, so that its drain never changes.
struct Scene {
    way: Way,
    home: tempfile::TempDir,
    gateway: GatewayProcess,
}

impl Scene {
    fn start(way: Way) -> Self {
        let home = home();
        let gateway = GatewayProcess::start_with_secret(home.path(), SECRET, "127.0.0.1:0");
        let channel = Channel::new(Home::at(home.path()));
        channel.write(&Request::begin(RequestId::new("another").unwrap(), "ann")).unwrap();
        gateway.until("the other hold", |status| status.drain.drained);
        Self { way, home, gateway }
    }

    fn owner(&self) -> String {
        if self.way == Way::Files { owner() } else { PRINCIPAL.into() }
    }

    fn drain(&self, address: &str) -> Drain {
        let gateway = match self.way {
            Way::Files => Gateway::at(Home::at(self.home.path())),
            Way::Http => Gateway::over_http(&format!("http://{address}"), Some(SECRET.into())).unwrap(),
        };
        let tokens = self.home.path().join("tokens");
        Drain::of(gateway, self.owner()).id(id()).patience(Duration::from_secs(5)).keeping_tokens_in(tokens)
    }

    fn begin(&self) -> Held {
        self.drain(&self.gateway.address).begin().unwrap()
    }

    fn begin_again(&self) -> HoldStatus {
        begin_again(self.home.path(), &self.owner())
    }

    #[track_caller]
    fn assert_untouched(&self, second: &HoldStatus, by: &str) {
        // What was written is seen at the gateway's next look.
        let revision = self.gateway.until("a status", |_| true).drain.revision;
        Channel::new(Home::at(self.home.path())).write(&Request::begin(id_of("beat"), "ann")).unwrap();
        let status = self.gateway.until("a later look", |status| {
            status.drain.revision > revision && status.drain.holds.iter().any(|hold| hold.request_id == id_of("beat"))
        });
        Channel::new(Home::at(self.home.path())).remove(&id_of("beat")).unwrap();
        self.gateway.until("the end of it", |status| status.drain.hold(&id_of("beat")).is_none());
        let Some(now) = status.drain.hold(&id()) else { panic!("{:?}: {by} ended the other hold", self.way) };
        let facts = |hold: &HoldStatus| (hold.first_seen_millis, hold.nonce.clone(), hold.committed);
        assert_eq!(facts(now), facts(second), "{:?}: {by} was done to the other hold", self.way);
    }
}

fn id() -> RequestId {
    id_of("upgrade")
}

fn id_of(name: &str) -> RequestId {
    RequestId::new(name).unwrap()
}

/// The hold ends, and its owner begins another one of the same name elsewhere.
fn begin_again(home: &Path, owner: &str) -> HoldStatus {
    let channel = Channel::new(Home::at(home));
    let status = |what: &str, there: bool| {
        crate::support::eventually::until(&Home::at(home), what, |status| status.drain.hold(&id()).is_some() == there)
    };
    channel.remove(&id()).unwrap();
    status("that it is gone", false);
    channel.write(&Request::begin(id(), owner)).unwrap();
    status("the second hold", true).drain.hold(&id()).unwrap().clone()
}

/// Waits until the endpoint says this of the hold: what the gateway publishes is in its file first.
fn until_endpoint_says(address: &str, word: &str) {
    let head = format!("GET /api/gateway/drain/{} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {SECRET}\r\n", id());
    comes_true(word, || String::from_utf8_lossy(&ask(address, &head)).contains(word));
}

fn is_lost<T: std::fmt::Debug>(ended: &Result<T, Failure>) -> bool {
    matches!(ended, Err(Failure::LeaseLost(_) | Failure::Withdrawn(_)))
}

#[test]
fn no_wait_no_commit_no_withdrawal_and_no_drop_of_a_controller_touches_the_hold_that_its_owner_has_begun_since() {
    for way in [Way::Files, Way::Http] {
        let scene = Scene::start(way);
        for step in ["wait", "commit", "withdraw", "drop"] {
            let held = scene.begin();
            let seen = held.wait().unwrap();
            let second = scene.begin_again();
            match step {
                "wait" => {
                    let ended = held.wait();
                    assert!(is_lost(&ended), "{way:?}: {ended:?}");
                }
                "commit" => {
                    let ended = held.commit(&seen);
                    assert!(is_lost(&ended), "{way:?}: {ended:?}");
                }
                "withdraw" => held.withdraw().unwrap(),
                _ => drop(held),
            }
            scene.assert_untouched(&second, step);
            Channel::new(Home::at(scene.home.path())).remove(&id()).unwrap();
            scene.gateway.until("the end of it", |status| status.drain.hold(&id()).is_none());
            until_endpoint_says(&scene.gateway.address, "not_held");
        }
    }
}

#[test]
fn a_controller_that_slept_past_its_heartbeat_does_not_renew_the_hold_that_its_owner_has_begun_since() {
    let sleeps = |way| {
        let scene = Scene::start(way);
        // Its heartbeat comes every three seconds, and no hold is begun while it writes.
        let held = scene.drain(&scene.gateway.address).lease(Duration::from_secs(9)).begin().unwrap();
        let began = Instant::now();
        let second = scene.begin_again();
        let (_keep, pause) = std::sync::mpsc::channel::<()>();
        while began.elapsed() < Duration::from_millis(3500) {
            let _ = pause.recv_timeout(Duration::from_millis(100));
        }
        scene.assert_untouched(&second, "a heartbeat");
        drop(held);
        scene.assert_untouched(&second, "the end of it");
    };
    std::thread::scope(|scope| {
        for way in [Way::Files, Way::Http] {
            scope.spawn(move || sleeps(way));
        }
    });
}

#[test]
fn a_renewal_by_another_hand_of_its_owner_leaves_a_controller_its_hold() {
    for way in [Way::Files, Way::Http] {
        let scene = Scene::start(way);
        for step in ["commit", "withdraw", "drop"] {
            let held = scene.begin();
            let seen = held.wait().unwrap();
            let renewal = Request::begin(id(), scene.owner());
            Channel::new(Home::at(scene.home.path())).write(&renewal).unwrap();
            scene.gateway.until("the renewal", |status| {
                status.drain.hold(&id()).is_some_and(|hold| hold.nonce == renewal.nonce)
            });
            match step {
                "commit" => held.commit(&seen).unwrap().withdraw().unwrap(),
                "withdraw" => held.withdraw().unwrap(),
                _ => drop(held),
            }
            let status = scene.gateway.until("a status", |_| true);
            assert!(status.drain.hold(&id()).is_none(), "{way:?}: {step} left the hold");
        }
    }
}

#[test]
fn over_http_the_other_hold_may_begin_between_the_look_and_the_act() {
    for action in ["renew", "commit", "cancel"] {
        let scene = Scene::start(Way::Http);
        let (behind, home) = (scene.gateway.address.clone(), scene.home.path().to_owned());
        let second = Arc::new(Mutex::new(None));
        let began = Arc::clone(&second);
        let proxy = serve(move |asked| {
            let body: serde_json::Value = serde_json::from_slice(&asked.body).unwrap_or_default();
            let mut second = began.lock().expect("nobody panicked");
            if body["action"] == action && second.is_none() {
                *second = Some(begin_again(&home, PRINCIPAL));
            }
            drop(second);
            hand_on(&behind, asked)
        });
        let held = scene.drain(&proxy.address).begin().unwrap();
        match action {
            "renew" => {
                let attached = scene.drain(&proxy.address).attach();
                assert!(is_lost(&attached), "{attached:?}");
                drop(held);
            }
            "commit" => {
                let seen = held.wait().unwrap();
                let ended = held.commit(&seen);
                assert!(is_lost(&ended), "{ended:?}");
            }
            _ => held.withdraw().unwrap(),
        }
        let second = second.lock().unwrap().take().expect("it was asked for");
        scene.assert_untouched(&second, action);
    }
}

#[test]
fn over_http_the_other_hold_may_begin_between_the_acknowledgement_and_the_look() {
    let scene = Scene::start(Way::Http);
    let (behind, home) = (scene.gateway.address.clone(), scene.home.path().to_owned());
    let second = Arc::new(Mutex::new(None));
    let began = Arc::clone(&second);
    let proxy = serve(move |asked| {
        let answer = hand_on(&behind, asked);
        let body: serde_json::Value = serde_json::from_slice(&asked.body).unwrap_or_default();
        if body["action"] == "drain" {
            let second = begin_again(&home, PRINCIPAL);
            until_endpoint_says(&behind, second.nonce.as_ref().expect("it has one").as_str());
            *began.lock().expect("nobody panicked") = Some(second);
        }
        answer
    });
    let begun = scene.drain(&proxy.address).begin();
    assert!(is_lost(&begun), "{begun:?}");
    let second = second.lock().unwrap().take().expect("it was asked for");
    scene.assert_untouched(&second, "a begin");
}

#[test]
fn over_http_a_hold_that_another_hand_has_renewed_is_withdrawn_from_a_gateway_that_shuts_down() {
    for refused in [false, true] {
        let home = home();
        let gateway = GatewayProcess::start_with_secret(home.path(), SECRET, "127.0.0.1:0");
        let _work = gateway.turn(60_000);
        let scene = Scene { way: Way::Http, home, gateway };
        let held = scene.begin();
        scene.drain(&scene.gateway.address).attach().unwrap().detach();
        scene.gateway.terminate();
        scene.gateway.until("the shutdown", |status| status.drain.state.is_ending());
        if refused {
            // The last renewal came too late, and lies there for the next process.
            let late = Request::begin(id(), scene.owner());
            Channel::new(Home::at(scene.home.path())).write(&late).unwrap();
            scene.gateway.until("its refusal", |status| {
                status.drain.acknowledged.iter().any(|answer| answer.nonce == late.nonce)
            });
        }
        held.withdraw().unwrap();
        scene.gateway.until("that it is gone", |status| status.drain.hold(&id()).is_none());
    }
}

#[test]
fn a_commit_of_which_the_gateway_has_lost_all_records_is_withdrawn_by_its_token() {
    for way in [Way::Files, Way::Http] {
        let home = home();
        let gateway = GatewayProcess::start_with_secret(home.path(), SECRET, "127.0.0.1:0");
        let address = gateway.address.clone();
        let mut scene = Scene { way, home, gateway };
        let held = scene.begin();
        let seen = held.wait().unwrap();
        let committed = held.commit(&seen).unwrap();
        scene.gateway.kill();
        let home = Home::at(scene.home.path());
        std::fs::remove_file(home.status()).unwrap();
        std::fs::remove_file(home.commits()).unwrap();
        scene.gateway = GatewayProcess::start_with_secret(scene.home.path(), SECRET, &address);
        scene.gateway.until("that it is held", |status| status.drain.hold(&id()).is_some());
        committed.withdraw().unwrap();
        let status = scene.gateway.until("a status", |_| true);
        assert!(status.drain.hold(&id()).is_none(), "{way:?}: the gate is still closed");
    }
}

#[test]
fn a_heartbeat_does_not_begin_again_a_hold_that_another_hand_has_shortened_and_that_has_run_out() {
    let shortened = |way| {
        let scene = Scene::start(way);
        // Its heartbeat comes every eight seconds.
        let held = scene.drain(&scene.gateway.address).lease(Duration::from_secs(24)).begin().unwrap();
        let began = Instant::now();
        scene.drain(&scene.gateway.address).lease(Duration::from_secs(3)).attach().unwrap().detach();
        scene.gateway.until("that it has run out", |status| status.drain.hold(&id()).is_none());
        let (_keep, pause) = std::sync::mpsc::channel::<()>();
        while began.elapsed() < Duration::from_millis(8500) {
            let _ = pause.recv_timeout(Duration::from_millis(100));
        }
        let status = scene.gateway.until("a status", |_| true);
        assert!(status.drain.hold(&id()).is_none(), "{way:?}: it has begun again");
        drop(held);
    };
    std::thread::scope(|scope| {
        for way in [Way::Files, Way::Http] {
            scope.spawn(move || shortened(way));
        }
    });
}
