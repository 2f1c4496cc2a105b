//! What goes wrong, and how it is answered: one table of faults with their code and their word.
//!
//! The routes answer with nothing else when they refuse, and the description at `/api/openapi.json` and `docs/http.md` are
//! checked against it.

use crate::hold::Denied;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// How a client proves itself here.
pub(super) const CHALLENGE: &str = "Bearer realm=\"gateway-drain\"";

/// Why a request wasn't done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    BadRequest,
    Unauthenticated,
    Forbidden,
    MethodNotAllowed,
    Timeout,
    TooLarge,
    UnsupportedType,
    TooManyAttempts,
    HeadersTooLarge,
    Unavailable,
    OtherEpoch,
    /// `If-None-Match: *`, and there is such a hold.
    Exists,
    /// `If-Match`, and the hold's last write is another.
    Changed,
    Denied(Denied),
}

impl Fault {
    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::Denied(Denied::NotYours) => StatusCode::FORBIDDEN,
            Self::Denied(Denied::NotHeld) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            Self::Denied(
                Denied::Committed | Denied::NotDrained | Denied::NotClosedYet | Denied::ShuttingDown | Denied::Unknown,
            ) => StatusCode::CONFLICT,
            Self::Denied(Denied::LeaseExpired) => StatusCode::GONE,
            Self::Exists
            | Self::Changed
            | Self::OtherEpoch
            | Self::Denied(Denied::OtherIncarnation | Denied::OtherGeneration) => StatusCode::PRECONDITION_FAILED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooManyAttempts => StatusCode::TOO_MANY_REQUESTS,
            Self::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The word for programs (`error`).
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Timeout => "timeout",
            Self::TooLarge => "too_large",
            Self::UnsupportedType => "unsupported_type",
            Self::TooManyAttempts => "too_many_attempts",
            Self::HeadersTooLarge => "headers_too_large",
            Self::Unavailable => "unavailable",
            Self::OtherEpoch => "other_epoch",
            Self::Exists => "exists",
            Self::Changed => "changed",
            Self::Denied(Denied::NotYours) => "not_yours",
            Self::Denied(Denied::NotHeld) => "not_held",
            Self::Denied(Denied::LeaseExpired) => "lease_expired",
            Self::Denied(Denied::Committed) => "committed",
            Self::Denied(Denied::NotDrained) => "not_drained",
            Self::Denied(Denied::NotClosedYet) => "not_closed_yet",
            Self::Denied(Denied::OtherIncarnation) => "other_incarnation",
            Self::Denied(Denied::OtherGeneration) => "other_generation",
            Self::Denied(Denied::ShuttingDown) => "shutting_down",
            Self::Denied(Denied::Unknown) => "unknown",
        }
    }

    #[cfg(test)]
    pub(super) const ALL: [Self; 22] = [
        Self::Exists,
        Self::Changed,
        Self::BadRequest,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::MethodNotAllowed,
        Self::Timeout,
        Self::TooLarge,
        Self::UnsupportedType,
        Self::TooManyAttempts,
        Self::HeadersTooLarge,
        Self::Unavailable,
        Self::OtherEpoch,
        Self::Denied(Denied::NotYours),
        Self::Denied(Denied::NotHeld),
        Self::Denied(Denied::LeaseExpired),
        Self::Denied(Denied::Committed),
        Self::Denied(Denied::NotDrained),
        Self::Denied(Denied::NotClosedYet),
        Self::Denied(Denied::OtherIncarnation),
        Self::Denied(Denied::OtherGeneration),
        Self::Denied(Denied::ShuttingDown),
    ];
}

/// A fault with what is to be said of it.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) fault: Fault,
    detail: String,
    header: Option<(header::HeaderName, HeaderValue)>,
    /// Whether the channel was written to before it went wrong; told where it may have been.
    written: Option<bool>,
}

impl Problem {
    pub(super) fn new(fault: Fault, detail: impl Into<String>) -> Self {
        Self { fault, detail: detail.into(), header: None, written: None }
    }

    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(Fault::BadRequest, detail)
    }

    /// No token, or a wrong one, for which there is a word (RFC 6750). An endpoint without a verifier answers as to a wrong one.
    pub(super) fn unauthenticated(word: Option<&'static str>) -> Self {
        let challenge = word.map_or_else(|| CHALLENGE.to_owned(), |word| format!("{CHALLENGE}, error=\"{word}\""));
        let problem = Self::new(Fault::Unauthenticated, "Unauthorized");
        match HeaderValue::try_from(challenge) {
            Ok(challenge) => problem.with(header::WWW_AUTHENTICATE, challenge),
            Err(_) => problem,
        }
    }

    /// The channel can't be used, or nobody answers in it.
    pub(super) fn unavailable(detail: impl Into<String>, written: Option<bool>) -> Self {
        let problem = Self { written, ..Self::new(Fault::Unavailable, detail) };
        problem.with(header::RETRY_AFTER, crate::refusal::retry_after())
    }

    pub(super) fn with(self, name: header::HeaderName, value: impl Into<HeaderValue>) -> Self {
        Self { header: Some((name, value.into())), ..self }
    }
}

impl From<Denied> for Problem {
    fn from(why: Denied) -> Self {
        Self::new(Fault::Denied(why), why.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.fault.status();
        let (kind, body) = if self.fault == Fault::Unauthenticated {
            // The reference's, byte for byte.
            ("application/json", r#"{"error":"unauthenticated","detail":"Unauthorized"}"#.to_owned())
        } else {
            let mut body = crate::refusal::body(status, &self.detail, self.fault.word());
            if let Some(written) = self.written {
                body["written"] = written.into();
            }
            ("application/problem+json", body.to_string())
        };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        // A 404 and a 410 may be kept by a cache otherwise.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some((name, value)) = self.header {
            headers.insert(name, value);
        }
        response
    }
}

/// The body of every error but one, for the description.
#[derive(utoipa::ToSchema)]
#[schema(as = Problem)]
#[expect(dead_code, reason = "it describes what `refusal::body` writes")]
pub(super) struct ProblemBody {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    /// For people.
    detail: String,
    /// For programs.
    error: &'static str,
    /// In a 503: whether the channel was written to.
    written: Option<bool>,
}

/// The body of a 401: the reference's.
#[derive(utoipa::ToSchema)]
#[schema(as = Unauthenticated)]
#[expect(dead_code, reason = "it describes a constant text")]
pub(super) struct UnauthenticatedBody {
    error: &'static str,
    detail: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_has_the_word_by_which_the_client_reads_it() {
        for why in Denied::ALL {
            assert_eq!(serde_json::json!(why), Fault::Denied(why).word());
        }
    }

    #[test]
    fn every_fault_stands_in_the_description_of_the_wire_with_its_code() {
        let table = include_str!("../../docs/http.md");
        for fault in Fault::ALL {
            let (code, word) = (fault.status().as_u16().to_string(), format!("`{}`", fault.word()));
            let told = table.lines().any(|line| line.starts_with(&format!("| {code} ")) && line.contains(&word));
            assert!(told, "docs/http.md has no row of {code} with {word}");
        }
    }
}
