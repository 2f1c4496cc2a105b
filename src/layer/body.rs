//! The body that carries the permit: to its last frame, its error or its drop, whichever comes first.

use super::admitted::Kept;
use super::interruption::{BodyError, Interruption};
use super::upload::Upload;
use bytes::{Buf, Bytes};
use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

pin_project! {
    /// A response's body under a [`DrainLayer`](super::DrainLayer). Its data are [`Bytes`], whatever those of `B` are.
    pub struct DrainBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProjection]
    enum Kind<B> {
        Inner { #[pin] body: B, kept: Option<Kept>, interruption: Option<Interruption> },
        Ended,
        Text { text: Bytes, upload: Option<Upload> },
    }
}

impl<B> DrainBody<B> {
    pub(super) fn carrying(body: B, kept: Option<Kept>, interruption: Option<Interruption>) -> Self {
        Self { kind: Kind::Inner { body, kept, interruption } }
    }

    /// A text that is sent when the rest of an upload has been taken in.
    pub(super) fn text(text: impl Into<Bytes>, upload: Option<Upload>) -> Self {
        Self { kind: Kind::Text { text: text.into(), upload } }
    }
}

/// Empty, for layers that answer by themselves (a timeout, CORS).
impl<B> Default for DrainBody<B> {
    fn default() -> Self {
        Self::text(Bytes::new(), None)
    }
}

impl<B: Body> Body for DrainBody<B> {
    type Data = Bytes;
    type Error = BodyError<B::Error>;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let mut kind = self.project().kind;
        match kind.as_mut().project() {
            KindProjection::Ended => Poll::Ready(None),
            KindProjection::Text { text, upload } => {
                if let Some(rest) = upload {
                    ready!(rest.poll_end(cx));
                    *upload = None;
                }
                let text = core::mem::take(text);
                Poll::Ready((!text.is_empty()).then(|| Ok(Frame::data(text))))
            }
            KindProjection::Inner { body, kept, interruption } => {
                let polled = body.poll_frame(cx);
                if let Some(interruption) = interruption {
                    let ends = match &polled {
                        Poll::Ready(Some(Ok(_))) => interruption.is_overdue(),
                        Poll::Ready(_) => false,
                        Poll::Pending => interruption.poll_end(cx).is_ready(),
                    };
                    if ends {
                        let trailers = interruption.trailers();
                        kind.set(Kind::Ended);
                        let end = trailers.map(Frame::trailers).ok_or(BodyError::Interrupted);
                        return Poll::Ready(Some(end));
                    }
                }
                let frame = ready!(polled);
                if !matches!(frame, Some(Ok(_))) {
                    // The end, or an error, after which nothing comes.
                    *kept = None;
                }
                // Bytes stay what they are; other data are copied once.
                let bytes = |mut data: B::Data| data.copy_to_bytes(data.remaining());
                let frame = frame.map(|frame| frame.map_err(BodyError::Inner));
                Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Inner { body, .. } => body.is_end_stream(),
            Kind::Text { text, upload } => text.is_empty() && upload.is_none(),
            Kind::Ended => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Inner { body, .. } => body.size_hint(),
            Kind::Text { text, .. } => SizeHint::with_exact(text.len() as u64),
            Kind::Ended => SizeHint::with_exact(0),
        }
    }
}

impl<B> fmt::Debug for DrainBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DrainBody").finish_non_exhaustive()
    }
}
