//! What a request says before its body, as far as the layer has to know it.

use http::{HeaderMap, Method, Request, Uri, Version};

/// The type of a stream of events.
pub(super) const EVENT_STREAM: &str = "text/event-stream";

/// What a request says before its body.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Head<'a> {
    /// The method.
    pub method: &'a Method,
    /// Where it goes.
    pub uri: &'a Uri,
    /// HTTP/1 or HTTP/2.
    pub version: Version,
    /// The headers.
    pub headers: &'a HeaderMap,
}

impl<'a> Head<'a> {
    pub(super) fn of<B>(request: &'a Request<B>) -> Self {
        Self { method: request.method(), uri: request.uri(), version: request.version(), headers: request.headers() }
    }

    /// Whether it asks to leave HTTP behind on this connection, or on this stream of it.
    pub(super) fn asks_to_upgrade(&self) -> bool {
        self.method == Method::CONNECT || self.headers.contains_key(http::header::UPGRADE)
    }

    /// The kind of gRPC that it speaks, if it does: `application/grpc+proto`, `application/grpc-web`.
    pub(super) fn grpc(&self) -> Option<&'a http::HeaderValue> {
        let kind = self.headers.get(http::header::CONTENT_TYPE);
        kind.filter(|kind| kind.as_bytes().starts_with(b"application/grpc"))
    }

    /// Whether it opens a stream of events, as a browser's `EventSource` and an MCP client do.
    pub(super) fn asks_for_events(&self) -> bool {
        let accepts = |kind: &http::HeaderValue| kind.to_str().is_ok_and(|kind| kind.contains(EVENT_STREAM));
        self.method == Method::GET && self.headers.get_all(http::header::ACCEPT).iter().any(accepts)
    }
}
