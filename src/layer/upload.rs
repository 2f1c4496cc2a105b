//! The rest of a refused request's body.
//!
//! Many clients send all of it before they look for an answer, and a server that closes the connection under them makes
//! them lose the answer as well: they see a broken pipe and not that they are to come back. So the rest is taken in and
//! thrown away, up to a bound; the head of the refusal is sent at once all the same.

use bytes::Buf;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use http_body::Body;
use std::sync::{Mutex, PoisonError};

/// No more of a body is taken in: 8 MiB. Beyond it the connection is closed under the client.
const MOST: usize = 8 * 1024 * 1024;

/// A body that nobody wants.
pub(super) struct Upload {
    /// A lock that nobody ever waits for: it makes the body shareable, which a request's needn't be.
    body: Mutex<Pin<Box<dyn Rest>>>,
    left: usize,
}

trait Rest: Send {
    /// How many bytes have come; none if there are no more.
    fn poll_some(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<usize>>;
}

impl<B: Body + Send> Rest for B {
    fn poll_some(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<usize>> {
        let frame = ready!(self.poll_frame(cx)).and_then(Result::ok);
        Poll::Ready(frame.map(|frame| frame.data_ref().map_or(0, Buf::remaining)))
    }
}

impl Upload {
    /// Of a request's body; none if there is nothing more to come.
    pub(super) fn of(body: impl Body + Send + 'static) -> Option<Self> {
        if body.is_end_stream() {
            return None;
        }
        Some(Self { body: Mutex::new(Box::pin(body)), left: MOST })
    }

    /// Ready when the body has ended, or when there is too much of it.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let body = self.body.get_mut().unwrap_or_else(PoisonError::into_inner);
        while let Some(bytes) = ready!(body.as_mut().poll_some(cx)) {
            match self.left.checked_sub(bytes) {
                Some(left) => self.left = left,
                None => break,
            }
        }
        Poll::Ready(())
    }
}
