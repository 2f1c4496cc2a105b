//! What each defect means, at both doors: in a file, and in a body.

use super::*;
use crate::control::read::Content;
use crate::control::{Epoch, Found, request_file};
use std::time::SystemTime;

fn upgrade() -> RequestId {
    RequestId::new("upgrade").unwrap()
}

fn in_hold_file(bytes: &[u8]) -> Found {
    let content = Content { bytes: bytes.to_vec(), modified: 0 };
    request_file::interpret(&content, &upgrade(), &Epoch::default(), SystemTime::UNIX_EPOCH)
}

/// A file of these fields beside its action.
fn file(fields: &str) -> Found {
    in_hold_file(format!(r#"{{"action":"drain"{fields}}}"#).as_bytes())
}

#[test]
fn the_marker_is_meant_by_naming_no_hold() {
    let request = Request::override_hold(RequestId::marker(), "ops");
    let nonce = json!(request.nonce);
    assert_eq!(body(Verb::Override, &request), json!({"action": "override", "nonce": nonce}));
    let request = Request { id: upgrade(), ..request };
    let named = json!({"action": "override", "request_id": "upgrade", "nonce": nonce});
    assert_eq!(body(Verb::Override, &request), named);
}

#[test]
fn a_body_says_that_nobody_is_to_be_notified_and_says_nothing_of_what_is_usual() {
    let mut request = Request::begin(upgrade(), "ops");
    assert_eq!(body(Verb::Drain, &request).get("suppress_notification"), None);
    request.suppress_notification = true;
    assert_eq!(body(Verb::Drain, &request)["suppress_notification"], true);
}

#[test]
fn a_write_names_its_own_nonce_so_that_one_whose_answer_is_lost_can_be_asked_for_again() {
    let write = Request { nonce: Some(Nonce::from("n".repeat(16))), ..Request::begin(RequestId::marker(), "ops") };
    for verb in Verb::ALL {
        assert_eq!(body(verb, &write)["nonce"], "n".repeat(16));
    }
}

#[test]
fn the_action_comes_first_since_it_decides_what_the_others_mean() {
    assert_eq!(FIELDS[0].kind, Kind::Action);
}

/// What is strict in a body and lenient in a file never means two things: where both take a value, they take the same.
#[test]
fn what_a_body_and_a_file_both_take_means_the_same_in_both() {
    let values = [
        "null",
        "true",
        "false",
        "\"\"",
        "\"x\"",
        "\" \"",
        "0",
        "-0.0",
        "-1",
        "0.5",
        "1",
        "1.0",
        "1e0",
        "7.5",
        "60",
        "600",
        "601",
        "86400",
        "86401",
        "31536000",
        "31536001",
        "4194303",
        "4194304",
        "1e30",
        "[]",
        "{}",
        "\"1\"",
        "\"2026-06-01T12:00:00\"",
    ];
    let names = FIELDS.iter().filter(|field| field.is_over_http() && field.goes_with(Verb::Drain));
    for field in names.filter(|field| !matches!(field.kind, Kind::Action | Kind::RequestId)) {
        for value in values {
            let text = format!(r#"{{"action":"drain","{}":{value}}}"#, field.name);
            let Found::Valid(lenient) = in_hold_file(text.as_bytes()) else { panic!("{text} closes for nobody") };
            #[cfg(feature = "axum")]
            if let Ok((_, strict, _)) = in_body(text.as_bytes()) {
                let nonce = strict.request.nonce.clone();
                let same = nonce.is_none() || nonce == lenient.nonce;
                assert!(same, "{text}");
                let lenient = Request { nonce, age: None, id: RequestId::marker(), ..*lenient };
                assert_eq!(strict.request, lenient, "{text}");
            }
            #[cfg(not(feature = "axum"))]
            drop(lenient);
        }
    }
}

#[test]
fn what_is_written_is_read_as_it_is_meant_or_refused_with_the_name_and_the_limit() {
    let begin = || Request::begin(upgrade(), "ops");
    let long = |length: usize| "ä".repeat(length);
    let sound = [
        begin().reason(long(MAX_REASON)),
        Request { owner: long(MAX_NAME), ..begin() },
        begin().token(Nonce::from(long(MAX_NAME))),
        begin().only_for(Incarnation::from(long(MAX_NAME))),
        begin().lease(Duration::from_secs(1)),
        begin().lease(Duration::from_secs(86_400)),
        begin().deadline(Duration::from_millis(1)),
        begin().unready_delay(Duration::from_secs(600)),
    ];
    for request in sound {
        check(&request).unwrap();
        let bytes = request_file::to_bytes(&request, &Epoch::default());
        let Found::Valid(found) = in_hold_file(&bytes) else { panic!("{} can't be read", bytes.escape_ascii()) };
        assert_eq!(*found, Request { age: found.age, source: found.source, ..request });
    }
    let unsound = [
        ("reason", begin().reason(long(MAX_REASON + 1))),
        ("principal", Request { owner: long(MAX_NAME + 1), ..begin() }),
        ("nonce", Request { nonce: Some(Nonce::from(long(MAX_NAME + 1))), ..begin() }),
        ("token", begin().token(Nonce::from(long(MAX_NAME + 1)))),
        ("incarnation", begin().only_for(Incarnation::from(long(MAX_NAME + 1)))),
        ("lease_seconds", begin().lease(Duration::ZERO)),
        ("lease_seconds", begin().lease(Duration::from_millis(999))),
        ("lease_seconds", begin().lease(Duration::from_secs(86_401))),
        ("deadline_seconds", begin().deadline(Duration::ZERO)),
        ("deadline_seconds", begin().deadline(Duration::MAX)),
        ("unready_delay_seconds", begin().unready_delay(Duration::from_secs(601))),
    ];
    let place = tempfile::tempdir().unwrap();
    let channel = crate::Channel::new(crate::Home::at(place.path()));
    for (name, request) in unsound {
        let refused = channel.write(&request).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::InvalidInput);
        let said = refused.to_string();
        assert!(said.starts_with(&format!("`{name}` has to be ")), "{said}");
        assert!(matches!(channel.find(&upgrade()), Found::Absent), "{name}: nothing was written");
    }
}

#[test]
fn in_a_file_a_defect_of_a_field_is_as_if_it_were_not_there_and_a_long_reason_shows_that_it_was_cut() {
    let Found::Valid(plain) = file("") else { panic!("it is sound") };
    let of = |fields: &str| {
        let Found::Valid(found) = file(fields) else { panic!("{fields} closes for nobody: {:?}", file(fields)) };
        Request { nonce: plain.nonce.clone(), ..*found }
    };
    for defect in [
        r#","principal":null"#,
        r#","principal":"""#,
        r#","principal":7"#,
        r#","nonce":"""#,
        r#","nonce":[]"#,
        r#","incarnation":"""#,
        r#","token":"""#,
        r#","epoch":"""#,
        r#","lease_seconds":0"#,
        r#","lease_seconds":"60""#,
        r#","deadline_seconds":-5"#,
        r#","unready_delay_seconds":-5"#,
        r#","generation":"1""#,
        r#","generation":1.5"#,
        r#","generation":4194304"#,
        r#","requested_at":1780000000"#,
        r#","requested_at":"yesterday""#,
        r#","unknown":7,"unknown":8"#,
    ] {
        assert_eq!(of(defect), *plain, "{defect}");
    }
    for (fields, generation) in [(r#","generation":1.0"#, 1), (r#","generation":1e0"#, 1), (r#","generation":0"#, 0)] {
        assert_eq!(of(fields).generation, Some(Generation::from(generation)), "{fields}");
    }
    assert_eq!(of(r#","lease_seconds":1e30"#).lease, Some(Duration::from_secs(86_400)));
    let cut = of(&format!(r#","reason":"{}""#, "x".repeat(8000))).notes.reason;
    assert!(cut.chars().count() == MAX_REASON && cut.ends_with("x…"), "{cut}");
}

/// Nanoseconds since 1970, as a request of that time says by its age at 2026-05-28T20:26:40Z (1,780,000,000 s); none if the
/// file's own time counts, which is 1970.
fn written(text: &str) -> Option<u128> {
    let content = Content { bytes: json!({"action": "drain", "requested_at": text}).to_string().into(), modified: 0 };
    let now = Duration::from_secs(1_780_000_000);
    match request_file::interpret(&content, &upgrade(), &Epoch::default(), SystemTime::UNIX_EPOCH + now) {
        Found::Valid(request) => {
            now.checked_sub(request.age?).map(|time| time.as_nanos()).filter(|written| *written > 0)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_time_is_read_in_the_form_of_rfc_3339_and_without_an_offset_it_is_utc() {
    let at = |nanoseconds: u128| Some(1_779_999_990_000_000_000 + nanoseconds);
    for text in [
        "2026-05-28T20:26:30Z",
        "2026-05-28t20:26:30z",
        "2026-05-28T20:26:30+00:00",
        "2026-05-28T20:26:30-00:00",
        "2026-05-28T22:26:30+02:00",
        "2026-05-29T20:25:30+23:59",
        "2026-05-27T20:27:30-23:59",
        "2026-05-28T20:26:30",
        "2026-05-28 20:26:30",
        "2026-05-28 20:26:30Z",
        "2026-05-28T20:26:30.000000",
        "2026-05-28T20:26:30.000000+00:00",
    ] {
        assert_eq!(written(text), at(0), "{text}");
    }
    assert_eq!(written("2026-05-28T20:26:30.5Z"), at(500_000_000));
    assert_eq!(written("2026-05-28T20:26:30.000000001"), at(1));
    let leap = written("2016-12-31T23:59:60.25Z");
    assert!(leap.is_some() && leap == written("2016-12-31T23:59:59.25Z"), "the second before has its place");
    assert_eq!(written("2024-02-29T00:00:00Z"), Some(1_709_164_800_000_000_000));
}

#[test]
fn a_fraction_finer_than_a_nanosecond_is_cut() {
    let long = format!("2026-05-28T20:26:30.{}Z", "1".repeat(20_000));
    for text in ["2026-05-28T20:26:30.1111111119999Z", "2026-05-28T20:26:30.111111111", &long] {
        assert_eq!(written(text), Some(1_779_999_990_111_111_111), "{text:.40}");
    }
    assert_eq!(written("2026-05-28T20:26:30.0000000009Z"), written("2026-05-28T20:26:30Z"));
}

#[test]
fn a_time_in_any_other_form_is_as_if_it_were_not_there() {
    for text in [
        "20260528T202630Z",
        "20260528T20:26:30Z",
        "2026-05-28T202630Z",
        "2026-05-28T20:26:30,5Z",
        "2026-05-28T20:26Z",
        "2026-05-28T20Z",
        "2026-05-28",
        "2026-05-28T20:26:30+00",
        "2026-05-28T20:26:30+0000",
        "2026-05-28T20:26:30+00:00:00",
        "2026-05-28T20:26:30+00:0",
        "2026-05-28T20:26:30+24:00",
        "2026-05-28T20:26:30+00:60",
        "2026-05-28T20:26:30Z[UTC]",
        "2026-05-28T20:26:30+00:00[UTC]",
        "2026-05-28T20:26:30[UTC]",
        "2026-05-28T20:26:30 Z",
        "2026-05-28T20:26:30 +00:00",
        " 2026-05-28T20:26:30Z",
        "2026-05-28T20:26:30Z\n",
        "2026-05-28_20:26:30Z",
        "2026-05-28  20:26:30Z",
        "2026-05-28T20:26:30.Z",
        "2026-05-28T20:26:30.",
        "2026-05-28T24:00:00Z",
        "2026-05-28T20:60:30Z",
        "2026-05-28T20:26:61Z",
        "2026-02-29T20:26:30Z",
        "2026-13-01T20:26:30Z",
        "2026-00-01T20:26:30Z",
        "2026-05-00T20:26:30Z",
        "26-05-28T20:26:30Z",
        "+002026-05-28T20:26:30Z",
        "-2026-05-28T20:26:30Z",
        "2026-W22-4T20:26:30Z",
        "2026-148T20:26:30Z",
        "2026-05-28T+1:26:30Z",
        "２０２６-05-28T20:26:30Z",
        "2026-05-28T20:26:30−00:00",
        "Thu, 28 May 2026 20:26:30 GMT",
        "1780000000",
        "T",
    ] {
        assert_eq!(written(text), None, "{text}");
    }
}

#[test]
fn a_number_of_seconds_outside_its_range_is_the_nearest_limit_and_one_not_above_zero_is_as_if_it_were_not_there() {
    let of = |name: &str, value: &str| {
        let Found::Valid(found) = file(&format!(r#","{name}":{value}"#)) else { panic!("{name} {value}") };
        found
    };
    for field in FIELDS {
        let Kind::Seconds(least, most) = field.kind() else { continue };
        let said = |value: &str| (field.says)(&of(field.name(), value));
        let none = (field.says)(&Request::begin(upgrade(), ""));
        for value in ["1e-320", "5e-324", "1e-10"] {
            let expected = if least > 0.0 { json!(least) } else { none.clone() };
            assert_eq!(said(value), expected, "{} {value}", field.name());
        }
        for value in ["1e308", "18446744073709551616", "31536000.5"] {
            assert_eq!(said(value), json!(most), "{} {value}", field.name());
        }
        for value in ["0", "-0.0", "-1", "-5e-324", "-1e308", "1e-400", "null", "\"1\"", "[1]", "true"] {
            assert_eq!(said(value), none, "{} {value}", field.name());
        }
    }
}

#[test]
fn what_makes_a_document_unreadable_does_so_in_fields_that_are_not_known_too() {
    for value in ["1e400", "-1e400", "[1e309]", r#""\ud800""#, r#""\udc00\ud800""#, r#"{"a":["\ud83d"]}"#, "01", "NaN"]
    {
        for name in ["reason", "lease_seconds", "unknown"] {
            let found = file(&format!(r#","{name}":{value}"#));
            let Found::Unreadable { why, nonce: Some(_) } = &found else { panic!("{name} {value}: {found:?}") };
            assert!(why.contains("not JSON"), "{name} {value}: {why}");
        }
    }
    for bytes in [&b"{\"action\":\"drain\",\"unknown\":\"\xff\"}"[..], b"{\"action\":\"drain\",\"\xff\":1}"] {
        assert!(matches!(in_hold_file(bytes), Found::Unreadable { .. }), "{}", bytes.escape_ascii());
    }
    for sound in [r#""\ud83d\ude00""#, r#""\u0000""#, "1.7976931348623157e308", "1e-400", r#"{"a":1,"a":2}"#] {
        assert!(matches!(file(&format!(r#","unknown":{sound}"#)), Found::Valid(_)), "{sound}");
    }
}

#[test]
fn a_document_nests_127_levels_deep_and_no_deeper_in_any_field() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    for name in ["reason", "unknown"] {
        // The document itself is the first level.
        assert!(matches!(file(&format!(r#","{name}":{}"#, nested(126))), Found::Valid(_)), "{name}");
        assert!(matches!(file(&format!(r#","{name}":{}"#, nested(127))), Found::Unreadable { .. }), "{name}");
    }
}

#[test]
fn actions_are_read_as_the_reference_reads_them_at_both_doors() {
    for word in ["drain", "Drain", " DRAIN ", "drain\\n"] {
        let text = format!(r#"{{"action":"{word}"}}"#);
        assert!(matches!(in_hold_file(text.as_bytes()), Found::Valid(_)), "{text}");
        #[cfg(feature = "axum")]
        assert!(matches!(in_body(text.as_bytes()), Ok((Verb::Drain, ..))), "{text}");
    }
}

#[test]
fn what_is_no_json_object_without_doubt_is_unreadable() {
    let rows: [(&[u8], &str); 10] = [
        (b"\xef\xbb\xbf{\"action\":\"drain\"}", "byte order mark"),
        (br#"{"action":"drain","action":"cancel"}"#, "`action` twice"),
        (br#"{"action":"drain","lease_seconds":5,"lease_seconds":5}"#, "`lease_seconds` twice"),
        (b"[]", "no object"),
        (b"[", "expected an object"),
        (b"null", "no object"),
        (br#"{"action":"drain"} x"#, "not JSON"),
        (br#"{"action":"drain","reason":"\ud800"}"#, "not JSON"),
        (br#"{"action":"drain","lease_seconds":1e400}"#, "not JSON"),
        (b"{\"action\":\"drain\",\"reason\":\"\xfc\"}", "not JSON"),
    ];
    for (bytes, says) in rows {
        let found = in_hold_file(bytes);
        let Found::Unreadable { why, nonce: Some(_) } = &found else { panic!("{}: {found:?}", bytes.escape_ascii()) };
        assert!(why.contains(says), "{}: {why}", bytes.escape_ascii());
        #[cfg(feature = "axum")]
        assert!(in_body(bytes).is_err_and(|why| why.contains(says)), "{}", bytes.escape_ascii());
    }
}

#[test]
fn the_nonce_of_a_write_without_one_can_be_derived_by_any_program() {
    // printf '{"action":"drain"}' | sha256sum
    let content = Content { bytes: br#"{"action":"drain"}"#.to_vec(), modified: 1_780_000_000_123_456_789 };
    let found = request_file::interpret(&content, &upgrade(), &Epoch::default(), SystemTime::UNIX_EPOCH);
    let Found::Valid(request) = found else { panic!("{found:?}") };
    assert_eq!(request.nonce, Some(Nonce::from("5044bb13d372c86c-1780000000123456789".to_owned())));
}

#[cfg(feature = "axum")]
mod over_http {
    use super::*;

    #[test]
    fn a_body_that_says_nothing_begins_with_the_marker() {
        for body in ["", " ", "\r\n", "{}", " {} ", r#"{"suppress_notification":true}"#, r#"{"reason":null}"#] {
            let (verb, draft, _) = in_body(body.as_bytes()).unwrap();
            assert!(verb == Verb::Drain && draft.request.id.is_marker(), "{body}");
        }
    }

    #[test]
    fn which_hold_and_which_act_are_not_left_to_a_variable_that_was_never_set() {
        for (body, names) in [
            (r#"{"request_id":null}"#, "request_id"),
            (r#"{"request_id":""}"#, "request_id"),
            (r#"{"request_id":"marker"}"#, "request_id"),
            (r#"{"action":"cancel","request_id":null}"#, "request_id"),
            (r#"{"action":null}"#, "action"),
            (r#"{"action":""}"#, "action"),
            (r#"{"action":"dance"}"#, "action"),
            (r#"{"action":["drain"]}"#, "action"),
            (r#"{"requestid":"x"}"#, "isn't known"),
            (r#"{"action":"cancel","requestid":"x"}"#, "isn't known"),
            (r#"{"principal":"somebody"}"#, "isn't known"),
            (r#"{"epoch":"mine"}"#, "isn't known"),
        ] {
            let why = in_body(body.as_bytes()).map(drop).unwrap_err();
            assert!(why.contains(names), "{body}: {why}");
        }
    }

    #[test]
    fn a_known_field_that_does_not_go_with_the_action_does_no_harm_whatever_it_says() {
        for verb in Verb::ALL {
            for field in FIELDS.iter().filter(|field| field.is_over_http() && !field.goes_with(verb)) {
                for value in ["null", "7", "\"x\"", "-1", "true", "[1]"] {
                    let text = format!(r#"{{"action":"{}","{}":{value}}}"#, verb.word(), field.name);
                    let (read, draft, _) = in_body(text.as_bytes()).unwrap_or_else(|why| panic!("{text}: {why}"));
                    assert_eq!((read, draft.request), (verb, Request::blank(RequestId::marker())), "{text}");
                }
            }
        }
    }

    #[test]
    fn what_a_gateway_could_not_read_as_it_is_meant_is_refused_with_its_name_and_its_limit() {
        let long = |length: usize| format!("\"{}\"", "x".repeat(length));
        for (name, value, limit) in [
            ("reason", long(513), "512"),
            ("incarnation", long(257), "256"),
            ("nonce", long(15), "16 to 256"),
            ("nonce", long(257), "16 to 256"),
            ("lease_seconds", "0".into(), "from 1 to 86400"),
            ("lease_seconds", "86401".into(), "from 1 to 86400"),
            ("lease_seconds", "\"60\"".into(), "a number"),
            ("deadline_seconds", "0".into(), "0.001"),
            ("unready_delay_seconds", "601".into(), "600"),
            ("unready_delay_seconds", "-1".into(), "600"),
        ] {
            let why = in_body(format!(r#"{{"{name}":{value}}}"#).as_bytes()).map(drop).unwrap_err();
            assert!(why.contains(&format!("`{name}`")) && why.contains(limit), "{why}");
        }
        let why = in_body(br#"{"action":"commit","generation":4194304}"#).map(drop).unwrap_err();
        assert!(why.contains("`generation`") && why.contains("4194303"), "{why}");
        let why = in_body(format!(r#"{{"action":"cancel","token":{}}}"#, long(257)).as_bytes()).map(drop).unwrap_err();
        assert!(why.contains("`token`"), "{why}");
    }
}

#[test]
fn a_write_of_a_hold_that_stands_keeps_every_field_that_it_does_not_say() {
    let id = RequestId::new("upgrade-42").unwrap();
    let stands = Request::begin(id.clone(), "ann")
        .reason("to 1.4")
        .ticket("CHG-42")
        .lease(Duration::from_secs(600))
        .deadline(Duration::from_secs(300))
        .unready_delay(Duration::from_secs(5))
        .suppress_notification(true)
        .only_for(Incarnation::from("this".to_owned()));
    let renewal = Request::begin(id.clone(), "ann");
    let kept = keeping(renewal.clone(), &said_by(&renewal), &stands);
    assert_eq!(kept, Request { nonce: renewal.nonce.clone(), ..stands.clone() });
    // Each field that is about the hold was said above, so that none can be forgotten there.
    for field in FIELDS.iter().filter(|field| field.is_of_the_hold()) {
        assert!(!matches!((field.says)(&stands), Value::Null | Value::Bool(false)), "{}", field.name);
    }
    // And what is said counts, also that something is not so.
    let said = renewal.clone().reason("to 1.5");
    let mut says = said_by(&said);
    says[FIELDS.iter().position(|field| field.name == "suppress_notification").unwrap()] = true;
    let kept = keeping(said, &says, &stands);
    assert_eq!((&*kept.notes.reason, &*kept.notes.ticket, kept.suppress_notification), ("to 1.5", "CHG-42", false));
}
