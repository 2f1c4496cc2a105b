//! Several controllers write one hold at the same moment: each write is answered, or its writer is told at once why it isn't.

use crate::support::eventually::comes_true;
use crate::support::process::{GatewayProcess, home};
use crate::support::tool::{Ended, Tool, tool};
use gateway_drain::client::{Committed, Drain, Failure, Gateway};
use gateway_drain::control::Found;
use gateway_drain::hold::{Action, Nonce};
use gateway_drain::{Channel, Home, Request, RequestId};
use std::path::Path;
use std::time::Duration;

/// So many of this command at the same time.
fn at_the_same_time(many: usize, home: &Path, url: Option<&str>, arguments: &[&str]) -> Vec<Ended> {
    let start = |_| {
        let mut command = tool(home);
        if let Some(url) = url {
            command.env_remove(Home::VARIABLE).args(["--url", url]);
        }
        command.args(arguments);
        Tool::spawn(command)
    };
    let started: Vec<_> = (0..many).map(start).collect();
    started.into_iter().map(Tool::ended).collect()
}

#[test]
fn every_one_of_a_dozen_renewals_of_one_hold_at_the_same_time_is_answered() {
    let home = home();
    // A gateway that looks so seldom that several could write between two looks.
    let gateway = GatewayProcess::start_with_tick(home.path(), 100);
    let url = format!("http://{}", gateway.address);
    // What the gateway publishes is in its file before the endpoint says it: each way has a hold of its own.
    for (way, id) in [(None, "by-files"), (Some(&*url), "over-http")] {
        let begun = at_the_same_time(1, home.path(), way, &["begin", id]);
        assert_eq!(begun[0].code, Some(0), "{way:?}: {}", begun[0].stderr);
        for round in 0..2 {
            for ended in at_the_same_time(12, home.path(), way, &["--patience", "50s", "renew", id]) {
                assert_eq!(ended.code, Some(0), "{way:?}, round {round}: {}", ended.stderr);
            }
        }
        let ended = at_the_same_time(1, home.path(), way, &["cancel", id]);
        assert_eq!(ended[0].code, Some(0), "{way:?}: {}", ended[0].stderr);
    }
}

/// A gateway that stands still, and one owner's hold on it.
struct Scene {
    home: tempfile::TempDir,
    gateway: GatewayProcess,
    channel: Channel,
    id: RequestId,
}

impl Scene {
    fn start() -> Self {
        let home = home();
        let gateway = GatewayProcess::start(home.path());
        let channel = Channel::new(Home::at(home.path()));
        Self { home, gateway, channel, id: RequestId::new("upgrade").unwrap() }
    }

    fn drain(&self) -> Drain {
        let tokens = self.home.path().join("tokens");
        let gateway = Gateway::at(Home::at(self.home.path()));
        Drain::of(gateway, "ops").id(self.id.clone()).patience(Duration::from_secs(50)).keeping_tokens_in(tokens)
    }

    /// What lies there by now, once it is such a write and another one than before.
    fn lying(&self, action: Action, before: Option<&Nonce>) -> Nonce {
        let lying = || match self.channel.find(&self.id) {
            Found::Valid(lying) if lying.action == action && lying.nonce.as_ref() != before => lying.nonce,
            _ => None,
        };
        comes_true("a write", || lying().is_some());
        lying().unwrap()
    }

    /// Another program of the same owner writes without a look.
    fn write_over(&self, nonce: Nonce) {
        let mut request = Request::begin(self.id.clone(), "ops");
        request.nonce = Some(nonce);
        self.channel.write(&request).unwrap();
    }

    /// Does this with a gateway that stands still, where `other` is written over its write before the gateway reads that.
    fn written_over<T: Send>(
        &self,
        action: Action,
        other: impl FnOnce(&Nonce) -> Nonce,
        act: impl FnOnce() -> Result<T, Failure> + Send,
    ) -> Result<T, Failure> {
        let before = self.channel.find(&self.id);
        let before = if let Found::Valid(before) = before { before.nonce } else { None };
        self.gateway.freeze();
        std::thread::scope(|scope| {
            let acting = scope.spawn(act);
            self.write_over(other(&self.lying(action, before.as_ref())));
            self.gateway.thaw();
            // Who waits for the answer that can't come runs out of patience.
            acting.join().unwrap()
        })
    }
}

#[test]
fn a_renewal_that_is_written_over_before_the_gateway_reads_it_is_written_again() {
    let scene = Scene::start();
    let held = scene.drain().begin().unwrap();
    scene.written_over(Action::Begin, |_| Nonce::fresh(), || scene.drain().attach()).unwrap().detach();
    held.withdraw().unwrap();
}

#[test]
fn a_begin_over_which_another_is_written_before_the_gateway_reads_it_is_refused_at_once() {
    let scene = Scene::start();
    let ended = scene.written_over(Action::Begin, |_| Nonce::fresh(), || scene.drain().begin());
    let Err(Failure::Denied(why)) = ended else { panic!("{ended:?}") };
    assert!(why.contains("there is a hold"), "{why}");
    assert!(scene.gateway.until("the other hold", |status| status.drain.holds.len() == 1).drain.drained);
}

#[test]
fn a_begin_that_is_renewed_by_another_hand_before_the_gateway_reads_it_has_begun() {
    let scene = Scene::start();
    let of_its_chain =
        |begun: &Nonce| Nonce::from(format!("{}.another-hand", begun.as_str().split('.').next().unwrap()));
    let held = scene.written_over(Action::Begin, of_its_chain, || scene.drain().begin()).unwrap();
    held.wait().unwrap();
    held.withdraw().unwrap();
    assert!(scene.gateway.admits());
}

#[test]
fn a_commit_that_is_written_over_before_the_gateway_reads_it_is_asked_for_again() {
    let scene = Scene::start();
    let held = scene.drain().begin().unwrap();
    let seen = held.wait().unwrap();
    let committed = scene.written_over(Action::Commit, |_| Nonce::fresh(), || held.commit(&seen)).unwrap();
    let status = scene.gateway.until("the commit", |status| status.drain.holds.iter().any(|hold| hold.committed));
    assert_eq!(status.drain.holds[0].token.as_ref(), Some(committed.token()));
    Committed::withdraw(committed).unwrap();
    assert!(scene.gateway.admits());
}
