//! A small agent gateway that can be drained: `cargo run --example gateway --all-features`.
//!
//! `POST /turns` runs a turn, which streams a line every 100 ms. Each turn asks the gate before it does anything, and its
//! permit rides the response body to its end. Everything else that makes a gateway drainable is `Reconciler::start`.

use axum::body::Body;
use axum::extract::{Json, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use clap::Parser;
use futures_util::stream;
use gateway_drain::gate::{LabelledPermit, Reading};
use gateway_drain::http::Endpoint;
use gateway_drain::http::auth::{Settings, SharedSecret};
use gateway_drain::reconciler::Options;
use gateway_drain::trace::Trace;
use gateway_drain::{Controller, DrainState, Home, Reconciler, http};
use sd_notify::NotifyState;
use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep, timeout};

/// An agent gateway that can be drained.
#[derive(Parser)]
struct Args {
    /// The gateway's home. [default: a fresh temporary folder]
    #[arg(long)]
    home: Option<PathBuf>,
    /// Where to listen. [default: 127.0.0.1:8080, or the next free port]
    #[arg(long)]
    listen: Option<String>,
    /// How often the files are looked at, in milliseconds.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    tick_ms: u64,
    /// How long a shutdown waits for turns in flight, in milliseconds.
    #[arg(long, default_value_t = 30_000)]
    deadline_ms: u64,
    /// Where to write down what happens to the gate, for `gateway-drain check-trace`.
    #[arg(long)]
    trace: Option<PathBuf>,
}

#[derive(serde::Deserialize)]
struct Turn {
    session: String,
    millis: u64,
    #[serde(default)]
    internal: bool,
}

async fn start_turn(State(reconciler): State<Arc<Reconciler>>, Json(turn): Json<Turn>) -> Response {
    let gate = reconciler.gate();
    let permit = match if turn.internal { gate.admit_internal() } else { gate.admit() } {
        Ok(permit) => permit.into_owned().labelled("turn", turn.session),
        Err(refusal) => return http::refused(refusal),
    };
    let end = Instant::now() + Duration::from_millis(turn.millis.min(24 * 60 * 60 * 1000));
    let lines = stream::unfold((permit, 0, Some(end)), |(permit, line, end)| async move {
        let (text, end) = next_line(&permit, line, end?).await;
        Some((Ok::<_, std::convert::Infallible>(text), (permit, line + 1, end)))
    });
    (StatusCode::OK, Body::from_stream(lines)).into_response()
}

/// One line of a turn's work, and the turn's end unless this was the last line.
async fn next_line(permit: &LabelledPermit, line: u32, end: Instant) -> (String, Option<Instant>) {
    let step = Duration::from_millis(100).min(end.saturating_duration_since(Instant::now()));
    if step.is_zero() {
        return ("done\n".into(), None);
    }
    tokio::select! {
        () = sleep(step) => (format!("line {line}\n"), Some(end)),
        () = permit.interrupted() => ("interrupted\n".into(), None),
    }
}

async fn listen(address: Option<&str>) -> std::io::Result<TcpListener> {
    if let Some(address) = address {
        return TcpListener::bind(address).await;
    }
    for port in 8080..8180 {
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)).await {
            return Ok(listener);
        }
    }
    TcpListener::bind("127.0.0.1:0").await
}

/// The control routes: with the secret in the environment if there is one, else open to everybody on this machine.
fn endpoint(reconciler: Arc<Reconciler>, address: SocketAddr) -> Result<Endpoint, Box<dyn Error>> {
    let endpoint = Endpoint::of_gateway(reconciler);
    match SharedSecret::from_env(&Settings::default())? {
        Some(secret) => Ok(endpoint.verifier(secret)),
        None if address.ip().is_loopback() => Ok(endpoint.unauthenticated(SharedSecret::PRINCIPAL)),
        None => {
            println!("the drain endpoint is closed: set {} to open it", SharedSecret::VARIABLE);
            Ok(endpoint)
        }
    }
}

