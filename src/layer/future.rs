//! The future of a response: the inner one's with the permit, or a refusal that is ready at once.

use super::admitted::Kept;
use super::body::DrainBody;
use bytes::Bytes;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use http::{HeaderMap, Response, StatusCode};
use pin_project_lite::pin_project;

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
        Inner { #[pin] future: F, kept: Option<Kept>, connects: bool },
        Refused { status: StatusCode, headers: HeaderMap, text: Bytes },
    }
}

impl<F> ResponseFuture<F> {
    pub(super) fn bypassing(future: F) -> Self {
        Self { state: State::Inner { future, kept: None, connects: false } }
    }

    pub(super) fn admitted(future: F, kept: Kept, connects: bool) -> Self {
        Self { state: State::Inner { future, kept: Some(kept), connects } }
    }

    pub(super) fn refused(status: StatusCode, headers: HeaderMap, text: Bytes) -> Self {
        Self { state: State::Refused { status, headers, text } }
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<DrainBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProjection::Refused { status, headers, text } => {
                let mut response = Response::new(DrainBody::text(core::mem::take(text)));
                *response.status_mut() = *status;
                *response.headers_mut() = core::mem::take(headers);
                Poll::Ready(Ok(response))
            }
            StateProjection::Inner { future, kept, connects } => {
                let Poll::Ready(answered) = future.poll(cx) else { return Poll::Pending };
                // On an error too the work is over.
                let kept = kept.take();
                let response = match answered {
                    Err(error) => return Poll::Ready(Err(error)),
                    Ok(response) => response,
                };
                let upgraded = response.status() == StatusCode::SWITCHING_PROTOCOLS
                    || (*connects && response.status().is_success());
                if upgraded && kept.as_ref().is_some_and(|kept| !kept.is_kept_elsewhere()) {
                    return Poll::Ready(Ok(uncounted()));
                }
                Poll::Ready(Ok(response.map(|body| DrainBody::carrying(body, kept))))
            }
        }
    }
}

/// Nobody would count the upgraded connection, and a drain would be called drained under it.
fn uncounted<R>() -> Response<DrainBody<R>> {
    let text = "the upgraded connection keeps no permit: move `Admitted` from the request's extensions into it\n";
    let mut response = Response::new(DrainBody::text(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
}

impl<F> core::fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
