//! actix-web: a middleware that admits, and a body that keeps the permit to its last byte.

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::{Next, from_fn};
use actix_web::{App, Error, HttpResponse, HttpServer, web};
use futures_util::FutureExt;
use gateway_drain::{Gate, Home, OwnedPermit, Reconciler, reconciler::Options, signals::Signals};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

struct Counted(BoxBody, #[expect(dead_code, reason = "it counts by living")] OwnedPermit);

impl MessageBody for Counted {
    type Error = <BoxBody as MessageBody>::Error;
    fn size(&self) -> BodySize {
        self.0.size()
    }
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<web::Bytes, Self::Error>>> {
        Pin::new(&mut self.0).poll_next(cx)
    }
}

async fn admit(turn: ServiceRequest, next: Next<BoxBody>) -> Result<ServiceResponse<BoxBody>, Error> {
    match turn.app_data::<web::Data<Gate>>().expect("the application has its gate").admit_owned() {
        Ok(permit) => Ok(next.call(turn).await?.map_body(|_, body| BoxBody::new(Counted(body, permit)))),
        Err(refusal) => Ok(turn.into_response(
            HttpResponse::ServiceUnavailable()
                .force_close()
                .insert_header(("retry-after", refusal.retry_after().as_secs()))
                .content_type("application/problem+json")
                .body(refusal.problem()),
        )),
    }
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (signals, [home, address]) = (Signals::take()?, gateway_drain_recipes::arguments());
    let gateway = Reconciler::start(Home::at(home), Options::default())?;
    gateway.shut_down_on(signals, Duration::from_secs(30));
    let gate = web::Data::new(gateway.gate().clone());
    let turn = || actix_web::rt::time::sleep(Duration::from_secs(2)).map(|()| "done\n"); // the work
    let app = move || App::new().app_data(gate.clone()).wrap(from_fn(admit)).default_service(web::to(turn));
    let server = HttpServer::new(app).disable_signals().shutdown_timeout(1).bind(address)?.run();
    let (handle, stopped) = (server.handle(), gateway.controller().stopped());
    let (served, ()) = futures_util::future::join(server, stopped.then(|_| handle.stop(true))).await;
    Ok(served?)
}
