//! The header `Prefer` (RFC 7240), as far as it is heard here: `wait=N`.
//!
//! What can't be understood is passed over, as the standard wants it: a preference is never a reason to refuse.

use axum::http::HeaderMap;

/// The seconds of the first preference `wait` whose value is a number.
pub(super) fn wait(headers: &HeaderMap) -> Option<u64> {
    let values = headers.get_all("prefer").iter().flat_map(|value| split(value.as_bytes(), b','));
    let mut preferences = values.filter_map(|element| {
        // Parameters come behind a semicolon, and `wait` has none.
        let (name, value) = named(split(element, b';').next()?)?;
        name.eq_ignore_ascii_case(b"wait").then_some(value)
    });
    preferences.find_map(|value| str::from_utf8(value).ok()?.parse().ok())
}

/// The parts between a separator, which doesn't count inside of a quoted string.
fn split(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |byte| {
        let separates = *byte == separator && !quoted;
        match *byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => {}
        }
        separates
    })
}

/// A name and its value, with white space around the sign and quotation marks around the value left out.
fn named(preference: &[u8]) -> Option<(&[u8], &[u8])> {
    let sign = preference.iter().position(|byte| *byte == b'=')?;
    let (name, value) = (preference[..sign].trim_ascii(), preference[sign + 1..].trim_ascii());
    let quoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    Some((name, quoted.unwrap_or(value)))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    #[test]
    fn a_separator_inside_of_a_quoted_string_separates_nothing() {
        for (text, parts) in [
            ("a,b", vec!["a", "b"]),
            (r#"a="b,c",d"#, vec![r#"a="b,c""#, "d"]),
            (r#"a="b\\",c"#, vec![r#"a="b\\""#, "c"]),
            (r#"a="b\",c",d"#, vec![r#"a="b\",c""#, "d"]),
            (r#""a",b,"c",d"#, vec![r#""a""#, "b", r#""c""#, "d"]),
            (r"a\,b", vec![r"a\", "b"]),
            (r#"a\",b"#, vec![r#"a\",b"#]),
            ("", vec![""]),
        ] {
            let split: Vec<_> = super::split(text.as_bytes(), b',').map(|part| str::from_utf8(part).unwrap()).collect();
            assert_eq!(split, parts, "{text}");
        }
    }

    #[test]
    fn a_wait_is_heard_in_every_form_that_the_standard_has_and_what_makes_no_sense_is_passed_over() {
        let wait = |values: &[&'static str]| {
            let values = values.iter().map(|value| ("prefer".parse().unwrap(), HeaderValue::from_static(value)));
            super::wait(&values.collect())
        };
        for form in [
            "wait=2",
            "Wait=2",
            "WAIT = 2",
            "wait=\"2\"",
            "wait=2;x=y",
            "wait=2 ; x",
            "respond-async, wait=2",
            "respond-async,wait=2,handling=lenient",
            "x=\"a, wait=9\", wait=2",
            "x=\"\\\", wait=9\", wait=2",
            "wait=abc, wait=2",
            ",, wait=2 ,",
            "wait=2, wait=3",
        ] {
            assert_eq!(wait(&[form]), Some(2), "{form}");
        }
        assert_eq!(wait(&["respond-async", "wait=2"]), Some(2));
        for nonsense in ["", "wait", "wait=", "wait=abc", "wait=-1", "wait=1.5", "await=2", "x=\"wait=2", "wait==2"] {
            assert_eq!(wait(&[nonsense]), None, "{nonsense}");
        }
    }
}
