//! The service: asks the gate as a request comes in, and hands it on or refuses it.

use super::admitted::{Held, Kept, Slot};
use super::body::{DrainBody, Ends};
use super::future::{Asked, ResponseFuture};
use super::head::{EVENT_STREAM, Head};
use super::interruption::{Interruption, Leaving};
use super::policy::Policy;
use super::upload::Upload;
use crate::Refusal;
use bytes::Bytes;
use core::fmt;
use core::task::{Context, Poll};
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, EXPECT};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body;
use std::sync::Arc;
use tower_service::Service;

/// The service of [`DrainLayer`](super::DrainLayer).
#[derive(Clone)]
pub struct DrainService<S> {
    inner: S,
    policy: Arc<Policy>,
}

impl<S> DrainService<S> {
    pub(super) fn new(inner: S, policy: Arc<Policy>) -> Self {
        Self { inner, policy }
    }

    /// A permit for this request, with its name if it has one.
    fn admit(&self, head: &Head<'_>) -> Result<Held, Refusal> {
        let admitted = self.policy.gate.admit();
        #[cfg(feature = "metrics")]
        crate::metrics::admission(admitted.as_ref().err().copied());
        let permit = admitted?.into_owned();
        // Named only once admitted: a refusal costs no more than a look at the gate.
        Ok(match self.policy.label.as_ref().and_then(|label| label(head)) {
            Some((kind, label)) => Held::Labelled(permit.labelled(kind, label)),
            None => Held::Plain(permit),
        })
    }
}

impl<S, B, R> Service<Request<B>> for DrainService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    B: Body + Send + 'static,
    R: Body,
{
    type Response = Response<DrainBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    /// The inner service's readiness, and nothing else: who is ready may wait for its request for hours.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let head = Head::of(&request);
        if self.policy.bypass.as_ref().is_some_and(|bypass| bypass(&head)) {
            return ResponseFuture::bypassing(self.inner.call(request));
        }
        let (upgrades, connects) = (head.asks_to_upgrade(), head.method == Method::CONNECT);
        let may_close = self.policy.controller.is_some() && head.version <= Version::HTTP_11;
        let closes = may_close.then(|| Arc::clone(&self.policy));
        let streams = self.policy.ends_event_streams && head.asks_for_events();
        let ends = (streams || self.policy.ends_interrupted).then(|| {
            Box::new(Ends {
                interruption: self.policy.ends_interrupted.then(|| Interruption::of(&self.policy.gate, &head)),
                leaving: streams.then(|| Leaving::of(&self.policy.gate)),
            })
        });
        let permit = match self.admit(&head) {
            Ok(permit) => permit,
            Err(refusal) => {
                #[cfg(feature = "tracing")]
                crate::events::refused(refusal, head.method.as_str());
                let (status, headers, text) =
                    if streams { later(head.version) } else { refuse(refusal, &head, self.policy.status) };
                // Who waits for leave to send the body (100) is told that there is none.
                let waits = head.headers.contains_key(EXPECT) || upgrades;
                let upload = if waits { None } else { Upload::of(request.into_body()) };
                return ResponseFuture::refused(status, headers, text, upload);
            }
        };
        let kept = if upgrades || self.policy.shared {
            let shared = Arc::new(permit);
            request.extensions_mut().insert(Slot::of(&shared));
            Kept::Shared(shared)
        } else {
            Kept::Alone(permit)
        };
        ResponseFuture::admitted(self.inner.call(request), Asked { kept: Some(kept), connects, closes, ends })
    }
}

pub(super) fn refuse(refusal: Refusal, head: &Head<'_>, status: StatusCode) -> (StatusCode, HeaderMap, Bytes) {
    let Some(kind) = head.grpc() else {
        let (headers, text) = crate::refusal::problem(refusal, status, head.version);
        return (status, headers, text.into());
    };
    // A response that is all trailers: they stand where the headers would, and there is no body.
    let mut headers = HeaderMap::new();
    // As it was asked: a client of gRPC-web knows no other.
    headers.insert(CONTENT_TYPE, kind.clone());
    headers.insert("grpc-status", HeaderValue::from_static("14"));
    if let Ok(message) = HeaderValue::try_from(refusal.to_string()) {
        headers.insert("grpc-message", message);
    }
    headers.insert("grpc-retry-pushback-ms", (crate::refusal::retry_after() * 1000).into());
    (StatusCode::OK, headers, Bytes::new())
}

/// A stream of events that ends at once: the only answer after which a browser comes back by itself.
pub(super) fn later(version: Version) -> (StatusCode, HeaderMap, Bytes) {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(EVENT_STREAM));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if version <= Version::HTTP_11 {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    (StatusCode::OK, headers, format!("retry: {}\n\n", crate::refusal::retry_after() * 1000).into())
}

impl<S: fmt::Debug> fmt::Debug for DrainService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DrainService")
            .field("inner", &self.inner)
            .field("gate", &self.policy.gate)
            .finish_non_exhaustive()
    }
}