/// The first SIGTERM (or Ctrl-C) begins the shutdown, the second forces it.
async fn shut_down_on_signal([mut term, mut int]: [Signal; 2], reconciler: Arc<Reconciler>, deadline: Duration) {
    for signals in 1.. {
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        let controller = reconciler.controller().clone();
        if signals == 1 {
            println!("shutting down: waiting up to {deadline:?} for {} in flight", reconciler.gate().reading().total());
            // Refused only once stopped, and then there is nothing left to begin.
            let _ = controller.begin_shutdown(deadline);
        } else {
            println!("forced: {} abandoned", controller.force_stop().abandoned.in_flight);
        }
    }
}

/// Tells systemd how the gateway stands, if systemd started it. That it stops is said of a shutdown and never of a drain:
/// from then on systemd counts the time until it kills. A thread of its own does it, so that nothing else waits for systemd.
fn tell_systemd(controller: &Controller) {
    let tell = |reading: Reading, first: Option<NotifyState>| {
        let stands = format!("{}, {} in flight", reading.state, reading.total());
        let stops = (reading.state == DrainState::ShutdownDraining).then_some(NotifyState::Stopping);
        let told: Vec<_> = first.into_iter().chain(stops).chain([NotifyState::Status(&stands)]).collect();
        // Nobody may be listening, and that is nothing to fail for.
        let _ = sd_notify::notify(&told);
        stands
    };
    let (gate, (changed, changes)) = (controller.gate().clone(), mpsc::channel());
    controller.observe(move |change| change.reading().into_iter().for_each(|reading| _ = changed.send(reading)));
    std::thread::spawn(move || {
        let mut last = tell(gate.reading(), Some(NotifyState::Ready));
        loop {
            // Turns come and go without a change of state; once a second is often enough for people.
            let reading = match changes.recv_timeout(Duration::from_secs(1)) {
                Ok(reading) => reading,
                Err(RecvTimeoutError::Timeout) => gate.reading(),
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if last != format!("{}, {} in flight", reading.state, reading.total()) {
                last = tell(reading, None);
            }
        }
    });
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let args = Args::parse();
    let temporary = tempfile::tempdir()?;
    let home = Home::at(args.home.unwrap_or_else(|| temporary.path().into()));
    let (tick, deadline) = (Duration::from_millis(args.tick_ms), Duration::from_millis(args.deadline_ms));

    let listener = listen(args.listen.as_deref()).await?;
    let trace = args.trace.as_deref().map(Trace::append).transpose()?;
    let options = Options { tick, trace, ..Options::default() };
    let reconciler = Reconciler::start(home, options).map_err(|e| e.to_string())?;
    let reconciler = Arc::new(reconciler);
    // Taken before anybody is told that it is ready: from then on a signal is a shutdown.
    let signals = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
    let signals = tokio::spawn(shut_down_on_signal(signals, reconciler.clone(), deadline));
    tell_systemd(reconciler.controller());

    let (address, marker) = (listener.local_addr()?, reconciler.home().marker());
    println!("listening on http://{address}\nhome: {}\n", reconciler.home().path().display());
    println!("a turn:  curl -N http://{address}/turns --json '{{\"session\": \"s1\", \"millis\": 5000}}'");
    println!("status:  curl http://{address}/api/status    or, in a browser, http://{address}/drain");
    println!("drain:   touch {0}    cancel:  rm {0}", marker.display());
    println!(
        "     or  curl -X POST http://{address}/api/gateway/drain --json '{{\"action\": \"drain\"}}'    (\"cancel\")"
    );

    let turns = axum::Router::new().route("/turns", post(start_turn)).with_state(reconciler.clone());
    let app = turns.merge(
        endpoint(reconciler.clone(), address)?
            .on_restart(deadline, |restart| println!("restart, asked for by {}", restart.by))
            .routes(),
    );
    let stopped = reconciler.controller().stopped();
    let closing = async move { _ = stopped.await };
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let server = tokio::spawn(axum::serve(listener, app).with_graceful_shutdown(closing).into_future());

    // The control routes answer to the very end: only once the gateway has stopped is the server asked to close.
    let report = reconciler.controller().stopped().await;
    // Turns that finished have their last bytes flushed; turns that were abandoned are not waited for.
    let _ = timeout(Duration::from_secs(1), server).await;
    signals.abort();
    println!("stopped: {} interrupted, {} abandoned", report.interrupted, report.abandoned.in_flight);
    Ok(ExitCode::from(if report.finished() { 0 } else { 3 }))
}
