//! The body that carries the permit: to its last frame, its error or its drop, whichever comes first.

use super::admitted::Kept;
use super::interruption::{BodyError, Interruption, Leaving};
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
        Inner { #[pin] body: B, kept: Option<Kept>, ends: Option<Box<Ends>> },
        Ended,
        Text { text: Bytes, upload: Option<Upload> },
    }
}

/// What may end a response before its end. Behind a pointer, so that those who want none of it pay nothing.
pub(super) struct Ends {
    pub(super) interruption: Option<Interruption>,
    pub(super) leaving: Option<Leaving>,
}

/// What a body gives when it is polled.
type Frames<D, E> = Option<Result<Frame<D>, E>>;

impl Ends {
    /// What ends a body that has given this, if anything does.
    fn of_body<D, E, F>(
        &mut self,
        polled: &Poll<Frames<D, E>>,
        cx: &mut Context<'_>,
    ) -> Option<Frames<Bytes, BodyError<F>>> {
        if polled.is_pending() && self.leaving.as_mut().is_some_and(|leaving| leaving.poll_end(cx).is_ready()) {
            return Some(None);
        }
        let interruption = self.interruption.as_mut()?;
        let ends = match polled {
            Poll::Ready(Some(Ok(_))) => interruption.is_overdue(),
            Poll::Ready(_) => false,
            Poll::Pending => interruption.poll_end(cx).is_ready(),
        };
        ends.then(|| Some(interruption.trailers().map(Frame::trailers).ok_or(BodyError::Interrupted)))
    }
}

impl<B> DrainBody<B> {
    pub(super) fn carrying(body: B, kept: Option<Kept>, ends: Option<Box<Ends>>) -> Self {
        Self { kind: Kind::Inner { body, kept, ends } }
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
            KindProjection::Inner { body, kept, ends } => {
                let polled = body.poll_frame(cx);
                if let Some(end) = ends.as_mut().and_then(|ends| ends.of_body(&polled, cx)) {
                    kind.set(Kind::Ended);
                    return Poll::Ready(end);
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
