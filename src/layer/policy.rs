//! What a [`DrainLayer`](super::DrainLayer) was told to do.

use super::Label;
use super::head::Head;
use crate::state::DrainState;
use crate::{Controller, Gate};
use http::StatusCode;
use std::sync::Arc;

pub(super) type Bypass = dyn Fn(&Head<'_>) -> bool + Send + Sync;
pub(super) type Labelling = dyn Fn(&Head<'_>) -> Option<Label> + Send + Sync;

#[derive(Clone)]
pub(super) struct Policy {
    pub(super) gate: Gate,
    pub(super) controller: Option<Controller>,
    pub(super) bypass: Option<Arc<Bypass>>,
    pub(super) label: Option<Arc<Labelling>>,
    pub(super) status: StatusCode,
    pub(super) shared: bool,
    pub(super) ends_interrupted: bool,
    pub(super) ends_event_streams: bool,
}

impl Policy {
    /// Whether the next request on a connection had better go elsewhere.
    pub(super) fn is_leaving(&self) -> bool {
        // In this order: what is about to close may close in between, and an answer in between must not say that it stays.
        self.controller.as_ref().is_some_and(Controller::is_about_to_close)
            || self.gate.reading().state != DrainState::Running
    }
}
