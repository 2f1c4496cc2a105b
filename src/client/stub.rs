//! A server that gives prepared answers, for the tests of what asks an endpoint.

use crate::sync::{Arc, Mutex};
use serde_json::Value;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

/// How a question begins, and the code and the body of the answer to it.
pub(crate) type Answer = (&'static str, u16, Value);

/// What a server was asked so far: heads, each with its body.
pub(crate) type Asked = Arc<Mutex<Vec<String>>>;

/// What a server does with a question.
pub(crate) enum Reply {
    /// It answers with this code and this body.
    Whole(u16, String),
    /// It answers with this code and a body that begins and never ends.
    Endless(u16),
    /// It closes the connection.
    Nothing,
}

/// The address of a server that gives these answers, each on a connection of its own, and to every other question a 404 without a
/// body.
pub(crate) fn server(answers: &[Answer]) -> (String, Asked) {
    let answers = answers.to_vec();
    replying(move |question| {
        let answer = answers.iter().find(|(asks, ..)| question.starts_with(asks));
        let (code, body) = answer.map_or((404, String::new()), |(_, code, body)| {
            (*code, body.as_str().map_or_else(|| body.to_string(), str::to_owned))
        });
        Reply::Whole(code, body)
    })
}

/// The address of a server that does this with each question.
pub(crate) fn replying(mut reply: impl FnMut(&str) -> Reply + Send + 'static) -> (String, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Asked::default();
    let noted = Arc::clone(&asked);
    // Not waited for: it would wait for a question for ever.
    std::thread::spawn(move || {
        let mut endless = Vec::new();
        while let Ok((mut stream, _)) = listener.accept() {
            // A client that has closed its connection is owed nothing.
            let Ok(question) = question(&mut stream) else { continue };
            let reply = reply(&question);
            noted.lock().push(question);
            let said = match &reply {
                Reply::Whole(code, body) => {
                    let length = body.len();
                    format!("HTTP/1.1 {code} Said\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}")
                }
                Reply::Endless(code) => format!("HTTP/1.1 {code} Said\r\ncontent-length: 1000\r\n\r\n{{"),
                Reply::Nothing => continue,
            };
            let _ = stream.write_all(said.as_bytes());
            if matches!(reply, Reply::Endless(_)) {
                endless.push(stream);
            }
        }
    });
    (url, asked)
}

/// One question: its head and its body.
fn question(stream: &mut TcpStream) -> io::Result<String> {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        read.push(byte[0]);
    }
    let head = String::from_utf8(read).unwrap().to_lowercase().replacen("get", "GET", 1).replacen("post", "POST", 1);
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body)?;
    Ok(head + std::str::from_utf8(&body).unwrap())
}
