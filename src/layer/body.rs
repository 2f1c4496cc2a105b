//! The body that carries the permit: to its last frame, its error or its drop, whichever comes first.

use super::admitted::Kept;
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
        Inner { #[pin] body: B, kept: Option<Kept> },
        Text { text: Bytes, upload: Option<Upload> },
    }
}

impl<B> DrainBody<B> {
    pub(super) fn carrying(body: B, kept: Option<Kept>) -> Self {
        Self { kind: Kind::Inner { body, kept } }
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
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().kind.project() {
            KindProjection::Text { text, upload } => {
                if let Some(rest) = upload {
                    ready!(rest.poll_end(cx));
                    *upload = None;
                }
                let text = core::mem::take(text);
                Poll::Ready((!text.is_empty()).then(|| Ok(Frame::data(text))))
            }
            KindProjection::Inner { body, kept } => {
                let frame = ready!(body.poll_frame(cx));
                if !matches!(frame, Some(Ok(_))) {
                    // The end, or an error, after which nothing comes.
                    *kept = None;
                }
                // Bytes stay what they are; other data are copied once.
                let bytes = |mut data: B::Data| data.copy_to_bytes(data.remaining());
                Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Inner { body, .. } => body.is_end_stream(),
            Kind::Text { text, upload } => text.is_empty() && upload.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Inner { body, .. } => body.size_hint(),
            Kind::Text { text, .. } => SizeHint::with_exact(text.len() as u64),
        }
    }
}

impl<B> fmt::Debug for DrainBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DrainBody").finish_non_exhaustive()
    }
}
