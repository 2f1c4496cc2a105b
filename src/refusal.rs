//! How a refusal looks over HTTP, whoever answers with it: the axum routes or the tower layer.
//!
//! It names neither the owner of a hold nor a reason, and comes before any side effect: what is refused hasn't begun.

use crate::Refusal;
use http::{HeaderMap, HeaderValue, StatusCode, Version, header};
use std::hash::{BuildHasher, RandomState};

/// After how long to come back, in seconds: spread out, so that those refused together don't come back together.
pub(crate) fn retry_after() -> u64 {
    3 + RandomState::new().hash_one(()) % 5
}

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

/// What went wrong, for people and for programs: the body of every answer that says no (RFC 9457, and `error`).
pub(crate) fn body(status: StatusCode, detail: &str, error: &str) -> serde_json::Value {
    serde_json::json!({
        "type": "about:blank",
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "detail": detail,
        "error": error,
    })
}
