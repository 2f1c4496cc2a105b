//! The permit of one request, and its form that others may keep.

use crate::gate::{Interrupted, LabelledPermit, OwnedPermit, WaitClosing};
use std::sync::{Arc, Weak};

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
    Shared(Arc<Held>),
}

impl Kept {
    /// Lets go of it; tells whether the work is counted all the same, by what somebody took from its [`Slot`].
    pub(super) fn counts_without(self) -> bool {
        match self {
            Self::Alone(_) => false,
            Self::Shared(held) => {
                let slot = Slot(Arc::downgrade(&held));
                drop(held);
                slot.keep().is_some()
            }
        }
    }
}

/// Where a request's permit is to be had for what outlives its response: an upgraded connection, work in the background.
///
/// It stands in the extensions of a request that asks for an upgrade, and of every request under
/// [`DrainLayer::shared`](super::DrainLayer::shared). It keeps nothing itself: only what [`keep`](Self::keep) gives counts.
///
/// ```
/// use gateway_drain::layer::Slot;
/// # use axum::http::{Request, StatusCode};
///
/// fn upgrade<B>(request: &Request<B>) -> StatusCode {
///     let Some(admitted) = request.extensions().get::<Slot>().and_then(Slot::keep) else {
///         return StatusCode::INTERNAL_SERVER_ERROR; // there is no layer around this, or the response has ended
///     };
///     std::thread::spawn(move || drop(admitted)); // when the connection ends
///     StatusCode::SWITCHING_PROTOCOLS
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Slot(Weak<Held>);

impl Slot {
    pub(super) fn of(held: &Arc<Held>) -> Self {
        Self(Arc::downgrade(held))
    }

    /// The request's permit, to be kept; none once the response has ended and nobody has kept it.
    #[must_use = "only what is kept counts"]
    pub fn keep(&self) -> Option<Admitted> {
        self.0.upgrade().map(Admitted)
    }
}

/// A request's permit, kept by what outlives its response.
///
/// The request is in flight until its response has ended and every clone of this is dropped. It adds nothing to the
/// count. It is taken from a [`Slot`]; for a handler of axum it is an extractor:
///
/// ```
/// use gateway_drain::layer::Admitted;
///
/// async fn handler(admitted: Admitted) -> &'static str {
///     tokio::spawn(async move {
///         tokio::select! {
///             () = index() => {}
///             () = admitted.interrupted() => {} // the shutdown's deadline has passed
///         }
///     });
///     "begun"
/// }
/// # async fn index() {}
/// # let _: axum::routing::MethodRouter = axum::routing::get(handler);
/// ```
#[derive(Clone, Debug)]
#[must_use = "the work counts as finished once the response has ended and every clone is dropped"]
pub struct Admitted(Arc<Held>);

impl Admitted {
    /// Completes when this work is asked to give up, as [`Permit::interrupted`](crate::Permit::interrupted).
    pub fn interrupted(&self) -> Interrupted {
        self.0.permit().interrupted()
    }

    /// Completes when a drain or a shutdown begins, as [`OwnedPermit::draining`]: to tell the other side of an open connection
    /// to come back elsewhere.
    pub fn draining(&self) -> WaitClosing {
        self.0.permit().draining()
    }

    /// Whether this work has been asked to give up.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        self.0.permit().is_interrupted()
    }
}

#[cfg(feature = "axum")]
#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
impl<S: Sync> axum::extract::FromRequestParts<S> for Admitted {
    /// 500: there is no layer around this route, or it is not [shared](super::DrainLayer::shared) and the request asks for
    /// no upgrade.
    type Rejection = (http::StatusCode, &'static str);

    async fn from_request_parts(parts: &mut http::request::Parts, _: &S) -> Result<Self, Self::Rejection> {
        let why = "no permit is to be had here: put a `DrainLayer` around the route, and make it `shared` unless the \
                   request asks for an upgrade";
        let kept = parts.extensions.get::<Slot>().and_then(Slot::keep);
        kept.ok_or((http::StatusCode::INTERNAL_SERVER_ERROR, why))
    }
}
