//! Whose word an answer over HTTP is: the endpoint's own, or somebody's in between.
//!
//! Only a body that the endpoint writes counts. A proxy answers with codes of its own while its backend is away, also with
//! 400, 403, 404 or 429; what isn't the endpoint's word is silence, whatever its code (E2, C6).

use super::Failure;
use crate::hold::Denied;
use serde::Deserialize;
use serde_json::Value;

/// What came back: a code and a body, which is a text where it is no JSON.
pub(super) struct Answer {
    pub(super) code: u16,
    pub(super) body: Value,
}

/// An answer that says no.
#[derive(Debug, PartialEq)]
pub(super) enum NegativeAnswer {
    NotHeld,
    /// The hold's last write is not the one that was named.
    Changed,
    Failed(Failure),
}

impl NegativeAnswer {
    /// Where it is about no hold.
    pub(super) fn into_failure(self) -> Failure {
        match self {
            Self::NotHeld => Denied::NotHeld.into(),
            Self::Changed => Failure::Unreachable("the hold is being written by another hand as well".into()),
            Self::Failed(failure) => failure,
        }
    }

    /// Where it is about one that was there.
    pub(super) fn into_withdrawn(self) -> Failure {
        match self {
            Self::NotHeld => Failure::Withdrawn("there is no such hold, or no more".into()),
            other => other.into_failure(),
        }
    }
}

impl From<Failure> for NegativeAnswer {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// The reference's answers to a token that is missing, and to one without the scope. This endpoint gives the first as well.
const OF_THE_REFERENCE: [(u16, &str, &str); 2] =
    [(401, "unauthenticated", "Unauthorized"), (403, "forbidden", "Forbidden")];

impl Answer {
    /// The endpoint's word for why it did nothing, with what it says of it: from a problem body, or one of the exact known
    /// ones.
    fn word(&self) -> Option<(&str, &str)> {
        let text = |name: &str| self.body.get(name).and_then(Value::as_str);
        let (word, detail) = (text("error")?, text("detail")?);
        let is_problem = self.body.get("status").and_then(Value::as_u64) == Some(u64::from(self.code));
        (is_problem || OF_THE_REFERENCE.contains(&(self.code, word, detail))).then_some((word, detail))
    }

    /// The body of an answer that says yes; of any other, what it says instead.
    pub(super) fn sound(self) -> Result<Value, NegativeAnswer> {
        if matches!(self.code, 200 | 202) {
            return Ok(self.body);
        }
        let Some((word, detail)) = self.word() else {
            return Err(NegativeAnswer::Failed(self.silence()));
        };
        let detail = || detail.to_owned();
        let denied = Denied::deserialize(&Value::from(word)).ok().filter(|denied| *denied != Denied::Unknown);
        Err(NegativeAnswer::Failed(match (word, denied) {
            (_, Some(Denied::NotHeld)) => return Err(NegativeAnswer::NotHeld),
            (_, Some(why)) => why.into(),
            ("changed", _) => return Err(NegativeAnswer::Changed),
            ("unauthenticated", _) => {
                let variable = super::Gateway::SECRET_VARIABLE;
                Failure::Denied(format!("the endpoint takes no token from us (401): {variable} is not set or is wrong"))
            }
            ("forbidden" | "exists", _) => Failure::Denied(detail()),
            ("bad_request" | "unsupported_type" | "too_large" | "headers_too_large" | "method_not_allowed", _) => {
                Failure::Usage(detail())
            }
            // Of another boot: nothing that a gateway was asked, and so no denial of its own.
            ("other_epoch", _) => Failure::Ignored(detail()),
            // Nobody answers it now, or it has no time for us.
            ("unavailable" | "timeout" | "too_many_attempts", _) => Failure::Unreachable(detail()),
            _ => {
                Failure::Unreachable(format!("the answer is {} with a word that isn't known here: {word:?}", self.code))
            }
        }))
    }

