//! The permit of one request, and its form that others may keep.

use crate::gate::{Interrupted, LabelledPermit, OwnedPermit};
use std::sync::Arc;

/// A permit, with a name or without.
#[derive(Debug)]
pub(super) enum Held {
    Plain(OwnedPermit),
    Labelled(LabelledPermit),
}

impl Held {
    fn permit(&self) -> &OwnedPermit {
        match self {
            Self::Plain(permit) => permit,
            Self::Labelled(permit) => permit,
        }
    }
}

/// What the layer itself keeps of a request's permit.
#[derive(Debug)]
pub(super) enum Kept {
    Alone(#[expect(dead_code, reason = "it counts by living")] Held),
    Shared(Admitted),
}

impl Kept {
    /// Whether somebody else keeps it too.
    pub(super) fn is_kept_elsewhere(&self) -> bool {
        matches!(self, Self::Shared(Admitted(held)) if Arc::strong_count(held) > 1)
    }
}

/// A request's permit, to be kept by what outlives its response: an upgraded connection, work in the background.
///
/// The request is in flight until its response has ended and every clone of this is dropped. It adds nothing to the
/// count. In a handler for axum it is an extension:
///
/// ```
/// use axum::Extension;
/// use gateway_drain::layer::Admitted;
///
/// async fn handler(Extension(admitted): Extension<Admitted>) -> &'static str {
///     tokio::spawn(async move {
///         tokio::select! {
///             () = index() => {}
///             () = admitted.interrupted() => {} // the shutdown's deadline has passed
///         }
///     });
///     "begun"
/// }
/// # async fn index() {}
/// ```
#[derive(Clone, Debug)]
#[must_use = "the work counts as finished once the response has ended and every clone is dropped"]
pub struct Admitted(pub(super) Arc<Held>);

impl Admitted {
    /// Completes when this work is asked to give up, as [`Permit::interrupted`](crate::Permit::interrupted).
    pub fn interrupted(&self) -> Interrupted<'_> {
        self.0.permit().interrupted()
    }

    /// Whether this work has been asked to give up.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        self.0.permit().is_interrupted()
    }
}
