//! A real gateway in a home of its own, whose time the test moves and whose looks the test asks for.

use crate::support::eventually::until;
use gateway_drain::controller::Settings;
use gateway_drain::hold::Outcome;
use gateway_drain::reconciler::{Options, StartError};
use gateway_drain::{Channel, Clock, Home, Reconciler, Request, RequestId, Snapshot};
use std::fs;
use std::time::Duration;
use tempfile::TempDir;

/// A home, its channel, and the clock of the gateways that are started in it.
pub struct Place {
    _folder: TempDir,
    pub channel: Channel,
    pub clock: Clock,
}

impl Place {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let channel = Channel::new(Home::at(folder.path().join("home")));
        fs::create_dir(channel.home().path()).unwrap();
        Self { _folder: folder, channel, clock: Clock::manual() }
    }

    pub fn home(&self) -> &Home {
        self.channel.home()
    }

    pub fn start(&self) -> Reconciler {
        self.try_start().expect("a gateway in a home of its own")
    }

    pub fn try_start(&self) -> Result<Reconciler, StartError> {
        let settings = Settings { clock: self.clock.clone(), ..Settings::default() };
        // A tick that a test never waits for: whatever happens in it was kicked.
        let tick = Duration::from_secs(3600);
        Reconciler::start(self.home().clone(), Options { tick, settings, events: false, ..Options::default() })
    }

    /// Writes a request, and waits for the gateway's answer to this very write.
    pub fn ask(&self, gateway: &Reconciler, request: &Request) -> Outcome {
        self.channel.write(request).unwrap();
        gateway.kick();
        let answer = |s: &Snapshot| s.drain.acknowledged.iter().find(|a| a.nonce == request.nonce).map(|a| a.outcome);
        answer(&until(self.home(), "an answer", |snapshot| answer(snapshot).is_some())).unwrap()
    }

    pub fn pass(&self, gateway: &Reconciler, time: Duration) {
        self.clock.advance(time);
        gateway.kick();
    }
}

pub fn id(name: &str) -> RequestId {
    RequestId::new(name).unwrap()
}