    fn silence(&self) -> Failure {
        let code = self.code;
        let more = if code == 404 { "; there may be no drain endpoint at this address" } else { "" };
        Failure::Unreachable(format!("the answer is {code}, and not the endpoint's own word{more}"))
    }
}

/// What an answer that says yes is read as. One that makes no sense is somebody else's, and so silence.
pub(super) fn read<T: serde::de::DeserializeOwned>(body: Value) -> Result<T, Failure> {
    serde_json::from_value(body)
        .map_err(|error| Failure::Unreachable(format!("the answer is not the endpoint's own: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn failure(code: u16, body: Value) -> Failure {
        match (Answer { code, body }).sound() {
            Err(NegativeAnswer::Failed(failure)) => failure,
            Err(other) => other.into_withdrawn(),
            Ok(body) => panic!("{code} was taken for a yes: {body}"),
        }
    }

    fn problem(code: u16, word: &str) -> Value {
        json!({"type": "about:blank", "title": "", "status": code, "detail": "why", "error": word})
    }

    #[test]
    fn no_code_is_more_than_silence_without_the_endpoints_own_word() {
        let foreign = [
            Value::Null,
            json!({}),
            json!({"error": "forbidden"}),
            json!({"error": "not_held", "detail": "Not Found"}),
            json!({"error": "unauthenticated", "detail": "please log in"}),
            json!({"status": 404, "error": "Not Found", "detail": "no route"}),
            json!([1]),
        ];
        for code in 300..=599 {
            for body in &foreign {
                let failure = failure(code, body.clone());
                assert!(matches!(failure, Failure::Unreachable(_)), "{code} {body}: {failure:?}");
            }
        }
    }

    #[test]
    fn a_problem_of_another_code_than_the_answers_is_not_the_endpoints_word() {
        assert!(matches!(failure(502, problem(404, "not_held")), Failure::Unreachable(_)));
        assert!(matches!(failure(404, problem(404, "not_held")), Failure::Withdrawn(_)));
    }

    #[test]
    fn a_hold_that_is_not_there_is_told_apart_from_a_failure() {
        let said = Answer { code: 404, body: problem(404, "not_held") }.sound();
        assert_eq!(said, Err(NegativeAnswer::NotHeld), "a withdrawal of what is gone has succeeded");
    }

    #[test]
    fn only_a_404_makes_one_ask_whether_there_is_an_endpoint_at_all() {
        for code in [403, 404, 500] {
            let said = failure(code, Value::Null).to_string();
            assert_eq!(said.contains("no drain endpoint"), code == 404, "{code}: {said}");
        }
    }

    #[test]
    fn each_word_of_the_endpoint_has_its_meaning() {
        assert!(matches!(failure(403, problem(403, "not_yours")), Failure::Denied(_)));
        assert!(matches!(failure(409, problem(409, "committed")), Failure::Denied(_)));
        assert!(matches!(failure(409, problem(409, "shutting_down")), Failure::ShuttingDown));
        assert!(matches!(failure(410, problem(410, "lease_expired")), Failure::LeaseLost(_)));
        assert!(matches!(failure(412, problem(412, "other_incarnation")), Failure::IncarnationChanged(_)));
        assert!(matches!(failure(412, problem(412, "other_epoch")), Failure::Ignored(_)));
        assert!(matches!(failure(400, problem(400, "bad_request")), Failure::Usage(_)));
        assert!(matches!(failure(429, problem(429, "too_many_attempts")), Failure::Unreachable(_)));
        let exact = json!({"error": "unauthenticated", "detail": "Unauthorized"});
        assert!(matches!(failure(401, exact), Failure::Denied(_)));
    }

    #[cfg(feature = "axum")]
    #[test]
    fn every_word_that_the_endpoint_has_is_known_here() {
        let table = include_str!("../../docs/http.md");
        let words = table.lines().filter_map(|line| {
            let mut cells = line.strip_prefix("| ")?.split(" | ");
            let code: u16 = cells.next()?.trim().parse().ok()?;
            Some((code, cells.next()?.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()))
        });
        let mut known = 0;
        for (code, words) in words.filter(|(code, _)| *code >= 400) {
            for word in words {
                let said = failure(code, problem(code, &word)).to_string();
                assert!(!said.contains("isn't known here"), "{code} {word}");
                known += 1;
            }
        }
        assert!(known >= 15, "the table of docs/http.md was not found");
    }
}
