//! What systemd does with `examples/deploy/gateway@.service`, as far as the tests want it: runs its command, takes what the
//! gateway tells the notify socket, and ends it in the unit's own times. The unit's file is read, so that the tests run what
//! the guide shows.

use crate::support::process::examples;
use crate::support::tool::LIMIT;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

pub struct Unit(String);

impl Unit {
    pub fn read() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/deploy/gateway@.service");
        Self(std::fs::read_to_string(path).expect("the unit is there"))
    }

    /// The one value of a key.
    pub fn value(&self, key: &str) -> &str {
        let mut values = self.0.lines().filter_map(|line| line.split_once('=')).filter(|(name, _)| *name == key);
        let (value, None) = (values.next(), values.next()) else { panic!("the unit has {key} more than once") };
        value.unwrap_or_else(|| panic!("the unit has no {key}")).1
    }

    /// A time in seconds.
    pub fn seconds(&self, key: &str) -> Duration {
        Duration::from_secs(self.value(key).parse().expect("seconds"))
    }

    /// What it runs for one instance, with the state under `state` and the example in the place of the program.
    pub fn command(&self, instance: &str, state: &Path) -> Command {
        // An instance whose port the system chooses has no other port that follows from it.
        let line =
            if instance == "0" { self.value("ExecStart").replace("1%i", "0") } else { self.value("ExecStart").into() };
        let line = line.replace("%i", instance).replace("%S", state.to_str().expect("text"));
        let mut words = line.split_whitespace();
        assert_eq!(words.next(), Some("/usr/local/bin/gateway"));
        let mut command = Command::new(examples().join("gateway"));
        command.args(words).env_remove(gateway_drain::client::Gateway::SECRET_VARIABLE);
        command
    }

    /// The home of one instance, made as systemd makes a state folder.
    pub fn home(&self, instance: &str, state: &Path) -> PathBuf {
        let home = state.join(self.value("StateDirectory").replace("%i", instance));
        std::fs::create_dir_all(&home).expect("the state folder can be made");
        home
    }
}

/// The socket on which a service tells how it is.
pub struct NotifySocket {
    socket: UnixDatagram,
    pub path: PathBuf,
}

impl NotifySocket {
    pub fn bind(path: PathBuf) -> Self {
        let socket = UnixDatagram::bind(&path).expect("a socket of its own");
        socket.set_read_timeout(Some(LIMIT)).expect("a limit");
        Self { socket, path }
    }

    /// The next message: its lines.
    pub fn next(&self) -> Vec<String> {
        let mut bytes = [0; 4096];
        let length = loop {
            match self.socket.recv(&mut bytes) {
                // A process that was stopped and goes on: a socket with a time limit is not asked again by itself.
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                answer => break answer.expect("the gateway tells how it is"),
            }
        };
        let text = str::from_utf8(&bytes[..length]).expect("text");
        text.lines().map(str::to_owned).collect()
    }
}
