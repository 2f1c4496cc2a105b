//! pingora: a proxy whose requests keep their permit in their context.

use futures_util::FutureExt;
use gateway_drain::{Controller, Gate, Home, OwnedPermit, Reconciler, reconciler::Options, signals::Signals};
use pingora::prelude::{HttpPeer, ProxyHttp, Result, Server, Session, http_proxy_service};
use pingora::server::{RunArgs, ShutdownSignal, ShutdownSignalWatch};
use std::{error::Error, time::Duration};

struct Proxy(Gate, String);

#[async_trait::async_trait]
impl ProxyHttp for Proxy {
    type CTX = Option<OwnedPermit>;
    fn new_ctx(&self) -> Self::CTX {
        None
    }
    async fn request_filter(&self, session: &mut Session, permit: &mut Self::CTX) -> Result<bool> {
        let admitted = self.0.admit_owned().map(|admitted| *permit = Some(admitted));
        let Err(refusal) = admitted else { return Ok(false) };
        let mut head = pingora::http::ResponseHeader::build(503, None)?;
        head.insert_header("Content-Type", "application/problem+json")?;
        head.insert_header("Retry-After", refusal.retry_after().as_secs())?;
        session.set_keepalive(None);
        session.write_response_header(Box::new(head), false).await?;
        session.write_response_body(Some(refusal.problem().into()), true).await.map(|()| true) // it is answered
    }
    async fn upstream_peer(&self, _: &mut Session, _: &mut Self::CTX) -> Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(&*self.1, false, String::new())))
    }
}

struct Ends(Controller);

#[async_trait::async_trait]
impl ShutdownSignalWatch for Ends {
    async fn recv(&self) -> ShutdownSignal {
        self.0.stopped().map(|_| ShutdownSignal::FastShutdown).await
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let (signals, [home, address, upstream]) = (Signals::take()?, gateway_drain_recipes::arguments());
    let gateway = Reconciler::start(Home::at(home), Options::default())?;
    gateway.shut_down_on(signals, Duration::from_secs(30));
    let mut server = Server::new(None)?;
    let mut service = http_proxy_service(&server.configuration, Proxy(gateway.gate().clone(), upstream));
    service.add_tcp(&address);
    server.add_service(service);
    server.run(RunArgs { shutdown_signal: Box::new(Ends(gateway.controller().clone())) });
    Ok(())
}
