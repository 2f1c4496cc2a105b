//! A tower layer: each request asks the gate, is counted until its response has ended, or is refused.
//!
//! The gate is asked in `call`, never in `poll_ready`: a connection that waits for its next request holds no permit. The
//! permit rides the response's body to its last byte or its drop, so a response that streams is in flight for as long
//! as it streams. It says nothing of bytes that the server has taken from the body and not sent yet: let the server
//! shut down gracefully before the process ends.
//!
//! | Part | File |
//! |---|---|
//! | what is asked of a request: bypass, label | [`DrainLayer`], here |
//! | the service | `service.rs` |
//! | the future of a response | `future.rs` |
//! | the body that carries the permit | `body.rs` |
//! | the permit, and who else may keep it | `admitted.rs` |

mod admitted;
mod body;
mod future;
mod service;

pub use admitted::Admitted;
pub use body::DrainBody;
pub use future::ResponseFuture;
pub use service::DrainService;

use crate::Gate;
use core::fmt;
use http::{HeaderMap, Method, Request, StatusCode, Uri, Version};
use std::borrow::Cow;
use std::sync::Arc;
use tower_layer::Layer;

/// What a request says before its body.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Head<'a> {
    /// The method.
    pub method: &'a Method,
    /// Where it goes.
    pub uri: &'a Uri,
    /// HTTP/1 or HTTP/2.
    pub version: Version,
    /// The headers.
    pub headers: &'a HeaderMap,
}

impl<'a> Head<'a> {
    fn of<B>(request: &'a Request<B>) -> Self {
        Self { method: request.method(), uri: request.uri(), version: request.version(), headers: request.headers() }
    }

    /// Whether it asks to leave HTTP behind on this connection, or on this stream of it.
    fn asks_to_upgrade(&self) -> bool {
        self.method == Method::CONNECT || self.headers.contains_key(http::header::UPGRADE)
    }

    fn is_grpc(&self) -> bool {
        let kind = self.headers.get(http::header::CONTENT_TYPE).map(http::HeaderValue::as_bytes);
        kind.is_some_and(|kind| kind.starts_with(b"application/grpc"))
    }
}

/// The names that [`DrainLayer::label`] gives: what sort of work it is, and which one.
pub type Label = (Cow<'static, str>, Cow<'static, str>);

type Bypass = dyn Fn(&Head<'_>) -> bool + Send + Sync;
type Labelling = dyn Fn(&Head<'_>) -> Option<Label> + Send + Sync;

#[derive(Clone)]
struct Policy {
    bypass: Option<Arc<Bypass>>,
    label: Option<Arc<Labelling>>,
    status: StatusCode,
    shared: bool,
}

/// The layer. Put it around the routes that are work, and not around the control and health routes.
///
/// ```
/// use axum::{Router, routing::post};
/// use gateway_drain::Controller;
/// use gateway_drain::layer::DrainLayer;
///
/// let controller = Controller::new();
/// let layer = DrainLayer::new(controller.gate().clone())
///     .bypass(|head| head.uri.path() == "/version")
///     .label(|head| Some(("turn".into(), head.uri.path().to_owned().into())));
/// let app: Router = Router::new().route("/turns", post(async || "done")).layer(layer);
/// ```
///
/// **Upgraded connections.** The permit of a request that asks for an upgrade (a WebSocket, `CONNECT`) is an
/// [`Admitted`] in its extensions. Move it into whatever serves the connection: it counts until that ends. An upgrade
/// for which nobody keeps it would go on uncounted, and is answered with 500 instead.
#[derive(Clone)]
pub struct DrainLayer {
    gate: Gate,
    policy: Policy,
}

impl DrainLayer {
    /// A layer that asks this gate for every request.
    #[must_use]
    pub fn new(gate: Gate) -> Self {
        let policy = Policy { bypass: None, label: None, status: StatusCode::SERVICE_UNAVAILABLE, shared: false };
        Self { gate, policy }
    }

    /// Which requests are no work: they take no permit and are never refused.
    #[must_use]
    pub fn bypass(mut self, bypass: impl Fn(&Head<'_>) -> bool + Send + Sync + 'static) -> Self {
        self.policy.bypass = Some(Arc::new(bypass));
        self
    }

    /// What to call the work of a request, for whoever waits for it.
    #[must_use]
    pub fn label(mut self, label: impl Fn(&Head<'_>) -> Option<Label> + Send + Sync + 'static) -> Self {
        self.policy.label = Some(Arc::new(label));
        self
    }

    /// With which status a refusal is answered. Default: 503; some load balancers retry elsewhere on 429 only.
    #[must_use]
    pub fn refuse_with(mut self, status: StatusCode) -> Self {
        self.policy.status = status;
        self
    }

    /// Puts an [`Admitted`] into every request's extensions, not only of those that ask for an upgrade: work that a
    /// handler starts and doesn't wait for then shares the request's permit.
    #[must_use]
    pub fn shared(mut self) -> Self {
        self.policy.shared = true;
        self
    }
}

impl<S> Layer<S> for DrainLayer {
    type Service = DrainService<S>;

    fn layer(&self, inner: S) -> DrainService<S> {
        DrainService::new(inner, self.gate.clone(), self.policy.clone())
    }
}

impl fmt::Debug for DrainLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DrainLayer").field("gate", &self.gate).finish_non_exhaustive()
    }
}
