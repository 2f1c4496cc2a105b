//! hyper alone: the layer around a service, in a server of one's own.

use gateway_drain::{DrainState, Home, Reconciler, layer::DrainLayer, reconciler::Options, signals::Signals};
use gateway_drain_recipes::arguments;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::{server::conn::auto::Builder, service::TowerToHyperService};
use std::{convert::Infallible, error::Error, pin::pin, time::Duration};
use tower::{Layer, ServiceExt, service_fn};

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
        let (gate, service) = (gateway.gate().clone(), service.clone());
        connections.spawn(async move {
            let (is_http2, mut http2) = tokio::sync::watch::channel(false);
            let service = service.map_request(move |request: Request<Incoming>| {
                is_http2.send_replace(request.version() == Version::HTTP_2);
                request
            });
            let builder = Builder::new(TokioExecutor::new());
            let mut served = pin!(builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)));
            // Those of HTTP/2 that are there when a drain begins are sent away (GOAWAY); those that come later are told why. Those of
            // HTTP/1 the layer ends with their next answer: an idle one that is closed loses the request that is on its way.
            let open = gate.reading().state == DrainState::Running;
            let leaves = async { (gate.closing().await, http2.wait_for(|http2| *http2).await.is_ok()) };
            tokio::select! { _ = &mut served => return, (_, true) = leaves, if open => served.as_mut().graceful_shutdown(), else => {} }
            let _ = served.await; // the client's fault, if it is an error
        });
    }
    let last = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(Duration::from_secs(1), last).await; // what has been answered is sent
    Ok(())
}
