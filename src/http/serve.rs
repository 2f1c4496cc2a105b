//! An application's server, from its start to its gateway's stop.
//!
//! A server's own graceful shutdown waits for every connection: for a stream that never ends, a socket that stays open, a
//! client that went away without a word. A gateway's shutdown has a deadline. Here the second ends the first.

use crate::controller::{Controller, ShutdownReport};
use crate::gate::{Gate, Reading};
use crate::state::DrainState;
use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Method, Request, StatusCode, Version};
use axum::serve::Listener;
use core::convert::Infallible;
use core::future::Future;
use core::pin::pin;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tower_service::Service;

/// How long a connection may be without a whole head of a request. A request that is on its way to a connection that its server
/// closes is lost, so nginx (`keepalive_timeout` of an upstream) and AWS's load balancers, which keep an idle one for 60 s, are to
/// close it first. Others keep it for longer unless they are told not to: Traefik for 90 s, Envoy for an hour.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);
/// How long connections have to send what has been answered, once the gateway has stopped.
const LAST: Duration = Duration::from_secs(1);

/// Serves an application until its gateway has stopped, and always returns.
///
/// When `shut_down` completes the gateway's shutdown begins, with `deadline` until work in flight is interrupted. It may
/// also begin in any other way: by [`Controller::begin_shutdown`], by the endpoint's restart. Until the gateway has
/// stopped, connections are accepted and answered: refusals, readiness and status have to arrive. Then there is one second
/// for what has been answered to be sent, and whatever is still open is closed: streams, idle and half-sent requests,
/// clients that neither read nor close. So it returns within the deadline, the
/// [grace](crate::controller::Settings::interrupt_grace) and that second (L4). A connection that was upgraded (a WebSocket)
/// belongs to the task that serves it, and ends with the runtime.
///
/// Whenever the gate closes, the connections that are open are asked to end, so that clients look for another server: those of
/// HTTP/1 by `Connection: close` in their next answer, those of HTTP/2 by a GOAWAY. None is closed without that, not even one that
/// is idle: its next request may be on its way, and would be lost. Handlers get a `ConnectInfo` with the client's address.
///
/// A connection on which nothing has been asked for 75 seconds since it was opened is closed, and so is one of HTTP/1 that has been idle
/// for as long. Have a proxy close its idle connections before that: nginx and AWS's load balancers do by default (60 seconds).
///
/// ```
/// use axum::{Router, routing::post};
/// use gateway_drain::{Home, Reconciler, http, layer::DrainLayer, reconciler::Options};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let home = Home::at(folder.path());
/// let gateway = Reconciler::start(home, Options::default())?;
/// let turns = Router::new().route("/turns", post(async || "done")).layer(DrainLayer::of(gateway.controller()));
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// let shut_down = tokio::time::sleep(Duration::from_millis(10)); // or `async { drop(tokio::signal::ctrl_c().await) }`
/// let report = http::serve(listener, turns, gateway.controller(), shut_down, Duration::from_secs(30)).await;
/// assert!(report.finished(), "all work ended by itself");
/// # Ok(())
/// # }
/// ```
///
/// With a listener of its own for control, two of these run beside each other, on one controller.
pub async fn serve<L>(
    mut listener: L,
    app: Router,
    controller: &Controller,
    shut_down: impl Future<Output = ()>,
    deadline: Duration,
) -> ShutdownReport
where
    L: Listener,
    L::Addr: Clone + Send + Sync + 'static,
{
    let phase = Arc::new(phases(controller));
    let mut connections = JoinSet::new();
    let mut stopped = pin!(controller.stopped());
    let mut shut_down = pin!(async {
        shut_down.await;
        // It may have begun in another way already, and then that deadline holds.
        let _ = controller.begin_shutdown(deadline);
        core::future::pending::<()>().await;
    });
    let report = loop {
        tokio::select! {
            report = &mut stopped => break report,
            () = &mut shut_down => {}
            (io, peer) = listener.accept() => {
                connections.spawn(connection::<L>(io, peer, app.clone(), controller.gate().clone(), phase.subscribe()));
            }
            Some(_) = connections.join_next() => {}
        }
    };
    phase.send_replace(Phase::Over);
    let ended = async { while connections.join_next().await.is_some() {} };
    let _ = timeout(LAST, ended).await;
    connections.shutdown().await;
    report
}

/// What connections follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    Closed,
    /// The gateway has stopped.
    Over,
}

fn phases(controller: &Controller) -> watch::Sender<Phase> {
    let phase = watch::Sender::new(Phase::Open);
    let told = phase.clone();
    controller.observe(move |change| {
        let Some(reading) = change.reading() else { return };
        let now = if reading.state == DrainState::Running { Phase::Open } else { Phase::Closed };
        told.send_if_modified(|phase| *phase != Phase::Over && core::mem::replace(phase, now) != now);
    });
    phase
}

/// Whether the gate has closed since it read so.
fn is_closed_since(then: Reading, now: Reading) -> bool {
    now.state != DrainState::Running && (then.state == DrainState::Running || then.generation != now.generation)
}

