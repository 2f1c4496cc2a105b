//! The queue consumer against a real broker: it takes nothing while the gateway drains, finishes what it has, and takes again.

mod common;

use common::{LIMIT, Recipe, free_address, listens};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// `nats-server`, which `.ci/recipes` installs.
struct Broker(Child, #[expect(dead_code, reason = "it is removed with it")] tempfile::TempDir);

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = (self.0.kill(), self.0.wait());
    }
}

fn broker(address: &str) -> Broker {
    let store = tempfile::tempdir().unwrap();
    let (host, port) = address.rsplit_once(':').unwrap();
    let mut command = Command::new("nats-server");
    command.args(["-js", "-a", host, "-p", port, "-sd"]).arg(store.path());
    let broker = Broker(command.stderr(Stdio::null()).spawn().expect("nats-server is installed"), store);
    listens(address);
    broker
}

fn publish(address: &str, subjects: &[&'static str]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let queue = async_nats::jetstream::new(async_nats::connect(address).await.unwrap());
        for subject in subjects {
            queue.publish(*subject, "".into()).await.unwrap().await.expect("the broker has it");
        }
    });
}

#[test]
fn it_takes_nothing_while_it_drains_finishes_what_it_has_and_takes_again() {
    let address = free_address();
    let _broker = broker(&address);
    let mut recipe = Recipe::start(env!("CARGO_BIN_EXE_nats"), &[&address]);
    let done =
        |recipe: &Recipe, job: &str| assert_eq!(recipe.lines.recv_timeout(LIMIT).unwrap(), format!("{job} done"));
    common::until("its stream", || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let queue = async_nats::jetstream::new(async_nats::connect(&address).await.unwrap());
            queue.get_stream("jobs").await.is_ok()
        })
    });
    publish(&address, &["jobs.first"]);
    recipe.until("\"in_flight\": 1");
    recipe.drain();
    done(&recipe, "jobs.first");
    recipe.until("\"drained\": true");
    publish(&address, &["jobs.second", "jobs.third"]);
    assert!(recipe.lines.recv_timeout(Duration::from_secs(4)).is_err(), "G2: it took a job while it drained");
    recipe.reopen();
    let mut jobs: Vec<String> = (0..2).map(|_| recipe.lines.recv_timeout(LIMIT).expect("L2: it goes on")).collect();
    jobs.sort();
    assert_eq!(jobs, ["jobs.second done", "jobs.third done"]);

    recipe.until("\"in_flight\": 0");
    publish(&address, &["jobs.last"]);
    recipe.until("\"in_flight\": 1");
    recipe.terminate();
    done(&recipe, "jobs.last");
    recipe.ends();
}
