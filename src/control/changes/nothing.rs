//! A system of which nothing is asked: the tick is all there is.

use super::{ChangeCallback, OpenHome, Topic};
use std::io;

pub(super) struct Following;

impl Following {
    pub(super) fn start(_: Topic, _: ChangeCallback) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn has_ended(&self) -> bool {
        true
    }

    pub(super) fn follow(&self, _: &OpenHome) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
