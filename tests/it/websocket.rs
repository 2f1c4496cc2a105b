//! A WebSocket through the tower layer, by a WebSocket library on either side.

#![cfg(feature = "tower")]

use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::routing::get;
use futures_util::{SinkExt, StreamExt};
use gateway_drain::layer::{Admitted, DrainLayer};
use gateway_drain::{Controller, Request, RequestId};
use std::net::SocketAddr;
use std::time::Duration;
use tokio_tungstenite::tungstenite;

const LIMIT: Duration = Duration::from_secs(60);

async fn echo(mut socket: WebSocket, _admitted: Admitted) {
    while let Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) = socket.recv().await {
        if socket.send(message).await.is_err() {
            return;
        }
    }
}

async fn serve(controller: &Controller) -> SocketAddr {
    let upgrade = |socket: WebSocketUpgrade, admitted: Admitted| async move {
        socket.on_upgrade(|socket| echo(socket, admitted))
    };
    let layer = DrainLayer::new(controller.gate().clone());
    let app = Router::new().route("/chat", get(upgrade)).layer(layer);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

#[tokio::test]
async fn a_chat_goes_on_while_the_gateway_drains_and_is_in_flight_until_it_closes() {
    let controller = Controller::new();
    let url = format!("ws://{}/chat", serve(&controller).await);
    let (mut chat, _) = tokio_tungstenite::connect_async(&url).await.unwrap();

    controller.request(&Request::begin(RequestId::new("upgrade").unwrap(), "ops")).unwrap();
    for text in ["one", "two", "three"] {
        chat.send(tungstenite::Message::text(text)).await.unwrap();
        assert_eq!(chat.next().await.unwrap().unwrap().into_text().unwrap(), text, "the chat was cut off");
        let reading = controller.gate().reading();
        assert!(reading.in_flight == 1 && !reading.drained, "drained under an open chat: {reading:?}");
    }
    let refused = tokio_tungstenite::connect_async(&url).await.unwrap_err();
    let tungstenite::Error::Http(answer) = refused else { panic!("a new chat was answered with {refused}") };
    assert_eq!(answer.status(), 503, "a new chat was let in");

    chat.close(None).await.unwrap();
    let generation = controller.gate().reading().generation;
    let drained = tokio::time::timeout(LIMIT, controller.gate().drained(generation)).await;
    drained.expect("the chat has closed").expect("no other drain began");
}
