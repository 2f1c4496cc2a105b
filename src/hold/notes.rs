//! What a hold's owner says of it for people.

use serde::{Deserialize, Serialize};

/// What the owner of a hold says of it for people. A gateway keeps it, shows it, and decides nothing by it.
///
/// One that is read without a field has that field empty, as those of earlier versions and of other gateways are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
#[cfg_attr(feature = "axum", derive(utoipa::ToSchema))]
pub struct Notes {
    /// Why; where something in the channel couldn't be read, what was found.
    pub reason: String,
    /// The change that it belongs to, for operators who file changes.
    pub ticket: String,
}

impl Notes {
    /// With nothing but a reason.
    #[must_use]
    pub fn reason(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), ..Self::default() }
    }

    /// With this ticket.
    #[must_use]
    pub fn ticket(self, ticket: impl Into<String>) -> Self {
        Self { ticket: ticket.into(), ..self }
    }

    /// Each with its name, in the order in which they are shown. The reason comes last, since it may be long.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [("ticket", &*self.ticket), ("reason", &*self.reason)].into_iter()
    }

    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.each().all(|(_, text)| text.is_empty())
    }
}
