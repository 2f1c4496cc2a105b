//! tonic: each call is a turn. The health service is none, and says ahead of a drain's end that calls belong elsewhere.

use gateway_drain::{Home, Reconciler, layer::DrainLayer, reconciler::Options, signals::Signals};
use gateway_drain_recipes::{Turn, arguments};
use std::{error::Error, time::Duration};
use tonic::{Request, Response, Status, async_trait, transport::Server};
use tonic_health::ServingStatus;

include!(concat!(env!("OUT_DIR"), "/recipes.Turns.rs")); // made by build.rs

struct Worker;

#[async_trait]
impl turns_server::Turns for Worker {
    async fn run(&self, turn: Request<Turn>) -> Result<Response<Turn>, Status> {
        tokio::time::sleep(Duration::from_secs(2)).await; // the work
        Ok(Response::new(turn.into_inner()))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let signals = Signals::take()?;
    let [home, address] = arguments();
    let gateway = Reconciler::start(Home::at(home), Options::default())?;
    gateway.shut_down_on(signals, Duration::from_secs(30));
    let (reporter, health) = tonic_health::server::health_reporter();
    let gate = gateway.gate().clone();
    tokio::spawn(async move {
        while gate.opened().await.is_ok() {
            reporter.set_service_status("", ServingStatus::Serving).await;
            gate.closing().await;
            reporter.set_service_status("", ServingStatus::NotServing).await;
        }
    });
    let is_health = |head: &gateway_drain::layer::Head<'_>| head.uri.path().starts_with("/grpc.health.v1.Health/");
    let layer = DrainLayer::of(gateway.controller()).bypass(is_health).end_interrupted();
    let server = Server::builder().layer(layer).add_service(health).add_service(turns_server::TurnsServer::new(Worker));
    let (first, second) = (gateway.controller().stopped(), gateway.controller().stopped());
    let served = server.serve_with_shutdown(address.parse()?, async { _ = first.await });
    let last = async { (second.await, tokio::time::sleep(Duration::from_secs(1)).await) }; // a `Watch` of health has no end
    tokio::select! { done = served => Ok(done?), _ = last => Ok(()) }
}
