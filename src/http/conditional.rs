//! On which condition a request is done (RFC 9110, section 13): that there is no such hold yet, or that its last write is still
//! the one that its controller knows.

use crate::hold::Nonce;
use crate::wire;
use axum::http::{HeaderMap, HeaderValue, header};

/// What a request's headers demand of the hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Condition {
    /// `If-None-Match: *`: it begins a hold, and takes over none.
    pub(super) only_new: bool,
    /// `If-Match`: what stands there was written last by one of these, each in its quotes. `*` is any.
    only_of: Option<Vec<String>>,
}

impl Condition {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let only_new = headers.get(header::IF_NONE_MATCH).is_some_and(|any| any.as_bytes() == b"*");
        let listed = headers.get_all(header::IF_MATCH).iter().map(HeaderValue::as_bytes);
        let tags = listed.flat_map(|list| list.split(|byte| *byte == b','));
        let tags: Vec<_> = tags.map(|tag| String::from_utf8_lossy(tag.trim_ascii()).into_owned()).collect();
        Self { only_new, only_of: (!tags.is_empty()).then_some(tags) }
    }

    /// Whether it is bound to what was seen there.
    pub(super) fn is_bound(&self) -> bool {
        self.only_new || self.only_of.is_some()
    }

    /// Whether a hold that this write wrote last is one that is meant.
    pub(super) fn is_met(&self, last: Option<&Nonce>) -> bool {
        let Some(tags) = &self.only_of else { return true };
        let last = last.map(wire::tag);
        last.is_some_and(|last| tags.iter().any(|named| *named == "*" || *named == last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(name: &header::HeaderName, values: &[&'static str]) -> Condition {
        let pairs = values.iter().map(|value| (name.clone(), HeaderValue::from_static(value)));
        Condition::of(&pairs.collect())
    }

    #[test]
    fn a_condition_is_met_by_the_write_that_it_names_and_by_no_other() {
        let (ours, other) = (Nonce::from("0123456789abcdef".to_owned()), Nonce::from("fedcba9876543210".to_owned()));
        for (values, is_ours, is_other, is_none) in [
            (&[][..], true, true, true),
            (&["*"], true, true, false),
            (&["\"0123456789abcdef\""], true, false, false),
            (&["\"x\" ,  \"0123456789abcdef\""], true, false, false),
            (&["\"x\"", "\"0123456789abcdef\""], true, false, false),
            (&["W/\"0123456789abcdef\""], false, false, false),
            (&["0123456789abcdef"], false, false, false),
            (&[""], false, false, false),
        ] {
            let condition = condition(&header::IF_MATCH, values);
            let met = (condition.is_met(Some(&ours)), condition.is_met(Some(&other)), condition.is_met(None));
            assert_eq!(met, (is_ours, is_other, is_none), "{values:?}");
        }
        assert!(condition(&header::IF_NONE_MATCH, &["*"]).only_new);
        assert!(!condition(&header::IF_NONE_MATCH, &["\"x\""]).only_new);
    }

    #[test]
    fn only_a_request_with_a_condition_is_bound_to_what_was_seen() {
        for (name, values, is_bound) in [
            (&header::IF_NONE_MATCH, &["*"][..], true),
            (&header::IF_MATCH, &["*"], true),
            (&header::IF_MATCH, &["\"x\""], true),
            (&header::IF_NONE_MATCH, &["\"x\""], false),
            (&header::IF_MATCH, &[], false),
        ] {
            assert_eq!(condition(name, values).is_bound(), is_bound, "{name}: {values:?}");
        }
    }

    #[test]
    fn every_nonce_has_a_tag_that_a_condition_names_and_that_is_no_other_nonces() {
        let nonces =
            ["0123456789abcdef.01", "with \"quotes\" in it", "a,b", "a%2Cb", "a, \"a", "ä", "\u{1}", "*", "W/x"];
        let nonces = nonces.map(|nonce| Nonce::from(nonce.to_owned()));
        for nonce in &nonces {
            let tag = HeaderValue::try_from(wire::tag(nonce)).unwrap();
            let headers = [(header::IF_MATCH, tag)].into_iter().collect();
            let condition = Condition::of(&headers);
            for other in &nonces {
                assert_eq!(condition.is_met(Some(other)), nonce == other, "{nonce} {other}");
            }
        }
    }
}
