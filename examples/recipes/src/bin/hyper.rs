//! hyper alone: the layer around a service, in a server of one's own.

use gateway_drain::{DrainState, Home, Reconciler, layer::DrainLayer, reconciler::Options, signals::Signals};
use gateway_drain_recipes::arguments;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::{server::conn::auto::Builder, service::TowerToHyperService};
use std::{convert::Infallible, error::Error, pin::pin, time::Duration};
use tower::{Layer, service_fn};

async fn turn(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    tokio::time::sleep(Duration::from_secs(2)).await; // the work
    Ok(Response::new("done\n".into()))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let signals = Signals::take()?;
    let [home, address] = arguments();
    let gateway = Reconciler::start(Home::at(home), Options::default())?;
    gateway.shut_down_on(signals, Duration::from_secs(30));
    let service = DrainLayer::of(gateway.controller()).end_interrupted().layer(service_fn(turn));
    let listener = tokio::net::TcpListener::bind(address).await?;
    let (mut stopped, mut connections) = (pin!(gateway.controller().stopped()), tokio::task::JoinSet::new());
    loop {
        let (stream, _) = tokio::select! { _ = &mut stopped => break, accepted = listener.accept() => accepted? };
        let (gate, service) = (gateway.gate().clone(), TowerToHyperService::new(service.clone()));
        connections.spawn(async move {
            let builder = Builder::new(TokioExecutor::new());
            let mut served = pin!(builder.serve_connection(TokioIo::new(stream), service));
            // Those that are there when a drain begins are sent away (GOAWAY); those that come later are told why.
            let open = gate.reading().state == DrainState::Running;
            tokio::select! { _ = &mut served => return, _ = gate.closing(), if open => served.as_mut().graceful_shutdown() }
            let _ = served.await; // the client's fault, if it is an error
        });
    }
    let last = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(Duration::from_secs(1), last).await; // what has been answered is sent
    Ok(())
}
