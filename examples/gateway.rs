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
use gateway_drain::gate::LabelledPermit;
use gateway_drain::http::Endpoint;
use gateway_drain::http::auth::{Secret, Settings, SharedSecret};
use gateway_drain::reconciler::Options;
use gateway_drain::signals::Signals;
use gateway_drain::trace::Trace;
use gateway_drain::{DrainState, Home, Reconciler, http};
use sd_notify::NotifyState;
use std::error::Error;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

/// An agent gateway that can be drained.
#[derive(Parser)]
struct Args {
    /// The gateway's home. [default: a fresh temporary folder]
    #[arg(long)]
    home: Option<PathBuf>,
    /// Where to listen. [default: 127.0.0.1:8080, or the next free port]
    #[arg(long)]
    listen: Option<String>,
    /// Where the control routes and the page listen. [default: where everything else does]
    #[arg(long)]
    control: Option<String>,
    /// Lets everybody on this machine control it over HTTP without a token, instead of making a secret. For a try.
    #[arg(long)]
    open: bool,
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

const SECOND: Duration = Duration::from_secs(1);

#[derive(serde::Deserialize)]
struct Turn {
    session: String,
    millis: u64,
    #[serde(default)]
    internal: bool,
    /// Blocks its thread all the time, as a careless tool does.
    #[serde(default)]
    blocking: bool,
}

async fn start_turn(State(reconciler): State<Arc<Reconciler>>, Json(turn): Json<Turn>) -> Response {
    let gate = reconciler.gate();
    let permit = match if turn.internal { gate.admit_internal() } else { gate.admit() } {
        Ok(permit) => permit.into_owned().labelled("turn", turn.session),
        Err(refusal) => return http::refused(refusal),
    };
    if turn.blocking {
        std::thread::park_timeout(Duration::from_millis(turn.millis));
    }
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

/// The control routes, and what a client has to send to them: the secret that is in the environment, or a new one.
fn endpoint(gateway: &Arc<Reconciler>, open: bool, address: SocketAddr) -> Result<(Endpoint, String), Box<dyn Error>> {
    let endpoint = Endpoint::of_gateway(Arc::clone(gateway));
    if let Some(secret) = SharedSecret::from_env(&Settings::default())? {
        return Ok((endpoint.verifier(secret), format!(" -H \"Authorization: Bearer ${}\"", SharedSecret::VARIABLE)));
    }
    if open && address.ip().is_loopback() {
        return Ok((endpoint.unauthenticated(SharedSecret::PRINCIPAL), String::new()));
    }
    let secret = Secret::random()?;
    let header = format!(" -H 'Authorization: Bearer {}'", secret.reveal());
    Ok((endpoint.verifier(SharedSecret::new(secret, &Settings::default())?), header))
}

/// Says something to people on a thread of its own: a reader who is slow, or gone, holds up nothing. What is given hears
/// when it is said.
fn say(text: String) -> mpsc::Receiver<()> {
    let (said, over) = mpsc::channel();
    std::thread::spawn(move || {
        let _ = writeln!(std::io::stdout(), "{text}");
        drop(said);
    });
    over
}

/// Tells systemd how the gateway stands, if systemd started it. That it stops is said of a shutdown and never of a drain:
/// from then on systemd counts the time until it kills, and is asked for more while the shutdown keeps its own deadline.
/// The watchdog hears from it as long as the files are followed. A thread of its own does it, which may wait for systemd.
fn tell_systemd(gateway: &Arc<Reconciler>) {
    let (changed, changes) = mpsc::channel();
    gateway.controller().observe(move |_| _ = changed.send(()));
    let (gateway, watchdog) = (Arc::downgrade(gateway), sd_notify::watchdog_enabled());
    std::thread::spawn(move || {
        let (mut last, mut news) = (String::new(), vec![NotifyState::Ready]);
        while let Some(gateway) = gateway.upgrade() {
            let reading = gateway.gate().reading();
            if reading.state == DrainState::ShutdownDraining {
                news.extend([NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(5_000_000)]);
            }
            news.extend(watchdog.filter(|_| !gateway.is_stuck()).map(|_| NotifyState::Watchdog));
            drop(gateway);
            let stands = format!("{}, {} in flight", reading.state, reading.total());
            if last != stands {
                news.push(NotifyState::Status(&stands));
            }
            // Nobody may be listening, and that is nothing to fail for.
            let _ = sd_notify::notify(&news);
            (last, news) = (stands, Vec::new());
            // Turns come and go without a change of state; once a second is often enough for people.
            if changes.recv_timeout(watchdog.map_or(SECOND, |within| SECOND.min(within / 2)))
                == Err(RecvTimeoutError::Disconnected)
            {
                return;
            }
        }
    });
}

fn main() -> ExitCode {
    run().unwrap_or_else(|error| {
        let _ = writeln!(std::io::stderr(), "gateway: {error}");
        ExitCode::FAILURE
    })
}

fn run() -> Result<ExitCode, Box<dyn Error>> {
    // First of all: from here on a signal is a shutdown.
    let signals = Signals::take()?;
    let args = Args::parse();
    let temporary = tempfile::tempdir()?;
    let home = Home::at(args.home.unwrap_or_else(|| temporary.path().into()));
    let (tick, deadline) = (Duration::from_millis(args.tick_ms), Duration::from_millis(args.deadline_ms));

    let runtime = tokio::runtime::Runtime::new()?;
    let listener = runtime.block_on(listen(args.listen.as_deref()))?;
    let control = args.control.map(|address| runtime.block_on(TcpListener::bind(address))).transpose()?;
    let trace = args.trace.as_deref().map(Trace::append).transpose()?;
    let options = Options { tick, trace: trace.clone(), ..Options::default() };
    let gateway = Arc::new(Reconciler::start(home, options)?);
    gateway.shut_down_on(signals, deadline);

    let (address, marker) = (listener.local_addr()?, gateway.home().marker());
    let controlled = control.as_ref().map_or(Ok(address), TcpListener::local_addr)?;
    let (endpoint, token) = endpoint(&gateway, args.open, controlled)?;
    let endpoint = endpoint.on_restart(deadline, |restart| _ = say(format!("restart, asked for by {}", restart.by)));
    tell_systemd(&gateway);
    say(format!(
        "listening on http://{address}\nhome: {}\n\n\
         a turn:  curl -N http://{address}/turns --json '{{\"session\": \"s1\", \"millis\": 5000}}'\n\
         status:  curl http://{controlled}/api/status    or, in a browser, http://{controlled}/drain\n\
         drain:   touch {1}    cancel:  rm {1}\n     \
         or  curl http://{controlled}/api/gateway/drain{token} --json '{{\"action\": \"drain\"}}'    (\"cancel\")",
        gateway.home().path().display(),
        marker.display()
    ));

    let turns = axum::Router::new().route("/turns", post(start_turn)).with_state(gateway.clone());
    let routers = endpoint.routers();
    let (work, beside) = match control {
        None => (turns.merge(routers.control).merge(routers.page).merge(routers.probes), None),
        Some(listener) => (turns.merge(routers.probes), Some((listener, routers.control.merge(routers.page)))),
    };
    let (open, closed) = mpsc::channel::<()>();
    for (listener, app) in beside.into_iter().chain([(listener, work)]) {
        let (controller, open) = (gateway.controller().clone(), open.clone());
        runtime.spawn(async move {
            // The control routes answer to the very end, and the signals have their own way to the shutdown.
            let _ = http::serve(listener, app, &controller, std::future::pending(), deadline).await;
            drop(open);
        });
    }
    drop(open);

    // Outside of the runtime: no handler that blocks its threads holds up the end.
    let report = gateway.controller().stopped().wait();
    // Turns that finished have their last bytes flushed; turns that were abandoned are not waited for.
    let _ = closed.recv_timeout(SECOND);
    runtime.shutdown_background();
    drop(gateway);
    let _ = trace.map(|trace| trace.flush(SECOND));
    let end = format!("stopped: {} interrupted, {} abandoned", report.interrupted, report.abandoned.in_flight);
    let _ = say(end).recv_timeout(Duration::from_millis(100));
    Ok(ExitCode::from(if report.finished() { 0 } else { 3 }))
}
