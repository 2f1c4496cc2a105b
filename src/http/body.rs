//! What the body of `POST /api/gateway/drain` asks for. Pure: bytes in, a request or a clear refusal out, by the table of
//! [`fields`].

use super::conditional::Condition;
use super::problem::{Fault, Problem};
use crate::hold::fields::{self, Says, Verb};
use crate::hold::{Action, Nonce, Request, RequestId};

/// A body that makes sense.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Asked {
    pub(super) verb: Verb,
    /// What it says; nobody's so far.
    said: Request,
    /// Which fields it names.
    says: Says,
    /// On which condition.
    pub(super) condition: Condition,
}

impl Asked {
    pub(super) fn parse(body: &[u8]) -> Result<Self, Problem> {
        let (verb, draft, says) = fields::in_body(body).map_err(Problem::bad_request)?;
        let said = draft.request;
        if verb == Verb::Commit && said.id.is_marker() {
            return Err(Problem::bad_request("the marker can't be committed: drain with a `request_id`"));
        }
        if verb == Verb::Commit && (said.incarnation.is_none() || said.generation.is_none()) {
            let what = "a commit needs the `incarnation` and the `generation` that were seen drained";
            return Err(Problem::bad_request(what));
        }
        Ok(Self { verb, said, says, condition: Condition::default() })
    }

    /// Which hold; the marker's if the body names none.
    pub(super) fn id(&self) -> &RequestId {
        &self.said.id
    }

    /// What else it says.
    pub(super) fn said(&self) -> &Request {
        &self.said
    }

    /// The same write, of a hold that `stands`: a renewal and a commit keep what they don't name.
    pub(super) fn keeping(&self, request: Request, stands: &Request) -> Request {
        match self.verb {
            Verb::Renew | Verb::Commit => fields::keeping(request, &self.says, stands),
            Verb::Drain | Verb::Cancel | Verb::Override => request,
        }
    }

    /// The write that it amounts to, on behalf of `owner`; `None` where there is nothing to write: the marker is removed.
    pub(super) fn request(&self, owner: &str) -> Result<Option<Request>, Problem> {
        let action = match self.verb {
            Verb::Cancel | Verb::Override if self.id().is_marker() => return Ok(None),
            Verb::Cancel => Action::Withdraw,
            Verb::Override => Action::Override,
            Verb::Commit => Action::Commit,
            Verb::Drain | Verb::Renew => Action::Begin,
        };
        let nonce = self.said.nonce.clone().unwrap_or_else(Nonce::fresh);
        let (owner, nonce) = (owner.to_owned(), Some(nonce));
        let request = Request { action, owner, nonce, ..self.said.clone() };
        // Of the body every field has been checked: what is left is what the endpoint itself adds.
        fields::check(&request)
            .map_err(|why| Problem::new(Fault::Forbidden, format!("the token's principal can't own a hold: {why}")))?;
        Ok(Some(request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn parsed(body: &Value) -> Result<Asked, Problem> {
        Asked::parse(body.to_string().as_bytes())
    }

    #[test]
    fn a_commit_names_a_hold_and_both_the_process_and_the_drain_that_were_seen() {
        for (id, incarnation, generation, is_whole) in [
            (json!("upgrade"), json!("here"), json!(1), true),
            (json!("upgrade"), json!("here"), json!(null), false),
            (json!("upgrade"), json!(null), json!(1), false),
            (json!("upgrade"), json!(null), json!(null), false),
        ] {
            let body =
                json!({"action": "commit", "request_id": id, "incarnation": incarnation, "generation": generation});
            assert_eq!(parsed(&body).is_ok(), is_whole, "{body}");
        }
        let marker = json!({"action": "commit", "incarnation": "here", "generation": 1});
        assert!(parsed(&marker).is_err(), "the marker can't be committed");
        assert!(parsed(&json!({"action": "renew", "request_id": "upgrade"})).is_ok(), "others need neither");
    }

    #[test]
    fn of_the_marker_a_cancel_and_an_override_write_nothing_and_all_else_is_a_write_in_a_file() {
        let named = |verb: Verb| match verb {
            Verb::Drain | Verb::Renew => Action::Begin,
            Verb::Cancel => Action::Withdraw,
            Verb::Commit => Action::Commit,
            Verb::Override => Action::Override,
        };
        for verb in Verb::ALL {
            let hold = json!({"action": verb.word(), "request_id": "upgrade", "incarnation": "here", "generation": 1});
            let written = parsed(&hold).unwrap().request("alice").map_err(|problem| problem.fault).unwrap();
            let written = written.map(|request| (request.action, request.owner, request.source));
            assert_eq!(written, Some((named(verb), "alice".to_owned(), crate::hold::Source::File)), "{verb:?}");
            let marker = json!({"action": verb.word()});
            let Ok(marker) = parsed(&marker) else { continue };
            let written = marker.request("alice").map_err(|problem| problem.fault).unwrap();
            let is_removed = matches!(verb, Verb::Cancel | Verb::Override);
            assert_eq!(written.is_none(), is_removed, "the marker: {verb:?}");
        }
    }
}
