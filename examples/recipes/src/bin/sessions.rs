//! Connections without an end: what a WebSocket, a stream of events and an MCP session are told when a drain begins.

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::{IntoResponse, Sse, sse::Event};
use axum::{Router, routing::get};
use futures_util::{StreamExt, stream};
use gateway_drain::layer::{Admitted, DrainLayer};
use gateway_drain::{Home, Reconciler, http, reconciler::Options, signals::Signals};
use std::{convert::Infallible, error::Error, time::Duration};

/// An echo until a drain begins; then the client is told to come back, which is for it to do after a while, at another server.
async fn socket(upgrade: WebSocketUpgrade, admitted: Admitted) -> impl IntoResponse {
    upgrade.on_upgrade(async move |mut socket: WebSocket| {
        loop {
            tokio::select! {
                Some(Ok(message @ Message::Text(_))) = socket.recv() => if socket.send(message).await.is_err() { return },
                _ = admitted.draining() => break,
                else => return,
            }
        }
        let close = CloseFrame { code: close_code::RESTART, reason: "the server is about to restart".into() };
        let _ = socket.send(Message::Close(Some(close))).await;
        while let Some(Ok(_)) = socket.recv().await {} // its own close
    })
}

/// A stream of events, or the standing stream of an MCP session: `end_event_streams` ends it, and its client comes back.
async fn events() -> impl IntoResponse {
    let hello = stream::iter([Ok::<_, Infallible>(Event::default().data("hello"))]);
    Sse::new(hello.chain(stream::pending()))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (signals, [home, address]) = (Signals::take()?, gateway_drain_recipes::arguments());
    let gateway = Reconciler::start(Home::at(home), Options::default())?;
    let deadline = Duration::from_secs(30);
    gateway.shut_down_on(signals, deadline);
    let turn = async || {
        tokio::time::sleep(Duration::from_secs(2)).await;
        "done\n"
    };
    let app = Router::new().route("/socket", get(socket)).route("/mcp", get(events).post(turn)).route("/", get(turn));
    let app = app.layer(DrainLayer::of(gateway.controller()).end_event_streams());
    let listener = tokio::net::TcpListener::bind(address).await?;
    let _ = http::serve(listener, app, gateway.controller(), std::future::pending(), deadline).await;
    Ok(())
}
