//! The future of a response: the inner one's with the permit, or a refusal that is ready at once.

use super::Policy;
use super::admitted::Kept;
use super::body::{DrainBody, Ends};
use super::head::EVENT_STREAM;
use super::upload::Upload;
use bytes::Bytes;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use http::header::{CONNECTION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use pin_project_lite::pin_project;
use std::sync::Arc;

pin_project! {
    /// The future of [`DrainService`](super::DrainService). Dropping it gives the permit back.
    #[must_use = "futures do nothing unless awaited"]
    pub struct ResponseFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F> {
        Bypassing { #[pin] future: F },
        Inner { #[pin] future: F, asked: Asked },
        Refused { status: StatusCode, headers: HeaderMap, text: Bytes, upload: Option<Upload> },
        Answered,
    }
}

/// What an admitted request was, as far as its response depends on it.
pub(super) struct Asked {
    pub(super) kept: Option<Kept>,
    /// It asks for a tunnel, which any success is.
    pub(super) connects: bool,
    /// Where its connection is to be closed by a header.
    pub(super) closes: Option<Arc<Policy>>,
    /// What may end it before its end. A body that is no stream of events doesn't leave.
    pub(super) ends: Option<Box<Ends>>,
}

impl<F> ResponseFuture<F> {
    pub(super) fn bypassing(future: F) -> Self {
        Self { state: State::Bypassing { future } }
    }

    pub(super) fn admitted(future: F, asked: Asked) -> Self {
        Self { state: State::Inner { future, asked } }
    }

    pub(super) fn refused(status: StatusCode, headers: HeaderMap, text: Bytes, upload: Option<Upload>) -> Self {
        Self { state: State::Refused { status, headers, text, upload } }
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<DrainBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        let answered = match state.as_mut().project() {
            StateProjection::Refused { status, headers, text, upload } => {
                Ok(told(*status, core::mem::take(headers), core::mem::take(text), upload.take()))
            }
            StateProjection::Answered => unreachable!("a future that has answered is polled again"),
            StateProjection::Bypassing { future } => {
                ready!(future.poll(cx)).map(|response| response.map(|body| DrainBody::carrying(body, None, None)))
            }
            StateProjection::Inner { future, asked } => {
                let polled = future.poll(cx);
                if polled.is_pending()
                    && let Some(interruption) = asked.ends.as_mut().and_then(|ends| ends.interruption.as_mut())
                    && interruption.poll_end(cx).is_ready()
                {
                    let (status, headers, text) = interruption.answer();
                    // Drops the work, and then its permit.
                    state.set(State::Answered);
                    return Poll::Ready(Ok(told(status, headers, text.into(), None)));
                }
                let answered = ready!(polled);
                // On an error too the work is over.
                let kept = asked.kept.take();
                answered.map(|response| asked.answered(response, kept))
            }
        };
        Poll::Ready(answered)
    }
}

impl Asked {
    fn answered<R>(&mut self, mut response: Response<R>, kept: Option<Kept>) -> Response<DrainBody<R>> {
        let upgraded =
            response.status() == StatusCode::SWITCHING_PROTOCOLS || (self.connects && response.status().is_success());
        if upgraded {
            // From here on it is counted by what was taken from its slot, and by nothing else.
            return if kept.is_some_and(Kept::counts_without) {
                response.map(|body| DrainBody::carrying(body, None, None))
            } else {
                uncounted()
            };
        }
        if self.closes.as_ref().is_some_and(|policy| policy.is_leaving()) {
            // A client that keeps the connection would send the next request to a gate that is closed by then.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let mut ends = self.ends.take();
        if let Some(ends) = &mut ends {
            let kind = response.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
            ends.leaving.take_if(|_| !kind.is_some_and(|kind| kind.starts_with(EVENT_STREAM.as_bytes())));
        }
        response.map(|body| DrainBody::carrying(body, kept, ends))
    }
}

/// An answer of the layer's own.
fn told<R>(status: StatusCode, headers: HeaderMap, text: Bytes, upload: Option<Upload>) -> Response<DrainBody<R>> {
    let mut response = Response::new(DrainBody::text(text, upload));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Nobody would count the upgraded connection, and a drain would be called drained under it.
fn uncounted<R>() -> Response<DrainBody<R>> {
    let detail = "the upgraded connection keeps no permit: take `Admitted` from the `Slot` in the request's extensions, \
                  and keep it for as long as the connection lasts";
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    let kind = HeaderValue::from_static("application/problem+json");
    let headers = [(CONTENT_TYPE, kind)].into_iter().collect();
    told(status, headers, crate::refusal::body(status, detail, "uncounted").to_string().into(), None)
}

impl<F> core::fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
