//! The end of a response that would never come to one: of one whose work is asked to give up, and of a stream of events whose
//! client will come back.

use super::Head;
use crate::Gate;
use crate::gate::{Interrupted, WaitClosing};
use crate::state::DrainState;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use http::header::{CONNECTION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode, Version};

const UNAVAILABLE: HeaderValue = HeaderValue::from_static("14");
const WHY: &str = "the gateway shuts down, and the work was interrupted";

/// What interrupts one response.
pub(super) struct Interruption {
    gate: Gate,
    /// Made once the work has to be waited for: most work never has to be.
    told: Option<Interrupted>,
    version: Version,
    grpc: Option<HeaderValue>,
}

impl Interruption {
    pub(super) fn of(gate: &Gate, head: &Head<'_>) -> Self {
        Self { gate: gate.clone(), told: None, version: head.version, grpc: head.grpc().cloned() }
    }

    /// The work has nothing ready: ready once it is to end. So what it says at once when it is interrupted still goes out.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(self.told.get_or_insert_with(|| self.gate.interrupted())).poll(cx)
    }

    /// The work always has something ready: whether the gateway has stopped without it.
    pub(super) fn is_overdue(&self) -> bool {
        self.gate.reading().state == DrainState::Stopped
    }

    /// The head and the body of the answer to a request that had none yet.
    pub(super) fn answer(&self) -> (StatusCode, HeaderMap, String) {
        let mut headers = HeaderMap::new();
        if let Some(kind) = &self.grpc {
            headers.insert(CONTENT_TYPE, kind.clone());
            headers.extend(trailers());
            return (StatusCode::OK, headers, String::new());
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.version <= Version::HTTP_11 {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let status = StatusCode::SERVICE_UNAVAILABLE;
        (status, headers, crate::refusal::body(status, WHY, "interrupted").to_string())
    }

    /// With what a body ends in the middle, if its protocol has a word for that.
    pub(super) fn trailers(&self) -> Option<HeaderMap> {
        self.grpc.is_some().then(trailers)
    }
}

/// What ends a stream of events: that a drain begins.
pub(super) struct Leaving {
    gate: Gate,
    told: Option<WaitClosing>,
}

impl Leaving {
    pub(super) fn of(gate: &Gate) -> Self {
        Self { gate: gate.clone(), told: None }
    }

    /// The stream has nothing ready: ready once it is to end.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(self.told.get_or_insert_with(|| self.gate.closing())).poll(cx).map(drop)
    }
}

/// gRPC's own: UNAVAILABLE. Nobody is told to try again by itself, since the work had begun.
fn trailers() -> HeaderMap {
    let message = HeaderValue::from_static("the gateway shuts down");
    [("grpc-status", UNAVAILABLE), ("grpc-message", message)]
        .into_iter()
        .map(|(name, value)| (http::HeaderName::from_static(name), value))
        .collect()
}

/// Why a body under a [`DrainLayer`](super::DrainLayer) ended before its end.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyError<E> {
    /// The body's own error.
    Inner(E),
    /// A shutdown's deadline has passed, and the layer [ends what is interrupted](super::DrainLayer::end_interrupted).
    /// The server closes the connection (HTTP/1) or resets the stream (HTTP/2), so that the client doesn't take what it
    /// has for the whole.
    Interrupted,
}

impl<E: fmt::Display> fmt::Display for BodyError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inner(error) => error.fmt(f),
            Self::Interrupted => f.write_str(WHY),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for BodyError<E> {}
