//! How a refusal looks over HTTP, in the answers of the axum routes or the tower layer.
//!
//! It names neither the owner of a hold nor a reason, and comes before any side effect: what is refused hasn't begun.

use crate::Refusal;
pub(crate) use crate::gate::retry_after;
use http::{HeaderMap, HeaderValue, StatusCode, Version, header};

/// The headers and the body (`application/problem+json`) of a refusal.
pub(crate) fn problem(refusal: Refusal, status: StatusCode, version: Version) -> (HeaderMap, String) {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(header::RETRY_AFTER, retry_after().into());
    if version <= Version::HTTP_11 {
        // A load balancer that keeps the connection would send the next request here too. HTTP/2 has no such header.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    (headers, body(status, &refusal.to_string(), refusal.word()).to_string())
}

/// What went wrong, as the body of an answer.
pub(crate) fn body(status: StatusCode, detail: &str, error: &str) -> serde_json::Value {
    crate::gate::problem(status.as_u16(), status.canonical_reason(), detail, error)
}