async fn connection<L>(io: L::Io, peer: L::Addr, app: Router, gate: Gate, mut phase: watch::Receiver<Phase>)
where
    L: Listener,
    L::Addr: Clone + Send + Sync + 'static,
{
    let opened = gate.reading();
    // Those that come while it is closed stay: they are told so, and control and readiness come this way.
    let closed_since = move |now| is_closed_since(opened, now);
    // The version of the first request, once there is one.
    let (asks, mut asked) = watch::channel(None);
    let answering = gate.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        let (of_http1, connects) = (request.version() <= Version::HTTP_11, request.method() == Method::CONNECT);
        asks.send_if_modified(|asked| asked.replace(request.version()).is_none());
        request.extensions_mut().insert(ConnectInfo(peer.clone()));
        let (mut app, gate) = (app.clone(), answering.clone());
        async move {
            let mut answer = app.call(request).await?;
            // An upgrade is the connection's last answer anyway.
            let upgraded =
                answer.status() == StatusCode::SWITCHING_PROTOCOLS || (connects && answer.status().is_success());
            let close = HeaderValue::from_static("close");
            let ends = upgraded || answer.headers().get_all(CONNECTION).iter().any(|said| said == close);
            if of_http1 && !ends && closed_since(gate.reading()) {
                // Beside what the handler says of the connection.
                answer.headers_mut().append(CONNECTION, close);
            }
            Ok::<_, Infallible>(answer)
        }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let mut served = pin!(builder.serve_connection_with_upgrades(TokioIo::new(io), service));
    let mut sent_away = false;
    // hyper's own limit begins with the first bytes of HTTP/1.
    let (mut silent, mut silent_for_long) = (pin!(sleep(HEAD_TIMEOUT)), false);
    loop {
        if *phase.borrow_and_update() == Phase::Over {
            served.as_mut().graceful_shutdown();
            let _ = served.await;
            return;
        }
        tokio::select! {
            // What goes wrong on a connection is its client's, and the handler's to tell of.
            _ = served.as_mut() => return,
            // A client of HTTP/2 knows which of its requests came behind a GOAWAY, and may send them again (RFC 9113 6.8).
            true = async { asked.wait_for(|first| first.is_some_and(|version| version > Version::HTTP_11)).await.is_ok() },
                if !sent_away && closed_since(gate.reading()) => {
                served.as_mut().graceful_shutdown();
                sent_away = true;
            }
            () = silent.as_mut(), if asked.borrow().is_none() => {
                if asked.borrow().is_some() {
                    continue;
                }
                if silent_for_long {
                    return;
                }
                // What is asked in this very moment is still answered.
                served.as_mut().graceful_shutdown();
                silent_for_long = true;
                silent.as_mut().reset(Instant::now() + LAST);
            }
            Ok(()) = phase.changed() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Generation;

    #[tokio::test]
    async fn connections_are_told_of_each_phase_and_of_none_after_the_last() {
        let controller = Controller::new();
        let phase = phases(&controller);
        let mut told = phase.subscribe();
        let id = crate::RequestId::new("upgrade").unwrap();
        for (request, expected) in [
            (crate::Request::begin(id.clone(), "ops"), Phase::Closed),
            (crate::Request::withdraw(id.clone(), "ops"), Phase::Open),
            (crate::Request::begin(id, "ops"), Phase::Closed),
        ] {
            controller.request(&request).unwrap();
            told.changed().await.unwrap();
            assert_eq!(*told.borrow_and_update(), expected);
        }
        phase.send_replace(Phase::Over);
        told.mark_unchanged();
        let _ = controller.force_stop();
        controller.end_observers(std::time::Instant::now() + Duration::from_secs(60));
        assert!(!told.has_changed().unwrap(), "told again: {:?}", told.borrow());
        assert_eq!(*told.borrow(), Phase::Over);
    }

    #[test]
    fn a_gate_has_closed_since_if_it_was_open_then_or_it_is_another_drain_that_keeps_it_closed_now() {
        let reading = |state, drain: u32| {
            let generation = Generation::from(drain);
            Reading {
                state,
                generation,
                in_flight: 0,
                internal: 0,
                drained: false,
                interrupted: false,
                abandoned: false,
            }
        };
        let (open, closed) = (DrainState::Running, DrainState::ExternalDraining);
        for (then, now, expected, what) in [
            ((open, 1), (open, 1), false, "nothing has happened"),
            ((open, 1), (closed, 2), true, "it has closed"),
            ((closed, 2), (closed, 2), false, "it was closed already"),
            ((closed, 2), (DrainState::ShutdownDraining, 2), false, "the same drain has become a shutdown"),
            ((closed, 2), (closed, 3), true, "it was open in between"),
            ((closed, 2), (open, 2), false, "it has opened"),
            ((open, 1), (open, 2), false, "it was closed in between"),
            ((open, 1), (DrainState::Stopped, 2), true, "it has stopped"),
        ] {
            let closed = is_closed_since(reading(then.0, then.1), reading(now.0, now.1));
            assert_eq!(closed, expected, "{what}");
        }
    }
}
