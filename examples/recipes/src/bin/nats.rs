//! A queue consumer: JetStream of NATS. It takes nothing while the gate is closed, finishes what it has, and takes again.

use async_nats::jetstream::{self, AckKind, consumer::pull, stream};
use futures_util::StreamExt;
use gateway_drain::{Home, Reconciler, reconciler::Options, signals::Signals};
use std::{error::Error, time::Duration};

type AnyError = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    let (signals, [home, broker]) = (Signals::take()?, gateway_drain_recipes::arguments());
    let gateway = Reconciler::start(Home::at(home), Options::default())?;
    gateway.shut_down_on(signals, Duration::from_secs(30));
    let queue = jetstream::new(async_nats::connect(broker).await?);
    let jobs = stream::Config { name: "jobs".into(), subjects: vec!["jobs.>".into()], ..Default::default() };
    let worker = pull::Config { durable_name: Some("worker".into()), ..Default::default() };
    let jobs = queue.get_or_create_stream(jobs).await?.get_or_create_consumer("worker", worker).await?;
    // One at a time, so that none lies here that another worker could have.
    let mut jobs = jobs.stream().max_messages_per_batch(1).messages().await?;
    let gate = gateway.gate();
    while gate.opened().await.is_ok() {
        let job = tokio::select! {
            _ = gate.closing() => continue,
            job = jobs.next() => job.ok_or("the broker has ended the subscription")??,
        };
        match gate.admit_owned() {
            Ok(permit) => drop(tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(2)).await; // the work
                println!("{} done", job.subject);
                job.double_ack().await?;
                drop(permit); // a drain waits for it to here
                Ok::<_, AnyError>(())
            })),
            Err(_) => job.ack_with(AckKind::Nak(None)).await?, // it came in between, and is somebody else's
        }
    }
    let _ = gateway.controller().stopped().await;
    Ok(())
}
