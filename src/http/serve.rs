//! An application's server, from its start to its gateway's stop.
//!
//! A server's own graceful shutdown waits for every connection: for a stream that never ends, a socket that stays open, a
//! client that went away without a word. A gateway's shutdown has a deadline. Here the second ends the first.

use crate::controller::{Controller, ShutdownReport};
use crate::state::DrainState;
use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::Request;
use axum::serve::Listener;
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
use tokio::time::timeout;
use tower_service::Service;

/// How long a connection may be without a whole head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
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
/// Whenever the gate closes, connections are asked to end: those of HTTP/1 after the answer that is under way, those of
/// HTTP/2 by a GOAWAY. So clients look for another server, which a refusal alone doesn't make those of HTTP/2 do. A connection on
/// which nothing has been asked yet ends after its first answer, for that request may be on its way. Handlers get a `ConnectInfo`
/// with the client's address. A connection that has sent no whole head for 30 seconds is closed.
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
                connections.spawn(connection::<L>(io, peer, app.clone(), phase.subscribe()));
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

/// What connections are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// To stay, those that come while the gate is closed too: they are told so, and control and readiness come this way.
    Stay,
    /// Those that are there when the gate closes: to end after the answers that are under way.
    Leave,
    /// All of them, for the gateway has stopped.
    Over,
}

fn phases(controller: &Controller) -> watch::Sender<Phase> {
    let phase = watch::Sender::new(Phase::Stay);
    let told = phase.clone();
    controller.observe(move |change| {
        let Some(reading) = change.reading() else { return };
        let now = if reading.state == DrainState::Running { Phase::Stay } else { Phase::Leave };
        told.send_if_modified(|phase| *phase != Phase::Over && core::mem::replace(phase, now) != now);
    });
    phase
}

async fn connection<L>(io: L::Io, peer: L::Addr, app: Router, mut phase: watch::Receiver<Phase>)
where
    L: Listener,
    L::Addr: Clone + Send + Sync + 'static,
{
    let (asked, mut is_asked) = watch::channel(false);
    let service = service_fn(move |mut request: Request<Incoming>| {
        asked.send_if_modified(|asked| !core::mem::replace(asked, true));
        request.extensions_mut().insert(ConnectInfo(peer.clone()));
        app.clone().call(request)
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let mut served = pin!(builder.serve_connection_with_upgrades(TokioIo::new(io), service));
    let mut leaves = *phase.borrow_and_update() == Phase::Over;
    // With its first answer, if it has none yet.
    let mut leaves_once_asked = false;
    loop {
        if leaves {
            served.as_mut().graceful_shutdown();
        }
        tokio::select! {
            // What goes wrong on a connection is its client's, and the handler's to tell of.
            _ = served.as_mut() => return,
            true = async { is_asked.wait_for(|asked| *asked).await.is_ok() }, if leaves_once_asked => {
                (leaves, leaves_once_asked) = (true, false);
            }
            changed = phase.changed() => {
                let now = *phase.borrow_and_update();
                leaves = changed.is_err() || now == Phase::Over;
                leaves_once_asked = now == Phase::Leave;
                if changed.is_err() {
                    let _ = served.await;
                    return;
                }
            }
        }
    }
}
