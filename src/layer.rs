//! A tower layer: each request asks the gate, is counted until its response has ended, or is refused.
//!
//! The gate is asked in `call`, never in `poll_ready`: a connection that waits for its next request holds no permit. The
//! permit rides the response's body to its last byte or its drop, so a response that streams is in flight for as long
//! as it streams. It says nothing of bytes that the server has taken from the body and not sent yet: let the server shut down
//! gracefully once the gateway has stopped. A server's own graceful shutdown waits for every response, one that never ends
//! too. So either serve the application by [`http::serve`](crate::http::serve) (feature `axum`), which closes what is left,
//! or have the layer [end what is interrupted](DrainLayer::end_interrupted).
//!
//! | Part | File |
//! |---|---|
//! | the layer | [`DrainLayer`], here; what it was told, `policy.rs` |
//! | what a request says before its body | `head.rs` |
//! | the service | `service.rs` |
//! | the future of a response | `future.rs` |
//! | the body that carries the permit | `body.rs` |
//! | the permit, and who else may keep it | `admitted.rs` |
//! | the end of a response that has none | `interruption.rs` |
//! | the rest of a refused request's body | `upload.rs` |

mod admitted;
mod body;
mod future;
mod head;
mod interruption;
mod policy;
mod service;
mod upload;

pub use admitted::{Admitted, Slot};
pub use body::DrainBody;
pub use future::ResponseFuture;
pub use head::Head;
pub use interruption::BodyError;
pub use service::DrainService;

use crate::{Controller, Gate};
use core::fmt;
use http::StatusCode;
use policy::Policy;
use std::borrow::Cow;
use std::sync::Arc;
use tower_layer::Layer;

/// The names that [`DrainLayer::label`] gives: what sort of work it is, and which one.
pub type Label = (Cow<'static, str>, Cow<'static, str>);

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
/// **Upgraded connections.** A request that asks for an upgrade (a WebSocket, `CONNECT`) has a [`Slot`] in its extensions.
/// Take the [`Admitted`] from it, and move that into whatever serves the connection: it counts until that ends. An upgrade
/// for which nobody has taken it would go on uncounted, and is answered with 500 instead.
///
/// **Uploads.** The rest of a refused request's body is taken in, up to 8 MiB, so that a client that sends all of it before
/// it looks for an answer gets the refusal. A request that is slow to send its body is in flight meanwhile: put a
/// timeout for bodies under this layer.
#[derive(Clone)]
pub struct DrainLayer {
    policy: Policy,
}

impl DrainLayer {
    /// A layer that asks this gate for every request.
    #[must_use]
    pub fn new(gate: Gate) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let policy = Policy {
            gate,
            controller: None,
            bypass: None,
            label: None,
            status,
            shared: false,
            ends_interrupted: false,
            ends_event_streams: false,
        };
        Self { policy }
    }

    /// A layer for this controller's gate. From when a hold is about to close the gate, the answers of HTTP/1 bear
    /// `Connection: close`, so that clients which keep their connections have gone elsewhere when it closes.
    #[must_use]
    pub fn of(controller: &Controller) -> Self {
        let layer = Self::new(controller.gate().clone());
        Self { policy: Policy { controller: Some(controller.clone()), ..layer.policy } }
    }

    /// Which requests are no work: they take no permit and are never refused.
    #[must_use]
    pub fn bypass(mut self, bypass: impl Fn(&Head<'_>) -> bool + Send + Sync + 'static) -> Self {
        self.policy.bypass = Some(Arc::new(bypass));
        self
    }

    /// What to call the work of a request, for those who wait for it.
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

    /// Puts a [`Slot`] into every request's extensions, not only of those that ask for an upgrade: work that a
    /// handler starts and doesn't wait for then shares the request's permit.
    #[must_use]
    pub fn shared(mut self) -> Self {
        self.policy.shared = true;
        self
    }

    /// Ends streams of events when a drain or a shutdown begins, so that they don't hold it up.
    ///
    /// For what a `GET` has opened with `Accept: text/event-stream`: a browser's `EventSource`, the standing stream of an
    /// MCP session. Such a stream has no end of its own, and its client comes back by itself when it ends. So it ends as
    /// soon as it has nothing more to send, and as a whole. One that is asked for while the gate is closed is answered with
    /// 200 and a stream that says after how long to come back (`retry`) and ends: after a 503 a browser gives up for good.
    /// Where that comes from a load balancer, another server has taken over by then.
    ///
    /// The response to a `POST` is a turn, and is waited for, a stream or not. A WebSocket is told by its handler, which
    /// hears of a drain by [`Admitted::draining`].
    #[must_use]
    pub fn end_event_streams(mut self) -> Self {
        self.policy.ends_event_streams = true;
        self
    }

    /// Ends the responses that are left when a shutdown's deadline has passed, whatever server the layer is under (L4).
    ///
    /// A handler that has not answered by then is dropped, and its request is answered with 503 and the error
    /// `interrupted`. A body that has to be waited for ends with [`BodyError::Interrupted`], upon which the server closes the
    /// connection or resets the stream; one of gRPC ends with the status UNAVAILABLE. What a handler or a body has to say at
    /// once when it is [interrupted](crate::OwnedPermit::interrupted) still goes out. A body that never has to be waited
    /// for ends when the shutdown is forced. The layer can't end what the server doesn't ask it for: an upgraded connection,
    /// and the body of a client that has stopped reading; the first ends with the task that serves it, the second by a bound on
    /// the server's last wait.
    ///
    /// It costs an allocation, and a request that waits an entry in a list. [`http::serve`](crate::http::serve) does without.
    ///
    /// ```
    /// use axum::{Router, routing::post};
    /// use gateway_drain::{Home, Reconciler, layer::DrainLayer, reconciler::Options};
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let home = Home::at(folder.path());
    /// let gateway = Reconciler::start(home, Options::default())?;
    /// let layer = DrainLayer::of(gateway.controller()).end_interrupted();
    /// let app = Router::new().route("/turns", post(async || std::future::pending::<()>().await)).layer(layer);
    ///
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    /// let stopped = gateway.controller().stopped();
    /// # gateway.controller().begin_shutdown(Duration::ZERO)?;
    /// axum::serve(listener, app).with_graceful_shutdown(async { _ = stopped.await }).await?; // it returns
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn end_interrupted(mut self) -> Self {
        self.policy.ends_interrupted = true;
        self
    }
}

impl<S> Layer<S> for DrainLayer {
    type Service = DrainService<S>;

    fn layer(&self, inner: S) -> DrainService<S> {
        DrainService::new(inner, Arc::new(self.policy.clone()))
    }
}

impl fmt::Debug for DrainLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DrainLayer").field("gate", &self.policy.gate).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
