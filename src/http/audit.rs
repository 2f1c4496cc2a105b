//! The audit trail: one line of JSON for each decision, and no secret in any.
//!
//! The endpoint makes an [`Entry`] for every action and for every token that it turned away, and hands it to what the
//! application chose. With the feature `tracing` it is an event besides.

use crate::sync::Mutex;
use serde::Serialize;
use std::io::Write;
use std::net::IpAddr;

/// One decision.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Entry {
    /// When (ISO 8601, UTC, of the wall clock).
    pub at: String,
    /// From where, if the server tells.
    pub peer: Option<IpAddr>,
    /// Who, once that is proved.
    pub principal: Option<String>,
    /// What was wanted: an action of the drain endpoint, `read` or `restart`.
    pub action: &'static str,
    /// Which hold.
    pub request_id: Option<String>,
    /// What was answered.
    pub status: u16,
    /// The word for what was wrong, if anything was.
    pub error: Option<&'static str>,
}

impl Entry {
    /// Writes entries to `out`, a line each, as they come. A line that can't be written is lost: give it a writer that
    /// doesn't block and tells of its errors itself, if that matters.
    ///
    /// ```no_run
    /// use gateway_drain::http::audit::Entry;
    /// use std::fs::OpenOptions;
    ///
    /// let file = OpenOptions::new().append(true).create(true).open("/var/log/gateway/drain-audit.jsonl")?;
    /// let audit = Entry::lines(file);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn lines(out: impl Write + Send + 'static) -> impl Fn(&Self) + Send + Sync + 'static {
        let out = Mutex::new(out);
        move |entry| {
            let mut line = serde_json::to_vec(entry).unwrap_or_default();
            line.push(b'\n');
            // One write, so that lines of several processes don't mix.
            let _ = out.lock().write_all(&line);
        }
    }
}

#[cfg(feature = "tracing")]
pub(super) fn event(entry: &Entry) {
    tracing::info!(
        target: "gateway_drain::http",
        principal = entry.principal,
        peer = entry.peer.map(|peer| peer.to_string()),
        action = entry.action,
        request_id = entry.request_id,
        status = entry.status,
        error = entry.error,
        "request decided"
    );
}
