//! Connections without an end hold up no drain: each is told in the word of its own protocol.

mod common;

use common::{LIMIT, Recipe, free_address};
use futures_util::{SinkExt, StreamExt};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

fn ask(address: &str, request: &str) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    BufReader::new(stream)
}

const EVENTS: &str = "GET /mcp HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n";

#[tokio::test]
async fn a_websocket_is_closed_with_1012_and_a_stream_of_events_ends_as_a_whole() {
    let address = free_address();
    let mut recipe = Recipe::start(env!("CARGO_BIN_EXE_sessions"), &[&address]);
    let (mut socket, _) = tokio_tungstenite::connect_async(format!("ws://{address}/socket")).await.unwrap();
    socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap().into_text().unwrap().as_str(), "hello");
    let mut events = ask(&address, EVENTS);
    let mut line = String::new();
    while !line.contains("data: hello") {
        line.clear();
        assert!(events.read_line(&mut line).unwrap() > 0);
    }
    recipe.until("\"in_flight\": 2");

    recipe.drain();
    let Message::Close(Some(close)) = socket.next().await.unwrap().unwrap() else { panic!("it was told nothing") };
    assert_eq!(u16::from(close.code), 1012);
    // Its answer goes out with the next poll, and the other side is gone then.
    assert!(socket.next().await.is_none_or(|end| end.is_err()));
    let mut rest = String::new();
    events.read_to_string(&mut rest).unwrap();
    assert!(rest.ends_with("0\r\n\r\n"), "the stream was cut off: {rest:?}");
    recipe.until("\"drained\": true");

    let mut later = String::new();
    ask(&address, EVENTS).read_to_string(&mut later).unwrap();
    assert!(later.starts_with("HTTP/1.1 200") && later.contains("retry: "), "after this a browser comes back: {later}");
    let mut turn = String::new();
    ask(&address, "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n")
        .read_to_string(&mut turn)
        .unwrap();
    assert!(turn.starts_with("HTTP/1.1 503"), "a message of the session is a turn: {turn}");
    recipe.reopen();
    let (mut again, _) = tokio_tungstenite::connect_async(format!("ws://{address}/socket")).await.unwrap();
    recipe.terminate();
    assert!(matches!(again.next().await.unwrap().unwrap(), Message::Close(_)));
    assert!(again.next().await.is_none_or(|end| end.is_err()));
    recipe.ends();
}
