//! The server of the README: `cargo run --example axum --features axum,tower,signals`.

use axum::{Router, routing::post};
use gateway_drain::{Home, Reconciler, http, layer::DrainLayer, reconciler::Options, signals::Signals};
use std::{error::Error, process::ExitCode, time::Duration};

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let signals = Signals::take()?; // SIGTERM and all others that would end the process, from the first moment on
    let gateway = Reconciler::start(Home::resolve(None)?, Options::default())?;
    let deadline = Duration::from_secs(30);
    gateway.shut_down_on(signals, deadline);

    let turns = Router::new().route("/turns", post(async || "done")).layer(DrainLayer::of(gateway.controller()));
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".into());
    let listener = tokio::net::TcpListener::bind(address).await?;
    let report = http::serve(listener, turns, gateway.controller(), std::future::pending(), deadline).await;
    Ok(ExitCode::from(if report.finished() { 0 } else { 3 })) // returning publishes the end and frees the home
}
